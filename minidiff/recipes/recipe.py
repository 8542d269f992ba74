"""A recipe: a text-to-image model, its data, and the stages of its training, which one command runs and resumes.

Each stage is a run of `train.loop.fit` in a folder of its own and begins with the averaged weights of the one before. Killed
at any moment, within a stage or between two, the same command goes on, and the weights are the same to the last bit. Not
here: any data. What a recipe knows of the drawn world is in world.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, get_type_hints

import torch
from torch import Tensor, nn

from minidiff.models.clip import TextConfig, TextEncoder
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.unet import UNet, UNetConfig
from minidiff.pretrained import zoo
from minidiff.pretrained.configs import build_config
from minidiff.pretrained.pieces import size_of, split
from minidiff.recipes.budget import NOTE, lengthening, seconds_of
from minidiff.text.tokenizer import Tokenizer
from minidiff.train.checkpoint import Training
from minidiff.train.latent_diffusion import Examples, LatentDiffusionTask, Objective, TextTrainable, set_text_trainable
from minidiff.train.loop import LOCK_WAIT, Task, Validator, fit, measured
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight, checked, recipe_text
from minidiff.train.processes import Processes
from minidiff.train.publish import keep
from minidiff.train.world_losses import AUX_LOSSES
from minidiff.utils.files import write_whole
from minidiff.utils.locks import locked
from minidiff.utils.strict_json import JSONError
from minidiff.utils.strict_json import read as read_json
from minidiff.utils.validation import Between, convert, shown

NETWORKS: dict[type, tuple[str, type[nn.Module]]] = {DiTConfig: ("dit", DiT), UNetConfig: ("unet", UNet)}
PREVIOUS = "previous"   # zoo name of a stage's result in its folder


@dataclass(frozen=True)
class CaptionMix:
    """What captions say, and of which scenes.

    dropout: share replaced by the empty caption, for classifier-free guidance.
    detail_dropout: share that leaves out about half of what the others say.
    ambiguous: how many times as often as others, from 1, a scene is shown in which nothing says where things stand.
    places: share of the captions without places to which they are added, thing by thing.
    counts: share of images of several things that look alike, on two sides, from scenes / 8 of them.
    free: share of the captions that are as people type them (`free_captions`).
    """

    dropout: Share = 0.1
    detail_dropout: Share = 0.0
    ambiguous: Annotated[float, Between(1, 1000)] = 1.0
    places: Share = 0.0
    counts: Share = 0.0
    free: Share = 0.0


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    batch: per step and process. scenes: how many different ones are learnt from. seed: the stage's own; noise is never used
    twice. text_trainable: which of the text encoder's weights learn. aux: weights of auxiliary losses
    (`world_losses.AUX_LOSSES`). average_with_start: share of the stage's first weights in its result (Wortsman et al. 2022,
    "Robust fine-tuning of zero-shot models"): what a short training unlearnt comes back, what it learnt stays.
    restore_from_start: words in the names of modules that go back to their first weights wholly. vae: zoo name of the
    autoencoder whose latents are learnt, the data's own when empty: a model that can already draw takes few steps to move to
    the latents of a better one (Chen et al. 2024, "PixArt-Sigma", weak-to-strong training; `moved_latents` gives it a start).
    """

    steps: Count
    batch: Count
    lr: Positive
    scenes: Count
    seed: Annotated[int, Between(0)]
    warmup: Annotated[int, Between(0)] = 100
    ema: Annotated[float, Between(0, 0.9999999)] = 0.998
    weight_decay: Weight = 0.02
    optimizer: Literal["adamw", "muon"] = "muon"
    objective: Objective = Objective()
    captions: CaptionMix = CaptionMix()
    text_trainable: TextTrainable = "none"
    aux: tuple[tuple[str, Weight], ...] = ()
    average_with_start: Share = 0.0
    restore_from_start: tuple[str, ...] = ()
    vae: str = ""

    def __post_init__(self) -> None:
        """Raises TrainingError for a setting out of its range."""
        checked(self)
        if unknown := [name for name, _ in self.aux if name not in AUX_LOSSES]:
            raise TrainingError(f"There is no auxiliary loss {unknown[0]!r}: choose from {', '.join(AUX_LOSSES)}.")


class Data(Protocol):
    """Where examples come from, and how a model of them is watched."""

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Zoo names of what the trained model works with."""

    @property
    def settings(self) -> dict[str, str]:
        """What the zoo's row says of them."""

    def tokenizer(self) -> Tokenizer: ...

    def adapt(self, network: Any, vae: str) -> None:
        """Fits a network that knows the latents of the autoencoder `vae` to the latents of this one, as far as that can be done
        without training."""

    def examples(self, stage: Stage) -> Examples: ...

    def validators(self, task: LatentDiffusionTask, guidance: float, judged: int) -> list[Validator]: ...

    def version(self) -> int | str: ...


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained.

    name: in the zoo. model: its shape; the width of captions is the text encoder's. text: zoo name of the model whose text
    encoder it begins with. token_layer: which block's tokens auxiliary losses get (a U-Net's are those of its second level).
    guidance: of samples while training, and the model's default.
    """

    name: str
    model: DiTConfig | UNetConfig
    data: Any
    stages: tuple[Stage, ...]
    text: str = "world-clip"
    token_layer: Annotated[int, Between(0)] = 0
    guidance: Annotated[float, Between(0, 15)] = 3.0

    @property
    def part(self) -> str:
        """The network's name in the zoo's rows: dit or unet."""
        return NETWORKS[type(self.model)][0]

    def data_of(self, stage: Stage) -> Any:
        """The data as the stage sees them, in latents of its autoencoder."""
        return replace(self.data, vae=stage.vae) if stage.vae else self.data


@dataclass
class RecipeRun:
    """Options of a run of a recipe. The recipe itself says how the model is trained."""

    command: ClassVar[str] = "minidiff train"

    out: Path = Path("runs/recipe")
    """Folder for the stages' folders, images and the trained weights (made if missing; what is found there is resumed)."""
    stages: tuple[Count, ...] = ()
    """Numbers of the stages to run, from 1, such as 1 2; all when not given."""
    start: str = ""
    """Zoo name of a model of the same shape whose weights the first of these stages begins with, in place of the stage
    before."""
    scale: Annotated[float, Between(0, 100, above=True)] = 1.0
    """Steps, warmup and scenes of every stage times this: 0.01 tries everything out in a minute."""
    lengthen: Annotated[float, Between(0, 10**6, above=True)] = 1.0
    """Steps and warmup of every stage times this, on the same scenes."""
    budget: str = ""
    """Time for the whole command, such as 9m: measures what a step costs and finds --lengthen by itself."""
    shard: str = ""
    """Leave the weights in pieces of at most this size, such as 16M; `minidiff zoo add` puts them together."""
    change: tuple[str, ...] = ()
    """Settings of all stages (`recipes.recipe.Stage`) or of the model, such as lr=0.001 captions.places=0.5 model.depth=6."""
    seed: Annotated[int, Between(0, 10**6)] = 0
    """Added to every stage's seed, times 1000."""
    name: str = ""
    """Zoo name of the result; the recipe's own when not given."""
    judged: Annotated[int, Between(0, 1000)] = 0
    """Prompts per category and language, none of the published suite, that the judge grades at each validation; 0 for none."""
    accumulate: Count = 1
    """Micro-batches per step and process; each holds batch / accumulate examples."""
    precision: Literal["auto", "bf16", "fp16", "no"] = "auto"
    """auto, bf16, fp16 or no (fp32); auto measures which of them is faster here, and keeps to it when the run is resumed."""
    compile: bool = False
    """Compile the model with torch.compile (needs a C++ compiler on a CPU)."""
    workers: Annotated[int, Between(0, 256)] = 1
    """Processes that prepare batches."""
    save_every: Count = 200
    validate_every: Count = 500
    fresh: bool = False
    """Start anew even if the folder holds these stages."""
    publish: bool = False
    """Put the result into the zoo, where it replaces the weights of its name; without it they stay in the run's folder."""
    stop_after: Count | None = None
    """Stop (and save) after this many steps of this call."""

    def __post_init__(self) -> None:
        checked(self)
        if self.budget:
            seconds_of(self.budget)
        if self.shard:
            try:
                size_of(self.shard)
            except ValueError as error:
                raise TrainingError(f"--shard: {error}") from None
            if self.publish:
                raise TrainingError("--shard leaves pieces and --publish needs the whole file: choose one of them.")


# --- what a run changes of a recipe ---------------------------------------------------------------------------------


def adjusted(recipe: Recipe, run: RecipeRun) -> Recipe:
    """The recipe as the run's options have it. Raises TrainingError for changes that it has no place for."""
    model, stages = recipe.model, [scaled(stage, run) for stage in recipe.stages]
    for text in run.change:
        name, equals, value = text.partition("=")
        if not equals:
            raise TrainingError(f"--change {shown(text)} must be NAME=VALUE, such as lr=0.001 or captions.places=0.5.")
        if name.startswith("model."):
            model = changed(model, name.removeprefix("model."), value, name)
        else:
            stages = [changed(stage, name, value, name) for stage in stages]
    if model != recipe.model:
        try:
            build_config(type(model), asdict(model), "--change: model")
        except ValueError as error:
            raise TrainingError(str(error)) from None
    adjusted_recipe = replace(recipe, model=model, stages=tuple(stages), name=run.name or recipe.name)
    if isinstance(model, DiTConfig) and not recipe.token_layer < model.depth:
        adjusted_recipe = replace(adjusted_recipe, token_layer=model.depth // 2)
    return adjusted_recipe


def scaled(stage: Stage, run: RecipeRun) -> Stage:
    steps = max(1, round(stage.steps * run.scale * run.lengthen))
    return replace(
        stage, steps=steps, scenes=max(1, round(stage.scenes * run.scale)),
        warmup=min(round(stage.warmup * run.scale * run.lengthen), steps), seed=stage.seed + 1000 * run.seed,
    )  # fmt: skip


def changed(settings: Any, name: str, text: str, whole: str) -> Any:
    """A dataclass with the setting `name` (a path with dots) read from a text. Raises TrainingError."""
    head, _, rest = name.partition(".")
    kinds = {f.name: get_type_hints(type(settings), include_extras=True)[f.name] for f in fields(settings)}
    value = getattr(settings, head, None)
    nested = head == "aux" or is_dataclass(value)
    if head not in kinds or (rest and not nested):
        raise TrainingError(f"--change: there is no setting {whole!r}; here there are {', '.join(kinds)}.")
    try:
        if head == "aux" and rest:
            weights = {**dict(getattr(settings, head)), rest: convert(parsed(text), Weight, f"--change: {whole}")}
            return replace(settings, aux=tuple(weights.items()))
        if rest:
            return replace(settings, **{head: changed(value, rest, text, whole)})
        return replace(settings, **{head: convert(parsed(text), kinds[head], f"--change: {whole}")})
    except ValueError as error:
        raise error if isinstance(error, TrainingError) else TrainingError(str(error)) from None


def parsed(text: str) -> Any:
    """A number, a list ([1, 2] or 1,2), true or false; any other text is itself."""
    for attempt in (text, f"[{text}]" if "," in text else text):
        try:
            return json.loads(attempt)
        except (ValueError, RecursionError):
            continue
    return text


def chosen_stages(recipe: Recipe, run: RecipeRun) -> list[int]:
    numbers = sorted(set(run.stages)) or list(range(1, len(recipe.stages) + 1))
    if numbers[-1] > len(recipe.stages):
        raise TrainingError(f"--stages {numbers[-1]}: {recipe.name} has the stages 1 to {len(recipe.stages)}.")
    return numbers


# --- models ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """Weights in a zoo that a stage begins with."""

    name: str
    root: Path | None = None

    @property
    def sha256(self) -> str:
        return zoo.entry(self.name, self.root)["sha256"]

    @property
    def row(self) -> dict[str, Any]:
        return zoo.entry(self.name, self.root)


def text_encoder(name: str, root: Path | None = None) -> TextEncoder:
    """The text encoder of the zoo's model. Raises TrainingError if it has none."""
    saved, state = zoo.load(name, root)
    if "text" not in saved:
        raise TrainingError(f"{name!r} has no text encoder to start from.")
    text = TextEncoder(TextConfig(**saved["text"]))
    state = {k.removeprefix("text."): v for k, v in state.items()}  # a model that makes images calls its encoder `text`
    text.load_state_dict({k: v for k, v in state.items() if k.startswith(("text_model.", "text_projection."))})
    return text


def build_network(config: DiTConfig | UNetConfig, text_width: int) -> Any:
    """A new network for captions of vectors (B, L, text_width)."""
    if isinstance(config, UNetConfig):
        return UNet(replace(config, context_dim=text_width))
    return DiT(replace(config, caption_channels=text_width))


def token_layer(network: Any, block: int) -> tuple[nn.Module, int]:
    """The layer whose output auxiliary losses get, a grid of 8 x 8 tokens, and its width."""
    if isinstance(network, UNet):
        if len(network.config.channels) < 2:
            raise TrainingError(f"model.channels must name two levels or more, not {len(network.config.channels)}.")
        level: Any = network.up_blocks[-2]
        return (level.attentions or level.resnets)[-1], network.config.channels[1]
    return network.transformer_blocks[block], network.config.hidden_size


def first_modules(recipe: Recipe, stage: Stage, start: Weights | None) -> tuple[Any, TextEncoder]:
    """Network and text encoder as a stage begins with them: new ones, or with `start`'s weights."""
    torch.manual_seed(stage.seed)
    text = text_encoder(recipe.text) if start is None else text_encoder(start.name, start.root)
    network = build_network(recipe.model, text.config.hidden_size)
    if start is not None:
        load_weights(recipe, network, start)
        with torch.random.fork_rng([]):  # latents may be encoded, or lie there already
            recipe.data_of(stage).adapt(network, start.row["config"].get("vae") or recipe.data.settings["vae"])
    return network, text


def build_task(recipe: Recipe, stage: Stage, start: Weights | None) -> LatentDiffusionTask:
    """What a stage trains, beginning with `start`'s weights."""
    network, text = first_modules(recipe, stage, start)
    set_text_trainable(text, stage.text_trainable)
    layer, width = token_layer(network, recipe.token_layer)
    aux = {name: (weight, AUX_LOSSES[name](text.config.hidden_size, width)) for name, weight in stage.aux}
    return LatentDiffusionTask(network, text, recipe.data_of(stage).examples(stage), stage.objective, layer, aux)


def load_weights(recipe: Recipe, network: Any, start: Weights) -> None:
    """Raises TrainingError when the weights are of another shape than the recipe's network."""
    saved, state = zoo.load(start.name, start.root)
    shape = saved.get(recipe.part)
    if shape is None or type(network.config)(**shape) != network.config:
        raise TrainingError(f"{start.name!r} has another shape than this recipe: its settings are {shape}.")
    prefix = f"{recipe.part}."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def weights_of(network: nn.Module, text: nn.Module, part: str) -> dict[str, Tensor]:
    """Network and text encoder under the zoo's names."""
    named = ((part, network), ("text", text))
    return {f"{name}.{key}": value for name, module in named for key, value in module.state_dict().items()}


@torch.no_grad()
def average_with_start(task: LatentDiffusionTask, recipe: Recipe, stage: Stage, start: Weights | None) -> bool:
    """Moves the weights towards those that the stage began with, as the stage says; returns whether it did."""
    if start is None or not (stage.average_with_start or stage.restore_from_start):
        return False
    ours = weights_of(task.network, task.text, recipe.part)
    for key, value in weights_of(*first_modules(recipe, stage, start), recipe.part).items():
        share = 1.0 if any(word in key for word in stage.restore_from_start) else stage.average_with_start
        ours[key].lerp_(value.to(ours[key]), share)
    return True


# --- running --------------------------------------------------------------------------------------------------------


def run_recipe(recipe: Recipe, run: RecipeRun) -> None:
    """Runs the chosen stages, each where it was left, and keeps the last one's weights in run.out.

    Raises TrainingError for options that make no sense, damaged or foreign folders, and diverging losses; LockedError when
    another run uses the folder.
    """
    began, plain = time.monotonic(), recipe
    recipe = adjusted(plain, run)
    numbers, processes = chosen_stages(recipe, run), Processes()
    main = processes.rank == 0
    with locked(run.out / ".lock", f"The run folder {run.out}", LOCK_WAIT) if main else nullcontext():
        if run.fresh and main:
            for number in numbers:
                for name in (zoo.MANIFEST, "stage.json", "checkpoint.pt"):
                    (run.out / f"stage-{number}" / name).unlink(missing_ok=True)
            (run.out / NOTE).unlink(missing_ok=True)
        processes.wait()
        if run.budget:
            run = replace(run, lengthen=run.lengthen * fitting(recipe, run, numbers, began), budget="")
            recipe = adjusted(plain, run)
        start, left = first_weights(recipe, run, numbers[0]), run.stop_after
        for number in numbers:
            done = run_stage(recipe, run, number, start, left, processes)
            if done is None:
                return
            start = Weights(PREVIOUS, run.out / f"stage-{number}")
            left = None if left is None else left - done
            if left == 0 and number != numbers[-1]:
                return
        if main and start is not None:
            keep_result(recipe, run, recipe.stages[numbers[-1] - 1], start)
        processes.wait()


def fitting(recipe: Recipe, run: RecipeRun, numbers: list[int], began: float) -> float:
    """By how much the stages must be longer to fill the budget."""

    def stages() -> list[tuple[Task, LoopConfig]]:
        start = first_weights(recipe, run, numbers[0])
        found: list[tuple[Task, LoopConfig]] = []
        for number in numbers:
            stage = recipe.stages[number - 1]
            found.append((build_task(recipe, stage, start), loop_config(stage, run, run.out, None)))
        return found

    return lengthening(run.budget, run.out, began, stages)


def first_weights(recipe: Recipe, run: RecipeRun, number: int) -> Weights | None:
    """What the first of the chosen stages begins with; None is nothing but the text encoder."""
    if run.start:
        zoo.entry(run.start)
        return Weights(run.start)
    if number == 1:
        return None
    folder = run.out / f"stage-{number - 1}"
    if PREVIOUS not in zoo.manifest(folder):
        raise TrainingError(
            f"Stage {number} begins with the weights of stage {number - 1}, which are not in {folder}: run that first, or pass "
            "--start with the zoo's name of a model to begin with."
        )
    return Weights(PREVIOUS, folder)


def run_stage(
    recipe: Recipe, run: RecipeRun, number: int, start: Weights | None, steps: int | None, processes: Processes
) -> int | None:
    """Trains a stage to its end and keeps its weights in its folder. Returns the steps it took, 0 if it was done already; None
    when it was stopped before its end."""
    folder, stage = run.out / f"stage-{number}", recipe.stages[number - 1]
    same_stage(folder, description(recipe, stage, start), number, write=processes.rank == 0)
    processes.wait()
    if PREVIOUS in zoo.manifest(folder):
        if processes.rank == 0:
            (folder / "checkpoint.pt").unlink(missing_ok=True)
        return 0
    if processes.rank == 0:
        print(f"{recipe.name}: stage {number} of {len(recipe.stages)}, {stage.steps} steps")
    task = build_task(recipe, stage, start)
    config = loop_config(stage, run, folder, steps)
    validators = recipe.data_of(stage).validators(task, recipe.guidance, run.judged)
    training = fit(task, config, validators)
    if training.step < stage.steps:
        return None
    training.ema.copy_to(task)
    averaged = average_with_start(task, recipe, stage, start)
    figures = training.figures
    if averaged or not figures:
        figures = measured(task, [task.validate, *validators], folder, training.step, processes)
    if processes.rank == 0:
        keep_stage(recipe, stage, task, training, config, start, figures)
    processes.wait()
    return training.step - training.began


def loop_config(stage: Stage, run: RecipeRun, folder: Path, steps: int | None) -> LoopConfig:
    """A stage's options for the training loop; steps: after how many to stop, if not at its end."""
    return LoopConfig(
        out=folder, steps=stage.steps, batch=stage.batch, lr=stage.lr, warmup=stage.warmup, weight_decay=stage.weight_decay,
        optimizer=stage.optimizer, ema=stage.ema, seed=stage.seed, accumulate=run.accumulate, precision=run.precision,
        compile=run.compile, workers=run.workers, save_every=run.save_every, validate_every=run.validate_every,
        stop_after=steps,
    )  # fmt: skip


def description(recipe: Recipe, stage: Stage, start: Weights | None) -> dict[str, Any]:
    """All that a stage's weights depend on."""
    rows = {name: zoo.entry(name)["sha256"] for name in recipe.data_of(stage).dependencies}
    first = zoo.entry(recipe.text)["sha256"] if start is None else start.sha256
    whole = {"stage": asdict(stage), "model": asdict(recipe.model), "token_layer": recipe.token_layer, "start": first, **rows}
    return json.loads(json.dumps(whole))


def same_stage(folder: Path, told: dict[str, Any], number: int, write: bool) -> None:
    """Notes in the folder what its stage is. Raises TrainingError if it holds another one."""
    path = folder / "stage.json"
    again = "pass another --out, or --fresh to begin anew there."
    try:
        found = read_json(path)
    except FileNotFoundError:
        if (folder / "checkpoint.pt").exists() or (folder / zoo.MANIFEST).exists():
            raise TrainingError(f"{folder} holds a run and no stage.json that says which: {again}") from None
        if write:
            write_whole(path, json.dumps(told, indent=2) + "\n")
        return
    except (JSONError, OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read ({error}): {again}") from None
    if found != told:
        raise TrainingError(f"{folder} holds another stage {number} ({'; '.join(unlike(found, told))}): {again}")


def unlike(found: Any, told: Any, name: str = "") -> list[str]:
    """How two tables differ: "stage.lr was 0.1 and is 0.2"."""
    if isinstance(found, dict) and isinstance(told, dict):
        keys = [key for key in {**found, **told} if found.get(key) != told.get(key)]
        return [line for key in keys for line in unlike(found.get(key), told.get(key), f"{name}.{key}".lstrip("."))]
    return [f"{name} was {shown(found)} and is {shown(told)}"]


def keep_stage(
    recipe: Recipe, stage: Stage, task: LatentDiffusionTask, training: Training, config: LoopConfig, start: Weights | None,
    figures: Mapping[str, float],
) -> None:  # fmt: skip
    """The stage's weights in full precision, for the next one; its checkpoint is no longer needed."""
    before, vae = start.row if start is not None else {}, recipe.data_of(stage).settings["vae"]
    minutes = before.get("figures", {}).get("minutes", 0) + training.seconds / 60
    zoo.add(
        PREVIOUS,
        weights_of(task.network, task.text, recipe.part),
        {recipe.part: asdict(task.network.config), "text": asdict(task.text.config), "vae": vae},
        dtype=torch.float32,
        root=config.out,
        images_seen=before.get("images_seen", 0) + training.images_seen(config),
        figures={**figures, "minutes": round(minutes, 1)},
    )
    (config.out / "checkpoint.pt").unlink(missing_ok=True)


def keep_result(recipe: Recipe, run: RecipeRun, stage: Stage, last: Weights) -> None:
    """The weights of `stage`, the last one, in half precision, in the run's folder, and in the zoo if the run says so."""
    config, state = zoo.load(last.name, last.root)
    row, objective, data = last.row, stage.objective, recipe.data_of(stage)
    command = recipe_text(run.command, run)  # type: ignore[arg-type]
    if run.start and (before := zoo.entry(run.start).get("recipe")):
        command = f"{before} && {command}"
    keep(
        run.out,
        recipe.name,
        state,
        {
            **config, "schedule": objective.schedule, "prediction_type": objective.prediction_type, **data.settings,
            "guidance": recipe.guidance, "tell_places": any(stage.captions.places > 0 for stage in recipe.stages),
        },
        dependencies=data.dependencies,
        to_zoo=run.publish,
        recipe=command,
        images_seen=row["images_seen"],
        world_version=data.version(),
        figures=row["figures"],
    )  # fmt: skip
    if run.shard:
        pieces = split(run.out / zoo.entry(recipe.name, run.out)["file"], size_of(run.shard))
        print(f"The weights are in {len(pieces)} pieces of at most {run.shard}.")
