"""Networks made ready to sample: the same predictions as the plain model's, in less time.

    fast = prepare(network, torch.float32)
    context = fast.prepare_context(vectors, mask)       # once per image
    prediction = fast(x, timestep, context)             # at every step

The plain network stays what it was, and stays in charge: after a change of its weights the next `prepare_context` lays them out
anew, and wherever a shortcut would go round something (a forward hook, training mode, a layer that isn't ours, gradients) the
plain network itself is called. What it is not: a sampler.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from minidiff.inference.changes import Watch, modules_of
from minidiff.inference.cpu import prepack
from minidiff.inference.text_cache import FusedCrossAttention, KeysValues, fuse, keys_values
from minidiff.models import unet
from minidiff.models.dit import Block, DiT, modulated_norm
from minidiff.models.unet import TransformerBlock, UNet
from minidiff.nn import blocks, embeddings
from minidiff.nn.attention import Attention, padding_bias
from minidiff.nn.attention_maps import record_as
from minidiff.nn.blocks import FeedForward


@dataclass(frozen=True)
class Context:
    """Captions or labels of one image (or a batch) made ready by `prepare_context`.

    vectors (k B, L, D), mask (k B, L) and labels (k B,) are what was given, for the plain network; layers: what is cached for
    each cross-attention, or None where the plain network has to run.
    """

    vectors: Tensor | None
    mask: Tensor | None
    labels: Tensor | None
    layers: tuple[KeysValues | FusedCrossAttention, ...] | None = None

    def __len__(self) -> int:
        """Number of captions or labels; 0 for a network that takes none."""
        given = self.labels if self.vectors is None else self.vectors
        return 0 if given is None else len(given)

    @property
    def shape(self) -> tuple[int]:
        """Like a tensor's, whose place it takes in a U-Net."""
        return (len(self),)

    def copies(self, latents: int) -> int:
        """How many predictions each latent needs. ValueError unless it is a whole number."""
        copies, rest = divmod(len(self) or latents, latents)
        if rest or not copies:
            raise ValueError(f"There are {len(self)} captions for {latents} latents; give a whole number of them for each.")
        return copies


class Prepared:
    """Any network with forward(x, timestep, context, mask), called as it is; the subclasses know shortcuts.

    Args:
        network: the plain network; it is not changed. On a CPU in float32, elsewhere in `dtype`.
        dtype: what matrix products compute in.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        self.network, self.dtype = network, dtype
        self._watch: Watch | None = None
        self._layout: Any = None

    @torch.no_grad()
    def prepare_context(
        self, context: Tensor | None = None, mask: Tensor | None = None, labels: Tensor | None = None
    ) -> Context:
        """What depends on captions (or labels) alone, once for all steps; here changed weights are noticed.

        context (k B, L, D), mask (k B, L) bool, True for tokens, or None; labels (k B,) int64. With k > 1 the captions come in
        k rounds over the B latents: [first of each, second of each, ...].
        """
        plain = Context(context, mask, labels)
        if self._is_observed(modules_of(self.network)) or not self.fits():
            return plain
        self._refresh()
        layers = () if context is None else self._cached(context, mask)
        return Context(context, mask, labels, layers)

    def __call__(self, x: Tensor, timestep: Tensor, context: Context) -> Tensor:
        """x (B, C, H, W); timestep (B,), or (1,) when all share it; context for k B captions. Returns (k B, C_out, H, W) of
        x's dtype, in the order of the captions."""
        copies, timestep = context.copies(len(x)), timestep.reshape(-1)
        shared = copies == 1 or len(timestep) == 1
        watched = self._watch.modules if self._watch else modules_of(self.network)
        if context.layers is None or not shared or self._is_observed(watched) or self._wants_gradients(x, context):
            return self._predict_plainly(x, timestep, context, copies)
        return self._predict(x, timestep, context, copies).to(x.dtype)

    def fits(self) -> bool:
        """Whether the network is, just now, one that the shortcuts were made for."""
        return False

    def forget(self) -> None:
        """Lay the weights out anew at the next `prepare_context`, whatever is noticed; see `Watch` for what may be missed."""
        self._watch = None

    def _refresh(self) -> None:
        if self._watch is None or self._watch.changed(self.network):
            watch = Watch(self.network)             # first: what changes from here on is noticed
            self._layout = self._lay_out()
            self._watch = watch

    def _is_observed(self, modules: list[nn.Module]) -> bool:
        """Whether somebody looks at single layers (hooks, a forward replaced), or the network is in training mode."""
        if self.network.training or torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
            return True
        return any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in modules)

    def _wants_gradients(self, x: Tensor, context: Context) -> bool:
        given = (x, context.vectors, *self.network.parameters()) if torch.is_grad_enabled() else ()
        return any(tensor is not None and tensor.requires_grad for tensor in given)

    def _predict_plainly(self, x: Tensor, timestep: Tensor, context: Context, copies: int) -> Tensor:
        dtype = next(self.network.parameters()).dtype
        given = {"mask": context.mask, "labels": context.labels}
        given["context"] = None if context.vectors is None else context.vectors.to(dtype)
        given = {name: value for name, value in given.items() if value is not None}
        return self.network(x.repeat(copies, 1, 1, 1).to(dtype), _repeated(timestep, copies), **given).to(x.dtype)

    def _lay_out(self) -> Any:
        """Weights in the form in which they are used."""

    def _cached(self, context: Tensor, mask: Tensor | None) -> tuple[KeysValues | FusedCrossAttention, ...]:
        """What is cached of the captions (k B, L, D) for each cross-attention: here nothing."""
        return ()

    def _predict(self, x: Tensor, timestep: Tensor, context: Context, copies: int) -> Tensor:
        """The prediction by shortcuts: here there are none."""
        return self._predict_plainly(x, timestep, context, copies)


class PreparedDiT(Prepared):
    """The text DiT: prepacked self-attention and MLPs on a CPU, cross-attention from the cache, and guidance in one call that
    works out once what comes before the first caption."""

    network: DiT

    def fits(self) -> bool:
        return all(
            type(block) is Block and (type(block.attn1), type(block.attn2), type(block.ff)) == (Attention, Attention,
            FeedForward) for block in self._blocks
        )

    @property
    def _blocks(self) -> list[Block]:
        return cast(list[Block], list(self.network.transformer_blocks))

    def _lay_out(self) -> list[tuple[Block, nn.Module, nn.Module]]:
        return [(block, prepack(block.attn1, self.dtype), prepack(block.ff, self.dtype)) for block in self._blocks]

    def _cached(self, context: Tensor, mask: Tensor | None) -> tuple[KeysValues | FusedCrossAttention, ...]:
        caption = self.network.caption_projection(context.to(next(self.network.parameters()).dtype))   # (k B, L, D)
        bias = padding_bias(mask, caption)
        return tuple(fuse(block.attn2, keys_values(block.attn2, caption, bias)) for block in self._blocks)

    def _predict(self, x: Tensor, timestep: Tensor, context: Context, copies: int) -> Tensor:
        """DiT.forward, with each layer in its fast form."""
        network = self.network
        network.config.check_latent(x)
        latent = x.to(next(network.parameters()).dtype)
        time, embedded = network.adaln_single(timestep)                             # (B or 1, 6, D), (B or 1, D)
        tokens = network.pos_embed(latent)                                                      # (B, N, D)
        for (block, attention, feed_forward), caption in zip(self._layout, context.layers or (), strict=True):
            modulation = (block.scale_shift_table + time).unsqueeze(2)                          # (B or 1, 6, 1, D)
            shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation.unbind(1)
            tokens = torch.addcmul(tokens, gate, attention(_modulated(tokens, shift, scale)))
            if len(tokens) < len(context):
                tokens = tokens.repeat(copies, 1, 1)        # the captions begin to differ here
            tokens = caption.add_to(block.attn2, tokens)                                        # (k B, N, D)
            tokens = torch.addcmul(tokens, gate_mlp, feed_forward(_modulated(tokens, shift_mlp, scale_mlp)))
        return network.to_latent(tokens, embedded, latent)


def _repeated(timestep: Tensor, copies: int) -> Tensor:
    """timestep (B,) for k B predictions; (1,) stays."""
    return timestep if len(timestep) == 1 else timestep.repeat(copies)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`modulated_norm`; where all rows share one time it is an ordinary LayerNorm with these weights, in one pass."""
    if len(shift) > 1:
        return modulated_norm(x, shift, scale)
    return F.layer_norm(x, x.shape[-1:], (1 + scale).flatten(), shift.flatten(), eps=1e-6)


class CachedCrossAttention(nn.Module):
    """In the place of a U-Net's cross-attention number `index`; its caption is a Context."""

    def __init__(self, layer: Attention, index: int) -> None:
        super().__init__()
        self.layer, self.index = layer, index

    def forward(self, x: Tensor, context: Context, mask: None = None) -> Tensor:
        """(k B, N, D) to the same."""
        return cast(KeysValues, cast(tuple, context.layers)[self.index]).attend(self.layer, x)


# A U-Net made of other layers than these runs plainly.
UNET_LAYERS = {
    nn.ModuleList, nn.Identity, nn.Linear, nn.Conv2d, nn.Embedding, nn.GroupNorm, nn.LayerNorm, Attention,
    *(value for home in (unet, blocks, embeddings) for value in vars(home).values() if isinstance(value, type)),
}  # fmt: skip


class PreparedUNet(Prepared):
    """The U-Net on a CPU: a copy of it in `dtype` throughout, whose convolutions run channels last (faster here, but slower in
    training because of GroupNorm's backward pass), with prepacked self-attention and MLPs and cached keys and values.
    Off the CPU the plain network is as fast."""

    network: UNet

    def fits(self) -> bool:
        modules = modules_of(self.network)
        return self.network.conv_in.weight.device.type == "cpu" and all(type(module) in UNET_LAYERS for module in modules)

    def _lay_out(self) -> tuple[UNet, list[Attention]]:
        """The copy, which shares what needs no conversion, and its layers of cross-attention in the order of their use."""
        converted: dict[int, Any] = {
            id(weight): nn.Parameter(self._converted(weight), requires_grad=False) for weight in self.network.parameters()
        }
        copy: UNet = deepcopy(self.network, converted)
        layers: list[Attention] = []
        for module, original in zip(modules_of(copy), modules_of(self.network), strict=True):
            record_as(module, original)
            if isinstance(module, TransformerBlock) and isinstance(original, TransformerBlock):
                if module.cross_only:
                    layers.append(module.attn1)
                    module.add_module("attn1", CachedCrossAttention(module.attn1, len(layers) - 1))
                else:
                    module.add_module("attn1", prepack(original.attn1, self.dtype))
                layers.append(module.attn2)
                module.add_module("attn2", CachedCrossAttention(module.attn2, len(layers) - 1))
                module.add_module("ff", prepack(original.ff, self.dtype))
        return copy, layers

    def _converted(self, weight: Tensor) -> Tensor:
        layout = torch.channels_last if weight.ndim == 4 else torch.preserve_format
        return weight.detach().to(self.dtype, memory_format=layout)

    def _cached(self, context: Tensor, mask: Tensor | None) -> tuple[KeysValues | FusedCrossAttention, ...]:
        caption = context.to(self.dtype)
        bias = padding_bias(mask, caption)
        return tuple(keys_values(layer, caption, bias) for layer in self._layout[1])

    def _predict(self, x: Tensor, timestep: Tensor, context: Context, copies: int) -> Tensor:
        captions: Any = None if context.vectors is None else context
        latents = x.repeat(copies, 1, 1, 1).to(self.dtype)
        return self._layout[0](latents, _repeated(timestep, copies), captions, labels=context.labels)


def prepare(network: nn.Module, dtype: torch.dtype = torch.float32) -> Any:
    """A `Prepared` for a DiT, a U-Net, or anything else with forward(x, timestep, context, mask); for a network that has a
    method `prepared(dtype)`, what that gives. Nothing is laid out before the first `prepare_context`."""
    if hasattr(network, "prepared"):
        return network.prepared(dtype)      # type: ignore[operator]
    kinds = {DiT: PreparedDiT, UNet: PreparedUNet}
    return kinds.get(type(network), Prepared)(network, dtype)
