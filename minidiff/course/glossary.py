"""The course's words: one Vietnamese term for each English one, and a check that translations use it.

Terms that stay English in Vietnamese text (prompt, token, seed, ...) are listed too. What it is not: a dictionary. A term
is checked only in the cell where the English text uses it: the Vietnamese one must then use the agreed words.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidiff.course.source import Cell

TERMS = {
    "attention": "chú ý",
    "autoencoder": "bộ tự mã hóa",
    "batch": "lô",
    "classifier-free guidance": "dẫn hướng không cần bộ phân loại",
    "cross-attention": "chú ý chéo",
    "data set": "tập dữ liệu",
    "denoise": "khử nhiễu",
    "distillation": "chưng cất",
    "embedding": "vector nhúng",
    "evaluation": "đánh giá",
    "fine-tuning": "tinh chỉnh",
    "forward process": "quá trình thuận",
    "guidance": "dẫn hướng",
    "inference": "suy luận",
    "inpainting": "tô bù vùng ảnh",
    "latent space": "không gian ẩn",
    "loss": "hàm mất mát",
    "low-rank": "hạng thấp",
    "noise schedule": "lịch nhiễu",
    "prediction type": "kiểu dự đoán",
    "reverse process": "quá trình nghịch",
    "sampler": "bộ lấy mẫu",
    "skip connection": "kết nối tắt",
    "standard deviation": "độ lệch chuẩn",
    "style transfer": "chuyển phong cách",
    "super-resolution": "siêu phân giải",
    "timestep": "bước thời gian",
    "timesteps": "bước thời gian",
    "training": "huấn luyện",
    "variance": "phương sai",
}
ENGLISH = ("prompt", "token", "tokenizer", "checkpoint", "seed", "patch", "LoRA")


def plain(text: str) -> str:
    """Prose alone, in lower case: without code, formulas, links and HTML."""
    text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]*>", " ", text, flags=re.DOTALL)
    return " ".join(unicodedata.normalize("NFC", text).lower().split())  # a term may be wrapped over two lines


def complaints(cells: list[Cell], source: Path) -> list[str]:
    """A line for each Vietnamese cell that says an agreed term otherwise, and for text that is not NFC."""
    found = []
    for cell in cells:
        if cell.is_code:
            continue
        english, vietnamese = plain(cell.en), plain(cell.vi)
        for term, wanted in TERMS.items():
            if re.search(rf"\b{re.escape(term)}\b", english) and wanted not in vietnamese:
                found.append(f"{source}:{cell.line}: the Vietnamese cell should say {wanted!r} for {term!r}.")
        for word in ENGLISH:
            if re.search(rf"\b{word.lower()}s?\b", english) and word.lower() not in vietnamese:
                found.append(f"{source}:{cell.line}: {word!r} stays English in the Vietnamese cell, which lacks it.")
    return found
