"""`world-dit-4`: the drawn world's DiT, taught to draw in four steps without guidance.

`minidiff train world-dit-4` teaches student after student, each in a folder of its own, where it goes on after a stop. The
result is a LoRA of the teacher that is a model of its own for `--model`, or with rank 0 a whole model. What it is not: the
targets and losses (diffusion/distillation.py, train/distill.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.evaluate.prompt_following import accuracy
from minidiff.evaluate.suites import suite
from minidiff.nn.lora import factors_of
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import part_of
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pipelines.zoo_rows import FEW_STEPS
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import write_lora
from minidiff.recipes.recipe import CaptionMix, Stage
from minidiff.recipes.world import SHEET, Sampler, WorldLatents
from minidiff.train.distill import DistillOptions, DistillTask, Student
from minidiff.train.loop import LOCK_WAIT, Validator, fit
from minidiff.train.options import recipe_text
from minidiff.train.publish import keep, publish
from minidiff.utils.images import contact_sheet, to_images
from minidiff.utils.locks import locked
from minidiff.utils.validation import Between

CAPTIONS = CaptionMix(dropout=0.0, detail_dropout=0.5, ambiguous=2, places=0.5, free=0.3)
NAME = "world-dit-4"
HELD = 128  # scenes on which students are compared with their targets


@dataclass(kw_only=True)
class FewStepsRun(DistillOptions):
    """Teach a model to draw in 8, then in 4 steps, without guidance (about three hours on one CPU core)."""

    afterwards: ClassVar[tuple[str, ...]] = ("judged",)

    out: Path = Path("runs/world-dit-4")
    validate_every: Annotated[int, Between(1)] = 500
    cache: Path = Path("runs/latents")
    """Folder where the scenes' latents are kept."""
    judged: Annotated[int, Between(0, 1000)] = 0
    """Prompts per category and language, none of the published suite, that the judge grades at each validation; 0 for none."""


class ToldTheSize:
    """A prepared network that finds one more token, (1, 1, D), behind every caption: a shortcut's step size."""

    def __init__(self, inner: Any, token: Tensor) -> None:
        self.inner, self.token = inner, token

    def prepare_context(self, context: Tensor, mask: Tensor) -> Any:
        context = torch.cat([context, self.token.expand(len(context), -1, -1)], dim=1)
        return self.inner.prepare_context(context, torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1))

    def __call__(self, x: Tensor, timestep: Tensor, context: Any) -> Tensor:
        return self.inner(x, timestep, context)


def drawing(run: FewStepsRun, student: Student, size: int) -> TextToImage:
    """A pipeline that draws as the student does now. size: which of a shortcut's step sizes."""
    pipeline = load_pipeline(run.model, "cpu", "float32", batch=16)
    pipeline.network.load_state_dict(student.plain().state_dict())
    if student.size is not None:
        pipeline.fast_network = ToldTheSize(pipeline.fast_network, student.size.weight[size].detach().clone()[None, None])
    return pipeline


def validators(run: FewStepsRun, task: DistillTask) -> list[Validator]:
    """A sheet for each number of steps of the stage, and what the judge says."""
    found: list[Validator] = []
    for size, steps in enumerate(task.config.students):

        def sheet(folder: Path, step: int, size: int = size, steps: int = steps) -> dict[str, float]:
            images = Sampler(drawing(run, task.student, size), 1.0, steps, sampler="ddim")(list(SHEET))
            folder.mkdir(parents=True, exist_ok=True)
            contact_sheet(to_images(images * 2 - 1), 8).save(folder / f"samples-{steps}-steps-{step:06d}.png")
            return {}

        def judge(folder: Path, step: int, size: int = size, steps: int = steps) -> dict[str, float]:
            prompts, figures = suite(run.judged, seed=1), {}
            for number, lang in enumerate(("en", "vi")):
                sampler = Sampler(drawing(run, task.student, size), 1.0, steps, number * len(prompts), "ddim")
                figures[f"{lang}_{steps}_steps"] = accuracy(sampler, prompts, langs=(lang,))[lang]
            return figures

        found += [sheet, judge] if run.judged else [sheet]
    return found


def stage_config(run: FewStepsRun, number: int, students: Sequence[int]) -> FewStepsRun:
    """The run's options for one stage. A shortcut has one, as long as all stages of the progressive way together."""
    steps = run.steps * (len(run.students) if run.how == "shortcut" else 1)
    folder = run.out / "-".join(["steps", *map(str, students)])
    return replace(run, out=folder, students=tuple(students), seed=run.seed + number, steps=steps)


def teach(run: FewStepsRun) -> None:
    """Teach all students, then keep the last one. Raises TrainingError for options that make no sense, and LockedError when
    another run uses the folder."""
    with locked(run.out / ".lock", f"The run folder {run.out}", LOCK_WAIT):
        teacher = load_pipeline(run.model, "cpu", "float32")
        vae = zoo.entry(run.model)["config"]["vae"]
        data = WorldLatents(vae, teacher.image_size, HELD, run.cache)
        captions = data.examples(Stage(run.steps, run.batch, run.lr, run.scenes, seed=run.seed, captions=CAPTIONS))
        empty = data.tokenizer().encode([""])[0]
        stages = [run.students] if run.how == "shortcut" else [(steps,) for steps in run.students]
        network, taught, guided, minutes = teacher.network, None, True, 0.0
        for number, students in enumerate(stages):
            config = stage_config(run, number, students)
            student = load_pipeline(run.model, "cpu", "float32").network
            task = DistillTask(
                config, student, network, guided, teacher.words.tower, empty, captions, teacher.prediction_type,
                teacher.scheduler.schedule.name,
            )  # fmt: skip
            if taught is not None:  # it begins where the one before ended
                task.student.load_state_dict(taught.student.state_dict())
            training = fit(task, config, validators(run, task))
            if not training.finished(config):
                return
            training.ema.copy_to(task)
            network, taught, guided, minutes = task.student.plain(), task, False, minutes + training.seconds / 60
        assert taught is not None
        keep_student(run, taught, minutes)


def keep_student(run: FewStepsRun, task: DistillTask, minutes: float) -> None:
    """The last student in the run's folder, and in the zoo if the run says so."""
    steps, base = run.students[-1], run.model
    row = zoo.entry(base)
    meta: dict[str, Any] = {
        "recipe": recipe_text("minidiff train world-dit-4", run), "world_version": WORLD_VERSION,
        "images_seen": run.steps * run.batch * len(run.students), "figures": {"minutes": round(minutes, 1)},
    }  # fmt: skip
    if run.how == "shortcut":
        print(f"{run.out} holds the shortcut model's checkpoint and sheets. It is for comparison: nothing else reads it.")
        return
    how = {FEW_STEPS: {"steps": steps}}
    if run.rank:
        part = part_of(task.student.networks[0])
        file = write_lora(run.out / f"{NAME}.safetensors", {part: factors_of(task.student.networks[0])}, dtype=torch.float16)
        config = {"lora": {"base": base}, "made_with": {base: row["sha256"]}, **how}
        zoo.add_file(NAME, file.read_bytes(), ".safetensors", run.out, config=config, **meta)
        told = publish(run.out) if run.publish else f"{NAME!r} is in {run.out}: minidiff sample ... --model {run.out}"
        print(told)
        return
    whole: dict[str, Any] = {key: value for key, value in row["config"].items() if key != "made_with"} | how
    state = zoo.load(base)[1]
    prefix = next(part for part in ("dit", "unet") if part in whole)
    state |= {f"{prefix}.{name}": value for name, value in task.student.plain().state_dict().items()}
    others: list[str] = [whole[key] for key in ("vae", "tokenizer", "reader") if whole.get(key) in zoo.manifest()]
    keep(run.out, NAME, state, whole, dependencies=others, to_zoo=run.publish, **meta)
