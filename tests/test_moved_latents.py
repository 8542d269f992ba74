"""Moving a DiT from one autoencoder's latents to another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from minidiff.models.dit import DiT, DiTConfig
from minidiff.recipes.moved_latents import nearest_rotation, patches_of, turn
from minidiff.recipes.world import WorldLatents


def rotation(size: int, seed: int = 0) -> torch.Tensor:
    """Of a turning, not a mirroring."""
    matrix = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed)))[0]
    return matrix * torch.tensor([matrix.det().sign(), *[1.0] * (size - 1)])


def random_dit() -> DiT:
    torch.manual_seed(0)
    network = DiT(DiTConfig(sample_size=8, in_channels=3, hidden_size=32, depth=2, heads=2, caption_channels=16))
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.2)
    return network


def test_patches_are_those_that_a_dit_writes() -> None:
    network = random_dit()
    x = torch.randn(2, 3, 8, 8)
    tokens = patches_of(x, 2)
    assert tokens.shape == (2 * 16, 12)
    with torch.no_grad():
        network.proj_out.weight.copy_(torch.eye(12, 32))
        network.proj_out.bias.zero_()
        network.scale_shift_table.zero_()
        hidden = torch.nn.functional.pad(tokens.view(2, 16, 12), (0, 20))
        embedded = torch.zeros(2, 32)
        written = network.to_latent(hidden, embedded, x)
    normed = torch.nn.functional.layer_norm(hidden, (32,), eps=1e-6)[..., :12].reshape(-1, 12)
    assert_close(patches_of(written, 2), normed)


def test_a_rotation_is_found_again_under_noise_and_is_one() -> None:
    true, new = rotation(12), torch.randn(4000, 12) * torch.linspace(0.2, 3, 12)
    assert_close(nearest_rotation(new @ true, new), true, atol=1e-5, rtol=0)
    found = nearest_rotation(new @ true + 0.5 * torch.randn(4000, 12), new)
    assert_close(found @ found.T, torch.eye(12), atol=1e-5, rtol=0)
    assert (found - true).abs().max() < 0.2 < (torch.eye(12) - true).abs().max()


def test_a_turned_network_does_with_turned_patches_what_it_did() -> None:
    network, true = random_dit(), rotation(12)
    old = torch.randn(2, 3, 8, 8)
    t, words = torch.tensor([10.0, 700.0]), torch.randn(2, 5, 16)

    def as_latents(patches: torch.Tensor) -> torch.Tensor:
        return patches.view(2, 4, 4, 2, 2, 3).permute(0, 5, 1, 3, 2, 4).reshape(2, 3, 8, 8)

    new = as_latents(patches_of(old, 2) @ true.T)  # whose patches, times the rotation, are the old ones
    with torch.no_grad():
        before = network(old, t, words)
        turn(network, true)
        after = network(new, t, words)
    assert (before - after).abs().max() > 0.1
    assert_close(patches_of(after, 2) @ true, patches_of(before, 2), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="16 numbers doesn't fit"):
        turn(network, torch.eye(16))


def test_the_world_turns_a_dit_by_its_own_scenes_and_only_when_the_autoencoder_is_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    true, old = rotation(12), torch.randn(64, 3, 8, 8)
    new = (patches_of(old, 2) @ true.T).view(64, 4, 4, 2, 2, 3).permute(0, 5, 1, 3, 2, 4).reshape(64, 3, 8, 8)

    def latents(self: WorldLatents, count: int, split: str = "train") -> Any:
        return {"old": old, "new": new}[self.vae].numpy()

    monkeypatch.setattr(WorldLatents, "latents", latents)
    network, plain = random_dit(), random_dit()
    data = WorldLatents(vae="new", folder=tmp_path)
    data.adapt(network, "new")
    assert_close(network.state_dict(), plain.state_dict(), atol=0, rtol=0)
    data.adapt(network, "old")
    turn(plain, true)
    assert_close(network.state_dict(), plain.state_dict(), atol=1e-4, rtol=1e-4)
    data.adapt(torch.nn.Linear(2, 2), "old")  # another kind of network begins as it is
