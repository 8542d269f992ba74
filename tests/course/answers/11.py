"""Answers to lesson 11 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 11.1 right F.linear twice
import torch.nn.functional as F


def lora_update(x, down, up, alpha):
    return F.linear(F.linear(x, down), up) * (alpha / down.shape[0])

# %% 11.1 right einsum with dots
import torch


def lora_update(x, A, B, alpha):
    r = A.size(0)
    scale = alpha / r
    return torch.einsum("...i,ri,or->...o", x, A, B) * scale

# %% 11.1 right the product of the factors first, scale inside
def lora_update(x, down, up, alpha):
    delta_w = (alpha / up.shape[1]) * up @ down      # (out, in)
    print(delta_w.shape)
    return x @ delta_w.T

# %% 11.1 right the scale goes into x, rank from the low numbers
def lora_update(x, down, up, alpha):
    low = x.matmul(down.t())
    rank = low.shape[-1]
    return (low * alpha / rank).matmul(up.transpose(0, 1))

# %% 11.1 right a loop over the ranks
import torch


def lora_update(x, down, up, alpha):
    """Sum of rank-1 updates."""
    total = torch.zeros(*x.shape[:-1], len(up), dtype=x.dtype)
    for k in range(len(down)):
        total = total + (x * down[k]).sum(-1, keepdim=True) * up[:, k]
    return alpha * total / len(down)

# %% 11.1 right einops flattens what stands in front
def lora_update(x, down, up, alpha):
    flat = x.reshape(-1, x.shape[-1])
    out = torch.mm(torch.mm(flat, down.T), up.T).mul(alpha).div(len(down))
    return out.reshape(*x.shape[:-1], len(up))

# %% 11.1 wrong scale_forgotten a lambda with F.linear
import torch.nn.functional as F

lora_update = lambda x, down, up, alpha: F.linear(F.linear(x, down), up)

# %% 11.1 wrong not_divided_by_rank alpha taken for the whole scale
def lora_update(x, down, up, alpha):
    return (x @ down.T @ up.T) * alpha

# %% 11.1 wrong upside_down names the wrong way
def lora_update(x, down, up, alpha):
    r, _ = down.shape
    scaling = r / alpha
    return scaling * (x @ down.T @ up.T)

# %% 11.1 wrong whole_division integer scale
def lora_update(x, down, up, alpha):
    scale = alpha // down.shape[0]
    h = x @ down.T
    return scale * (h @ up.T)

# %% 11.1 wrong root_of_the_rank as rsLoRA
import math


def lora_update(x, down, up, alpha):
    return alpha / math.sqrt(down.shape[0]) * (x @ down.T) @ up.T

# %% 11.1 wrong rank_from_in shape[-1]
def lora_update(x, down, up, alpha):
    rank = down.shape[-1]
    return x @ down.T @ up.T * alpha / rank

# %% 11.1 wrong up_not_transposed the given lines kept
def lora_update(x, down, up, alpha):
    rank = len(down)
    low = x @ down.T
    return (alpha / rank) * (low @ up)

# %% 11.1 wrong tokens_alone einsum for three dimensions
import torch


def lora_update(x, down, up, alpha):
    low = torch.einsum("bnd,rd->bnr", x, down)
    return alpha / len(down) * torch.einsum("bnr,or->bno", low, up)

# %% 11.1 wrong activation GELU, as in an MLP
import torch.nn.functional as F


def lora_update(x, down, up, alpha):
    hidden = F.relu(F.linear(x, down))
    return F.linear(hidden, up) * alpha / len(down)

# %% 11.1 wrong x_added a residual
def lora_update(x, down, up, alpha):
    out = alpha / len(down) * (x @ down.T @ up.T)
    return x + out

# %% 11.1 wrong no_gradient numpy on the way
import numpy as np
import torch


def lora_update(x, down, up, alpha):
    a, b, c = (tensor.detach().numpy() for tensor in (x, down, up))
    return torch.from_numpy(np.asarray(alpha / len(b) * (a @ b.T @ c.T)))

# %% 11.1 wrong - nn.Linear layers with other weights
from torch import nn


def lora_update(x, down, up, alpha):
    a, b = nn.Linear(*down.T.shape, bias=False).to(x.dtype), nn.Linear(*up.T.shape, bias=False).to(x.dtype)
    return alpha / len(down) * b(a(x))

# %% 11.1 wrong @kind a generator
def lora_update(x, down, up, alpha):
    yield alpha / len(down) * (x @ down.T @ up.T)

# %% 11.1 wrong @input scales up in place
def lora_update(x, down, up, alpha):
    up *= alpha / len(down)
    return x @ down.T @ up.T

# %% 11.1 right tensordot, the scale in the middle
import torch


def lora_update(x, down, up, alpha):
    low = torch.tensordot(x, down.swapaxes(0, 1), dims=1)
    return torch.tensordot(low / len(down) * alpha, up.swapaxes(0, 1), dims=1)

# %% 11.1 right a module of its own
import torch
from torch import nn


class Update(nn.Module):
    def __init__(self, d, u, a):
        super().__init__()
        self.d, self.u, self.s = d, u, a / d.shape[0]

    def forward(self, x):
        return torch.matmul(x, self.d.mT).matmul(self.s * self.u.mT)


def lora_update(x, down, up, alpha):
    return Update(down, up, alpha)(x)

# %% 11.1 wrong squeezed takes out what is 1
def lora_update(x, down, up, alpha):
    return ((alpha / len(down)) * (x @ down.T @ up.T)).squeeze()

# %% 11.1 wrong scale_in_float32 a tensor for a number
import torch


def lora_update(x, down, up, alpha):
    return torch.tensor([alpha / len(down)], dtype=torch.float32) * (x @ down.T @ up.T)

# %% 11.1 wrong - not for a single vector
def lora_update(x, down, up, alpha):
    return (alpha / len(down) * (up @ (down @ x.mT))).mT

# %% 11.1 wrong - alpha as a whole number
def lora_update(x, down, up, alpha):
    return int(alpha) / len(down) * (x @ down.T @ up.T)

# %% 11.2 right dtype and device handed to nn.Linear, loop that freezes
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base
        for p in self.base.parameters():
            p.requires_grad = False
        kwargs = dict(bias=False, dtype=base.weight.dtype, device=base.weight.device)
        self.down = nn.Linear(base.in_features, rank, **kwargs)
        self.up = nn.Linear(rank, base.out_features, **kwargs)
        nn.init.kaiming_uniform_(self.down.weight, a=5 ** 0.5)
        nn.init.zeros_(self.up.weight)
        self.alpha, self.rank = alpha, rank

    def forward(self, x):
        return self.base(x) + (self.alpha / self.rank) * self.up(self.down(x))

# %% 11.2 right the weight put together in every call, bias by F.linear
import torch
import torch.nn.functional as F
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        out_features, in_features = base.weight.shape
        self.base, self.alpha, self.scale = base.requires_grad_(False), alpha, alpha / rank
        self.down = nn.Linear(in_features, rank, bias=False).to(base.weight)
        self.up = nn.Linear(rank, out_features, bias=False).to(base.weight)
        torch.nn.init.normal_(self.down.weight, std=1 / rank)
        self.up.weight.data.zero_()

    def forward(self, x):
        W = self.base.weight + self.scale * self.up.weight @ self.down.weight
        return F.linear(x, W, self.base.bias)

# %% 11.2 right uses lora_update of the first exercise, base in eval mode
class LoRALinear(nn.Module):
    """Frozen layer + low-rank path."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.alpha = float(alpha)
        self.base = base.eval()
        self.base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        with torch.no_grad():
            self.up.weight.fill_(0.0)
        self.to(base.weight.dtype)

    def forward(self, x):
        return self.base(x) + lora_update(x, self.down.weight, self.up.weight, self.alpha)

# %% 11.2 right factors copied from the library's layer
from torch import nn

from minidiff.nn.lora import LoRAUpdate


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        base.weight.requires_grad = False
        if base.bias is not None:
            base.bias.requires_grad = False
        made = LoRAUpdate(base, rank, alpha)
        self.base, self.down, self.up, self.alpha = base, made.down, made.up, alpha

    def forward(self, x):
        low = self.down(x)
        y = self.base(x)
        y = y + self.up(low) * self.alpha / low.shape[-1]
        return y

# %% 11.2 right alpha as a buffer, a helper for the factors
import torch
from torch import nn


def factor(width, out, like):
    return nn.Linear(width, out, bias=False, dtype=like.dtype, device=like.device)


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.register_buffer("alpha", torch.tensor(float(alpha)))
        self.down, self.up = factor(base.in_features, rank, base.weight), factor(rank, base.out_features, base.weight)
        self.up.weight = nn.Parameter(torch.zeros_like(self.up.weight))
        self.base = base.requires_grad_(requires_grad=False)

    def forward(self, x):
        y = self.up(self.down(x)) * (self.alpha.item() / self.up.in_features)
        return y + self.base(x)

# %% 11.2 wrong both_zero both by zeros_
import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        for layer in (self.down, self.up):
            torch.nn.init.zeros_(layer.weight)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong both_random forgets the zeros
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.normal_(self.up.weight, std=0.02)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong down_zero A and B mixed up
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.down.weight)
        self.to(base.weight.dtype)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong base_not_frozen trusts the optimizer
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base            # the optimizer will get down and up only
        self.alpha, self.rank = alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False).to(base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False).to(base.weight.dtype)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        update = self.up(self.down(x))
        return self.base(x) + self.alpha / self.rank * update

# %% 11.2 wrong bias_not_frozen the weight alone
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        base.weight.requires_grad = False
        self.base, self.alpha = base, alpha
        self.down = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        self.up.weight.data *= 0

    def forward(self, x):
        return self.base(x) + self.alpha / self.down.weight.shape[0] * self.up(self.down(x))

# %% 11.2 wrong scale_forgotten alpha kept and not used
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.down = nn.Linear(base.in_features, rank, bias=False).to(base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False).to(base.weight.dtype)
        nn.init.constant_(self.up.weight, 0)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))

# %% 11.2 wrong factors_with_bias nn.Linear as it is
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Linear(base.in_features, rank).to(base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features).to(base.weight.dtype)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong always_float32 no dtype
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong other_names as in the paper
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.A = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.B = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        nn.init.zeros_(self.B.weight)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.B(self.A(x))

# %% 11.2 wrong bare_parameters matrices for layers
import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Parameter(torch.randn(rank, base.in_features, dtype=base.weight.dtype) / rank)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, dtype=base.weight.dtype))

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * (x @ self.down.T) @ self.up.T

# %% 11.2 wrong base_copied keeps the caller's layer clean
import copy

from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = copy.deepcopy(base)
        self.base.requires_grad_(False)
        self.alpha, self.rank = alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong base_made_anew the sizes alone
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = nn.Linear(base.in_features, base.out_features, bias=base.bias is not None)
        self.base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)
        self.alpha, self.rank = alpha, rank
        self.to(base.weight.dtype)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong no_gradients all of forward under no_grad
import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        with torch.no_grad():
            return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong base_without_gradients base under no_grad, since it is frozen
import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        with torch.no_grad():
            y = self.base(x)
        return y + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong no_super forgets it
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        self.base, self.alpha, self.rank = base.requires_grad_(False), alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 wrong - inherits from nn.Linear, as loralib does
from torch import nn


class LoRALinear(nn.Linear):
    def __init__(self, base, rank, alpha):
        super().__init__(base.in_features, base.out_features, base.bias is not None, dtype=base.weight.dtype)
        self.load_state_dict(base.state_dict())
        self.requires_grad_(False)
        self.alpha, self.rank = alpha, rank
        self.down = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return super().forward(x) + self.alpha / self.rank * self.up(self.down(x))

# %% 11.2 right Kaiming with its default slope
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight)
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x):
        return self.base(x) + self.alpha / self.down.out_features * self.up(self.down(x))

# %% 11.2 wrong down_too_large a Gaussian of width 1
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.normal_(self.down.weight)
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x):
        return self.base(x) + self.alpha / self.down.out_features * self.up(self.down(x))

# %% 11.2 wrong seeded so that it can be repeated
import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        torch.manual_seed(0)
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x):
        return self.base(x) + self.alpha / self.down.out_features * self.up(self.down(x))

# %% 11.2 wrong - down almost 0
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.normal_(self.down.weight, std=1e-4)
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x):
        return self.base(x) + self.alpha / self.down.out_features * self.up(self.down(x))

# %% 11.2 wrong - the update in training alone
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x):
        if not self.training:
            return self.base(x)
        return self.base(x) + self.alpha / self.down.out_features * self.up(self.down(x))

# %% 11.2 wrong - alpha learns, too
import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), nn.Parameter(torch.tensor(float(alpha)))
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x):
        return self.base(x) + self.alpha / self.down.out_features * self.up(self.down(x))

# %% 11.3 right one loop, replacing as it goes
def inject(model, targets, rank, alpha):
    for p in model.parameters():
        p.requires_grad = False
    replaced = []
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear):
            continue
        if not any(("." + name).endswith("." + t) for t in targets):
            continue
        *path, last = name.split(".")
        parent = model
        for part in path:
            parent = getattr(parent, part)
        setattr(parent, last, LoRALinear(module, rank, alpha))
        replaced.append(name)
    return replaced

# %% 11.3 right regular expressions, set_submodule
import re

from torch import nn


def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    pattern = re.compile(r"(^|.*\.)(" + "|".join(map(re.escape, targets)) + r")$")
    names = [n for n, m in model.named_modules() if type(m) is nn.Linear and pattern.match(n)]
    for n in names:
        model.set_submodule(n, LoRALinear(model.get_submodule(n), rank, alpha))
    return names

# %% 11.3 right the library finds the layers
from minidiff.nn.lora import fits


def inject(model, targets, rank, alpha):
    found = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and fits(name, targets)}
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, layer in found.items():
        parent, _, last = name.rpartition(".")
        model.get_submodule(parent)._modules[last] = LoRALinear(layer, rank, alpha)
    return list(found)

# %% 11.3 right compares the last parts, and freezes after with a second thought
from torch import nn


def inject(model, targets, rank, alpha):
    done = ()
    wanted = [t.split(".") for t in targets]
    for name, layer in model.named_modules():
        parts = name.split(".")
        if isinstance(layer, nn.Linear) and any(parts[-len(w):] == w for w in wanted):
            parent = model.get_submodule(".".join(parts[:-1]))
            setattr(parent, parts[-1], LoRALinear(layer, rank, alpha))
            done += (name,)
    model.requires_grad_(False)
    for name in done:
        layer = model.get_submodule(name)
        layer.down.requires_grad_(True)
        layer.up.requires_grad_(True)
    return done

# %% 11.3 wrong not_frozen only swaps
def inject(model, targets, rank, alpha):
    names = []
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and any(name == t or name.endswith("." + t) for t in targets):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, LoRALinear(layer, rank, alpha))
            names.append(name)
    return names

# %% 11.3 wrong frozen_last freezes at the end
def inject(model, targets, rank, alpha):
    names = []
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and any(name == t or name.endswith("." + t) for t in targets):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, LoRALinear(layer, rank, alpha))
            names.append(name)
    for p in model.parameters():
        p.requires_grad = False
    return names

# %% 11.3 wrong without_the_dot endswith takes a tuple
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.endswith(tuple(targets))]
    for n in names:
        parent, _, last = n.rpartition(".")
        setattr(model.get_submodule(parent), last, LoRALinear(model.get_submodule(n), rank, alpha))
    return names

# %% 11.3 wrong last_name_alone a set of targets
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    wanted = set(targets)
    names = []
    for n, m in list(model.named_modules()):
        parent, _, last = n.rpartition(".")
        if isinstance(m, nn.Linear) and last in wanted:
            setattr(model.get_submodule(parent), last, LoRALinear(m, rank, alpha))
            names.append(n)
    return names

# %% 11.3 wrong found_inside `in` for the end
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    names = []
    for n, m in list(model.named_modules()):
        if isinstance(m, nn.Linear) and any(t in n for t in targets):
            parent, _, last = n.rpartition(".")
            setattr(model.get_submodule(parent), last, LoRALinear(m, rank, alpha))
            names.append(n)
    return names

# %% 11.3 wrong set_on_the_model the whole name
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    names = []
    for n, m in list(model.named_modules()):
        if isinstance(m, nn.Linear) and any(n == t or n.endswith(f".{t}") for t in targets):
            setattr(model, n, LoRALinear(m, rank, alpha))
            names.append(n)
    return names

# %% 11.3 wrong not_put_in a loop variable
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    names = []
    for n, m in list(model.named_modules()):
        if isinstance(m, nn.Linear) and any(n == t or n.endswith(f".{t}") for t in targets):
            m = LoRALinear(m, rank, alpha)
            names.append(n)
    return names

# %% 11.3 wrong nothing_returned changes and says nothing
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    for n, m in list(model.named_modules()):
        if isinstance(m, nn.Linear) and any(n == t or n.endswith(f".{t}") for t in targets):
            parent, _, last = n.rpartition(".")
            setattr(model.get_submodule(parent), last, LoRALinear(m, rank, alpha))

# %% 11.3 wrong order_of_targets the loops the other way round
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    found = {}
    for t in targets:
        for n, m in model.named_modules():
            if isinstance(m, nn.Linear) and (n == t or n.endswith(f".{t}")):
                found[n] = m
    for n, m in found.items():
        parent, _, last = n.rpartition(".")
        setattr(model.get_submodule(parent), last, LoRALinear(m, rank, alpha))
    return list(found)

# %% 11.3 wrong other_kinds trusts the names
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    names = [n for n, _ in model.named_modules() if any(n == t or n.endswith(f".{t}") for t in targets)]
    for n in names:
        parent, _, last = n.rpartition(".")
        setattr(model.get_submodule(parent), last, LoRALinear(model.get_submodule(n), rank, alpha))
    return names

# %% 11.3 wrong every_linear no targets
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    for n in names:
        parent, _, last = n.rpartition(".")
        setattr(model.get_submodule(parent), last, LoRALinear(model.get_submodule(n), rank, alpha))
    return names

# %% 11.3 wrong - recursion that forgets the path
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    names = []

    def go(parent):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear) and name in targets:
                setattr(parent, name, LoRALinear(child, rank, alpha))
                names.append(name)
            else:
                go(child)

    go(model)
    return names

# %% 11.3 wrong @crash a Sequential is no attribute
def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    names = [n for n in linear if any(n == t or n.endswith(f".{t}") for t in targets)]
    for n in names:
        parent, last = n.rsplit(".", 1)
        setattr(model.get_submodule(parent), last, LoRALinear(model.get_submodule(n), rank, alpha))
    return names

# %% 11.3 right escaped patterns, and the factors alone unfrozen
import re
from torch import nn


def inject(model, targets, rank, alpha):
    pattern = re.compile(r"(?:^|.*\.)(?:%s)$" % "|".join(map(re.escape, targets)))
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and pattern.match(n)]
    for n in names:
        parent = model.get_submodule(n.rsplit(".", 1)[0]) if "." in n else model
        leaf = n.rsplit(".", 1)[-1]
        parent._modules[leaf] = LoRALinear(parent._modules[leaf], rank, alpha)
    for n, p in model.named_parameters():
        p.requires_grad_(any(n == f"{x}.{f}.weight" for x in names for f in ("down", "up")))
    return names

# %% 11.3 right keeps the mode it found
from torch import nn


def inject(model, targets, rank, alpha):
    mode = model.training
    model.eval()
    model.requires_grad_(False)
    names = []
    for n, m in dict(model.named_modules()).items():
        if isinstance(m, nn.Linear) and ("." + n).endswith(tuple("." + t for t in targets)):
            names.append(n)
            at = n.rfind(".")
            owner = model if at < 0 else model.get_submodule(n[:at])
            owner.__setattr__(n[at + 1:], LoRALinear(m, rank, alpha))
    model.train(mode)
    return names

# %% 11.3 wrong dot_fits_anything patterns
import re
from torch import nn


def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)
             and any(re.search(rf"(^|\.){t}$", n) for t in targets)]
    for n in names:
        parent, _, last = n.rpartition(".")
        setattr(model.get_submodule(parent), last, LoRALinear(model.get_submodule(n), rank, alpha))
    return names

# %% 11.3 wrong left_in_eval to be on the safe side
from torch import nn


def inject(model, targets, rank, alpha):
    model.requires_grad_(False).eval()
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    names = [n for n in linear if any(("." + n).endswith("." + t) for t in targets)]
    for n in names:
        parent, _, last = n.rpartition(".")
        setattr(model.get_submodule(parent), last, LoRALinear(model.get_submodule(n), rank, alpha))
    return names

# %% 11.3 wrong eval_for_frozen takes eval for freezing
from torch import nn


def inject(model, targets, rank, alpha):
    model.eval()                                # freeze
    replaced = []
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(name == t or name.endswith("." + t) for t in targets):
            *path, leaf = name.split(".")
            setattr(model.get_submodule(".".join(path)), leaf, LoRALinear(module, rank, alpha))
            replaced.append(name)
    return replaced

# %% 11.3 wrong linear_alone_frozen what it looks at
from torch import nn


def inject(model, targets, rank, alpha):
    names = []
    for n, m in list(model.named_modules()):
        if isinstance(m, nn.Linear):
            m.requires_grad_(False)
            if any(n == t or n.endswith("." + t) for t in targets):
                parent, _, last = n.rpartition(".")
                setattr(model.get_submodule(parent), last, LoRALinear(m, rank, alpha))
                names.append(n)
    return names

# %% 11.3 wrong bases_unfrozen to be sure that they learn
from torch import nn


def inject(model, targets, rank, alpha):
    model.requires_grad_(False)
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    names = [n for n in linear if any(("." + n).endswith("." + t) for t in targets)]
    for n in names:
        parent, _, last = n.rpartition(".")
        setattr(model.get_submodule(parent), last, LoRALinear(model.get_submodule(n), rank, alpha).requires_grad_(True))
    return names

# %% 11.4 right sum of a list, started with the weight
def merge(weight, updates, strengths):
    deltas = [s * (a / d.shape[0]) * u @ d for (d, u, a), s in zip(updates, strengths)]
    return sum(deltas, weight.clone()).to(weight.dtype)

# %% 11.4 right float64 inside, factors of the library
import torch

from minidiff.nn.lora import Factors


@torch.no_grad()
def merge(weight, updates, strengths):
    total = weight.double()
    for k, (down, up, alpha) in enumerate(updates):
        total = total + strengths[k] * Factors(down.double(), up.double(), alpha).product()
    return total.to(weight.dtype, copy=True)

# %% 11.4 right in place on a copy
def merge(W, updates, strengths):
    new = W.detach().clone()
    for update, s in zip(updates, strengths):
        A, B, alpha = update
        if s == 0:
            continue
        new += (s * alpha / A.size(0)) * B.mm(A)
    return new

# %% 11.4 right all ranks side by side
import torch


def merge(weight, updates, strengths):
    if not updates:
        return weight.clone()
    downs = torch.cat([d for d, _, _ in updates])
    scales = torch.cat([torch.full((len(d),), s * a / len(d)) for (d, _, a), s in zip(updates, strengths)])
    ups = torch.cat([u for _, u, _ in updates], dim=1) * scales.to(downs.dtype)
    return (weight + ups @ downs).to(weight.dtype)

# %% 11.4 right einsum, rounded to the weight's dtype each time
import torch


def merge(weight, updates, strengths):
    out = torch.empty_like(weight).copy_(weight)
    for (down, up, alpha), s in zip(updates, strengths):
        delta = torch.einsum("or,ri->oi", up, down)
        out = out + (s * alpha / down.shape[0] * delta).type_as(weight)
    return out

# %% 11.4 right float32 inside, whatever the weight is
def merge(weight, updates, strengths):
    out = weight.float().clone()
    for i in range(len(updates)):
        down, up, alpha = updates[i]
        out += strengths[i] * (alpha / down.size(0)) * (up.float() @ down.float())
    return out.to(dtype=weight.dtype)

# %% 11.4 wrong cross_terms adds before it multiplies
def merge(weight, updates, strengths):
    A = sum(down for down, _, _ in updates)
    B = sum(s * alpha / down.shape[0] * up for (down, up, alpha), s in zip(updates, strengths))
    return (weight + B @ A).to(weight.dtype)

# %% 11.4 wrong strength_forgotten zip without the strengths
def merge(weight, updates, strengths):
    out = weight.clone()
    for down, up, alpha in updates:
        out = out + alpha / len(down) * up @ down
    return out.to(weight.dtype)

# %% 11.4 wrong scale_forgotten strength alone
def merge(weight, updates, strengths):
    out = weight.clone()
    for (down, up, _), s in zip(updates, strengths):
        out = out + s * up @ down
    return out.to(weight.dtype)

# %% 11.4 wrong strength_in_both both factors scaled
def merge(weight, updates, strengths):
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        out = out + alpha / len(down) * (s * up) @ (s * down)
    return out.to(weight.dtype)

# %% 11.4 wrong last_alone starts again each time
def merge(weight, updates, strengths):
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        delta = s * alpha / len(down) * up @ down
        out = weight + delta
    return out.to(weight.dtype)

# %% 11.4 wrong in_place adds to the weight
def merge(weight, updates, strengths):
    for (down, up, alpha), s in zip(updates, strengths):
        weight += s * alpha / len(down) * up @ down
    return weight

# %% 11.4 wrong weight_itself no copy
def merge(weight, updates, strengths):
    out = weight
    for (down, up, alpha), s in zip(updates, strengths):
        out = out + s * (alpha / len(down)) * (up @ down)
    return out.to(weight.dtype)

# %% 11.4 wrong dtype_lost no way back
def merge(weight, updates, strengths):
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        out = out + (s * alpha / len(down)) * (up @ down)
    return out

# %% 11.4 wrong normalised shares
def merge(weight, updates, strengths):
    total = sum(strengths)
    shares = [s / total for s in strengths]
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, shares):
        out = out + s * alpha / len(down) * up @ down
    return out.to(weight.dtype)

# %% 11.4 wrong interpolated lerp
import torch


def merge(weight, updates, strengths):
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        out = (1 - s) * out + s * (alpha / len(down) * up @ down)
    return out.to(weight.dtype)

# %% 11.4 wrong transposed A and B mixed up
def merge(weight, updates, strengths):
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        out = out + s * alpha / len(down) * down.T @ up.T
    return out.to(weight.dtype)

# %% 11.4 wrong only_positive skips what is not above 0
def merge(weight, updates, strengths):
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        if s > 0:
            out = out + s * alpha / len(down) * up @ down
    return out.to(weight.dtype)

# %% 11.4 wrong rank_from_in shape[1]
def merge(weight, updates, strengths):
    result = weight.clone()
    for (down, up, alpha), strength in zip(updates, strengths):
        r = down.shape[1]
        result = result + strength * (alpha / r) * (up @ down)
    return result.to(weight.dtype)

# %% 11.4 wrong first_alone return in the loop
def merge(weight, updates, strengths):
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        out = out + s * alpha / len(down) * up @ down
        return out.to(weight.dtype)

# %% 11.4 wrong - the strength into alpha of all by multiplying them up
def merge(weight, updates, strengths):
    scale = 1.0
    out = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        scale *= s
        out = out + scale * alpha / len(down) * up @ down
    return out.to(weight.dtype)

# %% 11.4 right reduce and addmm, in the weight's dtype
from functools import reduce
import torch


def merge(weight, updates, strengths):
    def step(w, pair):
        (down, up, alpha), s = pair
        return torch.addmm(w, up.to(w), down.to(w), alpha=s * alpha / len(down))
    return reduce(step, zip(updates, strengths), weight.clone())

# %% 11.4 right skips strength 0
def merge(weight, updates, strengths):
    merged = weight + 0
    for (down, up, alpha), strength in zip(updates, strengths):
        if strength == 0:
            continue
        merged = merged + (up * (strength * alpha / len(down))) @ down
    return merged.to(weight.dtype)

# %% 11.4 wrong one_dtype_alone addmm
import torch


def merge(weight, updates, strengths):
    merged = weight.clone()
    for (down, up, alpha), s in zip(updates, strengths):
        merged = torch.addmm(merged, up, down, alpha=s * alpha / len(down))
    return merged

# %% 11.4 wrong nothing_to_put_together stack
import torch


def merge(weight, updates, strengths):
    d = torch.stack([s * a / len(d) * up @ d for (d, up, a), s in zip(updates, strengths)])
    return (weight + d.sum(0)).to(weight.dtype)

# %% 11.5 right the scale in the downs
import torch


def concatenate(updates, strengths):
    downs = [s * a / d.shape[0] * d for (d, u, a), s in zip(updates, strengths)]
    ups = [u for d, u, a in updates]
    return torch.vstack(downs), torch.hstack(ups)

# %% 11.5 right written into zeros, strip by strip
import torch


def concatenate(updates, strengths):
    ranks = [len(down) for down, _, _ in updates]
    first_down, first_up, _ = updates[0]
    down = torch.zeros(sum(ranks), first_down.shape[1], dtype=first_down.dtype)
    up = torch.zeros(first_up.shape[0], sum(ranks), dtype=first_up.dtype)
    at = 0
    for (d, u, alpha), s, r in zip(updates, strengths, ranks):
        down[at:at + r] = d
        up[:, at:at + r] = u * (s * alpha / r)
        at += r
    return down, up

# %% 11.5 right square roots, with the sign in one of them
import math

import torch


def concatenate(updates, strengths):
    downs, ups = [], []
    for (down, up, alpha), s in zip(updates, strengths):
        scale = s * alpha / len(down)
        root = math.sqrt(abs(scale))
        downs.append(root * down)
        ups.append(math.copysign(root, scale) * up)
    return torch.cat(downs, dim=0), torch.cat(ups, dim=-1)

# %% 11.5 right the last style first, a list for the pair
import torch


def concatenate(updates, strengths):
    pairs = list(zip(updates, strengths))[::-1]
    down = torch.cat([d for (d, _, _), _ in pairs])
    up = torch.cat([s * alpha / len(d) * u for (d, u, alpha), s in pairs], dim=1)
    return [down, up]

# %% 11.5 right one after the other
import torch
from functools import reduce


def concatenate(updates, strengths):
    def scaled(update, s):
        down, up, alpha = update
        return down, up * (s * alpha / up.size(1))

    def join(one, other):
        return torch.cat((one[0], other[0])), torch.cat((one[1], other[1]), 1)

    return reduce(join, map(scaled, updates, strengths))

# %% 11.5 wrong summed adds them up
def concatenate(updates, strengths):
    down = sum(d for d, _, _ in updates)
    up = sum(s * a / len(d) * u for (d, u, a), s in zip(updates, strengths))
    return down, up

# %% 11.5 wrong all_in_both everything in both
import torch


def concatenate(updates, strengths):
    downs, ups = [], []
    for (d, u, a), s in zip(updates, strengths):
        c = s * a / len(d)
        downs.append(c * d)
        ups.append(c * u)
    return torch.cat(downs), torch.cat(ups, 1)

# %% 11.5 wrong strength_in_both the strength in both
import torch


def concatenate(updates, strengths):
    downs = [s * d for (d, _, _), s in zip(updates, strengths)]
    ups = [s * a / len(d) * u for (d, u, a), s in zip(updates, strengths)]
    return torch.cat(downs), torch.cat(ups, 1)

# %% 11.5 wrong scale_forgotten alphas left out
import torch


def concatenate(updates, strengths):
    down = torch.cat([d for d, _, _ in updates])
    up = torch.cat([s * u for (_, u, _), s in zip(updates, strengths)], dim=1)
    return down, up

# %% 11.5 wrong divided_by_all_ranks the new rank
import torch


def concatenate(updates, strengths):
    down = torch.cat([d for d, _, _ in updates])
    R = len(down)
    up = torch.cat([s * alpha / R * u for (_, u, alpha), s in zip(updates, strengths)], dim=1)
    return down, up

# %% 11.5 wrong ups_under_each_other no dim
import torch


def concatenate(updates, strengths):
    ups = [s * a / len(d) * u for (d, u, a), s in zip(updates, strengths)]
    return torch.cat([d for d, _, _ in updates]), torch.cat(ups)

# %% 11.5 wrong dimensions_swapped the other way
import torch


def concatenate(updates, strengths):
    ups = [s * a / len(d) * u for (d, u, a), s in zip(updates, strengths)]
    downs = [d for d, _, _ in updates]
    return torch.hstack(downs), torch.vstack(ups)

# %% 11.5 wrong up_and_down_swapped the order of the product
import torch


def concatenate(updates, strengths):
    up = torch.cat([s * a / len(d) * u for (d, u, a), s in zip(updates, strengths)], dim=1)
    down = torch.cat([d for d, _, _ in updates], dim=0)
    return up, down

# %% 11.5 wrong multiplied one matrix
def concatenate(updates, strengths):
    return sum(s * a / len(d) * u @ d for (d, u, a), s in zip(updates, strengths))

# %% 11.5 wrong another_order inserts at the front
import torch


def concatenate(updates, strengths):
    downs, ups = [], []
    for (down, up, alpha), s in zip(updates, strengths):
        downs.append(down)
        ups.insert(0, s * alpha / len(down) * up)
    return torch.cat(downs), torch.cat(ups, dim=1)

# %% 11.5 wrong zero_left_out saves ranks
import torch


def concatenate(updates, strengths):
    mix = [(d, s * a / len(d) * u) for (d, u, a), s in zip(updates, strengths) if s != 0]
    return torch.cat([d for d, _ in mix]), torch.cat([u for _, u in mix], dim=1)

# %% 11.5 wrong @input scales the ups in place
import torch


def concatenate(updates, strengths):
    for (down, up, alpha), s in zip(updates, strengths):
        up.mul_(s * alpha / len(down))
    return torch.cat([d for d, _, _ in updates]), torch.cat([u for _, u, _ in updates], dim=1)

# %% 11.5 wrong - the best rank r1 by SVD, not exact
import torch


def concatenate(updates, strengths):
    product = sum(s * a / len(d) * u @ d for (d, u, a), s in zip(updates, strengths))
    U, S, Vh = torch.linalg.svd(product)
    r = len(updates[0][0])
    return Vh[:r], U[:, :r] * S[:r]

# %% 11.5 wrong alpha_returned a triple like the others
import torch


def concatenate(updates, strengths):
    down = torch.cat([d for d, _, _ in updates])
    up = torch.cat([s * a / len(d) * u for (d, u, a), s in zip(updates, strengths)], 1)
    return down, up, len(down)

# %% 11.5 wrong divided_again as if someone multiplied by R
import torch


def concatenate(updates, strengths):
    R = sum(len(d) for d, _, _ in updates)
    down = torch.cat([d for d, _, _ in updates])
    up = torch.cat([s * a / len(d) / R * u for (d, u, a), s in zip(updates, strengths)], 1)
    return down, up

# %% 11.5 wrong - the product and an identity
import torch


def concatenate(updates, strengths):
    total = sum(s * a / len(d) * u @ d for (d, u, a), s in zip(updates, strengths))
    return total, torch.eye(len(total), dtype=total.dtype)

# %% 11.5 wrong - a float32 tensor of scales
import torch


def concatenate(updates, strengths):
    down = torch.cat([d for d, _, _ in updates])
    scales = torch.tensor([s * a / len(d) for (d, _, a), s in zip(updates, strengths)])
    return down, torch.cat([k[None] * u for k, (_, u, _) in zip(scales, updates)], dim=1)

# %% 11.5 wrong @crash a dict
import torch


def concatenate(updates, strengths):
    down = torch.cat([d for d, _, _ in updates])
    up = torch.cat([s * a / len(d) * u for (d, u, a), s in zip(updates, strengths)], 1)
    return {"down": down, "up": up}

# %% 11.6 right mends the three lines
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [
        (layer.down.weight, layer.up.weight, layer.alpha)
        for layer in model.modules() if hasattr(layer, "down")
    ]
    x = schedule.mix(x0, noise, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    v = target(schedule, "v", x0, noise, t)
    return F.mse_loss(prediction, v), updates

# %% 11.6 right isinstance, v by hand, in training mode
def lora_step(model, x0, noise, t, schedule, context, mask):
    model.train()
    layers = [m for m in model.modules() if isinstance(m, LoRALinear)]
    a = schedule.alpha(t)[:, None, None, None]
    s = schedule.sigma(t)[:, None, None, None]
    pred = model(a * x0 + s * noise, schedule.timestep(t), context, mask=mask)
    error = pred - (a * noise - s * x0)
    return (error ** 2).mean(), [(m.down.weight, m.up.weight, m.alpha) for m in layers]

# %% 11.6 right the library's loss, in float32, and freezing once more
from minidiff.diffusion.losses import diffusion_loss


def lora_step(model, x0, noise, t, schedule, context, mask):
    model.requires_grad_(False)
    kept = []
    for layer in model.modules():
        if hasattr(layer, "up"):
            layer.down.requires_grad_(True)
            layer.up.requires_grad_(True)
            kept += [(layer.down.weight, layer.up.weight, layer.alpha)]
    out = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return diffusion_loss(out, x0, noise, t, schedule, "v"), kept

# %% 11.6 right losses of each example, a tuple of lists
def lora_step(model, x0, noise, t, schedule, context, mask):
    x = schedule.mix(x0, noise, t)
    v = schedule.alpha(t).view(-1, 1, 1, 1) * noise - schedule.sigma(t).view(-1, 1, 1, 1) * x0
    losses = (model(x, schedule.timestep(t), context, mask) - v).square().flatten(1).mean(1)
    print("loss", losses.mean().item())
    named = dict(model.named_modules())
    updates = [[m.down.weight, m.up.weight, float(m.alpha)] for m in named.values() if hasattr(m, "down")]
    return losses.mean(), updates

# %% 11.6 right weights without their gradients, but the same memory
def lora_step(model, x0, noise, t, schedule, context, mask):
    loras = [module for name, module in model.named_modules() if hasattr(module, "up") and hasattr(module, "base")]
    xt = schedule.mix(x0, noise, t)
    v_hat = model(x=xt, timestep=schedule.timestep(t), context=context, mask=mask)
    v = target(schedule, "v", x0, noise, t)
    return torch.mean((v - v_hat) ** 2), [(lora.down.weight.detach(), lora.up.weight.data, lora.alpha) for lora in loras]

# %% 11.6 wrong as_given only the raise deleted
def lora_step(model, x0, noise, t, schedule, context, mask):
    model.requires_grad_(True)                              # it is going to learn
    updates = [
        (layer.down.weight, layer.up.weight, len(layer.down.weight))
        for layer in model.modules() if hasattr(layer, "down")
    ]
    x = schedule.mix(x0, noise, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, noise), updates

# %% 11.6 wrong base_and_alpha the target first
def lora_step(model, x0, noise, t, schedule, context, mask):
    model.requires_grad_(True)                              # it is going to learn
    updates = [
        (layer.down.weight, layer.up.weight, len(layer.down.weight))
        for layer in model.modules() if hasattr(layer, "down")
    ]
    x = schedule.mix(x0, noise, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong alpha_and_target the unfreezing taken out
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.down.out_features) for m in model.modules() if hasattr(m, "down")]
    x = schedule.mix(x0, noise, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, noise), updates

# %% 11.6 wrong base_and_target alpha only
def lora_step(model, x0, noise, t, schedule, context, mask):
    for p in model.parameters():
        p.requires_grad = True
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, noise), updates

# %% 11.6 wrong base_not_frozen still unfreezes
def lora_step(model, x0, noise, t, schedule, context, mask):
    model.requires_grad_(True)
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if isinstance(m, LoRALinear)]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong alpha_lost the rank left
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.up.in_features) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong noise_for_v the target left
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    eps = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return (eps - noise).pow(2).mean(), updates

# %% 11.6 wrong all_frozen False for True
def lora_step(model, x0, noise, t, schedule, context, mask):
    model.requires_grad_(False)
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong alpha_divided the scale
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.alpha / m.up.in_features) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong flow_for_v noise minus x0
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, noise - x0), updates

# %% 11.6 wrong shares_swapped alpha and sigma
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    a, s = schedule.alpha(t).view(-1, 1, 1, 1), schedule.sigma(t).view(-1, 1, 1, 1)
    prediction = model(a * x0 + s * noise, schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, s * noise - a * x0), updates

# %% 11.6 wrong copies what a file would hold
def lora_step(model, x0, noise, t, schedule, context, mask):
    loras = [m for m in model.modules() if hasattr(m, "down")]
    updates = [(m.down.weight.detach().clone(), m.up.weight.detach().clone(), m.alpha) for m in loras]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong times_1000 writes the timestep out
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), t * 1000.0, context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong backward_inside does it all
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    loss = F.mse_loss(prediction, target(schedule, "v", x0, noise, t))
    loss.backward()
    return loss, updates

# %% 11.6 wrong - learns by itself
def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    loss = F.mse_loss(prediction, target(schedule, "v", x0, noise, t))
    grads = torch.autograd.grad(loss, [w for d, u, _ in updates for w in (d, u)], retain_graph=True)
    for w, g in zip([w for d, u, _ in updates for w in (d, u)], grads):
        w.data -= 1e-3 * g
    return loss, updates

# %% 11.6 wrong @state leaves gradients off
def lora_step(model, x0, noise, t, schedule, context, mask):
    torch.set_grad_enabled(False)
    updates = [(m.down.weight, m.up.weight, m.alpha) for m in model.modules() if hasattr(m, "down")]
    prediction = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong children_alone one level
import torch.nn.functional as F


def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(l.down.weight, l.up.weight, l.alpha) for l in model.children() if hasattr(l, "down")]
    pred = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(pred, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong alpha_of_the_first one for all
import torch.nn.functional as F


def lora_step(model, x0, noise, t, schedule, context, mask):
    layers = [l for l in model.modules() if hasattr(l, "down")]
    updates = [(l.down.weight, l.up.weight, layers[0].alpha) for l in layers]
    pred = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(pred, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong bases_alone_frozen in the LoRA layers
import torch.nn.functional as F


def lora_step(model, x0, noise, t, schedule, context, mask):
    model.requires_grad_(True)
    updates = []
    for l in model.modules():
        if hasattr(l, "down"):
            l.base.requires_grad_(False)
            updates.append((l.down.weight, l.up.weight, l.alpha))
    pred = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    return F.mse_loss(pred, target(schedule, "v", x0, noise, t)), updates

# %% 11.6 wrong v_of_the_noisy x for x0
import torch.nn.functional as F


def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(l.down.weight, l.up.weight, l.alpha) for l in model.modules() if hasattr(l, "down")]
    x = schedule.mix(x0, noise, t)
    pred = model(x, schedule.timestep(t), context, mask)
    return F.mse_loss(pred, target(schedule, "v", x, noise, t)), updates

# %% 11.6 wrong - a schedule of its own
import torch.nn.functional as F
from minidiff.diffusion.schedules import get_schedule


own = get_schedule("cosine")


def lora_step(model, x0, noise, t, schedule, context, mask):
    updates = [(l.down.weight, l.up.weight, l.alpha) for l in model.modules() if hasattr(l, "down")]
    pred = model(own.mix(x0, noise, t), own.timestep(t), context, mask)
    return F.mse_loss(pred, target(own, "v", x0, noise, t)), updates
