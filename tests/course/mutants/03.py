"""Wrong answers to lesson 03's exercises, as learners write them."""

# %% 03.1 sign
def v_target(x0, eps, alpha, sigma):
    return sigma * x0 - alpha * eps


# %% 03.1 swapped
def v_target(x0, eps, alpha, sigma):
    v = eps * sigma
    v = v - x0 * alpha
    return v


# %% 03.1 that_is_x
def v_target(x0, eps, alpha, sigma):
    return eps * sigma + x0 * alpha


# %% 03.1 plus
def v_target(x0, eps, alpha, sigma):
    noise_part, data_part = alpha * eps, sigma * x0
    return noise_part + data_part


# %% 03.1 flow
def v_target(x0, eps, alpha, sigma):
    return -(x0 - eps)


# %% 03.2 swapped_pair
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, a, b))
    det = alpha * a - sigma * b
    return (alpha * pred - b * x) / det, (a * x - sigma * pred) / det


# %% 03.2 eps_not_divided
def x0_and_eps(schedule, prediction_type, pred, x, t):
    shape = [-1] + [1] * (x.ndim - 1)
    alpha, sigma = schedule.alpha(t).reshape(shape), schedule.sigma(t).reshape(shape)
    if prediction_type == "eps":
        return x - sigma * pred, pred
    if prediction_type == "x0":
        return pred, (x - alpha * pred) / sigma
    if prediction_type == "flow":
        x0 = (x - sigma * pred) / (alpha + sigma)
        return x0, x0 + pred
    norm = alpha**2 + sigma**2
    return (alpha * x - sigma * pred) / norm, (sigma * x + alpha * pred) / norm


# %% 03.2 eps_sign
def x0_and_eps(schedule, prediction_type, pred, x, t):
    shape = [-1] + [1] * (x.ndim - 1)
    alpha, sigma = schedule.alpha(t).reshape(shape), schedule.sigma(t).reshape(shape)
    if prediction_type == "eps":
        return x / alpha + pred * sigma / alpha, pred
    if prediction_type == "x0":
        return pred, (x - alpha * pred) / sigma
    if prediction_type == "flow":
        x0 = (x - sigma * pred) / (alpha + sigma)
        return x0, x0 + pred
    norm = alpha**2 + sigma**2
    return (alpha * x - sigma * pred) / norm, (sigma * x + alpha * pred) / norm


# %% 03.2 x0_not_divided
def x0_and_eps(schedule, prediction_type, pred, x, t):
    shape = [-1] + [1] * (x.ndim - 1)
    alpha, sigma = schedule.alpha(t).reshape(shape), schedule.sigma(t).reshape(shape)
    if prediction_type == "eps":
        return (x - sigma * pred) / alpha, pred
    if prediction_type == "x0":
        return pred, x - alpha * pred
    if prediction_type == "flow":
        x0 = (x - sigma * pred) / (alpha + sigma)
        return x0, x0 + pred
    norm = alpha**2 + sigma**2
    return (alpha * x - sigma * pred) / norm, (sigma * x + alpha * pred) / norm


# %% 03.2 v_sign
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    if prediction_type == "v":
        pred = -pred
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, a, b))
    det = alpha * a - sigma * b
    return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det


# %% 03.2 v_swapped
def x0_and_eps(schedule, prediction_type, pred, x, t):
    shape = [-1] + [1] * (x.ndim - 1)
    alpha, sigma = schedule.alpha(t).reshape(shape), schedule.sigma(t).reshape(shape)
    if prediction_type == "eps":
        return (x - sigma * pred) / alpha, pred
    if prediction_type == "x0":
        return pred, (x - alpha * pred) / sigma
    if prediction_type == "flow":
        x0 = (x - sigma * pred) / (alpha + sigma)
        return x0, x0 + pred
    norm = alpha**2 + sigma**2
    return (sigma * x - alpha * pred) / norm, (alpha * x + sigma * pred) / norm


# %% 03.2 v_on_the_circle
def x0_and_eps(schedule, prediction_type, pred, x, t):
    shape = [-1] + [1] * (x.ndim - 1)
    alpha, sigma = schedule.alpha(t).reshape(shape), schedule.sigma(t).reshape(shape)
    if prediction_type == "eps":
        return (x - sigma * pred) / alpha, pred
    if prediction_type == "x0":
        return pred, (x - alpha * pred) / sigma
    if prediction_type == "flow":
        x0 = (x - sigma * pred) / (alpha + sigma)
        return x0, x0 + pred
    return alpha * x - sigma * pred, sigma * x + alpha * pred


# %% 03.2 flow_sign
def x0_and_eps(schedule, prediction_type, pred, x, t):
    shape = [-1] + [1] * (x.ndim - 1)
    alpha, sigma = schedule.alpha(t).reshape(shape), schedule.sigma(t).reshape(shape)
    if prediction_type == "eps":
        return (x - sigma * pred) / alpha, pred
    if prediction_type == "v":
        norm = alpha**2 + sigma**2
        return (alpha * x - sigma * pred) / norm, (sigma * x + alpha * pred) / norm
    x0 = pred if prediction_type == "x0" else (x + sigma * pred) / (alpha + sigma)
    return x0, (x - alpha * x0) / sigma


# %% 03.2 flow_on_the_line
def x0_and_eps(schedule, prediction_type, pred, x, t):
    shape = [-1] + [1] * (x.ndim - 1)
    alpha, sigma = schedule.alpha(t).reshape(shape), schedule.sigma(t).reshape(shape)
    if prediction_type == "eps":
        return (x - sigma * pred) / alpha, pred
    if prediction_type == "v":
        norm = alpha**2 + sigma**2
        return (alpha * x - sigma * pred) / norm, (sigma * x + alpha * pred) / norm
    x0 = pred if prediction_type == "x0" else x - sigma * pred
    return x0, (x - alpha * x0) / sigma


# %% 03.3 max_for_min
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2
    top = torch.maximum(snr, torch.full_like(snr, gamma))
    if prediction_type == "eps":
        return top / snr
    if prediction_type == "v":
        return top / (snr + 1)
    return top if prediction_type == "x0" else top / (1 + snr.sqrt()) ** 2


# %% 03.3 not_divided
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2
    return torch.minimum(snr, torch.tensor(gamma, dtype=snr.dtype))


# %% 03.3 v_without_one
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)).square()
    top = torch.clamp(snr, max=gamma)
    if prediction_type in ("eps", "v"):
        return top / snr
    return top if prediction_type == "x0" else top / (1 + snr.sqrt()).square()


# %% 03.3 root
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = schedule.alpha(t) / schedule.sigma(t)
    top = snr.clamp(max=gamma)
    if prediction_type == "eps":
        return top / snr
    if prediction_type == "v":
        return top / (snr + 1)
    return top if prediction_type == "x0" else top / (1 + snr**0.5) ** 2


# %% 03.3 clamps_the_quotient
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)).square()
    below = {"eps": snr, "x0": 1, "v": snr + 1, "flow": (1 + snr.sqrt()).square()}
    return (snr / below[prediction_type]).clamp(max=gamma)


# %% 03.3 flow_like_v
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)).square()
    top = snr.clamp(max=gamma)
    if prediction_type == "eps":
        return top / snr
    return top if prediction_type == "x0" else top / (snr + 1)


# %% 03.4 changes_nothing
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for mean, value in zip(average.values(), model.state_dict().values()):
        mean = d * mean + (1 - d) * value


# %% 03.4 decay_swapped
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, d)
        else:
            average[name].copy_(value)


# %% 03.4 no_warm_up
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


# %% 03.4 late_warm_up
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    warm_up = updates <= 10
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            average[name].copy_(value)
        elif not warm_up:
            average[name].lerp_(value, 1 - decay)


# %% 03.4 only_parameters
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.named_parameters():
        average[name].mul_(d).add_(value, alpha=1 - d)


# %% 03.4 new_tensors
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        average[name] = d * average[name] + (1 - d) * value if value.is_floating_point() else value.clone()


# %% 03.4 keeps_the_graph
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.named_parameters():
        average[name].mul_(d).add_(value, alpha=1 - d)
    for name, value in model.named_buffers():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - d)
        else:
            average[name].copy_(value)


# %% 03.5 as_it_was
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    x = schedule.mix(x0, eps, t)
    pred = network(x, t)
    wanted = target(schedule, "eps", x0, eps, t)
    weight = min_snr_weight(schedule, "eps", t)
    return weight.mean() * (pred - wanted).square().mean()


# %% 03.5 time_not_timestep
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), t)
    losses = (target(schedule, prediction_type, x0, eps, t) - pred).pow(2).mean(dim=(1, 2, 3))
    return torch_mean(losses * min_snr_weight(schedule, prediction_type, t))


def torch_mean(values):
    return values.sum() / len(values)


# %% 03.5 target_of_eps
from minidiff.diffusion.losses import min_snr_weight


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (eps - pred).pow(2).mean(dim=(1, 2, 3))
    return (losses * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 weight_of_eps
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (target(schedule, prediction_type, x0, eps, t) - pred).pow(2).mean(dim=(1, 2, 3))
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    return (losses * snr.clamp(max=5) / snr).mean()


# %% 03.5 eps_throughout
from minidiff.diffusion.losses import min_snr_weight


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (eps - pred).pow(2).mean(dim=(1, 2, 3))
    return (losses * min_snr_weight(schedule, "eps", t)).mean()


# %% 03.5 mean_too_early
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    loss = (pred - target(schedule, prediction_type, x0, eps, t)).square().mean()
    return (loss * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 no_weight
import torch.nn.functional as F

from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    return F.mse_loss(pred, target(schedule, prediction_type, x0, eps, t))
