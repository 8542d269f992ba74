"""How well are pictures enlarged? `minidiff evaluate super-resolution` enlarges small pictures twice or four times and compares
with the large ones that they were made of (Urban100's layout).

PSNR, SSIM and LPIPS; PSNR and SSIM of the brightness without a border, as papers print them; edge consistency (F1 of the edges,
and a soft version); FID, KID, precision and recall of the whole set. Beside them: bicubic and nearest-neighbour interpolation,
the true pictures through JPEG, and another picture. What it is not: an upscaler (pipelines/upscale.py).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor
from tqdm import tqdm

from minidiff.evaluate.edges import edge_f1, soft_edge_ssim
from minidiff.evaluate.figures import MOST_PSNR, mean_row, set_rows
from minidiff.evaluate.gallery import Gallery, Made, finished_pictures, gallery, kept_pictures, spread
from minidiff.evaluate.instruments import Instruments, WeightOptions, load_instruments, to_floats, verified
from minidiff.evaluate.layouts import Enlarged, Found, LayoutError, read_urban100
from minidiff.evaluate.metrics import psnr, ssim
from minidiff.evaluate.pages import Results, remarks_on_sets, sheet_of, write
from minidiff.evaluate.picture_options import PictureOptions, check_options
from minidiff.pipelines.png_metadata import save_image
from minidiff.pipelines.upscale import load_upscaler, upscale
from minidiff.utils.devices import check_device

STEM = "upscaled"
SAMPLES = 10  # pictures in sample_results
JPEG = 75  # quality of a control
DETAIL = 48  # pixels of the low picture that the report's sheet shows

Upscale = Callable[[Image.Image, int], Image.Image]
"""A picture and a factor to the picture with so many times its width and height."""


def interpolation(filter: Image.Resampling) -> Callable[[str], Upscale]:
    """One of Pillow's filters, as a model."""
    return lambda device: lambda low, factor: low.resize((low.width * factor, low.height * factor), filter)


def world_upscaler(device: str) -> Upscale:
    """The network that is trained here."""
    model = load_upscaler(device=device)
    return lambda low, factor: upscale(model, low, factor)


# What enlarges pictures: name to a function of the device that loads it.
UPSCALERS: dict[str, Callable[[str], Upscale]] = {
    "bicubic": interpolation(Image.Resampling.BICUBIC), "nearest": interpolation(Image.Resampling.NEAREST),
    "lanczos": interpolation(Image.Resampling.LANCZOS), "world-upscaler": world_upscaler,
}  # fmt: skip


@dataclass(kw_only=True)
class SuperResolutionRun(PictureOptions, WeightOptions):
    """Measure super-resolution on pairs of large and small pictures: PSNR, SSIM, LPIPS, edge consistency, FID."""

    out: Path = Path("runs/super-resolution")
    """Folder for urban100_x4_results.json, .md and .png, and sample_results/result_000_sr.png and result_000_hr.png, ..."""
    factor: Literal[2, 4] = 4
    """How many times larger."""
    model: str = "bicubic"
    """bicubic, nearest, lanczos or world-upscaler."""

    def __post_init__(self) -> None:
        check_options(self, "minidiff evaluate super-resolution")
        if self.model not in UPSCALERS:
            raise ValueError(f"There is no upscaler {self.model!r}: choose one of {', '.join(UPSCALERS)}.")

    @property
    def own(self) -> str:
        """What the model's row is called."""
        return self.pictures.name if self.pictures else self.model

    def settings(self) -> dict[str, Any]:
        """What decides how a picture looks."""
        made = {"pictures": str(self.pictures.absolute())} if self.pictures else {"model": self.model}
        return {**made, "factor": self.factor, "data": str(self.data.absolute())}


def evaluate(run: SuperResolutionRun) -> dict[str, Any]:
    """Enlarge, measure, print tables, write the report; returns what the JSON holds. Raises ValueError for data, models and
    files that can't be used, before anything is enlarged."""
    verified(run)
    found, device = read_urban100(run.data, run.factor, run.max_samples), check_device(run.device)
    with gallery(run.out / f"x{run.factor}", STEM, run.settings(), run.fresh) as kept:
        pairs, made = taken(run, found) if run.pictures else enlarged(run, found, kept, device)
        results = measured(run, pairs, made, found, load_instruments(run, device))
        results.about |= {"settings": run.settings(), "max_samples": run.max_samples}
        staying = [] if run.pictures else spread(len(found.pairs), run.save_images_ratio)
        results.name_files(kept.path, staying)
        save_samples(pairs, made, run.out / "sample_results")
        write(results, run.out, f"urban100_x{run.factor}_results", sheet(run, pairs, made))
        if not run.pictures:
            kept.thin_out(len(found.pairs), staying)
    print(results.text())
    print(f"{run.out}/urban100_x{run.factor}_results.json holds the figures, sample_results the first {SAMPLES} pictures.")
    return results.record()


def enlarged(
    run: SuperResolutionRun, found: Found[Enlarged], kept: Gallery, device: str
) -> tuple[list[tuple[int, Enlarged]], Made]:
    """(number, pair) of all pictures, enlarged. What can't be is noted as skipped."""
    upscale, done = UPSCALERS[run.model](device), []
    for number, pair in enumerate(tqdm(found.pairs, desc=run.model, unit="picture"), start=1):
        if kept.finished(number, pair.name) is None:
            try:
                kept.save(number, pair.name, upscale(pair.read()[1], run.factor))
            except ValueError as error:
                found.notes.skipped.append((pair.name, str(error)))
                continue
        done.append((number, pair))
    if not done:
        raise LayoutError(f"None of {len(found.pairs)} pictures could be enlarged: {found.notes.skipped[-1][1]}")
    return done, kept_pictures(done, lambda pair: pair.name, kept)


def taken(run: SuperResolutionRun, found: Found[Enlarged]) -> tuple[list[tuple[int, Enlarged]], Made]:
    """Somebody else's pictures, called as the pair, as either file of it, or as this command calls them."""
    assert run.pictures is not None

    def names(pair: Enlarged, number: int) -> list[str]:
        ends = ("", f"_SRF_{run.factor}_SR", f"_SRF_{run.factor}_HR", f"_SRF_{run.factor}_LR", "_SR", f"x{run.factor}")
        return [*(pair.name + end for end in ends), f"{STEM}_{number:05}", f"result_{number - 1:03}_sr"]

    return finished_pictures(run.pictures, found.pairs, names, lambda pair: pair.read()[0].size, found.notes)


# --- the figures ------------------------------------------------------------------------------------------------------


def measured(
    run: SuperResolutionRun, pairs: list[tuple[int, Enlarged]], made: Made, found: Found[Enlarged], instruments: Instruments
) -> Results:
    """All rows: the model's, and its controls."""

    def real(k: int) -> Image.Image:
        return pairs[k][1].read()[0]

    def interpolated(name: str) -> Made:
        upscale = UPSCALERS[name]("cpu")
        return lambda k: upscale(pairs[k][1].read()[1], run.factor)

    def other(k: int) -> Image.Image:
        return real((k + 1) % len(pairs)).resize(real(k).size)

    kinds: dict[str, Made] = {run.own: made}
    kinds |= {name: interpolated(name) for name in ("bicubic", "nearest") if name != run.own}
    kinds |= {f"real, through JPEG {JPEG}": lambda k: through_jpeg(real(k)), "another picture": other}
    edges = find_spec("skimage") is not None
    if not edges:
        instruments.not_run["edge consistency"] = "not run: scikit-image absent (pip install 'minidiff[eval]')"
    single = {name: each(run, pairs, kind, instruments, edges, name) for name, kind in kinds.items()}
    rows = {name: mean_row(values) for name, values in single.items()}
    del kinds["another picture"]  # as a set they are the real ones
    for name, row in set_rows(instruments, real, len(pairs), kinds).items():
        rows.setdefault(name, {}).update(row)
    own = single[run.own]
    pictures = [{"number": number, "name": pair.name, **{key: values[k] for key, values in own.items()}}
                for k, (number, pair) in enumerate(pairs)]  # fmt: skip
    explained = ("Edge consistency is the F1 of Canny's edges against those of the true picture, at 1 pixel; soft-edge SSIM "
                 "compares how strong the edges are. PSNR-Y and SSIM-Y are of the brightness, as papers print them, without "
                 f"{run.factor} pixels at each side.")  # fmt: skip
    remarks = [explained, *remarks_on_sets(instruments, len(pairs))]
    return Results(f"Super-resolution x{run.factor}", rows, instruments, found.notes, {}, pictures, remarks)


def each(
    run: SuperResolutionRun, pairs: list[tuple[int, Enlarged]], made: Made, instruments: Instruments, edges: bool, name: str
) -> dict[str, list[float]]:
    """What each picture has of its own."""
    values: dict[str, list[float]] = {}
    for k, (_, pair) in enumerate(tqdm(pairs, desc=f"measuring, {name}", unit="picture", leave=False)):
        picture, image = pair.read()[0], made(k)
        a, b = to_floats(picture), to_floats(image)
        y, z = brightness(a, run.factor), brightness(b, run.factor)
        one = {
            "psnr": min(float(psnr(b, a)), MOST_PSNR), "ssim": float(ssim(b, a)), "distance": float(instruments.distance(b, a)),
            **({"edges": edge_f1(np.asarray(image), np.asarray(picture))} if edges else {}),
            "psnr_y": min(float(psnr(z, y)), MOST_PSNR), "ssim_y": float(ssim(z, y)), "soft_edges": float(soft_edge_ssim(b, a)),
        }  # fmt: skip
        for key, value in one.items():
            values.setdefault(key, []).append(value)
    return values


def brightness(pictures: Tensor, border: int) -> Tensor:
    """Y of ITU-R BT.601 as MATLAB's rgb2ycbcr has it, (B, 3, H, W) in 0..1 to (B, 1, H - 2 border, W - 2 border): what papers
    on super-resolution compare."""
    y = (pictures * torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True) + 16
    return (y / 255)[..., border:-border, border:-border]


def through_jpeg(picture: Image.Image) -> Image.Image:
    """Compressed and opened again."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG)
    return Image.open(buffer).convert("RGB")


def save_samples(pairs: list[tuple[int, Enlarged]], made: Made, folder: Path) -> None:
    """The first pictures, result_000_sr.png, and the true ones, result_000_hr.png."""
    for k in range(min(len(pairs), SAMPLES)):
        for kind, image in (("sr", made(k)), ("hr", pairs[k][1].read()[0])):
            save_image(image, folder / f"result_{k:03}_{kind}.png", PngImagePlugin.PngInfo())


def sheet(run: SuperResolutionRun, pairs: list[tuple[int, Enlarged]], made: Made) -> Image.Image:
    """A detail of some pictures: as it is in the small one, by bicubic, by the model, and truly."""
    rows = []
    for k in np.linspace(0, len(pairs) - 1, min(len(pairs), 4)).round().astype(int).tolist():
        high, low = pairs[k][1].read()
        side = min(DETAIL, *low.size)
        left, top = (low.width - side) // 2, (low.height - side) // 2
        small = low.crop((left, top, left + side, top + side))
        box = (left * run.factor, top * run.factor, (left + side) * run.factor, (top + side) * run.factor)
        row = [(UPSCALERS["nearest"]("cpu")(small, run.factor), "small")]
        row.append((UPSCALERS["bicubic"]("cpu")(low, run.factor).crop(box), "bicubic"))
        row += [] if run.own == "bicubic" else [(made(k).crop(box), run.own)]
        rows.append([*row, (high.crop(box), "real")])
    return sheet_of(rows)
