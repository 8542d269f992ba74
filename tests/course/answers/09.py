"""Answers to lesson 09 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 09.1 right einops
from einops import rearrange


def patchify(x, patch_size):
    p = patch_size
    return rearrange(x, "b c (h p1) (w p2) -> b (h w) (c p1 p2)", p1=p, p2=p)

# %% 09.1 right F.unfold, columns to rows
import torch.nn.functional as F


def patchify(x, patch_size):
    columns = F.unfold(x, kernel_size=patch_size, stride=patch_size)
    return columns.permute(0, 2, 1)

# %% 09.1 right tensor.unfold twice
def patchify(x, patch_size):
    tiles = x.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)  # (B, C, h, w, p, p)
    b, c, h, w, p, _ = tiles.shape
    print(tiles.shape)  # just looking
    return tiles.permute(0, 2, 3, 1, 4, 5).contiguous().view(b, h * w, c * p * p)

# %% 09.1 right two loops over the grid
import torch


def patchify(x, patch_size):
    """One patch after the other."""
    tokens = []
    for top in range(0, x.shape[2], patch_size):
        for left in range(0, x.shape[3], patch_size):
            patch = x[:, :, top:top + patch_size, left:left + patch_size]
            tokens.append(patch.flatten(1))
    return torch.stack(tokens, dim=1)

# %% 09.1 right pixel_unshuffle in a lambda
import torch.nn.functional as F

patchify = lambda x, p: F.pixel_unshuffle(x, p).flatten(2).transpose(1, 2)

# %% 09.1 wrong cut_in_order only reshaped
def patchify(x, patch_size):
    B, C, H, W = x.shape
    n = (H // patch_size) * (W // patch_size)
    return x.reshape(B, n, C * patch_size * patch_size)

# %% 09.1 wrong channels_last einops with the channel at the end
from einops import rearrange


def patchify(x, patch_size):
    return rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=patch_size, q=patch_size)

# %% 09.1 wrong grid_transposed the outer loop over columns
import torch


def patchify(x, patch_size):
    p = patch_size
    rows, columns = x.shape[2] // p, x.shape[3] // p
    tokens = [x[:, :, r * p:(r + 1) * p, c * p:(c + 1) * p].flatten(1) for c in range(columns) for r in range(rows)]
    return torch.stack(tokens, 1)

# %% 09.1 wrong tile_transposed einops with q before p
from einops import rearrange


def patchify(x, patch_size):
    return rearrange(x, "b c (h p) (w q) -> b (h w) (c q p)", p=patch_size, q=patch_size)

# %% 09.1 wrong all_transposed turns the picture first
import torch.nn.functional as F


def patchify(x, patch_size):
    turned = x.transpose(2, 3)                      # width first
    return F.unfold(turned, patch_size, stride=patch_size).transpose(1, 2)

# %% 09.1 wrong tokens_last straight from F.unfold
import torch.nn.functional as F


def patchify(x, patch_size):
    return F.unfold(x, patch_size, stride=patch_size)

# %% 09.1 wrong unfold_reshaped reshape in place of transpose
import torch.nn.functional as F


def patchify(x, patch_size):
    cols = F.unfold(x, kernel_size=(patch_size, patch_size), stride=patch_size)
    return cols.reshape(cols.shape[0], cols.shape[2], cols.shape[1])

# %% 09.1 wrong view permute, then view
def patchify(x, patch_size):
    B, C, H, W = x.shape
    h, w = H // patch_size, W // patch_size
    x = x.reshape(B, C, h, patch_size, w, patch_size)
    return x.permute(0, 2, 4, 1, 3, 5).view(B, h * w, -1)

# %% 09.1 wrong far_apart the height split as (p, rows)
from einops import rearrange


def patchify(x, patch_size):
    return rearrange(x, "b c (p h) (q w) -> b (h w) (c p q)", p=patch_size, q=patch_size)

# %% 09.1 wrong batch_mixed the batch is folded in last
from einops import rearrange


def patchify(x, patch_size):
    tokens = rearrange(x, "b c (h p) (w q) -> (h w b) (c p q)", p=patch_size, q=patch_size)
    return tokens.reshape(len(x), -1, tokens.shape[1])

# %% 09.1 wrong detached numpy on the way
import torch
from einops import rearrange


def patchify(x, patch_size):
    array = rearrange(x.detach().numpy(), "b c (h p) (w q) -> b (h w) (c p q)", p=patch_size, q=patch_size)
    return torch.tensor(array)

# %% 09.1 wrong grid_kept forgets to join rows and columns
def patchify(x, patch_size):
    p = patch_size
    tiles = x.unfold(2, p, p).unfold(3, p, p)
    return tiles.permute(0, 2, 3, 1, 4, 5).flatten(3)

# %% 09.1 wrong - the mean of each patch
import torch.nn.functional as F


def patchify(x, patch_size):
    return F.avg_pool2d(x, patch_size).flatten(2).transpose(1, 2)

# %% 09.1 wrong - as_strided, for pictures that lie straight in memory
def patchify(x, patch_size):
    B, C, H, W = x.shape
    p = patch_size
    s = x.as_strided((B, H // p, W // p, C, p, p), (C * H * W, W * p, p, H * W, W, 1))
    return s.reshape(B, -1, C * p * p)

# %% 09.1 wrong square the height for both sides
def patchify(x, patch_size):
    B, C, H, W = x.shape
    rows = columns = H // patch_size
    grid = x.reshape(B, C, rows, patch_size, columns, patch_size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(B, rows * columns, -1)

# %% 09.2 right einops
from einops import rearrange


def unpatchify(tokens, rows, columns, patch_size):
    return rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=rows, w=columns, p=patch_size, q=patch_size)

# %% 09.2 right einsum as in the paper's code, names of its own
import torch


def unpatchify(t, h, w, p):
    c = t.shape[-1] // p ** 2
    t = t.reshape(len(t), h, w, p, p, c)
    return torch.einsum("nhwpqc->nchpwq", t).reshape(len(t), c, h * p, w * p)

# %% 09.2 right fold
import torch.nn.functional as F


def unpatchify(tokens, rows, columns, patch_size):
    b, n, d = tokens.shape
    area = patch_size * patch_size
    cols = tokens.reshape(b, n, area, d // area).permute(0, 3, 2, 1).reshape(b, d, n)
    return F.fold(cols, (rows * patch_size, columns * patch_size), patch_size, stride=patch_size)

# %% 09.2 right rows of patches joined by cat
import torch


def unpatchify(tokens, rows, columns, patch_size):
    p, lines = patch_size, []
    for r in range(rows):
        line = tokens[:, r * columns:(r + 1) * columns]
        tiles = [line[:, k].reshape(len(tokens), p, p, -1) for k in range(columns)]
        lines.append(torch.cat(tiles, dim=2))          # along the width
    return torch.cat(lines, dim=1).permute(0, 3, 1, 2)

# %% 09.2 right writes each tile into zeros
import torch


def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    c = tokens.shape[2] // (p * p)
    out = torch.zeros(tokens.shape[0], c, rows * p, columns * p, dtype=tokens.dtype)
    for n in range(rows * columns):
        r, k = divmod(n, columns)
        out[:, :, r * p:(r + 1) * p, k * p:(k + 1) * p] = tokens[:, n].reshape(-1, p, p, c).movedim(3, 1)
    return out

# %% 09.2 right pixel_shuffle
import torch.nn.functional as F


def unpatchify(tokens, rows, columns, patch_size):
    b, n, d = tokens.shape
    image = tokens.unflatten(2, (patch_size ** 2, -1)).transpose(2, 3).flatten(2)
    return F.pixel_shuffle(image.transpose(1, 2).unflatten(2, (rows, columns)), patch_size)

# %% 09.2 wrong tiles_transposed einsum with q before p
import torch


def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    t = tokens.reshape(len(tokens), rows, columns, p, p, -1)
    return torch.einsum("nhwpqc->nchqwp", t).reshape(len(tokens), -1, rows * p, columns * p)

# %% 09.2 wrong filled_by_columns w before h in einops
from einops import rearrange


def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    return rearrange(tokens, "b (w h) (p q c) -> b c (h p) (w q)", h=rows, w=columns, p=p, q=p)

# %% 09.2 wrong channels_first the way back from patchify
from einops import rearrange


def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=rows, p=p, q=p)

# %% 09.2 wrong channels_first fold without looking at the order
import torch.nn.functional as F


def unpatchify(tokens, rows, columns, patch_size):
    return F.fold(tokens.transpose(1, 2), (rows * patch_size, columns * patch_size), patch_size, stride=patch_size)

# %% 09.2 wrong only_reshaped straight into the picture's shape
def unpatchify(tokens, rows, columns, patch_size):
    b, n, d = tokens.shape
    c = d // patch_size ** 2
    return tokens.reshape(b, c, rows * patch_size, columns * patch_size)

# %% 09.2 wrong not_interleaved channels to the front, and no more
def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    t = tokens.reshape(len(tokens), rows, columns, p, p, -1).movedim(-1, 1)
    return t.reshape(len(t), t.shape[1], rows * p, columns * p)

# %% 09.2 wrong picture_transposed everything turned
from einops import rearrange


def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    return rearrange(tokens, "b (h w) (p q c) -> b c (w q) (h p)", h=rows, p=p, q=p)

# %% 09.2 wrong square a side from the number of tokens
import math


def unpatchify(tokens, rows, columns, patch_size):
    p, side = patch_size, math.isqrt(tokens.shape[1])
    grid = tokens.reshape(len(tokens), side, side, p, p, -1).permute(0, 5, 1, 3, 2, 4)
    return grid.reshape(len(tokens), -1, side * p, side * p)

# %% 09.2 wrong four_channels the latent's
LATENT_CHANNELS = 4


def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    b = tokens.shape[0]
    grid = tokens.reshape(b, rows, columns, p, p, LATENT_CHANNELS).permute(0, 5, 1, 3, 2, 4)
    return grid.reshape(b, LATENT_CHANNELS, rows * p, columns * p)

# %% 09.2 wrong view at the end
def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    x = tokens.reshape(tokens.shape[0], rows, columns, p, p, -1)
    x = x.permute(0, 5, 1, 3, 2, 4)
    return x.view(x.shape[0], x.shape[1], rows * p, columns * p)

# %% 09.2 wrong channels_left_last as matplotlib has them
from einops import rearrange


def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    return rearrange(tokens, "b (h w) (p q c) -> b (h p) (w q) c", h=rows, p=p, q=p)

# %% 09.2 wrong detached under no_grad
import torch
from einops import rearrange


@torch.no_grad()
def unpatchify(tokens, rows, columns, patch_size):
    return rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=rows, p=patch_size, q=patch_size)

# %% 09.2 wrong - flips the picture upside down, as plots have it
from einops import rearrange


def unpatchify(tokens, rows, columns, patch_size):
    image = rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=rows, p=patch_size, q=patch_size)
    return image.flip(2)

# %% 09.2 right a view that only splits axes
def unpatchify(tokens, rows, columns, patch_size):
    p = patch_size
    g = tokens.view(tokens.shape[0], rows, columns, p, p, -1)
    return torch.einsum("nhwpqc->nchpwq", g).reshape(len(tokens), -1, rows * p, columns * p)

# %% 09.2 wrong - tiles written into float32 zeros
def unpatchify(tokens, rows, columns, patch_size):
    B, N, width = tokens.shape
    p = patch_size
    image = torch.zeros(B, width // p**2, rows * p, columns * p)
    for n in range(N):
        r, c = divmod(n, columns)
        image[:, :, r * p:(r + 1) * p, c * p:(c + 1) * p] = tokens[:, n].reshape(B, p, p, -1).movedim(-1, 1)
    return image

# %% 09.2 wrong two_by_two as every DiT of the lesson
def unpatchify(tokens, rows, columns, patch_size):
    tiles = tokens.reshape(len(tokens), rows, columns, 2, 2, -1)
    return torch.einsum("nhwpqc->nchpwq", tiles).flatten(4).flatten(2, 3)

# %% 09.3 right numpy with meshgrid
import numpy as np
import torch


def positions(rows, columns, width):
    quarter = width // 4
    omega = 1.0 / 10000 ** (np.arange(quarter) / quarter)
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    out = [f(np.outer(place.ravel(), omega)) for place in (x, y) for f in (np.sin, np.cos)]
    return torch.from_numpy(np.concatenate(out, axis=1)).float()

# %% 09.3 right a helper, float32 all along
import math
import torch


def waves(place, n):
    omega = torch.exp(-math.log(10000.0) * torch.arange(n) / n)
    angle = torch.outer(place.float(), omega)
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)


def positions(rows, columns, width):
    n = torch.arange(rows * columns)
    return torch.cat([waves(n % columns, width // 4), waves(n // columns, width // 4)], dim=1)

# %% 09.3 right cartesian_prod
import torch


def positions(rows, columns, width):
    q = width // 4
    omega = 10000 ** (-torch.arange(q, dtype=torch.float64) / q)
    yx = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).double()
    angle = yx[:, :, None] * omega                      # (N, 2, q)
    both = torch.cat([angle.sin(), angle.cos()], dim=2)
    return both.flip(1).flatten(1).float()              # column first

# %% 09.3 right three loops over single numbers
import math
import torch


def positions(rows, columns, width):
    q = width // 4
    table = torch.zeros(rows * columns, width)
    for r in range(rows):
        for c in range(columns):
            for k in range(q):
                w = 10000 ** (-k / q)
                line = table[r * columns + c]
                line[k], line[q + k] = math.sin(c * w), math.cos(c * w)
                line[2 * q + k], line[3 * q + k] = math.sin(r * w), math.cos(r * w)
    return table

# %% 09.3 right expands two small tables
import torch


def positions(rows, columns, width):
    q = width // 4
    omega = 1 / 10000 ** torch.linspace(0, 1, q + 1)[:-1]

    def part(n):
        a = torch.arange(n)[:, None] * omega
        return torch.cat([a.sin(), a.cos()], -1)

    by_column = part(columns)[None].expand(rows, -1, -1)
    by_row = part(rows)[:, None].expand(-1, columns, -1)
    return torch.cat([by_column, by_row], -1).reshape(rows * columns, width)

# %% 09.3 wrong row_first rows, then columns, as coordinates are said
import torch


def positions(rows, columns, width):
    q = width // 4
    omega = 10000 ** (-torch.arange(q) / q)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    a, b = y.reshape(-1, 1) * omega, x.reshape(-1, 1) * omega
    return torch.cat([a.sin(), a.cos(), b.sin(), b.cos()], 1)

# %% 09.3 wrong counted_by_columns meshgrid the other way
import torch


def positions(rows, columns, width):
    q = width // 4
    omega = 10000 ** (-torch.arange(q) / q)
    x, y = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="ij")
    a, b = x.reshape(-1, 1) * omega, y.reshape(-1, 1) * omega
    return torch.cat([a.sin(), a.cos(), b.sin(), b.cos()], 1)

# %% 09.3 wrong one_number as in a sentence
import math
import torch


def positions(rows, columns, width):
    half = width // 2
    w = torch.exp(-math.log(10000) * torch.arange(half) / half)
    angle = torch.arange(rows * columns).float()[:, None] * w
    return torch.cat([angle.sin(), angle.cos()], dim=-1)

# %% 09.3 wrong cosines_first uses the library's timestep_embedding
import torch

from minidiff.nn.embeddings import timestep_embedding


def positions(rows, columns, width):
    n = torch.arange(rows * columns)
    return torch.cat([timestep_embedding(n % columns, width // 2), timestep_embedding(n // columns, width // 2)], dim=1)

# %% 09.3 wrong interleaved even and odd places
import torch


def positions(rows, columns, width):
    q = width // 4
    omega = 10000 ** (-torch.arange(q) / q)
    n = torch.arange(rows * columns)
    out = torch.zeros(rows * columns, width)
    for start, place in ((0, n % columns), (width // 2, n // columns)):
        out[:, start:start + width // 2:2] = torch.sin(place[:, None] * omega)
        out[:, start + 1:start + width // 2:2] = torch.cos(place[:, None] * omega)
    return out

# %% 09.3 wrong omega_over_half thinks of each half as d numbers
import torch


def positions(rows, columns, width):
    half = width // 2
    k = torch.arange(half // 2)
    omega = 10000 ** (-k / half)
    n = torch.arange(rows * columns)
    x, y = (n % columns)[:, None] * omega, (n // columns)[:, None] * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)

# %% 09.3 wrong omega_to_the_end linspace with its end
import torch


def positions(rows, columns, width):
    omega = 10000 ** -torch.linspace(0, 1, width // 4)
    n = torch.arange(rows * columns)
    x, y = torch.outer((n % columns).float(), omega), torch.outer((n // columns).float(), omega)
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)

# %% 09.3 wrong float64 numpy without .float()
import numpy as np
import torch


def positions(rows, columns, width):
    q = width // 4
    omega = 10000 ** (-np.arange(q) / q)
    n = np.arange(rows * columns)
    x, y = (n % columns)[:, None] * omega, (n // columns)[:, None] * omega
    return torch.from_numpy(np.hstack([np.sin(x), np.cos(x), np.sin(y), np.cos(y)]))

# %% 09.3 wrong sizes_swapped divides by the number of rows
import torch


def positions(rows, columns, width):
    q = width // 4
    omega = 10000 ** (-torch.arange(q) / q)
    n = torch.arange(rows * columns)
    x, y = (n % rows)[:, None] * omega, (n // rows)[:, None] * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)

# %% 09.3 wrong zero_to_one relative places
import torch


def positions(rows, columns, width):
    q = width // 4
    omega = 10000 ** (-torch.arange(q) / q)
    n = torch.arange(rows * columns)
    x = (n % columns / columns)[:, None] * omega
    y = (n // columns / rows)[:, None] * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)

# %% 09.3 wrong stretched the library's table without its square
from minidiff.nn.embeddings import position_table


def positions(rows, columns, width):
    return position_table(width, rows, columns)         # columns are squeezed or stretched to the height

# %% 09.3 right logspace and complex numbers
def positions(rows, columns, width):
    q = width // 4
    om = torch.logspace(0, -4 * (q - 1) / q, q, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    z = [torch.polar(torch.ones(1, dtype=torch.float64), p.reshape(-1, 1) * om) for p in (x, y)]
    return torch.cat([t for w in z for t in (w.imag, w.real)], dim=-1).to(torch.float32)

# %% 09.3 wrong learnt a parameter, as for learnt positions
def positions(rows, columns, width):
    from torch import nn
    q = width // 4
    omega = 10000.0 ** (-torch.arange(q) / q)
    column = torch.arange(columns).repeat(rows)
    row = torch.arange(rows).repeat_interleave(columns)
    x, y = column[:, None] * omega, row[:, None] * omega
    return nn.Parameter(torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1))

# %% 09.3 wrong @state float64 by default from now on
def positions(rows, columns, width):
    torch.set_default_dtype(torch.float64)
    q = width // 4
    omega = 10000.0 ** (-torch.arange(q) / q)
    column = torch.arange(columns).repeat(rows)
    row = torch.arange(rows).repeat_interleave(columns)
    x, y = column[:, None] * omega, row[:, None] * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1).float()

# %% 09.4 right the formula in einsum
import torch


def attention(layer, x, context, bias):
    src = context if context is not None else x
    B, h = len(x), layer.heads
    q = layer.to_q(x).reshape(B, x.shape[1], h, -1)
    k = layer.to_k(src).reshape(B, src.shape[1], h, -1)
    v = layer.to_v(src).reshape(B, src.shape[1], h, -1)
    logits = torch.einsum("bnhd,blhd->bhnl", q, k) * q.shape[-1] ** -0.5
    weights = (logits if bias is None else logits + bias).softmax(-1)
    return layer.to_out[0](torch.einsum("bhnl,blhd->bnhd", weights, v).reshape(B, x.shape[1], -1))

# %% 09.4 right PyTorch's own kernel
import torch.nn.functional as F


def attention(layer, x, context, bias):
    if context is None:
        context = x
    q, k, v = [split_heads(f(y), layer.heads) for f, y in ((layer.to_q, x), (layer.to_k, context), (layer.to_v, context))]
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))

# %% 09.4 right head after head
import math
import torch


def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = layer.to_q(x), layer.to_k(c), layer.to_v(c)
    d = q.shape[-1] // layer.heads
    found = []
    for i in range(layer.heads):
        part = slice(i * d, (i + 1) * d)
        logits = torch.bmm(q[..., part], k[..., part].transpose(1, 2)) / math.sqrt(d)
        if bias is not None:
            logits += bias[:, 0]
        found.append(torch.softmax(logits, dim=2) @ v[..., part])
    return layer.to_out[0](torch.cat(found, dim=2))

# %% 09.4 right softmax by hand, queries scaled first
import torch


def attention(layer, x, context, bias):
    seen = x if context is None else context
    query = split_heads(layer.to_q(x), layer.heads)
    query = query / torch.tensor(query.shape[-1], dtype=query.dtype).sqrt()
    key, value = split_heads(layer.to_k(seen), layer.heads), split_heads(layer.to_v(seen), layer.heads)
    logits = query @ key.transpose(-2, -1) + (0 if bias is None else bias)
    e = torch.exp(logits - logits.max(dim=-1, keepdim=True).values)
    return layer.to_out[0](merge_heads(e @ value / e.sum(-1, keepdim=True)))

# %% 09.4 wrong no_scale forgets sqrt(d)
def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    logits = q @ k.transpose(-1, -2)
    if bias is not None:
        logits = logits + bias
    return layer.to_out[0](merge_heads(logits.softmax(-1) @ v))

# %% 09.4 wrong no_scale tells the kernel to leave out the scale
import torch.nn.functional as F


def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)))

# %% 09.4 wrong context_ignored self-attention everywhere
import torch.nn.functional as F


def attention(layer, x, context, bias):
    q, k, v = (split_heads(f(x), layer.heads) for f in (layer.to_q, layer.to_k, layer.to_v))
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))

# %% 09.4 wrong no_self_attention takes the context as it comes
import torch.nn.functional as F


def attention(layer, x, context, bias):
    q = split_heads(layer.to_q(x), layer.heads)
    k = split_heads(layer.to_k(context), layer.heads)
    v = split_heads(layer.to_v(context), layer.heads)
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))

# %% 09.4 wrong whole_width the root of all heads' width
import math


def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = layer.to_q(x), layer.to_k(c), layer.to_v(c)
    scale = 1 / math.sqrt(q.shape[-1])
    q, k, v = split_heads(q, layer.heads), split_heads(k, layer.heads), split_heads(v, layer.heads)
    logits = scale * (q @ k.mT)
    logits = logits if bias is None else logits + bias
    return layer.to_out[0](merge_heads(logits.softmax(-1) @ v))

# %% 09.4 wrong softmax_over_queries dim=2 of four axes
def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    logits = q @ k.mT / q.shape[-1] ** 0.5
    logits = logits if bias is None else logits + bias
    return layer.to_out[0](merge_heads(logits.softmax(dim=2) @ v))

# %% 09.4 wrong bias_dropped never looks at it
import torch.nn.functional as F


def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v)))

# %% 09.4 wrong bias_as_mask makes booleans of it
import torch.nn.functional as F


def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    mask = None if bias is None else bias >= 0
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))

# %% 09.4 wrong bias_before_scale adds, then divides
def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    logits = q @ k.mT
    if bias is not None:
        logits = logits + bias
    return layer.to_out[0](merge_heads((logits / q.shape[-1] ** 0.5).softmax(-1) @ v))

# %% 09.4 wrong scrambled_heads view without transpose
import torch.nn.functional as F


def attention(layer, x, context, bias):
    c = x if context is None else context
    b, h = x.shape[0], layer.heads
    q, k, v = layer.to_q(x), layer.to_k(c), layer.to_v(c)
    d = q.shape[-1] // h
    q, k, v = q.view(b, h, -1, d), k.view(b, h, -1, d), v.view(b, h, -1, d)
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))

# %% 09.4 wrong merged_without_swap reshape at the end
import torch.nn.functional as F


def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return layer.to_out[0](out.reshape(x.shape[0], x.shape[1], -1))

# %% 09.4 wrong layer_called asks the layer
def attention(layer, x, context, bias):
    return layer(x, context, mask=bias)

# %% 09.4 wrong to_out_forgotten stops after the heads
import torch.nn.functional as F


def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)

# %% 09.4 wrong - calls the list of the output layers
import torch.nn.functional as F


def attention(layer, x, context, bias):
    c = x if context is None else context
    q, k, v = (split_heads(y, layer.heads) for y in (layer.to_q(x), layer.to_k(c), layer.to_v(c)))
    return layer.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))

# %% 09.4 right softmax in float32
def attention(layer, x, context, bias):
    s = x if context is None else context
    q, k, v = (split_heads(z, layer.heads) for z in (layer.to_q(x), layer.to_k(s), layer.to_v(s)))
    a = q @ k.mT / q.shape[-1] ** 0.5 + (0 if bias is None else bias)
    w = F.softmax(a, dim=-1, dtype=torch.float32).to(v.dtype)
    return layer.to_out[0](merge_heads(w @ v))

# %% 09.4 wrong detached no_grad, as for sampling
@torch.no_grad()
def attention(layer, x, context, bias):
    s = x if context is None else context
    q, k, v = (split_heads(z, layer.heads) for z in (layer.to_q(x), layer.to_k(s), layer.to_v(s)))
    a = q @ k.mT / q.shape[-1] ** 0.5 + (0 if bias is None else bias)
    return layer.to_out[0](merge_heads(a.softmax(-1) @ v))

# %% 09.4 wrong exp_overflows the softmax as in the formula
def attention(layer, x, context, bias):
    s = x if context is None else context
    q, k, v = (split_heads(z, layer.heads) for z in (layer.to_q(x), layer.to_k(s), layer.to_v(s)))
    a = q @ k.mT / q.shape[-1] ** 0.5 + (0 if bias is None else bias)
    e = a.exp()
    return layer.to_out[0](merge_heads(e / e.sum(-1, keepdim=True) @ v))

# %% 09.4 wrong - squeezes the bias, and the batch of one with it
def attention(layer, x, context, bias):
    s = x if context is None else context
    q, k, v = (split_heads(z, layer.heads) for z in (layer.to_q(x), layer.to_k(s), layer.to_v(s)))
    a = q @ k.mT / q.shape[-1] ** 0.5
    if bias is not None:
        a = a + bias.squeeze()[:, None, None]
    return layer.to_out[0](merge_heads(a.softmax(-1) @ v))

# %% 09.4 wrong bias_of_the_first one bias for all
def attention(layer, x, context, bias):
    s = x if context is None else context
    q, k, v = (split_heads(z, layer.heads) for z in (layer.to_q(x), layer.to_k(s), layer.to_v(s)))
    a = q @ k.mT / q.shape[-1] ** 0.5
    if bias is not None:
        a = a + bias[:1]
    return layer.to_out[0](merge_heads(a.softmax(-1) @ v))

# %% 09.4 wrong bias_with_context_alone no bias for self-attention
def attention(layer, x, context, bias):
    if context is None:
        context, bias = x, None
    q, k, v = (split_heads(z, layer.heads) for z in (layer.to_q(x), layer.to_k(context), layer.to_v(context)))
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))

# %% 09.4 wrong divided_by_d scales before a kernel that scales
def attention(layer, x, context, bias):
    s = x if context is None else context
    q, k, v = (split_heads(z, layer.heads) for z in (layer.to_q(x), layer.to_k(s), layer.to_v(s)))
    q = q / q.shape[-1] ** 0.5
    return layer.to_out[0](merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))

# %% 09.5 right chunks, norms by a helper
import torch.nn.functional as F


def modulate(x, shift, scale):
    return F.layer_norm(x, (x.shape[-1],), eps=1e-6) * (1 + scale) + shift


def dit_block(block, x, time, caption, bias):
    s1, c1, g1, s2, c2, g2 = (block.scale_shift_table[None] + time).chunk(6, dim=1)     # (B, 1, D) each
    x = x + g1 * attention(block.attn1, modulate(x, s1, c1), None, None)
    x = x + attention(block.attn2, x, caption, bias)
    return x + g2 * block.ff(modulate(x, s2, c2))

# %% 09.5 right the block's own attention layers, and the library's norm
from minidiff.models.dit import modulated_norm


def dit_block(block, x, time, caption, bias):
    m = block.scale_shift_table + time
    x = x + m[:, 2:3] * block.attn1(modulated_norm(x, m[:, 0:1], m[:, 1:2]))
    x = x + block.attn2(x, caption, bias)
    return x + m[:, 5:6] * block.ff(modulated_norm(x, m[:, 3:4], m[:, 4:5]))

# %% 09.5 right layer norm by hand
import torch


def norm(x):
    mean = x.mean(dim=-1, keepdim=True)
    variance = x.var(dim=-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(variance + 1e-6)


def dit_block(block, x, time, caption, bias):
    six = block.scale_shift_table.unsqueeze(0) + time
    shift, scale, gate, shift2, scale2, gate2 = [v[:, None] for v in six.unbind(dim=1)]
    h = norm(x)
    x = x + gate * attention(block.attn1, h + h * scale + shift, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = norm(x)
    return torch.addcmul(x, gate2, block.ff(h + h * scale2 + shift2))

# %% 09.5 right two threes, a layer made on the spot
from torch import nn


def dit_block(block, x, time, caption, bias):
    norm = nn.LayerNorm(x.shape[-1], eps=1e-6, elementwise_affine=False)
    first, last = (block.scale_shift_table + time).unflatten(1, (2, 3)).unbind(1)       # (B, 3, D)
    for k, (shift, scale, gate) in enumerate(three.unsqueeze(2).unbind(1) for three in (first, last)):
        h = norm(x) * (scale + 1) + shift
        x = x + gate * (attention(block.attn1, h, None, None) if k == 0 else block.ff(h))
        if k == 0:
            x = x + attention(block.attn2, x, caption, bias)
    return x

# %% 09.5 wrong gates_forgotten mends shift, scale and the 1
import torch.nn.functional as F


def dit_block(block, x, time, caption, bias):
    six = (block.scale_shift_table + time).unsqueeze(2)
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = six.unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
    x = x + block.ff(h)
    return x

# %% 09.5 wrong no_one everything but the 1
import torch.nn.functional as F


def dit_block(block, x, time, caption, bias):
    six = (block.scale_shift_table + time).unsqueeze(2)
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = six.unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale_mlp + shift_mlp
    x = x + gate_mlp * block.ff(h)
    return x

# %% 09.5 wrong shift_and_scale_swapped the order as given
import torch.nn.functional as F


def dit_block(block, x, time, caption, bias):
    six = (block.scale_shift_table + time).unsqueeze(2)
    scale, shift, gate, scale_mlp, shift_mlp, gate_mlp = six.unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
    x = x + gate_mlp * block.ff(h)
    return x

# %% 09.5 wrong as_given only the raise is gone
import torch.nn.functional as F


def dit_block(block, x, time, caption, bias):
    six = (block.scale_shift_table + time).unsqueeze(2)
    scale, shift, gate, scale_mlp, shift_mlp, gate_mlp = six.unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale + shift
    x = x + attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale_mlp + shift_mlp
    x = x + block.ff(h)
    return x

# %% 09.5 wrong gate_of_mlp_forgotten one of two
import torch.nn.functional as F


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + time).chunk(6, 1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale2) + shift2
    return x + block.ff(h)

# %% 09.5 wrong one_plus_gate 1 + everywhere
from minidiff.models.dit import modulated_norm


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + time).chunk(6, 1)
    x = x + (1 + gate) * attention(block.attn1, modulated_norm(x, shift, scale), None, None)
    x = x + attention(block.attn2, x, caption, bias)
    return x + (1 + gate2) * block.ff(modulated_norm(x, shift2, scale2))

# %% 09.5 wrong cross_normalised a norm of its own for the words
import torch.nn.functional as F

from minidiff.models.dit import modulated_norm


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + time).chunk(6, 1)
    x = x + gate * attention(block.attn1, modulated_norm(x, shift, scale), None, None)
    x = x + attention(block.attn2, F.layer_norm(x, x.shape[-1:], eps=1e-6), caption, bias)
    return x + gate2 * block.ff(modulated_norm(x, shift2, scale2))

# %% 09.5 wrong table_forgotten the time alone
from minidiff.models.dit import modulated_norm


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = time.chunk(6, dim=1)
    x = x + gate * attention(block.attn1, modulated_norm(x, shift, scale), None, None)
    x = x + attention(block.attn2, x, caption, bias)
    return x + gate2 * block.ff(modulated_norm(x, shift2, scale2))

# %% 09.5 wrong time_axis_missing unbind without an axis for the tokens
from minidiff.models.dit import modulated_norm


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + time).unbind(1)
    x = x + gate * attention(block.attn1, modulated_norm(x, shift, scale), None, None)
    x = x + attention(block.attn2, x, caption, bias)
    return x + gate2 * block.ff(modulated_norm(x, shift2, scale2))

# %% 09.5 wrong eps PyTorch's default
import torch.nn.functional as F


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + time).chunk(6, 1)
    norm = lambda y: F.layer_norm(y, y.shape[-1:])
    x = x + gate * attention(block.attn1, norm(x) * (1 + scale) + shift, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    return x + gate2 * block.ff(norm(x) * (1 + scale2) + shift2)

# %% 09.5 wrong image_for_words the caption is not passed on
from minidiff.models.dit import modulated_norm


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + time).chunk(6, 1)
    x = x + gate * block.attn1(modulated_norm(x, shift, scale))
    x = x + block.attn2(x)
    return x + gate2 * block.ff(modulated_norm(x, shift2, scale2))

# %% 09.5 wrong block_called the library does it
def dit_block(block, x, time, caption, bias):
    return block(x, time, caption, bias)

# %% 09.5 wrong @input adds to the caller's tokens
from minidiff.models.dit import modulated_norm


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + time).chunk(6, 1)
    x += gate * attention(block.attn1, modulated_norm(x, shift, scale), None, None)
    x += attention(block.attn2, x, caption, bias)
    x += gate2 * block.ff(modulated_norm(x, shift2, scale2))
    return x

# %% 09.5 wrong - gates and the order, but not the 1 before the MLP
import torch.nn.functional as F


def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + time).chunk(6, 1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale2 + shift2
    return x + block.ff(h)

# %% 09.5 right picture by picture
def dit_block(block, x, time, caption, bias):
    out = []
    norm = torch.nn.LayerNorm(x.shape[-1], eps=1e-6, elementwise_affine=False)
    for n in range(len(x)):
        s, c, g, S, C, G = block.scale_shift_table + time[n if len(time) > 1 else 0]
        y = x[n:n + 1]
        y = y + g * attention(block.attn1, norm(y) * (1 + c) + s, None, None)
        y = y + attention(block.attn2, y, caption[n:n + 1], None if bias is None else bias[n:n + 1])
        out.append(y + G * block.ff(norm(y) * (1 + C) + S))
    return torch.cat(out)

# %% 09.5 wrong detached no_grad, as for sampling
@torch.no_grad()
def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (block.scale_shift_table + time).unsqueeze(2).unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
    return x + gate_mlp * block.ff(h)

# %% 09.5 wrong table_detached takes the parameter's data
def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (block.scale_shift_table.data + time).unsqueeze(2).unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
    return x + gate_mlp * block.ff(h)

# %% 09.5 wrong cross_reads_h one letter
def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (block.scale_shift_table + time).unsqueeze(2).unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, h, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
    return x + gate_mlp * block.ff(h)

# %% 09.5 wrong first_gate_twice copied from above
def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (block.scale_shift_table + time).unsqueeze(2).unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
    return x + gate * block.ff(h)

# %% 09.5 wrong added_to_h the skip after the norm
def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (block.scale_shift_table + time).unsqueeze(2).unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x = h + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
    return h + gate_mlp * block.ff(h)

# %% 09.5 right in place, but only on tensors of its own
def dit_block(block, x, time, caption, bias):
    b, g, a, b2, g2, a2 = (block.scale_shift_table + time).unsqueeze(2).unbind(1)
    h = F.layer_norm(x, [x.shape[-1]], eps=1e-6).mul(1 + g)
    h += b
    y = x.clone()
    y += a * attention(block.attn1, h, context=None, bias=None)
    y = y + attention(block.attn2, y, caption, bias)
    h = F.layer_norm(y, [y.shape[-1]], eps=1e-6).mul(1 + g2)
    h += b2
    return y + a2 * block.ff(h)

# %% 09.5 wrong no_brackets 1 + scale without brackets
def dit_block(block, x, time, caption, bias):
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (block.scale_shift_table + time).unsqueeze(2).unbind(1)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * 1 + scale + shift
    x = x + gate * attention(block.attn1, h, None, None)
    x = x + attention(block.attn2, x, caption, bias)
    h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * 1 + scale_mlp + shift_mlp
    return x + gate_mlp * block.ff(h)

# %% 09.6 right the library's WordEncoder reads
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run
from minidiff.text.encoders import WordEncoder


@torch.inference_mode()
def text_to_image(model, prompts, noise, steps, scale):
    words, mask = WordEncoder(model.tokenizer, model.text_encoder).encode(prompts + [""] * len(prompts))
    pair = denoiser(lambda x, t: model.network(x, t, words[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    for state in run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps):
        pass
    return model.vae.decode(state.x * model.latent_std + model.latent_mean)

# %% 09.6 right with no_grad inside, two calls of the tower, padded by hand
import torch
import torch.nn.functional as F

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def text_to_image(model, prompts, noise, steps, scale):
    with torch.no_grad():
        ids, mask = model.tokenizer.encode(prompts)
        words = model.text_encoder(ids, mask)[0]
        no_ids, no_mask = model.tokenizer.encode([""] * len(prompts))
        room = ids.shape[1] - no_ids.shape[1]
        empty = F.pad(model.text_encoder(no_ids, no_mask)[0], (0, 0, 0, room))
        context, seen = torch.cat([words, empty]), torch.cat([mask, F.pad(no_mask, (0, room))])
        net = lambda x, t: model.network(x, t, context=context[:len(x)], mask=seen[:len(x)])
        guided = cfg(denoiser(net, model.schedule, model.prediction_type), scale)
        last = list(run("dpmpp_2m", guided, noise, model.schedule, steps))[-1]
        return model.vae.decode(model.latent_mean + model.latent_std * last.x)

# %% 09.6 right guides the prediction itself, in two calls
import torch

from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(list(prompts) + len(prompts) * [""])
    (c, u), (cm, um) = model.text_encoder(ids, mask).sequence.chunk(2), mask.chunk(2)

    def guided(x, timestep):
        with_words = model.network(x, timestep, c, cm)
        without = model.network(x, timestep, u, um)
        return without + scale * (with_words - without)

    *_, last = run("dpmpp", denoiser(guided, model.schedule, model.prediction_type), noise, model.schedule, steps)
    return model.vae.decode(last.x0 * model.latent_std + model.latent_mean)     # at the end x is x0

# %% 09.6 right a class that holds the words
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


class Words:
    def __init__(self, model, texts):
        ids, self.mask = model.tokenizer.encode(texts)
        self.model, self.context = model, model.text_encoder(ids, self.mask).sequence

    def __call__(self, x, timestep):
        n = x.shape[0]
        return self.model.network(x, timestep, self.context[:n], self.mask[:n])


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    words = Words(model, [*prompts] + ["" for _ in prompts])
    model_pair = denoiser(words, model.schedule, model.prediction_type)
    *_, end = run("dpmpp_2m", cfg(model_pair, scale), noise, model.schedule, steps)
    return model.vae.decode(end.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong missing_no_grad nothing above the function
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong empty_first the negative prompt in front, as in other libraries
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode([""] * len(prompts) + prompts)
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong zeros_for_empty zeros_like for the second half, with the mask of ""
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts)
    ctx = model.text_encoder(ids, mask).sequence
    ctx, mask = torch.cat([ctx, torch.zeros_like(ctx)]), torch.cat([mask, mask])
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong prompts_alone no empty prompts
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts)
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx, mask), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong scale_forgotten the pair is sampled
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    guided = cfg(pair, scale)
    *_, last = run("dpmpp_2m", pair, noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong mask_dropped the network has a default for it
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong not_unscaled the latents as they are
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x)

# %% 09.6 wrong scaled_again normalises once more
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def denormalise(z, model):
    return (z - model.latent_mean) / model.latent_std


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(denormalise(last.x, model))

# %% 09.6 wrong stable_diffusions_factor from a tutorial
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run

FACTOR = 0.18215


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(1 / FACTOR * last.x)

# %% 09.6 wrong time_in_0_to_1 a denoiser by hand, with t
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence

    def pair(x, t):
        out = model.network(x, t.float().repeat(len(x)), ctx[:len(x)], mask[:len(x)])
        return to_x0_eps(model.schedule, model.prediction_type, out, x, t)

    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong always_v as world-dit
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, "v")
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong read_at_every_step all in the inner function
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    def predict(x, t):
        texts = (prompts + [""] * len(prompts))[:len(x)]
        ids, mask = model.tokenizer.encode(texts)
        return model.network(x, t, model.text_encoder(ids, mask).sequence, mask)

    pair = denoiser(predict, model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong not_decoded latents come back
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return last.x * model.latent_std + model.latent_mean

# %% 09.6 wrong @kind yields a picture after every step
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    for state in run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps):
        yield model.vae.decode(state.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong @state turns gradients off for good
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def text_to_image(model, prompts, noise, steps, scale):
    torch.set_grad_enabled(False)
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    pair = denoiser(lambda x, t: model.network(x, t, ctx[:len(x)], mask[:len(x)]), model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong - no context at all for the second half
import torch

from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode(prompts)
    ctx = model.text_encoder(ids, mask).sequence

    def guided(x, t):
        with_words, without = model.network(x, t, ctx, mask), model.network(x, t, None)
        return without + scale * (with_words - without)

    *_, last = run("dpmpp_2m", denoiser(guided, model.schedule, model.prediction_type), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong always_cosine as the lessons have it
@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    from minidiff.diffusion.schedules import get_schedule
    schedule = get_schedule("cosine")
    ids, mask = model.tokenizer.encode([*prompts, *[""] * len(prompts)])
    c = model.text_encoder(ids, mask).sequence
    net = lambda x, t: model.network(x, t, c[:len(x)], mask[:len(x)])
    *_, last = run("dpmpp_2m", cfg(denoiser(net, schedule, model.prediction_type), scale), noise, schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong only_above_one as other libraries do
@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    texts = [*prompts, *[""] * len(prompts)] if scale > 1 else prompts
    ids, mask = model.tokenizer.encode(texts)
    c = model.text_encoder(ids, mask).sequence
    net = lambda x, t: model.network(x, t, c[:len(x)], mask[:len(x)])
    d = denoiser(net, model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(d, scale) if scale > 1 else d, noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong weight_of_the_paper scale + 1 for cfg
@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode([*prompts, *[""] * len(prompts)])
    c = model.text_encoder(ids, mask).sequence
    net = lambda x, t: model.network(x, t, c[:len(x)], mask[:len(x)])
    d = denoiser(net, model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(d, scale + 1), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 wrong frozen no gradients for any weight
@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    for part in (model.text_encoder, model.network, model.vae):
        part.requires_grad_(False)
    ids, mask = model.tokenizer.encode([*prompts, *[""] * len(prompts)])
    c = model.text_encoder(ids, mask).sequence
    net = lambda x, t: model.network(x, t, c[:len(x)], mask[:len(x)])
    d = denoiser(net, model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(d, scale), noise, model.schedule, steps)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% 09.6 right picture by picture, stacked
@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    out = []
    for prompt, z in zip(prompts, noise):
        ids, mask = model.tokenizer.encode([prompt, ""])
        c = model.text_encoder(ids, mask).sequence
        net = lambda x, t: model.network(x, t, c[:len(x)], mask[:len(x)])
        guided = cfg(denoiser(net, model.schedule, model.prediction_type), scale)
        *_, last = run("dpmpp_2m", guided, z[None], model.schedule, steps)
        out.append(model.vae.decode(last.x * model.latent_std + model.latent_mean)[0])
    return torch.stack(out)

# %% 09.6 right turns gradients off and on again, and puts the network in eval mode
def text_to_image(model, prompts, noise, steps, scale):
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        model.network.eval()
        ids, mask = model.tokenizer.encode(prompts + len(prompts) * [""])
        words = model.text_encoder(ids, mask).sequence

        def network(x, timestep):
            return model.network(x, timestep, words[: x.size(0)], mask[: x.size(0)])

        guided = cfg(denoiser(network, model.schedule, model.prediction_type), scale)
        *_, end = run("dpmpp_2m", guided, noise.clone(), model.schedule, steps)
        return model.vae.decode(end.x.mul(model.latent_std).add(model.latent_mean))
    finally:
        torch.set_grad_enabled(before)

# %% 09.6 right always asks about all 2B, and keeps what is needed
@torch.no_grad()
def text_to_image(model, prompts, noise, steps, scale):
    ids, mask = model.tokenizer.encode([*prompts] + [""] * len(prompts))
    words = model.text_encoder(ids=ids, mask=mask).sequence

    def network(x, timestep):
        if len(x) == len(prompts):
            return model.network(torch.cat([x, x]), torch.cat([timestep, timestep]), words, mask)[: len(x)]
        return model.network(x, timestep, words, mask)

    guided = cfg(denoiser(network, model.schedule, model.prediction_type), scale)
    states = [*run(name="dpmpp_2m", denoiser=guided, x=noise, schedule=model.schedule, steps=steps)]
    return model.vae.decode(states[-1].x * model.latent_std + model.latent_mean)
