"""Which of two sets of pictures do people like better? `minidiff evaluate arena A B` shows pairs on a local page, blind: whose
a picture is isn't said, and left and right are drawn by lot. Choices are kept in a file, and ranked (bradley_terry.py).

What it is not: a survey; the file holds the choices of those who sat at this machine.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, cast
from urllib.parse import parse_qs

import tyro

from minidiff.evaluate.bradley_terry import Vote, ranking, told
from minidiff.evaluate.layouts import LayoutError, pictures_in, read_rgb
from minidiff.evaluate.report import save_json
from minidiff.utils import strict_json
from minidiff.utils.locks import locked
from minidiff.utils.validation import Between, check

CHOICES = ("left", "right", "tie")
LARGEST_FORM = 1000  # bytes
MOST_OPEN = 1000  # pairs that are shown and not yet decided; the oldest are forgotten


@dataclass
class ArenaRun:
    """Show pairs of pictures blind on a local page, keep what is chosen, and rank the folders. Stop it with Ctrl-C."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Two or more folders with pictures of the same names, such as generated_00001.png, each of another model."""
    votes: Path = Path("arena.json")
    """Where the choices are kept; those that are there count, too."""
    port: Annotated[int, Between(1, 65535)] = 7870
    """On this machine alone: http://127.0.0.1:7870."""
    ranking: bool = False
    """Print the ranking of the choices so far, and stop."""

    def __post_init__(self) -> None:
        check(self, "minidiff evaluate arena")
        if len(self.folders) < 2 or len(set(self.folders)) < len(self.folders):
            raise ValueError("The arena needs two or more different folders.")
        if self.votes.suffix != ".json" or not self.votes.absolute().parent.is_dir():
            raise ValueError(f"--votes {self.votes} must be a .json file in a folder that exists.")


# --- the choices ------------------------------------------------------------------------------------------------------


class Arena:
    """The pairs to be shown and the choices so far. Its methods may be called from several threads."""

    def __init__(self, folders: Sequence[Path], votes: Path) -> None:
        """Raises LayoutError when the folders have no picture of one name, ValueError when the file holds something else."""
        self.folders, self.file, self.lock = list(folders), votes, Lock()
        self.names = [str(folder) for folder in folders]
        albums = [pictures_in(folder) for folder in folders]
        self.shared = [name for name in albums[0] if all(name in album for album in albums)]
        if not self.shared:
            raise LayoutError(f"{' and '.join(self.names)} hold no pictures of the same name.")
        self.albums = albums
        self.record = self._read()
        self.open: dict[str, tuple[str, int, int]] = {}  # shown and not yet decided: token to (picture, left set, right set)
        self.rng = random.Random()

    def _read(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        try:
            rows = strict_json.read(self.file)["votes"]
            for row in rows:
                if not (isinstance(row["left"], str) and isinstance(row["right"], str) and row["choice"] in CHOICES):
                    raise KeyError
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{self.file} holds no choices of an arena: give another --votes.") from None
        return list(rows)

    def votes(self) -> list[Vote]:
        """The choices between these folders."""
        number = {name: k for k, name in enumerate(self.names)}
        won = {"left": 1.0, "right": 0.0, "tie": 0.5}
        return [Vote(number[row["left"]], number[row["right"]], won[row["choice"]]) for row in self.record
                if row["left"] in number and row["right"] in number]  # fmt: skip

    def next_pair(self) -> str:
        """A token for a new pair: one of those shown least so far, its sides by lot."""
        with self.lock:
            shown: dict[tuple[str, int, int], int] = {}
            number = {name: k for k, name in enumerate(self.names)}
            for row in self.record:
                if row["left"] in number and row["right"] in number:
                    a, b = sorted((number[row["left"]], number[row["right"]]))
                    shown[row["picture"], a, b] = shown.get((row["picture"], a, b), 0) + 1
            pairs = [
                (name, a, b) for name in self.shared for a in range(len(self.names)) for b in range(a + 1, len(self.names))
            ]
            self.rng.shuffle(pairs)
            name, a, b = min(pairs, key=lambda pair: shown.get(pair, 0))
            token = secrets.token_urlsafe(12)
            self.open[token] = (name, a, b) if self.rng.random() < 0.5 else (name, b, a)
            if len(self.open) > MOST_OPEN:
                del self.open[next(iter(self.open))]
            return token

    def picture(self, token: str, side: str) -> bytes:
        """The picture on one side of a pair, as PNG without its texts, which could tell whose it is. Raises KeyError for an
        unknown token or side."""
        name, left, right = self.open[token]
        buffer = io.BytesIO()
        read_rgb(self.albums[{"left": left, "right": right}[side]][name]).save(buffer, "PNG")
        return buffer.getvalue()

    def choose(self, token: str, choice: str) -> None:
        """Keeps a choice, once for each pair. Raises KeyError for an unknown token or choice."""
        with self.lock:
            if choice not in CHOICES:
                raise KeyError(choice)
            name, left, right = self.open.pop(token)
            self.record.append({"picture": name, "left": self.names[left], "right": self.names[right], "choice": choice})
            save_json({"votes": self.record}, self.file)


# --- the page ---------------------------------------------------------------------------------------------------------

STYLE = """
body { font: 16px system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; text-align: center }
.pair { display: flex; gap: 1.5rem } .pair div { flex: 1 } .pair img { width: 100%; border-radius: 8px }
button { font: inherit; padding: .7rem 1.4rem; margin: .8rem .3rem; border: 1px solid #888; border-radius: 8px }
button:hover { background: #dde }
pre { display: inline-block; text-align: left }
"""
CSP = "default-src 'none'; img-src 'self'; form-action 'self'; style-src 'sha256-{}'"


def page(body: str) -> str:
    head = f"<meta charset='utf-8'><title>Arena</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{body}</body></html>"


def pair_page(arena: Arena, token: str) -> str:
    """Two pictures and three buttons. Keys: 1 left, 2 right, 3 neither."""
    sides = "".join(f"<div><img src='/picture/{token}/{side}' alt='{side} picture'></div>" for side in ("left", "right"))
    words = {"left": "Left", "tie": "About the same", "right": "Right"}
    keys = {"left": "1", "tie": "3", "right": "2"}
    buttons = "".join(
        f"<button name='choice' value='{choice}' accesskey='{keys[choice]}'>{text}</button>" for choice, text in words.items()
    )
    form = f"<form method='post' action='/choose'><input type='hidden' name='token' value='{token}'>{buttons}</form>"
    return page(f"<h1>Which is better?</h1><div class='pair'>{sides}</div>{form}<p>{len(arena.votes())} choices so far. "
                "<a href='/ranking'>Ranking</a>, which says whose pictures these are.</p>")  # fmt: skip


def ranking_page(arena: Arena) -> str:
    text = html.escape(told(ranking(arena.votes(), arena.names)))
    return page(f"<h1>Ranking</h1><pre>{text}</pre><p><a href='/'>Go on</a></p>")


class Handler(BaseHTTPRequestHandler):
    """Answers this machine's browser alone: another site's page can't choose, and no other name than this host's is served."""

    def __init__(self, arena: Arena, *args: Any) -> None:
        self.arena = arena
        super().__init__(*args)

    def do_GET(self) -> None:
        if not self._mine():
            return
        parts = self.path.split("/")
        if self.path == "/":
            self._answer(pair_page(self.arena, self.arena.next_pair()))
        elif self.path == "/ranking":
            self._answer(ranking_page(self.arena))
        elif len(parts) == 4 and parts[1] == "picture":
            try:
                self._answer(self.arena.picture(parts[2], parts[3]), "image/png")
            except KeyError:
                self.send_error(404)
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        if not self._mine():
            return
        length = self.headers.get("Content-Length", "")
        if self.path != "/choose" or not length.isdecimal() or int(length) > LARGEST_FORM:
            self.send_error(404)
            return
        form = parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace"))
        try:
            self.arena.choose(form.get("token", [""])[0], form.get("choice", [""])[0])
        except KeyError:
            pass  # sent twice, or from before a restart: there is a new pair to look at
        self.send_response(303)
        self.send_header("Location", "/")
        self.end_headers()

    def _mine(self) -> bool:
        """Whether the request was meant for this address, and comes from this page."""
        host = self.headers.get("Host", "")
        name, port = cast("tuple[str, int]", self.server.server_address)
        own = {f"{name}:{port}", f"localhost:{port}"}
        if host not in own or self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            self.send_error(403)
            return False
        return True

    def _answer(self, content: str | bytes, kind: str = "text/html; charset=utf-8") -> None:
        data = content.encode() if isinstance(content, str) else content
        self.send_response(200)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))), ("Cache-Control", "no-store"),
                            ("Content-Security-Policy", CSP.format(style_hash())), ("X-Content-Type-Options", "nosniff"),
                            ("Referrer-Policy", "same-origin")):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are no news."""


def style_hash() -> str:
    """The hash by which the page's own style, and no other, is allowed."""
    return base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def evaluate(run: ArenaRun) -> None:
    """Serve the page until Ctrl-C, then print the ranking. Raises ValueError for folders that can't be compared, LockedError
    when the file of choices is in use, OSError when the port is."""
    with locked(run.votes.with_name(f".{run.votes.name}.lock"), f"The file {run.votes}"):
        arena = Arena(run.folders, run.votes)
        if not run.ranking:
            with ThreadingHTTPServer(("127.0.0.1", run.port), partial(Handler, arena)) as server:
                print(f"http://127.0.0.1:{run.port} shows {len(arena.shared)} pictures of each; Ctrl-C ends it.", flush=True)
                try:
                    server.serve_forever()
                except KeyboardInterrupt:
                    print()
        print(told(ranking(arena.votes(), arena.names)))
