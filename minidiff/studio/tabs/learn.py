"""The tab Learn: the course's map with the learner's own progress, and what each control teaches. How they look is in
`learn_html.py`; scores are read by `minidiff.course.progress`, on a page of one's own only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from minidiff.course.progress import Points, progress
from minidiff.studio import callbacks, html, learn_html
from minidiff.studio.labels import label
from minidiff.studio.line import Line
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket
from minidiff.studio.tabs.create import QUIET

FOLDER = "."  # where `minidiff grade` is usually called
LONGEST = 1000  # characters of a folder


PROMPTS = ()  # nothing is drawn here


@dataclass
class Controls:
    """The parts of the tab by name, for wiring and relabelling."""

    folder: gr.Textbox
    look: gr.Button
    notice: gr.HTML
    map: gr.HTML


def build(models: Models, lang: str) -> Controls:
    """Lays the tab out; call inside a gr.Tab."""
    own = not callbacks.PUBLIC
    with gr.Row(elem_classes="press", visible=own):
        folder = gr.Textbox(
            FOLDER, label=label("learn_folder", lang), info=label("learn_folder_info", lang), max_length=LONGEST, lines=1,
            max_lines=1, elem_id="learn-folder", scale=4, min_width=200,
        )  # fmt: skip
        look = gr.Button(label("learn_look", lang), elem_id="learn-look", scale=1, min_width=120)
    notice = gr.HTML(html.notice(), elem_id="learn-notice", apply_default_css=False)
    course = gr.HTML(learn_html.course_map({}), elem_id="learn-map", apply_default_css=False)
    gr.HTML(learn_html.controls(), elem_id="learn-controls", apply_default_css=False)
    gr.HTML(learn_html.formulas(), elem_id="learn-formulas", apply_default_css=False)
    return Controls(folder, look, notice, course)


def wire(c: Controls, models: Models, bucket: TokenBucket, line: Line) -> None:
    """Connects what can be pressed with what it does; a public page reads no files and has nothing to press."""
    if not callbacks.PUBLIC:
        gr.on([c.look.click, c.folder.submit], read, c.folder, [c.notice, c.map], queue=False, **QUIET)


def read(folder: Any) -> tuple[str, str]:
    """(the notice, the map) with the scores of a folder. Never raises."""
    if callbacks.PUBLIC:
        return html.notice(), learn_html.course_map({})
    text = str(folder or FOLDER)[:LONGEST]
    found: dict[str, Points] = {}
    try:
        found = progress(Path(text).expanduser())
        said = learn_html.found(found)
    except (ValueError, OSError, RuntimeError):  # of no such folder, a name that can't be one, a home that isn't known
        said = learn_html.no_folder(text)
    return said, learn_html.course_map(found)


def relabel(lang: str) -> dict[str, Any]:
    """Updates that put every control into `lang`, by their names in Controls."""
    return {
        "folder": gr.update(label=label("learn_folder", lang), info=label("learn_folder_info", lang)),
        "look": gr.update(value=label("learn_look", lang)),
    }
