# Wrong answers to the exercises of lesson 00, as learners write them.

# %% 00.1 stays_0_to_1
import torch


def to_pixels(pictures):
    pictures = pictures.clamp(-1, 1)
    pictures = 0.5 * pictures + 0.5
    return pictures.permute(0, 2, 3, 1).byte()

# %% 00.1 no_shift
import torch


def to_pixels(pictures):
    out = torch.clamp(pictures, 0.0, 1.0)
    out = torch.round(255 * out)
    return out.permute(0, 2, 3, 1).type(torch.uint8)

# %% 00.1 no_shift
import torch


def to_pixels(pictures):
    pixels = (pictures * 255).clamp(min=0, max=255).round()
    return torch.einsum("bchw->bhwc", pixels).byte()

# %% 00.1 truncated
import torch


def to_pixels(pictures):
    pixels = 127.5 * pictures.clamp(-1, 1) + 127.5
    return pixels.byte().permute(0, 2, 3, 1)

# %% 00.1 truncated
import torch


def to_pixels(pictures):
    pixels = torch.floor((1 + pictures.clamp(-1, 1)) / 2 * 255)
    return torch.movedim(pixels, 1, -1).to(torch.uint8)

# %% 00.1 no_clamp
import torch


def to_pixels(pictures):
    moved = pictures.permute(0, 2, 3, 1)
    return torch.round(moved * 127.5 + 127.5).byte()

# %% 00.1 channels_first
import torch


def to_pixels(pictures):
    pixels = (pictures + 1) / 2
    return (pixels.clamp(0, 1) * 255).round().byte()

# %% 00.1 lying_on_its_side
import torch


def to_pixels(pictures):
    pixels = (pictures.clamp(-1, 1) * 127.5 + 127.5).round().byte()
    return pixels.transpose(1, 3)

# %% 00.2 n_times
import torch


def uniform_timesteps(n):
    return torch.tensor([1 - i / (n - 1) if n > 1 else 1.0 for i in range(n)], dtype=torch.float64)

# %% 00.2 never_arrives
import torch


def uniform_timesteps(n):
    times = [1 - i / n for i in range(n)]
    return torch.tensor(times, dtype=torch.double)

# %% 00.2 starts_late
import torch


def uniform_timesteps(n):
    steps = torch.arange(n + 1).flip(0)
    return steps.double() / len(steps)

# %% 00.2 rising
import torch


def uniform_timesteps(n):
    return torch.linspace(0, 1, n + 1, dtype=torch.float64)

# %% 00.2 single_precision
import torch


def uniform_timesteps(n):
    return torch.linspace(1, 0, n + 1)

# %% 00.3 drawn_together
import torch


def start_noise(seeds, shape):
    generator = torch.Generator()
    generator.manual_seed(seeds[0])
    return torch.randn((len(seeds), *shape), generator=generator)

# %% 00.3 drawn_together
import torch


def start_noise(seeds, shape):
    generator = torch.Generator().manual_seed(seeds[0])
    return torch.stack([torch.randn(*shape, generator=generator) for _ in seeds])

# %% 00.3 counted_on
import torch


def start_noise(seeds, shape):
    noise = []
    for i, _ in enumerate(seeds):
        generator = torch.Generator()
        generator.manual_seed(seeds[0] + i)
        noise.append(torch.randn(*shape, generator=generator))
    return torch.stack(noise)

# %% 00.3 one_for_all
import torch


def start_noise(seeds, shape):
    one = torch.randn(*shape, generator=torch.Generator().manual_seed(seeds[0]))
    return one.repeat(len(seeds), 1, 1, 1)

# %% 00.3 not_normal
import torch


def start_noise(seeds, shape):
    noise = torch.empty(len(seeds), *shape)
    for row, seed in zip(noise, seeds):
        row.copy_(torch.rand(*shape, generator=torch.Generator().manual_seed(seed)))
    return noise

# %% 00.3 global_generator
import torch


def start_noise(seeds, shape):
    noise = []
    for seed in seeds:
        torch.manual_seed(seed)
        noise.append(torch.randn(*shape))
    return torch.stack(noise)

# %% 00.4 one_step_short
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 2):
        x0, eps = denoiser(x, timesteps[i])
        x = step(x0, eps, timesteps[i], timesteps[i + 1])
    return x

# %% 00.4 asks_about_the_old_x
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps[:-1], timesteps[1:]):
        x0, eps = denoiser(x, t)
        x_s = step(x0, eps, t, s)
    return x_s

# %% 00.4 asks_at_s
def sample_along(denoiser, step, x, timesteps):
    for i in range(1, len(timesteps)):
        x0, eps = denoiser(x, timesteps[i])
        x = step(x0, eps, timesteps[i - 1], timesteps[i])
    return x

# %% 00.4 changed_over
def sample_along(denoiser, step, x, timesteps):
    for t, s in zip(timesteps, timesteps[1:]):
        eps, x0 = denoiser(x, t)
        x = step(x0=x0, eps=eps, t=t, s=s)
    return x

# %% 00.4 returns_x0
def sample_along(denoiser, step, x, timesteps):
    for i in range(len(timesteps) - 1):
        x0, eps = denoiser(x, timesteps[i])
        x = step(x0, eps, timesteps[i], timesteps[i + 1])
    return x0
