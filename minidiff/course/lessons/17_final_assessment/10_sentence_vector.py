"""Exercise 17.10, sentence_vector: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("sentence_vector", "pooled", "text_vector")

# %% [markdown] lang="en" role="task" difficulty="3" minutes="5"
# ## Part 3, words: one vector for a sentence
#
# tokens (B, L, D) are a text tower's vectors, weights (B, L) say how much each word counts: 0 is padding, 2 is a word that is
# meant twice as much. Take the weighted mean of a sentence's vectors and give it length 1, so that a product of two of them is
# a cosine. Where a weight is 0, anything may stand in `tokens`, even nan. A sentence whose weights are all 0 gets zeros. The tower
# learns from this vector: gradients have to pass.
# %% [markdown] lang="vi" of="d5525634"
# ## Phần 3, lời: một vector cho một câu
#
# tokens (B, L, D) là các vector do tháp văn bản cho ra, weights (B, L) nói mỗi từ được tính bao nhiêu: 0 là phần đệm, 2 là từ
# được nhấn gấp đôi. Hãy lấy trung bình có trọng số của các vector trong câu rồi đưa về độ dài 1, để tích của hai vector như vậy
# là cosin. Nơi trọng số bằng 0, trong `tokens` có thể là bất cứ thứ gì, kể cả nan. Câu có mọi trọng số bằng 0 nhận toàn số 0.
# Tháp văn bản học từ vector này: gradient phải đi qua được.

# %% [markdown] lang="en" role="hints"
# 0 times nan is nan: multiplying doesn't hide it.
# ---
# `torch.where(weights[..., None] > 0, tokens, 0)`.
# ---
# Neither division may meet a 0: `clamp(min=1e-12)`.
# %% [markdown] lang="vi" of="6e30178c"
# 0 nhân nan là nan: phép nhân không che được nó.
# ---
# `torch.where(weights[..., None] > 0, tokens, 0)`.
# ---
# Không phép chia nào được gặp số 0: `clamp(min=1e-12)`.

# %% [markdown] lang="en" role="stub"
# tokens (B, L, D), weights (B, L) >= 0, to unit vectors (B, D) of tokens'
# dtype.
# ---
# 1. what stands where the weight is 0 must not count
# 2. the weighted mean of each sentence                       # (B, D)
# 3. length 1; zeros for a sentence without words             # (B, D)
# %% [markdown] lang="vi" of="052812c0"
# tokens (B, L, D), weights (B, L) >= 0, thành vector đơn vị (B, D) cùng kiểu số
# với tokens.
# ---
# 1. thứ đứng ở nơi trọng số bằng 0 không được tính
# 2. trung bình có trọng số của mỗi câu                       # (B, D)
# 3. độ dài 1; toàn số 0 cho câu không có từ nào              # (B, D)

# %% role="solution"
def sentence_vector(tokens: Tensor, weights: Tensor) -> Tensor:
    share = weights.to(tokens.dtype)[..., None]                 # (B, L, 1)
    shown = torch.where(share > 0, tokens, 0)                   # (B, L, D)
    total = share.sum(1).clamp(min=1e-12)                       # (B, 1)
    mean = (share * shown).sum(1) / total                       # (B, D)
    return mean / mean.norm(dim=1, keepdim=True).clamp(min=1e-12)

# %% [markdown] lang="en" role="checks"
# - shape and dtype
# - words that all count alike
# - words of several weights, and the gradient
# - nan in the padding
# - a sentence without words
# %% [markdown] lang="vi" of="c0e05676"
# - kích thước và kiểu số
# - các từ được tính như nhau
# - các từ có trọng số khác nhau, và gradient
# - nan trong phần đệm
# - một câu không có từ nào

# %% role="probes"
import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TOKENS = normal(3, 5, 4, seed=1)
WORDS = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).double()
EMPHASIS = torch.tensor([[0.5, 2, 1, 1, 3], [1, 4, 1, 0, 0], [2, 0, 0, 1, 0]]).double()


def slope(f, tokens, weights):
    """The gradient at the tokens."""
    tokens = tokens.clone().requires_grad_()
    made = f(tokens, weights)[:, 0].sum()
    return torch.autograd.grad(made, tokens)[0] if made.requires_grad else None


HOLES = torch.where(WORDS[..., None] > 0, TOKENS, torch.nan)

probe(lambda f, tokens, weights: [list(f(tokens, weights).shape), str(f(tokens.float(), weights.float()).dtype)],
      tokens=TOKENS, weights=WORDS)
probe(lambda f, tokens, weights: f(tokens, weights), tokens=TOKENS, weights=WORDS)
probe(lambda f, tokens, weights: [f(tokens, weights), slope(f, tokens, weights)], tokens=TOKENS, weights=EMPHASIS)
probe(lambda f, tokens, weights: f(tokens, weights), tokens=HOLES, weights=WORDS)
probe(lambda f, tokens, weights: f(tokens, weights), tokens=TOKENS, weights=WORDS * torch.tensor([1.0, 0, 1])[:, None])

# %% [markdown] lang="en" role="mistake" name="no_length_1"
# The vectors don't have length 1, so their products are no cosines: divide by the L2 norm.
# %% [markdown] lang="vi" of="c0e91344"
# Các vector không có độ dài 1, nên tích của chúng không phải cosin: hãy chia cho chuẩn L2.
# %% role="wrong" name="no_length_1"
patch("mean / mean.norm(dim=1, keepdim=True).clamp(min=1e-12)", "mean")

# %% [markdown] lang="en" role="mistake" name="padding_counts"
# The weights make no difference: padding counts as if it were words.
# %% [markdown] lang="vi" of="8ca4b570"
# Trọng số không có tác dụng: phần đệm được tính như thể là từ.
# %% role="wrong" name="padding_counts"
patch("(share * shown).sum(1) / total", "tokens.mean(1)")

# %% [markdown] lang="en" role="mistake" name="nan_times_0"
# nan in the padding spreads: 0 times nan is nan. Choose with `torch.where` in place of multiplying.
# %% [markdown] lang="vi" of="49652642"
# nan trong phần đệm lan ra: 0 nhân nan là nan. Hãy chọn bằng `torch.where` thay vì nhân.
# %% role="wrong" name="nan_times_0"
patch("torch.where(share > 0, tokens, 0) ", "tokens ")

# %% [markdown] lang="en" role="mistake" name="divided_by_0"
# A sentence without words becomes nan: something is divided by 0. Clamp what you divide by.
# %% [markdown] lang="vi" of="2ea3d1de"
# Câu không có từ nào thành nan: có gì đó bị chia cho 0. Hãy chặn dưới số chia.
# %% role="wrong" name="divided_by_0"
patch("keepdim=True).clamp(min=1e-12)", "keepdim=True)")

# %% [markdown] lang="en" role="mistake" name="all_or_nothing"
# A word counts fully or not at all. The weights say how much: 2 is twice as much as 1.
# %% [markdown] lang="vi" of="27b7d0f1"
# Một từ hoặc được tính trọn, hoặc không. Trọng số nói được tính bao nhiêu: 2 là gấp đôi 1.
# %% role="wrong" name="all_or_nothing"
patch("weights.to(tokens.dtype)", "(weights > 0).to(tokens.dtype)")

# %% [markdown] lang="en" role="mistake" name="largest_1"
# The largest number of each vector was made 1. Length 1 means that the squares add up to 1.
# %% [markdown] lang="vi" of="577061df"
# Số lớn nhất của mỗi vector được đưa về 1. Độ dài 1 nghĩa là tổng các bình phương bằng 1.
# %% role="wrong" name="largest_1"
patch("mean.norm(dim=1, keepdim=True)", "mean.abs().amax(dim=1, keepdim=True)")

# %% [markdown] lang="en" role="mistake" name="l1"
# The absolute values add up to 1. The L2 norm wants their squares to.
# %% [markdown] lang="vi" of="d0c1358f"
# Tổng các giá trị tuyệt đối bằng 1. Chuẩn L2 cần tổng bình phương bằng 1.
# %% role="wrong" name="l1"
patch("mean.norm(dim=1, keepdim=True)", "mean.norm(p=1, dim=1, keepdim=True)")

# %% [markdown] lang="en" role="mistake" name="over_the_batch"
# The norm runs over the sentences. Each sentence has its own length: the last axis.
# %% [markdown] lang="vi" of="64b6379e"
# Chuẩn được tính theo các câu. Mỗi câu có độ dài riêng: trục cuối.
# %% role="wrong" name="over_the_batch"
patch("norm(dim=1,", "norm(dim=0,")

# %% [markdown] lang="en" role="mistake" name="normed_first"
# Each word was given length 1 before the mean. Mean first: a word's length says how much it has to say.
# %% [markdown] lang="vi" of="95d9000a"
# Mỗi từ được đưa về độ dài 1 trước khi lấy trung bình. Hãy lấy trung bình trước: độ dài của một từ cho biết nó nói được nhiều
# hay ít.
# %% role="wrong" name="normed_first"
patch("(share * shown)", "(share * F.normalize(shown, dim=2))")

# %% [markdown] lang="en" role="mistake" name="cut_off"
# No gradient reaches the text tower: this vector can't teach it. Look for detach, item or no_grad.
# %% [markdown] lang="vi" of="a3068c1b"
# Không gradient nào đến được tháp văn bản: vector này không dạy được nó. Hãy tìm detach, item hoặc no_grad.
# %% role="wrong" name="cut_off"
patch("torch.where(share > 0, tokens, 0) ", "torch.where(share > 0, tokens, 0).detach() ")

# %% role="library"
import torch
import torch.nn.functional as F


def sentence_vector(tokens, weights):
    return F.normalize(torch.einsum("bld,bl->bd", tokens.masked_fill(weights[..., None] == 0, 0), weights.to(tokens)), dim=-1)
