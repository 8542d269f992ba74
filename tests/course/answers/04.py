"""Answers to lesson 04 as learners write them: `right` ones get every point, `wrong` ones don't.

Behind `wrong` stands the mistake whose hint they get, or - for none of their own, or the engine's own: @input, @state, @kind.
"""

# %% 04.1 right a comprehension over Python's own round, which also takes halves to the even number
import torch


def trailing_timesteps(n):
    return torch.tensor([round(1000 - k * 1000 / n) - 1 for k in range(n)])

# %% 04.1 right numpy, with the length cut to n
import numpy as np
import torch


def trailing_timesteps(n: int) -> torch.Tensor:
    counts = np.arange(1000, 0, -1000 / n)[:n]
    return torch.from_numpy(np.round(counts).astype(np.int64) - 1)

# %% 04.1 right a linspace without its last value, as a lambda
import torch

trailing_timesteps = lambda n: torch.linspace(1000, 0, n + 1, dtype=torch.float64)[:-1].round().long() - 1

# %% 04.1 right functools.partial of a function for any table
import functools

import torch


def _trailing(n, total):
    counts = total - total / n * torch.arange(n)
    return torch.round(counts).to(torch.int64) - 1


trailing_timesteps = functools.partial(_trailing, total=1000)

# %% 04.1 right filled in by a loop, printing left in
import torch

TOTAL = 1000


def trailing_timesteps(n):
    out = torch.zeros(n, dtype=torch.long)
    stride = TOTAL / n
    for i in range(n):
        count = torch.tensor(TOTAL - i * stride).round()
        out[i] = int(count) - 1
    print(n, "->", out[:3].tolist())
    return out

# %% 04.1 wrong leading counts up from 0, then reversed
import torch


def trailing_timesteps(n):
    stride = 1000 // n
    return torch.tensor([k * stride for k in range(n)][::-1])

# %% 04.1 wrong ascending counts the other way
import torch


def trailing_timesteps(n):
    stride = 1000 / n
    return torch.tensor([round(stride * (k + 1)) - 1 for k in range(n)])

# %% 04.1 wrong off_by_one counts, not indices
import torch


def trailing_timesteps(n):
    stride = 1000 / n
    return torch.tensor([round(1000 - k * stride) for k in range(n)])

# %% 04.1 wrong linspace numpy's linspace, both ends
import numpy as np
import torch


def trailing_timesteps(n):
    return torch.from_numpy(np.linspace(999, 0, n).round().astype(np.int64))

# %% 04.1 wrong cut_off int cuts
import torch


def trailing_timesteps(n):
    return torch.tensor([int(1000 - k * 1000 / n) - 1 for k in range(n)])

# %% 04.1 wrong rounded_last subtracts 1 before it rounds
import torch


def trailing_timesteps(n):
    counts = 1000 - torch.arange(n, dtype=torch.float64) * (1000 / n)
    return (counts - 1).round().long()

# %% 04.1 wrong half_up int(c + .5), the rounding of other languages
import torch


def trailing_timesteps(n):
    counts = [1000 - k * (1000 / n) for k in range(n)]
    return torch.tensor([int(c + .5) - 1 for c in counts])

# %% 04.1 wrong half_up by floor
import math

import torch


def trailing_timesteps(n):
    idx = []
    for k in range(n):
        idx.append(math.floor(1000 * (1 - k / n) - 0.5))
    return torch.tensor(idx, dtype=torch.long)

# %% 04.1 wrong whole_stride range with //
import torch


def trailing_timesteps(n):
    stride = 1000 // n
    return torch.tensor(list(range(1000, 0, -stride))[:n]) - 1

# %% 04.1 wrong floats no int anywhere
import torch


def trailing_timesteps(n):
    steps = torch.arange(n, dtype=torch.float64)
    return torch.round(1000 - steps * 1000 / n) - 1

# %% 04.1 wrong a_list a Python list
def trailing_timesteps(n):
    return [round(1000 - k * 1000 / n) - 1 for k in range(n)]

# %% 04.1 wrong one_too_many linspace with its last value
import torch


def trailing_timesteps(n):
    return torch.linspace(1000, 0, n + 1, dtype=torch.float64).round().long() - 1

# %% 04.1 wrong overrun the arange of diffusers
import numpy as np
import torch


def trailing_timesteps(n):
    timesteps = np.round(np.arange(1000, 0, -1000 / n)).astype(np.int64)
    timesteps -= 1
    return torch.from_numpy(timesteps)

# %% 04.1 wrong - the library's own times, not indices
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import trailing


def trailing_timesteps(n):
    return trailing(get_schedule("cosine"), n)

# %% 04.1 wrong - a stride that was rounded
import torch


def trailing_timesteps(n):
    stride = round(1000 / n)
    return torch.arange(999, -1, -stride)[:n]

# %% 04.1 wrong @state sets float64 for everybody
import torch


def trailing_timesteps(n):
    torch.set_default_dtype(torch.float64)
    counts = 1000 - torch.arange(n) * (1000 / n)
    return counts.round().long() - 1

# %% 04.1 wrong @kind yields the timesteps
def trailing_timesteps(n):
    for k in range(n):
        yield round(1000 - k * 1000 / n) - 1

# %% 04.2 right std as in the DDIM paper, with its root clamped
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    ab_t, ab_s = schedule.alpha(t) ** 2, schedule.alpha(s) ** 2
    std = eta * torch.sqrt((1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s))
    direction = torch.sqrt(torch.clamp(1 - ab_s - std**2, min=0)) * eps
    out = torch.sqrt(ab_s) * x0 + direction
    if eta > 0:
        out = out + std * noise
    return out

# %% 04.2 right plain numbers by item
import math


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    a_t, s_t = schedule.alpha(t).item(), schedule.sigma(t).item()
    a_s, s_s = schedule.alpha(s).item(), schedule.sigma(s).item()
    r = s_s * a_t / (a_s * s_t)
    c = eta * math.sqrt(1 - r * r)
    if noise is None:
        noise = 0
    return a_s * x0 + s_s * (math.sqrt(1 - c * c) * eps + c * noise)

# %% 04.2 right r from the log SNR, noise mixed before schedule.mix
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r2 = torch.exp(2 * (schedule.log_snr_half(t) - schedule.log_snr_half(s)))
    c2 = eta ** 2 * (1 - r2)
    mixed = eps
    if eta != 0:
        mixed = torch.sqrt(1 - c2) * eps + torch.sqrt(c2) * noise
    return schedule.mix(x0, mixed, s)

# %% 04.2 right ratios of noise to signal, zeros for no noise, no_grad
import torch


def rho(schedule, when):
    return schedule.sigma(when) / schedule.alpha(when)


@torch.no_grad()
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    c = eta * torch.sqrt(1 - (rho(schedule, s) / rho(schedule, t)) ** 2)
    fresh = torch.zeros_like(eps) if noise is None else noise
    z = (1 - c**2).sqrt() * eps + c * fresh  # standard normal again
    return schedule.alpha(s) * x0 + schedule.sigma(s) * z

# %% 04.2 wrong keeps_all_eps adds the noise on top
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    alpha_s, sigma_s = schedule.alpha(s), schedule.sigma(s)
    ratio = (sigma_s / alpha_s) / (schedule.sigma(t) / schedule.alpha(t))
    x = alpha_s * x0 + sigma_s * eps
    if eta > 0:
        x = x + eta * torch.sqrt(1 - ratio ** 2) * sigma_s * noise
    return x

# %% 04.2 wrong eta_outside eta on the noise alone
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    ratio = (schedule.sigma(s) / schedule.alpha(s)) / (schedule.sigma(t) / schedule.alpha(t))
    std = schedule.sigma(s) * torch.sqrt(1 - ratio ** 2)
    mean = schedule.alpha(s) * x0 + torch.sqrt(schedule.sigma(s) ** 2 - std ** 2) * eps
    return mean + eta * std * noise

# %% 04.2 wrong eta_as_a_switch eta only in the if
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / schedule.alpha(s) / schedule.sigma(t)
    c = (1 - r ** 2) ** 0.5
    mixed = (1 - c ** 2) ** 0.5 * eps
    if eta > 0:
        mixed = mixed + c * noise
    return schedule.alpha(s) * x0 + schedule.sigma(s) * mixed

# %% 04.2 wrong alpha_bar alpha taken for alpha_bar
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    alpha_bar_t, alpha_bar_s = schedule.alpha(t), schedule.alpha(s)
    std = eta * torch.sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s))
    direction = torch.sqrt(1 - alpha_bar_s - std ** 2) * eps
    x = torch.sqrt(alpha_bar_s) * x0 + direction
    return x + std * noise if eta > 0 else x

# %% 04.2 wrong noise_always the ancestral step, whatever eta is
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    if noise is None:
        noise = torch.randn_like(x0)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * (r * eps + torch.sqrt(1 - r ** 2) * noise)

# %% 04.2 wrong stays_at_t mixes in the proportions of t
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = (schedule.sigma(s) / schedule.alpha(s)) * (schedule.alpha(t) / schedule.sigma(t))
    c2 = eta ** 2 * (1 - r ** 2)
    x = schedule.mix(x0, (1 - c2) ** 0.5 * eps, t)
    return x if eta == 0 else x + schedule.sigma(t) * c2 ** 0.5 * noise

# %% 04.2 wrong ratio_over r upside down
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(t) * schedule.alpha(s) / (schedule.alpha(t) * schedule.sigma(s))
    c = eta * torch.sqrt(1 - r ** 2)
    fresh = torch.zeros_like(x0) if noise is None else noise
    return schedule.alpha(s) * x0 + schedule.sigma(s) * (torch.sqrt(1 - c ** 2) * eps + c * fresh)

# %% 04.2 wrong sigmas_alone leaves the alphas out of r
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    sig_t, sig_s = schedule.sigma(t), schedule.sigma(s)
    c2 = eta**2 * (1 - (sig_s / sig_t) ** 2)
    x = schedule.alpha(s) * x0 + sig_s * (1 - c2).sqrt() * eps
    return x if noise is None else x + sig_s * c2.sqrt() * noise

# %% 04.2 wrong c_is_eta eta as the share of fresh noise
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    kept = (1 - eta ** 2) ** 0.5
    z = kept * eps + (eta * noise if eta else 0)
    return schedule.mix(x0, z, s)

# %% 04.2 wrong no_root forgets the root in c
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r * r)
    out = schedule.alpha(s) * x0 + schedule.sigma(s) * (1 - c * c).sqrt() * eps
    if noise is not None:
        out = out + schedule.sigma(s) * c * noise
    return out

# %% 04.2 wrong eta_under_the_root c squared is eta times the share
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    a_t, s_t, a_s, s_s = schedule.alpha(t), schedule.sigma(t), schedule.alpha(s), schedule.sigma(s)
    fresh = eta * (1 - (s_s * a_t / a_s / s_t) ** 2)    # share of the variance
    x = a_s * x0 + s_s * (1 - fresh).sqrt() * eps
    if eta > 0:
        x = x + s_s * fresh.sqrt() * noise
    return x

# %% 04.2 wrong weights_add_up a blend of old and new noise by lerp
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = float(eta * torch.sqrt(1 - r ** 2))
    z = eps if noise is None else torch.lerp(eps, noise, c)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * z

# %% 04.2 wrong eps_without_root the kept share of the variance as a weight
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r**2).sqrt()
    new = 0 if eta == 0 else c * noise
    return schedule.alpha(s) * x0 + schedule.sigma(s) * ((1 - c**2) * eps + new)

# %% 04.2 wrong noise_at_full_size sigma_s before eps alone
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r**2).sqrt()
    x = schedule.mix(x0, (1 - c**2).sqrt() * eps, s)
    if eta:
        x = x + c * noise
    return x

# %% 04.2 wrong noise_of_its_own randn_like in place of noise
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r**2).sqrt()
    x = schedule.alpha(s) * x0 + schedule.sigma(s) * (1 - c**2).sqrt() * eps
    if eta > 0:
        x += schedule.sigma(s) * c * torch.randn_like(x)
    return x

# %% 04.2 wrong clamped x0 kept within the picture's range
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    x0 = x0.clamp(-1, 1)
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r**2).sqrt()
    x = schedule.mix(x0, (1 - c**2).sqrt() * eps, s)
    return x if eta == 0 else x + schedule.sigma(s) * c * noise

# %% 04.2 wrong none_times_c c is 0 but noise is None
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * torch.sqrt(1 - r**2)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * (torch.sqrt(1 - c**2) * eps + c * noise)

# %% 04.2 wrong root_below_zero std as in the DDIM paper, nan at t = 1
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    ab_t, ab_s = schedule.alpha(t) ** 2, schedule.alpha(s) ** 2
    var = eta**2 * (1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)
    std = torch.sqrt(var)
    pred_dir = torch.sqrt(1 - ab_s - std**2) * eps
    x_prev = torch.sqrt(ab_s) * x0 + pred_dir
    return x_prev if noise is None else x_prev + std * noise

# %% 04.2 wrong @input scales x0 in place
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r**2).sqrt()
    x0 *= schedule.alpha(s)
    x0 += schedule.sigma(s) * (1 - c**2).sqrt() * eps
    return x0 if eta == 0 else x0 + schedule.sigma(s) * c * noise

# %% 04.2 wrong mean_of_ddpm the mean of the reverse process, with eta on its noise
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    a_t, s_t, a_s, s_s = schedule.alpha(t), schedule.sigma(t), schedule.alpha(s), schedule.sigma(s)
    x_t = a_t * x0 + s_t * eps
    a_ts = a_t / a_s
    var_ts = s_t**2 - a_ts**2 * s_s**2
    mean = (a_ts * s_s**2 * x_t + a_s * var_ts * x0) / s_t**2
    std = s_s * var_ts.sqrt() / s_t
    return mean + eta * std * noise if eta > 0 else mean

# %% 04.2 wrong - c from 1 - r in place of the root
def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r)
    x = schedule.alpha(s) * x0 + schedule.sigma(s) * (1 - c**2).sqrt() * eps
    return x if eta == 0 else x + schedule.sigma(s) * c * noise

# %% 04.2 wrong - never adds the noise
import torch


def ddim_step(schedule, x0, eps, t, s, eta=0.0, noise=None):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * torch.sqrt(1 - r**2)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * torch.sqrt(1 - c**2) * eps

# %% 04.3 right with the exercise before for the guess
def heun_step(denoiser, x, schedule, t, s):
    x0, first = denoiser(x, t)
    guess = ddim_step(schedule, x0, first, t, s)
    second = denoiser(guess, s)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return guess + schedule.alpha(s) * gap * (second - first) / 2

# %% 04.3 right a function for rho and one for the slope
import torch


@torch.no_grad()
def heun_step(denoiser, x, schedule, t, s):
    rho = lambda v: schedule.sigma(v) / schedule.alpha(v)
    slope = lambda u, v: denoiser(u * schedule.alpha(v), v)[1]

    u = x / schedule.alpha(t)
    d1 = slope(u, t)
    d2 = slope(u + (rho(s) - rho(t)) * d1, s)
    return (u + (rho(s) - rho(t)) * 0.5 * (d1 + d2)) * schedule.alpha(s)

# %% 04.3 right the mean of two Euler ends, in plain numbers
def heun_step(denoiser, x, schedule, t, s):
    a_t, s_t, a_s, s_s = (float(v) for v in (schedule.alpha(t), schedule.sigma(t), schedule.alpha(s), schedule.sigma(s)))
    b = s_s - a_s * s_t / a_t

    def end(eps):
        return a_s / a_t * x + b * eps

    k1 = denoiser(x, t)[1]
    k2 = denoiser(end(k1), s)[1]
    return (end(k1) + end(k2)) / 2

# %% 04.3 right slopes collected in a stack
import torch


def heun_step(denoiser, x, schedule, t, s):
    u_t = x.div(schedule.alpha(t))
    h = schedule.log_snr_half(s).neg().exp() - schedule.log_snr_half(t).neg().exp()
    slopes, point = [], x
    for when in (t, s):
        _, eps = denoiser(point, when)
        slopes.append(eps)
        point = schedule.alpha(s) * (u_t + h * torch.stack(slopes).mean(0))
    return point

# %% 04.3 wrong no_average the second slope alone
def heun_step(denoiser, x, schedule, t, s):
    x0, eps = denoiser(x, t)
    guess = schedule.alpha(s) * x0 + schedule.sigma(s) * eps
    slope = denoiser(guess, s)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return schedule.alpha(s) * (x / schedule.alpha(t) + gap * slope)

# %% 04.3 wrong euler asks twice and returns the guess
def heun_step(denoiser, x, schedule, t, s):
    x0, eps = denoiser(x, t)
    guess = schedule.alpha(s) * x0 + schedule.sigma(s) * eps
    denoiser(guess, s)
    return guess

# %% 04.3 wrong one_call Euler's step alone
def heun_step(denoiser, x, schedule, t, s):
    x0, eps = denoiser(x, t)
    return ddim_step(schedule, x0, eps, t, s)

# %% 04.3 wrong second_slope_at_x the old x at the new time
def heun_step(denoiser, x, schedule, t, s):
    first = denoiser(x, t)[1]
    second = denoiser(x, s)[1]
    rho_t, rho_s = schedule.sigma(t) / schedule.alpha(t), schedule.sigma(s) / schedule.alpha(s)
    return schedule.alpha(s) * (x / schedule.alpha(t) + (rho_s - rho_t) * 0.5 * (first + second))

# %% 04.3 wrong unscaled_guess gives the denoiser a u
def heun_step(denoiser, x, schedule, t, s):
    rho_t, rho_s = schedule.sigma(t) / schedule.alpha(t), schedule.sigma(s) / schedule.alpha(s)
    u = x / schedule.alpha(t)
    first = denoiser(x, t)[1]
    second = denoiser(u + (rho_s - rho_t) * first, s)[1]
    return schedule.alpha(s) * (u + (rho_s - rho_t) * (first + second) / 2)

# %% 04.3 wrong second_slope_at_t the new point at the old time
def heun_step(denoiser, x, schedule, t, s):
    x0, first = denoiser(x, t)
    guess = schedule.mix(x0, first, s)
    second = denoiser(guess, t)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return guess + schedule.alpha(s) * gap * (second - first) / 2

# %% 04.3 wrong wrong_sign rho_t less rho_s
def heun_step(denoiser, x, schedule, t, s):
    gap = schedule.sigma(t) / schedule.alpha(t) - schedule.sigma(s) / schedule.alpha(s)
    u = x / schedule.alpha(t)
    first = denoiser(x, t)[1]
    second = denoiser(schedule.alpha(s) * (u + gap * first), s)[1]
    return schedule.alpha(s) * (u + gap * (first + second) / 2)

# %% 04.3 wrong sum_of_slopes without the half
def heun_step(denoiser, x, schedule, t, s):
    x0, first = denoiser(x, t)
    second = denoiser(schedule.mix(x0, first, s), s)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return schedule.alpha(s) / schedule.alpha(t) * x + schedule.alpha(s) * gap * first + schedule.alpha(s) * gap * second

# %% 04.3 wrong from_the_guess a variable used twice
def heun_step(denoiser, x, schedule, t, s):
    length = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    u = x / schedule.alpha(t)
    _, eps = denoiser(x, t)
    u = u + length * eps
    _, eps_s = denoiser(schedule.alpha(s) * u, s)
    u = u + length * (eps + eps_s) / 2
    return schedule.alpha(s) * u

# %% 04.3 wrong u_returned forgets to go back to x
def heun_step(denoiser, x, schedule, t, s):
    u = x / schedule.alpha(t)
    d = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    _, e1 = denoiser(x, t)
    _, e2 = denoiser(schedule.alpha(s) * (u + d * e1), s)
    u = u + d * (e1 + e2) / 2
    return u

# %% 04.3 wrong x_for_u Heun in x-space
def heun_step(denoiser, x, schedule, t, s):
    sigma_t, sigma_s = schedule.sigma(t) / schedule.alpha(t), schedule.sigma(s) / schedule.alpha(s)
    dt = sigma_s - sigma_t
    d = denoiser(x, t)[1]
    x_next = x + dt * d
    d_next = denoiser(x_next, s)[1]
    return x + dt * (0.5 * d + 0.5 * d_next)

# %% 04.3 wrong karras_on_x Karras' algorithm 1, copied as it is
def heun_step(denoiser, x, schedule, t, s):
    sigma_cur, sigma_next = schedule.sigma(t), schedule.sigma(s)
    denoised, _ = denoiser(x, t)
    d_cur = (x - denoised) / sigma_cur
    x_next = x + (sigma_next - sigma_cur) * d_cur
    denoised, _ = denoiser(x_next, s)
    d_prime = (x_next - denoised) / sigma_next
    return x + (sigma_next - sigma_cur) * (0.5 * d_cur + 0.5 * d_prime)

# %% 04.3 wrong midpoint the slope halfway in time
def heun_step(denoiser, x, schedule, t, s):
    mid = 0.5 * (t + s)
    x0, eps = denoiser(x, t)
    half = schedule.mix(x0, eps, mid)
    slope = denoiser(half, mid)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return schedule.alpha(s) * (x / schedule.alpha(t) + gap * slope)

# %% 04.3 wrong x0_for_eps takes the first of the pair
def heun_step(denoiser, x, schedule, t, s):
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    u = x / schedule.alpha(t)
    slope, _ = denoiser(x, t)
    ahead = schedule.alpha(s) * (u + gap * slope)
    slope_ahead, _ = denoiser(ahead, s)
    return schedule.alpha(s) * (u + gap * (slope + slope_ahead) / 2)

# %% 04.3 wrong called_again one call for x0 and one for eps
def heun_step(denoiser, x, schedule, t, s):
    x0, eps = denoiser(x, t)[0], denoiser(x, t)[1]
    eps2 = denoiser(schedule.mix(x0, eps, s), s)[1]
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return schedule.alpha(s) * (x / schedule.alpha(t) + gap * (eps + eps2) / 2)

# %% 04.3 wrong @input divides x in place
def heun_step(denoiser, x, schedule, t, s):
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    _, eps = denoiser(x, t)
    x /= schedule.alpha(t)
    _, eps2 = denoiser(schedule.alpha(s) * (x + gap * eps), s)
    return schedule.alpha(s) * (x + gap * (eps + eps2) / 2)

# %% 04.3 wrong - the guess scaled with alpha of t
def heun_step(denoiser, x, schedule, t, s):
    gap = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    u = x / schedule.alpha(t)
    e1 = denoiser(x, t)[1]
    e2 = denoiser(schedule.alpha(t) * (u + gap * e1), s)[1]
    return schedule.alpha(s) * (u + gap * (e1 + e2) / 2)

# %% 04.3 wrong - Heun over the time instead of rho
def heun_step(denoiser, x, schedule, t, s):
    u = x / schedule.alpha(t)
    d1 = denoiser(x, t)[1]
    d2 = denoiser(schedule.alpha(s) * (u + (s - t) * d1), s)[1]
    return schedule.alpha(s) * (u + (s - t) * (d1 + d2) / 2)

# %% 04.4 right in the paper's own form, with expm1
import torch


def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    lam = schedule.log_snr_half
    h = lam(s) - lam(t)
    D = x0
    if x0_prev is not None:
        r = (lam(t) - lam(t_prev)) / h
        D = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * x0_prev
    return schedule.sigma(s) / schedule.sigma(t) * x - schedule.alpha(s) * torch.expm1(-h) * D

# %% 04.4 right with the exercise of the step, and lambda by hand
import torch


def lam(schedule, time):
    return torch.log(schedule.alpha(time) / schedule.sigma(time))


def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is not None and t_prev is not None:
        slope = (x0 - x0_prev) / (lam(schedule, t) - lam(schedule, t_prev))
        x0 = x0 + slope * (lam(schedule, s) - lam(schedule, t)) / 2
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    return ddim_step(schedule, x0, eps, t, s)

# %% 04.4 right as diffusers writes it, with D0 and D1
import torch


def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    lambda_s0, lambda_t = schedule.log_snr_half(t), schedule.log_snr_half(s)
    h = lambda_t - lambda_s0
    scale = schedule.alpha(s) * (torch.exp(-h) - 1.0)
    out = (schedule.sigma(s) / schedule.sigma(t)) * x - scale * x0
    if x0_prev is not None:
        r0 = (lambda_s0 - schedule.log_snr_half(t_prev)) / h
        D1 = (1.0 / r0) * (x0 - x0_prev)
        out = out - 0.5 * scale * D1
    return out

# %% 04.4 right a comparison with ==, one return for each case
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    def ddim(aim):
        eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
        return schedule.mix(aim, eps, s)

    if t_prev == None:
        return ddim(x0)
    l0, l1, l2 = [schedule.log_snr_half(u) for u in [t_prev, t, s]]
    return ddim(x0 + 0.5 * (l2 - l1) / (l1 - l0) * (x0 - x0_prev))

# %% 04.4 right log SNR in place of its half, times as floats
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    log_snr = lambda v: float((schedule.alpha(v) ** 2).log() - (schedule.sigma(v) ** 2).log())
    weight = 0.0
    if x0_prev is not None:
        weight = (log_snr(s) - log_snr(t)) / (log_snr(t) - log_snr(t_prev)) / 2
    else:
        x0_prev = x0
    aim = (1 + weight) * x0 - weight * x0_prev
    noise = (x - aim * schedule.alpha(t)) / schedule.sigma(t)
    return aim * schedule.alpha(s) + noise * schedule.sigma(s)

# %% 04.4 wrong ratio_inverted h_prev over h
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is not None:
        h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
        h_prev = schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
        aim = x0 + 0.5 * (h_prev / h) * (x0 - x0_prev)
    else:
        aim = x0
    return schedule.mix(aim, (x - schedule.alpha(t) * aim) / schedule.sigma(t), s)

# %% 04.4 wrong minus_sign the change the wrong way round
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is not None:
        h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
        h_prev = schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
        x0 = x0 + h / (2 * h_prev) * (x0_prev - x0)
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * eps

# %% 04.4 wrong minus_sign h_prev the wrong way round
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    l = schedule.log_snr_half
    aim = x0 if x0_prev is None else x0 + (l(s) - l(t)) / (2 * (l(t_prev) - l(t))) * (x0 - x0_prev)
    return schedule.mix(aim, (x - schedule.alpha(t) * aim) / schedule.sigma(t), s)

# %% 04.4 wrong eps_not_recomputed eps worked out first
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    if x0_prev is not None:
        lam = [schedule.log_snr_half(u) for u in (t_prev, t, s)]
        r = (lam[1] - lam[0]) / (lam[2] - lam[1])
        x0 = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * x0_prev
    return schedule.alpha(s) * x0 + schedule.sigma(s) * eps

# %% 04.4 wrong extrapolates_at_first zeros for the missing prediction
import torch


def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
    h_prev = h if t_prev is None else schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
    previous = torch.zeros_like(x0) if x0_prev is None else x0_prev
    aim = x0 + h / (2 * h_prev) * (x0 - previous)
    return schedule.mix(aim, (x - schedule.alpha(t) * aim) / schedule.sigma(t), s)

# %% 04.4 wrong inf_over_inf x0 for the missing prediction, at any time
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    lam_t, lam_s = schedule.log_snr_half(t), schedule.log_snr_half(s)
    h = lam_s - lam_t
    if x0_prev is None:
        x0_prev, h_prev = x0, h
    else:
        h_prev = lam_t - schedule.log_snr_half(t_prev)
    aim = x0 + 0.5 * (h / h_prev) * (x0 - x0_prev)
    return schedule.mix(aim, (x - schedule.alpha(t) * aim) / schedule.sigma(t), s)

# %% 04.4 wrong line_from_x0_prev interpolation between the two points
def line(at, a, y_a, b, y_b):
    w = (at - a) / (b - a)
    return y_a + w * (y_b - y_a)


def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is not None:
        lam = schedule.log_snr_half
        middle = 0.5 * (lam(t) + lam(s))
        x0 = line(middle, lam(t_prev), x0_prev, lam(t), x0)
    return schedule.mix(x0, (x - schedule.alpha(t) * x0) / schedule.sigma(t), s)

# %% 04.4 wrong no_half aims at the end of the step
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is not None:
        lam = schedule.log_snr_half
        slope = (x0 - x0_prev) / (lam(t) - lam(t_prev))
        x0 = x0 + slope * (lam(s) - lam(t))
    return schedule.mix(x0, (x - schedule.alpha(t) * x0) / schedule.sigma(t), s)

# %% 04.4 wrong lengths_in_time differences of times
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    aim = x0
    if x0_prev is not None:
        h, h_prev = t - s, t_prev - t
        aim = x0 + h / (2 * h_prev) * (x0 - x0_prev)
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% 04.4 wrong h_prev_over_both measured from t_prev to s
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if t_prev is not None:
        h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
        total = schedule.log_snr_half(s) - schedule.log_snr_half(t_prev)
        x0 = x0 + 0.5 * h / total * (x0 - x0_prev)
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * eps

# %% 04.4 wrong change_alone the correction without x0
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    if x0_prev is None:
        aim = x0
    else:
        h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
        h_prev = schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
        aim = (x0 - x0_prev) * h / (2 * h_prev)
    return schedule.mix(aim, (x - schedule.alpha(t) * aim) / schedule.sigma(t), s)

# %% 04.4 wrong stays_at_t mixes at t
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    a, b = schedule.alpha(t), schedule.sigma(t)
    if x0_prev is not None:
        lam = schedule.log_snr_half
        x0 = x0 + (lam(s) - lam(t)) / (lam(t) - lam(t_prev)) / 2 * (x0 - x0_prev)
    eps = (x - a * x0) / b
    return a * x0 + b * eps

# %% 04.4 wrong no_first_step takes a previous prediction for granted
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    lam_prev, lam_t, lam_s = [schedule.log_snr_half(u) for u in (t_prev, t, s)]
    ratio = (lam_s - lam_t) / (lam_t - lam_prev)
    aim = x0 + ratio / 2 * (x0 - x0_prev)
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% 04.4 wrong truth_of_a_tensor if x0_prev
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    aim = x0
    if x0_prev:
        lam = schedule.log_snr_half
        aim = aim + (lam(s) - lam(t)) / (2 * (lam(t) - lam(t_prev))) * (x0 - x0_prev)
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% 04.4 wrong @input += on the prediction, which the next step still needs
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    aim = x0
    if x0_prev is not None:
        lam = schedule.log_snr_half
        aim += (lam(s) - lam(t)) / (2 * (lam(t) - lam(t_prev))) * (x0 - x0_prev)
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% 04.4 wrong - the paper's form with its minus lost
import torch


def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
    if x0_prev is not None:
        r0 = (schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)) / h
        x0 = x0 + 1 / (2 * r0) * (x0 - x0_prev)
    return schedule.sigma(s) / schedule.sigma(t) * x + schedule.alpha(s) * (torch.exp(-h) - 1) * x0

# %% 04.4 wrong - the change of the noise in place of that of x0
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    if x0_prev is not None:
        lam = schedule.log_snr_half
        before = (x - schedule.alpha(t_prev) * x0_prev) / schedule.sigma(t_prev)
        eps = eps + (lam(s) - lam(t)) / (2 * (lam(t) - lam(t_prev))) * (eps - before)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * eps

# %% 04.5 right linspace and indices
import torch


def sample_loop(denoiser, x, schedule, n):
    ts = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    for i in range(n):
        x0, eps = denoiser(x, ts[i])
        x = schedule.alpha(ts[i + 1]) * x0 + schedule.sigma(ts[i + 1]) * eps
    return x

# %% 04.5 right folded with reduce, as a lambda
from functools import reduce
from itertools import pairwise

from minidiff.diffusion.timesteps import uniform

sample_loop = lambda denoiser, x, schedule, n: reduce(
    lambda x, ts: ddim_step(schedule, *denoiser(x, ts[0]), *ts), pairwise(uniform(schedule, n)), x
)

# %% 04.5 right still n times, and the last prediction returned, which is the step to 0
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.arange(n, 0, -1, dtype=torch.float64) / n
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
    return denoiser(x, timesteps[-1])[0]

# %% 04.5 right a while loop with its times counted down, printing left in
import torch

from minidiff.diffusion.samplers import step


def at(k, n):
    return torch.tensor(k / n, dtype=torch.float64)


def sample_loop(denoiser, x, schedule, n):
    k = n
    while k > 0:
        x0, eps = denoiser(x, at(k, n))
        x = step(schedule, x0, eps, at(k, n), at(k - 1, n))
        print("step", k, float(x.std()))
        k -= 1
    return x

# %% 04.5 right the library's own sampler, under no_grad
import torch

from minidiff.diffusion.samplers import run


@torch.no_grad()
def sample_loop(denoiser, x, schedule, n):
    for state in run("ddim", denoiser, x, schedule, n):
        pass
    return state.x

# %% 04.5 wrong as_it_was as it was handed out
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.arange(n, 0, -1, dtype=torch.float64) / n
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, s)
        x = step(schedule, x0, eps, t, s)
    return x

# %% 04.5 wrong ends_early counts down to 1
import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    for k in range(n, 1, -1):
        t, s = torch.tensor(k / n, dtype=torch.float64), torch.tensor((k - 1) / n, dtype=torch.float64)
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
    return x

# %% 04.5 wrong end_of_the_step the denoiser gets the next time
import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    for i in range(n):
        x0, eps = denoiser(x, timesteps[i + 1])
        x = step(schedule, x0, eps, timesteps[i], timesteps[i + 1])
    return x

# %% 04.5 wrong one_step_short linspace with n values
import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.linspace(1, 0, n, dtype=torch.float64)
    for i in range(len(timesteps) - 1):
        x0, eps = denoiser(x, timesteps[i])
        x = step(schedule, x0, eps, timesteps[i], timesteps[i + 1])
    return x

# %% 04.5 wrong one_step_more linspace with n + 2 values
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    for t, s in pairwise(torch.linspace(1, 0, n + 2, dtype=torch.float64)):
        x = step(schedule, *denoiser(x, t), t, s)
    return x

# %% 04.5 wrong begins_late the first time left out
import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    ts = torch.linspace(1, 0, n + 1, dtype=torch.float64)[1:]
    for t, s in zip(ts[:-1], ts[1:]):
        pred, noise = denoiser(x, t)
        x = step(schedule, pred, noise, t, s)
    return x

# %% 04.5 wrong rising linspace from 0 to 1
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.linspace(0, 1, n + 1, dtype=torch.float64)
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
    return x

# %% 04.5 wrong stands_still the names swapped in the for alone
from itertools import pairwise

from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def sample_loop(denoiser, x, schedule, n):
    for s, t in pairwise(uniform(schedule, n)):
        x0, eps = denoiser(x, s)
        x = step(schedule, x0, eps, t, s)
    return x

# %% 04.5 wrong fresh_noise the ancestral loop
import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.arange(n, -1, -1, dtype=torch.float64) / n
    for i in range(n):
        t, s = timesteps[i], timesteps[i + 1]
        x0, eps = denoiser(x, t)
        z = torch.randn_like(x)
        x = step(schedule, x0, eps, t, s, eta=1.0, noise=z)
    return x

# %% 04.5 wrong last_guess returns x0 and still stops early
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.arange(n, 0, -1, dtype=torch.float64) / n
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
    return x0

# %% 04.5 wrong @input writes into the noise that was given
from itertools import pairwise

from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def sample_loop(denoiser, x, schedule, n):
    for t, s in pairwise(uniform(schedule, n)):
        x[:] = step(schedule, *denoiser(x, t), t, s)
    return x

# %% 04.5 wrong @state gradients switched off for good
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    torch.set_grad_enabled(False)
    timesteps = torch.arange(n, -1, -1, dtype=torch.float64) / n
    for t, s in pairwise(timesteps):
        x = step(schedule, *denoiser(x, t), t, s)
    return x

# %% 04.5 wrong @kind yields every state
from itertools import pairwise

from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def sample_loop(denoiser, x, schedule, n):
    for t, s in pairwise(uniform(schedule, n)):
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
        yield x

# %% 04.5 wrong - times as plain numbers
def sample_loop(denoiser, x, schedule, n):
    for k in range(n, 0, -1):
        t, s = k / n, (k - 1) / n
        x0, eps = denoiser(x, t)
        x = schedule.alpha(s) * x0 + schedule.sigma(s) * eps
    return x

# %% 04.5 wrong - denoises once more at time 0
from itertools import pairwise

import torch

from minidiff.diffusion.samplers import step


def sample_loop(denoiser, x, schedule, n):
    timesteps = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
    x0, _ = denoiser(x, timesteps[-1])
    return x0
