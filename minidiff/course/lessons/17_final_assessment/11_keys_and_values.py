"""Exercise 17.11, keys_and_values: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("keys_and_values", "read_words", "word_pairs")

# %% [markdown] lang="en" role="task" difficulty="4" minutes="7"
# ## Part 3, words: keys and values, once a prompt
#
# The words stay the same in all steps of a sampler, so their keys and values need to be made only once, for all cross-attention
# layers. `layers` is a dict; each layer has `to_k` and `to_v` (callable: words (B, L, D) to (B, L, heads · d)) and `heads`.
# Call each of them **once**, for the whole batch.
#
# First shorten the sentences: columns behind the last one that **any** sentence of the batch reads (its `bias` is 0) are cut
# off, from words and bias alike. A hidden column in between stays.
#
# Return the shortened bias and a dict {name: (keys, values)}, each (B, heads, L', d), head 0 first. Training calls it, too:
# gradients have to pass.
# %% [markdown] lang="vi" of="c63e01b8"
# ## Phần 3, lời: khóa và giá trị, mỗi prompt một lần
#
# Các từ không đổi qua mọi bước của bộ lấy mẫu, nên khóa và giá trị của chúng chỉ cần làm một lần, cho mọi lớp chú ý chéo.
# `layers` là một dict; mỗi lớp có `to_k` và `to_v` (gọi được: các từ (B, L, D) thành (B, L, heads · d)) và `heads`. Hãy gọi mỗi
# thứ **một lần** cho cả lô.
#
# Trước hết hãy rút ngắn các câu: bỏ những cột đứng sau cột cuối cùng mà **bất kỳ** câu nào trong lô còn đọc (`bias` của nó bằng
# 0), ở các từ lẫn ở bias. Cột bị che nằm xen giữa thì giữ lại.
#
# Trả về bias đã rút ngắn và một dict {tên: (khóa, giá trị)}, mỗi thứ (B, heads, L', d), đầu 0 trước. Khi huấn luyện cũng gọi
# hàm này: gradient phải đi qua được.

# %% [markdown] lang="en" role="hints"
# `(bias == 0)` is (B, 1, 1, L). Which columns does anybody read?
# ---
# `.any(0).flatten().nonzero().max() + 1` is the length that stays.
# ---
# `made.unflatten(2, (heads, -1)).transpose(1, 2)`, of the words, for keys as for values.
# %% [markdown] lang="vi" of="dff06cd9"
# `(bias == 0)` có kích thước (B, 1, 1, L). Những cột nào còn có câu đọc?
# ---
# `.any(0).flatten().nonzero().max() + 1` là độ dài còn lại.
# ---
# `made.unflatten(2, (heads, -1)).transpose(1, 2)`, từ các từ, cho khóa cũng như cho giá trị.

# %% [markdown] lang="en" role="stub"
# words (B, L, D), bias (B, 1, 1, L), layers {name: to_k, to_v, heads} to the bias
# (B, 1, 1, L') and {name: (keys, values)}, (B, heads, L', d) each.
# ---
# 1. the length that is read, L'
# 2. words and bias of that length
# 3. for each layer: its keys and its values, in heads        # (B, heads, L', d)
# %% [markdown] lang="vi" of="fa39369b"
# words (B, L, D), bias (B, 1, 1, L), layers {tên: to_k, to_v, heads} thành bias
# (B, 1, 1, L') và {tên: (khóa, giá trị)}, mỗi thứ (B, heads, L', d).
# ---
# 1. độ dài được đọc, L'
# 2. các từ và bias với độ dài ấy
# 3. với mỗi lớp: khóa và giá trị của nó, chia thành các đầu  # (B, heads, L', d)

# %% role="solution"
def keys_and_values(
    words: Tensor, bias: Tensor, layers: dict[str, Any]
) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    read = (bias == 0).any(0).flatten()                         # (L,)
    length = int(read.nonzero().max()) + 1                      # L'
    words, bias = words[:, :length], bias[..., :length]

    def in_heads(made: Tensor, heads: int) -> Tensor:
        return made.unflatten(2, (heads, -1)).transpose(1, 2)   # (B, heads, L', d)

    found = {}
    for name, layer in layers.items():
        keys = in_heads(layer.to_k(words), layer.heads)
        found[name] = keys, in_heads(layer.to_v(words), layer.heads)
    return bias, found

# %% [markdown] lang="en" role="checks"
# - names and shapes
# - keys and values of one layer
# - keys and values of layers with other heads and widths
# - the bias
# - a hidden word in the middle
# - nothing to cut, and the gradient
# - how often each layer is called, and for what
# %% [markdown] lang="vi" of="a5ca22a8"
# - tên và kích thước
# - khóa và giá trị của một lớp
# - khóa và giá trị của các lớp có số đầu và bề rộng khác
# - bias
# - một từ bị che ở giữa
# - không có gì để bỏ, và gradient
# - mỗi lớp được gọi mấy lần, với đầu vào nào

# %% role="probes"
from types import SimpleNamespace

import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(width, heads, seed):
    k, v = normal(4, width, seed=seed), normal(4, width, seed=seed + 1)
    return SimpleNamespace(to_k=lambda x: x @ k, to_v=lambda x: x @ v, heads=heads)


def made(f, words, bias, names):
    kinds = {"low": layer(6, 3, 10), "middle": layer(8, 2, 20), "high": layer(5, 5, 30)}
    return f(words, bias, {name: kinds[name] for name in names})


def pairs(f, words, bias, names):
    return {name: list(two) for name, two in made(f, words, bias, names)[1].items()}


def slope(f, words, bias):
    """The gradient at the words."""
    words = words.clone().requires_grad_()
    total = sum(part.square().sum() for part in made(f, words, bias, ["low"])[1]["low"])
    return torch.autograd.grad(total, words)[0] if total.requires_grad else None


def calls(f, words, bias):
    """The shape of what each layer is called with, in order."""
    seen = []

    def spy(name):
        return lambda x: seen.append([name, list(x.shape)]) or x.repeat(1, 1, 3)

    f(words, bias, {"one": SimpleNamespace(to_k=spy("k"), to_v=spy("v"), heads=2)})
    return sorted(seen)


def hidden(*rows):
    return (-1e4 * torch.tensor(rows).double())[:, None, None]


WORDS = normal(3, 6, 4, seed=1)
SHORT = hidden([0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1])
HOLE = hidden([0, 1, 0, 0, 0, 1], [0, 1, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1])
FULL = hidden([0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1])


def shapes(f, words, bias):
    cut, found = made(f, words, bias, ("low", "middle"))
    return [list(cut.shape), {name: [list(part.shape) for part in two] for name, two in found.items()}]


probe(shapes, words=WORDS, bias=SHORT)
probe(lambda f, words, bias: pairs(f, words, bias, ["low"]), points=3, words=WORDS, bias=SHORT)
probe(lambda f, words, bias: pairs(f, words, bias, ["high", "middle"]), points=2, words=WORDS, bias=SHORT)
probe(lambda f, words, bias: made(f, words, bias, ["low"])[0], words=WORDS, bias=SHORT)
probe(lambda f, words, bias: [made(f, words, bias, ["low"])[0], pairs(f, words, bias, ["low"])], words=WORDS, bias=HOLE)
probe(lambda f, words, bias: [pairs(f, words, bias, ["low"]), slope(f, words, bias)], words=WORDS, bias=FULL)
probe(calls, words=WORDS, bias=SHORT)

# %% [markdown] lang="en" role="mistake" name="not_cut"
# Nothing was cut off: columns that no sentence reads cost time in every layer and step.
# %% [markdown] lang="vi" of="02e1bec6"
# Chưa bỏ gì cả: các cột mà không câu nào đọc làm tốn thời gian ở mọi lớp và mọi bước.
# %% role="wrong" name="not_cut"
patch("int(read.nonzero().max()) + 1", "words.shape[1]")

# %% [markdown] lang="en" role="mistake" name="one_too_few"
# One column too few stays: a length is one more than the last index.
# %% [markdown] lang="vi" of="63737002"
# Giữ thiếu một cột: độ dài bằng chỉ số cuối cộng một.
# %% role="wrong" name="one_too_few"
patch("int(read.nonzero().max()) + 1", "int(read.nonzero().max())")

# %% [markdown] lang="en" role="mistake" name="shortest"
# Only what **all** sentences read was kept, so the longer ones lose words. A column stays if any of them reads it.
# %% [markdown] lang="vi" of="e8b212f9"
# Chỉ giữ những gì **mọi** câu đều đọc, nên câu dài mất từ. Một cột được giữ nếu có bất kỳ câu nào đọc nó.
# %% role="wrong" name="shortest"
patch(".any(0)", ".all(0)")

# %% [markdown] lang="en" role="mistake" name="first_sentence"
# The length is that of the first sentence. Another one of the batch may be longer.
# %% [markdown] lang="vi" of="45d48bde"
# Độ dài được lấy từ câu đầu. Câu khác trong lô có thể dài hơn.
# %% role="wrong" name="first_sentence"
patch("(bias == 0).any(0).flatten()", "(bias == 0)[0].flatten()")

# %% [markdown] lang="en" role="mistake" name="holes_cut"
# A hidden column in the middle was cut out as well. Only those behind the last column that is read go.
# %% [markdown] lang="vi" of="ed8bee15"
# Cột bị che ở giữa cũng bị bỏ. Chỉ bỏ những cột đứng sau cột cuối cùng được đọc.
# %% role="wrong" name="holes_cut"
patch("words[:, :length], bias[..., :length]", "words[:, read], bias[..., read]")

# %% [markdown] lang="en" role="mistake" name="bias_not_cut"
# The words were shortened, the bias wasn't: in attention the two must have one length.
# %% [markdown] lang="vi" of="a68768be"
# Các từ đã rút ngắn còn bias thì chưa: trong cơ chế chú ý, hai thứ phải cùng độ dài.
# %% role="wrong" name="bias_not_cut"
patch("words[:, :length], bias[..., :length]", "words[:, :length], bias")

# %% [markdown] lang="en" role="mistake" name="keys_twice"
# The values are made by `to_k` as well: they are the keys once more.
# %% [markdown] lang="vi" of="0b4ab732"
# Giá trị cũng do `to_k` tạo ra: chúng lại chính là khóa.
# %% role="wrong" name="keys_twice"
patch("layer.to_v(words)", "layer.to_k(words)")

# %% [markdown] lang="en" role="mistake" name="swapped"
# Keys and values have changed places: (keys, values).
# %% [markdown] lang="vi" of="a569ddd0"
# Khóa và giá trị bị đổi chỗ: phải là (khóa, giá trị).
# %% role="wrong" name="swapped"
patch("keys, in_heads(layer.to_v(words), layer.heads)", "in_heads(layer.to_v(words), layer.heads), keys")

# %% [markdown] lang="en" role="mistake" name="no_heads"
# There are no heads: (B, L', heads · d) as the layers give it.
# %% [markdown] lang="vi" of="0555b850"
# Chưa chia đầu: (B, L', heads · d) như các lớp trả về.
# %% role="wrong" name="no_heads"
patch("made.unflatten(2, (heads, -1)).transpose(1, 2) ", "made ")

# %% [markdown] lang="en" role="mistake" name="heads_behind"
# The heads stand behind the words: (B, L', heads, d). Let axes 1 and 2 change places.
# %% [markdown] lang="vi" of="03e8a2ca"
# Các đầu đứng sau các từ: (B, L', heads, d). Hãy cho trục 1 và trục 2 đổi chỗ.
# %% role="wrong" name="heads_behind"
patch(".transpose(1, 2) ", " ")

# %% [markdown] lang="en" role="mistake" name="scrambled"
# The shape is right and the words are scrambled: `reshape` or `view` alone moves no number. Cut the width first, then transpose.
# %% [markdown] lang="vi" of="40b837cb"
# Kích thước đúng mà các từ bị xáo trộn: chỉ `reshape` hay `view` thì không dời số nào. Hãy cắt bề rộng trước rồi mới chuyển vị.
# %% role="wrong" name="scrambled"
patch("made.unflatten(2, (heads, -1)).transpose(1, 2) ", "made.reshape(len(made), heads, made.shape[1], -1) ")

# %% [markdown] lang="en" role="mistake" name="every_nth"
# Head 0 has got every heads-th number. It has the first d that follow each other: cut the width to (heads, d).
# %% [markdown] lang="vi" of="7ce3fd36"
# Đầu 0 nhận các số cách nhau heads vị trí. Nó phải nhận d số đầu liền nhau: hãy cắt bề rộng thành (heads, d).
# %% role="wrong" name="every_nth"
patch("unflatten(2, (heads, -1)).transpose(1, 2)", "unflatten(2, (-1, heads)).permute(0, 3, 1, 2)")

# %% [markdown] lang="en" role="mistake" name="sentence_by_sentence"
# The pairs are right, but the layers are called for one sentence after the other. Once for the whole batch is enough.
# %% [markdown] lang="vi" of="05869fb6"
# Các cặp đúng, nhưng các lớp được gọi lần lượt cho từng câu. Gọi một lần cho cả lô là đủ.
# %% role="wrong" name="sentence_by_sentence"
patch("layer.to_k(words)", "torch.cat([layer.to_k(row) for row in words.split(1)])")
patch("layer.to_v(words)", "torch.cat([layer.to_v(row) for row in words.split(1)])")

# %% [markdown] lang="en" role="mistake" name="cut_afterwards"
# The pairs are right, but the layers were called for the full length and cut afterwards. Cut the words first.
# %% [markdown] lang="vi" of="4b727868"
# Các cặp đúng, nhưng các lớp được gọi với cả độ dài rồi mới cắt. Hãy cắt các từ trước.
# %% role="wrong" name="cut_afterwards"
patch("words, bias = words[:, :length], bias[..., :length]", "bias = bias[..., :length]")
patch("layer.to_k(words)", "layer.to_k(words)[:, :length]")
patch("layer.to_v(words)", "layer.to_v(words)[:, :length]")

# %% [markdown] lang="en" role="mistake" name="cut_off"
# No gradient goes through the keys and values, so `to_k` and `to_v` learn nothing. Look for detach or no_grad.
# %% [markdown] lang="vi" of="74c2a2a6"
# Không gradient nào đi qua các khóa và giá trị, nên `to_k` và `to_v` không học được gì. Hãy tìm detach hoặc no_grad.
# %% role="wrong" name="cut_off"
patch("    for name, layer in layers.items():\n", "    words = words.detach()\n    for name, layer in layers.items():\n")

# %% role="library"
from minidiff.nn.attention import split_heads


def keys_and_values(words, bias, layers):
    """The library's heads, and a loop for the length."""
    length = words.shape[1]
    while not bool((bias[..., length - 1] == 0).any()):
        length -= 1
    words = words[:, :length]
    return bias[..., :length], {
        name: (split_heads(layer.to_k(words), layer.heads), split_heads(layer.to_v(words), layer.heads))
        for name, layer in layers.items()
    }
