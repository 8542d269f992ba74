"""Lesson 16: accumulation, ranks, all-reduce, resuming, and what a training will need, each built and measured."""

# %% [markdown] lang="en" slide="slide"
# # 16 Past one machine
#
# Each row below is a process that trains. Green: it computes. Red: it waits for the slowest. Orange: all exchange their
# gradients (*all-reduce*). Blue: it updates its weights. The same three training steps are done by 1, 2 and 4 processes. Four
# are far from four times as fast. Where does the time go? And how do we know that they learn the same as one?
# %% [markdown] lang="vi" of="1692f4a7"
# # 16 Nhiều máy
#
# Mỗi hàng dưới đây là một tiến trình (process) đang huấn luyện. Xanh lá: nó tính toán. Đỏ: nó chờ tiến trình chậm nhất. Cam:
# tất cả trao đổi gradient (*all-reduce*). Xanh dương: nó cập nhật trọng số. Cùng ba bước huấn luyện ấy được thực hiện bằng 1, 2
# và 4 tiến trình. Bốn tiến trình còn xa mới nhanh gấp bốn. Thời gian mất vào đâu? Và làm sao biết chúng học được đúng như một
# tiến trình?

# %%
import random
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff.utils.plots import heatmap

colours = {"compute": "green", "wait": "red", "all-reduce": "orange", "update": "blue"}


def simulate(ranks: int, work=320.0, update=10.0, send=88.0, steps: int = 3):
    """Bars of a timeline: (rank, what, begin, length), in milliseconds."""
    dice, now, bars = random.Random(2), 0.0, []
    for _ in range(steps):
        own = [work / ranks * dice.uniform(0.8, 1.3) for _ in range(ranks)]
        exchange = send * 2 * (ranks - 1) / ranks
        for rank, mine in enumerate(own):
            begin = now
            for what, length in zip(colours, (mine, max(own) - mine, exchange, update)):
                bars.append((rank, what, begin, length))
                begin += length
        now = begin                                             # all are ready
    return bars


# %% slide="sub"
(axis,), row = panels(1, height=2.6), 0
for ranks in (1, 2, 4):
    bars = simulate(ranks)
    for rank, what, begin, length in bars:
        axis.barh(row + rank, length, left=begin, color=colours[what])
    print(f"{ranks} process(es): {bars[-1][2] + bars[-1][3]:4.0f} ms for three steps")
    row += ranks + 1
axis.set(yticks=[0, 2.5, 6.5], yticklabels=["1 process", "2", "4"], xlabel="ms")
axis.invert_yaxis()

# %% [markdown] lang="en" role="notes"
# Ask what each of the four colours costs before section 1. Who loses the red time? Every process but the slowest.
# %% [markdown] lang="vi" of="f51861d2"
# Hỏi học viên mỗi màu trong bốn màu tốn bao nhiêu trước khi vào mục 1. Ai mất khoảng thời gian màu đỏ? Mọi tiến trình, trừ
# tiến trình chậm nhất.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can say where the time of a step goes; accumulate gradients exactly; deal out data without overlap; write an
# all-reduce; resume a killed training to the last bit; and compute on paper what a training needs in memory, days and money.
#
# **Time:** [[time]]. **You need:** the training loop (lesson 02), EMA (03), the DiT (09), accumulation (15). Everything runs
# on the CPU, since we compare weights to the last bit.
# %% [markdown] lang="vi" of="c506d37b"
# [[map]]
#
# **Mục tiêu.** Bạn nói được thời gian của một bước mất vào đâu; tích lũy gradient một cách chính xác; chia dữ liệu không trùng
# lặp; viết được all-reduce; chạy tiếp một lần huấn luyện bị ngắt mà giống hệt đến từng bit; và tính trên giấy một lần huấn
# luyện cần bao nhiêu bộ nhớ, bao nhiêu ngày và bao nhiêu tiền.
#
# **Thời gian:** [[time]]. **Cần biết:** vòng lặp huấn luyện (bài 02), EMA (03), DiT (09), tích lũy gradient (15). Mọi thứ
# chạy trên CPU, vì ta so sánh các trọng số đến từng bit.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (02) `backward()` is called twice without `zero_grad()`. What is in `.grad`?
# 2. (03) What does EMA keep, and how large is it?
# 3. (09) Which layers does a block of a text-to-image DiT have?
# ---
# 1. The sum of both gradients.
# 2. A moving average of the weights: one more copy of them.
# 3. Self-attention, cross-attention to the words, and an MLP.
# %% [markdown] lang="vi" of="bc5e65ec"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (02) `backward()` được gọi hai lần mà không có `zero_grad()`. Trong `.grad` có gì?
# 2. (03) EMA giữ cái gì, và cái ấy lớn bao nhiêu?
# 3. (09) Một khối của DiT vẽ tranh từ lời có những lớp nào?
# ---
# 1. Tổng của hai gradient.
# 2. Một trung bình trượt của các trọng số: thêm một bản sao của chúng.
# 3. Tự chú ý (self-attention), chú ý chéo (cross-attention) tới các từ, và một MLP.

# %% [markdown] lang="en" slide="slide"
# ## 1. Where the time goes
#
# In **data parallel** training every process has all the weights and computes the gradient of its own part of the batch. Then
# the gradients are averaged, so that all make the same update. The number of a process is its **rank** (not LoRA's rank). By
# hand: 16 pictures take 320 ms, the update 10 ms. 2.7 million gradients of 4 bytes are 11 MB, which a connection of 1 Gbit/s
# sends in 88 ms. Section 4 explains the factor $2(n-1)/n$:
#
# $$T_n = \frac{320}{n} + 88\cdot\frac{2(n-1)}{n} + 10$$
#
# $T_1 = 330$, $T_2 = 160 + 88 + 10 = 258$, $T_4 = 80 + 132 + 10 = 222$: 4 processes are $330 / 222 = 1.5$ times as fast.
# (In the figure, the computing times vary at random.)
# %% [markdown] lang="vi" of="6cd8dc48"
# ## 1. Thời gian mất vào đâu
#
# Trong huấn luyện **song song dữ liệu (data parallel)**, mỗi tiến trình có đủ mọi trọng số và tính gradient trên phần lô của
# mình. Sau đó các gradient được lấy trung bình, nên mọi tiến trình cập nhật giống nhau. Số thứ tự của một tiến trình là
# **rank** của nó (không phải hạng trong LoRA). Tính tay: 16 bức ảnh mất 320 ms, cập nhật mất 10 ms. 2.7 triệu gradient, mỗi số
# 4 byte, là 11 MB, đường truyền 1 Gbit/s gửi mất 88 ms. Mục 4 giải thích hệ số $2(n-1)/n$:
#
# $$T_n = \frac{320}{n} + 88\cdot\frac{2(n-1)}{n} + 10$$
#
# $T_1 = 330$; $T_2 = 160 + 88 + 10 = 258$; $T_4 = 80 + 132 + 10 = 222$. Vậy 4 tiến trình nhanh gấp $330 / 222 = 1.5$ lần.
# (Trong hình, thời gian tính toán dao động ngẫu nhiên.)

# %% [markdown] lang="en" role="think"
# **Predict.** How much faster could infinitely many processes be? Which terms set the limit?
# ---
# $T_\infty = 0 + 176 + 10 = 186$, which is 1.8 times as fast. Only the first term gets smaller with n (Amdahl's law). Waiting
# (red) isn't even counted.
# %% [markdown] lang="vi" of="5efb482c"
# **Đoán xem.** Vô số tiến trình thì nhanh gấp bao nhiêu? Những số hạng nào đặt ra giới hạn?
# ---
# $T_\infty = 0 + 176 + 10 = 186$, tức nhanh gấp 1.8 lần. Chỉ số hạng đầu nhỏ đi khi n tăng (định luật Amdahl). Đó là chưa kể
# thời gian chờ (màu đỏ).

# %%
def step_time(ranks: int, work=320.0, update=10.0, send=88.0) -> float:
    return work / ranks + send * 2 * (ranks - 1) / ranks + update


for ranks in (1, 2, 4, 10**6):
    took = step_time(ranks)
    print(f"{ranks:7}: {took:.0f} ms, {step_time(1) / took:.2f} times as fast")

# %% [markdown] lang="en"
# Now we time a real step of `world-pixels` (lesson 02), on pictures tinted like moonlight. Every batch has a number, and
# **everything in it follows from this number**: pictures, times and noise. The rest of the lesson relies on this.
# %% [markdown] lang="vi" of="a70c9624"
# Giờ ta đo một bước thật của `world-pixels` (bài 02), trên những bức ảnh nhuốm ánh trăng. Mỗi lô có một số thứ tự, và **mọi
# thứ trong lô được suy ra từ con số ấy**: ảnh, thời điểm và nhiễu. Cả phần còn lại của bài dựa vào điều này.

# %%
from minidiff import load_pipeline
from minidiff.diffusion.losses import diffusion_loss
from minidiff.train.loop import mix_seed
from minidiff.train.pixels import portraits
from minidiff.utils.images import to_tensor

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
unet, schedule = pipe.network.unet.requires_grad_(True), pipe.scheduler.schedule
moon = torch.tensor([0.45, 0.65, 1.0]).view(3, 1, 1)            # red, green, blue
night = (to_tensor(portraits(72)) + 1) * moon - 1               # (72, 3, 32, 32)


def night_batch(number: int, size: int = 4) -> tuple[Tensor, ...]:
    """Batch `number`: always the same one."""
    dice = torch.Generator().manual_seed(mix_seed(0, number))
    chosen = torch.randint(len(night), (size,), generator=dice)
    t = torch.rand(size, generator=dice)
    eps = torch.randn(size, 3, 32, 32, generator=dice)
    return night[chosen], t, eps, chosen % 18                   # 18 kinds


def loss_of(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    x0, t, eps, *labels = batch
    extra = {"labels": labels[0]} if labels else {}
    prediction = network(schedule.mix(x0, eps, t), schedule.timestep(t), **extra)
    return diffusion_loss(prediction, x0, eps, t, schedule, "v")


# %%
optimizer = torch.optim.SGD(unet.parameters(), lr=0.0)          # learns nothing yet


def timed_step(number: int) -> Iterator[float]:
    """The clock before and after each part of a step of 4 pictures."""
    yield time.perf_counter()
    batch = night_batch(number)
    yield time.perf_counter()
    loss = loss_of(unet, batch)
    yield time.perf_counter()
    loss.backward()
    yield time.perf_counter()
    optimizer.step()
    optimizer.zero_grad()
    yield time.perf_counter()


ticks = torch.tensor([[*timed_step(k)] for k in range(3)], dtype=torch.float64)
times = (1000 * ticks.diff(dim=1)).amin(0).tolist()             # the fastest of three
for name, ms in zip(("data", "forward", "backward", "update"), times):
    print(f"{name:8} {ms:6.1f} ms  {ms / sum(times):4.0%}")

# %% slide="sub"
megabytes = sum(p.nbytes for p in unet.parameters()) / 1e6
ranks = (1, 2, 4, 8, 16, 32, 64)


def speed_up(gigabits: float, axis) -> None:
    send = megabytes / (125 * gigabits) * 1000                  # 125 MB/s each
    part = dict(work=16 / 4 * (times[1] + times[2]), update=times[3], send=send)
    faster = [step_time(1, **part) / step_time(n, **part) for n in ranks]
    curves = {"ours": (ranks, faster), "ideal": (ranks, ranks)}
    lines(curves, axis, x="processes", y="times as fast", log="xy")


slider(speed_up, "Gbit/s", [1, 10, 100])

# %% [markdown] lang="en"
# Backward costs about twice as much as forward: it computes the gradients of the inputs *and* of the weights. The faster the
# connection, the longer a curve stays near the ideal one, but even the fastest falls behind, since the update isn't divided.
# Two remedies: **weak scaling**, 16 pictures *per process*, so that the batch grows with n; and **overlap**: PyTorch's DDP
# (`DistributedDataParallel`) sends the gradients of the last layers, in groups called *buckets*, while backward still computes
# those of the first (Li et al. 2020, section 3.2.3).
# %% [markdown] lang="vi" of="f5be9898"
# Lượt ngược (backward) tốn khoảng gấp đôi lượt xuôi (forward): nó tính gradient của cả đầu vào *lẫn* trọng số. Đường truyền
# càng nhanh thì đường cong càng bám lâu theo đường lý tưởng (ideal), nhưng đường nhanh nhất cũng tụt lại, vì phần cập nhật
# không được chia nhỏ. Hai cách khắc phục: **weak scaling**, tức 16 ảnh *cho mỗi tiến trình*, nên lô lớn lên theo n; và **gối
# đầu (overlap)**: DDP (`DistributedDataParallel`) của PyTorch gửi gradient của các lớp cuối, theo từng nhóm gọi là *bucket*,
# trong khi lượt ngược còn đang tính các lớp đầu (Li và cộng sự 2020, mục 3.2.3).

# %% [markdown] lang="en" slide="slide"
# ## 2. A batch that doesn't fit
#
# A large batch can be split into several **micro-batches**, computed one after the other, as in lesson 15. There they were
# equally large. By hand, with unequal ones: five pictures have the losses 1, 3 and 5, 7, 9. Their mean is 5. The micro-batches
# have the means 2 and 7, and the mean of these is 4.5: wrong. Each mean must be weighted by its **share** of the pictures:
# $\tfrac25\cdot 2 + \tfrac35\cdot 7 = 5$. The same holds for gradients.
# %% [markdown] lang="vi" of="19855f5f"
# ## 2. Một lô không vừa bộ nhớ
#
# Có thể chia một lô lớn thành nhiều **lô nhỏ (micro-batch)** và tính lần lượt từng lô, như ở bài 15. Ở đó chúng bằng nhau. Tính
# tay khi chúng không bằng nhau: năm bức ảnh có giá trị của hàm mất mát (loss) là 1, 3 và 5, 7, 9. Trung bình là 5. Hai lô nhỏ
# có trung bình 2 và 7, và trung bình của hai số ấy là 4.5: sai. Mỗi trung bình phải được nhân với **tỉ lệ** số ảnh của nó:
# $\tfrac25\cdot 2 + \tfrac35\cdot 7 = 5$. Với gradient cũng vậy.

# %%
losses = torch.tensor([1.0, 3, 5, 7, 9])
small = losses.split([2, 3])
means = torch.stack([part.mean() for part in small])            # 2 and 7
shares = torch.tensor([len(part) / len(losses) for part in small])
print(f"mean of means {means.mean():.1f}, by shares {(shares * means).sum():.1f}")
assert_close((shares * means).sum(), losses.mean())

# %%
from minidiff.nn.embeddings import timestep_embedding


class PointNet(nn.Sequential):
    """For quick experiments: a small network like lesson 02's, for points (B, 2)."""

    def __init__(self) -> None:
        inner = nn.Linear(2 + 32, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()
        super().__init__(*inner, nn.Linear(64, 2))

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:   # (B, 2), (B,)
        time = timestep_embedding(timestep, 32).to(x)           # (B, 32)
        return super().forward(torch.cat([x, time], dim=1))     # (B, 2)


def draw_points(size: int, dice: torch.Generator) -> tuple[Tensor, ...]:
    """x0 (B, 2) on an arc, t (B,) and eps (B, 2)."""
    angle = torch.rand(size, generator=dice)
    x0 = torch.stack([angle.cos(), angle.sin()], dim=1)
    t, eps = torch.rand(size, generator=dice), torch.randn(size, 2, generator=dice)
    return x0, t, eps


def points(number: int, size: int = 32) -> tuple[Tensor, ...]:
    return draw_points(size, torch.Generator().manual_seed(mix_seed(1, number)))


# %%
def accumulate(network: nn.Module, parts: list[tuple[Tensor, ...]]) -> None:
    """Leaves in .grad the gradient of the mean over all examples of all parts."""
    count = sum(len(x0) for x0, *_ in parts)
    for part in parts:
        share = len(part[0]) / count
        (share * loss_of(network, part)).backward()             # adds to .grad


def gradient(network: nn.Module) -> Tensor:
    """All of .grad as one row (P,), and .grad is empty again."""
    row = torch.cat([p.grad.flatten() for p in network.parameters()])
    network.zero_grad()
    return row


network = PointNet().double()
whole = [part.double() for part in points(0, size=12)]          # 12 points
parts = list(zip(*(part.split([2, 3, 7]) for part in whole)))   # 2, 3 and 7 of them
accumulate(network, parts)
mine = gradient(network)                                        # (P,)
loss_of(network, whole).backward()
assert_close(mine, gradient(network))
print("P =", len(mine), "gradients, equal in float64")

# %%
from functools import partial


def kept(call) -> float:
    """Megabytes that call() keeps for backward, without the weights."""
    owners: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        owner = tensor if tensor._base is None else tensor._base    # of a view
        if not isinstance(owner, nn.Parameter):
            owners[id(owner)] = owner
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        call()
    return sum(owner.nbytes for owner in owners.values()) / 1e6


for size in (8, 2):
    took = kept(partial(loss_of, unet, night_batch(0, size)))
    print(f"{size} pictures at once: {took:.0f} MB kept for backward")

# %% [markdown] lang="en"
# A quarter of the pictures needs a quarter of the memory, and the gradient is the same. The price: small micro-batches use a
# GPU less well. Several processes must exchange gradients only after the *last* micro-batch of a step; DDP's `no_sync` skips
# the other exchanges.
# %% [markdown] lang="vi" of="d87fb993"
# Số ảnh còn một phần tư thì bộ nhớ cần giữ cũng còn một phần tư, mà gradient vẫn như cũ. Cái giá: trên GPU, lô nhỏ tận dụng
# phần cứng kém hơn. Khi có nhiều tiến trình, chỉ cần trao đổi gradient sau lô nhỏ *cuối cùng* của mỗi bước; `no_sync` của DDP
# bỏ qua những lần trao đổi khác.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: the loss isn't divided
#
# **Symptom.** With accumulation the loss jumps up and down or becomes NaN, and a smaller learning rate helps. **Cause:**
# `backward()` adds up. Without the share, the gradient of 8 micro-batches is 8 times too long, which for SGD is the same as a
# learning rate 8 times as large. **Fix:** multiply each loss by its share *before* `backward()`.
#
# **Predict**: SGD done right, not divided, and right with 8 times the rate: which two runs coincide? And with AdamW?
# %% [markdown] lang="vi" of="571fe2a1"
# ## Cạm bẫy 1: quên chia hàm mất mát
#
# **Triệu chứng.** Khi tích lũy gradient, giá trị mất mát nhảy lên nhảy xuống hoặc thành NaN, và giảm tốc độ học thì đỡ.
# **Nguyên nhân:** `backward()` cộng dồn. Thiếu tỉ lệ thì gradient của 8 lô nhỏ dài gấp 8 lần; với SGD, điều đó y như tốc độ
# học lớn gấp 8. **Cách chữa:** nhân mỗi giá trị mất mát với tỉ lệ của nó *trước* `backward()`.
#
# **Đoán xem**: chạy SGD đúng cách, không chia, và đúng cách với tốc độ học gấp 8: hai lần nào trùng nhau? Còn với AdamW?

# %%
held_out = points(-1, size=512)


def learn(rate: float, divide: bool, kind: type = torch.optim.SGD, steps: int = 50):
    """Held-out losses of a run with 8 micro-batches of 32 points a step."""
    torch.manual_seed(0)
    network, losses = PointNet(), []
    optimizer = kind(network.parameters(), lr=rate)
    for step in range(steps):
        for micro in range(8):
            loss = loss_of(network, points(8 * step + micro))
            (loss / 8 if divide else loss).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            losses.append(float(loss_of(network, held_out)))
    return losses


# %% slide="sub"
left, right = panels(2, sharey=True)
divided, faulty, fast = learn(0.15, True), learn(0.15, False), learn(1.2, True)
assert_close(faulty, fast)
print("not divided, with a rate of 0.2:", learn(0.2, False)[-1])
lines({"divided": divided, "not divided": faulty}, left, "SGD", "step", "loss")
lines({"divided, 8 x rate": fast}, left, "SGD", "step", lw=1, ls="--", color="black")
adam = {"divided": learn(2e-3, True, torch.optim.AdamW),
        "not divided": learn(2e-3, False, torch.optim.AdamW)}
lines(adam, right, "AdamW", "step")

# %% [markdown] lang="en"
# On the left, the run that wasn't divided jumps, and the dashed curve lies exactly on it. Here it even ends lower, because
# 0.15 was a careful rate; at 0.2 it ends in NaN. On the right the two curves coincide, because Adam divides the gradient by its
# own size. So Adam **hides** the fault until clipping, or another optimizer, reveals it. (A larger batch *may* use a larger
# rate, with a warm-up: Goyal et al. 2017, section 2.)
# %% [markdown] lang="vi" of="4d41c60b"
# Bên trái, lần không chia nhảy lên nhảy xuống, và đường nét đứt nằm đúng trên nó. Ở đây nó còn kết thúc thấp hơn, vì 0.15 là
# tốc độ dè dặt; với 0.2 thì kết quả là NaN. Bên phải, hai đường trùng nhau, vì Adam chia gradient cho chính độ lớn của nó. Như
# vậy Adam **che giấu** lỗi này, cho đến khi phép cắt gradient, hoặc một thuật toán tối ưu (optimizer) khác, làm nó lộ ra. (Lô
# lớn hơn *có thể* dùng tốc độ học lớn hơn, kèm khởi động dần (warm-up): Goyal và cộng sự 2017, mục 2.)

# %% [markdown] lang="en" slide="slide"
# ## 3. Who gets which pictures
#
# In a step, each of n processes computes $a$ micro-batches, one in each *turn*: $a\cdot n$ in all. We number them through the
# whole training: by step, within a step by turn, within a turn by rank.
#
# $$\text{number} = (\text{step}\cdot a + \text{micro})\cdot n + \text{rank}$$
#
# By hand, step 1: of 2 processes with 2 turns, rank 0 computes $(1\cdot 2 + 0)\cdot 2 + 0 = 4$ and 6, rank 1 computes 5 and 7.
# One process with 4 turns computes 4, 5, 6, 7: the same four, so the same gradient. **The number of processes changes only who
# computes what.**
# %% [markdown] lang="vi" of="2450254a"
# ## 3. Ai nhận ảnh nào
#
# Trong một bước, mỗi tiến trình trong n tiến trình tính $a$ lô nhỏ, mỗi *lượt* một lô: tất cả là $a\cdot n$. Ta đánh số chúng
# suốt quá trình huấn luyện: theo bước, trong một bước thì theo lượt, trong một lượt thì theo rank.
#
# $$\text{number} = (\text{step}\cdot a + \text{micro})\cdot n + \text{rank}$$
#
# Tính tay: ở bước 1, với 2 tiến trình và 2 lượt, rank 0 tính lô $(1\cdot 2 + 0)\cdot 2 + 0 = 4$ và lô 6, rank 1 tính lô 5 và
# lô 7. Một tiến trình với 4 lượt tính 4, 5, 6, 7 ở bước 1: đúng bốn lô ấy, nên gradient như nhau. **Số tiến trình chỉ quyết
# định ai tính lô nào.**

# %%
from minidiff.train.loop import micro_batch_number
from minidiff.train.options import LoopConfig


def micro_batch(step: int, micro: int, accumulate: int, ranks: int, rank: int) -> int:
    return (step * accumulate + micro) * ranks + rank


config = LoopConfig(batch=8, accumulate=2)
assert micro_batch(1, 0, 2, 2, 1) == micro_batch_number(1, 0, config, 2, 1) == 5
source(micro_batch_number)

# %% slide="sub"
for (ranks, turns), axis in zip(((1, 4), (2, 2), (4, 1)), panels(3, height=1.8)):
    places = [(step, micro) for step in range(2) for micro in range(turns)]
    table = torch.tensor([[micro_batch(*place, turns, ranks, rank) for place in places]
                          for rank in range(ranks)])
    names, above = [f"rank {r}" for r in range(ranks)], [f"step {s}" for s, _ in places]
    heatmap(table, names, above, axis, f"{ranks} x {turns}", digits=0)

# %% [markdown] lang="en"
# The title says processes x turns. Each of the eight micro-batches occurs once in each table, and step 0 always has 0 to 3.
#
# A finite set of pictures is often dealt out by **epochs** instead. All ranks shuffle all numbers with the *same* seed and
# epoch (as Goyal et al. 2017 advise, section 3), and each takes every n-th: there is no overlap, and no need to communicate.
# PyTorch's `DistributedSampler` does it. Its seed is `seed + epoch`; the exercise mixes the two with `mix_seed`.
# %% [markdown] lang="vi" of="29e0722f"
# Tiêu đề là số tiến trình x số lượt. Mỗi lô nhỏ trong tám lô xuất hiện đúng một lần ở mỗi bảng, và bước 0 luôn gồm các lô 0
# đến 3.
#
# Một tập ảnh hữu hạn thì thường được chia theo **epoch**. Mọi rank xáo trộn tất cả các số thứ tự bằng *cùng* seed và epoch
# (như Goyal và cộng sự 2017 khuyên, mục 3), rồi cứ n số thì mỗi rank lấy một: không có gì trùng nhau, cũng không cần trao đổi
# gì. `DistributedSampler` của PyTorch làm như thế. Seed của nó là `seed + epoch`; bài tập thì trộn hai số bằng `mix_seed`.

# %%
from torch.utils.data import DistributedSampler


def my_samples(count: int, ranks: int, rank: int, epoch: int, seed=0) -> list[int]:
    """This rank's numbers in this epoch; what can't be dealt evenly is left out."""
    dice = torch.Generator().manual_seed(seed + epoch)          # the same on all ranks
    order = torch.randperm(count, generator=dice)               # (count,)
    return order[: count - count % ranks][rank::ranks].tolist()


for epoch in (0, 1):
    dealt = [my_samples(11, 2, rank, epoch) for rank in (0, 1)]
    print(f"epoch {epoch}: {dealt}")
    assert len({*dealt[0], *dealt[1]}) == 10                    # no overlap
    theirs = DistributedSampler(range(11), 2, 1, drop_last=True)
    theirs.set_epoch(epoch)
    assert dealt[1] == list(theirs)

# %% [markdown] lang="en"
# Millions of small files are slow to read. So large data sets are stored in **shards**: tar files of thousands of pictures,
# with an index that says in which shard and at which byte each begins. Any process can read picture k directly
# (`ShardIndex.read(k)` in the library).
# %% [markdown] lang="vi" of="d19ae995"
# Đọc hàng triệu tệp nhỏ rất chậm. Vì thế các tập dữ liệu (data set) lớn được lưu trong các **shard**: tệp tar chứa hàng nghìn
# ảnh, kèm một chỉ mục ghi mỗi ảnh nằm ở shard nào và bắt đầu ở byte nào. Tiến trình nào cũng đọc thẳng được ảnh k
# (`ShardIndex.read(k)` trong thư viện).

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: the same seed on every rank
#
# **Symptom.** No message: the loss falls, but 8 GPUs learn no better than one. **Cause:** each process draws pictures and noise
# from a generator with the same seed. So all compute the same gradient, and the mean of equal gradients is that gradient.
# **Fix:** the seed must depend on the rank, best through the number of the micro-batch. (The *weights* must begin equal: DDP
# sends rank 0's to all.)
#
# **Look at what two ranks see** before every large training. With the fault, rank 1 repeats rank 0:
# %% [markdown] lang="vi" of="594e468e"
# ## Cạm bẫy 2: mọi rank dùng cùng một seed
#
# **Triệu chứng.** Không có thông báo nào: giá trị của hàm mất mát giảm, nhưng 8 GPU học không hơn gì một GPU. **Nguyên nhân:**
# mỗi tiến trình lấy ảnh và nhiễu từ một bộ sinh số ngẫu nhiên (generator) có cùng seed. Vì thế tất cả tính ra cùng một
# gradient, mà trung bình của các gradient bằng nhau là chính gradient ấy. **Cách chữa:** seed phải phụ thuộc vào rank, tốt nhất
# là qua số của lô nhỏ. (Còn *trọng số* ban đầu thì phải bằng nhau: DDP gửi trọng số của rank 0 cho tất cả.)
#
# **Hãy xem hai rank nhìn thấy gì** trước mỗi lần huấn luyện lớn. Khi mắc lỗi, rank 1 lặp lại rank 0:

# %% slide="sub"
drawn = portraits(18)                                           # (18, 32, 32, 3)


def seen(rank: int, by_rank: bool) -> list:
    """Eight random pictures of a rank; the fault: a seed that forgets the rank."""
    dice = random.Random(mix_seed(5, rank if by_rank else 0))
    return [drawn[dice.randrange(18)] for _ in range(8)]


for by_rank in (False, True):
    print("seed by rank" if by_rank else "the same seed")
    both = [*seen(0, by_rank), *seen(1, by_rank)]
    show(both, [*["rank 0"] * 8, *["rank 1"] * 8], columns=8)

# %% [markdown] lang="en" slide="slide"
# ## 4. All-reduce: the mean over ranks
#
# Every rank has a gradient and needs the mean of all. If all sent theirs to rank 0, its connection would be the bottleneck. In
# a **ring** (Patarasuk and Yuan 2009) each rank sends only to its right neighbour, the last one to rank 0. Each gradient is cut
# into n chunks:
#
# 1. *reduce-scatter*, $n - 1$ steps: pass a chunk on; the neighbour adds it to its own. Each rank ends with one complete sum;
# 2. *all-gather*, $n - 1$ steps: pass the complete sums on.
#
# So each rank sends $2(n-1)/n$ of the gradient, **less than two whole gradients, however large n is**. By hand, three ranks
# hold (3, 1, 5), (9, 2, 1) and (6, 3, 3). The sums are (18, 6, 9), the means (6, 2, 3).
# %% [markdown] lang="vi" of="755572bb"
# ## 4. All-reduce: trung bình qua các rank
#
# Mỗi rank có một gradient và cần trung bình của tất cả. Nếu mọi rank gửi về rank 0, đường truyền của nó sẽ nghẽn. Trong một
# **vòng (ring)** (Patarasuk và Yuan 2009), mỗi rank chỉ gửi cho hàng xóm bên phải, rank cuối gửi cho rank 0. Mỗi gradient được
# cắt thành n mảnh (chunk):
#
# 1. *reduce-scatter*, $n - 1$ bước: chuyển một mảnh đi; hàng xóm cộng nó vào mảnh của mình. Sau đó mỗi rank có một tổng đầy đủ;
# 2. *all-gather*, $n - 1$ bước: chuyển tiếp các tổng đầy đủ.
#
# Vậy mỗi rank gửi $2(n-1)/n$ gradient, **chưa đến hai gradient trọn vẹn, dù n lớn đến đâu**. Tính tay: ba rank giữ (3, 1, 5),
# (9, 2, 1) và (6, 3, 3). Tổng là (18, 6, 9), trung bình là (6, 2, 3).

# %%
def ring(parts: Tensor) -> Iterator[Tensor]:
    """parts (n, L), a row for each rank, to tables (n, n, L / n): rank, chunk."""
    n = len(parts)
    table, rank = parts.reshape(n, n, -1).clone(), torch.arange(n)
    right = (rank + 1) % n                                      # each rank's neighbour
    yield table.clone()
    for k in range(2 * (n - 1)):
        chunk = (rank - k) % n                                  # what each rank sends
        sent = table[rank, chunk]                               # (n, L / n)
        adding = k < n - 1                                      # afterwards: replacing
        table[right, chunk] = sent + table[right, chunk] if adding else sent
        yield table.clone()


def ring_all_reduce(parts: Tensor) -> Tensor:
    *_, last = ring(parts)
    return last.flatten(1) / len(parts)                         # (n, L)


# %% slide="sub"
three = torch.tensor([[3.0, 1, 5], [9, 2, 1], [6, 3, 3]])       # (n, L)
names = [f"rank {rank}" for rank in range(3)]
titles = ("start", "add", "add", "pass on", "pass on")
for table, title, axis in zip(ring(three), titles, panels(5, height=1.5)):
    heatmap(table.flatten(1), names, ("0", "1", "2"), axis, title, 0, vmin=0, vmax=18)
print(ring_all_reduce(three))
assert_close(ring_all_reduce(three), three.mean(0).expand(3, 3))

# %% [markdown] lang="en"
# Follow chunk 0 (left column): rank 0 sends its 3, rank 1 turns it into 12 and rank 2 into 18, the complete sum. Then 18
# travels on to ranks 0 and 1. After four steps every rank has all the sums.
#
# A caution: floating-point sums depend on the order. Two numbers have only one order; with more ranks the last digits may
# differ.
# %% [markdown] lang="vi" of="545e4054"
# Hãy theo dõi mảnh 0 (cột trái): rank 0 gửi số 3, rank 1 cộng thành 12, rank 2 cộng thành 18, tức tổng đầy đủ. Rồi số 18 đi
# tiếp sang rank 0 và rank 1. Sau bốn bước, mọi rank có đủ các tổng.
#
# Một lưu ý: tổng dấu phẩy động phụ thuộc vào thứ tự cộng. Hai số thì chỉ có một thứ tự; với nhiều rank hơn, các chữ số cuối có
# thể khác đi.

# %% [markdown] lang="en" slide="slide"
# ## 5. Killed, and resumed
#
# Large trainings get killed, by a hardware fault, a time limit or a colleague. A **checkpoint** must hold *everything that
# changes*: the weights, Adam's two averages, the EMA, the step (it sets the learning rate) and the state of the random
# generator. Then a resumed run equals the unbroken one **to the last bit**. We train for 150 steps and kill the run after 60.
# %% [markdown] lang="vi" of="b91dfa04"
# ## 5. Bị ngắt, rồi chạy tiếp
#
# Các lần huấn luyện lớn hay bị ngắt: do phần cứng hỏng, do hết giờ, do đồng nghiệp. **Checkpoint** phải giữ *mọi thứ thay đổi*:
# các trọng số, hai trung bình của Adam, EMA, số bước (tốc độ học được suy ra từ đó) và trạng thái của bộ sinh số ngẫu nhiên.
# Khi ấy lần chạy tiếp giống hệt lần không bị ngắt **đến từng bit**. Ta huấn luyện mạng nhỏ 150 bước và ngắt nó sau 60 bước.

# %%
from minidiff.train.ema import EMA
from minidiff.train.optim import warmup_cosine


class Run:
    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = PointNet()
        self.optimizer = torch.optim.AdamW(self.network.parameters())
        self.ema = EMA(self.network, decay=0.98)
        self.dice, self.step = torch.Generator().manual_seed(0), 0

    def advance(self, steps: int) -> Tensor:
        """The averaged weights after each of the steps, (steps, P)."""
        history = []
        for _ in range(steps):
            rate = 4e-3 * warmup_cosine(self.step, total=150, warmup=20)
            self.optimizer.param_groups[0]["lr"] = rate
            loss_of(self.network, draw_points(32, self.dice)).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.ema.update(self.network)
            self.step += 1
            history.append(torch.cat([w.flatten() for w in self.ema.average.values()]))
        return torch.stack(history)

    def state(self) -> dict:
        weights, adam = self.network.state_dict(), self.optimizer.state_dict()
        return {"weights": weights, "Adam": adam, "EMA": vars(self.ema),
                "generator": self.dice.get_state(), "step": self.step}

    def restore(self, saved: dict) -> None:
        self.network.load_state_dict(saved["weights"])
        self.optimizer.load_state_dict(saved["Adam"])
        vars(self.ema).update(saved["EMA"])
        self.dice.set_state(saved["generator"])
        self.step = saved["step"]


# %% [markdown] lang="en" role="think"
# **Predict.** We leave out one thing at a time: Adam's averages, the EMA, the generator, or the step. How far do the averaged
# weights drift from the unbroken run's? In which case do they come back?
# ---
# Only without the EMA: the weights themselves are right, and a moving average forgets its beginning. Otherwise the weights
# change: without the generator the first batches are seen again; without the step the learning rate starts from the beginning.
# %% [markdown] lang="vi" of="ad281e60"
# **Đoán xem.** Mỗi lần ta bỏ đi một thứ: các trung bình của Adam, EMA, bộ sinh số ngẫu nhiên, hoặc số bước. Trọng số trung bình
# lệch bao xa so với lần chạy không bị ngắt? Trường hợp nào chúng quay trở lại?
# ---
# Chỉ khi thiếu EMA: bản thân các trọng số vẫn đúng, và một trung bình trượt thì quên dần điểm xuất phát. Ở các trường hợp kia,
# chính các trọng số thay đổi: thiếu bộ sinh số ngẫu nhiên thì các lô đầu bị xem lại lần nữa; thiếu số bước thì tốc độ học bắt
# đầu lại từ đầu.

# %%
import tempfile
from pathlib import Path

from minidiff.train.checkpoint import load_checkpoint, save_checkpoint

work = Path(tempfile.mkdtemp())
unbroken, killed, file = Run().advance(150)[60:], Run(), work / "checkpoint.pt"
killed.advance(60)
save_checkpoint(killed.state(), file)                           # and the run ends here

# %% slide="sub"
drift = {}
for without in ("", "Adam", "EMA", "generator", "step"):
    resumed = Run()
    fresh = {name: part for name, part in resumed.state().items() if name == without}
    resumed.restore(load_checkpoint(file) | fresh)              # one part is new
    after = resumed.advance(90)                                 # (90, P)
    drift[f"without {without}"] = (after - unbroken).square().mean(1).sqrt()
print("all restored, to the last bit:", not drift.pop("without ").any())
curves = {name: (range(61, 151), far) for name, far in drift.items()}
lines(curves, title="distance from the unbroken run", x="step", log="y")

# %% [markdown] lang="en"
# Only the complete checkpoint gives a distance of exactly 0, yet no run stopped with an error. So test it as we did: kill,
# resume, compare bit by bit. Batches that follow from their numbers, as in section 1, need no generator's state: the step is
# enough. So in the library a run may even go on with *another number of processes*.
#
# The kill may also come **while the file is being written**. So the library's `save_checkpoint` writes to a second file, which
# replaces the first only when it is complete.
# %% [markdown] lang="vi" of="0dc60133"
# Chỉ checkpoint đầy đủ cho khoảng cách đúng bằng 0, vậy mà không lần chạy nào báo lỗi. Vì thế hãy kiểm tra như ta vừa làm:
# ngắt, chạy tiếp, so sánh từng bit. Các lô được suy ra từ số thứ tự như ở mục 1 thì không cần trạng thái của bộ sinh số ngẫu
# nhiên: chỉ cần số bước. Nhờ đó, trong thư viện, có thể chạy tiếp với *số tiến trình khác*.
#
# Việc bị ngắt cũng có thể xảy ra **đúng lúc tệp đang được ghi**. Vì vậy `save_checkpoint` của thư viện ghi vào một tệp thứ hai,
# và tệp này chỉ thay tệp cũ khi đã trọn vẹn.

# %% [markdown] lang="en" slide="slide"
# **How often?** With T minutes between two checkpoints, C minutes to save one, and on average M minutes between two failures,
# each of which loses half of T, the lost share is $C/T + T/(2M)$. It is smallest at $T = \sqrt{2CM}$ (Young 1974).
#
# By hand: Llama 3 had 419 unexpected interruptions in 54 days on 16,384 GPUs (Grattafiori et al. 2024, section 3.3.4), one in
# $54\cdot 24\cdot 60/419 = 186$ minutes. With C = 1, $T = \sqrt{2\cdot 186} = 19$ minutes, and $1/19 + 19/372 = 10$ % is lost.
# The minimum is flat: T = 10 or 40 loses 13 %.
# %% [markdown] lang="vi" of="b1e99b21"
# **Bao lâu lưu một lần?** Gọi T là số phút giữa hai checkpoint, C là số phút để lưu một checkpoint, M là số phút trung bình
# giữa hai lần hỏng; mỗi lần hỏng mất một nửa T. Tỉ lệ bị mất là $C/T + T/(2M)$, nhỏ nhất khi $T = \sqrt{2CM}$ (Young 1974).
#
# Tính tay: Llama 3 có 419 lần gián đoạn ngoài dự kiến trong 54 ngày trên 16 384 GPU (Grattafiori và cộng sự 2024, mục 3.3.4),
# tức cứ $54\cdot 24\cdot 60/419 = 186$ phút một lần. Với C = 1, $T = \sqrt{2\cdot 186} = 19$ phút, và $1/19 + 19/372 = 10$ % bị
# mất. Đáy khá phẳng: với T = 10 hay T = 40, con số ấy là 13 %.

# %% [markdown] lang="en" slide="slide"
# ## 6. Will it fit, how long, and how much?
#
# Three questions before anybody rents a machine. Our example is the recipe `dit_b_256`: a text DiT of size "B" (12 blocks, 768
# wide, captions 768 wide) for pictures of 256 pixels, which are 32 × 32 latents and 256 tokens.
#
# **Memory**, for each weight in fp32: the weight 4 bytes, its gradient 4, Adam's two averages 8, the EMA 4, together 20. By
# hand: 119 million weights are $119\cdot 20 = 2380$ MB. Copies of the weights in bf16 add 2 bytes, and DDP's buckets 4.
#
# On PyTorch's device `meta`, tensors have shapes but no numbers: we count without computing.
# %% [markdown] lang="vi" of="1ce4837b"
# ## 6. Có vừa không, bao lâu, và bao nhiêu tiền?
#
# Đó là ba câu hỏi trước khi thuê máy. Ví dụ của ta là công thức huấn luyện `dit_b_256`: một DiT vẽ tranh từ lời cỡ "B" (12
# khối, rộng 768, câu mô tả rộng 768) cho ảnh 256 điểm ảnh (pixel), tức latent 32 × 32 và 256 token.
#
# **Bộ nhớ**, với mỗi trọng số fp32: trọng số 4 byte, gradient 4, hai trung bình của Adam 8, EMA 4, cộng lại 20. Tính tay: 119
# triệu trọng số cần $119\cdot 20 = 2380$ MB. Bản sao bf16 của trọng số thêm 2 byte, các bucket của DDP thêm 4.
#
# Trên thiết bị `meta` của PyTorch, tensor có kích thước nhưng không có số: ta đếm mà không phải tính.

# %%
from minidiff.models.dit import DiT, DiTConfig

N, L, D, blocks = 256, 77, 768, 12                              # tokens, words, width
with torch.device("meta"):
    dit = DiT(DiTConfig(sample_size=32, hidden_size=D, depth=blocks, heads=12,
                        caption_channels=D))
    x, t, words = torch.zeros(1, 4, 32, 32), torch.zeros(1), torch.zeros(1, L, D)
    inputs = x, t, words, torch.ones(1, L, dtype=torch.bool)
P = sum(p.numel() for p in dit.parameters())
print(f"{P / 1e6:.0f} M weights: {P * (4 + 4 + 8 + 4) / 1e9:.2f} GB")
all_kept = kept(lambda: dit(*inputs)) / 2                       # MB; bf16 halves fp32
only_inputs = blocks * N * D * 4 / 1e6 + all_kept / blocks      # fp32, and one block
print(f"for backward: {all_kept:.0f} MB a picture, checkpointed {only_inputs:.0f} MB")

# %% [markdown] lang="en"
# Forward also keeps, for each picture, what backward needs, in bf16 about half as much as in fp32. **Activation checkpointing**
# (Chen et al. 2016) keeps only the input of each block, N · D numbers, and computes the block again when backward reaches it.
# The price is one more forward pass, about a third more time; the gradients are the same.
#
# If even the weights don't fit, the ranks share them: in **ZeRO** (Rajbhandari et al. 2020, section 3) each of n ranks keeps
# $1/n$ of Adam's averages, in further stages also of the gradients and weights. A DiT-B doesn't need it: in the plot, with
# 20 + 2 + 4 bytes a weight, the pictures fill the memory.
# %% [markdown] lang="vi" of="b7d95a91"
# Với mỗi bức ảnh, lượt xuôi còn giữ những gì lượt ngược cần, ở bf16 khoảng một nửa so với fp32. **Activation checkpointing**
# (Chen và cộng sự 2016) chỉ giữ đầu vào của mỗi khối, N · D số, và tính lại khối ấy khi lượt ngược đi đến. Cái giá là thêm một
# lượt xuôi, tức thêm khoảng một phần ba thời gian; gradient vẫn như cũ.
#
# Nếu ngay các trọng số cũng không vừa, các rank chia nhau: trong **ZeRO** (Rajbhandari và cộng sự 2020, mục 3), mỗi rank trong
# n rank giữ $1/n$ các trung bình của Adam, ở những mức sau còn chia cả gradient và trọng số. Một DiT-B thì không cần: trong
# hình, với 20 + 2 + 4 byte mỗi trọng số, chính các bức ảnh mới làm đầy bộ nhớ.

# %% slide="sub"
pictures, curves = [2**k for k in range(11)], {}                # per GPU at once
for name, one in {"all kept": all_kept, "checkpointed": only_inputs}.items():
    gigabytes = [(P * 26 / 1e6 + one * n) / 1000 for n in pictures]
    print(f"{name:12}: {gigabytes[6]:5.2f} GB for 64 pictures")
    curves[name] = (pictures, gigabytes)
for name, room in {"16 GB (T4)": 16, "80 GB (H100)": 80}.items():
    curves[name] = (pictures, [room] * len(pictures))
lines(curves, title="GB on a GPU", x="pictures in a micro-batch", log="xy")

# %% [markdown] lang="en" slide="slide"
# **Time.** We count multiply-adds in a block. A linear layer from D to D costs $D^2$ a token. Self-attention has 4 for the N
# picture tokens, cross-attention 2 for these and 2 for the L words; the MLP, four times as wide inside, costs $4 + 4$. Together
# $14 N D^2 + 2 L D^2$. Attention maps and weighted sums of values add $2 N^2 D + 2 N L D$. A multiply-add is 2 FLOPs; backward
# costs twice as much as forward. Rule of thumb: **6 FLOPs per weight and token** (Kaplan et al. 2020, section 2.1).
# %% [markdown] lang="vi" of="4278204c"
# **Thời gian.** Ta đếm các phép nhân-cộng của một khối. Một lớp tuyến tính từ D sang D tốn $D^2$ cho mỗi token. Tự chú ý có 4
# lớp như thế cho N token của ảnh; chú ý chéo (cross-attention) có 2 lớp cho các token ấy và 2 lớp cho L từ; MLP, với lớp giữa
# rộng gấp bốn, tốn $4 + 4$. Cộng lại: $14 N D^2 + 2 L D^2$. Các bản đồ chú ý (attention map) và các tổng có trọng số của value
# thêm $2 N^2 D + 2 N L D$. Mỗi phép nhân-cộng là 2 FLOP, và lượt ngược tốn gấp đôi lượt xuôi. Quy tắc ước lượng: khi huấn
# luyện, **mỗi trọng số và mỗi token tốn 6 FLOP** (Kaplan và cộng sự 2020, mục 2.1).

# %%
from torch.utils.flop_counter import FlopCounterMode

block = (14 * N + 2 * L) * D**2 + 2 * N**2 * D + 2 * N * L * D  # multiply-adds
by_hand = 3 * 2 * blocks * block
with FlopCounterMode(display=False) as counter:
    dit(*inputs).sum().backward()
flops = counter.get_total_flops()
for name, count in {"by hand": by_hand, "counted": flops, "6 P N": 6 * P * N}.items():
    print(f"{name:8} {count / 1e9:.0f} GFLOPs to learn from a picture")
assert abs(by_hand / flops - 1) < 0.02

# %% [markdown] lang="en" slide="slide"
# **Days and money.** By hand: 400,000 steps of 1,024 pictures are 410 million pictures; at 169 GFLOPs each, that is
# $6.9\cdot 10^{19}$ FLOPs. No GPU reaches the speed in its data sheet; the share that it reaches is the **MFU** (model FLOPs
# utilisation, Chowdhery et al. 2022, appendix B). Eight H100s have $8\cdot 989\cdot 10^{12}$ FLOP/s in bf16 on paper; at an
# *assumed* MFU of 0.35, $2.8\cdot 10^{15}$. That makes 25,000 seconds: 7 hours, if 16,000 pictures a second arrive in time.
# %% [markdown] lang="vi" of="ed6501e0"
# **Ngày và tiền.** Tính tay: 400 000 bước, mỗi bước 1024 ảnh, là 410 triệu ảnh; mỗi ảnh 169 GFLOP, tức $6.9\cdot 10^{19}$ FLOP.
# Không GPU nào đạt tốc độ ghi trong bảng thông số; tỉ lệ nó đạt được gọi là **MFU** (model FLOPs utilisation; Chowdhery và cộng
# sự 2022, phụ lục B). Tám H100 trên giấy có $8\cdot 989\cdot 10^{12}$ FLOP/s ở bf16; với MFU *giả định* là 0.35, còn
# $2.8\cdot 10^{15}$. Vậy cần 25 000 giây: 7 giờ, miễn là mỗi giây có 16 000 ảnh đến kịp.

# %% slide="sub"
seen_pictures, dollars = 400_000 * 1024, 2.5                    # per GPU and hour
peaks = {"H100": 989e12, "A100": 312e12, "T4": 65e12}           # dense, half precision
print("8 of         hours   dollars   pictures/s      (MFU 0.35 assumed)")
for name, peak in peaks.items():
    speed = 8 * peak * 0.35 / flops                             # pictures a second
    hours = seen_pictures / speed / 3600
    cost = f"{8 * hours * dollars:9.0f}" if name == "H100" else "         "
    print(f"{name:8} {hours:9.1f} {cost} {speed:12.0f}")

# %% [markdown] lang="en"
# The rule of thumb gave a little too much, because some weights see only the words or the time. The price is an example and the
# MFU a guess: measure a hundred steps, then plan again. `minidiff train dit_b_256 --plan` prints this plan and says which
# numbers are counted, measured or assumed.
# %% [markdown] lang="vi" of="a5a404f6"
# Quy tắc ước lượng cho số hơi lớn, vì một phần trọng số chỉ gặp các từ hoặc thời điểm. Giá tiền là một ví dụ, MFU là phỏng
# đoán: hãy đo một trăm bước rồi lập lại kế hoạch. `minidiff train dit_b_256 --plan` in ra kế hoạch này và ghi rõ số nào đếm
# được, số nào đo được, số nào giả định.

# %% [markdown] lang="en" slide="slide"
# ## 7. Two real processes against one
#
# So far, ranks were rows of a tensor. Now two real Python processes find each other through a file, get the source code of *our
# own* functions, and average with `torch.distributed.all_reduce`. Only `mean` knows of other processes. We write SGD
# ourselves, because `torch.optim` would add about 100 MB to each process.
# %% [markdown] lang="vi" of="29d06ca4"
# ## 7. Hai tiến trình thật so với một
#
# Cho đến giờ, các rank chỉ là các hàng của một tensor. Giờ hai tiến trình Python thật tìm thấy nhau qua một tệp, nhận mã nguồn
# của *chính các hàm ta đã viết*, và lấy trung bình bằng `torch.distributed.all_reduce`. Chỉ `mean` biết rằng còn có tiến trình
# khác. Ta tự viết SGD, vì `torch.optim` sẽ làm mỗi tiến trình tốn thêm khoảng 100 MB.

# %%
def teach(network, accumulate, ranks, rank, mean, steps: int = 10) -> None:
    """Learns from micro-batches of 4; mean(tensor) averages over the ranks in place."""
    for step in range(steps):
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            (loss_of(network, night_batch(number)) / accumulate).backward()
        for weight in network.parameters():
            mean(weight.grad)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)     # of the whole gradient
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 0.02 * weight.grad                    # SGD
        network.zero_grad()


# %%
import inspect

SCRIPT = """
import sys
from datetime import timedelta
import torch
from torch import Tensor, distributed, nn
from minidiff import load_pipeline
from minidiff.diffusion.losses import diffusion_loss
from minidiff.train.loop import mix_seed
accumulate, ranks, rank = map(int, sys.argv[1:])
night, pipe = torch.load("night.pt"), load_pipeline("world-pixels", "cpu", "float32")
unet, schedule = pipe.network.unet.requires_grad_(True), pipe.scheduler.schedule
store, patience = distributed.FileStore(f"meet-{ranks}", ranks), timedelta(seconds=120)
distributed.init_process_group("gloo", store=store, rank=rank, world_size=ranks,
                               timeout=patience)
def mean(tensor):
    distributed.all_reduce(tensor)                              # the sum, on all ranks
    tensor /= ranks
FUNCTIONS
teach(unet, accumulate, ranks, rank, mean)
torch.save(unet.state_dict(), f"{ranks}-{rank}.pt")
"""
ours = map(inspect.getsource, (micro_batch, night_batch, loss_of, teach))
(work / "teach.py").write_text(SCRIPT.replace("FUNCTIONS", "\n".join(ours)), "utf-8")
torch.save(night, work / "night.pt")

# %%
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

environment = os.environ | {"OMP_NUM_THREADS": "1"}
environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
if sys.platform in ("linux", "darwin"):                         # stay on this machine
    environment["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"


def process(*numbers: int) -> dict[str, Tensor]:
    """The weights that one process learns. numbers: accumulate, ranks, rank."""
    done = subprocess.run([sys.executable, "teach.py", *map(str, numbers)], cwd=work,
                          env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return torch.load(work / f"{numbers[1]}-{numbers[2]}.pt")


def launch(ranks: int, accumulate: int) -> list[dict[str, Tensor]]:
    (work / f"meet-{ranks}").unlink(missing_ok=True)            # of an earlier call
    with ThreadPoolExecutor(ranks) as pool:                     # all at the same time
        return [*pool.map(lambda rank: process(accumulate, ranks, rank), range(ranks))]


# %% [markdown] lang="en" role="think"
# **Predict.** One process takes 2 turns a step, two processes take 1 turn each, for 10 steps. Will all 2.7 million weights be
# equal, nearly equal, or only similar? And with the fault of pitfall 2?
# ---
# Two numbers can be added in only one order, and halving is exact. So the weights are equal to the last bit, if both runs use
# the same kernels and threads. With the fault they differ, without an error message.
# %% [markdown] lang="vi" of="29884161"
# **Đoán xem.** Một tiến trình làm 2 lượt mỗi bước, hai tiến trình thì mỗi bên 1 lượt, trong 10 bước. Cả 2.7 triệu trọng số sẽ
# bằng nhau, gần bằng nhau, hay chỉ na ná? Còn khi mắc lỗi của cạm bẫy 2?
# ---
# Hai số thì chỉ có một thứ tự cộng, và phép chia đôi là chính xác. Vậy các trọng số bằng nhau đến từng bit, nếu hai lần chạy
# dùng cùng các kernel và cùng số luồng (thread). Khi mắc lỗi, các trọng số khác đi mà không có thông báo lỗi nào.

# %%
def flat(weights: dict[str, Tensor]) -> Tensor:
    return torch.cat([weight.flatten() for weight in weights.values()])


start = {name: weight.clone() for name, weight in unet.state_dict().items()}
(one,), (two, other) = launch(1, accumulate=2), launch(2, accumulate=1)
assert torch.equal(flat(two), flat(other))                      # both ranks agree
teach(unet, 1, 1, 0, mean=lambda tensor: None)                  # as both ranks would
way = (flat(one) - flat(start)).norm()                          # what was learnt
for name, weights in {"two": two, "two, same seed": unet.state_dict()}.items():
    apart = flat(weights) - flat(one)
    print(f"{name:14}: largest difference to one {float(apart.abs().max()):.1e}, "
          f"{float(apart.norm() / way):.1%} of the way")
assert (flat(two) - flat(one)).norm() < 1e-2 * way

# %% [markdown] lang="en"
# Two processes learnt exactly what one learnt. The last line shows that our test can fail: two ranks that see the same batch
# learn like one rank with half the batch. Finally, what the weights draw:
# %% [markdown] lang="vi" of="2e58eb02"
# Hai tiến trình đã học đúng những gì một tiến trình học. Dòng cuối cho thấy phép thử của ta có thể thất bại: hai rank cùng xem
# một lô thì học như một rank với nửa lô. Cuối cùng, hãy xem các trọng số ấy vẽ gì:

# %% slide="sub"
from minidiff.diffusion.samplers import run

kinds = ["circle", "house", "car", "fish", "cat", "moon"]
x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def draw(weights: dict[str, Tensor]) -> Tensor:
    unet.load_state_dict(weights)
    *_, last = run("dpmpp_2m", pipe.denoiser(kinds, [""] * 6, 2.0), x, schedule, 12)
    return last.x                                               # (6, 3, 32, 32)


show(torch.stack([draw(start), draw(one), draw(two)]))          # (3, 6, 3, 32, 32)

# %% [markdown] lang="en"
# Top: `world-pixels` before. Middle: after ten steps in one process. Bottom: after ten steps in two. The blue light is there,
# though the pictures are still rough, and the lower rows are identical. (Whether two were *faster* depends on whether two cores
# were free.) On real machines, `accelerate launch --num_processes 8 -m minidiff train dit_b_256 --data SHARDS` starts the
# processes.
# %% [markdown] lang="vi" of="138d288c"
# Hàng trên: `world-pixels` lúc đầu. Hàng giữa: sau mười bước bằng một tiến trình. Hàng dưới: sau mười bước bằng hai tiến trình.
# Ánh trăng xanh đã hiện ra, tuy tranh còn thô, và hai hàng dưới giống hệt nhau. (Hai tiến trình có *nhanh hơn* không còn tùy có
# hai nhân đang rảnh hay không.) Trên máy thật, `accelerate launch --num_processes 8 -m minidiff train dit_b_256 --data SHARDS`
# khởi động các tiến trình.

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula or code | shapes |
# |---|---|---|
# | time of a step | compute / n + send · 2(n − 1)/n + update, plus the wait for the slowest | ms |
# | accumulation | each loss times its share of the examples, then `backward()` | `.grad` like the weights |
# | micro-batch | (step · a + micro) · n + rank | an int |
# | this rank's samples | `order[rank::n]` of one shuffle by (seed, epoch) | count // n ints |
# | all-reduce | reduce-scatter, all-gather; 2(n − 1)/n of the bytes | (n, L) → (n, L) |
# | checkpoint | all that changes; interval $\sqrt{2CM}$ | C, M in minutes |
# | memory, FLOPs | 20 bytes a weight and what backward needs; about 6 P N a picture | P weights, N tokens |
# %% [markdown] lang="vi" of="59cfed64"
# ## Tóm tắt
#
# | cái gì | công thức hay mã | kích thước |
# |---|---|---|
# | thời gian một bước | tính / n + gửi · 2(n − 1)/n + cập nhật, và chờ tiến trình chậm nhất | ms |
# | tích lũy gradient | nhân mỗi giá trị của hàm mất mát với tỉ lệ số ảnh, rồi `backward()` | `.grad` như các trọng số |
# | lô nhỏ | (step · a + micro) · n + rank | một số nguyên |
# | các ảnh của rank này | `order[rank::n]` từ một phép xáo trộn theo (seed, epoch) | count // n số nguyên |
# | all-reduce | reduce-scatter, all-gather; 2(n − 1)/n số byte | (n, L) → (n, L) |
# | checkpoint | mọi thứ thay đổi; khoảng cách $\sqrt{2CM}$ | C, M tính bằng phút |
# | bộ nhớ, FLOP | 20 byte mỗi trọng số và những gì lượt ngược cần; khoảng 6 P N mỗi ảnh | P trọng số, N token |

# %% [markdown] lang="en"
# **You can now** train on n processes exactly as on one, resume to the last bit, and plan a training on paper.
#
# **What still bothers:** can you put all the parts of a text-to-image model together yourself, from an empty file? Lesson 17 is
# the final assessment.
#
# **Sources.** P. Goyal et al. 2017, *Accurate, large minibatch SGD*. S. Li et al. 2020, *PyTorch Distributed*. P. Patarasuk,
# X. Yuan 2009, *Bandwidth optimal all-reduce algorithms for clusters of workstations*. J. W. Young 1974, *A first order
# approximation to the optimum checkpoint interval*. A. Grattafiori et al. 2024, *The Llama 3 herd of models*. T. Chen et al.
# 2016, *Training deep nets with sublinear memory cost*. J. Kaplan et al. 2020, *Scaling laws for neural language models*. A.
# Chowdhery et al. 2022, *PaLM*. S. Rajbhandari et al. 2020, *ZeRO*.
# %% [markdown] lang="vi" of="72583724"
# **Giờ bạn đã biết** huấn luyện bằng n tiến trình đúng như bằng một, chạy tiếp giống hệt đến từng bit, và lập kế hoạch huấn
# luyện trên giấy.
#
# **Điều còn vướng:** bạn có tự ghép được mọi bộ phận của một mô hình vẽ tranh từ lời, bắt đầu từ một tệp trống? Bài 17 là bài
# thi cuối.
#
# **Nguồn.** P. Goyal và cộng sự 2017, *Accurate, large minibatch SGD*. S. Li và cộng sự 2020, *PyTorch Distributed*. P.
# Patarasuk, X. Yuan 2009, *Bandwidth optimal all-reduce algorithms for clusters of workstations*. J. W. Young 1974, *A first
# order approximation to the optimum checkpoint interval*. A. Grattafiori và cộng sự 2024, *The Llama 3 herd of models*. T.
# Chen và cộng sự 2016, *Training deep nets with sublinear memory cost*. J. Kaplan và cộng sự 2020, *Scaling laws for neural
# language models*. A. Chowdhery và cộng sự 2022, *PaLM*. S. Rajbhandari và cộng sự 2020, *ZeRO*.

# %% [markdown] lang="en" only="exercise"
# # 16 Exercises: several processes, one training
#
# You build what makes a training independent of the number of its machines: who works on what, one gradient out of many parts,
# the mean over ranks by a ring, a run that survives being killed; and you work out beforehand whether it fits. `check` says
# what is right and what isn't. Then each function is put to work: what the solution gives comes first, then what yours gives,
# and they must be the same.
#
# The next cell loads `world-pixels` and defines what the exercises share. `mix_seed` makes one seed of several numbers, the
# same in every process. `pictures_of(number, size)` draws the pictures of a micro-batch, (size, 3, 32, 32), always the same for
# the same number. `evening_loss` is the loss of pictures in blue evening light, which the model has never seen. `drawn` samples
# four things with a network.
# %% [markdown] lang="vi" of="b0fc9ae2" only="exercise"
# # 16 Bài tập: nhiều tiến trình, một lần huấn luyện
#
# Bạn dựng những phần khiến việc huấn luyện không phụ thuộc vào số máy: ai xử lý phần nào, một gradient ghép từ nhiều phần,
# trung bình trên các rank bằng một vòng tròn, một lần chạy không sợ bị ngắt; và bạn tính trước xem có vừa bộ nhớ không. `check`
# cho biết chỗ nào đúng, chỗ nào chưa. Sau đó mỗi hàm được đem ra dùng: kết quả của lời giải đứng trước, của bạn đứng sau, và
# hai kết quả phải giống nhau.
#
# Ô tiếp theo nạp `world-pixels` và định nghĩa những thứ dùng chung. `mix_seed` trộn nhiều số thành một seed, giống nhau ở mọi
# tiến trình. `pictures_of(number, size)` vẽ các bức ảnh của một lô nhỏ (micro-batch), (size, 3, 32, 32), luôn như nhau với cùng
# một số thứ tự. `evening_loss` là giá trị của hàm mất mát (loss) với ảnh trong ánh chiều xanh, thứ mà mô hình chưa từng thấy.
# `drawn` lấy mẫu bốn vật bằng một mạng.

# %% only="exercise"
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion.losses import diffusion_loss, sample_times
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run
from minidiff.train.pixels import portrait, portraits
from minidiff.utils.images import to_tensor
from minidiff.utils.plots import lines

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
unet, schedule = pipe.network.unet, pipe.scheduler.schedule
prediction_type = pipe.prediction_type


def mix_seed(*parts: int) -> int:
    """One seed of several numbers: a tuple's hash, which is the same everywhere."""
    return hash(parts) & (2**63 - 1)


def pictures_of(number: int, size: int = 4) -> Tensor:
    """The pictures of micro-batch `number`, (size, 3, 32, 32)."""
    dice = random.Random(mix_seed(0, number))
    drawn = [portrait(dice.choice(SHAPES), dice) for _ in range(size)]
    return to_tensor(np.stack(drawn))


def evening_loss(model: nn.Module, pictures: Tensor, dice: torch.Generator) -> Tensor:
    """The mean loss of the pictures (B, 3, 32, 32) in evening light, ()."""
    light = torch.tensor([0.3, 0.4, 0.9]).view(3, 1, 1)
    x0 = (pictures + 1) * light - 1
    t = sample_times(len(x0), "stratified", dice)
    eps = torch.randn(x0.shape, generator=dice)
    anything = torch.full((len(x0),), 18)                       # a label
    out = model(schedule.mix(x0, eps, t), schedule.timestep(t), labels=anything)
    return diffusion_loss(out, x0, eps, t, schedule, prediction_type)


@torch.no_grad()
def drawn(model: nn.Module) -> Tensor:
    """A star, a house, a car and a cat, (4, 3, 32, 32)."""
    labels, dice = torch.tensor([3, 6, 8, 12]), torch.Generator().manual_seed(3)
    noise = torch.randn(4, 3, 32, 32, generator=dice)
    predict = denoiser(lambda x, timestep: model(x, timestep, labels=labels), schedule,
                       prediction_type)
    *_, last = run("dpmpp_2m", predict, noise, schedule, steps=8)
    return last.x
