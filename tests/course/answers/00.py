"""Answers to lesson 00 as learners write them: `right` ones get every point, `wrong` ones don't.

Behind `wrong` stands the mistake whose hint they get, or - for none of their own, or the engine's own: @input, @state, @kind.
"""

# %% 00.1 right half and half, then clamp in 0..255
import torch


def to_pixels(images):
    pixels = images * 127.5 + 127.5
    pixels = torch.clamp(pixels, 0, 255).round()
    return pixels.permute(0, 2, 3, 1).to(torch.uint8)

# %% 00.1 right a constant beside it, einsum, add a half and cut off
import torch

LEVELS = 255


def to_pixels(imgs):
    scaled = (imgs.clamp(-1.0, 1.0) / 2 + 0.5) * LEVELS
    print(scaled.min(), scaled.max())
    return torch.einsum("bchw->bhwc", scaled + 0.5).floor().byte()

# %% 00.1 right by way of numpy
import torch
import numpy as np


def to_pixels(images):
    arr = images.detach().cpu().numpy().transpose(0, 2, 3, 1)
    arr = np.rint((np.clip(arr, -1, 1) + 1) / 2 * 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(arr))

# %% 00.1 right picture by picture
import torch


def one_picture(x: torch.Tensor) -> torch.Tensor:
    x = x.movedim(0, -1)                 # màu ra cuối
    x = torch.minimum(torch.maximum(x, torch.tensor(-1.0)), torch.tensor(1.0))
    return torch.round(255 * (x + 1) / 2).type(torch.uint8)


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    return torch.stack([one_picture(image) for image in images])

# %% 00.1 right a clone that is changed in place
import torch


def to_pixels(images):
    out = images.clone()
    out[out < -1] = -1
    out[out > 1] = 1
    out += 1
    out *= 127.5
    return out.round_().to(torch.uint8).transpose(1, 2).transpose(2, 3)

# %% 00.1 right a lambda
import torch

to_pixels = lambda x: x.add(1).mul(127.5).round().clamp(0, 255).byte().movedim(1, 3).contiguous()

# %% 00.1 wrong stays_0_to_1 byte without 255
import torch


def to_pixels(images):
    images = images.clamp(-1, 1)
    images = 0.5 * images + 0.5
    return images.permute(0, 2, 3, 1).byte()

# %% 00.1 wrong no_shift 255 times what is above 0
import torch


def to_pixels(images):
    out = torch.clamp(images, 0.0, 1.0)
    out = torch.round(255 * out)
    return out.permute(0, 2, 3, 1).type(torch.uint8)

# %% 00.1 wrong no_shift clamps in 0..255
import torch


def to_pixels(images):
    pixels = (images * 255).clamp(min=0, max=255).round()
    return torch.einsum("bchw->bhwc", pixels).byte()

# %% 00.1 wrong not_halved shifted, then 255
import torch


def to_pixels(images):
    x = torch.clamp(images, min=-1, max=1) + 1
    x = torch.round(255 * x).to(torch.uint8)
    return x.permute(0, 2, 3, 1)

# %% 00.1 wrong truncated byte does not round
import torch


def to_pixels(images):
    pixels = 127.5 * images.clamp(-1, 1) + 127.5
    return pixels.byte().permute(0, 2, 3, 1)

# %% 00.1 wrong truncated floor
import torch


def to_pixels(images):
    pixels = torch.floor((1 + images.clamp(-1, 1)) / 2 * 255)
    return torch.movedim(pixels, 1, -1).to(torch.uint8)

# %% 00.1 wrong truncated rounds what is whole already
import torch


def to_pixels(images):
    x = images.clip(-1, 1).permute(0, 2, 3, 1)
    return ((x + 1) / 2 * 255).to(torch.uint8).round()

# %% 00.1 wrong rounded_too_early rounds in 0..1
import torch


def to_pixels(images):
    unit = (images.clamp(-1, 1) + 1) / 2
    unit = torch.round(unit)
    return (255 * unit).to(torch.uint8).movedim(1, -1)

# %% 00.1 wrong no_clamp hopes that the numbers behave
import torch


def to_pixels(images):
    moved = images.permute(0, 2, 3, 1)
    return torch.round(moved * 127.5 + 127.5).byte()

# %% 00.1 wrong no_clamp clamps after the dtype
import torch


def to_pixels(images):
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).clamp(0, 255)
    return pixels.permute(0, 2, 3, 1)

# %% 00.1 wrong stretched_to_its_own_range min-max as for plotting
import torch


def to_pixels(images):
    lo, hi = images.min(), images.max()
    x = (images - lo) / (hi - lo)
    return (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

# %% 00.1 wrong stays_float forgets uint8
import torch


def to_pixels(images):
    images = torch.clamp(images, -1, 1).permute(0, 2, 3, 1)
    return torch.round((images + 1) / 2 * 255)

# %% 00.1 wrong channels_first forgets the axes
import torch


def to_pixels(images):
    pixels = (images + 1) / 2
    return (pixels.clamp(0, 1) * 255).round().byte()

# %% 00.1 wrong lying_on_its_side swaps first and last
import torch


def to_pixels(images):
    pixels = (images.clamp(-1, 1) * 127.5 + 127.5).round().byte()
    return pixels.transpose(1, 3)

# %% 00.1 wrong the_way_back permute as in to_tensor
import torch


def to_pixels(images):
    x = images.clamp(-1, 1)
    x = x.permute(0, 3, 1, 2)
    return x.add(1).mul(127.5).round().to(torch.uint8)

# %% 00.1 wrong reshaped reshape for permute
import torch


def to_pixels(images):
    b, c, h, w = images.shape
    flat = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return flat.reshape(b, h, w, c)

# %% 00.1 wrong @input clamp_
import torch


def to_pixels(images):
    images.clamp_(-1, 1)
    return ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)

# %% 00.1 wrong @input adds in place
import torch


def to_pixels(images):
    images += 1
    images *= 127.5
    return images.clamp(0, 255).round().byte().permute(0, 2, 3, 1)

# %% 00.1 wrong - int in place of uint8
import torch


def to_pixels(images):
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().int()
    return pixels.permute(0, 2, 3, 1)

# %% 00.1 wrong - squeeze loses the axis of a batch of one
import torch


def to_pixels(images):
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte()
    return pixels.squeeze().movedim(-3, -1)

# %% 00.1 wrong - 256 levels
import torch


def to_pixels(images):
    pixels = ((images.clamp(-1, 1) + 1) / 2 * 256).floor().clamp(max=255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1)

# %% 00.1 wrong - an array, not a tensor
import numpy as np


def to_pixels(images):
    a = np.clip(images.numpy(), -1, 1).transpose(0, 2, 3, 1)
    return ((a + 1) * 127.5).round().astype(np.uint8)

# %% 00.2 right linspace
import torch


def uniform_timesteps(n: int):
    """n steps, n + 1 times."""
    return torch.linspace(1.0, 0.0, steps=n + 1, dtype=torch.float64)

# %% 00.2 right 1 minus the fraction that is done
import torch


def uniform_timesteps(steps):
    done = torch.arange(steps + 1).double() / steps
    return 1 - done

# %% 00.2 right a list, then a tensor
import torch


def uniform_timesteps(n):
    ts = []
    i = n
    while i >= 0:
        ts.append(i / n)
        i -= 1
    return torch.tensor(ts, dtype=torch.double)

# %% 00.2 right numpy, a helper and partial
import numpy as np
from functools import partial

import torch


def times(start, stop, n):
    return torch.as_tensor(np.linspace(start, stop, n + 1))  # numpy is float64 anyway


uniform_timesteps = partial(times, 1, 0)

# %% 00.2 right counts up and flips
import torch


def uniform_timesteps(n: int) -> torch.Tensor:
    gap = 1 / n
    return (gap * torch.arange(n + 1, dtype=torch.float64)).flip(0).clamp(max=1)

# %% 00.2 wrong n_times divides by n - 1
import torch


def uniform_timesteps(n):
    return torch.tensor([1 - i / (n - 1) if n > 1 else 1.0 for i in range(n)], dtype=torch.float64)

# %% 00.2 wrong n_times linspace with n
import numpy as np
import torch


def uniform_timesteps(n):
    return torch.from_numpy(np.linspace(1, 0, n))

# %% 00.2 wrong never_arrives range(n)
import torch


def uniform_timesteps(n):
    times = [1 - i / n for i in range(n)]
    return torch.tensor(times, dtype=torch.double)

# %% 00.2 wrong leaves_out_1 counts n things from 0
import torch


def uniform_timesteps(n):
    k = torch.arange(n, dtype=torch.float64)
    return k.flip(0) / n

# %% 00.2 wrong goes_too_far fears for the end
import torch


def uniform_timesteps(n):
    return torch.tensor([1 - i / n for i in range(n + 2)], dtype=torch.float64)

# %% 00.2 wrong starts_late divides by the number of times
import torch


def uniform_timesteps(n):
    steps = torch.arange(n + 1).flip(0)
    return steps.double() / len(steps)

# %% 00.2 wrong not_divided whole numbers
import torch


def uniform_timesteps(n):
    return torch.linspace(n, 0, n + 1, dtype=torch.float64)

# %% 00.2 wrong rising from 0 to 1
import torch


def uniform_timesteps(n):
    return torch.linspace(0, 1, n + 1, dtype=torch.float64)

# %% 00.2 wrong single_precision linspace without dtype
import torch


def uniform_timesteps(n):
    return torch.linspace(1, 0, n + 1)

# %% 00.2 wrong single_precision a tensor of a list
import torch


def uniform_timesteps(n):
    return torch.tensor([(n - i) / n for i in range(n + 1)])

# %% 00.2 wrong a_list never a tensor
def uniform_timesteps(n):
    return [1 - i / n for i in range(n + 1)]

# %% 00.2 wrong counts_in_fractions torch's arange in steps of 1/n
import torch


def uniform_timesteps(n):
    step = 1 / n
    return torch.arange(1, 0 - step, -step, dtype=torch.float64)

# %% 00.2 wrong - numpy's arange in steps of 1/n
import numpy as np
import torch


def uniform_timesteps(n):
    return torch.tensor(np.arange(1.0, -1 / n, -1 / n))

# %% 00.2 wrong adds_up_errors subtracts again and again
import torch


def uniform_timesteps(n):
    t = 1.0
    times = torch.zeros(n + 1, dtype=torch.float64)
    for i in range(n + 1):
        times[i] = t
        t -= 1 / n
    return times

# %% 00.2 wrong @state makes float64 the default of everybody
import torch


def uniform_timesteps(n):
    torch.set_default_dtype(torch.float64)
    return torch.linspace(1, 0, n + 1)

# %% 00.2 wrong @kind yields
def uniform_timesteps(n):
    for i in range(n, -1, -1):
        yield i / n

# %% 00.2 wrong - numpy and no tensor
import numpy as np


def uniform_timesteps(n):
    return np.linspace(1, 0, n + 1)

# %% 00.2 wrong - whole-number division
import torch


def uniform_timesteps(n):
    return (torch.arange(n, -1, -1) // n).double()

# %% 00.2 wrong - n + 2 posts
import torch


def uniform_timesteps(n):
    return torch.linspace(1, 0, n + 2, dtype=torch.float64)

# %% 00.3 right a generator for each, in a comprehension
import torch


def start_noise(seeds, shape):
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])

# %% 00.3 right one generator, seeded anew each time
import torch


def start_noise(seeds, shape):
    g = torch.Generator(device="cpu")
    out = torch.empty((len(seeds),) + tuple(shape))
    for i, seed in enumerate(seeds):
        g.manual_seed(seed)
        out[i].normal_(generator=g)
    return out

# %% 00.3 right fork_rng keeps the dice of the others
import torch


def start_noise(seeds, shape):
    pictures = []
    with torch.random.fork_rng():
        for seed in seeds:
            torch.manual_seed(seed)
            pictures.append(torch.randn(*shape)[None])
    return torch.cat(pictures, dim=0)

# %% 00.3 right puts the state back by hand
import torch


def start_noise(seeds, shape):
    # giữ lại xúc xắc của người khác
    state = torch.get_rng_state()
    noise = [torch.randn(*shape, generator=torch.manual_seed(seed)) for seed in seeds]
    torch.set_rng_state(state)
    return torch.stack(noise, 0)

# %% 00.3 right a helper that remembers, and a lambda
import functools

import torch


@functools.lru_cache
def noise_of(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


start_noise = lambda seeds, shape: torch.stack([noise_of(seed, *shape) for seed in seeds])

# %% 00.3 wrong as_given one generator, all at once
import torch


def start_noise(seeds, shape):
    generator = torch.Generator()
    generator.manual_seed(seeds[0])
    return torch.randn((len(seeds), *shape), generator=generator)

# %% 00.3 wrong as_given one generator, row by row
import torch


def start_noise(seeds, shape):
    generator = torch.Generator().manual_seed(seeds[0])
    return torch.stack([torch.randn(*shape, generator=generator) for _ in seeds])

# %% 00.3 wrong ends_on_the_last_seed seeds in one loop, draws in the next
import torch


def start_noise(seeds, shape):
    g = torch.Generator()
    for seed in seeds:
        g.manual_seed(seed)
    return torch.stack([torch.randn(*shape, generator=g) for _ in range(len(seeds))])

# %% 00.3 wrong ends_on_the_last_seed one generator under many names
import torch


def start_noise(seeds, shape):
    gens = [torch.Generator()] * len(seeds)
    gens = [gen.manual_seed(seed) for gen, seed in zip(gens, seeds)]
    return torch.stack([torch.randn(*shape, generator=gen) for gen in gens])

# %% 00.3 wrong counted_on seeds[0] + i
import torch


def start_noise(seeds, shape):
    noise = []
    for i, _ in enumerate(seeds):
        generator = torch.Generator()
        generator.manual_seed(seeds[0] + i)
        noise.append(torch.randn(*shape, generator=generator))
    return torch.stack(noise)

# %% 00.3 wrong one_for_all repeats the first
import torch


def start_noise(seeds, shape):
    one = torch.randn(*shape, generator=torch.Generator().manual_seed(seeds[0]))
    return one.repeat(len(seeds), 1, 1, 1)

# %% 00.3 wrong never_seeded takes a generator for a seed
import torch


def start_noise(seeds, shape):
    generators = {seed: torch.Generator() for seed in seeds}
    return torch.stack([torch.randn(*shape, generator=torch.Generator()) for _ in seeds if generators])

# %% 00.3 wrong from_the_common_pot makes generators and forgets them
import torch


def start_noise(seeds, shape):
    out = torch.empty(len(seeds), *shape)
    for i, seed in enumerate(seeds):
        g = torch.Generator()
        g.manual_seed(seed)
        out[i] = torch.randn(*shape)
    return out

# %% 00.3 wrong not_normal rand
import torch


def start_noise(seeds, shape):
    noise = torch.empty(len(seeds), *shape)
    for row, seed in zip(noise, seeds):
        row.copy_(torch.rand(*shape, generator=torch.Generator().manual_seed(seed)))
    return noise

# %% 00.3 wrong global_generator manual_seed for each
import torch


def start_noise(seeds, shape):
    noise = []
    for seed in seeds:
        torch.manual_seed(seed)
        noise.append(torch.randn(*shape))
    return torch.stack(noise)

# %% 00.3 wrong end_to_end cat
import torch


def start_noise(seeds, shape):
    parts = [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(parts, dim=0)

# %% 00.3 wrong a_list forgets to stack
import torch


def start_noise(seeds, shape):
    gens = [torch.Generator().manual_seed(s) for s in seeds]
    return [torch.randn(*shape, generator=g) for g in gens]

# %% 00.3 wrong @input pops the seeds
import torch


def start_noise(seeds, shape):
    noise = []
    while seeds:
        generator = torch.Generator().manual_seed(seeds.pop(0))
        noise.append(torch.randn(*shape, generator=generator))
    return torch.stack(noise)

# %% 00.3 wrong @state makes everything deterministic
import torch


def start_noise(seeds, shape):
    torch.use_deterministic_algorithms(True)
    gens = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(*shape, generator=g) for g in gens])

# %% 00.3 wrong - a dict by seed loses twins
import torch


def start_noise(seeds, shape):
    by_seed = {s: torch.randn(*shape, generator=torch.Generator().manual_seed(s)) for s in seeds}
    return torch.stack(list(by_seed.values()))

# %% 00.3 wrong - sorted seeds
import torch


def start_noise(seeds, shape):
    gens = [torch.Generator().manual_seed(seed) for seed in sorted(seeds)]
    return torch.stack([torch.randn(*shape, generator=g) for g in gens])

# %% 00.3 wrong - numpy's dice
import numpy as np
import torch


def start_noise(seeds, shape):
    rows = [np.random.RandomState(seed).randn(*shape) for seed in seeds]
    return torch.tensor(np.stack(rows), dtype=torch.float32)

# %% 00.3 wrong - double precision draws other numbers
import torch


def start_noise(seeds, shape):
    gens = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(*shape, generator=g, dtype=torch.float64) for g in gens]).float()

# %% 00.4 right by index, without gradients
import torch


@torch.no_grad()
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 1):
        t, s = timesteps[i], timesteps[i + 1]
        x0, eps = denoiser(x, t)
        x = step(x0, eps, t, s)
    return x

# %% 00.4 right zip and a star
def sample_along(denoiser, step, x, timesteps):
    xs = [x]
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        xs.append(step(*denoiser(xs[-1], t), t, s))
    print("steps made:", len(xs) - 1)
    return xs[-1]

# %% 00.4 right one step, then the rest
def sample_along(denoiser, step, x, timesteps):
    if len(timesteps) < 2:
        return x
    t, s, *_ = timesteps
    x0, eps = denoiser(x, t)
    return sample_along(denoiser, step, step(x0, eps, t, s), timesteps[1:])

# %% 00.4 right reduce over unfolded pairs
from functools import reduce


def sample_along(denoiser, step, x, timesteps):
    def forward(state, pair):
        x0, eps = denoiser(state, pair[0])
        return step(x0=x0, eps=eps, t=pair[0], s=pair[1])

    return reduce(forward, timesteps.unfold(0, 2, 1), x)

# %% 00.4 right goes by names, and knows that x is x0 at time 0
import torch
from torch import Tensor


def sample_along(denoiser, step, x: Tensor, timesteps: Tensor) -> Tensor:
    here = timesteps[0]
    with torch.inference_mode():
        for there in timesteps[1:]:
            guess = denoiser(x=x, t=here)
            x = guess[0] if there == 0 else step(guess[0], guess[1], here, there)
            here = there
    return x

# %% 00.4 right iterates by hand
def sample_along(denoiser, step, x, timesteps):
    it = iter(timesteps)
    t = next(it)
    while True:
        s = next(it, None)
        if s is None:
            break
        pred_x0, pred_noise = denoiser(x, t)
        x = step(pred_x0, pred_noise, t, s)
        t = s
    return x

# %% 00.4 wrong one_step_short range too short
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 2):
        x0, eps = denoiser(x, timesteps[i])
        x = step(x0, eps, timesteps[i], timesteps[i + 1])
    return x

# %% 00.4 wrong returns_in_the_loop one tab too many
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t)
        x = step(x0, eps, t, s)
        return x

# %% 00.4 wrong asks_about_the_old_x a new name for the result
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t)
        x_s = step(x0, eps, t, s)
    return x_s

# %% 00.4 wrong asks_at_s counts from 1
def sample_along(denoiser, step, x, timesteps):
    for i in range(1, len(timesteps)):
        x0, eps = denoiser(x, timesteps[i])
        x = step(x0, eps, timesteps[i - 1], timesteps[i])
    return x

# %% 00.4 wrong changed_over unpacks the wrong way
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps, timesteps[1:]):
        eps, x0 = denoiser(x, t)
        x = step(x0=x0, eps=eps, t=t, s=s)
    return x

# %% 00.4 wrong x_for_eps forgets what the noise is called
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps, timesteps[1:]):
        x0, _ = denoiser(x, t)
        x = step(x0, x, t, s)
    return x

# %% 00.4 wrong steps_backwards from s to t
def sample_along(denoiser, step, x, timesteps):
    n = len(timesteps) - 1
    for i in range(n):
        now, nxt = timesteps[i], timesteps[i + 1]
        x0, eps = denoiser(x, now)
        x = step(x0, eps, nxt, now)
    return x

# %% 00.4 wrong turned_round reversed, as in the paper's loop
import torch


def sample_along(denoiser, step, x, timesteps):
    ts = torch.flip(timesteps, dims=[0])  # T, ..., 1
    for i in range(len(ts) - 1):
        x0, eps = denoiser(x, ts[i])
        x = step(x0, eps, ts[i], ts[i + 1])
    return x

# %% 00.4 wrong adds_the_step as Euler's method does
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        dx = step(*denoiser(x, t), t, s)
        x = x + dx
    return x

# %% 00.4 wrong clamped as for pixels
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t)
        x0 = x0.clamp(min=-1, max=1)
        x = step(x0, eps, t, s)
    return x

# %% 00.4 wrong asks_twice once for each
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 1):
        t, s = timesteps[i], timesteps[i + 1]
        x0 = denoiser(x, t)[0]
        eps = denoiser(x, t)[1]
        x = step(x0, eps, t, s)
    return x

# %% 00.4 wrong times_as_numbers item()
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 1):
        t, s = timesteps[i].item(), timesteps[i + 1].item()
        x0, eps = denoiser(x, t)
        x = step(x0, eps, t, s)
    return x

# %% 00.4 wrong asks_once_more a last denoising
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t)
        x = step(x0, eps, t, s)
    x0, eps = denoiser(x, timesteps[-1])
    return x0

# %% 00.4 wrong returns_x0 the guess
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 1):
        x0, eps = denoiser(x, timesteps[i])
        x = step(x0, eps, timesteps[i], timesteps[i + 1])
    return x0

# %% 00.4 wrong @input writes into the noise
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 1):
        x0, eps = denoiser(x, timesteps[i])
        x[:] = step(x0, eps, timesteps[i], timesteps[i + 1])
    return x

# %% 00.4 wrong @input adds to the noise
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t)
        x += step(x0, eps, t, s) - x
    return x

# %% 00.4 wrong @state switches gradients off for good
import torch


def sample_along(denoiser, step, x, timesteps):
    torch.set_grad_enabled(False)
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t)
        x = step(x0, eps, t, s)
    return x

# %% 00.4 wrong - the index for the time
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 1):
        x0, eps = denoiser(x, i)
        x = step(x0, eps, i, i + 1)
    return x

# %% 00.4 wrong - a number for the denoiser alone
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, float(t))
        x = step(x0, eps, t, s)
    return x

# %% 00.4 wrong - a time for each picture
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t.expand(len(x)))
        x = step(x0, eps, t.expand(len(x)), s.expand(len(x)))
    return x

# %% 00.4 wrong - every step begins at the first time
def sample_along(denoiser, step, x, timesteps):
    start = timesteps[0]
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t)
        x = step(x0, eps, start, s)
    return x

# %% 00.4 wrong - hands the pair over whole
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        guess = denoiser(x, t)
        x = step(guess, t, s)
    return x
