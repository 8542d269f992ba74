"""Exercise 13.3, inpaint: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## Draw into a hole
#
# **Wire it.** Draw anew what lies in a hole of a picture, with DDIM ($\eta = 0$). `picture` (B, C, h, w) is the picture's
# latent, `hole` (H, W) is True at the *pixels* that are drawn. A latent has one cell for several pixels, as many as the shapes
# say: H / h high and W / w wide, whole numbers. A cell that the hole **touches** with as much as one pixel is drawn; the others
# are known.
#
# Begin with the picture noised by `eps` to the first of the falling `timesteps` (at time 1 that is `eps` itself). Then make
# each step with `step(schedule, x0, eps, t, s)`, and after it put back what is known with your `keep_known`, at the time that
# the step has reached and always with the same given `eps`. `model(x, t)` gives (x0, eps), as in lesson 04. The first time may
# be below 1, and the last one above 0.
#
# The last cell recolours a star in a drawn scene, three times. Below, the original is put back outside of the hole in pixels,
# and the shipped judge says what it sees.
# %% [markdown] lang="vi" of="70c88980"
# ## Vẽ vào một lỗ hổng
#
# **Lắp ráp.** Hãy vẽ lại phần nằm trong lỗ hổng của bức tranh, bằng DDIM ($\eta = 0$). `picture` (B, C, h, w) là latent của bức
# tranh, `hole` (H, W) là True tại những *điểm ảnh* (pixel) được vẽ lại. Một ô của latent ứng với nhiều điểm ảnh, bao nhiêu thì
# các kích thước cho biết: cao H / h và rộng W / w, đều là số nguyên. Ô nào bị lỗ hổng **chạm** đến dù chỉ một điểm ảnh thì được
# vẽ lại; các ô khác là đã biết.
#
# Bắt đầu từ bức tranh được thêm nhiễu `eps` đến thời điểm đầu của dãy giảm dần `timesteps` (tại thời điểm 1 đó chính là `eps`).
# Rồi đi từng bước bằng `step(schedule, x0, eps, t, s)`, và sau mỗi bước đặt lại phần đã biết bằng `keep_known` của bạn, tại
# thời điểm mà bước ấy vừa đến và luôn với cùng `eps` đã cho. `model(x, t)` trả về (x0, eps), như trong bài 04. Thời điểm đầu
# có thể nhỏ hơn 1, và thời điểm cuối có thể lớn hơn 0.
#
# Ô cuối cùng đổi màu một ngôi sao trong một cảnh vẽ sẵn, ba lần. Bên dưới, bức gốc được đặt lại bên ngoài lỗ hổng ở mức điểm
# ảnh, và giám khảo có sẵn cho biết nó thấy gì.

# %% [markdown] lang="en" role="hints"
# Three parts: the hole on the latent's grid, the beginning, and a loop over pairs of neighbouring times.
# ---
# The largest of a cell's pixels tells whether the hole touches it: pooling with a maximum, of floats, down to (h, w).
# `keep_known` wants the opposite, what is known.
# ---
# `F.adaptive_max_pool2d` takes floats with an axis in front, `hole[None].float()`, and the size (h, w); cells above 0 are
# drawn. `schedule.mix` noises the picture to `timesteps[0]`. In the loop over `pairwise(timesteps)`: the model at t, the step
# to s, `keep_known` at s with the inverted mask. The noise that the model predicts needs another name than `eps`.
# %% [markdown] lang="vi" of="1878fa05"
# Ba phần: lỗ hổng trên lưới của latent, điểm bắt đầu, và vòng lặp qua từng cặp thời điểm kề nhau.
# ---
# Giá trị lớn nhất trong các điểm ảnh của một ô cho biết lỗ hổng có chạm vào ô ấy không: gộp (pooling) theo giá trị lớn nhất,
# trên số thực, xuống còn (h, w). `keep_known` thì cần điều ngược lại: phần đã biết.
# ---
# `F.adaptive_max_pool2d` nhận số thực có thêm một trục đứng trước, `hole[None].float()`, và kích thước (h, w); ô nào lớn hơn 0
# thì được vẽ lại. `schedule.mix` thêm nhiễu vào bức tranh đến `timesteps[0]`. Trong vòng lặp qua `pairwise(timesteps)`: mô hình
# tại t, bước đến s, `keep_known` tại s với mặt nạ đã đảo. Nhiễu mà mô hình dự đoán phải mang tên khác với `eps`.

# %% [markdown] lang="en" role="stub"
# model: (x, t) -> (x0, eps), t: (); picture, eps: (B, C, h, w), the picture clean;
# hole: (H, W) bool, in pixels, where H and W are multiples of h and w; timesteps:
# (n + 1,) falling. Returns x at the last time, (B, C, h, w): the picture, drawn anew
# in the cells that the hole touches.
# ---
# 1. the cells that the hole touches                         # (h, w) bool
# 2. the picture, noised to the first time                   # (B, C, h, w)
# 3. for each step: the model, DDIM's step, and back with what is known
# %% [markdown] lang="vi" of="424fd069"
# model: (x, t) -> (x0, eps), t: (); picture, eps: (B, C, h, w), picture là tranh
# sạch; hole: (H, W) bool, theo điểm ảnh, H và W là bội số của h và w; timesteps:
# (n + 1,) bước thời gian giảm dần. Trả về x tại thời điểm cuối, (B, C, h, w): bức
# tranh, được vẽ lại trong các ô mà lỗ hổng chạm đến.
# ---
# 1. các ô mà lỗ hổng chạm đến                                # (h, w) bool
# 2. bức tranh, được thêm nhiễu đến thời điểm đầu             # (B, C, h, w)
# 3. với mỗi bước: mô hình, bước DDIM, rồi đặt lại phần đã biết

# %% role="solution"
def inpaint(
    model: Denoiser, picture: Tensor, hole: Tensor, eps: Tensor,
    schedule: NoiseSchedule, timesteps: Tensor,
) -> Tensor:
    size = picture.shape[-2:]
    drawn = F.adaptive_max_pool2d(hole[None].float(), size)[0] > 0  # (h, w)
    x = schedule.mix(picture, eps, timesteps[0])                # (B, C, h, w)
    for t, s in pairwise(timesteps):
        x = step(schedule, *model(x, t), t, s)
        x = keep_known(x, picture, ~drawn, eps, s, schedule)
    return x

# %% [markdown] lang="en" role="checks"
# - shape and dtype, float32 and float64
# - the times at which the model is asked
# - a hole that cuts through cells of 8 x 8 pixels
# - what the model is shown at each step
# - one pixel in a corner of a cell, cells of 4 x 2 pixels
# - times that begin at 0.6, as for a strength below 1
# - times that end at 0.1: there what is known is still noised
# - a hole everywhere is plain DDIM
# %% [markdown] lang="vi" of="58c3edc9"
# - kích thước và kiểu số, float32 và float64
# - các thời điểm mà mô hình được hỏi
# - lỗ hổng cắt ngang các ô 8 x 8 điểm ảnh
# - mô hình được cho xem gì ở mỗi bước
# - một điểm ảnh ở góc của một ô, các ô 4 x 2 điểm ảnh
# - dãy thời điểm bắt đầu từ 0.6, như khi độ mạnh dưới 1
# - dãy thời điểm kết thúc ở 0.1: ở đó phần đã biết vẫn còn nhiễu
# - lỗ hổng phủ khắp nơi là DDIM bình thường

# %% role="probes"
import torch

from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.schedules import get_schedule

COSINE = get_schedule("cosine")


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def falling(*values):
    return torch.tensor(values, dtype=torch.float64)


def network(x, timestep):
    """Each cell's prediction depends on its neighbours too, so that the hole sees what is round it."""
    return torch.tanh(x - 0.5 * x.roll(1, -1) + 0.3 * x.roll(1, -2)) + timestep.reshape(-1, 1, 1, 1).to(x) / 2000


def spied(f, picture, hole, eps, times):
    """The result, and what the model was asked."""
    inner, asked = denoiser(network, COSINE, "v"), []

    def model(x, t):
        asked.append((float(t), x.clone()))
        return inner(x, t)

    return f(model, picture, hole, eps, COSINE, times), asked


def shapes_and_dtypes(f, picture, hole, eps, times):
    made = [spied(f, picture.to(kind), hole, eps.to(kind), times)[0] for kind in (torch.float32, torch.float64)]
    return [[list(one.shape), str(one.dtype)] for one in made]


def times_asked(f, **given):
    return [t for t, _ in spied(f, **given)[1]]


def shown(f, **given):
    return [x for _, x in spied(f, **given)[1]]


def result(f, **given):
    return spied(f, **given)[0]


def holes(height, width, *boxes):
    hole = torch.zeros(height, width, dtype=torch.bool)
    for top, left, bottom, right in boxes:
        hole[top:bottom, left:right] = True
    return hole


TWO = {"picture": normal(2, 3, 4, 7, seed=1), "eps": normal(2, 3, 4, 7, seed=2)}
# cells of 8 x 8: one box covers a whole cell and parts of others, one is less than half of a cell, in its middle
CUT = holes(32, 56, (3, 13, 17, 27), (26, 34, 29, 38))
ONE = {"picture": normal(1, 2, 3, 5, seed=3), "eps": normal(1, 2, 3, 5, seed=4)}
CORNER = holes(12, 10, (7, 3, 8, 4), (0, 8, 1, 9))
FOUR = falling(1, 0.8, 0.5, 0.2, 0)

probe(shapes_and_dtypes, **TWO, hole=CUT, times=FOUR)
probe(times_asked, **TWO, hole=CUT, times=FOUR)
probe(result, points=2, **TWO, hole=CUT, times=FOUR)
probe(shown, points=2, **TWO, hole=CUT, times=FOUR)
probe(result, **ONE, hole=CORNER, times=falling(1, 0.6, 0.3, 0))
probe(result, **TWO, hole=CUT, times=falling(0.6, 0.35, 0.1, 0))
probe(result, **TWO, hole=CUT, times=falling(1, 0.7, 0.4, 0.1))
probe(result, **ONE, hole=torch.ones_like(CORNER), times=falling(1, 0.5, 0))

# %% [markdown] lang="en" role="mistake" name="hole_kept"
# The hole stays and everything else is drawn anew: `keep_known` was given the hole in place of what is known. Invert the
# mask with `~`.
# %% [markdown] lang="vi" of="3605a0a5"
# Lỗ hổng thì được giữ, còn mọi thứ khác lại bị vẽ mới: `keep_known` nhận lỗ hổng thay vì phần đã biết. Hãy đảo mặt nạ bằng `~`.
# %% role="wrong" name="hole_kept"
patch("~drawn", "drawn")

# %% [markdown] lang="en" role="mistake" name="nearest_cells"
# The mask was made smaller by "nearest": of each cell only the first pixel counts. Where the hole begins further inside, the
# cell stays, and with it a rim of the old object. Take every cell that the hole touches.
# %% [markdown] lang="vi" of="83ffd0ef"
# Mặt nạ được thu nhỏ theo kiểu "nearest": mỗi ô chỉ tính điểm ảnh đầu tiên. Nơi nào lỗ hổng bắt đầu sâu hơn bên trong, ô ấy
# được giữ lại, kèm theo một viền của vật cũ. Hãy lấy mọi ô mà lỗ hổng chạm đến.
# %% role="wrong" name="nearest_cells"
patch("F.adaptive_max_pool2d(hole[None].float(), size)[0]", "F.interpolate(hole[None, None].float(), size=size)[0, 0]")

# %% [markdown] lang="en" role="mistake" name="middle_pixel"
# Of each cell only a pixel in its middle counts. Where the hole touches a cell at its edge alone, the cell stays, and with it a
# rim of the old object. Look at all pixels of a cell.
# %% [markdown] lang="vi" of="1b0f0a7f"
# Mỗi ô chỉ tính điểm ảnh ở giữa. Nơi nào lỗ hổng chỉ chạm đến mép ô, ô ấy được giữ lại, kèm theo một viền của vật cũ. Hãy xét
# mọi điểm ảnh của ô.
# %% role="wrong" name="middle_pixel"
patch("F.adaptive_max_pool2d(hole[None].float(), size)[0]",
      "F.interpolate(hole[None, None].float(), size=size, mode='nearest-exact')[0, 0]")

# %% [markdown] lang="en" role="mistake" name="pixels_interleaved"
# The hole was reshaped with the axes of a cell in front, so that pixels from all over the picture are taken for one cell. First
# comes which cell, then which pixel in it: (h, H / h, w, W / w).
# %% [markdown] lang="vi" of="5fe3ca4a"
# Lỗ hổng được đổi hình (reshape) với các trục bên trong ô đứng trước, nên những điểm ảnh rải khắp bức tranh bị gộp vào một ô.
# Trước là ô nào, sau là điểm ảnh nào trong ô: (h, H / h, w, W / w).
# %% role="wrong" name="pixels_interleaved"
patch("F.adaptive_max_pool2d(hole[None].float(), size)[0] > 0",
      "hole.reshape(-1, size[0], hole.shape[1] // size[1], size[1]).any(0).any(1)")

# %% [markdown] lang="en" role="mistake" name="whole_cells_alone"
# Only cells that lie in the hole as a whole are drawn. At its edge the old object stays in all cells that the hole cuts
# through: one pixel must be enough.
# %% [markdown] lang="vi" of="d58973b2"
# Chỉ những ô nằm trọn trong lỗ hổng mới được vẽ lại. Ở mép, vật cũ còn nguyên trong mọi ô bị lỗ hổng cắt ngang: chỉ cần một
# điểm ảnh là đủ.
# %% role="wrong" name="whole_cells_alone"
patch("F.adaptive_max_pool2d(hole[None].float(), size)[0] > 0", "F.adaptive_avg_pool2d(hole[None].float(), size)[0] == 1")

# %% [markdown] lang="en" role="mistake" name="half_covered"
# A cell is drawn only where the hole covers half of it or more. Cells that it touches less keep a part of the old object: one
# pixel must be enough.
# %% [markdown] lang="vi" of="0582eae6"
# Một ô chỉ được vẽ lại khi lỗ hổng phủ từ nửa ô trở lên. Những ô bị chạm ít hơn vẫn giữ một phần vật cũ: chỉ cần một điểm ảnh
# là đủ.
# %% role="wrong" name="half_covered"
patch("F.adaptive_max_pool2d(hole[None].float(), size)[0] > 0", "F.adaptive_avg_pool2d(hole[None].float(), size)[0] >= 0.5")

# %% [markdown] lang="en" role="mistake" name="eight_pixels"
# A cell is taken for 8 x 8 pixels whatever the shapes say. It isn't so for every VAE: work the size out of `hole` and
# `picture`.
# %% [markdown] lang="vi" of="d425e732"
# Một ô luôn bị coi là 8 x 8 điểm ảnh, bất kể các kích thước. Không phải VAE nào cũng vậy: hãy suy ra từ `hole` và `picture`.
# %% role="wrong" name="eight_pixels"
patch("F.adaptive_max_pool2d(hole[None].float(), size)[0]", "F.max_pool2d(hole[None].float(), 8)[0]")

# %% [markdown] lang="en" role="mistake" name="square_cells"
# The height and width of a cell were mixed up, or one was taken for both. They may differ: a cell is H / h pixels high and W /
# w wide, and `max_pool2d` wants the height first.
# %% [markdown] lang="vi" of="acaf74f1"
# Chiều cao và chiều rộng của ô bị lẫn với nhau, hoặc một cái bị dùng cho cả hai. Chúng có thể khác nhau: ô cao H / h và rộng
# W / w điểm ảnh, và `max_pool2d` cần chiều cao trước.
# %% role="wrong" name="square_cells"
patch("F.adaptive_max_pool2d(hole[None].float(), size)[0]", "F.max_pool2d(hole[None].float(), hole.shape[0] // size[0])[0]")

# %% [markdown] lang="en" role="mistake" name="clean_pasted"
# After each step the clean picture is put back, into an x that is still noisy: what is drawn may not grow into it, and a seam
# may stay. `keep_known` noises the picture to time s.
# %% [markdown] lang="vi" of="f0741e43"
# Sau mỗi bước, bức tranh sạch được đặt lại vào một x còn nhiễu: phần vẽ mới có thể không hòa vào được và để lại đường ráp. `keep_known`
# thêm nhiễu vào bức tranh đến thời điểm s.
# %% role="wrong" name="clean_pasted"
patch("keep_known(x, picture, ~drawn, eps, s, schedule)", "torch.where(drawn, x, picture)")

# %% [markdown] lang="en" role="mistake" name="noised_to_t"
# What is known is put back as it was at time t, where the step began. x has reached time s, so it is noisier than the rest, and
# at the end it isn't clean.
# %% [markdown] lang="vi" of="408cd58c"
# Phần đã biết được đặt lại như ở thời điểm t, nơi bước bắt đầu. x đã đến thời điểm s, nên phần ấy nhiễu hơn xung quanh, và cuối
# cùng vẫn không sạch.
# %% role="wrong" name="noised_to_t"
patch("keep_known(x, picture, ~drawn, eps, s, schedule)", "keep_known(x, picture, ~drawn, eps, t, schedule)")

# %% [markdown] lang="en" role="mistake" name="never_kept"
# Nothing is put back: the whole picture is drawn anew, as by img2img. Call `keep_known` after each step.
# %% [markdown] lang="vi" of="72193b4f"
# Không có gì được đặt lại: cả bức tranh bị vẽ mới, như img2img. Hãy gọi `keep_known` sau mỗi bước.
# %% role="wrong" name="never_kept"
patch("x = keep_known(x, picture, ~drawn, eps, s, schedule)", "pass")

# %% [markdown] lang="en" role="mistake" name="only_at_the_end"
# What is known is put back once, after the last step. Until then the model has drawn a picture of its own, and the hole doesn't
# fit into the old one.
# %% [markdown] lang="vi" of="ef172b13"
# Phần đã biết chỉ được đặt lại một lần, sau bước cuối. Cho đến lúc đó mô hình đã vẽ một bức tranh riêng, và lỗ hổng không ăn
# khớp với bức cũ.
# %% role="wrong" name="only_at_the_end"
patch("        x = keep_known(x, picture, ~drawn, eps, s, schedule)\n    return x",
      "    return keep_known(x, picture, ~drawn, eps, timesteps[-1], schedule)")

# %% [markdown] lang="en" role="mistake" name="not_at_the_end"
# What is known isn't put back after the last step, be it that the last one is left out or that it is put back before each step.
# It then comes out as the model has made it. Put it back after the last step too: at time 0 that is the clean picture.
# %% [markdown] lang="vi" of="51eafc42"
# Sau bước cuối, phần đã biết không được đặt lại: hoặc bước cuối bị bỏ qua, hoặc nó được đặt lại trước mỗi bước. Khi ấy nó là
# thứ mô hình làm ra chứ không như cũ. Hãy đặt lại cả sau bước cuối: tại thời điểm 0 đó là bức tranh sạch.
# %% role="wrong" name="not_at_the_end"
patch("x = keep_known(x, picture, ~drawn, eps, s, schedule)",
      "x = keep_known(x, picture, ~drawn, eps, s, schedule) if s > timesteps[-1] else x")

# %% [markdown] lang="en" role="mistake" name="clean_at_the_end"
# At the end the clean picture is pasted over what is known, whatever the last time is. Where the times end above 0, x is still
# noisy there, and what is known must be as noisy: `keep_known` has done that already.
# %% [markdown] lang="vi" of="6aec4b14"
# Cuối cùng bức tranh sạch được dán đè lên phần đã biết, bất kể thời điểm cuối là bao nhiêu. Khi dãy thời điểm kết thúc trên 0
# thì ở đó x vẫn còn nhiễu, và phần đã biết cũng phải nhiễu như vậy: `keep_known` đã lo xong việc đó.
# %% role="wrong" name="clean_at_the_end"
patch("return x", "return torch.where(drawn, x, picture)")

# %% [markdown] lang="en" role="mistake" name="always_down_to_zero"
# A step to time 0 was added where the times end above 0. Whoever gives such times wants x at the last of them, to go on from
# there.
# %% [markdown] lang="vi" of="2b49ed25"
# Khi dãy thời điểm kết thúc trên 0, một bước đến thời điểm 0 lại được thêm vào. Ai đưa dãy như thế thì cần x tại thời điểm cuối
# của dãy, để đi tiếp từ đó.
# %% role="wrong" name="always_down_to_zero"
patch("pairwise(timesteps)", "pairwise([*timesteps, *timesteps.new_zeros(int(timesteps[-1] > 0))])")

# %% [markdown] lang="en" role="mistake" name="begins_in_noise"
# It begins with `eps` even where the first time is below 1. At time 0.6 the model expects a part of the picture in x: noise the
# picture to `timesteps[0]`.
# %% [markdown] lang="vi" of="7ced5efe"
# Hàm bắt đầu bằng `eps` ngay cả khi thời điểm đầu nhỏ hơn 1. Tại thời điểm 0.6 mô hình chờ đợi trong x có một phần bức tranh:
# hãy thêm nhiễu vào bức tranh đến `timesteps[0]`.
# %% role="wrong" name="begins_in_noise"
patch("schedule.mix(picture, eps, timesteps[0])", "eps")

# %% [markdown] lang="en" role="mistake" name="begins_clean"
# It begins with the clean picture, and the model is told that it is noise. Noise it to the first time.
# %% [markdown] lang="vi" of="1518b831"
# Hàm bắt đầu bằng bức tranh sạch, trong khi mô hình được bảo rằng đó là nhiễu. Hãy thêm nhiễu vào nó đến thời điểm đầu.
# %% role="wrong" name="begins_clean"
patch("schedule.mix(picture, eps, timesteps[0])", "picture")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# The start is drawn from fresh noise, and `eps` is used only for what is known. Hole and surroundings then have different
# noises, and no picture can be drawn a second time: begin with the given `eps`.
# %% [markdown] lang="vi" of="3e8cbc38"
# Điểm bắt đầu lấy từ nhiễu mới, còn `eps` chỉ dùng cho phần đã biết. Khi ấy lỗ hổng và xung quanh có nhiễu khác nhau, và không
# bức nào vẽ lại được lần hai: hãy bắt đầu với `eps` đã cho.
# %% role="wrong" name="own_noise"
patch("schedule.mix(picture, eps, timesteps[0])", "schedule.mix(picture, torch.randn_like(eps), timesteps[0])")

# %% [markdown] lang="en" role="mistake" name="fresh_noise"
# At each step what is known gets fresh noise. Put it back with the given `eps`, always the same, or it flickers from step to
# step.
# %% [markdown] lang="vi" of="fd42083d"
# Mỗi bước phần đã biết lại nhận nhiễu mới. Hãy đặt lại với cùng `eps` đã cho, nếu không nó chập chờn từ bước này sang bước
# khác.
# %% role="wrong" name="fresh_noise"
patch("~drawn, eps, s", "~drawn, torch.randn_like(x), s")

# %% [markdown] lang="en" role="mistake" name="predicted_noise"
# What is known gets the noise that the model predicts in place of the given `eps`: `eps` was overwritten in the loop, or the
# picture was put into the predicted x0. The given noise has to stay; give the predicted one another name.
# %% [markdown] lang="vi" of="74b224e4"
# Phần đã biết nhận nhiễu mà mô hình dự đoán thay vì `eps` đã cho: `eps` bị ghi đè trong vòng lặp, hoặc bức tranh được đặt vào
# x0 dự đoán. Nhiễu đã cho phải được giữ; hãy đặt tên khác cho nhiễu dự đoán.
# %% role="wrong" name="predicted_noise"
patch("x = step(schedule, *model(x, t), t, s)", "x0, eps = model(x, t)\n        x = step(schedule, x0, eps, t, s)")

# %% [markdown] lang="en" role="mistake" name="given_noise_in_step"
# The step is made with the given `eps` in place of the predicted noise. In the hole x drifts away from its own noise, and only
# the noise that the model predicts belongs to the predicted x0.
# %% [markdown] lang="vi" of="dbb3b482"
# Bước được đi với `eps` đã cho thay vì nhiễu dự đoán. Trong lỗ hổng, x không còn mang nhiễu ấy nữa, và chỉ nhiễu mà mô hình dự
# đoán mới đi cùng với x0 dự đoán.
# %% role="wrong" name="given_noise_in_step"
patch("step(schedule, *model(x, t), t, s)", "step(schedule, model(x, t)[0], eps, t, s)")

# %% [markdown] lang="en" role="mistake" name="data_and_noise_swapped"
# The predicted x0 and noise are swapped: the model gives x0 first, and `step` wants it first.
# %% [markdown] lang="vi" of="b88b682c"
# x0 và nhiễu dự đoán bị đổi chỗ: mô hình trả về x0 trước, và `step` cũng cần x0 trước.
# %% role="wrong" name="data_and_noise_swapped"
patch("*model(x, t)", "*model(x, t)[::-1]")

# %% [markdown] lang="en" role="mistake" name="asked_twice"
# The picture is right, but it takes twice as long: the model is called once for x0 and once more for the noise. One call gives
# both.
# %% [markdown] lang="vi" of="71444139"
# Bức tranh đúng, nhưng mất gấp đôi thời gian: mô hình được gọi một lần để lấy x0 rồi thêm một lần để lấy nhiễu. Một lần gọi trả
# về cả hai.
# %% role="wrong" name="asked_twice"
patch("step(schedule, *model(x, t), t, s)", "step(schedule, model(x, t)[0], model(x, t)[1], t, s)")

# %% [markdown] lang="en" role="mistake" name="model_at_s"
# The model is asked at the time where the step ends. x is at time t, as noisy as t says.
# %% [markdown] lang="vi" of="a0eaa694"
# Mô hình bị hỏi tại thời điểm cuối bước. x đang ở thời điểm t, nhiễu đúng mức của t.
# %% role="wrong" name="model_at_s"
patch("model(x, t)", "model(x, s)")

# %% [markdown] lang="en" role="mistake" name="step_turned"
# `step` was given s and t the wrong way round: it mixes the prediction for time t, where x is already, and the hole stays full
# of noise. First the time where the step begins, then the one that it reaches.
# %% [markdown] lang="vi" of="e3736cee"
# `step` nhận s và t ngược thứ tự: nó trộn dự đoán cho thời điểm t, nơi x đang đứng sẵn, nên trong lỗ hổng vẫn đầy nhiễu. Trước
# là thời điểm bước bắt đầu, sau là thời điểm nó đến.
# %% role="wrong" name="step_turned"
patch("step(schedule, *model(x, t), t, s)", "step(schedule, *model(x, t), s, t)")

# %% [markdown] lang="en" role="mistake" name="last_step_missing"
# The last step is missing: x stays at the last but one of the times and isn't clean. n + 1 times make n steps, and `pairwise`
# gives all of them.
# %% [markdown] lang="vi" of="db28a605"
# Thiếu bước cuối cùng: x dừng ở thời điểm áp chót và chưa sạch. n + 1 thời điểm là n bước, và `pairwise` cho đủ cả.
# %% role="wrong" name="last_step_missing"
patch("pairwise(timesteps)", "pairwise(timesteps[:-1])")

# %% role="library"
from itertools import islice

import torch

from minidiff.diffusion.samplers import sample
from minidiff.pipelines.inpaint import around_known, shrunk
from minidiff.pretrained.scheduler_config import SchedulerConfig
from minidiff.diffusion.timesteps import uniform


def inpaint(model, picture, hole, eps, schedule, timesteps):
    """The library's route, with DDIM's steps. Its `shrunk` knows square grids: the hole is stretched to one first."""
    h, w = picture.shape[-2:]
    square = hole.repeat_interleave(w, 0).repeat_interleave(h, 1)           # (H w, W h)
    parts = shrunk(square, h * w, "touched")                                # (h w, h w): each cell is w x h of them
    drawn = parts.view(h, w, w, h).any(3).any(1)                            # (h, w)
    config = SchedulerConfig(schedule, "v", "ddim", uniform)
    begin, end, n = [1.0] * bool(timesteps[0] < 1), [0.0] * bool(timesteps[-1] > 0), len(timesteps) - 1
    everything = torch.tensor([*begin, *timesteps, *end], dtype=torch.float64)
    route = around_known(picture, ~drawn, config, made=n + len(end))
    states = route(lambda x, times: sample(model, x, schedule, times), lambda _: eps, everything)
    *_, last = islice(states, n)
    return last.x

# %% role="payoff"
@torch.inference_mode()
def draw(inpaint: Callable) -> Tensor:
    colours = ["green", "yellow", "white"]
    prompts = [f"a {colour} star above a blue house at night" for colour in colours]
    model = pipe.denoiser(prompts, [""] * 3, 3.0)
    three = latent.expand(3, -1, -1, -1), hole, noise.expand(3, -1, -1, -1)
    return pipe.pixels(inpaint(model, *three, schedule, times))


@torch.inference_mode()
def pasted(pixels: Tensor) -> Tensor:
    """The original outside of the hole, to the bit: (B, H, W, 3) uint8."""
    images = torch.from_numpy(to_images(pixels))
    return torch.where(hole[..., None], images, original)


payoff(draw, inpaint)
three = pasted(draw(inpaint))
show(list(three.numpy()))
print("changed outside of the hole:", int((three != original)[:, ~hole].sum()))
for seen in look(load_judge(), three):
    print(sorted(f"{thing.colour} {thing.kind}" for thing in seen.things))
