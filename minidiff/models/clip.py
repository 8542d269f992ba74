"""CLIP (Radford et al. 2021): a text tower and an image tower whose outputs agree when caption and image belong together.

A diffusion model reads prompts with the text tower alone. Parameter names are transformers': `CLIP` is its `CLIPModel`,
`TextEncoder` its `CLIPTextModelWithProjection`, `TextTransformer` its `CLIPTextModel` (for Stable Diffusion),
`VisionTransformer` its `CLIPVisionModel`; pretrained/state_dicts.py reads older files and open_clip's.
What it is not: SigLIP (models/siglip.py, built of the same layers). Taught in the lesson on text encoders.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.nn.attention import attend, merge_heads, split_heads
from minidiff.nn.embeddings import PatchProjection

MAX_LOGIT_SCALE = math.log(100)     # Radford et al. 2021, section 2.5: hotter than this, training becomes unstable


def quick_gelu(x: Tensor) -> Tensor:
    """The sigmoid approximation of GELU, for OpenAI's weights (Hendrycks & Gimpel 2016, section 2)."""
    return x * torch.sigmoid(1.702 * x)


def tanh_gelu(x: Tensor) -> Tensor:
    """The tanh approximation of GELU, for SigLIP's weights (Hendrycks & Gimpel 2016, section 2)."""
    return F.gelu(x, approximate="tanh")


# By transformers' names.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "quick_gelu": quick_gelu, "gelu_pytorch_tanh": tanh_gelu}


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """What both towers have in common. projection_dim: width of their common space; norm_eps: of all layer norms."""

    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    intermediate: int = 1024
    activation: str = "gelu"
    projection_dim: int = 256
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is {self.activation!r}; it must be one of {', '.join(ACTIVATIONS)}.")
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of the number of heads, {self.heads}.")


@dataclass(frozen=True, kw_only=True)
class TextConfig(TowerConfig):
    """The text tower. causal: each token sees only those before it, as in published CLIP; ours sees the whole text. local:
    see `locality`. eos_id: the first such token gives the pooled vector; None for the highest id of each text, as in OpenAI's
    code and open_clip, and in transformers where a configuration says `eos_token_id: 2` (a mistake in old files)."""

    vocab_size: int = 2048
    max_length: int = 64
    causal: bool = False
    local: bool = False
    eos_id: int | None = 2


@dataclass(frozen=True, kw_only=True)
class VisionConfig(TowerConfig):
    """The image tower: a ViT (Dosovitskiy et al. 2021) with a class token."""

    image_size: int = 128
    patch_size: int = 16
    channels: int = 3

    @property
    def patches(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    def check_pixels(self, pixels: Tensor) -> None:
        """ValueError for anything but (B, channels, image_size, image_size)."""
        expected = (self.channels, self.image_size, self.image_size)
        if pixels.ndim != 4 or pixels.shape[1:] != expected:
            takes = ", ".join(map(str, expected))
            raise ValueError(f"pixels have shape {tuple(pixels.shape)}; this tower takes (B, {takes}): resize first.")


class TowerOutput(NamedTuple):
    """sequence (B, L, D): one vector per token. pooled (B, D): one for the whole, before projection."""

    sequence: Tensor
    pooled: Tensor


class SelfAttention(nn.Module):
    """The attention of nn/attention.py under transformers' names."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, L, D); mask broadcastable to (B, heads, L, L), added to the logits. Returns (B, L, D)."""
        query, key, value = (split_heads(proj(x), self.heads) for proj in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(merge_heads(attend(query, key, value, mask, layer=self)))


class MLP(nn.Module):
    def __init__(self, width: int, intermediate: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.fc1 = nn.Linear(width, intermediate)
        self.fc2 = nn.Linear(intermediate, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class Layer(nn.Module):
    """One pre-norm transformer layer: attention, then MLP, each added to what was there."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.hidden_size, config.heads)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = MLP(config.hidden_size, config.intermediate, config.activation)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask)
        return x


class TextEmbeddings(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_length, config.hidden_size)

    def forward(self, ids: Tensor) -> Tensor:
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]      # (B, L, D)


class TextTransformer(nn.Module):
    """Token ids to one vector per token and one for the text. Usually part of TextEncoder or CLIP."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = TextEmbeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> TowerOutput:
        """ids (B, L) int64; mask (B, L) bool, True for tokens, or None when nothing is padding."""
        x = self.read(ids, mask)
        ends = ids if self.config.eos_id is None else (ids == self.config.eos_id).int()
        return TowerOutput(x, x[torch.arange(len(x), device=x.device), ends.argmax(dim=1)])

    def read(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """One vector per token, (B, L, D), after the final norm. ValueError for texts too long."""
        if ids.ndim != 2 or ids.shape[1] > self.config.max_length:
            raise ValueError(f"ids have shape {tuple(ids.shape)}; they must be (B, L) with L at most "
                             f"{self.config.max_length}: cut longer texts when tokenising.")
        x = self.embeddings(ids)
        bias = attention_bias(mask, ids.shape[1], self.config.causal, x)
        if self.config.local:
            near = locality(self.config.heads, ids.shape[1]).to(x)                              # (1, heads, L, L)
            bias = near if bias is None else near + bias
        return self.final_layer_norm(self.encoder(x, bias))


def attention_bias(mask: Tensor | None, length: int, causal: bool, like: Tensor) -> Tensor | None:
    """What is added to the logits, 0 or -inf, (B or 1, 1, L or 1, L) in the dtype of `like`; None when all is visible.

    Every row of `mask` needs a True (the tokenizer's <bos> is one): a softmax over nothing is NaN.
    """
    seen = None if mask is None else mask[:, None, None, :]                                     # (B, 1, 1, L)
    if causal:
        before = torch.ones(length, length, dtype=torch.bool, device=like.device).tril()
        seen = before[None, None] if seen is None else seen & before                            # (B or 1, 1, L, L)
    if seen is None:
        return None
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, -torch.inf)


def locality(heads: int, length: int) -> Tensor:
    """What is added to the logits so that words attend to their neighbours first: -slope * distance (Press et al. 2022,
    "ALiBi"), with slopes of our own for a text that isn't causal. Shape (1, heads, L, L), float32.

    Of every four heads the first looks back, the second ahead (the other way costs four times as much), the third both ways
    and far, the fourth anywhere. Which colour belongs to which thing depends on neighbours; learnt positions alone find that
    late or never (LOG.md).
    """
    place = torch.arange(length, dtype=torch.float32)
    offset = place[None, :] - place[:, None]                                                    # key minus query
    ahead, back = offset.clamp(min=0), (-offset).clamp(min=0)
    four = torch.stack([-(back + 4 * ahead), -(ahead + 4 * back), -0.3 * (ahead + back), torch.zeros_like(offset)])
    return four.repeat(-(-heads // 4), 1, 1)[None, :heads]


class VisionEmbeddings(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(config.hidden_size))
        self.patch_embedding = PatchProjection(config.channels, config.hidden_size, config.patch_size, bias=False)
        self.position_embedding = nn.Embedding(config.patches + 1, config.hidden_size)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels)                                                  # (B, N, D)
        summary = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)            # (B, 1, D)
        return torch.cat([summary, patches], dim=1) + self.position_embedding.weight            # (B, 1 + N, D)


class VisionTransformer(nn.Module):
    """Images to one vector per patch (and the class token's) and one for the image."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = VisionEmbeddings(config)
        # The missing letter is in every published weight file.
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.encoder = Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, pixels: Tensor) -> TowerOutput:
        """pixels (B, channels, image_size, image_size), in the range the weights were trained on (ours: -1 to 1)."""
        self.config.check_pixels(pixels)
        x = self.encoder(self.pre_layrnorm(self.embeddings(pixels)))
        return TowerOutput(x, self.post_layernorm(x[:, 0]))


class TextEncoder(nn.Module):
    """The text tower with its projection: transformers' CLIPTextModelWithProjection."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = TextTransformer(config)
        self.text_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)
        initialise(self)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> TowerOutput:
        """ids (B, L) int64 with an eos token in every row, mask (B, L) bool (True: token) or None. Returns sequence (B, L, D)
        for cross-attention, which means nothing at padding (pass the mask on), and pooled (B, D), the sequence at each row's
        first eos. ValueError for texts too long."""
        return self.text_model(ids, mask)

    def embed(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """The text in the common space: (B, projection_dim) of length 1."""
        return F.normalize(self.text_projection(self.text_model(ids, mask).pooled), dim=-1)


class CLIP(nn.Module):
    """Both towers, their projections into one space, and the learnt temperature: transformers' CLIPModel."""

    def __init__(self, text: TextConfig, vision: VisionConfig) -> None:
        super().__init__()
        if text.projection_dim != vision.projection_dim:
            raise ValueError(f"The towers cannot meet: projection_dim is {text.projection_dim} for text and "
                             f"{vision.projection_dim} for images; make them equal.")
        self.text_model = TextTransformer(text)
        self.vision_model = VisionTransformer(vision)
        self.visual_projection = nn.Linear(vision.hidden_size, vision.projection_dim, bias=False)
        self.text_projection = nn.Linear(text.hidden_size, text.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        initialise(self)

    def embed_text(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """ids, mask (B, L) to (B, projection_dim) of length 1."""
        return F.normalize(self.text_projection(self.text_model(ids, mask).pooled), dim=-1)

    def embed_image(self, pixels: Tensor) -> Tensor:
        """pixels (B, channels, H, W) to (B, projection_dim) of length 1."""
        return F.normalize(self.visual_projection(self.vision_model(pixels).pooled), dim=-1)

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings of images and of texts, each (B, projection_dim) of length 1: what `clip_loss` takes."""
        return self.embed_image(pixels), self.embed_text(ids, mask)

    def text_encoder(self) -> TextEncoder:
        """The text tower on its own; it shares this model's parameters."""
        encoder = TextEncoder(self.text_model.config)
        encoder.text_model, encoder.text_projection = self.text_model, self.text_projection
        return encoder


def clip_loss(image_emb: Tensor, text_emb: Tensor, logit_scale: Tensor) -> Tensor:
    """Symmetric cross-entropy over all pairs of a batch (Radford et al. 2021, figure 3): image i belongs to text i.

    image_emb, text_emb (B, P) of length 1; logit_scale the learnt logarithm of 1 / temperature, held at ln 100. Scalar.
    """
    scale = logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()
    logits = scale * image_emb.float() @ text_emb.float().T                                     # (B, B)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def initialise(model: TextEncoder | CLIP) -> None:
    """CLIP's initial weights: what a layer adds shrinks with the number of layers, so that depth doesn't blow up."""
    for module in model.modules():
        if isinstance(module, TextTransformer | VisionTransformer):
            _initialise_tower(module)
    for name in ("text_projection", "visual_projection"):
        if hasattr(model, name):
            projection = getattr(model, name)
            nn.init.normal_(projection.weight, std=projection.in_features**-0.5)


def _initialise_tower(tower: TextTransformer | VisionTransformer) -> None:
    config = tower.config
    width, depth = config.hidden_size**-0.5, (2 * config.layers) ** -0.5
    stds = {"q_proj": width * depth, "k_proj": width * depth, "v_proj": width * depth, "out_proj": width,
            "fc1": (2 * config.hidden_size) ** -0.5, "fc2": width * depth}
    for name, module in tower.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=stds[name.rsplit(".", 1)[-1]])
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding | nn.Conv2d):
            nn.init.normal_(module.weight, std=0.02)
    if isinstance(tower, VisionTransformer):
        nn.init.normal_(tower.embeddings.class_embedding, std=width)
