"""Exercise 15.4, accumulated_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## A large batch on a small GPU
#
# What training keeps in memory for a batch grows with its size. Where there is no room for a batch of 16, there may be for one
# of 2, and eight of those, one after another, give the gradient of a batch of 16: `backward()` *adds* to the gradients that are
# there.
#
# `loss(model, batch)` is the mean loss of one batch, a tensor (). Make **one** step of the optimizer with the gradient of the
# mean over all `batches`, a list of batches of equal size:
#
# - only one batch's graph is in memory at a time;
# - the gradient, once it is complete, is clipped to the norm `max_norm`, with `nn.utils.clip_grad_norm_`;
# - gradients that stood in the weights before count for nothing, and none are left afterwards.
#
# Return the mean loss, a plain number. The last cell lets a LoRA learn a single dress by heart, in a few of your steps: you see
# the picture that it learnt from, and what the model draws afterwards.
# %% [markdown] lang="vi" of="a7405241"
# ## Một lô lớn trên một GPU nhỏ
#
# Lượng bộ nhớ mà việc huấn luyện giữ cho một lô tăng theo kích thước lô. Nơi không đủ chỗ cho lô 16 ảnh vẫn có thể đủ cho lô 2
# ảnh, và tám lô như thế, lần lượt từng lô, cho đúng gradient của lô 16 ảnh: `backward()` *cộng thêm* vào gradient đang có.
#
# `loss(model, batch)` là giá trị trung bình của hàm mất mát trên một lô, một tensor (). Hãy thực hiện **một** bước của
# optimizer với gradient của trung bình trên tất cả `batches`, một danh sách các lô cùng kích thước:
#
# - mỗi lúc chỉ có đồ thị của một lô nằm trong bộ nhớ;
# - khi đã đủ, gradient được cắt về chuẩn `max_norm`, bằng `nn.utils.clip_grad_norm_`;
# - gradient có sẵn trong các trọng số từ trước không được tính, và sau đó không còn gradient nào.
#
# Trả về giá trị mất mát trung bình, một số thường. Ô cuối cùng cho một LoRA học thuộc một chiếc váy duy nhất trong vài bước
# bằng hàm của bạn: bức ảnh dùng để học, rồi đến hình mà mô hình vẽ ra sau đó.

# %% [markdown] lang="en" role="hints"
# The gradient of a mean is the mean of the gradients. What does each batch's loss have to be divided by, before `backward()`?
# ---
# What belongs into the loop (loss, `backward()`), and what comes once, after it (clipping, the step)? When are the gradients
# cleared?
# ---
# `optimizer.zero_grad()`; for each batch `part = loss(model, batch) / len(batches)`, `part.backward()`, and add `part.item()`
# to a sum; then `clip_grad_norm_`, `optimizer.step()`, `optimizer.zero_grad()`.
# %% [markdown] lang="vi" of="b3ed1d51"
# Gradient của trung bình là trung bình của các gradient. Giá trị mất mát của mỗi lô phải chia cho bao nhiêu trước `backward()`?
# ---
# Những gì thuộc về vòng lặp (hàm mất mát, `backward()`), và những gì chỉ làm một lần sau đó (cắt, bước của optimizer)? Khi nào
# thì xóa gradient?
# ---
# `optimizer.zero_grad()`; với mỗi lô: `part = loss(model, batch) / len(batches)`, `part.backward()`, rồi cộng `part.item()` vào
# tổng; sau đó `clip_grad_norm_`, `optimizer.step()`, `optimizer.zero_grad()`.

# %% [markdown] lang="en" role="stub"
# loss(model, batch): the mean loss of a batch, (); batches: a list of batches of
# equal size. One step of the optimizer for all of them. Returns their mean loss.
# ---
# 1. clear the gradients
# 2. batch by batch: the loss's share of the mean, and its gradient
# 3. clip, step, and clear the gradients
# 4. return the mean loss, a number
# %% [markdown] lang="vi" of="043c93df"
# loss(model, batch): hàm mất mát, trung bình trên một lô, (); batches: các lô cùng
# kích thước. Một bước của optimizer cho tất cả. Trả về giá trị trung bình.
# ---
# 1. xóa gradient
# 2. từng lô: phần của nó trong giá trị trung bình, và gradient
# 3. cắt, bước, rồi xóa gradient
# 4. trả về giá trị mất mát trung bình, một con số

# %% role="solution"
def accumulated_step(
    model: nn.Module, loss: Callable[[nn.Module, Any], Tensor], batches: list[Any],
    optimizer: torch.optim.Optimizer, max_norm: float,
) -> float:
    optimizer.zero_grad()
    total = 0.0
    for batch in batches:
        part = loss(model, batch) / len(batches)                # ()
        part.backward()                                         # adds to the gradients
        total += part.item()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return total

# %% [markdown] lang="en" role="checks"
# - the weights after one step over three batches, without clipping
# - the mean loss, as a number
# - the same step as with one large batch
# - clipped to a small norm, which the complete gradient is above
# - the norm is that of the complete gradient: batches that pull in opposite directions
# - gradients that were there before count for nothing, and none are left
# - one batch's graph at a time
# - a single batch, and Adam with decay over two steps
# - frozen weights stay as they were
# %% [markdown] lang="vi" of="65037f75"
# - các trọng số sau một bước qua ba lô, không bị cắt
# - trung bình của hàm mất mát, là một con số
# - đúng bước của một lô lớn
# - bị cắt về một chuẩn nhỏ mà gradient đầy đủ vượt quá
# - chuẩn là của gradient đầy đủ: các lô kéo về hai phía ngược nhau
# - gradient có từ trước không được tính, và sau đó không còn gradient nào
# - mỗi lúc chỉ một đồ thị của một lô
# - chỉ một lô, và Adam có weight decay qua hai bước
# - các trọng số đóng băng giữ nguyên

# %% role="probes"
import torch
from torch import nn


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network():
    """Two layers in float64, always with the same weights; the first is frozen in part."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    for k, weight in enumerate(model.parameters()):
        weight.data = normal(*weight.shape, seed=30 + k)
    model[0].bias.requires_grad_(False)
    return model


def loss(model, batch):
    """The mean square of the outputs' distance from a goal."""
    return (model(batch[:, :3]) - batch[:, 3:]).square().mean()


def weights(model):
    return [weight for weight in model.parameters() if weight.requires_grad]


def sgd(model, lr=0.1):
    return torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr)


def stepped(f, batches, max_norm):
    model = network()
    f(model, loss, batches, sgd(model), max_norm)
    return weights(model)


def mean_loss(f, batches):
    model = network()
    return f(model, loss, batches, sgd(model), 1.0)


def as_one(f, batches):
    """How far the weights are from those of a step with one large batch."""
    one, other = network(), network()
    f(one, loss, batches, sgd(one), 1e9)
    loss(other, torch.cat(batches)).backward()
    sgd(other).step()
    return [a - b for a, b in zip(weights(one), weights(other), strict=True)]


def opposite(f, batch, max_norm):
    """The losses of both batches nearly cancel, so their mean is not to be clipped though each of them would be."""
    model = network()

    def pulled(model, sign):
        return sign * loss(model, batch)

    f(model, pulled, [1.0, -0.9], sgd(model), max_norm)
    return weights(model)


def gradients(f, batches):
    model = network()
    (100 * loss(model, batches[0] + 1)).backward()
    f(model, loss, batches, sgd(model), 1e9)
    left = [weight.grad is not None and bool(weight.grad.any()) for weight in model.parameters()]
    return {"weights": weights(model), "gradients are left": any(left)}


def order(f, batches):
    """What happens one after another: losses and their gradients."""
    events = []

    def noted(model, batch):
        events.append("loss")
        value = loss(model, batch)
        value.register_hook(lambda gradient: events.append("gradient"))
        return value

    model = network()
    f(model, noted, batches, sgd(model), 1.0)
    return events


def adam(f, batches):
    model = network()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], 0.01, weight_decay=0.1)
    losses = [f(model, loss, batches[:1], optimizer, 0.5), f(model, loss, batches, optimizer, 0.5)]
    return [losses, weights(model)]


def frozen(f, batches):
    model = network()
    before = model[0].bias.clone()
    f(model, loss, batches, torch.optim.SGD(model.parameters(), 0.1), 1.0)
    return {"frozen": not model[0].bias.requires_grad, "as it was": torch.equal(before, model[0].bias)}


BATCHES = [2 * normal(4, 5, seed=40 + k) for k in range(3)]

probe(stepped, points=2, batches=BATCHES, max_norm=1e9)
probe(mean_loss, batches=BATCHES)
probe(as_one, batches=BATCHES)
probe(stepped, rtol=1e-4, atol=1e-5, batches=BATCHES, max_norm=0.25)
probe(opposite, rtol=1e-4, atol=1e-5, batch=BATCHES[0], max_norm=0.6)
probe(gradients, batches=BATCHES)
probe(order, batches=BATCHES)
probe(adam, rtol=1e-4, atol=1e-5, batches=BATCHES)
probe(frozen, batches=BATCHES)

# %% [markdown] lang="en" role="mistake" name="not_divided"
# The gradients are added up but not divided by the number of batches: the step is that many times too large (or always
# clipped), and with another number of batches the same learning rate means something else.
# %% [markdown] lang="vi" of="d2cb2012"
# Các gradient được cộng lại nhưng không chia cho số lô: bước đi lớn gấp chừng ấy lần (hoặc luôn bị cắt), và với số lô khác thì
# cùng một tốc độ học lại có nghĩa khác.
# %% role="wrong" name="not_divided"
patch("part = loss(model, batch) / len(batches)                # ()", "part = loss(model, batch)")
patch("total += part.item()", "total += part.item() / len(batches)")

# %% [markdown] lang="en" role="mistake" name="nothing_divided"
# Neither the gradients nor the number that is returned are divided by the number of batches. Both should be those of the mean.
# %% [markdown] lang="vi" of="b7abb52c"
# Cả gradient lẫn con số trả về đều không được chia cho số lô. Cả hai phải là của giá trị trung bình.
# %% role="wrong" name="nothing_divided"
patch(" / len(batches)", "")

# %% [markdown] lang="en" role="mistake" name="divided_twice"
# The gradients are divided by the number of batches twice, so the step is too small.
# %% [markdown] lang="vi" of="3d443b81"
# Gradient bị chia cho số lô hai lần, nên bước đi quá nhỏ.
# %% role="wrong" name="divided_twice"
patch("part.backward()   ", "(part / len(batches)).backward()   ")

# %% [markdown] lang="en" role="mistake" name="divided_by_size"
# The loss is divided by the number of examples in a batch. It is a mean over them already; what is missing is the mean over the
# batches: divide by their number.
# %% [markdown] lang="vi" of="dd21fdfd"
# Giá trị của hàm mất mát bị chia cho số mẫu trong một lô. Nó đã là trung bình trên các mẫu; còn thiếu là trung bình trên các
# lô: hãy chia cho số lô.
# %% role="wrong" name="divided_by_size"
patch("/ len(batches)", "/ len(batch)")

# %% [markdown] lang="en" role="mistake" name="step_each"
# The optimizer steps after every batch. Those are several small noisy steps, not one with the gradient of all: step after the
# loop.
# %% [markdown] lang="vi" of="c1863034"
# Optimizer bước sau mỗi lô. Như thế là nhiều bước nhỏ đầy nhiễu chứ không phải một bước với gradient của tất cả: hãy bước sau
# vòng lặp.
# %% role="wrong" name="step_each"
patch("        total += part.item()\n",
      "        total += part.item()\n        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n"
      "        optimizer.step()\n        optimizer.zero_grad()\n")
patch("    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n    optimizer.step()\n", "")

# %% [markdown] lang="en" role="mistake" name="step_in_the_loop"
# The optimizer steps inside the loop, with the gradients so far, and they are not cleared in between: the first batch counts
# several times. One step, after the loop.
# %% [markdown] lang="vi" of="389872a7"
# Optimizer bước ngay trong vòng lặp, với gradient tính đến lúc đó, và chúng không được xóa giữa chừng: lô đầu bị tính nhiều
# lần. Chỉ một bước, sau vòng lặp.
# %% role="wrong" name="step_in_the_loop"
patch("        total += part.item()\n",
      "        total += part.item()\n        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n"
      "        optimizer.step()\n")
patch("    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n    optimizer.step()\n", "")

# %% [markdown] lang="en" role="mistake" name="cleared_each"
# The gradients are cleared inside the loop, so only the last batch's are left for the step, and the others were computed for
# nothing. Clear them before the loop.
# %% [markdown] lang="vi" of="0f1a97b8"
# Gradient bị xóa ngay trong vòng lặp, nên đến bước chỉ còn gradient của lô cuối, các lô khác tính vô ích. Hãy xóa trước vòng
# lặp.
# %% role="wrong" name="cleared_each"
patch("    for batch in batches:\n", "    for batch in batches:\n        optimizer.zero_grad()\n")

# %% [markdown] lang="en" role="mistake" name="not_cleared_before"
# Gradients that stood in the weights before were counted in, as another loss may leave them. Clear them before the loop, too.
# %% [markdown] lang="vi" of="f4d511fe"
# Gradient có sẵn trong trọng số từ trước bị tính vào, chẳng hạn do một hàm mất mát khác để lại. Hãy xóa cả trước vòng lặp.
# %% role="wrong" name="not_cleared_before"
patch("    optimizer.zero_grad()\n    total", "    total")

# %% [markdown] lang="en" role="mistake" name="not_cleared_after"
# Gradients are left in the weights after the step. They take as much memory as the weights that learn, and whoever calls
# `backward()` next adds to them. Clear them at the end, too.
# %% [markdown] lang="vi" of="ea567c91"
# Sau bước, gradient vẫn còn trong trọng số. Chúng chiếm bộ nhớ bằng chính các trọng số được học, và ai gọi `backward()` tiếp
# theo sẽ cộng vào chúng. Hãy xóa cả ở cuối.
# %% role="wrong" name="not_cleared_after"
patch("    optimizer.step()\n    optimizer.zero_grad()\n", "    optimizer.step()\n")

# %% [markdown] lang="en" role="mistake" name="never_cleared"
# The gradients are never cleared, so each step repeats all that were before it.
# %% [markdown] lang="vi" of="4b19961f"
# Gradient không bao giờ được xóa, nên mỗi bước lặp lại tất cả các bước trước nó.
# %% role="wrong" name="never_cleared"
patch("    optimizer.zero_grad()\n    total", "    total")
patch("    optimizer.step()\n    optimizer.zero_grad()\n", "    optimizer.step()\n")

# %% [markdown] lang="en" role="mistake" name="cleared_before_the_step"
# The gradients were cleared before the optimizer used them: nothing is learnt. First the step, then clear.
# %% [markdown] lang="vi" of="91a90951"
# Gradient bị xóa trước khi optimizer dùng đến: không học được gì. Bước trước, rồi mới xóa.
# %% role="wrong" name="cleared_before_the_step"
patch("    optimizer.step()\n    optimizer.zero_grad()\n", "    optimizer.zero_grad()\n    optimizer.step()\n")

# %% [markdown] lang="en" role="mistake" name="no_clipping"
# The gradient isn't clipped, or only after the step, when it is too late. A single odd batch can have a gradient many times the
# usual one, and one such step can undo many others.
# %% [markdown] lang="vi" of="4e167064"
# Gradient không bị cắt, hoặc chỉ bị cắt sau bước, khi đã quá muộn. Một lô bất thường có thể có gradient lớn gấp nhiều lần bình
# thường, và chỉ một bước như thế có thể xóa công của nhiều bước khác.
# %% role="wrong" name="no_clipping"
patch("    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n", "")

# %% [markdown] lang="en" role="mistake" name="clipped_each"
# The gradient is clipped after every batch, while it is incomplete. What counts is the norm of the mean: batches that
# contradict each other may cancel. Clip once, after the loop.
# %% [markdown] lang="vi" of="fc358a6e"
# Gradient bị cắt sau mỗi lô, khi còn chưa đủ. Thứ đáng kể là chuẩn của giá trị trung bình: các lô trái ngược nhau có thể triệt
# tiêu. Hãy cắt một lần, sau vòng lặp.
# %% role="wrong" name="clipped_each"
patch("    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n", "")
patch("        total += part.item()\n",
      "        total += part.item()\n        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n")

# %% [markdown] lang="en" role="mistake" name="numbers_clipped"
# Each number of the gradient was clipped by itself (`clip_grad_value_`), which changes its direction. `clip_grad_norm_`
# shortens it as a whole.
# %% [markdown] lang="vi" of="39c901e4"
# Từng con số của gradient bị cắt riêng (`clip_grad_value_`), làm hướng của nó thay đổi. `clip_grad_norm_` rút ngắn cả vector.
# %% role="wrong" name="numbers_clipped"
patch("nn.utils.clip_grad_norm_", "nn.utils.clip_grad_value_")

# %% [markdown] lang="en" role="mistake" name="clipped_to_1"
# The gradient is clipped to the norm 1, whatever `max_norm` says.
# %% [markdown] lang="vi" of="42332400"
# Gradient bị cắt về chuẩn 1, bất kể `max_norm` là bao nhiêu.
# %% role="wrong" name="clipped_to_1"
patch("model.parameters(), max_norm", "model.parameters(), 1.0")

# %% [markdown] lang="en" role="mistake" name="layers_clipped"
# The gradient of each weight was clipped by itself. The norm is that of all of them together: hand over `model.parameters()`.
# %% [markdown] lang="vi" of="6a09fb07"
# Gradient của từng trọng số bị cắt riêng. Chuẩn phải là của tất cả cùng nhau: hãy truyền `model.parameters()`.
# %% role="wrong" name="layers_clipped"
patch("    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
      "    for weight in model.parameters():\n        nn.utils.clip_grad_norm_(weight, max_norm)\n")

# %% [markdown] lang="en" role="mistake" name="one_backward"
# The losses were collected and `backward()` was called once at the end. The step is the same, but the graphs of all batches are
# in memory together, as with one large batch: nothing is saved. Call `backward()` for each batch.
# %% [markdown] lang="vi" of="c83acd3f"
# Các giá trị mất mát được gom lại và `backward()` chỉ được gọi một lần ở cuối. Bước thì vẫn thế, nhưng đồ thị của mọi lô cùng
# nằm trong bộ nhớ, như với một lô lớn: không tiết kiệm được gì. Hãy gọi `backward()` cho từng lô.
# %% role="wrong" name="one_backward"
patch("        part.backward()                                         # adds to the gradients\n        total += part.item()\n",
      "        total = total + part\n")
patch("    nn.utils.clip", "    total.backward()\n    nn.utils.clip")
patch("return total", "return total.item()")

# %% [markdown] lang="en" role="mistake" name="last_loss"
# The loss of the last batch alone came back. Return the mean of all.
# %% [markdown] lang="vi" of="c4c7b933"
# Chỉ giá trị của hàm mất mát trên lô cuối được trả về. Hãy trả về trung bình của tất cả.
# %% role="wrong" name="last_loss"
patch("total += part.item()", "total = part.item() * len(batches)")

# %% [markdown] lang="en" role="mistake" name="last_share"
# The last batch's share of the loss came back, its loss divided by their number. Add up the shares of all.
# %% [markdown] lang="vi" of="53e28b0c"
# Kết quả là phần của lô cuối, tức giá trị của hàm mất mát trên lô ấy chia cho số lô. Hãy cộng phần của tất cả các lô.
# %% role="wrong" name="last_share"
patch("total += part.item()", "total = part.item()")

# %% [markdown] lang="en" role="mistake" name="sum_returned"
# The sum of the losses came back. Divide it by the number of batches, or add up what you have divided already.
# %% [markdown] lang="vi" of="b12a35b6"
# Kết quả là tổng các giá trị của hàm mất mát. Hãy chia cho số lô, hoặc cộng những gì đã chia rồi.
# %% role="wrong" name="sum_returned"
patch("total += part.item()", "total += part.item() * len(batches)")

# %% [markdown] lang="en" role="mistake" name="tensor_returned"
# A tensor came back, not a number. One that hangs on its graph keeps the whole graph in memory for as long as it is in
# your list of losses: use `.item()`.
# %% [markdown] lang="vi" of="32d7ce47"
# Hàm trả về một tensor chứ không phải một số. Tensor còn gắn với đồ thị sẽ giữ cả đồ thị trong bộ nhớ chừng nào nó còn nằm
# trong danh sách giá trị mất mát của bạn: hãy dùng `.item()`.
# %% role="wrong" name="tensor_returned"
patch("total += part.item()", "total = total + part.detach()")

# %% [markdown] lang="en" role="mistake" name="all_unfrozen"
# The frozen weights may learn now. It is the LoRA's factors alone that should: leave `requires_grad` as it is.
# %% [markdown] lang="vi" of="8c165193"
# Các trọng số đóng băng giờ lại được học. Chỉ các thừa số của LoRA được học: hãy để nguyên `requires_grad`.
# %% role="wrong" name="all_unfrozen"
patch("    total = 0.0\n", "    model.requires_grad_(True)\n    total = 0.0\n")

# %% role="library"
import torch
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    """Gradients by torch.autograd.grad, added up and clipped by hand."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    sums, losses = [torch.zeros_like(weight) for weight in learning], []
    for batch in batches:
        value = loss(model, batch)
        sums = [total + more for total, more in zip(sums, torch.autograd.grad(value, learning), strict=True)]
        losses.append(value.item())
    means = [total / len(batches) for total in sums]
    norm = torch.cat([mean.flatten() for mean in means]).norm()
    for weight, mean in zip(learning, means, strict=True):
        weight.grad = mean * min(1.0, max_norm / float(norm))
    optimizer.step()
    for weight in model.parameters():
        weight.grad = None
    return sum(losses) / len(losses)

# %% role="payoff"
def learnt_by_heart(step: Callable, photograph: Tensor, name: str) -> Tensor:
    """A second LoRA learns one photograph and its mirror image, 14 steps of two batches
    each; then the model draws its name: (1, 3, 128, 128)."""
    torch.manual_seed(0)
    network = deepcopy(pipe.network)
    add_lora(network, rank=12, alpha=24, targets=TARGETS)       # freezes the rest
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=3e-3)
    context, mask = (part.clone() for part in pipe.encode([name]))
    schedule, dice = pipe.scheduler.schedule, torch.Generator().manual_seed(0)

    def loss(network: nn.Module, batch: list[Tensor]) -> Tensor:
        x0, noise, t = batch
        x = schedule.mix(x0, noise, t)
        v = network(x, schedule.timestep(t), context, mask)
        return F.mse_loss(v, target(schedule, "v", x0, noise, t))

    x0 = network_latents(torch.cat([photograph, photograph.flip(-1)]))
    for _ in range(14):
        noise = torch.randn(x0.shape, generator=dice)
        t = (torch.rand(2, generator=dice) + torch.arange(2)) / 2   # little, then much
        one, other = ([part[k:k + 1] for part in (x0, noise, t)] for k in (0, 1))
        step(network, loss, [one, other], optimizer, 1.0)
    before, pipe.fast_network = pipe.fast_network, Prepared(network)
    *_, (_, latents, _) = pipe.sample([name], [2], [""], "dpmpp_2m", 10, 3.0)
    pipe.fast_network = before
    return pixels_of(latents)


def draw(accumulated_step: Callable) -> Tensor:
    dress = photo("dress", "red", sleeve="sleeveless", neckline="round", length="long")
    drawn = learnt_by_heart(accumulated_step, dress, "a long red dress")
    return torch.cat([dress, drawn])                            # (2, 3, 128, 128)


payoff(draw, accumulated_step, tolerance=0.05)                  # rounding errors grow
