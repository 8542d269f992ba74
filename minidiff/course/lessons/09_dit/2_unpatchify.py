"""Exercise 09.2, unpatchify: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## Tokens back into a picture
#
# The way back, for the DiT's last layer. It predicts p p C numbers for each token, and here the channels come *last*: row,
# column, channel within a patch. Put the patches, which come in reading order, into a grid of `rows` x `columns`, and return
# the picture (B, C, H, W) with H = rows p and W = columns p. C follows from the width of the tokens. The loss is computed from
# the picture, so gradients have to reach the tokens.
# %% [markdown] lang="vi" of="34d977f4"
# ## Từ các token trở lại bức ảnh
#
# Đường về, cho lớp cuối của DiT. Lớp này dự đoán p p C số cho mỗi token, và ở đây kênh đứng *cuối*: hàng, cột, kênh trong mỗi
# patch. Hãy đặt các patch, vốn xếp theo thứ tự đọc, vào lưới `rows` x `columns`, rồi trả về bức ảnh (B, C, H, W) với H = rows p
# và W = columns p. C suy ra được từ bề rộng của token. Hàm mất mát được tính từ bức ảnh, nên gradient phải đến được các token.

# %% [markdown] lang="en" role="hints"
# First take apart, then permute, then join: six axes in between, as in `patchify`. Which are they here, and in which order?
# ---
# Two axes belong together when one counts patches and the other counts numbers inside a patch along the same direction. The
# picture's rows are (row of the patch, row in the patch).
# ---
# Six axes: batch, rows, columns, p, p, C. Bring them into the order batch, C, rows, p, columns, p, and reshape to
# (B, C, rows p, columns p).
# %% [markdown] lang="vi" of="46b848f0"
# Trước hết tách, rồi hoán vị, rồi gộp: ở giữa có sáu trục, như trong `patchify`. Ở đây chúng lần lượt là gì?
# ---
# Hai trục đi với nhau khi một trục đếm patch, trục kia đếm số bên trong patch theo cùng một hướng. Hàng của bức ảnh là (hàng
# của patch, hàng trong patch).
# ---
# Sáu trục: lô, rows, columns, p, p, C. Hãy đưa về thứ tự lô, C, rows, p, columns, p, rồi reshape thành
# (B, C, rows p, columns p).

# %% [markdown] lang="en" role="stub"
# tokens (B, N, p p C), N = rows * columns patches in reading order, the numbers of
# each in the order row, column, channel, to the picture (B, C, rows p, columns p).
# ---
# 1. take apart the place of the tokens, and what is in them: six axes
# 2. the two axes of each direction side by side    # (B, C, rows, p, columns, p)
# 3. join them                                      # (B, C, rows p, columns p)
# %% [markdown] lang="vi" of="234a48ad"
# tokens (B, N, p p C), N = rows * columns patch theo thứ tự đọc, các số trong mỗi
# patch theo thứ tự hàng, cột, kênh, thành bức ảnh (B, C, rows p, columns p).
# ---
# 1. tách vị trí của các token, và các số trong chúng: sáu trục
# 2. đặt hai trục của cùng một hướng cạnh nhau      # (B, C, rows, p, columns, p)
# 3. gộp chúng lại                                  # (B, C, rows p, columns p)

# %% role="solution"
def unpatchify(tokens: Tensor, rows: int, columns: int, patch_size: int) -> Tensor:
    B, p = len(tokens), patch_size
    grid = tokens.reshape(B, rows, columns, p, p, -1)   # (B, rows, columns, p, p, C)
    grid = grid.permute(0, 5, 1, 3, 2, 4)               # (B, C, rows, p, columns, p)
    return grid.reshape(B, -1, rows * p, columns * p)   # (B, C, H, W)

# %% [markdown] lang="en" role="checks"
# - shape: 2 x 3 patches of 2 x 2, 4 channels
# - one channel: each patch is in its place, and the right way up
# - four channels, two pictures
# - patches of 3 x 3 with 2 channels, tokens that lie turned in memory
# - as many rows as columns
# - a picture of three channels that was cut into such tokens comes back
# - dtype float32
# - gradients reach the tokens
# %% [markdown] lang="vi" of="a096333a"
# - kích thước: 2 x 3 patch 2 x 2, 4 kênh
# - một kênh: mỗi patch ở đúng chỗ và đúng chiều
# - bốn kênh, hai ảnh
# - patch 3 x 3 với 2 kênh, các token nằm xoay trong bộ nhớ
# - số hàng bằng số cột
# - một bức ảnh ba kênh đã cắt thành các token như vậy quay trở lại nguyên vẹn
# - kiểu số float32
# - gradient đến được các token

# %% role="probes"
import torch


def numbered(*shape, dtype=torch.float64):
    """0, 1, 2, ... in reading order, so that a wrong number tells where it came from."""
    count = torch.Size(shape).numel()
    return torch.arange(count, dtype=dtype).reshape(shape)


def picture(f, tokens, rows, columns, patch_size):
    return f(tokens, rows, columns, patch_size)


def turned(f, tokens, rows, columns, patch_size):
    return f(tokens.mT, rows, columns, patch_size)


def there_and_back(f, x):
    """x (B, C, 4, 6) as tokens in the other order: two rows of three patches."""
    grid = x.unfold(2, 2, 2).unfold(3, 2, 2)                # (B, C, 2, 3, 2, 2)
    return f(grid.movedim(1, 5).flatten(3).flatten(1, 2), 2, 3, 2)


def learns(f, tokens, rows, columns, patch_size):
    return f(tokens.clone().requires_grad_(), rows, columns, patch_size).requires_grad


SIX = {"tokens": numbered(2, 6, 16), "rows": 2, "columns": 3, "patch_size": 2}

probe(lambda f, **inputs: list(picture(f, **inputs).shape), **SIX)
probe(picture, tokens=numbered(1, 6, 4), rows=2, columns=3, patch_size=2)
probe(picture, points=2, **SIX)
probe(turned, tokens=numbered(2, 18, 8), rows=4, columns=2, patch_size=3)
probe(picture, tokens=numbered(1, 9, 16), rows=3, columns=3, patch_size=2)
probe(there_and_back, x=numbered(2, 3, 4, 6))
probe(
    lambda f, **inputs: str(picture(f, **inputs).dtype),
    tokens=numbered(1, 3, 8, dtype=torch.float32), rows=3, columns=1, patch_size=2,
)
probe(learns, **SIX)

# %% [markdown] lang="en" role="mistake" name="tiles_transposed"
# Every tile is in its place, but mirrored at its diagonal: rows and columns are swapped inside the patches. Such pictures look
# almost right from afar and have torn edges everywhere. The first p of a token counts rows.
# %% [markdown] lang="vi" of="6bf34ecc"
# Ô nào cũng ở đúng chỗ, nhưng bị lật qua đường chéo: hàng và cột bên trong patch bị đổi cho nhau. Nhìn xa thì ảnh gần như đúng,
# mà mép nào cũng răng cưa. Trục p thứ nhất của token đếm hàng.
# %% role="wrong" name="tiles_transposed"
patch("0, 5, 1, 3, 2, 4", "0, 5, 1, 4, 2, 3")

# %% [markdown] lang="en" role="mistake" name="filled_by_columns"
# The tiles are the right way up, but they were laid column by column: the second token went below the first. Tokens come in
# reading order, so the axis of N splits into (rows, columns), with the columns changing faster.
# %% [markdown] lang="vi" of="2370d5c1"
# Các ô đúng chiều, nhưng được xếp hết cột này đến cột khác: token thứ hai nằm dưới token đầu. Các token theo thứ tự đọc, nên
# trục N tách thành (rows, columns), trong đó cột thay đổi nhanh hơn.
# %% role="wrong" name="filled_by_columns"
patch("B, rows, columns, p, p, -1", "B, columns, rows, p, p, -1")
patch("0, 5, 1, 3, 2, 4", "0, 5, 2, 3, 1, 4")

# %% [markdown] lang="en" role="mistake" name="sizes_swapped"
# The axis of N was split into (columns, rows), and the picture put together as if it were (rows, columns): the tiles land in
# wrong places as soon as the two differ. Use the same order in both lines.
# %% [markdown] lang="vi" of="2ac1fc6a"
# Trục N bị tách thành (columns, rows), còn ảnh lại được ghép như thể là (rows, columns): khi hai số ấy khác nhau, các ô rơi sai
# chỗ. Hãy dùng cùng một thứ tự ở cả hai dòng.
# %% role="wrong" name="sizes_swapped"
patch("B, rows, columns, p, p, -1", "B, columns, rows, p, p, -1")

# %% [markdown] lang="en" role="mistake" name="sheet_transposed"
# The tiles are the right way up, but the sheet is turned: the patches' rows run from left to right, so the picture has the size
# W x H. Height comes before width: (row, row in the patch), then (column, column in the patch).
# %% [markdown] lang="vi" of="f64ac347"
# Các ô đúng chiều, nhưng cả tấm bị xoay: hàng của các patch chạy từ trái sang phải, nên ảnh có kích thước W x H. Chiều cao đứng
# trước chiều rộng: (hàng, hàng trong patch), rồi (cột, cột trong patch).
# %% role="wrong" name="sheet_transposed"
patch("0, 5, 1, 3, 2, 4", "0, 5, 2, 3, 1, 4")
patch("rows * p, columns * p", "columns * p, rows * p")

# %% [markdown] lang="en" role="mistake" name="picture_transposed"
# The whole picture is mirrored at its diagonal: what should be a row is a column, for the patches and inside them. In the
# permuted grid the axes that count rows come before those that count columns.
# %% [markdown] lang="vi" of="ef9898d3"
# Cả bức ảnh bị lật qua đường chéo: thứ phải là hàng thì lại là cột, với các patch lẫn bên trong chúng. Trong lưới đã hoán vị,
# các trục đếm hàng đứng trước các trục đếm cột.
# %% role="wrong" name="picture_transposed"
patch("0, 5, 1, 3, 2, 4", "0, 5, 2, 4, 1, 3")
patch("rows * p, columns * p", "columns * p, rows * p")

# %% [markdown] lang="en" role="mistake" name="channels_first"
# The tokens were read in the order channel, row, column, as `patchify` writes them. The DiT's last layer has the channels last:
# read as channels first, each pixel gets numbers of its neighbours as colours.
# %% [markdown] lang="vi" of="3b1f7907"
# Các token được đọc theo thứ tự kênh, hàng, cột, như `patchify` viết ra. Lớp cuối của DiT đặt kênh ở cuối: nếu đọc kênh trước,
# mỗi điểm ảnh lấy số của các điểm bên cạnh làm màu.
# %% role="wrong" name="channels_first"
patch("B, rows, columns, p, p, -1", "B, rows, columns, tokens.shape[2] // (p * p), p, p")
patch("0, 5, 1, 3, 2, 4", "0, 3, 1, 4, 2, 5")

# %% [markdown] lang="en" role="mistake" name="only_reshaped"
# The numbers were poured into the picture's shape in the order of the tokens, so each row of the picture is a piece of a token.
# A reshape alone never brings a patch's second row below its first: permute before the last reshape.
# %% [markdown] lang="vi" of="15feca1a"
# Các số bị đổ vào kích thước của ảnh theo thứ tự của token, nên mỗi hàng của ảnh là một khúc của token. Chỉ reshape thì hàng
# thứ hai của patch không bao giờ về nằm dưới hàng thứ nhất: hãy hoán vị trước lần reshape cuối.
# %% role="wrong" name="only_reshaped"
patch("grid.permute(0, 5, 1, 3, 2, 4) ", "grid ")

# %% [markdown] lang="en" role="mistake" name="not_interleaved"
# The channels are right, but rows of patches and rows in the patch aren't side by side when they are joined: (rows, columns, p,
# p) becomes (H, W) with wrong neighbours. The order before the last reshape is rows, p, columns, p.
# %% [markdown] lang="vi" of="9fc351c0"
# Các kênh đúng, nhưng khi gộp, hàng của patch và hàng trong patch không đứng cạnh nhau: (rows, columns, p, p) thành (H, W) với
# các điểm bên cạnh sai. Thứ tự trước lần reshape cuối là rows, p, columns, p.
# %% role="wrong" name="not_interleaved"
patch("0, 5, 1, 3, 2, 4", "0, 5, 1, 2, 3, 4")

# %% [markdown] lang="en" role="mistake" name="spread_out"
# The pixels of a patch are spread over the whole picture: the row in the patch was put before the row of the patch. What
# changes slowly comes first: (rows, p), not (p, rows).
# %% [markdown] lang="vi" of="3c7d8e48"
# Các điểm ảnh của một patch bị rải khắp bức ảnh: hàng trong patch bị đặt trước hàng của patch. Thứ thay đổi chậm đứng trước:
# (rows, p), không phải (p, rows).
# %% role="wrong" name="spread_out"
patch("0, 5, 1, 3, 2, 4", "0, 5, 3, 1, 4, 2")

# %% [markdown] lang="en" role="mistake" name="channels_left_last"
# The picture is right, but its channels are still the last axis, (B, H, W, C), as matplotlib wants them. In PyTorch a picture
# is (B, C, H, W): bring C to the front in the same permute.
# %% [markdown] lang="vi" of="5a4033b4"
# Bức ảnh đúng, nhưng kênh vẫn ở trục cuối, (B, H, W, C), như matplotlib cần. Trong PyTorch, ảnh là (B, C, H, W): hãy đưa C lên
# trước trong cùng lần hoán vị.
# %% role="wrong" name="channels_left_last"
patch("0, 5, 1, 3, 2, 4", "0, 1, 3, 2, 4, 5")
patch("B, -1, rows * p, columns * p", "B, rows * p, columns * p, -1")

# %% [markdown] lang="en" role="mistake" name="pictures_mixed"
# Numbers of different pictures got mixed: the batch is no longer the first axis when the axes are joined. Keep axis 0 where it
# is.
# %% [markdown] lang="vi" of="231cd0bb"
# Số của các ảnh khác nhau bị trộn lẫn: trục của lô không còn đứng đầu khi các trục được gộp. Hãy giữ trục 0 ở nguyên chỗ.
# %% role="wrong" name="pictures_mixed"
patch("0, 5, 1, 3, 2, 4", "5, 0, 1, 3, 2, 4")

# %% [markdown] lang="en" role="mistake" name="four_channels"
# It works for four channels alone: a 4 is written out somewhere. A latent has 4, but a DiT on pixels has 3. C is the width of
# the tokens divided by p p; in a reshape, -1 finds it.
# %% [markdown] lang="vi" of="708fed0f"
# Hàm chỉ đúng với bốn kênh: có chỗ nào đó viết cứng số 4. Latent có 4 kênh, nhưng DiT trên điểm ảnh thì có 3. C là bề rộng của
# token chia cho p p; trong reshape, -1 tự tìm ra nó.
# %% role="wrong" name="four_channels"
patch("p, p, -1)", "p, p, 4)")

# %% [markdown] lang="en" role="mistake" name="two_by_two"
# It works for patches of 2 x 2 alone: a 2 is written out somewhere. Use `patch_size`.
# %% [markdown] lang="vi" of="22be8ee3"
# Hàm chỉ đúng với patch 2 x 2: có chỗ nào đó viết cứng số 2. Hãy dùng `patch_size`.
# %% role="wrong" name="two_by_two"
patch("B, p = len(tokens), patch_size", "B, p = len(tokens), 2")

# %% [markdown] lang="en" role="mistake" name="square"
# It works for square pictures alone: the side was taken as the root of N. Six patches can be 2 x 3, 3 x 2 or 1 x 6, and only
# the arguments `rows` and `columns` know.
# %% [markdown] lang="vi" of="4f2ac795"
# Hàm chỉ đúng với ảnh vuông: cạnh được lấy là căn bậc hai của N. Sáu patch có thể là 2 x 3, 3 x 2 hay 1 x 6, và chỉ có tham số
# `rows` và `columns` mới biết.
# %% role="wrong" name="square"
patch("B, p = len(tokens), patch_size", "B, p = len(tokens), patch_size\n    rows = columns = int(tokens.shape[1] ** 0.5)")

# %% [markdown] lang="en" role="mistake" name="view"
# `view` never moves numbers, so it refuses where they don't lie in the order that is asked for, as after `permute`. Use
# `reshape`, which copies them where it must.
# %% [markdown] lang="vi" of="9c602443"
# `view` không bao giờ chuyển chỗ các số, nên nó báo lỗi khi chúng không nằm theo thứ tự cần có, như sau `permute`. Hãy dùng
# `reshape`, nó tự sao chép khi cần.
# %% role="wrong" name="view"
patch("grid.reshape", "grid.view")

# %% [markdown] lang="en" role="mistake" name="detached"
# The numbers are right, but the picture was cut off from the tokens (by numpy, `torch.tensor`, `detach` or `no_grad`): the loss
# could never reach the network. Stay with operations on tensors.
# %% [markdown] lang="vi" of="01c2a1f8"
# Các số đều đúng, nhưng bức ảnh đã bị cắt rời khỏi các token (bởi numpy, `torch.tensor`, `detach` hay `no_grad`): hàm mất mát
# không bao giờ đến được mạng. Hãy chỉ dùng các phép toán trên tensor.
# %% role="wrong" name="detached"
patch("grid.permute", "grid.detach().permute")

# %% role="library"
import torch.nn.functional as F


def unpatchify(tokens, rows, columns, patch_size):
    """`F.fold` lays columns of channel, row, column side by side."""
    p = patch_size
    channels_first = tokens.unflatten(2, (p * p, -1)).transpose(2, 3).flatten(2)   # (B, N, C p p)
    return F.fold(channels_first.transpose(1, 2), (rows * p, columns * p), p, stride=p)

# %% role="payoff"
def draw(unpatchify: Callable) -> Tensor:
    def last_layer(tokens: Tensor, x: Tensor, p: int) -> Tensor:
        return unpatchify(tokens, x.shape[2] // p, x.shape[3] // p, p)

    with patch.object(dit_file, "unpatchify", last_layer):
        return pictures("a blue bird right of a red car", "hai con cá cam ngoài biển")


payoff(draw, unpatchify)
