"""Exercise 05.3, guided: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## A guided denoiser, in one call
#
# `pair` is a denoiser that holds B conditions and, after them, B empty ones, and answers row i under condition i. Guide it:
# call it **once**, with all of x twice, or, at scale 1 and only there, with x alone. The time t is one number for all rows;
# hand it on as it is. Guide x0 *and* eps.
# %% [markdown] lang="vi" of="3415c0b7"
# ## Bộ khử nhiễu có dẫn hướng, chỉ một lần gọi
#
# `pair` là bộ khử nhiễu giữ B điều kiện, rồi đến B điều kiện rỗng, và trả lời hàng i theo điều kiện i. Hãy dẫn hướng nó: gọi nó
# **một lần** với toàn bộ x lặp lại hai lần; riêng ở hệ số 1, và chỉ ở đó, gọi với một mình x. Thời điểm t là một số chung cho
# mọi hàng, hãy đưa tiếp nguyên như vậy. Dẫn hướng cả x0 *lẫn* eps.

# %% [markdown] lang="en" role="hints"
# Which rows of the answer belong to the conditions: every second one, or the first half?
# ---
# `torch.cat([x, x])` makes (2B, ...), `.chunk(2)` takes it apart again. The case of scale 1 comes before all that.
# ---
# If scale is 1, return `pair(x, t)`. Else ask about both halves, chunk x0 and chunk eps, and combine each as in 05.2.
# %% [markdown] lang="vi" of="cd37a549"
# Những hàng nào của câu trả lời thuộc về các điều kiện: cách một hàng lấy một, hay nửa đầu?
# ---
# `torch.cat([x, x])` tạo ra (2B, ...), `.chunk(2)` tách nó ra lại. Trường hợp hệ số 1 xét trước tất cả.
# ---
# Nếu hệ số là 1, trả về `pair(x, t)`. Nếu không, hỏi cả hai nửa, chunk x0 và chunk eps, rồi kết hợp từng cái như ở 05.2.

# %% [markdown] lang="en" role="stub"
# x (B, C, H, W), float32 or float64, at time t (), one for all rows: guided x0 and
# eps, each like x.
# ---
# 1. scale 1 needs the conditions alone                     # (B, ...) each
# 2. ask once about both halves                             # (2B, ...) each
# 3. take x0 and eps apart                                  # (B, ...) each
# 4. combine each, and return (x0, eps)
# %% [markdown] lang="vi" of="e3a12713"
# x (B, C, H, W), float32 hoặc float64, tại thời điểm t (), chung cho mọi hàng: x0
# và eps được dẫn hướng, cùng kích thước và kiểu số với x.
# ---
# 1. hệ số 1 chỉ cần các điều kiện                          # (B, ...) mỗi cái
# 2. hỏi một lần về cả hai nửa                              # (2B, ...) mỗi cái
# 3. tách x0 và eps thành hai nửa                           # (B, ...) mỗi cái
# 4. kết hợp từng cái, rồi trả về (x0, eps)

# %% role="solution"
def guided(pair: Denoiser, x: Tensor, t: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    if scale == 1:
        return pair(x, t)                                       # (B, ...) each
    x0, eps = pair(torch.cat([x, x]), t)                        # (2B, ...) each
    x0_cond, x0_uncond = x0.chunk(2)                            # (B, ...) each
    eps_cond, eps_uncond = eps.chunk(2)                         # (B, ...) each
    return combine(x0_cond, x0_uncond, scale), combine(eps_cond, eps_uncond, scale)

# %% [markdown] lang="en" role="checks"
# - x0 and eps, shaped like x
# - scale 3: one call of 2B rows, at time t
# - scale 1: one call of B rows, at time t
# - values at scale 3
# - values at scales 1, 0 and 0.5
# - x0 and eps still make up x
# %% [markdown] lang="vi" of="f8555f1c"
# - x0 và eps, cùng kích thước với x
# - hệ số 3: gọi `pair` một lần với 2B hàng, tại thời điểm t
# - hệ số 1: gọi `pair` một lần với B hàng, tại thời điểm t
# - giá trị với hệ số 3
# - giá trị với hệ số 1, 0 và 0.5
# - x0 và eps vẫn ghép lại thành x

# %% role="probes"
import torch

from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, HALF, SCHEDULE = normal(2, 3, 2, 2, seed=5), torch.tensor(0.5, dtype=torch.float64), get_schedule("cosine")


class Pair:
    """A denoiser under two conditions and, after them, two empty ones, that notes how each call was made."""

    def __init__(self):
        self.calls = []
        self.conditions = normal(4, 3, 2, 2, seed=3)                        # (2B, C, H, W)

    def __call__(self, x, t):
        self.calls.append({"rows": len(x), "t": t.item() if t.ndim == 0 else "not one number"})
        x0 = torch.tanh(x) + self.conditions[: len(x)]
        return to_x0_eps(SCHEDULE, "x0", x0, x, t.flatten()[0])


def x0_and_eps(f, x, t, scale):
    """The two by name; what is no pair stays as it is."""
    made = f(Pair(), x, t, scale)
    return {"x0": made[0], "eps": made[1]} if isinstance(made, (tuple, list)) and len(made) == 2 else made


def shapes(f, x, t):
    made = x0_and_eps(f, x, t, 3.0)
    return {name: list(part.shape) for name, part in made.items()} if isinstance(made, dict) else made


def calls(f, x, t, scale):
    pair = Pair()
    f(pair, x, t, scale)
    return pair.calls


def mixed_again(f, x, t):
    """What the guided x0 and eps add up to."""
    made = x0_and_eps(f, x, t, 5.0)
    return SCHEDULE.mix(made["x0"], made["eps"], t) if isinstance(made, dict) else made


probe(shapes, x=X, t=HALF)
probe(calls, points=2, x=X, t=HALF, scale=3.0)
probe(calls, x=X, t=HALF, scale=1.0)
probe(x0_and_eps, points=2, x=X, t=HALF, scale=3.0)
probe(lambda f, x, t: [x0_and_eps(f, x, t, scale) for scale in (1.0, 0.0, 0.5)], x=X, t=HALF)
probe(mixed_again, x=X, t=HALF)

# %% [markdown] lang="en" role="mistake" name="always_both"
# At scale 1 the unconditional half has weight 0, and still it was computed: twice the work for nothing. Call `pair` with x
# alone there; then it uses the conditions.
# %% [markdown] lang="vi" of="5de60f55"
# Với hệ số 1, nửa không điều kiện có trọng số 0 mà vẫn bị tính: tốn gấp đôi vô ích. Khi đó chỉ cần gọi `pair` với riêng x; nó
# sẽ dùng các điều kiện.
# %% role="wrong" name="always_both"
patch("    if scale == 1:\n        return pair(x, t)                                       # (B, ...) each\n", "")

# %% [markdown] lang="en" role="mistake" name="called_twice"
# `pair` was called twice with B rows. Both times it used the conditions, so the difference is 0 and nothing is guided. Give it
# x twice in one batch: the second half gets the empty conditions.
# %% [markdown] lang="vi" of="407fc61e"
# Bạn đã gọi `pair` hai lần, mỗi lần B hàng. Cả hai lần nó đều dùng các điều kiện, nên chênh lệch bằng 0 và chẳng có gì được dẫn
# hướng. Hãy đưa x hai lần trong một lô: nửa sau nhận điều kiện rỗng.
# %% role="wrong" name="called_twice"
def guided(pair: Denoiser, x: Tensor, t: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    if scale == 1:
        return pair(x, t)
    x0_cond, eps_cond = pair(x, t)
    x0_uncond, eps_uncond = pair(x, t)
    return combine(x0_cond, x0_uncond, scale), combine(eps_cond, eps_uncond, scale)

# %% [markdown] lang="en" role="mistake" name="asked_twice"
# The numbers are right, but `pair` was called twice with 2B rows, once for x0 and once for eps: the same work done twice. One
# call gives both.
# %% [markdown] lang="vi" of="2793e327"
# Các số đều đúng, nhưng bạn đã gọi `pair` hai lần, mỗi lần 2B hàng, một lần cho x0 và một lần cho eps: cùng một việc làm hai
# lần. Một lần gọi đã cho cả hai.
# %% role="wrong" name="asked_twice"
patch("x0, eps = pair(torch.cat([x, x]), t)", "x0 = pair(torch.cat([x, x]), t)[0]\n    eps = pair(torch.cat([x, x]), t)[1]")

# %% [markdown] lang="en" role="mistake" name="at_most_one"
# Scales below 1 were treated as 1. The unconditional half has weight 0 at exactly 1 and nowhere else: at 0 it is all that
# counts, and at 0.5 it counts for half.
# %% [markdown] lang="vi" of="65bb5af6"
# Các hệ số nhỏ hơn 1 đã bị coi như 1. Nửa không điều kiện chỉ có trọng số 0 ở đúng hệ số 1: ở hệ số 0, chỉ mình nó được tính,
# và ở 0.5 nó được tính một nửa.
# %% role="wrong" name="at_most_one"
patch("scale == 1", "scale <= 1")

# %% [markdown] lang="en" role="mistake" name="zero_for_one"
# The short cut was taken at scale 0, but here scale 1 is no guidance (the paper's w = 0). At 1 the empty half was computed for
# nothing, and at 0 you gave the conditional prediction where only the unconditional one counts.
# %% [markdown] lang="vi" of="351d7a9e"
# Bạn đã đi tắt ở hệ số 0, nhưng ở đây hệ số 1 mới là không dẫn hướng (w = 0 của bài báo). Ở hệ số 1, nửa rỗng bị tính vô ích;
# còn ở hệ số 0, bạn trả về dự đoán có điều kiện, trong khi chỉ dự đoán không điều kiện được tính.
# %% role="wrong" name="zero_for_one"
patch("scale == 1", "scale == 0")

# %% [markdown] lang="en" role="mistake" name="t_for_each_row"
# t was turned into a tensor of several times. A denoiser gets one time for the whole batch, of shape (), and the real one stops
# at several. Double x alone, and hand t on as it came.
# %% [markdown] lang="vi" of="e4a5610f"
# t đã bị biến thành một tensor gồm nhiều thời điểm. Bộ khử nhiễu nhận một thời điểm cho cả lô, kích thước (), và bộ khử nhiễu
# thật sẽ dừng nếu gặp nhiều. Chỉ nhân đôi x, còn t thì đưa tiếp nguyên như cũ.
# %% role="wrong" name="t_for_each_row"
patch("torch.cat([x, x]), t)", "torch.cat([x, x]), t.expand(2 * len(x)))")

# %% [markdown] lang="en" role="mistake" name="halves_swapped"
# The halves were taken in the wrong order. The first B rows hold the conditions, the last B the empty ones; swapped, scale s
# acts like 1 - s and leads away from the label. Look at the order of names before `chunk`.
# %% [markdown] lang="vi" of="c5b0db04"
# Hai nửa bị lấy sai thứ tự. B hàng đầu là có điều kiện, B hàng sau là điều kiện rỗng; đổi chỗ thì hệ số s tác dụng như 1 - s và
# đi ra xa nhãn. Hãy xem thứ tự các tên đứng trước `chunk`.
# %% role="wrong" name="halves_swapped"
patch("x0_cond, x0_uncond = x0.chunk(2)", "x0_uncond, x0_cond = x0.chunk(2)")
patch("eps_cond, eps_uncond = eps.chunk(2)", "eps_uncond, eps_cond = eps.chunk(2)")

# %% [markdown] lang="en" role="mistake" name="interleaved"
# The rows were doubled as x1 x1 x2 x2, but `pair` holds its conditions as c1 c2, then two empty ones: x1 met c2, and x2 no
# condition at all. The batch must be all of x, then all of x again.
# %% [markdown] lang="vi" of="98848dcd"
# Các hàng được nhân đôi thành x1 x1 x2 x2, nhưng `pair` xếp điều kiện là c1 c2 rồi đến hai điều kiện rỗng: x1 gặp c2, còn x2
# chẳng gặp điều kiện nào. Lô phải là toàn bộ x, rồi lại toàn bộ x.
# %% role="wrong" name="interleaved"
patch("torch.cat([x, x])", "x.repeat_interleave(2, dim=0)")
patch("x0.chunk(2)", "x0[::2], x0[1::2]")
patch("eps.chunk(2)", "eps[::2], eps[1::2]")

# %% [markdown] lang="en" role="mistake" name="doubled_row_by_row"
# The rows were doubled as x1 x1 x2 x2 and then cut in the middle: one half is x1 twice, the other x2 twice, so two different
# pictures are combined. `repeat_interleave` repeats row by row; the batch must be all of x, then all of x again.
# %% [markdown] lang="vi" of="53fccf0b"
# Các hàng được nhân đôi thành x1 x1 x2 x2 rồi cắt ở giữa: một nửa là x1 hai lần, nửa kia là x2 hai lần, nên bạn đang kết hợp
# hai bức khác nhau. `repeat_interleave` lặp lại từng hàng; lô phải là toàn bộ x, rồi lại toàn bộ x.
# %% role="wrong" name="doubled_row_by_row"
patch("torch.cat([x, x])", "x.repeat_interleave(2, dim=0)")

# %% [markdown] lang="en" role="mistake" name="zeros_for_x"
# The second half of the batch was zeros. What is empty there are the conditions, and `pair` holds those already; both halves
# are about the same x.
# %% [markdown] lang="vi" of="687a5808"
# Nửa sau của lô toàn số 0. Thứ rỗng ở đó là các điều kiện, mà `pair` đã giữ sẵn; cả hai nửa đều nói về cùng một x.
# %% role="wrong" name="zeros_for_x"
patch("torch.cat([x, x])", "torch.cat([x, torch.zeros_like(x)])")

# %% [markdown] lang="en" role="mistake" name="every_second_row"
# The batch was put together half by half, but the answer was taken apart by every second row, which mixes the two halves. The
# first B rows are the conditional ones, the last B the unconditional ones.
# %% [markdown] lang="vi" of="7aaaf900"
# Lô được ghép theo từng nửa, nhưng câu trả lời lại bị tách bằng cách lấy cách một hàng, nên hai nửa bị trộn lẫn. B hàng đầu là có
# điều kiện, B hàng sau là không điều kiện.
# %% role="wrong" name="every_second_row"
patch("x0.chunk(2)", "x0[::2], x0[1::2]")
patch("eps.chunk(2)", "eps[::2], eps[1::2]")

# %% [markdown] lang="en" role="mistake" name="papers_scale"
# The result is that of scale + 1: the combination starts at the conditional prediction, as the paper's w does. Here, as in
# 05.2, it starts at the unconditional one.
# %% [markdown] lang="vi" of="37386e84"
# Kết quả là của hệ số scale + 1: phép kết hợp xuất phát từ dự đoán có điều kiện, như w của bài báo. Ở đây, cũng như ở 05.2, nó
# xuất phát từ dự đoán không điều kiện.
# %% role="wrong" name="papers_scale"
patch("combine(x0_cond, x0_uncond, scale)", "combine(x0_cond, x0_uncond, scale + 1)")
patch("combine(eps_cond, eps_uncond, scale)", "combine(eps_cond, eps_uncond, scale + 1)")

# %% [markdown] lang="en" role="mistake" name="eps_left"
# x0 was guided and eps was not. The sampler takes both as two parts of the same x; now they no longer add up to it. Combine eps
# with the same scale.
# %% [markdown] lang="vi" of="27feb562"
# x0 đã được dẫn hướng còn eps thì chưa. Bộ lấy mẫu coi chúng là hai phần của cùng một x; giờ chúng không còn ghép lại thành x
# nữa. Hãy kết hợp eps với cùng hệ số.
# %% role="wrong" name="eps_left"
patch("combine(eps_cond, eps_uncond, scale)", "eps_cond")

# %% [markdown] lang="en" role="mistake" name="x0_left"
# eps was guided and x0 was not, so the two no longer add up to x, and a sampler steps towards an x0 that knows nothing of the
# scale. Combine x0 with the same scale.
# %% [markdown] lang="vi" of="05099d56"
# eps đã được dẫn hướng còn x0 thì chưa, nên hai phần không còn ghép lại thành x, và bộ lấy mẫu bước về phía một x0 không hề
# biết đến hệ số. Hãy kết hợp x0 với cùng hệ số.
# %% role="wrong" name="x0_left"
patch("combine(x0_cond, x0_uncond, scale)", "x0_cond")

# %% [markdown] lang="en" role="mistake" name="x0_alone"
# Only x0 came back. A denoiser answers with the pair (x0, eps), and samplers use both: guide eps too, and return the two
# together.
# %% [markdown] lang="vi" of="a9c965cc"
# Chỉ có x0 được trả về. Bộ khử nhiễu trả lời bằng cặp (x0, eps), và các bộ lấy mẫu dùng cả hai: hãy dẫn hướng cả eps, rồi trả
# về hai thứ cùng nhau.
# %% role="wrong" name="x0_alone"
patch(", combine(eps_cond, eps_uncond, scale)", "")

# %% [markdown] lang="en" role="mistake" name="eps_first"
# x0 and eps came back in the wrong order. A denoiser's answer is (x0, eps), so a sampler would take the noise for the picture.
# %% [markdown] lang="vi" of="07e5552b"
# x0 và eps được trả về sai thứ tự. Câu trả lời của bộ khử nhiễu là (x0, eps), nên bộ lấy mẫu sẽ tưởng nhiễu là bức tranh.
# %% role="wrong" name="eps_first"
patch("return combine(x0_cond, x0_uncond, scale), combine(eps_cond, eps_uncond, scale)",
      "return combine(eps_cond, eps_uncond, scale), combine(x0_cond, x0_uncond, scale)")

# %% role="library"
from minidiff.diffusion.guidance import cfg


def guided(pair, x, t, scale):
    return cfg(pair, scale)(x, t)

# %% role="payoff"
def draw(guided: Callable) -> Tensor:
    def model(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return guided(pair, x, t, 2.0 if 0.2 < float(t) < 0.9 else 1.0)

    return sampled(model)


payoff(draw, guided)
