"""What a notebook calls: check, payoff, source, show and slider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from minidiff.course import notebook
from minidiff.course.notebook import CheckFailed, check, language, payoff, source
from minidiff.diffusion import losses
from minidiff.train.ema import EMA
from minidiff.utils import plots


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    yield
    language("en")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


def test_a_right_answer_is_told_so_in_the_notebooks_language(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    language("vi")
    check("99.1", lambda x: x / 2)
    lines = ["✓ kích thước (1/1)", "✓ giá trị (3/3)", "✓ hai số, một số âm (1/1)", "99.1: Đủ 5 điểm. Làm tốt lắm."]
    assert capsys.readouterr().out.splitlines() == lines


def test_a_wrong_answer_raises_and_says_what_was_likely_done(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckFailed, match="1 of 5 points so far. You doubled it."):
        check("99.1", lambda x: x * 2)
    assert "✗ values (0/3): You doubled it." in capsys.readouterr().out


def test_a_message_that_several_findings_share_stands_once(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckFailed) as caught:
        check("99.1", None)
    said = capsys.readouterr().out
    assert said.count("✗") == 3 and said.count("not callable") == str(caught.value).count("not callable") == 1


def test_a_notebook_shows_html_without_what_an_answer_could_smuggle_in(
    toy: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = []
    monkeypatch.setattr(notebook, "_in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda thing: shown.append(thing.data))

    def answer(x: torch.Tensor) -> torch.Tensor:
        raise ValueError("<script>")

    with pytest.raises(CheckFailed):
        check("99.1", answer)
    assert "&lt;script&gt;" in shown[0] and "<script>" not in shown[0] and "✗" in shown[0]


def test_no_traceback_of_the_grader_is_shown(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell()
    shell.user_ns["check"] = check
    result = shell.run_cell("check('99.1', lambda x: x * 2)")
    assert isinstance(result.error_in_exec, CheckFailed)
    assert "Traceback" not in capsys.readouterr().out


@pytest.mark.parametrize("call", [lambda: check("02.9", None), lambda: check("77.1", None), lambda: language("fr")])
def test_what_does_not_exist_is_refused(call) -> None:  # noqa: ANN001
    with pytest.raises(ValueError, match="There is no|There are no"):
        call()


def test_the_payoff_compares_pictures(figures: None, toy: Path) -> None:
    payoff("99.1", lambda f: f(torch.zeros(2, 3, 4, 4)), lambda x: x / 2 + 1e-5)
    (figure,) = map(plt.figure, plt.get_fignums())
    assert [axis.get_title() for axis in figure.axes] == ["solution"] * 2 + ["yours"] * 2
    with pytest.raises(CheckFailed, match="numbers of your picture are wrong"):
        payoff("99.1", lambda f: f(torch.zeros(1, 3, 4, 4)), lambda x: x / 2 + 0.1)


def test_source_shows_file_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    source(losses.sample_times)
    said = capsys.readouterr().out
    assert said.startswith("# minidiff/diffusion/losses.py\ndef sample_times(") and "logit_normal" in said
    source(EMA.update)  # under torch.no_grad(), whose wrapper is in a file of torch
    assert capsys.readouterr().out.startswith("# minidiff/train/ema.py\n    @torch.no_grad()")


def test_pictures_become_pixels() -> None:
    (black, white) = plots.as_arrays(torch.stack([-torch.ones(3, 2, 2), torch.ones(3, 2, 2) * 5]))
    assert (black == 0).all() and (white == 255).all() and white.shape == (2, 2, 3)
    assert [a.shape for a in plots.as_arrays(torch.zeros(1, 4, 4))] == [(4, 4, 3)]
    assert [a.shape for a in plots.as_arrays(torch.zeros(4, 4))] == [(4, 4, 3)]
    assert [a.shape for a in plots.as_arrays([Image.new("RGB", (5, 4)), np.zeros((4, 5), np.uint8)])] == [(4, 5, 3)] * 2
    with pytest.raises(ValueError, match="cannot be shown"):
        plots.as_arrays(torch.zeros(4, 4, 4))


def test_show_puts_pictures_in_rows(figures: None) -> None:
    plots.show(torch.zeros(5, 3, 4, 4), titles=list("abcde"), columns=3)
    (figure,) = map(plt.figure, plt.get_fignums())
    assert len(figure.axes) == 6 and [axis.get_title() for axis in figure.axes] == [*"abcde", ""]


def test_a_tensor_of_rows_is_shown_as_rows(figures: None) -> None:
    plots.show(torch.zeros(2, 5, 3, 4, 4), titles=list("abcde"))
    (figure,) = map(plt.figure, plt.get_fignums())
    assert len(figure.axes) == 10 and [axis.get_title() for axis in figure.axes] == [*"abcde", *[""] * 5]


def test_curves_histograms_and_clouds_hold_what_they_are_given(figures: None) -> None:
    left, right = plots.panels(2, sharey=False)
    plots.lines({"a": torch.tensor([1.0, 2.0]), "b": ([0, 5], [1, 3])}, left, "title", "x", "y", log="y", lw=1)
    assert [line.get_xydata().tolist() for line in left.lines] == [[[0, 1], [1, 2]], [[0, 1], [5, 3]]]
    assert left.get_yscale() == "log" and left.get_xscale() == "linear" and left.get_title() == "title"
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["a", "b"]
    plots.histogram({"all": torch.zeros(3, 4), "half": torch.ones(2)}, right, bins=2)
    assert [patch.get_height() for patch in right.patches] == [2.0, 0.0, 0.0, 2.0], "densities over one range"
    (axis,) = plots.panels(1)
    plots.cloud(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), axis, limit=4)
    assert axis.collections[0].get_offsets().tolist() == [[0, 1], [2, 3]] and axis.get_xlim() == (-4, 4)
    (axis,) = plots.panels(1)
    plots.lines({"": torch.ones(2)}, axis)
    assert axis.get_legend() is None
    assert plots.lines({"": torch.ones(2)}) is None, "a cell that ends with it shows a figure, and no object's name"


def test_a_slider_is_a_row_of_figures_without_a_kernel_and_a_widget_with_one(
    figures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setenv(plots.STATIC, "1")
    plots.slider(lambda value, axis: drawn.append(value), "t", [1, 2, 3])
    (figure,) = map(plt.figure, plt.get_fignums())
    assert drawn == [1, 2, 3] and [axis.get_title() for axis in figure.axes] == ["t = 1", "t = 2", "t = 3"]
    monkeypatch.delenv(plots.STATIC)
    knobs = []
    monkeypatch.setattr("ipywidgets.interact", lambda one, value: knobs.append(value) or one(value.value))
    plots.slider(lambda value, axis: drawn.append(value), "t", [1, 2, 3])
    assert drawn[3:] == [2] and knobs[0].options == (1, 2, 3)
