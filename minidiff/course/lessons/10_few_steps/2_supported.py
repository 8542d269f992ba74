"""Exercise 10.2, supported: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="20"
# ## Four claims about skipping
#
# Here are four claims that one hears. Which of them do the numbers support? `results[sampler, steps]` are final pictures (R, S,
# N): R runs of a sampler, "ddpm" or "ddim", from the same S noises, N numbers a picture. `seconds[sampler, steps]` is the time
# of a whole run. Both are known for two numbers of steps, `few` and `many`.
#
# Two measures: the distance of two sets of pictures is the root of the mean of their squared differences, over everything. The
# *spread* of pictures (R, S, N) is the standard deviation over the S noises, averaged over runs and numbers:
# `x.std(dim=1).mean()`. The claims, each with its formula:
#
# - `"ddim_lands"`: DDIM with few steps draws what DDIM with many draws from the same noise. Their distance, over all runs, is
#   **below** the spread of DDIM with many steps.
# - `"ddpm_varies"`: from one noise DDPM draws another picture in every run. The distance of runs 0 and 1 of DDPM with many
#   steps is **above** the spread of DDPM with many.
# - `"ddpm_keeps"`: DDPM keeps its variety when it skips, since it draws fresh noise. Its spread with few steps is **at least**
#   0.9 of that with many.
# - `"ddim_cheaper"`: DDIM saves time because a step of it is cheaper. The seconds *per step* of DDIM with few steps are
#   **below** 0.8 of those of DDPM with many.
#
# The last cell gives your function what was measured on `world-pixels`. A green frame stands for a claim that holds, grey for
# one that doesn't. First: DDIM with few steps, above many. Second: two runs of DDPM, a noise in each column. Third: DDPM with
# few steps, above many. Fourth: the seconds of a step as bars, DDIM above DDPM. Two of the claims are false: which ones would
# you have believed?
# %% [markdown] lang="vi" of="57c78de9"
# ## Bốn nhận định về việc bỏ bớt bước
#
# Dưới đây là bốn nhận định hay gặp. Các con số ủng hộ nhận định nào? `results[sampler, steps]` là các bức tranh cuối (R, S, N):
# R lần chạy của một bộ lấy mẫu, "ddpm" hoặc "ddim", từ cùng S nhiễu, mỗi bức N con số. `seconds[sampler, steps]` là thời gian
# của cả một lần chạy. Cả hai được biết cho hai số bước, `few` (ít) và `many` (nhiều).
#
# Hai đại lượng: khoảng cách giữa hai tập tranh là căn của trung bình bình phương hiệu, tính trên tất cả. *Độ phân tán* của các
# bức (R, S, N) là độ lệch chuẩn theo S nhiễu, lấy trung bình theo các lần chạy và các con số: `x.std(dim=1).mean()`. Các nhận
# định, mỗi cái một công thức:
#
# - `"ddim_lands"`: DDIM với ít bước vẽ đúng thứ mà DDIM với nhiều bước vẽ từ cùng nhiễu. Khoảng cách giữa chúng, trên mọi lần
#   chạy, **nhỏ hơn** độ phân tán của DDIM với nhiều bước.
# - `"ddpm_varies"`: từ một nhiễu, mỗi lần chạy DDPM vẽ một bức khác. Khoảng cách giữa lần chạy 0 và 1 của DDPM với nhiều bước
#   **lớn hơn** độ phân tán của DDPM với nhiều bước.
# - `"ddpm_keeps"`: DDPM giữ được sự đa dạng khi bỏ bớt bước, vì nó luôn thêm nhiễu mới. Độ phân tán của nó với ít bước **ít
#   nhất** bằng 0.9 lần khi nhiều bước.
# - `"ddim_cheaper"`: DDIM tiết kiệm thời gian vì mỗi bước của nó rẻ hơn. Số giây *mỗi bước* của DDIM với ít bước **nhỏ hơn**
#   0.8 lần của DDPM với nhiều bước.
#
# Ô cuối cùng đưa cho hàm của bạn những gì đo được trên `world-pixels`. Khung xanh lá là nhận định đúng, khung xám là nhận định
# sai. Thứ nhất: DDIM với ít bước ở trên, nhiều bước ở dưới. Thứ hai: hai lần chạy của DDPM, mỗi cột một nhiễu. Thứ ba: DDPM với
# ít bước ở trên, nhiều bước ở dưới. Thứ tư: số giây của một bước dưới dạng thanh, DDIM trên DDPM. Hai trong bốn nhận định là
# sai: trước đây bạn đã tin những cái nào?

# %% [markdown] lang="en" role="hints"
# Write two helpers first, `distance(a, b)` and `spread(x)`. Each claim is then one comparison.
# ---
# A root of a mean of squares: `(a - b).square().mean().sqrt()`. Two runs: `x[0]` and `x[1]`. Seconds per step: divide by the
# steps that this run made.
# ---
# Comparing tensors gives a tensor; `bool(...)`, or `.item()` on both numbers before, makes a plain True or False of it.
# %% [markdown] lang="vi" of="9f3499fb"
# Trước hết hãy viết hai hàm phụ, `distance(a, b)` và `spread(x)`. Khi đó mỗi nhận định là một phép so sánh.
# ---
# Căn của trung bình bình phương: `(a - b).square().mean().sqrt()`. Hai lần chạy: `x[0]` và `x[1]`. Số giây mỗi bước: chia cho
# số bước của lần chạy ấy.
# ---
# So sánh hai tensor cho ra một tensor; `bool(...)`, hoặc `.item()` cho hai số trước khi so sánh, cho ra True hay False thường.

# %% [markdown] lang="en" role="stub"
# Which claims the numbers support: True or False under the names "ddim_lands",
# "ddpm_varies", "ddpm_keeps" and "ddim_cheaper". results: (sampler, steps) ->
# (R, S, N), R at least 2 runs of S at least 2 noises; seconds: (sampler, steps) ->
# seconds of a run; sampler "ddpm" or "ddim", steps `few` or `many`.
# ---
# 1. a helper for the distance, one for the spread
# 2. each claim, by its formula
# 3. return the dict of four bools
# %% [markdown] lang="vi" of="660a5564"
# Các con số ủng hộ những nhận định nào: True hoặc False dưới các tên "ddim_lands",
# "ddpm_varies", "ddpm_keeps" và "ddim_cheaper". results: (bộ lấy mẫu, số bước) ->
# (R, S, N), R ít nhất 2 lần chạy của S ít nhất 2 nhiễu; seconds: (bộ lấy mẫu, số
# bước) -> số giây của một lần chạy; bộ lấy mẫu là "ddpm" hoặc "ddim", số bước là
# `few` hoặc `many`.
# ---
# 1. một hàm phụ cho khoảng cách, một cho độ phân tán
# 2. từng nhận định, theo công thức của nó
# 3. trả về dict gồm bốn giá trị bool

# %% role="solution"
def supported(
    results: dict[tuple[str, int], Tensor], seconds: dict[tuple[str, int], float],
    few: int, many: int,
) -> dict[str, bool]:
    def distance(a: Tensor, b: Tensor) -> float:
        return (a - b).square().mean().sqrt().item()

    def spread(x: Tensor) -> float:
        return x.std(dim=1).mean().item()           # over the S noises

    ddim, ddim_few = results["ddim", many], results["ddim", few]    # (R, S, N)
    ddpm, ddpm_few = results["ddpm", many], results["ddpm", few]    # (R, S, N)
    a_step, usual = seconds["ddim", few] / few, seconds["ddpm", many] / many
    return {
        "ddim_lands": distance(ddim_few, ddim) < spread(ddim),
        "ddpm_varies": distance(ddpm[0], ddpm[1]) > spread(ddpm),
        "ddpm_keeps": spread(ddpm_few) >= 0.9 * spread(ddpm),
        "ddim_cheaper": a_step < 0.8 * usual,
    }

# %% [markdown] lang="en" role="checks"
# - four plain bools, under their names
# - numbers that support every claim, and numbers that support none
# - DDIM lands: far in some pictures, near in most; exactly as far as the spread
# - DDPM varies: runs that differ by little, by much, and in their spread
# - DDPM keeps: its spread just below and just above 0.9
# - DDPM keeps: runs and noises are not the same thing
# - the cost of a step: total seconds mislead, and each run has its own
# - float32 and three runs
# %% [markdown] lang="vi" of="aeb31907"
# - bốn giá trị bool thường, đúng tên
# - các con số ủng hộ mọi nhận định, và các con số không ủng hộ nhận định nào
# - DDIM về đúng chỗ: xa ở vài bức, gần ở phần lớn; xa đúng bằng độ phân tán
# - DDPM mỗi lần một khác: các lần chạy khác nhau ít, nhiều, và khác cả độ phân tán
# - DDPM giữ được: độ phân tán ngay dưới và ngay trên 0.9
# - DDPM giữ được: lần chạy và nhiễu không phải là một
# - giá của một bước: tổng số giây gây hiểu nhầm, và mỗi lần chạy có giá riêng
# - float32 và ba lần chạy

# %% role="probes"
import torch

FEW, MANY = 5, 40


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Three noises give pictures with a spread of UNIT, and the parts of a difference are given in units of it.
UNIT = 0.2
PICTURES = 0.3 + normal(1, 3, 50, seed=1)
PICTURES = PICTURES / PICTURES.std(dim=1).mean()
ROUGH = normal(2, 3, 50, seed=2)
ROUGH = ROUGH / ROUGH.square().mean().sqrt()


def numbers(off=0.3, runs=2.0, kept=1.0, cost=1.0, noisy_ddpm=None):
    """(results, seconds): DDIM with few steps is `off` from that with many, two runs of DDPM are `runs` apart, the spread with
    few steps is `kept` of that with many, a step of DDIM costs `cost` of a step of DDPM."""
    half = 0.5 * runs * ROUGH[:1] / ROUGH[:1].square().mean().sqrt()
    ddpm = noisy_ddpm if noisy_ddpm is not None else torch.cat([PICTURES + half, PICTURES - half])
    ddim = PICTURES.repeat(2, 1, 1)
    few = ddpm.mean(dim=1, keepdim=True) + kept * (ddpm - ddpm.mean(dim=1, keepdim=True)) + 1
    results = {("ddim", MANY): ddim, ("ddim", FEW): ddim + off * ROUGH, ("ddpm", MANY): ddpm, ("ddpm", FEW): few}
    results = {key: UNIT * value for key, value in results.items()}
    seconds = {(name, steps): 0.02 * steps for name in ("ddim", "ddpm") for steps in (FEW, MANY)}
    seconds["ddim", FEW] *= cost
    return {"results": results, "seconds": seconds}


def kinds(f, results, seconds):
    found = f(results, seconds, FEW, MANY)
    return {str(name): type(value).__name__ for name, value in found.items()}


def answers(f, measured):
    return [f(**one, few=FEW, many=MANY) for one in measured]


def of_claim(f, measured, name):
    return [f(**one, few=FEW, many=MANY)[name] for one in measured]


ALL, NONE = numbers(cost=0.5), numbers(off=1.5, runs=0.2, kept=0.5)
RARELY = torch.cat([torch.zeros(2, 3, 44, dtype=torch.float64), torch.ones(2, 3, 6, dtype=torch.float64)], dim=2)
FAR_IN_A_FEW, FARTHER = numbers(), numbers()
FAR_IN_A_FEW["results"]["ddim", FEW] = FAR_IN_A_FEW["results"]["ddim", MANY] + UNIT * 2.0 * RARELY         # rms 0.69
FARTHER["results"]["ddim", FEW] = FARTHER["results"]["ddim", MANY] + UNIT * 4.0 * RARELY                   # mean 0.48, rms 1.39
ONE_RUN = numbers()
OFF = torch.tensor([0.2, 1.6], dtype=torch.float64)[:, None, None]
ONE_RUN["results"]["ddim", FEW] = ONE_RUN["results"]["ddim", MANY] + UNIT * OFF
OTHER_RUN = numbers()
OTHER_RUN["results"]["ddim", FEW] = ONE_RUN["results"]["ddim", FEW].flip(0)

# Each run draws three pictures that are nearly the same, and another run quite other ones: no spread over the noises.
ALIKE = normal(2, 1, 50, seed=3) + 0.1 * normal(2, 3, 50, seed=4)
ALIKE_FEW = numbers(noisy_ddpm=ALIKE, kept=0.5)
ALIKE_MORE = numbers(noisy_ddpm=ALIKE, kept=1.2)
FLAT = numbers(kept=1.0)
FLAT["results"]["ddpm", FEW] = FLAT["results"]["ddpm", FEW] * torch.linspace(0.2, 1.75, 50, dtype=torch.float64)

# Flat pictures of three grey levels: all of their differences are between noises.
LEVELS, ONLY_MANY = numbers(runs=0.5), numbers(runs=2.0)
LEVELS["results"]["ddpm", FEW] = UNIT * torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)[:, None].expand(2, 3, 50).clone()
ONLY_MANY["results"]["ddpm", FEW] = UNIT * PICTURES.repeat(2, 1, 1)

# Every run draws other pictures: the spread of their means is smaller than that of each run.
INDEPENDENT = numbers()
OTHERS = normal(2, 3, 50, seed=5)
INDEPENDENT["results"]["ddpm", MANY] = UNIT * PICTURES.repeat(2, 1, 1)
INDEPENDENT["results"]["ddpm", FEW] = UNIT * OTHERS / OTHERS.std(dim=1).mean()

# DDIM's pictures have three times the spread of DDPM's; and DDPM's first run has less than its second.
WIDE_DDIM, UNEVEN = numbers(runs=1.2), numbers(noisy_ddpm=torch.cat([0.6 * PICTURES, 1.4 * PICTURES]))
WIDE_DDIM["results"] = {key: 3 * x if key[0] == "ddim" else x for key, x in WIDE_DDIM["results"].items()}

# Four runs of three flat pictures of 12 numbers, as far apart as they are spread, a quarter; a step of 0.8 against one of 1.
GREY = torch.tensor([-0.25, 0.0, 0.25], dtype=torch.float64)[:, None].expand(4, 3, 12)
RUNS = torch.tensor([0.0, 0.25, 0.0, 0.25], dtype=torch.float64)[:, None, None]
TIE = {"results": {("ddim", MANY): GREY.clone(), ("ddim", FEW): GREY + 0.25}}
TIE["results"] |= {("ddpm", steps): GREY + RUNS for steps in (FEW, MANY)}
TIE |= {"seconds": {("ddim", FEW): 4.0, ("ddim", MANY): 32.0, ("ddpm", FEW): 5.0, ("ddpm", MANY): 40.0}}

# DDIM's steps cost less, with few and with many; and the steps of short runs do, of both samplers.
DDIM_CHEAP, FEW_CHEAP = numbers(cost=0.7), numbers(cost=0.7)
DDIM_CHEAP["seconds"]["ddim", MANY] *= 0.7
FEW_CHEAP["seconds"]["ddpm", FEW] *= 0.7

WHOLE = numbers(off=0.9, runs=1.4, kept=0.93, cost=0.7)
THREE = {"results": {key: torch.cat([x, x[:1] * 1.02]).float() for key, x in WHOLE["results"].items()}}
THREE |= {"seconds": WHOLE["seconds"]}

probe(kinds, **ALL)
probe(answers, measured=[ALL, NONE])
NEAR_AND_FAR = [numbers(off=off) for off in (0.9, 1.1)]
probe(of_claim, measured=[FAR_IN_A_FEW, FARTHER, ONE_RUN, OTHER_RUN, *NEAR_AND_FAR, TIE], name="ddim_lands")
APART = [numbers(runs=runs) for runs in (0.0, 0.8, 1.2, 3.0)]
probe(of_claim, measured=[*APART, ONLY_MANY, WIDE_DDIM, UNEVEN, TIE], name="ddpm_varies")
probe(of_claim, measured=[numbers(kept=0.88), numbers(kept=0.91), numbers(kept=1.3)], name="ddpm_keeps")
probe(of_claim, measured=[ALIKE_FEW, ALIKE_MORE, FLAT, LEVELS, INDEPENDENT], name="ddpm_keeps")
COSTS = [numbers(cost=cost) for cost in (0.79, 0.81, 1.0, 3.0)]
probe(of_claim, measured=[*COSTS, DDIM_CHEAP, FEW_CHEAP, TIE], name="ddim_cheaper")
probe(answers, measured=[THREE, numbers(off=0.5, runs=1.1, kept=0.86)])

# %% [markdown] lang="en" role="mistake" name="total_seconds"
# The seconds of whole runs were compared, so DDIM with few steps always looks cheaper: it makes fewer steps. The claim is about
# the price of *one* step: divide each time by the steps of its run.
# %% [markdown] lang="vi" of="08d44a32"
# Tổng số giây của các lần chạy bị đem so, nên DDIM với ít bước lúc nào cũng có vẻ rẻ hơn: nó làm ít bước hơn. Nhận định nói về
# giá của *một* bước: hãy chia mỗi thời gian cho số bước của lần chạy ấy.
# %% role="wrong" name="total_seconds"
patch('seconds["ddim", few] / few, seconds["ddpm", many] / many', 'seconds["ddim", few], seconds["ddpm", many]')

# %% [markdown] lang="en" role="mistake" name="any_cheaper"
# A step of DDIM counts as cheaper as soon as it takes a little less time, and so chance decides. It must be below 0.8 of a step
# of DDPM.
# %% [markdown] lang="vi" of="74f69def"
# Một bước của DDIM bị coi là rẻ hơn ngay khi nó nhanh hơn một chút, nên kết quả là do may rủi. Nó phải nhỏ hơn 0.8 lần một bước
# của DDPM.
# %% role="wrong" name="any_cheaper"
patch("a_step < 0.8 * usual", "a_step < usual")

# %% [markdown] lang="en" role="mistake" name="same_steps_compared"
# DDIM with many steps was timed here. Its few steps are what is said to be cheap: `seconds["ddim", few] / few`.
# %% [markdown] lang="vi" of="333a04e2"
# Ở đây DDIM với nhiều bước được bấm giờ. Chính những bước khi ít bước mới được cho là rẻ: `seconds["ddim", few] / few`.
# %% role="wrong" name="same_steps_compared"
patch('seconds["ddim", few] / few', 'seconds["ddim", many] / many')

# %% [markdown] lang="en" role="mistake" name="mean_distance"
# The distance is a mean of absolute differences. In the root of the mean square a few pixels that are far off weigh more: a
# thing in another place is seen, even where most of the picture is background.
# %% [markdown] lang="vi" of="53291fe7"
# Khoảng cách này là trung bình của trị tuyệt đối. Trong căn của trung bình bình phương, vài điểm ảnh lệch xa có trọng lượng
# hơn: nhờ vậy một vật nằm chỗ khác vẫn bị phát hiện, dù phần lớn bức tranh là nền.
# %% role="wrong" name="mean_distance"
patch("(a - b).square().mean().sqrt()", "(a - b).abs().mean()")

# %% [markdown] lang="en" role="mistake" name="root_forgotten"
# The distance lacks its root. A mean square has other units than a spread, so the two can't be compared.
# %% [markdown] lang="vi" of="9c76a2c8"
# Khoảng cách thiếu căn bậc hai. Trung bình bình phương có đơn vị khác với độ phân tán, nên không so sánh được.
# %% role="wrong" name="root_forgotten"
patch(".square().mean().sqrt().item()", ".square().mean().item()")

# %% [markdown] lang="en" role="mistake" name="sum_of_squares"
# The squares were added up in place of being averaged: the more pixels and pictures, the larger the distance.
# %% [markdown] lang="vi" of="445fc868"
# Các bình phương bị cộng lại thay vì lấy trung bình: càng nhiều điểm ảnh và càng nhiều bức thì khoảng cách càng lớn.
# %% role="wrong" name="sum_of_squares"
patch(".square().mean().sqrt()", ".square().sum().sqrt()")

# %% [markdown] lang="en" role="mistake" name="spread_over_everything"
# The spread was taken over all numbers at once. The pixels of one picture differ, too, and the runs do: take the standard
# deviation over the noises alone, dimension 1.
# %% [markdown] lang="vi" of="d52b63ee"
# Độ phân tán bị tính trên mọi con số cùng lúc. Các điểm ảnh trong một bức cũng khác nhau, và các lần chạy cũng vậy: hãy chỉ lấy
# độ lệch chuẩn theo các nhiễu, tức chiều 1.
# %% role="wrong" name="spread_over_everything"
patch("x.std(dim=1).mean()", "x.std()")

# %% [markdown] lang="en" role="mistake" name="spread_over_runs"
# The spread was taken over the runs, dimension 0: DDIM has none there, since it draws the same in every run. Over the noises it
# is dimension 1.
# %% [markdown] lang="vi" of="8d717d47"
# Độ phân tán bị tính theo các lần chạy, chiều 0: ở đó DDIM không có chút nào, vì lần nào nó cũng vẽ như nhau. Theo các nhiễu
# thì là chiều 1.
# %% role="wrong" name="spread_over_runs"
patch("x.std(dim=1)", "x.std(dim=0)")

# %% [markdown] lang="en" role="mistake" name="spread_over_pixels"
# The spread was taken over the numbers of each picture: that is its contrast. Variety is how much a number differs from noise
# to noise, dimension 1.
# %% [markdown] lang="vi" of="4f8c7375"
# Độ phân tán bị tính trên các con số của từng bức: đó là độ tương phản. Sự đa dạng là một con số thay đổi bao nhiêu từ nhiễu
# này sang nhiễu khác, tức chiều 1.
# %% role="wrong" name="spread_over_pixels"
patch("x.std(dim=1)", "x.std(dim=2)")

# %% [markdown] lang="en" role="mistake" name="variance"
# A variance stands for the spread. It is the square of a standard deviation, so 0.9 of it is another limit.
# %% [markdown] lang="vi" of="0e8c8d89"
# Phương sai (variance) đang đứng thay cho độ phân tán. Nó là bình phương của độ lệch chuẩn, nên 0.9 lần của nó là một ngưỡng
# khác.
# %% role="wrong" name="variance"
patch("x.std(dim=1)", "x.var(dim=1)")

# %% [markdown] lang="en" role="mistake" name="few_not_many"
# DDPM's two runs were compared with few steps. The claim is about DDPM as it is used, with many.
# %% [markdown] lang="vi" of="5fcea9c1"
# Hai lần chạy của DDPM bị so khi ít bước. Nhận định nói về DDPM như vẫn dùng, với nhiều bước.
# %% role="wrong" name="few_not_many"
patch("distance(ddpm[0], ddpm[1]) > spread(ddpm)", "distance(ddpm_few[0], ddpm_few[1]) > spread(ddpm_few)")

# %% [markdown] lang="en" role="mistake" name="noises_compared"
# Two pictures of one run were compared, from two noises. Those always differ; the claim is about one noise in two runs: `x[0]`
# and `x[1]` are all pictures of a run.
# %% [markdown] lang="vi" of="2469859c"
# Hai bức trong cùng một lần chạy bị so, từ hai nhiễu. Chúng luôn khác nhau; nhận định nói về một nhiễu trong hai lần chạy:
# `x[0]` và `x[1]` là mọi bức của một lần chạy.
# %% role="wrong" name="noises_compared"
patch("distance(ddpm[0], ddpm[1])", "distance(ddpm[:, 0], ddpm[:, 1])")

# %% [markdown] lang="en" role="mistake" name="any_difference"
# DDPM's runs count as different as soon as they are not equal. Tiny differences are no other picture: compare with the spread.
# %% [markdown] lang="vi" of="e1c8e676"
# Hai lần chạy của DDPM bị coi là khác nhau ngay khi chúng không bằng nhau. Khác tí ti thì vẫn là một bức: hãy so với độ phân
# tán.
# %% role="wrong" name="any_difference"
patch("distance(ddpm[0], ddpm[1]) > spread(ddpm)", "distance(ddpm[0], ddpm[1]) > 0")

# %% [markdown] lang="en" role="mistake" name="both_ways"
# The spread must lie within 10 percent on both sides here, so that more variety than before counts as lost. At least 0.9 is
# asked for, and more is fine.
# %% [markdown] lang="vi" of="f51c4992"
# Ở đây độ phân tán phải nằm trong 10 phần trăm về cả hai phía, nên đa dạng hơn trước lại bị coi là mất. Chỉ yêu cầu ít nhất
# 0.9, nhiều hơn cũng được.
# %% role="wrong" name="both_ways"
patch("spread(ddpm_few) >= 0.9 * spread(ddpm)", "abs(spread(ddpm_few) / spread(ddpm) - 1) <= 0.1")

# %% [markdown] lang="en" role="mistake" name="no_tolerance"
# The spread with few steps must be the full one here. Among a few noises it varies by chance: 0.9 of it is enough.
# %% [markdown] lang="vi" of="a73a035d"
# Ở đây độ phân tán với ít bước phải đủ như khi nhiều bước. Với ít nhiễu thì nó dao động do ngẫu nhiên: 0.9 lần là đủ.
# %% role="wrong" name="no_tolerance"
patch("0.9 * spread(ddpm)", "spread(ddpm)")

# %% [markdown] lang="en" role="mistake" name="first_run_alone"
# DDIM's first run alone was compared. The distance is asked over all runs.
# %% [markdown] lang="vi" of="bba76353"
# Chỉ lần chạy đầu của DDIM được so. Khoảng cách được yêu cầu trên mọi lần chạy.
# %% role="wrong" name="first_run_alone"
patch("distance(ddim_few, ddim) <", "distance(ddim_few[0], ddim[0]) <")

# %% [markdown] lang="en" role="mistake" name="other_sampler"
# DDIM with few steps was compared with DDPM's pictures. Those are others from the same noise, however many steps are made:
# compare with DDIM with many.
# %% [markdown] lang="vi" of="c418eedf"
# DDIM với ít bước bị so với tranh của DDPM. Từ cùng nhiễu, tranh của DDPM vốn đã khác, bao nhiêu bước cũng vậy: hãy so với DDIM
# với nhiều bước.
# %% role="wrong" name="other_sampler"
patch("distance(ddim_few, ddim) < spread(ddim)", "distance(ddim_few, ddpm) < spread(ddpm)")

# %% [markdown] lang="en" role="mistake" name="tensors"
# The values are right, but they are tensors. `bool(...)` or `.item()` makes plain bools of them.
# %% [markdown] lang="vi" of="9489ebf5"
# Các giá trị đúng, nhưng chúng là tensor. `bool(...)` hoặc `.item()` biến chúng thành bool thường.
# %% role="wrong" name="tensors"
patch(".sqrt().item()", ".sqrt()")
patch("x.std(dim=1).mean().item()", "x.std(dim=1).mean()")

# %% [markdown] lang="en" role="mistake" name="centred_apart"
# The differences were reduced by their mean before they were squared (a standard deviation of the differences). A picture that
# is brighter everywhere would then be no other picture: take the mean of the plain squares.
# %% [markdown] lang="vi" of="fc47180e"
# Các hiệu bị trừ đi trung bình của chúng trước khi bình phương (độ lệch chuẩn của hiệu). Khi đó một bức sáng hơn ở mọi chỗ lại
# không phải bức khác: hãy lấy trung bình của chính các bình phương.
# %% role="wrong" name="centred_apart"
patch("(a - b).square().mean().sqrt()", "(a - b).std()")

# %% [markdown] lang="en" role="mistake" name="divided_by_s"
# The standard deviation was divided by S, as NumPy does it, not by S − 1, as `x.std(dim=1)` does. Among a few noises that is
# too small.
# %% [markdown] lang="vi" of="3623ff78"
# Độ lệch chuẩn bị chia cho S, như NumPy vẫn làm, chứ không phải S − 1, như `x.std(dim=1)`. Với ít nhiễu thì như thế là quá nhỏ.
# %% role="wrong" name="divided_by_s"
patch("x.std(dim=1)", "x.std(dim=1, correction=0)")

# %% [markdown] lang="en" role="mistake" name="distance_of_each"
# A distance was computed for each picture, and these were averaged. Take one root, of the mean over everything: one picture
# that is far off then counts for what it is.
# %% [markdown] lang="vi" of="31f10e1c"
# Khoảng cách bị tính cho từng bức rồi lấy trung bình. Hãy lấy một căn duy nhất, của trung bình trên tất cả: khi đó một bức lệch
# xa được tính đúng mức.
# %% role="wrong" name="distance_of_each"
patch("(a - b).square().mean().sqrt().item()", "(a - b).square().mean(-1).sqrt().mean().item()")

# %% [markdown] lang="en" role="mistake" name="runs_averaged"
# The runs were averaged before the spread was taken, and so what differs from run to run is lost. Take the standard deviation
# over the noises in each run, and average at the end.
# %% [markdown] lang="vi" of="e6c88545"
# Các lần chạy bị lấy trung bình trước khi tính độ phân tán, nên những gì khác nhau giữa các lần chạy mất đi. Hãy tính độ lệch
# chuẩn theo các nhiễu trong từng lần chạy, rồi mới lấy trung bình.
# %% role="wrong" name="runs_averaged"
patch("x.std(dim=1).mean()", "x.mean(dim=0).std(dim=0).mean()")

# %% [markdown] lang="en" role="mistake" name="spread_of_ddim"
# The distance of DDPM's two runs was compared with the spread of DDIM. Take DDPM's, with many steps.
# %% [markdown] lang="vi" of="fddeb8c9"
# Khoảng cách giữa hai lần chạy của DDPM bị so với độ phân tán của DDIM. Hãy lấy của DDPM, với nhiều bước.
# %% role="wrong" name="spread_of_ddim"
patch("distance(ddpm[0], ddpm[1]) > spread(ddpm)", "distance(ddpm[0], ddpm[1]) > spread(ddim)")

# %% [markdown] lang="en" role="mistake" name="against_its_own_many"
# DDIM with few steps was timed against DDIM with many: two runs of one sampler. The claim is about DDIM against DDPM.
# %% [markdown] lang="vi" of="7c621990"
# Thời gian của DDIM ít bước bị so với DDIM nhiều bước: hai lần chạy của cùng một bộ lấy mẫu. Nhận định nói về DDIM so với DDPM.
# %% role="wrong" name="against_its_own_many"
patch('seconds["ddpm", many] / many', 'seconds["ddim", many] / many')

# %% [markdown] lang="en" role="mistake" name="against_few_of_ddpm"
# DDIM was timed against DDPM with few steps. The claim takes DDPM as it is used, with many.
# %% [markdown] lang="vi" of="4cfb668a"
# Thời gian của DDIM bị so với DDPM ít bước. Nhận định lấy DDPM như cách nó được dùng, với nhiều bước.
# %% role="wrong" name="against_few_of_ddpm"
patch('seconds["ddpm", many] / many', 'seconds["ddpm", few] / few')

# %% [markdown] lang="en" role="mistake" name="ties_counted"
# Where both sides are equal, a claim was taken to hold. Below and above mean < and >; only "at least" means >=.
# %% [markdown] lang="vi" of="2bf004db"
# Khi hai vế bằng nhau, nhận định vẫn được coi là đúng. "Nhỏ hơn" và "lớn hơn" nghĩa là < và >; chỉ "ít nhất" mới là >=.
# %% role="wrong" name="ties_counted"
patch("distance(ddim_few, ddim) < spread", "distance(ddim_few, ddim) <= spread")
patch("distance(ddpm[0], ddpm[1]) > spread", "distance(ddpm[0], ddpm[1]) >= spread")
patch("a_step < 0.8 * usual", "a_step <= 0.8 * usual")

# %% role="library"
import numpy as np


def supported(results, seconds, few, many):
    """NumPy, with lengths of vectors for the distances and ratios for the comparisons."""
    x = {key: value.double().numpy() for key, value in results.items()}
    spread = {key: np.std(value, axis=1, ddof=1).mean() for key, value in x.items()}
    off = x["ddim", few] - x["ddim", many]
    apart = x["ddpm", many][0] - x["ddpm", many][1]
    return {
        "ddim_lands": bool(np.linalg.norm(off) / off.size**0.5 / spread["ddim", many] < 1),
        "ddpm_varies": bool(np.linalg.norm(apart) / apart.size**0.5 / spread["ddpm", many] > 1),
        "ddpm_keeps": bool(spread["ddpm", few] / spread["ddpm", many] >= 0.9),
        "ddim_cheaper": bool(seconds["ddim", few] * many / few / seconds["ddpm", many] < 0.8),
    }

# %% role="payoff"
def draw(supported: Callable) -> Tensor:
    found = supported(results, seconds, FEW, MANY)
    few, many = (pictures_of(results["ddpm", steps]) for steps in (FEW, MANY))
    pictures = [
        tiled([pictures_of(results["ddim", steps])[0] for steps in (FEW, MANY)]),
        tiled([many[0], many[1]]),                  # one noise a column, two runs
        tiled([few[0], many[0]]),
        bars(seconds["ddim", FEW] / FEW, seconds["ddpm", MANY] / MANY),
    ]
    names = ("ddim_lands", "ddpm_varies", "ddpm_keeps", "ddim_cheaper")
    return torch.stack([framed(picture, found[name]) for picture, name in
                        zip(pictures, names, strict=True)])         # (4, 3, 140, 140)


payoff(draw, supported)
