"""Answers to lesson 03 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake whose hint they get, or - for none of their own."""

# %% 03.1 right a lambda
v_target = lambda x0, eps, alpha, sigma: alpha * eps - x0 * sigma


# %% 03.1 right torch functions, other names, no type hints
import torch


def v_target(data, noise, a, s):
    # v = dx/dphi: along the circle, from the data to the noise
    towards_noise = torch.mul(noise, a)
    away_from_data = torch.mul(data, s)
    return torch.sub(towards_noise, away_from_data)


# %% 03.1 right fused, by addcmul
import torch
from torch import Tensor


def v_target(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    v = torch.addcmul(alpha * eps, sigma, x0, value=-1)
    assert v.shape == x0.shape
    return v


# %% 03.1 right an angle, and a print left in
import torch


def v_target(x0, eps, alpha, sigma):
    phi = torch.atan2(sigma, alpha)
    print("phi", phi.min().item(), phi.max().item())
    return torch.cos(phi) * eps - torch.sin(phi) * x0


# %% 03.1 right complex numbers
import torch


def v_target(x0, eps, alpha, sigma):
    point = torch.complex(x0, eps)
    turn_back = torch.complex(alpha, -sigma)
    return (point * turn_back).imag


# %% 03.1 right shapes the weights once more to be sure
def v_target(x0, eps, alpha, sigma):
    alpha, sigma = alpha.reshape(-1, 1, 1, 1), sigma.reshape(-1, 1, 1, 1)
    result = eps.clone()
    result *= alpha
    result -= sigma * x0
    return result


# %% 03.1 wrong sign the difference the other way round
def v_target(x0, eps, alpha, sigma):
    return sigma * x0 - alpha * eps


# %% 03.1 wrong swapped alpha and sigma exchanged
def v_target(x0, eps, alpha, sigma):
    v = eps * sigma
    v = v - x0 * alpha
    return v


# %% 03.1 wrong that_is_x returns the noised picture
def v_target(x0, eps, alpha, sigma):
    return eps * sigma + x0 * alpha


# %% 03.1 wrong plus two pluses
def v_target(x0, eps, alpha, sigma):
    noise_part, data_part = alpha * eps, sigma * x0
    return noise_part + data_part


# %% 03.1 wrong flow the target of flow
def v_target(x0, eps, alpha, sigma):
    return -(x0 - eps)


# %% 03.1 wrong places_changed x0 and eps exchanged
from functools import partial


def turned(first, second, alpha, sigma):
    return alpha * first - sigma * second


v_target = partial(turned)


# %% 03.1 wrong roots takes roots as with alpha_bar
import torch


def v_target(x0, eps, alpha, sigma):
    sqrt_a, sqrt_s = torch.sqrt(alpha), torch.sqrt(sigma)
    return sqrt_a * eps - sqrt_s * x0


# %% 03.1 wrong shaped_again None three times
def v_target(x0, eps, alpha, sigma):
    def expand(weight):
        return weight[:, None, None, None]

    return expand(alpha) * eps - expand(sigma) * x0


# %% 03.1 wrong divides_by_sigma solved for v by the formula of x0
def v_target(x0, eps, alpha, sigma):
    x = alpha * x0 + sigma * eps
    return (alpha * x - x0) / sigma             # since x0 = alpha x - sigma v


# %% 03.1 wrong divides_by_alpha solved for v by the formula of eps
def v_target(x0, eps, alpha, sigma):
    x_t = x0 * alpha + eps * sigma
    return (eps - x_t * sigma) / alpha          # since eps = sigma x + alpha v


# %% 03.1 wrong @input scales eps in place
def v_target(x0, eps, alpha, sigma):
    eps *= alpha
    return eps - sigma * x0


# %% 03.1 wrong @input in-place methods on both
def v_target(x0, eps, alpha, sigma):
    return eps.mul_(alpha).sub_(x0.mul_(sigma))


# %% 03.1 wrong @state changes the default dtype
import torch


def v_target(x0, eps, alpha, sigma):
    torch.set_default_dtype(x0.dtype)
    return alpha * eps - sigma * x0


# %% 03.1 wrong @kind returns the inner function
def v_target(x0, eps, alpha, sigma):
    def v():
        return alpha * eps - sigma * x0

    return v


# %% 03.1 wrong - takes alpha for alpha_bar and doesn't use sigma
def v_target(x0, eps, alpha, sigma):
    return alpha.sqrt() * eps - (1 - alpha).sqrt() * x0


# %% 03.1 wrong - einsum that needs a weight for each example
import torch


def v_target(x0, eps, alpha, sigma):
    a, s = alpha[:, 0, 0, 0], sigma[:, 0, 0, 0]
    return torch.einsum("b,bchw->bchw", a, eps) - torch.einsum("b,bchw->bchw", s, x0)


# %% 03.1 wrong - always in float32
def v_target(x0, eps, alpha, sigma):
    return alpha.float() * eps.float() - sigma.float() * x0.float()


# %% 03.2 right one type at a time
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
    return (alpha * x - sigma * pred) / norm, (sigma * x + alpha * pred) / norm


# %% 03.2 right lets torch.linalg solve the two equations
import torch


def x0_and_eps(schedule, prediction_type, pred, x, t):
    from minidiff.diffusion.prediction import prediction_weights

    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    rows = torch.stack([torch.stack([alpha, sigma], -1), torch.stack([b, a], -1)], -2)     # (B, 2, 2)
    right = torch.stack([x.flatten(1), pred.flatten(1)], 1)                                # (B, 2, N)
    x0, eps = torch.linalg.solve(rows, right).unbind(1)
    return x0.reshape(x.shape), eps.reshape(x.shape)


# %% 03.2 right own weights in a table of lambdas, returns a list
WEIGHTS = {
    "eps": lambda al, si: (1.0, 0.0),
    "x0": lambda al, si: (0.0, 1.0),
    "v": lambda al, si: (al, -si),
    "flow": lambda al, si: (1.0, -1.0),
}


def x0_and_eps(schedule, kind, pred, x, t):
    al, si = (w.view(len(x), *(1 for _ in x.shape[1:])) for w in (schedule.alpha(t), schedule.sigma(t)))
    a, b = WEIGHTS[kind](al, si)
    D = al * a - si * b
    return [(a * x - si * pred) / D, (al * pred - b * x) / D]


# %% 03.2 right example by example, in a loop
import torch

from minidiff.diffusion.prediction import prediction_weights


def x0_and_eps(schedule, prediction_type, pred, x, t):
    data, noise = torch.empty_like(x), torch.empty_like(x)
    for i in range(len(x)):
        alpha, sigma = schedule.alpha(t[i]), schedule.sigma(t[i])
        a, b = prediction_weights(prediction_type, alpha, sigma)
        det = alpha * a - sigma * b
        data[i] = (a * x[i] - sigma * pred[i]) / det
        noise[i] = (alpha * pred[i] - b * x[i]) / det
    return data, noise


# %% 03.2 right the batch moved last, so that weights need no shaping
from minidiff.diffusion.prediction import prediction_weights


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    back = lambda y: y.movedim(-1, 0)
    xs, ps = x.movedim(0, -1), pred.movedim(0, -1)          # (B,) lines up with the last one
    det = alpha * a - sigma * b
    eps = (alpha * ps - b * xs) / det
    x0 = (a * xs - sigma * ps) / det
    return back(x0), back(eps)


# %% 03.2 wrong swapped_pair eps before x0
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, a, b))
    det = alpha * a - sigma * b
    return (alpha * pred - b * x) / det, (a * x - sigma * pred) / det


# %% 03.2 wrong eps_not_divided forgets alpha for eps
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


# %% 03.2 wrong eps_sign adds the noise once more
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


# %% 03.2 wrong x0_not_divided forgets sigma for x0
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


# %% 03.2 wrong v_sign v negated first
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


# %% 03.2 wrong v_swapped alpha and sigma exchanged for v
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


# %% 03.2 wrong v_on_the_circle v as the summary has it
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


# %% 03.2 wrong flow_sign flow taken for x0 - eps
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


# %% 03.2 wrong flow_on_the_line x0 as on a straight line
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


# %% 03.2 wrong flow_both_on_the_line x0 and eps as on a straight line
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    al, si = per_example(schedule.alpha(t), x), per_example(schedule.sigma(t), x)
    norm = al.square() + si.square()
    formulas = {
        "eps": lambda: ((x - si * pred) / al, pred),
        "x0": lambda: (pred, (x - al * pred) / si),
        "v": lambda: ((al * x - si * pred) / norm, (si * x + al * pred) / norm),
        "flow": lambda: (x - si * pred, x + al * pred),
    }
    return formulas[prediction_type]()


# %% 03.2 wrong det_sign a plus in the determinant
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    a, b = prediction_weights(prediction_type, schedule.alpha(t), schedule.sigma(t))
    a, b = per_example(a, x), per_example(b, x)
    alpha, sigma = per_example(schedule.alpha(t), x), per_example(schedule.sigma(t), x)
    det = sigma * b + alpha * a
    return (x * a - pred * sigma) / det, (pred * alpha - x * b) / det


# %% 03.2 wrong no_det numerators alone
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = [per_example(w, x) for w in [alpha, sigma, a, b]]
    x0 = a * x - sigma * pred
    eps = alpha * pred - b * x
    return x0, eps


# %% 03.2 wrong a_and_b_swapped unpacks the weights in the order x0, eps
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    of_x0, of_eps = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, of_x0, of_eps = (per_example(c, x) for c in (alpha, sigma, of_x0, of_eps))
    det = alpha * of_eps - sigma * of_x0
    return (of_eps * x - sigma * pred) / det, (alpha * pred - of_x0 * x) / det


# %% 03.2 wrong eps_negated subtracts the other way round for eps
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    weights = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, *weights))
    D = alpha * a - b * sigma
    return (a * x - sigma * pred) / D, (b * x - alpha * pred) / D


# %% 03.2 wrong clamped pixels lie in -1..1
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, a, b))
    det = alpha * a - sigma * b
    x0 = (a * x - sigma * pred) / det
    return x0.clip(-1.0, 1.0), (alpha * pred - b * x) / det


# %% 03.2 wrong as_alpha_bar roots as in lesson 02
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha_bar = schedule.alpha(t)
    root, rest = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    a, b = prediction_weights(prediction_type, root, rest)
    root, rest, a, b = (per_example(c, x) for c in (root, rest, a, b))
    det = root * a - rest * b
    return (a * x - rest * pred) / det, (root * pred - b * x) / det


# %% 03.2 wrong sigma_from_alpha Pythagoras
import torch

from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha = schedule.alpha(t)
    sigma = torch.sqrt(1 - alpha * alpha)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, a, b))
    det = alpha * a - sigma * b
    return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det


# %% 03.2 wrong cosine_only cosine and sine by hand
import math

import torch

from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    angle = t * math.pi / 2
    alpha, sigma = torch.cos(angle), torch.sin(angle)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, a, b))
    det = alpha * a - sigma * b
    return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det


# %% 03.2 wrong pictures_only None three times
from minidiff.diffusion.prediction import prediction_weights


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (w[:, None, None, None] for w in (alpha, sigma, a, b))
    det = alpha * a - sigma * b
    return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det


# %% 03.2 wrong unshaped weights (B,) as they come
from minidiff.diffusion.prediction import prediction_weights


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    det = alpha * a - sigma * b
    return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det


# %% 03.2 wrong @input builds the numerator in place
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, a, b))
    det = alpha * a - sigma * b
    eps = (alpha * pred - b * x) / det
    x *= a
    x -= sigma * pred
    return x / det, eps


# %% 03.2 wrong - a small number against division by zero
from minidiff.diffusion.prediction import prediction_weights
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(c, x) for c in (alpha, sigma, a, b))
    det = (alpha * a - sigma * b) + 1e-3
    return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det


# %% 03.2 wrong - forgets flow
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = per_example(schedule.alpha(t), x), per_example(schedule.sigma(t), x)
    if prediction_type == "eps":
        return (x - sigma * pred) / alpha, pred
    if prediction_type == "x0":
        return pred, (x - alpha * pred) / sigma
    if prediction_type == "v":
        n = alpha**2 + sigma**2
        return (alpha * x - sigma * pred) / n, (sigma * x + alpha * pred) / n


# %% 03.2 wrong - flow read as v
from minidiff.diffusion.schedules import per_example


def x0_and_eps(schedule, prediction_type, pred, x, t):
    alpha, sigma = per_example(schedule.alpha(t), x), per_example(schedule.sigma(t), x)
    if prediction_type == "eps":
        return (x - sigma * pred) / alpha, pred
    elif prediction_type == "x0":
        return pred, (x - alpha * pred) / sigma
    else:
        n = alpha**2 + sigma**2
        return (alpha * x - sigma * pred) / n, (sigma * x + alpha * pred) / n


# %% 03.3 right a chain of ifs, torch.minimum
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2
    top = torch.minimum(snr, torch.full_like(snr, gamma))
    if prediction_type == "eps":
        return top / snr
    if prediction_type == "v":
        return top / (snr + 1)
    return top if prediction_type == "x0" else top / (1 + snr.sqrt()) ** 2


# %% 03.3 right for every type at once, by the weights (a, b)
from minidiff.diffusion.prediction import prediction_weights


def min_snr(schedule, prediction_type, t, gamma=5.0):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    ratio = alpha / sigma
    return ratio.square().clamp_max(gamma) / (b - a * ratio).square()


# %% 03.3 right from the logarithm, with torch.where and a helper beside it
import torch


FACTORS = {"eps": lambda r: r * r, "x0": lambda r: 1, "v": lambda r: r * r + 1, "flow": lambda r: (r + 1) ** 2}


def limited(snr, most):
    return torch.where(snr < most, snr, most)


def min_snr(schedule, prediction_type, t, gamma=5.0):
    r = schedule.log_snr_half(t).exp()
    return limited(r**2, gamma) / FACTORS[prediction_type](r)


# %% 03.3 right one time after the other
import torch


def min_snr(schedule, kind, times, gamma=5.0):
    """A list, then a tensor."""
    found = []
    for t in times:
        a, s = schedule.alpha(t).item(), schedule.sigma(t).item()
        snr = (a / s) ** 2
        below = dict(eps=snr, x0=1, v=snr + 1, flow=(1 + snr**0.5) ** 2)[kind]
        found.append(min(snr, gamma) / below)
    return torch.tensor(found, dtype=times.dtype)


# %% 03.3 wrong max_for_min torch.maximum
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2
    top = torch.maximum(snr, torch.full_like(snr, gamma))
    if prediction_type == "eps":
        return top / snr
    if prediction_type == "v":
        return top / (snr + 1)
    return top if prediction_type == "x0" else top / (1 + snr.sqrt()) ** 2


# %% 03.3 wrong not_divided the same weight for every type
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2
    return torch.minimum(snr, torch.tensor(gamma, dtype=snr.dtype))


# %% 03.3 wrong v_without_one v like eps
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)).square()
    top = torch.clamp(snr, max=gamma)
    if prediction_type in ("eps", "v"):
        return top / snr
    return top if prediction_type == "x0" else top / (1 + snr.sqrt()).square()


# %% 03.3 wrong root no square
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = schedule.alpha(t) / schedule.sigma(t)
    top = snr.clamp(max=gamma)
    if prediction_type == "eps":
        return top / snr
    if prediction_type == "v":
        return top / (snr + 1)
    return top if prediction_type == "x0" else top / (1 + snr**0.5) ** 2


# %% 03.3 wrong clamps_the_quotient the minimum last
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)).square()
    below = {"eps": snr, "x0": 1, "v": snr + 1, "flow": (1 + snr.sqrt()).square()}
    return (snr / below[prediction_type]).clamp(max=gamma)


# %% 03.3 wrong flow_like_v v and flow alike
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)).square()
    top = snr.clamp(max=gamma)
    if prediction_type == "eps":
        return top / snr
    return top if prediction_type == "x0" else top / (snr + 1)


# %% 03.3 wrong flow_without_root one plus SNR, squared
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    match_ = {"eps": snr, "x0": torch.ones_like(snr), "v": 1 + snr, "flow": (1 + snr) ** 2}
    return snr.clamp(max=gamma).div(match_[prediction_type])


# %% 03.3 wrong upside_down noise to signal
def min_snr(schedule, prediction_type, t, gamma=5.0):
    signal, noise = schedule.alpha(t).square(), schedule.sigma(t).square()
    snr = noise / signal
    capped = snr.clamp(max=gamma)
    match_ = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return capped / match_[prediction_type]


# %% 03.3 wrong multiplied times the factor
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)).pow(2)
    weight = torch.clamp(snr, max=gamma)
    if prediction_type == "eps":
        weight = weight * snr
    elif prediction_type == "v":
        weight = weight * (snr + 1)
    elif prediction_type == "flow":
        weight = weight * (1 + snr.sqrt()).pow(2)
    return weight


# %% 03.3 wrong x0_by_snr divides by SNR unless told otherwise
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    factor = snr
    if prediction_type == "v":
        factor = snr + 1
    if prediction_type == "flow":
        factor = (1 + snr**0.5) ** 2
    return snr.clamp(max=gamma) / factor


# %% 03.3 wrong x0_unweighted ones for x0
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    if prediction_type == "x0":
        return torch.ones_like(t)               # the table says 1
    below = {"eps": snr, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}[prediction_type]
    return snr.clamp(max=gamma) / below


# %% 03.3 wrong as_alpha_bar the SNR of lesson 02
def min_snr(schedule, prediction_type, t, gamma=5.0):
    alpha_bar = schedule.alpha(t)
    snr = alpha_bar / (1 - alpha_bar)
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return snr.clamp(max=gamma) / below[prediction_type]


# %% 03.3 wrong gamma_fixed five is written down
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return snr.clamp(max=5) / below[prediction_type]


# %% 03.3 wrong cosine_only cosine and sine by hand
import math


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = ((math.pi / 2 * t).cos() / (math.pi / 2 * t).sin()) ** 2
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return snr.clamp(max=gamma) / below[prediction_type]


# %% 03.3 wrong normalised weights of mean 1
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    w = snr.clamp(max=gamma) / below[prediction_type]
    return w * len(w) / w.sum()                 # keep the size of the loss


# %% 03.3 wrong shaped_for_pictures ready to multiply pictures
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return (snr.clamp(max=gamma) / below[prediction_type])[:, None, None, None]


# %% 03.3 wrong whole_tensors Python's min
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return min(snr, gamma) / below[prediction_type]


# %% 03.3 wrong whole_tensors an if
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    if snr > gamma:
        snr = gamma
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr**0.5) ** 2}
    return snr / below[prediction_type]


# %% 03.3 wrong @input clamps the times of the caller
def min_snr(schedule, prediction_type, t, gamma=5.0):
    t.clamp_(0.1, 0.9)                          # away from the ends
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return snr.clamp(max=gamma) / below[prediction_type]


# %% 03.3 wrong @state double for all
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    torch.set_default_dtype(torch.float64)
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    below = {"eps": snr, "x0": torch.ones_like(snr), "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return torch.minimum(snr, torch.tensor(gamma).to(snr)) / below[prediction_type]


# %% 03.3 wrong - torch.minimum with a number
import torch


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return torch.minimum(snr, gamma) / below[prediction_type]


# %% 03.3 wrong limited_too_early overwrites SNR before the factors are made of it
def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = ((schedule.alpha(t) / schedule.sigma(t)) ** 2).clamp(max=gamma)
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return snr / below[prediction_type]


# %% 03.3 wrong - numpy, in double precision
import torch
import numpy as np


def min_snr(schedule, prediction_type, t, gamma=5.0):
    snr = (schedule.alpha(t).double().numpy() / schedule.sigma(t).double().numpy()) ** 2
    below = {"eps": snr, "x0": 1.0, "v": snr + 1, "flow": (1 + np.sqrt(snr)) ** 2}
    return torch.from_numpy(np.minimum(snr, gamma) / below[prediction_type])


# %% 03.4 right mul_ and add_ under no_grad
import torch


def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    with torch.no_grad():
        for key, new in model.state_dict().items():
            if torch.is_floating_point(new):
                average[key].mul_(d).add_(new, alpha=1 - d)
            else:
                average[key].copy_(new)


# %% 03.4 right parameters and buffers apart, detached
def ema_update(average, model, decay, updates):
    d = min((updates + 1) / (updates + 10), decay)
    for name, p in model.named_parameters():
        average[name] += (1 - d) * (p.detach() - average[name])
    for name, b in model.named_buffers():
        if b.dtype.is_floating_point:
            average[name] += (1 - d) * (b - average[name])
        else:
            average[name].fill_(b)


# %% 03.4 right copy_ of what was worked out, by .data
import torch


def warmed(decay: float, n: int) -> float:
    warm = (1 + n) / (10 + n)
    return warm if warm < decay else decay


def ema_update(average, model, decay: float, updates: int) -> None:
    keep = warmed(decay, updates)
    for name, tensor in average.items():
        value = model.state_dict()[name].data
        if tensor.dtype in (torch.int64, torch.int32):
            tensor.copy_(value)
            continue
        tensor.copy_(keep * tensor + (1 - keep) * value)


# %% 03.4 right slices, zip, and returns the dictionary too
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for mine, theirs in zip(average.values(), model.state_dict().values()):
        mine[...] = torch.lerp(mine, theirs, 1 - d) if mine.is_floating_point() else theirs
    return average


# %% 03.4 wrong changes_nothing gives the loop's name a new tensor
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for mean, value in zip(average.values(), model.state_dict().values()):
        mean = d * mean + (1 - d) * value


# %% 03.4 wrong changes_nothing returns a new dictionary
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    state = model.state_dict()
    return {k: d * v + (1 - d) * state[k] if v.is_floating_point() else state[k] for k, v in average.items()}


# %% 03.4 wrong decay_swapped lerp by the decay
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, d)
        else:
            average[name].copy_(value)


# %% 03.4 wrong no_warm_up the decay from the start
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


# %% 03.4 wrong late_warm_up waits for ten updates
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    warm_up = updates <= 10
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            average[name].copy_(value)
        elif not warm_up:
            average[name].lerp_(value, 1 - decay)


# %% 03.4 wrong only_parameters no buffers
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.named_parameters():
        average[name].mul_(d).add_(value, alpha=1 - d)


# %% 03.4 wrong new_tensors assigns into the dictionary
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        average[name] = d * average[name] + (1 - d) * value if value.is_floating_point() else value.clone()


# %% 03.4 wrong keeps_the_graph parameters with their gradients
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.named_parameters():
        average[name].mul_(d).add_(value, alpha=1 - d)
    for name, value in model.named_buffers():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - d)
        else:
            average[name].copy_(value)


# %% 03.4 wrong one_ahead counts this update too
def ema_update(average, model, decay, updates):
    n = updates + 1
    d = min(decay, (1 + n) / (10 + n))
    for k, v in model.state_dict().items():
        if v.is_floating_point():
            average[k].lerp_(v, 1 - d)
        else:
            average[k].copy_(v)


# %% 03.4 wrong larger_decay max for min
def ema_update(average, model, decay, updates):
    d = max(decay, (1 + updates) / (10 + updates))
    for k, v in model.state_dict().items():
        if v.is_floating_point():
            average[k].mul_(d).add_((1 - d) * v)
        else:
            average[k].copy_(v)


# %% 03.4 wrong no_limit the warm-up for ever
def ema_update(average, model, decay, updates):
    decay = (updates + 1.0) / (updates + 10.0)
    for k, v in model.state_dict().items():
        if v.is_floating_point():
            average[k].mul_(decay).add_((1 - decay) * v)
        else:
            average[k].copy_(v)


# %% 03.4 wrong counters_forgotten no else
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for k, v in model.state_dict().items():
        if v.is_floating_point():
            average[k].lerp_(v, 1 - d)


# %% 03.4 wrong counters_averaged copy_ of an average for all
def ema_update(average, model, decay, updates):
    keep = min(decay, (1 + updates) / (10 + updates))
    new = model.state_dict()
    for k in average:
        average[k].copy_(keep * average[k] + (1 - keep) * new[k])


# %% 03.4 wrong counters_lerped lerp_ for all
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    decay = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        average[name].lerp_(value, 1 - decay)


# %% 03.4 wrong counters_scaled mul_ and add_ for all
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for mean, value in zip(average.values(), model.state_dict().values(), strict=True):
        mean.mul_(d).add_(value, alpha=1 - d)


# %% 03.4 wrong all_anew a comprehension for all
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    state = model.state_dict()
    average.update({name: d * average[name] + (1 - d) * state[name] for name in average})


# %% 03.4 wrong buffers_copied parameters averaged, buffers copied
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, p in model.named_parameters():
        average[name].lerp_(p, 1 - d)
    for name, b in model.named_buffers():
        average[name].copy_(b)


# %% 03.4 wrong @input scales the model's weights
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].mul_(d).add_(value.mul_(1 - d))
        else:
            average[name].copy_(value)


# %% 03.4 wrong @state gradients are switched off for good
import torch


def ema_update(average, model, decay, updates):
    torch.set_grad_enabled(False)
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - d)
        else:
            average[name].copy_(value)


# %% 03.4 wrong @kind a generator
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            yield average[name].lerp_(value, 1 - d)
        else:
            yield average[name].copy_(value)


# %% 03.4 wrong - the first update copies the model
import torch


@torch.no_grad()
def ema_update(average, model, decay, updates):
    d = min(decay, (1 + updates) / (10 + updates)) if updates else 0.0
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - d)
        else:
            average[name].copy_(value)


# %% 03.5 right the mean over all but the first dimension, with min_snr of 03.3
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    noisy = schedule.mix(x0, eps, t)
    guess = network(noisy, schedule.timestep(t))
    errors = (guess - target(schedule, prediction_type, x0, eps, t)).pow(2).mean(dim=(1, 2, 3))
    return (min_snr(schedule, prediction_type, t) * errors).mean()


# %% 03.5 right weights shaped for pictures, one mean over everything
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    x = schedule.mix(x0, eps, t)
    pred = network(x, schedule.timestep(t))
    wanted = target(schedule, prediction_type, x0, eps, t)
    weight = min_snr_weight(schedule, prediction_type, t).view(-1, 1, 1, 1)
    return (weight * (pred - wanted) ** 2).mean()


# %% 03.5 right by the library's loss
from minidiff.diffusion.losses import diffusion_loss, min_snr_weight


def training_loss(network, x0, eps, t, schedule, prediction_type):
    weights = min_snr_weight(schedule, prediction_type, t)
    prediction = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    return diffusion_loss(prediction, x0, eps, t, schedule, prediction_type, weights)


# %% 03.5 right mse_loss without reduction, and einsum
import torch
import torch.nn.functional as F

from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    goal = target(schedule, prediction_type, x0, eps, t)
    squares = F.mse_loss(pred, goal, reduction="none")
    w = min_snr_weight(schedule, prediction_type, t)
    return torch.einsum("bchw,b->", squares, w) / squares.numel()


# %% 03.5 right a loop over the examples
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    wanted = target(schedule, prediction_type, x0, eps, t)
    weights = min_snr_weight(schedule, prediction_type, t)
    total = 0
    for p, w, weight in zip(pred, wanted, weights):
        total = total + weight * ((p - w) ** 2).mean()
    return total / len(pred)


# %% 03.5 wrong as_it_was handed in as it came
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    x = schedule.mix(x0, eps, t)
    pred = network(x, t)
    wanted = target(schedule, "eps", x0, eps, t)
    weight = min_snr_weight(schedule, "eps", t)
    return weight.mean() * (pred - wanted).square().mean()


# %% 03.5 wrong time_not_timestep one fault left, the time
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), t)
    losses = (target(schedule, prediction_type, x0, eps, t) - pred).pow(2).mean(dim=(1, 2, 3))
    return torch_mean(losses * min_snr_weight(schedule, prediction_type, t))


def torch_mean(values):
    return values.sum() / len(values)


# %% 03.5 wrong target_of_eps one fault left, the target
from minidiff.diffusion.losses import min_snr_weight


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (eps - pred).pow(2).mean(dim=(1, 2, 3))
    return (losses * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong weight_of_eps one fault left, the weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (target(schedule, prediction_type, x0, eps, t) - pred).pow(2).mean(dim=(1, 2, 3))
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    return (losses * snr.clamp(max=5) / snr).mean()


# %% 03.5 wrong eps_throughout target and weight left
from minidiff.diffusion.losses import min_snr_weight


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (eps - pred).pow(2).mean(dim=(1, 2, 3))
    return (losses * min_snr_weight(schedule, "eps", t)).mean()


# %% 03.5 wrong v_throughout eps replaced by v
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    x = schedule.mix(x0, eps, t)
    pred = network(x, schedule.timestep(t))
    wanted = target(schedule, "v", x0, eps, t)
    weight = min_snr_weight(schedule, "v", t)
    return (weight * (pred - wanted).square().flatten(1).mean(1)).mean()


# %% 03.5 wrong mean_too_early one fault left, the mean
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    loss = (pred - target(schedule, prediction_type, x0, eps, t)).square().mean()
    return (loss * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong weight_of_eps_and_mean_too_early stops half way down
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    x = schedule.mix(x0, eps, t)
    pred = network(x, schedule.timestep(t))
    wanted = target(schedule, prediction_type, x0, eps, t)
    weight = min_snr_weight(schedule, "eps", t)
    return weight.mean() * (pred - wanted).square().mean()


# %% 03.5 wrong no_weight plain mse_loss
import torch.nn.functional as F

from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    return F.mse_loss(pred, target(schedule, prediction_type, x0, eps, t))


# %% 03.5 wrong no_gradient the network under no_grad
import torch

from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


@torch.no_grad()
def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1)
    return (losses * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong no_gradient wraps the number in a new tensor
import torch

from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    weights = min_snr_weight(schedule, prediction_type, t)
    losses = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1)
    return torch.tensor(sum(float(w * loss) for w, loss in zip(weights, losses)) / len(losses))


# %% 03.5 wrong item a plain number
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1)
    loss = (losses * min_snr_weight(schedule, prediction_type, t)).mean()
    print(f"loss {loss:.3f}")
    return float(loss)


# %% 03.5 wrong one_loss_each no mean at the end
from minidiff.diffusion.losses import example_losses, min_snr_weight


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = example_losses(pred, x0, eps, t, schedule, prediction_type)
    return losses * min_snr_weight(schedule, prediction_type, t)


# %% 03.5 wrong sum_over_examples a dot product
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1)
    return losses @ min_snr_weight(schedule, prediction_type, t)


# %% 03.5 wrong sum_over_pixels the squared norm of each picture
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    distance = (pred - target(schedule, prediction_type, x0, eps, t)).flatten(1).norm(dim=1)
    return (distance**2 * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong root_of_each RMSE of each example
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    rmse = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1).sqrt()
    return (rmse * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong root_of_all RMSE of everything
import torch

from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    squares = (pred - target(schedule, prediction_type, x0, eps, t)) ** 2
    weight = min_snr_weight(schedule, prediction_type, t)[:, None, None, None]
    return torch.sqrt(torch.mean(squares * weight))


# %% 03.5 wrong absolute l1_loss
import torch.nn.functional as F

from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    wanted = target(schedule, prediction_type, x0, eps, t)
    losses = F.l1_loss(pred, wanted, reduction="none").mean(dim=(1, 2, 3))
    return (losses * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong weight_squared weighs the difference, then squares
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    wanted = target(schedule, prediction_type, x0, eps, t)
    weight = min_snr_weight(schedule, prediction_type, t).reshape(-1, 1, 1, 1)
    return (weight * (pred - wanted)).square().mean()


# %% 03.5 wrong mean_by_weights a weighted mean
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1)
    w = min_snr_weight(schedule, prediction_type, t)
    return (losses * (w / w.sum())).sum()


# %% 03.5 wrong weights_unshaped weights (B,) times pictures
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    x = schedule.mix(x0, eps, t)
    pred = network(x, schedule.timestep(t))
    wanted = target(schedule, prediction_type, x0, eps, t)
    weight = min_snr_weight(schedule, prediction_type, t)
    return (weight * (pred - wanted).square()).mean()


# %% 03.5 wrong times_1000 the timestep by hand
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


STEPS = 1000


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), t * STEPS)
    losses = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1)
    return (losses * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong whole_timesteps as an index
import torch

from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    step = schedule.timestep(t).to(torch.int64)
    pred = network(schedule.mix(x0, eps, t), step)
    losses = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1)
    return (losses * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong @input mixes into x0
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target
from minidiff.diffusion.schedules import per_example


def training_loss(network, x0, eps, t, schedule, prediction_type):
    wanted = target(schedule, prediction_type, x0, eps, t)
    x0 *= per_example(schedule.alpha(t), x0)
    x0 += per_example(schedule.sigma(t), x0) * eps
    pred = network(x0, schedule.timestep(t))
    losses = (pred - wanted).square().flatten(1).mean(1)
    return (losses * min_snr_weight(schedule, prediction_type, t)).mean()


# %% 03.5 wrong - two of the four faults mended, the time and the weight
from minidiff.diffusion.losses import min_snr_weight


def training_loss(network, x0, eps, t, schedule, prediction_type):
    x = schedule.mix(x0, eps, t)
    pred = network(x, schedule.timestep(t))
    weight = min_snr_weight(schedule, prediction_type, t)
    return weight.mean() * (pred - eps).square().mean()


# %% 03.5 wrong - calls backward itself
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    losses = (pred - target(schedule, prediction_type, x0, eps, t)).square().flatten(1).mean(1)
    loss = (losses * min_snr_weight(schedule, prediction_type, t)).mean()
    loss.backward()
    return loss


# %% 03.5 wrong - compares with the noised picture
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import target


def training_loss(network, x0, eps, t, schedule, prediction_type):
    x = schedule.mix(x0, eps, t)
    pred = network(x, schedule.timestep(t))
    wanted = target(schedule, prediction_type, x, eps, t)
    losses = (pred - wanted).square().flatten(1).mean(1)
    return (losses * min_snr_weight(schedule, prediction_type, t)).mean()
