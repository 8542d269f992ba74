"""Pictures that an evaluation makes, numbered in its output folder and kept: a run that was stopped goes on where it was, and
the same command draws nothing twice. What it is not: the drawing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, PngImagePlugin

from minidiff.evaluate.layouts import LayoutError, Notes, pictures_in, read_rgb, readable
from minidiff.pipelines.loading import find_model
from minidiff.pipelines.png_metadata import save_image
from minidiff.pretrained import zoo
from minidiff.utils import strict_json
from minidiff.utils.files import write_whole
from minidiff.utils.locks import locked

SETTINGS = "settings.json"
SOURCE = "minidiff-evaluated"  # the text of a PNG that says what it was made of


@dataclass(frozen=True)
class Gallery:
    """FOLDER/STEM_00001.png, STEM_00002.png, ..."""

    folder: Path
    stem: str

    def path(self, number: int) -> Path:
        """Of picture `number`, counted from 1."""
        return self.folder / f"{self.stem}_{number:05}.png"

    def finished(self, number: int, source: str) -> Image.Image | None:
        """The picture, if it was made of this source and is whole."""
        try:
            with Image.open(self.path(number), formats=["PNG"]) as image:
                image.load()
                return image.convert("RGB") if image.info.get(SOURCE) == source else None
        except (OSError, SyntaxError):  # not there; or damaged, then it is made again
            return None

    def save(self, number: int, source: str, image: Image.Image, info: PngImagePlugin.PngInfo | None = None) -> None:
        """Whole or not at all."""
        info = info or PngImagePlugin.PngInfo()
        info.add_itxt(SOURCE, source)
        save_image(image, self.path(number), info)

    def thin_out(self, count: int, staying: Collection[int]) -> None:
        """Removes all of the pictures 1 to `count` but those that stay."""
        for number in range(1, count + 1):
            if number not in staying:
                self.path(number).unlink(missing_ok=True)


def spread(count: int, ratio: float) -> list[int]:
    """A share of the numbers 1 to `count`, evenly over them."""
    most = round(ratio * count)
    return [1 + k * count // most for k in range(most)]


@contextmanager
def gallery(folder: Path, stem: str, settings: Mapping[str, Any], fresh: bool = False) -> Iterator[Gallery]:
    """A folder for pictures that are made with these settings, and for nobody else while it is open. fresh: throw away what was
    made before. Raises ValueError when it holds pictures that were made with other settings, LockedError when it is in use."""
    with locked(folder / ".lock", f"The folder {folder}"):
        told = folder / SETTINGS
        if fresh:
            for file in folder.glob(f"{stem}_[0-9]*.png"):
                file.unlink()
        elif told.is_file() and (changed := differences(told, settings)):
            raise ValueError(f"{folder} holds pictures that were made with other settings ({changed}): choose another --out, "
                             "or let them be made anew by --fresh.")  # fmt: skip
        write_whole(told, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        yield Gallery(folder, stem)


def differences(told: Path, settings: Mapping[str, Any]) -> str:
    """What differs from the settings in a file, for a message; empty when nothing does."""
    try:
        before = strict_json.read(told)
    except ValueError:
        return "which are lost"
    now = json.loads(json.dumps(settings))
    return ", ".join(
        f"{key} {before.get(key)!r}, now {now.get(key)!r}" for key in {**before, **now} if before.get(key) != now.get(key)
    )


def fingerprint(model: str) -> str:
    """What tells a model's weights from others of its name: the zoo's hash, or when a folder's newest file was written."""
    name, root = find_model(model)
    if root is not None:
        return str(zoo.entry(name, root)["sha256"])
    folder = Path(name)
    return (
        str(max((file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()), default=""))
        if folder.is_dir()
        else ""
    )


T = TypeVar("T")
Made = Callable[[int], Image.Image]
"""The picture that belongs to pair k, opened."""


def kept_pictures(pairs: Sequence[tuple[int, T]], name_of: Callable[[T], str], kept: Gallery) -> Made:
    """The pictures of (number, pair) that the gallery holds."""

    def made(k: int) -> Image.Image:
        number, pair = pairs[k]
        picture = kept.finished(number, name_of(pair))
        if picture is None:
            raise ValueError(f"{kept.path(number)} was removed or changed while it was measured: start again.")
        return picture

    return made


def finished_pictures(
    folder: Path, pairs: Sequence[T], names_of: Callable[[T, int], Sequence[str]],
    size_of: Callable[[T], tuple[int, int] | None], notes: Notes,
) -> tuple[list[tuple[int, T]], Made]:  # fmt: skip
    """Pictures that somebody else has made: (number, pair) of those that are there, and what opens them.

    names_of: what a pair's picture may be called, without the ending; size_of: what size it must have, None for any. What isn't
    there or doesn't fit is noted as skipped. Raises LayoutError for a folder that is missing or holds none of them.
    """
    files, found, paths = pictures_in(folder), [], []
    for number, pair in enumerate(pairs, start=1):
        names = names_of(pair, number)
        file = next((files[name] for name in names if name in files), None)
        if file is None:
            notes.skipped.append((names[0], f"{folder} has no picture of this name"))
            continue
        picture, size = readable(file, notes), size_of(pair)
        if picture is not None and size not in (None, picture.size):
            notes.skipped.append(
                (file.name, f"it is {picture.width} x {picture.height} pixels and must be {size[0]} x {size[1]}")
            )
        elif picture is not None:
            found.append((number, pair))
            paths.append(file)
    if not found:
        raise LayoutError(
            f"{folder} holds no finished picture that fits: the first should be called {names_of(pairs[0], 1)[0]}."
        )
    return found, lambda k: read_rgb(paths[k])
