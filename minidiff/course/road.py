"""The course's road, and what lessons' texts say of themselves: `[[map]]`, `[[time]]` and `[[notebook]]` are filled in here.

So no text says by hand where a lesson stands, how long it takes, what its exercises are worth and where they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minidiff.course.say import Say

if TYPE_CHECKING:
    from minidiff.course.build import Lesson

ROAD = {
    "00": Say("Tour", "Tham quan"),
    "01": Say("U-Net", "U-Net"),
    "02": Say("DDPM", "DDPM"),
    "03": Say("What to predict", "Dự đoán cái gì"),
    "04": Say("Steps", "Từng bước"),
    "05": Say("Conditions", "Điều kiện"),
    "06": Say("CLIP", "CLIP"),
    "07": Say("Words in the U-Net", "Lời vào U-Net"),
    "08": Say("VAE", "VAE"),
    "09": Say("DiT", "DiT"),
    "10": Say("Few steps", "Ít bước"),
    "11": Say("LoRA", "LoRA"),
    "12": Say("DreamBooth", "DreamBooth"),
    "13": Say("Editing", "Chỉnh sửa"),
    "14": Say("Measuring", "Đo lường"),
    "15": Say("Stable Diffusion", "Stable Diffusion"),
    "16": Say("Past one machine", "Nhiều máy"),
    "17": Say("Final assessment", "Bài thi cuối"),
}
SKILLS = {  # which lessons teach what; a certificate has a bar for each
    Say("the whole, from prompt to picture", "toàn bộ, từ prompt đến bức tranh"): ("00", "17"),
    Say("U-Net", "U-Net"): ("01",),
    Say("diffusion and training", "khuếch tán và huấn luyện"): ("02", "03"),
    Say("samplers, few steps", "bộ lấy mẫu, ít bước"): ("04", "10"),
    Say("guidance", "dẫn hướng"): ("05",),
    Say("text: CLIP and cross-attention", "lời: CLIP và chú ý chéo"): ("06", "07"),
    Say("latents and DiT", "không gian ẩn và DiT"): ("08", "09"),
    Say("fine-tuning", "tinh chỉnh"): ("11", "12", "15"),
    Say("editing", "chỉnh sửa"): ("13",),
    Say("measuring", "đo lường"): ("14",),
    Say("many machines", "nhiều máy"): ("16",),
}
HERE = Say("**You are here:**", "**Bạn đang ở đây:**")
TIME = Say("{reading} minutes, and {exercises} for the exercises, which are worth {points} points",
           "{reading} phút, thêm {exercises} phút cho bài tập, tổng cộng {points} điểm")  # fmt: skip
WORDS, LINES = 110, 9  # read in a minute, pictures included: words of text, lines of code


def filled(text: str, lesson: Lesson, lang: str) -> str:
    """A text with what is made in the place of its marks."""
    if "[[" not in text:
        return text
    made = {
        "[[map]]": road(lesson.folder.name[:2], lang),
        "[[time]]": needed(lesson, lang),
        "[[notebook]]": f"`exercises/{lang}/{lesson.folder.name}.ipynb`",
    }
    for mark, words in made.items():
        text = text.replace(mark, words)
    return text


def road(here: str, lang: str) -> str:
    """All lessons in a row, this one in bold."""
    stops = [f"{number} {name.of(lang)}" for number, name in ROAD.items()]
    return f"{HERE.of(lang)} " + " → ".join(f"**{stop}**" if stop[:2] == here else stop for stop in stops)


def minutes(lesson: Lesson) -> int:
    """How long the lesson takes to read and run, to five minutes."""
    own = [cell for cell in lesson.cells if cell.only != "exercise" and cell.role != "notes"]
    words = sum(len(cell.en.split()) for cell in own)
    lines = sum(cell.code.count("\n") + 1 for cell in own if cell.is_code)
    return 5 * math.ceil((words / WORDS + lines / LINES) / 5)


def needed(lesson: Lesson, lang: str) -> str:
    exercises = lesson.exercises.values()
    return TIME.of(lang).format(
        reading=minutes(lesson), exercises=sum(e.minutes for e in exercises), points=sum(e.points for e in exercises)
    )
