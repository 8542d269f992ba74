"""Answers to lesson 02 as learners write them: `right` ones get every point, `wrong` ones don't.

Behind `wrong` stands the mistake whose hint they get, or - for none of their own, or the engine's own: @input, @state, @kind.
"""

# %% 02.1 right a loop that multiplies
import torch


def alpha_bars(betas):
    left, table = torch.ones((), dtype=betas.dtype), []
    table.append(left)
    for b in betas:
        left = left * (1 - b)
        table.append(left)
    return torch.stack(table)

# %% 02.1 right a lambda that pads
import torch.nn.functional as F

alpha_bars = lambda betas: F.pad((1 - betas).cumprod(dim=0), (1, 0), value=1.0)

# %% 02.1 right a beta of 0 for step 0
import torch


def alpha_bars(betas: torch.Tensor) -> torch.Tensor:
    """Step 0 adds no noise, so its beta is 0."""
    with_clean = torch.cat((torch.zeros_like(betas[:1]), betas))
    print(with_clean.shape)
    return torch.cumprod(1.0 - with_clean, dim=0)

# %% 02.1 right by way of numpy
import numpy as np
import torch


def alpha_bars(betas):
    b = betas.detach().cpu().numpy()
    ab = np.cumprod(np.concatenate([np.ones(1, dtype=b.dtype), 1 - b]))
    return torch.from_numpy(ab)

# %% 02.1 right accumulate, with a helper and partial
import operator
from functools import partial
from itertools import accumulate

import torch


def _running(betas, op, first):
    return torch.tensor(list(accumulate((1 - betas).tolist(), op, initial=first)), dtype=betas.dtype)


alpha_bars = partial(_running, op=operator.mul, first=1.0)

# %% 02.1 right in logarithms
import torch


def alpha_bars(betas):
    log_left = torch.log1p(-betas).cumsum(0)      # cộng log thay cho nhân
    return torch.cat([torch.ones_like(betas[:1]), log_left.exp()])

# %% 02.1 right filled in place
import torch


def alpha_bars(betas):
    T = len(betas)
    out = betas.new_empty(T + 1)
    out[0] = 1
    for t in range(1, T + 1):
        out[t] = out[t - 1] * (1 - betas[t - 1])
    return out

# %% 02.1 wrong added one minus the sum
import torch


def alpha_bars(betas):
    total = torch.cumsum(betas, dim=0)
    return torch.cat((torch.ones(1, dtype=betas.dtype), 1 - total))

# %% 02.1 wrong added by hand
import torch


def alpha_bars(betas):
    lost, table = 0.0, [1.0]
    for beta in betas.tolist():
        lost += beta
        table.append(1.0 - lost)
    return torch.tensor(table, dtype=betas.dtype)

# %% 02.1 wrong not_cumulated filled entry by entry
import torch


def alpha_bars(betas):
    result = torch.ones(len(betas) + 1, dtype=betas.dtype)
    for t in range(1, len(betas) + 1):
        result[t] = 1 - betas[t - 1]
    return result

# %% 02.1 wrong product_of_betas the betas in a loop
import torch


def alpha_bars(betas):
    result = [torch.ones((), dtype=betas.dtype)]
    for beta in betas:
        result.append(result[-1] * beta)
    return torch.stack(result)

# %% 02.1 wrong no_clean_entry cumprod alone
import torch


def alpha_bars(betas):
    alphas = 1.0 - betas
    return torch.cumprod(alphas, dim=0)

# %% 02.1 wrong clean_at_the_end padded on the wrong side
import torch


def alpha_bars(betas):
    products = torch.cumprod(1 - betas, dim=0)
    return torch.nn.functional.pad(products, (0, 1), value=1.0)

# %% 02.1 wrong last_step_missing cut to the length of betas
import torch


def alpha_bars(betas):
    alphas = 1 - betas
    clean = betas.new_ones(1)
    return torch.cat([clean, alphas.cumprod(0)[:-1]])

# %% 02.1 wrong last_step_missing one round too few
import torch


def alpha_bars(betas):
    table = [betas.new_tensor(1.0)]
    for t in range(len(betas) - 1):
        table.append(table[t] * (1 - betas[t]))
    return torch.stack(table)

# %% 02.1 wrong zero_in_front zeros for ones
import torch


def alpha_bars(betas):
    prod = torch.cumprod(1 - betas, 0)
    return torch.cat([torch.zeros(1, dtype=betas.dtype), prod])

# %% 02.1 wrong roots as the library's alpha
import torch


def alpha_bars(betas):
    alphas = 1 - betas
    return torch.sqrt(torch.cat([betas.new_ones(1), torch.cumprod(alphas, 0)]))

# %% 02.1 wrong share_of_noise what is lost
import torch


def alpha_bars(betas):
    kept = (1 - betas).cumprod(0)
    return torch.cat([betas.new_ones(1), 1 - kept])

# %% 02.1 wrong always_float32 a table of torch.ones
import torch


def alpha_bars(betas):
    table = torch.ones(len(betas) + 1)
    table[1:] = torch.cumprod(1 - betas, 0)
    return table

# %% 02.1 wrong - always float64
import torch


def alpha_bars(betas):
    betas = betas.double()
    return torch.cat([torch.ones(1).double(), (1 - betas).cumprod(0)])

# %% 02.1 wrong - a list
def alpha_bars(betas):
    table = [1.0]
    for beta in betas:
        table.append(table[-1] * (1 - float(beta)))
    return table

# %% 02.1 wrong - multiplies from the end
import torch


def alpha_bars(betas):
    alphas = (1 - betas).flip(0).cumprod(0).flip(0)
    return torch.cat([betas.new_ones(1), alphas])

# %% 02.1 wrong @input turns betas into alphas in place
import torch


def alpha_bars(betas):
    alphas = betas.neg_().add_(1)
    return torch.cat([betas.new_ones(1), alphas.cumprod(0)])

# %% 02.1 wrong @kind yields them one by one
def alpha_bars(betas):
    left = 1.0
    yield left
    for beta in betas:
        left = left * (1 - beta)
        yield left

# %% 02.2 right as many axes as are needed
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t]
    while a.dim() < x0.dim():
        a = a.unsqueeze(-1)
    return x0 * a ** 0.5 + eps * (1 - a) ** 0.5

# %% 02.2 right einsum
import torch


def q_sample(x_clean, noise, steps, table):
    a = table[steps]
    signal = torch.einsum("b,b...->b...", a.sqrt(), x_clean)
    return signal + torch.einsum("b,b...->b...", (1.0 - a).sqrt(), noise)

# %% 02.2 right example by example
import math

import torch


def one(x, e, a):
    return math.sqrt(a) * x + math.sqrt(1 - a) * e


def q_sample(x0, eps, t, alpha_bar):
    return torch.stack([one(x, e, alpha_bar[k].item()) for x, e, k in zip(x0, eps, t)])

# %% 02.2 right gather, and axes by reshape
import torch


def q_sample(x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    shape = (x0.shape[0],) + (1,) * (x0.ndim - 1)
    mean_weight = alpha_bar.sqrt().gather(0, t).reshape(shape)
    std = (1 - alpha_bar).sqrt().gather(0, t).reshape(shape)
    return torch.addcmul(mean_weight * x0, std, eps)

# %% 02.2 right the batch moved to the end
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t]
    # trục lô ra cuối thì (B,) khớp sẵn
    x, e = x0.movedim(0, -1), eps.movedim(0, -1)
    return (a.sqrt() * x + (1 - a).sqrt() * e).movedim(-1, 0)

# %% 02.2 right the library's per_example, in a lambda
from minidiff.diffusion.schedules import per_example

q_sample = lambda x0, eps, t, ab: per_example(ab[t].sqrt(), x0) * x0 + per_example((1 - ab[t]).sqrt(), x0) * eps

# %% 02.2 right in place, on new tensors
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    out = x0.clone()
    out *= a.sqrt()
    out += (1 - a).sqrt() * eps
    return out

# %% 02.2 wrong no_roots both weights as they are
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].view(-1, *([1] * (x0.dim() - 1)))
    return x0 * a + eps * (1 - a)

# %% 02.2 wrong std_for_variance the noise without a root
import torch


def q_sample(x0, eps, t, alpha_bar):
    mean = torch.sqrt(alpha_bar)[t]
    std = (1 - alpha_bar)[t]
    while mean.ndim < x0.ndim:
        mean, std = mean.unsqueeze(-1), std.unsqueeze(-1)
    return mean * x0 + std * eps

# %% 02.2 wrong data_without_root the data without a root
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].reshape(-1, *(1,) * (x0.ndim - 1))
    return a * x0 + (1 - a).sqrt() * eps

# %% 02.2 wrong root_of_a_root sqrt too early
from minidiff.diffusion.schedules import per_example


def q_sample(x0, eps, t, alpha_bar):
    a = per_example(alpha_bar.sqrt()[t], x0)
    return a * x0 + (1 - a).sqrt() * eps

# %% 02.2 wrong weights_add_up_to_1 a weighted mean
import torch
from minidiff.diffusion.schedules import per_example


def q_sample(x0, eps, t, alpha_bar):
    return torch.lerp(eps, x0, per_example(alpha_bar[t].sqrt(), x0))

# %% 02.2 wrong swapped data and noise
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].reshape([len(t)] + [1] * (x0.ndim - 1))
    return a**0.5 * eps + (1 - a) ** 0.5 * x0

# %% 02.2 wrong data_kept_whole noise on top
def q_sample(x0, eps, t, alpha_bar):
    sigma = (1 - alpha_bar[t]) ** 0.5
    sigma = sigma.view(len(t), *[1] * (x0.ndim - 1))
    return x0 + sigma * eps

# %% 02.2 wrong one_t_for_all the first t
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t[0]]
    return a.sqrt() * x0 + (1 - a).sqrt() * eps

# %% 02.2 wrong one_t_for_all by item
def q_sample(x0, eps, t, alpha_bar):
    step = t.flatten()[0].item()
    a = float(alpha_bar[step])
    return a ** 0.5 * x0 + (1 - a) ** 0.5 * eps

# %% 02.2 wrong off_by_one as in tables without a clean entry
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t - 1].view(-1, *[1] * (x0.ndim - 1))
    return a.sqrt() * x0 + (1 - a).sqrt() * eps

# %% 02.2 wrong along_the_width no reshape at all
def q_sample(x0, eps, t, alpha_bar):
    return alpha_bar[t].sqrt() * x0 + (1 - alpha_bar[t]).sqrt() * eps

# %% 02.2 wrong pictures_only three axes of 1
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t][:, None, None, None]
    return a.sqrt() * x0 + (1 - a).sqrt() * eps

# %% 02.2 wrong points_only one axis of 1
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].reshape(-1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps

# %% 02.2 wrong own_noise eps is not used
import torch
from minidiff.diffusion.schedules import per_example


def q_sample(x0, eps, t, alpha_bar):
    a = per_example(alpha_bar[t], x0)
    noise = torch.randn_like(x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * noise

# %% 02.2 wrong multiplied_again takes the table for alphas
import torch
from minidiff.diffusion.schedules import per_example


def q_sample(x0, eps, t, alpha_bar):
    kept = torch.cumprod(alpha_bar, dim=0)
    a = per_example(kept[t], x0)
    return torch.sqrt(a) * x0 + torch.sqrt(1 - a) * eps

# %% 02.2 wrong - takes the noise away
from minidiff.diffusion.schedules import per_example


def q_sample(x0, eps, t, alpha_bar):
    a = per_example(alpha_bar[t], x0)
    return a.sqrt() * x0 - (1 - a).sqrt() * eps

# %% 02.2 wrong clamped as a picture
from minidiff.diffusion.schedules import per_example


def q_sample(x0, eps, t, alpha_bar):
    a = per_example(alpha_bar[t], x0)
    return (a.sqrt() * x0 + (1 - a).sqrt() * eps).clamp(-1, 1)

# %% 02.2 wrong @input scales x0 in place
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x0 *= a.sqrt()
    return x0 + (1 - a).sqrt() * eps

# %% 02.2 wrong @state leaves float64 as the default
import torch
from minidiff.diffusion.schedules import per_example


def q_sample(x0, eps, t, alpha_bar):
    torch.set_default_dtype(torch.float64)
    a = per_example(alpha_bar[t], x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps

# %% 02.3 right mse_loss
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    noisy = q_sample(x0, eps, t, alpha_bar)
    pred = network(noisy, t)
    return F.mse_loss(pred, eps)

# %% 02.3 right written out, without q_sample
import torch


def ddpm_loss(model, x0, t, noise, ab):
    a = ab[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = torch.sqrt(a) * x0 + torch.sqrt(1 - a) * noise
    return torch.mean((noise - model(x_t, t)) ** 2)

# %% 02.3 right summed and divided by hand
def ddpm_loss(network, x0, t, eps, alpha_bar):
    error = (network(q_sample(x0, eps, t, alpha_bar), t) - eps).flatten()
    return error @ error / error.numel()

# %% 02.3 right the criterion as a constant
from torch import nn

criterion = nn.MSELoss()


def ddpm_loss(network, x0, t, eps, alpha_bar):
    print("t", t)
    return criterion(network(q_sample(x0, eps, t, alpha_bar), t), eps)

# %% 02.3 right per picture, then over the batch
def per_picture(pred, goal):
    return (pred - goal).pow(2).flatten(1).mean(dim=1)


ddpm_loss = lambda net, x0, t, eps, ab: per_picture(net(q_sample(x0, eps, t, ab), t), eps).mean()

# %% 02.3 wrong clean_target aims at x0
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    return F.mse_loss(network(x_t, t), x0)

# %% 02.3 wrong clean_input shows x0
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    predicted = network(x0, t)
    return F.mse_loss(predicted, eps)

# %% 02.3 wrong summed reduction sum
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    return F.mse_loss(network(x_t, t), eps, reduction="sum")

# %% 02.3 wrong summed_per_picture the norm of each picture
def ddpm_loss(network, x0, t, eps, alpha_bar):
    diff = network(q_sample(x0, eps, t, alpha_bar), t) - eps
    return (diff ** 2).sum(dim=tuple(range(1, diff.ndim))).mean()

# %% 02.3 wrong one_per_example a loss for each picture
def ddpm_loss(network, x0, t, eps, alpha_bar):
    se = (network(q_sample(x0, eps, t, alpha_bar), t) - eps) ** 2
    return se.view(len(x0), -1).mean(1)

# %% 02.3 wrong rmse the root on top
import torch


def ddpm_loss(network, x0, t, eps, alpha_bar):
    x_t = q_sample(x0, eps, t, alpha_bar)
    return torch.sqrt(torch.mean((eps - network(x_t, t)) ** 2))

# %% 02.3 wrong squared_too_late the square of the mean
def ddpm_loss(network, x0, t, eps, alpha_bar):
    x_t = q_sample(x0, eps, t, alpha_bar)
    return (eps - network(x_t, t)).mean() ** 2

# %% 02.3 wrong no_square l1_loss
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    return F.l1_loss(network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t), eps)

# %% 02.3 wrong noise_twice a target of its own
import torch


def ddpm_loss(network, x0, t, eps, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    target = torch.randn(x0.shape)
    return torch.mean((target - network(x_t, t)) ** 2)

# %% 02.3 wrong own_noise eps drawn anew
import torch


def ddpm_loss(network, x0, t, eps, alpha_bar):
    eps = torch.randn_like(x0)
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    return torch.mean((eps - network(x_t, t)) ** 2)

# %% 02.3 wrong roles_swapped q_sample with its arguments swapped
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    return F.mse_loss(network(q_sample(eps, x0, t, alpha_bar), t), eps)

# %% 02.3 wrong eps_for_t in the order of this function
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    x_t = q_sample(x0, t, eps, alpha_bar)
    return F.mse_loss(network(x_t, t), eps)

# %% 02.3 wrong plain_number item
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    loss = F.mse_loss(network(q_sample(x0, eps, t, alpha_bar), t), eps)
    return loss.item()

# %% 02.3 wrong no_gradient under no_grad
import torch
import torch.nn.functional as F


@torch.no_grad()
def ddpm_loss(network, x0, t, eps, alpha_bar):
    return F.mse_loss(network(q_sample(x0, eps, t, alpha_bar), t), eps)

# %% 02.3 wrong no_gradient the prediction detached
def ddpm_loss(network, x0, t, eps, alpha_bar):
    pred = network(q_sample(x0, eps, t, alpha_bar), t).detach()
    return ((pred - eps) ** 2).mean()

# %% 02.3 wrong - half of it
def ddpm_loss(network, x0, t, eps, alpha_bar):
    pred = network(q_sample(x0, eps, t, alpha_bar), t)
    return 0.5 * ((pred - eps) ** 2).mean()

# %% 02.3 wrong - smooth_l1_loss
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    return F.smooth_l1_loss(network(q_sample(x0, eps, t, alpha_bar), t), eps)

# %% 02.3 wrong own_backward takes the gradient at once
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    loss = F.mse_loss(network(q_sample(x0, eps, t, alpha_bar), t), eps)
    loss.backward()
    return loss

# %% 02.3 wrong - tells the network t between 0 and 1
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    T = len(alpha_bar) - 1
    return F.mse_loss(network(q_sample(x0, eps, t, alpha_bar), t / T), eps)

# %% 02.3 wrong @input takes the prediction off eps in place
def ddpm_loss(network, x0, t, eps, alpha_bar):
    pred = network(q_sample(x0, eps, t, alpha_bar), t)
    eps -= pred
    return (eps ** 2).mean()

# %% 02.4 right mended as it stands
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    x_s = weight_x0 * x0 + weight_x * x + variance**0.5 * noise
    return x_s

# %% 02.4 right as DDIM with eta = 1
import torch


def ancestral_step(x, x0, ab_t, ab_s, z):
    eps = (x - ab_t.sqrt() * x0) / (1 - ab_t).sqrt()
    var = (1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)
    direction = torch.sqrt(torch.clamp(1 - ab_s - var, min=0)) * eps
    return ab_s.sqrt() * x0 + direction + var.sqrt() * z

# %% 02.4 right with plain numbers from math
import math


def posterior(a_t, a_s):
    beta, rest = 1 - a_t / a_s, (1 - a_s) / (1 - a_t)
    return math.sqrt(a_s) * beta / (1 - a_t), math.sqrt(a_t / a_s) * rest, math.sqrt(beta * rest)


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    w0, w, std = posterior(float(alpha_bar_t), float(alpha_bar_s))
    return w0 * x0 + w * x + std * noise

# %% 02.4 right no noise at the end by hand, and a floor under the variance
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    scale = (1 - alpha_bar_s) / (1 - alpha_bar_t)
    mean = (alpha_bar_s ** 0.5 * (1 - alpha) / (1 - alpha_bar_t)) * x0 + (alpha ** 0.5 * scale) * x
    if alpha_bar_s == 1:
        return mean
    return mean + ((1 - alpha) * scale).clamp(min=1e-20).sqrt() * noise

# %% 02.4 wrong as_given only the raise taken out
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    weight_x = alpha_bar_t.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + variance * noise

# %% 02.4 wrong variance_for_std one of two faults mended
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + variance * noise

# %% 02.4 wrong variance_for_std in the paper's own form besides
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    beta = 1 - alpha_bar_t / alpha_bar_s
    scale = (1 - alpha_bar_s) / (1 - alpha_bar_t)
    eps = (x - alpha_bar_t**0.5 * x0) / (1 - alpha_bar_t) ** 0.5
    mean = (x - beta / (1 - alpha_bar_t) ** 0.5 * eps) / (1 - beta) ** 0.5
    return mean + beta * scale * noise

# %% 02.4 wrong alpha_bar_for_alpha the other fault mended
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    beta = 1 - alpha_bar_t / alpha_bar_s
    rest = (1 - alpha_bar_s) / (1 - alpha_bar_t)
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    return weight_x0 * x0 + alpha_bar_t.sqrt() * rest * x + (beta * rest).sqrt() * noise

# %% 02.4 wrong alpha_for_alpha_bar beta as the divisor
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    variance = (1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    mean = alpha_bar_s.sqrt() * x0 + alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha) * x
    return mean + variance.sqrt() * noise

# %% 02.4 wrong noise_at_the_end beta for the variance
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + beta.sqrt() * noise

# %% 02.4 wrong noise_at_the_end in the paper's own form besides
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    eps = (x - alpha_bar_t.sqrt() * x0) / (1 - alpha_bar_t).sqrt()
    mean = (x - beta / (1 - alpha_bar_t).sqrt() * eps) / alpha.sqrt()
    return mean + beta.sqrt() * noise

# %% 02.4 wrong forward_variance beta, but none at the end
import torch


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    w_x0 = torch.sqrt(alpha_bar_s) * (1 - alpha) / (1 - alpha_bar_t)
    w_x = torch.sqrt(alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    z = noise if alpha_bar_s < 1 else torch.zeros_like(noise)
    return w_x0 * x0 + w_x * x + torch.sqrt(1 - alpha) * z

# %% 02.4 wrong no_share_of_x the mean of x0 alone
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    beta = 1 - alpha_bar_t / alpha_bar_s
    std = (beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)) ** 0.5
    return std * noise + alpha_bar_s**0.5 * x0

# %% 02.4 wrong no_noise the mean
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    weight_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x

# %% 02.4 wrong root_of_the_wrong_step t and s confused under a root
def ancestral_step(x, x0, ab_t, ab_s, noise):
    alpha = ab_t / ab_s
    var = (1 - ab_s) / (1 - ab_t) * (1 - alpha)
    mu = (ab_t ** 0.5 * (1 - alpha) * x0 + alpha ** 0.5 * (1 - ab_s) * x) / (1 - ab_t)
    return mu + var ** 0.5 * noise

# %% 02.4 wrong upside_down s over t
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_s / alpha_bar_t
    beta = 1 - alpha
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + variance.sqrt() * noise

# %% 02.4 wrong through_eps the paper's own form
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    eps = (x - alpha_bar_t.sqrt() * x0) / (1 - alpha_bar_t).sqrt()
    mean = (x - beta / (1 - alpha_bar_t).sqrt() * eps) / alpha.sqrt()
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return mean + variance.sqrt() * noise

# %% 02.4 wrong clamped_x0 as for pictures
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    x0 = x0.clamp(-1, 1)
    alpha = alpha_bar_t / alpha_bar_s
    scale = (1 - alpha_bar_s) / (1 - alpha_bar_t)
    mean = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t) * x0 + alpha.sqrt() * scale * x
    return mean + ((1 - alpha) * scale).sqrt() * noise

# %% 02.4 wrong own_noise the argument is not used
import torch


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    scale = (1 - alpha_bar_s) / (1 - alpha_bar_t)
    mean = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t) * x0 + alpha.sqrt() * scale * x
    return mean + ((1 - alpha) * scale).sqrt() * torch.randn(x.shape, dtype=x.dtype)

# %% 02.4 wrong - by precisions, not a number at the end
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    variance = 1 / (alpha / beta + 1 / (1 - alpha_bar_s))
    mean = variance * (alpha.sqrt() / beta * x + alpha_bar_s.sqrt() / (1 - alpha_bar_s) * x0)
    return mean + variance.sqrt() * noise

# %% 02.4 wrong - the weights of x and x0 swapped
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x + weight_x * x0 + variance.sqrt() * noise

# %% 02.4 wrong @input adds to x in place
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    scale = (1 - alpha_bar_s) / (1 - alpha_bar_t)
    x.mul_(alpha.sqrt() * scale)
    x.add_(alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t) * x0)
    return x.add_(((1 - alpha) * scale).sqrt() * noise)

# %% 02.5 right while, under no_grad
import torch


def sample_ddpm(denoise, x, alpha_bar, noise):
    with torch.no_grad():
        t = len(alpha_bar) - 1
        while t > 0:
            steps = torch.ones(x.shape[0], dtype=torch.long) * t
            x0 = denoise(x, steps)
            x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
            t -= 1
    return x

# %% 02.5 right inference mode, pairs of entries
import torch
from itertools import pairwise


@torch.inference_mode()
def sample_ddpm(model, x_T, ab, noise):
    x, T = x_T, ab.numel() - 1
    for k, (now, then) in enumerate(pairwise(ab.flip(0))):
        step = T - k
        guess = model(x, torch.tensor([step] * len(x)))
        x = ancestral_step(x, guess, now, then, noise(step))
    return x

# %% 02.5 right no noise drawn for the last step
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    B = x.size(0)
    for t in reversed(range(1, alpha_bar.shape[0])):
        z = noise(t) if t > 1 else torch.zeros_like(x)
        x0 = denoise(x, torch.full(size=(B,), fill_value=t, dtype=torch.int64))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], z)
    return x

# %% 02.5 right calls itself, grad mode put back by hand
import torch


def from_step(t, denoise, x, alpha_bar, noise):
    if t == 0:
        return x
    x0 = denoise(x, torch.full((len(x),), t))
    x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return from_step(t - 1, denoise, x, alpha_bar, noise)


def sample_ddpm(denoise, x, alpha_bar, noise):
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    x = from_step(len(alpha_bar) - 1, denoise, x, alpha_bar, noise)
    torch.set_grad_enabled(before)
    return x

# %% 02.5 right the step written out, all t made beforehand
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    steps = torch.arange(len(alpha_bar) - 1, 0, -1)               # T, ..., 1
    for t in steps:
        a, b = alpha_bar[t], alpha_bar[t - 1]
        x0, scale = denoise(x, t.repeat(len(x))), (1 - b) / (1 - a)
        mean = b.sqrt() * (1 - a / b) / (1 - a) * x0 + (a / b).sqrt() * scale * x
        x = mean + ((1 - a / b) * scale).sqrt() * noise(int(t))
    return x

# %% 02.5 wrong missing_no_grad the loop alone
import torch


def sample_ddpm(denoise, x, alpha_bar, noise):
    T = len(alpha_bar) - 1
    for t in range(T, 0, -1):
        x0 = denoise(x, torch.full((x.shape[0],), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong detached at the end
import torch


def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x.detach()

# %% 02.5 wrong detached at every step
import torch


def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t)).detach()
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong @state gradients switched off for good
import torch


def sample_ddpm(denoise, x, alpha_bar, noise):
    torch.set_grad_enabled(False)
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong time_after_the_step counts the steps by their end
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for s in reversed(range(len(alpha_bar) - 1)):
        x0 = denoise(x, torch.tensor([s] * len(x)))
        x = ancestral_step(x, x0, alpha_bar[s + 1], alpha_bar[s], noise(s + 1))
    return x

# %% 02.5 wrong stops_early range to 1
import torch


def sample_ddpm(denoise, x, alpha_bar, noise):
    with torch.no_grad():
        for t in range(len(alpha_bar) - 1, 1, -1):
            x0 = denoise(x, torch.full((len(x),), t))
            x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong starts_late one less than the last index
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    T = len(alpha_bar) - 1
    for t in reversed(range(1, T)):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong counts_up from 1 to T
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(1, len(alpha_bar)):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong same_noise drawn before the loop
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    t = len(alpha_bar) - 1
    z = noise(t)
    while t > 0:
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], z)
        t -= 1
    return x

# %% 02.5 wrong same_noise and no no_grad besides
import torch


def sample_ddpm(denoise, x, alpha_bar, noise):
    T = len(alpha_bar) - 1
    z = noise(T)
    for t in range(T, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], z)
    return x

# %% 02.5 wrong noise_of_the_next_step noise of s
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        s = t - 1
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[s], noise(s))
    return x

# %% 02.5 wrong own_noise randn_like in the loop
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], torch.randn(x.shape, dtype=x.dtype))
    return x

# %% 02.5 wrong clamped_guess as in the lesson's pictures
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        guess = torch.clip(denoise(x, torch.full((len(x),), t)), -1.0, 1.0)
        x = ancestral_step(x, guess, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong t_as_int the loop's own t
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x = ancestral_step(x, denoise(x, t), alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong t_without_batch a tensor of one number
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in torch.arange(len(alpha_bar) - 1, 0, -1):
        x = ancestral_step(x, denoise(x, t), alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong t_as_float ones times t
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.ones(len(x)) * t)
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong - t between 0 and 1
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    T = len(alpha_bar) - 1
    for t in range(T, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t / T))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 wrong entries_swapped where it goes, then where it is
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t - 1], alpha_bar[t], noise(t))
    return x

# %% 02.5 wrong always_from_the_start the result under another name
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))
        out = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return out

# %% 02.5 wrong @kind yields every x, as the lesson's loop does
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
        yield x

# %% 02.5 wrong @input copies each step into x
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))
        x.copy_(ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t)))
    return x

# %% 02.5 wrong - the step written out in the paper's own form
import torch


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(len(alpha_bar) - 1, 0, -1):
        a, b = alpha_bar[t], alpha_bar[t - 1]
        eps = (x - a.sqrt() * denoise(x, torch.full((len(x),), t))) / (1 - a).sqrt()
        x = (x - (1 - a / b) / (1 - a).sqrt() * eps) / (a / b).sqrt()
        x = x + ((1 - a / b) * (1 - b) / (1 - a)).sqrt() * noise(t)
    return x

# %% 02.6 right state_dict, mul_ and add_
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (x0.shape[0],), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].mul_(decay).add_(v, alpha=1 - decay)
    return ema

# %% 02.6 right a shadow of the network, zero_grad after the step
import copy

import torch


def train_ddpm(net, opt, batches, ab, g, d):
    shadow = copy.deepcopy(net).requires_grad_(False)
    for n in range(len(batches)):
        x0 = batches[n]
        t = torch.randint(low=1, high=ab.numel(), size=(x0.size(0),), generator=g)
        loss = ddpm_loss(net, x0, t, torch.empty_like(x0).normal_(generator=g), ab)
        loss.backward()
        opt.step()
        opt.zero_grad()
        for slow, fast in zip(shadow.parameters(), net.parameters()):
            slow.data = d * slow.data + (1 - d) * fast.data
    return dict(shadow.named_parameters())

# %% 02.6 right the loss written out, new tensors at every step
import torch
import torch.nn.functional as F


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    avg = {n: p.detach().clone() for n, p in network.named_parameters()}
    for step, x0 in enumerate(batches):
        t = torch.randint(len(alpha_bar) - 1, (len(x0),), generator=generator) + 1
        eps = torch.normal(torch.zeros_like(x0), 1.0, generator=generator)
        loss = F.mse_loss(network(q_sample(x0, eps, t, alpha_bar), t), eps)
        network.zero_grad()
        loss.backward()
        optimizer.step()
        print(step, loss.item())
        avg = {n: decay * avg[n] + (1 - decay) * p.detach() for n, p in network.named_parameters()}
    return avg

# %% 02.6 right a helper for the average, and a closure
import torch


@torch.no_grad()
def follow(average, network, decay):
    for name, w in network.named_parameters():
        average[name] += (1 - decay) * (w - average[name])


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    average = {name: w.data.clone() for name, w in network.named_parameters()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), x0.shape[:1], generator=generator)
        eps = torch.randn(*x0.shape, generator=generator)

        def closure():
            optimizer.zero_grad()
            loss = ddpm_loss(network, x0, t, eps, alpha_bar)
            loss.backward()
            return loss

        optimizer.step(closure)
        follow(average, network, decay)
    return average

# %% 02.6 right train mode for the time of the loop
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    mode = network.training
    network.train()
    names, weights = zip(*network.named_parameters())
    ema = [w.detach().clone() for w in weights]
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad(set_to_none=False)
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        torch._foreach_lerp_(ema, [w.detach() for w in weights], 1 - decay)
    network.train(mode)
    return dict(zip(names, ema))

# %% 02.6 wrong no_zero_grad forgotten
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss = ddpm_loss(network, x0, t, eps, alpha_bar)
        loss.backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k] = decay * ema[k] + (1 - decay) * v
    return ema

# %% 02.6 wrong no_zero_grad once, before the loop
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    optimizer.zero_grad()
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong never_learns step before backward
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    avg = {n: p.detach().clone() for n, p in network.named_parameters()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss = ddpm_loss(network, x0, t, eps, alpha_bar)
        optimizer.zero_grad()
        optimizer.step()
        loss.backward()
        avg = {n: decay * avg[n] + (1 - decay) * p.detach() for n, p in network.named_parameters()}
    return avg

# %% 02.6 wrong never_learns zero_grad after backward
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    avg = {n: p.detach().clone() for n, p in network.named_parameters()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        network.zero_grad()
        optimizer.step()
        for n, p in network.named_parameters():
            avg[n] = decay * avg[n] + (1 - decay) * p.detach()
    return avg

# %% 02.6 wrong a_step_late step, zero_grad, backward
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    avg = {n: p.detach().clone() for n, p in network.named_parameters()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss = ddpm_loss(network, x0, t, eps, alpha_bar)
        optimizer.step()
        optimizer.zero_grad()
        loss.backward()
        for n, p in network.named_parameters():
            avg[n].lerp_(p.data, 1 - decay)
    return avg

# %% 02.6 wrong one_t a single number
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    avg = {n: p.detach().clone() for n, p in network.named_parameters()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (1,), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss = ddpm_loss(network, x0, t, eps, alpha_bar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for n, p in network.named_parameters():
            avg[n].lerp_(p.data, 1 - decay)
    return avg

# %% 02.6 wrong one_t filled with the same one
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    T = len(alpha_bar) - 1
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        k = torch.randint(1, T + 1, (), generator=generator).item()
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, torch.full((len(x0),), k), eps, alpha_bar).backward()
        optimizer.step()
        for name, v in network.state_dict().items():
            ema[name] = decay * ema[name] + (1 - decay) * v
    return ema

# %% 02.6 wrong from_0 all entries of the table
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong without_T the upper end forgotten
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    T = len(alpha_bar) - 1
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, T, size=(len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong as_in_a_shorter_table 0 to T - 1
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    T = len(alpha_bar) - 1
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(0, T, (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong eps_first the noise, then the step
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        noise = torch.randn(x0.shape, generator=generator)
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, noise, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong without_the_generator as in the lesson
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),))
        eps = torch.randn_like(x0)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong eps_without_the_generator randn_like
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        loss = ddpm_loss(network, x0, t, torch.randn(x0.shape), alpha_bar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong uniform_noise rand
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.rand(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong one_eps of the shape of an example
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0[0].shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong decay_swapped the weights of the average swapped
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k] = (1 - decay) * ema[k] + decay * v
    return ema

# %% 02.6 wrong average_from_0 begins with zeros
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: torch.zeros(v.shape) for k, v in network.named_parameters()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k] = decay * ema[k] + (1 - decay) * v
    return ema

# %% 02.6 wrong shared_memory state_dict without clone
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    average = network.state_dict()
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            average[k].lerp_(v, 1 - decay)
    return average

# %% 02.6 wrong from_the_first_step state_dict without clone, and new tensors
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    average = dict(network.state_dict())
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            average[k] = decay * average[k] + (1 - decay) * v
    return average

# %% 02.6 wrong one_step_behind the average before the step
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    average = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        for k, v in network.state_dict().items():
            average[k].lerp_(v, 1 - decay)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
    return average

# %% 02.6 wrong averaged_once after the loop
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    average = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
    for k, v in network.state_dict().items():
        average[k] = average[k] * decay + v * (1 - decay)
    return average

# %% 02.6 wrong no_average a copy of the trained weights
import copy

import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
    return copy.deepcopy(network.state_dict())

# %% 02.6 wrong shared_memory returns the network's own weights
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
    return network.state_dict()

# %% 02.6 wrong warm_up the library's EMA
import torch
from minidiff.train.ema import EMA


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = EMA(network, decay)
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        ema.update(network)
    return ema.average

# %% 02.6 wrong plain_mean the mean of all weights
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    kept = [{k: v.clone() for k, v in network.state_dict().items()}]
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        kept.append({k: v.clone() for k, v in network.state_dict().items()})
    return {k: torch.stack([w[k] for w in kept]).mean(0) for k in kept[0]}

# %% 02.6 wrong keeps_the_graph parameters with their gradients
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    average = {k: p.detach().clone() for k, p in network.named_parameters()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, p in network.named_parameters():
            average[k] = decay * average[k] + (1 - decay) * p
    return average

# %% 02.6 wrong keeps_the_graph the parameters of a deep copy
import copy

import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    shadow = copy.deepcopy(network)
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for slow, fast in zip(shadow.parameters(), network.parameters()):
            slow.data.lerp_(fast.data, 1 - decay)
    return {k: p for k, p in shadow.named_parameters()}

# %% 02.6 wrong average_in_the_network loaded at the end
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    network.load_state_dict(ema)
    return ema

# %% 02.6 wrong nothing_returned no return
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)

# %% 02.6 wrong switched_to_training train() first
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    network.train()
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong left_in_evaluation train() first, eval() last
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    network.train()
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    network.eval()
    return ema

# %% 02.6 wrong - returns after the first batch
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
        return ema

# %% 02.6 wrong - clips the gradient
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong - an optimizer of its own
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong network_returned a shadow of the network
import copy

import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = copy.deepcopy(network)
    for x0 in batches:
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(ema.parameters(), network.parameters()):
                slow.lerp_(fast, 1 - decay)
    return ema

# %% 02.6 wrong @input takes the batches off the list
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    while batches:
        x0 = batches.pop(0)
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        for k, v in network.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
    return ema

# %% 02.6 wrong @state gradients off after the loop
import torch


def train_ddpm(network, optimizer, batches, alpha_bar, generator, decay):
    ema = {k: v.clone() for k, v in network.state_dict().items()}
    for x0 in batches:
        torch.set_grad_enabled(True)
        t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        optimizer.zero_grad()
        ddpm_loss(network, x0, t, eps, alpha_bar).backward()
        optimizer.step()
        torch.set_grad_enabled(False)
        for k, p in network.named_parameters():
            ema[k].lerp_(p, 1 - decay)
    return ema
