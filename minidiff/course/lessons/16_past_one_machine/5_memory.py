"""Exercise 16.5, memory: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="15"
# ## Will it fit?
#
# How many bytes does a training with AdamW keep on each GPU? Return a dict with these names; `parameters` is the number of
# weights P.
#
# | name | bytes |
# |---|---|
# | `weights` | 4 P: they are kept in float32 |
# | `copy` | 2 P with `bf16`, in which the products are computed; 0 without |
# | `gradients` | 4 P |
# | `adam` | 8 P: two averages of each gradient, in float32 |
# | `ema` | 4 P: the averaged weights |
# | `activations` | see below |
# | `total` | the sum of all these |
#
# With `sharded` = n > 1, n GPUs share `adam` and `ema`: each keeps an n-th of both, and the rest whole (the first stage of
# ZeRO, Rajbhandari et al. 2020).
#
# **Activations** are what the forward pass keeps for the backward pass. Between two blocks of a transformer go
# `images * tokens * width` numbers, of 2 bytes with `bf16` and of 4 without. Each of the `blocks` keeps **16 times** that much.
# Take the 16 as given; this is how Korthikanti et al. 2022 count a plain block, here without dropout and attention maps: what goes into its
# two norms (2), what q, k and v are made of (1), they themselves (3), what attention gives (1), what goes into the MLP (1), and
# four times as wide what goes into its GELU and what comes out (4 + 4). A text DiT keeps some more, about 23, for
# cross-attention and adaLN.
#
# With `checkpointing` (Chen et al. 2016) each block keeps only its input, *once* that much, and computes the rest again when
# its turn comes: then, for *one* block at a time, the 16 are there as well. `images` is the number of pictures on one GPU.
#
# The last cell colours which DiT fits on a GPU of 24 GB with how many pictures.
# %% [markdown] lang="vi" of="61c400fe"
# ## Có vừa bộ nhớ không?
#
# Việc huấn luyện bằng AdamW giữ bao nhiêu byte trên mỗi GPU? Hãy trả về một dict với các tên sau; `parameters` là số trọng số
# P.
#
# | tên | số byte |
# |---|---|
# | `weights` | 4 P: được giữ ở float32 |
# | `copy` | 2 P khi có `bf16`, dùng để tính các phép nhân; 0 khi không |
# | `gradients` | 4 P |
# | `adam` | 8 P: hai trung bình của mỗi gradient, ở float32 |
# | `ema` | 4 P: các trọng số trung bình |
# | `activations` | xem dưới đây |
# | `total` | tổng của tất cả các mục trên |
#
# Với `sharded` = n > 1, n GPU chia nhau `adam` và `ema`: mỗi GPU giữ một phần n của cả hai, những thứ còn lại giữ nguyên vẹn
# (giai đoạn một của ZeRO, Rajbhandari và cộng sự 2020).
#
# **Activations** (giá trị kích hoạt) là những gì lượt tính xuôi giữ lại cho lượt tính ngược. Giữa hai khối của một transformer
# có `images * tokens * width` con số đi qua, mỗi số 2 byte khi có `bf16` và 4 byte khi không. Mỗi khối trong `blocks` khối giữ
# **16 lần** lượng đó. Con số 16 được cho sẵn; Korthikanti và cộng sự 2022 đếm như sau cho một khối thông thường, ở đây không có
# dropout và bản đồ chú ý: đầu vào của hai lớp chuẩn hóa (2), thứ tạo ra q, k và v (1), chính q, k, v (3), kết quả của phép chú
# ý (1), đầu vào của MLP (1), và đầu vào cùng đầu ra của GELU, rộng gấp bốn (4 + 4). Một DiT nhận văn bản giữ nhiều hơn một
# chút, khoảng 23, vì có thêm chú ý chéo (cross-attention) và adaLN.
#
# Với `checkpointing` (Chen và cộng sự 2016), mỗi khối chỉ giữ đầu vào của mình, tức *một lần* lượng đó, và tính lại phần kia
# khi đến lượt: lúc ấy, mỗi lần cho *một* khối, 16 lần kia cũng có mặt. `images` là số ảnh trên một GPU.
#
# Ô cuối cùng tô màu DiT nào vừa với GPU 24 GB khi có bao nhiêu ảnh.

# %% [markdown] lang="en" role="hints"
# Line by line of the table. Which lines depend on `sharded`, and which on `bf16`? On `bf16` there are three: `copy`,
# `activations`, `total`.
# ---
# Let `between` be the bytes that go from one block to the next. Without checkpointing the activations are 16 times that for
# each block. With it: one for each block, and 16 once.
# ---
# `between = images * tokens * width * (2 if bf16 else 4)`; activations `(blocks + 16 if checkpointing else 16 * blocks) *
# between`; put all into a dict, then add `total` with `sum(found.values())`.
# %% [markdown] lang="vi" of="a4029434"
# Lần lượt từng dòng của bảng. Dòng nào phụ thuộc `sharded`, dòng nào phụ thuộc `bf16`? Có ba dòng liên quan đến `bf16`: `copy`,
# `activations`, `total`.
# ---
# Gọi `between` là số byte đi từ khối này sang khối kế tiếp. Không có checkpointing thì activations là 16 lần số đó cho mỗi
# khối. Có checkpointing: mỗi khối một lần, và 16 lần chỉ một lượt.
# ---
# `between = images * tokens * width * (2 if bf16 else 4)`; activations là `(blocks + 16 if checkpointing else 16 * blocks) *
# between`; cho tất cả vào một dict, rồi thêm `total` bằng `sum(found.values())`.

# %% [markdown] lang="en" role="stub"
# Bytes on one GPU by name: weights, copy, gradients, adam, ema, activations,
# total. Where `sharded` GPUs share adam and ema, each keeps that part of them.
# ---
# 1. bytes that go from one block to the next
# 2. what the blocks keep: all of it, or their inputs and one block at a time
# 3. the lines of the table
# 4. their sum
# %% [markdown] lang="vi" of="44354cda"
# Số byte trên một GPU theo tên: weights, copy, gradients, adam, ema, activations,
# total. Khi `sharded` GPU chia nhau adam và ema, mỗi GPU giữ một phần của chúng.
# ---
# 1. số byte đi từ khối này sang khối kế tiếp
# 2. những gì các khối giữ: tất cả, hoặc đầu vào của chúng và mỗi lần một khối
# 3. các dòng của bảng
# 4. tổng của chúng

# %% role="solution"
def memory(
    parameters: int, blocks: int, tokens: int, width: int, images: int,
    bf16: bool, checkpointing: bool, sharded: int,
) -> dict[str, float]:
    between = images * tokens * width * (2 if bf16 else 4)      # bytes
    found = {
        "weights": 4 * parameters,
        "copy": 2 * parameters if bf16 else 0,
        "gradients": 4 * parameters,
        "adam": 8 * parameters / sharded,
        "ema": 4 * parameters / sharded,
        "activations": (blocks + 16 if checkpointing else 16 * blocks) * between,
    }
    found["total"] = sum(found.values())
    return found

# %% [markdown] lang="en" role="checks"
# - the names, each with a number
# - float32 on one GPU: what the weights need, without pictures
# - bf16 and a few pictures
# - float32 and a few pictures
# - checkpointing, in bf16 and in float32
# - one block, which checkpointing does not help
# - Adam and EMA shared by 8 GPUs
# - all at once: a DiT-XL on 16 GPUs
# %% [markdown] lang="vi" of="5a9cf8c3"
# - các tên, mỗi tên một con số
# - float32 trên một GPU: các trọng số cần gì khi chưa có ảnh
# - bf16 và vài bức ảnh
# - float32 và vài bức ảnh
# - checkpointing, ở bf16 và ở float32
# - chỉ một khối: checkpointing không giúp gì
# - 8 GPU chia nhau Adam và EMA
# - tất cả cùng lúc: một DiT-XL trên 16 GPU

# %% role="probes"
NAMES = ("weights", "copy", "gradients", "adam", "ema", "activations", "total")


def found(f, parameters=1_000_003, blocks=5, tokens=64, width=48, images=7, bf16=False, checkpointing=False, sharded=1):
    """The bytes by name, each of which must be there."""
    table = f(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded)
    return {name: float(table[name]) for name in NAMES}


def names(f):
    """The dict itself, where all is nothing."""
    return f(0, 2, 3, 4, 0, False, False, 1)


def both(f, **inputs):
    return [found(f, bf16=bf16, **inputs) for bf16 in (True, False)]


probe(names)
probe(lambda f, images: found(f, images=images), images=0)
probe(lambda f, bf16: found(f, bf16=bf16), bf16=True)
probe(lambda f, images: found(f, images=images), images=3)
probe(both, points=2, checkpointing=True)
probe(lambda f, blocks: found(f, blocks=blocks, checkpointing=True), blocks=1)
probe(lambda f, sharded: found(f, sharded=sharded), sharded=8)
probe(
    lambda f, parameters: found(f, parameters, 28, 256, 1152, 32, bf16=True, checkpointing=True, sharded=16),
    parameters=675_129_632,
)

# %% [markdown] lang="en" role="mistake" name="one_average"
# Adam has 4 bytes a weight here. It keeps two numbers for each weight, the average of its gradients and that of their squares:
# 8 bytes.
# %% [markdown] lang="vi" of="daab4604"
# Ở đây Adam có 4 byte cho mỗi trọng số. Nó giữ hai số cho mỗi trọng số, trung bình của gradient và trung bình của bình phương
# gradient: 8 byte.
# %% role="wrong" name="one_average"
patch("8 * parameters / sharded", "4 * parameters / sharded")

# %% [markdown] lang="en" role="mistake" name="adam_in_bf16"
# Adam's averages were counted with 2 bytes a number where there is bf16. They stay in float32: an average that changes by a
# thousandth in a step would not move at all in bf16, which has 8 bits for that.
# %% [markdown] lang="vi" of="15c5dc31"
# Các trung bình của Adam bị tính 2 byte mỗi số khi có bf16. Chúng vẫn ở float32: một trung bình mỗi bước chỉ đổi một phần nghìn
# thì ở bf16, vốn chỉ có 8 bit cho việc đó, sẽ không nhúc nhích.
# %% role="wrong" name="adam_in_bf16"
patch("8 * parameters / sharded", "(4 if bf16 else 8) * parameters / sharded")

# %% [markdown] lang="en" role="mistake" name="no_float32_weights"
# With bf16 the weights were counted with 2 bytes and no copy beside them. The weights that are updated stay in float32, since
# small steps would be lost in bf16; the copy comes on top.
# %% [markdown] lang="vi" of="4bfd2314"
# Khi có bf16, các trọng số bị tính 2 byte mà không có bản sao bên cạnh. Trọng số được cập nhật vẫn ở float32, vì những bước nhỏ
# sẽ mất đi ở bf16; bản sao là phần cộng thêm.
# %% role="wrong" name="no_float32_weights"
patch('"weights": 4 * parameters', '"weights": (2 if bf16 else 4) * parameters')
patch("2 * parameters if bf16 else 0", "0")

# %% [markdown] lang="en" role="mistake" name="always_a_copy"
# There is a copy of the weights without bf16 as well. It is only made where the products are computed in another precision than
# the weights have.
# %% [markdown] lang="vi" of="0a4ad762"
# Không có bf16 mà vẫn có bản sao của trọng số. Bản sao chỉ được tạo khi phép nhân được tính ở độ chính xác khác với trọng số.
# %% role="wrong" name="always_a_copy"
patch("2 * parameters if bf16 else 0", "2 * parameters")

# %% [markdown] lang="en" role="mistake" name="copy_left_out"
# The copy of the weights in bf16 is missing: 2 bytes a weight.
# %% [markdown] lang="vi" of="80e08195"
# Thiếu bản sao của trọng số ở bf16: 2 byte mỗi trọng số.
# %% role="wrong" name="copy_left_out"
patch("2 * parameters if bf16 else 0", "0")

# %% [markdown] lang="en" role="mistake" name="gradients_in_bf16"
# The gradients were counted with 2 bytes where there is bf16. With autocast they have the precision of the weights that they
# belong to: float32.
# %% [markdown] lang="vi" of="56d5d854"
# Gradient bị tính 2 byte khi có bf16. Với autocast, gradient có độ chính xác của trọng số mà nó thuộc về: float32.
# %% role="wrong" name="gradients_in_bf16"
patch('"gradients": 4 * parameters', '"gradients": (2 if bf16 else 4) * parameters')

# %% [markdown] lang="en" role="mistake" name="everything_sharded"
# Weights and gradients were divided among the GPUs as well. That is ZeRO's third stage; here each GPU keeps them whole and only
# shares what the update alone needs, `adam` and `ema`.
# %% [markdown] lang="vi" of="9548e042"
# Trọng số và gradient cũng bị chia cho các GPU. Đó là giai đoạn ba của ZeRO; ở đây mỗi GPU giữ chúng nguyên vẹn và chỉ chia
# những gì chỉ cần cho việc cập nhật: `adam` và `ema`.
# %% role="wrong" name="everything_sharded"
patch('"weights": 4 * parameters', '"weights": 4 * parameters / sharded')
patch('"gradients": 4 * parameters', '"gradients": 4 * parameters / sharded')

# %% [markdown] lang="en" role="mistake" name="gradients_sharded"
# The gradients were divided among the GPUs. That is ZeRO's second stage; here only `adam` and `ema` are shared.
# %% [markdown] lang="vi" of="c1d313c9"
# Gradient bị chia cho các GPU. Đó là giai đoạn hai của ZeRO; ở đây chỉ `adam` và `ema` được chia.
# %% role="wrong" name="gradients_sharded"
patch('"gradients": 4 * parameters', '"gradients": 4 * parameters / sharded')

# %% [markdown] lang="en" role="mistake" name="ema_whole"
# Every GPU keeps the whole EMA here. It is only touched by the update, like Adam's averages, and is shared with them.
# %% [markdown] lang="vi" of="3df81fc4"
# Ở đây GPU nào cũng giữ toàn bộ EMA. Chỉ lúc cập nhật mới dùng đến nó, giống như các trung bình của Adam, nên nó được chia cùng
# với chúng.
# %% role="wrong" name="ema_whole"
patch("4 * parameters / sharded", "4 * parameters")

# %% [markdown] lang="en" role="mistake" name="sharded_left_out"
# `sharded` has no effect: each GPU keeps all of `adam` and `ema`. Divide both by the number of GPUs that share them.
# %% [markdown] lang="vi" of="d3c688b6"
# `sharded` không có tác dụng: mỗi GPU giữ toàn bộ `adam` và `ema`. Hãy chia cả hai cho số GPU cùng giữ chúng.
# %% role="wrong" name="sharded_left_out"
patch("8 * parameters / sharded", "8 * parameters")
patch("4 * parameters / sharded", "4 * parameters")

# %% [markdown] lang="en" role="mistake" name="activations_sharded"
# The activations were divided by `sharded`. `images` is the number on one GPU already, and each GPU keeps all that its own
# pictures need.
# %% [markdown] lang="vi" of="faf3e2c7"
# Activations bị chia cho `sharded`. `images` vốn đã là số ảnh trên một GPU, và mỗi GPU giữ mọi thứ mà ảnh của nó cần.
# %% role="wrong" name="activations_sharded"
patch("16 * blocks) * between", "16 * blocks) * between / sharded")

# %% [markdown] lang="en" role="mistake" name="always_four_bytes"
# The activations have 4 bytes a number, with bf16 too. They are where bf16 saves most: it halves them.
# %% [markdown] lang="vi" of="42a1cb74"
# Activations luôn có 4 byte mỗi số, kể cả khi có bf16. Đó chính là chỗ bf16 tiết kiệm nhiều nhất: một nửa activations.
# %% role="wrong" name="always_four_bytes"
patch("(2 if bf16 else 4)", "4")

# %% [markdown] lang="en" role="mistake" name="always_two_bytes"
# The activations have 2 bytes a number, without bf16 too. In float32 each number takes 4.
# %% [markdown] lang="vi" of="dd429950"
# Activations luôn có 2 byte mỗi số, kể cả khi không có bf16. Ở float32 mỗi số chiếm 4 byte.
# %% role="wrong" name="always_two_bytes"
patch("(2 if bf16 else 4)", "2")

# %% [markdown] lang="en" role="mistake" name="numbers_for_bytes"
# These are numbers of activations, not bytes: each takes 2 bytes with bf16 and 4 without.
# %% [markdown] lang="vi" of="269d1c97"
# Đây là số lượng con số trong activations, không phải số byte: mỗi số chiếm 2 byte khi có bf16 và 4 byte khi không.
# %% role="wrong" name="numbers_for_bytes"
patch(" * (2 if bf16 else 4)", "")

# %% [markdown] lang="en" role="mistake" name="one_picture"
# These are the activations of a single picture. They grow with `images`; the weights do not.
# %% [markdown] lang="vi" of="5c8aa92c"
# Đây là activations của một bức ảnh. Chúng tăng theo `images`; các trọng số thì không.
# %% role="wrong" name="one_picture"
patch("images * tokens", "tokens")

# %% [markdown] lang="en" role="mistake" name="checkpointing_left_out"
# `checkpointing` has no effect. With it a block keeps its input alone, and only one block at a time keeps all.
# %% [markdown] lang="vi" of="142c3769"
# `checkpointing` không có tác dụng. Khi bật nó, mỗi khối chỉ giữ đầu vào của mình, và mỗi lúc chỉ một khối giữ tất cả.
# %% role="wrong" name="checkpointing_left_out"
patch("(blocks + 16 if checkpointing else 16 * blocks)", "16 * blocks")

# %% [markdown] lang="en" role="mistake" name="inputs_alone"
# With checkpointing only the inputs of the blocks were counted. In the backward pass a block computes its inside again, and at
# that moment its 16 are in memory as well, of one block at a time.
# %% [markdown] lang="vi" of="aeb48434"
# Khi có checkpointing, chỉ đầu vào của các khối được tính. Trong lượt ngược, một khối tính lại phần bên trong, và lúc đó 16 lần
# của nó cũng nằm trong bộ nhớ, mỗi lúc một khối.
# %% role="wrong" name="inputs_alone"
patch("blocks + 16 if", "blocks if")

# %% [markdown] lang="en" role="mistake" name="one_block_alone"
# With checkpointing only the block that is being computed was counted. The inputs of all blocks are kept as well: from them
# each block begins again.
# %% [markdown] lang="vi" of="9403d1a5"
# Khi có checkpointing, chỉ khối đang tính lại được đếm. Đầu vào của mọi khối cũng được giữ: mỗi khối bắt đầu tính lại từ đó.
# %% role="wrong" name="one_block_alone"
patch("blocks + 16 if", "16 if")

# %% [markdown] lang="en" role="mistake" name="inputs_of_the_others"
# With checkpointing the input of one block was left out, as if it were among its 16. The table counts both: an input for each
# block, and 16 for the block at work.
# %% [markdown] lang="vi" of="586491a8"
# Khi có checkpointing, đầu vào của một khối bị bỏ ra, như thể nó đã nằm trong 16 lần kia. Đề bài tính cả hai: mỗi khối một đầu
# vào, và 16 lần cho khối đang tính.
# %% role="wrong" name="inputs_of_the_others"
patch("blocks + 16 if", "blocks + 15 if")

# %% [markdown] lang="en" role="mistake" name="total_without_activations"
# The lines are right, but `total` only has what the weights need. The activations belong to it, and are often the largest part.
# %% [markdown] lang="vi" of="0e907be4"
# Các dòng đều đúng, nhưng `total` chỉ gồm những gì các trọng số cần. Activations cũng thuộc về nó, và thường là phần lớn nhất.
# %% role="wrong" name="total_without_activations"
patch("sum(found.values())", 'sum(found.values()) - found["activations"]')

# %% [markdown] lang="en" role="mistake" name="gigabytes"
# These are gigabytes. The function returns bytes; whoever shows them divides.
# %% [markdown] lang="vi" of="ae97b655"
# Đây là gigabyte. Hàm trả về byte; nơi hiển thị sẽ tự chia.
# %% role="wrong" name="gigabytes"
patch("    return found", "    return {name: size / 1e9 for name, size in found.items()}")

# %% [markdown] lang="en" role="mistake" name="gibibytes"
# These are gibibytes, of 2^30 bytes. The function returns bytes; whoever shows them divides.
# %% [markdown] lang="vi" of="b0237d15"
# Đây là gibibyte, mỗi cái 2^30 byte. Hàm trả về byte; nơi hiển thị sẽ tự chia.
# %% role="wrong" name="gibibytes"
patch("    return found", "    return {name: size / 2**30 for name, size in found.items()}")

# %% [markdown] lang="en" role="mistake" name="weights_in_bf16"
# With bf16 the weights were counted with 2 bytes. Those that are updated stay in float32, since small steps would be lost in
# bf16; what is in bf16 is the `copy`.
# %% [markdown] lang="vi" of="b056b286"
# Khi có bf16, các trọng số bị tính 2 byte. Những trọng số được cập nhật vẫn ở float32, vì các bước nhỏ sẽ mất đi ở bf16; thứ ở
# bf16 là `copy`.
# %% role="wrong" name="weights_in_bf16"
patch('"weights": 4 * parameters', '"weights": (2 if bf16 else 4) * parameters')

# %% [markdown] lang="en" role="mistake" name="checkpointing_reversed"
# `checkpointing` works the wrong way round: the much is kept with it, and the little without.
# %% [markdown] lang="vi" of="f4f556f8"
# `checkpointing` bị hiểu ngược: có nó thì giữ nhiều, không có thì giữ ít.
# %% role="wrong" name="checkpointing_reversed"
patch("if checkpointing else", "if not checkpointing else")

# %% [markdown] lang="en" role="mistake" name="all_blocks_at_work"
# With checkpointing every block was counted with its input *and* its 16. The 16 are there for one block at a time: before the
# next one computes its own again, they are freed.
# %% [markdown] lang="vi" of="f630100c"
# Khi có checkpointing, khối nào cũng bị tính cả đầu vào *lẫn* 16 lần của nó. Mỗi lúc chỉ có 16 lần của một khối: chúng được
# giải phóng trước khi khối kế tiếp tính lại phần của mình.
# %% role="wrong" name="all_blocks_at_work"
patch("blocks + 16 if", "blocks + 16 * blocks if")

# %% [markdown] lang="en" role="mistake" name="total_of_all"
# `total` is that of all GPUs together. What has to fit is what *one* GPU keeps: the sum of the lines.
# %% [markdown] lang="vi" of="1feebee6"
# `total` đang là của tất cả các GPU cộng lại. Thứ phải vừa bộ nhớ là những gì *một* GPU giữ: tổng của các dòng.
# %% role="wrong" name="total_of_all"
patch("sum(found.values())", "sum(found.values()) * sharded")

# %% role="library"
import torch


def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    """Asks PyTorch how many bytes a number has, and adds up block after block."""
    full, half = torch.float32.itemsize, torch.bfloat16.itemsize if bf16 else torch.float32.itemsize
    kept = [1 if checkpointing else 16] * blocks + [16] * checkpointing
    states = {"weights": full, "copy": half % full, "gradients": full, "adam": 2 * full, "ema": full}
    bytes_of = {name: size * parameters * (1 / sharded if name in ("adam", "ema") else 1) for name, size in states.items()}
    bytes_of["activations"] = sum(times * images * tokens * width * half for times in kept)
    return {**bytes_of, "total": float(torch.tensor(list(bytes_of.values()), dtype=torch.float64).sum())}

# %% role="payoff"
DITS = {                                        # parameters, blocks, width
    "DiT-S/2": (33e6, 12, 384), "DiT-B/2": (130e6, 12, 768),
    "DiT-L/2": (458e6, 24, 1024), "DiT-XL/2": (675e6, 28, 1152),
}                                               # Peebles & Xie 2023, table 1
WAYS = {"float32": (False, False, 1), "bf16": (True, False, 1),
        "bf16, checkpointing": (True, True, 1), "and 8 GPUs share": (True, True, 8)}


def gigabytes(memory: Callable, name: str, images: int, way: tuple) -> float:
    parameters, blocks, width = DITS[name]
    return memory(parameters, blocks, 256, width, images, *way)["total"] / 1e9


def draw(memory: Callable) -> Tensor:
    sheets = []
    for way in WAYS.values():
        rows = [[gigabytes(memory, dit, 2**k, way) for k in range(10)] for dit in DITS]
        used = torch.tensor(rows) / 24                          # (4, 10)
        fits = torch.stack([1.6 * used - 0.8, 0.9 - 0.3 * used, 1.6 * used - 0.8])
        red = torch.tensor([0.9, -0.7, -0.7]).view(3, 1, 1)
        sheet = torch.where(used <= 1, fits, red)
        sheets.append(sheet.repeat_interleave(20, 1).repeat_interleave(8, 2))
    return torch.stack(sheets)                                  # (4, 3, 80, 80)


for title, way in WAYS.items():
    for name in DITS:
        most = [2**k for k in range(10) if gigabytes(memory, name, 2**k, way) <= 24]
        print(f"{title:20} {name:9} {most[-1] if most else 0:4} pictures in 24 GB")
payoff(draw, memory)
