"""The exercises of lesson 01, "A U-Net that removes noise": embedding, GroupNorm, residual block, up path, the whole network.

What it is not: the library's network (models/unet.py), which is the reference of nearly all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from minidiff.course.exercise import Exercise, Mistake, Probe, Say
from minidiff.models.unet import MidBlock, UNet, UNetBlock, UNetConfig, UpBlock
from minidiff.nn.blocks import ResBlock
from minidiff.nn.embeddings import timestep_embedding

Block = Callable[[Tensor], Tensor]                      # (B, C + S, h, w) -> (B, C', h, w)
Double = Callable[[Tensor, Sequence[int]], Tensor]      # (B, C, h, w), (H, W) -> (B, C, H, W)
UpLevel = tuple[list[Block], Double | None]

# --- what the notebook gives ------------------------------------------------------------------------------------------


def down_path(unet: UNet, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The left half of the U: x (B, 3, H, W) and the time embedding (B or 1, D) to h, the deepest features, and skips, all
    that was made on the way, finest first."""
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)                # no captions here
        skips += made
    return h, skips


def up_levels(unet: UNet, time: Tensor) -> list[UpLevel]:
    """The right half of the U as plain functions, deepest level first: its blocks, then what doubles its size, or None."""
    return [(_blocks(level, time), level.upsamplers[0] if len(level.upsamplers) else None)
            for level in cast(list[UpBlock], unet.up_blocks)]  # fmt: skip


def _blocks(level: UNetBlock, time: Tensor) -> list[Block]:
    return [lambda x, k=k: level.layer(k, x, time) for k in range(len(level.resnets))]  # type: ignore[misc]


# --- 01.1 ---------------------------------------------------------------------------------------------------------------


def reference_embedding(timestep: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    return timestep_embedding(timestep, dim, max_period)


def _embedding(frequencies: Callable[[int, float], Tensor], order: str = "cos sin") -> Any:
    """A wrong embedding: (dim, max_period) -> frequencies, and how cosines and sines are laid out."""

    def answer(timestep: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
        angle = timestep.float()[:, None] * frequencies(dim, max_period)                # (B, half)
        if order == "pairs":
            return torch.stack([angle.cos(), angle.sin()], dim=2).flatten(1)
        first, second = (angle.cos(), angle.sin()) if order == "cos sin" else (angle.sin(), angle.cos())
        return torch.cat([first, second], dim=1)

    return answer


def _falling(half: int, base: float, last: float) -> Tensor:
    return base ** (-torch.arange(half) / last)


TIMES = torch.tensor([0.0, 1.0, 2.0, 10.0])

EMBEDDING = Exercise(
    "01.1", "timestep_embedding", reference_embedding,
    (
        Probe(Say("4 times, dim 6: shape (4, 6)", "4 bước thời gian, dim = 6: kích thước (4, 6)"),
              lambda f: list(f(TIMES, 6).shape)),
        Probe(Say("whole-number times give float32", "bước thời gian là số nguyên vẫn cho float32"),
              lambda f: str(f(TIMES.long(), 6).dtype)),
        Probe(Say("values for dim 6", "giá trị khi dim = 6"), lambda f: f(TIMES, 6), 2, 1e-4, 1e-3),
        Probe(Say("values for another max_period", "giá trị khi đổi max_period"),
              lambda f: f(TIMES, 4, max_period=50.0), 1, 1e-4, 1e-3),
        Probe(Say("cos² + sin² is 1 for each frequency", "cos² + sin² bằng 1 với mỗi tần số"),
              lambda f: sum(half**2 for half in f(TIMES, 6).chunk(2, dim=1)), 1, 1e-4, 1e-4),
    ),
    (
        Mistake("sines_first", _embedding(lambda d, p: _falling(d // 2, p, d // 2), "sin cos"), Say(
            "The two halves have changed places: sines stand first. The network's weights were learnt with cosines first.",
            "Hai nửa bị đổi chỗ: sin đứng trước. Trọng số của mạng được học với cos đứng trước.")),
        Mistake("full_width", _embedding(lambda d, p: _falling(d, p, d)), Say(
            "The embedding is twice as wide as asked: there are dim frequencies, each with a sine and a cosine. How many "
            "frequencies leave room for both?",
            "Vector nhúng rộng gấp đôi yêu cầu: có tới dim tần số, mỗi tần số lại có cả sin và cos. Cần bao nhiêu tần số để "
            "đủ chỗ cho cả hai?")),
        Mistake("half_minus_1", _embedding(lambda d, p: _falling(d // 2, p, d // 2 - 1)), Say(
            "Only the first and no other frequency is right: yours reach 1 / max_period at the last one, so you divide by "
            "half - 1. Here the formula divides by half.",
            "Chỉ tần số đầu tiên đúng: tần số cuối của bạn chạm 1 / max_period, tức là bạn chia cho half - 1. Công thức ở đây "
            "chia cho half.")),
        Mistake("exponent_over_dim", _embedding(lambda d, p: _falling(d // 2, p, d)), Say(
            "The frequencies fall half as fast as they should: the exponent is divided by dim. In the paper 2i / d stands "
            "there, and with k counting pairs that is k / half.",
            "Tần số giảm chậm bằng một nửa: số mũ bị chia cho dim. Bài báo viết 2i / d, và khi k đếm theo cặp thì đó là "
            "k / half.")),
        Mistake("rising_frequencies", _embedding(lambda d, p: 1 / _falling(d // 2, p, d // 2)), Say(
            "The frequencies rise from 1 instead of falling: look at the sign of the exponent.",
            "Tần số tăng dần từ 1 thay vì giảm: xem lại dấu của số mũ.")),
        Mistake("pairs_side_by_side", _embedding(lambda d, p: _falling(d // 2, p, d // 2), "pairs"), Say(
            "The numbers are right but lie cos, sin, cos, sin, ...: the library puts all cosines first, then all sines.",
            "Các số đều đúng nhưng xếp theo kiểu cos, sin, cos, sin, ...: thư viện đặt toàn bộ cos trước, rồi mới đến sin.")),
        Mistake("fixed_period", _embedding(lambda d, p: _falling(d // 2, 10000.0, d // 2)), Say(
            "max_period makes no difference to your answer: 10000 is written out somewhere.",
            "Kết quả không thay đổi theo max_period: có chỗ nào đó viết cứng số 10000.")),
    ),
    Say("Times as waves", "Thời gian thành sóng"), 1, 8,
)  # fmt: skip


# --- 01.2 ---------------------------------------------------------------------------------------------------------------


def reference_norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    return F.group_norm(x, groups, weight, bias, eps)


def _norm(
    over: str = "g", interleaved: bool = False, unbiased: bool = False, divide: Callable[[Tensor, float], Tensor] | None = None,
    affine: bool = True,
) -> Any:
    """A wrong GroupNorm. over: the axes of (b, g, c, h, w) that keep a mean of their own; divide: (variance, eps) -> what
    the centred numbers are divided by."""

    def answer(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
        pattern = "b (c g) h w -> b g c h w" if interleaved else "b (g c) h w -> b g c h w"
        parts = rearrange(x, pattern, g=groups)
        axes = {"g": (2, 3, 4), "whole": (1, 2, 3, 4), "channel": (3, 4), "batch": (0, 2, 3, 4)}[over]
        centred = parts - parts.mean(axes, keepdim=True)
        variance = parts.var(axes, unbiased=unbiased, keepdim=True)
        parts = centred / ((variance + eps).sqrt() if divide is None else divide(variance, eps))
        back = rearrange(parts, " -> ".join(reversed(pattern.split(" -> "))))
        return back * weight[:, None, None] + bias[:, None, None] if affine else back

    return answer


def _features(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """x (3, 4, 3, 3), no two channels alike, weight (4,) and bias (4,)."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, 3, 3, generator=generator, dtype=torch.float64)
    scale = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    weight, bias = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    x = x * scale.view(4, 1, 1) + scale.flip(0).view(4, 1, 1) + torch.arange(3).view(3, 1, 1, 1)
    return x.to(dtype), weight.to(dtype), bias.to(dtype)


def _alone(norm: Any) -> Tensor:
    x, weight, bias = _features()
    return norm(x, 2, weight, bias)[0] - norm(x[:1], 2, weight, bias)[0]


def _flat(norm: Any) -> Tensor:
    _, weight, bias = _features()
    return norm(torch.full((1, 4, 3, 3), 2.0, dtype=torch.float64), 2, weight, bias)


def _kind(norm: Any) -> list[Any]:
    out = norm(*[_features(torch.float32)[0], 2, *_features(torch.float32)[1:]])
    return [list(out.shape), str(out.dtype)]


GROUP_NORM = Exercise(
    "01.2", "group_norm", reference_norm,
    (
        Probe(Say("shape and dtype stay", "kích thước và kiểu số giữ nguyên"), _kind),
        Probe(Say("values, with a large eps", "giá trị, với eps lớn"),
              lambda f: f(_features()[0], 2, *_features()[1:], eps=0.5), 2),
        Probe(Say("one group, then a group for each channel", "một nhóm duy nhất, rồi mỗi kênh một nhóm"),
              lambda f: [f(_features()[0], groups, *_features()[1:]) for groups in (1, 4)]),
        Probe(Say("a flat picture gives the bias, no nan", "ảnh phẳng cho ra bias, không có nan"), _flat),
        Probe(Say("a picture does not depend on its batch", "một ảnh không phụ thuộc vào lô chứa nó"), _alone),
    ),
    (
        Mistake("whole_sample", _norm("whole"), Say(
            "One mean for all channels of a picture: that is LayerNorm's. Each group needs a mean and a variance of its own; "
            "over which axes do you average?",
            "Một trung bình chung cho mọi kênh của ảnh: đó là LayerNorm. Mỗi nhóm cần trung bình và phương sai riêng; bạn đang "
            "lấy trung bình theo những trục nào?")),
        Mistake("per_channel", _norm("channel"), Say(
            "Each channel is normalised by itself (InstanceNorm): the channels of a group share one mean and one variance.",
            "Mỗi kênh bị chuẩn hóa riêng (InstanceNorm): các kênh trong một nhóm phải dùng chung trung bình và phương sai.")),
        Mistake("over_the_batch", _norm("batch"), Say(
            "The batch's axis is averaged too, so a picture's result depends on its neighbours, as in BatchNorm: keep axis 0.",
            "Trục lô cũng bị lấy trung bình, nên kết quả của một ảnh phụ thuộc vào các ảnh bên cạnh, như BatchNorm: hãy giữ "
            "trục 0.")),
        Mistake("bessel", _norm(unbiased=True), Say(
            "Your variance is a little too large: var and std of PyTorch divide by n - 1 unless told otherwise (Bessel's "
            "correction), GroupNorm divides by n.",
            "Phương sai hơi lớn quá: var và std của PyTorch mặc định chia cho n - 1 (hiệu chỉnh Bessel), còn GroupNorm chia "
            "cho n.")),
        Mistake("no_eps", _norm(divide=lambda variance, eps: variance.sqrt()), Say(
            "eps is missing: where all numbers of a group are equal you divide 0 by 0.",
            "Thiếu eps: khi mọi số trong nhóm bằng nhau, bạn lấy 0 chia cho 0.")),
        Mistake("eps_outside_the_root", _norm(divide=lambda variance, eps: variance.sqrt() + eps), Say(
            "eps is added to the standard deviation: it belongs to the variance, under the root.",
            "eps được cộng vào độ lệch chuẩn: nó phải cộng vào phương sai, bên trong dấu căn.")),
        Mistake("variance_for_std", _norm(divide=lambda variance, eps: variance + eps), Say(
            "You divide by the variance: take its root first.",
            "Bạn đang chia cho phương sai: hãy lấy căn bậc hai trước đã.")),
        Mistake("affine_forgotten", _norm(affine=False), Say(
            "weight and bias are not used: after normalising, each channel is scaled by its weight and shifted by its bias.",
            "weight và bias chưa được dùng: sau khi chuẩn hóa, mỗi kênh được nhân với weight và cộng bias của nó.")),
        Mistake("interleaved_groups", _norm(interleaved=True), Say(
            "The groups are made of every second channel: a group is made of neighbours, so the group's axis comes first when "
            "the channels are split.",
            "Các nhóm được ghép từ những kênh cách quãng: một nhóm gồm các kênh liền nhau, nên khi tách trục kênh thì trục "
            "nhóm đứng trước.")),
    ),
    Say("GroupNorm by hand", "Tự tay viết GroupNorm"), 2, 12,
)  # fmt: skip


# --- 01.3 ---------------------------------------------------------------------------------------------------------------


def reference_block(block: ResBlock, x: Tensor, time: Tensor) -> Tensor:
    return ResBlock.forward(block, x, time)


def _res_block(
    skip: str = "x", place: str = "between", before: Callable[[Tensor], Tensor] = F.silu,
    after: Callable[[Tensor], Tensor] | None = None, act: Callable[[Tensor], Tensor] = F.silu, axes: bool = True,
) -> Any:
    """A wrong residual block. skip: what is added at the end; place: where the time is added; before, after: what is done
    to it around its projection; act: the activation after a norm; axes: whether it gets its two axes of size 1."""

    def answer(block: ResBlock, x: Tensor, time: Tensor) -> Tensor:
        assert block.time_emb_proj is not None
        shift = block.time_emb_proj(before(time))
        shift = shift if after is None else after(shift)
        shift = shift[:, :, None, None] if axes else shift
        first = act(block.norm1(x))
        h = block.conv1(first)
        h = h + shift if place == "between" else h
        h = act(block.norm2(h))
        h = h + shift if place == "after norm2" else h
        h = block.conv2(h)
        h = h + shift if place == "end" else h
        carried = {"x": x, "first": first, "none": torch.zeros_like(x)}[skip]
        if skip == "none":
            return h
        return h + (carried if block.conv_shortcut is None else block.conv_shortcut(carried))

    return answer


def _block(channels_in: int = 4) -> tuple[ResBlock, Tensor, Tensor]:
    """A block to 8 channels in float64, x (3, channels_in, 3, 8) and time (3, 6). Height and width are the numbers of
    pictures and of channels, so that a time with its axes in the wrong place fits too."""
    torch.manual_seed(channels_in)
    block = ResBlock(channels_in, 8, groups=2, time_dim=6).double()
    return block, torch.randn(3, channels_in, 3, 8, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)


def _fresh(res_block: Any) -> Tensor:
    """What a block does to x whose last convolution is 0."""
    block, x, time = _block(8)
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(cast(Tensor, block.conv2.bias))
    return res_block(block, x, time) - x


def _shared(res_block: Any) -> Tensor:
    block, x, time = _block()
    return res_block(block, x, time[:1])


RES_BLOCK = Exercise(
    "01.3", "res_block", reference_block,
    (
        Probe(Say("4 channels to 8: shape (3, 8, 3, 8)", "4 kênh thành 8: kích thước (3, 8, 3, 8)"),
              lambda f: list(f(*_block()).shape)),
        Probe(Say("values where widths differ", "giá trị khi số kênh vào và ra khác nhau"), lambda f: f(*_block()), 2),
        Probe(Say("values where widths are equal", "giá trị khi số kênh vào và ra bằng nhau"), lambda f: f(*_block(8))),
        Probe(Say("one time for the whole batch", "một bước thời gian chung cho cả lô"), _shared),
        Probe(Say("conv2 of zeros: the block changes nothing", "conv2 toàn số 0: khối không thay đổi gì"), _fresh),
    ),
    (
        Mistake("no_skip", _res_block("none"), Say(
            "What came in is never added at the end: without x + ... this is no residual block. Where widths differ, "
            "conv_shortcut brings x to the new width.",
            "Đầu vào không được cộng lại ở cuối: thiếu x + ... thì không còn là khối phần dư. Khi số kênh khác nhau, "
            "conv_shortcut đưa x về số kênh mới.")),
        Mistake("skip_from_the_normalised_x", _res_block("first"), Say(
            "You add the normalised and activated x: was x overwritten on the way? What is added is x as it came in.",
            "Bạn cộng x đã chuẩn hóa và kích hoạt: có phải x bị ghi đè giữa chừng? Thứ cần cộng là x lúc mới vào.")),
        Mistake("time_after_norm2", _res_block(place="after norm2"), Say(
            "The time is added after the second norm and its SiLU: it belongs between conv1 and norm2.",
            "Thời gian được cộng sau lớp chuẩn hóa thứ hai và SiLU của nó: nó phải nằm giữa conv1 và norm2.")),
        Mistake("time_at_the_end", _res_block(place="end"), Say(
            "The time is added after conv2, where it only shifts whole channels of the result: it belongs between conv1 and "
            "norm2.",
            "Thời gian được cộng sau conv2, ở đó nó chỉ dịch cả kênh của kết quả: nó phải nằm giữa conv1 và norm2.")),
        Mistake("time_ignored", _res_block(place="nowhere"), Say(
            "The time makes no difference to your answer: is the sum of h and the projected time kept?",
            "Thời gian không ảnh hưởng gì đến kết quả: tổng của h và thời gian đã chiếu có được giữ lại không?")),
        Mistake("time_without_silu", _res_block(before=lambda time: time), Say(
            "The time goes into its projection as it is: a SiLU comes first.",
            "Vector thời gian được đưa thẳng vào phép chiếu: trước đó phải qua SiLU.")),
        Mistake("silu_behind_the_projection", _res_block(before=lambda time: time, after=F.silu), Say(
            "SiLU and the time's projection have changed places: SiLU first, then time_emb_proj.",
            "SiLU và phép chiếu thời gian bị đổi chỗ: SiLU trước, rồi mới đến time_emb_proj.")),
        Mistake("time_without_axes", _res_block(axes=False), Say(
            "(B, C) was added to (B, C, H, W) as it is, and PyTorch lines up the last axes: the time ended up along height and "
            "width. It needs two more axes of size 1 behind.",
            "(B, C) được cộng thẳng vào (B, C, H, W), và PyTorch khớp các trục cuối: thời gian rơi vào chiều cao và chiều "
            "rộng. Cần thêm hai trục kích thước 1 ở phía sau.")),
        Mistake("no_silu", _res_block(act=lambda h: h), Say(
            "There is no SiLU after the norms: without one, two convolutions in a row are hardly more than one.",
            "Thiếu SiLU sau các lớp chuẩn hóa: không có nó, hai phép tích chập liên tiếp gần như chỉ là một.")),
    ),
    Say("A residual block", "Một khối phần dư"), 3, 12,
)  # fmt: skip


# --- 01.4 ---------------------------------------------------------------------------------------------------------------


def reference_up(h: Tensor, skips: list[Tensor], levels: list[UpLevel]) -> Tensor:
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
    return h


def _up(
    pop: Callable[[list[Tensor], int], Tensor] = lambda skips, left: skips.pop(),
    join: Callable[[Tensor, Tensor], Tensor] = lambda h, skip: torch.cat([h, skip], dim=1), double_first: bool = False,
) -> Any:
    """A wrong way up. pop: (skips, blocks left in this level) -> the skip that is taken; join: (h, skip) -> what goes into
    the block; double_first: whether the size changes before the level's blocks."""

    def answer(h: Tensor, skips: list[Tensor], levels: list[UpLevel]) -> Tensor:
        skips = list(skips)
        for blocks, double in levels:
            if double_first and double is not None:
                h = double(h, skips[-1].shape[-2:])
            for k, block in enumerate(blocks):
                h = block(join(h, pop(skips, len(blocks) - k)))
            if not double_first and double is not None:
                h = double(h, skips[-1].shape[-2:])
        return h

    return answer


def _handed(up_path: Any) -> dict[str, Tensor]:
    """What each of six stand-in blocks is given: the first number of each channel. Skip k holds k + 1 everywhere, the
    deepest features hold 100, block k answers 100 (k + 2), and doubling changes the sign."""
    seen: dict[str, Tensor] = {}

    def stand_in(k: int) -> Block:
        def block(x: Tensor) -> Tensor:
            seen[f"blocks[{k}]"] = x[0, :, 0, 0]
            return torch.full((1, 2, 2, 2), 100.0 * (k + 2))

        return block

    skips = [torch.full((1, 2, 2, 2), k + 1.0) for k in range(6)]
    levels: list[UpLevel] = [
        ([stand_in(k) for k in range(3)], lambda h, size: -h),
        ([stand_in(k) for k in range(3, 6)], None),
    ]
    seen["h"] = up_path(torch.full((1, 2, 2, 2), 100.0), skips, levels)[0, :, 0, 0]
    return seen


def small_unet() -> UNet:
    """Three levels and four labels in float64, every weight drawn by lot: a fresh U-Net predicts 0."""
    torch.manual_seed(3)
    unet = UNet(UNetConfig(
        sample_size=8, in_channels=3, out_channels=3, channels=(4, 8, 8), attention=(False, False, True), layers=1, heads=2,
        context_dim=None, classes=4, groups=2,
    )).double()  # fmt: skip
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return unet


def _noisy(height: int = 8, width: int = 8) -> Tensor:
    return torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def _through(up_path: Any, height: int, width: int) -> Tensor:
    """What the right half of a small U-Net makes of the left half's features."""
    unet, time = small_unet(), torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    h, skips = down_path(unet, _noisy(height, width), time)
    return up_path(h, skips, up_levels(unet, time))


UP_PATH = Exercise(
    "01.4", "up_path", reference_up,
    (
        Probe(Say("what each block is handed (stand-in blocks)", "mỗi khối nhận được gì (với các khối giả)"), _handed, 3),
        Probe(Say("shape for a picture of 7 x 5", "kích thước với ảnh 7 x 5"), lambda f: list(_through(f, 7, 5).shape)),
        Probe(Say("values in a small U-Net", "giá trị trong một U-Net nhỏ"), lambda f: _through(f, 8, 8), 2),
    ),
    (
        Mistake("first_in_first_out", _up(lambda skips, left: skips.pop(0)), Say(
            "The skips are taken in the order in which they were made: the deepest block gets the finest skip. The U is a "
            "stack: last in, first out.",
            "Các kết nối tắt bị lấy theo đúng thứ tự tạo ra: khối sâu nhất nhận đặc trưng mịn nhất. Chữ U là một ngăn xếp: vào "
            "sau, ra trước.")),
        Mistake("in_order_within_a_level", _up(lambda skips, left: skips.pop(-left)), Say(
            "The levels are right, but within a level the skips come in the order in which they were made: every single block "
            "takes the last one that is left.",
            "Các tầng thì đúng, nhưng trong một tầng các kết nối tắt lại theo thứ tự tạo ra: từng khối phải lấy cái cuối cùng "
            "còn lại.")),
        Mistake("added", _up(join=lambda h, skip: h + skip), Say(
            "The skip is added to h, so a block gets half the channels it was made for: here both lie side by side.",
            "Đặc trưng từ kết nối tắt bị cộng vào h, nên khối chỉ nhận được một nửa số kênh nó cần: ở đây hai bên phải được "
            "đặt cạnh nhau.")),
        Mistake("wrong_axis", _up(join=lambda h, skip: torch.cat([h, skip], dim=-1)), Say(
            "h and the skip are joined, but not along the channels: count the axes of (B, C, H, W) from 0.",
            "h và kết nối tắt được ghép, nhưng không theo trục kênh: hãy đếm các trục của (B, C, H, W) từ 0.")),
        Mistake("skip_first", _up(join=lambda h, skip: torch.cat([skip, h], dim=1)), Say(
            "The skip's channels stand before those of h: nothing breaks, but each weight was learnt for the other half.",
            "Các kênh của kết nối tắt đứng trước các kênh của h: không có lỗi nào hiện ra, nhưng trọng số được học cho nửa "
            "bên kia.")),
        Mistake("doubled_first", _up(double_first=True), Say(
            "The size changes before the blocks of a level: first its blocks, then the step up to the next level.",
            "Kích thước thay đổi trước các khối của tầng: phải chạy các khối trước, rồi mới bước lên tầng tiếp theo.")),
    ),
    Say("Mend the way up", "Sửa đường đi lên"), 3, 12,
)  # fmt: skip


# --- 01.5 ---------------------------------------------------------------------------------------------------------------


def reference_forward(unet: UNet, x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
    return UNet.forward(unet, x, timestep, labels=labels)


def forward_with(up_path: Callable[[Tensor, list[Tensor], list[UpLevel]], Tensor]) -> Callable[..., Tensor]:
    """A forward for a class-conditional UNet whose way up is `up_path`; it puts the rest together as the library does."""

    def forward(
        self: UNet, x: Tensor, timestep: Tensor, context: None = None, mask: None = None, labels: Tensor | None = None
    ) -> Tensor:
        time = self._time(timestep, labels)
        h, skips = down_path(self, x, time)
        h = self.mid_block(h, time)
        return self.conv_out(F.silu(self.conv_norm_out(up_path(h, skips, up_levels(self, time)))))

    return forward


def _forward(
    scale: float = 1.0, label: bool = True, middle: int = 2, last: Callable[[UNet, Tensor], Tensor] | None = None,
) -> Any:
    """A wrong U-Net. scale: of the timestep; label: whether it is used; middle: how many of the middle's layers are used;
    last: what is done before conv_out."""

    def answer(unet: UNet, x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        time = unet.time_embedding(timestep_embedding(timestep * scale, unet.config.channels[0]).to(x.dtype))
        if label and unet.class_embedding is not None:
            time = time + unet.class_embedding(labels)
        h, skips = down_path(unet, x, time)
        for k in range(middle):
            h = cast(MidBlock, unet.mid_block).layer(k, h, time)
        h = reference_up(h, skips, up_levels(unet, time))
        return unet.conv_out(F.silu(unet.conv_norm_out(h)) if last is None else last(unet, h))

    return answer


LABELS, NOW = torch.tensor([0, 2]), torch.tensor([300.0, 700.0])


def _label_effect(forward: Any) -> Tensor:
    """The difference that the label makes."""
    unet, x = small_unet(), _noisy()
    return forward(unet, x, NOW, LABELS) - forward(unet, x, NOW, LABELS + 1)


def _time_effect(forward: Any) -> Tensor:
    """The difference that the timestep makes."""
    unet, x = small_unet(), _noisy()
    return forward(unet, x, NOW, LABELS) - forward(unet, x, NOW + 100, LABELS)


FORWARD = Exercise(
    "01.5", "unet_forward", reference_forward,
    (
        Probe(Say("shape, also for a picture of 7 x 5", "kích thước, kể cả với ảnh 7 x 5"),
              lambda f: [list(f(small_unet(), _noisy(*size), NOW, LABELS).shape) for size in ((8, 8), (7, 5))]),
        Probe(Say("dtype is x's", "kiểu số là của x"), lambda f: str(f(small_unet(), _noisy(), NOW, LABELS).dtype)),
        Probe(Say("values in a small U-Net", "giá trị trong một U-Net nhỏ"),
              lambda f: f(small_unet(), _noisy(), NOW, LABELS), 3),
        Probe(Say("another label, another prediction", "nhãn khác, dự đoán khác"), _label_effect),
        Probe(Say("another time, another prediction", "bước thời gian khác, dự đoán khác"), _time_effect),
    ),
    (
        Mistake("label_left_out", _forward(label=False), Say(
            "The label makes no difference: the vector of its embedding is added to the time's before the first block.",
            "Nhãn không ảnh hưởng gì: vector nhúng của nhãn phải được cộng vào vector thời gian trước khối đầu tiên.")),
        Mistake("no_middle", _forward(middle=0), Say(
            "The bottom of the U is missing: the middle's two layers are between the way down and the way up.",
            "Thiếu đáy của chữ U: giữa đường xuống và đường lên còn hai lớp ở giữa.")),
        Mistake("half_a_middle", _forward(middle=1), Say(
            "The middle has two residual blocks, and you use one: attention stands between them.",
            "Phần giữa có hai khối phần dư mà bạn chỉ dùng một: giữa chúng là lớp chú ý.")),
        Mistake("no_last_norm", _forward(last=lambda unet, h: F.silu(h)), Say(
            "conv_norm_out is not used: h is normalised once more before the last convolution.",
            "conv_norm_out chưa được dùng: h còn phải chuẩn hóa một lần nữa trước phép tích chập cuối cùng.")),
        Mistake("no_last_silu", _forward(last=lambda unet, h: unet.conv_norm_out(h)), Say(
            "There is no SiLU between conv_norm_out and conv_out.",
            "Thiếu SiLU giữa conv_norm_out và conv_out.")),
        Mistake("neither_at_the_end", _forward(last=lambda unet, h: h), Say(
            "h goes straight into conv_out: before it stand conv_norm_out and a SiLU.",
            "h đi thẳng vào conv_out: trước đó còn conv_norm_out và một SiLU.")),
        Mistake("time_in_0_to_1", _forward(scale=0.001), Say(
            "The timestep was divided by 1000: the network was trained with numbers from 0 to 1000.",
            "Bước thời gian đã bị chia cho 1000: mạng được huấn luyện với các số từ 0 đến 1000.")),
    ),
    Say("The whole U-Net", "Cả mạng U-Net"), 4, 15, {"down_path": down_path, "up_levels": up_levels},
)  # fmt: skip

EXERCISES = (EMBEDDING, GROUP_NORM, RES_BLOCK, UP_PATH, FORWARD)
