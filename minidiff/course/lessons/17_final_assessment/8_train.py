"""Exercise 17.8, train: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("train", "fit", "teach")
vary(("max_norm=1.0", "norm 1,", "chuẩn 1,", "norm of 1 ", "chuẩn bằng 1 "),
     ("max_norm=0.5", "norm 0.5,", "chuẩn 0.5,", "norm of 0.5 ", "chuẩn bằng 0.5 "),
     ("max_norm=2.0", "norm 2,", "chuẩn 2,", "norm of 2 ", "chuẩn bằng 2 "))

# %% [markdown] lang="en" role="task" difficulty="5" minutes="10"
# ## Part 2, training: the loop
#
# Go through `batches`, each one (x0, words, bias, weight), and make one step of `optimizer` for each.
#
# - **Times.** The B pictures share out the time: first draw B numbers u in 0..1 with `generator`; picture i (from 0) gets the
#   integer time $t_i = \lceil T (i + u_i) / B \rceil$, at least 1. Then draw `eps` like x0, with the same generator.
# - **Loss**: `weighted_loss`, as you wrote it.
# - **Gradients** are those of this batch alone, and are clipped to at most norm 1, all weights together, before the step.
# - **Warm-up.** At step k, counted from 1, the learning rate of every group of `optimizer.param_groups` is its own first one
#   times min(1, k / warmup).
#
# Return the losses as a list of numbers. The network's mode is left alone.
# %% [markdown] lang="vi" of="005bd8b7"
# ## Phần 2, huấn luyện: vòng lặp
#
# Đi qua `batches`, mỗi lô là (x0, words, bias, weight), và với mỗi lô làm một bước của `optimizer`.
#
# - **Thời điểm.** B ảnh chia nhau thời gian: trước hết sinh B số u trong 0..1 bằng `generator`; ảnh i (từ 0) nhận thời điểm
#   nguyên $t_i = \lceil T (i + u_i) / B \rceil$, ít nhất là 1. Sau đó sinh `eps` như x0, bằng cùng generator.
# - **Hàm mất mát**: `weighted_loss`, như bạn đã viết.
# - **Gradient** chỉ là của lô này, và được cắt để không vượt quá chuẩn 1, tính chung mọi trọng số, trước khi bước.
# - **Khởi động.** Ở bước k, đếm từ 1, tốc độ học của mỗi nhóm trong `optimizer.param_groups` bằng tốc độ ban đầu của chính nó
#   nhân với min(1, k / warmup).
#
# Trả về các giá trị của hàm mất mát dưới dạng danh sách số. Không động đến chế độ của mạng.

# %% [markdown] lang="en" role="hints"
# Remember the learning rates before the loop; in it: rates, dice, loss, zero_grad, backward, clip, step.
# ---
# `torch.rand(B, generator=generator)`, then `(T * (torch.arange(B) + u) / B).ceil().long().clamp(min=1)`.
# ---
# `nn.utils.clip_grad_norm_(network.parameters(), ...)` stands between `backward()` and `step()`.
# %% [markdown] lang="vi" of="a8e7e098"
# Nhớ các tốc độ học trước vòng lặp; trong vòng lặp: tốc độ, số ngẫu nhiên, hàm mất mát, zero_grad, backward, cắt, step.
# ---
# `torch.rand(B, generator=generator)`, rồi `(T * (torch.arange(B) + u) / B).ceil().long().clamp(min=1)`.
# ---
# `nn.utils.clip_grad_norm_(network.parameters(), ...)` đứng giữa `backward()` và `step()`.

# %% [markdown] lang="en" role="stub"
# Trains network(x, a, words, bias) with one step for each of the batches (x0,
# words, bias, weight). table: alpha_bar, (T + 1,). Returns the losses.
# ---
# 1. remember the learning rate of each group
# 2. for each batch: this step's learning rates
# 3. u, t and eps
# 4. loss, and its gradients alone
# 5. clip, step, remember the loss
# %% [markdown] lang="vi" of="4a7469bd"
# Huấn luyện network(x, a, words, bias), mỗi lô (x0, words, bias, weight) một bước.
# table: alpha_bar, (T + 1,). Trả về các giá trị của hàm mất mát.
# ---
# 1. nhớ tốc độ học của từng nhóm
# 2. với mỗi lô: tốc độ học của bước này
# 3. u, t và eps
# 4. hàm mất mát, và chỉ gradient của nó
# 5. cắt, bước, nhớ giá trị hàm mất mát

# %% role="solution"
def train(
    network: nn.Module, optimizer: torch.optim.Optimizer, batches: list[tuple],
    table: Tensor, warmup: int, generator: torch.Generator,
) -> list[float]:
    T, losses = len(table) - 1, []
    first = [group["lr"] for group in optimizer.param_groups]
    for k, (x0, words, bias, weight) in enumerate(batches, start=1):
        for group, lr in zip(optimizer.param_groups, first, strict=True):
            group["lr"] = lr * min(1, k / warmup)
        B = len(x0)
        u = torch.rand(B, generator=generator)                      # (B,)
        t = (T * (torch.arange(B) + u) / B).ceil().long().clamp(min=1)
        eps = torch.randn(x0.shape, generator=generator)            # (B, ...)
        loss = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses

# %% [markdown] lang="en" role="checks"
# - a number for each batch, and PyTorch's own dice untouched
# - the noise that the network is told of, batches of 4 and of 3
# - the first loss
# - the losses of six steps
# - the weights after six steps
# - the learning rates of two groups, step by step
# - the norm of the gradients at each step
# - gradients of before count for nothing
# - the network's mode, whatever it is
# %% [markdown] lang="vi" of="42678017"
# - mỗi lô một số, và không động đến bộ sinh số ngẫu nhiên chung của PyTorch
# - mức nhiễu mà mạng được báo, với lô 4 ảnh và lô 3 ảnh
# - giá trị hàm mất mát đầu tiên
# - giá trị hàm mất mát qua sáu bước
# - trọng số sau sáu bước
# - tốc độ học của hai nhóm, từng bước
# - chuẩn của gradient ở mỗi bước
# - gradient có từ trước không được tính
# - chế độ của mạng, dù là chế độ nào

# %% role="probes"
import torch
from torch import nn


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Network(nn.Module):
    """Two layers that see the picture, the noise and the words, and remember the noise."""

    def __init__(self, size=1.0):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 4)
        for k, weight in enumerate(self.parameters()):
            weight.data = size * normal(*weight.shape, seed=k) / 3
        self.told = []

    def forward(self, x, a, words, bias):
        self.told.append(a.detach().clone())
        return self.last(self.first(torch.cat([x, a[:, None], words.mean((1, 2))[:, None]], dim=1)).tanh())


class Slow(torch.optim.SGD):
    """Plain steps, which remember the rates and the norms of the gradients."""

    def __init__(self, network):
        super().__init__([{"params": list(network.first.parameters()), "lr": 0.3}, {"params": list(network.last.parameters())}], lr=0.1)
        self.rates, self.norms = [], []

    def step(self, closure=None):
        self.rates.append([group["lr"] for group in self.param_groups])
        gradients = [w.grad.flatten() for group in self.param_groups for w in group["params"] if w.grad is not None]
        self.norms.append(torch.cat(gradients).norm())
        super().step(closure)


def trained(f, batches, table, warmup=3, size=1.0, mode=True, stale=False):
    network = Network(size).train(mode)
    optimizer, dice = Slow(network), torch.Generator().manual_seed(5)
    if stale:
        for weight in network.parameters():
            weight.grad = torch.ones_like(weight)
    losses = f(network, optimizer, batches, table, warmup, dice)
    return network, optimizer, losses


def counted(f, batches, table):
    before = torch.get_rng_state()
    _, _, losses = trained(f, batches, table)
    return [type(losses).__name__, [type(loss).__name__ for loss in losses], bool((torch.get_rng_state() == before).all())]


def weights(network):
    return {name: w.detach().clone() for name, w in network.named_parameters()}


def modes(f, batches, table):
    return [trained(f, batches, table, mode=mode)[0].training for mode in (True, False)]


TABLE = torch.cos(torch.linspace(0, 1.5, 21, dtype=torch.float64)) ** 2
BATCHES = [(normal(B, 4, seed=10 + k), normal(B, 3, 2, seed=20 + k), torch.zeros(B, 1, 1, 3), torch.arange(1.0, B + 1))
           for k, B in enumerate([4, 3, 4, 4, 3, 4])]
KIT = dict(batches=BATCHES, table=TABLE, rtol=1e-4, atol=1e-5)

probe(counted, **KIT)
probe(lambda f, batches, table: trained(f, batches, table)[0].told, **KIT)
probe(lambda f, batches, table: trained(f, batches, table)[2][:1], **KIT)
probe(lambda f, batches, table: trained(f, batches, table)[2], **KIT)
probe(lambda f, batches, table: weights(trained(f, batches, table)[0]), points=2, **KIT)
probe(lambda f, batches, table: trained(f, batches, table, warmup=4)[1].rates, **KIT)
probe(lambda f, batches, table: trained(f, batches, table, size=6.0, warmup=1)[1].norms, **KIT)
probe(lambda f, batches, table: weights(trained(f, batches[:1], table, stale=True)[0]), **KIT)
probe(modes, **KIT)

# %% [markdown] lang="en" role="mistake" name="not_cleared"
# The gradients of earlier batches are still there: `backward()` adds. Clear them before each one.
# %% [markdown] lang="vi" of="e88aa5fa"
# Gradient của các lô trước vẫn còn đó: `backward()` cộng dồn. Hãy xóa trước mỗi lần.
# %% role="wrong" name="not_cleared"
patch("        optimizer.zero_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="cleared_too_late"
# The gradients are cleared between `backward()` and `step()`, so no step moves anything.
# %% [markdown] lang="vi" of="c8598c8c"
# Gradient bị xóa giữa `backward()` và `step()`, nên không bước nào làm thay đổi gì.
# %% role="wrong" name="cleared_too_late"
patch("        optimizer.zero_grad()\n        loss.backward()\n", "        loss.backward()\n        optimizer.zero_grad(set_to_none=False)\n")

# %% [markdown] lang="en" role="mistake" name="not_clipped"
# The gradients are not clipped, or only after the step: one bad batch can throw the network far away.
# %% [markdown] lang="vi" of="e923aa07"
# Gradient không được cắt, hoặc chỉ được cắt sau khi bước: một lô xấu có thể ném mạng đi rất xa.
# %% role="wrong" name="not_clipped"
patch("        nn.utils.clip_grad_norm_(network.parameters(), max_norm=1.0)\n", "")

# %% [markdown] lang="en" role="mistake" name="clipped_by_value"
# Each number of the gradient was clipped by itself, which turns its direction. Cut the norm of all weights together.
# %% [markdown] lang="vi" of="f972c85d"
# Từng số của gradient bị cắt riêng, làm lệch hướng của nó. Hãy cắt chuẩn chung của mọi trọng số.
# %% role="wrong" name="clipped_by_value"
patch("clip_grad_norm_(network.parameters(), max_norm=1.0)", "clip_grad_value_(network.parameters(), 1.0)")

# %% [markdown] lang="en" role="mistake" name="clipped_one_by_one"
# Each weight's gradient has its own norm of 1 here. Cut the norm of all of them together.
# %% [markdown] lang="vi" of="db44e0f0"
# Ở đây gradient của mỗi trọng số bị cắt theo chuẩn bằng 1 của riêng nó. Hãy cắt chuẩn chung của tất cả.
# %% role="wrong" name="clipped_one_by_one"
patch("nn.utils.clip_grad_norm_(network.parameters(), max_norm=1.0)",
      "[nn.utils.clip_grad_norm_([w], max_norm=1.0) for w in network.parameters()]")

# %% [markdown] lang="en" role="mistake" name="no_warm_up"
# The learning rate is the full one from the first step on.
# %% [markdown] lang="vi" of="68951a12"
# Tốc độ học đã ở mức đầy đủ ngay từ bước đầu.
# %% role="wrong" name="no_warm_up"
patch("lr * min(1, k / warmup)", "lr")

# %% [markdown] lang="en" role="mistake" name="from_0"
# The warm-up counts from 0, so the first step has the learning rate 0 and is lost. Steps are counted from 1.
# %% [markdown] lang="vi" of="dee5647e"
# Giai đoạn khởi động đếm từ 0, nên bước đầu có tốc độ học 0 và bị bỏ phí. Các bước được đếm từ 1.
# %% role="wrong" name="from_0"
patch("min(1, k / warmup)", "min(1, (k - 1) / warmup)")

# %% [markdown] lang="en" role="mistake" name="beyond_the_full_rate"
# The learning rate grows for ever: behind the warm-up it stays at its first value, min(1, ...).
# %% [markdown] lang="vi" of="d2aa3405"
# Tốc độ học tăng mãi: sau giai đoạn khởi động nó phải giữ ở giá trị ban đầu, min(1, ...).
# %% role="wrong" name="beyond_the_full_rate"
patch("min(1, k / warmup)", "k / warmup")

# %% [markdown] lang="en" role="mistake" name="shrinking"
# Each step multiplies the rate that the step before has left. Remember the first rates before the loop and multiply those.
# %% [markdown] lang="vi" of="b9315ae7"
# Mỗi bước lại nhân tốc độ mà bước trước để lại. Hãy nhớ các tốc độ ban đầu trước vòng lặp rồi nhân những giá trị ấy.
# %% role="wrong" name="shrinking"
patch('group["lr"] = lr * min', 'group["lr"] = group["lr"] * min')

# %% [markdown] lang="en" role="mistake" name="one_rate_for_all"
# Every group got the learning rate of the first one. Each has its own.
# %% [markdown] lang="vi" of="0aff58f8"
# Nhóm nào cũng nhận tốc độ học của nhóm đầu. Mỗi nhóm có tốc độ riêng.
# %% role="wrong" name="one_rate_for_all"
patch('group["lr"] = lr * min', 'group["lr"] = first[0] * min')

# %% [markdown] lang="en" role="mistake" name="times_by_lot"
# The times are drawn by lot, each from all of 1 to T. Here picture i has its own B-th part of the time.
# %% [markdown] lang="vi" of="d3823ed4"
# Các thời điểm được rút ngẫu nhiên, cái nào cũng từ cả khoảng 1 đến T. Ở đây ảnh i có phần thứ i trong B phần của thời gian.
# %% role="wrong" name="times_by_lot"
patch("(T * (torch.arange(B) + u) / B)", "(T * u)")

# %% [markdown] lang="en" role="mistake" name="rounded_down"
# The times are rounded down, so T never comes up, where sampling begins. Round up: `ceil`.
# %% [markdown] lang="vi" of="ee7b8441"
# Các thời điểm bị làm tròn xuống, nên T, nơi bắt đầu lấy mẫu, không bao giờ xuất hiện. Hãy làm tròn lên: `ceil`.
# %% role="wrong" name="rounded_down"
patch(".ceil().long()", ".long()")

# %% [markdown] lang="en" role="mistake" name="eps_first"
# eps was drawn before u. The same dice then give other numbers, and no run can be compared with yours.
# %% [markdown] lang="vi" of="c1fe57df"
# eps được sinh trước u. Cùng bộ sinh ngẫu nhiên khi đó cho các số khác, và không lần chạy nào so được với của bạn.
# %% role="wrong" name="eps_first"
patch("        eps = torch.randn(x0.shape, generator=generator)            # (B, ...)\n", "")
patch("        u = torch.rand(B", "        eps = torch.randn(x0.shape, generator=generator)\n        u = torch.rand(B")

# %% [markdown] lang="en" role="mistake" name="own_dice"
# The random numbers don't come from `generator`: hand it to both calls.
# %% [markdown] lang="vi" of="f511c786"
# Các số ngẫu nhiên không đến từ `generator`: hãy đưa nó vào cả hai lệnh gọi.
# %% role="wrong" name="own_dice"
patch("torch.rand(B, generator=generator)", "torch.rand(B)")
patch("torch.randn(x0.shape, generator=generator)", "torch.randn(x0.shape)")

# %% [markdown] lang="en" role="mistake" name="eps_from_own_dice"
# eps doesn't come from `generator`: torch.randn_like takes none in older versions, torch.randn does.
# %% [markdown] lang="vi" of="9816ec76"
# eps không đến từ `generator`: ở các bản cũ torch.randn_like không nhận generator, còn torch.randn thì nhận.
# %% role="wrong" name="eps_from_own_dice"
patch("torch.randn(x0.shape, generator=generator)", "torch.randn_like(x0)")

# %% [markdown] lang="en" role="mistake" name="tensors"
# The losses are tensors, and each keeps the whole graph of its step in memory: `.item()`.
# %% [markdown] lang="vi" of="02d6e0c3"
# Các giá trị hàm mất mát là tensor, và mỗi cái giữ cả đồ thị của bước ấy trong bộ nhớ: `.item()`.
# %% role="wrong" name="tensors"
patch("loss.item()", "loss")

# %% [markdown] lang="en" role="mistake" name="put_into_training_mode"
# The network was put into training mode. Whoever hands it over in another mode means it.
# %% [markdown] lang="vi" of="f85834f7"
# Mạng bị chuyển sang chế độ huấn luyện. Ai đưa mạng ở chế độ khác là có ý như vậy.
# %% role="wrong" name="put_into_training_mode"
patch("    T, losses", "    network.train()\n    T, losses")

# %% [markdown] lang="en" role="mistake" name="no_step"
# `optimizer.step()` is missing: the gradients are found and never used.
# %% [markdown] lang="vi" of="431f7e2a"
# Thiếu `optimizer.step()`: gradient được tính mà không bao giờ dùng.
# %% role="wrong" name="no_step"
patch("        optimizer.step()\n", "")

# %% [markdown] lang="en" role="mistake" name="only_the_last_loss"
# Only one loss is returned. A list of all of them is wanted, in order.
# %% [markdown] lang="vi" of="6a46f6c8"
# Hàm chỉ trả về một giá trị hàm mất mát. Cần danh sách tất cả, theo thứ tự.
# %% role="wrong" name="only_the_last_loss"
patch("return losses", "return losses[-1:]")

# %% role="library"
import torch
from torch import nn


def train(network, optimizer, batches, table, warmup, generator):
    """PyTorch's own scheduler warms up."""
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, (k + 1) / warmup))
    losses = []
    for x0, words, bias, weight in batches:
        lots = torch.rand(len(x0), generator=generator)
        share = (torch.arange(len(x0)) + lots).mul(len(table) - 1).div(len(x0))
        t = share.ceil().clamp(1, len(table) - 1).to(torch.int64)
        eps = torch.empty_like(x0).normal_(generator=generator)
        network.zero_grad()
        error = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        error.backward()
        nn.utils.clip_grad_norm_(list(network.parameters()), max_norm=1.0)
        optimizer.step()
        rates.step()
        losses.append(float(error))
    return losses

# %% role="payoff"
from minidiff.course.functional import small_training
from minidiff.course.notebook import lines

parts = (time_embedding, ResBlock, down_and_up, CrossAttention)


def drawn(train: Callable) -> Tensor:
    """A small network of your parts learns coloured spots: six of them, enlarged."""
    losses, pictures = small_training(parts, alpha_bars(200), train)
    smooth = torch.tensor(losses).view(-1, 20).mean(1).tolist()
    lines({"loss": smooth}, title="20 steps each", x="steps / 20")
    return F.interpolate(pictures, scale_factor=6.0)            # (6, 3, 72, 72)


payoff(drawn, train, tolerance=0.3)         # rounding errors grow in training
