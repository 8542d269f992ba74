"""Notebooks out of a source: what goes where, in both languages, and that building twice changes nothing."""

from __future__ import annotations

import ast
import base64
import io
import json
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from test_source import edit, exercise_of, source_of

from minidiff import cli
from minidiff.course import new
from minidiff.course.build import BuildRun, build, code_hash, execute, light, printed_sources, target
from minidiff.course.catalogue import exercises_in
from minidiff.course.judging import judge
from minidiff.course.road import road
from minidiff.course.source import SourceError, accept
from minidiff.pretrained import zoo


def cells(root: Path, kind: str, lang: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(target(root, kind, lang, source_of(root).parent), as_version=4).cells


def texts(root: Path, kind: str, lang: str) -> str:
    return "\n".join(cell.source for cell in cells(root, kind, lang))


def code_of(root: Path, kind: str, lang: str) -> list[str]:
    return [cell.source for cell in cells(root, kind, lang) if cell.cell_type == "code"]


def without_words(source: str) -> str:
    """Code without docstrings and comments, which are in the notebook's language."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def test_a_source_becomes_six_notebooks_whose_code_is_the_same_in_both_languages(toy: Path) -> None:
    made = build(BuildRun(root=toy, run=False))
    assert sorted(p.relative_to(toy).as_posix() for p in made) == [
        f"{kind}/{lang}/99_halves.ipynb" for kind in ("exercises", "lessons", "solutions") for lang in ("en", "vi")
    ]
    for kind in ("lessons", "exercises", "solutions"):
        en, vi = (list(map(without_words, code_of(toy, kind, lang)[1:])) for lang in ("en", "vi"))
        assert en == vi
        for lang in ("en", "vi"):
            nbformat.validate(nbformat.read(target(toy, kind, lang, source_of(toy).parent), as_version=4))
    assert code_of(toy, "exercises", "en")[3] != code_of(toy, "exercises", "vi")[3], "stubs speak the notebook's language"


def test_lessons_hold_no_exercise_and_exercises_hold_a_stub_then_its_check(toy: Path) -> None:
    build(BuildRun(root=toy, run=False))
    assert "def halve" not in texts(toy, "lessons", "en") and "Say it slowly" not in texts(toy, "lessons", "en")
    assert "NotImplementedError" in texts(toy, "exercises", "en") and "x * HALF" not in texts(toy, "exercises", "en")
    assert "x * HALF" in texts(toy, "solutions", "en") and "NotImplementedError" not in texts(toy, "solutions", "en")
    code = [cell.source for cell in cells(toy, "exercises", "vi") if cell.cell_type == "code"]
    assert code[-2] == 'check("99.1", halve)' and code[-1] == 'payoff("99.1", lambda f: f(torch.zeros(1, 3, 4, 4)), halve)'
    assert code[-4] == "print(torch.tensor([3.0]) / 2)" and code[-3].endswith("raise NotImplementedError")
    assert 'language("vi")' in code[0]


def test_answers_and_hints_are_folded_and_the_exercise_says_what_it_is_worth(toy: Path) -> None:
    build(BuildRun(root=toy, run=False))
    assert "<summary>Trả lời</summary>" in texts(toy, "lessons", "vi")
    exercise = texts(toy, "exercises", "en")
    assert "## Exercise 99.1: Half of it" in exercise and "5 points · difficulty ★★☆☆☆ · 3 minutes" in exercise
    assert exercise.count("<details>") == 3 and "<summary>Hint 3</summary>\n\nThree" in exercise


def test_building_twice_changes_nothing_and_check_finds_what_is_stale(toy: Path) -> None:
    build(BuildRun(root=toy, run=False))
    before = {p: p.read_bytes() for p in toy.rglob("*.ipynb")}
    assert build(BuildRun(root=toy, run=False)) == []
    assert before == {p: p.read_bytes() for p in toy.rglob("*.ipynb")}
    edit(exercise_of(toy), "# Hãy chia đôi `x`.", "# Chia đôi `x`.")
    stale = build(BuildRun(root=toy, check=True))
    assert [p.relative_to(toy).as_posix() for p in stale] == [
        "exercises/vi/99_halves.ipynb", "solutions/vi/99_halves.ipynb",
        "lessons/en/99_halves.ipynb", "lessons/vi/99_halves.ipynb",  # not run yet
    ]  # fmt: skip
    assert before == {p: p.read_bytes() for p in toy.rglob("*.ipynb")}, "--check must not write"


def test_the_command_names_what_is_stale_and_fails(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["course", "build", "--check", "--root", str(toy)])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "6 notebooks are stale" in said and "solutions/vi/99_halves.ipynb" in said


def test_what_is_wrong_in_several_files_is_said_at_once(toy: Path) -> None:
    other = source_of(toy).parents[1] / "98_more"
    shutil.copytree(source_of(toy).parent, other)
    for folder in (source_of(toy).parent, other):
        edit(folder / "1_halve.py", "# Halve `x`.", "# Halve x.")
    with pytest.raises(SourceError) as caught:
        build(BuildRun(root=toy, run=False))
    assert "98_more/1_halve.py:" in str(caught.value) and "99_halves/1_halve.py:" in str(caught.value)


def test_time_and_points_are_made_not_typed(toy: Path) -> None:
    build(BuildRun(root=toy, run=False))
    assert "It takes 5 minutes, and 3 for the exercises, which are worth 5 points." in texts(toy, "lessons", "en")
    assert "Mất 5 phút, thêm 3 phút cho bài tập, tổng cộng 5 điểm." in texts(toy, "lessons", "vi")
    assert "See `exercises/en/99_halves.ipynb`." in texts(toy, "lessons", "en")
    assert road("02", "en").startswith("**You are here:** 00 Tour → 01 U-Net → **02 DDPM** → ")
    assert road("02", "vi").count("→") == 17


def test_the_source_of_what_a_lesson_prints_makes_it_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [{"cell_type": "code", "source": text} for text in (
        "setup",
        "from minidiff.diffusion import samplers\nfrom minidiff.diffusion.schedules import linear_betas",
        "source(samplers.step)",
        "source(linear_betas)",
    )]  # fmt: skip
    before = code_hash(cells)
    assert [text.split("(")[0] for text in printed_sources("\n".join(cell["source"] for cell in cells))] == [
        "def step",
        "def linear_betas",
    ]
    monkeypatch.setattr("minidiff.course.build.inspect.getsource", lambda thing: "changed")
    assert code_hash(cells) != before


def test_a_new_lesson_builds_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new.command(new.NewRun("06", "CLIP: words & pictures", root=tmp_path))
    assert "06_clip_words_pictures/lesson.py" in capsys.readouterr().out
    assert len(build(BuildRun(root=tmp_path, run=False))) == 6
    (exercise,) = exercises_in(tmp_path / "minidiff/course/lessons/06_clip_words_pictures").values()
    assert sum(finding.points for finding in judge(exercise, lambda x: x * 2)) == exercise.points
    for number, says in (("06", "is there already"), ("77", "no lesson '77'")):
        with pytest.raises(SourceError, match=says):
            new.command(new.NewRun(number, "x", root=tmp_path))


def test_a_glossary_complaint_stops_the_build(toy: Path) -> None:
    edit(source_of(toy), "không gian ẩn", "không gian tiềm ẩn")
    with pytest.raises(SourceError, match="không gian ẩn"):
        build(BuildRun(root=toy, run=False))


def test_a_lesson_is_run_once_and_its_pictures_stand_in_both_languages(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    monkeypatch.setattr("minidiff.course.build.execute", lambda book, source: runs.append(source) or execute(book, source))
    build(BuildRun(root=toy))
    en, vi = ([cell.outputs for cell in cells(toy, "lessons", lang) if cell.cell_type == "code"] for lang in ("en", "vi"))
    assert en == vi and len(runs) == 1
    assert en[1][0].text == "tensor([0.5000, 2.0000])\n"
    assert ["image/png" in outputs[0].data for outputs in en[2:4]] == [True, True], "the plot, and the slider as a picture"
    assert "widget" not in json.dumps(en)
    edit(source_of(toy), "# What is half of 3?", "# What is the half of 3?")  # words alone: nothing to run again
    accept(source_of(toy))
    assert len(build(BuildRun(root=toy))) == 1 and len(runs) == 1
    assert build(BuildRun(root=toy, check=True)) == []
    edit(source_of(toy), "[1.0, 4.0]) / 2)", "[1.0, 6.0]) / 2)")
    build(BuildRun(root=toy))
    assert len(runs) == 2


def test_what_a_lesson_prints_to_stderr_and_running_numbers_are_not_kept(toy: Path) -> None:
    edit(source_of(toy), "print(torch", "import sys; print('a bar', file=sys.stderr)\nprint(torch")
    build(BuildRun(root=toy))
    outputs = [cell.outputs for cell in cells(toy, "lessons", "en") if cell.cell_type == "code"]
    assert "a bar" not in json.dumps(outputs) and outputs[1][0].text == "tensor([0.5000, 2.0000])\n"


def test_a_lesson_that_fails_leaves_the_old_notebooks(toy: Path) -> None:
    build(BuildRun(root=toy, run=False))
    before = {p: p.read_bytes() for p in toy.rglob("lessons/**/*.ipynb")}
    edit(source_of(toy), "print(torch", "raise RuntimeError('no')\nprint(torch")
    with pytest.raises(Exception, match="no"):
        build(BuildRun(root=toy))
    assert before == {p: p.read_bytes() for p in toy.rglob("lessons/**/*.ipynb")}


def test_new_weights_make_the_lessons_stale_that_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [{"cell_type": "code", "source": source} for source in ("setup", "load_pipeline('world-pixels')")]
    default = [*cells[:1], {"cell_type": "code", "source": "generate_image('a star')"}]
    before = code_hash(cells), code_hash(default)
    table = {"world-pixels": {"sha256": "new"}, "world-dit": zoo.manifest()["world-dit"]}
    monkeypatch.setattr(zoo, "manifest", lambda root=None: table)
    assert code_hash(cells) != before[0] and code_hash(default) == before[1]
    table["world-dit"] = {"sha256": "new"}
    assert code_hash(default) != before[1]


def test_pictures_are_kept_light_and_look_the_same() -> None:
    x = np.linspace(0, 255, 96)
    rgb = np.stack(np.broadcast_arrays(x[None], x[:, None], 255 - x[None]), axis=-1).astype(np.uint8)
    grain = np.random.default_rng(0).integers(0, 12, rgb.shape, dtype=np.uint8)
    noisy = Image.fromarray(rgb // 2 + 64 + grain)
    file = io.BytesIO()
    noisy.save(file, "PNG")
    kept = base64.b64decode(light(base64.b64encode(file.getvalue()).decode()))
    assert len(kept) < len(file.getvalue()) / 2
    difference = np.asarray(Image.open(io.BytesIO(kept)).convert("RGB"), dtype=float) - np.asarray(noisy, dtype=float)
    assert np.abs(difference).mean() < 3.5
