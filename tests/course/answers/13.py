"""Answers to lesson 13 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 13.1 right floor of the product
import math


def start_index(steps, strength):
    if strength <= 0 or strength > 1 or strength != strength:
        raise ValueError("strength must be in (0, 1]")
    n = math.floor(strength * steps)
    if n < 1:
        raise ValueError("nothing to do")
    return steps - n

# %% 13.1 right as diffusers counts
def start_index(steps, strength):
    init = min(int(steps * strength), steps)
    if not (0 < strength <= 1) or init == 0:
        raise ValueError(strength)
    return max(steps - init, 0)

# %% 13.1 right a range cut from behind
def start_index(steps: int, strength: float) -> int:
    # all indices of the steps; the last ones are made
    if not 0 < strength <= 1:
        raise ValueError("bad strength")
    kept = list(range(steps))[-int(steps * strength):] if int(steps * strength) else []
    if not kept:
        raise ValueError("no step")
    print("steps made:", len(kept))
    return kept[0]

# %% 13.1 right its own class of error
class TooWeak(ValueError):
    pass
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise TooWeak(strength)
    if (made := int(steps * strength // 1)) == 0:
        raise TooWeak("no steps")
    return steps - made

# %% 13.1 right counts the steps that fit
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError(strength)
    budget = steps * strength
    made = sum(1 for k in range(1, steps + 1) if k <= budget)
    if made == 0:
        raise ValueError("none")
    return steps - made

# %% 13.1 wrong made_for_index the count itself
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError("strength")
    n_steps = int(strength * steps)
    if n_steps == 0:
        raise ValueError("none")
    return n_steps

# %% 13.1 wrong always_zero checks, then begins at the front
def start_index(steps, strength):
    if not 0 < strength <= 1 or int(steps * strength) < 1:
        raise ValueError("no")
    return 0

# %% 13.1 wrong counts_from_steps_plus_one length of the times
def start_index(steps, strength):
    times = list(range(steps + 1))
    if not 0 < strength <= 1:
        raise ValueError
    made = int(steps * strength)
    if not made:
        raise ValueError
    return len(times) - made

# %% 13.1 wrong rounded round in place of int
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError("strength")
    made = round(steps * strength)
    if made == 0:
        raise ValueError("no step")
    return steps - made

# %% 13.1 wrong rounded_up ceil
import math


def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError("strength")
    return steps - math.ceil(steps * strength)

# %% 13.1 wrong complement_cut the share that is left out
def start_index(steps, strength):
    if not (strength > 0 and strength <= 1):
        raise ValueError("strength")
    if steps * strength < 1:
        raise ValueError("no step")
    return int((1 - strength) * steps)

# %% 13.1 wrong no_step_allowed only the given lines
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError("The strength must be above 0 and at most 1.")
    return steps - int(strength * steps)

# %% 13.1 wrong at_least_one max with one
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError(strength)
    return min(steps - int(steps * strength), steps - 1)

# %% 13.1 wrong one_step_more index of the last is steps - 1
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError(strength)
    last = steps - 1
    made = int(steps * strength)
    if made == 0:
        raise ValueError(made)
    return last - made

# %% 13.1 wrong asserts conditions by assert
def start_index(steps, strength):
    assert strength > 0 and strength <= 1, "strength"
    t = int(steps * strength)
    assert t, "no step"
    return steps - t

# %% 13.1 wrong - raises TypeError
def start_index(steps, strength):
    if not 0 < strength <= 1 or int(steps * strength) == 0:
        raise TypeError("strength")
    return steps - int(steps * strength)

# %% 13.1 wrong - a tensor in place of an int
import torch
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError
    n = torch.tensor(steps * strength, dtype=torch.float64).floor().long()
    if n == 0:
        raise ValueError
    return steps - n

# %% 13.1 wrong - a negative index that cuts alike
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError
    n = int(steps * strength)
    if n == 0:
        raise ValueError
    return -(n + 1)

# %% 13.1 wrong - decimals as they are written
from decimal import Decimal
def start_index(steps, strength):
    if not 0 < strength <= 1:
        raise ValueError
    n = int(Decimal(str(strength)) * steps)
    if n == 0:
        raise ValueError
    return steps - n

# %% 13.2 right arithmetic with a float mask
def keep_known(x, picture, known, eps, s, schedule):
    m = known.to(x.dtype)
    noisy = schedule.alpha(s) * picture + schedule.sigma(s) * eps
    return m * noisy + (1 - m) * x

# %% 13.2 right a copy filled by boolean index
def keep_known(x, picture, known, eps, s, schedule):
    mask = known.expand_as(x)
    out = x.clone()
    out[mask] = schedule.mix(picture, eps, s)[mask]
    return out

# %% 13.2 right the end by itself
import torch


def keep_known(x, picture, known, eps, s, schedule):
    if s == 0:
        return torch.where(known, picture, x)
    back = schedule.mix(picture, eps, s)
    return torch.where(~known, x, back)

# %% 13.2 right masked fill and a sum
def keep_known(x, picture, known, eps, s, schedule):
    """What's kept plus what's drawn."""
    a, b = float(schedule.alpha(s)), float(schedule.sigma(s))
    kept = (a * picture + b * eps).masked_fill(~known, 0)
    return kept + x.masked_fill(known, 0)

# %% 13.2 right numpy
import numpy as np
import torch


def keep_known(x, picture, known, eps, s, schedule):
    noised = schedule.mix(picture, eps, s).numpy()
    return torch.from_numpy(np.where(known.numpy(), noised, x.numpy()))

# %% 13.2 right a loop over pictures
import torch


def keep_known(x, picture, known, eps, s, schedule):
    masks = known if known.ndim == 4 else known[None, None].expand(len(x), 1, *known.shape)
    rows = [torch.where(m, schedule.mix(p, e, s), one) for one, p, m, e in zip(x, picture, masks, eps)]
    return torch.stack(rows)

# %% 13.2 right lerp, a time for each picture
import torch
def keep_known(x, picture, known, eps, s, schedule):
    times = s.expand(x.shape[0])
    weight = known.reshape(-1, 1, *known.shape[-2:]).to(x.dtype).expand_as(x)
    return torch.lerp(x, schedule.mix(picture, eps, times), weight)

# %% 13.2 right x moved towards the noised picture
def keep_known(x, picture, known, eps, s, schedule):
    noised = schedule.mix(picture, eps, s)
    return x + known * (noised - x)

# %% 13.2 wrong clean_pasted the picture as it is
def keep_known(x, picture, known, eps, s, schedule):
    return picture * known + x * ~known

# %% 13.2 wrong hole_for_known mask taken for the hole
import torch


def keep_known(x, picture, known, eps, s, schedule):
    noised = schedule.mix(picture, eps, s)
    return torch.where(~known, noised, x)

# %% 13.2 wrong fresh_noise randn_like of x
import torch


def keep_known(x, picture, known, eps, s, schedule):
    n = torch.randn_like(x)
    q = schedule.alpha(s) * picture + schedule.sigma(s) * n
    return torch.where(known, q, x)

# %% 13.2 wrong @input written into x
def keep_known(x, picture, known, eps, s, schedule):
    mask = known.expand_as(x)
    x[mask] = schedule.mix(picture, eps, s)[mask]
    return x

# %% 13.2 wrong picture_whole plus sigma eps
import torch


def keep_known(x, picture, known, eps, s, schedule):
    noisy = picture + eps * schedule.sigma(s)
    return torch.where(known, noisy, x)

# %% 13.2 wrong only_at_the_end if s is 0
import torch


def keep_known(x, picture, known, eps, s, schedule):
    if float(s) == 0.0:
        return torch.where(known, picture, x)
    return x

# %% 13.2 wrong roots_of_alpha alpha_bar by its name
import torch


def keep_known(x, picture, known, eps, s, schedule):
    alpha_bar = schedule.alpha(s)
    q_sample = alpha_bar**0.5 * picture + (1 - alpha_bar) ** 0.5 * eps
    return torch.where(known, q_sample, x)

# %% 13.2 wrong noised_everywhere paste, then noise
def keep_known(x, picture, known, eps, s, schedule):
    k = known.to(x.dtype)
    whole = k * picture + (1 - k) * x
    return schedule.mix(whole, eps, s)

# %% 13.2 wrong one_mask_alone a mask of two axes
def keep_known(x, picture, known, eps, s, schedule):
    result, noised = x.clone(), schedule.mix(picture, eps, s)
    result[..., known] = noised[..., known]
    return result

# %% 13.2 wrong dtype_of_time double in the middle
import torch


def keep_known(x, picture, known, eps, s, schedule):
    return torch.where(known, schedule.mix(picture.double(), eps.double(), s), x.double())

# %% 13.2 wrong - noise taken from x
import torch


def keep_known(x, picture, known, eps, s, schedule):
    left = x - schedule.alpha(s) * picture
    return torch.where(known, schedule.alpha(s) * picture + left, x)

# %% 13.2 wrong variance_of_one sigma from alpha
import torch
def keep_known(x, picture, known, eps, s, schedule):
    a = schedule.alpha(s)
    return torch.where(known, a * picture + (1 - a**2).sqrt() * eps, x)

# %% 13.2 wrong not_at_the_end x as it is at time 0
import torch
def keep_known(x, picture, known, eps, s, schedule):
    if s == 0:
        return x
    return torch.where(known, schedule.mix(picture, eps, s), x)

# %% 13.2 wrong whole_at_the_end the clean picture at time 0
import torch
def keep_known(x, picture, known, eps, s, schedule):
    if s == 0:
        return picture
    return torch.where(known, schedule.mix(picture, eps, s), x)

# %% 13.2 wrong first_mask_for_all known[0, 0]
import torch
def keep_known(x, picture, known, eps, s, schedule):
    if known.ndim == 4:
        known = known[0, 0]
    return torch.where(known, schedule.mix(picture, eps, s), x)

# %% 13.2 wrong @input inverts the mask in place
import torch
def keep_known(x, picture, known, eps, s, schedule):
    known.logical_not_()
    return torch.where(known, x, schedule.mix(picture, eps, s))

# %% 13.2 wrong - cosine by hand
import math, torch
def keep_known(x, picture, known, eps, s, schedule):
    a, b = torch.cos(s * math.pi / 2), torch.sin(s * math.pi / 2)
    return torch.where(known, a * picture + b * eps, x)

# %% 13.3 right max pooling by the cell's size
def inpaint(model, picture, hole, eps, schedule, timesteps):
    h, w = picture.shape[-2:]
    k = (hole.shape[0] // h, hole.shape[1] // w)
    touched = F.max_pool2d(hole[None, None].double(), k)[0, 0].bool()
    x = schedule.mix(picture, eps, timesteps[0])
    for i in range(len(timesteps) - 1):
        t, s = timesteps[i], timesteps[i + 1]
        pred_x0, pred_eps = model(x, t)
        x = schedule.alpha(s) * pred_x0 + schedule.sigma(s) * pred_eps
        x = keep_known(x, picture, ~touched, eps, s, schedule)
    return x

# %% 13.3 right the library's loop, x put back in its states
def inpaint(model, picture, hole, eps, schedule, timesteps):
    h, w = picture.shape[2], picture.shape[3]
    cells = hole.view(h, hole.shape[0] // h, w, hole.shape[1] // w).any(3).any(1)
    x = schedule.mix(picture, eps, timesteps[0])
    for state in sample(model, x, schedule, timesteps):
        s = torch.tensor(state.s, dtype=torch.float64)
        state.x = keep_known(state.x, picture, ~cells, eps, s, schedule)
    return state.x

# %% 13.3 right loops over cells, own keeping
import torch

from minidiff.diffusion.samplers import step


def inpaint(model, picture, hole, eps, schedule, timesteps):
    h, w = picture.shape[-2:]
    dh, dw = hole.shape[0] // h, hole.shape[1] // w
    known = torch.tensor([[not hole[i * dh : (i + 1) * dh, j * dw : (j + 1) * dw].any() for j in range(w)] for i in range(h)])
    times = list(timesteps)
    x = schedule.mix(picture, eps, times[0])
    for t, s in zip(times, times[1:]):
        x0, noise = model(x, t)
        x = torch.where(known, schedule.mix(picture, eps, s), step(schedule, x0, noise, t, s))
    return x

# %% 13.3 right known by the complement's smallest
def inpaint(model, picture, hole, eps, schedule, timesteps):
    free = (~hole).float()[None]
    known = -F.adaptive_max_pool2d(-free, tuple(picture.shape[-2:]))[0] == 1
    x, (first, *rest) = schedule.mix(picture, eps, timesteps[0]), timesteps
    t = first
    for s in rest:
        a, b = model(x, t)
        x = keep_known(schedule.mix(a, b, s), picture, known, eps, s, schedule)
        t = s
    return x

# %% 13.3 right area interpolation, keyword arguments
import torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    share = F.interpolate(hole.float()[None, None], size=picture.shape[2:], mode="area")[0, 0]
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, e = model(x, t)
        x = step(schedule=schedule, x0=x0, eps=e, t=t, s=s)
        x = keep_known(x=x, picture=picture, known=share <= 0, eps=eps, s=s, schedule=schedule)
    return x

# %% 13.3 right unfold, a mask for each picture
def inpaint(model, picture, hole, eps, schedule, timesteps):
    h, w = picture.shape[-2:]
    a, b = hole.shape[0] // h, hole.shape[1] // w
    tiles = hole.unfold(0, a, a).unfold(1, b, b)
    known = tiles.sum((-1, -2)) == 0
    x = schedule.mix(picture, eps, timesteps[0])
    pairs = list(zip(timesteps, timesteps[1:]))
    for t, s in pairs:
        pred = model(x, t)
        x = step(schedule, pred[0], pred[1], t, s)
        x = keep_known(x, picture, known[None, None].expand(len(x), 1, h, w), eps, s, schedule)
    return x

# %% 13.3 right pixels counted by a convolution
import torch, torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    fh, fw = (big // small for big, small in zip(hole.shape, picture.shape[-2:]))
    counts = F.conv2d(hole[None, None].float(), torch.ones(1, 1, fh, fw), stride=(fh, fw))
    known = counts < 0.5                                       # (1, 1, h, w)
    x = keep_known(picture, picture, torch.ones_like(known), eps, timesteps[0], schedule)
    for t, s in zip(timesteps.tolist(), timesteps.tolist()[1:]):
        t, s = torch.tensor(t, dtype=timesteps.dtype), torch.tensor(s, dtype=timesteps.dtype)
        x0, e = model(x, t)
        x = keep_known(step(schedule, x0, e, t, s), picture, known, eps, s, schedule)
    return x

# %% 13.3 right what is known replaces both predictions
import torch, torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, e = model(x, t)
        x = step(schedule, torch.where(drawn, x0, picture), torch.where(drawn, e, eps), t, s)
    return x

# %% 13.3 wrong hole_kept drawn cells passed as known
def inpaint(model, picture, hole, eps, schedule, timesteps):
    cells = F.adaptive_max_pool2d(hole.float()[None], picture.shape[-2:])[0].bool()
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, e = model(x, t)
        x = step(schedule, x0, e, t, s)
        x = keep_known(x, picture, cells, eps, s, schedule)
    return x

# %% 13.3 wrong nearest_cells strided slicing
def inpaint(model, picture, hole, eps, schedule, timesteps):
    h, w = picture.shape[-2:]
    known = ~hole[:: hole.shape[0] // h, :: hole.shape[1] // w]
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = step(schedule, *model(x, t), t, s)
        x = keep_known(x, picture, known, eps, s, schedule)
    return x

# %% 13.3 wrong whole_cells_alone known wherever a pixel is known
def inpaint(model, picture, hole, eps, schedule, timesteps):
    known = F.adaptive_max_pool2d((~hole).float()[None], picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = keep_known(step(schedule, *model(x, t), t, s), picture, known, eps, s, schedule)
    return x

# %% 13.3 wrong half_covered mean above a half
def inpaint(model, picture, hole, eps, schedule, timesteps):
    share = F.interpolate(hole[None, None].float(), size=picture.shape[-2:], mode="area")[0, 0]
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = step(schedule, *model(x, t), t, s)
        x = keep_known(x, picture, share < 0.5, eps, s, schedule)
    return x

# %% 13.3 wrong clean_pasted multiplied masks
def inpaint(model, picture, hole, eps, schedule, timesteps):
    m = (F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:]) > 0).to(picture.dtype)
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = step(schedule, *model(x, t), t, s)
        x = m * x + (1 - m) * picture
    return x

# %% 13.3 wrong begins_in_noise x is eps
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = eps.clone()
    for t, s in pairwise(timesteps):
        x = step(schedule, *model(x, t), t, s)
        x = keep_known(x, picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong not_at_the_end kept before each step
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = eps
    for t, s in pairwise(timesteps):
        x = keep_known(schedule.mix(picture, eps, t) if t == timesteps[0] else x, picture, ~drawn, eps, t, schedule)
        x = step(schedule, *model(x, t), t, s)
    return x

# %% 13.3 wrong predicted_noise eps overwritten
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, eps = model(x, t)
        x = step(schedule, x0, eps, t, s)
        x = keep_known(x, picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong predicted_noise the known part in x0
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, e = model(x, t)
        x0 = torch.where(drawn, x0, picture)
        x = step(schedule, x0, e, t, s)
    return x

# %% 13.3 wrong eight_pixels a VAE of f8
def inpaint(model, picture, hole, eps, schedule, timesteps):
    F8 = 8
    drawn = F.max_pool2d(hole[None].float(), F8, F8)[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = step(schedule, *model(x, t), t, s)
        x = keep_known(x, picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong - the hole isn't made smaller
def inpaint(model, picture, hole, eps, schedule, timesteps):
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = keep_known(step(schedule, *model(x, t), t, s), picture, ~hole, eps, s, schedule)
    return x

# %% 13.3 wrong always_down_to_zero a time 0 appended
import torch, torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    ts = torch.cat([timesteps, timesteps.new_zeros(1)]) if timesteps[-1] > 0 else timesteps
    for t, s in pairwise(ts):
        x0, e = model(x, t)
        x = keep_known(step(schedule, x0, e, t, s), picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong clean_at_the_end the clean picture pasted last
import torch, torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, e = model(x, t)
        x = keep_known(step(schedule, x0, e, t, s), picture, ~drawn, eps, s, schedule)
    return torch.where(drawn, x, picture)

# %% 13.3 wrong step_turned s before t
import torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, e = model(x, t)
        x = keep_known(step(schedule, x0, e, s, t), picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong given_noise_in_step the predicted noise is dropped
import torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, _ = model(x, t)
        x = keep_known(step(schedule, x0, eps, t, s), picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong data_and_noise_swapped eps first
import torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        e, x0 = model(x, t)
        x = keep_known(step(schedule, x0, e, t, s), picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong asked_twice a call for each output
import torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.adaptive_max_pool2d(hole[None].float(), picture.shape[-2:])[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = step(schedule, model(x, t)[0], model(x, t)[1], t, s)
        x = keep_known(x, picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong middle_pixel bilinear
import torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    drawn = F.interpolate(hole[None, None].float(), size=picture.shape[-2:], mode="bilinear")[0, 0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x0, e = model(x, t)
        x = keep_known(step(schedule, x0, e, t, s), picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong pixels_interleaved reshape with the cell's axes first
def inpaint(model, picture, hole, eps, schedule, timesteps):
    h, w = picture.shape[-2:]
    drawn = hole.reshape(-1, h, hole.shape[1] // w, w).any(0).any(1)
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = keep_known(step(schedule, *model(x, t), t, s), picture, ~drawn, eps, s, schedule)
    return x

# %% 13.3 wrong square_cells kernel of (width, height)
import torch.nn.functional as F
def inpaint(model, picture, hole, eps, schedule, timesteps):
    h, w = picture.shape[-2:]
    drawn = F.max_pool2d(hole[None].float(), (hole.shape[1] // w, hole.shape[0] // h))[0] > 0
    x = schedule.mix(picture, eps, timesteps[0])
    for t, s in pairwise(timesteps):
        x = keep_known(step(schedule, *model(x, t), t, s), picture, ~drawn, eps, s, schedule)
    return x

# %% 13.4 right indices from behind
def invert(model, x0, schedule, timesteps):
    x = x0.clone()
    for i in range(len(timesteps) - 1, 0, -1):
        s, t = timesteps[i], timesteps[i - 1]
        pred, eps = model(x, s)
        x = schedule.alpha(t) * pred + schedule.sigma(t) * eps
    return x

# %% 13.4 right DDIM's own step with its times swapped
def invert(model, x0, schedule, timesteps):
    up = timesteps.flip(0)
    z = x0
    for now, then in zip(up[:-1], up[1:]):
        z = step(schedule, *model(z, now), now, then)
    return z

# %% 13.4 right in the form of an increment
def invert(model, x0, schedule, timesteps):
    x, times = x0, [*timesteps][::-1]
    for s, t in pairwise(times):
        _, eps = model(x, s)
        ratio = schedule.alpha(t) / schedule.alpha(s)
        x = ratio * x + (schedule.sigma(t) - ratio * schedule.sigma(s)) * eps
    return x

# %% 13.4 right reduce
from functools import reduce
from itertools import pairwise


def invert(model, x0, schedule, timesteps):
    steps = list(pairwise(reversed(timesteps.tolist())))
    number = lambda v: torch.tensor(v, dtype=torch.float64)
    return reduce(lambda x, st: schedule.mix(*model(x, number(st[0])), number(st[1])), steps, x0)

# %% 13.4 right eps worked out from the predicted x0
from itertools import pairwise
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        clean, e = model(x, s)
        if s > 0:
            e = (x - schedule.alpha(s) * clean) / schedule.sigma(s)
        x = schedule.mix(clean, e, t)
    return x

# %% 13.4 right recursion
def invert(model, x0, schedule, timesteps):
    if len(timesteps) < 2:
        return x0
    s, t = timesteps[-1], timesteps[-2]
    clean, eps = model(x0, s)
    return invert(model, schedule.mix(clean, eps, t), schedule, timesteps[:-1])

# %% 13.4 wrong noisy_end asks at t
def invert(model, x0, schedule, timesteps):
    x = x0
    for i in range(len(timesteps) - 1, 0, -1):
        s, t = timesteps[i], timesteps[i - 1]
        x = schedule.mix(*model(x, t), t)
    return x

# %% 13.4 wrong downwards the sampler itself
def invert(model, x0, schedule, timesteps):
    *_, last = sample(model, x0, schedule, timesteps)
    return last.x

# %% 13.4 wrong stays_at_s step to s
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        pred, e = model(x, s)
        x = schedule.alpha(s) * pred + schedule.sigma(s) * e
    return x

# %% 13.4 wrong first_picture_kept overwrites nothing
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        _, e = model(x, s)
        x = schedule.alpha(t) * x0 + schedule.sigma(t) * e
    return x

# %% 13.4 wrong random_noise the forward process
import torch


def invert(model, x0, schedule, timesteps):
    t = timesteps[0]
    return schedule.alpha(t) * x0 + schedule.sigma(t) * torch.randn_like(x0)

# %% 13.4 wrong clean_end_left_out skips time 0
def invert(model, x0, schedule, timesteps):
    x = x0
    up = [t for t in timesteps.flip(0) if t > 0]
    for s, t in pairwise(up):
        x = schedule.mix(*model(x, s), t)
    return x

# %% 13.4 wrong last_step_missing range one short
def invert(model, x0, schedule, timesteps):
    x = x0
    for i in range(len(timesteps) - 1, 1, -1):
        x = schedule.mix(*model(x, timesteps[i]), timesteps[i - 1])
    return x

# %% 13.4 wrong path_returned every state
def invert(model, x0, schedule, timesteps):
    states = [x0]
    for s, t in pairwise(timesteps.flip(0)):
        states.append(schedule.mix(*model(states[-1], s), t))
    return states

# %% 13.4 wrong noise_returned eps at the end
def invert(model, x0, schedule, timesteps):
    x, eps = x0, None
    for s, t in pairwise(timesteps.flip(0)):
        pred, eps = model(x, s)
        x = schedule.mix(pred, eps, t)
    return eps

# %% 13.4 wrong - adds the predicted noise to x
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        x = schedule.alpha(t) * x + schedule.sigma(t) * model(x, s)[1]
    return x

# %% 13.4 wrong variance_of_one sigma from alpha
from itertools import pairwise
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        a, e = model(x, s)
        al = schedule.alpha(t)
        x = al * a + (1 - al**2).sqrt() * e
    return x

# %% 13.4 wrong x_for_x0 x in place of the predicted x0
from itertools import pairwise
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        e = model(x, s)[1]
        x = schedule.mix(x, e, t)
    return x

# %% 13.4 wrong prediction_shown x0 overwritten and shown again
from itertools import pairwise
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        x0, e = model(x0, s)
        x = schedule.mix(x0, e, t)
    return x

# %% 13.4 wrong asked_twice a call for each output
from itertools import pairwise
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        x = schedule.alpha(t) * model(x, s)[0] + schedule.sigma(t) * model(x, s)[1]
    return x

# %% 13.4 wrong @state grads off for good
import torch
from itertools import pairwise
def invert(model, x0, schedule, timesteps):
    torch.set_grad_enabled(False)
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        x = schedule.mix(*model(x, s), t)
    return x

# %% 13.5 right einsum
import torch


def swap_maps(old, new, mapping, added, factors):
    moved = torch.einsum("bhni,bij->bhnj", old, mapping)
    kept = torch.einsum("bhnj,bj->bhnj", new, added)
    return torch.einsum("bhnj,bj->bhnj", moved + kept, factors)

# %% 13.5 right a loop over pictures
import torch


def swap_maps(old, new, mapping, added, factors):
    out = []
    for b in range(len(old)):
        one = old[b] @ mapping[b] + new[b] * added[b]
        out.append(one * factors[b])
    return torch.stack(out)

# %% 13.5 right views and bmm
import torch


def swap_maps(old, new, mapping, added, factors):
    B, H, N, L = old.shape
    flat = torch.bmm(old.reshape(B, H * N, L), mapping).view(B, H, N, L)
    a, f = added.view(B, 1, 1, L), factors.view(B, 1, 1, L)
    return (flat + a * new) * f

# %% 13.5 right factors go into both terms
def swap_maps(old, new, mapping, added, factors):
    f = factors.unsqueeze(1).unsqueeze(1)
    carried = old.matmul((mapping * factors[:, None, :]).unsqueeze(1))
    return carried + new * added.unsqueeze(1).unsqueeze(1) * f

# %% 13.5 right one product of old and new together
import torch
def swap_maps(old, new, mapping, added, factors):
    both = torch.cat([old, new], -1)
    table = torch.cat([mapping, torch.diag_embed(added)], 1) * factors[:, None]
    return both @ table.unsqueeze(1)

# %% 13.5 right vmap
import torch
def swap_maps(old, new, mapping, added, factors):
    def one(o, n, m, a, f):
        return (torch.einsum("hni,ij->hnj", o, m) + n * a) * f
    return torch.vmap(one)(old, new, mapping, added, factors)

# %% 13.5 wrong mapping_turned transposed in einsum
import torch


def swap_maps(old, new, mapping, added, factors):
    moved = torch.einsum("bhni,bji->bhnj", old, mapping)
    return (moved + new * added[:, None, None, :]) * factors[:, None, None, :]

# %% 13.5 wrong no_axis_for_heads matmul as it is
def swap_maps(old, new, mapping, added, factors):
    a, f = added[:, None, None, :], factors[:, None, None, :]
    return (torch.matmul(old, mapping) + new * a) * f

# %% 13.5 wrong new_everywhere a residual
def swap_maps(old, new, mapping, added, factors):
    maps = new + old @ mapping.unsqueeze(1)
    return maps * factors.view(len(old), 1, 1, -1)

# %% 13.5 wrong added_left_out word swap alone
def swap_maps(old, new, mapping, added, factors):
    return (old @ mapping.unsqueeze(1)) * factors.unsqueeze(1).unsqueeze(1)

# %% 13.5 wrong old_and_new_swapped arguments in the other order
def swap_maps(old, new, mapping, added, factors):
    source, target = new, old
    swapped = source @ mapping[:, None]
    return (swapped + target * added[:, None, None]) * factors[:, None, None]

# %% 13.5 wrong factors_left_out not used
def swap_maps(old, new, mapping, added, factors):
    a = added.unsqueeze(1).unsqueeze(2)
    return old @ mapping.unsqueeze(1) + a * new

# %% 13.5 wrong factors_on_new_alone brackets forgotten
def swap_maps(old, new, mapping, added, factors):
    a, f = added[:, None, None], factors[:, None, None]
    return old @ mapping[:, None] + new * a * f

# %% 13.5 wrong normalised sums to one
def swap_maps(old, new, mapping, added, factors):
    m = old @ mapping[:, None] + new * added[:, None, None]
    m = m * factors[:, None, None]
    return m / m.sum(dim=-1, keepdim=True)

# %% 13.5 wrong @input scales new in place
def swap_maps(old, new, mapping, added, factors):
    new *= added[:, None, None]
    return (old @ mapping[:, None] + new) * factors[:, None, None]

# %% 13.5 wrong first_picture_alone the tables of picture 0
def swap_maps(old, new, mapping, added, factors):
    m, a, f = mapping[0], added[0], factors[0]
    return (old @ m + new * a) * f

# %% 13.5 wrong no_axes plain broadcasting
def swap_maps(old, new, mapping, added, factors):
    return (old @ mapping + new * added) * factors

# %% 13.5 wrong no_axes_for_added an axis for the mapping alone
def swap_maps(old, new, mapping, added, factors):
    return (old @ mapping[:, None] + new * added) * factors

# %% 13.5 wrong one_or_the_other lerp between old and new
import torch
def swap_maps(old, new, mapping, added, factors):
    a = added[:, None, None]
    return ((1 - a) * (old @ mapping[:, None]) + a * new) * factors[:, None, None]

# %% 13.6 right lerp
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather).unsqueeze(-1)
    mixed = torch.lerp(original.float(), edited.float(), share)
    return torch.round(mixed).to(torch.uint8)

# %% 13.6 right two weights, the original's bits by where
import torch


def blend(original, edited, hole, feather):
    w = soft_share(hole, feather)[:, :, None].double()
    out = (w * edited + (1 - w) * original).round().clamp(0, 255).byte()
    return torch.where(hole[..., None], out, original)

# %% 13.6 right whole numbers by adding a half
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather)[..., None]
    a, b = original.int(), edited.int()
    return (a + share * (b - a) + 0.5).floor().to(torch.uint8)

# %% 13.6 right numpy
import numpy as np
import torch

from minidiff.pipelines.masks import soft_edge


def blend(original, edited, hole, feather):
    share = soft_edge(hole.numpy(), feather)[..., None]
    a, b = (one.numpy().astype(np.float32) for one in (original, edited))
    return torch.from_numpy(np.rint(a * (1 - share) + b * share).astype(np.uint8))

# %% 13.6 right the change is rounded, not the sum
import torch
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather)[:, :, None]
    change = (share * (edited.int() - original.int())).round().int()
    return (original.int() + change).to(torch.uint8)

# %% 13.6 right both shares as floats
import torch
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather).unsqueeze(-1)
    mixed = (1 - share) * original + share * edited
    return torch.round(mixed).to(torch.uint8)

# %% 13.6 right only the pixels of the hole
import torch
def blend(original, edited, hole, feather):
    result = original.clone()
    share = soft_share(hole, feather)[hole][:, None]                # (K, 1)
    a, b = original[hole].float(), edited[hole].float()
    result[hole] = a.add(share * (b - a)).round().byte()
    return result

# %% 13.6 wrong as_given nothing mended
def blend(original, edited, hole, feather):
    grown = F.max_pool2d(hole[None].float(), 2 * feather + 1, 1, feather)[0] > 0
    share = soft_share(grown, feather)[..., None]
    before, after = original.float(), edited.float()
    mixed = after + share * (before - after)
    return mixed.to(torch.uint8)

# %% 13.6 wrong turned_and_truncated only the growing is out
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather)[..., None]
    before, after = original.float(), edited.float()
    mixed = after + share * (before - after)
    return mixed.to(torch.uint8)

# %% 13.6 wrong spilled two of three mended
def blend(original, edited, hole, feather):
    grown = F.max_pool2d(hole[None].float(), 2 * feather + 1, 1, feather)[0] > 0
    share = soft_share(grown, feather)[..., None]
    before, after = original.float(), edited.float()
    return (before + share * (after - before)).round().to(torch.uint8)

# %% 13.6 wrong truncated byte()
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather)[..., None]
    return (original + share * (edited.float() - original.float())).byte()

# %% 13.6 wrong turned weights the other way round
def blend(original, edited, hole, feather):
    w = soft_share(hole, feather)[..., None]
    return (w * original.float() + (1 - w) * edited.float()).round().to(torch.uint8)

# %% 13.6 wrong mask_turned the tilde
def blend(original, edited, hole, feather):
    w = soft_share(~hole, feather)[..., None]
    return ((1 - w) * original.float() + w * edited.float()).round().to(torch.uint8)

# %% 13.6 wrong hard_edge spilled over and pasted
def blend(original, edited, hole, feather):
    grown = F.max_pool2d(hole[None].float(), 2 * feather + 1, 1, feather)[0] > 0
    share = soft_share(grown, feather)[..., None]
    mixed = original.float() + share * (edited.float() - original.float())
    return torch.where(hole[..., None], mixed.round().to(torch.uint8), original)

# %% 13.6 wrong hard_edge indexing
def blend(original, edited, hole, feather):
    out = original.clone()
    out[hole] = edited[hole]
    return out

# %% 13.6 wrong @input written into the original
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather)[..., None]
    mixed = original + share * (edited.float() - original.float())
    original[hole] = mixed.round().to(torch.uint8)[hole]
    return original

# %% 13.6 wrong bytes_overflow no floats
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather)[..., None]
    mixed = original + share * (edited - original)
    return mixed.round().to(torch.uint8)

# %% 13.6 wrong floats_returned no uint8
def blend(original, edited, hole, feather):
    share = soft_share(hole, feather)[..., None]
    before, after = original.float(), edited.float()
    return torch.round(before + share * (after - before))

# %% 13.6 wrong blurred avg_pool of the mask
def blend(original, edited, hole, feather):
    k = 2 * feather + 1
    share = F.avg_pool2d(hole[None].float(), k, stride=1, padding=feather)[0][..., None]
    return (original + share * (edited.float() - original.float())).round().to(torch.uint8)

# %% 13.6 wrong shrunk eroded in place of dilated
import torch, torch.nn.functional as F
def blend(original, edited, hole, feather):
    small = -F.max_pool2d(-hole[None].float(), 2 * feather + 1, 1, feather)[0] > 0
    share = soft_share(small, feather)[..., None]
    before, after = original.float(), edited.float()
    mixed = before + share * (after - before)
    return mixed.round().to(torch.uint8)
