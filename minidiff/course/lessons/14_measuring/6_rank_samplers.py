"""Exercise 14.6, rank_samplers: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## The row of the README
#
# **Wire it.** Three samplers drew the same prompts with equally many evaluations of the network. Which one is best? Each gets a
# row: the Fréchet distance and the kernel distance to real pictures, the number of pictures, and how often everything that the
# prompt says is in the picture, with its interval.
#
# - `real` (M, D) are features of real pictures; `draws` maps each sampler's name to features (N, D) of what it drew, and
#   `scores` to its scores (P, S), bools or floats.
# - Features of this network have very different scales, so bring each feature to **mean 0 and deviation 1 over the real
#   pictures** first (torch's `std`, at least 1e-6), and treat the drawn ones with the same two numbers.
# - A row is a dict: `"name"`, `"n"` (= N), `"fd"`, `"kid"` (times 1000, as it is printed everywhere), `"score"` (the mean), and
#   the ends of its interval, `"low"` and `"high"`.
# - Each interval begins from a fresh generator of the same `seed`, so that all samplers are tried on the same resampled
#   prompts.
# - Sets of different counts can't be ranked: raise a `ValueError`.
#
# **Return** the rows, the smallest Fréchet distance first. Use your own functions. The cell at the end shows the ranking.
# %% [markdown] lang="vi" of="bc2efc02"
# ## Hàng số liệu trong README
#
# **Lắp ráp.** Ba bộ lấy mẫu đã vẽ cùng những prompt ấy với cùng số lần gọi mạng. Bộ nào tốt nhất? Mỗi bộ được một hàng: khoảng
# cách Fréchet và khoảng cách kernel đến tranh thật, tính trên bao nhiêu bức, và tần suất mọi điều prompt nói đều có trong
# tranh, kèm khoảng tin cậy.
#
# - `real` (M, D) là đặc trưng của tranh thật; `draws` ứng tên mỗi bộ lấy mẫu với đặc trưng (N, D) của các bức nó vẽ, và
#   `scores` ứng tên với điểm (P, S), kiểu bool hoặc số thực.
# - Đặc trưng của mạng này có độ lớn rất khác nhau, nên trước hết hãy đưa mỗi đặc trưng về **trung bình 0 và độ lệch 1 trên
#   tranh thật** (`std` của torch, ít nhất 1e-6), và xử lý các bức vẽ bằng đúng hai con số ấy.
# - Mỗi hàng là một dict: `"name"`, `"n"` (= N), `"fd"`, `"kid"` (nhân 1000, như các bảng vẫn in), `"score"` (trung bình), và
#   hai đầu khoảng tin cậy, `"low"` và `"high"`.
# - Mỗi khoảng tin cậy bắt đầu từ một bộ sinh số mới với cùng `seed`, để mọi bộ lấy mẫu được thử trên cùng các lần rút prompt.
# - Những tập có số lượng khác nhau thì không xếp hạng được: hãy raise `ValueError`.
#
# **Hãy trả về** các hàng, khoảng cách Fréchet nhỏ nhất đứng trước. Hãy dùng các hàm của chính bạn. Ô ở cuối cho xem bảng xếp
# hạng.

# %% [markdown] lang="en" role="hints"
# The mean and the deviation come from `real` alone, once, before the loop. Why would it hide a fault if each set were scaled by
# its own?
# ---
# In the loop: scale, make `torch.Generator().manual_seed(seed)`, call your three functions, and collect a dict. The check of
# counts stands before it.
# ---
# `sorted(rows, key=lambda row: row["fd"])` puts the smallest first. The counts are equal when `len({len(one) for one in
# draws.values()}) == 1`.
# %% [markdown] lang="vi" of="f2dfcf99"
# Trung bình và độ lệch chỉ lấy từ `real`, một lần, trước vòng lặp. Nếu mỗi tập được chuẩn hóa theo số của chính nó, vì sao lỗi
# sẽ bị che mất?
# ---
# Trong vòng lặp: chuẩn hóa, tạo `torch.Generator().manual_seed(seed)`, gọi ba hàm của bạn, và gom kết quả vào một dict. Việc
# kiểm tra số lượng đứng trước vòng lặp.
# ---
# `sorted(rows, key=lambda row: row["fd"])` đặt hàng nhỏ nhất lên đầu. Các số lượng bằng nhau khi `len({len(one) for one in
# draws.values()}) == 1`.

# %% [markdown] lang="en" role="stub"
# Features of real pictures (M, D); by sampler's name, features of drawn ones
# (N, D) and scores (P, S) -> a list of dicts "name", "n", "fd", "kid" (x 1000),
# "score", "low", "high", the smallest "fd" first. Raises ValueError unless all
# draws have the same N.
# ---
# 1. refuse draws of different counts
# 2. mean and deviation of each real feature              # (D,), (D,)
# 3. for each sampler:
# 4.     scale its features by the real ones' numbers     # (N, D)
# 5.     both distances, the mean score and its interval, from a fresh generator
# 6. return the rows, sorted by "fd"
# %% [markdown] lang="vi" of="70a367d8"
# Đặc trưng của tranh thật (M, D); theo tên bộ lấy mẫu, đặc trưng của các bức vẽ
# (N, D) và điểm (P, S) -> danh sách dict "name", "n", "fd", "kid" (x 1000), "score",
# "low", "high", "fd" nhỏ nhất đứng trước. Raise ValueError nếu các tập vẽ không có
# cùng N.
# ---
# 1. từ chối các tập vẽ có số lượng khác nhau
# 2. trung bình và độ lệch của mỗi đặc trưng thật         # (D,), (D,)
# 3. với mỗi bộ lấy mẫu:
# 4.     chuẩn hóa đặc trưng của nó theo tranh thật       # (N, D)
# 5.     hai khoảng cách, điểm trung bình và khoảng tin cậy, từ bộ sinh số mới
# 6. trả về các hàng, xếp theo "fd"

# %% role="solution"
def rank_samplers(
    real: Tensor,
    draws: dict[str, Tensor],
    scores: dict[str, Tensor],
    resamples: int,
    seed: int,
) -> list[dict]:
    if len({len(drawn) for drawn in draws.values()}) > 1:
        raise ValueError("Only draws of the same count can be ranked.")
    real = real.double()
    mean, deviation = real.mean(0), real.std(0).clamp(min=1e-6)     # (D,), (D,)
    real, rows = (real - mean) / deviation, []
    for name, drawn in draws.items():
        fake = (drawn.double() - mean) / deviation                  # (N, D)
        dice, right = torch.Generator().manual_seed(seed), scores[name].double()
        low, high = bootstrap_over_prompts(right, resamples, dice)
        row = {"name": name, "n": len(drawn), "fd": frechet_distance(real, fake)}
        row |= {"kid": 1000 * unbiased_mmd(real, fake), "score": right.mean().item()}
        rows.append(row | {"low": low, "high": high})
    return sorted(rows, key=lambda row: row["fd"])

# %% [markdown] lang="en" role="checks"
# - three rows, with these names, the best first
# - their distances
# - counts and mean scores
# - intervals; equal scores have equal intervals, and PyTorch's own dice stay as they were
# - one feature in other units: the same distances
# - a feature that is the same in all pictures
# - different counts, whichever draw is the odd one: a ValueError
# - verdicts as bools, features in float32
# %% [markdown] lang="vi" of="fa0263af"
# - ba hàng, với đúng các tên này, hàng tốt nhất đứng trước
# - các khoảng cách
# - số lượng và điểm trung bình
# - khoảng tin cậy; điểm bằng nhau thì khoảng bằng nhau, và bộ sinh số chung của PyTorch giữ nguyên
# - một đặc trưng đổi đơn vị: khoảng cách vẫn thế
# - một đặc trưng giống nhau ở mọi bức
# - số lượng khác nhau, dù tập vẽ nào khác: ValueError
# - phán quyết kiểu bool, đặc trưng float32

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def asked(*keys):
    """A call that gives these of every row, by name and in order."""

    def call(f, real, draws, scores):
        rows = f(real, draws, scores, 101, 6)
        return [[row[key] if isinstance(row[key], str) else float(row[key]) for key in keys] for row in rows]

    return call


def names(f, real, draws, scores):
    return [str(row["name"]) for row in f(real, draws, scores, 101, 6)]


def other_units(f, real, draws, scores):
    units = torch.tensor([1.0, 500.0, 1.0, 0.02, 1.0], dtype=torch.float64)
    changed = {name: 7 + units * drawn for name, drawn in draws.items()}
    return asked("name", "fd", "kid")(f, 7 + units * real, changed, scores)


def same_feature(f, real, draws, scores):
    def wider(x):
        return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)

    return asked("name", "fd", "kid")(f, wider(real), {name: wider(drawn) for name, drawn in draws.items()}, scores)


def intervals(f, **inputs):
    before = torch.get_rng_state()
    ends = asked("name", "low", "high")(f, **inputs)
    return [ends, torch.equal(before, torch.get_rng_state())]


def unequal(f, real, draws, scores):
    def said(odd):
        shorter = {name: drawn[: len(drawn) - (name == odd)] for name, drawn in draws.items()}
        try:
            f(real, shorter, scores, 101, 6)
        except ValueError:
            return "a ValueError"
        return "no error"

    return [said(name) for name in draws]


def coarse(f, real, draws, scores):
    floats = {name: drawn.float() for name, drawn in draws.items()}
    verdicts = {name: score > 0.5 for name, score in scores.items()}
    return asked("name", "n", "fd", "score", "low", "high")(f, real.float(), floats, verdicts)


MIX = normal(5, 5, seed=1) * torch.tensor([1.0, 4.0, 0.5, 2.0, 1.0], dtype=torch.float64)
REAL = normal(43, 5, seed=2) @ MIX + 2
DRAWS = {"ddpm": normal(17, 5, seed=5) @ MIX * 1.6 + 1.5, "heun": normal(17, 5, seed=4) @ MIX + 2.2}
DRAWS |= {"euler": normal(17, 5, seed=3) @ MIX * 0.5 + 3.5}
SCORES = {"euler": torch.rand(8, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)}
SCORES |= {"heun": SCORES["euler"].clone(), "ddpm": 0.7 * SCORES["euler"].flip(0) - 0.1}
GIVEN = {"real": REAL, "draws": DRAWS, "scores": SCORES}

probe(names, **GIVEN)
probe(asked("name", "fd", "kid"), points=2, **GIVEN)
probe(asked("name", "n", "score"), **GIVEN)
probe(intervals, **GIVEN)
probe(other_units, points=2, rtol=1e-4, atol=1e-5, **GIVEN)
probe(same_feature, rtol=1e-4, atol=1e-5, **GIVEN)
probe(unequal, **GIVEN)
probe(coarse, rtol=1e-3, atol=1e-4, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="not_scaled"
# The features were compared as they are. Those with the largest numbers decide alone then, and a change of units would change
# the ranking. Scale each to mean 0 and deviation 1 over the real pictures.
# %% [markdown] lang="vi" of="3f24a93b"
# Các đặc trưng được đem so khi chưa chuẩn hóa. Khi đó những đặc trưng có số lớn nhất quyết định tất cả, và chỉ đổi đơn vị là
# thứ hạng đổi. Hãy đưa mỗi đặc trưng về trung bình 0 và độ lệch 1 trên tranh thật.
# %% role="wrong" name="not_scaled"
patch("real, rows = (real - mean) / deviation, []", "real, rows = real, []")
patch("(drawn.double() - mean) / deviation ", "drawn.double() ")

# %% [markdown] lang="en" role="mistake" name="each_by_its_own"
# Each set was scaled by its own mean and deviation. Then a set that is too bright, or too much alike, looks right: the fault
# was divided away. Use the real pictures' two numbers for all.
# %% [markdown] lang="vi" of="51214871"
# Mỗi tập được chuẩn hóa theo trung bình và độ lệch của chính nó. Khi đó một tập quá sáng, hay quá giống nhau, lại trông như
# đúng: lỗi đã bị xóa mất. Hãy dùng hai con số của tranh thật cho mọi tập.
# %% role="wrong" name="each_by_its_own"
patch("(drawn.double() - mean) / deviation ", "(drawn.double() - drawn.double().mean(0)) / drawn.double().std(0).clamp(min=1e-6) ")

# %% [markdown] lang="en" role="mistake" name="mean_kept"
# The mean wasn't subtracted. The Fréchet distance doesn't notice, but the kernel does: it compares angles from 0, and far from
# 0 all features look alike.
# %% [markdown] lang="vi" of="b1c75521"
# Trung bình chưa được trừ. Khoảng cách Fréchet không nhận ra, nhưng kernel thì có: nó so các hướng nhìn từ gốc 0, và ở xa gốc
# thì mọi đặc trưng trông giống nhau.
# %% role="wrong" name="mean_kept"
patch("real, rows = (real - mean) / deviation, []", "real, rows = real / deviation, []")
patch("(drawn.double() - mean) / deviation ", "drawn.double() / deviation ")

# %% [markdown] lang="en" role="mistake" name="real_not_scaled"
# The drawn features were scaled, the real ones weren't. Both must be measured in the same units.
# %% [markdown] lang="vi" of="36315fe6"
# Đặc trưng của các bức vẽ được chuẩn hóa, của tranh thật thì không. Cả hai phải được đo bằng cùng đơn vị.
# %% role="wrong" name="real_not_scaled"
patch("real, rows = (real - mean) / deviation, []", "real, rows = real, []")

# %% [markdown] lang="en" role="mistake" name="one_number"
# One deviation was taken of all features together. Each feature has units of its own: `real.std(0)` is (D,).
# %% [markdown] lang="vi" of="6c4eabc6"
# Hàm lấy một độ lệch chung cho mọi đặc trưng. Mỗi đặc trưng có đơn vị riêng: `real.std(0)` là (D,).
# %% role="wrong" name="one_number"
patch("real.std(0)", "real.std()")

# %% [markdown] lang="en" role="mistake" name="divided_by_variance"
# The features were divided by their variance. Their unit would be one over the feature's: divide by the deviation.
# %% [markdown] lang="vi" of="62b2a84c"
# Đặc trưng bị chia cho phương sai. Khi đó đơn vị của chúng thành nghịch đảo: hãy chia cho độ lệch.
# %% role="wrong" name="divided_by_variance"
patch("real.std(0)", "real.var(0)")

# %% [markdown] lang="en" role="mistake" name="not_clamped"
# A feature that is the same in all real pictures has deviation 0, and 0 / 0 is not a number. Let no deviation be below 1e-6.
# %% [markdown] lang="vi" of="b2355721"
# Một đặc trưng giống nhau ở mọi bức thật có độ lệch 0, và 0 / 0 không phải là số. Đừng để độ lệch nào dưới 1e-6.
# %% role="wrong" name="not_clamped"
patch("real.std(0).clamp(min=1e-6)    ", "real.std(0)    ")

# %% [markdown] lang="en" role="mistake" name="not_sorted"
# The rows are in the order in which the samplers came. Put the smallest Fréchet distance first.
# %% [markdown] lang="vi" of="9771af68"
# Các hàng đứng theo thứ tự các bộ lấy mẫu được đưa vào. Hãy đặt khoảng cách Fréchet nhỏ nhất lên đầu.
# %% role="wrong" name="not_sorted"
patch("sorted(rows, key=lambda row: row[\"fd\"])", "rows")

# %% [markdown] lang="en" role="mistake" name="worst_first"
# The largest Fréchet distance comes first. It is a distance to real pictures: small is good.
# %% [markdown] lang="vi" of="9ad78453"
# Khoảng cách Fréchet lớn nhất đứng đầu. Đó là khoảng cách đến tranh thật: nhỏ mới tốt.
# %% role="wrong" name="worst_first"
patch("key=lambda row: row[\"fd\"]", "key=lambda row: -row[\"fd\"]")

# %% [markdown] lang="en" role="mistake" name="sorted_by_score"
# The rows are sorted by their score. "fd" was asked for, the smallest first.
# %% [markdown] lang="vi" of="2ec4fe1e"
# Các hàng được xếp theo điểm. Đề bài cần xếp theo "fd", nhỏ nhất đứng trước.
# %% role="wrong" name="sorted_by_score"
patch("key=lambda row: row[\"fd\"]", "key=lambda row: -row[\"score\"]")

# %% [markdown] lang="en" role="mistake" name="sorted_by_name"
# The rows are sorted by name. "fd" was asked for, the smallest first.
# %% [markdown] lang="vi" of="c1c2834b"
# Các hàng được xếp theo tên. Đề bài cần xếp theo "fd", nhỏ nhất đứng trước.
# %% role="wrong" name="sorted_by_name"
patch("key=lambda row: row[\"fd\"]", "key=lambda row: row[\"name\"]")

# %% [markdown] lang="en" role="mistake" name="kid_not_times_1000"
# The kernel distance wasn't multiplied by 1000. Its values are small, and tables print a thousand times of them; beside
# published ones yours would look far too good.
# %% [markdown] lang="vi" of="97ce09b4"
# Khoảng cách kernel chưa được nhân 1000. Giá trị của nó nhỏ, và các bảng in gấp một nghìn lần; đặt cạnh số đã công bố, số của
# bạn sẽ trông quá tốt.
# %% role="wrong" name="kid_not_times_1000"
patch("1000 * unbiased_mmd", "unbiased_mmd")

# %% [markdown] lang="en" role="mistake" name="counts_not_checked"
# Sets of different counts were ranked. The Fréchet distance falls with the count for the same model, so the ranking could be
# one of counts alone: raise a ValueError.
# %% [markdown] lang="vi" of="4e590d92"
# Các tập có số lượng khác nhau vẫn được xếp hạng. Với cùng một mô hình, khoảng cách Fréchet giảm khi số lượng tăng, nên thứ
# hạng có thể chỉ là thứ hạng của số lượng: hãy raise ValueError.
# %% role="wrong" name="counts_not_checked"
patch("    if len({len(drawn) for drawn in draws.values()}) > 1:\n        raise ValueError(\"Only draws of the same count can be ranked.\")\n", "")

# %% [markdown] lang="en" role="mistake" name="compared_with_real_count"
# It is refused although all draws have the same count: that of `real` is another. Real pictures can be had in any number, and
# they are the same for all rows.
# %% [markdown] lang="vi" of="b04ad6b8"
# Hàm từ chối dù mọi tập vẽ có cùng số lượng: chỉ `real` là khác. Tranh thật thì có thể lấy bao nhiêu cũng được, và chúng giống
# nhau cho mọi hàng.
# %% role="wrong" name="compared_with_real_count"
patch("{len(drawn) for drawn in draws.values()}", "{len(real), *(len(drawn) for drawn in draws.values())}")

# %% [markdown] lang="en" role="mistake" name="one_generator"
# All intervals were drawn from one generator, so each sampler was tried on other resampled prompts, and two with equal scores
# get different intervals. Make a fresh generator of the same seed for each.
# %% [markdown] lang="vi" of="b2563c82"
# Mọi khoảng tin cậy rút từ cùng một bộ sinh số, nên mỗi bộ lấy mẫu được thử trên những lần rút prompt khác nhau, và hai bộ có
# điểm bằng nhau lại ra khoảng khác nhau. Với mỗi bộ, hãy tạo bộ sinh số mới với cùng seed.
# %% role="wrong" name="one_generator"
patch("for name, drawn in draws.items():", "one = torch.Generator().manual_seed(seed)\n    for name, drawn in draws.items():")
patch("torch.Generator().manual_seed(seed), scores", "one, scores")

# %% [markdown] lang="en" role="mistake" name="n_of_real"
# n is the count of real pictures. Print that of the drawn ones: it is what limits the figure.
# %% [markdown] lang="vi" of="70384499"
# n là số tranh thật. Hãy ghi số bức vẽ: chính nó giới hạn độ tin cậy của con số.
# %% role="wrong" name="n_of_real"
patch("\"n\": len(drawn)", "\"n\": len(real)")

# %% [markdown] lang="en" role="mistake" name="n_of_prompts"
# n is the number of prompts. The distances are of all drawn pictures, N of them.
# %% [markdown] lang="vi" of="fc7757f0"
# n là số prompt. Các khoảng cách được tính trên mọi bức vẽ, có N bức.
# %% role="wrong" name="n_of_prompts"
patch("\"n\": len(drawn)", "\"n\": len(right)")

# %% [markdown] lang="en" role="mistake" name="pictures_resampled"
# The interval was taken over single pictures: the scores were flattened first. Seeds of one prompt aren't independent, so hand
# over (P, S) as it is.
# %% [markdown] lang="vi" of="dfbc312e"
# Khoảng tin cậy được tính trên từng bức: điểm đã bị trải phẳng trước. Các seed của một prompt không độc lập, vậy hãy đưa nguyên
# (P, S).
# %% role="wrong" name="pictures_resampled"
patch("bootstrap_over_prompts(right, ", "bootstrap_over_prompts(right.reshape(-1, 1), ")

# %% [markdown] lang="en" role="mistake" name="middle_for_mean"
# The score is the middle of its interval. Return the mean of all scores; the interval needn't be symmetric about it.
# %% [markdown] lang="vi" of="004390b0"
# Điểm là trung điểm của khoảng tin cậy. Hãy trả về trung bình của mọi điểm; khoảng không nhất thiết đối xứng quanh nó.
# %% role="wrong" name="middle_for_mean"
patch("right.mean().item()", "(low + high) / 2")

# %% [markdown] lang="en" role="mistake" name="against_the_first"
# The distances are to the first sampler's pictures. A good sampler isn't one that draws like another sampler: compare each with
# `real`.
# %% [markdown] lang="vi" of="a761cb8a"
# Khoảng cách được tính đến tranh của bộ lấy mẫu đầu tiên. Bộ lấy mẫu tốt không phải là bộ vẽ giống bộ khác: hãy so mỗi bộ với
# `real`.
# %% role="wrong" name="against_the_first"
patch("real, rows = (real - mean) / deviation, []", "real, rows = (next(iter(draws.values())).double() - mean) / deviation, []")

# %% [markdown] lang="en" role="mistake" name="only_the_best"
# Only the best row was returned. All rows were asked for, as a list.
# %% [markdown] lang="vi" of="907e29e4"
# Hàm chỉ trả về hàng tốt nhất. Đề bài cần mọi hàng, dưới dạng danh sách.
# %% role="wrong" name="only_the_best"
patch("sorted(rows, key=lambda row: row[\"fd\"])", "[min(rows, key=lambda row: row[\"fd\"])]")

# %% [markdown] lang="en" role="mistake" name="scaled_over_all"
# Mean and deviation were taken over real and drawn pictures together. Then the units depend on what the samplers drew, and
# with another sampler in the table all figures change: real pictures alone decide.
# %% [markdown] lang="vi" of="2970b376"
# Trung bình và độ lệch được lấy trên cả tranh thật lẫn tranh vẽ. Khi đó đơn vị phụ thuộc vào điều các bộ lấy mẫu vẽ ra, và
# thêm một bộ vào bảng là mọi con số đổi: chỉ tranh thật quyết định.
# %% role="wrong" name="scaled_over_all"
patch("mean, deviation = real.mean(0), real.std(0).clamp(min=1e-6)     # (D,), (D,)", "every = torch.cat([real, *(drawn.double() for drawn in draws.values())])\n    mean, deviation = every.mean(0), every.std(0).clamp(min=1e-6)")

# %% [markdown] lang="en" role="mistake" name="biased_deviation"
# The deviation was taken over M, as NumPy does. The task says torch's `std`, which divides by M − 1; figures made with the
# one and the other can't be compared.
# %% [markdown] lang="vi" of="f87b17a9"
# Độ lệch được tính với mẫu số M, như NumPy. Đề bài cần `std` của torch, chia cho M − 1; con số tính theo hai cách không so
# được với nhau.
# %% role="wrong" name="biased_deviation"
patch("real.std(0)", "real.std(0, correction=0)")

# %% [markdown] lang="en" role="mistake" name="seed_ignored"
# The generators begin from 0, not from `seed`. Whoever hands over another seed wants other resamples.
# %% [markdown] lang="vi" of="d5202fbc"
# Các bộ sinh số bắt đầu từ 0 chứ không từ `seed`. Ai truyền vào seed khác là muốn những lần rút khác.
# %% role="wrong" name="seed_ignored"
patch("manual_seed(seed)", "manual_seed(0)")

# %% [markdown] lang="en" role="mistake" name="global_dice"
# `torch.manual_seed` seeds the generator that all of PyTorch shares, so whatever the notebook draws afterwards is changed,
# too. Make a `torch.Generator()` of its own for each interval.
# %% [markdown] lang="vi" of="1fe2902c"
# `torch.manual_seed` đặt seed cho bộ sinh số dùng chung của PyTorch, nên mọi thứ notebook rút sau đó cũng bị đổi. Hãy tạo một
# `torch.Generator()` riêng cho mỗi khoảng tin cậy.
# %% role="wrong" name="global_dice"
patch("torch.Generator().manual_seed(seed)", "torch.manual_seed(seed)")

# %% [markdown] lang="en" role="mistake" name="scores_by_order"
# The scores were paired with the draws by their order. Both are dicts by sampler's name and needn't be in one order: look up
# `scores[name]`.
# %% [markdown] lang="vi" of="9b9c0610"
# Điểm được ghép với các tập vẽ theo thứ tự. Cả hai là dict theo tên bộ lấy mẫu và không nhất thiết cùng thứ tự: hãy tra
# `scores[name]`.
# %% role="wrong" name="scores_by_order"
patch("for name, drawn in draws.items():", "for (name, drawn), score in zip(draws.items(), scores.values(), strict=True):")
patch("scores[name].double()", "score.double()")

# %% [markdown] lang="en" role="mistake" name="an_assertion"
# Different counts are refused by an `assert`. It raises an AssertionError, and Python leaves it out when run with -O; callers
# were promised a ValueError.
# %% [markdown] lang="vi" of="8bad057b"
# Các số lượng khác nhau bị từ chối bằng `assert`. Nó raise AssertionError, và Python bỏ qua nó khi chạy với -O; nơi gọi hàm
# được hứa một ValueError.
# %% role="wrong" name="an_assertion"
patch("if len({len(drawn) for drawn in draws.values()}) > 1:\n        raise ValueError(\"Only draws of the same count can be ranked.\")", "assert len({len(drawn) for drawn in draws.values()}) == 1")

# %% [markdown] lang="en" role="mistake" name="one_pair_compared"
# Only two of the counts were compared. Any of the draws may be the odd one: look at all counts.
# %% [markdown] lang="vi" of="4cacec14"
# Hàm chỉ so hai trong các số lượng. Tập vẽ nào cũng có thể khác: hãy xét mọi số lượng.
# %% role="wrong" name="one_pair_compared"
patch("{len(drawn) for drawn in draws.values()}", "{len(drawn) for drawn in list(draws.values())[:2]}")

# %% role="library"
import numpy as np
import torch

from minidiff.evaluate.metrics import frechet_distance as library_distance
from minidiff.evaluate.metrics import polynomial_kernel


def rank_samplers(real, draws, scores, resamples, seed):
    """The library's distance and kernel, and NumPy for what is left."""
    if min(map(len, draws.values())) != max(map(len, draws.values())):
        raise ValueError("counts differ")
    real = real.double()
    mean, deviation = real.mean(dim=0), real.std(dim=0).clamp_min(1e-6)
    known, found = (real - mean) / deviation, {}

    def within(x):
        k = polynomial_kernel(x, x)
        return k[~torch.eye(len(x), dtype=torch.bool)].mean()

    for name in draws:
        made, right = (draws[name].double() - mean) / deviation, np.asarray(scores[name].tolist(), dtype=float)
        kernel = within(known) + within(made) - 2 * polynomial_kernel(known, made).mean()
        rows = torch.randint(len(right), (resamples, len(right)), generator=torch.Generator().manual_seed(seed))
        low, high = np.percentile(right[rows.numpy()].mean(axis=(1, 2)), [2.5, 97.5])
        found[name] = {"name": name, "n": len(made), "fd": library_distance(known, made), "kid": float(1000 * kernel),
                       "score": right.mean(), "low": low, "high": high}  # fmt: skip
    return [found[name] for name in sorted(found, key=lambda name: found[name]["fd"])]

# %% role="payoff"
def draw(rank_samplers: Callable) -> Tensor:
    seen = {name: see(pictures) for name, pictures in drawn.items()}    # (24, D) each
    rows = rank_samplers(asked_for, seen, verdicts, 2000, 0)
    texts = [
        f"{k}. {row['name']}\nFD {row['fd']:.0f}, KID {row['kid']:.0f}\n"
        f"{row['score']:.0%}: {row['low']:.0%} to {row['high']:.0%}\nn = {row['n']}"
        for k, row in enumerate(rows, start=1)
    ]
    tiles = [mosaic(drawn[row["name"]][::6]) for row in rows]
    return labelled(torch.stack(tiles), texts)


payoff(draw, rank_samplers)
