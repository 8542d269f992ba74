"""Exercise 00.1, to_pixels: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="8"
# ## Numbers into pixels
#
# The VAE gives pictures `(B, 3, H, W)` with numbers of about -1..1: a few step over the edge. A PNG wants `(B, H, W, 3)`
# whole numbers from 0 to 255, of dtype `torch.uint8`. So -1 becomes 0, 1 becomes 255, and in between the nearest whole number
# is taken: 0 lands on 127.5 and becomes 128. Whatever steps over the edge is brought back to it. One line is enough.
# %% [markdown] lang="vi" of="5ba5213f"
# ## Từ con số đến điểm ảnh
#
# VAE cho ra tranh `(B, 3, H, W)` với các số cỡ -1..1: một vài số vượt ra ngoài mép. Tệp PNG cần `(B, H, W, 3)` số nguyên từ 0
# đến 255, kiểu `torch.uint8`. Vậy -1 thành 0, 1 thành 255, ở giữa thì lấy số nguyên gần nhất: 0 rơi vào 127.5 và thành 128.
# Số nào vượt ra ngoài thì kéo về mép. Chỉ cần viết một dòng.

# %% [markdown] lang="en" role="hints"
# Do it on paper for -1, 0 and 1 first. What do you add so that the smallest becomes 0, and what do you multiply by then?
# ---
# In order: `clamp`, add and multiply, `round`, `to(torch.uint8)`, `permute`. After `permute`, axis 0 is old axis 0; which old
# axis must come last?
# ---
# (x + 1) · 127.5 maps -1..1 to 0..255. The old axes are 0 batch, 1 colour, 2 height, 3 width; the new order is batch, height,
# width, colour.
# %% [markdown] lang="vi" of="532e1b24"
# Trước hết hãy tính trên giấy với -1, 0 và 1. Cộng thêm bao nhiêu để số nhỏ nhất thành 0, rồi nhân với bao nhiêu?
# ---
# Theo thứ tự: `clamp`, cộng rồi nhân, `round`, `to(torch.uint8)`, `permute`. Sau `permute`, trục 0 vẫn là trục 0 cũ; trục cũ
# nào phải đứng cuối?
# ---
# (x + 1) · 127.5 đưa -1..1 về 0..255. Các trục cũ là 0 lô, 1 màu, 2 chiều cao, 3 chiều rộng; thứ tự mới là lô, chiều cao,
# chiều rộng, màu.

# %% [markdown] lang="en" role="stub"
# Images (B, 3, H, W), float32 of about -1..1, as pixels (B, H, W, 3), uint8.
# ---
# 1. keep the numbers within -1..1          # (B, 3, H, W)
# 2. shift and stretch them to 0..255
# 3. round, then torch.uint8
# 4. colours last
# return images. ...                        # (B, H, W, 3) uint8, the missing line
# %% [markdown] lang="vi" of="6330ce18"
# Ảnh (B, 3, H, W), số float32 cỡ -1..1, thành điểm ảnh (B, H, W, 3), uint8.
# ---
# 1. giữ các số trong khoảng -1..1          # (B, 3, H, W)
# 2. dịch rồi kéo giãn chúng thành 0..255
# 3. làm tròn, sau đó torch.uint8
# 4. đưa kênh màu ra cuối
# return images. ...                        # (B, H, W, 3) uint8, dòng còn thiếu

# %% role="solution"
def to_pixels(images: Tensor) -> Tensor:
    inside = images.clamp(-1, 1)                            # (B, 3, H, W)
    pixels = ((inside + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1)                       # (B, H, W, 3)

# %% [markdown] lang="en" role="checks"
# - the shape
# - the dtype
# - numbers from -1 to 1
# - numbers a little outside
# - one pale picture, with its axes in memory as the VAE leaves them
# %% [markdown] lang="vi" of="55666bb1"
# - kích thước
# - kiểu số
# - các số từ -1 đến 1
# - các số hơi vượt ra ngoài
# - một bức tranh nhạt màu, các trục nằm trong bộ nhớ như VAE để lại

# %% role="probes"
import torch

INSIDE = 2 * torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)) - 1
INSIDE[0, 0, 0, :3] = torch.tensor([-1.0, 0.0, 1.0])
PALE = torch.rand(1, 3, 6, 4, generator=torch.Generator().manual_seed(2)) - 0.4
VAE_LEAVES = PALE.contiguous(memory_format=torch.channels_last)

probe(lambda f, images: list(f(images).shape), images=INSIDE)
probe(lambda f, images: str(f(images).dtype), images=INSIDE)
probe(lambda f, images: f(images), points=2, images=INSIDE)
probe(lambda f, images: f(images), images=1.2 * INSIDE)
probe(lambda f, images: f(images), images=VAE_LEAVES)

# %% [markdown] lang="en" role="mistake" name="stays_0_to_1"
# Almost every pixel is 0: you brought the numbers to 0..1, and uint8 has nothing between 0 and 1. Where does 255 come in?
# %% [markdown] lang="vi" of="3b7c59d7"
# Gần như điểm ảnh nào cũng bằng 0: bạn đưa các số về 0..1, mà uint8 không có gì nằm giữa 0 và 1. Số 255 phải xuất hiện ở đâu?
# %% role="wrong" name="stays_0_to_1"
patch("((inside + 1) * 127.5).round()", "((inside + 1) / 2)")

# %% [markdown] lang="en" role="mistake" name="no_shift"
# Everything below 0 became black: you treated the numbers as 0..1. Ours are -1..1, so 0 is a middle grey; which number must
# be added before they are stretched?
# %% [markdown] lang="vi" of="7f93197f"
# Mọi số dưới 0 đều thành màu đen: bạn coi các số là 0..1. Ở đây chúng là -1..1, nên 0 là xám trung bình; cần cộng thêm số nào
# trước khi kéo giãn?
# %% role="wrong" name="no_shift"
patch("clamp(-1, 1)", "clamp(0, 1)")
patch("(inside + 1) * 127.5", "inside * 255")

# %% [markdown] lang="en" role="mistake" name="not_halved"
# What is brighter than a middle grey comes out wrong: after 1 is added the numbers are 0..2, and 2 · 255 = 510 does not fit
# into uint8. By what must 2 be multiplied to become 255?
# %% [markdown] lang="vi" of="37ded460"
# Những chỗ sáng hơn xám trung bình bị sai: sau khi cộng 1, các số nằm trong 0..2, mà 2 · 255 = 510 không vừa uint8. Phải nhân
# 2 với bao nhiêu để thành 255?
# %% role="wrong" name="not_halved"
patch("127.5", "255")

# %% [markdown] lang="en" role="mistake" name="truncated"
# Many pixels are one too dark: turning a float into uint8 drops what stands behind the point, so 200.9 becomes 200. What has
# to be done to the numbers first?
# %% [markdown] lang="vi" of="c42da534"
# Nhiều điểm ảnh tối hơn đúng một mức: đổi số thực sang uint8 sẽ bỏ phần sau dấu chấm, nên 200.9 thành 200. Trước đó phải làm
# gì với các số?
# %% role="wrong" name="truncated"
patch(".round()", "")

# %% [markdown] lang="en" role="mistake" name="rounded_too_early"
# Every number is 0 or 255: you rounded while the numbers were still 0..1, and all greys were lost. Stretch them first.
# %% [markdown] lang="vi" of="6499d4ff"
# Số nào cũng là 0 hoặc 255: bạn làm tròn khi các số còn nằm trong 0..1, nên mọi sắc xám đều mất. Hãy kéo giãn trước.
# %% role="wrong" name="rounded_too_early"
patch("((inside + 1) * 127.5).round()", "(((inside + 1) / 2).round() * 255)")

# %% [markdown] lang="en" role="mistake" name="no_clamp"
# Numbers outside -1..1 come out wrong: 257 does not fit into uint8, and what happens to it is not up to you (it may wrap
# round to 1: a black dot in the brightest place). Keep the numbers inside before anything else.
# %% [markdown] lang="vi" of="f214d10a"
# Các số nằm ngoài -1..1 bị sai: 257 không vừa uint8, và nó thành gì thì bạn không quyết định được (có thể quay vòng về 1: một
# chấm đen ngay chỗ sáng nhất). Hãy giữ các số trong khoảng trước mọi việc khác.
# %% role="wrong" name="no_clamp"
patch("images.clamp(-1, 1)", "images")

# %% [markdown] lang="en" role="mistake" name="stretched_to_its_own_range"
# You stretched the numbers from the darkest to the brightest one that happens to be there. So a pale picture turns glaring,
# and every picture changes with the others of its batch. The range is -1..1, whatever is in the picture.
# %% [markdown] lang="vi" of="56737483"
# Bạn kéo giãn từ số tối nhất đến số sáng nhất tình cờ có mặt. Vì thế một bức tranh nhạt màu hóa gắt, và bức nào cũng đổi theo
# các bức khác trong lô. Khoảng số luôn là -1..1, dù trong tranh có gì.
# %% role="wrong" name="stretched_to_its_own_range"
patch("images.clamp(-1, 1)", "images - images.min()")
patch("(inside + 1) * 127.5", "inside / inside.max() * 255")

# %% [markdown] lang="en" role="mistake" name="stays_float"
# The numbers are right, but their dtype is still float: a file keeps each of them in 8 bits, as a whole number. Which method
# changes the dtype?
# %% [markdown] lang="vi" of="026b973f"
# Các số đã đúng nhưng vẫn là số thực: tệp ảnh lưu mỗi số trong 8 bit, dưới dạng số nguyên. Phương thức nào đổi kiểu số?
# %% role="wrong" name="stays_float"
patch(".to(torch.uint8)", "")

# %% [markdown] lang="en" role="mistake" name="channels_first"
# The colours are still in front, (B, 3, H, W). Networks like them there; pictures on a screen have them last, (B, H, W, 3).
# Which method puts axes into another order?
# %% [markdown] lang="vi" of="6e528f30"
# Kênh màu vẫn đứng trước, (B, 3, H, W). Mạng thích như vậy; còn ảnh trên màn hình để kênh màu cuối cùng, (B, H, W, 3). Phương
# thức nào đổi thứ tự các trục?
# %% role="wrong" name="channels_first"
patch(".permute(0, 2, 3, 1)", "")

# %% [markdown] lang="en" role="mistake" name="lying_on_its_side"
# The colours are last, but the picture lies on its side: rows became columns. The order should be batch, height, width,
# colour; look at the numbers you gave to permute (or transpose) once more.
# %% [markdown] lang="vi" of="31c86381"
# Kênh màu đã ở cuối, nhưng bức tranh bị nằm nghiêng: hàng thành cột. Thứ tự đúng là lô, chiều cao, chiều rộng, màu; hãy xem
# lại các số bạn đưa cho permute (hoặc transpose).
# %% role="wrong" name="lying_on_its_side"
patch("permute(0, 2, 3, 1)", "permute(0, 3, 2, 1)")

# %% [markdown] lang="en" role="mistake" name="the_way_back"
# permute(0, 3, 1, 2) is the way back, from (B, H, W, 3) to (B, 3, H, W). The numbers say, for each new axis in turn, which
# old one it is: what must the second one be?
# %% [markdown] lang="vi" of="0fa335ca"
# permute(0, 3, 1, 2) là chiều ngược lại, từ (B, H, W, 3) về (B, 3, H, W). Các số lần lượt cho biết mỗi trục mới là trục cũ
# nào: số thứ hai phải là mấy?
# %% role="wrong" name="the_way_back"
patch("permute(0, 2, 3, 1)", "permute(0, 3, 1, 2)")

# %% [markdown] lang="en" role="mistake" name="reshaped"
# The shape is right, but the numbers stand in the wrong places: reshape and view keep their order and only count them off in
# another way, so that three neighbours of one colour became red, green and blue of one pixel. What moves an axis?
# %% [markdown] lang="vi" of="8b76a2ab"
# Kích thước đã đúng nhưng các số nằm sai chỗ: reshape và view giữ nguyên thứ tự các số, chỉ đếm chúng theo cách khác, nên ba
# số cạnh nhau của cùng một kênh màu lại thành đỏ, lục, lam của một điểm ảnh. Phương thức nào dời được trục?
# %% role="wrong" name="reshaped"
patch("permute(0, 2, 3, 1)", "reshape(len(images), *images.shape[2:], 3)")

# %% role="library"
import torch

from minidiff.utils.images import to_images


def to_pixels(images):
    return torch.from_numpy(to_images(images))

# %% role="payoff"
def draw(to_pixels: Callable) -> Tensor:
    *_, last = pipe.stream(pipe.request(prompt, steps=10))
    pixels = to_pixels(pipe.pixels(last.latents).cpu())         # (1, 128, 128, 3) uint8
    return pixels.permute(0, 3, 1, 2) / 127.5 - 1


payoff(draw, to_pixels)
