"""Makes the README's pictures: `python -m benchmarks.pictures` writes docs/world.png (64 scenes with their captions) and,
when the shipped model is there, docs/pictures.png (what it draws, with its prompts in both languages)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from minidiff.data.world.captions import drop_details, phrase
from minidiff.data.world.scenes import render, scene_at
from minidiff.evaluate.report import readable_font, wrap
from minidiff.pretrained import zoo

PROMPTS = (  # from `suite(7, seed=3)`: each holds a composition that no training caption says; the pairs say the same
    ("two large pink balloons", "2 bóng bay lớn màu hồng"),
    ("a flower under an orange cat at sunset", "lúc hoàng hôn, một bông hoa ở phía dưới một con mèo cam"),
    ("one brown sailing boat and a disc", "một chiếc thuyền buồm màu nâu và một hình tròn"),
    ("a large purple diamond between a tiny pink kitten and a red tree",
     "một hình thoi to màu tím ở giữa một chú mèo nhỏ màu hồng và một cái cây màu đỏ"),
    ("a blue flower at sea", "một bông hoa màu xanh da trời bên bờ biển"),
    ("two yellow flowers above a white moon", "hai bông hoa màu vàng ở phía trên một mặt trăng màu trắng"),
    ("4 orange birds at sunset over the mountains", "bốn chú chim cam lúc hoàng hôn"),
    ("a pink umbrella at night", "một chiếc ô hồng dưới bầu trời đêm"),
)  # fmt: skip


SIDE, GAP = 168, 12  # pixels


def sheet(images: list[Image.Image], captions: Sequence[tuple[str, ...]], columns: int, text: int) -> Image.Image:
    """Pictures on white with their captions, one paragraph each, in the `text` pixels below."""
    font, rows = readable_font(12), -(-len(images) // columns)
    page = Image.new("RGB", (columns * (SIDE + GAP) + GAP, rows * (SIDE + text + GAP) + GAP), "white")
    draw = ImageDraw.Draw(page)
    for k, (image, paragraphs) in enumerate(zip(images, captions, strict=True)):
        x, y = GAP + (k % columns) * (SIDE + GAP), GAP + (k // columns) * (SIDE + text + GAP)
        page.paste(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
        y += SIDE + 5
        for paragraph, ink in zip(paragraphs, ((30, 30, 36), (120, 50, 40)), strict=False):
            lines = wrap(paragraph, SIDE, font)
            draw.multiline_text((x, y), lines, fill=ink, font=font, spacing=2)
            y += 15 * (lines.count("\n") + 1) + 3
    return page


def world(path: Path = Path("docs/world.png"), count: int = 64) -> None:
    """Scenes of the training split, each with one claim told in English and in Vietnamese."""
    rng = random.Random(0)
    scenes = [scene_at(k) for k in range(count)]
    claims = [drop_details(scene, rng) for scene in scenes]
    captions = [(phrase(claim, "en", rng), phrase(claim, "vi", rng)) for claim in claims]
    images = [Image.fromarray(render(scene, 2 * SIDE).image) for scene in scenes]
    path.parent.mkdir(exist_ok=True)
    sheet(images, captions, 8, 150).save(path, optimize=True)


def pictures(path: Path = Path("docs/pictures.png")) -> None:
    """Each prompt in both languages, drawn by the shipped model from the same seed."""
    from minidiff import generate_image

    texts = [text for pair in PROMPTS for text in pair]
    path.parent.mkdir(exist_ok=True)
    sheet([generate_image(text, seed=7)[0] for text in texts], [(text,) for text in texts], 8, 62).save(path, optimize=True)


if __name__ == "__main__":
    world()
    if "world-dit" in zoo.manifest():
        pictures()
