"""The networks that measure pictures: the published ones whose files were given, and ours in the place of the others.

A published network gives its figure the canonical name: FID, KID, precision and recall (Inception v3), LPIPS (VGG, AlexNet or
SqueezeNet), CLIPScore, PickScore, aesthetic. Its file is given by path and verified (published_weights.py). Without it the
figure is FD-mini, KID-mini, PD-mini or Align-mini, by `world-judge` and `world-clip`, which know drawn pictures alone; for
PickScore and aesthetic there is nothing in their place. For sets it is the judge: `world-clip`, which sees 64 x 64 pixels,
hardly notices blur, so that the row of blurred pictures would be no ceiling. What it is not: the arithmetic (metrics.py).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from minidiff.evaluate.judge import features, load_judge
from minidiff.evaluate.metrics import perceptual_distance
from minidiff.evaluate.published_weights import KNOWN, Verified, WeightsError, verify
from minidiff.evaluate.retrieval import clip_features, load_clip
from minidiff.models.detector import Detector
from minidiff.pretrained.hub import require
from minidiff.pretrained.weight_file import State, read_weights
from minidiff.text import published_clip
from minidiff.text.encoders import ours
from minidiff.utils.validation import one_line

ABSENT = "not run: weights absent"
MINI = "our own network, which knows drawn pictures alone"

See = Callable[[Sequence[Image.Image]], Tensor]
"""Pictures of any sizes to features (B, D) on the CPU."""
Distance = Callable[[Tensor, Tensor], Tensor]
"""Two batches of pictures (B, 3, H, W) in 0..1 to their distances (B,)."""
Score = Callable[[Sequence[Image.Image], Sequence[str]], Tensor]
"""Pictures and their texts to scores (B,)."""


@dataclass(kw_only=True)
class WeightOptions:
    """Published files for canonical figures of pictures. None is fetched; what isn't given is measured by our own small
    networks, under names that end in -mini."""

    inception: Path | None = None
    """pt_inception-2015-12-05-6726825d.pth, for FID, KID, precision and recall."""
    lpips: Path | None = None
    """vgg16-397923af.pth, alexnet-owt-7be5be79.pth or squeezenet1_1-b8a52dc0.pth, for LPIPS."""


@dataclass(kw_only=True)
class CaptionWeightOptions:
    """Published files for canonical figures of pictures with captions. None is fetched; without --clip there is Align-mini, and
    nothing in the place of the others."""

    clip: Path | None = None
    """Folder of openai/clip-vit-base-patch32 (the bands of the verdicts hold for it) or -large-patch14, for CLIPScore."""
    pickscore: tuple[Path, Path] | None = None
    """Two folders, of yuvalkirstain/PickScore_v1 and of laion/CLIP-ViT-H-14-laion2B-s32B-b79K, of which the tokenizer and the
    pictures' settings are read."""
    aesthetic: Path | None = None
    """sac+logos+ava1-l14-linearMSE.pth, for the aesthetic score; needs --clip with openai/clip-vit-large-patch14."""
    sha256: tuple[str, ...] = ()
    """For --clip and --pickscore: hashes of other published files, as the hub shows them on their pages. The report says that
    they were given by hand."""


Weights = WeightOptions | CaptionWeightOptions


@dataclass(frozen=True)
class Instrument:
    """Something that scores pictures. name: of its figure. by: which network it is, for the report."""

    name: str
    by: str
    run: Score


@dataclass(frozen=True)
class Instruments:
    """Everything that measures, ready. canonical: which of "fid", "lpips", "clip" have the published network.

    see, distance: for sets and for pairs; width: how many features a picture has; scores: of single pictures, by the key in the
    figures. not_run: figures that lack their network, each with the reason. used: the published files, by role."""

    see: See
    see_by: str
    width: int
    distance: Distance
    distance_by: str
    scores: dict[str, Instrument]
    canonical: frozenset[str] = frozenset()
    not_run: dict[str, str] = field(default_factory=dict)
    used: dict[str, Verified] = field(default_factory=dict)

    def name(self, key: str) -> str:
        """What a figure is called."""
        names = {"fd": ("FID", "FD-mini"), "kid": ("KID", "KID-mini"), "distance": ("LPIPS", "PD-mini"),
                 "precision": ("precision", "precision-mini"), "recall": ("recall", "recall-mini")}  # fmt: skip
        if key in names:
            return names[key][("lpips" if key == "distance" else "fid") not in self.canonical]
        return self.scores[key].name if key in self.scores else key


def verified(options: Weights) -> dict[str, Verified]:
    """The published files that were given, by role. Raises WeightsError for one that isn't what it should be, and for a score
    that lacks another file. No network is loaded, so call it before anything that takes long."""
    found = {}
    for role in KNOWN:
        given = getattr(options, role, None)
        if given is not None:
            found[role] = verify(role, given[0] if role == "pickscore" else given, getattr(options, "sha256", ()))
    if "inception" in found:
        require("torch_fidelity", "FID", "eval")
    if "lpips" in found:
        for package in ("torchvision", "torchmetrics"):
            require(package, "LPIPS", "eval")
    if "aesthetic" in found and ("clip" not in found or found["clip"].title != "ViT-L/14"):
        raise WeightsError("The aesthetic score looks through OpenAI's CLIP ViT-L/14: give its folder by --clip.")
    return found


def load_instruments(options: Weights, device: str = "cpu") -> Instruments:
    """What measures, of the files that were given and of our own networks. Raises ValueError as `verified`, and for files that
    are damaged."""
    used, judge = verified(options), load_judge()
    fid, lpips = "inception" in used, "lpips" in used
    not_run = {} if fid or not hasattr(options, "inception") else {"FID": ABSENT}
    canonical = {name for name, there in (("fid", fid), ("lpips", lpips), ("clip", "clip" in used)) if there}
    scores: dict[str, Instrument] = {}
    if isinstance(options, WeightOptions):
        not_run |= {} if lpips else {"LPIPS": ABSENT}
    else:
        scores = load_scores(options, used, device)
        names = {one.name for one in scores.values()}
        not_run |= {name: ABSENT for name in ("CLIPScore", "PickScore", "aesthetic") if name not in names}
    return Instruments(
        see=inception(used["inception"].path, device) if fid else small_features(lambda images: features(judge, images)),
        see_by="Inception v3 of 2015-12-05" if fid else f"world-judge, {MINI}",
        width=2048 if fid else judge_width(judge),
        distance=LPIPS(used["lpips"].title, used["lpips"].path).to(device) if lpips else pd_mini(judge),
        distance_by=f"LPIPS with {used['lpips'].title}" if lpips else f"world-judge's feature maps, {MINI}",
        scores=scores, canonical=frozenset(canonical), not_run=not_run, used=used,
    )  # fmt: skip


def load_scores(options: CaptionWeightOptions, used: dict[str, Verified], device: str) -> dict[str, Instrument]:
    """The scores of single pictures, by their keys in the figures."""
    scores = {}
    if options.clip:
        towers = published_clip.load_clip("clip", options.clip, allow_pickle=True)
        scores["clip"] = Instrument("CLIPScore", described("OpenAI's CLIP", used["clip"]), clip_score(towers, device))
        if options.aesthetic:
            head = read_aesthetic(used["aesthetic"].path)
            scores["aesthetic"] = Instrument("aesthetic", "LAION's linear MSE", aesthetic_score(towers, head, device))
    else:
        scores["clip"] = Instrument("Align-mini", f"world-clip, {MINI}", align_mini())
    if options.pickscore:
        model, processor = options.pickscore
        picker = published_clip.load_clip("clip", model, allow_pickle=True, processor=processor)
        scores["pick"] = Instrument("PickScore", described("PickScore", used["pickscore"]), pick_score(picker, device))
    return scores


def described(network: str, file: Verified) -> str:
    """Which weights these are, and whether somebody else vouched for them."""
    return f"{network}, {file.title}" + (f" (SHA-256 {file.sha256[:12]}... given by hand)" if file.vouched else "")


# --- sets of pictures -------------------------------------------------------------------------------------------------


def inception(file: Path, device: str = "cpu") -> See:
    """The 2048 features of FID (Heusel et al. 2017) by torch-fidelity's network, which resizes as TensorFlow 1 did. Raises
    WeightsError for a file that doesn't fit it."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(file)).to(device)
    except Exception as error:  # pickle's, torch's and the system's errors have nothing in common
        raise WeightsError(f"{file} doesn't hold Inception v3 as FID knows it ({one_line(error)}).") from None

    @torch.inference_mode()
    def see(pictures: Sequence[Image.Image]) -> Tensor:
        arrays = (torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] for picture in pictures)  # sizes may differ
        return torch.cat([network(array.to(device))[0].cpu() for array in arrays])

    return see


def judge_width(judge: Detector) -> int:
    """How many features `judge.features` gives."""
    return features(judge, torch.zeros(1, 3, 32, 32)).shape[1]


def small_features(tower: Callable[[Tensor], Tensor]) -> See:
    """What one of our networks makes of pictures of any sizes."""

    def see(pictures: Sequence[Image.Image]) -> Tensor:
        return torch.cat([tower(to_floats(picture)) for picture in pictures])

    return see


def to_floats(picture: Image.Image) -> Tensor:
    """A picture as (1, 3, H, W) in 0..1."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


# --- pairs of pictures ------------------------------------------------------------------------------------------------

# The layers that LPIPS compares, numbered in torchvision's `features`: after the last ReLU of each of VGG's five blocks, after
# each of AlexNet's five, after SqueezeNet's first and its last fire modules (Zhang et al. 2018, appendix B).
LAYERS = {"vgg": (3, 8, 15, 22, 29), "alex": (1, 4, 7, 9, 11), "squeeze": (1, 4, 7, 9, 10, 11, 12)}
BUILDERS = {"vgg": "vgg16", "alex": "alexnet", "squeeze": "squeezenet1_1"}
LEAST_LPIPS = 32  # pixels of a side; of less the trunks leave nothing


class LPIPS(nn.Module):
    """LPIPS 0.1 (Zhang et al. 2018): distances in a classifier's features, each channel weighed as people's choices taught.

    net: a key of LAYERS. trunk: the file of torchvision's weights. The channels' weights are those that torchmetrics brings.
    Raises WeightsError for a trunk of another network.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: str, trunk: Path) -> None:
        super().__init__()
        import torchvision

        with torch.device("meta"):  # the classifier behind them has a hundred million weights that nobody needs
            layers = getattr(torchvision.models, BUILDERS[net])(weights=None).features[: LAYERS[net][-1] + 1]
        wanted = layers.state_dict()
        state: State = {key.removeprefix("features."): value for key, value in read_weights(trunk, allow_pickle=True).items()}
        if not wanted.keys() <= state.keys() or any(state[key].shape != wanted[key].shape for key in wanted):
            raise WeightsError(f"{trunk} doesn't hold the layers of {BUILDERS[net]}.")
        layers.load_state_dict({key: state[key].float() for key in wanted}, assign=True)
        self.features, self.layers = layers, LAYERS[net]
        self.channels = [weight.flatten() for weight in read_heads(net)]
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """a, b (B, 3, H, W) in 0..1, sides at least 32, to (B,) on the CPU."""
        if min(a.shape[-2:]) < LEAST_LPIPS:
            raise ValueError(f"LPIPS needs sides of at least {LEAST_LPIPS} pixels, not {tuple(a.shape[-2:])}.")
        weights = [weight.to(self.shift) for weight in self.channels]
        return perceptual_distance(self.maps(a.to(self.shift)), self.maps(b.to(self.shift)), weights).cpu()

    def maps(self, x: Tensor) -> list[Tensor]:
        """What the compared layers make of pictures (B, 3, H, W) in 0..1."""
        x, found = (2 * x - 1 - self.shift) / self.scale, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.layers:
                found.append(x)
        return found


def read_heads(net: str) -> list[Tensor]:
    """The channels' weights of LPIPS for each layer, (1, C, 1, 1), from the files inside torchmetrics."""
    package = importlib.util.find_spec("torchmetrics")
    if package is None or package.origin is None:
        raise WeightsError("LPIPS needs torchmetrics, which is not here: pip install 'minidiff[eval]'.")
    state = read_weights(Path(package.origin).parent / f"functional/image/lpips_models/{net}.pth", allow_pickle=True)
    return [state[f"lin{k}.model.1.weight"] for k in range(len(LAYERS[net]))]


def pd_mini(judge: Detector) -> Distance:
    """The distance in `world-judge`'s feature maps, all channels alike, of pictures in their own size."""

    @torch.inference_mode()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        return perceptual_distance(judge.feature_maps(a), judge.feature_maps(b)).cpu()

    return distance


# --- pictures and words -----------------------------------------------------------------------------------------------


def cosines(towers: published_clip.TwoTowers, device: str) -> Score:
    """How well pictures and texts agree, -1..1. The model is moved to the device."""
    towers.model.to(device)

    @torch.inference_mode()
    def score(pictures: Sequence[Image.Image], texts: Sequence[str]) -> Tensor:
        return (embedded(towers, pictures, device) * embedded_texts(towers, texts, device)).sum(dim=-1).float().cpu()

    return score


def embedded_texts(towers: published_clip.TwoTowers, texts: Sequence[str], device: str) -> Tensor:
    """Texts to vectors of length 1, (B, P)."""
    ids, mask = towers.tokenizer.encode(list(texts))
    return towers.model.embed_text(ids.to(device), None if mask is None else mask.to(device))


def embedded(towers: published_clip.TwoTowers, pictures: Sequence[Image.Image], device: str) -> Tensor:
    """Pictures to vectors of length 1, (B, P)."""
    return towers.model.embed_image(torch.stack([towers.images.pixels(picture) for picture in pictures]).to(device))


def clip_score(towers: published_clip.TwoTowers, device: str = "cpu") -> Score:
    """CLIPScore (Hessel et al. 2021, eq. 1) as the bands of the verdicts have it: the cosine, not below 0. Their paper
    multiplies it by 2.5, torchmetrics by 100."""
    cosine = cosines(towers, device)
    return lambda pictures, texts: cosine(pictures, texts).clamp(min=0)


def pick_score(towers: published_clip.TwoTowers, device: str = "cpu") -> Score:
    """PickScore (Kirstain et al. 2023, eq. 1): the cosine times the learnt exp(logit_scale), about 100."""
    cosine, scale = cosines(towers, device), float(towers.model.logit_scale.exp())
    return lambda pictures, texts: scale * cosine(pictures, texts)


def align_mini() -> Score:
    """The cosine by `world-clip`, which was trained on captions of the drawn world in English and Vietnamese."""
    clip, words = load_clip(), ours("world-clip")
    see = small_features(clip_features(clip))

    def score(pictures: Sequence[Image.Image], texts: Sequence[str]) -> Tensor:
        return (see(pictures) * F.normalize(words.pooled(list(texts)), dim=-1)).sum(dim=-1)

    return score


def read_aesthetic(file: Path) -> nn.Sequential:
    """LAION's aesthetic predictor: five linear layers, 768-1024-128-64-16-1, with nothing between them but dropout, which is
    off. Raises WeightsError for a file of something else."""
    widths, places = (768, 1024, 128, 64, 16, 1), (0, 2, 4, 6, 7)  # the dropouts are counted, too
    head = nn.Sequential(*(nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)))
    state = read_weights(file, allow_pickle=True)
    try:
        head.load_state_dict({f"{k}.{kind}": state[f"layers.{place}.{kind}"] for k, place in enumerate(places)
                              for kind in ("weight", "bias")})  # fmt: skip
    except (KeyError, RuntimeError):
        raise WeightsError(f"{file} doesn't hold the layers of the aesthetic predictor.") from None
    return head.eval().requires_grad_(False)


def aesthetic_score(towers: published_clip.TwoTowers, head: nn.Module, device: str = "cpu") -> Score:
    """About 1 to 10. The texts aren't looked at."""
    towers.model.to(device)
    head.to(device)

    @torch.inference_mode()
    def score(pictures: Sequence[Image.Image], texts: Sequence[str]) -> Tensor:
        return head(embedded(towers, pictures, device)).flatten().float().cpu()

    return score
