"""`dit_b_256` and `dit_b_512`: a text DiT of DiT-B's size (12 blocks, 768 wide, 119 million parameters), trained past one
machine on prepared shards.

    minidiff prepare images SRC data/shards --area 256x256 --latents MODEL
    accelerate launch --num_processes 8 -m minidiff train dit_b_256 --data data/shards

The same command goes on after a stop, with another number of processes, too: pictures, noises and captions follow from the seed
and the number of the micro-batch alone. `--plan` trains nothing and says what it would cost (plan.py). What it is not: the loop
(train/loop.py), the batches (train/sharded.py), or the preparation (data/images). docs/scale.md has the whole way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from minidiff.data.images.buckets import parsed
from minidiff.data.images.encoded import EncodedShards
from minidiff.data.shards import ShardError
from minidiff.models.dit import DiT, DiTConfig
from minidiff.pretrained import zoo
from minidiff.recipes.plan import Plan, print_plan
from minidiff.train.checkpoint import Training
from minidiff.train.costs import training_flops
from minidiff.train.curves import read_columns
from minidiff.train.latent_diffusion import Objective
from minidiff.train.log import TensorBoard, WeightsAndBiases, check_installed
from minidiff.train.loop import fit
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight, checked, recipe_text
from minidiff.train.processes import Processes, on_cpu
from minidiff.train.publish import keep
from minidiff.train.sharded import ShardedExamples, ShardedTask, TextNorm
from minidiff.train.watch import SIDE, Watch
from minidiff.utils.validation import Between

TOLERANCE = 0.25  # how far the area of a bucket may be from the recipe's, as a share
GUIDANCE = 5.0    # the finished model's default
FINAL_NORM = "text.text_model.final_layer_norm"  # of our text towers, in the zoo's rows


@dataclass(frozen=True)
class DiTB:
    """A recipe. size: its pictures have about the area of a square of so many pixels. starts: the recipe whose weights it
    begins with, or None."""

    name: str
    size: int
    model: DiTConfig
    objective: Objective
    steps: int
    micro: int
    starts: str | None = None


DIT_B_256 = DiTB(
    "dit_b_256", 256, DiTConfig(sample_size=32, hidden_size=768, depth=12, heads=12, caption_channels=768), Objective(),
    steps=400_000, micro=64,
)  # fmt: skip

# A latent of 512 pixels spans the same positions as one of 256, twice as densely (PixArt-Sigma, Chen et al. 2024, section 2.3,
# "PE interpolation"), and gets twice the noise, since neighbours tell more of each other (Hoogeboom et al. 2023, section 3.1).
DIT_B_512 = DiTB(
    "dit_b_512", 512, replace(DIT_B_256.model, sample_size=64, interpolation_scale=2.0), Objective(shift=2.0),
    steps=100_000, micro=16, starts="dit_b_256",
)  # fmt: skip


@dataclass(kw_only=True)
class DiTBRun:
    """Options of both recipes. Give the same command again, with any number of processes, to go on after a stop."""

    recipe: ClassVar[DiTB] = DIT_B_256

    data: Path = Path("data/shards")
    """Folder that `minidiff prepare images SRC OUT --latents MODEL` wrote, or a folder of such folders."""
    out: Path = Path("runs/dit_b_256")
    """Folder for checkpoint, log and the trained weights (made if missing; a run found there is resumed)."""
    start: str = ""
    """Folder of a finished run, or zoo name of a model, whose weights this one begins with."""
    steps: Count = DIT_B_256.steps
    batch: Count = 1024
    """Pictures per step, in all processes: processes times --micro times the micro-batches that each accumulates."""
    micro: Count = DIT_B_256.micro
    """Pictures in a micro-batch, as many as a GPU has room for. Another number makes another run."""
    lr: Positive = 1e-4
    """Peak learning rate of AdamW, reached after `warmup` steps and then lowered along a cosine."""
    warmup: Annotated[int, Between(0)] = 2000
    weight_decay: Weight = 0.01
    ema: Annotated[float, Between(0, 0.9999999)] = 0.9999
    """Decay of the averaged weights, kept in float32 on the device; they are what the run ends with."""
    size: Count = DIT_B_256.size
    """Side in pixels of the square whose area the pictures have."""
    width: Count = DIT_B_256.model.hidden_size
    """Of the network. 192 with --depth 4 tries everything out on a CPU."""
    depth: Count = DIT_B_256.model.depth
    heads: Count | None = None
    """Of attention; width / 64 when not given."""
    sizes_per_step: Count = 1
    """How many sizes of pictures a step has; must divide the micro-batches that each process accumulates."""
    tokens: Annotated[int, Between(1, 4096)] = 77
    """Captions are padded to so many tokens, and cut after them, so that all shapes are alike (CLIP 77, SigLIP 64, T5 120)."""
    caption_dropout: Share = 0.1
    """Share of captions that are left empty, for guidance."""
    mirror: bool = True
    """Learn mirror images, too; --no-mirror where left and right matter."""
    held: Annotated[int, Between(0)] = 512
    """Pictures that are never learnt from, on which the loss is measured."""
    text_norm: Annotated[float, Between(0, 1)] = 0.0
    """Learning rate of the text tower's last LayerNorm, as a share of the network's, such as 0.01; 0: it stays as it is."""
    checkpointing: bool = False
    """Compute each block a second time instead of keeping what it computed: about a third more work, and less memory."""
    precision: Literal["auto", "bf16", "fp16", "no"] = "auto"
    """auto, bf16, fp16 or no (fp32); auto measures which of bf16 and fp32 is faster here."""
    compile: bool = False
    """Compile the model with torch.compile (needs a C++ compiler on a CPU)."""
    seed: Annotated[int, Between(0)] = 0
    workers: Annotated[int, Between(0, 256)] = 4
    """Processes per GPU that read batches ahead, four each."""
    save_every: Count = 5000
    validate_every: Count = 5000
    fresh: bool = False
    """Start anew even if the folder holds a checkpoint."""
    publish: bool = False
    """Put the result into the zoo, where it replaces the weights of its name; without it they stay in the run's folder."""
    stop_after: Count | None = None
    """Stop (and save) after this many steps of this call."""
    tensorboard: bool = False
    """Write the log for TensorBoard, too, into the run's folder."""
    wandb: str = ""
    """Project of Weights & Biases that gets the log, too."""
    plan: bool = False
    """Train nothing: print memory, days and cost, and which of the figures are measured."""
    gpus: Count = 8
    """With --plan: how many."""
    gpu: str = "H100"
    """With --plan: their name, as `train.watch.PEAKS` has it."""
    price: Weight = 2.5
    """With --plan: dollars per GPU and hour."""
    mfu: Annotated[float, Between(0, 1, above=True)] = 0.35
    """With --plan: the share of the GPU's peak that is assumed without --measured."""
    measured: Path | None = None
    """With --plan: log.csv of a run on such GPUs, from which the time of a step is taken."""
    pictures: Count | None = None
    """With --plan: how many there will be; those in --data when not given, or 100 million."""

    def __post_init__(self) -> None:
        checked(self)
        heads = self.heads or self.width // 64
        if heads < 1 or self.width % heads or self.width % 4:
            raise TrainingError(f"--width {self.width} must be a multiple of 4 and of --heads, here {heads}.")


@dataclass(kw_only=True)
class DiTB256Run(DiTBRun):
    """Train a text DiT of 119 million parameters on pictures of 256 x 256, in shards."""


@dataclass(kw_only=True)
class DiTB512Run(DiTBRun):
    """Go on with a dit_b_256 on pictures of 512 x 512, in shards."""

    recipe: ClassVar[DiTB] = DIT_B_512

    out: Path = Path("runs/dit_b_512")
    steps: Count = DIT_B_512.steps
    micro: Count = DIT_B_512.micro
    size: Count = DIT_B_512.size


@dataclass
class DiTBLoop(LoopConfig):
    """What the loop is told, and what else the weights depend on: a checkpoint of other settings is refused."""

    recipe: str = ""
    model: str = ""
    shards: str = ""
    start: str = ""
    sizes_per_step: int = 1
    tokens: int = 77
    caption_dropout: float = 0.1
    mirror: bool = True
    held: int = 512
    text_norm: float = 0.0


# --- what is checked before anything begins -------------------------------------------------------------------------


def model_config(run: DiTBRun, shards: EncodedShards) -> DiTConfig:
    """The network for pictures and text vectors as they are in the shards. Raises TrainingError for sizes that don't fit."""
    model, factors, channels = run.recipe.model, set(), set()
    for name, bucket in shards.buckets.items():
        (width, height), (inner, rows, columns) = parsed(name), bucket.shape
        if abs(width * height / run.size**2 - 1) > TOLERANCE:
            raise TrainingError(f"{run.data} holds pictures of {name}, whose area isn't about that of {run.size}x{run.size}: "
                                f"prepare them with --area {run.size}x{run.size}, or pass another --size.")  # fmt: skip
        if rows % model.patch_size or columns % model.patch_size:
            raise TrainingError(f"Latents of pictures of {name} are {columns}x{rows}, which don't divide into patches of "
                                f"{model.patch_size}: prepare the pictures with a larger --step.")  # fmt: skip
        factors |= {width / columns, height / rows}
        channels.add(inner)
    side = run.size / max(factors)
    if len(factors) > 1 or len(channels) > 1 or side != int(side) or side % model.patch_size:
        raise TrainingError(f"The latents in {run.data} don't belong together, or not to pictures of --size {run.size}: "
                            "prepare all with the same --latents.")  # fmt: skip
    return replace(sized(run), sample_size=int(side), in_channels=channels.pop(), caption_channels=shards.width)


def sized(run: DiTBRun) -> DiTConfig:
    """The recipe's network with the run's width, depth and heads."""
    return replace(run.recipe.model, hidden_size=run.width, depth=run.depth, heads=run.heads or run.width // 64)


def accumulation(run: DiTBRun, processes: int) -> int:
    """Micro-batches per step and process. Raises TrainingError when the batch can't be divided so."""
    if run.batch % (processes * run.micro):
        fitting = next((n for n in range(min(run.micro, run.batch), 0, -1) if run.batch % (processes * n) == 0), None)
        nearest = processes * run.micro * max(1, run.batch // (processes * run.micro))
        advice = f"--micro {fitting}" if fitting else f"--batch {nearest}"
        raise TrainingError(f"A batch of {run.batch} can't be divided into micro-batches of {run.micro} for {processes} "
                            f"{'process' if processes == 1 else 'processes'}: pass {advice}, for instance.")  # fmt: skip
    accumulate = run.batch // (processes * run.micro)
    if accumulate % run.sizes_per_step:
        raise TrainingError(f"--sizes-per-step {run.sizes_per_step} doesn't divide the {accumulate} micro-batches that each of "
                            f"{processes} processes accumulates.")  # fmt: skip
    return accumulate


def start_weights(run: DiTBRun, model: DiTConfig) -> dict[str, Tensor] | None:
    """What the network begins with; None without --start. Raises TrainingError for weights of another shape."""
    if not run.start:
        if run.recipe.starts:
            raise TrainingError(f"{run.recipe.name} begins with the weights of {run.recipe.starts}: pass --start with the "
                                f"folder of that run, such as runs/{run.recipe.starts}.")  # fmt: skip
        return None
    folder = Path(run.start)
    root = folder if folder.is_dir() else None
    names = [name for name, row in zoo.manifest(root).items() if "dit" in row["config"]] if root else [run.start]
    if len(names) != 1:
        raise TrainingError(f"--start {run.start} holds no finished training of a DiT.")
    saved, state = zoo.load(names[0], root)
    shape = saved.get("dit") or {}
    unlike = [f"{name} is {shape.get(name)} there and {value} here" for name, value in asdict(model).items()
              if name not in ("sample_size", "interpolation_scale") and shape.get(name) != value]  # fmt: skip
    if unlike:
        hint = "; caption_channels is the width of the text vectors: prepare with the same text encoder" if any(
            "caption_channels" in one for one in unlike) else ""  # fmt: skip
        raise TrainingError(f"--start {run.start} has weights of another shape ({'; '.join(unlike)}){hint}.")
    return {name.removeprefix("dit."): value.float() for name, value in state.items() if name.startswith("dit.")}


# --- running --------------------------------------------------------------------------------------------------------


def train(run: DiTBRun) -> None:
    """The command. Raises TrainingError and ShardError, one sentence each, before anything is trained; and as `fit`."""
    if run.plan:
        print_plan(plan_of(run))
        return
    if run.tensorboard:
        check_installed("tensorboard", "--tensorboard")
    if run.wandb:
        check_installed("wandb", "--wandb")
    processes = Processes()
    accumulate = accumulation(run, processes.count)
    shards = EncodedShards(run.data)
    model = model_config(run, shards)
    start = start_weights(run, model)
    config = loop_config(run, model, shards, accumulate, processes.count)
    task = build_task(run, model, shards, start)
    if processes.rank == 0:
        told = ", ".join(f"{len(one):,} of {name}" for name, one in shards.buckets.items())
        print(f"{run.recipe.name}: {sum(p.numel() for p in task.network.parameters()):,} parameters; pictures: {told}; "
              f"{run.batch} per step: {processes.count} x {run.micro} x {accumulate}")  # fmt: skip
        if on_cpu():
            print(f"mfu is a share of what this CPU does in products of matrices of {SIDE} x {SIDE}.")
    training = fit(task, config, watch=watch_of(run, model))
    if processes.rank == 0 and (replaced := sum(value for _, value in read_columns(run.out / "log.csv").get("replaced", ()))):
        print(f"{replaced:.0f} corrupted samples were replaced by others; the log says in which steps.")
    kept = training.step == training.began and run.recipe.name in zoo.manifest(run.out)  # a run that was done before
    if training.finished(config) and not kept:
        keep_result(run, model, task, training, config, shards)
    processes.wait()


def loop_config(run: DiTBRun, model: DiTConfig, shards: EncodedShards, accumulate: int, processes: int) -> DiTBLoop:
    names = ("out", "steps", "lr", "warmup", "weight_decay", "ema", "precision", "compile", "seed", "workers", "save_every",
             "validate_every", "fresh", "publish", "stop_after", "start", "sizes_per_step", "tokens", "caption_dropout",
             "mirror", "held", "text_norm")  # fmt: skip
    return DiTBLoop(
        **{name: getattr(run, name) for name in names}, batch=run.batch // processes, accumulate=accumulate,
        recipe=run.recipe.name, model=str(model), shards=shards.digest,
    )  # fmt: skip


def build_task(run: DiTBRun, model: DiTConfig, shards: EncodedShards, start: dict[str, Tensor] | None) -> ShardedTask:
    torch.manual_seed(run.seed)
    network = DiT(model)
    if start is not None:
        network.load_state_dict(start)
    if run.checkpointing:
        checkpoint_blocks(network.transformer_blocks)
    text = TextNorm(shards.width, run.text_norm) if run.text_norm else nn.Identity()
    examples = ShardedExamples(
        shards, run.steps, run.batch, run.micro, run.seed, sizes=run.sizes_per_step, tokens=run.tokens,
        dropout=run.caption_dropout, mirror=run.mirror, held=run.held,
    )  # fmt: skip
    return ShardedTask(network, text, examples, run.recipe.objective)


def checkpoint_blocks(blocks: Iterable[nn.Module]) -> None:
    """Has every block compute its inner values a second time when they are wanted (Chen et al. 2016, "Training deep nets with
    sublinear memory cost"). The modules, their names and results stay the same."""
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)  # type: ignore[method-assign]


def watch_of(run: DiTBRun, model: DiTConfig) -> Watch:
    def flops(batch: dict[str, Any]) -> float:
        count, _, rows, columns = batch["latents"].shape
        return count * training_flops(model, rows * columns // model.patch_size**2, batch["context"].shape[1])

    def replaced(row: dict[str, Any], batch: int) -> dict[str, float]:
        return {"replaced": round(row["replaced"] * batch)}  # the loop's figures are means over the pictures

    sinks: list[Any] = [partial(TensorBoard, run.out)] if run.tensorboard else []
    if run.wandb:
        settings = {name: str(value) for name, value in asdict(run).items()}
        sinks.append(lambda first: WeightsAndBiases(run.out, run.wandb, settings))
    return Watch(flops, sinks, replaced)


def keep_result(
    run: DiTBRun, model: DiTConfig, task: ShardedTask, training: Training, config: DiTBLoop, shards: EncodedShards
) -> None:
    """The averaged weights in float32, in the run's folder, and in the zoo if the run says so. Where a model of the zoo made
    latents and text vectors, its text encoder comes along, and the result draws at once."""
    training.ema.copy_to(task)
    state = {f"dit.{name}": value for name, value in task.network.state_dict().items()}
    settings: dict[str, Any] = {
        "dit": asdict(model), "schedule": run.recipe.objective.schedule, "guidance": GUIDANCE,
        "prediction_type": run.recipe.objective.prediction_type,
    }  # fmt: skip
    others: tuple[str, ...] = ()
    maker = zoo.entry(shards.by)["config"] if shards.by in zoo.manifest() else {}
    if {"text", "vae", "tokenizer"} <= maker.keys():
        state |= {name: value.float() for name, value in zoo.load(shards.by)[1].items() if name.startswith("text.")}
        if isinstance(task.text, TextNorm):
            names = f"{FINAL_NORM}.weight", f"{FINAL_NORM}.bias"
            state |= dict(zip(names, task.text.cpu().folded(*(state[name] for name in names)), strict=True))
        settings |= {"text": maker["text"], "vae": maker["vae"], "tokenizer": maker["tokenizer"], "expand": False}
        others = maker["vae"], maker["tokenizer"]
    else:
        settings["encoders"] = shards.by
        if isinstance(task.text, TextNorm):
            width = shards.width
            factor, summand = task.text.cpu().folded(torch.ones(width), torch.zeros(width))
            state |= {"text_norm.weight": factor, "text_norm.bias": summand}
    keep(
        run.out, run.recipe.name, state, settings, dependencies=others, to_zoo=run.publish, dtype=torch.float32,
        recipe=recipe_text(f"minidiff train {run.recipe.name}", run),  # type: ignore[arg-type]
        images_seen=training.images_seen(config), figures={**training.figures, "minutes": round(training.seconds / 60, 1)},
    )  # fmt: skip


def plan_of(run: DiTBRun) -> Plan:
    """What --plan asks for. Without shards those of 8 x 8 pixels to a latent, and text vectors 768 wide, are assumed."""
    try:
        shards = EncodedShards(run.data)
    except ShardError:
        shards = None
    model = model_config(run, shards) if shards else replace(sized(run), sample_size=run.size // 8)
    accumulation(run, run.gpus)
    sizes = [one.shape[1] * one.shape[2] for one in shards.buckets.values()] if shards else [model.sample_size**2]
    return Plan(
        name=run.recipe.name, model=model, patches=max(sizes) // model.patch_size**2, tokens=run.tokens, steps=run.steps,
        batch=run.batch, micro=run.micro, gpus=run.gpus, gpu=run.gpu, price=run.price, mfu=run.mfu, measured=run.measured,
        pictures=run.pictures or (len(shards) if shards else None), save_every=run.save_every,
        known_data=shards is not None, mixed=run.precision != "no", checkpointing=run.checkpointing,
    )  # fmt: skip
