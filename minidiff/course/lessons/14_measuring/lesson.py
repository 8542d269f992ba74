"""Lesson 14: measuring pictures: Fréchet distance, KID, prompt scores with intervals, copies, and how each of them lies."""

# %% [markdown] lang="en" slide="slide"
# # 14 Measuring: which of four sheets is best?
#
# Imagine four models, A to D from the top, with a sheet of six pictures each. A, B and D were asked for the six things named
# above; C was asked six times for the first, with six seeds. **Rank the sheets** and write your ranking down. What would a
# number have to look at, to notice the fault of each?
# %% [markdown] lang="vi" of="b1f2b0f2"
# # 14 Đo lường: trong bốn bảng tranh, bảng nào tốt nhất?
#
# Hãy tưởng tượng bốn mô hình, từ trên xuống là A, B, C, D, mỗi mô hình một bảng sáu bức tranh. A, B và D được yêu cầu vẽ sáu
# vật ghi ở trên; C được yêu cầu vẽ vật đầu tiên sáu lần, với sáu seed. **Hãy xếp hạng bốn bảng** và ghi ra giấy. Một con số
# phải nhìn vào đâu mới nhận ra chỗ hỏng của từng bảng?

# %%
import random
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import COLOURS, Scene
from minidiff.utils.images import gaussian_blur, to_tensor
from minidiff.utils.plots import heatmap


def drawn(some: list[Scene], size: int = 128) -> Tensor:
    """True pictures (N, 3, size, size) in -1..1."""
    return to_tensor([render(scene, size).image for scene in some])


def recoloured(scene: Scene, dice: random.Random) -> Scene:
    """The same scene, each thing in a colour that wasn't in it."""
    old = {group.colour for group in scene.groups}
    free = [colour for colour in COLOURS if colour not in old]
    groups = tuple(replace(g, colour=dice.choice(free)) for g in scene.groups)
    return replace(scene, groups=groups)

# %% slide="sub"
N, dice = 300, random.Random(0)
scenes = [scene_at(k, "test") for k in range(N)]
true = drawn(scenes)                                            # (300, 3, 128, 128)
blurred = gaussian_blur(true, 13, sigma=2.0)
wrong = drawn([recoloured(scene, dice) for scene in scenes])
alone = [k for k, s in enumerate(scenes) if sum(g.count for g in s.groups) == 1][:6]
same = true[alone[:1]].expand(6, -1, -1, -1)                    # one picture, six times
sheets = torch.stack([true[alone], blurred[alone], same, wrong[alone]])
things = [scenes[k].groups[0] for k in alone]
show(sheets, [f"{thing.colour} {thing.kind}" for thing in things])

# %% [markdown] lang="en" role="notes"
# Let the class vote. Each picture of C and D alone is flawless. Sections 2 and 5 rank the sheets differently.
# %% [markdown] lang="vi" of="93f76844"
# Cho cả lớp bỏ phiếu. Xét riêng thì bức nào của C và D cũng hoàn hảo. Mục 2 và mục 5 sẽ cho hai thứ hạng khác nhau.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can write the distances behind FID and KID; read a number by its count of pictures, floor, ceiling and interval;
# show how each metric is fooled; find copies of training pictures; and rank samplers without claiming too much.
#
# **Time:** [[time]]. **You need:** samplers (lesson 04), guidance (05), CLIP (06), the DiT (09). Nothing is trained. Most
# pictures are true drawings, spoilt in known ways.
# %% [markdown] lang="vi" of="42025584"
# [[map]]
#
# **Mục tiêu.** Bạn viết được các khoảng cách làm nền cho FID và KID; đọc được một con số qua số tranh, mức sàn, mức trần và
# khoảng tin cậy; chỉ ra được mỗi thước đo (metric) bị đánh lừa thế nào; tìm được bản sao của tranh huấn luyện (training); và
# xếp hạng được các bộ lấy mẫu (sampler) mà không khẳng định quá mức.
#
# **Thời gian:** [[time]]. **Cần biết:** bộ lấy mẫu (bài 04), dẫn hướng (guidance, bài 05), CLIP (06), DiT (09). Bài này không
# huấn luyện gì. Phần lớn tranh là tranh thật, bị làm hỏng theo những cách đã biết.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (04) Which samplers add fresh noise at each step?
# 2. (05) What does a larger guidance scale do to the pictures of one prompt?
# 3. (06) What is the dot product of CLIP's vectors, of length 1, for a picture and a text?
# ---
# 1. DDPM (Euler ancestral), but not DDIM, Heun or DPM++ 2M.
# 2. They follow the prompt more closely and become more alike.
# 3. The cosine of the angle between them: how well the two agree.
# %% [markdown] lang="vi" of="b971bcdb"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (04) Bộ lấy mẫu nào thêm nhiễu mới ở mỗi bước?
# 2. (05) Hệ số dẫn hướng lớn hơn làm gì với các bức tranh của cùng một prompt?
# 3. (06) Tích vô hướng của hai vector CLIP, độ dài 1, của một bức tranh và một câu là gì?
# ---
# 1. DDPM (Euler ancestral); DDIM, Heun và DPM++ 2M thì không.
# 2. Chúng theo prompt sát hơn và giống nhau hơn.
# 3. Cosin của góc giữa hai vector: hai bên hợp nhau đến đâu.

# %% [markdown] lang="en" slide="slide"
# ## 1. The distance between two sets of numbers
#
# Describe a set of numbers by its mean $m$ and its standard deviation $s$. For two sets, take
#
# $$d = (m_1 - m_2)^2 + (s_1 - s_2)^2$$
#
# This is the **Fréchet distance** of two Gaussians in one dimension (strictly, its square). Sets with $m = 0$, $s = 1$ and
# $m = 3$, $s = 2$ are $9 + 1 = 10$ apart. A set that has the right mean, but repeats one number ($s = 0$), is $1$ away from the
# first: a lack of variety counts.
# %% [markdown] lang="vi" of="a10764a3"
# ## 1. Khoảng cách giữa hai tập số
#
# Hãy mô tả một tập số bằng trung bình $m$ và độ lệch chuẩn (standard deviation) $s$ của nó. Với hai tập, lấy
#
# $$d = (m_1 - m_2)^2 + (s_1 - s_2)^2$$
#
# Đó là **khoảng cách Fréchet** giữa hai phân phối Gauss một chiều (đúng ra là bình phương của nó). Hai tập có $m = 0$, $s = 1$
# và $m = 3$, $s = 2$ cách nhau $9 + 1 = 10$. Tập có trung bình đúng nhưng chỉ lặp lại một số ($s = 0$) thì cách tập thứ nhất
# $1$: thiếu đa dạng cũng bị tính.

# %% [markdown] lang="en" role="think"
# **Predict.** Now each picture gives *two* numbers. In both clouds below, both numbers have mean 0 and deviation 1. Compute $d$
# for the first numbers, then for the second, and add. Are the clouds alike?
# ---
# The sum is 0, but the clouds differ: in one the two numbers rise together, in the other one falls when the other rises. The
# distance needs their covariance.
# %% [markdown] lang="vi" of="f53627e8"
# **Đoán xem.** Giờ mỗi bức tranh cho *hai* số. Ở cả hai đám mây điểm dưới đây, cả hai số đều có trung bình 0 và độ lệch
# chuẩn 1. Hãy tính $d$ cho các số thứ nhất, rồi cho các số thứ hai, và cộng lại. Hai đám mây có giống nhau không?
# ---
# Tổng bằng 0, nhưng hai đám mây khác nhau: ở một đám hai số cùng tăng, ở đám kia số này tăng thì số kia giảm. Khoảng cách cần
# đến hiệp phương sai (covariance) của chúng.

# %% slide="sub"
def root(C: Tensor) -> Tensor:
    """R with R R = C, for a symmetric C (D, D) without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(C)                      # (D,), (D, D)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


torch.manual_seed(0)
C = torch.tensor([[1.0, 0.9], [0.9, 1.0]])                      # covariance
rising = torch.randn(20_000, 2) @ root(C)                       # (20000, 2)
falling = rising * torch.tensor([1.0, -1.0])
left, right = panels(2)
cloud(rising[:1000], left, "rising", 3.5)
cloud(falling[:1000], right, "falling", 3.5)

# %% [markdown] lang="en" slide="sub"
# For $D$ numbers a picture, with mean vectors $m$, (D,), and covariance matrices $C$, (D, D), the formula becomes (Heusel et
# al. 2017, eq. 6)
#
# $$d = |m_1 - m_2|^2 + \mathrm{tr}\left(C_1 + C_2 - 2\,(C_1 C_2)^{1/2}\right)$$
#
# With $D = 1$ it is the formula above. The power $1/2$ is the root of a *matrix*, $R$ with $RR = C$, not of its entries.
# $C_1 C_2$ isn't symmetric, but $C_1^{1/2} C_2\, C_1^{1/2}$ is, and has the same eigenvalues. The sum of their roots is the
# trace of $(C_1 C_2)^{1/2}$.
#
# For the clouds, $C_1 C_2$ has the eigenvalue $1 - 0.9^2 = 0.19$ twice, so $d = 2 + 2 - 2 \cdot 2\sqrt{0.19} = 2.256$.
# %% [markdown] lang="vi" of="6bd4f551"
# Khi mỗi bức tranh cho $D$ số, với vector trung bình $m$, kích thước (D,), và ma trận hiệp phương sai $C$, kích thước (D, D),
# công thức trở thành (Heusel và cộng sự 2017, công thức 6)
#
# $$d = |m_1 - m_2|^2 + \mathrm{tr}\left(C_1 + C_2 - 2\,(C_1 C_2)^{1/2}\right)$$
#
# Với $D = 1$, đó chính là công thức trên. Số mũ $1/2$ là căn của *ma trận*, tức $R$ sao cho $RR = C$, không phải căn của từng
# phần tử. $C_1 C_2$ không đối xứng, nhưng $C_1^{1/2} C_2\, C_1^{1/2}$ thì đối xứng và có cùng các trị riêng (eigenvalue). Tổng
# các căn của chúng là vết (trace) của $(C_1 C_2)^{1/2}$.
#
# Với hai đám mây, $C_1 C_2$ có trị riêng $1 - 0.9^2 = 0.19$ hai lần, nên $d = 2 + 2 - 2 \cdot 2\sqrt{0.19} = 2.256$.

# %%
def mean_and_covariance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, D), N at least 2, to (D,) and (D, D), in float64."""
    x = x.double()
    centred = x - x.mean(0)                                     # (N, D)
    return x.mean(0), centred.T @ centred / (len(x) - 1)


def fd(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance of features (N, D) and (M, D)."""
    (m1, C1), (m2, C2) = mean_and_covariance(real), mean_and_covariance(fake)
    R = root(C1)
    values = torch.linalg.eigvalsh(R @ C2 @ R).clamp(min=0)     # (D,); none below 0
    traces = C1.trace() + C2.trace() - 2 * values.sqrt().sum()
    return float((m1 - m2).square().sum() + traces)

# %%
from minidiff.evaluate.metrics import frechet_distance

small = torch.tensor([[-1.0], [0.0], [1.0]])                     # mean 0, deviation 1
print(f"by hand, 10: {fd(small, 2 * small + 3):.4f}")             # mean 3, deviation 2
print(f"the clouds, about 2.256: {fd(rising, falling):.3f}")
a, b = torch.randn(50, 8), torch.randn(5, 8) + 1                # 5 rows, 8 features
assert_close(fd(a, b), frechet_distance(a, b), rtol=1e-6, atol=1e-6)
source(frechet_distance)

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: a distance that is nearly right
#
# **Symptom.** A number of about the right size, and no error. **Cause:** a shortcut: each feature alone (the diagonal of $C$),
# the root entry by entry, or a covariance divided by $N$, not $N - 1$. **Fix:** compare once with a trusted result, for
# correlated features and few rows. In the first line below, the root entry by entry is right by chance.
# %% [markdown] lang="vi" of="0af60cc3"
# ## Cạm bẫy 1: một khoảng cách gần đúng
#
# **Triệu chứng.** Con số có cỡ hợp lý, không báo lỗi. **Nguyên nhân:** một lối tắt: tính riêng từng đặc trưng (đường chéo của
# $C$), lấy căn từng phần tử, hoặc chia hiệp phương sai cho $N$ thay vì $N - 1$. **Cách chữa:** so một lần với một kết quả đáng
# tin, trên các đặc trưng có tương quan và ít hàng. Ở dòng đầu dưới đây, căn từng phần tử tình cờ đúng.

# %%
def shortcut(real: Tensor, fake: Tensor, kind: str) -> float:
    (m1, C1), (m2, C2) = mean_and_covariance(real), mean_and_covariance(fake)
    if kind == "divided by N":
        C1, C2 = C1 * (1 - 1 / len(real)), C2 * (1 - 1 / len(fake))
    if kind == "diagonal only":
        C1, C2 = C1.diag().diag(), C2.diag().diag()
    cross = torch.linalg.eigvals(C1 @ C2).real.clamp(min=0).sqrt().sum()
    if kind == "entry by entry":
        cross = (C1 @ C2).clamp(min=0).sqrt().trace()
    return float((m1 - m2).square().sum() + C1.trace() + C2.trace() - 2 * cross)

# %% slide="sub"
even = torch.randn(20_000, 2)                                   # no correlation
pairs = {"rising, falling": (rising, falling), "rising, even": (rising, even),
         "6 rows of each": (rising[:6], falling[:6])}
for name, (x, y) in pairs.items():
    kinds = ("diagonal only", "entry by entry", "divided by N")
    wrongs = ", ".join(f"{kind} {shortcut(x, y, kind):.2f}" for kind in kinds)
    print(f"{name}: right {fd(x, y):.2f}; {wrongs}")

# %% [markdown] lang="en" slide="slide"
# ## 2. From pictures to features
#
# Shift a picture by a few pixels: the scene is the same, but thousands of numbers change. So we compare **features**: what a
# trained network makes of a picture. FID takes 2048 of Inception v3, trained on photos. We take 120 of **`world-judge`**, which
# names things and was trained on scenes that no generator sees: 96 means of its last layer (things and colours) and 24 maxima
# of its first (sharp edges).
#
# FID names *one* network with *one* set of weights; other features give other numbers. So ours is **FD-mini**. The same holds
# for KID, CLIPScore (section 5) and LPIPS (a distance of two pictures).
# %% [markdown] lang="vi" of="52f4bd37"
# ## 2. Từ tranh đến đặc trưng
#
# Dịch một bức tranh đi vài điểm ảnh (pixel): cảnh vẫn thế, nhưng hàng nghìn con số đã đổi. Vì vậy ta so **đặc trưng**
# (features): những gì một mạng đã huấn luyện rút ra từ tranh. FID lấy 2048 đặc trưng của Inception v3, một mạng học từ ảnh
# chụp. Ta lấy 120 đặc trưng của **`world-judge`**, mạng giám khảo: nó tìm và gọi tên các vật, và học từ những cảnh mà không mô
# hình vẽ nào được thấy. Đó là 96 trung bình của lớp cuối (vật gì, màu gì) và 24 giá trị lớn nhất của lớp đầu (cạnh sắc).
#
# FID là tên của *một* mạng với *một* bộ trọng số; đặc trưng khác thì con số khác. Vì vậy con số của ta tên là **FD-mini**. KID,
# CLIPScore (mục 5) và LPIPS, khoảng cách giữa hai bức tranh, cũng là những tên như thế.

# %%
from minidiff.evaluate.judge import Seen, decode, load_judge

judge = load_judge()


@torch.no_grad()
def look(pictures: Tensor) -> tuple[Tensor, list[Seen]]:
    """Pictures (N, 3, H, W) in -1..1 to features (N, 120), and what is there."""
    features, seen = [], []
    for part in pictures.split(50):
        out = judge(part / 2 + 0.5)                             # it wants 0..1
        features.append(out.features)                           # (50, 120)
        seen += decode(out, judge.config)
    return torch.cat(features), seen


print(look(true[:1])[1][0].words())

# %%
firsts = range(1000, 2000, 200)                                 # other scenes
numbered = [[scene_at(k, "test") for k in range(n, n + 200)] for n in firsts]
raw = torch.cat([look(drawn(some))[0] for some in numbered])    # (1000, 120)
mean, deviation = raw[:500].mean(0), raw[:500].std(0)           # (120,) each
real, fresh = ((raw - mean) / deviation).split(500)             # (500, 120) each


def scaled(features: Tensor) -> Tensor:
    """In units of the real pictures' deviation, so that each counts alike."""
    return (features - mean) / deviation                        # (N, 120)

# %% [markdown] lang="en" role="think"
# `real`, our reference, and `fresh` hold true drawings of different scenes. **Predict.** How far apart are two sets of 300
# *true* pictures: 0, a little, a lot? Then rank the sheets, now of 300 pictures each, by FD-mini. (C repeats six.)
# ---
# Not 0: two finite sets never have the same mean and covariance. This value is the **floor**; no model can be expected below
# it.
# %% [markdown] lang="vi" of="f4aa6876"
# `real` và `fresh` chứa tranh thật của các cảnh khác nhau; `real` là tập đối chiếu (reference). **Đoán xem.** Hai tập 300 bức
# tranh *thật* cách nhau bao xa: 0, một chút, hay nhiều? Rồi xếp hạng bốn bảng, giờ mỗi bảng 300 bức, theo FD-mini. C lặp lại
# sáu bức.
# ---
# Không phải 0: hai tập hữu hạn không bao giờ có cùng trung bình và hiệp phương sai. Giá trị này là **mức sàn** (floor); không
# thể mong mô hình nào xuống thấp hơn.

# %% slide="sub"
found = {"A true": look(true), "B blurred": look(blurred), "D recoloured": look(wrong)}
sets = {name: scaled(features) for name, (features, _) in found.items()}
few = torch.arange(6).repeat(50)                                # 0 to 5, fifty times
sets["C collapsed"] = sets["A true"][few]                       # (300, 120)
values = {name: fd(real[:N], sets[name]) for name in sorted(sets)}
title = f"N = {N} against {N}"
heatmap([list(values.values())], ["FD-mini"], [*values], title=title, digits=1)

# %% slide="sub"
def blurrier(sigma: float, axis) -> None:
    some = gaussian_blur(true, 13, sigma=sigma)                 # (300, 3, 128, 128)
    distance = fd(real[:N], scaled(look(some)[0]))
    axis.imshow((some[alone[2]].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1))
    axis.set(xticks=[], yticks=[], xlabel=f"FD-mini {distance:.1f}")


slider(blurrier, "sigma", [0.25, 0.5, 1.0, 2.0])

# %% [markdown] lang="en"
# A is the floor. Blur and collapse are many times as far away: they are **ceilings**, the values of sets that are surely bad.
# Between floor and ceiling a number can be read; alone it says nothing. Turn the blur up: half a pixel, which the eye hardly
# notices, already counts.
#
# D, where *no* thing has the right colour, is close to the floor. FD-mini never saw a prompt, and recoloured scenes are scenes
# like any other.
# %% [markdown] lang="vi" of="34e1f458"
# A là mức sàn. Tranh mờ và tập bị sụp (collapsed, chỉ còn vài bức lặp lại) xa gấp nhiều lần: đó là các **mức trần** (ceiling),
# tức giá trị của những tập chắc chắn xấu. Đặt giữa sàn và trần thì đọc được con số; đứng riêng, nó không nói lên điều gì. Hãy
# kéo thanh trượt: chỉ mờ nửa điểm ảnh, mắt khó nhận ra, FD-mini đã tăng.
#
# D, nơi *không* vật nào đúng màu, lại ở sát mức sàn. FD-mini chưa từng thấy prompt, và các cảnh bị đổi màu cũng là những cảnh
# như mọi cảnh khác.

# %% [markdown] lang="en" role="think" slide="slide"
# ## 3. How many pictures?
#
# A covariance of 120 features has $120 \cdot 121 / 2 = 7260$ different numbers; 30 pictures can't determine them. We compare
# $N$ true pictures with $N$ others: the same perfect "model" each time. **Predict** FD-mini against $N$: flat, rising, falling?
# ---
# It falls. With few pictures, each covariance is 0 in many directions, and not the same ones in both sets. Such errors don't
# cancel, because a distance can't be negative.
# %% [markdown] lang="vi" of="7578388f"
# ## 3. Cần bao nhiêu bức tranh?
#
# Hiệp phương sai của 120 đặc trưng có $120 \cdot 121 / 2 = 7260$ số khác nhau; 30 bức tranh không đủ để xác định chúng. Ta so
# $N$ tranh thật với $N$ bức khác: "mô hình" luôn là một, và hoàn hảo. **Đoán xem** đường FD-mini theo $N$: phẳng, tăng, hay
# giảm?
# ---
# Giảm. Với ít tranh, mỗi hiệp phương sai bằng 0 theo nhiều hướng, và ở hai tập thì các hướng ấy khác nhau. Các sai số ấy không
# triệt tiêu, vì khoảng cách không thể âm.

# %% slide="sub"
def at(n: int, a: Tensor, b: Tensor, measure=fd, times: int = 3) -> float:
    """The measure of n rows of each, mean of several draws."""
    dice = torch.Generator().manual_seed(n)
    some = [(torch.randperm(len(a), generator=dice)[:n],
             torch.randperm(len(b), generator=dice)[:n]) for _ in range(times)]
    return sum(measure(a[i], b[j]) for i, j in some) / times


sizes = [30, 60, 120, 200, 300, 400, 500]
floor = [at(n, real, fresh) for n in sizes]
ceiling = [at(n, real, sets["B blurred"]) for n in sizes[:5]]
inverse = [1 / n for n in sizes]
for axis, x, label in zip(panels(2), (sizes, inverse), ("N", "1 / N"), strict=True):
    curves = {"true": (x, floor), "blurred": (x[:5], ceiling)}
    lines(curves, axis, "FD-mini", label, marker="o")
    axis.axvline(x[2], color="0.6", linestyle=":")              # N = D = 120

# %% [markdown] lang="en"
# Only $N$ changed, and the same model's FD-mini falls to less than a tenth. With $N = 30$, true pictures score worse than
# blurred ones with $N = 300$. (Dotted: $N = D$.) So: **no number without its $N$, and compare at equal $N$ only**. FID usually
# takes 50 000 pictures.
#
# On the right, over $1/N$, the points for large $N$ lie nearly on a line. Chong and Forsyth (2020) extend it to $1/N = 0$, to
# estimate the value for infinitely many pictures: for true ones, about 0.
# %% [markdown] lang="vi" of="9bb904fd"
# Chỉ $N$ thay đổi, mà FD-mini của cùng một mô hình giảm còn chưa đến một phần mười. Với $N = 30$, tranh thật bị điểm xấu hơn
# tranh mờ với $N = 300$. (Đường chấm: $N = D$.) Vì vậy: **nêu con số thì phải nêu $N$, và chỉ so ở cùng $N$**. FID thường được
# tính từ 50 000 bức.
#
# Bên phải, theo $1/N$, các điểm có $N$ lớn gần như thẳng hàng. Chong và Forsyth (2020) kéo dài đường thẳng ấy đến $1/N = 0$ để
# ước lượng giá trị ứng với vô hạn bức tranh: với tranh thật thì khoảng 0.

# %%
def extended(sizes: list[int], values: list[float]) -> float:
    """Where the straight line through the values over 1 / N meets 1 / N = 0."""
    x = torch.tensor([[1.0, 1 / n] for n in sizes])             # (P, 2)
    return float(torch.linalg.lstsq(x, torch.tensor(values)[:, None]).solution[0])


print(f"true, extended:    {extended(sizes[3:], floor[3:]):5.1f}")
print(f"blurred, extended: {extended(sizes[2:5], ceiling[2:]):5.1f}")

# %% [markdown] lang="en" slide="slide"
# **A distance without this bias** compares *pairs* of pictures. A **kernel** says how alike two feature vectors are; KID
# (Bińkowski et al. 2018, section 4) takes $k(x, y) = (x \cdot y / D + 1)^3$. The distance, MMD², is the mean likeness within
# one set, plus that within the other, minus twice that across:
#
# $$\frac{1}{N(N-1)}\sum_{i\ne j} k(x_i,x_j)+\frac{1}{M(M-1)}\sum_{i\ne j} k(y_i,y_j)-\frac{2}{NM}\sum_{i,j} k(x_i,y_j)$$
#
# By hand, with $D = 1$, $x = (0, 1)$, $y = (1, 2)$: within $x$, $k(0,1) = 1$; within $y$, $k(1,2) = 27$; across,
# $(1 + 1 + 8 + 27)/4 = 9.25$. So it is $1 + 27 - 18.5 = 9.5$.
# %% [markdown] lang="vi" of="825a1327"
# **Một khoảng cách không bị chệch như vậy** thì so từng *cặp* tranh. Một **hàm nhân** (kernel) cho biết hai vector đặc trưng
# giống nhau đến đâu; KID (Bińkowski và cộng sự 2018, mục 4) lấy $k(x, y) = (x \cdot y / D + 1)^3$. Khoảng cách, gọi là MMD², là
# tổng độ giống trung bình bên trong mỗi tập, trừ hai lần độ giống trung bình giữa hai tập:
#
# $$\frac{1}{N(N-1)}\sum_{i\ne j} k(x_i,x_j)+\frac{1}{M(M-1)}\sum_{i\ne j} k(y_i,y_j)-\frac{2}{NM}\sum_{i,j} k(x_i,y_j)$$
#
# Tính tay với $D = 1$, $x = (0, 1)$, $y = (1, 2)$: bên trong $x$, $k(0,1) = 1$; bên trong $y$, $k(1,2) = 27$; giữa hai tập,
# $(1 + 1 + 8 + 27)/4 = 9.25$. Vậy kết quả là $1 + 27 - 18.5 = 9.5$.

# %%
from minidiff.evaluate.metrics import mmd2


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(N, D), (M, D) to (N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(x: Tensor, y: Tensor, own: bool = False) -> float:
    """MMD² of (N, D) and (M, D); own: a row's pair with itself counts (wrong)."""
    x, y, within = x.double(), y.double(), 0.0
    for rows in (x, y):
        k, n = kernel(rows, rows), len(rows)                    # (n, n)
        within += k.mean() if own else (k.sum() - k.trace()) / (n * (n - 1))
    return float(within - 2 * kernel(x, y).mean())


x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
print("by hand, 9.5:", kid(x, y), "  with own pairs:", kid(x, y, own=True))
assert_close(kid(real, fresh), float(mmd2(real.double(), fresh.double())))
source(mmd2)

# %% [markdown] lang="en" role="think"
# **Predict** three curves of the perfect model: FD-mini, KID-mini, and KID-mini with each row's pair with itself left in. Which
# is flat? Which can be below 0?
# ---
# Only KID-mini: it scatters near 0. A row is most like itself, so own pairs add something positive, proportional to $1/N$.
# %% [markdown] lang="vi" of="0576753b"
# **Đoán xem** ba đường của mô hình hoàn hảo: FD-mini, KID-mini, và KID-mini khi để lại cặp của mỗi hàng với chính nó (own
# pairs). Đường nào phẳng? Đường nào có thể xuống dưới 0?
# ---
# Chỉ KID-mini: nó dao động gần 0. Mỗi hàng giống chính nó nhất, nên các cặp với chính mình thêm vào một lượng dương, tỉ lệ với
# $1/N$.

# %% slide="sub"
curves = {"FD-mini": floor, "KID-mini": [at(n, real, fresh, kid) for n in sizes]}
curves["own pairs left in"] = [
    at(n, real, fresh, lambda a, b: kid(a, b, own=True)) for n in sizes]
for axis, (name, curve) in zip(panels(3), curves.items(), strict=True):
    lines({"": (sizes, curve)}, axis, name, "N", marker="o")
    axis.axhline(0, color="0.6", linestyle=":")

# %% [markdown] lang="en"
# Mind the scales: the middle curve varies by hundredths only. KID has no bias, but it scatters. A slightly negative KID is no
# bug: the two sets can't be told apart.
# %% [markdown] lang="vi" of="7d04e642"
# Chú ý thang đo: đường giữa chỉ dao động cỡ phần trăm. KID không bị chệch, nhưng vẫn dao động. KID hơi âm không phải là lỗi: nó
# cho biết không phân biệt được hai tập.

# %% [markdown] lang="en" role="think" slide="slide"
# ## 4. How a metric lies
#
# The first three of these sets show the *same* scenes as sheet A:
#
# - **jpeg**: saved as JPEG with quality 20;
# - **antialias**: drawn at 256, then halved by a filter that averages neighbours;
# - **every other**: drawn at 256, then halved by keeping every other pixel;
# - **training**: the very pictures of `real`, as if a model had learnt them by heart.
#
# **Predict.** Which does FD-mini find worse than A?
# ---
# The first three, a little. The training pictures get 0, which is below the floor.
# %% [markdown] lang="vi" of="579bee80"
# ## 4. Thước đo nói dối thế nào
#
# Ba tập đầu dưới đây vẽ *cùng* các cảnh như bảng A:
#
# - **jpeg**: lưu thành JPEG với chất lượng 20;
# - **antialias** (khử răng cưa): vẽ ở cỡ 256 rồi thu nhỏ một nửa bằng bộ lọc lấy trung bình các điểm lân cận;
# - **every other**: vẽ ở cỡ 256 rồi thu nhỏ một nửa bằng cách cứ hai điểm ảnh giữ một;
# - **training**: chính những bức của `real`, như thể mô hình đã học thuộc lòng tập huấn luyện.
#
# **Đoán xem.** FD-mini thấy tập nào xấu hơn A?
# ---
# Ba tập đầu, một chút. Tranh huấn luyện được 0, tức là dưới mức sàn.

# %% slide="sub"
from minidiff.data.world.corruptions import compress

generator = torch.Generator().manual_seed(0)
jpeg = 2 * compress(true / 2 + 0.5, generator, 20, 20) - 1      # quality 20
large = drawn(scenes, 256)                                      # (300, 3, 256, 256)
smooth = F.interpolate(large, size=128, mode="bilinear", antialias=True)
every_other = large[:, :, ::2, ::2]                             # (300, 3, 128, 128)
four = {"A true": true, "jpeg": jpeg, "antialias": smooth, "every other": every_other}
show([x[alone[2], :, 64:, 32:96] for x in four.values()], [*four])

# %% slide="sub"
from minidiff.evaluate.metrics import precision_recall

sets |= {name: scaled(look(four[name])[0]) for name in [*four][1:]}
sets["training"] = real[:N]
print(f"N = {N} against {N}   FD-mini   KID-mini x 1000   precision   recall")
for name, x in sorted(sets.items()):
    precision, recall = precision_recall(real[:N], x)
    print(f"{name:16} {abs(fd(real[:N], x)):10.1f} {1000 * kid(real[:N], x):14.0f}",
          f"{precision:14.2f} {recall:8.2f}")

# %% [markdown] lang="en"
# - **Filters and JPEG move numbers.** These sets are above the floor, though their scenes are as good. The careful filter is
#   even *worse* than the careless one, because the reference was drawn at 128 and is crisp. Treat both sets alike. FID moves in
#   the same way (Parmar et al. 2022).
# - **Learning by heart wins**: FD-mini 0, KID-mini well below 0. Section 6 tests for it.
# - **Precision and recall** (Kynkäänniemi et al. 2019, eq. 1 to 3). Around each reference picture lies a ball that reaches to
#   its third-nearest neighbour. Precision is the share of drawn pictures inside some ball; recall is the share of reference
#   pictures inside balls around *drawn* ones. Collapse keeps precision and loses recall.
# %% [markdown] lang="vi" of="e0109efd"
# - **Bộ lọc và JPEG làm con số xê dịch.** Các tập ấy nằm trên mức sàn, dù cảnh vẫn tốt như vậy. Bộ lọc cẩn thận còn bị điểm
#   *xấu hơn* cách làm cẩu thả, vì tập đối chiếu được vẽ thẳng ở cỡ 128 nên sắc nét. Hãy xử lý hai tập như nhau. FID cũng xê
#   dịch như vậy (Parmar và cộng sự 2022).
# - **Học thuộc lòng thì thắng**: FD-mini bằng 0, KID-mini âm rõ rệt. Mục 6 sẽ kiểm tra điều này.
# - **Precision (độ chuẩn xác) và recall (độ phủ)** (Kynkäänniemi và cộng sự 2019, công thức 1 đến 3). Quanh mỗi bức đối chiếu
#   có một quả cầu vươn đến bức đối chiếu gần thứ ba. Precision là tỉ lệ tranh vẽ nằm trong quả cầu nào đó; recall là tỉ lệ
#   tranh đối chiếu nằm trong các quả cầu quanh tranh *vẽ*. Tập bị sụp giữ được precision nhưng mất recall.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: bytes mixed with −1..1
#
# **Symptom.** An enormous distance and white pictures; or, worse, pale pictures and a value that could pass for a poor model
# (second line below). **Cause:** one set is bytes, 0 to 255, (N, H, W, 3), the other floats in −1..1, (N, 3, H, W), and one was
# rescaled wrongly. **Fix:** one function for both, which checks dtype and shape and prints minimum and maximum.
# %% [markdown] lang="vi" of="ab218e16"
# ## Cạm bẫy 2: trộn byte với −1..1
#
# **Triệu chứng.** Khoảng cách khổng lồ và tranh trắng xóa; hoặc tệ hơn, tranh nhạt đi và con số trông như của một mô hình kém
# (dòng thứ hai dưới đây). **Nguyên nhân:** một tập là byte, 0 đến 255, (N, H, W, 3), tập kia là số thực trong −1..1, (N, 3, H,
# W), và một tập bị đổi thang sai. **Cách chữa:** một hàm chung cho cả hai, kiểm tra kiểu số, kích thước, và in ra giá trị nhỏ
# nhất, lớn nhất.

# %% slide="sub"
x = true[:150]
print(f"as it should be: FD-mini {fd(real[:150], sets['A true'][:150]):.4g}")
ways = {"0..1 for -1..1": x / 2 + 0.5, "bytes": (x + 1) * 127.5}
for name, x in ways.items():
    value = fd(real[:150], scaled(look(x)[0]))
    print(f"{name:16} {x.min():5.1f} to {x.max():5.1f}   FD-mini {value:.4g}")
show([x[alone[0]] for x in (true, *ways.values())], ["as it should be", *ways])

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 3: unequal counts
#
# **Symptom.** The model that was sampled more often wins. **Cause:** section 3; below, both "models" are perfect. **Fix:** cut
# the larger set to the smaller one's count, at random with a fixed seed: the first pictures may all be of the same few prompts.
# %% [markdown] lang="vi" of="0296bad9"
# ## Cạm bẫy 3: số tranh không bằng nhau
#
# **Triệu chứng.** Mô hình vẽ nhiều tranh hơn thì thắng. **Nguyên nhân:** mục 3; dưới đây, cả hai "mô hình" đều hoàn hảo. **Cách
# chữa:** cắt tập lớn xuống bằng số tranh của tập nhỏ, chọn ngẫu nhiên với một seed cố định: những bức đầu tiên có thể chỉ thuộc
# vài prompt.

# %%
one, other = fresh[:380], fresh[380:]                           # 380 and 120 rows
chosen = torch.randperm(380, generator=torch.Generator().manual_seed(0))[:120]
print(f"N = 380: {fd(real, one):5.1f}     N = 120: {fd(real, other):5.1f}")
print(f"cut to 120: {fd(real, one[chosen]):5.1f} and {fd(real, other):5.1f}")

# %% [markdown] lang="en" role="think" slide="slide"
# ## 5. Does it show what was asked?
#
# FD and KID never see a prompt. Two scores look at each picture with its text:
#
# - **CLIP's cosine**. With OpenAI's weights it is CLIPScore (Hessel et al. 2021: times 2.5, at least 0); with `world-clip` we
#   call it Align-mini.
# - **The judge's verdict**: plain rules compare what `world-judge` finds with the **claim**, what the prompt says: things,
#   count, colours, sizes, places, who has which colour (*binding*), setting. A picture is right only if all of it is.
#
# **Predict** both scores of the four sheets, each picture with its own prompt. Which sheet is bad now?
# ---
# Only D. The scores forgive what FD-mini punished (B and C), and punish what it forgave.
# %% [markdown] lang="vi" of="b88275f5"
# ## 5. Tranh có đúng điều được yêu cầu không?
#
# FD và KID không bao giờ thấy prompt. Hai điểm số sau nhìn từng bức tranh cùng với câu của nó:
#
# - **Cosin của CLIP**. Với trọng số của OpenAI, nó là CLIPScore (Hessel và cộng sự 2021: nhân 2.5, không dưới 0); với
#   `world-clip`, ta gọi nó là Align-mini.
# - **Phán quyết của giám khảo**: các quy tắc đơn giản so những gì `world-judge` tìm thấy với **yêu cầu** (claim), tức điều mà
#   prompt nói: vật gì, mấy cái, màu, cỡ, chỗ, màu nào của vật nào (*binding*), bối cảnh. Mọi thứ đều đúng thì tranh mới đúng.
#
# **Đoán xem** hai điểm số của bốn bảng, mỗi bức đi với prompt của chính nó. Giờ bảng nào xấu?
# ---
# Chỉ D. Hai điểm số tha thứ điều FD-mini trừng phạt (B và C), và trừng phạt điều nó tha thứ.

# %%
from minidiff.data.world.captions import phrase
from minidiff.evaluate.retrieval import clip_features, load_clip
from minidiff.evaluate.verdict import judge as verdict
from minidiff.text.encoders import ours

picture_tower, words = clip_features(load_clip()), ours("world-clip")


@torch.no_grad()
def cosine(pictures: Tensor, texts: list[str]) -> Tensor:
    """How well each picture agrees with its text, (N,)."""
    text = F.normalize(words.pooled(texts), dim=1)              # (N, 256)
    return (picture_tower(pictures / 2 + 0.5) * text).sum(1)


def right(claims: list[Scene], seen: list[Seen]) -> Tensor:
    """1 where everything in the claim is there and nothing else, (N,)."""
    pairs = zip(claims, seen, strict=True)
    return torch.tensor([float(verdict(claim, s).right) for claim, s in pairs])


texts = [phrase(scene, "en", random.Random(0)) for scene in scenes]
print(texts[0], verdict(scenes[0], found["D recoloured"][1][0]).attributes, sep="\n")

# %% slide="sub"
table, asked_for = {}, {"A true": true, "B blurred": blurred, "D recoloured": wrong}
for name, x in asked_for.items():
    table[name] = cosine(x, texts), right(scenes, found[name][1])   # (300,) each
table["C collapsed"] = tuple(score[few] for score in table["A true"])
rows = [[score.mean() for score in table[name]] for name in sorted(table)]
both = torch.tensor(rows).T                                     # (2, 4)
heatmap(both, ["Align-mini", "judge"], sorted(table), vmin=0, vmax=1)

# %% [markdown] lang="en"
# No metric sees all faults, so a report gives several. CLIP, with one vector for a sentence, often misses whose colour is whose
# (lesson 06); the judge checks it as *binding*.
# %% [markdown] lang="vi" of="ac5a2502"
# Không thước đo nào thấy hết các lỗi, nên một báo cáo phải nêu nhiều con số. CLIP chỉ có một vector cho cả câu, nên hay lẫn màu
# nào của vật nào (bài 06); giám khảo thì kiểm tra điều đó ở mục *binding*.

# %% [markdown] lang="en" slide="slide"
# ## 6. Copies
#
# Learning by heart won in section 4. So find the **nearest training picture** of each drawn one. How near is too near?
# **Held-out** pictures, never used in training, can't have been copied. The threshold is a low quantile of *their* distances to
# training; at 0.01, one honest picture in a hundred is accused.
#
# `real` plays the training set, `fresh` the held-out one. Features get length 1 before distances are taken.
# %% [markdown] lang="vi" of="695f17e8"
# ## 6. Bản sao
#
# Ở mục 4, học thuộc lòng đã thắng. Vì vậy, với mỗi bức được vẽ, hãy tìm **bức huấn luyện gần nhất**. Gần đến mức nào là quá
# gần? Các tranh **để riêng** (held-out), không dùng khi huấn luyện, thì không thể bị sao chép. Ngưỡng là một phân vị (quantile)
# thấp của khoảng cách từ *chúng* đến tập huấn luyện; với 0.01, khoảng một trong trăm bức lương thiện bị nghi oan.
#
# `real` đóng vai tập huấn luyện, `fresh` là tập để riêng. Đặc trưng được đưa về độ dài 1 trước khi tính khoảng cách.

# %%
def copies(drawn: Tensor, training: Tensor, held_out: Tensor,
           quantile: float) -> tuple[float, Tensor]:
    """Features (N, D), (T, D), (H, D) to the share of drawn rows that are too near
    to training, and the nearest training row of each, (N,)."""
    sets = (F.normalize(x.double(), dim=1) for x in (drawn, training, held_out))
    drawn, training, held_out = sets
    least, index = torch.cdist(drawn, training).min(1)          # (N,) each
    usual = torch.cdist(held_out, training).min(1).values       # (H,)
    return float((least < usual.quantile(quantile)).double().mean()), index

# %% [markdown] lang="en" role="think"
# We copy 30 training pictures in six ways: as they are, as JPEG, shifted by 3 pixels, mirrored, paler, blurred. **Predict**
# which copies the test finds.
# ---
# Most of them, but no blurred ones. A mirror changes the judge's features little, a shift somewhat more; blur changes those of
# sharpness.
# %% [markdown] lang="vi" of="1b3c5235"
# Ta sao chép 30 bức huấn luyện theo sáu cách: giữ nguyên, JPEG, dịch đi 3 điểm ảnh (shifted), lật gương (mirrored), nhạt đi
# (paler), làm mờ (blurred). **Đoán xem** phép thử tìm ra những bản sao nào.
# ---
# Phần lớn, nhưng không tìm ra bản bị mờ. Lật gương ít làm đổi đặc trưng của giám khảo, dịch đi thì đổi nhiều hơn một chút; làm
# mờ thì đổi các đặc trưng về độ sắc.

# %% slide="sub"
known = drawn(numbered[0][:30])                                 # the first 30 of `real`
coarse = 2 * compress(known / 2 + 0.5, generator, 40, 40) - 1   # quality 40
fakes = {"as it is": known, "JPEG": coarse,
         "shifted": known.roll((3, 3), (2, 3)), "mirrored": known.flip(3),
         "paler": known * 0.9 + 0.08, "blurred": gaussian_blur(known, 13, sigma=2.0)}
training, held_out = raw.split(500)                             # (500, 120) each
shares = {}
for name, x in fakes.items():
    share, index = copies(look(x)[0], training, held_out, 0.01)
    shares[name] = share, float((index == torch.arange(30)).double().mean())
shares["other scenes"] = copies(found["A true"][0], training, held_out, 0.01)[0], 0.0
show([x[2] for x in fakes.values()], [*fakes])
both = torch.tensor([*shares.values()]).T                       # (2, 7)
heatmap(both, ["found", "the right one"], [*shares], vmin=0, vmax=1)

# %% [markdown] lang="en"
# *Found*: below the threshold. *The right one*: the original is nearest. Some shifted copies have their original as the
# nearest, but not near enough. In the last column nothing was copied.
#
# "No copies found" means "none that these features recognise". From Stable Diffusion, training pictures have been extracted
# (Carlini et al. 2023).
# %% [markdown] lang="vi" of="d7b27cbd"
# *Found*: dưới ngưỡng. *The right one*: bức gần nhất đúng là bản gốc. Một số bản sao bị dịch gần bản gốc nhất, nhưng chưa đủ
# gần. Ở cột cuối không có gì bị sao chép.
#
# "Không tìm thấy bản sao" nghĩa là "không có bản nào mà các đặc trưng này nhận ra". Từ Stable Diffusion, người ta đã lấy ra
# được tranh huấn luyện (Carlini và cộng sự 2023).

# %% [markdown] lang="en" slide="slide"
# ## 7. Three samplers, and a row for the README
#
# Which sampler of `world-dit` is best with **six calls** of the network: DPM++ 2M, DDIM or DDPM? All draw the same prompts,
# combinations that training never shows, from the same seeds at guidance 3; DPM++ 2M also at 1 and 8. A CPU draws 12 prompts
# with 4 seeds each, a GPU 60 prompts. True drawings are the reference row. The picture shows two prompts.
# %% [markdown] lang="vi" of="833b8142"
# ## 7. Ba bộ lấy mẫu, và một dòng cho README
#
# Giờ đến lượt `world-dit` vẽ. Chỉ với **sáu lần gọi** mạng, bộ lấy mẫu nào tốt nhất: DPM++ 2M, DDIM hay DDPM? Tất cả vẽ cùng
# các prompt, là những tổ hợp không xuất hiện khi huấn luyện, từ cùng các seed, ở hệ số dẫn hướng (guidance) 3; DPM++ 2M còn vẽ
# ở hệ số 1 và 8. CPU vẽ 12 prompt, mỗi prompt 4 seed; GPU vẽ 60 prompt. Tranh thật của các prompt ấy làm dòng đối chiếu. Hình
# cho thấy hai prompt.

# %%
from minidiff import load_pipeline
from minidiff.evaluate.suites import suite

device = "cuda" if torch.cuda.is_available() else "cpu"
pipe = load_pipeline("world-dit", device=device, dtype="float32", batch=16)
each, S = {"cpu": (2, 4), "cuda": (10, 4)}[device]              # of a category; seeds
prompts = suite(each, seed=1)                                   # P of them
claims = [prompt.claim for prompt in prompts for _ in range(S)]
asked = [prompt.texts["en"] for prompt in prompts for _ in range(S)]
print(f"on {device}: {len(prompts)} prompts, {S} seeds", *asked[:9:S], sep="\n")


@torch.no_grad()
def sample(sampler: str, scale: float) -> Tensor:
    """A picture for each prompt and seed, (P S, 3, 128, 128) in -1..1."""
    seeds, empty = range(len(asked)), [""] * len(asked)
    *_, (_, x, _) = pipe.sample(asked, seeds, empty, sampler, 6, scale)
    return pipe.pixels(x).clamp(-1, 1).cpu()

# %% slide="sub"
from minidiff.data.world.random_scenes import complete

pictures = {name: sample(name, 3.0) for name in ("dpmpp_2m", "ddim", "ddpm")}
pictures |= {f"guidance {s:.0f}": sample("dpmpp_2m", s) for s in (1.0, 8.0)}
dice = random.Random(0)                                         # for what is left open
pictures["true"] = drawn([complete(claim, dice) for claim in claims])
titles = [name if k == 0 else "" for name in pictures for k in range(8)]
show(torch.stack([x[16:24] for x in pictures.values()]), titles)    # two prompts

# %% [markdown] lang="en" slide="sub"
# **How sure is a prompt score?** Scores are a matrix, (P, S): a row for each prompt, a column for each seed. The **bootstrap**
# (Efron 1979) draws P rows *with replacement* and takes their mean, 2000 times. The middle 95 % of these means is the interval.
#
# By hand: two prompts, one always right, one always wrong. The four equally likely draws give 1, ½, ½, 0. So two prompts tell
# nearly nothing, even with 100 seeds each. Resampling the 200 *pictures* gives about 0.43 to 0.57: far too narrow.
# %% [markdown] lang="vi" of="94a77d72"
# **Điểm theo prompt chắc chắn đến đâu?** Các điểm là một ma trận (P, S): mỗi prompt một hàng, mỗi seed một cột. **Bootstrap**
# (Efron 1979) rút P hàng *có hoàn lại* và lấy trung bình, 2000 lần. 95 % ở giữa của các trung bình ấy là khoảng tin cậy.
#
# Tính tay: hai prompt, một luôn đúng, một luôn sai. Bốn cách rút có xác suất bằng nhau cho 1, ½, ½, 0. Vậy hai prompt hầu như
# không nói lên điều gì, kể cả khi mỗi prompt có 100 seed. Lấy mẫu lại 200 *bức tranh* thì được khoảng 0.43 đến 0.57, quá hẹp.

# %%
from minidiff.evaluate.metrics import bootstrap_interval


def over_prompts(values: Tensor, resamples: int,
                 generator: torch.Generator) -> tuple[float, float]:
    """95 % interval of the mean of values (P, S), prompts resampled."""
    P = len(values)
    chosen = torch.randint(P, (resamples, P), generator=generator)
    means = values.double().mean(1)[chosen].mean(1)             # (resamples,)
    low, high = means.quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return low, high


def interval(values: Tensor) -> tuple[float, float]:
    return over_prompts(values, 2000, torch.Generator().manual_seed(0))


hand = torch.tensor([[1.0], [0.0]]).expand(2, 100)              # (P, S) = (2, 100)
assert_close(interval(hand), bootstrap_interval(hand.mean(1)))
low, high = interval(hand.reshape(-1, 1))
print("prompts:", interval(hand), f"  pictures: ({low:.2f}, {high:.2f})")
source(bootstrap_interval)

# %% [markdown] lang="en" slide="sub" role="pitfall"
# ## Pitfall 4: pictures resampled in place of prompts
#
# **Symptom.** Intervals shrink with more seeds of the same prompts, and "significant" gains vanish with other prompts.
# **Cause:** the seeds of one prompt mostly succeed or fail together; they aren't independent. **Fix:** resample rows.
# %% [markdown] lang="vi" of="4782513d"
# ## Cạm bẫy 4: lấy mẫu lại từng bức tranh thay vì từng prompt
#
# **Triệu chứng.** Khoảng tin cậy hẹp lại khi thêm seed cho cùng các prompt, và những cải tiến "có ý nghĩa" biến mất khi đổi bộ
# prompt. **Nguyên nhân:** các seed của một prompt thường cùng đúng hoặc cùng sai; chúng không độc lập. **Cách chữa:** lấy mẫu
# lại các hàng.

# %% slide="sub"
features, scores, agree = {}, {}, {}
for name, x in pictures.items():
    raw_features, seen = look(x)
    features[name] = scaled(raw_features)                       # (P S, 120)
    scores[name] = right(claims, seen).view(-1, S)              # (P, S)
    agree[name] = cosine(x, asked).view(-1, S)                  # (P, S)
values = scores["dpmpp_2m"]
heatmap(values.T, [f"seed {k}" for k in range(S)], range(len(prompts)), digits=0)
for name, some in {"prompts": values, "single pictures": values.reshape(-1, 1)}.items():
    low, high = interval(some)
    print(f"{values.mean():.2f}, 95 % interval {low:.2f} to {high:.2f} over {name}")

# %% [markdown] lang="en" role="think"
# Columns are prompts: some are right from nearly every seed, some from nearly none. **Predict.** The intervals of two samplers
# overlap. Can the two still be told apart?
# ---
# Perhaps: take the *difference* for each prompt first, then its interval. A hard prompt is hard for both, and that cancels.
# %% [markdown] lang="vi" of="dc40f4be"
# Mỗi cột là một prompt: có prompt đúng với gần như mọi seed, có prompt gần như không đúng lần nào. **Đoán xem.** Khoảng tin cậy
# của hai bộ lấy mẫu chồng lên nhau. Có còn phân biệt được chúng không?
# ---
# Có thể: trước hết lấy *hiệu* theo từng prompt, rồi mới tính khoảng tin cậy của hiệu. Prompt khó thì khó với cả hai, nên phần
# khó ấy triệt tiêu.

# %%
for name in ("ddim", "ddpm"):
    a, b = scores["dpmpp_2m"], scores[name]                     # (P, S) each
    low, high = interval(a - b)
    alone = [top - bottom for bottom, top in (interval(a), interval(b))]
    apart = sum(width**2 for width in alone) ** 0.5             # as variances add
    print(f"dpmpp_2m - {name}: {(a - b).mean():+.3f}, {low:+.3f} to {high:+.3f};",
          f"width {high - low:.2f}, not paired {apart:.2f}")

# %% [markdown] lang="en"
# *Not paired*: the width if the prompts had been different ones; widths of independent errors add as squares. The paired
# interval is narrower, and far narrower for DDIM, whose pictures resemble those of DPM++ 2M. If it contains 0, these prompts
# don't say which sampler is better.
#
# **The row** for the README has no FD-mini: on a CPU, $N = 48$ is below $D$. *Spread*, the mean distance of two pictures of one
# prompt, notices collapse. Guess what guidance 1, 3 and 8 do to score, KID-mini and spread.
# %% [markdown] lang="vi" of="19ed6fe9"
# *Not paired*: độ rộng nếu hai bộ lấy mẫu vẽ những prompt khác nhau; độ rộng của các sai số độc lập cộng theo bình phương.
# Khoảng tin cậy theo cặp thì hẹp hơn; với DDIM, vốn cho tranh gần giống DPM++ 2M, thì hẹp hơn hẳn. Nếu nó chứa 0, các prompt
# này **không** cho biết bộ lấy mẫu nào tốt hơn.
#
# **Dòng kết quả** cho README không có FD-mini: trên CPU, $N = 48$ nhỏ hơn $D$. *Spread* (độ trải), khoảng cách trung bình giữa
# hai bức của cùng một prompt, nhận ra sự sụp. Hãy đoán trước: hệ số dẫn hướng (guidance) 1, 3 và 8 làm gì với điểm, KID-mini và
# độ trải?

# %%
def spread(x: Tensor) -> float:
    """Mean distance of two pictures of one prompt, of features (P S, D)."""
    x = x.view(-1, S, x.shape[1])                               # (P, S, D)
    return float(torch.cdist(x, x).sum() / (len(x) * S * (S - 1)))


order = sorted(pictures, key=lambda name: -float(scores[name].mean()))
print(f"6 calls, N = {len(asked)}: right, 95 %     Align-mini  KID-mini    spread")
for name in order:
    low, high = interval(scores[name])
    others = agree[name].mean(), kid(real, features[name]), spread(features[name])
    print(f"{name:11} {scores[name].mean():7.2f}, {low:.2f} to {high:.2f}",
          "".join(f"{value:10.2f}" for value in others))

# %% [markdown] lang="en"
# - **True drawings** aren't at KID 0: a few prompts are not the whole world. Nor is their interval, 1 to 1, certainty: the
#   bootstrap can't know an error that the sample doesn't contain.
# - **Guidance.** From 1 to 3, more pictures are usually right, even in this small sample, but KID-mini rises and spread falls:
#   the score alone hides the lost variety. At 8, with six calls, colours burn and things vanish.
# - **Samplers.** So few prompts can hardly show a difference of 0.1; `minidiff evaluate prompts` takes 330 in each language.
# %% [markdown] lang="vi" of="48550292"
# - **Tranh thật** không có KID bằng 0: vài prompt không phải cả thế giới. Khoảng tin cậy từ 1 đến 1 của chúng cũng không có
#   nghĩa là chắc chắn: bootstrap không thể biết một lỗi mà mẫu không chứa.
# - **Hệ số dẫn hướng (guidance).** Từ 1 lên 3, ngay trong mẫu nhỏ này thường có nhiều bức đúng hơn, nhưng KID-mini tăng và độ
#   trải giảm: chỉ nhìn điểm thì không thấy sự đa dạng đã mất. Ở 8, với sáu lần gọi, màu bị cháy và vật biến mất.
# - **Bộ lấy mẫu.** Với ít prompt như vậy, khó thấy được một khác biệt cỡ 0.1. `minidiff evaluate prompts` dùng 330 prompt cho
#   mỗi ngôn ngữ.

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula or code | shapes | doesn't see |
# |---|---|---|---|
# | FD | $\lvert m_1-m_2\rvert^2+\mathrm{tr}(C_1+C_2-2(C_1C_2)^{1/2})$ | (N, D), (M, D) → 1 | prompts, copies; falls with $N$ |
# | KID | $k(x,y)=(x\cdot y/D+1)^3$, own pairs left out | (N, D), (M, D) → 1 | prompts, copies |
# | prompt score | judge's rules, or CLIP's cosine | (N,) | blur, collapse |
# | interval | resample prompts | (P, S) → low, high | the judge's errors |
# | copies | nearest training row, threshold from held-out | (N, D), (T, D), (H, D) | what features don't see |
# %% [markdown] lang="vi" of="1b738912"
# ## Tóm tắt
#
# | cái gì | công thức hay mã | kích thước | không thấy gì |
# |---|---|---|---|
# | FD | $\lvert m_1-m_2\rvert^2+\mathrm{tr}(C_1+C_2-2(C_1C_2)^{1/2})$ | (N, D), (M, D) → 1 | prompt, bản sao; giảm theo $N$ |
# | KID | $k(x,y)=(x\cdot y/D+1)^3$, bỏ cặp với chính mình | (N, D), (M, D) → 1 | prompt, bản sao |
# | điểm theo prompt | quy tắc của giám khảo, hoặc cosin của CLIP | (N,) | mờ, sụp |
# | khoảng tin cậy | lấy mẫu lại các prompt | (P, S) → dưới, trên | lỗi của giám khảo |
# | bản sao | hàng huấn luyện gần nhất, ngưỡng từ tranh để riêng | (N, D), (T, D), (H, D) | điều đặc trưng không thấy |

# %% [markdown] lang="en"
# **You can now** compute FD and KID; give each number a floor, a ceiling, an $N$ and an interval; compare models on the same
# prompts; find copies; and say what each metric can't see.
#
# **What still bothers:** in the drawn world a judge knows what is in a picture. Photographs have dirty data and wrong captions,
# and need far larger weights. Lesson 15 goes there.
#
# **Sources.** Heusel et al. 2017 (FID). Bińkowski et al. 2018 (KID). Chong, Forsyth 2020 (bias). Kynkäänniemi et al. 2019
# (precision, recall). Parmar et al. 2022 (resizing). Hessel et al. 2021 (CLIPScore). Efron 1979 (bootstrap). Carlini et al.
# 2023 (copies). Zhang et al. 2018 (LPIPS). Also: Jayasumana et al. 2024, *Rethinking FID*.
# %% [markdown] lang="vi" of="00d404a4"
# **Giờ bạn đã biết** tính FD và KID; cho mỗi con số mức sàn, mức trần, $N$ và khoảng tin cậy; so hai mô hình trên cùng các
# prompt; tìm bản sao; và với mỗi thước đo, chỉ ra một lỗi mà nó không thấy.
#
# **Điều còn vướng:** trong thế giới tranh vẽ, có giám khảo biết trong tranh có gì. Với ảnh chụp thì dữ liệu bẩn, câu mô tả sai,
# và cần trọng số lớn hơn nhiều. Bài 15 đi vào đó.
#
# **Nguồn.** Heusel và cộng sự 2017 (FID). Bińkowski và cộng sự 2018 (KID). Chong, Forsyth 2020 (độ chệch). Kynkäänniemi và cộng
# sự 2019 (precision, recall). Parmar và cộng sự 2022 (đổi kích thước). Hessel và cộng sự 2021 (CLIPScore). Efron 1979
# (bootstrap). Carlini và cộng sự 2023 (bản sao). Zhang và cộng sự 2018 (LPIPS). Thêm: Jayasumana và cộng sự 2024, *Rethinking
# FID*.

# %% [markdown] lang="en"
# ## 8. Optional: FID itself, and votes
#
# With Inception's published file, checked by its SHA-256, `minidiff evaluate text-to-image --inception FILE` prints FID;
# without it, FD-mini. `minidiff evaluate arena` turns people's votes on pairs of pictures into a ranking (Bradley and Terry
# 1952).
# %% [markdown] lang="vi" of="146c7298"
# ## 8. Không bắt buộc (optional): FID đích thực và phiếu bầu
#
# Có tệp Inception đã công bố, được kiểm tra bằng SHA-256, `minidiff evaluate text-to-image --inception FILE` in ra FID; không
# có thì in FD-mini. `minidiff evaluate arena` cho người xem bỏ phiếu trên từng cặp tranh, rồi xếp hạng từ các phiếu ấy (Bradley
# và Terry 1952).

# %% [markdown] lang="en" only="exercise"
# # 14 Exercises: a metric of your own
#
# You write the two distances between sets of pictures, the interval, the search for copies and the preparation of pictures, and
# in the end the table that ranks three samplers. `check` says what is right and what isn't. Then your function measures real
# pictures: the upper row was measured with the solution, the lower row with yours, and they must be the same.
#
# The next cell makes four sheets of 200 pictures each: other real ones, the same ones blurred, four pictures over and over, and
# the same ones with wrong colours. `features` holds what the judge's network makes of them, 120 numbers a picture, each scaled
# to mean 0 and deviation 1 over real pictures; `truth` holds the same of 200 more real ones. Look at the sheets, and rank them
# yourself before your function does. The cell after it lets three samplers draw twelve prompts from two seeds each, with six
# evaluations of the network for each picture.
# %% [markdown] lang="vi" of="7a4e3cd0" only="exercise"
# # 14 Bài tập: thước đo của riêng bạn
#
# Bạn viết hai khoảng cách giữa các tập tranh, khoảng tin cậy, cách tìm bản sao và cách chuẩn bị tranh, và cuối cùng là bảng xếp
# hạng ba bộ lấy mẫu. `check` cho biết chỗ nào đúng, chỗ nào chưa. Sau đó hàm của bạn đo tranh thật: hàng trên đo bằng lời giải,
# hàng dưới đo bằng hàm của bạn, và hai hàng phải giống nhau.
#
# Ô tiếp theo tạo bốn bộ, mỗi bộ 200 bức: những bức thật khác, chính chúng bị làm mờ, bốn bức lặp đi lặp lại, và chính chúng với
# màu sai. `features` chứa điều mà mạng của giám khảo rút ra từ chúng, mỗi bức 120 con số, mỗi số được đưa về trung bình 0 và độ
# lệch 1 trên tranh thật; `truth` là đặc trưng của 200 bức thật khác. Hãy nhìn bốn bộ và tự xếp hạng trước khi hàm của bạn xếp.
# Ô sau đó cho ba bộ lấy mẫu vẽ mười hai prompt, mỗi prompt hai seed, mỗi bức gọi mạng sáu lần.

# %% only="exercise"
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image, ImageDraw
from torch import Tensor

from minidiff import load_pipeline
from minidiff.data.world.random_scenes import complete
from minidiff.evaluate import metrics
from minidiff.evaluate.judge import features as features_of
from minidiff.evaluate.judge import load_judge, look
from minidiff.evaluate.prompt_following import best_verdict
from minidiff.evaluate.reliability import rendered, test_scenes
from minidiff.evaluate.suites import suite
from minidiff.utils.images import gaussian_blur, readable_font, to_images
from minidiff.utils.plots import show

judge = load_judge()


def see(images: Tensor) -> Tensor:
    """What the judge makes of pictures (N, 3, 128, 128) in -1..1: (N, D)."""
    return features_of(judge, images / 2 + 0.5)


def mosaic(images: Tensor) -> Tensor:
    """The first four as one picture of the same size: (3, 128, 128)."""
    small = F.interpolate(images[:4], scale_factor=0.5, mode="area")
    return rearrange(small, "(r c) k h w -> k (r h) (c w)", c=2)


def labelled(images: Tensor, texts: Sequence[str]) -> Tensor:
    """Pictures (B, 3, H, 128) with a text below each: (B, 3, H + T, 128)."""
    height = 4 + 16 * max(text.count("\n") + 1 for text in texts)
    strips = []
    for text in texts:
        strip = Image.new("RGB", (128, height), "white")
        ImageDraw.Draw(strip).text((2, 1), text, "black", readable_font(12), spacing=2)
        strips.append(torch.from_numpy(np.array(strip)).permute(2, 0, 1) / 127.5 - 1)
    return torch.cat([images, torch.stack(strips)], dim=2)


def bar(low: float, high: float) -> Tensor:
    """An interval of 0..1 as a dark bar on a line: (3, 14, 128)."""
    picture = torch.ones(3, 14, 128)
    picture[:, 6:8] = 0.4
    picture[:, 2:12, round(127 * low) : round(127 * high) + 1] = -0.6
    return picture


def framed(images: Tensor, marks: Sequence[float]) -> Tensor:
    """Pictures in frames: orange for a mark of 1, grey for 0."""
    orange, grey = torch.tensor([[1.0, 0.1, -0.9], [0.5, 0.5, 0.5]])
    colours = torch.stack([mark * orange + (1 - mark) * grey for mark in marks])
    inside = F.pad(torch.ones(112, 112), (8, 8, 8, 8)) > 0
    return torch.where(inside, images, colours[:, :, None, None])


fresh, other = (2 * rendered(test_scenes(200, first)) - 1 for first in (0, 200))
sheets = {
    "other real ones": other,                           # (200, 3, 128, 128) each
    "blurred": gaussian_blur(other, 13, 2.0),
    "four, repeated": other[:4].repeat(50, 1, 1, 1),
    "wrong colours": other[:, [1, 2, 0]],
}
seen = see(fresh)                                       # (200, D)
centre, spread = seen.mean(0), seen.std(0).clamp(min=1e-6)  # (D,) each


def scaled(images: Tensor) -> Tensor:
    """`see`, each feature in deviations of the real ones: (N, D)."""
    return (see(images) - centre) / spread


truth = (seen - centre) / spread                        # (200, D)
features = {name: scaled(images) for name, images in sheets.items()}
files = torch.from_numpy(to_images(fresh[:90])), other[:60]     # bytes, and floats
show([mosaic(images) for images in sheets.values()], titles=list(sheets))

# %% only="exercise"
pipe = load_pipeline("world-dit", device="cpu", dtype="float32", batch=4)
prompts = [prompt for prompt in suite(2, seed=1) for _ in range(2)]    # P = 12, S = 2
texts, seeds = [prompt.texts["en"] for prompt in prompts], range(24)
steps = {"dpmpp_2m": 6, "heun": 3, "ddpm": 6}           # heun looks twice a step
drawn, verdicts = {}, {}
for name, count in steps.items():
    *_, (_, x, _) = pipe.sample(texts, seeds, [""] * 24, name, count, 3.0)
    drawn[name] = pipe.pixels(x).clamp(-1, 1).clone()   # (24, 3, 128, 128)
    found = zip(prompts, look(judge, drawn[name] / 2 + 0.5), strict=True)
    right = [best_verdict(prompt, seen).right for prompt, seen in found]
    verdicts[name] = torch.tensor(right).view(12, 2)    # (P, S)
claims = [prompt.claim for prompt in prompts[::2]]
scenes = [complete(claim, Random(k)) for k in range(12) for claim in claims]
asked_for = see(2 * rendered(scenes) - 1)               # (144, D), real ones
show([mosaic(images[::6]) for images in drawn.values()], titles=list(drawn))
