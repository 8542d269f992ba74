"""Exercise 02.6, train_ddpm: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## The training loop
#
# **Train it.** For each batch `x0`, draw `t` with `torch.randint`, a step in $1..T$ for each example, then `eps` with
# `torch.randn`, both from `generator`; take your `ddpm_loss`; and make one step of the optimizer along the gradient of this
# batch alone. The network changes in place. Leave it in the mode that it is in, training or evaluation.
#
# The weights jitter from batch to batch, so one samples with their **exponential moving average (EMA)** instead (lesson 03
# measures what that gains). It begins at the initial weights; after every step, with $d$ = `decay`,
#
# $$\bar w \leftarrow d\,\bar w + (1 - d)\,w$$
#
# Return it; the network itself keeps $w$.
#
# Below it, everything that you wrote in this lesson works together. Your loop trains a small network for 1000 steps (some
# seconds), and 2000 points are drawn. From left to right: the data, points drawn with the last weights, and points drawn with
# their average.
# %% [markdown] lang="vi" of="7d2ef4f9"
# ## Vòng lặp huấn luyện
#
# **Huấn luyện.** Với mỗi lô `x0`, sinh `t` bằng `torch.randint`, mỗi mẫu một bước trong $1..T$, rồi sinh `eps` bằng
# `torch.randn`, cả hai từ `generator`; tính `ddpm_loss` của bạn; rồi cho optimizer đi một bước theo gradient của riêng lô này.
# Mạng được thay đổi tại chỗ. Mạng đang ở chế độ nào, huấn luyện hay đánh giá, thì cứ để nguyên chế độ đó.
#
# Các trọng số dao động từ lô này sang lô khác, nên người ta lấy mẫu bằng **trung bình trượt hàm mũ (exponential moving
# average, EMA)** của chúng (bài 03 sẽ đo xem như thế được lợi gì). Nó bắt đầu từ các trọng số ban đầu; sau mỗi bước, với
# $d$ = `decay`,
#
# $$\bar w \leftarrow d\,\bar w + (1 - d)\,w$$
#
# Hãy trả về trung bình ấy; còn mạng thì giữ $w$.
#
# Bên dưới, mọi thứ bạn đã viết trong bài này cùng làm việc. Vòng lặp của bạn huấn luyện một mạng nhỏ trong 1000 bước (mất vài
# giây), rồi vẽ 2000 điểm. Từ trái sang phải: dữ liệu, các điểm vẽ bằng trọng số cuối cùng, và các điểm vẽ bằng trung bình của
# chúng.

# %% [markdown] lang="en" role="hints"
# What must be kept from before the first batch, and what must be forgotten before each `backward()`?
# ---
# `torch.randint` leaves out its upper end, like `range`. Then come the three calls of lesson 01, in their order: `zero_grad`,
# `backward`, `step`. Only after these are the weights new.
# ---
# Begin with `{name: w.detach().clone() for name, w in network.named_parameters()}`. After each step, under `torch.no_grad()`,
# go through the parameters again: `average[name].lerp_(w, 1 - decay)`.
# %% [markdown] lang="vi" of="ebdf8dcd"
# Trước lô đầu tiên phải giữ lại gì, và trước mỗi lần `backward()` phải quên đi gì?
# ---
# `torch.randint` không lấy đầu trên, giống như `range`. Tiếp theo là ba lệnh gọi của bài 01, theo đúng thứ tự: `zero_grad`,
# `backward`, `step`. Chỉ sau ba lệnh ấy trọng số mới là trọng số mới.
# ---
# Bắt đầu với `{name: w.detach().clone() for name, w in network.named_parameters()}`. Sau mỗi bước, trong `torch.no_grad()`, hãy
# đi qua các tham số một lần nữa: `average[name].lerp_(w, 1 - decay)`.

# %% [markdown] lang="en" role="stub"
# Trains a network that predicts noise, in place and with one step for each batch.
# Returns the exponential moving average of its weights: {name of the parameter:
# tensor}, in memory of its own and without gradients.
# network: (x (B, ...), t (B,) int64) -> (B, ...); optimizer: of its parameters;
# batches: x0 (B, ...) float32 each, B may vary; alpha_bar: (T + 1,); generator: t,
# then eps of each batch come from it; decay: 0 to 1.
# ---
# 1. copy the weights: the average begins there
# 2. for each x0 in batches:                                # (B, ...)
# 3.     draw t in 1..T, then eps                           # (B,) int64, (B, ...)
# 4.     take the loss                                      # ()
# 5.     step along the gradient of this batch alone
# 6.     average = decay * average + (1 - decay) * weights
# 7. return the average
# %% [markdown] lang="vi" of="a9411263"
# Huấn luyện một mạng dự đoán nhiễu, tại chỗ và mỗi lô một bước. Trả về trung bình
# trượt hàm mũ của các trọng số: {tên của tham số: tensor}, nằm trong bộ nhớ riêng
# và không có gradient.
# network: (x (B, ...), t (B,) int64) -> (B, ...); optimizer: của các tham số ấy;
# batches: mỗi lô là x0 (B, ...) float32, B có thể khác nhau; alpha_bar: (T + 1,);
# generator: nguồn sinh t, rồi eps của từng lô; decay: từ 0 đến 1.
# ---
# 1. chép lại các trọng số: trung bình bắt đầu từ đó
# 2. với mỗi x0 trong batches:                              # (B, ...)
# 3.     sinh t trong 1..T, rồi sinh eps                    # (B,) int64, (B, ...)
# 4.     tính hàm mất mát                                   # ()
# 5.     đi một bước theo gradient của riêng lô này
# 6.     trung bình = decay * trung bình + (1 - decay) * trọng số
# 7. trả về trung bình

# %% role="solution"
def train_ddpm(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, batches: list[Tensor],
    alpha_bar: Tensor, generator: torch.Generator, decay: float,
) -> dict[str, Tensor]:
    T = len(alpha_bar) - 1
    average = {name: w.detach().clone() for name, w in network.named_parameters()}
    for x0 in batches:
        t = torch.randint(1, T + 1, (len(x0),), generator=generator)    # (B,)
        eps = torch.randn(x0.shape, generator=generator)                # (B, ...)
        loss = ddpm_loss(network, x0, t, eps, alpha_bar)                # ()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for name, w in network.named_parameters():
                average[name].lerp_(w, 1 - decay)
    return average

# %% [markdown] lang="en" role="checks"
# - steps from 1 to T, both ends included
# - what the network is shown: its t and x_t, batch by batch
# - the weights after one batch
# - the weights after three batches, the last one smaller
# - the average after these three batches
# - the average begins at the initial weights
# - the average has memory of its own, and needs no gradient
# - the network stays in its mode, training or evaluation
# %% [markdown] lang="vi" of="f3cbceba"
# - các bước từ 1 đến T, kể cả hai đầu
# - những gì mạng được xem: t và x_t, từng lô một
# - trọng số sau một lô
# - trọng số sau ba lô, lô cuối nhỏ hơn
# - trung bình sau ba lô đó
# - trung bình bắt đầu từ các trọng số ban đầu
# - trung bình nằm trong bộ nhớ riêng và không đòi gradient
# - mạng giữ nguyên chế độ của nó, huấn luyện hay đánh giá

# %% role="probes"
import torch
from torch import nn

from minidiff.diffusion.schedules import per_example

ALPHA_BAR = torch.tensor([1.0, 0.9, 0.72, 0.432, 0.216])    # T = 4
DECAY = 0.75


class Toy(nn.Module):
    """A network with three numbers to learn, which notes what it is shown."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.7))
        self.slope = nn.Parameter(torch.tensor([0.2, -0.1]))
        self.seen_t, self.seen_x = [], []

    def forward(self, x, t):
        each = torch.as_tensor(t).reshape(-1).expand(len(x))                # (B,)
        self.seen_t.append(each.clone())
        self.seen_x.append(x.detach().clone())
        return self.gain * x - self.slope * per_example(each.float(), x)    # (B, 2)


def points(*sizes):
    """Batches (B, 2) of these sizes, always the same."""
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(size, 2, generator=generator) for size in sizes]


def trained(f, network, batches, alpha_bar):
    """What f returns; the network is trained afterwards."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(6)
    return f(network, optimizer, batches, alpha_bar, generator, DECAY)


def weights(network):
    return {name: w.detach().clone() for name, w in network.named_parameters()}


def steps_seen(f, network, **inputs):
    trained(f, network, **inputs)
    return sorted(set(torch.cat(network.seen_t).tolist()))


def shown(f, network, **inputs):
    trained(f, network, **inputs)
    return {"t": network.seen_t, "x_t": network.seen_x}


def weights_after(f, network, **inputs):
    trained(f, network, **inputs)
    return weights(network)


def average_of_none_and_one(f, network, batches, alpha_bar):
    return [trained(f, network, some, alpha_bar) for some in ([], batches)]


def memory(f, network, **inputs):
    average = trained(f, network, **inputs)
    before = {name: w.detach().clone() for name, w in average.items()}
    with torch.no_grad():
        for w in network.parameters():
            w.add_(1)
    same = [torch.equal(average[name], w) for name, w in before.items()]
    return {
        "the average changes when the network does": not all(same),
        "the average needs a gradient": any(w.requires_grad for w in average.values()),
    }


def modes(f, network, **inputs):
    found = []
    for training in (True, False):
        network.train(training)
        trained(f, network, **inputs)
        found.append("training" if network.training else "evaluation")
    return found


THREE = {"network": Toy(), "batches": points(4, 4, 2), "alpha_bar": ALPHA_BAR}
ONE = {**THREE, "batches": points(4)}
MANY = {**THREE, "batches": points(200, 200)}

probe(steps_seen, changes=("network",), **MANY)
probe(shown, changes=("network",), **THREE)
probe(weights_after, changes=("network",), **ONE)
probe(weights_after, points=2, changes=("network",), **THREE)
probe(trained, points=2, changes=("network",), **THREE)
probe(average_of_none_and_one, changes=("network",), **ONE)
probe(memory, changes=("network",), **THREE)
probe(modes, changes=("network",), **THREE)

# %% [markdown] lang="en" role="mistake" name="no_zero_grad"
# The gradients add up from batch to batch: `backward()` adds to what is in `.grad` already. The first step is right, and each
# later one goes along all batches so far. Call `zero_grad()` for each batch, not just once.
# %% [markdown] lang="vi" of="95fa8041"
# Gradient bị cộng dồn từ lô này sang lô khác: `backward()` cộng thêm vào những gì đã có trong `.grad`. Bước đầu tiên thì đúng,
# còn các bước sau đi theo mọi lô từ đầu đến giờ. Hãy gọi `zero_grad()` cho từng lô, không chỉ một lần.
# %% role="wrong" name="no_zero_grad"
patch("        optimizer.zero_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="never_learns"
# The weights don't change: whenever the optimizer steps, there is no gradient. Either `step()` comes before `backward()`, or
# `zero_grad()` comes between them and wipes out what `backward()` has just found.
# %% [markdown] lang="vi" of="b076e704"
# Trọng số không thay đổi: mỗi khi optimizer đi một bước thì chẳng có gradient nào. Hoặc `step()` đứng trước `backward()`, hoặc
# `zero_grad()` chen vào giữa và xóa mất những gì `backward()` vừa tìm được.
# %% role="wrong" name="never_learns"
patch(
    "optimizer.zero_grad()\n        loss.backward()",
    "loss.backward()\n        optimizer.zero_grad()",
)

# %% [markdown] lang="en" role="mistake" name="a_step_late"
# `step()` comes first in the loop, so it goes along the gradient of the batch before: the first step does nothing, and the last
# batch is never used. It comes after `backward()`.
# %% [markdown] lang="vi" of="85a6e166"
# `step()` đứng đầu vòng lặp nên đi theo gradient của lô trước: bước đầu tiên không làm gì, còn lô cuối thì không bao giờ được
# dùng đến. Nó phải đứng sau `backward()`.
# %% role="wrong" name="a_step_late"
patch("        optimizer.step()\n", "")
patch("optimizer.zero_grad()", "optimizer.step()\n        optimizer.zero_grad()")

# %% [markdown] lang="en" role="mistake" name="one_t"
# One t was drawn for the whole batch. Each example gets a step of its own, (B,) of them: a batch then covers many steps, and
# its gradient is far less noisy.
# %% [markdown] lang="vi" of="b044dbaf"
# Cả lô chỉ có một t. Mỗi mẫu phải có bước riêng, tất cả (B,) giá trị: như vậy một lô phủ được nhiều bước, và gradient của nó ít
# nhiễu hơn hẳn.
# %% role="wrong" name="one_t"
patch("(len(x0),), generator=generator)", "(1,), generator=generator).expand(len(x0))")

# %% [markdown] lang="en" role="mistake" name="from_0"
# t may be 0 here. Step 0 is clean data: x_0 holds no noise, and nobody can guess the eps that isn't there. Steps to learn from
# begin at 1.
# %% [markdown] lang="vi" of="2f7ac059"
# Ở đây t có thể bằng 0. Bước 0 là dữ liệu sạch: trong x_0 không có nhiễu, và không ai đoán được eps vốn không có mặt. Các bước
# để học bắt đầu từ 1.
# %% role="wrong" name="from_0"
patch("torch.randint(1, T + 1,", "torch.randint(0, T + 1,")

# %% [markdown] lang="en" role="mistake" name="without_T"
# t is never T: randint leaves out its upper end. Sampling begins at T, so there the network would be asked what it never saw.
# %% [markdown] lang="vi" of="cdd0432c"
# t không bao giờ bằng T: randint không lấy đầu trên. Lấy mẫu lại bắt đầu ở T, nên ở đó mạng sẽ bị hỏi điều nó chưa từng thấy.
# %% role="wrong" name="without_T"
patch("torch.randint(1, T + 1,", "torch.randint(1, T,")

# %% [markdown] lang="en" role="mistake" name="as_in_a_shorter_table"
# t goes from 0 to T - 1, as in published code, whose tables begin with the first noisy step. Ours begins with clean data: step
# 0 has no noise to guess, and step T, where sampling begins, is missing.
# %% [markdown] lang="vi" of="292e1fb8"
# t đi từ 0 đến T - 1, như trong các mã nguồn đã công bố, nơi bảng bắt đầu từ bước có nhiễu đầu tiên. Bảng của ta bắt đầu từ dữ
# liệu sạch: bước 0 không có nhiễu để đoán, mà lại thiếu bước T, nơi bắt đầu lấy mẫu.
# %% role="wrong" name="as_in_a_shorter_table"
patch("torch.randint(1, T + 1,", "torch.randint(0, T,")

# %% [markdown] lang="en" role="mistake" name="eps_first"
# eps was drawn before t. It would train as well, but the same generator gives other numbers then, and a run could not be
# compared with anybody else's: t comes first.
# %% [markdown] lang="vi" of="2e95144d"
# eps được sinh trước t. Như vậy vẫn huấn luyện được, nhưng cùng một generator lại cho các số khác, và không so được với lần
# chạy của người khác: t phải được sinh trước.
# %% role="wrong" name="eps_first"
patch("eps = torch.randn(x0.shape, generator=generator)", "pass")
patch(
    "t = torch.randint(",
    "eps = torch.randn(x0.shape, generator=generator)\n        t = torch.randint(",
)

# %% [markdown] lang="en" role="mistake" name="without_the_generator"
# t and eps don't come from the generator that was given but from PyTorch's own, so the run cannot be repeated. Hand
# generator=generator to both calls.
# %% [markdown] lang="vi" of="f6161acd"
# t và eps không đến từ generator được truyền vào mà từ generator chung của PyTorch, nên không lặp lại được lần chạy này. Hãy
# đưa generator=generator vào cả hai lệnh gọi.
# %% role="wrong" name="without_the_generator"
patch("(len(x0),), generator=generator)", "(len(x0),))")
patch("(x0.shape, generator=generator)", "(x0.shape)")

# %% [markdown] lang="en" role="mistake" name="eps_without_the_generator"
# t comes from the generator, but eps doesn't, so the run cannot be repeated. Hand generator=generator to that call, too (in
# older versions of PyTorch randn_like takes none: use torch.randn).
# %% [markdown] lang="vi" of="e8d12d7d"
# t đến từ generator, nhưng eps thì không, nên không lặp lại được lần chạy này. Hãy đưa generator=generator vào cả lệnh gọi đó
# (ở các phiên bản PyTorch cũ, randn_like không nhận generator: hãy dùng torch.randn).
# %% role="wrong" name="eps_without_the_generator"
patch("torch.randn(x0.shape, generator=generator)", "torch.randn_like(x0)")

# %% [markdown] lang="en" role="mistake" name="uniform_noise"
# eps is uniform in 0..1, from torch.rand. Noise is standard normal here: one letter more, torch.randn.
# %% [markdown] lang="vi" of="157c67a9"
# eps phân phối đều trong 0..1, do torch.rand sinh ra. Ở đây nhiễu phải là chuẩn tắc: thêm một chữ cái, torch.randn.
# %% role="wrong" name="uniform_noise"
patch("torch.randn(x0.shape", "torch.rand(x0.shape")

# %% [markdown] lang="en" role="mistake" name="one_eps"
# All examples of a batch share the same eps, so the network sees far less noise than it could. Draw it in the shape of the
# whole batch, x0.shape.
# %% [markdown] lang="vi" of="ce224b69"
# Mọi mẫu trong một lô dùng chung một eps, nên mạng được thấy ít nhiễu hơn nhiều so với mức có thể. Hãy sinh eps theo kích thước
# của cả lô, x0.shape.
# %% role="wrong" name="one_eps"
patch("torch.randn(x0.shape,", "torch.zeros_like(x0) + torch.randn(x0.shape[1:],")

# %% [markdown] lang="en" role="mistake" name="decay_swapped"
# The decay weighs the wrong one of the two. A decay near 1 means: keep almost all of the average, take in a little of the new
# weights.
# %% [markdown] lang="vi" of="2773fb31"
# Hệ số decay đang nhân nhầm đại lượng. Decay gần 1 nghĩa là: giữ gần hết trung bình cũ, chỉ nhận một chút trọng số mới.
# %% role="wrong" name="decay_swapped"
patch("lerp_(w, 1 - decay)", "lerp_(w, decay)")

# %% [markdown] lang="en" role="mistake" name="average_from_0"
# The average begins at 0, so for a long time it is too small: after n steps, about 1 - decay^n of what it should be. Begin at
# the initial weights.
# %% [markdown] lang="vi" of="479d0d8a"
# Trung bình bắt đầu từ 0, nên trong một thời gian dài nó quá nhỏ: sau n bước chỉ bằng khoảng 1 - decay^n lần giá trị đúng ra
# phải có. Hãy bắt đầu từ các trọng số ban đầu.
# %% role="wrong" name="average_from_0"
patch("w.detach().clone()", "torch.zeros_like(w)")

# %% [markdown] lang="en" role="mistake" name="shared_memory"
# This is the network's own memory: the average follows each step in full and ends as the last weights. detach() and
# state_dict() don't copy; clone() does.
# %% [markdown] lang="vi" of="cec474aa"
# Đây chính là bộ nhớ của mạng: trung bình đi theo trọn từng bước và rốt cuộc là trọng số cuối cùng. detach() và state_dict()
# không chép; clone() mới chép.
# %% role="wrong" name="shared_memory"
patch("w.detach().clone()", "w.detach()")

# %% [markdown] lang="en" role="mistake" name="from_the_first_step"
# The average begins at the weights after the first step. Either it was begun too late, or the initial weights were not copied
# (detach() and state_dict() share memory) and the first step overwrote them: clone them.
# %% [markdown] lang="vi" of="ce643890"
# Trung bình bắt đầu từ trọng số sau bước đầu tiên. Hoặc nó được khởi tạo quá muộn, hoặc các trọng số ban đầu không được chép
# lại (detach() và state_dict() dùng chung bộ nhớ) nên bị bước đầu tiên ghi đè: hãy clone chúng.
# %% role="wrong" name="from_the_first_step"
patch("w.detach().clone()", "w.detach()")
patch("average[name].lerp_(", "average[name] = average[name].lerp(")

# %% [markdown] lang="en" role="mistake" name="one_step_behind"
# The average is one step behind: it is updated before `optimizer.step()`, so the last step never enters it. The new weights are
# there only after the step.
# %% [markdown] lang="vi" of="6ec4efa6"
# Trung bình chậm một bước: nó được cập nhật trước `optimizer.step()`, nên bước cuối không bao giờ được tính vào. Chỉ sau bước
# đó mới có trọng số mới.
# %% role="wrong" name="one_step_behind"
patch("        optimizer.step()\n", "")
patch("(w, 1 - decay)", "(w, 1 - decay)\n        optimizer.step()")

# %% [markdown] lang="en" role="mistake" name="averaged_once"
# The average was updated once, after the loop. It should average over the whole way: update it after every step, inside the
# loop.
# %% [markdown] lang="vi" of="dbded059"
# Trung bình chỉ được cập nhật một lần, sau vòng lặp. Nó là trung bình dọc đường đi: hãy cập nhật sau mỗi bước, bên trong vòng
# lặp.
# %% role="wrong" name="averaged_once"
patch("        with torch.no_grad():", "    with torch.no_grad():")
patch("            for name, w in network", "        for name, w in network")
patch("                average[name]", "            average[name]")

# %% [markdown] lang="en" role="mistake" name="no_average"
# These are copies of the last weights, not an average: the steps before count for nothing.
# %% [markdown] lang="vi" of="d586a47c"
# Đây là bản sao của các trọng số cuối cùng, không phải trung bình: những gì các bước trước để lại không đóng góp gì.
# %% role="wrong" name="no_average"
patch("lerp_(w, 1 - decay)", "copy_(w)")

# %% [markdown] lang="en" role="mistake" name="plain_mean"
# This is the plain mean of the weights over all steps, the initial ones included. The exponential average forgets: what is one
# step older counts for `decay` times as much.
# %% [markdown] lang="vi" of="02970038"
# Đây là trung bình cộng của trọng số qua mọi bước, kể cả lúc ban đầu. Trung bình trượt hàm mũ thì biết quên: cứ cũ hơn một bước
# thì hệ số lại nhân thêm với `decay`.
# %% role="wrong" name="plain_mean"
patch("for x0 in batches:", "for n, x0 in enumerate(batches):")
patch("lerp_(w, 1 - decay)", "lerp_(w, 1 / (n + 2))")

# %% [markdown] lang="en" role="mistake" name="warm_up"
# This decay is smaller at first: a warm-up, as the library's EMA has it. Lesson 03 adds it; here the decay is the same at every
# step.
# %% [markdown] lang="vi" of="14114e20"
# Hệ số decay ở đây lúc đầu nhỏ hơn: một kiểu khởi động (warm-up), như EMA của thư viện. Bài 03 mới thêm nó; ở đây decay như
# nhau ở mọi bước.
# %% role="wrong" name="warm_up"
patch("for x0 in batches:", "for n, x0 in enumerate(batches):")
patch("lerp_(w, 1 - decay)", "lerp_(w, 1 - min(decay, (1 + n) / (10 + n)))")

# %% [markdown] lang="en" role="mistake" name="keeps_the_graph"
# The average requires gradients: either it was computed from the parameters with gradients on, and every update keeps the one
# before in memory, or it is made of parameters itself, as in a copy of the network. Work under torch.no_grad(), and return
# detached tensors.
# %% [markdown] lang="vi" of="3ceffc39"
# Trung bình đang đòi gradient: hoặc nó được tính từ các tham số trong lúc gradient đang bật, và mỗi lần cập nhật giữ lại lần
# trước trong bộ nhớ, hoặc chính nó gồm các tham số, như trong một bản sao của mạng. Hãy làm trong torch.no_grad() và trả về các
# tensor đã detach.
# %% role="wrong" name="keeps_the_graph"
patch("with torch.no_grad():", "if True:")

# %% [markdown] lang="en" role="mistake" name="average_in_the_network"
# The average was put into the network as well. The network keeps the weights of its last step: whoever goes on training needs
# them, with an optimizer that knows them.
# %% [markdown] lang="vi" of="27097bc2"
# Trung bình cũng bị đặt vào mạng. Mạng phải giữ trọng số của bước cuối: ai huấn luyện tiếp sẽ cần đến chúng, cùng với optimizer
# vốn quen với chúng.
# %% role="wrong" name="average_in_the_network"
patch("return average", "network.load_state_dict(average)\n    return average")

# %% [markdown] lang="en" role="mistake" name="nothing_returned"
# The network is trained, but nothing is returned (None). Return the average, after the loop.
# %% [markdown] lang="vi" of="ee029a38"
# Mạng đã được huấn luyện, nhưng hàm không trả về gì (None). Hãy trả về trung bình, sau vòng lặp.
# %% role="wrong" name="nothing_returned"
patch("    return average", "")

# %% [markdown] lang="en" role="mistake" name="network_returned"
# A whole network is returned. Return its averaged weights alone, as a dict of tensors by the parameters' names: that can be
# stored, and loaded into any network of this shape.
# %% [markdown] lang="vi" of="4cb8760a"
# Hàm trả về cả một mạng. Hãy chỉ trả về các trọng số trung bình của nó, dưới dạng dict gồm các tensor theo tên tham số: như vậy
# có thể lưu lại và nạp vào bất kỳ mạng nào cùng kích thước.
# %% role="wrong" name="network_returned"
patch(
    "    return average",
    "    import copy\n"
    "    averaged = copy.deepcopy(network)\n"
    "    averaged.load_state_dict(average)\n"
    "    return averaged",
)

# %% [markdown] lang="en" role="mistake" name="switched_to_training"
# The network was put into training mode. Whoever hands it over in evaluation mode (to keep dropout off, say) means it: leave
# its mode alone.
# %% [markdown] lang="vi" of="82b1d949"
# Mạng bị chuyển sang chế độ huấn luyện. Ai đưa mạng ở chế độ đánh giá (chẳng hạn để tắt dropout) là có ý như vậy: đừng đụng đến
# chế độ của nó.
# %% role="wrong" name="switched_to_training"
patch("T = len(alpha_bar) - 1", "T = len(alpha_bar) - 1\n    network.train()")

# %% [markdown] lang="en" role="mistake" name="left_in_evaluation"
# The network comes back in evaluation mode, though it was handed over in training mode: whoever goes on training would do so
# without dropout. Leave its mode alone.
# %% [markdown] lang="vi" of="a92a40b9"
# Mạng trở về trong chế độ đánh giá, dù lúc đưa vào đang ở chế độ huấn luyện: ai huấn luyện tiếp sẽ học mà không có dropout.
# Đừng đụng đến chế độ của nó.
# %% role="wrong" name="left_in_evaluation"
patch("    return average", "    network.eval()\n    return average")

# %% role="library"
import torch

from minidiff.diffusion.losses import diffusion_loss
from minidiff.diffusion.schedules import get_schedule
from minidiff.train.ema import EMA


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    """`EMA`, long after its warm-up, and `diffusion_loss`, at the times when the cosine
    schedule has the table's alpha_bar."""
    schedule, ema = get_schedule("cosine"), EMA(network, decay)
    ema.updates = 10**12
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        a = alpha_bar[t].double()
        time = schedule.time((a / (1 - a)).log() / 2)
        network.zero_grad()
        prediction = network(schedule.mix(x0, eps, time), t)
        diffusion_loss(prediction, x0, eps, time, schedule, "eps").backward()
        optimizer.step()
        ema.update(network)
    return ema.average

# %% role="payoff"
import math
from itertools import pairwise

from torch import nn

from minidiff.nn.embeddings import timestep_embedding


class PointNet(nn.Module):
    """The lesson's network for points: (B, 2), (B,) to (B, 2)."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (2 + 32, 96, 96, 96)
        layers = [f for a, b in pairwise(sizes) for f in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(96, 2))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x, timestep_embedding(t, 32)], dim=1))


def heart(n: int, generator: torch.Generator) -> Tensor:
    u = 2 * math.pi * torch.rand(n, generator=generator)
    y = 13 * u.cos() - 5 * (2 * u).cos() - 2 * (3 * u).cos() - (4 * u).cos()
    return torch.stack([16 * u.sin() ** 3, y + 2.5], dim=1) / 10.5      # (n, 2)


def picture(points: Tensor) -> Tensor:
    """Where the points (n, 2) are dense, as (1, 64, 64): dark is dense."""
    line = torch.linspace(-2.2, 2.2, 64)
    places = torch.cartesian_prod(-line, line).flip(1)                  # (4096, 2)
    density = torch.exp(-torch.cdist(places, points).square() / 0.01).sum(1)
    return 1 - 2 * (density / density.quantile(0.99)).clamp(max=1).view(1, 64, 64)


def draw(train_ddpm: Callable) -> Tensor:
    torch.manual_seed(1)
    network, generator = PointNet(), torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    table = alpha_bars(torch.linspace(0.001, 0.25, 40))                 # (41,)
    batches = [heart(256, generator) for _ in range(1000)]
    dice = torch.randn(41, 2000, 2, generator=generator)
    average = train_ddpm(network, optimizer, batches, table, generator, 0.99)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        a = per_example(table[t], x)
        return (x - (1 - a).sqrt() * network(x, t)) / a.sqrt()

    drawn = [torch.cat(batches[:8])]                                    # the data
    drawn.append(sample_ddpm(denoise, dice[0], table, lambda t: dice[t]))
    network.load_state_dict(average)
    drawn.append(sample_ddpm(denoise, dice[0], table, lambda t: dice[t]))
    return torch.stack([picture(points) for points in drawn])           # (3, 1, 64, 64)


payoff(draw, train_ddpm, tolerance=0.2)     # rounding errors grow in training
