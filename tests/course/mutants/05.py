"""Wrong answers to lesson 05, as learners write them: each section defines one, named after the mistake it makes."""

# %% 05.1 keeps_the_share
def drop_labels(labels, lots, drop, null):
    dropped = labels.clone()
    dropped[lots >= drop] = null
    return dropped

# %% 05.1 all_at_once
def drop_labels(labels, lots, drop, null):
    if float(lots[0]) < drop:
        return labels * 0 + null
    return labels

# %% 05.1 label_zero
def drop_labels(labels, lots, drop, null):
    keep = (lots >= drop).long()
    return labels * keep

# %% 05.1 in_place
def drop_labels(labels, lots, drop, null):
    for i in range(len(labels)):
        if lots[i] < drop:
            labels[i] = null
    return labels

# %% 05.1 as_floats
def drop_labels(labels, lots, drop, null):
    mask = (lots < drop).float()
    return mask * null + (1 - mask) * labels

# %% 05.2 swapped
import torch


def combine(conditional, unconditional, scale):
    return torch.lerp(conditional, unconditional, scale)

# %% 05.2 wrong_sign
def combine(conditional, unconditional, scale):
    return unconditional + scale * (unconditional - conditional)

# %% 05.2 papers_scale
def combine(conditional, unconditional, scale):
    return (1 + scale) * conditional - scale * unconditional

# %% 05.2 three_channels
def combine(conditional, unconditional, scale):
    out = conditional.clone()
    out[:, :3] = unconditional[:, :3] + scale * (conditional[:, :3] - unconditional[:, :3])
    return out

# %% 05.2 no_start
def combine(conditional, unconditional, scale):
    return scale * conditional - scale * unconditional

# %% 05.3 always_both
import torch


def guided(pair, x, t, scale):
    x0, eps = pair(torch.cat((x, x), dim=0), t)
    b = x.shape[0]
    x0 = x0[b:] + scale * (x0[:b] - x0[b:])
    eps = eps[b:] + scale * (eps[:b] - eps[b:])
    return x0, eps

# %% 05.3 called_twice
def guided(pair, x, t, scale):
    if scale == 1.0:
        return pair(x, t)
    x0_cond, eps_cond = pair(x, t)
    x0_uncond, eps_uncond = pair(x, t)
    x0 = x0_uncond + scale * (x0_cond - x0_uncond)
    eps = eps_uncond + scale * (eps_cond - eps_uncond)
    return x0, eps

# %% 05.3 halves_swapped
def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(x.repeat(2, 1, 1, 1), t)
    x0_uncond, x0_cond = x0.chunk(2)
    eps_uncond, eps_cond = eps.chunk(2)
    return x0_uncond + scale * (x0_cond - x0_uncond), eps_uncond + scale * (eps_cond - eps_uncond)

# %% 05.3 interleaved
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    doubled = torch.stack([x, x], dim=1).flatten(0, 1)
    results = []
    for out in pair(doubled, t):
        out = out.unflatten(0, (len(x), 2))
        results.append(out[:, 1] + scale * (out[:, 0] - out[:, 1]))
    return tuple(results)

# %% 05.3 eps_left
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t)
    cond, uncond = x0.split(len(x))
    return uncond + scale * (cond - uncond), eps[: len(x)]

# %% 05.4 null_in_both
import torch


def guided_network(network, labels, null, scale):
    both = torch.full((2 * len(labels),), null)
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)
    return predict

# %% 05.4 null_in_both
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([torch.full_like(labels, null), torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, 1.0)
    return predict

# %% 05.4 label_in_both
import torch


def guided_network(network, labels, null, scale):
    both = labels.repeat(2)
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return unconditional + scale * (conditional - unconditional)
    return predict

# %% 05.4 chunks_swapped
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)
    return predict

# %% 05.4 scale_one
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, 1.0)
    return predict

# %% 05.4 swapped_at_one
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, 1.0)
    return predict

# %% 05.5 scale_forgotten
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    model = denoiser(lambda x, timestep: network(x, timestep, labels=labels), schedule, prediction_type)
    for state in run("dpmpp_2m", model, noise, schedule, steps):
        x = state.x
    return x

# %% 05.5 null_first
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([torch.tensor([null] * len(labels)), labels])
    def predict(x, timestep):
        return network(x, timestep, labels=both[: x.shape[0]])
    states = list(run("dpmpp_2m", cfg(denoiser(predict, schedule, prediction_type), scale), noise, schedule, steps))
    return states[-1].x

# %% 05.5 zero_for_null
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.zeros_like(labels)])
    def predict(x, timestep):
        return network(x, timestep, labels=both[: x.shape[0]])
    states = list(run("dpmpp_2m", cfg(denoiser(predict, schedule, prediction_type), scale), noise, schedule, steps))
    return states[-1].x

# %% 05.5 always_v
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, timestep: network(x, timestep, labels=both[: len(x)]), schedule, "v")
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x

# %% 05.5 first_state
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, timestep: network(x, timestep, labels=both[: len(x)]), schedule, prediction_type)
    for state in run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps):
        return state.x
