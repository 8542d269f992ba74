"""Where the course explains what a part of the page shows: addresses of its notebooks, as they are read on the web.

The page only links there, and asks nothing of that server itself.
"""

from __future__ import annotations

from minidiff.pipelines.messages import LANGS
from minidiff.studio import html
from minidiff.studio.labels import label
from minidiff.utils import release

LESSONS = {
    "steps": "04_samplers",
    "words": "07_words",
    "guidance": "05_guidance",
    "latents": "08_vae",
    "settling": "02_ddpm",
    "measuring": "14_measuring",
    "seeds": "02_ddpm",
    "prompts": "06_clip",
    "models": "09_dit",
    "expansion": "00_tour",
    "loras": "11_lora",
    "teaching": "12_dreambooth",
    "editing": "13_editing",
}
TEACHES = {  # control of Create -> what explains it
    "prompt": "prompts",
    "negative": "words",
    "model": "models",
    "expand_prompt": "expansion",
    "seed": "seeds",
    "images": "measuring",
    "steps": "steps",
    "sampler": "steps",
    "eta": "steps",
    "guidance": "guidance",
    "start": "guidance",
    "end": "guidance",
    "rescale": "guidance",
}
TABS = {  # tab -> what explains it
    "inspect": ("settling", "latents"),
    "compare": ("measuring",),
    "edit": ("editing",),
    "styles": ("loras", "teaching"),
}


def address(topic: str, lang: str) -> str:
    return notebook(LESSONS[topic], lang)


def notebook(folder: str, lang: str) -> str:
    """The address of the lesson in that folder, such as "04_samplers"."""
    return f"{release.LESSONS}/{lang}/{folder}.ipynb"


def link(topic: str) -> str:
    """A link to the lesson about a topic, in each language."""
    number = LESSONS[topic][:2]
    return "".join(
        f'<a class="lesson" lang="{lang}" href="{address(topic, lang)}" target="_blank" rel="noopener">'
        f"{html.escape(label('lesson', lang, number=number))}</a>"
        for lang in LANGS
    )
