"""The sentences that refuse a request, in English and in Vietnamese.

What it is not: the labels of the web page, which are in `studio/labels.py`.
"""

from __future__ import annotations

LANGS = ("en", "vi")

MESSAGES: dict[str, dict[str, str]] = {
    "prompt_type": {
        "en": "The prompt must be text, not {given}.",
        "vi": "Mô tả phải là văn bản, không phải {given}.",
    },
    "prompt_empty": {
        "en": "The prompt is empty: write what to draw, in 1 to {most} characters.",
        "vi": "Mô tả đang trống: hãy viết điều cần vẽ, từ 1 đến {most} ký tự.",
    },
    "prompt_long": {
        "en": "The prompt has {given} characters and at most {most} are allowed: shorten it.",
        "vi": "Mô tả dài {given} ký tự, tối đa là {most}: hãy viết ngắn lại.",
    },
    "negative_type": {
        "en": "The negative prompt must be text, not {given}.",
        "vi": "Mô tả cần tránh phải là văn bản, không phải {given}.",
    },
    "negative_long": {
        "en": "The negative prompt has {given} characters and at most {most} are allowed: shorten it.",
        "vi": "Mô tả cần tránh dài {given} ký tự, tối đa là {most}: hãy viết ngắn lại.",
    },
    "sampler": {
        "en": "There is no sampler {given}: choose one of {allowed}.",
        "vi": "Không có bộ lấy mẫu {given}: hãy chọn một trong {allowed}.",
    },
    "steps": {
        "en": "Steps must be a whole number from {least} to {most}, not {given}.",
        "vi": "Số bước phải là số nguyên từ {least} đến {most}, không phải {given}.",
    },
    "guidance_scale": {
        "en": "The guidance scale must be a number from {least} to {most} (1 turns guidance off), not {given}.",
        "vi": "Mức dẫn hướng phải là số từ {least} đến {most} (1 là tắt), không phải {given}.",
    },
    "seed": {
        "en": "The seed must be a whole number from {least} to {most}, not {given}.",
        "vi": "Seed phải là số nguyên từ {least} đến {most}, không phải {given}.",
    },
    "num_images": {
        "en": "The number of images must be a whole number from {least} to {most}, not {given}.",
        "vi": "Số ảnh phải là số nguyên từ {least} đến {most}, không phải {given}.",
    },
    "eta": {
        "en": "Eta must be a number from {least} to {most}, not {given}.",
        "vi": "Eta phải là số từ {least} đến {most}, không phải {given}.",
    },
    "upsample": {
        "en": "Upsample is yes or no, true or false, not {given}.",
        "vi": "Bổ sung vị trí chỉ có thể bật hoặc tắt (true hoặc false), không phải {given}.",
    },
    "kind": {
        "en": "This model draws one kind of thing at a time, and {given} names none: choose one of {allowed}.",
        "vi": "Mô hình này mỗi lần chỉ vẽ một loại hình, và {given} không phải tên loại nào: hãy chọn một trong {allowed}.",
    },
    "model": {
        "en": "There is no model {given} here: choose one of {allowed}.",
        "vi": "Không có mô hình {given} ở đây: hãy chọn một trong {allowed}.",
    },
    "eta_sampler": {
        "en": "Eta is used by the sampler ddim only: leave it at 0 with {given}.",
        "vi": "Chỉ bộ lấy mẫu ddim dùng eta: hãy để eta bằng 0 khi dùng {given}.",
    },
}


def say(key: str, lang: str, **values: object) -> str:
    """The sentence `key` in `lang` ("en" or "vi"; any other is taken for English), with its blanks filled."""
    texts = MESSAGES[key]
    return texts.get(lang, texts["en"]).format(**values)
