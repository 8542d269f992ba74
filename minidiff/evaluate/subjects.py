"""After DreamBooth: is it *that* one (identity), and are others of its class still themselves (drift)?

A thing is cut out where the judge finds one, and what two of the judge's layers make of it is read by a linear map that was
fitted to drawings: how much of the subject is in it, 1 for the subject, a part for drawings that lack some of its marks or have
another colour, 0 for everything else. The map is fitted anew for each subject, in seconds, to seeds that no figure uses.
Published counterparts compare features of DINO, CLIP and LPIPS (Ruiz et al. 2023, section 4.1 and the prior preservation
ablation); `minidiff evaluate subjects` shows how far ours can be trusted. Not here: the subjects (data/world/subjects.py).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from minidiff.data.world.captions import SHAPES_EN, drop_details
from minidiff.data.world.corruptions import corrupt
from minidiff.data.world.layout import layout
from minidiff.data.world.random_scenes import complete
from minidiff.data.world.scenes import COLOURS, OPPOSITES, PLACES, SHAPES, Group, Scene
from minidiff.data.world.subjects import CLOSE, SUBJECTS, Subject, class_claim, draw_subject, subject_caption, subject_scene
from minidiff.evaluate.judge import Detection, Seen, load_judge, look, to_batch
from minidiff.evaluate.metrics import bootstrap_interval
from minidiff.evaluate.reconstruction import through_vae
from minidiff.evaluate.report import percent, save_json, table
from minidiff.evaluate.suites import LANGS, Prompt, phrase
from minidiff.evaluate.verdict import Verdict
from minidiff.evaluate.verdict import judge as give_verdict
from minidiff.evaluate.well_formed import squares
from minidiff.models.detector import Detector
from minidiff.models.vae import VAE
from minidiff.pretrained import zoo
from minidiff.pretrained.configs import build_model
from minidiff.utils.validation import Between, check

SCALES = (1.0, 0.72, 0.55)  # the judge knows no things as large as subjects: it also looks at reduced images
LAYERS = (2, 4)             # of `Detector.feature_maps`: an early one and the last
GRID = 6                    # cells along each side of a cut-out in which features are averaged
EXAMPLES = 64               # drawings of each sort to which the map is fitted
RIDGE = 0.03                # its penalty, as a share of the features' mean squared length
SAME = 0.5                  # from here on the subject rather than something else: half of what it is
FITTED, REPORTED, ASKED = 1 << 20, 2 << 20, 3 << 20  # first seeds: of the fit, of the calibration, of prompts


@dataclass(frozen=True)
class Probe:
    """A linear map from features (M, D) to how much of a subject is in each: `mean` and `weights` (D,), and a constant."""

    mean: Tensor
    weights: Tensor
    constant: float

    def amounts(self, features: Tensor) -> Tensor:
        """(M, D) to (M,), each from 0 to 1."""
        return ((features - self.mean) @ self.weights + self.constant).clamp(0, 1)


@dataclass(frozen=True)
class Match:
    """What in an image is most like a subject: how much (0 to 1), and where; None when the judge finds nothing at all."""

    score: float
    thing: Detection | None


# --- cutting out and describing -------------------------------------------------------------------------------------


def candidates(judge: Detector, images: Tensor) -> list[list[Detection]]:
    """What the judge finds in images (N, 3, S, S) of any of SCALES, each reduced and framed by its own edge."""
    side = images.shape[-1]
    found: list[list[Detection]] = [[] for _ in images]
    for scale in SCALES:
        small = round(side * scale)
        before = (side - small) // 2
        frame = (before, side - small - before) * 2
        reduced = images if scale == 1 else F.interpolate(images, size=(small, small), mode="bicubic", antialias=True)
        framed = F.pad(reduced.clamp(0, 1), frame, mode="replicate")
        for mine, seen in zip(found, look(judge, framed), strict=True):
            for thing in seen.things:
                x, y = ((at * side - before) / small for at in (thing.x, thing.y))
                mine.append(replace(thing, x=x, y=y, radius=thing.radius * side / small))
    return found


@torch.no_grad()
def described(judge: Detector, cuts: Tensor) -> Tensor:
    """Features (M, D) of cut-outs (M, 3, s, s) in 0..1: what LAYERS say, averaged in cells, of length 1 in each cell."""
    rows = []
    for part in cuts.to(next(judge.parameters()).device).split(64):
        maps = judge.eval().feature_maps(part)
        cells = [F.normalize(F.adaptive_avg_pool2d(maps[layer].float(), GRID), dim=1) / GRID for layer in LAYERS]
        rows.append(torch.cat([cell.flatten(1) for cell in cells], dim=1).cpu())
    return torch.cat(rows)


# --- fitting --------------------------------------------------------------------------------------------------------


def amount(subject: Subject, missing: int, recoloured: bool) -> float:
    """How much of a subject an altered drawing of it is: its body and each mark are equal parts, another colour takes half."""
    whole = 1 + len(subject.marks)
    return (whole - missing) / whole * (0.5 if recoloured else 1.0)


def altered(subject: Subject, rng: random.Random) -> tuple[Subject, float]:
    """The subject without some of its marks and perhaps in another colour, and how much of it that is."""
    missing = [mark for mark in subject.marks if rng.random() < 0.5]
    colour = rng.choice(COLOURS) if rng.random() < 0.5 else subject.colour
    changed = replace(subject.without(*missing), colour=colour)
    return changed, amount(subject, len(missing), colour != subject.colour)


def cut_out(subject: Subject, scene: Scene, rng: random.Random, astray: float) -> Tensor:
    """The first thing of a scene as the judge might find it, (3, s, s): off by up to `astray` of its radius."""
    thing = layout(scene)[0]
    x, y, grown = (rng.uniform(-astray, astray) for _ in range(3))
    there = Detection(subject.noun, subject.colour, thing.x + x * thing.radius, thing.y + y * thing.radius,
                      thing.radius * (1 + grown), 1.0)  # fmt: skip
    return squares(to_batch(draw_subject(subject, scene).image[None].copy())[0], [there])[0]


def with_faults(judge: Detector, cuts: Sequence[Tensor]) -> Tensor:
    """Features (2 M, D) of M cut-outs, and of the same with faults that generated images have: a VAE blurs."""
    sharp = torch.stack(list(cuts))
    return described(judge, torch.cat([sharp, corrupt(sharp, torch.Generator().manual_seed(0), 0.7)]))


@lru_cache(16)
def own_examples(subject: Subject, judge: Detector) -> tuple[Tensor, Tensor]:
    """Features (M, D) and amounts (M,): the subject itself, altered, others of its class, and other kinds of the world."""
    rng, cuts, amounts = random.Random(f"own {subject.name}"), [], []
    for seed in range(FITTED, FITTED + EXAMPLES):
        for one, how_much in ((subject, 1.0), altered(subject, rng), altered(subject, rng)):
            cuts.append(cut_out(one, subject_scene(one, seed), rng, 0.1))
            amounts.append(how_much)
        for kind, colour in ((subject.noun, subject.colour), (subject.noun, None), (rng.choice(SHAPES), None)):
            group = Group(kind, colour, rng.choice(("small", "big", CLOSE)))
            cuts.append(cut_out(subject, complete(Scene(None, (group,)), rng), rng, 0.3))
            amounts.append(0.0)
    return with_faults(judge, cuts), torch.tensor(amounts).repeat(2)


@lru_cache(16)
def strange_examples(other: Subject, judge: Detector) -> Tensor:
    """Features (M, D) of another subject, altered: nothing in them is of the one to be recognised."""
    rng, cuts = random.Random(f"strange {other.name}"), []
    for seed in range(FITTED, FITTED + EXAMPLES):
        one, _ = altered(other, rng)
        cuts.append(cut_out(one, subject_scene(one, seed), rng, 0.3))
    return with_faults(judge, cuts)


@lru_cache(16)
def fitted(subject: Subject, judge: Detector, others: tuple[Subject, ...]) -> Probe:
    """The map of a subject, which tells it from `others`, too: ridge regression in its dual form."""
    own, amounts = own_examples(subject, judge)
    strange = [strange_examples(other, judge) for other in others]
    x = torch.cat([own, *strange]).double()                                                     # (M, D)
    y = F.pad(amounts, (0, len(x) - len(amounts))).double()                                     # (M,), 0 for the others
    mean = x.mean(dim=0)
    gram = (x - mean) @ (x - mean).T                                                            # (M, M)
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    weights = (x - mean).T @ torch.linalg.solve(gram, y - y.mean())
    return Probe(mean.float(), weights.float(), float(y.mean()))


# --- identity -------------------------------------------------------------------------------------------------------


def matches(
    images: Any, subject: Subject, judge: Detector | None = None, others: Sequence[Subject] | None = None
) -> list[Match]:
    """What in each image is most like the subject. others: the subjects from which it is told apart; by default all others."""
    judge = judge or shipped_judge()
    against = SUBJECTS.values() if others is None else others
    probe = fitted(subject, judge, tuple(other for other in against if other.name != subject.name))
    best = []
    for part in to_batch(images, judge.config.image_size).split(64):
        for image, things in zip(part, candidates(judge, part), strict=True):
            scores = probe.amounts(described(judge, squares(image, things))).tolist() if things else [0.0]
            top = max(range(len(scores)), key=lambda k: scores[k])
            best.append(Match(scores[top], things[top] if things else None))
    return best


def identity(images: Any, subject: Subject, judge: Detector | None = None) -> Tensor:
    """How much of the subject each image shows, (N,) from 0 (something else) to 1 (the very one).

    images: N of them in any form that `judge.to_batch` takes, such as a list of PIL images or bytes (N, H, W, 3). judge: by
    default the shipped one. Raises ValueError for anything else.
    """
    return torch.tensor([match.score for match in matches(images, subject, judge)])


def follows(images: Any, claims: Sequence[Scene], subject: Subject, judge: Detector | None = None) -> list[Verdict]:
    """Whether each image shows what a prompt about the subject says, setting, place and company. A claim names the class in the
    subject's place (`subject_prompts`). The judge doesn't know the subject, so what is clearly it counts as of its class."""
    judge = judge or shipped_judge()
    found = zip(claims, look(judge, images), matches(images, subject, judge), strict=True)
    return [give_verdict(claim, introduced(seen, match, subject)) for claim, seen, match in found]


def introduced(seen: Seen, match: Match, subject: Subject) -> Seen:
    """What the judge found, with one thing of the subject's class where the subject is, if it is there."""
    here = match.thing
    if here is None or match.score < SAME:
        return seen
    others = [thing for thing in seen.things if math.dist((thing.x, thing.y), (here.x, here.y)) > here.radius]
    return replace(seen, things=(replace(here, kind=subject.noun), *others))


# --- drift ----------------------------------------------------------------------------------------------------------


def drift(
    before: Any, after: Any, claims: Sequence[Scene], subject: Subject, judge: Detector | None = None
) -> dict[str, dict[str, Any]]:
    """What fine-tuning did to the rest of the class: images of prompts without the token, made before and after it.

    before, after: N images each, as `identity` takes them, of the same claims (N), see `class_prompts`. Returns rows, each with
    "before" and "after": "right", the share of images that show what the prompt says, and "right interval"; "variety", the mean
    squared distance of two things of the class (DIV has LPIPS), NaN for fewer than two; "resemblance", the mean identity with
    the subject (PRES has cosines), and "taken for it", the share at SAME or above. Raises ValueError for unequal numbers.
    """
    judge = judge or shipped_judge()
    rows: dict[str, dict[str, Any]] = {}
    for when, images in (("before", before), ("after", after)):
        if len(images) != len(claims):
            raise ValueError(f"There are {len(images)} images {when} fine-tuning and {len(claims)} claims: as many are needed.")
        seen = look(judge, images)
        right = [float(give_verdict(claim, one).right) for claim, one in zip(claims, seen, strict=True)]
        likeness = identity(images, subject, judge)
        figures = {
            "right": sum(right) / len(right), "right interval": bootstrap_interval(right),
            "variety": variety(images, subject, judge),
            "resemblance": float(likeness.mean()), "taken for it": float((likeness >= SAME).float().mean()),
        }  # fmt: skip
        for name, value in figures.items():
            rows.setdefault(name, {})[when] = value
    return rows


def variety(images: Any, subject: Subject, judge: Detector) -> float:
    """Mean squared distance between the features of two things, one from each image: of the subject's class where there is one,
    else what the judge is surest of. 0 when all look alike; NaN for fewer than two."""
    batch = to_batch(images, judge.config.image_size)
    cuts = [
        squares(image, [max(things, key=lambda thing: (thing.kind == subject.noun, thing.score))])
        for image, things in zip(batch, candidates(judge, batch), strict=True) if things
    ]  # fmt: skip
    if len(cuts) < 2:
        return math.nan
    return 2 * float(described(judge, torch.cat(cuts)).var(dim=0).sum())


def subject_prompts(subject: Subject, token: str, count: int, seed: int = 0) -> list[Prompt]:
    """Prompts with the token: in turn in a setting, at a place, and beside something, as `minidiff prepare subject` never draws
    it. Another seed gives others. Raises ValueError as `subject_caption`."""
    prompts = []
    for k in range(count):
        rng, number = random.Random(f"{seed} {k}"), ASKED + seed * 10_000 + k
        category = ("setting", "place", "relation")[k % 3]
        place = rng.choice(PLACES) if category == "place" else None
        relation = rng.choice(tuple(OPPOSITES)) if category == "relation" else None
        other = Group(rng.choice([kind for kind in SHAPES if kind != subject.noun])) if relation else None
        scene = subject_scene(subject, number, place=place, relation=relation, other=other)
        texts = {lang: subject_caption(subject, scene, token, lang) for lang in LANGS}
        prompts.append(Prompt(category, replace(class_claim(subject, scene), seed=0), texts))
    return prompts


def class_prompts(subject: Subject, count: int, seed: int = 0) -> list[Prompt]:
    """Prompts about one other member of the class, without the token: "a cat", "a small red cat at sea"."""
    prompts = []
    for k in range(count):
        rng = random.Random(f"{subject.noun} {seed} {k}")
        scene = complete(Scene(None, (Group(subject.noun, place=rng.choice((None, *PLACES))),)), rng)
        claim = replace(drop_details(scene, rng), seed=0)
        prompts.append(Prompt("class", claim, phrase(claim, rng.getrandbits(32))))
    return prompts


# --- how far the measure can be trusted -----------------------------------------------------------------------------


@dataclass
class SubjectsRun:
    """Show what identity says of drawings that it was not fitted to: of the subject, of altered ones and of others."""

    images: Annotated[int, Between(2, 10_000)] = 28
    """Drawings in each row."""
    vae: str = "world-vae"
    """A VAE of the zoo: every row is also measured as it gives the drawings back."""
    json: Path | None = None
    """Where the figures go, if anywhere."""

    def __post_init__(self) -> None:
        check(self, "minidiff evaluate subjects")


def calibration_scenes(subject: Subject, count: int) -> dict[str, list[tuple[Subject, Scene]]]:
    """Rows of `count` scenes, with who is drawn in them: the subject, without each mark, without all, in the two colours most
    unlike its own, others of its class (as large and in its colour, or any), and the other subjects."""

    def row(one: Subject) -> list[tuple[Subject, Scene]]:
        return [(one, subject_scene(one, REPORTED + k)) for k in range(count)]

    def members(name: str, group: Group) -> list[tuple[Subject, Scene]]:
        rngs = [random.Random(f"{name} {REPORTED + k}") for k in range(count)]
        return [(subject, complete(Scene(None, (group,)), rng)) for rng in rngs]

    rows = {"itself": row(subject)}
    rows |= {f"without {mark}": row(subject.without(mark)) for mark in subject.marks}
    rows["without any mark"] = row(subject.without(*subject.marks))
    rows |= {f"in {colour}": row(replace(subject, colour=colour)) for colour in ("blue", "purple")}
    plural = SHAPES_EN[subject.noun][0][1]
    rows[f"{plural} in its colour"] = members("own", Group(subject.noun, subject.colour, CLOSE))
    rows[f"any {plural}"] = members("any", Group(subject.noun))
    return rows | {other.name: row(other) for other in SUBJECTS.values() if other.name != subject.name}


def calibration(
    subject: Subject,
    count: int = 28,
    judge: Detector | None = None,
    change: Callable[[Tensor], Tensor] = lambda images: images,
) -> dict[str, Tensor]:
    """Scores (count,) of each row of `calibration_scenes`. Another subject is also scored by a map that was fitted without it.
    change: what to do to images (B, 3, 128, 128) in 0..1 before they are scored."""
    judge = judge or shipped_judge()
    scores = {}
    for name, scenes in calibration_scenes(subject, count).items():
        images = change(to_batch(np.stack([draw_subject(one, scene).image for one, scene in scenes])))
        scores[name] = identity(images, subject, judge)
        if name in SUBJECTS:
            known = [other for other in SUBJECTS.values() if other.name != name]
            scores[f"{name}, never seen"] = torch.tensor([m.score for m in matches(images, subject, judge, known)])
    return scores


def evaluate(run: SubjectsRun) -> dict[str, Any]:
    """Measure, print a table for each subject, and write the JSON if one is named.

    Raises ValueError when the judge or the VAE is missing or damaged."""
    config, state = zoo.load(run.vae)
    vae: VAE = build_model(VAE, config["vae"], state, run.vae).eval().requires_grad_(False)
    figures: dict[str, Any] = {}
    for subject in tqdm(SUBJECTS.values(), desc="subjects", unit="subject", leave=False):
        drawn = calibration(subject, run.images)
        decoded = calibration(subject, run.images, change=lambda images: through_vae(vae, images))
        figures[subject.name] = {"drawn": _rows(drawn), "decoded": _rows(decoded)}
    for name, columns in figures.items():
        cells = [
            [row, *(f"{mean:.2f} ({low:.2f} to {high:.2f})" for mean, low, high, _ in (columns[c][row] for c in columns)),
             *(percent(columns[c][row][3]) for c in columns)]
            for row in columns["drawn"]
        ]  # fmt: skip
        header = [f"identity with {name}", "as drawn: mean (range)", f"through {run.vae}", "drawn: taken for it", "decoded"]
        print(table(header, cells) + "\n")
    print(f"{run.images} drawings a row, none of which the measure was fitted to; taken for it: from {SAME} on.")
    if run.json:
        save_json(figures, run.json)
    return figures


def _rows(scores: dict[str, Tensor]) -> dict[str, tuple[float, float, float, float]]:
    """Mean, least, greatest, and the share at SAME or above."""
    return {name: (float(x.mean()), float(x.min()), float(x.max()), float((x >= SAME).float().mean()))
            for name, x in scores.items()}  # fmt: skip


@lru_cache(1)
def shipped_judge() -> Detector:
    """The judge of the zoo, loaded once, so that maps fitted to it are kept."""
    return load_judge()
