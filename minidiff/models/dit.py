"""The text DiT (Peebles & Xie 2023) as PixArt-alpha shapes it (Chen et al. 2023): a transformer that predicts what to
take away from a noisy latent, told the time by adaLN-single and the caption by cross-attention.

Parameter names are those of diffusers' `PixArtTransformer2DModel(use_additional_conditions=False)`; `state_dict`s
move in both directions. What it is not: the class-conditional DiT (models/class_dit.py, which shares its parts), nor
anything that knows about paths or noise levels: it is given a number called timestep and never asks what it means.
Taught in the lesson on the DiT.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.inference.cpu import PackedLinear, PackedSelfAttention, packable
from minidiff.nn.attention import Attention, padding_bias, recorder_of
from minidiff.nn.embeddings import TimestepEmbedding, position_table, project_patches, timestep_embedding

SINUSOIDS = 256         # width of the timestep's sinusoids in every PixArt


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """What every DiT has. sample_size: side of the latent the positions are made for (others work too).

    out_channels: None for as many as go in; published DiTs learn the variance too and give 2 in_channels, of which the
    first half is the prediction (`x0`, `eps`, ...) and all that a sampler here wants.
    """

    sample_size: int = 16
    patch_size: int = 2
    in_channels: int = 4
    out_channels: int | None = None
    hidden_size: int = 384
    depth: int = 6
    heads: int = 6
    mlp_ratio: int = 4
    interpolation_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.hidden_size % self.heads or self.hidden_size % 4:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of 4 and of heads={self.heads}.")
        if self.sample_size % self.patch_size:
            raise ValueError(f"sample_size {self.sample_size} must be a multiple of patch_size {self.patch_size}.")

    @property
    def patch_out(self) -> int:
        """Numbers predicted for each patch."""
        return self.patch_size**2 * (self.out_channels or self.in_channels)

    def check_latent(self, x: Tensor) -> None:
        """ValueError for anything but (B, in_channels, H, W) that patches tile."""
        p, c = self.patch_size, self.in_channels
        if x.ndim != 4 or x.shape[1] != c or x.shape[2] % p or x.shape[3] % p:
            raise ValueError(f"x has shape {tuple(x.shape)}; it must be (B, {c}, H, W) with H and W multiples of {p}.")


@dataclass(frozen=True, kw_only=True)
class DiTConfig(TransformerConfig):
    """The text DiT: captions are caption_channels wide."""

    caption_channels: int = 256


class KeysValues(NamedTuple):
    """One block's keys and values of a caption, each (B, heads, L, d), and the bias that hides padding, (B, 1, 1,
    L)."""

    key: Tensor
    value: Tensor
    bias: Tensor | None


class Absorbed(NamedTuple):
    """One block's whole cross-attention to a caption that stays the same, as two matrices; see `absorb`.

    ask (B, D, heads*L) turns picture tokens into logits, bias (B, 1, heads*L) is added to these, answer (B, heads*L, D)
    turns attention weights into what is added to the picture tokens.
    """

    ask: Tensor
    bias: Tensor
    answer: Tensor


class Context(NamedTuple):
    """A batch of captions made ready for every block: what `DiT.prepare_context` gives, once per picture."""

    blocks: tuple[KeysValues | Absorbed, ...]
    batch: int


def captions_each(context: Tensor | Context, x: Tensor) -> int:
    """How many captions of `context` each of the latents x has: 1, or more in a Context. ValueError if that is no whole
    number."""
    captions = len(context) if isinstance(context, Tensor) else context.batch
    copies, rest = divmod(captions, len(x))
    if rest or (isinstance(context, Tensor) and copies != 1):
        raise ValueError(f"There are {captions} captions for {len(x)} latents; give one each, or a Context with a whole "
                         "number of captions for each.")
    return copies


def absorb(attention: Attention, kv: KeysValues) -> Absorbed | KeysValues:
    """Multiplies the query projection into the keys and the output projection into the values.

    logits = (x Wq^T + bq) K^T / sqrt(d) = x (Wq^T K^T / sqrt(d)) + bq K^T / sqrt(d), and likewise on the way out. A
    caption of L tokens then costs each picture token 2 D heads L multiplications, not 2 D (D + L): a third for 20
    tokens, 6 heads. Where a layer is more than a linear one (a LoRA), keys and values are returned as they came.
    """
    heads, (_, _, _, d) = attention.heads, kv.key.shape
    to_q, to_out = attention.to_q, attention.to_out[0]
    if type(to_q) is not nn.Linear or type(to_out) is not nn.Linear:
        return kv
    key = kv.key * d**-0.5
    w_query, w_out = to_q.weight.unflatten(0, (heads, d)), to_out.weight.unflatten(1, (heads, d))
    ask = torch.einsum("bhld,hdc->bchl", key, w_query).flatten(2)                               # (B, D, heads L)
    bias = torch.einsum("bhld,hd->bhl", key, to_q.bias.unflatten(0, (heads, d)))                # (B, heads, L)
    if kv.bias is not None:
        bias = bias + kv.bias[:, 0]
    answer = torch.einsum("bhld,chd->bhlc", kv.value, w_out).flatten(1, 2)                      # (B, heads L, D)
    return Absorbed(ask.contiguous(), bias.flatten(1)[:, None].to(ask.dtype), answer.contiguous())


class CrossAttention(Attention):
    """Picture tokens ask the caption. Added to x here, because the absorbed form adds for free."""

    def add_to(self, x: Tensor, caption: KeysValues | Absorbed) -> Tensor:
        """x (B, N, D) to x + attention(x, caption), (B, N, D)."""
        if isinstance(caption, KeysValues):
            return x + self(x, mask=caption.bias, keys_values=(caption.key, caption.value))
        logits = torch.baddbmm(caption.bias, x, caption.ask)                                    # (B, N, heads L)
        weights = logits.unflatten(-1, (self.heads, -1)).softmax(dim=-1)                        # (B, N, heads, L)
        if (recorder := recorder_of(self)) is not None:
            recorder.add(self, weights.transpose(1, 2))
        return torch.baddbmm(x + cast(nn.Linear, self.to_out[0]).bias, weights.flatten(2), caption.answer)


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor, eps: float = 1e-6) -> Tensor:
    """LayerNorm(x) (1 + scale) + shift, adaLN (Peebles & Xie 2023, section 3.2). x (B, N, D); shift, scale (B or 1,
    1, D).

    When all rows share one time, as in sampling, it is an ordinary LayerNorm with these as its weights: one pass.
    """
    if shift.shape[0] == 1:
        return F.layer_norm(x, x.shape[-1:], (1 + scale).flatten(), shift.flatten(), eps=eps)
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), 1 + scale)


def unpatchify(tokens: Tensor, x: Tensor, patch_size: int) -> Tensor:
    """tokens (B, N, p p C), within a patch rows first and channels last, to (B, C, H, W), x giving H and W."""
    p = patch_size
    rows, columns = x.shape[2] // p, x.shape[3] // p
    patches = tokens.unflatten(2, (p, p, -1)).unflatten(1, (rows, columns))                     # (B, h, w, p, p, C)
    return patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def initialise_layers(model: nn.Module) -> None:
    """Linear layers and patch projections start xavier, biases at 0, as in a ViT (Peebles & Xie 2023, section 4)."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class GELUProjection(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Linear, tanh-GELU, Linear, numbered as diffusers does (net.1 is its dropout)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GELUProjection(width, inner), nn.Identity(), nn.Linear(inner, width)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))

    def pack(self, dtype: torch.dtype) -> None:
        up, down = self.net[0], self.net[2]
        if isinstance(up, GELUProjection) and packable(up.proj, down) and isinstance(down, nn.Linear):
            self.net[0] = PackedLinear(up.proj.weight, up.proj.bias, dtype, gelu=True)
            self.net[2] = PackedLinear(down.weight, down.bias, dtype)


class Block(nn.Module):
    """Self-attention, cross-attention, MLP. The first and last are normalised, shifted, scaled and gated by the time
    (adaLN-single: the network's one modulation plus this block's own table); cross-attention is not, not even
    normalised."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width, d = config.hidden_size, config.hidden_size // config.heads
        self.scale_shift_table = nn.Parameter(torch.empty(6, width))
        self.attn1: Attention | PackedSelfAttention = Attention(width, None, config.heads, d, bias=True)
        self.attn2 = CrossAttention(width, width, config.heads, d, bias=True)
        self.ff = FeedForward(width, config.mlp_ratio * width)

    def forward(self, x: Tensor, time: Tensor, caption: KeysValues | Absorbed, copies: int = 1) -> Tensor:
        """x (B, N, D), time (B or 1, 6, D). With copies > 1, x is repeated for as many captions each, but only once
        they begin to differ, after self-attention. Returns (copies * B, N, D)."""
        modulation = (self.scale_shift_table + time).unsqueeze(2)                               # (B or 1, 6, 1, D)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation.unbind(1)               # (B or 1, 1, D) each
        x = torch.addcmul(x, gate, self.attn1(modulated_norm(x, shift, scale)))
        if copies > 1:
            x = x.repeat(copies, 1, 1)
            if len(time) > 1:
                shift_mlp, scale_mlp, gate_mlp = (m.repeat(copies, 1, 1) for m in (shift_mlp, scale_mlp, gate_mlp))
        x = self.attn2.add_to(x, caption)
        return torch.addcmul(x, gate_mlp, self.ff(modulated_norm(x, shift_mlp, scale_mlp)))

    def pack(self, dtype: torch.dtype) -> None:
        """See DiT.packed. Cross-attention stays: absorbed, it has nothing left to pack."""
        if isinstance(self.attn1, Attention) and PackedSelfAttention.can(self.attn1):
            self.attn1 = PackedSelfAttention(self.attn1, dtype)
        self.ff.pack(dtype)


class PatchEmbed(nn.Module):
    """Patches become tokens, and each is told where it lies."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.grid = config.sample_size // config.patch_size
        self.interpolation_scale = config.interpolation_scale
        self.proj = nn.Conv2d(config.in_channels, config.hidden_size, config.patch_size, stride=config.patch_size)
        self.register_buffer("pos_embed", self.positions(self.grid, self.grid), persistent=False)

    def positions(self, rows: int, columns: int) -> Tensor:
        return position_table(self.proj.out_channels, rows, columns, self.grid, self.interpolation_scale)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (side // self.proj.kernel_size[0] for side in x.shape[-2:])
        table: Tensor = self.get_buffer("pos_embed")
        if (rows, columns) != (self.grid, self.grid):
            table = self.positions(rows, columns).to(table)
        return project_patches(self.proj, x) + table                                            # (B, N, D)


class TimeEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(SINUSOIDS, width)


class AdaLNSingle(nn.Module):
    """The one linear layer that turns the time into shifts, scales and gates for all blocks (PixArt-alpha, section
    2.3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = TimeEmbedding(width)
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """timestep (B,) to the blocks' modulation (B, 6, D) and the embedded time (B, D)."""
        sinusoids = timestep_embedding(timestep, SINUSOIDS).to(self.linear.weight.dtype)
        embedded = self.emb.timestep_embedder(sinusoids)                                        # (B, D)
        return self.linear(F.silu(embedded)).unflatten(1, (6, -1)), embedded


class CaptionProjection(nn.Module):
    """From the text encoder's width to ours."""

    def __init__(self, caption_channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(caption_channels, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, caption: Tensor) -> Tensor:
        return self.linear_2(F.gelu(self.linear_1(caption), approximate="tanh"))


class DiT(nn.Module):
    """forward(x, timestep, context, mask) -> prediction for every place of x. See the file's docstring."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.pos_embed = PatchEmbed(config)
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.scale_shift_table = nn.Parameter(torch.empty(2, width))
        self.proj_out = nn.Linear(width, config.patch_out)
        self.adaln_single = AdaLNSingle(width)
        self.caption_projection = CaptionProjection(config.caption_channels, width)
        self.initialise()

    def initialise(self) -> None:
        """Every block starts as the identity (gates 0, cross-attention's output 0) and the network predicts 0:
        adaLN-zero (Peebles & Xie 2023, section 3.2). The other linear layers start xavier, biases at 0."""
        initialise_layers(self)
        for mlp in (self.adaln_single.emb.timestep_embedder, self.caption_projection):
            nn.init.normal_(mlp.linear_1.weight, std=0.02)
            nn.init.normal_(mlp.linear_2.weight, std=0.02)
        nn.init.zeros_(self.adaln_single.linear.weight)
        nn.init.zeros_(self.scale_shift_table)
        nn.init.zeros_(self.proj_out.weight)
        for block in self.blocks:
            nn.init.zeros_(block.scale_shift_table)
            nn.init.zeros_(cast(nn.Linear, block.attn2.to_out[0]).weight)

    @property
    def blocks(self) -> list[Block]:
        """The transformer blocks, for readers and type checkers; `transformer_blocks` is their name in weight files."""
        return cast(list[Block], list(self.transformer_blocks))

    def _keys_values(self, context: Tensor, mask: Tensor | None) -> list[KeysValues]:
        caption = self.caption_projection(context)                                              # (B, L, D)
        bias = padding_bias(mask, caption)                                                      # (B, 1, 1, L)
        return [KeysValues(*block.attn2.keys_values(caption), bias) for block in self.blocks]

    def prepare_context(self, context: Tensor, mask: Tensor | None = None) -> Context:
        """Everything that depends on the caption alone, for all blocks: give it to `forward` in place of the caption.

        context (B, L, caption_channels), mask (B, L) bool, True where there is a token, or None. Short captions are
        absorbed into the projections around them (`absorb`), long ones kept as keys and values.
        """
        blocks = self._keys_values(context, mask)
        if self.config.heads * context.shape[1] >= self.config.hidden_size:
            return Context(tuple(blocks), len(context))
        pairs = zip(self.blocks, blocks, strict=True)
        return Context(tuple(absorb(block.attn2, kv) for block, kv in pairs), len(context))

    def packed(self, dtype: torch.dtype = torch.float32) -> DiT:
        """A copy that can only predict, faster on a CPU (nn/packed.py): same forward and prepare_context, no weights to
        save.

        dtype: what the large matrix products compute in; with bfloat16 everything between them stays in float32. On
        other devices, or with LoRA in place of linear layers, it is a plain copy. It does not follow later changes.
        """
        model = copy.deepcopy(self).eval().requires_grad_(False)
        for block in model.blocks:
            block.pack(dtype)
        return model

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor | Context, mask: Tensor | None = None) -> Tensor:
        """x (B, C, H, W); timestep (B,), or (1,) when all share it; context (B, L, caption_channels) with mask (B, L)
        bool (True: token), or what `prepare_context` gave. Returns (B, out_channels, H, W).

        A Context may hold k captions for each x, ordered caption by caption: [all x with the first, all x with the
        second, ...]. Then (k B, out_channels, H, W) is returned: classifier-free guidance in one call. ValueError for
        sizes that don't fit.
        """
        self.config.check_latent(x)
        copies = captions_each(context, x)
        if isinstance(context, Tensor):
            blocks: tuple[KeysValues | Absorbed, ...] = tuple(self._keys_values(context, mask))
        else:
            blocks = context.blocks
        time, embedded = self.adaln_single(timestep.reshape(-1))                    # (B or 1, 6, D), (B or 1, D)
        tokens = self.pos_embed(x)                                                              # (B, N, D)
        for index, (block, caption) in enumerate(zip(self.blocks, blocks, strict=True)):
            tokens = block(tokens, time, caption, copies if index == 0 else 1)
            if index == 0 and copies > 1 and len(time) > 1:
                time, embedded = time.repeat(copies, 1, 1), embedded.repeat(copies, 1)
        shift, scale = (self.scale_shift_table + embedded[:, None]).unsqueeze(2).unbind(1)      # (B or 1, 1, D) each
        return unpatchify(self.proj_out(modulated_norm(tokens, shift, scale)), x, self.config.patch_size)
