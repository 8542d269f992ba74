"""Exercise 10.5, reflow_loss: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## Straighten a flow
#
# A flow that leads from noise to data in curves needs many small steps. Reflow (Liu et al. 2023) trains a new one on straight
# lines. Each line joins a noise with **the picture that the teacher makes of this very noise**; that is all of the method. A
# picture that has nothing to do with the noise would give crossing lines, and curves again.
#
# `velocity(x, t)` and `teacher(x, t)` are velocities, from data to noise, $\varepsilon - x_0$, for x (B, ...) and times t (B,).
# First follow the teacher from eps at time 1 down to 0 by Euler's method, in `steps` equal steps: from time $k/\text{steps}$,
# $x \leftarrow x - \text{teacher}(x, k/\text{steps})\,/\,\text{steps}$. What comes out is x0. Then the student is asked on the
# line, at $x = (1 - t)\,x_0 + t\,\varepsilon$, for $\varepsilon - x_0$, and the loss is the mean square of its error.
#
# The last cell straightens the flow of five points. On the left, sixteen paths of the teacher. In the middle those of your
# student, after some seconds of training. On the right, where your student lands in **one** step: the teacher would land in the
# middle, in a single dot.
# %% [markdown] lang="vi" of="2070dc95"
# ## Làm thẳng một dòng chảy
#
# Một dòng chảy (flow) dẫn từ nhiễu đến dữ liệu theo đường cong thì cần nhiều bước nhỏ. Reflow (Liu và cộng sự 2023) huấn luyện
# một dòng chảy mới trên các đường thẳng. Mỗi đường nối một nhiễu với **bức tranh mà thầy vẽ từ chính nhiễu ấy**; cả phương pháp
# chỉ có thế. Một bức không liên quan đến nhiễu sẽ cho các đường cắt nhau, và lại thành đường cong.
#
# `velocity(x, t)` và `teacher(x, t)` là các vận tốc, hướng từ dữ liệu đến nhiễu, $\varepsilon - x_0$, với x (B, ...) và thời
# điểm t (B,). Trước hết hãy đi theo thầy từ eps ở thời điểm 1 xuống 0 bằng phương pháp Euler, với `steps` bước bằng nhau: từ
# thời điểm $k/\text{steps}$, $x \leftarrow x - \text{teacher}(x, k/\text{steps})\,/\,\text{steps}$. Kết quả là x0. Rồi mạng trò
# được hỏi trên đường thẳng, tại $x = (1 - t)\,x_0 + t\,\varepsilon$, về $\varepsilon - x_0$, và hàm mất mát là trung bình bình
# phương sai số của nó.
#
# Ô cuối cùng làm thẳng dòng chảy của năm điểm. Bên trái là mười sáu đường đi của thầy. Ở giữa là của trò bạn huấn luyện trong
# vài giây. Bên phải là nơi trò đến được chỉ với **một** bước: thầy thì sẽ rơi vào một chấm duy nhất ở giữa.

# %% [markdown] lang="en" role="hints"
# Two parts: making x0 from eps with the teacher, and the loss on the line between them. Only the second needs a gradient.
# ---
# The times of the teacher's steps fall from 1 to 1/steps: `for k in range(steps, 0, -1)`. `torch.full_like(t, k / steps)` is
# such a time for every row.
# ---
# `share = per_example(t, eps)` shapes t to multiply pictures; `x = (1 - share) * x0 + share * eps`; the target is `eps - x0`.
# %% [markdown] lang="vi" of="b16479b9"
# Hai phần: tạo x0 từ eps bằng thầy, và hàm mất mát trên đường thẳng nối chúng. Chỉ phần sau cần gradient.
# ---
# Các thời điểm của thầy giảm từ 1 xuống 1/steps: `for k in range(steps, 0, -1)`. `torch.full_like(t, k / steps)` là thời điểm
# ấy cho mọi hàng.
# ---
# `share = per_example(t, eps)` đưa t về kích thước nhân được với tranh; `x = (1 - share) * x0 + share * eps`; mục tiêu là
# `eps - x0`.

# %% [markdown] lang="en" role="stub"
# The loss () of the student's velocity on straight lines from the teacher's
# answers x0 to eps (B, ...), at times t (B,). velocity, teacher: (x (B, ...),
# t (B,)) -> eps - x0, like x. The teacher makes `steps` Euler steps, without a
# gradient.
# ---
# 1. follow the teacher from eps down to x0, without a gradient       # (B, ...)
# 2. the points at times t of the lines                               # (B, ...)
# 3. the student's velocity there against eps - x0: mean square       # ()
# %% [markdown] lang="vi" of="41c2c310"
# Giá trị () của hàm mất mát cho vận tốc của trò trên các đường thẳng nối câu trả
# lời x0 của thầy với eps (B, ...), ở các thời điểm t (B,). velocity, teacher:
# (x (B, ...), t (B,)) -> eps - x0, cùng kiểu với x. Thầy đi `steps` bước Euler,
# không gradient.
# ---
# 1. đi theo thầy từ eps xuống x0, không gradient                     # (B, ...)
# 2. các điểm của đường thẳng ở thời điểm t                           # (B, ...)
# 3. vận tốc của trò ở đó so với eps - x0: trung bình bình phương     # ()

# %% role="solution"
def reflow_loss(
    velocity: Velocity, teacher: Velocity, eps: Tensor, t: Tensor, steps: int
) -> Tensor:
    x0 = eps
    with torch.no_grad():
        for k in range(steps, 0, -1):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    share = per_example(t, eps)                     # (B, 1, ..., 1)
    x = (1 - share) * x0 + share * eps              # (B, ...)
    return (velocity(x, t) - (eps - x0)).square().mean()

# %% [markdown] lang="en" role="checks"
# - one number, in float32, and gradients stay off where they were off
# - the loss with four steps of the teacher
# - the loss of three pictures, with a single step of the teacher
# - the loss of one picture, with three steps
# - the times at which the teacher is asked
# - where the student is asked
# - gradients: the student's are right, the teacher has none
# - gradients when the student is its own teacher
# %% [markdown] lang="vi" of="b489f67e"
# - một con số, với float32, và gradient vẫn tắt ở nơi đã tắt
# - giá trị của hàm mất mát với bốn bước của thầy
# - giá trị của hàm mất mát của ba bức, với một bước duy nhất của thầy
# - giá trị của hàm mất mát của một bức, với ba bước
# - các thời điểm mà thầy được hỏi
# - nơi trò được hỏi
# - gradient: của trò thì đúng, của thầy thì không có
# - gradient khi trò là thầy của chính mình

# %% role="probes"
import torch
from torch import nn


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Velocity(nn.Module):
    """A velocity that notes where and when it was asked. It takes a time for each row."""

    def __init__(self, gain, dtype=torch.float64):
        super().__init__()
        self.gain, self.asked = nn.Parameter(torch.tensor(gain, dtype=dtype)), []

    def forward(self, x, t):
        if t.shape != x.shape[:1]:
            raise ValueError(f"There are times of shape {tuple(t.shape)} for {len(x)} rows; give one each.")
        self.asked.append((x.detach().clone(), t.detach().clone()))
        return torch.tanh(self.gain * x) + (1 + 2 * t.to(x)).reshape(-1, *[1] * (x.ndim - 1)) * torch.cos(x)


def both(dtype=torch.float64):
    return Velocity(0.7, dtype), Velocity(1.3, dtype)


def kind(f, eps, t, steps):
    with torch.no_grad():
        found = f(*both(torch.float32), eps.float(), t.float(), steps)
        still_off = not torch.is_grad_enabled()
    return {"shape": list(found.shape), "dtype": str(found.dtype), "gradients off": still_off}


def loss(f, eps, t, steps):
    return float(torch.as_tensor(f(*both(), eps, t, steps)).detach())


def times_asked(f, eps, t, steps):
    student, teacher = both()
    f(student, teacher, eps, t, steps)
    return [time.double() for _, time in teacher.asked]


def places_asked(f, eps, t, steps):
    student, teacher = both()
    f(student, teacher, eps, t, steps)
    return [[x, time.double()] for x, time in student.asked]


def gradients(f, eps, t, steps):
    student, teacher = both()
    loss = f(student, teacher, eps, t, steps)
    if not loss.requires_grad:
        return {"has a gradient": False}
    loss.backward()
    return {"has a gradient": True, "student": student.gain.grad, "the teacher has one": teacher.gain.grad is not None}


def of_itself(f, eps, t, steps):
    student, _ = both()
    f(student, student, eps, t, steps).backward()
    return student.gain.grad


ROWS = {"eps": normal(5, 3, seed=61), "t": torch.tensor([0.1, 0.9, 0.35, 0.6, 0.75], dtype=torch.float64), "steps": 4}
PICTURE = {"eps": normal(1, 2, 5, 4, seed=62), "t": torch.tensor([0.3], dtype=torch.float64), "steps": 3}
THREE = {"eps": normal(3, 2, 5, 4, seed=63), "t": torch.tensor([0.2, 0.95, 0.5], dtype=torch.float64), "steps": 1}

probe(kind, **ROWS)
probe(loss, points=2, **ROWS)
probe(loss, **THREE)
probe(loss, **PICTURE)
probe(times_asked, **ROWS)
probe(places_asked, **ROWS)
probe(gradients, **ROWS)
probe(of_itself, **ROWS)

# %% [markdown] lang="en" role="mistake" name="unrelated_noise"
# The line was drawn to fresh noise, not to the noise from which the teacher made x0. Such lines cross, and where they cross the
# student learns their average: the paths stay curved, and one step still lands in the middle. Use the given eps for both.
# %% [markdown] lang="vi" of="e508ae1b"
# Đường thẳng bị kẻ đến một nhiễu mới, không phải nhiễu mà từ đó thầy vẽ ra x0. Những đường như thế cắt nhau, và ở chỗ cắt nhau
# trò học trung bình của chúng: đường đi vẫn cong, và một bước vẫn rơi vào giữa. Hãy dùng eps được cho ở cả hai nơi.
# %% role="wrong" name="unrelated_noise"
patch("    share = per_example(t, eps)  ", "    eps = torch.randn_like(eps)\n    share = per_example(t, eps)  ")

# %% [markdown] lang="en" role="mistake" name="teacher_from_fresh_noise"
# The teacher began at noise of its own, so x0 has nothing to do with eps. Such lines cross, and the paths stay curved. Let the
# teacher begin at eps.
# %% [markdown] lang="vi" of="5870e181"
# Thầy bắt đầu từ một nhiễu riêng, nên x0 không liên quan gì đến eps. Những đường như thế cắt nhau, và đường đi vẫn cong. Hãy để
# thầy bắt đầu từ eps.
# %% role="wrong" name="teacher_from_fresh_noise"
patch("x0 = eps\n", "x0 = torch.randn_like(eps)\n")

# %% [markdown] lang="en" role="mistake" name="pairs_mixed_up"
# The pairs got mixed up: each noise stands beside the answer to another one. Row i of x0 belongs to row i of eps; without that,
# the lines cross and nothing gets straight.
# %% [markdown] lang="vi" of="173220ee"
# Các cặp bị xáo trộn: mỗi nhiễu đứng cạnh câu trả lời cho một nhiễu khác. Hàng i của x0 thuộc về hàng i của eps; không thế thì
# các đường cắt nhau và chẳng có gì thẳng ra.
# %% role="wrong" name="pairs_mixed_up"
patch("    share = per_example(t, eps)  ", "    x0 = x0[torch.randperm(len(x0))]\n    share = per_example(t, eps)  ")

# %% [markdown] lang="en" role="mistake" name="teachers_velocity"
# The student is compared with the teacher's velocity on the line. That only copies the teacher, curves and all. The line's own
# direction is the target: eps − x0.
# %% [markdown] lang="vi" of="31cdd706"
# Trò bị so với vận tốc của thầy trên đường thẳng. Như thế chỉ sao chép thầy, kể cả các đường cong. Mục tiêu là hướng của chính
# đường thẳng: eps − x0.
# %% role="wrong" name="teachers_velocity"
patch("(eps - x0))", "teacher(x, t).detach())")

# %% [markdown] lang="en" role="mistake" name="sign"
# The target's sign is wrong. A velocity here points from data to noise: eps − x0.
# %% [markdown] lang="vi" of="9ec3da27"
# Mục tiêu sai dấu. Vận tốc ở đây hướng từ dữ liệu đến nhiễu: eps − x0.
# %% role="wrong" name="sign"
patch("(eps - x0))", "(x0 - eps))")

# %% [markdown] lang="en" role="mistake" name="line_turned_round"
# The line runs the wrong way: at t = 0 it should be at x0, at t = 1 at eps.
# %% [markdown] lang="vi" of="ba400af2"
# Đường thẳng chạy ngược: ở t = 0 nó phải ở x0, ở t = 1 phải ở eps.
# %% role="wrong" name="line_turned_round"
patch("(1 - share) * x0 + share * eps", "share * x0 + (1 - share) * eps")

# %% [markdown] lang="en" role="mistake" name="on_the_circle"
# The points were mixed with the cosine schedule's shares, which lie on an arc. A flow's line is straight: (1 − t) x0 + t eps.
# %% [markdown] lang="vi" of="8190f6b3"
# Các điểm được trộn theo tỉ lệ của lịch cosine, nằm trên một cung tròn. Đường của flow là đường thẳng: (1 − t) x0 + t eps.
# %% role="wrong" name="on_the_circle"
patch("(1 - share) * x0 + share * eps", "torch.cos(share * torch.pi / 2) * x0 + torch.sin(share * torch.pi / 2) * eps")

# %% [markdown] lang="en" role="mistake" name="one_step_of_the_teacher"
# The teacher made a single step from pure noise, whatever `steps` is: all its answers are near the middle of the data. Follow
# it in `steps` steps.
# %% [markdown] lang="vi" of="5e6417bd"
# Thầy chỉ đi một bước từ toàn nhiễu, bất kể `steps`: mọi câu trả lời đều gần điểm giữa của dữ liệu. Hãy đi theo nó `steps`
# bước.
# %% role="wrong" name="one_step_of_the_teacher"
patch("for k in range(steps, 0, -1):", "for steps, k in [(1, 1)]:")

# %% [markdown] lang="en" role="mistake" name="times_rise"
# The teacher was asked at rising times, beginning near clean data, while x begins at pure noise. Its times fall, from 1.
# %% [markdown] lang="vi" of="8177c51e"
# Thầy bị hỏi ở các thời điểm tăng dần, bắt đầu gần dữ liệu sạch, trong khi x bắt đầu ở toàn nhiễu. Các thời điểm phải giảm,
# bắt đầu từ 1.
# %% role="wrong" name="times_rise"
patch("range(steps, 0, -1)", "range(1, steps + 1)")

# %% [markdown] lang="en" role="mistake" name="times_of_the_ends"
# The teacher was asked at the *end* of each step, down to time 0. Euler asks where the step begins: k/steps from 1 down to
# 1/steps.
# %% [markdown] lang="vi" of="1c90e24e"
# Thầy bị hỏi ở điểm *cuối* của mỗi bước, xuống đến thời điểm 0. Euler hỏi ở nơi bước bắt đầu: k/steps từ 1 xuống 1/steps.
# %% role="wrong" name="times_of_the_ends"
patch("k / steps))", "(k - 1) / steps))")

# %% [markdown] lang="en" role="mistake" name="walked_away"
# The velocity was added. It points towards the noise, and the way to the data is against it: subtract.
# %% [markdown] lang="vi" of="bf0b21d3"
# Vận tốc bị cộng vào. Nó hướng về phía nhiễu, còn đường đến dữ liệu ngược lại: hãy trừ.
# %% role="wrong" name="walked_away"
patch("x0 = x0 - teacher", "x0 = x0 + teacher")

# %% [markdown] lang="en" role="mistake" name="steps_too_long"
# Each step of the teacher is as long as the whole way. Divide by `steps`.
# %% [markdown] lang="vi" of="e5ec37c1"
# Mỗi bước của thầy dài bằng cả quãng đường. Hãy chia cho `steps`.
# %% role="wrong" name="steps_too_long"
patch("k / steps)) / steps", "k / steps))")

# %% [markdown] lang="en" role="mistake" name="teacher_stands_still"
# The teacher was asked about eps in every step, at falling times. It has to be asked where the last step ended.
# %% [markdown] lang="vi" of="926cb53f"
# Ở mọi bước thầy đều bị hỏi về eps, với thời điểm giảm dần. Phải hỏi nó ở nơi bước trước kết thúc.
# %% role="wrong" name="teacher_stands_still"
patch("teacher(x0, torch", "teacher(eps, torch")

# %% [markdown] lang="en" role="mistake" name="teacher_keeps_gradient"
# The loss is right, but its gradient also runs back through all of the teacher's steps: much memory, and a student that is its
# own teacher would learn to draw what is easy to reach. `torch.no_grad()` round the walk.
# %% [markdown] lang="vi" of="52c78201"
# Giá trị của hàm mất mát đúng, nhưng gradient còn chạy ngược qua mọi bước của thầy: tốn bộ nhớ, và trò tự làm thầy mình sẽ học
# vẽ những gì dễ đến. Hãy đặt `torch.no_grad()` quanh đường đi.
# %% role="wrong" name="teacher_keeps_gradient"
patch("with torch.no_grad():", "if True:")

# %% [markdown] lang="en" role="mistake" name="nothing_learns"
# The loss is right, but without a gradient: the student's call is inside `no_grad`, too, or was detached. Only the teacher's
# walk belongs there.
# %% [markdown] lang="vi" of="fba06eb8"
# Giá trị của hàm mất mát đúng, nhưng không có gradient: cả lần gọi mạng trò cũng nằm trong `no_grad`, hoặc bị detach. Chỉ đường
# đi của thầy mới cần thế.
# %% role="wrong" name="nothing_learns"
patch("velocity(x, t)", "velocity(x, t).detach()")

# %% [markdown] lang="en" role="mistake" name="time_not_shaped"
# t (B,) can't multiply points (B, ...) as it is; it would have to meet the last dimension. Shape it to (B, 1, ..., 1), as
# `per_example` does.
# %% [markdown] lang="vi" of="337e444c"
# t (B,) không nhân được với các điểm (B, ...) như vậy; nó sẽ khớp với chiều cuối. Hãy đưa nó về (B, 1, ..., 1), như
# `per_example` làm.
# %% role="wrong" name="time_not_shaped"
patch("per_example(t, eps) ", "t ")

# %% [markdown] lang="en" role="mistake" name="one_time_for_all"
# The teacher was asked with a single number as the time. It takes a time for each row, (B,), like t.
# %% [markdown] lang="vi" of="509ab719"
# Thầy bị hỏi với thời điểm là một con số duy nhất. Nó nhận mỗi hàng một thời điểm, (B,), như t.
# %% role="wrong" name="one_time_for_all"
patch("torch.full_like(t, k / steps)", "torch.tensor(k / steps)")

# %% [markdown] lang="en" role="mistake" name="asked_at_x0"
# The student was asked at x0, the end of the line, with time t. It should be asked at the point of the line that belongs to t.
# %% [markdown] lang="vi" of="806f7c30"
# Trò bị hỏi tại x0, đầu mút của đường thẳng, với thời điểm t. Phải hỏi nó tại điểm của đường thẳng ứng với t.
# %% role="wrong" name="asked_at_x0"
patch("velocity(x, t)", "velocity(x0, t)")

# %% [markdown] lang="en" role="mistake" name="summed"
# The squares were added up. Take their mean.
# %% [markdown] lang="vi" of="8716945b"
# Các bình phương bị cộng lại. Hãy lấy trung bình.
# %% role="wrong" name="summed"
patch(".square().mean()", ".square().sum()")

# %% [markdown] lang="en" role="mistake" name="each_row"
# There is a loss for each row. Take the mean over all of them.
# %% [markdown] lang="vi" of="4d10ef6b"
# Mỗi hàng đang có một giá trị riêng của hàm mất mát. Hãy lấy trung bình trên tất cả.
# %% role="wrong" name="each_row"
patch(".square().mean()", ".square().flatten(1).mean(1)")

# %% [markdown] lang="en" role="mistake" name="absolute"
# These are absolute errors. Square them.
# %% [markdown] lang="vi" of="66b97979"
# Đây là sai số tuyệt đối. Hãy bình phương.
# %% role="wrong" name="absolute"
patch(".square().mean()", ".abs().mean()")

# %% [markdown] lang="en" role="mistake" name="points_only"
# `t[:, None]` fits points (B, N) alone. For pictures (B, C, H, W) it has to be (B, 1, 1, 1), which `per_example(t, eps)` makes
# for any of them.
# %% [markdown] lang="vi" of="9b8f4dab"
# `t[:, None]` chỉ hợp với các điểm (B, N). Với tranh (B, C, H, W) nó phải là (B, 1, 1, 1); `per_example(t, eps)` làm được cho
# mọi trường hợp.
# %% role="wrong" name="points_only"
patch("per_example(t, eps) ", "t[:, None] ")

# %% [markdown] lang="en" role="mistake" name="student_walks"
# The walk from eps followed the student, which has yet to learn the way. Follow the teacher.
# %% [markdown] lang="vi" of="ee68beca"
# Đường đi từ eps lại theo mạng trò, mà trò thì chưa biết đường. Hãy đi theo thầy.
# %% role="wrong" name="student_walks"
patch("x0 = x0 - teacher(", "x0 = x0 - velocity(")

# %% role="library"
import torch

from minidiff.diffusion import distillation
from minidiff.diffusion.samplers import run
from minidiff.diffusion.schedules import get_schedule


def reflow_loss(velocity, teacher, eps, t, steps):
    """DDIM on the flow schedule is Euler."""

    def model(x, time):
        v = teacher(x, time.to(t.dtype).expand(len(x)))
        return x - float(time) * v, x + (1 - float(time)) * v

    with torch.no_grad():
        *_, last = run("ddim", model, eps, get_schedule("flow"), steps)
    return distillation.reflow_loss(velocity, last.x, eps, t).to(eps.dtype)

# %% role="payoff"
def draw(reflow_loss: Callable) -> Tensor:
    teacher, dice = as_flow(exact, cosine), torch.Generator().manual_seed(1)
    torch.manual_seed(0)                                # where the student begins
    student = Field()
    optimizer = torch.optim.Adam(student.parameters(), lr=5e-3)
    for k in range(250):
        t = torch.rand(128, generator=dice, dtype=torch.float64)
        loss = reflow_loss(student, teacher, points(128, seed=k), t, 12)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ways = [path(flow, points(16, seed=1000), 60) for flow in (teacher, student)]
    landed = path(student, points(300, seed=1001), 1)[-1]
    lines = [drawing(way.flatten(0, 1), 0.04) for way in ways]
    return torch.stack([*lines, drawing(landed)])


payoff(draw, reflow_loss)
