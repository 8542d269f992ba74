"""Exercise 14.2, unbiased_mmd: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## A distance without bias
#
# The Fréchet distance of few pictures comes out too large. The kernel distance (KID, Bińkowski et al. 2018) doesn't: its
# average over many small sets is the true value. It compares similarities, by the kernel
#
# $$k(x, y) = \Big(\frac{x \cdot y}{D} + 1\Big)^3$$
#
# and asks whether pictures of one set are more alike than pictures of different sets:
#
# $$\frac{\sum_{i \ne j} k(x_i, x_j)}{N(N-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{M(M-1)} - \frac{2}{NM} \sum_{i,j} k(x_i,
# y_j)$$
#
# Within a set, no picture is compared with itself. That keeps the bias out, and it is why the value of two equally good sets is
# sometimes positive and sometimes negative. The cell at the end ranks the four sheets again, this time by 40 pictures of each.
# %% [markdown] lang="vi" of="56ecb2b2"
# ## Một khoảng cách không chệch
#
# Với ít bức tranh, khoảng cách Fréchet luôn ra quá lớn. Khoảng cách kernel (KID, Bińkowski và cộng sự 2018) thì không: trung
# bình của nó trên nhiều tập nhỏ đúng bằng giá trị thật. Nó so độ giống nhau của từng cặp tranh, đo bằng kernel
#
# $$k(x, y) = \Big(\frac{x \cdot y}{D} + 1\Big)^3$$
#
# và hỏi: các bức cùng một tập có giống nhau hơn các bức khác tập không?
#
# $$\frac{\sum_{i \ne j} k(x_i, x_j)}{N(N-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{M(M-1)} - \frac{2}{NM} \sum_{i,j} k(x_i,
# y_j)$$
#
# Trong một tập, không bức nào được so với chính nó. Nhờ vậy kết quả không bị chệch (bias), và cũng vì thế giá trị của hai tập
# tốt như nhau có lúc âm, có lúc dương. Ô ở cuối xếp hạng lại bốn bộ tranh, lần này chỉ dùng 40 bức của mỗi bộ.

# %% [markdown] lang="en" role="hints"
# A matrix product gives all scalar products at once: `a @ b.T` is (N, M). What is D in terms of `a.shape`?
# ---
# The pairs of a picture with itself are the diagonal of `kernel(x, x)`. How many pairs are left?
# ---
# `(k.sum() - k.trace()) / (n * (n - 1))` for each set, with the n of that set; then less twice the mean of `kernel(x, y)`, of
# which no pair is left out.
# %% [markdown] lang="vi" of="e58d717a"
# Một phép nhân ma trận cho mọi tích vô hướng cùng lúc: `a @ b.T` là (N, M). D là số nào trong `a.shape`?
# ---
# Các cặp gồm một bức với chính nó nằm trên đường chéo của `kernel(x, x)`. Còn lại bao nhiêu cặp?
# ---
# `(k.sum() - k.trace()) / (n * (n - 1))` cho mỗi tập, với n của tập đó; rồi trừ hai lần trung bình của `kernel(x, y)`, trong đó
# không bỏ cặp nào.

# %% [markdown] lang="en" role="stub"
# Features x (N, D), y (M, D), each in any floating point -> float, computed in
# float64. N and M may differ, both at least 2. The result may be negative.
# ---
# 1. a kernel of two sets                          # (N, D), (M, D) to (N, M)
# 2. within x, and within y: the mean without own pairs
# 3. across: the mean of all pairs
# 4. return within x + within y - 2 across, as a float
# %% [markdown] lang="vi" of="fc05ab1c"
# Đặc trưng x (N, D), y (M, D), kiểu số thực bất kỳ -> float, tính bằng float64.
# N và M có thể khác nhau, đều từ 2 trở lên. Kết quả có thể âm.
# ---
# 1. kernel của hai tập                            # (N, D), (M, D) thành (N, M)
# 2. trong x, và trong y: trung bình, bỏ cặp với chính mình
# 3. giữa hai tập: trung bình của mọi cặp
# 4. trả về trong x + trong y - 2 lần giữa hai tập, kiểu float

# %% role="solution"
def unbiased_mmd(x: Tensor, y: Tensor) -> float:
    x, y = x.double(), y.double()                               # (N, D), (M, D)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3                  # (N, M)

    def within(a: Tensor) -> Tensor:
        k, n = kernel(a, a), len(a)                             # (N, N)
        return (k.sum() - k.trace()) / (n * (n - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())

# %% [markdown] lang="en" role="checks"
# - a plain float
# - 7 rows against 4, of 3 features
# - float32 features, computed in float64
# - two halves of one cloud: near 0, on either side
# - a set and itself
# - two rows against nine
# - one feature, and eight
# - the sets swapped, and their rows in another order: the same
# - a set in which one picture comes three times
# %% [markdown] lang="vi" of="441ae43b"
# - một số float thường
# - 7 hàng so với 4, mỗi hàng 3 đặc trưng
# - đặc trưng float32, tính bằng float64
# - hai nửa của một đám mây: gần 0, có lúc âm có lúc dương
# - một tập với chính nó
# - hai hàng so với chín hàng
# - một đặc trưng, và tám đặc trưng
# - đổi chỗ hai tập và đổi thứ tự các hàng: vẫn thế
# - một tập có một bức xuất hiện ba lần

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def raw(f, x, y):
    value = f(x, y)
    return [isinstance(value, torch.Tensor), float(value)]


def value(f, x, y):
    return float(f(x, y))


def halves(f, clouds):
    return [float(f(cloud[:11], cloud[11:])) for cloud in clouds]


def widths(f, x, y):
    return [float(f(x[:, :1], y[:, :1])), float(f(x, y))]


def swapped(f, x, y):
    return [float(f(y, x)), float(f(x.flip(0), y.roll(2, 0)))]


X, Y = normal(7, 3, seed=1), 1.3 * normal(4, 3, seed=2) + 0.6
WIDE = {"x": normal(6, 8, seed=3), "y": normal(9, 8, seed=4) - 0.4}
FINE = {"x": (20 + 0.1 * normal(7, 3, seed=8)).float(), "y": (20 + 0.1 * normal(5, 3, seed=9)).float()}

probe(raw, x=X, y=Y)
probe(value, points=2, x=X, y=Y)
probe(value, **FINE)
probe(halves, clouds=[normal(20, 4, seed=s) for s in (5, 6, 7)])
probe(value, x=X, y=X)
probe(value, x=Y[:2], y=torch.cat([X, Y[2:]]))
probe(widths, **WIDE)
probe(swapped, x=X, y=Y)
probe(value, x=X[[0, 1, 1, 2, 3, 1]], y=Y)

# %% [markdown] lang="en" role="mistake" name="own_pairs_in"
# Each picture was compared with itself, too. Nothing is more like a picture than itself, so each set looks closer together than
# it is: biased upwards, and never negative. Leave the diagonal out, and divide by N (N − 1).
# %% [markdown] lang="vi" of="a478bd05"
# Mỗi bức cũng được so với chính nó. Không gì giống một bức hơn chính nó, nên mỗi tập trông như sít lại hơn thực tế: kết quả
# chệch lên và không bao giờ âm. Hãy bỏ đường chéo, và chia cho N (N − 1).
# %% role="wrong" name="own_pairs_in"
patch("(k.sum() - k.trace()) / (n * (n - 1))", "k.mean()")

# %% [markdown] lang="en" role="mistake" name="divided_by_all"
# The own pairs were left out of the sum, but were counted in the divisor N². There are N (N − 1) pairs of two different
# pictures.
# %% [markdown] lang="vi" of="03b55090"
# Các cặp với chính mình đã bị bỏ khỏi tổng, nhưng vẫn được đếm trong mẫu số N². Chỉ có N (N − 1) cặp gồm hai bức khác nhau.
# %% role="wrong" name="divided_by_all"
patch("n * (n - 1)", "n * n")

# %% [markdown] lang="en" role="mistake" name="own_pairs_in_the_sum"
# The divisor N (N − 1) counts pairs of two different pictures, but the sum holds the own pairs, too. Subtract the diagonal.
# %% [markdown] lang="vi" of="d98759de"
# Mẫu số N (N − 1) đếm các cặp gồm hai bức khác nhau, nhưng tổng vẫn chứa cả cặp với chính mình. Hãy trừ đường chéo.
# %% role="wrong" name="own_pairs_in_the_sum"
patch("(k.sum() - k.trace())", "k.sum()")

# %% [markdown] lang="en" role="mistake" name="upper_triangle"
# Each pair was taken once, which is half of the sum, but was divided by N (N − 1), the number of pairs that are taken twice.
# Make both fit.
# %% [markdown] lang="vi" of="c12b77ae"
# Mỗi cặp chỉ được lấy một lần, tức nửa tổng, nhưng lại chia cho N (N − 1), số cặp khi tính cả hai chiều. Hãy làm cho hai thứ
# khớp nhau.
# %% role="wrong" name="upper_triangle"
patch("(k.sum() - k.trace())", "k.triu(1).sum()")

# %% [markdown] lang="en" role="mistake" name="across_once"
# The mean across the sets was subtracted once. For two equal sets, the two means within add up to twice the mean across, so it
# has to be subtracted twice.
# %% [markdown] lang="vi" of="c32d8729"
# Trung bình giữa hai tập chỉ bị trừ một lần. Với hai tập như nhau, tổng hai trung bình bên trong bằng hai lần trung bình giữa
# hai tập, nên phải trừ hai lần.
# %% role="wrong" name="across_once"
patch("- 2 * kernel(x, y)", "- kernel(x, y)")

# %% [markdown] lang="en" role="mistake" name="across_without_diagonal"
# The diagonal was left out across the sets, too. Picture i of one set isn't picture i of the other: there are no own pairs
# there, and the matrix needn't even be square.
# %% [markdown] lang="vi" of="48836b6b"
# Đường chéo cũng bị bỏ ở phần giữa hai tập. Bức thứ i của tập này không phải bức thứ i của tập kia: ở đó không có cặp nào với
# chính mình, và ma trận còn không nhất thiết vuông.
# %% role="wrong" name="across_without_diagonal"
patch("2 * kernel(x, y).mean()", "2 * (kernel(x, y).sum() - kernel(x, y).diagonal().sum()) / (len(x) * len(y) - min(len(x), len(y)))")

# %% [markdown] lang="en" role="mistake" name="not_divided_by_d"
# The scalar product wasn't divided by D. A network with ten times the features would then have a kernel that is a thousand
# times larger.
# %% [markdown] lang="vi" of="92851436"
# Tích vô hướng chưa được chia cho D. Khi đó một mạng có số đặc trưng gấp mười sẽ có kernel lớn gấp nghìn lần.
# %% role="wrong" name="not_divided_by_d"
patch("a @ b.T / a.shape[1] + 1", "a @ b.T + 1")

# %% [markdown] lang="en" role="mistake" name="divided_by_n"
# The scalar product was divided by the number of pictures. D is the number of features: `shape[1]`.
# %% [markdown] lang="vi" of="33710a8a"
# Tích vô hướng bị chia cho số bức tranh. D là số đặc trưng: `shape[1]`.
# %% role="wrong" name="divided_by_n"
patch("a.shape[1]", "a.shape[0]")

# %% [markdown] lang="en" role="mistake" name="divided_by_root_d"
# The scalar product was divided by the root of D, as attention does. This kernel divides by D.
# %% [markdown] lang="vi" of="96576793"
# Tích vô hướng bị chia cho căn của D, như trong phép chú ý (attention). Kernel này chia cho D.
# %% role="wrong" name="divided_by_root_d"
patch("a.shape[1] + 1", "a.shape[1] ** 0.5 + 1")

# %% [markdown] lang="en" role="mistake" name="no_one"
# The 1 is missing in the kernel. It is there so that the means and variances count, not only third moments.
# %% [markdown] lang="vi" of="dedc8902"
# Kernel thiếu số 1. Nhờ có nó mà cả trung bình và phương sai được tính, chứ không chỉ mô-men bậc ba.
# %% role="wrong" name="no_one"
patch("a.shape[1] + 1)", "a.shape[1])")

# %% [markdown] lang="en" role="mistake" name="squared"
# The kernel was raised to the power 2. KID takes the cube, so that it notices skewed clouds, too.
# %% [markdown] lang="vi" of="b131e022"
# Kernel bị lấy lũy thừa 2. KID lấy lũy thừa 3, để nhận ra cả những đám mây lệch về một phía.
# %% role="wrong" name="squared"
patch("** 3", "** 2")

# %% [markdown] lang="en" role="mistake" name="clamped"
# Negative values were set to 0. They are right: an estimate without bias has to fall on both sides of the truth, and the truth
# for equal sets is 0. Cut off, its average would be too large.
# %% [markdown] lang="vi" of="9eed9037"
# Các giá trị âm bị đưa về 0. Chúng không sai: một ước lượng không chệch phải rơi về cả hai phía của giá trị thật, mà giá trị
# thật của hai tập như nhau là 0. Cắt đi thì trung bình sẽ quá lớn.
# %% role="wrong" name="clamped"
patch("float(within(x) + within(y) - 2 * kernel(x, y).mean())", "max(0.0, float(within(x) + within(y) - 2 * kernel(x, y).mean()))")

# %% [markdown] lang="en" role="mistake" name="one_count"
# Both sets were divided by N (N − 1) of the first one. They may differ in size: M (M − 1) belongs to y.
# %% [markdown] lang="vi" of="cd65cb38"
# Cả hai tập đều bị chia cho N (N − 1) của tập đầu. Hai tập có thể khác cỡ: y phải chia cho M (M − 1).
# %% role="wrong" name="one_count"
patch("k, n = kernel(a, a), len(a)", "k, n = kernel(a, a), len(x)")

# %% [markdown] lang="en" role="mistake" name="cut_to_equal"
# The larger set was cut to the size of the smaller one. The formula needs no equal counts, and every picture left out makes it
# less certain.
# %% [markdown] lang="vi" of="b734f5e4"
# Tập lớn hơn bị cắt cho bằng tập nhỏ. Công thức không cần số lượng bằng nhau, và mỗi bức bị bỏ đi làm kết quả kém chắc chắn
# hơn.
# %% role="wrong" name="cut_to_equal"
patch("x.double(), y.double()", "x[:len(y)].double(), y[:len(x)].double()")

# %% [markdown] lang="en" role="mistake" name="as_they_came"
# With float32 features, this computes in float32. The three terms are large and nearly cancel, so seven digits aren't enough:
# convert to float64 first.
# %% [markdown] lang="vi" of="c0e4d794"
# Với đặc trưng float32, hàm tính bằng float32. Ba số hạng đều lớn và gần như triệt tiêu nhau, nên bảy chữ số là không đủ: hãy
# đổi sang float64 trước.
# %% role="wrong" name="as_they_came"
patch("x.double(), y.double()", "x, y")

# %% [markdown] lang="en" role="mistake" name="a_tensor"
# The value is right, but it is a tensor. A float was asked for, which can be printed and sorted: `float(...)` makes one.
# %% [markdown] lang="vi" of="2a002407"
# Giá trị đúng, nhưng lại là một tensor. Đề bài cần một số float, để in và sắp xếp được: `float(...)` tạo ra nó.
# %% role="wrong" name="a_tensor"
patch("return float(within(x) + within(y) - 2 * kernel(x, y).mean())", "return within(x) + within(y) - 2 * kernel(x, y).mean()")

# %% [markdown] lang="en" role="mistake" name="normalised"
# The features were brought to length 1 first, as for a cosine. KID compares them as they are: how long they are is part of what
# the network saw.
# %% [markdown] lang="vi" of="54ba71b9"
# Đặc trưng bị đưa về độ dài 1 trước, như khi tính cosine. KID so chúng nguyên như vậy: độ dài cũng là một phần của điều mạng
# nhìn thấy.
# %% role="wrong" name="normalised"
patch("x.double(), y.double()", "F.normalize(x.double(), dim=1), F.normalize(y.double(), dim=1)")

# %% [markdown] lang="en" role="mistake" name="sign_turned"
# The signs are turned round. Similarity within the sets should count as positive and similarity across them as negative, so
# that sets far from each other get a large value.
# %% [markdown] lang="vi" of="f9530de1"
# Các dấu bị ngược. Độ giống nhau trong mỗi tập phải mang dấu dương, giữa hai tập mang dấu âm, để hai tập xa nhau có giá trị
# lớn.
# %% role="wrong" name="sign_turned"
patch("within(x) + within(y) - 2 * kernel(x, y).mean()", "2 * kernel(x, y).mean() - within(x) - within(y)")

# %% [markdown] lang="en" role="mistake" name="repeats_left_out"
# Pairs of equal pictures were left out, wherever they stand. Only a picture and itself, i = j, is an own pair: a set that
# repeats one picture is closer together than a real one, and that has to count.
# %% [markdown] lang="vi" of="34fc86c8"
# Mọi cặp tranh giống hệt nhau đều bị bỏ, dù nằm ở đâu. Chỉ cặp i = j mới là một bức với chính nó: một tập lặp lại cùng một
# bức thì sít hơn tập thật, và điều đó phải được tính.
# %% role="wrong" name="repeats_left_out"
patch("return (k.sum() - k.trace()) / (n * (n - 1))", "return k[(a[:, None] != a).any(-1)].sum() / max(int((a[:, None] != a).any(-1).sum()), 1)")

# %% [markdown] lang="en" role="mistake" name="times_1000"
# The value is a thousand times too large. Tables print KID × 1000, but the function returns the distance itself.
# %% [markdown] lang="vi" of="d8d5be94"
# Giá trị lớn gấp một nghìn lần. Các bảng in KID × 1000, nhưng hàm phải trả về chính khoảng cách.
# %% role="wrong" name="times_1000"
patch("return float(within(x) + within(y) - 2 * kernel(x, y).mean())", "return 1000 * float(within(x) + within(y) - 2 * kernel(x, y).mean())")

# %% role="library"
import numpy as np


def unbiased_mmd(x, y):
    """NumPy, pair by pair."""
    x, y = x.double().numpy(), y.double().numpy()

    def k(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    def within(rows):
        return np.mean([k(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j])

    return float(within(x) + within(y) - 2 * np.mean([k(a, b) for a in x for b in y]))

# %% role="payoff"
def draw(unbiased_mmd: Callable) -> Tensor:
    few = {name: known[:40] for name, known in features.items()}        # (40, D)
    far = {name: 1000 * unbiased_mmd(truth, known) for name, known in few.items()}
    order = sorted(sheets, key=lambda name: far[name])
    tiles = torch.stack([mosaic(sheets[name]) for name in order])   # (4, 3, 128, 128)
    return labelled(tiles, [f"{name}\nKID {far[name]:+.1f}" for name in order])


payoff(draw, unbiased_mmd)
