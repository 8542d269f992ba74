# Wrong answers to lesson 04 as learners write them; each must be recognised as its mistake.

# %% 04.1 leading
import torch


def trailing_timesteps(n):
    stride = 1000 // n
    return torch.tensor([k * stride for k in range(n)][::-1])

# %% 04.1 ascending
import torch


def trailing_timesteps(n):
    stride = 1000 / n
    return torch.tensor([round(stride * (k + 1)) - 1 for k in range(n)])

# %% 04.1 off_by_one
import torch


def trailing_timesteps(n):
    stride = 1000 / n
    return torch.tensor([round(1000 - k * stride) for k in range(n)])

# %% 04.1 linspace
import numpy as np
import torch


def trailing_timesteps(n):
    return torch.from_numpy(np.linspace(999, 0, n).round().astype(np.int64))

# %% 04.1 cut_off
import torch


def trailing_timesteps(n):
    return torch.tensor([int(1000 - k * 1000 / n) - 1 for k in range(n)])

# %% 04.2 keeps_all_eps
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    alpha_s, sigma_s = schedule.alpha(s), schedule.sigma(s)
    ratio = (sigma_s / alpha_s) / (schedule.sigma(t) / schedule.alpha(t))
    x = alpha_s * x0 + sigma_s * eps
    if eta > 0:
        x = x + eta * torch.sqrt(1 - ratio ** 2) * sigma_s * noise
    return x

# %% 04.2 eta_outside
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    ratio = (schedule.sigma(s) / schedule.alpha(s)) / (schedule.sigma(t) / schedule.alpha(t))
    std = schedule.sigma(s) * torch.sqrt(1 - ratio ** 2)
    mean = schedule.alpha(s) * x0 + torch.sqrt(schedule.sigma(s) ** 2 - std ** 2) * eps
    return mean + eta * std * noise

# %% 04.2 alpha_bar
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    alpha_bar_t, alpha_bar_s = schedule.alpha(t), schedule.alpha(s)
    std = eta * torch.sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s))
    direction = torch.sqrt(1 - alpha_bar_s - std ** 2) * eps
    x = torch.sqrt(alpha_bar_s) * x0 + direction
    return x + std * noise if eta > 0 else x

# %% 04.2 noise_always
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    if noise is None:
        noise = torch.randn_like(x0)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * (r * eps + torch.sqrt(1 - r ** 2) * noise)

# %% 04.2 stays_at_t
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = (schedule.sigma(s) / schedule.alpha(s)) * (schedule.alpha(t) / schedule.sigma(t))
    c2 = eta ** 2 * (1 - r ** 2)
    x = schedule.mix(x0, (1 - c2) ** 0.5 * eps, t)
    return x if eta == 0 else x + schedule.sigma(t) * c2 ** 0.5 * noise

# %% 04.2 ratio_over
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(t) * schedule.alpha(s) / (schedule.alpha(t) * schedule.sigma(s))
    c = eta * torch.sqrt(1 - r ** 2)
    fresh = torch.zeros_like(x0) if noise is None else noise
    return schedule.alpha(s) * x0 + schedule.sigma(s) * (torch.sqrt(1 - c ** 2) * eps + c * fresh)

# %% 04.3 no_average
def heun_step(denoiser, x, schedule, t, s):
    x0, eps = denoiser(x, t)
    guess = schedule.alpha(s) * x0 + schedule.sigma(s) * eps
    slope = denoiser(guess, s)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return schedule.alpha(s) * (x / schedule.alpha(t) + gap * slope)

# %% 04.3 euler
def heun_step(denoiser, x, schedule, t, s):
    x0, eps = denoiser(x, t)
    guess = schedule.alpha(s) * x0 + schedule.sigma(s) * eps
    denoiser(guess, s)
    return guess

# %% 04.3 second_slope_at_x
def heun_step(denoiser, x, schedule, t, s):
    first = denoiser(x, t)[1]
    second = denoiser(x, s)[1]
    rho_t, rho_s = schedule.sigma(t) / schedule.alpha(t), schedule.sigma(s) / schedule.alpha(s)
    return schedule.alpha(s) * (x / schedule.alpha(t) + (rho_s - rho_t) * 0.5 * (first + second))

# %% 04.3 unscaled_guess
def heun_step(denoiser, x, schedule, t, s):
    rho_t, rho_s = schedule.sigma(t) / schedule.alpha(t), schedule.sigma(s) / schedule.alpha(s)
    u = x / schedule.alpha(t)
    first = denoiser(x, t)[1]
    second = denoiser(u + (rho_s - rho_t) * first, s)[1]
    return schedule.alpha(s) * (u + (rho_s - rho_t) * (first + second) / 2)

# %% 04.3 second_slope_at_t
def heun_step(denoiser, x, schedule, t, s):
    x0, first = denoiser(x, t)
    guess = schedule.mix(x0, first, s)
    second = denoiser(guess, t)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return guess + schedule.alpha(s) * gap * (second - first) / 2

# %% 04.3 wrong_sign
def heun_step(denoiser, x, schedule, t, s):
    gap = schedule.sigma(t) / schedule.alpha(t) - schedule.sigma(s) / schedule.alpha(s)
    u = x / schedule.alpha(t)
    first = denoiser(x, t)[1]
    second = denoiser(schedule.alpha(s) * (u + gap * first), s)[1]
    return schedule.alpha(s) * (u + gap * (first + second) / 2)

# %% 04.3 sum_of_slopes
def heun_step(denoiser, x, schedule, t, s):
    x0, first = denoiser(x, t)
    second = denoiser(schedule.mix(x0, first, s), s)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return schedule.alpha(s) / schedule.alpha(t) * x + schedule.alpha(s) * gap * first + schedule.alpha(s) * gap * second

# %% 04.4 ratio_inverted
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is not None:
        h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
        h_prev = schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
        aim = x0 + 0.5 * (h_prev / h) * (x0 - x0_prev)
    else:
        aim = x0
    return schedule.mix(aim, (x - schedule.alpha(t) * aim) / schedule.sigma(t), s)

# %% 04.4 minus_sign
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is not None:
        h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
        h_prev = schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
        x0 = x0 + h / (2 * h_prev) * (x0_prev - x0)
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * eps

# %% 04.4 eps_not_recomputed
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    if x0_prev is not None:
        lam = [schedule.log_snr_half(u) for u in (t_prev, t, s)]
        r = (lam[1] - lam[0]) / (lam[2] - lam[1])
        x0 = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * x0_prev
    return schedule.alpha(s) * x0 + schedule.sigma(s) * eps

# %% 04.4 extrapolates_at_first
import torch


def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
    h_prev = h if t_prev is None else schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
    previous = torch.zeros_like(x0) if x0_prev is None else x0_prev
    aim = x0 + h / (2 * h_prev) * (x0 - previous)
    return schedule.mix(aim, (x - schedule.alpha(t) * aim) / schedule.sigma(t), s)

# %% 04.4 no_half
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is not None:
        lam = schedule.log_snr_half
        slope = (x0 - x0_prev) / (lam(t) - lam(t_prev))
        x0 = x0 + slope * (lam(s) - lam(t))
    return schedule.mix(x0, (x - schedule.alpha(t) * x0) / schedule.sigma(t), s)

# %% 04.5 as_it_was
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.arange(n, 0, -1, dtype=torch.float64) / n
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, s)
        x = step(schedule, x0, eps, t, s)
    return x

# %% 04.5 ends_early
import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    for k in range(n, 1, -1):
        t, s = torch.tensor(k / n, dtype=torch.float64), torch.tensor((k - 1) / n, dtype=torch.float64)
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
    return x

# %% 04.5 end_of_the_step
import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    for i in range(n):
        x0, eps = denoiser(x, timesteps[i + 1])
        x = step(schedule, x0, eps, timesteps[i], timesteps[i + 1])
    return x

# %% 04.5 one_step_short
import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.linspace(1, 0, n, dtype=torch.float64)
    for i in range(len(timesteps) - 1):
        x0, eps = denoiser(x, timesteps[i])
        x = step(schedule, x0, eps, timesteps[i], timesteps[i + 1])
    return x

# %% 04.5 rising
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.linspace(0, 1, n + 1, dtype=torch.float64)
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
    return x
