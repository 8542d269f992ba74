"""Answers to lesson 17 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 17.1 right columns filled with strides
import torch


def time_embedding(t, width, period=10_000.0):
    n = width // 2
    freq = torch.tensor([period ** (-i / n) for i in range(n)])
    arg = t.to(torch.float32).unsqueeze(1) * 1000.0 * freq
    out = torch.zeros(t.shape[0], width)
    out[:, 0 : 2 * n : 2] = torch.sin(arg)
    out[:, 1 : 2 * n : 2] = torch.cos(arg)
    return out

# %% 17.1 right exp of logarithms
import math

import torch


def time_embedding(t, width, period=10_000.0):
    half = width // 2
    omega = torch.exp(-math.log(period) / half * torch.arange(half).float())
    angles = torch.outer(1000 * t.float(), omega)
    e = torch.stack((torch.sin(angles), torch.cos(angles)), dim=-1).reshape(len(t), -1)
    return torch.cat([e, torch.zeros(len(t), 1)], 1) if width % 2 else e

# %% 17.1 wrong halves as in lesson 01, but with sines first
import torch


def time_embedding(t, width, period=10_000.0):
    half = width // 2
    a = 1000 * t.float()[:, None] * period ** (-torch.arange(half) / half)
    out = torch.cat([a.sin(), a.cos()], dim=-1)
    return torch.nn.functional.pad(out, (0, width - 2 * half))

# %% 17.1 wrong wrong_first cosine first
import torch


def time_embedding(t, width, period=10_000.0):
    half = width // 2
    a = 1000 * t.float()[:, None] * period ** (-torch.arange(half) / half)
    out = torch.stack([a.cos(), a.sin()], dim=2).flatten(1)
    return torch.nn.functional.pad(out, (0, width % 2))

# %% 17.1 wrong share_as_it_is t between 0 and 1
import torch


def time_embedding(t, width, period=10_000.0):
    half = width // 2
    a = t.float().reshape(-1, 1) / period ** (torch.arange(half) / half)
    out = torch.stack([a.sin(), a.cos()], dim=2).view(len(t), 2 * half)
    return torch.nn.functional.pad(out, (0, width % 2))

# %% 17.1 wrong by_width 2i / d counted once
import torch


def time_embedding(t, width, period=10_000.0):
    i = torch.arange(width // 2)
    a = 1000 * t.float()[:, None] / period ** (i / width)
    out = torch.stack([torch.sin(a), torch.cos(a)], dim=-1).flatten(1)
    return torch.nn.functional.pad(out, (0, width % 2))

# %% 17.1 wrong odd_forgotten no column for odd widths
import torch


def time_embedding(t, width, period=10_000.0):
    half = width // 2
    a = (t.float() * 1000)[:, None] * torch.pow(period, -torch.arange(half) / half)
    return torch.stack([a.sin(), a.cos()], -1).flatten(-2)

# %% 17.1 wrong - lesson 01's own answer
import torch


def time_embedding(timestep, dim, period=10000.0):
    half = dim // 2
    k = torch.arange(half, device=timestep.device)
    omega = period ** (-k / half)
    angle = timestep[:, None].float() * omega
    return torch.cat([angle.cos(), angle.sin()], dim=1)

# %% 17.2 right Sequential, by names
import torch
import torch.nn.functional as F
from torch import nn


class ResBlock(nn.Module):
    def __init__(self, width_in, width_out, time_width, groups):
        super().__init__()
        self.norm_in, self.norm_out = (nn.GroupNorm(groups, w) for w in (width_in, width_out))
        self.conv_in = nn.Conv2d(width_in, width_out, kernel_size=3, padding="same")
        self.conv_out = nn.Conv2d(width_out, width_out, kernel_size=3, padding="same")
        for p in self.conv_out.parameters():
            nn.init.zeros_(p)
        self.to_time = nn.Linear(time_width, width_out)
        self.act = nn.SiLU()
        self.skip = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x, time):
        h = self.conv_in(self.act(self.norm_in(x)))
        t = self.to_time(self.act(time)).unsqueeze(-1).unsqueeze(-1)
        return self.conv_out(self.act(self.norm_out(h + t))) + self.skip(x)

# %% 17.2 wrong no_zero_start forgets the zeros
import torch.nn.functional as F
from torch import nn


class ResBlock(nn.Module):
    def __init__(self, width_in, width_out, time_width, groups):
        super().__init__()
        self.norm_in = nn.GroupNorm(groups, width_in)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, 1, 1)
        self.to_time = nn.Linear(time_width, width_out)
        self.norm_out = nn.GroupNorm(groups, width_out)
        self.conv_out = nn.Conv2d(width_out, width_out, 3, 1, 1)
        self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x, time):
        h = self.conv_in(F.silu(self.norm_in(x))) + self.to_time(F.silu(time))[..., None, None]
        return self.skip(x) + self.conv_out(F.silu(self.norm_out(h)))

# %% 17.2 wrong time_as_it_is no SiLU for the time
import torch.nn.functional as F
from torch import nn


class ResBlock(nn.Module):
    def __init__(self, width_in, width_out, time_width, groups):
        super().__init__()
        self.norm_in = nn.GroupNorm(groups, width_in)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.to_time = nn.Linear(time_width, width_out)
        self.norm_out = nn.GroupNorm(groups, width_out)
        self.conv_out = nn.Conv2d(width_out, width_out, 3, padding=1)
        nn.init.constant_(self.conv_out.weight, 0)
        nn.init.constant_(self.conv_out.bias, 0)
        self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x, time):
        h = self.conv_in(F.silu(self.norm_in(x)))
        h = h + self.to_time(time)[:, :, None, None]
        return self.skip(x) + self.conv_out(F.silu(self.norm_out(h)))

# %% 17.2 wrong no_skip returns h
import torch.nn.functional as F
from torch import nn


class ResBlock(nn.Module):
    def __init__(self, width_in, width_out, time_width, groups):
        super().__init__()
        self.norm_in = nn.GroupNorm(groups, width_in)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.to_time = nn.Linear(time_width, width_out)
        self.norm_out = nn.GroupNorm(groups, width_out)
        self.conv_out = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.conv_out.weight.data.zero_()
        self.conv_out.bias.data.zero_()
        self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x, time):
        h = self.conv_in(F.silu(self.norm_in(x)))
        h = h + self.to_time(F.silu(time))[:, :, None, None]
        return self.conv_out(F.silu(self.norm_out(h)))

# %% 17.2 wrong - other names for the layers
import torch.nn.functional as F
from torch import nn


class ResBlock(nn.Module):
    def __init__(self, width_in, width_out, time_width, groups):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, width_in), nn.GroupNorm(groups, width_out)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.time = nn.Linear(time_width, width_out)

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(time))[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(h)))

# %% 17.3 right mended, with a copy of the stack
import torch


def down_and_up(h, levels, middle):
    stack = []
    stack.append(h)
    for lv in levels:
        for f in lv.down:
            h = f(h)
            stack.append(h)
        if lv.shrink:
            h = lv.shrink(h)
            stack.append(h)
    h = middle(h)
    for lv in levels[::-1]:
        if lv.grow:
            h = lv.grow(h, stack[-1].shape[2:])
        for f in lv.up:
            skip = stack.pop(-1)
            h = f(torch.cat((h, skip), 1))
    return h

# %% 17.3 wrong queue_and_short nothing mended
import torch


def down_and_up(h, levels, middle):
    kept = [h]
    for level in levels:
        for block in level.down:
            h = block(h)
            kept.append(h)
        if level.shrink is not None:
            h = level.shrink(h)
    h = middle(h)
    for level in reversed(levels):
        if level.grow is not None:
            h = level.grow(h, kept[-1].shape[-2:])
        for block in level.up:
            h = block(torch.cat([h, kept.pop(0)], dim=1))
    return h

# %% 17.3 wrong queue one of two mended
import torch


def down_and_up(h, levels, middle):
    kept = [h]
    for level in levels:
        for block in level.down:
            h = block(h)
            kept.append(h)
        if level.shrink is not None:
            h = level.shrink(h)
            kept.append(h)
    h = middle(h)
    for level in reversed(levels):
        if level.grow is not None:
            h = level.grow(h, kept[-1].shape[-2:])
        for block in level.up:
            h = block(torch.cat([h, kept.pop(0)], dim=1))
    return h

# %% 17.3 wrong short the other one mended
import torch


def down_and_up(h, levels, middle):
    kept = [h]
    for level in levels:
        for block in level.down:
            h = block(h)
            kept.append(h)
        if level.shrink is not None:
            h = level.shrink(h)
    h = middle(h)
    for level in reversed(levels):
        if level.grow is not None:
            h = level.grow(h, kept[-1].shape[-2:])
        for block in level.up:
            h = block(torch.cat([h, kept.pop()], dim=1))
    return h

# %% 17.3 wrong swapped skip first
import torch


def down_and_up(h, levels, middle):
    kept = [h]
    for level in levels:
        for block in level.down:
            h = block(h)
            kept.append(h)
        if level.shrink is not None:
            h = level.shrink(h)
            kept.append(h)
    h = middle(h)
    for level in reversed(levels):
        if level.grow is not None:
            h = level.grow(h, kept[-1].shape[-2:])
        for block in level.up:
            h = block(torch.cat([kept.pop(), h], dim=1))
    return h

# %% 17.4 right einsum
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, x, keys, values, bias):
        b, c, h, w = x.shape
        q = self.to_q(x.permute(0, 2, 3, 1)).reshape(b, h * w, self.heads, self.d)
        logits = torch.einsum("bnhd,bhld->bhnl", q, keys) * self.d**-0.5
        weights = torch.softmax(logits + bias, -1)
        out = torch.einsum("bhnl,bhld->bnhd", weights, values).reshape(b, h, w, -1)
        return self.to_out(out).permute(0, 3, 1, 2)

# %% 17.4 wrong no_root no division
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, x, keys, values, bias):
        b, c, h, w = x.shape
        q = self.to_q(x.flatten(2).mT).view(b, h * w, self.heads, -1).transpose(1, 2)
        found = (q @ keys.transpose(-1, -2) + bias).softmax(-1) @ values
        return self.to_out(found.transpose(1, 2).flatten(2)).mT.reshape(b, c, h, w)

# %% 17.4 wrong map_scrambled view at the end
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, x, keys, values, bias):
        b, c, h, w = x.shape
        q = self.to_q(x.flatten(2).mT).view(b, h * w, self.heads, -1).transpose(1, 2)
        found = (q @ keys.transpose(-1, -2) / self.d**0.5 + bias).softmax(-1) @ values
        return self.to_out(found.transpose(1, 2).flatten(2)).view(b, c, h, w)

# %% 17.4 wrong added_to_x residual inside
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, x, keys, values, bias):
        b, c, h, w = x.shape
        q = self.to_q(x.flatten(2).mT).view(b, h * w, self.heads, -1).transpose(1, 2)
        found = (q @ keys.transpose(-1, -2) / self.d**0.5 + bias).softmax(-1) @ values
        return x + self.to_out(found.transpose(1, 2).flatten(2)).mT.reshape(b, c, h, w)

# %% 17.4 wrong bias_dropped forgets the bias
import torch
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, x, keys, values, bias):
        q = self.to_q(x.flatten(2).mT).unflatten(2, (self.heads, -1)).transpose(1, 2)
        found = F.scaled_dot_product_attention(q, keys, values)
        return self.to_out(found.transpose(1, 2).flatten(2)).mT.reshape(x.shape)

# %% 17.5 right a loop
import torch


def alpha_bars(steps):
    roots = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64)
    kept, now = [1.0], 1.0
    for root in roots.tolist():
        now *= 1 - min(root * root * 1000 / steps, 0.999)
        kept.append(now**0.5)
    kept = torch.tensor(kept, dtype=torch.float64)
    return (1 - (1 - kept) / (1 - kept[-1])).square()

# %% 17.5 wrong not_0_at_the_end forgets step 4
import torch


def alpha_bars(steps):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64).square()
    betas = torch.clamp(betas * 1000 / steps, max=0.999)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, 0)])

# %% 17.5 wrong even_betas plain linear
import torch


def alpha_bars(steps):
    betas = (torch.linspace(0.00085, 0.012, steps, dtype=torch.float64) * 1000 / steps).clamp(max=0.999)
    r = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)]).sqrt()
    return ((r - r[-1]) / (r[0] - r[-1])) ** 2

# %% 17.5 wrong without_roots shifts alpha_bar itself
import torch


def alpha_bars(steps):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64) ** 2
    betas = (betas * 1000 / steps).clamp(max=0.999)
    a = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])
    return (a - a[-1]) / (1 - a[-1])

# %% 17.5 wrong no_clean_data T entries
import torch


def alpha_bars(steps):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64) ** 2
    r = (1 - (betas * 1000 / steps).clamp(max=0.999)).cumprod(0).sqrt()
    return ((r - r[-1]) / (1 - r[-1])) ** 2

# %% 17.5 wrong beyond_1 no clamp
import torch


def alpha_bars(steps):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64) ** 2 * (1000 / steps)
    r = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)]).sqrt()
    return ((r - r[-1]) / (1 - r[-1])) ** 2

# %% 17.6 right per-example shape by reshape
def add_noise(x, s, t, eps, table):
    r = table[t] / table[s]
    shape = (len(x),) + (1,) * (x.dim() - 1)
    return r.sqrt().reshape(shape).type_as(x) * x + (1 - r).sqrt().reshape(shape).type_as(x) * eps

# %% 17.6 right row by row
import torch


def add_noise(x, s, t, eps, table):
    rows = []
    for i in range(x.shape[0]):
        r = float(table[t[i]] / table[s[i]])
        rows.append(r**0.5 * x[i] + (1 - r) ** 0.5 * eps[i])
    return torch.stack(rows)

# %% 17.6 wrong from_clean_data q_sample of lesson 02
def add_noise(x, s, t, eps, table):
    a = table[t].reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
    return a.sqrt() * x + (1 - a).sqrt() * eps

# %% 17.6 wrong variance_for_deviation no root for the noise
def add_noise(x, s, t, eps, table):
    r = (table[t] / table[s]).reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
    return r.sqrt() * x + (1 - r) * eps

# %% 17.6 wrong only_pictures None three times
def add_noise(x, s, t, eps, table):
    r = (table[t] / table[s])[:, None, None, None].to(x.dtype)
    return r.sqrt() * x + (1 - r).sqrt() * eps

# %% 17.6 wrong tables_type no dtype
def add_noise(x, s, t, eps, table):
    r = (table[t] / table[s]).reshape(-1, *[1] * (x.ndim - 1))
    return r.sqrt() * x + (1 - r).sqrt() * eps

# %% 17.7 right mse per picture
import torch
import torch.nn.functional as F


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    noisy = add_noise(x0, t * 0, t, eps, table)
    a = table[t].type_as(x0)
    shape = [-1] + [1] * (x0.dim() - 1)
    target = a.reshape(shape).sqrt() * eps - (1 - a.reshape(shape)).sqrt() * x0
    per = F.mse_loss(network(noisy, a, words, bias), target, reduction="none").mean(dim=tuple(range(1, x0.dim())))
    return (per * weight).sum() / weight.sum()

# %% 17.7 wrong eps_for_v predicts noise
import torch


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    x = add_noise(x0, torch.zeros_like(t), t, eps, table)
    a = table[t].to(x0.dtype)
    per = (network(x, a, words, bias) - eps).pow(2).flatten(1).mean(1)
    return (weight * per).sum() / weight.sum()

# %% 17.7 wrong weights_ignored plain mean
import torch


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    x = add_noise(x0, torch.zeros_like(t), t, eps, table)
    a = table[t].to(x0.dtype)
    r = a[:, None, None, None]
    v = r.sqrt() * eps - (1 - r).sqrt() * x0
    return torch.nn.functional.mse_loss(network(x, a, words, bias), v)

# %% 17.7 wrong divided_by_the_number mean of weight times error
import torch


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    x = add_noise(x0, torch.zeros_like(t), t, eps, table)
    a = table[t].to(x0.dtype)
    r = a[:, None, None, None]
    v = r.sqrt() * eps - (1 - r).sqrt() * x0
    per = (network(x, a, words, bias) - v).pow(2).flatten(1).mean(1)
    return (weight * per).mean()

# %% 17.7 wrong told_t as in lesson 02
import torch


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    x = add_noise(x0, torch.zeros_like(t), t, eps, table)
    r = table[t].to(x0.dtype)[:, None, None, None]
    v = r.sqrt() * eps - (1 - r).sqrt() * x0
    per = (network(x, t.to(x0.dtype), words, bias) - v).pow(2).flatten(1).mean(1)
    return (weight * per).sum() / weight.sum()

# %% 17.8 right a scheduler by hand
import torch


def train(network, optimizer, batches, table, warmup, generator):
    base = [g["lr"] for g in optimizer.param_groups]
    T = table.shape[0] - 1
    out = []
    step = 0
    for x0, words, bias, weight in batches:
        step += 1
        for g, b in zip(optimizer.param_groups, base):
            g["lr"] = b * min(1.0, step / warmup)
        n = x0.shape[0]
        t = torch.ceil(T * (torch.arange(n) + torch.rand(n, generator=generator)) / n).long()
        t = torch.maximum(t, torch.ones_like(t))
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        loss = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        out += [float(loss.detach())]
    return out

# %% 17.8 wrong not_cleared no zero_grad
import torch
from torch import nn


def train(network, optimizer, batches, table, warmup, generator):
    T, losses, base = len(table) - 1, [], [g["lr"] for g in optimizer.param_groups]
    for k, (x0, words, bias, weight) in enumerate(batches):
        for g, lr in zip(optimizer.param_groups, base):
            g["lr"] = lr * min(1, (k + 1) / warmup)
        B = len(x0)
        t = (T * (torch.arange(B) + torch.rand(B, generator=generator)) / B).ceil().long().clamp(min=1)
        eps = torch.randn(x0.shape, generator=generator)
        loss = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses

# %% 17.8 wrong from_0 enumerate from 0
import torch
from torch import nn


def train(network, optimizer, batches, table, warmup, generator):
    T, losses, base = len(table) - 1, [], [g["lr"] for g in optimizer.param_groups]
    for k, (x0, words, bias, weight) in enumerate(batches):
        for g, lr in zip(optimizer.param_groups, base):
            g["lr"] = lr * min(1, k / warmup)
        B = len(x0)
        t = (T * (torch.arange(B) + torch.rand(B, generator=generator)) / B).ceil().long().clamp(min=1)
        eps = torch.randn(x0.shape, generator=generator)
        loss = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses

# %% 17.8 wrong not_clipped clips behind the step
import torch
from torch import nn


def train(network, optimizer, batches, table, warmup, generator):
    T, losses, base = len(table) - 1, [], [g["lr"] for g in optimizer.param_groups]
    for k, (x0, words, bias, weight) in enumerate(batches, 1):
        for g, lr in zip(optimizer.param_groups, base):
            g["lr"] = lr * min(1, k / warmup)
        B = len(x0)
        t = (T * (torch.arange(B) + torch.rand(B, generator=generator)) / B).ceil().long().clamp(min=1)
        eps = torch.randn(x0.shape, generator=generator)
        loss = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        losses.append(loss.item())
    return losses

# %% 17.8 wrong times_by_lot randint's cousin
import torch
from torch import nn


def train(network, optimizer, batches, table, warmup, generator):
    T, losses, base = len(table) - 1, [], [g["lr"] for g in optimizer.param_groups]
    for k, (x0, words, bias, weight) in enumerate(batches, 1):
        for g, lr in zip(optimizer.param_groups, base):
            g["lr"] = lr * min(1, k / warmup)
        t = (T * torch.rand(len(x0), generator=generator)).ceil().long().clamp(min=1)
        eps = torch.randn(x0.shape, generator=generator)
        loss = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses

# %% 17.8 wrong tensors appends the tensor
import torch
from torch import nn


def train(network, optimizer, batches, table, warmup, generator):
    T, losses, base = len(table) - 1, [], [g["lr"] for g in optimizer.param_groups]
    for k, (x0, words, bias, weight) in enumerate(batches, 1):
        for g, lr in zip(optimizer.param_groups, base):
            g["lr"] = lr * min(1, k / warmup)
        B = len(x0)
        t = (T * (torch.arange(B) + torch.rand(B, generator=generator)) / B).ceil().long().clamp(min=1)
        eps = torch.randn(x0.shape, generator=generator)
        loss = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss)
    return losses

# %% 17.8 wrong shrinking multiplies what is there
import torch
from torch import nn


def train(network, optimizer, batches, table, warmup, generator):
    T, losses = len(table) - 1, []
    for k, (x0, words, bias, weight) in enumerate(batches, 1):
        for g in optimizer.param_groups:
            g["lr"] *= min(1, k / warmup)
        B = len(x0)
        t = (T * (torch.arange(B) + torch.rand(B, generator=generator)) / B).ceil().long().clamp(min=1)
        eps = torch.randn(x0.shape, generator=generator)
        loss = weighted_loss(network, x0, t, eps, words, bias, weight, table)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses

# %% 17.9 right cummax of a shifted comparison
import torch


def padding_bias(ids, end):
    ended = torch.zeros(ids.shape, dtype=torch.bool)
    for k in range(1, ids.shape[1]):
        ended[:, k] = ended[:, k - 1] | (ids[:, k - 1] == end)
    return torch.where(ended, -10000.0, 0.0)[:, None, None, :]

# %% 17.9 right HIDDEN times a count
def padding_bias(ids, end):
    hit = (ids == end).int()
    return (((hit.cumsum(-1) - hit) > 0).float() * HIDDEN).unsqueeze(1).unsqueeze(1)

# %% 17.9 wrong end_hidden cumsum hides the end, too
import torch


def padding_bias(ids, end):
    ended = (ids == end).cumsum(1) > 0
    return torch.zeros(ids.shape).masked_fill(ended, HIDDEN)[:, None, None, :]

# %% 17.9 wrong zero_is_padding ids of 0
import torch


def padding_bias(ids, end):
    return torch.where(ids != 0, 0.0, HIDDEN)[:, None, None]

# %% 17.9 wrong flat no axes
import torch


def padding_bias(ids, end):
    hit = (ids == end).int()
    return torch.where((hit.cumsum(1) - hit) > 0, HIDDEN, 0.0)

# %% 17.9 wrong infinite minus infinity
import torch


def padding_bias(ids, end):
    hit = (ids == end).int()
    return torch.where((hit.cumsum(1) - hit) > 0, float("-inf"), 0.0)[:, None, None]

# %% 17.9 wrong cut_off_hidden argmax of the end
import torch


def padding_bias(ids, end):
    first = (ids == end).int().argmax(1)
    first = torch.where((ids == end).any(1), first, -1)
    hidden = torch.arange(ids.shape[1])[None] > first[:, None]
    return torch.where(hidden, HIDDEN, 0.0)[:, None, None]

# %% 17.10 right sum, then normalize
import torch
import torch.nn.functional as F


def sentence_vector(tokens, weights):
    tokens = tokens.masked_fill(weights.unsqueeze(-1) == 0, 0.0)
    return F.normalize((tokens * weights.unsqueeze(-1)).sum(dim=1), dim=-1)

# %% 17.10 wrong no_length_1 weighted mean alone
import torch


def sentence_vector(tokens, weights):
    t = torch.where(weights[..., None] > 0, tokens, torch.zeros_like(tokens))
    return (t * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1e-12)

# %% 17.10 wrong nan_times_0 multiplies
import torch.nn.functional as F


def sentence_vector(tokens, weights):
    return F.normalize((tokens * weights[..., None]).sum(1), dim=1)

# %% 17.10 wrong all_or_nothing a mask
import torch
import torch.nn.functional as F


def sentence_vector(tokens, weights):
    return F.normalize(torch.where(weights[..., None] > 0, tokens, 0).sum(1), dim=1)

# %% 17.10 wrong divided_by_0 by its own norm
import torch


def sentence_vector(tokens, weights):
    t = torch.where(weights[..., None] > 0, tokens, 0)
    s = (t * weights[..., None]).sum(1)
    return s / s.norm(dim=-1, keepdim=True)

# %% 17.11 right rearrange, and a loop over the columns
from einops import rearrange


def keys_and_values(words, bias, layers):
    columns = (bias[:, 0, 0] == 0).any(dim=0).tolist()
    n = max(i for i, c in enumerate(columns) if c) + 1
    short = words[:, :n]
    cut = lambda x, h: rearrange(x, "b l (h d) -> b h l d", h=h)
    return bias[:, :, :, :n], {
        k: (cut(l.to_k(short), l.heads), cut(l.to_v(short), l.heads)) for k, l in layers.items()
    }

# %% 17.11 wrong not_cut the whole length
def keys_and_values(words, bias, layers):
    out = {}
    for name, layer in layers.items():
        k = layer.to_k(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        v = layer.to_v(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        out[name] = (k, v)
    return bias, out

# %% 17.11 wrong keys_twice copied line
def keys_and_values(words, bias, layers):
    n = int((bias == 0).any(0).flatten().nonzero().max()) + 1
    words, out = words[:, :n], {}
    for name, layer in layers.items():
        k = layer.to_k(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        v = layer.to_k(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        out[name] = (k, v)
    return bias[..., :n], out

# %% 17.11 wrong scrambled view straight to heads
def keys_and_values(words, bias, layers):
    n = int((bias == 0).any(0).flatten().nonzero().max()) + 1
    words, out = words[:, :n], {}
    for name, layer in layers.items():
        k = layer.to_k(words).reshape(len(words), layer.heads, n, -1)
        v = layer.to_v(words).reshape(len(words), layer.heads, n, -1)
        out[name] = (k, v)
    return bias[..., :n], out

# %% 17.11 wrong one_too_few index as length
def keys_and_values(words, bias, layers):
    n = int((bias == 0).any(0).flatten().nonzero().max())
    words, out = words[:, :n], {}
    for name, layer in layers.items():
        k = layer.to_k(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        v = layer.to_v(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        out[name] = (k, v)
    return bias[..., :n], out

# %% 17.11 wrong bias_not_cut the old bias
def keys_and_values(words, bias, layers):
    n = int((bias == 0).any(0).flatten().nonzero().max()) + 1
    words, out = words[:, :n], {}
    for name, layer in layers.items():
        k = layer.to_k(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        v = layer.to_v(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        out[name] = (k, v)
    return bias, out

# %% 17.11 wrong holes_cut boolean columns
def keys_and_values(words, bias, layers):
    columns = (bias == 0).any(0).flatten()
    words, out = words[:, columns], {}
    for name, layer in layers.items():
        k = layer.to_k(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        v = layer.to_v(words).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        out[name] = (k, v)
    return bias[..., columns], out

# %% 17.12 right row by row, in copies
def drop_words(words, bias, empty, lots, drop):
    words, bias = words.clone(), bias.clone()
    n = empty.shape[0]
    for i in range(len(words)):
        if lots[i] < drop:
            words[i, :n], words[i, n:] = empty, 0
            bias[i, ..., :n], bias[i, ..., n:] = 0, HIDDEN
    return words, bias

# %% 17.12 wrong edge at most
import torch
import torch.nn.functional as F


def drop_words(words, bias, empty, lots, drop):
    gone, L, E = lots <= drop, words.shape[1], len(empty)
    hidden = torch.where(torch.arange(L) < E, 0.0, HIDDEN)
    return (torch.where(gone[:, None, None], F.pad(empty, (0, 0, 0, L - E)), words),
            torch.where(gone[:, None, None, None], hidden, bias))

# %% 17.12 wrong bias_kept only the words
import torch
import torch.nn.functional as F


def drop_words(words, bias, empty, lots, drop):
    row = F.pad(empty, (0, 0, 0, words.shape[1] - len(empty)))
    return torch.where((lots < drop)[:, None, None], row, words), bias

# %% 17.12 wrong zeros nothing but zeros
import torch


def drop_words(words, bias, empty, lots, drop):
    gone, L, E = lots < drop, words.shape[1], len(empty)
    hidden = torch.where(torch.arange(L) < E, 0.0, HIDDEN)
    return words * (~gone)[:, None, None], torch.where(gone[:, None, None, None], hidden, bias)

# %% 17.12 wrong @input in place
def drop_words(words, bias, empty, lots, drop):
    n = empty.shape[0]
    for i in range(len(words)):
        if lots[i] < drop:
            words[i, :n], words[i, n:] = empty, 0
            bias[i, ..., :n], bias[i, ..., n:] = 0, HIDDEN
    return words, bias

# %% 17.13 right with tensors
import torch


def sampler_step(x, v, t, s, table, eta, noise):
    a, b = table[t].to(x), table[s].to(x)
    x0 = a.sqrt() * x - (1 - a).sqrt() * v
    eps = (1 - a).sqrt() * x + a.sqrt() * v
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    if noise is None:
        noise = torch.zeros_like(x)
    return b.sqrt() * x0 + (1 - b - sigma**2).clamp(min=0).sqrt() * eps + sigma * noise

# %% 17.13 wrong variance_for_deviation no root
def sampler_step(x, v, t, s, table, eta, noise):
    a, b = table[t].item(), table[s].item()
    x0, eps = a**0.5 * x - (1 - a) ** 0.5 * v, (1 - a) ** 0.5 * x + a**0.5 * v
    var = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
    y = b**0.5 * x0 + (1 - b - var) ** 0.5 * eps
    return y + var * noise if eta > 0 else y

# %% 17.13 wrong too_much_noise on top
def sampler_step(x, v, t, s, table, eta, noise):
    a, b = table[t].item(), table[s].item()
    x0, eps = a**0.5 * x - (1 - a) ** 0.5 * v, (1 - a) ** 0.5 * x + a**0.5 * v
    var = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
    y = b**0.5 * x0 + (1 - b) ** 0.5 * eps
    return y + var**0.5 * noise if eta > 0 else y

# %% 17.13 wrong eta_not_squared eta once
def sampler_step(x, v, t, s, table, eta, noise):
    a, b = table[t].item(), table[s].item()
    x0, eps = a**0.5 * x - (1 - a) ** 0.5 * v, (1 - a) ** 0.5 * x + a**0.5 * v
    var = eta * (1 - b) / (1 - a) * (1 - a / b)
    y = b**0.5 * x0 + (1 - b - var) ** 0.5 * eps
    return y + var**0.5 * noise if eta > 0 else y

# %% 17.13 wrong v_as_eps forgets v
def sampler_step(x, v, t, s, table, eta, noise):
    a, b = table[t].item(), table[s].item()
    x0 = a**0.5 * x - (1 - a) ** 0.5 * v
    var = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
    y = b**0.5 * x0 + (1 - b - var) ** 0.5 * v
    return y + var**0.5 * noise if eta > 0 else y

# %% 17.13 wrong - divides by the root of a
def sampler_step(x, v, t, s, table, eta, noise):
    a, b = table[t].item(), table[s].item()
    x0 = (x - (1 - a) ** 0.5 * v) / max(a, 1e-8) ** 0.5
    return b**0.5 * x0 + (1 - b) ** 0.5 * v

# %% 17.14 right lerp and flatten
import torch


def guide(conditional, unconditional, scale, rescale=0.7):
    g = torch.lerp(unconditional, conditional, scale)
    ratio = conditional.flatten(1).std(1) / g.flatten(1).std(1)
    factor = rescale * ratio + (1 - rescale)
    return g * factor.reshape(-1, *[1] * (g.ndim - 1))

# %% 17.14 right deviations without Bessel's correction
def guide(conditional, unconditional, scale, rescale=0.7):
    g = (1 - scale) * unconditional + scale * conditional
    dims = list(range(1, g.ndim))
    a, b = conditional.std(dims, unbiased=False, keepdim=True), g.std(dims, unbiased=False, keepdim=True)
    return rescale * g * a / b + (1 - rescale) * g

# %% 17.14 wrong not_rescaled lesson 05's answer
def guide(conditional, unconditional, scale, rescale=0.7):
    return unconditional + scale * (conditional - unconditional)

# %% 17.14 wrong whole_batch one number
def guide(conditional, unconditional, scale, rescale=0.7):
    g = unconditional + scale * (conditional - unconditional)
    return g * (rescale * conditional.std() / g.std() + 1 - rescale)

# %% 17.14 wrong ratio_turned_round upside down
def guide(conditional, unconditional, scale, rescale=0.7):
    g = unconditional + scale * (conditional - unconditional)
    d = tuple(range(1, g.ndim))
    return g * (rescale * g.std(d, keepdim=True) / conditional.std(d, keepdim=True) + 1 - rescale)

# %% 17.14 wrong from_the_conditional w of the paper
def guide(conditional, unconditional, scale, rescale=0.7):
    g = conditional + scale * (conditional - unconditional)
    d = tuple(range(1, g.ndim))
    return g * (rescale * conditional.std(d, keepdim=True) / g.std(d, keepdim=True) + 1 - rescale)

# %% 17.14 wrong - four axes alone
def guide(conditional, unconditional, scale, rescale=0.7):
    g = unconditional + scale * (conditional - unconditional)
    ratio = conditional.std((1, 2, 3), keepdim=True) / g.std((1, 2, 3), keepdim=True)
    return g * (rescale * ratio + 1 - rescale)

# %% 17.15 right a list
import torch


def time_grid(steps, last):
    times = []
    for k in range(steps + 1):
        t = round(last * (1 - k / steps) ** 1.5)
        if t not in times:
            times.append(t)
    return torch.tensor(times)

# %% 17.15 right unique_consecutive
import torch


def time_grid(steps, last):
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64) ** 1.5 * last
    return t.round().to(torch.int64).unique_consecutive()

# %% 17.15 wrong even linspace
import torch


def time_grid(steps, last):
    return torch.linspace(last, 0, steps + 1, dtype=torch.float64).round().long().unique_consecutive()

# %% 17.15 wrong doubles no unique
import torch


def time_grid(steps, last):
    k = torch.arange(steps + 1, dtype=torch.float64)
    return (last * (1 - k / steps) ** 1.5).round().long()

# %% 17.15 wrong rising unique sorts
import torch


def time_grid(steps, last):
    k = torch.arange(steps + 1, dtype=torch.float64)
    return (last * (1 - k / steps) ** 1.5).round().long().unique()

# %% 17.15 wrong cut_off int() in place of round()
import torch


def time_grid(steps, last):
    times = {int(last * (1 - k / steps) ** 1.5) for k in range(steps + 1)}
    return torch.tensor(sorted(times, reverse=True))

# %% 17.15 wrong floats no whole numbers
import torch


def time_grid(steps, last):
    k = torch.arange(steps + 1, dtype=torch.float64)
    return (last * (1 - k / steps) ** 1.5).round().unique().flip(0)

# %% 17.16 right a while loop
import torch


def draw(model, prompts, noise, steps, scale):
    n = len(prompts)
    with torch.no_grad():
        ids, words = model.read(list(prompts) + [""] * n)
        bias = padding_bias(ids, model.end)
        bias, kv = keys_and_values(words, bias, model.layers)
        times = time_grid(steps, len(model.table) - 1)
        x, k = noise, 0
        while k + 1 < len(times):
            t, s = int(times[k]), int(times[k + 1])
            a = torch.full((2 * n,), float(model.table[t]), dtype=x.dtype)
            out = model.network(torch.cat([x, x]), a, kv, bias)
            v = guide(out[:n], out[n:], scale)
            x = sampler_step(x, v, t, s, model.table, 0.0, None)
            k += 1
        return model.decode(x)

# %% 17.16 wrong with_gradients no no_grad
import torch


def draw(model, prompts, noise, steps, scale):
    n, x = len(prompts), noise
    ids, words = model.read(list(prompts) + [""] * n)
    bias, kv = keys_and_values(words, padding_bias(ids, model.end), model.layers)
    times = time_grid(steps, len(model.table) - 1).tolist()
    for t, s in zip(times, times[1:]):
        out = model.network(torch.cat([x, x]), model.table[t].to(x.dtype).repeat(2 * n), kv, bias)
        x = sampler_step(x, guide(out[:n], out[n:], scale), t, s, model.table, 0.0, None)
    return model.decode(x)

# %% 17.16 wrong told_t timesteps as in SD
import torch


@torch.no_grad()
def draw(model, prompts, noise, steps, scale):
    n, x = len(prompts), noise
    ids, words = model.read(list(prompts) + [""] * n)
    bias, kv = keys_and_values(words, padding_bias(ids, model.end), model.layers)
    times = time_grid(steps, len(model.table) - 1).tolist()
    for t, s in zip(times, times[1:]):
        out = model.network(torch.cat([x, x]), torch.full((2 * n,), float(t)), kv, bias)
        x = sampler_step(x, guide(out[:n], out[n:], scale), t, s, model.table, 0.0, None)
    return model.decode(x)

# %% 17.16 wrong not_decoded returns latents
import torch


@torch.no_grad()
def draw(model, prompts, noise, steps, scale):
    n, x = len(prompts), noise
    ids, words = model.read(list(prompts) + [""] * n)
    bias, kv = keys_and_values(words, padding_bias(ids, model.end), model.layers)
    times = time_grid(steps, len(model.table) - 1).tolist()
    for t, s in zip(times, times[1:]):
        out = model.network(torch.cat([x, x]), model.table[t].to(x.dtype).repeat(2 * n), kv, bias)
        x = sampler_step(x, guide(out[:n], out[n:], scale), t, s, model.table, 0.0, None)
    return x

# %% 17.16 wrong halves_swapped empty ones first
import torch


@torch.no_grad()
def draw(model, prompts, noise, steps, scale):
    n, x = len(prompts), noise
    ids, words = model.read(list(prompts) + [""] * n)
    bias, kv = keys_and_values(words, padding_bias(ids, model.end), model.layers)
    times = time_grid(steps, len(model.table) - 1).tolist()
    for t, s in zip(times, times[1:]):
        out = model.network(torch.cat([x, x]), model.table[t].to(x.dtype).repeat(2 * n), kv, bias)
        x = sampler_step(x, guide(out[n:], out[:n], scale), t, s, model.table, 0.0, None)
    return model.decode(x)

# %% 17.16 wrong words_ignored only empty sentences
import torch


@torch.no_grad()
def draw(model, prompts, noise, steps, scale):
    n, x = len(prompts), noise
    ids, words = model.read([""] * (2 * n))
    bias, kv = keys_and_values(words, padding_bias(ids, model.end), model.layers)
    times = time_grid(steps, len(model.table) - 1).tolist()
    for t, s in zip(times, times[1:]):
        out = model.network(torch.cat([x, x]), model.table[t].to(x.dtype).repeat(2 * n), kv, bias)
        x = sampler_step(x, guide(out[:n], out[n:], scale), t, s, model.table, 0.0, None)
    return model.decode(x)

# %% 17.16 wrong - a constant picture
import torch


def draw(model, prompts, noise, steps, scale):
    return torch.zeros(len(prompts), 3, 128, 128)

# %% 17.16 wrong - reads the empty sentence apart
import torch


@torch.no_grad()
def draw(model, prompts, noise, steps, scale):
    n, x = len(prompts), noise
    ids, words = model.read(list(prompts))
    bias, kv = keys_and_values(words, padding_bias(ids, model.end), model.layers)
    times = time_grid(steps, len(model.table) - 1).tolist()
    for t, s in zip(times, times[1:]):
        out = model.network(x, model.table[t].to(x.dtype).repeat(n), kv, bias)
        x = sampler_step(x, out, t, s, model.table, 0.0, None)
    return model.decode(x)

# %% 17.4 right PyTorch's kernel
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, x, keys, values, bias):
        q = self.to_q(x.flatten(2).mT).unflatten(2, (self.heads, -1)).transpose(1, 2)
        found = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias)
        return self.to_out(found.transpose(1, 2).flatten(2)).mT.reshape(x.shape)

# %% 17.5 right numpy
import numpy as np
import torch


def alpha_bars(steps):
    b = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), steps) ** 2 * 1000 / steps
    r = np.sqrt(np.concatenate([[1.0], np.cumprod(1 - np.minimum(b, 0.999))]))
    return torch.from_numpy(((r - r[-1]) / (1 - r[-1])) ** 2)

# %% 17.10 right einsum
import torch


def sentence_vector(tokens, weights):
    clean = torch.where((weights == 0).unsqueeze(-1), torch.zeros_like(tokens), tokens)
    s = torch.einsum("bld,bl->bd", clean, weights)
    return s / torch.clamp(torch.linalg.vector_norm(s, dim=-1, keepdim=True), min=1e-12)

# %% 17.12 right cat of zeros
import torch


def drop_words(words, bias, empty, lots, drop):
    L, D = words.shape[1:]
    row = torch.cat([empty, empty.new_zeros(L - len(empty), D)])
    b = torch.full((L,), HIDDEN)
    b[: len(empty)] = 0
    gone = (lots < drop).view(-1, 1, 1)
    return torch.where(gone, row, words), torch.where(gone.unsqueeze(1), b, bias)

# %% 17.13 right an early return for DDIM
def sampler_step(x, v, t, s, table, eta, noise):
    a, b = (table[k].item() for k in (t, s))
    x0 = a**0.5 * x - (1 - a) ** 0.5 * v
    eps = (1 - a) ** 0.5 * x + a**0.5 * v
    if not eta:
        return b**0.5 * x0 + (1 - b) ** 0.5 * eps
    var = eta * eta * (1 - b) / (1 - a) * (1 - a / b)
    return b**0.5 * x0 + (1 - b - var) ** 0.5 * eps + var**0.5 * noise

# %% 17.1 wrong whole_times whole times only
import torch
import torch.nn.functional as F


def time_embedding(t, width, period=10_000.0):
    half = width // 2
    a = (t * 1000).long().float()[:, None] * period ** (-torch.arange(half) / half)
    return F.pad(torch.stack([a.sin(), a.cos()], -1).flatten(1), (0, width % 2))

# %% 17.3 wrong skips_detached kept without its gradient
import torch


def down_and_up(h, levels, middle):
    kept = [h]
    for level in levels:
        for block in level.down:
            h = block(h)
            kept.append(h)
        if level.shrink is not None:
            h = level.shrink(h)
            kept.append(h)
    h = middle(h)
    for level in reversed(levels):
        if level.grow is not None:
            h = level.grow(h, kept[-1].shape[-2:])
        for block in level.up:
            h = block(torch.cat([h, kept.pop().detach()], dim=1))
    return h

# %% 17.3 wrong levels_turned_round reverses the list that it was given
import torch


def down_and_up(h, levels, middle):
    kept = [h]
    for level in levels:
        for block in level.down:
            h = block(h)
            kept.append(h)
        if level.shrink is not None:
            h = level.shrink(h)
            kept.append(h)
    h = middle(h)
    levels.reverse()
    for level in levels:
        if level.grow is not None:
            h = level.grow(h, kept[-1].shape[-2:])
        for block in level.up:
            h = block(torch.cat([h, kept.pop()], dim=1))
    return h

# %% 17.4 wrong - a bias that only hides
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.to_q, self.to_out = nn.Linear(width, heads * head_width, bias=False), nn.Linear(heads * head_width, width)
    def forward(self, x, keys, values, bias):
        B, C, H, W = x.shape
        q = self.to_q(x.flatten(2).mT).unflatten(2, (self.heads, -1)).transpose(1, 2)
        p = (q @ keys.mT / self.d ** 0.5).masked_fill(bias < 0, -1e9).softmax(-1)
        return self.to_out((p @ values).transpose(1, 2).flatten(2)).mT.reshape(B, C, H, W)

# %% 17.4 wrong bias_divided bias inside the root
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.to_q, self.to_out = nn.Linear(width, heads * head_width, bias=False), nn.Linear(heads * head_width, width)
    def forward(self, x, keys, values, bias):
        B, C, H, W = x.shape
        q = self.to_q(x.flatten(2).mT).unflatten(2, (self.heads, -1)).transpose(1, 2)
        p = ((q @ keys.mT + bias) / self.d ** 0.5).softmax(-1)
        return self.to_out((p @ values).transpose(1, 2).flatten(2)).mT.reshape(B, C, H, W)

# %% 17.5 wrong - float32 inside
import torch
import torch.nn.functional as F


def alpha_bars(steps):
    beta = ((torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, steps) ** 2) * 1000 / steps).clamp(max=0.999)
    r = F.pad((1 - beta).cumprod(0), (1, 0), value=1.0).sqrt()
    return (((r - r[-1]) / (1 - r[-1])) ** 2).double()

# %% 17.7 wrong bias_ignored the padding read as words
import torch


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    a = table[t].to(x0.dtype)
    b = a.view(-1, *[1] * (x0.dim() - 1))
    v = b.sqrt() * eps - (1 - b).sqrt() * x0
    e = (network(add_noise(x0, torch.zeros_like(t), t, eps, table), a, words, torch.zeros_like(bias)) - v).square().flatten(1).mean(1)
    return (weight * e).sum() / weight.sum()

# %% 17.7 wrong at_least_1 weights below 1
import torch


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    a = table[t].to(x0.dtype)
    b = a.view(-1, *[1] * (x0.dim() - 1))
    v = b.sqrt() * eps - (1 - b).sqrt() * x0
    e = (network(add_noise(x0, torch.zeros_like(t), t, eps, table), a, words, bias) - v).square().flatten(1).mean(1)
    return (weight * e).sum() / weight.sum().clamp(min=1)

# %% 17.10 wrong cut_off detached
import torch
import torch.nn.functional as F


def sentence_vector(tokens, weights):
    x = torch.where(weights[..., None] > 0, tokens, 0).detach()
    return F.normalize((x * weights[..., None].to(x.dtype)).sum(1), dim=-1)

# %% 17.11 wrong cut_off no_grad around the layers
import torch


def keys_and_values(words, bias, layers):
    n = int((bias == 0).any(0).flatten().nonzero().max()) + 1
    words, bias = words[:, :n], bias[..., :n]
    def heads(z, h): return z.unflatten(2, (h, -1)).transpose(1, 2)
    with torch.no_grad():
        return bias, {k: (heads(l.to_k(words), l.heads), heads(l.to_v(words), l.heads)) for k, l in layers.items()}

# %% 17.12 wrong cut_off detached
import torch
import torch.nn.functional as F


def drop_words(words, bias, empty, lots, drop):
    B, L, D = words.shape
    E = len(empty)
    p = F.pad(empty.detach(), (0, 0, 0, L - E)); b = torch.full((L,), HIDDEN); b[:E] = 0
    g = lots < drop
    return torch.where(g[:, None, None], p, words.detach()), torch.where(g[:, None, None, None], b, bias)

# %% 17.14 wrong only_smaller shrinks only (ratio at most 1)
def guide(conditional, unconditional, scale, rescale=0.7):
    g = unconditional + scale * (conditional - unconditional)
    d = tuple(range(1, g.dim()))
    r = (conditional.std(d, keepdim=True) / g.std(d, keepdim=True)).clamp(max=1)
    return g * (rescale * r + 1 - rescale)

# %% 17.14 wrong - rescale applied only where scale is above 1
def guide(conditional, unconditional, scale, rescale=0.7):
    g = unconditional + scale * (conditional - unconditional)
    if scale <= 1:
        return g
    d = tuple(range(1, g.dim()))
    r = conditional.std(d, keepdim=True) / g.std(d, keepdim=True)
    return g * (rescale * r + 1 - rescale)

# %% 17.16 wrong - detached at the end only
import torch


def draw(model, prompts, noise, steps, scale):
    B = len(prompts)
    ids, words = model.read([*prompts, *[""] * B])
    bias, pairs = keys_and_values(words, padding_bias(ids, model.end), model.layers)
    grid, x = time_grid(steps, len(model.table) - 1).tolist(), noise
    for t, s in zip(grid, grid[1:]):
        a = model.table[t].to(x.dtype).expand(2 * B)
        both = model.network(torch.cat([x, x]), a, pairs, bias)
        x = sampler_step(x, guide(*both.chunk(2), scale), t, s, model.table, 0.0, None)
    return model.decode(x).detach()

# %% 17.1 right complex numbers
import torch
import torch.nn.functional as F
from torch import Tensor


def time_embedding(t: Tensor, width: int, period: float = 10_000.0) -> Tensor:
    half = width // 2
    k = torch.arange(half, dtype=torch.float64, device=t.device)
    phase = 1000 * t.double()[:, None] * period ** (-k / half)
    z = torch.polar(torch.ones_like(phase), torch.pi / 2 - phase)   # sin + i cos
    return F.pad(torch.view_as_real(z).flatten(1), (0, width - 2 * half)).float()

# %% 17.3 right deque, appendleft
import torch
from torch import Tensor


from collections import deque

def down_and_up(h: Tensor, levels: list[Any], middle: Callable) -> Tensor:
    kept = deque([h])
    for level in levels:
        for block in level.down:
            h = block(h)
            kept.appendleft(h)
        if level.shrink:
            h = level.shrink(h)
            kept.appendleft(h)
    h = middle(h)
    for level in levels[::-1]:
        if level.grow:
            h = level.grow(h, tuple(kept[0].shape[-2:]))
        for block in level.up:
            h = block(torch.concat([h, kept.popleft()], dim=-3))
    assert not kept
    return h

# %% 17.4 right a loop over heads
import math

import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.width, self.heads, self.head_width = width, heads, head_width
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width, bias=True)

    def forward(self, x, keys, values, bias):
        B, C, H, W = x.shape
        tokens = x.permute(0, 2, 3, 1).reshape(B, H * W, C)
        q = self.to_q(tokens)
        d, outs = self.head_width, []
        for i in range(self.heads):
            qi = q[:, :, i * d : (i + 1) * d]
            att = torch.bmm(qi, keys[:, i].transpose(1, 2)) / math.sqrt(d) + bias[:, 0]
            outs.append(torch.bmm(att.softmax(dim=-1), values[:, i]))
        return self.to_out(torch.cat(outs, -1)).transpose(1, 2).view(B, C, H, W) if False else \
            self.to_out(torch.cat(outs, -1)).permute(0, 2, 1).reshape(B, C, H, W)

# %% 17.5 right affine by two unknowns
import math

import torch
import torch.nn.functional as F


def alpha_bars(steps):
    if steps == 1:
        roots = torch.tensor([math.sqrt(0.00085)], dtype=torch.double)
    else:
        i = torch.arange(steps, dtype=torch.double)
        roots = math.sqrt(0.00085) + (math.sqrt(0.012) - math.sqrt(0.00085)) * i / (steps - 1)
    betas = torch.minimum(roots * roots * (1000 / steps), torch.tensor(0.999, dtype=torch.double))
    a = F.pad((1 - betas).cumprod(0), (1, 0), value=1.0)
    r = a.sqrt()
    m = 1 / (r[0] - r[-1])
    n = -m * r[-1]
    return (m * r + n).square()

# %% 17.7 right np.average's cousin, dot product
import torch


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    zeros = torch.zeros(t.shape, dtype=torch.long)
    noisy = add_noise(x0, zeros, t, eps, table)
    a = torch.index_select(table, 0, t).type_as(x0)
    n = x0[0].numel()
    column = lambda z: z.unsqueeze(1)
    v = column(a.sqrt()) * eps.reshape(-1, n) - column((1 - a).sqrt()) * x0.reshape(-1, n)
    diff = network(noisy, a, words, bias).reshape(-1, n) - v
    per = (diff * diff).sum(1) / n
    return torch.dot(weight.to(per.dtype), per) / weight.sum()

# %% 17.11 right chunk into heads
import torch


def keys_and_values(words, bias, layers):
    read = (bias == 0).flatten(0, 2).any(0)
    length = int(torch.where(read)[0][-1]) + 1
    words = words[:, :length].contiguous()

    def heads(made, n):
        return torch.stack(made.chunk(n, dim=-1), dim=1)

    return bias[..., :length], {name: (heads(l.to_k(words), l.heads), heads(l.to_v(words), l.heads)) for name, l in layers.items()}

# %% 17.14 right var, row by row
import torch


def guide(conditional, unconditional, scale, rescale=0.7):
    out = []
    for c, u in zip(conditional, unconditional):
        g = scale * c + (1 - scale) * u
        out.append(g * (rescale * torch.sqrt(c.var() / g.var()) + (1 - rescale)))
    return torch.stack(out)

# %% 17.16 right set_grad_enabled restored, index loop
import torch


def draw(model, prompts, noise, steps, scale):
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        n = len(prompts)
        ids, words = model.read(prompts + n * [""])
        bias = padding_bias(ids, model.end)
        bias, kv = keys_and_values(words, bias, model.layers)
        grid = time_grid(steps, model.table.numel() - 1)
        x = noise
        for i in range(len(grid) - 1):
            a = torch.ones(2 * n, dtype=x.dtype) * model.table[grid[i]].to(x.dtype)
            v = model.network(torch.cat((x, x), 0), a, kv, bias)
            v = guide(v[0:n], v[n : 2 * n], scale=scale)
            x = sampler_step(x, v, grid[i].item(), grid[i + 1].item(), table=model.table, eta=0.0, noise=None)
        return model.decode(x)
    finally:
        torch.set_grad_enabled(before)
