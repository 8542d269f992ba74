"""The command: what it prints, where, and with which exit code."""

from __future__ import annotations

import shutil
import signal
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


@pytest.mark.parametrize("argv", [(), ("--help",), ("train",), ("train", "-h"), ("evaluate",), ("export",), ("--version",)])
def test_help(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    assert "minidiff" in out
    if argv != ("--version",):
        assert "example" in out


@pytest.mark.parametrize("command", ["sample", "zoo", "app"])
def test_help_of_a_command_has_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"minidiff {command}" in out
    assert "examples" in out


def test_help_is_quick() -> None:
    """Nothing heavy is imported for it."""
    script = "import sys; from minidiff import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    script += "sys.exit('torch' in sys.modules or 'gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL).returncode == 0


BAD = [
    (["sample", ""], "prompt is empty"),
    (["sample", "x" * 10_000], "10000 characters"),
    (["sample"], "Missing"),
    (["sample", "a", "--steps", "0"], "1 to 100, not 0"),
    (["sample", "a", "--steps", "2.5"], "1 to 100, not 2.5"),
    (["sample", "a", "--steps", "many"], "--steps"),
    (["sample", "a", "--guidance-scale", "nan"], "0 to 15"),
    (["sample", "a", "--guidance-scale", "-1"], "0 to 15"),
    (["sample", "a", "--seed", "-1"], "0 to 2147483647"),
    (["sample", "a", "--num-images", "0"], "1 to 9"),
    (["sample", "a", "--sampler", "magic"], "no sampler"),
    (["sample", "a", "--nonsense"], "nonsense"),
    (["sample", "a", "--out", "a.jpg"], "not a .png"),
    (["sample", "a", "--out", "nowhere/a.png"], "does not exist"),
    (["sample", "a", "--model", "world-cat"], "no weights called"),
    (["sample", "a", "--device", "abacus"], "no device"),
    (["sample", "a", "--model", "./nowhere"], "There is no folder ./nowhere"),
    (["sample", "a", "--model", "nobody/nothing"], "'nobody/nothing' is no folder here, and the Hugging Face hub did not"),
    (["sample", "a", "--model", "."], "is not the folder of a diffusers pipeline"),
    (["export", "poetry"], "choose one of diffusers"),
    (["export", "diffusers"], "Missing"),
    (["export", "diffusers", "exported", "--model", "world-vae"], "holds no network that draws"),
    (["train", "world-cat"], "choose one of world-vae"),
    (["train", "world-vae", "--accumulate", "3"], "batch of 16 cannot be divided into 3"),
    (["train", "world-vae", "--save-every", "0"], "--save-every must be at least 1, not 0"),
    (["train", "world-dit", "--text", "half"], "--text must be one of joint, last, frozen"),
    (["train", "world-dit", "--text-from", "world-vae"], "'world-vae' has no text tower"),
    (["train", "world-dit", "--text-from", "nothing", "--seeing-block", "9"], "--seeing-block must be from 0 to 7"),
    (["zoo", "--root", "nowhere"], "There is no zoo in nowhere"),
    (["sample", "a", "--device", "cpu:abc"], "no device 'cpu:abc'"),
    (["evaluate", "taste"], "choose one of prompts"),
    (["evaluate", "prompts", "--seeds", "0"], "--seeds must be at least 1, not 0"),
    (["evaluate", "prompts", "--per-category", "0"], "--per-category must be at least 1"),
    (["evaluate", "prompts", "--batch", "0"], "--batch must be at least 1"),
    (["evaluate", "prompts", "--guidance-scale", "nan"], "0 to 15"),
    (["evaluate", "prompts", "--steps", "100000"], "1 to 100"),
    (["evaluate", "prompts", "--sampler", "magic"], "no sampler"),
    (["evaluate", "prompts", "--json", "nowhere/out.json"], "cannot be written to 'nowhere/out.json'"),
    (["evaluate", "quality", "--json", "out.png"], "'out.png' is not a .json file"),
    (["evaluate", "quality", "--samples", "0"], "--samples must be at least 1"),
    (["dance"], "choose one of sample"),
    (["app", "--port", "web"], "--port"),
    (["app", "--lang", "fr"], "lang"),
]


@pytest.mark.parametrize(("argv", "says"), BAD, ids=[" ".join(argv)[:30] for argv, _ in BAD])
def test_bad_input_is_one_line_and_exit_2(
    tiny: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert says in err
    assert "Traceback" not in err
    assert not list(tiny.glob("*.png"))


def test_sample_writes_pictures_with_their_parameters(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "StableDiffusionXLPipeline, which is not supported" in err


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
def draw(argv):
    print("drawing", flush=True)
    time.sleep(60)
cli.COMMANDS["sample"] = ("", draw)
cli.main(["sample"])
"""


def test_ctrl_c_exits_130() -> None:
    process = subprocess.Popen([sys.executable, "-c", LONG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "drawing\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, "minidiff: stopped\n")
