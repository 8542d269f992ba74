"""Exercise 09.5, dit_block: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## Debugging: the block that draws nothing
#
# Somebody wrote the block of the DiT again, put it in the place of the library's, and got the last two of the pictures below,
# from the weights that draw the first two.
#
# `block` has `scale_shift_table` (6, D), `attn1`, `attn2` and `ff`. The table plus the time give six vectors, in the order
# shift, scale, gate for self-attention, then shift, scale, gate for the MLP. **Three things** are wrong in the block, two of
# them in two lines each. While you mend them one by one, the symptom changes before it goes away; `check` tells you what is
# left. The last cell draws with your block. Training runs through it too, so gradients have to pass.
# %% [markdown] lang="vi" of="14ca3f5b"
# ## Gỡ lỗi: khối không vẽ ra gì
#
# Ai đó viết lại khối của DiT, đặt nó vào chỗ khối của thư viện, và nhận được hai bức tranh cuối dưới đây, từ chính những trọng
# số đã vẽ ra hai bức đầu.
#
# `block` có `scale_shift_table` (6, D), `attn1`, `attn2` và `ff`. Bảng cộng với thời gian cho sáu vector, theo thứ tự shift
# (dịch), scale (co giãn), gate (cổng) cho tự chú ý, rồi shift, scale, gate cho MLP. Trong khối có **ba lỗi**, hai trong số đó
# xuất hiện ở hai dòng. Sửa được một lỗi thì triệu chứng đổi chứ chưa hết; `check` cho biết còn gì. Ô cuối cùng vẽ bằng khối của
# bạn. Việc huấn luyện cũng chạy qua khối này, nên gradient phải đi qua được.

# %% role="shown"
def broken_block(
    block: Block, x: Tensor, time: Tensor, caption: Tensor, bias: Tensor | None
) -> Tensor:
    six = (block.scale_shift_table + time).unsqueeze(2)             # (B or 1, 6, 1, D)
    scale, shift, gate, scale_mlp, shift_mlp, gate_mlp = six.unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale + shift
    x = x + block.attn1(h)
    x = x + block.attn2(x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale_mlp + shift_mlp
    x = x + block.ff(h)
    return x


images = pictures()
with patch.object(Block, "forward", broken_block):
    show([*images, *pictures()], titles=[*2 * ["library"], *2 * ["broken"]])

# %% [markdown] lang="en" role="hints"
# adaLN-zero: with a table and a time of zeros, the block must be the identity (in a fresh block the output of cross-attention
# is 0, too). Which of the six makes the two other branches silent, and where is it used?
# ---
# With shift and scale 0 and gates 1, this is an ordinary pre-norm block: layer norm, attention, add. What does `h` become when
# scale is 0?
# ---
# LayerNorm(x) (1 + scale) + shift; x + gate · branch. And compare the names before `unbind` with the order in the text above.
# %% [markdown] lang="vi" of="2f551f19"
# adaLN-zero: khi bảng và thời gian toàn số 0, khối phải là phép đồng nhất (trong khối mới khởi tạo, đầu ra của chú ý chéo cũng
# bằng 0). Vector nào trong sáu vector làm hai nhánh còn lại im lặng, và nó được dùng ở đâu?
# ---
# Khi shift và scale bằng 0, còn các gate bằng 1, đây là một khối pre-norm bình thường: chuẩn hóa lớp, chú ý, cộng. `h` thành gì
# khi scale bằng 0?
# ---
# LayerNorm(x) (1 + scale) + shift; x + gate · nhánh. Và hãy so các tên đứng trước `unbind` với thứ tự trong đề bài.

# %% [markdown] lang="en" role="stub" given="as_given"
# x (B, N, D), time (B or 1, 6, D), caption (B, L, D), bias (B, 1, 1, L) or None
# for the caption, to (B, N, D). Self-attention and MLP are normalised, shifted,
# scaled and gated; cross-attention is none of these, it is just added.
# ---
# 1. mend the three mistakes above
# 2. delete the next line
# %% [markdown] lang="vi" of="e6b5fcc8"
# x (B, N, D), thời gian time (B hoặc 1, 6, D), caption (B, L, D), bias của nó
# (B, 1, 1, L) hoặc None, thành (B, N, D). Tự chú ý và MLP được chuẩn hóa, dịch, co
# giãn và có cổng; chú ý chéo không có gì trong số đó, chỉ được cộng vào.
# ---
# 1. sửa ba lỗi ở trên
# 2. xóa dòng tiếp theo

# %% role="solution"
def dit_block(
    block: Block, x: Tensor, time: Tensor, caption: Tensor, bias: Tensor | None
) -> Tensor:
    six = (block.scale_shift_table + time).unsqueeze(2)             # (B or 1, 6, 1, D)
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = six.unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
    x = x + gate_mlp * block.ff(h)
    return x

# %% [markdown] lang="en" role="checks"
# - shape: 2 pictures of 7 tokens, 5 words
# - dtype float32
# - table, time and cross-attention's output 0: nothing changes
# - shift and scale 0, the gates not: normalised, but neither shifted nor scaled
# - the gates 1, shift and scale not
# - everything at once, a time for each picture
# - one time for both pictures, words with padding
# - as many pictures as tokens, each with its own time
# - tokens that hardly differ: eps is 1e-6
# - gradients reach the tokens, the time, the caption and the block's weights, the table too
# %% [markdown] lang="vi" of="8eef8f30"
# - kích thước: 2 ảnh, mỗi ảnh 7 token, 5 từ
# - kiểu số float32
# - bảng, thời gian và đầu ra của chú ý chéo bằng 0: không gì thay đổi
# - shift và scale bằng 0, các gate thì không: được chuẩn hóa, không bị dịch hay co giãn
# - các gate bằng 1, shift và scale thì không
# - tất cả cùng lúc, mỗi ảnh một bước thời gian
# - một bước thời gian chung cho hai ảnh, các từ có phần đệm
# - số ảnh bằng số token, mỗi ảnh một bước thời gian riêng
# - các token gần như không khác nhau: eps là 1e-6
# - gradient đến được các token, thời gian, caption và trọng số của khối, cả bảng nữa

# %% role="probes"
import torch

from minidiff.models.dit import Block, DiTConfig

WIDTH = 12


class Layers(Block):
    """A block whose own forward pass says 0: the answer's is wanted."""

    def forward(self, x, time, caption, mask):
        return torch.zeros_like(x)


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layers(seed):
    """A block of 3 heads in float64, every weight drawn by lot, the table too."""
    block = Layers(DiTConfig(hidden_size=WIDTH, heads=3, mlp_ratio=2)).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return block.requires_grad_(False)


def with_table(**numbers):
    """The block, its table filled with these numbers: shift, scale, gate."""
    block = layers(seed=1)
    for k, name in enumerate(("shift", "scale", "gate")):
        if name in numbers:
            block.scale_shift_table[k::3] = numbers[name]
    return block


def silent():
    """The block as it is before training: table 0, output of cross-attention 0."""
    block = with_table(shift=0, scale=0, gate=0)
    for parameter in block.attn2.to_out.parameters():
        torch.nn.init.zeros_(parameter)
    return block


def result(f, block, x, time, caption, bias=None):
    return f(block, x, time, caption, bias)


def change(f, block, x, time, caption):
    return f(block, x, time, caption, None) - x


def in_float32(f, block, x, time, caption):
    return str(f(block.float(), x.float(), time.float(), caption.float(), None).dtype)


def learns(f, block, x, time, caption):
    """What a gradient reaches."""
    parts = {"the tokens": [x], "the time": [time], "the caption": [caption], "the table": [block.scale_shift_table]}
    parts["the layers"] = [weight for name, weight in block.named_parameters() if name != "scale_shift_table"]
    tensors = [tensor.requires_grad_() for tensors in parts.values() for tensor in tensors]
    found = f(block, x, time, caption, None)
    if not found.requires_grad:
        return dict.fromkeys(parts, False)
    reached = dict(zip(map(id, tensors), torch.autograd.grad(found.sum(), tensors, allow_unused=True), strict=True))
    return {name: all(reached[id(tensor)] is not None for tensor in tensors) for name, tensors in parts.items()}


X, CAPTION = normal(2, 7, WIDTH, seed=2), normal(2, 5, WIDTH, seed=3)
TIME, STILL = normal(2, 6, WIDTH, seed=4), torch.zeros(1, 6, WIDTH, dtype=torch.float64)
PADDING = -10000.0 * (torch.arange(5) >= torch.tensor([[5], [3]])).double()[:, None, None]  # (B, 1, 1, L)
GIVEN = {"block": layers(seed=1), "x": X, "time": TIME, "caption": CAPTION}
SQUARE = {"x": normal(3, 3, WIDTH, seed=5), "time": normal(3, 6, WIDTH, seed=6), "caption": normal(3, 5, WIDTH, seed=7)}

probe(lambda f, **inputs: list(result(f, **inputs).shape), **GIVEN)
probe(in_float32, **GIVEN, changes=("block",))
probe(change, block=silent(), x=X, time=STILL, caption=CAPTION)
probe(result, block=with_table(shift=0, scale=0), x=X, time=STILL, caption=CAPTION)
probe(result, block=with_table(gate=1), x=X, time=STILL, caption=CAPTION)
probe(result, **GIVEN)
probe(result, block=layers(seed=1), x=X, time=TIME[:1], caption=CAPTION, bias=PADDING)
probe(result, block=layers(seed=1), **SQUARE)
probe(result, block=layers(seed=1), x=1 + 1e-3 * X, time=TIME, caption=CAPTION)
probe(learns, **GIVEN, changes=("x", "time", "caption"))

# %% [markdown] lang="en" role="mistake" name="as_given"
# No gate is used, so that even with a table and a time of zeros the block changes its tokens: begin there. And two more things
# are wrong, as in the block that was given.
# %% [markdown] lang="vi" of="61b82466"
# Không gate nào được dùng, nên ngay cả khi bảng và thời gian toàn số 0, khối vẫn làm các token thay đổi: hãy bắt đầu từ đó. Và
# còn hai chỗ sai nữa, như trong khối được đưa.
# %% role="wrong" name="as_given"
patch("shift, scale, gate, shift_mlp, scale_mlp, gate_mlp", "scale, shift, gate, scale_mlp, shift_mlp, gate_mlp")
patch("(1 + scale)", "scale")
patch("(1 + scale_mlp)", "scale_mlp")
patch("gate * attention", "attention")
patch("gate_mlp * block", "block")

# %% [markdown] lang="en" role="mistake" name="gates_and_one"
# The order of the six is right now. Two things remain: the gates are not used, and the normalised tokens are multiplied by
# scale where it should be 1 + scale.
# %% [markdown] lang="vi" of="ec8c7bbf"
# Thứ tự của sáu vector giờ đã đúng. Còn hai chỗ: các gate không được dùng, và các token đã chuẩn hóa được nhân với scale trong
# khi phải là 1 + scale.
# %% role="wrong" name="gates_and_one"
patch("(1 + scale)", "scale")
patch("(1 + scale_mlp)", "scale_mlp")
patch("gate * attention", "attention")
patch("gate_mlp * block", "block")

# %% [markdown] lang="en" role="mistake" name="gates_and_order"
# 1 + scale is right now. Two things remain: the gates are not used, and the order of the six before `unbind` is not that of the
# table.
# %% [markdown] lang="vi" of="8c9d8890"
# 1 + scale giờ đã đúng. Còn hai chỗ: các gate không được dùng, và thứ tự của sáu vector trước `unbind` không phải thứ tự trong
# bảng.
# %% role="wrong" name="gates_and_order"
patch("shift, scale, gate, shift_mlp, scale_mlp, gate_mlp", "scale, shift, gate, scale_mlp, shift_mlp, gate_mlp")
patch("gate * attention", "attention")
patch("gate_mlp * block", "block")

# %% [markdown] lang="en" role="mistake" name="one_and_order"
# The gates are right now. Two things remain: how scale is used (look at what it does when it is 0), and the order of the six
# before `unbind`.
# %% [markdown] lang="vi" of="78398166"
# Các gate giờ đã đúng. Còn hai chỗ: cách dùng scale (hãy xem nó làm gì khi bằng 0), và thứ tự của sáu vector trước `unbind`.
# %% role="wrong" name="one_and_order"
patch("shift, scale, gate, shift_mlp, scale_mlp, gate_mlp", "scale, shift, gate, scale_mlp, shift_mlp, gate_mlp")
patch("(1 + scale)", "scale")
patch("(1 + scale_mlp)", "scale_mlp")

# %% [markdown] lang="en" role="mistake" name="gates_forgotten"
# The gates are not used: every branch is added at full strength. A fresh block is then no identity; in a deep network all of
# them add up and the first loss explodes. Multiply each branch by its gate before it is added.
# %% [markdown] lang="vi" of="25825d2d"
# Các gate không được dùng: nhánh nào cũng được cộng với toàn bộ độ mạnh. Khi ấy khối mới khởi tạo không còn là phép đồng nhất;
# trong mạng sâu, chúng cộng dồn và hàm mất mát đầu tiên vọt lên. Hãy nhân mỗi nhánh với gate của nó trước khi cộng.
# %% role="wrong" name="gates_forgotten"
patch("gate * attention", "attention")
patch("gate_mlp * block", "block")

# %% [markdown] lang="en" role="mistake" name="gate_of_attention_forgotten"
# One gate is still missing: that of self-attention. The MLP has its own already.
# %% [markdown] lang="vi" of="fb85acd3"
# Vẫn còn thiếu một gate: của tự chú ý. MLP thì đã có.
# %% role="wrong" name="gate_of_attention_forgotten"
patch("gate * attention", "attention")

# %% [markdown] lang="en" role="mistake" name="gate_of_mlp_forgotten"
# One gate is still missing: that of the MLP. Self-attention has its own already.
# %% [markdown] lang="vi" of="8a73a634"
# Vẫn còn thiếu một gate: của MLP. Tự chú ý thì đã có.
# %% role="wrong" name="gate_of_mlp_forgotten"
patch("gate_mlp * block", "block")

# %% [markdown] lang="en" role="mistake" name="no_one"
# The normalised tokens are multiplied by scale, not by 1 + scale. With a scale of 0, where training starts, nothing of the
# picture is left in them, only the shift.
# %% [markdown] lang="vi" of="2ca1d102"
# Các token đã chuẩn hóa bị nhân với scale chứ không phải 1 + scale. Khi scale bằng 0, nơi việc huấn luyện bắt đầu, trong chúng
# không còn gì của bức ảnh, chỉ còn shift.
# %% role="wrong" name="no_one"
patch("(1 + scale)", "scale")
patch("(1 + scale_mlp)", "scale_mlp")

# %% [markdown] lang="en" role="mistake" name="no_one_in_attention"
# Before the MLP the tokens are multiplied by 1 + scale now, but before self-attention still by scale alone.
# %% [markdown] lang="vi" of="c9192e0d"
# Trước MLP, các token giờ đã được nhân với 1 + scale, nhưng trước tự chú ý vẫn chỉ nhân với scale.
# %% role="wrong" name="no_one_in_attention"
patch("(1 + scale)", "scale")

# %% [markdown] lang="en" role="mistake" name="no_one_in_mlp"
# Before self-attention the tokens are multiplied by 1 + scale now, but before the MLP still by scale alone.
# %% [markdown] lang="vi" of="85a9b298"
# Trước tự chú ý, các token giờ đã được nhân với 1 + scale, nhưng trước MLP vẫn chỉ nhân với scale.
# %% role="wrong" name="no_one_in_mlp"
patch("(1 + scale_mlp)", "scale_mlp")

# %% [markdown] lang="en" role="mistake" name="shift_and_scale_swapped"
# Shift and scale are swapped: in each three of the table the shift comes first, then scale, then gate. Shapes cannot tell them
# apart; only trained weights know which is which.
# %% [markdown] lang="vi" of="da7609b3"
# Shift và scale bị đổi chỗ: trong mỗi bộ ba của bảng, shift đứng trước, rồi scale, rồi gate. Kích thước không phân biệt được
# chúng; chỉ các trọng số đã huấn luyện mới biết cái nào là cái nào.
# %% role="wrong" name="shift_and_scale_swapped"
patch("shift, scale, gate, shift_mlp, scale_mlp, gate_mlp", "scale, shift, gate, scale_mlp, shift_mlp, gate_mlp")

# %% [markdown] lang="en" role="mistake" name="swapped_before_attention"
# Before the MLP shift and scale are right now, but before self-attention they are still swapped: shift, scale, gate is the
# order of both threes.
# %% [markdown] lang="vi" of="e7810326"
# Trước MLP, shift và scale giờ đã đúng, nhưng trước tự chú ý vẫn còn đổi chỗ: cả hai bộ ba đều theo thứ tự shift, scale, gate.
# %% role="wrong" name="swapped_before_attention"
patch("shift, scale, gate, shift_mlp", "scale, shift, gate, shift_mlp")

# %% [markdown] lang="en" role="mistake" name="swapped_before_mlp"
# Before self-attention shift and scale are right now, but before the MLP they are still swapped: shift, scale, gate is the
# order of both threes.
# %% [markdown] lang="vi" of="8ab1098e"
# Trước tự chú ý, shift và scale giờ đã đúng, nhưng trước MLP vẫn còn đổi chỗ: cả hai bộ ba đều theo thứ tự shift, scale, gate.
# %% role="wrong" name="swapped_before_mlp"
patch("shift_mlp, scale_mlp, gate_mlp = ", "scale_mlp, shift_mlp, gate_mlp = ")

# %% [markdown] lang="en" role="mistake" name="gate_first"
# The gate is taken from the front of each three: gate, shift, scale. The order of the table is shift, scale, gate.
# %% [markdown] lang="vi" of="aeed44ea"
# Gate được lấy ở đầu mỗi bộ ba: gate, shift, scale. Thứ tự của bảng là shift, scale, gate.
# %% role="wrong" name="gate_first"
patch("shift, scale, gate, shift_mlp, scale_mlp, gate_mlp", "gate, shift, scale, gate_mlp, shift_mlp, scale_mlp")

# %% [markdown] lang="en" role="mistake" name="in_pairs"
# The six were taken in pairs, both shifts, both scales, both gates. The first three belong to self-attention, the last three to
# the MLP.
# %% [markdown] lang="vi" of="01a17522"
# Sáu vector bị lấy theo cặp: hai shift, hai scale, hai gate. Ba vector đầu là của tự chú ý, ba vector cuối là của MLP.
# %% role="wrong" name="in_pairs"
patch("shift, scale, gate, shift_mlp, scale_mlp, gate_mlp", "shift, shift_mlp, scale, scale_mlp, gate, gate_mlp")

# %% [markdown] lang="en" role="mistake" name="branches_swapped"
# The first three were given to the MLP and the last three to self-attention. It is the other way round.
# %% [markdown] lang="vi" of="baabab68"
# Ba vector đầu bị đưa cho MLP, còn ba vector cuối cho tự chú ý. Phải ngược lại.
# %% role="wrong" name="branches_swapped"
patch("shift, scale, gate, shift_mlp, scale_mlp, gate_mlp", "shift_mlp, scale_mlp, gate_mlp, shift, scale, gate")

# %% [markdown] lang="en" role="mistake" name="one_plus_gate"
# The branches are multiplied by 1 + gate. The 1 belongs to the scale; a gate starts at 0, so that a fresh block is silent.
# %% [markdown] lang="vi" of="3ef695bd"
# Các nhánh bị nhân với 1 + gate. Số 1 là của scale; gate bắt đầu từ 0, để khối mới khởi tạo im lặng.
# %% role="wrong" name="one_plus_gate"
patch("gate * attention", "(1 + gate) * attention")
patch("gate_mlp * block", "(1 + gate_mlp) * block")

# %% [markdown] lang="en" role="mistake" name="gate_on_everything"
# The gate was applied to x as well: with gates of 0 nothing comes out of the block, and nothing is left to learn from. x passes
# as it is; the gate is for the branch alone.
# %% [markdown] lang="vi" of="70ac8f66"
# Gate bị áp cả lên x: khi gate bằng 0, không gì ra khỏi khối, và không còn gì để học. x đi qua nguyên vẹn; gate chỉ dành cho
# nhánh.
# %% role="wrong" name="gate_on_everything"
patch("x + gate * attention(block.attn1, h, None, None)", "gate * (x + attention(block.attn1, h, None, None))")
patch("x + gate_mlp * block.ff(h)", "gate_mlp * (x + block.ff(h))")

# %% [markdown] lang="en" role="mistake" name="gate_before_attention"
# The gate multiplies what goes into the branch, not what comes out. The biases of its layers then get past the gate, and a
# fresh block is no identity.
# %% [markdown] lang="vi" of="5a9532aa"
# Gate được nhân vào đầu vào của nhánh chứ không phải đầu ra. Khi ấy bias của các lớp trong nhánh lọt qua cổng, và khối mới khởi
# tạo không còn là phép đồng nhất.
# %% role="wrong" name="gate_before_attention"
patch("gate * attention(block.attn1, h, None, None)", "attention(block.attn1, gate * h, None, None)")
patch("gate_mlp * block.ff(h)", "block.ff(gate_mlp * h)")

# %% [markdown] lang="en" role="mistake" name="shift_inside"
# The shift was added before scaling, (LayerNorm(x) + shift) (1 + scale), so it is scaled too. First scale, then shift.
# %% [markdown] lang="vi" of="cbe9e267"
# Shift được cộng trước khi co giãn, (LayerNorm(x) + shift) (1 + scale), nên nó cũng bị co giãn. Hãy co giãn trước, rồi dịch.
# %% role="wrong" name="shift_inside"
patch("F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift\n",
      "(F.layer_norm(x, x.shape[-1:], eps=1e-6) + shift) * (1 + scale)\n")
patch("F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp",
      "(F.layer_norm(x, x.shape[-1:], eps=1e-6) + shift_mlp) * (1 + scale_mlp)")

# %% [markdown] lang="en" role="mistake" name="no_brackets"
# The 1 doesn't stand beside scale: without brackets the product comes first, and the rest is only added. What multiplies the
# normalised tokens is the sum 1 + scale.
# %% [markdown] lang="vi" of="566e2ac3"
# Số 1 không đi cùng scale: thiếu ngoặc thì phép nhân được làm trước, phần còn lại chỉ được cộng vào. Phải là tổng 1 + scale
# nhân với các token đã chuẩn hóa.
# %% role="wrong" name="no_brackets"
patch("* (1 + scale) + shift\n", "* 1 + scale + shift\n")
patch("* (1 + scale_mlp) + shift_mlp", "* 1 + scale_mlp + shift_mlp")

# %% [markdown] lang="en" role="mistake" name="not_normalised"
# The tokens were scaled and shifted, but never normalised: adaLN is a layer norm whose scale and shift come from the time.
# %% [markdown] lang="vi" of="e2de3171"
# Các token được co giãn và dịch nhưng không hề được chuẩn hóa: adaLN là phép chuẩn hóa lớp có scale và shift lấy từ thời gian.
# %% role="wrong" name="not_normalised"
patch("F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) ", "x * (1 + scale) ")
patch("F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp)", "x * (1 + scale_mlp)")

# %% [markdown] lang="en" role="mistake" name="added_to_h"
# The branches were added to the normalised tokens `h`, not to x. The skip connection carries x past every branch as it is, so
# that a silent block changes nothing.
# %% [markdown] lang="vi" of="f0b14f82"
# Các nhánh được cộng vào các token đã chuẩn hóa `h` chứ không phải vào x. Kết nối tắt đưa nguyên x đi vòng qua mỗi nhánh, nhờ
# vậy khối im lặng không làm thay đổi gì.
# %% role="wrong" name="added_to_h"
patch("x + gate * attention", "h + gate * attention")
patch("x + gate_mlp", "h + gate_mlp")

# %% [markdown] lang="en" role="mistake" name="first_gate_twice"
# The MLP has the gate of self-attention. Its own is the last of the six.
# %% [markdown] lang="vi" of="c6c32311"
# MLP đang dùng gate của tự chú ý. Gate của nó là vector cuối cùng trong sáu vector.
# %% role="wrong" name="first_gate_twice"
patch("x + gate_mlp *", "x + gate *")

# %% [markdown] lang="en" role="mistake" name="table_forgotten"
# Only the time is used: the block's own table is forgotten. In adaLN-single all blocks share the time's six vectors, and the
# table is what makes each block different.
# %% [markdown] lang="vi" of="272892be"
# Chỉ thời gian được dùng: bảng riêng của khối bị quên. Trong adaLN-single, mọi khối dùng chung sáu vector của thời gian, và
# chính bảng này làm cho mỗi khối khác nhau.
# %% role="wrong" name="table_forgotten"
patch("(block.scale_shift_table + time)", "time")

# %% [markdown] lang="en" role="mistake" name="time_forgotten"
# Only the table is used: the block doesn't know how much noise there is, and does the same at every step. Add the time to the
# table.
# %% [markdown] lang="vi" of="4c19a800"
# Chỉ bảng được dùng: khối không biết còn bao nhiêu nhiễu, và bước nào cũng làm như nhau. Hãy cộng thời gian vào bảng.
# %% role="wrong" name="time_forgotten"
patch("(block.scale_shift_table + time)", "block.scale_shift_table[None]")

# %% [markdown] lang="en" role="mistake" name="time_axis_missing"
# The six vectors are (B, D): without an axis for the tokens they are added along the wrong one. Where there are as many
# pictures as tokens nobody complains, and each token gets another picture's time. `unsqueeze(2)` makes (B, 6, 1, D).
# %% [markdown] lang="vi" of="d09ca6c6"
# Sáu vector có kích thước (B, D): thiếu một trục cho các token nên chúng được cộng theo trục sai. Khi số ảnh bằng số token thì
# không có lỗi nào báo, và mỗi token nhận thời gian của một ảnh khác. `unsqueeze(2)` cho (B, 6, 1, D).
# %% role="wrong" name="time_axis_missing"
patch(".unsqueeze(2) ", " ")

# %% [markdown] lang="en" role="mistake" name="wrong_width"
# The time has the wrong width: its 6 D numbers were read as D rows of six, so a shift holds numbers of all six vectors. They
# lie as six rows of D: unbind axis 1.
# %% [markdown] lang="vi" of="2ff79fa7"
# Vector thời gian bị đọc sai bề rộng: 6 D số bị đọc thành D hàng, mỗi hàng sáu số, nên shift chứa số của cả sáu vector. Chúng
# nằm thành sáu hàng, mỗi hàng D số: hãy unbind trục 1.
# %% role="wrong" name="wrong_width"
patch(".unsqueeze(2) ", ".flatten(1).unflatten(1, (-1, 6)).mT.unsqueeze(2) ")

# %% [markdown] lang="en" role="mistake" name="first_time"
# Every picture gets the time of the first one. In training each picture of a batch has a time of its own: keep the axis of the
# batch.
# %% [markdown] lang="vi" of="22e213aa"
# Ảnh nào cũng nhận thời gian của ảnh đầu tiên. Khi huấn luyện, mỗi ảnh trong lô có bước thời gian riêng: hãy giữ trục của lô.
# %% role="wrong" name="first_time"
patch("block.scale_shift_table + time", "block.scale_shift_table + time[:1]")

# %% [markdown] lang="en" role="mistake" name="cross_normalised"
# Cross-attention reads normalised tokens. In this block it takes x as it is; whoever loads trained weights has to do as they
# did.
# %% [markdown] lang="vi" of="b45691ff"
# Chú ý chéo đang đọc các token đã chuẩn hóa. Trong khối này, nó nhận x nguyên như vậy; ai nạp trọng số đã huấn luyện thì phải
# làm đúng như lúc huấn luyện.
# %% role="wrong" name="cross_normalised"
patch("attention(block.attn2, x, caption, bias)",
      "attention(block.attn2, F.layer_norm(x, x.shape[-1:], eps=1e-6), caption, bias)")

# %% [markdown] lang="en" role="mistake" name="cross_reads_h"
# Cross-attention reads `h`, the tokens as they were normalised for self-attention. Its queries come from x, which by then holds
# what self-attention added.
# %% [markdown] lang="vi" of="7daafe45"
# Chú ý chéo đang đọc `h`, tức các token đã chuẩn hóa cho tự chú ý. Truy vấn của nó phải lấy từ x, lúc ấy đã có thêm kết quả của
# tự chú ý.
# %% role="wrong" name="cross_reads_h"
patch("block.attn2, x, caption", "block.attn2, h, caption")

# %% [markdown] lang="en" role="mistake" name="cross_gated"
# Cross-attention has a gate. In this block it has none: the words count as much at every time, and its output layer starts at 0
# instead.
# %% [markdown] lang="vi" of="f3392def"
# Chú ý chéo có gate. Trong khối này nó không có: lời có tác dụng như nhau ở mọi bước thời gian, và thay vào đó lớp đầu ra của
# nó bắt đầu từ 0.
# %% role="wrong" name="cross_gated"
patch("x + attention(block.attn2", "x + gate * attention(block.attn2")

# %% [markdown] lang="en" role="mistake" name="cross_not_added"
# What cross-attention found took the place of x, instead of being added to it: the tokens themselves are lost, and all that is
# left are the words.
# %% [markdown] lang="vi" of="06e49035"
# Kết quả của chú ý chéo thay luôn chỗ của x thay vì được cộng vào: chính các token bị mất, chỉ còn lại lời.
# %% role="wrong" name="cross_not_added"
patch("x = x + attention(block.attn2", "x = attention(block.attn2")

# %% [markdown] lang="en" role="mistake" name="cross_forgotten"
# Cross-attention makes no difference: the prompt has no effect. Its result has to be added to x.
# %% [markdown] lang="vi" of="a643621c"
# Chú ý chéo không có tác dụng: prompt không ảnh hưởng gì. Kết quả của nó phải được cộng vào x.
# %% role="wrong" name="cross_forgotten"
patch("x = x + attention(block.attn2, x, caption, bias)", "attention(block.attn2, x, caption, bias)")

# %% [markdown] lang="en" role="mistake" name="image_for_words"
# Cross-attention was given no caption, so the patches look at each other a second time and no prompt is read. Pass the caption
# and its bias.
# %% [markdown] lang="vi" of="87150a57"
# Chú ý chéo không được đưa caption, nên các patch nhìn nhau thêm lần nữa và không prompt nào được đọc. Hãy truyền caption cùng
# bias của nó.
# %% role="wrong" name="image_for_words"
patch("attention(block.attn2, x, caption, bias)", "attention(block.attn2, x, None, None)")

# %% [markdown] lang="en" role="mistake" name="bias_dropped"
# The caption's bias is not passed on, so the patches read the padding of short captions too.
# %% [markdown] lang="vi" of="0480aa0b"
# Bias của caption không được truyền đi, nên các patch đọc cả phần đệm của câu ngắn.
# %% role="wrong" name="bias_dropped"
patch("x, caption, bias)", "x, caption, None)")

# %% [markdown] lang="en" role="mistake" name="bias_on_self"
# Self-attention got the caption's bias. That one belongs to the L words; the N patches have no padding.
# %% [markdown] lang="vi" of="d9df7ddb"
# Tự chú ý nhận bias của caption. Bias ấy thuộc về L từ; còn N patch thì không có phần đệm.
# %% role="wrong" name="bias_on_self"
patch("block.attn1, h, None, None", "block.attn1, h, None, bias")

# %% [markdown] lang="en" role="mistake" name="norm_not_repeated"
# The MLP got the tokens that were normalised before attention. x has changed since: normalise it again, with the last three.
# %% [markdown] lang="vi" of="822932c1"
# MLP nhận các token được chuẩn hóa từ trước chú ý. Từ đó đến giờ x đã đổi: hãy chuẩn hóa lại, với ba vector cuối.
# %% role="wrong" name="norm_not_repeated"
patch("    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp\n", "")

# %% [markdown] lang="en" role="mistake" name="eps"
# The eps of the layer norm is 1e-5, PyTorch's default. This network learnt with 1e-6, and tokens that hardly vary show the
# difference.
# %% [markdown] lang="vi" of="cf15e465"
# eps của phép chuẩn hóa lớp là 1e-5, mặc định của PyTorch. Mạng này học với 1e-6, và những token ít biến thiên cho thấy sự khác
# biệt.
# %% role="wrong" name="eps"
patch("x.shape[-1:], eps=1e-6) * (1 + scale) ", "x.shape[-1:]) * (1 + scale) ")
patch("x.shape[-1:], eps=1e-6) * (1 + scale_mlp)", "x.shape[-1:]) * (1 + scale_mlp)")

# %% [markdown] lang="en" role="mistake" name="order_of_branches"
# Cross-attention comes before self-attention. The numbers are different then: first the patches among themselves, then the
# words, then the MLP.
# %% [markdown] lang="vi" of="9ab487a7"
# Chú ý chéo đang đứng trước tự chú ý. Khi ấy các số khác hẳn: trước hết các patch với nhau, rồi đến lời, rồi MLP.
# %% role="wrong" name="order_of_branches"
patch("    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift\n",
      "    x = x + attention(block.attn2, x, caption, bias)\n"
      "    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift\n")
patch("None)\n    x = x + attention(block.attn2, x, caption, bias)\n", "None)\n")

# %% [markdown] lang="en" role="mistake" name="detached"
# The numbers are right, but no gradient passes (`detach`, `no_grad` or numpy is in the way): neither the block nor anything
# before it could learn. Gradients are turned off where one samples, not inside a block.
# %% [markdown] lang="vi" of="e24384b3"
# Các số đều đúng, nhưng không gradient nào đi qua được (vì `detach`, `no_grad` hay numpy): cả khối này lẫn mọi thứ phía trước
# đều không thể học. Chỗ tắt gradient là lúc lấy mẫu, không phải bên trong một khối.
# %% role="wrong" name="detached"
patch("def dit_block(\n", "@torch.no_grad()\ndef dit_block(\n")

# %% [markdown] lang="en" role="mistake" name="table_detached"
# The numbers are right, but no gradient reaches the table: `.data` or `.detach()` cuts it off, and it would stay at 0 for ever.
# Use the parameter itself.
# %% [markdown] lang="vi" of="8443c404"
# Các số đều đúng, nhưng không gradient nào đến được bảng: `.data` hay `.detach()` cắt nó ra, và nó sẽ mãi là 0. Hãy dùng chính
# tham số ấy.
# %% role="wrong" name="table_detached"
patch("block.scale_shift_table + time", "block.scale_shift_table.detach() + time")

# %% [markdown] lang="en" role="mistake" name="block_called"
# It calls `block` itself. In the network that is your function, which would call itself without end; here such a block answers
# 0. Use its parts.
# %% [markdown] lang="vi" of="5eb12e2e"
# Hàm gọi chính `block`. Trong mạng, đó chính là hàm của bạn, nên nó sẽ tự gọi mình mãi; ở đây khối như vậy trả lời 0. Hãy dùng
# các bộ phận của nó.
# %% role="wrong" name="block_called"
def dit_block(block: Block, x: Tensor, time: Tensor, caption: Tensor, bias: Tensor | None) -> Tensor:
    return block(x, time, caption, bias)

# %% role="library"
from minidiff.models.dit import Block


def dit_block(block, x, time, caption, bias):
    """The library's own forward pass, on the parts of this block."""
    return Block.forward(block, x, time, caption, bias)

# %% role="payoff"
def draw(dit_block: Callable) -> Tensor:
    with patch.object(Block, "forward", dit_block):
        return pictures()


payoff(draw, dit_block)
