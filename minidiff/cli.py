"""The `minidiff` command. Each subcommand is a dataclass turned into options by tyro.

What it is not: a place for work. It finds the function that does it, and turns errors into one line and an exit code:
0 done, 2 bad input, 130 stopped with Ctrl-C. Nothing heavy is imported before it is known which command runs, so that
`minidiff --help` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import tyro

Config = TypeVar("Config")

# What can be trained, measured, exported or built: name -> (summary, module, configuration, function of that configuration).
TRAIN = {
    "world-vae": ("picture to latent and back", "minidiff.train.vae", "VAERun", "train"),
    "world-clip": ("the bilingual text encoder", "minidiff.train.clip", "CLIPRun", "train"),
    "world-dit": ("the diffusion transformer", "minidiff.train.dit", "DiTRun", "train"),
    "world-unet": ("the U-Net with cross-attention", "minidiff.train.unet", "UNetRun", "train"),
    "world-pixels": ("the class-conditional U-Net on pixels", "minidiff.train.pixels", "PixelsRun", "train"),
    "world-judge": ("the judge of prompt following", "minidiff.train.detector", "JudgeRun", "train"),
}
EVALUATE = {
    "prompts": (
        "does the picture show what the prompt says, per language",
        "minidiff.evaluate.prompt_following",
        "PromptsRun",
        "evaluate",
    ),
    "quality": (
        "FD-mini and KID-mini of samples, with floor and ceilings",
        "minidiff.evaluate.quality",
        "QualityRun",
        "evaluate",
    ),
}


PREPARE = {
    "emoji": (
        "emoji in four styles with captions in two languages",
        "minidiff.data.emoji.prepare",
        "PrepareEmoji",
        "prepare",
    ),
}
EXPORT = {
    "diffusers": (
        "a text-to-image DiT as a folder that diffusers opens",
        "minidiff.pretrained.to_diffusers",
        "DiffusersExport",
        "export_diffusers",
    ),
}
COURSE = {
    "build": ("notebooks in both languages from lessons/source", "minidiff.course.build", "BuildRun", "command"),
    "accept": ("note that translations were looked at", "minidiff.course.build", "AcceptRun", "accept_command"),
    "slides": ("slides and handouts that open without a network", "minidiff.course.slides", "SlidesRun", "command"),
    "table": ("the table of lessons in the README", "minidiff.course.table", "TableRun", "command"),
}


class UsageError(Exception):
    """A command line that makes no sense; the text is one sentence for the person who typed it."""


Number = Annotated[int | float, tyro.conf.arg(metavar="NUMBER")]  # Request says which numbers are allowed, and why


@dataclass
class SampleOptions:
    """Draw pictures from a sentence in English or Vietnamese and save them as PNG."""

    prompt: tyro.conf.Positional[str]
    """What to draw, up to 200 characters."""
    negative_prompt: str = ""
    """What to keep away from, up to 200 characters."""
    sampler: str | None = None
    """ddpm, ddim, euler, euler_a, heun, dpmpp (= dpmpp_2m) or dpmpp_2m_sde; the model's own (ours: dpmpp) when not given."""
    steps: Number = 20
    """Number of steps, 1 to 100."""
    guidance_scale: Number | None = None
    """How strongly to follow the prompt, 0 to 15; 1 turns guidance off; the model's own (world-dit: 3) when not given."""
    seed: Number = 42
    """0 to 2147483647; the same seed gives the same picture."""
    num_images: Number = 1
    """1 to 9; picture i is drawn from seed + i."""
    eta: Number = 0.0
    """0 to 1: fresh noise in each step (ddim only)."""
    upsample: bool = True
    """Say, by lot, where things stand when the prompt leaves it open; --no-upsample draws from the prompt as it is."""
    out: Path = Path("output.png")
    """Where the PNG goes; several pictures become output-1.png, output-2.png, ..."""
    model: str = "world-dit"
    """A name that `minidiff zoo` lists, a diffusers folder (Stable Diffusion 1.x, PixArt-alpha), or "owner/name" on the hub."""
    device: str | None = None
    """cpu, cuda, mps; the best there is when not given."""
    dtype: str | None = None
    """float32 or bfloat16; what is fastest on the device when not given."""
    allow_pickle: bool = False
    """Read weights from a pickle where a folder has no safetensors."""


@dataclass
class ZooOptions:
    """List the shipped weights and verify their size and hash."""

    root: Path | None = None
    """Another zoo directory; the shipped one when not given."""


@dataclass
class AppOptions:
    """Start the web demo."""

    host: str = "127.0.0.1"
    """Address to listen on; 127.0.0.1 is this machine only."""
    port: int = 7860
    """Port to listen on."""
    model: str = "world-dit"
    """A name that `minidiff zoo` lists, a diffusers folder, or "owner/name" on the hub; chosen when the page opens."""
    allow_pickle: bool = False
    """Read weights from a pickle where a folder has no safetensors."""
    lang: str = "en"
    """Language of the page when it opens: en or vi."""


def parse(config: type[Config], argv: Sequence[str], prog: str, examples: str = "") -> Config:
    """Options to dataclass. tyro's framed error becomes the one sentence it holds.

    Raises:
        UsageError: an option is unknown, missing or not of its type.
    """
    description = (config.__doc__ or "").strip() + (f"\n\nexamples:\n{examples}" if examples else "")
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(config, prog=prog, args=list(argv), description=description)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UsageError(f"{_sentence(errors.getvalue())} (see {prog} --help)") from None


def _sentence(box: str) -> str:
    """The message inside a frame: its lines up to the first rule or empty line, joined."""
    lines = [line.strip("│╭╮╰╯ \n") for line in box.splitlines()]
    kept: list[str] = []
    for line in lines[1:]:
        if not line.strip("─"):
            break
        kept.append(line)
    return " ".join(" ".join(kept).split()) or "the command line was not understood"


def run_sample(argv: Sequence[str]) -> None:
    examples = (
        '  minidiff sample "a big red star left of a small blue house at night" --steps 20 --out star.png\n'
        '  minidiff sample "hai con cá màu vàng trên biển" --num-images 4 --sampler euler_a\n'
        '  minidiff sample "a watercolour fox" --model stable-diffusion-v1-5/stable-diffusion-v1-5'
    )
    options = parse(SampleOptions, argv, "minidiff sample", examples)
    from minidiff.pipelines.request import Request

    names = ("negative_prompt", "sampler", "steps", "guidance_scale", "seed", "num_images", "eta", "upsample")
    asked = {name: value for name in names if (value := getattr(options, name)) is not None}
    Request(options.prompt, **asked)  # what is not allowed is refused before a model is loaded
    _check_out(options.out)
    from minidiff.pipelines.png_metadata import save_images
    from minidiff.pipelines.text_to_image import load_pipeline

    pipeline = load_pipeline(options.model, options.device, options.dtype, allow_pickle=options.allow_pickle)
    request = pipeline.request(options.prompt, **asked)
    images = pipeline(request, progress=None)
    expanded_prompt = pipeline.expanded_prompt(request)
    paths = save_images(images, options.out, request, pipeline.model, pipeline.model_hash, expanded_prompt)
    for path, text in zip(paths, expanded_prompt, strict=True):
        print(path)
        if text != request.prompt:
            print(f"  drawn as: {text}", file=sys.stderr)


def _check_out(out: Path) -> None:
    """Raises before the drawing, not after it, when the result could not be saved."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out} is not a .png: pictures are saved as PNG, which carries their parameters.")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: the directory {out.parent} does not exist; make it first.")


def run_zoo(argv: Sequence[str]) -> None:
    options = parse(ZooOptions, argv, "minidiff zoo", "  minidiff zoo")
    from minidiff.pretrained import zoo

    text, healthy = zoo.table(options.root)
    print(text)
    if not healthy:
        raise UsageError("some weights are missing or damaged; fetch the files again (git checkout minidiff/pretrained/weights).")


def run_app(argv: Sequence[str]) -> None:
    examples = "  minidiff app\n  minidiff app --port 8000 --lang vi"
    options = parse(AppOptions, argv, "minidiff app", examples)
    if options.lang not in ("en", "vi"):
        raise UsageError(f"there is no language {options.lang!r}: choose --lang en or --lang vi.")
    try:
        from minidiff.studio.app import serve
    except ImportError as error:
        raise UsageError(f"the demo needs gradio ({error}); install it with: pip install 'minidiff[app]'") from None

    serve(options.host, options.port, options.model, options.lang, options.allow_pickle)


def run_train(argv: Sequence[str]) -> None:
    _run_from("train", TRAIN, argv)


def run_evaluate(argv: Sequence[str]) -> None:
    _run_from("evaluate", EVALUATE, argv)


def run_prepare(argv: Sequence[str]) -> None:
    _run_from("prepare", PREPARE, argv)


def run_export(argv: Sequence[str]) -> None:
    _run_from("export", EXPORT, argv)


def run_course(argv: Sequence[str]) -> None:
    _run_from("course", COURSE, argv)


def run_grade(argv: Sequence[str]) -> None:
    examples = (
        "  minidiff grade exercises/en/02_ddpm.ipynb\n"
        "  minidiff grade exercises/vi/02_ddpm.ipynb --lang vi --json score.json --pass-mark 0.8"
    )
    from minidiff.course.grade import GradeRun, command

    if status := command(parse(GradeRun, argv, "minidiff grade", examples)):
        sys.exit(status)


def _run_from(command: str, table: dict[str, tuple[str, str, str, str]], argv: Sequence[str]) -> None:
    """`minidiff train world-vae ...`: the second word picks a configuration and a function of it."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_listing(f"minidiff {command} <name> [options]", {name: row[0] for name, row in table.items()}))
        print(f"\nexample:\n  minidiff {command} {next(iter(table))} --help")
        return
    if argv[0] not in table:
        raise UsageError(f"there is nothing to {command} called {argv[0]!r}: choose one of {', '.join(table)}.")
    _, module, config_name, function = table[argv[0]]
    try:
        room = import_module(module)
    except ModuleNotFoundError as missing:
        raise UsageError(f"minidiff {command} {argv[0]} needs the module {missing.name}, which is not here.") from None
    config: type[Any] = getattr(room, config_name)
    getattr(room, function)(parse(config, argv[1:], f"minidiff {command} {argv[0]}", getattr(room, "EXAMPLES", "")))


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], None]]] = {
    "sample": ("draw pictures from a sentence", run_sample),
    "prepare": ("fetch and caption images to train on", run_prepare),
    "train": ("train a model from nothing, or go on after a stop", run_train),
    "evaluate": ("measure a model", run_evaluate),
    "export": ("write a model for other programs", run_export),
    "course": ("build the lessons, exercises, solutions and slides", run_course),
    "grade": ("score an exercise notebook", run_grade),
    "zoo": ("list and verify the shipped weights", run_zoo),
    "app": ("start the web demo", run_app),
}


def _listing(usage: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join([f"usage: {usage}", "", *(f"  {name:<{width}}  {text}" for name, text in rows.items())])


def _help() -> str:
    return (
        "Text-to-image diffusion in Vietnamese and English.\n\n"
        + _listing("minidiff <command> [options]", {name: row[0] for name, row in COMMANDS.items()})
        + "\n\nexamples:\n"
        '  minidiff sample "a big red star left of a small blue house at night" --out star.png\n'
        "  minidiff train world-dit --help\n"
        "  minidiff evaluate prompts --json out.json\n"
        "  minidiff export diffusers exported\n"
        "  minidiff grade exercises/en/02_ddpm.ipynb\n"
        "\nminidiff <command> --help says more."
    )


def _dispatch(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
    elif argv[0] in ("-V", "--version"):
        from minidiff import __version__

        print(f"minidiff {__version__}")
    elif argv[0] in COMMANDS:
        COMMANDS[argv[0]][1](argv[1:])
    else:
        raise UsageError(f"there is no command {argv[0]!r}: choose one of {', '.join(COMMANDS)}.")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command and exits: 0 done, 2 bad input (one line on stderr), 130 stopped with Ctrl-C."""
    try:
        _dispatch(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C more must not garble the leaving
        print("minidiff: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # whoever read our output has left, as `head` does: nothing to complain about
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (UsageError, ValueError, OSError) as error:
        if os.environ.get("MINIDIFF_TRACEBACK"):  # for whoever looks for the cause in the code
            raise
        print(f"minidiff: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
