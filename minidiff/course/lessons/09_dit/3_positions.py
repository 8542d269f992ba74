"""Exercise 09.3, positions: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## Where a patch is
#
# A transformer does not know in which order its tokens come. So each patch gets a fixed vector of `width` numbers, made of its
# column and its row. With a quarter of the width, $q = \texttt{width} / 4$, there are the frequencies $\omega_k = 10000^{-k/q}$
# for $k = 0, \dots, q - 1$. The vector of the patch in column $x$ and row $y$, both counted from 0, has four parts of $q$
# numbers each: $\sin(x\,\omega)$, $\cos(x\,\omega)$, $\sin(y\,\omega)$, $\cos(y\,\omega)$. So the **column** comes first, and
# in each half all sines come before all cosines. The patches are in reading order, as in `patchify`. Return float32, without
# gradients: nothing in this table is learnt.
# %% [markdown] lang="vi" of="9c44c402"
# ## Patch nằm ở đâu
#
# Transformer không biết các token của nó đến theo thứ tự nào. Vì thế mỗi patch nhận một vector cố định gồm `width` số, làm từ
# cột và hàng của nó. Với một phần tư bề rộng, $q = \texttt{width} / 4$, có các tần số $\omega_k = 10000^{-k/q}$ cho
# $k = 0, \dots, q - 1$. Vector của patch ở cột $x$ và hàng $y$, đều đếm từ 0, có bốn phần, mỗi phần $q$ số: $\sin(x\,\omega)$,
# $\cos(x\,\omega)$, $\sin(y\,\omega)$, $\cos(y\,\omega)$. Vậy **cột** đứng trước, và trong mỗi nửa, mọi sin đứng trước mọi cos.
# Các patch xếp theo thứ tự đọc, như trong `patchify`. Trả về float32, không có gradient: không gì trong bảng này được học.

# %% [markdown] lang="en" role="hints"
# Write down the column and the row of each patch of a grid of 2 x 3, in reading order: 0 1 2 0 1 2 and ...?
# ---
# `torch.arange(columns).repeat(rows)` counts again and again, `torch.arange(rows).repeat_interleave(columns)` repeats each
# number. A column of places times a row of frequencies gives a table: `place[:, None] * omega`.
# ---
# `omega = 10000.0 ** (-torch.arange(q) / q)`; two tables of angles (N, q), of the columns and of the rows; then
# `torch.cat([...], dim=1)` of four parts, the sines and cosines of the column's table first.
# %% [markdown] lang="vi" of="7c4d2c69"
# Hãy viết ra cột và hàng của từng patch trong lưới 2 x 3, theo thứ tự đọc: 0 1 2 0 1 2 và ...?
# ---
# `torch.arange(columns).repeat(rows)` đếm đi đếm lại, `torch.arange(rows).repeat_interleave(columns)` lặp mỗi số nhiều lần. Một
# cột các vị trí nhân với một hàng tần số cho ra một bảng: `place[:, None] * omega`.
# ---
# `omega = 10000.0 ** (-torch.arange(q) / q)`; hai bảng góc (N, q), của các cột và của các hàng; rồi `torch.cat([...], dim=1)`
# bốn phần, sin và cos của bảng cột đứng trước.

# %% [markdown] lang="en" role="stub"
# One vector for each patch of a grid, (rows * columns, width) float32: sines and
# cosines of its column, then of its row. width is a multiple of 4.
# ---
# 1. omega                                          # (q,), q = width / 4
# 2. column and row of each patch, in reading order # (N,) each
# 3. the angles of both                             # (N, q) each
# 4. four parts side by side                        # (N, width)
# %% [markdown] lang="vi" of="b1a66f61"
# Một vector cho mỗi patch của lưới, (rows * columns, width) float32: sin và cos
# của cột, rồi của hàng. width là bội của 4.
# ---
# 1. omega                                          # (q,), q = width / 4
# 2. cột và hàng của mỗi patch, theo thứ tự đọc     # mỗi thứ (N,)
# 3. các góc của cả hai                             # mỗi thứ (N, q)
# 4. bốn phần cạnh nhau                             # (N, width)

# %% role="solution"
def positions(rows: int, columns: int, width: int) -> Tensor:
    q = width // 4
    omega = 10000.0 ** (-torch.arange(q) / q)                   # (q,)
    column = torch.arange(columns).repeat(rows)                 # (N,): 0 1 2 0 1 2
    row = torch.arange(rows).repeat_interleave(columns)         # (N,): 0 0 0 1 1 1
    x, y = column[:, None] * omega, row[:, None] * omega        # (N, q) each
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)

# %% [markdown] lang="en" role="checks"
# - shape: 3 rows of 5 patches, 24 numbers each
# - dtype float32
# - a fixed table: it needs no gradient
# - the first patch, in column 0 and row 0: sines 0, cosines 1
# - two patches side by side
# - two patches, one below the other
# - 3 rows of 5 patches
# - the grid of the shipped model, 8 x 8 patches and 256 numbers
# %% [markdown] lang="vi" of="b8420cf8"
# - kích thước: 3 hàng, mỗi hàng 5 patch, mỗi patch 24 số
# - kiểu số float32
# - một bảng cố định: không cần gradient
# - patch đầu tiên, ở cột 0 và hàng 0: các sin bằng 0, các cos bằng 1
# - hai patch đứng cạnh nhau
# - hai patch, cái này dưới cái kia
# - 3 hàng, mỗi hàng 5 patch
# - lưới của mô hình có sẵn, 8 x 8 patch và 256 số

# %% role="probes"
GIVEN = {"rows": 3, "columns": 5, "width": 24}
CLOSE = {"rtol": 1e-5, "atol": 2e-5}        # angles in float32 are good enough


def table(f, rows, columns, width):
    return f(rows, columns, width)


probe(lambda f, **inputs: list(table(f, **inputs).shape), **GIVEN)
probe(lambda f, **inputs: str(table(f, **inputs).dtype), **GIVEN)
probe(lambda f, **inputs: bool(table(f, **inputs).requires_grad), **GIVEN)
probe(lambda f, **inputs: table(f, **inputs)[0], **CLOSE, **GIVEN)
probe(table, **CLOSE, rows=1, columns=2, width=8)
probe(table, **CLOSE, rows=2, columns=1, width=8)
probe(table, points=2, **CLOSE, **GIVEN)
probe(table, **CLOSE, rows=8, columns=8, width=256)

# %% [markdown] lang="en" role="mistake" name="row_first"
# The row's half comes first. A patch in column 3 of row 1 then gets the vector of column 1 of row 3: in a trained model
# everything is drawn mirrored at the diagonal. Here the column comes first.
# %% [markdown] lang="vi" of="394f67b2"
# Nửa của hàng đang đứng trước. Khi ấy patch ở cột 3, hàng 1 nhận vector của cột 1, hàng 3: trong mô hình đã huấn luyện, mọi thứ
# bị vẽ lật qua đường chéo. Ở đây cột đứng trước.
# %% role="wrong" name="row_first"
patch("[x.sin(), x.cos(), y.sin(), y.cos()]", "[y.sin(), y.cos(), x.sin(), x.cos()]")

# %% [markdown] lang="en" role="mistake" name="counted_by_columns"
# The patches are counted column by column: the second vector is that of the patch below the first. Tokens come in reading
# order, so the column changes from each token to the next, and the row only after a whole row.
# %% [markdown] lang="vi" of="14b0f3ad"
# Các patch được đếm hết cột này đến cột khác: vector thứ hai là của patch nằm dưới patch đầu. Các token theo thứ tự đọc, nên
# cột đổi sau mỗi token, còn hàng chỉ đổi sau khi hết cả hàng.
# %% role="wrong" name="counted_by_columns"
patch("torch.arange(columns).repeat(rows) ", "torch.arange(columns).repeat_interleave(rows) ")
patch("torch.arange(rows).repeat_interleave(columns)", "torch.arange(rows).repeat(columns)")

# %% [markdown] lang="en" role="mistake" name="one_number"
# The patches were numbered in one row, 0 to N - 1, as the words of a sentence are. Then the patch below is as far away as the
# row is long, and the network has to guess where rows end. Column and row have a half of the width each.
# %% [markdown] lang="vi" of="4b02eb99"
# Các patch được đánh số trên một hàng, từ 0 đến N - 1, như các từ trong câu. Khi ấy patch ngay bên dưới lại cách xa bằng cả
# chiều dài hàng, và mạng phải đoán hàng kết thúc ở đâu. Cột và hàng mỗi thứ chiếm một nửa bề rộng.
# %% role="wrong" name="one_number"
def positions(rows: int, columns: int, width: int) -> Tensor:
    half = width // 2
    omega = 10000.0 ** (-torch.arange(half) / half)
    angle = torch.arange(rows * columns)[:, None] * omega
    return torch.cat([angle.sin(), angle.cos()], dim=1)

# %% [markdown] lang="en" role="mistake" name="cosines_first"
# In each half the cosines come first, as in `timestep_embedding`. In this table the sines do; a trained network learnt which
# number is which.
# %% [markdown] lang="vi" of="8b51eccd"
# Trong mỗi nửa, các cos đang đứng trước, như trong `timestep_embedding`. Ở bảng này sin đứng trước; mạng đã huấn luyện biết số
# nào là số nào.
# %% role="wrong" name="cosines_first"
patch("[x.sin(), x.cos(), y.sin(), y.cos()]", "[x.cos(), x.sin(), y.cos(), y.sin()]")

# %% [markdown] lang="en" role="mistake" name="sines_of_both_first"
# The four parts are right, but the sines of column and row come first, then the cosines of both. Here each half belongs to one
# direction: sin and cos of the column, then sin and cos of the row.
# %% [markdown] lang="vi" of="5a240fe7"
# Bốn phần đều đúng, nhưng sin của cột và hàng đứng trước, rồi mới đến cos của cả hai. Ở đây mỗi nửa thuộc về một hướng: sin và
# cos của cột, rồi sin và cos của hàng.
# %% role="wrong" name="sines_of_both_first"
patch("[x.sin(), x.cos(), y.sin(), y.cos()]", "[x.sin(), y.sin(), x.cos(), y.cos()]")

# %% [markdown] lang="en" role="mistake" name="interleaved"
# The numbers are right, but lie sin, cos, sin, cos, ... as in the paper on transformers. In this table each half has all sines
# first, then all cosines.
# %% [markdown] lang="vi" of="5c16b04e"
# Các số đều đúng, nhưng xếp sin, cos, sin, cos, ... như trong bài báo về transformer. Ở bảng này, mỗi nửa có toàn bộ sin trước,
# rồi toàn bộ cos.
# %% role="wrong" name="interleaved"
patch("torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)",
      "torch.cat([torch.stack([a.sin(), a.cos()], 2).flatten(1) for a in (x, y)], 1)")

# %% [markdown] lang="en" role="mistake" name="omega_over_half"
# The frequencies fall half as fast as they should: k was divided by half the width. Each direction has sines and cosines, so
# there are width / 4 frequencies, and k runs over a quarter.
# %% [markdown] lang="vi" of="1c40b42c"
# Tần số giảm chậm bằng một nửa: k bị chia cho nửa bề rộng. Mỗi hướng có cả sin và cos, nên có width / 4 tần số, và k chạy trên
# một phần tư.
# %% role="wrong" name="omega_over_half"
patch("torch.arange(q) / q", "torch.arange(q) / (2 * q)")

# %% [markdown] lang="en" role="mistake" name="omega_to_the_end"
# Only the first frequency is right: your last one is exactly 1 / 10000, so k was divided by q - 1. Here it is divided by q.
# %% [markdown] lang="vi" of="7869e4de"
# Chỉ tần số đầu tiên đúng: tần số cuối của bạn bằng đúng 1 / 10000, tức là k bị chia cho q - 1. Ở đây chia cho q.
# %% role="wrong" name="omega_to_the_end"
patch("torch.arange(q) / q", "torch.arange(q) / (q - 1)")

# %% [markdown] lang="en" role="mistake" name="omega_from_one"
# The frequencies begin one too late: k was counted from 1, so that the fastest wave is missing. It starts at
# 10000 to the power of 0, which is 1.
# %% [markdown] lang="vi" of="b8fae354"
# Tần số bắt đầu chậm một bước: k được đếm từ 1, nên thiếu mất sóng nhanh nhất. Tần số đầu tiên là 10000 lũy thừa 0, bằng 1.
# %% role="wrong" name="omega_from_one"
patch("-torch.arange(q) / q", "-torch.arange(1, q + 1) / q")

# %% [markdown] lang="en" role="mistake" name="rising"
# The frequencies rise from 1 up to 10000 instead of falling: look at the sign of the exponent.
# %% [markdown] lang="vi" of="3ec4c9c5"
# Tần số tăng từ 1 lên đến 10000 thay vì giảm: hãy xem lại dấu của số mũ.
# %% role="wrong" name="rising"
patch("(-torch.arange(q) / q)", "(torch.arange(q) / q)")

# %% [markdown] lang="en" role="mistake" name="base_1000"
# The order is right, but the frequencies fall too slowly: the base is 1000, and should be 10000. Count the zeros.
# %% [markdown] lang="vi" of="2538d8ac"
# Thứ tự đúng, nhưng tần số giảm quá chậm: cơ số là 1000, mà phải là 10000. Hãy đếm lại các số không.
# %% role="wrong" name="base_1000"
patch("10000.0 **", "1000.0 **")

# %% [markdown] lang="en" role="mistake" name="two_pi"
# There is a factor of 2 pi too many: x times omega is the angle already, in radians.
# %% [markdown] lang="vi" of="b2669823"
# Dư một thừa số 2 pi: x nhân omega đã là góc, tính bằng radian.
# %% role="wrong" name="two_pi"
patch("column[:, None] * omega, row[:, None] * omega",
      "column[:, None] * omega * 2 * torch.pi, row[:, None] * omega * 2 * torch.pi")

# %% [markdown] lang="en" role="mistake" name="degrees"
# The angles were taken as degrees. x times omega is in radians, and that is what `sin` and `cos` of PyTorch take.
# %% [markdown] lang="vi" of="9f84fa7c"
# Các góc bị coi là độ. x nhân omega tính bằng radian, và đó chính là thứ `sin` và `cos` của PyTorch nhận.
# %% role="wrong" name="degrees"
patch("column[:, None] * omega, row[:, None] * omega",
      "torch.deg2rad(column[:, None] * omega), torch.deg2rad(row[:, None] * omega)")

# %% [markdown] lang="en" role="mistake" name="zero_to_one"
# The places were divided by the size of the grid, so that they run from 0 to 1. Here a step to the next patch is 1, in every
# grid.
# %% [markdown] lang="vi" of="40d19414"
# Các vị trí bị chia cho kích thước lưới, nên chạy từ 0 đến 1. Ở đây mỗi bước sang patch kế tiếp là 1, với mọi lưới.
# %% role="wrong" name="zero_to_one"
patch("column[:, None] * omega, row[:, None] * omega", "column[:, None] / columns * omega, row[:, None] / rows * omega")

# %% [markdown] lang="en" role="mistake" name="stretched"
# The columns were stretched or squeezed until the grid is as wide as it is high: the library's `position_table` does that when
# it gets no base. Here a step to the next patch is 1 in both directions.
# %% [markdown] lang="vi" of="65477cfb"
# Các cột bị kéo giãn hoặc co lại cho đến khi lưới rộng bằng cao: `position_table` của thư viện làm vậy khi không được cho biết
# cỡ gốc. Ở đây mỗi bước sang patch kế tiếp là 1, theo cả hai hướng.
# %% role="wrong" name="stretched"
patch("column[:, None] * omega, row", "column[:, None] / columns * rows * omega, row")

# %% [markdown] lang="en" role="mistake" name="from_one"
# Columns and rows were counted from 1. The first patch is in column 0 and row 0, so its sines are 0 and its cosines 1.
# %% [markdown] lang="vi" of="26d27d0f"
# Cột và hàng được đếm từ 1. Patch đầu tiên ở cột 0, hàng 0, nên các sin của nó bằng 0 và các cos bằng 1.
# %% role="wrong" name="from_one"
patch("column[:, None] * omega, row[:, None] * omega", "(column[:, None] + 1) * omega, (row[:, None] + 1) * omega")

# %% [markdown] lang="en" role="mistake" name="sizes_swapped"
# Rows and columns of the grid were taken for each other: there are `columns` patches in a row, and `rows` rows of them. In a
# square grid nobody notices.
# %% [markdown] lang="vi" of="7d94c4a7"
# Số hàng và số cột của lưới bị nhầm cho nhau: mỗi hàng có `columns` patch, và có `rows` hàng như vậy. Trong lưới vuông thì
# không ai nhận ra.
# %% role="wrong" name="sizes_swapped"
patch("torch.arange(columns).repeat(rows) ", "torch.arange(rows).repeat(columns) ")
patch("torch.arange(rows).repeat_interleave(columns)", "torch.arange(columns).repeat_interleave(rows)")

# %% [markdown] lang="en" role="mistake" name="column_twice"
# Both halves tell the column, so all patches of a column have one vector, and the network cannot tell above from below. The
# second half belongs to the row.
# %% [markdown] lang="vi" of="8f82a790"
# Cả hai nửa đều nói về cột, nên mọi patch trong một cột có cùng một vector, và mạng không phân biệt được trên với dưới. Nửa thứ
# hai là của hàng.
# %% role="wrong" name="column_twice"
patch("column[:, None] * omega, row[:, None] * omega", "column[:, None] * omega, column[:, None] * omega")

# %% [markdown] lang="en" role="mistake" name="twice_as_wide"
# The vectors are twice as wide as asked for: there are sines and cosines, of columns and of rows, so a quarter of the width is
# left for the frequencies.
# %% [markdown] lang="vi" of="526de402"
# Các vector rộng gấp đôi yêu cầu: có sin và cos, của cột và của hàng, nên chỉ còn một phần tư bề rộng cho các tần số.
# %% role="wrong" name="twice_as_wide"
patch("q = width // 4", "q = width // 2")

# %% [markdown] lang="en" role="mistake" name="below_one_another"
# The four parts stand below one another: there are four times as many rows as patches. Join them along axis 1.
# %% [markdown] lang="vi" of="260a8445"
# Bốn phần đứng chồng lên nhau: số hàng gấp bốn lần số patch. Hãy ghép chúng theo trục 1.
# %% role="wrong" name="below_one_another"
patch("dim=1", "dim=0")

# %% [markdown] lang="en" role="mistake" name="grid_kept"
# The vectors still stand in a grid, (rows, columns, width). They are added to a row of tokens: join the first two axes.
# %% [markdown] lang="vi" of="25c7c820"
# Các vector vẫn còn đứng thành lưới, (rows, columns, width). Chúng được cộng vào một hàng token: hãy gộp hai trục đầu.
# %% role="wrong" name="grid_kept"
patch("dim=1)", "dim=1).reshape(rows, columns, width)")

# %% [markdown] lang="en" role="mistake" name="batch_axis"
# There is one axis of length 1 too many, (1, N, width). Addition would spread it over the batch all the same, but the exercise
# asks for (N, width).
# %% [markdown] lang="vi" of="ba2fb3a8"
# Dư một trục dài 1, (1, N, width). Phép cộng vẫn tự trải nó ra cả lô, nhưng đề bài yêu cầu (N, width).
# %% role="wrong" name="batch_axis"
patch("dim=1)", "dim=1)[None]")

# %% [markdown] lang="en" role="mistake" name="learnt"
# The numbers are right, but they were made a parameter that is learnt. These vectors are fixed: an optimiser would slowly bend
# the waves out of shape.
# %% [markdown] lang="vi" of="9ea7e41f"
# Các số đều đúng, nhưng bảng đã bị biến thành tham số được học. Các vector này cố định: nếu để bộ tối ưu cập nhật, các sóng sẽ
# dần biến dạng.
# %% role="wrong" name="learnt"
patch("return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)",
      "return torch.nn.Parameter(torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1))")

# %% [markdown] lang="en" role="mistake" name="float64"
# The numbers are right, but in float64 (numpy counts so by default): added to float32 tokens they would turn the whole
# network's input into float64. End with `.float()`.
# %% [markdown] lang="vi" of="046dfc3f"
# Các số đều đúng, nhưng ở kiểu float64 (numpy mặc định tính như vậy): cộng vào các token float32, chúng biến cả đầu vào của
# mạng thành float64. Hãy kết thúc bằng `.float()`.
# %% role="wrong" name="float64"
patch("(-torch.arange(q) / q)", "(-torch.arange(q).double() / q)")

# %% role="library"
from minidiff.nn.embeddings import position_table


def positions(rows, columns, width):
    """A corner of a square table, where a step is 1 both ways."""
    side = max(rows, columns)
    square = position_table(width, side, side).reshape(side, side, width)
    return square[:rows, :columns].flatten(0, 1)

# %% role="payoff"
def draw(positions: Callable) -> Tensor:
    table = embedding.pos_embed                                 # (64, 256)
    try:
        embedding.pos_embed = positions(embedding.grid, embedding.grid, table.shape[1])
        here, there = "a green cat at the top left", "bóng bay đỏ ở góc dưới bên phải"
        return pictures(here, there)
    finally:
        embedding.pos_embed = table


payoff(draw, positions)
