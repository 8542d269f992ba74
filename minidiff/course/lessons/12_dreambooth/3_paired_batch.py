"""Exercise 12.3, paired_batch: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Subject and class in one batch
#
# Each step sees as many pictures of the class as of the subject, in one batch, so that the network is called once. The captions
# of the two halves differ: "a sks fish" has more tokens than "a fish". **Put both halves together:** the subject first, then
# its class.
#
# - `subject` and `others` are latents (B, C, h, w) each, the same B.
# - `subject_context` (B, L1, D) and `others_context` (B, L2, D) are the captions as the network reads them, a vector for each
#   token, without padding. L1 may be smaller than L2, larger, or equal.
#
# Return three tensors: the latents (2B, C, h, w); the context (2B, L, D) with L = max(L1, L2), where the shorter captions are
# padded with zeros *behind* their tokens; and the mask (2B, L), bool, True for tokens and False for padding. Latents and
# context keep the dtype that they come in, whatever it is.
#
# The cell at the end adds noise to your batch and lets the network that has learnt the subject make one guess at what was
# there. On the left are the fish with the rare word, on the right those without it.
# %% [markdown] lang="vi" of="43431a48"
# ## Chủ thể và lớp trong cùng một lô
#
# Mỗi bước nhìn thấy số tranh của lớp bằng số tranh của chủ thể, trong cùng một lô (batch), để mạng chỉ được gọi một lần. Chú
# thích của hai nửa khác nhau: "a sks fish" có nhiều token hơn "a fish". **Hãy ghép hai nửa lại:** chủ thể trước, rồi đến lớp.
#
# - `subject` và `others` đều là latent (B, C, h, w), cùng một B.
# - `subject_context` (B, L1, D) và `others_context` (B, L2, D) là các câu mô tả theo cách mạng đọc chúng, mỗi token một vector,
#   không có phần đệm. L1 có thể nhỏ hơn, lớn hơn hoặc bằng L2.
#
# Hãy trả về ba tensor: latent (2B, C, h, w); context (2B, L, D) với L = max(L1, L2), trong đó các câu mô tả ngắn hơn được đệm
# số 0 *phía sau* các token của chúng; và mask (2B, L), kiểu bool, True cho token, False cho phần đệm. Latent và context giữ
# nguyên kiểu số lúc đưa vào, dù là kiểu nào.
#
# Ô ở cuối thêm nhiễu vào lô của bạn và để mạng đã học chủ thể đoán một lần xem ở đó có gì. Bên trái là những con cá có từ hiếm,
# bên phải là những con không có.

# %% [markdown] lang="en" role="hints"
# `torch.cat` puts tensors one behind the other, if all their other dimensions agree. For which of the inputs do they?
# ---
# `F.pad(x, (0, 0, 0, n))` adds n zeros behind dimension −2: the pairs of numbers begin at the last dimension, and each is
# (before, behind). How long is the longer caption?
# ---
# `torch.arange(L) < lengths[:, None]` is True for the first tokens of each row, as many as its length says. `lengths` has B
# times L1 and then B times L2.
# %% [markdown] lang="vi" of="0d0d3526"
# `torch.cat` xếp các tensor nối tiếp nhau, nếu mọi chiều khác của chúng khớp nhau. Với đầu vào nào thì chúng khớp?
# ---
# `F.pad(x, (0, 0, 0, n))` thêm n số 0 phía sau ở chiều −2: các cặp số bắt đầu từ chiều cuối, mỗi cặp là (trước, sau). Câu mô tả
# dài hơn dài bao nhiêu token?
# ---
# `torch.arange(L) < lengths[:, None]` là True ở những token đầu của mỗi hàng, nhiều bằng độ dài của nó. `lengths` có B lần L1
# rồi B lần L2.

# %% [markdown] lang="en" role="stub"
# Latents (B, C, h, w) of the subject and of others of its class; contexts
# (B, L1, D) and (B, L2, D) of their captions, without padding. Returns latents
# (2B, C, h, w), context (2B, max(L1, L2), D) with zeros behind, and mask
# (2B, max(L1, L2)) bool, True for tokens; the subject's rows first.
# ---
# 1. both latents, one behind the other                       # (2B, C, h, w)
# 2. both contexts, the shorter one padded behind             # (2B, L, D)
# 3. the mask: which of the L places hold a token             # (2B, L) bool
# %% [markdown] lang="vi" of="43d98233"
# Latent (B, C, h, w) của chủ thể và của những con khác cùng lớp; context
# (B, L1, D) và (B, L2, D) của câu mô tả, không có phần đệm. Trả về latent
# (2B, C, h, w), context (2B, max(L1, L2), D) với số 0 phía sau, và mask
# (2B, max(L1, L2)) kiểu bool, True cho token; các hàng của chủ thể đứng trước.
# ---
# 1. hai phần latent, nối tiếp nhau                           # (2B, C, h, w)
# 2. hai phần context, phần ngắn hơn được đệm phía sau        # (2B, L, D)
# 3. mask: chỗ nào trong L chỗ có token                       # (2B, L) bool

# %% role="solution"
def paired_batch(
    subject: Tensor, subject_context: Tensor, others: Tensor, others_context: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    latents = torch.cat([subject, others])                          # (2B, C, h, w)
    halves = [subject_context, others_context]
    lengths = [half.shape[1] for half in halves]                    # L1, L2
    long = max(lengths)                                             # L
    context = torch.cat(
        [F.pad(half, (0, 0, 0, long - len(half[0]))) for half in halves]
    )                                                               # (2B, L, D)
    each = torch.tensor(lengths).repeat_interleave(len(subject))    # (2B,)
    mask = torch.arange(long) < each[:, None]                       # (2B, L) bool
    return latents, context, mask

# %% [markdown] lang="en" role="checks"
# - shapes and dtypes of the three, also in bfloat16
# - the class's captions are longer
# - the subject's captions are longer
# - captions of one length
# - one picture of each, with one channel
# - a token whose vector is all zeros is still a token
# - one caption for all: contexts that were expanded
# - the halves cut apart again are what went in
# %% [markdown] lang="vi" of="7435cdf5"
# - kích thước và kiểu số của cả ba, kể cả bfloat16
# - câu mô tả của lớp dài hơn
# - câu mô tả của chủ thể dài hơn
# - các câu mô tả cùng độ dài
# - mỗi bên một bức, có một kênh
# - token có vector toàn số 0 vẫn là token
# - một câu mô tả cho tất cả: context được expand
# - cắt hai nửa ra lại thì được đúng những gì đã đưa vào

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(B, L1, L2, C=4):
    return {"subject": normal(B, C, 2, 5, seed=1), "subject_context": normal(B, L1, 6, seed=2),
            "others": normal(B, C, 2, 5, seed=3), "others_context": normal(B, L2, 6, seed=4)}  # fmt: skip


def shapes_and_dtypes(f, **inputs):
    found = []
    for kind in (torch.float64, torch.float32, torch.bfloat16):
        made = f(**{name: value.to(kind) for name, value in inputs.items()})
        found.append([[list(part.shape), str(part.dtype)] for part in made])
    return found


def all_three(f, **inputs):
    latents, context, mask = f(**inputs)
    return [latents, context, mask]


def zero_vectors(f, subject_context, others_context, **inputs):
    subject_context[:, 1], others_context[:, -1] = 0, 0
    return all_three(f, subject_context=subject_context, others_context=others_context, **inputs)


def expanded(f, subject_context, others_context, **inputs):
    count = len(subject_context)
    subject_context = subject_context[:1].expand(count, -1, -1)
    others_context = others_context[:1].expand(count, -1, -1)
    return all_three(f, subject_context=subject_context, others_context=others_context, **inputs)


def cut_apart(f, subject, subject_context, others, others_context):
    latents, context, mask = f(subject, subject_context, others, others_context)
    found = zip((subject_context, others_context), context.chunk(2), mask.chunk(2))
    same = [torch.equal(rows[kept].view_as(given), given) for given, rows, kept in found]
    return [*same, torch.equal(latents, torch.cat([subject, others])), int(mask.sum())]


CHANGED = ("subject_context", "others_context")

probe(shapes_and_dtypes, **pair(3, 2, 7))
probe(all_three, points=2, **pair(3, 2, 7))
probe(all_three, **pair(3, 8, 5))
probe(all_three, **pair(2, 5, 5))
probe(all_three, **pair(1, 4, 3, C=1))
probe(zero_vectors, **pair(3, 4, 7), changes=CHANGED)
probe(expanded, **pair(3, 5, 2))
probe(cut_apart, **pair(3, 2, 7))

# %% [markdown] lang="en" role="mistake" name="padded_in_front"
# The padding stands in front of the tokens. Positions are counted from the first token on, and the mask of this library has
# them first: pad behind.
# %% [markdown] lang="vi" of="7dd1c93c"
# Phần đệm đứng trước các token. Vị trí được đếm từ token đầu tiên, và mask của thư viện này đặt token ở trước: hãy đệm phía
# sau.
# %% role="wrong" name="padded_in_front"
patch("(0, 0, 0, long - len(half[0]))", "(0, 0, long - len(half[0]), 0)")
patch("torch.arange(long) <", "torch.arange(long - 1, -1, -1) <")

# %% [markdown] lang="en" role="mistake" name="vectors_in_front"
# The mask says that the tokens come first, but in the context the padding does. The network would read zeros and skip words.
# %% [markdown] lang="vi" of="ef785740"
# Mask nói rằng token đứng trước, nhưng trong context thì phần đệm lại đứng trước. Mạng sẽ đọc số 0 và bỏ qua từ.
# %% role="wrong" name="vectors_in_front"
patch("(0, 0, 0, long - len(half[0]))", "(0, 0, long - len(half[0]), 0)")

# %% [markdown] lang="en" role="mistake" name="mask_inverted"
# The mask is the wrong way round: True for padding. Here True means a token that may be read.
# %% [markdown] lang="vi" of="c7feef1d"
# Mask bị ngược: True cho phần đệm. Ở đây True nghĩa là một token được đọc.
# %% role="wrong" name="mask_inverted"
patch("torch.arange(long) <", "torch.arange(long) >=")

# %% [markdown] lang="en" role="mistake" name="all_read"
# The mask is True everywhere, so the network reads the padding as words.
# %% [markdown] lang="vi" of="5c4b5edd"
# Mask chỗ nào cũng là True, nên mạng đọc phần đệm như từ.
# %% role="wrong" name="all_read"
patch("torch.arange(long) <", "torch.arange(long) - long <")

# %% [markdown] lang="en" role="mistake" name="mask_of_zeros"
# The mask was made by asking which vectors are not zero. A token may have such a vector, too, and still be read: take the
# lengths of the captions.
# %% [markdown] lang="vi" of="15cdd270"
# Mask được tạo bằng cách hỏi vector nào khác 0. Một token cũng có thể có vector như thế mà vẫn được đọc: hãy dựa vào độ dài của
# câu mô tả.
# %% role="wrong" name="mask_of_zeros"
patch("torch.arange(long) < each[:, None] ", "(context != 0).any(dim=2)")

# %% [markdown] lang="en" role="mistake" name="one_off"
# The mask has one token too many in each caption: use `<`, because places count from 0.
# %% [markdown] lang="vi" of="e542dd4e"
# Mask thừa một token ở mỗi câu mô tả: hãy dùng `<`, vì chỗ được đếm từ 0.
# %% role="wrong" name="one_off"
patch("torch.arange(long) <", "torch.arange(long) <=")

# %% [markdown] lang="en" role="mistake" name="lengths_swapped"
# The lengths in the mask are swapped: the first B rows are the subject's and have L1 tokens each.
# %% [markdown] lang="vi" of="e103e690"
# Độ dài trong mask bị đổi chỗ: B hàng đầu là của chủ thể, mỗi hàng có L1 token.
# %% role="wrong" name="lengths_swapped"
patch("torch.tensor(lengths)", "torch.tensor(lengths[::-1])")

# %% [markdown] lang="en" role="mistake" name="lengths_in_turn"
# The lengths in the mask alternate, L1, L2, L1, L2. The first B rows have L1, the last B rows L2: `repeat_interleave`, not
# `repeat`.
# %% [markdown] lang="vi" of="3bd0c2d0"
# Độ dài trong mask xen kẽ nhau, L1, L2, L1, L2. B hàng đầu có L1, B hàng sau có L2: `repeat_interleave` chứ không phải
# `repeat`.
# %% role="wrong" name="lengths_in_turn"
patch(".repeat_interleave(len(subject))", ".repeat(len(subject))")

# %% [markdown] lang="en" role="mistake" name="class_first"
# The class comes first. The loss takes the first half for the subject's.
# %% [markdown] lang="vi" of="146a4073"
# Lớp bị đặt trước. Hàm mất mát coi nửa đầu là của chủ thể.
# %% role="wrong" name="class_first"
patch("torch.cat([subject, others])", "torch.cat([others, subject])")
patch("[subject_context, others_context]", "[others_context, subject_context]")

# %% [markdown] lang="en" role="mistake" name="captions_swapped"
# Pictures and captions don't belong together: the pictures have the subject first, the captions the class. The model would
# learn that any fish is called by the rare word, and the subject isn't.
# %% [markdown] lang="vi" of="e1c4628f"
# Ảnh và câu mô tả không khớp nhau: ảnh có chủ thể trước, câu mô tả lại có lớp trước. Mô hình sẽ học rằng con cá nào cũng được
# gọi bằng từ hiếm, còn chủ thể thì không.
# %% role="wrong" name="captions_swapped"
patch("[subject_context, others_context]", "[others_context, subject_context]")

# %% [markdown] lang="en" role="mistake" name="in_turn"
# Subject and class take turns, row by row. First come all B rows of the subject, then those of the class.
# %% [markdown] lang="vi" of="dd439a98"
# Chủ thể và lớp xen kẽ nhau theo từng hàng. Trước hết là cả B hàng của chủ thể, rồi mới đến các hàng của lớp.
# %% role="wrong" name="in_turn"
patch("return latents, context, mask", "order = torch.arange(2 * len(subject)).view(2, -1).T.flatten()\n    return latents[order], context[order], mask[order]")

# %% [markdown] lang="en" role="mistake" name="cut"
# The longer captions were cut to the shorter length, and words are lost: in the subject's caption perhaps the rare one. Pad the
# shorter ones.
# %% [markdown] lang="vi" of="95a399ae"
# Các câu mô tả dài hơn bị cắt còn độ dài ngắn hơn, và mất từ: trong câu mô tả của chủ thể có thể là từ hiếm. Hãy đệm các chú
# thích ngắn hơn.
# %% role="wrong" name="cut"
patch("max(lengths) ", "min(lengths) ")

# %% [markdown] lang="en" role="mistake" name="subject_is_longer"
# It only works when the subject's captions are the longer ones; otherwise the class's are cut. Pad to the longer of the two.
# %% [markdown] lang="vi" of="05791c38"
# Hàm chỉ đúng khi câu mô tả của chủ thể dài hơn; nếu không, câu mô tả của lớp bị cắt. Hãy đệm đến độ dài lớn hơn trong hai.
# %% role="wrong" name="subject_is_longer"
patch("max(lengths) ", "lengths[0] ")

# %% [markdown] lang="en" role="mistake" name="class_is_longer"
# It only works when the class's captions are the longer ones; otherwise the subject's are cut, perhaps with the rare word. Pad
# to the longer of the two.
# %% [markdown] lang="vi" of="c1d9793f"
# Hàm chỉ đúng khi câu mô tả của lớp dài hơn; nếu không, câu mô tả của chủ thể bị cắt, có thể mất cả từ hiếm. Hãy đệm đến độ dài
# lớn hơn trong hai.
# %% role="wrong" name="class_is_longer"
patch("max(lengths) ", "lengths[1] ")

# %% [markdown] lang="en" role="mistake" name="both_lengths"
# The context is L1 + L2 long. The longer of the two is enough: every further place costs time in each attention layer.
# %% [markdown] lang="vi" of="f52a9a44"
# Context dài L1 + L2. Chỉ cần độ dài lớn hơn trong hai: mỗi chỗ thừa đều tốn thời gian ở mọi lớp chú ý (attention).
# %% role="wrong" name="both_lengths"
patch("max(lengths) ", "sum(lengths) ")

# %% [markdown] lang="en" role="mistake" name="not_padded"
# The contexts don't fit together: `torch.cat` needs equal lengths. Pad the shorter one first, along dimension 1. The first pair
# of numbers of `F.pad` belongs to the last dimension.
# %% [markdown] lang="vi" of="08d2608c"
# Các context không ghép được với nhau: `torch.cat` cần độ dài bằng nhau. Hãy đệm phần ngắn hơn trước, theo chiều 1. Cặp số đầu
# tiên của `F.pad` thuộc về chiều cuối cùng.
# %% role="wrong" name="not_padded"
patch("F.pad(half, (0, 0, 0, long - len(half[0])))", "half")

# %% [markdown] lang="en" role="mistake" name="padded_with_ones"
# The padding isn't zeros. The mask hides it here, but what is compared with zeros elsewhere, such as a mean, would change.
# %% [markdown] lang="vi" of="24e2daf5"
# Phần đệm không phải số 0. Ở đây mask che nó, nhưng chỗ khác, như khi lấy trung bình, kết quả sẽ thay đổi.
# %% role="wrong" name="padded_with_ones"
patch("long - len(half[0])))", "long - len(half[0])), value=1.0)")

# %% [markdown] lang="en" role="mistake" name="last_token_repeated"
# The last token was repeated in place of zeros.
# %% [markdown] lang="vi" of="7f3479e9"
# Token cuối bị lặp lại thay cho số 0.
# %% role="wrong" name="last_token_repeated"
patch("F.pad(half, (0, 0, 0, long - len(half[0])))", "torch.cat([half, half[:, -1:].expand(-1, long - len(half[0]), -1)], dim=1)")

# %% [markdown] lang="en" role="mistake" name="padding_in_float32"
# The context has turned to float32, because the zeros were made in that type: a network in half precision would stop at it.
# `half.new_zeros(...)` and `F.pad` keep the type.
# %% [markdown] lang="vi" of="76e7c7c0"
# Context đã thành float32, vì các số 0 được tạo ở kiểu ấy: một mạng ở độ chính xác một nửa sẽ dừng ở đó. `half.new_zeros(...)`
# và `F.pad` giữ nguyên kiểu.
# %% role="wrong" name="padding_in_float32"
patch("F.pad(half, (0, 0, 0, long - len(half[0])))", "torch.cat([half, torch.zeros(len(half), long - len(half[0]), half.shape[2])], dim=1)")

# %% [markdown] lang="en" role="mistake" name="mask_of_whole_numbers"
# The mask holds whole numbers. It should be bool: attention would add numbers to its scores in place of hiding anything.
# %% [markdown] lang="vi" of="6e054058"
# Mask chứa các số nguyên. Nó phải có kiểu bool: cơ chế chú ý (attention) sẽ cộng các số ấy vào điểm chứ không che gì cả.
# %% role="wrong" name="mask_of_whole_numbers"
patch("torch.arange(long) < each[:, None] ", "(torch.arange(long) < each[:, None]).long() ")

# %% [markdown] lang="en" role="mistake" name="mask_of_floats"
# The mask is float. It should be bool: attention would add the numbers to its scores in place of hiding anything.
# %% [markdown] lang="vi" of="adc053c7"
# Mask có kiểu float. Nó phải có kiểu bool: cơ chế chú ý (attention) sẽ cộng các số ấy vào điểm chứ không che gì cả.
# %% role="wrong" name="mask_of_floats"
patch("torch.arange(long) < each[:, None] ", "(torch.arange(long) < each[:, None]).float() ")

# %% [markdown] lang="en" role="mistake" name="mask_for_two"
# The mask has two rows, one for each half. It needs one for each picture: 2B.
# %% [markdown] lang="vi" of="6cb0354a"
# Mask có hai hàng, mỗi nửa một hàng. Nó cần một hàng cho mỗi bức: 2B.
# %% role="wrong" name="mask_for_two"
patch(".repeat_interleave(len(subject))", "")

# %% [markdown] lang="en" role="mistake" name="another_order"
# Context and mask came back in the wrong order: latents, context, mask.
# %% [markdown] lang="vi" of="03c447b2"
# Context và mask được trả về sai thứ tự: latent, context, mask.
# %% role="wrong" name="another_order"
patch("return latents, context, mask", "return latents, mask, context")

# %% [markdown] lang="en" role="mistake" name="stacked"
# The halves were stacked along a new dimension. The network takes one batch of 2B rows: `torch.cat`.
# %% [markdown] lang="vi" of="48aa514a"
# Hai nửa bị chồng theo một chiều mới. Mạng nhận một lô gồm 2B hàng: `torch.cat`.
# %% role="wrong" name="stacked"
patch("torch.cat([subject, others])", "torch.stack([subject, others])")
patch("context = torch.cat(", "context = torch.stack(")
patch("return latents, context, mask", "return latents, context, mask.unflatten(0, (2, -1))")

# %% [markdown] lang="en" role="mistake" name="context_in_float32"
# The context is float32 whatever comes in, because `torch.zeros` makes that type when it isn't told another. The network may
# compute in another one: give it the `dtype` of the captions.
# %% [markdown] lang="vi" of="2bbd7d16"
# Context luôn có kiểu float32 dù đưa vào kiểu nào, vì `torch.zeros` tạo ra kiểu ấy khi không được bảo khác. Mạng có thể tính ở
# kiểu khác: hãy cho nó `dtype` của các câu mô tả.
# %% role="wrong" name="context_in_float32"
patch("F.pad(half, ", "F.pad(half.float(), ")

# %% [markdown] lang="en" role="mistake" name="minus_zero"
# For captions that need no padding, the slice `[-n:]` with n = 0 is `[-0:]`, and that is everything: their whole rows became
# False. Count from the front: `[L1:]`.
# %% [markdown] lang="vi" of="31522ef2"
# Với câu mô tả không cần đệm, lát cắt `[-n:]` với n = 0 là `[-0:]`, tức là tất cả: cả hàng của chúng thành False. Hãy đếm từ
# phía trước: `[L1:]`.
# %% role="wrong" name="minus_zero"
patch("torch.arange(long) < each[:, None] ", "(torch.arange(long) < each[:, None]) & (each < long)[:, None] ")

# %% [markdown] lang="en" role="mistake" name="seventy_seven"
# The context has a fixed length of 77, as in CLIP. The longer of the two captions is enough: every further place costs time in
# each attention layer.
# %% [markdown] lang="vi" of="0beeceaf"
# Context có độ dài cố định 77, như ở CLIP. Chỉ cần độ dài lớn hơn trong hai câu mô tả: mỗi chỗ thừa đều tốn thời gian ở mọi
# lớp chú ý (attention).
# %% role="wrong" name="seventy_seven"
patch("max(lengths) ", "77 ")

# %% [markdown] lang="en" role="mistake" name="squeezed"
# Dimensions of size 1 are gone, such as the only channel: `squeeze()` without a number removes them all. Leave the dimensions
# as they are.
# %% [markdown] lang="vi" of="eeaf7669"
# Các chiều có kích thước 1 bị mất, chẳng hạn kênh duy nhất: `squeeze()` không kèm số sẽ xóa mọi chiều như thế. Hãy giữ nguyên
# các chiều.
# %% role="wrong" name="squeezed"
patch("torch.cat([subject, others])", "torch.cat([subject, others]).squeeze()")

# %% role="library"
import torch
from torch.nn.utils.rnn import pad_sequence


def paired_batch(subject, subject_context, others, others_context):
    """PyTorch's own padding, of 2B captions one by one; the mask is padded like them."""
    captions = [*subject_context, *others_context]
    read = [torch.ones(len(caption), dtype=torch.bool) for caption in captions]
    return torch.cat([subject, others]), pad_sequence(captions, batch_first=True), pad_sequence(read, batch_first=True)

# %% role="payoff"
@torch.no_grad()
def draw(paired_batch: Callable) -> Tensor:
    long, short = read("a sks fish")[0], read("a fish")[0]          # (1, L, D) each
    batch = paired_batch(
        x_lumi[:3], long.expand(3, -1, -1), x_fish[:3], short.expand(3, -1, -1)
    )
    return guesses(forgetful, *batch)                               # (6, 3, 128, 128)


payoff(draw, paired_batch)
