"""`minidiff prepare images SRC OUT`: from pictures with captions, as they were collected, to shards that can be learnt from.

    OUT/512x512/shard-000000.tar    pictures cut to a bucket's size, and their captions (data/shards.py tells the form)
    OUT/index.json                  which shards there are
    OUT/dropped.jsonl               every picture that was refused: step, reason, detail; OUT/dropped.png shows some
    OUT/report.json, OUT/report.md  counts of each step, distributions (OUT/histograms.png), pictures per second
    OUT/work                        what is done so far; it goes when all is done

A killed call goes on when the same command is given again, and ends with the same bytes, as it does with other workers or on
Ray. What it is not: the steps (looking.py, deciding.py, scoring.py), or the loading of networks (evaluate/prepare_images.py).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minidiff.data.captioned import DataError
from minidiff.data.images.buckets import Size, bucket_sizes, parsed
from minidiff.data.images.deciding import assigned, left, refuse_by_score, refuse_flawed, refuse_repeated
from minidiff.data.images.engines import engine
from minidiff.data.images.latents import Encoders, encode_shards
from minidiff.data.images.looking import SOURCE, Caption, Limits, Seen, look, seen_of, written
from minidiff.data.images.pieces import Work
from minidiff.data.images.report import REPORT, write_report
from minidiff.data.images.scoring import Judge, Translate, scorer, translator
from minidiff.data.images.sources import HF, Finds, Found, find
from minidiff.data.shards import INDEX, Sample, ShardIndex, is_done, write_index, write_shard
from minidiff.utils import strict_json
from minidiff.utils.files import write_whole
from minidiff.utils.locks import locked
from minidiff.utils.validation import Between, check

NOTE, WORK, VERSION = "prepared.json", "work", 1  # raise the version when the same options would give other bytes
ANYHOW = ("engine", "workers")  # options that don't change what is made


@dataclass(kw_only=True)
class PrepareImages(Limits):
    """Filter pictures with captions, cut them to buckets of sizes, write them as shards, and report what was dropped."""

    source: tyro.conf.Positional[str]
    """A folder of pictures with captions; WebDataset's shards, as a folder, file or pattern in quotes; hf:NAME or hf:FOLDER."""
    out: tyro.conf.Positional[Path]
    """Folder for the shards and the report."""
    area: str = "512x512"
    """Buckets have about the area of this size."""
    tolerance: Annotated[float, Between(0, 0.5)] = 0.1
    """How far a bucket's area may be from it, as a share."""
    sides: tuple[int, int] | None = None
    """Least and greatest side of a bucket; half and twice the root of the area (256 1024) when not given."""
    step: Annotated[int, Between(8, 512)] = 64
    """Sides of buckets are multiples of this."""
    format: Literal["jpg", "png", "webp"] = "jpg"
    """Of the pictures in the shards."""
    quality: Annotated[int, Between(1, 100)] = 95
    """Of jpg and webp."""
    random_crop: bool = False
    """Make pictures cover their bucket and leave the rest, for training to cut at random; else their middle is cut out."""
    shard: Annotated[int, Between(1, 100_000)] = 10_000
    """Pictures in a shard, at most."""
    engine: Literal["local", "ray"] = "local"
    """Where the work is done: processes of this machine, or a Ray cluster (RAY_ADDRESS, or a small one of its own)."""
    workers: Annotated[int, Between(1, 1024)] | None = None
    """Processes at work; as many as there are cores when not given."""
    chunk: Annotated[int, Between(1, 4096)] = 256
    """Pictures in a piece of work, which is lost when the call is killed in it."""

    def __post_init__(self) -> None:
        """Raises ValueError for an option out of its range, for buckets that don't exist, and for folders one in the other."""
        check(self, "")
        self.buckets()
        if not self.languages:
            raise ValueError("--languages needs at least one of en, vi, other.")
        if self.min_characters > self.max_characters:
            raise ValueError(f"--min-characters {self.min_characters} is more than --max-characters {self.max_characters}.")
        source, out = Path(self.source).resolve(), self.out.resolve()
        if not self.source.startswith(HF) and (source == out or source in out.parents or out in source.parents):
            raise ValueError(f"{self.out} and {self.source} are the same or one in the other: choose another OUT.")

    def buckets(self) -> list[Size]:
        """The sizes of the prepared pictures."""
        return bucket_sizes(parsed(self.area), self.sides, self.step, self.tolerance)


@dataclass(frozen=True)
class Networks:
    """What is handed in from above. judges: scores that refuse; translate: loads what fills in a missing language;
    encoders: loads what makes latents of the shards."""

    judges: tuple[Judge, ...] = ()
    translate: Callable[[], Translate] | None = None
    translate_by: str = ""
    encoders: Callable[[], Encoders] | None = None
    encoders_by: str = ""


def prepare_images(config: PrepareImages, networks: Networks | None = None) -> None:
    """Find, look, decide, score, translate, write. All fingerprints are held in memory and compared with each other, so there
    may be some hundred thousand pictures. Raises DataError for a source without pictures or captions and when nothing passes,
    ValueError when OUT holds something else, and LockedError when it is being prepared already."""
    networks = networks or Networks()
    claim_folder(config.out, settings(config, networks))
    with locked(config.out / ".lock", f"The folder {config.out}"):
        if (config.out / REPORT).exists() and (config.out / INDEX).exists():
            print(f"{config.out} is done already: {len(ShardIndex(config.out))} pictures.")
            return
        with engine(config.engine, config.workers) as run:
            work = Work(config.out / WORK, run, config.chunk)
            found = look_for(config, work)
            samples = {one.key: one for one in found.samples}
            seen = judged(samples, config, networks, work)
            members = assigned(seen, config.buckets())
            if networks.translate and members:
                fill_in(samples, list(chain.from_iterable(members.values())), networks.translate, work)
            if members:
                write_shards(samples, members, config, work)
            if networks.encoders and members:
                encode_shards(config.out, networks.encoders, work)
        seen += [Seen(key, step=SOURCE, reason="missing", detail=why) for key, why in found.missing]
        told = settings(config, networks)
        write_report(config.out, told, seen, samples, found.others, members, work.stages)
        if not members:
            raise DataError(f"None of the {len(seen)} pictures in {config.source} passes: {config.out / 'report.md'} says why.")
        shutil.rmtree(config.out / WORK)
    print((config.out / "report.md").read_text(encoding="utf-8"))
    print(f"{len(left(seen))} of {len(seen)} pictures are in {config.out}.")


def settings(config: PrepareImages, networks: Networks) -> dict[str, Any]:
    """Everything that decides what is made, as JSON can hold it."""
    options = {name: value for name, value in asdict(config).items() if name not in (*ANYHOW, "out")}
    judges = [{"name": one.name, "by": one.by, "threshold": one.threshold} for one in networks.judges]
    told = {"version": VERSION, "options": options, "judges": judges, "translate": networks.translate_by,
            "latents": networks.encoders_by}  # fmt: skip
    return json.loads(json.dumps(told, default=str))


def claim_folder(out: Path, told: Mapping[str, Any]) -> None:
    """Notes in OUT what it will hold. Raises ValueError if it is a file, or holds something else."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give a folder to write.")
    note = out / NOTE
    begun = out.exists() and any(file.name not in (NOTE, ".lock") for file in out.iterdir())
    if begun and not note.exists():
        raise ValueError(f"{out} is not empty and wasn't made by `minidiff prepare images`: choose another OUT.")
    if begun and strict_json.read(note) != told:  # a note alone is of a call that found nothing in its source
        raise ValueError(f"{out} was begun with other options: give the same, choose another OUT, or delete that folder.")
    write_whole(note, json.dumps(told, ensure_ascii=False, indent=1))


def look_for(config: PrepareImages, work: Work) -> Finds:
    """Everything in the source. Raises ValueError when it isn't what it was when the run began."""
    found = find(config.source, work.engine)
    digest = hashlib.sha256()
    for sample in found.samples:
        digest.update(json.dumps([sample.key, sample.captions, str(sample.place)]).encode())
    note, told = work.folder / "source.json", {"samples": len(found.samples), "sha256": digest.hexdigest()}
    if note.exists() and strict_json.read(note) != told:
        raise ValueError(f"{config.source} has changed since {config.out} was begun: choose another OUT, or delete that one.")
    write_whole(note, json.dumps(told))
    return found


def judged(samples: Mapping[str, Found], config: PrepareImages, networks: Networks, work: Work) -> list[Seen]:
    """All pictures after all steps, by key."""
    seen = [seen_of(row) for row in work.map("looking", list(samples.values()), partial(look, limits=config))]
    with work.timed("duplicates", len(seen), len(seen)) as bar:
        refuse_repeated(seen, config, config.buckets())
        bar.update(len(seen))
    refuse_flawed(seen, config)
    for judge in networks.judges:
        if judge.name not in config.skip:
            passed = left(seen)
            scores = work.map_with(judge.name, [(samples[one.key], one) for one in passed], partial(scorer, judge.make))
            for one, score in zip(passed, scores, strict=True):
                one.scores[judge.name] = score
            refuse_by_score(seen, judge.name, judge.threshold, judge.above)
    return seen


def fill_in(samples: Mapping[str, Found], seen: Sequence[Seen], make: Callable[[], Translate], work: Work) -> None:
    """Adds a translation to pictures whose captions are all in one of the two languages."""
    jobs = [(samples[one.key], one) for one in seen]
    for one, told in zip(seen, work.map_with("translating", jobs, partial(translator, make)), strict=True):
        one.captions += [Caption(text, language, translated=True) for language, text in [told] if text] if told else []


# --- shards -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shard:
    """A shard to write. first: number of its first picture among all that are kept."""

    path: Path
    bucket: Size
    members: Sequence[Seen]
    first: int


def named(bucket: Size) -> str:
    return f"{bucket[0]}x{bucket[1]}"


def planned(members: Mapping[Size, Sequence[Seen]], out: Path, most: int) -> Iterator[Shard]:
    """Shards of at most so many pictures, bucket by bucket."""
    first = 0
    for bucket, inside in members.items():
        for number, start in enumerate(range(0, len(inside), most)):
            part = inside[start : start + most]
            yield Shard(out / named(bucket) / f"shard-{number:06d}.tar", bucket, part, first)
            first += len(part)


def write_shards(
    samples: Mapping[str, Found], members: Mapping[Size, Sequence[Seen]], config: PrepareImages, work: Work
) -> None:
    """All shards that aren't there yet, and the index. Raises ValueError that names a picture that can be read no longer."""
    shards = list(planned(members, config.out, config.shard))
    to_do = [shard for shard in shards if not is_done(shard.path, len(shard.members))]
    pieces = [(shard.bucket, [samples[one.key] for one in shard.members[start : start + config.chunk]])
              for shard in to_do for start in range(0, len(shard.members), config.chunk)]  # fmt: skip
    done = work.engine.map(partial(write_piece, config=config), pieces)
    images = chain.from_iterable(done)
    counts = [sum(len(shard.members) for shard in part) for part in (shards, to_do)]
    with work.timed("writing", *counts) as bar:
        for shard in to_do:
            write_shard(shard.path, counted(samples_of(shard, images, config.format), bar))
    write_index(config.out, [(named(shard.bucket), shard.path) for shard in shards])


def write_piece(piece: tuple[Size, Sequence[Found]], config: PrepareImages) -> list[bytes]:
    """The files of some pictures of one bucket."""
    bucket, samples = piece
    return [written(sample, bucket, config.format, config.quality, not config.random_crop) for sample in samples]


def samples_of(shard: Shard, images: Iterator[bytes], kind: str) -> Iterator[Sample]:
    """A shard's samples; takes its images from the front of `images`."""
    for number, one in enumerate(shard.members, start=shard.first):
        metadata = {"source": one.key, "captions": [caption.record() for caption in one.captions], "bucket": list(shard.bucket),
                    "size": [one.width, one.height], "sharpness": one.sharpness, "scores": one.scores}  # fmt: skip
        yield Sample(f"{number:09d}", kind, next(images), metadata)


def counted(samples: Iterable[Sample], bar: Any) -> Iterator[Sample]:
    """The same, told to a progress bar."""
    for sample in samples:
        yield sample
        bar.update()
