"""Exercise 11.5, concatenate: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Two styles in one file
#
# **Make one update of several.** A mix that you like should fit into a file of its own: one `down`, one `up`, one alpha. Adding
# the downs and the ups doesn't give it, because $(u_1 + u_2)(d_1 + d_2)$ has cross terms. Laying them side by side does:
#
# $$\begin{bmatrix} u_1 & u_2 \end{bmatrix} \begin{bmatrix} d_1 \\ d_2 \end{bmatrix} = u_1 d_1 + u_2 d_2$$
#
# Return `(down, up)`, down (R, in) and up (out, R) with R = r₁ + r₂ + …, such that `up @ down` is the sum that `merge` adds to
# a weight:
#
# $$\text{up}\;\text{down} = \sum_i s_i\,\frac{\alpha_i}{r_i}\;\text{up}_i\,\text{down}_i$$
#
# The alpha of the new update is its rank R, so nothing is left to be multiplied. Updates and strengths are those of `merge`.
# The cell at the end gives your update to the library, and two sentences are drawn in both styles at once.
# %% [markdown] lang="vi" of="6f3a187a"
# ## Hai phong cách trong một tệp
#
# **Gom nhiều phần cập nhật thành một.** Một cách pha mà bạn thích nên nằm gọn trong một tệp riêng: một `down`, một `up`, một
# alpha. Cộng các down và các up thì không được, vì $(u_1 + u_2)(d_1 + d_2)$ có các số hạng chéo. Xếp chúng cạnh nhau thì được:
#
# $$\begin{bmatrix} u_1 & u_2 \end{bmatrix} \begin{bmatrix} d_1 \\ d_2 \end{bmatrix} = u_1 d_1 + u_2 d_2$$
#
# Hãy trả về `(down, up)`, down (R, in) và up (out, R) với R = r₁ + r₂ + …, sao cho `up @ down` là tổng mà `merge` cộng vào
# trọng số:
#
# $$\text{up}\;\text{down} = \sum_i s_i\,\frac{\alpha_i}{r_i}\;\text{up}_i\,\text{down}_i$$
#
# Alpha của phần cập nhật mới là hạng R của nó, nên không còn gì phải nhân thêm. Các phần cập nhật và độ mạnh giống như trong
# `merge`. Ô ở cuối đưa phần cập nhật của bạn cho thư viện, và hai câu được vẽ bằng cả hai phong cách cùng lúc.

# %% [markdown] lang="en" role="hints"
# Along which dimension do the downs (r, in) lie under each other, and along which do the ups (out, r) stand side by side?
# ---
# Strength and alpha / rank belong to one style each. They must go into its part before the parts are put together, and into one
# of the two factors alone: which one doesn't matter.
# ---
# `torch.cat(downs)` is (R, in). `torch.cat([strength * alpha / len(down) * up, ...], dim=1)` is (out, R).
# %% [markdown] lang="vi" of="867e4534"
# Các down (r, in) xếp chồng lên nhau theo chiều nào, và các up (out, r) đứng cạnh nhau theo chiều nào?
# ---
# Độ mạnh và alpha / hạng là của riêng từng phong cách. Chúng phải đi vào phần của phong cách ấy trước khi ghép, và chỉ vào một
# trong hai thừa số: thừa số nào cũng được.
# ---
# `torch.cat(downs)` là (R, in). `torch.cat([strength * alpha / len(down) * up, ...], dim=1)` là (out, R).

# %% [markdown] lang="en" role="stub"
# Updates (down (r, in), up (out, r), alpha) of ranks of their own, and a strength
# for each, as one update: (down (R, in), up (out, R)), where R is the sum of the
# ranks, and also its alpha. up @ down is exactly their mix.
# ---
# 1. all downs                                               # (r, in) each
# 2. all ups, each times its strength and alpha / r          # (out, r) each
# 3. put together: (R, in) and (out, R)
# %% [markdown] lang="vi" of="de1c1c4f"
# Các phần cập nhật (down (r, in), up (out, r), alpha), hạng riêng, và mỗi phần một
# độ mạnh, thành một phần duy nhất: (down (R, in), up (out, R)), R là tổng các hạng,
# cũng là alpha của nó. up @ down đúng bằng hỗn hợp của chúng.
# ---
# 1. mọi down                                                # mỗi cái (r, in)
# 2. mọi up, mỗi cái nhân độ mạnh và alpha / r của nó        # mỗi cái (out, r)
# 3. ghép lại: (R, in) và (out, R)

# %% role="solution"
def concatenate(
    updates: Sequence[tuple[Tensor, Tensor, float]], strengths: Sequence[float]
) -> tuple[Tensor, Tensor]:
    downs = [down for down, _, _ in updates]                        # (r, in) each
    ups = [
        strength * alpha / len(down) * up                           # (out, r) each
        for (down, up, alpha), strength in zip(updates, strengths, strict=True)
    ]
    return torch.cat(downs), torch.cat(ups, dim=1)                  # (R, in), (out, R)

# %% [markdown] lang="en" role="checks"
# - two tensors, their shapes and dtypes: ranks 2 and 3 make 5
# - ranks 2 and 2 make 4
# - the product of one update alone
# - the product of two of different ranks, one of them negative
# - the product of two of one rank
# - three, one of them at strength 0: the rank is still the sum
# - in, out and rank all 4
# - beside a layer, with alpha = R
# %% [markdown] lang="vi" of="d4c1d185"
# - hai tensor, kích thước và kiểu số của chúng: hạng 2 và 3 thành 5
# - hạng 2 và 2 thành 4
# - tích của một phần cập nhật duy nhất
# - tích của hai phần khác hạng, một phần âm
# - tích của hai phần cùng hạng
# - ba phần, một phần có độ mạnh 0: hạng vẫn là tổng
# - in, out và hạng đều bằng 4
# - bên cạnh một lớp, với alpha = R

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def update(rank, alpha, seed, out=5, width=7):
    return normal(rank, width, seed=seed), normal(out, rank, seed=seed + 1), alpha


def shapes_and_dtypes(f, updates, strengths):
    found = []
    for kind in (torch.float32, torch.float64, torch.float16):
        made = f([(down.to(kind), up.to(kind), alpha) for down, up, alpha in updates], strengths)
        if not isinstance(made, (tuple, list)):
            raise TypeError(f"The answer is of type {type(made).__name__}; it should be a pair, (down, up).")
        found.append([[list(one.shape), str(one.dtype)] if torch.is_tensor(one) else type(one).__name__ for one in made])
    return found


def product(f, updates, strengths):
    down, up = f(updates, strengths)
    return up @ down


def product_and_rank(f, updates, strengths):
    down, up = f(updates, strengths)
    return [len(down), up @ down]


def beside(f, updates, strengths, x):
    down, up = f(updates, strengths)
    return x @ down.T @ up.T


ONE, OTHER, THIRD = update(2, 6.0, seed=2), update(3, 2, seed=4), update(2, 1, seed=6)
SQUARE = [update(4, 6.0, seed=2, out=4, width=4), update(4, 2, seed=4, out=4, width=4)]

probe(shapes_and_dtypes, updates=[ONE, OTHER], strengths=[0.7, -0.4])
probe(shapes_and_dtypes, updates=[ONE, THIRD], strengths=[1, 2])
probe(product, updates=[ONE], strengths=[0.3])
probe(product, points=2, updates=[ONE, OTHER], strengths=[0.7, -0.4])
probe(product, updates=[ONE, THIRD], strengths=[1, 2])
probe(product_and_rank, updates=[ONE, OTHER, THIRD], strengths=[1.5, 0, 1])
probe(product, updates=SQUARE, strengths=[0.7, 1])
probe(beside, updates=[ONE, OTHER], strengths=[1, 0.25], x=normal(3, 7, seed=9))

# %% [markdown] lang="en" role="mistake" name="summed"
# Downs and ups were added, not put together. The product then has cross terms, each style's `up` with the other's `down`, and
# different ranks can't be added at all. Use `torch.cat`.
# %% [markdown] lang="vi" of="ac16853e"
# Các down và up bị cộng lại chứ không được ghép. Khi ấy tích có các số hạng chéo, `up` của phong cách này với `down` của phong
# cách kia, còn hạng khác nhau thì không cộng được. Hãy dùng `torch.cat`.
# %% role="wrong" name="summed"
patch("torch.cat(downs), torch.cat(ups, dim=1)", "sum(downs), sum(ups)")

# %% [markdown] lang="en" role="mistake" name="strength_in_both"
# The strength went into both factors, so it counts twice: a half gives a quarter, and a negative one becomes positive.
# %% [markdown] lang="vi" of="101de281"
# Độ mạnh đi vào cả hai thừa số nên bị tính hai lần: một nửa thành một phần tư, và số âm thành dương.
# %% role="wrong" name="strength_in_both"
patch("[down for down, _, _ in updates] ", "[s * down for (down, _, _), s in zip(updates, strengths)] ")

# %% [markdown] lang="en" role="mistake" name="all_in_both"
# Strength and alpha / rank went into both factors, so they count twice. One of the two factors carries them.
# %% [markdown] lang="vi" of="8d2a158d"
# Độ mạnh và alpha / hạng đi vào cả hai thừa số nên bị tính hai lần. Chỉ một trong hai thừa số mang chúng.
# %% role="wrong" name="all_in_both"
patch("[down for down, _, _ in updates] ", "[s * alpha / len(down) * down for (down, _, alpha), s in zip(updates, strengths)] ")

# %% [markdown] lang="en" role="mistake" name="root_in_both"
# The root of the strength went into both factors. That is right for positive ones, but a negative strength has no root. Put the
# whole strength into one of them.
# %% [markdown] lang="vi" of="fa4318b9"
# Căn bậc hai của độ mạnh đi vào cả hai thừa số. Như thế đúng với số dương, nhưng độ mạnh âm không có căn. Hãy đặt cả độ mạnh
# vào một thừa số.
# %% role="wrong" name="root_in_both"
patch("[down for down, _, _ in updates] ", "[s**0.5 * down for (down, _, _), s in zip(updates, strengths)] ")
patch("strength * alpha", "strength**0.5 * alpha")

# %% [markdown] lang="en" role="mistake" name="scale_forgotten"
# alpha / rank is missing. In the new update it is 1, so what each style had of its own must be in the factors already.
# %% [markdown] lang="vi" of="0c33d1e0"
# Thiếu alpha / rank. Trong phần cập nhật mới, nó bằng 1, nên hệ số riêng của từng phong cách phải nằm sẵn trong các thừa số.
# %% role="wrong" name="scale_forgotten"
patch("strength * alpha / len(down) * up", "strength * up")

# %% [markdown] lang="en" role="mistake" name="strength_forgotten"
# The strengths have no effect: every style comes in full.
# %% [markdown] lang="vi" of="71d6a05e"
# Các độ mạnh không có tác dụng: phong cách nào cũng vào trọn vẹn.
# %% role="wrong" name="strength_forgotten"
patch("strength * alpha", "alpha")

# %% [markdown] lang="en" role="mistake" name="alpha_forgotten"
# The parts are divided by their ranks, but alpha has no effect. Each update brings an alpha of its own.
# %% [markdown] lang="vi" of="7dc3911f"
# Các phần đã được chia cho hạng của chúng nhưng alpha không có tác dụng. Mỗi phần cập nhật có alpha riêng.
# %% role="wrong" name="alpha_forgotten"
patch("strength * alpha", "strength")

# %% [markdown] lang="en" role="mistake" name="not_divided_by_rank"
# The parts are multiplied by alpha, but not divided by their ranks.
# %% [markdown] lang="vi" of="aa31ea06"
# Các phần được nhân với alpha nhưng chưa chia cho hạng của chúng.
# %% role="wrong" name="not_divided_by_rank"
patch("alpha / len(down)", "alpha")

# %% [markdown] lang="en" role="mistake" name="divided_by_all_ranks"
# Every part was divided by the sum of the ranks. Each style's alpha goes with its *own* rank; the sum is only the alpha of the
# new update, where it cancels out.
# %% [markdown] lang="vi" of="62676c5f"
# Phần nào cũng bị chia cho tổng các hạng. Alpha của mỗi phong cách đi với hạng của *chính nó*; tổng chỉ là alpha của phần cập
# nhật mới, nơi nó tự triệt tiêu.
# %% role="wrong" name="divided_by_all_ranks"
patch("len(down) * up", "sum(map(len, downs)) * up")

# %% [markdown] lang="en" role="mistake" name="times_all_ranks"
# The factors were multiplied by the sum of the ranks, as if the new alpha were 1. It is that sum itself: alpha / R is 1, and
# nothing is left to be made up for.
# %% [markdown] lang="vi" of="82fed4ad"
# Các thừa số bị nhân với tổng các hạng, như thể alpha mới bằng 1. Nó chính là tổng ấy: alpha / R bằng 1, không còn gì phải bù.
# %% role="wrong" name="times_all_ranks"
patch("strength * alpha / len(down)", "sum(map(len, downs)) * strength * alpha / len(down)")

# %% [markdown] lang="en" role="mistake" name="divided_again"
# Besides its own rank, every part was divided by the sum of the ranks, as if whoever reads the file multiplied by R. The new
# alpha is R, so alpha / R is 1, and nothing is left to be made up for.
# %% [markdown] lang="vi" of="95f2bd81"
# Ngoài hạng của chính nó, phần nào cũng bị chia thêm cho tổng các hạng, như thể người đọc tệp sẽ nhân với R. Alpha mới bằng R,
# nên alpha / R bằng 1, không còn gì phải bù.
# %% role="wrong" name="divided_again"
patch("len(down) * up", "len(down) / sum(map(len, downs)) * up")

# %% [markdown] lang="en" role="mistake" name="scale_of_the_first"
# Rank and alpha of the first update were used for all. Each has its own.
# %% [markdown] lang="vi" of="d2804038"
# Hạng và alpha của phần cập nhật đầu tiên bị dùng cho tất cả. Mỗi phần có hạng và alpha riêng.
# %% role="wrong" name="scale_of_the_first"
patch("strength * alpha / len(down)", "strength * updates[0][2] / len(updates[0][0])")

# %% [markdown] lang="en" role="mistake" name="rank_from_in"
# It is divided by in, the columns of `down`. The rank is the number of its rows.
# %% [markdown] lang="vi" of="e3ecf3a8"
# Bạn chia cho in, số cột của `down`. Hạng là số hàng của nó.
# %% role="wrong" name="rank_from_in"
patch("len(down)", "down.shape[1]")

# %% [markdown] lang="en" role="mistake" name="ups_under_each_other"
# The ups were put under each other. They are (out, r): out is common to all, so they stand side by side, along dimension 1.
# %% [markdown] lang="vi" of="f4ff7ea6"
# Các up bị xếp chồng lên nhau. Chúng là (out, r): out là chung cho tất cả, nên chúng đứng cạnh nhau, theo chiều 1.
# %% role="wrong" name="ups_under_each_other"
patch("torch.cat(ups, dim=1)", "torch.cat(ups)")

# %% [markdown] lang="en" role="mistake" name="downs_side_by_side"
# The downs were put side by side. They are (r, in): in is common to all, so they lie under each other, along dimension 0.
# %% [markdown] lang="vi" of="9f8947ba"
# Các down bị xếp cạnh nhau. Chúng là (r, in): in là chung cho tất cả, nên chúng xếp chồng lên nhau, theo chiều 0.
# %% role="wrong" name="downs_side_by_side"
patch("torch.cat(downs)", "torch.cat(downs, dim=1)")

# %% [markdown] lang="en" role="mistake" name="dimensions_swapped"
# The two dimensions are swapped: downs lie under each other (dimension 0), ups side by side (dimension 1), so that each row of
# `down` meets its own column of `up`.
# %% [markdown] lang="vi" of="b0cf9b51"
# Hai chiều bị đổi chỗ: các down xếp chồng lên nhau (chiều 0), các up cạnh nhau (chiều 1), để mỗi hàng của `down` gặp đúng cột
# của nó trong `up`.
# %% role="wrong" name="dimensions_swapped"
patch("torch.cat(downs)", "torch.cat(downs, dim=1)")
patch("torch.cat(ups, dim=1)", "torch.cat(ups)")

# %% [markdown] lang="en" role="mistake" name="another_order"
# The ups stand in another order than the downs, so each style's rows meet columns of another one: nothing but cross terms.
# %% [markdown] lang="vi" of="8730ec1d"
# Các up đứng theo thứ tự khác với các down, nên các hàng của phong cách này gặp các cột của phong cách khác: toàn số hạng chéo.
# %% role="wrong" name="another_order"
patch("torch.cat(ups, dim=1)", "torch.cat(ups[::-1], dim=1)")

# %% [markdown] lang="en" role="mistake" name="up_and_down_swapped"
# The two came back in the wrong order: first `down`, then `up`.
# %% [markdown] lang="vi" of="77faffd5"
# Hai thừa số được trả về sai thứ tự: `down` trước, rồi đến `up`.
# %% role="wrong" name="up_and_down_swapped"
patch("torch.cat(downs), torch.cat(ups, dim=1) ", "torch.cat(ups, dim=1), torch.cat(downs) ")

# %% [markdown] lang="en" role="mistake" name="averaged"
# The updates were averaged, so each is weaker the more there are. The mix is their sum.
# %% [markdown] lang="vi" of="df86909a"
# Các phần cập nhật bị lấy trung bình, nên càng nhiều thì mỗi phần càng yếu. Hỗn hợp là tổng của chúng.
# %% role="wrong" name="averaged"
patch("len(down) * up", "len(down) / len(updates) * up")

# %% [markdown] lang="en" role="mistake" name="normalised"
# The strengths were divided by their sum. They are no shares: a single style at a half must stay a half.
# %% [markdown] lang="vi" of="8d345d3d"
# Các độ mạnh bị chia cho tổng của chúng. Chúng không phải tỉ lệ phần: một phong cách ở mức một nửa phải vẫn là một nửa.
# %% role="wrong" name="normalised"
patch("strength * alpha", "strength / sum(strengths) * alpha")

# %% [markdown] lang="en" role="mistake" name="zero_left_out"
# Styles at strength 0 were left out. The product is right, but the rank is no longer the sum of the ranks, which is what the
# caller takes alpha from; and with every strength at 0 nothing would be left.
# %% [markdown] lang="vi" of="ace6eaa9"
# Các phong cách có độ mạnh 0 bị bỏ ra. Tích thì đúng, nhưng hạng không còn là tổng các hạng, mà nơi gọi lấy alpha từ đó; và nếu
# mọi độ mạnh đều bằng 0 thì chẳng còn gì.
# %% role="wrong" name="zero_left_out"
def concatenate(updates: Sequence[tuple[Tensor, Tensor, float]], strengths: Sequence[float]) -> tuple[Tensor, Tensor]:
    used = [(*update, strength) for update, strength in zip(updates, strengths) if strength]
    ups = [strength * alpha / len(down) * up for down, up, alpha, strength in used]
    return torch.cat([down for down, _, _, _ in used]), torch.cat(ups, dim=1)

# %% [markdown] lang="en" role="mistake" name="multiplied"
# One matrix came back, the whole product (out, in). It is right, but far larger than the factors; return the two of them.
# %% [markdown] lang="vi" of="e61aedac"
# Kết quả là một ma trận, cả tích (out, in). Nó đúng, nhưng lớn hơn các thừa số rất nhiều; hãy trả về hai thừa số.
# %% role="wrong" name="multiplied"
patch("torch.cat(downs), torch.cat(ups, dim=1) ", "torch.cat(ups, dim=1) @ torch.cat(downs) ")

# %% [markdown] lang="en" role="mistake" name="lists"
# The parts came back as lists. Put each list together to one tensor.
# %% [markdown] lang="vi" of="ffcc880a"
# Các phần được trả về dưới dạng danh sách. Hãy ghép mỗi danh sách thành một tensor.
# %% role="wrong" name="lists"
patch("torch.cat(downs), torch.cat(ups, dim=1) ", "downs, ups ")

# %% [markdown] lang="en" role="mistake" name="alpha_returned"
# Three things came back, down, up and alpha. Here it is only the two factors: the new alpha is the rank, `len(down)`, so the
# caller knows it.
# %% [markdown] lang="vi" of="fb1f7920"
# Kết quả có ba thứ: down, up và alpha. Ở đây chỉ cần hai thừa số: alpha mới chính là hạng, `len(down)`, nên nơi gọi đã biết.
# %% role="wrong" name="alpha_returned"
patch("torch.cat(ups, dim=1) ", "torch.cat(ups, dim=1), sum(map(len, downs)) ")

# %% [markdown] lang="en" role="mistake" name="first_alone"
# Only the first style is in the result.
# %% [markdown] lang="vi" of="acf04ae4"
# Trong kết quả chỉ có phong cách đầu tiên.
# %% role="wrong" name="first_alone"
patch("torch.cat(downs), torch.cat(ups, dim=1)", "downs[0], ups[0]")

# %% role="library"
from minidiff.nn.lora import Factors, concatenated


def concatenate(updates, strengths):
    """For a model of one layer, "layer"."""
    mix = [({"layer": Factors(down, up, alpha)}, s) for (down, up, alpha), s in zip(updates, strengths, strict=True)]
    made = concatenated(mix)["layer"]
    return made.down, made.up

# %% role="payoff"
def draw(concatenate: Callable) -> Tensor:
    both = {}
    for name in neon:
        updates = [(f.down, f.up, f.alpha) for f in (neon[name], outline[name])]
        down, up = concatenate(updates, [0.6, 0.6])
        both[name] = Factors(down, up, alpha=len(down))             # what a file holds
    mixer = LoRAMixer(deepcopy(pipe.network))
    mixer.add("both", both)
    mixer.mix({"both": 1.0})
    return pictures(mixer.model)                                    # (2, 3, 128, 128)


payoff(draw, concatenate)
