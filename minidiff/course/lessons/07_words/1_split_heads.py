"""Exercise 07.1, split_heads: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="6"
# ## Split into heads
#
# **Complete one line.** A token's vector of `heads * d` numbers is cut into `heads` pieces of d, in order: the first d numbers
# are head 0's. Then each head gets its own table of tokens, so that one matrix product serves all heads at once: (B, L, heads ·
# d) becomes (B, heads, L, d).
# %% [markdown] lang="vi" of="277231d2"
# ## Tách thành các đầu (head)
#
# **Điền một dòng.** Vector gồm `heads * d` số của mỗi token được cắt thành `heads` đoạn dài d, theo thứ tự: d số đầu tiên thuộc
# về đầu 0. Sau đó mỗi đầu có bảng token của riêng mình, để một phép nhân ma trận phục vụ mọi đầu cùng lúc:
# (B, L, heads · d) thành (B, heads, L, d).

# %% [markdown] lang="en" role="hints"
# Which numbers stay together? A token's d numbers of one head. Cutting moves nothing; only the second step does.
# ---
# First (B, L, heads, d): `view` cuts the last dimension. Then two dimensions have to change places: which two?
# ---
# `x.view(B, L, heads, width // heads)`, then `.transpose(1, 2)`.
# %% [markdown] lang="vi" of="f8f5ade0"
# Những số nào phải ở cạnh nhau? d số của một token thuộc cùng một đầu. Bước cắt không dời gì cả; chỉ bước thứ hai mới dời.
# ---
# Trước hết là (B, L, heads, d): `view` cắt chiều cuối. Rồi hai chiều phải đổi chỗ cho nhau: hai chiều nào?
# ---
# `x.view(B, L, heads, width // heads)`, rồi `.transpose(1, 2)`.

# %% [markdown] lang="en" role="stub" given="1"
# Tokens x (B, L, heads * d) to (B, heads, L, d), of x's dtype.
# ---
# 1. cut the width into heads                               # (B, L, heads, d)
# 2. bring the heads before the tokens, and return it       # (B, heads, L, d)
# %% [markdown] lang="vi" of="882827b0"
# Các token x (B, L, heads * d) thành (B, heads, L, d), cùng kiểu số với x.
# ---
# 1. cắt bề rộng thành các đầu                              # (B, L, heads, d)
# 2. đưa các đầu ra trước các token, rồi trả về             # (B, heads, L, d)

# %% role="solution"
def split_heads(x: Tensor, heads: int) -> Tensor:
    B, L, width = x.shape                                       # width = heads * d
    return x.view(B, L, heads, width // heads).transpose(1, 2)  # (B, heads, L, d)

# %% [markdown] lang="en" role="checks"
# - shape, for one head, for several, and for one sentence
# - dtype of x
# - two sentences of five tokens, three heads
# - a head of width 1, and a single head
# - x whose memory lies otherwise
# - a token's vector, put together again
# %% [markdown] lang="vi" of="d6237439"
# - kích thước, với một đầu, nhiều đầu, và một câu
# - cùng kiểu số với x
# - hai câu, mỗi câu năm token, ba đầu
# - đầu có bề rộng 1, và chỉ một đầu
# - x nằm khác thứ tự trong bộ nhớ
# - vector của một token, khi ghép lại

# %% role="probes"
import torch


def numbered(*shape):
    """0, 1, 2, ...: where each number goes can be seen."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def shapes(f, x):
    return [list(f(part, heads).shape) for part, heads in ((x, 3), (x, 1), (x, 12), (x[:1], 4))]


def kinds(f, x):
    return [str(f(x.to(kind), 3).dtype) for kind in (torch.float32, torch.float64)]


def extremes(f, x):
    """Heads of one number each, and one head of all."""
    return [f(x, 12), f(x, 1)]


def lying_otherwise(f, x):
    """The same tokens, but numbers that follow each other lie apart in memory."""
    return f(x.transpose(1, 2).contiguous().transpose(1, 2), 3)


def token_again(f, x):
    """Token 4 of sentence 1, head after head."""
    return torch.cat([f(x, 3)[1, head, 4] for head in range(3)])


X = numbered(2, 5, 12)
probe(shapes, x=X)
probe(kinds, x=X)
probe(lambda f, x: f(x, 3), points=2, x=X)
probe(extremes, x=X)
probe(lying_otherwise, x=X)
probe(token_again, x=X)

# %% [markdown] lang="en" role="mistake" name="no_transpose"
# The width is cut, but the tokens still come before the heads: (B, L, heads, d). A matrix product would now multiply heads with
# heads, within each token. Let dimensions 1 and 2 change places.
# %% [markdown] lang="vi" of="e1464961"
# Bề rộng đã được cắt, nhưng token vẫn đứng trước các đầu: (B, L, heads, d). Phép nhân ma trận khi đó sẽ nhân đầu với đầu, bên
# trong từng token. Hãy cho chiều 1 và chiều 2 đổi chỗ.
# %% role="wrong" name="no_transpose"
patch(".transpose(1, 2)", "")

# %% [markdown] lang="en" role="mistake" name="scrambled"
# The shape is right and the words are scrambled: `view` or `reshape` straight to (B, heads, L, d) moves no number, so head 0
# gets all numbers of the first tokens, and none of the last. Cut the width first, (B, L, heads, d), and then transpose.
# %% [markdown] lang="vi" of="d7954361"
# Kích thước đúng mà lời thì xáo trộn: `view` hay `reshape` thẳng thành (B, heads, L, d) không dời số nào, nên đầu 0 nhận mọi số
# của những token đầu tiên, và không có gì của các token cuối. Hãy cắt bề rộng trước, (B, L, heads, d), rồi mới đổi chỗ.
# %% role="wrong" name="scrambled"
patch("x.view(B, L, heads, width // heads).transpose(1, 2)", "x.reshape(B, heads, L, width // heads)")

# %% [markdown] lang="en" role="mistake" name="scrambled_view"
# This `view` goes straight to (B, heads, L, d). It moves no number, so the words are scrambled: head 0 gets all numbers of the
# first tokens; and where x lies otherwise in memory, it stops. Cut the width first, (B, L, heads, d), and then transpose.
# %% [markdown] lang="vi" of="4107edbe"
# `view` này đi thẳng đến (B, heads, L, d). Nó không dời số nào, nên lời bị xáo trộn: đầu 0 nhận mọi số của những token đầu
# tiên; còn khi x nằm khác thứ tự trong bộ nhớ thì nó dừng lại. Hãy cắt bề rộng trước, (B, L, heads, d), rồi mới đổi chỗ.
# %% role="wrong" name="scrambled_view"
patch("x.view(B, L, heads, width // heads).transpose(1, 2)", "x.view(B, heads, L, width // heads)")

# %% [markdown] lang="en" role="mistake" name="every_nth"
# Head h has got every `heads`-th number, in place of d that follow each other: the width was cut to (d, heads). The shipped
# weights want head 0 to be the first d numbers: cut to (heads, d).
# %% [markdown] lang="vi" of="1cbc3450"
# Đầu h nhận các số cách nhau `heads` vị trí, thay vì d số liền nhau: bề rộng đã bị cắt thành (d, heads). Trọng số có sẵn cần
# đầu 0 là d số đầu tiên: hãy cắt thành (heads, d).
# %% role="wrong" name="every_nth"
patch("x.view(B, L, heads, width // heads).transpose(1, 2)", "x.view(B, L, width // heads, heads).permute(0, 3, 1, 2)")

# %% [markdown] lang="en" role="mistake" name="heads_as_width"
# `heads` was taken for the width of a head. It is their number; the width of each is `width // heads`.
# %% [markdown] lang="vi" of="8a036046"
# `heads` bị dùng làm bề rộng của một đầu. Nó là số đầu; bề rộng mỗi đầu là `width // heads`.
# %% role="wrong" name="heads_as_width"
patch("x.view(B, L, heads, width // heads)", "x.view(B, L, width // heads, heads)")

# %% [markdown] lang="en" role="mistake" name="keys_turned"
# These are tables of shape (d, L): the last two dimensions have changed places too. That is what Q K^T wants of the keys, but
# here a token's d numbers stay in a row: (B, heads, L, d).
# %% [markdown] lang="vi" of="8826fbdc"
# Đây là các bảng kích thước (d, L): hai chiều cuối cũng đã đổi chỗ. Q K^T cần khóa như thế, nhưng ở đây d số của một token phải
# nằm trên một hàng: (B, heads, L, d).
# %% role="wrong" name="keys_turned"
patch(".transpose(1, 2)", ".permute(0, 2, 3, 1)")

# %% [markdown] lang="en" role="mistake" name="wrong_pair"
# The wrong dimensions have changed places: token and number, in place of token and head. After the cut, the shape is
# (B, L, heads, d); write the numbers 0, 1, 2, 3 above it.
# %% [markdown] lang="vi" of="4ac90113"
# Sai hai chiều được đổi chỗ: token với số, thay vì token với đầu. Sau khi cắt, kích thước là (B, L, heads, d); hãy viết 0, 1,
# 2, 3 lên trên.
# %% role="wrong" name="wrong_pair"
patch(".transpose(1, 2)", ".transpose(1, 3)")

# %% [markdown] lang="en" role="mistake" name="heads_before_sentences"
# The heads come first of all: (heads, B, L, d). The batch stays in front, so stack the pieces along dimension 1.
# %% [markdown] lang="vi" of="1b39417d"
# Các đầu đứng trước tất cả: (heads, B, L, d). Lô phải ở đằng trước, nên hãy xếp các đoạn theo chiều 1.
# %% role="wrong" name="heads_before_sentences"
patch(".transpose(1, 2)", ".permute(2, 0, 1, 3)")

# %% [markdown] lang="en" role="mistake" name="folded"
# Sentences and heads were folded into one dimension, (B * heads, L, d), as older code has it. Keep the four dimensions: a mask
# of shape (B, 1, 1, L) must find its sentence.
# %% [markdown] lang="vi" of="f121915f"
# Câu và đầu bị gộp vào một chiều, (B * heads, L, d), như trong mã cũ. Hãy giữ bốn chiều: mặt nạ kích thước (B, 1, 1, L) phải
# tìm được câu của nó.
# %% role="wrong" name="folded"
patch(".transpose(1, 2)", ".transpose(1, 2).flatten(0, 1)")

# %% [markdown] lang="en" role="mistake" name="pieces_in_a_list"
# The pieces are right, but they came as a list or tuple, which no matrix product takes. Stack them into one tensor, with the
# heads as dimension 1.
# %% [markdown] lang="vi" of="cb46892f"
# Các đoạn thì đúng, nhưng kết quả là một danh sách hay tuple, không phép nhân ma trận nào nhận được. Hãy xếp chúng thành một
# tensor, với các đầu ở chiều 1.
# %% role="wrong" name="pieces_in_a_list"
patch("x.view(B, L, heads, width // heads).transpose(1, 2)", "x.chunk(heads, dim=-1)")

# %% role="library"
from einops import rearrange


def split_heads(x, heads):
    return rearrange(x, "b l (h d) -> b h l d", h=heads)

# %% role="payoff"
def draw(split_heads: Callable) -> Tensor:
    with mock.patch.object(attention, "split_heads", split_heads):
        return draw_with(model.network)                         # (4, 3, 128, 128)


payoff(draw, split_heads)
