"""The pipeline's own part, between models that do next to nothing: what it gives to each of them, and in which order."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff import generate_image
from minidiff.diffusion import samplers
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import karras, uniform
from minidiff.models.clip import TowerOutput
from minidiff.pipelines.request import Request, RequestError
from minidiff.pipelines.text_to_image import TextToImage, to_pil
from minidiff.pretrained.scheduler_config import SchedulerConfig

SHAPE = (2, 4, 4)


class Letters:
    """A tokenizer with one token a letter. `given` lists the texts of each call."""

    max_tokens = 8

    def __init__(self) -> None:
        self.given: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        self.given.append(list(texts))
        longest = max(map(len, texts), default=0) or 1
        ids = torch.tensor([[*map(ord, text), *[0] * (longest - len(text))] for text in texts])
        return ids, ids > 0

    def tokens(self, text: str) -> list[str]:
        return list(text)

    def unknown_words(self, text: str) -> list[str]:
        return []

    def unread(self, text: str) -> str:
        return text[8:]


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, ids: Tensor, mask: Tensor | None) -> TowerOutput:
        sequence = ids[..., None] / 100
        return TowerOutput(sequence, sequence[:, 0])


class Network(nn.Module):
    """Predicts a multiple of x that depends on the caption's first letter, and behind it, like published DiTs, a variance."""

    config = SimpleNamespace(in_channels=SHAPE[0], out_channels=None, sample_size=SHAPE[1])

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.rows: list[int] = []

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        self.rows.append(len(context))
        return torch.cat([x * context[:, :1, :1, None] * self.weight, torch.full_like(x, 1e6)], dim=1)


class Stretch(nn.Module):
    """A VAE whose pixels are the first channel of the latent."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []

    def decode(self, z: Tensor) -> Tensor:
        self.given.append(z)
        return z[:, :1].repeat(1, 3, 1, 1)


def made(**options: Any) -> TextToImage:
    return TextToImage(Letters(), Tower(), Network(), Stretch(), **options)


def noise_of(seed: int, draws: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(SHAPE, generator=generator)[None] for _ in range(draws)]


def latents(pipeline: TextToImage, *arguments: Any, **options: Any) -> list[Tensor]:
    return [x for _, x, _ in pipeline.sample(*arguments, **options)]


# What the pipeline is given, and its defaults


def test_by_default_it_samples_v_on_a_cosine_with_dpmpp_2m_at_uniform_times_one_image_at_a_time() -> None:
    pipeline = made()
    assert pipeline.scheduler == SchedulerConfig(get_schedule("cosine"), "v", "dpmpp_2m", uniform)
    assert (pipeline.prediction_type, pipeline.batch, pipeline.dtype) == ("v", 1, torch.float32)
    assert (pipeline.guidance_scale, pipeline.model, pipeline.model_hash) == (5.0, "unnamed", "")
    assert pipeline.latent_shape == SHAPE and isinstance(pipeline.tokenizer, Letters)


def test_latents_are_taken_as_they_are_unless_a_mean_and_a_deviation_are_given() -> None:
    z = noise_of(0, 1)[0]
    assert_close(made().pixels(z)[0, 0], z[0, 0])


def test_it_works_where_its_network_is() -> None:
    """Tensors on the meta device have no values, but a device, as on an accelerator."""
    pipeline = TextToImage(Letters(), Tower(), Network().to("meta").bfloat16(), Stretch(), dtype=torch.float32)
    assert {tensor.device.type for tensor in (pipeline.latent_mean, pipeline.latent_std)} == {"meta"}
    assert (pipeline.device.type, pipeline.dtype, pipeline.batch) == ("meta", torch.bfloat16, None)
    pipeline._network = lambda *_: lambda x, timestep: x  # type: ignore[method-assign, assignment, misc, return-value]
    guided = (["s", "t"], ["", ""], 3.0, (0.0, 1.0), 0.0)
    assert {state.x.device.type for state in pipeline.run(guided, [1, 2], "euler_a", 2, None)} == {"meta"}


def test_what_it_is_given_is_what_it_has() -> None:
    scheduler = SchedulerConfig(get_schedule("flow"), "flow", "heun", karras)
    assert made(scheduler=scheduler).scheduler is scheduler
    assert made(schedule="flow", prediction_type="x0").scheduler.schedule.name == "flow"
    assert made(schedule="flow", prediction_type="x0").prediction_type == "x0"
    pipeline = made(batch=3, dtype=torch.bfloat16, model="mine", model_hash="abc")
    assert (pipeline.batch, pipeline.dtype, pipeline.model, pipeline.model_hash) == (3, torch.bfloat16, "mine", "abc")


@pytest.mark.parametrize("function", [TextToImage.sample, generate_image], ids=lambda f: f.__name__)
def test_settings_have_the_same_defaults_wherever_they_are_given(function: Any) -> None:
    defaults = {n: p.default for n, p in inspect.signature(function).parameters.items() if p.default is not p.empty}
    shared = {name: value for name, value in defaults.items() if hasattr(Request, name) and value is not None}
    assert "guidance_interval" in shared
    assert {**shared, "sampler": samplers.ALIASES["dpmpp"]} == {
        **{name: getattr(Request, name) for name in shared}, "sampler": "dpmpp_2m"
    }  # fmt: skip


def test_a_request_takes_the_models_own_sampler_and_scale_unless_others_are_named() -> None:
    pipeline = made(scheduler=SchedulerConfig(get_schedule("flow"), "flow", "heun", karras), guidance_scale=2.0, steps=4)
    assert pipeline.request("a", seed=3) == Request("a", sampler="heun", steps=4, guidance_scale=2.0, seed=3)
    given = {"sampler": "ddim", "steps": 9, "guidance_scale": 7.0}
    assert pipeline.request("a", **given) == Request("a", **given)


def test_a_model_may_limit_the_length_of_its_prompts() -> None:
    assert made(max_characters=5).request("abcde").prompt == "abcde"
    for prompt, negative in (("abcdef", ""), ("a", "abcdef")):
        with pytest.raises(RequestError, match="5"):
            made(max_characters=5).request(prompt, negative_prompt=negative)
        with pytest.raises(RequestError, match="5"):
            made(max_characters=5)(Request(prompt, negative_prompt=negative))


def test_prompts_are_expanded_by_the_seed_of_their_image_where_model_and_request_allow_it() -> None:
    def expand(prompt: str, seed: int) -> str:
        return f"{prompt}, {seed}"

    request = Request("star", num_images=2, seed=7)
    assert made(prompt_expander=expand).expanded_prompts(request) == ["star, 7", "star, 8"]
    assert made().expanded_prompts(request) == ["star", "star"]
    off = Request("star", num_images=2, seed=7, expand_prompt=False)
    assert made(prompt_expander=expand).expanded_prompts(off) == ["star", "star"]
    pipeline = made(prompt_expander=expand)
    list(pipeline.stream(Request("s", steps=1, seed=7, negative_prompt="no")))
    assert pipeline.tokenizer.given[-1] == ["s, 7", "no"], "and are what is sampled"


@pytest.mark.parametrize(("prompt", "negative"), [("12345678and more", ""), ("a", "12345678and more")])
def test_a_prompt_that_is_too_long_to_be_read_whole_is_said(prompt: str, negative: str) -> None:
    request = Request(prompt, negative, steps=1)
    assert "'and more'" in made().cut(request) and "8" in made().cut(request)
    assert made().cut(request, "vi") not in ("", made().cut(request))
    with pytest.warns(UserWarning, match="'and more'") as caught:
        made()(request)
    assert [warning.filename for warning in caught] == [__file__], "it points at the caller's line"


def test_nothing_is_said_of_prompts_that_are_read_whole() -> None:
    assert made().cut(Request("12345678", "12345678")) == ""
    assert "'!'" in made(prompt_expander=lambda prompt, seed: f"{prompt}!").cut(Request("12345678"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made()(Request("12345678", "12345678", steps=1))


# Sampling


@pytest.mark.parametrize("sampler", ["euler", "euler_a", "dpmpp_2m_sde", "heun"])
def test_each_image_is_what_its_sampler_makes_of_the_noise_of_its_seed(sampler: str) -> None:
    """The first draw of the seed's generator is x, the next ones are the noise of the steps."""
    pipeline = made()
    schedule = get_schedule("cosine")
    got = latents(pipeline, ["s", "t"], [3, 11], ["", ""], sampler, steps=4, guidance_scale=1.0)
    for row, (letter, seed) in enumerate([("s", 3), ("t", 11)]):
        x, *draws = noise_of(seed, 6)
        model = denoiser(lambda x, t, letter=letter: x * (ord(letter) / 100), schedule, "v")
        states = samplers.run(sampler, model, x, schedule, 4, noise=lambda i, draws=draws: draws[i])
        assert_close([x[row] for x in got], [state.x[0] for state in states])


def test_an_eta_of_its_own_reaches_the_sampler() -> None:
    def end(eta: float | None, sampler: str) -> Tensor:
        return latents(made(), ["s"], [3], [""], sampler, steps=3, eta=eta)[-1]

    assert_close(end(0.0, "euler_a"), end(None, "euler"))
    assert_close(end(1.0, "euler"), end(None, "euler_a"))


def test_a_scheduler_decides_where_noise_begins_and_what_x0_may_be() -> None:
    scheduler = SchedulerConfig(get_schedule("linear"), "v", "euler", karras, clip=0.25, starts_at_sigma=True)
    pipeline = made(scheduler=scheduler)
    given: list[Tensor] = []
    pipeline.network.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    (_, _, x0), *_ = pipeline.sample(["s"], [3], [""], "euler", 3, 1.0)
    first = karras(get_schedule("linear"), 3)[0]
    assert_close(given[0], float(get_schedule("linear").sigma(first)) * noise_of(3, 1)[0])
    assert x0.abs().max() == 0.25


@pytest.mark.parametrize(("batch", "rows"), [(None, [1, 1, 1, 1, 1]), (1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (8, [5])])
def test_images_go_through_the_network_in_batches_and_come_out_in_order(batch: int | None, rows: list[int]) -> None:
    pipeline, prompts, seeds = made(batch=batch), list("abcde"), [5, 4, 3, 2, 1]
    found = list(pipeline.sample(prompts, seeds, [""] * 5, "euler", 2, 1.0))
    assert pipeline.network.rows == rows * 2
    assert [n for n, *_ in found] == [2, 2] and all(x.shape == x0.shape == (5, *SHAPE) for _, x, x0 in found)
    for i in range(5):
        alone = latents(made(), prompts[i : i + 1], seeds[i : i + 1], [""], "euler", 2, 1.0)
        assert_close(found[-1][1][i], alone[-1][0])


@pytest.mark.parametrize(("scale", "texts"), [(1.0, ["s", "t"]), (3.0, ["s", "t", "no", ""]), (0.0, ["s", "t", "no", ""])])
def test_negative_prompts_are_read_after_the_prompts_and_only_when_they_matter(scale: float, texts: list[str]) -> None:
    pipeline = made(batch=2)
    latents(pipeline, ["s", "t"], [1, 2], ["no", ""], "euler", 3, scale)
    assert pipeline.tokenizer.given == [texts], "once for all steps"
    assert set(pipeline.network.rows) == {len(texts)}


def test_guidance_goes_from_the_negative_prompt_beyond_the_prompt() -> None:
    schedule, x, t = get_schedule("cosine"), noise_of(0, 1)[0], torch.tensor(0.5)
    x0, eps = made().denoiser(["s"], ["n"], 3.0)(x, t)
    factor = (ord("n") + 3.0 * (ord("s") - ord("n"))) / 100
    assert_close((x0, eps), denoiser(lambda x, t: factor * x, schedule, "v")(x, t))


def test_outside_its_interval_guidance_leaves_the_prompts_alone() -> None:
    schedule, x, t = get_schedule("cosine"), noise_of(0, 1)[0], torch.tensor(0.5)
    plain = denoiser(lambda x, t: ord("s") / 100 * x, schedule, "v")(x, t)
    assert_close(made().denoiser(["s"], ["n"], 3.0, (0.0, 0.4))(x, t), plain)


# Images


def test_a_fast_decoding_in_float32_is_the_exact_one() -> None:
    z = torch.cat(noise_of(0, 2))
    assert [im.tobytes() for im in made().decode_fast(z)] == [im.tobytes() for im in made().decode(z)]



def test_pixels_are_decoded_from_latents_that_are_no_longer_normalised() -> None:
    pipeline = made(latent_mean=[1.0, 5.0], latent_std=[2.0, 3.0])
    z = noise_of(0, 1)[0]
    assert_close(pipeline.pixels(z)[0, 0], 2 * z[0, 0] + 1)
    assert_close(pipeline.vae.given[0][0, 1], 3 * z[0, 1] + 5)
    assert pipeline.vae.given[0].is_contiguous(memory_format=torch.channels_last), "which convolutions are faster with"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixels_that_are_not_finite_are_refused(value: float) -> None:
    z = torch.zeros(2, *SHAPE)
    z[1, 0, 3, 3] = value
    with pytest.raises(ValueError, match="weights of 'mine' gave numbers that are not finite"):
        made(model="mine").decode(z)


def test_an_image_has_256_levels_from_minus_1_to_1() -> None:
    pixels = torch.tensor([-9.0, -1.0, 0.0, 0.5, 1.0, 9.0]).view(1, 2, 3).repeat(3, 1, 1)
    pixels[1] = -1.0
    image = to_pil(pixels)
    assert image.mode == "RGB" and image.size == (3, 2)
    assert [image.getpixel((x, y)) for y in range(2) for x in range(3)] == [(v, 0, v) for v in (0, 0, 128, 191, 255, 255)]


def test_every_step_is_previewed_and_only_the_last_one_is_decoded() -> None:
    pipeline = made()
    previews = list(pipeline.stream(Request("s", steps=3, num_images=2)))
    assert [(p.index, p.n, p.images is None) for p in previews] == [(1, 3, True), (2, 3, True), (3, 3, False)]
    assert len(pipeline.vae.given) == 2, "one call for each image"
    assert [im.tobytes() for im in previews[-1].images or []] == [im.tobytes() for im in pipeline.decode(previews[-1].latents)]
    assert not any(p.latents.requires_grad for p in previews)


def test_a_call_gives_the_images_of_the_last_step() -> None:
    request = Request("s", steps=3, num_images=2, sampler="euler_a", guidance_scale=2.0, eta=0.5, guidance_rescale=0.5)
    images = made()(request)
    (*_, last) = made().stream(request)
    assert all(isinstance(image, Image.Image) for image in images)
    assert [image.tobytes() for image in images] == [image.tobytes() for image in last.images or []]


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_a_bar_is_shown_when_asked_for_and_else_only_in_a_terminal(
    progress: bool | None, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    made()(Request("s", steps=3), progress=progress)
    said = capsys.readouterr().err
    assert ("/3 [" in said) == ("step/s" in said) == shown
    assert said == "" or said.endswith("\r"), "and is gone afterwards"


def test_no_bar_is_shown_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    made()(Request("s", steps=3))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "heun", "dpmpp_2m", "dpmpp_2m_sde"])
def test_without_clipping_and_rescale_fewer_operations_give_the_same_image(sampler: str) -> None:
    """`run_fused` of the guided prediction against `run` of the guided denoiser, which guidance at all times but 0 takes."""
    fused, plain = (
        [x for _, x, _ in made().sample(["s", "long"], [3, 4], ["n", ""], sampler, 4, 3.0, None, interval)]
        for interval in ((0.0, 1.0), (1e-9, 1.0))
    )
    assert_close(torch.stack(fused), torch.stack(plain), rtol=1e-4, atol=1e-5)
