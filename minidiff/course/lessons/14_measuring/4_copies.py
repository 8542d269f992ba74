"""Exercise 14.4, copies: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="14"
# ## Which pictures are copies?
#
# A model that repeats its training pictures has a perfect Fréchet distance. To notice it, look for the nearest training picture
# of each drawn one. But how near is too near? Pictures of the same kind that nobody trained on, **held out**, have a nearest
# training picture as well. Their distances show what is usual.
#
# - `drawn` (N, D), `training` (T, D) and `held_out` (H, D) are features. Bring each to length 1 first, so that a brighter copy
#   is still a copy.
# - The distance of a picture is the Euclidean one to its nearest training picture.
# - The threshold is the `quantile` of the held-out pictures' distances, interpolated as `torch.quantile` does. With 0.05, one
#   in twenty innocent pictures falls below it by chance.
#
# **Return** the share of drawn pictures nearer than the threshold, a float, and the index of each one's nearest training
# picture, (N,) int64. A picture exactly at the threshold doesn't count. In the cell at the end, two copies are planted among
# drawn pictures, one mirrored and one paler: your function puts an orange frame round those that it suspects. The nearest
# training picture stands below each.
# %% [markdown] lang="vi" of="61edd50e"
# ## Bức nào là bản sao?
#
# Một mô hình chép lại tranh huấn luyện thì có khoảng cách Fréchet hoàn hảo. Muốn phát hiện, hãy tìm bức huấn luyện gần nhất của
# mỗi bức vẽ. Nhưng gần đến đâu là quá gần? Những bức cùng loại mà không ai dùng để huấn luyện, tức là các bức **giữ riêng**
# (held out), cũng có bức huấn luyện gần nhất. Khoảng cách của chúng cho biết thế nào là bình thường.
#
# - `drawn` (N, D), `training` (T, D) và `held_out` (H, D) là các đặc trưng. Trước hết hãy đưa mỗi đặc trưng về độ dài 1, để một
#   bản sao sáng hơn vẫn là bản sao.
# - Khoảng cách của một bức là khoảng cách Euclid đến bức huấn luyện gần nhất.
# - Ngưỡng là phân vị `quantile` của các khoảng cách của những bức giữ riêng, nội suy như trong `torch.quantile`. Với 0.05, cứ
#   hai mươi bức vô tội thì có một bức tình cờ nằm dưới ngưỡng.
#
# **Hãy trả về** tỉ lệ các bức vẽ nằm dưới ngưỡng, kiểu float, và chỉ số bức huấn luyện gần nhất của từng bức, (N,) int64. Bức
# nằm đúng trên ngưỡng thì không tính. Trong ô ở cuối, hai bản sao được cài vào giữa các bức vẽ, một bức lật ngang và một bức
# nhạt hơn: hàm của bạn đóng khung cam quanh những bức bị nghi. Bên dưới mỗi bức là bức huấn luyện gần nhất.

# %% [markdown] lang="en" role="hints"
# `F.normalize(x, dim=1)` brings each row to length 1, and `torch.cdist` gives all distances of two sets.
# ---
# `.min(dim=1)` of the distances (N, T) returns both things that you need of the drawn pictures: the least of each row, and
# where it is.
# ---
# `distance, index = torch.cdist(drawn, training).min(dim=1)`; the same for `held_out`, of which `torch.quantile(usual,
# quantile)` is the threshold. The mean of `distance < threshold`, as numbers, is the share.
# %% [markdown] lang="vi" of="6c39004d"
# `F.normalize(x, dim=1)` đưa mỗi hàng về độ dài 1, còn `torch.cdist` cho mọi khoảng cách giữa hai tập.
# ---
# `.min(dim=1)` của các khoảng cách (N, T) trả về cả hai thứ bạn cần ở các bức vẽ: số nhỏ nhất mỗi hàng, và vị trí của nó.
# ---
# `distance, index = torch.cdist(drawn, training).min(dim=1)`; làm tương tự với `held_out`, rồi `torch.quantile(usual,
# quantile)` là ngưỡng. Trung bình của `distance < threshold`, dưới dạng số, là tỉ lệ.

# %% [markdown] lang="en" role="stub"
# Features drawn (N, D), training (T, D), held_out (H, D) -> the share of drawn
# pictures whose nearest training picture is nearer than the threshold, a float, and
# the index of that picture, (N,) int64. The threshold is the `quantile` (0..1) of
# the held-out pictures' distances to their nearest training picture.
# ---
# 1. bring all features to length 1
# 2. the nearest training picture of each drawn one       # distance, index: (N,)
# 3. the held-out pictures' distances, and their quantile # (H,) to ()
# 4. return the share below it, and the index
# %% [markdown] lang="vi" of="750125cd"
# Đặc trưng drawn (N, D), training (T, D), held_out (H, D) -> tỉ lệ các bức vẽ có
# bức huấn luyện gần nhất nằm gần hơn ngưỡng, kiểu float, và chỉ số của bức ấy, (N,)
# int64. Ngưỡng là phân vị `quantile` (0..1) của khoảng cách từ các bức giữ riêng đến
# bức huấn luyện gần nhất của chúng.
# ---
# 1. đưa mọi đặc trưng về độ dài 1
# 2. bức huấn luyện gần nhất của mỗi bức vẽ               # distance, index: (N,)
# 3. khoảng cách của các bức giữ riêng, và phân vị        # (H,) thành ()
# 4. trả về tỉ lệ nằm dưới ngưỡng, và chỉ số

# %% role="solution"
def copies(
    drawn: Tensor, training: Tensor, held_out: Tensor, quantile: float
) -> tuple[float, Tensor]:
    sets = (drawn, training, held_out)
    drawn, training, held_out = (F.normalize(x.double(), dim=1) for x in sets)
    distance, index = torch.cdist(drawn, training).min(dim=1)       # (N,), (N,)
    usual = torch.cdist(held_out, training).amin(dim=1)             # (H,)
    threshold = torch.quantile(usual, quantile)
    return (distance < threshold).double().mean().item(), index

# %% [markdown] lang="en" role="checks"
# - a float, and (N,) of int64
# - 37 drawn pictures, 11 of the training, 9 held out
# - low, middle and high quantiles
# - features of very different length
# - copies, brighter and darker, among others
# - the same in float32
# - held-out pictures in place of drawn ones: about the quantile of them
# - one drawn picture, one training picture
# - a threshold between two far held-out pictures, and pictures exactly at it
# %% [markdown] lang="vi" of="cc58f380"
# - một số float, và (N,) kiểu int64
# - 37 bức vẽ, 11 bức huấn luyện, 9 bức giữ riêng
# - phân vị thấp, vừa và cao
# - đặc trưng dài ngắn rất khác nhau
# - các bản sao, sáng hơn và tối hơn, giữa những bức khác
# - cũng vậy ở float32
# - bức giữ riêng thay cho bức vẽ: tỉ lệ gần bằng phân vị
# - một bức vẽ, một bức huấn luyện
# - ngưỡng nằm giữa hai bức giữ riêng xa nhau, và những bức nằm đúng trên ngưỡng

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def raw(f, **inputs):
    share, index = f(**inputs)
    return [isinstance(share, torch.Tensor), list(index.shape), str(index.dtype)]


def found(f, **inputs):
    share, index = f(**inputs)
    return [float(share), [float(k) for k in index]]


def shares(f, quantiles, **inputs):
    return [float(f(quantile=quantile, **inputs)[0]) for quantile in quantiles]


def uneven(f, drawn, training, held_out, quantile):
    def longer(x):
        return x * (0.1 + 3 * torch.arange(len(x)).flip(0)[:, None] % 7)

    return found(f, drawn=longer(drawn), training=longer(training), held_out=longer(held_out), quantile=quantile)


def planted(f, drawn, training, held_out, quantile):
    planted = torch.cat([2 * training[[4]], drawn[:3], 0.5 * training[[0, 9]]])
    return found(f, drawn=planted, training=training, held_out=held_out, quantile=quantile)


def in_float32(f, drawn, training, held_out, quantile):
    return found(f, drawn=drawn.float(), training=training.float(), held_out=held_out.float(), quantile=quantile)


def innocent(f, training, held_out, quantile):
    return found(f, drawn=held_out, training=training, held_out=held_out, quantile=quantile)


def one(f, drawn, training, held_out, quantile):
    return found(f, drawn=drawn[:1], training=training[:1], held_out=held_out, quantile=quantile)


def edges(f, far, training, held_out, line):
    """Pictures at these distances of one training picture, and pictures on one line with it, at 0 or at 2 exactly."""

    def at(distances):
        angles = 2 * torch.asin(torch.tensor(distances, dtype=torch.float64) / 2)
        return 3 * torch.stack([angles.cos(), angles.sin()], dim=1)

    between, _ = f(drawn=at(far), training=at(training), held_out=at(held_out), quantile=0.4)
    equal, _ = f(drawn=line[:3], training=line[[0]], held_out=line[2:], quantile=0.5)
    return [float(between), float(equal)]


GIVEN = {"drawn": normal(37, 4, seed=30) + 0.5, "training": normal(11, 4, seed=22) + 0.5}
GIVEN |= {"held_out": normal(9, 4, seed=23) + 0.5}

probe(raw, quantile=0.3, **GIVEN)
probe(found, points=2, quantile=0.55, **GIVEN)
probe(shares, quantiles=[0.08, 0.45, 0.7, 0.93], **GIVEN)
probe(uneven, quantile=0.55, **GIVEN)
probe(planted, quantile=0.05, **GIVEN)
probe(in_float32, quantile=0.55, **GIVEN)
probe(innocent, quantile=0.33, training=GIVEN["training"], held_out=GIVEN["held_out"])
probe(one, quantile=0.77, **GIVEN)
FAR = {"far": [0.1, 0.45, 0.65, 0.74, 0.9, 1.3], "training": [0.0], "held_out": [0.2, 1.2]}
probe(edges, line=torch.tensor([[2.0], [-2.0], [-1.0], [-4.0]], dtype=torch.float64) * torch.eye(3)[0], **FAR)

# %% [markdown] lang="en" role="mistake" name="not_normalised"
# The features were compared as they are. A copy that is a little brighter has longer features and is suddenly far away: bring
# each row to length 1.
# %% [markdown] lang="vi" of="7cc7e419"
# Các đặc trưng được đem so khi chưa chuẩn hóa. Một bản sao hơi sáng hơn có đặc trưng dài hơn và bỗng thành xa: hãy đưa mỗi
# hàng về độ dài 1.
# %% role="wrong" name="not_normalised"
patch("F.normalize(x.double(), dim=1)", "x.double()")

# %% [markdown] lang="en" role="mistake" name="normalised_along_0"
# The features were divided along dimension 0, over the pictures. Each picture's own D numbers should have length 1: dim=1.
# %% [markdown] lang="vi" of="21ca804a"
# Đặc trưng bị chuẩn hóa theo chiều 0, tức là qua các bức. D con số của từng bức mới cần có độ dài 1: dim=1.
# %% role="wrong" name="normalised_along_0"
patch("F.normalize(x.double(), dim=1)", "F.normalize(x.double(), dim=0)")

# %% [markdown] lang="en" role="mistake" name="drawn_not_normalised"
# Only the training and held-out pictures were brought to length 1. The drawn ones must be treated in the same way, or their
# distances aren't comparable.
# %% [markdown] lang="vi" of="a73e9959"
# Chỉ các bức huấn luyện và giữ riêng được đưa về độ dài 1. Các bức vẽ cũng phải được xử lý như vậy, nếu không khoảng cách không
# so được với nhau.
# %% role="wrong" name="drawn_not_normalised"
patch("distance, index = torch.cdist(drawn, training)", "distance, index = torch.cdist(sets[0].double(), training)")

# %% [markdown] lang="en" role="mistake" name="threshold_of_the_drawn"
# The threshold is a quantile of the drawn pictures' own distances. Then the share is always about that quantile, whether the
# model copies or not. Calibrate on held-out pictures.
# %% [markdown] lang="vi" of="10af8ac9"
# Ngưỡng là phân vị của chính khoảng cách của các bức vẽ. Khi đó tỉ lệ luôn gần bằng phân vị ấy, dù mô hình có chép hay không.
# Hãy định ngưỡng trên các bức giữ riêng.
# %% role="wrong" name="threshold_of_the_drawn"
patch("torch.cdist(held_out, training).amin(dim=1)", "distance")

# %% [markdown] lang="en" role="mistake" name="threshold_of_the_training"
# The threshold comes from the training pictures' distances to one another, each without itself. Those are the pictures that the
# model knows; what is usual for pictures it doesn't know is what counts: ask the held-out ones.
# %% [markdown] lang="vi" of="27bf5d2b"
# Ngưỡng lấy từ khoảng cách giữa các bức huấn luyện với nhau, không kể chính mình. Đó là những bức mô hình đã biết; điều cần
# biết là thế nào là bình thường với những bức nó chưa thấy: hãy hỏi các bức giữ riêng.
# %% role="wrong" name="threshold_of_the_training"
patch("torch.cdist(held_out, training).amin(dim=1)  ", "torch.cdist(training, training).kthvalue(2, dim=1).values  ")

# %% [markdown] lang="en" role="mistake" name="training_against_itself"
# The threshold comes from the training pictures' distances to the training pictures. Each finds itself at distance 0, so the
# threshold is about 0 and nothing is ever suspected. Use the held-out ones.
# %% [markdown] lang="vi" of="af50ff3d"
# Ngưỡng lấy từ khoảng cách của các bức huấn luyện đến chính tập huấn luyện. Bức nào cũng tìm thấy chính mình ở khoảng cách 0,
# nên ngưỡng gần bằng 0 và không gì bị nghi cả. Hãy dùng các bức giữ riêng.
# %% role="wrong" name="training_against_itself"
patch("torch.cdist(held_out, training).amin(dim=1)  ", "torch.cdist(training, training).amin(dim=1) * 0.0  ")

# %% [markdown] lang="en" role="mistake" name="all_pairs"
# The threshold is a quantile of all distances between held-out and training pictures. Most of those are far apart, so nearly
# everything is suspected. Take each held-out picture's nearest first.
# %% [markdown] lang="vi" of="adaf3e9a"
# Ngưỡng là phân vị của mọi khoảng cách giữa bức giữ riêng và bức huấn luyện. Phần lớn các cặp ấy xa nhau, nên gần như bức nào
# cũng bị nghi. Trước hết hãy lấy bức gần nhất của mỗi bức giữ riêng.
# %% role="wrong" name="all_pairs"
patch("torch.cdist(held_out, training).amin(dim=1)  ", "torch.cdist(held_out, training).flatten()  ")

# %% [markdown] lang="en" role="mistake" name="other_side_of_held_out"
# The held-out distances were asked the wrong way round: for each training picture its nearest held-out one. Each held-out
# picture looks for its nearest training picture.
# %% [markdown] lang="vi" of="9a72f983"
# Khoảng cách của tập giữ riêng bị hỏi ngược: với mỗi bức huấn luyện, tìm bức giữ riêng gần nhất. Đúng ra mỗi bức giữ riêng
# phải tìm bức huấn luyện gần nhất của nó.
# %% role="wrong" name="other_side_of_held_out"
patch("torch.cdist(held_out, training).amin(dim=1)", "torch.cdist(held_out, training).amin(dim=0)")

# %% [markdown] lang="en" role="mistake" name="other_dimension"
# For each training picture the nearest drawn one was looked for. A row is a drawn picture, so take the least of each row:
# dim=1.
# %% [markdown] lang="vi" of="f6c685fa"
# Hàm tìm bức vẽ gần nhất của mỗi bức huấn luyện. Mỗi hàng là một bức vẽ, vậy hãy lấy số nhỏ nhất của từng hàng: dim=1.
# %% role="wrong" name="other_dimension"
patch("torch.cdist(drawn, training).min(dim=1) ", "torch.cdist(drawn, training).min(dim=0) ")

# %% [markdown] lang="en" role="mistake" name="farthest"
# The farthest training picture was taken. A copy shows in the nearest one: the smallest distance.
# %% [markdown] lang="vi" of="cbf07794"
# Hàm lấy bức huấn luyện xa nhất. Bản sao lộ ra ở bức gần nhất: khoảng cách nhỏ nhất.
# %% role="wrong" name="farthest"
patch("torch.cdist(drawn, training).min(dim=1) ", "torch.cdist(drawn, training).max(dim=1) ")

# %% [markdown] lang="en" role="mistake" name="average_distance"
# Average distances to all training pictures were compared. A copy of one picture is on average as far from all of them as that
# picture is: only the nearest tells.
# %% [markdown] lang="vi" of="bf7eb25c"
# Khoảng cách trung bình đến mọi bức huấn luyện được đem so. Bản sao của một bức thì trung bình vẫn xa cả tập như chính bức ấy:
# chỉ bức gần nhất mới cho biết.
# %% role="wrong" name="average_distance"
patch("(distance < threshold)", "(torch.cdist(drawn, training).mean(dim=1) < threshold)")
patch("torch.cdist(held_out, training).amin(dim=1)  ", "torch.cdist(held_out, training).mean(dim=1)  ")

# %% [markdown] lang="en" role="mistake" name="above_counted"
# These are the pictures *above* the threshold, the innocent ones. Copies are nearer than usual: below it.
# %% [markdown] lang="vi" of="3f689ed8"
# Đây là những bức *trên* ngưỡng, tức là vô tội. Bản sao thì gần hơn bình thường: dưới ngưỡng.
# %% role="wrong" name="above_counted"
patch("distance < threshold", "distance > threshold")

# %% [markdown] lang="en" role="mistake" name="other_tail"
# The quantile was counted from the far end. With 0.05 the threshold should let 5 % of the held-out pictures fall below it, not
# 95 %.
# %% [markdown] lang="vi" of="b3c604fd"
# Phân vị bị đếm từ đầu kia. Với 0.05, ngưỡng phải để 5 % số bức giữ riêng nằm dưới nó, không phải 95 %.
# %% role="wrong" name="other_tail"
patch("torch.quantile(usual, quantile)", "torch.quantile(usual, 1 - quantile)")

# %% [markdown] lang="en" role="mistake" name="share_of_the_mean"
# The threshold is a fraction of the average distance. Ask for the quantile: `quantile` says which share of innocent pictures
# may be suspected.
# %% [markdown] lang="vi" of="f229cf58"
# Ngưỡng là một phần của khoảng cách trung bình. Hãy lấy phân vị: `quantile` nói tỉ lệ bức vô tội nào được phép bị nghi.
# %% role="wrong" name="share_of_the_mean"
patch("torch.quantile(usual, quantile)", "usual.mean() * quantile")

# %% [markdown] lang="en" role="mistake" name="quantile_as_threshold"
# The distances were compared with `quantile` itself. How near is near depends on the network whose features these are:
# calibrate on the held-out pictures.
# %% [markdown] lang="vi" of="c8cc9805"
# Khoảng cách được so với chính `quantile`. Gần đến đâu là gần phụ thuộc vào mạng tạo ra đặc trưng: hãy định ngưỡng trên các bức
# giữ riêng.
# %% role="wrong" name="quantile_as_threshold"
patch("torch.quantile(usual, quantile)", "quantile")

# %% [markdown] lang="en" role="mistake" name="a_count"
# This is how many pictures are below the threshold. A share, from 0 to 1, was asked for, so that sets of different sizes can be
# compared.
# %% [markdown] lang="vi" of="70d3d8e1"
# Đây là số bức nằm dưới ngưỡng. Đề bài cần tỉ lệ, từ 0 đến 1, để so được các tập có cỡ khác nhau.
# %% role="wrong" name="a_count"
patch(".double().mean().item()", ".double().sum().item()")

# %% [markdown] lang="en" role="mistake" name="index_among_held_out"
# The index is that of the nearest held-out picture. What may have been copied is in the training set.
# %% [markdown] lang="vi" of="ff42bf95"
# Chỉ số là của bức giữ riêng gần nhất. Thứ có thể bị chép nằm trong tập huấn luyện.
# %% role="wrong" name="index_among_held_out"
patch(".item(), index", ".item(), torch.cdist(drawn, held_out).argmin(dim=1)")

# %% [markdown] lang="en" role="mistake" name="index_of_suspects"
# Only the suspects' indices were returned. All N were asked for: one wants to see the neighbours of the innocent ones, too.
# %% [markdown] lang="vi" of="2d211b29"
# Hàm chỉ trả về chỉ số của những bức bị nghi. Đề bài cần cả N chỉ số: ta cũng muốn xem bức gần nhất của những bức vô tội.
# %% role="wrong" name="index_of_suspects"
patch(".item(), index", ".item(), index[distance < threshold]")

# %% [markdown] lang="en" role="mistake" name="places_of_suspects"
# These are the places of the suspects among the drawn pictures. Return, for every drawn picture, where its nearest training
# picture is.
# %% [markdown] lang="vi" of="ba998a97"
# Đây là vị trí của những bức bị nghi trong các bức vẽ. Hãy trả về, với mỗi bức vẽ, vị trí bức huấn luyện gần nhất của nó.
# %% role="wrong" name="places_of_suspects"
patch(".item(), index", ".item(), (distance < threshold).nonzero().flatten()")

# %% [markdown] lang="en" role="mistake" name="distances_returned"
# The distances were returned in place of the indices. The index tells which picture it is, so that it can be shown.
# %% [markdown] lang="vi" of="38061afd"
# Hàm trả về khoảng cách thay cho chỉ số. Chỉ số mới cho biết đó là bức nào để đem ra xem.
# %% role="wrong" name="distances_returned"
patch(".item(), index", ".item(), distance")

# %% [markdown] lang="en" role="mistake" name="smallest_cosine"
# The training picture with the smallest cosine was taken. That is the one least alike: a cosine is large where a distance is
# small.
# %% [markdown] lang="vi" of="0bbaba7c"
# Hàm lấy bức huấn luyện có cosine nhỏ nhất. Đó là bức ít giống nhất: khoảng cách nhỏ thì cosine lớn.
# %% role="wrong" name="smallest_cosine"
patch("torch.cdist(drawn, training).min(dim=1) ", "(drawn @ training.T).min(dim=1) ")
patch("torch.cdist(held_out, training).amin(dim=1)  ", "(held_out @ training.T).amin(dim=1)  ")

# %% [markdown] lang="en" role="mistake" name="a_tensor"
# The share is right, but it is a tensor; a float was asked for. `.item()` makes one. The indices stay a tensor.
# %% [markdown] lang="vi" of="f3a83910"
# Tỉ lệ đúng, nhưng lại là tensor; đề bài cần số float. `.item()` tạo ra nó. Các chỉ số thì vẫn là tensor.
# %% role="wrong" name="a_tensor"
patch(".double().mean().item()", ".double().mean()")

# %% [markdown] lang="en" role="mistake" name="at_the_threshold"
# Pictures exactly at the threshold were counted, too. The share is of those below it: a picture that is as near as the
# held-out ones are is no copy.
# %% [markdown] lang="vi" of="fd326dc5"
# Những bức nằm đúng trên ngưỡng cũng bị đếm. Tỉ lệ chỉ tính những bức dưới ngưỡng: một bức chỉ gần ngang với các bức giữ
# riêng thì không phải bản sao.
# %% role="wrong" name="at_the_threshold"
patch("distance < threshold", "distance <= threshold")

# %% [markdown] lang="en" role="mistake" name="squared_distances"
# The threshold was interpolated between squared distances, or 1 − cosine, which is half of them. The nearest picture is the
# same, but half-way between two squares isn't half-way between the distances: take the root first.
# %% [markdown] lang="vi" of="502e5447"
# Ngưỡng được nội suy giữa các bình phương khoảng cách, hoặc giữa các giá trị 1 − cosine, tức là một nửa của chúng. Bức gần
# nhất vẫn thế, nhưng điểm giữa của hai bình phương không phải là điểm giữa của hai khoảng cách: hãy lấy căn trước.
# %% role="wrong" name="squared_distances"
patch("(distance < threshold)", "(distance.square() < threshold)")
patch("torch.cdist(held_out, training).amin(dim=1)  ", "torch.cdist(held_out, training).amin(dim=1).square()  ")

# %% [markdown] lang="en" role="mistake" name="not_interpolated"
# The threshold is always one of the held-out pictures' distances. Between two of them a quantile is interpolated, as
# `torch.quantile` does by itself.
# %% [markdown] lang="vi" of="ca80a057"
# Ngưỡng luôn là khoảng cách của một bức giữ riêng nào đó. Phân vị nằm giữa hai khoảng cách phải được nội suy, như
# `torch.quantile` vốn làm.
# %% role="wrong" name="not_interpolated"
patch("torch.quantile(usual, quantile)", "usual.sort().values[int(quantile * len(usual))]")

# %% [markdown] lang="en" role="mistake" name="held_out_not_normalised"
# Only the drawn and the training pictures were brought to length 1. The held-out ones must be treated in the same way, or the
# threshold is measured in other units.
# %% [markdown] lang="vi" of="f71e3704"
# Chỉ các bức vẽ và bức huấn luyện được đưa về độ dài 1. Các bức giữ riêng cũng phải được xử lý như vậy, nếu không ngưỡng sẽ
# được đo bằng đơn vị khác.
# %% role="wrong" name="held_out_not_normalised"
patch("torch.cdist(held_out, training).amin(dim=1)  ", "torch.cdist(sets[2].double(), training).amin(dim=1)  ")

# %% [markdown] lang="en" role="mistake" name="fixed_quantile"
# The quantile is always 0.05, whatever is asked for. It is the argument `quantile`.
# %% [markdown] lang="vi" of="a95563ea"
# Phân vị luôn là 0.05, dù được yêu cầu bao nhiêu. Nó là tham số `quantile`.
# %% role="wrong" name="fixed_quantile"
patch("torch.quantile(usual, quantile)", "torch.quantile(usual, 0.05)")

# %% role="library"
import torch

from minidiff.evaluate.quality import nearest


def copies(drawn, training, held_out, quantile):
    """`nearest` of the library, and the quantile by hand between two sorted distances."""

    def unit(x):
        return x.double() / x.double().norm(dim=1, keepdim=True)

    distance, index = nearest(unit(drawn), unit(training))
    usual = sorted(nearest(unit(held_out), unit(training))[0].tolist())
    place = quantile * (len(usual) - 1)
    low = usual[int(place)]
    threshold = low + (place - int(place)) * (usual[min(int(place) + 1, len(usual) - 1)] - low)
    return sum(one < threshold for one in distance.tolist()) / len(distance), index

# %% role="payoff"
def draw(copies: Callable) -> Tensor:
    known, fresh = features["other real ones"], truth               # (N, D) each
    mirrored, paler = other[[7]].flip(3), 0.9 * other[[30]] + 0.08
    innocent = drawn["dpmpp_2m"][::6]                               # (4, 3, 128, 128)
    some = torch.cat([innocent[:2], mirrored, paler, innocent[2:]])
    seen = scaled(some)                                             # (6, D)
    marks = [copies(one[None], known, fresh, 0.02)[0] for one in seen]
    _, index = copies(seen, known, fresh, 0.02)
    below = other[index]                                            # (6, 3, 128, 128)
    return torch.cat([framed(some, marks), below], dim=2)           # (6, 3, 256, 128)


payoff(draw, copies)
