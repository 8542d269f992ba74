"""Which room may import which (the contracts of pyproject.toml), and which packages the core may import."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minidiff"
CORE = ("diffusion", "nn", "models", "text", "train", "inference", "pretrained", "utils", "data")
LIGHT = {"torch", "numpy", "PIL", "einops", "safetensors", "tokenizers", "tqdm", "accelerate", "tyro", "minidiff"}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """lint-imports on the package in `folder`, by the contracts of this project."""
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--config", str(folder / "pyproject.toml"), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the package, to be broken."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "minidiff", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize(
    ("where", "line", "told"),
    [
        ("nn/blocks.py", "from minidiff.pretrained import zoo", "minidiff.nn is not allowed to import minidiff.pretrained"),
        ("models/vae.py", "from minidiff.data.world import scenes", "minidiff.models is not allowed to import minidiff.data"),
        ("text/tokenizer.py", "def f():\n    import minidiff.evaluate", "text is not allowed to import minidiff.evaluate"),
        ("diffusion/losses.py", "from minidiff.utils import files", "diffusion is not allowed to import minidiff.utils"),
        ("strange/__init__.py", "", "strange"),
    ],
)  # fmt: skip
def test_an_import_in_the_wrong_direction_is_told(copy: Path, where: str, line: str, told: str) -> None:
    file = copy / "minidiff" / where
    before = file.read_text(encoding="utf-8") if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    try:
        file.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
        done = lint(copy)
    finally:
        if before is None:
            shutil.rmtree(file.parent)
        else:
            file.write_text(before, encoding="utf-8")
    assert done.returncode == 1 and told in done.stdout, done.stdout + done.stderr


def test_the_tree_keeps_its_directions(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr


def imported_at_once(tree: ast.AST) -> set[str]:
    """The packages that a module imports when it is imported: not inside functions, not for type checkers."""
    found: set[str] = set()
    queue = list(ast.iter_child_nodes(tree))
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            found.add(str(node.module))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            continue
        queue.extend(ast.iter_child_nodes(node))
    return {name.split(".")[0] for name in found}


@pytest.mark.parametrize("room", CORE)
def test_the_core_imports_only_light_packages(room: str) -> None:
    """Training runs on a bare GPU image; heavier packages are imported where they are used."""
    for file in sorted((PACKAGE / room).rglob("*.py")):
        names = imported_at_once(ast.parse(file.read_text(encoding="utf-8")))
        assert names <= LIGHT | sys.stdlib_module_names, file


def test_the_rule_sees_what_is_imported_at_once() -> None:
    hidden = "def f():\n    import diffusers\nif TYPE_CHECKING:\n    import gradio\n"
    assert imported_at_once(ast.parse(hidden + "try:\n    import scipy.stats\nfinally: pass\n")) == {"scipy"}
