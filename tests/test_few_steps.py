"""`minidiff train world-dit-4` and `finetune lcm` on tiny models: what the teacher says, that a killed run goes on as an
unbroken one, and that what is left draws as the student did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image
from published import stable_diffusion
from torch import Tensor

from minidiff import cli
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.evaluate import few_steps as quality
from minidiff.finetune.captioned_latents import CaptionedLatents
from minidiff.finetune.lcm import LCMRun, LCMTask, finetune_lcm, updates
from minidiff.finetune.learners import LoRALearner, file_in
from minidiff.models.detector import Detector
from minidiff.nn.lora import lora_layers
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import LoRAs
from minidiff.pretrained import zoo
from minidiff.recipes import few_steps
from minidiff.recipes.few_steps import FewStepsRun, teach
from minidiff.train import distill
from minidiff.train.distill import DistillTask, Student
from minidiff.train.loop import Step
from minidiff.train.options import TrainingError


@pytest.fixture
def root(whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(whole_zoo, tmp_path / "zoo")
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "zoo"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(few_steps, "SHEET", few_steps.SHEET[:2])
    monkeypatch.setattr(few_steps, "HELD", 8)
    return tmp_path


def run(**settings: Any) -> FewStepsRun:
    return FewStepsRun(**{"steps": 4, "batch": 4, "warmup": 1, "scenes": 16, "rank": 2, "lr": 0.05, "validate_every": 4,
                          "out": Path("run"), "cache": Path("latents"), "save_every": 1, **settings})  # fmt: skip


def task_of(how: str = "progressive", guided: bool = True, students: tuple[int, ...] = (4,)) -> tuple[DistillTask, Any, Any]:
    """A task on random latents, the batch, and the pipeline."""
    teacher, student = (load_pipeline("world-dit", "cpu", "float32") for _ in range(2))
    ids, mask = teacher.tokenizer.encode(["a red star", "two big blue houses at night"])
    x0 = torch.randn(2, *teacher.latent_shape, generator=torch.Generator().manual_seed(0))

    class Examples:
        def make_batch(self, index: int, size: int, seed: int) -> Any: ...

        def held_out(self) -> Any: ...

    config = run(how=how, students=students)
    empty = teacher.tokenizer.encode([""])[0]
    task = DistillTask(config, student.network, teacher.network, guided, teacher.words.tower, empty, Examples(), "v", "cosine")
    return task, {"latents": x0, "ids": ids, "mask": mask}, teacher


def test_the_teacher_is_the_guided_model_that_draws(root: Path) -> None:
    task, batch, pipeline = task_of()
    x, t = torch.randn(2, *pipeline.latent_shape), torch.tensor(0.6, dtype=torch.float64)
    prompts = ["a red star", "two big blue houses at night"]
    expected = pipeline.denoiser(prompts, ["", ""], 3.0)(x, t)
    found = task.teacher(*task.context(batch))(x, t.expand(2))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    alone = task_of(guided=False)[0].teacher(*task.context(batch))(x, t.expand(2))
    torch.testing.assert_close(alone[0], pipeline.denoiser(prompts, ["", ""], 1.0)(x, t)[0], rtol=1e-4, atol=1e-4)


def test_targets_lie_where_two_steps_of_the_guided_teacher_lead(root: Path) -> None:
    task, batch, _ = task_of(students=(4,))
    x, t, aim, context, mask, _ = task.targets(batch, torch.Generator().manual_seed(3))
    teacher = task.teacher(context, mask)
    middle, s = t - 1 / 8, t - 1 / 4
    x_s = step(task.schedule, *teacher(y := step(task.schedule, *teacher(x, t), t, middle), middle), middle, s)
    torch.testing.assert_close(step(task.schedule, *to_x0_eps(task.schedule, "x0", aim, x, t), t, s), x_s)
    assert y.shape == x.shape and bool(((4 * t) % 1 == 0).all()) and float(t.min()) > 0


def test_a_student_begins_as_its_base_and_only_its_updates_learn(root: Path) -> None:
    task, batch, pipeline = task_of(guided=False)
    x, time = torch.randn(2, *pipeline.latent_shape), torch.tensor([300.0, 900.0])
    context, mask = task.context(batch)
    assert torch.equal(task.student(x, time, context, mask), pipeline.network(x, time, context, mask))
    loss, _ = task(batch, Step(0, torch.Generator().manual_seed(0)))
    loss.backward()
    learning = {name for name, value in task.named_parameters() if value.requires_grad}
    assert learning and all(name.startswith("student.learns") for name in learning)
    assert all(value.grad is None for value in task.frozen[0].parameters())


def test_a_plain_copy_predicts_as_the_student(root: Path) -> None:
    network = load_pipeline("world-dit", "cpu", "float32").network
    student = Student(network, rank=2)
    with torch.no_grad():
        for value in student.parameters():
            value.normal_(std=0.1)
    x, context, mask = torch.randn(1, 4, 4, 4), torch.randn(1, 3, 16), torch.ones(1, 3, dtype=torch.bool)
    expected = student(x, torch.tensor([500.0]), context, mask)
    plain = student.plain()
    torch.testing.assert_close(plain(x, torch.tensor([500.0]), context, mask), expected, rtol=1e-4, atol=1e-5)
    assert not lora_layers(plain) and lora_layers(network)


def test_a_shortcuts_smallest_step_has_the_frozen_teacher_and_the_others_its_own_average(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, batch, _ = task_of("shortcut", students=(8, 4))
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(task, "teacher", lambda context, mask: asked.append(("frozen", len(mask))) or (lambda x, t: (x, x)))
    own = task.own_average
    monkeypatch.setattr(task, "own_average", lambda context, mask, size: asked.append(("own", int(size.max()))) or own(
        context, mask, size))  # fmt: skip
    batch = {name: torch.cat([value] * 8) for name, value in batch.items()}
    *_, size = task.targets(batch, torch.Generator().manual_seed(0))
    assert ("frozen", int((size == 0).sum())) in asked and ("own", 1) in asked
    loss, _ = task(batch, Step(0, torch.Generator().manual_seed(0)))
    loss.backward()
    assert task.student.size is not None and task.student.size.weight.grad is not None
    assert task.slow is not None and all(value.grad is None for value in task.slow.parameters())


def test_a_network_is_told_the_size_of_its_step(root: Path) -> None:
    task, batch, pipeline = task_of("shortcut", students=(8, 4))
    x, time, given = torch.randn(2, *pipeline.latent_shape), torch.tensor([500.0, 500.0]), task.context(batch)
    one, other = (task.student(x, time, *given, torch.full((2,), size)) for size in (0, 1))
    assert not torch.equal(one, other)
    drawn = few_steps.ToldTheSize(pipeline.fast_network, task.student.size.weight[1].detach()[None, None])  # type: ignore[union-attr]
    found = drawn(x, time[:1], drawn.prepare_context(*given))
    torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-5)


def state(out: Path) -> dict[str, Tensor]:
    return zoo.load("world-dit-4", out)[1]


def test_a_killed_run_goes_on_as_an_unbroken_one_and_leaves_a_model(root: Path) -> None:
    teach(run(out=Path("whole")))
    for _ in range(3):
        teach(run(out=Path("broken"), stop_after=3))
    whole, broken = state(Path("whole")), state(Path("broken"))
    assert all(torch.equal(value, broken[name]) for name, value in whole.items()) and whole.keys() == broken.keys()
    row = zoo.entry("world-dit-4", Path("whole"))
    assert row["config"]["few_steps"] == {"steps": 4} and row["images_seen"] == 2 * 4 * 4
    assert row["recipe"].startswith("minidiff train world-dit-4 --steps 4") and "latents" not in row["recipe"]
    sheets = sorted(path.name for path in Path("whole").rglob("samples*.png"))
    assert sheets == ["samples-4-steps-000004.png", "samples-8-steps-000004.png"]


@pytest.mark.parametrize("rank", [2, 0])
def test_the_result_draws_in_its_own_steps_without_guidance(rank: int, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teach(run(rank=rank, publish=True))
    assert "Published 'world-dit-4'" in capsys.readouterr().out
    pipeline, base = load_pipeline("world-dit-4", "cpu", "float32"), load_pipeline("world-dit", "cpu", "float32")
    request = pipeline.request("a red star")
    assert (request.steps, request.guidance_scale, request.sampler) == (4, 1.0, "ddim")
    image = pipeline(request)[0]
    given: dict[str, Any] = {"steps": 4, "guidance_scale": 1.0, "sampler": "ddim"}
    assert image.tobytes() != base(base.request("a red star", **given))[0].tobytes(), "nothing was learnt"
    if rank:
        loras = LoRAs(base)
        loras.mix({loras.load("world-dit-4"): 1.0})
        assert image.tobytes() == base(base.request("a red star", **given))[0].tobytes()
    with pytest.raises(SystemExit, match="0"):
        cli.main(["sample", "a red star", "--model", "world-dit-4", "--out", "a.png"])


def test_a_shortcut_is_taught_in_one_stage_and_kept_out_of_the_zoo(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teach(run(how="shortcut", steps=1))
    assert "for comparison" in capsys.readouterr().out and not (root / "run" / zoo.MANIFEST).exists()
    assert {path.name for path in Path("run/steps-8-4").glob("samples*")} == {
        "samples-8-steps-000002.png", "samples-4-steps-000002.png",
    }  # fmt: skip


def test_a_lora_of_another_base_is_refused(root: Path) -> None:
    teach(run(publish=True, students=(4,)))
    name, state = zoo.load("world-dit")
    zoo.add("world-dit", {key: value + 0.5 for key, value in state.items()}, name)
    with pytest.raises(ValueError, match="made for another 'world-dit'"):
        load_pipeline("world-dit-4", "cpu", "float32")


@pytest.mark.parametrize("students", [(), (8, 3), (4, 8)])
def test_students_halve(students: tuple[int, ...]) -> None:
    with pytest.raises(TrainingError, match="half of the one before"):
        run(students=students)


def test_targets_are_all_of_a_transformers_matrices(root: Path) -> None:
    network = load_pipeline("world-dit", "cpu", "float32").network
    assert distill.targets(network) == distill.TARGETS
    assert "to_q" in distill.targets(load_pipeline("world-unet", "cpu", "float32").network)


# --- latent consistency ---------------------------------------------------------------------------------------------


LCM: dict[str, Any] = {"data": Path("photos"), "steps": 2, "batch": 2, "warmup": 1, "validate_every": 2, "save_every": 2,
                       "out": Path("run"), "rank": 2, "lr": 0.05}  # fmt: skip


def test_diffusers_draws_with_an_lcm_lora_that_was_trained_here(photos: Path) -> None:
    stable_diffusion(Path("model"))
    targets = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2")
    finetune_lcm(LCMRun(model="model", targets=targets, **LCM))
    theirs = diffusers.StableDiffusionPipeline.from_pretrained("model")
    theirs.scheduler = diffusers.LCMScheduler.from_config(theirs.scheduler.config)
    theirs.load_lora_weights("run", weight_name=file_in(Path("run")).name)
    image = theirs("a star", num_inference_steps=4, guidance_scale=1.0, output_type="pt").images
    assert torch.isfinite(image).all()


def lcm_task() -> LCMTask:
    pipeline = load_pipeline("world-unet", "cpu", "float32")
    config = LCMRun(model="world-unet", targets=("to_q", "to_k"), **LCM)
    from minidiff.data.captioned import read_captioned

    examples = CaptionedLatents(pipeline, read_captioned(Path("photos")).pairs, 0.2, 0.0, True, crops=1, frozen_text=True,
                                cache=Path("latents"))  # fmt: skip
    return LCMTask(config, pipeline, examples, LoRALearner(pipeline, config))


def test_the_teachers_step_is_the_guided_models_and_untouched_by_the_lora(photos: Path) -> None:
    task, plain = lcm_task(), load_pipeline("world-unet", "cpu", "float32")
    for layer in task.layers:
        torch.nn.init.normal_(layer.update.up.weight)
    x, t = torch.randn(1, *plain.latent_shape), torch.tensor([0.6])
    context, mask = plain.encode(["a red star"])
    found = task.one_step(x, t, t - 0.02, torch.tensor([6.0]), context, mask)
    moment = torch.tensor(0.6)
    expected = step(task.schedule, *plain.denoiser(["a red star"], [""], 7.0)(x, moment), moment, moment - 0.02)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert all(layer.strength == 1.0 for layer in task.layers)


def test_the_average_follows_the_student_and_is_what_it_is_held_to(photos: Path) -> None:
    task = lcm_task()
    with torch.no_grad():
        task.layers[0].update.up.weight.fill_(1.0)
    batch = task.examples.make_batch(0, 2, 0)
    task(batch, Step(0, torch.Generator().manual_seed(0)))
    assert float(task.average[0].up.weight.max()) == pytest.approx(0.05)  # type: ignore[union-attr]
    own = task.layers[0].update
    with updates(task.layers, task.average):
        assert task.layers[0].update is task.average[0]
    assert task.layers[0].update is own
    assert all(value.grad is None for value in task.average.parameters())


def test_lcm_refuses(photos: Path) -> None:
    with pytest.raises(TrainingError, match="below --weakest"):
        LCMRun(weakest=9.0, strongest=5.0)
    with pytest.raises(TrainingError, match="--text is of no use"):
        LCMRun(text=True)


def test_evaluate_few_steps_has_a_row_for_each_model_and_number_of_steps(
    root: Path, shipped: Detector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    teach(run(publish=True, steps=1))
    monkeypatch.setattr(quality, "load_judge", lambda: shipped)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "few-steps", "--counts", "1", "2", "--per-category", "2", "--json", "few.json"])
    figures, out = json.loads(Path("few.json").read_text()), capsys.readouterr().out
    rows = ["world-dit, 1 steps", "world-dit, 2 steps", "world-dit-4, 1 steps", "world-dit-4, 2 steps"]
    assert list(figures["rows"]) == [*rows, "true renders"] and list(figures["models"]) == rows
    assert all(0 < figures["models"][row]["seconds"] < 5 and row in out for row in rows)
    assert figures["rows"]["true renders"]["en"]["value"] > 0.9 and Image.open("few.png").size[0] > 8 * 32
    with pytest.raises(ValueError, match="no number of steps"):
        quality.FewStepsQualityRun(counts=())
    with pytest.raises(ValueError, match="not a .json file"):
        quality.FewStepsQualityRun(json=Path("few.txt"))
