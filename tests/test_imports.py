"""The rooms of the library and which of them may import which, read from the source, without running it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "minidiff"

# room -> floor. A module imports rooms of its own floor or of a lower one, as far as SAME_FLOOR and NEVER allow.
FLOORS = {
    **dict.fromkeys(["nn", "paths", "grids", "text", "zoo", "messages", "devices", "files"], 0),
    **dict.fromkeys(["models", "samplers", "guidance", "losses", "analytic", "data"], 1),
    **dict.fromkeys(["schedulers", "request", "png", "pipeline", "edit", "interop", "export", "viz"], 2),
    **dict.fromkeys(["hub", "encoders", "labels", "shipped", "folders"], 2),
    **dict.fromkeys(["train", "finetune", "evaluate"], 3),
    **dict.fromkeys(["course", "studio", "cli", "__main__"], 4),
    "__init__": 5,
}
CORE = {"torch", "numpy", "PIL", "einops", "safetensors", "tokenizers", "tqdm", "accelerate", "minidiff"}
HEAVY_ROOMS = {"studio", "course", "export", "interop"}
NEVER = [
    ("data", "models"),
    ("data", "nn"),
    ("text", "nn"),
    ("zoo", "nn"),
    ("models", "samplers"),
    ("models", "guidance"),
    ("models", "paths"),
    ("models", "data"),
    ("samplers", "models"),
    ("guidance", "models"),
    ("losses", "models"),
    ("samplers", "guidance"),
    ("nn", "paths"),
    ("paths", "nn"),
    ("paths", "grids"),
]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def imports(tree: ast.AST, *, deep: bool) -> set[str]:
    """Dotted names that a module imports; `deep` looks inside functions too. `if TYPE_CHECKING:` does not count."""
    found: set[str] = set()
    queue = list(ast.iter_child_nodes(tree))
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not deep:
            continue
        queue.extend(ast.iter_child_nodes(node))
    return found


def rooms_imported(names: set[str]) -> set[str]:
    rooms = {name.split(".")[1] for name in names if name.startswith("minidiff.")}
    return {room for room in rooms if not room.startswith("__")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(path)
    assert room in FLOORS, f"say in FLOORS on which floor {room} stands"
    for other in rooms_imported(imports(ast.parse(path.read_text(encoding="utf-8")), deep=True)) - {room}:
        if other in FLOORS:
            assert FLOORS[other] <= FLOORS[room], f"{room} may not import {other}, which stands above it"
            assert (room, other) not in NEVER, f"{room} may not import {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_imports_only_light_packages(path: Path) -> None:
    room = room_of(path)
    if room in HEAVY_ROOMS:
        return
    allowed = CORE | ({"tyro"} if room in {"cli", "train", "evaluate"} else set())
    names = {name.split(".")[0] for name in imports(ast.parse(path.read_text(encoding="utf-8")), deep=False)}
    assert names - set(sys.stdlib_module_names) <= allowed


def test_the_rule_sees_an_import_in_the_wrong_direction() -> None:
    tree = ast.parse("def f():\n    from minidiff.models import dit\nimport gradio\n")
    assert rooms_imported(imports(tree, deep=True)) == {"models"}
    assert rooms_imported(imports(tree, deep=False)) == set()
    assert "gradio" in imports(tree, deep=False)
