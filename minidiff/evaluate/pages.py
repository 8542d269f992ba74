"""What an evaluation of pictures leaves behind: the same figures as JSON, and as Markdown. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from minidiff.evaluate.figures import LEAST_SET, Row, verdicts
from minidiff.evaluate.instruments import Instruments
from minidiff.evaluate.layouts import Notes
from minidiff.evaluate.report import save_json, table
from minidiff.utils.files import whole_file, write_whole
from minidiff.utils.images import contact_sheet

SHOWN = 10  # names of skipped and converted files; the JSON has all
ON_SHEET, SHEET_SIDE = 4, 192  # rows, and pixels of a picture

EXPLAINED = {
    "psnr": "PSNR", "ssim": "SSIM", "psnr_hole": "PSNR in the hole", "psnr_y": "PSNR-Y", "ssim_y": "SSIM-Y",
    "edges": "edge consistency", "soft_edges": "soft-edge SSIM", "outside": "largest error outside",
}  # fmt: skip


@dataclass
class Results:
    """Everything that was measured. rows: the first is the model's own; the others are its controls. about: how it was made.
    pictures: for each of them its number, name, and figures of its own. remarks: sentences below the tables."""

    title: str
    rows: dict[str, Row]
    instruments: Instruments
    notes: Notes
    about: dict[str, Any]
    pictures: list[dict[str, Any]]
    remarks: list[str] = field(default_factory=list)

    @property
    def own(self) -> str:
        return next(iter(self.rows))

    def name(self, key: str) -> str:
        name = self.instruments.name(key)
        return EXPLAINED.get(key, f"{name} x 1000" if key == "kid" else name)

    def name_files(self, path: Callable[[int], Path], staying: Collection[int]) -> None:
        """Says in `pictures` which of them stay, and under which file's name."""
        for one in self.pictures:
            one |= {"file": path(one["number"]).name} if one["number"] in staying else {}

    def networks(self) -> dict[str, str]:
        """Which network made which figures."""
        keys = {key for row in self.rows.values() for key in row}
        by = self.instruments
        found = {"fd": ("sets of pictures", by.see_by), "distance": ("pairs of pictures", by.distance_by)}
        found |= {key: (one.name, one.by) for key, one in by.scores.items()}
        return dict(told for key, told in found.items() if key in keys)

    def record(self) -> dict[str, Any]:
        """What the JSON holds."""
        found = self.instruments
        return {
            "title": self.title, "n": len(self.pictures), "run": self.about,
            "figures": {name: {self.name(key): asdict(one) for key, one in row.items()} for name, row in self.rows.items()},
            "verdicts": {self.name(key): text for key, text in verdicts(self.rows[self.own], found).items()},
            "networks": self.networks(),
            "weights": {role: {"file": str(one.path), "sha256": one.sha256} for role, one in found.used.items()},
            "not_run": found.not_run, "remarks": self.remarks,
            "skipped": [{"file": name, "why": why} for name, why in self.notes.skipped],
            "converted": [{"file": name, "how": how} for name, how in self.notes.converted],
            "pictures": self.pictures,
        }  # fmt: skip

    def text(self, sheet: str = "") -> str:
        """The report as Markdown, also readable in a terminal. sheet: file of a picture to be shown in it."""
        record = self.record()
        parts = [f"# {self.title}", f"{record['n']} pictures. Each figure with its 95 % bootstrap interval and its N."]
        if sheet:
            parts.append(f"![pictures]({sheet})")
        parts += [self._table(keys) for keys in self._tables()]
        if record["verdicts"]:
            lines = [f"- {name} {figure.text()}: {record['verdicts'][name]}" for key, figure in self.rows[self.own].items()
                     if (name := self.name(key)) in record["verdicts"]]  # fmt: skip
            parts.append("Verdicts of fixed bands:\n" + "\n".join(lines))
        parts.append("\n".join(f"- {what}: {by}" for what, by in record["networks"].items()))
        if record["not_run"]:
            parts.append("\n".join(f"- {name}: {why}" for name, why in record["not_run"].items()))
        parts += self.remarks
        for told, files in (("left out", self.notes.skipped), ("converted", self.notes.converted)):
            if files:
                lines = [f"- {name}: {why}" for name, why in files[:SHOWN]]
                lines += [f"- and {len(files) - SHOWN} more"] if len(files) > SHOWN else []
                parts.append(f"{len(files)} files {told}:\n" + "\n".join(lines))
        return "\n\n".join(parts) + "\n"

    def _tables(self) -> list[list[str]]:
        """Keys of figures that stand side by side: of sets, and of single pictures."""
        keys = list(dict.fromkeys(key for row in self.rows.values() for key in row))
        of_sets = [key for key in keys if key in ("fd", "kid", "precision", "recall")]
        single = [key for key in keys if key not in of_sets]
        halves = [single[k : k + 4] for k in range(0, len(single), 4)]
        return [part for part in (*halves, of_sets) if part]

    def _table(self, keys: list[str]) -> str:
        rows = []
        for name, row in self.rows.items():
            if there := [row[key] for key in keys if key in row]:
                cells = (row[key].text() if key in row else "" for key in keys)
                rows.append([name, max(figure.n for figure in there), *cells])
        return table(["", "N", *(self.name(key) for key in keys)], rows)


def remarks_on_sets(instruments: Instruments, n: int) -> list[str]:
    """What must be said of figures of sets of n pictures."""
    fd, enough = instruments.name("fd"), 10 * instruments.width
    if n < LEAST_SET:
        return [f"{fd}, {instruments.name('kid')}, precision and recall: not run, fewer than {LEAST_SET} pictures."]
    if n < enough:
        return [f"{n} pictures are fewer than {enough}, ten for each of {instruments.width} features: {fd} is biased "
                "upwards, and only rows of the same N can be compared."]  # fmt: skip
    return []


def write(results: Results, folder: Path, name: str, sheet: Image.Image | None, text_file: str = "") -> None:
    """FOLDER/NAME.json, NAME.md and NAME.png; with text_file the same text under that name, too. Each whole or not at all."""
    save_json(results.record(), folder / f"{name}.json")
    if sheet is not None:
        with whole_file(folder / f"{name}.png") as file:
            sheet.save(file, format="PNG")
    write_whole(folder / f"{name}.md", results.text(f"{name}.png" if sheet is not None else ""))
    if text_file:
        write_whole(folder / text_file, results.text())


def sheet_of(rows: list[list[tuple[Image.Image, str]]]) -> Image.Image:
    """Pictures with their captions, a row for each source. All are fitted into squares of one size."""
    flat = [pair for row in rows[:ON_SHEET] for pair in row]
    tiles = []
    for picture, _ in flat:
        scale = SHEET_SIDE / max(picture.size)
        small = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.LANCZOS)
        tile = Image.new("RGB", (SHEET_SIDE, SHEET_SIDE), "white")
        tile.paste(small, ((SHEET_SIDE - small.width) // 2, (SHEET_SIDE - small.height) // 2))
        tiles.append(tile)
    return contact_sheet(tiles, len(rows[0]), [caption for _, caption in flat])
