"""The training loss of every diffusion model here: the mean squared error between a prediction and its target.

Also the two settings that change what the loss cares about: the times at which it is taken (`sample_times`) and the weight
of each time (`min_snr_weight`). Not here: what is predicted (prediction.py), and the losses of the VAE and of CLIP.
Taught in the lessons on DDPM and on what to predict.
"""

from __future__ import annotations

import torch
from torch import Tensor

from minidiff.diffusion.prediction import prediction_weights, target
from minidiff.diffusion.schedules import NoiseSchedule

TIME_SAMPLINGS = ("uniform", "stratified", "logit_normal")


def example_losses(
    model_pred: Tensor, x0: Tensor, eps: Tensor, t: Tensor, schedule: NoiseSchedule, prediction_type: str
) -> Tensor:
    """Mean squared error of each example, in float32 whatever the prediction's dtype.

    model_pred, x0, eps: (B, ...); t: (B,). Returns (B,). (Ho et al. 2020, eq. 14, for prediction type "eps".)
    """
    error = model_pred.float() - target(schedule, prediction_type, x0, eps, t).float()      # (B, ...)
    return error.square().flatten(1).mean(1)                                                # (B,)


def diffusion_loss(
    model_pred: Tensor,
    x0: Tensor,
    eps: Tensor,
    t: Tensor,
    schedule: NoiseSchedule,
    prediction_type: str,
    weight: Tensor | None = None,
) -> Tensor:
    """The loss to minimise: the mean of `example_losses`, each times its weight.

    Args:
        model_pred: (B, ...) what the network predicted for `schedule.mix(x0, eps, t)`.
        x0, eps: (B, ...) the data and the noise that were mixed.
        t: (B,) times in [0, 1].
        weight: (B,), for instance from `min_snr_weight`; None counts every example once.

    Returns: a 0-dim float32 tensor.
    """
    losses = example_losses(model_pred, x0, eps, t, schedule, prediction_type)
    return (losses if weight is None else losses * weight).mean()


def sample_times(n: int, how: str = "uniform", generator: torch.Generator | None = None) -> Tensor:
    """n times to train on, (n,) float32 in [0, 1], on the generator's device (the CPU without one).

    - uniform: independent.
    - stratified: one uniform time, repeated every 1/n round the circle. Each time is uniform, and together they cover [0, 1]
      evenly, which makes the loss less noisy (Kingma et al. 2021, appendix I.1).
    - logit_normal: sigmoid of a standard normal, mostly middle times (Esser et al. 2024, eq. 19).

    Raises ValueError on any other word.
    """
    device = "cpu" if generator is None else generator.device
    if how == "uniform":
        return torch.rand(n, generator=generator, device=device)
    if how == "stratified":
        return (torch.rand(1, generator=generator, device=device) + torch.arange(n, device=device) / n) % 1
    if how == "logit_normal":
        return torch.randn(n, generator=generator, device=device).sigmoid()
    raise ValueError(f"Times cannot be sampled {how!r}. Choose one of: {', '.join(TIME_SAMPLINGS)}.")


def min_snr_weight(schedule: NoiseSchedule, prediction_type: str, t: Tensor, gamma: float = 5.0) -> Tensor:
    """Weights that make the loss an x0 loss weighted by min(SNR, gamma) (Hang et al. 2023, section 3.4).

    x = alpha x0 + sigma eps is known, so an error d in x0 comes with an error -d alpha / sigma in eps, and a prediction
    a eps + b x0 is off by d (b - a alpha / sigma). Divided by the square of that factor, the loss of any type is an x0 loss.
    For eps this gives min(SNR, gamma) / SNR, for v min(SNR, gamma) / (SNR + 1).

    t: (B,) in [0, 1]. Returns (B,).
    """
    t = t.clamp(1e-4, 1 - 1e-4)     # at the very ends SNR is infinite or 0, and the weight a limit
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    error_per_x0_error = b - a * alpha / sigma
    return (alpha / sigma).square().clamp(max=gamma) / error_per_x0_error.square()
