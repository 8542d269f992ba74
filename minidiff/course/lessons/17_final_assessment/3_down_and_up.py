"""Exercise 17.3, down_and_up: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("down_and_up", "through_the_u", "u_pass")
vary('given="queue_and_short"', 'given="wrong_way"', 'given="swapped_and_bare"')

# %% [markdown] lang="en" role="task" difficulty="4" minutes="7"
# ## Part 1, the U-Net: debugging the way down and up
#
# Somebody else's wiring of a U. **Two** faults are in it. `levels` has the finest level first; each level has
#
# - `down`: a list of blocks, h to h; what each of them makes is kept for the way up, and so is the h that came in;
# - `shrink`: halves height and width, None at the deepest level; what it makes is kept as well;
# - `grow(h, size)`: enlarges what comes from the level below to `size`, the (H, W) of the kept tensor that is due next; None at
#   the deepest level, below which there is none;
# - `up`: a list of blocks. Each is given what came from below and then, behind it along the channels, the kept tensor that was
#   **last** kept and not yet used.
#
# Between the ways lies `middle(h)`. Sizes may be odd. In the end nothing that was kept is left over. Gradients have to pass.
# %% [markdown] lang="vi" of="72a8869c"
# ## Phần 1, U-Net: gỡ lỗi đường xuống và đường lên
#
# Đây là cách nối chữ U của một người khác. Trong đó có **hai** lỗi. `levels` có tầng mịn nhất đứng trước; mỗi tầng có
#
# - `down`: danh sách các khối, h thành h; kết quả của mỗi khối được giữ lại cho đường lên, và h ban đầu cũng vậy;
# - `shrink`: giảm một nửa chiều cao và chiều rộng, là None ở tầng sâu nhất; kết quả của nó cũng được giữ lại;
# - `grow(h, size)`: phóng to thứ đến từ tầng dưới thành `size`, tức (H, W) của tensor được giữ mà sắp đến lượt; là None ở tầng
#   sâu nhất, vì bên dưới không còn tầng nào;
# - `up`: danh sách các khối. Mỗi khối nhận thứ đến từ bên dưới, rồi tiếp ngay sau theo chiều kênh là tensor được giữ **sau
#   cùng** mà chưa dùng.
#
# Giữa hai đường là `middle(h)`. Kích thước có thể lẻ. Cuối cùng, không còn thứ gì được giữ mà chưa dùng. Gradient phải đi qua
# được.

# %% [markdown] lang="en" role="hints"
# Write down what is kept for two levels of one block each, and who takes what.
# ---
# A stack: last in, first out. The way up begins at the deepest level.
# ---
# Compare each line with its sentence above: kept tensors, order of levels, size, order of channels.
# %% [markdown] lang="vi" of="53725e14"
# Hãy ghi ra những gì được giữ khi có hai tầng, mỗi tầng một khối, và ai lấy gì.
# ---
# Một chồng: vào sau thì ra trước. Đường lên bắt đầu từ tầng sâu nhất.
# ---
# So từng dòng với câu tương ứng ở trên: các tensor được giữ, thứ tự tầng, kích thước, thứ tự kênh.

# %% [markdown] lang="en" role="stub" given="queue_and_short"
# h (B, C, H, W) down through the levels, through middle, and up: (B, C', H, W).
# ---
# 1. mend the two faults
# 2. delete the next line
# %% [markdown] lang="vi" of="ac7c2a92"
# h (B, C, H, W) đi xuống qua các tầng, qua middle, rồi đi lên: (B, C', H, W).
# ---
# 1. sửa hai lỗi
# 2. xóa dòng tiếp theo

# %% role="solution"
def down_and_up(h: Tensor, levels: list[Any], middle: Callable) -> Tensor:
    kept = [h]
    for level in levels:
        for block in level.down:
            h = block(h)
            kept.append(h)
        if level.shrink is not None:
            h = level.shrink(h)
            kept.append(h)
    h = middle(h)
    for level in reversed(levels):
        if level.grow is not None:
            h = level.grow(h, kept[-1].shape[-2:])
        for block in level.up:
            h = block(torch.cat([h, kept.pop()], dim=1))
    return h

# %% [markdown] lang="en" role="checks"
# - shape of what comes out, three levels, 9 x 7
# - values, two levels, 8 x 8
# - values, three levels, 9 x 7
# - values, levels of two blocks, 5 x 6
# - what each block of the way up is given (stand-ins)
# - gradients take every way, and `levels` stays as it was
# %% [markdown] lang="vi" of="151df877"
# - kích thước kết quả, ba tầng, ảnh 9 x 7
# - giá trị, hai tầng, ảnh 8 x 8
# - giá trị, ba tầng, ảnh 9 x 7
# - giá trị, mỗi tầng hai khối, ảnh 5 x 6
# - mỗi khối của đường lên nhận được gì (với các khối giả)
# - gradient đi qua mọi đường, và `levels` giữ nguyên

# %% role="probes"
from types import SimpleNamespace

import torch
import torch.nn.functional as F


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mix(width_in, width_out, seed):
    """A block: a 1 x 1 convolution and a sine, which forgets neither channel nor place."""
    weight = normal(width_out, 12, 1, 1, seed=seed) / width_in**0.5     # a wrong number of channels shows in the numbers
    return lambda h: F.conv2d(h, weight[:, : h.shape[1]]).sin() + 0.1 * h.mean()


def u(depth, blocks):
    """Levels of widths 2, 3, 4; finest first."""
    levels = []
    for k in range(depth):
        width, above, deepest = 2 + k, max(1 + k, 2), k == depth - 1
        down = [mix(above if b == 0 else width, width, 10 * k + b) for b in range(blocks)]
        level = SimpleNamespace(down=down, shrink=None, grow=None)
        if not deepest:
            level.shrink = lambda h: F.avg_pool2d(h, 2, ceil_mode=True)
            level.grow = lambda h, size: F.interpolate(h, tuple(size))
        below = width if deepest else width + 1
        kept = [width] * blocks + [above]
        level.up = [mix((below if b == 0 else width) + skip, width, 100 + 10 * k + b) for b, skip in enumerate(kept)]
        levels.append(level)
    return levels


def run(f, x, depth, blocks):
    return f(x, u(depth, blocks), lambda h: h * h - 0.5)


def slope(f, x):
    """The gradient at x, and whether the levels still stand in their order."""
    levels = u(2, 1)
    before = list(levels)
    made = f(x.requires_grad_(), levels, lambda h: h * h - 0.5)
    gradient = torch.autograd.grad(made.sum(), x)[0] if made.requires_grad else None
    return [gradient, levels == before]


def told(f, x):
    """Means of the two halves that each block of the way up is given. Nothing shrinks here, so that a wrong order is no error."""
    seen = []

    def up(h):
        seen.append([list(h.shape), h[:, :2].mean(), h[:, 2:].mean()])
        return torch.full((1, 2, *h.shape[2:]), 7.0 * len(seen), dtype=h.dtype)

    def down(k):
        return lambda h: torch.full((1, 2, *h.shape[2:]), 100.0 * k, dtype=h.dtype)

    def grow(h, size):
        seen.append(list(size))
        return h - 7

    fine = SimpleNamespace(down=[down(1), down(2)], shrink=lambda h: 3 + h, grow=grow, up=[up, up, up])
    deep = SimpleNamespace(down=[down(5), down(6)], shrink=None, grow=None, up=[up, up, up])
    try:
        f(x, [fine, deep], lambda h: h + 1)
    except (IndexError, RuntimeError) as error:
        if isinstance(error, NotImplementedError):
            raise
        seen.append(type(error).__name__)
    return seen


probe(lambda f, x: list(run(f, x, 3, 1).shape), x=normal(2, 2, 9, 7, seed=1))
probe(lambda f, x: run(f, x, 2, 1), x=normal(2, 2, 8, 8, seed=2))
probe(lambda f, x: run(f, x, 3, 1), points=2, x=normal(2, 2, 9, 7, seed=3))
probe(lambda f, x: run(f, x, 2, 2), points=2, x=normal(1, 2, 5, 6, seed=4))
probe(told, x=normal(1, 2, 5, 4, seed=5))
probe(slope, changes=("x",), x=normal(1, 2, 5, 6, seed=6))

# %% [markdown] lang="en" role="mistake" name="queue_and_short"
# Both faults are still there: what `shrink` makes is not kept, and the way up takes the oldest tensor, `pop(0)`, in place of
# the last one.
# %% [markdown] lang="vi" of="36666b4a"
# Cả hai lỗi vẫn còn: kết quả của `shrink` không được giữ lại, và đường lên lấy tensor cũ nhất, `pop(0)`, thay vì tensor cuối.
# %% role="wrong" name="queue_and_short"
patch("            h = level.shrink(h)\n            kept.append(h)\n", "            h = level.shrink(h)\n")
patch("kept.pop()", "kept.pop(0)")

# %% [markdown] lang="en" role="mistake" name="queue"
# The way up takes the oldest of the kept tensors. What was kept last is due first: `pop()`.
# %% [markdown] lang="vi" of="0d9658e7"
# Đường lên lấy tensor cũ nhất trong những gì được giữ. Thứ giữ sau cùng phải đến lượt trước: `pop()`.
# %% role="wrong" name="queue"
patch("kept.pop()", "kept.pop(0)")

# %% [markdown] lang="en" role="mistake" name="short"
# What `shrink` makes is not kept, so the way up has one tensor too few at each level, and the wrong ones.
# %% [markdown] lang="vi" of="7346895b"
# Kết quả của `shrink` không được giữ, nên ở mỗi tầng đường lên thiếu một tensor, và lấy nhầm tensor.
# %% role="wrong" name="short"
patch("            h = level.shrink(h)\n            kept.append(h)\n", "            h = level.shrink(h)\n")

# %% [markdown] lang="en" role="mistake" name="wrong_way"
# Both faults are still there: the way up begins at the finest level, and `grow` is told twice the size, which is wrong where
# the halved side was odd.
# %% [markdown] lang="vi" of="bed1be53"
# Cả hai lỗi vẫn còn: đường lên bắt đầu từ tầng mịn nhất, và `grow` được báo kích thước gấp đôi, sai khi cạnh bị giảm nửa là số
# lẻ.
# %% role="wrong" name="wrong_way"
patch("in reversed(levels)", "in levels")
patch("kept[-1].shape[-2:]", "[2 * side for side in h.shape[-2:]]")

# %% [markdown] lang="en" role="mistake" name="finest_first"
# The way up goes through the levels in the order of the way down. It begins where the way down ended: `reversed(levels)`.
# %% [markdown] lang="vi" of="8c44b4c7"
# Đường lên đi qua các tầng theo thứ tự của đường xuống. Nó phải bắt đầu ở nơi đường xuống kết thúc: `reversed(levels)`.
# %% role="wrong" name="finest_first"
patch("in reversed(levels)", "in levels")

# %% [markdown] lang="en" role="mistake" name="twice_the_size"
# `grow` is told twice the size. A side of 9 becomes 5 and must become 9 again: take the size of the kept tensor that is due
# next.
# %% [markdown] lang="vi" of="748e18d7"
# `grow` được báo kích thước gấp đôi. Cạnh dài 9 thành 5 rồi phải về lại 9: hãy lấy kích thước của tensor được giữ sắp đến lượt.
# %% role="wrong" name="twice_the_size"
patch("kept[-1].shape[-2:]", "[2 * side for side in h.shape[-2:]]")

# %% [markdown] lang="en" role="mistake" name="swapped_and_bare"
# Both faults are still there: the h that came in is not kept, and the kept tensor stands before what came from below.
# %% [markdown] lang="vi" of="cc361255"
# Cả hai lỗi vẫn còn: h ban đầu không được giữ, và tensor được giữ đứng trước thứ đến từ bên dưới.
# %% role="wrong" name="swapped_and_bare"
patch("kept = [h]", "kept = []")
patch("[h, kept.pop()]", "[kept.pop(), h]")

# %% [markdown] lang="en" role="mistake" name="bare"
# The h that came in is not kept: the last block of the way up finds nothing.
# %% [markdown] lang="vi" of="9b075161"
# h ban đầu không được giữ: khối cuối của đường lên không còn gì để lấy.
# %% role="wrong" name="bare"
patch("kept = [h]", "kept = []")

# %% [markdown] lang="en" role="mistake" name="swapped"
# The kept tensor stands before what came from below. Shapes agree, and every weight meets the wrong channel.
# %% [markdown] lang="vi" of="c24f69ef"
# Tensor được giữ đứng trước thứ đến từ bên dưới. Kích thước vẫn khớp, nhưng trọng số nào cũng gặp nhầm kênh.
# %% role="wrong" name="swapped"
patch("[h, kept.pop()]", "[kept.pop(), h]")

# %% [markdown] lang="en" role="mistake" name="no_middle"
# `middle` is never called: the way up begins with what came out of the deepest level.
# %% [markdown] lang="vi" of="6720a178"
# `middle` không hề được gọi: đường lên bắt đầu ngay với thứ ra khỏi tầng sâu nhất.
# %% role="wrong" name="no_middle"
patch("    h = middle(h)\n", "")

# %% [markdown] lang="en" role="mistake" name="skips_detached"
# No gradient goes through the kept tensors, so the way down learns nothing from them. Keep them as they are, without detach.
# %% [markdown] lang="vi" of="f4a731c7"
# Không gradient nào đi qua các tensor được giữ, nên đường xuống không học được gì từ chúng. Hãy giữ nguyên chúng, đừng detach.
# %% role="wrong" name="skips_detached"
patch("[h, kept.pop()]", "[h, kept.pop().detach()]")

# %% [markdown] lang="en" role="mistake" name="levels_turned_round"
# The list `levels` itself was turned round, so the next call begins at the deepest level. `reversed(levels)` leaves it as it was.
# %% [markdown] lang="vi" of="a57fb492"
# Chính danh sách `levels` bị đảo ngược, nên lần gọi sau sẽ bắt đầu từ tầng sâu nhất. `reversed(levels)` để nguyên danh sách.
# %% role="wrong" name="levels_turned_round"
patch("    for level in reversed(levels):\n", "    levels.reverse()\n    for level in levels:\n")

# %% role="library"
import torch


def down_and_up(h, levels, middle):
    """The same U as a function of the U below it; `nn.Sequential` has no part in it, and neither has a stack."""

    def below(h, levels):
        if not levels:
            return middle(h)
        level, kept = levels[0], [h]
        for block in level.down:
            kept.append(block(kept[-1]))
        if level.shrink is None:
            h = below(kept[-1], levels[1:])
        else:
            h = level.grow(below(level.shrink(kept[-1]), levels[1:]), kept[-1].shape[-2:])
        for block, skip in zip(level.up, reversed(kept), strict=True):
            h = block(torch.cat([h, skip], dim=1))
        return h

    return below(h, levels)
