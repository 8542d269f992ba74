"""Exercise 07.2, merge_heads: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="6"
# ## Merge the heads
#
# The way back. Each head has found d numbers for each token; a token's numbers come together again, head after head, so that
# one linear layer can mix what the heads have found: (B, heads, L, d) becomes (B, L, heads · d). `merge_heads(split_heads(x,
# heads))` is x.
# %% [markdown] lang="vi" of="1bcac7fd"
# ## Ghép các đầu
#
# Đường về. Mỗi đầu đã tìm được d số cho mỗi token; các số của một token lại về bên nhau, hết đầu này đến đầu kia, để một lớp
# tuyến tính trộn những gì các đầu tìm được: (B, heads, L, d) thành (B, L, heads · d). `merge_heads(split_heads(x, heads))`
# chính là x.

# %% [markdown] lang="en" role="hints"
# Undo the steps of `split_heads` in the opposite order.
# ---
# First the heads go back behind the tokens, (B, L, heads, d); then the last two dimensions become one.
# ---
# `x.transpose(1, 2)`, then `.flatten(2)`. A transposed tensor is not in order in memory: `view` refuses it, `reshape` and
# `flatten` copy it.
# %% [markdown] lang="vi" of="b3eb3e96"
# Hãy làm ngược các bước của `split_heads`, từ cuối lên đầu.
# ---
# Trước hết các đầu trở về sau các token, (B, L, heads, d); rồi hai chiều cuối nhập làm một.
# ---
# `x.transpose(1, 2)`, rồi `.flatten(2)`. Tensor đã chuyển vị không còn nằm theo thứ tự trong bộ nhớ: `view` từ chối nó, còn
# `reshape` và `flatten` thì chép lại.

# %% [markdown] lang="en" role="stub"
# Heads x (B, heads, L, d) back to tokens (B, L, heads * d), of x's dtype.
# ---
# 1. bring the heads behind the tokens                      # (B, L, heads, d)
# 2. make one of the last two dimensions, and return it     # (B, L, heads * d)
# %% [markdown] lang="vi" of="4e222f60"
# Các đầu x (B, heads, L, d) trở lại thành token (B, L, heads * d), cùng kiểu số
# với x.
# ---
# 1. đưa các đầu ra sau các token                           # (B, L, heads, d)
# 2. nhập hai chiều cuối làm một, rồi trả về                # (B, L, heads * d)

# %% role="solution"
def merge_heads(x: Tensor) -> Tensor:
    x = x.transpose(1, 2)                                       # (B, L, heads, d)
    return x.flatten(2)                                         # (B, L, heads * d)

# %% [markdown] lang="en" role="checks"
# - shape, for several heads, for one, and for one sentence
# - dtype of x
# - two sentences of five tokens, three heads
# - as many tokens as heads
# - x as `split_heads` gives it
# - head 2 of a token, in its place
# %% [markdown] lang="vi" of="c7efe1fb"
# - kích thước, với nhiều đầu, một đầu, và một câu
# - cùng kiểu số với x
# - hai câu, mỗi câu năm token, ba đầu
# - số token bằng số đầu
# - x như `split_heads` trả về
# - đầu 2 của một token, ở đúng chỗ

# %% role="probes"
import torch


def numbered(*shape):
    """0, 1, 2, ...: where each number goes can be seen."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def shapes(f, x):
    return [list(f(part).shape) for part in (x, x[:, :1], x[:1])]


def kinds(f, x):
    return [str(f(x.to(kind)).dtype) for kind in (torch.float32, torch.float64)]


def fresh_from_the_cut(f, x):
    """Heads whose tokens are still in order in memory."""
    return f(x.unflatten(-1, (3, -1)).transpose(1, 2))


def one_head_of_a_token(f, x):
    return f(x)[1, 3, 8:12]


X = numbered(2, 3, 5, 4)
probe(shapes, x=X)
probe(kinds, x=X)
probe(lambda f, x: f(x), points=2, x=X)
probe(lambda f, x: f(x), x=numbered(2, 3, 3, 2))
probe(fresh_from_the_cut, x=numbered(2, 5, 12))
probe(one_head_of_a_token, x=X)

# %% [markdown] lang="en" role="mistake" name="scrambled"
# The shape is right and the words are scrambled: `reshape` or `view` without `transpose` moves no number, so the first row
# holds several tokens of head 0, and nothing of the other heads. Bring the heads behind the tokens first.
# %% [markdown] lang="vi" of="74b63186"
# Kích thước đúng mà lời thì xáo trộn: `reshape` hay `view` mà không `transpose` thì không dời số nào, nên hàng đầu chứa nhiều
# token của đầu 0, và không có gì của các đầu khác. Trước hết hãy đưa các đầu ra sau các token.
# %% role="wrong" name="scrambled"
patch("x = x.transpose(1, 2)  ", "B, heads, L, d = x.shape")
patch("x.flatten(2)  ", "x.reshape(B, L, heads * d)")

# %% [markdown] lang="en" role="mistake" name="scrambled_view"
# `view` without `transpose` moves no number: the shape is right and the words are scrambled; on what `split_heads` gives it
# even stops. Bring the heads behind the tokens first, and then use `flatten` or `reshape`.
# %% [markdown] lang="vi" of="fc3e69b5"
# `view` mà không `transpose` thì không dời số nào: kích thước đúng mà lời thì xáo trộn; gặp kết quả của `split_heads` nó còn
# dừng lại. Trước hết hãy đưa các đầu ra sau các token, rồi dùng `flatten` hoặc `reshape`.
# %% role="wrong" name="scrambled_view"
patch("x = x.transpose(1, 2)  ", "B, heads, L, d = x.shape")
patch("x.flatten(2)  ", "x.view(B, L, heads * d)")

# %% [markdown] lang="en" role="mistake" name="view_refuses"
# The idea is right, but `view` refuses a tensor whose numbers are not in order in memory, and after `transpose` they are not.
# It only works on what comes straight from `split_heads`. Write `reshape` or `flatten`, or put `contiguous()` in between.
# %% [markdown] lang="vi" of="e30385c5"
# Ý đúng rồi, nhưng `view` từ chối tensor mà các số không nằm theo thứ tự trong bộ nhớ, và sau `transpose` thì chúng không theo
# thứ tự. Nó chỉ chạy với thứ vừa ra khỏi `split_heads`. Hãy viết `reshape` hoặc `flatten`, hoặc chèn `contiguous()` vào giữa.
# %% role="wrong" name="view_refuses"
patch("x.flatten(2)", "x.view(*x.shape[:2], -1)")

# %% [markdown] lang="en" role="mistake" name="not_flattened"
# The heads are behind the tokens, but the last two dimensions are still two: (B, L, heads, d). The next linear layer wants a
# token's numbers in one row: flatten from dimension 2 on.
# %% [markdown] lang="vi" of="aafd883e"
# Các đầu đã ở sau token, nhưng hai chiều cuối vẫn là hai: (B, L, heads, d). Lớp tuyến tính tiếp theo cần các số của một token
# nằm trên một hàng: hãy flatten từ chiều 2.
# %% role="wrong" name="not_flattened"
patch("x.flatten(2)", "x")

# %% [markdown] lang="en" role="mistake" name="interleaved"
# A token's numbers are shuffled: first number 0 of every head, then number 1 of every head. Head after head is wanted, all d
# numbers of head 0 first: before flattening, the dimensions are (B, L, heads, d).
# %% [markdown] lang="vi" of="8acd1805"
# Các số của một token bị xen kẽ: số 0 của mọi đầu, rồi số 1 của mọi đầu. Ta cần hết đầu này đến đầu kia, d số của đầu 0 trước:
# trước khi flatten, các chiều là (B, L, heads, d).
# %% role="wrong" name="interleaved"
patch("x.transpose(1, 2)", "x.permute(0, 2, 3, 1)")

# %% [markdown] lang="en" role="mistake" name="heads_for_tokens"
# The heads were merged with the tokens: (B, heads * L, d), a sentence that is `heads` times as long. The number of tokens
# stays; their width grows.
# %% [markdown] lang="vi" of="437bb8ec"
# Các đầu bị ghép với token: (B, heads * L, d), một câu dài gấp `heads` lần. Số token giữ nguyên; bề rộng của chúng mới tăng.
# %% role="wrong" name="heads_for_tokens"
patch("x = x.transpose(1, 2)", "x = x")
patch("x.flatten(2)", "x.flatten(1, 2)")

# %% [markdown] lang="en" role="mistake" name="tokens_for_heads"
# The heads went behind the tokens, but then tokens and heads were flattened together: (B, L * heads, d). Flatten the last two
# dimensions: from dimension 2 on, not from 1.
# %% [markdown] lang="vi" of="684c8590"
# Các đầu đã ra sau token, nhưng rồi token và đầu bị flatten chung: (B, L * heads, d). Hãy flatten hai chiều cuối: từ chiều 2
# chứ không phải từ chiều 1.
# %% role="wrong" name="tokens_for_heads"
patch("x.flatten(2)", "x.flatten(1, 2)")

# %% [markdown] lang="en" role="mistake" name="heads_first"
# Each head kept its row: (B, heads, L * d). A row must belong to a token, not to a head: bring the tokens forward before you
# flatten.
# %% [markdown] lang="vi" of="361014bc"
# Mỗi đầu vẫn giữ hàng của mình: (B, heads, L * d). Một hàng phải thuộc về một token chứ không phải một đầu: hãy đưa token lên
# trước rồi mới flatten.
# %% role="wrong" name="heads_first"
patch("x = x.transpose(1, 2)", "x = x")

# %% [markdown] lang="en" role="mistake" name="averaged"
# The heads were averaged: (B, L, d). They looked at different things, and what they found stays side by side; the next linear
# layer decides how to mix it.
# %% [markdown] lang="vi" of="3b0275e2"
# Các đầu bị lấy trung bình: (B, L, d). Chúng nhìn những thứ khác nhau, và những gì chúng tìm được phải nằm cạnh nhau; lớp tuyến
# tính tiếp theo quyết định trộn thế nào.
# %% role="wrong" name="averaged"
patch("x.flatten(2)", "x.mean(2)")

# %% [markdown] lang="en" role="mistake" name="added_up"
# The heads were added up: (B, L, d). They looked at different things, and what they found stays side by side, head after head,
# until the next linear layer mixes it.
# %% [markdown] lang="vi" of="844be8a4"
# Các đầu bị cộng lại: (B, L, d). Chúng nhìn những thứ khác nhau, và những gì chúng tìm được phải nằm cạnh nhau, hết đầu này đến
# đầu kia, cho đến khi lớp tuyến tính tiếp theo trộn chúng.
# %% role="wrong" name="added_up"
patch("x.flatten(2)", "x.sum(2)")

# %% role="library"
from einops import rearrange


def merge_heads(x):
    return rearrange(x, "b h l d -> b l (h d)")

# %% role="payoff"
def draw(merge_heads: Callable) -> Tensor:
    with mock.patch.object(attention, "merge_heads", merge_heads):
        return draw_with(model.network, start.flip(0))          # (4, 3, 128, 128)


payoff(draw, merge_heads)
