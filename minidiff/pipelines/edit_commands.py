"""`minidiff edit`: the edits of this room as commands. Everything that can be refused is refused before a model is loaded."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from PIL import Image

from minidiff.pipelines import loras
from minidiff.pipelines.img2img import img2img, steps_made
from minidiff.pipelines.inpaint import check_edges, inpaint
from minidiff.pipelines.inversion import GUIDANCE, change_picture
from minidiff.pipelines.loading import checked_request, load_pipeline
from minidiff.pipelines.masks import read_hole
from minidiff.pipelines.outpaint import enlarged, sides_for
from minidiff.pipelines.pictures import open_picture, rgb
from minidiff.pipelines.png_metadata import each, edit_info, image_paths, png_info, save_image
from minidiff.pipelines.prompt_to_prompt import WordChange, change_words
from minidiff.pipelines.request import Request, RequestError
from minidiff.pipelines.sampling_options import Number, SamplingOptions, check_out, notes_told, tell_unknown
from minidiff.pipelines.style_transfer import STRENGTH, restyle
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pipelines.upscale import UPSCALER, check_factor, load_upscaler, upscale
from minidiff.pipelines.upscale import found as found_upscaler
from minidiff.pretrained import zoo
from minidiff.utils.validation import shown


@dataclass(kw_only=True)
class Img2ImgEdit(SamplingOptions):
    """Draw pictures anew by a prompt, with as much of them as the strength leaves."""

    prompt: tyro.conf.Positional[str]
    """What the new picture should show, all of it."""
    pictures: tyro.conf.Positional[tuple[Path, ...]]
    """One or more pictures; the results have their sizes."""
    strength: Number = 0.75
    """How far each picture is forgotten, above 0 to 1."""
    expand: bool = False
    """Write the prompt out plainly and add, at random, the places that it leaves open."""


@dataclass(kw_only=True)
class HoleOptions(SamplingOptions):
    """What inpainting and outpainting have in common."""

    feather: int = 4
    """Width in pixels of the soft edge, which lies inside the new part; 0 is hard."""
    resample: int = 3
    """How often each part of the way is made, 1 to 20: more is slower and fits in better (RePaint). Models that were made for
    inpainting do without."""
    zoom: bool = False
    """Show the model only the new part and what is round it, larger: for a small part of a large picture."""
    expand: bool = False
    """Write the prompt out plainly and add, at random, the places that it leaves open."""


@dataclass(kw_only=True)
class InpaintEdit(HoleOptions):
    """Draw a part of a picture anew. Outside of the mask every bit stays as it is."""

    prompt: tyro.conf.Positional[str]
    """What the picture should show, all of it."""
    picture: tyro.conf.Positional[Path]
    """A picture of any size."""
    mask: tyro.conf.Positional[Path]
    """An image of the same size: white is drawn anew, black is kept."""
    strength: Number = 1.0
    """How far what was there is forgotten, above 0 to 1."""


@dataclass(kw_only=True)
class OutpaintEdit(HoleOptions):
    """Let a picture go on beyond its edges. The picture itself stays as it is, to the bit."""

    prompt: tyro.conf.Positional[str]
    """What the larger picture should show, all of it."""
    picture: tyro.conf.Positional[Path]
    """A picture of any size."""
    left: int = 0
    """Pixels that are added on the left."""
    right: int = 0
    """Pixels that are added on the right."""
    top: int = 0
    """Pixels that are added on top."""
    bottom: int = 0
    """Pixels that are added at the bottom."""
    aspect: str | None = None
    """Width to height, such as 16:9: adds half of what it takes on either side."""


@dataclass(kw_only=True)
class WordsEdit(SamplingOptions):
    """Change words of a prompt, and its picture only where they matter (prompt-to-prompt). The old picture is saved as well,
    with "-before" in its name."""

    prompt: tyro.conf.Positional[str]
    """What the old picture shows."""
    changed: tyro.conf.Positional[str]
    """What the new one should show: some words are others, were added, or are weighed."""
    picture: Path | None = None
    """The old picture, if it isn't to be drawn: its noise is found by DDIM inversion, and its prompt is taken as it is."""
    cross_share: Number = 0.4
    """Share of the steps, 0 to 1, in which the new words are looked at where the old ones were; little for a word that changes
    the whole picture."""
    self_share: Number = 0.2
    """The same for the attention within the image: more for a new colour, less for a new thing."""
    weight: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Words of the new prompt and how strongly they are looked at, -2 to 5, such as "red star=2"; 0 takes them out. May be
    given several times."""
    only: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Words of either prompt; where the image looks at none of them it stays as it was. May be given several times."""
    expand: bool = True
    """Write both prompts out plainly and add, at random, the places that they leave open, as `minidiff sample` does."""


@dataclass(kw_only=True)
class StyleEdit(SamplingOptions):
    """Put pictures into the style of a LoRA, while what they show stays. A LoRA of the decoder alone, such as the zoo's, needs
    no prompt; the settings of sampling matter only with one."""

    pictures: tyro.conf.Positional[tuple[Path, ...]]
    """One or more pictures; the results have their sizes."""
    prompt: str | None = None
    """What the picture shows, for a LoRA of the network; with it the picture is drawn anew from a little noise."""
    strength: Number = STRENGTH
    """With a prompt: how far the picture is forgotten, above 0 to 1."""
    expand: bool = False
    """Write the prompt out plainly and add, at random, the places that it leaves open."""


@dataclass(kw_only=True)
class UpscaleEdit:
    """Make pictures twice or four times as wide and high."""

    pictures: tyro.conf.Positional[tuple[Path, ...]]
    """One or more pictures; no side of a result may have more than 4096 pixels."""
    factor: Literal[2, 4] = 4
    """How many times as wide and high."""
    out: Path = Path("output.png")
    """Where the PNG goes; several become output-1.png, output-2.png, ..."""
    model: str = UPSCALER
    """An upscaler that `minidiff zoo` lists, or the folder of a training run."""
    device: str | None = None
    """cpu, cuda or mps; the best there is when not given."""


@dataclass(frozen=True)
class Desk:
    """A model that is ready, what is asked of it, and the strengths of its LoRAs."""

    pipeline: TextToImage
    request: Request
    strengths: dict[str, float]

    def save(self, images: Sequence[Image.Image], paths: Sequence[Path], request: Request, edit: Mapping[str, Any]) -> None:
        """Saves an image for each seed of the request, with how it was made, and prints where."""
        model, prompts = self.pipeline, self.pipeline.expanded_prompts(request)
        for image, path, one, prompt in zip(images, paths, each(request), prompts, strict=True):
            save_image(image, path, png_info(one, model.model, model.model_hash, image.size, prompt, self.strengths, edit))
            print(path)


def checked(
    options: Any, pictures: int = 1, own: Mapping[str, Any] | None = None
) -> tuple[Request, dict[str, Any], list[Path]]:
    """What can be known without a model: the request, its settings, and where the results of so many pictures go. own: settings
    in the place of the model's."""
    settings = {**(own or {}), **options.settings(), "expand_prompt": options.expand}
    request = checked_request(options.model, options.prompt, settings)
    paths = image_paths(options.out, pictures * request.num_images)
    check_out(options.out, paths)
    for text in options.lora:
        loras.parsed(text)
    return request, settings, paths


def load(options: Any, settings: Mapping[str, Any]) -> Desk:
    pipeline = load_pipeline(options.model, options.device, options.dtype, allow_pickle=options.allow_pickle)
    strengths = loras.apply(pipeline, options.lora)
    request = pipeline.request(options.prompt, **settings)
    if sentence := pipeline.cut(request):
        warnings.warn(sentence, stacklevel=2)
    tell_unknown(pipeline, request.prompt)
    return Desk(pipeline, request, strengths)


def origin(role: str, path: Path) -> dict[str, str]:
    """A file by its name and content, for the text inside a PNG."""
    return {role: path.name, f"{role}_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def edit_img2img(options: Img2ImgEdit) -> None:
    """Raises ValueError for what can't be done, before anything is drawn."""
    if not options.pictures:
        raise ValueError("give at least one picture behind the prompt.")
    request, settings, paths = checked(options, len(options.pictures))
    steps_made(request.steps, options.strength)
    with notes_told():
        pictures = [rgb(open_picture(path)) for path in options.pictures]
        desk, seeds = load(options, settings), request.num_images
        for k, (path, picture) in enumerate(zip(options.pictures, pictures, strict=True)):
            images = img2img(desk.pipeline, picture, desk.request, options.strength, progress=None)
            edit = {"kind": "img2img", "strength": options.strength, **origin("picture", path)}
            desk.save(images, paths[k * seeds : (k + 1) * seeds], desk.request, edit)


def edit_inpaint(options: InpaintEdit) -> None:
    """Raises ValueError for what can't be done, before anything is drawn."""
    request, _, _ = checked(options)
    steps_made(request.steps, options.strength)
    with notes_told():
        picture, mask = rgb(open_picture(options.picture)), open_picture(options.mask)
        made_of = {"strength": options.strength, **origin("picture", options.picture), **origin("mask", options.mask)}
        fill(options, picture, mask, options.strength, {"kind": "inpaint", **made_of})


def edit_outpaint(options: OutpaintEdit) -> None:
    """Raises ValueError for what can't be done, before anything is drawn."""
    checked(options)
    sides = {name: getattr(options, name) for name in ("left", "right", "top", "bottom")}
    if options.aspect and any(sides.values()):
        raise ValueError("--aspect says how much is added on each side: leave the sides out, or the aspect.")
    with notes_told():
        picture = rgb(open_picture(options.picture))
        sides = sides_for(picture, options.aspect) if options.aspect else sides
        canvas, mask = enlarged(picture, **sides)
        fill(options, canvas, mask, 1.0, {"kind": "outpaint", **sides, **origin("picture", options.picture)})


def fill(options: Any, picture: Image.Image, mask: Image.Image, strength: float, edit: Mapping[str, Any]) -> None:
    """Draw what is white in the mask, and save it."""
    check_edges(options.feather, options.resample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `inpaint` will say it
        read_hole(mask, picture)
    _, settings, paths = checked(options)
    desk = load(options, settings)
    how = {"feather": options.feather, "resample": options.resample, "zoom": options.zoom}
    images = inpaint(desk.pipeline, picture, mask, desk.request, strength, **how, progress=None)
    desk.save(images, paths, desk.request, {**edit, **how})


def edit_words(options: WordsEdit) -> None:
    """Raises ValueError for what can't be done, before anything is drawn."""
    given = options.picture is not None
    if given and (options.num_images != 1 or options.sampler is not None or options.eta is not None):
        raise ValueError("with --picture there is one result, by DDIM's steps: leave --num-images, --sampler and --eta out.")
    if given:
        options = replace(options, expand=False)
    _, settings, paths = checked(options, own={"guidance_scale": GUIDANCE} if given else None)
    checked_request(options.model, options.changed, settings)
    olds = [path.with_stem(f"{path.stem}-before") for path in paths]
    check_out(options.out, olds)
    weights = dict(map(weighed, options.weight))
    change = WordChange(options.cross_share, options.self_share, weights, options.only)
    edit: dict[str, Any] = {"kind": "words", "before": options.prompt, **asdict(change)}
    with notes_told():
        picture = rgb(open_picture(options.picture)) if options.picture else None
        desk = load(options, settings)
        tell_unknown(desk.pipeline, options.changed)
        if options.picture and picture:
            images = change_picture(desk.pipeline, picture, desk.request, options.changed, change, progress=None)
            edit.update(origin("picture", options.picture))
        else:
            images = change_words(desk.pipeline, desk.request, options.changed, change, progress=None)
    n = len(paths)
    desk.save(images[n:], paths, replace(desk.request, prompt=options.changed), edit)
    desk.save(images[:n], olds, desk.request, {**edit, "kind": "words, before"})


def edit_style(options: StyleEdit) -> None:
    """Raises ValueError for what can't be done, before anything is drawn."""
    if not options.pictures:
        raise ValueError("give at least one picture.")
    if not options.lora:
        raise RequestError("style_none", allowed=", ".join(loras.shipped(options.model)[:2]) or "a file")
    if options.prompt is None and options.num_images != 1:
        raise ValueError("without --prompt nothing is left to chance, so there is one result: leave --num-images out.")
    asked = replace(options, prompt=options.prompt or "a picture")
    request, settings, paths = checked(asked, len(options.pictures))
    steps_made(request.steps, options.strength)
    with notes_told():
        pictures = [rgb(open_picture(path)) for path in options.pictures]
        made_of = [{"kind": "style", **origin("picture", path)} for path in options.pictures]
        if options.prompt is None:
            decode_styled(options, pictures, paths, made_of)
            return
        desk, seeds = load(asked, settings), request.num_images
        for k, picture in enumerate(pictures):
            images = restyle(desk.pipeline, picture, desk.request, options.strength, progress=None)
            edit = {**made_of[k], "strength": options.strength}
            desk.save(images, paths[k * seeds : (k + 1) * seeds], desk.request, edit)


def decode_styled(
    options: StyleEdit, pictures: Sequence[Image.Image], paths: Sequence[Path], edits: Sequence[Mapping[str, Any]]
) -> None:
    """Pictures through the VAE with LoRAs of its decoder. Raises RequestError for a LoRA that needs a prompt."""
    pipeline = load_pipeline(options.model, options.device, options.dtype, allow_pickle=options.allow_pickle)
    mixed, strengths = loras.mixed(pipeline, options.lora)
    if moving := [name for name in strengths if mixed.moves_latents(name)]:
        raise RequestError("style_prompt", given=shown(moving[0]))
    for picture, path, edit in zip(pictures, paths, edits, strict=True):
        (image,) = restyle(pipeline, picture)
        save_image(image, path, edit_info(pipeline.model, pipeline.model_hash, edit, strengths))
        print(path)


def edit_upscale(options: UpscaleEdit) -> None:
    """Raises ValueError for what can't be done, before anything is drawn."""
    if not options.pictures:
        raise ValueError("give at least one picture.")
    paths = image_paths(options.out, len(options.pictures))
    check_out(options.out, paths)
    with notes_told():
        pictures = [rgb(open_picture(path)) for path in options.pictures]
        for picture in pictures:
            check_factor(picture.size, options.factor)
        upscaler = load_upscaler(options.model, options.device)
        sha256 = zoo.entry(*found_upscaler(options.model))["sha256"]
        for source, picture, path in zip(options.pictures, pictures, paths, strict=True):
            edit = {"kind": "upscale", "factor": options.factor, **origin("picture", source)}
            save_image(upscale(upscaler, picture, options.factor, progress=None), path, edit_info(options.model, sha256, edit))
            print(path)


def weighed(text: str) -> tuple[str, float]:
    """ "red star=2" as words and weight. Raises ValueError."""
    words, _, weight = text.rpartition("=")
    try:
        return words.strip(), float(weight)
    except ValueError:
        raise ValueError(f'--weight {shown(text)} must be words and a number, such as "red star=2".') from None
