"""Exercise 14.3, bootstrap_over_prompts: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## An interval over prompts
#
# P prompts were drawn from S seeds each, and every picture has a score: 1 if the judge found all that was asked for, 0 if not.
# The mean is a single number. How far might it move with other prompts of the same kind?
#
# The bootstrap (Efron 1979) answers without new pictures: draw as many **prompts** as there are, with replacement, take the
# mean, repeat. The interval from the 2.5th to the 97.5th percentile of these means is the answer. Whole rows are drawn, not
# single pictures: seeds of one prompt succeed and fail together, so P prompts with S seeds aren't P × S independent pictures.
#
# To make answers comparable, the drawn rows are `torch.randint(P, (resamples, P), generator=generator)`, and percentiles are
# interpolated as `torch.quantile` does. The cell at the end shows each sampler with its interval from 0 to 1.
# %% [markdown] lang="vi" of="2f4311e6"
# ## Khoảng tin cậy trên các prompt
#
# Có P prompt, mỗi prompt vẽ từ S seed, và bức nào cũng có điểm: 1 nếu giám khảo thấy đủ mọi thứ được yêu cầu, 0 nếu không.
# Trung bình chỉ là một con số. Nó có thể xê dịch bao nhiêu nếu dùng những prompt khác cùng loại?
#
# Bootstrap (Efron 1979) trả lời mà không cần tranh mới: rút ngẫu nhiên có hoàn lại đúng P **prompt**, lấy trung bình, rồi lặp
# lại. Khoảng từ phân vị 2.5 % đến 97.5 % của các trung bình ấy là câu trả lời. Phải rút cả hàng chứ không rút từng bức: các
# seed của cùng một prompt thường cùng đúng hoặc cùng sai, nên P prompt với S seed không phải là P × S bức độc lập.
#
# Để các bài làm so sánh được với nhau, các hàng được rút bằng `torch.randint(P, (resamples, P), generator=generator)`, và phân
# vị được nội suy như trong `torch.quantile`. Ô ở cuối cho xem mỗi bộ lấy mẫu (sampler) cùng khoảng tin cậy của nó, từ 0 đến 1.

# %% [markdown] lang="en" role="hints"
# All seeds of a prompt come along whenever it is drawn, and all prompts have S of them. So what is the only number that you
# need of each prompt?
# ---
# `means[rows]` with rows (R, P) looks up R × P numbers at once. Over which dimension is the mean of one resample?
# ---
# `means = values.double().mean(dim=1)`, then `again = means[rows].mean(dim=1)`, and the two ends by `torch.quantile(again,
# torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()`.
# %% [markdown] lang="vi" of="c6123ce6"
# Mỗi khi một prompt được rút, mọi seed của nó đi cùng, và prompt nào cũng có S seed. Vậy bạn chỉ cần con số nào của mỗi prompt?
# ---
# `means[rows]` với rows (R, P) tra cùng lúc R × P con số. Trung bình của một lần rút lại lấy theo chiều nào?
# ---
# `means = values.double().mean(dim=1)`, rồi `again = means[rows].mean(dim=1)`, và hai đầu lấy bằng `torch.quantile(again,
# torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()`.

# %% [markdown] lang="en" role="stub"
# values (P, S): scores of P prompts with S seeds each, bools or floats -> two
# floats (low, high), the 95 % percentile interval of their mean over `resamples`
# resamples of the prompts. Computed in float64.
# ---
# 1. the mean of each prompt                               # (P,)
# 2. draw rows, as the task says                           # (R, P) int64
# 3. the mean of each resample                             # (R,)
# 4. return its quantiles 0.025 and 0.975, as floats
# %% [markdown] lang="vi" of="dba12cda"
# values (P, S): điểm của P prompt, mỗi prompt S seed, kiểu bool hoặc số thực ->
# hai số float (low, high), khoảng phân vị 95 % của trung bình qua `resamples` lần
# rút lại các prompt. Tính bằng float64.
# ---
# 1. trung bình của mỗi prompt                             # (P,)
# 2. rút các hàng, như đề bài nói                          # (R, P) int64
# 3. trung bình của mỗi lần rút lại                        # (R,)
# 4. trả về phân vị 0.025 và 0.975, kiểu float

# %% role="solution"
def bootstrap_over_prompts(
    values: Tensor, resamples: int, generator: torch.Generator
) -> tuple[float, float]:
    means, P = values.double().mean(dim=1), len(values)             # (P,)
    rows = torch.randint(P, (resamples, P), generator=generator)    # (R, P)
    again = means[rows].mean(dim=1)                                 # (R,)
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = torch.quantile(again, ends).tolist()
    return low, high

# %% [markdown] lang="en" role="checks"
# - two plain floats, the lower first
# - nine prompts with four seeds each
# - the generator goes on: a second call draws other rows
# - verdicts as bools
# - seeds that all agree make nothing more certain
# - one seed each, and one prompt alone
# - float32 scores, computed in float64
# - other units: 10 + 2 times the scores
# %% [markdown] lang="vi" of="0f51380c"
# - hai số float thường, số nhỏ trước
# - chín prompt, mỗi prompt bốn seed
# - bộ sinh số chạy tiếp: lần gọi thứ hai rút những hàng khác
# - phán quyết kiểu bool
# - các seed giống hệt nhau không làm kết quả chắc chắn hơn
# - mỗi prompt một seed, và chỉ một prompt
# - điểm float32, tính bằng float64
# - đơn vị khác: 10 + 2 lần điểm

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def interval(f, values, resamples, seed):
    low, high = f(values, resamples, torch.Generator().manual_seed(seed))
    return [float(low), float(high)]


def raw(f, values, resamples, seed):
    low, high = f(values, resamples, torch.Generator().manual_seed(seed))
    return [*(isinstance(end, torch.Tensor) for end in (low, high)), float(low), float(high)]


def twice(f, values, resamples, seed):
    generator = torch.Generator().manual_seed(seed)
    return [float(end) for _ in range(2) for end in f(values, resamples, generator)]


def repeated(f, values, resamples, seed):
    return [interval(f, values[:, :1].repeat(1, times), resamples, seed) for times in (1, 6)]


def least(f, values, resamples, seed):
    return [interval(f, values[:, :1], resamples, seed), interval(f, values[:1], resamples, seed)]


VALUES = torch.rand(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
VALUES = 0.6 * VALUES + torch.linspace(0, 1, 9, dtype=torch.float64)[:, None] ** 2
VERDICTS = VALUES > 0.5
GIVEN = {"values": VALUES, "resamples": 203, "seed": 5}

probe(raw, **GIVEN)
probe(interval, points=2, **GIVEN)
probe(twice, **{**GIVEN, "resamples": 57})
probe(interval, **{**GIVEN, "values": VERDICTS, "seed": 8})
probe(repeated, **GIVEN)
probe(least, **{**GIVEN, "seed": 9})
probe(interval, rtol=1e-9, atol=1e-9, **{**GIVEN, "values": (1000 + VALUES).float()})
probe(interval, **{**GIVEN, "values": 10 + 2 * VALUES})

# %% [markdown] lang="en" role="mistake" name="pictures_resampled"
# Single pictures were resampled, as if each were independent of the others. Seeds of one prompt succeed and fail together, so
# this interval is too narrow: ten more seeds would make it narrower still, and no other prompt was ever tried. Resample whole
# rows.
# %% [markdown] lang="vi" of="e9864ae9"
# Hàm rút lại từng bức riêng lẻ, như thể chúng độc lập với nhau. Các seed của một prompt thường cùng đúng hoặc cùng sai, nên
# khoảng này quá hẹp: thêm mười seed nữa nó càng hẹp, dù chẳng thử thêm prompt nào. Hãy rút lại cả hàng.
# %% role="wrong" name="pictures_resampled"
patch("values.double().mean(dim=1), len(values)  ", "values.double().flatten(), values.numel()  ")

# %% [markdown] lang="en" role="mistake" name="seeds_resampled"
# The columns were resampled: seeds in place of prompts. Rows are prompts, and what other prompts would give is the question.
# %% [markdown] lang="vi" of="d0087272"
# Hàm rút lại các cột, tức là seed chứ không phải prompt. Mỗi hàng mới là một prompt, và câu hỏi là những prompt khác sẽ cho
# kết quả gì.
# %% role="wrong" name="seeds_resampled"
patch("values.double().mean(dim=1), len(values)  ", "values.double().mean(dim=0), values.shape[1]  ")

# %% [markdown] lang="en" role="mistake" name="ninety_percent"
# These are the 5th and 95th percentiles, between which 90 % of the means lie. For 95 %, half of the remaining 5 % goes to each
# side.
# %% [markdown] lang="vi" of="1df44a40"
# Đây là phân vị 5 % và 95 %, giữa chúng chỉ có 90 % các trung bình. Muốn 95 % thì 5 % còn lại chia đều cho hai bên.
# %% role="wrong" name="ninety_percent"
patch("[0.025, 0.975]", "[0.05, 0.95]")

# %% [markdown] lang="en" role="mistake" name="whole_range"
# These are the smallest and largest mean of all resamples, which move further apart the more of them are drawn. Take the
# percentiles.
# %% [markdown] lang="vi" of="47bf51b5"
# Đây là trung bình nhỏ nhất và lớn nhất trong mọi lần rút lại; rút càng nhiều lần chúng càng xa nhau. Hãy lấy phân vị.
# %% role="wrong" name="whole_range"
patch("[0.025, 0.975]", "[0.0, 1.0]")

# %% [markdown] lang="en" role="mistake" name="spread_of_prompts"
# These are percentiles of the prompts' own scores: how much prompts differ. What is asked is how much the *mean* of P prompts
# would differ, which is far less.
# %% [markdown] lang="vi" of="fabe07b7"
# Đây là phân vị của chính điểm các prompt: các prompt khác nhau bao nhiêu. Câu hỏi là *trung bình* của P prompt sẽ khác đi
# bao nhiêu, và con số đó nhỏ hơn nhiều.
# %% role="wrong" name="spread_of_prompts"
patch("torch.quantile(again, ends)", "torch.quantile(means, ends)")

# %% [markdown] lang="en" role="mistake" name="not_averaged"
# The percentiles are those of single drawn prompts: the resamples weren't averaged. Take the mean of each row of `means[rows]`
# first.
# %% [markdown] lang="vi" of="cc57ce6c"
# Đây là phân vị của từng prompt được rút: các lần rút lại chưa được lấy trung bình. Trước hết hãy lấy trung bình mỗi hàng của
# `means[rows]`.
# %% role="wrong" name="not_averaged"
patch("means[rows].mean(dim=1) ", "means[rows].flatten() ")

# %% [markdown] lang="en" role="mistake" name="wrong_dimension"
# The mean was taken over the resamples, dimension 0, which leaves P numbers that are all nearly the same. Each resample is a
# row: dim=1.
# %% [markdown] lang="vi" of="3e19e444"
# Trung bình được lấy theo các lần rút lại, chiều 0, nên còn P con số gần như bằng nhau. Mỗi lần rút lại là một hàng: dim=1.
# %% role="wrong" name="wrong_dimension"
patch("means[rows].mean(dim=1)", "means[rows].mean(dim=0)")

# %% [markdown] lang="en" role="mistake" name="median_of_each"
# The median of each resample was taken. The interval of the mean was asked for.
# %% [markdown] lang="vi" of="8d0ecfb1"
# Hàm lấy trung vị của mỗi lần rút lại. Đề bài cần khoảng tin cậy của trung bình.
# %% role="wrong" name="median_of_each"
patch("means[rows].mean(dim=1)", "means[rows].median(dim=1).values")

# %% [markdown] lang="en" role="mistake" name="without_replacement"
# Each prompt was drawn exactly once, in another order: every resample has the same mean, and the interval has no width. Draw
# with replacement.
# %% [markdown] lang="vi" of="06fa66e2"
# Mỗi prompt được rút đúng một lần, chỉ khác thứ tự: lần rút nào cũng có cùng trung bình, và khoảng không có bề rộng. Hãy rút có
# hoàn lại.
# %% role="wrong" name="without_replacement"
patch("torch.randint(P, (resamples, P), generator=generator) ", "torch.stack([torch.randperm(P, generator=generator) for _ in range(resamples)]) ")

# %% [markdown] lang="en" role="mistake" name="generator_ignored"
# The rows were drawn without `generator`. Nobody could repeat the interval then, and two models wouldn't be compared on the
# same resamples.
# %% [markdown] lang="vi" of="3b3033b4"
# Các hàng được rút mà không dùng `generator`. Khi đó không ai lặp lại được khoảng này, và hai mô hình sẽ không được so trên
# cùng các lần rút.
# %% role="wrong" name="generator_ignored"
patch(", generator=generator", "")

# %% [markdown] lang="en" role="mistake" name="own_generator"
# The function made a generator of its own, which starts from the same seed in every call. Use the one that was handed over.
# %% [markdown] lang="vi" of="548ee3a6"
# Hàm tự tạo bộ sinh số riêng, lần gọi nào cũng bắt đầu từ cùng một seed. Hãy dùng bộ được truyền vào.
# %% role="wrong" name="own_generator"
patch("generator=generator", "generator=torch.Generator().manual_seed(0)")

# %% [markdown] lang="en" role="mistake" name="shape_turned"
# `randint` was asked for (P, resamples) and the result was turned. These are other rows than those of the task, which fixes the
# shape so that answers can be compared.
# %% [markdown] lang="vi" of="403e5b0e"
# `randint` được gọi với (P, resamples) rồi chuyển vị. Như vậy các hàng khác với đề bài; đề cố định kích thước để các bài làm so
# sánh được với nhau.
# %% role="wrong" name="shape_turned"
patch("torch.randint(P, (resamples, P), generator=generator) ", "torch.randint(P, (P, resamples), generator=generator).T ")

# %% [markdown] lang="en" role="mistake" name="last_prompt_never"
# The last prompt is never drawn: `randint(P - 1, ...)` goes up to P − 2, since `randint` never draws its upper bound.
# %% [markdown] lang="vi" of="5f547b86"
# Prompt cuối không bao giờ được rút: `randint(P - 1, ...)` chỉ đến P − 2, vì `randint` không bao giờ rút chính cận trên.
# %% role="wrong" name="last_prompt_never"
patch("torch.randint(P, (resamples, P)", "torch.randint(max(P - 1, 1), (resamples, P)")

# %% [markdown] lang="en" role="mistake" name="first_seed_only"
# Only the first seed of each prompt was used. Rows are drawn as a whole: all S seeds count in a prompt's mean.
# %% [markdown] lang="vi" of="b7e89c33"
# Hàm chỉ dùng seed đầu của mỗi prompt. Hàng được rút nguyên cả hàng: mọi seed đều tính vào trung bình của prompt.
# %% role="wrong" name="first_seed_only"
patch("values.double().mean(dim=1)", "values.double()[:, 0]")

# %% [markdown] lang="en" role="mistake" name="any_seed_right"
# The best seed of each prompt was taken. That is another score, how often at least one of S tries succeeds; here the mean over
# all seeds was asked for.
# %% [markdown] lang="vi" of="ae837af3"
# Hàm lấy seed tốt nhất của mỗi prompt. Đó là một điểm số khác, cho biết có ít nhất một trong S lần vẽ đúng hay không; ở đây
# cần trung bình của mọi seed.
# %% role="wrong" name="any_seed_right"
patch("values.double().mean(dim=1)", "values.double().amax(dim=1)")

# %% [markdown] lang="en" role="mistake" name="high_first"
# The ends are swapped: return the lower one first.
# %% [markdown] lang="vi" of="6dff3a77"
# Hai đầu bị đổi chỗ: hãy trả về số nhỏ trước.
# %% role="wrong" name="high_first"
patch("return low, high", "return high, low")

# %% [markdown] lang="en" role="mistake" name="half_widths"
# These are distances from the mean, not the ends themselves. Return the two percentiles as they are.
# %% [markdown] lang="vi" of="dabb2b5b"
# Đây là khoảng cách tính từ trung bình, không phải hai đầu mút. Hãy trả về chính hai phân vị.
# %% role="wrong" name="half_widths"
patch("return low, high", "return means.mean().item() - low, high - means.mean().item()")

# %% [markdown] lang="en" role="mistake" name="normal_interval"
# This is the mean, plus and minus 1.96 deviations of the resampled means: an interval as well, but always symmetric, so that it
# can reach beyond 1. Percentiles were asked for.
# %% [markdown] lang="vi" of="12a97c25"
# Đây là trung bình cộng trừ 1.96 lần độ lệch của các trung bình rút lại: cũng là một khoảng tin cậy, nhưng luôn đối xứng nên có
# thể vượt quá 1. Đề bài cần phân vị.
# %% role="wrong" name="normal_interval"
patch("low, high = torch.quantile(again, ends).tolist()", "low, high = (means.mean() + 1.96 * again.std() * torch.tensor([-1.0, 1.0], dtype=torch.float64)).tolist()")

# %% [markdown] lang="en" role="mistake" name="bools_averaged"
# Verdicts that are bools have no mean in PyTorch: it stops with an error. Convert to float64 first, which also keeps the digits
# of float32 scores.
# %% [markdown] lang="vi" of="525c9968"
# Phán quyết kiểu bool không lấy trung bình được trong PyTorch: nó báo lỗi. Hãy đổi sang float64 trước, nhờ vậy cũng giữ được
# các chữ số của điểm float32.
# %% role="wrong" name="bools_averaged"
patch("values.double().mean(dim=1)", "values.mean(dim=1).double()")

# %% [markdown] lang="en" role="mistake" name="in_float32"
# The scores were brought to float32. Means of numbers near 1000 then lose the digits in which samplers differ: compute in
# float64.
# %% [markdown] lang="vi" of="f0df1444"
# Điểm bị đổi sang float32. Khi đó trung bình của những số gần 1000 mất đúng các chữ số phân biệt các bộ lấy mẫu: hãy tính
# bằng float64.
# %% role="wrong" name="in_float32"
patch("values.double().mean(dim=1)", "values.float().mean(dim=1)")
patch("torch.quantile(again, ends)", "torch.quantile(again.double(), ends)")

# %% [markdown] lang="en" role="mistake" name="tensors"
# The ends are right, but they are tensors. Floats were asked for: `.tolist()` or `.item()` makes them.
# %% [markdown] lang="vi" of="c69894fa"
# Hai đầu đúng, nhưng lại là tensor. Đề bài cần số float: `.tolist()` hoặc `.item()` tạo ra chúng.
# %% role="wrong" name="tensors"
patch("torch.quantile(again, ends).tolist()", "torch.quantile(again, ends)")

# %% [markdown] lang="en" role="mistake" name="not_interpolated"
# The sorted means were indexed, which takes one of them as the end. Between two of them a percentile is interpolated, as the
# task says, so that answers can be compared.
# %% [markdown] lang="vi" of="8c1aaedc"
# Các trung bình được xếp thứ tự rồi lấy theo chỉ số, tức là lấy luôn một trong số đó làm đầu mút. Phân vị nằm giữa hai trung
# bình phải được nội suy, như đề bài nói, để các bài làm so sánh được với nhau.
# %% role="wrong" name="not_interpolated"
patch("low, high = torch.quantile(again, ends).tolist()", "low, high = again.sort().values[(ends * resamples).long()].tolist()")

# %% [markdown] lang="en" role="mistake" name="fixed_resamples"
# It draws 1000 resamples whatever is asked for. Their number is the argument `resamples`.
# %% [markdown] lang="vi" of="fcac36f2"
# Hàm luôn rút lại 1000 lần, dù được yêu cầu bao nhiêu. Số lần là tham số `resamples`.
# %% role="wrong" name="fixed_resamples"
patch("(resamples, P)", "(1000, P)")

# %% role="library"
import numpy as np
import torch


def bootstrap_over_prompts(values, resamples, generator):
    """NumPy, resample by resample, with all pictures of the drawn prompts."""
    scores = np.asarray(values.tolist(), dtype=np.float64)
    drawn = torch.randint(len(scores), (resamples, len(scores)), generator=generator).numpy()
    means = [scores[rows].mean() for rows in drawn]
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))

# %% role="payoff"
def draw(bootstrap_over_prompts: Callable) -> Tensor:
    found, texts = [], []
    for name, right in verdicts.items():                                # (P, S)
        dice = torch.Generator().manual_seed(0)
        ends = bootstrap_over_prompts(right, 2000, dice)
        found.append(torch.cat([mosaic(drawn[name][::6]), bar(*ends)], dim=1))
        share = right.double().mean()
        texts.append(f"{name}\n{share:.0%}: {ends[0]:.0%} to {ends[1]:.0%}")
    return labelled(torch.stack(found), texts)                          # one each


payoff(draw, bootstrap_over_prompts)
