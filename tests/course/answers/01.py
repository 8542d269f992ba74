"""Answers to lesson 01 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake whose
hint they get, or - for none of their own."""

# %% 01.1 right frequencies by exp and log, angles by einsum
import math

import torch


def timestep_embedding(t, dim, max_period=10000.0):
    n = dim // 2
    freqs = torch.exp(-math.log(max_period) * torch.arange(n, dtype=torch.float32) / n)
    args = torch.einsum("b,k->bk", t.float(), freqs)
    return torch.cat((args.cos(), args.sin()), dim=-1)

# %% 01.1 right a loop over the columns
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    out = torch.zeros(len(timestep), dim)
    for k in range(dim // 2):
        out[:, k] = torch.cos(timestep * max_period ** (-2 * k / dim))
        out[:, k + dim // 2] = torch.sin(timestep * max_period ** (-2 * k / dim))
    return out

# %% 01.1 right a lambda with a helper beside it
import torch


def speeds(half: int, period: float) -> torch.Tensor:
    return torch.tensor([period ** (-k / half) for k in range(half)])


timestep_embedding = lambda timestep, dim, max_period=10000.0: torch.hstack([
    g(timestep.unsqueeze(-1) * speeds(dim // 2, max_period)) for g in (torch.cos, torch.sin)
])

# %% 01.1 right works in float64 and gives float32
import torch


def timestep_embedding(timestep: torch.Tensor, dim: int, max_period: float = 10000.0) -> torch.Tensor:
    half = dim // 2
    omega = max_period ** -(torch.arange(half, dtype=torch.float64) / half)
    angle = timestep.double()[:, None] * omega[None, :]
    return torch.cat([angle.cos(), angle.sin()], dim=1).float()

# %% 01.1 right numpy there and back
import numpy as np
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    t = timestep.numpy()
    w = np.power(max_period, -np.arange(dim // 2) / (dim // 2))
    a = np.outer(t, w)
    return torch.from_numpy(np.concatenate([np.cos(a), np.sin(a)], axis=1).astype(np.float32))

# %% 01.1 right complex numbers
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    exponents = -torch.linspace(0, 1, dim // 2 + 1)[:-1]
    angle = timestep.reshape(-1, 1) * torch.pow(torch.tensor(max_period), exponents)
    z = torch.polar(torch.ones_like(angle), angle)      # cos + i sin
    return torch.cat([z.real, z.imag], 1)

# %% 01.1 wrong sines_first sin before cos
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    freqs = torch.exp(-torch.log(torch.tensor(max_period)) * torch.arange(half) / half)
    args = timestep[:, None].float() * freqs[None]
    return torch.cat([torch.sin(args), torch.cos(args)], dim=-1)

# %% 01.1 wrong full_width dim frequencies
import math

import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    freqs = torch.exp(-math.log(max_period) * torch.arange(dim) / dim)
    args = torch.outer(timestep.float(), freqs)
    return torch.hstack([args.cos(), args.sin()])

# %% 01.1 wrong half_minus_1 linspace with both ends
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    freqs = max_period ** -torch.linspace(0, 1, dim // 2)
    args = timestep[:, None] * freqs
    return torch.cat([args.cos(), args.sin()], dim=1)

# %% 01.1 wrong exponent_over_dim i / dim
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    freqs = torch.tensor([1 / max_period ** (i / dim) for i in range(dim // 2)])
    args = timestep[:, None] * freqs
    return torch.cat([args.cos(), args.sin()], dim=1)

# %% 01.1 wrong rising_frequencies the minus is missing
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    freqs = max_period ** (torch.arange(half) / half)
    args = timestep[:, None] * freqs
    return torch.cat([args.cos(), args.sin()], dim=1)

# %% 01.1 wrong power_before_division no brackets around the exponent
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    k = torch.arange(half)
    w = max_period ** -k / half
    a = timestep[:, None].float() * w
    print(a.shape)
    return torch.cat([a.cos(), a.sin()], dim=1)

# %% 01.1 wrong pairs_side_by_side cos and sin alternate
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    out = torch.zeros(len(timestep), dim)
    for k in range(dim // 2):
        angle = timestep * max_period ** (-2 * k / dim)
        out[:, 2 * k], out[:, 2 * k + 1] = angle.cos(), angle.sin()
    return out

# %% 01.1 wrong sine_then_cosine_in_pairs the positional encoding of the transformer
import math

import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    pe = torch.zeros(timestep.shape[0], dim)
    position = timestep.float().unsqueeze(1)
    div_term = torch.exp(torch.arange(0, dim, 2).float() * (-math.log(max_period) / dim))
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe

# %% 01.1 wrong below_one_another cat without dim
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    omega = torch.tensor(max_period).pow(-torch.arange(half) / half)
    angle = torch.outer(timestep.float(), omega)
    return torch.cat([torch.cos(angle), torch.sin(angle)])

# %% 01.1 wrong fixed_period 10000 written out
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    args = timestep[:, None] * 10000 ** (-torch.arange(half) / half)
    return torch.cat([args.cos(), args.sin()], dim=1)

# %% 01.1 wrong time_in_0_to_1 scales the time first
import math

import torch

STEPS = 1000


def timestep_embedding(timestep, dim, max_period=10000.0):
    t = timestep.float() / STEPS
    freqs = torch.exp(torch.arange(dim // 2) * (-math.log(max_period) / (dim // 2)))
    args = t[:, None] * freqs[None, :]
    return torch.cat([args.cos(), args.sin()], dim=-1)

# %% 01.1 wrong whole_times a table with a row for each whole step
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    angles = torch.arange(1001)[:, None] * max_period ** (-torch.arange(half) / half)
    table = torch.cat([angles.cos(), angles.sin()], dim=1)
    return table[timestep.long()]

# %% 01.1 wrong two_pi a frequency in turns
import math

import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    freq = max_period ** (-torch.arange(half) / half)
    phase = 2 * math.pi * freq[None] * timestep[:, None]
    return torch.cat([phase.cos(), phase.sin()], dim=1)

# %% 01.1 wrong float64 numpy's dtype stays
import numpy as np
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    omega = torch.from_numpy(max_period ** (-np.arange(half) / half))
    angle = timestep[:, None] * omega
    return torch.cat([angle.cos(), angle.sin()], dim=1)

# %% 01.1 wrong @input turns the caller's times into a column
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    timestep.unsqueeze_(1)
    angle = timestep.float() * max_period ** (-torch.arange(half) / half)
    return torch.cat([angle.cos(), angle.sin()], dim=1)

# %% 01.1 wrong @state float64 for everybody
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    torch.set_default_dtype(torch.float64)              # more precise
    k = torch.arange(dim // 2)
    angle = timestep.double()[:, None] * max_period ** (-k / (dim // 2))
    return torch.cat([angle.cos(), angle.sin()], dim=1).float()

# %% 01.1 wrong @kind gives back a function of the time
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    omega = max_period ** (-torch.arange(dim // 2) / (dim // 2))

    def embed(t):
        return torch.cat([(t[:, None] * omega).cos(), (t[:, None] * omega).sin()], dim=1)

    return embed

# %% 01.1 wrong @crash a row times a row
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    omega = max_period ** (-torch.arange(dim // 2) / (dim // 2))
    angle = timestep * omega
    return torch.cat([angle.cos(), angle.sin()], dim=-1)

# %% 01.1 wrong - whole-number division in the exponent
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    k = torch.arange(half)
    omega = max_period ** (-k // half)
    angle = timestep[:, None].float() * omega
    return torch.cat([angle.cos(), angle.sin()], dim=1)

# %% 01.1 wrong - k counts from 1
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    omega = torch.tensor([max_period ** -(k / half) for k in range(1, half + 1)])
    angle = timestep.float().view(-1, 1) @ omega.view(1, -1)
    return torch.cat([angle.cos(), angle.sin()], dim=1)

# %% 01.2 right group by group
import torch


def group_norm(x, groups, weight, bias, eps=1e-5):
    out = torch.empty_like(x)
    size = x.shape[1] // groups
    for g in range(groups):
        s = slice(g * size, (g + 1) * size)
        m = x[:, s].mean((1, 2, 3), keepdim=True)
        v = x[:, s].var((1, 2, 3), correction=0, keepdim=True)
        out[:, s] = (x[:, s] - m) * torch.rsqrt(v + eps)
    return out * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 right five axes and the mean of squares
def group_norm(x, groups, weight, bias, eps=1e-5):
    b, c, h, w = x.shape
    y = x.reshape(b, groups, c // groups, h, w)
    mu = y.mean(dim=(2, 3, 4), keepdim=True)
    var = (y * y).mean(dim=(2, 3, 4), keepdim=True) - mu**2
    y = ((y - mu) / (var + eps) ** 0.5).reshape(b, c, h, w)
    return y * weight[None, :, None, None] + bias[None, :, None, None]

# %% 01.2 right layer_norm of each row
import torch.nn.functional as F


def group_norm(x, groups, weight, bias, eps=1e-5):
    rows = x.flatten(2).reshape(x.size(0), groups, -1)
    rows = F.layer_norm(rows, rows.shape[2:], eps=eps)
    return (rows.view(*x.shape[:2], -1) * weight[:, None] + bias[:, None]).view(*x.shape)

# %% 01.2 right one picture after the other, einsum for the weight
import torch
from torch import Tensor


def standardised(v: Tensor, eps: float) -> Tensor:
    v = v - v.mean()
    return v / torch.sqrt(v.square().mean() + eps)


def group_norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    pictures = [torch.cat([standardised(part, eps) for part in picture.chunk(groups)]) for picture in x]
    return torch.einsum("bchw,c->bchw", torch.stack(pictures), weight) + bias[:, None, None]

# %% 01.2 right channels last, then back
def group_norm(x, groups, weight, bias, eps=1e-5):
    B, C, H, W = x.shape
    z = x.reshape(B * groups, C // groups * H * W)
    z = (z - z.mean(1, keepdim=True)) / (z.std(1, unbiased=False, keepdim=True) ** 2 + eps).sqrt()
    z = z.reshape(B, C, H, W).permute(0, 2, 3, 1)
    return (z * weight + bias).permute(0, 3, 1, 2)      # now weight meets the last axis

# %% 01.2 wrong whole_sample one mean for a picture
def group_norm(x, groups, weight, bias, eps=1e-5):
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    var = ((x - mean) ** 2).mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) / (var + eps) ** 0.5 * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 wrong per_channel over height and width
def group_norm(x, groups, weight, bias, eps=1e-5):
    mean = x.mean(dim=(-2, -1), keepdim=True)
    var = x.var(dim=(-2, -1), keepdim=True, correction=0)
    return (x - mean) * (var + eps).rsqrt() * weight[None, :, None, None] + bias[None, :, None, None]

# %% 01.2 wrong over_the_batch a slice of channels, all pictures
import torch


def group_norm(x, groups, weight, bias, eps=1e-5):
    out = torch.empty_like(x)
    size = x.shape[1] // groups
    for g in range(groups):
        part = x[:, g * size:(g + 1) * size]
        out[:, g * size:(g + 1) * size] = (part - part.mean()) / torch.sqrt(part.var(unbiased=False) + eps)
    return out * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 wrong groups_of_that_size channels // groups mixed up with groups
def group_norm(x, groups, weight, bias, eps=1e-5):
    b, c, h, w = x.shape
    y = x.reshape(b, c // groups, groups, h, w)
    y = (y - y.mean((2, 3, 4), keepdim=True)) / (y.var((2, 3, 4), unbiased=False, keepdim=True) + eps).sqrt()
    return y.reshape(b, c, h, w) * weight.view(c, 1, 1) + bias.view(c, 1, 1)

# %% 01.2 wrong interleaved_groups every second channel
import torch


def group_norm(x, groups, weight, bias, eps=1e-5):
    out = torch.empty_like(x)
    for g in range(groups):
        part = x[:, g::x.shape[1] // (x.shape[1] // groups)]
        mean = part.mean((1, 2, 3), keepdim=True)
        var = part.var((1, 2, 3), keepdim=True, unbiased=False)
        out[:, g::groups] = (part - mean) / (var + eps).sqrt()
    return out * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 wrong bessel var as it comes
def group_norm(x, groups, weight, bias, eps=1e-5):
    b, c, h, w = x.shape
    y = x.reshape(b, groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True) + eps).sqrt()
    return y.reshape(b, c, h, w) * weight.view(1, c, 1, 1) + bias.view(1, c, 1, 1)

# %% 01.2 wrong mean_kept divides only
def group_norm(x, groups, weight, bias, eps=1e-5):
    rows = x.reshape(x.shape[0] * groups, -1)
    std = (rows.var(1, unbiased=False) + eps).sqrt()
    rows = rows / std[:, None]
    return rows.reshape(x.shape) * weight[:, None, None] + bias[:, None, None]

# %% 01.2 wrong rms_norm as in language models
import torch


def rms(v, eps):
    return v * torch.rsqrt(v.pow(2).mean(-1, keepdim=True) + eps)


def group_norm(x, groups, weight, bias, eps=1e-5):
    y = rms(x.reshape(len(x), groups, -1), eps).reshape(x.shape)
    return y * weight.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1)

# %% 01.2 wrong mean_square the variance of what was not centred
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    mean, var = y.mean(2, keepdim=True), (y**2).mean(2, keepdim=True)
    y = ((y - mean) / (var + eps).sqrt()).reshape_as(x)
    return y * weight[:, None, None] + bias[:, None, None]

# %% 01.2 wrong no_eps std alone
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / y.std(-1, keepdim=True, unbiased=False)
    return y.reshape(x.shape) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 wrong fixed_eps layer_norm's own eps
import torch.nn.functional as F


def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = F.layer_norm(y, (y.shape[-1],)).reshape(x.shape)
    return y * weight[:, None, None] + bias[:, None, None]

# %% 01.2 wrong eps_outside_the_root added to std
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.std(-1, keepdim=True, unbiased=False) + eps)
    return y.reshape(x.shape) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 wrong variance_for_std no root
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = y - y.mean(-1, keepdim=True)
    y = y / (y.pow(2).mean(-1, keepdim=True) + eps)
    return y.reshape(x.shape) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 wrong affine_forgotten neither weight nor bias
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, unbiased=False) + eps).sqrt()
    return y.reshape(x.shape)

# %% 01.2 wrong bias_before_weight adds, then multiplies
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, True)) / (y.var(-1, False, keepdim=True) + eps).sqrt()
    y = y.reshape(x.shape)
    y = y + bias.view(1, -1, 1, 1)
    return y * weight.view(1, -1, 1, 1)

# %% 01.2 wrong affine_along_the_width weight without axes
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, unbiased=False) + eps).sqrt()
    return weight * y.reshape(x.shape) + bias

# %% 01.2 wrong view of an x that may lie anyhow
def group_norm(x, groups, weight, bias, eps=1e-5):
    B, C, H, W = x.shape
    y = x.view(B, groups, C // groups * H * W)
    y = (y - y.mean(2, keepdim=True)) / (y.var(2, keepdim=True, unbiased=False) + eps).sqrt()
    return y.view(B, C, H, W) * weight.view(C, 1, 1) + bias.view(C, 1, 1)

# %% 01.2 wrong always_float32 zeros of the default dtype
import torch


def group_norm(x, groups, weight, bias, eps=1e-5):
    out = torch.zeros(x.shape)
    n = x.shape[1] // groups
    for c in range(x.shape[1]):
        g = x[:, c // n * n : c // n * n + n]
        scaled = (x[:, c] - g.mean((1, 2, 3))[:, None, None]) / (g.var((1, 2, 3), unbiased=False) + eps).sqrt()[:, None, None]
        out[:, c] = scaled * weight[c] + bias[c]
    return out

# %% 01.2 wrong @input reshape gives a view, which is changed
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(x.shape[0], groups, -1)
    y -= y.mean(dim=2, keepdim=True)
    y /= (y.pow(2).mean(dim=2, keepdim=True) + eps).sqrt()
    return y.reshape(x.shape) * weight[:, None, None] + bias[:, None, None]

# %% 01.2 wrong - the root of the standard deviation
def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.std(-1, unbiased=False, keepdim=True) + eps).sqrt()
    return y.reshape(x.shape) * weight[:, None, None] + bias[:, None, None]

# %% 01.2 wrong - channels are not put back in their order
from einops import rearrange


def group_norm(x, groups, weight, bias, eps=1e-5):
    y = rearrange(x, "b (c g) h w -> b g (c h w)", g=groups)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
    return y.reshape(x.shape) * weight[:, None, None] + bias[:, None, None]

# %% 01.3 right a helper for both halves
import torch.nn.functional as F


def half(norm, conv, h):
    return conv(F.silu(norm(h)))


def res_block(block, x, time):
    shift = block.time_emb_proj(F.silu(time)).unsqueeze(-1).unsqueeze(-1)
    out = half(block.norm2, block.conv2, half(block.norm1, block.conv1, x) + shift)
    return out + x if block.conv_shortcut is None else out + block.conv_shortcut(x)

# %% 01.3 right sigmoid by hand, the shortcut first
def swish(z):
    return z * z.sigmoid()


def res_block(block, x, time):
    residual = block.conv_shortcut(x) if block.conv_shortcut else x
    h = block.conv1(swish(block.norm1(x)))
    emb = block.time_emb_proj(swish(time))
    h = h + emb.reshape(*emb.shape, 1, 1)
    return residual + block.conv2(swish(block.norm2(h)))

# %% 01.3 right in place, but only what is its own
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.norm1(x)
    h = block.conv1(F.silu(h, inplace=True))
    h += block.time_emb_proj(F.silu(time))[..., None, None]
    h = F.silu(block.norm2(h), inplace=True)
    h = block.conv2(h)
    h += x if block.conv_shortcut is None else block.conv_shortcut(x)
    return h

# %% 01.3 right partial and Identity
from functools import partial

import torch
from torch import nn

activate = partial(torch.nn.functional.silu, inplace=False)


def res_block(block: nn.Module, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    first = nn.Sequential(block.norm1, nn.SiLU(), block.conv1)
    second = nn.Sequential(block.norm2, nn.SiLU(), block.conv2)
    t = block.time_emb_proj(activate(time))
    return (block.conv_shortcut or nn.Identity())(x) + second(first(x) + t[:, :, None, None])

# %% 01.3 wrong no_skip x is overwritten
import torch.nn.functional as F


def res_block(block, x, time):
    x = block.conv1(F.silu(block.norm1(x)))
    x = x + block.time_emb_proj(F.silu(time))[:, :, None, None]
    return block.conv2(F.silu(block.norm2(x)))

# %% 01.3 wrong skip_from_the_normalised_x x was overwritten early
import torch.nn.functional as F


def res_block(block, x, time):
    x = F.silu(block.norm1(x))
    h = block.conv1(x) + block.time_emb_proj(F.silu(time)).unsqueeze(-1).unsqueeze(-1)
    h = block.conv2(F.silu(block.norm2(h)))
    if block.conv_shortcut is not None:
        x = block.conv_shortcut(x)
    return x + h

# %% 01.3 wrong shortcut_forgotten x + h in any case
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(F.silu(time))[:, :, None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return x + h

# %% 01.3 wrong shortcut_always no test for None
import torch.nn.functional as F


def res_block(block, x, time):
    skip = block.conv_shortcut(x)
    h = block.conv1(F.silu(block.norm1(x))) + block.time_emb_proj(F.silu(time))[:, :, None, None]
    return skip + block.conv2(F.silu(block.norm2(h)))

# %% 01.3 wrong silu_after_the_sum as in the first ResNet
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(F.silu(time))[..., None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return F.silu(h + (block.conv_shortcut(x) if block.conv_shortcut else x))

# %% 01.3 wrong time_before_conv1 adds the time to the normalised x
import torch.nn.functional as F


def res_block(block, x, time):
    h = F.silu(block.norm1(x))
    h = h + block.time_emb_proj(F.silu(time))[..., None, None]
    h = block.conv1(h)
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong time_after_norm2 adds it before conv2
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = F.silu(block.norm2(h)) + block.time_emb_proj(F.silu(time))[..., None, None]
    h = block.conv2(h)
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong time_at_the_end adds it after conv2
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = block.conv2(F.silu(block.norm2(h)))
    h = h + block.time_emb_proj(F.silu(time))[..., None, None]
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong time_ignored the sum is not kept
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h + block.time_emb_proj(F.silu(time))[..., None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong time_multiplied a scale in place of a shift
import torch.nn.functional as F


def res_block(block, x, time):
    scale = block.time_emb_proj(F.silu(time))[..., None, None]
    h = scale * block.conv1(F.silu(block.norm1(x)))
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong time_without_silu straight into the projection
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(time)[..., None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong silu_behind_the_projection SiLU last
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + F.silu(block.time_emb_proj(time))[..., None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong time_without_axes (B, C) as it is
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(F.silu(time))
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong a_time_for_each_picture reshapes to the batch
import torch.nn.functional as F


def res_block(block, x, time):
    B = x.shape[0]
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(F.silu(time)).reshape(B, h.shape[1], 1, 1)
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong no_silu norm and convolution alone
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(block.norm1(x))
    h = h + block.time_emb_proj(F.silu(time))[..., None, None]
    h = block.conv2(block.norm2(h))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 wrong relu from habit
import torch


def res_block(block, x, time):
    act = torch.relu
    h = block.conv1(act(block.norm1(x)))
    h = h + block.time_emb_proj(act(time))[:, :, None, None]
    h = block.conv2(act(block.norm2(h)))
    return h + (x if block.conv_shortcut is None else block.conv_shortcut(x))

# %% 01.3 wrong silu_before_norm the first two are swapped
from torch.nn.functional import silu


def res_block(block, x, time):
    h = block.conv1(block.norm1(silu(x)))
    h = h + block.time_emb_proj(silu(time))[:, :, None, None]
    h = block.conv2(block.norm2(silu(h)))
    return h + (x if block.conv_shortcut is None else block.conv_shortcut(x))

# %% 01.3 wrong convolution_first conv, norm, activation
from torch.nn.functional import silu


def res_block(block, x, time):
    h = silu(block.norm1(block.conv1(x)))
    h = h + block.time_emb_proj(silu(time))[:, :, None, None]
    h = silu(block.norm2(block.conv2(h)))
    return h + (x if block.conv_shortcut is None else block.conv_shortcut(x))

# %% 01.3 wrong calls_the_block lets the library do it
res_block = lambda block, x, time: block(x, time)

# %% 01.3 wrong @input x += h
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(F.silu(time))[:, :, None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    if block.conv_shortcut is not None:
        x = block.conv_shortcut(x)
    x += h
    return x

# %% 01.3 wrong @input an activation in place, on the time
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(F.silu(time, inplace=True))[:, :, None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (x if block.conv_shortcut is None else block.conv_shortcut(x))

# %% 01.3 wrong - norm1 in both halves
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(F.silu(time))[:, :, None, None]
    h = block.conv2(F.silu(block.norm1(h)))
    return h + (x if block.conv_shortcut is None else block.conv_shortcut(x))

# %% 01.3 wrong - the first picture's time for all
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    t = block.time_emb_proj(F.silu(time))[0]
    h = block.conv2(F.silu(block.norm2(h + t[:, None, None])))
    return h + (x if block.conv_shortcut is None else block.conv_shortcut(x))

# %% 01.4 right an index that falls
import torch


def up_path(h, skips, levels):
    i = len(skips) - 1
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat((h, skips[i]), 1))
            i -= 1
        if double:
            h = double(h, tuple(skips[i].shape[2:]))
    return h

# %% 01.4 right a deque
from collections import deque

import torch


def up_path(h, skips, levels):
    stack = deque(skips)
    for blocks, double in levels:
        for b in blocks:
            h = b(torch.concat([h, stack.pop()], dim=-3))
        h = h if double is None else double(h, stack[-1].size()[-2:])
    return h

# %% 01.4 right recursion, nothing is popped
import torch


def up_path(h, skips, levels):
    if not levels:
        return h
    (blocks, double), *others = levels
    for block, skip in zip(blocks, reversed(skips)):
        h = block(torch.cat([h, skip], dim=1))
    left = skips[: len(skips) - len(blocks)]
    if double is not None:
        h = double(h, left[-1].shape[-2:])
    return up_path(h, left, others)

# %% 01.4 right a reversed copy and an iterator over it
import torch


def up_path(h: torch.Tensor, skips: list, levels: list) -> torch.Tensor:
    order = skips[::-1]
    taken = iter(order)
    used = 0
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, next(taken)], dim=1))
        used += len(blocks)
        if double is not None:
            height, width = order[used].shape[-2:]
            h = double(h, (height, width))
    return h

# %% 01.4 wrong as_given the line with raise is gone, nothing else
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop(0)], dim=-1))
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
    return h

# %% 01.4 wrong first_in_first_out turned round, then popped
import torch


def up_path(h, skips, levels):
    skips = skips[::-1]
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat((h, skips.pop()), 1))
        if double:
            h = double(h, skips[-1].shape[2:])
    return h

# %% 01.4 wrong wrong_axis along the height
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=2))
        if double is not None:
            h = double(h, skips[-1].shape[2:])
    return h

# %% 01.4 wrong wrong_axis along the batch
import torch


def up_path(h, skips, levels):
    skips = skips.copy()
    for blocks, double in levels:
        for block in blocks:
            h = torch.cat([h, skips.pop()])
            h = block(h)
        if double is not None:
            h = double(h, skips[-1].shape[2:])
    return h

# %% 01.4 wrong in_order_within_a_level a slice for each level
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        mine, skips = skips[-len(blocks):], skips[:-len(blocks)]
        for block, skip in zip(blocks, mine):
            h = block(torch.cat((h, skip), 1))
        if double:
            h = double(h, skips[-1].shape[2:])
    return h

# %% 01.4 wrong one_skip_a_level as in a U-Net with one block per level
import torch


def up_path(h, skips, levels):
    end = len(skips)
    for blocks, double in levels:
        skip = skips[end - 1]
        for block in blocks:
            h = block(torch.cat([h, skip], dim=1))
        end -= len(blocks)
        if double is not None:
            h = double(h, skips[end - 1].shape[2:])
    return h

# %% 01.4 wrong levels_turned_round from the finest level
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels[::-1]:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
    return h

# %% 01.4 wrong added h + skip
def up_path(h, skips, levels):
    position = len(skips)
    for blocks, double in levels:
        for block in blocks:
            position -= 1
            h = block(skips[position] + h)
        if double is not None:
            h = double(h, skips[position - 1].shape[2:])
    return h

# %% 01.4 wrong skip_first the skip on the left
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([skips.pop(), h], dim=1))
        if double is not None:
            h = double(h, skips[-1].shape[2:])
    return h

# %% 01.4 wrong doubled_first the size changes before the blocks
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        if double is not None:
            size = skips[-1].shape[2:]
            h = double(h, size)
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
    return h

# %% 01.4 wrong never_doubled the result is not kept
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        if double is not None:
            double(h, skips[-1].shape[-2:])
    return h

# %% 01.4 wrong doubled_exactly twice the size
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        if double is not None:
            height, width = h.shape[-2:]
            h = double(h, (2 * height, 2 * width))
    return h

# %% 01.4 wrong returned_too_early return inside the loop
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
        return h

# %% 01.4 wrong @input pops the caller's list
import torch


def up_path(h, skips, levels):
    for blocks, double in levels:
        for block in blocks:
            skip = skips.pop()
            h = block(torch.cat([h, skip], dim=1))
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
    return h

# %% 01.4 wrong @input turns the caller's list round
import torch


def up_path(h, skips, levels):
    skips.reverse()
    k = 0
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips[k]], dim=1))
            k += 1
        if double is not None:
            h = double(h, skips[k].shape[-2:])
    return h

# %% 01.4 wrong @kind yield for return
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
    yield h

# %% 01.4 wrong @crash doubles after the last level too
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        h = double(h, skips[-1].shape[-2:])
    return h

# %% 01.4 wrong - uses up the list of levels
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    while levels:
        blocks, double = levels.pop(0)
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        if double is not None:
            h = double(h, skips[-1].shape[-2:])
    return h

# %% 01.5 right both paths written out, as in the library
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    emb = timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)
    emb = unet.time_embedding(emb) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for down in unet.down_blocks:
        h, new = down(h, emb, None, None)
        skips += new
    h = unet.mid_block(h, emb)
    for up in unet.up_blocks:
        h = up(h, skips, emb, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 right with the functions of the notebook's first cell
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.models.unet import UNet


def down_path(unet: UNet, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
    h = unet.conv_in(x)
    skips = [h]
    for level in unet.down_blocks:
        h, made = level(h, time, None, None)                    # no captions here
        skips += made
    return h, skips


def up_levels(unet: UNet, time: Tensor) -> list:
    def blocks(level: nn.Module) -> list:
        return [lambda x, k=k: level.layer(k, x, time) for k in range(len(level.resnets))]

    doubles = [level.upsamplers[0] if len(level.upsamplers) else None for level in unet.up_blocks]
    return [(blocks(level), double) for level, double in zip(unet.up_blocks, doubles)]


def unet_forward(unet: UNet, x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
    """x (B, 3, H, W), timestep (B or 1,), labels (B,) to (B, 3, H, W)."""
    sin = timestep_embedding(timestep, unet.config.channels[0]).to(dtype=x.dtype)
    time = torch.add(unet.time_embedding(sin), unet.class_embedding(labels))
    h, skips = down_path(unet, x, time)
    return unet.conv_out(F.silu(unet.conv_norm_out(up_path(unet.mid_block(h, time), skips, up_levels(unet, time)))))

# %% 01.5 right one picture after the other
import torch
import torch.nn.functional as F


def single(unet, x, t, label):
    e = timestep_embedding(t, unet.config.channels[0]).type_as(x)
    e = unet.time_embedding(e) + unet.class_embedding(label)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, more = block(h, e, None, None)
        skips.extend(more)
    h = unet.mid_block(h, e)
    for block in unet.up_blocks:
        h = block(h, skips, e, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))


def unet_forward(unet, x, timestep, labels):
    times = timestep.expand(len(x))
    return torch.cat([single(unet, x[k : k + 1], times[k : k + 1], labels[k : k + 1]) for k in range(len(x))])

# %% 01.5 right the middle by its layers, one time repeated
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    if len(timestep) == 1:
        timestep = timestep.repeat(len(x))
    freqs = timestep_embedding(timestep, unet.conv_in.out_channels)
    time = unet.time_embedding(freqs.to(unet.conv_in.weight.dtype)) + unet.class_embedding.weight[labels]
    skips = [unet.conv_in(x)]
    for level in unet.down_blocks:
        skips += level(skips[-1], time, None, None)[1]
    h = skips[-1]
    for k in range(len(unet.mid_block.resnets)):
        h = unet.mid_block.layer(k, h, time)
    for level in unet.up_blocks:
        h = level(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong wrong_width the width of the embedding, not of the sinusoids
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, 4 * unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong wrong_width 32, as in the shipped network
import torch.nn.functional as F

WIDTH = 32


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, WIDTH).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong dtype_forgotten float32 into a network in float64
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    sinusoids = timestep_embedding(timestep, unet.config.channels[0])
    time = unet.time_embedding(sinusoids) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong time_in_0_to_1 t / 1000
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    t = timestep / 1000
    time = unet.time_embedding(timestep_embedding(t, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong time_left_out the label alone
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong label_left_out the time alone
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype))
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong time_activated one SiLU more
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    sinusoids = timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)
    time = F.silu(unet.time_embedding(sinusoids) + unet.class_embedding(labels))
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong no_middle down and up again
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong no_middle the middle's result is not used
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    middle = unet.mid_block(h, time)
    print(middle.shape)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong half_a_middle its first layer alone
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block.layer(0, h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong no_last_norm SiLU alone at the end
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(h))

# %% 01.5 wrong no_last_silu the norm alone at the end
def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(unet.conv_norm_out(h))

# %% 01.5 wrong neither_at_the_end straight into conv_out
def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(h)

# %% 01.5 wrong silu_before_the_last_norm the end in the wrong order
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(unet.conv_norm_out(F.silu(h)))

# %% 01.5 wrong input_added a residual network
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return x + unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong calls_the_network lets the library do it
def unet_forward(unet, x, timestep, labels):
    prediction = unet(x, timestep, labels=labels)
    return prediction

# %% 01.5 wrong @state gradients are off for good
import torch
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    torch.set_grad_enabled(False)
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong @input makes the caller's network float32
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    unet, h = unet.float(), x.float()
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0])) + unet.class_embedding(labels)
    h = unet.conv_in(h)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h))).to(x.dtype)

# %% 01.5 wrong - a time for each picture, wherever one is given for all
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    sinusoids = timestep_embedding(timestep.view(len(x)), unet.config.channels[0]).to(x.dtype)
    time = unet.time_embedding(sinusoids) + unet.class_embedding(labels)
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 wrong - the down path does without the label
import torch.nn.functional as F


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype))
    h = unet.conv_in(x)
    skips = [h]
    for block in unet.down_blocks:
        h, made = block(h, time, None, None)
        skips += made
    time = time + unet.class_embedding(labels)
    h = unet.mid_block(h, time)
    for block in unet.up_blocks:
        h = block(h, skips, time, None, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))
