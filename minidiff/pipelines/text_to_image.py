"""From a sentence to pictures: text to vectors, noise to latent along a sampler's grid, latent to pixels.

Which models do it is open: `TextToImage` joins any tokenizer, tower, network and VAE that keep to a small contract. Ours
are read by `loading.py`, published ones by `from_diffusers.py`. What it is not: training, or editing of a given picture.
The step itself is in `samplers.py`, the checking of what is asked in `request.py`, the text inside the PNG in
`png.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path as FilePath
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from minidiff.diffusion import guidance, samplers
from minidiff.diffusion.prediction import Denoiser, denoiser
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import uniform
from minidiff.pipelines import loading
from minidiff.pipelines.request import Request
from minidiff.pretrained import from_diffusers, zoo
from minidiff.pretrained.scheduler_config import SchedulerConfig
from minidiff.text.encoders import AnyTokenizer, WordEncoder
from minidiff.utils.devices import check_device, fastest_dtype

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Preview:
    """A moment of the drawing.

    index: steps done, 1..n. latents: x_t after that step, (B, C, h, w). x0: the prediction it used, same shape.
    images: None, except in the last one.
    """

    index: int
    n: int
    latents: Tensor
    x0: Tensor
    images: list[Image.Image] | None = None


class TextToImage:
    """The models and what connects them.

    Args:
        tokenizer: cuts texts into ids; see `encoders.AnyTokenizer`.
        text_encoder: makes vectors of ids: (ids, mask) -> TowerOutput.
        network: a DiT or a U-Net; anything with their `config`, `prepare_context`, `packed` and forward(x, timestep, context).
        vae: decodes latents; anything with the `encode` and `decode` of models/vae.py.
            Modules are moved to `device` and put in `eval` mode.
        path, kind: how the network was trained, names of `SCHEDULES` and `PREDICTION_TYPES`.
        scheduler: how a published network is sampled, instead of the two.
        latent_mean, latent_std: one number per latent channel; the network works on (latent - mean) / std.
        dtype: of the network's matrix products; latents between steps are float32 always.
        text_dtype: of the text encoder.
        batch: pictures per call of the network. 1 makes a picture the same to the last bit whatever else is drawn with it,
            since a matrix product may round otherwise when it has more rows. None: 1 on a CPU, all at once elsewhere.
        guidance_scale: what this model is best asked with.
        prompt_expander: (prompt, seed) -> the prompt with more of the picture said, see `data/upsampling.py`; or none.
        model, model_hash: name and hash of the weights, for the PNG's text.
    """

    def __init__(
        self,
        tokenizer: AnyTokenizer,
        text_encoder: nn.Module,
        network: Any,
        vae: Any,
        *,
        schedule: str = "cosine",
        prediction_type: str = "v",
        scheduler: SchedulerConfig | None = None,
        latent_mean: Sequence[float] = (0.0,),
        latent_std: Sequence[float] = (1.0,),
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        text_dtype: torch.dtype = torch.float32,
        batch: int | None = None,
        guidance_scale: float = 5.0,
        prompt_expander: Callable[[str, int], str] | None = None,
        model: str = "unnamed",
        model_hash: str = "",
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.words = WordEncoder(tokenizer, _ready(text_encoder, self.device, text_dtype))
        on_cpu = self.device.type == "cpu"  # there `packed` computes in dtype; elsewhere the weights themselves are in it
        self.network = _ready(network, self.device, torch.float32 if on_cpu else dtype)
        self.vae = _ready(vae, self.device, torch.float32).to(memory_format=torch.channels_last)
        self.scheduler = scheduler or SchedulerConfig(get_schedule(schedule), prediction_type, "dpmpp_2m", uniform)
        self.latent_mean = torch.tensor(latent_mean, device=self.device).view(1, -1, 1, 1)
        self.latent_std = torch.tensor(latent_std, device=self.device).view(1, -1, 1, 1)
        self.batch = batch or (1 if on_cpu else None)
        self.guidance_scale, self.prompt_expander = guidance_scale, prompt_expander
        self.model, self.model_hash = model, model_hash

    @property
    def tokenizer(self) -> AnyTokenizer:
        return self.words.tokenizer

    @property
    def prediction_type(self) -> str:
        """What the network predicts, a name in `PREDICTION_TYPES`."""
        return self.scheduler.prediction_type

    @cached_property
    def fast_network(self) -> Any:
        """The network that samples: on a CPU a copy whose weights are laid out for it (nn/packed.py), else itself."""
        return self.network.packed(self.dtype) if self.device.type == "cpu" else self.network

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one latent."""
        config = self.network.config
        return config.in_channels, config.sample_size, config.sample_size

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Prompts to the network's context: vectors (B, L, D) and mask (B, L), True where a token is."""
        return self.words.encode(prompts)

    def request(self, prompt: str, **asked: Any) -> Request:
        """A request with this model's own sampler and guidance scale, unless others are asked for."""
        own = {"sampler": self.scheduler.sampler, "guidance_scale": self.guidance_scale}
        return Request(prompt, **{**own, **asked})

    def expanded_prompt(self, request: Request) -> list[str]:
        """What each picture of a request is drawn from: its prompt, upsampled for the picture's own seed if the request
        allows it and this model has an prompt_expander."""
        prompt_expander = self.prompt_expander if request.upsample else None
        return [prompt_expander(request.prompt, seed) if prompt_expander else request.prompt for seed in request.seeds]

    @torch.inference_mode()
    def stream(self, request: Request) -> Iterator[Preview]:
        """Draws, and yields a Preview after every step; the last one holds the pictures."""
        prompts = self.expanded_prompt(request)
        states = self.sample(
            prompts, request.seeds, [request.negative_prompt] * len(prompts), request.sampler, request.steps,
            request.guidance_scale, request.eta,
        )
        for index, (n, x, x0) in enumerate(states, start=1):
            yield Preview(index, n, x, x0, self.decode(x) if index == n else None)

    def __call__(self, request: Request, progress: bool | None = False) -> list[Image.Image]:
        """Draws to the end. `progress` True shows a bar on stderr, None only if that is a terminal."""
        images: list[Image.Image] = []
        hidden = None if progress is None else not progress
        for preview in tqdm(self.stream(request), total=request.steps, unit="step", disable=hidden, leave=False):
            images = preview.images or []
        return images

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        negative_prompts: Sequence[str],
        sampler: str = "dpmpp_2m",
        steps: int = 20,
        guidance_scale: float = 5.0,
        eta: float = 0.0,
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Latents of many prompts at once, each from its own seed. Yields (n, x, x0) after every step, x and x0
        (B, C, h, w), normalised as the DiT sees them."""
        size = self.batch or len(prompts)
        groups = [slice(i, i + size) for i in range(0, len(prompts), size)]
        runs = [
            self._run(prompts[g], seeds[g], negative_prompts[g], sampler, steps, guidance_scale, eta) for g in groups
        ]
        for states in zip(*runs, strict=True):  # all groups advance together, so that previews show every picture
            yield states[0].n, torch.cat([s.x for s in states]), torch.cat([s.x0 for s in states])

    def _run(
        self, prompts: Sequence[str], seeds: Sequence[int], negative: Sequence[str], sampler: str, steps: int,
        scale: float, eta: float,
    ) -> Iterator[samplers.State]:
        """The sampler's own generator for one group of pictures."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def noise(_: int = 0) -> Tensor:
            return torch.stack([torch.randn(self.latent_shape, generator=g) for g in generators]).to(self.device)

        denoiser, schedule = self.denoiser(prompts, negative, scale), self.scheduler.schedule
        timesteps = self.scheduler.timesteps(schedule, steps)
        x = self.scheduler.start(noise(), timesteps)
        return samplers.run(sampler, denoiser, x, schedule, steps, noise=noise, eta=eta or None, timesteps=timesteps)

    def denoiser(self, prompts: Sequence[str], negative: Sequence[str], scale: float) -> Denoiser:
        """What the sampler asks: (x, t) -> (x0, eps), guided, for B prompts and their B negative ones. What depends on the
        text alone is computed here, once for all steps."""
        schedule, prediction_type, clip = self.scheduler.schedule, self.scheduler.prediction_type, self.scheduler.clip
        vectors, mask = self.encode([*prompts, *negative] if scale != 1 else list(prompts))
        fast = self.fast_network
        dtype = next(fast.parameters()).dtype
        context = fast.prepare_context(vectors.to(dtype), mask)

        def network(x: Tensor, timestep: Tensor) -> Tensor:
            # guidance asks about each picture twice, and all pictures share one time: what is equal is worked out once
            prediction = fast(x[: len(prompts)].to(dtype), timestep[:1], context).float()
            return prediction[: len(x), : x.shape[1]]  # behind it published DiTs predict the variance, which no sampler wants

        guided = guidance.cfg(denoiser(network, schedule, prediction_type), scale)
        return guided if clip is None else guidance.clip_x0(guided, schedule, clip)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Normalised latents (B, C, h, w) to pictures, one by one for the same reason as `batch`."""
        return [picture(self.pixels(latent[None])[0]) for latent in latents]

    @torch.inference_mode()
    def pixels(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, C, h, w) to pixels (B, 3, H, W), about -1..1."""
        return self._decode(self.vae, latents, torch.float32)

    @torch.inference_mode()
    def decode_fast(self, latents: Tensor) -> list[Image.Image]:
        """Like `decode`, in the networks' dtype: faster, and a shade or two less exact. For watching, not for keeping."""
        return [picture(self._decode(self._quick_vae, latent[None], self.dtype)[0]) for latent in latents]

    def _decode(self, vae: Any, latents: Tensor, dtype: torch.dtype) -> Tensor:
        z = (latents * self.latent_std + self.latent_mean).to(dtype)
        return vae.decode(z.contiguous(memory_format=torch.channels_last)).float()

    @cached_property
    def _quick_vae(self) -> Any:
        return self.vae if self.dtype == torch.float32 else deepcopy(self.vae).to(self.dtype)

    @torch.inference_mode()
    def preview(self, latents: Tensor) -> list[Image.Image]:
        """Normalised latents (B, C, h, w) as pictures of h x w rough colours, in no time: noise stays visible as noise."""
        colours = torch.einsum("bchw,cr->brhw", latents.float(), self.colours[:-1]) + self.colours[-1].view(1, 3, 1, 1)
        return [picture(one) for one in colours]

    @cached_property
    def colours(self) -> Tensor:
        """(C + 1, 3): the linear map from a latent (and a constant 1) to red, green and blue that comes nearest, in least
        squares, to what the VAE makes of random patches."""
        channels, height, width = self.latent_shape
        generator = torch.Generator().manual_seed(0)
        patches = torch.randn(16, channels, height // 2, width // 2, generator=generator).to(self.device)
        z = nn.functional.interpolate(patches, scale_factor=2)
        pixels = nn.functional.adaptive_avg_pool2d(self.pixels(z).float().clamp(-1, 1), (height // 2 * 2, width // 2 * 2))
        features = nn.functional.pad(z.movedim(1, -1).flatten(0, 2), (0, 1), value=1.0)         # (n, C + 1)
        answer = torch.linalg.lstsq(features.cpu(), pixels.movedim(1, -1).flatten(0, 2).cpu()).solution
        return answer.to(self.device)


def picture(pixels: Tensor) -> Image.Image:
    """(3, H, W) in -1..1 to a PIL image."""
    array = (pixels.float().clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(1, 2, 0).cpu().contiguous()
    return Image.fromarray(array.numpy())


def _ready(module: Any, device: torch.device, dtype: torch.dtype) -> Any:
    return module.to(device=device, dtype=dtype).eval().requires_grad_(False)


def load_pipeline(
    name: FilePath | str = "world-dit",
    device: str | None = None,
    dtype: str | None = None,
    root: FilePath | str | None = None,
    batch: int | None = None,
    allow_pickle: bool = False,
) -> TextToImage:
    """A model that draws, kept in memory for the next call with the same arguments.

    Args:
        name: a row of the zoo that holds a network; or a folder of diffusers with Stable Diffusion 1.x or PixArt-alpha; or
            such a repository on the Hugging Face hub, as "owner/name".
        device: "cpu", "cuda", "mps"; None: the best there is.
        dtype: "float32" or "bfloat16"; None: the fastest on the device.
        root: a zoo directory; None: MINIDIFF_ZOO, or the shipped one.
        batch: pictures per call of the network, see TextToImage.
        allow_pickle: read weights from a pickle where a folder has no safetensors (weights, and nothing else).

    Raises:
        ValueError: there is no such model, device or dtype, it is of a design that is not supported, or its files are
            incomplete or damaged.
    """
    where = check_device(device)
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"There is no dtype {dtype!r}: choose one of {', '.join(DTYPES)}, or none for the fastest.")
    number = DTYPES[dtype] if dtype else fastest_dtype(where)
    zoo_folder = zoo.zoo_root(root)
    return _load(*find_model(name, zoo_folder), where, number, zoo_folder, batch, allow_pickle)


def find_model(name: FilePath | str, root: FilePath) -> tuple[str, bool]:
    """(the name, or a folder's whole path; whether it is the zoo's). The zoo comes first, then a folder, then the hub."""
    path = FilePath(name).expanduser()
    if str(name) in zoo.manifest(root):
        return str(name), True
    if path.is_dir():
        return str(path.resolve()), False
    return str(name), path.name == str(name)  # one word can only be meant for the zoo, which will say what it has


@lru_cache(maxsize=4)
def _load(
    name: str, ours: bool, device: str, dtype: torch.dtype, root: FilePath, batch: int | None, allow_pickle: bool
) -> TextToImage:
    parts = loading.read_row(name, root) if ours else from_diffusers.read_pipeline(name, dtype, allow_pickle)
    return TextToImage(**parts, device=device, dtype=dtype, batch=batch)


def generate_image(
    prompt: str,
    negative_prompt: str = "",
    sampler: str | None = None,
    steps: int = 20,
    guidance_scale: float | None = None,
    seed: int = 42,
    num_images: int = 1,
    device: str | None = None,
    *,
    eta: float = 0.0,
    upsample: bool = True,
    model: FilePath | str = "world-dit",
    dtype: str | None = None,
    progress: bool | None = False,
    allow_pickle: bool = False,
) -> list[Image.Image]:
    """Draws a sentence in English or Vietnamese. The same seed gives the same picture, whatever the batch.

    Arguments are those of `Request`, `load_pipeline` and `TextToImage.__call__`; picture i is drawn from seed + i, and
    sampler and guidance scale are the model's own (DPM++ 2M and 3 for world-dit) when they are not given.
    Raises ValueError that says what is allowed.
    """
    asked: dict[str, Any] = {
        "negative_prompt": negative_prompt, "sampler": sampler, "steps": steps, "guidance_scale": guidance_scale,
        "seed": seed, "num_images": num_images, "eta": eta, "upsample": upsample,
    }  # fmt: skip
    asked = {name: value for name, value in asked.items() if value is not None}
    Request(prompt, **asked)  # what is not allowed is refused before a model is loaded
    pipeline = load_pipeline(model, device, dtype, allow_pickle=allow_pickle)
    return pipeline(pipeline.request(prompt, **asked), progress)
