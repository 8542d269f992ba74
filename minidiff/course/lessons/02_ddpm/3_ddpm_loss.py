"""Exercise 02.3, ddpm_loss: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## The loss
#
# **The loss.** Noise `x0` with the `eps` that is given, show the result and `t` to the network, and compare its answer with
# `eps`: the mean of the squared differences, over everything. Your `q_sample` is at hand.
#
# Below it, your loss reads pictures: for each portrait (down) the network is told each name (across) and its loss is taken. The
# name with the smallest loss (dark) is the likeliest one, though nobody trained it to classify (Li et al. 2023).
# %% [markdown] lang="vi" of="3ba1b720"
# ## Hàm mất mát
#
# **Hàm mất mát.** Thêm nhiễu vào `x0` bằng đúng `eps` được cho, đưa kết quả và `t` cho mạng, rồi so câu trả lời với `eps`:
# trung bình của bình phương các hiệu, tính trên tất cả. `q_sample` của bạn đã sẵn đó.
#
# Bên dưới, hàm mất mát của bạn đọc ảnh: với mỗi bức (hàng), mạng được báo từng tên (cột) và ta đo giá trị mất mát. Tên có giá
# trị nhỏ nhất (ô tối) là tên hợp nhất, dù không ai huấn luyện nó để phân loại (Li và cộng sự, 2023).

# %% [markdown] lang="en" role="hints"
# What does the network see, and what should it answer? Write both down as names before you write code.
# ---
# It sees `q_sample(x0, eps, t, alpha_bar)` and `t`. It should answer `eps`.
# ---
# Square the difference and call `.mean()` once, with no axis.
# %% [markdown] lang="vi" of="c57623e5"
# Mạng nhìn thấy gì, và phải trả lời gì? Hãy viết tên hai thứ ấy ra trước khi viết mã.
# ---
# Nó nhìn `q_sample(x0, eps, t, alpha_bar)` và `t`. Nó phải trả lời `eps`.
# ---
# Bình phương hiệu rồi gọi `.mean()` một lần, không kèm trục nào.

# %% [markdown] lang="en" role="stub"
# The loss of a network that predicts noise: a tensor (), through which gradients
# reach the network. network: (x (B, ...), t (B,)) -> (B, ...);
# x0, eps: (B, ...); t: (B,) int64; alpha_bar: (T + 1,).
# ---
# 1. noise x0 to step t, with the eps that is given         # (B, ...)
# 2. ask the network                                        # (B, ...)
# 3. the mean of the squared differences                    # ()
# %% [markdown] lang="vi" of="bcca0627"
# Hàm mất mát của một mạng dự đoán nhiễu: một tensor (), mà gradient qua đó đến
# được mạng. network: (x (B, ...), t (B,)) -> (B, ...);
# x0, eps: (B, ...); t: (B,) int64; alpha_bar: (T + 1,).
# ---
# 1. thêm nhiễu vào x0 đến bước t, bằng đúng eps được cho   # (B, ...)
# 2. hỏi mạng                                               # (B, ...)
# 3. trung bình của bình phương các hiệu                    # ()

# %% role="solution"
def ddpm_loss(
    network: Callable, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor
) -> Tensor:
    x_t = q_sample(x0, eps, t, alpha_bar)                       # (B, ...)
    return (network(x_t, t) - eps).square().mean()              # ()

# %% [markdown] lang="en" role="checks"
# - one number for the whole batch
# - its value for pictures
# - its value for 2-D points
# - 0 for a network that knows the noise
# - the gradient reaches the network
# %% [markdown] lang="vi" of="a157b07f"
# - một số cho cả lô
# - giá trị với ảnh
# - giá trị với điểm 2 chiều
# - bằng 0 với mạng biết đúng nhiễu
# - gradient đi tới được mạng

# %% role="probes"
import torch
from torch import nn

from minidiff.diffusion.schedules import per_example

EVERY_T = torch.tensor([4, 1, 3, 2])
ALPHA_BAR = torch.tensor([1.0, 0.9, 0.72, 0.432, 0.216])    # T = 4


class Toy(nn.Module):
    """A network with two numbers to learn; it looks at x and at t."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.7, 0.2]))

    def forward(self, x, t):
        return self.weights[0] * x - self.weights[1] * per_example(t.float(), x)


def given(*shape):
    """Data and noise of this shape, always the same, with a step for each example."""
    generator = torch.Generator().manual_seed(2)
    x0, eps = (torch.randn(shape, generator=generator) for _ in range(2))
    return {"x0": x0, "eps": eps, "t": EVERY_T[: shape[0]], "alpha_bar": ALPHA_BAR}


def loss(f, x0, eps, t, alpha_bar, network=None):
    return f(network or Toy(), x0, t, eps, alpha_bar)


def loss_of_the_perfect(f, x0, eps, t, alpha_bar):
    """Of a network that knows the noise, if it is shown x_t."""

    def knows(x, t):
        a = per_example(alpha_bar[t], x)
        return (x - a.sqrt() * x0) / (1 - a).sqrt()

    return f(knows, x0, t, eps, alpha_bar)


def gradient(f, **inputs):
    network = Toy()
    loss(f, network=network, **inputs).backward()
    return network.weights.grad


probe(lambda f, **inputs: list(loss(f, **inputs).shape), **given(4, 3, 4, 4))
probe(loss, points=3, **given(4, 3, 4, 4))
probe(loss, **given(2, 2))
probe(loss_of_the_perfect, atol=1e-5, **given(4, 3, 4, 4))
probe(gradient, points=2, **given(4, 3, 4, 4))

# %% [markdown] lang="en" role="mistake" name="clean_target"
# The prediction is compared with x0. This network predicts the noise, so its target is eps. (Networks that predict x0 exist;
# the sampler then has to treat their answer as x0.)
# %% [markdown] lang="vi" of="b1cc06d9"
# Dự đoán đang được so với x0. Mạng này dự đoán nhiễu, nên mục tiêu của nó là eps. (Cũng có mạng dự đoán x0, nhưng khi đó bộ lấy
# mẫu phải coi câu trả lời là x0.)
# %% role="wrong" name="clean_target"
patch("- eps)", "- x0)")

# %% [markdown] lang="en" role="mistake" name="clean_input"
# The network was shown the clean x0. From that nobody can tell the noise: show it x_t, made by q_sample.
# %% [markdown] lang="vi" of="4b70de38"
# Mạng được cho xem x0 sạch. Từ đó không ai đoán được nhiễu: hãy cho mạng xem x_t do q_sample tạo ra.
# %% role="wrong" name="clean_input"
patch("network(x_t, t)", "network(x0, t)")

# %% [markdown] lang="en" role="mistake" name="summed"
# The squares are summed, so loss and gradient grow with the batch and the size of the picture. Take the mean.
# %% [markdown] lang="vi" of="e1976a9c"
# Các bình phương đang được cộng lại, nên hàm mất mát và gradient lớn dần theo cỡ lô và cỡ ảnh. Hãy lấy trung bình.
# %% role="wrong" name="summed"
patch(".mean()", ".sum()")

# %% [markdown] lang="en" role="mistake" name="summed_per_picture"
# The squares are summed over each picture, and the mean is taken over the batch alone, so loss and gradient grow with the size
# of the picture. Take the mean over everything.
# %% [markdown] lang="vi" of="608ebe96"
# Các bình phương được cộng lại trong từng ảnh, chỉ lấy trung bình theo lô, nên hàm mất mát và gradient lớn dần theo cỡ ảnh. Hãy
# lấy trung bình trên tất cả.
# %% role="wrong" name="summed_per_picture"
patch(".mean()", ".flatten(1).sum(1).mean()")

# %% [markdown] lang="en" role="mistake" name="one_per_example"
# This is a number for each example, (B,). A gradient can be taken of one number only: take the mean over the batch, too.
# %% [markdown] lang="vi" of="f61964e2"
# Đây là mỗi mẫu một số, (B,). Gradient chỉ lấy được từ một số duy nhất: hãy lấy trung bình theo cả lô nữa.
# %% role="wrong" name="one_per_example"
patch(".mean()", ".flatten(1).mean(1)")

# %% [markdown] lang="en" role="mistake" name="rmse"
# This is the root of the mean square (RMSE). It has its minimum at the same place, but its gradient is that of the mean square
# divided by twice the root: the smaller the error, the larger the relative stride. Leave out the root.
# %% [markdown] lang="vi" of="6e0e0e84"
# Đây là căn của trung bình bình phương (RMSE). Điểm cực tiểu thì vẫn ở đó, nhưng gradient của nó bằng gradient của trung bình
# bình phương chia cho hai lần căn: sai số càng nhỏ, bước đi tương đối càng lớn. Hãy bỏ căn.
# %% role="wrong" name="rmse"
patch(".mean()", ".mean().sqrt()")

# %% [markdown] lang="en" role="mistake" name="squared_too_late"
# The differences are averaged first and squared afterwards, so those above and below 0 cancel: a network that is wrong
# everywhere may have a loss of 0. Square each one, then take the mean.
# %% [markdown] lang="vi" of="8768900d"
# Các hiệu được lấy trung bình trước rồi mới bình phương, nên phần dương và phần âm triệt tiêu nhau: mạng sai ở mọi chỗ mà hàm
# mất mát vẫn có thể bằng 0. Hãy bình phương từng hiệu rồi mới lấy trung bình.
# %% role="wrong" name="squared_too_late"
patch(".square().mean()", ".mean().square()")

# %% [markdown] lang="en" role="mistake" name="no_square"
# The differences are not squared but made positive (an L1 loss). Its best answer is a median; the derivation needs the mean,
# and that is what squares give.
# %% [markdown] lang="vi" of="d23ddd87"
# Các hiệu chưa được bình phương mà chỉ lấy trị tuyệt đối (hàm mất mát L1). Câu trả lời tốt nhất của nó là trung vị; phép suy
# dẫn cần trung bình, và bình phương mới cho điều đó.
# %% role="wrong" name="no_square"
patch(".square()", ".abs()")

# %% [markdown] lang="en" role="mistake" name="noise_twice"
# Noise was drawn twice: x_t holds one, the prediction is compared with another, which nobody can know. Use the eps that was
# given in both places.
# %% [markdown] lang="vi" of="dcf96abf"
# Nhiễu được sinh hai lần: x_t chứa nhiễu này nhưng dự đoán lại bị so với nhiễu khác, thứ không ai biết được. Hãy dùng eps đã
# cho ở cả hai chỗ.
# %% role="wrong" name="noise_twice"
patch("- eps)", "- torch.randn_like(x0))")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# It draws noise of its own and leaves the eps that it was given unused. It would train, but nobody could check or repeat it:
# take the argument.
# %% [markdown] lang="vi" of="852573f5"
# Hàm tự sinh nhiễu riêng và bỏ không eps được truyền vào. Vẫn huấn luyện được, nhưng không ai kiểm tra hay lặp lại được: hãy
# dùng đối số.
# %% role="wrong" name="own_noise"
patch("x_t = ", "eps = torch.randn_like(x0)\n    x_t = ")

# %% [markdown] lang="en" role="mistake" name="roles_swapped"
# q_sample got x0 and eps the wrong way round: x_t is made as if the noise were the data and the data the noise. It takes the
# data first.
# %% [markdown] lang="vi" of="59e5c9ee"
# q_sample nhận x0 và eps ngược chỗ: x_t được tạo như thể nhiễu là dữ liệu còn dữ liệu là nhiễu. Hàm này nhận dữ liệu trước.
# %% role="wrong" name="roles_swapped"
patch("q_sample(x0, eps,", "q_sample(eps, x0,")

# %% [markdown] lang="en" role="mistake" name="eps_for_t"
# Most likely q_sample was handed eps where it expects t, and numbers with a fraction can't point into a table. The order of the
# two functions differs: q_sample takes x0, eps, t.
# %% [markdown] lang="vi" of="3f622f2b"
# Nhiều khả năng q_sample nhận eps ở chỗ nó chờ t, mà số lẻ thì không chỉ được vào phần tử nào của bảng. Thứ tự ở hai hàm không
# giống nhau: q_sample nhận x0, eps, t.
# %% role="wrong" name="eps_for_t"
patch("q_sample(x0, eps, t, alpha_bar)", "q_sample(x0, t, eps, alpha_bar)")

# %% [markdown] lang="en" role="mistake" name="no_gradient"
# The value is right, but it is cut off from the network: nothing can be learnt from it. Leave out detach(), no_grad() and .data
# here; they belong to sampling.
# %% [markdown] lang="vi" of="ddb8c221"
# Giá trị thì đúng, nhưng đã bị cắt rời khỏi mạng: không học được gì từ nó. Ở đây hãy bỏ detach(), no_grad() và .data; chúng
# dành cho việc lấy mẫu.
# %% role="wrong" name="no_gradient"
patch(".mean()", ".mean().detach()")

# %% [markdown] lang="en" role="mistake" name="plain_number"
# This is a plain Python number, of which no gradient can be taken. Return the tensor; .item() is for printing.
# %% [markdown] lang="vi" of="51121360"
# Đây là một số Python thường, không lấy gradient được. Hãy trả về tensor; .item() chỉ để in ra.
# %% role="wrong" name="plain_number"
patch(".mean()", ".mean().item()")

# %% [markdown] lang="en" role="mistake" name="own_backward"
# It calls backward() itself, so whoever asked for the loss can't take its gradient any more, nor ask for it without gradients.
# Only compute the loss here; the training loop does the rest.
# %% [markdown] lang="vi" of="1ea9ba6d"
# Hàm tự gọi backward(), nên nơi cần hàm mất mát không lấy được gradient của nó nữa, cũng không tính được nó khi không có
# gradient. Ở đây chỉ tính hàm mất mát; vòng lặp huấn luyện sẽ làm phần còn lại.
# %% role="wrong" name="own_backward"
patch("return (network(x_t, t)", "loss = (network(x_t, t)")
patch(".mean()", ".mean()\n    loss.backward()\n    return loss")

# %% role="library"
from minidiff.diffusion.losses import diffusion_loss
from minidiff.diffusion.schedules import get_schedule


def ddpm_loss(network, x0, t, eps, alpha_bar):
    """`diffusion_loss`, at the times when the cosine schedule has these alpha_bar."""
    schedule, a = get_schedule("cosine"), alpha_bar[t].double()
    time = schedule.time((a / (1 - a)).log() / 2)
    prediction = network(schedule.mix(x0, eps, time), t)
    return diffusion_loss(prediction, x0, eps, time, schedule, "eps")

# %% role="payoff"
def draw(ddpm_loss: Callable) -> Tensor:
    names = ("star", "heart", "house", "fish")
    x0 = to_tensor(portraits(18))[[3, 4, 6, 10]]                # (4, 3, 32, 32)
    t = torch.tensor([12, 16, 20, 24])                          # for every portrait
    eps = torch.cat([noises[0], noises[1]])                     # (4, 3, 32, 32)

    def network_for(name: str) -> Callable:
        labels = torch.full((4,), SHAPES.index(name))           # (4,)

        def network(x: Tensor, t: Tensor) -> Tensor:
            v = pipe.network.unet(x, schedule.timestep(t / 30), labels=labels)
            _, eps = to_x0_eps(schedule, pipe.prediction_type, v, x, t / 30)
            return eps                                          # lesson 03 tells how

        return network

    with torch.no_grad():
        networks = [network_for(name) for name in names]
        losses = torch.stack([
            torch.stack([ddpm_loss(told, x, t, eps, alpha_bar) for told in networks])
            for x in x0[:, None].repeat(1, 4, 1, 1, 1)          # (4, 3, 32, 32) each
        ])                                                      # (4, 4)
    low, high = losses.amin(1, keepdim=True), losses.amax(1, keepdim=True)
    tiles = 2 * (losses - low) / (high - low) - 1               # a row: black to white
    tiles = tiles.repeat_interleave(32, 0).repeat_interleave(32, 1).expand(3, -1, -1)
    picture = torch.cat([torch.cat(list(x0), dim=1), tiles], dim=2)
    return picture[None]                                        # (1, 3, 128, 160)


payoff(draw, ddpm_loss, tolerance=0.01)
