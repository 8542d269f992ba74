"""From one autoencoder's latents to another's: a DiT that can draw in the old ones begins in the new ones with what it knows.

Two autoencoders that were trained on the same images say nearly the same of a patch, in other coordinates. The rotation that
brings the new patches nearest to the old ones is the orthogonal Procrustes problem (Schönemann 1966). A rotation leaves white
noise white, so it fits noisy latents at every time; and since a DiT reads and writes patches by linear layers, these can be
turned in place of the data.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from minidiff.models.dit import DiT


def patches_of(latents: Tensor, size: int) -> Tensor:
    """Latents (B, C, H, W) as patches (N, size size C), channels last, as a DiT writes them."""
    return rearrange(latents, "b c (h p) (w q) -> (b h w) (p q c)", p=size, q=size)


def nearest_rotation(old: Tensor, new: Tensor) -> Tensor:
    """The orthogonal (D, D) matrix R for which |new R - old| is least (Schönemann 1966). old, new: (N, D), of the same patches
    row by row, normalised."""
    u, _, vt = torch.linalg.svd(new.double().T @ old.double())
    return (u @ vt).to(old)


@torch.no_grad()
def turn(network: DiT, rotation: Tensor) -> None:
    """Turns the first and the last layer, in place, so that the network reads and writes patches p where it knew p R.

    rotation: R (D, D), orthogonal, D = patch_size patch_size in_channels. ValueError for a network that predicts more.
    """
    config, proj = network.config, network.pos_embed.proj
    if config.patch_out != len(rotation):
        raise ValueError(f"A rotation of {len(rotation)} numbers doesn't fit patches of {config.patch_out}.")
    p = config.patch_size
    kernel = rearrange(proj.weight, "d c p q -> d (p q c)") @ rotation.T
    proj.weight.copy_(rearrange(kernel, "d (p q c) -> d c p q", p=p, q=p))
    network.proj_out.weight.copy_(rotation @ network.proj_out.weight)
    network.proj_out.bias.copy_(rotation @ network.proj_out.bias)
