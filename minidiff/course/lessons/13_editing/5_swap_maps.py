"""Exercise 13.5, swap_maps: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## The old words' maps for the new words
#
# **Prompt-to-prompt.** Two pictures are drawn side by side from one noise, one from the old prompt and one from the new one. In
# each layer of cross-attention the old maps say where the old picture looks for which word, and the new ones do so for the new
# picture. Give the new picture these maps instead (Hertz et al. 2022, section 3.2):
#
# $$\text{maps} = (\text{old}\;\text{mapping} + \text{new} \odot \text{added}) \odot \text{factors}$$
#
# `old` and `new` are (B, heads, N, L): for each of N places how much it attends to each of L tokens. Row i of `mapping` (B, L,
# L) says to which new tokens the old token i belongs. `added` (B, L) is 1 for the tokens that only the new prompt has: they
# keep their own maps. `factors` (B, L) makes words stronger or weaker; the result isn't made to sum to 1 again. The last cell
# swaps words inside `world-dit`: a car becomes a boat, and a red cat a blue one, each where the old one was.
# %% [markdown] lang="vi" of="927f2a60"
# ## Bản đồ của lời cũ cho lời mới
#
# **Prompt-to-prompt.** Hai bức tranh được vẽ cạnh nhau từ cùng một nhiễu, một bức theo prompt cũ và một bức theo prompt mới.
# Trong mỗi lớp chú ý chéo (cross-attention), bản đồ cũ cho biết bức cũ nhìn vào đâu cho từng từ, bản đồ mới cũng vậy với bức
# mới. Hãy đưa cho bức mới các bản đồ sau (Hertz và cộng sự 2022, mục 3.2):
#
# $$\text{maps} = (\text{old}\;\text{mapping} + \text{new} \odot \text{added}) \odot \text{factors}$$
#
# `old` và `new` có kích thước (B, heads, N, L): mỗi vị trí trong N vị trí chú ý đến từng token trong L token bao nhiêu. Hàng i
# của `mapping` (B, L, L) cho biết token cũ i thuộc về những token mới nào. `added` (B, L) bằng 1 với các token chỉ prompt mới
# có: chúng giữ bản đồ của mình. `factors` (B, L) làm cho từ mạnh lên hoặc yếu đi; kết quả không được chuẩn hóa lại về tổng 1. Ô
# cuối cùng đổi từ bên trong `world-dit`: ô tô thành thuyền, mèo đỏ thành mèo xanh dương, mỗi thứ ở đúng chỗ của thứ cũ.

# %% [markdown] lang="en" role="hints"
# Write the shapes of all five below each other, aligned at the right. Which of them lack the axis of heads, and which that of
# places?
# ---
# The new token j gets the sum over old tokens i of `old[..., i] * mapping[i, j]`: a matrix product. For that, `mapping` needs
# an axis of length 1 for the heads; `added` and `factors` need two.
# ---
# `mapping[:, None]` is (B, 1, L, L), and `added[:, None, None]` is (B, 1, 1, L). Then follow the formula: `@` for the old maps,
# `*` for the new ones, the sum in brackets.
# %% [markdown] lang="vi" of="f76463f6"
# Hãy viết kích thước của cả năm thứ dưới nhau, canh lề phải. Cái nào thiếu trục heads, cái nào thiếu trục vị trí?
# ---
# Token mới j nhận tổng trên các token cũ i của `old[..., i] * mapping[i, j]`: một tích ma trận. Muốn vậy `mapping` cần một trục
# dài 1 cho heads; `added` và `factors` thì cần hai.
# ---
# `mapping[:, None]` là (B, 1, L, L), còn `added[:, None, None]` là (B, 1, 1, L). Rồi cứ theo công thức: `@` cho bản đồ cũ, `*`
# cho bản đồ mới, tổng đặt trong ngoặc.

# %% [markdown] lang="en" role="stub"
# Maps for the new words, (B, heads, N, L). old, new: (B, heads, N, L); mapping:
# (B, L, L), from old tokens (rows) to new ones (columns); added: (B, L), 1 for tokens
# that are only in the new prompt; factors: (B, L), by how much each is multiplied.
# ---
# 1. the old maps, carried to the new tokens                 # (B, heads, N, L)
# 2. and the new ones, where the old prompt has nothing      # (B, heads, N, L)
# 3. all times the factor of each token
# %% [markdown] lang="vi" of="870dd8e7"
# Bản đồ cho lời mới, (B, heads, N, L). old, new: (B, heads, N, L); mapping:
# (B, L, L), từ token cũ (hàng) sang token mới (cột); added: (B, L), 1 với token chỉ
# prompt mới có; factors: (B, L), mỗi token được nhân lên bao nhiêu.
# ---
# 1. bản đồ cũ, chuyển sang các token mới                     # (B, heads, N, L)
# 2. và bản đồ mới, nơi prompt cũ không có gì                 # (B, heads, N, L)
# 3. tất cả nhân với hệ số của từng token

# %% role="solution"
def swap_maps(
    old: Tensor, new: Tensor, mapping: Tensor, added: Tensor, factors: Tensor
) -> Tensor:
    swapped = old @ mapping[:, None]                            # (B, heads, N, L)
    maps = swapped + new * added[:, None, None]
    return maps * factors[:, None, None]

# %% [markdown] lang="en" role="checks"
# - shape and dtype, float32 and float64
# - a swap: nothing is added, every factor is 1
# - one old word for two new ones, and two old ones for one: the old sums stay
# - added words keep their own maps
# - stronger and weaker words, whose sum isn't made 1 again
# - all at once, other tables for each picture
# - as many pictures as heads, places and tokens
# - one picture, one head
# %% [markdown] lang="vi" of="9de0027c"
# - kích thước và kiểu số, float32 và float64
# - đổi từ: không thêm gì, mọi hệ số bằng 1
# - một từ cũ thành hai từ mới, và hai từ cũ thành một: tổng cũ vẫn giữ
# - các từ thêm vào giữ bản đồ của mình
# - từ mạnh hơn và yếu hơn, không chuẩn hóa lại về tổng 1
# - tất cả cùng lúc, mỗi bức một bộ bảng khác nhau
# - số bức bằng số head, số vị trí và số token
# - một bức, một head

# %% role="probes"
import torch


def maps(*shape, seed):
    """Attention weights, float64, the same in every call: rows sum to 1."""
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return noise.softmax(-1)


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def shapes_and_dtypes(f, old, new, mapping, added, factors):
    found = []
    for kind in (torch.float32, torch.float64):
        made = f(*(one.to(kind) for one in (old, new, mapping, added, factors)))
        found.append([list(made.shape), str(made.dtype)])
    return found


def swapped(f, old, new, mapping, added, factors):
    return f(old, new, mapping, added, factors)


def sums(f, old, new, mapping, added, factors):
    made = f(old, new, mapping, added, factors)
    return [made, made.sum(-1)]


OLD, NEW = maps(2, 3, 5, 4, seed=1), maps(2, 3, 5, 4, seed=2)       # (B, heads, N, L)
TURNED = [one.transpose(1, 2).contiguous().transpose(1, 2) for one in (OLD, NEW)]
SWAP = table([1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0])
SPLIT = table([1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1], [0, 0, 0, 1])
INSERT = table([1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0])
NONE, ALL = torch.zeros(2, 4, dtype=torch.float64), torch.ones(2, 4, dtype=torch.float64)
FIRST = {"old": OLD, "new": NEW}
TABLES = {"mapping": torch.stack([SPLIT, INSERT]), "added": table([0, 0, 0, 0], [0, 1, 0, 0]),
          "factors": table([1, 2.5, 1, 0.5], [1, 1.5, -1, 3])}        # fmt: skip
SAME = {"old": maps(4, 4, 4, 4, seed=3), "new": maps(4, 4, 4, 4, seed=4),
        "mapping": torch.stack([SPLIT, INSERT, SWAP, SPLIT.T]),
        "added": table([0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]),
        "factors": table([1, 2, 1, 1], [1, 0.5, 1, 1], [3, 1, 1, 1], [1, 1, 1, -2])}        # fmt: skip
SINGLE = {"old": maps(1, 1, 6, 4, seed=5), "new": maps(1, 1, 6, 4, seed=6), "mapping": INSERT[None],
          "added": table([0, 1, 0, 0]), "factors": table([1, 1, 2, 1])}     # fmt: skip

probe(shapes_and_dtypes, **FIRST, **TABLES)
probe(swapped, **FIRST, mapping=torch.stack([SWAP, SWAP.T]), added=NONE, factors=ALL)
probe(sums, **FIRST, mapping=torch.stack([SPLIT, SPLIT.flip(0)]), added=NONE, factors=ALL)
probe(swapped, **FIRST, mapping=torch.stack([INSERT, INSERT]), added=table([0, 1, 0, 0], [0, 1, 0, 0]), factors=ALL)
probe(sums, **FIRST, mapping=torch.stack([SWAP, SWAP]), added=NONE, factors=table([1, 2, 1, 1], [1, 1, 0, -1]))
probe(swapped, points=2, old=TURNED[0], new=TURNED[1], **TABLES)
probe(swapped, **SAME)
probe(swapped, **SINGLE)

# %% [markdown] lang="en" role="mistake" name="mapping_turned"
# The mapping is used the wrong way round, from new to old: its rows are the old tokens and its columns the new ones, so `old @
# mapping` needs no transpose.
# %% [markdown] lang="vi" of="4dcb290a"
# `mapping` bị dùng ngược chiều, từ mới sang cũ: hàng của nó là token cũ, cột là token mới, nên `old @ mapping` không cần chuyển
# vị.
# %% role="wrong" name="mapping_turned"
patch("mapping[:, None]", "mapping.mT[:, None]")

# %% [markdown] lang="en" role="mistake" name="no_axis_for_heads"
# `old @ mapping` sets the pictures of `mapping` against the heads of `old`. That stops with an error, or, where there are as
# many pictures as heads, goes wrong silently. Give `mapping` an axis for the heads.
# %% [markdown] lang="vi" of="bf723499"
# `old @ mapping` đem các bức của `mapping` ghép với các head của `old`. Phép tính dừng với lỗi, hoặc khi số bức bằng số head
# thì lặng lẽ cho kết quả sai. Hãy thêm cho `mapping` một trục dành cho heads.
# %% role="wrong" name="no_axis_for_heads"
patch("mapping[:, None]", "mapping")

# %% [markdown] lang="en" role="mistake" name="one_axis_for_two"
# `added` and `factors` have one new axis, so their pictures meet the heads. They lack two axes, heads and places: `[:, None,
# None]`.
# %% [markdown] lang="vi" of="f534acbb"
# `added` và `factors` chỉ có thêm một trục, nên các bức của chúng gặp các head. Chúng thiếu hai trục, heads và vị trí: `[:,
# None, None]`.
# %% role="wrong" name="one_axis_for_two"
patch("added[:, None, None]", "added[:, None]")
patch("factors[:, None, None]", "factors[:, None]")

# %% [markdown] lang="en" role="mistake" name="no_axes"
# None of the three tables has new axes, so their pictures meet the heads and the places. That stops with an error, or goes
# wrong silently where the numbers happen to be equal. `mapping` lacks the axis of heads; `added` and `factors` lack two.
# %% [markdown] lang="vi" of="0b6f1f59"
# Cả ba bảng đều chưa có thêm trục, nên các bức của chúng gặp các head và các vị trí. Phép tính dừng với lỗi, hoặc khi các số
# tình cờ bằng nhau thì lặng lẽ sai. `mapping` thiếu trục heads; `added` và `factors` thiếu hai trục.
# %% role="wrong" name="no_axes"
patch("mapping[:, None]", "mapping")
patch("added[:, None, None]", "added")
patch("factors[:, None, None]", "factors")

# %% [markdown] lang="en" role="mistake" name="no_axes_for_added"
# `mapping` has its axis, but `added` and `factors` are used as they are: in (B, L) the pictures meet the places. They lack two
# axes, heads and places.
# %% [markdown] lang="vi" of="177c9495"
# `mapping` đã có thêm trục, nhưng `added` và `factors` được dùng nguyên như cũ: với (B, L) thì các bức gặp các vị trí. Chúng
# thiếu hai trục, heads và vị trí.
# %% role="wrong" name="no_axes_for_added"
patch("added[:, None, None]", "added")
patch("factors[:, None, None]", "factors")

# %% [markdown] lang="en" role="mistake" name="first_picture_alone"
# The tables of the first picture are used for all. Each picture has its own prompt, hence its own tables.
# %% [markdown] lang="vi" of="07307f4e"
# Bảng của bức đầu tiên bị dùng cho mọi bức. Mỗi bức có prompt riêng, nên có bảng riêng.
# %% role="wrong" name="first_picture_alone"
patch("mapping[:, None]", "mapping[0]")
patch("added[:, None, None]", "added[0]")
patch("factors[:, None, None]", "factors[0]")

# %% [markdown] lang="en" role="mistake" name="new_everywhere"
# The new maps are added for every token, so that all words are looked at twice, in the old place and in the new one. Only the
# added ones bring their own: times `added`.
# %% [markdown] lang="vi" of="7c244f5d"
# Bản đồ mới được cộng vào cho mọi token, nên mọi từ đều được nhìn hai lần, ở chỗ cũ và ở chỗ mới. Chỉ những token thêm vào mới
# mang bản đồ riêng: nhân với `added`.
# %% role="wrong" name="new_everywhere"
patch("new * added[:, None, None]", "new")

# %% [markdown] lang="en" role="mistake" name="added_left_out"
# The new maps aren't used at all. No place then looks at a word that only the new prompt has, so it can't appear.
# %% [markdown] lang="vi" of="36cb42ce"
# Bản đồ mới không được dùng chút nào. Khi đó không vị trí nào nhìn đến từ chỉ có trong prompt mới, nên nó không thể hiện ra.
# %% role="wrong" name="added_left_out"
patch("swapped + new * added[:, None, None]", "swapped")

# %% [markdown] lang="en" role="mistake" name="added_turned"
# The new maps are taken for all words but the added ones. `added` is 1 where the new map counts.
# %% [markdown] lang="vi" of="06e7ef72"
# Bản đồ mới được lấy cho mọi từ, trừ đúng các từ thêm vào. `added` bằng 1 ở nơi bản đồ mới có hiệu lực.
# %% role="wrong" name="added_turned"
patch("new * added[:, None, None]", "new * (1 - added[:, None, None])")

# %% [markdown] lang="en" role="mistake" name="old_added"
# For added words the old maps were taken, where some other word stands at that place in the row. Added words keep their own:
# `new * added`.
# %% [markdown] lang="vi" of="b42c56a6"
# Với các từ thêm vào, bản đồ cũ lại được dùng, mà ở vị trí ấy trong hàng là một từ khác. Từ thêm vào giữ bản đồ của mình:
# `new * added`.
# %% role="wrong" name="old_added"
patch("new * added", "old * added")

# %% [markdown] lang="en" role="mistake" name="one_or_the_other"
# Where `added` is 1, what the mapping brings is thrown away. The formula is a sum: a token that is added, and to which the
# mapping also carries an old one, gets both.
# %% [markdown] lang="vi" of="d304f896"
# Ở nơi `added` bằng 1, phần do `mapping` đem đến bị bỏ đi. Công thức là một tổng: token nào vừa được thêm vào, vừa được
# `mapping` chuyển đến một token cũ thì nhận cả hai.
# %% role="wrong" name="one_or_the_other"
patch("swapped + new * added[:, None, None]", "torch.where(added[:, None, None] > 0, new, swapped)")

# %% [markdown] lang="en" role="mistake" name="old_and_new_swapped"
# Old and new are swapped: the new maps were carried along, so the layout of the old picture is lost.
# %% [markdown] lang="vi" of="2809fdfc"
# Cũ và mới bị đổi chỗ: bản đồ mới được chuyển đi, nên bố cục của bức cũ bị mất.
# %% role="wrong" name="old_and_new_swapped"
patch("old @ mapping", "new @ mapping")
patch("new * added", "old * added")

# %% [markdown] lang="en" role="mistake" name="nothing_swapped"
# The new picture keeps its own maps, only re-weighted: nothing of the old layout comes along.
# %% [markdown] lang="vi" of="f738d8b7"
# Bức mới giữ nguyên bản đồ của mình, chỉ được cân lại: bố cục cũ không theo sang chút nào.
# %% role="wrong" name="nothing_swapped"
patch("swapped + new * added[:, None, None]", "new")

# %% [markdown] lang="en" role="mistake" name="mapping_left_out"
# The old maps were taken token by token, without the mapping. The words stand at other places in the new prompt: `old @
# mapping` carries them there.
# %% [markdown] lang="vi" of="6186abde"
# Bản đồ cũ được lấy theo từng token mà không qua `mapping`. Trong prompt mới các từ đứng ở chỗ khác: `old @ mapping` chuyển
# chúng đến đó.
# %% role="wrong" name="mapping_left_out"
patch("old @ mapping[:, None]", "old * (1 - added[:, None, None])")

# %% [markdown] lang="en" role="mistake" name="factors_left_out"
# The factors are missing, so no word can be made stronger or weaker.
# %% [markdown] lang="vi" of="daa6fddb"
# Thiếu các hệ số, nên không từ nào mạnh lên hay yếu đi được.
# %% role="wrong" name="factors_left_out"
patch("maps * factors[:, None, None]", "maps")

# %% [markdown] lang="en" role="mistake" name="factors_on_new_alone"
# Only the added words are multiplied by their factors; multiplication comes before addition. The factors count for all words,
# so put the sum in brackets.
# %% [markdown] lang="vi" of="652e9cd5"
# Chỉ những từ thêm vào được nhân với hệ số, vì phép nhân được tính trước phép cộng. Hệ số áp dụng cho mọi từ, nên hãy đặt tổng
# trong ngoặc.
# %% role="wrong" name="factors_on_new_alone"
patch("swapped + new * added[:, None, None]", "swapped + new * added[:, None, None] * factors[:, None, None]")
patch("maps * factors[:, None, None]", "maps")

# %% [markdown] lang="en" role="mistake" name="factors_on_old_alone"
# Only what comes from the old maps is multiplied by the factors; added words get theirs too.
# %% [markdown] lang="vi" of="1a900959"
# Chỉ phần đến từ bản đồ cũ được nhân với hệ số; các từ thêm vào cũng phải được nhân.
# %% role="wrong" name="factors_on_old_alone"
patch("swapped + new", "swapped * factors[:, None, None] + new")
patch("maps * factors[:, None, None]", "maps")

# %% [markdown] lang="en" role="mistake" name="factors_before_the_swap"
# The factors were multiplied into the old maps, before the mapping. They belong to the *new* words, so they come last.
# %% [markdown] lang="vi" of="daa9de07"
# Các hệ số bị nhân vào bản đồ cũ, trước `mapping`. Chúng thuộc về các từ *mới*, nên phải nhân sau cùng.
# %% role="wrong" name="factors_before_the_swap"
patch("old @ mapping", "(old * factors[:, None, None]) @ mapping")
patch("maps * factors[:, None, None]", "maps")

# %% [markdown] lang="en" role="mistake" name="normalised"
# The maps were made to sum to 1 again. Then a word can only grow at the cost of all the others, and a swap for a longer prompt
# changes every weight. Leave the sums as they come.
# %% [markdown] lang="vi" of="6daeca20"
# Các bản đồ bị chuẩn hóa lại về tổng 1. Khi đó một từ chỉ mạnh lên được khi mọi từ khác yếu đi, và đổi sang prompt dài hơn làm
# thay đổi mọi trọng số. Hãy để nguyên các tổng.
# %% role="wrong" name="normalised"
patch("return maps * factors[:, None, None]",
      "maps = maps * factors[:, None, None]\n    return maps / maps.sum(-1, keepdim=True)")

# %% [markdown] lang="en" role="mistake" name="softmax_again"
# A softmax was put over the result. The maps are weights already; a second softmax makes them nearly even.
# %% [markdown] lang="vi" of="20f8f17e"
# Kết quả bị cho qua softmax. Các bản đồ vốn đã là trọng số; thêm một softmax nữa làm chúng gần như đều nhau.
# %% role="wrong" name="softmax_again"
patch("return maps * factors[:, None, None]", "return (maps * factors[:, None, None]).softmax(-1)")

# %% [markdown] lang="en" role="mistake" name="one_old_token_each"
# Each new token takes the map of one old token. Where two old ones belong to it, the other is lost, and where one is shared by
# two, each gets it whole. The matrix product adds and shares as `mapping` says.
# %% [markdown] lang="vi" of="5b62bf78"
# Mỗi token mới chỉ lấy bản đồ của một token cũ. Khi có hai token cũ thuộc về nó thì một cái bị mất, và khi một token cũ chia
# cho hai thì mỗi bên lại nhận trọn. Tích ma trận cộng và chia đúng như `mapping` nói.
# %% role="wrong" name="one_old_token_each"
patch("old @ mapping[:, None]", "old @ (torch.zeros_like(mapping).scatter(1, mapping.argmax(1, keepdim=True), 1) "
      "* (mapping.amax(1, keepdim=True) > 0))[:, None]")

# %% role="library"
import torch
from torch import nn

from minidiff.nn.attention import Attention
from minidiff.pipelines.shared_attention import SharedAttention, Sharing


def swap_maps(old, new, mapping, added, factors):
    """The library's hook on a layer of one head for each head here: identity projections, and values that are the tokens'
    numbers, so that the output is the maps themselves. Pictures and heads become pictures."""
    B, heads, N, L = old.shape
    rows = torch.cat([old, new]).flatten(0, 1).log()                                # (2 B heads, N, L)
    layer = Attention(L, L, heads=1, head_dim=L)
    for part in (layer.to_q, layer.to_k, layer.to_v, layer.to_out[0]):
        part.weight.data = torch.eye(L)
        if part.bias is not None:
            nn.init.zeros_(part.bias)
    layer = layer.to(old.dtype)
    context = torch.eye(L, dtype=old.dtype).expand(len(rows), L, L) * 1.0
    each = [table.repeat_interleave(heads, 0) for table in (mapping, added, factors)]
    root = nn.Module()
    root.attn2 = layer
    with torch.no_grad(), SharedAttention(root, Sharing(1.0, 0.0, *each), steps=1).attached():
        made = layer(rows * L**0.5, context, None)                                  # (2 B heads, N, L)
    return made[B * heads :].unflatten(0, (B, heads))

# %% role="payoff"
@torch.inference_mode()
def draw(swap_maps: Callable) -> Tensor:
    car, boat = "a red car at sea", "a red boat at sea"
    cat, blue = "a red cat in a meadow", "a blue cat in a meadow"
    return torch.cat([
        words_changed(swap_maps, car, boat, seed=3),            # old, new
        words_changed(swap_maps, cat, blue, seed=4),
    ])                                                          # (4, 3, 128, 128)


payoff(draw, swap_maps)
