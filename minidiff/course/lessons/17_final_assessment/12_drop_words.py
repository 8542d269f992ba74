"""Exercise 17.12, drop_words: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("drop_words", "drop_captions", "forget_words")
vary(("lots < drop", "lots <= drop", "is below `drop`", "nhỏ hơn `drop`"),
     ("lots >= 1 - drop", "lots > 1 - drop", "is at least 1 - `drop`", "ít nhất bằng 1 - `drop`"))

# %% [markdown] lang="en" role="task" difficulty="3" minutes="4"
# ## Part 3, words: some sentences are forgotten
#
# For guidance the network must learn to draw without words, too. Each row of `words` (B, L, D) has a random number from 0 to 1
# in `lots`; where it is below `drop`, the row becomes the empty sentence: its E vectors `empty` (E, D), E at most L, then zeros
# up to L; and its bias is 0 for these E and `HIDDEN` behind them. Other rows stay as they are. Gradients have to pass.
# %% [markdown] lang="vi" of="ce2faab8"
# ## Phần 3, lời: một số câu bị quên
#
# Để có dẫn hướng, mạng cũng phải học vẽ khi không có lời. Mỗi hàng của `words` (B, L, D) có một số ngẫu nhiên từ 0 đến 1 trong
# `lots`; nếu số ấy nhỏ hơn `drop` thì hàng trở thành câu rỗng: E vector `empty` (E, D) của nó, E không quá L, rồi toàn số 0
# cho đủ L; còn bias của nó bằng 0 ở E chỗ này và bằng `HIDDEN` ở phía sau. Các hàng khác giữ nguyên. Gradient phải đi qua được.

# %% [markdown] lang="en" role="hints"
# Make the empty row and its bias once, as long as the others.
# ---
# `F.pad(empty, (0, 0, 0, L - E))` adds rows of zeros.
# ---
# `torch.where` with the choice shaped (B, 1, 1) for words and (B, 1, 1, 1) for the bias.
# %% [markdown] lang="vi" of="5727d6a0"
# Hãy tạo hàng rỗng và bias của nó một lần, dài bằng các hàng khác.
# ---
# `F.pad(empty, (0, 0, 0, L - E))` thêm các hàng số 0.
# ---
# `torch.where` với lựa chọn có kích thước (B, 1, 1) cho các từ và (B, 1, 1, 1) cho bias.

# %% [markdown] lang="en" role="stub"
# words (B, L, D), bias (B, 1, 1, L), empty (E, D), lots (B,) in 0..1. Returns
# words and bias, with the empty sentence in the rows that are dropped.
# ---
# 1. which rows                                               # (B,)
# 2. the empty sentence, as long as the others                # (L, D)
# 3. its bias                                                 # (L,)
# 4. choose row by row
# %% [markdown] lang="vi" of="e9880394"
# words (B, L, D), bias (B, 1, 1, L), empty (E, D), lots (B,) trong 0..1. Trả về
# words và bias, trong đó các hàng bị bỏ mang câu rỗng.
# ---
# 1. những hàng nào                                           # (B,)
# 2. câu rỗng, dài bằng các câu khác                          # (L, D)
# 3. bias của nó                                              # (L,)
# 4. chọn theo từng hàng

# %% role="solution"
def drop_words(
    words: Tensor, bias: Tensor, empty: Tensor, lots: Tensor, drop: float
) -> tuple[Tensor, Tensor]:
    dropped, L, E = lots < drop, words.shape[1], len(empty)     # (B,)
    nothing = F.pad(empty, (0, 0, 0, L - E))                    # (L, D)
    hidden = torch.where(torch.arange(L) < E, 0.0, HIDDEN).to(bias)     # (L,)
    words = torch.where(dropped[:, None, None], nothing, words)
    return words, torch.where(dropped[:, None, None, None], hidden, bias)

# %% [markdown] lang="en" role="checks"
# - shapes
# - the words, some rows dropped
# - their bias
# - an empty sentence as long as the others, and lots on the edge
# - nothing dropped, and everything; the gradient
# %% [markdown] lang="vi" of="1c87d67e"
# - kích thước
# - các từ, khi vài hàng bị bỏ
# - bias của chúng
# - câu rỗng dài bằng các câu khác, và số ngẫu nhiên đúng ở ngưỡng
# - không bỏ gì, và bỏ tất cả; gradient

# %% role="probes"
import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


WORDS, LOTS = normal(4, 5, 3, seed=1), torch.tensor([0.6, 0.125, 0.0, 0.99])
BIAS = -1e4 * torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1.0]])[:, None, None]
EMPTY = normal(2, 3, seed=2)
KIT = dict(words=WORDS, bias=BIAS, lots=LOTS)


def slope(f, words, empty, **kit):
    """The gradient at the words and at the empty sentence."""
    words, empty = words.clone().requires_grad_(), empty.clone().requires_grad_()
    made = f(words=words, empty=empty, drop=0.2, **kit)[0].square().sum()
    return torch.autograd.grad(made, (words, empty), allow_unused=True) if made.requires_grad else None


probe(lambda f, drop=0.2, **kit: [list(part.shape) for part in f(drop=drop, **kit)], empty=EMPTY, **KIT)
probe(lambda f, **kit: f(drop=0.2, **kit)[0], empty=EMPTY, **KIT)
probe(lambda f, **kit: f(drop=0.2, **kit)[1], empty=EMPTY, **KIT)
probe(lambda f, lots, **kit: f(drop=0.25, lots=torch.tensor([0.25, 0.75, 0.2, 0.8]), **kit), empty=normal(5, 3, seed=3), **KIT)
probe(lambda f, **kit: [f(drop=0.0, **kit), f(drop=1.0, **kit), slope(f, **kit)], empty=EMPTY, **KIT)

# %% [markdown] lang="en" role="mistake" name="the_others"
# The other rows were dropped: `torch.where` takes its second argument where the condition is true.
# %% [markdown] lang="vi" of="397a7644"
# Các hàng còn lại bị bỏ: `torch.where` lấy đối số thứ hai ở nơi điều kiện đúng.
# %% role="wrong" name="the_others"
patch("nothing, words)", "words, nothing)")
patch("hidden, bias)", "bias, hidden)")

# %% [markdown] lang="en" role="mistake" name="edge"
# A lot exactly on the edge falls on the wrong side.
# %% [markdown] lang="vi" of="efdcecb6"
# Số ngẫu nhiên đúng bằng ngưỡng bị xếp nhầm phía.
# %% role="wrong" name="edge"
patch("lots < drop", "lots <= drop")

# %% [markdown] lang="en" role="mistake" name="bias_kept"
# The bias of the dropped rows is that of the forgotten sentences: zeros are read as words, or the empty sentence is cut.
# %% [markdown] lang="vi" of="ce2b98f2"
# Bias của các hàng bị bỏ vẫn là của câu đã quên: số 0 bị đọc như từ, hoặc câu rỗng bị cắt mất.
# %% role="wrong" name="bias_kept"
patch("torch.where(dropped[:, None, None, None], hidden, bias)", "bias")

# %% [markdown] lang="en" role="mistake" name="all_shown"
# Nothing is hidden in the dropped rows: the zeros behind the empty sentence are read as words.
# %% [markdown] lang="vi" of="20beef38"
# Trong các hàng bị bỏ không có gì bị che: các số 0 sau câu rỗng bị đọc như từ.
# %% role="wrong" name="all_shown"
patch("torch.arange(L) < E, 0.0, HIDDEN", "torch.arange(L) < E, 0.0, 0.0")

# %% [markdown] lang="en" role="mistake" name="all_hidden"
# The dropped rows are hidden altogether. The empty sentence itself is read.
# %% [markdown] lang="vi" of="e552f92b"
# Các hàng bị bỏ bị che hết. Chính câu rỗng thì vẫn được đọc.
# %% role="wrong" name="all_hidden"
patch("torch.arange(L) < E, 0.0, HIDDEN", "torch.arange(L) < E, HIDDEN, HIDDEN")

# %% [markdown] lang="en" role="mistake" name="zeros"
# The dropped rows are zeros. The empty sentence has vectors of its own, which the network also gets when it draws.
# %% [markdown] lang="vi" of="9fc7f9b6"
# Các hàng bị bỏ chỉ toàn số 0. Câu rỗng có vector riêng, và khi vẽ mạng cũng nhận đúng các vector ấy.
# %% role="wrong" name="zeros"
patch("F.pad(empty, (0, 0, 0, L - E))", "torch.zeros_like(words[0])")

# %% [markdown] lang="en" role="mistake" name="in_front"
# The zeros stand before the empty sentence. They follow it.
# %% [markdown] lang="vi" of="bbe0b0c8"
# Các số 0 đứng trước câu rỗng. Chúng phải đứng sau.
# %% role="wrong" name="in_front"
patch("(0, 0, 0, L - E)", "(0, 0, L - E, 0)")

# %% [markdown] lang="en" role="mistake" name="rest_kept"
# Behind the empty sentence the forgotten words are still there. Zeros should be.
# %% [markdown] lang="vi" of="99fd6cb8"
# Sau câu rỗng vẫn còn các từ đã quên. Ở đó phải là số 0.
# %% role="wrong" name="rest_kept"
patch("torch.where(dropped[:, None, None], nothing, words)",
      "torch.where(dropped[:, None, None] & (torch.arange(L)[:, None] < E), nothing, words)")

# %% [markdown] lang="en" role="mistake" name="cut_off"
# No gradient reaches the words: a text tower could learn nothing from this loss. Look for detach or no_grad.
# %% [markdown] lang="vi" of="3d0d2e1e"
# Không gradient nào đến được các từ: tháp văn bản không học được gì từ hàm mất mát này. Hãy tìm detach hoặc no_grad.
# %% role="wrong" name="cut_off"
patch("return words, torch", "return words.detach(), torch")

# %% role="library"
def drop_words(words, bias, empty, lots, drop):
    """Row by row, in copies."""
    words, bias = words.clone(), bias.clone()
    for row in (lots < drop).nonzero().flatten().tolist():
        words[row], bias[row] = 0, HIDDEN
        words[row, : len(empty)], bias[row, ..., : len(empty)] = empty, 0
    return words, bias
