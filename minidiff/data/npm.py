"""Files of npm packages: `fetch` gets a tarball at one version and checks its hash, `members` reads it.

Nothing is installed and no script of a package runs. What it is not: the packages' names and hashes, which stand where their
files are used (data/emoji/packages.py, studio/export_web.py, course/slides.py).
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from minidiff.utils.files import whole_file
from minidiff.utils.validation import one_line

REGISTRY = "https://registry.npmjs.org"


class NpmError(ValueError):
    """A package cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Package:
    """An npm package at one version. sha512 is of the tarball, in base64 as npm writes it."""

    name: str
    version: str
    sha512: str
    licence: str
    holder: str

    @property
    def tarball(self) -> str:
        """The file name that `npm pack` gives."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


def sha512(path: Path) -> str:
    """The hash of a file, in base64 as npm writes it."""
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def fetch(package: Package, folder: Path) -> Path:
    """The package's tarball in `folder`, fetched unless it lies there already; its hash was found right.

    Raises NpmError: it can't be fetched, or the file isn't the one that is pinned here."""
    path = folder / package.tarball
    if not path.exists():
        content = _fetched(package)
        with whole_file(path) as file:
            file.write(content)
    if sha512(path) != package.sha512:
        raise NpmError(f"{path} is not {package.name} {package.version}: its hash is wrong; delete the file and try again.")
    return path


def _fetched(package: Package) -> bytes:
    """The tarball as npm packs it: by npm where it is installed, which knows the user's registry, else from npm's own."""
    problem = "npm is not installed"
    if npm := shutil.which("npm"):
        with tempfile.TemporaryDirectory() as scratch:
            command = [npm, "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--silent"]
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
            made = Path(scratch) / package.tarball
            if not done.returncode and made.exists():
                return made.read_bytes()
        problem = f"npm said {(done.stderr.strip().splitlines() or ['nothing'])[-1]!r}"
    try:
        last = package.name.rpartition("/")[2]
        with urllib.request.urlopen(f"{REGISTRY}/{package.name}/-/{last}-{package.version}.tgz", timeout=60) as answer:
            return bytes(answer.read())
    except OSError as error:
        raise NpmError(
            f"{package.name} {package.version} cannot be fetched ({one_line(error)}; {problem}): go online, install Node.js, "
            f"or put {package.tarball} where it is looked for."
        ) from None


def members(path: Path, *wanted: str) -> dict[str, bytes]:
    """{name inside the package: content} of a tarball's files whose names begin with one of `wanted`; all when none is given.

    Nothing is written to disk, so a tarball can't write outside its folder."""
    found: dict[str, bytes] = {}
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            name = member.name.partition("/")[2]  # everything lies under "package/"
            content = tar.extractfile(member) if member.isfile() and name.startswith(wanted or ("",)) else None
            if content is not None:
                found[name] = content.read()
    return found
