"""Exercise 06.5, contrastive_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="15"
# ## Debugging: a CLIP that learns badly
#
# "My loss falls below that of a guess, so why can't my CLIP find anything?" The cells below train a tiny CLIP with the function
# in question: the loss starts far above that of a guess, ln 16, and in the end the matrix of similarities has no bright
# diagonal. **Four** things are wrong in the function. Mending one of them changes the symptom, but doesn't end it; `check`
# tells you what is left.
#
# The function computes the loss of one training step: of pictures (B, 3, H, W), and of sentences as `ids` and `mask` (B, L).
# The last cell trains the same tiny CLIP again, with your function.
# %% [markdown] lang="vi" of="dae27594"
# ## Gỡ lỗi: một CLIP học kém
#
# "Hàm mất mát đã giảm xuống dưới mức đoán bừa, vậy sao CLIP của tôi chẳng tìm được gì?" Các ô dưới đây huấn luyện một CLIP tí
# hon với hàm đang bị nghi ngờ: lúc đầu giá trị mất mát cao hơn hẳn mức đoán bừa, ln 16, và cuối cùng ma trận độ giống nhau không
# có đường chéo sáng. Trong hàm có **bốn** chỗ sai. Sửa một chỗ thì triệu chứng đổi chứ chưa hết; `check` cho biết còn gì.
#
# Hàm tính giá trị mất mát của một bước huấn luyện: từ các bức tranh (B, 3, H, W), và các câu dưới dạng `ids` và `mask` (B, L).
# Ô cuối cùng huấn luyện lại đúng CLIP tí hon ấy, bằng hàm của bạn.

# %% role="shown"
places = tuple(SETTINGS_EN)
pairs = [
    Scene(places[k % 7], (Group(SHAPES[k % 18], COLOURS[7 * k % 10], "big"),), seed=k)
    for k in range(32)
]
pixels = rendered(pairs, 32)                                    # (32, 3, 32, 32)
ids, mask = tokenizer.encode([
    phrase(scene, "vi" if k % 2 else "en", random.Random(k))
    for k, scene in enumerate(pairs)
])


def train(step: Callable, steps: int = 120) -> tuple[list[float], Tensor]:
    """Losses of a tiny CLIP, 16 pairs a step, and similarities of the first 16."""
    torch.manual_seed(0)
    tower = dict(hidden_size=32, layers=1, heads=2, intermediate=64, projection_dim=32)
    text = TextConfig(vocab_size=tokenizer.vocab_size, local=True, **tower)
    model = CLIP(text, VisionConfig(image_size=32, patch_size=8, **tower))
    optimiser, losses = torch.optim.Adam(model.parameters(), lr=2e-3), []
    for _ in range(steps):
        batch = torch.randperm(len(pairs))[:16]
        loss = step(model, pixels[batch], ids[batch], mask[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    with torch.no_grad():
        images, texts = model(pixels[:16], ids[:16], mask[:16])
    return losses, texts @ images.T                             # (16, 16)

# %% role="shown"
def broken_step(model: Any, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    images = model.visual_projection(model.vision_model(pixels).pooled)     # (B, P)
    texts = model.text_projection(model.text_model(ids).pooled)             # (B, P)
    images = F.normalize(images, dim=0)
    texts = F.normalize(texts, dim=0)
    scale = model.logit_scale.clamp(max=math.log(100)).exp()    # ()
    logits = scale * images @ texts.T                           # (B, B)
    labels = torch.arange(len(logits), device=logits.device)    # (B,)
    rows = F.cross_entropy(scale * logits, labels)
    columns = F.cross_entropy(scale * logits, labels)
    return (rows + columns) / 2                                 # ()


losses, similarities = train(broken_step)
lines({"broken": losses, "a guess": [math.log(16)] * 120}, x="step", y="loss", log="y")
show(torch.cat([heat(similarities), bars(losses)]), titles=["similarities", "loss"])

# %% [markdown] lang="en" role="hints"
# Go line by line, and say each shape aloud. Which axis of (B, P) holds the numbers of one vector? What does the text tower do
# with padding, if nobody tells it?
# ---
# How often does the scale come in on the way from cosines to a cross-entropy? And are `rows` and `columns` ever different?
# ---
# Four places: `mask` for the text tower, `dim=-1` to normalise, the scale once and no more, `logits.T` for the columns.
# %% [markdown] lang="vi" of="3aa600b6"
# Hãy đi từng dòng và nói to mỗi kích thước. Trục nào của (B, P) chứa các số của một vector? Tháp văn bản làm gì với phần đệm
# nếu không ai bảo nó?
# ---
# Từ cosin đến cross-entropy, hệ số nhiệt độ xuất hiện mấy lần? Và có khi nào `rows` khác `columns` không?
# ---
# Bốn chỗ: `mask` cho tháp văn bản, `dim=-1` khi chuẩn hóa, hệ số chỉ nhân một lần, `logits.T` cho các cột.

# %% [markdown] lang="en" role="stub" given="as_given"
# The loss of one training step, a tensor (): pixels (B, 3, H, W), ids (B, L)
# int64, mask (B, L) bool, True for tokens. `model` has the parts of `CLIP`:
# vision_model, text_model, visual_projection, text_projection, logit_scale.
# `backward` and the optimiser's step are the caller's.
# ---
# 1. mend the four mistakes above
# 2. delete the next line
# %% [markdown] lang="vi" of="9c398982"
# Hàm mất mát của một bước huấn luyện, một tensor (): pixels (B, 3, H, W),
# ids (B, L) int64, mask (B, L) kiểu bool, True ở token. `model` có các bộ phận
# của `CLIP`: vision_model, text_model, visual_projection, text_projection,
# logit_scale. Việc gọi `backward` và cập nhật trọng số thuộc về nơi gọi hàm.
# ---
# 1. sửa bốn lỗi ở trên
# 2. xóa dòng tiếp theo

# %% role="solution"
def contrastive_step(model: Any, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    images = model.visual_projection(model.vision_model(pixels).pooled)     # (B, P)
    texts = model.text_projection(model.text_model(ids, mask).pooled)       # (B, P)
    images = F.normalize(images, dim=-1)
    texts = F.normalize(texts, dim=-1)
    scale = model.logit_scale.clamp(max=math.log(100)).exp()    # ()
    logits = scale * images @ texts.T                           # (B, B)
    labels = torch.arange(len(logits), device=logits.device)    # (B,)
    rows = F.cross_entropy(logits, labels)
    columns = F.cross_entropy(logits.T, labels)
    return (rows + columns) / 2                                 # ()

# %% [markdown] lang="en" role="checks"
# - one number, and 0 for a single pair
# - the text tower is told where the tokens are
# - unit vectors, scale 1, sentences that choose otherwise than pictures
# - unit vectors, temperature 0.2
# - vectors of unequal lengths, scale 1
# - four pairs through real towers
# - a logit_scale above ln 100
# - gradients of the projections and of logit_scale
# - nothing left behind: no gradients in the weights, no seed set
# %% [markdown] lang="vi" of="56a04933"
# - một số duy nhất, và bằng 0 khi chỉ có một cặp
# - tháp văn bản được cho biết token nằm ở đâu
# - vector đơn vị, hệ số 1, các câu chọn khác các bức tranh
# - vector đơn vị, nhiệt độ 0.2
# - vector dài ngắn khác nhau, hệ số 1
# - bốn cặp đi qua tháp thật
# - logit_scale lớn hơn ln 100
# - gradient của các phép chiếu và của logit_scale
# - không để lại gì: không có gradient trong các trọng số, không đặt seed

# %% role="probes"
import math

import torch
from torch import nn

from minidiff.models.clip import CLIP, TextConfig, TowerOutput, VisionConfig


def normal(*shape, seed):
    """The same float64 numbers in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Pixels(nn.Module):
    """A tower that gives the pixels as they are."""

    def forward(self, pixels):
        return TowerOutput(pixels.flatten(1)[:, None], pixels.flatten(1))


class Table(nn.Module):
    """A tower that gives the mean of the vectors (V, P) of its tokens, and counts these."""

    def __init__(self, vectors):
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.tokens = 0.0

    def forward(self, ids, mask=None):
        seen = torch.ones_like(ids) if mask is None else mask.long()
        self.tokens = float(seen.sum())
        sequence = self.vectors[ids]                                        # (B, L, P)
        return TowerOutput(sequence, (sequence * seen[..., None]).sum(1) / seen.sum(1, keepdim=True))


def tiny():
    """A small CLIP whose weights are the same in every process: the norms' near 1, the others near 0."""
    tower = dict(hidden_size=8, layers=1, heads=2, intermediate=12, projection_dim=5)
    model = CLIP(TextConfig(vocab_size=9, local=True, **tower), VisionConfig(image_size=8, patch_size=4, **tower)).double()
    for k, (name, weight) in enumerate(model.named_parameters()):
        if weight.ndim:                                                     # logit_scale keeps its ln(1 / 0.07)
            around = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            weight.data = around + 0.3 * normal(*weight.shape, seed=100 + k)
    return model


def pretending(vectors, logit_scale=0.0):
    """CLIP without networks: the texts' vectors are rows of a table."""
    model = tiny()
    model.vision_model, model.text_model = Pixels(), Table(vectors)
    model.visual_projection, model.text_projection = nn.Identity(), nn.Identity()
    model.logit_scale = nn.Parameter(torch.tensor(logit_scale, dtype=torch.float64))
    return model


def pictures_of(vectors):
    return vectors[:, :, None, None]                                        # (B, 3, 1, 1)


TURN = torch.linalg.qr(normal(3, 3, seed=5))[0]                             # rows and columns are unit vectors
ACROSS = normal(3, 1, seed=6)
MIRROR = torch.eye(3, dtype=torch.float64) - 2 * ACROSS @ ACROSS.T / ACROSS.square().sum()      # symmetric too
EYE, ANY = torch.eye(3, dtype=torch.float64), normal(3, 3, seed=7) * torch.tensor([[0.3], [1.0], [4.0]])
IDS, ALL = torch.tensor([[0], [1], [2]]), torch.ones(3, 1, dtype=torch.bool)
TEXTS = torch.tensor([[1, 5, 4, 2, 0, 0], [1, 2, 0, 0, 0, 0], [1, 7, 8, 3, 6, 2], [1, 3, 2, 0, 0, 0]])
MASK = torch.arange(6) < torch.tensor([4, 2, 6, 3])[:, None]
REAL = {"model": tiny(), "pixels": normal(4, 3, 8, 8, seed=9), "ids": TEXTS, "mask": MASK}


def value(f, model, pixels, ids, mask):
    return float(torch.as_tensor(f(model, pixels, ids, mask)).detach())


def one_number(f, model, pixels, ids, mask):
    return [list(f(model, pixels, ids, mask).shape), value(f, model, pixels[:1], ids[:1], mask[:1])]


def tokens_seen(f, model, pixels, ids, mask):
    f(model, pixels, ids, mask)
    return model.text_model.tokens


def gradients(f, model, pixels, ids, mask):
    leaves = [model.visual_projection.weight, model.text_projection.weight, model.logit_scale]
    return list(torch.autograd.grad(f(model, pixels, ids, mask), leaves, allow_unused=True))


def left_behind(f, model, pixels, ids, mask):
    """How many weights have a gradient afterwards, and what the dice give next."""
    f(model, pixels, ids, mask)
    return [sum(weight.grad is not None for weight in model.parameters()), torch.rand(2)]


def without_networks(vectors, texts, logit_scale=0.0):
    return {"model": pretending(texts, logit_scale), "pixels": pictures_of(vectors), "ids": IDS, "mask": ALL}


probe(one_number, **REAL)
probe(tokens_seen, model=pretending(normal(9, 3, seed=8)), pixels=pictures_of(normal(4, 3, seed=4)), ids=TEXTS, mask=MASK)
probe(value, **without_networks(EYE, TURN))
probe(value, **without_networks(EYE, MIRROR, math.log(5)))
probe(value, **without_networks(ANY, ANY))
probe(value, points=2, rtol=1e-4, **REAL)
probe(value, rtol=1e-4, **without_networks(ANY, TURN, 6.0))
probe(gradients, rtol=1e-4, atol=1e-5, **REAL)
probe(left_behind, **REAL)

# %% [markdown] lang="en" role="mistake" name="mask_lost"
# The text tower doesn't get the mask, so its tokens also attend to padding: a sentence's vector depends on how long the longest
# sentence of the batch is. Pass `mask` on.
# %% [markdown] lang="vi" of="1ca814c7"
# Tháp văn bản không nhận được mặt nạ, nên các token cũng chú ý đến phần đệm: vector của một câu phụ thuộc vào độ dài của câu
# dài nhất trong lô. Hãy truyền `mask` vào.
# %% role="wrong" name="mask_lost"
patch("model.text_model(ids, mask)", "model.text_model(ids)")

# %% [markdown] lang="en" role="mistake" name="along_the_batch"
# The vectors are normalised along the batch, so that each feature has length 1, and not each vector. The numbers of one vector
# lie along the last axis.
# %% [markdown] lang="vi" of="a83d4156"
# Các vector được chuẩn hóa dọc theo lô, nên mỗi đặc trưng có độ dài 1 chứ không phải mỗi vector. Các số của một vector nằm dọc
# theo trục cuối.
# %% role="wrong" name="along_the_batch"
patch("F.normalize(images, dim=-1)", "F.normalize(images, dim=0)")
patch("F.normalize(texts, dim=-1)", "F.normalize(texts, dim=0)")

# %% [markdown] lang="en" role="mistake" name="temperature_twice"
# The scale comes in twice, in the logits and again in the cross-entropies: 14 times becomes 200 times, and the first loss is
# far above that of a guess. Use it once.
# %% [markdown] lang="vi" of="128744c0"
# Hệ số được nhân hai lần, trong các logit rồi lại trong các cross-entropy: 14 lần thành 200 lần, và ngay ở bước đầu hàm mất mát
# đã cao hơn hẳn mức đoán bừa. Chỉ dùng nó một lần.
# %% role="wrong" name="temperature_twice"
patch("F.cross_entropy(logits, labels)", "F.cross_entropy(scale * logits, labels)")
patch("F.cross_entropy(logits.T, labels)", "F.cross_entropy(scale * logits.T, labels)")

# %% [markdown] lang="en" role="mistake" name="one_direction"
# `rows` and `columns` are the same: only the pictures choose. For the sentences to choose among the pictures, the matrix has to
# be transposed.
# %% [markdown] lang="vi" of="aca5a299"
# `rows` và `columns` giống hệt nhau: chỉ các bức tranh được chọn. Để các câu chọn trong các bức tranh, ma trận phải được chuyển
# vị.
# %% role="wrong" name="one_direction"
patch("F.cross_entropy(logits.T, labels)", "F.cross_entropy(logits, labels)")

# %% [markdown] lang="en" role="mistake" name="twice_in_the_rows"
# In `rows` the scale still comes in twice; in `columns` it doesn't any more.
# %% [markdown] lang="vi" of="a3327541"
# Trong `rows` hệ số vẫn được nhân hai lần; trong `columns` thì đã hết.
# %% role="wrong" name="twice_in_the_rows"
patch("F.cross_entropy(logits, labels)", "F.cross_entropy(scale * logits, labels)")

# %% [markdown] lang="en" role="mistake" name="twice_in_the_columns"
# In `columns` the scale still comes in twice; in `rows` it doesn't any more.
# %% [markdown] lang="vi" of="a62d964d"
# Trong `columns` hệ số vẫn được nhân hai lần; trong `rows` thì đã hết.
# %% role="wrong" name="twice_in_the_columns"
patch("F.cross_entropy(logits.T, labels)", "F.cross_entropy(scale * logits.T, labels)")

# %% [markdown] lang="en" role="mistake" name="images_along_the_batch"
# The texts are unit vectors now; the images are still normalised along the batch.
# %% [markdown] lang="vi" of="7a6466fd"
# Vector của các câu giờ đã có độ dài 1; còn của các bức tranh vẫn được chuẩn hóa dọc theo lô.
# %% role="wrong" name="images_along_the_batch"
patch("F.normalize(images, dim=-1)", "F.normalize(images, dim=0)")

# %% [markdown] lang="en" role="mistake" name="texts_along_the_batch"
# The images are unit vectors now; the texts are still normalised along the batch.
# %% [markdown] lang="vi" of="b311578e"
# Vector của các bức tranh giờ đã có độ dài 1; còn của các câu vẫn được chuẩn hóa dọc theo lô.
# %% role="wrong" name="texts_along_the_batch"
patch("F.normalize(texts, dim=-1)", "F.normalize(texts, dim=0)")

# %% [markdown] lang="en" role="mistake" name="columns_twice"
# Both cross-entropies use the transposed matrix now, so only the sentences choose. One of them takes it as it is.
# %% [markdown] lang="vi" of="ce5816fc"
# Giờ cả hai cross-entropy đều dùng ma trận chuyển vị, nên chỉ các câu được chọn. Một trong hai phải dùng ma trận như cũ.
# %% role="wrong" name="columns_twice"
patch("F.cross_entropy(logits, labels)", "F.cross_entropy(logits.T, labels)  ")

# %% [markdown] lang="en" role="mistake" name="not_normalised"
# The lines that normalise are gone. They were right to be there, along the wrong axis: without them, one long vector wins every
# row.
# %% [markdown] lang="vi" of="bc2d96f2"
# Các dòng chuẩn hóa đã biến mất. Chúng cần thiết, chỉ sai trục thôi: không có chúng thì một vector dài sẽ thắng ở mọi hàng.
# %% role="wrong" name="not_normalised"
patch("F.normalize(images, dim=-1)", "images")
patch("F.normalize(texts, dim=-1)", "texts")

# %% [markdown] lang="en" role="mistake" name="no_temperature"
# Now the scale doesn't come in at all, and the cosines are too small for a softmax to prefer anything. It was there once too
# often: leave one.
# %% [markdown] lang="vi" of="3e4f267b"
# Giờ hệ số không còn xuất hiện nữa, và các cosin quá nhỏ để softmax ưu tiên được thứ gì. Nó chỉ thừa một lần: hãy giữ lại một.
# %% role="wrong" name="no_temperature"
patch("scale * images", "images")

# %% [markdown] lang="en" role="mistake" name="not_held"
# logit_scale is not held at ln 100 any more. The clamp was right: without it the temperature may fall so low that training
# becomes unstable.
# %% [markdown] lang="vi" of="cd00b25f"
# logit_scale không còn bị chặn ở ln 100. Dòng chặn ấy vốn đúng: không có nó, nhiệt độ có thể xuống thấp đến mức huấn luyện mất
# ổn định.
# %% role="wrong" name="not_held"
patch(".clamp(max=math.log(100))", "")

# %% [markdown] lang="en" role="mistake" name="mask_inverted"
# The mask was turned round, and the text tower looks at padding in place of words; a sentence without padding gives NaN. True
# means token, in the tower as in `mask`.
# %% [markdown] lang="vi" of="4aad9b5f"
# Mặt nạ bị đảo, nên tháp văn bản nhìn vào phần đệm thay vì các từ; câu không có phần đệm cho NaN. True nghĩa là token, cả trong
# tháp lẫn trong `mask`.
# %% role="wrong" name="mask_inverted"
patch("model.text_model(ids, mask)", "model.text_model(ids, ~mask)")

# %% [markdown] lang="en" role="mistake" name="added"
# The two directions are added up now, and the loss is twice as large. Their mean was right.
# %% [markdown] lang="vi" of="f54607d9"
# Giờ hai chiều được cộng lại, và hàm mất mát lớn gấp đôi. Lấy trung bình như cũ mới đúng.
# %% role="wrong" name="added"
patch("(rows + columns) / 2", "(rows + columns)")

# %% [markdown] lang="en" role="mistake" name="no_gradient"
# The number is right, but nothing can learn from it: it came out as a plain number, or was computed without gradients.
# %% [markdown] lang="vi" of="47981403"
# Con số đúng, nhưng không gì học được từ nó: nó là một số thường, hoặc đã được tính với gradient tắt.
# %% role="wrong" name="no_gradient"
patch("(rows + columns) / 2", "((rows + columns) / 2).detach()")

# %% [markdown] lang="en" role="mistake" name="first_of_the_sequence"
# The text's vector was taken from the sequence, at its first token. The tower's pooled vector stands at the end of the
# sentence: `.pooled`, as it was.
# %% [markdown] lang="vi" of="e541f35c"
# Vector của câu được lấy từ dãy, ở token đầu tiên. Vector gộp của tháp nằm ở cuối câu: dùng `.pooled` như cũ.
# %% role="wrong" name="first_of_the_sequence"
patch("model.text_model(ids, mask).pooled", "model.text_model(ids, mask).sequence[:, 0]")

# %% [markdown] lang="en" role="mistake" name="mask_from_ids"
# The mask was guessed from the ids, as if 0 always were padding. Which number stands for padding is the tokenizer's choice;
# `mask` says it, whatever it is. Pass that on.
# %% [markdown] lang="vi" of="0a7459d2"
# Mặt nạ được đoán từ ids, như thể 0 luôn là phần đệm. Số nào là phần đệm do tokenizer chọn; `mask` cho biết điều đó trong mọi
# trường hợp. Hãy truyền chính nó vào.
# %% role="wrong" name="mask_from_ids"
patch("model.text_model(ids, mask)", "model.text_model(ids, ids != 0)")

# %% [markdown] lang="en" role="mistake" name="backward_inside"
# The loss is right, but `backward` was called on the way. The caller calls it again, and then the weights hold the sum of both
# gradients. Only compute the loss.
# %% [markdown] lang="vi" of="ed319e38"
# Hàm mất mát đúng, nhưng `backward` đã bị gọi ngay bên trong. Nơi gọi hàm sẽ gọi nó lần nữa, và khi đó các trọng số giữ tổng
# của hai gradient. Chỉ tính giá trị mất mát thôi.
# %% role="wrong" name="backward_inside"
patch("    return (rows + columns) / 2",
      "    ((rows + columns) / 2).backward(retain_graph=True)\n    return (rows + columns) / 2")

# %% [markdown] lang="en" role="mistake" name="backward_and_detached"
# `backward` was called in here, and the loss came back without its graph. Then the caller's `backward` has nothing to go
# through, and a `zero_grad` before it throws your gradients away. Call neither `backward` nor `detach` in here.
# %% [markdown] lang="vi" of="3c805b1e"
# `backward` đã bị gọi ngay bên trong, và hàm mất mát trả về không còn đồ thị tính toán. Khi đó `backward` của nơi gọi không có
# gì để đi qua, còn `zero_grad` trước nó thì xóa các gradient của bạn. Đừng gọi `backward` hay `detach` ở đây.
# %% role="wrong" name="backward_and_detached"
patch("    return (rows + columns) / 2",
      "    loss = (rows + columns) / 2\n    loss.backward()\n    return loss.detach()")

# %% [markdown] lang="en" role="mistake" name="seeded"
# The loss is right, but the function sets a seed. A training step that does so makes every later random choice the same, and
# all batches hold the same pairs. Take it out.
# %% [markdown] lang="vi" of="66756239"
# Hàm mất mát đúng, nhưng hàm lại đặt seed. Một bước huấn luyện làm vậy khiến mọi lựa chọn ngẫu nhiên sau đó giống hệt nhau, và
# lô nào cũng gồm các cặp như nhau. Hãy bỏ dòng đó.
# %% role="wrong" name="seeded"
patch("    images = model.visual_projection", "    torch.manual_seed(0)\n    images = model.visual_projection")

# %% [markdown] lang="en" role="mistake" name="as_given"
# Several of the four mistakes are still in it. Take them one at a time, and ask of each line: does the text tower know where
# the padding is? Along which axis is a vector normalised? How often does the scale come in? Where do the sentences choose among
# the pictures?
# %% [markdown] lang="vi" of="d115bd64"
# Vẫn còn vài lỗi trong bốn lỗi. Hãy xử lý từng lỗi một và hỏi ở mỗi dòng: tháp văn bản có biết phần đệm nằm ở đâu không? Vector
# được chuẩn hóa dọc theo trục nào? Hệ số được nhân mấy lần? Các câu chọn trong các bức tranh ở chỗ nào?
# %% role="wrong" name="as_given"
patch("model.text_model(ids, mask).pooled)       #", "model.text_model(ids).pooled)             #")
patch("F.normalize(images, dim=-1)", "F.normalize(images, dim=0)")
patch("F.normalize(texts, dim=-1)", "F.normalize(texts, dim=0)")
patch("F.cross_entropy(logits, labels)", "F.cross_entropy(scale * logits, labels)")
patch("F.cross_entropy(logits.T, labels)", "F.cross_entropy(scale * logits, labels)")

# %% role="library"
from minidiff.models.clip import clip_loss


def contrastive_step(model, pixels, ids, mask):
    """As the library trains: in float32 from the unit vectors on."""
    return clip_loss(*model(pixels, ids, mask), model.logit_scale)

# %% role="payoff"
def draw(contrastive_step: Callable) -> Tensor:
    losses, similarities = train(contrastive_step)
    return torch.cat([heat(similarities), bars(losses)])        # (2, 3, 128, 128)


payoff(draw, contrastive_step, tolerance=0.1)
