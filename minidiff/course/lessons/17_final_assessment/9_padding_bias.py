"""Exercise 17.9, padding_bias: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("padding_bias", "hide_padding", "caption_bias")

# %% [markdown] lang="en" role="task" difficulty="2" minutes="4"
# ## Part 3, words: what is padding
#
# ids (B, L) are token numbers. A sentence ends with its **first** token `end`, which is still read; whatever stands behind it is
# padding, also when it is `end` again, as in CLIP's tokenizer. A sentence without `end` was cut off: all of it is read. Make the
# bias that is added to the logits of attention: 0 for what is read, `HIDDEN` for padding, float32, (B, 1, 1, L).
# %% [markdown] lang="vi" of="bda5a710"
# ## Phần 3, lời: đâu là phần đệm
#
# ids (B, L) là số hiệu các token. Một câu kết thúc ở token `end` **đầu tiên**, token này vẫn được đọc; mọi thứ đứng sau nó là
# phần đệm, kể cả khi lại là `end`, như trong tokenizer của CLIP. Câu không có `end` là câu đã bị cắt: đọc cả câu. Hãy tạo bias
# để cộng vào logit của cơ chế chú ý: 0 cho phần được đọc, `HIDDEN` cho phần đệm, kiểu float32, (B, 1, 1, L).

# %% [markdown] lang="en" role="hints"
# How many `end` stand before a token?
# ---
# `cumsum` counts those up to and including a token.
# ---
# Take the token itself away from that count; where something is left, it is padding.
# %% [markdown] lang="vi" of="3e55917b"
# Trước một token có bao nhiêu `end`?
# ---
# `cumsum` đếm đến token ấy, kể cả chính nó.
# ---
# Hãy trừ chính token ấy ra; chỗ nào vẫn còn là phần đệm.

# %% [markdown] lang="en" role="stub"
# ids (B, L) to a bias (B, 1, 1, L) float32: 0 up to the first `end`, HIDDEN
# behind it.
# ---
# 1. how many ends stand before each token                    # (B, L)
# 2. the bias                                                 # (B, 1, 1, L)
# %% [markdown] lang="vi" of="54875aed"
# ids (B, L) thành bias (B, 1, 1, L) float32: 0 đến hết `end` đầu tiên, HIDDEN
# sau đó.
# ---
# 1. trước mỗi token có bao nhiêu end                         # (B, L)
# 2. bias                                                     # (B, 1, 1, L)

# %% role="solution"
def padding_bias(ids: Tensor, end: int) -> Tensor:
    ends = (ids == end).long()                                  # (B, L)
    before = ends.cumsum(1) - ends                              # (B, L)
    bias = torch.zeros(ids.shape)                               # (B, L)
    return bias.masked_fill(before > 0, HIDDEN)[:, None, None]  # (B, 1, 1, L)

# %% [markdown] lang="en" role="checks"
# - shape
# - in float32
# - sentences that are padded with 0
# - sentences that are padded with `end`
# - sentences without `end`, and one that begins with it
# %% [markdown] lang="vi" of="a8c28251"
# - kích thước
# - ở float32
# - các câu được đệm bằng 0
# - các câu được đệm bằng `end`
# - các câu không có `end`, và một câu bắt đầu bằng nó

# %% role="probes"
import torch

ZEROS = torch.tensor([[1, 5, 9, 2, 0, 0], [1, 2, 0, 0, 0, 0], [1, 7, 0, 8, 3, 2]])
ENDS = torch.tensor([[4, 5, 6, 7, 7, 7], [4, 7, 7, 7, 7, 7], [4, 9, 9, 9, 9, 7]])
ODD = torch.tensor([[3, 4, 5, 6], [2, 9, 9, 9], [0, 0, 0, 0], [2, 3, 2, 3]])

probe(lambda f, ids: [list(f(ids, 2).shape), list(f(ids[:1], 2).shape)], ids=ZEROS)
probe(lambda f, ids: str(f(ids, 2).dtype), ids=ZEROS)
probe(lambda f, ids: f(ids, 2), ids=ZEROS)
probe(lambda f, ids: f(ids, 7), ids=ENDS)
probe(lambda f, ids: f(ids, 2), ids=ODD)

# %% [markdown] lang="en" role="mistake" name="end_hidden"
# The end itself is hidden. The first `end` is still read: it holds what the sentence says as a whole.
# %% [markdown] lang="vi" of="6bc83bd5"
# Chính token kết thúc bị che. `end` đầu tiên vẫn được đọc: nó chứa ý của cả câu.
# %% role="wrong" name="end_hidden"
patch("ends.cumsum(1) - ends", "ends.cumsum(1)")

# %% [markdown] lang="en" role="mistake" name="zero_is_padding"
# Padding is taken to be id 0. With another tokenizer it is `end` again, and 0 may be a word.
# %% [markdown] lang="vi" of="cb6a3ab2"
# Phần đệm bị hiểu là id 0. Với tokenizer khác thì nó lại là `end`, còn 0 có thể là một từ.
# %% role="wrong" name="zero_is_padding"
patch("before > 0", "ids == 0")

# %% [markdown] lang="en" role="mistake" name="all_ends_hidden"
# Every `end` is hidden and whatever else is shown: what counts is whether one stands **before** a token.
# %% [markdown] lang="vi" of="4b88590b"
# Mọi `end` bị che còn mọi thứ khác được thấy: điều quyết định là **trước** token có `end` hay không.
# %% role="wrong" name="all_ends_hidden"
patch("before > 0", "ends > 0")

# %% [markdown] lang="en" role="mistake" name="all_ends_shown"
# Every `end` is shown, also those that are padding. Only the first one of each sentence is read.
# %% [markdown] lang="vi" of="78e55d00"
# Mọi `end` đều được thấy, kể cả những cái là phần đệm. Mỗi câu chỉ đọc `end` đầu tiên.
# %% role="wrong" name="all_ends_shown"
patch("before > 0", "(before > 0) & (ends == 0)")

# %% [markdown] lang="en" role="mistake" name="cut_off_hidden"
# A sentence without `end` is hidden altogether. It was cut off: all of it is read.
# %% [markdown] lang="vi" of="018ff031"
# Câu không có `end` bị che hết. Nó đã bị cắt: đọc cả câu.
# %% role="wrong" name="cut_off_hidden"
patch("(before > 0, HIDDEN)", "((before > 0) | (ends.sum(1, keepdim=True) == 0), HIDDEN)")

# %% [markdown] lang="en" role="mistake" name="turned_round"
# The words are hidden, and the padding is shown.
# %% [markdown] lang="vi" of="92705a0f"
# Các từ bị che, còn phần đệm thì được thấy.
# %% role="wrong" name="turned_round"
patch("before > 0", "before == 0")

# %% [markdown] lang="en" role="mistake" name="a_mask"
# This is a mask, not what is added to logits: 0 for what is read, HIDDEN for padding.
# %% [markdown] lang="vi" of="4015ce0a"
# Đây là mặt nạ, không phải thứ cộng vào logit: 0 cho phần được đọc, HIDDEN cho phần đệm.
# %% role="wrong" name="a_mask"
patch("bias.masked_fill(before > 0, HIDDEN)", "(before == 0)")

# %% [markdown] lang="en" role="mistake" name="flat"
# The shape is (B, L). Heads and places need their axes: (B, 1, 1, L).
# %% [markdown] lang="vi" of="1f9e9202"
# Kích thước là (B, L). Các đầu và các vị trí cần trục riêng: (B, 1, 1, L).
# %% role="wrong" name="flat"
patch("[:, None, None]", "")

# %% [markdown] lang="en" role="mistake" name="infinite"
# Padding gets minus infinity. A row that is all padding would become nan; `HIDDEN` is enough.
# %% [markdown] lang="vi" of="eced50fd"
# Phần đệm nhận âm vô cùng. Một hàng toàn phần đệm sẽ thành nan; `HIDDEN` là đủ.
# %% role="wrong" name="infinite"
patch("HIDDEN)", "-torch.inf)")

# %% role="library"
import torch

from minidiff.nn.attention import padding_bias as added


def padding_bias(ids, end):
    """The library's bias, of a mask that a loop makes."""
    mask = torch.ones(ids.shape, dtype=torch.bool)
    for row, sentence in enumerate(ids.tolist()):
        if end in sentence:
            mask[row, sentence.index(end) + 1 :] = False
    return added(mask, torch.zeros(1))
