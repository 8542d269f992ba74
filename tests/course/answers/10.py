"""Answers to lesson 10 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 10.1 right a loop that appends
def visited(train_steps, steps):
    if steps < 1 or steps > train_steps:
        raise ValueError("bad number of steps")
    times = []
    for k in range(steps):
        times.append(round(train_steps - k * train_steps / steps) - 1)
    print(times[:3])
    return times

# %% 10.1 right NumPy's arange, as in the library
import numpy as np


def visited(train_steps, steps):
    if not (0 < steps <= train_steps):
        raise ValueError(steps)
    counts = np.arange(train_steps, 0, -train_steps / steps)[:steps]
    return (counts.round() - 1).astype(int).tolist()

# %% 10.1 right a tensor's list
import torch


def visited(train_steps: int, steps: int):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    k = torch.arange(steps, dtype=torch.float64)
    return ((train_steps - k * (train_steps / steps)).round().long() - 1).tolist()

# %% 10.1 right half up, which the probes never meet
class TooMany(ValueError):
    pass
def visited(train_steps, steps):
    if steps not in range(1, train_steps + 1):
        raise TooMany(steps)
    return sorted((int(train_steps * (k + 1) / steps + 0.5) - 1 for k in range(steps)), reverse=True)

# %% 10.1 wrong leading every stride-th from 0 up
def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    times = [round(i * train_steps / steps) for i in range(steps)]
    return times[::-1]

# %% 10.1 wrong both_ends linspace
import numpy as np


def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    return np.linspace(0 if steps > 1 else train_steps - 1, train_steps - 1, steps)[::-1].round().astype(int).tolist()

# %% 10.1 wrong whole_stride a range with a whole stride
def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    return list(range(train_steps - 1, -1, -(train_steps // steps)))[:steps]

# %% 10.1 wrong cut_off floor division
def visited(train_steps, steps):
    assert_ok = 1 <= steps <= train_steps
    if not assert_ok:
        raise ValueError("steps")
    return [int(train_steps - k * train_steps / steps) - 1 for k in range(steps)]

# %% 10.1 wrong one_too_high forgets that counting starts at 0
def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError
    return [round(train_steps - k * train_steps / steps) for k in range(steps)]

# %% 10.1 wrong rising turned for plotting
def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError
    stride = train_steps / steps
    return sorted(round(train_steps - k * stride) - 1 for k in range(steps))

# %% 10.1 wrong one_too_many ends at -1
def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError
    out, k = [], 0
    while k <= steps:
        out.append(round(train_steps - k * train_steps / steps) - 1)
        k += 1
    return out

# %% 10.1 wrong - an assertion in place of ValueError
def visited(train_steps, steps):
    assert 1 <= steps <= train_steps
    return [round(train_steps - k * train_steps / steps) - 1 for k in range(steps)]

# %% 10.1 right exact fractions
from fractions import Fraction


def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    return [round(train_steps - k * Fraction(train_steps, steps)) - 1 for k in range(steps)]

# %% 10.1 right counts up from the end and reverses
def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    stride = train_steps / steps
    rising = [round((k + 1) * stride) - 1 for k in range(steps)]
    return rising[::-1]

# %% 10.1 wrong not_rounded torch round leaves floats
import torch


def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    stride = train_steps / steps
    return (torch.round(train_steps - torch.arange(steps) * stride) - 1).tolist()

# %% 10.1 wrong not_rounded numpy round leaves floats
import numpy as np


def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    stride = train_steps / steps
    return list(np.round(train_steps - np.arange(steps) * stride) - 1)

# %% 10.1 wrong - a tensor
import torch


def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    return torch.tensor([round(train_steps - k * train_steps / steps) - 1 for k in range(steps)])

# %% 10.1 wrong stride_rounded rounds the stride
def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    stride = round(train_steps / steps)
    return [train_steps - k * stride - 1 for k in range(steps)]

# %% 10.1 wrong range_with_a_stride range with a whole stride
def visited(train_steps, steps):
    if not 1 <= steps <= train_steps:
        raise ValueError("steps")
    return list(range(train_steps - 1, -1, -(train_steps // steps)))

# %% 10.1 wrong - lets negative steps through
def visited(train_steps, steps):
    if steps == 0 or steps > train_steps:
        raise ValueError("steps")
    return [round(train_steps - k * train_steps / steps) - 1 for k in range(steps)]

# %% 10.2 right one line each, with bool
def supported(results, seconds, few, many):
    rms = lambda a, b: ((a - b) ** 2).mean() ** 0.5
    spread = lambda x: x.std(1).mean()
    return {
        "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many,
        "ddim_lands": bool(rms(results["ddim", few], results["ddim", many]) < spread(results["ddim", many])),
        "ddpm_varies": bool(rms(*results["ddpm", many][:2]) > spread(results["ddpm", many])),
        "ddpm_keeps": bool(spread(results["ddpm", few]) >= 0.9 * spread(results["ddpm", many])),
    }

# %% 10.2 right NumPy with ddof 1
import numpy as np


def spread(x):
    return np.std(x, axis=1, ddof=1).mean()


def supported(results, seconds, few, many):
    r = {k: v.numpy() for k, v in results.items()}
    out = dict.fromkeys(["ddim_lands", "ddpm_varies", "ddpm_keeps", "ddim_cheaper"], False)
    if np.sqrt(np.mean((r["ddim", few] - r["ddim", many]) ** 2)) < spread(r["ddim", many]):
        out["ddim_lands"] = True
    if np.sqrt(np.mean((r["ddpm", many][0] - r["ddpm", many][1]) ** 2)) > spread(r["ddpm", many]):
        out["ddpm_varies"] = True
    if spread(r["ddpm", few]) / spread(r["ddpm", many]) >= 0.9:
        out["ddpm_keeps"] = True
    if seconds["ddim", few] * many < 0.8 * seconds["ddpm", many] * few:
        out["ddim_cheaper"] = True
    return out

# %% 10.2 right mse_loss and a variance's root
import torch
import torch.nn.functional as F
LIMIT, CHEAP = 0.9, 0.8


def supported(results, seconds, few, many):
    def spread(x):
        return x.var(dim=1).sqrt().mean().item()
    a, b = results[("ddim", few)], results[("ddim", many)]
    c, d = results[("ddpm", few)], results[("ddpm", many)]
    keeps = spread(c) >= LIMIT * spread(d)
    lands = F.mse_loss(a, b).item() < spread(b) ** 2
    varies = torch.dist(d[0], d[1]).item() / d[0].numel() ** 0.5 > spread(d)
    cheaper = seconds[("ddim", few)] / few / (seconds[("ddpm", many)] / many) < CHEAP
    return {"ddim_lands": lands, "ddpm_varies": varies, "ddpm_keeps": keeps, "ddim_cheaper": cheaper}

# %% 10.2 wrong total_seconds whole runs
def supported(results, seconds, few, many):
    d = lambda a, b: (a - b).pow(2).mean().sqrt().item()
    s = lambda x: x.std(1).mean().item()
    di, df, pi, pf = (results[k] for k in (("ddim", many), ("ddim", few), ("ddpm", many), ("ddpm", few)))
    return {"ddim_lands": d(df, di) < s(di), "ddpm_varies": d(pi[0], pi[1]) > s(pi), "ddpm_keeps": s(pf) >= 0.9 * s(pi),
            "ddim_cheaper": seconds["ddim", few] < 0.8 * seconds["ddpm", many]}

# %% 10.2 wrong divided_by_s NumPy's own standard deviation
import numpy as np


def supported(results, seconds, few, many):
    d = lambda a, b: float(np.sqrt(((a - b) ** 2).mean()))
    s = lambda x: float(x.std(axis=1).mean())
    di, df, pi, pf = (results[k].numpy() for k in (("ddim", many), ("ddim", few), ("ddpm", many), ("ddpm", few)))
    return {"ddim_lands": d(df, di) < s(di), "ddpm_varies": d(pi[0], pi[1]) > s(pi), "ddpm_keeps": s(pf) >= 0.9 * s(pi),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong tensors comparisons of tensors
def supported(results, seconds, few, many):
    d = lambda a, b: (a - b).pow(2).mean().sqrt()
    s = lambda x: x.std(1).mean()
    di, df, pi, pf = (results[k] for k in (("ddim", many), ("ddim", few), ("ddpm", many), ("ddpm", few)))
    return {"ddim_lands": d(df, di) < s(di), "ddpm_varies": d(pi[0], pi[1]) > s(pi), "ddpm_keeps": s(pf) >= 0.9 * s(pi),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong mean_distance absolute differences
def supported(results, seconds, few, many):
    d = lambda a, b: (a - b).abs().mean().item()
    s = lambda x: x.std(1).mean().item()
    di, df, pi, pf = (results[k] for k in (("ddim", many), ("ddim", few), ("ddpm", many), ("ddpm", few)))
    return {"ddim_lands": d(df, di) < s(di), "ddpm_varies": d(pi[0], pi[1]) > s(pi), "ddpm_keeps": s(pf) >= 0.9 * s(pi),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong spread_over_everything std without a dimension
def supported(results, seconds, few, many):
    d = lambda a, b: (a - b).pow(2).mean().sqrt().item()
    s = lambda x: x.std().item()
    di, df, pi, pf = (results[k] for k in (("ddim", many), ("ddim", few), ("ddpm", many), ("ddpm", few)))
    return {"ddim_lands": d(df, di) < s(di), "ddpm_varies": d(pi[0], pi[1]) > s(pi), "ddpm_keeps": s(pf) >= 0.9 * s(pi),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong noises_compared the two first pictures
def supported(results, seconds, few, many):
    d = lambda a, b: (a - b).pow(2).mean().sqrt().item()
    s = lambda x: x.std(1).mean().item()
    di, df, pi, pf = (results[k] for k in (("ddim", many), ("ddim", few), ("ddpm", many), ("ddpm", few)))
    return {"ddim_lands": d(df, di) < s(di), "ddpm_varies": d(pi[:, 0], pi[:, 1]) > s(pi), "ddpm_keeps": s(pf) >= 0.9 * s(pi),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong - says what everybody believes
def supported(results, seconds, few, many):
    return {"ddim_lands": True, "ddpm_varies": True, "ddpm_keeps": True, "ddim_cheaper": True}

# %% 10.2 wrong @input subtracts in place
def supported(results, seconds, few, many):
    s = lambda x: x.std(1).mean().item()
    results["ddim", few] -= results["ddim", many]
    pi, pf = results["ddpm", many], results["ddpm", few]
    return {"ddim_lands": results["ddim", few].pow(2).mean().sqrt().item() < s(results["ddim", many]),
            "ddpm_varies": (pi[0] - pi[1]).pow(2).mean().sqrt().item() > s(pi), "ddpm_keeps": s(pf) >= 0.9 * s(pi),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 right a class for the runs, ratios
import torch


class Runs:
    def __init__(self, x, sec, n):
        self.x, self.step = x, sec / n
    @property
    def spread(self):
        return torch.var(self.x, dim=-2, unbiased=True).sqrt().mean()
    def to(self, other):
        return torch.dist(self.x, other.x) / self.x.numel() ** 0.5


def supported(results, seconds, few, many):
    r = {k: Runs(results[k], seconds[k], k[1]) for k in results}
    ddpm = r["ddpm", many]
    return {
        "ddim_cheaper": bool(r["ddim", few].step / ddpm.step < 0.8),
        "ddim_lands": (r["ddim", few].to(r["ddim", many]) < r["ddim", many].spread).item(),
        "ddpm_varies": ((ddpm.x[1] - ddpm.x[0]).pow(2).mean().sqrt() > ddpm.spread).item(),
        "ddpm_keeps": (r["ddpm", few].spread / ddpm.spread >= 0.9).item(),
    }

# %% 10.2 wrong runs_averaged spread of the mean over runs
def supported(results, seconds, few, many):
    def rms(a, b):
        return (a - b).pow(2).mean().sqrt()

    def spread(x):
        return x.mean(dim=0).std(dim=0).mean()

    df, dm, pf, pm = results["ddim", few], results["ddim", many], results["ddpm", few], results["ddpm", many]
    return {"ddim_lands": bool(rms(df, dm) < spread(dm)), "ddpm_varies": bool(rms(pm[0], pm[1]) > spread(pm)),
            "ddpm_keeps": bool(spread(pf) >= 0.9 * spread(pm)),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong spread_of_ddim varies compared with DDIM's spread
def supported(results, seconds, few, many):
    def rms(a, b):
        return (a - b).pow(2).mean().sqrt()

    def spread(x):
        return x.std(dim=1).mean()

    df, dm, pf, pm = results["ddim", few], results["ddim", many], results["ddpm", few], results["ddpm", many]
    return {"ddim_lands": bool(rms(df, dm) < spread(dm)), "ddpm_varies": bool(rms(pm[0], pm[1]) > spread(dm)),
            "ddpm_keeps": bool(spread(pf) >= 0.9 * spread(pm)),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong - varies compared with the spread of the first run
def supported(results, seconds, few, many):
    def rms(a, b):
        return (a - b).pow(2).mean().sqrt()

    def spread(x):
        return x.std(dim=1).mean()

    df, dm, pf, pm = results["ddim", few], results["ddim", many], results["ddpm", few], results["ddpm", many]
    return {"ddim_lands": bool(rms(df, dm) < spread(dm)), "ddpm_varies": bool(rms(pm[0], pm[1]) > spread(pm[:1])),
            "ddpm_keeps": bool(spread(pf) >= 0.9 * spread(pm)),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong against_its_own_many cheaper by DDIM's own many steps
def supported(results, seconds, few, many):
    def rms(a, b):
        return (a - b).pow(2).mean().sqrt()

    def spread(x):
        return x.std(dim=1).mean()

    df, dm, pf, pm = results["ddim", few], results["ddim", many], results["ddpm", few], results["ddpm", many]
    return {"ddim_lands": bool(rms(df, dm) < spread(dm)), "ddpm_varies": bool(rms(pm[0], pm[1]) > spread(pm)),
            "ddpm_keeps": bool(spread(pf) >= 0.9 * spread(pm)),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddim", many] / many}

# %% 10.2 wrong against_few_of_ddpm cheaper by DDPM's few steps
def supported(results, seconds, few, many):
    def rms(a, b):
        return (a - b).pow(2).mean().sqrt()

    def spread(x):
        return x.std(dim=1).mean()

    df, dm, pf, pm = results["ddim", few], results["ddim", many], results["ddpm", few], results["ddpm", many]
    return {"ddim_lands": bool(rms(df, dm) < spread(dm)), "ddpm_varies": bool(rms(pm[0], pm[1]) > spread(pm)),
            "ddpm_keeps": bool(spread(pf) >= 0.9 * spread(pm)),
            "ddim_cheaper": seconds["ddim", few] / few < 0.8 * seconds["ddpm", few] / few}

# %% 10.2 wrong ties_counted equal counts too, in all claims
def supported(results, seconds, few, many):
    def rms(a, b):
        return (a - b).pow(2).mean().sqrt()

    def spread(x):
        return x.std(dim=1).mean()

    df, dm, pf, pm = results["ddim", few], results["ddim", many], results["ddpm", few], results["ddpm", many]
    return {"ddim_lands": bool(rms(df, dm) <= spread(dm)), "ddpm_varies": bool(rms(pm[0], pm[1]) >= spread(pm)),
            "ddpm_keeps": bool(spread(pf) >= 0.9 * spread(pm)),
            "ddim_cheaper": seconds["ddim", few] / few <= 0.8 * seconds["ddpm", many] / many}

# %% 10.2 wrong @input makes seconds per step in place
def supported(results, seconds, few, many):
    def rms(a, b):
        return (a - b).pow(2).mean().sqrt()

    def spread(x):
        return x.std(dim=1).mean()

    for key in seconds:
        seconds[key] /= key[1]
    df, dm, pf, pm = results["ddim", few], results["ddim", many], results["ddpm", few], results["ddpm", many]
    return {"ddim_lands": bool(rms(df, dm) < spread(dm)), "ddpm_varies": bool(rms(pm[0], pm[1]) > spread(pm)),
            "ddpm_keeps": bool(spread(pf) >= 0.9 * spread(pm)),
            "ddim_cheaper": seconds["ddim", few] < 0.8 * seconds["ddpm", many]}

# %% 10.3 right the library's own pieces
import torch
from minidiff.diffusion.distillation import x0_of_step
from minidiff.diffusion.samplers import step as ddim


def two_step_target(schedule, teacher, x, t, s):
    with torch.no_grad():
        u = 0.5 * (t + s)
        a = ddim(schedule, *teacher(x, t), t, u)
        b = ddim(schedule, *teacher(a, u), u, s)
    return x0_of_step(schedule, x.detach(), t, b, s)

# %% 10.3 right steps by hand, broadcast with None, detached at the end
def shaped(c, x):
    while c.ndim and c.ndim < x.ndim:
        c = c[..., None]
    return c.to(x.dtype)
def two_step_target(schedule, teacher, x, t, s):
    al = lambda u: shaped(schedule.alpha(u), x)
    si = lambda u: shaped(schedule.sigma(u), x)
    m = t + (s - t) / 2
    x0, eps = teacher(x, t)
    xm = al(m) * x0 + si(m) * eps
    x0, eps = teacher(xm, m)
    xs = al(s) * x0 + si(s) * eps
    return ((xs - si(s) / si(t) * x) / (al(s) - si(s) / si(t) * al(t))).detach()

# %% 10.3 right both sides times sigma_t
import torch


@torch.inference_mode(False)
@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    mid = torch.lerp(t, s, 0.5)
    x1 = schedule.mix(*teacher(x, t), mid)
    x2 = schedule.mix(*teacher(x1, mid), s)
    st, ss, at, as_ = (per_example(f(u), x) for f, u in
                       ((schedule.sigma, t), (schedule.sigma, s), (schedule.alpha, t), (schedule.alpha, s)))
    return (st * x2 - ss * x) / (st * as_ - ss * at)

# %% 10.3 wrong keeps_gradient the formula without no_grad
def two_step_target(schedule, teacher, x, t, s):
    mid = (t + s) / 2
    x1 = schedule.mix(*teacher(x, t), mid)
    x2 = schedule.mix(*teacher(x1, mid), s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (x2 - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)

# %% 10.3 wrong second_x0 what the teacher sees in the end
import torch


def two_step_target(schedule, teacher, x, t, s):
    with torch.no_grad():
        mid = (t + s) / 2
        x0, eps = teacher(x, t)
        x0, eps = teacher(step(schedule, x0, eps, t, mid), mid)
    return x0

# %% 10.3 wrong one_step forgets the second step
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    x0, _ = teacher(x, t)
    return x0

# %% 10.3 wrong x_s_itself returns where it lands
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    for a, b in ((t, (t + s) / 2), ((t + s) / 2, s)):
        x = step(schedule, *teacher(x, a), a, b)
    return x

# %% 10.3 wrong x_stayed asks about x twice
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    m = (t + s) / 2
    first = step(schedule, *teacher(x, t), t, m)
    second = step(schedule, *teacher(x, m), m, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (second - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)

# %% 10.3 wrong halfway_by_index whole entries of the table
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    index = torch.floor((t + s) / 2 * 1000)
    m = index / 1000
    xs = schedule.mix(*teacher(schedule.mix(*teacher(x, t), m), m), s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (xs - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)

# %% 10.3 wrong not_shaped works with one time alone
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    m = (t + s) / 2
    xs = step(schedule, *teacher(step(schedule, *teacher(x, t), t, m), m), m, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (xs - r * x) / (schedule.alpha(s) - r * schedule.alpha(t))

# %% 10.3 wrong @state turns gradients off for good
import torch


def two_step_target(schedule, teacher, x, t, s):
    torch.set_grad_enabled(False)
    m = (t + s) / 2
    xs = step(schedule, *teacher(step(schedule, *teacher(x, t), t, m), m), m, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (xs - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)

# %% 10.3 right in float64 and back
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    z, now = x, t
    for then in ((t + s) / 2, s):
        x0, eps = teacher(z, now)
        z, now = step(schedule, x0=x0, eps=eps, t=now, s=then), then
    t, s, X = t.double(), s.double(), x.double()
    r = schedule.sigma(s) / schedule.sigma(t)
    top = z.double() - per_example(r, X) * X
    return (top / per_example(schedule.alpha(s) - r * schedule.alpha(t), X)).to(x.dtype)

# %% 10.3 right one time becomes one for each picture
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    t, s = t.expand(len(x)), s.expand(len(x))
    half = (t + s) / 2
    y = step(schedule, *teacher(x, t), t, half)
    y = step(schedule, *teacher(y, half), half, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (y - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)

# %% 10.3 wrong inference_mode inference mode
import torch


@torch.inference_mode()
def two_step_target(schedule, teacher, x, t, s):
    half = (t + s) / 2
    y = step(schedule, *teacher(x, t), t, half)
    y = step(schedule, *teacher(y, half), half, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (y - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)

# %% 10.3 wrong clamped clamps
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    half = (t + s) / 2
    y = step(schedule, *teacher(x, t), t, half)
    y = step(schedule, *teacher(y, half), half, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return ((y - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)).clamp(-1, 1)

# %% 10.3 wrong dtype_of_t coefficients in the times' dtype
import torch


@torch.no_grad()
def two_step_target(schedule, teacher, x, t, s):
    half = (t + s) / 2
    y = step(schedule, *teacher(x, t), t, half)
    y = step(schedule, *teacher(y, half), half, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    d = schedule.alpha(s) - r * schedule.alpha(t)
    if t.ndim:
        shape = (-1, *[1] * (x.ndim - 1))
        r, d = r.reshape(shape), d.reshape(shape)
    return (y - r * x) / d

# %% 10.3 wrong keeps_gradient no_grad for the teacher alone
import torch


def two_step_target(schedule, teacher, x, t, s):
    with torch.no_grad():
        half = (t + s) / 2
        y = step(schedule, *teacher(x, t), t, half)
        y = step(schedule, *teacher(y, half), half, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (y - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)

# %% 10.4 right einsum, maximum, and mse by hand
import torch


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    optimizer.zero_grad(set_to_none=True)
    xt = schedule.mix(x0, eps, t)
    goal = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), xt, t, (t - 1 / steps).clamp(min=0))
    pred = denoiser_of(network, schedule, labels, 1)(xt, t)[0]
    snr = schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2
    w = torch.maximum(snr, torch.ones_like(snr))
    err = ((pred - goal) ** 2).reshape(len(x0), -1).mean(dim=1)
    loss = torch.einsum("b,b->", w, err) / len(w)
    loss.backward()
    optimizer.step()
    return float(loss)

# %% 10.4 right the weight inside the mean, the student called by hand
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    with torch.no_grad():
        aim = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - 1 / steps)
    v = network(x, schedule.timestep(t), labels=labels)
    guess, _ = to_x0_eps(schedule, "v", v, x, t)
    weight = (schedule.alpha(t) / schedule.sigma(t)).pow(2).clamp_min(1)
    loss = (per_example(weight, x) * (guess - aim) ** 2).mean()
    network.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.3f}", end=" ")
    return loss.item()

# %% 10.4 right a loop over the pictures and zero_grad at the end
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    aim = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - 1 / steps)
    guess = denoiser_of(network, schedule, labels)(x, t)[0]
    loss = 0
    for i in range(len(x)):
        snr = float(schedule.alpha(t[i]) / schedule.sigma(t[i])) ** 2
        loss = loss + max(snr, 1.0) * F.mse_loss(guess[i], aim[i]) / len(x)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()

# %% 10.4 wrong guided_again cfg for both
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    both = [denoiser_of(net, schedule, labels, scale) for net in (teacher, network)]
    goal = two_step_target(schedule, both[0], x, t, t - 1 / steps)
    w = torch.clamp(schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2, min=1)
    loss = (w * ((both[1](x, t)[0] - goal) ** 2).flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong snr_not_truncated the plain ratio
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    goal = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - 1 / steps)
    guess = denoiser_of(network, schedule, labels)(x, t)[0]
    snr = schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2
    loss = (snr * ((guess - goal) ** 2).flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong no_weight a plain mean square
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    goal = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - 1 / steps)
    guess = denoiser_of(network, schedule, labels)(x, t)[0]
    loss = F.mse_loss(guess, goal)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong teachers_step half a step
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    h = 0.5 / steps
    goal = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - h)
    guess = denoiser_of(network, schedule, labels)(x, t)[0]
    w = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (w * ((guess - goal) ** 2).flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong gradients_pile_up never cleared
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    goal = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - 1 / steps)
    guess = denoiser_of(network, schedule, labels)(x, t)[0]
    w = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (w * ((guess - goal) ** 2).flatten(1).mean(1)).mean()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong averaged_before_weighted two means multiplied
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    goal = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - 1 / steps)
    guess = denoiser_of(network, schedule, labels)(x, t)[0]
    w = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = w.mean() * F.mse_loss(guess, goal)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong learns_from_data the ordinary loss
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    guess = denoiser_of(network, schedule, labels)(x, t)[0]
    w = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (w * ((guess - x0) ** 2).flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong - compares v with x0
def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    goal = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - 1 / steps)
    guess = network(x, schedule.timestep(t), labels=labels)
    w = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (w * ((guess - goal) ** 2).flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 right the student before the teacher
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    guess = denoiser_of(network, schedule, labels, 1)(x, t)[0]
    target = two_step_target(schedule, denoiser_of(teacher, schedule, labels, scale), x, t, t - 1 / steps)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - target).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong x0_by_hand x0 of v by hand
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    guided = denoiser_of(teacher, schedule, labels, scale)
    target = two_step_target(schedule, guided, x, t, t - 1 / steps)
    v = network(x, schedule.timestep(t).to(x.dtype), labels=labels)
    guess = per_example(schedule.alpha(t), x) * x - per_example(schedule.sigma(t), x) * v
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - target).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong weight_squared weights the error before the square
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    guided = denoiser_of(teacher, schedule, labels, scale)
    target = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = denoiser_of(network, schedule, labels)(x, t)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (per_example(weight, x) * (guess - target)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong zeroed_too_late no step
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    guided = denoiser_of(teacher, schedule, labels, scale)
    target = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = denoiser_of(network, schedule, labels)(x, t)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - target).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    return loss.item()

# %% 10.4 wrong - clips the gradient
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    guided = denoiser_of(teacher, schedule, labels, scale)
    target = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = denoiser_of(network, schedule, labels)(x, t)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - target).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return loss.item()

# %% 10.4 wrong - a step by hand
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    x = schedule.mix(x0, eps, t)
    guided = denoiser_of(teacher, schedule, labels, scale)
    target = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = denoiser_of(network, schedule, labels)(x, t)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - target).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p in network.parameters():
            p -= optimizer.param_groups[0]['lr'] * p.grad
    return loss.item()

# %% 10.4 wrong - the teacher is set to eval
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    teacher.eval()
    x = schedule.mix(x0, eps, t)
    guided = denoiser_of(teacher, schedule, labels, scale)
    target = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = denoiser_of(network, schedule, labels)(x, t)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - target).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong - the teacher's weights frozen for good
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    teacher.requires_grad_(False)
    x = schedule.mix(x0, eps, t)
    guided = denoiser_of(teacher, schedule, labels, scale)
    target = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = denoiser_of(network, schedule, labels)(x, t)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - target).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.4 wrong - dropout off in the student
import torch
import torch.nn.functional as F


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    network.eval()
    x = schedule.mix(x0, eps, t)
    guided = denoiser_of(teacher, schedule, labels, scale)
    target = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = denoiser_of(network, schedule, labels)(x, t)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - target).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% 10.5 right times from linspace, mse_loss
import torch
import torch.nn.functional as F


@torch.no_grad()
def answer_of(teacher, x, steps):
    for time in torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]:
        x = x - teacher(x, time.expand(len(x)).to(x.dtype)) / steps
    return x


def reflow_loss(velocity, teacher, eps, t, steps):
    x0 = answer_of(teacher, eps, steps)
    xt = torch.lerp(x0, eps, t.reshape(-1, *[1] * (eps.ndim - 1)))
    return F.mse_loss(velocity(xt, t), eps - x0)

# %% 10.5 right detach in place of no_grad, target from the end of the line
def reflow_loss(velocity, teacher, eps, t, steps):
    x, time = eps.clone(), torch.ones(len(eps), dtype=eps.dtype)
    for _ in range(steps):
        x = (x - (1 / steps) * teacher(x, time)).detach()
        time = time - 1 / steps
    tt = t
    while tt.ndim < eps.ndim:
        tt = tt.unsqueeze(-1)
    direction = eps - x
    point = x + tt * direction
    return torch.mean((direction - velocity(point, t)) ** 2)

# %% 10.5 right the library's loss in the dtype of eps
def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        for k in reversed(range(1, steps + 1)):
            x0 = x0 - teacher(x0, k / steps * torch.ones_like(t)) / steps
    s = per_example(t, eps)
    off = velocity(eps * s + x0 * (1 - s), t) - eps + x0
    return (off * off).sum() / off.numel()

# %% 10.5 wrong unrelated_noise a line to fresh noise
import torch


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        for k in range(steps, 0, -1):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    noise = torch.randn_like(eps)
    s = per_example(t, eps)
    return (velocity((1 - s) * x0 + s * noise, t) - (noise - x0)).pow(2).mean()

# %% 10.5 wrong teachers_velocity copies the teacher
import torch


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        for k in range(steps, 0, -1):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
        s = per_example(t, eps)
        x = (1 - s) * x0 + s * eps
        goal = teacher(x, t)
    return torch.nn.functional.mse_loss(velocity(x, t), goal)

# %% 10.5 wrong sign towards the data
import torch


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        for k in range(steps, 0, -1):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    s = per_example(t, eps)
    return (velocity((1 - s) * x0 + s * eps, t) + eps - x0).pow(2).mean()

# %% 10.5 wrong times_of_the_ends k from steps - 1 to 0
import torch


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        for k in reversed(range(steps)):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    s = per_example(t, eps)
    return (velocity((1 - s) * x0 + s * eps, t) - (eps - x0)).pow(2).mean()

# %% 10.5 wrong walked_away adds the velocity
import torch


def reflow_loss(velocity, teacher, eps, t, steps):
    x0 = eps
    with torch.no_grad():
        for k in range(steps, 0, -1):
            x0 = x0 + teacher(x0, torch.full_like(t, k / steps)) / steps
    s = per_example(t, eps)
    return (velocity((1 - s) * x0 + s * eps, t) - (eps - x0)).pow(2).mean()

# %% 10.5 wrong teacher_keeps_gradient no no_grad
import torch


def reflow_loss(velocity, teacher, eps, t, steps):
    x0 = eps
    for k in range(steps, 0, -1):
        x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    s = per_example(t, eps)
    return (velocity((1 - s) * x0 + s * eps, t) - (eps - x0)).pow(2).mean()

# %% 10.5 wrong nothing_learns a decorator over all
import torch


@torch.no_grad()
def reflow_loss(velocity, teacher, eps, t, steps):
    x0 = eps
    for k in range(steps, 0, -1):
        x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    s = per_example(t, eps)
    return (velocity((1 - s) * x0 + s * eps, t) - (eps - x0)).pow(2).mean()

# %% 10.5 wrong @input walks in place
import torch


def reflow_loss(velocity, teacher, eps, t, steps):
    x0 = eps
    with torch.no_grad():
        for k in range(steps, 0, -1):
            x0 -= teacher(x0, torch.full_like(t, k / steps)) / steps
    s = per_example(t, eps)
    return (velocity((1 - s) * x0 + s * eps, t) - (eps - x0)).pow(2).mean()

# %% 10.5 right a while loop that counts the time down
import torch
import torch.nn.functional as F


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        now = torch.ones_like(t)
        while steps * now[0] > 0.5:
            x0 = x0 - teacher(x0, now) / steps
            now = now - 1 / steps
    share = per_example(t, eps)
    x = (1 - share) * x0 + share * eps
    return F.mse_loss(velocity(x, t), eps - x0)

# %% 10.5 right inference mode for the teacher
import torch
import torch.nn.functional as F


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.inference_mode():
        x0 = eps
        for k in range(steps, 0, -1):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    share = per_example(t, eps)
    x = (1 - share) * x0 + share * eps
    return F.mse_loss(velocity(x, t), eps - x0)

# %% 10.5 wrong points_only points only: t[:, None]
import torch
import torch.nn.functional as F


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        for k in range(steps, 0, -1):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    share = t[:, None]
    x = (1 - share) * x0 + share * eps
    return F.mse_loss(velocity(x, t), eps - x0)

# %% 10.5 wrong student_walks the student as the teacher
import torch
import torch.nn.functional as F


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        for k in range(steps, 0, -1):
            x0 = x0 - velocity(x0, torch.full_like(t, k / steps)) / steps
    share = per_example(t, eps)
    x = (1 - share) * x0 + share * eps
    return F.mse_loss(velocity(x, t), eps - x0)

# %% 10.5 wrong - gradients off and on
import torch
import torch.nn.functional as F


def reflow_loss(velocity, teacher, eps, t, steps):
    torch.set_grad_enabled(False)
    if True:
        x0 = eps
        for k in range(steps, 0, -1):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    torch.set_grad_enabled(True)
    share = per_example(t, eps)
    x = (1 - share) * x0 + share * eps
    return F.mse_loss(velocity(x, t), eps - x0)

# %% 10.5 wrong - backward inside
import torch
import torch.nn.functional as F


def reflow_loss(velocity, teacher, eps, t, steps):
    with torch.no_grad():
        x0 = eps
        for k in range(steps, 0, -1):
            x0 = x0 - teacher(x0, torch.full_like(t, k / steps)) / steps
    share = per_example(t, eps)
    x = (1 - share) * x0 + share * eps
    loss = F.mse_loss(velocity(x, t), eps - x0)
    loss.backward()
    return loss

# %% 10.6 right detach, and mul and add for the average
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    with torch.no_grad():
        goal = average(schedule.mix(x0, eps, s), s).detach()
    guess = network(schedule.mix(x0, eps, t), t)
    loss = ((guess - goal) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for old, new in zip(average.parameters(), network.parameters()):
        old.data.mul_(decay).add_(new.data, alpha=1 - decay)
    return float(loss.detach())

# %% 10.6 right a new state for the average
import torch


def follow(average, network, decay):
    new = network.state_dict()
    average.load_state_dict({name: decay * old + (1 - decay) * new[name] for name, old in average.state_dict().items()})


def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    loss_fn = torch.nn.MSELoss()
    optimizer.zero_grad()
    with torch.inference_mode():
        target = average(schedule.mix(x0, eps, s), s)
    loss = loss_fn(network(schedule.mix(x0, eps, t), t), target.clone())
    loss.backward()
    optimizer.step()
    follow(average, network, decay)
    return loss.item()

# %% 10.6 right lerp with the old share from the other end
import torch


def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    with torch.no_grad():
        aim = average(schedule.mix(x0, eps, s), s)
    loss = (network(schedule.mix(x0, eps, t), t) - aim).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters()):
            slow.copy_(torch.lerp(new, slow, decay))
    return loss.item()

# %% 10.6 wrong as_given only the line removed
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)
    target = network(x_s, s)
    loss = F.mse_loss(network(x_t, t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(new, decay)
    return loss.item()

# %% 10.6 wrong one_network_and_decay detach alone
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)
    target = network(x_s, s).detach()
    loss = F.mse_loss(network(x_t, t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(new, decay)
    return loss.item()

# %% 10.6 wrong target_keeps_gradient the average without no_grad
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    target = average(schedule.mix(x0, eps, s), s)
    loss = F.mse_loss(network(schedule.mix(x0, eps, t), t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for slow, new in zip(average.parameters(), network.parameters(), strict=True):
        slow.data = decay * slow.data + (1 - decay) * new.data
    return loss.item()

# %% 10.6 wrong decay_on_the_new mul with 1 - decay
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    with torch.no_grad():
        target = average(schedule.mix(x0, eps, s), s)
    loss = F.mse_loss(network(schedule.mix(x0, eps, t), t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for slow, new in zip(average.parameters(), network.parameters(), strict=True):
        slow.data.mul_(1 - decay).add_(decay * new.data)
    return loss.item()

# %% 10.6 wrong gradient_and_decay mends the network alone
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)
    loss = ((network(x_t, t) - average(x_s, s)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters()):
            slow.lerp_(new, decay)
    return loss.item()

# %% 10.6 wrong average_copied load_state_dict
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    with torch.no_grad():
        target = average(schedule.mix(x0, eps, s), s)
    loss = F.mse_loss(network(schedule.mix(x0, eps, t), t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    average.load_state_dict(network.state_dict())
    return loss.item()

# %% 10.6 wrong average_stays a new tensor under the same name
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    with torch.no_grad():
        target = average(schedule.mix(x0, eps, s), s)
    loss = F.mse_loss(network(schedule.mix(x0, eps, t), t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for slow, new in zip(average.parameters(), network.parameters()):
        slow = decay * slow + (1 - decay) * new
    return loss.item()

# %% 10.6 wrong other_noise fresh noise at s
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    with torch.no_grad():
        target = average(schedule.mix(x0, torch.randn_like(x0), s), s)
    loss = F.mse_loss(network(schedule.mix(x0, eps, t), t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters()):
            slow.lerp_(new, 1 - decay)
    return loss.item()

# %% 10.6 wrong - an Euler step of its own in place of the same noise
def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    x_t = schedule.mix(x0, eps, t)
    with torch.no_grad():
        guess = network(x_t, t)
        target = average(x_t + (s - t)[:, None] * (x_t - guess) / t[:, None], s)
    loss = F.mse_loss(network(x_t, t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters()):
            slow.lerp_(new, 1 - decay)
    return loss.item()

# %% 10.6 right named parameters and copy_, the network asked first
import torch
import torch.nn.functional as F


def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)
    guess = network(x_t, t)
    with torch.no_grad():
        target = average(x_s, s)
    loss = F.mse_loss(guess, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    learned = dict(network.named_parameters())
    for name, p in average.named_parameters():
        p.data.copy_(p.data * decay + learned[name].data * (1 - decay))
    return loss.item()

# %% 10.6 right freezes the average
import torch
import torch.nn.functional as F


def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)
    average.requires_grad_(False)
    target = average(x_s, s)
    loss = F.mse_loss(network(x_t, t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(new, 1 - decay)
    return loss.item()

# %% 10.6 wrong @crash inference mode for the target
import torch
import torch.nn.functional as F


def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)
    with torch.inference_mode():
        target = average(x_s, s)
    loss = F.mse_loss(network(x_t, t), target)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(new, 1 - decay)
    return loss.item()

# %% 10.6 wrong average_too_early the average moves first
import torch
import torch.nn.functional as F


def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)
    with torch.no_grad():
        target = average(x_s, s)
    loss = F.mse_loss(network(x_t, t), target)
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters()):
            slow.lerp_(new, 1 - decay)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
