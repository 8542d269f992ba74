"""Exercise 14.5, two_sets: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Debugging: two sets that can't be compared
#
# "My model's Fréchet distance is ten times what it should be." The cell below shows what the network was given: real pictures
# from files, bytes (N, H, W, 3) in 0..255, and drawn ones, floats (M, 3, H, W) in −1..1. `two_sets` should make two batches of
# them that differ in nothing but their contents. **Four** things in it are wrong. Mend one, and `check` tells you what is left.
#
# When it is right,
#
# - both batches are float32, (n, 3, size, size), in −1..1;
# - they are made smaller by `F.interpolate` with `mode="bilinear", antialias=True`, so that fine lines don't turn into steps;
# - n is the smaller of the two counts. Of the larger set, the first n of `torch.randperm(its count, generator=generator)` are
#   kept, in that order; a data set is often sorted, and its first n would be all of one kind. The smaller set stays as it is,
#   and so do two sets of the same count.
#
# The last cell shows both sets again, prepared by your function, with their distance. Both hold true pictures, so what remains
# is the floor for so few of them, about a tenth of what it was.
# %% [markdown] lang="vi" of="0c69b6f5"
# ## Gỡ lỗi: hai tập không so được với nhau
#
# "Khoảng cách Fréchet của mô hình tôi gấp mười lần mức đáng lẽ phải có." Ô dưới đây cho thấy mạng đã nhận được gì: các bức thật
# đọc từ tệp, kiểu byte (N, H, W, 3) trong 0..255, và các bức vẽ, kiểu số thực (M, 3, H, W) trong −1..1. `two_sets` phải biến
# chúng thành hai lô chỉ khác nhau ở nội dung. Trong hàm có **bốn** chỗ sai. Sửa một chỗ, `check` sẽ cho biết còn gì.
#
# Khi hàm đúng thì
#
# - cả hai lô là float32, (n, 3, size, size), trong −1..1;
# - chúng được thu nhỏ bằng `F.interpolate` với `mode="bilinear", antialias=True`, để các nét mảnh không biến thành bậc thang;
# - n là số nhỏ hơn trong hai số lượng. Ở tập lớn hơn, giữ lại những bức mà n số đầu của `torch.randperm(số lượng
#   của nó, generator=generator)` chỉ đến, theo đúng thứ tự ấy; tập dữ liệu hay được xếp sẵn, và n bức đầu có thể đều cùng một
#   loại. Tập nhỏ hơn để nguyên, và hai tập có số lượng bằng nhau cũng vậy.
#
# Ô cuối cho xem lại hai tập do hàm của bạn chuẩn bị, cùng khoảng cách của chúng. Cả hai đều là tranh thật, nên phần còn lại
# chính là mức sàn khi có ít bức như vậy, khoảng một phần mười lúc đầu.

# %% role="shown"
def broken_sets(
    real: Tensor, fake: Tensor, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    def prepared(images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            images = images.reshape(-1, 3, *images.shape[1:3]) / 255
        return F.interpolate(images.float(), (size, size), mode="bilinear")

    return prepared(real), prepared(fake)


first, second = broken_sets(*files, 128, torch.Generator().manual_seed(0))
far = metrics.frechet_distance(scaled(first), scaled(second))
print(f"{len(first)} against {len(second)} pictures: FD {far:.0f}")
titles = ["real, from files"] * 4 + ["as floats"] * 4
show([*first[:4], *second[:4]], titles=titles, columns=4)

# %% [markdown] lang="en" role="hints"
# Look at the colours and the patterns of the upper row. Which axis of a picture from a file is the channel? Does `reshape` move
# an axis, or only cut the numbers anew?
# ---
# Which range do bytes have after `/ 255`, and which one is asked for? What does `interpolate` need so that it averages over all
# pixels that a new one covers?
# ---
# `images.permute(0, 3, 1, 2) / 127.5 - 1` for bytes; `antialias=True`; and of the larger set
# `images[torch.randperm(len(images), generator=generator)[:count]]`, with `count = min(len(real), len(fake))`.
# %% [markdown] lang="vi" of="5a8bbd93"
# Hãy nhìn màu và hoa văn của hàng trên. Trục nào của một bức đọc từ tệp là kênh màu? `reshape` có dời trục không, hay chỉ cắt
# lại dãy số?
# ---
# Sau `/ 255`, các byte nằm trong khoảng nào, và đề bài cần khoảng nào? `interpolate` cần gì để lấy trung bình mọi điểm ảnh mà
# một điểm ảnh mới che phủ?
# ---
# `images.permute(0, 3, 1, 2) / 127.5 - 1` cho các byte; `antialias=True`; và ở tập lớn hơn `images[torch.randperm(len(images),
# generator=generator)[:count]]`, với `count = min(len(real), len(fake))`.

# %% [markdown] lang="en" role="stub" given="as_given"
# real (N, ...), fake (M, ...): each bytes (N, H, W, 3) in 0..255 or floats
# (N, 3, H, W) in -1..1 -> two batches (n, 3, size, size), float32 in -1..1, of
# n = min(N, M). Of the larger set, the first n of a permutation drawn from
# `generator` are kept; nothing is drawn when both are of the same count.
# ---
# 1. mend the four mistakes above
# 2. delete the next line
# %% [markdown] lang="vi" of="fe503e66"
# real (N, ...), fake (M, ...): mỗi tập là byte (N, H, W, 3) trong 0..255 hoặc số
# thực (N, 3, H, W) trong -1..1 -> hai lô (n, 3, size, size), float32 trong -1..1,
# n = min(N, M). Ở tập lớn hơn, giữ n bức đầu theo một hoán vị rút từ `generator`;
# khi hai tập có số lượng bằng nhau thì không rút gì cả.
# ---
# 1. sửa bốn lỗi ở trên
# 2. xóa dòng tiếp theo

# %% role="solution"
def two_sets(
    real: Tensor, fake: Tensor, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    count = min(len(real), len(fake))

    def prepared(images: Tensor) -> Tensor:
        if len(images) > count:
            images = images[torch.randperm(len(images), generator=generator)[:count]]
        if images.dtype == torch.uint8:                             # (n, H, W, 3)
            images = images.permute(0, 3, 1, 2) / 127.5 - 1         # (n, 3, H, W)
        images = images.float()
        return F.interpolate(images, (size, size), mode="bilinear", antialias=True)

    return prepared(real), prepared(fake)

# %% [markdown] lang="en" role="checks"
# - two batches of one shape, in float32, whatever comes in
# - bytes 0, 51, 204, 255 and floats: one range
# - coloured bytes that need no resizing: the channels
# - floats that are made smaller, and larger
# - bytes that are made smaller
# - the larger set is cut by the permutation, whichever it is; the generator goes on
# - two sets of the same count stay in order
# - bytes of very dark pictures, and floats only three pixels wide
# %% [markdown] lang="vi" of="aee24c77"
# - hai lô cùng kích thước, float32, dù đầu vào là gì
# - các byte 0, 51, 204, 255 và số thực: cùng một khoảng
# - các byte có màu, không cần đổi cỡ: các kênh
# - số thực được thu nhỏ, và phóng to
# - byte được thu nhỏ
# - tập lớn hơn bị cắt theo hoán vị, dù là tập nào; bộ sinh số chạy tiếp
# - hai tập có số lượng bằng nhau giữ nguyên thứ tự
# - byte của những bức rất tối, và số thực của những bức chỉ rộng ba điểm ảnh

# %% role="probes"
import torch


def dice(seed):
    return torch.Generator().manual_seed(seed)


def bytes_of(*shape, seed, below=256):
    return torch.randint(below, shape, generator=dice(seed)).to(torch.uint8)


def floats_of(*shape, seed):
    return 2 * torch.rand(*shape, generator=dice(seed), dtype=torch.float64) - 1


def prepared(f, real, fake, size, seed=3):
    return list(f(real, fake, size, dice(seed)))


def forms(f, real, fake, size):
    return [[list(x.shape), str(x.dtype)] for pair in ((real, fake), (fake, real)) for x in prepared(f, *pair, size)]


def greys(f, levels, fake, size):
    real = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, size, size, 3)
    return [x.mean(dim=(1, 2, 3)) for x in prepared(f, real, fake, size)]


def sizes(f, real, fake, sizes):
    return [x for size in sizes for x in prepared(f, real, fake, size)]


def kept(f, many, few, size):
    """Which pictures are kept, of constant ones, by a generator that goes on."""
    generator, pairs = dice(4), ((many, few), (few, many))
    return [x.mean(dim=(1, 2, 3)) for pair in pairs for x in f(*pair, size, generator)]


def in_order(f, many, size):
    generator = dice(4)
    pair = f(many, many.flip(0), size, generator)
    unused = torch.equal(generator.get_state(), dice(4).get_state())
    return [*(x.mean(dim=(1, 2, 3)) for x in pair), unused]


FLOATS = floats_of(3, 3, 12, 20, seed=1)
MANY = torch.linspace(-0.9, 0.9, 8)[:, None, None, None].expand(-1, 3, 6, 6)
FEW = torch.linspace(-0.55, 0.65, 5)[:, None, None, None].expand(-1, 3, 6, 6)

probe(forms, real=bytes_of(4, 10, 14, 3, seed=2), fake=floats_of(6, 3, 9, 9, seed=3), size=5)
probe(greys, levels=[0, 51, 204, 255], fake=floats_of(4, 3, 6, 6, seed=4).float(), size=6)
probe(prepared, real=bytes_of(3, 6, 6, 3, seed=5), fake=bytes_of(3, 6, 6, 3, seed=6), size=6)
probe(sizes, points=2, atol=2e-5, real=FLOATS.float(), fake=FLOATS.flip(0).float(), sizes=[5, 24])
probe(prepared, atol=2e-5, real=bytes_of(2, 13, 18, 3, seed=7), fake=bytes_of(2, 16, 11, 3, seed=8), size=7)
probe(kept, points=2, many=MANY, few=FEW, size=6)
probe(in_order, many=MANY, size=6)
DARK = {"real": bytes_of(2, 6, 6, 3, seed=9, below=2), "fake": floats_of(2, 3, 6, 3, seed=10).float()}
probe(prepared, atol=2e-5, size=6, **DARK)

# %% [markdown] lang="en" role="mistake" name="bytes_to_0_1"
# The bytes came out in 0..1, the floats are in −1..1. To the network, half of the pictures are pale and without contrast, and
# the distance measures just that. Bytes over 127.5, less 1.
# %% [markdown] lang="vi" of="414f9b26"
# Các byte nằm trong 0..1, còn số thực nằm trong −1..1. Với mạng, một nửa số tranh nhạt và thiếu tương phản, và khoảng cách đo
# đúng điều đó. Hãy chia byte cho 127.5 rồi trừ 1.
# %% role="wrong" name="bytes_to_0_1"
patch("/ 127.5 - 1 ", "/ 255 ")

# %% [markdown] lang="en" role="mistake" name="bytes_as_they_are"
# The bytes are still in 0..255 beside floats in −1..1. To the network, one of the sets is blinding white. Bring them to −1..1.
# %% [markdown] lang="vi" of="6d61168f"
# Các byte vẫn trong 0..255 bên cạnh số thực trong −1..1. Với mạng, một tập trắng lóa. Hãy đưa chúng về −1..1.
# %% role="wrong" name="bytes_as_they_are"
patch(" / 127.5 - 1 ", " ")

# %% [markdown] lang="en" role="mistake" name="channels_read_as_first"
# The numbers were cut anew, not moved: `reshape` or `view` to (n, 3, H, W) takes the first third of a picture's rows for its
# red channel. Move the last axis with `permute`.
# %% [markdown] lang="vi" of="2add704e"
# Dãy số bị cắt lại chứ trục không được dời: `reshape` hay `view` thành (n, 3, H, W) coi một phần ba số hàng đầu là kênh đỏ. Hãy
# dời trục cuối bằng `permute`.
# %% role="wrong" name="channels_read_as_first"
patch("images.permute(0, 3, 1, 2) ", "images.reshape(len(images), 3, *images.shape[1:3]) ")

# %% [markdown] lang="en" role="mistake" name="turned_too"
# The channels are first now, but height and width are swapped: the pictures lie on their side. `transpose(1, 3)` swaps two
# axes; moving the last one in front of the others takes permute(0, 3, 1, 2).
# %% [markdown] lang="vi" of="c9c35bde"
# Kênh màu đã đứng trước, nhưng chiều cao và chiều rộng bị đổi chỗ: các bức tranh nằm nghiêng. `transpose(1, 3)` hoán đổi hai
# trục; muốn dời trục cuối lên trước cần permute(0, 3, 1, 2).
# %% role="wrong" name="turned_too"
patch("images.permute(0, 3, 1, 2)", "images.transpose(1, 3)")

# %% [markdown] lang="en" role="mistake" name="aliased"
# The pictures were made smaller without antialiasing: a new pixel looks at its four nearest neighbours and skips the rest, so
# that edges turn into steps. The network sees these, and the distance grows (Parmar et al. 2022).
# %% [markdown] lang="vi" of="23a65e5b"
# Tranh được thu nhỏ mà không khử răng cưa (antialias): mỗi điểm ảnh mới chỉ nhìn bốn điểm gần nhất và bỏ qua phần còn lại, nên
# các cạnh thành bậc thang. Mạng thấy điều đó, và khoảng cách tăng lên (Parmar và cộng sự 2022).
# %% role="wrong" name="aliased"
patch(", antialias=True", "")

# %% [markdown] lang="en" role="mistake" name="nearest"
# The pictures were resized by the nearest pixel, which drops all others. Bilinear with antialiasing was asked for.
# %% [markdown] lang="vi" of="fd141d6a"
# Tranh được đổi cỡ theo điểm ảnh gần nhất, bỏ hết các điểm khác. Đề bài cần bilinear có khử răng cưa.
# %% role="wrong" name="nearest"
patch("mode=\"bilinear\", antialias=True", "mode=\"nearest\"")

# %% [markdown] lang="en" role="mistake" name="bicubic"
# The pictures were resized with the bicubic filter. It is a fine one, but both figures of a comparison must use the same, and
# here bilinear was agreed on.
# %% [markdown] lang="vi" of="9c16d816"
# Tranh được đổi cỡ bằng bộ lọc bicubic. Bộ lọc ấy tốt, nhưng hai con số đem so phải dùng cùng một bộ lọc, và ở đây đã thống
# nhất là bilinear.
# %% role="wrong" name="bicubic"
patch("bilinear", "bicubic")

# %% [markdown] lang="en" role="mistake" name="averaged_areas"
# The pictures were resized by averaging areas (`mode="area"`). It avoids steps, but it is another filter, and figures made with
# different filters can't be compared: bilinear with antialiasing was asked for.
# %% [markdown] lang="vi" of="7de20b6f"
# Tranh được đổi cỡ bằng cách lấy trung bình từng vùng (`mode="area"`). Cách đó tránh được bậc thang, nhưng là bộ lọc khác, và
# những con số làm bằng bộ lọc khác nhau thì không so được: đề bài cần bilinear có khử răng cưa.
# %% role="wrong" name="averaged_areas"
patch("mode=\"bilinear\", antialias=True", "mode=\"area\"")

# %% [markdown] lang="en" role="mistake" name="counts_unequal"
# The two batches still have different counts. The Fréchet distance is biased by the count, so two models are only comparable at
# equal counts: cut the larger set.
# %% [markdown] lang="vi" of="5252d78f"
# Hai lô vẫn có số lượng khác nhau. Khoảng cách Fréchet bị chệch theo số lượng, nên chỉ so được các mô hình khi số lượng bằng
# nhau: hãy cắt tập lớn hơn.
# %% role="wrong" name="counts_unequal"
patch("if len(images) > count:", "if len(images) < count:")

# %% [markdown] lang="en" role="mistake" name="first_ones"
# The first ones of the larger set were kept. Data sets are often sorted, by class or by size, and then the first ones are all
# of one kind. Take the first of a permutation drawn from `generator`.
# %% [markdown] lang="vi" of="75775103"
# Hàm giữ những bức đầu của tập lớn. Tập dữ liệu hay được xếp theo lớp hay theo cỡ, khi đó những bức đầu đều cùng loại. Hãy
# lấy phần đầu của một hoán vị rút từ `generator`.
# %% role="wrong" name="first_ones"
patch("images[torch.randperm(len(images), generator=generator)[:count]]", "images[:count]")

# %% [markdown] lang="en" role="mistake" name="generator_ignored"
# The permutation didn't use `generator`: the figure would be another one in each run, and nobody could repeat it.
# %% [markdown] lang="vi" of="e7b1fb05"
# Hoán vị không dùng `generator`: mỗi lần chạy sẽ ra một con số khác, và không ai lặp lại được.
# %% role="wrong" name="generator_ignored"
patch("len(images), generator=generator", "len(images)")

# %% [markdown] lang="en" role="mistake" name="with_replacement"
# The pictures were drawn with replacement, so some come twice and others never. A permutation takes each at most once.
# %% [markdown] lang="vi" of="dba2fee1"
# Các bức được rút có hoàn lại, nên có bức hai lần, có bức không lần nào. Hoán vị lấy mỗi bức nhiều nhất một lần.
# %% role="wrong" name="with_replacement"
patch("torch.randperm(len(images), generator=generator)[:count]", "torch.randint(len(images), (count,), generator=generator)")

# %% [markdown] lang="en" role="mistake" name="both_permuted"
# Both sets were put in a random order, also the one that needs no cutting. It stays as it is, so that its pictures still fit
# their names and captions.
# %% [markdown] lang="vi" of="73e3019f"
# Cả hai tập bị xáo trộn, kể cả tập không cần cắt. Tập ấy phải để nguyên, để các bức vẫn khớp với tên và câu mô tả của chúng.
# %% role="wrong" name="both_permuted"
patch("if len(images) > count:", "if True:")

# %% [markdown] lang="en" role="mistake" name="permutation_of_count"
# The permutation was drawn from the n first pictures alone, `randperm(count)`: the others can never be chosen. Draw from all of
# the larger set, then cut.
# %% [markdown] lang="vi" of="cb339562"
# Hoán vị chỉ được rút trong n bức đầu, `randperm(count)`: những bức khác không bao giờ được chọn. Hãy rút từ cả tập lớn rồi mới
# cắt.
# %% role="wrong" name="permutation_of_count"
patch("torch.randperm(len(images), generator=generator)[:count]", "torch.randperm(count, generator=generator)")

# %% [markdown] lang="en" role="mistake" name="last_of_the_permutation"
# The last n of the permutation were kept. The task fixes that it is the first n, so that figures can be repeated.
# %% [markdown] lang="vi" of="0168589d"
# Hàm giữ những bức theo n số cuối của hoán vị. Đề bài quy định n số đầu, để các con số lặp lại được.
# %% role="wrong" name="last_of_the_permutation"
patch("[:count]", "[-count:]")

# %% [markdown] lang="en" role="mistake" name="sorted"
# The kept pictures were sorted back into their old order. They are the right ones, but the task fixes the permutation's order.
# %% [markdown] lang="vi" of="74b810e5"
# Các bức được giữ bị xếp lại theo thứ tự cũ. Đúng là những bức ấy, nhưng đề bài quy định theo thứ tự của hoán vị.
# %% role="wrong" name="sorted"
patch("[:count]]", "[:count].sort().values]")

# %% [markdown] lang="en" role="mistake" name="dtype_kept"
# float64 pictures stayed float64. The extractor is a float32 network and refuses them, so convert both sets.
# %% [markdown] lang="vi" of="69e3fe60"
# Tranh float64 vẫn là float64. Mạng trích đặc trưng chạy bằng float32 và sẽ từ chối, vậy hãy đổi kiểu của cả hai tập.
# %% role="wrong" name="dtype_kept"
patch("images = images.float()", "images = images * 1")

# %% [markdown] lang="en" role="mistake" name="range_guessed"
# Whether a batch is bytes was guessed from its largest number. A set of very dark pictures has no byte above 1 and is then
# taken for floats. Ask for the dtype: `images.dtype == torch.uint8`.
# %% [markdown] lang="vi" of="c6739a1f"
# Hàm đoán một lô có phải byte hay không từ số lớn nhất của nó. Một tập toàn bức rất tối không có byte nào trên 1, và bị coi
# là số thực. Hãy hỏi kiểu số: `images.dtype == torch.uint8`.
# %% role="wrong" name="range_guessed"
patch("images = images.permute(0, 3, 1, 2) / 127.5 - 1  ", "images = images.permute(0, 3, 1, 2) / 127.5 - 1 if images.max() > 1 else images.permute(0, 3, 1, 2)  ")

# %% [markdown] lang="en" role="mistake" name="floats_scaled_too"
# The floats were brought from 0..255 to −1..1 like the bytes, so that they are nearly black. They are in −1..1 already.
# %% [markdown] lang="vi" of="df0e7690"
# Số thực cũng bị đổi từ 0..255 về −1..1 như byte, nên gần như đen. Chúng vốn đã trong −1..1.
# %% role="wrong" name="floats_scaled_too"
patch("/ 127.5 - 1 ", "* 1 ")
patch("images = images.float()", "images = images.float() / 127.5 - 1")

# %% [markdown] lang="en" role="mistake" name="resized_as_bytes"
# The bytes were resized as bytes, which rounds each new pixel to a whole number. Convert first, then resize.
# %% [markdown] lang="vi" of="1c715bde"
# Byte được đổi cỡ khi vẫn là byte, nên mỗi điểm ảnh mới bị làm tròn thành số nguyên. Hãy đổi kiểu trước rồi mới đổi cỡ.
# %% role="wrong" name="resized_as_bytes"
patch("/ 127.5 - 1  ", "* 1  ")
patch("images = images.float()", "whole = images.dtype == torch.uint8")
patch("return F.interpolate(images, (size, size), mode=\"bilinear\", antialias=True)", "images = F.interpolate(images.float(), (size, size), mode=\"bilinear\", antialias=True)\n        return images.round() / 127.5 - 1 if whole else images")

# %% [markdown] lang="en" role="mistake" name="layout_guessed"
# Where the channels are was guessed from a length of 3. A picture can be three pixels wide, and is then turned wrongly. The
# dtype tells: only bytes have their channels last.
# %% [markdown] lang="vi" of="a66182f9"
# Hàm đoán trục kênh màu từ trục có độ dài 3. Một bức có thể chỉ rộng ba điểm ảnh, và khi đó bị đảo trục sai. Kiểu số mới cho
# biết: chỉ byte mới để kênh ở cuối.
# %% role="wrong" name="layout_guessed"
patch("if images.dtype == torch.uint8:                             # (n, H, W, 3)\n            images = images.permute(0, 3, 1, 2) / 127.5 - 1         # (n, 3, H, W)", "whole = images.dtype == torch.uint8\n        images = images.permute(0, 3, 1, 2) if images.shape[-1] == 3 else images\n        images = images / 127.5 - 1 if whole else images")

# %% [markdown] lang="en" role="mistake" name="over_128"
# The bytes were divided by 128. Then 255 becomes 0.992 and no picture has a pure white, while the floats go up to 1: half of
# 255 is 127.5.
# %% [markdown] lang="vi" of="ee1dbfda"
# Các byte bị chia cho 128. Khi đó 255 thành 0,992 và không bức nào có màu trắng hoàn toàn, trong khi số thực lên đến 1: một
# nửa của 255 là 127,5.
# %% role="wrong" name="over_128"
patch("/ 127.5 - 1 ", "/ 128 - 1 ")

# %% [markdown] lang="en" role="mistake" name="only_real_cut"
# Only `real` is ever cut. When more pictures were drawn than there are real ones, the counts still differ: cut whichever is
# larger.
# %% [markdown] lang="vi" of="207877d0"
# Chỉ `real` được cắt. Khi số bức vẽ nhiều hơn số bức thật, số lượng vẫn khác nhau: hãy cắt tập nào lớn hơn.
# %% role="wrong" name="only_real_cut"
patch("if len(images) > count:", "if len(images) > count and images is real:")

# %% [markdown] lang="en" role="mistake" name="own_generator"
# The function made a generator of its own, which draws the same permutation in every call. Use the one that was handed over.
# %% [markdown] lang="vi" of="4525f3ba"
# Hàm tự tạo bộ sinh số riêng, lần gọi nào cũng rút cùng một hoán vị. Hãy dùng bộ được truyền vào.
# %% role="wrong" name="own_generator"
patch("generator=generator)[:count]", "generator=torch.Generator().manual_seed(0))[:count]")

# %% [markdown] lang="en" role="mistake" name="range_and_channels"
# Resizing and counts are right now. Two faults are left in the line of the bytes: `reshape` cuts the numbers anew where an axis
# has to move, and 0..1 isn't the range of the floats.
# %% [markdown] lang="vi" of="b797fb66"
# Cách đổi cỡ và số lượng giờ đã đúng. Còn hai lỗi ở dòng xử lý byte: `reshape` cắt lại dãy số ở chỗ phải dời một trục, và 0..1
# không phải khoảng giá trị của số thực.
# %% role="wrong" name="range_and_channels"
patch("images.permute(0, 3, 1, 2) / 127.5 - 1 ", "images.reshape(len(images), 3, *images.shape[1:3]) / 255 ")

# %% [markdown] lang="en" role="mistake" name="aliased_and_counts"
# The bytes are right now. Two faults are left: the pictures are made smaller without antialiasing, and the two batches still
# have different counts.
# %% [markdown] lang="vi" of="1f4fb4fa"
# Các byte giờ đã đúng. Còn hai lỗi: tranh được thu nhỏ mà không khử răng cưa, và hai lô vẫn có số lượng khác nhau.
# %% role="wrong" name="aliased_and_counts"
patch(", antialias=True", "")
patch("if len(images) > count:", "if len(images) < count:")

# %% [markdown] lang="en" role="mistake" name="as_given"
# Some or all of these four are still wrong: the range of the bytes, their channels, the resizing, and the counts. Print the
# range and the shape of both batches, and look at the pictures.
# %% [markdown] lang="vi" of="1db6a85a"
# Một số hoặc cả bốn chỗ này vẫn còn sai: khoảng giá trị của các byte, kênh màu của chúng, cách đổi cỡ, và số lượng. Hãy in
# khoảng giá trị và kích thước của hai lô, và nhìn các bức tranh.
# %% role="wrong" name="as_given"
def two_sets(
    real: Tensor, fake: Tensor, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    def prepared(images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            images = images.reshape(-1, 3, *images.shape[1:3]) / 255
        return F.interpolate(images.float(), (size, size), mode="bilinear")

    return prepared(real), prepared(fake)

# %% role="library"
import random

import numpy as np
import torch
import torchvision.transforms.v2.functional as vision

from minidiff.utils.images import to_tensor


def two_sets(real, fake, size, generator):
    """torchvision's resizing; chosen pictures by a list."""
    sets = [list(real), list(fake)]
    least = min(map(len, sets))
    for k, images in enumerate(sets):
        if len(images) != least:
            order = torch.randperm(len(images), generator=generator).tolist()
            sets[k] = [images[place] for place in order[:least]]
    both = [to_tensor(np.stack([one.numpy() for one in images])) if images[0].dtype == torch.uint8 else torch.stack(images)
            for images in sets]  # fmt: skip
    return tuple(vision.resize(images.float(), [size, size], antialias=True) for images in both)

# %% role="payoff"
def draw(two_sets: Callable) -> Tensor:
    first, second = two_sets(*files, 128, torch.Generator().manual_seed(0))
    far = metrics.frechet_distance(scaled(first), scaled(second))
    counts = [f"{len(first)} from files", f"{len(second)} as floats"]
    texts = [f"{count}\nFD {far:.1f}" for count in counts for _ in range(3)]
    return labelled(torch.cat([first[:3], second[:3]]), texts)


payoff(draw, two_sets)
