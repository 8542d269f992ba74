"""Exercise 00.3, start_noise: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## Mend it: a picture that changes with its batch
#
# **Debugging.** Somebody drew the starting noise of a whole batch at once, as in the code below. It looks fine, until a user
# writes: "I liked the picture with seed 43. I asked for it alone, and it was another one." Here it happens:
#
# ```python
# start_noise([42, 43], (4, 16, 16))[1, 0, 0, :3]     # 43 after 42: -1.2248, 0.9629, -1.5785
# start_noise([43], (4, 16, 16))[0, 0, 0, :3]         # 43 alone:    -0.0166, -0.4668, 2.0909
# ```
#
# Mend it: picture `i` must depend on `seeds[i]` and on nothing else, and each must get the noise that it gets alone today. And
# leave other people's dice alone: after your function, the random numbers of the rest of the program must be what they would
# have been without it.
# %% [markdown] lang="vi" of="e669286c"
# ## Sửa lỗi: bức tranh đổi theo những bức vẽ cùng
#
# **Gỡ lỗi.** Có người rút nhiễu ban đầu của cả lô (batch) một lần, như trong đoạn mã dưới đây. Trông ổn, cho đến khi một
# người dùng viết: "Tôi thích bức có seed 43. Tôi xin riêng bức ấy thì lại ra bức khác." Chuyện xảy ra thế này:
#
# ```python
# start_noise([42, 43], (4, 16, 16))[1, 0, 0, :3]     # 43 sau 42:   -1.2248, 0.9629, -1.5785
# start_noise([43], (4, 16, 16))[0, 0, 0, :3]         # 43 một mình: -0.0166, -0.4668, 2.0909
# ```
#
# Hãy sửa: bức `i` chỉ được phụ thuộc vào `seeds[i]`, không gì khác, và mỗi bức phải nhận đúng nhiễu mà hiện nay nó nhận khi
# được vẽ riêng. Và đừng động đến xúc xắc của người khác: sau hàm của bạn, các số ngẫu nhiên của phần còn lại trong chương
# trình phải y như khi không gọi hàm.

# %% [markdown] lang="en" role="hints"
# `start_noise([42, 43], ...)` is given two seeds. Which one does the code never look at?
# ---
# One `torch.Generator` for each seed. `torch.manual_seed` would seed the generator that all others share.
# ---
# Make a list: for each seed, `torch.randn(*shape, generator=...)` with a fresh generator of that seed. Then `torch.stack` it.
# %% [markdown] lang="vi" of="fc0e47a8"
# `start_noise([42, 43], ...)` nhận hai seed. Đoạn mã không hề nhìn đến seed nào?
# ---
# Mỗi seed một `torch.Generator`. Còn `torch.manual_seed` sẽ đặt lại bộ sinh mà mọi người dùng chung.
# ---
# Lập một danh sách: với mỗi seed, gọi `torch.randn(*shape, generator=...)` với một bộ sinh mới của seed đó. Rồi dùng
# `torch.stack`.

# %% [markdown] lang="en" role="stub" given="as_given"
# Standard normal noise (B, *shape) for B seeds; row i follows seeds[i] alone.
# ---
# The code as it was found. Which row follows which seed?
# Mend it, and take out the next line.
# %% [markdown] lang="vi" of="a738cd52"
# Nhiễu chuẩn tắc (B, *shape) cho B seed; hàng i chỉ theo seeds[i].
# ---
# Mã như lúc bị báo lỗi. Hàng nào theo seed nào?
# Hãy sửa, và xóa dòng ngay dưới đây.

# %% role="solution"
def start_noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    noise = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        noise.append(torch.randn(*shape, generator=generator))
    return torch.stack(noise)                               # (B, *shape)

# %% [markdown] lang="en" role="checks"
# - the shape
# - one picture
# - three pictures, their seeds in any order
# - a picture alone and in a batch
# - the same seed twice
# - everybody else's dice
# %% [markdown] lang="vi" of="34d6078e"
# - kích thước
# - một bức tranh
# - ba bức tranh, seed theo thứ tự bất kỳ
# - một bức tranh khi vẽ riêng và khi vẽ cùng cả lô
# - cùng một seed hai lần
# - xúc xắc của mọi người khác

# %% role="probes"
import torch

LATENT = (4, 16, 16)


def dice_afterwards(f, seeds, shape):
    """What everybody else draws after f, from the generator that all share."""
    torch.manual_seed(123)
    f(seeds, shape)
    return torch.rand(3)


probe(lambda f, seeds: list(f(seeds, (4, 6, 5)).shape), seeds=[7, 8, 9])
probe(lambda f, seeds: f(seeds, LATENT), seeds=[42])
probe(lambda f, seeds: f(seeds, LATENT), points=2, seeds=[3, 1000, 7])
probe(
    lambda f, one, two: {"alone": f(one, LATENT)[0], "in a batch": f(two, LATENT)[1]},
    one=[43],
    two=[42, 43],
)
probe(lambda f, seeds: f(seeds, LATENT), seeds=[11, 5, 11])
probe(dice_afterwards, seeds=[5, 6], shape=(2, 4, 4))

# %% [markdown] lang="en" role="mistake" name="as_given"
# Only the first picture follows its seed: all noise comes from one generator, so that of picture i depends on what was drawn
# before it. How many generators does a batch need?
# %% [markdown] lang="vi" of="df78742a"
# Chỉ bức đầu tiên theo đúng seed của nó: mọi nhiễu đều lấy từ một bộ sinh, nên nhiễu của bức thứ i phụ thuộc vào những gì đã
# rút trước nó. Một lô cần bao nhiêu bộ sinh?
# %% role="wrong" name="as_given"
def start_noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    generator = torch.Generator().manual_seed(seeds[0])
    return torch.randn(len(seeds), *shape, generator=generator)     # (B, *shape)

# %% [markdown] lang="en" role="mistake" name="ends_on_the_last_seed"
# There is one generator under several names: manual_seed hands back the very generator that it seeds, so in the end it has the
# last seed, and all noise is drawn from it in turn. Make a new torch.Generator() for each seed.
# %% [markdown] lang="vi" of="e8e59e8c"
# Chỉ có một bộ sinh dưới nhiều tên: manual_seed trả về chính bộ sinh mà nó đặt seed, nên cuối cùng bộ sinh ấy mang seed sau
# cùng, và mọi nhiễu đều lần lượt rút từ nó. Hãy tạo một torch.Generator() mới cho mỗi seed.
# %% role="wrong" name="ends_on_the_last_seed"
def start_noise(seeds, shape):
    generator = torch.Generator()
    generators = [generator.manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(*shape, generator=g) for g in generators])

# %% [markdown] lang="en" role="mistake" name="counted_on"
# You counted on from the first seed. The seeds are given, one for each picture, and need not follow one another: use each of
# them.
# %% [markdown] lang="vi" of="69390123"
# Bạn đếm tiếp từ seed đầu tiên. Các seed đã cho sẵn, mỗi bức một seed, và không nhất thiết liền nhau: hãy dùng từng seed.
# %% role="wrong" name="counted_on"
patch("for seed in seeds:", "for seed in range(seeds[0], seeds[0] + len(seeds)):")

# %% [markdown] lang="en" role="mistake" name="one_for_all"
# All pictures start from the same noise, so all of them would be the same picture. Which seed does the second one get?
# %% [markdown] lang="vi" of="3b7a10e3"
# Mọi bức đều bắt đầu từ cùng một nhiễu, nên sẽ ra cùng một bức tranh. Bức thứ hai được nhận seed nào?
# %% role="wrong" name="one_for_all"
patch("manual_seed(seed)", "manual_seed(seeds[0])")

# %% [markdown] lang="en" role="mistake" name="never_seeded"
# The seeds are never used: a new torch.Generator() begins with the same number every time, so all pictures that anybody asks
# for start from one and the same noise. Which method gives it a seed?
# %% [markdown] lang="vi" of="d085dc5e"
# Các seed không hề được dùng: một torch.Generator() mới lần nào cũng bắt đầu từ cùng một số, nên mọi bức tranh mà bất cứ ai
# yêu cầu đều bắt đầu từ cùng một nhiễu. Phương thức nào đặt seed cho nó?
# %% role="wrong" name="never_seeded"
patch(".manual_seed(seed)", "")

# %% [markdown] lang="en" role="mistake" name="from_the_common_pot"
# This noise comes from the generator that the whole program shares, and no seed has a say in it: every call gives other
# pictures, and takes numbers away from everybody else. Tell torch.randn which generator to draw from.
# %% [markdown] lang="vi" of="68d70989"
# Nhiễu này lấy từ bộ sinh mà cả chương trình dùng chung, không seed nào có tiếng nói: mỗi lần gọi ra một bức khác, và còn lấy
# mất số của người khác. Hãy cho torch.randn biết phải rút từ bộ sinh nào.
# %% role="wrong" name="from_the_common_pot"
patch("*shape, generator=generator", "*shape")

# %% [markdown] lang="en" role="mistake" name="not_normal"
# These numbers lie between 0 and 1: that is torch.rand. The noise of a diffusion model is normal, with mean 0 and standard
# deviation 1.
# %% [markdown] lang="vi" of="69ba6f03"
# Các số này nằm giữa 0 và 1: đó là torch.rand. Nhiễu của mô hình khuếch tán có phân phối chuẩn, trung bình 0 và độ lệch chuẩn
# 1.
# %% role="wrong" name="not_normal"
patch("torch.randn", "torch.rand")

# %% [markdown] lang="en" role="mistake" name="global_generator"
# The noise is right, but torch.manual_seed turned everybody's dice: after your function, all random numbers of the program
# begin anew. Give each picture a generator of its own, torch.Generator().
# %% [markdown] lang="vi" of="ba8f49ba"
# Nhiễu đã đúng, nhưng torch.manual_seed đã đặt lại xúc xắc của tất cả: sau hàm của bạn, mọi số ngẫu nhiên của chương trình bắt
# đầu lại. Hãy cho mỗi bức một bộ sinh riêng, torch.Generator().
# %% role="wrong" name="global_generator"
patch("torch.Generator().manual_seed(seed)", "torch.manual_seed(seed)")

# %% [markdown] lang="en" role="mistake" name="end_to_end"
# torch.cat joins the pictures along their channels, so that three pictures of 4 channels become one thing of 12. The pictures
# need an axis of their own in front: which function adds one?
# %% [markdown] lang="vi" of="7484993d"
# torch.cat nối các bức tranh theo trục kênh, nên ba bức 4 kênh thành một khối 12 kênh. Các bức cần một trục riêng ở đầu: hàm
# nào thêm trục đó?
# %% role="wrong" name="end_to_end"
patch("torch.stack", "torch.cat")

# %% [markdown] lang="en" role="mistake" name="a_list"
# The noise is right, but it is a Python list of tensors, and the network takes one tensor (B, ...). What puts them together
# along a new axis?
# %% [markdown] lang="vi" of="4225a83c"
# Nhiễu đã đúng, nhưng đó là một list các tensor, còn mạng nhận một tensor (B, ...). Hàm nào ghép chúng lại theo một trục mới?
# %% role="wrong" name="a_list"
patch("torch.stack(noise)", "noise")

# %% role="library"
import torch


def start_noise(seeds, shape):
    """As TextToImage draws it: a generator for each picture."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(tuple(shape), generator=g) for g in generators])

# %% role="payoff"
def draw(start_noise: Callable) -> Tensor:
    x = start_noise([42, 43], pipe.latent_shape).to(pipe.device)
    denoiser = pipe.denoiser([prompt] * 2, [""] * 2, 5.0)
    *_, last = samplers.run("dpmpp", denoiser, x, schedule, steps=10)
    return pipe.pixels(last.x).cpu()


payoff(draw, start_noise)
