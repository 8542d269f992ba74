"""What every fine-tuning may set; lora.py, full.py and dreambooth.py add their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from minidiff.nn.lora import ATTENTION
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight
from minidiff.utils.validation import Between

TOWER_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")    # the same layers of CLIP's text tower, and of ours


@dataclass
class FineTuneRun(LoopConfig):
    """Teach a model something new."""

    afterwards: ClassVar[tuple[str, ...]] = ("patience", "min_delta", "sample_steps", "sample_guidance")
    command: ClassVar[str] = ""  # behind "minidiff finetune"

    data: tyro.conf.Positional[Path] = Path("data")
    """Folder of images with captions: cat.txt beside cat.png, or a metadata.jsonl, .csv or .json table."""
    model: str = "world-dit"
    """A name that `minidiff zoo` lists, a diffusers folder (Stable Diffusion 1.x, PixArt-alpha), or "owner/name" on the hub."""
    text: bool = False
    """The text tower learns, too."""
    caption_dropout: Share = 0.1
    """Share of captions that are left empty, for guidance."""
    min_snr: Weight = 5.0
    """Weight the times by min(SNR, this) (Hang et al. 2023); 0: all alike."""
    perceptual: Weight = 0.0
    """Weight of a loss on what our image tower sees in decoded predictions."""
    gram: Weight = 0.0
    """Weight of a style loss: Gram matrices of the same features (Gatys et al. 2016)."""
    image_loss_below: Share = 0.4
    """Times below which these two losses are taken: at later ones a prediction in one step is a blur."""
    image_loss_every: Count = 4
    """They are taken in every so manieth step, since decoding costs."""
    latent_noise: Weight = 0.0
    """Deviation of noise that is added to the latents themselves, as augmentation."""
    mirror: bool = True
    """Learn mirror images, too; --no-mirror where left and right matter."""
    crops: Count = 1
    """Views of each image that are encoded beforehand: 1 is its middle, more are random crops."""
    held: Share = 0.08
    """Share of the images that is held back."""
    patience: Count = 10
    """Stop when so many validations in a row brought nothing new."""
    min_delta: Weight = 1e-4
    """How much lower the held-out loss must be to count."""
    sample_steps: tuple[Count, ...] = (20,)
    """Steps with which the sheet at the end is drawn; several are drawn side by side."""
    sample_guidance: Weight | None = None
    """Guidance scale of the sheet; the model's own when not given."""
    cache: Path | None = None
    """Folder where latents are kept; one in the run's folder when not given."""
    batch: Count = 16
    warmup: Annotated[int, Between(0)] = 20
    weight_decay: Weight = 0.0
    ema: Annotated[float, Between(0, 0.9999999)] = 0.98
    workers: Annotated[int, Between(0, 256)] = 0
    save_every: Count = 50
    validate_every: Count = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.publish:
            raise TrainingError("--publish is for models trained from nothing; `minidiff zoo add` publishes a finished run.")


@dataclass
class LoRAOptions:
    """The options of the factors."""

    rank: Count = 8
    """Rank of the updates: what they can say, and how large the file is."""
    alpha: Positive | None = None
    """The updates are multiplied by alpha / rank; the rank when not given."""
    targets: tuple[str, ...] = ATTENTION
    """The layers that learn, by the ends of their names."""
    text_targets: tuple[str, ...] = TOWER_ATTENTION
    """With --text: those of the text tower."""
    dropout: Annotated[float, Between(0, 0.999)] = 0.0
    """Share of a layer's inputs that its update doesn't see in training."""
