"""Answers to lesson 07 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 07.1 right unflatten
def split_heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)

# %% 07.1 right pieces of the width, stacked
import torch


def split_heads(x, heads):
    pieces = x.chunk(heads, dim=-1)            # heads tensors (B, L, d)
    return torch.stack(pieces, dim=1)

# %% 07.1 right einops with names
from einops import rearrange

split_heads = lambda x, heads: rearrange(x, "batch tokens (h d) -> batch h tokens d", h=heads)

# %% 07.1 right reshape and permute, with a print left in
def split_heads(x: "Tensor", heads: int):
    """(B, L, D) -> (B, H, L, D/H)"""
    b, l, dim = x.size()
    assert dim % heads == 0, "width must be divisible"
    d = dim // heads
    out = x.reshape(b, l, heads, d).permute(0, 2, 1, 3)
    print("heads:", out.shape)
    return out

# %% 07.1 right a table that is filled head by head
import torch


def split_heads(x, heads):
    B, L, width = x.shape
    d = width // heads
    out = torch.empty(B, heads, L, d, dtype=x.dtype)
    for h in range(heads):
        out[:, h] = x[:, :, h * d : (h + 1) * d]
    return out

# %% 07.1 right numpy
import numpy as np
import torch


def split_heads(x, heads):
    a = x.numpy()
    a = a.reshape(a.shape[0], a.shape[1], heads, -1)
    return torch.from_numpy(np.ascontiguousarray(a.swapaxes(1, 2)))

# %% 07.1 wrong no_transpose only the cut
def split_heads(x, heads):
    return x.unflatten(-1, (heads, -1))

# %% 07.1 wrong no_transpose the result of transpose is thrown away
def split_heads(x, heads):
    B, L, width = x.shape
    x = x.view(B, L, heads, width // heads)
    x.transpose(1, 2)
    return x

# %% 07.1 wrong scrambled reshape straight to the shape
def split_heads(x, heads):
    b, n, w = x.shape
    return x.reshape(b, heads, n, w // heads)

# %% 07.1 wrong scrambled contiguous to please view
def split_heads(x, heads):
    B, L, width = x.shape
    return x.contiguous().view(B, heads, -1, width // heads)

# %% 07.1 wrong scrambled_view view straight to the shape
def split_heads(x, heads):
    batch, length, dim = x.shape
    head_dim = dim // heads
    x = x.view(batch, heads, length, head_dim)
    return x

# %% 07.1 wrong every_nth slices with a stride
import torch


def split_heads(x, heads):
    return torch.stack([x[..., h::heads] for h in range(heads)], dim=1)

# %% 07.1 wrong every_nth the letters of einops turned round
from einops import rearrange


def split_heads(x, heads):
    return rearrange(x, "b l (d h) -> b h l d", h=heads)

# %% 07.1 wrong heads_as_width heads for the last dimension
def split_heads(x, heads):
    b, l, w = x.shape
    return x.reshape(b, l, -1, heads).permute(0, 2, 1, 3)

# %% 07.1 wrong heads_as_width split() wants a width, not a number of pieces
import torch


def split_heads(x, heads):
    return torch.stack(x.split(heads, dim=-1), dim=1)

# %% 07.1 wrong keys_turned ready for the product
def split_heads(x, heads):
    B, L, width = x.shape
    return x.view(B, L, heads, width // heads).permute(0, 2, 3, 1)

# %% 07.1 wrong wrong_pair the last dimension for the heads
def split_heads(x, heads):
    B, L, width = x.shape
    return x.view(B, L, heads, width // heads).swapaxes(1, -1)

# %% 07.1 wrong heads_before_sentences stack without dim
import torch


def split_heads(x, heads):
    return torch.stack(torch.chunk(x, heads, dim=2))

# %% 07.1 wrong folded as in older code
def split_heads(x, heads):
    b, l, w = x.shape
    x = x.reshape(b, l, heads, w // heads).permute(0, 2, 1, 3)
    return x.reshape(b * heads, l, w // heads)

# %% 07.1 wrong pieces_in_a_list chunks as they come
def split_heads(x, heads):
    return list(x.chunk(heads, dim=-1))

# %% 07.1 wrong - squeezes for B 1
def split_heads(x, heads):
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2).squeeze(0)

# %% 07.1 wrong - hands back a numpy array
def split_heads(x, heads):
    B, L, width = x.shape
    return x.numpy().reshape(B, L, heads, -1).transpose(0, 2, 1, 3)
# %% 07.2 right reshape
def merge_heads(x):
    B, heads, L, d = x.shape
    return x.transpose(1, 2).reshape(B, L, heads * d)

# %% 07.2 right contiguous, then view
def merge_heads(x):
    b, h, l, d = x.size()
    x = x.permute(0, 2, 1, 3).contiguous()
    return x.view(b, l, -1)

# %% 07.2 right heads side by side
import torch


def merge_heads(x):
    return torch.cat([x[:, h] for h in range(x.shape[1])], dim=-1)

# %% 07.2 right unbind
from torch import Tensor, cat


def merge_heads(x: Tensor) -> Tensor:
    return cat(x.unbind(1), -1)

# %% 07.2 right einops
import einops


def merge_heads(x):
    return einops.rearrange(x, "b h l d -> b l (h d)")

# %% 07.2 wrong scrambled reshape alone
def merge_heads(x):
    B, heads, L, d = x.shape
    return x.reshape(B, L, heads * d)

# %% 07.2 wrong scrambled contiguous in the wrong place
def merge_heads(x):
    b, h, l, d = x.shape
    return x.contiguous().view(b, l, h * d)

# %% 07.2 wrong scrambled_view view alone
def merge_heads(x):
    b, h, l, d = x.shape
    return x.view(b, l, h * d)

# %% 07.2 wrong view_refuses transpose, then view
def merge_heads(x):
    batch, heads, length, head_dim = x.shape
    return x.transpose(1, 2).view(batch, length, heads * head_dim)

# %% 07.2 wrong view_refuses permute, then view
def merge_heads(x):
    x = x.permute(0, 2, 1, 3)
    return x.view(x.size(0), x.size(1), -1)

# %% 07.2 wrong not_flattened half of the way
def merge_heads(x):
    return x.swapaxes(1, 2).contiguous()

# %% 07.2 wrong interleaved numbers before heads
import torch


def merge_heads(x):
    return torch.stack(x.unbind(1), dim=-1).flatten(2)

# %% 07.2 wrong interleaved the letters of einops turned round
from einops import rearrange


def merge_heads(x):
    return rearrange(x, "b h l d -> b l (d h)")

# %% 07.2 wrong heads_for_tokens flattens the heads into the sentence
import torch


def merge_heads(x):
    return torch.cat(x.unbind(1), dim=1)

# %% 07.2 wrong heads_first flatten from 2 on without the transpose
def merge_heads(x):
    return x.flatten(start_dim=2)

# %% 07.2 wrong tokens_for_heads flattens one too early
def merge_heads(x):
    b, h, l, d = x.shape
    return x.transpose(1, 2).reshape(b, -1, d)

# %% 07.2 wrong averaged mean over the heads
def merge_heads(x):
    return x.mean(dim=1)

# %% 07.2 wrong added_up sum over the heads
import torch


def merge_heads(x):
    return torch.einsum("bhld->bld", x)

# %% 07.2 wrong @crash undoes a fold that was never made
def merge_heads(x, heads=8):
    b, l, d = x.shape
    return x.view(b // heads, heads, l, d).permute(0, 2, 1, 3).reshape(b // heads, l, heads * d)
# %% 07.3 right PyTorch's own attention
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = self.to_q(x), self.to_k(context), self.to_v(context)
        q, k, v = [split_heads(t, self.heads) for t in (q, k, v)]
        if mask is not None:
            mask = mask[:, None, None, :]
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))

# %% 07.3 right einsum, and a large negative number
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super(CrossAttention, self).__init__()
        self.h, self.scale = heads, head_dim ** -0.5
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim, bias=True)

    def forward(self, x, context, mask=None):
        q = self.to_q(x).unflatten(-1, (self.h, -1))         # b n h d
        k = self.to_k(context).unflatten(-1, (self.h, -1))   # b l h d
        v = self.to_v(context).unflatten(-1, (self.h, -1))
        sim = torch.einsum("bnhd,blhd->bhnl", q, k) * self.scale
        if mask is not None:
            sim = sim.masked_fill(~mask.unsqueeze(1).unsqueeze(2), -1e9)
        out = torch.einsum("bhnl,blhd->bnhd", sim.softmax(-1), v)
        return self.to_out(out.flatten(2))

# %% 07.3 right a loop over the heads
import math
import torch
from torch import nn


class CrossAttention(nn.Module):
    """One head after the other."""

    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        for name, width in {"to_q": query_dim, "to_k": context_dim, "to_v": context_dim}.items():
            self.add_module(name, nn.Linear(width, heads * head_dim, bias=False))
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = self.to_q(x), self.to_k(context), self.to_v(context)
        results = []
        for h in range(self.heads):
            part = slice(h * self.head_dim, (h + 1) * self.head_dim)
            scores = q[..., part] @ k[..., part].mT / math.sqrt(self.head_dim)
            if mask is not None:
                scores = torch.where(mask[:, None, :], scores, -torch.inf)
            results.append(torch.softmax(scores, dim=2) @ v[..., part])
        return self.to_out(torch.cat(results, dim=2))

# %% 07.3 right a bias that is added, made by a helper; softmax in float32
import torch
from torch import nn

HIDDEN = torch.finfo(torch.float32).min


def bias_of(mask, like):
    return torch.zeros(mask.shape, dtype=like.dtype).masked_fill(~mask, HIDDEN)[:, None, None, :]


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        inner = head_dim * heads
        self.num_heads = heads
        self.to_out = nn.Linear(inner, query_dim)
        self.to_v = nn.Linear(context_dim, inner, False)
        self.to_k = nn.Linear(context_dim, inner, False)
        self.to_q = nn.Linear(query_dim, inner, False)
        self.dropout = nn.Dropout(0.0)

    def forward(self, hidden_states, encoder_hidden_states, attention_mask=None):
        q = split_heads(self.to_q(hidden_states), self.num_heads)
        k = split_heads(self.to_k(encoder_hidden_states), self.num_heads)
        v = split_heads(self.to_v(encoder_hidden_states), self.num_heads)
        logits = q / q.size(-1) ** 0.5 @ k.transpose(2, 3)
        if attention_mask is not None:
            logits = logits + bias_of(attention_mask, logits)
        weights = logits.float().softmax(-1).to(v.dtype)
        return self.to_out(merge_heads(self.dropout(weights) @ v))

# %% 07.3 right forward is added in a later cell
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k, self.to_v = (nn.Linear(context_dim, heads * head_dim, bias=False) for _ in range(2))
        self.to_out = nn.Linear(heads * head_dim, query_dim)


def attend(self, x, context, mask=None):
    q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
    weights = torch.exp(q @ k.mT / q.shape[-1] ** 0.5)
    if mask is not None:
        weights = weights * mask[:, None, None]
    weights = weights / weights.sum(-1, keepdim=True)
    return self.to_out(merge_heads(weights @ v))


CrossAttention.forward = attend

# %% 07.3 right built on a class of its own, and baddbmm
import torch
from torch import nn


class Layers(nn.Module):
    def __init__(self, query_dim, context_dim, inner):
        super().__init__()
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)


class CrossAttention(Layers):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__(query_dim, context_dim, heads * head_dim)
        self.heads, self.d = heads, head_dim

    def forward(self, x, context, mask=None):
        B, N, L, h = x.size(0), x.size(1), context.size(1), self.heads
        fold = lambda t: split_heads(t, h).flatten(0, 1)                    # (B h, ., d)
        q, k, v = fold(self.to_q(x)), fold(self.to_k(context)), fold(self.to_v(context))
        bias = torch.zeros(B * h, 1, L, dtype=q.dtype)
        if mask is not None:
            bias[~mask.repeat_interleave(h, dim=0)[:, None]] = float("-inf")
        w = torch.baddbmm(bias.expand(-1, N, -1), q, k.transpose(1, 2), alpha=self.d ** -0.5).softmax(-1)
        return self.to_out(merge_heads(torch.bmm(w, v).unflatten(0, (B, h))))

# %% 07.3 wrong no_super forgets the line that every module begins with
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        return self.to_out(self.to_q(x))

# %% 07.3 wrong other_names q, k, v and out
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, dim = heads, heads * head_dim
        self.q = nn.Linear(query_dim, dim, bias=False)
        self.k = nn.Linear(context_dim, dim, bias=False)
        self.v = nn.Linear(context_dim, dim, bias=False)
        self.out = nn.Linear(dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.q(x), self.k(context), self.v(context)))
        allowed = None if mask is None else mask[:, None, None]
        return self.out(merge_heads(F.scaled_dot_product_attention(q, k, v, allowed)))

# %% 07.3 wrong other_names to_out in a list, as diffusers has it
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, dim = heads, heads * head_dim
        self.to_q = nn.Linear(query_dim, dim, bias=False)
        self.to_k = nn.Linear(context_dim, dim, bias=False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(dim, query_dim), nn.Dropout(0.0)])

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        x = merge_heads(F.scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None, None]))
        for layer in self.to_out:
            x = layer(x)
        return x

# %% 07.3 wrong kv_from_image copied the line of the queries
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, dim = heads, heads * head_dim
        self.to_q = nn.Linear(query_dim, dim, bias=False)
        self.to_k = nn.Linear(context_dim, dim, bias=False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.Linear(dim, query_dim)

    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(x), self.heads)
        v = split_heads(self.to_v(x), self.heads)
        allowed = None if mask is None else mask[:, None, None]
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v, allowed)))

# %% 07.3 wrong kv_of_query_width three layers in one loop, all of query_dim
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        for name in ("to_q", "to_k", "to_v"):
            setattr(self, name, nn.Linear(query_dim, heads * head_dim, bias=False))
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, None] == 0, float("-inf"))
        return self.to_out(merge_heads(torch.softmax(scores, -1) @ v))

# %% 07.3 wrong mask_inverted masked_fill where the mask is True, with a finite number
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, None], -1e9)
        return self.to_out(merge_heads(torch.softmax(scores, -1) @ v))

# %% 07.3 wrong mask_inverted turns it round, as nn.MultiheadAttention would want it
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        padding = None if mask is None else ~mask[:, None, None]
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=padding)))

# %% 07.3 wrong mask_ignored an argument that nothing uses
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v)))

# %% 07.3 wrong mask_added the mask as floats of 0 and 1
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        if mask is not None:
            mask = mask.to(q.dtype)[:, None, None, :]
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))

# %% 07.3 wrong zero_before_softmax multiplies the logits
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        scores = q @ k.mT * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores * mask[:, None, None, :]
        return self.to_out(merge_heads(scores.softmax(dim=3) @ v))

# %% 07.3 wrong masked_after_softmax hides the values in place of the logits
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        if mask is not None:
            v = v * mask[:, None, :, None]
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong mask_without_heads hands the mask over as it is
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))

# %% 07.3 wrong scale_of_all_heads the width of the layer
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.scale = inner ** -0.5
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        scores = self.scale * q @ k.mT
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
        return self.to_out(merge_heads(scores.softmax(-1) @ v))

# %% 07.3 wrong no_scale plain dot products
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        scores = torch.einsum("bhnd,bhld->bhnl", q, k)
        if mask is not None:
            scores[~mask[:, None, None].expand_as(scores)] = -1e4
        return self.to_out(merge_heads(torch.softmax(scores, -1) @ v))

# %% 07.3 wrong softmax_over_heads dim=1, as if there were no heads
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
        return self.to_out(merge_heads(self.softmax(scores) @ v))

# %% 07.3 wrong biased Linear as it comes
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.to_q, self.to_k = nn.Linear(query_dim, inner), nn.Linear(context_dim, inner)
        self.to_v, self.to_out = nn.Linear(context_dim, inner), nn.Linear(inner, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        allowed = None if mask is None else mask[:, None, None]
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v, allowed)))

# %% 07.3 wrong view_twice reshapes of its own
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.d = heads, head_dim
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)

    def forward(self, x, context, mask=None):
        B = x.shape[0]
        q = self.to_q(x).reshape(B, self.heads, -1, self.d)
        k, v = (f(context).reshape(B, self.heads, -1, self.d) for f in (self.to_k, self.to_v))
        scores = q @ k.mT / self.d ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.view(B, 1, 1, -1), float("-inf"))
        return self.to_out((scores.softmax(-1) @ v).reshape(B, -1, self.heads * self.d))

# %% 07.3 wrong one_head never splits
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = self.to_q(x), self.to_k(context), self.to_v(context)
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], float("-inf"))
        return self.to_out(scores.softmax(-1) @ v)

# %% 07.3 wrong - weights without gradients
import torch
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    @torch.no_grad()
    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        allowed = None if mask is None else mask[:, None, None]
        return self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v, allowed)))

# %% 07.3 wrong @input turns the caller's mask round in place
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask.logical_not_()[:, None, None], float("-inf"))
        return self.to_out(merge_heads(scores.softmax(-1) @ v))

# %% 07.3 wrong @kind forward yields
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, inner = heads, heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    def forward(self, x, context, mask=None):
        q, k, v = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        yield self.to_out(merge_heads(scores.softmax(-1) @ v))

# %% 07.3 wrong @crash a function, not a class
def CrossAttention(x, context, mask=None):
    weights = (x @ context.transpose(1, 2) / x.shape[-1] ** 0.5).softmax(-1)
    return weights @ context

# %% 07.3 right one sentence at a time, padding cut off
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        width = heads * head_dim
        self.to_q = nn.Linear(query_dim, width, bias=False)
        self.to_k = nn.Linear(context_dim, width, bias=False)
        self.to_v = nn.Linear(context_dim, width, bias=False)
        self.to_out = nn.Linear(width, query_dim)
    def one(self, q, c):
        q = self.to_q(q).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        k = self.to_k(c).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        v = self.to_v(c).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        w = torch.softmax(q @ k.transpose(1, 2) / self.head_dim ** .5, -1)
        return (w @ v).transpose(0, 1).flatten(1)
    def forward(self, x, context, mask=None):
        rows = [self.one(a, c if mask is None else c[mask[i]]) for i, (a, c) in enumerate(zip(x, context))]
        return self.to_out(torch.stack(rows))

# %% 07.3 right folded batch, softmax by hand, renormalised
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        nn.Module.__init__(self)
        self.heads = heads
        mk = lambda i: nn.Linear(i, heads * head_dim, bias=False)
        self.to_q, self.to_k, self.to_v = mk(query_dim), mk(context_dim), mk(context_dim)
        self.to_out = nn.Linear(heads * head_dim, query_dim)
    def forward(self, x, context, mask=None):
        q, k, v = [split_heads(y, self.heads).flatten(0, 1) for y in (self.to_q(x), self.to_k(context), self.to_v(context))]
        e = (q @ k.transpose(1, 2) * q.size(-1) ** -0.5)
        e = torch.exp(e - e.amax(-1, keepdim=True))
        if mask is not None:
            e = e * mask.repeat_interleave(self.heads, 0)[:, None]
        w = e / e.sum(-1, keepdim=True)
        y = (w @ v).unflatten(0, (-1, self.heads))
        return self.to_out(merge_heads(y))

# %% 07.3 right log of the mask and F.linear
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, query_dim)
    def forward(self, x, context, mask=None):
        if mask is None:
            mask = torch.ones(context.shape[:2], dtype=torch.bool, device=x.device)
        q = split_heads(F.linear(x, self.to_q.weight), self.heads)
        k = split_heads(F.linear(context, self.to_k.weight), self.heads)
        v = split_heads(F.linear(context, self.to_v.weight), self.heads)
        bias = mask.to(q.dtype).log()[:, None, None]
        att = ((q / q.shape[-1] ** 0.5) @ k.transpose(2, 3) + bias).softmax(-1)
        return F.linear(merge_heads(att @ v), self.to_out.weight, self.to_out.bias)

# %% 07.3 wrong heads_and_width_swapped splits into head_dim heads
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        #init
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.head_dim)
        k = split_heads(self.to_k(context), self.head_dim)
        v = split_heads(self.to_v(context), self.head_dim)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], float("-inf"))
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong words_remembered caches keys and values of the first context
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        self.cache = None
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        if self.cache is None:
            self.cache = self.to_k(context), self.to_v(context)
        k = split_heads(self.cache[0], self.heads)
        v = split_heads(self.cache[1], self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], float("-inf"))
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong - remembers the mask
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        self.mask = None
    def forward(self, x, context, mask=None):
        self.mask = mask if mask is not None else self.mask
        mask = self.mask
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], float("-inf"))
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong no_gradients no_grad on forward
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        #init
    @torch.no_grad()
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], float("-inf"))
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 right fills -1e4
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        #init
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], -1e4)
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong finite_mask adds -100
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        #init
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits - 100.0 * (~mask[:, None, None, :])
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong other_names buffer for the scale
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        self.register_buffer('scale', torch.tensor(head_dim ** -0.5))
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], float("-inf"))
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong - mask on the query axis
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        #init
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, :, None], float("-inf"))
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong masked_after_softmax zeroes context padding
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        #init
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            v = v * mask[:, None, :, None]
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong divided_by_d scaled twice
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        #init
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads) / self.head_dim ** 0.5
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], float("-inf"))
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))

# %% 07.3 wrong - first mask for all
import math
class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, query_dim)
        #init
    def forward(self, x, context, mask=None):
        q = split_heads(self.to_q(x), self.heads)
        k = split_heads(self.to_k(context), self.heads)
        v = split_heads(self.to_v(context), self.heads)
        logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            logits = logits.masked_fill(~mask[:1, None, None, :], float("-inf"))
        weights = logits.softmax(-1)
        return self.to_out(merge_heads(weights @ v))
# %% 07.4 right as short as the library
def text_block(block, x, context, mask):
    x = x + block.attn1(block.norm1(x), block.norm1(x))
    x = x + block.attn2(block.norm2(x), context, mask)
    return x + block.ff(block.norm3(x))

# %% 07.4 right every step with a name, the mask as a keyword
def text_block(block, x, context, mask):
    normed = block.norm1(x)
    after_self = x + block.attn1(normed, normed, None)
    queries = block.norm2(after_self)
    told = block.attn2(queries, context, mask=mask)
    after_cross = after_self.add(told)
    return block.ff(block.norm3(after_cross)) + after_cross

# %% 07.4 right a helper that adds
def plus(x, norm, branch):
    return x + branch(norm(x))


def text_block(block, x, context, mask):
    x = plus(x, block.norm1, lambda h: block.attn1(h, h))
    x = plus(x, block.norm2, lambda h: block.attn2(h, context, mask))
    return plus(x, block.norm3, block.ff)

# %% 07.4 right in place, on a copy of its own
def text_block(block, x, context, mask):
    out = x.clone()
    h = block.norm1(out)
    out += block.attn1(h, h)
    out += block.attn2(block.norm2(out), context, ~~mask)
    out += block.ff(block.norm3(out))
    return out

# %% 07.4 wrong as_given only the unused mask is mended
def text_block(block, x, context, mask):
    seen = mask
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    told = block.attn1(h, h)
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong image_again adds what is still the image's
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    told = block.attn1(h, h)
    x = x + told
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong kv_from_image the right layer, called as the other
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    x = x + block.attn2(h, h, None)
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong kv_from_image_masked the mask of a sentence that isn't there
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    told = block.attn2(h, h, mask)
    return (x + told) + block.ff(block.norm3(x + told))

# %% 07.4 wrong mask_inverted trusts the first line
def text_block(block, x, context, mask):
    seen = ~mask
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    told = block.attn2(h, context, seen)
    x = x + told
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong mask_inverted logical_not
import torch


def text_block(block, x, context, mask):
    x = x + block.attn1(block.norm1(x), block.norm1(x))
    x = x + block.attn2(block.norm2(x), context, torch.logical_not(mask))
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong lost a sum that is given no name
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    told = block.attn2(h, context, mask)
    x + told
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong lost_and_inverted one of three
def text_block(block, x, context, mask):
    seen = ~mask
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    told = block.attn2(h, context, seen)
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong no_mask does without
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    x = x + block.attn2(h, context)
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong replaces_x assigns in place of adding
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    x = block.attn2(block.norm2(x), context, mask)
    x = x + block.ff(block.norm3(x))
    return x

# %% 07.4 wrong added_to_the_norm h goes on
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    h = h + block.attn2(h, context, mask)
    return h + block.ff(block.norm3(h))

# %% 07.4 wrong not_normalised norm2 is never used
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    x = x + block.attn2(x, context, mask)
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong told_to_the_last added in the last line
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    told = block.attn2(block.norm2(x), context, mask)
    return x + block.ff(block.norm3(x)) + told

# %% 07.4 wrong @input adds to the caller's x
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x += block.attn1(h, h)
    x += block.attn2(block.norm2(x), context, mask)
    x += block.ff(block.norm3(x))
    return x

# %% 07.4 wrong - the old h for the queries
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    x = x + block.attn2(h, context, mask)
    return x + block.ff(block.norm3(x))

# %% 07.4 right helper with lambdas
def text_block(block, x, context, mask):
    def add(x, norm, part):
        return x + part(norm(x))
    for norm, part in [(block.norm1, lambda h: block.attn1(h, h)),
                       (block.norm2, lambda h: block.attn2(h, context, mask)), (block.norm3, block.ff)]:
        x = add(x, norm, part)
    return x

# %% 07.4 right ~~mask and clone
def text_block(block, x, context, mask):
    seen = ~mask
    y = x.clone()
    h = block.norm1(y)
    y += block.attn1(h, h)
    y += block.attn2(block.norm2(y), context, ~seen)
    y += block.ff(block.norm3(y))
    return y

# %% 07.4 wrong mask_for_both mask for self-attention too
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h, mask)
    h = block.norm2(x)
    x = x + block.attn2(h, context, mask)
    return x + block.ff(block.norm3(x))

# %% 07.4 wrong told_twice told twice
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    told = block.attn2(h, context, mask)
    x = x + told + told
    return x + 0 * h + block.ff(block.norm3(x))

# %% 07.4 wrong sentence_to_attn1 hands the sentence to the first attention twice
def text_block(block, x, context, mask):
    h = block.norm1(x)
    x = x + block.attn1(h, h)
    h = block.norm2(x)
    told = block.attn1(h, context, mask)
    x = x + told
    return x + block.ff(block.norm3(x))
# %% 07.5 right the library's samplers and guidance
import torch
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


@torch.inference_mode()
def sample_from_text(model, prompts, noises, scale):
    ids, mask = model.tokenizer.encode(prompts + [""] * len(prompts))
    ctx = model.text_encoder(ids, mask).sequence
    net = lambda x, ts: model.network(x, ts, ctx[:len(x)], mask[:len(x)])
    guided = cfg(denoiser(net, model.schedule, model.prediction_type), scale)
    for state in run("ddpm", guided, noises[0], model.schedule, len(noises), noise=lambda i: noises[i + 1]):
        x = state.x
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 right DDPM by hand, from alpha_bar
import torch


def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    with torch.no_grad():
        ids, mask = model.tokenizer.encode(list(prompts) + [""] * B)
        context = model.text_encoder(ids, mask).sequence
        grid = torch.linspace(1, 0, n + 1, dtype=torch.float64)
        bars = model.schedule.alpha(grid) ** 2
        x = noises[0]
        for k in range(n):
            ts = model.schedule.timestep(grid[k]).expand(2 * B)
            c, u = model.network(x.repeat(2, 1, 1, 1), ts, context, mask).chunk(2)
            x0, _ = to_x0_eps(model.schedule, model.prediction_type, u + scale * (c - u), x, grid[k])
            a_t, a_s = bars[k], bars[k + 1]
            ratio = a_t / a_s
            mean = a_s.sqrt() * (1 - ratio) / (1 - a_t) * x0 + ratio.sqrt() * (1 - a_s) / (1 - a_t) * x
            x = mean
            if k < n - 1:
                x = mean + ((1 - a_s) / (1 - a_t) * (1 - ratio)).sqrt() * noises[k + 1]
        return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 right encodes apart and pads; decodes one by one
import torch
import torch.nn.functional as F


def embed(model, texts, length=0):
    ids, mask = model.tokenizer.encode(texts)
    extra = max(0, length - ids.shape[1])
    ids, mask = F.pad(ids, (0, extra)), F.pad(mask, (0, extra))
    return model.text_encoder(ids, mask).sequence, mask


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    cond, cmask = embed(model, prompts)
    empty, emask = embed(model, [""] * len(prompts), cond.shape[1])
    context, mask = torch.cat([empty, cond]), torch.cat([emask, cmask])    # the empty ones first
    x, n = noises[0], noises.shape[0]
    for i in range(n, 0, -1):
        t, s = torch.tensor(i / n, dtype=torch.float64), torch.tensor((i - 1) / n, dtype=torch.float64)
        pred = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask)
        uncond, cond_pred = pred.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(cond_pred, uncond, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, eta=1, noise=noises[(n - i + 1) % n])
    return torch.cat([model.vae.decode((one * model.latent_std + model.latent_mean)) for one in x.split(1)])

# %% 07.5 right zip, and one row each at scale 1
from itertools import pairwise

import torch


def sample_from_text(model, prompts, noises, scale):
    count, rows = len(noises), len(prompts) * (1 if scale == 1 else 2)
    with torch.inference_mode():
        ids, mask = model.tokenizer.encode([*prompts, *[""] * (rows - len(prompts))])
        words = model.text_encoder(ids, mask).sequence
        times = torch.linspace(1, 0, count + 1, dtype=torch.float64)
        x = noises[0].clone()
        for (t, s), fresh in zip(pairwise(times), [*noises[1:], None], strict=True):
            batch = x if scale == 1 else torch.cat([x, x])
            out = model.network(batch, torch.full((rows,), model.schedule.timestep(t).item()), words, mask)
            if scale != 1:
                yes, no = out.chunk(2)
                out = torch.lerp(no, yes, scale)
            x0, eps = to_x0_eps(model.schedule, model.prediction_type, out, x, t)
            x = step(model.schedule, x0, eps, t, s, 1.0, fresh)
        return model.vae.decode(model.latent_std * x + model.latent_mean)

# %% 07.5 wrong missing_no_grad forgets the decorator
import torch


def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x = noises[0]
    for k in range(n):
        t, s = torch.tensor(1 - k / n, dtype=torch.float64), torch.tensor(1 - (k + 1) / n, dtype=torch.float64)
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong detached clones and detaches what it returns
import torch


def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x = noises[0]
    for k in range(n):
        t, s = torch.tensor(1 - k / n, dtype=torch.float64), torch.tensor(1 - (k + 1) / n, dtype=torch.float64)
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean).clone().detach()

# %% 07.5 wrong only_the_network no_grad round the loop alone
import torch


def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    with torch.no_grad():
        for k, (t, s) in enumerate(zip(times, times[1:])):
            c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
            x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
            x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong @state switches gradients off for good
import torch


def sample_from_text(model, prompts, noises, scale):
    torch.set_grad_enabled(False)
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong @input grows the caller's list
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    prompts += [""] * B
    ids, mask = model.tokenizer.encode(prompts)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong scale_forgotten scale 1 in combine
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, 1.0), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong halves_swapped unconditional first, as in much code
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        noise_uncond, noise_text = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        pred = noise_uncond + scale * (noise_text - noise_uncond)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, pred, x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong papers_scale the paper's formula with scale for w
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        pred = (1 + scale) * c - scale * u
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, pred, x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong network_without_mask the mask stops at the encoder
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong no_mask_at_all takes only the ids
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, _ = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong @crash encodes apart, without padding
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    ids, mask = model.tokenizer.encode(prompts)
    nothing, nothing_mask = model.tokenizer.encode([""] * len(prompts))
    context = model.text_encoder(torch.cat([ids, nothing]), torch.cat([mask, nothing_mask])).sequence
    return model.vae.decode(noises[0] * model.latent_std + model.latent_mean)

# %% 07.5 wrong always_eps v taken for noise
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, "eps", combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong time_from_0_to_1 t as it is
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), t.repeat(2 * B), context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong noise_a_step_late zips times with noises
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for t, s, noise in zip(times, times[1:], noises):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noise)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong ddim leaves eta out
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for t, s in zip(times, times[1:]):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong factors_forgotten decodes x
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x)

# %% 07.5 wrong clamped ready for the screen
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return torch.clip(model.vae.decode(x * model.latent_std + model.latent_mean), -1, 1)

# %% 07.5 wrong called_twice one call for each half
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = [model.network(x, model.schedule.timestep(t)[None], context[h], mask[h]) for h in (slice(B), slice(B, None))]
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong - vectors of zeros, hidden by their own mask
import torch


@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n = len(noises)
    ids, mask = model.tokenizer.encode(prompts)
    context = model.text_encoder(ids, mask).sequence
    context, mask = torch.cat([context, torch.zeros_like(context)]), torch.cat([mask, torch.ones_like(mask)])
    x, times = noises[0], torch.arange(n, -1, -1).double() / n
    for k, (t, s) in enumerate(zip(times, times[1:])):
        c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t)[None], context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, 1.0, noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 right one empty prompt, repeated
def sample_from_text(model, prompts, noises, scale):
    with torch.no_grad():
        B = len(prompts)
        ids, mask = model.tokenizer.encode([*prompts, ""])
        which = list(range(B)) + [B] * B
        context = model.text_encoder(ids, mask).sequence[which]
        mask = mask[which]
        ts = [torch.tensor(1 - i / len(noises), dtype=torch.float64) for i in range(len(noises) + 1)]
        x, *rest = noises
        for t, s, z in zip(ts, ts[1:], [*rest, None]):
            both = model.network(x.repeat(2, 1, 1, 1), model.schedule.timestep(t), context, mask)
            x0, eps = to_x0_eps(model.schedule, model.prediction_type, torch.lerp(both[B:], both[:B], scale), x, t)
            x = step(model.schedule, x0, eps, t, s, 1.0, z)
        return model.vae.decode(model.latent_mean + model.latent_std * x)

# %% 07.5 right own DDPM formula
@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    x = noises[0]
    for k in range(n):
        t, s = times[k], times[k + 1]
        pred = model.network(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask)
        c, u = pred.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        sch = model.schedule
        a_t, s_t, a_s, s_s = sch.alpha(t), sch.sigma(t), sch.alpha(s), sch.sigma(s)
        ratio = (s_s * a_t / (a_s * s_t)) ** 2
        mean = a_s * x0 + s_s * ratio.sqrt() * eps
        x = (mean + s_s * (1 - ratio).sqrt() * noises[k + 1] if k < n - 1 else mean).to(x.dtype)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 right scale 1 skips the empty half
@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    x = noises[0]
    for k in range(n):
        t, s = times[k], times[k + 1]
        if scale == 1:
            c = u = model.network(x, model.schedule.timestep(t).expand(B), context[:B], mask[:B])
        else:
            c, u = model.network(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask).chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong - decode with gradients then detach
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    x = noises[0]
    for k in range(n):
        t, s = times[k], times[k + 1]
        pred = torch.no_grad()(model.network)(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask)
        c, u = pred.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean).detach()

# %% 07.5 wrong encoded_with_gradients text encoder with gradients
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    with torch.no_grad():
      x = noises[0]
      for k in range(n):
          t, s = times[k], times[k + 1]
          pred = model.network(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask)
          c, u = pred.chunk(2)
          x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
          x = step(model.schedule, x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
      return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong timestep_by_hand 1000 * t
@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    x = noises[0]
    for k in range(n):
        t, s = times[k], times[k + 1]
        pred = model.network(torch.cat([x, x]), (1000 * t).expand(2 * B), context, mask)
        c, u = pred.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong - cosine by hand
from minidiff.diffusion.schedules import get_schedule
@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    x = noises[0]
    for k in range(n):
        t, s = times[k], times[k + 1]
        pred = model.network(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask)
        c, u = pred.chunk(2)
        x0, eps = to_x0_eps(get_schedule('cosine'), model.prediction_type, combine(c, u, scale), x, t)
        x = step(get_schedule('cosine'), x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong frozen parameters frozen
def sample_from_text(model, prompts, noises, scale):
    for part in (model.text_encoder, model.network, model.vae):
        part.requires_grad_(False)
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    x = noises[0]
    for k in range(n):
        t, s = times[k], times[k + 1]
        pred = model.network(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask)
        c, u = pred.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong one_time_short linspace of n
@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n, dtype=torch.float64)
    x = noises[0]
    for k in range(n - 1):
        t, s = times[k], times[k + 1]
        pred = model.network(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask)
        c, u = pred.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong - global words
@torch.no_grad()
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    context, mask = words, seen
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    x = noises[0]
    for k in range(n):
        t, s = times[k], times[k + 1]
        pred = model.network(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask)
        c, u = pred.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

# %% 07.5 wrong prompt_by_prompt prompt by prompt
@torch.no_grad()
def one(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    ids, mask = model.tokenizer.encode(prompts + [""] * B)
    context = model.text_encoder(ids, mask).sequence
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    x = noises[0]
    for k in range(n):
        t, s = times[k], times[k + 1]
        pred = model.network(torch.cat([x, x]), model.schedule.timestep(t).expand(2 * B), context, mask)
        c, u = pred.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
        x = step(model.schedule, x0, eps, t, s, eta=1.0, noise=noises[k + 1] if k < n - 1 else None)
    return model.vae.decode(x * model.latent_std + model.latent_mean)

def sample_from_text(model, prompts, noises, scale):
    return torch.cat([one(model, [p], noises[:, i : i + 1], scale) for i, p in enumerate(prompts)])

# %% 07.5 wrong decoded_then_detached only the loop is under no_grad
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    with torch.no_grad():
        ids, mask = model.tokenizer.encode(prompts + [""] * B)
        context = model.text_encoder(ids, mask).sequence
        times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
        x = noises[0]
        for k, (t, s) in enumerate(zip(times, times[1:])):
            c, u = model.network(x.repeat(2, 1, 1, 1), model.schedule.timestep(t).expand(2 * B), context, mask).chunk(2)
            x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
            x = step(model.schedule, x0, eps, t, s, 1.0, noises[min(k + 1, n - 1)])
    return model.vae.decode(x * model.latent_std + model.latent_mean).detach()

# %% 07.5 wrong decoded_with_gradients decodes behind the with block
def sample_from_text(model, prompts, noises, scale):
    n, B = len(noises), len(prompts)
    with torch.no_grad():
        ids, mask = model.tokenizer.encode(prompts + [""] * B)
        context = model.text_encoder(ids, mask).sequence
        times = torch.linspace(1, 0, n + 1, dtype=torch.float64)
        x = noises[0]
        for k, (t, s) in enumerate(zip(times, times[1:])):
            c, u = model.network(x.repeat(2, 1, 1, 1), model.schedule.timestep(t).expand(2 * B), context, mask).chunk(2)
            x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(c, u, scale), x, t)
            x = step(model.schedule, x0, eps, t, s, 1.0, noises[min(k + 1, n - 1)])
    return model.vae.decode(x * model.latent_std + model.latent_mean)
