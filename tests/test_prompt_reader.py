"""The reader: its answers are the claim, both ways round; prompts become captions; what isn't certain stays as it was typed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from minidiff.cli import main
from minidiff.data.world.captions import LANGS, drop_details, phrase
from minidiff.data.world.free_captions import free_phrase, language_of
from minidiff.data.world.prompt_expansion import expand_prompt, is_caption
from minidiff.data.world.random_scenes import sample_counts, sample_scene
from minidiff.data.world.scenes import Group, Scene
from minidiff.evaluate.reading import ReadingRun, evaluate, same_claim
from minidiff.evaluate.suites import written_suite
from minidiff.models.clip import TextConfig
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.prompt_reader import CERTAIN, Reader, Reading, drawable, load_reader, reading_of
from minidiff.pretrained import zoo
from minidiff.recipes.world_parts import train_reader
from minidiff.text.prompt_reader import ONE, PromptReader
from minidiff.text.tokenizer import Tokenizer
from minidiff.train.reader import ReaderRun, ReaderTask, claim_to_read, with_stranger
from minidiff.train.world_losses import IGNORED, WORLD, answered, answers, question_loss, question_of

TINY = {"steps": 2, "batch": 4, "width": 64, "layers": 1, "warmup": 0, "validate_every": 2}


def claims(n: int) -> list[Scene]:
    rng = random.Random(0)
    return [replace(drop_details(sample_scene(rng, None), rng), seed=0) for _ in range(n)]


def sure(claim: Scene, chance: float = 0.999) -> dict[str, Tensor]:
    """Log-probabilities of a reader that gives `chance` to the right answer of every question."""
    classes = {**WORLD.classes, "relation": len(WORLD.relations) + 1, "setting": len(WORLD.settings) + 1}
    found = {}
    for name, truth in answers([claim]).items():
        size = classes[name]
        right = nn.functional.one_hot(truth[0].clamp(min=0), size).float()
        spread = torch.full_like(right, (1 - chance) / (size - 1))
        found[name] = torch.where(right.bool() & (truth[0] != IGNORED).unsqueeze(-1), chance, spread).log()
    return found


def turned(claim: Scene) -> Scene:
    """The same said from the other side."""
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}
    if claim.relation in opposite:
        return replace(claim, groups=claim.groups[::-1], relation=opposite[claim.relation])
    return replace(claim, groups=(claim.groups[0], *claim.groups[:0:-1]) if claim.relation else claim.groups[::-1])


def test_right_answers_are_the_claim_whichever_way_it_was_said() -> None:
    for claim in claims(600):
        first, second = (reading_of(sure(one), WORLD) for one in (claim, turned(claim)))
        assert first.claim is not None and same_claim(first.claim, claim), claim
        assert second.claim is not None and same_claim(second.claim, claim), claim
        assert 0.9 < first.certainty <= 1


def test_answers_do_not_depend_on_the_order_of_words() -> None:
    """A sentence can name either side first, so no answer may."""
    for claim in claims(300):
        ours, others = answers([claim]), answers([turned(claim)])
        assert all(torch.equal(ours[name], others[name]) for name in ours), claim


def test_numbers_of_things_that_are_there_count_as_much_as_the_zeros() -> None:
    """One wrong number of one thing that is there costs as much as wrong zeros everywhere else."""
    claim = Scene(None, (Group("cat"),))
    truth = answers([claim])
    there, absent = ({name: value.exp().log()[None].clone() for name, value in sure(claim).items()} for _ in range(2))
    here = question_of(claim)[0]
    there["count"][0, here] = there["count"][0, here].roll(1)
    rest = [q for q in range(WORLD.questions) if q != here]
    absent["count"][0, rest] = absent["count"][0, rest].roll(1, dims=-1)
    first, second = (float(question_loss(logits, truth)[0]) for logits in (there, absent))
    assert first == pytest.approx(second, rel=1e-4) and first > 0.4
    assert float(question_loss({k: v.clone() for k, v in there.items()}, answers([None]))[0]) == 0


def test_two_groups_of_a_kind_have_questions_of_their_own() -> None:
    red, blue = Group("cat", "red"), Group("cat", "blue")
    first = question_of(Scene(None, (red, blue), "left"))
    assert sorted(first) == [12, 12 + 18] and question_of(Scene(None, (blue, red), "right")) == first[::-1]
    few, many = Group("car", "red", count=1), Group("car", "red", count=2)
    assert question_of(Scene(None, (many, few), "above")) == [12 + 0 + 18 - 4, 12 - 4]
    assert (answers([None])["count"] == IGNORED).all()


def test_of_what_the_world_lacks_nothing_is_read() -> None:
    horse, car = Group("stranger", "red"), Group("car", "blue")
    for claim in (Scene("night", (horse, car), "left"), Scene("night", (car, horse), "above")):
        truth, alone = answers([claim]), answers([Scene("night", (car,))])
        assert all(torch.equal(truth[name], alone[name]) for name in truth)
    assert (answers([Scene(None, (horse,))])["count"] == 0).all()
    rng = random.Random(0)
    found = [with_stranger(claim, rng) for claim in claims(200)]
    assert all(sum(group.kind == "stranger" for group in claim.groups) == 1 for claim in found)


@pytest.mark.parametrize("changed", ["count", "colour", "relation", "setting", "kind"])
def test_one_wrong_answer_is_another_claim(changed: str) -> None:
    claim = Scene("night", (Group("cat", "red", "big"), Group("car", "blue")), "left")
    others = {
        "count": replace(claim, groups=(replace(claim.groups[0], count=2), claim.groups[1])),
        "colour": replace(claim, groups=(replace(claim.groups[0], colour="pink"), claim.groups[1])),
        "relation": replace(claim, relation="above"), "setting": replace(claim, setting=None),
        "kind": replace(claim, groups=(replace(claim.groups[0], kind="fish"), claim.groups[1])),
    }  # fmt: skip
    assert not same_claim(claim, others[changed]) and same_claim(claim, turned(claim))
    batch, both = answers([claim, claim]), [sure(claim), sure(others[changed])]
    logits = {name: torch.stack([one[name] for one in both]) for name in both[0]}
    assert answered(logits, batch).tolist() == [True, False]


def test_what_the_network_is_unsure_of_is_rather_not_there() -> None:
    """Its loss weighs a thing that is there twenty times; one that it gives even chances is there once in twenty."""
    network = Stub(Scene(None, (Group("cat"),)), 0.999)
    network.answers_given["count"] = torch.full_like(network.answers_given["count"], 0.2).log()
    found = network.answers(torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.bool))["count"].exp()
    assert found[..., 0].min() > 0.75 and torch.allclose(found.sum(-1), torch.ones(1, WORLD.questions))
    assert torch.allclose(found[..., 2], found[..., 4])
    assert torch.allclose(found[..., 1] / found[..., 2], torch.tensor(ONE).exp()), "one thing is asked for more often than two"


@pytest.mark.parametrize(
    "claim",
    [
        Scene(None, ()),
        Scene(None, (Group("cat", count=4), Group("car"))),
        Scene(None, (Group("cat"), Group("car"), Group("fish", count=2))),
        Scene(None, tuple(Group(kind) for kind in ("cat", "car", "fish", "bird"))),
        Scene(None, (Group("cat", "red"), Group("cat"))),
    ],
)
def test_what_the_world_cannot_draw_is_not_read(claim: Scene) -> None:
    assert not drawable(claim)
    if 0 < len(claim.groups) < 4:
        assert reading_of(sure(claim), WORLD).claim is None


@pytest.mark.parametrize("lang", LANGS)
def test_captions_are_known_as_such_and_free_ones_are_not(lang: str) -> None:
    rng = random.Random(1)
    free = [free_phrase(claim, lang, rng) for claim in claims(500)]
    assert all(is_caption(phrase(claim, lang, rng)) for claim in claims(800))
    assert all(is_caption(phrase(sample_counts(rng), lang, rng).upper() + ".") for _ in range(100))
    assert sum(map(is_caption, free)) < 60
    expected = "en" if lang == "en" else "vi"
    assert sum(language_of(text) == expected for text in free) >= 495


class Stub(PromptReader):
    """Reads every prompt as one claim."""

    def __init__(self, claim: Scene, chance: float) -> None:
        super().__init__(TextConfig(vocab_size=300, hidden_size=64, heads=1, layers=1, intermediate=64), WORLD)
        self.answers_given, self.calls = sure(claim, chance), 0

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        return {name: value.expand(len(ids), *value.shape) for name, value in self.answers_given.items()}


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["two black cats in a meadow", "hai con mèo đen trên đồng cỏ"], 300)


def test_a_prompt_becomes_a_caption_in_its_own_language(tokenizer: Tokenizer) -> None:
    claim = Scene("meadow", (Group("cat", "black", count=2),))
    network = Stub(claim, 0.9999)
    reader = Reader(tokenizer, network)
    typed = {"en": "pls draw me 2 kitties, black, on the lawn", "vi": "vẽ giúp mình 2 bé mèo đen trên thảm cỏ nha"}
    for lang, prompt in typed.items():
        texts = {reader.caption(prompt, seed) for seed in range(30)}
        assert len(texts) > 1 and all(is_caption(text) and language_of(text) == lang for text in texts)
        assert reader.caption(prompt, 3) == reader.caption(prompt, 3)
        assert reader.expand(prompt, 3) == expand_prompt(reader.caption(prompt, 3), 3) != reader.caption(prompt, 3)
    assert network.calls == 2, "each prompt is read once"
    assert reader.caption("a red star", 0) == "a red star", "a caption is left alone"


@pytest.mark.parametrize(("claim", "chance"), [(Scene(None, (Group("cat"),)), 0.8), (Scene(None, ()), 0.9999)])
def test_what_is_not_certain_or_nothing_is_left_as_it_was_typed(tokenizer: Tokenizer, claim: Scene, chance: float) -> None:
    reader = Reader(tokenizer, Stub(claim, chance))
    reading = reader.read(["zzz"])[0]
    assert reading.claim is None or reading.certainty < CERTAIN
    assert reader.caption("a dog, pls", 1) == reader.expand("a dog, pls", 1) == "a dog, pls"


# --- training and the zoo -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    train_reader(ReaderRun(out=folder, **TINY))  # type: ignore[arg-type]
    return folder


def test_a_trained_reader_comes_out_of_its_folder(trained: Path) -> None:
    reader = load_reader(root=trained)
    found = reader.read(["a red star", "một ngôi sao"])
    assert all(isinstance(reading, Reading) and 0 <= reading.certainty <= 1 for reading in found)
    figures = zoo.entry("world-reader", trained)["figures"]
    assert set(figures) == {"grammar", "free", "minutes"}
    assert sorted(zoo.manifest(trained)) == ["reader-tokenizer", "world-reader"]


def test_it_learns(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No caption comes twice, so a loss that falls is no memory."""
    monkeypatch.setenv("MINIDIFF_ZOO", str(trained))  # for its tokenizer
    train_reader(ReaderRun(out=tmp_path, **{**TINY, "steps": 40, "batch": 32, "validate_every": 60}))  # type: ignore[arg-type]
    rows = (tmp_path / "log.csv").read_text().splitlines()
    losses = [float(row.split(",")[rows[0].split(",").index("loss")]) for row in rows[1:]]
    assert sum(losses[-5:]) / 5 < 0.9 * losses[0]


def test_batches_hold_free_captions_and_grammar_in_their_shares(trained: Path) -> None:
    tokenizer = Tokenizer.load(zoo.path("reader-tokenizer", trained))
    for free, low, high in ((0.0, 0.99, 1.0), (1.0, 0.0, 0.15)):
        task = ReaderTask(ReaderRun(free=free, **TINY), tokenizer)  # type: ignore[arg-type]
        batch = task.make_batch(0, 64, 0)
        texts = [tokenizer.decode(row) for row in batch["ids"].tolist()]
        assert low <= sum(map(is_caption, texts)) / 64 <= high
    assert len({claim_to_read(random.Random(k)) for k in range(50)}) == 50


def test_a_model_whose_row_names_a_reader_has_its_prompts_read(tiny_zoo: Path, trained: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny_zoo, tmp_path / "zoo")
    for name in ("reader-tokenizer", "world-reader"):
        zoo.copy(name, trained, tmp_path / "zoo")
    manifest = json.loads((tmp_path / "zoo" / "manifest.json").read_text())
    manifest["world-dit"]["config"]["reader"] = "world-reader"
    (tmp_path / "zoo" / "manifest.json").write_text(json.dumps(manifest))
    pipeline = load_pipeline(root=tmp_path / "zoo", dtype="float32", device="cpu")
    assert pipeline.prompt_expander is not None and pipeline.prompt_expander.func.__self__.__class__ is Reader  # type: ignore[attr-defined]
    assert pipeline.prompt_expander("a cat and a house", 0) == expand_prompt("a cat and a house", 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda row: row["vocabulary"].update(kinds=["dog"]), "another world"), (lambda row: row.pop("tokenizer"), "tokenizer"),
     (lambda row: row["text"].update(vocab_size=7), "world-reader"), (lambda row: row["vocabulary"].update(alike=0), "alike"),
     (lambda row: row["text"].update(layers=10**6), "layers")],
)  # fmt: skip
def test_rows_that_are_wrong_are_refused_in_a_sentence(trained: Path, tmp_path: Path, change: object, words: str) -> None:
    import shutil

    shutil.copytree(trained, tmp_path / "zoo")
    manifest = json.loads((tmp_path / "zoo" / "manifest.json").read_text())
    change(manifest["world-reader"]["config"])  # type: ignore[operator]
    (tmp_path / "zoo" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=words):
        load_reader(root=tmp_path / "zoo")


def test_the_command_says_how_well_prompts_are_read(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(trained))
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "reading", "--suite", "people-choice", "--json", str(tmp_path / "out.json"), "--misread", "2"])
    out, saved = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert not end.value.code and "read rightly" in out and "no-accents" in out
    assert saved["en"]["overall"] <= 0.1 and len(saved["misread"]) >= 234
    assert evaluate(ReadingRun("people-choice", misread=0))["en"]["bare"] == saved["en"]["bare"]


def test_a_perfect_reader_reads_every_prompt(monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(trained))
    truth = {p.texts[lang]: p.claim for lang, rows in written_suite("people-choice").items() for p in rows}
    monkeypatch.setattr(Reader, "read", lambda self, prompts: [reading_of(sure(truth[text]), WORLD) for text in prompts])
    figures = evaluate(ReadingRun("people-choice"))
    assert figures["en"]["overall"] == figures["vi"]["overall"] == 1 and not figures["misread"]
