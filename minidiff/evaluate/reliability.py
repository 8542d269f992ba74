"""How far the judge can be trusted: its accuracy on renders it has never seen, clean and with faults, and how often it
notices a claim in which one thing is false (a judge that finds everything right would score 100 % on true claims).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.data.world.corruptions import CORRUPTIONS, corrupt
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import FLAT, render
from minidiff.data.world.scenes import COLOURS, OPPOSITES, PLACES, SETTINGS, SHAPES, Scene
from minidiff.evaluate.judge import Seen, look, to_batch
from minidiff.evaluate.verdict import judge as give_verdict
from minidiff.models.detector import Detector

Fault = Callable[[Tensor, torch.Generator], Tensor]


def test_scenes(count: int, first: int = 0) -> list[Scene]:
    """Scenes that the judge was not trained on, of any composition."""
    return [scene_at(first + k, "judge_test") for k in range(count)]


def rendered(scenes: list[Scene], size: int = 128, style: str = FLAT) -> Tensor:
    """Images of the scenes, (B, 3, size, size) in 0..1."""
    return to_batch(np.stack([render(scene, size, style).image for scene in scenes]), size)


def looked_at(
    judge: Detector, scenes: list[Scene], fault: Fault | None = None, batch: int = 64, quiet: bool = True, name: str = "",
    style: str = FLAT,
) -> Iterator[tuple[Scene, Seen]]:
    """Render, corrupt and look; the faults are the same in every run."""
    generator = torch.Generator().manual_seed(0)
    for start in tqdm(range(0, len(scenes), batch), desc=name, unit="batch", disable=quiet, leave=False):
        part = scenes[start : start + batch]
        images = rendered(part, judge.config.image_size, style)
        yield from zip(part, look(judge, images if fault is None else fault(images, generator)), strict=True)


def confirms(pairs: Iterator[tuple[Scene, Seen]]) -> dict[str, float]:
    """Share of true claims found true, by attribute; `overall`: of images in which everything was found true."""
    votes: dict[str, list[bool]] = defaultdict(list)
    for scene, seen in pairs:
        verdict = give_verdict(scene, seen)
        for name, value in {**verdict.attributes, "overall": verdict.right}.items():
            votes[name].append(value)
    return {name: sum(values) / len(values) for name, values in votes.items()}


def notices(pairs: Iterator[tuple[Scene, Seen]], seed: int = 0) -> dict[str, float]:
    """Share of false claims found false, by the attribute in which they are false."""
    rng, votes = random.Random(seed), defaultdict(list)
    for scene, seen in pairs:
        for name in FALSE:
            claim = falsify(scene, name, rng)
            if claim is not None:
                votes[name].append(not give_verdict(claim, seen).right)
    return {name: sum(values) / len(values) for name, values in votes.items()}


def falsify(scene: Scene, attribute: str, rng: random.Random) -> Scene | None:
    """The scene as a claim with one thing false, or None if it has nothing of that attribute."""
    return FALSE[attribute](scene, rng)


def _other(rng: random.Random, names: tuple[str, ...], *but: str | None) -> str:
    return rng.choice([name for name in names if name not in but])


def _change(scene: Scene, rng: random.Random, name: str, value: Callable[[object], object]) -> Scene:
    """The scene with one field of a random group changed."""
    k = rng.randrange(len(scene.groups))
    changed = replace(scene.groups[k], **{name: value(getattr(scene.groups[k], name))})  # type: ignore[arg-type]
    return replace(scene, groups=(*scene.groups[:k], changed, *scene.groups[k + 1 :]))


def _false_object(scene: Scene, rng: random.Random) -> Scene:
    kind = _other(rng, SHAPES, *(group.kind for group in scene.groups))
    return _change(scene, rng, "kind", lambda _: kind)


def _false_count(scene: Scene, rng: random.Random) -> Scene:
    return _change(scene, rng, "count", lambda n: int(n) + (rng.choice((-1, 1)) if int(n) > 1 else 1))  # type: ignore[call-overload]


def _false_colour(scene: Scene, rng: random.Random) -> Scene:
    colour = _other(rng, COLOURS, *(group.colour for group in scene.groups))
    return _change(scene, rng, "colour", lambda _: colour)


def _false_size(scene: Scene, rng: random.Random) -> Scene:
    return _change(scene, rng, "size", lambda size: "small" if size == "big" else "big")


def _false_position(scene: Scene, rng: random.Random) -> Scene | None:
    """Another place, the relation reversed, or another thing in between."""
    if scene.groups[0].place:
        return _change(scene, rng, "place", lambda place: _other(rng, PLACES, str(place)))
    if scene.relation is None:
        return None
    if scene.relation == "between":
        first, second, third = scene.groups
        return replace(scene, groups=(second, first, third))
    return replace(scene, relation=OPPOSITES[scene.relation])


def _false_binding(scene: Scene, rng: random.Random) -> Scene | None:
    """The colours of two groups of different kinds, exchanged."""
    if len(scene.groups) < 2 or scene.groups[0].kind == scene.groups[1].kind:
        return None
    first, second, *rest = scene.groups
    if first.colour == second.colour:
        return None
    swapped = replace(first, colour=second.colour), replace(second, colour=first.colour)
    return replace(scene, groups=(*swapped, *rest))


def _false_setting(scene: Scene, rng: random.Random) -> Scene:
    return replace(scene, setting=_other(rng, SETTINGS, scene.setting))


FALSE: dict[str, Callable[[Scene, random.Random], Scene | None]] = {
    "object": _false_object, "count": _false_count, "colour": _false_colour, "size": _false_size,
    "position": _false_position, "binding": _false_binding, "setting": _false_setting,
}  # fmt: skip


def reliability(judge: Detector, count: int = 2000, quiet: bool = True) -> dict[str, dict[str, float]]:
    """What is printed beside every figure of the judge: rows "real" (true claims on clean renders), "false claims noticed",
    "corrupted" (a mixture of faults), and one for each fault alone on a quarter of the scenes."""
    scenes = test_scenes(count)
    clean = list(looked_at(judge, scenes, quiet=quiet, name="judge: real renders"))
    rows = {"real": confirms(iter(clean)), "false claims noticed": notices(iter(clean))}
    rows["corrupted"] = confirms(looked_at(judge, scenes, corrupt, quiet=quiet, name="judge: corrupted"))
    for name, fault in CORRUPTIONS.items():
        rows[name] = confirms(looked_at(judge, scenes[: max(1, count // 4)], fault, quiet=quiet, name=f"judge: {name}"))
    return rows


def style_reliability(judge: Detector, count: int = 500, quiet: bool = True) -> dict[str, dict[str, float]]:
    """What is printed beside the figures of a judge that knows styles, a row for each. right: everything in true claims was
    found; noticed: false claims found false, of all attributes together; right, faults: right in images with a mixture of
    faults; own style, own style, faults: share whose style it named."""
    scenes = test_scenes(count)
    rows = {}
    for style in judge.config.styles:
        clean = list(looked_at(judge, scenes, quiet=quiet, name=f"judge: {style}", style=style))
        faults = list(looked_at(judge, scenes, corrupt, quiet=quiet, name=f"judge: {style}, faults", style=style))
        noticed = notices(iter(clean)).values()
        rows[style] = {
            "right": confirms(iter(clean))["overall"], "noticed": sum(noticed) / len(noticed),
            "right, faults": confirms(iter(faults))["overall"], "own style": named(clean, style),
            "own style, faults": named(faults, style),
        }  # fmt: skip
    return rows


def named(pairs: list[tuple[Scene, Seen]], style: str) -> float:
    """The share in which a judge named this style."""
    return sum(seen.style == style for _, seen in pairs) / len(pairs)
