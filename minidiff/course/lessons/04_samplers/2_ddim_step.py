"""Exercise 04.2, ddim_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="20"
# ## The step, with eta
#
# Write the step with $\eta$:
#
# $$r=\frac{\sigma_s\,\alpha_t}{\alpha_s\,\sigma_t}\qquad c=\eta\sqrt{1-r^2}\qquad
# x_s=\alpha_s x_0+\sigma_s\left(\sqrt{1-c^2}\,\epsilon+c\,z\right)$$
#
# The noise $z$ is `noise`, which may be `None` when $\eta$ is 0. $\eta$ is between 0 and 1. The step may begin in pure noise
# ($t=1$, $\alpha_t=0$) and end in clean data ($s=0$, $\sigma_s=0$).
# %% [markdown] lang="vi" of="086d7c2f"
# ## Một bước, có eta
#
# Viết bước có $\eta$:
#
# $$r=\frac{\sigma_s\,\alpha_t}{\alpha_s\,\sigma_t}\qquad c=\eta\sqrt{1-r^2}\qquad
# x_s=\alpha_s x_0+\sigma_s\left(\sqrt{1-c^2}\,\epsilon+c\,z\right)$$
#
# Nhiễu $z$ là `noise`, có thể là `None` khi $\eta$ bằng 0. $\eta$ nằm giữa 0 và 1. Bước có thể bắt đầu từ nhiễu thuần ($t=1$,
# $\alpha_t=0$) và kết thúc ở dữ liệu sạch ($s=0$, $\sigma_s=0$).

# %% [markdown] lang="en" role="hints"
# With eta = 0 only $\alpha_s x_0+\sigma_s\epsilon$ is left. Write that first, and see which checks pass.
# ---
# `schedule.alpha(t)` is $\alpha_t$, the root of the papers' $\bar\alpha_t$: no further root. r compares s (above) with t
# (below).
# ---
# c has eta in it, and the same c appears twice: as `(1 - c**2).sqrt()` before eps and as `c` before the noise, both times with
# $\sigma_s$. Add the noise only if eta is above 0.
# %% [markdown] lang="vi" of="51eb08d0"
# Với eta = 0 chỉ còn $\alpha_s x_0+\sigma_s\epsilon$. Viết phần đó trước, xem những kiểm tra nào đã qua.
# ---
# `schedule.alpha(t)` là $\alpha_t$, tức căn của $\bar\alpha_t$ trong các bài báo: không lấy căn nữa. r so s (tử) với t (mẫu).
# ---
# Trong c có eta, và cùng một c xuất hiện hai lần: `(1 - c**2).sqrt()` trước eps và `c` trước nhiễu, cả hai đều nhân $\sigma_s$.
# Chỉ cộng nhiễu khi eta lớn hơn 0.

# %% [markdown] lang="en" role="stub"
# x at time s < t. x0, eps, noise: (B, ...); t, s: (); returns (B, ...).
# eta: from 0 to 1. noise: standard normal, may be None when eta is 0.
# ---
# 1. alpha and sigma at t and at s, each ()
# 2. r, below 1, and the share c of fresh noise
# 3. mix x0 and eps in the proportions of s; eps keeps sqrt(1 - c^2)
# 4. add the fresh noise, if eta is above 0
# %% [markdown] lang="vi" of="2c54fa2d"
# x tại thời điểm s < t. x0, eps, noise: (B, ...); t, s: (); trả về (B, ...).
# eta: từ 0 đến 1. noise: phân phối chuẩn tắc, có thể là None khi eta bằng 0.
# ---
# 1. alpha và sigma tại t và tại s, mỗi thứ ()
# 2. r, nhỏ hơn 1, và phần nhiễu mới c
# 3. trộn x0 và eps theo tỉ lệ của s; eps giữ lại sqrt(1 - c^2)
# 4. cộng nhiễu mới, nếu eta lớn hơn 0

# %% role="solution"
def ddim_step(
    schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor,
    eta: float = 0.0, noise: Tensor | None = None,
) -> Tensor:
    alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)     # each ()
    alpha_s, sigma_s = schedule.alpha(s), schedule.sigma(s)     # each ()
    r = sigma_s * alpha_t / (alpha_s * sigma_t)
    c = eta * (1 - r**2).sqrt()
    x = alpha_s * x0 + sigma_s * (1 - c**2).sqrt() * eps        # (B, ...)
    return x if eta == 0 else x + sigma_s * c * noise

# %% [markdown] lang="en" role="checks"
# - shape
# - float32 pictures stay float32
# - eta 0
# - eta 0.5
# - eta 1, with the schedule of Stable Diffusion
# - without new noise for eta 0: the same x0 and eps give the same x_s
# - variance kept for eta 0, 0.3 and 1
# - noise None, with eta 0
# - from pure noise (t = 1) to 64 earlier times, the last of them clean data (s = 0)
# %% [markdown] lang="vi" of="ee708b00"
# - kích thước
# - ảnh float32 vẫn là float32
# - eta bằng 0
# - eta bằng 0.5
# - eta bằng 1, với lịch nhiễu của Stable Diffusion
# - không thêm nhiễu khi eta bằng 0: cùng x0 và eps thì cùng x_s
# - giữ nguyên phương sai khi eta bằng 0, 0.3 và 1
# - noise là None, với eta bằng 0
# - từ nhiễu thuần (t = 1) đến 64 thời điểm sớm hơn, cuối cùng là dữ liệu sạch (s = 0)

# %% role="probes"
import torch

from minidiff.diffusion.schedules import get_schedule

COSINE, TABLE = get_schedule("cosine"), get_schedule("scaled_linear")


def number(value):
    """A time as the library passes it: () float64."""
    return torch.tensor(value, dtype=torch.float64)


def normal(seed, *shape):
    """Standard normal noise that is the same in every call, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stepped(eta, schedule=COSINE):
    """One step with this eta."""
    return lambda f, x0, eps, noise, t, s: f(schedule, x0, eps, t, s, eta, noise)


PICTURES = {name: normal(seed, 2, 3, 4, 4) for seed, name in enumerate(("x0", "eps", "noise"), start=1)}
FLOATS = {name: picture.float() for name, picture in PICTURES.items()}
TIMES = {"t": number(0.8), "s": number(0.5)}


def other_noise(f, x0, eps, t, s, first, second):
    """How far two steps with eta 0 and different noise are apart."""
    return f(COSINE, x0, eps, t, s, 0.0, first) - f(COSINE, x0, eps, t, s, 0.0, second)


def variance(f, one, zero, t, s):
    """Variance of x_s for x0, eps and noise that are independent with variance 1: how much of each is in x_s is read off by
    giving one of them at a time."""
    found = []
    for eta in (0.0, 0.3, 1.0):
        weights = [f(COSINE, one, zero, t, s, eta, zero), f(COSINE, zero, one, t, s, eta, zero),
                   f(COSINE, zero, zero, t, s, eta, one)]  # fmt: skip
        found.append(float(sum(w**2 for w in weights)))
    return found


def from_noise(f, x0, eps, noise, t, earlier):
    """The mean of all the steps' ends, for eta 0 and 1. So many times, since rounding differs from one to the next."""
    ends = [torch.stack([f(COSINE, x0, eps, t, s, eta, noise) for s in earlier]) for eta in (0.0, 1.0)]  # each (64, B, ...)
    return [of_eta.mean(0) for of_eta in ends]


probe(lambda f, **given: list(stepped(0.5)(f, **given).shape), **PICTURES, **TIMES)
probe(lambda f, **given: str(stepped(0.5)(f, **given).dtype), **FLOATS, **TIMES)
probe(stepped(0.0), points=2, **PICTURES, **TIMES)
probe(stepped(0.5), points=2, **PICTURES, **TIMES)
probe(stepped(1.0, TABLE), **PICTURES, t=number(0.9), s=number(0.6))
probe(other_noise, x0=PICTURES["x0"], eps=PICTURES["eps"], first=normal(3, 2, 3, 4, 4), second=normal(4, 2, 3, 4, 4), **TIMES)
probe(variance, one=torch.ones(1, dtype=torch.float64), zero=torch.zeros(1, dtype=torch.float64), t=number(0.7), s=number(0.4))
probe(stepped(0.0), x0=PICTURES["x0"], eps=PICTURES["eps"], noise=None, **TIMES)
probe(from_noise, **PICTURES, t=number(1.0), earlier=torch.arange(63, -1, -1, dtype=torch.float64) / 64)

# %% [markdown] lang="en" role="mistake" name="keeps_all_eps"
# Fresh noise is added on top of all the old noise, so x_s has more noise than sigma_s allows. When c noise comes in, only
# sqrt(1 - c^2) of eps may stay: look at what multiplies eps.
# %% [markdown] lang="vi" of="f8e91570"
# Nhiễu mới được cộng thêm trong khi nhiễu cũ vẫn giữ nguyên, nên x_s có nhiều nhiễu hơn mức sigma_s cho phép. Khi thêm c phần
# nhiễu mới, chỉ được giữ sqrt(1 - c^2) phần eps: xem lại hệ số của eps.
# %% role="wrong" name="keeps_all_eps"
patch("sigma_s * (1 - c**2).sqrt() * eps", "sigma_s * eps")

# %% [markdown] lang="en" role="mistake" name="eta_outside"
# eta scales the fresh noise, but the share that eps keeps was worked out as if eta were 1: variance is lost, and with eta 0
# this is not DDIM. The same c, with eta in it, belongs in both places.
# %% [markdown] lang="vi" of="798fc75f"
# eta nhân vào nhiễu mới, nhưng phần eps giữ lại vẫn tính như khi eta bằng 1: phương sai bị hụt, và với eta bằng 0 thì đây không
# phải DDIM. Cả hai chỗ phải dùng cùng một c, trong đó có eta.
# %% role="wrong" name="eta_outside"
patch("c = eta * (1 - r**2).sqrt()", "c = (1 - r**2).sqrt()")
patch("return x if eta == 0 else x + sigma_s * c * noise", "return x + eta * sigma_s * c * noise")

# %% [markdown] lang="en" role="mistake" name="mean_of_ddpm"
# eps is kept with weight r, as in DDPM's mean, which is right for eta 1 alone. The less fresh noise comes in, the more of eps
# has to stay: make both weights from the same c, with eta in it.
# %% [markdown] lang="vi" of="6ef37a54"
# eps được giữ lại với hệ số r, như trong trung bình của DDPM, vốn chỉ đúng khi eta bằng 1. Nhiễu mới thêm vào càng ít thì eps
# phải giữ lại càng nhiều: hãy tính cả hai hệ số từ cùng một c, trong đó có eta.
# %% role="wrong" name="mean_of_ddpm"
patch("c = eta * (1 - r**2).sqrt()", "c = (1 - r**2).sqrt()")
patch("x + sigma_s * c * noise", "x + eta * sigma_s * c * noise")

# %% [markdown] lang="en" role="mistake" name="eta_as_a_switch"
# eta decides only whether fresh noise comes in, not how much: 0.5 gives the same as 1, and with eta 0 eps still gives up a part
# for noise that never comes. c must have eta in it.
# %% [markdown] lang="vi" of="f74969ee"
# eta chỉ quyết định có thêm nhiễu mới hay không chứ không quyết định bao nhiêu: 0.5 cho kết quả như 1, và khi eta bằng 0 thì
# eps vẫn bị bớt đi để nhường chỗ cho nhiễu không hề được thêm. Trong c phải có eta.
# %% role="wrong" name="eta_as_a_switch"
patch("c = eta * (1 - r**2).sqrt()", "c = (1 - r**2).sqrt()")

# %% [markdown] lang="en" role="mistake" name="noise_always"
# The noise does not depend on eta: the step is the ancestral one even with eta 0, where the same start should always give the
# same picture. Look at c: where is eta in it?
# %% [markdown] lang="vi" of="cd9f9de8"
# Lượng nhiễu không phụ thuộc eta: ngay cả khi eta bằng 0 đây vẫn là bước tổ tiên, trong khi lẽ ra cùng điểm xuất phát phải cho
# cùng bức ảnh. Xem lại c: eta nằm ở đâu?
# %% role="wrong" name="noise_always"
patch("c = eta * (1 - r**2).sqrt()", "c = (1 - r**2).sqrt()")
patch("x if eta == 0 else x + sigma_s * c * noise", "x + sigma_s * c * (torch.randn_like(x0) if noise is None else noise)")

# %% [markdown] lang="en" role="mistake" name="alpha_bar"
# You took schedule.alpha for the alpha_bar of the papers, and its square root. But alpha_bar = alpha^2: here alpha and sigma
# multiply x0 and eps as they are, without a root.
# %% [markdown] lang="vi" of="4ff0380e"
# schedule.alpha bị hiểu là alpha_bar trong các bài báo nên đã bị lấy căn. alpha_bar = alpha^2: ở đây alpha và sigma nhân thẳng
# với x0 và eps, không lấy căn.
# %% role="wrong" name="alpha_bar"
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    alpha_bar_t, alpha_bar_s = schedule.alpha(t), schedule.alpha(s)
    std = eta * ((1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)).sqrt()
    x = alpha_bar_s.sqrt() * x0 + (1 - alpha_bar_s - std**2).sqrt() * eps
    return x if eta == 0 else x + std * noise

# %% [markdown] lang="en" role="mistake" name="stays_at_t"
# x0 and eps are mixed with alpha and sigma of time t: that is where we come from, so nothing becomes cleaner. The step ends at
# s.
# %% [markdown] lang="vi" of="918fae61"
# x0 và eps được trộn bằng alpha và sigma tại thời điểm t: đó là nơi xuất phát, nên ảnh không sạch hơn chút nào. Bước này kết
# thúc tại s.
# %% role="wrong" name="stays_at_t"
patch("x = alpha_s * x0 + sigma_s * (1 - c**2)", "x = alpha_t * x0 + sigma_t * (1 - c**2)")
patch("x + sigma_s * c", "x + sigma_t * c")

# %% [markdown] lang="en" role="mistake" name="ratio_over"
# r is above 1, so 1 - r^2 is negative and its root is nan: times t and s are swapped in r. There is less noise at s; r must be
# (sigma_s / alpha_s) over (sigma_t / alpha_t).
# %% [markdown] lang="vi" of="379e8fe2"
# r lớn hơn 1 nên 1 - r^2 âm và căn của nó là nan: t và s trong r bị đổi chỗ. Tại s ít nhiễu hơn; r phải là (sigma_s / alpha_s)
# chia cho (sigma_t / alpha_t).
# %% role="wrong" name="ratio_over"
patch("sigma_s * alpha_t / (alpha_s * sigma_t)", "sigma_t * alpha_s / (alpha_t * sigma_s)")

# %% [markdown] lang="en" role="mistake" name="sigmas_alone"
# r compares the noise alone, sigma_s with sigma_t. What counts is noise to signal, sigma / alpha, since the picture in x grows
# while its noise falls: the alphas are missing from r.
# %% [markdown] lang="vi" of="74120308"
# r chỉ so nhiễu với nhiễu, sigma_s với sigma_t. Điều đáng kể là tỉ số nhiễu trên tín hiệu, sigma / alpha, vì trong x phần ảnh
# lớn lên khi phần nhiễu giảm đi: trong r còn thiếu các alpha.
# %% role="wrong" name="sigmas_alone"
patch("sigma_s * alpha_t / (alpha_s * sigma_t)", "sigma_s / sigma_t")

# %% [markdown] lang="en" role="mistake" name="c_is_eta"
# c is eta itself here, however long the step is. But eta is only a fraction of what a step may draw anew: the longer the step,
# the more that is, and the root with r says how much.
# %% [markdown] lang="vi" of="87711c38"
# Ở đây c chính là eta, bất kể bước dài hay ngắn. Nhưng eta chỉ là một tỉ lệ của lượng nhiễu mà một bước được phép rút mới: bước
# càng dài thì lượng đó càng lớn, và căn chứa r cho biết nó lớn đến đâu.
# %% role="wrong" name="c_is_eta"
patch("c = eta * (1 - r**2).sqrt()", "c = torch.tensor(eta, dtype=torch.float64)")

# %% [markdown] lang="en" role="mistake" name="no_root"
# 1 - r^2 is a share of the variance, but c multiplies the noise itself, whose size is the root of its variance. The square root
# in c is missing, so too little fresh noise comes in.
# %% [markdown] lang="vi" of="4fc68bc1"
# 1 - r^2 là một phần của phương sai, còn c nhân vào chính nhiễu, mà độ lớn của nhiễu là căn của phương sai. Trong c còn thiếu
# căn bậc hai, nên nhiễu mới được thêm quá ít.
# %% role="wrong" name="no_root"
patch("c = eta * (1 - r**2).sqrt()", "c = eta * (1 - r**2)")

# %% [markdown] lang="en" role="mistake" name="eta_under_the_root"
# eta stands under the root, so 0.5 acts like 0.71; only 0 and 1 come out right. It multiplies the root from outside.
# %% [markdown] lang="vi" of="95497ec2"
# eta nằm trong dấu căn nên 0.5 lại có tác dụng như 0.71; chỉ 0 và 1 là cho kết quả đúng. eta phải nhân ở ngoài căn.
# %% role="wrong" name="eta_under_the_root"
patch("eta * (1 - r**2).sqrt()", "(eta * (1 - r**2)).sqrt()")

# %% [markdown] lang="en" role="mistake" name="weights_add_up"
# eps keeps 1 - c here, so that the two weights add up to 1. But for independent noises it is the variances that add, the
# squares of the weights: with 1 - c noise is missing after every step.
# %% [markdown] lang="vi" of="f552c86e"
# Ở đây eps giữ 1 - c để tổng hai hệ số bằng 1. Nhưng với các nhiễu độc lập, thứ cộng lại là phương sai, tức bình phương của hệ
# số: với 1 - c thì sau mỗi bước lại hụt nhiễu.
# %% role="wrong" name="weights_add_up"
patch("(1 - c**2).sqrt() * eps", "(1 - c) * eps")

# %% [markdown] lang="en" role="mistake" name="eps_without_root"
# eps is multiplied by 1 - c^2, which is the share of the variance that it keeps. Its weight is the root of that; as it is,
# noise is missing after every step.
# %% [markdown] lang="vi" of="7c1d2294"
# eps bị nhân với 1 - c^2, tức phần phương sai mà nó giữ lại. Hệ số phải là căn của số đó; nếu để vậy thì sau mỗi bước lại hụt
# nhiễu.
# %% role="wrong" name="eps_without_root"
patch("(1 - c**2).sqrt() * eps", "(1 - c**2) * eps")

# %% [markdown] lang="en" role="mistake" name="noise_at_full_size"
# The fresh noise is c noise, without sigma_s. Old and fresh noise together make up the noise of time s, so sigma_s multiplies
# both; otherwise grains are left even in the last step.
# %% [markdown] lang="vi" of="0bf0ad77"
# Nhiễu mới là c nhân noise mà thiếu sigma_s. Nhiễu cũ và nhiễu mới cùng tạo nên nhiễu của thời điểm s, nên sigma_s nhân vào cả
# hai; nếu không, ngay cả bước cuối cũng còn sót hạt nhiễu.
# %% role="wrong" name="noise_at_full_size"
patch("x + sigma_s * c * noise", "x + c * noise")

# %% [markdown] lang="en" role="mistake" name="noise_of_its_own"
# The step draws noise of its own and leaves `noise` unused. Then the caller's seed decides nothing, and no picture can be made
# twice.
# %% [markdown] lang="vi" of="183adbe6"
# Bước này tự rút nhiễu mà bỏ qua `noise`. Như vậy seed của người gọi không quyết định được gì, và không thể vẽ lại cùng một bức
# ảnh.
# %% role="wrong" name="noise_of_its_own"
patch("c * noise", "c * torch.randn_like(x0)")

# %% [markdown] lang="en" role="mistake" name="clamped"
# x0 was clamped to -1...1. eps goes with x0 as it was predicted, and the two no longer make up x_t; whether to clamp is up to
# the denoiser, which can change eps along with it.
# %% [markdown] lang="vi" of="726e0ed4"
# x0 đã bị chặn trong -1...1. eps đi đôi với x0 đúng như được dự đoán, nên hai thứ không còn ghép lại thành x_t; có chặn hay
# không là việc của bộ khử nhiễu, nơi có thể sửa eps theo.
# %% role="wrong" name="clamped"
patch("x = alpha_s * x0", "x = alpha_s * x0.clamp(-1, 1)")

# %% [markdown] lang="en" role="mistake" name="none_times_c"
# With eta 0 the noise may be None, and None cannot be multiplied, not even by 0. Add the noise only where eta is above 0.
# %% [markdown] lang="vi" of="fe64cabc"
# Khi eta bằng 0, noise có thể là None, mà None thì không nhân được, kể cả với 0. Chỉ cộng nhiễu khi eta lớn hơn 0.
# %% role="wrong" name="none_times_c"
patch("x if eta == 0 else x + sigma_s * c * noise", "x + sigma_s * c * noise")

# %% [markdown] lang="en" role="mistake" name="root_below_zero"
# Nearly: but for some steps out of pure noise (t = 1, eta 1) the result is nan. sigma_s^2 - std^2 should be exactly 0 there,
# and rounding makes it something like -1e-16, which has no root. Use c as in the task, or clamp at 0 before the root.
# %% [markdown] lang="vi" of="63c22cb2"
# Gần đúng rồi, nhưng với một số bước đi từ nhiễu thuần (t = 1, eta bằng 1) kết quả là nan. Ở đó sigma_s^2 - std^2 lẽ ra bằng
# đúng 0, nhưng sai số làm tròn biến nó thành cỡ -1e-16, vốn không có căn. Hãy dùng c như trong đề, hoặc chặn dưới ở 0 trước khi
# lấy căn.
# %% role="wrong" name="root_below_zero"
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    alpha_bar_t, alpha_bar_s = schedule.alpha(t) ** 2, schedule.alpha(s) ** 2
    std = eta * ((1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)).sqrt()
    x = alpha_bar_s.sqrt() * x0 + (1 - alpha_bar_s - std**2).sqrt() * eps
    return x if eta == 0 else x + std * noise

# %% role="library"
from minidiff.diffusion import samplers


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    return samplers.step(schedule, x0, eps, t, s, eta, noise)

# %% role="payoff"
def draw(one_step):
    pictures = []
    for eta in (0.0, 1.0):
        generator = torch.Generator().manual_seed(5)
        x = start_noise()
        for t, s in pairwise(uniform(trained_schedule, 8)):
            noise = torch.randn(x.shape, generator=generator).to(x.device)
            x = one_step(trained_schedule, *model(x, t), t, s, eta, noise)
        pictures.append(x.cpu())
    return torch.cat(pictures)


payoff(draw, ddim_step)
