"""One drawing taken apart: what the network saw and expected at some moments, where each word was looked for, what guidance
added, and when layout, colour and detail were decided.

The drawing itself is `TextToImage.stream`'s, watched from beside it, so the picture is the one that Create draws. How it is
shown is in `inside_html.py` and `inside.js`. Taught in the lessons on samplers, on words in the network and on guidance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minidiff.diffusion.samplers import Noise, State
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.nn.attention_maps import AttentionMap, record_attention, token_maps
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import Go, TextToImage, to_pil
from minidiff.text.tokenizer import Tokenizer, normalise
from minidiff.utils.images import gaussian_blur

MOMENTS = 10        # steps that are shown: every second one of 20
COMPARED = 5        # of these, how many also with the words alone and without them
MAX_NUMBERS = 2**20  # of all attention maps together; beyond, heads are averaged, and then layers
BANDS = ("layout", "colour", "detail")
SETTLED = 0.8       # how near its final state a band must stay to count as decided


@dataclass(frozen=True)
class Word:
    """A word of the prompt. tokens: the pieces it is read in; columns: their places in the attention maps."""

    text: str
    tokens: tuple[str, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Attention:
    """Where the words were looked for. words: those of the prompt, between a start and an end that have no text.

    maps (K, layers, heads, L, rows, columns): at each of K moments and each place, the shares of L tokens, which sum to 1.
    """

    words: tuple[Word, ...]
    layers: tuple[str, ...]
    maps: Tensor


@dataclass(frozen=True)
class Moment:
    """A step as the network met it. index: from 0; t: its time, 1 to 0; noise: the share of the variance that is noise, 0..1.

    x, x0 (C, h, w): what it was shown, and the clean latent that it expected (guided). picture: x0 decoded.
    """

    index: int
    t: float
    noise: float
    x: Tensor
    x0: Tensor
    picture: Image.Image


@dataclass(frozen=True)
class Compared:
    """What guidance does at a moment. x0_with, x0_without (C, h, w): what the network expects with the prompt, and with the
    negative (usually empty) one; their pictures; and the difference of these, `gain` times itself around grey."""

    moment: int
    x0_with: Tensor
    x0_without: Tensor
    with_words: Image.Image
    without: Image.Image
    difference: Image.Image
    gain: float


@dataclass(frozen=True)
class Inside:
    """A drawing and what was seen in it. nearness: for each of BANDS, how near the picture of each moment is to the final one,
    1 being equal. attention: None for a network that doesn't look at words."""

    request: Request
    model: str
    prompt: str
    image: Image.Image
    moments: tuple[Moment, ...]
    compared: tuple[Compared, ...]
    attention: Attention | None
    nearness: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Progress:
    """Steps made, 1..n, then the pictures decoded; `inside` at the end."""

    index: int
    n: int
    inside: Inside | None = None


@torch.inference_mode()
def look_inside(pipeline: TextToImage, request: Request) -> Iterator[Progress]:
    """Draws the first image of a request, yields after each step and each decoding, and the whole at the end. Raises
    RequestError as the drawing does."""
    pipeline.check_draws()
    shown = spread(request.steps, MOMENTS)
    work = request.steps + len(shown) + min(COMPARED, len(shown))
    states: list[State] = []
    seen: list[Tensor] = []     # what the network was shown at each step
    looked: list[list[AttentionMap]] = []

    def route(go: Go, noise: Noise, timesteps: Tensor) -> Iterator[State]:
        x = pipeline.scheduler.start(noise(0), timesteps)
        for state in go(x, timesteps):
            seen.append(x)
            states.append(state)
            yield state
            x = state.x

    words = words_of(pipeline, pipeline.expanded_prompts(request)[0])
    previews, image = pipeline.stream(request, route), None
    while image is None:
        # only around the step: between two steps gradio may go on in another context, which knows of no recording
        recording: AbstractContextManager[list[AttentionMap]] = nullcontext([])
        if words:
            recording = record_attention(pipeline.network, "attn2")
        with recording as maps:
            preview = next(previews)
        looked.append(first_evaluation(maps) if preview.index - 1 in shown else [])
        image = preview.images[0] if preview.images else None
        yield Progress(preview.index, work)
    moments: list[Moment] = []
    for index in shown:
        state, last = states[index], index == request.steps - 1
        picture = image if last else to_pil(pipeline.pixels(state.x0[:1])[0])
        level = noise_share(pipeline.scheduler.schedule, state.t)
        moments.append(Moment(index, state.t, level, seen[index][0], state.x0[0], picture))
        yield Progress(request.steps + len(moments), work)
    compared: list[Compared] = []
    for place in spread(len(moments), COMPARED):
        compared.append(compare(pipeline, request, moments[place], place))
        yield Progress(request.steps + len(moments) + len(compared), work)
    attention = attention_of(words, [looked[index] for index in shown], pipeline.latent_size) if words else None
    nearness = settling([moment.picture for moment in moments])
    prompt = pipeline.expanded_prompts(request)[0]
    inside = Inside(request, pipeline.model, prompt, image, tuple(moments), tuple(compared), attention, nearness)
    yield Progress(work, work, inside)


def spread(n: int, most: int) -> list[int]:
    """At most `most` of the numbers 0..n-1, the first and the last among them, as evenly as whole numbers allow."""
    if n <= most:
        return list(range(n))
    return [round(k * (n - 1) / (most - 1)) for k in range(most)]


def noise_share(schedule: NoiseSchedule, t: float) -> float:
    """How much of the variance of x_t is noise: sigma^2 / (alpha^2 + sigma^2), 0..1."""
    time = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = float(schedule.alpha(time)), float(schedule.sigma(time))
    return sigma**2 / (alpha**2 + sigma**2)


# ------------------------------------------------------------------------------------------------------------------ words


def words_of(pipeline: TextToImage, prompt: str) -> tuple[Word, ...]:
    """The words of a prompt with their tokens, as far as the model reads; none for a network that looks at no words, or whose
    tokenizer isn't ours."""
    tokenizer = pipeline.tokenizer
    if not isinstance(tokenizer, Tokenizer) or not any("attn2" in name for name, _ in pipeline.network.named_modules()):
        return ()
    words, column = [Word("", (), (0,))], 1
    for text in normalise(prompt).split():
        pieces = tokenizer.tokens(text)[: tokenizer.max_tokens + 1 - column]
        if pieces:
            words.append(Word(text, tuple(pieces), tuple(range(column, column + len(pieces)))))
            column += len(pieces)
    return (*words, Word("", (), (column,)))


def first_evaluation(maps: Sequence[AttentionMap]) -> list[AttentionMap]:
    """The maps of the first evaluation: Heun makes two in a step."""
    names = list(dict.fromkeys(one.name for one in maps))
    return list(maps[: len(names)])


def attention_of(words: tuple[Word, ...], looked: Sequence[Sequence[AttentionMap]], size: tuple[int, int]) -> Attention:
    """The maps of each moment, of the prompt's half alone, all on the finest grid that a layer looks from, and without the
    padding behind the last token (which gets nothing). size: height and width of the latent."""
    length = words[-1].columns[-1] + 1
    finest = max(one.weights.shape[2] for one in looked[0])
    shrink = max(round((size[0] * size[1] / finest) ** 0.5), 1)
    rows, columns = -(-size[0] // shrink), -(-size[1] // shrink)
    heads = {one.weights.shape[1] for one in looked[0]}
    layers = [one.name for one in looked[0]]
    numbers = len(looked) * len(layers) * length * rows * columns
    together = len(heads) > 1 or numbers * max(heads) > MAX_NUMBERS
    moments = []
    for maps in looked:
        by_layer = [
            torch.stack([token_maps([AttentionMap(one.name, head)], rows, columns)[0] for head in _heads(one, together)])
            for one in maps
        ]
        moments.append(torch.stack(by_layer))                               # (layers, heads, L, rows, columns)
    found = torch.stack(moments)[:, :, :, :length]
    if numbers > MAX_NUMBERS:
        found, layers = found.mean(dim=1, keepdim=True), [""]
    return Attention(words, tuple(layers), found)


def _heads(one: AttentionMap, together: bool) -> list[Tensor]:
    """The weights (1, 1, N, L) of each head for the first caption, or of their mean."""
    weights = one.weights[:1]
    return [weights.mean(dim=1, keepdim=True)] if together else list(weights.split(1, dim=1))


# --------------------------------------------------------------------------------------------------------------- guidance


@torch.inference_mode()
def compare(pipeline: TextToImage, request: Request, moment: Moment, place: int) -> Compared:
    """Asks the network twice more about a moment: with the prompt alone, and with the negative one alone."""
    x, t = moment.x[None], torch.tensor(moment.t, dtype=torch.float64)
    expected, pixels = [], []
    for text in (pipeline.expanded_prompts(request)[0], request.negative_prompt):
        x0, _ = pipeline.denoiser([text], [""], 1.0)(x, t)
        expected.append(x0[0])
        pixels.append(pipeline.pixels(x0)[0].clamp(-1, 1))
    difference = pixels[0] - pixels[1]
    gain = 1 / max(float(difference.abs().max()), 1 / 128)
    with_words, without, amplified = (to_pil(one) for one in (*pixels, gain * difference))
    return Compared(place, expected[0], expected[1], with_words, without, amplified, gain)


# --------------------------------------------------------------------------------------------------------------- settling


def bands(picture: Tensor) -> dict[str, Tensor]:
    """A picture (3, H, W) as the sum of three: its mean colour, the blurred rest (layout), and what blurring takes (detail)."""
    colour = picture.mean(dim=(1, 2), keepdim=True).expand_as(picture)
    sigma = max(picture.shape[-1] / 16, 1.0)
    blurred = gaussian_blur(picture[None], 2 * round(2 * sigma) + 1, sigma)[0]
    return {"layout": blurred - colour, "colour": colour, "detail": picture - blurred}


def settling(pictures: Sequence[Image.Image]) -> dict[str, tuple[float, ...]]:
    """How near each picture is to the last, band by band: 1 is equal, 0 as far away as any of them."""
    tensors = [torch.frombuffer(bytearray(p.convert("RGB").tobytes()), dtype=torch.uint8) for p in pictures]
    width, height = pictures[0].size
    parts = [bands(one.view(height, width, 3).movedim(-1, 0).float() / 255) for one in tensors]
    nearness = {}
    for band in BANDS:
        away = [float(F.mse_loss(one[band], parts[-1][band]).sqrt()) for one in parts]
        nearness[band] = tuple(1 - d / (max(away) or 1.0) for d in away)
    return nearness


def settled_at(nearness: Sequence[float], enough: float = SETTLED) -> int:
    """The first moment from which on the nearness stays `enough`."""
    far = [k for k, value in enumerate(nearness) if value < enough]
    return min(far[-1] + 1, len(nearness) - 1) if far else 0
