"""Exercise 06.3, clip_loss: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## The loss of CLIP
#
# Row i of `images` and row i of `texts` belong together. Write the loss that is small when every picture is nearer to its own
# sentence than to the others, and every sentence to its own picture: make all vectors unit vectors (with your `normalise`),
# compare every picture with every sentence, divide by the temperature, and let each picture choose among the sentences and each
# sentence among the pictures. The loss is the mean of both cross-entropies.
#
# `logit_scale` is the learnt logarithm of 1 / temperature. It is held at ln 100: however large it grows, the temperature is
# never below 0.01. Only that end is limited: temperatures above 1 are used as they are.
#
# On paper: pictures (3, 0) and (0, 5), sentences (1, 0) and (0, 1), temperature 0.5: the logits are 2 and 0
# in each row, and the loss is ln(1 + e⁻²) = 0.127.
#
# Below, six sentences have lost their pictures. Your loss alone puts them back: two pictures change places whenever that
# makes it smaller.
# %% [markdown] lang="vi" of="2765c29e"
# ## Hàm mất mát của CLIP
#
# Hàng i của `images` và hàng i của `texts` thuộc về nhau. Hãy viết hàm mất mát có giá trị nhỏ khi mỗi bức tranh gần câu của
# mình hơn mọi câu khác, và mỗi câu gần tranh của mình hơn mọi tranh khác: đưa mọi vector về độ dài 1 (bằng `normalise` của
# bạn), so từng bức tranh với từng câu, chia cho nhiệt độ (temperature), rồi cho mỗi bức tranh chọn trong các câu và mỗi câu
# chọn trong các bức tranh. Kết quả là trung bình của hai cross-entropy.
#
# `logit_scale` là logarit của 1 / nhiệt độ, được học. Nó bị chặn trên ở ln 100: dù lớn đến đâu, nhiệt độ không bao giờ xuống
# dưới 0.01. Chỉ đầu đó bị chặn: nhiệt độ lớn hơn 1 được dùng nguyên như vậy.
#
# Trên giấy: tranh (3, 0) và (0, 5), câu (1, 0) và (0, 1), nhiệt độ 0.5: trong mỗi hàng các logit là 2 và 0, và hàm
# mất mát bằng ln(1 + e⁻²) = 0.127.
#
# Bên dưới, sáu câu đã lạc mất tranh của mình. Chỉ hàm mất mát của bạn đưa chúng về: hai bức tranh đổi chỗ mỗi khi việc đó làm
# nó nhỏ đi.

# %% [markdown] lang="en" role="hints"
# Write the 2 x 2 matrix of the example on paper. Which entry is right in row 0? In column 1?
# ---
# Rows of the matrix (B, B) are pictures that choose among sentences. The right choice of row i is i. For the sentences, take
# the columns: transpose.
# ---
# `F.cross_entropy(logits, labels)` and `F.cross_entropy(logits.T, labels)`, with `labels = torch.arange(B, device=...)`. The
# factor of the similarities is `logit_scale.clamp(max=math.log(100)).exp()`.
# %% [markdown] lang="vi" of="4be4c6d5"
# Hãy viết ra giấy ma trận 2 x 2 của ví dụ. Ở hàng 0, phần tử nào là đúng? Ở cột 1 thì sao?
# ---
# Mỗi hàng của ma trận (B, B) là một bức tranh đang chọn trong các câu. Lựa chọn đúng của hàng i là i. Với các câu, hãy lấy các
# cột: chuyển vị.
# ---
# `F.cross_entropy(logits, labels)` và `F.cross_entropy(logits.T, labels)`, với `labels = torch.arange(B, device=...)`. Hệ số
# nhân vào các độ giống nhau là `logit_scale.clamp(max=math.log(100)).exp()`.

# %% [markdown] lang="en" role="stub"
# Symmetric InfoNCE: images and texts (B, P) of any length, float32 or float64,
# logit_scale a tensor (), log(1 / temperature), to the loss, a tensor (). All on
# one device, which need not be the CPU.
# ---
# 1. 1 / temperature, at most 100                           # ()
# 2. similarities of unit vectors, divided by temperature   # (B, B)
# 3. the right choice of each row, on the images' device    # (B,)
# 4. cross-entropy of the rows, and of the columns
# 5. their mean                                             # ()
# %% [markdown] lang="vi" of="dee33f4c"
# InfoNCE đối xứng: images và texts (B, P) có độ dài bất kỳ, float32 hoặc float64,
# logit_scale là tensor (), log(1 / nhiệt độ), cho ra hàm mất mát, một tensor ().
# Tất cả nằm trên cùng một thiết bị, không nhất thiết là CPU.
# ---
# 1. 1 / nhiệt độ, nhiều nhất là 100                        # ()
# 2. độ giống nhau của các vector đơn vị, chia nhiệt độ     # (B, B)
# 3. lựa chọn đúng của mỗi hàng, cùng thiết bị với images   # (B,)
# 4. cross-entropy của các hàng, và của các cột
# 5. trung bình của hai số đó                               # ()

# %% role="solution"
def clip_loss(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    scale = logit_scale.clamp(max=math.log(100)).exp()          # ()
    logits = scale * normalise(images) @ normalise(texts).T     # (B, B)
    labels = torch.arange(len(logits), device=logits.device)    # (B,)
    rows = F.cross_entropy(logits, labels)
    columns = F.cross_entropy(logits.T, labels)
    return (rows + columns) / 2                                 # ()

# %% [markdown] lang="en" role="checks"
# - one number, and 0 for a single pair
# - two pairs that can be checked on paper
# - four pairs at temperature 0.07
# - a temperature above 1
# - a logit_scale above ln 100
# - float32 and logits near 100, where exponentials overflow
# - gradients of images, texts and logit_scale
# - labels on the device of the images
# %% [markdown] lang="vi" of="b5a7ae00"
# - một số duy nhất, và bằng 0 khi chỉ có một cặp
# - hai cặp có thể tính tay
# - bốn cặp ở nhiệt độ 0.07
# - nhiệt độ lớn hơn 1
# - logit_scale lớn hơn ln 100
# - float32 và logit gần 100, nơi hàm mũ bị tràn số
# - gradient theo images, texts và logit_scale
# - nhãn nằm trên cùng thiết bị với images

# %% role="probes"
import math

import torch
from torch.distributions import Distribution


def normal(*shape, seed):
    """The same float64 numbers in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


LENGTHS = torch.tensor([[0.5], [2.0], [5.0], [1.0]])
IMAGES, TEXTS = normal(4, 3, seed=7) * LENGTHS, normal(4, 3, seed=8) / LENGTHS
PAPER = {"images": torch.tensor([[3.0, 0.0], [0.0, 5.0]]), "texts": torch.eye(2), "logit_scale": torch.tensor(2.0).log()}
STEEP = {"images": torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),        # the second sentence is nearer to both
         "texts": torch.tensor([[-1.0, 0.1, 0.2], [1.0, 0.1, 0.0]]), "logit_scale": torch.tensor(100.0).log()}


def value(f, images, texts, logit_scale):
    return float(torch.as_tensor(f(images, texts, logit_scale)).detach())


def finite(f, **inputs):
    loss = value(f, **inputs)
    if not math.isfinite(loss):
        raise OverflowError(f"The loss is {loss}.")
    return loss


def one_number(f, images, texts, logit_scale):
    return [list(f(images, texts, logit_scale).shape), value(f, images[:1], texts[:1], logit_scale)]


def gradients(f, **inputs):
    leaves = [each.clone().requires_grad_() for each in inputs.values()]
    return list(torch.autograd.grad(f(*leaves), leaves, allow_unused=True))


def device(f, images, texts, logit_scale):
    """Tensors without data stand for those of a GPU. Where an answer asks for the value of logit_scale, that stays."""
    there = images.to("meta"), texts.to("meta")
    checked = Distribution._validate_args
    Distribution.set_default_validate_args(False)                           # it looks at the data
    try:
        return str(f(*there, logit_scale.to("meta")).device)
    except (RuntimeError, NotImplementedError):
        return str(f(*there, logit_scale).device)
    finally:
        Distribution.set_default_validate_args(checked)


PAIRS = {"images": IMAGES, "texts": TEXTS}
probe(one_number, **PAIRS, logit_scale=number(1.5))
probe(value, rtol=1e-4, **PAPER)
probe(value, points=2, rtol=1e-4, **PAIRS, logit_scale=number(math.log(1 / 0.07)))
probe(value, rtol=1e-4, **PAIRS, logit_scale=number(-0.7))
probe(value, rtol=1e-4, **PAIRS, logit_scale=number(6.0))
probe(finite, rtol=1e-4, **STEEP)
probe(gradients, points=2, rtol=1e-4, atol=1e-5, **PAIRS, logit_scale=number(1.2))
probe(device, **PAIRS, logit_scale=number(1.2))

# %% [markdown] lang="en" role="mistake" name="rows_alone"
# Only the pictures choose: every row is a choice among sentences, and the columns never are. Then a sentence that fits all
# pictures costs too little. Take the cross-entropy of the transposed logits too, and the mean of both.
# %% [markdown] lang="vi" of="f0a6abc0"
# Chỉ có tranh được chọn: mỗi hàng là một lần chọn trong các câu, còn các cột thì không hề. Khi đó một câu hợp với mọi bức tranh
# bị phạt quá ít. Hãy tính thêm cross-entropy của logit chuyển vị, rồi lấy trung bình của hai số.
# %% role="wrong" name="rows_alone"
patch("(rows + columns) / 2", "rows")

# %% [markdown] lang="en" role="mistake" name="columns_alone"
# Only the sentences choose among the pictures. The pictures, the rows, must choose among the sentences as well; the loss is the
# mean of both.
# %% [markdown] lang="vi" of="84ba7b91"
# Chỉ có các câu được chọn trong các bức tranh. Các bức tranh, tức các hàng, cũng phải chọn trong các câu; hàm mất mát là trung
# bình của cả hai.
# %% role="wrong" name="columns_alone"
patch("(rows + columns) / 2", "columns")

# %% [markdown] lang="en" role="mistake" name="added"
# The two directions were added, and the loss is twice as large as it should be. Take their mean.
# %% [markdown] lang="vi" of="0799aeda"
# Hai chiều đã được cộng lại nên hàm mất mát lớn gấp đôi. Hãy lấy trung bình của chúng.
# %% role="wrong" name="added"
patch("(rows + columns) / 2", "rows + columns")

# %% [markdown] lang="en" role="mistake" name="summed_over_pairs"
# The cross-entropies are sums over the batch. Take means over it, or a batch twice as large makes steps twice as large.
# %% [markdown] lang="vi" of="70696268"
# Các cross-entropy đang là tổng trên cả lô. Hãy lấy trung bình, nếu không thì lô lớn gấp đôi sẽ làm bước học lớn gấp đôi.
# %% role="wrong" name="summed_over_pairs"
patch("(rows + columns) / 2", "(rows + columns) / 2 * len(images)")

# %% [markdown] lang="en" role="mistake" name="not_normalised"
# The vectors go in as long as they are. The dot product then grows with their lengths: one long vector wins every row, and
# making vectors longer is the easiest way to lower the loss. Call `normalise` on both.
# %% [markdown] lang="vi" of="c36ef95d"
# Các vector được dùng với độ dài nguyên gốc. Khi đó tích vô hướng lớn theo độ dài: một vector dài thắng ở mọi hàng, và cách dễ
# nhất để giảm hàm mất mát là kéo dài các vector. Hãy gọi `normalise` cho cả hai.
# %% role="wrong" name="not_normalised"
patch("normalise(images) @ normalise(texts).T", "images @ texts.T")

# %% [markdown] lang="en" role="mistake" name="images_left_long"
# The texts are unit vectors, the images are not. A long image vector acts like a lower temperature of its own.
# %% [markdown] lang="vi" of="32cecfc0"
# Vector của các câu đã có độ dài 1, còn vector của tranh thì chưa. Vector tranh dài hoạt động như thể có nhiệt độ riêng thấp
# hơn.
# %% role="wrong" name="images_left_long"
patch("normalise(images)", "images")

# %% [markdown] lang="en" role="mistake" name="texts_left_long"
# The images are unit vectors, the texts are not: a long sentence vector attracts every picture. Normalise both.
# %% [markdown] lang="vi" of="21125ee6"
# Vector của tranh đã có độ dài 1, còn vector của câu thì chưa: một vector câu dài sẽ hút mọi bức tranh. Hãy chuẩn hóa cả hai.
# %% role="wrong" name="texts_left_long"
patch("normalise(texts)", "texts")

# %% [markdown] lang="en" role="mistake" name="along_the_batch"
# The vectors were normalised along the batch, axis 0, so that each feature has length 1 and a pair's vector depends on the
# other pairs. Each row needs length 1: axis -1.
# %% [markdown] lang="vi" of="a5763f54"
# Các vector đã được chuẩn hóa dọc theo lô, trục 0, nên mỗi đặc trưng có độ dài 1 và vector của một cặp phụ thuộc vào các cặp
# khác. Mỗi hàng mới cần độ dài 1: trục -1.
# %% role="wrong" name="along_the_batch"
patch("normalise(images) @ normalise(texts).T", "F.normalize(images, dim=0) @ F.normalize(texts, dim=0).T")

# %% [markdown] lang="en" role="mistake" name="no_temperature"
# The temperature is not used. Cosines lie between -1 and 1, and a softmax of such small numbers can hardly prefer anything:
# multiply them by exp(logit_scale).
# %% [markdown] lang="vi" of="365cfdf5"
# Nhiệt độ không được dùng. Cosin nằm trong khoảng -1 đến 1, và softmax của những số nhỏ như thế hầu như không thể ưu tiên thứ
# gì: hãy nhân chúng với exp(logit_scale).
# %% role="wrong" name="no_temperature"
patch("scale * normalise(images)", "normalise(images)")

# %% [markdown] lang="en" role="mistake" name="logarithm"
# The similarities were multiplied by logit_scale itself. It is a logarithm: take its exponential, or temperature 0.07 gives a
# factor of 2.7 in place of 14.
# %% [markdown] lang="vi" of="4c34f1a9"
# Các độ giống nhau đã được nhân với chính logit_scale. Đó là một logarit: hãy lấy hàm mũ của nó, nếu không thì nhiệt độ 0.07
# cho hệ số 2.7 thay vì 14.
# %% role="wrong" name="logarithm"
patch("clamp(max=math.log(100)).exp()", "clamp(max=math.log(100))")

# %% [markdown] lang="en" role="mistake" name="divided_by_scale"
# The similarities were divided by exp(logit_scale). That number is 1 / temperature already: dividing by a temperature of 0.07
# is multiplying by 14.
# %% [markdown] lang="vi" of="bc36008c"
# Các độ giống nhau đã bị chia cho exp(logit_scale). Số đó vốn đã là 1 / nhiệt độ: chia cho nhiệt độ 0.07 tức là nhân với 14.
# %% role="wrong" name="divided_by_scale"
patch("scale * normalise(images) @ normalise(texts).T", "normalise(images) @ normalise(texts).T / scale")

# %% [markdown] lang="en" role="mistake" name="temperature_twice"
# The temperature was applied twice, so that 0.07 acts like 0.005: the softmax sees only its largest entry, and a wrong one
# costs a great deal. Multiply once.
# %% [markdown] lang="vi" of="5bcc1372"
# Nhiệt độ được áp dụng hai lần, nên 0.07 có tác dụng như 0.005: softmax chỉ còn thấy phần tử lớn nhất, và chọn sai thì bị phạt
# rất nặng. Chỉ nhân một lần.
# %% role="wrong" name="temperature_twice"
patch("scale * normalise(images)", "scale * scale * normalise(images)")

# %% [markdown] lang="en" role="mistake" name="not_held"
# logit_scale is not held at ln 100. Clamp it at math.log(100) before `exp`, or the factor at 100 after it; 100 before it is far
# too high.
# %% [markdown] lang="vi" of="92147f9c"
# logit_scale chưa bị chặn ở ln 100. Hãy chặn nó ở math.log(100) trước khi lấy `exp`, hoặc chặn hệ số ở 100 sau đó; còn chặn ở
# 100 trước khi lấy `exp` thì quá cao.
# %% role="wrong" name="not_held"
patch("logit_scale.clamp(max=math.log(100)).exp()", "logit_scale.exp()")

# %% [markdown] lang="en" role="mistake" name="fixed_temperature"
# The temperature is 0.07 whatever logit_scale says. 0.07 is where CLIP starts; after that it is learnt, and arrives here as
# `logit_scale`.
# %% [markdown] lang="vi" of="cb4a8da5"
# Nhiệt độ luôn là 0.07, bất kể logit_scale. 0.07 chỉ là giá trị ban đầu của CLIP; sau đó nó được học, và đến đây qua
# `logit_scale`.
# %% role="wrong" name="fixed_temperature"
patch("logit_scale.clamp(max=math.log(100)).exp()", "1 / 0.07")

# %% [markdown] lang="en" role="mistake" name="temperature_not_learnt"
# The numbers are right, but logit_scale gets no gradient and can't be learnt: `item`, `float` or `detach` took it out of the
# graph. Stay with tensors.
# %% [markdown] lang="vi" of="7c327eab"
# Các con số đúng, nhưng logit_scale không nhận được gradient nên không học được: `item`, `float` hoặc `detach` đã đưa nó ra
# khỏi đồ thị tính toán. Hãy giữ nguyên nó là tensor.
# %% role="wrong" name="temperature_not_learnt"
patch("logit_scale.clamp", "logit_scale.detach().clamp")

# %% [markdown] lang="en" role="mistake" name="no_gradient"
# The numbers are right, but nothing can learn from them: the loss was computed without gradients.
# %% [markdown] lang="vi" of="f0890ba2"
# Các con số đúng, nhưng không gì học được từ chúng: hàm mất mát đã được tính mà không kèm gradient.
# %% role="wrong" name="no_gradient"
patch("(rows + columns) / 2", "((rows + columns) / 2).detach()")

# %% [markdown] lang="en" role="mistake" name="softmax_first"
# `F.cross_entropy` takes logits and makes the softmax itself. Here it was given probabilities, which it squeezed once more:
# even a perfect batch keeps a large loss.
# %% [markdown] lang="vi" of="91680ca7"
# `F.cross_entropy` nhận logit và tự tính softmax. Ở đây nó nhận xác suất nên lại tính softmax thêm lần nữa: ngay cả lô hoàn hảo
# cũng có hàm mất mát lớn.
# %% role="wrong" name="softmax_first"
patch("F.cross_entropy(logits, labels)", "F.cross_entropy(logits.softmax(dim=1), labels)")
patch("F.cross_entropy(logits.T, labels)", "F.cross_entropy(logits.T.softmax(dim=1), labels)")

# %% [markdown] lang="en" role="mistake" name="no_rivals"
# Only the pairs that belong together count, as if there were no others. Then the best answer is the same vector for everything.
# The contrast with the other B - 1 is the point: cross-entropy over each row and column.
# %% [markdown] lang="vi" of="763485da"
# Chỉ các cặp thuộc về nhau được tính, như thể không có cặp nào khác. Khi đó lời giải tốt nhất là một vector giống hệt cho mọi
# thứ. Sự tương phản với B - 1 cặp còn lại mới là điều cốt yếu: hãy tính cross-entropy trên mỗi hàng và mỗi cột.
# %% role="wrong" name="no_rivals"
patch("(rows + columns) / 2", "-logits.diagonal().mean()")

# %% [markdown] lang="en" role="mistake" name="own_left_out"
# The right pair was left out of the sum over rivals in the denominator. It belongs in there: a softmax is a share of all B, and
# a single pair must cost 0.
# %% [markdown] lang="vi" of="753fc704"
# Cặp đúng đã bị bỏ khỏi tổng ở mẫu số. Nó phải có trong đó: softmax là tỉ lệ trên tất cả B phần tử, và khi chỉ có một cặp thì
# kết quả phải bằng 0.
# %% role="wrong" name="own_left_out"
def clip_loss(images, texts, logit_scale):
    scale = logit_scale.clamp(max=math.log(100)).exp()
    logits = scale * normalise(images) @ normalise(texts).T
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    rivals = logits.masked_fill(own, -torch.inf)
    rest = (rivals.logsumexp(dim=0) + rivals.logsumexp(dim=1)) / 2
    return (rest - logits.diagonal()).mean()

# %% [markdown] lang="en" role="mistake" name="each_for_itself"
# Every entry of the matrix was judged by itself, yes or no, with a sigmoid. That is the loss of SigLIP. CLIP's is a choice
# among B: a softmax along rows and along columns.
# %% [markdown] lang="vi" of="7fdaa4fa"
# Từng phần tử của ma trận được xét riêng, có hoặc không, bằng sigmoid. Đó là hàm mất mát của SigLIP. Của CLIP là chọn một trong
# B: softmax dọc theo hàng và dọc theo cột.
# %% role="wrong" name="each_for_itself"
def clip_loss(images, texts, logit_scale):
    scale = logit_scale.clamp(max=math.log(100)).exp()
    logits = scale * normalise(images) @ normalise(texts).T
    return F.binary_cross_entropy_with_logits(logits, torch.eye(len(logits)).to(logits))

# %% [markdown] lang="en" role="mistake" name="one_softmax"
# One softmax was taken over all B x B entries, as if one of them were right. Each row has a right answer of its own, and so has
# each column.
# %% [markdown] lang="vi" of="3d310ab7"
# Chỉ một softmax được tính trên cả B x B phần tử, như thể chỉ một phần tử là đúng. Mỗi hàng có đáp án riêng, mỗi cột cũng vậy.
# %% role="wrong" name="one_softmax"
patch("(rows + columns) / 2", "logits.logsumexp(dim=(0, 1)) - logits.diagonal().mean()")

# %% [markdown] lang="en" role="mistake" name="labels_zero"
# All labels are 0: every picture is told that the first sentence is its own. The right choice of row i is i.
# %% [markdown] lang="vi" of="1ae53c84"
# Mọi nhãn đều bằng 0: bức tranh nào cũng được bảo rằng câu đầu tiên là của mình. Lựa chọn đúng của hàng i là i.
# %% role="wrong" name="labels_zero"
patch("torch.arange(len(logits), device=logits.device)", "torch.zeros(len(logits), dtype=torch.long, device=logits.device)")

# %% [markdown] lang="en" role="mistake" name="labels_on_the_cpu"
# It works on a CPU alone. The labels are made there, and on a GPU the logits are elsewhere: make the labels with
# `device=logits.device`.
# %% [markdown] lang="vi" of="9d5ab707"
# Hàm chỉ chạy được trên CPU. Các nhãn được tạo ở đó, còn khi dùng GPU thì các logit nằm nơi khác: hãy tạo nhãn với
# `device=logits.device`.
# %% role="wrong" name="labels_on_the_cpu"
patch("torch.arange(len(logits), device=logits.device)", "torch.arange(len(logits))")

# %% [markdown] lang="en" role="mistake" name="sign"
# The sign is wrong: this grows when the pairs fit better.
# %% [markdown] lang="vi" of="7bec5763"
# Sai dấu: giá trị này tăng lên khi các cặp khớp nhau hơn.
# %% role="wrong" name="sign"
patch("(rows + columns) / 2", "-(rows + columns) / 2")

# %% [markdown] lang="en" role="mistake" name="per_pair"
# A number for each pair came back. The loss of a batch is one number, their mean.
# %% [markdown] lang="vi" of="82e395cc"
# Hàm trả về một số cho mỗi cặp. Hàm mất mát của cả lô chỉ là một số, trung bình của chúng.
# %% role="wrong" name="per_pair"
patch("F.cross_entropy(logits, labels)", 'F.cross_entropy(logits, labels, reduction="none")')
patch("F.cross_entropy(logits.T, labels)", 'F.cross_entropy(logits.T, labels, reduction="none")')

# %% [markdown] lang="en" role="mistake" name="held_at_both_ends"
# logit_scale was also kept from falling below 0, so a temperature above 1 counts as 1. It is held at ln 100 alone; nothing
# limits it on the other side.
# %% [markdown] lang="vi" of="5aa3a404"
# logit_scale còn bị chặn không cho xuống dưới 0, nên nhiệt độ lớn hơn 1 bị coi là 1. Nó chỉ bị chặn trên ở ln 100; phía kia
# không có giới hạn.
# %% role="wrong" name="held_at_both_ends"
patch("clamp(max=math.log(100))", "clamp(0, math.log(100))")

# %% [markdown] lang="en" role="mistake" name="logarithm_last"
# Exponentials were computed first, and the logarithm after them. In float32, at a scale of 100, some of them overflow or
# vanish, and the loss is infinite. `F.cross_entropy`, `log_softmax` and `logsumexp` do both in one step, and safely.
# %% [markdown] lang="vi" of="76328978"
# Hàm mũ được tính trước, logarit tính sau. Trong float32, với hệ số 100, có số bị tràn hoặc biến thành 0, và hàm mất mát thành
# vô cùng. `F.cross_entropy`, `log_softmax` và `logsumexp` gộp hai việc làm một nên an toàn.
# %% role="wrong" name="logarithm_last"
patch("(rows + columns) / 2", "-(logits.softmax(1).diagonal().log() + logits.softmax(0).diagonal().log()).mean() / 2")

# %% [markdown] lang="en" role="mistake" name="plain_number"
# A Python number came back, and no gradient leads from it to the towers: `item` or `float` took the loss out of the graph.
# Return the tensor ().
# %% [markdown] lang="vi" of="984bcc07"
# Hàm trả về một số Python: `item` hoặc `float` đã đưa hàm mất mát ra khỏi đồ thị tính toán, nên gradient không về được đến các
# tháp. Hãy trả về tensor ().
# %% role="wrong" name="plain_number"
patch("(rows + columns) / 2", "((rows + columns) / 2).item()")

# %% role="library"
import torch.nn.functional as F

from minidiff.models import clip


def clip_loss(images, texts, logit_scale):
    """In float32, on unit vectors."""
    return clip.clip_loss(F.normalize(images, dim=-1), F.normalize(texts, dim=-1), logit_scale)

# %% role="payoff"
words = embed_texts(english)                                    # (6, P)
images = embed_images(rendered(scenes, 64))                     # (6, P)


def put_right(clip_loss: Callable) -> tuple[list[int], list[float]]:
    """Which picture each sentence gets, and the loss after every exchange."""
    order, losses = [3, 0, 5, 1, 2, 4], []
    losses.append(float(clip_loss(images[order], words, clip.logit_scale)))
    for i, j in 3 * list(combinations(range(6), 2)):
        swapped = order.copy()
        swapped[i], swapped[j] = order[j], order[i]
        loss = float(clip_loss(images[swapped], words, clip.logit_scale))
        if loss < losses[-1]:
            order, losses = swapped, [*losses, loss]
    return order, losses


def draw(clip_loss: Callable) -> Tensor:
    order, losses = put_right(clip_loss)
    return torch.cat([pictures[order], bars(losses)])           # (7, 3, 128, 128)


scales = torch.linspace(0, 6, 25)                               # ln 100 is 4.6
mixed = images.roll(1, dims=0)
lines({name: (scales, [float(clip_loss(v, words, s)) for s in scales])
       for name, v in (("pairs", images), ("mixed up", mixed))},
      title="your loss", x="logit_scale")
print(*(f"{k}. {sentence}" for k, sentence in enumerate(english, 1)), sep="\n")
payoff(draw, clip_loss)
