"""SigLIP (Zhai et al. 2023): CLIP's two towers, trained to tell for every single pair whether caption and image belong
together.

What differs from CLIP (models/clip.py, whose layers these are): the loss; the text isn't causal and is pooled at its last
place; the image is pooled by attention with a learnt query (`probe`). Parameter names are those of transformers'
`SiglipModel`. What it is not: SigLIP 2 with its varying sizes. Taught in the lesson on text encoders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.models.clip import MLP, Encoder, TextConfig, TextTransformer, TowerOutput, VisionConfig
from minidiff.nn.attention import attend, merge_heads, split_heads
from minidiff.nn.embeddings import PatchProjection


@dataclass(frozen=True, kw_only=True)
class SigLIPTextConfig(TextConfig):
    """The text tower of siglip-base-patch16-224. Texts must be padded to max_length, as in training; eos_id isn't used."""

    vocab_size: int = 32000
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    projection_dim: int = 768
    activation: str = "gelu_pytorch_tanh"
    norm_eps: float = 1e-6
    eos_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class SigLIPVisionConfig(VisionConfig):
    """The image tower of siglip-base-patch16-224. Its output is not projected: projection_dim is hidden_size."""

    image_size: int = 224
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    projection_dim: int = 768
    activation: str = "gelu_pytorch_tanh"
    norm_eps: float = 1e-6


class SigLIPText(TextTransformer):
    """Token ids to one vector per token and, from the last place, one for the text."""

    def __init__(self, config: SigLIPTextConfig) -> None:
        super().__init__(config)
        self.head = nn.Linear(config.hidden_size, config.projection_dim)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> TowerOutput:
        """ids (B, L) int64, padded; mask (B, L) bool or None: published weights were trained without one. Returns
        sequence (B, L, D) and pooled (B, projection_dim). ValueError for texts too long."""
        x = self.read(ids, mask)
        return TowerOutput(x, self.head(x[:, -1]))


class PatchEmbeddings(nn.Module):
    """A vector for each patch and its place; no class token."""

    def __init__(self, config: SigLIPVisionConfig) -> None:
        super().__init__()
        self.patch_embedding = PatchProjection(config.channels, config.hidden_size, config.patch_size)
        self.position_embedding = nn.Embedding(config.patches, config.hidden_size)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.patch_embedding(pixels) + self.position_embedding.weight                    # (B, N, D)


class FusedAttention(nn.Module):
    """Attention under the names of `nn.MultiheadAttention`: the weights of Q, K and V stacked into one."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, N, D) attends to context (B, L, D); returns (B, N, D)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (
            split_heads(F.linear(tokens, weight, bias), self.heads)
            for tokens, weight, bias in zip((x, context, context), weights, biases, strict=True)
        )
        return self.out_proj(merge_heads(attend(query, key, value, layer=self)))


class AttentionPool(nn.Module):
    """Attention of one learnt query to all patches gives the image's vector: the multihead attention pooling of Zhai et al.
    2022 ("Scaling Vision Transformers")."""

    def __init__(self, config: SigLIPVisionConfig) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.empty(1, 1, config.hidden_size))
        self.attention = FusedAttention(config.hidden_size, config.heads)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = MLP(config.hidden_size, config.intermediate, config.activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, D)."""
        pooled = self.attention(self.probe.expand(len(x), -1, -1), x)                           # (B, 1, D)
        return (pooled + self.mlp(self.layernorm(pooled)))[:, 0]


class SigLIPVision(nn.Module):
    """Images to one vector per patch and one for the image."""

    def __init__(self, config: SigLIPVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = PatchEmbeddings(config)
        self.encoder = Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.head = AttentionPool(config)

    def forward(self, pixels: Tensor) -> TowerOutput:
        """pixels (B, channels, image_size, image_size), -1 to 1. Returns sequence (B, N, D) and pooled (B, D). ValueError for
        other sizes."""
        self.config.check_pixels(pixels)
        x = self.post_layernorm(self.encoder(self.embeddings(pixels)))
        return TowerOutput(x, self.head(x))


class SigLIP(nn.Module):
    """Both towers, and the learnt temperature and bias that turn their agreement into odds."""

    def __init__(self, text: SigLIPTextConfig, vision: SigLIPVisionConfig) -> None:
        super().__init__()
        if text.projection_dim != vision.hidden_size:
            raise ValueError(f"The towers cannot meet: projection_dim of the text is {text.projection_dim} and "
                             f"hidden_size of images {vision.hidden_size}; make them equal.")
        self.text_model = SigLIPText(text)
        self.vision_model = SigLIPVision(vision)
        self.logit_scale = nn.Parameter(torch.tensor([math.log(10.0)]))     # start values: Zhai et al. 2023, section 3.2
        self.logit_bias = nn.Parameter(torch.tensor([-10.0]))
        initialise(self)

    def embed_text(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """ids, mask (B, L) to (B, projection_dim) of length 1."""
        return F.normalize(self.text_model(ids, mask).pooled, dim=-1)

    def embed_image(self, pixels: Tensor) -> Tensor:
        """pixels (B, channels, H, W) to (B, projection_dim) of length 1."""
        return F.normalize(self.vision_model(pixels).pooled, dim=-1)

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings of images and of texts, each (B, projection_dim) of length 1: what `siglip_loss` takes."""
        return self.embed_image(pixels), self.embed_text(ids, mask)


def siglip_loss(image_emb: Tensor, text_emb: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    """Binary cross-entropy of all pairs, (i, i) positive and the others negative, summed over texts and averaged over images
    (Zhai et al. 2023, section 3.2 and algorithm 1).

    image_emb, text_emb (B, P) of length 1; logit_scale: logarithm of the factor on their product; logit_bias: added to it, so
    that the many negatives cost little at the start. Scalar.
    """
    logits = logit_scale.exp() * image_emb.float() @ text_emb.float().T + logit_bias                # (B, B)
    sign = 2 * torch.eye(len(logits), device=logits.device) - 1                                     # 1 for pairs, else -1
    return -F.logsigmoid(sign * logits).sum() / len(logits)


def initialise(model: SigLIP) -> None:
    """Linear layers xavier with biases 0, embeddings and the patch projection normal; as in a ViT."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, FusedAttention):
            for weight in module.in_proj_weight.chunk(3):
                nn.init.xavier_uniform_(weight)
        elif isinstance(module, nn.Embedding | nn.Conv2d):
            nn.init.normal_(module.weight, std=0.02)
    nn.init.xavier_uniform_(model.vision_model.head.probe)
