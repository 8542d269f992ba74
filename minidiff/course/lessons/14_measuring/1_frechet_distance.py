"""Exercise 14.1, frechet_distance: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="12"
# ## How far apart are two clouds of features?
#
# A network has turned each picture into D numbers, its features. Real pictures make one cloud of points, drawn ones another.
# The Fréchet distance fits a Gaussian to each cloud and compares the two (Heusel et al. 2017, eq. 6):
#
# $$|m_1 - m_2|^2 + \mathrm{tr}\big(C_1 + C_2 - 2\,(C_1 C_2)^{1/2}\big)$$
#
# The first term is there already. You write the rest: the covariances and the trace of the root. The root is the **matrix's**
# root, not that of each number. $C_1 C_2$ isn't symmetric, but $C_1^{1/2} C_2\, C_1^{1/2}$ is, and it has the same eigenvalues.
# The trace of a root is the sum of the roots of the eigenvalues.
#
# There may be fewer pictures than features. Then many eigenvalues are 0, and rounding makes some of them slightly negative: the
# answer must still be a number. The cell at the end ranks four sheets of pictures with your function, the nearest to the real
# ones first.
# %% [markdown] lang="vi" of="cf8149f9"
# ## Hai đám mây đặc trưng cách nhau bao xa?
#
# Một mạng đã biến mỗi bức tranh thành D con số, gọi là đặc trưng (feature). Các bức thật tạo thành một đám mây điểm, các bức vẽ
# tạo thành một đám khác. Khoảng cách Fréchet khớp một phân phối Gauss vào mỗi đám mây rồi so sánh hai phân phối (Heusel và cộng
# sự 2017, công thức 6):
#
# $$|m_1 - m_2|^2 + \mathrm{tr}\big(C_1 + C_2 - 2\,(C_1 C_2)^{1/2}\big)$$
#
# Số hạng đầu đã có sẵn. Bạn viết phần còn lại: các ma trận hiệp phương sai và vết (trace) của căn. Đây là căn của **cả ma
# trận**, không phải căn của từng số. $C_1 C_2$ không đối xứng, nhưng $C_1^{1/2} C_2\, C_1^{1/2}$ thì có, và có cùng các giá trị
# riêng. Vết của căn bằng tổng căn của các giá trị riêng.
#
# Số bức có thể ít hơn số đặc trưng. Khi đó nhiều giá trị riêng bằng 0, và sai số làm tròn khiến vài giá trị hơi âm: kết quả vẫn
# phải là một con số. Ô ở cuối dùng hàm của bạn để xếp hạng bốn bộ tranh, bộ gần tranh thật nhất đứng trước.

# %% [markdown] lang="en" role="hints"
# `torch.cov` wants one row for each *feature*, so hand it the transpose. It divides by N − 1 by itself.
# ---
# The root of a symmetric matrix: `values, vectors = torch.linalg.eigh(c1)`. Take the roots of the values, and put the matrix
# together again. Clamp the values at 0 before you take a root.
# ---
# `root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T`, then the eigenvalues of `root @ c2 @ root` by
# `torch.linalg.eigvalsh`, clamped. Their roots add up to the trace that is subtracted twice.
# %% [markdown] lang="vi" of="2ebe0c23"
# `torch.cov` cần mỗi *đặc trưng* một hàng, vậy hãy đưa cho nó ma trận chuyển vị. Nó tự chia cho N − 1.
# ---
# Căn của một ma trận đối xứng: `values, vectors = torch.linalg.eigh(c1)`. Lấy căn của các giá trị riêng rồi ghép ma trận lại.
# Trước khi lấy căn, hãy chặn dưới các giá trị ở 0.
# ---
# `root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T`, rồi lấy các giá trị riêng của `root @ c2 @ root` bằng
# `torch.linalg.eigvalsh`, cũng chặn dưới ở 0. Tổng căn của chúng là vết cần trừ đi hai lần.

# %% [markdown] lang="en" role="stub" given="2"
# Features real (N, D), fake (M, D), each in any floating point -> float, computed
# in float64. N and M may differ, and either may be below D.
# ---
# 1. covariances, over N - 1 and M - 1                     # (D, D) each
# 2. the root of the first one, by its eigenvalues         # (D, D)
# 3. the eigenvalues of root @ c2 @ root, none below 0     # (D,)
# 4. return shift + both traces - twice the sum of the values' roots, as a float
# %% [markdown] lang="vi" of="d77d97f7"
# Đặc trưng real (N, D), fake (M, D), kiểu số thực bất kỳ -> float, tính bằng
# float64. N và M có thể khác nhau, và số nào cũng có thể nhỏ hơn D.
# ---
# 1. hiệp phương sai, chia cho N - 1 và M - 1              # mỗi cái (D, D)
# 2. căn của ma trận đầu, nhờ các giá trị riêng            # (D, D)
# 3. giá trị riêng của root @ c2 @ root, không cho âm      # (D,)
# 4. trả về shift + hai vết - hai lần tổng căn các giá trị ấy, kiểu float

# %% role="solution"
def frechet_distance(real: Tensor, fake: Tensor) -> float:
    x, y = real.double(), fake.double()                         # (N, D), (M, D)
    shift = (x.mean(0) - y.mean(0)).square().sum()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)                     # (D, D) each
    values, vectors = torch.linalg.eigh(c1)                     # (D,), (D, D)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T   # (D, D)
    squares = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0)
    return float(shift + c1.trace() + c2.trace() - 2 * squares.sqrt().sum())

# %% [markdown] lang="en" role="checks"
# - a plain float
# - 40 rows against 31, of 5 features
# - two sets that differ by a factor and a shift
# - fewer rows than features, in one set and in both
# - float32 features far from 0, computed in float64
# - a set and itself, in another order: 0
# - both clouds turned alike: the same distance
# - a set that is one picture over and over
# %% [markdown] lang="vi" of="ebc414c3"
# - một số float thường
# - 40 hàng so với 31, mỗi hàng 5 đặc trưng
# - hai tập chỉ khác nhau một hệ số và một độ dời
# - số hàng ít hơn số đặc trưng, ở một tập và ở cả hai
# - đặc trưng float32 ở xa số 0, tính bằng float64
# - một tập với chính nó, thứ tự khác: 0
# - xoay hai đám mây như nhau: khoảng cách không đổi
# - một tập chỉ gồm một bức lặp đi lặp lại

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def raw(f, real, fake):
    value = f(real, fake)
    return [isinstance(value, torch.Tensor), float(value)]


def distance(f, real, fake):
    return float(f(real, fake))


def fewer(f, real, fake):
    return [float(f(real, fake)), float(f(real[:6], fake)), float(f(real, fake[:5]))]


def itself(f, real):
    return [float(f(real, real.flip(0))), float(f(real[:4], real[:4]))]


def turned(f, real, fake, turn):
    return float(f(real @ turn, fake @ turn))


def collapsed(f, real, one):
    return [float(f(real, one.expand(8, -1))), float(f(one.expand(8, -1), real))]


MIX = normal(5, 5, seed=1)
REAL, FAKE = normal(40, 5, seed=2) @ MIX, normal(31, 5, seed=3) @ (MIX + 0.5 * normal(5, 5, seed=4)) + 0.3
WIDE = normal(12, 12, seed=5)
TURN = torch.linalg.qr(normal(5, 5, seed=6)).Q
FAR = {"real": (300 + 0.1 * REAL).float(), "fake": (300 + 0.13 * FAKE).float()}

probe(raw, real=REAL, fake=FAKE)
probe(distance, points=2, real=REAL, fake=FAKE)
probe(distance, real=REAL, fake=1.5 * REAL + 0.7)
probe(fewer, points=2, rtol=1e-3, atol=1e-3, real=normal(20, 12, seed=7) @ WIDE, fake=normal(9, 12, seed=8) @ WIDE + 0.2)
probe(distance, **FAR)
probe(itself, atol=1e-3, real=REAL)
probe(turned, real=REAL, fake=FAKE, turn=TURN)
probe(collapsed, atol=1e-4, real=REAL, one=FAKE[0])

# %% [markdown] lang="en" role="mistake" name="divided_by_n"
# The covariances were divided by N. Rows lie closer to their own mean than to the true one, so that comes out too small; N −
# 1 puts it right, and with few pictures the difference is large.
# %% [markdown] lang="vi" of="65fc0767"
# Hiệp phương sai bị chia cho N. Các hàng nằm gần trung bình của chính chúng hơn là gần trung bình thật, nên kết quả hơi nhỏ;
# chia cho N − 1 thì đúng, và khi ít tranh thì chênh lệch lớn.
# %% role="wrong" name="divided_by_n"
patch("torch.cov(x.T), torch.cov(y.T)   ", "torch.cov(x.T, correction=0), torch.cov(y.T, correction=0)   ")

# %% [markdown] lang="en" role="mistake" name="root_of_elements"
# The root was taken of single numbers of the product C1 C2. The root of a matrix is another matrix, which gives the first
# when it is multiplied by itself; its diagonal isn't the root of the diagonal. Use the eigenvalues.
# %% [markdown] lang="vi" of="a9675680"
# Hàm lấy căn từng số của tích C1 C2. Căn của một ma trận là một ma trận khác, nhân với chính nó thì ra ma trận ban đầu; đường
# chéo của căn không phải là căn của đường chéo. Hãy dùng các giá trị riêng.
# %% role="wrong" name="root_of_elements"
patch("squares = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0)", "squares = (c1 @ c2).diag().clamp(min=0)")

# %% [markdown] lang="en" role="mistake" name="diagonal_only"
# Only the variances were compared, as if no feature had anything to do with another. That is right when both covariances are
# diagonal; here the features are correlated, and two clouds can differ in just that.
# %% [markdown] lang="vi" of="dede33a8"
# Chỉ các phương sai được so sánh, như thể các đặc trưng không liên quan gì với nhau. Điều đó đúng khi cả hai ma trận hiệp
# phương sai là ma trận chéo; ở đây các đặc trưng tương quan với nhau, và hai đám mây có thể khác nhau đúng ở chỗ ấy.
# %% role="wrong" name="diagonal_only"
patch("squares = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0)", "squares = c1.diag() * c2.diag()")

# %% [markdown] lang="en" role="mistake" name="not_symmetric"
# `eigvalsh` was given C1 C2, which isn't symmetric: it looks at one triangle and believes that the other is its mirror image.
# Hand it C1^(1/2) C2 C1^(1/2), or use `eigvals`.
# %% [markdown] lang="vi" of="fc187b58"
# `eigvalsh` nhận C1 C2, một ma trận không đối xứng: nó chỉ đọc một nửa ma trận và tin rằng nửa kia đối xứng với nửa này. Hãy
# đưa cho nó C1^(1/2) C2 C1^(1/2), hoặc dùng `eigvals`.
# %% role="wrong" name="not_symmetric"
patch("root @ c2 @ root", "c1 @ c2")

# %% [markdown] lang="en" role="mistake" name="not_clamped"
# With fewer pictures than features the result is not a number (NaN). Eigenvalues that should be 0 come out as −1e−17 by
# rounding, and their root doesn't exist: clamp at 0 before each root.
# %% [markdown] lang="vi" of="88e337ae"
# Khi số bức ít hơn số đặc trưng, kết quả không phải là số (NaN). Vì làm tròn, những giá trị riêng lẽ ra bằng 0 thành −1e−17,
# mà số âm không có căn: hãy chặn dưới ở 0 trước mỗi lần lấy căn.
# %% role="wrong" name="not_clamped"
patch("(root @ c2 @ root).clamp(min=0)", "(root @ c2 @ root)")

# %% [markdown] lang="en" role="mistake" name="subtracted_once"
# The root was subtracted once. Two equal clouds have tr(C + C) = 2 tr(C), so only twice the root brings them to 0.
# %% [markdown] lang="vi" of="d5650ea8"
# Căn chỉ bị trừ một lần. Hai đám mây bằng nhau có tr(C + C) = 2 tr(C), nên phải trừ hai lần căn thì mới về 0.
# %% role="wrong" name="subtracted_once"
patch("- 2 * squares", "- squares")

# %% [markdown] lang="en" role="mistake" name="no_root"
# The eigenvalues were summed without their roots: this is the trace of C1 C2. Its unit is the fourth power of a feature, while
# the traces of C1 and C2 are squares.
# %% [markdown] lang="vi" of="b23e49ca"
# Các giá trị riêng được cộng mà chưa lấy căn: đó là vết của C1 C2. Đơn vị của nó là lũy thừa bậc bốn của đặc trưng, trong khi
# vết của C1 và C2 là bình phương.
# %% role="wrong" name="no_root"
patch("squares.sqrt()", "squares")

# %% [markdown] lang="en" role="mistake" name="root_of_the_trace"
# The root was taken of the sum of all eigenvalues. Take the root of each of them, and then the sum.
# %% [markdown] lang="vi" of="cdd89465"
# Hàm lấy căn của tổng mọi giá trị riêng. Hãy lấy căn của từng giá trị rồi mới cộng.
# %% role="wrong" name="root_of_the_trace"
patch("squares.sqrt().sum()", "squares.sum().sqrt()")

# %% [markdown] lang="en" role="mistake" name="no_root_of_c1"
# C1 stands on both sides in place of its root, so it counts twice. The product must be C1^(1/2) C2 C1^(1/2).
# %% [markdown] lang="vi" of="0ae27ea8"
# C1 đứng ở hai bên thay cho căn của nó, nên bị tính hai lần. Tích phải là C1^(1/2) C2 C1^(1/2).
# %% role="wrong" name="no_root_of_c1"
patch("values.clamp(min=0).sqrt()", "values.clamp(min=0)")

# %% [markdown] lang="en" role="mistake" name="shift_not_squared"
# The distance of the means stands there without its square. All other terms are squares of features, and so must this one be.
# %% [markdown] lang="vi" of="96fe05cd"
# Khoảng cách giữa hai trung bình chưa được bình phương. Mọi số hạng khác đều là bình phương của đặc trưng, số hạng này cũng
# phải vậy.
# %% role="wrong" name="shift_not_squared"
patch("- y.mean(0)).square().sum()", "- y.mean(0)).norm()")

# %% [markdown] lang="en" role="mistake" name="shift_missing"
# The means are missing: a set whose pictures are all too bright would be perfect. Add the square of their distance.
# %% [markdown] lang="vi" of="73d20a36"
# Thiếu phần trung bình: một bộ tranh bức nào cũng quá sáng sẽ thành hoàn hảo. Hãy cộng bình phương khoảng cách của hai trung
# bình.
# %% role="wrong" name="shift_missing"
patch("float(shift + c1", "float(c1")

# %% [markdown] lang="en" role="mistake" name="root_at_the_end"
# This is the root of the distance. The literature prints the formula as it stands, without a root at the end, and calls that
# the distance.
# %% [markdown] lang="vi" of="7f07e75f"
# Đây là căn của khoảng cách. Các bài báo dùng nguyên công thức, không lấy căn ở cuối, và gọi đó là khoảng cách.
# %% role="wrong" name="root_at_the_end"
patch("float(shift + c1.trace() + c2.trace() - 2 * squares.sqrt().sum())", "float((shift + c1.trace() + c2.trace() - 2 * squares.sqrt().sum()).clamp(min=0).sqrt())")

# %% [markdown] lang="en" role="mistake" name="as_they_came"
# With float32 features, this computes in float32. The four terms are large and nearly cancel, and float32 has only seven
# digits: convert to float64 first.
# %% [markdown] lang="vi" of="1ed844c6"
# Với đặc trưng float32, hàm tính bằng float32. Bốn số hạng đều lớn và gần như triệt tiêu nhau, mà float32 chỉ có bảy chữ số:
# hãy đổi sang float64 trước.
# %% role="wrong" name="as_they_came"
patch("real.double(), fake.double()", "real, fake")

# %% [markdown] lang="en" role="mistake" name="not_centred"
# The means weren't subtracted before the products: this compares second moments, in which the mean counts again. `torch.cov`
# subtracts them.
# %% [markdown] lang="vi" of="85443dcb"
# Trung bình chưa được trừ trước khi nhân: đây là so các mô-men bậc hai, trong đó trung bình bị tính thêm lần nữa. `torch.cov`
# tự trừ trung bình.
# %% role="wrong" name="not_centred"
patch("torch.cov(x.T), torch.cov(y.T)   ", "x.T @ x / (len(x) - 1), y.T @ y / (len(y) - 1)   ")

# %% [markdown] lang="en" role="mistake" name="rows_for_features"
# The covariance was taken between pictures, not between features: it is (N, N). `torch.cov` wants a row for each feature, so
# transpose.
# %% [markdown] lang="vi" of="bee07465"
# Hiệp phương sai được tính giữa các bức tranh chứ không phải giữa các đặc trưng: nó có kích thước (N, N). `torch.cov` cần mỗi
# đặc trưng một hàng, vậy hãy chuyển vị.
# %% role="wrong" name="rows_for_features"
patch("torch.cov(x.T), torch.cov(y.T)   ", "torch.cov(x), torch.cov(y)   ")

# %% [markdown] lang="en" role="mistake" name="cut_to_equal"
# The larger set was cut to the size of the smaller one. The formula needs no equal counts: each Gaussian is fitted to all of
# its own rows.
# %% [markdown] lang="vi" of="dfdbd0f6"
# Tập lớn hơn bị cắt cho bằng tập nhỏ. Công thức không cần số lượng bằng nhau: mỗi phân phối Gauss được khớp với mọi hàng của
# chính nó.
# %% role="wrong" name="cut_to_equal"
patch("real.double(), fake.double()", "real[:len(fake)].double(), fake[:len(real)].double()")

# %% [markdown] lang="en" role="mistake" name="a_tensor"
# The value is right, but it is a tensor. A float was asked for, which can be printed, sorted and saved: use `float(...)` or
# `.item()`.
# %% [markdown] lang="vi" of="d69f83bb"
# Giá trị đúng, nhưng lại là một tensor. Đề bài cần một số float để in, sắp xếp và lưu: hãy dùng `float(...)` hoặc `.item()`.
# %% role="wrong" name="a_tensor"
patch("return float(shift + c1.trace() + c2.trace() - 2 * squares.sqrt().sum())", "return shift + c1.trace() + c2.trace() - 2 * squares.sqrt().sum()")

# %% [markdown] lang="en" role="mistake" name="roots_multiplied"
# The trace is that of C1^(1/2) C2^(1/2). The root of a product is the product of the roots only where the two matrices
# commute, and two covariances seldom do: take the eigenvalues of C1^(1/2) C2 C1^(1/2).
# %% [markdown] lang="vi" of="539829d5"
# Đây là vết của C1^(1/2) C2^(1/2). Căn của tích chỉ bằng tích các căn khi hai ma trận giao hoán, mà hai ma trận hiệp phương
# sai hiếm khi như vậy: hãy lấy giá trị riêng của C1^(1/2) C2 C1^(1/2).
# %% role="wrong" name="roots_multiplied"
patch("squares = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0)", "other, turn = torch.linalg.eigh(c2)\n    squares = (root @ (turn * other.clamp(min=0).sqrt()) @ turn.T).diag()")
patch("squares.sqrt().sum()", "squares.sum()")

# %% [markdown] lang="en" role="mistake" name="eigenvalues_multiplied"
# The eigenvalues of C1 and of C2 were multiplied in pairs, by size. Each matrix has eigenvectors of its own, so that the
# eigenvalues of the product are others: multiply the matrices first.
# %% [markdown] lang="vi" of="ebcc175d"
# Các giá trị riêng của C1 và C2 được nhân từng cặp theo độ lớn. Mỗi ma trận có vector riêng của nó, nên giá trị riêng của
# tích là những số khác: hãy nhân hai ma trận trước.
# %% role="wrong" name="eigenvalues_multiplied"
patch("squares = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0)", "squares = values.clamp(min=0) * torch.linalg.eigvalsh(c2).clamp(min=0)")

# %% [markdown] lang="en" role="mistake" name="not_put_together"
# The root of C1 isn't complete: vectors times the roots of the values are only its first half, which isn't symmetric. The
# vectors' transpose has to follow.
# %% [markdown] lang="vi" of="32a6f715"
# Căn của C1 chưa ghép xong: các vector riêng nhân với căn của các giá trị riêng mới là nửa đầu, chưa đối xứng. Còn phải nhân
# tiếp với chuyển vị của các vector riêng.
# %% role="wrong" name="not_put_together"
patch("(vectors * values.clamp(min=0).sqrt()) @ vectors.T", "vectors * values.clamp(min=0).sqrt()")

# %% role="library"
from minidiff.evaluate import metrics


def frechet_distance(real, fake):
    """By singular values of the product of the centred rows, without a covariance."""
    return metrics.frechet_distance(real, fake)

# %% role="payoff"
def draw(frechet_distance: Callable) -> Tensor:
    far = {name: frechet_distance(truth, known) for name, known in features.items()}
    order = sorted(sheets, key=lambda name: far[name])
    tiles = torch.stack([mosaic(sheets[name]) for name in order])   # (4, 3, 128, 128)
    return labelled(tiles, [f"{name}\nFD {far[name]:.1f}" for name in order])


payoff(draw, frechet_distance)
