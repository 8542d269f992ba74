"""The functional mark of the final assessment: a learner's parts run the shipped weights, and a judge says what was drawn.

`assembled` puts the parts into `world-unet`, so that nothing but weights is the library's; `functional_mark` asks whether the
pictures show their sentences, and whether they differ from each other. `SmallUNet` is a network of the same parts that can be
trained in the notebook. What it is not: the checks of the single exercises (judging.py). Used in lesson 17 alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.course import notebook
from minidiff.course.say import Say
from minidiff.data.world.scenes import Group, Scene
from minidiff.evaluate.judge import load_judge, look
from minidiff.evaluate.verdict import judge
from minidiff.models.detector import Detector
from minidiff.models.unet import Transformer, UNet, UNetBlock
from minidiff.nn.embeddings import TimestepEmbedding

RECOGNISED = 0.95  # share of the pictures in which the judge must find what their sentences say
DIVERSITY = 0.1  # of two pictures of one sentence; those of the shipped model differ by 0.2 and more

NAMES = {
    "norm_in": "norm1", "conv_in": "conv1", "to_time": "time_emb_proj", "norm_out": "norm2", "conv_out": "conv2",
    "skip": "conv_shortcut",
}  # fmt: skip


# --- the shipped weights, run by the learner's parts ------------------------------------------------------------------------


def assembled(
    time_embedding: Callable[..., Tensor],
    res_block: Callable[..., nn.Module],
    down_and_up: Callable[..., Tensor],
    cross_attention: Callable[..., nn.Module],
    table: Tensor,
) -> SimpleNamespace:
    """`world-unet` as a model whose parts are the given ones, as exercises 17.1 to 17.4 want them. table: alpha_bar, (T + 1,).

    The model has read(sentences) -> (ids (B, L), words (B, L, D)), end: the id that ends a sentence, layers: by name, what has
    to_k, to_v and heads, network(x (B, 4, 16, 16), a (B,), words, bias) -> v, decode(x) -> pictures, and the table."""
    pipe = load_pipeline("world-unet", device="cpu", dtype="float32")
    network = _Assembled(pipe.network, time_embedding, res_block, down_and_up, cross_attention).eval()

    def read(sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        ids, mask = pipe.tokenizer.encode(sentences)
        with torch.no_grad():
            return ids, pipe.words.tower(ids, mask).sequence

    return SimpleNamespace(
        read=read, end=int(pipe.tokenizer.encode([""])[0].max()), layers=network.layers, network=network, table=table,
        decode=pipe.pixels,
    )  # fmt: skip


class _Assembled(nn.Module):
    """The U-Net's weights in the learner's parts. Raises RuntimeError when a part's weights have other names or shapes."""

    def __init__(
        self, unet: UNet, time_embedding: Callable[..., Tensor], res_block: Callable[..., nn.Module],
        down_and_up: Callable[..., Tensor], cross_attention: Callable[..., nn.Module],
    ) -> None:  # fmt: skip
        super().__init__()
        self.unet: Any = unet
        self.time_embedding, self.down_and_up = time_embedding, down_and_up
        self.resnets = nn.ModuleDict()
        self.attentions = nn.ModuleDict()
        self.layers: dict[str, SimpleNamespace] = {}
        for name, module in unet.named_modules():
            key = name.replace(".", " ")
            if isinstance(module, UNetBlock):
                for k, old in enumerate(module.resnets):
                    self.resnets[f"{key} resnets {k}"] = _with_weights_of(old, res_block, unet.config.groups)
            if isinstance(module, Transformer):
                cross: Any = module.transformer_blocks[0].attn2
                mine = cross_attention(cross.to_q.in_features, cross.heads, cross.to_q.out_features // cross.heads)
                state = {name.replace("to_out.0", "to_out"): weight for name, weight in cross.state_dict().items()}
                mine.load_state_dict({name: weight for name, weight in state.items() if name.startswith(("to_q", "to_out"))})
                self.attentions[key] = mine
                self.layers[key] = SimpleNamespace(to_k=cross.to_k, to_v=cross.to_v, heads=cross.heads)
        self.order = _cosines_then_sines(time_embedding, unet.config.channels[0])

    def forward(self, x: Tensor, a: Tensor, words: Mapping[str, tuple[Tensor, Tensor]], bias: Tensor) -> Tensor:
        """x (B, C, h, w), a (B,): alpha_bar of each row, words: {name: (keys, values)}, bias (B, 1, 1, L). Returns v."""
        unet = self.unet
        t = torch.atan2((1 - a).sqrt(), a.sqrt()) * (2 / math.pi)   # the time at which these weights saw so much noise
        pairs = self.time_embedding(t.float(), unet.config.channels[0], period=10_000.0)
        time = unet.time_embedding(pairs[:, self.order])                                        # (B, 4 C)

        def layers_of(block: Any, name: str) -> list[Callable[[Tensor], Tensor]]:
            def layer(k: int) -> Callable[[Tensor], Tensor]:
                def run(h: Tensor) -> Tensor:
                    h = self.resnets[f"{name} resnets {k}"](h, time)
                    if k < len(block.attentions):
                        h = self._attend(block.attentions[k], f"{name} attentions {k}", h, words, bias)
                    return h
                return run
            return [layer(k) for k in range(len(block.resnets))]

        depth = len(unet.down_blocks)
        levels = []
        for k, down in enumerate(unet.down_blocks):
            level = SimpleNamespace(down=layers_of(down, f"down_blocks {k}"), shrink=None, grow=None)
            level.up = layers_of(unet.up_blocks[depth - 1 - k], f"up_blocks {depth - 1 - k}")
            if k < depth - 1:
                level.shrink, level.grow = down.downsamplers[0], unet.up_blocks[depth - 2 - k].upsamplers[0]
            levels.append(level)
        middle_layers = layers_of(unet.mid_block, "mid_block")

        def middle(h: Tensor) -> Tensor:
            for layer in middle_layers:
                h = layer(h)
            return h

        h = self.down_and_up(unet.conv_in(x), levels, middle)
        return unet.conv_out(F.silu(unet.conv_norm_out(h)))

    def _attend(
        self, old: Any, name: str, x: Tensor, words: Mapping[str, tuple[Tensor, Tensor]], bias: Tensor
    ) -> Tensor:
        """The transformer layer `old`, with the learner's cross-attention in it."""
        block, height = old.transformer_blocks[0], x.shape[2]
        tokens = rearrange(old.proj_in(old.norm(x)), "b c h w -> b (h w) c")
        tokens = tokens + block.attn1(block.norm1(tokens))
        asking = rearrange(block.norm2(tokens), "b (h w) c -> b c h w", h=height)
        found = self.attentions[name](asking, *words[name], bias)
        tokens = tokens + rearrange(found, "b c h w -> b (h w) c")
        tokens = tokens + block.ff(block.norm3(tokens))
        return x + old.proj_out(rearrange(tokens, "b (h w) c -> b c h w", h=height))


def _with_weights_of(old: Any, res_block: Callable[..., nn.Module], groups: int) -> nn.Module:
    """A block of the learner's with the weights of one of the library's."""
    mine = res_block(old.conv1.in_channels, old.conv1.out_channels, old.time_emb_proj.in_features, groups)
    theirs = old.state_dict()
    state = {f"{own}.{kind}": theirs[f"{name}.{kind}"] for own, name in NAMES.items() for kind in ("weight", "bias")
             if f"{name}.{kind}" in theirs}  # fmt: skip
    mine.load_state_dict(state)
    return mine


def _cosines_then_sines(time_embedding: Callable[..., Tensor], width: int) -> Tensor:
    """Where the shipped weights expect which column. At t = 0 the cosines are 1 and the sines 0, wherever they stand."""
    start = time_embedding(torch.zeros(1), width, period=10_000.0)[0]                           # (width,)
    return torch.cat([(start > 0.5).nonzero()[:, 0], (start <= 0.5).nonzero()[:, 0]])


# --- the mark ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """recognised: share of the pictures that show what their sentences say; diversity: how much pictures of one sentence
    differ, the root of the mean squared difference of their pixels, in -1..1, least over the sentences."""

    recognised: float
    diversity: float

    @property
    def passed(self) -> bool:
        return self.recognised >= RECOGNISED and self.diversity >= DIVERSITY


SAID = Say(
    "Functional mark: the judge recognises {recognised:.0%} of {count} pictures ({wanted:.0%} are needed); two pictures of one "
    "sentence differ by at least {diversity:.2f} ({least:.2f} is needed).",
    "Điểm chức năng: giám khảo nhận ra {recognised:.0%} trong {count} bức tranh (cần {wanted:.0%}); hai bức của cùng một câu "
    "khác nhau ít nhất {diversity:.2f} (cần {least:.2f}).",
)
NOT_RECOGNISED = Say("Not passed: too many pictures don't show what their sentence says.",
                     "Chưa đạt: quá nhiều bức tranh không vẽ đúng điều câu nói.")  # fmt: skip
ALIKE = Say("Not passed: some pictures of one sentence are alike, though each began with noise of its own.",
            "Chưa đạt: có những bức của cùng một câu giống nhau, dù mỗi bức bắt đầu từ nhiễu riêng.")  # fmt: skip

CLAIMS = {
    "a purple bird": Scene(None, (Group("bird", colour="purple"),)),
    "một con mèo màu vàng bên phải một bông hoa màu đỏ": Scene(
        None, (Group("cat", colour="yellow"), Group("flower", colour="red")), "right"
    ),
}


@cache
def _judge() -> Detector:
    return load_judge()


@torch.no_grad()
def mark_of(pictures: Tensor, sentences: Sequence[str]) -> Mark:
    """The mark of pictures (N, 3, H, W) in -1..1, as many of each of the sentences (of CLAIMS), in order.

    Raises ValueError when there are other sentences, or fewer than two pictures of each."""
    unknown = [sentence for sentence in sentences if sentence not in CLAIMS]
    each, left = divmod(len(pictures), len(sentences))
    if unknown or left or each < 2:
        raise ValueError(f"The mark needs two or more pictures of each of these sentences: {'; '.join(CLAIMS)}.")
    pictures = pictures.float().nan_to_num(0.0).clamp(-1, 1)
    seen = look(_judge(), (pictures + 1) / 2)
    right = [judge(CLAIMS[sentences[k // each]], found).right for k, found in enumerate(seen)]
    pixels = pictures.flatten(1).unflatten(0, (len(sentences), each))                           # (S, each, 3 H W)
    least = min(float(torch.pdist(own).min()) / own.shape[1] ** 0.5 for own in pixels)
    return Mark(sum(right) / len(right), least)


def functional_mark(pictures: Tensor, sentences: Sequence[str]) -> None:
    """Show the pictures and their mark; raise CheckFailed unless it is passed. Arguments: see `mark_of`."""
    mark, lang = mark_of(pictures, sentences), notebook.spoken()
    notebook.show(list(pictures), columns=len(pictures) // len(sentences))
    print(SAID.of(lang).format(recognised=mark.recognised, count=len(pictures), wanted=RECOGNISED, diversity=mark.diversity,
                               least=DIVERSITY))  # fmt: skip
    if not mark.passed:
        raise notebook.CheckFailed((ALIKE if mark.recognised >= RECOGNISED else NOT_RECOGNISED).of(lang))


# --- a small network of the same parts ---------------------------------------------------------------------------------------

COLOURS = torch.tensor([[0.9, -0.7, -0.7], [-0.7, 0.7, -0.6], [-0.7, -0.5, 0.9]])  # red, green, blue
SIDES = (3.5, 8.5)  # the middle of the spot, in pixels from the left


def spots(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (B, 3, 12, 12) of a spot on grey, its colour and side as words (B, 2, 8), and which they are (B, 2)."""
    which = torch.stack([torch.randint(3, (count,), generator=generator), torch.randint(2, (count,), generator=generator)], 1)
    line = torch.arange(12.0)
    x = torch.tensor(SIDES)[which[:, 1], None] + 0.4 * torch.randn(count, 1, generator=generator)
    y = 5.5 + 1.5 * torch.randn(count, 1, generator=generator)
    inside = ((line - x).square()[:, None] + (line - y).square()[:, :, None] < 7).float()[:, None]    # (B, 1, 12, 12)
    pictures = inside * COLOURS[which[:, 0], :, None, None]
    words = torch.eye(8)[torch.stack([which[:, 0], 3 + which[:, 1]], 1)]
    return pictures, words, which


class SmallUNet(nn.Module):
    """A U-Net of two levels for `spots`, of the learner's parts: network(x, a, words, bias) -> v."""

    def __init__(
        self, time_embedding: Callable[..., Tensor], res_block: Callable[..., nn.Module], down_and_up: Callable[..., Tensor],
        cross_attention: Callable[..., nn.Module],
    ) -> None:  # fmt: skip
        super().__init__()
        self.time_embedding, self.down_and_up = time_embedding, down_and_up
        self.conv_in, self.conv_out = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 3, 3, padding=1)
        self.time = TimestepEmbedding(32, 64)
        widths = {"down": (32, 32), "deep": (32, 64), "middle": (64, 64), "up deep": (128, 64), "up deep 2": (96, 64),
                  "up": (96, 32), "up 2": (64, 32)}  # fmt: skip
        self.blocks = nn.ModuleDict({name: res_block(*two, 64, 8) for name, two in widths.items()})
        self.to_k, self.to_v = nn.Linear(8, 64), nn.Linear(8, 64)
        self.attention = cross_attention(64, 4, 16)

    def forward(self, x: Tensor, a: Tensor, words: Tensor, bias: Tensor) -> Tensor:
        """x (B, 3, 12, 12), a (B,), words (B, L, 8), bias (B, 1, 1, L) to v (B, 3, 12, 12)."""
        share = torch.atan2((1 - a).sqrt(), a.sqrt()) * (2 / math.pi)
        time = self.time(self.time_embedding(share, 32))
        keys, values = (layer(words).unflatten(2, (4, 16)).transpose(1, 2) for layer in (self.to_k, self.to_v))

        def block(name: str) -> Callable[[Tensor], Tensor]:
            return lambda h: self.blocks[name](h, time)

        def middle(h: Tensor) -> Tensor:
            h = self.blocks["middle"](h, time)
            return h + self.attention(h, keys, values, bias)

        fine = SimpleNamespace(down=[block("down")], shrink=lambda h: F.avg_pool2d(h, 2), up=[block("up"), block("up 2")],
                               grow=lambda h, size: F.interpolate(h, tuple(size)))  # fmt: skip
        deep = SimpleNamespace(down=[block("deep")], shrink=None, grow=None, up=[block("up deep"), block("up deep 2")])
        return self.conv_out(F.silu(self.down_and_up(self.conv_in(x), [fine, deep], middle)))


def small_training(
    parts: Sequence[Callable[..., Any]], table: Tensor, train: Callable[..., Any], steps: int = 400
) -> tuple[list[float], Tensor]:
    """`SmallUNet` of the four parts, trained by `train` (exercise 17.8). Returns the losses, and six pictures that it then
    draws (6, 3, 12, 12): red, green and blue, each on the left and on the right."""
    from minidiff.diffusion.prediction import denoiser
    from minidiff.diffusion.samplers import run
    from minidiff.diffusion.schedules import get_schedule

    torch.manual_seed(0)
    network, dice = SmallUNet(*parts), torch.Generator().manual_seed(0)
    batches = []
    for _ in range(steps):
        x0, words, _ = spots(24, dice)
        batches.append((x0, words, torch.zeros(24, 1, 1, 2), torch.ones(24)))
    losses = train(network, torch.optim.AdamW(network.parameters(), lr=2e-3), batches, table, 20, dice)
    which = torch.cartesian_prod(torch.arange(3), torch.arange(2))
    words = torch.eye(8)[torch.stack([which[:, 0], 3 + which[:, 1]], 1)]

    @torch.no_grad()
    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        return network(x, torch.cos(timestep / 1000 * math.pi / 2).square(), words, torch.zeros(6, 1, 1, 2))

    noise = torch.randn(6, 3, 12, 12, generator=dice)
    *_, last = run("dpmpp_2m", denoiser(predict, get_schedule("cosine"), "v"), noise, get_schedule("cosine"), 12)
    return losses, last.x.clamp(-1, 1)
