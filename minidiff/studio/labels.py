"""Every word that the page shows, in English and in Vietnamese.

The sentences that refuse a request are in `pipelines/messages.py`: the command line needs them as well.
"""

from __future__ import annotations

LABELS: dict[str, dict[str, str]] = {
    # The frame of the page
    "title": {"en": "minidiff studio", "vi": "Xưởng vẽ minidiff"},
    "tagline": {
        "en": "A small model, trained from nothing, draws what you write. Watch how.",
        "vi": "Một mô hình nhỏ, huấn luyện từ con số không, vẽ điều bạn viết. Hãy xem nó vẽ.",
    },
    "language": {"en": "Language", "vi": "Ngôn ngữ"},
    "create": {"en": "Create", "vi": "Vẽ tranh"},
    # What can be set
    "prompt": {"en": "Prompt", "vi": "Mô tả"},
    "prompt_hint": {
        "en": "What should be drawn? English or Vietnamese.",
        "vi": "Bạn muốn vẽ gì? Viết tiếng Việt hoặc tiếng Anh.",
    },
    "model": {"en": "Model", "vi": "Mô hình"},
    "model_info": {
        "en": "What draws. Each knows what it was trained on.",
        "vi": "Mô hình dùng để vẽ. Mỗi mô hình chỉ biết những gì nó đã học.",
    },
    "examples": {"en": "Try one of these", "vi": "Thử một câu"},
    "draw": {"en": "Draw", "vi": "Vẽ"},
    "stop": {"en": "Stop", "vi": "Dừng"},
    "settings": {"en": "Settings", "vi": "Thiết lập"},
    "negative": {"en": "Negative prompt", "vi": "Mô tả cần tránh"},
    "negative_hint": {"en": "What to keep away from. May stay empty.", "vi": "Điều không nên có. Có thể để trống."},
    "sampler": {"en": "Sampler", "vi": "Bộ lấy mẫu"},
    "steps": {"en": "Steps", "vi": "Số bước"},
    "steps_info": {"en": "More steps, finer and slower.", "vi": "Càng nhiều bước càng kỹ và càng chậm."},
    "guidance": {"en": "Guidance (CFG)", "vi": "Dẫn hướng (CFG)"},
    "guidance_info": {"en": "How strongly to follow the words; 1 is off.", "vi": "Bám theo lời mạnh đến đâu; 1 là tắt."},
    "seed": {"en": "Seed", "vi": "Seed"},
    "seed_info": {"en": "The same seed draws the same picture.", "vi": "Cùng một seed thì ra cùng một bức tranh."},
    "dice": {"en": "New seed", "vi": "Seed mới"},
    "recycle": {"en": "Last seed", "vi": "Seed vừa dùng"},
    "randomise": {"en": "A new seed each time", "vi": "Mỗi lần một seed mới"},
    "images": {"en": "Images", "vi": "Số ảnh"},
    "eta": {"en": "Eta", "vi": "Eta"},
    "eta_info": {"en": "Fresh noise in each step; 0 adds none.", "vi": "Nhiễu mới ở mỗi bước; 0 là không thêm."},
    "advanced": {"en": "Advanced", "vi": "Nâng cao"},
    "start": {"en": "Guide from time", "vi": "Dẫn hướng từ thời điểm"},
    "start_info": {"en": "0 is the clean image, 1 is noise.", "vi": "0 là ảnh sạch, 1 là nhiễu."},
    "end": {"en": "Guide up to time", "vi": "Dẫn hướng đến thời điểm"},
    "end_info": {"en": "Outside these times guidance is off.", "vi": "Ngoài khoảng này thì không dẫn hướng."},
    "rescale": {"en": "Guidance rescale", "vi": "Cân lại dẫn hướng"},
    "rescale_info": {
        "en": "Undoes the glaring colours of strong guidance; 0 is off.",
        "vi": "Làm dịu màu gắt do dẫn hướng mạnh; 0 là tắt.",
    },
    "expand_prompt": {"en": "Write the prompt out", "vi": "Viết lại mô tả cho rõ"},
    "expand_prompt_info": {
        "en": "A small network reads what you typed and writes it plainly; places that are left open are added by lot.",
        "vi": "Một mạng nhỏ đọc điều bạn gõ và viết lại cho gọn; vị trí nào chưa nói thì được chọn ngẫu nhiên.",
    },
    "load_image": {"en": "Load from image", "vi": "Nạp thiết lập từ ảnh"},
    "copy_link": {"en": "Copy link", "vi": "Sao chép liên kết"},
    # What is shown
    "noisy": {"en": "What it works on", "vi": "Ảnh đang khử nhiễu"},
    "predicted": {"en": "What it expects to see", "vi": "Ảnh nó dự đoán"},
    "idle": {
        "en": "Write a sentence and press Draw. The picture appears here out of noise, step by step.",
        "vi": "Viết một câu rồi bấm Vẽ. Bức tranh sẽ hiện ra ở đây từ nhiễu, từng bước một.",
    },
    "waiting": {"en": "Waiting for the model …", "vi": "Đang chờ mô hình …"},
    "step": {"en": "Step {index} of {n}", "vi": "Bước {index} trên {n}"},
    "done": {"en": "Drawn in {seconds} s · seed {seed}", "vi": "Vẽ xong sau {seconds} giây · seed {seed}"},
    "stopped": {"en": "Stopped.", "vi": "Đã dừng."},
    "too_long": {
        "en": "Stopped after {seconds} seconds, the most one drawing may take: ask for fewer steps or images.",
        "vi": "Đã dừng sau {seconds} giây, lâu nhất cho một lần vẽ: hãy giảm số bước hoặc số ảnh.",
    },
    "ending": {"en": "Stopped: the server is being shut down.", "vi": "Đã dừng: máy chủ đang tắt."},
    "queue_full": {
        "en": "Too many pictures are waiting at the moment, yours or others': please try again in a little while.",
        "vi": "Hiện có quá nhiều tranh đang chờ, của bạn hoặc của người khác: hãy thử lại sau ít phút.",
    },
    "too_often": {
        "en": "That was a lot in a short time: please wait {seconds} seconds.",
        "vi": "Bạn yêu cầu quá nhiều trong thời gian ngắn: hãy chờ {seconds} giây.",
    },
    "broken": {
        "en": "Something went wrong on our side; the drawing was not finished.",
        "vi": "Có lỗi ở phía chúng tôi; bức tranh chưa được vẽ xong.",
    },
    "model_ready": {"en": "Now drawing with {model}.", "vi": "Giờ vẽ bằng {model}."},
    "model_broken": {
        "en": "The model {model} could not be loaded; choose another one.",
        "vi": "Không nạp được mô hình {model}; hãy chọn mô hình khác.",
    },
    "results": {"en": "Pictures", "vi": "Tranh"},
    "expanded_prompt": {"en": "Expanded to: {text}", "vi": "Đã vẽ theo: {text}"},
    "download": {"en": "Download PNG", "vi": "Tải ảnh PNG"},
    "one_token": {"en": "1 token", "vi": "1 token"},
    "tokens": {"en": "{count} tokens", "vi": "{count} token"},
    "too_many_tokens": {
        "en": "The model reads only the first {most}.",
        "vi": "Mô hình chỉ đọc {most} token đầu.",
    },
    "unseen": {"en": "Never seen in training:", "vi": "Chưa gặp khi huấn luyện:"},
    "link_copied": {"en": "The link is on the clipboard.", "vi": "Đã chép liên kết."},
    "restored": {"en": "The settings of that picture are back.", "vi": "Đã lấy lại thiết lập của bức tranh."},
    "restored_without_model": {
        "en": "The settings of that picture are back, but its model, {model}, isn't here: this one will draw another.",
        "vi": "Đã lấy lại thiết lập của bức tranh, nhưng ở đây không có mô hình {model}: mô hình này sẽ vẽ ra tranh khác.",
    },
    "not_ours": {
        "en": "This file does not say how it was made: choose a PNG that was saved here.",
        "vi": "Tệp này không ghi lại cách vẽ: hãy chọn một ảnh PNG đã lưu từ đây.",
    },
    "bad_link": {
        "en": "The link asks for something that is not allowed, so it was not used. {reason}",
        "vi": "Liên kết yêu cầu điều không được phép nên không được dùng. {reason}",
    },
}

SAMPLER_LABELS = {
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "euler": "Euler",
    "euler_a": "Euler A",
    "heun": "Heun",
}

EXAMPLES = [
    "a big red star left of a small blue house at night",
    "hai con cá màu vàng trên biển",
    "three purple balloons in a meadow",
    "một cái cây xanh lá bên phải một ngôi nhà đỏ",
    "an orange cat below a yellow moon",
    "một con thuyền trắng lúc hoàng hôn",
]
EXAMPLES_OF = {  # of models that know something else than the drawn world; as many, the languages in the same order
    "emoji-dit": [
        "a pizza, 3D style",
        "bánh pizza, kiểu phẳng",
        "a penguin emoji on the sea, Noto style",
        "emoji cáo, kiểu Twemoji",
        "an emoji of a rocket at night, flat style",
        "dâu tây, kiểu 3D",
    ]
}


def examples(model: str) -> list[str]:
    """Prompts to try with a model."""
    return EXAMPLES_OF.get(model, EXAMPLES)


def label(key: str, lang: str, **values: object) -> str:
    """The words `key` in `lang` ("en" or "vi"), with their blanks filled."""
    return LABELS[key][lang].format(**values)
