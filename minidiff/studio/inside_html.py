"""What Look inside found, as HTML: headings and explanations in both languages, and the data that `inside.js` draws from.

The data is JSON in base64 in one attribute, so nothing in it can be taken for HTML or for gradio's templates. What moves with
the scrubber is drawn by the script; without it the page still shows the explanations, the curves and the sentence under them.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.text_to_image import TextToImage, to_pil
from minidiff.studio import html, lessons
from minidiff.studio.labels import label
from minidiff.studio.looking_inside import BANDS, SETTLED, Attention, Inside, Progress, settled_at

CHANNEL_RANGE = 3.0  # latents are normalised: nearly all numbers are between -3 and 3
WIDTH, HEIGHT, EDGE = 640, 220, 34  # of the curves, in units of the drawing


def uri(image: Image.Image) -> str:
    return html.data_uri(html.encode(image, level=6))


def data(pipeline: TextToImage, inside: Inside) -> dict[str, Any]:
    """Everything that the script draws."""
    moments = [
        {
            "step": moment.index + 1,
            "noise": round(100 * moment.noise),
            "x": uri(pipeline.preview(moment.x[None])[0]),
            "x0": uri(moment.picture),
            "channels": [[uri(channel_picture(one)) for one in latent] for latent in (moment.x, moment.x0)],
        }
        for moment in inside.moments
    ]
    compared = [
        {
            "moment": one.moment, "gain": round(one.gain, 1), "with": uri(one.with_words), "without": uri(one.without),
            "difference": uri(one.difference),
        }
        for one in inside.compared
    ]  # fmt: skip
    attention = None if inside.attention is None else attention_data(inside.attention)
    return {"n": inside.request.steps, "moments": moments, "compared": compared, "attention": attention}


def channel_picture(channel: Tensor) -> Image.Image:
    """A channel (h, w) in grey: black is -3, white 3."""
    grey = (channel / CHANNEL_RANGE).expand(3, -1, -1)
    return to_pil(grey).convert("L")


def attention_data(attention: Attention) -> dict[str, Any]:
    """Shares as bytes, 255 times their root, which keeps small ones apart: (K, layers, heads, L, rows, columns) in base64."""
    roots = (255 * attention.maps.clamp(0, 1).sqrt()).round().numpy().astype(np.uint8)
    words = [{"text": w.text, "tokens": w.tokens, "columns": w.columns} for w in attention.words]
    return {"words": words, "shape": roots.shape, "maps": base64.b64encode(roots.tobytes()).decode("ascii")}


def progress(state: Progress | None = None) -> str:
    """The line under the button while it works."""
    if state is None:
        return html.notice(html.both("waiting"))
    return html.notice(html.both("inside_working", index=state.index, n=state.n))


def empty() -> str:
    """What stands there before the first drawing."""
    parts = "".join(f"<li><b>{html.both(f'inside_{part}')}</b> {html.both(f'inside_{part}_short')}</li>" for part in PARTS)
    return f'<div class="inside-empty"><p>{html.both("inside_idle")}</p><ul>{parts}</ul></div>'


PARTS = ("steps", "words", "guidance", "latents", "settling")


def page(pipeline: TextToImage, inside: Inside) -> str:
    """The whole view."""
    encoded = base64.b64encode(json.dumps(data(pipeline, inside), ensure_ascii=False).encode()).decode("ascii")
    said = f"<p>{html.both('expanded_prompt', text=inside.prompt)}</p>" if inside.prompt != inside.request.prompt else ""
    sections = "".join(
        f'<section class="part" aria-labelledby="inside-{part}"><h2 id="inside-{part}">{html.both(f"inside_{part}")}</h2>'
        f'<p class="why">{html.both(explanation(part, inside), **blanks(inside))} {lessons.link(part)}</p>{body}</section>'
        for part, body in bodies(inside).items()
    )
    shown = f'<div class="said">{said}</div>{scrubber(inside)}{sections}'
    return f'<minidiff-inside data-inside="{encoded}">{shown}</minidiff-inside>'


def blanks(inside: Inside) -> dict[str, Any]:
    """What the explanations say about this drawing."""
    scale, channels = f"{inside.request.guidance_scale:g}", inside.moments[0].x.shape[0]
    return {"scale": scale, "channels": channels, "share": f"{100 * SETTLED:g}"}


def explanation(part: str, inside: Inside) -> str:
    """The label that explains a part; a model of pixels has no latents."""
    of_pixels = inside.moments[0].x.shape[0] == 3
    return "inside_channels_info" if part == "latents" and of_pixels else f"inside_{part}_info"


def scrubber(inside: Inside) -> str:
    last = len(inside.moments) - 1
    return (
        '<div class="scrubber"><button type="button" class="play" data-do="play"><span class="sign" aria-hidden="true">▶</span>'
        f'<span class="sr">{html.both("inside_play")}</span></button>'
        f'<label><span class="now" id="inside-now"></span><input type="range" min="0" max="{last}" value="{last}" step="1" '
        'aria-labelledby="inside-now"></label></div>'
    )


def bodies(inside: Inside) -> dict[str, str]:
    """The inner HTML of each part."""
    words = '<p class="none">' + html.both("inside_no_words") + "</p>" if inside.attention is None else WORDS
    guided = f'<p class="at" data-show="compared-at"></p><div class="tiles four">{_guidance_tiles()}</div>'
    return {
        "steps": f'<div class="tiles two">{_tile("x", "noisy", "x<sub>t</sub>", True)}'
        f'{_tile("x0", "predicted", "x̂<sub>0</sub>")}</div>',
        "words": words.format(
            choose=html.both("inside_tokens"), layer=html.both("inside_layer"), head=html.both("inside_head"),
            least=html.both("inside_least"), most=html.both("inside_most"), all_words=html.both("inside_all_words"),
        ),
        "guidance": guided,
        "latents": "".join(
            f'<h3>{html.both(key)}</h3><div class="tiles channels" data-show="channels-{row}"></div>'
            for row, key in enumerate(("noisy", "predicted"))
        ),
        "settling": curves(inside) + f'<p class="finding">{finding(inside)}</p>',
    }  # fmt: skip


WORDS = """<p class="eyebrow" id="inside-choose">{choose}</p>
<div class="words" role="group" aria-labelledby="inside-choose" data-show="words"></div>
<div class="looked"><figure><div class="layers"><img data-show="looked" alt="" aria-labelledby="inside-chosen">
<canvas data-show="veil" aria-hidden="true"></canvas></div>
<figcaption id="inside-chosen" data-show="chosen"></figcaption></figure>
<div class="side"><div class="pickers"><label>{layer} <select data-pick="layer"></select></label>
<label>{head} <select data-pick="head"></select></label></div>
<p class="legend"><span data-show="least"></span> <span class="sr">{least}</span><span class="ramp" aria-hidden="true"></span>
<span class="sr">{most}</span> <span data-show="most"></span></p>
<p class="eyebrow">{all_words}</p><div class="multiples" data-show="multiples"></div></div></div>"""


def _tile(name: str, key: str, symbol: str = "", pixelated: bool = False) -> str:
    kind = ' class="pixelated"' if pixelated else ""
    sign = f" <i>{symbol}</i>" if symbol else ""
    return (
        f'<figure><img{kind} data-show="{name}" alt="" aria-labelledby="inside-{name}">'
        f'<figcaption id="inside-{name}">{html.both(key)}{sign}</figcaption></figure>'
    )


def _guidance_tiles() -> str:
    tiles = [_tile(name, f"inside_{name}") for name in ("without", "with", "guided")]
    difference = (
        '<figure><img data-show="difference" alt="" aria-labelledby="inside-difference">'
        '<figcaption id="inside-difference" data-show="gain"></figcaption></figure>'
    )
    return "".join(tiles) + difference


def curves(inside: Inside) -> str:
    """How near each band is to its end, over the noise from all (left) to none, as SVG. The script moves the line."""
    xs = [EDGE + (WIDTH - 2 * EDGE) * (1 - moment.noise) for moment in inside.moments]
    bottom = HEIGHT - EDGE
    lines = []
    for band in BANDS:
        ys = [bottom - (bottom - 14) * value for value in inside.nearness[band]]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        at = settled_at(inside.nearness[band])
        lines.append(
            f'<polyline class="{band}" points="{points}"/>'
            f'<circle class="{band}" cx="{xs[at]:.1f}" cy="{ys[at]:.1f}" r="5"/>'
        )
    ticks = "".join(
        f'<text x="{EDGE + (WIDTH - 2 * EDGE) * (1 - share / 100):.0f}" y="{HEIGHT - 10}" text-anchor="middle">{share} %</text>'
        for share in (100, 75, 50, 25, 0)
    )
    key = "".join(f'<li class="{band}">{html.both(f"inside_{band}")}</li>' for band in BANDS)
    frame = f'<path class="frame" d="M{EDGE} 14 V{bottom} H{WIDTH - EDGE}"/>'
    places = " ".join(f"{x:.1f}" for x in xs)
    return (
        f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="inside-finding" '
        f'data-places="{places}">'
        f'{frame}{ticks}<line class="here" x1="0" x2="0" y1="14" y2="{bottom}"/>{"".join(lines)}</svg>'
        f'<p class="axis">{html.both("inside_axis")}</p><ul class="key">{key}</ul>'
    )


def finding(inside: Inside) -> str:
    """One sentence from the curves: at which noise level each band comes to stay near its end."""
    order = sorted(BANDS, key=lambda band: settled_at(inside.nearness[band]))
    noise = [round(100 * inside.moments[settled_at(inside.nearness[band])].noise) for band in order]
    said = []
    for lang in LANGS:
        names = [label(f"inside_{band}", lang).lower() for band in order]
        values = {f"{kind}{k}": value for kind, row in (("name", names), ("noise", noise)) for k, value in enumerate(row)}
        said.append(f'<span lang="{lang}">{html.escape(label("inside_finding", lang, **values))}</span>')
    return f'<span id="inside-finding">{"".join(said)}</span>'
