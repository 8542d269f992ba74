"""The tab Edit as HTML: the picture to start from, on which a mask is painted, and the result beside it. What moves is in
`edit.js`.
"""

from __future__ import annotations

from PIL import Image

from minidiff.studio import html, lessons
from minidiff.studio.editing import Way, difference, kept, mean_difference, resized

LESSONS = {"style": "loras"}  # of a way; the others have one lesson


def explanation(way: Way) -> str:
    """The sentence under the choice of a way, and the lesson about it."""
    return f'<p class="why">{html.both(f"edit_{way}_info")} {lessons.link(LESSONS.get(way, "editing"))}</p>'


def no_start() -> str:
    """What stands there before there is a picture."""
    return f'<div class="edit-blank"><p>{html.both("edit_no_start")}</p></div>'


def start(text: str, image: Image.Image) -> str:
    """The picture to start from, with a canvas to paint on over it. text: its data URI."""
    width, height = image.size
    return (
        f'<minidiff-start data-of="{html.escape(text[-64:])}"><figure><div class="layers" style="--aspect:{width}/{height}">'
        f'<img data-part="start" src="{html.escape(text)}" alt="" aria-labelledby="edit-start-size">'
        f'<canvas width="{width}" height="{height}" aria-hidden="true"></canvas></div>'
        f'<figcaption id="edit-start-size">{html.both("edit_start", width=width, height=height)}</figcaption></figure>'
        f"{_painting(width, height)}</minidiff-start>"
    )


def _painting(width: int, height: int) -> str:
    """The tools of a mask. They are shown for the way that needs one."""
    tools = "".join(
        f'<button type="button" data-do="{do}"{pressed}>{html.both(f"edit_{do}")}</button>'
        for do, pressed in (
            ("paint", ' aria-pressed="true"'), ("erase", ' aria-pressed="false"'), ("clear", ""), ("invert", "")
        )
    )  # fmt: skip
    numbers = "".join(
        f'<label>{html.both(f"edit_box_{name}")}<input type="number" data-box="{name}" min="0" max="{most}" value="{value}">'
        "</label>"
        for name, most, value in (
            ("x", width, width // 4), ("y", height, height // 4), ("width", width, width // 2), ("height", height, height // 2)
        )
    )  # fmt: skip
    return (
        f'<div class="painting"><p class="hint">{html.both("edit_paint_hint")}</p>'
        f'<label class="brush">{html.both("edit_brush")}<input type="range" data-brush min="4" max="48" step="2" value="20">'
        f'</label><div class="tools">{tools}</div><fieldset><legend>{html.both("edit_box")}</legend>{numbers}'
        f'<button type="button" data-do="box">{html.both("edit_box_add")}</button></fieldset>'
        '<p class="painted" role="status"></p></div>'
    )


def empty() -> str:
    """What stands there before the first result."""
    return f'<div class="inside-empty"><p class="last">{html.both("edit_idle")}</p></div>'


def step(image: Image.Image, index: int, n: int) -> str:
    """What is expected after a step, and how far the way is."""
    return (
        f'<div class="edit-step"><img src="{html.data_uri(html.encode(image))}" alt="" aria-labelledby="edit-state">'
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="{n}" aria-valuenow="{index}" '
        f'aria-labelledby="edit-state"><div style="width:{100 * index / n:.1f}%"></div></div>'
        f'<p class="state" id="edit-state">{html.both("edit_working", index=index, n=n)}</p></div>'
    )


def result(way: Way, before: Image.Image, mask: Image.Image | None, after: Image.Image, png: bytes) -> str:
    """Before, mask, after and what has changed, side by side; what was enlarged, under a line that can be moved. png: the
    result's file."""
    change, gain = difference(before, after)
    panes = [] if way == "larger" else [_pane("before", before)]
    if mask is not None:
        panes.append(_pane("mask", mask))
    slide = _slide(before, after, png) if way == "larger" else ""
    if not slide:
        panes.append(_pane("after", after, html.data_uri(png)))
    panes.append(_pane("difference", change, gain=f"{gain:.3g}"))
    name = f"minidiff-{way}.png"
    return (
        f'<minidiff-edit class="{way}">{slide}<div class="tiles n{len(panes)}">{"".join(panes)}</div>'
        f'<p class="finding">{_finding(before, mask, after)}</p>'
        f'<p class="files"><a download="{name}">{html.both("download")}</a></p></minidiff-edit>'
    )


def _pane(part: str, image: Image.Image, source: str = "", **values: object) -> str:
    source = source or html.data_uri(html.encode(image, level=6))
    return (
        f'<figure><img data-part="{part}" src="{source}" alt="" aria-labelledby="edit-part-{part}">'
        f'<figcaption id="edit-part-{part}">{html.both(f"edit_{part}", **values)}</figcaption></figure>'
    )


def _slide(before: Image.Image, after: Image.Image, png: bytes) -> str:
    """The large picture under the small one, as far as the slider says."""
    sizes = {"width": before.width, "height": before.height, "wide": after.width, "high": after.height}
    return (
        f'<figure class="slide" style="--aspect:{after.width}/{after.height}"><div class="layers">'
        f'<img data-part="after" src="{html.data_uri(png)}" alt="" aria-labelledby="edit-sizes">'
        f'<img class="over" src="{html.data_uri(html.encode(before, level=6))}" alt=""><span class="cut"></span></div>'
        f'<input type="range" min="0" max="100" value="50" step="1" aria-labelledby="edit-slide">'
        f'<span id="edit-slide" class="sr">{html.both("edit_slide")}</span>'
        f'<figcaption id="edit-sizes">{html.both("edit_sizes", **sizes)}</figcaption></figure>'
    )


def _finding(before: Image.Image, mask: Image.Image | None, after: Image.Image) -> str:
    if mask is None:
        return html.both("edit_changed", mean=f"{mean_difference(before, after):.1f}")
    count, changed = kept(resized(before, after.size), after, mask)
    return html.both("edit_kept", count=count, changed=changed)
