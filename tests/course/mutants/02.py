"""Wrong answers to lesson 02, as learners write them: each section defines one, named after the mistake it makes."""

# %% 02.1 added
import torch


def alpha_bars(betas):
    total = torch.cumsum(betas, dim=0)
    return torch.cat((torch.ones(1, dtype=betas.dtype), 1 - total))

# %% 02.1 not_cumulated
import torch


def alpha_bars(betas):
    result = torch.ones(len(betas) + 1, dtype=betas.dtype)
    for t in range(1, len(betas) + 1):
        result[t] = 1 - betas[t - 1]
    return result

# %% 02.1 product_of_betas
import torch


def alpha_bars(betas):
    result = [torch.ones((), dtype=betas.dtype)]
    for beta in betas:
        result.append(result[-1] * beta)
    return torch.stack(result)

# %% 02.1 no_clean_entry
import torch


def alpha_bars(betas):
    alphas = 1.0 - betas
    return torch.cumprod(alphas, dim=0)

# %% 02.1 clean_at_the_end
import torch


def alpha_bars(betas):
    products = torch.cumprod(1 - betas, dim=0)
    return torch.nn.functional.pad(products, (0, 1), value=1.0)

# %% 02.2 no_roots
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].view(-1, *([1] * (x0.dim() - 1)))
    return x0 * a + eps * (1 - a)

# %% 02.2 std_for_variance
import torch


def q_sample(x0, eps, t, alpha_bar):
    mean = torch.sqrt(alpha_bar)[t]
    std = (1 - alpha_bar)[t]
    while mean.ndim < x0.ndim:
        mean, std = mean.unsqueeze(-1), std.unsqueeze(-1)
    return mean * x0 + std * eps

# %% 02.2 swapped
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].reshape([len(t)] + [1] * (x0.ndim - 1))
    return a**0.5 * eps + (1 - a) ** 0.5 * x0

# %% 02.2 one_t_for_all
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t[0]]
    return a.sqrt() * x0 + (1 - a).sqrt() * eps

# %% 02.2 off_by_one
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t - 1].view(-1, *[1] * (x0.ndim - 1))
    return a.sqrt() * x0 + (1 - a).sqrt() * eps

# %% 02.2 along_the_width
def q_sample(x0, eps, t, alpha_bar):
    return alpha_bar[t].sqrt() * x0 + (1 - alpha_bar[t]).sqrt() * eps

# %% 02.3 clean_target
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    return F.mse_loss(network(x_t, t), x0)

# %% 02.3 clean_input
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    predicted = network(x0, t)
    return F.mse_loss(predicted, eps)

# %% 02.3 summed
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    return F.mse_loss(network(x_t, t), eps, reduction="sum")

# %% 02.3 noise_twice
import torch


def ddpm_loss(network, x0, t, eps, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    target = torch.randn(x0.shape)
    return torch.mean((target - network(x_t, t)) ** 2)

# %% 02.3 own_noise
import torch


def ddpm_loss(network, x0, t, eps, alpha_bar):
    eps = torch.randn_like(x0)
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    return torch.mean((eps - network(x_t, t)) ** 2)

# %% 02.3 no_square
import torch.nn.functional as F


def ddpm_loss(network, x0, t, eps, alpha_bar):
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    return F.l1_loss(network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t), eps)

# %% 02.4 as_given
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    weight_x = alpha_bar_t.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + variance * noise

# %% 02.4 variance_for_std
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    beta = 1 - alpha_bar_t / alpha_bar_s
    scale = (1 - alpha_bar_s) / (1 - alpha_bar_t)
    eps = (x - alpha_bar_t**0.5 * x0) / (1 - alpha_bar_t) ** 0.5
    mean = (x - beta / (1 - alpha_bar_t) ** 0.5 * eps) / (1 - beta) ** 0.5
    return mean + beta * scale * noise

# %% 02.4 alpha_bar_for_alpha
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    beta = 1 - alpha_bar_t / alpha_bar_s
    rest = (1 - alpha_bar_s) / (1 - alpha_bar_t)
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    return weight_x0 * x0 + alpha_bar_t.sqrt() * rest * x + (beta * rest).sqrt() * noise

# %% 02.4 alpha_for_alpha_bar
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    variance = (1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    mean = alpha_bar_s.sqrt() * x0 + alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha) * x
    return mean + variance.sqrt() * noise

# %% 02.4 noise_at_the_end
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    eps = (x - alpha_bar_t.sqrt() * x0) / (1 - alpha_bar_t).sqrt()
    mean = (x - beta / (1 - alpha_bar_t).sqrt() * eps) / alpha.sqrt()
    return mean + beta.sqrt() * noise

# %% 02.4 no_share_of_x
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    beta = 1 - alpha_bar_t / alpha_bar_s
    std = (beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)) ** 0.5
    return std * noise + alpha_bar_s**0.5 * x0

# %% 02.4 no_noise
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    weight_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x

# %% 02.5 missing_no_grad
import torch


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    weight_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + ((1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)).sqrt() * noise
def sample_ddpm(denoise, x, alpha_bar, noise):
    T = len(alpha_bar) - 1
    for t in range(T, 0, -1):
        x0 = denoise(x, torch.full((x.shape[0],), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 time_after_the_step
import torch


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    weight_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + ((1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)).sqrt() * noise
@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for s in reversed(range(len(alpha_bar) - 1)):
        x0 = denoise(x, torch.tensor([s] * len(x)))
        x = ancestral_step(x, x0, alpha_bar[s + 1], alpha_bar[s], noise(s + 1))
    return x

# %% 02.5 stops_early
import torch


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    weight_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + ((1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)).sqrt() * noise
def sample_ddpm(denoise, x, alpha_bar, noise):
    with torch.no_grad():
        for t in range(len(alpha_bar) - 1, 1, -1):
            x0 = denoise(x, torch.full((len(x),), t))
            x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% 02.5 same_noise
import torch


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    weight_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + ((1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)).sqrt() * noise
@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    t = len(alpha_bar) - 1
    z = noise(t)
    while t > 0:
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], z)
        t -= 1
    return x

# %% 02.5 counts_up
import torch


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    weight_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return weight_x0 * x0 + weight_x * x + ((1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)).sqrt() * noise
@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise):
    for t in range(1, len(alpha_bar)):
        x0 = denoise(x, torch.full((len(x),), t))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x
