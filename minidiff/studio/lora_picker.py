"""The controls that choose LoRAs and their weights, of Create and of Styles: a box for each LoRA of the zoo, a slider for each
that is chosen. LoRAs are called by their files' names, in every language, as models are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from minidiff.pipelines import loras
from minidiff.studio.styling import DEFAULT


def build(model: str, prefix: str, words: Mapping[str, str]) -> tuple[gr.CheckboxGroup, list[gr.Slider]]:
    """Call inside a gr.Blocks. prefix: of the elements' ids; words: label and info of the boxes. There is a slider for every
    LoRA of the zoo, whichever model it is for."""
    names = loras.shipped(model)
    boxes = gr.CheckboxGroup(names, value=[], visible=bool(names), elem_id=f"{prefix}-loras", **words)  # type: ignore[arg-type]
    with gr.Row(elem_classes=["knobs", "weights"]):
        sliders = [
            gr.Slider(
                loras.WEAKEST, loras.STRONGEST, DEFAULT, step=0.05, label=name, visible=False, elem_id=f"{prefix}-{name}"
            )
            for name in loras.shipped()
        ]
    return boxes, sliders


def shown(names: Any, strengths: Mapping[str, float] | None = None) -> list[Any]:
    """Updates of the sliders: those of chosen LoRAs can be seen. strengths: their new values."""
    chosen = names if isinstance(names, list) else []
    updates = []
    for name in loras.shipped():
        updates.append(gr.update(visible=name in chosen))
        if strengths and name in strengths:
            updates[-1]["value"] = strengths[name]
    return updates


def chosen(names: Any, weights: Sequence[Any]) -> dict[str, Any]:
    """Strengths by name, unchecked, in the order in which they were chosen; a name that isn't the zoo's stays in, to be refused
    by name."""
    table = dict(zip(loras.shipped(), weights, strict=False))
    listed = names if isinstance(names, (list, tuple)) else []
    return {str(name): table.get(name, DEFAULT) for name in listed}


def for_model(model: str, names: Any, strengths: Mapping[str, float] | None = None) -> list[Any]:
    """Updates of boxes and sliders for a model: what it hasn't is not chosen. strengths: new values of the sliders."""
    there = loras.shipped(model)
    kept = [name for name in names or () if name in there]
    return [gr.update(choices=there, value=kept, visible=bool(there)), *shown(kept, strengths)]
