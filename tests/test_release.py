"""The release: what the wheel and the sdist hold, that the wheel works by itself, and that every page names the same one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import Parser
from pathlib import Path

import pytest
import tyro

import minidiff
from minidiff.pretrained import zoo
from minidiff.utils import release

ROOT = Path(__file__).parents[1]
MOST = 10_000_000  # bytes of the wheel
ADDRESSES = re.compile(r"github\.com/minidiff/minidiff/(?:releases/download|blob|tree)/(v[^/\s\"]+)(?:/minidiff-([\d.]+)-py3)?")
PAGES = (
    "README.md", "CONTRIBUTING.md", "docs/*.md", "classroom/**/*", "classroom/.github/**/*", "deploy/**/*", ".github/**/*",
    "CITATION.cff", "lessons/*/*.ipynb", "exercises/*/*.ipynb", "solutions/*/*.ipynb",
)  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this tree, and the wheel that is made of the sdist, as `make dist` makes them."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def wheel(built: Path) -> Path:
    return built / release.WHEEL.rpartition("/")[2]


def sources() -> set[str]:
    """The package's files in this tree, without weights."""
    files = (path for path in (ROOT / "minidiff").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".safetensors"}


@pytest.mark.timeout(600)
def test_the_wheel_holds_everything_but_the_weights_and_is_small(built: Path) -> None:
    assert wheel(built).stat().st_size <= MOST
    with zipfile.ZipFile(wheel(built)) as file:
        names = {name for name in file.namelist() if not name.startswith(f"minidiff-{minidiff.__version__}.dist-info/")}
        assert names == sources()
        told = Parser().parsestr(file.read(f"minidiff-{minidiff.__version__}.dist-info/METADATA").decode())
    assert (told["Version"], told["Requires-Python"]) == (minidiff.__version__, ">=3.10")
    assert told.get_all("License-File") == ["LICENSE", "NOTICE"]


@pytest.mark.timeout(600)
def test_the_sdist_is_small_and_whole(built: Path) -> None:
    path = built / f"minidiff-{minidiff.__version__}.tar.gz"
    assert path.stat().st_size <= MOST
    with tarfile.open(path) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert sources() | {"LICENSE", "NOTICE", "README.md", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith(".safetensors")]


def test_every_page_names_this_release() -> None:
    found = 0
    for path in sorted({path for pattern in PAGES for path in ROOT.glob(pattern) if path.is_file()}):
        if path.suffix in (".png", ".webp"):
            continue
        for tag, version in ADDRESSES.findall(path.read_text(encoding="utf-8")):
            found += 1
            assert tag in (f"v{minidiff.__version__}", "main"), f"{path}: {tag}"
            assert version in ("", minidiff.__version__), f"{path}: {version}"
        assert "git+https://github.com" not in path.read_text(encoding="utf-8"), f"{path}: the wheel, not the whole history"
    assert found >= 100


def test_citation_and_changelog_are_of_this_version() -> None:
    assert f'\nversion: "{minidiff.__version__}"\n' in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first is not None and first[1] == minidiff.__version__


# --- the wheel by itself ------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Python's own file server, which stands for the release's."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}", 20)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str, seconds: float) -> bytes:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def bare_environment(home: Path, address: str) -> dict[str, str]:
    """As of a user who has just come: no variable of this process but the ways to programs and package indexes."""
    keep = {k: v for k, v in os.environ.items() if k == "PATH" or k.startswith("PIP_") or k.endswith("_proxy")}
    home.mkdir(exist_ok=True)
    return keep | {"HOME": str(home), "MINIDIFF_RELEASE": address, "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"}


def draws_and_serves(bin_: Path, folder: Path) -> None:
    """`minidiff sample` and `minidiff app` of an environment whose weights come from the release."""
    folder.mkdir()
    with served(zoo.SHIPPED) as address:
        environment = bare_environment(folder / "home", address)
        sample = [str(bin_ / "minidiff"), "sample", "a big red star", "--steps", "2", "--out", "star.png"]
        done = subprocess.run(sample, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (folder / "star.png").stat().st_size > 1000 and "world-dit.safetensors" in done.stderr
        port = free_port()
        command = [str(bin_ / "minidiff"), "app", "--port", str(port)]
        app = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert app.stdout is not None and "minidiff studio" in app.stdout.readline()  # and Ctrl-C now ends it in peace
            page = wait_for(f"http://127.0.0.1:{port}", 150)
            assert b"gradio" in page and b"minidiff" in page
        finally:
            app.send_signal(signal.SIGINT)
            assert app.wait(timeout=60) == 0
    kept = {path.name for path in (folder / "home" / ".cache" / "minidiff").rglob("*.safetensors")}
    assert {"world-dit.safetensors", "world-vae.safetensors"} <= kept
    assert "world-unet.safetensors" not in kept, "what is not used is not fetched"


def environment_with(built: Path, folder: Path, wanted: str, *options: str) -> Path:
    """A new environment with the wheel in it; where its programs are."""
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *options, wanted]
    done = subprocess.run(command, cwd=folder, env=bare_environment(folder, ""), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "bin"


@pytest.mark.timeout(600)
def test_the_wheel_draws_and_serves_with_weights_from_the_release(built: Path, tmp_path: Path) -> None:
    """Other packages are those of this environment, which spares their download; see the next test."""
    bin_ = environment_with(built, tmp_path / "env", str(wheel(built)), "--no-deps")
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (site / "others.pth").write_text(str(Path(tyro.__file__).parents[1]), encoding="utf-8")
    draws_and_serves(bin_, tmp_path / "work")


@pytest.mark.timeout(600)
def test_a_clone_is_found_from_the_folder_above_it(tmp_path: Path) -> None:
    """There a notebook's first look is at the clone's folder, which is no package, but has the package's name."""
    clone = tmp_path / "minidiff"
    shutil.copytree(ROOT / "minidiff", clone / "minidiff", ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, clone)
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    environment = bare_environment(tmp_path / "home", "")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "-e", str(clone)], env=environment, check=True)
    command = [python, "-c", "import minidiff; print(minidiff.__version__)"]
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert told.stdout == f"{minidiff.__version__}\n", told.stderr


@pytest.mark.full
@pytest.mark.timeout(3000)
def test_the_wheel_draws_and_serves_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    draws_and_serves(environment_with(built, tmp_path / "env", f"{wheel(built)}[app]"), tmp_path / "work")
