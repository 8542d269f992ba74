"""Optimisers: AdamW, or Muon for the matrices with AdamW for the rest; and the learning-rate schedule."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from minidiff.utils.devices import fastest_dtype

OPTIMIZERS = ("adamw", "adamw8bit", "muon")


@torch.no_grad()
def orthogonalise(matrices: Tensor, steps: int = 5, dtype: torch.dtype | None = None) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: a Newton-Schulz iteration, whose quintic is tuned for speed and not for
    convergence, drives the singular values to about 1 (Jordan et al. 2024, "Muon").

    matrices: (..., n, m). dtype: in which to compute; what is fastest on the device when None. Returns the same shape and
    dtype.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.to(dtype or fastest_dtype(matrices.device.type)).reshape(-1, *matrices.shape[-2:])
    x = x.mT if tall else x
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, for matrices and kernels inside a network (Jordan et al. 2024). The update is
    scaled by 0.2 sqrt(max(n, m)) so that AdamW's learning rates carry over (Liu et al. 2025, eq. 4).

    torch.optim.Muon gives the same update, but takes no kernels and always computes in bfloat16.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient. Those of one shape are orthogonalised together, which is faster."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    matrix = self._nesterov(weight, weight.grad, group["momentum"]).flatten(1)
                    alike[matrix.shape].append((weight, matrix))  # a kernel (out, in, 3, 3) is a matrix (out, in * 9)
            for shape, pairs in alike.items():
                updates = orthogonalise(torch.stack([matrix for _, matrix in pairs]), dtype=self.dtype)
                for (weight, _), update in zip(pairs, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update.view_as(weight), alpha=-group["lr"] * 0.2 * math.sqrt(max(shape)))

    def _nesterov(self, weight: Tensor, grad: Tensor, momentum: float) -> Tensor:
        """The gradient averaged over past steps, and looked ahead by one."""
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        average = state["momentum_buffer"]
        average.lerp_(grad, 1 - momentum)
        return grad.lerp(average, momentum)


def is_matrix(name: str, weight: nn.Parameter) -> bool:
    """Whether Muon trains it: matrices and kernels, except embeddings, tables and the first and last layers by their names.
    (The DiT's patch kernel and the U-Net's last kernel count as inner ones; the shipped weights were trained so.)"""
    ends = ("embedding", "table", "proj_out", "logit", "conv_in", "decoder.conv_out", "questions", "quant_conv")
    return weight.ndim in (2, 4) and not any(word in name for word in (*ends, "discriminator"))


def build_optimizers(
    model: nn.Module,
    how: str,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.99),
    dtype: torch.dtype | None = None,
) -> list[torch.optim.Optimizer]:
    """[AdamW], or with "muon" [AdamW, Muon for matrices, Muon for kernels], without those that have nothing to train. Weight
    decay acts on matrices and kernels only, never on biases and norms. dtype: of Muon's iteration.

    Raises ValueError for an optimiser that is not in OPTIMIZERS, and for "adamw8bit" without bitsandbytes."""
    if how not in OPTIMIZERS:
        raise ValueError(f"The optimiser must be one of {', '.join(OPTIMIZERS)}, not {how!r}.")
    weights = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    inner = [p for n, p in weights if how == "muon" and is_matrix(n, p)]
    chosen = {id(p) for p in inner}
    rest = [p for _, p in weights if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if how == "adamw8bit":
        return [adamw_8bit(groups, lr, betas)]
    adamw = torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)
    matrices, kernels = ([p for p in inner if p.ndim == ndim] for ndim in (2, 4))
    optimizers: list[torch.optim.Optimizer] = [adamw]
    if matrices:
        optimizers.append(muon_for_matrices(matrices, lr, weight_decay, dtype))
    if kernels:
        optimizers.append(Muon(kernels, lr, weight_decay=weight_decay, dtype=dtype))
    return optimizers


def adamw_8bit(groups: list[dict[str, Any]], lr: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """AdamW that keeps its two averages in 8 bits, a quarter of their memory (Dettmers et al. 2022)."""
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise ValueError("The optimiser 'adamw8bit' needs bitsandbytes: pip install bitsandbytes, or choose 'adamw'.") from None
    return AdamW8bit(groups, lr=lr, betas=betas)


def muon_for_matrices(
    matrices: list[nn.Parameter], lr: float, weight_decay: float, dtype: torch.dtype | None = None
) -> torch.optim.Optimizer:
    """torch.optim.Muon where there is one (torch 2.9) and bfloat16, its only precision, is wanted; ours elsewhere."""
    dtype = dtype or fastest_dtype(matrices[0].device.type)
    if dtype == torch.bfloat16 and hasattr(torch.optim, "Muon"):
        return torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    return Muon(matrices, lr, weight_decay=weight_decay, dtype=dtype)


def warmup_cosine(step: int, total: int, warmup: int, floor: float = 0.02, cycles: int = 1) -> float:
    """The factor on the learning rate at `step`: linear up over `warmup` steps, then half a cosine down to `floor`, `cycles`
    times one after the other."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup)) * cycles
    progress = progress - min(int(progress), cycles - 1)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
