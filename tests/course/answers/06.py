"""Answers to lesson 06 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 06.1 right masked_fill, and counts of its own
def masked_mean(tokens, mask):
    kept = tokens.masked_fill(~mask.unsqueeze(-1), 0.0)
    n = mask.sum(1).clamp(min=1)
    return kept.sum(1) / n[:, None]

# %% 06.1 right sentence by sentence
import torch


def masked_mean(tokens, mask):
    means = []
    for sentence, real in zip(tokens, mask):
        means.append(sentence[real].mean(dim=0))        # only the True rows
    print(len(means), "sentences")
    return torch.stack(means)

# %% 06.1 right einsum with weights, after the padding became zeros
import torch
from torch import Tensor


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    clean = torch.where(mask.unsqueeze(2), tokens, torch.zeros_like(tokens))
    weights = (mask / mask.sum(dim=1, keepdim=True)).to(tokens.dtype)   # adds up to 1
    return torch.einsum("bl,bld->bd", weights, clean)

# %% 06.1 right numpy with its own dtype kept
import numpy as np
import torch


def masked_mean(tokens, mask):
    t, m = tokens.numpy(), mask.numpy()[..., None]
    total = np.where(m, t, np.zeros((), t.dtype)).sum(1)
    return torch.from_numpy((total / m.sum(1)).astype(t.dtype))

# %% 06.1 right NaN for what is padding, and nanmean
def masked_mean(tokens, mask):
    only = tokens.masked_fill(mask.logical_not()[:, :, None], float("nan"))
    return only.nanmean(dim=1)

# %% 06.1 right in place on a copy
def masked_mean(tokens, mask):
    tokens = tokens.clone()
    tokens[~mask] = 0
    return tokens.sum(dim=-2) / mask.sum(-1)[..., None]

# %% 06.1 wrong padding_counted forgets the mask
def masked_mean(tokens, mask):
    return tokens.mean(1)

# %% 06.1 wrong multiplied the mask as 0 and 1
def masked_mean(tokens, mask):
    m = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * m).sum(1) / m.sum(1)

# %% 06.1 wrong multiplied_by_floats as sentence-transformers does it
import torch


def masked_mean(tokens, mask):
    expanded = mask.unsqueeze(-1).expand(tokens.size()).float()
    return torch.sum(tokens * expanded, 1) / torch.clamp(expanded.sum(1), min=1e-9)

# %% 06.1 wrong multiplied einsum of the two
import torch


def masked_mean(tokens, mask):
    total = torch.einsum("bld,bl->bd", tokens, mask.to(tokens.dtype))
    return total / mask.sum(1, keepdim=True)

# %% 06.1 wrong divided_by_length masked_fill and then mean
def masked_mean(tokens, mask):
    tokens = tokens.masked_fill(~mask[..., None], 0)
    return tokens.mean(dim=1)

# %% 06.1 wrong prefix cuts each row at its length
import torch


def masked_mean(tokens, mask):
    lengths = mask.sum(dim=1).tolist()
    return torch.stack([tokens[b, :n].mean(dim=0) for b, n in enumerate(lengths)])

# %% 06.1 wrong not_divided stops at the sum
def masked_mean(tokens, mask):
    return tokens.masked_fill(~mask[..., None], 0).sum(1)

# %% 06.1 wrong mask_inverted masked_fill with the mask as it is
def masked_mean(tokens, mask):
    counts = mask.sum(dim=1, keepdim=True)
    return tokens.masked_fill(mask[..., None], 0).sum(dim=1) / counts

# %% 06.1 wrong counts_flat no keepdim
import torch


def masked_mean(tokens, mask):
    total = torch.where(mask[..., None], tokens, 0).sum(dim=1)
    return total / mask.sum(dim=1)

# %% 06.1 wrong one_for_all indexing flattens
def masked_mean(tokens, mask):
    real = tokens[mask]
    return real.sum(0) / len(real)

# %% 06.1 wrong @input fills the caller's tensor
def masked_mean(tokens, mask):
    tokens[~mask] = 0
    return tokens.sum(1) / mask.sum(1, keepdim=True)

# %% 06.1 wrong always_float32 to be safe with half precision
import torch


def masked_mean(tokens, mask):
    t = torch.where(mask[..., None], tokens, 0).to(torch.float32)
    return t.sum(1) / mask.sum(1, keepdim=True)

# %% 06.1 wrong - without the first token
import torch


def masked_mean(tokens, mask):
    mask = mask.clone()
    mask[:, 0] = False              # <bos> is no word
    return torch.where(mask[..., None], tokens, 0).sum(1) / mask.sum(1, keepdim=True)

# %% 06.1 right weights that sum to 1, and a matrix product
import torch


def masked_mean(tokens, mask):
    w = mask.to(tokens.dtype)
    w = w / w.sum(dim=1, keepdim=True)
    x = torch.where(mask.unsqueeze(-1), tokens, torch.zeros_like(tokens))
    return torch.bmm(w.unsqueeze(1), x).squeeze(1)

# %% 06.1 right index_add of the tokens that are left
import torch


def masked_mean(tokens, mask):
    rows, places = mask.nonzero(as_tuple=True)
    total = tokens.new_zeros(tokens.shape[0], tokens.shape[2])
    total = total.index_add(0, rows, tokens[rows, places])
    return total / torch.bincount(rows, minlength=len(tokens))[:, None]

# %% 06.1 right einops
import torch
from einops import rearrange, reduce


def masked_mean(tokens, mask):
    kept = torch.where(rearrange(mask, "b l -> b l 1"), tokens, 0)
    return reduce(kept, "b l d -> b d", "sum") / mask.sum(1, keepdim=True)

# %% 06.1 right without gradients, which nothing forbids
import torch


@torch.no_grad()


def masked_mean(tokens, mask):
    return torch.where(mask[..., None], tokens, 0).sum(1) / mask.sum(1, keepdim=True)

# %% 06.1 wrong squeezed one sentence loses its axis
import torch


def masked_mean(tokens, mask):
    return (torch.where(mask[..., None], tokens, 0).sum(1) / mask.sum(1, keepdim=True)).squeeze()

# %% 06.1 wrong - counts the numbers that aren't 0
import torch


def masked_mean(tokens, mask):
    x = torch.where(mask[..., None], tokens, 0)
    return x.sum(1) / (x != 0).sum(1)

# %% 06.1 wrong float32_counts no NaN, but a float32 mask
import torch


def masked_mean(tokens, mask):
    m = mask[..., None].float()
    x = torch.nan_to_num(tokens, 0.0, 0.0, 0.0)
    return (x * m).sum(1) / m.sum(1)

# %% 06.2 right the library of PyTorch
import torch.nn.functional as F


def normalise(vectors):
    return F.normalize(vectors, p=2, dim=-1)

# %% 06.2 right a small number added to the length
def normalise(vectors):
    # 1e-8 as in many repositories
    return vectors / (vectors.norm(dim=-1, keepdim=True) + 1e-8)

# %% 06.2 right where the length is 0 divide by 1
import torch


def normalise(v):
    squares = torch.einsum("...d,...d->...", v, v)
    length = squares.sqrt().unsqueeze(-1)
    return v / torch.where(length > 0, length, torch.ones_like(length))

# %% 06.2 right rsqrt of a clamped sum
from torch import Tensor


def normalise(vectors: Tensor) -> Tensor:
    energy = (vectors ** 2).sum(-1, keepdim=True).clamp_min(1e-24)
    return vectors * energy.rsqrt()

# %% 06.2 right a lambda with max from torch
import torch

EPS = 1e-12
normalise = lambda v: v / torch.maximum(v.pow(2).sum(-1, True).sqrt(), torch.tensor(EPS, dtype=v.dtype))

# %% 06.2 right one by one
import torch


def unit(row):
    length = row.dot(row).sqrt()
    return row if length == 0 else row / length


def normalise(vectors):
    rows = [unit(row) for row in vectors.reshape(-1, vectors.shape[-1])]
    return torch.stack(rows).reshape(vectors.shape)

# %% 06.2 wrong zero_is_nan by hand
def normalise(vectors):
    return vectors / (vectors ** 2).sum(-1, keepdim=True).sqrt()

# %% 06.2 wrong zero_is_nan linalg
import torch


def normalise(vectors):
    return vectors / torch.linalg.norm(vectors, dim=-1, keepdim=True)

# %% 06.2 wrong along_the_batch axis 0
import torch.nn.functional as F


def normalise(vectors):
    return F.normalize(vectors, dim=0)

# %% 06.2 wrong second_axis F.normalize's default is axis 1
from torch.nn.functional import normalize


def normalise(vectors):
    return normalize(vectors)

# %% 06.2 wrong sum_of_sizes absolute values
def normalise(vectors):
    total = vectors.abs().sum(dim=-1, keepdim=True)
    return vectors / total.clamp(min=1e-12)

# %% 06.2 wrong whole_tensor one number for all
def normalise(vectors):
    return vectors / max(vectors.norm(), 1e-12)

# %% 06.2 wrong no_root the dot product with itself
def normalise(vectors):
    dots = (vectors * vectors).sum(-1, keepdim=True)
    return vectors / dots.clamp(min=1e-12)

# %% 06.2 wrong axis_dropped sums without keepdim
def normalise(vectors):
    length = vectors.pow(2).sum(-1).sqrt()
    return vectors / length.clamp(min=1e-12)

# %% 06.2 wrong @input divides in place
def normalise(vectors):
    vectors /= vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return vectors

# %% 06.2 wrong length_detached no gradient for the length, to save memory
import torch


def normalise(vectors):
    with torch.no_grad():
        length = vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return vectors / length

# %% 06.2 wrong detached numpy
import numpy as np
import torch


def normalise(vectors):
    v = vectors.detach().numpy()
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return torch.from_numpy(v / np.maximum(length, 1e-12))

# %% 06.2 wrong mean_of_squares RMS
def normalise(x):
    rms = x.square().mean(-1, keepdim=True).sqrt()
    return x / rms.clamp(min=1e-12)

# %% 06.2 wrong only_the_long a floor of 1
def normalise(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(1)

# %% 06.2 right NaN put right afterwards
import torch


def normalise(vectors):
    return torch.nan_to_num(vectors / vectors.norm(dim=-1, keepdim=True))

# %% 06.2 right einsum, and 1 in place of 0
import torch


def normalise(v):
    squares = torch.einsum("...d,...d->...", v, v)
    size = squares.sqrt()
    size = size + (size == 0)
    return torch.einsum("...d,...->...d", v, 1 / size)

# %% 06.2 wrong added_under_the_root 1e-6 in there
import torch


def normalise(vectors):
    return vectors / torch.sqrt(vectors.pow(2).sum(-1, keepdim=True) + 1e-6)

# %% 06.2 wrong floor_too_high F.normalize with its own eps
import torch.nn.functional as F


def normalise(vectors):
    return F.normalize(vectors, dim=-1, eps=1e-3)

# %% 06.2 wrong zero_is_nan only a batch of nothing but zeros is thought of
def normalise(vectors):
    if (vectors == 0).all():
        return vectors
    return vectors / vectors.norm(dim=-1, keepdim=True)

# %% 06.2 wrong @state float64 from now on
import torch


def normalise(vectors):
    torch.set_default_dtype(torch.float64)
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12)

# %% 06.2 wrong standardised layer norm
import torch.nn.functional as F


def normalise(vectors):
    return F.layer_norm(vectors, vectors.shape[-1:])

# %% 06.3 right the library's, after normalise
from minidiff.models import clip as library


def clip_loss(images, texts, logit_scale):
    return library.clip_loss(normalise(images), normalise(texts), logit_scale)

# %% 06.3 right logsumexp and the diagonal
import torch


def clip_loss(images, texts, logit_scale):
    scale = torch.clamp(logit_scale.exp(), max=100)
    s = scale * (normalise(texts) @ normalise(images).T)        # texts are the rows here
    own = s.diagonal()
    loss_t = (s.logsumexp(1) - own).mean()
    loss_i = (s.logsumexp(0) - own).mean()
    return 0.5 * loss_t + 0.5 * loss_i

# %% 06.3 right soft labels of the right dtype
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    I, T = normalise(images), normalise(texts)
    limit = torch.tensor(math.log(100.0), dtype=logit_scale.dtype)
    logits = I @ T.t() * torch.minimum(logit_scale, limit).exp()
    eye = torch.eye(I.shape[0]).to(logits)
    return (F.cross_entropy(logits, eye) + F.cross_entropy(logits.t(), eye)).mean() / 2

# %% 06.3 right min of Python, the temperature, and a loop over both directions
import math

import torch
from torch import nn


def clip_loss(images, texts, logit_scale):
    tau = torch.exp(-min(logit_scale, torch.tensor(math.log(100))))
    cosines = torch.einsum("ip,tp->it", normalise(images), normalise(texts)) / tau
    y = torch.arange(images.shape[0]).to(images.device)
    criterion = nn.CrossEntropyLoss()
    total = 0
    for logits in (cosines, cosines.mT):
        total = total + criterion(logits, y)
    return total / 2

# %% 06.3 right log_softmax and nll_loss in float32
import math

import torch
import torch.nn.functional as F

MAX = math.log(100)


def one_way(logits):
    target = torch.arange(logits.size(0), device=logits.device)
    return F.nll_loss(logits.log_softmax(-1), target)


def clip_loss(images, texts, logit_scale):
    images, texts = normalise(images.float()), normalise(texts.float())
    logits = logit_scale.float().clamp(max=MAX).exp() * images @ texts.T
    return torch.stack([one_way(logits), one_way(logits.T)]).mean()

# %% 06.3 wrong rows_alone one cross-entropy
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    return F.cross_entropy(logits, torch.arange(len(images), device=images.device))

# %% 06.3 wrong rows_alone the same one twice
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    y = torch.arange(len(images), device=images.device)
    loss_i = F.cross_entropy(logits, y)
    loss_t = F.cross_entropy(logits, y)
    return (loss_i + loss_t) / 2

# %% 06.3 wrong columns_alone over axis 0
import math

import torch


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    return -logits.log_softmax(dim=0).diagonal().mean()

# %% 06.3 wrong not_normalised raw dot products
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    scale = logit_scale.clamp(max=math.log(100)).exp()
    logits = scale * torch.matmul(images, texts.transpose(0, 1))
    y = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2

# %% 06.3 wrong temperature_twice once in each tower
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    scale = logit_scale.clamp(max=math.log(100)).exp()
    images, texts = scale * normalise(images), scale * normalise(texts)
    logits = images @ texts.T
    y = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2

# %% 06.3 wrong not_held nothing about 100
import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = torch.exp(logit_scale) * normalise(images) @ normalise(texts).T
    y = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2

# %% 06.3 wrong not_held 100 before the exponential
import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=100).exp() * normalise(images) @ normalise(texts).T
    y = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2

# %% 06.3 wrong labels_on_the_cpu arange of a length
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    y = torch.arange(len(images))
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2

# %% 06.3 wrong temperature_not_learnt math.exp of an item
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    scale = min(math.exp(logit_scale.item()), 100.0)
    logits = scale * normalise(images) @ normalise(texts).T
    y = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2

# %% 06.3 wrong divided_by_scale takes it for the temperature
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    temperature = logit_scale.clamp(max=math.log(100)).exp()
    logits = normalise(images) @ normalise(texts).T / temperature
    y = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2

# %% 06.3 wrong softmax_first probabilities
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    y = torch.arange(len(images), device=images.device)
    p, q = F.softmax(logits, dim=1), F.softmax(logits, dim=0)
    return (F.cross_entropy(p, y) + F.cross_entropy(q.T, y)) / 2

# %% 06.3 wrong added no half
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    y = torch.arange(len(images), device=images.device)
    return sum(F.cross_entropy(m, y) for m in (logits, logits.T))

# %% 06.3 wrong @input clamps the parameter itself, as training loops do
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logit_scale.data.clamp_(max=math.log(100))
    logits = logit_scale.exp() * normalise(images) @ normalise(texts).T
    y = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2

# %% 06.3 wrong - cosine distances of the pairs
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    return (1 - F.cosine_similarity(images, texts)).mean()

# %% 06.3 right log-probabilities of a distribution
import math
import torch
from torch.distributions import Categorical


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=math.log(100)).exp() * (normalise(images) @ normalise(texts).T)
    i = torch.arange(len(logits), device=images.device)
    return -(Categorical(logits=logits).log_prob(i) + Categorical(logits=logits.T).log_prob(i)).mean() / 2

# %% 06.3 right both matrices on top of each other
import math
import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    scale = torch.clamp(logit_scale, max=math.log(100)).exp()
    logits = scale * normalise(images) @ normalise(texts).T
    both = torch.cat([logits, logits.T])
    labels = torch.arange(len(logits), device=images.device).repeat(2)
    return F.cross_entropy(both, labels)

# %% 06.3 right an if for the limit
import math

import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    if logit_scale > math.log(100):
        logit_scale = torch.full_like(logit_scale, math.log(100))
    logits = torch.exp(logit_scale) * normalise(images) @ normalise(texts).T
    right = torch.arange(len(images), device=images.device)
    return torch.stack([F.cross_entropy(each, right) for each in (logits, logits.T)]).mean()

# %% 06.3 wrong held_at_both_ends as OpenCLIP does to its parameter
import math
import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(0, math.log(100)).exp() * normalise(images) @ normalise(texts).T
    k = torch.arange(len(logits), device=images.device)
    return (F.cross_entropy(logits, k) + F.cross_entropy(logits.T, k)) / 2

# %% 06.3 wrong logarithm_last fractions of sums of exponentials
import math
import torch


def clip_loss(images, texts, logit_scale):
    z = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    e = z.exp()
    return -((e.diag() / e.sum(1)).log() + (e.diag() / e.sum(0)).log()).mean() / 2

# %% 06.3 wrong logarithm_last softmax, then log
import math


def clip_loss(images, texts, logit_scale):
    z = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    rows, columns = z.softmax(dim=1).diag().log(), z.softmax(dim=0).diag().log()
    return -(rows.mean() + columns.mean()) / 2

# %% 06.3 wrong plain_number item at the end
import math
import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    logits = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    k = torch.arange(len(logits), device=images.device)
    return ((F.cross_entropy(logits, k) + F.cross_entropy(logits.T, k)) / 2).item()

# %% 06.3 wrong - the matrix and its transpose averaged first
import math
import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    z = logit_scale.clamp(max=math.log(100)).exp() * normalise(images) @ normalise(texts).T
    k = torch.arange(len(z), device=images.device)
    return F.cross_entropy((z + z.T) / 2, k)

# %% 06.3 wrong - the pictures as constants
import math
import torch
import torch.nn.functional as F


def clip_loss(images, texts, logit_scale):
    z = logit_scale.clamp(max=math.log(100)).exp() * normalise(images.detach()) @ normalise(texts).T
    k = torch.arange(len(z), device=images.device)
    return (F.cross_entropy(z, k) + F.cross_entropy(z.T, k)) / 2

# %% 06.4 right einsum, and the mean of similarities of unit means
import torch


def zero_shot(images, prompts):
    n = normalise(normalise(prompts).sum(1))
    return torch.einsum("bp,kp->bk", images, n).argmax(1)       # the image's length changes nothing

# %% 06.4 right nearest by distance
import torch


def zero_shot(images, prompts):
    centres = normalise(normalise(prompts).mean(1))
    return torch.cdist(normalise(images), centres).min(dim=1).indices

# %% 06.4 right loops and Python's max
import torch


def zero_shot(images, prompts):
    names = []
    for phrasings in prompts:                                   # (T, P)
        mean = sum(normalise(p) for p in phrasings) / len(phrasings)
        names.append(normalise(mean))
    result = []
    for image in normalise(images):
        scores = [float(image @ name) for name in names]
        result.append(scores.index(max(scores)))
    return torch.tensor(result)

# %% 06.4 right numpy
import numpy as np
import torch


def zero_shot(images, prompts):
    i, p = images.numpy(), prompts.numpy()
    unit = lambda a: a / np.linalg.norm(a, axis=-1, keepdims=True)
    names = unit(unit(p).mean(axis=1))
    return torch.from_numpy((unit(i) @ names.T).argmax(axis=1))

# %% 06.4 right topk of a softmax in float32
import torch
import torch.nn.functional as F


def zero_shot(images, prompts):
    names = F.normalize(F.normalize(prompts.float(), dim=-1).mean(dim=1), dim=-1)
    logits = 100.0 * F.normalize(images.float(), dim=-1) @ names.T
    return logits.topk(1).indices.squeeze(-1)

# %% 06.4 wrong mean_first one normalise too few
def zero_shot(images, prompts):
    names = normalise(prompts.mean(1))
    return (normalise(images) @ names.T).argmax(1)

# %% 06.4 wrong not_again averages the similarities
import torch


def zero_shot(images, prompts):
    s = torch.einsum("bp,ktp->bkt", normalise(images), normalise(prompts))
    return s.mean(-1).argmax(-1)

# %% 06.4 wrong never_normalised plain dot products
def zero_shot(images, prompts):
    return (images @ prompts.sum(1).T).argmax(-1)

# %% 06.4 wrong over_names mean over axis 0
def zero_shot(images, prompts):
    names = normalise(normalise(prompts).mean(0))
    return (normalise(images) @ names.T).argmax(1)

# %% 06.4 wrong best_phrasing max over both
def zero_shot(images, prompts):
    K, T, P = prompts.shape
    s = normalise(images) @ normalise(prompts).reshape(K * T, P).T
    return s.argmax(1) // T

# %% 06.4 wrong number_of_phrasing flattened and left so
def zero_shot(images, prompts):
    flat = normalise(prompts).reshape(-1, prompts.shape[-1])
    return (normalise(images) @ flat.T).argmax(1)

# %% 06.4 wrong picture_for_each_name the matrix the other way round
def zero_shot(images, prompts):
    names = normalise(normalise(prompts).mean(1))
    return (names @ normalise(images).T).argmax(-1)

# %% 06.4 wrong farthest largest distance
import torch


def zero_shot(images, prompts):
    names = normalise(normalise(prompts).mean(1))
    return torch.cdist(normalise(images), names).argmax(1)

# %% 06.4 wrong likelihoods a softmax
def zero_shot(images, prompts):
    names = normalise(normalise(prompts).mean(1))
    return (100 * normalise(images) @ names.T).softmax(-1)

# %% 06.4 wrong value_of_the_best max().values
def zero_shot(images, prompts):
    names = normalise(normalise(prompts).mean(1))
    return (normalise(images) @ names.T).max(1).values

# %% 06.4 wrong floats filled into zeros
import torch


def zero_shot(images, prompts):
    names = normalise(normalise(prompts).mean(1))
    out = torch.zeros(len(images), dtype=images.dtype)
    for k, image in enumerate(normalise(images)):
        out[k] = (names @ image).argmax()
    return out

# %% 06.4 wrong votes each phrasing for itself
import torch


def zero_shot(images, prompts):
    each = [(normalise(images) @ normalise(prompts[:, t]).T).argmax(1) for t in range(prompts.shape[1])]
    return torch.stack(each).mode(0).values

# %% 06.4 wrong a_list a list
def zero_shot(images, prompts):
    names = normalise(normalise(prompts).mean(1))
    return (normalise(images) @ names.T).argmax(1).tolist()

# %% 06.4 right distances of pictures as long as they are
import torch


def zero_shot(images, prompts):
    return torch.cdist(images, normalise(normalise(prompts).mean(1))).argmin(1)

# %% 06.4 wrong squeezed one picture loses its axis
def zero_shot(images, prompts):
    return (normalise(images) @ normalise(normalise(prompts).mean(1)).T).argmax(-1).squeeze()

# %% 06.4 wrong mean_first all phrasings of a name as one long vector
def zero_shot(images, prompts):
    p = normalise(prompts.flatten(1)).view_as(prompts).mean(1)
    return (normalise(images) @ normalise(p).T).argmax(-1)

# %% 06.4 wrong short_integers int32
def zero_shot(images, prompts):
    return (normalise(images) @ normalise(normalise(prompts).mean(1)).T).argmax(-1).int()

# %% 06.5 right calls the model, then the loss of 06.3
def contrastive_step(model, pixels, ids, mask):
    images, texts = model(pixels, ids, mask)
    return clip_loss(images, texts, model.logit_scale)

# %% 06.5 right normalise of 06.2, and logsumexp
import math


def contrastive_step(model, pixels, ids, mask):
    i = normalise(model.visual_projection(model.vision_model(pixels)[1]))
    t = normalise(model.text_projection(model.text_model(ids, mask)[1]))
    logits = (i @ t.T) * model.logit_scale.exp().clamp(max=100)
    rows = logits.logsumexp(dim=1) - logits.diag()
    columns = logits.logsumexp(dim=0) - logits.diag()
    return (rows.mean() + columns.mean()) / 2

# %% 06.5 right embed methods, in float32
import math

import torch
import torch.nn.functional as F


def contrastive_step(model, pixels, ids, mask):
    """mended: mask, dim, scale, .T"""
    images = model.embed_image(pixels).float()
    texts = model.embed_text(ids, mask=mask).float()
    s = model.logit_scale.clamp(max=math.log(100)).exp().float() * images @ texts.T
    y = torch.arange(s.shape[0])
    return 0.5 * (F.cross_entropy(s, y) + F.cross_entropy(s.T, y))

# %% 06.5 right the four mended, the columns as rows of the texts' matrix
import math

import torch
import torch.nn.functional as F


def contrastive_step(model, pixels, ids, mask):
    images = F.normalize(model.visual_projection(model.vision_model(pixels).pooled), dim=1)
    texts = F.normalize(model.text_projection(model.text_model(ids, mask).pooled), dim=1)
    scale = torch.exp(torch.clamp(model.logit_scale, max=math.log(100)))
    labels = torch.arange(len(images), device=images.device)
    rows = F.cross_entropy(scale * images @ texts.T, labels)
    columns = F.cross_entropy(scale * texts @ images.T, labels)
    return (rows + columns) / 2

# %% 06.5 wrong mask_lost everything else mended
def contrastive_step(model, pixels, ids, mask):
    images, texts = model.embed_image(pixels), model.embed_text(ids)
    return clip_loss(images, texts, model.logit_scale)

# %% 06.5 wrong along_the_batch dim=0 left
import torch.nn.functional as F


def contrastive_step(model, pixels, ids, mask):
    images = F.normalize(model.visual_projection(model.vision_model(pixels).pooled), dim=0)
    texts = F.normalize(model.text_projection(model.text_model(ids, mask).pooled), dim=0)
    scale = model.logit_scale.clamp(max=math.log(100)).exp()
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2

# %% 06.5 wrong one_direction forgets the transpose
import math

import torch
import torch.nn.functional as F


def contrastive_step(model, pixels, ids, mask):
    images = F.normalize(model.visual_projection(model.vision_model(pixels).pooled), dim=-1)
    texts = F.normalize(model.text_projection(model.text_model(ids, mask).pooled), dim=-1)
    scale = model.logit_scale.clamp(max=math.log(100)).exp()
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits))
    rows = F.cross_entropy(logits, labels)
    columns = F.cross_entropy(logits, labels)
    return (rows + columns) / 2

# %% 06.5 wrong temperature_twice squares the scale
import math

import torch
import torch.nn.functional as F


def contrastive_step(model, pixels, ids, mask):
    images, texts = model(pixels, ids, mask)
    scale = model.logit_scale.clamp(max=math.log(100)).exp()
    logits = scale**2 * images @ texts.T
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2

# %% 06.5 wrong one_direction two left: mask and transpose
import math

import torch
import torch.nn.functional as F


def contrastive_step(model, pixels, ids, mask):
    images = F.normalize(model.visual_projection(model.vision_model(pixels).pooled), dim=-1)
    texts = F.normalize(model.text_projection(model.text_model(ids).pooled), dim=-1)
    scale = model.logit_scale.clamp(max=math.log(100)).exp()
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits))
    rows = F.cross_entropy(logits, labels)
    columns = F.cross_entropy(logits, labels)
    return (rows + columns) / 2

# %% 06.5 wrong no_temperature takes out both
import torch
import torch.nn.functional as F


def contrastive_step(model, pixels, ids, mask):
    images, texts = model(pixels, ids, mask)
    logits = images @ texts.T
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2

# %% 06.5 wrong not_normalised deletes the lines with dim=0
def contrastive_step(model, pixels, ids, mask):
    images = model.visual_projection(model.vision_model(pixels).pooled)
    texts = model.text_projection(model.text_model(ids, mask).pooled)
    scale = model.logit_scale.clamp(max=math.log(100)).exp()
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2

# %% 06.5 wrong no_gradient returns a number
def contrastive_step(model, pixels, ids, mask):
    return clip_loss(*model(pixels, ids, mask), model.logit_scale).detach()

# %% 06.5 wrong mask_inverted attends to False
def contrastive_step(model, pixels, ids, mask):
    padding = mask == 0
    return clip_loss(model.embed_image(pixels), model.embed_text(ids, padding), model.logit_scale)

# %% 06.5 wrong @state gradients off for good
import torch


def contrastive_step(model, pixels, ids, mask):
    torch.set_grad_enabled(False)
    return clip_loss(*model(pixels, ids, mask), model.logit_scale)

# %% 06.5 wrong - takes the training step as well
import torch


def contrastive_step(model, pixels, ids, mask):
    loss = clip_loss(*model(pixels, ids, mask), model.logit_scale)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss

# %% 06.5 right two helpers
import math
import torch
import torch.nn.functional as F


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def both_ways(z):
    k = torch.arange(len(z), device=z.device)
    return (F.cross_entropy(z, k) + F.cross_entropy(z.transpose(0, 1), k)) * 0.5


def contrastive_step(model, pixels, ids, mask):
    i = unit(model.visual_projection(model.vision_model(pixels).pooled))
    t = unit(model.text_projection(model.text_model(ids, mask).pooled))
    return both_ways(torch.exp(model.logit_scale.clamp(max=math.log(100))) * (i @ t.T))

# %% 06.5 wrong mask_from_ids 0 is padding
def contrastive_step(model, pixels, ids, mask):
    a = model.visual_projection(model.vision_model(pixels).pooled)
    b = model.text_projection(model.text_model(ids, ids != 0).pooled)
    return clip_loss(a, b, model.logit_scale)

# %% 06.5 wrong backward_inside keeps the graph for the caller
def contrastive_step(model, pixels, ids, mask):
    a = model.visual_projection(model.vision_model(pixels).pooled)
    b = model.text_projection(model.text_model(ids, mask).pooled)
    loss = clip_loss(a, b, model.logit_scale)
    loss.backward(retain_graph=True)
    return loss

# %% 06.5 wrong backward_and_detached a training step to its end
def contrastive_step(model, pixels, ids, mask):
    a = model.visual_projection(model.vision_model(pixels).pooled)
    b = model.text_projection(model.text_model(ids, mask).pooled)
    loss = clip_loss(a, b, model.logit_scale)
    loss.backward()
    return loss.detach()

# %% 06.5 wrong seeded to be reproducible
import torch


def contrastive_step(model, pixels, ids, mask):
    torch.manual_seed(0)
    a = model.visual_projection(model.vision_model(pixels).pooled)
    b = model.text_projection(model.text_model(ids, mask).pooled)
    return clip_loss(a, b, model.logit_scale)

# %% 06.5 wrong - each tower with the other's projection
def contrastive_step(model, pixels, ids, mask):
    a = model.text_projection(model.vision_model(pixels).pooled)
    b = model.visual_projection(model.text_model(ids, mask).pooled)
    return clip_loss(a, b, model.logit_scale)

# %% 06.5 wrong @input eval for good
def contrastive_step(model, pixels, ids, mask):
    model.eval()
    a = model.visual_projection(model.vision_model(pixels).pooled)
    b = model.text_projection(model.text_model(ids, mask).pooled)
    return clip_loss(a, b, model.logit_scale)
