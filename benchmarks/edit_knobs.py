"""What the strengths of Edit buy and cost: `python -m benchmarks.edit_knobs`, written to minidiff/studio/measured_edits.json.

Held-out scenes are edited, of which all is known. Strength: one group is to have another colour; the judge says whether the
picture shows all that the new prompt says, and the pixels outside of that group how much of the rest stays. Weight of a style:
style transfer with each of the shipped styles; the style judge says which style it sees, and whether all is still there.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageChops, ImageFilter
from tqdm import tqdm

from minidiff.data.world.captions import phrase
from minidiff.data.world.drawing import COLOURS
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Scene
from minidiff.doctor import processor
from minidiff.evaluate.judge import load_judge, look
from minidiff.evaluate.report import percent, save_json, table
from minidiff.evaluate.verdict import judge as verdict
from minidiff.pipelines.img2img import img2img
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import LoRAs, shipped
from minidiff.pipelines.style_transfer import restyle
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.studio.measured import EDITS, Edited, MeasuredEdits

STRENGTHS, WEIGHTS = (0.4, 0.6, 0.8), (0.4, 0.8, 1.2)
SPLIT = "validation"
SAME = 24       # levels of 255 by which a pixel may differ and still be the same to the eye
RIM = 7         # pixels; what lies nearer to the group that changes isn't counted
Figures = dict[float, tuple[float, float]]  # value of the control -> shares of pictures that show what was asked, of what stays


def recoloured() -> Iterator[tuple[Scene, Scene]]:
    """Held-out scenes, and the same with a first group of another colour."""
    for index in count():
        scene = scene_at(index, SPLIT)
        colours = [colour for colour in COLOURS if all(colour != group.colour for group in scene.groups)]
        first = replace(scene.groups[0], colour=random.Random(index).choice(colours))
        yield scene, replace(scene, groups=(first, *scene.groups[1:]))


def of_strength(pipeline: TextToImage, scenes: int) -> Figures:
    """Share of pictures that show all that the new prompt says, and of pixels outside of the group that stay."""
    judge = load_judge()
    shows: dict[float, list[float]] = {strength: [] for strength in STRENGTHS}
    stays: dict[float, list[float]] = {strength: [] for strength in STRENGTHS}
    for k, (old, new) in enumerate(tqdm(islice(recoloured(), scenes), total=scenes, desc="strength", leave=False)):
        drawn = render(old, pipeline.image_size, masks=True)
        changes = Image.fromarray(drawn.masks[drawn.group == 0].max(axis=0)).filter(ImageFilter.MaxFilter(RIM))
        start, prompt = Image.fromarray(drawn.image), phrase(new, ("en", "vi")[k % 2], random.Random(k))
        for strength in STRENGTHS:
            (image,) = img2img(pipeline, start, pipeline.request(prompt, seed=k, expand_prompt=False), strength)
            shows[strength].append(verdict(new, look(judge, [image])[0]).right)
            apart = np.asarray(ImageChops.difference(start, image)).max(axis=2)[np.asarray(changes) == 0]
            stays[strength].append(float((apart <= SAME).mean()))
    return {strength: (statistics.mean(shows[strength]), statistics.mean(stays[strength])) for strength in STRENGTHS}


def of_style_weight(pipeline: TextToImage, scenes: int) -> Figures:
    """Share of pictures that the style judge finds in the style, and in which it finds all that was there."""
    judge, loras = load_judge("world-style-judge"), LoRAs(pipeline)
    styles = {name: zoo.entry(name)["config"]["lora"].get("style") for name in shipped(pipeline.model)}
    names = [name for name, style in styles.items() if style and not loras.moves_latents(loras.load(name, name))]
    found: Figures = {}
    for weight in WEIGHTS:
        shows, stays = [], []
        for name in tqdm(names, desc=f"weight {weight:g}", leave=False):
            loras.mix({name: weight})
            for index in range(scenes):
                scene = scene_at(index, SPLIT)
                (image,) = restyle(pipeline, Image.fromarray(render(scene, pipeline.image_size).image))
                (seen,) = look(judge, [image])
                shows.append(float(seen.style == styles[name]))
                stays.append(float(verdict(scene, seen).right))
        found[weight] = statistics.mean(shows), statistics.mean(stays)
    loras.mix({})
    return found


def rows(knob: str, figures: Figures) -> list[Edited]:
    """A row for each step from one value to the next."""
    found = []
    for (before, old), (after, new) in pairwise(figures.items()):
        shares = (round(share, 3) for share in (old[0], new[0], old[1], new[1]))
        found.append(Edited(knob, f"{before:g}", f"{after:g}", *shares))
    return found


def main() -> None:
    """Measure, write the file, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edit_knobs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="world-dit", help="a model of the drawn world (default world-dit)")
    parser.add_argument("--scenes", type=int, default=100, help="how many are edited (default 100)")
    parser.add_argument("--out", type=Path, default=EDITS, help="where the figures go (default: where the studio reads them)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipeline, (name, _) = load_pipeline(options.model, device="cpu"), processor()
    changes = rows("strength", of_strength(pipeline, options.scenes))
    changes += rows("style_weight", of_style_weight(pipeline, options.scenes))
    found = MeasuredEdits(pipeline.model, pipeline.model_hash, date.today().isoformat(), name, options.scenes, tuple(changes))
    save_json(asdict(found), options.out)
    told: list[list[Any]] = [
        [f"{c.knob}: {c.before} to {c.after}", *map(percent, (c.shows_before, c.shows_after, c.stays_before, c.stays_after))]
        for c in changes
    ]
    print(f"{found.model}, {found.n} held-out scenes, {found.processor}, {found.date}")
    print(table(["", "shows what was asked: before", "after", "what stays: before", "after"], told))
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
