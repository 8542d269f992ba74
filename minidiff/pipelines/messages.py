"""The sentences that refuse a request, in English and in Vietnamese.

The labels of the web page are in `studio/labels.py`.
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
    "eta_sampler": {
        "en": "The sampler {given} adds no noise: leave eta out, or set it to 0.",
        "vi": "Bộ lấy mẫu {given} không thêm nhiễu: hãy bỏ eta, hoặc đặt eta bằng 0.",
    },
    "expand_prompt": {
        "en": "Expanding the prompt is true or false, not {given}.",
        "vi": "Việc viết lại mô tả chỉ có thể bật hoặc tắt (true hoặc false), không phải {given}.",
    },
    "guidance_interval": {
        "en": "The guidance interval must be two numbers from 0 to 1, the lower one first, not {given}.",
        "vi": "Khoảng dẫn hướng phải là hai số từ 0 đến 1, số nhỏ trước, không phải {given}.",
    },
    "guidance_rescale": {
        "en": "The guidance rescale must be a number from {least} to {most} (0 turns it off), not {given}.",
        "vi": "Mức cân lại dẫn hướng phải là số từ {least} đến {most} (0 là tắt), không phải {given}.",
    },
    "prompt_cut": {
        "en": "This model reads the first {most} tokens of a text: the end of it was left out, {given}.",
        "vi": "Mô hình này chỉ đọc {most} token đầu của văn bản: phần cuối bị bỏ qua, {given}.",
    },
    "kind": {
        "en": "This model draws one kind of thing at a time, and {given} names none: choose one of {allowed}.",
        "vi": "Mô hình này mỗi lần chỉ vẽ một loại hình, và {given} không phải tên loại nào: hãy chọn một trong {allowed}.",
    },
    "model": {
        "en": "There is no model {given} here: choose one of {allowed}.",
        "vi": "Không có mô hình {given} ở đây: hãy chọn một trong {allowed}.",
    },
}


def say(key: str, lang: str, **values: object) -> str:
    """The sentence `key` with its blanks filled. lang: "en" or "vi"; any other means English."""
    texts = MESSAGES[key]
    return texts.get(lang, texts["en"]).format(**values)
