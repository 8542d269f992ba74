"""Exercise 17.4, CrossAttention: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("CrossAttention", "WordAttention", "AskWords")

# %% [markdown] lang="en" role="task" difficulty="4" minutes="7"
# ## Part 1, the U-Net: a picture asks the words
#
# Cross-attention, whose keys and values come **ready made** (you make them in exercise 17.11, once a prompt). Write the class.
# `to_q` is linear, without bias, from `width` to `heads * head_width`; `to_out` is linear, with bias, and leads back.
#
# The forward pass is given feature maps x (B, C, H, W), C = `width`. Each place is a token, row by row, and asks: softmax of
# $QK^T / \sqrt d$ + `bias`, times V, with d = `head_width`. A bias may also lie between 0 and `HIDDEN`, or above 0. Head 0 has
# the first d numbers of a query. The result has x's shape; x itself is not added.
# %% [markdown] lang="vi" of="5053cb08"
# ## Phần 1, U-Net: ảnh hỏi lời
#
# Chú ý chéo, mà khóa và giá trị đã được **làm sẵn** (bạn sẽ làm chúng ở bài 17.11, mỗi prompt một lần). Hãy viết lớp (class)
# này. `to_q` là tuyến tính, không có bias, từ `width` đến `heads * head_width`; `to_out` là tuyến tính, có bias, và dẫn ngược
# lại.
#
# Lượt truyền xuôi nhận bản đồ đặc trưng x (B, C, H, W), C = `width`. Mỗi vị trí là một token, lần lượt từng hàng, và đặt câu
# hỏi: softmax của $QK^T / \sqrt d$ + `bias`, nhân với V, với d = `head_width`. Bias cũng có thể nằm giữa 0 và `HIDDEN`, hoặc
# lớn hơn 0. Đầu 0 giữ d số đầu của truy vấn. Kết quả có kích thước của x; không cộng chính x vào.

# %% [markdown] lang="en" role="hints"
# (B, C, H, W) to (B, H · W, C), and back at the end: flatten, then transpose; transpose, then reshape.
# ---
# `unflatten(2, (heads, -1)).transpose(1, 2)` makes heads, and the opposite order undoes it.
# ---
# `q @ keys.mT` is (B, heads, H · W, L). The softmax runs over the words.
# %% [markdown] lang="vi" of="d03887ee"
# (B, C, H, W) thành (B, H · W, C), và ngược lại ở cuối: làm phẳng rồi chuyển vị; chuyển vị rồi đổi kích thước.
# ---
# `unflatten(2, (heads, -1)).transpose(1, 2)` chia thành các đầu, và làm theo thứ tự ngược lại thì gộp lại.
# ---
# `q @ keys.mT` có kích thước (B, heads, H · W, L). Softmax chạy theo các từ.

# %% [markdown] lang="en" role="stub"
# x (B, width, H, W) asks; keys and values (B, heads, L, head_width) answer; bias
# (B, 1, 1, L) is added to the logits. Returns (B, width, H, W).
# ---
# 1. to_q, to_out; remember what forward needs
# ---
# 1. places as tokens; their queries, in heads            # (B, heads, H W, d)
# 2. logits and softmax                                   # (B, heads, H W, L)
# 3. values, heads together, to_out                       # (B, H W, width)
# 4. tokens as places                                     # (B, width, H, W)
# %% [markdown] lang="vi" of="cb2b9b45"
# x (B, width, H, W) hỏi; keys và values (B, heads, L, head_width) trả lời; bias
# (B, 1, 1, L) được cộng vào logit. Trả về (B, width, H, W).
# ---
# 1. to_q, to_out; nhớ những gì forward cần
# ---
# 1. vị trí thành token; truy vấn của chúng, chia đầu     # (B, heads, H W, d)
# 2. logit và softmax                                     # (B, heads, H W, L)
# 3. các giá trị, gộp các đầu, to_out                     # (B, H W, width)
# 4. token thành vị trí                                   # (B, width, H, W)

# %% role="solution"
class CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int, head_width: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)                   # (B, H W, width)
        q = self.to_q(tokens).unflatten(2, (self.heads, -1))    # (B, H W, heads, d)
        q = q.transpose(1, 2)                                   # (B, heads, H W, d)
        logits = q @ keys.mT / q.shape[-1] ** 0.5 + bias        # (B, heads, H W, L)
        found = logits.softmax(dim=-1) @ values                 # (B, heads, H W, d)
        found = found.transpose(1, 2).flatten(2)                # (B, H W, heads d)
        return self.to_out(found).transpose(1, 2).reshape(x.shape)

# %% [markdown] lang="en" role="checks"
# - names and shapes of the weights
# - shape: 2 maps of 3 x 4
# - values, no padding
# - values, some words hidden, others with a bias of their own
# - values, as many places as words and one head
# - hidden words make no difference
# - gradients reach the map, keys, values and weights
# %% [markdown] lang="vi" of="d990df40"
# - tên và kích thước của các trọng số
# - kích thước: 2 bản đồ 3 x 4
# - giá trị, không có phần đệm
# - giá trị, có vài từ bị che, vài từ có bias riêng
# - giá trị, số vị trí bằng số từ và chỉ một đầu
# - các từ bị che không ảnh hưởng gì
# - gradient đến được bản đồ, khóa, giá trị và trọng số

# %% role="probes"
import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(f, width=6, heads=3, head_width=4):
    made = f(width, heads, head_width)
    made.load_state_dict({name: 0.6 * normal(*w.shape, seed=len(name)) for name, w in made.state_dict().items()})
    return made


def run(f, x, keys, values, bias):
    return layer(f, x.shape[1], *keys.shape[1::2])(x, keys, values, bias)


def hidden(f, x, keys, values, bias):
    """How much changes when other numbers stand where the bias hides them."""
    shown = bias[:, :, 0, :, None] == 0
    return run(f, x, keys, values, bias) - run(f, x, torch.where(shown, keys, -keys), torch.where(shown, values, 5.0), bias)


def reached(f, x, keys, values, bias):
    made, inputs = layer(f), [x, keys, values]
    run_ = made(*[tensor.requires_grad_() for tensor in inputs], bias)
    if not run_.requires_grad:
        return [False]
    run_.square().sum().backward()
    return [w.grad is not None for w in (*inputs, *made.parameters())]


X, K, V = normal(2, 6, 3, 4, seed=1), normal(2, 3, 5, 4, seed=2), normal(2, 3, 5, 4, seed=3)
NONE = torch.zeros(2, 1, 1, 5)
SOME = torch.tensor([[0, 0, 0, -1e4, -1e4], [0, 0, -1e4, -1e4, -1e4]])[:, None, None]
SOFT = SOME + torch.tensor([[0, -0.7, 1.2, 0, 0], [0.9, 0, 0, 0, 0]])[:, None, None]
ALL = dict(x=X, keys=K, values=V)

probe(lambda f: {name: list(w.shape) for name, w in f(6, 3, 4).state_dict().items()})
probe(lambda f, **kw: list(run(f, **kw).shape), **ALL, bias=NONE)
probe(run, points=2, **ALL, bias=NONE)
probe(run, **ALL, bias=SOFT)
probe(run, x=normal(2, 4, 1, 4, seed=4), keys=normal(2, 1, 4, 4, seed=5), values=normal(2, 1, 4, 4, seed=6), bias=NONE[..., :4])
probe(hidden, **ALL, bias=SOME)
probe(reached, changes=("x", "keys", "values"), **ALL, bias=SOME)

# %% [markdown] lang="en" role="mistake" name="no_root"
# The logits are not divided by the root of d: the softmax picks one word and forgets the others.
# %% [markdown] lang="vi" of="f504457f"
# Logit chưa được chia cho căn của d: softmax chỉ chọn một từ mà quên các từ khác.
# %% role="wrong" name="no_root"
patch(" / q.shape[-1] ** 0.5", "")

# %% [markdown] lang="en" role="mistake" name="whole_width"
# The logits are divided by the root of another width than that of one head: d is the last axis of q and of the keys.
# %% [markdown] lang="vi" of="98906f34"
# Logit bị chia cho căn của một bề rộng khác chứ không phải của một đầu: d là trục cuối của q và của keys.
# %% role="wrong" name="whole_width"
patch("q.shape[-1] ** 0.5", "self.to_q.out_features ** 0.5")

# %% [markdown] lang="en" role="mistake" name="softmax_over_places"
# The softmax runs over the places. Each place distributes its attention over the words: the last axis.
# %% [markdown] lang="vi" of="4abec244"
# Softmax chạy theo các vị trí. Mỗi vị trí phân phối sự chú ý của nó cho các từ: trục cuối.
# %% role="wrong" name="softmax_over_places"
patch("softmax(dim=-1)", "softmax(dim=-2)")

# %% [markdown] lang="en" role="mistake" name="bias_dropped"
# The bias is not used: padding is read as if it were words.
# %% [markdown] lang="vi" of="9e8d4195"
# Bias không được dùng: phần đệm bị đọc như thể là từ.
# %% role="wrong" name="bias_dropped"
patch(" + bias", "")

# %% [markdown] lang="en" role="mistake" name="bias_subtracted"
# The bias is subtracted from the logits: the padding is attended to in place of the words. Add it.
# %% [markdown] lang="vi" of="409d5dd3"
# Bias bị trừ khỏi logit: phần đệm được chú ý thay cho các từ. Hãy cộng.
# %% role="wrong" name="bias_subtracted"
patch(" + bias", " - bias")

# %% [markdown] lang="en" role="mistake" name="heads_scrambled"
# The queries go straight to (B, heads, H · W, d): no number moves, and the places are scrambled. Cut the width first, then
# transpose.
# %% [markdown] lang="vi" of="5b92c487"
# Truy vấn đi thẳng đến (B, heads, H · W, d): không số nào di chuyển, và các vị trí bị xáo trộn. Hãy cắt bề rộng trước rồi mới
# chuyển vị.
# %% role="wrong" name="heads_scrambled"
patch("self.to_q(tokens).unflatten(2, (self.heads, -1))    # (B, H W, heads, d)",
      "self.to_q(tokens).reshape(len(x), self.heads, tokens.shape[1], -1)")
patch("q = q.transpose(1, 2)  ", "q = q  ")

# %% [markdown] lang="en" role="mistake" name="merged_too_soon"
# The heads were merged without bringing them behind the places: transpose (1, 2) before you flatten.
# %% [markdown] lang="vi" of="3355f4fc"
# Các đầu bị gộp khi chưa đưa chúng ra sau các vị trí: hãy transpose (1, 2) trước khi làm phẳng.
# %% role="wrong" name="merged_too_soon"
patch("found = found.transpose(1, 2).flatten(2)  ", "found = found.reshape(len(x), tokens.shape[1], -1)  ")

# %% [markdown] lang="en" role="mistake" name="map_scrambled"
# The shape is right, but the tokens were turned into a map without a transpose: (B, H · W, C) is not (B, C, H, W).
# %% [markdown] lang="vi" of="106d812f"
# Kích thước đúng, nhưng token được đổi thành bản đồ mà không chuyển vị: (B, H · W, C) không phải (B, C, H, W).
# %% role="wrong" name="map_scrambled"
patch("self.to_out(found).transpose(1, 2).reshape(x.shape)", "self.to_out(found).reshape(x.shape)")

# %% [markdown] lang="en" role="mistake" name="tokens_scrambled"
# The places became tokens by `reshape` or `view` alone, so a token holds numbers of many places. Flatten the places, then
# transpose.
# %% [markdown] lang="vi" of="a914ce50"
# Các vị trí thành token chỉ bằng `reshape` hay `view`, nên một token chứa số của nhiều vị trí. Hãy làm phẳng các vị trí rồi
# chuyển vị.
# %% role="wrong" name="tokens_scrambled"
patch("x.flatten(2).transpose(1, 2)  ", "x.reshape(len(x), -1, x.shape[1])  ")

# %% [markdown] lang="en" role="mistake" name="added_to_x"
# x was added. That is the caller's business; return what attention found alone.
# %% [markdown] lang="vi" of="068704fa"
# x đã bị cộng vào. Đó là việc của nơi gọi; hãy chỉ trả về thứ mà cơ chế chú ý tìm được.
# %% role="wrong" name="added_to_x"
patch("return self.to_out", "return x + self.to_out")

# %% [markdown] lang="en" role="mistake" name="q_with_bias"
# `to_q` has a bias, for which the shipped weights have no numbers: bias=False.
# %% [markdown] lang="vi" of="bfac1585"
# `to_q` có bias, mà trọng số có sẵn không có số nào cho nó: bias=False.
# %% role="wrong" name="q_with_bias"
patch(", bias=False)", ")")

# %% [markdown] lang="en" role="mistake" name="keys_for_values"
# The weights sum up the keys. They should sum up the values.
# %% [markdown] lang="vi" of="ebb63c6e"
# Các trọng số cộng các khóa lại. Chúng phải cộng các giá trị.
# %% role="wrong" name="keys_for_values"
patch("@ values", "@ keys")

# %% [markdown] lang="en" role="mistake" name="only_a_mask"
# The bias only decides who is hidden. It is added to the logits: a small one makes a word weaker, not invisible.
# %% [markdown] lang="vi" of="1476cd49"
# Bias chỉ quyết định từ nào bị che. Phải cộng nó vào logit: bias nhỏ làm một từ yếu đi chứ không làm nó biến mất.
# %% role="wrong" name="only_a_mask"
patch("** 0.5 + bias ", "** 0.5 + torch.where(bias < -1e3, bias, 0) ")

# %% [markdown] lang="en" role="mistake" name="bias_divided"
# The bias was divided by the root of d, too. It is added behind the division.
# %% [markdown] lang="vi" of="1ea87bc5"
# Bias cũng bị chia cho căn của d. Phải cộng nó sau phép chia.
# %% role="wrong" name="bias_divided"
patch("q @ keys.mT / q.shape[-1] ** 0.5 + bias", "(q @ keys.mT + bias) / q.shape[-1] ** 0.5")

# %% role="library"
import torch.nn.functional as F
from einops import rearrange
from torch import nn


class CrossAttention(nn.Module):
    """PyTorch's fused kernel and einops' letters."""

    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, x, keys, values, bias):
        q = rearrange(self.to_q(rearrange(x, "b c h w -> b h w c")), "b h w (n d) -> b n (h w) d", n=self.heads)
        found = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias)
        return rearrange(self.to_out(rearrange(found, "b n l d -> b l (n d)")), "b (h w) c -> b c h w", h=x.shape[2])
