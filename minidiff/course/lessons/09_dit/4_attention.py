"""Exercise 09.4, attention: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## One attention for all
#
# The DiT uses the same layer for patches among themselves and for patches that read words. Write its forward pass, softmax
# of $QK^T / \sqrt d$, times $V$. `layer` has `to_q`, `to_k`, `to_v` and `to_out`, a list whose only entry is the output's
# linear layer, and `heads`. Queries come from x, keys and values from `context`; without one (None) the tokens of x look at
# each other. `bias` (B, 1, 1, L) is added to the logits, or is None; it holds large negative numbers where a caption has
# padding.
#
# `split_heads(x, heads)` and `merge_heads(x)` are there as you wrote them in lesson 07. Gradients have to pass, to the tokens
# and to the layer's weights. Don't call `layer` itself: in the network below, that calls your function.
# %% [markdown] lang="vi" of="79c310ef"
# ## Một cơ chế chú ý cho tất cả
#
# DiT dùng cùng một loại lớp cho các patch nhìn nhau và cho các patch đọc lời. Hãy viết lượt truyền xuôi của nó, softmax của
# $QK^T / \sqrt d$, nhân với $V$. `layer` có `to_q`, `to_k`, `to_v` và `to_out`, một danh sách mà phần tử duy nhất là lớp tuyến
# tính đầu ra, và `heads`. Truy vấn lấy từ x, khóa và giá trị lấy từ `context`; khi không có (None) thì các token của x nhìn lẫn
# nhau. `bias` (B, 1, 1, L) được cộng vào logit, hoặc là None; nó chứa số âm rất lớn ở chỗ đệm của câu.
#
# `split_heads(x, heads)` và `merge_heads(x)` có sẵn, như bạn đã viết ở bài 07. Gradient phải đi qua được, đến các token và đến
# trọng số của lớp. Đừng gọi chính `layer`: trong mạng bên dưới, làm vậy là gọi hàm của bạn.

# %% [markdown] lang="en" role="hints"
# Which of the three projections see x, and which see the context? Decide first what the context is when none was given.
# ---
# After `split_heads` the shapes are (B, heads, N, d) and (B, heads, L, d). `query @ key.transpose(-1, -2)` is (B, heads, N, L):
# a row for each query. The softmax makes each row add up to 1.
# ---
# The logits are divided by the root of d, `query.shape[-1] ** 0.5`; the bias is added before the softmax. At the end:
# `layer.to_out[0](merge_heads(weights @ value))`.
# %% [markdown] lang="vi" of="aa8be91b"
# Trong ba phép chiếu, phép nào thấy x, phép nào thấy context? Trước hết hãy quyết định context là gì khi không được cho.
# ---
# Sau `split_heads`, kích thước là (B, heads, N, d) và (B, heads, L, d). `query @ key.transpose(-1, -2)` là (B, heads, N, L):
# mỗi truy vấn một hàng. Softmax làm cho mỗi hàng có tổng bằng 1.
# ---
# Logit được chia cho căn của d, `query.shape[-1] ** 0.5`; bias được cộng trước softmax. Cuối cùng:
# `layer.to_out[0](merge_heads(weights @ value))`.

# %% [markdown] lang="en" role="stub"
# softmax(Q K^T / sqrt(d) + bias) V: x (B, N, D), context (B, L, C) or None for
# self-attention, bias (B, 1, 1, L) or None, to (B, N, D).
# ---
# 1. what is attended to: context, or x
# 2. queries of x, keys and values of that, in heads        # (B, heads, N or L, d)
# 3. logits, divided by sqrt(d); add the bias if there is one  # (B, heads, N, L)
# 4. softmax over the keys; their values, merged; to_out[0]  # (B, N, D)
# %% [markdown] lang="vi" of="88b557dc"
# softmax(Q K^T / sqrt(d) + bias) V: x (B, N, D), context (B, L, C) hoặc None để
# tự chú ý, bias (B, 1, 1, L) hoặc None, thành (B, N, D).
# ---
# 1. thứ được nhìn vào: context, hoặc x
# 2. truy vấn của x, khóa và giá trị của thứ ấy, chia đầu  # (B, heads, N hay L, d)
# 3. logit, chia cho sqrt(d), cộng bias nếu có             # (B, heads, N, L)
# 4. softmax theo các khóa; các giá trị, gộp lại; to_out[0]  # (B, N, D)

# %% role="solution"
def attention(
    layer: Attention, x: Tensor, context: Tensor | None, bias: Tensor | None
) -> Tensor:
    seen = x if context is None else context                    # (B, L, C)
    query = split_heads(layer.to_q(x), layer.heads)             # (B, heads, N, d)
    key = split_heads(layer.to_k(seen), layer.heads)            # (B, heads, L, d)
    value = split_heads(layer.to_v(seen), layer.heads)          # (B, heads, L, d)
    logits = query @ key.mT / query.shape[-1] ** 0.5            # (B, heads, N, L)
    if bias is not None:
        logits = logits + bias
    weights = logits.softmax(dim=-1)                            # rows add up to 1
    return layer.to_out[0](merge_heads(weights @ value))        # (B, N, D)

# %% [markdown] lang="en" role="checks"
# - shape: 2 pictures of 7 tokens, 5 words, 3 heads of 4
# - dtype float32
# - words, none of them padding
# - words that are as wide as the patches
# - words with padding
# - a bias that is more than a mask
# - self-attention
# - self-attention with a bias
# - what stands in the padding makes no difference
# - one picture of a single token, with logits in the thousands
# - gradients reach the tokens, the words and the weights
# %% [markdown] lang="vi" of="3729a6b8"
# - kích thước: 2 ảnh, mỗi ảnh 7 token, 5 từ, 3 đầu rộng 4
# - kiểu số float32
# - các từ, không từ nào là phần đệm
# - các từ rộng bằng các patch
# - các từ có phần đệm
# - bias không chỉ là mặt nạ
# - tự chú ý
# - tự chú ý có bias
# - nội dung của phần đệm không ảnh hưởng gì
# - một ảnh chỉ có một token, với logit cỡ hàng nghìn
# - gradient đến được các token, các từ và các trọng số

# %% role="probes"
import torch

from minidiff.nn.attention import Attention


class Layers(Attention):
    """An attention whose own forward pass says 0: the answer's is wanted."""

    def forward(self, x, context=None, mask=None):
        return torch.zeros_like(x)


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layers(context_dim, seed):
    """3 heads of 4 for tokens of 10 numbers, every weight drawn by lot."""
    layer = Layers(10, context_dim, heads=3, head_dim=4, bias=True).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return layer.requires_grad_(False)


def result(f, layer, x, context=None, bias=None):
    return f(layer, x, context, bias)


def in_float32(f, layer, x, context, bias):
    return str(f(layer.float(), x.float(), context.float(), bias.float()).dtype)


def other_padding(f, layer, x, context, bias):
    """How much changes when other vectors stand where the bias hides them."""
    other = torch.where(bias[:, 0, 0, :, None] < -1000, 3 - context, context)
    return f(layer, x, other, bias) - f(layer, x, context, bias)


def learns(f, layer, x, context):
    """What a gradient reaches."""
    parts = {"the tokens": [x], "the words": [context], "the weights": [*layer.parameters()]}
    tensors = [tensor.requires_grad_() for tensors in parts.values() for tensor in tensors]
    found = f(layer, x, context, None)
    if not found.requires_grad:
        return dict.fromkeys(parts, False)
    reached = dict(zip(map(id, tensors), torch.autograd.grad(found.sum(), tensors, allow_unused=True), strict=True))
    return {name: all(reached[id(tensor)] is not None for tensor in tensors) for name, tensors in parts.items()}


X, WORDS = normal(2, 7, 10, seed=1), normal(2, 5, 6, seed=2)
LENGTHS = torch.tensor([5, 3])
PADDING = -10000.0 * (torch.arange(5) >= LENGTHS[:, None]).double()[:, None, None]     # (B, 1, 1, L)
SLOPE = torch.linspace(1, -2, 5, dtype=torch.float64).repeat(2, 1, 1, 1)
CROSS, OWN = layers(6, seed=3), layers(None, seed=4)

probe(lambda f, **inputs: list(result(f, **inputs).shape), layer=CROSS, x=X, context=WORDS, bias=PADDING)
probe(in_float32, layer=CROSS, x=X, context=WORDS, bias=PADDING, changes=("layer",))
probe(result, layer=CROSS, x=X, context=WORDS)
probe(result, layer=OWN, x=X, context=normal(2, 5, 10, seed=5))
probe(result, layer=CROSS, x=X, context=WORDS, bias=PADDING)
probe(result, layer=CROSS, x=X, context=WORDS, bias=PADDING + SLOPE)
probe(result, layer=OWN, x=X)
probe(result, layer=OWN, x=X[:, :5], bias=PADDING)
probe(other_padding, layer=CROSS, x=X, context=WORDS, bias=PADDING)
probe(result, layer=CROSS, x=2000 * X[1:, :1], context=WORDS[1:], bias=PADDING[1:])
probe(learns, layer=CROSS, x=X, context=WORDS, changes=("x", "context"))

# %% [markdown] lang="en" role="mistake" name="no_scale"
# The logits are not divided by the root of d. Dot products grow with the width of a head, and the softmax of large logits picks
# one key and forgets the others.
# %% [markdown] lang="vi" of="ca88bc20"
# Logit chưa được chia cho căn của d. Tích vô hướng lớn lên theo bề rộng của đầu, và softmax của các logit lớn chỉ chọn một khóa
# mà quên những khóa khác.
# %% role="wrong" name="no_scale"
patch(" / query.shape[-1] ** 0.5 ", " ")

# %% [markdown] lang="en" role="mistake" name="divided_by_d"
# The logits are divided by d: not by its root, or by the root twice (PyTorch's kernel does it by itself). The variance of a dot
# product of d numbers is d, so its standard deviation is the root of d.
# %% [markdown] lang="vi" of="52c9437f"
# Logit bị chia cho d: hoặc bạn quên lấy căn, hoặc chia cho căn hai lần (hàm có sẵn của PyTorch đã tự chia). Phương sai của tích
# vô hướng d số là d, nên độ lệch chuẩn của nó là căn của d.
# %% role="wrong" name="divided_by_d"
patch("query.shape[-1] ** 0.5", "query.shape[-1]")

# %% [markdown] lang="en" role="mistake" name="multiplied_by_the_root"
# The logits are multiplied by the root of d. They should be divided by it, so that their size stays around 1, whatever the
# width of a head.
# %% [markdown] lang="vi" of="d877790f"
# Logit bị nhân với căn của d. Phải chia, để chúng giữ cỡ 1 dù đầu rộng bao nhiêu.
# %% role="wrong" name="multiplied_by_the_root"
patch("key.mT / query", "key.mT * query")

# %% [markdown] lang="en" role="mistake" name="whole_width"
# The logits are divided by the root of the whole width, that of all heads together. A dot product runs over one head: d is the
# last axis of the query after `split_heads`.
# %% [markdown] lang="vi" of="a17300e1"
# Logit bị chia cho căn của cả bề rộng, tức của mọi đầu gộp lại. Tích vô hướng chỉ chạy trong một đầu: d là trục cuối của truy
# vấn sau `split_heads`.
# %% role="wrong" name="whole_width"
patch("query.shape[-1] ** 0.5", "layer.to_q.out_features ** 0.5")

# %% [markdown] lang="en" role="mistake" name="token_width"
# The logits are divided by the root of the width of x. The dot product is one of queries and keys, d numbers each: take the
# last axis of the query after `split_heads`.
# %% [markdown] lang="vi" of="5a08b7ba"
# Logit bị chia cho căn bề rộng của x. Tích vô hướng là của truy vấn và khóa, mỗi thứ d số: hãy lấy trục cuối của truy vấn sau
# `split_heads`.
# %% role="wrong" name="token_width"
patch("query.shape[-1] ** 0.5", "x.shape[-1] ** 0.5")

# %% [markdown] lang="en" role="mistake" name="context_ignored"
# Keys and values come from x even where there is a context: the words are never read, and every prompt draws one picture.
# (Where words are as wide as patches, no error tells.)
# %% [markdown] lang="vi" of="bdcf6644"
# Khóa và giá trị lấy từ x ngay cả khi có context: lời không hề được đọc, và prompt nào cũng ra một bức ảnh. (Khi từ rộng bằng
# patch thì không có lỗi nào báo.)
# %% role="wrong" name="context_ignored"
patch("seen = x if context is None else context", "seen = x")

# %% [markdown] lang="en" role="mistake" name="no_self_attention"
# It only works with a context. Without one (None) the tokens look at each other: keys and values come from x as well.
# %% [markdown] lang="vi" of="e894f591"
# Hàm chỉ chạy được khi có context. Khi không có (None), các token nhìn lẫn nhau: khóa và giá trị cũng lấy từ x.
# %% role="wrong" name="no_self_attention"
patch("seen = x if context is None else context", "seen = context")

# %% [markdown] lang="en" role="mistake" name="roles_swapped"
# Queries come from the words, keys and values from the picture. The patches ask and the words answer, since a result is wanted
# for each patch.
# %% [markdown] lang="vi" of="965e5490"
# Truy vấn lấy từ lời, khóa và giá trị lấy từ ảnh. Phải là các patch hỏi và các từ trả lời, vì cần kết quả cho mỗi patch.
# %% role="wrong" name="roles_swapped"
patch("layer.to_q(x)", "layer.to_q(seen)")
patch("layer.to_k(seen)", "layer.to_k(x)")
patch("layer.to_v(seen)", "layer.to_v(x)")

# %% [markdown] lang="en" role="mistake" name="keys_and_values_swapped"
# Keys and values are swapped: `to_k` belongs to the logits, `to_v` to what the weights sum up.
# %% [markdown] lang="vi" of="4878f74a"
# Khóa và giá trị bị đổi chỗ: `to_k` dùng cho logit, `to_v` dùng cho thứ được các trọng số cộng lại.
# %% role="wrong" name="keys_and_values_swapped"
patch("layer.to_k(seen)", "layer.to_v(seen) ")
patch("value = split_heads(layer.to_v(seen), layer.heads)", "value = split_heads(layer.to_k(seen), layer.heads)")

# %% [markdown] lang="en" role="mistake" name="keys_for_values"
# The weights sum up the keys. They should sum up the values, `to_v`: a key is what a token is found by, a value what it then
# says.
# %% [markdown] lang="vi" of="c97823f2"
# Các trọng số đang cộng các khóa lại. Chúng phải cộng các giá trị, `to_v`: khóa để tìm ra token, giá trị là điều token ấy nói.
# %% role="wrong" name="keys_for_values"
patch("layer.to_v(seen)", "layer.to_k(seen)")

# %% [markdown] lang="en" role="mistake" name="softmax_over_queries"
# The softmax runs over the queries: the columns add up to 1. Each query distributes its attention over the keys, so the rows
# must: the last axis.
# %% [markdown] lang="vi" of="a97cd45d"
# Softmax đang chạy theo các truy vấn: tổng mỗi cột bằng 1. Mỗi truy vấn phân phối sự chú ý của nó cho các khóa, nên tổng mỗi
# hàng mới phải bằng 1: trục cuối.
# %% role="wrong" name="softmax_over_queries"
patch("softmax(dim=-1)", "softmax(dim=-2)")

# %% [markdown] lang="en" role="mistake" name="softmax_over_heads"
# The softmax runs over axis 1, the heads. Each head attends for itself; the weights over the *keys* add up to 1, the last axis.
# %% [markdown] lang="vi" of="597b5117"
# Softmax đang chạy theo trục 1, tức theo các đầu. Mỗi đầu tự chú ý riêng; các trọng số theo *khóa* mới có tổng bằng 1, trục
# cuối.
# %% role="wrong" name="softmax_over_heads"
patch("softmax(dim=-1)", "softmax(dim=1)")

# %% [markdown] lang="en" role="mistake" name="bias_dropped"
# The bias makes no difference: the padding of short captions is read as if it were words. Add it to the logits.
# %% [markdown] lang="vi" of="8747ea0d"
# Bias không có tác dụng gì: phần đệm của câu ngắn bị đọc như thể là từ. Hãy cộng nó vào logit.
# %% role="wrong" name="bias_dropped"
patch("logits = logits + bias", "pass")

# %% [markdown] lang="en" role="mistake" name="bias_after_softmax"
# The bias is added after the softmax, to weights between 0 and 1, and -10000 swamps them. Added to the logits, it makes a
# weight of 0.
# %% [markdown] lang="vi" of="93a3e110"
# Bias được cộng sau softmax, vào các trọng số từ 0 đến 1, và -10000 nhấn chìm chúng. Cộng vào logit thì nó mới cho trọng số 0.
# %% role="wrong" name="bias_after_softmax"
patch("    if bias is not None:\n        logits = logits + bias\n    weights = logits.softmax(dim=-1)",
      "    weights = logits.softmax(dim=-1)\n    if bias is not None:\n        weights = weights + bias")

# %% [markdown] lang="en" role="mistake" name="bias_subtracted"
# The bias is subtracted, so that only the padding is seen. It is negative where nothing is to be seen: add it.
# %% [markdown] lang="vi" of="f932a082"
# Bias bị trừ đi, nên chỉ phần đệm được nhìn thấy. Nó âm ở chỗ không được nhìn: hãy cộng.
# %% role="wrong" name="bias_subtracted"
patch("logits + bias", "logits - bias")

# %% [markdown] lang="en" role="mistake" name="bias_before_scale"
# The bias is divided by the root of d too: it was added before the division. For a mask that hardly matters, for other numbers
# it does. The formula is Q K^T / sqrt(d) + bias.
# %% [markdown] lang="vi" of="28ee84fd"
# Bias cũng bị chia cho căn của d: nó được cộng trước phép chia. Với mặt nạ thì gần như không sao, với các số khác thì có. Công
# thức là Q K^T / sqrt(d) + bias.
# %% role="wrong" name="bias_before_scale"
patch("logits + bias", "logits + bias / query.shape[-1] ** 0.5")

# %% [markdown] lang="en" role="mistake" name="bias_as_mask"
# The bias was taken for a mask: its sign decides what is seen, and its numbers are forgotten. It is added to the logits as it
# is.
# %% [markdown] lang="vi" of="696d71ce"
# Bias bị coi là mặt nạ: dấu của nó quyết định thấy hay không, còn các số thì bị bỏ. Phải cộng nguyên nó vào logit.
# %% role="wrong" name="bias_as_mask"
patch("logits + bias", "logits.masked_fill(bias < 0, -torch.inf)")

# %% [markdown] lang="en" role="mistake" name="bias_of_the_first"
# Every picture gets the bias of the first one, so captions of other lengths are cut, or their padding is read. Keep the axis of
# the batch.
# %% [markdown] lang="vi" of="f1131495"
# Ảnh nào cũng nhận bias của ảnh đầu tiên, nên câu có độ dài khác bị cắt bớt, hoặc phần đệm của nó bị đọc. Hãy giữ trục của lô.
# %% role="wrong" name="bias_of_the_first"
patch("logits + bias", "logits + bias[:1]")

# %% [markdown] lang="en" role="mistake" name="bias_with_context_alone"
# The bias is forgotten in self-attention. The two arguments are independent: whenever there is a bias, add it.
# %% [markdown] lang="vi" of="71e09162"
# Bias bị quên khi tự chú ý. Hai tham số ấy độc lập với nhau: hễ có bias thì cộng.
# %% role="wrong" name="bias_with_context_alone"
patch("if bias is not None:", "if bias is not None and context is not None:")

# %% [markdown] lang="en" role="mistake" name="exp_overflows"
# Large logits give NaN: `exp` of them is infinite, and infinity divided by infinity is no number. PyTorch's softmax subtracts
# the largest logit of each row first, which changes nothing else.
# %% [markdown] lang="vi" of="1ce95471"
# Logit lớn cho ra NaN: `exp` của chúng là vô cực, và vô cực chia vô cực không phải là số. Softmax của PyTorch trừ đi logit lớn
# nhất của mỗi hàng trước, việc ấy không làm thay đổi gì khác.
# %% role="wrong" name="exp_overflows"
patch("logits.softmax(dim=-1)", "logits.exp() / logits.exp().sum(-1, keepdim=True)")

# %% [markdown] lang="en" role="mistake" name="bias_needed"
# It stops where there is no bias: `bias` may be None, as in every self-attention of the DiT.
# %% [markdown] lang="vi" of="3ae2c52c"
# Hàm dừng khi không có bias: `bias` có thể là None, như ở mọi lần tự chú ý trong DiT.
# %% role="wrong" name="bias_needed"
patch("if bias is not None:", "if True:")

# %% [markdown] lang="en" role="mistake" name="to_out_forgotten"
# The heads were merged and returned as they are. `to_out[0]` mixes what the heads found and brings it to the width of x.
# %% [markdown] lang="vi" of="997d5d0a"
# Các đầu được gộp rồi trả về luôn. `to_out[0]` trộn những gì các đầu tìm được và đưa về bề rộng của x.
# %% role="wrong" name="to_out_forgotten"
patch("layer.to_out[0](merge_heads(weights @ value))", "merge_heads(weights @ value)")

# %% [markdown] lang="en" role="mistake" name="one_head"
# There is a single head as wide as everything. Each head has its own softmax: split queries, keys and values with
# `layer.heads`.
# %% [markdown] lang="vi" of="8f9ef07e"
# Chỉ có một đầu rộng bằng tất cả. Mỗi đầu có softmax riêng: hãy chia truy vấn, khóa và giá trị theo `layer.heads`.
# %% role="wrong" name="one_head"
def attention(layer: Attention, x: Tensor, context: Tensor | None, bias: Tensor | None) -> Tensor:
    seen = x if context is None else context
    query, key, value = layer.to_q(x), layer.to_k(seen), layer.to_v(seen)
    logits = query @ key.mT / query.shape[-1] ** 0.5
    if bias is not None:
        logits = logits + bias[:, 0]
    return layer.to_out[0](logits.softmax(dim=-1) @ value)

# %% [markdown] lang="en" role="mistake" name="heads_and_width_swapped"
# There are d heads, each `heads` wide: the two were swapped. `split_heads(x, layer.heads)` takes the number of heads and finds
# their width by itself.
# %% [markdown] lang="vi" of="bf21a80f"
# Đang có d đầu, mỗi đầu rộng `heads`: hai số bị đổi chỗ. `split_heads(x, layer.heads)` nhận số đầu và tự tìm ra bề rộng.
# %% role="wrong" name="heads_and_width_swapped"
patch("split_heads(layer.to_q(x), layer.heads)", "split_heads(layer.to_q(x), layer.to_q.out_features // layer.heads)")
patch("split_heads(layer.to_k(seen), layer.heads)", "split_heads(layer.to_k(seen), layer.to_q.out_features // layer.heads)")
patch("split_heads(layer.to_v(seen), layer.heads)", "split_heads(layer.to_v(seen), layer.to_q.out_features // layer.heads)")

# %% [markdown] lang="en" role="mistake" name="scrambled_heads"
# The shapes are right, but the heads were made by reshaping (B, L, heads d) to (B, heads, L, d) at once: a head then holds
# whole tokens in place of a part of each. Split the last axis, then swap: `split_heads` does both.
# %% [markdown] lang="vi" of="4a62629d"
# Kích thước đúng, nhưng các đầu được tạo bằng cách reshape thẳng (B, L, heads d) thành (B, heads, L, d): khi ấy mỗi đầu chứa
# nguyên các token thay vì một phần của mỗi token. Hãy tách trục cuối, rồi đổi chỗ: `split_heads` làm cả hai.
# %% role="wrong" name="scrambled_heads"
patch("split_heads(layer.to_q(x), layer.heads)", "layer.to_q(x).reshape(len(x), layer.heads, x.shape[1], -1)")
patch("split_heads(layer.to_k(seen), layer.heads)", "layer.to_k(seen).reshape(len(x), layer.heads, seen.shape[1], -1)")
patch("split_heads(layer.to_v(seen), layer.heads)", "layer.to_v(seen).reshape(len(x), layer.heads, seen.shape[1], -1)")

# %% [markdown] lang="en" role="mistake" name="merged_without_swap"
# The heads were split well, but joined by a reshape of (B, heads, N, d) to (B, N, heads d) at once: what the heads found for
# different tokens gets mixed. Swap the axes of heads and tokens first: `merge_heads` does it.
# %% [markdown] lang="vi" of="98bb5c4a"
# Các đầu được chia đúng, nhưng lại gộp bằng cách reshape thẳng (B, heads, N, d) thành (B, N, heads d): kết quả của các token
# khác nhau bị trộn lẫn. Hãy đổi chỗ trục đầu với trục token trước: `merge_heads` làm việc đó.
# %% role="wrong" name="merged_without_swap"
patch("merge_heads(weights @ value)", "(weights @ value).reshape(len(x), x.shape[1], -1)")

# %% [markdown] lang="en" role="mistake" name="residual_added"
# x was added to the result. That is the block's work, which also has a gate for it; attention returns what was found, no more.
# %% [markdown] lang="vi" of="df1eb2af"
# x đã được cộng vào kết quả. Đó là việc của khối, nơi còn có cổng cho phép cộng ấy; cơ chế chú ý chỉ trả về những gì tìm được.
# %% role="wrong" name="residual_added"
patch("return layer.to_out", "return x + layer.to_out")

# %% [markdown] lang="en" role="mistake" name="detached"
# The numbers are right, but no gradient passes (`detach`, `no_grad` or numpy is in the way): neither the layer nor anything
# before it could learn. Gradients are turned off where one samples, not inside a layer.
# %% [markdown] lang="vi" of="0856ae28"
# Các số đều đúng, nhưng không gradient nào đi qua được (vì `detach`, `no_grad` hay numpy): cả lớp này lẫn mọi thứ phía trước
# đều không thể học. Chỗ tắt gradient là lúc lấy mẫu, không phải bên trong một lớp.
# %% role="wrong" name="detached"
patch("def attention(\n", "@torch.no_grad()\ndef attention(\n")

# %% [markdown] lang="en" role="mistake" name="layer_called"
# It calls `layer` itself. In the network that is your function, which would call itself without end; here such a layer answers
# 0. Use its parts `to_q`, `to_k`, `to_v` and `to_out[0]`.
# %% [markdown] lang="vi" of="ba242816"
# Hàm gọi chính `layer`. Trong mạng, đó chính là hàm của bạn, nên nó sẽ tự gọi mình mãi; ở đây lớp như vậy trả lời 0. Hãy dùng
# các bộ phận `to_q`, `to_k`, `to_v` và `to_out[0]` của nó.
# %% role="wrong" name="layer_called"
def attention(layer: Attention, x: Tensor, context: Tensor | None, bias: Tensor | None) -> Tensor:
    return layer(x, context, bias)

# %% role="library"
import torch.nn.functional as F
from einops import rearrange


def attention(layer, x, context, bias):
    """PyTorch's fused kernel, with heads by einops."""
    seen = x if context is None else context
    parts = layer.to_q(x), layer.to_k(seen), layer.to_v(seen)
    query, key, value = (rearrange(part, "b l (h d) -> b h l d", h=layer.heads) for part in parts)
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return layer.to_out[0](rearrange(found, "b h n d -> b n (h d)"))

# %% role="payoff"
def draw(attention: Callable) -> Tensor:
    def forward(
        layer: Attention, x: Tensor, context: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        return attention(layer, x, context, mask)

    with patch.object(Attention, "forward", forward):
        return pictures("a pink heart above a green car", "ba bông hoa đỏ trên đồng cỏ")


payoff(draw, attention)
