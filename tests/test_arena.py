"""The arena: a ranking that finds strengths again, and a page that says nothing of whose a picture is."""

from __future__ import annotations

import http.client
import io
import json
import math
import random
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from minidiff import cli
from minidiff.evaluate.arena import Arena, Handler
from minidiff.evaluate.bradley_terry import Vote, ranking, strengths, told

COLOURS = {"a": "red", "b": "blue", "c": "green"}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three pictures in each of three folders, red, blue and green, which say in a text whose they are."""
    monkeypatch.chdir(tmp_path)
    for name, colour in COLOURS.items():
        Path(name).mkdir()
        for k in range(3):
            text = PngImagePlugin.PngInfo()
            text.add_text("whose", name)
            Image.new("RGB", (32, 32), colour).save(f"{name}/{k}.png", pnginfo=text)
    return [Path(name) for name in COLOURS]


# --- the ranking ------------------------------------------------------------------------------------------------------


def test_two_are_as_strong_as_they_win() -> None:
    """With one tie more, 29 wins of 39 are 29.5 of 40."""
    votes = [Vote(0, 1, 1.0)] * 20 + [Vote(1, 0, 0.0)] * 9 + [Vote(0, 1, 0.0)] * 10
    a, b = strengths(votes, 2)
    assert a - b == pytest.approx(math.log(29.5 / 10.5)) and a + b == pytest.approx(0)
    assert strengths([Vote(0, 1, 0.5)] * 9, 2) == pytest.approx([0, 0])


def test_strengths_are_found_again_within_their_intervals() -> None:
    true, dice = [1.0, 0.2, -1.2], random.Random(0)
    votes = []
    for _ in range(900):
        i, j = dice.sample(range(3), 2)
        votes.append(Vote(i, j, float(dice.random() < 1 / (1 + math.exp(true[j] - true[i])))))
    assert strengths(votes, 3) == pytest.approx(true, abs=0.2)
    rows = ranking(votes, ["x", "y", "z"])
    assert [row["name"] for row in rows] == ["x", "y", "z"]
    for row, value in zip(rows, true, strict=True):
        assert row["low"] < 1000 + 400 / math.log(10) * value < row["high"] and row["high"] - row["low"] < 120
    assert sum(row["shown"] for row in rows) == 1800


def test_who_never_lost_is_finite_and_who_was_never_shown_is_average() -> None:
    rows = ranking([Vote(0, 1, 1.0)] * 5, ["best", "worst", "absent"])
    assert [row["name"] for row in rows] == ["best", "absent", "worst"] and all(math.isfinite(row["elo"]) for row in rows)
    assert rows[1] == {"name": "absent", "elo": pytest.approx(1000), "low": None, "high": None, "shown": 0, "won": None}
    assert "| best" in told(rows) and "100 %" in told(rows) and [row["elo"] for row in ranking([], ["a", "b"])] == [1000, 1000]


# --- the choices ------------------------------------------------------------------------------------------------------


def test_every_pair_is_shown_before_one_is_shown_again_and_sides_change(folders: list[Path]) -> None:
    arena, seen, sides = Arena(folders, Path("votes.json")), [], set()
    for _ in range(18):
        token = arena.next_pair()
        name, left, right = arena.open[token]
        seen.append((name, *sorted((left, right))))
        sides.add(left < right)
        arena.choose(token, "left")
    assert len(set(seen[:9])) == len(set(seen[9:])) == 9 and sides == {True, False}
    assert len(Arena(folders, Path("votes.json")).votes()) == 18, "they are kept"
    assert len(Arena(folders[:2], Path("votes.json")).votes()) == 6, "choices between others don't count"


def test_a_choice_counts_once_and_for_the_right_side(folders: list[Path]) -> None:
    arena = Arena(folders[:2], Path("votes.json"))
    for choice in ("left", "right", "tie"):
        token = arena.next_pair()
        _, left, right = arena.open[token]
        with pytest.raises(KeyError):
            arena.choose(token, "both")
        arena.choose(token, choice)
        assert arena.votes()[-1] == Vote(left, right, {"left": 1.0, "right": 0.0, "tie": 0.5}[choice])
        with pytest.raises(KeyError):
            arena.choose(token, choice)
    assert len(arena.record) == 3


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(folders: list[Path]) -> Iterator[tuple[Arena, http.client.HTTPConnection]]:
    arena = Arena(folders[:2], Path("votes.json"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, arena)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield arena, http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        server.shutdown()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def test_the_page_shows_a_pair_blind_and_keeps_the_choice(served: tuple[Arena, http.client.HTTPConnection]) -> None:
    arena, connection = served
    code, headers, body = ask(connection, "GET", "/")
    page, [token] = body.decode(), set(re.findall(r"/picture/([\w-]+)/", body.decode()))
    assert code == 200 and "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(r"""['">/ ](a|b)['"</ ]""", page.replace("<a ", "<")), "whose they are isn't said"
    colours = set()
    for side in ("left", "right"):
        code, _, png = ask(connection, "GET", f"/picture/{token}/{side}")
        image = Image.open(io.BytesIO(png))
        image.load()
        assert code == 200 and not image.info, "its texts would tell"
        colours.add(image.getpixel((5, 5)))
    assert colours == {(255, 0, 0), (0, 0, 255)}
    assert ask(connection, "POST", "/choose", f"token={token}&choice=left")[0] == 303
    assert ask(connection, "POST", "/choose", f"token={token}&choice=left")[0] == 303, "sent twice"
    assert len(json.loads(Path("votes.json").read_text())["votes"]) == len(arena.votes()) == 1
    assert b"100 %" in ask(connection, "GET", "/ranking")[2]


def test_other_pages_and_other_paths_get_nothing(served: tuple[Arena, http.client.HTTPConnection]) -> None:
    arena, connection = served
    token = arena.next_pair()
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert ask(connection, "POST", "/choose", f"token={token}&choice=left", **headers)[0] == 403
        connection.close()
        assert ask(connection, "GET", "/", **headers)[0] == 403
        connection.close()
    for path in ("/../../etc/passwd", "/picture/x/left", f"/picture/{token}/up", "/votes.json"):
        assert ask(connection, "GET", path)[0] == 404
        connection.close()
    assert ask(connection, "POST", "/choose", "x" * 2000)[0] == 404
    assert not arena.record


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says"),
    [(["a"], "two or more"), (["a", "a"], "two or more"), (["a", "missing"], "There is no folder missing"),
     (["a", "d"], "no pictures of the same name"), (["a", "b", "--votes", "odd.json"], "holds no choices"),
     (["a", "b", "--votes", "a.txt"], "must be a .json")],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_sentence(
    argv: list[str], says: str, folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("d").mkdir()
    Image.new("RGB", (32, 32)).save("d/other.png")
    Path("odd.json").write_text('{"votes": [{"left": "a", "right": "b", "choice": "both"}]}')
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", "arena", *argv])
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and says in told.err and told.out == ""


def test_the_ranking_alone_is_printed(folders: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"picture": "0", "left": "a", "right": "b", "choice": "left"}] * 6
    Path("arena.json").write_text(json.dumps({"votes": rows}))
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "arena", "b", "a", "--ranking"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| a ") and "100 %" in lines[2] and lines[3].startswith("| b ")
