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
    "picture_missing": {
        "en": "There is no picture {given}.",
        "vi": "Không có ảnh {given}.",
    },
    "picture_damaged": {
        "en": "{given} is no picture that can be read ({reason}).",
        "vi": "{given} không phải là ảnh đọc được ({reason}).",
    },
    "picture_size": {
        "en": "The picture is {width} x {height} pixels, but each side must have {least} to {most}.",
        "vi": "Ảnh có kích thước {width} x {height} pixel, nhưng mỗi cạnh phải có từ {least} đến {most} pixel.",
    },
    "picture_numbers": {
        "en": "The picture is made of floating-point numbers: save it with 8 or 16 bits a colour.",
        "vi": "Ảnh gồm các số thực: hãy lưu lại ảnh với 8 hoặc 16 bit cho mỗi màu.",
    },
    "lost_alpha": {
        "en": "The picture is transparent in places: they become white.",
        "vi": "Ảnh có chỗ trong suốt: những chỗ đó sẽ thành màu trắng.",
    },
    "lost_bits": {
        "en": "The picture has more than 8 bits a colour: the upper 8 are kept.",
        "vi": "Ảnh có hơn 8 bit cho mỗi màu: chỉ 8 bit cao được giữ lại.",
    },
    "lost_colours": {
        "en": "The picture's colours are {given}: they are converted to RGB, and some change a little.",
        "vi": "Ảnh dùng hệ màu {given}: ảnh được chuyển sang RGB, vài màu có thể hơi khác.",
    },
    "strength": {
        "en": "The strength must be a number above 0 and at most 1, not {given}.",
        "vi": "Độ mạnh phải là số lớn hơn 0 và không quá 1, không phải {given}.",
    },
    "strength_small": {
        "en": "A strength of {given} makes none of {steps} steps: take at least {least}, or more steps.",
        "vi": "Độ mạnh {given} không đủ cho bước nào trong {steps} bước: hãy dùng ít nhất {least}, hoặc thêm bước.",
    },
    "factor": {
        "en": "The factor must be 2 or 4, not {given}.",
        "vi": "Hệ số phóng to phải là 2 hoặc 4, không phải {given}.",
    },
    "factor_size": {
        "en": "The picture is {width} x {height} pixels, and {factor} times as large a side would have more than {most}.",
        "vi": "Ảnh có kích thước {width} x {height} pixel, phóng to {factor} lần thì một cạnh sẽ vượt quá {most} pixel.",
    },
    "loras": {
        "en": "LoRAs must be a table of their names and strengths, not {given}.",
        "vi": "LoRA phải là bảng gồm tên và độ mạnh, không phải {given}.",
    },
    "loras_many": {
        "en": "There are {given} LoRAs, and at most {most} can be mixed: leave some out.",
        "vi": "Có {given} LoRA, mà chỉ trộn được tối đa {most}: hãy bỏ bớt.",
    },
    "lora": {
        "en": "There is no LoRA {given} for {model}: choose among {allowed}.",
        "vi": "Không có LoRA {given} cho {model}: hãy chọn trong {allowed}.",
    },
    "lora_strength": {
        "en": "The weight of a LoRA must be a number from {least} to {most} (0 is off), not {given}.",
        "vi": "Trọng số của một LoRA phải là số từ {least} đến {most} (0 là tắt), không phải {given}.",
    },
    "style_prompt": {
        "en": "The LoRA {given} changes more than the decoder, so say with --prompt what the picture shows.",
        "vi": "LoRA {given} thay đổi nhiều hơn bộ giải mã, nên hãy cho biết ảnh vẽ gì bằng --prompt.",
    },
    "style_none": {
        "en": "Style transfer needs a LoRA: give --lora, such as {allowed}.",
        "vi": "Chuyển phong cách cần một LoRA: hãy cho --lora, chẳng hạn {allowed}.",
    },
    "mask_size": {
        "en": "The mask is {width} x {height} pixels and the picture {wide} x {high}: make them the same size.",
        "vi": "Mặt nạ có kích thước {width} x {height} pixel còn ảnh là {wide} x {high}: hãy để hai ảnh cùng kích thước.",
    },
    "mask_black": {
        "en": "The mask is black everywhere, so there is nothing to repaint: make white what shall change.",
        "vi": "Mặt nạ toàn màu đen nên không có gì để vẽ lại: hãy tô trắng phần cần thay đổi.",
    },
    "mask_thin": {
        "en": "The white part of the mask is so thin that the model can't see it: make it at least {least} pixels wide.",
        "vi": "Phần trắng của mặt nạ mảnh đến mức mô hình không thấy được: hãy tô rộng ít nhất {least} pixel.",
    },
    "mask_grey": {
        "en": "The mask is grey in places: what is lighter than half is repainted, the rest is kept.",
        "vi": "Mặt nạ có chỗ màu xám: chỗ sáng hơn một nửa sẽ được vẽ lại, phần còn lại giữ nguyên.",
    },
    "feather": {
        "en": "The width of the soft edge must be a whole number of pixels from {least} to {most}, not {given}.",
        "vi": "Độ rộng của viền mềm phải là số pixel nguyên từ {least} đến {most}, không phải {given}.",
    },
    "resample": {
        "en": "How often each part of the way is made must be a whole number from {least} to {most}, not {given}.",
        "vi": "Số lần đi lại mỗi đoạn phải là số nguyên từ {least} đến {most}, không phải {given}.",
    },
    "margin": {
        "en": "What is added to a side must be a whole number of pixels from {least} to {most}, not {given}.",
        "vi": "Phần thêm vào mỗi cạnh phải là số pixel nguyên từ {least} đến {most}, không phải {given}.",
    },
    "margin_none": {
        "en": "Nothing is added to any side: say how many pixels, or another aspect than the picture has.",
        "vi": "Không cạnh nào được thêm gì: hãy cho số pixel, hoặc một tỉ lệ khác với tỉ lệ của ảnh.",
    },
    "aspect": {
        "en": "The aspect must be two numbers such as 16:9, up to {most} times as long as wide, not {given}.",
        "vi": "Tỉ lệ phải là hai số như 16:9, cạnh dài tối đa gấp {most} lần cạnh ngắn, không phải {given}.",
    },
    "word_missing": {
        "en": "The prompts don't have the word {given}; they have {allowed}.",
        "vi": "Các mô tả không có từ {given}; chúng có {allowed}.",
    },
    "words_same": {
        "en": "The two prompts are the same and no word is weighed: there is nothing to change.",
        "vi": "Hai mô tả giống nhau và không từ nào được đặt trọng số: không có gì để thay đổi.",
    },
    "share": {
        "en": "A share of the steps must be a number from {least} to {most}, not {given}.",
        "vi": "Tỉ lệ số bước phải là số từ {least} đến {most}, không phải {given}.",
    },
    "weight": {
        "en": "The weight of a word must be a number from {least} to {most} (1 changes nothing), not {given}.",
        "vi": "Trọng số của một từ phải là số từ {least} đến {most} (1 là giữ nguyên), không phải {given}.",
    },
    "model_wordless": {
        "en": "{model} doesn't look at single words, so none can be changed: take a model that reads prompts.",
        "vi": "{model} không nhìn vào từng từ nên không thể thay từ: hãy dùng một mô hình đọc được mô tả.",
    },
    "model_upscales": {
        "en": "{model} was made for enlarging pictures and does nothing else: give it a small picture.",
        "vi": "{model} chỉ dùng để phóng to ảnh: hãy đưa cho nó một ảnh nhỏ.",
    },
    "noise_level": {
        "en": "The noise level must be a whole number from {least} to {most}, not {given}.",
        "vi": "Mức nhiễu phải là số nguyên từ {least} đến {most}, không phải {given}.",
    },
    "model_no_upscaler": {
        "en": "{model} was not made for enlarging pictures: take Stable Diffusion's upscaler.",
        "vi": "{model} không dùng để phóng to ảnh: hãy dùng mô hình phóng to của Stable Diffusion.",
    },
    "model_inpaints": {
        "en": "{model} was made for inpainting and does nothing else: give it a picture and a mask.",
        "vi": "{model} chỉ dùng để vẽ lại một phần ảnh: hãy đưa cho nó một ảnh và một mặt nạ.",
    },
}


def say(key: str, lang: str, **values: object) -> str:
    """The sentence `key` with its blanks filled. lang: "en" or "vi"; any other means English."""
    texts = MESSAGES[key]
    return texts.get(lang, texts["en"]).format(**values)
