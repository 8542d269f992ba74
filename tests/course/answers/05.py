"""Answers to lesson 05 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 05.1 right masked_fill without the underscore
def drop_labels(labels, lots, drop, null):
    return labels.masked_fill(lots < drop, null)

# %% 05.1 right a copy, then an index
def drop_labels(labels, lots, drop, null):
    """My version: copy first!"""
    new = labels.clone()
    gone = lots < drop
    print("dropped", int(gone.sum()), "of", len(labels))  # debugging
    new[gone] = null
    return new

# %% 05.1 right one by one over plain lists
import torch
from torch import Tensor


def drop_labels(labels: Tensor, lots: Tensor, drop: float, null: int) -> Tensor:
    result = []
    for label, lot in zip(labels.tolist(), lots.tolist()):
        if lot < drop:
            result.append(null)
        else:
            result.append(label)
    return torch.tensor(result)

# %% 05.1 right whole-number arithmetic in a lambda
drop_labels = lambda y, u, p, nothing: y + (u < p).long() * (nothing - y)

# %% 05.1 right numpy
import numpy as np
import torch


def drop_labels(labels, lots, drop, null):
    return torch.from_numpy(np.where(lots.numpy() < drop, null, labels.numpy()))

# %% 05.1 right the condition the other way round
import torch


def drop_labels(labels, lots, drop, null):
    keep = lots >= drop                        # True: the label stays
    nulls = torch.full_like(labels, null)
    return torch.where(keep, labels, nulls)

# %% 05.1 wrong keeps_the_share drops where the lot is too high
def drop_labels(labels, lots, drop, null):
    dropped = labels.clone()
    dropped[lots >= drop] = null
    return dropped

# %% 05.1 wrong keeps_the_share the mask that is filled is turned round
def drop_labels(labels, lots, drop, null):
    keep = lots < drop
    return labels.masked_fill(~keep, null)

# %% 05.1 wrong above the comparison the wrong way round
import torch


def drop_labels(labels, lots, drop, null):
    return torch.where(lots > drop, null, labels)

# %% 05.1 wrong all_at_once one lot in an if
def drop_labels(labels, lots, drop, null):
    if float(lots[0]) < drop:
        return labels * 0 + null
    return labels

# %% 05.1 wrong all_at_once any() to get rid of the error about an ambiguous truth value
import torch


def drop_labels(labels, lots, drop, null):
    if (lots < drop).any():
        return torch.full_like(labels, null)
    return labels.clone()

# %% 05.1 wrong only_if_all all() to get rid of the same error
import torch


def drop_labels(labels, lots, drop, null):
    if torch.all(lots < drop):
        return torch.full_like(labels, null)
    return labels

# %% 05.1 wrong only_if_all the mean of the lots
def drop_labels(labels, lots, drop, null):
    if lots.mean() < drop:
        return labels * 0 + null
    return labels * 1

# %% 05.1 wrong label_zero multiplies by the mask
def drop_labels(labels, lots, drop, null):
    keep = (lots >= drop).long()
    return labels * keep

# %% 05.1 wrong in_place assigns to the caller's labels in a loop
def drop_labels(labels, lots, drop, null):
    for i in range(len(labels)):
        if lots[i] < drop:
            labels[i] = null
    return labels

# %% 05.1 wrong in_place a second name is no copy
def drop_labels(labels, lots, drop, null):
    out = labels
    out[lots < drop] = null
    return out

# %% 05.1 wrong as_floats arithmetic with a float mask
def drop_labels(labels, lots, drop, null):
    mask = (lots < drop).float()
    return mask * null + (1 - mask) * labels

# %% 05.1 wrong as_floats nulls shaped and typed like the lots
import torch


def drop_labels(labels, lots, drop, null):
    nulls = torch.full_like(lots, null)
    return torch.where(lots < drop, nulls, labels)

# %% 05.1 wrong at_most below or equal
import torch


def drop_labels(labels, lots, drop, null):
    return torch.where(lots <= drop, null, labels)

# %% 05.1 wrong at_most keeps only what is above
def drop_labels(labels, lots, drop, null):
    out = labels.clone()
    out[~(lots > drop)] = null
    return out

# %% 05.1 wrong eighteen the number of the shipped model
import torch

NULL = 18


def drop_labels(labels, lots, drop, null):
    return torch.where(lots < drop, torch.tensor(NULL), labels)

# %% 05.1 wrong taken_out keeps the others only
def drop_labels(labels, lots, drop, null):
    return labels[lots >= drop]

# %% 05.1 wrong own_lots draws by itself, as the lesson's toy does
import torch


def drop_labels(labels, lots, drop, null):
    mask = torch.rand(labels.shape[0]) < drop
    return torch.where(mask, null, labels)

# %% 05.1 wrong - an exact share, from the front
def drop_labels(labels, lots, drop, null):
    out = labels.clone()
    k = int(drop * len(labels))
    out[:k] = null
    return out

# %% 05.1 wrong @kind yields them one by one
def drop_labels(labels, lots, drop, null):
    for label, lot in zip(labels, lots):
        yield null if lot < drop else int(label)

# %% 05.2 right lerp
import torch


def combine(conditional, unconditional, scale):
    return torch.lerp(unconditional, conditional, scale)

# %% 05.2 right weights that add up to 1
def combine(c, u, s):
    return (1 - s) * u + s * c

# %% 05.2 right the paper's form with the paper's w
def combine(conditional, unconditional, scale):
    w = scale - 1                                   # Ho & Salimans: w = 0 is no guidance
    return (1 + w) * conditional - w * unconditional

# %% 05.2 right add with alpha
from torch import Tensor, add


def combine(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    arrow = conditional - unconditional
    return add(unconditional, arrow, alpha=scale)

# %% 05.2 right channel by channel
import torch


def combine(conditional, unconditional, scale):
    channels = []
    for c in range(conditional.shape[1]):
        cond, uncond = conditional[:, c], unconditional[:, c]
        channels.append(uncond + scale * (cond - uncond))
    return torch.stack(channels, dim=1)

# %% 05.2 right in place, on a copy of its own
def combine(conditional, unconditional, scale):
    out = conditional.clone()
    out -= unconditional
    out *= scale
    out += unconditional
    return out

# %% 05.2 right einsum over both
import torch


def combine(conditional, unconditional, scale):
    both = torch.stack([conditional, unconditional])
    weights = torch.tensor([scale, 1 - scale], dtype=both.dtype)
    return torch.einsum("k,kbchw->bchw", weights, both)

# %% 05.2 wrong swapped lerp with its ends turned round
import torch


def combine(conditional, unconditional, scale):
    return torch.lerp(conditional, unconditional, scale)

# %% 05.2 wrong swapped weights on the wrong predictions
def combine(conditional, unconditional, scale):
    return scale * unconditional + (1 - scale) * conditional

# %% 05.2 wrong wrong_sign the difference the wrong way round
def combine(conditional, unconditional, scale):
    return unconditional + scale * (unconditional - conditional)

# %% 05.2 wrong papers_scale the paper's formula with scale for w
def combine(conditional, unconditional, scale):
    return (1 + scale) * conditional - scale * unconditional

# %% 05.2 wrong three_channels copied from a repository
def combine(conditional, unconditional, scale):
    out = conditional.clone()
    out[:, :3] = unconditional[:, :3] + scale * (conditional[:, :3] - unconditional[:, :3])
    return out

# %% 05.2 wrong no_start scales both
def combine(conditional, unconditional, scale):
    return scale * conditional - scale * unconditional

# %% 05.2 wrong no_difference uncond + s * cond
def combine(conditional, unconditional, scale):
    return unconditional + conditional * scale

# %% 05.2 wrong one_less thinks that scale - 1 is the length of the arrow
def combine(conditional, unconditional, scale):
    w = scale - 1
    return unconditional + w * (conditional - unconditional)

# %% 05.2 wrong weighted_mean normalises the weights
def combine(conditional, unconditional, scale):
    total = unconditional + scale * conditional
    return total / (scale + 1)

# %% 05.2 wrong clamped keeps pictures in their range
import torch


def combine(conditional, unconditional, scale):
    guided = unconditional + scale * (conditional - unconditional)
    return torch.clip(guided, -1.0, 1.0)

# %% 05.2 wrong detached at the end
def combine(conditional, unconditional, scale):
    guided = unconditional + scale * (conditional - unconditional)
    return guided.detach()

# %% 05.2 wrong detached under no_grad
import torch


@torch.no_grad()
def combine(conditional, unconditional, scale):
    return unconditional + scale * (conditional - unconditional)

# %% 05.2 wrong detached by way of numpy
import torch


def combine(conditional, unconditional, scale):
    c, u = conditional.detach().numpy(), unconditional.detach().numpy()
    return torch.from_numpy(u + scale * (c - u))

# %% 05.2 wrong @input arithmetic in place
def combine(conditional, unconditional, scale):
    conditional -= unconditional
    conditional *= scale
    conditional += unconditional
    return conditional

# %% 05.2 wrong @input lerp in place
def combine(conditional, unconditional, scale):
    return unconditional.lerp_(conditional, scale)

# %% 05.2 wrong - float32 for everyone
def combine(conditional, unconditional, scale):
    cond, uncond = conditional.float(), unconditional.float()
    return uncond + scale * (cond - uncond)

# %% 05.2 wrong no_further no more than scale 1
def combine(conditional, unconditional, scale):
    s = min(max(scale, 0.0), 1.0)                   # interpolation needs 0..1
    return (1 - s) * unconditional + s * conditional

# %% 05.2 wrong - the length of the arrow only
def combine(conditional, unconditional, scale):
    return unconditional + scale * (conditional - unconditional).abs()

# %% 05.3 right lerp and split
import torch


def guided(pair, x, t, scale):
    if scale == 1.0:
        return pair(x, t)
    b = x.shape[0]
    x0, eps = pair(torch.cat((x, x), dim=0), t)
    x0_c, x0_u = x0.split(b)
    eps_c, eps_u = torch.split(eps, b)
    return torch.lerp(x0_u, x0_c, scale), torch.lerp(eps_u, eps_c, scale)

# %% 05.3 right a helper beside it, and a generator inside tuple
import torch


def mix_halves(out, scale):
    n = len(out) // 2
    return out[n:] + scale * (out[:n] - out[n:])


def guided(pair, x, t, scale):
    """one evaluation only"""
    return pair(x, t) if scale == 1 else tuple(mix_halves(out, scale) for out in pair(torch.cat([x] * 2), t))

# %% 05.3 right repeat, and combine of 05.2 on unpacked chunks
def guided(pair, x, t, scale):
    if not scale == 1:
        x0, eps = pair(x.repeat(2, 1, 1, 1), t)
        return [combine(*x0.chunk(2), scale), combine(*eps.chunk(2), scale)]
    x0, eps = pair(x, t)
    return [x0, eps]

# %% 05.3 right view as (2, B, ...)
import math

import torch


def guided(pair, x, t, scale):
    if math.isclose(scale, 1):
        return pair(x, t)
    outs = pair(torch.stack([x, x]).flatten(0, 1), t)
    (x0_c, x0_u), (e_c, e_u) = [out.unflatten(0, (2, len(x))) for out in outs]
    return x0_u + scale * (x0_c - x0_u), e_u + scale * (e_c - e_u)

# %% 05.3 right in place on its own halves
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t)
    n = len(x)
    return x0[n:].lerp_(x0[:n], scale), eps[n:].lerp_(eps[:n], scale)

# %% 05.3 wrong always_both no case for scale 1
import torch


def guided(pair, x, t, scale):
    x0, eps = pair(torch.cat((x, x), dim=0), t)
    b = x.shape[0]
    x0 = x0[b:] + scale * (x0[:b] - x0[b:])
    eps = eps[b:] + scale * (eps[:b] - eps[b:])
    return x0, eps

# %% 05.3 wrong called_twice B rows each time
def guided(pair, x, t, scale):
    if scale == 1.0:
        return pair(x, t)
    x0_cond, eps_cond = pair(x, t)
    x0_uncond, eps_uncond = pair(x, t)
    x0 = x0_uncond + scale * (x0_cond - x0_uncond)
    eps = eps_uncond + scale * (eps_cond - eps_uncond)
    return x0, eps

# %% 05.3 wrong asked_twice an index after each call
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    both = torch.cat([x, x])
    x0_cond, x0_uncond = pair(both, t)[0].chunk(2)
    eps_cond, eps_uncond = pair(both, t)[1].chunk(2)
    return combine(x0_cond, x0_uncond, scale), combine(eps_cond, eps_uncond, scale)

# %% 05.3 wrong halves_swapped unconditional first
def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(x.repeat(2, 1, 1, 1), t)
    x0_uncond, x0_cond = x0.chunk(2)
    eps_uncond, eps_cond = eps.chunk(2)
    return x0_uncond + scale * (x0_cond - x0_uncond), eps_uncond + scale * (eps_cond - eps_uncond)

# %% 05.3 wrong interleaved rows side by side
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

# %% 05.3 wrong doubled_row_by_row repeat_interleave for repeat
def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(x.repeat_interleave(2, 0), t)
    (x0_c, x0_u), (eps_c, eps_u) = x0.chunk(2), eps.chunk(2)
    return x0_u + scale * (x0_c - x0_u), eps_u + scale * (eps_c - eps_u)

# %% 05.3 wrong every_second_row even rows and odd rows
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t)
    mix = lambda out: out[1::2] + scale * (out[0::2] - out[1::2])
    return mix(x0), mix(eps)

# %% 05.3 wrong zeros_for_x takes zeros for the empty half
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x * 0]), t)
    return combine(*x0.chunk(2), scale), combine(*eps.chunk(2), scale)

# %% 05.3 wrong eps_left eps as it is
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t)
    cond, uncond = x0.split(len(x))
    return uncond + scale * (cond - uncond), eps[: len(x)]

# %% 05.3 wrong x0_left guides the noise alone, as one reads it in most papers
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t)
    eps_cond, eps_uncond = eps.chunk(2)
    return x0[: len(x)], eps_uncond + scale * (eps_cond - eps_uncond)

# %% 05.3 wrong x0_alone forgets to return eps
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, _ = pair(torch.cat([x, x]), t)
    x0_cond, x0_uncond = x0.chunk(2)
    return x0_uncond + scale * (x0_cond - x0_uncond)

# %% 05.3 wrong eps_first returns (eps, x0)
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t)
    guided_x0 = combine(*x0.chunk(2), scale)
    guided_eps = combine(*eps.chunk(2), scale)
    return guided_eps, guided_x0

# %% 05.3 wrong at_most_one guides above 1 only, as diffusers does
import torch


def guided(pair, x, t, scale):
    do_classifier_free_guidance = scale > 1.0
    if not do_classifier_free_guidance:
        return pair(x, t)
    x0, eps = pair(torch.cat([x] * 2), t)
    return combine(*x0.chunk(2), scale), combine(*eps.chunk(2), scale)

# %% 05.3 wrong zero_for_one takes 0 for no guidance
import torch


def guided(pair, x, t, scale):
    if not scale:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t)
    return combine(*x0.chunk(2), scale), combine(*eps.chunk(2), scale)

# %% 05.3 wrong t_for_each_row one time for each row
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t.repeat(2 * len(x)))
    return combine(*x0.chunk(2), scale), combine(*eps.chunk(2), scale)

# %% 05.3 wrong papers_scale starts at the conditional half
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    n = len(x)
    return tuple(o[:n] + scale * (o[:n] - o[n:]) for o in pair(torch.cat([x, x]), t))

# %% 05.3 wrong - doubles the time like x
import torch


def guided(pair, x, t, scale):
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), torch.cat([t, t]))
    return combine(*x0.chunk(2), scale), combine(*eps.chunk(2), scale)

# %% 05.3 wrong @kind returns a denoiser, as cfg does
import torch


def guided(pair, x, t, scale):
    def model(x, t):
        if scale == 1:
            return pair(x, t)
        x0, eps = pair(torch.cat([x, x]), t)
        return combine(*x0.chunk(2), scale), combine(*eps.chunk(2), scale)
    return model

# %% 05.4 right the three repairs
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])

    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)

    return predict

# %% 05.4 right names still swapped, and swapped again in lerp
import torch


def guided_network(network, labels, null, scale):
    empty = torch.full_like(labels, null)
    both = torch.cat([labels, empty])

    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(conditional, unconditional, scale)    # a + s (b - a)

    return predict

# %% 05.4 right lambdas and combine of 05.2
import torch


def guided_network(network, labels, null, scale):
    both = torch.tensor(labels.tolist() + [null] * len(labels))
    return lambda x, t: combine(*network(torch.cat([x, x]), t.repeat(2), labels=both).chunk(2), scale)

# %% 05.4 right partial of a function beside it
from functools import partial

import torch


def ask(network, both, scale, x, timestep):
    out = network(torch.cat([x] * 2), torch.cat([timestep] * 2), labels=both)
    cond, uncond = out[: len(x)], out[len(x):]
    return uncond + scale * (cond - uncond)


def guided_network(network, labels, null, scale):
    return partial(ask, network, torch.cat([labels, labels * 0 + null]), scale)

# %% 05.4 wrong null_in_both mends the other two lines
import torch


def guided_network(network, labels, null, scale):
    both = torch.full((2 * len(labels),), null)
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)
    return predict

# %% 05.4 wrong null_in_both as it was given
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([torch.full_like(labels, null), torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, 1.0)
    return predict

# %% 05.4 wrong label_in_both the labels twice
import torch


def guided_network(network, labels, null, scale):
    both = labels.repeat(2)
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return unconditional + scale * (conditional - unconditional)
    return predict

# %% 05.4 wrong chunks_swapped two of three
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)
    return predict

# %% 05.4 wrong chunks_swapped the names are mended, and lerp's ends turned too
import torch


def guided_network(network, labels, null, scale):
    empty = torch.full_like(labels, null)
    both = torch.cat([labels, empty])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(conditional, unconditional, scale)
    return predict

# %% 05.4 wrong scale_one two of three
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, 1.0)
    return predict

# %% 05.4 wrong swapped_at_one only the labels
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, 1.0)
    return predict

# %% 05.4 wrong nulls_first right, but the other half is mended
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([torch.full_like(labels, null), labels])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)
    return predict

# %% 05.4 wrong nulls_first_at_one the other half is mended, and nothing more
import torch


def guided_network(network, labels, null, scale):
    empty = torch.full_like(labels, null)
    both = torch.cat([empty, labels])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, 1.0)
    return predict

# %% 05.4 wrong nulls_taken_for_labels both orders are turned
import torch


def guided_network(network, labels, null, scale):
    empty = torch.full_like(labels, null)
    both = torch.cat([empty, labels])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)
    return predict

# %% 05.4 wrong nulls_taken_at_one nulls first, and the names changed too
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([torch.full_like(labels, null), labels])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, 1.0)
    return predict

# %% 05.4 wrong called_twice written anew
import torch


def guided_network(network, labels, null, scale):
    nulls = torch.full_like(labels, null)
    def predict(x, timestep):
        conditional = network(x, timestep, labels=labels)
        unconditional = network(x, timestep, labels=nulls)
        return unconditional + scale * (conditional - unconditional)
    return predict

# %% 05.4 wrong @input fills the caller's labels with null
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, labels.fill_(null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)
    return predict

# %% 05.4 wrong - the timesteps are no longer doubled
import torch


def guided_network(network, labels, null, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    def predict(x, timestep):
        out = network(torch.cat([x, x]), timestep, labels=both)
        conditional, unconditional = out.chunk(2)
        return torch.lerp(unconditional, conditional, scale)
    return predict

# %% 05.5 right a loop over the states
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    B = labels.shape[0]
    y = torch.cat([labels, torch.full((B,), null)])
    model = denoiser(lambda x, t: network(x, t, labels=y[: x.shape[0]]), schedule, prediction_type)
    for state in run("dpmpp_2m", cfg(model, scale), noise, schedule, steps):
        x = state.x
    return x

# %% 05.5 right chooses the labels by the number of rows, without gradients
import torch

from minidiff.diffusion import guidance, prediction, samplers


@torch.no_grad()
def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    nulls = torch.tensor([null] * len(labels))
    def predict(x, timestep):
        wanted = labels if len(x) == len(labels) else torch.cat([labels, nulls])
        return network(x, timestep, labels=wanted)
    model = guidance.cfg(prediction.denoiser(predict, schedule, prediction_type), scale)
    return list(samplers.run("dpmpp_2m", model, noise, schedule, steps))[-1].x

# %% 05.5 right x0 of the last state, which is x
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, labels * 0 + null])
    def predict(x, timestep):
        return network(x, timestep, labels=both[: len(x)])
    states = [*run("dpmpp_2m", cfg(denoiser(predict, schedule, prediction_type), scale), noise, schedule, steps)]
    return states[steps - 1].x0

# %% 05.5 right guided of 05.3 in place of cfg, under inference_mode
import torch

from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    with torch.inference_mode():
        *_, last = run("dpmpp", lambda x, t: guided(pair, x, t, scale), noise, schedule, steps)
    return last.x

# %% 05.5 wrong scale_forgotten without cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    model = denoiser(lambda x, timestep: network(x, timestep, labels=labels), schedule, prediction_type)
    for state in run("dpmpp_2m", model, noise, schedule, steps):
        x = state.x
    return x

# %% 05.5 wrong scale_forgotten cfg is made and left lying
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    guided_pair = cfg(pair, scale)
    *_, last = run("dpmpp_2m", pair, noise, schedule, steps)
    return last.x

# %% 05.5 wrong null_first in the batch
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

# %% 05.5 wrong zero_for_null zeros_like
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

# %% 05.5 wrong eighteen a constant beside the function
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run

NOTHING = 18
def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, NOTHING)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x

# %% 05.5 wrong labels_in_both the labels twice
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, labels])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x

# %% 05.5 wrong never_cut all 2B labels, always
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both), schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x

# %% 05.5 wrong labels_alone never a null
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    def predict(x, timestep):
        return network(x, timestep, labels=labels)
    pair = denoiser(predict, schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x

# %% 05.5 wrong always_both the network of 05.4
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    predict = guided_network(network, labels, null, scale)      # already written!
    model = denoiser(predict, schedule, prediction_type)
    *_, last = run("dpmpp_2m", model, noise, schedule, steps)
    return last.x

# %% 05.5 wrong always_v the type of the shipped network
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, timestep: network(x, timestep, labels=both[: len(x)]), schedule, "v")
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x

# %% 05.5 wrong first_order Euler, from lesson 04
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    return list(run("euler", cfg(pair, scale), noise, schedule, steps))[-1].x

# %% 05.5 wrong own_noise torch.randn of its shape
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    start = torch.randn(noise.shape, dtype=noise.dtype)
    *_, last = run("dpmpp_2m", cfg(pair, scale), start, schedule, steps)
    return last.x

# %% 05.5 wrong first_state return inside the loop
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, timestep: network(x, timestep, labels=both[: len(x)]), schedule, prediction_type)
    for state in run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps):
        return state.x

# %% 05.5 wrong whole_state the last state
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    return [*run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)][-1]

# %% 05.5 wrong clamped for showing
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x.clamp(min=-1, max=1)

# %% 05.5 wrong @kind yields every picture
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    for state in run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps):
        yield state.x

# %% 05.5 wrong @state turns gradients off for good
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    torch.set_grad_enabled(False)
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x

# %% 05.5 wrong @input fills the caller's labels with null
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    empty = labels
    empty[:] = null
    both = torch.cat([labels, empty])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    return list(run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps))[-1].x

# %% 05.5 wrong - as many steps as in the payoff
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, labels=both[: len(x)]), schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps=8)
    return last.x

# %% 05.5 wrong - labels by position
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    both = torch.cat([labels, torch.full_like(labels, null)])
    pair = denoiser(lambda x, t: network(x, t, both[: len(x)]), schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x
