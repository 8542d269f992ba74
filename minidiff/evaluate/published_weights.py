"""Which published files the canonical metrics are. A figure is called FID, LPIPS, CLIPScore, PickScore or aesthetic only when
the very weights are there that the name stands for. They are given by path, and looked up here by their SHA-256.

What it is not: a download. Nothing is fetched, and nothing unknown is opened: a file whose hash isn't known is refused first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minidiff.pretrained.hub import weights_in
from minidiff.pretrained.weight_file import INDEX
from minidiff.utils.validation import one_line


class WeightsError(ValueError):
    """A file that isn't the published one; the text says which was wanted."""


@dataclass(frozen=True)
class Published:
    """A file as it was published. sha256: all 64 digits, or the first that its own name repeats."""

    title: str
    file: str
    sha256: str


# By what they are for. Files that differ in their form alone (safetensors, pickle) stand in lines of their own.
KNOWN: dict[str, tuple[Published, ...]] = {
    "inception": (
        Published("inception", "pt_inception-2015-12-05-6726825d.pth",
                  "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"),
    ),
    "lpips": (
        Published("vgg", "vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
        Published("alex", "alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"),
        Published("squeeze", "squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
    ),
    "clip": (
        Published("ViT-B/32", "pytorch_model.bin", "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f"),
        Published("ViT-L/14", "model.safetensors", "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb"),
        Published("ViT-L/14", "pytorch_model.bin", "f1a17cdbe0f36fec524f5cafb1c261ea3bbbc13e346e0f74fc9eb0460dedd0d3"),
    ),
    "pickscore": (),
    "aesthetic": (
        Published("aesthetic", "sac+logos+ava1-l14-linearMSE.pth",
                  "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"),
    ),
}  # fmt: skip
BY_HAND = ("clip", "pickscore")  # for these a hash that the hub's page shows may be given beside the folder


@dataclass(frozen=True)
class Verified:
    """A file whose content is what its name says. vouched: the hash was given by hand, not known here."""

    path: Path
    title: str
    sha256: str
    vouched: bool = False


def verify(role: str, path: Path | str, by_hand: Sequence[str] = ()) -> Verified:
    """The file of a role of KNOWN, or the weights in a folder, after its SHA-256 was found among the published ones.

    by_hand: further hashes that are believed, for the roles of BY_HAND. Raises WeightsError, a ValueError, when there is no
    such file or its hash is another one.
    """
    given = Path(path).expanduser()
    try:
        file = weights_in(given, allow_pickle=True) if given.is_dir() else given
        if file.name.endswith(INDEX):  # its hash says nothing of the pieces
            raise WeightsError(f"{given} holds its weights in several pieces: fetch a version with one file.")
        found = sha256_of(file)
    except FileNotFoundError:
        raise WeightsError(f"There is no file {given}.") from None
    except OSError as error:
        raise WeightsError(f"{given} cannot be read ({one_line(error)}).") from None
    for one in KNOWN[role]:
        if found.startswith(one.sha256):
            return Verified(file, one.title, found)
    if role in BY_HAND and found in {text.lower() for text in by_hand}:
        return Verified(file, given.name, found, vouched=True)
    wanted = " or ".join(f"{one.file} ({one.sha256[:8]}...)" for one in KNOWN[role])
    wish = f"it must be {wanted}" if wanted else "none is known here"
    hand = "; if its page shows this very hash, give it by --sha256" if role in BY_HAND else ": fetch it again"
    raise WeightsError(f"{file} is not a published file for {role}: its SHA-256 is {found}, and {wish}{hand}.")


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's content, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
