"""Exercise 07.3, CrossAttention: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="30"
# ## Cross-attention with a padding mask
#
# **Write a module.** The image asks and the sentence answers: queries come from the image's positions x (B, N, query_dim), keys
# and values from the sentence's tokens (B, L, context_dim), and every head computes
#
# $$\operatorname{softmax}\!\Big(\frac{Q K^\top}{\sqrt{d}} + \text{mask}\Big)\, V$$
#
# Sentences of a batch are padded to one length; `mask` (B, L) is True for tokens, and padding must get weight 0: in the
# formula, mask is 0 for tokens and −∞ for padding. The layers are called `to_q`, `to_k`, `to_v` (without bias) and `to_out`
# (one `nn.Linear` with bias), because shipped weights are found by name. Use your `split_heads` and `merge_heads`.
# %% [markdown] lang="vi" of="d106b611"
# ## Chú ý chéo với mặt nạ cho phần đệm
#
# **Viết một module.** Bức ảnh hỏi, câu văn trả lời: truy vấn (query) đến từ các vị trí của ảnh x (B, N, query_dim), khóa (key)
# và giá trị (value) đến từ các token của câu (B, L, context_dim), và mỗi đầu tính
#
# $$\operatorname{softmax}\!\Big(\frac{Q K^\top}{\sqrt{d}} + \text{mask}\Big)\, V$$
#
# Các câu trong một lô được đệm (padding) cho dài bằng nhau; `mask` (B, L) là True ở các token, còn phần đệm phải nhận trọng số
# 0: trong công thức, mask là 0 ở token và −∞ ở phần đệm. Các lớp tên là `to_q`, `to_k`, `to_v` (không có bias) và `to_out`
# (một `nn.Linear` có bias), vì trọng số có sẵn tìm chúng theo tên. Hãy dùng `split_heads` và `merge_heads` của bạn.

# %% [markdown] lang="en" role="hints"
# Write the shape beside every line. What are the input and output widths of each of the four layers? All heads together are
# `heads * head_dim` wide.
# ---
# q comes from x; k and v from context, both. The logits are (B, heads, N, L), so the mask must become (B, 1, 1, L): `[:, None,
# None]`. The softmax runs over the keys.
# ---
# logits = q @ k.transpose(-1, -2) / head_dim ** 0.5; `logits.masked_fill(~mask[:, None, None], -torch.inf)` if there is a mask;
# then `softmax(-1) @ v`, merge, `to_out`.
# %% [markdown] lang="vi" of="5b9baf22"
# Hãy ghi kích thước bên cạnh từng dòng. Bề rộng vào và ra của mỗi lớp trong bốn lớp là bao nhiêu? Tất cả các đầu cộng lại rộng
# `heads * head_dim`.
# ---
# q đến từ x; k và v, cả hai, đến từ context. Logit có kích thước (B, heads, N, L), nên mặt nạ phải thành (B, 1, 1, L): `[:,
# None, None]`. Softmax chạy theo các khóa.
# ---
# logits = q @ k.transpose(-1, -2) / head_dim ** 0.5; `logits.masked_fill(~mask[:, None, None], -torch.inf)` nếu có mặt nạ; rồi
# `softmax(-1) @ v`, ghép các đầu, `to_out`.

# %% [markdown] lang="en" role="stub"
# Tokens x (B, N, query_dim) attend to context (B, L, context_dim) with `heads`
# heads, each head_dim wide; where mask (B, L) is False, nothing is looked at.
# Returns (B, N, query_dim), of the weights' dtype.
# ---
# 1. begin as every module does, and keep the number of heads
# 2. to_q, to_k, to_v, without bias                     # ..., heads * head_dim
# 3. to_out, with bias                                  # ..., query_dim
# ---
# 1. queries from x                                     # (B, heads, N, d)
# 2. keys and values from the context                   # (B, heads, L, d)
# 3. logits, scaled                                     # (B, heads, N, L)
# 4. hide the padding, if there is a mask               # (B, 1, 1, L)
# 5. weigh the values                                   # (B, heads, N, d)
# 6. merge the heads, to_out                            # (B, N, query_dim)
# %% [markdown] lang="vi" of="f9aecc01"
# Các token x (B, N, query_dim) chú ý đến context (B, L, context_dim) bằng `heads`
# đầu, mỗi đầu rộng head_dim; chỗ nào mask (B, L) là False thì không được nhìn.
# Trả về (B, N, query_dim), cùng kiểu số với trọng số.
# ---
# 1. mở đầu như mọi module, và giữ lại số đầu
# 2. to_q, to_k, to_v, không có bias                    # ..., heads * head_dim
# 3. to_out, có bias                                    # ..., query_dim
# ---
# 1. truy vấn từ x                                      # (B, heads, N, d)
# 2. khóa và giá trị từ context                         # (B, heads, L, d)
# 3. logit, đã chia tỉ lệ                               # (B, heads, N, L)
# 4. che phần đệm, nếu có mặt nạ                        # (B, 1, 1, L)
# 5. trung bình có trọng số của các giá trị             # (B, heads, N, d)
# 6. ghép các đầu, to_out                               # (B, N, query_dim)

# %% role="solution"
class CrossAttention(nn.Module):
    def __init__(
        self, query_dim: int, context_dim: int, heads: int, head_dim: int
    ) -> None:
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    def forward(
        self, x: Tensor, context: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        q = split_heads(self.to_q(x), self.heads)               # (B, heads, N, d)
        k = split_heads(self.to_k(context), self.heads)         # (B, heads, L, d)
        v = split_heads(self.to_v(context), self.heads)         # (B, heads, L, d)
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5   # (B, heads, N, L)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None], -torch.inf)
        found = logits.softmax(dim=-1) @ v                      # (B, heads, N, d)
        return self.to_out(merge_heads(found))                  # (B, N, query_dim)

# %% [markdown] lang="en" role="checks"
# - weights of the published names and shapes go in
# - sizes of all weights
# - shape and dtype of the result
# - six positions and five tokens of another width, without a mask; then other sentences
# - with a mask: sentences of 3 tokens and of 1
# - context as wide and as long as x, with a mask, then without
# - one sentence, one head
# - what stands in the padding changes nothing, however large it is
# - gradients, which reach every weight
# %% [markdown] lang="vi" of="6b8d9e16"
# - nạp được trọng số với tên và kích thước đã công bố
# - kích thước của mọi trọng số
# - kích thước và kiểu số của kết quả
# - sáu vị trí và năm token có bề rộng khác, không có mặt nạ; rồi những câu khác
# - có mặt nạ: các câu dài 3 token và 1 token
# - context rộng và dài bằng x, có mặt nạ, rồi không có
# - một câu, một đầu
# - nội dung của phần đệm không làm thay đổi gì, dù lớn đến đâu
# - gradient, đến được mọi trọng số

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(f, query_dim, context_dim, heads, head_dim):
    """A module in float64 with the same weights each time: the parameters take theirs in the order of their names."""
    module, dice = f(query_dim, context_dim, heads, head_dim).double(), torch.Generator().manual_seed(8)
    for _, parameter in sorted(module.named_parameters()):
        draws = torch.randn(parameter.shape, generator=dice, dtype=torch.float64)
        parameter.data = draws * (1.5 if parameter.ndim > 1 else 1) / parameter.shape[-1] ** 0.5
    return module


def sizes(f):
    """Each weight's shape, sorted by name."""
    return [list(parameter.shape) for _, parameter in sorted(f(10, 7, 3, 4).named_parameters())]


def loaded(f, weights):
    """The names of the weights, after a strict load."""
    module = f(10, 7, 3, 4)
    module.load_state_dict(weights)
    return sorted(module.state_dict())


def shape_and_dtype(f, x, context, mask):
    found = []
    for kind in (torch.float32, torch.float64):
        y = f(10, 7, 3, 4).to(kind)(x.to(kind), context.to(kind), mask)
        found += [list(y.shape), str(y.dtype)]
    return found


def seen_by(f, x, context, mask):
    return made(f, 10, 7, 3, 4)(x, context, mask)


def unmasked(f, x, context):
    """One module, which reads two batches of sentences, one after the other."""
    module = made(f, 10, 7, 3, 4)
    return [module(x, context), module(x, context.flip(0))]


def as_wide(f, x, context, mask):
    """Context of the width and length of x, with a mask, and then without one."""
    module = made(f, 10, 10, 3, 5)
    return [module(x, context, mask), module(x, context)]


def one_of_each(f, x, context, mask):
    return made(f, 10, 7, 1, 4)(x, context, mask)


def other_padding(f, x, context, mask):
    module = made(f, 10, 7, 3, 4)
    other = torch.where(mask[..., None], context, context + 100)
    return [module(x, context, mask)[0], module(x, other, mask)[0]]


def gradients(f, x, context, mask):
    """Of a sum of squares, for every weight in the order of names."""
    module = made(f, 10, 7, 3, 4)
    module(x, context, mask).square().sum().backward()
    return [parameter.grad for _, parameter in sorted(module.named_parameters())]


X, CONTEXT = normal(2, 6, 10, seed=1), normal(2, 5, 7, seed=2)
MASK = torch.arange(5) < torch.tensor([[3], [1]])
SHAPES = {"to_q.weight": (12, 10), "to_k.weight": (12, 7), "to_v.weight": (12, 7)}
SHAPES |= {"to_out.weight": (10, 12), "to_out.bias": (10,)}
WEIGHTS = {name: normal(*shape, seed=3).float() for name, shape in SHAPES.items()}
WIDE = {"x": normal(2, 6, 10, seed=1), "context": normal(2, 6, 10, seed=4), "mask": torch.arange(6) < torch.tensor([[4], [2]])}

probe(loaded, weights=WEIGHTS)
probe(sizes)
probe(shape_and_dtype, x=X, context=CONTEXT, mask=MASK)
probe(unmasked, points=2, x=X, context=CONTEXT)
probe(seen_by, points=2, x=X, context=CONTEXT, mask=MASK)
probe(as_wide, **WIDE)
probe(one_of_each, x=X[:1], context=CONTEXT[:1], mask=MASK[:1])
probe(other_padding, x=X, context=CONTEXT, mask=MASK)
probe(gradients, rtol=1e-4, atol=1e-5, x=X, context=CONTEXT, mask=MASK)

# %% [markdown] lang="en" role="mistake" name="no_super"
# PyTorch cannot register a layer before `nn.Module` itself is set up. The first line of `__init__` is `super().__init__()`.
# %% [markdown] lang="vi" of="1400d69e"
# PyTorch chưa ghi nhận được lớp nào khi chính `nn.Module` chưa được dựng. Dòng đầu tiên của `__init__` là `super().__init__()`.
# %% role="wrong" name="no_super"
patch("        super().__init__()\n", "")

# %% [markdown] lang="en" role="mistake" name="other_names"
# It computes the right thing, but its weights have other names: a layer is called otherwise, or sits in a list or
# `nn.Sequential`, which adds ".0"; or there is a buffer too many. Weights are found by name alone, and these are all: to_q,
# to_k, to_v, to_out, each an `nn.Linear`.
# %% [markdown] lang="vi" of="85582dd0"
# Phép tính thì đúng, nhưng trọng số mang tên khác: một lớp được gọi khác đi, hoặc nằm trong danh sách hay `nn.Sequential`,
# khiến tên có thêm ".0"; hoặc thừa một buffer. Trọng số chỉ được tìm theo tên, và chỉ có to_q, to_k, to_v, to_out, mỗi cái một
# `nn.Linear`.
# %% role="wrong" name="other_names"
patch("self.to_out = nn.Linear(inner, query_dim)", "self.to_out = nn.Sequential(nn.Linear(inner, query_dim))")

# %% [markdown] lang="en" role="mistake" name="kv_from_image"
# Keys and values come from x: the image looks at itself and the sentence is never read, so four prompts give one picture. With
# widths that differ it stops, with equal ones nothing warns you. Give to_k and to_v the context.
# %% [markdown] lang="vi" of="3404d7b4"
# Khóa và giá trị đến từ x: bức ảnh nhìn chính nó, câu văn không hề được đọc, nên bốn prompt cho cùng một bức tranh. Khi bề rộng
# khác nhau thì nó dừng, còn khi bằng nhau thì không gì báo trước. Hãy đưa context cho to_k và to_v.
# %% role="wrong" name="kv_from_image"
patch("self.to_k(context)", "self.to_k(x)")
patch("self.to_v(context)", "self.to_v(x)")

# %% [markdown] lang="en" role="mistake" name="values_from_image"
# The sentence decides where to look (keys), but what is taken from there are values of the image, x. Both to_k and to_v get the
# context: otherwise no word's meaning ever enters the picture.
# %% [markdown] lang="vi" of="115d7978"
# Câu văn quyết định nhìn vào đâu (khóa), nhưng thứ được lấy ra lại là giá trị của ảnh, x. Cả to_k lẫn to_v đều nhận context:
# nếu không, nghĩa của lời không bao giờ vào được tranh.
# %% role="wrong" name="values_from_image"
patch("self.to_v(context)", "self.to_v(x)")

# %% [markdown] lang="en" role="mistake" name="keys_from_image"
# The values come from the sentence, but the keys from x: where to look has nothing to do with the words. Both to_k and to_v get
# the context.
# %% [markdown] lang="vi" of="8b5f5389"
# Giá trị đến từ câu văn, nhưng khóa lại đến từ x: việc nhìn vào đâu không liên quan gì đến lời. Cả to_k lẫn to_v đều nhận
# context.
# %% role="wrong" name="keys_from_image"
patch("self.to_k(context)", "self.to_k(x)")

# %% [markdown] lang="en" role="mistake" name="self_attention"
# This is self-attention: to_k and to_v are made for query_dim and get x, so the sentence is never read, whatever its width.
# They read the context: `nn.Linear(context_dim, ...)`, applied to context.
# %% [markdown] lang="vi" of="9f750591"
# Đây là tự chú ý: to_k và to_v được làm cho query_dim và nhận x, nên câu văn không hề được đọc, dù rộng bao nhiêu. Chúng phải
# đọc context: `nn.Linear(context_dim, ...)`, áp dụng cho context.
# %% role="wrong" name="self_attention"
patch("self.to_k = nn.Linear(context_dim", "self.to_k = nn.Linear(query_dim")
patch("self.to_v = nn.Linear(context_dim", "self.to_v = nn.Linear(query_dim")
patch("self.to_k(context)", "self.to_k(x)")
patch("self.to_v(context)", "self.to_v(x)")

# %% [markdown] lang="en" role="mistake" name="kv_of_query_width"
# It works only where sentence and image are equally wide: to_k and to_v are made for query_dim. What goes into them is the
# context, context_dim wide.
# %% [markdown] lang="vi" of="af4e3751"
# Nó chỉ chạy khi câu và ảnh rộng bằng nhau: to_k và to_v được làm cho query_dim. Thứ đi vào chúng là context, rộng context_dim.
# %% role="wrong" name="kv_of_query_width"
patch("self.to_k = nn.Linear(context_dim", "self.to_k = nn.Linear(query_dim")
patch("self.to_v = nn.Linear(context_dim", "self.to_v = nn.Linear(query_dim")

# %% [markdown] lang="en" role="mistake" name="mask_inverted"
# The mask is the wrong way round: tokens are hidden and padding is looked at, and a sentence without padding has nothing left
# to look at. True means a token, so hide where it is False: `~mask`.
# %% [markdown] lang="vi" of="bbfcf5c3"
# Mặt nạ bị ngược: token thì bị che, phần đệm thì được nhìn; câu không có phần đệm chẳng còn gì để nhìn. True nghĩa là token,
# nên hãy che chỗ nào là False: `~mask`.
# %% role="wrong" name="mask_inverted"
patch("~mask", "mask")

# %% [markdown] lang="en" role="mistake" name="mask_ignored"
# The mask has no effect: padding is looked at like words, so a sentence means something else as soon as a longer one is in its
# batch. Hide the padding before the softmax; note that `masked_fill` returns a new tensor and leaves the old one as it was.
# %% [markdown] lang="vi" of="8812c526"
# Mặt nạ không có tác dụng: phần đệm được nhìn như lời, nên một câu đổi nghĩa ngay khi trong lô có câu dài hơn. Hãy che phần đệm
# trước softmax; lưu ý `masked_fill` trả về tensor mới và để nguyên tensor cũ.
# %% role="wrong" name="mask_ignored"
patch("logits = logits.masked_fill", "logits.masked_fill")

# %% [markdown] lang="en" role="mistake" name="mask_added"
# The mask was added as a number: True counts as 1, so tokens get a logit 1 higher and padding is still looked at. Hidden logits
# must become -inf.
# %% [markdown] lang="vi" of="d132a6d5"
# Mặt nạ bị cộng như một con số: True tính là 1, nên logit của token chỉ cao hơn 1 và phần đệm vẫn được nhìn. Logit bị che phải
# thành -inf.
# %% role="wrong" name="mask_added"
patch("logits.masked_fill(~mask[:, None, None], -torch.inf)", "logits + mask[:, None, None]")

# %% [markdown] lang="en" role="mistake" name="zero_before_softmax"
# Hidden logits became 0, and exp(0) is 1: padding still gets weight, often more than words do. A weight of 0 needs a logit of
# -inf.
# %% [markdown] lang="vi" of="1e293f1c"
# Logit bị che thành 0, mà exp(0) bằng 1: phần đệm vẫn nhận trọng số, nhiều khi hơn cả lời. Muốn trọng số bằng 0 thì logit phải
# là -inf.
# %% role="wrong" name="zero_before_softmax"
patch("-torch.inf", "0.0")

# %% [markdown] lang="en" role="mistake" name="masked_after_softmax"
# The padding was removed only after the softmax: its weights or values became 0, but its share is lost, and the words' weights
# no longer add up to 1. The shorter the sentence, the weaker its words. Mask the logits before the softmax, which then shares
# everything among the tokens.
# %% [markdown] lang="vi" of="6fc87ce7"
# Phần đệm chỉ bị bỏ đi sau softmax: trọng số hoặc giá trị của nó thành 0, nhưng phần của nó mất luôn, và trọng số của các từ
# không còn có tổng bằng 1. Câu càng ngắn, lời càng yếu. Hãy che
# logit trước softmax, để softmax chia tất cả cho các token.
# %% role="wrong" name="masked_after_softmax"
patch("            logits = logits.masked_fill(~mask[:, None, None], -torch.inf)\n", "            kept = mask[:, None, None]\n")
patch("found = logits.softmax(dim=-1) @ v", "found = logits.softmax(-1) * (1 if mask is None else kept) @ v")

# %% [markdown] lang="en" role="mistake" name="mask_without_heads"
# The mask has the wrong dimensions: (B, 1, L) or (B, L) lines up with heads or positions, not with sentences, and works by luck
# at B = 1 at best. The logits are (B, heads, N, L), so it must be (B, 1, 1, L).
# %% [markdown] lang="vi" of="c612f0a7"
# Mặt nạ sai số chiều: (B, 1, L) hay (B, L) khớp với đầu hoặc vị trí chứ không khớp với câu, và cùng lắm chỉ chạy nhờ may mắn
# khi B = 1. Logit là (B, heads, N, L), nên mặt nạ phải là (B, 1, 1, L).
# %% role="wrong" name="mask_without_heads"
patch("mask[:, None, None]", "mask[:, None]")

# %% [markdown] lang="en" role="mistake" name="scale_of_all_heads"
# The logits are divided by the root of the whole width, heads * head_dim. Each head compares vectors of head_dim numbers, so
# divide by the root of that; with more, every head looks more evenly than it was trained to.
# %% [markdown] lang="vi" of="072d9105"
# Logit bị chia cho căn của cả bề rộng, heads * head_dim. Mỗi đầu so các vector có head_dim số, nên hãy chia cho căn của số ấy;
# chia nhiều hơn thì mọi đầu nhìn dàn trải hơn lúc huấn luyện.
# %% role="wrong" name="scale_of_all_heads"
patch("q.shape[-1] ** 0.5  ", "self.to_q.out_features ** 0.5  ")

# %% [markdown] lang="en" role="mistake" name="scale_of_query_dim"
# The logits are divided by the root of query_dim. What is multiplied are queries and keys of one head, and those are head_dim
# wide.
# %% [markdown] lang="vi" of="c37d1926"
# Logit bị chia cho căn của query_dim. Thứ được nhân là truy vấn và khóa của một đầu, và chúng rộng head_dim.
# %% role="wrong" name="scale_of_query_dim"
patch("q.shape[-1] ** 0.5  ", "x.shape[-1] ** 0.5  ")

# %% [markdown] lang="en" role="mistake" name="scale_by_heads"
# The logits are divided by the root of the number of heads. A dot product grows with the root of the number of products in it,
# and that is head_dim.
# %% [markdown] lang="vi" of="a19e82a5"
# Logit bị chia cho căn của số đầu. Tích vô hướng lớn theo căn của số tích bên trong nó, tức là head_dim.
# %% role="wrong" name="scale_by_heads"
patch("q.shape[-1] ** 0.5  ", "self.heads ** 0.5  ")

# %% [markdown] lang="en" role="mistake" name="no_scale"
# The logits are not scaled. A dot product of d numbers has a spread of about sqrt(d); undivided, the softmax picks nearly one
# token alone. Divide by the root of head_dim.
# %% [markdown] lang="vi" of="acae34a2"
# Logit chưa được chia tỉ lệ. Tích vô hướng của d số dao động cỡ căn d; không chia thì softmax gần như chỉ chọn một token. Hãy
# chia cho căn của head_dim.
# %% role="wrong" name="no_scale"
patch(" / q.shape[-1] ** 0.5  ", "  ")

# %% [markdown] lang="en" role="mistake" name="divided_by_d"
# All in all, the logits are divided by head_dim itself. It must be its root, for that is how the spread of a dot product grows.
# %% [markdown] lang="vi" of="4aa704c6"
# Tính ra thì logit bị chia cho chính head_dim. Phải là căn của nó, vì độ dao động của tích vô hướng lớn theo căn ấy.
# %% role="wrong" name="divided_by_d"
patch("q.shape[-1] ** 0.5  ", "q.shape[-1]  ")

# %% [markdown] lang="en" role="mistake" name="scale_multiplied"
# The logits are multiplied by the root of head_dim, not divided by it. Check: `x / d ** 0.5` is `x * d ** -0.5`.
# %% [markdown] lang="vi" of="b6b08479"
# Logit bị nhân với căn của head_dim thay vì chia. Hãy kiểm tra: `x / d ** 0.5` là `x * d ** -0.5`.
# %% role="wrong" name="scale_multiplied"
patch("/ q.shape[-1] ** 0.5  ", "* q.shape[-1] ** 0.5  ")

# %% [markdown] lang="en" role="mistake" name="softmax_over_positions"
# The softmax runs over the image's positions (dimension -2), so each word shares itself out among positions. Each position must
# share its attention among the words: the last dimension.
# %% [markdown] lang="vi" of="f7f466c9"
# Softmax chạy theo các vị trí của ảnh (chiều -2), nên mỗi từ tự chia mình cho các vị trí. Phải là mỗi vị trí chia sự chú ý của
# nó cho các từ: chiều cuối.
# %% role="wrong" name="softmax_over_positions"
patch("softmax(dim=-1)", "softmax(dim=-2)")

# %% [markdown] lang="en" role="mistake" name="softmax_over_heads"
# The softmax runs over the heads (dimension 1), so the heads compete for each word. The logits have four dimensions,
# (B, heads, N, L): the keys are the last one.
# %% [markdown] lang="vi" of="26752cde"
# Softmax chạy theo các đầu (chiều 1), nên các đầu tranh nhau từng từ. Logit có bốn chiều, (B, heads, N, L): các khóa là chiều
# cuối.
# %% role="wrong" name="softmax_over_heads"
patch("softmax(dim=-1)", "softmax(dim=1)")

# %% [markdown] lang="en" role="mistake" name="no_softmax"
# There is no softmax: the logits themselves weigh the values, negative ones too, and -inf ruins everything. The weights of a
# position are positive and add up to 1.
# %% [markdown] lang="vi" of="958e51ef"
# Không có softmax: chính logit làm trọng số, kể cả số âm, và -inf làm hỏng tất cả. Trọng số của một vị trí phải dương và có
# tổng bằng 1.
# %% role="wrong" name="no_softmax"
patch("logits.softmax(dim=-1) @ v", "logits @ v")

# %% [markdown] lang="en" role="mistake" name="values_not_weighted"
# The values are returned as they are; the weights were never used, so the result has as many rows as there are words. Multiply:
# weights (B, heads, N, L) @ values (B, heads, L, d).
# %% [markdown] lang="vi" of="85579d2e"
# Các giá trị được trả về nguyên như vậy; trọng số không hề được dùng, nên kết quả có số hàng bằng số từ. Hãy nhân: trọng số
# (B, heads, N, L) @ giá trị (B, heads, L, d).
# %% role="wrong" name="values_not_weighted"
patch("logits.softmax(dim=-1) @ v", "v")

# %% [markdown] lang="en" role="mistake" name="keys_weighted"
# The keys were weighed in place of the values. Keys say where to look; what is taken from there is v.
# %% [markdown] lang="vi" of="98fce539"
# Khóa bị lấy trung bình thay cho giá trị. Khóa cho biết nhìn vào đâu; thứ được lấy ra ở đó là v.
# %% role="wrong" name="keys_weighted"
patch("softmax(dim=-1) @ v", "softmax(dim=-1) @ k")

# %% [markdown] lang="en" role="mistake" name="keys_and_values_swapped"
# to_k and to_v have changed roles: the layer called to_v makes the keys. A network that you train would learn it; shipped
# weights know which is which.
# %% [markdown] lang="vi" of="f04e335a"
# to_k và to_v đã đổi vai: lớp tên là to_v lại tạo ra khóa. Mạng do bạn huấn luyện sẽ học được như thế; trọng số có sẵn thì biết
# cái nào là cái nào.
# %% role="wrong" name="keys_and_values_swapped"
patch("k = split_heads(self.to_k(", "v = split_heads(self.to_k(")
patch("v = split_heads(self.to_v(", "k = split_heads(self.to_v(")

# %% [markdown] lang="en" role="mistake" name="out_forgotten"
# `to_out` is there but never used: what comes back is heads * head_dim wide, and the heads are not mixed. Send the merged heads
# through it.
# %% [markdown] lang="vi" of="c2786ccd"
# Có `to_out` nhưng không dùng: kết quả rộng heads * head_dim, và các đầu chưa được trộn. Hãy đưa các đầu đã ghép qua nó.
# %% role="wrong" name="out_forgotten"
patch("self.to_out(merge_heads(found))", "merge_heads(found)")

# %% [markdown] lang="en" role="mistake" name="biased"
# to_q, to_k and to_v have biases, which the shipped weights have not: `nn.Linear(..., bias=False)`. Only to_out has one.
# %% [markdown] lang="vi" of="d9a51b29"
# to_q, to_k và to_v có bias, còn trọng số có sẵn thì không: `nn.Linear(..., bias=False)`. Chỉ to_out có bias.
# %% role="wrong" name="biased"
patch("nn.Linear(query_dim, inner, bias=False)", "nn.Linear(query_dim, inner)")
patch("self.to_k = nn.Linear(context_dim, inner, bias=False)", "self.to_k = nn.Linear(context_dim, inner)")
patch("self.to_v = nn.Linear(context_dim, inner, bias=False)", "self.to_v = nn.Linear(context_dim, inner)")

# %% [markdown] lang="en" role="mistake" name="out_without_bias"
# to_out has no bias, and there is one among the shipped weights. Only to_q, to_k and to_v go without.
# %% [markdown] lang="vi" of="78c1e911"
# to_out không có bias, trong khi trọng số có sẵn thì có. Chỉ to_q, to_k và to_v là không có.
# %% role="wrong" name="out_without_bias"
patch("nn.Linear(inner, query_dim)", "nn.Linear(inner, query_dim, bias=False)")

# %% [markdown] lang="en" role="mistake" name="view_for_split"
# Queries, keys and values were split by `view` or `reshape` alone: the shapes are right and the words are scrambled. Cut to
# (B, L, heads, d) and transpose, or use `split_heads`.
# %% [markdown] lang="vi" of="47047974"
# Truy vấn, khóa và giá trị chỉ được tách bằng `view` hay `reshape`: kích thước đúng mà lời thì xáo trộn. Hãy cắt thành
# (B, L, heads, d) rồi chuyển vị, hoặc dùng `split_heads`.
# %% role="wrong" name="view_for_split"
patch("split_heads(self.to_q(x), self.heads)  ", "self.to_q(x).view(len(x), self.heads, x.shape[1], -1)  ")
patch("split_heads(self.to_k(context), self.heads)  ", "self.to_k(context).view(len(x), self.heads, context.shape[1], -1)  ")
patch("split_heads(self.to_v(context), self.heads)  ", "self.to_v(context).view(len(x), self.heads, context.shape[1], -1)  ")

# %% [markdown] lang="en" role="mistake" name="view_for_merge"
# The heads were merged by `view` or `reshape` alone: the shape is right, and each position gets pieces of other positions. The
# heads go behind the positions first: transpose, or use `merge_heads`.
# %% [markdown] lang="vi" of="e17ef46e"
# Các đầu chỉ được ghép bằng `view` hay `reshape`: kích thước đúng mà mỗi vị trí nhận mảnh của các vị trí khác. Trước hết phải
# đưa các đầu ra sau các vị trí: chuyển vị, hoặc dùng `merge_heads`.
# %% role="wrong" name="view_for_merge"
patch("merge_heads(found)", "found.reshape(len(x), x.shape[1], -1)")

# %% [markdown] lang="en" role="mistake" name="view_twice"
# Split and merged by `view` or `reshape` alone, so all shapes are right and the words are scrambled twice. Both ways need a
# transpose of heads and tokens: use `split_heads` and `merge_heads`.
# %% [markdown] lang="vi" of="3cff19cf"
# Tách và ghép chỉ bằng `view` hay `reshape`, nên mọi kích thước đều đúng mà lời bị xáo trộn hai lần. Cả hai chiều đều cần
# chuyển vị đầu và token: hãy dùng `split_heads` và `merge_heads`.
# %% role="wrong" name="view_twice"
patch("split_heads(self.to_q(x), self.heads)  ", "self.to_q(x).view(len(x), self.heads, x.shape[1], -1)  ")
patch("split_heads(self.to_k(context), self.heads)  ", "self.to_k(context).view(len(x), self.heads, context.shape[1], -1)  ")
patch("split_heads(self.to_v(context), self.heads)  ", "self.to_v(context).view(len(x), self.heads, context.shape[1], -1)  ")
patch("merge_heads(found)", "found.reshape(len(x), x.shape[1], -1)")

# %% [markdown] lang="en" role="mistake" name="one_head"
# All heads were made one: the vectors were never split, so each position has a single row of weights. Split q, k and v before
# they are multiplied.
# %% [markdown] lang="vi" of="a9049105"
# Mọi đầu bị nhập làm một: các vector không hề được tách, nên mỗi vị trí chỉ có một hàng trọng số. Hãy tách q, k và v trước khi
# nhân.
# %% role="wrong" name="one_head"
patch("split_heads(self.to_q(x), self.heads)  ", "split_heads(self.to_q(x), 1)  ")
patch("split_heads(self.to_k(context), self.heads)  ", "split_heads(self.to_k(context), 1)  ")
patch("split_heads(self.to_v(context), self.heads)  ", "split_heads(self.to_v(context), 1)  ")

# %% [markdown] lang="en" role="mistake" name="residual_added"
# x was added to the result. That sum is the block's business (the next exercise): this module returns only what it found.
# %% [markdown] lang="vi" of="b967931f"
# x đã bị cộng vào kết quả. Phép cộng ấy là việc của khối (bài tập sau): module này chỉ trả về những gì nó tìm được.
# %% role="wrong" name="residual_added"
patch("return self.to_out(merge_heads(found))  ", "return x + self.to_out(merge_heads(found))  ")

# %% [markdown] lang="en" role="mistake" name="finite_mask"
# Padding is made less likely, not hidden: a fixed number was taken off its logits, and where those are large it is looked at
# all the same. A logit of -inf gives weight 0 whatever stands there.
# %% [markdown] lang="vi" of="a8e27a20"
# Phần đệm chỉ bị giảm trọng số chứ chưa bị che: logit của nó bị trừ đi một số cố định, nên chỗ nào logit lớn thì vẫn được
# nhìn. Logit bằng -inf thì trọng số là 0, bất kể ở đó có gì.
# %% role="wrong" name="finite_mask"
patch("logits.masked_fill(~mask[:, None, None], -torch.inf)", "logits - 100.0 * ~mask[:, None, None]")

# %% [markdown] lang="en" role="mistake" name="words_remembered"
# Keys and values of the first call are kept, and every later call reads the same old sentence. The next batch brings other
# words: compute k and v in each call.
# %% [markdown] lang="vi" of="23319dd7"
# Khóa và giá trị của lần gọi đầu được giữ lại, và mọi lần gọi sau đều đọc câu cũ ấy. Lô sau mang lời khác: hãy tính k và v ở
# mỗi lần gọi.
# %% role="wrong" name="words_remembered"
patch("        self.to_out = nn", "        self.kept = None\n        self.to_out = nn")
patch("        logits = q @ k", "        self.kept = k, v = self.kept or (k, v)\n        logits = q @ k")

# %% [markdown] lang="en" role="mistake" name="inner_is_query_dim"
# The layers are query_dim wide inside, and head_dim is never used. All heads together are `heads * head_dim` wide; only
# `to_out` comes back to query_dim.
# %% [markdown] lang="vi" of="4cced6fb"
# Bề rộng bên trong các lớp là query_dim, và head_dim không được dùng đến. Tất cả các đầu cộng lại rộng `heads * head_dim`; chỉ
# `to_out` mới trở về query_dim.
# %% role="wrong" name="inner_is_query_dim"
patch("heads, heads * head_dim", "heads, query_dim")

# %% [markdown] lang="en" role="mistake" name="heads_and_width_swapped"
# The vectors were split into head_dim heads, each `heads` wide. It is the other way round: the second argument of
# `split_heads` is the number of heads.
# %% [markdown] lang="vi" of="a7320849"
# Các vector bị tách thành head_dim đầu, mỗi đầu rộng `heads`. Phải ngược lại: đối số thứ hai của `split_heads` là số đầu.
# %% role="wrong" name="heads_and_width_swapped"
patch("self.heads, inner = heads, heads", "self.heads, inner = head_dim, heads")
patch("q.shape[-1] ** 0.5  ", "self.heads ** 0.5  ")

# %% [markdown] lang="en" role="mistake" name="no_gradients"
# The results are right, but nothing can be learnt: gradients are off in `forward`, so no weight hears of its error. A module
# leaves that to its caller.
# %% [markdown] lang="vi" of="14d77f3d"
# Kết quả đúng, nhưng không học được gì: gradient bị tắt trong `forward`, nên không trọng số nào biết mình sai bao nhiêu.
# Module để việc đó cho nơi gọi nó.
# %% role="wrong" name="no_gradients"
patch("    def forward(", "    @torch.no_grad()\n    def forward(")

# %% role="library"
import torch.nn.functional as F
from einops import rearrange
from torch import nn


class CrossAttention(nn.Module):
    """Without a line of the other exercises: einops and PyTorch's own attention."""

    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        for name, width in (("to_q", query_dim), ("to_k", context_dim), ("to_v", context_dim)):
            setattr(self, name, nn.Linear(width, heads * head_dim, bias=False))
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        pairs = ((self.to_q, x), (self.to_k, context), (self.to_v, context))
        q, k, v = (rearrange(layer(tokens), "b l (h d) -> b h l d", h=self.heads) for layer, tokens in pairs)
        allowed = None if mask is None else rearrange(mask, "b l -> b 1 1 l")
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        return self.to_out(rearrange(found, "b h n d -> b n (h d)"))

# %% role="payoff"
def draw(CrossAttention: type[nn.Module]) -> Tensor:
    with cross_attention_of(CrossAttention) as network:
        return draw_with(network)                               # (4, 3, 128, 128)


payoff(draw, CrossAttention)
