"""Exercise 13.1, start_index: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="8"
# ## Where img2img begins
#
# Img2img noises a picture part of the way and draws it anew from there. A request of `steps` steps has `steps + 1` falling
# times, the noisiest first, at index 0. Of these steps only the **last** `int(steps * strength)` are made: at a small strength
# a few of them, at strength 1 all. Return the index of the time at which they begin. `timesteps[start_index(steps, strength):]`
# is then the whole way. The last cell asks for a green star at strengths 0.25, 0.5, 0.75 and 1.
#
# `int` cuts the fraction off. Raise `ValueError` for a strength that isn't above 0 and at most 1 (this is done already), and
# for one so small that no step is made.
# %% [markdown] lang="vi" of="5038bb13"
# ## Img2img bắt đầu từ đâu
#
# Img2img thêm nhiễu vào bức tranh đến một mức nào đó rồi vẽ lại từ đó. Một yêu cầu có `steps` bước thì có `steps + 1` thời điểm
# giảm dần, nhiễu nhất đứng đầu, ở chỉ số 0. Trong các bước ấy chỉ `int(steps * strength)` bước **cuối** được đi: độ mạnh
# (strength) nhỏ thì vài bước, độ mạnh 1 thì tất cả. Hãy trả về chỉ số của thời điểm bắt đầu. Khi đó
# `timesteps[start_index(steps, strength):]` là cả quãng đường. Ô cuối cùng yêu cầu một ngôi sao xanh lá với độ mạnh 0.25, 0.5,
# 0.75 và 1.
#
# `int` bỏ phần lẻ. Hãy raise `ValueError` khi độ mạnh không lớn hơn 0 hoặc vượt quá 1 (phần này đã có sẵn), và khi nó nhỏ đến
# mức không bước nào được đi.

# %% [markdown] lang="en" role="hints"
# Take 10 steps and strength 0.3. How many steps are made, and which are they: the noisy ones at the beginning or the clean ones
# at the end?
# ---
# First count the steps that are made. If there are none, raise. What is left out stands in front of them, and index 0 is the
# first time.
# ---
# `int(steps * strength)` steps are made. If that is 0, raise `ValueError`; otherwise take it from `steps`.
# %% [markdown] lang="vi" of="1c265816"
# Lấy 10 bước và độ mạnh 0.3. Có bao nhiêu bước được đi, và đó là những bước nào: các bước nhiều nhiễu ở đầu hay các bước gần
# sạch ở cuối?
# ---
# Trước hết đếm số bước được đi. Nếu không có bước nào thì raise. Những bước bị bỏ qua đứng trước chúng, và chỉ số 0 là thời
# điểm đầu tiên.
# ---
# Có `int(steps * strength)` bước được đi. Nếu số đó bằng 0 thì raise `ValueError`; nếu không thì lấy `steps` trừ đi nó.

# %% [markdown] lang="en" role="stub" given="1"
# Index, among steps + 1 falling times, at which img2img begins: 0 makes all steps.
# Raises ValueError for a strength that isn't above 0 and at most 1, and for one
# that makes no step.
# ---
# 1. how many steps are made, a whole number; raise if there are none
# 2. these are the last ones: how many stand before them?
# %% [markdown] lang="vi" of="cbe0f617"
# Chỉ số, trong steps + 1 thời điểm giảm dần, nơi img2img bắt đầu: 0 là đi mọi
# bước. Raise ValueError khi độ mạnh không lớn hơn 0 hoặc vượt quá 1, và khi không
# bước nào được đi.
# ---
# 1. số bước được đi, một số nguyên; raise nếu không có bước nào
# 2. đó là các bước cuối: trước chúng có bao nhiêu bước?

# %% role="solution"
def start_index(steps: int, strength: float) -> int:
    if not 0 < strength <= 1:
        raise ValueError(f"The strength is {strength}; give more than 0, at most 1.")
    made = int(steps * strength)
    if made == 0:
        raise ValueError(f"{strength} of {steps} steps is no whole step: give more.")
    return steps - made

# %% [markdown] lang="en" role="checks"
# - 10 steps, strengths 0.2, 0.5 and 0.9
# - other numbers of steps
# - strength 1 makes every step
# - a fraction of a step is cut off
# - the index as an int, and the times that are left: 8 steps, strength 0.5
# - a strength of 0, below 0 or above 1 is refused with ValueError
# - a strength that makes no step is refused with ValueError, and the least that makes one is not
# %% [markdown] lang="vi" of="34e023f5"
# - 10 bước, độ mạnh 0.2, 0.5 và 0.9
# - các số bước khác
# - độ mạnh 1 đi mọi bước
# - phần lẻ của một bước bị bỏ đi
# - chỉ số là một số nguyên (int), và các thời điểm còn lại: 8 bước, độ mạnh 0.5
# - độ mạnh bằng 0, dưới 0 hoặc trên 1 bị từ chối bằng ValueError
# - độ mạnh không đi được bước nào bị từ chối bằng ValueError, còn độ mạnh nhỏ nhất đi được một bước thì không

# %% role="probes"
import torch


def indices(f, pairs):
    """As floats: whoever returns 6.0 for 6 is told so where the times are cut."""
    return [float(f(steps, strength)) for steps, strength in pairs]


def answers(f, pairs):
    """The index of each, or that it was refused."""
    found = []
    for steps, strength in pairs:
        try:
            found.append(str(int(f(steps, strength))))
        except ValueError:
            found.append("ValueError")
    return found


def times_left(f, steps, strength):
    times = torch.arange(steps, -1, -1, dtype=torch.float64) / steps
    start = f(steps, strength)
    return [start, times[start:]]


probe(indices, points=2, pairs=[(10, 0.2), (10, 0.5), (10, 0.9)])
probe(indices, pairs=[(7, 3 / 7), (20, 0.6), (40, 0.25), (3, 0.4)])
probe(indices, pairs=[(1, 1.0), (9, 1), (50, 1.0)])
probe(indices, pairs=[(10, 0.55), (10, 0.59), (7, 0.5), (50, 0.58), (9, 0.99)])
probe(times_left, steps=8, strength=0.5)
probe(answers, pairs=[(10, 0.0), (10, -0.5), (10, 1.2), (10, float("nan")), (10, 0.7)])
probe(answers, pairs=[(10, 0.05), (20, 0.049), (20, 0.06), (1, 0.999)])

# %% [markdown] lang="en" role="mistake" name="made_for_index"
# This is the number of steps that are made, not where they begin. As an index it is turned round: little strength begins in the
# noise, and much of it changes nothing.
# %% [markdown] lang="vi" of="eceee1bc"
# Đây là số bước được đi chứ không phải chỗ bắt đầu. Dùng làm chỉ số thì mọi thứ bị đảo ngược: độ mạnh nhỏ lại bắt đầu từ nhiễu,
# còn độ mạnh lớn chẳng thay đổi gì.
# %% role="wrong" name="made_for_index"
patch("return steps - made", "return made")

# %% [markdown] lang="en" role="mistake" name="always_zero"
# The way begins at index 0 whatever the strength is: that is strength 1, pure noise, which has forgotten the picture. Count
# back from the end by the steps that are made.
# %% [markdown] lang="vi" of="f8254c08"
# Đường đi luôn bắt đầu ở chỉ số 0, bất kể độ mạnh: như thế là độ mạnh 1, toàn nhiễu, đã quên hẳn bức tranh. Hãy đếm ngược từ
# cuối theo số bước được đi.
# %% role="wrong" name="always_zero"
patch("return steps - made", "return 0")

# %% [markdown] lang="en" role="mistake" name="counts_from_steps_plus_one"
# The index is one too high. The last of `steps + 1` times has the index `steps`, and each step that is made goes one back from
# there.
# %% [markdown] lang="vi" of="a7460e9e"
# Chỉ số bị dư một. Thời điểm cuối trong `steps + 1` thời điểm có chỉ số `steps`, và mỗi bước được đi lùi từ đó một chỉ số.
# %% role="wrong" name="counts_from_steps_plus_one"
patch("return steps - made", "return steps + 1 - made")

# %% [markdown] lang="en" role="mistake" name="one_step_more"
# The index is one too low: a step more is made than was asked for, and at strength 1 the index is -1, which is the last time of
# all. There are `steps + 1` times, so nothing has to be taken off.
# %% [markdown] lang="vi" of="8f077e1f"
# Chỉ số bị thiếu một: đi thừa một bước so với yêu cầu, và với độ mạnh 1 chỉ số là -1, tức thời điểm cuối cùng. Có `steps + 1`
# thời điểm nên không phải trừ bớt gì.
# %% role="wrong" name="one_step_more"
patch("return steps - made", "return steps - made - 1")

# %% [markdown] lang="en" role="mistake" name="negative_index"
# A negative index counts from the end, but without the clean time at 0 it is one short: the last `made` steps lie between
# `made + 1` times. Return an index from the front, where 0 is the noisiest.
# %% [markdown] lang="vi" of="d3480e2f"
# Chỉ số âm đếm từ cuối, nhưng ở đây bị thiếu một vì chưa kể thời điểm sạch 0: `made` bước cuối nằm giữa `made + 1` thời điểm.
# Hãy trả về chỉ số đếm từ đầu, trong đó 0 là nhiễu nhất.
# %% role="wrong" name="negative_index"
patch("return steps - made", "return -made")

# %% [markdown] lang="en" role="mistake" name="rounded"
# The number of steps is rounded, so a little more than half a step counts as a whole one. `int` cuts off: what isn't a whole
# step isn't made.
# %% [markdown] lang="vi" of="82610f20"
# Số bước bị làm tròn, nên chỉ cần hơn nửa bước là đã đi thêm một bước. `int` thì cắt bỏ: chưa đủ một bước thì không đi.
# %% role="wrong" name="rounded"
patch("int(steps * strength)", "round(steps * strength)")

# %% [markdown] lang="en" role="mistake" name="rounded_up"
# The number of steps is rounded up, so even the smallest strength makes a step. `int` cuts the fraction off.
# %% [markdown] lang="vi" of="de68666e"
# Số bước bị làm tròn lên, nên độ mạnh nhỏ đến đâu cũng đi một bước. `int` thì bỏ phần lẻ.
# %% role="wrong" name="rounded_up"
patch("int(steps * strength)", "-int(-steps * strength // 1)")

# %% [markdown] lang="en" role="mistake" name="complement_cut"
# `int(steps * (1 - strength))` cuts off the fraction of what is left out, so that a step which is only partly asked for is made
# in full. Cut the number of steps that are made, and take it from `steps`.
# %% [markdown] lang="vi" of="ddb7b495"
# `int(steps * (1 - strength))` lại bỏ phần lẻ của những bước bị bỏ qua, nên một bước chưa đủ vẫn được đi trọn. Hãy cắt phần lẻ
# của số bước được đi, rồi lấy `steps` trừ đi số đó.
# %% role="wrong" name="complement_cut"
patch("return steps - made", "return int(steps * (1 - strength))")

# %% [markdown] lang="en" role="mistake" name="no_step_allowed"
# A strength that makes no step gives the index of the last time: then nothing is drawn, and the picture comes back as it was
# without a word. Raise ValueError.
# %% [markdown] lang="vi" of="d594083e"
# Với độ mạnh không đi được bước nào, hàm trả về chỉ số của thời điểm cuối: khi ấy không vẽ gì cả, bức tranh trở lại y như cũ mà
# không ai báo. Hãy raise ValueError.
# %% role="wrong" name="no_step_allowed"
patch("if made == 0:", "if made < 0:")

# %% [markdown] lang="en" role="mistake" name="at_least_one"
# Where no step would be made, one is made all the same. Whoever asked for so little should be told: raise ValueError.
# %% [markdown] lang="vi" of="cad26064"
# Lẽ ra không bước nào được đi thì hàm vẫn cho đi một bước. Người yêu cầu ít như vậy cần được báo: hãy raise ValueError.
# %% role="wrong" name="at_least_one"
patch("made = int(steps * strength)", "made = max(int(steps * strength), 1)")

# %% [markdown] lang="en" role="mistake" name="not_refused"
# A strength beyond its limits is clamped, or let through, in place of being refused. A strength of 0 or of 1.2 is a slip of
# whoever typed it: raise ValueError, as the given lines do.
# %% [markdown] lang="vi" of="21fba19b"
# Độ mạnh vượt giới hạn bị kéo về trong khoảng hoặc được cho qua thay vì bị từ chối. Độ mạnh 0 hay 1.2 là do gõ nhầm: hãy raise
# ValueError như các dòng có sẵn.
# %% role="wrong" name="not_refused"
def start_index(steps, strength):
    strength = min(max(strength, 0), 1)
    return steps - int(steps * strength)

# %% [markdown] lang="en" role="mistake" name="asserts"
# A wrong strength stops with AssertionError. `assert` is for what can't happen and may be switched off; what a caller can do
# wrong gets a `ValueError`.
# %% [markdown] lang="vi" of="67798748"
# Độ mạnh sai làm hàm dừng với AssertionError. `assert` dành cho điều không thể xảy ra và có thể bị tắt; lỗi mà nơi gọi có thể
# mắc thì phải là `ValueError`.
# %% role="wrong" name="asserts"
def start_index(steps, strength):
    assert 0 < strength <= 1
    made = int(steps * strength)
    assert made > 0
    return steps - made

# %% [markdown] lang="en" role="mistake" name="one_refused"
# Strength 1 is refused, but it is allowed: every step is made, from pure noise. Only what is above 1 is wrong.
# %% [markdown] lang="vi" of="948fa13b"
# Độ mạnh 1 bị từ chối, trong khi nó được phép: đi mọi bước, từ nhiễu thuần. Chỉ lớn hơn 1 mới là sai.
# %% role="wrong" name="one_refused"
patch("0 < strength <= 1", "0 < strength < 1")

# %% [markdown] lang="en" role="mistake" name="not_whole"
# The index isn't a whole number, and times can't be cut at it. Cut off the fraction with `int`.
# %% [markdown] lang="vi" of="cb52f5ac"
# Chỉ số không phải số nguyên nên không thể cắt dãy thời điểm tại đó. Hãy bỏ phần lẻ bằng `int`.
# %% role="wrong" name="not_whole"
patch("int(steps * strength)", "steps * strength")

# %% role="library"
from minidiff.pipelines.img2img import steps_made


def start_index(steps, strength):
    return len(range(steps_made(steps, strength), steps))

# %% role="payoff"
@torch.inference_mode()
def draw(start_index: Callable) -> Tensor:
    model = pipe.denoiser([green], [""], 3.0)
    made = []
    for strength in (0.25, 0.5, 0.75, 1.0):
        way = times[start_index(12, strength) :]                 # falling times
        x = schedule.mix(latent, noise, way[0])                 # (1, 4, 16, 16)
        *_, last = sample(model, x, schedule, way)
        made.append(pipe.pixels(last.x))
    return torch.cat(made)                                      # (4, 3, 128, 128)


payoff(draw, start_index)
