"""A LoRA learnt from a few pictures of a visitor's, within minutes, in a process of its own.

The process runs what `minidiff finetune lora` runs (`finetune/lora.py`) in a temporary folder; the page reads there how far it
is, draws previews with what was learnt so far, and ends it when somebody presses Stop or the time is up. What it is not: for
strangers; a page that anybody may use refuses it. Taught in the lessons on LoRA and on DreamBooth.
"""

from __future__ import annotations

import csv
import logging
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from minidiff.data.captioned import read_captioned
from minidiff.finetune.captioned_latents import CaptionedLatents
from minidiff.finetune.learners import LoRALearner, file_in
from minidiff.finetune.lora import LoRARun
from minidiff.finetune.run import begin, cache_of, learn
from minidiff.finetune.task import FineTuneTask, best_of
from minidiff.pipelines import loras
from minidiff.pipelines.request import OUR_CHARACTERS, RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.studio.refusals import Refusal
from minidiff.studio.styling import own_name
from minidiff.train.loop import fit
from minidiff.utils.files import write_whole
from minidiff.utils.strict_json import JSONError

LEAST, MOST = 2, 40  # pictures; one of them is held back
SHORTEST, LONGEST = 0.5, 10.0  # minutes
MAX_SIDE = 2048  # pixels
KINDS = {"PNG": ".png", "JPEG": ".jpg"}
GRACE = 20.0  # seconds beyond its time before a training is ended from outside
WARM, TRIAL = 2, 6  # steps that are made before the speed is known: not timed, timed
VALIDATE = 20  # steps between two looks at the picture that is held back
PREVIEW_STEPS = 10
PREVIEW_EVERY = 10.0  # seconds
WITHOUT, STEPS, OUTPUT = "without.txt", "steps.txt", "output.txt"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What to learn: a model of the zoo, pictures with a caption each, the LoRA's name and the longest time in minutes."""

    model: str
    pictures: tuple[Path, ...]
    captions: tuple[str, ...]
    name: str
    minutes: float


@dataclass(frozen=True)
class Learning:
    """Where a training stands. steps: how many there will be, 0 before the speed is known. left: seconds. before, best: loss on
    what is held back, without and with what was learnt. previews: one picture, by the step of what drew it, 0 for the model as
    it was. file: bytes of the LoRA at the end, None where nothing was learnt. ended: "done", "stopped" or "failed"."""

    step: int = 0
    steps: int = 0
    left: float = 0.0
    before: float | None = None
    best: float | None = None
    previews: tuple[tuple[int, Image.Image], ...] = ()
    file: bytes | None = None
    ended: str = ""


def wish(pipeline: TextToImage, pictures: Any, captions: Any, name: Any, minutes: Any) -> Wish:
    """The controls' values, checked; captions: a line for each picture, or one for all. Raises RequestError."""
    row = zoo.manifest().get(pipeline.model, {"config": {}})
    if not row["config"].keys() & {"dit", "unet"} or "labels" in row["config"]:
        raise Refusal("teach_model", model=pipeline.model)
    files = [Path(str(one)) for one in pictures] if isinstance(pictures, (list, tuple)) else []
    if not LEAST <= len(files) <= MOST:
        raise Refusal("teach_count", given=len(files), least=LEAST, most=MOST)
    for file in files:
        check_picture(file)
    text = captions if isinstance(captions, str) else ""
    lines = [" ".join(line.split()) for line in text[: MOST * 2 * OUR_CHARACTERS].splitlines() if line.strip()]
    if len(lines) not in (1, len(files)):
        raise Refusal("teach_lines", given=len(lines), count=len(files))
    if any(len(line) > OUR_CHARACTERS for line in lines):
        raise Refusal("teach_long", most=OUR_CHARACTERS)
    real = isinstance(minutes, int | float) and not isinstance(minutes, bool)
    if not real or not SHORTEST <= minutes <= LONGEST:
        raise Refusal("teach_time", least=f"{SHORTEST:g}", most=f"{LONGEST:g}", given=repr(minutes)[:40])
    called = own_name(re.sub(r"\s+", "-", str(name or "")[:80].strip()))
    each = tuple(lines * len(files)) if len(lines) == 1 else tuple(lines)
    return Wish(pipeline.model, tuple(files), each, called, float(minutes))


def check_picture(file: Path) -> str:
    """The file's suffix by what it holds. Raises Refusal unless it is a PNG or JPEG of a size that is allowed."""
    try:
        with Image.open(file, formats=list(KINDS)) as image:
            if max(image.size) > MAX_SIDE:
                raise ValueError
            kind = str(image.format)
            image.load()
    except Exception:  # PIL has many ways to fail on damaged files
        raise Refusal("teach_picture", given=file.name[-60:], most=MAX_SIDE) from None
    return KINDS[kind]


# ----------------------------------------------------------------------------------------------- in a process of its own


def make_run(folder: Path, model: str, name: str) -> LoRARun:
    """The settings of `minidiff finetune lora`, for few pictures and minutes: small batches at a high rate."""
    return LoRARun(
        data=folder / "pictures", model=model, out=folder / name, batch=4, lr=3e-3, warmup=10, ema=0.9, mirror=False,
        patience=1000, validate_every=VALIDATE, save_every=VALIDATE, fresh=False, steps=WARM + TRIAL,
    )  # fmt: skip


def learn_there(folder: str, model: str, name: str, ends: float) -> None:
    """Learns from folder/pictures until about `ends`, in seconds of `time.time`; the best factors so far are in folder/name."""
    with open(Path(folder) / OUTPUT, "w", encoding="utf-8") as said, redirect_stdout(said), redirect_stderr(said):
        run = make_run(Path(folder), model, name)
        pipeline = begin(run)
        pairs = read_captioned(run.data).pairs
        examples = CaptionedLatents(
            pipeline, pairs, run.held, run.caption_dropout, run.mirror, crops=run.crops, cache=cache_of(run)
        )
        task = FineTuneTask(run, pipeline, examples, LoRALearner(pipeline, run, run.text))
        write_whole(Path(folder) / WITHOUT, str(task.to(pipeline.device).held_out()["loss"]))
        fit(task, replace(run, stop_after=WARM))
        before = time.time()
        fit(task, replace(run, stop_after=TRIAL))
        took = (time.time() - before) / TRIAL  # with a look at the held-out picture, after which there is something to keep
        more = max(1, int((ends - time.time()) / took))
        run.steps, run.validate_every = WARM + TRIAL + more, min(VALIDATE, max(1, more // 4))
        write_whole(Path(folder) / STEPS, str(run.steps))
        learn(task, run)


# ------------------------------------------------------------------------------------------------------------ on the page


def teach(pipeline: TextToImage, asked: Wish, stopped: Callable[[], bool], pause: float = 0.5) -> Iterator[Learning]:
    """Trains, and yields where it stands about once in `pause` seconds; the last one holds the file. Stop and the end of the
    time keep what was learnt so far. The folder is gone and the process has ended when this ends, however it does."""
    seconds = 60 * asked.minutes
    with tempfile.TemporaryDirectory(prefix="minidiff-lora-", ignore_cleanup_errors=True) as made:
        folder, ends = Path(made), time.time() + seconds
        _write_pictures(folder / "pictures", asked)
        told = (made, asked.model, asked.name, ends)
        process = multiprocessing.get_context("spawn").Process(target=learn_there, args=told, daemon=True)
        process.start()
        try:
            yield from _watch(process, pipeline, asked, folder, ends, stopped, pause)
        finally:
            if process.is_alive():
                process.kill()
            process.join()


def _watch(
    process: Any, pipeline: TextToImage, asked: Wish, folder: Path, ends: float, stopped: Callable[[], bool], pause: float
) -> Iterator[Learning]:
    state, drawn_at, drawn_step = Learning(left=ends - time.time()), 0.0, 0
    while True:
        process.join(pause)
        alive, now = process.is_alive(), time.time()
        state = replace(_read(folder, asked.name, state), left=max(0.0, ends - now))
        over = stopped() or now > ends + GRACE
        best = _best(folder / asked.name)
        if not alive or over:
            if alive:
                process.kill()
                process.join()
            break
        if best and best["step"] != drawn_step and now - drawn_at > PREVIEW_EVERY:
            state = replace(state, previews=_previews(pipeline, asked, folder, state.previews, best["step"]))
            drawn_at, drawn_step = time.time(), best["step"]
        yield state
    best = _best(folder / asked.name)
    ended = "stopped" if over else "done" if process.exitcode == 0 else "failed"
    if ended == "failed":
        log.error("training ended with %s: %s", process.exitcode, _tail(folder / OUTPUT))
    if best is None:
        yield replace(state, ended=ended)
        return
    if best["step"] != drawn_step:
        state = replace(state, previews=_previews(pipeline, asked, folder, state.previews, best["step"]))
    yield replace(state, file=file_in(folder / asked.name).read_bytes(), ended=ended, left=0.0)


def _write_pictures(folder: Path, asked: Wish) -> None:
    for number, (picture, caption) in enumerate(zip(asked.pictures, asked.captions, strict=True)):
        write_whole(folder / f"{number:02d}{check_picture(picture)}", picture.read_bytes())
        write_whole(folder / f"{number:02d}.txt", caption)


def _read(folder: Path, name: str, state: Learning) -> Learning:
    """What the process has written of itself."""
    best = _best(folder / name)
    rows: Sequence[dict[str, str]] = []
    try:
        with open(folder / name / "log.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        pass
    step = next((int(row["step"]) for row in reversed(rows) if (row.get("step") or "").isdecimal()), state.step)
    return replace(
        state, step=step, steps=int(_number(folder / STEPS) or 0), before=_number(folder / WITHOUT),
        best=best["loss"] if best else None,
    )  # fmt: skip


def _number(file: Path) -> float | None:
    try:
        return float(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _best(folder: Path) -> dict[str, Any] | None:
    try:
        return best_of(folder) if file_in(folder).exists() else None
    except (OSError, JSONError):
        return None


def _previews(
    pipeline: TextToImage, asked: Wish, folder: Path, before: tuple[tuple[int, Image.Image], ...], step: int
) -> tuple[tuple[int, Image.Image], ...]:
    """The first caption, drawn without and with what was learnt up to `step`; nothing new where the model refuses it."""
    try:
        worn = loras.apart(pipeline, {asked.name: file_in(folder / asked.name)})
        request = worn.pipeline.request(asked.captions[0], steps=PREVIEW_STEPS, expand_prompt=False)
        first = before[:1] or ((0, worn.pipeline(request)[0]),)
        worn.mix({asked.name: 1.0})
        return (*first, (step, worn.pipeline(request)[0]))
    except (RequestError, ValueError):
        log.exception("a preview failed")
        return before


def _tail(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")[-2000:]
    except OSError:
        return "it said nothing"
