"""Exercise 07.4, text_block: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## Debugging: the prompt has no effect
#
# "Whatever I write, I get the same picture." The cell below shows it: your four sentences, from one noise. The U-Net is as
# shipped; only its transformer block was written anew, and **three** things in it are wrong. Mend one, and the symptom may
# stay: one fault can hide another. `check` tells you what is left.
#
# A block has three parts, each normalised before and added after: self-attention `attn1` (the image looks at itself),
# cross-attention `attn2` (the image looks at the sentence), and the feed-forward network `ff`. Both attentions are called like
# your `CrossAttention`. The last cell asks for the same four pictures again, with your block.
# %% [markdown] lang="vi" of="f275b245"
# ## Gỡ lỗi: prompt không có tác dụng
#
# "Viết gì tôi cũng nhận được cùng một bức tranh." Ô dưới đây cho thấy điều đó: bốn câu, từ cùng một nhiễu. U-Net vẫn là bản có
# sẵn; chỉ khối transformer được viết lại, và có **ba** chỗ sai. Sửa một chỗ thì triệu chứng có thể vẫn còn: lỗi này che lỗi
# kia. `check` cho biết còn gì.
#
# Khối có ba phần, mỗi phần được chuẩn hóa trước và cộng vào sau: tự chú ý (self-attention) `attn1` (bức ảnh nhìn chính nó), chú
# ý chéo `attn2` (bức ảnh nhìn câu văn), và mạng truyền thẳng (feed-forward) `ff`. Cả hai lớp chú ý được gọi như
# `CrossAttention` của bạn. Ô cuối cùng yêu cầu lại đúng bốn bức ấy, bằng khối của bạn.

# %% role="shown"
def broken_block(block: Any, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
    seen = ~mask                                                # (B, L)
    h = block.norm1(x)
    x = x + block.attn1(h, h)                                   # (B, N, D)
    h = block.norm2(x)
    told = block.attn1(h, h)                                    # (B, N, D)
    return x + block.ff(block.norm3(x))                         # (B, N, D)


same = start[2:3].repeat(4, 1, 1, 1)                            # one noise, four times
with blocks_run_by(broken_block) as network:
    show(draw_with(network, same), titles=["star", "fish", "mèo", "balloon"])

# %% [markdown] lang="en" role="hints"
# Follow the words: in which line does `context` get in, and where does what it said reach x?
# ---
# Which layer reads the sentence, and what are its three arguments? And what is done with `told`?
# ---
# `mask` is True for tokens already, as `CrossAttention` wants it. Cross-attention is `block.attn2(h, context, mask)`, and its
# result is added to x before the last line.
# %% [markdown] lang="vi" of="ff82a226"
# Hãy lần theo lời: `context` đi vào ở dòng nào, và điều nó nói đến được x ở đâu?
# ---
# Lớp nào đọc câu văn, và ba đối số của nó là gì? Còn `told` thì được dùng vào việc gì?
# ---
# `mask` vốn đã là True ở các token, đúng như `CrossAttention` cần. Chú ý chéo là `block.attn2(h, context, mask)`, và kết quả
# của nó được cộng vào x trước dòng cuối.

# %% [markdown] lang="en" role="stub" given="as_given"
# One transformer block: x (B, N, D) attends to itself, then to context
# (B, L, context_dim), whose mask (B, L) is True for tokens, then goes through the
# feed-forward network; each part is normalised before and added after. (B, N, D)
# ---
# 1. mend the three mistakes above
# 2. delete the next line
# %% [markdown] lang="vi" of="3ca36fbe"
# Một khối transformer: x (B, N, D) chú ý đến chính nó, rồi đến context
# (B, L, context_dim) có mask (B, L) là True ở các token, rồi qua mạng truyền
# thẳng; mỗi phần được chuẩn hóa trước và cộng vào sau. (B, N, D)
# ---
# 1. sửa ba lỗi ở trên
# 2. xóa dòng tiếp theo

# %% role="solution"
def text_block(block: Any, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
    h = block.norm1(x)
    x = x + block.attn1(h, h)                                   # (B, N, D)
    h = block.norm2(x)
    x = x + block.attn2(h, context, mask)                       # (B, N, D)
    return x + block.ff(block.norm3(x))                         # (B, N, D)

# %% [markdown] lang="en" role="checks"
# - shape of x
# - one call of each attention: what it looks at, and what it may see
# - the result, with a caption of another width than the image
# - the result, with a caption as wide and as long as the image
# - another prompt, another result
# - padding changes nothing
# - the words alone, where self-attention and feed-forward network give 0
# %% [markdown] lang="vi" of="7b8eec79"
# - cùng kích thước với x
# - mỗi lớp chú ý được gọi một lần: nó nhìn gì, và được thấy gì
# - kết quả, với câu có bề rộng khác với ảnh
# - kết quả, với câu rộng và dài bằng ảnh
# - prompt khác, kết quả khác
# - phần đệm không làm thay đổi gì
# - chỉ riêng lời, khi tự chú ý và mạng truyền thẳng cho 0

# %% role="probes"
import torch
from torch import nn


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Look(nn.Module):
    """Cross-attention of one head that notes what it is called with. It wants context of its own width."""

    def __init__(self, width, context_dim, seed):
        super().__init__()
        self.ask, self.key = normal(width, 5, seed=seed), normal(context_dim, 5, seed=seed + 1)
        self.value, self.calls = normal(context_dim, width, seed=seed + 2) / 2, []

    def forward(self, x, context, mask=None):
        self.calls.append([list(x.shape), list(context.shape), None if mask is None else mask.sum(1).tolist()])
        logits = (x @ self.ask) @ (context @ self.key).transpose(1, 2) / 5
        if mask is not None:
            logits = logits + torch.zeros_like(logits).masked_fill(~mask[:, None], -1e4)
        return logits.softmax(-1) @ (context @ self.value)


class Shift(nn.Module):
    """A normalisation that can be told from the others."""

    def __init__(self, width, shift):
        super().__init__()
        self.width, self.shift = width, shift

    def forward(self, x):
        return nn.functional.layer_norm(x, (self.width,)) * (1 + self.shift) + self.shift


class Block(nn.Module):
    """The parts of a transformer block, D wide, for captions of context_dim. silent: self-attention and ff give 0."""

    def __init__(self, width, context_dim, silent=False):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = Shift(width, 0.1), Shift(width, 0.2), Shift(width, 0.3)
        self.attn1, self.attn2 = Look(width, width, 20), Look(width, context_dim, 30)
        self.mix, self.silent = normal(width, width, seed=40) / 2, silent
        if silent:
            self.attn1.value.zero_()

    def ff(self, x):
        return 0 * x if self.silent else torch.tanh(x @ self.mix)


def made(f, x, context, mask, silent=False):
    return f(Block(x.shape[-1], context.shape[-1], silent), x, context, mask)


def calls(f, x, context, mask):
    block = Block(x.shape[-1], context.shape[-1])
    f(block, x, context, mask)
    return {"attn1": block.attn1.calls, "attn2": block.attn2.calls}


def other_prompts(f, x, context, mask):
    """The first image with its own prompt, and with the second image's."""
    return [made(f, x[:1], context[k : k + 1], mask[k : k + 1]) for k in (0, 1)]


def other_padding(f, x, context, mask):
    other = torch.where(mask[..., None], context, context + 2)
    return [made(f, x, one, mask)[:, 0] for one in (context, other)]


X, CONTEXT, MASK = normal(2, 6, 8, seed=1), normal(2, 5, 7, seed=2), torch.arange(5) < torch.tensor([[2], [4]])
WIDE, SEEN = normal(2, 6, 8, seed=3), torch.arange(6) < torch.tensor([[2], [5]])

probe(lambda f, **inputs: list(made(f, **inputs).shape), x=X, context=CONTEXT, mask=MASK)
probe(calls, x=X, context=CONTEXT, mask=MASK)
probe(made, points=2, x=X, context=CONTEXT, mask=MASK)
probe(made, x=X, context=WIDE, mask=SEEN)
probe(other_prompts, x=X, context=CONTEXT, mask=MASK)
probe(other_padding, x=X, context=CONTEXT, mask=MASK)
probe(lambda f, **inputs: made(f, silent=True, **inputs), x=X, context=CONTEXT, mask=MASK)

# %% [markdown] lang="en" role="mistake" name="as_given"
# The sentence reaches x nowhere: `context` isn't used at all, and `told`, whatever it holds, is never added. Begin with what
# `told` should be: which layer reads the sentence?
# %% [markdown] lang="vi" of="fdb6710e"
# Câu văn không đến được x ở đâu cả: `context` hoàn toàn không được dùng, và `told`, dù chứa gì, không hề được cộng vào. Hãy bắt
# đầu từ việc `told` phải là gì: lớp nào đọc câu văn?
# %% role="wrong" name="as_given"
def text_block(block: Any, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
    seen = ~mask                                                # (B, L)
    h = block.norm1(x)
    x = x + block.attn1(h, h)                                   # (B, N, D)
    h = block.norm2(x)
    told = block.attn1(h, h)                                    # (B, N, D)
    return x + block.ff(block.norm3(x))                         # (B, N, D)

# %% [markdown] lang="en" role="mistake" name="image_again"
# What is added now comes from the image: self-attention runs a second time, with K and V from h, and four prompts still give
# one picture. The layer that reads the sentence is `attn2`; it needs the context, and its mask.
# %% [markdown] lang="vi" of="b885c088"
# Thứ được cộng vào lúc này đến từ bức ảnh: tự chú ý chạy lần thứ hai, với K và V từ h, và bốn prompt vẫn cho một bức tranh. Lớp
# đọc câu văn là `attn2`; nó cần context và mặt nạ của câu.
# %% role="wrong" name="image_again"
patch("block.attn2(h, context, mask) ", "block.attn1(h, h)             ")

# %% [markdown] lang="en" role="mistake" name="kv_from_image"
# `attn2` is called, but keys and values come from h, the image: it looks at itself again, and where the caption has another
# width it stops. The second argument is the context, the third its mask.
# %% [markdown] lang="vi" of="9f4cfa36"
# `attn2` đã được gọi, nhưng khóa và giá trị đến từ h, tức bức ảnh: nó lại nhìn chính nó, và khi câu có bề rộng khác thì nó
# dừng. Đối số thứ hai là context, thứ ba là mặt nạ của câu.
# %% role="wrong" name="kv_from_image"
patch("block.attn2(h, context, mask) ", "block.attn2(h, h)             ")

# %% [markdown] lang="en" role="mistake" name="kv_from_image_masked"
# `attn2` is called with the sentence's mask, but keys and values come from h, the image. The second argument is the context.
# %% [markdown] lang="vi" of="292897e2"
# `attn2` được gọi với mặt nạ của câu, nhưng khóa và giá trị lại đến từ h, tức bức ảnh. Đối số thứ hai là context.
# %% role="wrong" name="kv_from_image_masked"
patch("block.attn2(h, context, mask) ", "block.attn2(h, h, mask)       ")

# %% [markdown] lang="en" role="mistake" name="mask_inverted"
# The words get in, but the mask is the wrong way round: the sentence is hidden and its padding is looked at. `mask` is True for
# tokens, which is what the attention wants: hand it over as it is.
# %% [markdown] lang="vi" of="9d2bba3a"
# Lời đã vào, nhưng mặt nạ bị ngược: câu thì bị che, phần đệm thì được nhìn. `mask` là True ở các token, đúng như lớp chú ý cần:
# hãy đưa nó nguyên như vậy.
# %% role="wrong" name="mask_inverted"
patch("context, mask) ", "context, ~mask)")

# %% [markdown] lang="en" role="mistake" name="lost"
# Cross-attention runs as it should, but its result is thrown away: nothing of it is added to x, so the prompt still has no
# effect. Each part is added to x.
# %% [markdown] lang="vi" of="6b4a56e5"
# Chú ý chéo chạy đúng, nhưng kết quả bị bỏ đi: không gì của nó được cộng vào x, nên prompt vẫn không có tác dụng. Mỗi phần đều
# phải được cộng vào x.
# %% role="wrong" name="lost"
patch("x = x + block.attn2(h, context, mask)    ", "told = block.attn2(h, context, mask)     ")

# %% [markdown] lang="en" role="mistake" name="lost_and_inverted"
# `attn2` reads the context now. Two faults remain: its result is not added to x, and the mask is the wrong way round (it is
# True for tokens already).
# %% [markdown] lang="vi" of="881820ee"
# Giờ `attn2` đã đọc context. Còn hai lỗi: kết quả của nó không được cộng vào x, và mặt nạ bị ngược (nó vốn đã là True ở các
# token).
# %% role="wrong" name="lost_and_inverted"
patch("x = x + block.attn2(h, context, mask)    ", "told = block.attn2(h, context, ~mask)    ")

# %% [markdown] lang="en" role="mistake" name="no_mask"
# `attn2` reads the sentence, but without its mask: the padding is looked at like words. Hand the mask over as the third
# argument.
# %% [markdown] lang="vi" of="42e692a0"
# `attn2` đọc câu văn nhưng thiếu mặt nạ: phần đệm được nhìn như lời. Hãy đưa mặt nạ làm đối số thứ ba.
# %% role="wrong" name="no_mask"
patch("context, mask) ", "context)       ")

# %% [markdown] lang="en" role="mistake" name="lost_without_mask"
# `attn2` reads the sentence, but two things are missing: its mask, and the sum that brings its result into x.
# %% [markdown] lang="vi" of="004ad743"
# `attn2` đã đọc câu văn, nhưng còn thiếu hai thứ: mặt nạ, và phép cộng đưa kết quả vào x.
# %% role="wrong" name="lost_without_mask"
patch("x = x + block.attn2(h, context, mask)    ", "told = block.attn2(h, context)           ")

# %% [markdown] lang="en" role="mistake" name="replaces_x"
# The result of cross-attention takes the place of x: what the image was before is forgotten. Add it to x, as the other parts
# do.
# %% [markdown] lang="vi" of="0cc35b46"
# Kết quả của chú ý chéo thế chỗ x: bức ảnh trước đó ra sao bị quên sạch. Hãy cộng nó vào x, như các phần khác.
# %% role="wrong" name="replaces_x"
patch("x = x + block.attn2(h", "x = block.attn2(h")

# %% [markdown] lang="en" role="mistake" name="added_to_the_norm"
# The result was added to h, the normalised image, in place of x: the sum of all blocks before is lost. h goes into the
# attention; the result is added to x.
# %% [markdown] lang="vi" of="ff73aa20"
# Kết quả được cộng vào h, tức ảnh đã chuẩn hóa, thay vì x: tổng của mọi khối trước đó bị mất. h đi vào lớp chú ý; kết quả được
# cộng vào x.
# %% role="wrong" name="added_to_the_norm"
patch("x = x + block.attn2(h", "x = h + block.attn2(h")

# %% [markdown] lang="en" role="mistake" name="not_normalised"
# Cross-attention got x itself, not `norm2(x)`. The weights were trained on normalised queries: normalise before each part.
# %% [markdown] lang="vi" of="5d7e1831"
# Chú ý chéo nhận chính x thay vì `norm2(x)`. Trọng số được huấn luyện với truy vấn đã chuẩn hóa: hãy chuẩn hóa trước mỗi phần.
# %% role="wrong" name="not_normalised"
patch("block.attn2(h, context", "block.attn2(x, context")

# %% [markdown] lang="en" role="mistake" name="told_to_the_last"
# `told` was added to what is returned, but after the feed-forward network had run without it. Add it to x before `norm3`, so
# that the network sees the words too.
# %% [markdown] lang="vi" of="eb1de6d4"
# `told` được cộng vào kết quả trả về, nhưng sau khi mạng truyền thẳng đã chạy mà không có nó. Hãy cộng nó vào x trước `norm3`,
# để mạng ấy cũng thấy lời.
# %% role="wrong" name="told_to_the_last"
patch("    x = x + block.attn2(h, context, mask)    ", "    told = block.attn2(h, context, mask)     ")
patch("return x + block.ff", "return x + told + block.ff")

# %% [markdown] lang="en" role="mistake" name="self_attention_gone"
# The words get in, but self-attention was mended away: each position still looks at the others before it looks at the sentence.
# Both are needed, `attn1(h, h)` and `attn2(h, context, mask)`.
# %% [markdown] lang="vi" of="3ba0b5ad"
# Lời đã vào, nhưng tự chú ý bị sửa mất: mỗi vị trí vẫn phải nhìn các vị trí khác trước khi nhìn câu văn. Cần cả hai: `attn1(h,
# h)` và `attn2(h, context, mask)`.
# %% role="wrong" name="self_attention_gone"
patch("    h = block.norm1(x)\n    x = x + block.attn1(h, h)                                   # (B, N, D)\n", "")

# %% [markdown] lang="en" role="mistake" name="both_read_the_sentence"
# Now both attentions are `attn2` and read the sentence, and nothing looks at the image. The first is self-attention: `attn1`,
# with h for both.
# %% [markdown] lang="vi" of="13d2ed66"
# Giờ cả hai lớp chú ý đều là `attn2` và đọc câu văn, không gì nhìn bức ảnh nữa. Lớp đầu là tự chú ý: `attn1`, với h cho cả hai
# đối số.
# %% role="wrong" name="both_read_the_sentence"
patch("block.attn1(h, h)  ", "block.attn2(h, context, mask)  ")

# %% [markdown] lang="en" role="mistake" name="mask_for_both"
# Self-attention got the sentence's mask too. That mask tells which tokens of the sentence are padding; the image has no
# padding. It belongs to `attn2` alone.
# %% [markdown] lang="vi" of="d40dfd8d"
# Tự chú ý cũng nhận mặt nạ của câu. Mặt nạ ấy cho biết token nào của câu là phần đệm; ảnh thì không có phần đệm. Nó chỉ dành
# cho `attn2`.
# %% role="wrong" name="mask_for_both"
patch("block.attn1(h, h)  ", "block.attn1(h, h, mask)  ")

# %% [markdown] lang="en" role="mistake" name="sentence_to_attn1"
# The context goes into `attn1`, whose weights were trained to look at the image: where the caption has another width it stops.
# The layer that was made for the sentence is `attn2`.
# %% [markdown] lang="vi" of="4d390595"
# Context đi vào `attn1`, lớp có trọng số được huấn luyện để nhìn ảnh: khi câu có bề rộng khác ảnh thì nó dừng lại. Lớp dành
# cho câu văn là `attn2`.
# %% role="wrong" name="sentence_to_attn1"
patch("block.attn2(h, context", "block.attn1(h, context")

# %% [markdown] lang="en" role="mistake" name="told_twice"
# The result of cross-attention is added twice, so the words count double. One sum is enough.
# %% [markdown] lang="vi" of="2044bf30"
# Kết quả của chú ý chéo bị cộng hai lần, nên lời có tác dụng gấp đôi. Cộng một lần là đủ.
# %% role="wrong" name="told_twice"
patch("x = x + block.attn2(h, context, mask)      ", "x = x + 2 * block.attn2(h, context, mask)  ")

# %% role="library"
from types import SimpleNamespace

from minidiff.models.unet import TransformerBlock


def text_block(block, x, context, mask):
    """The library's own forward, with the parts of `block`."""
    parts = SimpleNamespace(
        norm1=block.norm1, norm2=block.norm2, norm3=block.norm3, ff=block.ff, attn2=block.attn2,
        attn1=lambda h: block.attn1(h, h), cross_only=False,
    )
    return TransformerBlock.forward(parts, x, context, mask)

# %% role="payoff"
def draw(text_block: Callable) -> Tensor:
    with blocks_run_by(text_block) as network:
        return draw_with(network, start[2:3].repeat(4, 1, 1, 1))


payoff(draw, text_block)
