"""Makes the README's pictures: `python -m benchmarks.pictures` writes docs/world.png (64 scenes with their captions) and,
when the shipped model is there, docs/pictures.png (what it draws, with its prompts in both languages)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from minidiff import zoo
from minidiff.data.captions import drop_details, phrase
from minidiff.data.scenes import render, scene_at
from minidiff.evaluate.report import readable_font, wrap

PROMPTS = (  # none of these sentences was in the training set; the pairs say the same
    ("a big red star left of a small blue house at night",
     "một ngôi sao to màu đỏ ở bên trái một ngôi nhà nhỏ màu xanh dương vào ban đêm"),
    ("three pink flowers in a meadow", "ba bông hoa màu hồng trên đồng cỏ"),
    ("a green fish below a yellow boat at sea", "một con cá màu xanh lá ở dưới một chiếc thuyền màu vàng trên biển"),
    ("a purple cat between an orange balloon and a white moon",
     "một con mèo màu tím ở giữa một quả bóng bay màu cam và một mặt trăng màu trắng"),
    ("a big black umbrella in a room", "một chiếc ô to màu đen trong phòng"),
    ("two brown birds at sunset", "hai con chim màu nâu lúc hoàng hôn"),
    ("a small white cloud above a big green tree", "một đám mây nhỏ màu trắng ở trên một cái cây to màu xanh lá"),
    ("a blue car and a red heart", "một chiếc xe hơi màu xanh dương và một trái tim màu đỏ"),
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
