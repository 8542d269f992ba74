"""Shards: pictures with their metadata in tar files that WebDataset reads too, and an index of offsets beside each, by which
any one of them can be read without the others.

    512x512/shard-000000.tar        000000017.jpg, 000000017.json, 000000018.jpg, ...
    512x512/shard-000000.idx.json   {"shard", "bytes", "sha256", "samples": [[key, suffix, offset, size, crc, ...], ...]}
    index.json                      {"count", "buckets", "shards": [{"name", "bucket", "count", "bytes", "sha256"}, ...]}

The same samples give the same bytes. What it is not: what is in the metadata (images/prepare.py), or the choice of pictures.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import itertools
import json
import os
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from minidiff.utils import strict_json
from minidiff.utils.files import whole_file, write_whole
from minidiff.utils.validation import one_line

INDEX, VERSION = "index.json", 1


class ShardError(ValueError):
    """A shard that is missing or damaged; the text names it."""


class Sample(NamedTuple):
    """What is to be written. key: without dots; suffix: of the picture's file, "jpg"."""

    key: str
    suffix: str
    image: bytes
    metadata: Mapping[str, Any]


class Place(NamedTuple):
    """A line of a shard's index: where a sample's picture and its JSON lie in the tar, in bytes, and their CRC-32."""

    key: str
    suffix: str
    image_offset: int
    image_bytes: int
    image_crc: int
    json_offset: int
    json_bytes: int
    json_crc: int


class Row(NamedTuple):
    """A line of index.json: a shard's path in the folder, the size of its pictures ("512x512"), their number, and its bytes."""

    name: str
    bucket: str
    samples: int
    bytes: int


def read_index(folder: Path) -> list[Row]:
    """The shards of a folder. Raises ShardError when it holds none."""
    told = _read(folder / INDEX, "run `minidiff prepare images` first")
    try:
        return [Row(str(row["name"]), str(row["bucket"]), int(row["count"]), int(row["bytes"])) for row in told["shards"]]
    except (KeyError, TypeError, ValueError):
        raise ShardError(f"{folder / INDEX} is no index of shards.") from None


def index_path(shard: Path) -> Path:
    """The index of offsets of a shard."""
    return shard.with_suffix(".idx.json")


def write_shard(path: Path, samples: Iterable[Sample]) -> None:
    """The tar and then its index, each whole or not at all: where the index is, the shard is done. Raises ValueError for a key
    with a dot or a slash, which would be cut at another place by whoever reads the tar."""
    places = []
    with whole_file(path) as file:
        counted = _Hashed(file)
        with tarfile.open(fileobj=counted, mode="w", format=tarfile.USTAR_FORMAT) as tar:  # type: ignore[call-overload]
            for sample in samples:
                if not sample.key or set(sample.key) & set("./\\"):
                    raise ValueError(f"{sample.key!r} cannot be the key of a sample: it has a dot or a slash, or is empty.")
                told = json.dumps(sample.metadata, ensure_ascii=False, sort_keys=True).encode()
                spots: list[int] = []
                for suffix, content in ((sample.suffix, sample.image), ("json", told)):
                    info = tarfile.TarInfo(f"{sample.key}.{suffix}")  # its time, user and group are 0, its mode 0644
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
                    padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                    spots += [tar.offset - padded, len(content), zlib.crc32(content)]
                places.append(Place(sample.key, sample.suffix, *spots))
    index = {"version": VERSION, "shard": path.name, "bytes": counted.size, "sha256": counted.digest.hexdigest(),
             "samples": places}  # fmt: skip
    write_whole(index_path(path), json.dumps(index) + "\n")


def is_done(path: Path, count: int) -> bool:
    """Whether `write_shard` has written this shard with so many samples. Its bytes aren't read."""
    try:
        index = strict_json.read(index_path(path))
        return bool(len(index["samples"]) == count and index["bytes"] == path.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_index(folder: Path, shards: Iterable[tuple[str, Path]]) -> dict[str, Any]:
    """index.json of shards that are done, each given with its bucket; returns what it says."""
    rows: list[dict[str, Any]] = []
    buckets: dict[str, int] = {}
    for bucket, path in shards:
        index = strict_json.read(index_path(path))
        count = len(index["samples"])
        rows.append({"name": path.relative_to(folder).as_posix(), "bucket": bucket, "count": count, "bytes": index["bytes"],
                     "sha256": index["sha256"]})  # fmt: skip
        buckets[bucket] = buckets.get(bucket, 0) + count
    told = {"version": VERSION, "count": sum(buckets.values()), "buckets": buckets, "shards": rows}
    write_whole(folder / INDEX, json.dumps(told, indent=1) + "\n")
    return told


class ShardIndex:
    """Samples in shards, by number: `len(shards)`, `shards.read(k)`. Several processes may read at once, and it may be pickled.

    folder: what `minidiff prepare images` wrote. bucket: only one size, "512x512". Raises ShardError when there is no index,
    or a shard that it names is missing or has another size."""

    def __init__(self, folder: Path | str, bucket: str | None = None) -> None:
        self.folder = Path(folder)
        everything = read_index(self.folder)
        rows = [row for row in everything if bucket in (None, row.bucket)]
        self.shards = [row.name for row in rows]
        self.ends = list(itertools.accumulate(row.samples for row in rows))
        self.buckets: dict[str, int] = {}
        for row in everything:
            self.buckets[row.bucket] = self.buckets.get(row.bucket, 0) + row.samples
        if bucket is not None and not rows:
            raise ShardError(f"There is no bucket {bucket} in {self.folder}: choose one of {', '.join(self.buckets)}.")
        for row in rows:
            path = self.folder / row.name
            if not path.is_file():
                raise ShardError(f"The shard {path} is missing.")
            if (size := path.stat().st_size) != row.bytes:
                raise ShardError(f"The shard {path} is damaged: it has {size:,} bytes and should have {row.bytes:,}.")
        self._places: dict[int, list[Place]] = {}
        self._files: dict[int, IO[bytes]] = {}

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": {}}

    def read(self, k: int) -> tuple[bytes, dict[str, Any]]:
        """(bytes of the picture's file, its metadata) of sample k, 0 <= k < len. Raises IndexError for another k, ShardError
        for an index that can't be read, and ValueError that names the key when the sample's bytes aren't what was written."""
        if not 0 <= k < len(self):
            raise IndexError(f"There is no sample {k}: there are {len(self)}.")
        shard = bisect.bisect_right(self.ends, k)
        place = self.places(shard)[k - (self.ends[shard - 1] if shard else 0)]
        image = self._bytes(shard, place.image_offset, place.image_bytes)
        told = self._bytes(shard, place.json_offset, place.json_bytes)
        if zlib.crc32(image) != place.image_crc or zlib.crc32(told) != place.json_crc:
            raise ValueError(f"The sample {place.key} in {self.folder / self.shards[shard]} is corrupted.")
        return image, json.loads(told)

    def places(self, shard: int) -> list[Place]:
        """The index of a shard, given by its number. Raises ShardError when it can't be read."""
        if shard not in self._places:
            path = index_path(self.folder / self.shards[shard])
            count = self.ends[shard] - (self.ends[shard - 1] if shard else 0)
            try:
                places = [Place(*row) for row in _read(path, "prepare the pictures again")["samples"]]
                if len(places) != count:
                    raise ValueError
            except ShardError:
                raise
            except (KeyError, TypeError, ValueError):
                raise ShardError(f"{path} is no index of the {count} samples of its shard.") from None
            self._places[shard] = places
        return self._places[shard]

    def _bytes(self, shard: int, offset: int, size: int) -> bytes:
        path = self.folder / self.shards[shard]
        try:
            if shard not in self._files:
                self._files[shard] = open(path, "rb")  # noqa: SIM115  kept open for the next samples
            file = self._files[shard]
            if hasattr(os, "pread"):  # processes that were forked share a file's place
                return os.pread(file.fileno(), size, offset)
            file.seek(offset)
            return file.read(size)
        except OSError as error:
            raise ShardError(f"The shard {path} cannot be read ({one_line(error)}).") from None


def _read(path: Path, advice: str) -> Any:
    try:
        return strict_json.read(path)
    except FileNotFoundError:
        raise ShardError(f"There is no {path}: {advice}.") from None
    except (OSError, strict_json.JSONError) as error:
        raise ShardError(f"{path} cannot be read ({one_line(error)}).") from None


class _Hashed:
    """A file to write to, whose size and SHA-256 are known at the end."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.size, self.digest = file, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.size
