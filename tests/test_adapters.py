"""LoRA files: what we write peft and diffusers load, what they write we load, and what is lost on the way in practice."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import peft
import published
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_folders import drawn_by_diffusers, drawn_by_us, load
from test_lora import SMALL, dit, learnt, predicted, unet
from torch import nn

from minidiff.nn.lora import Factors, LoRAMixer
from minidiff.pretrained.adapters import CONFIG, METADATA, WEIGHTS, read_lora, write_lora


def made(model: nn.Module, rank: int = 4, alpha: float = 8.0, **settings: object) -> dict[str, Factors]:
    return learnt(model, 5, rank=rank, alpha=alpha, **settings)


def drawn_with(model: nn.Module, factors: dict[str, Factors], strength: float = 1.0) -> torch.Tensor:
    mixer = LoRAMixer(model)
    mixer.add("it", factors)
    mixer.mix({"it": strength})
    with torch.no_grad():
        prediction = predicted(model)
    mixer.mix({})
    return prediction


def same(one: dict[str, Factors], other: dict[str, Factors]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(a.down, b.down) and torch.equal(a.up, b.up) and a.alpha == b.alpha
        for a, b in ((one[name], other[name]) for name in one)
    )


def their_unet() -> nn.Module:
    """diffusers' U-Net with the weights of `unet()`."""
    theirs = diffusers.UNet2DConditionModel(
        sample_size=SMALL.sample_size, in_channels=3, out_channels=3, block_out_channels=SMALL.channels, layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=SMALL.heads, cross_attention_dim=12, norm_num_groups=4,
    )  # fmt: skip
    theirs.load_state_dict(unet().state_dict(), strict=True)
    return theirs.eval()


def their_prediction(model: nn.Module) -> torch.Tensor:
    dice = torch.Generator().manual_seed(1)
    x, context = torch.randn(2, 3, 8, 8, generator=dice), torch.randn(2, 5, 12, generator=dice)
    with torch.no_grad():
        return model(x, torch.tensor([300.0, 700.0]), context).sample


@pytest.mark.parametrize("form", ["diffusers", "peft", "kohya"])
@pytest.mark.parametrize("targets", [("to_q", "to_v"), ("to_k", "to_out.0", "conv1", "proj_in")])
def test_what_is_written_is_read_again(form: str, targets: tuple[str, ...], tmp_path: Path) -> None:
    model = unet()
    factors = made(model, targets=targets)
    factors |= {name: Factors(f.down[:2], f.up[:, :2], 3.0) for name, f in list(factors.items())[:1]}  # one of another rank
    path = tmp_path / ("it" if form == "peft" else "it.safetensors")
    write_lora(path, {"unet": factors}, form)
    (read,) = read_lora(path, {"unet": model, "text_encoder": nn.Linear(2, 2)}).values()
    assert same(read, factors)


def test_the_same_weights_make_the_same_file(tmp_path: Path) -> None:
    parts = {"unet": {"down.to_q": Factors(torch.randn(2, 6), torch.randn(8, 2), 4.0)}}
    files = {write_lora(tmp_path / f"{number}.safetensors", parts).read_bytes() for number in range(8)}
    assert len(files) == 1, "two entries of metadata in the order of a hash"


def test_two_parts_in_one_file_find_their_models(tmp_path: Path) -> None:
    one, other = unet(), dit()
    parts = {"unet": made(one), "text_encoder": made(other, rank=2, alpha=2.0)}
    for form in ("diffusers", "kohya"):
        write_lora(tmp_path / "two.safetensors", parts, form)
        read = read_lora(tmp_path / "two.safetensors", {"unet": one, "text_encoder": other})
        assert all(same(read[part], parts[part]) for part in parts)
    with pytest.raises(ValueError, match="A peft folder holds one part, and there are 2"):
        write_lora(tmp_path / "two", parts, "peft")


@pytest.mark.parametrize("targets", [("to_q", "to_k", "to_v", "to_out.0"), ("to_q", "proj_in", "conv1", "conv2")])
def test_diffusers_loads_our_file_and_draws_the_same(targets: tuple[str, ...], tmp_path: Path) -> None:
    model, theirs = unet(), their_unet()
    factors = made(model, targets=targets)
    factors |= {name: Factors(f.down[:2], f.up[:, :2], 3.0) for name, f in list(factors.items())[:2]}  # two of another rank
    write_lora(tmp_path / "it.safetensors", {"unet": factors})
    theirs.load_lora_adapter(str(tmp_path), weight_name="it.safetensors", prefix="unet")
    torch.testing.assert_close(their_prediction(theirs), drawn_with(model, factors), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(drawn_with(model, factors), predicted(model), atol=1e-3)


def test_our_reading_of_diffusers_own_file(tmp_path: Path) -> None:
    theirs = their_unet()
    theirs.add_adapter(peft.LoraConfig(r=3, lora_alpha=12, target_modules=["to_q", "conv1"], init_lora_weights=False))
    theirs.save_lora_adapter(tmp_path, weight_name="theirs.safetensors")
    weights = load_file(tmp_path / "theirs.safetensors")
    save_file(
        {f"unet.{name}": weight for name, weight in weights.items()}, tmp_path / "it.safetensors",
        {METADATA: json.dumps({"unet.r": 3, "unet.lora_alpha": 12})},
    )  # fmt: skip
    model = unet()
    read = read_lora(tmp_path / "it.safetensors", {"unet": model})["unet"]
    torch.testing.assert_close(drawn_with(model, read), their_prediction(theirs), rtol=1e-4, atol=1e-5)


def test_a_diffusers_file_without_metadata_is_meant_at_scale_1(tmp_path: Path) -> None:
    model, theirs = unet(), their_unet()
    factors = made(model, rank=4, alpha=8.0)
    write_lora(tmp_path / "it.safetensors", {"unet": factors})
    save_file(load_file(tmp_path / "it.safetensors"), tmp_path / "bare.safetensors")
    read = read_lora(tmp_path / "bare.safetensors", {"unet": model})["unet"]
    theirs.load_lora_adapter(str(tmp_path), weight_name="bare.safetensors", prefix="unet")
    torch.testing.assert_close(drawn_with(model, read), their_prediction(theirs), rtol=1e-4, atol=1e-5)
    assert all(one.alpha == one.rank for one in read.values())


def test_a_text_towers_layers_are_found_with_and_without_the_name_of_old_files(tmp_path: Path) -> None:
    tower = nn.ModuleDict({"encoder": nn.ModuleDict({"q_proj": nn.Linear(4, 4)})})
    factors = {"encoder.q_proj": Factors(torch.ones(2, 4), torch.ones(4, 2), 1.0)}
    named = {f"text_model.{name}": one for name, one in factors.items()}
    for written in (factors, named):
        write_lora(tmp_path / "it.safetensors", {"text_encoder": written})
        assert same(read_lora(tmp_path / "it.safetensors", {"text_encoder": tower})["text_encoder"], factors)
        write_lora(tmp_path / "it.safetensors", {"text_encoder": written}, "kohya")
        assert "lora_te_text_model_encoder_q_proj.alpha" in load_file(tmp_path / "it.safetensors")
        assert same(read_lora(tmp_path / "it.safetensors", {"text_encoder": tower})["text_encoder"], factors)


def test_old_names_of_diffusers_are_read(tmp_path: Path) -> None:
    model = unet()
    factors = made(model, rank=2, alpha=2.0)
    state = {}
    for name, one in factors.items():
        state |= {f"unet.{name}.lora.down.weight": one.down, f"unet.{name}.lora.up.weight": one.up}
    save_file(state, tmp_path / "old.safetensors")
    assert same(read_lora(tmp_path / "old.safetensors", {"unet": model})["unet"], factors)


@pytest.mark.parametrize("root", [False, True])
def test_peft_loads_our_folder_and_we_theirs(root: bool, tmp_path: Path) -> None:
    model = dit()
    factors = made(model, targets=("to_q", "to_out.0", "net.2"))
    factors |= {name: Factors(f.down[:2], f.up[:, :2], 3.0) for name, f in list(factors.items())[:2]}  # two of another rank
    write_lora(tmp_path / "ours", {"transformer": factors}, "peft")
    theirs = peft.PeftModel.from_pretrained(dit(), tmp_path / "ours").eval()
    with torch.no_grad():
        torch.testing.assert_close(predicted(theirs), drawn_with(model, factors), rtol=1e-3, atol=1e-4)

    config = peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=["to_q", "to_v"], init_lora_weights=False, use_rslora=root,
        rank_pattern={"transformer_blocks.1.attn1.to_q": 2}, alpha_pattern={"transformer_blocks.0.attn2.to_v": 9},
    )  # fmt: skip
    theirs = peft.get_peft_model(dit(), config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    read = read_lora(tmp_path / "theirs", {"transformer": model})["transformer"]
    with torch.no_grad():
        torch.testing.assert_close(drawn_with(model, read), predicted(theirs), rtol=1e-3, atol=1e-4)
    assert read["transformer_blocks.1.attn1.to_q"].rank == 2


@pytest.mark.parametrize("alpha", [3.0, 0.0, None])
def test_kohyas_alpha_0_or_none_means_the_rank(alpha: float | None, tmp_path: Path) -> None:
    model = unet()
    factors = made(model, rank=6, alpha=3.0)
    write_lora(tmp_path / "it.safetensors", {"unet": factors}, "kohya")
    state = load_file(tmp_path / "it.safetensors")
    for name in [name for name in state if name.endswith(".alpha")]:
        if alpha is None:
            del state[name]
        else:
            state[name] = torch.tensor(alpha)
    save_file(state, tmp_path / "it.safetensors")
    read = read_lora(tmp_path / "it.safetensors", {"unet": model})["unet"]
    assert {one.alpha for one in read.values()} == {alpha or 6.0}


def test_half_precision_files_are_read(tmp_path: Path) -> None:
    model = unet()
    factors = made(model)
    write_lora(tmp_path / "it.safetensors", {"unet": factors}, dtype=torch.float16)
    read = read_lora(tmp_path / "it.safetensors", {"unet": model})["unet"]
    assert all(one.down.dtype == torch.float32 for one in read.values())
    torch.testing.assert_close(drawn_with(model, read), drawn_with(model, factors), rtol=1e-2, atol=1e-2)


def broken(path: Path, change) -> Path:  # type: ignore[no-untyped-def]
    write_lora(path, {"unet": made(unet())})
    state = load_file(path)
    change(state)
    save_file(state, path)
    return path


def test_bad_files_are_named_in_one_sentence(tmp_path: Path) -> None:
    path, models = tmp_path / "it.safetensors", {"unet": unet()}

    def rename(old: str, new: str):  # type: ignore[no-untyped-def]
        return lambda state: [state.update({name.replace(old, new): state.pop(name)}) for name in list(state)]

    cases = [
        (rename("unet.", "vae."), "changes 'vae', and there are unet here"),
        (rename("to_q", "to_query"), "made for another model: UNet has no layer"),
        (rename("lora_A", "lokr_w1"), "is no plain LoRA"),
        (rename(".lora_", ".factor_"), "is no LoRA file of diffusers, peft or kohya"),
        (lambda state: state.pop(sorted(state)[0]), "one of the two factors of .* is missing"),
        (lambda state: state.update({sorted(state)[0]: torch.zeros(3, 3)}), "is damaged: the factors of"),
        (lambda state: state.update({sorted(state)[0]: torch.full((4, 16), float("nan"))}), "is not finite"),
    ]
    for change, says in cases:
        with pytest.raises(ValueError, match=says):
            read_lora(broken(path, change), models)
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        read_lora(path, models)
    with pytest.raises(ValueError, match="There is no file"):
        read_lora(tmp_path / "nowhere.safetensors", models)
    with pytest.raises(ValueError, match="There is no form 'lycoris'"):
        write_lora(path, {"unet": made(unet())}, "lycoris")


def test_a_peft_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    model = unet()
    write_lora(tmp_path, {"unet": made(model)}, "peft")
    assert (tmp_path / WEIGHTS).exists()
    for change, says in (({"peft_type": "LOHA"}, "of type 'LOHA'"), ({"use_dora": True}, "of type DoRA"),
                         ({"lora_alpha": "much"}, "alphas must be numbers")):  # fmt: skip
        write_lora(tmp_path, {"unet": made(model)}, "peft")
        config = json.loads((tmp_path / CONFIG).read_text())
        (tmp_path / CONFIG).write_text(json.dumps({**config, **change}))
        with pytest.raises(ValueError, match=says):
            read_lora(tmp_path, {"unet": model})


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_a_pipeline_of_diffusers_with_our_file_draws_our_picture(form: str, tmp_path: Path) -> None:
    """U-Net and text tower, at a strength of 0.7: the whole way from the prompt to pixels."""
    published.stable_diffusion(tmp_path / "model")
    ours, theirs = load(tmp_path / "model"), diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "model")
    models = {"unet": ours.network, "text_encoder": ours.words.tower}
    before = drawn_by_us(ours, "", 5.0)
    parts = {"unet": made(models["unet"]), "text_encoder": made(models["text_encoder"], 2, 1.0, targets=("q_proj", "out_proj"))}
    write_lora(tmp_path / "it.safetensors", parts, form)
    theirs.load_lora_weights(str(tmp_path), weight_name="it.safetensors", adapter_name="it")
    theirs.set_adapters("it", 0.7)
    for part, model in models.items():
        mixer = LoRAMixer(model)
        mixer.add("it", parts[part])
        mixer.mix({"it": 0.7})
    expected = drawn_by_diffusers(theirs, "", 5.0)
    torch.testing.assert_close(drawn_by_us(ours, "", 5.0), expected, rtol=0, atol=1e-3)
    assert float((expected - before).abs().max()) > 0.02
