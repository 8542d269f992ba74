"""Lesson 13: editing: image to image, inpainting, inversion, prompt-to-prompt and style transfer, each built and measured."""

# %% [markdown] lang="en" slide="slide"
# # 13 Editing
#
# From left to right: a picture, a mask that is white where the picture may change, the edited picture, and the difference
# between the two pictures. The red star has become yellow. Outside the white part the difference is black, which means exactly
# 0: not one bit has changed. The model that did this was never trained to edit. How can a model that only draws pictures from
# noise change a part of a given picture?
# %% [markdown] lang="vi" of="4624b013"
# # 13 Chỉnh sửa
#
# Từ trái sang phải: một bức tranh, một mặt nạ (mask) có màu trắng ở nơi bức tranh được phép thay đổi, bức tranh sau khi chỉnh
# sửa, và hiệu của hai bức. Ngôi sao đỏ đã thành màu vàng. Ngoài phần trắng, hiệu có màu đen, tức là đúng bằng 0: không một bit
# nào thay đổi. Mô hình làm việc này chưa từng được dạy chỉnh sửa. Làm sao một mô hình chỉ biết vẽ tranh từ nhiễu lại thay được
# một phần của bức tranh cho trước?

# %%
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from minidiff import load_pipeline
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Group, Scene
from minidiff.pipelines.inpaint import inpaint
from minidiff.utils.images import to_tensor

pipe = load_pipeline("world-dit", device="cpu", dtype="float32")
schedule = pipe.scheduler.schedule


def scene(colour: str) -> Scene:
    """A star of this colour, left of a blue house in a meadow."""
    things = Group("star", colour, "big"), Group("house", "blue", "big")
    return Scene("meadow", things, "left", seed=0)


# %% slide="sub"
drawn = render(scene("red"), masks=True)
original, truth = drawn.image.copy(), render(scene("yellow")).image.copy()
star = torch.from_numpy(drawn.masks[0].copy()) > 0              # (128, 128) bool
hole = F.max_pool2d(star[None].float(), 13, 1, 6)[0] > 0        # 6 pixels wider
mask = Image.fromarray((255 * hole.numpy()).astype(np.uint8))
words = "a big yellow star left of a big blue house in a meadow"
ddim = dict(sampler="ddim", eta=0.0, steps=10, guidance_scale=3.0)
request = pipe.request(words, **ddim, seed=4)
(edited,) = inpaint(pipe, Image.fromarray(original), mask, request)
difference = np.abs(np.asarray(edited).astype(int) - original)  # (128, 128, 3)
print("largest difference outside the mask:", difference[~hole.numpy()].max())
four = [original, mask, edited, difference.astype(np.uint8)]
show(four, ["original", "mask", "edit", "difference"])

# %% [markdown] lang="en" role="notes"
# Collect ideas: train a new network? Paste a star? Section 2 needs neither: only the sampler is changed.
# %% [markdown] lang="vi" of="7ecc31f3"
# Thu thập ý tưởng: huấn luyện mạng mới? Dán một ngôi sao vào? Mục 2 không cần cả hai: chỉ bộ lấy mẫu (sampler) thay đổi.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can redraw a picture with a chosen strength; change only what a mask allows, and prove it; find the noise that a
# picture comes from, and say when that fails; swap attention maps so that one word changes; and measure an edit against a true
# answer.
#
# **Time:** [[time]]. **You need:** DDIM's step (lesson 04), guidance (05), attention maps (07), latents (08), LoRA (11).
# Nothing is trained here, so everything runs on a CPU.
# %% [markdown] lang="vi" of="f96fc8d3"
# [[map]]
#
# **Mục tiêu.** Bạn vẽ lại được một bức tranh với độ mạnh tùy chọn; chỉ thay đổi phần mà mặt nạ cho phép, và chứng minh được
# điều đó; tìm được nhiễu sinh ra một bức tranh, và biết khi nào việc ấy thất bại; tráo được các bản đồ chú ý để chỉ một từ thay
# đổi; và đo được một chỉnh sửa so với đáp án thật.
#
# **Thời gian:** [[time]]. **Cần biết:** bước của DDIM (bài 04), dẫn hướng (05), bản đồ chú ý (07), latent (08), LoRA (11).
# Bài này không huấn luyện gì, nên mọi thứ chạy trên CPU.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (02) How do you make $x_t$ from a clean picture in one jump?
# 2. (04) What does DDIM's step from $t$ to $s$ do with $x_0$ and $\epsilon$?
# 3. (07) In cross-attention, what does a map of shape (B, heads, N, L) say?
# ---
# 1. $x_t = \alpha_t x_0 + \sigma_t\,\epsilon$: `schedule.mix(x0, eps, t)`.
# 2. It mixes them anew, for the time $s$: $x_s = \alpha_s x_0 + \sigma_s\,\epsilon$.
# 3. How much each of N places looks at each of L tokens. Each row adds up to 1.
# %% [markdown] lang="vi" of="d91c6d1d"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (02) Làm sao tạo $x_t$ từ một bức tranh sạch chỉ bằng một bước nhảy?
# 2. (04) Bước của DDIM từ $t$ đến $s$ làm gì với $x_0$ và $\epsilon$?
# 3. (07) Trong chú ý chéo (cross-attention), một bản đồ kích thước (B, heads, N, L) cho biết gì?
# ---
# 1. $x_t = \alpha_t x_0 + \sigma_t\,\epsilon$: `schedule.mix(x0, eps, t)`.
# 2. Nó trộn lại hai thứ ấy cho thời điểm $s$: $x_s = \alpha_s x_0 + \sigma_s\,\epsilon$.
# 3. Mỗi chỗ trong N chỗ nhìn vào từng token trong L token bao nhiêu. Mỗi hàng có tổng bằng 1.

# %% [markdown] lang="en" slide="slide"
# ## 1. Part of the way back
#
# Sampling begins at noise, $t = 1$, and ends at a picture, $t = 0$. **Image to image** (SDEdit, Meng et al. 2022) begins in
# between: noise the given picture to a time $t$, and sample from there with new words. The **strength** is the share of the
# steps that are made (a LoRA's strength is something else). By hand, with 10 steps and strength 0.6:
#
# - the falling times are $1, 0.9, \dots, 0$; the last 6 steps are made, so we begin at index $10 - 6 = 4$, at $t = 0.6$;
# - there $\alpha = \cos 54° = 0.588$ and $\sigma = \sin 54° = 0.809$;
# - a value 1 with noise $-0.5$ becomes $0.588\cdot 1 - 0.809\cdot 0.5 = 0.183$.
# %% [markdown] lang="vi" of="12dcb2ed"
# ## 1. Quay lại một phần đường
#
# Lấy mẫu bắt đầu từ nhiễu, $t = 1$, và kết thúc ở bức tranh, $t = 0$. **Ảnh sang ảnh (image to image)** (SDEdit, Meng và cộng
# sự 2022) bắt đầu ở giữa chừng: thêm nhiễu vào bức tranh đã cho đến thời điểm $t$, rồi lấy mẫu từ đó với lời mới. **Độ mạnh
# (strength)** là tỉ lệ số bước được thực hiện (khác với độ mạnh của LoRA). Tính tay với 10 bước và độ mạnh 0.6:
#
# - các thời điểm giảm dần là $1, 0.9, \dots, 0$; chỉ làm 6 bước cuối, nên bắt đầu ở chỉ số $10 - 6 = 4$, tức $t = 0.6$;
# - tại đó $\alpha = \cos 54° = 0.588$ và $\sigma = \sin 54° = 0.809$;
# - giá trị 1 với nhiễu $-0.5$ thành $0.588\cdot 1 - 0.809\cdot 0.5 = 0.183$.

# %%
from minidiff.diffusion.samplers import step
from minidiff.pipelines.img2img import steps_made

steps, strength = 10, 0.6
times = pipe.scheduler.timesteps(schedule, steps)               # (11,) falling
start = steps - min(int(steps * strength), steps)
assert start == steps - steps_made(steps, strength)
print("index", start, "time", float(times[start]))
value, eps = torch.tensor([[1.0]]), torch.tensor([[-0.5]])
print("noised:", schedule.mix(value, eps, times[start]))
source(steps_made)

# %%
picture = pipe.latents(to_tensor(original[None]))               # (1, 4, 16, 16)


def noise(seed: int) -> Tensor:
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(1, 4, 16, 16, generator=dice)


@torch.inference_mode()
def partly(model, picture: Tensor, eps: Tensor, times: Tensor) -> Tensor:
    """Noise the picture to the first of the times, and sample from there."""
    x = schedule.mix(picture, eps, times[0])                    # (1, 4, 16, 16)
    for t, s in pairwise(times):
        x0, predicted = model(x, t)
        x = step(schedule, x0, predicted, t, s)
    return x


def image(x: Tensor) -> np.ndarray:
    """A latent (1, 4, 16, 16) as bytes (128, 128, 3)."""
    return np.asarray(pipe.decode(x)[0])


# %% [markdown] lang="en" role="think"
# **Predict.** We ask for a green tree in the place of the star. The strength goes from 0.2 to 1. When does the star turn into a
# tree, and what happens to the house meanwhile?
# ---
# At small strength the shape of the star shows through the noise, and the words lose. At large strength the words win, but the
# house is redrawn as well.
# %% [markdown] lang="vi" of="91723a4a"
# **Đoán xem.** Ta yêu cầu một cái cây xanh lá thay cho ngôi sao. Độ mạnh đi từ 0.2 đến 1. Khi nào ngôi sao thành cái cây, và
# trong lúc đó ngôi nhà ra sao?
# ---
# Khi độ mạnh nhỏ, hình ngôi sao vẫn lộ qua lớp nhiễu, và lời bị lấn át. Khi độ mạnh lớn, lời thắng, nhưng ngôi nhà cũng bị vẽ
# lại.

# %% slide="sub"
from minidiff.evaluate.judge import load_judge, look
from minidiff.evaluate.reconstruction import masked_psnr

judge, outside = load_judge(), ~hole.numpy()                    # (128, 128)
tree = "a big green tree left of a big blue house in a meadow"
model = pipe.denoiser([tree], [""], 3.0)                        # guided
strengths, row = [0.2, 0.4, 0.6, 0.8, 1.0], []
for strength in strengths:
    start = steps - steps_made(steps, strength)
    row.append(image(partly(model, picture, noise(0), times[start:])))
    kept = masked_psnr(original, row[-1], outside)
    seen = look(judge, row[-1][None].copy())[0].words()
    print(f"strength {strength}: {kept:.1f} dB outside the mask; {seen}")
pictures = dict(zip([0.0, *strengths], [original, *row]))       # at 0 nothing is made


def at_strength(strength: float, axis) -> None:
    axis.imshow(pictures[strength])
    axis.set_axis_off()


slider(at_strength, "strength", [*pictures])

# %% [markdown] lang="en"
# No strength gives both. At small strength it is still a star. In between there is a tree, which may still have the star's
# colour or size. The more steps, the better the words are obeyed, and the lower the PSNR (lesson 08) of everything else. Even
# at 0.2 the rest isn't perfect, since the VAE itself loses details. The library's `img2img` does the same.
# %% [markdown] lang="vi" of="a9bc8af0"
# Không độ mạnh nào cho cả hai. Khi độ mạnh nhỏ, đó vẫn là ngôi sao. Ở khoảng giữa đã có cái cây, nhưng có thể vẫn mang màu hoặc
# cỡ của ngôi sao. Càng nhiều bước thì lời càng được tuân theo, và PSNR (bài 08) của mọi phần còn lại càng thấp. Ngay ở 0.2,
# phần còn lại cũng không hoàn hảo, vì chính VAE làm mất chi tiết. `img2img` của thư viện làm y như vậy.

# %%
from minidiff.pipelines.img2img import img2img

request = pipe.request(tree, **ddim, seed=0)
(theirs,) = img2img(pipe, Image.fromarray(original), request, strength=0.6)
assert np.abs(np.asarray(theirs).astype(int) - row[2]).max() <= 2   # of 255

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: strength 1 forgets the picture
#
# **Symptom.** The result has nothing to do with the given picture. **Cause:** the index is 0, so $\alpha = \cos 90° = 0$ and
# nothing of the picture is in $x$. Somebody set the strength to 1, or the code begins at index 0 whatever the strength.
# **Fix:** print the index and $\alpha$; give two different pictures and compare.
# %% [markdown] lang="vi" of="bd3c54d2"
# ## Cạm bẫy 1: độ mạnh bằng 1 thì quên bức tranh
#
# **Triệu chứng.** Kết quả không dính dáng gì đến bức tranh đã cho. **Nguyên nhân:** chỉ số bằng 0, nên $\alpha = \cos 90° = 0$
# và trong $x$ không còn gì của bức tranh. Ai đó đã đặt độ mạnh bằng 1, hoặc mã luôn bắt đầu ở chỉ số 0 bất kể độ mạnh. **Cách
# chữa:** in ra chỉ số và $\alpha$; đưa vào hai bức tranh khác nhau rồi so sánh.

# %% slide="sub"
print("alpha at index 0:", float(schedule.alpha(times[0])))
other = torch.zeros_like(picture)                               # another picture
same = partly(model, other, noise(0), times)
print("the picture matters:", not np.array_equal(image(same), row[-1]))
show([original, row[-1], image(same)], ["original", "from it", "from another"])

# %% [markdown] lang="en" slide="slide"
# ## 2. A mask: keep what is known
#
# The white part of the mask, which is drawn anew, is called the **hole**. The rest is **known**. To keep the house, put it
# back: after each step to time $s$, the known part of $x$ is replaced by the picture, **as noisy as $x$ is then** (Lugmayr et
# al. 2022, eq. 8):
#
# $$x \leftarrow \text{known}\cdot(\alpha_s\,\text{picture} + \sigma_s\,\epsilon) + (1 - \text{known})\cdot x$$
#
# At the end $\sigma_0 = 0$, and the known part is the clean picture.
# %% [markdown] lang="vi" of="4eb34a61"
# ## 2. Mặt nạ: giữ phần đã biết
#
# Phần trắng của mặt nạ, nơi sẽ được vẽ mới, gọi là **lỗ hổng (hole)**. Phần còn lại là **đã biết (known)**. Muốn giữ ngôi nhà
# thì hãy đặt nó trở lại: sau mỗi bước đến thời điểm $s$, phần đã biết của $x$ được thay bằng bức tranh, **với mức nhiễu đúng
# như $x$ lúc đó** (Lugmayr và cộng sự 2022, công thức 8):
#
# $$x \leftarrow \text{known}\cdot(\alpha_s\,\text{picture} + \sigma_s\,\epsilon) + (1 - \text{known})\cdot x$$
#
# Cuối cùng $\sigma_0 = 0$, và phần đã biết là bức tranh sạch.

# %% [markdown] lang="en" slide="sub"
# But the mask is in pixels, while $x$ is in **cells**: in each channel, one number stands for 8 × 8 pixels. By hand, in one row
# with cells of 4 pixels: the hole covers pixels 3 and 4 of 0 to 7. It **touches** cell 0 (pixels 0 to 3) and cell 1 (4 to 7),
# so both must be drawn. "Nearest" looks only at the first pixel of each cell, 0 and 4, and draws only cell 1.
# %% [markdown] lang="vi" of="bcb0a11e"
# Nhưng mặt nạ tính theo điểm ảnh (pixel), còn $x$ theo **ô (cell)**: trong mỗi kênh, một con số ứng với 8 × 8 điểm ảnh. Tính
# tay trên một hàng với ô rộng 4 điểm ảnh: lỗ hổng phủ điểm ảnh 3 và 4 trong các điểm từ 0 đến 7. Nó **chạm** ô 0 (điểm 0 đến 3)
# và ô 1 (4 đến 7), nên phải vẽ cả hai. Cách "nearest" (gần nhất) chỉ nhìn điểm ảnh đầu của mỗi ô, 0 và 4, nên chỉ vẽ ô 1.

# %%
from minidiff.pipelines.inpaint import shrunk


def touched(hole: Tensor, factor: int) -> Tensor:
    """(H, W) bool in pixels to (H / factor, W / factor): cells that it touches."""
    return F.max_pool2d(hole[None].float(), factor)[0] > 0


line = torch.tensor([[0, 0, 0, 1, 1, 0, 0, 0]] * 4) > 0         # (4, 8)
print("touched", touched(line, 4), "nearest", line[::4, ::4])
cells = touched(hole, 8)                                        # (16, 16)
assert torch.equal(cells, shrunk(hole, 16, "touched"))
print(f"{int(hole.sum())} pixels, {int(cells.sum())} cells of {8 * 8} pixels")

# %%
def keep_known(x, picture, known, eps, s) -> Tensor:
    """x (B, C, h, w), known (h, w): the picture there, as noisy as x at time s."""
    again = picture if s == 0 else schedule.mix(picture, eps, s)
    return torch.where(known, again, x)                         # (B, C, h, w)


@torch.inference_mode()
def fill(model, picture, cells, eps, times, keep=keep_known) -> Tensor:
    """Draw the cells (h, w). keep: what puts the rest back; pitfall 3 tries others."""
    x = eps                                                     # noise everywhere
    for t, s in pairwise(times):
        x0, predicted = model(x, t)
        x = step(schedule, x0, predicted, t, s)
        x = keep(x, picture, ~cells, eps, s)                    # ~cells: known
    return x


# %% [markdown] lang="en" slide="sub"
# The known cells still pass through the VAE's decoder, which changes every pixel a little. Its convolutions also carry some of
# the new star beyond the drawn cells. So the last operation works on **pixels**, as bytes: inside the hole the new picture,
# outside the old one. A soft edge (*feather*) lies inside the hole, where bits may change.
#
# **Predict**: with our loop alone, how many pixels outside the mask change? And after pasting?
# %% [markdown] lang="vi" of="be9eb175"
# Các ô đã biết vẫn đi qua bộ giải mã của VAE, và bộ giải mã làm mọi điểm ảnh đổi đi một chút. Các phép tích chập của nó còn
# mang một phần ngôi sao mới ra ngoài các ô được vẽ. Vì vậy thao tác cuối cùng làm trên **điểm ảnh**, dưới dạng byte: trong lỗ
# hổng là tranh mới, bên ngoài là tranh cũ. Mép mềm (*feather*) nằm bên trong lỗ hổng, nơi các bit được phép thay đổi.
#
# **Đoán xem**: chỉ với vòng lặp trên, bao nhiêu điểm ảnh ngoài mặt nạ bị đổi? Và sau khi dán thì sao?

# %% slide="sub"
model = pipe.denoiser([words], [""], 3.0)
filled = image(fill(model, picture, cells, noise(0), times))    # (128, 128, 3)
pasted = np.where(hole.numpy()[..., None], filled, original)    # feather 0
for name, result in {"loop alone": filled, "pasted": pasted}.items():
    changed = (result != original).any(-1) & outside            # (128, 128)
    print(f"{name}: {changed.sum() / outside.sum():.0%} of the pixels outside changed")
kept = torch.from_numpy(pasted)[~hole], torch.from_numpy(original)[~hole]
assert torch.equal(*kept)
show([original, filled, pasted, truth], ["original", "loop alone", "pasted", "true"])

# %% [markdown] lang="en"
# With the loop alone almost every pixel outside has changed, most of them only a little. Look at the window and the door: small
# things suffer most. After pasting, `torch.equal` holds. The last picture is the **true answer**, since the drawn world can
# draw the same scene with a yellow star. The library blends with a soft edge:
# %% [markdown] lang="vi" of="35cc3c63"
# Chỉ với vòng lặp, gần như mọi điểm ảnh bên ngoài đã đổi, phần lớn chỉ đổi rất ít. Hãy nhìn cửa sổ và cửa ra vào: vật càng nhỏ
# càng bị ảnh hưởng nhiều. Sau khi dán, `torch.equal` đúng. Bức cuối là **đáp án thật**, vì trong thế giới tranh vẽ, ta vẽ
# được chính cảnh này với ngôi sao vàng. Thư viện trộn với mép mềm:

# %%
from minidiff.pipelines.masks import blend, soft_edge

share = soft_edge(hole.numpy(), 2)                              # (128, 128), 0 outside
before, after = Image.fromarray(original), Image.fromarray(filled)
soft = np.asarray(blend(before, after, hole.numpy(), share))
assert np.array_equal(soft[outside], original[outside])
source(blend)

# %% [markdown] lang="en" slide="slide"
# ## 3. Judged against the truth
#
# Is the edit good? We measure three things, over four seeds: the largest difference outside, which must be 0; what
# `world-judge` sees in the whole picture; and the PSNR inside the hole against the true picture. PSNR is strict: a good star
# gets a low value if it is larger than the true one or stands a little beside it. So we also print the PSNR of *doing nothing*.
# %% [markdown] lang="vi" of="fab0141a"
# ## 3. So với đáp án thật
#
# Chỉnh sửa có tốt không? Ta đo ba thứ, trên bốn seed: độ lệch lớn nhất bên ngoài, phải bằng 0; `world-judge` thấy gì trong cả
# bức tranh; và PSNR bên trong lỗ hổng so với tranh thật. PSNR rất khắt khe: một ngôi sao đẹp cũng bị điểm thấp nếu to hơn sao
# thật hoặc đứng lệch đi một chút. Vì vậy ta in kèm PSNR của việc *không làm gì*.

# %% slide="sub"
inside, results = hole.numpy(), []
print(f"doing nothing: {masked_psnr(truth, original, inside):.1f} dB inside")
for seed in range(4):
    new = image(fill(model, picture, cells, noise(seed), times))
    results.append(np.where(inside[..., None], new, original))
    off = np.abs(results[-1].astype(int) - original)[outside].max()
    close = masked_psnr(truth, results[-1], inside)
    seen = look(judge, results[-1][None].copy())[0].words()
    print(f"seed {seed}: {off} outside, {close:.1f} dB inside; {seen}")
show([truth, *results], ["true", *(f"seed {seed}" for seed in range(4))])

# %% [markdown] lang="en"
# Outside it is 0 every time. Even where the judge sees a big yellow star in all four pictures, the PSNR inside differs from seed
# to seed: it depends on whether the new star happens to stand exactly where the true one does. A star that doesn't may gain
# little over doing nothing. In section 6 the star keeps its place.
# %% [markdown] lang="vi" of="6d9bf819"
# Bên ngoài lần nào cũng là 0. Dù giám khảo thấy ngôi sao vàng to ở cả bốn bức, PSNR bên trong vẫn mỗi seed một khác: nó phụ
# thuộc vào việc ngôi sao mới có tình cờ đứng đúng chỗ của ngôi sao thật hay không. Nếu không, ngôi sao mới có thể chỉ hơn việc
# không làm gì một chút. Ở mục 6, ngôi sao sẽ giữ được chỗ của mình.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: the wrong cells
#
# **Symptoms.** (a) With a mask that fits tightly, a rim of the old star stays, red beside yellow. **Cause:** the cells were
# chosen by "nearest", so that some cells which the hole touches were kept. (b) The star is as before, and everything else is
# new. **Cause:** hole and known were mixed up. **Fix:** show the cells as a picture, and count them.
# %% [markdown] lang="vi" of="09b3b2ac"
# ## Cạm bẫy 2: sai ô
#
# **Triệu chứng.** (a) Với mặt nạ ôm sát, một viền của ngôi sao cũ còn lại, đỏ bên cạnh vàng. **Nguyên nhân:** chọn ô bằng
# "nearest", nên vài ô mà lỗ hổng chạm vào đã bị giữ lại. (b) Ngôi sao vẫn như cũ, còn mọi thứ khác đều mới. **Nguyên nhân:**
# nhầm lỗ hổng với phần đã biết. **Cách chữa:** hiện các ô thành hình, và đếm chúng.

# %% slide="sub"
choices = {"touched": touched(star, 8), "nearest": star[::8, ::8], "inverted": ~cells}
wrong = [image(fill(model, picture, c, noise(1), times)) for c in choices.values()]
maps = [(255 * c.numpy()).astype(np.uint8) for c in choices.values()]
show([*maps, *wrong], [f"{name} cells" for name in choices] + [*choices], columns=3)

# %% [markdown] lang="en"
# Above, the cells that are drawn are white; below is what comes out, before pasting. With "nearest", parts of the star's arms
# stay red. Inverted, the star is the old one and the house is a new one. Pasting would then hide the mistake: the hole gets the
# old star, the rest is the original, and *nothing seems to happen*.
# %% [markdown] lang="vi" of="f3fb83ea"
# Hàng trên, các ô được vẽ có màu trắng; hàng dưới là kết quả trước khi dán. Với "nearest", nhiều phần của cánh sao vẫn đỏ. Khi
# đảo ngược, ngôi sao là sao cũ còn ngôi nhà là nhà mới. Bước dán sau đó sẽ che lỗi này: lỗ hổng nhận ngôi sao cũ, phần còn lại
# là tranh gốc, và *có vẻ như chẳng có gì xảy ra*.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 3: seams
#
# **Symptom.** The parts don't meet: the horizon breaks at the edge of the hole. **Cause:** the known part is put back only at
# the end, so the network drew in the hole without ever seeing the rest. **Fix:** put it back after *each* step.
#
# Why noised, and not clean? The network is told one time $t$ for the whole picture, and was never trained on a picture that is
# clean in one part and noisy in another, so it may misread the clean part. **Predict** which of the three ways fits worst, and
# which best: at the end, clean each time, re-noised each time. We take a part of the sea out of a picture.
# %% [markdown] lang="vi" of="bc231896"
# ## Cạm bẫy 3: đường ráp (seam)
#
# **Triệu chứng.** Các phần không khớp nhau: đường chân trời gãy ở mép lỗ hổng. **Nguyên nhân:** phần đã biết chỉ được đặt lại ở
# bước cuối, nên mạng đã vẽ trong lỗ hổng mà không hề thấy phần còn lại. **Cách chữa:** đặt lại sau *mỗi* bước.
#
# Vì sao phải thêm nhiễu mà không để sạch? Mạng chỉ được cho biết một thời điểm $t$ cho cả bức tranh, và chưa từng được huấn
# luyện trên tranh sạch ở chỗ này mà nhiễu ở chỗ kia. Vì thế nó có thể hiểu sai phần sạch. **Đoán xem** cách nào khớp kém nhất,
# cách nào khớp tốt nhất: đặt lại ở bước cuối, đặt lại bản sạch sau mỗi bước, hay đặt lại bản đã thêm nhiễu sau mỗi bước. Ta xóa
# một phần biển khỏi bức tranh.

# %%
from minidiff.evaluate.edges import seams       # jumps across the edge of the hole

alone = Scene("sea", (Group("boat", "red", "big", place="left"),), seed=0)
sea = render(alone).image.copy()
gap = np.zeros((128, 128), bool)
gap[20:108, 64:116] = True                                      # water and sky
sea_latent = pipe.latents(to_tensor(sea[None])).expand(4, -1, -1, -1)
sea_cells = touched(torch.from_numpy(gap), 8)                   # (16, 16)


def at_the_end(x, picture, known, eps, s) -> Tensor:
    return keep_known(x, picture, known, eps, s) if s == 0 else x


def clean(x, picture, known, eps, s) -> Tensor:
    return torch.where(known, picture, x)                       # as if s were 0


# %% slide="sub"
boat = "a big red boat on the left by the sea"
eps = torch.cat([noise(seed) for seed in range(4)])             # (4, 4, 16, 16)
model, rows = pipe.denoiser([boat] * 4, [""] * 4, 3.0), []
for keep in (at_the_end, clean, keep_known):
    x = fill(model, sea_latent, sea_cells, eps, times, keep)
    made = [np.where(gap[..., None], np.asarray(one), sea) for one in pipe.decode(x)]
    seam = np.mean([np.abs(seams(one, gap)).mean() for one in made])
    close = np.mean([masked_psnr(sea, one, gap) for one in made])
    print(f"{keep.__name__:10} mean of 4 seeds: seam {seam:.3f}, {close:.1f} dB inside")
    rows.append(made[1])
white = Image.fromarray((255 * gap).astype(np.uint8))
show([sea, white, *rows], ["true", "mask", "at the end", "clean", "re-noised"])

# %% [markdown] lang="en"
# Putting it back only at the end fits worst: sky and water break at the edge. But *clean* did no harm in our runs: it came
# closest to the truth, closer than re-noised. The network coped with what it was never trained on, and it saw the known part
# clearly from the first step on. This is one network and one easy scene: elsewhere the two may be equal, and another network
# may not cope. So the library re-noises, as the paper does. Measure before you blame a clean picture for a seam.
# %% [markdown] lang="vi" of="526b772e"
# Chỉ đặt lại ở bước cuối thì khớp kém nhất: trời và nước gãy ở mép. Nhưng trong các lần chạy của chúng tôi, bản *sạch* không
# gây hại: nó gần sự thật nhất, gần hơn cả bản thêm nhiễu lại. Mạng xử lý được điều nó chưa từng học, và nó thấy rõ phần đã biết
# ngay từ bước đầu. Đây mới là một mạng và một cảnh dễ: ở cảnh khác hai cách có thể ngang nhau, còn mạng khác có thể không xử lý
# được. Vì vậy thư viện thêm nhiễu lại, như trong bài báo. Hãy đo trước khi đổ lỗi cho bản sạch vì một đường ráp.

# %% [markdown] lang="en" slide="slide"
# ## 4. RePaint: go back and repeat
#
# Re-noising can leave a seam too: the known part is noised without regard to what is in the hole, and a single step is too
# short to make the two fit. **RePaint** gives them more time: after some steps, noise all of $x$ again and repeat these steps
# (Lugmayr et al. 2022, section 4.2, algorithm 1). From $s$ up to $t > s$:
#
# $$x_t = \frac{\alpha_t}{\alpha_s}\,x_s + \sqrt{\sigma_t^2 - \Big(\frac{\alpha_t}{\alpha_s}\sigma_s\Big)^2}\;\epsilon'$$
#
# By hand: from $s = 0$ ($\alpha = 1$, $\sigma = 0$) to $t = 0.6$ this is $0.588\,x + 0.809\,\epsilon'$, the jump of section 1.
# In general, the noise that is already in $x_s$ shrinks by the same factor as $x_s$, and only what is missing is added.
# %% [markdown] lang="vi" of="26992184"
# ## 4. RePaint: quay lại và làm lại
#
# Thêm nhiễu lại cũng có thể để lại đường ráp: phần đã biết được thêm nhiễu mà không xét đến những gì trong lỗ hổng, và chỉ một
# bước thì quá ngắn để hai phần khớp nhau. **RePaint** cho chúng thêm thời gian: sau vài bước, thêm nhiễu lại cho cả $x$ rồi làm
# lại các bước ấy (Lugmayr và cộng sự 2022, mục 4.2, thuật toán 1). Từ $s$ lên $t > s$:
#
# $$x_t = \frac{\alpha_t}{\alpha_s}\,x_s + \sqrt{\sigma_t^2 - \Big(\frac{\alpha_t}{\alpha_s}\sigma_s\Big)^2}\;\epsilon'$$
#
# Tính tay: từ $s = 0$ ($\alpha = 1$, $\sigma = 0$) lên $t = 0.6$, công thức cho $0.588\,x + 0.809\,\epsilon'$, chính là bước
# nhảy ở mục 1. Nói chung, nhiễu sẵn có trong $x_s$ co lại cùng hệ số với $x_s$, và ta chỉ thêm phần còn thiếu.

# %%
from minidiff.pipelines.inpaint import noised_again

t, s, fresh = times[4], times[6], noise(9)
x_s = schedule.mix(picture, noise(0), s)                        # (1, 4, 16, 16)
ratio = schedule.alpha(t) / schedule.alpha(s)
missing = (schedule.sigma(t) ** 2 - (ratio * schedule.sigma(s)) ** 2).sqrt()
x_t = float(ratio) * x_s + float(missing) * fresh               # (1, 4, 16, 16)
assert_close(x_t, noised_again(x_s, schedule, s, t, fresh))
source(noised_again)

# %% slide="sub"
rows, given = [], Image.fromarray(sea)
for seed in (1, 2):
    request = pipe.request(boat, **ddim, seed=seed)
    for rounds in (1, 3):
        (made,) = inpaint(pipe, given, white, request, resample=rounds)
        rows.append(np.asarray(made))
        close = masked_psnr(sea, rows[-1], gap)
        print(f"seed {seed}, {rounds} rounds: {close:.1f} dB inside")
titles = ["seed 1, 1 round", "3 rounds", "seed 2, 1 round", "3 rounds"]
show([sea, *rows], ["true", *titles])

# %% [markdown] lang="en"
# With one round, what is in the hole need not continue the sky and the water. Three rounds usually come closer to the truth:
# compare the numbers of each seed. The price is three times as many steps. The library repeats five steps at a time.
# %% [markdown] lang="vi" of="bd4d6992"
# Với một vòng, phần trong lỗ hổng chưa chắc nối tiếp trời và nước. Ba vòng thường gần sự thật hơn: hãy so các con số của từng
# seed. Cái giá là số bước gấp ba. Thư viện làm lại mỗi lần năm bước.

# %% [markdown] lang="en" slide="slide"
# ## 5. Inversion: which noise was it?
#
# DDIM adds no noise, so the starting noise alone decides the picture. To find the noise of a given picture, make the steps
# **backwards** (Song et al. 2021, section 4.3): predict at the clean end $s$, and mix for the noisy end $t$. It isn't exact,
# because the way down predicts at $t$. Let us test it by hand where the data are single numbers, $x_0 \sim N(0, 1)$. There the
# perfect prediction is $x_0 = \alpha_t x$, $\epsilon = \sigma_t x$, and a step down makes
#
# $$x_s = (\alpha_s\alpha_t + \sigma_s\sigma_t)\,x = \cos(90°\,(t - s))\;x$$
#
# A step up has the same factor. With 2 steps each way, 1 comes back as $(\cos 45°)^4 = 0.25$; with 10 steps as
# $(\cos 9°)^{20} = 0.78$. The smaller the steps, the closer to 1.
# %% [markdown] lang="vi" of="1646fff3"
# ## 5. Đảo ngược: đó là nhiễu nào?
#
# DDIM không thêm nhiễu, nên chỉ nhiễu xuất phát quyết định bức tranh. Muốn tìm nhiễu của một bức tranh cho trước, hãy làm các
# bước **ngược lại**, gọi là đảo ngược (inversion; Song và cộng sự 2021, mục 4.3): dự đoán ở đầu sạch $s$ rồi trộn cho đầu nhiễu
# $t$. Cách này không chính xác, vì đường xuống dự đoán ở $t$. Hãy thử tính tay khi dữ liệu chỉ là các con số,
# $x_0 \sim N(0, 1)$. Khi đó dự đoán hoàn hảo là $x_0 = \alpha_t x$, $\epsilon = \sigma_t x$, và một bước xuống cho
#
# $$x_s = (\alpha_s\alpha_t + \sigma_s\sigma_t)\,x = \cos(90°\,(t - s))\;x$$
#
# Bước lên cũng nhân hệ số ấy. Với 2 bước mỗi chiều, số 1 trở về thành $(\cos 45°)^4 = 0.25$; với 10 bước thành
# $(\cos 9°)^{20} = 0.78$. Bước càng nhỏ thì càng gần 1.

# %%
from minidiff.pipelines.inversion import climb


@torch.inference_mode()
def invert(model, x: Tensor, times: Tensor) -> Tensor:
    """x at time 0 to x at the first of the falling times."""
    for s, t in pairwise(times.flip(0)):
        x0, eps = model(x, s)                                   # at the clean end
        x = schedule.mix(x0, eps, t)
    return x


def bell(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The perfect prediction (x0, eps) where the data are N(0, 1)."""
    return float(schedule.alpha(t)) * x, float(schedule.sigma(t)) * x


# %%
for n in (2, 10, 50):
    falling, one = pipe.scheduler.timesteps(schedule, n), torch.ones(1, 1)
    x = invert(bell, one, falling)
    *_, library = climb(bell, one, schedule, falling)           # corrections=0
    assert_close(x, library)
    for t, s in pairwise(falling):
        x = step(schedule, *bell(x, t), t, s)
    print(f"{n} steps each way: 1 comes back as {float(x):.2f}")
source(climb)

# %% [markdown] lang="en" role="think"
# **Predict.** Now `world-dit`, up and down with the same words. Does the picture come back better with more steps? And with
# guidance 3 on both ways?
# ---
# More steps: better. Guidance: worse. It multiplies the difference between two predictions, and with it the mistake of each
# step (Mokady et al. 2023, section 3.2).
# %% [markdown] lang="vi" of="db41356b"
# **Đoán xem.** Giờ đến `world-dit`, đi lên rồi đi xuống với cùng lời. Nhiều bước hơn thì bức tranh trở về có tốt hơn không? Còn
# khi dùng dẫn hướng (guidance) 3 ở cả hai chiều?
# ---
# Nhiều bước hơn: tốt hơn. Dẫn hướng: tệ hơn. Nó nhân hiệu của hai dự đoán lên, và nhân luôn sai số của mỗi bước (Mokady và cộng
# sự 2023, mục 3.2).

# %% slide="sub"
red, scales, curves, back = words.replace("yellow", "red"), (1.0, 2.0, 3.0), {}, []
for n in (5, 10, 20):
    falling, errors = pipe.scheduler.timesteps(schedule, n), []
    for scale in scales:
        model = pipe.denoiser([red], [""], scale)
        x = invert(model, picture, falling)                     # (1, 4, 16, 16)
        with torch.inference_mode():
            for t, s in pairwise(falling):
                x = step(schedule, *model(x, t), t, s)
        errors.append(float((x - picture).square().mean().sqrt()))
        back += [image(x)] if n == 10 else []
    curves[f"{n} steps"] = (scales, errors)
lines(curves, title="round trip", x="guidance scale", y="error of the latent")

# %% slide="sub"
show([original, *back], ["original", *(f"scale {scale:g}" for scale in scales)])

# %% [markdown] lang="en"
# Scale 1 means no guidance: there the error falls quickly with the steps. With guidance it is much larger, and things come back
# changed. So the way up is made **without** guidance. The way down with new words still needs it, with the old words as
# the negative prompt (Miyake et al. 2023): then only what the new words *change* is exaggerated. The library's `change_picture`
# does this, with 2 `corrections` for each step up (see `climb`).
# %% [markdown] lang="vi" of="98933d0f"
# Hệ số 1 nghĩa là không có dẫn hướng: ở đó sai số giảm nhanh theo số bước. Có dẫn hướng, sai số lớn hơn nhiều, và các vật trở
# về đã khác đi. Vì vậy trên đường lên ta **không** dùng dẫn hướng. Trên đường xuống với lời mới thì vẫn cần, và lời cũ được
# dùng làm prompt phủ định (Miyake và cộng sự 2023): khi đó chỉ phần mà lời mới *thay đổi* bị phóng đại. `change_picture` của
# thư viện làm như vậy, với 2 lần hiệu chỉnh (`corrections`) cho mỗi bước lên (xem `climb`).

# %% [markdown] lang="en" slide="slide"
# ## 6. Prompt-to-prompt: swap the maps
#
# From the same noise, two prompts that differ in one word may give quite different pictures: every place looks at the words and
# at all other places, so a small change spreads. **Prompt-to-prompt** (Hertz et al. 2022) draws both pictures side by side and
# gives the new one the *old maps*: the new word is looked at where the old one was. Words may also be added, or weighted:
#
# $$\text{maps} = (\text{old}\cdot\text{mapping} + \text{new}\cdot\text{added})\cdot\text{factors}$$
#
# By hand: "red star" becomes "big red star". At one place the old map is $(0.3, 0.7)$ and the new one $(0.2, 0.1, 0.7)$.
# `mapping` sends token 0 to 1 and token 1 to 2; `added` is $(1, 0, 0)$; the factors are 1. The result is $(0.2, 0.3, 0.7)$. As
# in the paper, it isn't made to sum to 1 again. The values $V$ still come from the *new* words.
# %% [markdown] lang="vi" of="965eaa36"
# ## 6. Prompt-to-prompt: tráo bản đồ
#
# Từ cùng một nhiễu, hai prompt chỉ khác nhau một từ có thể cho hai bức tranh rất khác: mỗi chỗ nhìn vào các từ và vào mọi chỗ
# khác, nên một thay đổi nhỏ sẽ lan ra. **Prompt-to-prompt** (Hertz và cộng sự 2022) vẽ hai bức song song và đưa cho bức mới
# *các bản đồ cũ*: từ mới được nhìn ở nơi từ cũ đã được nhìn. Cũng có thể thêm từ, hoặc đặt trọng số cho từ:
#
# $$\text{maps} = (\text{old}\cdot\text{mapping} + \text{new}\cdot\text{added})\cdot\text{factors}$$
#
# Tính tay: "red star" thành "big red star". Tại một chỗ, bản đồ cũ là $(0.3, 0.7)$, bản đồ mới là $(0.2, 0.1, 0.7)$. `mapping`
# đưa token 0 đến 1 và token 1 đến 2; `added` là $(1, 0, 0)$; mọi hệ số bằng 1. Kết quả là $(0.2, 0.3, 0.7)$. Giống như trong
# bài báo, nó không được chuẩn hóa lại về tổng 1. Các value $V$ vẫn đến từ lời *mới*.

# %%
from minidiff.pipelines.alignment import alignment


def swap_maps(old, new, mapping, added, factors) -> Tensor:
    """old, new (B, heads, N, L); mapping (B, L, L); added, factors (B, L)."""
    mapped = old @ mapping[:, None]                             # (B, heads, N, L)
    return (mapped + new * added[:, None, None]) * factors[:, None, None]


mapping, added = alignment([7, 8], [5, 7, 8], length=3)  # 5 big, 7 red, 8 star
print(mapping, added)
old = torch.tensor([0.3, 0.7, 0.0]).view(1, 1, 1, 3)            # padded to L = 3
new = torch.tensor([0.2, 0.1, 0.7]).view(1, 1, 1, 3)
maps = swap_maps(old, new, mapping[None], added[None], torch.ones(1, 3))
print(maps.flatten())
assert_close(maps.flatten(), torch.tensor([0.2, 0.3, 0.7]))
source(alignment)

# %% [markdown] lang="en"
# The library's `change_words` does this in every layer of cross-attention, in the first part of the steps; `cross_share` says
# how large that part is. `self_share` does the same for self-attention, where places look at one another. We try shares from 0
# (only the same noise) to 1 (all steps).
# %% [markdown] lang="vi" of="a9e8b6a5"
# `change_words` của thư viện làm như vậy trong mọi lớp chú ý chéo (cross-attention), ở phần đầu của các bước; `cross_share` là
# tỉ lệ của phần ấy. `self_share` làm tương tự với tự chú ý (self-attention), nơi các chỗ trong tranh nhìn vào nhau. Ta thử các
# tỉ lệ từ 0 (chỉ chung nhiễu) đến 1 (mọi bước).

# %% [markdown] lang="en" role="think"
# **Predict.** A tree becomes an umbrella. Where will the umbrella stand if the two pictures share only their noise? And what
# could go wrong if the old maps are used in *all* steps?
# ---
# Noise alone doesn't fix the layout, so the umbrella may stand anywhere. With the old maps until the end it stands in the tree's
# place, but it is looked at only where the tree was, so it can hardly get a shape of its own.
# %% [markdown] lang="vi" of="92981395"
# **Đoán xem.** Một cái cây biến thành chiếc ô. Chiếc ô sẽ nằm ở đâu nếu hai bức tranh chỉ chung nhiễu? Và điều gì có thể hỏng nếu
# dùng các bản đồ cũ ở *mọi* bước?
# ---
# Riêng nhiễu không giữ được bố cục, nên chiếc ô có thể nằm ở bất cứ đâu. Nếu dùng bản đồ cũ đến cùng, nó nằm đúng chỗ của cái cây,
# nhưng chỉ được nhìn ở nơi từng có cây, nên khó có hình dạng của riêng mình.

# %% slide="sub"
from minidiff.pipelines.prompt_to_prompt import WordChange, change_words

pairs = {
    "a yellow car and a green tree": "a yellow car and a pink umbrella",
    "a green tree by the sea": "a red boat by the sea",
}
rows, shares = [], (0.0, 0.2, 0.6, 1.0)                         # of the steps
for old_words, new_words in pairs.items():
    request = pipe.request(old_words, **ddim, seed=1, expand_prompt=False)
    for amount in shares:
        change = WordChange(cross_share=amount, self_share=amount)
        before, after = change_words(pipe, request, new_words, change)
        rows += [after] if amount else [before, after]
titles = ["old words", "same noise", "20 %", "60 %", "all steps"]
show(rows, 2 * titles, columns=5)

# %% [markdown] lang="en"
# Above, the tree becomes an umbrella; below, it becomes a boat. From the same noise alone both may stand where no tree was. With
# a small share the layout can be torn between the old picture and the new one: look for things that come twice. At 60 % umbrella
# and boat stand in the tree's place, and the car is where it was. With the maps swapped in **all** steps the new word can hardly
# show its own shape and colour: compare the boat with that at 60 %. This mistake looks like a model that can't read. The best
# share differs from prompt to prompt.
# %% [markdown] lang="vi" of="ec648b36"
# Hàng trên, cái cây thành chiếc ô; hàng dưới, nó thành chiếc thuyền. Nếu chỉ chung nhiễu, cả hai có thể nằm ở nơi vốn không có
# cây. Với tỉ lệ nhỏ, bố cục có thể giằng co giữa bức cũ và bức mới: hãy tìm những vật xuất hiện hai lần. Ở 60 %, chiếc ô và
# chiếc thuyền nằm ở chỗ của cái cây, còn chiếc xe vẫn ở chỗ cũ. Khi tráo bản đồ ở **mọi** bước, từ mới khó thể hiện được hình
# dạng và màu sắc của nó: hãy so chiếc thuyền với bức ở 60 %. Lỗi này trông như thể mô hình không biết đọc. Mỗi prompt có một tỉ
# lệ tốt nhất khác nhau.

# %% [markdown] lang="en" slide="sub"
# Inversion and prompt-to-prompt together edit a **given** picture without a mask. **Predict**: where will the yellow star
# stand now, and is the difference outside still 0?
# %% [markdown] lang="vi" of="15ae0ca4"
# Đảo ngược và prompt-to-prompt kết hợp lại thì chỉnh sửa được một bức tranh **cho trước** mà không cần mặt nạ. **Đoán xem**:
# lần này ngôi sao vàng sẽ đứng ở đâu, và hiệu ở bên ngoài có còn bằng 0 không?

# %% slide="sub"
from minidiff.pipelines.inversion import change_picture

request = pipe.request(red, **ddim, expand_prompt=False)
change = WordChange(cross_share=0.6, self_share=0.6)
before, after = map(np.asarray, change_picture(
    pipe, Image.fromarray(original), request, words, change
))
print(f"outside: {masked_psnr(original, after, outside):.1f} dB to the original")
print(f"inside: {masked_psnr(truth, after, inside):.1f} dB to the truth")
show([original, before, after, truth], ["original", "back", "edit", "true"])

# %% [markdown] lang="en"
# The star keeps its place and its shape; compare its PSNR inside with those of section 3. But outside the difference is no longer
# 0: everything went through the VAE and through the inversion. With a mask you could paste at the end, as in section 2.
# %% [markdown] lang="vi" of="ab74fde7"
# Ngôi sao giữ nguyên chỗ và hình dạng; hãy so PSNR bên trong với các số ở mục 3. Nhưng hiệu ở bên ngoài không còn bằng 0: mọi
# thứ đã đi qua VAE và qua phép đảo ngược. Nếu có mặt nạ, ta có thể dán ở bước cuối như ở mục 2.

# %% [markdown] lang="en" slide="slide"
# ## 7. Style transfer with LoRAs
#
# The content stays, the style changes. We compare two ways. With a LoRA in the DiT, as in lesson 11: image to image, with words
# that say what the picture shows. With a LoRA only in the VAE's decoder: encode and decode, without sampling, so that nothing
# can move. The drawn world can draw the true answer, and we measure the PSNR against it. *Doing nothing* and the true picture
# through the VAE are the two ends of the scale.
# %% [markdown] lang="vi" of="91792c1f"
# ## 7. Chuyển phong cách bằng LoRA
#
# Chuyển phong cách (style transfer): nội dung giữ nguyên, phong cách thay đổi. Ta so sánh hai cách. Với LoRA trong DiT, như ở
# bài 11: ảnh sang ảnh, với lời tả đúng bức tranh. Với LoRA chỉ trong bộ giải mã của VAE: mã hóa rồi giải mã, không lấy mẫu, nên
# không gì xê dịch được. Thế giới tranh vẽ cho ta đáp án thật, và ta đo PSNR so với nó. *Không làm gì* và tranh thật đi qua VAE
# là hai đầu của thước đo.

# %% slide="sub"
from minidiff.pipelines.loras import LoRAs
from minidiff.pipelines.style_transfer import restyle

loras, given = LoRAs(pipe), Image.fromarray(original)
outline = render(scene("red"), style="outline").image.copy()
request = pipe.request(red, **ddim, seed=0)
ways = {"doing nothing": given}
for strength in (0.3, 0.7, 0.9):
    loras.mix({loras.load("outline-dit"): 1.0})
    (ways[f"DiT, {strength}"],) = restyle(pipe, given, request, strength)
loras.mix({loras.load("outline"): 1.0})                         # of the decoder
(ways["decoder"],) = restyle(pipe, given)
loras.mix({})                                                   # out again
ways["true, by VAE"] = image(pipe.latents(to_tensor(outline[None])))

# %% slide="sub"
for name, result in ways.items():
    close = masked_psnr(outline, np.asarray(result), np.ones((128, 128), bool))
    print(f"{name:14} {close:5.1f} dB to the true outline")
show([outline, *ways.values()], ["true", *ways])

# %% [markdown] lang="en"
# At 0.3 there is too little noise for the DiT to change the background; at 0.7 the background has the new style; at 0.9 the
# things no longer keep their shapes and places, which costs PSNR. It is the trade of section 1. The decoder's LoRA, which can't
# move anything, comes close. This is one scene and one seed; `minidiff evaluate style-transfer` measures many.
# %% [markdown] lang="vi" of="18a3097d"
# Ở 0.3, nhiễu quá ít để DiT đổi được nền; ở 0.7, nền đã mang phong cách mới; ở 0.9, các vật không còn giữ được hình dạng và
# chỗ, và PSNR phải trả giá. Đó chính là sự đánh đổi ở mục 1. LoRA của bộ giải mã không xê dịch được gì nên đến khá gần. Đây mới
# là một cảnh và một seed; `minidiff evaluate style-transfer` đo trên nhiều cảnh.

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula or code | shapes |
# |---|---|---|
# | image to image | begin at index `steps - int(steps * strength)` | (B, 4, 16, 16) |
# | cells | `max_pool2d(hole, 8)`: touched | (128, 128) → (16, 16) |
# | keep what is known | $\alpha_s\,\text{picture} + \sigma_s\,\epsilon$ after each step | (h, w) mask, (B, C, h, w) |
# | the last operation | paste in pixels, soft edge inside | bytes (H, W, 3) |
# | inversion | predict at $s$, mix for $t$; guidance 1 | (B, C, h, w) |
# | prompt-to-prompt | (old · mapping + new · added) · factors | (B, heads, N, L) |
# %% [markdown] lang="vi" of="fcf85c02"
# ## Tóm tắt
#
# | cái gì | công thức hay mã | kích thước |
# |---|---|---|
# | ảnh sang ảnh | bắt đầu ở chỉ số `steps - int(steps * strength)` | (B, 4, 16, 16) |
# | các ô | `max_pool2d(hole, 8)`: ô bị chạm | (128, 128) → (16, 16) |
# | giữ phần đã biết | $\alpha_s\,\text{picture} + \sigma_s\,\epsilon$ sau mỗi bước | mặt nạ (h, w), (B, C, h, w) |
# | thao tác cuối | dán trên điểm ảnh, mép mềm ở bên trong | byte (H, W, 3) |
# | đảo ngược | dự đoán ở $s$, trộn cho $t$; dẫn hướng 1 | (B, C, h, w) |
# | prompt-to-prompt | (old · mapping + new · added) · factors | (B, heads, N, L) |

# %% [markdown] lang="en"
# **You can now** choose a strength and say what it costs, change a part of a picture and prove that nothing else changed, find
# a picture's noise, change a word by its attention maps, and restyle a picture.
#
# **What still bothers:** we judged by PSNR on single scenes, and it punished good stars for standing in another place. Which
# numbers can be trusted, and how many pictures do they need? Lesson 14 measures the measures.
#
# **Sources.** C. Meng et al. 2022, *SDEdit*. A. Lugmayr et al. 2022, *RePaint*, eq. 8, section 4.2, algorithm 1. J. Song et al.
# 2021, *Denoising diffusion implicit models*, section 4.3. R. Mokady et al. 2023, *Null-text inversion*, section 3.2. D. Miyake
# et al. 2023, *Negative-prompt inversion*. A. Hertz et al. 2022, *Prompt-to-prompt image editing with cross attention control*.
# %% [markdown] lang="vi" of="7544f297"
# **Giờ bạn đã biết** chọn độ mạnh và nói được cái giá của nó, thay một phần bức tranh và chứng minh mọi thứ khác không đổi, tìm
# nhiễu của một bức tranh, đổi một từ bằng bản đồ chú ý, và đổi phong cách một bức tranh.
#
# **Điều còn vướng:** ta đã chấm bằng PSNR trên từng cảnh riêng lẻ, và nó phạt những ngôi sao đẹp chỉ vì đứng ở chỗ khác. Con số
# nào đáng tin, và cần bao nhiêu bức tranh? Bài 14 đo chính các phép đo.
#
# **Nguồn.** C. Meng và cộng sự 2022, *SDEdit*. A. Lugmayr và cộng sự 2022, *RePaint*, công thức 8, mục 4.2, thuật toán 1. J.
# Song và cộng sự 2021, *Denoising diffusion implicit models*, mục 4.3. R. Mokady và cộng sự 2023, *Null-text inversion*, mục
# 3.2. D. Miyake và cộng sự 2023, *Negative-prompt inversion*. A. Hertz và cộng sự 2022, *Prompt-to-prompt image editing with
# cross attention control*.

# %% [markdown] lang="en" slide="slide"
# ## 8. Optional: beyond the edges, and larger
#
# **Outpainting** is inpainting on a larger canvas: the picture's edges are repeated outwards, and the new part is the hole.
# **Super-resolution** needs a network of its own. `world-upscaler` learned from pairs: a drawn picture, and the same made
# small. It isn't a diffusion model: one pass adds to bicubic interpolation what that lacks.
# %% [markdown] lang="vi" of="fdebc407"
# ## 8. Không bắt buộc (optional): vượt ra ngoài mép, và phóng to
#
# **Vẽ tiếp ra ngoài (outpainting)** là tô bù vùng ảnh (inpainting) trên khung lớn hơn: mép tranh được lặp ra ngoài, và phần mới
# là lỗ hổng. **Siêu phân giải (super-resolution)** cần một mạng riêng. `world-upscaler` học từ các cặp: một bức tranh vẽ, và
# chính nó đã thu nhỏ. Đây không phải mô hình khuếch tán: chỉ qua một lượt, mạng thêm vào kết quả nội suy bicubic những gì còn
# thiếu.

# %% slide="sub"
from minidiff.pipelines.outpaint import enlarged

canvas, new = enlarged(Image.fromarray(sea), left=24, right=24, top=24, bottom=24)
request = pipe.request("a small red boat on the left by the sea", **ddim, seed=0)
(wide,) = inpaint(pipe, canvas, new, request)
print("pixels:", sea.shape[:2], "to", np.asarray(wide).shape[:2])
show([sea, canvas, wide], ["original", "canvas", "outpainted"])

# %% slide="sub"
from minidiff.pipelines.upscale import load_upscaler, upscale

small = given.resize((32, 32), Image.Resampling.BICUBIC)
bicubic = small.resize((128, 128), Image.Resampling.BICUBIC)
network = upscale(load_upscaler(), small, 4)                    # 4 times as wide
for name, result in {"bicubic": bicubic, "network": network}.items():
    close = masked_psnr(original, np.asarray(result), np.ones((128, 128), bool))
    print(f"{name}: {close:.1f} dB to the true picture")
show([original, small, bicubic, network], ["true", "small", "bicubic", "network"])

# %% [markdown] lang="en"
# The sea goes on beyond the edges, but a faint frame may show where the old picture ends. The network draws sharp edges where
# bicubic blurs. It can't know what the small picture no longer shows: look at the door and the window.
# %% [markdown] lang="vi" of="0d43c2c9"
# Mặt biển tiếp tục ra ngoài mép, nhưng có thể thấy một khung mờ ở nơi bức tranh cũ kết thúc. Mạng vẽ các cạnh sắc ở nơi bicubic
# làm mờ. Nó không thể biết những gì bức tranh nhỏ không còn cho thấy: hãy nhìn cửa ra vào và cửa sổ.

# %% [markdown] lang="en" only="exercise"
# # 13 Exercises: change a part, keep the rest
#
# From the step at which img2img begins to a star that changes its colour while not one bit changes round it. You build
# inpainting, the way back from a picture to its noise, the swap of attention maps, and the blending at the end. `check` says
# what is right and what isn't. Then your function edits with the shipped model `world-dit`: the upper row is made with the
# solution, the lower row with yours, and they must be the same.
#
# The next cell loads the model and draws a scene: `original` (128, 128, 3) uint8, its `latent` (1, 4, 16, 16), a `hole`
# (128, 128) round its star, `noise` like the latent, and the `times` of 12 steps. `red` says what is in the picture, `green`
# what should be. `edited` is the library's edit before it is blended.
# %% [markdown] lang="vi" of="5303d3ab" only="exercise"
# # 13 Bài tập: sửa một phần, giữ phần còn lại
#
# Từ bước mà img2img bắt đầu cho đến một ngôi sao đổi màu trong khi xung quanh nó không một bit nào thay đổi. Bạn dựng phép tô
# bù vùng ảnh (inpainting), đường từ bức tranh trở về nhiễu của nó, phép đổi bản đồ chú ý (attention), và phép trộn ở cuối.
# `check` cho biết chỗ nào đúng, chỗ nào chưa. Sau đó hàm của bạn chỉnh sửa tranh bằng mô hình có sẵn `world-dit`: hàng trên làm
# bằng lời giải, hàng dưới làm bằng phần của bạn, và hai hàng phải giống nhau.
#
# Ô tiếp theo nạp mô hình và vẽ một cảnh: `original` (128, 128, 3) uint8, `latent` của nó (1, 4, 16, 16), một lỗ hổng `hole`
# (128, 128) quanh ngôi sao, nhiễu `noise` cùng kích thước với latent, và `times`, các thời điểm của 12 bước. `red` nói trong
# tranh có gì, `green` nói muốn có gì. `edited` là bản sửa của thư viện trước khi trộn.

# %% only="exercise"
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff import load_pipeline
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Group, Scene
from minidiff.diffusion.prediction import Denoiser
from minidiff.diffusion.samplers import sample, step
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.diffusion.timesteps import uniform
from minidiff.evaluate.judge import load_judge, look
from minidiff.nn.attention import attention_weights, split_heads
from minidiff.pipelines.inpaint import around_known, shrunk
from minidiff.pipelines.masks import soft_edge
from minidiff.pipelines.prompt_to_prompt import WordChange, sharing, stream_pairs
from minidiff.pipelines.shared_attention import SharedAttention
from minidiff.utils.images import to_images, to_tensor
from minidiff.utils.plots import show

pipe = load_pipeline("world-dit", device="cpu", dtype="float32")
schedule = pipe.scheduler.schedule
times = uniform(schedule, 12)                               # (13,) falling
red = "a red star above a blue house at night"
green = "a green star above a blue house at night"
noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(8))


def drawn(relation: str) -> tuple[Tensor, Tensor]:
    """A red star and a blue house at night, (128, 128, 3) uint8, and the corners of
    the box round the star, (4,) in pixels: left, top, right, bottom."""
    things = Group("star", "red", "big"), Group("house", "blue", "big")
    made = render(Scene("night", things, relation, seed=8))
    return torch.tensor(made.image), (128 * torch.tensor(made.boxes[0])).long()


original, (left, top, right, bottom) = drawn("above")
hole = torch.zeros(128, 128, dtype=torch.bool)
hole[top : bottom + 1, left : right + 1] = True
latent = pipe.latents(to_tensor(original[None].numpy()))    # (1, 4, 16, 16)
beside = pipe.latents(to_tensor(drawn("left")[0][None].numpy()))

# %% only="exercise"
def soft_share(hole: Tensor, width: int) -> Tensor:
    """How much of an edit is seen, (H, W): 0 outside of the hole (H, W), and inside
    rising to 1 within `width` pixels of its edge."""
    return torch.from_numpy(soft_edge(hole.numpy(), width))


class Swapping(SharedAttention):
    """Prompt-to-prompt inside a network, with `swap` for the maps of the words."""

    def __init__(self, swap: Callable, *settings: Any) -> None:
        super().__init__(*settings)
        self.swap = swap

    def _cross(self, name: str, layer: Any, given: Any, output: Tensor) -> Tensor:
        (x, context, bias), both = given, 2 * self.pairs
        query = split_heads(layer.to_q(x[:both]), layer.heads)
        key = split_heads(layer.to_k(context[:both]), layer.heads)
        hidden = None if bias is None else bias[:both]
        old, new = attention_weights(query, key, hidden).chunk(2)   # (B, heads, N, L)
        s = self.sharing
        if self.step < s.cross_share * self.steps:
            new = self.swap(old, new, s.mapping, s.added, s.factors)
        return self._attended(layer, new, context, output)


def words_changed(swap: Callable, before: str, after: str, seed: int) -> Tensor:
    """A picture of each prompt, side by side from one noise: (2, 3, 128, 128)."""
    request = pipe.request(
        before, seed=seed, steps=12, sampler="ddim", guidance_scale=3.0
    )
    length, change = pipe.encode([before, after, ""])[0].shape[1], WordChange(0.8, 0.4)
    tables = sharing(pipe, [before], [after], change, length)
    shared = Swapping(swap, pipe.network, tables, request.steps)
    *_, last = stream_pairs(pipe, request, [before, after], shared)
    return pipe.pixels(last.latents)


route = around_known(latent, ~shrunk(hole, 16, "touched"), pipe.scheduler, made=12)
request = pipe.request(
    green, seed=8, steps=12, sampler="ddim", guidance_scale=3.0, expand_prompt=False
)
*_, last = pipe.stream(request, route)
edited = torch.from_numpy(to_images(pipe.pixels(last.latents))[0])  # (128, 128, 3)
