"""Prompt-to-prompt: a word of a prompt is changed, and the picture with it, while the rest stays where it was (Hertz et al.
2022).

    before, after = change_words(pipeline, pipeline.request("a red car at night"), "a blue car at night")

Both pictures are drawn side by side from one noise. Where things stand is decided by attention, so for a share of the steps
the new picture attends as the old one does: from image to words, and within the image. What it is not: how that is done inside
the network (shared_attention.py), which words belong together (alignment.py), and the way from a given picture to its noise
(inversion.py). Taught in the lesson on editing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from minidiff.diffusion.samplers import Noise, State
from minidiff.pipelines.alignment import alignment, rows_of, token_marks
from minidiff.pipelines.request import Request, RequestError, check_length, number
from minidiff.pipelines.shared_attention import SharedAttention, Sharing
from minidiff.pipelines.text_to_image import Go, Preview, Route, TextToImage, finish
from minidiff.pretrained.scheduler_config import SchedulerConfig
from minidiff.text.tokenizer import words_of

LEAST_WEIGHT, MOST_WEIGHT = -2.0, 5.0


@dataclass(frozen=True)
class WordChange:
    """How much of a picture goes along when its words are changed. Raises RequestError for numbers out of range.

    cross_share: share of the steps, 0 to 1, in which the new words are looked at where the old ones were. A word that changes
        the whole picture, such as its setting, wants little of it.
    self_share: the same for the attention within the image, which holds shapes: more for a new colour, less for a new thing.
    weights: how strongly words of the new prompt are looked at, -2 to 5, such as {"big": 2.0}; 1 is as ever.
    only: words of either prompt; where the image looks at none of them, the new picture stays the old one (local blend).
    """

    cross_share: float = 0.4
    self_share: float = 0.2
    weights: Mapping[str, float] = field(default_factory=dict)
    only: Sequence[str] = ()

    def __post_init__(self) -> None:
        for share in (self.cross_share, self.self_share):
            number(share, "share", 0, 1)
        for weight in self.weights.values():
            number(weight, "weight", LEAST_WEIGHT, MOST_WEIGHT)


def sharing(pipeline: TextToImage, before: Sequence[str], after: Sequence[str], change: WordChange, length: int) -> Sharing:
    """What pictures of the prompts `after` take over from those of the prompts `before`; length: tokens of their context.
    Raises RequestError for words that the prompts don't have."""
    tokenizer, rows = pipeline.tokenizer, rows_of(pipeline.tokenizer, [*before, *after])
    pairs = [alignment(old, new, length) for old, new in zip(rows[: len(before)], rows[len(before) :], strict=True)]
    mapping, added = (torch.stack(tables).to(pipeline.device) for tables in zip(*pairs, strict=True))
    factors = torch.ones(len(after), length)
    for word, weight in change.weights.items():
        factors += (weight - 1) * token_marks(tokenizer, after, word, length)
    marks = [token_marks(tokenizer, [*before, *after], word, length) for word in change.only]
    limits = torch.stack(marks).amax(dim=0).to(pipeline.device) if marks else None
    return Sharing(change.cross_share, change.self_share, mapping, added, factors.to(pipeline.device), limits)


def side_by_side(shared: SharedAttention, scheduler: SchedulerConfig, path: Sequence[Tensor] | None) -> Route:
    """Sample B old and B new pictures together. path: the old ones' x (B, C, h, w) at each of the times, where they are given;
    None to draw them too."""

    def route(go: Go, noise: Noise, timesteps: Tensor) -> Iterator[State]:
        x = scheduler.start(noise(0), timesteps) if path is None else torch.cat([path[0], path[0]])
        states = go(x, timesteps)
        while True:
            with shared.attached():
                state = next(states, None)
            if state is None:
                return
            shared.step = state.index + 1
            if path is not None:
                state.x = torch.cat([path[shared.step], state.x[len(path[0]) :]])
            state.x = shared.limited(state.x)
            yield state

    return route


def share(
    pipeline: TextToImage, request: Request, before: Sequence[str], after: Sequence[str], change: WordChange
) -> SharedAttention:
    """What is needed to draw pictures of the prompts `after` beside those of the prompts `before`, one of each for every seed
    of the request. Raises RequestError as `change_words`."""
    if not any(name.endswith("attn2") for name, _ in pipeline.network.named_modules()):
        raise RequestError("model_wordless", model=pipeline.model)
    if list(map(words_of, before)) == list(map(words_of, after)) and not change.weights:
        raise RequestError("words_same")
    texts = [*before, *after, *([request.negative_prompt] if request.guidance_scale != 1 else [])]
    length = pipeline.encode(texts)[0].shape[1]
    return SharedAttention(pipeline.network, sharing(pipeline, before, after, change, length), request.steps)


@torch.inference_mode()
def stream_pairs(
    pipeline: TextToImage, request: Request, prompts: Sequence[str], shared: SharedAttention,
    path: Sequence[Tensor] | None = None,
) -> Iterator[Preview]:  # fmt: skip
    """Previews of B old pictures and, behind them, B new ones. prompts: in the same order; path: see `side_by_side`."""
    negative, route = [request.negative_prompt] * len(prompts), side_by_side(shared, pipeline.scheduler, path)
    guided = (prompts, negative, request.guidance_scale, request.guidance_interval, request.guidance_rescale)
    for state in pipeline.run(guided, request.seeds * 2, request.sampler, request.steps, request.eta, route):
        images = pipeline.decode(state.x) if state.index == state.n - 1 else None
        yield Preview(state.index + 1, state.n, state.x, state.x0, images)


def stream(pipeline: TextToImage, request: Request, changed: str, change: WordChange | None = None) -> Iterator[Preview]:
    """`change_words`, step by step."""
    other = replace(request, prompt=changed)
    check_length(other, pipeline.max_characters)
    before, after = pipeline.expanded_prompts(request), pipeline.expanded_prompts(other)
    shared = share(pipeline, request, before, after, change or WordChange())
    yield from stream_pairs(pipeline, request, [*before, *after], shared)


def change_words(
    pipeline: TextToImage, request: Request, changed: str, change: WordChange | None = None, progress: bool | None = False
) -> list[Image.Image]:
    """The pictures of a request, one for each seed, and then the same with its prompt changed.

    changed: the new prompt. Words that both have stay, words in the place of others take these' places, added words find their
    own. change: how much goes along. progress: as for `TextToImage.__call__`.

    Raises RequestError (a ValueError) for prompts that are the same, words to weigh or to keep to that they don't have, and
    models without cross-attention.
    """
    return finish(stream(pipeline, request, changed, change), progress)
