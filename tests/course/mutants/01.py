"""Wrong answers to lesson 01, as learners write them: each section defines one, named after the mistake it makes."""

# %% 01.1 sines_first
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    freqs = torch.exp(-torch.log(torch.tensor(max_period)) * torch.arange(half) / half)
    args = timestep[:, None].float() * freqs[None]
    return torch.cat([torch.sin(args), torch.cos(args)], dim=-1)

# %% 01.1 full_width
import math

import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    freqs = torch.exp(-math.log(max_period) * torch.arange(dim) / dim)
    args = torch.outer(timestep.float(), freqs)
    return torch.hstack([args.cos(), args.sin()])

# %% 01.1 half_minus_1
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    freqs = max_period ** -torch.linspace(0, 1, dim // 2)
    args = timestep[:, None] * freqs
    return torch.cat([args.cos(), args.sin()], dim=1)

# %% 01.1 exponent_over_dim
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    freqs = torch.tensor([1 / max_period ** (i / dim) for i in range(dim // 2)])
    args = timestep[:, None] * freqs
    return torch.cat([args.cos(), args.sin()], dim=1)

# %% 01.1 rising_frequencies
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    freqs = max_period ** (torch.arange(half) / half)
    args = timestep[:, None] * freqs
    return torch.cat([args.cos(), args.sin()], dim=1)

# %% 01.1 pairs_side_by_side
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    out = torch.zeros(len(timestep), dim)
    for k in range(dim // 2):
        angle = timestep * max_period ** (-2 * k / dim)
        out[:, 2 * k], out[:, 2 * k + 1] = angle.cos(), angle.sin()
    return out

# %% 01.1 fixed_period
import torch


def timestep_embedding(timestep, dim, max_period=10000.0):
    half = dim // 2
    args = timestep[:, None] * 10000 ** (-torch.arange(half) / half)
    return torch.cat([args.cos(), args.sin()], dim=1)

# %% 01.2 whole_sample


def group_norm(x, groups, weight, bias, eps=1e-5):
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    var = ((x - mean) ** 2).mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) / (var + eps) ** 0.5 * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 per_channel


def group_norm(x, groups, weight, bias, eps=1e-5):
    mean = x.mean(dim=(-2, -1), keepdim=True)
    var = x.var(dim=(-2, -1), keepdim=True, correction=0)
    return (x - mean) * (var + eps).rsqrt() * weight[None, :, None, None] + bias[None, :, None, None]

# %% 01.2 over_the_batch
import torch


def group_norm(x, groups, weight, bias, eps=1e-5):
    out = torch.empty_like(x)
    size = x.shape[1] // groups
    for g in range(groups):
        part = x[:, g * size:(g + 1) * size]
        out[:, g * size:(g + 1) * size] = (part - part.mean()) / torch.sqrt(part.var(unbiased=False) + eps)
    return out * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 bessel


def group_norm(x, groups, weight, bias, eps=1e-5):
    b, c, h, w = x.shape
    y = x.reshape(b, groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True) + eps).sqrt()
    return y.reshape(b, c, h, w) * weight.view(1, c, 1, 1) + bias.view(1, c, 1, 1)

# %% 01.2 no_eps


def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / y.std(-1, keepdim=True, unbiased=False)
    return y.reshape(x.shape) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 eps_outside_the_root


def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.std(-1, keepdim=True, unbiased=False) + eps)
    return y.reshape(x.shape) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 variance_for_std


def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = y - y.mean(-1, keepdim=True)
    y = y / (y.pow(2).mean(-1, keepdim=True) + eps)
    return y.reshape(x.shape) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.2 affine_forgotten


def group_norm(x, groups, weight, bias, eps=1e-5):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, unbiased=False) + eps).sqrt()
    return y.reshape(x.shape)

# %% 01.2 interleaved_groups
import torch


def group_norm(x, groups, weight, bias, eps=1e-5):
    out = torch.empty_like(x)
    for g in range(groups):
        part = x[:, g::x.shape[1] // (x.shape[1] // groups)]
        mean = part.mean((1, 2, 3), keepdim=True)
        var = part.var((1, 2, 3), keepdim=True, unbiased=False)
        out[:, g::groups] = (part - mean) / (var + eps).sqrt()
    return out * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

# %% 01.3 no_skip
import torch.nn.functional as F


def res_block(block, x, time):
    x = block.conv1(F.silu(block.norm1(x)))
    x = x + block.time_emb_proj(F.silu(time))[:, :, None, None]
    return block.conv2(F.silu(block.norm2(x)))

# %% 01.3 skip_from_the_normalised_x
import torch.nn.functional as F


def res_block(block, x, time):
    x = F.silu(block.norm1(x))
    h = block.conv1(x) + block.time_emb_proj(F.silu(time)).unsqueeze(-1).unsqueeze(-1)
    h = block.conv2(F.silu(block.norm2(h)))
    if block.conv_shortcut is not None:
        x = block.conv_shortcut(x)
    return x + h

# %% 01.3 time_after_norm2
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = F.silu(block.norm2(h)) + block.time_emb_proj(F.silu(time))[..., None, None]
    h = block.conv2(h)
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 time_at_the_end
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = block.conv2(F.silu(block.norm2(h)))
    h = h + block.time_emb_proj(F.silu(time))[..., None, None]
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 time_ignored
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h + block.time_emb_proj(F.silu(time))[..., None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 time_without_silu
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(time)[..., None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 silu_behind_the_projection
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + F.silu(block.time_emb_proj(time))[..., None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 time_without_axes
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time_emb_proj(F.silu(time))
    h = block.conv2(F.silu(block.norm2(h)))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.3 no_silu
import torch.nn.functional as F


def res_block(block, x, time):
    h = block.conv1(block.norm1(x))
    h = h + block.time_emb_proj(F.silu(time))[..., None, None]
    h = block.conv2(block.norm2(h))
    return h + (block.conv_shortcut(x) if block.conv_shortcut else x)

# %% 01.4 first_in_first_out
import torch


def up_path(h, skips, levels):
    skips = skips[::-1]
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat((h, skips.pop()), 1))
        if double:
            h = double(h, skips[-1].shape[2:])
    return h

# %% 01.4 in_order_within_a_level
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

# %% 01.4 added


def up_path(h, skips, levels):
    position = len(skips)
    for blocks, double in levels:
        for block in blocks:
            position -= 1
            h = block(skips[position] + h)
        if double is not None:
            h = double(h, skips[position - 1].shape[2:])
    return h

# %% 01.4 wrong_axis
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([h, skips.pop()], dim=2))
        if double is not None:
            h = double(h, skips[-1].shape[2:])
    return h

# %% 01.4 skip_first
import torch


def up_path(h, skips, levels):
    skips = list(skips)
    for blocks, double in levels:
        for block in blocks:
            h = block(torch.cat([skips.pop(), h], dim=1))
        if double is not None:
            h = double(h, skips[-1].shape[2:])
    return h

# %% 01.4 doubled_first
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

# %% 01.5 label_left_out
import torch.nn.functional as F

from minidiff.course.checks.lesson01 import down_path, reference_up, up_levels
from minidiff.nn.embeddings import timestep_embedding


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype))
    h, skips = down_path(unet, x, time)
    h = unet.mid_block(h, time)
    return unet.conv_out(F.silu(unet.conv_norm_out(reference_up(h, skips, up_levels(unet, time)))))

# %% 01.5 no_middle
import torch.nn.functional as F

from minidiff.course.checks.lesson01 import down_path, reference_up, up_levels
from minidiff.nn.embeddings import timestep_embedding


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h, skips = down_path(unet, x, time)
    h = reference_up(h, skips, up_levels(unet, time))
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 half_a_middle
import torch.nn.functional as F

from minidiff.course.checks.lesson01 import down_path, reference_up, up_levels
from minidiff.nn.embeddings import timestep_embedding


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h, skips = down_path(unet, x, time)
    h = unet.mid_block.layer(0, h, time)
    h = reference_up(h, skips, up_levels(unet, time))
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))

# %% 01.5 no_last_norm
import torch.nn.functional as F

from minidiff.course.checks.lesson01 import down_path, reference_up, up_levels
from minidiff.nn.embeddings import timestep_embedding


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h, skips = down_path(unet, x, time)
    h = unet.mid_block(h, time)
    return unet.conv_out(F.silu(reference_up(h, skips, up_levels(unet, time))))

# %% 01.5 no_last_silu
from minidiff.course.checks.lesson01 import down_path, reference_up, up_levels
from minidiff.nn.embeddings import timestep_embedding


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h, skips = down_path(unet, x, time)
    h = unet.mid_block(h, time)
    return unet.conv_out(unet.conv_norm_out(reference_up(h, skips, up_levels(unet, time))))

# %% 01.5 neither_at_the_end
from minidiff.course.checks.lesson01 import down_path, reference_up, up_levels
from minidiff.nn.embeddings import timestep_embedding


def unet_forward(unet, x, timestep, labels):
    time = unet.time_embedding(timestep_embedding(timestep, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h, skips = down_path(unet, x, time)
    h = unet.mid_block(h, time)
    return unet.conv_out(reference_up(h, skips, up_levels(unet, time)))

# %% 01.5 time_in_0_to_1
import torch.nn.functional as F

from minidiff.course.checks.lesson01 import down_path, reference_up, up_levels
from minidiff.nn.embeddings import timestep_embedding


def unet_forward(unet, x, timestep, labels):
    t = timestep / 1000
    time = unet.time_embedding(timestep_embedding(t, unet.config.channels[0]).to(x.dtype)) + unet.class_embedding(labels)
    h, skips = down_path(unet, x, time)
    h = unet.mid_block(h, time)
    h = reference_up(h, skips, up_levels(unet, time))
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))
