"""`minidiff prepare images` with the networks that it may use: CLIP, the aesthetic score, NudeNet, and a translator.

What it is not: the preparation itself (data/images/prepare.py), which knows no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from minidiff.data.images.latents import Encoders
from minidiff.data.images.looking import Caption
from minidiff.data.images.prepare import Networks, PrepareImages, prepare_images
from minidiff.data.images.scoring import Judge, Score, Translate
from minidiff.pretrained.hub import require
from minidiff.utils.devices import check_device
from minidiff.utils.validation import Between, one_line

OURS = Path("world-clip")
BARE = ("BUTTOCKS_EXPOSED", "FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED", "MALE_GENITALIA_EXPOSED", "ANUS_EXPOSED")
MOST_TOKENS = 128  # of a translation


@dataclass(kw_only=True)
class PrepareImagesOptions(PrepareImages):
    """Filter pictures with captions, cut them to buckets of sizes, write them as shards, and report what was dropped."""

    clip: Path | None = None
    """Refuse pictures whose captions don't belong to them, by a folder of transformers' CLIP (an English one reads the English
    captions), or by world-clip, ours, which knows drawn pictures alone and both languages."""
    clip_threshold: Annotated[float, Between(-1, 1)] = 0.28
    """The cosine of picture and best caption, at least; 0.28 is what LAION-5B took for ViT-B/32."""
    aesthetic: Path | None = None
    """sac+logos+ava1-l14-linearMSE.pth; needs --clip with openai/clip-vit-large-patch14. Both are verified by their hashes."""
    aesthetic_threshold: Annotated[float, Between(0, 10)] = 5.0
    """The aesthetic score, at least."""
    sha256: tuple[str, ...] = ()
    """With --aesthetic: hashes of other files of that CLIP which you vouch for."""
    nsfw: bool = False
    """Refuse pictures in which NudeNet (320n.onnx of the package nudenet) sees bare bodies."""
    nsfw_threshold: Annotated[float, Between(0, 1)] = 0.5
    """Its certainty, at most."""
    translate: Path | None = None
    """A folder of a translator for transformers (NLLB, M2M100, mBART, Marian, EnViT5): fills in English or Vietnamese."""
    latents: str | None = None
    """A model of the zoo or a folder, whose encoders' latents (of each picture and its mirror image) and text vectors are laid
    beside the shards. Not with --random-crop."""
    text: str | None = None
    """With --latents: the text encoder whose vectors are laid there in place of that model's own, as KIND:PLACE, such as
    siglip:FOLDER, clip:FOLDER, open_clip:FOLDER, t5:FOLDER or ours:world-clip."""
    device: str = "cpu"
    """Where networks run: cpu, cuda or mps."""


def prepare(options: PrepareImagesOptions) -> None:
    """The command. Raises ValueError for networks that aren't there, before anything else is done, and as `prepare_images`."""
    check_device(options.device)
    prepare_images(options, networks_of(options))


def networks_of(options: PrepareImagesOptions) -> Networks:
    """What was asked for, verified, but not loaded. Raises ValueError; a WeightsError for a file that isn't the published."""
    if options.latents and options.random_crop:
        raise ValueError("--latents and --random-crop exclude each other: latents are those of one crop, made once, and a "
                         "picture that training cuts at random needs others each time. Leave one of them out.")  # fmt: skip
    if options.text and not options.latents:
        raise ValueError("--text needs --latents, the model that makes the pictures' latents.")
    translate = encode = None
    if options.translate:
        require("transformers", "--translate")
        if not (options.translate / "config.json").is_file():
            raise ValueError(f"There is no config.json in {options.translate}: --translate takes a folder of a translator.")
        translate = partial(seq2seq, options.translate, options.device)
    if options.latents:
        check_text(options.text)
        encode = partial(encoders, options.latents, options.device, options.text)
    by = " with ".join(name for name in (options.latents, options.text) if name)
    return Networks(judges_of(options), translate, str(options.translate or ""), encode, by)


def check_text(text: str | None) -> None:
    """Raises ValueError unless `text` names a kind of text encoder, whose package is there, and a place."""
    from minidiff.text.encoders import ENCODERS, PACKAGES

    kind, colon, place = (text or "ours:").partition(":")
    if text is not None and (not colon or kind not in ENCODERS or not place):
        raise ValueError(f"--text is {text!r}, but it must be KIND:PLACE with one of the kinds {', '.join(ENCODERS)}.")
    if kind in PACKAGES:
        require(PACKAGES[kind], "--text")


def judges_of(options: PrepareImagesOptions) -> tuple[Judge, ...]:
    """The scores that were asked for. Raises ValueError as `networks_of`."""
    verify_aesthetic(options)
    judges = []
    if options.clip:
        require_clip(options.clip)
        verified = options.aesthetic is not None
        make = world_clip if options.clip == OURS else partial(published_clip, options.clip, options.device, verified)
        judges.append(Judge("clip", make, options.clip_threshold, by=str(options.clip)))
    if options.aesthetic and options.clip:  # without a CLIP it was refused
        make = partial(aesthetic, options.clip, options.aesthetic, options.device)
        judges.append(Judge("aesthetic", make, options.aesthetic_threshold, by=options.aesthetic.name))
    if options.nsfw:
        require("nudenet", "--nsfw", "prepare")
        judges.append(Judge("nsfw", nudenet, options.nsfw_threshold, above=True, by="NudeNet's 320n.onnx"))
    return tuple(judges)


def verify_aesthetic(options: PrepareImagesOptions) -> None:
    """Raises WeightsError when the head or its CLIP aren't the published files, or there is no CLIP. Nothing is opened."""
    if options.aesthetic:
        from minidiff.evaluate.instruments import CaptionWeightOptions, verified

        verified(CaptionWeightOptions(clip=options.clip, aesthetic=options.aesthetic, sha256=options.sha256))


def require_clip(folder: Path) -> None:
    """Raises ValueError when a CLIP can't be there."""
    if folder != OURS:
        require("transformers", "--clip")
        if not (folder / "config.json").is_file():
            raise ValueError(f"There is no config.json in {folder}: --clip takes a folder of transformers, or world-clip.")


# --- scores -----------------------------------------------------------------------------------------------------------------


def best_cosines(
    see: Callable[[Sequence[Image.Image]], Tensor], say: Callable[[list[str]], Tensor], english: bool
) -> Score:
    """How well the best of a picture's captions fits it, -1..1; -1 without a caption.

    see, say: pictures and texts to vectors of length 1, (B, D). english: English captions alone count where there are any."""

    def score(pictures: Sequence[Image.Image], captions: Sequence[Sequence[Caption]]) -> list[float]:
        told = [[one.text for one in some if one.language == "en"] or [one.text for one in some] if english
                else [one.text for one in some] for some in captions]  # fmt: skip
        owners = torch.tensor([k for k, texts in enumerate(told) for _ in texts], dtype=torch.long)
        best = torch.full((len(pictures),), -1.0)
        if len(owners):
            words = say([text for texts in told for text in texts]).float().cpu()  # (T, D)
            cosines = (see(pictures).float().cpu()[owners] * words).sum(dim=1)  # (T,)
            best.scatter_reduce_(0, owners, cosines, "amax")
        return best.tolist()

    return torch.inference_mode()(score)


def world_clip() -> Score:
    """By our own CLIP, of drawn pictures with captions in both languages."""
    from minidiff.evaluate.instruments import small_features
    from minidiff.evaluate.retrieval import clip_features, load_clip
    from minidiff.text.encoders import ours

    words = ours("world-clip")
    see = small_features(clip_features(load_clip()))
    return best_cosines(see, lambda texts: F.normalize(words.pooled(texts), dim=-1), english=False)


def published_clip(folder: Path, device: str, verified: bool) -> Score:
    """By a CLIP of transformers, from safetensors alone unless its hash was verified."""
    from minidiff.evaluate.instruments import embedded, embedded_texts
    from minidiff.text.published_clip import load_clip

    towers = load_clip("clip", folder, allow_pickle=verified)
    towers.model.to(device)
    return best_cosines(
        lambda pictures: embedded(towers, pictures, device), lambda texts: embedded_texts(towers, texts, device), True
    )


def aesthetic(clip: Path, head: Path, device: str) -> Score:
    """LAION's aesthetic score, about 1 to 10, of files that `verify_aesthetic` has seen."""
    from minidiff.evaluate.instruments import aesthetic_score, read_aesthetic
    from minidiff.text.published_clip import load_clip

    score = aesthetic_score(load_clip("clip", clip, allow_pickle=True), read_aesthetic(head), device)
    return lambda pictures, captions: score(pictures, [""] * len(pictures)).tolist()


def nudenet() -> Score:
    """How sure NudeNet is of the barest part that it sees, 0..1."""
    from nudenet import NudeDetector

    detector = NudeDetector()

    def score(pictures: Sequence[Image.Image], captions: Sequence[Sequence[Caption]]) -> list[float]:
        arrays = (np.ascontiguousarray(np.asarray(picture)[..., ::-1]) for picture in pictures)  # blue first, as OpenCV has it
        found = map(detector.detect, arrays)
        return [max((part["score"] for part in parts if part["class"] in BARE), default=0.0) for parts in found]

    return score


# --- latents ------------------------------------------------------------------------------------------------------------


def encoders(model: str, device: str, text: str | None = None) -> Encoders:
    """The encoders of a model that makes pictures; text: another text encoder than its own, "siglip:FOLDER". Raises ValueError
    when one isn't there."""
    from minidiff.pipelines.loading import load_pipeline
    from minidiff.text.encoders import load_encoder
    from minidiff.utils.images import to_tensor

    pipeline = load_pipeline(model, device, "float32")
    kind, _, place = (text or "").partition(":")
    reader = load_encoder(kind, place) if text else pipeline.words
    reader.tower.to(device)

    def words(texts: list[str]) -> list[NDArray[np.float16]]:
        context, mask = reader.encode(texts)  # (B, L, D), (B, L)
        return [vectors[there].half().cpu().numpy() for vectors, there in zip(context.detach(), mask.bool(), strict=True)]

    return Encoders(lambda pixels: pipeline.latents(to_tensor(pixels)).half().cpu().numpy(), words)


# --- translation --------------------------------------------------------------------------------------------------------


def seq2seq(folder: Path, device: str) -> Translate:
    """A translator of transformers, greedy. Which languages it is told of depends on its kind: by codes (NLLB, M2M100, mBART),
    by a word before the text (T5), or not at all where it knows one direction (Marian); the other then gives nothing.

    Raises ValueError for a folder that transformers can't read."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True).to(device).eval()
    except Exception as error:  # transformers has many ways to fail on damaged folders
        raise ValueError(f"{folder} cannot be read as a translator ({one_line(error)}).") from None

    def translate(texts: Sequence[str], target: str) -> list[str]:
        source = "vi" if target == "en" else "en"
        if not knows(tokenizer, source, target):
            return [""] * len(texts)
        prefix, options = told_languages(tokenizer, model.config.model_type, source, target)
        inputs = tokenizer([prefix + text for text in texts], return_tensors="pt", padding=True, truncation=True).to(device)
        with torch.inference_mode():
            tokens = model.generate(**inputs, **options, max_new_tokens=MOST_TOKENS, do_sample=False, num_beams=1)
        said = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip().removeprefix(f"{target}:").strip() for text in said]

    return translate


def codes(tokenizer: Any) -> dict[str, str]:
    """What a tokenizer calls English and Vietnamese; empty where it has no such codes."""
    known = set(tokenizer.get_vocab())
    for english, vietnamese in (("eng_Latn", "vie_Latn"), ("en_XX", "vi_VN"), ("__en__", "__vi__")):
        if {english, vietnamese} <= known:
            return {"en": english, "vi": vietnamese}
    return {}


def knows(tokenizer: Any, source: str, target: str) -> bool:
    """Whether a translator has this direction. Marian's has one, which its tokenizer names."""
    direction = getattr(tokenizer, "source_lang", None), getattr(tokenizer, "target_lang", None)
    return direction == (source, target) or not all(direction)


def told_languages(tokenizer: Any, kind: str, source: str, target: str) -> tuple[str, dict[str, Any]]:
    """What stands before the texts, and what `generate` must be told."""
    names = codes(tokenizer)
    if names:
        tokenizer.src_lang = names[source].strip("_")
        return "", {"forced_bos_token_id": tokenizer.convert_tokens_to_ids(names[target])}
    return (f"{source}: ", {}) if kind in ("t5", "mt5") else ("", {})
