"""What may be asked for, and that every refusal says what is allowed, in both languages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidiff.diffusion.samplers import SAMPLERS
from minidiff.pipelines.messages import LANGS, MESSAGES
from minidiff.pipelines.request import MAX_SEED, Request, RequestError, check_length


def test_defaults() -> None:
    request = Request("a star")
    assert (request.sampler, request.steps, request.guidance_scale, request.seed) == ("dpmpp_2m", 20, 5.0, 42)
    assert (request.num_images, request.negative_prompt, request.eta) == (1, "", None)
    assert (request.guidance_interval, request.guidance_rescale, request.expand_prompt) == ((0.0, 1.0), 0.0, True)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "1 to 200 characters"),
    ({"prompt": " \n\t "}, "1 to 200 characters"),
    ({"prompt": "x" * 2001}, "2001 characters and at most 2000"),
    ({"prompt": "x" * 100_000}, "100000 characters and at most 2000"),
    ({"prompt": None}, "must be text, not None"),
    ({"prompt": 5}, "must be text"),
    ({"prompt": ["a"]}, "must be text"),
    ({"negative_prompt": "x" * 2001}, "at most 2000"),
    ({"negative_prompt": None}, "must be text"),
    ({"sampler": "magic"}, "no sampler 'magic': choose one of ddpm, ddim"),
    ({"sampler": ["ddim"]}, "no sampler"),
    ({"sampler": None}, "no sampler None"),
    ({"steps": 0}, "whole number from 1 to 100, not 0"),
    ({"steps": 101}, "1 to 100"),
    ({"steps": -1}, "1 to 100"),
    ({"steps": 2.5}, "whole number from 1 to 100, not 2.5"),
    ({"steps": 20.0}, "whole number"),
    ({"steps": True}, "whole number"),
    ({"steps": "20"}, "whole number"),
    ({"steps": math.nan}, "whole number"),
    ({"guidance_scale": math.nan}, "number from 0 to 15"),
    ({"guidance_scale": math.inf}, "number from 0 to 15"),
    ({"guidance_scale": -0.1}, "number from 0 to 15"),
    ({"guidance_scale": 15.1}, "number from 0 to 15"),
    ({"guidance_scale": None}, "number from 0 to 15"),
    ({"guidance_scale": True}, "number from 0 to 15"),
    ({"guidance_scale": 1j}, "number from 0 to 15"),
    ({"seed": -1}, "0 to 2147483647"),
    ({"seed": 2**31}, "0 to 2147483647"),
    ({"seed": 1.5}, "whole number"),
    ({"num_images": 0}, "1 to 9"),
    ({"num_images": 10}, "1 to 9"),
    ({"eta": 1.1}, "0 to 1"),
    ({"eta": -0.1}, "0 to 1"),
    ({"eta": "0"}, "0 to 1"),
    ({"eta": 0.5, "sampler": "heun"}, "heun adds no noise"),
    ({"expand_prompt": 1}, "true or false"),
    ({"guidance_interval": (0.5, 0.4)}, "two numbers from 0 to 1, the lower one first, not (0.5, 0.4)"),
    ({"guidance_interval": (-0.1, 0.4)}, "two numbers from 0 to 1"),
    ({"guidance_interval": (0.1, 1.1)}, "two numbers from 0 to 1"),
    ({"guidance_interval": (0.1, math.nan)}, "two numbers from 0 to 1"),
    ({"guidance_interval": (0.1,)}, "two numbers from 0 to 1"),
    ({"guidance_interval": "01"}, "two numbers from 0 to 1"),
    ({"guidance_interval": 0.5}, "two numbers from 0 to 1"),
    ({"guidance_interval": (False, True)}, "two numbers from 0 to 1"),
    ({"guidance_rescale": 1.5}, "guidance rescale must be a number from 0 to 1"),
    ({"guidance_rescale": None}, "guidance rescale"),
]


@pytest.mark.parametrize(("fields", "says"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_with_a_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError) as caught:
        Request(**{"prompt": "a star", **fields})
    assert isinstance(caught.value, ValueError)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 250
    assert caught.value.text("en") == str(caught.value)
    assert caught.value.text("vi") != str(caught.value)


def test_edges_are_allowed() -> None:
    Request("x" * 2000, "y" * 2000, "ddim", 1, 0, 0, 1, 1.0, True, (0.5, 0.5), 1)
    Request("x", "", "heun", 100, 15, MAX_SEED, 9, 0)
    assert Request("x", guidance_interval=[0, 1]).guidance_interval == (0.0, 1.0)  # type: ignore[arg-type] # as JSON has it
    assert Request("x", steps=np.int64(7)).steps == 7  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_eta_0_and_none_are_allowed_and_differ(sampler: str) -> None:
    assert [Request("x", sampler=sampler, eta=eta).eta for eta in (None, 0)] == [None, 0.0]


def test_a_model_may_take_fewer_characters() -> None:
    check_length(Request("x" * 200, "y" * 200), 200)
    check_length(Request("x" * 2000, "y" * 2000), None)
    for request, says in ((Request("x" * 201), "The prompt has 201"), (Request("x", "y" * 201), "negative prompt has 201")):
        with pytest.raises(RequestError, match=f"{says} characters and at most 200"):
            check_length(request, 200)


def test_text_is_tidied() -> None:
    decomposed = "ngo\u0302i  nha\u0300\x00\n "
    assert Request(decomposed).prompt == "ngôi nhà"
    assert Request("a \ud800 star").prompt == "a star"
    assert Request("e\u0302\u0323" * 200).prompt == "\u1ec7" * 200  # counted as people count: after composing


def test_every_message_is_in_every_language() -> None:
    for key, texts in MESSAGES.items():
        assert set(texts) == set(LANGS), key
        blanks = {lang: set(__import__("re").findall(r"{(\w+)}", text)) for lang, text in texts.items()}
        assert blanks["en"] == blanks["vi"], key


def test_each_image_has_an_allowed_seed() -> None:
    assert Request("x", seed=7, num_images=3).seeds == [7, 8, 9]
    assert Request("x", seed=MAX_SEED, num_images=2).seeds == [MAX_SEED, 0]


@given(st.text(max_size=300), st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=5)))
def test_whatever_is_given_a_request_is_valid_or_refused(prompt: str, value: Any) -> None:
    for name in ("steps", "seed", "num_images", "guidance_scale", "eta"):
        try:
            request = Request(prompt, sampler="ddim", **{name: value})
        except RequestError:
            continue
        assert 1 <= len(request.prompt) <= 2000
        request.prompt.encode("utf-8")
        assert 1 <= request.steps <= 100
        assert 0 <= request.guidance_scale <= 15
        assert 0 <= request.seed <= MAX_SEED
        assert 1 <= request.num_images <= 9
        assert request.eta is None or 0 <= request.eta <= 1
