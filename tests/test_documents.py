"""Every command of every document works: it is run here, or read to its last option by the parser that would run it.

Run: what draws, edits, prepares, plans and inspects, with the shipped models in a folder of small pictures; the teacher's
and the students' shell lines in a copy of the class. Read only: what `READ_ONLY` lists, with the reason. Commands within the
text are read, too; there an argument may be missing ("`minidiff grade`"). Notebooks have their own tests.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tyro
from packaging.requirements import Requirement
from PIL import Image

from minidiff import cli
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.pretrained import zoo
from minidiff.utils import release

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path for pattern in ("*.md", "docs/*.md", "docs/*.slurm", "deploy/**/README*", "classroom/**/README*")
    for path in ROOT.glob(pattern)
    if path.name not in ("LOG.md", "CODE_OF_CONDUCT.md")  # LOG tells what was run then, by the options of its day
)  # fmt: skip
PROGRAMS = ("minidiff", "python", "make", "pip", "jupyter", "accelerate", "torchrun", "docker", "git", "sh")
READ_ONLY = {  # the beginning of a command: why it isn't run here
    "train": "minutes to days; tests/test_recipes.py and tests/test_dit_b.py train as small",
    "finetune": "minutes; tests/test_finetune*.py run each on tiny weights",
    "evaluate": "minutes, or somebody else's data; tests/test_suites.py, tests/test_evaluate_*.py run them small",
    "prepare style": "draws for ten seconds; tests/test_finetune_style.py",
    "prepare images": "somebody else's pictures; tests/test_prepare_images.py",
    "prepare emoji": "packages from npm; tests/test_emoji.py",
    "prepare garments": "thousands of drawings; tests/test_fashion.py",
    "prepare fashion": "needs those; tests/test_fashion.py",
    "export onnx": "a minute; tests/test_export_onnx.py",
    "export web": "packages from npm; tests/test_web_page.py",
    "serve": "needs exported networks; tests/test_export_onnx.py",
    "grade": "tests/test_first_hour.py, tests/course/test_grade.py and the class below grade",
    "course new": "writes into the library; tests/course/test_build.py",
    "course accept": "writes into the library; tests/course/test_build.py",
    "course try": "half a minute for each lesson; tests/course/test_answers.py",
    "course build": "tests/course/test_course.py",
    "course slides": "packages from npm; tests/course/test_slides.py",
    "course cheat-sheet": "prints by a browser; tests/course/test_cheat_sheet.py",
    "course table": "tests/course/test_course.py",
    "zoo add": "publishes weights; tests/test_zoo.py",
    "sample --model ./stable-diffusion-v1-5": "gigabytes; tests/test_folders.py draws with tiny ones",
    "app --model ./stable-diffusion-v1-5": "gigabytes; tests/test_folders.py",
}


# --- what stands on a page ----------------------------------------------------------------------------------------------


def fenced(page: Path) -> list[str]:
    """The commands between fences without a language: a line each, with its here-document where it has one."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".slurm":
        return [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines() if " -m minidiff " in line]
    found: list[str] = []
    for kind, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        if kind not in ("", "sh", "bash"):
            continue
        for line in re.findall(r"[^\n]*<<'END'\n.*?^END$|[^\n]+", re.sub(r"\\\n", " ", block), re.DOTALL | re.MULTILINE):
            found.append(line.strip())
    return found


def inline(page: Path) -> list[str]:
    """Commands within the text: what stands in backticks and begins with a program and a blank."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    codes = (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text))
    return [code for code in codes if re.match(rf"([A-Z_]+=\S+ )*({'|'.join(PROGRAMS)}) [^:]", code)]


def simple(line: str) -> list[list[str]]:
    """The simple commands of a line, in words, without the settings before them, comments and here-documents."""
    lexer = shlex.shlex(line.split("\n")[0], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word in ("&&", "|", ";"):
            commands.append([])
        elif word.startswith("<<"):
            break
        else:
            commands[-1].append(word)
    return [words[next(k for k, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)) :] for words in commands]


def is_read_only(words: list[str]) -> str:
    """Why a command of minidiff isn't run; empty when it is."""
    if "--plan" in words and "--measured" not in words:  # which trains nothing
        return ""
    said = [" ".join(words), f"{words[0]} " + " ".join(words[words.index("--model") :] if "--model" in words else [])]
    return next((why for begin, why in READ_ONLY.items() if any(text.startswith(begin) for text in said)), "")


# --- reading a command to its last option -------------------------------------------------------------------------------


def read_minidiff(words: list[str], whole: bool = True) -> None:
    """By the parser that would run it. whole: with all that it needs; else only what there is has to be right."""
    if not words:
        return
    assert words[0] in cli.COMMANDS, f"there is no minidiff {words[0]}"
    commands, rest = cli.COMMANDS[words[0]][1](), words[1:]
    if isinstance(commands, dict):
        if words[0] in cli.DEFAULTS and (not rest or rest[0].startswith("-")):
            rest = [cli.DEFAULTS[words[0]], *rest]
        if not rest and not whole:
            return
        assert rest and rest[0] in commands, f"there is no {' '.join(words[:2])}"
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            cli.parse(commands, rest, f"minidiff {words[0]}")
    except SystemExit as stop:
        assert stop.code in (0, None) and "--help" in rest
    except cli.UsageError as error:
        assert not whole and re.search(r"missing: |needs a value", str(error)), str(error)
        chosen = rest[:1] if isinstance(commands, dict) else []
        with contextlib.redirect_stdout(shown := io.StringIO()), pytest.raises(SystemExit):
            cli.parse(commands, [*chosen, "--help"], f"minidiff {words[0]}")
        known = set(re.findall(r"--[\w-]+", shown.getvalue()))  # what is missing was complained of before what is unknown
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known, rest


def read_python(words: list[str], whole: bool) -> None:
    if words[:1] == ["-m"] and words[1] == "minidiff":
        read_minidiff(words[2:], whole)
    elif words[:1] == ["-m"] and words[1].startswith("benchmarks"):
        read_benchmark(words[1], words[2:])
    elif words[:2] == ["-m", "pytest"]:
        read_pytest(words[2:])
    elif words[:1] == ["app.py"]:
        read_minidiff(["app", *words[1:]], whole)
    elif words[:2] == ["-m", "venv"]:
        assert len(words) == 3
    else:
        assert words == ["-"], f"nobody reads python {' '.join(words)}"  # a here-document, see test_here_documents


class Read(Exception):
    """The command line was read; nothing is done."""


def read_benchmark(module: str, words: list[str]) -> None:
    """Runs its module up to where the options are known. One that takes none has to get none."""
    path = ROOT / module.replace(".", "/")
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__main__.py"
    assert source.exists(), f"there is no {module}"
    text = source.read_text(encoding="utf-8")
    if not re.search(r"argparse|tyro", text):
        assert len(words) == len(set(re.findall(r"sys\.argv\[\d\]", text))), f"{module}: {words}"
        return

    real_parse, real_cli = argparse.ArgumentParser.parse_args, tyro.cli

    def parse_args(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        real_parse(self, args, namespace)
        raise Read

    def tyro_cli(options: Any, **settings: Any) -> Any:
        real_cli(options, **settings)
        raise Read

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Read):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        patch.setattr(tyro, "cli", tyro_cli)
        patch.setattr(sys, "argv", [str(source), *words])
        runpy.run_path(str(source), run_name="__main__")


def read_pytest(words: list[str]) -> None:
    """Its files are there and its options known: of this project's conftest, or of pytest."""
    known = (ROOT / "tests/parity_table.py").read_text(encoding="utf-8") + "-p -q -k"
    for word in words:
        if word.startswith("-"):
            assert word.split("=")[0] in known, word
        else:
            assert word.startswith("no:") or word == "FILE" or (ROOT / word).exists(), word


def read_make(words: list[str], whole: bool) -> None:
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def read_pip(words: list[str], whole: bool) -> None:
    assert words[0] == "install"
    extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    for word in [word for word in words[1:] if word.startswith((".", "minidiff"))]:
        wanted = Requirement(word.replace(".", "minidiff", 1) if word.startswith(".") else word)
        assert wanted.extras <= set(extras), word
        assert wanted.url in (None, release.WHEEL), word
    others = [word for word in words[1:] if not word.startswith((".", "minidiff"))]
    assert others in ([], ["-e"], ["torch", "--index-url", "https://download.pytorch.org/whl/cpu"]), others


def read_launcher(words: list[str], whole: bool) -> None:
    """accelerate's and torchrun's own parsers read what stands before our module, ours the rest."""
    here = words.index("-m") if "-m" in words else len(words)
    if here == len(words) and not whole:
        return
    assert words[here : here + 2] == ["-m", "minidiff"]
    if words[0] == "launch":
        from accelerate.commands.launch import launch_command_parser

        count = [word.replace("N", "2") if word == "N" else word for word in words[1:here]]
        launch_command_parser().parse_args([*count, "-m", "minidiff"])
    else:
        from torch.distributed.run import get_args_parser

        dollars = [re.sub(r"\$\w+", "1", word) for word in words[:here]]
        get_args_parser().parse_args([*dollars, "-m", "minidiff"])
    read_minidiff(words[here + 2 :], whole)


def read_docker(words: list[str], whole: bool) -> None:
    """Flags that docker has, an image that a line before has built, and a command that can be read."""
    flags = {"build": {"-t": 1}, "run": {"--rm": 0, "-p": 1, "-v": 1, "-w": 1, "--network": 1, "--memory": 1}}[words[0]]
    rest = words[1:]
    while rest and rest[0] in flags:
        rest = rest[1 + flags[rest[0]] :]
    assert rest and (rest[0] in (".", "-") if words[0] == "build" else rest[0] in ("minidiff", "minidiff-grade")), words
    if rest[1:]:
        read(rest[1:], whole)


def read_git(words: list[str], whole: bool) -> None:
    assert words[0] in ("add", "commit", "push") or words == ["clone", release.REPOSITORY], words


def read_shell(words: list[str], whole: bool) -> None:
    assert (ROOT / "classroom" / words[0].removeprefix("my-class/")).exists() and len(words) <= 3


def read_jupyter(words: list[str], whole: bool) -> None:
    assert words[0] == "lab" and len(words) <= 2
    for name in words[1:]:
        assert (ROOT / name).exists() or list(ROOT.glob(f"exercises/*/{name}")), name


READERS: dict[str, Callable[[list[str], bool], None]] = {
    "minidiff": read_minidiff, "python": read_python, "python3": read_python, "make": read_make, "pip": read_pip,
    "accelerate": read_launcher, "torchrun": read_launcher, "docker": read_docker, "git": read_git, "sh": read_shell,
    "jupyter": read_jupyter, "pytest": lambda words, whole: read_pytest(words),
    "srun": lambda words, whole: read(words, whole),
    "sbatch": lambda words, whole: check((ROOT / words[0]).exists(), words[0]),
    ".": lambda words, whole: check(words[0].endswith("/bin/activate"), words[0]),
    "cd": lambda words, whole: check(words == ["minidiff"], words[0]),
    "cp": lambda words, whole: None, "mv": lambda words, whole: None,  # run by the tests of the class, below
}  # fmt: skip


def check(right: bool, what: str) -> None:
    assert right, what


def read(words: list[str], whole: bool = True) -> None:
    assert words[0] in READERS, f"nobody reads {words[0]}"
    READERS[words[0]](words[1:], whole)


FENCED = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in fenced(page)]
INLINE = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES if page.suffix == ".md" for line in inline(page)]


def test_there_are_commands_to_read() -> None:
    assert len(FENCED) > 150 and len(INLINE) > 80 and len({page for page, _ in FENCED}) >= 12


@pytest.mark.parametrize(("page", "line"), FENCED, ids=[f"{page}: {line[:60]}" for page, line in FENCED])
def test_a_command_is_read_to_its_end(page: str, line: str) -> None:
    for words in simple(line):
        read(words)


@pytest.mark.parametrize(("page", "line"), INLINE, ids=[f"{page}: {line[:60]}" for page, line in INLINE])
def test_a_command_within_the_text_is_read(page: str, line: str) -> None:
    for words in simple(line):
        read(words, whole=False)


def test_here_documents_are_read() -> None:
    documents = [line.split("\n", 1) for _, line in FENCED if "\n" in line]
    assert len(documents) == 4
    for head, body in documents:
        text = body.removesuffix("END")
        if head.startswith("python"):
            ast.parse(text)
        else:
            (run,) = re.findall(r"^RUN (.*)$", text, re.MULTILINE)
            for words in simple(run):
                read(words)


def test_python_on_a_page_can_be_read() -> None:
    codes = [
        code
        for page in PAGES
        for code in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.M)
    ]
    assert len(codes) >= 6
    for code in codes:
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minidiff"):
                module = __import__(node.module or "", fromlist=["_"])
                for alias in node.names:
                    assert hasattr(module, alias.name) or __import__(f"{node.module}.{alias.name}", fromlist=["_"])


# --- running it -----------------------------------------------------------------------------------------------------------


def of_minidiff(words: list[str]) -> list[str]:
    """The words after `minidiff`, or none when it is another program."""
    if words[:2] in (["python", "app.py"],):
        return ["app", *words[2:]]
    return words[1:] if words[0] == "minidiff" else []


OURS = [words for _, line in FENCED for command in simple(line) if (words := of_minidiff(command))]
TO_RUN = list(dict.fromkeys(tuple(words) for words in OURS if not is_read_only(words)))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures, LoRAs and photographs that the documents speak of."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "photos").mkdir()
    for k, name in enumerate(("house", "room", "boat", "star", "car", "photos/1", "photos/2", "photos/3")):
        Image.fromarray(render(scene_at(k), 128).image).save(folder / f"{name}.png")
    mask = Image.new("L", (128, 128))
    mask.paste(255, (40, 40, 90, 90))
    mask.save(folder / "mask.png")
    (folder / "runs/ink").mkdir(parents=True)
    shutil.copy(zoo.SHIPPED / "neon-dit.safetensors", folder / "runs/ink/ink.safetensors")
    for name in ("exercises", "solutions", "lessons", "minidiff"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def pages_served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """`minidiff app` up to the server, which only notes that it was started."""
    app = pytest.importorskip("minidiff.studio.app")
    calls: list[Any] = []
    monkeypatch.setattr(app, "serve", lambda *places, **_: calls.append(places))
    monkeypatch.setattr(cli, "check_address", lambda *_: None)
    yield calls


@pytest.mark.parametrize("words", TO_RUN, ids=" ".join)
def test_a_command_is_run(words: tuple[str, ...], desk: Path, monkeypatch: pytest.MonkeyPatch, pages_served: list[Any]) -> None:
    monkeypatch.chdir(desk)
    began = time.time()
    assert cli.dispatch(words) == 0 or words[0] == "doctor"  # whose status says that something is missing
    if words[0] == "app":
        assert len(pages_served) == 1
    if words[0] in ("sample", "edit", "export", "prepare") or words[:2] == ("course", "variant"):
        assert any(path.is_file() and path.stat().st_mtime > began - 1 for path in desk.rglob("*")), "nothing was written"


def test_enough_is_run_and_every_reason_is_needed() -> None:
    assert len(TO_RUN) >= 25
    used = {is_read_only(words) for words in OURS}
    assert [why for why in READ_ONLY.values() if why not in used] == []
    for why in READ_ONLY.values():
        for pattern in re.findall(r"tests/\S+?\.py", why):
            assert list(ROOT.glob(pattern)), pattern


# --- the class ------------------------------------------------------------------------------------------------------------


def shell(line: str, folder: Path, **more: str) -> str:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT), **more}
    done = subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(("page", "lang"), [("docs/teaching.md", "en"), ("docs/giang-day.md", "vi")])
def test_the_teacher_s_lines_make_and_grade_a_class(page: str, lang: str, tmp_path: Path) -> None:
    lines = [line for where, line in FENCED if where == page]
    copying = [line for line in lines if line.startswith(("cp ", "mv "))]
    (grading,) = (line for line in lines if line.startswith("GRADE_HIDDEN"))
    (scores,) = (line for line in lines if line.startswith("python - "))
    tree = tmp_path / "minidiff"
    shutil.copytree(ROOT / "classroom", tree / "classroom")
    shutil.copytree(ROOT / "exercises", tree / "exercises")
    for line in copying:
        shell(line, tree)
    assert (tmp_path / "my-class/exercises/02_ddpm.ipynb").exists() and (tmp_path / "hidden/02.2_hidden.py").exists()
    (tmp_path / "submissions/An").mkdir(parents=True)
    shutil.copy(ROOT / "solutions" / lang / "02_ddpm.ipynb", tmp_path / "submissions/An")
    if lang == "en":
        shell(grading, tmp_path)
        assert re.fullmatch(r"An/02_ddpm,(\d+),\1\n", shell(scores, tmp_path))


@pytest.mark.parametrize("page", ["classroom/README.md", "classroom/README.vi.md", "classroom/exercises/README.md"])
def test_the_students_lines_push_their_work(page: str, tmp_path: Path) -> None:
    (tmp_path / "work/exercises").mkdir(parents=True)
    (tmp_path / "minidiff").symlink_to(ROOT)
    shutil.copy(ROOT / "exercises/en/02_ddpm.ipynb", tmp_path / "work/exercises")
    git = "git -c init.defaultBranch=main"
    shell(f"{git} init -q --bare ../there && {git} init -q && git remote add origin ../there", tmp_path / "work")
    shell("git config push.autoSetupRemote true", tmp_path / "work")
    name = {f"GIT_{who}_{what}": "An@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    lines = [line for where, line in FENCED if where == page and line.startswith(("git ", "cp "))]
    for line in lines:
        shell(line, tmp_path / "work", **name)
    assert len(lines) == 3
    if lines[0].startswith("git "):
        assert "02.2" in shell("git log --oneline --all", tmp_path / "there")
    else:
        assert len(list((tmp_path / "work/exercises").glob("*.ipynb"))) >= 18


# --- links ----------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)", text):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"
