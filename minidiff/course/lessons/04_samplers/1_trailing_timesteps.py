"""Exercise 04.1, trailing_timesteps: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="10"
# ## Which of the 1000 timesteps?
#
# A network counts timesteps 0 to 999. Which of them do `n` steps visit with *trailing* spacing? Start from 1000 and count down
# in strides of 1000 / n (not always whole), round to the nearest whole number with `.round()` (halves go to the even one), and
# turn counts 1...1000 into indices 0...999. Four steps visit 999, 749, 499, 249.
# %% [markdown] lang="vi" of="f790381f"
# ## Chọn bước nào trong 1000 bước thời gian?
#
# Mạng đếm các bước thời gian từ 0 đến 999. Với cách chia *trailing*, `n` bước sẽ đi qua những bước nào? Bắt đầu từ 1000, đếm
# lùi mỗi lần 1000 / n (không phải lúc nào cũng nguyên), làm tròn đến số nguyên gần nhất bằng `.round()` (phần lẻ đúng 0.5 thì
# về số chẵn), rồi đổi số đếm 1...1000 thành chỉ số 0...999. Bốn bước đi qua 999, 749, 499, 249.

# %% [markdown] lang="en" role="hints"
# What are the first and the last of `counts` for n = 4? What should they become?
# ---
# `.long()` cuts decimals off: 428.57 becomes 428. So something has to come before it.
# ---
# Three operations in this order: `.round()`, `.long()`, and subtract 1.
# %% [markdown] lang="vi" of="d7a43c61"
# Với n = 4, phần tử đầu và cuối của `counts` là gì? Chúng phải trở thành gì?
# ---
# `.long()` cắt bỏ phần thập phân: 428.57 thành 428. Vậy cần một phép tính đứng trước nó.
# ---
# Ba phép tính theo thứ tự: `.round()`, `.long()`, rồi trừ 1.

# %% [markdown] lang="en" role="stub" given="1"
# Indices of the timesteps that n steps visit, from the noisiest down:
# (n,) int64, each from 0 to 999.
# ---
# 1. round the counts, make them int64, and turn them into indices 0 to 999
# %% [markdown] lang="vi" of="e0a647e6"
# Chỉ số của các bước thời gian mà n bước đi qua, từ nhiều nhiễu nhất trở xuống:
# (n,) int64, mỗi số từ 0 đến 999.
# ---
# 1. làm tròn các số đếm, đổi sang int64, rồi đổi thành chỉ số từ 0 đến 999

# %% role="solution"
def trailing_timesteps(n: int) -> Tensor:
    counts = 1000 - torch.arange(n, dtype=torch.float64) * (1000 / n)  # (n,)
    return counts.round().long() - 1

# %% [markdown] lang="en" role="checks"
# - shape for 10 steps
# - dtype: whole numbers
# - 4 steps
# - 7 steps, which do not divide 1000
# - begins at the last entry, also with a single step
# - 16 and 32 steps, where some counts end in .5
# - as many timesteps as steps, for 61, 103 and 1000 steps
# %% [markdown] lang="vi" of="94365a85"
# - kích thước khi có 10 bước
# - kiểu số: số nguyên
# - 4 bước
# - 7 bước, không chia hết 1000
# - bắt đầu ở phần tử cuối, kể cả khi chỉ có một bước
# - 16 và 32 bước, khi có số đếm lẻ đúng .5
# - bao nhiêu bước thì bấy nhiêu bước thời gian, với 61, 103 và 1000 bước

# %% role="probes"
probe(lambda f, n: list(f(n).shape), n=10)
probe(lambda f, n: str(f(n).dtype), n=10)
probe(lambda f, n: f(n), points=2, n=4)
probe(lambda f, n: f(n), n=7)
probe(lambda f, many, one: [f(many)[0], f(one)[0]], many=50, one=1)
# Powers of two alone: there 1000 / n and its multiples are exact, so that it's certain which counts end in .5.
probe(lambda f, few, many: [f(few), f(many)], few=16, many=32)
probe(lambda f, numbers: [len(f(n)) for n in numbers], numbers=[61, 103, 1000])

# %% [markdown] lang="en" role="mistake" name="leading"
# This is the spacing called leading: it counts up from timestep 0, so the first step starts well below 999. There the network
# expects a trace of the picture, and gets pure noise. Count down from the end.
# %% [markdown] lang="vi" of="9fe4c45d"
# Đây là kiểu chia leading: đếm lên từ bước thời gian 0, nên bước đầu tiên nằm xa dưới 999. Ở đó mạng chờ sẵn chút dấu vết của
# ảnh, trong khi đầu vào chỉ là nhiễu thuần. Hãy đếm lùi từ cuối bảng.
# %% role="wrong" name="leading"
patch("1000 - torch.arange(n, dtype=torch.float64) * (1000 / n)", "(torch.arange(n) * (1000 // n)).flip(0)")
patch("counts.round().long() - 1", "counts")

# %% [markdown] lang="en" role="mistake" name="ascending"
# The timesteps are the right ones in the wrong order: sampling goes from noise, timestep 999, down to the data. Which sign
# should the stride have?
# %% [markdown] lang="vi" of="cc5cd289"
# Các bước thời gian thì đúng nhưng ngược thứ tự: lấy mẫu đi từ nhiễu, bước 999, xuống dữ liệu. Bước nhảy phải mang dấu gì?
# %% role="wrong" name="ascending"
patch("counts.round().long() - 1", "counts.flip(0).round().long() - 1")

# %% [markdown] lang="en" role="mistake" name="off_by_one"
# Every timestep is 1 too large: 1000, 900, ... count the steps, but a table of 1000 entries has indices 0 to 999. Look at what
# has to be done after rounding.
# %% [markdown] lang="vi" of="b15b3f0a"
# Mỗi bước thời gian bị lớn hơn 1: 1000, 900, ... là số thứ tự đếm từ 1, còn bảng 1000 phần tử có chỉ số từ 0 đến 999. Xem lại
# việc cần làm sau khi làm tròn.
# %% role="wrong" name="off_by_one"
patch(".long() - 1", ".long()")

# %% [markdown] lang="en" role="mistake" name="linspace"
# These timesteps include both 999 and 0, so the stride is 999 / (n - 1): the spacing called linspace. Trailing keeps the stride
# 1000 / n and leaves the last jump, to clean data, as long as the others.
# %% [markdown] lang="vi" of="bf2ac39d"
# Dãy bước thời gian này chứa cả 999 lẫn 0, nên bước nhảy là 999 / (n - 1): đó là kiểu chia linspace. Kiểu trailing giữ bước
# nhảy 1000 / n và để cú nhảy cuối, về dữ liệu sạch, dài bằng các cú nhảy khác.
# %% role="wrong" name="linspace"
patch("1000 - torch.arange(n, dtype=torch.float64) * (1000 / n)", "torch.linspace(999, 0, n, dtype=torch.float64)")
patch(".long() - 1", ".long()")

# %% [markdown] lang="en" role="mistake" name="cut_off"
# Where 1000 / n is not whole, decimals were cut off instead of rounded: 428.57 became 428. Converting to int cuts; something
# has to come before it.
# %% [markdown] lang="vi" of="03eaff39"
# Khi 1000 / n không nguyên, phần thập phân đã bị cắt bỏ thay vì làm tròn: 428.57 thành 428. Đổi sang int là cắt; cần một phép
# tính nữa đứng trước nó.
# %% role="wrong" name="cut_off"
patch("counts.round().long()", "counts.long()")

# %% [markdown] lang="en" role="mistake" name="rounded_last"
# 1 was subtracted before rounding. That changes the counts that end in .5, since `.round()` takes halves to the even number:
# 937.5 becomes 938, so index 937, but 936.5 becomes 936. Round the counts, then subtract.
# %% [markdown] lang="vi" of="01969e37"
# Bạn đã trừ 1 trước khi làm tròn. Với số đếm lẻ đúng .5, kết quả sẽ khác, vì `.round()` đưa chúng về số chẵn: 937.5 thành 938,
# tức chỉ số 937, còn 936.5 thành 936. Hãy làm tròn số đếm trước rồi mới trừ.
# %% role="wrong" name="rounded_last"
patch("counts.round().long() - 1", "(counts - 1).round().long()")

# %% [markdown] lang="en" role="mistake" name="half_up"
# Counts that end in .5 were always rounded up. `.round()` takes halves to the even number: 812.5 becomes 812, which is index
# 811, not 812.
# %% [markdown] lang="vi" of="f56cc47e"
# Những số đếm lẻ đúng .5 đều bị làm tròn lên. `.round()` đưa chúng về số chẵn: 812.5 thành 812, tức chỉ số 811 chứ không phải
# 812.
# %% role="wrong" name="half_up"
patch("counts.round().long()", "(counts + 0.5).long()")

# %% [markdown] lang="en" role="mistake" name="whole_stride"
# The stride was cut to a whole number, and what was cut off adds up: with n = 7 and stride 142 the last timestep is 147 instead
# of 142. Keep 1000 / n as it is, and round the counts.
# %% [markdown] lang="vi" of="a6ee23e7"
# Bước nhảy bị cắt thành số nguyên, và phần bị cắt cứ cộng dồn: với n = 7 và bước nhảy 142, bước thời gian cuối là 147 thay vì
# 142. Hãy giữ nguyên 1000 / n và chỉ làm tròn các số đếm.
# %% role="wrong" name="whole_stride"
patch("(1000 / n)", "(1000 // n)")

# %% [markdown] lang="en" role="mistake" name="floats"
# The values are right, but they are still floats. Timesteps are indices of a table, so they must be whole numbers by dtype too,
# int64.
# %% [markdown] lang="vi" of="dccf5103"
# Giá trị thì đúng nhưng vẫn là số thực. Các bước thời gian là chỉ số của một bảng, nên kiểu số cũng phải là số nguyên, int64.
# %% role="wrong" name="floats"
patch(".long() - 1", " - 1")

# %% [markdown] lang="en" role="mistake" name="a_list"
# The values are right, but in a Python list. The function should return a tensor (n,), which the sampler can compute with and
# index by.
# %% [markdown] lang="vi" of="14d1e29c"
# Giá trị thì đúng nhưng nằm trong một list của Python. Hàm phải trả về tensor (n,) để bộ lấy mẫu tính toán và dùng làm chỉ số.
# %% role="wrong" name="a_list"
patch("counts.round().long() - 1", "(counts.round().long() - 1).tolist()")

# %% [markdown] lang="en" role="mistake" name="one_too_many"
# There is one timestep too many, -1 at the end. n steps begin at n timesteps; where the last step ends, at clean data, is not
# an entry of the table.
# %% [markdown] lang="vi" of="52278d50"
# Thừa một bước thời gian, số -1 ở cuối. n bước bắt đầu tại n bước thời gian; nơi bước cuối kết thúc, tức dữ liệu sạch, không
# phải là phần tử nào của bảng.
# %% role="wrong" name="one_too_many"
patch("torch.arange(n,", "torch.arange(n + 1,")

# %% [markdown] lang="en" role="mistake" name="overrun"
# For some n, 61 for one, this gives n + 1 values, the last one -1: `arange` with a stride that is not whole may be carried past
# its end by rounding. Let whole numbers decide how many values there are, or keep the first n.
# %% [markdown] lang="vi" of="276e88e0"
# Với một số n, chẳng hạn 61, kết quả có n + 1 giá trị, cuối cùng là -1: khi bước nhảy không nguyên, sai số làm tròn có thể
# khiến `arange` đi quá điểm cuối. Hãy để số nguyên quyết định có bao nhiêu giá trị, hoặc chỉ giữ n giá trị đầu.
# %% role="wrong" name="overrun"
patch("1000 - torch.arange(n, dtype=torch.float64) * (1000 / n)", "torch.arange(1000, 0, -1000 / n, dtype=torch.float64)")

# %% role="library"
import torch

from minidiff.diffusion.schedules import TABLE_LENGTH, get_schedule
from minidiff.diffusion.timesteps import trailing


def trailing_timesteps(n):
    return (trailing(get_schedule("cosine"), n)[:-1] * TABLE_LENGTH - 1).round().long()

# %% role="payoff"
def draw(trailing_timesteps):
    entries = trailing_timesteps(6)
    clean = torch.zeros(1, dtype=torch.float64)
    timesteps = torch.cat([(entries.double() + 1) / 1000, clean])  # (7,)
    x = start_noise()
    for t, s in pairwise(timesteps):
        x = step(trained_schedule, *model(x, t), t, s)
    return x.cpu()


payoff(draw, trailing_timesteps)
