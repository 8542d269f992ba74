"""Exercise 01.4, up_path: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Fix the up path
#
# **Debugging.** Below is somebody's up path, the right half of the U. It has two bugs, and one of them would not even raise
# an error if all features had the same size. Compare it with `down_path` at the top of this notebook, find both, write it correctly.
# %% [markdown] lang="vi" of="a891bea6"
# ## Sửa đường đi lên
#
# **Gỡ lỗi.** Bên dưới là đường đi lên, tức nửa phải của chữ U, do ai đó viết. Nó có hai lỗi, và một trong hai thậm chí không
# báo lỗi nếu mọi đặc trưng có cùng kích thước. Hãy so với `down_path`, đường đi xuống, ở đầu notebook, tìm cả hai lỗi, rồi viết
# lại cho đúng.

# %% [markdown] lang="en" role="hints"
# Write down the shapes of h and of the skips for a picture of 32 x 32, in the order in which they are made and used.
# ---
# The U is a stack of plates: what was put down last is taken first.
# ---
# `pop()` without an argument takes the last one; the channels are axis 1.
# %% [markdown] lang="vi" of="b463dcf4"
# Viết ra kích thước của h và của các kết nối tắt với ảnh 32 x 32, theo thứ tự chúng được tạo ra và được dùng.
# ---
# Chữ U là một chồng đĩa: cái đặt xuống sau cùng được lấy ra trước tiên.
# ---
# `pop()` không có đối số sẽ lấy phần tử cuối; trục kênh là trục 1.

# %% [markdown] lang="en" role="stub" given="as_given"
# The up path: h (B, C, h, w), the deepest features, to (B, C', H, W).
#
# skips: in the order in which the down path made them, finest first; as many as
# there are blocks. Neither this list nor levels is changed.
# levels: deepest first, each (blocks, double). A block is a function of features and
# skip side by side, (B, C + S, h, w) -> (B, C', h, w); double(h, size) enlarges to
# the size (H, W) of the next skip, and is None in the last level.
# ---
# 1. which skip belongs to the deepest block?
# 2. along which axis do (B, C, h, w) and (B, S, h, w) become (B, C + S, h, w)?
# 3. fix both lines, and delete the next line
# %% [markdown] lang="vi" of="d66e6e21"
# Đường đi lên: h (B, C, h, w), các đặc trưng sâu nhất, thành (B, C', H, W).
#
# skips: các kết nối tắt theo thứ tự mà đường đi xuống tạo ra, mịn nhất trước; có
# bao nhiêu khối thì có bấy nhiêu. Không được làm thay đổi danh sách này lẫn levels.
# levels: tầng sâu nhất trước, mỗi tầng là (blocks, double). Khối là một hàm của đặc
# trưng và kết nối tắt đặt cạnh nhau, (B, C + S, h, w) -> (B, C', h, w);
# double(h, size) phóng to tới kích thước (H, W) của kết nối tắt tiếp theo, và là
# None ở tầng cuối.
# ---
# 1. kết nối tắt nào thuộc về khối sâu nhất?
# 2. theo trục nào thì (B, C, h, w) và (B, S, h, w) ghép thành (B, C + S, h, w)?
# 3. sửa cả hai dòng, và xóa dòng tiếp theo

# %% role="solution"
def up_path(h: Tensor, skips: list[Tensor], levels: list) -> Tensor:
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))           # (B, C', h, w)
        if double is not None:
            h = double(h, skips[-1].shape[-2:])                     # (B, C', H, W)
    return h

# %% [markdown] lang="en" role="checks"
# - what each block is given (stand-in blocks)
# - values in a small U-Net, for a picture of 7 x 5
# - values in a small U-Net, for a picture of 8 x 8
# %% [markdown] lang="vi" of="683c736e"
# - mỗi khối nhận được gì (với các khối giả)
# - giá trị trong một U-Net nhỏ, với ảnh 7 x 5
# - giá trị trong một U-Net nhỏ, với ảnh 8 x 8

# %% role="probes"
import torch
from torch import nn

from minidiff.models.unet import UNet, UNetConfig

# --- stand-in blocks ---


def given_to_blocks(f, h, skips):
    """What each of six stand-in blocks is given: the first and the last number of each
    channel. Block k answers 100 (k + 2), and doubling changes the sign."""
    seen = {}

    def stand_in(k):
        def block(x):
            seen[f"blocks[{k}]"] = torch.stack([x[0, :, 0, 0], x[-1, :, -1, -1]])
            return torch.full((1, 2, 2, 2), 100.0 * (k + 2))

        return block

    levels = [
        ([stand_in(k) for k in range(3)], lambda h, size: -h),
        ([stand_in(k) for k in range(3, 6)], None),
    ]
    seen["h"] = f(h, skips, levels)[0, :, 0, 0]
    seen["blocks left in levels"] = [len(blocks) for blocks, _ in levels]
    return seen


DEEPEST = torch.full((1, 2, 2, 2), 100.0)
NUMBERED = [torch.full((1, 2, 2, 2), k + 1.0) for k in range(6)]    # skip k says k + 1

# --- a small U-Net ---


def small_unet(generator):
    """Three levels in float64, every weight drawn by lot: a fresh U-Net predicts 0."""
    config = UNetConfig(
        sample_size=8, in_channels=3, out_channels=3, channels=(4, 8, 8), layers=1,
        attention=(False, False, True), heads=2, context_dim=None, classes=4, groups=2,
    )  # fmt: skip
    unet = UNet(config).double()
    for parameter in unet.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return unet


@torch.no_grad()
def half_way(height, width):
    """The U-Net, the time's embedding, and what the down path makes of two pictures."""
    generator = torch.Generator().manual_seed(3)
    unet = small_unet(generator)
    time = torch.randn(2, 16, dtype=torch.float64, generator=generator)
    x = torch.randn(2, 3, height, width, dtype=torch.float64, generator=generator)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    return {"unet": unet, "time": time, "h": h, "skips": skips}


def up(f, unet, time, h, skips):
    def blocks(level):
        count = len(level.resnets)
        return [lambda x, k=k: level.layer(k, x, time) for k in range(count)]

    doubles = [*(level.upsamplers[0] for level in unet.up_blocks[:-1]), None]
    return f(h, skips, list(zip(map(blocks, unet.up_blocks), doubles, strict=True)))


probe(given_to_blocks, points=3, h=DEEPEST, skips=NUMBERED)
probe(up, **half_way(7, 5))
probe(up, points=2, **half_way(8, 8))

# %% [markdown] lang="en" role="mistake" name="as_given"
# Both bugs are still in it: the deepest block gets the finest skip, and h and the skip are joined along the width.
# %% [markdown] lang="vi" of="9822636c"
# Cả hai lỗi vẫn còn nguyên: khối sâu nhất nhận kết nối tắt mịn nhất, và h với kết nối tắt bị ghép theo chiều rộng.
# %% role="wrong" name="as_given"
def up_path(h: Tensor, skips: list[Tensor], levels: list) -> Tensor:
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop(0)], dim=-1))
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
    return h

# %% [markdown] lang="en" role="mistake" name="first_in_first_out"
# The skips are taken in the order in which they were made: the deepest block gets the finest skip. The U is a stack: last in,
# first out.
# %% [markdown] lang="vi" of="ad989364"
# Các kết nối tắt bị lấy theo đúng thứ tự tạo ra: khối sâu nhất nhận kết nối tắt mịn nhất. Chữ U là một ngăn xếp: vào sau, ra
# trước.
# %% role="wrong" name="first_in_first_out"
patch("skips.pop()", "skips.pop(0)")

# %% [markdown] lang="en" role="mistake" name="wrong_axis"
# h and the skip are joined, but not along the channels: count the axes of (B, C, H, W) from 0.
# %% [markdown] lang="vi" of="a7c66801"
# h và kết nối tắt được ghép, nhưng không theo trục kênh: hãy đếm các trục của (B, C, H, W) từ 0.
# %% role="wrong" name="wrong_axis"
patch("dim=1", "dim=-1")

# %% [markdown] lang="en" role="mistake" name="in_order_within_a_level"
# The levels are right, but within a level the skips come in the order in which they were made: every single block takes the
# last one that is left.
# %% [markdown] lang="vi" of="3a30cbb9"
# Các tầng thì đúng, nhưng trong một tầng các kết nối tắt lại theo thứ tự tạo ra: từng khối phải lấy cái cuối cùng còn lại.
# %% role="wrong" name="in_order_within_a_level"
patch("for block in blocks:", "for k, block in enumerate(blocks):")
patch("skips.pop()", "skips.pop(k - len(blocks))")

# %% [markdown] lang="en" role="mistake" name="one_skip_a_level"
# All blocks of a level get the same skip: there are as many skips as blocks, and each block takes one of its own.
# %% [markdown] lang="vi" of="dfb5ed9e"
# Mọi khối của một tầng nhận cùng một kết nối tắt: có bao nhiêu khối thì có bấy nhiêu kết nối tắt, và mỗi khối lấy một cái
# riêng.
# %% role="wrong" name="one_skip_a_level"
patch("for block in blocks:", "skip = skips[-1]\n        for block in blocks:")
patch("skips.pop()", "skip")
patch("        if double", "        del skips[-len(blocks):]\n        if double")

# %% [markdown] lang="en" role="mistake" name="levels_turned_round"
# You go through the levels from the end: they are handed to you deepest first, and that is where the up path begins.
# %% [markdown] lang="vi" of="cd9added"
# Bạn đi qua các tầng từ cuối lên: danh sách đã xếp tầng sâu nhất trước, và đường đi lên bắt đầu chính từ đó.
# %% role="wrong" name="levels_turned_round"
patch("in levels:", "in reversed(levels):")

# %% [markdown] lang="en" role="mistake" name="added"
# The skip is added to h, so a block gets half the channels it was made for: here both lie side by side.
# %% [markdown] lang="vi" of="857034f1"
# Kết nối tắt bị cộng vào h, nên khối chỉ nhận được một nửa số kênh nó cần: ở đây hai bên phải được đặt cạnh nhau.
# %% role="wrong" name="added"
patch("torch.cat([h, skips.pop()], dim=1)", "h + skips.pop()")

# %% [markdown] lang="en" role="mistake" name="skip_first"
# The skip's channels stand before those of h: nothing breaks, but each weight was learnt for the other half.
# %% [markdown] lang="vi" of="d5256d3d"
# Các kênh của kết nối tắt đứng trước các kênh của h: không có lỗi nào hiện ra, nhưng mỗi trọng số được học cho nửa bên kia.
# %% role="wrong" name="skip_first"
patch("[h, skips.pop()]", "[skips.pop(), h]")

# %% [markdown] lang="en" role="mistake" name="doubled_first"
# The size changes before the blocks of a level: first its blocks, then the step up to the next level.
# %% [markdown] lang="vi" of="6ccffbed"
# Kích thước thay đổi trước các khối của tầng: phải chạy các khối trước, rồi mới bước lên tầng tiếp theo.
# %% role="wrong" name="doubled_first"
def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
    return h

# %% [markdown] lang="en" role="mistake" name="never_doubled"
# The size never changes: after its blocks, each level but the last enlarges h by double.
# %% [markdown] lang="vi" of="ee1f1f03"
# Kích thước không hề thay đổi: sau các khối của mình, mỗi tầng trừ tầng cuối phóng to h bằng double.
# %% role="wrong" name="never_doubled"
patch("h = double(h, skips[-1].shape[-2:])", "pass")

# %% [markdown] lang="en" role="mistake" name="doubled_exactly"
# You enlarge to exactly twice the size, but 7 was halved to 4, and twice 4 is 8: the size to reach is that of the next skip.
# %% [markdown] lang="vi" of="98cc6a52"
# Bạn phóng to đúng gấp đôi, nhưng 7 thu nhỏ một nửa thành 4, mà gấp đôi 4 là 8: kích thước cần đạt là của kết nối tắt tiếp
# theo.
# %% role="wrong" name="doubled_exactly"
patch("skips[-1].shape[-2:]", "[2 * side for side in h.shape[-2:]]")

# %% [markdown] lang="en" role="mistake" name="returned_too_early"
# You return after the first level: `return h` belongs behind the loop, not inside.
# %% [markdown] lang="vi" of="86451ea6"
# Bạn trả về ngay sau tầng đầu tiên: `return h` phải nằm sau vòng lặp, không phải bên trong.
# %% role="wrong" name="returned_too_early"
patch("    return h", "        return h")

# %% role="library"
from types import SimpleNamespace

from minidiff.models.unet import UpBlock


def up_path(h, skips, levels):
    left = list(skips)
    for blocks, double in levels:
        level = SimpleNamespace(
            resnets=blocks, layer=lambda k, x, *_, blocks=blocks: blocks[k](x),
            upsamplers=[] if double is None else [double],
        )  # fmt: skip
        h = UpBlock.forward(level, h, left, None, None, None)
    return h

# %% role="payoff"
def draw(function):
    def forward(level, h, skips, time, context, mask):
        if level is not unet.up_blocks[0]:
            return h                            # your function did all levels at once
        return function(h, skips, up_levels(unet, time))

    with patch.object(unet_file.UpBlock, "forward", forward):
        return pictures()


payoff(draw, up_path)
