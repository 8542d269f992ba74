"""Exercise 09.1, patchify: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="8"
# ## A picture as a row of tokens
#
# Cut x (B, C, H, W) into patches of p x p, p being `patch_size`, and make each patch one token. The patches come in reading
# order: along the first row from left to right, then the second row. Within a token the C p p numbers come in the order
# channel, row, column: first all numbers of channel 0, row by row. H and W are multiples of p, and need not be equal. Gradients
# have to pass, as through any layer.
#
# The lines that split H and W are there; the last one is yours.
# %% [markdown] lang="vi" of="de104406"
# ## Bức ảnh thành một hàng token
#
# Hãy cắt x (B, C, H, W) thành các patch p x p, với p là `patch_size`, và biến mỗi patch thành một token. Các patch xếp theo thứ
# tự đọc: hết hàng đầu từ trái sang phải, rồi đến hàng thứ hai. Trong một token, C p p số xếp theo thứ tự kênh, hàng, cột: trước
# hết là mọi số của kênh 0, hết hàng này đến hàng khác. H và W là bội của p, và không nhất thiết bằng nhau. Gradient phải đi qua
# được phép cắt này, như qua mọi lớp khác.
#
# Những dòng tách H và W đã có sẵn; dòng cuối là của bạn.

# %% [markdown] lang="en" role="hints"
# `grid` has six axes. Which of them say *where* a patch is, and which say *where in the patch* a number is?
# ---
# Bring the axes into the order batch, where the patch is (2 axes), what is in it (3 axes). `permute` takes the numbers of the
# axes, counted from 0, in their new order.
# ---
# The channel is axis 1, the rows of patches axis 2, the columns axis 4. After `permute(0, 2, 4, 1, 3, 5)` join axes 1 and 2,
# and join the last three.
# %% [markdown] lang="vi" of="241a4bc2"
# `grid` có sáu trục. Trục nào cho biết patch nằm *ở đâu*, trục nào cho biết một số nằm *ở đâu trong patch*?
# ---
# Hãy đưa các trục về thứ tự: lô, patch nằm ở đâu (2 trục), trong patch có gì (3 trục). `permute` nhận số thứ tự của các trục,
# đếm từ 0, theo thứ tự mới.
# ---
# Kênh là trục 1, hàng của các patch là trục 2, cột là trục 4. Sau `permute(0, 2, 4, 1, 3, 5)`, hãy gộp trục 1 với trục 2, và
# gộp ba trục cuối.

# %% [markdown] lang="en" role="stub" given="3"
# x (B, C, H, W) to tokens (B, N, C p p): N = H / p times W / p patches in reading
# order, the numbers of each in the order channel, row, column.
# ---
# 1. the axes in the order batch, place of the patch, numbers in it; then
#    join the two of the place, and the last three               # (B, N, C p p)
# %% [markdown] lang="vi" of="fd779f9c"
# x (B, C, H, W) thành các token (B, N, C p p): N = H / p nhân W / p patch theo thứ
# tự đọc, các số trong mỗi patch theo thứ tự kênh, hàng, cột.
# ---
# 1. đưa các trục về thứ tự lô, vị trí của patch, các số trong patch; rồi
#    gộp hai trục vị trí, và gộp ba trục cuối                    # (B, N, C p p)

# %% role="solution"
def patchify(x: Tensor, patch_size: int) -> Tensor:
    B, C, H, W = x.shape
    rows, columns = H // patch_size, W // patch_size
    grid = x.reshape(B, C, rows, patch_size, columns, patch_size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(B, rows * columns, -1)

# %% [markdown] lang="en" role="checks"
# - shape: 2 pictures of 3 x 4 x 6, patches of 2 x 2
# - one channel, numbered in reading order: each patch holds its own four numbers
# - three channels, two pictures: the order channel, row, column
# - patches of 3 x 3, a picture that lies turned in memory
# - as many rows as columns
# - one patch that is the whole picture
# - dtype float32
# - gradients reach the picture
# %% [markdown] lang="vi" of="0d0df5c1"
# - kích thước: 2 ảnh 3 x 4 x 6, patch 2 x 2
# - một kênh, đánh số theo thứ tự đọc: mỗi patch giữ đúng bốn số của nó
# - ba kênh, hai ảnh: thứ tự kênh, hàng, cột
# - patch 3 x 3, một ảnh nằm xoay trong bộ nhớ
# - số hàng bằng số cột
# - một patch bằng cả bức ảnh
# - kiểu số float32
# - gradient đến được bức ảnh

# %% role="probes"
import torch


def numbered(*shape, dtype=torch.float64):
    """0, 1, 2, ... in reading order, so that a wrong number tells where it came from."""
    count = torch.Size(shape).numel()
    return torch.arange(count, dtype=dtype).reshape(shape)


def turned(f, x, patch_size):
    return f(x.mT, patch_size)


def learns(f, x, patch_size):
    return f(x.clone().requires_grad_(), patch_size).requires_grad


X = numbered(2, 3, 4, 6)

probe(lambda f, x, patch_size: list(f(x, patch_size).shape), x=X, patch_size=2)
probe(lambda f, x, patch_size: f(x, patch_size), x=numbered(1, 1, 4, 6), patch_size=2)
probe(lambda f, x, patch_size: f(x, patch_size), points=2, x=X, patch_size=2)
probe(turned, x=numbered(2, 4, 9, 6), patch_size=3)
probe(lambda f, x, patch_size: f(x, patch_size), x=numbered(2, 3, 6, 6), patch_size=2)
probe(lambda f, x, patch_size: f(x, patch_size), x=numbered(2, 3, 4, 4), patch_size=4)
probe(lambda f, x, patch_size: str(f(x, patch_size).dtype), x=numbered(1, 2, 4, 2, dtype=torch.float32), patch_size=2)
probe(learns, x=X, patch_size=2)

# %% [markdown] lang="en" role="mistake" name="cut_in_order"
# The numbers were cut into pieces in the order in which they lie in memory, so a token holds parts of one long row of pixels,
# not a square. A reshape alone never changes that order: the axes have to be permuted first.
# %% [markdown] lang="vi" of="7c5911ce"
# Các số bị cắt thành khúc theo đúng thứ tự nằm trong bộ nhớ, nên một token chứa một đoạn của hàng điểm ảnh dài chứ không phải
# một ô vuông. Chỉ reshape thì thứ tự ấy không bao giờ đổi: phải hoán vị các trục trước.
# %% role="wrong" name="cut_in_order"
patch("grid.permute(0, 2, 4, 1, 3, 5)", "grid")

# %% [markdown] lang="en" role="mistake" name="grid_transposed"
# The patches themselves are right, but they come column by column: the second token is the patch below the first. Each token
# would get the position of another one. Reading order goes along a row of patches first.
# %% [markdown] lang="vi" of="7e01f046"
# Từng patch thì đúng, nhưng chúng xếp hết cột này đến cột khác: token thứ hai là patch nằm dưới patch đầu. Khi ấy mỗi token
# nhận vị trí của một token khác. Thứ tự đọc đi hết một hàng patch trước.
# %% role="wrong" name="grid_transposed"
patch("0, 2, 4, 1, 3, 5", "0, 4, 2, 1, 3, 5")

# %% [markdown] lang="en" role="mistake" name="tile_transposed"
# The patches stand in the right places, but rows and columns are swapped inside each of them. The embedding was trained on the
# order channel, row, column, and would see every tile mirrored at its diagonal.
# %% [markdown] lang="vi" of="f009bf0f"
# Các patch đứng đúng chỗ, nhưng bên trong mỗi patch, hàng và cột bị đổi cho nhau. Lớp tạo vector nhúng được huấn luyện với thứ
# tự kênh, hàng, cột, nên nó sẽ thấy mọi ô bị lật qua đường chéo.
# %% role="wrong" name="tile_transposed"
patch("0, 2, 4, 1, 3, 5", "0, 2, 4, 1, 5, 3")

# %% [markdown] lang="en" role="mistake" name="all_transposed"
# Rows and columns are swapped twice: patches come column by column, and inside each patch too. These are the tokens of the
# picture mirrored at its diagonal. Which axes of `grid` count rows, and which columns?
# %% [markdown] lang="vi" of="2d22c149"
# Hàng và cột bị đổi cho nhau hai lần: các patch xếp theo cột, và bên trong mỗi patch cũng vậy. Đây là các token của bức ảnh bị
# lật qua đường chéo. Trục nào của `grid` đếm hàng, trục nào đếm cột?
# %% role="wrong" name="all_transposed"
patch("0, 2, 4, 1, 3, 5", "0, 4, 2, 1, 5, 3")

# %% [markdown] lang="en" role="mistake" name="channels_last"
# The right numbers are in the right tokens, but the channels come last: the channels of a pixel lie side by side. That is the
# order of the DiT's last layer; its embedding has a convolution's weights, where the channel comes first.
# %% [markdown] lang="vi" of="73a47086"
# Các số nằm đúng token, nhưng kênh đứng cuối: các kênh của một điểm ảnh nằm cạnh nhau. Đó là thứ tự ở lớp cuối của DiT; còn lớp
# tạo vector nhúng có trọng số của một phép tích chập, trong đó kênh đứng đầu.
# %% role="wrong" name="channels_last"
patch("0, 2, 4, 1, 3, 5", "0, 2, 4, 3, 5, 1")

# %% [markdown] lang="en" role="mistake" name="channels_apart"
# Each channel was cut into patches of its own, one channel after the other, so a token holds several places of one channel. A
# token is one place with all its channels: the channel's axis belongs behind the two that say where the patch is.
# %% [markdown] lang="vi" of="ca555201"
# Mỗi kênh bị cắt thành patch riêng, hết kênh này đến kênh khác, nên một token chứa nhiều nơi của một kênh. Một token là một nơi
# với mọi kênh của nó: trục kênh phải đứng sau hai trục cho biết patch nằm ở đâu.
# %% role="wrong" name="channels_apart"
patch("0, 2, 4, 1, 3, 5", "0, 1, 2, 4, 3, 5")

# %% [markdown] lang="en" role="mistake" name="batch_mixed"
# Tokens of different pictures got mixed: the axis of the batch is no longer the first one when the axes are joined. Keep axis 0
# where it is.
# %% [markdown] lang="vi" of="1b445cba"
# Token của các ảnh khác nhau bị trộn lẫn: trục của lô không còn đứng đầu khi các trục được gộp lại. Hãy giữ trục 0 ở nguyên
# chỗ.
# %% role="wrong" name="batch_mixed"
patch("0, 2, 4, 1, 3, 5", "2, 4, 0, 1, 3, 5")

# %% [markdown] lang="en" role="mistake" name="far_apart"
# A token holds pixels that are far apart, from every `rows`-th row: the height was split as (p, rows). The axis that changes
# slowly comes first: row r of the picture is row r % p of patch r // p, so split it as (rows, p).
# %% [markdown] lang="vi" of="cb9ee91b"
# Một token chứa những điểm ảnh cách xa nhau, cứ `rows` hàng mới lấy một: chiều cao bị tách thành (p, rows). Trục thay đổi chậm
# phải đứng trước: hàng r của ảnh là hàng r % p của patch r // p, nên hãy tách thành (rows, p).
# %% role="wrong" name="far_apart"
patch("B, C, rows, patch_size, columns, patch_size", "B, C, patch_size, rows, patch_size, columns")
patch("0, 2, 4, 1, 3, 5", "0, 3, 5, 1, 2, 4")

# %% [markdown] lang="en" role="mistake" name="grid_kept"
# The tokens still stand in a grid, (B, rows, columns, C p p). A transformer reads a row of them: join the two middle axes to
# (B, N, C p p).
# %% [markdown] lang="vi" of="dd0303c5"
# Các token vẫn còn đứng thành lưới, (B, rows, columns, C p p). Transformer đọc một hàng token: hãy gộp hai trục giữa để có
# (B, N, C p p).
# %% role="wrong" name="grid_kept"
patch("reshape(B, rows * columns, -1)", "flatten(3)")

# %% [markdown] lang="en" role="mistake" name="tokens_last"
# The tokens are right, but they are the columns: (B, C p p, N), as `F.unfold` returns them. Linear layers work on the last
# axis: swap the last two.
# %% [markdown] lang="vi" of="c39b8cf4"
# Các token đúng, nhưng chúng là các cột: (B, C p p, N), như `F.unfold` trả về. Các lớp tuyến tính làm việc trên trục cuối: hãy
# đổi chỗ hai trục cuối.
# %% role="wrong" name="tokens_last"
patch("reshape(B, rows * columns, -1)", "reshape(B, rows * columns, -1).mT")

# %% [markdown] lang="en" role="mistake" name="unfold_reshaped"
# `F.unfold` gives (B, C p p, N), and a reshape to (B, N, C p p) has the right shape with the wrong numbers in it. Axes are
# swapped by `transpose(1, 2)` (or `.mT`), never by reshape.
# %% [markdown] lang="vi" of="5a66998a"
# `F.unfold` cho (B, C p p, N), còn reshape về (B, N, C p p) thì đúng kích thước mà các số nằm sai chỗ. Muốn đổi chỗ hai trục,
# hãy dùng `transpose(1, 2)` (hoặc `.mT`), đừng bao giờ dùng reshape.
# %% role="wrong" name="unfold_reshaped"
patch("grid.permute(0, 2, 4, 1, 3, 5)", "F.unfold(x, patch_size, stride=patch_size)")

# %% [markdown] lang="en" role="mistake" name="overlapping"
# There are too many tokens: the patches overlap, since `F.unfold` moves on by one pixel unless told otherwise. Give it the
# stride p.
# %% [markdown] lang="vi" of="e7a33916"
# Quá nhiều token: các patch chồng lên nhau, vì `F.unfold` mặc định chỉ dịch một điểm ảnh. Hãy cho nó stride bằng p.
# %% role="wrong" name="overlapping"
def patchify(x: Tensor, patch_size: int) -> Tensor:
    return F.unfold(x, patch_size).mT

# %% [markdown] lang="en" role="mistake" name="view"
# After `permute` the numbers don't lie in memory in their new order, and `view` never moves numbers: it refuses. `reshape`
# copies them where it must (so does `.contiguous()` before `view`).
# %% [markdown] lang="vi" of="9b20792f"
# Sau `permute`, các số không nằm trong bộ nhớ theo thứ tự mới, mà `view` thì không bao giờ chuyển chỗ các số: nó báo lỗi.
# `reshape` tự sao chép khi cần (`.contiguous()` trước `view` cũng vậy).
# %% role="wrong" name="view"
patch("5).reshape(", "5).view(")

# %% [markdown] lang="en" role="mistake" name="two_by_two"
# It works for patches of 2 x 2 alone: a 2 is written out somewhere. Use `patch_size`.
# %% [markdown] lang="vi" of="22be8ee3"
# Hàm chỉ đúng với patch 2 x 2: có chỗ nào đó viết cứng số 2. Hãy dùng `patch_size`.
# %% role="wrong" name="two_by_two"
def patchify(x: Tensor, patch_size: int) -> Tensor:
    return F.unfold(x, 2, stride=2).mT

# %% [markdown] lang="en" role="mistake" name="square"
# It works for square pictures alone: rows and columns of patches were counted along one side. Count the rows along H and the
# columns along W.
# %% [markdown] lang="vi" of="fa7e51b0"
# Hàm chỉ đúng với ảnh vuông: số hàng và số cột patch được đếm theo cùng một cạnh. Hãy đếm hàng theo H, và đếm cột theo W.
# %% role="wrong" name="square"
patch("H // patch_size, W // patch_size", "H // patch_size, H // patch_size")

# %% [markdown] lang="en" role="mistake" name="detached"
# The numbers are right, but the tokens were cut off from the picture (by numpy, `torch.tensor`, `detach` or `no_grad`): no
# gradient comes through. Stay with operations on tensors.
# %% [markdown] lang="vi" of="22794030"
# Các số đều đúng, nhưng token đã bị cắt rời khỏi bức ảnh (bởi numpy, `torch.tensor`, `detach` hay `no_grad`): không gradient
# nào đi qua được. Hãy chỉ dùng các phép toán trên tensor.
# %% role="wrong" name="detached"
patch("grid.permute", "grid.detach().permute")

# %% role="library"
import torch.nn.functional as F


def patchify(x, patch_size):
    """Columns of `F.unfold`, which takes the channel first."""
    return F.unfold(x, patch_size, stride=patch_size).transpose(1, 2)

# %% role="payoff"
def draw(patchify: Callable) -> Tensor:
    def embed(layer: PatchProjection, x: Tensor) -> Tensor:
        return F.linear(patchify(x, 2), layer.weight.flatten(1), layer.bias)

    with patch.object(PatchProjection, "forward", embed):
        return pictures()


payoff(draw, patchify)
