"""The `minidiff` command: the table of commands, and how a command line is parsed.

tyro makes options from dataclasses. Only the modules of the chosen command are imported, so `minidiff --help` is quick.
Exit codes: 0 done, 2 bad input (one sentence on stderr), 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Union

import tyro

from minidiff.pipelines.sampling_options import SamplingOptions, check_out, notes_told, tell_unknown


class UsageError(Exception):
    """A command line that makes no sense. Its text is one sentence for the person who typed it."""


@dataclass(frozen=True)
class Command:
    """options: a dataclass. run: called with an instance of it; returns an exit code, or None for 0."""

    options: type[Any]
    run: Callable[[Any], Any]
    examples: str


# ---------------------------------------------------------------------------------------------------------- the commands


@dataclass(kw_only=True)
class SampleOptions(SamplingOptions):
    """Make images of a sentence in English or Vietnamese, and save them as PNG."""

    prompt: tyro.conf.Positional[str]
    """What the image should show: up to 200 characters, or what the text encoder of a published model can read."""
    expand: bool = True
    """Write the prompt out plainly and add, at random, the places that it leaves open; --no-expand takes it as it is."""


@dataclass
class ZooList:
    """List the shipped weights, and verify their size and hash."""

    root: Path | None = None
    """Another zoo directory; the shipped one when not given."""


@dataclass
class ZooAdd:
    """Publish the weights of a finished run in the zoo: of a training, or a LoRA."""

    run: tyro.conf.Positional[Path]
    """The run's folder, such as runs/world-dit."""
    name: str | None = None
    """The name in the zoo; the run's own when not given. What had that name is replaced."""
    root: Path | None = None
    """Another zoo directory; the shipped one when not given."""


@dataclass
class ZooFetch:
    """Fetch shipped weights now, which otherwise come when they are first used."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names in the zoo; all of them when none is given."""


PUBLIC_SECONDS = 30.0  # that one drawing may take on a page which strangers share


@dataclass
class AppOptions:
    """Start the studio, a web page."""

    host: str = "127.0.0.1"
    """Address to listen on; 127.0.0.1 is this machine only."""
    port: int = 7860
    """Port to listen on."""
    model: str = "world-dit"
    """The model chosen when the page opens: a name in the zoo, a diffusers folder, or "owner/name" on the hub."""
    allow_pickle: bool = False
    """Read weights from a pickle where a folder has no safetensors."""
    lang: Literal["en", "vi"] = "en"
    """Language of the page when it opens."""
    allowed_host: tuple[str, ...] = ()
    """Host names, besides localhost and numbers, under which the page may be reached, such as draw.example.org; * for any."""
    behind_proxy: str = ""
    """Address or network of a proxy in front of the page, such as 127.0.0.1 or 10.0.0.0/8: it says who the clients are."""
    public: bool = False
    """For a page that anybody may reach: on all addresses, under any host name, and a drawing ends after 30 seconds."""


def sample(options: SampleOptions) -> None:
    from minidiff.pipelines import loras
    from minidiff.pipelines.loading import checked_request, load_pipeline
    from minidiff.pipelines.png_metadata import image_paths, save_images

    settings = {**options.settings(), "expand_prompt": options.expand}
    request = checked_request(options.model, options.prompt, settings)
    check_out(options.out, image_paths(options.out, request.num_images))
    for text in options.lora:
        loras.parsed(text)
    pipeline = load_pipeline(options.model, options.device, options.dtype, allow_pickle=options.allow_pickle)
    strengths = loras.apply(pipeline, options.lora)
    request = pipeline.request(options.prompt, **settings)
    with notes_told():
        images, prompts = pipeline(request, progress=None), pipeline.expanded_prompts(request)
    tell_unknown(pipeline, request.prompt)
    paths = save_images(images, options.out, request, pipeline.model, pipeline.model_hash, prompts, strengths)
    for path, prompt in zip(paths, prompts, strict=True):
        print(path)
        if prompt != request.prompt:
            print(f"  expanded to: {prompt}", file=sys.stderr)


def zoo_list(options: ZooList) -> None:
    from minidiff.pretrained import zoo

    text, healthy = zoo.table(options.root)
    print(text)
    if not healthy:
        raise UsageError("weights are missing or damaged: fetch the files again (git checkout minidiff/pretrained/weights).")


def zoo_fetch(options: ZooFetch) -> None:
    from minidiff.pretrained import zoo

    for name in options.names or zoo.manifest(zoo.SHIPPED):
        print(f"{name:<20}{zoo.path(name, zoo.SHIPPED)}", flush=True)


def zoo_add(options: ZooAdd) -> None:
    from minidiff.finetune.publish import is_lora, publish_lora
    from minidiff.train.publish import publish

    run = publish_lora if is_lora(options.run) else publish
    print(run(options.run, options.name, root=options.root))


def app(options: AppOptions) -> None:
    if options.public:
        here = options.host == AppOptions.host
        options = replace(options, host="0.0.0.0" if here else options.host, allowed_host=("*", *options.allowed_host))
    check_address(options.host, options.port)
    try:
        from minidiff.studio.app import serve
    except ImportError as error:
        raise UsageError(f"the studio needs gradio ({error}); install it with: pip install 'minidiff[app]'") from None
    serve(
        options.host, options.port, options.model, options.lang, options.allow_pickle,
        hosts=None if "*" in options.allowed_host else options.allowed_host,
        proxy=options.behind_proxy, seconds=PUBLIC_SECONDS if options.public else None,
    )  # fmt: skip


def serve_model(options: Any) -> None:
    from minidiff.pipelines.serve import serve

    check_address(options.host, options.port)
    serve(options)


def check_address(host: str, port: int) -> None:
    """Raises UsageError, before the model is loaded, when the page could not be served there."""
    if not 1 <= port <= 65535:
        raise UsageError(f"--port must be a whole number from 1 to 65535, not {port}.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address[:2], family=family):
            pass
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"nothing can be served at {host}:{port} ({reason}); choose another --host or --port.") from None


def sample_command() -> Command:
    return Command(SampleOptions, sample, """\
minidiff sample "a big red star left of a small blue house at night" --steps 20 --out star.png
minidiff sample "hai con cá màu vàng trên biển" --num-images 4 --sampler euler_a
minidiff sample "a red boat at sea" --lora watercolour:0.8 --lora neon:0.3
minidiff sample "a watercolour fox" --model stable-diffusion-v1-5/stable-diffusion-v1-5
minidiff sample "a fox" --model ./stable-diffusion-v1-5 --lora ink.safetensors:0.8 --lora gold.safetensors:0.3""")


def prepare_commands() -> dict[str, Command]:
    from minidiff.data.emoji import prepare as emoji
    from minidiff.data.fashion import prepare as fashion
    from minidiff.data.fashion import raw_data
    from minidiff.data.world import prepare_subject, style_folder
    from minidiff.evaluate import inpainting_data, prepare_images

    return {
        "images": Command(prepare_images.PrepareImagesOptions, prepare_images.prepare, """\
minidiff prepare images photos data/photos
minidiff prepare images "laion/*.tar" data/laion --workers 8 --clip openai/clip-vit-base-patch32
minidiff prepare images hf:owner/name data/mine --skip near sharpness --engine ray
minidiff prepare images data/emoji/train data/emoji-shards --area 128x128 --min-size 128 --clip world-clip"""),
        "emoji": Command(emoji.PrepareEmoji, emoji.prepare, """\
minidiff prepare emoji --out data/emoji
minidiff prepare emoji --out data/emoji-64 --size 64 --packages data/emoji/packages
minidiff prepare emoji --out data/emoji-clothing --size 512 --only clothing"""),
        "garments": Command(raw_data.PrepareGarments, raw_data.prepare_garments, """\
minidiff prepare garments --out data/garments
minidiff prepare garments --out data/garments-clean --images 2000 --faults 0"""),
        "fashion": Command(fashion.PrepareFashion, fashion.prepare_fashion, """\
minidiff prepare fashion data/garments --out data/fashion
minidiff prepare fashion my-photos --out data/mine --images 2000 --min-size 384 --grey convert --zip"""),
        "style": Command(
            style_folder.PrepareStyle, style_folder.prepare_style, "minidiff prepare style neon --out data/neon --images 400"
        ),
        "subject": Command(prepare_subject.PrepareSubject, prepare_subject.prepare, """\
minidiff prepare subject mochi --out data/mochi
minidiff prepare subject lumi --out data/lumi --images 20 --size 256 --token zwx"""),
        "inpainting": Command(inpainting_data.PrepareInpainting, inpainting_data.prepare, """\
minidiff prepare inpainting photos data/holes
minidiff prepare inpainting photos data/holes --size 512 --masks brush --share 0.05 0.2"""),
    }


def train_commands() -> dict[str, Command]:
    from minidiff.recipes import dit_b, few_steps, world, world_parts, world_upscaler, world_vae
    from minidiff.train import clip, detector, pixels, reader, upscaler, vae

    return {
        "world-vae": Command(vae.VAERun, world_vae.train_vae, "minidiff train world-vae --steps 100 --out runs/try"),
        "world-clip": Command(clip.CLIPRun, world_parts.train_clip, "minidiff train world-clip"),
        "world-dit": Command(world.WorldDiTRun, world.train_dit, """\
minidiff train world-dit
minidiff train world-dit --scale 0.01 --out runs/try
minidiff train world-dit --budget 9m --shard 16M"""),
        "world-dit-4": Command(few_steps.FewStepsRun, few_steps.teach, """\
minidiff train world-dit-4
minidiff train world-dit-4 --steps 20 --scenes 256 --out runs/try"""),
        "world-unet": Command(world.WorldUNetRun, world.train_unet, "minidiff train world-unet"),
        "world-pixels": Command(pixels.PixelsRun, world_parts.train_pixels, "minidiff train world-pixels"),
        "world-upscaler": Command(upscaler.UpscalerRun, world_upscaler.train_upscaler, "minidiff train world-upscaler"),
        "world-reader": Command(reader.ReaderRun, world_parts.train_reader, "minidiff train world-reader"),
        "world-judge": Command(detector.JudgeRun, world_parts.train_judge, "minidiff train world-judge"),
        "world-style-judge": Command(
            detector.StyleJudgeRun, world_parts.train_style_judge, "minidiff train world-style-judge"
        ),
        "dit_b_256": Command(dit_b.DiTB256Run, dit_b.train, """\
accelerate launch --num_processes 8 -m minidiff train dit_b_256 --data data/shards --compile
torchrun --nproc-per-node 8 -m minidiff train dit_b_256 --data data/shards --tensorboard
minidiff train dit_b_256 --plan --gpus 64 --batch 4096 --price 2.5 --pictures 100000000
minidiff train dit_b_256 --data data/emoji-shards --size 128 --width 192 --depth 4 --batch 64 --micro 32 --steps 200"""),
        "dit_b_512": Command(dit_b.DiTB512Run, dit_b.train, """\
accelerate launch --num_processes 8 -m minidiff train dit_b_512 --data data/shards-512 --start runs/dit_b_256 --text-norm 0.01
minidiff train dit_b_512 --plan --gpus 64 --checkpointing"""),
    }


def finetune_commands() -> dict[str, Command]:
    from minidiff.finetune import compare, dreambooth, emoji, fashion, full, lcm, lora, style

    return {
        "lora": Command(lora.LoRARun, lora.finetune_lora, """\
minidiff finetune lora photos --out runs/ink
minidiff finetune lora photos --model ./stable-diffusion-v1-5 --rank 12 --alpha 24 --lr 1e-4 --steps 2000"""),
        "dreambooth": Command(dreambooth.DreamBoothRun, dreambooth.finetune_dreambooth, """\
minidiff finetune dreambooth photos --token sks --class-prompts "a cat" --out runs/my-cat
minidiff finetune dreambooth photos --class-prompts "a cat" --how lora --rank 4 --lr 1e-3
minidiff finetune dreambooth photos --class-prompts "a cat" --model ./stable-diffusion-v1-5 --lr 5e-6 --optimizer adamw8bit"""),
        "full": Command(full.FullRun, full.finetune_full, "minidiff finetune full photos --out runs/photos"),
        "fashion": Command(fashion.FashionRun, fashion.finetune_fashion, """\
minidiff finetune fashion data/fashion
minidiff finetune fashion data/fashion --model ./stable-diffusion-v1-5"""),
        "lcm": Command(lcm.LCMRun, lcm.finetune_lcm, "minidiff finetune lcm photos --model ./stable-diffusion-v1-5"),
        "compare": Command(compare.CompareRun, compare.compare, "minidiff finetune compare --subject mochi"),
        "style": Command(style.StyleRun, style.finetune_style, """\
minidiff finetune style neon
minidiff finetune style watercolour --model world-unet --out runs/watercolour-unet"""),
        "emoji": Command(emoji.EmojiRun, emoji.finetune_emoji, "minidiff finetune emoji data/emoji"),
    }


def edit_commands() -> dict[str, Command]:
    from minidiff.pipelines import edit_commands as edit

    return {
        "img2img": Command(edit.Img2ImgEdit, edit.edit_img2img, """\
minidiff edit img2img "a big red house at night" house.png
minidiff edit img2img "a watercolour house" house.png garden.png --strength 0.5 --lora watercolour.safetensors:0.8"""),
        "inpaint": Command(edit.InpaintEdit, edit.edit_inpaint, """\
minidiff edit inpaint "a big red balloon on the left in a room" room.png mask.png
minidiff edit inpaint "a big red balloon in a room" room.png mask.png --num-images 4 --feather 8
minidiff edit inpaint "a cat on a sofa" photo.jpg mask.png --zoom --model ./stable-diffusion-inpainting"""),
        "outpaint": Command(edit.OutpaintEdit, edit.edit_outpaint, """\
minidiff edit outpaint "a big white boat in the sea" boat.png --aspect 16:9
minidiff edit outpaint "a big white boat in the sea" boat.png --left 32 --right 32"""),
        "style": Command(edit.StyleEdit, edit.edit_style, """\
minidiff edit style house.png --lora watercolour
minidiff edit style house.png garden.png --lora neon:0.7 --out neon.png
minidiff edit style house.png --lora ink.safetensors --prompt "a big red house in a meadow" --strength 0.4"""),
        "upscale": Command(edit.UpscaleEdit, edit.edit_upscale, """\
minidiff edit upscale star.png
minidiff edit upscale star.png house.png --factor 2 --out large.png"""),
        "words": Command(edit.WordsEdit, edit.edit_words, """\
minidiff edit words "a red car at night" "a blue car at night" --seed 4
minidiff edit words "a yellow star and a blue house" "a yellow star and a blue house" --weight "a yellow star=0"
minidiff edit words "a black cat in a room" "an orange cat in a room" --picture cat.png --only cat"""),
    }


def evaluate_commands() -> dict[str, Command]:
    from minidiff.evaluate import (
        all_models,
        arena,
        captioned_pictures,
        emoji,
        few_steps,
        inpainting,
        prompt_files,
        prompt_following,
        quality,
        reading,
        style_transfer,
        styles,
        subjects,
        super_resolution,
        upscaling,
        vae,
    )  # fmt: skip

    return {
        "prompts": Command(prompt_following.PromptsRun, prompt_following.evaluate, "minidiff evaluate prompts --json out.json"),
        "reading": Command(reading.ReadingRun, reading.evaluate, "minidiff evaluate reading --suite people-choice"),
        "subjects": Command(subjects.SubjectsRun, subjects.evaluate, "minidiff evaluate subjects --images 100"),
        "vae": Command(vae.VAEQualityRun, vae.evaluate, "minidiff evaluate vae --json vae.json"),
        "styles": Command(styles.StylesRun, styles.evaluate, """\
minidiff evaluate styles --json styles.json
minidiff evaluate styles --lora neon=runs/neon/neon.safetensors --suite 1"""),
        "style-transfer": Command(style_transfer.StyleTransferRun, style_transfer.evaluate, """\
minidiff evaluate style-transfer --json style-transfer.json
minidiff evaluate style-transfer --scenes 32 --lora neon=runs/neon/neon.safetensors"""),
        "upscaler": Command(upscaling.UpscalingRun, upscaling.evaluate, "minidiff evaluate upscaler --emoji data/emoji"),
        "quality": Command(quality.QualityRun, quality.evaluate, "minidiff evaluate quality --samples 500 --json out.json"),
        "emoji": Command(emoji.EmojiQualityRun, emoji.evaluate, """\
minidiff evaluate emoji data/emoji --model emoji-dit --json emoji.json
minidiff evaluate emoji data/emoji --model runs/emoji-dit --pairs 40 --guidance-scale 2 3 5"""),
        "inpainting": Command(inpainting.InpaintingRun, inpainting.evaluate, """\
minidiff evaluate inpainting data/holes --model world-dit --steps 20 --scale 3 --out runs/inpainting
minidiff evaluate inpainting data/holes --pictures finished --lpips vgg16-397923af.pth
minidiff evaluate inpainting data/holes --model ./stable-diffusion-inpainting --max-samples 200 --save-images-ratio 0.1"""),
        "super-resolution": Command(super_resolution.SuperResolutionRun, super_resolution.evaluate, """\
minidiff evaluate super-resolution urban100 --factor 4 --model bicubic --out runs/urban100
minidiff evaluate super-resolution urban100 --factor 2 --pictures finished --lpips alexnet-owt-7be5be79.pth"""),
        "text-to-image": Command(captioned_pictures.TextToImageRun, captioned_pictures.evaluate, """\
minidiff evaluate text-to-image flickr30k --model ./stable-diffusion-v1-5 --max-samples 1000 --steps 50 --scale 7.5
minidiff evaluate text-to-image flickr30k --pictures finished --clip ./clip-vit-base-patch32
minidiff evaluate text-to-image flickr30k --inception pt_inception-2015-12-05-6726825d.pth --save-images-ratio 0.1"""),
        "prompt-file": Command(prompt_files.PromptFileRun, prompt_files.evaluate, """\
minidiff evaluate prompt-file PartiPrompts.tsv --model ./stable-diffusion-v1-5 --clip ./clip-vit-base-patch32
minidiff evaluate prompt-file DrawBench.csv --model world-dit --max-samples 50"""),
        "all": Command(all_models.AllRun, all_models.evaluate, """\
minidiff evaluate all --json all.json
minidiff evaluate all --models world-dit runs/world-dit --suite 2 --per-category 55"""),
        "few-steps": Command(few_steps.FewStepsQualityRun, few_steps.evaluate, """\
minidiff evaluate few-steps --json few-steps.json
minidiff evaluate few-steps --student runs/world-dit-4 --counts 4 20 --per-category 5"""),
        "arena": Command(arena.ArenaRun, arena.evaluate, """\
minidiff evaluate arena runs/a runs/b
minidiff evaluate arena runs/a runs/b runs/c --votes friends.json --ranking"""),
    }


def export_commands() -> dict[str, Command]:
    from minidiff.pipelines import export, export_onnx
    from minidiff.studio import export_web

    return {
        "diffusers": Command(
            export.DiffusersExport, export.export_diffusers, "minidiff export diffusers exported --model world-dit"
        ),
        "onnx": Command(export_onnx.OnnxExport, export_onnx.export_onnx, """\
minidiff export onnx onnx-dit
minidiff export onnx onnx-unet --model world-unet --tensorrt"""),
        "web": Command(export_web.WebExport, export_web.export_web, """\
minidiff export web page
python -m http.server --directory page"""),
    }


def course_commands() -> dict[str, Command]:
    from minidiff.course import build, cheat_sheet, new, slides, table, tried, variant

    return {
        "build": Command(build.BuildRun, build.command, "minidiff course build --only 02"),
        "accept": Command(build.AcceptRun, build.accept_command, "minidiff course accept minidiff/course/lessons/02_ddpm"),
        "slides": Command(slides.SlidesRun, slides.command, "minidiff course slides"),
        "cheat-sheet": Command(cheat_sheet.CheatSheetRun, cheat_sheet.command, """\
minidiff course cheat-sheet
minidiff course cheat-sheet build/cheat-sheet --no-pdf"""),
        "table": Command(table.TableRun, table.command, "minidiff course table"),
        "variant": Command(variant.VariantRun, variant.command, "minidiff course variant --seed 7"),
        "try": Command(tried.TryRun, tried.command, "minidiff course try 02"),
        "new": Command(new.NewRun, new.command, 'minidiff course new 10 "Few steps"'),
    }


def grade_command() -> Command:
    from minidiff.course import grade

    return Command(grade.GradeRun, grade.command, """\
minidiff grade exercises/en/02_ddpm.ipynb
minidiff grade exercises/vi/02_ddpm.ipynb --lang vi --json score.json --pass-mark 0.8
minidiff grade --all --name "Nguyễn An" --lang vi""")


def zoo_commands() -> dict[str, Command]:
    return {
        "list": Command(ZooList, zoo_list, "minidiff zoo"),
        "add": Command(ZooAdd, zoo_add, "minidiff zoo add runs/world-dit\nminidiff zoo add runs/my-style --name ink"),
        "fetch": Command(ZooFetch, zoo_fetch, "minidiff zoo fetch\nminidiff zoo fetch world-dit world-vae"),
    }


def serve_command() -> Command:
    from minidiff.pipelines import serve

    return Command(serve.ServeOptions, serve_model, "minidiff export onnx onnx-dit && minidiff serve --onnx onnx-dit")


def app_command() -> Command:
    return Command(AppOptions, app, """\
minidiff app
minidiff app --port 8000 --lang vi
minidiff app --host 0.0.0.0 --allowed-host draw.example.org --behind-proxy 10.0.0.1
minidiff app --public""")


def doctor_command() -> Command:
    from minidiff import doctor

    return Command(doctor.DoctorOptions, doctor.doctor, """\
minidiff doctor
minidiff doctor --needs interop app evaluate
minidiff doctor --needs evaluate --weights ~/metrics --json doctor.json""")


Loader = Callable[[], Command | dict[str, Command]]
COMMANDS: dict[str, tuple[str, Loader]] = {
    "sample": ("make images of a sentence", sample_command),
    "edit": ("change a picture: a part of it, its words, or all", edit_commands),
    "prepare": ("fetch, draw, caption and filter images to train on", prepare_commands),
    "train": ("train a model, or go on after a stop", train_commands),
    "finetune": ("teach a finished model a style or a subject", finetune_commands),
    "evaluate": ("measure a model", evaluate_commands),
    "export": ("write a model for other programs", export_commands),
    "serve": ("answer requests over HTTP, without torch", serve_command),
    "course": ("build the lessons, exercises, solutions and slides", course_commands),
    "grade": ("score an exercise notebook", grade_command),
    "zoo": ("list, verify, fetch and publish weights", zoo_commands),
    "app": ("start the studio, a web page", app_command),
    "doctor": ("say what is installed, what is missing, and what it is for", doctor_command),
}
DEFAULTS = {"zoo": "list"}  # what a group does when none of its commands is named
HELP = f"""\
Text-to-image diffusion in Vietnamese and English.

usage: minidiff <command> [options]

{chr(10).join(f"  {name:<10}{summary}" for name, (summary, _) in COMMANDS.items())}

examples:
  minidiff sample "a big red star left of a small blue house at night" --out star.png
  minidiff edit img2img "a big red house at night" house.png --strength 0.7
  minidiff train world-dit --help
  minidiff evaluate prompts --json out.json
  minidiff export diffusers exported
  minidiff grade exercises/en/02_ddpm.ipynb

minidiff <command> --help says more."""

# --------------------------------------------------------------------------------------------------------------- parsing


def parse(commands: Command | dict[str, Command], argv: Sequence[str], prog: str) -> tuple[Command, Any]:
    """The chosen command, and its options. Raises UsageError for options that are unknown, missing or of the wrong type."""
    if isinstance(commands, Command):
        with sentences(argv, prog):
            return commands, tyro.cli(commands.options, prog=prog, args=argv, description=description(commands))
    branches: list[Any] = []
    for name, command in commands.items():
        text = description(command, examples=argv[:1] == [name])
        branches.append(Annotated[command.options, tyro.conf.subcommand(name=name, description=text, prefix_name=False)])
    if len(branches) == 1:  # a Union of one would be no choice
        branches.append(Annotated[None, tyro.conf.Suppress])
    examples = "examples:" + "".join(f"\n  {command.examples.splitlines()[0]}" for command in commands.values())
    with sentences(argv, f"{prog} {argv[0]}" if argv[0] in commands else prog):
        options = tyro.cli(Union[tuple(branches)], prog=prog, args=argv, description=examples)  # type: ignore # noqa: UP007
    return next(command for command in commands.values() if command.options is type(options)), options


def description(command: Command, examples: bool = True) -> str:
    text = (command.options.__doc__ or "").strip()
    return text + "\n\nexamples:\n  " + command.examples.replace("\n", "\n  ") if examples else text


@contextlib.contextmanager
def sentences(argv: Sequence[str], prog: str) -> Iterator[None]:
    """Turns tyro's framed errors into a UsageError of one sentence.

    tyro has no public way to do this, only hooks that it may change. Where they are missing, or of another form, tyro
    prints its own message and exits with 2 as well.
    """
    try:
        from tyro import _errors as hooks

        on_error = hooks.on_parse_error
    except (ImportError, AttributeError):
        yield
        return

    def raise_sentence(event: Any) -> None:
        with contextlib.suppress(AttributeError):
            if text := sentence(event, hooks, argv):
                raise UsageError(f"{text.rstrip('.')} (see {prog} --help)")

    with on_error(raise_sentence):
        yield


def sentence(event: Any, hooks: Any, argv: Sequence[str]) -> str:
    """What is wrong with a command line; empty if tyro shall say it."""
    argument: Any = getattr(event, "argument", None)
    option = argument.display_name() if argument else ""
    if isinstance(event, hooks.UnrecognizedArgs):
        token = event.tokens[0]
        return f"there is no option {token!r}" if token.startswith("-") else f"{token!r} was not expected here"
    if isinstance(event, hooks.MissingArgs):
        return "missing: " + ", ".join(missing.arg.display_name() for missing in event.missing_arguments)
    if isinstance(event, hooks.MissingSubcommand):
        return "choose one of " + ", ".join(event.subcommand_spec.parser_from_name)
    if isinstance(event, hooks.InvalidChoice):
        return f"{option} must be one of {', '.join(event.choices)}, not {event.value!r}"
    if isinstance(event, hooks.BadValue):
        return f"{option} needs a value: {argument.lowered.metavar}"
    if isinstance(event, hooks.InstantiationFailure):
        return f"{option} must be {argument.lowered.metavar}, not {given(option, argv)}" if argument else event.message
    return ""


def given(option: str, argv: Sequence[str]) -> str:
    """What stands after an option on the command line."""
    flags = option.split("/")
    for index, token in enumerate(argv):
        name, has_value, value = token.partition("=")
        if name.replace("_", "-") in flags:
            after = itertools.takewhile(lambda word: not word.startswith("--"), argv[index + 1 :])
            return repr(value if has_value else " ".join(after))
    return "this"


def dispatch(argv: Sequence[str]) -> int:
    """Runs a command line and returns the exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if argv[0] in ("-V", "--version"):
        from minidiff import __version__

        print(f"minidiff {__version__}")
        return 0
    name, rest = argv[0], list(argv[1:])
    if name not in COMMANDS:
        raise UsageError(f"there is no command {name!r}: choose one of {', '.join(COMMANDS)}.")
    try:
        commands = COMMANDS[name][1]()
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("minidiff"):
            raise
        raise UsageError(f"minidiff {name} needs the package {missing.name}, which is not installed.") from None
    if isinstance(commands, dict):
        if name in DEFAULTS and (not rest or (rest[0].startswith("-") and rest[0] not in ("-h", "--help"))):
            rest.insert(0, DEFAULTS[name])
        rest = rest or ["--help"]
        if not rest[0].startswith("-") and rest[0] not in commands:
            raise UsageError(f"there is no {rest[0]!r} in minidiff {name}: choose one of {', '.join(commands)}.")
    command, options = parse(commands, rest, f"minidiff {name}")
    status = command.run(options)
    return status if isinstance(status, int) else 0


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command and exits: 0 done, 2 bad input (one line on stderr), 130 stopped with Ctrl-C."""
    try:
        sys.exit(dispatch(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not garble the end
        print("minidiff: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (UsageError, ValueError, OSError) as error:
        if os.environ.get("MINIDIFF_TRACEBACK"):  # to look for the cause in the code
            raise
        text = " ".join(str(error).split())
        print(text if text.startswith("minidiff ") else f"minidiff: {text}", file=sys.stderr)
        sys.exit(2)
