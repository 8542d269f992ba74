"""Figures in notebooks: rows of images, curves, histograms, clouds of points, heatmaps, and a slider that changes a plot.
matplotlib is imported when used.

What it is not: the contact sheets that training writes to disk (utils/images.py), which need no matplotlib.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

STATIC = "MINIDIFF_STATIC"  # set while a notebook is built: sliders become rows of small plots


def as_arrays(images: Tensor | Sequence[Any]) -> list[np.ndarray]:
    """Images as (H, W, 3) uint8 arrays. images: a tensor (..., C, H, W), (C, H, W) or (H, W) in -1..1 with 1 or 3 channels, or
    a list of PIL images, uint8 arrays and such tensors. Raises ValueError for a tensor of another shape."""
    if isinstance(images, Tensor) and images.ndim > 4:
        images = images.flatten(0, -4)
    if isinstance(images, Tensor) and images.ndim != 4:
        images = images.reshape(1, *((1,) * (3 - images.ndim)), *images.shape)
    return [_as_array(image) for image in images]


def _as_array(image: Any) -> np.ndarray:
    if not isinstance(image, Tensor):
        array = np.asarray(image)
        return array if array.ndim == 3 else np.stack([array] * 3, axis=-1)
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"An image of shape {tuple(image.shape)} cannot be shown: it must be (1 or 3, height, width).")
    pixels = ((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.expand(3, -1, -1).permute(1, 2, 0).numpy()


def show(images: Tensor | Sequence[Any], titles: Sequence[str] | None = None, columns: int | None = None) -> None:
    """Show images as one figure, row by row. images: as in `as_arrays`; titles: one for each, or for each of the first row;
    columns: by default at most 8, and for a tensor (R, N, C, H, W) its N."""
    import matplotlib.pyplot as plt

    if isinstance(images, Tensor) and images.ndim == 5:
        columns = columns or images.shape[1]
    arrays = as_arrays(images)
    columns = min(columns or 8, len(arrays))
    rows = -(-len(arrays) // columns)
    side = min(1.6, 8 / columns)
    size = (columns * side, rows * (side + (0.02 if titles is None else 0.25)))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for k, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if k < len(arrays):
            axis.imshow(arrays[k], interpolation="nearest")
            if titles is not None and k < len(titles):
                axis.set_title(str(titles[k]), fontsize=8)
    plt.show()


def panels(count: int, height: float = 2.4, **options: Any) -> list[Any]:
    """`count` axes side by side in one figure. options: as of `plt.subplots`, such as sharey=True."""
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, count, figsize=(7.2, height), squeeze=False, layout="constrained", **options)
    return list(axes[0])


def lines(
    curves: Mapping[str, Any], axis: Any = None, title: str = "", x: str = "", y: str = "", log: str = "", **style: Any
) -> None:
    """Curves by name, on `axis` or in a figure of their own: each is y (N,) or a pair (x, y). log: the axes that are
    logarithmic, "x", "y" or "xy"; style: as of matplotlib's `plot`."""
    axis = axis or panels(1)[0]
    for name, curve in curves.items():
        places = curve if isinstance(curve, tuple) else (range(len(curve)), curve)
        axis.plot(*(np.asarray(part) for part in places), label=name, **style)
    _finish(axis, curves, title, x, y, log)


def histogram(values: Mapping[str, Any], axis: Any = None, title: str = "", x: str = "", bins: int = 60, **style: Any) -> None:
    """How often each value comes, by name, as densities over one range. style: as of matplotlib's `hist`."""
    axis = axis or panels(1)[0]
    arrays = {name: np.asarray(value).ravel() for name, value in values.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins)
    for name, array in arrays.items():
        axis.hist(array, edges, density=True, label=name, **{"alpha": 0.5, **style})
    _finish(axis, values, title, x)


def cloud(points: Any, axis: Any = None, title: str = "", limit: float | None = None, **style: Any) -> None:
    """Points (N, 2) as dots, in a square of -limit..limit if that is given, without numbers at its sides."""
    axis = axis or panels(1)[0]
    axis.scatter(*np.asarray(points).T, **{"s": 1, **style})
    axis.set(title=title, xticks=[], yticks=[], aspect="equal")
    if limit is not None:
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit))


def heatmap(
    values: Any, rows: Sequence[str] = (), columns: Sequence[str] = (), axis: Any = None, title: str = "", digits: int = 2,
    **style: Any,
) -> None:  # fmt: skip
    """A matrix (R, C) as coloured squares with their numbers in them, and names at its sides. digits: behind the point, -1
    for no numbers; style: as of matplotlib's `imshow`, such as vmin and vmax."""
    table = np.asarray(values, dtype=float)
    axis = axis or panels(1, height=0.8 + 0.36 * len(table))[0]
    image = axis.imshow(table, aspect="auto", **{"cmap": "viridis", **style})
    axis.set(title=title, xticks=range(len(columns)), yticks=range(len(rows)))
    axis.set_xticklabels(columns, rotation=30, ha="right", fontsize=7)
    axis.set_yticklabels(rows, fontsize=7)
    for (row, column), value in np.ndenumerate(table) if digits >= 0 else ():
        dark = image.norm(value) < 0.6
        axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=7, color="white" if dark else "black")


def overlay(images: Tensor, maps: Tensor, strength: float = 0.75) -> Tensor:
    """Images (B, 3, H, W) in -1..1, darkened where a map (B, h, w) is low: where does it look? Every map is stretched to 0..1
    for itself and enlarged smoothly. Returns (B, 3, H, W)."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    light = ((maps - low) / (high - low).clamp(min=1e-12))[:, None].to(images)  # (B, 1, h, w)
    light = torch.nn.functional.interpolate(light, size=images.shape[-2:], mode="bilinear")  # (B, 1, H, W)
    return (images + 1) * (1 - strength + strength * light) - 1


def _finish(axis: Any, names: Mapping[str, Any], title: str, x: str = "", y: str = "", log: str = "") -> None:
    axis.set(title=title, xlabel=x, ylabel=y)
    for side in log:
        axis.set(**{f"{side}scale": "log"})
    if any(names):
        axis.legend(fontsize=7)


def slider(draw: Callable[[Any, Any], None], name: str, values: Sequence[Any]) -> None:
    """A slider called `name` through `values` in a live notebook, a row of small plots elsewhere. draw(value, axes) plots one
    of the values on matplotlib's axes."""
    import matplotlib.pyplot as plt

    def one(value: Any) -> None:
        _, axis = plt.subplots(figsize=(4, 3), layout="constrained")
        draw(value, axis)
        plt.show()

    if os.environ.get(STATIC):
        columns = min(3, len(values)) if len(values) != 4 else 4
        rows = -(-len(values) // columns)
        _, axes = plt.subplots(rows, columns, figsize=(7.5, 2.3 * rows), squeeze=False, layout="constrained")
        for k, axis in enumerate(axes.flat):
            if k < len(values):
                draw(values[k], axis)
                axis.set_title(f"{name} = {values[k]}", fontsize=8)
            else:
                axis.set_axis_off()
        plt.show()
        return
    import ipywidgets

    control = ipywidgets.SelectionSlider(options=list(values), value=values[len(values) // 2], description=name)
    ipywidgets.interact(one, value=control)
