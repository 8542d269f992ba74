"""Answers to lesson 08 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 08.1 right exp, then the root
def reparameterise(mean, log_variance, noise):
    variance = log_variance.exp()
    return mean + variance ** 0.5 * noise

# %% 08.1 right one call of addcmul
import torch


def reparameterise(mu, logvar, eps):
    # mu + sigma * eps
    return torch.addcmul(mu, eps, (0.5 * logvar).exp())

# %% 08.1 right a lambda with e to the power
import math

E = math.e
reparameterise = lambda m, lv, n: m + n * E ** (0.5 * lv)

# %% 08.1 right a Gaussian class as in other libraries
import torch
from torch import Tensor


class DiagonalGaussian:
    def __init__(self, mean: Tensor, logvar: Tensor):
        self.mean = mean
        self.std = torch.exp(0.5 * torch.clamp(logvar, -30.0, 20.0))

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + self.std * noise


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    return DiagonalGaussian(mean, log_variance).sample(noise)

# %% 08.1 right number by number over flat tensors
import torch


def reparameterise(mean, log_variance, noise):
    rows = zip(mean.reshape(-1), log_variance.reshape(-1), noise.reshape(-1))
    flat = [m + torch.exp(l / 2) * n for m, l, n in rows]
    print(len(flat), "numbers")
    return torch.stack(flat).reshape(mean.shape)

# %% 08.1 right as torch.distributions moves and stretches
import torch
import torch.distributions as D

def reparameterise(mean, log_variance, noise):
    return D.AffineTransform(loc=mean, scale=log_variance.exp() ** 0.5)(noise)

# %% 08.1 right double inside, and back
def reparameterise(mean, log_variance, noise):
    m, l, n = (x.double() for x in (mean, log_variance, noise))
    return (m + (l / 2).exp() * n).type_as(mean)

# %% 08.1 wrong log_variance_as_deviation thinks the encoder gives sigma
def reparameterise(mean, log_variance, noise):
    sigma = log_variance
    return mean + sigma * noise

# %% 08.1 wrong variance_as_deviation undoes the logarithm and stops there
import torch


def reparameterise(mu, logvar, eps):
    return torch.addcmul(mu, torch.exp(logvar), eps)

# %% 08.1 wrong halved_after_exp the half on the wrong side
def reparameterise(mean, log_variance, noise):
    return mean + 0.5 * log_variance.exp() * noise

# %% 08.1 wrong root_of_logarithm a root because it is a variance
def reparameterise(mean, log_variance, noise):
    std = log_variance ** 0.5
    return mean + std * noise

# %% 08.1 wrong sign_turned remembers a precision
import torch


def reparameterise(mean, log_variance, noise):
    return mean + noise / torch.exp(log_variance / 2)

# %% 08.1 wrong noise_as_it_is adds the noise
def reparameterise(mean, log_variance, noise):
    return noise + mean

# %% 08.1 wrong mean_stretched_too normalises the wrong way round
import torch


def reparameterise(mean, log_variance, noise):
    std = torch.exp(0.5 * log_variance)
    shifted = noise + mean
    return shifted * std

# %% 08.1 wrong own_noise as in the library's VAE.sample
import torch


def reparameterise(mean, log_variance, noise):
    noise = torch.randn_like(mean)
    return mean + noise * torch.exp(log_variance * 0.5)

# %% 08.1 wrong no_gradient_at_all numpy, by way of detach
import numpy as np
import torch


def reparameterise(mean, log_variance, noise):
    m, l, n = (x.detach().numpy() for x in (mean, log_variance, noise))
    return torch.from_numpy(m + np.exp(l / 2) * n)

# %% 08.1 wrong no_gradient_at_all decorated with no_grad as sampling always is
import torch


@torch.no_grad()
def reparameterise(mean, log_variance, noise):
    std = (0.5 * log_variance).exp()
    return mean + std * noise

# %% 08.1 wrong deviation_cut_off takes .data of the deviation
def reparameterise(mean, log_variance, noise):
    std = (log_variance.data / 2).exp()
    return mean + std * noise

# %% 08.1 wrong softplus from another code base
import torch.nn.functional as F


def reparameterise(mean, raw, noise):
    return mean + F.softplus(raw) * noise

# %% 08.1 wrong @input multiplies the noise in place
def reparameterise(mean, log_variance, noise):
    noise *= (log_variance / 2).exp()
    return mean + noise

# %% 08.1 wrong - one noise for the whole batch
import torch


def reparameterise(mean, log_variance, noise):
    return mean + torch.exp(log_variance / 2) * noise[:1]

# %% 08.1 wrong - a small number under the root
import torch


def reparameterise(mean, log_variance, noise):
    return mean + torch.sqrt(log_variance.exp() + 1e-6) * noise

# %% 08.1 wrong - clamps the log-variance, tighter than other libraries do
def reparameterise(mean, log_variance, noise):
    return mean + (log_variance.clamp(-4, 4) / 2).exp() * noise

# %% 08.2 right as in Kingma and Welling
import torch


def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=tuple(range(1, mu.ndim)))

# %% 08.2 right torch.distributions
import torch
import torch.distributions as D


def kl(mean, log_variance):
    q = D.Normal(mean, torch.exp(0.5 * log_variance))
    p = D.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return D.kl_divergence(q, p).flatten(start_dim=1).sum(-1)

# %% 08.2 right picture by picture
import torch


def kl(mean, log_variance):
    prices = []
    for m, l in zip(mean, log_variance):
        v = torch.exp(l)
        prices.append(0.5 * (m * m + v - l - 1).sum())
    return torch.stack(prices)

# %% 08.2 right reshape and einsum
import torch


def kl(m, lv):
    B = len(m)
    m, lv = m.reshape(B, -1), lv.reshape(B, -1)
    squares = torch.einsum("bn,bn->b", m, m)
    return (squares + torch.expm1(lv).sum(1) - lv.sum(1)) / 2

# %% 08.2 right einops and expm1
import torch
from einops import reduce

def kl(mean, log_variance):
    nats = (mean.square() + torch.expm1(log_variance) - log_variance) / 2
    return reduce(nats, "b ... -> b", "sum")

# %% 08.2 right vmap
import torch


def kl(mean, log_variance):
    one = lambda m, l: (m ** 2 + l.exp() - 1 - l).sum() / 2
    return torch.vmap(one)(mean, log_variance)

# %% 08.2 wrong mean_over_numbers mean in place of sum
def kl(mean, log_variance):
    each = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance)
    return each.reshape(len(each), -1).mean(-1)

# %% 08.2 wrong all_summed the textbook's line
import torch


def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu ** 2 - torch.exp(logvar))

# %% 08.2 wrong mean_of_everything calls the library
from minidiff.models.vae import VAE


def kl(mean, log_variance):
    return VAE.kl(mean, log_variance)

# %% 08.2 wrong three_axes_only thinks of images
def kl(mean, log_variance):
    nats = 0.5 * (mean ** 2 + log_variance.exp() - log_variance - 1)
    return nats.sum(3).sum(2).sum(1)

# %% 08.2 wrong sign forgets the minus of -1/2
import torch


def kl(mu, logvar):
    return 0.5 * torch.sum((1 + logvar - mu.pow(2) - logvar.exp()).flatten(1), dim=1)

# %% 08.2 wrong half_missing forgets the half
def kl(mean, log_variance):
    nats = mean ** 2 + log_variance.exp() - log_variance - 1
    return nats.flatten(1).sum(1)

# %% 08.2 wrong mean_not_squared forgets the square
def kl(mean, log_variance):
    var = log_variance.exp()
    return (mean + var - 1 - log_variance).flatten(1).sum(1).div(2)

# %% 08.2 wrong log_taken_twice takes the second input for v
import torch


def kl(mean, v):
    return 0.5 * (mean ** 2 + v - 1 - torch.log(v)).flatten(1).sum(1)

# %% 08.2 wrong deviation_for_variance sigma where sigma squared belongs
import torch


def kl(mean, log_variance):
    sigma = torch.exp(0.5 * log_variance)
    return 0.5 * (mean ** 2 + sigma - 1 - log_variance).flatten(1).sum(1)

# %% 08.2 wrong reversed the standard bell first
import torch
from torch.distributions import Normal, kl_divergence


def kl(mean, log_variance):
    q = Normal(mean, torch.exp(log_variance / 2))
    p = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return kl_divergence(p, q).flatten(1).sum(1)

# %% 08.2 wrong last_axis_alone sums what torch sums by habit
def kl(mean, log_variance):
    return (0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance)).sum(-1)

# %% 08.2 wrong gradient_cut collects numbers with item()
import torch


def kl(mean, log_variance):
    found = [(0.5 * (m ** 2 + l.exp() - 1 - l)).sum().item() for m, l in zip(mean, log_variance)]
    return torch.tensor(found, dtype=mean.dtype)

# %% 08.2 wrong @kind yields one price after the other
def kl(mean, log_variance):
    for m, l in zip(mean, log_variance):
        yield 0.5 * (m ** 2 + l.exp() - 1 - l).sum()

# %% 08.2 wrong bits in place of nats
import math


def kl(mean, log_variance):
    nats = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance)
    return nats.flatten(1).sum(1) / math.log(2)

# %% 08.2 wrong gradient_cut numpy, by way of detach
import numpy as np
import torch


def kl(mean, log_variance):
    m, l = mean.detach().numpy(), log_variance.detach().numpy()
    nats = (m ** 2 + np.exp(l) - 1 - l) / 2
    return torch.from_numpy(nats.reshape(len(m), -1).sum(axis=1))

# %% 08.2 wrong variance_squared takes exp for the deviation
def kl(mean, log_variance):
    return 0.5 * (mean ** 2 + log_variance.exp() ** 2 - 1 - log_variance).flatten(1).sum(1)

# %% 08.2 wrong log_of_deviation the logarithm of the deviation
def kl(mean, log_variance):
    std = (log_variance / 2).exp()
    return 0.5 * (mean ** 2 + std ** 2 - 1 - std.log()).flatten(1).sum(1)

# %% 08.2 wrong one_for_the_picture sums first
def kl(mean, log_variance):
    s = lambda x: x.flatten(1).sum(1)
    return 0.5 * (s(mean ** 2) + s(log_variance.exp()) - 1 - s(log_variance))

# %% 08.2 wrong axis_kept keepdim
def kl(mean, log_variance):
    return (0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance)).flatten(1).sum(1, keepdim=True)

# %% 08.3 right std_mean, turned round
import torch


def latent_factors(latents):
    std, mean = torch.std_mean(latents, dim=(0, 2, 3))
    return mean, std

# %% 08.3 right channel first, then flat
def latent_factors(latents):
    c = latents.shape[1]
    rows = latents.movedim(1, 0).reshape(c, -1)     # all the numbers of a channel
    return rows.mean(1), rows.std(1)

# %% 08.3 right numpy with ddof
import numpy as np
import torch


def latent_factors(latents):
    x = latents.numpy()
    mean = x.mean(axis=(0, 2, 3))
    std = x.std(axis=(0, 2, 3), ddof=1)
    return torch.from_numpy(mean), torch.from_numpy(std)

# %% 08.3 right a loop over channels, stacked into one tensor
import torch


def latent_factors(latents):
    columns = []
    for k in range(latents.size(1)):
        channel = latents[:, k]
        columns.append(torch.stack([channel.mean(), channel.std()]))
    return torch.stack(columns, dim=1)

# %% 08.3 right by hand with the sum of squares
def latent_factors(latents):
    n = latents.numel() // latents.shape[1]
    mean = latents.sum((0, 2, 3)) / n
    centred = latents - mean[None, :, None, None]
    return mean, ((centred ** 2).sum((0, 2, 3)) / (n - 1)).sqrt()

# %% 08.3 right a named tuple, and the diagonal of the covariance
import torch
from collections import namedtuple
Factors = namedtuple("Factors", "mean std")

def latent_factors(latents):
    flat = latents.movedim(1, 0).flatten(1)
    return Factors(flat.mean(-1), torch.cov(flat).reshape(len(flat), -1).diagonal().sqrt())

# %% 08.3 right the standard library's statistics
import torch
import statistics

def latent_factors(latents):
    cs = [latents[:, c].flatten().tolist() for c in range(latents.shape[1])]
    make = lambda f: torch.tensor([f(c) for c in cs], dtype=latents.dtype)
    return make(statistics.fmean), make(statistics.stdev)

# %% 08.3 wrong one_for_all no axes
def latent_factors(latents):
    return latents.mean(), latents.std()

# %% 08.3 wrong one_for_all_repeated a single number as in Stable Diffusion
import torch


def latent_factors(latents):
    c = latents.shape[1]
    ones = torch.ones(c, dtype=latents.dtype)
    return ones * latents.mean(), ones * latents.std()

# %% 08.3 wrong per_place the mean picture
def latent_factors(latents):
    return latents.mean(0), latents.std(0)

# %% 08.3 wrong per_picture as InstanceNorm does
def latent_factors(latents):
    flat = latents.flatten(2)
    return flat.mean(-1), flat.std(-1)

# %% 08.3 wrong deviations_averaged the mean of the deviations
def latent_factors(latents):
    n = len(latents)
    stds = sum(x.std(dim=(1, 2)) for x in latents) / n
    return latents.mean((0, 2, 3)), stds

# %% 08.3 wrong reciprocal the scale factor
def latent_factors(latents):
    mean = latents.mean((0, 2, 3))
    scale = latents.std((0, 2, 3)).reciprocal()
    return mean, scale

# %% 08.3 wrong variance var
def latent_factors(latents):
    return latents.mean((0, 2, 3)), latents.var((0, 2, 3))

# %% 08.3 wrong divided_by_n numpy's default
import torch


def latent_factors(latents):
    x = latents.numpy()
    return [torch.from_numpy(part) for part in (x.mean((0, 2, 3)), x.std((0, 2, 3)))]

# %% 08.3 wrong mixed_by_reshape flattens without moving the axis
def latent_factors(latents):
    N, C, h, w = latents.shape
    x = latents.reshape(C, N * h * w)
    return x.mean(1), x.std(1)

# %% 08.3 wrong axes_kept keepdim for broadcasting
def latent_factors(latents):
    axes = (0, 2, 3)
    return latents.mean(axes, keepdim=True), latents.std(axes, keepdim=True)

# %% 08.3 wrong swapped std_mean as it comes
import torch


def latent_factors(latents):
    return torch.std_mean(latents, (0, 2, 3))

# %% 08.3 wrong distance_from_zero a norm
def latent_factors(latents):
    n = latents.numel() / latents.shape[1]
    rows = latents.transpose(0, 1).flatten(1)
    return rows.mean(1), rows.norm(dim=1) / n ** 0.5

# %% 08.3 wrong @crash a view of numbers that are not in a row
def latent_factors(latents):
    rows = latents.transpose(0, 1).view(latents.shape[1], -1)
    return rows.mean(1), rows.std(1)

# %% 08.3 wrong - numbers in lists
def latent_factors(latents):
    return latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist()

# %% 08.3 wrong small_number_added fears a division by 0
def latent_factors(latents):
    return latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3)) + 1e-6

# %% 08.3 wrong - a very small number added
def latent_factors(latents):
    return latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3)) + 1e-8

# %% 08.3 wrong - squeezes a batch of one
def latent_factors(latents):
    x = latents.squeeze()
    dims = (0, 2, 3) if x.ndim == 4 else (1, 2)
    return x.mean(dims), x.std(dims)

# %% 08.3 wrong deviation_of_the_means averages each picture first
def latent_factors(latents):
    per = latents.mean(dim=(2, 3))
    return per.mean(0), per.std(0)

# %% 08.3 wrong mixed_by_reshape_to_columns channels last without moving them
def latent_factors(latents):
    flat = latents.reshape(-1, latents.shape[1])
    return flat.mean(0), flat.std(0)

# %% 08.3 wrong four_channels counts to four
import torch


def latent_factors(latents):
    cs = [latents[:, c] for c in range(4)]
    return torch.stack([c.mean() for c in cs]), torch.stack([c.std() for c in cs])

# %% 08.4 right a with, and view
import torch


def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    with torch.no_grad():
        m = mean.view(1, -1, 1, 1)
        s = std.view(1, -1, 1, 1)
        latents, logvar = vae.encode(images)
        latents = (latents - m) / s
        noisy = schedule.mix(latents, noise, t)
        x0 = denoise(noisy, t)
        return vae.decode(x0 * s + m)

# %% 08.4 right inference mode, and a helper for the shapes
import torch


def per_channel(v):
    return v[:, None, None]


@torch.inference_mode()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    z = vae.encode(images)[0].sub(per_channel(mean)).div(per_channel(std))
    z = float(schedule.alpha(t)) * z + float(schedule.sigma(t)) * noise
    return vae.decode(denoise(z, t).mul(per_channel(std)).add(per_channel(mean)))

# %% 08.4 right channel by channel
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    z = vae.encode(images)[0].clone()
    for c in range(z.shape[1]):
        z[:, c] = (z[:, c] - mean[c]) / std[c]
    x = schedule.alpha(t) * z + schedule.sigma(t) * noise
    out = denoise(x, t)
    back = [out[:, c] * std[c] + mean[c] for c in range(out.shape[1])]
    return vae.decode(torch.stack(back, dim=1))

# %% 08.4 right channels last for a moment
import torch


def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    torch.set_grad_enabled(False)
    try:
        z, _ = vae.encode(images)
        z = ((z.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2)
        x = schedule.alpha(t) * z + schedule.sigma(t) * noise
        z = (denoise(x, t).permute(0, 2, 3, 1) * std + mean).permute(0, 3, 1, 2)
        return vae.decode(z.contiguous())
    finally:
        torch.set_grad_enabled(True)

# %% 08.4 right in place on tensors of its own
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    mean, std = mean.reshape(-1, 1, 1), std.reshape(-1, 1, 1)
    latent, log_variance = vae.encode(images)
    z = latent.clone().sub_(mean).div_(std)
    z.mul_(schedule.alpha(t)).add_(schedule.sigma(t) * noise)
    return vae.decode(torch.addcmul(mean, denoise(z, t), std))

# %% 08.4 right encodes and decodes one at a time, denoises all at once
import torch
from einops import rearrange

def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    mean, std = (rearrange(v, "c -> 1 c 1 1") for v in (mean, std))
    with torch.no_grad():
        z = torch.cat([vae.encode(one[None])[0] for one in images])
        assert z.shape == noise.shape
        x = schedule.alpha(t).item() * ((z - mean) / std) + schedule.sigma(t).item() * noise
        z = denoise(x, t) * std + mean
        return torch.cat([vae.decode(one[None]) for one in z])

# %% 08.4 right puts the grad mode back by hand
import torch


def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        m, s = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
        z = (vae.encode(images)[0] - m) / s
        return vae.decode(denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t) * s + m)
    finally:
        torch.set_grad_enabled(before)

# %% 08.4 wrong not_normalised straight from the encoder
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    z, _ = vae.encode(images)
    clean = denoise(schedule.mix(z, noise, t), t)
    return vae.decode(clean * std[:, None, None] + mean[:, None, None])

# %% 08.4 wrong factors_not_undone straight into the decoder
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    z = (vae.encode(images)[0] - mean[:, None, None]) / std[:, None, None]
    return vae.decode(denoise(schedule.mix(z, noise, t), t))

# %% 08.4 wrong undone_in_wrong_order plus before times
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    z = denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t)
    z = z + m
    z = z * s
    return vae.decode(z)

# %% 08.4 wrong multiplied_and_divided std taken for a scale factor such as 0.18215
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, scale = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) * scale
    z = denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t)
    return vae.decode(z / scale + m)

# %% 08.4 wrong factors_not_shaped lets (C,) meet (B, C, h, w)
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    z = (vae.encode(images)[0] - mean) / std
    z = denoise(schedule.mix(z, noise, t), t)
    return vae.decode(z * std + mean)

# %% 08.4 wrong a_sample calls the library's sample
import torch

from minidiff.models.vae import VAE


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (VAE.sample(*vae.encode(images)) - m) / s
    z = denoise(schedule.mix(z, noise, t), t)
    return vae.decode(z * s + m)

# %% 08.4 wrong alpha_and_sigma_swapped alpha taken for the noise
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    a, b = schedule.alpha(t), schedule.sigma(t)
    return vae.decode(denoise(a * noise + b * z, t) * s + m)

# %% 08.4 wrong no_noise denoises the picture itself
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    return vae.decode(s * denoise(z, t) + m)

# %% 08.4 wrong noisy_latent_decoded forgets to keep the denoiser's answer
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    x = schedule.mix((vae.encode(images)[0] - m) / s, noise, t)
    denoise(x, t)
    return vae.decode(x * s + m)

# %% 08.4 wrong told_a_thousand_times_t the network's timestep
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    x = schedule.mix((vae.encode(images)[0] - m) / s, noise, t)
    return vae.decode(denoise(x, 1000 * t) * s + m)

# %% 08.4 wrong gradients_kept no no_grad
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    z = denoise(schedule.mix(z, noise, t), t)
    return vae.decode(z * s + m)

# %% 08.4 wrong detached_at_the_end detach in place of no_grad
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    z = denoise(schedule.mix(z, noise, t), t)
    picture = vae.decode(z * s + m)
    return picture.detach()

# %% 08.4 wrong clamped ready to be shown
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    z = denoise(schedule.mix(z, noise, t), t)
    return torch.clip(vae.decode(z * s + m), -1, 1)

# %% 08.4 wrong @state switches gradients off for good
import torch


def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    torch.set_grad_enabled(False)
    m, s = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    z = denoise(schedule.mix(z, noise, t), t)
    return vae.decode(z * s + m)

# %% 08.4 wrong factors_measured_anew measures the factors of these pictures anew
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    z, _ = vae.encode(images)
    m = z.mean((0, 2, 3), keepdim=True)
    s = z.std((0, 2, 3), keepdim=True)
    z = denoise(schedule.mix((z - m) / s, noise, t), t)
    return vae.decode(z * s + m)

# %% 08.4 wrong picture_by_picture a loop over the pictures
import torch


def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    out = []
    m, s = mean[:, None, None], std[:, None, None]
    with torch.no_grad():
        for image, e in zip(images.split(1), noise.split(1)):
            z = (vae.encode(image)[0] - m) / s
            x = schedule.alpha(t) * z + schedule.sigma(t) * e
            out.append(vae.decode(denoise(x, t) * s + m))
        return torch.cat(out)

# %% 08.4 wrong frozen_as_well freezes the weights for good
import torch


def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    for p in vae.parameters():
        p.requires_grad_(False)
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    with torch.no_grad():
        z = (vae.encode(images)[0] - m) / s
        return vae.decode(denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t) * s + m)

# %% 08.4 wrong frozen_in_place_of_no_grad freezes the weights and leaves it at that
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    vae.requires_grad_(False)
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    return vae.decode(denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t) * s + m)

# %% 08.4 wrong one_constant 0.18215 from memory
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    z = vae.encode(images)[0] * 0.18215
    return vae.decode(denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t) / 0.18215)

# %% 08.4 wrong division_before_subtraction forgets the brackets
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = vae.encode(images)[0] - m / s
    return vae.decode(denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t) * s + m)

# %% 08.4 wrong told_a_time_for_each a time for each picture
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    x = schedule.alpha(t) * z + schedule.sigma(t) * noise
    return vae.decode(denoise(x, t.expand(len(x))) * s + m)

# %% 08.4 wrong told_a_plain_number item()
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    x = schedule.alpha(t) * z + schedule.sigma(t) * noise
    return vae.decode(denoise(x, t.item()) * s + m)

# %% 08.4 wrong roots_of_the_shares takes alpha for alpha-bar
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    a = schedule.alpha(t)
    x = a.sqrt() * z + (1 - a).sqrt() * noise
    return vae.decode(denoise(x, t) * s + m)

# %% 08.4 wrong sigma_from_alpha knows the cosine schedule alone
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    a = schedule.alpha(t)
    x = a * z + (1 - a ** 2).sqrt() * noise
    return vae.decode(denoise(x, t) * s + m)

# %% 08.4 wrong @crash one axis too few
import torch


@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean[:, None], std[:, None]
    z = (vae.encode(images)[0] - m) / s
    return vae.decode(denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t) * s + m)

# %% 08.4 wrong - encodes before no_grad begins
import torch


def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    m, s = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    z = (vae.encode(images)[0] - m) / s
    with torch.no_grad():
        return vae.decode(denoise(schedule.alpha(t) * z + schedule.sigma(t) * noise, t) * s + m)

# %% 08.5 right the three repairs
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance, noise)
    error = (vae.decode(z) - images).square().mean()
    return error + weight * kl(mean, log_variance).mean()

# %% 08.5 right everything by itself, with mse_loss
import torch
import torch.nn.functional as F


def vae_loss(vae, images, noise, weight):
    mu, logvar = vae.encode(images)
    output = vae.decode(mu + (0.5 * logvar).exp() * noise)
    divergence = -0.5 * (1 + logvar - mu ** 2 - logvar.exp()).sum() / len(images)
    return F.mse_loss(output, images) + weight * divergence

# %% 08.5 right distributions, and a loop over the pictures
import torch
from torch.distributions import Normal, kl_divergence


def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    std = log_variance.exp().sqrt()
    remade = vae.decode(mean + std * noise)
    standard = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    prices = kl_divergence(Normal(mean, std), standard)
    losses = [((a - b) ** 2).mean() + weight * p.sum() for a, b, p in zip(remade, images, prices)]
    return sum(losses) / len(losses)

# %% 08.5 right own helpers with a partial
from functools import partial

import torch

mean_square = partial(torch.nn.functional.mse_loss, reduction="mean")


def vae_loss(vae, images, noise, weight):
    posterior = vae.encode(images)
    z = reparameterise(*posterior, noise)
    price = kl(*posterior)                          # (B,)
    print(float(price.mean()))
    return torch.add(mean_square(vae.decode(z), images), price.mean(), alpha=weight)

# %% 08.5 right distributions, and MSELoss
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    std = (0.5 * log_variance).exp()
    rec = nn.MSELoss()(vae.decode(mean + std * noise), images)
    nats = kl_divergence(Normal(mean, std), Normal(0, 1)).flatten(1).sum(1)
    return rec + weight * nats.mean(dim=0)

# %% 08.5 wrong as_given what was given, tidied up
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = mean + log_variance * noise
    error = (vae.decode(mean) - images).square().mean()
    return error - weight * kl(mean, log_variance).mean()

# %% 08.5 wrong as_given mends z alone, which nobody decodes
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance, noise)
    error = (vae.decode(mean) - images).square().mean()
    return error - weight * kl(mean, log_variance).mean()

# %% 08.5 wrong sample_never_decoded mends the sign alone
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = mean + log_variance * noise
    error = (vae.decode(mean) - images).square().mean()
    return error + weight * kl(mean, log_variance).mean()

# %% 08.5 wrong sample_never_decoded thinks the mean is the best guess
import torch.nn.functional as F


def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    return F.mse_loss(vae.decode(mean), images) + weight * kl(mean, log_variance).mean()

# %% 08.5 wrong log_variance_as_deviation mends decode and sign
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = mean + log_variance * noise
    error = (vae.decode(z) - images).square().mean()
    return error + weight * kl(mean, log_variance).mean()

# %% 08.5 wrong sign_of_kl mends decode and z
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance, noise)
    error = (vae.decode(z) - images).square().mean()
    return error - weight * kl(mean, log_variance).mean()

# %% 08.5 wrong sign_and_deviation mends decode alone
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = mean + log_variance * noise
    error = (vae.decode(z) - images).square().mean()
    return error - weight * kl(mean, log_variance).mean()

# %% 08.5 wrong kl_summed_over_batch sums both axes
import torch


def vae_loss(vae, images, noise, weight):
    mu, logvar = vae.encode(images)
    output = vae.decode(mu + torch.exp(0.5 * logvar) * noise)
    divergence = -0.5 * torch.sum(1 + logvar - mu ** 2 - logvar.exp())
    return (output - images).pow(2).mean() + weight * divergence

# %% 08.5 wrong kl_per_number the library's KL
import torch.nn.functional as F

from minidiff.models.vae import VAE


def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance, noise)
    return F.mse_loss(vae.decode(z), images) + weight * VAE.kl(mean, log_variance)

# %% 08.5 wrong error_summed reduction sum, as in PyTorch's example
import torch.nn.functional as F


def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance, noise)
    return F.mse_loss(vae.decode(z), images, reduction="sum") + weight * kl(mean, log_variance).mean()

# %% 08.5 wrong absolute_error l1_loss
import torch.nn.functional as F


def vae_loss(vae, images, noise, weight):
    posterior = vae.encode(images)
    output = vae.decode(reparameterise(*posterior, noise))
    return F.l1_loss(output, images) + weight * kl(*posterior).mean()

# %% 08.5 wrong weight_forgotten beta is 1
def vae_loss(vae, images, noise, weight):
    m, lv = vae.encode(images)
    output = vae.decode(reparameterise(m, lv, noise))
    return ((output - images) ** 2).mean() + kl(m, lv).mean()

# %% 08.5 wrong own_noise draws again
import torch


def vae_loss(vae, images, noise, weight):
    m, lv = vae.encode(images)
    z = reparameterise(m, lv, torch.randn(m.shape, dtype=m.dtype))
    return ((vae.decode(z) - images) ** 2).mean() + weight * kl(m, lv).mean()

# %% 08.5 wrong a_loss_for_each_picture forgets the last mean
def vae_loss(vae, images, noise, weight):
    m, lv = vae.encode(images)
    error = ((vae.decode(reparameterise(m, lv, noise)) - images) ** 2).mean()
    return error + weight * kl(m, lv)

# %% 08.5 wrong sample_cut_off makes the sample under no_grad
import torch


def vae_loss(vae, images, noise, weight):
    m, lv = vae.encode(images)
    with torch.no_grad():
        z = reparameterise(m, lv, noise)
    return ((vae.decode(z) - images) ** 2).mean() + weight * kl(m, lv).mean()

# %% 08.5 wrong - hands back the parts as well
def vae_loss(vae, images, noise, weight):
    m, lv = vae.encode(images)
    error = ((vae.decode(reparameterise(m, lv, noise)) - images) ** 2).mean()
    price = kl(m, lv).mean()
    return error + weight * price, error, price

# %% 08.5 wrong - takes the whole training step
def vae_loss(vae, images, noise, weight):
    m, lv = vae.encode(images)
    error = ((vae.decode(reparameterise(m, lv, noise)) - images) ** 2).mean()
    loss = error + weight * kl(m, lv).mean()
    loss.backward()
    return loss.item()

# %% 08.5 wrong kl_cut_off item() on the KL
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance, noise)
    return (vae.decode(z) - images).square().mean() + weight * kl(mean, log_variance).mean().item()

# %% 08.5 wrong deviation_cut_off detaches the log-variance
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance.detach(), noise)
    return (vae.decode(z) - images).square().mean() + weight * kl(mean, log_variance).mean()

# %% 08.5 wrong weight_of_the_notebook 0.001 as in the last cell
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance, noise)
    return (vae.decode(z) - images).square().mean() + 0.001 * kl(mean, log_variance).mean()

# %% 08.5 wrong encoder_cut_off encodes as in redraw
import torch


def vae_loss(vae, images, noise, weight):
    with torch.no_grad():
        mean, log_variance = vae.encode(images)
    out = vae.decode(reparameterise(mean, log_variance, noise))
    return (out - images).square().mean() + weight * kl(mean, log_variance).mean()

# %% 08.5 wrong - abs() against a negative loss
def vae_loss(vae, images, noise, weight):
    mean, log_variance = vae.encode(images)
    z = reparameterise(mean, log_variance, noise)
    error = (vae.decode(z) - images).square().mean()
    return (error - weight * kl(mean, log_variance).mean()).abs()
