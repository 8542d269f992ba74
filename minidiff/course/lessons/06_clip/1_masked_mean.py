"""Exercise 06.1, masked_mean: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="5"
# ## One vector for a sentence
#
# **Complete a line.** The text tower gives a vector for every token, and for padding too. Make one vector for each sentence:
# the mean of its tokens, without the padding. `mask` is True where there is a token. On paper: tokens (2, 4) and (4, 0), and
# padding (9, 9), give (3, 2).
#
# The numbers at padding mean nothing. They may be anything, even NaN, and must not affect the result.
#
# Below, your vectors compare six English sentences with six Vietnamese ones.
# %% [markdown] lang="vi" of="205687db"
# ## Một vector cho cả câu
#
# **Viết nốt một dòng.** Tháp văn bản cho một vector ứng với mỗi token, và cả với phần đệm (padding). Hãy làm ra một vector cho
# mỗi câu: trung bình các token của câu, không tính phần đệm. `mask` là True ở chỗ có token. Trên giấy: các token (2, 4) và (4,
# 0), cùng phần đệm (9, 9), cho (3, 2).
#
# Các số ở phần đệm không có ý nghĩa gì. Chúng có thể là số bất kỳ, kể cả NaN, và không được ảnh hưởng đến kết quả.
#
# Bên dưới, các vector của bạn so sáu câu tiếng Anh với sáu câu tiếng Việt.

# %% [markdown] lang="en" role="hints"
# Do it on paper for (2, 4), (4, 0) and padding (9, 9): what do you add up, and what do you divide by?
# ---
# Put zeros where there is padding, then add up along L. But what is NaN times 0? Choose the zeros, don't multiply.
# ---
# `torch.where(mask[..., None], tokens, 0)` is (B, L, D). Its sum along axis 1, divided by `counts`, is the answer.
# %% [markdown] lang="vi" of="94632adf"
# Hãy tính trên giấy với (2, 4), (4, 0) và phần đệm (9, 9): bạn cộng những gì, và chia cho bao nhiêu?
# ---
# Đặt số 0 vào chỗ đệm rồi cộng dọc theo L. Nhưng NaN nhân 0 bằng bao nhiêu? Hãy chọn số 0 chứ đừng nhân.
# ---
# `torch.where(mask[..., None], tokens, 0)` có kích thước (B, L, D). Tổng của nó dọc theo trục 1, chia cho `counts`, là kết quả.

# %% [markdown] lang="en" role="stub" given="1"
# The mean of each sentence's tokens: tokens (B, L, D), float16, float32 or
# float64, mask (B, L) bool, True for tokens, at least one in each row, to (B, D)
# of the tokens' dtype.
# ---
# 1. zeros in place of padding                              # (B, L, D)
# 2. add up along the sentence, divide by counts            # (B, D)
# return ..., the missing line
# %% [markdown] lang="vi" of="e8443432"
# Trung bình các token của mỗi câu: tokens (B, L, D), float16, float32 hoặc
# float64, mask (B, L) kiểu bool, True ở token, mỗi hàng có ít nhất một, thành
# (B, D) cùng kiểu số với tokens.
# ---
# 1. số 0 ở chỗ của phần đệm                                # (B, L, D)
# 2. cộng dọc theo câu, chia cho counts                     # (B, D)
# return ..., dòng còn thiếu

# %% role="solution"
def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    counts = mask.sum(dim=1, keepdim=True)                      # (B, 1)
    return torch.where(mask[..., None], tokens, 0).sum(dim=1) / counts      # (B, D)

# %% [markdown] lang="en" role="checks"
# - shape (B, D), also for one sentence
# - dtype kept
# - the two tokens that can be checked on paper
# - three sentences of 5, 2 and 3 tokens
# - padding that holds NaN and infinity
# - padding on the left, and in the middle
# %% [markdown] lang="vi" of="911a4d63"
# - kích thước (B, D), kể cả khi chỉ có một câu
# - giữ nguyên kiểu số
# - hai token có thể tính tay
# - ba câu có 5, 2 và 3 token
# - phần đệm chứa NaN và vô cùng
# - phần đệm ở bên trái và ở giữa

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 numbers in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TOKENS = normal(5, 3, 4, seed=1).transpose(0, 1)                            # (3, 5, 4), not contiguous
MASK = torch.arange(5) < torch.tensor([5, 2, 3])[:, None]                   # (3, 5)
HOLES = torch.tensor([[0, 0, 1, 1, 1], [1, 0, 1, 1, 0], [0, 1, 0, 0, 1]]).bool()
FILLED = TOKENS.clone()
FILLED[1, 2:], FILLED[2, 3:] = torch.nan, torch.inf
PAPER = torch.tensor([[[2.0, 4.0], [4.0, 0.0], [9.0, 9.0]]])


def shapes(f, tokens, mask):
    return [list(f(tokens, mask).shape), list(f(tokens[:1], mask[:1]).shape)]


def dtypes(f, tokens, mask):
    return [str(f(tokens.to(dtype), mask).dtype) for dtype in (torch.float16, torch.float32, torch.float64)]


probe(shapes, tokens=TOKENS, mask=MASK)
probe(dtypes, tokens=TOKENS, mask=MASK)
probe(lambda f, tokens, mask: f(tokens, mask), tokens=PAPER, mask=torch.tensor([[True, True, False]]))
probe(lambda f, tokens, mask: f(tokens, mask), points=2, tokens=TOKENS, mask=MASK)
probe(lambda f, tokens, mask: f(tokens, mask), tokens=FILLED, mask=MASK)
probe(lambda f, tokens, mask: f(tokens, mask), tokens=TOKENS, mask=HOLES)

# %% [markdown] lang="en" role="mistake" name="padding_counted"
# The mean was taken over all L places, padding too. The longer the longest sentence of the batch, the more all the others drift
# towards what stands at padding. Leave padding out of the sum and out of the number that you divide by.
# %% [markdown] lang="vi" of="35f463cc"
# Trung bình đã lấy trên cả L vị trí, gồm cả phần đệm. Câu dài nhất trong lô càng dài thì các câu khác càng trôi về phía những
# gì nằm ở phần đệm. Hãy bỏ phần đệm ra khỏi tổng và khỏi số chia.
# %% role="wrong" name="padding_counted"
patch("torch.where(mask[..., None], tokens, 0).sum(dim=1) / counts      # (B, D)", "tokens.mean(dim=1)")

# %% [markdown] lang="en" role="mistake" name="divided_by_length"
# The padding is zero now, but the sum was divided by L, the length of the longest sentence. Short sentences come out too small:
# divide by how many tokens each has.
# %% [markdown] lang="vi" of="add9c519"
# Phần đệm đã thành 0, nhưng tổng lại bị chia cho L, độ dài của câu dài nhất. Câu ngắn ra kết quả quá nhỏ: hãy chia cho số token
# của từng câu.
# %% role="wrong" name="divided_by_length"
patch(".sum(dim=1) / counts", ".mean(dim=1)")

# %% [markdown] lang="en" role="mistake" name="padding_summed"
# You divide by the number of tokens, but the sum still holds the padding. Put zeros there first.
# %% [markdown] lang="vi" of="bb761ca3"
# Bạn chia cho số token, nhưng trong tổng vẫn còn phần đệm. Trước hết hãy đặt số 0 vào đó.
# %% role="wrong" name="padding_summed"
patch("torch.where(mask[..., None], tokens, 0)", "tokens")

# %% [markdown] lang="en" role="mistake" name="multiplied"
# Nearly: the padding was multiplied by 0, and NaN times 0 is NaN, as is infinity times 0. Choose zeros there with `torch.where`
# or `masked_fill`, whatever the padding holds.
# %% [markdown] lang="vi" of="509bb927"
# Gần đúng rồi: phần đệm đã được nhân với 0, nhưng NaN nhân 0 vẫn là NaN, và vô cùng nhân 0 cũng vậy. Hãy dùng `torch.where`
# hoặc `masked_fill` để chọn số 0 ở đó, bất kể phần đệm chứa gì.
# %% role="wrong" name="multiplied"
patch("torch.where(mask[..., None], tokens, 0)", "(tokens * mask[..., None])")

# %% [markdown] lang="en" role="mistake" name="multiplied_by_floats"
# The mask was made a float32 tensor and multiplied. Two things go wrong: float16 tokens come back as float32, and NaN times 0
# stays NaN. Choose with the mask as it is, in place of multiplying.
# %% [markdown] lang="vi" of="37072979"
# Mặt nạ đã bị đổi thành tensor float32 rồi đem nhân. Hai điều hỏng cùng lúc: token float16 trở thành float32, và NaN nhân 0 vẫn
# là NaN. Hãy giữ nguyên mặt nạ kiểu bool và dùng nó để chọn, thay vì nhân.
# %% role="wrong" name="multiplied_by_floats"
patch("torch.where(mask[..., None], tokens, 0)", "(tokens * mask[..., None].float())")

# %% [markdown] lang="en" role="mistake" name="float32_counts"
# The numbers are right, but float16 tokens come back as float32: a float32 tensor took part in it. Whole numbers, such as
# counts of type int64, leave the dtype of the tokens as it is.
# %% [markdown] lang="vi" of="5c1e1395"
# Các con số đúng, nhưng token float16 lại thành float32: có một tensor float32 đã tham gia. Số nguyên, như số đếm kiểu int64,
# không làm đổi kiểu số của token.
# %% role="wrong" name="float32_counts"
patch("/ counts", "/ counts.float()")

# %% [markdown] lang="en" role="mistake" name="always_float32"
# The result is float32 whatever the tokens are. Return the dtype that came in: a tower in float16 or float64 goes on in its
# own.
# %% [markdown] lang="vi" of="b6046f1d"
# Kết quả luôn là float32, bất kể token có kiểu số nào. Hãy trả về đúng kiểu số đã nhận: tháp float16 hay float64 còn tính tiếp
# bằng kiểu số của nó.
# %% role="wrong" name="always_float32"
patch("tokens, 0).sum", "tokens, 0).float().sum")

# %% [markdown] lang="en" role="mistake" name="mask_inverted"
# The mask was turned round: this adds up the padding and drops the tokens. True means token.
# %% [markdown] lang="vi" of="fc5a41a2"
# Mặt nạ bị đảo: hàm đang cộng phần đệm và bỏ các token. True nghĩa là token.
# %% role="wrong" name="mask_inverted"
patch("torch.where(mask[..., None], tokens, 0)", "torch.where(mask[..., None], 0, tokens)")

# %% [markdown] lang="en" role="mistake" name="prefix"
# The tokens were taken to be the first places of each row. That is right only while padding comes last; other tokenizers pad on
# the left, and a mask may leave words out of the middle. Ask the mask at every place.
# %% [markdown] lang="vi" of="a6452a2d"
# Hàm coi các token luôn nằm ở đầu mỗi hàng. Điều đó chỉ đúng khi phần đệm nằm cuối; có tokenizer đệm ở bên trái, và mặt nạ cũng
# có thể bỏ bớt từ ở giữa. Hãy hỏi mặt nạ ở từng vị trí.
# %% role="wrong" name="prefix"
def masked_mean(tokens, mask):
    return torch.stack([row[: int(kept.sum())].mean(0) for row, kept in zip(tokens, mask, strict=True)])

# %% [markdown] lang="en" role="mistake" name="not_divided"
# This is the sum. A sentence of ten tokens gets a vector about twice as long as one of five; divide by `counts` for the mean.
# %% [markdown] lang="vi" of="fc009f12"
# Đây mới là tổng. Câu mười token sẽ có vector dài khoảng gấp đôi câu năm token; hãy chia cho `counts` để được trung bình.
# %% role="wrong" name="not_divided"
patch(" / counts", "")

# %% [markdown] lang="en" role="mistake" name="divided_by_all"
# Each sum was divided by the number of tokens in the whole batch. Each sentence has a count of its own.
# %% [markdown] lang="vi" of="c5aafb9b"
# Mỗi tổng đều bị chia cho số token của cả lô. Mỗi câu có số đếm riêng.
# %% role="wrong" name="divided_by_all"
patch("/ counts", "/ mask.sum()")

# %% [markdown] lang="en" role="mistake" name="counts_flat"
# A tensor (B, D) cannot be divided by one of shape (B,): PyTorch lines up the last axes, D against B. Keep an axis of length 1
# behind, (B, 1), as `counts` does.
# %% [markdown] lang="vi" of="91d305bb"
# Không thể chia tensor (B, D) cho tensor (B,): PyTorch khớp các trục từ cuối lên, tức D với B. Hãy giữ lại một trục có độ dài 1
# ở cuối, (B, 1), như `counts`.
# %% role="wrong" name="counts_flat"
patch("/ counts", "/ counts[:, 0]")

# %% [markdown] lang="en" role="mistake" name="nan_means_padding"
# NaN was taken as the mark of padding. Padding may hold any number, and ordinary ones were counted as tokens here; the mask
# alone tells what is padding.
# %% [markdown] lang="vi" of="b24785f0"
# Bạn coi NaN là dấu hiệu của phần đệm. Phần đệm có thể chứa số bất kỳ, và ở đây các số bình thường đã bị tính là token; chỉ mặt
# nạ mới cho biết đâu là phần đệm.
# %% role="wrong" name="nan_means_padding"
def masked_mean(tokens, mask):
    return tokens.nanmean(dim=1)

# %% [markdown] lang="en" role="mistake" name="largest"
# This takes the largest number of each feature, max pooling, not the mean.
# %% [markdown] lang="vi" of="d624300b"
# Đây là lấy số lớn nhất của mỗi đặc trưng (max pooling), không phải trung bình.
# %% role="wrong" name="largest"
patch("torch.where(mask[..., None], tokens, 0).sum(dim=1) / counts",
      "tokens.masked_fill(~mask[..., None], -torch.inf).amax(dim=1)")

# %% [markdown] lang="en" role="mistake" name="first_token"
# Only the vector at the first place was taken. That is one way to make a vector of a sentence, but the mean of all tokens is
# asked for.
# %% [markdown] lang="vi" of="d689811f"
# Hàm chỉ lấy vector ở vị trí đầu tiên. Đó cũng là một cách làm ra vector cho câu, nhưng đề bài cần trung bình của mọi token.
# %% role="wrong" name="first_token"
patch("torch.where(mask[..., None], tokens, 0).sum(dim=1) / counts", "tokens[:, 0]")

# %% [markdown] lang="en" role="mistake" name="last_token"
# Only the vector at the last token was taken, as CLIP's own pooled vector is. Here the mean of all tokens is asked for.
# %% [markdown] lang="vi" of="78cb2c54"
# Hàm chỉ lấy vector ở token cuối, như vector gộp của chính CLIP. Ở đây cần trung bình của mọi token.
# %% role="wrong" name="last_token"
def masked_mean(tokens, mask):
    places = torch.arange(mask.shape[1]) * mask
    return tokens[torch.arange(len(tokens)), places.argmax(dim=1)]

# %% [markdown] lang="en" role="mistake" name="made_unit"
# The mean was also divided by its own length. That is the next exercise; here the mean stays as long as it is.
# %% [markdown] lang="vi" of="568971d1"
# Trung bình còn bị chia cho độ dài của chính nó. Đó là việc của bài sau; ở đây trung bình giữ nguyên độ dài.
# %% role="wrong" name="made_unit"
patch("torch.where(mask[..., None], tokens, 0).sum(dim=1) / counts",
      "F.normalize(torch.where(mask[..., None], tokens, 0).sum(dim=1) / counts, dim=-1)")

# %% [markdown] lang="en" role="mistake" name="over_features"
# The sum ran along the last axis, over the features of each token, and what is left has a number for every place. Add up along
# the sentence: axis 1 of (B, L, D).
# %% [markdown] lang="vi" of="15fc5dde"
# Tổng đã chạy dọc theo trục cuối, tức qua các đặc trưng của từng token, nên còn lại một số cho mỗi vị trí. Hãy cộng dọc theo
# câu: trục 1 của (B, L, D).
# %% role="wrong" name="over_features"
patch(".sum(dim=1) / counts", ".sum(dim=2) / counts")

# %% [markdown] lang="en" role="mistake" name="one_for_all"
# `tokens[mask]` puts the tokens of all sentences into one list, and their mean is a single vector. There must be one for each
# sentence.
# %% [markdown] lang="vi" of="35a2017c"
# `tokens[mask]` dồn token của mọi câu vào một danh sách, nên trung bình chỉ là một vector duy nhất. Phải có một vector cho mỗi
# câu.
# %% role="wrong" name="one_for_all"
patch("torch.where(mask[..., None], tokens, 0).sum(dim=1) / counts", "tokens[mask].mean(dim=0)")

# %% [markdown] lang="en" role="mistake" name="axis_kept"
# The numbers are right, but there is still an axis of length 1 where the tokens were: (B, 1, D). One vector for a sentence is
# (B, D).
# %% [markdown] lang="vi" of="73e9a1ed"
# Các con số đúng, nhưng ở chỗ của các token vẫn còn một trục độ dài 1: (B, 1, D). Một vector cho mỗi câu phải là (B, D).
# %% role="wrong" name="axis_kept"
patch(".sum(dim=1) / counts", ".sum(dim=1, keepdim=True) / counts[..., None]")

# %% [markdown] lang="en" role="mistake" name="squeezed"
# For a single sentence the axis B is gone: `squeeze` takes away every axis of length 1. A batch of one is still a batch, (1,
# D).
# %% [markdown] lang="vi" of="d5c38959"
# Khi chỉ có một câu thì trục B biến mất: `squeeze` bỏ mọi trục có độ dài 1. Lô một câu vẫn là một lô, (1, D).
# %% role="wrong" name="squeezed"
patch(".sum(dim=1) / counts", ".sum(dim=1).div(counts).squeeze()")

# %% role="library"
import torch


def masked_mean(tokens, mask):
    """Row by row, in float64."""
    rows = [row[kept].double().mean(dim=0) for row, kept in zip(tokens, mask, strict=True)]
    return torch.stack(rows).to(tokens.dtype)

# %% role="payoff"
def sentence_vectors(masked_mean: Callable, sentences: list[str]) -> Tensor:
    ids, mask = tokenizer.encode([*sentences, " and ".join(sentences[:3])])
    sequence = clip.text_model(ids, mask).sequence              # (7, L, D)
    return F.normalize(masked_mean(sequence, mask)[:6], dim=-1)     # (6, D)


def similarity(masked_mean: Callable) -> Tensor:
    rows, columns = (sentence_vectors(masked_mean, s) for s in (english, vietnamese))
    return rows @ columns.T                                     # (6, 6)


def draw(masked_mean: Callable) -> Tensor:
    return heat(similarity(masked_mean))


heatmap(similarity(masked_mean), rows=english, columns=vietnamese)
payoff(draw, masked_mean)
