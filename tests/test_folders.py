"""Published pipelines in our modules draw what diffusers draws, and what cannot be read is refused in one sentence."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import published
import pytest
import torch
from parity_table import Agree
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import minidiff
from minidiff.models.dit import DiT
from minidiff.models.unet import UNet
from minidiff.models.vae import VAE
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import from_diffusers, hub

PROMPT = "A red ngôi SAO "
STEPS = 10
MAKERS = {"stable_diffusion": published.stable_diffusion, "pixart": published.pixart}
PAIRS = [
    *(("stable_diffusion", name) for name in ("ddim", "pndm", "dpm", "euler", "euler_a")),
    *(("pixart", name) for name in ("pixart", "ddim")),
]


def load(folder: Path, **options: Any) -> TextToImage:
    return load_pipeline(folder, device="cpu", dtype="float32", **options)


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TextToImage, Any]:
    """(ours, theirs), from one folder."""
    family, scheduler = request.param
    folder = tmp_path_factory.mktemp("published") / "model"
    theirs = MAKERS[family](folder, scheduler)
    if scheduler == "pndm":  # we take its table and its times, and go along them by DDIM
        settings = {**theirs.scheduler.config, "clip_sample": False}
        theirs.scheduler = diffusers.DDIMScheduler.from_config(settings)
    return load(folder), theirs


def drawn_by_diffusers(theirs: Any, negative: str, scale: float, seed: int = 3, prompt: str = PROMPT) -> torch.Tensor:
    """Pixels in 0..1, from the noise of a seed, and fresh noise from the same generator, as ours."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    of_pixart = isinstance(theirs, diffusers.PixArtAlphaPipeline)
    options = {"use_resolution_binning": False, "clean_caption": False} if of_pixart else {}
    return theirs(
        prompt, negative_prompt=negative, guidance_scale=scale, num_inference_steps=STEPS, latents=latents,
        generator=generator, output_type="pt", **options,
    ).images  # fmt: skip


def drawn_by_us(ours: TextToImage, negative: str, scale: float, seed: int = 3) -> torch.Tensor:
    *_, (_, x, _) = ours.sample([PROMPT], [seed], [negative], ours.scheduler.sampler, STEPS, scale)
    return (ours.pixels(x) / 2 + 0.5).clamp(0, 1)


@pytest.mark.parity("pipeline, pixels in 0 to 1", "diffusers, 10 steps, tiny: {pair}")
@pytest.mark.parametrize(("scale", "negative"), [(1.0, ""), (5.0, ""), (5.0, "dark")], ids=["off", "guided", "negative"])
def test_the_picture_is_that_of_diffusers(pair: tuple[TextToImage, Any], scale: float, negative: str, agree: Agree) -> None:
    ours, theirs = pair
    expected = drawn_by_diffusers(theirs, negative, scale)
    assert float(expected.std()) > 0.1  # a picture, not a flat one
    agree(drawn_by_us(ours, negative, scale), expected, rtol=0, atol=1e-3)


def test_prompt_negative_prompt_and_guidance_reach_the_picture(pair: tuple[TextToImage, Any]) -> None:
    """Else the test above would compare pictures of nothing."""
    _, theirs = pair
    drawn = [drawn_by_diffusers(theirs, *rest) for rest in (("", 1.0), ("", 5.0), ("dark", 5.0))]
    drawn.append(drawn_by_diffusers(theirs, "", 5.0, prompt="cat"))
    for i, one in enumerate(drawn):
        assert all(float((one - other).abs().max()) > 1e-2 for other in drawn[:i])


def test_parts_are_ours_and_speak_as_published(pair: tuple[TextToImage, Any]) -> None:
    ours, theirs = pair
    assert isinstance(ours.vae, VAE)
    assert isinstance(ours.network, DiT | UNet)
    assert_close(ours.latent_std.flatten(), torch.tensor([1 / 0.18215]))
    assert ours.guidance_scale in (7.5, 4.5)
    assert ours.tokenizer.tokens("red")[0] == "red"
    assert ours.request("a star").sampler == ours.scheduler.sampler


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd") / "model"
    published.stable_diffusion(folder)
    return folder


@pytest.fixture(scope="module")
def pixart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pixart") / "model"
    published.pixart(folder)
    return folder


def test_a_folder_is_a_model_for_generate_image(sd: Path) -> None:
    images = minidiff.generate_image(PROMPT, model=sd, steps=2, seed=5, num_images=2, device="cpu", dtype="float32")
    pipeline = load(sd)
    assert [image.size for image in images] == [(16, 16)] * 2
    again = pipeline(pipeline.request(PROMPT, steps=2, seed=6))
    assert again[0].tobytes() == images[1].tobytes() != images[0].tobytes()
    other = minidiff.generate_image(PROMPT, "dark", "dpmpp", 2, 3.0, 5, model=str(sd), device="cpu", dtype="float32")
    assert other[0].tobytes() != images[0].tobytes()


def test_a_name_from_another_folder_is_another_model(
    sd: Path, pixart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    for number, folder in enumerate((sd, pixart)):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "model").symlink_to(folder)
        monkeypatch.chdir(tmp_path / str(number))
        loaded.append(load(Path("model")))
    assert [type(pipeline.network) for pipeline in loaded] == [UNet, DiT]
    assert load(sd).network is not load(sd).network  # nobody else's


def test_weights_in_several_files_beside_others_and_an_old_vae_are_read(sd: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sd, tmp_path / "copy")
    network = diffusers.UNet2DConditionModel.from_pretrained(sd / "unet")
    shutil.rmtree(copy / "unet")
    network.save_pretrained(copy / "unet", max_shard_size="50KB")
    assert len(list((copy / "unet").glob("*.safetensors"))) > 1
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    (file.with_name("diffusion_pytorch_model.fp16.safetensors")).write_bytes(b"another precision")
    settings = json.loads((copy / "vae/config.json").read_text())
    for recent in ("scaling_factor", "use_quant_conv", "mid_block_add_attention", "latents_mean"):
        del settings[recent]
    (copy / "vae/config.json").write_text(json.dumps(settings))
    state = load_file(file)
    for new, name in old.items():
        state = {key.replace(f"attentions.0.{new}", f"attentions.0.{name}"): value for key, value in state.items()}
    save_file(state, file)
    assert_close(drawn_by_us(load(copy), "", 5.0), drawn_by_us(load(sd), "", 5.0), rtol=0, atol=0)


def test_pixart_published_under_its_first_class_name_is_read(pixart: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(pixart, tmp_path / "copy")
    change(copy / "transformer/config.json", _class_name="Transformer2DModel", use_additional_conditions=None)
    change(copy / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    assert_close(drawn_by_us(load(copy), "", 5.0), drawn_by_us(load(pixart), "", 5.0), rtol=0, atol=0)


# What cannot be read


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def change_weights(file: Path, how: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(file)
    how(state)
    save_file(state, file)


def to_pickle(folder: Path, name: str = "unet/diffusion_pytorch_model") -> None:
    file = folder / f"{name}.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()


UNET, BIAS = "unet/diffusion_pytorch_model.safetensors", "conv_in.bias"
INDEX, SCHEDULER = "model_index.json", "scheduler/scheduler_config.json"
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no pipeline": (lambda f: (f / INDEX).unlink(), "not the folder of a diffusers pipeline"),
    "broken index": (lambda f: (f / INDEX).write_text("{"), "cannot be read as JSON"),
    "index of nothing": (lambda f: (f / INDEX).write_text("[]"), "not a table of settings"),
    "SDXL": (lambda f: change(f / INDEX, _class_name="StableDiffusionXLPipeline"), "StableDiffusionXLPipeline., which is not"),
    "SD 3": (lambda f: change(f / INDEX, _class_name="StableDiffusion3Pipeline"), "StableDiffusion3Pipeline., which is not"),
    "other text encoder": (lambda f: change(f / INDEX, text_encoder=["transformers", "BertModel"]), "is .BertModel., and only"),
    "no text encoder": (lambda f: change(f / INDEX, text_encoder=[None, None]), "text_encoder is missing"),
    "heads by level": (lambda f: change(f / "unet/config.json", attention_head_dim=[5, 10]), "attention_head_dim is .5, 10"),
    "other blocks": (lambda f: change(f / "unet/config.json", up_block_types=["UpBlock2D"] * 2), "its blocks are"),
    "other class": (lambda f: change(f / "unet/config.json", _class_name="UNetFlatModel"), "holds a .UNetFlatModel."),
    "VAE with shift": (lambda f: change(f / "vae/config.json", shift_factor=0.1), "shift_factor is 0.1, and only None"),
    "VAE of other blocks": (lambda f: change(f / "vae/config.json", up_block_types=["X", "Y"]), "up_block_types is"),
    "no scale": (lambda f: change(f / "vae/config.json", scaling_factor=None), "scaling_factor is None"),
    "scheduler": (lambda f: change(f / SCHEDULER, _class_name="UniPCMultistepScheduler"), "'UniPCMultistepScheduler'"),
    "thresholding": (lambda f: change(f / SCHEDULER, thresholding=True), "thresholding is True"),
    "no scheduler": (lambda f: (f / SCHEDULER).unlink(), "has no scheduler_config.json"),
    "missing key": (lambda f: change_weights(f / UNET, lambda s: s.pop(BIAS)), "1 weight is missing .first: conv_in.b"),
    "extra key": (lambda f: change_weights(f / UNET, lambda s: s.update(x=s[BIAS] * 2)), "1 weight is unknown .first: x"),
    "wrong shape": (lambda f: change_weights(f / UNET, lambda s: s.update({BIAS: torch.zeros(3)})), "has shape .3,., not .16"),
    "truncated": (lambda f: (f / UNET).write_bytes((f / UNET).read_bytes()[:5000]), "cannot be read as safetensors"),
    "no weights": (lambda f: (f / UNET).unlink(), "no weights in .*unet"),
    "pickle": (to_pickle, "only as a pickle, diffusion_pytorch_model.bin.*allow_pickle=True"),
    "pickled words": (lambda f: to_pickle(f, "text_encoder/model"), "only as a pickle, model.bin"),
    "no tokenizer": (lambda f: shutil.rmtree(f / "tokenizer"), "where the tokenizer should be"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_is_refused_in_one_sentence(sd: Path, tmp_path: Path, case: str) -> None:
    copy = shutil.copytree(sd, tmp_path / "copy")
    spoil, says = BAD[case]
    spoil(copy)
    with pytest.raises(ValueError, match=says) as refusal:
        load(copy)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_additional_conditions": True}, "use_additional_conditions is True"),
        ({"use_additional_conditions": None, "sample_size": 128}, "use_additional_conditions is True"),
        ({"caption_channels": None}, "caption_channels is None"),
        ({"norm_type": "ada_norm_zero"}, "norm_type is 'ada_norm_zero'"),
    ],
)
def test_other_designs_of_pixart_are_refused(pixart: Path, tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    copy = shutil.copytree(pixart, tmp_path / "copy")
    change(copy / "transformer/config.json", **settings)
    with pytest.raises(ValueError, match=says):
        load(copy)


def test_without_transformers_it_says_what_to_install_before_anything_is_fetched(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def give(repository: str, allow_patterns: list[str], **options: Any) -> str:
        fetched.extend(allow_patterns)
        return str(sd)

    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", give)
    copy = shutil.copytree(sd, tmp_path / "copy")
    for name in (copy, "nobody/small-sd"):
        with pytest.raises(ValueError, match=r"needs transformers, which is not here: pip install 'minidiff\[interop\]'.$"):
            load_pipeline(name, device="cpu", dtype="float32")
    assert all(pattern.endswith(".json") for pattern in fetched)


def test_a_pickle_is_read_when_it_is_asked_for_by_name(sd: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sd, tmp_path / "copy")
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        to_pickle(copy, name)
    ours = load(copy, allow_pickle=True)
    assert_close(drawn_by_us(ours, "", 5.0), drawn_by_us(load(sd), "", 5.0), rtol=0, atol=0)


def test_a_t5_in_a_pickle_is_refused_or_read(pixart: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(pixart, tmp_path / "copy")
    to_pickle(copy, "text_encoder/model")
    (copy / "text_encoder/model.bin").rename(copy / "text_encoder/pytorch_model.bin")
    with pytest.raises(ValueError, match="only as a pickle"):
        load(copy)
    for folder in (copy, pixart):  # to allow pickles is not to want them
        ours = load(folder, allow_pickle=True)
        assert_close(drawn_by_us(ours, "", 5.0), drawn_by_us(load(pixart), "", 5.0), rtol=0, atol=0)


# The hub


def test_without_a_network_a_hub_id_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="'nobody/no-model' is no folder here.*give the path of its folder") as refusal:
        load(Path("nobody/no-model"))
    assert "\n" not in str(refusal.value)


def test_only_what_is_needed_is_asked_of_the_hub(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def give(repository: str, **options: Any) -> str:
        asked.append({"repository": repository, **options})
        return str(sd)

    monkeypatch.setattr("huggingface_hub.snapshot_download", give)
    pipeline = load_pipeline("somebody/small-sd", device="cpu", dtype="float32")
    assert pipeline.model == "somebody/small-sd"
    assert {one["repository"] for one in asked} == {"somebody/small-sd"}
    assert "unet/*" not in asked[0]["allow_patterns"]  # what the model is comes first, its gigabytes after
    assert {"unet/*", "vae/*", "text_encoder/*", "tokenizer/*", "scheduler/*"} <= set(asked[1]["allow_patterns"])
    assert all({"*.bin", "*.ckpt", "*.fp16.*"} <= set(one["ignore_patterns"]) for one in asked)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("owner/name", True), ("owner/name-1.5", True), ("world-dit", False), ("./name", False), ("../name", False),
     ("/a/b", False), ("a/b/c", False), ("~/name", False)],
)  # fmt: skip
def test_what_looks_like_a_hub_id(name: str, is_one: bool) -> None:
    assert hub.is_hub_id(name) is is_one


def test_options_absent_from_a_configuration_mean_what_diffusers_takes_them_for() -> None:
    """Our lists of the only values that we compute with agree with diffusers' defaults wherever these are one of them."""
    import inspect

    for only, theirs in (
        (from_diffusers.UNET_ONLY, diffusers.UNet2DConditionModel), (from_diffusers.VAE_ONLY, diffusers.AutoencoderKL),
        (from_diffusers.DIT_ONLY, diffusers.PixArtTransformer2DModel),
    ):  # fmt: skip
        defaults = {name: p.default for name, p in inspect.signature(theirs.__init__).parameters.items()}
        shared = {key: value for key, value in only.items() if key in defaults and key != "use_additional_conditions"}
        assert len(shared) >= 6
        assert shared == {key: defaults[key] for key in shared}
