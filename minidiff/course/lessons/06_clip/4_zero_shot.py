"""Exercise 06.4, zero_shot: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Names for pictures, without training
#
# K names may be right for a picture, and each is said in T phrasings: "one red thing", "a red star", ... Make one vector of
# each name: its phrasings as unit vectors, their mean, and that as a unit vector again. A picture gets the name whose vector is
# nearest, by the angle between them. Return the names' numbers, 0 to K - 1.
#
# Below, your function names what it sees in six pictures, in English and in Vietnamese: one of 10 colours, and one of 7
# places. `world-clip` was never trained on such a list.
# %% [markdown] lang="vi" of="8a129512"
# ## Đặt tên cho tranh mà không cần huấn luyện
#
# Có K cái tên có thể đúng với một bức tranh, và mỗi tên được nói bằng T cách: "one red thing", "a red star", ... Hãy làm ra một
# vector cho mỗi tên: đưa các cách nói về vector đơn vị, lấy trung bình, rồi lại đưa trung bình đó về vector đơn vị. Bức tranh
# nhận tên có vector gần nó nhất, tính theo góc. Trả về số thứ tự của các tên, từ 0 đến K - 1.
#
# Bên dưới, hàm của bạn gọi tên những gì nó thấy trong sáu bức tranh, bằng tiếng Anh và tiếng Việt: một trong 10 màu và một
# trong 7 nơi. `world-clip` chưa từng được huấn luyện với danh sách nào như thế.

# %% [markdown] lang="en" role="hints"
# Follow the shapes: prompts (K, T, P) → one vector for each name (K, P) → similarities (B, K) → (B,).
# ---
# Normalise before the mean, or the longest phrasing decides it. Normalise after it, or a name whose phrasings agree gets a
# longer vector than the others, and wins too often.
# ---
# `normalise(normalise(prompts).mean(dim=1))` is (K, P). The dot products of the pictures with it are (B, K), and
# `argmax(dim=-1)` picks the name.
# %% [markdown] lang="vi" of="185cdb3c"
# Hãy lần theo kích thước: các prompt (K, T, P) → một vector cho mỗi tên (K, P) → độ giống nhau (B, K) → (B,).
# ---
# Chuẩn hóa trước khi lấy trung bình, nếu không thì cách nói có vector dài nhất sẽ quyết định. Chuẩn hóa cả sau đó, nếu không
# thì tên nào có các cách nói giống nhau sẽ có vector dài hơn các tên khác và thắng quá nhiều.
# ---
# `normalise(normalise(prompts).mean(dim=1))` có kích thước (K, P). Tích vô hướng của các bức tranh với nó là (B, K), và
# `argmax(dim=-1)` chọn ra tên.

# %% [markdown] lang="en" role="stub"
# Names for pictures: images (B, P) and prompts (K, T, P) of any length, K names in
# T phrasings each, to the number of the nearest name, (B,) int64.
# ---
# 1. unit vectors, and their mean for each name             # (K, P)
# 2. unit vectors again
# 3. similarities                                           # (B, K)
# 4. the nearest                                            # (B,)
# %% [markdown] lang="vi" of="5bae9dd7"
# Đặt tên cho tranh: images (B, P) và prompts (K, T, P) có độ dài bất kỳ, K tên với
# T cách nói mỗi tên, thành số thứ tự của tên gần nhất, (B,) kiểu int64.
# ---
# 1. các vector đơn vị, và trung bình của mỗi tên           # (K, P)
# 2. lại đưa về vector đơn vị
# 3. độ giống nhau                                          # (B, K)
# 4. tên gần nhất                                           # (B,)

# %% role="solution"
def zero_shot(images: Tensor, prompts: Tensor) -> Tensor:
    names = normalise(prompts).mean(dim=1)                      # (K, P)
    similarities = normalise(images) @ normalise(names).T       # (B, K)
    return similarities.argmax(dim=-1)                          # (B,)

# %% [markdown] lang="en" role="checks"
# - one number for each picture, also for a single picture, name and phrasing
# - whole numbers, int64
# - pictures and names in two dimensions, which can be checked on paper
# - thirty pictures, five names in three phrasings
# - one phrasing with a very long vector
# - a name whose phrasings agree, beside one whose phrasings don't
# - a picture's name depends on that picture alone
# %% [markdown] lang="vi" of="98a362e4"
# - một số cho mỗi bức tranh, kể cả khi chỉ có một tranh, một tên, một cách nói
# - số nguyên, int64
# - tranh và tên trong hai chiều, có thể tính tay
# - ba mươi bức tranh, năm tên với ba cách nói
# - một cách nói có vector rất dài
# - một tên có các cách nói giống nhau, bên cạnh tên có các cách nói khác nhau
# - tên của một bức tranh chỉ phụ thuộc vào bức tranh đó

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 numbers in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PAPER = {"images": torch.tensor([[0.0, 2.0], [5.0, 1.0], [-1.0, 0.0]]),
         "prompts": torch.tensor([[[1.0, 0.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]]])}       # to the right; upwards
IMAGES = normal(4, 30, seed=11).T * normal(30, 1, seed=12).exp()                             # (30, 4), not contiguous
PROMPTS = normal(3, 5, 4, seed=13).transpose(0, 1) + 1.2 * normal(5, 1, 4, seed=14)         # (5, 3, 4)
PROMPTS = PROMPTS * (0.7 * normal(5, 3, 1, seed=15)).exp()
ONE_LONG = PROMPTS.clone()
ONE_LONG[2, 1] *= 50
AGREEING = normal(5, 3, 4, seed=16) * torch.tensor([2.0, 1.0, 1.0, 0.5, 0.0])[:, None, None] + normal(5, 1, 4, seed=17)


def shapes(f, images, prompts):
    return [list(f(images, prompts).shape), list(f(images[:1], prompts[:1, :1]).shape)]


def names(f, images, prompts):
    found = f(images, prompts)
    if found.shape != images.shape[:1]:
        raise ValueError(f"There are numbers of shape {tuple(found.shape)} for {len(images)} pictures; give one each.")
    return found.float()


def some_alone(f, images, prompts):
    return [names(f, images[k : k + 2], prompts) for k in (0, 7, 19)]


probe(shapes, images=IMAGES, prompts=PROMPTS)
probe(lambda f, images, prompts: str(f(images, prompts).dtype), images=IMAGES, prompts=PROMPTS)
probe(names, **PAPER)
probe(names, points=2, images=IMAGES, prompts=PROMPTS)
probe(names, images=IMAGES, prompts=ONE_LONG)
probe(names, images=IMAGES, prompts=AGREEING)
probe(some_alone, images=IMAGES, prompts=PROMPTS)

# %% [markdown] lang="en" role="mistake" name="mean_first"
# The phrasings went into the mean at unequal lengths, and the longest one decides what the name means. Make a unit vector of
# each first, then take the mean.
# %% [markdown] lang="vi" of="ebefdfa4"
# Các cách nói được lấy trung bình với độ dài khác nhau, nên cách nói có vector dài nhất quyết định nghĩa của tên. Hãy đưa từng
# cách nói về vector đơn vị rồi mới lấy trung bình.
# %% role="wrong" name="mean_first"
patch("normalise(prompts).mean", "prompts.mean")

# %% [markdown] lang="en" role="mistake" name="not_again"
# The means were left as they are, or each phrasing's similarities were averaged, which comes to the same. The mean of unit
# vectors is shorter than 1, the more so the less they agree, and names with longer means win too often. Normalise the means
# too.
# %% [markdown] lang="vi" of="9e72a051"
# Các trung bình được giữ nguyên, hoặc bạn lấy trung bình độ giống của từng cách nói, hai cách này như nhau. Trung bình của các
# vector đơn vị ngắn hơn 1, các cách nói càng khác nhau thì càng ngắn, và tên có trung bình dài hơn sẽ thắng quá nhiều. Hãy
# chuẩn hóa cả các trung bình.
# %% role="wrong" name="not_again"
patch("normalise(names).T", "names.T")

# %% [markdown] lang="en" role="mistake" name="never_normalised"
# Nothing was made a unit vector, so long vectors win, whatever their direction. Normalise the phrasings before the mean, and
# the means after it.
# %% [markdown] lang="vi" of="378dcfff"
# Không có gì được đưa về vector đơn vị, nên vector dài thắng bất kể hướng nào. Hãy chuẩn hóa các cách nói trước khi lấy trung
# bình, và cả trung bình sau đó.
# %% role="wrong" name="never_normalised"
patch("normalise(prompts).mean", "prompts.mean")
patch("normalise(names).T", "names.T")

# %% [markdown] lang="en" role="mistake" name="over_names"
# The mean was taken over the names, axis 0, and what is left is one vector for each phrasing. The phrasings are axis 1 of (K,
# T, P).
# %% [markdown] lang="vi" of="cbe1d2cd"
# Trung bình đã lấy qua các tên, trục 0, nên còn lại một vector cho mỗi cách nói. Các cách nói nằm ở trục 1 của (K, T, P).
# %% role="wrong" name="over_names"
patch(".mean(dim=1)", ".mean(dim=0)")

# %% [markdown] lang="en" role="mistake" name="farthest"
# This picks the name that fits least. A large cosine means a small angle: take the largest.
# %% [markdown] lang="vi" of="9370b03f"
# Hàm chọn cái tên kém hợp nhất. Cosin lớn nghĩa là góc nhỏ: hãy lấy số lớn nhất.
# %% role="wrong" name="farthest"
patch("argmax(dim=-1)", "argmin(dim=-1)")

# %% [markdown] lang="en" role="mistake" name="picture_for_each_name"
# This finds the best picture for each name, (K,). Each picture chooses: go along the names, the last axis of (B, K).
# %% [markdown] lang="vi" of="0ffecbb2"
# Hàm tìm bức tranh hợp nhất cho mỗi tên, (K,). Phải để mỗi bức tranh chọn: hãy đi dọc theo các tên, trục cuối của (B, K).
# %% role="wrong" name="picture_for_each_name"
patch("argmax(dim=-1)", "argmax(dim=0)")

# %% [markdown] lang="en" role="mistake" name="best_phrasing"
# Each name was judged by its best phrasing alone. One odd phrasing is then enough to win; take the mean of all of them.
# %% [markdown] lang="vi" of="f8bf5962"
# Mỗi tên chỉ được xét qua cách nói hợp nhất của nó. Như vậy chỉ cần một cách nói lạc lõng là thắng; hãy lấy trung bình của tất
# cả.
# %% role="wrong" name="best_phrasing"
def zero_shot(images, prompts):
    similarities = torch.einsum("bp,ktp->bkt", normalise(images), normalise(prompts))
    return similarities.amax(dim=2).argmax(dim=1)

# %% [markdown] lang="en" role="mistake" name="first_phrasing"
# Only the first phrasing of each name was used. The mean over several is steadier; use all T.
# %% [markdown] lang="vi" of="b16a190d"
# Chỉ cách nói đầu tiên của mỗi tên được dùng. Trung bình của nhiều cách nói thì ổn định hơn; hãy dùng cả T cách.
# %% role="wrong" name="first_phrasing"
patch("normalise(prompts).mean(dim=1)", "prompts[:, 0]")

# %% [markdown] lang="en" role="mistake" name="number_of_phrasing"
# The number that came back counts phrasings, 0 to K T - 1. Names are asked for: make one vector of each name before comparing.
# %% [markdown] lang="vi" of="89a94399"
# Số trả về đang đếm các cách nói, từ 0 đến K T - 1. Đề bài cần tên: hãy làm ra một vector cho mỗi tên trước khi so sánh.
# %% role="wrong" name="number_of_phrasing"
def zero_shot(images, prompts):
    return (normalise(images) @ normalise(prompts).flatten(0, 1).T).argmax(dim=1)

# %% [markdown] lang="en" role="mistake" name="votes"
# Each phrasing voted for a name, and the most votes won. How well each phrasing fits is lost that way; average
# their unit vectors.
# %% [markdown] lang="vi" of="38f3a43d"
# Mỗi cách nói bỏ phiếu cho một tên, và tên nhiều phiếu nhất thắng. Như vậy mất thông tin về việc mỗi cách nói hợp đến mức nào;
# hãy lấy trung bình các vector đơn vị.
# %% role="wrong" name="votes"
def zero_shot(images, prompts):
    similarities = torch.einsum("bp,ktp->tbk", normalise(images), normalise(prompts))
    return similarities.argmax(dim=-1).mode(dim=0).values

# %% [markdown] lang="en" role="mistake" name="along_phrasings"
# The phrasings were normalised along axis 1, over T, not over the features of each. A vector's own numbers lie along the last
# axis, where your `normalise` looks for them.
# %% [markdown] lang="vi" of="992117d0"
# Các cách nói đã được chuẩn hóa dọc theo trục 1, qua T, chứ không qua các đặc trưng của từng cách. Các số của một vector nằm
# dọc theo trục cuối; `normalise` của bạn làm đúng như vậy.
# %% role="wrong" name="along_phrasings"
patch("normalise(prompts).mean", "F.normalize(prompts, dim=1).mean")

# %% [markdown] lang="en" role="mistake" name="sizes_of_cosines"
# The sign of the cosines was thrown away. A name in the opposite direction, cosine -1, fits worst, not best.
# %% [markdown] lang="vi" of="93e2e214"
# Dấu của cosin đã bị bỏ mất. Tên ở hướng ngược lại, cosin -1, là kém hợp nhất chứ không phải hợp nhất.
# %% role="wrong" name="sizes_of_cosines"
patch("similarities.argmax", "similarities.abs().argmax")

# %% [markdown] lang="en" role="mistake" name="likelihoods"
# The similarities or probabilities came back, (B, K). Return the number of the best name of each picture, (B,).
# %% [markdown] lang="vi" of="0f384e8e"
# Hàm trả về các độ giống nhau hoặc xác suất, (B, K). Hãy trả về số thứ tự của tên hợp nhất với mỗi bức tranh, (B,).
# %% role="wrong" name="likelihoods"
patch("similarities.argmax(dim=-1)", "similarities")

# %% [markdown] lang="en" role="mistake" name="value_of_the_best"
# The largest similarity of each picture came back, not where it is. `argmax` gives its place, the number of the name.
# %% [markdown] lang="vi" of="ab2f348f"
# Hàm trả về độ giống lớn nhất của mỗi bức tranh chứ không phải vị trí của nó. `argmax` cho vị trí, tức số thứ tự của tên.
# %% role="wrong" name="value_of_the_best"
patch("argmax(dim=-1)", "amax(dim=-1)")

# %% [markdown] lang="en" role="mistake" name="floats"
# The right names, but as floating-point numbers. An index is int64, or `names[index]` fails.
# %% [markdown] lang="vi" of="d5a307ca"
# Tên đúng, nhưng là số thực. Chỉ số phải là int64, nếu không `names[index]` sẽ báo lỗi.
# %% role="wrong" name="floats"
patch("argmax(dim=-1)", "argmax(dim=-1).to(images.dtype)")

# %% [markdown] lang="en" role="mistake" name="short_integers"
# The right names, but as int32. PyTorch's indices are int64, as `argmax` gives them.
# %% [markdown] lang="vi" of="847d7eaf"
# Tên đúng, nhưng là int32. Chỉ số của PyTorch là int64, như `argmax` trả về.
# %% role="wrong" name="short_integers"
patch("argmax(dim=-1)", "argmax(dim=-1).int()")

# %% [markdown] lang="en" role="mistake" name="one_name_each"
# Each name was given away once: a picture could not take a name that another had. Two pictures may have the same name; let each
# choose for itself.
# %% [markdown] lang="vi" of="cc95bfd8"
# Mỗi tên chỉ được trao một lần: bức tranh không thể nhận cái tên mà bức khác đã có. Hai bức tranh có thể cùng tên; hãy để mỗi
# bức tự chọn.
# %% role="wrong" name="one_name_each"
def zero_shot(images, prompts):
    names = normalise(normalise(prompts).mean(dim=1))
    similarities, found = normalise(images) @ names.T, []
    for row in similarities:
        free = [k for k in range(len(names)) if k not in found[-len(names) + 1:]] or [0]
        found.append(max(free, key=lambda k: float(row[k])))
    return torch.tensor(found)

# %% [markdown] lang="en" role="mistake" name="a_list"
# A Python list came back. Return a tensor (B,) of int64, as `argmax` gives it.
# %% [markdown] lang="vi" of="4283b2f6"
# Hàm trả về một list của Python. Hãy trả về tensor (B,) kiểu int64, như `argmax` cho.
# %% role="wrong" name="a_list"
patch("argmax(dim=-1)", "argmax(dim=-1).tolist()")

# %% [markdown] lang="en" role="mistake" name="squeezed"
# For a single picture the axis B is gone: `squeeze` takes away every axis of length 1. A batch of one gives (1,), one number in
# a row.
# %% [markdown] lang="vi" of="140f2ab1"
# Khi chỉ có một bức tranh thì trục B biến mất: `squeeze` bỏ mọi trục có độ dài 1. Lô một tranh phải cho (1,), một dãy gồm một
# số.
# %% role="wrong" name="squeezed"
patch("argmax(dim=-1)", "argmax(dim=-1).squeeze()")

# %% role="library"
import torch
import torch.nn.functional as F


def zero_shot(images, prompts):
    """By distances of unit vectors."""
    names = F.normalize(F.normalize(prompts, dim=2).sum(dim=1), dim=1)
    return torch.cdist(F.normalize(images, dim=1), names).argmin(dim=1)

# %% role="payoff"
colours = {"en": COLOURS, "vi": [COLOURS_VI[colour][0] for colour in COLOURS]}     # 10
places = {"en": [min(SETTINGS_EN[place], key=len) for place in SETTINGS_EN],       # 7
          "vi": [min(SETTINGS_VI[place], key=len) for place in SETTINGS_EN]}
frames = {"en": ("one {} thing", "a big {} cat", "a {} star"),
          "vi": ("một vật màu {}", "một con mèo to màu {}", "một ngôi sao màu {}")}
things_there = {"en": ("a cat {}", "a star {}"),
                "vi": ("một con mèo {}", "một ngôi sao {}")}
images = embed_images(rendered(scenes, 64))                     # (6, P)


def named(zero_shot: Callable, names: list[str], frames: tuple[str, ...]) -> list[str]:
    said = [embed_texts([frame.format(name) for frame in frames]) for name in names]
    return [names[k] for k in zero_shot(images, torch.stack(said))]


def draw(zero_shot: Callable) -> Tensor:
    columns = [[", ".join(both) for both in zip(
        named(zero_shot, colours[lang], frames[lang]),
        named(zero_shot, places[lang], things_there[lang]),
    )] for lang in ("en", "vi")]
    each = zip(pictures, *columns)
    return torch.stack([labelled(*one) for one in each])        # (6, 3, 164, 128)


payoff(draw, zero_shot)
