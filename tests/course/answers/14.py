"""Answers to the exercises of lesson 14, as different learners write them."""

# %% 14.1 right eigenvalues of the product as they come
import torch


def frechet_distance(real, fake):
    a, b = real.double(), fake.double()
    s1, s2 = torch.cov(a.T), torch.cov(b.T)
    root = torch.linalg.eigvals(s1 @ s2).sqrt().real.sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum().item() + (s1.trace() + s2.trace() - 2 * root).item()

# %% 14.1 right singular values of the two roots
import torch


def matrix_root(c):
    w, v = torch.linalg.eigh(c)
    return v @ torch.diag(w.clamp_min(0) ** 0.5) @ v.t()


def frechet_distance(real, fake):
    real, fake = real.to(torch.float64), fake.to(torch.float64)
    c1, c2 = torch.cov(real.t()), torch.cov(fake.t())
    nuclear = torch.linalg.svdvals(matrix_root(c1) @ matrix_root(c2)).sum()
    m = real.mean(dim=0) - fake.mean(dim=0)
    return float(m @ m + torch.trace(c1) + torch.trace(c2) - 2 * nuclear)

# %% 14.1 right numpy, np.cov and eigvals with abs
import numpy as np


def frechet_distance(real, fake):
    """As torch-fidelity does it, without sqrtm."""
    r, f = real.numpy().astype(np.float64), fake.numpy().astype(np.float64)
    mu1, mu2 = r.mean(axis=0), f.mean(axis=0)
    sigma1, sigma2 = np.cov(r, rowvar=False), np.cov(f, rowvar=False)
    eig = np.linalg.eigvals(sigma1 @ sigma2)
    covmean_trace = np.sqrt(np.abs(eig)).sum()
    diff = mu1 - mu2
    return diff.dot(diff) + np.trace(sigma1) + np.trace(sigma2) - 2 * covmean_trace

# %% 14.1 right nuclear norm of the centred rows' product
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    mx, my = x.mean(0, keepdim=True), y.mean(0, keepdim=True)
    x, y = (x - mx) / (len(x) - 1) ** 0.5, (y - my) / (len(y) - 1) ** 0.5
    print("shapes", x.shape, y.shape)
    total = (mx - my).pow(2).sum() + x.pow(2).sum() + y.pow(2).sum()
    return (total - 2 * torch.linalg.matrix_norm(x @ y.T, ord="nuc")).item()

# %% 14.1 right root of the second covariance, einsum, complex eigenvalues
import torch


def frechet_distance(real, fake):
    cov = lambda z: torch.einsum("ni,nj->ij", z - z.mean(0), z - z.mean(0)) / (z.shape[0] - 1)
    real, fake = real.double(), fake.double()
    c1, c2 = cov(real), cov(fake)
    vals, vecs = torch.linalg.eigh(c2)
    r2 = vecs @ torch.diag_embed(torch.relu(vals).sqrt()) @ vecs.mT
    inner = r2 @ c1 @ r2
    lam = torch.linalg.eigvalsh((inner + inner.T) / 2)
    d = real.mean(0) - fake.mean(0)
    return float(d.dot(d) + torch.trace(c1 + c2) - 2 * torch.sqrt(torch.maximum(lam, torch.zeros(()))).sum())

# %% 14.1 wrong divided_by_n by hand, over N
import torch


def frechet_distance(real, fake):
    def stats(z):
        m = z.mean(0)
        return m, (z - m).T @ (z - m) / len(z)

    (m1, c1), (m2, c2) = stats(real.double()), stats(fake.double())
    w, v = torch.linalg.eigh(c1)
    root = v @ torch.diag(w.clamp(min=0).sqrt()) @ v.T
    cross = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    return float((m1 - m2).pow(2).sum() + c1.trace() + c2.trace() - 2 * cross)

# %% 14.1 wrong divided_by_n numpy bias=True
import numpy as np


def frechet_distance(real, fake):
    r, f = real.double().numpy(), fake.double().numpy()
    s1, s2 = np.cov(r.T, bias=True), np.cov(f.T, bias=True)
    cross = np.sqrt(np.abs(np.linalg.eigvals(s1 @ s2))).sum()
    return float(((r.mean(0) - f.mean(0)) ** 2).sum() + np.trace(s1 + s2) - 2 * cross)

# %% 14.1 wrong root_of_elements torch.sqrt of the product
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    covmean = torch.sqrt((c1 @ c2).clamp(min=0))
    return float((x.mean(0) - y.mean(0)).square().sum() + torch.trace(c1 + c2 - 2 * covmean))

# %% 14.1 wrong diagonal_only variances, as for two lines
def frechet_distance(real, fake):
    a, b = real.double(), fake.double()
    s1, s2 = a.std(0), b.std(0)
    return float(((a.mean(0) - b.mean(0)) ** 2 + (s1 - s2) ** 2).sum())

# %% 14.1 wrong not_clamped trusts the eigenvalues of the product
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    w, v = torch.linalg.eigh(c1)
    half = v @ torch.diag(w.clamp(min=0).sqrt()) @ v.T
    cross = torch.linalg.eigvalsh(half @ c2 @ half).sqrt().sum()
    return ((x.mean(0) - y.mean(0)).square().sum() + c1.trace() + c2.trace() - 2 * cross).item()

# %% 14.1 wrong subtracted_once forgets the 2
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    cross = torch.linalg.eigvals(c1 @ c2).sqrt().real.sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + c1.trace() + c2.trace() - cross)

# %% 14.1 wrong as_they_came float32 throughout
import torch


def frechet_distance(real, fake):
    mu = real.mean(0) - fake.mean(0)
    c1, c2 = torch.cov(real.T), torch.cov(fake.T)
    values, vectors = torch.linalg.eigh(c1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    return float(mu.square().sum() + c1.trace() + c2.trace() - 2 * cross)

# %% 14.1 wrong shift_not_squared the norm of the means
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    cross = torch.linalg.eigvals(c1 @ c2).sqrt().real.sum()
    return torch.dist(x.mean(0), y.mean(0)).item() + (c1.trace() + c2.trace() - 2 * cross).item()

# %% 14.1 wrong rows_for_features forgets the transpose
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    c1, c2 = torch.cov(x), torch.cov(y)
    cross = torch.linalg.eigvals(c1 @ c2).sqrt().real.sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + c1.trace() + c2.trace() - 2 * cross)

# %% 14.1 wrong - a little of the identity against singular matrices
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    eye = 1e-2 * torch.eye(x.shape[1], dtype=torch.float64)
    c1, c2 = torch.cov(x.T) + eye, torch.cov(y.T) + eye
    cross = torch.linalg.eigvals(c1 @ c2).sqrt().real.sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + c1.trace() + c2.trace() - 2 * cross)

# %% 14.1 wrong roots_multiplied as if they commuted
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    def root(c):
        w, v = torch.linalg.eigh(c)
        return (v * w.clamp(min=0).sqrt()) @ v.T
    return float(shift + c1.trace() + c2.trace() - 2 * (root(c1) @ root(c2)).trace())

# %% 14.1 wrong eigenvalues_multiplied sorted, in pairs
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    e1, e2 = (torch.linalg.eigvalsh(c).clamp(min=0) for c in (c1, c2))
    return float(shift + e1.sum() + e2.sum() - 2 * (e1 * e2).sqrt().sum())

# %% 14.1 wrong not_put_together vectors times roots
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    values, vectors = torch.linalg.eigh(c1)
    root = vectors * values.clamp(min=0).sqrt()
    trace = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    return float(shift + c1.trace() + c2.trace() - 2 * trace)

# %% 14.1 wrong @crash a Cholesky root, which needs full rank
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    low = torch.linalg.cholesky(c1)
    trace = torch.linalg.eigvalsh(low.T @ c2 @ low).clamp(min=0).sqrt().sum()
    return float(shift + c1.trace() + c2.trace() - 2 * trace)

# %% 14.1 wrong @input centres float64 rows in place
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    x -= x.mean(0)
    y -= y.mean(0)
    c1, c2 = x.T @ x / (len(x) - 1), y.T @ y / (len(y) - 1)
    values, vectors = torch.linalg.eigh(c1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    trace = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    return float(shift + c1.trace() + c2.trace() - 2 * trace)

# %% 14.1 right half a root, but on both sides
import torch


def frechet_distance(real, fake):
    x, y = real.double(), fake.double()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    c1, c2 = torch.cov(x.T), torch.cov(y.T)
    values, vectors = torch.linalg.eigh(c1)
    half = vectors * values.clamp(min=0).sqrt()
    trace = torch.linalg.eigvalsh(half.T @ c2 @ half).clamp(min=0).sqrt().sum()
    return float(shift + c1.trace() + c2.trace() - 2 * trace)

# %% 14.1 right root by svd, nan_to_num in place of a clamp
import torch
from torch import Tensor


def matrix_root(c):
    u, s, vh = torch.linalg.svd(c)
    return u @ torch.diag(s.sqrt()) @ vh


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    x, y = real.double(), fake.double()
    shift = (x.mean(0) - y.mean(0)).pow(2).sum()
    c1, c2 = (torch.cov(z.t()) for z in (x, y))
    r = matrix_root(c1)
    inner = torch.linalg.eigvalsh(r @ c2 @ r).sqrt().nan_to_num(nan=0.0)
    return float(shift + (c1 + c2).trace() - 2 * inner.sum())

# %% 14.2 right masks of the identity
import torch


def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    D = x.size(1)
    k = lambda a, b: (torch.mm(a, b.t()) / D + 1).pow(3)
    kxx = k(x, x)[~torch.eye(len(x), dtype=torch.bool)].mean()
    kyy = k(y, y)[~torch.eye(len(y), dtype=torch.bool)].mean()
    return (kxx + kyy - 2 * k(x, y).mean()).item()

# %% 14.2 right numpy with fill_diagonal
import numpy as np

DEGREE = 3


def polynomial(a, b):
    return (1 + a @ b.T / a.shape[-1]) ** DEGREE


def unbiased_mmd(x, y):
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    total = -2 * polynomial(x, y).mean()
    for z in (x, y):
        k = polynomial(z, z)
        np.fill_diagonal(k, 0)
        total += k.sum() / (len(z) * (len(z) - 1))
    return total

# %% 14.2 right upper triangle, taken twice
import torch


def unbiased_mmd(x, y):
    x, y = x.to(torch.float64), y.to(torch.float64)

    def kernel(a, b):
        return (torch.einsum("nd,md->nm", a, b) / a.shape[1] + 1) ** 3

    n, m = x.shape[0], y.shape[0]
    inner = kernel(x, x).triu(1).sum() * 2 / (n * (n - 1)) + kernel(y, y).triu(diagonal=1).sum() * 2 / (m * (m - 1))
    return float(inner - 2 * kernel(x, y).sum() / (n * m))

# %% 14.2 right one kernel of everything, cut into blocks
import torch


def unbiased_mmd(x, y):
    both = torch.cat([x, y]).double()
    k = (both @ both.T / both.shape[1] + 1) ** 3
    k.fill_diagonal_(0)
    n, m = len(x), len(y)
    xx, yy, xy = k[:n, :n], k[n:, n:], k[:n, n:]
    return xx.sum().item() / (n * n - n) + yy.sum().item() / (m * m - m) - 2 * xy.mean().item()

# %% 14.2 wrong own_pairs_in simply means
def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    return float(k(x, x).mean() + k(y, y).mean() - 2 * k(x, y).mean())

# %% 14.2 wrong divided_by_all fills the diagonal, then mean
import torch


def unbiased_mmd(x, y):
    x, y = x.double(), y.double()

    def k(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    kxx, kyy = k(x, x).fill_diagonal_(0), k(y, y).fill_diagonal_(0)
    return (kxx.mean() + kyy.mean() - 2 * k(x, y).mean()).item()

# %% 14.2 wrong across_once no factor
def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    inside = lambda a: (k(a, a).sum() - k(a, a).diagonal().sum()) / (len(a) * (len(a) - 1))
    return float(inside(x) + inside(y) - k(x, y).mean())

# %% 14.2 wrong squared another degree
def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / a.shape[1] + 1).square()
    inside = lambda a: (k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1))
    return float(inside(x) + inside(y) - 2 * k(x, y).mean())

# %% 14.2 wrong clamped a distance can't be negative
def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    inside = lambda a: (k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1))
    return float((inside(x) + inside(y) - 2 * k(x, y).mean()).clamp(min=0))

# %% 14.2 wrong one_count n of the first for both
def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    n = len(x)
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    xx, yy = k(x, x), k(y, y)
    within = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / (n * (n - 1))
    return (within - 2 * k(x, y).mean()).item()

# %% 14.2 wrong divided_by_n len for the width
def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / len(a) + 1) ** 3
    inside = lambda a: (k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1))
    return float(inside(x) + inside(y) - 2 * k(x, y).mean())

# %% 14.2 wrong a_tensor forgets the float
def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    inside = lambda a: (k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1))
    return inside(x) + inside(y) - 2 * k(x, y).mean()

# %% 14.2 wrong - a Gaussian kernel
import torch


def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: torch.exp(-torch.cdist(a, b).square() / (2 * a.shape[1]))
    inside = lambda a: (k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1))
    return float(inside(x) + inside(y) - 2 * k(x, y).mean())

# %% 14.2 wrong - the library's mmd2, which wants equal counts
from minidiff.evaluate.metrics import mmd2


def unbiased_mmd(x, y):
    return mmd2(x.double(), y.double()).item()

# %% 14.2 wrong repeats_left_out own pairs told by their distance
import torch


def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    def off(a):
        q = k(a, a)
        same = torch.cdist(a, a) < 1e-9
        return q[~same].mean()
    return float(off(x) + off(y) - 2 * k(x, y).mean())

# %% 14.2 wrong times_1000 as tables print it



def unbiased_mmd(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    off = lambda q: (q.sum() - q.trace()) / (len(q) * (len(q) - 1))
    return 1000 * float(off(k(x, x)) + off(k(y, y)) - 2 * k(x, y).mean())

# %% 14.2 wrong - the product in float32, float64 afterwards



def unbiased_mmd(x, y):
    k = lambda a, b: ((a @ b.T).double() / a.shape[1] + 1) ** 3
    off = lambda q: (q.sum() - q.trace()) / (len(q) * (len(q) - 1))
    return float(off(k(x, x)) + off(k(y, y)) - 2 * k(x, y).mean())

# %% 14.2 right combinations and product of lists
from itertools import combinations, product


def unbiased_mmd(x, y):
    x, y = x.double().tolist(), y.double().tolist()
    kern = lambda a, b: (sum(p * q for p, q in zip(a, b)) / len(a) + 1) ** 3
    mean = lambda vs: sum(vs) / len(vs)
    xx = mean([kern(a, b) for a, b in combinations(x, 2)])
    yy = mean([kern(a, b) for a, b in combinations(y, 2)])
    xy = mean([kern(a, b) for a, b in product(x, y)])
    return xx + yy - 2 * xy

# %% 14.3 right all pictures of the drawn rows
import torch


def bootstrap_over_prompts(values, resamples, generator):
    P, S = values.shape
    chosen = torch.randint(0, P, (resamples, P), generator=generator)
    again = values.double()[chosen]                 # (R, P, S)
    m = again.flatten(1).mean(1)
    return m.quantile(0.025).item(), m.quantile(0.975).item()

# %% 14.3 right numpy percentiles
import numpy as np
import torch


def bootstrap_over_prompts(values, resamples, generator):
    n = len(values)
    idx = torch.randint(high=n, size=(resamples, n), generator=generator).numpy()
    per_prompt = np.array(values.tolist(), dtype=float).mean(axis=1)
    low, high = np.percentile(per_prompt[idx].mean(axis=1), [2.5, 97.5])
    return low, high

# %% 14.3 right counts how often each prompt came, a product
import torch

TAIL = 0.05 / 2


def bootstrap_over_prompts(values, resamples, generator):
    """Each resample is a weighting of the prompts."""
    P = values.size(0)
    rows = torch.randint(P, (resamples, P), generator=generator)
    weights = torch.nn.functional.one_hot(rows, P).double().mean(dim=1)
    means = weights @ values.to(torch.float64).mean(-1)
    return tuple(float(torch.quantile(means, q)) for q in (TAIL, 1 - TAIL))

# %% 14.3 right a loop over resamples, index_select, interpolation by hand
import math

import torch


def bootstrap_over_prompts(values, resamples, generator):
    rows = torch.randint(len(values), (resamples, len(values)), generator=generator)
    found = sorted(values.double().index_select(0, row).mean().item() for row in rows)

    def at(q):
        place = q * (len(found) - 1)
        k = math.floor(place)
        return found[k] + (place - k) * (found[min(k + 1, len(found) - 1)] - found[k])

    return at(0.025), at(0.975)

# %% 14.3 wrong pictures_resampled every picture for itself
import torch


def bootstrap_over_prompts(values, resamples, generator):
    flat = values.double().reshape(-1)
    rows = torch.randint(len(flat), (resamples, len(flat)), generator=generator)
    low, high = flat[rows].mean(1).quantile(torch.tensor([0.025, 0.975]).double())
    return low.item(), high.item()

# %% 14.3 wrong ninety_percent five to each side
import torch


def bootstrap_over_prompts(values, resamples, generator):
    v = values.double().mean(1)
    rows = torch.randint(len(v), (resamples, len(v)), generator=generator)
    m = v[rows].mean(1)
    return m.quantile(0.05).item(), m.quantile(0.95).item()

# %% 14.3 wrong seeds_resampled len of the wrong axis
import torch


def bootstrap_over_prompts(values, resamples, generator):
    v = values.double().mean(0)
    rows = torch.randint(len(v), (resamples, len(v)), generator=generator)
    m = v[rows].mean(1)
    return m.quantile(0.025).item(), m.quantile(0.975).item()

# %% 14.3 wrong generator_ignored the global dice
import torch


def bootstrap_over_prompts(values, resamples, generator):
    v = values.double().mean(1)
    m = v[torch.randint(len(v), (resamples, len(v)))].mean(1)
    return m.quantile(0.025).item(), m.quantile(0.975).item()

# %% 14.3 wrong spread_of_prompts quantiles of the scores
def bootstrap_over_prompts(values, resamples, generator):
    v = values.double().mean(1)
    return v.quantile(0.025).item(), v.quantile(0.975).item()

# %% 14.3 wrong tensors a pair of 0-d tensors
import torch


def bootstrap_over_prompts(values, resamples, generator):
    v = values.double().mean(1)
    rows = torch.randint(len(v), (resamples, len(v)), generator=generator)
    m = v[rows].mean(1)
    return m.quantile(0.025), m.quantile(0.975)

# %% 14.3 wrong bools_averaged mean of what came, in float64 afterwards
import torch


def bootstrap_over_prompts(values, resamples, generator):
    v = values.mean(1).double()
    rows = torch.randint(len(v), (resamples, len(v)), generator=generator)
    m = v[rows].mean(1)
    return m.quantile(0.025).item(), m.quantile(0.975).item()

# %% 14.3 wrong normal_interval plus and minus 1.96 deviations
import torch


def bootstrap_over_prompts(values, resamples, generator):
    v = values.double().mean(1)
    rows = torch.randint(len(v), (resamples, len(v)), generator=generator)
    half = 1.96 * v[rows].mean(1).std()
    return (v.mean() - half).item(), (v.mean() + half).item()

# %% 14.3 wrong wrong_dimension mean over dim 0
import torch


def bootstrap_over_prompts(values, resamples, generator):
    v = values.double().mean(1)
    rows = torch.randint(len(v), (resamples, len(v)), generator=generator)
    m = v[rows].mean(0)
    return m.quantile(0.025).item(), m.quantile(0.975).item()

# %% 14.3 wrong not_interpolated the 5th smallest of 203
import torch


def bootstrap_over_prompts(values, resamples, generator):
    v = values.double().mean(1)
    rows = torch.randint(len(v), (resamples, len(v)), generator=generator)
    m = v[rows].mean(1).sort().values
    return m[int(0.025 * resamples)].item(), m[int(0.975 * resamples)].item()

# %% 14.3 wrong @input sorts in place
import torch


def bootstrap_over_prompts(values, resamples, generator):
    values -= values.double().mean().to(values.dtype)
    v = values.double().mean(1)
    rows = torch.randint(len(v), (resamples, len(v)), generator=generator)
    m = v[rows].mean(1)
    return m.quantile(0.025).item(), m.quantile(0.975).item()

# %% 14.3 wrong fixed_resamples a thousand, whatever is asked
import torch


def bootstrap_over_prompts(values, resamples, generator):
    P = len(values)
    m = values.double().mean(1)
    again = m[torch.randint(P, (1000, P), generator=generator)].mean(1)
    return float(again.quantile(0.025)), float(again.quantile(0.975))

# %% 14.3 wrong - the pivot interval
import torch


def bootstrap_over_prompts(values, resamples, generator):
    P = len(values)
    m = values.double().mean(1)
    again = m[torch.randint(P, (resamples, P), generator=generator)].mean(1)
    return float(2 * m.mean() - again.quantile(0.975)), float(2 * m.mean() - again.quantile(0.025))

# %% 14.3 wrong - a generator of the same first seed
import torch


def bootstrap_over_prompts(values, resamples, generator):
    P = len(values)
    m = values.double().mean(1)
    g = torch.Generator().manual_seed(generator.initial_seed())
    again = m[torch.randint(P, (resamples, P), generator=g)].mean(1)
    return float(again.quantile(0.025)), float(again.quantile(0.975))

# %% 14.3 right sorted by hand, drawn one resample at a time
import math

import torch


def at(ordered, q):
    place = q * (len(ordered) - 1)
    k = math.floor(place)
    nxt = ordered[min(k + 1, len(ordered) - 1)]
    return ordered[k] + (place - k) * (nxt - ordered[k])


def bootstrap_over_prompts(values, resamples, generator):
    means = values.to(torch.float64).mean(-1).tolist()
    P, found = len(means), []
    for _ in range(resamples):
        found.append(sum(means[i] for i in torch.randint(P, (P,), generator=generator).tolist()) / P)
    found.sort()
    return [at(found, 0.025), at(found, 0.975)]

# %% 14.4 right cosines in place of distances
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    unit = lambda z: F.normalize(z.double(), dim=-1)
    best, index = (unit(drawn) @ unit(training).T).max(dim=1)
    usual = (unit(held_out) @ unit(training).T).amax(dim=1)
    far, common = (2 - 2 * best).clamp(min=0).sqrt(), (2 - 2 * usual).clamp(min=0).sqrt()
    return (far < torch.quantile(common, quantile)).double().mean().item(), index

# %% 14.4 right numpy with broadcasting
import numpy as np
import torch


def unit(z):
    z = z.double().numpy()
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def copies(drawn, training, held_out, quantile):
    d, t, h = unit(drawn), unit(training), unit(held_out)
    dist = np.linalg.norm(d[:, None] - t[None], axis=-1)
    limit = np.quantile(np.linalg.norm(h[:, None] - t[None], axis=-1).min(axis=1), quantile)
    return float((dist.min(axis=1) < limit).mean()), torch.from_numpy(dist.argmin(axis=1))

# %% 14.4 right a loop over drawn pictures, in float32
import torch


def copies(drawn, training, held_out, quantile):
    def norm1(z):
        return z.float() / z.float().pow(2).sum(1, keepdim=True).sqrt()

    drawn, training, held_out = norm1(drawn), norm1(training), norm1(held_out)
    usual = torch.stack([(training - one).norm(dim=1).min() for one in held_out])
    limit = usual.quantile(quantile)
    count, places = 0, []
    for picture in drawn:
        d = (training - picture).norm(dim=1)
        places.append(d.argmin())
        count += int(d.min() < limit)
    return count / len(drawn), torch.stack(places)

# %% 14.4 right topk and sum
import torch
from torch.nn.functional import normalize


def copies(drawn, training, held_out, quantile):
    t = normalize(training.double())
    near, place = torch.cdist(normalize(drawn.double()), t).topk(1, dim=1, largest=False)
    usual, _ = torch.cdist(normalize(held_out.double()), t).topk(1, dim=1, largest=False)
    suspects = near.squeeze(1).lt(usual.squeeze(1).quantile(quantile))
    print(suspects)
    return suspects.sum().item() / suspects.numel(), place[:, 0]

# %% 14.4 wrong not_normalised plain features
import torch


def copies(drawn, training, held_out, quantile):
    d, index = torch.cdist(drawn.double(), training.double()).min(1)
    limit = torch.cdist(held_out.double(), training.double()).min(1).values.quantile(quantile)
    return (d < limit).double().mean().item(), index

# %% 14.4 wrong threshold_of_the_drawn quantile of the distances
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    d, index = torch.cdist(F.normalize(drawn.double()), F.normalize(training.double())).min(1)
    return (d < d.quantile(quantile)).double().mean().item(), index

# %% 14.4 wrong all_pairs quantile of the whole matrix
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    a, b, c = (F.normalize(z.double()) for z in (drawn, training, held_out))
    d, index = torch.cdist(a, b).min(1)
    return (d < torch.quantile(torch.cdist(c, b), quantile)).double().mean().item(), index

# %% 14.4 wrong above_counted the wrong sign
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    a, b, c = (F.normalize(z.double()) for z in (drawn, training, held_out))
    d, index = torch.cdist(a, b).min(1)
    limit = torch.cdist(c, b).min(1).values.quantile(quantile)
    return (d > limit).double().mean().item(), index

# %% 14.4 wrong smallest_cosine argmin of the cosines
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    a, b, c = (F.normalize(z.double()) for z in (drawn, training, held_out))
    near, index = (a @ b.T).min(dim=1)
    limit = torch.quantile((c @ b.T).min(dim=1).values, quantile)
    return (near < limit).double().mean().item(), index

# %% 14.4 wrong a_count how many
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    a, b, c = (F.normalize(z.double()) for z in (drawn, training, held_out))
    d, index = torch.cdist(a, b).min(1)
    limit = torch.cdist(c, b).min(1).values.quantile(quantile)
    return float((d < limit).sum()), index

# %% 14.4 wrong other_dimension min over dim 0
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    a, b, c = (F.normalize(z.double(), dim=1) for z in (drawn, training, held_out))
    d, index = torch.cdist(a, b).min(0)
    limit = torch.cdist(c, b).min(1).values.quantile(quantile)
    return (d < limit).double().mean().item(), index

# %% 14.4 wrong index_of_suspects only those below
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    a, b, c = (F.normalize(z.double(), dim=1) for z in (drawn, training, held_out))
    d, index = torch.cdist(a, b).min(1)
    low = d < torch.cdist(c, b).min(1).values.quantile(quantile)
    return low.double().mean().item(), index[low]

# %% 14.4 wrong - a quantile without interpolation
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    a, b, c = (F.normalize(z.double(), dim=1) for z in (drawn, training, held_out))
    d, index = torch.cdist(a, b).min(1)
    usual = torch.cdist(c, b).min(1).values.sort().values
    return (d < usual[int(quantile * len(usual)) - 1]).double().mean().item(), index

# %% 14.4 wrong at_the_threshold at or below it
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    d, t, h = (F.normalize(z, dim=1) for z in (drawn, training, held_out))
    near, index = torch.cdist(d, t).min(1)
    limit = torch.cdist(h, t).min(1).values.quantile(quantile)
    return float((near <= limit).double().mean()), index

# %% 14.4 wrong squared_distances quantile of squares
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    d, t, h = (F.normalize(z, dim=1) for z in (drawn, training, held_out))
    near, index = torch.cdist(d, t).square().min(1)
    limit = torch.cdist(h, t).square().min(1).values.quantile(quantile)
    return float((near < limit).double().mean()), index

# %% 14.4 wrong squared_distances one minus the cosine
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    d, t, h = (F.normalize(z, dim=1) for z in (drawn, training, held_out))
    near, index = (1 - d @ t.T).min(1)
    limit = (1 - h @ t.T).min(1).values.quantile(quantile)
    return float((near < limit).double().mean()), index

# %% 14.4 wrong held_out_not_normalised the other two are
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    d, t = (F.normalize(z, dim=1) for z in (drawn, training))
    near, index = torch.cdist(d, t).min(1)
    limit = torch.cdist(held_out, t).min(1).values.quantile(quantile)
    return float((near < limit).double().mean()), index

# %% 14.4 wrong fixed_quantile always 0.05
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    d, t, h = (F.normalize(z, dim=1) for z in (drawn, training, held_out))
    near, index = torch.cdist(d, t).min(1)
    limit = torch.cdist(h, t).min(1).values.quantile(0.05)
    return float((near < limit).double().mean()), index

# %% 14.4 wrong - searches held-out pictures as well
import torch
import torch.nn.functional as F


def copies(drawn, training, held_out, quantile):
    d, t, h = (F.normalize(z, dim=1) for z in (drawn, training, held_out))
    near, index = torch.cdist(d, torch.cat([t, h])).min(1)
    limit = torch.cdist(h, t).min(1).values.quantile(quantile)
    return float((near < limit).double().mean()), index

# %% 14.5 right prepares first and cuts after
import torch
import torch.nn.functional as F


def to_floats(x):
    if x.dtype == torch.uint8:
        return x.permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return x.float()


def two_sets(real, fake, size, generator):
    a, b = (F.interpolate(to_floats(x), size=size, mode="bilinear", antialias=True) for x in (real, fake))
    n = min(len(a), len(b))
    if len(a) > n:
        a = a[torch.randperm(len(a), generator=generator)[:n]]
    elif len(b) > n:
        b = b[torch.randperm(len(b), generator=generator)[:n]]
    return a, b

# %% 14.5 right einops, over 255 and then 2x - 1
import torch
import torch.nn.functional as F
from einops import rearrange


def two_sets(real, fake, size, generator):
    def cut(x, n):
        if len(x) == n:
            return x
        order = torch.randperm(len(x), generator=generator)
        return torch.index_select(x, 0, order[:n])

    def ready(x):
        if x.dtype == torch.uint8:
            x = 2 * (rearrange(x, "n h w c -> n c h w") / 255) - 1
        return F.interpolate(x.to(torch.float32), size=(size, size), mode="bilinear", antialias=True, align_corners=False)

    n = min(real.shape[0], fake.shape[0])
    return ready(cut(real, n)), ready(cut(fake, n))

# %% 14.5 right moveaxis, one picture after the other
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    count, found = min(len(real), len(fake)), []
    for images in (real, fake):
        keep = range(count)
        if len(images) != count:
            keep = torch.randperm(len(images), generator=generator).tolist()[:count]
        batch = []
        for k in keep:
            image = images[k]
            if image.dtype == torch.uint8:
                image = image.moveaxis(-1, 0).double() / 127.5 - 1
            batch.append(F.interpolate(image[None].float(), (size, size), mode="bilinear", antialias=True))
        found.append(torch.cat(batch))
    return found

# %% 14.5 right library's to_tensor
import torch
import torch.nn.functional as F

from minidiff.utils.images import to_tensor


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))
    pick = lambda x: x if len(x) == n else x[torch.randperm(len(x), generator=generator)[:n]]
    floats = lambda x: to_tensor(x.numpy()) if x.dtype == torch.uint8 else x.float()
    return tuple(F.interpolate(floats(pick(x)), (size, size), mode="bilinear", antialias=True) for x in (real, fake))

# %% 14.5 wrong as_given nothing mended but the raise
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    def prepared(images):
        if images.dtype == torch.uint8:
            images = images.reshape(-1, 3, *images.shape[1:3]) / 255
        return F.interpolate(images.float(), (size, size), mode="bilinear")

    return prepared(real), prepared(fake)

# %% 14.5 wrong bytes_to_0_1 the rest is mended
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))

    def prepared(x):
        if len(x) > n:
            x = x[torch.randperm(len(x), generator=generator)[:n]]
        if x.dtype == torch.uint8:
            x = x.permute(0, 3, 1, 2) / 255
        return F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)

    return prepared(real), prepared(fake)

# %% 14.5 wrong channels_read_as_first view in place of permute
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))

    def prepared(x):
        if len(x) > n:
            x = x[torch.randperm(len(x), generator=generator)[:n]]
        if x.dtype == torch.uint8:
            x = x.contiguous().view(len(x), 3, x.shape[1], x.shape[2]) / 127.5 - 1
        return F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)

    return prepared(real), prepared(fake)

# %% 14.5 wrong aliased everything else is mended
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))

    def prepared(x):
        if len(x) > n:
            x = x[torch.randperm(len(x), generator=generator)[:n]]
        if x.dtype == torch.uint8:
            x = x.permute(0, 3, 1, 2) / 127.5 - 1
        return F.interpolate(x.float(), (size, size), mode="bilinear")

    return prepared(real), prepared(fake)

# %% 14.5 wrong first_ones slices
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))

    def prepared(x):
        if x.dtype == torch.uint8:
            x = x.permute(0, 3, 1, 2) / 127.5 - 1
        return F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)[:n]

    return prepared(real), prepared(fake)

# %% 14.5 wrong counts_unequal not cut
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    def prepared(x):
        if x.dtype == torch.uint8:
            x = x.permute(0, 3, 1, 2) / 127.5 - 1
        return F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)

    return prepared(real), prepared(fake)

# %% 14.5 wrong aliased_and_counts the bytes are mended
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    def prepared(images):
        if images.dtype == torch.uint8:
            images = images.permute(0, 3, 1, 2) / 127.5 - 1
        return F.interpolate(images.float(), (size, size), mode="bilinear")

    return prepared(real), prepared(fake)

# %% 14.5 wrong both_permuted always a permutation
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))

    def prepared(x):
        x = x[torch.randperm(len(x), generator=generator)[:n]]
        if x.dtype == torch.uint8:
            x = x.permute(0, 3, 1, 2) / 127.5 - 1
        return F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)

    return prepared(real), prepared(fake)

# %% 14.5 wrong turned_too transpose of two axes
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))

    def prepared(x):
        if len(x) > n:
            x = x[torch.randperm(len(x), generator=generator)[:n]]
        if x.dtype == torch.uint8:
            x = x.swapaxes(1, 3) / 127.5 - 1
        return F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)

    return prepared(real), prepared(fake)

# %% 14.5 right float64 inside, float32 at the end
import torch
import torch.nn.functional as F
from torch import Tensor


def two_sets(real: Tensor, fake: Tensor, size: int, generator: torch.Generator):
    def prepared(images):
        if not images.is_floating_point():
            images = images.permute(0, 3, 1, 2).double().div(255).sub(0.5).mul(2)
        out = F.interpolate(images.double(), (size, size), mode="bilinear", antialias=True, align_corners=False)
        return out.clamp(-1, 1).to(torch.float32)
    sets = [prepared(real), prepared(fake)]
    n = min(map(len, sets))
    return tuple(s.index_select(0, torch.randperm(len(s), generator=generator)[:n]) if len(s) > n else s for s in sets)

# %% 14.5 wrong layout_guessed by the length of the last axis
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))
    def prepared(s):
        if s.shape[-1] == 3:
            s = s.permute(0, 3, 1, 2)
        s = s / 127.5 - 1 if s.dtype == torch.uint8 else s
        if len(s) > n:
            s = s[torch.randperm(len(s), generator=generator)[:n]]
        return F.interpolate(s.float(), (size, size), mode="bilinear", antialias=True)
    return prepared(real), prepared(fake)

# %% 14.5 wrong over_128 128 for 127.5
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))
    def prepared(s):
        if s.dtype == torch.uint8:
            s = s.permute(0, 3, 1, 2) / 128 - 1
        if len(s) > n:
            s = s[torch.randperm(len(s), generator=generator)[:n]]
        return F.interpolate(s.float(), (size, size), mode="bilinear", antialias=True)
    return prepared(real), prepared(fake)

# %% 14.5 wrong only_real_cut the drawn ones never
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    if len(real) > len(fake):
        real = real[torch.randperm(len(real), generator=generator)[: len(fake)]]
    def prepared(s):
        if s.dtype == torch.uint8:
            s = s.permute(0, 3, 1, 2) / 127.5 - 1
        return F.interpolate(s.float(), (size, size), mode="bilinear", antialias=True)
    return prepared(real), prepared(fake)

# %% 14.5 wrong - a generator of the same first seed
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))
    generator = torch.Generator().manual_seed(generator.initial_seed())
    def prepared(s):
        if s.dtype == torch.uint8:
            s = s.permute(0, 3, 1, 2) / 127.5 - 1
        if len(s) > n:
            s = s[torch.randperm(len(s), generator=generator)[:n]]
        return F.interpolate(s.float(), (size, size), mode="bilinear", antialias=True)
    return prepared(real), prepared(fake)

# %% 14.5 wrong - draws a permutation that isn't needed
import torch
import torch.nn.functional as F


def two_sets(real, fake, size, generator):
    n = min(len(real), len(fake))
    rows = torch.randperm(max(len(real), len(fake)), generator=generator)[:n]
    def prepared(s):
        if s.dtype == torch.uint8:
            s = s.permute(0, 3, 1, 2) / 127.5 - 1
        if len(s) > n:
            s = s[rows]
        return F.interpolate(s.float(), (size, size), mode="bilinear", antialias=True)
    return prepared(real), prepared(fake)

# %% 14.6 right a helper for a row
import torch


def row_of(name, real, fake, right, resamples, seed):
    low, high = bootstrap_over_prompts(right, resamples, torch.Generator().manual_seed(seed))
    kid = 1000 * unbiased_mmd(real, fake)
    return dict(name=name, n=len(fake), fd=frechet_distance(real, fake), kid=kid,
                score=float(right.double().mean()), low=low, high=high)


def rank_samplers(real, draws, scores, resamples, seed):
    counts = [len(d) for d in draws.values()]
    if min(counts) != max(counts):
        raise ValueError(f"counts differ: {counts}")
    mu, sd = real.mean(dim=0), real.std(dim=0).clamp(min=1e-6)
    scale = lambda z: (z - mu) / sd
    rows = [row_of(k, scale(real), scale(d), scores[k], resamples, seed) for k, d in draws.items()]
    rows.sort(key=lambda r: r["fd"])
    return rows

# %% 14.6 right zip, itemgetter, maximum
from operator import itemgetter

import torch


def rank_samplers(real, draws, scores, resamples, seed):
    sizes = set(map(len, draws.values()))
    if len(sizes) != 1:
        raise ValueError("unequal sets")
    n = sizes.pop()
    real = real.to(torch.float64)
    centre, spread = real.mean(0), torch.maximum(real.std(0), torch.tensor(1e-6, dtype=torch.float64))
    table = []
    for name in draws:
        g = torch.Generator()
        g.manual_seed(seed)
        lo, hi = bootstrap_over_prompts(scores[name], resamples, g)
        a, b = (real - centre) / spread, (draws[name].double() - centre) / spread
        table.append({"name": name, "fd": frechet_distance(a, b), "kid": unbiased_mmd(a, b) * 1e3, "n": n,
                      "score": scores[name].double().mean().item(), "low": lo, "high": hi})
    return sorted(table, key=itemgetter("fd"))

# %% 14.6 right divides the cloud by std_mean, arguments swapped
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    ns = [x.shape[0] for x in draws.values()]
    if any(n != ns[0] for n in ns):
        raise ValueError
    std, mean = torch.std_mean(real.double(), dim=0)
    std = torch.where(std < 1e-6, torch.full_like(std, 1e-6), std)
    known = (real.double() - mean) / std
    rows = {}
    for sampler, x in draws.items():
        x = (x.double() - mean) / std
        interval = bootstrap_over_prompts(scores[sampler].double(), resamples, torch.Generator().manual_seed(seed))
        rows[sampler] = dict(zip(("name", "n", "fd", "kid", "score", "low", "high"), (
            sampler, len(x), frechet_distance(x, known), 1000 * unbiased_mmd(x, known),
            scores[sampler].double().mean(), *interval)))
    return [rows[s] for s in sorted(rows, key=lambda s: rows[s]["fd"])]

# %% 14.6 wrong not_scaled features as they are
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len({len(d) for d in draws.values()}) > 1:
        raise ValueError("counts")
    rows = []
    for k, d in draws.items():
        low, high = bootstrap_over_prompts(scores[k], resamples, torch.Generator().manual_seed(seed))
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(real, d), "kid": 1000 * unbiased_mmd(real, d),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"])

# %% 14.6 wrong counts_not_checked ranks anything
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    mu, sd = real.double().mean(0), real.double().std(0).clamp(min=1e-6)
    real, rows = (real.double() - mu) / sd, []
    for k, d in draws.items():
        d = (d.double() - mu) / sd
        low, high = bootstrap_over_prompts(scores[k], resamples, torch.Generator().manual_seed(seed))
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(real, d), "kid": 1000 * unbiased_mmd(real, d),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"])

# %% 14.6 wrong one_generator made before the loop
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len({len(d) for d in draws.values()}) > 1:
        raise ValueError("counts")
    g = torch.Generator().manual_seed(seed)
    mu, sd = real.double().mean(0), real.double().std(0).clamp(min=1e-6)
    real, rows = (real.double() - mu) / sd, []
    for k, d in draws.items():
        d = (d.double() - mu) / sd
        low, high = bootstrap_over_prompts(scores[k], resamples, g)
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(real, d), "kid": 1000 * unbiased_mmd(real, d),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"])

# %% 14.6 wrong kid_not_times_1000 as the function gives it
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len({len(d) for d in draws.values()}) > 1:
        raise ValueError("counts")
    mu, sd = real.double().mean(0), real.double().std(0).clamp(min=1e-6)
    real, rows = (real.double() - mu) / sd, []
    for k, d in draws.items():
        d = (d.double() - mu) / sd
        low, high = bootstrap_over_prompts(scores[k], resamples, torch.Generator().manual_seed(seed))
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(real, d), "kid": unbiased_mmd(real, d),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"])

# %% 14.6 wrong worst_first reverse=True
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len({len(d) for d in draws.values()}) > 1:
        raise ValueError("counts")
    mu, sd = real.double().mean(0), real.double().std(0).clamp(min=1e-6)
    real, rows = (real.double() - mu) / sd, []
    for k, d in draws.items():
        d = (d.double() - mu) / sd
        low, high = bootstrap_over_prompts(scores[k], resamples, torch.Generator().manual_seed(seed))
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(real, d), "kid": 1000 * unbiased_mmd(real, d),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"], reverse=True)

# %% 14.6 wrong not_clamped divides by the deviation
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len({len(d) for d in draws.values()}) > 1:
        raise ValueError("counts")
    mu, sd = real.double().mean(0), real.double().std(0)
    real, rows = (real.double() - mu) / sd, []
    for k, d in draws.items():
        d = (d.double() - mu) / sd
        low, high = bootstrap_over_prompts(scores[k], resamples, torch.Generator().manual_seed(seed))
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(real, d), "kid": 1000 * unbiased_mmd(real, d),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"])

# %% 14.6 wrong each_by_its_own a helper that standardises
import torch


def standardised(z):
    z = z.double()
    return (z - z.mean(0)) / z.std(0).clamp(min=1e-6)


def rank_samplers(real, draws, scores, resamples, seed):
    if len({len(d) for d in draws.values()}) > 1:
        raise ValueError("counts")
    rows = []
    for k, d in draws.items():
        a, b = standardised(real), standardised(d)
        low, high = bootstrap_over_prompts(scores[k], resamples, torch.Generator().manual_seed(seed))
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(a, b), "kid": 1000 * unbiased_mmd(a, b),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"])

# %% 14.6 wrong @input changes the caller's dictionary
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len({len(d) for d in draws.values()}) > 1:
        raise ValueError("counts")
    mu, sd = real.double().mean(0), real.double().std(0).clamp(min=1e-6)
    real, rows = (real.double() - mu) / sd, []
    for k in draws:
        draws[k] = d = (draws[k].double() - mu) / sd
        low, high = bootstrap_over_prompts(scores[k], resamples, torch.Generator().manual_seed(seed))
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(real, d), "kid": 1000 * unbiased_mmd(real, d),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"])

# %% 14.6 wrong scaled_over_all real and drawn ones
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len({len(d) for d in draws.values()}) > 1:
        raise ValueError("counts")
    everything = torch.cat([real, *draws.values()]).double()
    mu, sd = everything.mean(0), everything.std(0).clamp(min=1e-6)
    real, rows = (real.double() - mu) / sd, []
    for k, d in draws.items():
        d = (d.double() - mu) / sd
        low, high = bootstrap_over_prompts(scores[k], resamples, torch.Generator().manual_seed(seed))
        rows.append({"name": k, "n": len(d), "fd": frechet_distance(real, d), "kid": 1000 * unbiased_mmd(real, d),
                     "score": scores[k].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda r: r["fd"])

# %% 14.6 right std_mean, map, draws of one count unpacked
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    n, *others = {x.size(0) for x in draws.values()}
    if others:
        raise ValueError
    std, mean = torch.std_mean(real.double(), dim=0)
    norm = lambda z: (z.double() - mean) / torch.maximum(std, torch.tensor(1e-6))
    def row(name):
        g = torch.Generator(); g.manual_seed(seed)
        low, high = bootstrap_over_prompts(values=scores[name], resamples=resamples, generator=g)
        z = norm(draws[name])
        return dict(name=name, n=n, fd=frechet_distance(norm(real), z), kid=1000 * unbiased_mmd(norm(real), z),
                    score=float(scores[name].to(torch.float64).mean()), low=low, high=high)
    return sorted(map(row, draws), key=lambda r: r["fd"])

# %% 14.6 right the mean score as a tensor
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len(set(map(len, draws.values()))) != 1:
        raise ValueError("not the same N")
    mean, dev = real.mean(0), real.std(0).clamp(min=1e-6)
    rows = []
    for name, feats in draws.items():
        low, high = bootstrap_over_prompts(scores[name], resamples, torch.Generator().manual_seed(seed))
        a, b = (real - mean) / dev, (feats - mean) / dev
        rows.append({"name": name, "n": len(feats), "fd": frechet_distance(a, b), "kid": 1000 * unbiased_mmd(a, b),
                     "score": scores[name].double().mean(), "low": low, "high": high})
    return sorted(rows, key=lambda row: row["fd"])

# %% 14.6 wrong an_assertion assert for raise
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    assert len(set(map(len, draws.values()))) == 1
    mean, dev = real.mean(0), real.std(0).clamp(min=1e-6)
    rows = []
    for name, feats in draws.items():
        low, high = bootstrap_over_prompts(scores[name], resamples, torch.Generator().manual_seed(seed))
        a, b = (real - mean) / dev, (feats - mean) / dev
        rows.append({"name": name, "n": len(feats), "fd": frechet_distance(a, b), "kid": 1000 * unbiased_mmd(a, b),
                     "score": scores[name].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda row: row["fd"])

# %% 14.6 wrong scores_by_order zip of both dicts
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len(set(map(len, draws.values()))) != 1:
        raise ValueError("not the same N")
    mean, dev = real.mean(0), real.std(0).clamp(min=1e-6)
    rows = []
    for (name, feats), score in zip(draws.items(), scores.values()):
        low, high = bootstrap_over_prompts(score, resamples, torch.Generator().manual_seed(seed))
        a, b = (real - mean) / dev, (feats - mean) / dev
        rows.append({"name": name, "n": len(feats), "fd": frechet_distance(a, b), "kid": 1000 * unbiased_mmd(a, b),
                     "score": score.double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda row: row["fd"])

# %% 14.6 wrong seed_ignored always 0
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len(set(map(len, draws.values()))) != 1:
        raise ValueError("not the same N")
    mean, dev = real.mean(0), real.std(0).clamp(min=1e-6)
    rows = []
    for name, feats in draws.items():
        low, high = bootstrap_over_prompts(scores[name], resamples, torch.Generator().manual_seed(0))
        a, b = (real - mean) / dev, (feats - mean) / dev
        rows.append({"name": name, "n": len(feats), "fd": frechet_distance(a, b), "kid": 1000 * unbiased_mmd(a, b),
                     "score": scores[name].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda row: row["fd"])

# %% 14.6 wrong biased_deviation over M
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len(set(map(len, draws.values()))) != 1:
        raise ValueError("not the same N")
    mean, dev = real.mean(0), real.std(0, correction=0).clamp(min=1e-6)
    rows = []
    for name, feats in draws.items():
        low, high = bootstrap_over_prompts(scores[name], resamples, torch.Generator().manual_seed(seed))
        a, b = (real - mean) / dev, (feats - mean) / dev
        rows.append({"name": name, "n": len(feats), "fd": frechet_distance(a, b), "kid": 1000 * unbiased_mmd(a, b),
                     "score": scores[name].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda row: row["fd"])

# %% 14.6 wrong global_dice torch.manual_seed in the loop
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    if len(set(map(len, draws.values()))) != 1:
        raise ValueError("not the same N")
    mean, dev = real.mean(0), real.std(0).clamp(min=1e-6)
    rows = []
    for name, feats in draws.items():
        low, high = bootstrap_over_prompts(scores[name], resamples, torch.manual_seed(seed))
        a, b = (real - mean) / dev, (feats - mean) / dev
        rows.append({"name": name, "n": len(feats), "fd": frechet_distance(a, b), "kid": 1000 * unbiased_mmd(a, b),
                     "score": scores[name].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda row: row["fd"])

# %% 14.6 wrong one_pair_compared the first two
import torch


def rank_samplers(real, draws, scores, resamples, seed):
    first, second, *_ = draws.values()
    if len(first) != len(second):
        raise ValueError("not the same N")
    mean, dev = real.mean(0), real.std(0).clamp(min=1e-6)
    rows = []
    for name, feats in draws.items():
        low, high = bootstrap_over_prompts(scores[name], resamples, torch.Generator().manual_seed(seed))
        a, b = (real - mean) / dev, (feats - mean) / dev
        rows.append({"name": name, "n": len(feats), "fd": frechet_distance(a, b), "kid": 1000 * unbiased_mmd(a, b),
                     "score": scores[name].double().mean().item(), "low": low, "high": high})
    return sorted(rows, key=lambda row: row["fd"])
