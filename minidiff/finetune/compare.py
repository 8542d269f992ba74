"""`minidiff finetune compare`: four ways to teach a model one subject, what each costs and what it gives.

LoRA and full fine-tuning learn from the pictures alone, DreamBooth and DreamBooth by LoRA keep the class beside them. Each is
the command that anybody would type, in a process of its own, so that its peak of memory is its own. Then each draws the subject
in new settings (identity), other members of its class (drift) and prompts that have nothing to do with it (following). Beside
them stands what is said of Stable Diffusion (claims.py). Taught in the lesson on DreamBooth.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from PIL import Image
from tqdm import tqdm

from minidiff.data.world.prepare_subject import PrepareSubject, prepare
from minidiff.data.world.subjects import Subject, find_subject
from minidiff.evaluate.judge import load_judge
from minidiff.evaluate.prompt_following import assess
from minidiff.evaluate.report import percent, table
from minidiff.evaluate.subjects import class_prompts, drift, follows, identity, subject_prompts
from minidiff.evaluate.suites import CATEGORIES, Prompt, suite
from minidiff.finetune.claims import published_claims
from minidiff.finetune.learners import file_in
from minidiff.finetune.run import REPORT
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import LoRAs
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.train.options import Count
from minidiff.utils.files import write_whole
from minidiff.utils.images import contact_sheet
from minidiff.utils.strict_json import read as read_json
from minidiff.utils.validation import Between, check


@dataclass
class CompareRun:
    """Compare LoRA, DreamBooth, DreamBooth by LoRA and full fine-tuning on a subject of the drawn world."""

    subject: str = "mochi"
    """mochi (a cat), pipo (a bird) or lumi (a fish)."""
    model: str = "world-dit"
    out: Path = Path("runs/compare")
    """Folder for the runs, which are resumed, the pictures and the figures."""
    token: str = "sks"
    images: Annotated[int, Between(2, 1000)] = 12
    """Pictures of the subject to learn from."""
    steps: Count = 400
    """Steps of each way."""
    prompts: Annotated[int, Between(4, 1000)] = 48
    """Pictures that are drawn for each of the three measures."""

    def __post_init__(self) -> None:
        """Raises ValueError for options that are not allowed."""
        check(self, "minidiff finetune compare")
        find_subject(self.subject)


@dataclass(frozen=True)
class Way:
    """words: behind `minidiff finetune`; lora: whether a LoRA is left, or a whole model."""

    name: str
    words: tuple[str, ...]
    lora: bool

    def folder(self, config: CompareRun) -> Path:
        return config.out / self.name.replace(" ", "-").lower()


def ways(config: CompareRun) -> list[Way]:
    """The four of them, as anybody would type them."""
    data = str(config.out / "data")
    length = ("--model", config.model, "--steps", str(config.steps), "--batch", "4", "--no-mirror")
    kept = ("--token", config.token, "--class-prompts", f"a {find_subject(config.subject).noun}")
    small, large = ("--rank", "8", "--lr", "1e-3"), ("--lr", "1e-4")
    return [
        Way("LoRA", ("lora", data, *length, *small), True),
        Way("DreamBooth by LoRA", ("dreambooth", data, *length, *kept, "--how", "lora", *small), True),
        Way("full", ("full", data, *length, *large), False),
        Way("DreamBooth", ("dreambooth", data, *length, *kept, "--how", "full", *large), False),
    ]


def compare(config: CompareRun) -> None:
    """Train what is not there yet, measure, print the tables and keep figures and pictures. Raises ValueError when a run
    fails."""
    subject = find_subject(config.subject)
    prepare(PrepareSubject(config.subject, config.out / "data", config.images, token=config.token))
    before = Drawn.by(load_pipeline(config.model, dtype="float32"), subject, config)
    rows, sheets = {"before": before.measured(before, subject)}, {"before": before}
    for way in ways(config):
        made = Drawn.by(trained(way, config), subject, config)
        rows[way.name] = costs(way, config) | made.measured(before, subject)
        sheets[way.name] = made
    figures = {
        "subject": config.subject, "model": config.model, "images": config.images, "steps": config.steps,
        "prompts": config.prompts, "ways": rows, "claims": [asdict(claim) for claim in published_claims()],
    }  # fmt: skip
    write_whole(config.out / "compare.json", json.dumps(figures, indent=2, ensure_ascii=False))
    sheet(sheets).save(config.out / "compare.png")
    print(report(figures))
    print(f"{config.out / 'compare.json'}, {config.out / 'compare.png'}")


def trained(way: Way, config: CompareRun) -> TextToImage:
    """The pipeline with what a way learnt, after running it where it isn't done. Raises ValueError when it fails."""
    folder = way.folder(config)
    if not (folder / REPORT).exists():
        words = ["finetune", *way.words, "--out", str(folder)]
        if subprocess.run([sys.executable, "-m", "minidiff", *words]).returncode:
            raise ValueError(f"This run failed: minidiff {' '.join(words)}")
    if not way.lora:
        return load_pipeline(folder, dtype="float32")
    pipeline = load_pipeline(config.model, dtype="float32")
    loras = LoRAs(pipeline)
    loras.mix({loras.load(file_in(folder)): 1.0})
    return pipeline


def costs(way: Way, config: CompareRun) -> dict[str, Any]:
    """What a run's report says of itself."""
    said = read_json(way.folder(config) / REPORT)
    return {
        "parameters": said["parameters"], "megabytes": said["bytes"] / 1e6, "minutes": said["minutes"],
        "peak_memory_mb": said["peak_memory_mb"], "recipe": said["recipe"],
    }  # fmt: skip


@dataclass
class Drawn:
    """What one pipeline draws: the subject in new scenes, its class, and prompts that mention neither. called, plain: the
    prompts of the first two; following: the share of the third that is right."""

    called: list[Prompt]
    plain: list[Prompt]
    subject: list[Image.Image]
    others: list[Image.Image]
    following: float

    @classmethod
    def by(cls, pipeline: TextToImage, subject: Subject, config: CompareRun) -> Drawn:
        def draw(texts: list[str]) -> list[Image.Image]:
            images = []
            for seed, text in enumerate(tqdm(texts, desc="drawing", unit="image", leave=False)):
                images += pipeline(pipeline.request(text, seed=seed, expand_prompt=False))
            return images

        called = subject_prompts(subject, config.token, config.prompts)
        plain = class_prompts(subject, config.prompts)
        others = [prompt for prompt in suite(-(-config.prompts // len(CATEGORIES)), seed=1)
                  if all(group.kind != subject.noun for group in prompt.claim.groups)]  # fmt: skip
        verdicts = assess(draw, others, load_judge()).verdicts
        return cls(
            called, plain, draw([prompt.texts["en"] for prompt in called]), draw([prompt.texts["en"] for prompt in plain]),
            sum(verdict.right for verdict in verdicts) / len(verdicts),
        )  # fmt: skip

    def measured(self, before: Drawn, subject: Subject) -> dict[str, Any]:
        """identity: how much of the subject its pictures show; told: the share of them that show what else the prompt says; of
        the class, what `drift` says; following: of other prompts, the share that is drawn right."""
        told = follows(self.subject, [prompt.claim for prompt in self.called], subject)
        changed = drift(before.others, self.others, [prompt.claim for prompt in self.plain], subject)
        after = {name: changed[name]["after"] for name in ("right", "variety", "resemblance", "taken for it")}
        return {
            "identity": float(identity(self.subject, subject).mean()),
            "told": sum(verdict.right for verdict in told) / len(told),
            **{f"class {name}": value for name, value in after.items()},
            "following": self.following,
        }


def sheet(drawn: Mapping[str, Drawn], columns: int = 4) -> Image.Image:
    """A row for each way: its first pictures of the subject, then of the class."""
    images, titles = [], []
    for name, one in drawn.items():
        images += one.subject[:columns] + one.others[:columns]
        titles += [f"{name}: {prompt.texts['en']}" for prompt in (*one.called[:columns], *one.plain[:columns])]
    return contact_sheet(images, 2 * columns, titles)


COLUMNS = {
    "identity": percent, "told": percent, "class right": percent, "class variety": "{:.2f}".format,
    "class taken for it": percent, "following": percent,
}  # fmt: skip


def report(figures: Mapping[str, Any]) -> str:
    """Both tables as text: what was measured here, and what is claimed and counted for Stable Diffusion."""
    rows = []
    for name, row in figures["ways"].items():
        costs = [f"{row['parameters'] / 1e6:.2f} M", f"{row['megabytes']:.2f} MB", f"{row['minutes']:.1f}",
                 f"{row['peak_memory_mb'] / 1000:.1f} GB"] if "minutes" in row else [""] * 4  # fmt: skip
        rows.append([name, *costs, *(show(row[key]) for key, show in COLUMNS.items())])
    ours = table([f"{figures['subject']}, {figures['model']}", "trained", "file", "minutes", "memory", *COLUMNS], rows)
    claims = [[claim["what"], claim["claimed"] or "-", f"{claim['parameters']:g} M", f"{claim['megabytes']:g} MB"]
              for claim in figures["claims"]]  # fmt: skip
    counted = table(["published models", "claimed", "parameters counted", "file in half precision"], claims)
    return f"{ours}\n\n{figures['prompts']} pictures a measure.\n\n{counted}"
