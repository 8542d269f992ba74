"""Lesson 17: how the final assessment works, a reminder of its parts, eight faults to name, and the functional mark."""

# %% [markdown] lang="en" slide="slide"
# # 17 Final assessment
#
# A sentence goes in on the left, and a picture comes out on the right. Five boxes are empty. You have built all of them in
# earlier lessons. Now you fill them once more, on your own, in 90 minutes, for 100 points. At the end your boxes must draw
# with the shipped weights, and a judge who has never seen your code says what is in the pictures.
# %% [markdown] lang="vi" of="0d92d58b"
# # 17 Bài thi cuối
#
# Bên trái là một câu đi vào ("ngôi nhà lớn màu vàng, ban ngày"), bên phải là một bức tranh đi ra. Năm hộp còn trống: lời
# (words), U-Net, huấn luyện (training), dẫn hướng (guidance), bộ lấy mẫu (sampler). Bạn đã dựng tất cả ở các bài trước. Giờ
# bạn tự mình làm lại, trong 90 phút, với 100 điểm. Cuối cùng, năm hộp của bạn phải vẽ được bằng trọng số có sẵn, và một giám
# khảo chưa từng thấy mã của bạn sẽ nói trong tranh có gì.

# %%
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff import load_pipeline
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run

pipe = load_pipeline("world-unet", device="cpu", dtype="float32")
unet, schedule = pipe.network, pipe.scheduler.schedule


def noise_of(*seeds: int) -> Tensor:
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(4, 16, 16, generator=one) for one in dice])


@torch.inference_mode()
def draw(prompts: list[str], x: Tensor, scale=5.0, sampler="dpmpp_2m", steps=10):
    """Latents (B, 4, 16, 16) of B prompts, from as many noises x."""
    words, mask = pipe.encode([*prompts, *[""] * len(prompts)])     # (2B, L, 256)

    def predict(x: Tensor, timestep: Tensor) -> Tensor:         # x: B or 2B of them
        return unet(x, timestep, words[: len(x)], mask[: len(x)])

    model = cfg(denoiser(predict, schedule, pipe.prediction_type), scale)
    fresh = torch.randn(steps, 1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    *_, end = run(sampler, model, x, schedule, steps, noise=lambda k: fresh[k])
    return end.x


# %% slide="sub"
from minidiff.utils.plots import as_arrays

boxes = {"words, 25": (1.9, 2), "U-Net, 30": (4, 2), "training, 25": (4, 0.2),
         "guidance, 6": (6, 2), "sampler, 14": (8, 2)}
empty = {"boxstyle": "round,pad=0.8", "facecolor": "white", "linestyle": "--"}
ends = zip((0.6, 2.4, 4.5, 6.5, 8.5), (1.4, 3.5, 5.5, 7.5, 9.4))
ways = [((a, 2), (b, 2), 0) for a, b in ends]
ways += [((4, 0.75), (4, 1.1), 0), ((8, 2.5), (4, 2.5), 0.25)]  # the last one: a loop
(axis,) = panels(1, height=2.5)
for name, (x, y) in boxes.items():
    axis.text(x, y, "?", size=14, ha="center", va="center", bbox=empty)
    axis.text(x, y - 0.75, name, size=8, ha="center")
for start, end, bend in ways:
    style = {"arrowstyle": "->", "connectionstyle": f"arc3,rad={bend}"}
    axis.annotate("", end, start, arrowprops=style)
axis.text(0, 2, '"a big\nyellow\nhouse\nby day"', size=8, ha="center", va="center")
drawn = pipe.pixels(draw(["a big yellow house by day"], noise_of(1)))
axis.imshow(as_arrays(drawn)[0], extent=(9.5, 11.1, 1.2, 2.8))
axis.set(xlim=(-0.5, 11.1), ylim=(-0.6, 3.4))
axis.set_axis_off()

# %% [markdown] lang="en" role="notes"
# Let the class name the shape on each arrow before anyone opens the notebook: (2B, L, 256), (2B, 4, 16, 16), (B, 4, 16, 16),
# (B, 4, 16, 16), (B, 3, 128, 128). The arrow that goes back is the loop of the sampler.
# %% [markdown] lang="vi" of="1727dc67"
# Trước khi mở notebook, để cả lớp nói kích thước trên từng mũi tên: (2B, L, 256), (2B, 4, 16, 16), (B, 4, 16, 16), (B, 4, 16,
# 16), (B, 3, 128, 128). Mũi tên quay lại là vòng lặp của bộ lấy mẫu.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You know what is asked and how it is marked; you have each part in mind again; you can tell from a picture, a
# curve or a table which of eight faults is in a system; you know what the last mark measures and what it doesn't.
#
# **Time:** [[time]]. **You need:** lessons 01 to 09. Everything runs on a CPU. This lesson holds no solutions: it uses the
# library's parts, and yours go into the notebook [[notebook]].
# %% [markdown] lang="vi" of="1690636a"
# [[map]]
#
# **Mục tiêu.** Bạn biết đề hỏi gì và chấm ra sao; nhớ lại từng phần; nhìn một bức tranh, một đường cong hay một bảng số mà
# nói được hệ thống mắc lỗi nào trong tám lỗi; biết điểm cuối cùng đo cái gì và không đo cái gì.
#
# **Thời gian:** [[time]]. **Cần biết:** bài 01 đến 09. Mọi thứ chạy trên CPU. Bài này không có lời giải: nó dùng các phần của
# thư viện, còn phần của bạn nằm trong notebook [[notebook]].

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (02) $x_t$ is made of $x_0$ and noise. Which powers of $\bar\alpha_t$ stand before the two?
# 2. (07) Which of Q, K and V don't change while a picture is drawn?
# 3. (08) A latent comes out of the sampler. What is done to it before it is decoded?
# ---
# 1. $\sqrt{\bar\alpha_t}$ and $\sqrt{1-\bar\alpha_t}$: deviations, whose squares add up to 1.
# 2. K and V: they come from the words, which stay the same in all steps. Q comes from the picture.
# 3. It is multiplied by the deviation of the latents, and their mean is added, channel by channel.
# %% [markdown] lang="vi" of="71143b9a"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (02) $x_t$ gồm $x_0$ và nhiễu. Trước mỗi thứ là lũy thừa nào của $\bar\alpha_t$?
# 2. (07) Trong Q, K và V, cái nào không đổi trong suốt lúc vẽ một bức tranh?
# 3. (08) Bộ lấy mẫu cho ra một latent. Trước khi giải mã, ta làm gì với nó?
# ---
# 1. $\sqrt{\bar\alpha_t}$ và $\sqrt{1-\bar\alpha_t}$: các độ lệch chuẩn, có tổng bình phương bằng 1.
# 2. K và V: chúng lấy từ lời, mà lời thì giữ nguyên qua mọi bước. Q lấy từ tranh.
# 3. Nhân với độ lệch chuẩn của các latent rồi cộng trung bình, theo từng kênh.

# %% [markdown] lang="en" slide="slide"
# ## 1. How the assessment works
#
# | part | exercises | points |
# |---|---|---|
# | U-Net | time embedding 6, residual block 8, down and up 8, cross-attention 8 | 30 |
# | training | table of $\bar\alpha$ 5, jump 5, loss 5, training loop 10 | 25 |
# | words | padding 5, one vector for a sentence 5, keys and values 10, label dropout 5 | 25 |
# | sampling | step 6, guidance 6, timesteps 4, wiring 4 | 20 |
#
# The tasks are not those of earlier lessons: names, shapes and conventions differ, so **read each docstring to its end**.
# Each exercise is judged alone, with reference solutions in place of the earlier ones. A missing part costs its own points
# and no more.
# %% [markdown] lang="vi" of="7163afa2"
# ## 1. Bài thi diễn ra thế nào
#
# | phần | bài tập | điểm |
# |---|---|---|
# | U-Net | vector nhúng (embedding) thời gian 6, khối residual 8, xuống và lên 8, chú ý chéo (cross-attention) 8 | 30 |
# | huấn luyện | bảng $\bar\alpha$ 5, phép nhảy 5, hàm mất mát (loss) 5, vòng lặp huấn luyện 10 | 25 |
# | lời | phần đệm 5, một vector cho cả câu 5, khóa và giá trị 10, bỏ bớt điều kiện (label dropout) 5 | 25 |
# | lấy mẫu | một bước 6, dẫn hướng 6, các bước thời gian (timesteps) 4, lắp ráp 4 | 20 |
#
# Đề không lặp lại các bài trước: tên, kích thước và quy ước đều khác, nên hãy **đọc docstring đến hết**. Mỗi bài tập được
# chấm riêng, các bài trước nó thay bằng lời giải chuẩn. Thiếu một phần thì chỉ mất điểm của phần đó.

# %% [markdown] lang="en" slide="sub"
# **How to work.**
#
# 1. **Read all** sixteen tasks first, about ten minutes beside the 90. Mark those that you could write at once.
# 2. **Fill one** TODO. Write the shapes beside the lines before you write the lines.
# 3. **Run** it on numbers that you know: section 3 has some.
# 4. **Verify** with `check`. It says what is right, what isn't, and often which mistake it looks like.
# 5. **Go on.** After eight minutes without progress, open the first hint. After twelve, take the next task.
#
# At the end, restart the kernel and run all cells: a function that needs a variable from a deleted cell works for you, and for
# nobody else. Then, in a terminal: `minidiff grade` and the path of your notebook. 60 points pass.
# %% [markdown] lang="vi" of="f94d5dd7"
# **Cách làm bài.**
#
# 1. **Đọc hết** mười sáu đề trước, khoảng mười phút, ngoài 90 phút. Đánh dấu những bài bạn viết được ngay.
# 2. **Điền một** chỗ trống (TODO). Ghi kích thước bên cạnh các dòng trước khi viết các dòng ấy.
# 3. **Chạy** với những con số bạn biết kết quả: mục 3 có vài con số.
# 4. **Kiểm tra** bằng `check`. Nó cho biết chỗ nào đúng, chỗ nào chưa, và thường nói rõ giống lỗi nào.
# 5. **Đi tiếp.** Tám phút không tiến triển thì mở gợi ý đầu tiên. Mười hai phút thì chuyển sang bài kế.
#
# Làm xong, hãy khởi động lại kernel rồi chạy mọi ô: một hàm cần đến biến của một ô đã xóa thì chạy được ở máy bạn, còn ở nơi
# khác thì không. Sau đó, trong cửa sổ dòng lệnh: `minidiff grade` kèm đường dẫn tới notebook của bạn. 60 điểm là đạt.

# %% [markdown] lang="en" role="think"
# **Which test finds the bug?** Somebody computes $v = \alpha x_0 - \sigma\epsilon$, where $v = \alpha\epsilon - \sigma x_0$
# is right. Three tests: (a) the shape; (b) the value at $x_0 = \epsilon = 1$; (c) $\alpha x_t - \sigma v = x_0$.
# ---
# (a) passes. (b) passes too: with equal inputs, swapping them changes nothing. (c) fails. So test with inputs that
# **differ**, and with a property that must hold for any numbers.
# %% [markdown] lang="vi" of="c1f4a588"
# **Phép thử nào tìm ra lỗi?** Có người tính $v = \alpha x_0 - \sigma\epsilon$, trong khi đúng phải là
# $v = \alpha\epsilon - \sigma x_0$. Ba phép thử: (a) kích thước; (b) giá trị tại $x_0 = \epsilon = 1$; (c)
# $\alpha x_t - \sigma v = x_0$.
# ---
# (a) qua. (b) cũng qua: đầu vào bằng nhau thì đổi chỗ chẳng thay đổi gì. (c) không qua. Vậy hãy thử với đầu vào **khác
# nhau**, và với một tính chất phải đúng cho mọi con số.

# %%
from minidiff.diffusion.prediction import target

t = torch.tensor(0.3, dtype=torch.float64)
alpha, sigma = schedule.alpha(t), schedule.sigma(t)
for numbers in ((1.0, 1.0), (2.0, -1.0)):
    x0, eps = torch.tensor(numbers, dtype=torch.float64).split(1)
    x, right = schedule.mix(x0, eps, t), target(schedule, "v", x0, eps, t)
    swapped = alpha * x0 - sigma * eps
    print("x0, eps", *numbers)
    for name, v in (("right", right), ("swapped", swapped)):
        back = alpha * x - sigma * v
        print(f"   {name:8} v {v.item():+.3f}, back at x0 = {back.item():+.3f}")

# %% [markdown] lang="en" slide="slide"
# ## 2. The U-Net (30 points)
#
# Going down, the side halves and the channels grow. Going up, each level first takes what the same level left on the way down
# (the **skip connection**), beside its own channels. Below: what each block of `world-unet` hands to the next one, drawn with
# its height and its number of channels.
#
# The time reaches every residual block, the words every attention, and both are the same at all levels.
# %% [markdown] lang="vi" of="29126694"
# ## 2. U-Net (30 điểm)
#
# Trên đường xuống, cạnh giảm một nửa và số kênh tăng lên. Trên đường lên, mỗi tầng trước hết lấy lại những gì tầng ấy để lại
# lúc đi xuống (**kết nối tắt**, skip connection), ghép bên cạnh các kênh của mình. Hình dưới: mỗi khối của `world-unet` trao
# gì cho khối sau, vẽ theo chiều cao và số kênh. Xuống là down, giữa là middle, lên là up.
#
# Thời gian đến mọi khối residual, lời đến mọi lớp chú ý (attention), và cả hai giống nhau ở mọi tầng.

# %%
def shapes_of(*inputs) -> dict[str, tuple[int, int]]:
    """Channels and side of what each block of the U-Net gives to the next."""
    found = {}
    parts = {f"down {k}": block for k, block in enumerate(unet.down_blocks)}
    parts["middle"] = unet.mid_block
    parts |= {f"up {k}": block for k, block in enumerate(unet.up_blocks)}

    def note(name: str, out) -> None:
        h = out[0] if isinstance(out, tuple) else out           # (B, C, H, W)
        found[name] = h.shape[1:3]

    hooks = [block.register_forward_hook(lambda _, __, out, name=name: note(name, out))
             for name, block in parts.items()]
    unet(*inputs)
    for hook in hooks:
        hook.remove()
    return found


# %% slide="sub"
words, mask = pipe.encode(["a red star"])
shapes = shapes_of(noise_of(0), torch.tensor([500.0]), words, mask)
(axis,) = panels(1, height=2)
for k, (name, (channels, side)) in enumerate(shapes.items()):
    axis.bar(k, side, width=channels / 250, bottom=-side / 2)
    axis.text(k, -11, f"{name}\n{channels} × {side} × {side}", size=7, ha="center")
axis.set(ylim=(-11, 9))
axis.set_axis_off()

# %% [markdown] lang="en" role="think"
# "up 1" gives 128 channels at 16 × 16. Its first residual block takes in more than the 192 that come from "up 0". How many,
# and from where? What is the last thing that went onto the stack of skips, and who takes it?
# ---
# 192 from below and 128 from the way down: 320. The stack is *last in, first out*: what the deepest level put there last, the
# way up takes first. Taken from the wrong end, the sides don't fit, or worse, they do.
# %% [markdown] lang="vi" of="a8bcb9fd"
# "up 1" cho 128 kênh ở 16 × 16. Khối residual đầu tiên của nó nhận nhiều hơn 192 kênh đến từ "up 0". Bao nhiêu, và từ đâu ra?
# Thứ cuối cùng được đặt lên chồng kết nối tắt là gì, và ai lấy nó?
# ---
# 192 từ dưới lên và 128 từ đường xuống: 320. Chồng ấy *vào sau ra trước*: tầng sâu nhất đặt vào sau cùng thì đường lên lấy ra
# đầu tiên. Lấy nhầm đầu thì cạnh không khớp, hoặc tệ hơn, vẫn khớp.

# %%
print(unet.up_blocks[1].resnets[0].conv1)

# %% [markdown] lang="en" slide="slide"
# ## 3. Training (25 points)
#
# The whole of it with one number, to test your functions with. Say $\bar\alpha = 0.64$, so $\alpha = 0.8$ and $\sigma = 0.6$;
# the picture is $x_0 = 2$, the noise $\epsilon = -1$.
#
# - jump: $x = 0.8\cdot 2 + 0.6\cdot(-1) = 1$
# - target: $v = 0.8\cdot(-1) - 0.6\cdot 2 = -2$
# - the network says $-1.5$: the loss is $(-1.5 + 2)^2 = 0.25$
# - back: $x_0 = 0.8\cdot 1 - 0.6\cdot(-2) = 2$, $\epsilon = 0.6\cdot 1 + 0.8\cdot(-2) = -1$
# %% [markdown] lang="vi" of="99847c3e"
# ## 3. Huấn luyện (25 điểm)
#
# Toàn bộ phần này với một con số, để bạn thử các hàm của mình. Cho $\bar\alpha = 0.64$, vậy $\alpha = 0.8$ và $\sigma = 0.6$;
# bức tranh là $x_0 = 2$, nhiễu là $\epsilon = -1$.
#
# - phép nhảy: $x = 0.8\cdot 2 + 0.6\cdot(-1) = 1$
# - mục tiêu: $v = 0.8\cdot(-1) - 0.6\cdot 2 = -2$
# - mạng đoán $-1.5$: hàm mất mát (loss) bằng $(-1.5 + 2)^2 = 0.25$
# - trở lại: $x_0 = 0.8\cdot 1 - 0.6\cdot(-2) = 2$, $\epsilon = 0.6\cdot 1 + 0.8\cdot(-2) = -1$

# %%
from torch.testing import assert_close

from minidiff.diffusion.prediction import to_x0_eps

t = 2 / torch.pi * torch.tensor(0.8).double().acos()            # where alpha is 0.8
x0, eps = torch.tensor([2.0]).double(), torch.tensor([-1.0]).double()
x, v = schedule.mix(x0, eps, t), target(schedule, "v", x0, eps, t)
print(f"x {x.item():.2f}, v {v.item():.2f}, loss {(v + 1.5).square().item():.2f}")
for found, wanted in zip(to_x0_eps(schedule, "v", v, x, t), (x0, eps)):
    assert_close(found, wanted)

# %% [markdown] lang="en"
# A training loop is right when the loss falls, and that is a weak test: many broken loops make it fall. A stronger one: look
# at the loss **at each time**, beside the loss of a network that always answers 0.
# %% [markdown] lang="vi" of="beb532bb"
# Vòng lặp huấn luyện đúng thì hàm mất mát (loss) giảm, nhưng đó là một phép thử yếu: nhiều vòng lặp hỏng cũng làm nó giảm.
# Một phép thử mạnh hơn: xem giá trị của hàm mất mát **ở từng thời điểm**, bên cạnh một mạng lúc nào cũng trả lời 0.

# %% [markdown] lang="en" role="think"
# **Predict** the two curves for $v = \alpha\epsilon - \sigma x_0$ with latents of variance 1. How high is that of "always 0"?
# Near $t = 0$ and near $t = 1$, is the network's loss high or low?
# ---
# "Always 0" has $\alpha^2 + \sigma^2 = 1$ at every time. The network's curve is a bowl. Near $t = 0$, $v$ is almost the
# noise, of which hardly any is left to be seen; near $t = 1$ it is almost $-x_0$, and only the words say something about it.
# %% [markdown] lang="vi" of="a1c08e45"
# **Đoán** hình dạng hai đường cong, với $v = \alpha\epsilon - \sigma x_0$ và latent có phương sai (variance) bằng 1. Đường
# "luôn trả lời 0" cao bao nhiêu? Gần $t = 0$ và gần $t = 1$, giá trị của hàm mất mát của mạng cao hay thấp?
# ---
# "Luôn trả lời 0" cho $\alpha^2 + \sigma^2 = 1$ ở mọi thời điểm. Đường của mạng giống cái bát. Gần $t = 0$, $v$ gần như chỉ
# là nhiễu, mà nhiễu thì hầu như không còn thấy được; gần $t = 1$, nó gần bằng $-x_0$, và chỉ có lời cho biết điều gì đó về
# nó.

# %%
import random

from minidiff.data.world.captions import phrase
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.utils.images import to_tensor

scenes, dice = [scene_at(k, "test") for k in range(24)], random.Random(0)
pixels = to_tensor([render(scene, 128).image for scene in scenes])      # (24, 3, ...)
words, mask = pipe.encode([phrase(scene, "en", dice) for scene in scenes])
times, eps = [k / 10 for k in range(1, 11)], noise_of(*range(24))       # (24, 4, ...)
losses = {"world-unet": [], "always 0": []}
with torch.inference_mode():
    x0 = (pipe.vae.encode(pixels)[0] - pipe.latent_mean) / pipe.latent_std
    for t in torch.tensor(times):
        v = target(schedule, "v", x0, eps, t)
        out = unet(schedule.mix(x0, eps, t), schedule.timestep(t)[None], words, mask)
        for name, answer in zip(losses, (out, 0)):
            losses[name].append(float((answer - v).square().mean()))

# %% slide="sub"
curves = {name: (times, values) for name, values in losses.items()}
lines(curves, x="t", y="loss", log="y", marker="o")

# %% [markdown] lang="en"
# In the assessment your loop trains a small network, made of your own parts, to draw coloured spots. There is no loss of ours
# to reach: see whether yours falls clearly below that of "always 0". (Spots on grey have a variance far below 1, so there this
# is about 0.4.) If it doesn't, look for three things: the target isn't the one that the loss compares with; the network gets
# the wrong time; the optimizer's step is missing or comes before `backward`.
# %% [markdown] lang="vi" of="c6d14565"
# Trong bài thi, vòng lặp của bạn huấn luyện một mạng nhỏ, ghép từ chính các phần của bạn, để vẽ những đốm màu. Không có con
# số nào của chúng tôi để đạt tới: hãy xem giá trị của hàm mất mát (loss) có xuống thấp hơn hẳn "luôn trả lời 0" không. (Các
# đốm trên nền xám có phương sai nhỏ hơn 1 nhiều, nên ở đó giá trị ấy vào khoảng 0.4.) Nếu không, hãy tìm ba điều: mục tiêu
# không phải thứ mà hàm mất mát đem so; mạng nhận sai thời điểm; bước của optimizer bị thiếu hoặc đứng trước `backward`.

# %% [markdown] lang="en" slide="slide"
# ## 4. Words (25 points)
#
# Sentences of one batch are padded to one length. Whatever comes out for a sentence must not depend on its neighbours:
# neither its vector, nor its keys and values, nor its picture. The test takes one line: read a sentence alone, read it in
# company, and compare.
#
# Below: the cosine between the vector of "a red star" alone and in company, as the company gets longer.
# %% [markdown] lang="vi" of="b678590d"
# ## 4. Lời (25 điểm)
#
# Các câu trong một lô (batch) được đệm cho dài bằng nhau. Kết quả của một câu không được phụ thuộc vào các câu bên cạnh: cả
# vector của nó, cả khóa và giá trị, cả bức tranh. Phép thử chỉ cần một dòng: đọc câu ấy một mình, đọc nó cùng câu khác, rồi
# so.
#
# Hình dưới: cosin giữa vector của "a red star" khi đứng một mình và khi đứng cùng một câu khác, câu ấy dài dần (L token).

# %%
from minidiff.models.clip import CLIP, TextConfig, VisionConfig
from minidiff.pretrained import zoo

config, weights = zoo.load("world-clip")
clip = CLIP(TextConfig(**config["text"]), VisionConfig(**config["vision"]))
clip.load_state_dict(weights)
clip.eval().requires_grad_(False)

short, lengths, cosines = "a red star", [], {"with the mask": [], "without": []}
alone = clip.embed_text(*pipe.tokenizer.encode([short]))[0]     # (P,)
for k in range(9):
    ids, mask = pipe.tokenizer.encode([short, short + " and a blue house" * k])
    lengths.append(ids.shape[1])
    for name, seen in zip(cosines, (mask, None)):
        cosines[name].append(float(clip.embed_text(ids, seen)[0] @ alone))

# %% slide="sub"
curves = {name: (lengths, values) for name, values in cosines.items()}
lines(curves, x="L", y="cosine", marker="o")

# %% [markdown] lang="en" role="think"
# Without the mask, the first point is still exactly 1. Why? And what does it say about testing with a single prompt?
# ---
# Both sentences of the first pair are equally long, so nothing is padded. A test with one prompt, or with prompts of one
# length, can never find a fault in the mask.
# %% [markdown] lang="vi" of="8142a4fa"
# Không có mặt nạ mà điểm đầu tiên vẫn đúng bằng 1. Vì sao? Và điều đó nói gì về việc thử với chỉ một prompt?
# ---
# Hai câu của cặp đầu dài bằng nhau, nên không có gì phải đệm. Thử với một prompt, hoặc với các prompt dài bằng nhau, thì
# không bao giờ tìm ra lỗi ở mặt nạ.

# %% [markdown] lang="en" slide="slide"
# ## 5. Sampling (20 points)
#
# The same number goes on. With $x_0 = 2$ and $\epsilon = -1$, a step without fresh noise to $\alpha = 0.96$, $\sigma = 0.28$
# gives $0.96\cdot 2 + 0.28\cdot(-1) = 1.64$. If the network says $c = -2$ with the words and $u = -1$ without, guidance with
# scale 3 makes $-1 + 3\,(-2 + 1) = -4$. (Exercise 17.14 then also rescales each picture, for which one number is too little.)
#
# A sampler is right when more steps change less and less. One step can only give the mean of all pictures that fit.
# %% [markdown] lang="vi" of="d4cc6ae8"
# ## 5. Lấy mẫu (20 điểm)
#
# Vẫn con số ấy. Với $x_0 = 2$ và $\epsilon = -1$, một bước không thêm nhiễu đến $\alpha = 0.96$, $\sigma = 0.28$ cho
# $0.96\cdot 2 + 0.28\cdot(-1) = 1.64$. Nếu mạng đoán $c = -2$ khi có lời và $u = -1$ khi không có, dẫn hướng (guidance) với
# hệ số 3 cho $-1 + 3\,(-2 + 1) = -4$. (Sau đó bài tập 17.14 còn co giãn từng bức tranh, mà một con số thì không đủ để làm.)
#
# Bộ lấy mẫu (sampler) đúng thì càng thêm bước, kết quả càng ít thay đổi. Một bước thì chỉ có thể cho trung bình của mọi bức
# tranh phù hợp.

# %%
from minidiff.diffusion.guidance import combine
from minidiff.diffusion.samplers import step

near = 2 / torch.pi * torch.tensor(0.96).double().acos()        # where alpha is 0.96
x0, eps = torch.tensor([2.0]).double(), torch.tensor([-1.0]).double()
moved = step(schedule, x0, eps, torch.tensor(0.5).double(), near)
guided = combine(torch.tensor(-2.0), torch.tensor(-1.0), 3.0)
print(f"step {moved.item():.2f}, guided {guided.item():.1f}")


# %% slide="sub"
def with_steps(steps: int, axis) -> None:
    end = draw(["a green tree at night"], noise_of(3), sampler="ddim", steps=steps)
    axis.imshow(as_arrays(pipe.pixels(end))[0])
    axis.set_axis_off()


slider(with_steps, "steps", [1, 2, 4, 16])

# %% [markdown] lang="en" slide="slide"
# ## 6. Eight faults: name them
#
# Each of the panels A to H shows a system with **one** fault. Here is what all of them look like when nothing is wrong:
#
# - **pictures** of four prompts, from the same noise: "a red star", "a blue fish in the sea", "a green tree at night", and a
#   red boat in Vietnamese;
# - a picture that is **noised**, at $t$ = 0.15, 0.3, 0.45, 0.6;
# - the **cosines** of four sentences (rows) with their four pictures (columns);
# - the **memory** that is held after each step of sampling.
# %% [markdown] lang="vi" of="a191d033"
# ## 6. Tám lỗi: hãy gọi tên
#
# Mỗi ô từ A đến H cho thấy một hệ thống mắc đúng **một** lỗi. Trước hết là hình dạng của chúng khi mọi thứ đều đúng:
#
# - **tranh** của bốn prompt, từ cùng một nhiễu: "a red star" (ngôi sao đỏ), "a blue fish in the sea" (con cá xanh dương ở
#   biển), "a green tree at night" (cái cây xanh lá ban đêm), và "một chiếc thuyền đỏ";
# - một bức tranh được **thêm nhiễu**, ở $t$ = 0.15, 0.3, 0.45, 0.6;
# - **cosin** của bốn câu (hàng) với bốn bức tranh của chúng (cột);
# - **bộ nhớ** bị giữ sau mỗi bước lấy mẫu.

# %%
from einops import rearrange

prompts = ["a red star", "a blue fish in the sea", "a green tree at night"]
prompts += ["một chiếc thuyền đỏ"]
one_noise = noise_of(7).repeat(4, 1, 1, 1)                      # the same for all four


def latents(scale: float = 5.0) -> Tensor:
    return draw(prompts, one_noise, scale, "ddpm", steps=20)    # (4, 4, 16, 16)


def square(pictures: Tensor, axis) -> None:
    """Four pictures (4, 3, H, W) as one."""
    whole = rearrange(pictures, "(r c) k h w -> k (r h) (c w)", r=2)
    axis.imshow(as_arrays(whole)[0])


def noised(sigma_power: int = 1) -> Tensor:
    x0, t = drawn[0], torch.tensor([0.15, 0.3, 0.45, 0.6]).view(4, 1, 1, 1)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    return schedule.alpha(t) * x0 + schedule.sigma(t) ** sigma_power * eps


# %%
from minidiff.data.world.scenes import Group, Scene

things = [("star", "red"), ("heart", "red"), ("star", "yellow"), ("heart", "yellow")]
claims = [Scene("day", (Group(kind, colour, "big"),), None) for kind, colour in things]
four = to_tensor([render(claim, 64).image for claim in claims])         # (4, 3, 64, 64)
texts = [f"a big {colour} {kind} by day" for kind, colour in things]


def cosines_of(lengths=(1.0, 1.0, 1.0, 1.0)) -> Tensor:
    images = clip.embed_image(four) * torch.tensor(lengths)[:, None]    # (4, P)
    return clip.embed_text(*pipe.tokenizer.encode(texts)) @ images.T    # (4, 4)


# %%
from torch.autograd.graph import saved_tensors_hooks


def held(gradients: bool, steps: int = 6) -> list[float]:
    """Megabytes that autograd holds after each step of one picture (lesson 07)."""
    known = {w.untyped_storage().data_ptr() for w in unet.parameters()}
    words, mask = (part.clone() for part in pipe.encode(prompts[:1]))
    kept, curve, x = {}, [0.0], noise_of(0)

    def pack(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in known:                      # weights don't count
            kept[memory.data_ptr()] = memory.nbytes() / 2**20
        return tensor.detach()

    unet.requires_grad_(True)
    with torch.set_grad_enabled(gradients), saved_tensors_hooks(pack, Tensor.detach):
        for t in torch.linspace(1, 0.2, steps):
            x = x - 0.1 * unet(x, schedule.timestep(t)[None], words, mask)
            curve.append(sum(kept.values()))
    unet.requires_grad_(False)
    return curve


# %% slide="sub"
fine = latents()
pictures, forward, table, memory = panels(4, height=2)
square(pipe.pixels(fine), pictures)
square(noised(), forward)
table.imshow(cosines_of(), vmin=0)
memory.plot(held(False))
memory.set(ylim=(-2, 50), box_aspect=1, xlabel="step", ylabel="MB")
for axis in (pictures, forward, table):
    axis.set(xticks=[], yticks=[])

# %% [markdown] lang="en"
# Now the faults. Each is a line of code that is wrong: a function of the library is replaced by a broken one while it draws,
# or a number is. The cell knows them by name, so read it if you like. The order of the panels is drawn by lot.
# %% [markdown] lang="vi" of="e383a7d1"
# Giờ đến các lỗi. Mỗi lỗi là một dòng mã sai: trong lúc vẽ, một hàm của thư viện bị thay bằng một hàm hỏng, hoặc một con số
# bị thay. Ô mã gọi chúng bằng tên, nên bạn cứ đọc nếu muốn. Thứ tự các ô hình được bốc thăm.

# %%
from unittest.mock import patch

from minidiff.models import unet as unet_file
from minidiff.nn import attention
from minidiff.nn.attention import Attention
from minidiff.nn.embeddings import timestep_embedding

attend = Attention.forward


def from_image(self, x: Tensor, context=None, mask=None) -> Tensor:
    if context is None:
        return attend(self, x)
    return attend(self, x, F.pad(x, (0, context.shape[-1] - x.shape[-1])))


def only_reshaped(x: Tensor, heads: int) -> Tensor:
    return x.reshape(len(x), heads, x.shape[1], -1)


def half_as_wide(timestep: Tensor, dim: int) -> Tensor:
    return F.pad(timestep_embedding(timestep, dim // 2), (0, dim // 2))


# %%
broken = {
    "image K/V": patch.object(Attention, "forward", from_image),
    "head reshape": patch.object(attention, "split_heads", only_reshaped),
    "time width": patch.object(unet_file, "timestep_embedding", half_as_wide),
}
drawings = {"right": fine, "scale 1": latents(scale=1.0)}
for name, fault in broken.items():
    with fault:
        drawings[name] = latents()                              # (4, 4, 16, 16)
results = {name: pipe.pixels(x) for name, x in drawings.items()}
with torch.inference_mode():
    results["VAE scale"] = pipe.vae.decode(fine / 0.18215)      # SD's factor

evidence = {name: lambda axis, p=p: square(p, axis) for name, p in results.items()}
del evidence["right"]
evidence["variance"] = lambda axis: square(noised(sigma_power=2), axis)
long = cosines_of((1, 1, 6, 1))                                 # one vector is longer
evidence["no L2 norm"] = lambda axis: axis.imshow(long, vmin=0, vmax=2)
evidence["no no_grad"] = lambda axis: axis.plot(held(True))
order = random.Random(17).sample(sorted(evidence), 8)

# %% slide="sub"
for row in ("ABCD", "EFGH"):
    for letter, axis in zip(row, panels(4, height=2.1)):
        evidence[order["ABCDEFGH".index(letter)]](axis)
        axis.set(title=letter, box_aspect=1)
        axis.set(**({"ylim": (-2, 50)} if axis.lines else {"xticks": [], "yticks": []}))

# %% [markdown] lang="en" role="think"
# **Name the fault** of each panel, A to H, and the one number that you would print to be sure. They are, in some order: keys
# and values from the image; no L2 norm; guidance scale 1; heads reshaped without a transpose; no `no_grad`; the wrong scale
# at the VAE; the wrong width of the time embedding; the variance in place of the standard deviation.
# ---
# | panel | fault | what to print |
# |---|---|---|
# | A | time width: blotches; the network reads a wrong time | the width before the MLP, and the last columns |
# | B | variance for deviation: too little noise at every $t$ | $\text{std}(x_t)$ for data of deviation 1: it must stay 1 |
# | C | K and V from the image: four prompts, one picture | how much the prediction changes with the prompt |
# | D | scale 1: things are small, pale or missing | the scale that arrives in the loop |
# | E | no `no_grad`: each step keeps as much as the one before | `x.requires_grad` after a step |
# | F | VAE scale: glaring and soft; 0.18215 belongs to another VAE | deviation of the latents that are decoded |
# | G | heads without a transpose: shreds that don't belong together | head 0 of tokens that hold their own numbers |
# | H | no L2 norm: one column wins in every row | the lengths |
# %% [markdown] lang="vi" of="a42955b3"
# **Gọi tên lỗi** ở từng ô, từ A đến H, và nói một con số bạn sẽ in ra để chắc chắn. Các lỗi, không theo thứ tự: khóa và giá
# trị lấy từ tranh; thiếu chuẩn L2; hệ số dẫn hướng (guidance) bằng 1; tách các đầu mà không chuyển vị; thiếu `no_grad`; sai
# tỉ lệ khi vào VAE; vector nhúng (embedding) thời gian sai bề rộng; lấy phương sai (variance) thay cho độ lệch chuẩn
# (standard deviation).
# ---
# | ô | lỗi | in ra cái gì |
# |---|---|---|
# | A | sai bề rộng thời gian: loang lổ, vì mạng đọc một thời điểm không có thật | bề rộng trước MLP, và các cột cuối |
# | B | phương sai thay cho độ lệch chuẩn: quá ít nhiễu ở mọi $t$ | $\text{std}(x_t)$ khi dữ liệu có độ lệch 1: luôn phải là 1 |
# | C | K và V lấy từ tranh: bốn prompt, một bức tranh | đổi prompt thì dự đoán đổi bao nhiêu |
# | D | hệ số 1: vật nhỏ, nhạt hoặc thiếu | hệ số thật sự đến được vòng lặp |
# | E | thiếu `no_grad`: bước nào cũng giữ thêm chừng ấy | `x.requires_grad` sau một bước |
# | F | tỉ lệ VAE: chói và nhòe; 0.18215 là của một VAE khác | độ lệch chuẩn của latent đem giải mã |
# | G | tách đầu mà không chuyển vị: những mảnh vụn không ăn nhập | đầu 0 của các token chứa số thứ tự của chính chúng |
# | H | thiếu chuẩn L2: một cột thắng ở mọi hàng | các độ dài |

# %%
from minidiff.evaluate.judge import load_judge, look
from minidiff.evaluate.verdict import judge

sees = load_judge()
asked = [Scene(None, (Group("star", "red"),), None),
         Scene("sea", (Group("fish", "blue"),), None),
         Scene("night", (Group("tree", "green"),), None),
         Scene(None, (Group("boat", "red"),), None)]
print("                right   words matter   contrast")
for name, pictures in results.items():
    found = look(sees, (pictures + 1) / 2)
    right = sum(judge(claim, seen).right for claim, seen in zip(asked, found))
    apart = torch.pdist(pictures.flatten(1)).mean() / pictures[0].numel() ** 0.5
    print(f"{name:13} {right:2} of 4 {apart:14.2f} {pictures.std():10.2f}")

# %% [markdown] lang="en"
# Two things are worth keeping. Image K/V is found by the second column alone: when words don't matter, it is exactly 0. But
# look for faults that get as many right as the first row: with four pictures, the judge can let scale 1 or the wrong time
# width pass, and the contrast of most faults is about right. No single figure finds all faults; a picture, a curve and two or
# three numbers together do.
# %% [markdown] lang="vi" of="9f8e4a4e"
# Hai điều nên nhớ. Chỉ riêng cột thứ hai (words matter: lời có tác dụng không) đã lộ ra lỗi khóa và giá trị lấy từ tranh: lời
# không có tác dụng thì nó đúng bằng 0. Nhưng hãy tìm những lỗi có số bức đúng (right) bằng hàng đầu: chỉ với bốn bức, giám
# khảo có thể bỏ qua hệ số 1 hay lỗi sai bề rộng thời gian, và độ tương phản (contrast) của phần lớn các lỗi vẫn gần đúng.
# Không con số nào một mình tìm ra mọi lỗi; một bức tranh, một đường cong và hai ba con số cùng nhau thì tìm được.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall: "it only needs more training"
#
# **Symptom.** Pictures come out, somewhat blotchy, glaring or beside the point; nothing crashes, and in training the loss
# falls. **Cause:** a fault such as A, D or F. Networks bend round faults: they learn *something* even with half a clock, and
# the pictures pass for those of a badly trained model. **Fix:** before any long training, three tests that take a second
# each:
#
# 1. change only the prompt: the prediction must change; change only a neighbour's prompt: it must not;
# 2. change only the time: the prediction must change;
# 3. noise, then undo it with the true $v$: the picture must come back, after the VAE too.
# %% [markdown] lang="vi" of="0f8b4644"
# ## Cạm bẫy: "chỉ cần huấn luyện thêm"
#
# **Triệu chứng.** Tranh vẫn ra, hơi loang lổ, chói, nhạt hoặc lạc đề; không có gì báo lỗi, và lúc huấn luyện (training) giá
# trị của hàm mất mát (loss) vẫn giảm. **Nguyên nhân:** một lỗi như A, D hay F. Mạng biết lách quanh lỗi: chỉ có nửa chiếc
# đồng hồ nó vẫn học được *gì đó*, và tranh trông như của một mô hình huấn luyện kém. **Cách chữa:** trước khi huấn luyện lâu,
# làm ba phép thử, mỗi phép một giây:
#
# 1. chỉ đổi prompt: dự đoán phải đổi; chỉ đổi prompt bên cạnh: dự đoán không được đổi;
# 2. chỉ đổi thời điểm: dự đoán phải đổi;
# 3. thêm nhiễu rồi khử bằng $v$ thật: bức tranh phải trở lại, kể cả sau VAE.

# %%
words, mask = pipe.encode(["a red star", "a blue fish in the sea", "a red star"])
x, half = noise_of(0).repeat(3, 1, 1, 1), torch.tensor([500.0])
alone = pipe.encode(["a red star"])
with torch.inference_mode():
    both = unet(x, half, words, mask)                           # (3, 4, 16, 16)
    by_itself = unet(x[:1], half, *alone)
    later = unet(x[:1], half + 100, *alone)
for name, a, b in (("another prompt", both[0], both[1]),
                   ("another neighbour", both[0], by_itself[0]),
                   ("another time", later[0], by_itself[0])):
    print(f"{name:17} changes the prediction by up to {(a - b).abs().max():.6f}")

# %% [markdown] lang="en" slide="slide"
# ## 7. The functional mark
#
# The last exercise puts your parts together: with them alone, the shipped weights draw ten pictures of each of two sentences,
# one in each language, with a composition that no training has shown. The mark gives no points of its own: its cell passes or
# fails. Two numbers decide:
#
# - **recognised**: the share of pictures in which the judge of lesson 14 finds all that the sentence says, and no other thing.
#   At least 95 %.
# - **diversity**: how much two pictures of one sentence differ, as the root of the mean squared difference of their pixels,
#   in −1..1. In the exam the two that are most alike count, and must differ by at least 0.1.
#
# Below, two other sentences, twenty pictures of each, and the diversity as the **mean** over all pairs, which is larger. Who
# decides is the library's `judge`; here it is:
# %% [markdown] lang="vi" of="a4a81f11"
# ## 7. Điểm chức năng: cho cả hệ thống
#
# Bài tập cuối ghép các phần của bạn lại: chỉ bằng các phần ấy, trọng số có sẵn vẽ mười bức cho mỗi câu trong hai câu, mỗi ngôn
# ngữ một câu, tả những cảnh mà lúc huấn luyện chưa từng có. Điểm này không cộng vào 100 điểm: ô của nó chỉ đạt hoặc không đạt.
# Hai con số quyết định:
#
# - **nhận ra được (recognised)**: tỉ lệ số tranh mà trong đó giám khảo của bài 14 thấy đủ mọi điều câu nói, và không thấy vật
#   nào khác. Ít nhất 95 %.
# - **đa dạng (diversity)**: hai bức tranh của cùng một câu khác nhau bao nhiêu, tính bằng căn của trung bình bình phương hiệu
#   các điểm ảnh, trong thang −1..1. Khi thi thì tính cặp giống nhau nhất, và cặp ấy phải khác nhau ít nhất 0.1.
#
# Dưới đây là hai câu khác, mỗi câu hai mươi bức, và độ đa dạng là **trung bình** trên mọi cặp, nên lớn hơn. Người quyết định
# là hàm `judge` của thư viện:

# %%
source(judge)

# %%
from minidiff.data.world.compositions import is_unseen

exam = {
    "a big yellow house by day": Scene("day", (Group("house", "yellow", "big"),), None),
    "hình vuông màu vàng": Scene(None, (Group("square", "yellow"),), None),
}
assert all(is_unseen(claim) for claim in exam.values())         # in no training


def recognised(pictures: Tensor, claim: Scene) -> float:
    found = look(sees, (pictures + 1) / 2)
    return sum(judge(claim, seen).right for seen in found) / len(found)


def diversity(pictures: Tensor) -> float:
    """The mean over all pairs of pictures (N, 3, H, W) in -1..1."""
    return float(torch.pdist(pictures.flatten(1)).mean()) / pictures[0].numel() ** 0.5


# %% [markdown] lang="en" role="think"
# **Predict** both numbers for four systems: (a) the library's; (b) one that gives the same picture twenty times; (c) one that
# is deaf to the prompt; (d) one with guidance scale 1. Which of the two numbers catches which system?
# ---
# (a) passes both. (b) is always recognised, and its diversity is 0. (c) is as diverse as anything, and hardly ever
# recognised. (d) is diverse, but recognised less surely. Either number alone lets a useless system through.
# %% [markdown] lang="vi" of="6e678fb3"
# **Đoán** cả hai con số cho bốn hệ thống: (a) của thư viện; (b) hệ thống cho đi cho lại một bức hai mươi lần; (c) hệ thống
# điếc, không nghe prompt; (d) hệ thống có hệ số dẫn hướng (guidance) bằng 1. Con số nào bắt được hệ thống nào?
# ---
# (a) qua cả hai. (b) lúc nào cũng được nhận ra, còn độ đa dạng bằng 0. (c) đa dạng không kém gì, nhưng hầu như không bao giờ
# được nhận ra. (d) đa dạng, nhưng khó được nhận ra hơn. Một con số đứng riêng sẽ để lọt một hệ thống vô dụng.

# %%
english, vietnamese = exam
twenty = noise_of(*range(20))                                   # (20, 4, 16, 16)
drawn = {
    "right, en": (english, draw([english] * 20, twenty)),
    "right, vi": (vietnamese, draw([vietnamese] * 20, twenty)),
    "one picture": (english, draw([english], twenty[:1]).repeat(20, 1, 1, 1)),
    "deaf": (english, draw([""] * 20, twenty)),
    "scale 1": (english, draw([english] * 20, twenty, scale=1.0)),
}
print("system        recognised   diversity")
sheets = []
for name, (sentence, x) in drawn.items():
    sheets.append(pipe.pixels(x))
    share = recognised(sheets[-1], exam[sentence])
    print(f"{name:13} {share:10.0%} {diversity(sheets[-1]):11.2f}")

# %% slide="sub"
show(torch.stack(sheets)[:, :6])                                # six of twenty, each

# %% [markdown] lang="en"
# A row for each system, in the order of the table.
#
# **How sure is a mark?** Suppose that a system is right in 90 % of all the pictures it could draw. It shows 20 of 20 with
# probability $0.9^{20} = 0.12$, and 19 with $20\cdot 0.1\cdot 0.9^{19} = 0.27$. So it passes twenty pictures in 39 of 100
# exams. The mark finds broken systems, not small differences: for these there is lesson 14.
# %% [markdown] lang="vi" of="758ead5a"
# Mỗi hệ thống một hàng, theo thứ tự của bảng.
#
# **Điểm ấy chắc đến đâu?** Giả sử một hệ thống vẽ đúng 90 % trong mọi bức tranh nó có thể vẽ. Nó vẽ đúng 20 trên 20 bức với
# xác suất $0.9^{20} = 0.12$, và 19 bức với xác suất $20\cdot 0.1\cdot 0.9^{19} = 0.27$. Vậy với hai mươi bức, cứ 100 lần thi
# thì nó qua 39 lần. Điểm này tìm ra những hệ thống hỏng, chứ không tìm ra những khác biệt nhỏ: việc đó đã có bài 14.

# %%
right, twenty = 0.9, 20
all_right = right**twenty
one_wrong = twenty * (1 - right) * right ** (twenty - 1)
print(f"20 of 20: {all_right:.2f}, 19 of 20: {one_wrong:.2f}, "
      f"together {all_right + one_wrong:.2f}")

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | what must hold | shapes |
# |---|---|---|
# | time embedding | other times, other vectors; the width that the MLP wants | (B,) → (B, D) |
# | skips | last in, first out | (B, C, H, W) |
# | cross-attention | another prompt changes it, padding doesn't | (B, h, N, d) with (B, h, L, d) |
# | jump | $\alpha^2 + \sigma^2 = 1$: deviations, not variances | (B, C, H, W) |
# | loss | 1 for a network that says 0; lower at every $t$ after training | () |
# | sentence vector | length 1, the same in any company | (B, D) |
# | step | noise undone with the true $v$ gives $x_0$ back | (B, C, H, W) |
# | guidance | $u + s\,(c - u)$: $c$ at scale 1 | (2B, ...) → (B, ...) |
# | sampling | no gradients; the VAE's factors undone | (B, 4, 16, 16) → (B, 3, 128, 128) |
# | mark | recognised ≥ 95 %, diversity of the closest pair ≥ 0.1 | two numbers |
# %% [markdown] lang="vi" of="27e15507"
# ## Tóm tắt
#
# | cái gì | điều phải đúng | kích thước |
# |---|---|---|
# | vector nhúng (embedding) thời gian | thời điểm khác, vector khác; đúng bề rộng mà MLP cần | (B,) → (B, D) |
# | kết nối tắt | vào sau ra trước | (B, C, H, W) |
# | chú ý chéo (cross-attention) | đổi prompt thì đổi, đổi phần đệm thì không | (B, h, N, d) với (B, h, L, d) |
# | phép nhảy | $\alpha^2 + \sigma^2 = 1$: độ lệch chuẩn, không phải phương sai | (B, C, H, W) |
# | hàm mất mát (loss) | bằng 1 với mạng luôn trả lời 0; huấn luyện (training) xong thì thấp hơn ở mọi $t$ | () |
# | vector của câu | độ dài 1, đứng cùng câu nào cũng như nhau | (B, D) |
# | một bước | thêm nhiễu rồi khử bằng $v$ thật thì được lại $x_0$ | (B, C, H, W) |
# | dẫn hướng (guidance) | $u + s\,(c - u)$: bằng $c$ ở hệ số 1 | (2B, ...) → (B, ...) |
# | lấy mẫu | không gradient; trả lại các hệ số của VAE | (B, 4, 16, 16) → (B, 3, 128, 128) |
# | điểm chức năng | nhận ra ≥ 95 %, cặp giống nhau nhất khác nhau ≥ 0.1 | hai con số |

# %% [markdown] lang="en"
# **You can now** say what a text-to-image system consists of, what must hold for each of its parts, and which test shows that
# it doesn't. Now show it: open [[notebook]].
#
# **What still bothers** is what no assessment asks: what would *you* draw? The same code trains on your own pictures
# (`minidiff train --help`, `minidiff finetune --help`), and the same tests will tell you where it is broken.
#
# **Sources.** J. Ho et al. 2020, *Denoising diffusion probabilistic models*, eq. 4 and algorithms 1 and 2. J. Ho, T. Salimans
# 2022, *Classifier-free diffusion guidance*, eq. 6. O. Ronneberger et al. 2015, *U-Net: convolutional networks for biomedical
# image segmentation*. T. Salimans, J. Ho 2022, *Progressive distillation for fast sampling of diffusion models*, section 4
# (v-prediction). S. Lin et al. 2024, *Common diffusion noise schedules and sample steps are flawed*. R. Rombach et al. 2022,
# *High-resolution image synthesis with latent diffusion models*, section 3.3. D. Ghosh et al. 2023, *GenEval: an
# object-focused framework for evaluating text-to-image alignment* (a detector as a judge).
# %% [markdown] lang="vi" of="f278aba4"
# **Giờ bạn đã biết** một hệ thống vẽ tranh từ lời gồm những gì, mỗi phần phải thỏa điều gì, và phép thử nào cho thấy nó không
# thỏa. Giờ hãy chứng tỏ điều đó: mở [[notebook]].
#
# **Điều còn vướng** là điều không đề thi nào hỏi: *bạn* muốn vẽ gì? Cũng mã ấy huấn luyện được trên tranh của bạn (`minidiff
# train --help`, `minidiff finetune --help`), và cũng những phép thử ấy sẽ chỉ cho bạn nó hỏng ở đâu.
#
# **Nguồn.** J. Ho và cộng sự 2020, *Denoising diffusion probabilistic models*, công thức 4 và thuật toán 1, 2 (khử nhiễu). J.
# Ho, T. Salimans 2022, *Classifier-free diffusion guidance*, công thức 6 (dẫn hướng không cần bộ phân loại). O. Ronneberger
# và cộng sự 2015, *U-Net: convolutional networks for biomedical image segmentation*. T. Salimans, J. Ho 2022, *Progressive
# distillation for fast sampling of diffusion models*, mục 4 (dự đoán v, chưng cất). S. Lin và cộng sự 2024, *Common diffusion
# noise schedules and sample steps are flawed* (lịch nhiễu). R. Rombach và cộng sự 2022, *High-resolution image synthesis with
# latent diffusion models*, mục 3.3. D. Ghosh và cộng sự 2023, *GenEval: an object-focused framework for evaluating
# text-to-image alignment* (dùng mạng phát hiện vật làm giám khảo).

# %% [markdown] lang="en" only="exercise"
# # 17 Final assessment: sixteen exercises, 100 points
#
# U-Net 30, training 25, words 25, sampling 20. Read all tasks first. Fill one, run it, `check` it, go on. Names, shapes and
# conventions are those of each docstring, not of earlier lessons. Each exercise is judged alone, so a missing one costs only
# its own points.
#
# In all exercises the network predicts $v$, and `bias` is added to the logits of attention: 0 for words, `HIDDEN` for
# padding. The last exercise puts your parts together: they draw with the shipped weights, and the judge says what is in the
# pictures.
# %% [markdown] lang="vi" of="ff7d935f" only="exercise"
# # 17 Bài thi cuối: mười sáu bài tập, 100 điểm
#
# U-Net 30, huấn luyện 25, lời 25, lấy mẫu 20. Hãy đọc hết các đề trước. Điền một bài, chạy, `check`, rồi đi tiếp. Tên, kích
# thước và quy ước là của từng docstring, không phải của các bài trước. Mỗi bài được chấm riêng, nên thiếu một bài chỉ mất
# điểm của bài ấy.
#
# Trong mọi bài, mạng dự đoán $v$, và `bias` được cộng vào các logit của cơ chế chú ý (attention): 0 cho từ, `HIDDEN` cho phần
# đệm. Bài cuối ghép các phần của bạn lại: chúng vẽ bằng trọng số có sẵn, và giám khảo nói trong tranh có gì.

# %% only="exercise"
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = -10000.0                       # added to a logit: this token is not seen
