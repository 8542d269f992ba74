"""Exercise 15.3, cache_latents: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Encode once, learn a thousand times
#
# A fine-tuning looks at each image many times, and the VAE would encode it each time anew. Latents can be kept instead: they
# are 48 times smaller than the pixels. But a latent can't be mirrored as pixels can, so the mirror image is encoded, too.
#
# `encode(pixels)` takes (b, 3, H, W) to latents (b, C, h, w). Return, for `images` (N, 3, H, W), the latents of each image and
# of its mirror image (left and right exchanged), **times `scale`**: (N, 2, C, h, w), the image first.
#
# - At most `batch` images go through `encode` at once, mirror images counted. (Don't call it for each image alone either.)
# - No graph is built for gradients. The latents must be fit to learn *from*, though.
# - They end up on the CPU, wherever `encode` computes.
#
# The cell below shows why `scale` matters. A network knows latents with a deviation of about 1; those of Stable Diffusion's VAE
# are multiplied by 0.18215 first, about one over their deviation (Rombach et al. 2022, appendix G, give the rule). Without it
# they are 5.5 times too large. The upper row has the scale and the lower row lacks it: a little noise is added to the latents,
# and the network says what is behind it.
# %% [markdown] lang="vi" of="930f7b81"
# ## Mã hóa một lần, học nghìn lần
#
# Khi tinh chỉnh, mỗi ảnh được nhìn nhiều lần, và lần nào VAE cũng phải mã hóa lại. Có thể giữ latent thay cho ảnh: chúng nhỏ
# hơn điểm ảnh 48 lần. Nhưng latent không lật gương được như điểm ảnh, nên phải mã hóa cả ảnh gương.
#
# `encode(pixels)` đưa (b, 3, H, W) thành latent (b, C, h, w). Với `images` (N, 3, H, W), hãy trả về latent của mỗi ảnh và của
# ảnh gương (đổi trái phải), **nhân với `scale`**: (N, 2, C, h, w), ảnh gốc đứng trước.
#
# - Mỗi lần nhiều nhất `batch` ảnh đi qua `encode`, tính cả ảnh gương. (Cũng đừng gọi nó cho từng ảnh một.)
# - Không dựng đồ thị tính gradient. Nhưng latent phải dùng được để *học từ chúng*.
# - Cuối cùng chúng nằm trên CPU, dù `encode` tính ở đâu.
#
# Ô dưới đây cho thấy vì sao `scale` quan trọng. Mạng quen với latent có độ lệch chuẩn khoảng 1; latent của VAE trong Stable
# Diffusion được nhân với 0.18215 trước, khoảng một chia cho độ lệch chuẩn của chúng (quy tắc ở Rombach và cộng sự 2022, phụ lục
# G). Thiếu nó, chúng lớn gấp 5.5 lần. Hàng trên có `scale`, hàng dưới thì không: thêm một ít nhiễu vào latent, rồi mạng nói
# đằng sau lớp nhiễu ấy là gì.

# %% role="shown"
SCALE = 0.18215                                     # of Stable Diffusion's VAE
wardrobe = torch.cat([
    photo("dress", "red", sleeve="sleeveless", neckline="V", length="long"),
    photo("jacket", "blue", neckline="hood"),
])                                                  # (2, 3, 128, 128)


def vae_latents(pixels: Tensor) -> Tensor:
    """Our VAE's latents, made as large as Stable Diffusion's are."""
    return network_latents(pixels) / SCALE


@torch.no_grad()
def behind_noise(latents: Tensor) -> Tensor:
    """What the network sees behind a little noise: (B, 4, h, w) to pixels."""
    schedule, t = pipe.scheduler.schedule, torch.tensor(0.15)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    x = schedule.mix(latents, noise, t)
    context, mask = pipe.encode([""] * len(x))
    v = pipe.network(x, schedule.timestep(t).repeat(len(x)), context, mask)
    return pixels_of(to_x0_eps(schedule, "v", v, x, t)[0])


large = vae_latents(torch.cat([wardrobe, wardrobe.flip(-1)]))
show(torch.stack([behind_noise(SCALE * large), behind_noise(large)]))

# %% [markdown] lang="en" role="hints"
# `images.flip(-1)` exchanges left and right. How do you put each image next to its mirror image, so that the pairs come out in
# the right order?
# ---
# `torch.stack([images, images.flip(-1)], dim=1)` is (N, 2, 3, H, W). Flatten the first two dimensions, and `split(batch)` gives
# pieces of the right size.
# ---
# Decorate with `@torch.no_grad()`, encode each piece, `.cpu()`, `torch.cat`, multiply by `scale`, and
# `.unflatten(0, (-1, 2))` makes pairs of the rows again.
# %% [markdown] lang="vi" of="746da683"
# `images.flip(-1)` đổi trái phải. Làm thế nào đặt mỗi ảnh cạnh ảnh gương của nó để các cặp ra đúng thứ tự?
# ---
# `torch.stack([images, images.flip(-1)], dim=1)` là (N, 2, 3, H, W). Gộp hai chiều đầu lại, rồi `split(batch)` cho các phần có
# kích thước phù hợp.
# ---
# Thêm decorator `@torch.no_grad()`, mã hóa từng phần, `.cpu()`, `torch.cat`, nhân với `scale`, và `.unflatten(0, (-1, 2))` biến
# các hàng thành cặp trở lại.

# %% [markdown] lang="en" role="stub"
# images (N, 3, H, W); encode: (b, 3, H, W) -> (b, C, h, w), called with at most
# `batch` images. Returns latents of each image and its mirror image, times scale.
# ---
# 1. each image and its mirror image                            # (N, 2, 3, H, W)
# 2. encode them, at most `batch` at a time, without gradients  # (2N, C, h, w)
# 3. scale, and make pairs again                                # (N, 2, C, h, w)
# %% [markdown] lang="vi" of="af99d453"
# images (N, 3, H, W); encode: (b, 3, H, W) -> (b, C, h, w), mỗi lần nhiều nhất
# `batch` ảnh. Trả về latent của mỗi ảnh và ảnh gương của nó, nhân với scale.
# ---
# 1. mỗi ảnh và ảnh gương của nó                                # (N, 2, 3, H, W)
# 2. mã hóa, mỗi lần nhiều nhất `batch` ảnh, không có gradient  # (2N, C, h, w)
# 3. nhân với scale, rồi ghép thành cặp                         # (N, 2, C, h, w)

# %% role="solution"
@torch.no_grad()
def cache_latents(
    encode: Callable[[Tensor], Tensor], images: Tensor, scale: float, batch: int
) -> Tensor:
    both = torch.stack([images, images.flip(-1)], dim=1)        # (N, 2, 3, H, W)
    pieces = [encode(piece).cpu() for piece in both.flatten(0, 1).split(batch)]
    return scale * torch.cat(pieces).unflatten(0, (-1, 2))      # (N, 2, C, h, w)

# %% [markdown] lang="en" role="checks"
# - shape and dtype of the latents
# - five images, two at a time, in float64
# - another scale, and images that lie otherwise in memory
# - how many images each call encodes, and how many calls there are
# - a single image, with room for more in a batch
# - one image at a time
# - no graph is built while `encode` runs, nor is one kept
# - a network can learn from the latents
# - the images are -1 to 1, and reach `encode` as they are
# - an encoder on another device: its latents come back to the CPU
# %% [markdown] lang="vi" of="00ee0216"
# - kích thước và kiểu số của latent
# - năm ảnh, mỗi lần hai ảnh, float64
# - một `scale` khác, và ảnh nằm trong bộ nhớ theo cách khác
# - mỗi lần gọi mã hóa bao nhiêu ảnh, và gọi bao nhiêu lần
# - một ảnh duy nhất, trong khi lô còn chỗ
# - mỗi lần một ảnh
# - không dựng đồ thị nào khi `encode` chạy, cũng không giữ lại đồ thị nào
# - mạng học được từ các latent
# - ảnh có giá trị từ -1 đến 1, và đến `encode` nguyên như vậy
# - bộ mã hóa nằm trên thiết bị khác: latent của nó về lại CPU

# %% role="probes"
import torch
import torch.nn.functional as F


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Encoder:
    """Pixels to latents of 4 channels and half the size; it notes the numbers of images, whether gradients are on, and the
    pixels."""

    def __init__(self):
        self.weight = normal(4, 3, 2, 2, seed=1).requires_grad_()
        self.sizes, self.gradients, self.pixels = [], [], []

    def __call__(self, pixels):
        if pixels.ndim != 4:
            raise ValueError(f"encode takes pixels (b, 3, H, W), and was given {tuple(pixels.shape)}.")
        self.sizes.append(len(pixels))
        self.gradients.append(torch.is_grad_enabled())
        self.pixels.append(pixels.detach().clone())
        return torch.tanh(F.conv2d(pixels, self.weight.to(pixels.dtype), stride=2))


def latents(f, images, scale, batch):
    return f(Encoder(), images, scale, batch)


def shape_and_dtype(f, images, scale, batch):
    found = []
    for kind in (torch.float32, torch.float64):
        made = f(Encoder(), images.to(kind), scale, batch)
        found += [list(made.shape), str(made.dtype), str(made.device)]
    return found


def channels_last(f, images, scale, batch):
    """As a data set of (N, H, W, 3) gives them."""
    return f(Encoder(), images.movedim(1, -1).contiguous().movedim(-1, 1), scale, batch)


def calls(f, images, batch):
    found = []
    for size in (batch, batch + 1, len(images)):
        encoder = Encoder()
        f(encoder, images, 1.0, size)
        most = max(-(-len(images) // size) * 2, -(-len(images) // (size // 2)))     # two loops, or whole pairs
        too_many = {"images in one call": max(0, max(encoder.sizes) - size), "calls": max(0, len(encoder.sizes) - most)}
        found += [{"images in all": sum(encoder.sizes), "too many": too_many}]
    return found


def graphs(f, images, scale, batch):
    encoder = Encoder()
    made = f(encoder, images, scale, batch)
    return {"gradients while it encodes": any(encoder.gradients), "of the latents": made.requires_grad}


def learning(f, images, scale, batch):
    weight = normal(4, seed=9).requires_grad_()
    made = f(Encoder(), images, scale, batch)
    (made * weight[:, None, None]).square().sum().backward()
    return weight.grad


def range_of_pixels(f, images, scale, batch):
    encoder = Encoder()
    f(encoder, images, scale, batch)
    pixels = torch.cat(encoder.pixels)
    return [float(pixels.min()), float(pixels.max()), str(pixels.dtype)]


class Elsewhere(torch.Tensor):
    """Stands for a tensor on another device: what is computed from it stays there until it is moved."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        made = super().__torch_function__(func, types, args, kwargs or {})
        goals = [*args[1:], *(kwargs or {}).values()]
        to_cpu = any(str(goal) == "cpu" if not isinstance(goal, torch.Tensor) else type(goal) is torch.Tensor for goal in goals)
        moved = func is torch.Tensor.cpu or func in (torch.Tensor.to, torch.Tensor.type_as) and to_cpu
        return made.as_subclass(torch.Tensor) if moved else made


def left_elsewhere(f, images, scale, batch):
    encoder = Encoder()
    made = f(lambda pixels: encoder(pixels).as_subclass(Elsewhere), images, scale, batch)
    return {"on the CPU": type(made) is torch.Tensor}


IMAGES = normal(5, 3, 4, 6, seed=2).clamp(-1, 1)

probe(shape_and_dtype, images=IMAGES, scale=0.18215, batch=3)
probe(latents, points=2, images=IMAGES, scale=0.18215, batch=2)
probe(channels_last, images=IMAGES, scale=0.5, batch=4)
probe(calls, images=IMAGES, batch=3)
probe(latents, images=IMAGES[:1], scale=2.0, batch=8)
probe(latents, images=IMAGES[:3], scale=-1.5, batch=1)
probe(graphs, images=IMAGES, scale=0.18215, batch=4)
probe(learning, images=IMAGES, scale=0.18215, batch=4)
probe(range_of_pixels, images=IMAGES.float(), scale=0.18215, batch=4)
probe(left_elsewhere, images=IMAGES, scale=0.18215, batch=4)

# %% [markdown] lang="en" role="mistake" name="scale_missing"
# The latents were not multiplied by `scale`. Those of Stable Diffusion are then 5.5 times too large: nothing stops, but the
# network is given what it has never seen, the usual noise is hardly visible in it, and what comes out is blurred and garish.
# %% [markdown] lang="vi" of="a33591cf"
# Latent chưa được nhân với `scale`. Khi đó latent của Stable Diffusion lớn gấp 5.5 lần: không có gì dừng lại, nhưng mạng nhận
# thứ nó chưa từng gặp, nhiễu thông thường gần như không còn thấy trong đó, và kết quả thì nhòe và gắt màu.
# %% role="wrong" name="scale_missing"
patch("scale * torch.cat", "torch.cat")

# %% [markdown] lang="en" role="mistake" name="divided"
# The latents were divided by `scale`. That is the way back, before the VAE decodes; on the way in they are multiplied.
# %% [markdown] lang="vi" of="04e1b365"
# Latent bị chia cho `scale`. Đó là chiều ngược lại, trước khi VAE giải mã; ở chiều vào thì phải nhân.
# %% role="wrong" name="divided"
patch("scale * torch.cat(pieces)", "(torch.cat(pieces) / scale)")

# %% [markdown] lang="en" role="mistake" name="pixels_scaled"
# The pixels were multiplied by `scale`, so `encode` sees grey images. It is the latents that are scaled.
# %% [markdown] lang="vi" of="8e30cac2"
# Điểm ảnh bị nhân với `scale`, nên `encode` nhìn thấy những bức ảnh xám. Thứ cần nhân là latent.
# %% role="wrong" name="pixels_scaled"
patch("encode(piece)", "encode(scale * piece)")
patch("scale * torch.cat", "torch.cat")

# %% [markdown] lang="en" role="mistake" name="scaled_twice"
# The latents are scaled twice, once for each piece and once in the end.
# %% [markdown] lang="vi" of="657332c5"
# Latent bị nhân hai lần, một lần cho từng phần và một lần ở cuối.
# %% role="wrong" name="scaled_twice"
patch("encode(piece)", "scale * encode(piece)")

# %% [markdown] lang="en" role="mistake" name="always_0_18215"
# The factor is fixed at 0.18215. That is Stable Diffusion 1.5's; other VAEs have others (SDXL's 0.13025). Use `scale`.
# %% [markdown] lang="vi" of="da2e619c"
# Hệ số bị cố định là 0.18215. Đó là của Stable Diffusion 1.5; VAE khác có hệ số khác (của SDXL là 0.13025). Hãy dùng `scale`.
# %% role="wrong" name="always_0_18215"
patch("scale * torch.cat", "0.18215 * torch.cat")

# %% [markdown] lang="en" role="mistake" name="upside_down"
# The second image stands on its head. A mirror image exchanges left and right: flip the last dimension, the width.
# %% [markdown] lang="vi" of="2f9326d6"
# Ảnh thứ hai bị lộn ngược. Ảnh gương đổi trái phải: hãy lật chiều cuối, tức chiều rộng.
# %% role="wrong" name="upside_down"
patch("flip(-1)", "flip(-2)")

# %% [markdown] lang="en" role="mistake" name="turned_round"
# The second image is turned by 180 degrees: height and width were both flipped. Flip the width alone.
# %% [markdown] lang="vi" of="d325b719"
# Ảnh thứ hai bị xoay 180 độ: cả chiều cao lẫn chiều rộng đều bị lật. Chỉ lật chiều rộng.
# %% role="wrong" name="turned_round"
patch("flip(-1)", "flip(-1, -2)")

# %% [markdown] lang="en" role="mistake" name="channels_flipped"
# The colour channels were flipped: red became blue. The width is the last dimension.
# %% [markdown] lang="vi" of="58e01c74"
# Các kênh màu bị lật: đỏ thành xanh dương. Chiều rộng là chiều cuối cùng.
# %% role="wrong" name="channels_flipped"
patch("flip(-1)", "flip(1)")

# %% [markdown] lang="en" role="mistake" name="latents_mirrored"
# The latents were mirrored, not the pixels. The encoder isn't symmetric, so a mirrored latent is no image's latent, and the
# decoder makes smeared edges of it.
# %% [markdown] lang="vi" of="1eda80d7"
# Latent bị lật gương chứ không phải điểm ảnh. Bộ mã hóa không đối xứng, nên latent bị lật không phải latent của ảnh nào, và bộ
# giải mã làm ra những đường viền nhòe.
# %% role="wrong" name="latents_mirrored"
@torch.no_grad()
def cache_latents(encode: Callable[[Tensor], Tensor], images: Tensor, scale: float, batch: int) -> Tensor:
    made = torch.cat([encode(piece).cpu() for piece in images.split(batch)])
    return scale * torch.stack([made, made.flip(-1)], dim=1)

# %% [markdown] lang="en" role="mistake" name="no_mirror"
# Both latents are the image's own: nothing was mirrored.
# %% [markdown] lang="vi" of="208c9763"
# Cả hai latent đều là của chính bức ảnh: chưa có gì được lật gương.
# %% role="wrong" name="no_mirror"
patch("images.flip(-1)", "images")

# %% [markdown] lang="en" role="mistake" name="mirror_first"
# The mirror image comes first. The image itself is number 0: who wants none of the mirror images takes `[:, 0]`.
# %% [markdown] lang="vi" of="25eb482d"
# Ảnh gương đứng trước. Số 0 phải là chính bức ảnh: ai không muốn dùng ảnh gương sẽ lấy `[:, 0]`.
# %% role="wrong" name="mirror_first"
patch("[images, images.flip(-1)]", "[images.flip(-1), images]")

# %% [markdown] lang="en" role="mistake" name="pairs_mixed"
# The rows are all images and then all mirror images, and were reshaped into pairs as they stood: image 0 got image 1 for its
# mirror image. Stack along a new dimension 1.
# %% [markdown] lang="vi" of="7bb30d86"
# Các hàng gồm mọi ảnh rồi mới đến mọi ảnh gương, và bị ghép thành cặp theo đúng thứ tự ấy: ảnh 0 nhận ảnh 1 làm ảnh gương. Hãy
# xếp chồng (stack) theo một chiều mới, chiều 1.
# %% role="wrong" name="pairs_mixed"
patch("torch.stack([images, images.flip(-1)], dim=1)", "torch.stack([images, images.flip(-1)])")

# %% [markdown] lang="en" role="mistake" name="two_first"
# The result is (2, N, C, h, w). The images come first: (N, 2, C, h, w).
# %% [markdown] lang="vi" of="c3bd23fb"
# Kết quả là (2, N, C, h, w). Ảnh phải đứng trước: (N, 2, C, h, w).
# %% role="wrong" name="two_first"
patch(".unflatten(0, (-1, 2))", ".unflatten(0, (-1, 2)).transpose(0, 1)")

# %% [markdown] lang="en" role="mistake" name="flat"
# The result is one long row of 2 N latents. Make pairs of them: (N, 2, C, h, w).
# %% [markdown] lang="vi" of="8017ee8a"
# Kết quả là một hàng dài 2 N latent. Hãy ghép chúng thành cặp: (N, 2, C, h, w).
# %% role="wrong" name="flat"
patch(".unflatten(0, (-1, 2))", "")

# %% [markdown] lang="en" role="mistake" name="all_at_once"
# All images are encoded in one call. A few thousand of 512 x 512 need more memory than any GPU has: at most `batch` at a time.
# %% [markdown] lang="vi" of="82878a85"
# Mọi ảnh được mã hóa trong một lần gọi. Vài nghìn ảnh 512 x 512 cần nhiều bộ nhớ hơn mọi GPU: mỗi lần nhiều nhất `batch` ảnh.
# %% role="wrong" name="all_at_once"
patch("[encode(piece).cpu() for piece in both.flatten(0, 1).split(batch)]", "[encode(both.flatten(0, 1)).cpu()]")

# %% [markdown] lang="en" role="mistake" name="twice_as_many"
# `batch` images and their mirror images go through `encode` together: twice as many as are allowed, which is where memory ends.
# Mirror images count, too.
# %% [markdown] lang="vi" of="a0c930cb"
# `batch` ảnh cùng với các ảnh gương của chúng đi qua `encode` một lượt: gấp đôi số cho phép, và bộ nhớ có thể hết ở đó. Ảnh
# gương cũng được tính.
# %% role="wrong" name="twice_as_many"
patch(".split(batch)", ".split(2 * batch)")

# %% [markdown] lang="en" role="mistake" name="one_by_one"
# Each image is encoded by itself, whatever `batch` is. The latents are right, but a GPU is idle most of the time: hand over
# `batch` at once.
# %% [markdown] lang="vi" of="cc8f665c"
# Mỗi ảnh được mã hóa riêng, bất kể `batch`. Latent thì đúng, nhưng GPU hầu như ngồi không: hãy đưa vào `batch` ảnh một lần.
# %% role="wrong" name="one_by_one"
patch(".split(batch)", ".split(1)")

# %% [markdown] lang="en" role="mistake" name="last_batch_lost"
# The last images are missing: only full batches were encoded. Use what is left over, too.
# %% [markdown] lang="vi" of="21332b9f"
# Thiếu những ảnh cuối: chỉ các lô đầy mới được mã hóa. Hãy dùng cả phần còn dư.
# %% role="wrong" name="last_batch_lost"
@torch.no_grad()
def cache_latents(encode: Callable[[Tensor], Tensor], images: Tensor, scale: float, batch: int) -> Tensor:
    both = torch.stack([images, images.flip(-1)], dim=1).flatten(0, 1)
    pieces = [encode(both[k * batch : (k + 1) * batch]).cpu() for k in range(len(both) // batch)]
    return scale * torch.cat(pieces).unflatten(0, (-1, 2))

# %% [markdown] lang="en" role="mistake" name="graph_kept"
# Gradients are on, so every latent drags the whole graph of the encoder behind it, and memory is full after a few hundred
# images. Work under `torch.no_grad()`.
# %% [markdown] lang="vi" of="d98b67ca"
# Gradient đang bật, nên mỗi latent kéo theo cả đồ thị của bộ mã hóa, và bộ nhớ đầy sau vài trăm ảnh. Hãy làm việc trong
# `torch.no_grad()`.
# %% role="wrong" name="graph_kept"
patch("@torch.no_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="detached"
# The latents were detached, but only after `encode` had built its graph for them: that costs time and memory for each batch.
# Switch gradients off *before* it runs, with `torch.no_grad()`.
# %% [markdown] lang="vi" of="958c7d05"
# Latent được detach, nhưng chỉ sau khi `encode` đã dựng đồ thị: mỗi lô vẫn tốn thời gian và bộ nhớ cho nó. Hãy tắt gradient
# *trước* khi nó chạy, bằng `torch.no_grad()`.
# %% role="wrong" name="detached"
patch("@torch.no_grad()\n", "")
patch("encode(piece).cpu()", "encode(piece).detach().cpu()")

# %% [markdown] lang="en" role="mistake" name="inference_tensors"
# Under `torch.inference_mode()` the latents become tensors without history, and training stops as soon as it needs them for a
# gradient. Use `torch.no_grad()`, or return a `.clone()` that is made outside of it.
# %% [markdown] lang="vi" of="80512d28"
# Trong `torch.inference_mode()` latent trở thành tensor không có lịch sử tính toán, và việc huấn luyện dừng ngay khi cần chúng
# để tính gradient. Hãy dùng `torch.no_grad()`, hoặc trả về một bản `.clone()` tạo ở bên ngoài.
# %% role="wrong" name="inference_tensors"
patch("@torch.no_grad()", "@torch.inference_mode()")

# %% [markdown] lang="en" role="mistake" name="left_there"
# The latents stay where `encode` computes. On a GPU a whole data set of them takes the room that training needs: move each
# batch of latents to the CPU.
# %% [markdown] lang="vi" of="8d93f93f"
# Latent ở lại nơi `encode` tính. Trên GPU, latent của cả tập dữ liệu chiếm mất chỗ mà việc huấn luyện cần: hãy chuyển từng lô
# latent về CPU.
# %% role="wrong" name="left_there"
patch("encode(piece).cpu()", "encode(piece)")

# %% [markdown] lang="en" role="mistake" name="learning_latents"
# The latents ask for gradients of their own. They are data, not weights: leave `requires_grad` off.
# %% [markdown] lang="vi" of="e53c8ee1"
# Latent đòi gradient cho chính chúng. Chúng là dữ liệu chứ không phải trọng số: đừng bật `requires_grad`.
# %% role="wrong" name="learning_latents"
patch("return scale * torch.cat(pieces).unflatten(0, (-1, 2))", "return (scale * torch.cat(pieces).unflatten(0, (-1, 2))).requires_grad_()")

# %% [markdown] lang="en" role="mistake" name="from_0_to_1"
# The images were moved from 0..1 to -1..1, but they are in -1..1 already: `encode` sees far too much contrast.
# %% [markdown] lang="vi" of="3dcc8c46"
# Ảnh bị đưa từ 0..1 sang -1..1, nhưng chúng vốn đã nằm trong -1..1: `encode` nhìn thấy độ tương phản quá mạnh.
# %% role="wrong" name="from_0_to_1"
patch("encode(piece)", "encode(2 * piece - 1)")

# %% [markdown] lang="en" role="mistake" name="to_0_to_1"
# The images were moved to 0..1. The VAE learnt from pixels in -1..1, which is what `images` holds.
# %% [markdown] lang="vi" of="d71460c1"
# Ảnh bị đưa về 0..1. VAE học từ điểm ảnh trong -1..1, đúng như `images` đang chứa.
# %% role="wrong" name="to_0_to_1"
patch("encode(piece)", "encode(piece / 2 + 0.5)")

# %% [markdown] lang="en" role="mistake" name="in_half"
# The latents were rounded to half precision. They keep the dtype that `encode` gives; who wants to save memory can still round
# them on disk.
# %% [markdown] lang="vi" of="86f0eb47"
# Latent bị làm tròn về độ chính xác một nửa. Chúng phải giữ kiểu số mà `encode` cho; ai muốn tiết kiệm bộ nhớ vẫn có thể làm
# tròn khi ghi ra đĩa.
# %% role="wrong" name="in_half"
patch("encode(piece).cpu()", "encode(piece).half().cpu()")

# %% role="library"
import torch
from einops import rearrange
from torch.utils.data import DataLoader, TensorDataset


def cache_latents(encode, images, scale, batch):
    """By DataLoaders, one for the images and one for the mirror images."""
    mirrored = torch.stack(list(images)[:]).index_select(3, torch.arange(images.shape[3] - 1, -1, -1))
    rows = []
    with torch.no_grad():
        for view in (images, mirrored):
            rows.append(torch.cat([encode(pixels).mul(scale).cpu() for (pixels,) in DataLoader(TensorDataset(view), batch)]))
    return rearrange(rows, "two n c h w -> n two c h w")

# %% role="payoff"
def draw(cache_latents: Callable) -> Tensor:
    latents = cache_latents(vae_latents, wardrobe, SCALE, 3)    # (2, 2, 4, 16, 16)
    return behind_noise(latents.flatten(0, 1))                  # (4, 3, 128, 128)


payoff(draw, cache_latents)
