"""Exercise 06.2, normalise: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="5"
# ## Every vector as long as the others
#
# How well do a sentence and a picture agree? By the angle between their vectors, not by how long these are. So give every
# vector length 1, its direction kept: divide it by its length, the root of the sum of its squares. On paper: (3, 4) has length
# 5 and becomes (0.6, 0.8).
#
# The vectors lie along the last axis, whatever axes are before it. A vector of zeros has no direction; it stays as it is.
# Any other gets length 1, even one that is only 0.0001 long. Gradients must go through, or the towers could not learn.
#
# Below, one picture's vector is made eight times as long. With your function, it must not win every row.
# %% [markdown] lang="vi" of="48cbe4ab"
# ## Mọi vector dài như nhau
#
# Một câu và một bức tranh hợp nhau đến mức nào? Điều đó do góc giữa hai vector quyết định, không do chúng dài bao nhiêu. Vì thế
# hãy cho mọi vector độ dài 1 và giữ nguyên hướng: chia nó cho độ dài của nó, tức căn của tổng bình phương. Trên giấy: (3, 4)
# dài 5 và trở thành (0.6, 0.8).
#
# Các vector nằm dọc theo trục cuối, bất kể trước đó có những trục nào. Vector toàn số 0 không có hướng; nó giữ nguyên như vậy.
# Mọi vector khác phải có độ dài 1, kể cả khi nó chỉ dài 0.0001. Gradient phải đi qua được, nếu không các tháp không học được.
#
# Bên dưới, vector của một bức tranh bị kéo dài gấp tám. Với hàm của bạn, nó không được thắng ở mọi hàng.

# %% [markdown] lang="en" role="hints"
# Take (3, 4) and (6, 8). Which numbers do you compute for each of them, before you divide?
# ---
# Square, add up along the last axis, take the root: one number for each vector. `keepdim=True` keeps an axis to divide along.
# ---
# `torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)` is that length. `clamp(min=1e-12)` makes 0 / 0 into 0 / 1e-12.
# %% [markdown] lang="vi" of="19e06b92"
# Lấy (3, 4) và (6, 8). Trước khi chia, bạn phải tính số nào cho mỗi vector?
# ---
# Bình phương, cộng dọc theo trục cuối, lấy căn: mỗi vector một số. `keepdim=True` giữ lại một trục để chia.
# ---
# `torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)` chính là độ dài ấy. `clamp(min=1e-12)` biến 0 / 0 thành 0 / 1e-12.

# %% [markdown] lang="en" role="stub"
# Vectors (..., D), float32 or float64, to vectors of length 1 in the same
# directions; a vector of zeros stays as it is. Gradients go through.
# ---
# 1. the length of each vector                              # (..., 1)
# 2. divide, but not by 0                                   # (..., D)
# %% [markdown] lang="vi" of="71698847"
# Các vector (..., D), float32 hoặc float64, thành các vector độ dài 1 cùng hướng;
# vector toàn số 0 giữ nguyên. Gradient đi qua được.
# ---
# 1. độ dài của mỗi vector                                  # (..., 1)
# 2. chia, nhưng không chia cho 0                           # (..., D)

# %% role="solution"
def normalise(vectors: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)    # (..., 1)
    return vectors / length.clamp(min=1e-12)                    # (..., D)

# %% [markdown] lang="en" role="checks"
# - shape kept: one vector, a batch of one, a batch of sequences
# - dtype kept
# - (3, 4), which can be checked on paper
# - four vectors, long ones and short ones
# - vectors along the last of three axes
# - a vector of zeros beside another one
# - vectors about 0.0001 long
# - gradients go through
# %% [markdown] lang="vi" of="158ccb41"
# - giữ nguyên kích thước: một vector, lô một vector, lô các dãy
# - giữ nguyên kiểu số
# - (3, 4), có thể tính tay
# - bốn vector, dài có ngắn có
# - các vector dọc theo trục cuối trong ba trục
# - một vector toàn số 0 bên cạnh một vector khác
# - các vector dài khoảng 0.0001
# - gradient đi qua được

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 numbers in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


VECTORS = normal(3, 4, seed=2).T * torch.tensor([[0.4], [1.0], [20.0], [300.0]])       # (4, 3), not contiguous
SEQUENCES = 3 * normal(2, 5, 3, seed=3)
BESIDE_ZERO = torch.tensor([[0.0, 0.0, 0.0], [2.0, -1.0, 2.0]])


def shapes(f, vectors):
    return [list(f(part).shape) for part in (vectors[0, 0], vectors[0, :1], vectors)]


def dtypes(f, vectors):
    return [str(f(vectors.to(dtype)).dtype) for dtype in (torch.float32, torch.float64)]


def gradient(f, vectors):
    """Of the first feature of each; a longer vector has no influence but through its direction."""
    leaf = vectors.clone().requires_grad_()
    return torch.autograd.grad(f(leaf)[:, 0].sum(), leaf)[0]


probe(shapes, vectors=SEQUENCES)
probe(dtypes, vectors=VECTORS)
probe(lambda f, vectors: f(vectors), vectors=torch.tensor([[3.0, 4.0]]))
probe(lambda f, vectors: f(vectors), points=2, vectors=VECTORS)
probe(lambda f, vectors: f(vectors), vectors=SEQUENCES)
probe(lambda f, vectors: f(vectors), vectors=BESIDE_ZERO)
probe(lambda f, vectors: f(vectors), rtol=1e-3, vectors=1e-4 * normal(2, 3, seed=9))
probe(gradient, vectors=normal(4, 3, seed=4))

# %% [markdown] lang="en" role="mistake" name="zero_is_nan"
# Nearly: a vector of zeros has length 0, and 0 / 0 is NaN. One such vector makes the mean of a whole batch NaN. Divide by at
# least a tiny number.
# %% [markdown] lang="vi" of="2fed3d62"
# Gần đúng rồi: vector toàn số 0 có độ dài 0, mà 0 / 0 là NaN. Chỉ một vector như thế đã đủ làm trung bình của cả lô thành NaN.
# Hãy bảo đảm số chia luôn lớn hơn 0, dù chỉ một chút.
# %% role="wrong" name="zero_is_nan"
patch(".clamp(min=1e-12)", "")

# %% [markdown] lang="en" role="mistake" name="not_normalised"
# The vectors came back as long as they were. Then a dot product measures length as much as direction: one long vector wins
# every row.
# %% [markdown] lang="vi" of="8d3ce784"
# Các vector vẫn dài như cũ. Khi đó tích vô hướng đo cả độ dài lẫn hướng: một vector dài sẽ thắng ở mọi hàng.
# %% role="wrong" name="not_normalised"
patch("vectors / length.clamp(min=1e-12)", "vectors * 1")

# %% [markdown] lang="en" role="mistake" name="sum_of_sizes"
# The vectors were divided by the sum of their numbers' sizes, the L1 norm: (3, 4) by 7. The length is the root of the sum of
# squares, L2.
# %% [markdown] lang="vi" of="7b0abb93"
# Các vector đã bị chia cho tổng độ lớn của các số, tức chuẩn L1: (3, 4) chia cho 7. Độ dài là căn của tổng bình phương, chuẩn
# L2.
# %% role="wrong" name="sum_of_sizes"
patch("dim=-1,", "ord=1, dim=-1,")

# %% [markdown] lang="en" role="mistake" name="largest"
# The vectors were divided by their largest number: (3, 4) by 4. Vectors in different directions then differ in length. Divide
# by the root of the sum of squares.
# %% [markdown] lang="vi" of="c1773b12"
# Các vector đã bị chia cho số lớn nhất của chúng: (3, 4) chia cho 4. Khi đó vector ở các hướng khác nhau có độ dài khác nhau.
# Hãy chia cho căn của tổng bình phương.
# %% role="wrong" name="largest"
patch("dim=-1,", 'ord=float("inf"), dim=-1,')

# %% [markdown] lang="en" role="mistake" name="along_the_batch"
# The length was taken along the first axis, over different vectors of the batch. Then each *feature* has length 1, and a vector
# depends on its neighbours. The numbers of one vector lie along the last axis.
# %% [markdown] lang="vi" of="178dd140"
# Độ dài được tính dọc theo trục đầu, qua các vector khác nhau của lô. Khi đó mỗi *đặc trưng* có độ dài 1, và mỗi vector phụ
# thuộc vào các vector bên cạnh. Các số của một vector nằm dọc theo trục cuối.
# %% role="wrong" name="along_the_batch"
patch("dim=-1,", "dim=0,")

# %% [markdown] lang="en" role="mistake" name="second_axis"
# Axis 1 is the last one of a batch (B, D), but not of one vector (D,), nor of sequences (B, L, D). Say -1 for the last axis.
# %% [markdown] lang="vi" of="6c14c305"
# Trục 1 là trục cuối của lô (B, D), nhưng không phải của một vector (D,) hay của các dãy (B, L, D). Hãy viết -1 cho trục cuối.
# %% role="wrong" name="second_axis"
patch("dim=-1,", "dim=1,")

# %% [markdown] lang="en" role="mistake" name="whole_tensor"
# One length was taken of the whole tensor, and every vector divided by it. Long ones stay longer than the others: each needs
# its own length.
# %% [markdown] lang="vi" of="3c29d534"
# Chỉ một độ dài được tính cho cả tensor, rồi mọi vector chia cho nó. Vector dài vẫn dài hơn các vector khác: mỗi vector cần độ
# dài riêng.
# %% role="wrong" name="whole_tensor"
patch("torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)", "vectors.norm()")

# %% [markdown] lang="en" role="mistake" name="no_root"
# The vectors were divided by the sum of squares, which is the length times itself: (3, 4) by 25. Take its root first.
# %% [markdown] lang="vi" of="57ce226a"
# Các vector đã bị chia cho tổng bình phương, tức độ dài nhân với chính nó: (3, 4) chia cho 25. Hãy lấy căn trước.
# %% role="wrong" name="no_root"
patch("length.clamp(min=1e-12)", "length.square().clamp(min=1e-12)")

# %% [markdown] lang="en" role="mistake" name="mean_of_squares"
# The root of the *mean* of squares was taken for the length. Then vectors have length sqrt(D) in place of 1, as after an RMS
# norm. Add the squares up.
# %% [markdown] lang="vi" of="53e4fdbd"
# Bạn lấy căn của *trung bình* bình phương làm độ dài. Khi đó các vector dài sqrt(D) chứ không phải 1, như sau một RMS norm. Hãy
# cộng các bình phương lại.
# %% role="wrong" name="mean_of_squares"
patch("torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)", "vectors.square().mean(dim=-1, keepdim=True).sqrt()")

# %% [markdown] lang="en" role="mistake" name="centred"
# The mean of each vector was taken away before dividing. That turns the vector into another direction; only its length may
# change.
# %% [markdown] lang="vi" of="cdd9b779"
# Trước khi chia, trung bình của mỗi vector đã bị trừ đi. Như vậy vector quay sang hướng khác; chỉ độ dài mới được thay đổi.
# %% role="wrong" name="centred"
def normalise(vectors):
    centred = vectors - vectors.mean(dim=-1, keepdim=True)
    return F.normalize(centred, dim=-1)

# %% [markdown] lang="en" role="mistake" name="standardised"
# This gives each vector mean 0 and standard deviation 1, as a layer norm does. What is asked for is length 1, in the same
# direction.
# %% [markdown] lang="vi" of="aa8a1d33"
# Cách này cho mỗi vector trung bình 0 và độ lệch chuẩn 1, như một layer norm. Đề bài cần độ dài 1 và giữ nguyên hướng.
# %% role="wrong" name="standardised"
def normalise(vectors):
    return F.layer_norm(vectors, vectors.shape[-1:])

# %% [markdown] lang="en" role="mistake" name="softmax"
# A softmax makes numbers that add up to 1, all of them positive. A vector of length 1 keeps its signs; its *squares* add up to
# 1.
# %% [markdown] lang="vi" of="30bac85d"
# Softmax cho các số có tổng bằng 1 và đều dương. Vector độ dài 1 giữ nguyên dấu của các số; *bình phương* của chúng có tổng
# bằng 1.
# %% role="wrong" name="softmax"
patch("vectors / length.clamp(min=1e-12)", "vectors.softmax(dim=-1)")

# %% [markdown] lang="en" role="mistake" name="only_the_long"
# Vectors shorter than 1 were left as they are. The number that keeps you from dividing by 0 has to be tiny, or it decides about
# short vectors too.
# %% [markdown] lang="vi" of="cb9d0ce2"
# Các vector ngắn hơn 1 vẫn giữ nguyên. Con số dùng để tránh chia cho 0 phải rất nhỏ, nếu không nó sẽ ảnh hưởng cả đến vector
# ngắn.
# %% role="wrong" name="only_the_long"
patch("clamp(min=1e-12)", "clamp(min=1)")

# %% [markdown] lang="en" role="mistake" name="too_much_added"
# What was added to the length to keep it from 0 is so much that it shortens ordinary vectors. Something like 1e-12 is enough.
# %% [markdown] lang="vi" of="8c81231a"
# Số cộng thêm vào độ dài để tránh số 0 lớn đến mức làm ngắn cả những vector bình thường. Cỡ 1e-12 là đủ.
# %% role="wrong" name="too_much_added"
patch("length.clamp(min=1e-12)", "(length + 1)")

# %% [markdown] lang="en" role="mistake" name="axis_dropped"
# The lengths have shape (B,), and (B, D) cannot be divided by that: PyTorch lines up the last axes. `keepdim=True` keeps an
# axis of length 1 behind.
# %% [markdown] lang="vi" of="e8e7e3de"
# Các độ dài có kích thước (B,), và (B, D) không chia được cho nó: PyTorch khớp các trục từ cuối lên. `keepdim=True` giữ lại một
# trục độ dài 1 ở cuối.
# %% role="wrong" name="axis_dropped"
patch("keepdim=True", "keepdim=False")

# %% [markdown] lang="en" role="mistake" name="lengths_returned"
# The lengths came back. Divide the vectors by them.
# %% [markdown] lang="vi" of="e7c5a0ff"
# Hàm trả về các độ dài. Hãy chia các vector cho chúng.
# %% role="wrong" name="lengths_returned"
patch("return vectors / length.clamp(min=1e-12)", "return length")

# %% [markdown] lang="en" role="mistake" name="detached"
# The numbers are right, but no gradient comes through: something was detached, or computed without gradients. Then the towers
# would never learn.
# %% [markdown] lang="vi" of="a7b792c9"
# Các con số đúng, nhưng gradient không đi qua được: có chỗ bị detach hoặc được tính với gradient tắt. Như vậy các tháp sẽ không
# bao giờ học được.
# %% role="wrong" name="detached"
patch("vectors / length", "vectors.detach() / length.detach()")

# %% [markdown] lang="en" role="mistake" name="length_detached"
# The numbers are right, the gradient is not: the length was detached, as if it were a constant. It depends on the vectors too,
# and its gradient is what keeps training from just making them longer.
# %% [markdown] lang="vi" of="3fd83521"
# Các con số đúng nhưng gradient sai: độ dài đã bị detach, như thể nó là hằng số. Độ dài cũng phụ thuộc vào các vector, và
# nhờ gradient của nó mà việc huấn luyện không thể chỉ kéo dài các vector.
# %% role="wrong" name="length_detached"
patch("/ length", "/ length.detach()")

# %% [markdown] lang="en" role="mistake" name="always_float32"
# The result is float32 whatever came in. Keep the dtype of the vectors.
# %% [markdown] lang="vi" of="55331411"
# Kết quả luôn là float32, bất kể đầu vào. Hãy giữ kiểu số của các vector.
# %% role="wrong" name="always_float32"
patch("vectors / length.clamp(min=1e-12)", "(vectors / length.clamp(min=1e-12)).float()")

# %% [markdown] lang="en" role="mistake" name="floor_too_high"
# Very short vectors don't get length 1: the least number that you divide by is larger than their length. It only has to keep 0
# / 0 away; 1e-12 is enough.
# %% [markdown] lang="vi" of="67d2f900"
# Các vector rất ngắn không có độ dài 1: số nhỏ nhất mà bạn chia cho lại lớn hơn độ dài của chúng. Nó chỉ cần tránh 0 / 0; cỡ
# 1e-12 là đủ.
# %% role="wrong" name="floor_too_high"
patch("clamp(min=1e-12)", "clamp(min=1e-3)")

# %% [markdown] lang="en" role="mistake" name="added_under_the_root"
# Very short vectors don't get length 1. What was added under the root looks small, but the root makes it large: 1e-6 there is
# 0.001 outside. Add or clamp the length itself, or take a far smaller number.
# %% [markdown] lang="vi" of="c0921387"
# Các vector rất ngắn không có độ dài 1. Số cộng thêm dưới dấu căn trông thì nhỏ, nhưng căn làm nó lớn lên: 1e-6 ở trong là
# 0.001 ở ngoài. Hãy cộng hoặc chặn ngay trên độ dài, hoặc dùng một số nhỏ hơn nhiều.
# %% role="wrong" name="added_under_the_root"
patch("torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)", "(vectors.square().sum(dim=-1, keepdim=True) + 1e-6).sqrt()")

# %% role="library"
import torch.nn.functional as F


def normalise(vectors):
    return F.normalize(vectors, dim=-1)

# %% role="payoff"
words = embed_texts(english)                                    # (6, P)
images = embed_images(rendered(scenes, 64))                     # (6, P)
images[2] *= 8                                                  # the bird, made long


def similarity(normalise: Callable) -> Tensor:
    return normalise(words) @ normalise(images).T               # (6, 6)


def draw(normalise: Callable) -> Tensor:
    scores = similarity(normalise)
    found = pictures[scores.argmax(dim=1)]                      # one for each sentence
    return torch.cat([found, heat(scores)])                     # (7, 3, 128, 128)


heatmap(similarity(normalise), rows=english, columns=list(things))
payoff(draw, normalise)
