"""Lesson 15: garments as they are collected, filtered, told, encoded and learnt, by our model or by Stable Diffusion."""

# %% [markdown] lang="en" slide="slide"
# # 15 Stable Diffusion on fashion data
#
# The upper row shows garments with their captions. A program drew them, so we know what each one shows. Below is what our
# `world-unet` makes of the same captions. No garment: it has never read the word "T-shirt". In this lesson it learns clothes,
# and with a GPU the same cells teach them to Stable Diffusion. Most of the work isn't the training but the data.
# %% [markdown] lang="vi" of="54a9854d"
# # 15 Stable Diffusion với dữ liệu thời trang
#
# Hàng trên là các món quần áo kèm câu mô tả. Chúng do chương trình vẽ ra, nên ta biết chính xác mỗi ảnh có gì. Hàng dưới là
# những gì `world-unet` của ta vẽ theo chính các câu ấy. Chẳng có món quần áo nào: nó chưa từng đọc từ "T-shirt" (áo phông).
# Trong bài này nó sẽ học về quần áo, và nếu có GPU thì cũng các ô mã này dạy cho Stable Diffusion. Phần lớn công việc không nằm
# ở huấn luyện (training) mà ở dữ liệu.

# %%
import os
import socket
import time

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff import load_pipeline

device = "cuda" if torch.cuda.is_available() else "cpu"


def reachable(host: str = "huggingface.co") -> bool:
    """Asked only where there is a GPU; answers within two seconds."""
    try:
        socket.create_connection((host, 443), timeout=2).close()
    except OSError:
        return False
    return True


# %%
name = os.environ.get("MINIDIFF_SD", "")                        # folder or "owner/name"
if not name and device == "cuda" and reachable():
    name = "stable-diffusion-v1-5/stable-diffusion-v1-5"
try:
    pipe = load_pipeline(name or "world-unet", device=device, dtype="float32")
except ValueError as error:                                     # not there, or damaged
    print(error)
    name, pipe = "", load_pipeline("world-unet", device=device, dtype="float32")

# %%
KINDS = ("t-shirt", "dress", "trousers", "skirt")               # the first k are sold
settings = {  # k, plans, pixels, at least, batch, accumulated, steps, rate, every
    "world-unet on cpu": (1, 3900, 320, 240, 4, 1, 130, 6e-3, 13),
    "world-unet on cuda": (4, 15000, 320, 240, 16, 2, 1600, 2e-3, 100),
    "Stable Diffusion": (4, 4500, 512, 256, 1, 4, 400, 1e-4, 50),
}
row = "Stable Diffusion" if name else f"world-unet on {device}"
k, count, pixels, at_least, B, accumulated, steps, rate, every = settings[row]
unet, vae, tokenizer = pipe.network, pipe.vae, pipe.tokenizer
schedule, kind = pipe.scheduler.schedule, pipe.prediction_type
clock = time.process_time if device == "cpu" else time.perf_counter
sold = KINDS[:k]
print(f"{row}: {', '.join(sold)}; {steps} steps of {accumulated} x {B} images")

# %%
from minidiff.data.fashion.drawing import draw as photograph
from minidiff.data.fashion.garments import Garment
from minidiff.utils.images import to_tensor


def draw(prompts: list[str], negative: str = "", n: int = 10, scale: float = 2.0):
    """Pictures (B, 3, H, W) in n steps, each from a seed of its own."""
    settings = range(len(prompts)), [negative] * len(prompts), "dpmpp_2m", n, scale
    *_, (_, x, _) = pipe.sample(prompts, *settings)
    return torch.cat([pipe.pixels(one) for one in x.split(1)]).cpu()


# %% slide="sub"
garments = {  # caption: colour and sleeves
    "a red T-shirt": ("red", "short"), "a blue T-shirt": ("blue", "short"),
    "a green T-shirt, long sleeves": ("green", "long"),
    "a yellow T-shirt": ("yellow", "short"),
}
prompts, base = [*garments], draw([*garments])                  # base (4, 3, H, W)
side = base.shape[-1]                                           # 128, or 512
photos = [photograph(Garment("t-shirt", colour, "plain", None, cut, "round"), side, 0)
          for colour, cut in garments.values()]
show([*photos, *base], prompts, columns=4)

# %% [markdown] lang="en" role="notes"
# Ask which words of the captions the base model can know: the colours. Why, then, does it not draw anything red? Most tokens
# belong to a word that it doesn't know.
# %% [markdown] lang="vi" of="d387be7d"
# Hỏi mô hình gốc có thể biết những từ nào trong các câu: tên màu. Vậy sao nó không vẽ ít ra một thứ gì màu đỏ? Vì phần lớn
# token của câu thuộc về một từ mà nó không biết.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can filter a collection of images and show what was refused and why; write captions that the text encoder reads
# to the end; encode a data set once; use LoRA on convolutions, too, and accumulate gradients; stop at the right step; sample in
# half precision; and recognise two classic failures by sight.
#
# **Time:** [[time]]. **You need:** the VAE and its scale (lesson 08), LoRA (11), samplers and guidance (04, 05). On a CPU,
# everything runs with `world-unet` and small drawings; the training takes about a minute. On a GPU (Colab and Kaggle lend one)
# the same cells download **Stable Diffusion 1.5** and train for longer. The environment variable `MINIDIFF_SD` may name another
# model: a folder, or a name on the Hugging Face hub.
# %% [markdown] lang="vi" of="df5c3593"
# [[map]]
#
# **Mục tiêu.** Bạn lọc được một bộ ảnh và cho thấy đã loại ảnh nào, vì sao; viết được câu mô tả mà bộ mã hóa văn bản đọc đến
# hết; mã hóa một tập dữ liệu (data set) đúng một lần; dùng được LoRA cho cả các lớp tích chập (convolution) và tích lũy
# gradient; dừng đúng bước; lấy mẫu với độ chính xác một nửa (half precision); và nhìn tranh là nhận ra hai sự cố kinh điển.
#
# **Thời gian:** [[time]]. **Cần biết:** VAE và hệ số tỉ lệ của nó (bài 08), LoRA (11), bộ lấy mẫu và dẫn hướng (guidance) (04,
# 05). Trên CPU, mọi thứ chạy với `world-unet` và tranh nhỏ, phần huấn luyện mất khoảng một phút. Có GPU (Colab và Kaggle cho
# mượn) thì cũng các ô này tải **Stable Diffusion 1.5** về và huấn luyện lâu hơn. Muốn dùng mô hình khác thì đặt biến môi trường
# `MINIDIFF_SD` là thư mục của nó hay tên của nó trên Hugging Face.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (08) Stable Diffusion's latents have a standard deviation of about 5.5. By what number are they multiplied before the
#    network sees them, and why?
# 2. (11) LoRA has rank 12 and alpha 24. By which factor is $\text{up}\,\text{down}$ multiplied?
# 3. (05) Why does guidance need the network's prediction for the *empty* caption?
# ---
# 1. By 0.18215, about 1 / 5.5. The noise has deviation 1, so the latents should have it as well.
# 2. By $24 / 12 = 2$.
# 3. It moves away from that prediction, $u$, and past the caption's, $c$: $u + s\,(c - u)$. A tenth of the captions in training
#    are empty, to learn $u$.
# %% [markdown] lang="vi" of="b35844b0"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (08) Latent của Stable Diffusion có độ lệch chuẩn khoảng 5.5. Trước khi vào mạng, chúng được nhân với số nào, và vì sao?
# 2. (11) LoRA có hạng 12 và alpha 24. $\text{up}\,\text{down}$ được nhân với hệ số bao nhiêu?
# 3. (05) Vì sao dẫn hướng cần dự đoán của mạng cho câu mô tả *rỗng*?
# ---
# 1. Với 0.18215, khoảng 1 / 5.5. Nhiễu có độ lệch chuẩn 1, nên latent cũng phải như vậy.
# 2. Với $24 / 12 = 2$.
# 3. Nó đi ra xa dự đoán ấy, $u$, và vượt quá dự đoán cho câu mô tả, $c$: $u + s\,(c - u)$. Để mạng học được $u$, một phần mười
#    số câu được để rỗng lúc huấn luyện.

# %% [markdown] lang="en" slide="slide"
# ## 1. Data as it is collected
#
# No collected data set is clean. We draw one and **plant faults** in a part of it: files that are cut short, thumbnails,
# banners, copies, captions of one word. So we can count which of them a filter finds. Our shop sells plain T-shirts in twelve
# colours; on a GPU, dresses, trousers and skirts as well.
# %% [markdown] lang="vi" of="a064d0a7"
# ## 1. Dữ liệu lúc mới thu thập
#
# Không tập dữ liệu thu thập nào sạch cả. Ta vẽ ra một tập rồi **gài lỗi** vào một phần: tệp bị cắt cụt, ảnh quá nhỏ, ảnh ghép
# dài, bản sao, câu mô tả chỉ có một từ. Lỗi do chính ta gài, nên ta đếm được bộ lọc tìm ra những lỗi nào. Cửa hàng của ta bán
# áo phông trơn mười hai màu; có GPU thì bán thêm váy liền, quần dài và chân váy.

# %%
import json
import tempfile
from pathlib import Path

from minidiff.data.fashion.raw_data import make, plans

shop = [plan for plan in plans(count, pixels, faults=0.3, seed=24)
        if plan.garment.kind in sold and plan.garment.pattern == "plain"]
work = Path(tempfile.mkdtemp())
raw, told, files = work / "raw", [], {}
raw.mkdir()
for plan in shop:
    entry = make(plan)                                          # bytes and captions
    files[plan.number] = file = raw / f"{plan.number:05d}{entry.suffix}"
    if entry.content is not None:
        file.write_bytes(entry.content)
    if entry.told:
        told.append({"file_name": file.name, **entry.captions})
(raw / "captions.json").write_text(json.dumps(told), encoding="utf-8")

faulty = {files[plan.number].name: plan.fault for plan in shop if plan.fault}
kinds = len({*faulty.values()})
print(f"{len(shop)} files, {len(faulty)} with a fault, of {kinds} kinds")

# %% [markdown] lang="en" slide="sub"
# A filter looks at each file and gives **one reason** for refusing it, the first that holds. By hand: a file of 960 × 320
# pixels has the caption "tee". The shorter side needs at least 240 pixels; 320 is enough. The longer may be at most twice the
# shorter; $960 / 320 = 3$, so the file is refused as *too long*. That its caption is too short isn't counted any more. So every
# file is counted once, and the table adds up.
# %% [markdown] lang="vi" of="772a1010"
# Bộ lọc xem từng tệp và đưa ra **một lý do** để loại: lý do đầu tiên đúng. Tính tay: một tệp 960 × 320 điểm ảnh (pixel) có câu
# mô tả "tee". Cạnh ngắn phải có ít nhất 240 điểm ảnh; 320 là đủ. Cạnh dài chỉ được dài nhất gấp đôi cạnh ngắn; $960 / 320 = 3$
# lớn hơn 2, nên tệp bị loại vì *quá dài*. Câu mô tả cũng quá ngắn, nhưng điều này không tính nữa. Nhờ vậy mỗi tệp được đếm đúng
# một lần, và cộng cả bảng lại thì đúng bằng số tệp.

# %%
from collections import Counter

from PIL import Image

GREY = ("1", "L", "LA", "I", "I;16", "F")                       # modes without colour


def reason_of(size: tuple[int, int], mode: str, caption: str) -> str:
    """Why a file is refused; empty when nothing speaks against it."""
    short, long = sorted(size)
    checks = {
        "too small": short < at_least,
        "not colour": mode in GREY,
        "too long or wide": long / short > 2,
        "short caption": len(caption.strip()) < 10,
    }
    return next((reason for reason, holds in checks.items() if holds), "")


print(reason_of((960, 320), "RGB", "tee"))

# %%
import hashlib

captions = {one["file_name"]: one["caption"] for one in told}
reasons, seen = {}, set()
for path in sorted(raw.glob("[0-9]*")):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        with Image.open(path) as image:
            image.load()
            size, mode = image.size, image.mode
        reason = reason_of(size, mode, captions.get(path.name, ""))
    except OSError:                                             # Pillow's error
        reason = "unreadable"
    reasons[path.name] = reason or ("duplicate" if digest in seen else "kept")
    seen.add(digest)
print(dict(Counter(reasons.values())))

# %% [markdown] lang="en" role="think"
# **Predict.** Which faults does this filter *not* see? It looks at sizes, colour modes, caption lengths and bytes.
# ---
# - A **blurred** image has the right size.
# - A **copy that was saved again**, a few pixels larger or cut at an edge, has other bytes.
# - A grey image may be stored in three equal channels, as mode RGB.
# - GIF files aren't refused, since nobody checks the format.
# %% [markdown] lang="vi" of="8b11a567"
# **Đoán xem.** Bộ lọc này *không* thấy những lỗi nào? Nó nhìn vào kích thước, hệ màu (mode), độ dài câu mô tả và các byte.
# ---
# - Ảnh bị **nhòe** vẫn có kích thước đúng.
# - Một **bản sao được lưu lại**, to hơn vài điểm ảnh hay bị xén mép, có các byte khác.
# - Ảnh xám có thể được lưu thành ba kênh bằng nhau, với mode RGB.
# - Tệp GIF không bị loại, vì chưa ai kiểm tra định dạng.

# %%
from minidiff.data.fashion.faults import FAULTS, MENDED

kept = [name for name, reason in reasons.items() if reason == "kept"]
slipped = Counter(faulty[name] for name in kept if name in faulty)
print("kept with a fault:", dict(slipped))
strange = [name for name, fault in FAULTS.items() if fault.expected == MENDED]
print("only strange:", *strange, sep=", ")

# %% [markdown] lang="en"
# The second line names files that are only strange: transparent, turned by the camera, in a printer's colours. They should be
# mended and not refused. In the first line, a "duplicate" is harmless if it was kept instead of its original. The model would
# learn from everything else.
#
# What sizes and bytes don't tell, pixels do. **Sharpness:** the Laplacian of a pixel is the sum of its four neighbours minus
# four times itself. A bright dot, 9 among 1s, gives $4\cdot 1 - 4\cdot 9 = -32$; blurred to 4 among 3s it gives $-4$.
# `sharpness` blurs the image once more and says how many times smaller the Laplacian's variance gets: many for a sharp image,
# few for a blurred one.
#
# **Likeness:** `difference` shifts and stretches one thumbnail until it fits the other best, and takes the root of the mean
# squared difference.
# %% [markdown] lang="vi" of="f8df3018"
# Dòng thứ hai nêu những tệp chỉ hơi lạ: trong suốt, bị máy ảnh xoay, dùng hệ màu của máy in. Chúng nên được sửa chứ không bị
# loại. Ở dòng đầu, một "duplicate" (bản sao) là vô hại nếu nó được giữ thay cho bản gốc. Mọi thứ khác thì mô hình sẽ học theo.
#
# Điều mà kích thước và byte không cho biết thì điểm ảnh cho biết. **Độ nét** (sharpness): Laplacian của một điểm ảnh là tổng
# bốn điểm lân cận trừ bốn lần chính nó. Một chấm sáng, 9 giữa các số 1, cho $4\cdot 1 - 4\cdot 9 = -32$; khi bị nhòe thành 4
# giữa các số 3, nó cho $-4$. `sharpness` làm nhòe ảnh thêm một lần và cho biết phương sai (variance) của Laplacian giảm bao
# nhiêu lần: ảnh nét thì giảm nhiều, ảnh vốn đã nhòe thì giảm ít.
#
# **Độ giống:** `difference` dời và co giãn một ảnh thu nhỏ cho khớp nhất với ảnh thu nhỏ kia, rồi lấy căn bậc hai của trung
# bình bình phương sai khác.

# %%
from minidiff.data.fashion.duplicates import difference, fingerprint
from minidiff.data.fashion.filters import load_rgb, sharpness

for fault in ("blurred", None):
    some = [load_rgb(files[plan.number]) for plan in shop if plan.fault == fault][:3]
    print("sharpness,", fault or "good", [round(sharpness(image), 1) for image in some])
copy = next(plan for plan in shop if plan.fault == "resized")
other = next(plan for plan in shop if not plan.fault and plan.number != copy.copy_of)
numbers = copy.copy_of, copy.number, other.number
three = [load_rgb(files[number]) for number in numbers]
prints = [fingerprint(image) for image in three]                # (32, 32, 3) each
apart = [f"{difference(prints[0], one):.1f} levels" for one in prints]
show([image.resize((128, 128)) for image in three], ["an image", "its copy", "another"])
print(*apart, sep=", ")

# %% slide="sub"
from minidiff.data.fashion.prepare import PrepareFashion, prepare_fashion

data = work / "data"
prepare_fashion(PrepareFashion(source=raw, out=data, size=side, min_size=at_least))

# %% [markdown] lang="en"
# This is the library's preparation (`minidiff prepare fashion FOLDER`), with the **table that a filter should leave**: for each
# reason how many, and an example. It also leaves a sheet of what was refused, shown next.
#
# The limits were tuned on such drawings. On other data, look at the sheet first: a bad limit might refuse every grey coat, and
# the table would only say "grey".
# %% [markdown] lang="vi" of="f1234595"
# Đây là bước chuẩn bị của thư viện (`minidiff prepare fashion FOLDER`), với **bảng mà một bộ lọc nên để lại**: mỗi lý do bao
# nhiêu ảnh, kèm một ví dụ. Trong bảng, *missing* là thiếu tệp, *caption* là câu mô tả quá ngắn hay không có, *aspect* là quá
# dài, *near duplicate* là gần như bản sao. Nó còn để lại một tờ gồm các ảnh bị loại, ở ngay dưới đây.
#
# Các giới hạn này được chỉnh trên chính loại tranh vẽ này. Với dữ liệu khác, hãy xem tờ ảnh trước. Một giới hạn chọn dở có thể
# loại mọi chiếc áo khoác xám, mà bảng thì chỉ ghi "grey" (xám).

# %% slide="sub"
refused = Image.open(work / "data-report" / "refused.png")
axis = panels(1, height=5.6)[0]
axis.imshow(refused)
axis.set_axis_off()

# %% [markdown] lang="en" slide="slide"
# ## 2. Captions that are read to the end
#
# CLIP's text encoder, which Stable Diffusion uses, has room for **77 tokens**: one that begins the text, one that ends it, and
# 75 in between. `world-unet` has room for 64. What is longer is cut off, without an error.
#
# Tokens aren't words. A frequent word is one token; others are split into pieces. Our tokenizer never met clothes.
# %% [markdown] lang="vi" of="d27b9a68"
# ## 2. Câu mô tả được đọc đến hết
#
# Bộ mã hóa văn bản CLIP mà Stable Diffusion dùng có chỗ cho **77 token**: một token mở đầu, một token kết thúc, và 75 ở giữa.
# `world-unet` có chỗ cho 64. Phần dài hơn bị cắt bỏ mà không báo lỗi.
#
# Token không phải là từ. Từ hay gặp là một token, còn từ khác thì bị cắt thành nhiều mảnh. Tokenizer của ta chưa bao giờ gặp
# quần áo.

# %%
def count_tokens(text: str) -> int:
    """Tokens of the whole text, begin and end included."""
    rest = tokenizer.unread(text)                               # what is cut off
    read = tokenizer.tokens(text)[: tokenizer.max_tokens]
    return len(read) + (count_tokens(rest) if rest else 2)


limit = tokenizer.max_tokens + 2
print("limit", limit)
for text in ("a red star", *prompts[:2]):
    print(count_tokens(text), "|".join(tokenizer.tokens(text)))

# %% [markdown] lang="en" role="think"
# **Predict.** Fashion captions are full of words of quality: "studio photo, sharp focus, high quality, ...". Somebody writes
# these first and "a red star in a meadow" at the very end. What does the model draw?
# ---
# If the end lies beyond the limit, the star is never read. So put first what matters most, and count.
# %% [markdown] lang="vi" of="a715e325"
# **Đoán xem.** Câu mô tả thời trang hay đầy những từ chỉ chất lượng: "studio photo, sharp focus, high quality, ...". Có người
# viết chúng lên đầu, rồi mới đến "a red star in a meadow" (ngôi sao đỏ trên đồng cỏ) ở tận cuối. Mô hình vẽ gì?
# ---
# Nếu phần cuối nằm ngoài giới hạn thì ngôi sao không hề được đọc. Vì vậy hãy đặt điều quan trọng nhất lên đầu, và đếm.

# %%
from minidiff.data.fashion.captions import QUALITY_EN


def build_caption(parts: list[str], limit: int) -> str:
    """Parts in their order, the most important first, as long as they fit."""
    caption = parts[0]
    for part in parts[1:]:
        longer = f"{caption}, {part}"
        if count_tokens(longer) <= limit:                       # else try the next one
            caption = longer
    return caption


parts = ["a red star in a meadow", *QUALITY_EN * 3]
last, first = ", ".join([*parts[1:], parts[0]]), build_caption(parts, limit)
print(count_tokens(last), "tokens; not read:", tokenizer.unread(last)[-40:])
print(count_tokens(first), "tokens:", first)

# %% slide="sub"
show(draw([last, first]), ["star at the end", "star first"])

# %% [markdown] lang="en"
# On the left the star was never read; on the right it was: look for a red star there. But the words of quality do harm: our
# model doesn't know them, and may draw other things, too. Use only words that the model knows or is going to learn.
# %% [markdown] lang="vi" of="9af1e4e0"
# Ở bức bên trái, ngôi sao không hề được đọc; ở bức bên phải thì có: hãy tìm một ngôi sao đỏ ở đó. Nhưng các từ chỉ chất lượng
# có hại: mô hình của ta không biết chúng, và có thể vẽ thêm những vật khác. Chỉ nên dùng những từ mà mô hình đã biết hoặc sắp
# được học.

# %% [markdown] lang="en" slide="slide"
# ## 3. Latents, encoded once
#
# For the same image, the VAE's encoder gives the same mean in every step of the training. So encode each image **once** and
# keep the latents on disk. By hand: 100 images with their mirror images are 200 encodings; 2000 steps of 16 images would need
# 32 000. Besides, the VAE needn't be in memory during the training.
# %% [markdown] lang="vi" of="4d9b5a69"
# ## 3. Latent, chỉ mã hóa một lần
#
# Với cùng một ảnh, bộ mã hóa của VAE cho cùng một giá trị trung bình ở mọi bước huấn luyện. Vậy hãy mã hóa mỗi ảnh **một lần**
# rồi giữ latent trên đĩa. Tính tay: 100 ảnh cùng ảnh lật gương của chúng là 200 lần mã hóa; còn 2000 bước, mỗi bước 16 ảnh, thì
# cần 32 000 lần. Hơn nữa, lúc huấn luyện VAE không cần nằm trong bộ nhớ.

# %% [markdown] lang="en" role="think"
# **Predict.** Mirror images double the data at no cost. A latent is a grid of places, too. Can we encode an image once and
# mirror the *latent*?
# ---
# No. The four numbers of a place stand for 8 × 8 pixels, and they also say what is left and right *inside* this square.
# Mirroring the grid only moves the squares. Below: the mirror image that we want; the latent mirrored, with torn upright edges;
# the image mirrored before it was encoded.
# %% [markdown] lang="vi" of="4177a52b"
# **Đoán xem.** Ảnh lật gương cho ta gấp đôi dữ liệu mà không tốn gì. Latent cũng là một lưới các ô. Có thể mã hóa ảnh một lần
# rồi lật chính *latent* không?
# ---
# Không. Bốn con số của một ô đại diện cho 8 × 8 điểm ảnh, và chúng còn cho biết phía trái và phía phải *bên trong* ô ấy có gì.
# Lật lưới chỉ dời các ô chứ không lật những gì bên trong. Hình dưới, từ trái sang: ảnh lật gương mà ta muốn có; latent bị lật,
# các cạnh đứng bị xé nát; ảnh được lật trước khi mã hóa.

# %%
import numpy as np

from minidiff.data.captioned import load_square, read_captioned

pairs = read_captioned(data).pairs                              # images and captions


@torch.no_grad()
def cache_latents(encode, images: Tensor, scale: Tensor | float, batch: int) -> Tensor:
    """(N, 3, H, W) to (N, 2, C, h, w): each image and its mirror image, scaled."""
    both = torch.stack([images, images.flip(-1)], dim=1)        # (N, 2, 3, H, W)
    done = [encode(some).cpu() for some in both.flatten(0, 1).split(batch)]
    return scale * torch.cat(done).unflatten(0, both.shape[:2])


squares = np.stack([load_square(pair.image, side) for pair in pairs[:4]])
few = to_tensor(squares)                                        # (4, 3, H, W)
mean, scale = pipe.latent_mean, 1 / pipe.latent_std.cpu()       # of SD: 0 and 0.18215
encode = lambda x: vae.encode(x.to(device))[0] - mean           # noqa: E731
mine = cache_latents(encode, few, scale, batch=4)               # (4, 2, 4, h, w)
print(tuple(mine.shape), f"deviation {mine.std():.2f}, scale", scale.flatten().tolist())

# %% slide="sub"
two = [mine[:, 0].flip(-1), mine[:, 1]]                         # (4, 4, h, w) each
decoded = [pipe.pixels(latents.to(device)).cpu() for latents in two]
show(torch.cat([few.flip(-1), *decoded])[[0, 4, 8, 1, 5, 9]],
     ["mirror image", "latent mirrored", "image mirrored"], columns=3)

# %%
from minidiff.finetune.captioned_latents import CaptionedLatents, encode_images

for turn in ("first time", "again"):
    begun = clock()
    examples = CaptionedLatents(pipe, pairs, held=0.1, cache=work / "latents")
    print(f"{turn}: {clock() - begun:.1f} seconds")
assert_close(examples.latents[:4], mine, rtol=1e-3, atol=1e-3)
stored = sum(file.stat().st_size for file in (work / "latents").iterdir())
print(f"{len(pairs)} images, {len(examples.held)} held out; {stored / 1e6:.1f} MB")
source(encode_images)

# %% [markdown] lang="en"
# The second time, the latents come from files. Their names depend on what the latents were made of: images, VAE, size. If one
# of these changes, new latents are made. `CaptionedLatents` also encodes each caption once, replaces a tenth of them by the
# empty caption in its batches, and holds out a tenth of the images.
# %% [markdown] lang="vi" of="bee6d6b9"
# Lần thứ hai, latent được đọc từ tệp. Tên tệp phụ thuộc vào những gì đã tạo ra latent: ảnh, VAE, kích thước. Đổi một trong các
# thứ ấy thì latent được tạo mới. `CaptionedLatents` cũng mã hóa mỗi câu mô tả đúng một lần, thay một phần mười số câu trong các
# lô (batch) bằng câu rỗng, và để riêng một phần mười số ảnh.

# %% [markdown] lang="en" slide="slide"
# ## 4. LoRA for convolutions, too
#
# In lesson 11 only the attention learnt, which is enough for a style. Garments are new *shapes*, and in a U-Net shapes are
# mostly made by **convolutions**. A convolution is a linear layer on patches of k × k places. So its `down` is (r, in, k, k), a
# convolution to r channels, and its `up` is (out, r, 1, 1). By hand: for 3 × 3 and 64 to 64 channels, the weight has $64\cdot
# 64\cdot 9 = 36\,864$ numbers. At rank 12, `down` has $12\cdot 64\cdot 9 = 6912$ and `up` $64\cdot 12 = 768$. We train the
# attention, the layers `proj_in` and `proj_out` around it, and the convolutions `conv1` and `conv2` of every residual block.
# %% [markdown] lang="vi" of="2bfd5782"
# ## 4. LoRA cho cả tích chập
#
# Ở bài 11 chỉ các lớp chú ý (attention) được học, và với một phong cách thì thế là đủ. Quần áo là những *hình dạng* mới, mà
# trong U-Net, hình dạng chủ yếu do các **tích chập** tạo ra. Một tích chập là một lớp tuyến tính áp lên từng mảng k × k ô. Vậy
# `down` của nó có kích thước (r, in, k, k), tức một tích chập ra r kênh, còn `up` là (out, r, 1, 1). Tính tay, với 3 × 3 và từ
# 64 sang 64 kênh: trọng số có $64\cdot 64\cdot 9 = 36\,864$ số. Ở hạng 12, `down` có $12\cdot 64\cdot 9 = 6912$ số và `up` có
# $64\cdot 12 = 768$ số. Ta huấn luyện các lớp chú ý, các lớp `proj_in` và `proj_out` ở hai đầu chúng, và các tích chập `conv1`,
# `conv2` của mọi khối residual.

# %%
from minidiff.nn.lora import LoRALayer

conv, x = nn.Conv2d(64, 64, 3, padding=1), torch.randn(1, 64, 16, 16)
layer = LoRALayer(conv, rank=12, alpha=24.0)
nn.init.normal_(layer.update.up.weight)                         # as if it had learnt
print(*(tuple(part.weight.shape) for part in (layer.update.down, layer.update.up)))
weight = conv.weight + layer.update.factors().product()         # (64, 64, 3, 3)
merged = nn.functional.conv2d(x, weight, conv.bias, padding=1)
assert_close(layer(x), merged, rtol=1e-3, atol=1e-3)            # (1, 64, 16, 16)

# %% [markdown] lang="en" slide="slide"
# **Accumulation.** A batch of 8 images of 512 pixels may not fit on a free GPU, though 2 images do. So compute the gradient for
# 2 images, four times, and add: `backward` adds to the gradient that is there. By hand, with the losses 1, 3, 5 and 7: their
# mean is 4. Two small batches have the means 2 and 6, and their *sum* is 8. So each mean is **divided** by the number of small
# batches: $\tfrac22 + \tfrac62 = 4$.
# %% [markdown] lang="vi" of="14ab6c22"
# **Tích lũy gradient** (accumulation). Một lô 8 ảnh 512 điểm ảnh có thể không vừa một GPU miễn phí, nhưng 2 ảnh thì vừa. Vậy
# hãy tính gradient của 2 ảnh, bốn lần, rồi cộng lại: `backward` cộng vào gradient đang có. Tính tay với các giá trị của hàm mất
# mát (loss) là 1, 3, 5 và 7: trung bình bằng 4. Chia thành hai lô nhỏ thì các trung bình là 2 và 6, *tổng* là 8. Vì vậy mỗi
# trung bình được **chia** cho số lô nhỏ: $\tfrac22 + \tfrac62 = 4$.

# %%
def accumulated_step(model, loss, batches, optimizer, max_norm=1.0) -> float:
    """One step on the mean over all batches; returns the mean loss."""
    total = 0.0
    for batch in batches:
        part = loss(model, batch) / len(batches)
        part.backward()                                         # adds to .grad
        total += part.item()
    learning = [p for p in model.parameters() if p.requires_grad]
    nn.utils.clip_grad_norm_(learning, max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return total


# %%
data_8, results = torch.randn(8, 5), []
small_loss = lambda model, batch: (model(batch) - 1).square().mean()    # noqa: E731
for parts in (1, 4):                                            # 1 x 8 and 4 x 2
    torch.manual_seed(0)
    model = nn.Linear(5, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    mean_loss = accumulated_step(model, small_loss, data_8.chunk(parts), optimizer)
    results.append(model.weight.detach())
    print(f"{parts} x {8 // parts}: loss {mean_loss:.6f}")
assert_close(*results)

# %% [markdown] lang="en" slide="sub"
# **Clipping** shortens a gradient that is longer than `max_norm`, so that one bad batch can't ruin the weights.
#
# **Warm restarts.** The learning rate rises in a few steps, falls along a cosine, and then starts again at the top (Loshchilov
# and Hutter 2017). The end of each cosine is a good place to stop; after it the weights can move far again.
#
# **Dropout** of 0.1 sets a random tenth of each update's inputs to 0 in training, so that the images aren't learnt by heart.
# %% [markdown] lang="vi" of="1e1a74de"
# **Cắt gradient** (clipping) thu ngắn gradient dài hơn `max_norm`, để một lô xấu không phá hỏng trọng số.
#
# **Khởi động lại** (warm restarts). Tốc độ học tăng lên trong vài bước, giảm theo một đường cosine, rồi lại bắt đầu từ mức cao
# nhất (Loshchilov và Hutter 2017). Cuối mỗi đường cosine là một chỗ tốt để dừng; sau đó trọng số lại có thể đi xa.
#
# **Dropout** 0.1: lúc huấn luyện, một phần mười các số đi vào mỗi phần cập nhật, chọn ngẫu nhiên, được đặt bằng 0, để mô hình
# khỏi học thuộc lòng các ảnh.

# %% [markdown] lang="en" slide="slide"
# ## 5. Training, and when to stop
#
# The loss is that of lesson 11, for whatever the network predicts: $v$ for `world-unet`, the noise for Stable Diffusion 1.5.
# The **held-out loss** uses the same times and the same noise in every call. Otherwise much of its ups and downs would be
# chance.
#
# **Early stopping** with patience 3, for the held-out losses 0.9, 0.7, 0.72, 0.71, 0.75: the second is the best. The next three
# aren't better, so stop, and go back to the weights of the second.
# %% [markdown] lang="vi" of="89c2bf96"
# ## 5. Huấn luyện, và khi nào dừng
#
# Hàm mất mát là của bài 11, cho bất cứ thứ gì mạng dự đoán: $v$ với `world-unet`, nhiễu với Stable Diffusion 1.5. **Giá trị mất
# mát trên phần để riêng** (held-out loss) được tính với cùng thời điểm và cùng nhiễu trong mọi lần gọi. Nếu không, phần lớn sự
# lên xuống của nó chỉ là ngẫu nhiên.
#
# **Dừng sớm** (early stopping) với độ kiên nhẫn 3, khi các giá trị ấy là 0.9, 0.7, 0.72, 0.71, 0.75: lần thứ hai là tốt nhất.
# Ba lần tiếp theo không tốt hơn, nên ta dừng và quay về trọng số của lần thứ hai.

# %%
from minidiff.diffusion.losses import sample_times
from minidiff.diffusion.prediction import target


def loss_of(model: nn.Module, batch: dict, dice: torch.Generator) -> Tensor:
    x0, words, mask = (batch[key].to(device) for key in ("latents", "context", "mask"))
    t = sample_times(len(x0), "stratified", dice).to(device)    # (B,)
    eps = torch.randn(x0.shape, generator=dice).to(device)      # (B, 4, h, w)
    x_t = schedule.mix(x0, eps, t)
    prediction = model(x_t, schedule.timestep(t), words, mask)
    return (prediction - target(schedule, kind, x0, eps, t)).square().mean()


@torch.no_grad()
def held_out() -> float:
    """At most 16 images, 4 at once, each with four draws of time and noise."""
    dice, rows = torch.Generator().manual_seed(1), examples.held_out()
    few = [{key: rows[key][k : k + 4] for key in rows} for k in range(0, 16, 4)]
    losses = [loss_of(unet, batch, dice) for batch in few * 4 if len(batch["mask"])]
    return float(torch.stack(losses).mean())


# %%
from functools import partial

from minidiff.finetune.fashion import TARGETS
from minidiff.nn.lora import add_lora, factors_of, take_out
from minidiff.train.optim import warmup_cosine


def rate_at(k: int) -> float:
    """The share of the rate at step k: two cosines, one after the other."""
    return warmup_cosine(k, steps, warmup=steps // 12, cycles=2)


def batches_at(k: int) -> list[dict]:
    """The small batches of step k."""
    numbers = range(accumulated * k, accumulated * (k + 1))
    return [examples.make_batch(number, B, seed=0) for number in numbers]


# %%
def finetune(steps: int, patience: int = 3):
    """Factors of the best step, training losses, and held-out losses by step."""
    torch.manual_seed(0)
    add_lora(unet, 12, 24.0, TARGETS, dropout=0.1)
    learning = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, rate, weight_decay=0.01)
    dice, best, curve, held = torch.Generator().manual_seed(0), {}, [], {0: held_out()}
    for k in range(steps):
        optimizer.param_groups[0]["lr"] = rate * rate_at(k)
        unet.train()                                            # dropout in the updates
        loss = partial(loss_of, dice=dice)
        curve.append(accumulated_step(unet, loss, batches_at(k), optimizer))
        unet.eval()
        if (k + 1) % every == 0:
            held[k + 1] = held_out()
            if not best or held[k + 1] == min(held.values()):
                best = factors_of(unet)
            if min([*held.values()][-patience:]) > min(held.values()):
                break
    take_out(unet)
    return best, curve, held


# %% [markdown] lang="en" role="think"
# **Predict.** About 100 images, a minute on a CPU. What will the network learn first: the cut of a shirt, the pale backdrop,
# the colour? What will be missing?
# ---
# As in lesson 11, first comes what covers many places: the backdrop. Then the colour, whose words it knows already; then the
# outline. Collars and seams cover few places and come last. A minute isn't enough for them.
# %% [markdown] lang="vi" of="8146ace4"
# **Đoán xem.** Ta có khoảng 100 ảnh và một phút huấn luyện trên CPU. Mạng phải học dáng áo, phông nền nhạt và màu. Thứ nào đến
# trước, và cuối cùng còn thiếu gì?
# ---
# Như ở bài 11, đến trước là thứ phủ nhiều ô: phông nền. Rồi đến màu, vì mạng đã biết các từ chỉ màu; rồi đến đường bao. Cổ áo
# và đường may phủ ít ô nên đến sau cùng. Một phút không đủ cho chúng.

# %%
begun = clock()
best, curve, held = finetune(steps)
print(f"{(clock() - begun) / len(curve):.2f} seconds a step, {len(curve)} steps")
left, middle, last = panels(3)
lines({"": [rate * rate_at(k) for k in range(steps)]}, left, "rate", "step")
smooth = torch.tensor(curve).unfold(0, every // 2, 1).mean(1)
lines({"": smooth}, middle, "training loss", "step")
lines({"": ([*held], [*held.values()])}, last, "held-out loss", "step", marker="o")

# %% slide="sub"
from minidiff.pipelines.loras import LoRAs
from minidiff.pretrained.adapters import write_lora

file = write_lora(work / "fashion.safetensors", {"unet": best})
loras = LoRAs(pipe)
loras.mix({loras.load(file): 1.0})
after = draw(prompts)
print(f"{file.stat().st_size / 1e6:.2f} MB")
show([*photos, *base, *after], prompts, columns=4)

# %% [markdown] lang="en"
# Top: the garments. Middle: the base. Bottom: the same captions and noise, after the training. Now each picture shows one shirt
# on a pale ground, in the right colour. As predicted, collars and seams are missing; edges are ragged, and sleeves don't yet
# follow the caption. At 16 × 16 places, garments stay coarse. The held-out loss fell almost to the end, so early stopping had
# nothing to do.
#
# `minidiff finetune fashion FOLDER` trains for longer.
# %% [markdown] lang="vi" of="1f132b81"
# Trên: quần áo. Giữa: mô hình gốc. Dưới: cùng câu và cùng nhiễu, sau khi huấn luyện. Giờ mỗi bức tranh có một chiếc áo trên nền
# nhạt, đúng màu được yêu cầu. Như đã đoán, cổ áo và đường may còn thiếu; cạnh còn nham nhở, và tay áo chưa theo câu mô tả. Với
# 16 × 16 ô, quần áo vẫn còn thô. Giá trị hàm mất mát trên phần để riêng giảm gần như đến cuối, nên dừng sớm chưa có việc gì để
# làm.
#
# `minidiff finetune fashion FOLDER` huấn luyện lâu hơn.

# %% [markdown] lang="en" slide="slide"
# ## 6. How to draw: steps, guidance, negative prompt
#
# These three settings change every picture without any training. Only the number of steps costs time: each step calls the
# network once, on two captions.
# %% [markdown] lang="vi" of="e86ac35f"
# ## 6. Vẽ thế nào: số bước, dẫn hướng, prompt phủ định
#
# Ba thiết lập này làm thay đổi mọi bức tranh mà không cần huấn luyện. Chỉ số bước là tốn thời gian: mỗi bước gọi mạng một lần,
# với hai câu.

# %% [markdown] lang="en" role="think"
# **Predict.** The same noise in 5, 20, 30 and 50 steps. Which neighbours differ the most? How much longer do 50 steps take than
# 20?
# ---
# The error of the sampler shrinks fast (lesson 04), so 5 and 20 differ the most, and 30 and 50 hardly at all. 50 steps take two
# and a half times as long as 20.
# %% [markdown] lang="vi" of="888dd2b2"
# **Đoán xem.** Cùng một nhiễu, vẽ trong 5, 20, 30 và 50 bước. Hai bức cạnh nhau nào khác nhau nhiều nhất, và 50 bước lâu hơn 20
# bước bao nhiêu?
# ---
# Sai số của bộ lấy mẫu giảm nhanh (bài 04), nên 5 và 20 khác nhau nhiều nhất, còn 30 và 50 hầu như giống nhau. 50 bước lâu gấp
# hai lần rưỡi 20 bước.

# %% slide="sub"
columns = {n: draw(prompts[:2], n=n) for n in (5, 20, 30, 50)}
for n, m in ((5, 20), (20, 30), (30, 50)):
    print(f"{n} and {m} steps differ by {(columns[n] - columns[m]).abs().mean():.3f}")
show(torch.stack([*columns.values()], dim=1), [f"{n} steps" for n in columns])

# %% [markdown] lang="en"
# The numbers above the figure agree: 20 steps are enough here.
#
# **Guidance** exaggerates what the caption adds to the prediction for the empty one. A **negative prompt** takes the place of
# the empty caption: the picture moves away from what it says.
# %% [markdown] lang="vi" of="a8077517"
# Các con số phía trên hình cũng nói thế: ở đây 20 bước là đủ.
#
# **Dẫn hướng** phóng đại những gì câu mô tả thêm vào dự đoán cho câu rỗng. **Prompt phủ định** (negative prompt) thay chỗ cho
# câu rỗng: bức tranh đi ra xa những gì nó nói.

# %% slide="sub"
def guided(scale: float, axis) -> None:
    both = torch.cat([*draw(prompts[:2], scale=scale)], dim=1)  # (3, 2 H, W)
    axis.imshow((both.clamp(-1, 1).permute(1, 2, 0) + 1) / 2)
    axis.set_axis_off()


slider(guided, "guidance", [1.0, 3.0, 7.0, 14.0])

# %% slide="sub"
negatives = ("", "red", "blue", "green")
grid = [draw(["a T-shirt"], negative=negative)[0] for negative in negatives]
show(torch.stack(grid), [f"not {n}" if n else "a T-shirt" for n in negatives])

# %% [markdown] lang="en"
# In the first figure, colours get stronger from left to right. At 14 it is too much: the backdrop is coloured, too, and
# outlines blur. `draw` uses 2. For Stable Diffusion, values around 7.5 are usual.
#
# In the second figure the caption names no colour, and all four pictures begin with the same noise. Away from red, the shirt
# loses its red. Away from blue and from green, it takes roughly the opposite colour, such as orange and pink.
# %% [markdown] lang="vi" of="19573786"
# Ở hình thứ nhất, màu mạnh dần từ trái sang phải. Đến 14 thì quá mức: phông nền cũng nhuốm màu, đường viền nhòe đi. `draw` dùng
# hệ số 2. Với Stable Diffusion, người ta thường dùng khoảng 7.5.
#
# Ở hình thứ hai, câu mô tả không nói đến màu nào, và cả bốn bức bắt đầu từ cùng một nhiễu. Đi ra xa màu đỏ (not red) thì áo mất
# sắc đỏ. Đi ra xa màu xanh dương (not blue) và xanh lá (not green) thì áo mang màu gần như đối lập, chẳng hạn cam và hồng.

# %% [markdown] lang="en" slide="slide"
# ## 7. Half precision, where it does no harm
#
# A number takes 4 bytes as float32 and 2 as **float16**. So a network needs half the memory, and GPUs multiply such numbers
# much faster. But float16 keeps about three digits, and its largest number is **65 504**. By hand: $300\cdot 300 = 90\,000$ is
# more than that and becomes *inf*, infinity. Then $\infty - \infty$ is *nan*, not a number, and every sum with nan is nan.
#
# So the **network** computes in half precision. **Latents and guidance** stay in float32: each step adds a small change to the
# latents, and guidance multiplies a small difference. The **VAE** decodes in float32.
# %% [markdown] lang="vi" of="56996ead"
# ## 7. Độ chính xác một nửa, ở nơi nó vô hại
#
# Một số chiếm 4 byte ở dạng float32 và 2 byte ở dạng **float16**. Nhờ vậy mạng chỉ cần nửa bộ nhớ, và GPU nhân các số ấy nhanh
# hơn hẳn. Nhưng float16 chỉ giữ khoảng ba chữ số, và số lớn nhất của nó là **65 504**. Tính tay: $300\cdot 300 = 90\,000$ vượt
# quá số ấy và thành *inf*, vô cực. Sau đó $\infty - \infty$ là *nan* (not a number, không phải số), và tổng nào có nan cũng
# thành nan.
#
# Vì vậy **mạng** tính với độ chính xác một nửa. **Latent và dẫn hướng** giữ ở float32: mỗi bước cộng một thay đổi nhỏ vào
# latent, còn dẫn hướng thì nhân một hiệu nhỏ lên. **VAE** giải mã ở float32.

# %%
number = torch.tensor(300.0, dtype=torch.float16)
print(number * number, number * number - number * number, torch.tensor(1.0004).half())

# %%
from itertools import pairwise

from minidiff.diffusion.guidance import combine
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step


@torch.no_grad()
def guided_sample(network, noise, prompts, negative, scale, n) -> Tensor:
    """Latents (B, 4, h, w), float32, by DDIM in n steps."""
    words, mask = pipe.encode([*prompts, *negative])            # (2B, L, D)
    half = next(network.parameters()).dtype                     # perhaps float16
    times = pipe.scheduler.timesteps(schedule, n)
    x = pipe.scheduler.start(noise, times)                      # float32
    for t, s in pairwise(times):
        number = schedule.timestep(t).float().expand(len(mask)).to(device)
        both = network(torch.cat([x, x]).to(half), number, words.to(half), mask)
        given, other = both.float().chunk(2)                    # float32 from here on
        x0, eps = to_x0_eps(schedule, kind, combine(given, other, scale), x, t)
        x = step(schedule, x0, eps, t, s)
    return x


# %%
import copy

dice = torch.Generator().manual_seed(0)                         # seed 0, as in `draw`
noise = torch.randn(1, *pipe.latent_shape, generator=dice).to(device)
given = noise, prompts[:1], [""], 5.0, 8
small, states = copy.deepcopy(unet).half(), {}
for precision, network in {"float32": unet, "float16": small}.items():
    begun = clock()
    states[precision] = guided_sample(network, *given)
    print(f"{precision}: {clock() - begun:.1f} seconds")
*_, (_, library, _) = pipe.sample(prompts[:1], [0], [""], "ddim", 8, 5.0)
assert_close(states["float32"], library, rtol=1e-2, atol=1e-2)
apart = (states["float32"] - states["float16"]).abs().max()
print(f"largest difference of a latent number: {apart:.4f}")
show(torch.cat([pipe.pixels(x) for x in states.values()]), [*states])

# %% [markdown] lang="en"
# The two pictures look alike: rounding inside the network does little harm. On our CPU float16 was *slower*, since many CPUs
# have no instructions for it. The library can use `dtype="bfloat16"`: nearly the range of float32, so overflow is no danger,
# but only two to three digits.
# %% [markdown] lang="vi" of="d962faad"
# Hai bức tranh trông giống nhau: việc làm tròn bên trong mạng hầu như vô hại. Trên CPU của chúng tôi, float16 lại *chậm* hơn,
# vì nhiều CPU không có lệnh riêng cho nó. Thư viện dùng được `dtype="bfloat16"`: khoảng giá trị gần bằng float32 nên không lo
# tràn số, nhưng chỉ giữ hai đến ba chữ số.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: 0.18215 is missing
#
# **Symptom.** The loss begins much higher, and the pictures are dark, blurred patches, whatever colour was asked for.
# **Cause:** the latents were cached as the VAE gives them, but the network expects deviation 1; those of Stable Diffusion are
# $1 / 0.18215 = 5.49$ times too large. **Fix:** before the training, print the deviation of the cached latents (it should be
# about 1) and the held-out loss at step 0.
#
# Our VAE needs other numbers, so the next cell makes its latents 5.49 times too large. It trains for fewer steps than above, to
# save time.
# %% [markdown] lang="vi" of="b0466029"
# ## Cạm bẫy 1: thiếu 0.18215
#
# **Triệu chứng.** Giá trị hàm mất mát ban đầu cao hơn hẳn, và tranh là những mảng tối và nhòe, dù câu yêu cầu màu nào. **Nguyên
# nhân:** latent được lưu y như VAE cho ra, trong khi mạng chờ độ lệch chuẩn bằng 1; latent của Stable Diffusion lớn gấp $1 /
# 0.18215 = 5.49$ lần. **Cách chữa:** trước khi huấn luyện, in độ lệch chuẩn của latent đã lưu (phải khoảng 1) và giá trị của nó
# trên phần để riêng ở bước 0.
#
# VAE của ta cần các số khác, nên ô dưới làm cho latent của nó lớn gấp 5.49 lần. Để đỡ tốn thời gian, ô này huấn luyện ít bước
# hơn lần trước.

# %% slide="sub"
loras.mix({})
right = examples.latents
examples.latents = right / 0.18215                              # the mistake
wrong, wrong_curve, _ = finetune(2 * every)
examples.latents = right
mixer = loras.mixers["unet"]
mixer.add("without 0.18215", wrong)
loras.mix({"without 0.18215": 1.0})
glaring = draw(prompts)
loras.mix({})
for title, one in {"scaled": curve, "0.18215 missing": wrong_curve}.items():
    print(f"{title}: loss {one[0]:.1f}, at step {len(one)} {one[-1]:.1f}")
show([*after, *glaring], [*["scaled"] * 4, *["0.18215 missing"] * 4], columns=4)

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: a VAE in float16 draws black
#
# **Symptom.** The picture is all black, without an error, or "A tensor with all NaNs was produced in VAE". **Cause:** inside
# the decoder, numbers grow beyond 65 504, as in the VAE of SDXL. **Fix:** decode in float32 or bfloat16, or use a VAE whose
# weights were scaled so that these numbers stay small (sdxl-vae-fp16-fix).
#
# Our VAE stays below the limit, so we make it *louder*. The decoder's blocks add to a running sum; we multiply by 100 what is
# added. GroupNorm divides that out again, so in float32 the picture stays **the same**. `tell` prints the largest number before
# the last GroupNorm: as it is, louder, and louder in float16.
# %% [markdown] lang="vi" of="4980aca5"
# ## Cạm bẫy 2: VAE ở float16 vẽ ra màu đen
#
# **Triệu chứng.** Bức tranh đen kịt mà không báo lỗi, hoặc có dòng "A tensor with all NaNs was produced in VAE". **Nguyên
# nhân:** bên trong bộ giải mã, các số lớn quá 65 504, như ở VAE của SDXL. **Cách chữa:** giải mã ở float32 hay bfloat16, hoặc
# dùng một VAE có trọng số đã được co lại để các số ấy luôn nhỏ (sdxl-vae-fp16-fix).
#
# VAE của ta ở dưới giới hạn, nên ta làm cho nó *to tiếng* hơn (louder). Các khối của bộ giải mã cộng vào một tổng chạy dọc
# mạng; ta nhân những gì được cộng với 100. GroupNorm lại chia mất hệ số ấy, nên ở float32 bức tranh **vẫn như cũ**. `tell` in
# ra số lớn nhất trước GroupNorm cuối: của VAE nguyên vẹn, của VAE to tiếng, và của VAE to tiếng ở float16.

# %%
def louder(vae: nn.Module, k: float) -> nn.Module:
    """The same function, but the sums inside its decoder are k times as large."""
    loud = copy.deepcopy(vae)
    for name, layer in loud.decoder.named_modules():
        if name.endswith(("conv_in", "conv2", "to_out.0")):     # write into the sum
            layer.weight.mul_(k), layer.bias.mul_(k)
        elif name.endswith(("conv_shortcut", "upsamplers.0.conv")):     # pass it on
            layer.bias.mul_(k)
    return loud


def tell(norm: nn.Module, given: tuple[Tensor]) -> None:
    print(f"largest number before the last norm: {given[0].abs().max():.0f}")


# %% slide="sub"
with torch.no_grad():
    loud, z = louder(vae, 100.0), states["float32"] * pipe.latent_std + pipe.latent_mean
    for one in (vae, loud):
        one.decoder.conv_norm_out.register_forward_pre_hook(tell)
    three = [one.decode(z) for one in (vae, loud)]
    black = copy.deepcopy(loud).half().decode(z.half()).float()
print(f"nan: {black.isnan().float().mean():.0%} of all pixels")
titles = ["as it is", "louder, float32", "louder, float16"]
show(torch.cat([*three, black.nan_to_num(-1)]), titles)

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | how | shapes or numbers |
# |---|---|---|
# | filter | one reason for each file, the first that holds | the table adds up |
# | captions | important parts first, counted with begin and end | 77 tokens, ours 64 |
# | latent cache | image and mirror image, times the scale | (N, 2, 4, h, w), deviation 1 |
# | LoRA of a convolution | down, then up of 1 × 1 | (r, in, k, k), (out, r, 1, 1) |
# | accumulation | each loss over their number, then one step | as one large batch |
# | early stopping | fixed times and noise, patience | back to the best step |
# | half precision | network float16; latents, guidance, VAE float32 | at most 65 504 |
# %% [markdown] lang="vi" of="94089f71"
# ## Tóm tắt
#
# | cái gì | cách làm | kích thước hay con số |
# |---|---|---|
# | bộ lọc | mỗi tệp một lý do, lý do đầu tiên đúng | cộng cả bảng thì khớp |
# | câu mô tả | phần quan trọng trước, đếm cả mở đầu và kết thúc | 77 token, của ta 64 |
# | lưu latent | ảnh và ảnh lật gương, nhân hệ số tỉ lệ | (N, 2, 4, h, w), độ lệch chuẩn 1 |
# | LoRA của tích chập | down, rồi up 1 × 1 | (r, in, k, k), (out, r, 1, 1) |
# | tích lũy gradient | mỗi hàm mất mát chia cho số lô, rồi một bước | như một lô lớn |
# | dừng sớm | thời điểm và nhiễu cố định, độ kiên nhẫn | quay về bước tốt nhất |
# | độ chính xác một nửa | mạng float16; latent, dẫn hướng, VAE float32 | nhiều nhất 65 504 |

# %% [markdown] lang="en"
# **You can now** turn a folder of found images into a data set that you can defend, fine-tune a published model on it within a
# free GPU's memory, and tell from a blurred or a black picture what went wrong.
#
# **What still bothers:** one GPU is slow, and these images are few. What changes with a million images and eight GPUs? Lesson
# 16 goes past one machine.
#
# **Sources.** R. Rombach et al. 2022, *High-resolution image synthesis with latent diffusion models*. I. Loshchilov, F. Hutter
# 2017, *SGDR: stochastic gradient descent with warm restarts*. F. Crete et al. 2007, *The blur effect: perception and
# estimation with a new no-reference perceptual blur metric* (sharpness). A. Radford et al. 2021, *Learning transferable visual
# models from natural language supervision* (CLIP, 77 tokens). P. Micikevicius et al. 2018, *Mixed precision training*. The
# model card of *sdxl-vae-fp16-fix*.
# %% [markdown] lang="vi" of="8daed57f"
# **Giờ bạn đã biết** biến một thư mục ảnh thu thập được thành một tập dữ liệu mà bạn giải thích được vì sao giữ hay loại từng
# ảnh, tinh chỉnh (fine-tune) một mô hình đã công bố trong bộ nhớ của một GPU miễn phí, và nhìn bức tranh nhòe nhoẹt hay đen kịt
# mà nói được sai ở đâu.
#
# **Điều còn vướng:** một GPU thì chậm, mà chừng này ảnh thì ít. Với một triệu ảnh và tám GPU thì có gì khác? Bài 16 sẽ vượt ra
# ngoài một máy.
#
# **Nguồn.** R. Rombach và cộng sự 2022, *High-resolution image synthesis with latent diffusion models*. I. Loshchilov, F.
# Hutter 2017, *SGDR: stochastic gradient descent with warm restarts*. F. Crete và cộng sự 2007, *The blur effect: perception
# and estimation with a new no-reference perceptual blur metric* (độ nét). A. Radford và cộng sự 2021, *Learning transferable
# visual models from natural language supervision* (CLIP, 77 token). P. Micikevicius và cộng sự 2018, *Mixed precision training*
# (huấn luyện với độ chính xác hỗn hợp). Trang giới thiệu của *sdxl-vae-fp16-fix*.

# %% [markdown] lang="en" only="exercise"
# # 15 Exercises: from raw data to a garment
#
# You build the five pieces of a fine-tuning on your own pictures: the filter, the captions, the cache of latents, the step of
# training, and the drawing in half precision. They are written as for Stable Diffusion 1.5 on a GPU. `check` says what is right
# and what isn't. Then each piece works on drawn garments and on `world-unet`, the small sister of Stable Diffusion, so that a
# CPU is enough. Above is what the solution gives, below is what yours gives, and they must be the same.
#
# The next cell loads the model, and `LORA`, a file that has taught it garments; at 16 x 16 latents these stay coarse.
# `network_latents` takes pixels to latents as the network sees them, `pixels_of` takes them back, and `photo` draws a garment:
# (1, 3, 128, 128). `pictures` draws sentences, all of them from one noise.
# %% [markdown] lang="vi" of="2280d753" only="exercise"
# # 15 Bài tập: từ dữ liệu thô đến một món quần áo
#
# Bạn dựng năm phần của việc tinh chỉnh trên ảnh của chính mình: bộ lọc, câu mô tả, kho latent lưu sẵn, bước huấn luyện, và việc
# vẽ với độ chính xác một nửa (half precision). Chúng được viết như cho Stable Diffusion 1.5 trên GPU. `check` cho biết chỗ nào
# đúng, chỗ nào chưa. Sau đó mỗi phần được dùng với ảnh quần áo vẽ bằng chương trình và với `world-unet`, người em nhỏ của
# Stable Diffusion, nên chỉ cần CPU. Hàng trên là kết quả của lời giải, hàng dưới là của bạn, và hai hàng phải giống nhau.
#
# Ô tiếp theo nạp mô hình và `LORA`, một tệp đã dạy nó về quần áo; với latent 16 x 16 thì hình vẫn còn thô. `network_latents`
# đưa điểm ảnh (pixel) thành latent như mạng nhìn thấy, `pixels_of` đưa ngược lại, còn `photo` vẽ một món quần áo: (1, 3, 128,
# 128). `pictures` vẽ các câu, tất cả từ cùng một nhiễu.

# %% only="exercise"
import io
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.data.fashion.drawing import draw as draw_garment
from minidiff.data.fashion.garments import Garment
from minidiff.data.fashion.raw_data import make, plans
from minidiff.diffusion.prediction import target, to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.diffusion.timesteps import uniform
from minidiff.finetune.fashion import TARGETS
from minidiff.inference import Prepared
from minidiff.nn.lora import add_lora
from minidiff.pipelines.loras import LoRAs
from minidiff.utils.images import to_tensor
from minidiff.utils.plots import show


@dataclass
class HalfModel:
    """What draws on a GPU. encode(texts) gives the context (B, L, D) and mask (B, L).
    network(x, timestep, context, mask) gives the prediction; its weights, x, context
    and the prediction are torch.float16, timestep is float32. decode(latents), as the
    network sees them, gives pixels and computes in the precision of the latents."""

    encode: Callable[[list[str]], tuple[Tensor, Tensor]]
    network: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    schedule: NoiseSchedule
    prediction_type: str


LORA = "garments-unet"                              # a LoRA of the zoo

pipe = load_pipeline("world-unet", device="cpu", dtype="float32", batch=4)
loras = LoRAs(pipe)
loras.mix({loras.load(LORA): 1.0})


@torch.no_grad()
def network_latents(pixels: Tensor) -> Tensor:
    """Pixels (B, 3, H, W) to latents as the network sees them, (B, 4, h, w)."""
    return (pipe.vae.encode(pixels)[0] - pipe.latent_mean) / pipe.latent_std


@torch.no_grad()
def pixels_of(latents: Tensor) -> Tensor:
    """The way back, (B, 4, h, w) to (B, 3, H, W)."""
    return pipe.vae.decode(latents * pipe.latent_std + pipe.latent_mean)


def photo(kind: str, colour: str, seed: int = 1, **details: str) -> Tensor:
    """A drawn garment, (1, 3, 128, 128) in -1..1."""
    return to_tensor(draw_garment(Garment(kind, colour, **details), 128, seed)[None])


def pictures(sentences: Sequence[str], seed: int) -> Tensor:
    """Sentences, all drawn from one noise: (B, 3, 128, 128)."""
    seeds, empty = [seed] * len(sentences), [""] * len(sentences)
    *_, (_, latents, _) = pipe.sample(sentences, seeds, empty, "dpmpp_2m", 10, 3.0)
    return pixels_of(latents)
