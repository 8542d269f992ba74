"""The curves of a training run, drawn from its log: losses, the held-out loss, the gradient's norm and the learning rate."""

from __future__ import annotations

import csv
import math
from pathlib import Path

FIRST = {"loss": "training loss", "val_loss": "held-out loss", "grad_norm": "norm of the gradient", "lr": "learning rate"}
HIDDEN = ("step", "images_per_second", "minutes", "data_seconds", "memory_gb", "gpus", "mfu")


def read_columns(log: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, figure) of each column of a log.csv, without what is missing or not finite."""
    columns: dict[str, list[tuple[int, float]]] = {}
    with open(log, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name not in HIDDEN and text and math.isfinite(value := float(text)):
                    columns.setdefault(name, []).append((int(row["step"]), value))
    return columns


def smoothed(points: list[tuple[int, float]], window: int) -> list[float]:
    """The mean of each value and the `window` - 1 before it."""
    values = [value for _, value in points]
    return [sum(values[max(0, k - window + 1) : k + 1]) / min(k + 1, window) for k in range(len(values))]


def draw_curves(log: Path, picture: Path) -> bool:
    """A panel for each figure of a log.csv; returns whether there is matplotlib to draw them with."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    columns = read_columns(log)
    names = [name for name in FIRST if name in columns] + sorted(columns.keys() - FIRST.keys())
    figure = Figure(figsize=(9, 2.4 * math.ceil(len(names) / 3)), layout="constrained")
    for place, name in enumerate(names, start=1):
        axis, points = figure.add_subplot(math.ceil(len(names) / 3), 3, place), columns[name]
        steps = [step for step, _ in points]
        many = len(points) > 50
        axis.plot(steps, [value for _, value in points], alpha=0.3 if many else 1, marker="" if many else "o", markersize=3)
        if many and name != "lr":
            axis.plot(steps, smoothed(points, len(points) // 20), color="C0")
        axis.set(title=FIRST.get(name, name.replace("_", " ").replace("val ", "held-out ")), xlabel="step")
    figure.savefig(picture, dpi=110)
    return True
