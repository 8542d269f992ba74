"""Edge consistency: what it finds on real pictures, on seams, and on pictures that have nothing to do with each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minidiff.evaluate.edges import (
    VISIBLE,
    allowed_seam,
    border_consistency,
    canny,
    edge_f1,
    luma,
    seams,
    soft_edge_ssim,
)  # fmt: skip


def photographs() -> list[np.ndarray]:
    """Three that scikit-image brings, 128 x 128."""
    from skimage import data

    return [np.ascontiguousarray(picture[100:228, 150:278]) for picture in (data.astronaut(), data.coffee(), data.cat())]


def box(side: int = 128) -> np.ndarray:
    hole = np.zeros((side, side), bool)
    hole[40:90, 30:80] = True
    return hole


def test_real_pictures_pass_and_pasted_ones_do_not() -> None:
    real, hole = photographs(), box()
    allowed = allowed_seam((picture, hole) for picture in real)
    own = [border_consistency(picture, hole, allowed) for picture in real]
    pasted = [np.where(hole[..., None], other, picture) for picture, other in zip(real, real[1:] + real[:1], strict=True)]
    other = [border_consistency(picture, hole, allowed) for picture in pasted]
    assert np.mean(own) == pytest.approx(0.95, abs=0.01), "so it was calibrated"
    assert np.mean(other) < 0.6 and max(other) < min(own)


def test_a_seam_is_a_step_that_goes_on_to_neither_side() -> None:
    ramp = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[:, None, None], 24, axis=1).repeat(3, axis=2)
    hole = np.zeros((24, 24), bool)
    hole[12:] = True
    assert np.abs(seams(ramp, hole)).max() < 1e-12, "a steep slope is no seam"
    step = np.where(hole[..., None], 100, 50).astype(np.uint8).repeat(3, axis=2)
    np.testing.assert_allclose(seams(step, hole), 50 / 255)
    np.testing.assert_allclose(seams(step.swapaxes(0, 1), hole.T), 50 / 255)
    assert len(seams(step, hole)) == 24


def test_steps_that_nobody_sees_never_count() -> None:
    flat, hole = np.full((32, 32, 3), 90, np.uint8), box(32) | np.eye(32, dtype=bool)
    faint = np.where(hole[..., None], 93, flat).astype(np.uint8)
    allowed = allowed_seam([(flat, hole)])
    assert allowed == VISIBLE and border_consistency(faint, hole, allowed) == 1.0
    assert border_consistency(np.where(hole[..., None], 100, flat).astype(np.uint8), hole, allowed) < 0.8


def test_masks_without_a_border_have_no_seam_to_speak_of() -> None:
    picture, everything = photographs()[0], np.ones((128, 128), bool)
    assert np.isnan(border_consistency(picture, everything, 0.1))
    assert allowed_seam([(picture, everything)]) == VISIBLE


def test_edges_one_pixel_off_are_found_and_those_further_off_are_not() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[20:44, 20:44] = 255
    assert canny(picture).sum() > 60
    scores = [edge_f1(np.roll(picture, shift, axis=(0, 1)), picture) for shift in (0, 1, 3)]
    assert scores[0] == scores[1] == 1.0 and scores[2] < 0.3
    flat = np.zeros_like(picture)
    assert edge_f1(flat, flat) == 1.0 and edge_f1(flat, picture) == edge_f1(picture, flat) == 0.0


def test_f1_is_of_precision_and_recall() -> None:
    """All of two bars' edges are found in one with four, and half the other way round: 2 (1/2) / (3/2)."""
    two, four = (np.zeros((80, 80, 3), np.uint8) for _ in range(2))
    for k in range(4):
        four[10 + 16 * k : 18 + 16 * k, 10:70] = 255
    two[10:18, 10:70] = two[26:34, 10:70] = 255
    assert edge_f1(two, four) == edge_f1(four, two) == pytest.approx(2 / 3, abs=0.01)


def test_soft_edges_of_other_pictures_are_less_alike_than_of_a_blurred_one() -> None:
    real = torch.from_numpy(np.stack(photographs())).permute(0, 3, 1, 2).float() / 255
    blurred = F.avg_pool2d(real, 3, stride=1, padding=1)
    same, soft, other = (soft_edge_ssim(real, x) for x in (real, blurred, real.roll(1, 0)))
    assert (same > 0.9999).all() and (soft > other + 0.2).all()


def test_a_sharp_step_from_black_to_white_is_one() -> None:
    from minidiff.evaluate.edges import _gradient

    step = torch.zeros(1, 3, 16, 16)
    step[..., 8:] = 1
    assert float(_gradient(step).max()) == pytest.approx(1.0) and float(_gradient(step.mT).max()) == pytest.approx(1.0)
    assert float(luma(torch.ones(1, 3, 1, 1))) == pytest.approx(1.0)
