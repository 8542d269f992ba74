"""From a sentence to images, with tiny random weights."""

from __future__ import annotations

import shutil
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import minidiff
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion.samplers import SAMPLERS
from minidiff.pipelines import loading
from minidiff.pipelines.class_to_image import Pixels, names_of
from minidiff.pipelines.loading import load_pipeline, ready
from minidiff.pipelines.request import Request, RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo

PROMPT = "a big red star"


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def pipeline(request: pytest.FixtureRequest, tiny_zoo: Path) -> TextToImage:
    return load_pipeline(device="cpu", dtype=request.param, root=tiny_zoo)


def pixels(images: list[Image.Image]) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_images_come_out(pipeline: TextToImage) -> None:
    images = pipeline(Request(PROMPT, steps=2, num_images=2))
    assert [(image.mode, image.size) for image in images] == [("RGB", (32, 32))] * 2
    assert images[0].tobytes() != images[1].tobytes()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_seed_same_image_whatever_the_batch(pipeline: TextToImage, sampler: str) -> None:
    together = pixels(pipeline(Request(PROMPT, sampler=sampler, steps=3, seed=7, num_images=3)))
    alone = [pixels(pipeline(Request(PROMPT, sampler=sampler, steps=3, seed=7 + i)))[0] for i in range(3)]
    assert together == alone
    assert len(set(together)) == 3


def test_every_setting_matters(tiny_zoo: Path) -> None:
    pipeline = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    base = {"prompt": PROMPT, "steps": 4, "sampler": "ddim"}
    variants = [
        {}, {"prompt": "a small blue house"}, {"negative_prompt": "at night"}, {"steps": 5}, {"sampler": "dpmpp"},
        {"guidance_scale": 1.0}, {"guidance_scale": 2.0}, {"seed": 43}, {"eta": 1.0}, {"eta": 0.5}, {"sampler": "heun"},
        {"guidance_interval": (0.0, 0.6)}, {"guidance_interval": (0.4, 1.0)}, {"guidance_rescale": 0.7},
    ]  # fmt: skip
    images = [pixels(pipeline(Request(**{**base, **variant})))[0] for variant in variants]  # type: ignore[arg-type]
    assert len(set(images)) == len(images)


def test_eta_0_is_no_noise_and_none_is_the_sampler_s_own(pipeline: TextToImage) -> None:
    def image(sampler: str, eta: float | None = None) -> bytes:
        return pixels(pipeline(Request(PROMPT, sampler=sampler, steps=3, eta=eta)))[0]

    assert image("euler_a", 0) == image("euler") == image("ddim") == image("ddpm", 0.0)
    assert image("euler_a") == image("euler_a", 1.0) == image("ddim", 1.0) != image("euler")


def test_stream_shows_every_step_and_ends_with_the_images(pipeline: TextToImage) -> None:
    previews = list(pipeline.stream(Request(PROMPT, steps=5, num_images=2)))
    assert [(p.index, p.n) for p in previews] == [(i, 5) for i in range(1, 6)]
    assert all(p.latents.shape == p.x0.shape == (2, 4, 4, 4) for p in previews)
    assert all(p.latents.dtype == torch.float32 for p in previews)
    assert [p.images is not None for p in previews] == [False] * 4 + [True]
    torch.testing.assert_close(previews[-1].latents, previews[-1].x0)  # at t = 0 the state is the prediction


def test_first_state_is_the_noise_of_the_seed(pipeline: TextToImage) -> None:
    seen: list[torch.Tensor] = []
    original = pipeline._network

    def listening(*arguments: Any) -> Any:
        network = original(*arguments)
        return lambda x, timestep: (seen.append(x[:1]), network(x, timestep))[1]

    pipeline._network = listening  # type: ignore[method-assign]
    try:
        pipeline(Request(PROMPT, steps=1, seed=3, num_images=2))
    finally:
        del pipeline._network  # type: ignore[attr-defined]
    for x, seed in zip(seen, (3, 4), strict=True):
        expected = torch.randn(pipeline.latent_shape, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(x[0], expected, rtol=0, atol=0)


def test_a_batch_agrees_with_one_by_one(tiny_zoo: Path) -> None:
    one = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    many = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo, batch=8)
    prompts = [PROMPT, "một ngôi sao đỏ lớn ban đêm", "x"]
    latents = [list(p.sample(prompts, [1, 2, 3], [""] * 3, steps=3))[-1][1] for p in (one, many)]
    torch.testing.assert_close(*latents, rtol=1e-3, atol=1e-3)


def test_padding_of_the_text_changes_nothing(tiny_zoo: Path) -> None:
    pipeline = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    alone, _ = pipeline.encode([PROMPT])
    beside, mask = pipeline.encode([PROMPT, "a small blue house at night " * 3])
    assert alone.shape[1] % 8 == beside.shape[1] % 8 == 0
    assert beside.shape[1] > alone.shape[1]
    tokens = int(mask[0].sum())
    torch.testing.assert_close(beside[0, :tokens], alone[0, :tokens], rtol=1e-4, atol=1e-5)


def test_latents_are_scaled_before_decoding(tiny_zoo: Path) -> None:
    pipeline = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    latent = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    config = zoo.load("world-vae", tiny_zoo)[0]
    mean, std = (torch.tensor(config[f"latent_{name}"]).view(1, 4, 1, 1) for name in ("mean", "std"))
    torch.testing.assert_close(pipeline.pixels(latent), pipeline.vae.decode(latent * std + mean), rtol=1e-4, atol=1e-4)


def test_guidance_is_off_outside_its_interval(tiny_zoo: Path) -> None:
    """There the model answers as with scale 1, for its prompts and not for the empty ones."""
    pipe = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    x = torch.randn(2, *pipe.latent_shape, generator=torch.Generator().manual_seed(0))
    prompts, empty, times = [PROMPT, "a small blue house"], ["", ""], torch.tensor([0.7, 0.3])
    plain, guided = ([pipe.denoiser(prompts, empty, scale)(x, t) for t in times] for scale in (1.0, 3.0))
    outside, inside = (pipe.denoiser(prompts, empty, 3.0, (0.0, 0.5))(x, t) for t in times)
    torch.testing.assert_close(outside, plain[0])
    torch.testing.assert_close(inside, guided[1])
    assert not torch.allclose(guided[0][0], plain[0][0])


def test_guidance_rescale_keeps_the_deviation_of_the_conditional_prediction(tiny_zoo: Path) -> None:
    pipe = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    x = torch.randn(2, *pipe.latent_shape, generator=torch.Generator().manual_seed(0))
    t, prompts, empty = torch.tensor(0.7), [PROMPT, "a small blue house"], ["", ""]
    plain, guided = (pipe.denoiser(prompts, empty, scale)(x, t)[0].std((1, 2, 3)) for scale in (1.0, 9.0))
    rescaled = pipe.denoiser(prompts, empty, 9.0, rescale=1.0)(x, t)[0].std((1, 2, 3))
    torch.testing.assert_close(rescaled, plain)
    assert not torch.allclose(guided, plain, rtol=0.01)


def test_a_fast_decoding_is_nearly_exact(pipeline: TextToImage) -> None:
    latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    for quick, exact in zip(pipeline.decode_fast(latents), pipeline.decode(latents), strict=True):
        a, b = (torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).float() for image in (quick, exact))
        assert float((a - b).abs().mean()) < 4


class ColourVAE(nn.Module):
    """Latents to colours by a linear map, dot by dot."""

    def decode(self, z: Tensor) -> Tensor:
        factors = torch.linspace(-0.1, 0.1, 12).view(3, 4)
        return nn.functional.interpolate(torch.einsum("rc,bchw->brhw", factors, z), scale_factor=8) + 0.1


def test_preview_has_the_colours_of_the_image(tiny_zoo: Path) -> None:
    made = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    pipeline = TextToImage(
        made.tokenizer, made.words.tower, made.network, ColourVAE(), latent_mean=[0.1] * 4, latent_std=[1.0, 2.0, 1.0, 0.5]
    )
    latents = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    for small, large in zip(pipeline.preview(latents), pipeline.decode(latents), strict=True):
        assert small.size == (4, 4)
        shown, decoded = (np.asarray(image.resize((4, 4), Image.Resampling.NEAREST), float) for image in (small, large))
        np.testing.assert_allclose(shown, decoded, atol=1)


# Modules that change, or that others use


def image_of(pipeline: TextToImage, prompt: str = PROMPT) -> bytes:
    return pixels(pipeline(Request(prompt, steps=2)))[0]


@pytest.mark.parametrize("name", ["world-dit", "world-unet", "world-pixels"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("through_data", [False, True], ids=["in place", "through .data"])
def test_weights_changed_after_an_image_change_the_next_one(
    whole_zoo: Path, name: str, dtype: str, through_data: bool
) -> None:
    pipeline = load_pipeline(name, device="cpu", dtype=dtype, root=whole_zoo)
    for part in ("network", "text_encoder", "vae"):
        if name == "world-pixels" and part != "network":  # has neither of the others
            continue
        weights = list((pipeline.words.tower if part == "text_encoder" else getattr(pipeline, part)).parameters())
        before, first = [weight.detach().clone() for weight in weights], image_of(pipeline, "star")
        with torch.no_grad():
            for weight in weights:
                (weight.data if through_data else weight).mul_(0.5)
        assert image_of(pipeline, "star") != first, part
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                (weight.data if through_data else weight).copy_(old)
        assert image_of(pipeline, "star") == first, part


class LowRank(nn.Module):
    """A LoRA around a linear layer: layer(x) + up(down(x))."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.down, self.up = nn.Linear(layer.in_features, 2, bias=False), nn.Linear(2, layer.out_features, bias=False)
        generator = torch.Generator().manual_seed(0)
        for part in (self.down, self.up):
            part.weight.data = torch.randn(part.weight.shape, generator=generator) * 0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.up(self.down(x))


def linears(module: nn.Module) -> list[tuple[nn.Module, str, nn.Linear]]:
    """(parent, name, layer) of all linear layers."""
    return [
        (parent, name, layer) for parent in module.modules() for name, layer in parent.named_children()
        if type(layer) is nn.Linear
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["world-dit", "world-unet", "world-pixels"])
def test_a_wrapper_in_place_of_any_linear_layer_is_honoured(whole_zoo: Path, name: str) -> None:
    """Also one that comes after the first image, and its weights, and its removal."""
    pipeline = load_pipeline(name, device="cpu", dtype="float32", root=whole_zoo)

    def latent() -> Tensor:
        return list(pipeline.sample(["star"], [1], [""], steps=2))[-1][1]

    plain = latent()
    for parent, attribute, layer in linears(pipeline.network):
        wrapper = LowRank(layer)
        setattr(parent, attribute, wrapper)
        wrapped = latent()
        assert not torch.allclose(wrapped, plain), (type(parent), attribute)
        with torch.no_grad():
            wrapper.up.weight.zero_()
        torch.testing.assert_close(latent(), plain, rtol=1e-3, atol=1e-3)
        setattr(parent, attribute, layer)
        torch.testing.assert_close(latent(), plain, rtol=0, atol=0)


def test_a_wrapped_layer_gives_what_merged_weights_give(tiny_zoo: Path) -> None:
    wrapped, merged = (load_pipeline(device="cpu", dtype="float32", root=tiny_zoo) for _ in range(2))
    for pipeline in (wrapped, merged):
        image_of(pipeline)
    for (parent, name, layer), (*_, other) in zip(linears(wrapped.network), linears(merged.network), strict=True):
        wrapper = LowRank(layer)
        setattr(parent, name, wrapper)
        with torch.no_grad():
            other.weight += wrapper.up.weight @ wrapper.down.weight
    latents = [list(p.sample([PROMPT], [1], [""], steps=3))[-1][1] for p in (wrapped, merged)]
    torch.testing.assert_close(*latents, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["world-dit", "world-unet", "world-pixels"])
def test_callers_do_not_share_modules(whole_zoo: Path, name: str) -> None:
    mine, yours = (load_pipeline(name, device="cpu", dtype="float32", root=whole_zoo) for _ in range(2))
    before = image_of(yours, "star")
    assert image_of(mine, "star") == before
    for module in (mine.network, mine.words.tower, mine.vae):
        for weight in module.parameters():
            weight.data.zero_()
    assert image_of(yours, "star") == before
    assert image_of(load_pipeline(name, device="cpu", dtype="float32", root=whole_zoo), "star") == before


@pytest.mark.parametrize("name", ["world-dit", "world-unet", "world-pixels"])
def test_a_network_in_training_is_left_as_it_is(whole_zoo: Path, name: str) -> None:
    made = load_pipeline(name, device="cpu", dtype="float32", root=whole_zoo)
    modules = [made.words.tower, made.network, made.vae]
    for module in modules:
        module.train().requires_grad_(True)

    def state() -> list[Any]:
        flags = [part.training for module in modules for part in module.modules()]
        weights = [weight for module in modules for weight in (*module.parameters(), *module.buffers())]
        layouts = [(w.requires_grad, w.dtype, w.device, w.stride(), id(w)) for w in weights]
        return [flags, layouts, [weight.detach().clone() for weight in weights]]

    before = state()
    pipeline = TextToImage(made.tokenizer, *modules, dtype=torch.bfloat16)
    image_of(pipeline, "star")
    after = state()
    assert before[:2] == after[:2]
    for one, other in zip(before[2], after[2], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert all(weight.grad is None for module in modules for weight in module.parameters())
    copy = ready(deepcopy(made.network), "cpu", torch.bfloat16)
    assert {(w.dtype, w.requires_grad) for w in copy.parameters()} == {(torch.bfloat16, False)} and not copy.training
    assert before[:2] == state()[:2]


def test_weights_that_are_not_finite_are_said(tiny_zoo: Path) -> None:
    pipeline = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    pipeline.network.proj_out.weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="'world-dit' gave numbers that are not finite"):
        image_of(pipeline)


# Loading


def test_the_models_of_a_zoo_are_found(tiny_zoo: Path) -> None:
    assert loading.find_model("world-dit", tiny_zoo) == ("world-dit", tiny_zoo)
    assert loading.find_model(tiny_zoo) == ("world-dit", tiny_zoo)  # as the folder of a training run
    assert loading.find_model(tiny_zoo.parent, tiny_zoo) == (str(tiny_zoo.parent), None)
    assert loading.find_model("owner/name", tiny_zoo) == ("owner/name", None)
    assert loading.find_model("world-cat", tiny_zoo) == ("world-cat", tiny_zoo)  # the zoo says what it has


@pytest.mark.parametrize("fastest", [torch.float32, torch.bfloat16])
def test_a_model_computes_in_the_fastest_dtype_unless_one_is_named(
    tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch, fastest: torch.dtype
) -> None:
    monkeypatch.setattr(loading, "fastest_dtype", lambda device: fastest if device == "cpu" else None)
    assert load_pipeline(device="cpu", root=tiny_zoo).dtype == fastest
    for name, dtype in loading.DTYPES.items():
        assert load_pipeline(device="cpu", dtype=name, root=tiny_zoo).dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "world-cat"}, "no weights called 'world-cat'"),
        ({"name": "world-vae"}, "holds no network that makes images; those that do are world-dit"),
        ({"name": "./nowhere"}, "There is no folder ./nowhere"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"dtype": "float8"}, "no dtype 'float8'"),
    ],
)
def test_what_is_not_there_is_said(tiny_zoo: Path, arguments: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load_pipeline(root=tiny_zoo, **arguments)


def test_generate_image(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    images = minidiff.generate_image(prompt=PROMPT, sampler="dpmpp", steps=2, guidance_scale=5.0, seed=42)
    images[0].save(tmp_path / "output.png")
    assert Image.open(tmp_path / "output.png").size == (32, 32)
    guidance = {"guidance_interval": (0.1, 0.9), "guidance_rescale": 0.7}
    settings: dict[str, Any] = {"sampler": "euler_a", "steps": 2, "eta": 0.0, **guidance}
    pipeline = load_pipeline(root=tiny_zoo)
    assert pixels(minidiff.generate_image(PROMPT, **settings)) == pixels(pipeline(pipeline.request(PROMPT, **settings)))
    with pytest.raises(ValueError, match="1 to 100"):
        minidiff.generate_image(prompt=PROMPT, steps=0)
    with pytest.raises(ValueError, match="201 characters and at most 200"):
        minidiff.generate_image(prompt="x" * 201)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = minidiff.nothing


def test_generate_image_keeps_the_last_model_until_its_files_change(
    tmp_path: Path, tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minidiff.pretrained import zoo

    shutil.copytree(tiny_zoo, tmp_path / "zoo")
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "zoo"))
    loads: list[str] = []
    load = loading.load_pipeline
    monkeypatch.setattr(loading, "load_pipeline", lambda name, *a, **k: (loads.append(name), load(name, *a, **k))[1])
    images = [pixels(minidiff.generate_image(PROMPT, steps=1))[0] for _ in range(2)]
    assert images[0] == images[1] and loads == ["world-dit"]
    config, state = zoo.load("world-dit")
    zoo.add("world-dit", {key: value / 2 for key, value in state.items()}, config, dtype=torch.float32)
    assert pixels(minidiff.generate_image(PROMPT, steps=1))[0] != images[0]
    assert loads == ["world-dit"] * 2


def test_a_text_that_is_cut_is_told(tiny_zoo: Path) -> None:
    pipeline = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    most = pipeline.tokenizer.max_tokens
    long = " ".join("zxqjk" for _ in range(most))[:200]
    rest = pipeline.tokenizer.unread(long)
    assert rest and long.endswith(rest)
    says = f"This model reads the first {most} tokens of a text: the end of it was left out, '{rest}'"
    for request in (Request(long, steps=1), Request(PROMPT, long, steps=1)):
        with pytest.warns(UserWarning, match=says):
            pipeline(request)
        assert "token đầu" in pipeline.cut(request, "vi")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline(Request(PROMPT, steps=1))


def test_a_model_has_its_own_sampler_and_guidance_unless_others_are_given(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-unet", device="cpu", root=whole_zoo)
    assert pipeline.request(PROMPT, seed=3) == Request(PROMPT, sampler="dpmpp_2m", guidance_scale=3.0, seed=3)
    assert pipeline.request(PROMPT, sampler="ddim", guidance_scale=1.0) == Request(PROMPT, "", "ddim", guidance_scale=1.0)


def test_a_schedule_that_clips_keeps_x0_within_its_limit(tiny_zoo: Path) -> None:
    made = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    clipping = TextToImage(
        made.tokenizer, made.words.tower, made.network, made.vae, scheduler=replace(made.scheduler, clip=0.25)
    )
    largest = [max(float(p.x0.abs().max()) for p in one.stream(Request(PROMPT, steps=3))) for one in (made, clipping)]
    assert largest[0] > 0.5
    assert largest[1] <= 0.25 + 1e-6


# Other designs than the DiT


@pytest.fixture(scope="module", params=["world-unet", "world-pixels"])
def unet(request: pytest.FixtureRequest, whole_zoo: Path) -> TextToImage:
    return load_pipeline(request.param, device="cpu", dtype="float32", root=whole_zoo)


def test_every_design_makes_images(unet: TextToImage) -> None:
    images = unet(Request("star", steps=2, num_images=2))
    assert [(image.mode, image.size) for image in images] == [("RGB", (32, 32))] * 2
    previews = list(unet.stream(Request("star", steps=2, num_images=2)))
    assert pixels(previews[-1].images or []) == pixels(images)
    assert unet.preview(previews[0].latents)[0].size == unet.latent_shape[1:]
    assert unet.decode_fast(previews[0].x0)[0].size == (32, 32)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_a"])
def test_same_seed_same_image_for_every_design(unet: TextToImage, sampler: str) -> None:
    together = pixels(unet(Request("star", sampler=sampler, steps=3, seed=7, num_images=2)))
    alone = [pixels(unet(Request("star", sampler=sampler, steps=3, seed=7 + i)))[0] for i in range(2)]
    assert together == alone


def test_every_design_follows_prompt_negative_prompt_and_guidance(unet: TextToImage) -> None:
    variants: list[dict[str, Any]] = [
        {}, {"prompt": "cat"}, {"negative_prompt": "cat"}, {"guidance_scale": 1.0}, {"guidance_scale": 2.0}
    ]
    images = [pixels(unet(Request(**{"prompt": "star", "steps": 3, **variant})))[0] for variant in variants]
    assert len(set(images)) == len(images)


def test_a_class_has_many_names(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-pixels", device="cpu", dtype="float32", root=whole_zoo)
    names = ["star", "a star", "Stars", "ngôi sao", "một ngôi sao", "ngoi sao", "mot ngoi sao!"]
    images = {pixels(pipeline(Request(name, steps=2)))[0] for name in names}
    assert len(images) == 1
    assert images != {pixels(pipeline(Request("a cat", steps=2)))[0]}
    assert pipeline.tokenizer.tokens("một ngôi sao") == ["star"]
    assert pipeline.tokenizer.unknown_words("một ngôi sao") == []
    assert pipeline.tokenizer.unknown_words("a red star") == ["a", "red", "star"]


def test_a_class_reaches_the_network_as_its_label_and_no_words_as_no_class(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-pixels", device="cpu", dtype="float32", root=whole_zoo)
    vectors, mask = pipeline.encode(["a cat", ""])
    assert vectors.argmax(-1).tolist() == [[list(SHAPES).index("cat")], [len(SHAPES)]]
    x, t = torch.randn(2, *pipeline.latent_shape), torch.tensor([300.0])
    both = pipeline.fast_network(x, t, pipeline.fast_network.prepare_context(vectors.repeat_interleave(2, 0), mask))
    unet = pipeline.network.unet
    alone = [unet(x, t, labels=torch.tensor([label, label])) for label in (list(SHAPES).index("cat"), len(SHAPES))]
    torch.testing.assert_close(both, torch.cat(alone))  # both images with the first label, then both with the second
    plain = torch.cat([pipeline.network(x, t, vectors[[row, row]]) for row in range(2)])
    torch.testing.assert_close(plain, torch.cat(alone), rtol=0, atol=0)


def test_what_names_no_class_is_refused_with_those_there_are(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-pixels", device="cpu", dtype="float32", root=whole_zoo)
    for text in ("a red star", "dragon", "một"):
        with pytest.raises(RequestError, match=r"names none: choose one of circle \(hình tròn\), .*umbrella") as refusal:
            pipeline(Request(text, steps=1))
        assert "hãy chọn một trong" in refusal.value.text("vi")


def test_no_two_classes_share_a_name() -> None:
    names = [name for label in SHAPES for name in names_of(label)]
    assert len(names) == len(set(names))


def test_pixels_are_shown_larger_and_read_back(whole_zoo: Path) -> None:
    x = torch.randn(2, 3, 8, 8)
    shown = Pixels(4).decode(x)
    assert shown.shape == (2, 3, 32, 32)
    torch.testing.assert_close(shown[:, :, ::4, 3::4], x)
    torch.testing.assert_close(Pixels(4).encode(shown)[0], x)
