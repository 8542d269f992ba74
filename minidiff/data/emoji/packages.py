"""The npm packages that emoji come from: which, at which version, with which hash, and how their files are read.

`fetch` asks npm for a tarball and checks it; nothing is installed and no script of a package runs. What it is not: a reader of
what the files say (`concepts`) or a drawer of them (`images`).
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from minidiff.utils.files import whole_file


class EmojiError(ValueError):
    """Emoji cannot be prepared; the message says why and what to do."""


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


NAMES = Package(
    "cldr-annotations-full", "48.2.0",
    "DV7A+rEcgUSNTRsVGNGqBZRmAkGfwhGHO5Q1dRwzBoBnVrHWp804JP7/QJdEc66iHmx3+zLWVIMCFLm0lW7PUQ==",
    "Unicode-3.0", "Unicode, Inc.",
)  # fmt: skip
DERIVED_NAMES = Package(
    "cldr-annotations-derived-full", "48.2.0",
    "log62km+AOzI7n/NEuNNFV0mg9DWnt67EYCh1RwxZq9dyRuyteB586LT83Ke8TchEfnwI9cIk2P31zO4nTvZmw==",
    "Unicode-3.0", "Unicode, Inc.",
)  # fmt: skip
GROUPS = Package(
    "emojibase-data", "17.0.0",
    "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    "MIT", "Miles Johnson",
)  # fmt: skip
TWEMOJI = Package(
    "@twemoji/svg", "15.0.0",
    "ZSPef2B6nBaYnfgdTbAy4jgW95o7pi2xPGwGCU+WMTxo7J6B1lMPTWwSq/wTuiMq+N0khQ90CcvYp1wFoQpo/w==",
    "CC-BY-4.0", "Twitter, Inc and other contributors",
)  # fmt: skip
NOTO = Package(
    "@iconify-json/noto", "1.2.9",
    "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    "Apache-2.0", "Google Inc",
)  # fmt: skip
FLUENT_FLAT = Package(
    "@iconify-json/fluent-emoji-flat", "1.2.6",
    "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    "MIT", "Microsoft Corporation",
)  # fmt: skip
FLUENT_3D = Package(
    "@lobehub/fluent-emoji-3d", "1.1.0",
    "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    "MIT", "Microsoft Corporation",
)  # fmt: skip
PACKAGES = (NAMES, DERIVED_NAMES, GROUPS, TWEMOJI, NOTO, FLUENT_FLAT, FLUENT_3D)


def sha512(path: Path) -> str:
    """The hash of a file, in base64 as npm writes it."""
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def fetch(package: Package, folder: Path) -> Path:
    """The package's tarball in `folder`, fetched by npm unless it lies there already; its hash was found right.

    Raises EmojiError: npm is missing or fails, or the file isn't the one that is pinned here."""
    path = folder / package.tarball
    if not path.exists():
        _pack(package, path)
    if sha512(path) != package.sha512:
        raise EmojiError(f"{path} is not {package.name} {package.version}: its hash is wrong; delete the file and try again.")
    return path


def _pack(package: Package, path: Path) -> None:
    """Ask npm for a tarball and put it where it belongs, whole or not at all."""
    npm = shutil.which("npm")
    if npm is None:
        raise EmojiError("Fetching emoji needs npm, which is not here: install Node.js, or put the tarballs into --packages.")
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--silent"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        made = Path(scratch) / package.tarball
        if done.returncode or not made.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EmojiError(f"npm could not fetch {package.name}@{package.version} ({last}): check the network and try again.")
        with whole_file(path) as file:
            file.write(made.read_bytes())


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
