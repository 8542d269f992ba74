"""A wheel has no weights: they come from the release once, whole and verified, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from minidiff import cli
from minidiff.pretrained import fetch, zoo
from minidiff.utils import release

NAME = "one.safetensors"


class Release(ThreadingHTTPServer):
    """A release on this machine. files: what it holds. cut: how many bytes of each answer get through. ranges: whether it can
    go on in the middle of a file; asked: what was wanted from it, as (path, Range)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.ranges = True
        self.asked: list[tuple[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Release

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.path, wanted))
        content = self.server.files.get(self.path.removeprefix("/v1/"))
        if content is None:
            self.send_error(404)
            return
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:][: self.server.cut])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    """A zoo as a wheel has it, with nothing but its manifest, and a release that holds its one file."""
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    zoo.add("one", {"w": torch.linspace(-1, 1, 200_000)}, {"width": 64}, root=whole)
    bare.mkdir()
    shutil.copy(whole / zoo.MANIFEST, bare)
    monkeypatch.setattr(zoo, "SHIPPED", bare)
    monkeypatch.delenv("MINIDIFF_ZOO", raising=False)
    monkeypatch.setenv("MINIDIFF_CACHE", str(tmp_path / "cache"))
    with Release() as server:
        server.files[NAME] = (whole / NAME).read_bytes()
        monkeypatch.setenv("MINIDIFF_RELEASE", server.address)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_what_is_not_here_comes_once_and_stays(served: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo.waits("one")
    config, state = zoo.load("one")
    assert config == {"width": 64} and state["w"].shape == (200_000,)
    assert NAME in capsys.readouterr().err, "a bar shows that something comes"
    assert not zoo.waits("one") and zoo.path("one").read_bytes() == served.files[NAME]
    zoo.load("one")
    assert served.asked == [(f"/v1/{NAME}", "")] and left(tmp_path) == [NAME]
    assert zoo.path("one").parent != zoo.SHIPPED, "the package's folder may belong to somebody else"


def test_what_lies_beside_the_manifest_is_not_fetched(served: Release, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "whole" / NAME, zoo.SHIPPED)
    assert not zoo.waits("one") and zoo.path("one").parent == zoo.SHIPPED
    assert served.asked == []


def test_another_zoo_fetches_nothing(served: Release, tmp_path: Path) -> None:
    (tmp_path / "whole" / NAME).unlink()
    with pytest.raises(zoo.ZooError, match="is missing"):
        zoo.load("one", tmp_path / "whole")
    assert served.asked == []


def test_a_download_goes_on_where_it_broke_off(served: Release, tmp_path: Path) -> None:
    served.cut = 50_000  # of 400,000 bytes each connection brings an eighth, and there are three connections
    with pytest.raises(zoo.ZooError, match="ended too early"):
        zoo.load("one")
    assert left(tmp_path) == [f".{NAME}.part"] and served.asked[-1] == (f"/v1/{NAME}", "bytes=100000-")
    served.cut = None
    zoo.load("one")
    assert served.asked[-1] == (f"/v1/{NAME}", "bytes=150000-") and left(tmp_path) == [NAME]


def test_a_server_that_cannot_go_on_begins_anew(served: Release, tmp_path: Path) -> None:
    part = fetch.kept(NAME, zoo.entry("one")["sha256"]).with_name(f".{NAME}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    served.ranges = False
    zoo.load("one")
    assert left(tmp_path) == [NAME]


def test_an_older_piece_that_does_not_fit_is_thrown_away(served: Release, tmp_path: Path) -> None:
    part = fetch.kept(NAME, zoo.entry("one")["sha256"]).with_name(f".{NAME}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)  # of another file
    zoo.load("one")
    assert [wanted for _, wanted in served.asked] == ["bytes=1000-", ""] and left(tmp_path) == [NAME]
    part.write_bytes(b"x" * 999_999)  # too long already
    zoo.path("one").unlink()
    zoo.load("one")
    assert left(tmp_path) == [NAME]


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"?", lambda data: data + b"more", lambda data: b"x" * 10**6])
def test_another_file_is_refused_and_not_kept(served: Release, tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    served.files[NAME] = change(served.files[NAME])
    with pytest.raises(zoo.ZooError, match="another SHA-256 than the manifest"):
        zoo.load("one")
    assert left(tmp_path) == [] and len(served.asked) == 1


def test_a_damaged_copy_is_fetched_again(served: Release) -> None:
    path = zoo.path("one")
    path.write_bytes(b"?" + path.read_bytes()[1:])
    zoo.load("one")
    assert path.read_bytes() == served.files[NAME]


def test_without_a_network_a_sentence_says_what_to_do(
    served: Release, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for address, reason in (
        ("http://127.0.0.1:9", "Connection refused"),
        ("http://release.invalid", "name|Name"),  # as the resolver of this machine says it
        ("nonsense", "unknown url type"),
        (f"{served.address}/other", "the server says 404"),
    ):
        monkeypatch.setenv("MINIDIFF_RELEASE", address)
        with pytest.raises(SystemExit) as stop:
            cli.main(["zoo", "fetch", "one"])
        said = capsys.readouterr().err
        assert stop.value.code == 2 and "Traceback" not in said
        pattern = rf"The weights {NAME} \(0.4 MB\) are not here and cannot be fetched from .*: .*({reason})"
        with pytest.raises(zoo.ZooError, match=pattern):
            zoo.load("one")
        assert "Go online and try again" in said and str(tmp_path) in said


def test_a_folder_can_stand_for_the_release(served: Release, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINIDIFF_RELEASE", str(tmp_path / "whole"))
    zoo.load("one")
    assert served.asked == []


def test_a_full_or_foreign_disk_is_named(served: Release, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MINIDIFF_CACHE", str(tmp_path / "file"))
    with pytest.raises(zoo.ZooError, match=r"cannot be kept in .*make room, or name another folder by MINIDIFF_CACHE"):
        zoo.load("one")


READER = """
import sys
from pathlib import Path
from minidiff.pretrained import zoo
zoo.SHIPPED = Path(sys.argv[1])
zoo.read('one')
"""


def test_two_processes_fetch_it_once(served: Release, tmp_path: Path) -> None:
    readers = [subprocess.Popen([sys.executable, "-c", READER, str(zoo.SHIPPED)]) for _ in range(2)]
    assert [reader.wait(timeout=100) for reader in readers] == [0, 0]
    assert len(served.asked) == 1 and left(tmp_path) == [NAME]


def test_the_table_and_the_doctor_fetch_nothing(served: Release, capsys: pytest.CaptureFixture[str]) -> None:
    text, healthy = zoo.table()
    assert healthy and "not here yet: fetched when first used" in text and served.asked == []
    with pytest.raises(SystemExit):
        cli.main(["zoo", "fetch", "nothing"])
    assert "There are no weights called 'nothing'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        cli.main(["zoo", "fetch"])
    assert stop.value.code == 0 and NAME in capsys.readouterr().out
    assert "verified" in zoo.table()[0]


def test_the_address_is_that_of_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIDIFF_RELEASE", raising=False)
    assert fetch.address() == release.FILES


def test_the_manifest_of_the_package_is_what_is_fetched_by() -> None:
    rows = json.loads((zoo.SHIPPED / zoo.MANIFEST).read_text(encoding="utf-8"))
    for row in rows.values():  # what `make dist` puts into the release
        data = (zoo.SHIPPED / row["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])
