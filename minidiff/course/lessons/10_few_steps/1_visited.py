"""Exercise 10.1, visited: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="8"
# ## Which times does a sampler visit?
#
# A network is trained at the times 0, 1, ..., `train_steps` - 1, from nearly clean to pure noise. DDPM visits all of them. DDIM
# with fewer steps visits some, evenly spaced, and the first is always the last one of training, pure noise. The rule is called
# *trailing*: for $k = 0, 1, \dots, \text{steps} - 1$
#
# $$\operatorname{round}\left(\text{train\_steps} - k\,\frac{\text{train\_steps}}{\text{steps}}\right) - 1.$$
#
# With `steps` equal to `train_steps` that is all of them, so one function serves both samplers. Two statements are given, one
# is missing.
#
# The last cell draws four things with DDIM at the times that you chose. Each picture has four tiles: 1 and 2 steps above, 4 and
# 8 below, from one noise.
# %% [markdown] lang="vi" of="3d78c58f"
# ## Bộ lấy mẫu ghé qua những thời điểm nào?
#
# Mạng được huấn luyện ở các thời điểm 0, 1, ..., `train_steps` - 1, từ gần như sạch đến toàn nhiễu. DDPM ghé qua tất cả. DDIM
# với ít bước hơn chỉ ghé qua một số, cách đều nhau, và thời điểm đầu tiên luôn là thời điểm cuối cùng của quá trình huấn luyện,
# tức toàn nhiễu. Quy tắc này tên là *trailing*: với $k = 0, 1, \dots, \text{steps} - 1$
#
# $$\operatorname{round}\left(\text{train\_steps} - k\,\frac{\text{train\_steps}}{\text{steps}}\right) - 1.$$
#
# Khi `steps` bằng `train_steps` thì đó là mọi thời điểm, nên một hàm dùng được cho cả hai bộ lấy mẫu. Hai câu lệnh đã có sẵn,
# còn thiếu một.
#
# Ô cuối cùng vẽ bốn thứ bằng DDIM ở những thời điểm mà hàm của bạn chọn. Mỗi bức có bốn ô: 1 và 2 bước ở trên, 4 và 8 bước ở
# dưới, từ cùng một nhiễu.

# %% [markdown] lang="en" role="hints"
# Do it by hand for 10 training times and 5 steps: 9, 7, 5, 3, 1.
# ---
# `stride` is how many training times a step passes over. Count down from `train_steps`, round, and subtract 1 at the end.
# ---
# A list comprehension: the task's formula for each k in `range(steps)`. Python's `round` makes a whole number of a fraction.
# %% [markdown] lang="vi" of="0c226281"
# Hãy làm bằng tay với 10 thời điểm huấn luyện và 5 bước: 9, 7, 5, 3, 1.
# ---
# `stride` là số thời điểm huấn luyện mà một bước đi qua. Hãy đếm lùi từ `train_steps`, làm tròn, và cuối cùng trừ 1.
# ---
# Một danh sách viết gọn (list comprehension): công thức của đề bài với mỗi k trong `range(steps)`. `round` của Python biến số
# thập phân thành số nguyên.

# %% [markdown] lang="en" role="stub" given="2"
# The training times, whole numbers from train_steps - 1 down, that a sampler with
# `steps` steps visits. Raises ValueError unless 1 <= steps <= train_steps.
# ---
# 1. return the list of times, one for each k = 0 ... steps - 1   # steps ints
# %% [markdown] lang="vi" of="72e546db"
# Các thời điểm huấn luyện, là số nguyên giảm dần từ train_steps - 1, mà một bộ lấy
# mẫu với `steps` bước ghé qua. Báo ValueError trừ khi 1 <= steps <= train_steps.
# ---
# 1. trả về danh sách thời điểm, mỗi k = 0 ... steps - 1 một số    # steps số nguyên

# %% role="solution"
def visited(train_steps: int, steps: int) -> list[int]:
    if not 1 <= steps <= train_steps:
        raise ValueError(f"Steps must be from 1 to {train_steps}, not {steps}.")
    stride = train_steps / steps                    # training times that a step passes
    return [round(train_steps - k * stride) - 1 for k in range(steps)]

# %% [markdown] lang="en" role="checks"
# - 5 of 10 times, as a list of whole numbers
# - 4 and 20 of 1000
# - 7 of 1000 and 10 of 64: the stride is no whole number
# - as many times as training has: DDPM visits all of them
# - a single step begins at pure noise
# - ValueError for 0 steps, fewer than none, and more steps than training has
# %% [markdown] lang="vi" of="7247a2e1"
# - 5 trong 10 thời điểm, là danh sách số nguyên
# - 4 và 20 trong 1000
# - 7 trong 1000 và 10 trong 64: `stride` không nguyên
# - số bước bằng số thời điểm huấn luyện: DDPM ghé qua tất cả
# - một bước duy nhất thì bắt đầu ở toàn nhiễu
# - ValueError khi số bước bằng 0, âm, hay lớn hơn số thời điểm huấn luyện

# %% role="probes"
import operator


def numbers(f, train_steps, steps):
    """The times, which must be whole numbers."""
    times = f(train_steps, steps)
    return [operator.index(time) for time in times] if isinstance(times, (list, tuple)) else times


def both(f, train_steps, steps):
    return [numbers(f, *pair) for pair in zip(train_steps, steps)]


def refused(f, train_steps, steps):
    """Whether each of these numbers of steps is refused."""
    found = []
    for count in steps:
        try:
            f(train_steps, count)
            found.append("accepted")
        except ValueError:
            found.append("ValueError")
    return found


probe(numbers, train_steps=10, steps=5)
probe(both, train_steps=[1000, 1000], steps=[4, 20])
probe(both, points=2, train_steps=[1000, 64], steps=[7, 10])
probe(both, train_steps=[12, 5], steps=[12, 5])
probe(both, train_steps=[1000, 30], steps=[1, 1])
probe(refused, train_steps=9, steps=[0, 10, 9, 1, -2])

# %% [markdown] lang="en" role="mistake" name="leading"
# The times are counted up from 0, so the first one lies below the last training time. The network is told that some picture is
# left in what is pure noise, and pictures come out grey. Count down from `train_steps`.
# %% [markdown] lang="vi" of="cb799128"
# Các thời điểm được đếm từ 0 lên, nên thời điểm đầu tiên nằm dưới thời điểm huấn luyện cuối cùng. Mạng tưởng trong cái toàn
# nhiễu ấy còn sót chút tranh, và tranh ra xám xịt. Hãy đếm lùi từ `train_steps`.
# %% role="wrong" name="leading"
patch("round(train_steps - k * stride) - 1 for k in range(steps)", "round(k * stride) for k in reversed(range(steps))")

# %% [markdown] lang="en" role="mistake" name="both_ends"
# Here the first and the last training time are both visited. That is the spacing *linspace*; trailing ends one stride above
# clean data, since the last step leads there.
# %% [markdown] lang="vi" of="d3226742"
# Ở đây cả thời điểm huấn luyện đầu lẫn cuối đều được ghé. Đó là cách chia *linspace*; trailing dừng lại cách dữ liệu sạch một
# khoảng `stride`, vì bước cuối sẽ dẫn đến đó.
# %% role="wrong" name="both_ends"
patch("round(train_steps - k * stride) - 1 for k in range(steps)",
      "round((train_steps - 1) * (1 - k / max(steps - 1, 1))) for k in range(steps)")

# %% [markdown] lang="en" role="mistake" name="one_too_high"
# All times are one too high: the first is `train_steps`, and training ends at `train_steps` - 1. Subtract 1 behind `round`.
# %% [markdown] lang="vi" of="fa24e4fd"
# Mọi thời điểm đều lớn hơn một đơn vị: số đầu là `train_steps`, mà huấn luyện chỉ đến `train_steps` - 1. Hãy trừ 1 sau `round`.
# %% role="wrong" name="one_too_high"
patch("round(train_steps - k * stride) - 1", "round(train_steps - k * stride)")

# %% [markdown] lang="en" role="mistake" name="whole_stride"
# The stride was made a whole number, so the times drift away from even spacing where `steps` doesn't divide `train_steps`. Keep
# the fraction, and round each time at the end.
# %% [markdown] lang="vi" of="8405ef32"
# `stride` bị biến thành số nguyên, nên các thời điểm lệch dần khỏi khoảng cách đều khi `steps` không chia hết `train_steps`.
# Hãy giữ phần lẻ, và chỉ làm tròn từng thời điểm ở cuối.
# %% role="wrong" name="whole_stride"
patch("train_steps / steps  ", "train_steps // steps  ")

# %% [markdown] lang="en" role="mistake" name="cut_off"
# The fraction was cut off, as `int` and `//` do. The rule rounds to the nearest whole number.
# %% [markdown] lang="vi" of="5dbda4da"
# Phần lẻ bị cắt bỏ, như `int` và `//` vẫn làm. Quy tắc là làm tròn đến số nguyên gần nhất.
# %% role="wrong" name="cut_off"
patch("round(train_steps", "int(train_steps")

# %% [markdown] lang="en" role="mistake" name="not_rounded"
# These times are floats. Training knows whole numbers alone: round to the nearest, and if NumPy or PyTorch does that, make ints
# of what comes out.
# %% [markdown] lang="vi" of="8dd7bd22"
# Các thời điểm này là số thực (float). Huấn luyện chỉ biết số nguyên: hãy làm tròn đến số gần nhất; nếu làm tròn bằng NumPy hay
# PyTorch thì đổi kết quả sang int.
# %% role="wrong" name="not_rounded"
patch("round(train_steps - k * stride) - 1", "train_steps - k * stride - 1")

# %% [markdown] lang="en" role="mistake" name="rising"
# The times are right, but they rise. A sampler begins at pure noise and goes down.
# %% [markdown] lang="vi" of="2bf209dd"
# Các thời điểm đúng, nhưng lại tăng dần. Bộ lấy mẫu bắt đầu ở toàn nhiễu rồi đi xuống.
# %% role="wrong" name="rising"
patch("for k in range(steps)]", "for k in reversed(range(steps))]")

# %% [markdown] lang="en" role="mistake" name="one_too_many"
# There is one time too many, and it is -1: the end of the last step. Only the times at which the network is asked are wanted.
# %% [markdown] lang="vi" of="a3cf208b"
# Thừa một thời điểm, đó là -1: điểm cuối của bước cuối. Chỉ cần những thời điểm mà mạng được hỏi.
# %% role="wrong" name="one_too_many"
patch("range(steps)", "range(steps + 1)")

# %% [markdown] lang="en" role="mistake" name="first_missed"
# The first time is missing, the one of pure noise, and the last is -1, where there is no training time. k begins at 0.
# %% [markdown] lang="vi" of="911d0552"
# Thiếu thời điểm đầu tiên, lúc toàn nhiễu, và số cuối là -1, không phải thời điểm huấn luyện nào. k bắt đầu từ 0.
# %% role="wrong" name="first_missed"
patch("range(steps)", "range(1, steps + 1)")

# %% [markdown] lang="en" role="mistake" name="one_before_rounding"
# The stride was taken of `train_steps` - 1, as if the times had to end at 0 after one more step. Divide `train_steps`: the last
# step leads from the last time to clean data, which is below time 0.
# %% [markdown] lang="vi" of="3ac03ca3"
# `stride` được tính từ `train_steps` - 1, như thể phải đến 0 sau một bước nữa. Hãy chia `train_steps`: bước cuối dẫn từ thời
# điểm cuối đến dữ liệu sạch, vốn nằm dưới thời điểm 0.
# %% role="wrong" name="one_before_rounding"
patch("stride = train_steps / steps  ", "stride = (train_steps - 1) / steps  ")

# %% [markdown] lang="en" role="mistake" name="from_the_end"
# These are the last `steps` training times, one after the other: all of them nearly pure noise. The sampler would never come
# down to data. Leave `stride` between two times.
# %% [markdown] lang="vi" of="4d75e7bb"
# Đây là `steps` thời điểm huấn luyện cuối cùng, liền nhau: tất cả đều gần như toàn nhiễu. Bộ lấy mẫu sẽ không bao giờ xuống đến
# dữ liệu. Hãy cách `stride` giữa hai thời điểm.
# %% role="wrong" name="from_the_end"
patch("k * stride", "k")

# %% [markdown] lang="en" role="mistake" name="all_times"
# All training times were returned, whatever `steps` is. That is DDPM's way, and DDIM wants to skip.
# %% [markdown] lang="vi" of="57153e77"
# Mọi thời điểm huấn luyện đều được trả về, bất kể `steps`. Đó là cách của DDPM, còn DDIM muốn bỏ bớt.
# %% role="wrong" name="all_times"
patch("round(train_steps - k * stride) - 1 for k in range(steps)", "train_steps - 1 - k for k in range(train_steps)")

# %% [markdown] lang="en" role="mistake" name="anything_accepted"
# The times are right, but a number of steps that can't be was accepted. 0 steps and more steps than training times must raise
# ValueError, as the given lines do.
# %% [markdown] lang="vi" of="f210bb49"
# Các thời điểm đúng, nhưng số bước vô lý vẫn được chấp nhận. 0 bước, và nhiều bước hơn số thời điểm huấn luyện, phải báo
# ValueError, như các dòng cho sẵn.
# %% role="wrong" name="anything_accepted"
def visited(train_steps: int, steps: int) -> list[int]:
    return [round(train_steps - k * train_steps / max(steps, 1)) - 1 for k in range(steps)]

# %% [markdown] lang="en" role="mistake" name="stride_rounded"
# The stride was rounded, so its error adds up from step to step. Keep its fraction, and round each time at the end.
# %% [markdown] lang="vi" of="a41a833e"
# `stride` bị làm tròn, nên sai số cộng dồn qua từng bước. Hãy giữ phần lẻ của nó, và chỉ làm tròn từng thời điểm ở cuối.
# %% role="wrong" name="stride_rounded"
patch("stride = train_steps / steps  ", "stride = round(train_steps / steps)  ")

# %% [markdown] lang="en" role="mistake" name="range_with_a_stride"
# A `range` with a whole stride goes on until it meets 0: where `steps` doesn't divide `train_steps` it holds another number of
# times, and none of them is where the rule wants it. Count the steps, and round each time.
# %% [markdown] lang="vi" of="248c6ef6"
# `range` với bước nhảy nguyên cứ chạy đến khi gặp 0: khi `steps` không chia hết `train_steps`, số thời điểm không còn bằng
# `steps` và chúng lệch khỏi quy tắc. Hãy đếm theo số bước, và làm tròn từng thời điểm.
# %% role="wrong" name="range_with_a_stride"
patch("[round(train_steps - k * stride) - 1 for k in range(steps)]",
      "list(range(train_steps - 1, -1, -(train_steps // steps)))")

# %% role="library"
from fractions import Fraction


def visited(train_steps, steps):
    """With exact fractions, from clean data up, and turned round."""
    if steps not in range(1, train_steps + 1):
        raise ValueError(f"{steps} steps of {train_steps}")
    return [round(Fraction(train_steps * k, steps)) - 1 for k in range(1, steps + 1)][::-1]

# %% role="payoff"
@torch.inference_mode()
def draw(visited: Callable) -> Tensor:
    model, tiles = denoiser_of(unet, schedule, labels, 2.0), []
    for steps in (1, 2, 4, 8):
        entries = torch.tensor([*visited(1000, steps), -1], dtype=torch.float64)
        *_, last = sample(model, noise, schedule, (entries + 1) / 1000)
        tiles.append(last.x)                        # (4, 3, 32, 32)
    return tiled([tiles[:2], tiles[2:]])            # (4, 3, 64, 64)


payoff(draw, visited)
