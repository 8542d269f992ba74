"""The networks that measure: published ones from local files, equal to torchmetrics, torch-fidelity and transformers; refused
where the hash is wrong; and ours in their place. The weights are random and of the right shapes, their hashes put into the
table that users can't change. Pictures of the size that a tower wants leave out the resizing, which each library rounds in its
own way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import torch
import transformers
from PIL import Image
from torch import nn

from minidiff.evaluate import captioned_pictures, instruments, metrics
from minidiff.evaluate.instruments import ABSENT, LPIPS, CaptionWeightOptions, WeightOptions, load_instruments, to_floats
from minidiff.evaluate.published_weights import KNOWN, Published, WeightsError, sha256_of, verify


def pictures(count: int, seed: int = 0, size: tuple[int, int] = (48, 40)) -> list[Image.Image]:
    dice = np.random.default_rng(seed)
    coarse = [dice.integers(0, 256, (6, 5, 3), dtype=np.uint8) for _ in range(count)]
    return [Image.fromarray(array).resize(size, Image.Resampling.BICUBIC) for array in coarse]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, Path], Path]:
    """Puts a file's hash into the table, as if it had been published."""

    def put(role: str, title: str, file: Path) -> Path:
        monkeypatch.setitem(KNOWN, role, (*KNOWN[role], Published(title, file.name, sha256_of(file))))
        return file

    return put


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of Inception v3 as torch-fidelity has it."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    folder, patch = tmp_path_factory.mktemp("inception"), pytest.MonkeyPatch()
    torch.save({}, folder / "empty.pth")
    torch.manual_seed(0)
    with patch.context() as unloaded:
        unloaded.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3("i", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
    torch.save(network.state_dict(), folder / "pt_inception-2015-12-05-6726825d.pth")
    return folder / "pt_inception-2015-12-05-6726825d.pth"


def trunk(net: str, folder: Path) -> Path:
    """torchvision's file of random weights, without the classifier, which LPIPS doesn't read."""
    import torchvision

    generator = torch.Generator().manual_seed(1)
    with torch.device("meta"):
        state = getattr(torchvision.models, instruments.BUILDERS[net])(weights=None).features.state_dict()
    made = {f"features.{key}": torch.randn(value.shape, generator=generator) * (2 / max(value[:1].numel(), 9)) ** 0.5
            for key, value in state.items()}  # fmt: skip
    torch.save(made, folder / f"{net}.pth")
    return folder / f"{net}.pth"


def clip_folder(folder: Path, width: int = 12) -> Any:
    """A tiny CLIP with its tokenizer and its images' settings, as transformers saves them."""
    tokenizer = published.clip_tokenizer(folder / "words")
    tokenizer.save_pretrained(folder)
    vision = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "intermediate_size": 32}  # fmt: skip
    text = published.clip_config(tokenizer).to_dict() | {"projection_dim": width}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**vision, "projection_dim": width}, projection_dim=width
    )
    model = published.shaken(transformers.CLIPModel(config))
    model.save_pretrained(folder)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    images.save_pretrained(folder)
    return model


# --- equal to the libraries -------------------------------------------------------------------------------------------


def test_fid_kid_precision_and_recall_are_those_of_torch_fidelity(
    inception_file: Path, publish: Callable[[str, str, Path], Path]
) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    publish("inception", "inception", inception_file)
    found = load_instruments(WeightOptions(inception=inception_file))
    theirs = FeatureExtractorInceptionV3("i", ["2048"], feature_extractor_weights_path=str(inception_file))
    real, fake = pictures(5), pictures(4, 1, (31, 64))
    ours = [found.see(some) for some in (real, fake)]
    for some, features in zip((real, fake), ours, strict=True):
        batch = torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in some])
        torch.testing.assert_close(features, theirs(batch)[0], rtol=1e-5, atol=1e-6)
    x, y = (some.double() for some in ours)
    kid = kid_features_to_metric(
        x[:4], y, kid_subsets=1, kid_subset_size=4, kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1, rng_seed=0, verbose=False,
    )  # fmt: skip
    assert metrics.kid(x[:4], y, 1, 4)[0] == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-5)
    assert metrics.precision_recall(x, y) == pytest.approx(calculate_precision_recall_full(y, x, neighborhood=3))
    assert [found.name(key) for key in ("fd", "kid", "precision", "recall")] == ["FID", "KID", "precision", "recall"]


@pytest.mark.parametrize("net", ["vgg", "alex", "squeeze"])
def test_lpips_is_that_of_torchmetrics(
    net: str, tmp_path: Path, publish: Callable[[str, str, Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchmetrics.functional.image import lpips

    def features_on_meta(name: str, pretrained: bool = False, build: Any = lpips._get_tv_model_features) -> Any:
        with torch.device("meta"):
            return build(name, pretrained)

    file = publish("lpips", net, trunk(net, tmp_path))
    monkeypatch.setattr(lpips, "_get_tv_model_features", features_on_meta)
    theirs = lpips._LPIPS(pretrained=True, net=net, pnet_rand=True).eval()
    state = torch.load(file)
    own = theirs.net.state_dict()  # slice1.0.weight, or slices.0.0.weight
    own = {key: state["features." + key.split(".", 2 if key.startswith("slices") else 1)[-1]] for key in own}
    theirs.net.load_state_dict(own, assign=True)
    found = load_instruments(WeightOptions(lpips=file))
    a, b = torch.rand(2, 2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.distance(a, b), theirs(a, b, normalize=True).flatten(), rtol=1e-5, atol=1e-5)
    assert found.name("distance") == "LPIPS" and found.distance_by == f"LPIPS with {net}"
    assert float(found.distance(a, a).abs().max()) == 0
    with pytest.raises(ValueError, match="at least 32"):
        found.distance(a[..., :20], b[..., :20])


def test_clip_score_is_that_of_torchmetrics(
    tmp_path: Path, publish: Callable[[str, str, Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchmetrics.multimodal.clip_score import CLIPScore

    folder = tmp_path / "openai"  # torchmetrics looks at the name
    clip_folder(folder)
    publish("clip", "ViT-B/32", folder / "model.safetensors")
    some, texts = pictures(3, size=(16, 16)), ["a red car", "red", "a star at night"]
    found = load_instruments(CaptionWeightOptions(clip=folder))
    ours = found.scores["clip"].run(some, texts)
    theirs = CLIPScore(model_name_or_path=str(folder))
    for name in ("get_image_features", "get_text_features"):  # transformers 5 wraps what torchmetrics 1.9 takes for a tensor
        plain = getattr(theirs.model, name)
        monkeypatch.setattr(theirs.model, name, lambda *a, plain=plain: getattr(plain(*a), "pooler_output", plain(*a)))
    for one, text, score in zip(some, texts, ours, strict=True):
        theirs.update(torch.from_numpy(np.array(one)).permute(2, 0, 1), text)
        assert 100 * float(score) == pytest.approx(max(float(theirs.compute()), 0), rel=1e-5, abs=1e-4)
        theirs.reset()
    assert found.name("clip") == "CLIPScore" and found.canonical == {"clip"}


def test_pick_score_takes_its_tokenizer_from_another_folder(tmp_path: Path, publish: Callable[[str, str, Path], Path]) -> None:
    model, words = clip_folder(tmp_path / "pick"), tmp_path / "words"
    clip_folder(words)
    processor = transformers.CLIPProcessor.from_pretrained(words)
    for file in (tmp_path / "pick").glob("*"):
        if file.is_file() and file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    publish("pickscore", "PickScore_v1", tmp_path / "pick/model.safetensors")
    some, texts = pictures(2, size=(16, 16)), ["a red car", "a star"]
    ours = load_instruments(CaptionWeightOptions(pickscore=(tmp_path / "pick", words))).scores["pick"]
    inputs = processor(text=texts, images=some, return_tensors="pt", padding="max_length", max_length=77, truncation=True)
    with torch.no_grad():
        out = model(**inputs)
    torch.testing.assert_close(ours.run(some, texts), out.logits_per_image.diag(), rtol=1e-5, atol=1e-5)
    assert ours.name == "PickScore"


def test_the_aesthetic_score_is_that_of_its_published_layers(
    tmp_path: Path, publish: Callable[[str, str, Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Predictor(nn.Module):
        """Layer by layer as in the repository of the predictor."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(768, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2), nn.Linear(128, 64),
                nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
            )  # fmt: skip

    torch.manual_seed(0)
    theirs = Predictor().eval()
    torch.save(theirs.state_dict(), tmp_path / "head.pth")
    model = clip_folder(tmp_path / "clip", width=768)
    options = CaptionWeightOptions(aesthetic=tmp_path / "head.pth", clip=tmp_path / "clip")
    publish("aesthetic", "aesthetic", tmp_path / "head.pth")
    publish("clip", "ViT-B/32", tmp_path / "clip/model.safetensors")
    with pytest.raises(WeightsError, match="looks through OpenAI's CLIP ViT-L/14"):
        load_instruments(options)
    monkeypatch.setitem(KNOWN, "clip", ())
    publish("clip", "ViT-L/14", tmp_path / "clip/model.safetensors")
    some = pictures(2, size=(30, 24))
    inputs = transformers.CLIPProcessor.from_pretrained(tmp_path / "clip")(images=some, return_tensors="pt")
    with torch.no_grad():
        seen = model.visual_projection(model.vision_model(**inputs).pooler_output)
        expected = theirs.layers(seen / seen.norm(dim=-1, keepdim=True)).flatten()
    ours = load_instruments(options).scores["aesthetic"].run(some, ["", ""])
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


# --- nothing unverified -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(KNOWN))
def test_a_file_with_a_wrong_hash_is_refused_unopened(role: str, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (tmp_path / "sprung").touch, ()

    torch.save({"a": Trap()}, tmp_path / "weights.pth")
    given = tmp_path / "weights.pth"
    kind = WeightOptions if role in ("inception", "lpips") else CaptionWeightOptions
    options = kind(**{role: (given, tmp_path) if role == "pickscore" else given})
    with pytest.raises(WeightsError) as refusal:
        load_instruments(options)
    assert "\n" not in str(refusal.value) and f"is not a published file for {role}" in str(refusal.value)
    assert sha256_of(given) in str(refusal.value) and not (tmp_path / "sprung").exists()


def test_a_hash_given_by_hand_is_believed_for_towers_alone_and_told(tmp_path: Path) -> None:
    clip_folder(tmp_path)
    found = sha256_of(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="if its page shows this very hash, give it by --sha256"):
        verify("clip", tmp_path)
    assert verify("clip", tmp_path, [found.upper()]).vouched
    loaded = load_instruments(CaptionWeightOptions(clip=tmp_path, sha256=(found,)))
    assert f"(SHA-256 {found[:12]}... given by hand)" in loaded.scores["clip"].by
    (tmp_path / "a.pth").write_bytes(b"1")
    with pytest.raises(WeightsError, match="fetch it again"):
        verify("inception", tmp_path / "a.pth", [sha256_of(tmp_path / "a.pth")])


def test_weights_in_pieces_are_refused_since_an_index_vouches_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    by_hand = [sha256_of(tmp_path / "model.safetensors.index.json")]
    with pytest.raises(WeightsError, match="in several pieces"):
        verify("pickscore", tmp_path, by_hand)


@pytest.mark.parametrize(("role", "says"), [("inception", "Inception v3 as FID"), ("lpips", "layers of vgg16")])
def test_a_published_name_with_other_contents_is_one_sentence(
    role: str, says: str, tmp_path: Path, publish: Callable[[str, str, Path], Path]
) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "a.pth")
    publish(role, "vgg", tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=says) as refusal:
        load_instruments(WeightOptions(**{role: tmp_path / "a.pth"}))
    assert "\n" not in str(refusal.value)


def test_without_files_the_figures_are_mini_and_the_others_not_run() -> None:
    found = load_instruments(captioned_pictures.TextToImageRun(data=Path("data")))
    names = [found.name(key) for key in ("fd", "kid", "precision", "recall", "distance", "clip")]
    assert names == ["FD-mini", "KID-mini", "precision-mini", "recall-mini", "PD-mini", "Align-mini"]
    assert found.not_run == dict.fromkeys(("CLIPScore", "PickScore", "aesthetic", "FID"), ABSENT)
    assert load_instruments(WeightOptions()).not_run == dict.fromkeys(("FID", "LPIPS"), ABSENT)
    assert not found.canonical and "our own network" in found.see_by
    some = pictures(3)
    assert found.see(some).shape == (3, found.width)
    a = to_floats(some[0])
    assert float(found.distance(a, a)) == 0 < float(found.distance(a, to_floats(some[1])))


def test_the_table_names_files_by_the_digits_of_their_hashes() -> None:
    """torch.hub's convention: a name ends in the first digits of the SHA-256."""
    for role in ("inception", "lpips"):
        for one in KNOWN[role]:
            assert Path(one.file).stem.rsplit("-", 1)[-1] == one.sha256[:8]


def test_lpips_weighs_channels(tmp_path: Path) -> None:
    net = LPIPS("squeeze", trunk("squeeze", tmp_path))
    a, b = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = metrics.perceptual_distance(net.maps(a), net.maps(b))
    assert not torch.allclose(plain, net(a, b), rtol=0.1)
