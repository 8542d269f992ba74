"""The command: what it prints, where, and with which exit code."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from minidiff import cli
from minidiff.pipelines.png_metadata import read_png


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture()
def tiny(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_words_that_mean_nothing_to_the_model_are_told(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "sample", "a big red zebra, a zebra", "--steps", "1", "--out", "a.png")
    assert code == 0 and "world-dit doesn't know these words: 'zebra'." in err
    code, _, err = run(capsys, "sample", "a big red star", "--steps", "1", "--out", "a.png")
    assert code == 0 and "know" not in err


GROUPS = {"train": "world-dit", "evaluate": "prompts", "export": "diffusers", "course": "build", "zoo": "add"}


@pytest.mark.parametrize("argv", [(), ("--help",), ("train",), ("train", "-h"), ("evaluate",), ("export",), ("--version",)])
def test_help(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    assert "minidiff" in out
    if argv != ("--version",):
        assert "example" in out


@pytest.mark.parametrize("argv", [*((name,) for name in cli.COMMANDS), *GROUPS.items()], ids=" ".join)
def test_help_of_every_command_has_examples(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    code, out, _ = run(capsys, *argv, "--help")
    assert code == 0
    usage, _, examples = out.partition("examples:")
    assert f"minidiff {' '.join(argv)}" in usage
    assert f"minidiff {argv[0]}" in examples


@pytest.mark.parametrize("argv", [["--help"], ["sample", "--help"], ["zoo", "--help"], ["dance"], ["sample", "a", "--out"]])
def test_nothing_heavy_is_imported_for_help_and_typing_errors(argv: list[str]) -> None:
    script = f"import sys; from minidiff import cli\ntry: cli.main({argv})\nexcept SystemExit: pass\n"
    script += "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'PIL', 'gradio')))"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert done.returncode == 0


def test_every_command_has_options_of_its_own() -> None:
    """The chosen command is found by the class of its options."""
    for _, load in cli.COMMANDS.values():
        commands = load()
        if isinstance(commands, dict):
            assert len({command.options for command in commands.values()}) == len(commands)


BAD = [
    (["sample", ""], "prompt is empty"),
    (["sample", "x" * 201], "201 characters and at most 200"),
    (["sample", "x" * 10_000], "10000 characters"),
    (["sample"], "missing: prompt"),
    (["sample", "a", "b"], "'b' was not expected here"),
    (["sample", "a", "--steps", "0"], "1 to 100, not 0"),
    (["sample", "a", "--steps", "2.5"], "1 to 100, not 2.5"),
    (["sample", "a", "--steps", "many"], "--steps must be NUMBER, not 'many'"),
    (["sample", "a", "--steps=many"], "--steps must be NUMBER, not 'many'"),
    (["sample", "a", "--steps"], "--steps needs a value"),
    (["sample", "a", "--steps", "1e999"], "1 to 100, not inf"),
    (["sample", "a", "--guidance-scale", "nan"], "0 to 15"),
    (["sample", "a", "--guidance-scale", "-1"], "0 to 15"),
    (["sample", "a", "--guidance-interval", "0.9", "0.1"], "the lower one first, not (0.9, 0.1)"),
    (["sample", "a", "--guidance-interval", "0", "2"], "two numbers from 0 to 1"),
    (["sample", "a", "--guidance-interval", "nan", "1"], "two numbers from 0 to 1"),
    (["sample", "a", "--guidance-interval", "0.5"], "--guidance-interval needs a value: FLOAT FLOAT"),
    (["sample", "a", "--guidance-interval", "0.1", "x"], "--guidance-interval must be FLOAT FLOAT, not '0.1 x'"),
    (["sample", "a", "--guidance-rescale", "1.1"], "guidance rescale must be a number from 0 to 1"),
    (["sample", "a", "--guidance-rescale", "much"], "--guidance-rescale must be NUMBER, not 'much'"),
    (["sample", "a", "--eta", "1.5"], "Eta must be a number from 0 to 1"),
    (["sample", "a", "--eta", "0.5", "--sampler", "heun"], "heun adds no noise"),
    (["sample", "a", "--negative-prompt", "x" * 201], "negative prompt has 201"),
    (["sample", "a", "--seed", "-1"], "0 to 2147483647"),
    (["sample", "a", "--seed", "2147483648"], "0 to 2147483647"),
    (["sample", "a", "--num-images", "0"], "1 to 9"),
    (["sample", "a", "--num-images", "10"], "1 to 9"),
    (["sample", "a", "--sampler", "magic"], "no sampler"),
    (["sample", "a", "--nonsense"], "there is no option '--nonsense' (see minidiff sample --help)"),
    (["sample", "a", "--no-upsample"], "there is no option '--no-upsample'"),
    (["sample", "a", "--expand", "maybe"], "'maybe' was not expected here"),
    (["sample", "a", "--out", "a.jpg"], "not a .png"),
    (["sample", "a", "--out", "nowhere/a.png"], "does not exist"),
    (["sample", "a", "--out", "folder.png"], "folder.png is a directory"),
    (["sample", "a", "--out", "many.png", "--num-images", "3"], "many-2.png is a directory"),
    (["sample", "a", "--out", ""], "not a .png"),
    (["sample", "a", "--dtype", "int8"], "no dtype 'int8'"),
    (["sample", "a", "--model", ""], "no weights called ''"),
    (["sample", "a", "--model", "world-cat"], "no weights called"),
    (["sample", "a", "--device", "abacus"], "no device"),
    (["sample", "a", "--model", "./nowhere"], "There is no folder ./nowhere"),
    (["sample", "a", "--model", "nobody/nothing"], "'nobody/nothing' is no folder here, and the Hugging Face hub did not"),
    (["sample", "a", "--model", "."], "is not the folder of a diffusers pipeline"),
    (["export", "poetry"], "choose one of diffusers"),
    (["export", "--model", "world-dit"], "--model"),
    (["export", "diffusers"], "missing: folder (see minidiff export diffusers --help)"),
    (["export", "diffusers", "exported", "--model", "world-vae"], "holds no network that makes images"),
    (["train", "world-cat"], "choose one of world-vae"),
    (["train", "world-vae", "--accumulate", "3"], "batch of 16 cannot be divided into 3"),
    (["train", "world-vae", "--save-every", "0"], "save_every is 0, but it must be a whole number of at least 1 (see"),
    (["train", "world-vae", "--steps", "few"], "--steps must be INT, not 'few'"),
    (["train", "world-vae", "--warmup", "-1"], "warmup is -1, but it must be a whole number of at least 0"),
    (["train", "world-vae", "--seed", "-1"], "seed is -1"),
    (["train", "world-vae", "--whole", "5"], "whole is 5.0, but it must be a finite number from 0 to 1"),
    (["train", "world-vae", "--groups", "0"], "groups is 0"),
    (["train", "world-vae", "--size", "0"], "size is 0"),
    (["train", "world-vae", "--lr", "nan"], "lr is nan"),
    (["train", "world-vae", "--optimizer", "sgd"], "--optimizer must be one of adamw, muon, not 'sgd'"),
    (["train", "world-vae", "--out", "/dev/null/run"], "/dev/null/run"),
    (["train", "world-dit", "--scale", "few"], "--scale must be FLOAT, not 'few'"),
    (["train", "world-dit", "--scale", "0"], "scale is 0.0"),
    (["train", "world-dit", "--stages", "99"], "has the stages 1 to"),
    (["train", "world-dit", "--change", "lr"], "must be NAME=VALUE"),
    (["train", "world-dit", "--change", "nothing=1"], "there is no setting 'nothing'"),
    (["train", "world-dit", "--workers", "-1"], "workers is -1"),
    (["zoo", "--root", "nowhere"], "There is no zoo in nowhere"),
    (["zoo", "list", "--root", "nowhere"], "There is no zoo in nowhere"),
    (["zoo", "--root"], "--root needs a value"),
    (["zoo", "remove", "world-dit"], "there is no 'remove' in minidiff zoo: choose one of list, add"),
    (["zoo", "add"], "missing: run (see minidiff zoo add --help)"),
    (["zoo", "add", "nowhere"], "nowhere"),
    (["zoo", "add", "a", "b"], "'b' was not expected here"),
    (["course", "dance"], "choose one of build, accept, slides, cheat-sheet, table"),
    (["grade"], "missing: notebook"),
    (["grade", "nowhere.ipynb"], "nowhere.ipynb"),
    (["grade", "x.ipynb", "--pass-mark", "high"], "--pass-mark must be"),
    (["sample", "a", "--device", "cpu:abc"], "no device 'cpu:abc'"),
    (["evaluate", "taste"], "choose one of prompts"),
    (["evaluate", "prompts", "--seeds", "0"], "seeds is 0"),
    (["evaluate", "prompts", "--per-category", "0"], "per_category is 0"),
    (["evaluate", "prompts", "--batch", "0"], "batch is 0"),
    (["evaluate", "prompts", "--guidance-scale", "nan"], "guidance_scale is nan"),
    (["evaluate", "prompts", "--device", "abacus"], "no device 'abacus'"),
    (["evaluate", "prompts", "--model", "nothing"], "no weights called 'nothing'"),
    (["evaluate", "prompts", "--steps", "100000"], "1 to 100"),
    (["evaluate", "prompts", "--sampler", "magic"], "no sampler"),
    (["evaluate", "prompts", "--json", "nowhere/out.json"], "'nowhere/out.json' cannot be written"),
    (["evaluate", "quality", "--json", "out.png"], "'out.png' is not a .json file"),
    (["evaluate", "quality", "--samples", "0"], "samples is 0"),
    (["dance"], "choose one of sample"),
    (["--nonsense"], "there is no command '--nonsense'"),
    (["app", "--port", "web"], "--port must be INT, not 'web'"),
    (["app", "--port", "0"], "--port must be a whole number from 1 to 65535, not 0"),
    (["app", "--port", "-1"], "from 1 to 65535, not -1"),
    (["app", "--port", "99999"], "from 1 to 65535, not 99999"),
    (["app", "--host", "no.such.host.invalid"], "nothing can be served at no.such.host.invalid:7860"),
    (["app", "--host", "x" * 300], "nothing can be served at"),
    (["app", "--host", "203.0.113.9"], "nothing can be served at 203.0.113.9:7860"),
    (["app", "--lang", "fr"], "--lang must be one of en, vi, not 'fr'"),
]


@pytest.mark.parametrize(("argv", "says"), BAD, ids=[" ".join(argv)[:30] for argv, _ in BAD])
def test_bad_input_is_one_line_and_exit_2(
    tiny: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    for name in ("folder.png", "many-2.png"):
        (tiny / name).mkdir()
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert says in err
    assert err.startswith("minidiff") and err.count("minidiff:") <= 1 and len(err) < 500
    assert "Traceback" not in err
    assert not [path for path in tiny.glob("*.png") if path.is_file()]


def test_what_can_be_refused_early_is_refused_before_a_model_is_loaded(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny / "folder.png").mkdir()
    monkeypatch.setattr("minidiff.pipelines.loading.load_pipeline", lambda *a, **k: pytest.fail("loaded"))
    for options in (["--out", "folder.png"], ["--steps", "0"], ["--out", "a.gif"], ["--eta", "2"]):
        assert run(capsys, "sample", "a", *options)[0] == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run(capsys, "app", "--port", str(taken.getsockname()[1]))
    assert (code, err.count("\n")) == (2, 1)
    assert "ddress already in use" in err


def test_without_tyro_s_hooks_its_own_message_is_shown(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are private: another version may lack them, or have others."""
    from tyro import _errors

    def of_another_form(event: object, hooks: object, argv: object) -> str:
        raise AttributeError("UnrecognizedArgs")

    for broken in ("form", "missing"):
        if broken == "form":
            monkeypatch.setattr(cli, "sentence", of_another_form)
        else:
            monkeypatch.delattr(_errors, "on_parse_error")
        code, out, err = run(capsys, "sample", "a", "--nonsense")
        assert (code, out) == (2, "")
        assert "--nonsense" in err and "Traceback" not in err


def test_a_full_disk_names_the_file(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, out, err = run(capsys, "sample", "a star", "--steps", "1", "--out", "star.png")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "star.png" in err and "No space left" in err
    assert not list(tiny.iterdir())


def test_a_setting_reaches_the_image(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["sample", "a big red star", "--steps", "3", "--sampler", "euler_a", "--out"]
    variants = {"plain": [], "no-noise": ["--eta", "0"], "interval": ["--guidance-interval", "0.1", "0.6"],
                "rescale": ["--guidance-rescale", "0.7"], "no-expand": ["--no-expand"]}  # fmt: skip
    for name, options in variants.items():
        assert run(capsys, *ask, f"{name}.png", *options)[0] == 0
    read = {name: read_png(tiny / f"{name}.png") for name in variants}
    assert [read[name]["eta"] for name in ("plain", "no-noise")] == [None, 0.0]
    assert read["interval"]["guidance_interval"] == [0.1, 0.6]
    assert read["rescale"]["guidance_rescale"] == 0.7
    assert [read[name]["expand_prompt"] for name in ("plain", "no-expand")] == [True, False]
    assert len({Image.open(tiny / f"{name}.png").tobytes() for name in variants}) == len(variants)


def test_a_text_that_is_cut_is_told(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "sample", "zxqjk " * 33, "--steps", "1", "--out", "a.png")
    assert (code, out) == (0, "a.png\n")
    assert "minidiff: This model reads the first" in err


def test_sample_writes_images_with_their_settings(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "sample", "một ngôi sao đỏ", "--steps", "2", "--num-images", "2", "--out", "star.png", "--seed", "5"
    )
    assert code == 0
    assert out.split() == ["star-1.png", "star-2.png"]
    read = [read_png(tiny / name) for name in out.split()]
    expected = [("một ngôi sao đỏ", 2, seed) for seed in (5, 6)]
    assert [(one["prompt"], one["steps"], one["seed"]) for one in read] == expected


def test_a_published_folder_is_a_model_and_its_pickles_need_a_word(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import published
    import torch
    from safetensors.torch import load_file

    published.stable_diffusion(tiny / "small-sd")
    capsys.readouterr()
    ask = ["sample", "a star", "--steps", "2", "--model"]
    assert run(capsys, *ask, "small-sd", "--out", "a.png")[0] == 0
    assert {key: read_png(tiny / "a.png")[key] for key in ("model", "sampler", "guidance_scale")} == {
        "model": "small-sd", "sampler": "ddim", "guidance_scale": 7.5
    }  # fmt: skip
    file = shutil.copytree(tiny / "small-sd", tiny / "pickled") / "unet/diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    code, _, err = run(capsys, *ask, "./pickled", "--out", "b.png")
    assert (code, err.count("\n")) == (2, 1)
    assert "--allow-pickle" in err
    assert run(capsys, *ask, "./pickled", "--out", "b.png", "--allow-pickle")[0] == 0
    assert Image.open(tiny / "a.png").tobytes() == Image.open(tiny / "b.png").tobytes()


def test_a_bad_model_folder_is_one_line_and_exit_2(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny / "xl").mkdir()
    (tiny / "xl/model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    code, out, err = run(capsys, "sample", "a star", "--model", "./xl")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "'StableDiffusionXLPipeline', which is not supported" in err


def test_a_missing_package_is_one_line_and_exit_2(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import published

    published.stable_diffusion(tiny / "small-sd")
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "transformers", None)
    code, out, err = run(capsys, "sample", "a star", "--model", "./small-sd")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "pip install 'minidiff[interop]'" in err


def test_export_prints_where_it_went_and_refuses_other_folders(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "export", "diffusers", "exported")
    assert (code, out.strip()) == (0, "exported")
    assert run(capsys, "sample", "a star", "--model", "./exported", "--steps", "2", "--out", "a.png")[0] == 0
    (tiny / "mine").mkdir()
    (tiny / "mine/thesis.txt").touch()
    code, out, err = run(capsys, "export", "diffusers", "mine")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no earlier export" in err


def test_the_app_takes_a_model_and_says_when_there_is_none(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "app", "--model", "./nowhere")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "There is no folder ./nowhere" in err


def test_zoo_lists_and_verifies(tiny: Path, tiny_zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "zoo")
    assert code == 0
    assert out.count("verified") == 3
    copy = tiny / "zoo"
    copy.mkdir()
    for file in tiny_zoo.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with open(copy / "world-vae.safetensors", "ab") as file:
        file.write(b"!")
    code, out, err = run(capsys, "zoo", "--root", str(copy))
    assert code == 2
    assert "incomplete" in out
    assert err.count("\n") == 1


def test_output_may_be_cut_short() -> None:
    script = f"{sys.executable} -m minidiff sample --help | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stderr == ""


def test_python_m_minidiff_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "minidiff", "dance"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("minidiff: there is no command 'dance'")


LONG = """
import sys, time
from minidiff import cli
def wait(options):
    print("sampling", flush=True)
    time.sleep(60)
cli.COMMANDS["sample"] = ("", lambda: cli.Command(cli.SampleOptions, wait, ""))
cli.main(["sample", "a star"])
"""


def test_ctrl_c_exits_130() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    try:
        process = subprocess.Popen([sys.executable, "-c", LONG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None and process.stdout.readline() == "sampling\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "minidiff: stopped\n")


def test_loras_change_the_image_by_their_strength(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from test_lora import learnt

    from minidiff.pipelines.loading import load_pipeline
    from minidiff.pretrained.adapters import write_lora

    pipeline = load_pipeline("world-dit", "cpu")
    parts = {"transformer": learnt(pipeline.network, 1, rank=2, alpha=40.0)}
    towers = {"text_encoder": learnt(pipeline.words.tower, 2, rank=2, alpha=40.0, targets=("q_proj", "v_proj"))}
    write_lora(tiny / "ink.safetensors", parts)
    write_lora(tiny / "gold", parts, "peft")
    write_lora(tiny / "words.safetensors", towers, "kohya", torch.float16)

    def drawn(*loras: str) -> bytes:
        options = [word for lora in loras for word in ("--lora", lora)]
        assert run(capsys, "sample", "a red star", "--steps", "2", "--out", "a.png", *options)[0] == 0
        return Image.open(tiny / "a.png").tobytes()

    plain = drawn()
    assert drawn("ink.safetensors:0") == plain
    images = [plain, drawn("ink.safetensors"), drawn("ink.safetensors:-0.5"), drawn("words.safetensors:2"),
              drawn("ink.safetensors:0.5", "words.safetensors:1")]  # fmt: skip
    assert len(set(images)) == len(images)
    assert read_png(tiny / "a.png")["loras"] == {"ink": 0.5, "words": 1.0}
    assert "LoRAs: <lora:ink:0.5> <lora:words:1>" in Image.open(tiny / "a.png").info["parameters"]
    assert drawn("gold") == images[1]


@pytest.mark.parametrize(
    ("loras", "says"),
    [
        (["nowhere.safetensors:0.8"], "There is no LoRA 'nowhere.safetensors': the zoo has none"),
        (["ink.safetensors:3"], "The strength of 'ink' is 3; it must be -1 to 2"),
        (["ink.safetensors:nan"], "The strength of 'ink' is nan; it must be -1 to 2"),
        (["ink.safetensors", "ink.safetensors:0.2"], "There are two LoRAs called 'ink'"),
        (["other.safetensors"], "other.safetensors was made for another model"),
        (["words.txt"], "words.txt is no kind of weights"),
    ],
)
def test_a_lora_that_cannot_be_used_is_one_line_and_exit_2(
    tiny: Path, capsys: pytest.CaptureFixture[str], loras: list[str], says: str
) -> None:
    import torch

    from minidiff.nn.lora import Factors
    from minidiff.pretrained.adapters import write_lora

    layer = Factors(torch.zeros(1, 32), torch.zeros(32, 1), 1.0)
    write_lora(tiny / "ink.safetensors", {"transformer": {"transformer_blocks.0.attn1.to_q": layer}})
    write_lora(tiny / "other.safetensors", {"transformer": {"blocks.0.to_q": layer}})
    (tiny / "words.txt").write_text("no weights")
    options = [word for lora in loras for word in ("--lora", lora)]
    code, out, err = run(capsys, "sample", "a star", "--steps", "1", "--out", "a.png", *options)
    assert (code, out, err.count("\n")) == (2, "", 1) and says in err, err
    assert not (tiny / "a.png").exists()
