"""Can a model draw an emoji in a style in which it was never shown? (`minidiff evaluate emoji`)

For every never-shown pair (`data/emoji/pairs.py`) there is a true image. So what the model draws is compared with the true
images of all concepts in that style: how often is its own the nearest, how often among the five nearest, by the features of
`world-clip`'s picture tower and of `world-judge`. Beside it: chance, and what true images get that were changed a little.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from minidiff.data.emoji.concepts import LANGS
from minidiff.data.emoji.packages import EmojiError
from minidiff.data.emoji.pairs import STYLES, Pair, read_pairs, some
from minidiff.evaluate.judge import to_batch
from minidiff.evaluate.prompt_following import PromptsRun, pipeline_generator
from minidiff.evaluate.reconstruction import through_vae
from minidiff.evaluate.report import check_run, percent, save_json, table
from minidiff.evaluate.retrieval import Features, Ranked, ranked, towers
from minidiff.utils.images import contact_sheet
from minidiff.utils.validation import Between

if TYPE_CHECKING:
    from minidiff.pipelines.text_to_image import TextToImage

MOST_MOVED = 4   # pixels, of 128
ON_SHEET = 12    # pairs


@dataclass
class EmojiQualityRun:
    """Draw emoji in styles in which they were never shown, and find them among the true ones."""

    data: tyro.conf.Positional[Path] = Path("data/emoji")
    """Folder that `minidiff prepare emoji` wrote."""
    json: Path = Path("emoji.json")
    """Where the figures go; a sheet of images is saved beside it as PNG."""
    model: str = "emoji-dit"
    pairs: Annotated[int, Between(1, 10**5)] = 200
    """Never-shown pairs to draw, in English and in Vietnamese; all where there are fewer."""
    shown: bool = False
    """Also draw as many pairs that were shown (English), to tell what is learnt from what is found out."""
    guidance_scale: tuple[float, ...] = ()
    """Several are measured one after the other; the model's own when not given."""
    sampler: str = "dpmpp"
    steps: int = 20
    seed: int = 0
    batch: Annotated[int, Between(1, 4096)] = 16
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_run(self, "minidiff evaluate emoji")


@dataclass
class Row:
    """Images of some pairs, (N, 3, H, W) in 0..1, to be found among the true ones; ranked by each tower."""

    pairs: list[Pair]
    images: Tensor
    prompts: list[str]
    ranked: dict[str, Ranked] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """By tower: `Ranked.figures`, and the share among the five nearest of concepts that VAE and CLIP may not learn."""
        strange = torch.tensor([not pair.in_towers for pair in self.pairs])
        rows: dict[str, Any] = {"n": len(self.pairs), "n_new_to_towers": int(strange.sum())}
        for name, found in self.ranked.items():
            new = float((found.rank[strange] < 5).double().mean()) if strange.any() else None
            rows[name] = {**found.figures(), "five_new_to_towers": new}
        return rows


class Album:
    """The true images of all pairs on the plain backdrop, and how to find others among them."""

    def __init__(self, pairs: Sequence[Pair], see: dict[str, Features]) -> None:
        self.see = see
        self.of_style = {style: [pair for pair in pairs if pair.style == style] for style in STYLES}
        self.number = {(pair.style, pair.code): k for row in self.of_style.values() for k, pair in enumerate(row)}
        self.truth = {style: self._features(row, style) for style, row in self.of_style.items()}

    def _features(self, pairs: Sequence[Pair], style: str) -> dict[str, Tensor]:
        found: dict[str, list[Tensor]] = {name: [] for name in self.see}
        for start in tqdm(range(0, len(pairs), 64), desc=f"true images, {style}", unit="batch", leave=False):
            images = opened(pairs[start : start + 64])
            for name, see in self.see.items():
                found[name].append(see(images))
        return {name: torch.cat(parts) for name, parts in found.items()}

    def find(self, row: Row) -> Row:
        """The row, with the place of each image's own true one among all of its style."""
        for name, see in self.see.items():
            features, count = see(row.images), len(row.pairs)
            rank, nearest = torch.zeros(count, dtype=torch.long), torch.zeros(count, dtype=torch.long)
            for style in {pair.style for pair in row.pairs}:
                here = [k for k, pair in enumerate(row.pairs) if pair.style == style]
                own = [self.number[style, row.pairs[k].code] for k in here]
                one = ranked(features[here], own, self.truth[style][name])
                rank[here], nearest[here] = one.rank, one.nearest
            row.ranked[name] = Ranked(rank, nearest)
        return row

    def other_style(self, pair: Pair) -> Pair:
        """The same concept in the next style."""
        style = STYLES[(STYLES.index(pair.style) + 1) % len(STYLES)]
        return self.of_style[style][self.number[style, pair.code]]


def opened(pairs: Sequence[Pair]) -> Tensor:
    """True images on the plain backdrop, (N, 3, 128, 128) in 0..1."""
    return to_batch([Image.open(pair.views[0].image) for pair in pairs])


def moved(pair: Pair, backdrop: Pair, rng: random.Random) -> Tensor:
    """A true image as it might have been drawn, too: moved by some pixels, on the plain backdrop of another pair; (1, 3, 128,
    128) in 0..1. What the mask says to be backdrop is exchanged, so edges stay exact."""
    image, other = (np.asarray(Image.open(one.views[0].image).convert("RGB"), np.float64) for one in (pair, backdrop))
    cover = np.asarray(Image.open(pair.views[0].mask), np.float64)[..., None] / 255                     # (H, W, 1)
    emoji = image - (1 - cover) * image[:, :1]                      # the first column is backdrop alone, the same in each row
    most = MOST_MOVED * len(image) // 128
    step = rng.randint(-most, most), rng.randint(-most, most)
    emoji, cover = (np.roll(one, step, (0, 1)) for one in (emoji, cover))
    return to_batch((emoji + (1 - cover) * other[:, :1]).clip(0, 255).round().astype(np.uint8)[None])


def drawn(pipeline: TextToImage, run: EmojiQualityRun, pairs: list[Pair], lang: str, scale: float) -> Row:
    """What the model makes of the shortest prompts for some pairs."""
    how = PromptsRun(sampler=run.sampler, steps=run.steps, guidance_scale=scale, expand=False)
    generate, prompts = pipeline_generator(pipeline, how, run.seed), [pair.prompt(lang) for pair in pairs]
    starts = tqdm(range(0, len(pairs), run.batch), desc=f"drawing, {lang}, guidance {scale:g}", unit="batch", leave=False)
    return Row(pairs, torch.cat([to_batch(generate(prompts[k : k + run.batch])) for k in starts]), prompts)


def ceilings(album: Album, pairs: list[Pair], vae: Any) -> dict[str, Row]:
    """What true images get: through the VAE, drawn in another place, and the concept as another style has it, which is what a
    model gets that knows the concept and not the style."""
    rng, names = random.Random(0), [pair.prompt("en") for pair in pairs]
    everyone = [pair for row in album.of_style.values() for pair in row]
    others = [rng.choice(everyone) for _ in pairs]
    through = torch.cat([through_vae(vae, part) for part in opened(pairs).split(16)])
    anew = torch.cat([moved(pair, other, rng) for pair, other in zip(pairs, others, strict=True)])
    return {
        "true, through the VAE": Row(pairs, through, names),
        "true, moved, another backdrop": Row(pairs, anew, names),
        "true, in another style": Row(pairs, opened([album.other_style(pair) for pair in pairs]), names),
    }


def evaluate(run: EmojiQualityRun) -> dict[str, Any]:
    """Measure, print a table, write the JSON and the sheet; returns what the JSON holds. Raises ValueError when emoji, the
    model, CLIP or the judge are missing or damaged."""
    from minidiff.pipelines.loading import load_pipeline

    pairs = read_pairs(run.data)
    asked = some(pairs, "unseen", run.pairs)
    if not asked:
        raise EmojiError(f"No emoji of {run.data} is kept from training: there are too few.")
    pipeline, album = load_pipeline(run.model, run.device, run.dtype, batch=run.batch), Album(pairs, towers())
    scales = run.guidance_scale or (pipeline.guidance_scale,)
    made = {(lang, scale): drawn(pipeline, run, asked, lang, scale) for scale in scales for lang in LANGS}
    rows = {f"drawn, {lang}, guidance {scale:g}": row for (lang, scale), row in made.items()}
    if run.shown:
        known = some(pairs, "shown", len(asked))
        rows |= {f"shown pairs, en, guidance {scale:g}": drawn(pipeline, run, known, "en", scale) for scale in scales}
    rows |= ceilings(album, asked, pipeline.vae)
    for row in rows.values():
        album.find(row)
    concepts = max(len(row) for row in album.of_style.values())
    about = {"model": pipeline.model, "sha256": pipeline.model_hash, "sampler": run.sampler, "steps": run.steps,
             "seed": run.seed, "concepts": concepts, "never_shown": sum(pair.part == "unseen" for pair in pairs)}  # fmt: skip
    measured = {name: row.figures() for name, row in rows.items()}
    figures = {"chance": {"first": 1 / concepts, "five": 5 / concepts}, "rows": measured, "run": about}
    _print(figures)
    save_json(figures, run.json)
    sheet(album, [made[lang, scales[0]] for lang in LANGS]).save(run.json.with_suffix(".png"))
    print(f"\n{run.json} holds the figures, {run.json.with_suffix('.png')} true, drawn and nearest images (by world-clip).")
    return figures


def _print(figures: dict[str, Any]) -> None:
    concepts, chance, names = figures["run"]["concepts"], figures["chance"], ("world-clip", "world-judge")
    print(f"\n{figures['run']['model']}: where the own true image stands among all {concepts} of its style")
    for tower in names:
        lines = []
        for name, row in figures["rows"].items():
            one = row[tower]
            low, high = one["five_interval"]
            interval = f"{100 * low:.1f} to {100 * high:.1f}"
            lines.append([name, row["n"], percent(one["first"]), percent(one["five"]), interval, f"{one['median_place']:g}"])
        lines.append(["chance", "", percent(chance["first"]), percent(chance["five"]), "", f"{(concepts + 1) / 2:g}"])
        print(table([f"by {tower}", "N", "nearest", "five nearest", "95 % interval", "median place"], lines) + "\n")
    for name, row in figures["rows"].items():
        if name.startswith("drawn") and row["n_new_to_towers"]:
            shares = ", ".join(f"{tower} {percent(row[tower]['five_new_to_towers'])}" for tower in names)
            print(f"{name}: five nearest, of the {row['n_new_to_towers']} that VAE and CLIP may not learn: {shares}")


def sheet(album: Album, rows: Sequence[Row], tower: str = "world-clip") -> Image.Image:
    """Pairs spread over the rows, the rows in turn: the true image, the drawn one, and the true one that is nearest to it,
    framed in green where that is its own."""
    images: list[np.ndarray] = []
    words: list[str] = []
    marks: list[bool | None] = []
    count = len(rows[0].pairs)
    for number, k in enumerate(np.linspace(0, count - 1, min(count, ON_SHEET)).round().astype(int).tolist()):
        row = rows[number % len(rows)]
        pair, found = row.pairs[k], row.ranked[tower]
        nearest = album.of_style[pair.style][int(found.nearest[k])]
        place = int(found.rank[k]) + 1
        images += [*to_array(opened([pair])), *to_array(row.images[k : k + 1]), *to_array(opened([nearest]))]
        words += [f"true: {pair.names['en']}", f"drawn: {row.prompts[k]}"]
        words.append(f"nearest: {nearest.names['en']}" + (f"; its own is no. {place}" if place > 1 else ""))
        marks += [None, None, place == 1]
    return contact_sheet(images, 6, words, marks)


def to_array(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in 0..1 to (N, H, W, 3) uint8."""
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
