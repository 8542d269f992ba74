"""Exercise 05.2, combine: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="8"
# ## Guidance in one line
#
# Two predictions about the same $x$, one that knows the label and one that doesn't. Combine them: scale 0 ignores the label,
# scale 1 obeys it, more exaggerates. On paper first: 3 and 1 at scale 2.
#
# Plain arithmetic will do. Gradients pass through it to both predictions, which is what those who train with guidance need.
# %% [markdown] lang="vi" of="7a78b132"
# ## Dẫn hướng trong một dòng
#
# Hai dự đoán về cùng một $x$, một biết nhãn và một không. Hãy kết hợp chúng: hệ số 0 bỏ qua nhãn, hệ số 1 nghe theo, lớn hơn
# thì phóng đại. Hãy tính tay trước: 3 và 1 với hệ số 2.
#
# Chỉ cần các phép tính thông thường. Gradient đi qua chúng về được cả hai dự đoán, và ai huấn luyện với dẫn hướng sẽ cần điều
# đó.

# %% [markdown] lang="en" role="hints"
# Where must you stand at scale 0, and where at scale 1?
# ---
# Start at the unconditional prediction. The arrow from it to the conditional one is a difference; walk `scale` times its
# length.
# ---
# 1 + 2 · (3 − 1) = 5. Write the same with the three names. All channels, no slicing.
# %% [markdown] lang="vi" of="1c7098e7"
# Với hệ số 0 bạn phải đứng ở đâu, với hệ số 1 thì ở đâu?
# ---
# Xuất phát từ dự đoán không điều kiện. Mũi tên từ đó đến dự đoán có điều kiện là một hiệu; hãy đi `scale` lần độ dài của nó.
# ---
# 1 + 2 · (3 − 1) = 5. Viết lại y như vậy bằng ba cái tên. Mọi kênh, không cắt lát.

# %% [markdown] lang="en" role="stub"
# conditional, unconditional (B, C, H, W), float32 or float64, predictions of any
# type: the guided one (B, C, H, W), of their dtype. Gradients reach both.
# ---
# 1. where it starts                                        # (B, C, H, W)
# 2. the arrow, `scale` times as long                       # (B, C, H, W)
# %% [markdown] lang="vi" of="0e618cc9"
# conditional, unconditional (B, C, H, W), float32 hoặc float64, kiểu dự đoán bất
# kỳ: dự đoán được dẫn hướng (B, C, H, W), cùng kiểu số. Gradient về được cả hai.
# ---
# 1. điểm xuất phát                                         # (B, C, H, W)
# 2. mũi tên, dài gấp `scale` lần                           # (B, C, H, W)

# %% role="solution"
def combine(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    return unconditional + scale * (conditional - unconditional)

# %% [markdown] lang="en" role="checks"
# - shape kept
# - dtype kept
# - 3 and 1 at scale 2, on paper
# - four channels at scale 7.5
# - scale 0 ignores the condition, scale 1 is the condition
# - gradients reach both predictions
# %% [markdown] lang="vi" of="57f22597"
# - giữ nguyên kích thước
# - giữ nguyên kiểu số
# - 3 và 1 với hệ số 2, tính tay
# - bốn kênh với hệ số 7.5
# - hệ số 0 bỏ qua điều kiện, hệ số 1 giữ nguyên điều kiện
# - gradient về được cả hai dự đoán

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NORMAL = {"conditional": normal(2, 4, 3, 3, seed=1), "unconditional": normal(2, 4, 3, 3, seed=2)}
FLOAT32 = {name: prediction.float() for name, prediction in NORMAL.items()}
THREE = torch.full((1, 4, 1, 1), 3.0, dtype=torch.float64)


def combined(f, conditional, unconditional, scale):
    return f(conditional, unconditional, scale)


def shape(f, conditional, unconditional):
    return list(f(conditional, unconditional, 2.0).shape)


def dtype(f, conditional, unconditional):
    return str(f(conditional, unconditional, 2.0).dtype)


def at_the_ends(f, conditional, unconditional):
    return [f(conditional, unconditional, scale) for scale in (0.0, 1.0)]


def gradients(f, conditional, unconditional):
    """The gradient of the result's sum with respect to each prediction; None where none comes back."""
    leaves = [conditional.clone().requires_grad_(), unconditional.clone().requires_grad_()]
    guided = f(*(leaf.clone() for leaf in leaves), 4.0)
    found = torch.autograd.grad(guided.sum(), leaves, allow_unused=True) if guided.requires_grad else (None, None)
    return dict(zip(("conditional", "unconditional"), found, strict=True))


probe(shape, **NORMAL)
probe(dtype, **FLOAT32)
probe(combined, points=2, conditional=THREE, unconditional=THREE / 3, scale=2.0)
probe(combined, points=2, **NORMAL, scale=7.5)
probe(at_the_ends, **NORMAL)
probe(gradients, **NORMAL)

# %% [markdown] lang="en" role="mistake" name="swapped"
# Conditional and unconditional changed places: the arrow now leads away from the label, and the larger the scale the less the
# picture shows it. Start at the unconditional prediction and walk towards the conditional one.
# %% [markdown] lang="vi" of="74d2cefc"
# Hai dự đoán có và không có điều kiện đã đổi chỗ: mũi tên giờ đi ra xa nhãn, hệ số càng lớn thì ảnh càng không giống nhãn. Hãy
# xuất phát từ dự đoán không điều kiện và đi về phía dự đoán có điều kiện.
# %% role="wrong" name="swapped"
patch("unconditional + scale * (conditional - unconditional)", "conditional + scale * (unconditional - conditional)")

# %% [markdown] lang="en" role="mistake" name="wrong_sign"
# It starts in the right place but walks the wrong way: the difference is taken off. At scale 1 the result must be the
# conditional prediction; put scale = 1 into your line and see what is left.
# %% [markdown] lang="vi" of="f593401f"
# Điểm xuất phát đúng nhưng đi sai hướng: phần chênh lệch bị trừ đi. Với hệ số 1 kết quả phải là dự đoán có điều kiện; hãy thay
# scale = 1 vào dòng của bạn xem còn lại gì.
# %% role="wrong" name="wrong_sign"
patch("unconditional + scale", "unconditional - scale")

# %% [markdown] lang="en" role="mistake" name="papers_scale"
# This is the paper's w (Ho & Salimans 2022, eq. 6), which counts from the conditional prediction: w = 0 is no guidance. Here,
# as in most libraries, scale = w + 1: 1 is no guidance, and one starts at the unconditional prediction.
# %% [markdown] lang="vi" of="4a0e038c"
# Đây là w của bài báo (Ho & Salimans 2022, công thức 6), tính từ dự đoán có điều kiện: w = 0 là không dẫn hướng. Ở đây, như đa
# số thư viện, scale = w + 1: 1 là không dẫn hướng, và ta xuất phát từ dự đoán không điều kiện.
# %% role="wrong" name="papers_scale"
patch("unconditional + scale", "conditional + scale")

# %% [markdown] lang="en" role="mistake" name="one_less"
# The arrow is one length too short: scale 1 gives the unconditional prediction. The paper's w = scale - 1 belongs to the rule
# that starts at the conditional prediction; from the unconditional one you walk the full `scale`.
# %% [markdown] lang="vi" of="d4c6d1d0"
# Mũi tên ngắn mất một đoạn: hệ số 1 lại cho ra dự đoán không điều kiện. w = scale - 1 của bài báo thuộc về quy tắc xuất phát từ
# dự đoán có điều kiện; còn từ dự đoán không điều kiện thì phải đi trọn `scale` lần.
# %% role="wrong" name="one_less"
patch("scale * (", "(scale - 1) * (")

# %% [markdown] lang="en" role="mistake" name="no_start"
# This is the arrow alone, without the place it starts from: `scale` multiplies both predictions. It belongs to the difference
# only, and the unconditional prediction is added to it once.
# %% [markdown] lang="vi" of="82ae12cd"
# Đây mới chỉ là mũi tên, thiếu điểm xuất phát: `scale` đã nhân vào cả hai dự đoán. Hệ số chỉ nhân với phần chênh lệch, rồi cộng
# thêm dự đoán không điều kiện một lần.
# %% role="wrong" name="no_start"
patch("unconditional + scale", "scale")

# %% [markdown] lang="en" role="mistake" name="no_difference"
# `scale` multiplies the conditional prediction itself, not its difference from the unconditional one. The weights then don't
# add up to 1: scale 1 gives the sum of both predictions, where it should give the conditional one.
# %% [markdown] lang="vi" of="132bd247"
# `scale` đang nhân với chính dự đoán có điều kiện, chứ không phải với phần chênh lệch so với dự đoán không điều kiện. Khi đó
# các trọng số cộng lại không bằng 1: hệ số 1 cho ra tổng hai dự đoán, trong khi phải là dự đoán có điều kiện.
# %% role="wrong" name="no_difference"
patch("(conditional - unconditional)", "conditional")

# %% [markdown] lang="en" role="mistake" name="weighted_mean"
# The sum was divided by 1 + scale, which makes it a mean: it always lies between the two predictions and can't exaggerate, and
# scale 1 gives the middle. Guidance walks past the conditional prediction; look at the numbers on paper again.
# %% [markdown] lang="vi" of="af0f15bb"
# Tổng đã bị chia cho 1 + scale nên thành trung bình: nó luôn nằm giữa hai dự đoán, không thể phóng đại, và hệ số 1 cho ra điểm
# giữa. Dẫn hướng đi vượt qua dự đoán có điều kiện; hãy xem lại các số tính tay.
# %% role="wrong" name="weighted_mean"
patch("unconditional + scale * (conditional - unconditional)", "(unconditional + scale * conditional) / (1 + scale)")

# %% [markdown] lang="en" role="mistake" name="no_further"
# Scales above 1 were treated as 1, so nothing is ever exaggerated. Going past the conditional prediction is what guidance is
# for: take `scale` as it comes.
# %% [markdown] lang="vi" of="02ed1533"
# Các hệ số lớn hơn 1 đã bị coi như 1, nên chẳng có gì được phóng đại. Đi vượt qua dự đoán có điều kiện chính là mục đích của
# dẫn hướng: hãy dùng `scale` đúng như được đưa vào.
# %% role="wrong" name="no_further"
patch("scale * (", "min(scale, 1.0) * (")

# %% [markdown] lang="en" role="mistake" name="three_channels"
# Only the first three channels were guided. A colour picture has no more than these; a latent has four, and each of them is
# part of the picture. This bug was copied from one well-known repository into many: guide every channel.
# %% [markdown] lang="vi" of="a01ddf1f"
# Mới chỉ ba kênh đầu được dẫn hướng. Ảnh màu chỉ có ba kênh ấy; latent có bốn, và kênh nào cũng là một phần của bức tranh.
# Lỗi này đã được chép từ một kho mã nổi tiếng sang nhiều nơi: hãy dẫn hướng mọi kênh.
# %% role="wrong" name="three_channels"
def combine(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    cond, uncond, rest = conditional[:, :3], unconditional[:, :3], conditional[:, 3:]
    return torch.cat([uncond + scale * (cond - uncond), rest], dim=1)

# %% [markdown] lang="en" role="mistake" name="clamped"
# The result was clamped to [-1, 1]. Only pixels have such limits; noise, v and latents go beyond them, and a guided prediction
# goes further still. To limit x0 is a step of its own, `clip_x0`, after guidance.
# %% [markdown] lang="vi" of="7a9e43a6"
# Kết quả đã bị cắt về [-1, 1]. Chỉ điểm ảnh mới có giới hạn như vậy; nhiễu, v và latent đều vượt ra ngoài, và dự đoán được
# dẫn hướng còn đi xa hơn nữa. Giới hạn x0 là một bước riêng, `clip_x0`, đặt sau dẫn hướng.
# %% role="wrong" name="clamped"
patch("unconditional + scale * (conditional - unconditional)",
      "(unconditional + scale * (conditional - unconditional)).clamp(-1, 1)")

# %% [markdown] lang="en" role="mistake" name="detached"
# The numbers are right, but no gradient comes back from them: a network that is trained through guidance would learn nothing,
# and no error would say so. Leave out `detach`, `data` and `no_grad` here; whoever calls the function decides about gradients.
# %% [markdown] lang="vi" of="cde397a9"
# Các số đều đúng, nhưng gradient không quay về được: mạng nào được huấn luyện qua dẫn hướng sẽ không học được gì mà cũng chẳng
# có lỗi nào báo. Ở đây hãy bỏ `detach`, `data` và `no_grad`; nơi gọi hàm mới là nơi quyết định về gradient.
# %% role="wrong" name="detached"
patch("unconditional + scale * (conditional - unconditional)",
      "(unconditional + scale * (conditional - unconditional)).detach()")

# %% role="library"
from minidiff.diffusion import guidance


def combine(conditional, unconditional, scale):
    return guidance.combine(conditional, unconditional, scale)

# %% role="payoff"
def draw(combine: Callable) -> Tensor:
    def model(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x0, eps = pair(torch.cat([x, x]), t)                    # (2B, ...) each
        return combine(*x0.chunk(2), 4.0), combine(*eps.chunk(2), 4.0)

    return sampled(model)


payoff(draw, combine)
