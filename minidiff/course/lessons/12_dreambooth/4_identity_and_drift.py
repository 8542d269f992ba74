"""Exercise 12.4, identity_and_drift: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Is it that one, and are the others still themselves?
#
# Two numbers tell how DreamBooth went. **Identity:** of the pictures drawn for the subject's prompts ("a sks fish"), how many
# show the subject? **Drift:** of the pictures drawn for the class's prompts ("a fish"), how many show the subject, too,
# although nobody asked for it? The first should be near 1, the second near 0.
#
# A network has turned each picture into P numbers, its features. A picture counts as the subject when, of all *true* pictures,
# the one **nearest by cosine** is one of the subject's.
#
# - `drawn` (N, P) are the pictures drawn for the subject's prompts, `drawn_class` (M, P) those for the class's;
# - `subject` (S, P) are true pictures of the subject, `others` (O, P) true pictures of other members of its class.
#
# **Return two floats,** identity and drift: the shares, from 0 to 1. The cell at the end asks your function about single
# pictures and puts a green frame round each that it takes for the subject, else a grey one: two of "a sks fish" and two of "a
# fish" by `forgetful`, which learnt without a prior, and two of "a fish" by the model as it was.
# %% [markdown] lang="vi" of="7fb1c89b"
# ## Có phải chính nó không, và các con khác có còn là mình?
#
# Hai con số cho biết DreamBooth thành công đến đâu. **Identity (đúng danh tính):** trong các bức vẽ theo prompt của chủ thể
# ("a sks fish"), bao nhiêu bức cho thấy chủ thể? **Drift (trôi):** trong các bức vẽ theo prompt của lớp ("a fish"), bao nhiêu
# bức cũng cho thấy chủ thể, dù không ai yêu cầu? Số đầu nên gần 1, số sau nên gần 0.
#
# Một mạng đã biến mỗi bức thành P con số, gọi là đặc trưng (feature). Một bức được coi là chủ thể khi, trong mọi bức *thật*,
# bức **gần nhất theo cosin** là một bức của chủ thể.
#
# - `drawn` (N, P) là các bức vẽ theo prompt của chủ thể, `drawn_class` (M, P) là các bức vẽ theo prompt của lớp;
# - `subject` (S, P) là các bức thật của chủ thể, `others` (O, P) là các bức thật của những con khác cùng lớp.
#
# **Hãy trả về hai số float,** identity và drift: các tỉ lệ, từ 0 đến 1. Ô ở cuối hỏi hàm của bạn về từng bức một; bức nào được
# coi là chủ thể thì có khung xanh lá, nếu không thì khung xám: hai bức "a sks fish" và hai bức "a fish" của `forgetful`, mạng
# đã học mà không có tiên nghiệm, rồi hai bức "a fish" của mô hình lúc ban đầu.

# %% [markdown] lang="en" role="hints"
# The cosine of two vectors is their scalar product once both have length 1. Both questions are asked of one set of true
# pictures.
# ---
# Put the true pictures together, the subject's first: (S + O, P). A matrix product gives all cosines at once, (N, S + O). In
# which column is the largest of a row?
# ---
# `nearest = cosines.argmax(dim=1)` is (N,), and `nearest < len(subject)` says which pictures show the subject. The mean of
# these, as numbers, is the share. Do it for both sets in a helper.
# %% [markdown] lang="vi" of="19baa888"
# Cosin của hai vector là tích vô hướng của chúng khi cả hai có độ dài 1. Cả hai câu hỏi đều dùng chung một tập bức thật.
# ---
# Hãy gộp các bức thật lại, của chủ thể trước: (S + O, P). Một phép nhân ma trận cho mọi cosin cùng lúc, (N, S + O). Số lớn
# nhất của mỗi hàng nằm ở cột nào?
# ---
# `nearest = cosines.argmax(dim=1)` là (N,), và `nearest < len(subject)` cho biết bức nào cho thấy chủ thể. Trung bình của
# chúng, dưới dạng số, là tỉ lệ cần tìm. Hãy làm điều đó cho cả hai tập trong một hàm phụ.

# %% [markdown] lang="en" role="stub"
# Features of pictures: drawn for the subject's prompts (N, P), for the class's
# (M, P); true ones of the subject (S, P), of others of its class (O, P). A picture
# counts as the subject when the nearest true picture, by cosine, is one of the
# subject's. Returns two floats, the shares that do: identity among drawn, drift
# among drawn_class.
# ---
# 1. all true pictures, the subject's first, of length 1     # (S + O, P)
# 2. the cosines of each drawn picture with all of them      # (N, S + O)
# 3. how many have their nearest among the first S: a share
# 4. the same for drawn_class
# %% [markdown] lang="vi" of="6adfee1d"
# Đặc trưng của các bức: vẽ theo prompt của chủ thể (N, P), của lớp (M, P); bức
# thật của chủ thể (S, P), của những con khác cùng lớp (O, P). Một bức được coi là
# chủ thể khi bức thật gần nhất, theo cosin, là một bức của chủ thể. Trả về hai tỉ
# lệ, kiểu float: identity trong drawn, drift trong drawn_class.
# ---
# 1. mọi bức thật, của chủ thể trước, có độ dài 1            # (S + O, P)
# 2. cosin của mỗi bức vẽ với tất cả chúng                   # (N, S + O)
# 3. bao nhiêu bức có bức gần nhất trong S bức đầu: một tỉ lệ
# 4. làm như vậy với drawn_class

# %% role="solution"
def identity_and_drift(
    drawn: Tensor, drawn_class: Tensor, subject: Tensor, others: Tensor
) -> tuple[float, float]:
    true = F.normalize(torch.cat([subject, others]), dim=1)         # (S + O, P)

    def share(features: Tensor) -> float:
        cosines = F.normalize(features, dim=1) @ true.T             # (N, S + O)
        nearest = cosines.argmax(dim=1)                             # (N,)
        return (nearest < len(subject)).double().mean().item()

    return share(drawn), share(drawn_class)

# %% [markdown] lang="en" role="checks"
# - two floats
# - eleven pictures of the subject's prompts, sixteen of the class's
# - the same in float32
# - true pictures whose features are of very different length
# - one picture of the subject, many others, and the other way round
# - a subject with two looks: the nearest picture counts, not the average
# - pictures that are all the subject, or none
# - one drawn picture each
# - brighter features, the same shares
# %% [markdown] lang="vi" of="30c6506c"
# - hai số float
# - mười một bức theo prompt của chủ thể, mười sáu bức theo prompt của lớp
# - cũng vậy ở float32
# - các bức thật có đặc trưng dài ngắn rất khác nhau
# - một bức của chủ thể với nhiều con khác, và ngược lại
# - chủ thể có hai dáng vẻ: bức gần nhất quyết định, không phải trung bình
# - các bức đều là chủ thể, hoặc không bức nào
# - mỗi bên vẽ một bức
# - đặc trưng dài hơn, tỉ lệ vẫn thế

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def raw(f, **inputs):
    identity, drift = f(**inputs)
    return [[isinstance(value, torch.Tensor), float(value)] for value in (identity, drift)]


def shares(f, **inputs):
    return [float(value) for value in f(**inputs)]


def in_float32(f, **inputs):
    return shares(f, **{name: value.float() for name, value in inputs.items()})


def uneven(f, drawn, drawn_class, subject, others):
    """Neither how long the features are nor how many there are says who is who."""
    first = shares(f, drawn=drawn, drawn_class=drawn_class, subject=subject, others=8 * others)
    second = shares(f, drawn=drawn, drawn_class=drawn_class, subject=8 * subject, others=others)
    return first + second


def few_and_many(f, drawn, drawn_class, subject, others):
    first = shares(f, drawn=drawn, drawn_class=drawn_class, subject=subject[:1], others=others)
    second = shares(f, drawn=drawn, drawn_class=drawn_class, subject=subject, others=others[:1])
    return first + second


def extremes(f, subject, others):
    known = {"subject": subject, "others": others}
    return [*shares(f, drawn=2 * subject, drawn_class=others, **known),
            *shares(f, drawn=others, drawn_class=0.5 * subject, **known)]  # fmt: skip


def brighter(f, drawn, drawn_class, subject, others):
    scales = 0.2 + torch.arange(len(drawn))[:, None]
    return shares(f, drawn=scales * drawn, drawn_class=5 * drawn_class, subject=subject, others=0.1 * others)


GIVEN = {"drawn": normal(11, 4, seed=11) + 0.7, "drawn_class": normal(16, 4, seed=12) + 0.4}
GIVEN |= {"subject": normal(3, 4, seed=13) + 0.3, "others": normal(6, 4, seed=14)}
EVEN = torch.eye(4, dtype=torch.float64)
TWO_LOOKS = {"subject": EVEN[:2], "others": EVEN[:3].sum(0) + 0.05 * normal(3, 4, seed=15)}
TWO_LOOKS |= {"drawn": EVEN[[0, 1, 1]] + 0.1, "drawn_class": EVEN[[0, 2, 3]] + EVEN[[0, 1, 2]] + 0.1}

probe(raw, **GIVEN)
probe(shares, points=2, **GIVEN)
probe(in_float32, **GIVEN)
probe(uneven, **GIVEN)
probe(few_and_many, **GIVEN)
probe(shares, **TWO_LOOKS)
probe(extremes, subject=GIVEN["subject"], others=GIVEN["others"])
probe(shares, **{**GIVEN, "drawn": GIVEN["drawn"][:1], "drawn_class": GIVEN["drawn_class"][:1]})
probe(brighter, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="scalar_product"
# The true pictures don't have length 1, so the one with the longest features is nearest to everything. A cosine needs both
# vectors at length 1.
# %% [markdown] lang="vi" of="850d56ae"
# Các bức thật không có độ dài 1, nên bức có đặc trưng dài nhất lại gần mọi thứ nhất. Cosin cần cả hai vector có độ dài 1.
# %% role="wrong" name="scalar_product"
patch("F.normalize(torch.cat([subject, others]), dim=1) ", "torch.cat([subject, others]) ")

# %% [markdown] lang="en" role="mistake" name="distance"
# The nearest was looked for by distance, which also depends on how long the features are. Ask for the largest cosine.
# %% [markdown] lang="vi" of="ec9a31ac"
# Bức gần nhất được tìm theo khoảng cách, vốn còn phụ thuộc vào độ dài của đặc trưng. Hãy tìm cosin lớn nhất.
# %% role="wrong" name="distance"
patch("F.normalize(torch.cat([subject, others]), dim=1) ", "torch.cat([subject, others]) ")
patch("F.normalize(features, dim=1) @ true.T", "-torch.cdist(features, true)")

# %% [markdown] lang="en" role="mistake" name="normalised_along_0"
# The features were divided along dimension 0, over the pictures. Each picture's own P numbers should have length 1: dim=1.
# %% [markdown] lang="vi" of="278d0e93"
# Đặc trưng bị chia theo chiều 0, tức là trên các bức. P con số của từng bức mới cần có độ dài 1: dim=1.
# %% role="wrong" name="normalised_along_0"
patch("torch.cat([subject, others]), dim=1)", "torch.cat([subject, others]), dim=0)")
patch("F.normalize(features, dim=1)", "F.normalize(features, dim=0)")

# %% [markdown] lang="en" role="mistake" name="least_similar"
# This is the true picture that is *least* like the drawn one. The nearest one has the largest cosine.
# %% [markdown] lang="vi" of="ce58329e"
# Đây là bức thật *kém* giống bức vẽ nhất. Bức gần nhất có cosin lớn nhất.
# %% role="wrong" name="least_similar"
patch("cosines.argmax(dim=1) ", "cosines.argmin(dim=1) ")

# %% [markdown] lang="en" role="mistake" name="other_dimension"
# For each true picture the nearest drawn one was looked for. Ask the other way round: each drawn picture, a row, looks for its
# nearest column.
# %% [markdown] lang="vi" of="42bc7e30"
# Bạn đang tìm bức vẽ gần nhất cho mỗi bức thật. Hãy hỏi ngược lại: mỗi bức vẽ, một hàng, tìm cột gần nhất của nó.
# %% role="wrong" name="other_dimension"
patch("cosines.argmax(dim=1) ", "cosines.argmax(dim=0) ")

# %% [markdown] lang="en" role="mistake" name="averages_compared"
# The average cosine with the subject was compared with the average one with the others. A drawn picture need only be like one
# true picture, the nearest: poses differ.
# %% [markdown] lang="vi" of="f5717610"
# Cosine trung bình với chủ thể bị so với cosine trung bình với những con khác. Bức vẽ chỉ cần giống một bức thật, bức gần nhất:
# mỗi bức một tư thế.
# %% role="wrong" name="averages_compared"
patch("nearest = cosines.argmax(dim=1) ", "nearest = len(subject) * (cosines[:, :len(subject)].mean(1) <= cosines[:, len(subject):].mean(1))")

# %% [markdown] lang="en" role="mistake" name="centres_compared"
# The average picture of the subject and that of the others were compared with the drawn ones. An average of several poses is
# none of them: look for the nearest single picture.
# %% [markdown] lang="vi" of="a528174f"
# Bức trung bình của chủ thể và bức trung bình của những con khác bị đem so với các bức vẽ. Trung bình của nhiều tư thế không
# phải tư thế nào cả: hãy tìm từng bức gần nhất.
# %% role="wrong" name="centres_compared"
patch("torch.cat([subject, others])", "torch.stack([subject.mean(0), others.mean(0)])")
patch("nearest < len(subject)", "nearest < 1")

# %% [markdown] lang="en" role="mistake" name="mean_cosine"
# These are average cosines with the subject. Many papers print those, but here the share of pictures is asked for whose nearest
# true picture is the subject's.
# %% [markdown] lang="vi" of="49b033fe"
# Đây là cosine trung bình với chủ thể. Nhiều bài báo in số ấy, nhưng ở đây cần tỉ lệ các bức có bức thật gần nhất là của chủ
# thể.
# %% role="wrong" name="mean_cosine"
patch("(nearest < len(subject)).double()", "cosines[:, :len(subject)]")

# %% [markdown] lang="en" role="mistake" name="threshold"
# Pictures were counted whose cosine with the subject is above a half. Features of one network are all alike or all unlike, so
# no fixed number fits: compare with the others of the class.
# %% [markdown] lang="vi" of="45c7a9b7"
# Những bức có cosine với chủ thể trên một nửa được tính. Đặc trưng của mạng này thì đều giống nhau, của mạng khác thì đều khác
# nhau, nên không con số cố định nào phù hợp: hãy so với những con khác cùng lớp.
# %% role="wrong" name="threshold"
patch("(nearest < len(subject))", "(cosines[:, :len(subject)].amax(1) > 0.5)")

# %% [markdown] lang="en" role="mistake" name="one_too_many"
# The first of the others counts as the subject, too: its column is S, and columns count from 0. Use `<`.
# %% [markdown] lang="vi" of="04319dd1"
# Bức đầu của những con khác cũng bị tính là chủ thể: cột của nó là S, và cột được đếm từ 0. Hãy dùng `<`.
# %% role="wrong" name="one_too_many"
patch("nearest < len(subject)", "nearest <= len(subject)")

# %% [markdown] lang="en" role="mistake" name="others_counted"
# These are the shares of pictures that are *not* the subject.
# %% [markdown] lang="vi" of="105e0f55"
# Đây là tỉ lệ các bức *không phải* chủ thể.
# %% role="wrong" name="others_counted"
patch("nearest < len(subject)", "nearest >= len(subject)")

# %% [markdown] lang="en" role="mistake" name="drift_inverted"
# The drift is upside down: it is the share of the class's pictures that *are* taken for the subject, 0 when all is well.
# %% [markdown] lang="vi" of="82326ca9"
# Drift bị ngược: nó là tỉ lệ các bức của lớp *bị* coi là chủ thể, bằng 0 khi mọi thứ ổn.
# %% role="wrong" name="drift_inverted"
patch("share(drawn_class)", "1 - share(drawn_class)")

# %% [markdown] lang="en" role="mistake" name="drift_of_the_drawn"
# The drift was computed from the pictures of the subject's prompts: it is only 1 − identity. Drift asks what happened to the
# class, so look at `drawn_class`.
# %% [markdown] lang="vi" of="6b13d910"
# Drift được tính từ các bức theo prompt của chủ thể: nó chỉ là 1 − identity. Drift hỏi chuyện gì đã xảy ra với lớp, vậy hãy xét
# `drawn_class`.
# %% role="wrong" name="drift_of_the_drawn"
patch("share(drawn_class)", "1 - share(drawn)")

# %% [markdown] lang="en" role="mistake" name="swapped"
# The two numbers came back in the wrong order: identity, then drift.
# %% [markdown] lang="vi" of="05f36e7e"
# Hai số được trả về sai thứ tự: identity rồi đến drift.
# %% role="wrong" name="swapped"
patch("share(drawn), share(drawn_class)", "share(drawn_class), share(drawn)")

# %% [markdown] lang="en" role="mistake" name="both_together"
# One share was computed from all drawn pictures. Identity and drift are asked of two different sets.
# %% [markdown] lang="vi" of="0cf41f63"
# Một tỉ lệ được tính từ mọi bức vẽ. Identity và drift hỏi về hai tập khác nhau.
# %% role="wrong" name="both_together"
patch("share(drawn), share(drawn_class)", "share(torch.cat([drawn, drawn_class])), share(torch.cat([drawn, drawn_class]))")

# %% [markdown] lang="en" role="mistake" name="counts"
# These are numbers of pictures. Divide by how many were drawn, so that 4 and 400 pictures can be compared.
# %% [markdown] lang="vi" of="d0820279"
# Đây là số bức. Hãy chia cho số bức đã vẽ, để 4 bức và 400 bức so sánh được với nhau.
# %% role="wrong" name="counts"
patch(".double().mean()", ".double().sum()")

# %% [markdown] lang="en" role="mistake" name="percent"
# These are percentages. Return shares, from 0 to 1.
# %% [markdown] lang="vi" of="5445276d"
# Đây là phần trăm. Hãy trả về tỉ lệ, từ 0 đến 1.
# %% role="wrong" name="percent"
patch("return (nearest < len(subject))", "return 100 * (nearest < len(subject))")

# %% [markdown] lang="en" role="mistake" name="all_or_nothing"
# The answer is only ever 0 or 1: whether all pictures show the subject. Return the share that does.
# %% [markdown] lang="vi" of="ba0b4032"
# Kết quả chỉ có 0 hoặc 1: mọi bức có đều là chủ thể hay không. Hãy trả về tỉ lệ các bức như thế.
# %% role="wrong" name="all_or_nothing"
patch("(nearest < len(subject)).double().mean()", "(nearest < len(subject)).all().double()")

# %% [markdown] lang="en" role="mistake" name="divided_by_the_true"
# The count was divided by the number of true pictures of the subject. Divide by the number of drawn ones.
# %% [markdown] lang="vi" of="50af8d09"
# Số bức đếm được bị chia cho số bức thật của chủ thể. Hãy chia cho số bức vẽ.
# %% role="wrong" name="divided_by_the_true"
patch(".double().mean()", ".double().sum().div(len(subject))")

# %% [markdown] lang="en" role="mistake" name="tensors"
# The shares are right, but they are tensors. `.item()` makes a float.
# %% [markdown] lang="vi" of="ff9a9744"
# Các tỉ lệ đúng, nhưng chúng là tensor. `.item()` tạo ra một số float.
# %% role="wrong" name="tensors"
patch(".mean().item()", ".mean()")

# %% [markdown] lang="en" role="mistake" name="others_first"
# The true pictures of the others stand first, but the first S columns are counted as the subject's. Put the subject's pictures
# first.
# %% [markdown] lang="vi" of="4df280e8"
# Các bức thật của những con khác đứng trước, nhưng S cột đầu lại được tính là của chủ thể. Hãy đặt các bức của chủ thể trước.
# %% role="wrong" name="others_first"
patch("torch.cat([subject, others])", "torch.cat([others, subject])")

# %% [markdown] lang="en" role="mistake" name="cut_in_the_middle"
# The true pictures were cut in the middle, as if there were as many of the subject as of the others. The subject has the first
# S.
# %% [markdown] lang="vi" of="c0ab569e"
# Các bức thật bị cắt ở giữa, như thể chủ thể và những con khác có số bức bằng nhau. Chủ thể có S bức đầu.
# %% role="wrong" name="cut_in_the_middle"
patch("nearest < len(subject)", "nearest < len(true) // 2")

# %% [markdown] lang="en" role="mistake" name="sign_lost"
# The cosines were taken without their signs, so a picture that points the opposite way counts as near. Near is a cosine close
# to 1, and −1 is as far as can be.
# %% [markdown] lang="vi" of="5210f445"
# Cosine bị lấy trị tuyệt đối, nên một bức chỉ về hướng ngược lại cũng bị coi là gần. Gần là khi cosine gần 1, còn −1 là xa
# nhất.
# %% role="wrong" name="sign_lost"
patch("cosines.argmax(dim=1) ", "cosines.abs().argmax(dim=1) ")

# %% [markdown] lang="en" role="mistake" name="largest_cosines"
# These are averages of each picture's largest cosine with the subject. Compare that cosine with the largest one with the
# others, and return the share of pictures for which the subject wins.
# %% [markdown] lang="vi" of="4552f623"
# Đây là trung bình của cosine lớn nhất giữa mỗi bức và chủ thể. Hãy so cosine ấy với cosine lớn nhất với những con khác, rồi
# trả về tỉ lệ các bức mà chủ thể thắng.
# %% role="wrong" name="largest_cosines"
patch("(nearest < len(subject)).double()", "cosines[:, :len(subject)].amax(1)")

# %% [markdown] lang="en" role="mistake" name="one_divisor"
# Both counts were divided by the number of `drawn`. The drift is a share of `drawn_class`: divide by M.
# %% [markdown] lang="vi" of="8e6dac61"
# Cả hai số đếm đều bị chia cho số bức trong `drawn`. Drift là tỉ lệ trong `drawn_class`: hãy chia cho M.
# %% role="wrong" name="one_divisor"
patch(".double().mean()", ".double().sum().div(len(drawn))")

# %% [markdown] lang="en" role="mistake" name="three_nearest"
# The three nearest true pictures voted. Only the nearest one counts: a subject known by one picture could never win otherwise.
# %% [markdown] lang="vi" of="7f09f899"
# Ba bức thật gần nhất cùng bỏ phiếu. Chỉ bức gần nhất được tính: nếu không, một chủ thể chỉ có một bức thật không bao giờ
# thắng được.
# %% role="wrong" name="three_nearest"
patch("(nearest < len(subject))", "((cosines.topk(3, dim=1).indices < len(subject)).sum(1) >= 2)")

# %% role="library"
import numpy as np


def identity_and_drift(drawn, drawn_class, subject, others):
    """NumPy, one picture after the other: the best cosine with the subject against the best with the others."""

    def best(picture, pictures):
        return max(picture @ one / np.linalg.norm(picture) / np.linalg.norm(one) for one in pictures)

    subject, others = subject.double().numpy(), others.double().numpy()
    found = [[best(one, subject) > best(one, others) for one in some.double().numpy()] for some in (drawn, drawn_class)]
    return tuple(sum(some) / len(some) for some in found)

# %% role="payoff"
def draw(identity_and_drift: Callable) -> Tensor:
    drawn = pictures(forgetful, *["a sks fish"] * 2, *["a fish"] * 2)
    drawn = torch.cat([drawn, fish[:2]])                            # (6, 3, 128, 128)
    true = features(photographs), features(true_fish)               # (12, P) each
    single = features(drawn)[:, None]                               # (6, 1, P)
    asked = [identity_and_drift(one, single[2], *true)[0] for one in single[:2]]
    unasked = [identity_and_drift(single[0], one, *true)[1] for one in single[2:]]
    return framed(drawn, asked + unasked)                           # each mark 0 or 1


payoff(draw, identity_and_drift)
