"""Exercise 13.2, keep_known: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## Put back what is known
#
# A sampler has just made a step, and x is at time $s$. In a part of the picture we know the answer, `picture`, and want it back
# there. But x at time $s$ is as noisy as $s$ says, and a clean piece in it is something that the network has never seen. So put
# back the picture noised to the same time (Lugmayr et al. 2022, eq. 8), with the noise `eps`:
#
# $$x_s \leftarrow \begin{cases} \alpha_s\,\text{picture} + \sigma_s\,\text{eps} & \text{where known} \\
# x_s & \text{elsewhere} \end{cases}$$
#
# At the end, $s = 0$, $\sigma_s$ is 0, so that the clean picture itself is put back. `known` is True where the picture stays;
# it is (h, w) for all pictures, or (B, 1, h, w) with one for each. Change nothing in place. The last cell keeps the left half
# of a scene and lets `world-dit` draw the right half: you see x at two times on the way, and at the end.
# %% [markdown] lang="vi" of="79801b40"
# ## Đặt lại phần đã biết
#
# Bộ lấy mẫu vừa đi một bước, và x đang ở thời điểm $s$. Ở một phần của bức tranh ta đã biết đáp án, `picture`, và muốn nó trở
# lại đó. Nhưng x tại thời điểm $s$ nhiễu đúng mức mà $s$ cho biết, và một mảnh sạch nằm trong đó là thứ mà mạng chưa từng thấy.
# Vì thế hãy đặt lại bức tranh đã được thêm nhiễu đến đúng thời điểm ấy (Lugmayr và cộng sự 2022, công thức 8), với nhiễu `eps`:
#
# $$x_s \leftarrow \begin{cases} \alpha_s\,\text{picture} + \sigma_s\,\text{eps} & \text{nơi đã biết} \\
# x_s & \text{nơi khác} \end{cases}$$
#
# Ở cuối, $s = 0$, $\sigma_s$ bằng 0, nên chính bức tranh sạch được đặt lại. `known` là True ở nơi bức tranh được giữ; nó có
# kích thước (h, w), dùng chung cho mọi bức, hoặc (B, 1, h, w), mỗi bức một cái. Đừng thay đổi gì tại chỗ. Ô cuối cùng giữ nửa
# trái của một cảnh và để `world-dit` vẽ nửa phải: bạn thấy x tại hai thời điểm trên đường đi, và ở cuối.

# %% [markdown] lang="en" role="hints"
# Two things are needed at each place: the picture as it would be at time s, and a choice between it and x.
# ---
# `schedule.mix(data, noise, s)` noises to a time. `torch.where(condition, a, b)` takes a where the condition is True, and
# broadcasts (h, w) and (B, 1, h, w) alike.
# ---
# The data is `picture` and the noise is `eps`. Give `torch.where` three things: `known`, the noised picture, and x.
# %% [markdown] lang="vi" of="21466799"
# Tại mỗi vị trí cần hai thứ: bức tranh như nó phải có tại thời điểm s, và một lựa chọn giữa nó và x.
# ---
# `schedule.mix(data, noise, s)` thêm nhiễu đến một thời điểm. `torch.where(condition, a, b)` lấy a ở nơi điều kiện là True, và
# tự mở rộng cả (h, w) lẫn (B, 1, h, w).
# ---
# Dữ liệu là `picture`, nhiễu là `eps`. Hãy đưa cho `torch.where` ba thứ: `known`, bức tranh đã thêm nhiễu, và x.

# %% [markdown] lang="en" role="stub"
# x, picture, eps: (B, C, h, w); known: (h, w) or (B, 1, h, w) bool, True where the
# picture stays; s: () time that the step just made has reached. Returns x at time s,
# (B, C, h, w), in which what is known is the picture, noised to s.
# ---
# 1. the picture, noised with eps to time s                  # (B, C, h, w)
# 2. that where it is known, and x elsewhere                 # (B, C, h, w)
# %% [markdown] lang="vi" of="6f8905a8"
# x, picture, eps: (B, C, h, w); known: (h, w) hoặc (B, 1, h, w) bool, True ở nơi
# giữ bức tranh; s: () thời điểm mà bước vừa đi đạt đến. Trả về x tại thời điểm s,
# (B, C, h, w), trong đó phần đã biết là bức tranh, được thêm nhiễu đến s.
# ---
# 1. bức tranh, được thêm nhiễu eps đến thời điểm s           # (B, C, h, w)
# 2. lấy nó ở nơi đã biết, và x ở nơi khác                    # (B, C, h, w)

# %% role="solution"
def keep_known(
    x: Tensor, picture: Tensor, known: Tensor, eps: Tensor, s: Tensor,
    schedule: NoiseSchedule,
) -> Tensor:
    noised = schedule.mix(picture, eps, s)                      # (B, C, h, w)
    return torch.where(known, noised, x)

# %% [markdown] lang="en" role="checks"
# - shape and dtype, float32 and float64
# - at time 0.4, one mask for two pictures
# - a mask for each picture
# - at time 0 the clean picture comes back
# - late and early times, with the schedule of Stable Diffusion
# - everything is known, and nothing is
# - one picture, three times one after another with the same eps
# - the flow schedule, where alpha² + sigma² isn't 1
# %% [markdown] lang="vi" of="97b25c5f"
# - kích thước và kiểu số, float32 và float64
# - tại thời điểm 0.4, một mặt nạ cho hai bức
# - mỗi bức một mặt nạ
# - tại thời điểm 0 bức tranh sạch trở lại
# - thời điểm muộn và sớm, với lịch nhiễu của Stable Diffusion
# - biết tất cả, và không biết gì
# - một bức, ba thời điểm liên tiếp với cùng một eps
# - lịch nhiễu flow, nơi alpha² + sigma² không bằng 1

# %% role="probes"
import torch

from minidiff.diffusion.schedules import get_schedule

COSINE, TABLE, FLOW = (get_schedule(name) for name in ("cosine", "scaled_linear", "flow"))


def number(value):
    """A time as the library passes it: () float64."""
    return torch.tensor(value, dtype=torch.float64)


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shapes_and_dtypes(f, x, picture, known, eps, s):
    found = []
    for kind in (torch.float32, torch.float64):
        made = f(x.to(kind), picture.to(kind), known, eps.to(kind), s, COSINE)
        found.append([list(made.shape), str(made.dtype)])
    return found


def kept(f, x, picture, known, eps, s):
    return f(x, picture, known, eps, s, COSINE)


def kept_by_table(f, x, picture, known, eps, late, early):
    return [f(x, picture, known, eps, s, TABLE) for s in (late, early)]


def kept_by_flow(f, x, picture, known, eps, s):
    return f(x, picture, known, eps, s, FLOW)


def both_ends(f, x, picture, known, eps, s):
    return [f(x, picture, mask, eps, s, COSINE) for mask in (torch.ones_like(known), torch.zeros_like(known))]


def thrice(f, x, picture, known, eps):
    found = []
    for s in (0.75, 0.5, 0.0):
        x = f(0.9 * x, picture, known, eps, number(s), COSINE)
        found.append(x)
    return found


TWO = {name: normal(2, 3, 4, 5, seed=seed) for seed, name in enumerate(("x", "picture", "eps"), start=1)}
ONE = {name: normal(1, 2, 5, 3, seed=seed) for seed, name in enumerate(("x", "picture", "eps"), start=5)}
ROWS = {name: value.transpose(0, 1)[:2] for name, value in TWO.items()}     # (2, 2, 4, 5), in another order in memory
MASK = torch.tensor([[1, 0, 0, 1, 1], [1, 1, 0, 0, 1], [0, 0, 0, 1, 1], [0, 1, 0, 0, 0]], dtype=torch.bool)     # (4, 5)
EACH = torch.stack([MASK, MASK.flip(0) | MASK])[:, None]                    # (2, 1, 4, 5)

probe(shapes_and_dtypes, **TWO, known=MASK, s=number(0.4))
probe(kept, points=2, **TWO, known=MASK, s=number(0.4))
probe(kept, **ROWS, known=EACH, s=number(0.7))
probe(kept, **TWO, known=MASK, s=number(0.0))
probe(kept_by_table, **TWO, known=MASK, late=number(0.1), early=number(0.95))
probe(both_ends, **TWO, known=MASK, s=number(0.3))
probe(thrice, **ONE, known=MASK.T[:, :3])
probe(kept_by_flow, **TWO, known=MASK, s=number(0.6))

# %% [markdown] lang="en" role="mistake" name="clean_pasted"
# The clean picture is put back at every step. At time s the rest of x is noisy, and the network takes the clean piece for
# something else: what it draws may not grow into it, and a seam may stay. Noise the picture to time s first.
# %% [markdown] lang="vi" of="10ba18bf"
# Bước nào cũng đặt lại bức tranh sạch. Tại thời điểm s phần còn lại của x đang nhiễu, và mạng hiểu nhầm mảnh sạch thành thứ
# khác: phần vẽ mới có thể không hòa vào được và để lại đường ráp. Hãy thêm nhiễu vào bức tranh đến thời điểm s trước.
# %% role="wrong" name="clean_pasted"
patch("schedule.mix(picture, eps, s)  ", "picture  ")

# %% [markdown] lang="en" role="mistake" name="hole_for_known"
# It is the other way round: the picture comes back where it is *not* known, and what should stay is drawn anew. `known` is True
# where the picture stays.
# %% [markdown] lang="vi" of="d1264650"
# Bị ngược rồi: bức tranh trở lại ở nơi *chưa* biết, còn phần phải giữ lại bị vẽ mới. `known` là True ở nơi bức tranh được giữ.
# %% role="wrong" name="hole_for_known"
patch("torch.where(known, noised, x)", "torch.where(known, x, noised)")

# %% [markdown] lang="en" role="mistake" name="fresh_noise"
# Fresh noise is drawn in every call and `eps` isn't used. What is known then flickers from step to step while the rest goes on
# from its old noise. Use the given `eps`, always the same.
# %% [markdown] lang="vi" of="00f9fdd2"
# Lần gọi nào cũng sinh nhiễu mới, còn `eps` không được dùng. Khi đó phần đã biết chập chờn từ bước này sang bước khác, trong
# khi phần còn lại đi tiếp từ nhiễu cũ. Hãy dùng `eps` đã cho, lúc nào cũng là nó.
# %% role="wrong" name="fresh_noise"
patch("schedule.mix(picture, eps, s)", "schedule.mix(picture, torch.randn_like(eps), s)")

# %% [markdown] lang="en" role="mistake" name="data_and_noise_swapped"
# Picture and noise are swapped in `mix`: at time 0 pure noise is put back. The data comes first, then the noise.
# %% [markdown] lang="vi" of="931a823a"
# Bức tranh và nhiễu bị đổi chỗ trong `mix`: tại thời điểm 0 thứ được đặt lại là nhiễu thuần. Dữ liệu đứng trước, rồi mới đến
# nhiễu.
# %% role="wrong" name="data_and_noise_swapped"
patch("schedule.mix(picture, eps, s)", "schedule.mix(eps, picture, s)")

# %% [markdown] lang="en" role="mistake" name="picture_whole"
# The noise is added to the whole picture. At time s only alpha_s of the picture is left, so that the variance stays 1; multiply
# it, or use `schedule.mix`.
# %% [markdown] lang="vi" of="e4c34372"
# Nhiễu được cộng vào nguyên cả bức tranh. Tại thời điểm s chỉ còn alpha_s phần bức tranh, để phương sai vẫn bằng 1; hãy nhân
# vào, hoặc dùng `schedule.mix`.
# %% role="wrong" name="picture_whole"
patch("schedule.mix(picture, eps, s)", "picture + schedule.sigma(s) * eps")

# %% [markdown] lang="en" role="mistake" name="no_noise"
# The picture is multiplied by alpha_s, but the noise is missing: what is known is faint and smooth, while the rest of x is
# noisy. Add sigma_s of `eps`.
# %% [markdown] lang="vi" of="b7e063d1"
# Bức tranh được nhân với alpha_s nhưng lại thiếu nhiễu: phần đã biết mờ nhạt và mịn, trong khi phần còn lại của x đầy nhiễu.
# Hãy cộng thêm sigma_s lần `eps`.
# %% role="wrong" name="no_noise"
patch("schedule.mix(picture, eps, s)", "schedule.alpha(s) * picture")

# %% [markdown] lang="en" role="mistake" name="all_the_noise"
# The noise comes in whole, not sigma_s of it, so that even the last step leaves noise in what is known.
# %% [markdown] lang="vi" of="eecf87db"
# Nhiễu được cộng vào nguyên vẹn chứ không phải sigma_s lần, nên ngay cả bước cuối cùng vẫn để lại nhiễu trong phần đã biết.
# %% role="wrong" name="all_the_noise"
patch("schedule.mix(picture, eps, s)", "schedule.alpha(s) * picture + eps")

# %% [markdown] lang="en" role="mistake" name="time_for_shares"
# The time itself was taken for the shares: 1 - s of the picture and s of the noise. That is the flow schedule alone. Each
# schedule has its own alpha and sigma: use `schedule.mix`.
# %% [markdown] lang="vi" of="2bc80319"
# Chính thời điểm bị dùng làm tỉ lệ: 1 - s phần tranh và s phần nhiễu. Chỉ lịch nhiễu flow mới như thế. Mỗi lịch nhiễu có alpha
# và sigma riêng: hãy dùng `schedule.mix`.
# %% role="wrong" name="time_for_shares"
patch("schedule.mix(picture, eps, s)", "(1 - s) * picture + s * eps")

# %% [markdown] lang="en" role="mistake" name="variance_of_one"
# The noise's share was worked out from alpha, so that the squares of both sum to 1. That holds for the schedules of DDPM and
# for cosine, but not for flow: ask the schedule for sigma, or use `schedule.mix`.
# %% [markdown] lang="vi" of="f41b84b3"
# Tỉ lệ nhiễu được tính từ alpha, sao cho tổng bình phương của hai tỉ lệ bằng 1. Điều đó đúng với các lịch nhiễu của DDPM và với
# cosine, nhưng không đúng với flow: hãy lấy sigma từ lịch nhiễu, hoặc dùng `schedule.mix`.
# %% role="wrong" name="variance_of_one"
patch("schedule.mix(picture, eps, s)", "schedule.alpha(s) * picture + (1 - schedule.alpha(s) ** 2).sqrt() * eps")

# %% [markdown] lang="en" role="mistake" name="roots_of_alpha"
# `schedule.alpha` was taken for the papers' alpha_bar, and its square root was used. But it is that root already: alpha
# multiplies the picture and sigma the noise, as they are.
# %% [markdown] lang="vi" of="6534220b"
# `schedule.alpha` bị hiểu là alpha_bar của các bài báo nên đã bị lấy căn. Nhưng nó chính là căn ấy rồi: alpha nhân thẳng với
# bức tranh, sigma nhân thẳng với nhiễu.
# %% role="wrong" name="roots_of_alpha"
patch("schedule.mix(picture, eps, s)", "schedule.alpha(s).sqrt() * picture + (1 - schedule.alpha(s)).sqrt() * eps")

# %% [markdown] lang="en" role="mistake" name="x_noised"
# x itself was noised where it is known, and `picture` isn't used: nothing of the picture ever comes back.
# %% [markdown] lang="vi" of="7a36f83c"
# Chính x bị thêm nhiễu ở nơi đã biết, còn `picture` không được dùng: không chút gì của bức tranh trở lại.
# %% role="wrong" name="x_noised"
patch("schedule.mix(picture, eps, s)", "schedule.mix(x, eps, s)")

# %% [markdown] lang="en" role="mistake" name="noised_everywhere"
# First the picture was put in, then everything was noised, x too. But x is at time s already: it must stay as it is outside of
# what is known.
# %% [markdown] lang="vi" of="2403f43b"
# Bức tranh được đặt vào trước, rồi tất cả bị thêm nhiễu, kể cả x. Nhưng x đã ở thời điểm s: ngoài phần đã biết, nó phải giữ
# nguyên.
# %% role="wrong" name="noised_everywhere"
patch("noised = schedule.mix(picture, eps, s)", "pasted = torch.where(known, picture, x)")
patch("torch.where(known, noised, x)", "schedule.mix(pasted, eps, s)")

# %% [markdown] lang="en" role="mistake" name="only_at_the_end"
# The picture is put back at time 0 alone, and before that x goes its own way: what is drawn knows nothing of what it should fit
# into. Put it back after each step.
# %% [markdown] lang="vi" of="71611419"
# Bức tranh chỉ được đặt lại ở thời điểm 0, còn trước đó x đi đường riêng: phần vẽ mới không biết gì về thứ mà nó phải ăn khớp.
# Hãy đặt lại sau mỗi bước.
# %% role="wrong" name="only_at_the_end"
patch("torch.where(known, noised, x)", "torch.where(known & (s == 0), noised, x)")

# %% [markdown] lang="en" role="mistake" name="not_at_the_end"
# At time 0 x is returned as it is, so that what is known ends as the model has drawn it. Time 0 is no exception: the picture
# noised to 0 is the clean one, and it is put back there too.
# %% [markdown] lang="vi" of="137f7e82"
# Tại thời điểm 0 hàm trả về x nguyên như cũ, nên phần đã biết rốt cuộc là thứ mô hình vẽ ra. Thời điểm 0 không phải ngoại lệ:
# bức tranh được thêm nhiễu đến 0 chính là bức sạch, và ở đó cũng phải đặt lại nó.
# %% role="wrong" name="not_at_the_end"
patch("torch.where(known, noised, x)", "torch.where(known & (s > 0), noised, x)")

# %% [markdown] lang="en" role="mistake" name="whole_at_the_end"
# At time 0 the whole picture comes back, and everything that was drawn is lost. There too it belongs only where `known` is
# True.
# %% [markdown] lang="vi" of="18abc75e"
# Tại thời điểm 0 cả bức tranh được đặt lại, và mọi thứ đã vẽ đều mất. Ở đó cũng vậy, chỉ đặt lại nơi `known` là True.
# %% role="wrong" name="whole_at_the_end"
patch("torch.where(known, noised, x)", "torch.where(known | (s == 0), noised, x)")

# %% [markdown] lang="en" role="mistake" name="known_ignored"
# The whole picture comes back, noised; `known` and x aren't used, so nothing new is ever drawn.
# %% [markdown] lang="vi" of="8a22ae43"
# Cả bức tranh được đặt lại, đã thêm nhiễu; `known` và x không được dùng, nên chẳng có gì mới được vẽ.
# %% role="wrong" name="known_ignored"
patch("torch.where(known, noised, x)", "noised")

# %% [markdown] lang="en" role="mistake" name="zero_elsewhere"
# Where nothing is known there is 0 in place of x: all that the step has drawn is gone.
# %% [markdown] lang="vi" of="98e43d71"
# Ở nơi chưa biết lại là số 0 thay cho x: mọi thứ mà bước vừa vẽ đều mất.
# %% role="wrong" name="zero_elsewhere"
patch("torch.where(known, noised, x)", "known * noised")

# %% [markdown] lang="en" role="mistake" name="x_everywhere"
# The picture was added to x in place of replacing it: where it is known, x must go.
# %% [markdown] lang="vi" of="7c5115b7"
# Bức tranh được cộng thêm vào x chứ không thay cho nó: ở nơi đã biết, x phải nhường chỗ.
# %% role="wrong" name="x_everywhere"
patch("torch.where(known, noised, x)", "known * noised + x")

# %% [markdown] lang="en" role="mistake" name="one_mask_alone"
# It works for a mask (h, w) that all pictures share, but not for one of each picture, (B, 1, h, w). `torch.where` broadcasts
# both.
# %% [markdown] lang="vi" of="95a5d76b"
# Hàm chạy được với mặt nạ (h, w) dùng chung, nhưng không chạy được khi mỗi bức một mặt nạ, (B, 1, h, w). `torch.where` tự mở
# rộng cả hai.
# %% role="wrong" name="one_mask_alone"
def keep_known(x, picture, known, eps, s, schedule):
    kept = x.clone()
    kept[:, :, known] = schedule.mix(picture, eps, s)[:, :, known]
    return kept

# %% [markdown] lang="en" role="mistake" name="first_mask_for_all"
# The mask of the first picture is used for all of them. A `known` of (B, 1, h, w) holds one for each picture, and `torch.where`
# takes it as it is.
# %% [markdown] lang="vi" of="7c8e0df4"
# Mặt nạ của bức đầu tiên bị dùng cho mọi bức. `known` (B, 1, h, w) chứa mỗi bức một mặt nạ, và `torch.where` nhận nó nguyên
# như vậy.
# %% role="wrong" name="first_mask_for_all"
patch("torch.where(known, noised, x)", "torch.where(known.reshape(-1, *x.shape[-2:])[0], noised, x)")

# %% [markdown] lang="en" role="mistake" name="dtype_of_time"
# float32 pictures came back as float64. The time is float64, and once it has a dimension of its own, it makes the whole result
# float64; `schedule.mix` takes care of that.
# %% [markdown] lang="vi" of="66d36e19"
# Ảnh float32 trả về lại thành float64. Thời điểm là float64, và khi có chiều riêng nó kéo cả kết quả theo; `schedule.mix` đã lo
# việc đó.
# %% role="wrong" name="dtype_of_time"
patch("schedule.mix(picture, eps, s)",
      "schedule.alpha(s).view(1, 1, 1, 1) * picture + schedule.sigma(s).view(1, 1, 1, 1) * eps")

# %% [markdown] lang="en" role="mistake" name="never_quite_clean"
# At time 0 a little noise is still left in what is known, as if the last time were above 0. There the clean picture itself
# must come back.
# %% [markdown] lang="vi" of="3d7d3bcc"
# Tại thời điểm 0 phần đã biết vẫn còn chút nhiễu, như thể thời điểm cuối lớn hơn 0. Ở đó chính bức tranh sạch phải trở lại.
# %% role="wrong" name="never_quite_clean"
patch("schedule.mix(picture, eps, s)", "schedule.mix(picture, eps, s.clamp(min=0.02))")

# %% role="library"
import torch

from minidiff.diffusion.samplers import State
from minidiff.pipelines.inpaint import around_known
from minidiff.pretrained.scheduler_config import SchedulerConfig
from minidiff.diffusion.timesteps import uniform


def keep_known(x, picture, known, eps, s, schedule):
    """One step of the library's route, whose sampler always answers x."""
    config = SchedulerConfig(schedule, "v", "ddim", uniform)
    times = torch.tensor([1.0, float(s), 0.0] if s > 0 else [1.0, 0.0], dtype=torch.float64)
    route = around_known(picture, known, config, made=len(times) - 1)

    def go(_, times):
        yield State(0, 1, 1.0, float(times[1]), x, x)

    return next(route(go, lambda _: eps, times)).x

# %% role="payoff"
@torch.inference_mode()
def draw(keep_known: Callable) -> Tensor:
    left = torch.arange(16) < 8                                 # (16,) of each row
    known = left.expand(16, 16)                                 # (16, 16)
    sentence = ["a red star to the left of a yellow house at night"]
    model, x, seen = pipe.denoiser(sentence, [""], 3.0), noise, []
    for t, s in pairwise(times):
        x = step(schedule, *model(x, t), t, s)
        x = keep_known(x, beside, known, noise, s, schedule)
        seen.append(x)
    return pipe.pixels(torch.cat([seen[5], seen[8], x]))        # (3, 3, 128, 128)


payoff(draw, keep_known)
