"""The models that a visitor may choose: the one that the studio was started with, and the zoo's others.

A model is loaded when it is first chosen, and stays. Visitors share it; no one else has it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import TextToImage


class Models:
    """Models by name.

    Args:
        first: chosen when the page opens.
        others: names that `load` knows.
        load: name -> model; what it raises is passed on.
        quick: the name of the one that draws in few steps, empty where there is none.
    """

    def __init__(
        self, first: TextToImage, others: Sequence[str] = (), load: Callable[[str], TextToImage] = load_pipeline,
        quick: str = "",
    ) -> None:  # fmt: skip
        self.first, self.names = first, list(dict.fromkeys([first.model, *others]))
        self.quick = quick if quick in self.names else ""
        self._loaded, self._load, self._lock = {first.model: first}, load, threading.Lock()

    def check(self, name: Any) -> None:
        """Raises RequestError, naming the models there are, for the name of another one."""
        if name not in self.names:
            raise RequestError("model", given=repr(name)[:60], allowed=", ".join(self.names))

    def get(self, name: Any) -> TextToImage:
        """The model of that name. Raises RequestError as `check`."""
        self.check(name)
        with self._lock:  # two visitors who choose it at once must not load it twice
            if name not in self._loaded:
                self._loaded[name] = warm(self._load(name))
            return self._loaded[name]


def warm(pipeline: TextToImage) -> TextToImage:
    """Samples once, in two steps: the kernels of the first image are planned before somebody waits for it."""
    *_, (_, latents, _) = pipeline.sample([""], [0], [""], steps=2)
    pipeline.decode(latents)
    return pipeline
