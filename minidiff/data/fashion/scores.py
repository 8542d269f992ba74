"""How well a preparation found the faults that were planted in a raw data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minidiff.data.fashion.faults import FAULTS, MENDED
from minidiff.data.fashion.filters import NOT_CHOSEN


@dataclass(frozen=True)
class Score:
    """How well a preparation found what was planted. found of planted faults were refused, or kept if they can be mended; right
    of these for the reason that was expected; lost of the good images were refused; by_fault: (found, planted) of each."""

    planted: int
    found: int
    right: int
    good: int
    lost: int
    by_fault: Mapping[str, tuple[int, int]]

    def __str__(self) -> str:
        lines = [f"  {name:<16}{found:>5} of {planted}" for name, (found, planted) in self.by_fault.items()]
        lines.append(f"{self.found} of {self.planted} planted faults dealt with ({self.found / max(1, self.planted):.1%}), "
                     f"{self.right} for the right reason; {self.lost} of {self.good} good images lost "
                     f"({self.lost / max(1, self.good):.1%}).")  # fmt: skip
        return "\n".join(lines)


def score(truth: Mapping[str, Any], report: Mapping[str, Any]) -> Score:
    """Compare the planted faults with what a preparation refused. truth: what `minidiff prepare garments` wrote beside its
    folder; report: a preparation's report.json.

    Of a good image and its copy one must be kept, whichever it is. What was only not chosen counts as kept."""
    refused = {row["file"]: row["reason"] for row in report["refused_files"] if row["reason"] != NOT_CHOSEN}
    return compared(truth["files"], refused, {name: fault.expected for name, fault in FAULTS.items()})


def compared(files: Mapping[str, Any], refused: Mapping[str, str], expected_of: Mapping[str, str]) -> Score:
    """The score of any preparation. files: by name {"fault", "copy_of"}, both None for a good one; refused: by name the reason;
    expected_of: for each fault the reason that is expected, or MENDED."""
    copies = {row["copy_of"]: name for name, row in files.items() if row["copy_of"]}
    counts: dict[str, list[int]] = {name: [0, 0] for name in expected_of}
    right = good = lost = 0
    for name, row in files.items():
        if row["fault"] is None:
            good += 1
            lost += name in refused and copies.get(name, name) in refused
            continue
        expected = expected_of[row["fault"]]
        reasons = [refused[one] for one in (name, row["copy_of"]) if one in refused]
        found = bool(reasons) != (expected == MENDED)
        counts[row["fault"]][0] += found
        counts[row["fault"]][1] += 1
        right += found and (expected in reasons or expected == MENDED)
    by_fault = {name: (found, planted) for name, (found, planted) in counts.items() if planted}
    dealt, planted = (sum(pair[k] for pair in by_fault.values()) for k in (0, 1))
    return Score(planted, dealt, right, good, lost, by_fault)
