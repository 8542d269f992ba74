"""Where pictures with captions come from: each as a key, its captions, and the place of its bytes, which are read when they are
needed, by whoever needs them.

    photos                          a folder with captions, as data/captioned.py reads it
    laion/*.tar, or their folder    shards of WebDataset: 0001.jpg, 0001.txt, 0001.json, as img2dataset writes them
    hf:owner/name, hf:folder        a data set for Hugging Face's `datasets`; also a folder of parquet files that hold pictures

What it is not: the opening of a picture (pixels.py).
"""

from __future__ import annotations

import functools
import glob
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from minidiff.data.captioned import IMAGES, TABLES, TEXT_KEYS, DataError, gather, lowered, texts
from minidiff.data.images.engines import Engine
from minidiff.utils import strict_json
from minidiff.utils.validation import one_line

PICTURES = (*IMAGES, ".gif", ".tif", ".tiff")
IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "picture")
HF = "hf:"


class Place(Protocol):
    """Where a picture's bytes lie. suffix: of its file's name, which may be wrong; "" when there is no name."""

    @property
    def suffix(self) -> str: ...
    def read(self) -> bytes:
        """Raises OSError, and ValueError for a table that can't be read."""


@dataclass(frozen=True)
class InFile:
    """A file of its own."""

    path: Path

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    def read(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True)
class InTar:
    """A part of a tar file."""

    path: Path
    offset: int
    size: int
    suffix: str

    def read(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True)
class InArrow:
    """A row of a file that `datasets` keeps on disk."""

    path: Path
    row: int
    column: str
    suffix: str = ""

    def read(self) -> bytes:
        return picture_bytes(arrow_table(self.path)[self.row][self.column])


@dataclass(frozen=True)
class Found:
    """A picture, unopened, with the captions that came with it."""

    key: str
    place: Place
    captions: tuple[str, ...]


@dataclass
class Finds:
    """samples: by key. missing: (key, why) of what is told of but isn't there; others: files that are neither."""

    samples: list[Found] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)


def find(source: str, engine: Engine) -> Finds:
    """Everything in a source. Raises DataError when it holds no picture, or isn't there."""
    if source.startswith(HF):
        found = in_dataset(source.removeprefix(HF))
    elif shards := tar_files(source):
        found = in_tars(shards, engine)
    elif only_parquet(Path(source)):
        found = in_dataset(source)
    else:
        found = in_folder(Path(source))
    if not found.samples:
        why = f" ({found.missing[0][0]}: {found.missing[0][1]})" if found.missing else ""
        raise DataError(f"There is no picture in {source}{why}.")
    found.samples.sort(key=lambda one: one.key)
    for earlier, later in zip(found.samples, found.samples[1:], strict=False):
        if earlier.key == later.key:
            raise DataError(f"Two pictures in {source} have the key {later.key}: a key must be there once.")
    return found


# --- folders --------------------------------------------------------------------------------------------------------------


def in_folder(folder: Path) -> Finds:
    """Pictures by their paths below a folder. Raises DataError as `gather`, and when none has a caption."""
    captions, left_out = gather(folder, PICTURES)
    found = Finds()
    if not any(captions.values()):
        why = next((f" {why}" for path, why in left_out if path.suffix.lower() in TABLES), "")
        raise DataError(f"None of the {len(captions)} pictures in {folder} has a caption: put one beside each (cat.txt for "
                        f"cat.png), or a .jsonl, .csv, .json or .parquet table with their names.{why}")  # fmt: skip

    def local(path: Path) -> str:
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()

    for path, told in captions.items():
        found.samples.append(Found(local(path), InFile(path), told))
    for path, why in sorted(set(left_out)):  # a table may name what is missing several times
        (found.others if path.exists() else found.missing).append((local(path), why))
    return found


def only_parquet(folder: Path) -> bool:
    """Whether a folder holds parquet files and no pictures beside them."""
    if not folder.is_dir():
        return False
    suffixes = {file.suffix.lower() for file in folder.rglob("*") if file.is_file()}
    return ".parquet" in suffixes and not suffixes & set(PICTURES)


# --- tar files --------------------------------------------------------------------------------------------------------------


def tar_files(source: str) -> list[Path]:
    """The tar files that a path, a folder or a pattern means; none for a folder of pictures. Raises DataError when a pattern
    meets nothing."""
    path = Path(source)
    if path.is_dir():
        return sorted(file for file in path.rglob("*.tar") if file.is_file())
    if path.is_file():
        if path.suffix.lower() != ".tar":
            raise DataError(f"{source} is a file: give a folder, shards (*.tar), or hf:NAME.")
        return [path]
    if glob.has_magic(source):
        files = sorted(Path(name) for name in glob.glob(source, recursive=True))
        if not files or any(file.suffix.lower() != ".tar" for file in files):
            raise DataError(f"{source} must mean files that end in .tar, and it means {files[0] if files else 'none'}.")
        return files
    return []


def in_tars(paths: list[Path], engine: Engine) -> Finds:
    """Samples of all shards. A key begins with the shard's name, with folders where two have the same."""
    found = Finds()
    names = [path.name for path in paths]
    for path, part in zip(paths, engine.map(in_tar, paths), strict=True):
        shard = path.name if names.count(path.name) == 1 else path.as_posix()
        found.samples += [Found(f"{shard}/{one.key}", one.place, one.captions) for one in part.samples]
        found.missing += [(f"{shard}/{key}" if key else shard, why) for key, why in part.missing]
        found.others += [(f"{shard}/{name}", why) for name, why in part.others]
    return found


def in_tar(path: Path) -> Finds:
    """Samples of one shard: members that are alike up to the first dot of their file's name (WebDataset's rule)."""
    found, pictures, captions = Finds(), dict[str, InTar](), dict[str, list[str]]()
    for name, content in members(path, found):
        key = (name.parent / name.name.partition(".")[0]).as_posix()
        told = captions.setdefault(key, [])
        if isinstance(content, InTar):
            pictures.setdefault(key, content)
        elif name.suffix.lower() == ".txt":
            told += content.decode("utf-8", "replace").splitlines()
        else:
            try:
                told += texts(lowered(strict_json.parse(content)))
            except strict_json.JSONError as error:
                found.others.append((name.as_posix(), f"no JSON ({one_line(error)})"))
    for key, told in captions.items():
        unique = once(told)
        if key in pictures:
            found.samples.append(Found(key, pictures[key], unique))
        elif unique:
            found.missing.append((key, "captions without a picture"))
    return found


def once(captions: Iterable[str]) -> tuple[str, ...]:
    """Each that isn't empty once, white space squeezed."""
    return tuple(dict.fromkeys(filter(None, (" ".join(caption.split()) for caption in captions))))


def members(path: Path, found: Finds) -> Iterator[tuple[PurePosixPath, InTar | bytes]]:
    """The pictures' places, and the content of texts, of a tar file up to where it is damaged, which is noted in `found`."""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                suffix = name.suffix.lower()
                if not member.isfile():
                    continue
                if suffix in PICTURES:
                    if member.offset_data + member.size > path.stat().st_size:
                        raise tarfile.ReadError("unexpected end of data")
                    yield name, InTar(path, member.offset_data, member.size, suffix)
                elif suffix in (".txt", ".json"):
                    file = tar.extractfile(member)
                    yield name, file.read() if file else b""
                else:
                    found.others.append((name.as_posix(), "neither a picture nor a caption"))
        with open(path, "rb") as end:
            end.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
            if any(end.read()):  # tarfile takes a file that was cut off between two members for a whole one
                raise tarfile.ReadError("it was cut off")
    except (tarfile.TarError, OSError, EOFError) as error:
        found.missing.append(("", f"the shard is damaged ({one_line(error)})"))


# --- Hugging Face's data sets ---------------------------------------------------------------------------------------------


def in_dataset(name: str) -> Finds:
    """The rows of all splits of a data set, read or fetched by `datasets`. Raises DataError when that isn't installed or finds
    nothing, and when there is no column of pictures or of captions."""
    try:
        import datasets
    except ImportError:
        raise DataError(f"{name} needs the package datasets, which is not here: pip install 'minidiff[prepare]'.") from None
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(str(Path(name).resolve()) if Path(name).is_dir() else name)
    except Exception as error:  # the hub's, the network's and pyarrow's errors have nothing in common
        raise DataError(f"datasets cannot load {name} ({one_line(error)}).") from None
    found = Finds()
    for split in sorted(loaded):
        first = len(found.samples)
        for file in loaded[split].cache_files:
            found.samples += rows_of(Path(file["filename"]), split, len(found.samples) - first, name)
    return found


def rows_of(path: Path, split: str, first: int, name: str) -> Iterator[Found]:
    """The rows of one of a data set's files."""
    table = arrow_table(path)
    columns = {column.lower(): column for column in table.column_names}
    image = next((columns[one] for one in IMAGE_COLUMNS if one in columns), None)
    told = [columns[one] for one in TEXT_KEYS if one in columns]
    if image is None or not told:
        wanted = f"one of pictures (such as {IMAGE_COLUMNS[0]}) and one of captions (such as {TEXT_KEYS[1]})"
        raise DataError(f"{name} has the columns {', '.join(table.column_names)}, but it must have {wanted}.")
    for row, record in enumerate(table.select_columns(told)):
        yield Found(f"{split}/{first + row:09d}", InArrow(path, row, image), once(texts(lowered(record))))


@functools.lru_cache(maxsize=4)
def arrow_table(path: Path) -> Any:
    """A file of `datasets`, mapped into memory, whose pictures stay files."""
    import datasets

    table = datasets.Dataset.from_file(str(path))
    images = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
    for column in images:
        table = table.cast_column(column, datasets.Image(decode=False))
    return table


def picture_bytes(value: object) -> bytes:
    """A cell as bytes: they themselves, or {"bytes", "path"}. Raises ValueError for anything else."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return Path(value).read_bytes()
    raise ValueError("no bytes")
