"""A ranking from choices between two (Bradley & Terry 1952): each competitor has a strength s, and i is chosen over j with
probability s_i / (s_i + s_j). A tie counts half for each. What it is not: the choosing (arena.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from minidiff.evaluate.report import table

RESAMPLES, ROUNDS = 400, 500
ELO = 400 / math.log(10)  # of a strength's logarithm: 400 more win 10 to 1


@dataclass(frozen=True)
class Vote:
    """Of two competitors, by their numbers, which was chosen: 1 the first, 0 the second, 0.5 neither."""

    first: int
    second: int
    won: float


def strengths(votes: Sequence[Vote], count: int) -> list[float]:
    """Logarithms of the strengths of `count` competitors, by minorisation (Hunter 2004, eq. 3). Their mean is 0, over those who
    were shown; the others have 0. Each two that met are given one tie more, so that who never lost is not infinitely strong."""
    wins, met = [0.0] * count, [[0.0] * count for _ in range(count)]
    pairs = {(min(vote.first, vote.second), max(vote.first, vote.second)) for vote in votes}
    for vote in [*votes, *(Vote(a, b, 0.5) for a, b in pairs)]:
        wins[vote.first] += vote.won
        wins[vote.second] += 1 - vote.won
        met[vote.first][vote.second] += 1
        met[vote.second][vote.first] += 1
    strength, shown = [1.0] * count, [i for i in range(count) if any(met[i])]
    for _ in range(ROUNDS if shown else 0):
        before, strength = strength, list(strength)
        for i in shown:
            strength[i] = wins[i] / sum(met[i][j] / (before[i] + before[j]) for j in range(count))
        mean = math.exp(sum(math.log(strength[i]) for i in shown) / len(shown))
        for i in shown:
            strength[i] /= mean
        if max(abs(a / b - 1) for a, b in zip(strength, before, strict=True)) < 1e-9:
            break
    return [math.log(s) for s in strength]


def ranking(votes: Sequence[Vote], names: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
    """The competitors, the best first: name; elo, the strength as an Elo number, their mean 1000; low and high, its 95 %
    bootstrap interval over the votes; shown, how often; won, the share of these, a tie being half. Without votes None."""
    value = strengths(votes, len(names))
    generator = torch.Generator().manual_seed(seed)
    again = []
    for _ in range(RESAMPLES if votes else 0):
        chosen = torch.randint(len(votes), (len(votes),), generator=generator).tolist()
        again.append(strengths([votes[k] for k in chosen], len(names)))
    rows = []
    for k, name in enumerate(names):
        own = [vote.won if vote.first == k else 1 - vote.won for vote in votes if k in (vote.first, vote.second)]
        row = {"name": name, "elo": 1000 + ELO * value[k], "low": None, "high": None, "shown": len(own), "won": None}
        if own:
            spread = torch.tensor([one[k] for one in again], dtype=torch.float64)
            low, high = torch.quantile(spread, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
            row |= {"low": 1000 + ELO * low, "high": 1000 + ELO * high, "won": sum(own) / len(own)}
        rows.append(row)
    return sorted(rows, key=lambda row: -row["elo"])  # type: ignore[operator]


def told(rows: Sequence[Mapping[str, Any]]) -> str:
    """The ranking as a table."""
    cells = []
    for row in rows:
        known = (f"{row['low']:.0f} to {row['high']:.0f}", f"{100 * row['won']:.0f} %") if row["shown"] else ("", "")
        cells.append([row["name"], f"{row['elo']:.0f}", known[0], row["shown"], known[1]])
    return table(["", "strength", "95 %", "shown", "won"], cells)
