"""Exercise 12.2, prior_preservation_loss: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## Keep the others as they are
#
# Trained on one fish alone, the model forgets all others: every fish becomes *the* fish. Prior preservation (Ruiz et al. 2023,
# eq. 2) adds a second loss, on pictures of the class that the model drew itself before:
#
# $$L = \text{MSE}_{\text{subject}} + \lambda\, \text{MSE}_{\text{class}}$$
#
# **Write it.** `prediction` and `target` are (2B, ...): B rows of the subject come first, then B rows of its class. `weight` is
# λ. Each MSE is the mean over all numbers of its half. Return one number, (), in float32, and compute in float32 from the
# subtraction on, whatever comes in: in half precision, large squares overflow and small ones vanish.
#
# What does λ do? Before "sks" has come to mean something, a network answers "a sks fish" and "a fish" alike, and in pure noise
# it sees nothing else to go by. The cell at the end looks for the one answer to both with the least loss, by gradient descent
# on your function, for λ = 0, 0.3, 1 and 10, and the VAE shows it. With λ = 0 it is Lumi, whoever was asked for.
# %% [markdown] lang="vi" of="5dc1c384"
# ## Giữ nguyên các con khác
#
# Nếu chỉ huấn luyện trên một con cá, mô hình quên hết các con khác: con cá nào cũng thành *con cá ấy*. Bảo toàn tiên nghiệm
# (prior preservation, Ruiz và cộng sự 2023, phương trình 2) thêm một hàm mất mát thứ hai, trên những bức tranh của lớp mà chính
# mô hình đã vẽ từ trước:
#
# $$L = \text{MSE}_{\text{subject}} + \lambda\, \text{MSE}_{\text{class}}$$
#
# **Hãy viết nó.** `prediction` và `target` có kích thước (2B, ...): B hàng của chủ thể (subject) đứng trước, rồi B hàng của lớp
# (class). `weight` là λ. Mỗi MSE là trung bình trên mọi số trong nửa của nó. Hãy trả về một số, (), kiểu float32, và tính
# bằng float32 ngay từ phép trừ, dù đầu vào thuộc kiểu nào: ở độ chính xác một nửa, bình phương lớn thì tràn số, bình phương nhỏ
# thì biến mất.
#
# λ có tác dụng gì? Khi "sks" còn chưa có nghĩa, mạng trả lời "a sks fish" và "a fish" như nhau, và trong nhiễu thuần túy nó
# không thấy gì khác để dựa vào. Ô ở cuối tìm câu trả lời chung cho cả hai sao cho giá trị của hàm mất mát nhỏ nhất, bằng hạ
# gradient trên hàm của bạn, với λ = 0, 0.3, 1 và 10, rồi VAE cho xem câu trả lời ấy. Với λ = 0 đó là Lumi, dù ai được yêu cầu.

# %% [markdown] lang="en" role="hints"
# Which rows belong to the subject? `chunk(2)` cuts a tensor into its first and its second half.
# ---
# Turn both inputs to float32 before you subtract. The squared error has the shape of the prediction; each half of it has a mean
# of its own.
# ---
# `subject, others = (prediction.float() - target.float()).square().chunk(2)`. Which of the two means is multiplied by `weight`?
# %% [markdown] lang="vi" of="b03063c5"
# Những hàng nào thuộc về chủ thể? `chunk(2)` cắt một tensor thành nửa đầu và nửa sau.
# ---
# Hãy đổi cả hai đầu vào sang float32 trước khi trừ. Bình phương sai số có kích thước của dự đoán; mỗi nửa của nó có trung bình
# riêng.
# ---
# `subject, others = (prediction.float() - target.float()).square().chunk(2)`. Trung bình nào trong hai được nhân với `weight`?

# %% [markdown] lang="en" role="stub"
# prediction and target (2B, ...), of any floating type: rows of the subject, then
# as many of its class. Returns the mean squared error of the subject's half plus
# weight times that of the class's half: (), float32.
# ---
# 1. squared errors in float32                               # (2B, ...)
# 2. the subject's half and the class's                      # (B, ...) each
# 3. the mean of each, the second times weight               # ()
# %% [markdown] lang="vi" of="b633d871"
# prediction và target (2B, ...), kiểu số thực bất kỳ: các hàng của chủ thể, rồi
# chừng ấy hàng của lớp. Trả về trung bình bình phương sai số của nửa chủ thể, cộng
# weight lần của nửa kia: (), float32.
# ---
# 1. bình phương sai số, ở float32                           # (2B, ...)
# 2. nửa của chủ thể và nửa của lớp                          # mỗi nửa (B, ...)
# 3. trung bình từng nửa, nửa sau nhân với weight            # ()

# %% role="solution"
def prior_preservation_loss(
    prediction: Tensor, target: Tensor, weight: float
) -> Tensor:
    errors = (prediction.float() - target.float()).square()         # (2B, ...)
    subject, others = errors.chunk(2)                               # (B, ...) each
    return subject.mean() + weight * others.mean()                  # ()

# %% [markdown] lang="en" role="checks"
# - one number, float32, from float32, float64 and bfloat16
# - six pictures: the subject's error counts once, the class's 0.4 times
# - weights 0, 1 and 2
# - one picture of each, whose numbers lie scattered in memory
# - a batch of float32 vectors, without height and width, which stay as they are
# - only the subject is wrong, then only the class
# - float16, with errors whose squares would overflow, tiny ones, and errors that would overflow themselves
# - gradients of both halves
# %% [markdown] lang="vi" of="1efda036"
# - một số, float32, từ float32, float64 và bfloat16
# - sáu bức: sai số của chủ thể tính một lần, của lớp tính 0.4 lần
# - weight bằng 0, 1 và 2
# - mỗi bên một bức, có các số nằm rải rác trong bộ nhớ
# - một lô vector float32, không có chiều cao và chiều rộng; chúng phải giữ nguyên
# - chỉ chủ thể sai, rồi chỉ lớp sai
# - float16, với những sai số có bình phương sẽ tràn, những sai số rất nhỏ, và những sai số mà chính chúng sẽ tràn
# - gradient của cả hai nửa

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shape_and_dtype(f, prediction, target):
    found = []
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        loss = f(prediction.to(kind), target.to(kind), 0.4)
        found += [list(loss.shape), str(loss.dtype)] if isinstance(loss, torch.Tensor) else [type(loss).__name__]
    return found


def loss(f, prediction, target, weight):
    return f(prediction, target, weight).double()


def three_weights(f, prediction, target):
    return [f(prediction, target, weight).double() for weight in (0, 1.0, 2)]


def apart(f, prediction, target):
    prediction, target = (given[::3].movedim(1, -1) for given in (prediction, target))   # (2, h, w, C)
    return f(prediction, target, 0.3).double()


def one_half_wrong(f, prediction, target):
    first = torch.cat([prediction[:3], target[3:]])
    second = torch.cat([target[:3], prediction[3:]])
    return [f(first, target, 0.4).double(), f(second, target, 0.4).double()]


def in_half(f, prediction, target):
    prediction, target = prediction.half(), target.half()
    large = f(400 * prediction, target, 0.4).double() / 400**2
    tiny = f(1e-4 * prediction, 0 * target, 0.4).double() * 1e8
    huge = 4e4 * target.sign()
    return [large, tiny, f(huge, -huge, 0.4).double() / 8e4**2]


def gradients(f, prediction, target):
    prediction.requires_grad_()
    f(prediction, target, 0.4).backward()
    return prediction.grad


GIVEN = {"prediction": normal(6, 3, 2, 4, seed=1), "target": 2 * normal(6, 3, 2, 4, seed=2) + 1}
VECTORS = {"prediction": normal(4, 5, seed=3).float(), "target": normal(4, 5, seed=4).float()}

probe(shape_and_dtype, **GIVEN)
probe(loss, points=2, **GIVEN, weight=0.4)
probe(three_weights, **GIVEN)
probe(apart, **GIVEN)
probe(loss, **VECTORS, weight=0.7)
probe(one_half_wrong, **GIVEN)
probe(in_half, rtol=1e-2, atol=1e-3, **GIVEN)
probe(gradients, **GIVEN, changes=("prediction",))

# %% [markdown] lang="en" role="mistake" name="no_prior"
# The class has no effect: this is the loss of the subject alone, and with it every fish becomes the fish.
# %% [markdown] lang="vi" of="15285d86"
# Lớp không có tác dụng gì: đây là hàm mất mát của riêng chủ thể, và với nó con cá nào cũng thành con cá ấy.
# %% role="wrong" name="no_prior"
patch("subject.mean() + weight * others.mean()", "subject.mean()")

# %% [markdown] lang="en" role="mistake" name="weight_forgotten"
# Both halves count alike: `weight` has no effect. It says how hard the class is held while the subject is learnt.
# %% [markdown] lang="vi" of="03a3c765"
# Hai nửa được tính như nhau: `weight` không có tác dụng. Nó cho biết lớp được giữ chặt đến đâu trong khi chủ thể được học.
# %% role="wrong" name="weight_forgotten"
patch("weight * others", "others")

# %% [markdown] lang="en" role="mistake" name="wrong_half"
# The weight is on the subject's half. The subject counts once; the second half, the class, is what is multiplied.
# %% [markdown] lang="vi" of="360b92bd"
# `weight` đang nhân vào nửa của chủ thể. Chủ thể được tính một lần; nửa sau, của lớp, mới là nửa được nhân.
# %% role="wrong" name="wrong_half"
patch("subject.mean() + weight * others.mean()", "weight * subject.mean() + others.mean()")

# %% [markdown] lang="en" role="mistake" name="weight_on_both"
# The weight multiplies both halves, so it only changes how large the steps are, not what they aim at. At 0 nothing is learnt
# at all.
# %% [markdown] lang="vi" of="90d7039c"
# `weight` nhân vào cả hai nửa, nên nó chỉ đổi độ lớn của bước học, không đổi cái đích. Ở mức 0 thì chẳng học được gì.
# %% role="wrong" name="weight_on_both"
patch("subject.mean() + weight * others.mean()", "weight * (subject.mean() + others.mean())")

# %% [markdown] lang="en" role="mistake" name="share"
# The subject was multiplied by 1 − weight. The weight is no share: the subject always counts once, and weight 1 must not switch
# it off.
# %% [markdown] lang="vi" of="661423a3"
# Chủ thể bị nhân với 1 − weight. `weight` không phải là tỉ lệ chia: chủ thể luôn được tính một lần, và weight bằng 1 không được
# tắt nó đi.
# %% role="wrong" name="share"
patch("subject.mean() + weight", "(1 - weight) * subject.mean() + weight")

# %% [markdown] lang="en" role="mistake" name="weighted_average"
# The sum was divided by 1 + weight. It is a sum: otherwise a stronger prior makes the subject learn more slowly.
# %% [markdown] lang="vi" of="997ac9ec"
# Tổng bị chia cho 1 + weight. Đây là một tổng: nếu chia, tiên nghiệm càng mạnh thì chủ thể càng học chậm.
# %% role="wrong" name="weighted_average"
patch("subject.mean() + weight * others.mean()", "(subject.mean() + weight * others.mean()) / (1 + weight)")

# %% [markdown] lang="en" role="mistake" name="one_mean"
# One mean was taken over both halves, so each counts half as much. Each half has a mean of its own, and the two are added.
# %% [markdown] lang="vi" of="c2f6a1e7"
# Chỉ một trung bình được lấy trên cả hai nửa, nên mỗi nửa chỉ được tính một nửa. Mỗi nửa có trung bình riêng, rồi cộng lại.
# %% role="wrong" name="one_mean"
patch("subject.mean() + weight * others.mean()", "torch.cat([subject, weight * others]).mean()")

# %% [markdown] lang="en" role="mistake" name="weight_squared"
# The weight was multiplied in before the square, so it counts as weight².
# %% [markdown] lang="vi" of="60bf6dc2"
# `weight` được nhân vào trước khi bình phương, nên nó bị tính thành weight².
# %% role="wrong" name="weight_squared"
patch("weight * others", "weight**2 * others")

# %% [markdown] lang="en" role="mistake" name="subtracted"
# The class's loss was subtracted: training would push the class away from what it was. Add it.
# %% [markdown] lang="vi" of="70491506"
# Giá trị của hàm mất mát trên lớp bị trừ đi: huấn luyện sẽ đẩy lớp ra xa cái nó vốn là. Hãy cộng.
# %% role="wrong" name="subtracted"
patch("subject.mean() + weight", "subject.mean() - weight")

# %% [markdown] lang="en" role="mistake" name="every_other_row"
# Every other row was taken for the subject's. The batch has the subject's rows first, and then those of the class: cut it in
# the middle.
# %% [markdown] lang="vi" of="117f6a18"
# Các hàng bị chia xen kẽ. Trong lô, các hàng của chủ thể đứng trước, rồi mới đến các hàng của lớp: hãy cắt ở giữa.
# %% role="wrong" name="every_other_row"
patch("errors.chunk(2) ", "(errors[::2], errors[1::2]) ")

# %% [markdown] lang="en" role="mistake" name="halved_along_1"
# The tensors were cut along dimension 1, which divides each picture's channels. The two halves are halves of the batch,
# dimension 0.
# %% [markdown] lang="vi" of="c8660ea6"
# Các tensor bị cắt theo chiều 1, tức là chia các kênh của từng bức. Hai nửa là hai nửa của lô, chiều 0.
# %% role="wrong" name="halved_along_1"
patch("errors.chunk(2) ", "errors.chunk(2, dim=1) ")

# %% [markdown] lang="en" role="mistake" name="one_row"
# Only the first row was taken for the subject's. It has half of the rows: B = len(prediction) // 2.
# %% [markdown] lang="vi" of="031367ed"
# Chỉ hàng đầu được coi là của chủ thể. Nó có một nửa số hàng: B = len(prediction) // 2.
# %% role="wrong" name="one_row"
patch("errors.chunk(2) ", "(errors[:1], errors[1:]) ")

# %% [markdown] lang="en" role="mistake" name="predictions_compared"
# The two halves of the prediction were compared with each other. Each half is compared with its own half of the target;
# otherwise the class learns to look like the subject.
# %% [markdown] lang="vi" of="6f6002a4"
# Hai nửa của dự đoán bị so với nhau. Mỗi nửa được so với nửa mục tiêu của chính nó; nếu không, lớp học cách trông giống chủ
# thể.
# %% role="wrong" name="predictions_compared"
def prior_preservation_loss(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    subject, others = prediction.float().chunk(2)
    wanted, _ = target.float().chunk(2)
    return (subject - wanted).square().mean() + weight * (others - subject).square().mean()

# %% [markdown] lang="en" role="mistake" name="targets_swapped"
# Each half was compared with the other half's target. Cut prediction and target in the same order.
# %% [markdown] lang="vi" of="28a05665"
# Mỗi nửa bị so với mục tiêu của nửa kia. Hãy cắt prediction và target theo cùng một thứ tự.
# %% role="wrong" name="targets_swapped"
patch("target.float())", "target.float().roll(len(target) // 2, 0))")

# %% [markdown] lang="en" role="mistake" name="summed"
# The squared errors were added up. With their mean, the loss doesn't grow with the number or the size of the pictures, and a
# learning rate found for one serves another.
# %% [markdown] lang="vi" of="b5017303"
# Các bình phương sai số bị cộng lại. Với trung bình, giá trị của hàm mất mát không tăng theo số bức hay cỡ ảnh, và tốc độ học
# tìm được cho cỡ này dùng được cho cỡ khác.
# %% role="wrong" name="summed"
patch("subject.mean() + weight * others.mean()", "subject.sum() + weight * others.sum()")

# %% [markdown] lang="en" role="mistake" name="absolute"
# The errors were taken without their signs, not squared. Diffusion needs the mean, which squared errors give.
# %% [markdown] lang="vi" of="e58e4768"
# Sai số được lấy trị tuyệt đối chứ không bình phương. Mô hình khuếch tán cần trung bình, điều mà sai số bình phương cho.
# %% role="wrong" name="absolute"
patch(".square()", ".abs()")

# %% [markdown] lang="en" role="mistake" name="root"
# A root was taken of each mean squared error. The loss of eq. 2 has none.
# %% [markdown] lang="vi" of="fb1e840c"
# Mỗi trung bình bình phương sai số bị lấy căn. Hàm mất mát của phương trình 2 không có căn.
# %% role="wrong" name="root"
patch("subject.mean() + weight * others.mean()", "subject.mean().sqrt() + weight * others.mean().sqrt()")

# %% [markdown] lang="en" role="mistake" name="in_the_inputs_type"
# The loss was computed in the type of the inputs. In float16 the square of an error above 255 is infinite, and that of a small
# one is 0. Call `.float()` on both before you subtract.
# %% [markdown] lang="vi" of="031016e0"
# Giá trị của hàm mất mát được tính theo kiểu của đầu vào. Ở float16, bình phương của sai số trên 255 là vô cùng, còn của sai số
# nhỏ là 0. Hãy gọi `.float()` trên cả hai trước khi trừ.
# %% role="wrong" name="in_the_inputs_type"
patch("(prediction.float() - target.float())", "(prediction - target)")

# %% [markdown] lang="en" role="mistake" name="float_too_late"
# The result is float32, but the squares were computed in the inputs' type, where they overflow or vanish. Call `.float()`
# first.
# %% [markdown] lang="vi" of="95e623fc"
# Kết quả là float32, nhưng bình phương lại được tính theo kiểu của đầu vào, nơi nó tràn số hoặc biến mất. Hãy gọi `.float()`
# trước.
# %% role="wrong" name="float_too_late"
patch("(prediction.float() - target.float())", "(prediction - target)")
patch(".square()", ".square().float()")

# %% [markdown] lang="en" role="mistake" name="always_double"
# The loss is float64. It should be float32, whatever comes in.
# %% [markdown] lang="vi" of="f20c0bcd"
# Giá trị của hàm mất mát có kiểu float64. Nó phải là float32, dù đầu vào thuộc kiểu nào.
# %% role="wrong" name="always_double"
patch("(prediction.float() - target.float())", "(prediction.double() - target.double())")

# %% [markdown] lang="en" role="mistake" name="no_gradient"
# No gradient comes out of the loss: it was detached, turned into a plain number, or computed under `torch.no_grad()`. Nothing
# can learn from it.
# %% [markdown] lang="vi" of="dba8914a"
# Không có gradient nào ra khỏi hàm mất mát: nó bị detach, bị biến thành số thường, hoặc được tính trong `torch.no_grad()`.
# Không gì học được từ nó.
# %% role="wrong" name="no_gradient"
patch("prediction.float()", "prediction.detach().float()")

# %% [markdown] lang="en" role="mistake" name="class_detached"
# The class's half gives no gradient: its loss is in the sum, but nothing is learnt from it. Detach nothing.
# %% [markdown] lang="vi" of="1357bda3"
# Nửa của lớp không cho gradient: giá trị của hàm mất mát trên nó có trong tổng, nhưng không gì được học từ đó. Đừng detach gì
# cả.
# %% role="wrong" name="class_detached"
patch("weight * others", "weight * others.detach()")

# %% [markdown] lang="en" role="mistake" name="a_loss_each"
# There is a loss for each picture. Take the mean over the rows, too: training needs one number.
# %% [markdown] lang="vi" of="dd4c876f"
# Mỗi bức ảnh có một giá trị của hàm mất mát. Hãy lấy trung bình cả trên các hàng: huấn luyện cần một số duy nhất.
# %% role="wrong" name="a_loss_each"
patch("subject.mean() + weight * others.mean()", "subject.flatten(1).mean(1) + weight * others.flatten(1).mean(1)")

# %% [markdown] lang="en" role="mistake" name="float_after_the_subtraction"
# The subtraction was done in the inputs' type, where it is rounded: in float16, two large numbers of opposite sign give
# infinity. Call `.float()` on both before you subtract.
# %% [markdown] lang="vi" of="fd05e345"
# Phép trừ được làm theo kiểu của đầu vào, nơi nó bị làm tròn: ở float16, hai số lớn trái dấu cho ra vô cùng. Hãy gọi
# `.float()` trên cả hai trước khi trừ.
# %% role="wrong" name="float_after_the_subtraction"
patch("(prediction.float() - target.float())", "(prediction - target).float()")

# %% [markdown] lang="en" role="mistake" name="halved_along_the_last"
# The tensors were cut along their last dimension, which divides each picture into a left and a right part. The two halves are
# halves of the batch, dimension 0.
# %% [markdown] lang="vi" of="6f40b9e4"
# Các tensor bị cắt theo chiều cuối, tức là chia mỗi bức thành phần trái và phần phải. Hai nửa là hai nửa của lô, chiều 0.
# %% role="wrong" name="halved_along_the_last"
patch("errors.chunk(2) ", "errors.chunk(2, dim=-1) ")

# %% [markdown] lang="en" role="mistake" name="whole_batch_first"
# The first mean is over the whole batch, so the class counts in both. Only the subject's half belongs in the first one.
# %% [markdown] lang="vi" of="9edc540c"
# Trung bình thứ nhất được lấy trên cả lô, nên lớp có mặt trong cả hai. Trung bình ấy chỉ gồm nửa của chủ thể.
# %% role="wrong" name="whole_batch_first"
patch("subject.mean() + weight", "errors.mean() + weight")

# %% [markdown] lang="en" role="mistake" name="whole_batch_second"
# The second mean is over the whole batch, so the subject counts in both. Only the class's half is multiplied by the weight.
# %% [markdown] lang="vi" of="927d91b4"
# Trung bình thứ hai được lấy trên cả lô, nên chủ thể có mặt trong cả hai. Chỉ nửa của lớp được nhân với `weight`.
# %% role="wrong" name="whole_batch_second"
patch("weight * others", "weight * errors")

# %% [markdown] lang="en" role="mistake" name="a_plain_number"
# The loss is a plain Python number, and no gradient comes out of one. Return the tensor, without `.item()` or `float()`.
# %% [markdown] lang="vi" of="1c113910"
# Giá trị của hàm mất mát là một số Python thường, và không gradient nào ra khỏi số thường. Hãy trả về tensor, không qua
# `.item()` hay `float()`.
# %% role="wrong" name="a_plain_number"
patch("return subject.mean() + weight * others.mean()", "return subject.mean().item() + weight * others.mean().item()")

# %% role="library"
import torch
import torch.nn.functional as F


def prior_preservation_loss(prediction, target, weight):
    """A weight for each row, and the losses of all."""
    half = len(prediction) // 2
    losses = F.mse_loss(prediction.float(), target.float(), reduction="none").flatten(1).mean(1)
    return losses @ torch.tensor([1.0] * half + [float(weight)] * half) / half

# %% role="payoff"
def draw(prior_preservation_loss: Callable) -> Tensor:
    x0 = torch.cat([x_lumi[1:2], x_fish[1:2]])                      # the two answers
    pure = torch.ones(2)                                            # t = 1: only noise
    v = target(schedule, "v", x0, torch.zeros_like(x0), pure)       # (2, 4, 16, 16)
    found = []
    for weight in (0.0, 0.3, 1.0, 10.0):
        answer = torch.zeros(1, *x0.shape[1:], requires_grad=True)  # one for both
        optimizer = torch.optim.Adam([answer], lr=0.1)
        for _ in range(100):
            loss = prior_preservation_loss(answer.repeat(2, 1, 1, 1), v, weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found.append(-answer.detach())                              # x0 = -v at t = 1
    return pipe.pixels(torch.cat(found))                            # (4, 3, 128, 128)


payoff(draw, prior_preservation_loss, tolerance=0.02)
