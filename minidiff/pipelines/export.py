"""`minidiff export diffusers DIR`: a text-to-image DiT of the zoo as a folder that diffusers opens.

The parts are diffusers' own classes with our weights (pretrained/to_diffusers.py). Our text tower is no class of
transformers, so it goes beside them as it is; the README in the folder shows how its vectors are passed on.
diffusers_folder.py reads the folder again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from safetensors.torch import save_file

from minidiff import __version__
from minidiff.models.clip import TextEncoder
from minidiff.models.dit import DiT
from minidiff.pipelines.diffusers_folder import EXPORTED
from minidiff.pipelines.zoo_rows import read_row
from minidiff.pretrained import to_diffusers
from minidiff.text.tokenizer import Tokenizer
from minidiff.utils.files import check_replaceable, replaced_folder

README = '''# {model}, exported by minidiff

A text-to-image diffusion transformer for diffusers; prompts in English or Vietnamese. The text encoder, in `text/`, is
minidiff's own (`pip install minidiff`), so the prompt's vectors are made first and passed on:

```python
import torch
from diffusers import PixArtAlphaPipeline
from minidiff import load_encoder

folder = {folder!r}
prompt, negative_prompt = "a big red star left of a small blue house at night", ""

words = load_encoder("ours", folder + "/text")
vectors, mask = words.encode([prompt, negative_prompt])
pipeline = PixArtAlphaPipeline.from_pretrained(folder, text_encoder=None, tokenizer=None)
images = pipeline(
    prompt=None,
    negative_prompt=None,
    prompt_embeds=vectors[:1],
    prompt_attention_mask=mask[:1],
    negative_prompt_embeds=vectors[1:],
    negative_prompt_attention_mask=mask[1:],
    guidance_scale={guidance:g},
    num_inference_steps=20,
    use_resolution_binning=False,
    generator=torch.Generator().manual_seed(42),
).images
images[0].save("image.png")
```

`minidiff sample "..." --model {folder}` reads this folder, too, and from the same noise makes the same image. The
scheduler is `DPMSolverMultistepScheduler` of order 2 {along}.
'''
ALONG = {
    "cosine": "with minidiff's cosine schedule as its table; where the\n"
    "number of steps does not divide 1000, the table lacks times that minidiff visits, and the two images differ",
    "flow": "on the straight path of flow matching",
}


@dataclass
class DiffusersExport:
    """Write a text-to-image DiT as a folder that diffusers opens with PixArtAlphaPipeline."""

    folder: tyro.conf.Positional[Path]
    """Where to: a new or an empty folder, or an earlier export, which is replaced."""
    model: str = "world-dit"
    """A name that `minidiff zoo` lists."""


def export_diffusers(config: DiffusersExport) -> None:
    """Writes the folder, whole or not at all, and prints its path.

    Raises ValueError for a model that is no text-to-image DiT with a schedule that diffusers can follow, for a folder that
    holds something else, and where diffusers is not installed.
    """
    check_replaceable(config.folder, EXPORTED)
    parts = exportable(config.model)
    library = to_diffusers.diffusers()
    with replaced_folder(config.folder, EXPORTED) as draft:
        library.PixArtAlphaPipeline(
            tokenizer=None, text_encoder=None, transformer=to_diffusers.diffusers_dit(parts["network"]),
            vae=to_diffusers.diffusers_vae(parts["vae"], parts["latent_mean"], parts["latent_std"]),
            scheduler=to_diffusers.diffusers_scheduler(parts["schedule"], parts["prediction_type"]),
        ).save_pretrained(draft)  # fmt: skip
        write_text(draft / "text", parts["tokenizer"], parts["text_encoder"])
        about = {name: parts[name] for name in ("model", "model_hash", "schedule", "prediction_type", "guidance_scale")}
        (draft / EXPORTED).write_text(json.dumps({**about, "version": __version__}, indent=2) + "\n", encoding="utf-8")
        words = {"model": config.model, "folder": str(config.folder), "guidance": parts["guidance_scale"],
                 "along": ALONG[parts["schedule"]]}  # fmt: skip
        (draft / "README.md").write_text(README.format(**words), encoding="utf-8")
    print(config.folder)


def exportable(model: str) -> dict[str, Any]:
    """The parts of a model of the zoo. Raises ValueError for designs that `PixArtAlphaPipeline` has no place for."""
    parts = read_row(model)
    if not isinstance(parts["network"], DiT):
        raise ValueError(f"{model!r} is a {type(parts['network']).__name__}, and only text-to-image DiTs are exported.")
    if (parts["schedule"], parts["prediction_type"]) not in to_diffusers.PREDICTIONS:
        pairs = ", ".join(f"{prediction_type} on {schedule}" for schedule, prediction_type in to_diffusers.PREDICTIONS)
        raise ValueError(
            f"{model!r} predicts {parts['prediction_type']!r} on the schedule {parts['schedule']!r}; exported are only models "
            f"that predict {pairs}."
        )
    return parts


def write_text(folder: Path, tokenizer: Tokenizer, tower: TextEncoder) -> None:
    """Our text encoder, as `encoders.load_encoder("ours", folder)` reads it."""
    folder.mkdir()
    tokenizer.save(folder / "tokenizer.json")
    save_file(tower.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(tower.config), indent=2) + "\n", encoding="utf-8")
