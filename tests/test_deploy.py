"""What docs/deploy.md, the Dockerfile and the Space start: each command is read as it stands, up to the server."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="gradio is not installed: no studio")

from minidiff import cli  # noqa: E402 (after the check that gradio is here)
from minidiff.studio import app  # noqa: E402

ROOT = Path(__file__).parents[1]


def command_of(dockerfile: str) -> list[str]:
    (line,) = re.findall(r"^CMD (.*)$", (ROOT / dockerfile).read_text(encoding="utf-8"), re.MULTILINE)
    return json.loads(line)


def commands_of_the_page() -> list[list[str]]:
    """All `minidiff app ...` between the fences of docs/deploy.md."""
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "docs/deploy.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if "minidiff app" in line]
    return [["minidiff", *shlex.split(line)[shlex.split(line).index("app") :]] for line in lines]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def serve(host: str, port: int, *_: Any, hosts: Any, proxy: str, seconds: float | None) -> None:
        calls.append((host, port, hosts, proxy, seconds))

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(cli, "check_address", lambda *_: None)
    return calls


def test_every_command_starts_a_public_studio(started: list[tuple[Any, ...]]) -> None:
    for command in (command_of("Dockerfile"), command_of("deploy/space/Dockerfile"), *commands_of_the_page()):
        assert command[0] == "minidiff"
        assert cli.dispatch(command[1:]) == 0
    everywhere = ("0.0.0.0", 7860, None)
    assert started == [
        (*everywhere, "", 30.0), (*everywhere, "10.0.0.0/8", 30.0), (*everywhere, "172.17.0.1", 30.0),
        ("0.0.0.0", 8000, None, "", 30.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ("127.0.0.1", 7860, (), "", None)),
        (["--allowed-host", "draw.example.org"], ("127.0.0.1", 7860, ("draw.example.org",), "", None)),
        (["--allowed-host", "*"], ("127.0.0.1", 7860, None, "", None)),
        (["--public", "--host", "10.1.2.3"], ("10.1.2.3", 7860, None, "", 30.0)),
    ],
)
def test_options_reach_the_server(started: list[tuple[Any, ...]], options: list[str], expected: tuple[Any, ...]) -> None:
    assert cli.dispatch(["app", *options]) == 0
    assert started == [expected]


def test_the_space_says_where_it_listens() -> None:
    head = (ROOT / "deploy/space/README.md").read_text(encoding="utf-8").split("---")[1]
    assert "sdk: docker" in head and "app_port: 7860" in head
