"""Styles without a browser, and LoRAs in Create: what is drawn with which weights, whose they are, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from minidiff.nn.lora import Factors
from minidiff.pipelines import loras
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.png_metadata import read_png
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import write_lora
from minidiff.studio import callbacks, lora_picker, restore, styles_html, styling, teaching
from minidiff.studio.labels import STYLE_NAMES
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket
from minidiff.studio.tabs import create, styles

VALUES = ("a red star", "", "dpmpp_2m", 2, 3.0, 42, 1, 0.0, True, 0.0, 1.0, 0.0)
LAYERS = {"transformer": "transformer_blocks.0.attn1.to_q", "vae": "decoder.conv_in"}


def factors(model: torch.nn.Module, layer: str, seed: int = 0, rank: int = 2, size: float = 0.3) -> Factors:
    weight = model.get_submodule(layer).get_parameter("weight")
    generator = torch.Generator().manual_seed(seed)
    down = size * torch.randn(rank, *weight.shape[1:], generator=generator)
    up = size * torch.randn(len(weight), rank, *[1] * (weight.ndim - 2), generator=generator)
    return Factors(down, up, float(rank))


def module(pipeline: TextToImage, part: str) -> torch.nn.Module:
    return pipeline.vae if part == "vae" else pipeline.network


@pytest.fixture(scope="module")
def models(whole_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny zoo with a LoRA of the DiT and two of the VAE, which is the zoo of this process for these tests."""
    root = tmp_path_factory.mktemp("lora-zoo")
    for file in whole_zoo.iterdir():
        if not file.name.startswith("."):
            (root / file.name).write_bytes(file.read_bytes())
    pipeline = load_pipeline("world-dit", "cpu", "float32", root)
    for seed, (name, part) in enumerate([("neon-dit", "transformer"), ("neon", "vae"), ("outline", "vae")]):
        base = "world-vae" if part == "vae" else "world-dit"
        layer = LAYERS[part]
        file = write_lora(root / "made.safetensors", {part: {layer: factors(module(pipeline, part), layer, seed)}})
        config = {"lora": {"base": base}, "made_with": {base: zoo.entry(base, root)["sha256"]}}
        zoo.add_file(name, file.read_bytes(), ".safetensors", root=root, config=config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(root))
        load = partial(load_pipeline, device="cpu", dtype="float32", root=root)
        yield Models(pipeline, ["world-unet", "world-pixels"], load)


@pytest.fixture
def pipeline(models: Models) -> TextToImage:
    return models.first


def print_of(pipeline: TextToImage) -> str:
    """A hash of all weights, to the bit."""
    digest = hashlib.sha256()
    for part in (pipeline.network, pipeline.vae, pipeline.words.tower):
        for value in part.state_dict().values():
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def own(pipeline: TextToImage, path: Path, part: str = "transformer", **changes: Any) -> Path:
    return write_lora(path, {part: {LAYERS[part]: factors(module(pipeline, part), LAYERS[part], 9, **changes)}})


def values(names: list[str], weights: dict[str, float] | None = None, **changes: Any) -> tuple[Any, ...]:
    given = {"model": "world-dit", "prompt": "a red star", "seed": 3, "sweep": "0, 0.5, 1", "own": None, "own_weight": 0.5}
    given |= changes
    table = dict.fromkeys(loras.shipped(), styling.DEFAULT) | (weights or {})
    return (*(given[key] for key in ("model", "prompt", "seed", "sweep", "own", "own_weight")), names, *table.values())


def pictures(view: str) -> list[Image.Image]:
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)"', view)
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]


# A copy of one's own


@pytest.mark.parametrize("names", [["neon-dit"], ["neon"], ["neon-dit", "neon", "outline"]])
def test_a_drawing_changes_no_weight_that_others_use(pipeline: TextToImage, names: list[str]) -> None:
    before, request = print_of(pipeline), pipeline.request("a red star", steps=2)
    plain = pipeline(request)[0].tobytes()
    worn = loras.apart(pipeline, {name: name for name in names})
    assert worn.pipeline(request)[0].tobytes() == plain  # at strength 0
    worn.mix(dict.fromkeys(names, 0.8))
    assert worn.pipeline(request)[0].tobytes() != plain
    assert pipeline(request)[0].tobytes() == plain
    assert print_of(pipeline) == before
    whole = load_pipeline("world-dit", "cpu", "float32")
    loras.apply(whole, [f"{name}:0.8" for name in names])  # as minidiff sample does
    assert worn.pipeline(request)[0].tobytes() == whole(request)[0].tobytes()


def test_a_copy_shares_what_no_lora_changes(pipeline: TextToImage) -> None:
    worn = loras.apart(pipeline, {"neon-dit": "neon-dit"}).pipeline
    assert worn.vae is pipeline.vae and worn.words is pipeline.words and worn.network is not pipeline.network
    ours, theirs = dict(worn.network.named_parameters()), dict(pipeline.network.named_parameters())
    assert [name for name in ours if ours[name] is not theirs[name]] == [f"{LAYERS['transformer']}.weight"]


def test_two_visitors_draw_at_once_and_one_stops(pipeline: TextToImage) -> None:
    """A drawing that is left in the middle, or still running in another thread, changes nobody else's picture."""
    before = print_of(pipeline)
    asked = (*VALUES[:3], 4, *VALUES[4:])
    *_, alone = callbacks.generate(pipeline, asked)
    left = callbacks.generate(pipeline, asked, loras={"neon-dit": 2.0, "neon": 2.0})
    for _ in range(3):
        next(left)
    *_, beside = callbacks.generate(pipeline, asked)
    assert pictures(beside.results or "")[0].tobytes() == pictures(alone.results or "")[0].tobytes()
    assert print_of(pipeline) == before
    *_, view = left
    assert pictures(view.results or "")[0].tobytes() != pictures(alone.results or "")[0].tobytes()
    assert print_of(pipeline) == before


def test_previews_show_the_styled_picture(pipeline: TextToImage) -> None:
    request = pipeline.request("a red star", steps=2)
    latents = [preview.latents for preview in pipeline.stream(request)][-1]
    worn = loras.dressed(pipeline, {"neon": 1.0})
    assert worn.decode_fast(latents)[0].tobytes() == worn.decode(latents)[0].tobytes() != pipeline.decode(latents)[0].tobytes()
    assert loras.dressed(pipeline, {}) is pipeline


# What is drawn


def test_a_mix_is_shown_without_alone_and_together(models: Models) -> None:
    seen = list(styles.draw(models, values(["outline", "neon-dit"], {"neon-dit": 0.3}), sweep=False))
    view = seen[-1].view or ""
    drawn = pictures(view)
    said = [json.loads(one.text["minidiff"]).get("loras", {}) for one in drawn]
    assert said == [{}, {"outline": 0.8}, {"neon-dit": 0.3}, {"outline": 0.8, "neon-dit": 0.3}]
    assert len({one.tobytes() for one in drawn}) == 4
    whole = load_pipeline("world-dit", "cpu", "float32")
    loras.apply(whole, ["outline:0.8", "neon-dit:0.3"])
    assert drawn[3].convert("RGB").tobytes() == whole(whole.request("a red star", seed=3))[0].tobytes()
    assert "nét viền 0.8 + đèn neon, do mạng vẽ 0.3" in view and "outline 0.8 + neon, by the network 0.3" in view
    assert seen[-1].running is False and seen[1].running is None and seen[0].running is True


def test_a_sweep_samples_once_where_the_decoder_alone_changes(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    plain = TextToImage.stream
    monkeypatch.setattr(TextToImage, "stream", lambda self, request: asked.append(request) or plain(self, request))
    seen = list(styles.draw(models, values(["neon"], sweep="-1, 0, 1, 2"), sweep=True))
    assert len(asked) == 1
    drawn = pictures(seen[-1].view or "")
    assert len({one.tobytes() for one in drawn}) == 4
    for one, strength in zip(drawn, (-1.0, 0.0, 1.0, 2.0), strict=True):
        monkeypatch.undo()
        worn = loras.dressed(models.first, {"neon": strength} if strength else {})
        assert one.convert("RGB").tobytes() == worn(worn.request("a red star", seed=3))[0].tobytes()
    asked.clear()
    monkeypatch.setattr(TextToImage, "stream", lambda self, request: asked.append(request) or plain(self, request))
    view = list(styles.draw(models, values(["neon", "neon-dit"], sweep="0 0.5"), sweep=True))[-1].view or ""
    assert len(asked) == 2  # the plain latent serves the whole row of neon, and neon-dit at 0
    assert view.count("<h3>") == 2 and len(pictures(view)) == 4


def test_a_lora_of_0_is_swept_and_cells_appear_as_they_are_ready(models: Models) -> None:
    views = [view.view for view in styles.draw(models, values(["neon"], {"neon": 0.0}), sweep=True) if view.view]
    assert [one.count("<figure>") for one in views] == [0, 1, 2, 3]
    assert all(later.startswith(earlier) for earlier, later in zip(views, views[1:], strict=False))


def test_an_own_file_takes_part(models: Models, tmp_path: Path) -> None:
    file = own(models.first, tmp_path / "neon.safetensors")
    view = list(styles.draw(models, values(["outline"], own=str(file)), sweep=False))[-1].view or ""
    said = [json.loads(one.text["minidiff"]).get("loras", {}) for one in pictures(view)]
    assert said[-1] == {"outline": 0.8, "my-neon": 0.5}
    assert len({one.tobytes() for one in pictures(view)}) == 4


def test_stop_and_time_end_between_two_steps(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    def stopped() -> bool:
        asked.append(None)
        return len(asked) > 2

    views = list(styles.draw(models, values(["neon-dit"]), False, stopped=stopped))
    assert "Stopped after 0 pictures" in views[-1].notice and views[-1].running is False
    monkeypatch.setattr(callbacks, "MAX_SECONDS", 5)
    ticks = iter(range(10**6))
    views = list(styles.draw(models, values(["neon-dit"]), False, clock=lambda: float(next(ticks))))
    assert "Stopped after 5 seconds" in views[-1].notice


def test_a_visitor_pays_for_what_the_network_draws(models: Models) -> None:
    def spent(names: list[str], sweep: bool) -> float:
        bucket = TokenBucket(100, 1e-9)
        list(styles.draw(models, values(names, sweep="0, 0.5, 1, 1.5"), sweep, "a", bucket))
        return 100 - bucket._buckets["a"][0]

    one = callbacks.cost(1, models.first.steps, "dpmpp_2m")
    assert spent(["neon"], True) == pytest.approx(one + 3 * styles.DECODED)
    assert spent(["neon-dit"], True) == pytest.approx(4 * one)
    bucket = TokenBucket(1, 1e-9)
    list(styles.draw(models, values(["neon-dit"]), True, "a", bucket))
    [view] = styles.draw(models, values(["neon-dit"]), True, "a", bucket)
    assert "please wait" in view.notice


# What is refused


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((["magic"], {}), r"no LoRA .*magic.* for world-dit"),
        ((["neon", "outline", "neon-dit", "magic"], {}), "at most 3"),
        ((["neon"], {"neon": 2.5}), "from -1 to 2"),
        ((["neon"], {"neon": float("nan")}), "from -1 to 2"),
        ((["neon"], {"neon": "1"}), "from -1 to 2"),
        ((["neon"], {"neon": True}), "from -1 to 2"),
        (([], {}), "Choose a LoRA first"),
        ((["neon"], {"neon": 0}), "Choose a LoRA first"),
    ],
)
def test_refusals_say_what_is_allowed(models: Models, given: Any, says: str) -> None:
    *_, view = styles.draw(models, values(*given), sweep=False)
    assert re.search(says, view.notice) and 'lang="vi"' in view.notice and "alert" in view.notice


@pytest.mark.parametrize(("sweep", "says"), [("", "1 to 9"), ("0,1,2,3", "-1 to 2"), ("x", "no list of numbers")])
def test_a_sweep_is_checked(models: Models, sweep: str, says: str) -> None:
    *_, view = styles.draw(models, values(["neon"], sweep=sweep), sweep=True)
    assert says in view.notice
    many = ",".join(f"{k / 10}" for k in range(10))
    assert "1 to 9" in list(styles.draw(models, values(["neon"], sweep=many), sweep=True))[-1].notice


FILES: dict[str, tuple[Callable[[TextToImage, Path], Any], str]] = {
    "lora.pt": (lambda p, path: path.write_bytes(b"x"), "no .safetensors"),
    "gone.safetensors": (lambda p, path: None, "no longer"),
    "large.safetensors": (lambda p, path: path.write_bytes(bytes(styling.MAX_FILE + 1)), "at most|up to 2 MB"),
    "cut.safetensors": (lambda p, path: path.write_bytes(own(p, path).read_bytes()[:-9]), "damaged"),
    "half.safetensors": (
        lambda p, path: path.write_bytes(save({f"transformer.{LAYERS['transformer']}.lora_A.weight": torch.ones(2, 32)})),
        "no plain LoRA",
    ),
    "weights.safetensors": (lambda p, path: path.write_bytes(save({"a": torch.ones(2)})), "no plain LoRA"),
    "nan.safetensors": (lambda p, path: own(p, path, size=float("nan")), "no plain LoRA"),
    "huge.safetensors": (lambda p, path: own(p, path, size=1e30), "no plain LoRA"),
    "unet.safetensors": (
        lambda p, path: write_lora(path, {"unet": {"down.0": Factors(torch.ones(2, 4), torch.ones(4, 2), 2.0)}}),
        "another model",
    ),
    "layer.safetensors": (
        lambda p, path: write_lora(path, {"transformer": {"blocks.99": Factors(torch.ones(2, 4), torch.ones(4, 2), 2.0)}}),
        "another model",
    ),
    "shape.safetensors": (
        lambda p, path: write_lora(
            path, {"transformer": {LAYERS["transformer"]: Factors(torch.ones(2, 5), torch.ones(5, 2), 2.0)}}
        ),
        "another model",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_dropped_file_is_checked(models: Models, tmp_path: Path, name: str) -> None:
    make, says = FILES[name]
    make(models.first, tmp_path / name)
    *_, view = styles.draw(models, values([], own=str(tmp_path / name)), sweep=False)
    assert re.search(says, view.notice), view.notice
    assert str(tmp_path) not in view.notice and 'lang="vi"' in view.notice
    with pytest.raises(RequestError):
        styling.check_file(tmp_path / name, models.first)


def test_a_good_file_is_welcome(models: Models, tmp_path: Path) -> None:
    file = own(models.first, tmp_path / "<b>.safetensors")
    assert "&lt;b&gt;.safetensors fits world-dit" in styles.check_own(models.first, str(file))
    assert styling.own_name("<b>x y") == "b-x-y" and styling.own_name("neon") == "my-neon" and styling.own_name("///") == "lora"


def test_a_picture_of_overflowing_numbers_is_a_sentence(models: Models, tmp_path: Path) -> None:
    file = own(models.first, tmp_path / "big.safetensors", "vae", size=1e15)
    *_, view = styles.draw(models, values([], own=str(file)), sweep=False)
    assert "numbers overflow" in view.notice


def test_every_lora_of_the_zoo_has_a_name_in_both_languages() -> None:
    shipped = {name for name, row in zoo.manifest(zoo.SHIPPED).items() if zoo.lora_base(row)}
    assert shipped <= STYLE_NAMES.keys()


# Create


def test_a_picture_of_create_brings_its_loras_back(models: Models, tmp_path: Path) -> None:
    table = {"outline": 0.35, "neon-dit": -0.5}
    *_, view = callbacks.generate_with(models, "world-dit", VALUES, loras=table)
    [data] = re.findall(r'<img src="data:image/png;base64,([^"]+)"', view.results or "")
    path = tmp_path / "star.png"
    path.write_bytes(base64.b64decode(data))
    assert read_png(path)["loras"] == table
    assert "<lora:outline:0.35> <lora:neon-dit:-0.5>" in Image.open(path).text["parameters"]  # type: ignore[attr-defined]
    assert restore.loras_from_image(str(path), "world-dit") == (table, "")
    updates = create._load_image(str(path), models)
    boxes, sliders = updates[15], updates[16:]
    assert boxes["value"] == ["outline", "neon-dit"] and "are back" in updates[14]
    assert {name: one.get("value") for name, one in zip(loras.shipped(), sliders, strict=True)} == {"neon": None, **table}
    assert [one["visible"] for one in sliders] == [name in table for name in loras.shipped()]
    strengths, notice = restore.loras_from_image(str(path), "world-unet")
    assert strengths == {} and "outline, neon-dit" in notice and "aren&#x27;t here" in notice


@pytest.mark.parametrize("text", ["neon:0.8,outline:-0.25", "neon:0.8"])
def test_a_link_brings_loras_back_or_is_refused_by_name(models: Models, text: str) -> None:
    strengths, notice = restore.loras_from_link({"loras": text}, "world-dit")
    assert not notice and ",".join(f"{name}:{one:g}" for name, one in strengths.items()) == text
    for bad, says in (("magic:1", "magic"), ("neon:9", "-1 to 2"), ("neon", "not allowed"), ("neon:x", "not allowed")):
        assert restore.loras_from_link({"loras": bad}, "world-dit")[0] == {}
        assert says in restore.loras_from_link({"loras": bad}, "world-dit")[1], bad
    assert restore.loras_from_link({}, "world-dit") == ({}, "")


def test_create_refuses_what_the_model_has_not(models: Models) -> None:
    [view] = callbacks.generate_with(models, "world-unet", VALUES, loras={"neon-dit": 1})
    assert "neon-dit" in (view.notice or "") and "neon, outline" in (view.notice or "")
    [view] = callbacks.generate(models.first, VALUES, loras="neon")
    assert "table of their names" in (view.notice or "")


def test_the_picker_keeps_what_another_model_has_too(models: Models) -> None:
    boxes, *sliders = lora_picker.for_model("world-unet", ["neon-dit", "neon"])
    assert boxes["value"] == ["neon"] and boxes["choices"] == ["neon", "outline"]
    assert [one["visible"] for one in sliders] == [name == "neon" for name in loras.shipped()]
    assert lora_picker.chosen(["neon-dit", "magic"], [0.1, 0.2, 0.3]) == {"neon-dit": 0.2, "magic": styling.DEFAULT}
    assert lora_picker.for_model("world-pixels", ["neon"])[0]["visible"] is False


# Training


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    files = []
    for k, kind in enumerate(("png", "jpg", "png")):
        files.append(str(tmp_path / f"{k}.{kind}"))
        Image.new("RGB", (40, 32), (80 * k, 20, 90)).save(files[-1])
    return files


def asked(pipeline: TextToImage, photos: list[str], **changes: Any) -> teaching.Wish:
    given = {"pictures": photos, "captions": "a red star", "name": "my style", "minutes": 1} | changes
    return teaching.wish(pipeline, **given)


def test_a_wish_is_checked(pipeline: TextToImage, models: Models, photos: list[str], tmp_path: Path) -> None:
    wish = asked(pipeline, photos, captions=" one \n\n two\nthree")
    assert wish.captions == ("one", "two", "three") and wish.name == "my-style"
    assert asked(pipeline, photos).captions == ("a red star",) * 3
    (tmp_path / "bad.png").write_bytes(b"x")
    Image.new("RGB", (3000, 4)).save(tmp_path / "wide.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "in.gif")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"pictures": photos[:1]}, "1 pictures; 2 to 40"),
        ({"pictures": None}, "0 pictures"),
        ({"pictures": photos * 20}, "60 pictures"),
        ({"pictures": [*photos, str(tmp_path / "bad.png")]}, "bad.png is no PNG"),
        ({"pictures": [*photos, str(tmp_path / "wide.png")]}, "wide.png is no PNG"),
        ({"pictures": [*photos, str(tmp_path / "in.gif")]}, "in.gif is no PNG"),
        ({"captions": ""}, "0 captions for 3"),
        ({"captions": "a\nb"}, "2 captions for 3"),
        ({"captions": "x" * 201}, "more than 200"),
        ({"minutes": 11}, "0.5 to 10"),
        ({"minutes": "2"}, "0.5 to 10"),
        ({"minutes": True}, "0.5 to 10"),
    ]
    for changes, says in refused:
        with pytest.raises(RequestError, match=re.escape(says)) as error:
            asked(pipeline, photos, **changes)
        assert error.value.text("vi") != error.value.text("en")
        assert str(tmp_path) not in str(error.value)
    with pytest.raises(RequestError, match="can't be taught"):
        asked(models.get("world-pixels"), photos)


def folders() -> set[str]:
    import tempfile

    return {path.name for path in Path(tempfile.gettempdir()).glob("minidiff-lora-*")}


def test_a_lora_is_trained_shown_and_usable(models: Models, photos: list[str], tmp_path: Path) -> None:
    before, there = print_of(models.first), folders()
    views = list(styles.teach(models, ("world-dit", photos, "a red star", "style", 0.5), lambda: False, pause=0.1))
    last = views[-1]
    assert last.file is not None, last.notice
    name, data = last.file
    assert name == "style.safetensors" and re.search("Learnt in|Stopped after", last.notice)
    assert last.running is False and views[0].running is True
    assert "Loss on a picture" in (last.view or "") and (last.view or "").count("<figure>") == 2
    assert 'download="style.safetensors"' in (last.view or "")
    (tmp_path / name).write_bytes(data)
    drawn = list(styles.draw(models, values([], own=str(tmp_path / name), own_weight=1.0), sweep=False))[-1]
    assert len({one.tobytes() for one in pictures(drawn.view or "")}) == 2
    assert print_of(models.first) == before and folders() == there


def test_stop_ends_the_process_and_removes_the_folder(pipeline: TextToImage, photos: list[str]) -> None:
    there, begun = folders(), time.monotonic()
    states = teaching.teach(pipeline, asked(pipeline, photos, minutes=10), lambda: time.monotonic() > begun + 1, pause=0.1)
    *_, last = states
    assert last.ended == "stopped" and time.monotonic() < begun + 30
    states = teaching.teach(pipeline, asked(pipeline, photos, minutes=10), lambda: False, pause=0.1)
    next(states)
    assert folders() != there
    states.close()  # type: ignore[attr-defined]  # the page is gone
    assert folders() == there


def test_a_training_that_breaks_is_said(models: Models, photos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", "/nowhere")  # of the process, since the wish is made before
    monkeypatch.setattr(teaching, "wish", lambda *_: teaching.Wish("world-dit", tuple(map(Path, photos)), ("a",) * 3, "x", 1.0))
    *_, view = styles.teach(models, ("world-dit", photos, "a", "x", 1), lambda: False, pause=0.1)
    assert "broke off" in view.notice and view.running is False and view.file is None
    assert "/nowhere" not in view.notice


def test_a_public_page_trains_nothing(models: Models, photos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "PUBLIC", True)
    monkeypatch.setattr(teaching, "teach", lambda *_: pytest.fail("it was trained"))
    [view] = styles.teach(models, ("world-dit", photos, "a", "x", 1), lambda: False)
    assert "anybody may use" in view.notice and 'lang="vi"' in view.notice


def test_switching_relabels_every_control() -> None:
    english, vietnamese = styles.relabel("en"), styles.relabel("vi")
    without = {"weights", "own_info", "notice", "view", "teach_notice", "teach_view"}
    assert set(english) == set(styles.Controls.__dataclass_fields__) - without
    for name in english:
        shown = [{k: v for k, v in one[name].items() if k != "__type__"} for one in (english, vietnamese)]
        same = [key for key in shown[0] if shown[0][key] == shown[1][key]]
        assert same == (["label"] if name == "seed" else []), name  # Vietnamese says seed, too


def test_what_a_visitor_wrote_is_escaped() -> None:
    assert "<b>" not in styles_html.mix_words({"<b>": 1.0}) and "${" not in styles_html.mix_words({"${x}": 1.0})
    view = styles_html.learning(1, 2, [], "", ('"><script>.safetensors', b"x"))
    assert "<script>" not in view
