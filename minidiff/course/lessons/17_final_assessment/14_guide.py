"""Exercise 17.14, guide: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("guide", "guided", "combine_guided")
vary(("rescale: float = 0.7", "rescale=0.7"), ("rescale: float = 0.5", "rescale=0.5"), ("rescale: float = 0.9", "rescale=0.9"))

# %% [markdown] lang="en" role="task" difficulty="3" minutes="5"
# ## Part 4, sampling: guidance that doesn't overexpose
#
# Classifier-free guidance goes from the unconditional to the conditional prediction and `scale` times as far: scale 0 is the
# unconditional, 1 the conditional one. With a large scale the numbers grow, and pictures get glaring. So bring each picture's
# standard deviation (over all its numbers) towards that of its conditional prediction: multiply by
# `rescale` · ratio + (1 - `rescale`), where ratio is deviation of the conditional / deviation of the guided one. Unless told
# otherwise, rescale=0.7.
# %% [markdown] lang="vi" of="599fd34f"
# ## Phần 4, lấy mẫu: dẫn hướng mà không cháy sáng
#
# Dẫn hướng không cần bộ phân loại (classifier-free guidance) đi từ dự đoán không điều kiện đến dự đoán có điều kiện và xa gấp
# `scale` lần: scale 0 là dự đoán không điều kiện, 1 là có điều kiện. Khi scale lớn, các số lớn lên và tranh bị chói. Vì vậy hãy
# đưa độ lệch chuẩn của mỗi ảnh (trên mọi số của nó) về gần độ lệch của dự đoán có điều kiện tương ứng: nhân với
# `rescale` · tỉ số + (1 - `rescale`), trong đó tỉ số là độ lệch của dự đoán có điều kiện / độ lệch của dự đoán đã dẫn hướng. Nếu
# không nói gì thêm, rescale=0.7.

# %% [markdown] lang="en" role="hints"
# First the guided prediction, then a number for each picture.
# ---
# `x.std(dims, keepdim=True)` with all axes but the first.
# ---
# `guided * (rescale * ratio + 1 - rescale)`.
# %% [markdown] lang="vi" of="daabd7b1"
# Trước hết là dự đoán đã dẫn hướng, rồi mỗi ảnh một số.
# ---
# `x.std(dims, keepdim=True)` với mọi trục trừ trục đầu.
# ---
# `guided * (rescale * ratio + 1 - rescale)`.

# %% [markdown] lang="en" role="stub"
# Two predictions (B, ...) to the guided one, (B, ...).
# ---
# 1. from the unconditional towards the conditional           # (B, ...)
# 2. the ratio of the deviations of each picture              # (B, 1, ..., 1)
# 3. rescale
# %% [markdown] lang="vi" of="542a082a"
# Hai dự đoán (B, ...) thành dự đoán đã dẫn hướng, (B, ...).
# ---
# 1. từ không điều kiện về phía có điều kiện                  # (B, ...)
# 2. tỉ số các độ lệch của từng ảnh                           # (B, 1, ..., 1)
# 3. co giãn

# %% role="solution"
def guide(
    conditional: Tensor, unconditional: Tensor, scale: float, rescale: float = 0.7
) -> Tensor:
    far = unconditional + scale * (conditional - unconditional)     # (B, ...)
    dims = tuple(range(1, far.ndim))
    ratio = conditional.std(dims, keepdim=True) / far.std(dims, keepdim=True)
    return far * (rescale * ratio + 1 - rescale)                    # (B, ...)

# %% [markdown] lang="en" role="checks"
# - shape, for pictures and for points
# - no rescaling
# - full rescaling
# - as much of it as when nothing is said
# - scale 1 is the conditional, scale 0 without rescaling the unconditional
# - points, which have two axes, at a scale below 1
# %% [markdown] lang="vi" of="17cc0e14"
# - kích thước, với ảnh và với điểm
# - không co giãn
# - co giãn hoàn toàn
# - co giãn ở mức khi không nói gì thêm
# - scale 1 là dự đoán có điều kiện, scale 0 không co giãn là không điều kiện
# - điểm, vốn có hai trục, với scale nhỏ hơn 1

# %% role="probes"
import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


GROWTH = torch.tensor([1.0, 3.0, 0.2]).double().view(3, 1, 1, 1)
C, U = GROWTH * normal(3, 4, 2, 3, seed=1) + 0.3, normal(3, 4, 2, 3, seed=2)
KIT = dict(c=C, u=U)

probe(lambda f, c, u: [list(f(c, u, 5.0).shape), list(f(c[:, :, 0, 0], u[:, :, 0, 0], 5.0).shape)], **KIT)
probe(lambda f, c, u: f(c, u, 5.0, 0.0), **KIT)
probe(lambda f, c, u: f(c, u, 5.0, 1.0), **KIT)
probe(lambda f, c, u: f(c, u, 3.0), **KIT)
probe(lambda f, c, u: [f(c, u, 1.0), f(c, u, 0.0, 0.0)], **KIT)
probe(lambda f, c, u: f(c[:, :, 0, 0], u[:, :, 0, 0], 0.5), **KIT)

# %% [markdown] lang="en" role="mistake" name="from_the_conditional"
# The way begins at the conditional prediction, so scale 0 is the conditional one and 1 goes beyond it.
# %% [markdown] lang="vi" of="c414fdec"
# Đường đi bắt đầu từ dự đoán có điều kiện, nên scale 0 đã là có điều kiện và 1 đi quá nó.
# %% role="wrong" name="from_the_conditional"
patch("unconditional + scale *", "conditional + scale *")

# %% [markdown] lang="en" role="mistake" name="away"
# The two predictions have changed places: guidance goes away from the words.
# %% [markdown] lang="vi" of="38dfaa1d"
# Hai dự đoán bị đổi chỗ: dẫn hướng đi ra xa lời.
# %% role="wrong" name="away"
patch("unconditional + scale * (conditional - unconditional)", "conditional + scale * (unconditional - conditional)")

# %% [markdown] lang="en" role="mistake" name="wrong_sign"
# The difference has the wrong sign: it is conditional minus unconditional.
# %% [markdown] lang="vi" of="58cea706"
# Hiệu bị ngược dấu: phải là có điều kiện trừ không điều kiện.
# %% role="wrong" name="wrong_sign"
patch("(conditional - unconditional)", "(unconditional - conditional)")

# %% [markdown] lang="en" role="mistake" name="not_rescaled"
# The deviations are left as they are: `rescale` makes no difference.
# %% [markdown] lang="vi" of="15a1606e"
# Độ lệch vẫn giữ nguyên: `rescale` không có tác dụng gì.
# %% role="wrong" name="not_rescaled"
patch("far * (rescale * ratio + 1 - rescale)", "far")

# %% [markdown] lang="en" role="mistake" name="always_fully"
# The deviation is matched fully, whatever `rescale` says.
# %% [markdown] lang="vi" of="eac70119"
# Độ lệch luôn được làm bằng hẳn, dù `rescale` là bao nhiêu.
# %% role="wrong" name="always_fully"
patch("(rescale * ratio + 1 - rescale)", "ratio")

# %% [markdown] lang="en" role="mistake" name="ratio_turned_round"
# The ratio is turned round: what has grown grows more.
# %% [markdown] lang="vi" of="7c020052"
# Tỉ số bị đảo ngược: cái đã lớn lại càng lớn.
# %% role="wrong" name="ratio_turned_round"
patch("conditional.std(dims, keepdim=True) / far.std(dims, keepdim=True)",
      "far.std(dims, keepdim=True) / conditional.std(dims, keepdim=True)")

# %% [markdown] lang="en" role="mistake" name="whole_batch"
# One deviation was taken of the whole batch. Each picture has its own.
# %% [markdown] lang="vi" of="dcf3c011"
# Chỉ có một độ lệch cho cả lô. Mỗi ảnh có độ lệch riêng.
# %% role="wrong" name="whole_batch"
patch("dims = tuple(range(1, far.ndim))", "dims = tuple(range(far.ndim))")

# %% [markdown] lang="en" role="mistake" name="each_channel"
# A deviation was taken of each channel. There is one for each picture, over all its numbers.
# %% [markdown] lang="vi" of="ebde949c"
# Mỗi kênh bị tính một độ lệch. Mỗi ảnh chỉ có một, trên mọi số của nó.
# %% role="wrong" name="each_channel"
patch("tuple(range(1, far.ndim))", "tuple(range(2, far.ndim)) or (1,)")

# %% [markdown] lang="en" role="mistake" name="variance"
# Variances were compared. The ratio is that of the deviations, their roots.
# %% [markdown] lang="vi" of="15d05037"
# Bạn đã so các phương sai. Tỉ số là của các độ lệch, tức căn của chúng.
# %% role="wrong" name="variance"
patch("conditional.std(dims, keepdim=True) / far.std(dims, keepdim=True)",
      "conditional.var(dims, keepdim=True) / far.var(dims, keepdim=True)")

# %% [markdown] lang="en" role="mistake" name="towards_the_unconditional"
# The deviation is brought towards the unconditional prediction's. It should be the conditional's.
# %% [markdown] lang="vi" of="c1476861"
# Độ lệch được đưa về gần dự đoán không điều kiện. Phải là dự đoán có điều kiện.
# %% role="wrong" name="towards_the_unconditional"
patch("ratio = conditional.std", "ratio = unconditional.std")

# %% [markdown] lang="en" role="mistake" name="only_smaller"
# The deviation is only ever made smaller. At a scale below 1 it is too small, and the ratio is more than 1.
# %% [markdown] lang="vi" of="03f837ff"
# Độ lệch chuẩn chỉ được thu nhỏ. Với scale nhỏ hơn 1 thì nó quá nhỏ, và tỉ số lớn hơn 1.
# %% role="wrong" name="only_smaller"
patch("(rescale * ratio + 1", "(rescale * ratio.clamp(max=1) + 1")

# %% role="library"
from minidiff.diffusion.guidance import combine, match_std


def guide(conditional, unconditional, scale, rescale=0.7):
    return match_std(combine(conditional, unconditional, scale), conditional, rescale)
