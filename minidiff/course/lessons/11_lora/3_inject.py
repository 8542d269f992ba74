"""Exercise 11.3, inject: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## A network full of LoRA layers
#
# **Put them in.** Freeze the whole model. Then put one of your `LoRALinear`s in the place of each `nn.Linear` whose name is one
# of `targets`, or ends in a dot and one of them: the target `to_q` fits `to_q` and `blocks.0.to_q`, but not `blocks.0.into_q`.
# Other kinds of modules stay, whatever they are called, and a target may fit nothing. The model changes in place, and nothing
# else about it changes. Return the names of the layers that were replaced, in the order of `named_modules()`.
#
# The cell at the end puts such layers into `world-dit` and copies a style into them. The first two pictures are drawn by the
# library, which adds the update to the weights themselves; the last two, drawn by your network, must be the same.
# %% [markdown] lang="vi" of="b57ba57f"
# ## Một mạng đầy những lớp LoRA
#
# **Đặt chúng vào.** Hãy đóng băng toàn bộ mô hình. Sau đó đặt một `LoRALinear` của bạn vào chỗ của mỗi `nn.Linear` có tên nằm
# trong `targets`, hoặc có tên kết thúc bằng dấu chấm rồi đến một trong số đó: đích `to_q` khớp với `to_q` và `blocks.0.to_q`,
# nhưng không khớp với `blocks.0.into_q`. Các loại module khác giữ nguyên, dù tên là gì, và một đích có thể không khớp với lớp
# nào. Mô hình được thay đổi tại chỗ, ngoài ra mọi thứ giữ nguyên. Hãy trả về tên các lớp đã được thay, theo thứ tự của
# `named_modules()`.
#
# Ô ở cuối đặt những lớp như thế vào `world-dit` rồi chép một phong cách vào. Hai bức đầu do thư viện vẽ, bằng cách cộng phần
# cập nhật vào chính trọng số; hai bức sau do mạng của bạn vẽ, và phải giống hệt.

# %% [markdown] lang="en" role="hints"
# Three things in a row: freeze, find the names, replace. Why must the freezing come first?
# ---
# `isinstance(layer, nn.Linear)`, and `name == target or name.endswith("." + target)`. `name.rpartition(".")` splits
# "blocks.0.to_q" into the parent "blocks.0", the dot, and "to_q".
# ---
# `model.get_submodule(name)` finds a module by its name, and the model itself for the name "". Then
# `setattr(model.get_submodule(parent), last, LoRALinear(layer, rank, alpha))`.
# %% [markdown] lang="vi" of="2ee15464"
# Lần lượt ba việc: đóng băng, tìm các tên, thay lớp. Vì sao phải đóng băng trước?
# ---
# `isinstance(layer, nn.Linear)`, và `name == target or name.endswith("." + target)`. `name.rpartition(".")` tách
# "blocks.0.to_q" thành module cha "blocks.0", dấu chấm, và "to_q".
# ---
# `model.get_submodule(name)` tìm module theo tên, với tên "" thì cho chính mô hình. Rồi
# `setattr(model.get_submodule(parent), last, LoRALinear(layer, rank, alpha))`.

# %% [markdown] lang="en" role="stub"
# Freezes `model` and puts LoRALinears in the place of the linear layers that
# `targets` name: "to_q" means "to_q" and whatever ends in ".to_q". Afterwards only
# their factors learn. Returns the names replaced, in the order of named_modules().
# ---
# 1. freeze the whole model
# 2. the names of the linear layers that fit a target
# 3. for each: its parent, its last name and a LoRALinear in its place
# 4. return the names
# %% [markdown] lang="vi" of="a8fa87f5"
# Đóng băng `model` và đặt các LoRALinear vào chỗ những lớp tuyến tính mà `targets`
# nêu tên: "to_q" là "to_q" và mọi tên kết thúc bằng ".to_q". Sau đó chỉ thừa số của
# chúng được học. Trả về các tên đã thay, theo thứ tự của named_modules().
# ---
# 1. đóng băng toàn bộ mô hình
# 2. tên của các lớp tuyến tính khớp với một đích
# 3. với mỗi tên: module cha, tên cuối, và một LoRALinear vào chỗ đó
# 4. trả về các tên

# %% role="solution"
def inject(
    model: nn.Module, targets: Sequence[str], rank: int, alpha: float
) -> list[str]:
    model.requires_grad_(False)
    names = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
        and any(name == target or name.endswith("." + target) for target in targets)
    ]
    for name in names:
        parent, _, last = name.rpartition(".")      # "blocks.0", ".", "to_q"
        layer = model.get_submodule(name)
        lora = LoRALinear(layer, rank, alpha)
        setattr(model.get_submodule(parent), last, lora)
    return names

# %% [markdown] lang="en" role="checks"
# - the names: two targets, one of them with a dot in it
# - the names: a whole name, a layer that isn't linear, a target that fits nothing, two that fit one layer
# - where the LoRA layers are, and that nothing else is new: no other parts, and still in training mode
# - what learns afterwards: the factors alone
# - what learns when no layer fits: nothing
# - the layers' bases are the old layers themselves
# - at the start the model gives what it gave before, to the last bit
# - rank and alpha arrive: with trained factors, rank 3 and alpha 6
# - the same with rank 2 and alpha 1
# %% [markdown] lang="vi" of="23f4ec65"
# - các tên: hai đích, trong đó một đích có dấu chấm
# - các tên: một tên đầy đủ, một lớp không tuyến tính, một đích không khớp gì, hai đích khớp cùng một lớp
# - các lớp LoRA nằm ở đâu, và không có gì khác mới: không bộ phận nào nữa, và vẫn ở chế độ huấn luyện
# - những gì được học sau đó: chỉ các thừa số
# - những gì được học khi không lớp nào khớp: không gì cả
# - lớp gốc của chúng chính là các lớp cũ
# - lúc bắt đầu, mô hình cho đúng kết quả như trước, đến từng bit
# - hạng và alpha được chuyển đến: với thừa số đã huấn luyện, hạng 3 và alpha 6
# - cũng như vậy với hạng 2 và alpha 1

# %% role="probes"
import torch
from torch import nn


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Part(nn.Module):
    """Layers with names that a careless search takes for each other, `to_out.0` and `to_out_0`; `to_k` isn't linear."""

    def __init__(self):
        super().__init__()
        self.to_q, self.into_q, self.to_k = nn.Linear(5, 4), nn.Linear(4, 4), nn.LayerNorm(4)
        self.to_out, self.to_out_0 = nn.ModuleList([nn.Linear(4, 5, bias=False)]), nn.Linear(5, 5)
        self.gain = nn.Parameter(torch.ones(5))

    def forward(self, x):
        y = torch.tanh(self.into_q(self.to_k(self.to_q(x))))
        return x + self.to_out_0(self.gain * self.to_out[0](y))


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_q = nn.Linear(3, 5)
        self.blocks = nn.ModuleList([Part(), Part()])
        self.last = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))

    def forward(self, x):
        x = self.to_q(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x)


@torch.no_grad()
def toy():
    """In float64, with weights drawn by lot."""
    model = Toy().double()
    for k, parameter in enumerate(model.parameters()):
        parameter.copy_(0.4 * normal(*parameter.shape, seed=10 + k))
    return model


def returned(f, model, targets):
    return f(model, targets, 3, 6.0)


def odd_targets(f, **models):
    targets = (["blocks.1.to_q"], ["to_k", "last.2"], ["nothing"], ["blocks.0.to_q", "to_q"], ["blocks.1", "0"])
    return [f(model, some, 3, 6.0) for model, some in zip(models.values(), targets, strict=True)]


def layers(model):
    """The LoRA layers, by name."""
    return {name: layer for name, layer in model.named_modules() if hasattr(layer, "down")}


def places(f, model, targets):
    f(model, targets, 3, 6.0)
    parts = [name for name, _ in model.named_children()]
    return {"LoRA layers": list(layers(model)), "parts of the model": parts, "in training mode": model.training}


def learners(f, model, targets):
    f(model, targets, 3, 6.0)
    return {"weights that learn": sorted(name for name, weight in model.named_parameters() if weight.requires_grad)}


def bases(f, model, targets):
    old = dict(model.named_modules())
    f(model, targets, 3, 6.0)
    found = layers(model)
    return [len(found), all(getattr(layer, "base", None) is old[name] for name, layer in found.items() if name in old)]


def fresh(f, model, targets, x):
    before = model(x)
    f(model, targets, 3, 6.0)
    return torch.equal(before, model(x))


def trained(f, model, targets, x, rank, alpha):
    """What the model gives when each LoRA layer has factors and a base of its own."""
    f(model, targets, rank, alpha)
    sizes = []
    with torch.no_grad():
        for k, layer in enumerate(layers(model).values()):
            sizes += [list(layer.down.weight.shape), list(layer.up.weight.shape)]
            for name, parameter in layer.named_parameters():
                parameter.copy_(0.4 * normal(*parameter.shape, seed=SEEDS[name] + k))
    return [sizes, model(x)]


SEEDS = {"base.weight": 50, "base.bias": 60, "down.weight": 70, "up.weight": 80}
GIVEN = {"model": toy(), "targets": ["to_out.0", "to_q"]}
FREE = {"changes": ("model",)}
X = normal(2, 6, 3, seed=1)
FIVE = {f"model_{k}": toy() for k in range(5)}

probe(returned, **GIVEN, **FREE)
probe(odd_targets, **FIVE, changes=tuple(FIVE))
probe(places, **GIVEN, **FREE)
probe(learners, **GIVEN, **FREE)
probe(learners, model=toy(), targets=["to_k"], **FREE)
probe(bases, **GIVEN, **FREE)
probe(fresh, **GIVEN, x=X, **FREE)
probe(trained, points=2, **GIVEN, x=X, rank=3, alpha=6.0, **FREE)
probe(trained, **GIVEN, x=X, rank=2, alpha=1, **FREE)

# %% [markdown] lang="en" role="mistake" name="not_frozen"
# The rest of the model still learns. Then a small file holds only part of what was learnt: put into a fresh model it draws
# something else, and taking the style out again leaves a changed model behind. Freeze everything before the layers go in.
# %% [markdown] lang="vi" of="d1f3812c"
# Phần còn lại của mô hình vẫn học. Khi ấy tệp nhỏ chỉ chứa một phần những gì đã học: đặt vào mô hình mới nó vẽ ra thứ khác, và
# gỡ phong cách ra thì mô hình để lại đã bị thay đổi. Hãy đóng băng tất cả trước khi đặt các lớp vào.
# %% role="wrong" name="not_frozen"
patch("    model.requires_grad_(False)\n", "")

# %% [markdown] lang="en" role="mistake" name="frozen_last"
# The model was frozen after the layers went in, so their factors are frozen, too, and nothing learns. Freeze first.
# %% [markdown] lang="vi" of="f0e526d6"
# Mô hình bị đóng băng sau khi các lớp đã được đặt vào, nên thừa số của chúng cũng bị đóng băng, và không gì học được. Hãy đóng
# băng trước.
# %% role="wrong" name="frozen_last"
patch("    model.requires_grad_(False)\n", "")
patch("    return names", "    model.requires_grad_(False)\n    return names")

# %% [markdown] lang="en" role="mistake" name="eval_for_frozen"
# `eval()` freezes nothing: it only tells layers such as dropout that nobody trains now. Gradients still reach every weight, so
# the whole model learns. Turn `requires_grad` off.
# %% [markdown] lang="vi" of="a1f09606"
# `eval()` không đóng băng gì cả: nó chỉ báo cho những lớp như dropout biết rằng lúc này không huấn luyện. Gradient vẫn đến mọi
# trọng số, nên cả mô hình vẫn học. Hãy tắt `requires_grad`.
# %% role="wrong" name="eval_for_frozen"
patch("model.requires_grad_(False)", "model.eval()")

# %% [markdown] lang="en" role="mistake" name="left_in_eval"
# The model is left in evaluation mode, and whoever trains it next has no dropout any more. Freezing takes
# `requires_grad_(False)` alone; the mode is the caller's.
# %% [markdown] lang="vi" of="8b492d10"
# Mô hình bị để lại ở chế độ đánh giá, và ai huấn luyện nó sau đó thì không còn dropout. Muốn đóng băng chỉ cần
# `requires_grad_(False)`; chế độ nào là do nơi gọi.
# %% role="wrong" name="left_in_eval"
patch("model.requires_grad_(False)", "model.requires_grad_(False).eval()")

# %% [markdown] lang="en" role="mistake" name="dot_fits_anything"
# In a regular expression a dot stands for any character, so the target `to_out.0` also takes `to_out_0`. Escape it with
# `re.escape`, or compare names without patterns.
# %% [markdown] lang="vi" of="8e28510d"
# Trong biểu thức chính quy, dấu chấm khớp với mọi ký tự, nên đích `to_out.0` lấy luôn cả `to_out_0`. Hãy bọc nó bằng
# `re.escape`, hoặc so sánh tên mà không dùng mẫu.
# %% role="wrong" name="dot_fits_anything"
patch("    model.requires_grad_(False)\n", "    import re\n\n    model.requires_grad_(False)\n")
patch('name == target or name.endswith("." + target)', 're.search(rf"(^|\\.){target}$", name)')

# %% [markdown] lang="en" role="mistake" name="linear_alone_frozen"
# Only the linear layers are frozen. Norms and other weights still learn, and no file of factors holds what they learn.
# Freeze the whole model.
# %% [markdown] lang="vi" of="76547087"
# Chỉ các lớp tuyến tính bị đóng băng. Các lớp chuẩn hóa và những trọng số khác vẫn học, mà tệp thừa số nào cũng không chứa điều
# chúng học. Hãy đóng băng toàn bộ mô hình.
# %% role="wrong" name="linear_alone_frozen"
patch("    model.requires_grad_(False)\n",
      "    for part in model.modules():\n        part.requires_grad_(not isinstance(part, nn.Linear))\n")

# %% [markdown] lang="en" role="mistake" name="bases_unfrozen"
# The new layers were told to learn as a whole, their bases as well. Only `down` and `up` learn, and `LoRALinear` has already
# seen to that.
# %% [markdown] lang="vi" of="2fae78b6"
# Các lớp mới được cho học toàn bộ, kể cả lớp gốc bên trong. Chỉ `down` và `up` được học, và `LoRALinear` đã lo việc đó rồi.
# %% role="wrong" name="bases_unfrozen"
patch("LoRALinear(layer, rank, alpha)", "LoRALinear(layer, rank, alpha).requires_grad_(True)")

# %% [markdown] lang="en" role="mistake" name="without_the_dot"
# `endswith(target)` alone also takes `into_q` for `to_q`. A name must be the target itself or end in a dot and the target.
# %% [markdown] lang="vi" of="8ae37ac3"
# Chỉ dùng `endswith(target)` thì `into_q` cũng bị coi là `to_q`. Tên phải chính là đích, hoặc kết thúc bằng dấu chấm rồi đến
# đích.
# %% role="wrong" name="without_the_dot"
patch('name == target or name.endswith("." + target)', "name.endswith(target)")

# %% [markdown] lang="en" role="mistake" name="found_inside"
# `target in name` takes whatever has the target somewhere in its name: `into_q`, or with "0" everything in `blocks.0`. Only
# the end of a name counts.
# %% [markdown] lang="vi" of="e9e42412"
# `target in name` lấy mọi lớp có đích nằm đâu đó trong tên: `into_q`, hay với "0" là mọi thứ trong `blocks.0`. Chỉ phần cuối
# của tên mới tính.
# %% role="wrong" name="found_inside"
patch('name == target or name.endswith("." + target)', "target in name")

# %% [markdown] lang="en" role="mistake" name="last_name_alone"
# Only what stands behind the last dot was compared, so targets with a dot in them, `to_out.0` or a whole name, fit nothing.
# The output layer of every attention is left out.
# %% [markdown] lang="vi" of="47f12e15"
# Chỉ phần sau dấu chấm cuối cùng được so sánh, nên các đích có dấu chấm, như `to_out.0` hay một tên đầy đủ, không khớp với gì.
# Lớp đầu ra của mọi khối chú ý bị bỏ sót.
# %% role="wrong" name="last_name_alone"
patch('any(name == target or name.endswith("." + target) for target in targets)', 'name.split(".")[-1] in targets')

# %% [markdown] lang="en" role="mistake" name="whole_names_alone"
# Only whole names fit. A target such as `to_q` also stands for every name that ends in ".to_q", or one would have to list
# each block.
# %% [markdown] lang="vi" of="c63221ff"
# Chỉ các tên đầy đủ mới khớp. Một đích như `to_q` còn đại diện cho mọi tên kết thúc bằng ".to_q", nếu không thì phải liệt kê
# từng khối.
# %% role="wrong" name="whole_names_alone"
patch('any(name == target or name.endswith("." + target) for target in targets)', "name in targets")

# %% [markdown] lang="en" role="mistake" name="only_behind_a_dot"
# A layer whose whole name is the target is left out, for there is no dot before it: check `name == target` as well.
# %% [markdown] lang="vi" of="1bd5b3ec"
# Một lớp có tên đầy đủ đúng bằng đích bị bỏ sót, vì trước nó không có dấu chấm: hãy kiểm tra thêm `name == target`.
# %% role="wrong" name="only_behind_a_dot"
patch('name == target or name.endswith("." + target)', 'name.endswith("." + target)')

# %% [markdown] lang="en" role="mistake" name="every_linear"
# Every linear layer was replaced: `targets` has no effect. The file grows, and it no longer fits what others expect.
# %% [markdown] lang="vi" of="16e0c798"
# Mọi lớp tuyến tính đều bị thay: `targets` không có tác dụng. Tệp lớn lên và không còn khớp với điều người khác chờ đợi.
# %% role="wrong" name="every_linear"
patch('any(name == target or name.endswith("." + target) for target in targets)', "True")

# %% [markdown] lang="en" role="mistake" name="other_kinds"
# Whatever has a fitting name was taken, but only an `nn.Linear` has in_features and can be a base here: check the kind of each
# module.
# %% [markdown] lang="vi" of="e6be80c6"
# Bất cứ gì có tên khớp đều bị lấy, nhưng ở đây chỉ `nn.Linear` mới có in_features và làm lớp gốc được: hãy kiểm tra loại của
# từng module.
# %% role="wrong" name="other_kinds"
patch("isinstance(layer, nn.Linear)", "isinstance(layer, nn.Module)")

# %% [markdown] lang="en" role="mistake" name="order_of_targets"
# The names come in the order of the targets. They should come in the order of `named_modules()`: let the loop over the modules
# be the outer one.
# %% [markdown] lang="vi" of="7d60b710"
# Các tên xếp theo thứ tự của các đích. Chúng phải theo thứ tự của `named_modules()`: hãy để vòng lặp qua các module ở ngoài.
# %% role="wrong" name="order_of_targets"
def inject(model: nn.Module, targets: Sequence[str], rank: int, alpha: float) -> list[str]:
    model.requires_grad_(False)
    names: list[str] = []
    for target in targets:
        for name, layer in list(model.named_modules()):
            if isinstance(layer, nn.Linear) and name not in names and ("." + name).endswith("." + target):
                parent, _, last = name.rpartition(".")
                setattr(model.get_submodule(parent), last, LoRALinear(layer, rank, alpha))
                names.append(name)
    return names

# %% [markdown] lang="en" role="mistake" name="sorted_by_name"
# The names were sorted by the alphabet. They should come in the order of `named_modules()`.
# %% [markdown] lang="vi" of="56e8b6d1"
# Các tên bị sắp theo bảng chữ cái. Chúng phải theo thứ tự của `named_modules()`.
# %% role="wrong" name="sorted_by_name"
patch("return names", "return sorted(names)")

# %% [markdown] lang="en" role="mistake" name="named_twice"
# A layer that fits two targets is named twice. One fit is enough: `any(...)`.
# %% [markdown] lang="vi" of="6ca6d1bb"
# Một lớp khớp hai đích bị nêu tên hai lần. Khớp một lần là đủ: `any(...)`.
# %% role="wrong" name="named_twice"
def inject(model: nn.Module, targets: Sequence[str], rank: int, alpha: float) -> list[str]:
    model.requires_grad_(False)
    names = []
    for name, layer in list(model.named_modules()):
        for target in targets:
            if isinstance(layer, nn.Linear) and ("." + name).endswith("." + target):
                parent, _, last = name.rpartition(".")
                setattr(model.get_submodule(parent), last, LoRALinear(layer, rank, alpha))
                names.append(name)
    return names

# %% [markdown] lang="en" role="mistake" name="replaced_twice"
# A layer that fits two targets was replaced twice: a LoRALinear was asked to be the base of another. Collect each name once.
# %% [markdown] lang="vi" of="b036656d"
# Một lớp khớp hai đích bị thay hai lần: một LoRALinear phải làm lớp gốc cho một LoRALinear khác. Hãy lấy mỗi tên một lần.
# %% role="wrong" name="replaced_twice"
patch('''        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
        and any(name == target or name.endswith("." + target) for target in targets)
''', '''        for name, layer in model.named_modules()
        for target in targets
        if isinstance(layer, nn.Linear)
        and (name == target or name.endswith("." + target))
''')

# %% [markdown] lang="en" role="mistake" name="not_put_in"
# The LoRALinears were made, but the model still holds the old layers: a loop variable that gets a new value changes nothing in
# it. Use `setattr` on the parent.
# %% [markdown] lang="vi" of="5aac1b20"
# Các LoRALinear đã được tạo, nhưng mô hình vẫn giữ các lớp cũ: gán giá trị mới cho biến lặp không thay đổi gì bên trong nó. Hãy
# dùng `setattr` trên module cha.
# %% role="wrong" name="not_put_in"
patch("        setattr(model.get_submodule(parent), last, lora)\n", "")

# %% [markdown] lang="en" role="mistake" name="set_on_the_model"
# `setattr(model, "blocks.0.to_q", ...)` hangs a new part with dots in its name onto the model itself. No error is raised, the
# factors even look trainable, and `forward` never calls them. Find the parent first.
# %% [markdown] lang="vi" of="4686f6c4"
# `setattr(model, "blocks.0.to_q", ...)` gắn một bộ phận mới có dấu chấm trong tên vào chính mô hình. Không có lỗi nào, các thừa
# số trông vẫn như học được, mà `forward` không hề gọi chúng. Hãy tìm module cha trước.
# %% role="wrong" name="set_on_the_model"
patch("setattr(model.get_submodule(parent), last, lora)", "setattr(model, name, lora)")

# %% [markdown] lang="en" role="mistake" name="last_name_on_the_model"
# The new layer was set on the model under its last name, in place of on its parent: only layers at the top are replaced, and
# by layers of other sizes.
# %% [markdown] lang="vi" of="03fbe0be"
# Lớp mới được gắn vào mô hình theo tên cuối của nó, thay vì vào module cha: chỉ các lớp ở trên cùng bị thay, mà lại bằng những
# lớp khác kích thước.
# %% role="wrong" name="last_name_on_the_model"
patch("setattr(model.get_submodule(parent), last, lora)", "setattr(model, last, lora)")

# %% [markdown] lang="en" role="mistake" name="new_bases"
# The bases are new layers with random weights, so all that the model has learnt is gone. Hand the old layer itself to
# `LoRALinear`.
# %% [markdown] lang="vi" of="16689fec"
# Các lớp gốc là lớp mới với trọng số ngẫu nhiên, nên mọi điều mô hình đã học mất sạch. Hãy đưa chính lớp cũ cho `LoRALinear`.
# %% role="wrong" name="new_bases"
patch("LoRALinear(layer, rank, alpha)",
      "LoRALinear(nn.Linear(layer.in_features, layer.out_features).to(layer.weight), rank, alpha)")

# %% [markdown] lang="en" role="mistake" name="copied_bases"
# The bases are copies of the old layers. They give the same numbers, but whoever takes the style out again expects the very
# layers that were there.
# %% [markdown] lang="vi" of="4078acd2"
# Các lớp gốc là bản sao của lớp cũ. Chúng cho cùng kết quả, nhưng ai gỡ phong cách ra cũng muốn lại đúng những lớp đã có.
# %% role="wrong" name="copied_bases"
patch("layer = model.get_submodule(name)", "from copy import deepcopy\n\n        layer = deepcopy(model.get_submodule(name))")

# %% [markdown] lang="en" role="mistake" name="rank_and_alpha_swapped"
# Rank and alpha are swapped on the way: `LoRALinear(base, rank, alpha)`.
# %% [markdown] lang="vi" of="f7c94fad"
# Hạng và alpha bị đổi chỗ trên đường đi: `LoRALinear(base, rank, alpha)`.
# %% role="wrong" name="rank_and_alpha_swapped"
patch("(layer, rank, alpha)", "(layer, int(alpha), rank)")

# %% [markdown] lang="en" role="mistake" name="alpha_ignored"
# alpha doesn't arrive: the layers were made with the rank in its place, so alpha / rank is always 1.
# %% [markdown] lang="vi" of="d4ee5d4e"
# alpha không được chuyển đến: các lớp nhận hạng vào chỗ của nó, nên alpha / rank luôn là 1.
# %% role="wrong" name="alpha_ignored"
patch("(layer, rank, alpha)", "(layer, rank, rank)")

# %% [markdown] lang="en" role="mistake" name="top_alone"
# Only the model's own children were looked at. `named_children()` doesn't go into blocks; `named_modules()` does.
# %% [markdown] lang="vi" of="434e9adb"
# Chỉ các module con trực tiếp của mô hình được xem xét. `named_children()` không đi vào các khối; `named_modules()` thì có.
# %% role="wrong" name="top_alone"
patch("model.named_modules()", "model.named_children()")

# %% [markdown] lang="en" role="mistake" name="first_alone"
# Only the first layer was replaced: the `return` stands inside the loop.
# %% [markdown] lang="vi" of="0f159af0"
# Chỉ lớp đầu tiên được thay: lệnh `return` nằm bên trong vòng lặp.
# %% role="wrong" name="first_alone"
patch("    return names", "        return [name]\n    return []")

# %% [markdown] lang="en" role="mistake" name="nothing_returned"
# The names don't come back: there is no `return`.
# %% [markdown] lang="vi" of="b5563c00"
# Không có tên nào được trả về: thiếu `return`.
# %% role="wrong" name="nothing_returned"
patch("    return names", "    names.clear()")

# %% [markdown] lang="en" role="mistake" name="last_names_returned"
# Only the last parts of the names came back. A file stores each layer's factors under its whole name.
# %% [markdown] lang="vi" of="e091032c"
# Chỉ phần cuối của các tên được trả về. Tệp lưu thừa số của mỗi lớp dưới tên đầy đủ của nó.
# %% role="wrong" name="last_names_returned"
patch("return names", 'return [name.rpartition(".")[2] for name in names]')

# %% [markdown] lang="en" role="mistake" name="counted"
# A number came back, how many layers were replaced. Return their names.
# %% [markdown] lang="vi" of="f4447cf3"
# Kết quả là một con số, bao nhiêu lớp đã được thay. Hãy trả về tên của chúng.
# %% role="wrong" name="counted"
patch("return names", "return len(names)")

# %% [markdown] lang="en" role="mistake" name="copy_changed"
# A copy of the model was changed, and the model itself is what it was. Change what you were given.
# %% [markdown] lang="vi" of="0aaae02e"
# Một bản sao của mô hình bị thay đổi, còn chính mô hình vẫn như cũ. Hãy thay đổi cái được truyền vào.
# %% role="wrong" name="copy_changed"
patch("    model.requires_grad_(False)\n",
      "    from copy import deepcopy\n\n    model = deepcopy(model).requires_grad_(False)\n")

# %% role="library"
from minidiff.nn.lora import fits


def inject(model, targets, rank, alpha):
    """By walking down from parent to child, with the library's rule for names."""

    def walk(parent, path):
        for last, child in list(parent.named_children()):
            name = f"{path}{last}"
            if type(child) is nn.Linear and fits(name, targets):
                parent.add_module(last, LoRALinear(child, rank, alpha))
                names.append(name)
            walk(child, f"{name}.")

    names: list[str] = []
    for weight in model.parameters():
        weight.requires_grad = False
    walk(model, "")
    return names

# %% role="payoff"
mixer = LoRAMixer(deepcopy(pipe.network))
mixer.add("neon", neon)
mixer.mix({"neon": 1.0})
by_the_library = pictures(mixer.model)                          # (2, 3, 128, 128)


def draw(inject: Callable) -> Tensor:
    network, style = deepcopy(pipe.network), next(iter(neon.values()))
    inject(network, list(neon), style.rank, style.alpha)
    copy_in(network, neon)
    return torch.cat([by_the_library, pictures(network)])       # (4, 3, 128, 128)


payoff(draw, inject)
