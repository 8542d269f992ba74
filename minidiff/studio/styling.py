"""Pictures with LoRAs: which cells the tab Styles shows, how they are drawn, and whether a dropped file is a LoRA of the model.

Visitors share the models, so nothing here writes into one: LoRAs go into a copy that a drawing has for itself
(`pipelines/loras.py: apart`). How cells look is in `styles_html.py`; the training of a LoRA is in `teaching.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from minidiff.pipelines import loras
from minidiff.pipelines.request import Request, RequestError, number
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained.adapters import OtherBase, read_lora
from minidiff.pretrained.weight_file import outline
from minidiff.studio.callbacks import pngs
from minidiff.studio.labels import STYLE_NAMES
from minidiff.studio.refusals import Refusal

DEFAULT = 0.8  # the strength of a LoRA that was just chosen
SWEEP = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
MAX_SWEEP = 9  # strengths in a row
MAX_FILE = 2_000_000  # bytes of a LoRA that is dropped in


@dataclass(frozen=True)
class Cell:
    """A picture to draw: the row it stands in, and the strengths of its LoRAs by name."""

    row: int
    strengths: Mapping[str, float]


@dataclass(frozen=True)
class Drawn:
    """A finished picture. again: its latent is another cell's, and only the decoder worked. milliseconds: of this one."""

    cell: Cell
    image: Image.Image
    milliseconds: float
    again: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a drawing stands: cell and step, 1..n; `drawn` at the end of the cell. ended: "done", "stopped" or "too_long"."""

    cell: int
    index: int = 0
    n: int = 0
    drawn: Drawn | None = None
    ended: str = ""


@dataclass(frozen=True)
class Chosen:
    """LoRAs with their strengths. own: a checked file of the visitor's, by its name in the mix."""

    strengths: dict[str, float]
    own: dict[str, Path] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, Path | str]:
        return {name: self.own.get(name, name) for name in self.strengths}


def choose(pipeline: TextToImage, table: Any, file: Any = None, own_weight: Any = DEFAULT) -> Chosen:
    """What the controls say: strengths by the zoo's names, and a dropped file. Raises RequestError for names and strengths that
    are not allowed, and for a file that is no LoRA of this model."""
    chosen = Chosen(loras.strengths_of(table, pipeline.model))
    if not file:
        return chosen
    strength = number(own_weight, "lora_strength", loras.WEAKEST, loras.STRONGEST)
    path = Path(str(file))
    check_file(path, pipeline)
    name = own_name(path.stem)
    return Chosen({**chosen.strengths, name: strength}, {name: path})


def own_name(stem: str) -> str:
    """What a visitor's LoRA is called: its file's name in plain signs, and none of the zoo's."""
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-._")[:40] or "lora"
    return f"my-{name}" if name in loras.shipped() else name


def check_file(path: Path, pipeline: TextToImage) -> None:
    """Raises Refusal unless a file is a LoRA of this model, as safetensors: with known layers in their shapes, finite, and of
    at most MAX_FILE bytes."""
    said = path.name[-60:]
    if path.suffix.lower() != ".safetensors":
        raise Refusal("style_kind", given=said)
    if not path.is_file():
        raise Refusal("style_gone", given=said)
    if path.stat().st_size > MAX_FILE:
        raise Refusal("style_large", given=said, most=MAX_FILE // 10**6)
    try:
        outline(path)
    except ValueError:
        raise Refusal("style_damaged", given=said) from None
    there = loras.LoRAs(pipeline)
    try:
        parts = read_lora(path, {part: mixer.model for part, mixer in there.mixers.items()})
    except OtherBase:
        raise Refusal("style_other", given=said, model=pipeline.model) from None
    except (ValueError, ArithmeticError, RuntimeError):  # the last two for numbers of alpha that are none
        raise Refusal("style_no_lora", given=said) from None
    try:
        for part, factors in parts.items():
            there.mixers[part].add("own", factors)
    except ValueError:  # the layers are known, but of other shapes
        raise Refusal("style_other", given=said, model=pipeline.model) from None
    if not all(one.product().isfinite().all() for factors in parts.values() for one in factors.values()):
        raise Refusal("style_no_lora", given=said)


# ----------------------------------------------------------------------------------------------------------------- cells


def mix_cells(strengths: Mapping[str, float]) -> list[Cell]:
    """Without any, each alone where there are several, and all of them together."""
    alone = [{name: strength} for name, strength in strengths.items()] if len(strengths) > 1 else []
    return [Cell(0, one) for one in ({}, *alone, dict(strengths))]


def sweep_cells(names: Sequence[str], strengths: Sequence[float]) -> list[Cell]:
    """A row for each LoRA, alone, with every strength. Raises RequestError for none, too many and those out of range."""
    if not names:
        raise Refusal("style_none")
    values = list(dict.fromkeys(number(one, "lora_strength", loras.WEAKEST, loras.STRONGEST) for one in strengths))
    if not 1 <= len(values) <= MAX_SWEEP:
        raise Refusal("style_sweep", most=MAX_SWEEP)
    return [Cell(row, {name: value}) for row, name in enumerate(names) for value in values]


def samplings(worn: loras.LoRAs, cells: Sequence[Cell]) -> int:
    """How many of the cells need the network; for the others the decoder alone works."""
    return len({moving(cell.strengths, worn.moves_latents) for cell in cells})


def moving(strengths: Mapping[str, float], moves: Callable[[str], bool]) -> tuple[tuple[str, float], ...]:
    """The part of a mix that decides the latent."""
    return tuple(sorted((name, strength) for name, strength in strengths.items() if strength and moves(name)))


def draw_cells(
    worn: loras.LoRAs, request: Request, cells: Sequence[Cell],
    stopped: Callable[[], bool] = lambda: False, most_seconds: float = 120.0, clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Progress]:  # fmt: skip
    """Draws one cell after another with one seed, and yields after each step. A latent that an earlier cell had, too, is only
    decoded. worn: LoRAs that nobody else has, see `pipelines/loras.py: apart`. stopped: asked after each step. Raises
    Refusal for LoRAs at which the numbers overflow."""
    start = clock()
    latents: dict[tuple[tuple[str, float], ...], Tensor] = {}
    for place, cell in enumerate(cells):
        before = clock()
        worn.mix(cell.strengths)
        key = moving(cell.strengths, worn.moves_latents)
        again = key in latents
        try:
            if again:
                image = worn.pipeline.decode(latents[key])[0]
            else:
                for preview in worn.pipeline.stream(request):
                    if preview.images is not None:
                        break
                    yield Progress(place, preview.index, preview.n)
                    if ended := _ended(stopped(), clock() - start > most_seconds):
                        yield Progress(place, ended=ended)
                        return
                latents[key], image = preview.latents, preview.images[0]  # type: ignore[index]
        except RequestError:
            raise
        except ValueError:
            raise Refusal("style_overflow") from None
        last = place + 1 == len(cells)
        yield Progress(place, drawn=Drawn(cell, image, 1000 * (clock() - before), again), ended="done" if last else "")
        if not last and (ended := _ended(stopped(), clock() - start > most_seconds)):
            yield Progress(place, ended=ended)
            return


def _ended(stopped: bool, too_long: bool) -> str:
    return "stopped" if stopped else "too_long" if too_long else ""


def png(pipeline: TextToImage, request: Request, drawn: Drawn) -> bytes:
    """A picture as a PNG file that says how it was made."""
    worn = {name: one for name, one in drawn.cell.strengths.items() if one}
    return pngs(pipeline, request, [drawn.image], worn)[0]


def title(name: str, lang: str) -> str:
    """What a LoRA is called on the page."""
    return STYLE_NAMES.get(name, {}).get(lang, name)
