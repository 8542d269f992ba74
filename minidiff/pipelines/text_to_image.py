"""Text to image: words to vectors, noise to a latent along a sampler's timesteps, the latent to pixels.

`TextToImage` joins any tokenizer, text encoder, network and VAE that keep to a small contract. They are loaded in
`loading.py`; the step is in `diffusion/samplers.py`, the settings are in `request.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from minidiff.diffusion import guidance, samplers
from minidiff.diffusion.prediction import Denoiser, denoiser
from minidiff.diffusion.schedules import NoiseSchedule, get_schedule
from minidiff.diffusion.timesteps import uniform
from minidiff.inference import prepare
from minidiff.inference.fused_sampling import Network, run_fused
from minidiff.inference.latent_preview import LatentPreview
from minidiff.pipelines.messages import say
from minidiff.pipelines.request import Request, RequestError, check_length
from minidiff.pretrained.configs import latent_channels
from minidiff.pretrained.scheduler_config import SchedulerConfig
from minidiff.text.encoders import AnyTokenizer, WordEncoder

ALWAYS = (0.0, 1.0)  # guide at all times
Guided = tuple[Sequence[str], Sequence[str], float, tuple[float, float], float]  # the arguments of `TextToImage.denoiser`
Go = Callable[[Tensor, Tensor], Iterator[samplers.State]]  # (x (B, C, h, w), falling times, x at the first) -> the steps
# Where sampling begins, what it passes through, and what is changed on the way: a function of the sampler, of fresh noise
# (B, C, h, w), and of all times of the request. Plain text to image begins with noise at the first of them.
Route = Callable[[Go, samplers.Noise, Tensor], Iterator[samplers.State]]


@dataclass(frozen=True)
class Preview:
    """The state after a step.

    index: steps done, 1..n. latents: x_t after that step, (B, C, h, w). x0: the prediction it used, same shape.
    images: None, except after the last step.
    """

    index: int
    n: int
    latents: Tensor
    x0: Tensor
    images: list[Image.Image] | None = None


class TextToImage:
    """The models, and how one feeds the next.

    The modules are used as they are: never moved, cast, frozen or switched to another mode, so the caller puts them on one
    device and calls `eval()`. Whatever is changed in them later, weights or whole layers, holds from the next image on.

    Args:
        tokenizer: cuts texts into ids; see `encoders.AnyTokenizer`.
        text_encoder: module (ids, mask) -> TowerOutput.
        network: a DiT, a UNet, or any module with their `config` and forward(x, timestep, context, mask).
        vae: anything with the `encode` and `decode` of `models/vae.py`.
        schedule, prediction_type: how the network was trained; names of `SCHEDULES` and `PREDICTION_TYPES`.
        scheduler: how a published network is sampled, in place of these two.
        picture_schedule: how noisy the small picture is that a published upscaler is shown; None: the network is none.
        latent_mean, latent_std: one number per latent channel; the network sees (latent - mean) / std.
        dtype: what the network's matrix products compute in on a CPU, where its weights are float32; None: float32.
            Elsewhere they compute in the type of its weights. Latents between steps are always float32.
        batch: images per call of the network; None: 1 on a CPU, all at once elsewhere. With 1, an image is the same to
            the last bit whatever else is sampled with it: a matrix product may round otherwise when it has more rows.
        guidance_scale, steps: the best ones for this model.
        prompt_expander: (prompt, seed) -> a prompt that says more, see `data/world/prompt_expansion.py`.
        unknown_words: a prompt's words that mean nothing to the model; by default those that its tokenizer hasn't seen.
        max_characters: longer prompts are refused; None: only the tokenizer limits them.
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
        picture_schedule: NoiseSchedule | None = None,
        latent_mean: Sequence[float] = (0.0,),
        latent_std: Sequence[float] = (1.0,),
        dtype: torch.dtype | None = None,
        batch: int | None = None,
        guidance_scale: float = 5.0,
        steps: int = 20,
        prompt_expander: Callable[[str, int], str] | None = None,
        unknown_words: Callable[[str], list[str]] | None = None,
        max_characters: int | None = None,
        model: str = "unnamed",
        model_hash: str = "",
    ) -> None:
        weight = next(network.parameters())
        self.device = weight.device
        self.dtype = (dtype or torch.float32) if self.device.type == "cpu" else weight.dtype
        self.words, self.network, self.vae = WordEncoder(tokenizer, text_encoder), network, vae
        self.fast_network = prepare(network, self.dtype)  # the same predictions, sooner
        self.scheduler = scheduler or SchedulerConfig(get_schedule(schedule), prediction_type, "dpmpp_2m", uniform)
        self.picture_schedule = picture_schedule
        self.latent_size: tuple[int, int] = (network.config.sample_size,) * 2  # height and width
        self.latent_mean = torch.tensor(latent_mean, device=self.device).view(1, -1, 1, 1)
        self.latent_std = torch.tensor(latent_std, device=self.device).view(1, -1, 1, 1)
        self.batch = batch or (1 if self.device.type == "cpu" else None)
        self.guidance_scale, self.steps = guidance_scale, steps
        self.prompt_expander, self.max_characters = prompt_expander, max_characters
        self.unknown_words = unknown_words or tokenizer.unknown_words
        self.model, self.model_hash = model, model_hash

    def with_modules(
        self, network: nn.Module | None = None, vae: nn.Module | None = None, text_encoder: nn.Module | None = None
    ) -> TextToImage:
        """A pipeline with these modules in the places of its own; it shares all else with this one, which stays as it is."""
        made = copy(self)
        if network is not None:
            made.network, made.fast_network = network, prepare(network, self.dtype)
        if vae is not None:
            made.vae = vae
        if text_encoder is not None:
            made.words = WordEncoder(self.tokenizer, text_encoder)
        preview = LatentPreview(made.pixels, self.latent_shape, self.device, self.dtype)
        if "latent_rgb_factors" in (known := vars(self._preview)):  # colours that are rough anyway
            vars(preview)["latent_rgb_factors"] = known["latent_rgb_factors"]
        vars(made)["_preview"] = preview
        return made

    @property
    def tokenizer(self) -> AnyTokenizer:
        return self.words.tokenizer

    @property
    def prediction_type(self) -> str:
        """What the network predicts, a name in `PREDICTION_TYPES`."""
        return self.scheduler.prediction_type

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one latent. A network that inpaints or upscales is given more channels than it predicts."""
        return latent_channels(self.network.config), *self.latent_size

    @property
    def inpaints(self) -> bool:
        """Whether the network wants a mask and the masked picture beside the latent, and does nothing without them."""
        return self.network.config.in_channels > self.latent_shape[0] and not self.upscales

    @property
    def upscales(self) -> bool:
        """Whether the network wants a small picture beside the latent, and does nothing without it."""
        return self.picture_schedule is not None

    def check_draws(self) -> None:
        """Raises RequestError for a network that wants more beside the latent than a prompt."""
        for what in ("inpaints", "upscales"):
            if getattr(self, what):
                raise RequestError(f"model_{what}", model=self.model)

    @cached_property
    def image_size(self) -> int:
        """Height and width of an image, in pixels."""
        channels, side, _ = self.latent_shape
        return side * self.pixels(torch.zeros(1, channels, 1, 1, device=self.device)).shape[-1]

    # ---------------------------------------------------------------------------------------------------- from a request

    @property
    def own_settings(self) -> dict[str, Any]:
        """How this model draws unless somebody asks for another sampler, other steps or another guidance scale."""
        return {"sampler": self.scheduler.sampler, "steps": self.steps, "guidance_scale": self.guidance_scale}

    def request(self, prompt: str, **settings: Any) -> Request:
        """A request with this model's own settings, unless `settings` are others."""
        request = Request(prompt, **{**self.own_settings, **settings})
        check_length(request, self.max_characters)
        return request

    def expanded_prompts(self, request: Request) -> list[str]:
        """The prompt of each image: the request's, expanded by the image's own seed where request and model allow it."""
        expand = self.prompt_expander if request.expand_prompt else None
        return [expand(request.prompt, seed) if expand else request.prompt for seed in request.seeds]

    def cut(self, request: Request, lang: str = "en") -> str:
        """A sentence, if the text encoder has no room for the end of a prompt or of the negative prompt; else empty."""
        texts = [*self.expanded_prompts(request), request.negative_prompt]
        rest = next((rest for text in texts if (rest := self.tokenizer.unread(text))), "")
        return say("prompt_cut", lang, given=repr(rest), most=self.tokenizer.max_tokens) if rest else ""

    @torch.inference_mode()
    def stream(self, request: Request, route: Route | None = None) -> Iterator[Preview]:
        """Samples, and yields a Preview after every step; the last one holds the images. route: for edits, see `Route`."""
        check_length(request, self.max_characters)
        prompts = self.expanded_prompts(request)
        states = self.sample(
            prompts, request.seeds, [request.negative_prompt] * len(prompts), request.sampler, request.steps,
            request.guidance_scale, request.eta, request.guidance_interval, request.guidance_rescale, route,
        )  # fmt: skip
        for index, (n, x, x0) in enumerate(states, start=1):
            yield Preview(index, n, x, x0, self.decode(x) if index == n else None)

    def __call__(self, request: Request, progress: bool | None = False) -> list[Image.Image]:
        """Samples to the end. Warns when a prompt is too long to be read whole, see `cut`.

        progress: True shows a bar on stderr, None only if that is a terminal.
        """
        if sentence := self.cut(request):
            warnings.warn(sentence, stacklevel=2)
        return finish(self.stream(request), progress)

    # ---------------------------------------------------------------------------------------------------------- sampling

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Prompts to the network's context: vectors (B, L, D) and mask (B, L), True where a token is."""
        return self.words.encode(prompts)

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        negative_prompts: Sequence[str],
        sampler: str = "dpmpp_2m",
        steps: int = 20,
        guidance_scale: float = 5.0,
        eta: float | None = None,
        guidance_interval: tuple[float, float] = ALWAYS,
        guidance_rescale: float = 0.0,
        route: Route | None = None,
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Latents of many prompts at once, each from its own seed. Settings as in `Request`.

        Yields (n, x, x0) after each of n steps: x and x0 are (B, C, h, w), normalised as the network sees them.
        """
        if route is None:
            self.check_draws()
        size = self.batch or len(prompts)
        groups = [slice(i, i + size) for i in range(0, len(prompts), size)]
        runs = []
        for g in groups:
            guided = (prompts[g], negative_prompts[g], guidance_scale, guidance_interval, guidance_rescale)
            runs.append(self.run(guided, seeds[g], sampler, steps, eta, route))
        for states in zip(*runs, strict=True):  # all groups advance together, so that previews show every image
            yield states[0].n, torch.cat([s.x for s in states]), torch.cat([s.x0 for s in states])

    def run(
        self, guided: Guided, seeds: Sequence[int], sampler: str, steps: int, eta: float | None, route: Route | None = None
    ) -> Iterator[samplers.State]:
        """The states of one group of images. The noise is made on the CPU: no device or batch changes an image."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def noise(_: int = 0) -> Tensor:
            return torch.stack([torch.randn(self.latent_shape, generator=g) for g in generators]).to(self.device)

        schedule, kind = self.scheduler.schedule, self.prediction_type
        prompts, negative_prompts, scale, interval, rescale = guided
        if self.scheduler.clip is None and interval == ALWAYS and not rescale:  # then a step needs no x0 before it is made
            network = self._guided_network(prompts, negative_prompts, scale)

            def go(x: Tensor, timesteps: Tensor) -> Iterator[samplers.State]:
                n = len(timesteps) - 1
                return run_fused(sampler, network, x, schedule, kind, n, noise=noise, eta=eta, timesteps=timesteps)

        else:
            model = self.denoiser(*guided)

            def go(x: Tensor, timesteps: Tensor) -> Iterator[samplers.State]:
                n = len(timesteps) - 1
                return samplers.run(sampler, model, x, schedule, n, noise=noise, eta=eta, timesteps=timesteps)

        timesteps = self.scheduler.timesteps(schedule, steps)
        return route(go, noise, timesteps) if route else go(self.scheduler.start(noise(), timesteps), timesteps)

    def denoiser(
        self,
        prompts: Sequence[str],
        negative_prompts: Sequence[str],
        scale: float,
        interval: tuple[float, float] = ALWAYS,
        rescale: float = 0.0,
    ) -> Denoiser:
        """(x, t) -> (x0, eps), guided, for B prompts and their B negative ones. The text is encoded here, once."""
        schedule, clip = self.scheduler.schedule, self.scheduler.clip
        model = denoiser(self._network(prompts, negative_prompts, scale, interval), schedule, self.prediction_type)
        guided = guidance.cfg(model, scale, interval=interval, rescale=rescale, schedule=schedule)
        return guided if clip is None else guidance.clip_x0(guided, schedule, clip)

    def _guided_network(self, prompts: Sequence[str], negative_prompts: Sequence[str], scale: float) -> Network:
        """(x (B, ...), timestep) -> the guided prediction. Every type of prediction is combined as x0 and eps are."""
        network = self._network(prompts, negative_prompts, scale)
        if scale == 1:
            return network

        def guided(x: Tensor, timestep: Tensor) -> Tensor:
            conditional, unconditional = network(torch.cat([x, x]), timestep).chunk(2)
            return guidance.combine(conditional, unconditional, scale)

        return guided

    def _network(
        self, prompts: Sequence[str], negative_prompts: Sequence[str], scale: float, interval: tuple[float, float] = ALWAYS
    ) -> Network:
        """(x, timestep) -> prediction, for x (2 B, ...) with the negative prompts behind the prompts, or without them."""
        vectors, mask = self.encode([*prompts, *negative_prompts] if scale != 1 else list(prompts))
        fast, count = self.fast_network, len(prompts)
        contexts = {len(vectors): fast.prepare_context(vectors, mask)}
        if scale != 1 and interval != ALWAYS:  # outside of the interval only the prompts count
            contexts[count] = fast.prepare_context(vectors[:count], mask[:count])

        def network(x: Tensor, timestep: Tensor) -> Tensor:
            # `cfg` gives each latent twice; the network takes it once, with two captions
            prediction = fast(x[:count], timestep[:1], contexts[len(x)])
            return prediction[:, : x.shape[1]]  # published DiTs also predict the variance, which no sampler wants

        return network

    # ------------------------------------------------------------------------------------------- pixels to latents and back

    @torch.inference_mode()
    def latents(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in -1..1 to normalised latents (B, C, h, w): the mean of the VAE's Gaussian, which is so narrow
        that a sample of it would only add chance."""
        mean, _ = self.vae.encode(pixels.to(self.device).contiguous(memory_format=torch.channels_last))
        return (mean.float() - self.latent_mean) / self.latent_std

    @torch.inference_mode()
    def pixels(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, C, h, w) to pixels (B, 3, H, W), about -1..1."""
        z = latents * self.latent_std + self.latent_mean
        return self.vae.decode(z.contiguous(memory_format=torch.channels_last)).float()

    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Normalised latents (B, C, h, w) to images, one by one for the same reason as `batch`.

        Raises ValueError when the pixels are not finite, as damaged weights can make them.
        """
        images = [self.pixels(latent[None])[0] for latent in latents]
        if not all(bool(image.isfinite().all()) for image in images):
            raise ValueError(f"The weights of {self.model!r} gave numbers that are not finite: fetch or train them again.")
        return [to_pil(image) for image in images]

    @cached_property
    def _preview(self) -> LatentPreview:
        return LatentPreview(self.pixels, self.latent_shape, self.device, self.dtype)

    def decode_fast(self, latents: Tensor) -> list[Image.Image]:
        """Like `decode`, in the network's dtype: sooner, and a shade less exact. To watch, not to keep."""
        return [to_pil(self._preview.decode(latent[None])[0]) for latent in latents]

    def preview(self, latents: Tensor) -> list[Image.Image]:
        """Normalised latents (B, C, h, w) as images of h x w rough colours, at once: noise stays visible as noise."""
        return [to_pil(one) for one in self._preview.rough(latents)]


def finish(previews: Iterator[Preview], progress: bool | None = False) -> list[Image.Image]:
    """Samples to the end, and returns the last preview's images. progress: as for `TextToImage.__call__`."""
    images: list[Image.Image] = []
    with tqdm(unit="step", disable=None if progress is None else not progress, leave=False) as bar:
        for preview in previews:
            if bar.total is None:
                bar.reset(total=preview.n)
            bar.update()
            images = preview.images or []
    return images


def to_pil(pixels: Tensor) -> Image.Image:
    """(3, H, W) in -1..1 to an image."""
    array = (pixels.float().clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(1, 2, 0).cpu().contiguous()
    return Image.fromarray(array.numpy())
