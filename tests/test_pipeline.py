"""From a sentence to pictures, with tiny random weights: the plumbing, not the art."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import minidiff
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion import guidance
from minidiff.diffusion.samplers import SAMPLERS
from minidiff.pipelines.class_to_image import Pixels, names_of
from minidiff.pipelines.png_metadata import each, png_info, read_png, save_images
from minidiff.pipelines.request import Request, RequestError
from minidiff.pipelines.text_to_image import TextToImage, load_pipeline
from minidiff.pretrained import zoo
from minidiff.utils.devices import fastest_dtype

PROMPT = "a big red star"


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def pipeline(request: pytest.FixtureRequest, tiny_zoo: Path) -> TextToImage:
    return load_pipeline(device="cpu", dtype=request.param, root=tiny_zoo)


def pixels(images: list[Image.Image]) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_pictures_come_out(pipeline: TextToImage) -> None:
    images = pipeline(Request(PROMPT, steps=2, num_images=2))
    assert [(image.mode, image.size) for image in images] == [("RGB", (32, 32))] * 2
    assert images[0].tobytes() != images[1].tobytes()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_seed_same_picture_whatever_the_batch(pipeline: TextToImage, sampler: str) -> None:
    together = pixels(pipeline(Request(PROMPT, sampler=sampler, steps=3, seed=7, num_images=3)))
    alone = [pixels(pipeline(Request(PROMPT, sampler=sampler, steps=3, seed=7 + i)))[0] for i in range(3)]
    assert together == alone
    assert len(set(together)) == 3


def test_everything_asked_for_matters(tiny_zoo: Path) -> None:
    pipeline = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    base = {"prompt": PROMPT, "steps": 4, "sampler": "ddim"}
    variants = [
        {}, {"prompt": "a small blue house"}, {"negative_prompt": "at night"}, {"steps": 5}, {"sampler": "dpmpp"},
        {"guidance_scale": 1.0}, {"guidance_scale": 2.0}, {"seed": 43}, {"eta": 1.0}, {"sampler": "heun"},
    ]
    drawn = [pixels(pipeline(Request(**{**base, **variant})))[0] for variant in variants]  # type: ignore[arg-type]
    assert len(set(drawn)) == len(drawn)


def test_stream_shows_every_step_and_ends_with_the_pictures(pipeline: TextToImage) -> None:
    previews = list(pipeline.stream(Request(PROMPT, steps=5, num_images=2)))
    assert [(p.index, p.n) for p in previews] == [(i, 5) for i in range(1, 6)]
    assert all(p.latents.shape == p.x0.shape == (2, 4, 4, 4) for p in previews)
    assert all(p.latents.dtype == torch.float32 for p in previews)
    assert [p.images is not None for p in previews] == [False] * 4 + [True]
    torch.testing.assert_close(previews[-1].latents, previews[-1].x0)  # at t = 0 the state is the prediction


def test_first_state_is_the_noise_of_the_seed(pipeline: TextToImage) -> None:
    seen: list[torch.Tensor] = []
    original = pipeline.denoiser
    pipeline.denoiser = lambda *a: lambda x, t: (seen.append(x), original(*a)(x, t))[1]  # type: ignore[method-assign,assignment]
    try:
        pipeline(Request(PROMPT, steps=1, seed=3, num_images=2))
    finally:
        del pipeline.denoiser  # type: ignore[attr-defined]
    for x, seed in zip(seen, (3, 4), strict=True):
        expected = torch.randn(pipeline.latent_shape, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(x[0], expected, rtol=0, atol=0)


def test_batched_drawing_agrees_with_one_by_one(tiny_zoo: Path) -> None:
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


def test_guidance_may_be_kept_to_an_interval(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of it a guided pipeline answers as with scale 1: for its prompts, not for the empty ones."""
    pipe = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    x = torch.randn(2, *pipe.latent_shape, generator=torch.Generator().manual_seed(0))
    prompts, empty = [PROMPT, "a small blue house"], ["", ""]
    plain, guided = (pipe.denoiser(prompts, empty, scale)(x, torch.tensor(0.7)) for scale in (1.0, 3.0))
    monkeypatch.setattr("minidiff.diffusion.guidance.cfg", partial(guidance.cfg, interval=(0.0, 0.5)))
    denoiser = pipe.denoiser(prompts, empty, 3.0)
    torch.testing.assert_close(denoiser(x, torch.tensor(0.7)), plain)
    assert not torch.allclose(guided[0], plain[0])
    assert denoiser(x, torch.tensor(0.3))[0].shape == x.shape


def test_a_glimpse_is_nearly_the_picture(pipeline: TextToImage) -> None:
    latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    for quick, exact in zip(pipeline.decode_fast(latents), pipeline.decode(latents), strict=True):
        a, b = (torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).float() for image in (quick, exact))
        assert float((a - b).abs().mean()) < 4


def test_preview_follows_the_colours_of_the_picture(tiny_zoo: Path) -> None:
    """The linear map explains what the VAE makes of flat latents better than a constant does."""
    pipeline = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    flat = torch.randn(64, 4, 1, 1, generator=torch.Generator().manual_seed(1)).expand(-1, -1, 4, 4)
    shown = torch.stack([torch.tensor(np.asarray(image)).float().mean((0, 1)) for image in pipeline.preview(flat)])
    drawn = pipeline.pixels(flat).clamp(-1, 1).mean((2, 3)) * 127.5 + 127.5
    assert pipeline.preview(flat)[0].size == (4, 4)
    assert float((shown - drawn).square().mean()) < float((drawn - drawn.mean(0)).square().mean())


def test_pipelines_are_kept(tiny_zoo: Path) -> None:
    assert load_pipeline(root=tiny_zoo) is load_pipeline("world-dit", root=tiny_zoo)
    assert fastest_dtype("cpu") in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "world-cat"}, "no weights called 'world-cat'"),
        ({"name": "world-vae"}, "holds no network that draws; those that do are world-dit"),
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
    with pytest.raises(ValueError, match="1 to 100"):
        minidiff.generate_image(prompt=PROMPT, steps=0)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = minidiff.nothing


def test_a_model_is_asked_with_its_own_sampler_and_guidance_unless_others_are_given(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-unet", device="cpu", root=whole_zoo)
    assert pipeline.request(PROMPT, seed=3) == Request(PROMPT, sampler="dpmpp_2m", guidance_scale=3.0, seed=3)
    assert pipeline.request(PROMPT, sampler="ddim", guidance_scale=1.0) == Request(PROMPT, "", "ddim", guidance_scale=1.0)


def test_a_schedule_that_clips_keeps_x0_within_its_limit(tiny_zoo: Path) -> None:
    made = load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)
    clipping = TextToImage(
        made.tokenizer, made.words.tower, made.network, made.vae, schedule=replace(made.schedule, clip=0.25)
    )
    largest = [max(float(p.x0.abs().max()) for p in one.stream(Request(PROMPT, steps=3))) for one in (made, clipping)]
    assert largest[0] > 0.5
    assert largest[1] <= 0.25 + 1e-6


# Other designs than the DiT


@pytest.fixture(scope="module", params=["world-unet", "world-pixels"])
def unet(request: pytest.FixtureRequest, whole_zoo: Path) -> TextToImage:
    return load_pipeline(request.param, device="cpu", dtype="float32", root=whole_zoo)


def test_every_design_draws(unet: TextToImage) -> None:
    images = unet(Request("star", steps=2, num_images=2))
    assert [(image.mode, image.size) for image in images] == [("RGB", (32, 32))] * 2
    previews = list(unet.stream(Request("star", steps=2, num_images=2)))
    assert pixels(previews[-1].images or []) == pixels(images)
    assert unet.preview(previews[0].latents)[0].size == unet.latent_shape[1:]
    assert unet.decode_fast(previews[0].x0)[0].size == (32, 32)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_a"])
def test_same_seed_same_picture_for_every_design(unet: TextToImage, sampler: str) -> None:
    together = pixels(unet(Request("star", sampler=sampler, steps=3, seed=7, num_images=2)))
    alone = [pixels(unet(Request("star", sampler=sampler, steps=3, seed=7 + i)))[0] for i in range(2)]
    assert together == alone


def test_every_design_follows_prompt_negative_prompt_and_guidance(unet: TextToImage) -> None:
    variants: list[dict[str, Any]] = [
        {}, {"prompt": "cat"}, {"negative_prompt": "cat"}, {"guidance_scale": 1.0}, {"guidance_scale": 2.0}
    ]
    drawn = [pixels(unet(Request(**{"prompt": "star", "steps": 3, **variant})))[0] for variant in variants]
    assert len(set(drawn)) == len(drawn)


def test_a_kind_is_asked_for_by_any_of_its_names(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-pixels", device="cpu", dtype="float32", root=whole_zoo)
    names = ["star", "a star", "Stars", "ngôi sao", "một ngôi sao", "ngoi sao", "mot ngoi sao!"]
    drawn = {pixels(pipeline(Request(name, steps=2)))[0] for name in names}
    assert len(drawn) == 1
    assert drawn != {pixels(pipeline(Request("a cat", steps=2)))[0]}
    assert pipeline.tokenizer.tokens("một ngôi sao") == ["star"]
    assert pipeline.tokenizer.unknown_words("một ngôi sao") == []
    assert pipeline.tokenizer.unknown_words("a red star") == ["a", "red", "star"]


def test_a_kind_reaches_the_network_as_its_label_and_no_words_as_no_kind(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-pixels", device="cpu", dtype="float32", root=whole_zoo)
    vectors, mask = pipeline.encode(["a cat", ""])
    assert vectors.argmax(-1).tolist() == [[list(SHAPES).index("cat")], [len(SHAPES)]]
    x, t = torch.randn(2, *pipeline.latent_shape), torch.tensor([300.0])
    both = pipeline.network(x, t, pipeline.network.prepare_context(vectors.repeat_interleave(2, 0), mask))
    unet = pipeline.network.unet
    alone = [unet(x, t, labels=torch.tensor([label, label])) for label in (list(SHAPES).index("cat"), len(SHAPES))]
    torch.testing.assert_close(both, torch.cat(alone))  # both pictures with the first label, then both with the second


def test_what_is_no_kind_is_refused_with_those_there_are(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-pixels", device="cpu", dtype="float32", root=whole_zoo)
    for text in ("a red star", "dragon", "một"):
        with pytest.raises(RequestError, match=r"names none: choose one of circle \(hình tròn\), .*umbrella") as refusal:
            pipeline(Request(text, steps=1))
        assert "hãy chọn một trong" in refusal.value.text("vi")


def test_no_two_kinds_share_a_name() -> None:
    names = [name for kind in SHAPES for name in names_of(kind)]
    assert len(names) == len(set(names))


def test_pixels_are_shown_larger_and_read_back(whole_zoo: Path) -> None:
    x = torch.randn(2, 3, 8, 8)
    shown = Pixels(4).decode(x)
    assert shown.shape == (2, 3, 32, 32)
    torch.testing.assert_close(shown[:, :, ::4, 3::4], x)
    torch.testing.assert_close(Pixels(4).encode(shown)[0], x)


REQUEST = Request("một ngôi sao đỏ, \"to\"", "nhà", "euler_a", 15, 3.5, 2**31 - 1, 2)


def test_png_carries_how_it_was_made(tmp_path: Path) -> None:
    images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    expanded_prompt = [REQUEST.prompt, 'một ngôi sao đỏ, "to", ở giữa']
    saved = save_images(images, tmp_path / "star.png", REQUEST, "world-dit", "abc123" * 10, expanded_prompt)
    assert [path.name for path in saved] == ["star-1.png", "star-2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["star-1.png", "star-2.png"]
    lines = Image.open(saved[0]).info["parameters"].split("\n")
    assert lines[0] == 'một ngôi sao đỏ, "to"'
    assert lines[1] == "Negative prompt: nhà"
    assert lines[2].startswith("Steps: 15, Sampler: Euler ancestral, CFG scale: 3.5, Seed: 2147483647, Size: 32x32")
    assert "Model hash: abc123abc1, Model: world-dit" in lines[2]
    assert "Drawn as" not in lines[2]
    assert 'Drawn as: "một ngôi sao đỏ, \\"to\\", ở giữa"' in Image.open(saved[1]).info["parameters"]
    read = [read_png(path) for path in saved]
    assert [one["expanded_prompt"] for one in read] == expanded_prompt
    fields = Request.__dataclass_fields__
    assert [Request(**{k: v for k, v in one.items() if k in fields}) for one in read] == each(REQUEST)
    assert [one["seed"] for one in read] == [2**31 - 1, 0]
    assert {"model", "model_hash", "version", "sampler", "grid"} <= set(read[0])


def test_one_picture_keeps_its_name(tmp_path: Path) -> None:
    assert save_images([Image.new("RGB", (8, 8))], tmp_path / "a.png", Request("x")) == [tmp_path / "a.png"]


def png(size: tuple[int, int] = (8, 8), **texts: str) -> io.BytesIO:
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    for key, value in texts.items():
        info.add_itxt(key, value)
    Image.new("1", size).save(file, "PNG", pnginfo=info)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (io.BytesIO(b"GIF89a" + bytes(100)), "not a PNG"),
        (io.BytesIO(b""), "not a PNG"),
        (png(), "does not say how it was made"),
        (png(minidiff="{"), "does not say"),
        (png(minidiff="[" * 50_000), "does not say"),
        (png(minidiff="[1]"), "does not say"),
        (png((5000, 5000), minidiff="{}"), "not a PNG picture that can be read|5000 x 5000 pixels; at most 2048"),
        (png((13_000, 13_000), minidiff="{}"), "not a PNG picture that can be read|at most 2048"),
    ],
    ids=["gif", "empty", "plain", "half", "deep", "list", "large", "bomb"],
)
def test_strange_files_are_refused(file: io.BytesIO, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_png(file)


def test_png_info_is_json() -> None:
    texts = dict(data.split(b"\0\0\0\0\0") for _, data, *_ in png_info(REQUEST).chunks)
    assert json.loads(texts[b"minidiff"])["prompt"] == REQUEST.prompt
