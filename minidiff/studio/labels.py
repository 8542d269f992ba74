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
    "typing": {"en": "Draw as I type", "vi": "Vẽ ngay khi gõ"},
    "typing_info": {
        "en": "At each pause in your typing, with a model of few steps.",
        "vi": "Mỗi khi bạn ngừng tay, bằng một mô hình chỉ cần ít bước.",
    },
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
    # What each control costs and buys: the figures are from measured.json (measured.py)
    "sampler_info": {"en": "The way from noise to picture.", "vi": "Cách đi từ nhiễu đến tranh."},
    "images_info": {"en": "Several tries, each from its own seed.", "vi": "Nhiều lần thử, mỗi lần một seed."},
    "measured": {
        "en": "{before} → {after}: {gain} of 100 pictures right ({low} to {high}), {times} times the time.",
        "vi": "{before} → {after}: {gain} tranh đúng trên 100 ({low} đến {high}), thời gian gấp {times} lần.",
    },
    "measured_images": {
        "en": "{before} → {after}: at least one is right for {gain} of 100 prompts ({low} to {high}), {times} times the time.",
        "vi": "{before} → {after}: {gain} trên 100 mô tả có ít nhất một tranh đúng ({low} đến {high}), thời gian gấp {times} "
        "lần.",
    },
    "measured_samplers": {"en": "Of 100 pictures right: {samplers}.", "vi": "Số tranh đúng trên 100: {samplers}."},
    "measured_strength": {
        "en": "{model}, {values}: the new words are right in {shows} of 100 pictures; {stays} % of the rest stays.",
        "vi": "{model}, {values}: {shows} trên 100 tranh vẽ đúng lời mới; {stays} % phần còn lại được giữ nguyên.",
    },
    "measured_style_weight": {
        "en": "{model}, {values}: in the style {shows} of 100 pictures; {stays} still show everything.",
        "vi": "{model}, {values}: {shows} trên 100 tranh đúng phong cách; {stays} tranh vẫn còn đủ mọi thứ.",
    },
    "measured_slower": {"en": " ({times} times the time)", "vi": " (thời gian gấp {times} lần)"},
    "measured_on": {"en": "on", "vi": "bật"},
    "measured_off": {"en": "off", "vi": "tắt"},
    "measured_about": {
        "en": "Measured figures: {model}, {n} prompts, the judge's verdicts, 95 % intervals, one core of {processor}, {date}.",
        "vi": "Số đo được: {model}, {n} mô tả, theo giám khảo, khoảng tin cậy 95 %, một nhân {processor}, {date}.",
    },
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
    "expanded_legend": {
        "en": "Underlined: not in your words. The studio added it, or put it in words that the model knows.",
        "vi": "Gạch chân: không có trong lời bạn viết. Trang đã thêm vào, hoặc nói lại bằng từ mà mô hình biết.",
    },
    "history": {"en": "This visit's pictures", "vi": "Tranh của lần ghé này"},
    "history_item": {"en": "Bring back: {prompt}, seed {seed}", "vi": "Lấy lại: {prompt}, seed {seed}"},
    "history_note": {
        "en": "Kept in this page only. Choose one to bring back the picture and its settings.",
        "vi": "Chỉ lưu trong trang này. Chọn một tranh để lấy lại tranh và thiết lập.",
    },
    "recalled": {"en": "That picture and its settings are back.", "vi": "Đã lấy lại bức tranh và thiết lập."},
    # Why did it fail?
    "why_right": {"en": "All is as you wrote", "vi": "Đúng như bạn viết"},
    "why_wrong": {"en": "Not as you wrote. Why?", "vi": "Chưa đúng như bạn viết. Vì sao?"},
    "why_unsure": {"en": "Is it as you wrote?", "vi": "Có đúng như bạn viết không?"},
    "why_asked": {"en": "Your words, as they were read", "vi": "Lời bạn, theo cách hiểu của trang"},
    "why_saw": {"en": "What the judge sees", "vi": "Giám khảo thấy"},
    "why_not": {"en": "What differs", "vi": "Điều chưa đúng"},
    "why_no_claim": {
        "en": "The sentence wasn't understood well enough to compare the picture with it.",
        "vi": "Trang chưa hiểu câu này đủ rõ để so sánh với bức tranh.",
    },
    "why_other_world": {
        "en": "The judge knows only the drawn world; it can't read pictures of this model.",
        "vi": "Giám khảo chỉ biết thế giới tranh vẽ; nó không đọc được tranh của mô hình này.",
    },
    "why_unseen": {
        "en": "The model has never seen these words, so they can't guide it:",
        "vi": "Mô hình chưa từng gặp những từ này nên chúng không dẫn được nó:",
    },
    "why_cut": {
        "en": "The sentence is too long: only its first {most} tokens were read.",
        "vi": "Câu quá dài: chỉ {most} token đầu được đọc.",
    },
    "why_try": {
        "en": "What may help: another seed, several images, or fewer things in one sentence. The judge errs at times, too.",
        "vi": "Có thể thử: seed khác, vẽ nhiều ảnh một lượt, hoặc bớt số vật trong một câu. Giám khảo đôi khi cũng nhầm.",
    },
    "why_object": {"en": "a thing is missing", "vi": "thiếu một vật"},
    "why_count": {"en": "how many there are", "vi": "số lượng"},
    "why_colour": {"en": "a colour", "vi": "màu sắc"},
    "why_size": {"en": "a size", "vi": "kích cỡ"},
    "why_position": {"en": "where things are", "vi": "vị trí"},
    "why_binding": {"en": "which thing has which colour or size", "vi": "vật nào mang màu hay kích cỡ nào"},
    "why_setting": {"en": "the setting", "vi": "khung cảnh"},
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
    # Links to the course
    "lesson": {"en": "Lesson {number} explains it.", "vi": "Xem bài {number}."},
    # Look inside
    "inspect": {"en": "Look inside", "vi": "Nhìn vào trong"},
    "open_up": {"en": "Open it up", "vi": "Mở ra xem"},
    "inspect_steps_info": {
        "en": "How many times it looks and moves on; up to ten of these moments are shown.",
        "vi": "Số lần mạng nhìn rồi đi tiếp; trang cho xem tối đa mười thời điểm.",
    },
    "inspect_guidance_info": {
        "en": "How far beyond its own answer it goes in the direction of the words; 1 is off.",
        "vi": "Đi quá câu trả lời của chính nó bao xa theo hướng của lời; 1 là tắt.",
    },
    "inspect_seed_info": {
        "en": "The noise it begins with. The same seed, the same picture as in Create.",
        "vi": "Lớp nhiễu ban đầu. Cùng seed thì ra cùng tranh như ở thẻ Vẽ tranh.",
    },
    "inside_idle": {
        "en": "Write a sentence and press Open it up. One drawing is then laid open, and you can walk through it.",
        "vi": "Viết một câu rồi bấm Mở ra xem. Một lần vẽ sẽ được mở ra để bạn đi qua từng thời điểm.",
    },
    "inside_working": {"en": "Opening it up: {index} of {n}", "vi": "Đang mở ra: {index} trên {n}"},
    "inside_done": {"en": "Opened in {seconds} s. Now move the slider.", "vi": "Xong sau {seconds} giây. Hãy kéo thanh trượt."},
    "inside_now": {"en": "Step {step} of {n} · {noise} % noise", "vi": "Bước {step} trên {n} · {noise} % là nhiễu"},
    "inside_play": {"en": "Play or pause", "vi": "Phát hoặc dừng"},
    "inside_steps": {"en": "From noise to picture", "vi": "Từ nhiễu đến tranh"},
    "inside_steps_short": {"en": "what it sees at each step, and what it expects.", "vi": "ở mỗi bước nó thấy gì và đoán gì."},
    "inside_steps_info": {
        "en": "At every step the network looks at a noisy picture and says what it expects behind the noise. The sampler goes "
        "a part of the way there, and the network looks again.",
        "vi": "Ở mỗi bước, mạng nhìn một ảnh nhiễu và đoán bức tranh ẩn sau lớp nhiễu. Bộ lấy mẫu đi một phần đường tới đó, "
        "rồi mạng nhìn lại.",
    },
    "inside_words": {"en": "Where each word is heard", "vi": "Mỗi từ được nghe ở đâu"},
    "inside_words_short": {
        "en": "which places of the picture ask for which word.",
        "vi": "chỗ nào trong tranh tìm đến từ nào.",
    },
    "inside_words_info": {
        "en": "Each place of the picture asks the words what belongs there: that is attention. Choose a word and see where it "
        "is listened to, at the step above.",
        "vi": "Mỗi chỗ trong tranh hỏi các từ xem ở đó nên có gì: đó là chú ý. Hãy chọn một từ để thấy nơi nào lắng nghe nó, "
        "ở bước phía trên.",
    },
    "inside_no_words": {
        "en": "This model doesn't look at single words, so there is nothing to show here.",
        "vi": "Mô hình này không nhìn vào từng từ nên không có gì để xem ở đây.",
    },
    "inside_tokens": {"en": "The sentence as the model reads it", "vi": "Câu như mô hình đọc"},
    "inside_layer": {"en": "Layer", "vi": "Lớp"},
    "inside_head": {"en": "Head", "vi": "Đầu"},
    "inside_mean": {"en": "mean", "vi": "trung bình"},
    "inside_least": {"en": "of the attention where it is dark,", "vi": "sự chú ý ở chỗ tối,"},
    "inside_most": {"en": "where it is bright:", "vi": "ở chỗ sáng:"},
    "inside_all_words": {"en": "All words at once", "vi": "Tất cả các từ"},
    "inside_begin": {"en": "start", "vi": "đầu câu"},
    "inside_end": {"en": "end", "vi": "cuối câu"},
    "inside_chosen": {"en": "Bright where “{word}” is listened to most", "vi": "Sáng ở nơi lắng nghe “{word}” nhiều nhất"},
    "inside_guidance": {"en": "What guidance adds", "vi": "Dẫn hướng thêm vào điều gì"},
    "inside_guidance_short": {
        "en": "its answer with your words, without them, and beyond.",
        "vi": "câu trả lời khi có lời, khi không có lời, và xa hơn nữa.",
    },
    "inside_guidance_info": {
        "en": "The network is asked twice, with your words and without. Guidance goes {scale} times the way from the second "
        "answer to the first.",
        "vi": "Mạng được hỏi hai lần, có lời và không có lời. Dẫn hướng đi gấp {scale} lần quãng đường từ câu trả lời sau đến "
        "câu trả lời trước.",
    },
    "inside_without": {"en": "Without words", "vi": "Không có lời"},
    "inside_with": {"en": "With your words", "vi": "Có lời của bạn"},
    "inside_guided": {"en": "Guided", "vi": "Có dẫn hướng"},
    "inside_difference": {
        "en": "What the words change, times {gain}; grey is nothing",
        "vi": "Điều mà lời làm thay đổi, nhân {gain}; màu xám là không đổi",
    },
    "inside_latents": {"en": "What it really works on", "vi": "Thứ nó thật sự xử lý"},
    "inside_latents_short": {"en": "the numbers behind the picture.", "vi": "những con số đằng sau bức tranh."},
    "inside_latents_info": {
        "en": "The network never sees colours. It works on {channels} small pictures of numbers, its channels, and a decoder "
        "makes the picture out of them at the end.",
        "vi": "Mạng không hề thấy màu. Nó xử lý {channels} ảnh nhỏ gồm các con số, gọi là các kênh, và cuối cùng một bộ giải "
        "mã biến chúng thành bức tranh.",
    },
    "inside_channels_info": {
        "en": "This model works on the colours themselves: its {channels} channels are red, green and blue.",
        "vi": "Mô hình này xử lý thẳng màu sắc: {channels} kênh của nó là đỏ, xanh lá và xanh dương.",
    },
    "inside_channel": {"en": "Channel {index}", "vi": "Kênh {index}"},
    "inside_settling": {"en": "When what is decided", "vi": "Điều gì được quyết khi nào"},
    "inside_settling_short": {"en": "layout, colour and detail on their way.", "vi": "bố cục, màu sắc và chi tiết hình thành."},
    "inside_settling_info": {
        "en": "Each curve says how near the expected picture is to the finished one, from as far as it ever was (bottom) to "
        "equal (top). A dot marks where it has come {share} % of the way for good.",
        "vi": "Mỗi đường cho biết tranh dự đoán gần tranh hoàn thành đến đâu, từ xa nhất (dưới) đến bằng nhau (trên). Dấu chấm "
        "là nơi từ đó nó không bao giờ xuống dưới {share} % quãng đường.",
    },
    "inside_layout": {"en": "Layout", "vi": "Bố cục"},
    "inside_colour": {"en": "Colour", "vi": "Màu sắc"},
    "inside_detail": {"en": "Detail", "vi": "Chi tiết"},
    "inside_axis": {"en": "Noise left in the picture →", "vi": "Nhiễu còn lại trong ảnh →"},
    "inside_finding": {
        "en": "In this drawing {name0} is settled at {noise0} % noise, {name1} at {noise1} %, {name2} at {noise2} %.",
        "vi": "Trong lần vẽ này, {name0} đã định hình khi còn {noise0} % nhiễu, {name1} khi còn {noise1} %, {name2} khi còn "
        "{noise2} %.",
    },
    # Styles
    "styles": {"en": "Styles", "vi": "Phong cách"},
    "styles_about": {
        "en": "A LoRA is a small file beside a large model: it changes the weights a little, in one direction. Choose one and "
        "see what it does, mix several, or turn its weight up and down; below 0 it works the other way round.",
        "vi": "LoRA là một tệp nhỏ đi kèm một mô hình lớn: nó thay đổi các trọng số một chút, theo một hướng. Hãy chọn một "
        "LoRA để xem tác dụng, trộn vài cái, hoặc tăng giảm trọng số của nó; dưới 0 thì nó tác dụng ngược lại.",
    },
    "styles_loras": {"en": "LoRAs", "vi": "LoRA"},
    "styles_loras_info": {
        "en": "Up to three. Those in -dit change the network, and so the picture; the others only how it is painted.",
        "vi": "Tối đa ba. Loại có đuôi -dit thay đổi mạng, tức là cả bức tranh; loại khác chỉ đổi cách tô vẽ.",
    },
    "styles_none": {
        "en": "There is no LoRA for this model here; drop one in, or choose another model.",
        "vi": "Ở đây chưa có LoRA nào cho mô hình này; hãy thả một tệp vào hoặc chọn mô hình khác.",
    },
    "styles_sweep": {"en": "Weights of the sweep", "vi": "Các trọng số để dò"},
    "styles_sweep_info": {
        "en": "With commas between them, each from -1 to 2; a row of pictures for each LoRA.",
        "vi": "Cách nhau bằng dấu phẩy, mỗi số từ -1 đến 2; mỗi LoRA một hàng tranh.",
    },
    "drop": {"en": "Drop files here, or press to choose", "vi": "Thả tệp vào đây, hoặc bấm để chọn"},
    "styles_own": {"en": "Your own LoRA", "vi": "LoRA của bạn"},
    "styles_own_weight": {"en": "Weight of your own", "vi": "Trọng số LoRA của bạn"},
    "styles_own_info": {
        "en": "A .safetensors file of diffusers or kohya, made for this model; the server forgets it after ten minutes.",
        "vi": "Tệp .safetensors của diffusers hoặc kohya, dành cho mô hình này; máy chủ sẽ quên nó sau mười phút.",
    },
    "styles_draw": {"en": "With and without", "vi": "Vẽ có và không có"},
    "styles_draw_sweep": {"en": "Strength sweep", "vi": "Dò độ mạnh"},
    "styles_idle": {
        "en": "Choose a LoRA and press one of the two buttons. All pictures begin with the same noise, so what differs "
        "between them comes from the LoRA.",
        "vi": "Hãy chọn một LoRA rồi bấm một trong hai nút. Mọi tranh đều bắt đầu từ cùng một lớp nhiễu, nên chỗ khác nhau "
        "giữa chúng là do LoRA.",
    },
    "styles_without": {"en": "Without", "vi": "Không có LoRA"},
    "styles_cost": {"en": "{ms} ms", "vi": "{ms} ms"},
    "styles_decoded": {"en": "{ms} ms, decoded only", "vi": "{ms} ms, chỉ giải mã"},
    "styles_note": {
        "en": "Where a LoRA changes the decoder and not the network, the latent is drawn once and only decoded anew.",
        "vi": "Khi LoRA chỉ đổi bộ giải mã chứ không đổi mạng, biểu diễn ẩn chỉ được vẽ một lần rồi giải mã lại.",
    },
    "own_ready": {"en": "{name} fits {model}.", "vi": "{name} hợp với {model}."},
    "style_kind": {
        "en": "{given} is no .safetensors file, the only kind that is read here.",
        "vi": "{given} không phải tệp .safetensors, loại duy nhất được đọc ở đây.",
    },
    "style_gone": {
        "en": "{given} is no longer on the server: drop it in again.",
        "vi": "{given} không còn trên máy chủ: hãy thả lại tệp.",
    },
    "style_large": {
        "en": "{given} is too large: a LoRA may have up to {most} MB here.",
        "vi": "{given} quá lớn: ở đây một LoRA chỉ được tối đa {most} MB.",
    },
    "style_damaged": {
        "en": "{given} is damaged, or no safetensors: save or fetch it again.",
        "vi": "{given} bị hỏng hoặc không phải safetensors: hãy lưu hoặc tải lại.",
    },
    "style_other": {
        "en": "{given} was made for another model than {model}: its layers are not the same.",
        "vi": "{given} được làm cho mô hình khác chứ không phải {model}: các lớp không trùng nhau.",
    },
    "style_no_lora": {
        "en": "{given} holds no plain LoRA that can be used: it must have two finite factors for each layer.",
        "vi": "{given} không chứa LoRA thường nào dùng được: mỗi lớp phải có hai nhân tử hữu hạn.",
    },
    "style_none": {"en": "Choose a LoRA first, or drop one in.", "vi": "Hãy chọn một LoRA trước, hoặc thả một tệp vào."},
    "style_sweep": {
        "en": "A sweep has 1 to {most} different weights: leave some out.",
        "vi": "Mỗi lần dò có từ 1 đến {most} trọng số khác nhau: hãy bỏ bớt.",
    },
    "style_overflow": {
        "en": "With these LoRAs the numbers overflow and there is no picture: use smaller weights.",
        "vi": "Với các LoRA này, các số bị tràn nên không có tranh: hãy dùng trọng số nhỏ hơn.",
    },
    # Styles: training
    "teach": {"en": "Train a LoRA here", "vi": "Huấn luyện LoRA ngay tại đây"},
    "teach_about": {
        "en": "From a few pictures the network learns their manner. It trains on this machine in a folder that is removed "
        "afterwards; the file is yours to keep.",
        "vi": "Từ vài bức ảnh, mạng học cách vẽ của chúng. Việc huấn luyện chạy trên máy này, trong một thư mục sẽ bị xóa sau "
        "đó; còn tệp kết quả là của bạn.",
    },
    "teach_pictures": {"en": "Pictures to learn from", "vi": "Ảnh để học"},
    "teach_pictures_info": {
        "en": "{least} to {most} PNG or JPEG files, at most 2 MB together.",
        "vi": "Từ {least} đến {most} tệp PNG hoặc JPEG, tổng cộng tối đa 2 MB.",
    },
    "teach_captions": {"en": "Captions", "vi": "Chú thích"},
    "teach_captions_info": {
        "en": "A line for each picture, in their order, or one line for all.",
        "vi": "Mỗi ảnh một dòng, theo thứ tự, hoặc một dòng cho tất cả.",
    },
    "teach_captions_hint": {"en": "a red house in my style", "vi": "một ngôi nhà đỏ theo phong cách của tôi"},
    "teach_name": {"en": "Name of the LoRA", "vi": "Tên của LoRA"},
    "teach_name_info": {"en": "The file will be called so.", "vi": "Tệp sẽ mang tên này."},
    "teach_minutes": {"en": "Minutes", "vi": "Số phút"},
    "teach_minutes_info": {
        "en": "The longest that it may take; the number of steps follows from the speed of this machine.",
        "vi": "Thời gian lâu nhất; số bước được tính theo tốc độ của máy này.",
    },
    "teach_begin": {"en": "Train", "vi": "Huấn luyện"},
    "teach_waiting": {"en": "Reading the pictures …", "vi": "Đang đọc các ảnh …"},
    "teach_working": {
        "en": "Step {step} of {n}, {left} s left", "vi": "Bước {step} trên {n}, còn {left} giây"
    },
    "teach_measuring": {"en": "Step {step}, measuring the speed", "vi": "Bước {step}, đang đo tốc độ"},
    "teach_loss": {
        "en": "Loss on a picture that is held back: {before} at first, {best} at best.",
        "vi": "Hàm mất mát trên ảnh được giữ lại: lúc đầu {before}, tốt nhất {best}.",
    },
    "teach_done": {
        "en": "Learnt in {step} steps and {seconds} s. It is chosen above as your own LoRA.",
        "vi": "Đã học xong sau {step} bước và {seconds} giây. LoRA này đã được chọn ở trên.",
    },
    "teach_stopped": {
        "en": "Stopped after {step} steps. What was learnt so far is chosen above as your own LoRA.",
        "vi": "Đã dừng sau {step} bước. Những gì đã học được chọn ở trên làm LoRA của bạn.",
    },
    "teach_nothing": {
        "en": "Stopped before anything was learnt.", "vi": "Đã dừng khi chưa học được gì."
    },
    "teach_failed": {
        "en": "Training broke off on our side; the pictures and settings are still here.",
        "vi": "Việc huấn luyện bị gián đoạn ở phía chúng tôi; ảnh và thiết lập vẫn còn ở đây.",
    },
    "teach_save": {"en": "Save {name}", "vi": "Lưu {name}"},
    "teach_learnt": {"en": "With it", "vi": "Có LoRA"},
    "teach_after": {"en": "After {step} steps", "vi": "Sau {step} bước"},
    "teach_public": {
        "en": "There is no training on a page that anybody may use: start the studio on your own machine.",
        "vi": "Trang mở cho mọi người không huấn luyện được: hãy chạy xưởng vẽ trên máy của bạn.",
    },
    "teach_model": {
        "en": "{model} can't be taught here: choose a model of the zoo that reads sentences.",
        "vi": "Không dạy được {model} ở đây: hãy chọn một mô hình có sẵn đọc được câu.",
    },
    "teach_count": {
        "en": "There are {given} pictures; {least} to {most} are needed.",
        "vi": "Có {given} ảnh; cần từ {least} đến {most} ảnh.",
    },
    "teach_picture": {
        "en": "{given} is no PNG or JPEG that can be read, with up to {most} pixels a side.",
        "vi": "{given} không phải PNG hoặc JPEG đọc được, mỗi cạnh tối đa {most} pixel.",
    },
    "teach_lines": {
        "en": "There are {given} captions for {count} pictures: write one line for all, or {count}.",
        "vi": "Có {given} chú thích cho {count} ảnh: hãy viết một dòng cho tất cả, hoặc {count} dòng.",
    },
    "teach_long": {
        "en": "A caption has more than {most} characters: shorten it.",
        "vi": "Có chú thích dài hơn {most} ký tự: hãy viết ngắn lại.",
    },
    "teach_time": {
        "en": "The time must be {least} to {most} minutes, not {given}.",
        "vi": "Thời gian phải từ {least} đến {most} phút, không phải {given}.",
    },
    # LoRAs in Create
    "loras": {"en": "LoRAs", "vi": "LoRA"},
    "loras_info": {
        "en": "Styles to draw in, up to three, each with its weight; the tab Styles shows what they do.",
        "vi": "Các phong cách để vẽ, tối đa ba, mỗi cái có trọng số riêng; thẻ Phong cách cho xem chúng làm gì.",
    },
    "restored_without_loras": {
        "en": "The settings of that picture are back, but its LoRAs ({loras}) aren't here: the picture will be another.",
        "vi": "Đã lấy lại thiết lập của bức tranh, nhưng ở đây không có LoRA của nó ({loras}): tranh vẽ ra sẽ khác.",
    },
    # Learn
    "learn": {"en": "Learn", "vi": "Học"},
    "learn_map": {"en": "The course, from noise to picture", "vi": "Khóa học, từ nhiễu đến tranh"},
    "learn_map_info": {
        "en": "Everything in this studio is built in the course, piece by piece, in notebooks that you run and change. The "
        "ring round a number fills as your exercises are solved.",
        "vi": "Mọi thứ ở đây đều được dựng lên trong khóa học, từng phần một, bằng các notebook để bạn chạy và sửa. Vòng quanh "
        "mỗi số đầy dần khi bạn giải xong bài tập.",
    },
    "learn_part_0": {"en": "Noise becomes a picture", "vi": "Nhiễu thành tranh"},
    "learn_part_1": {"en": "The picture follows words", "vi": "Tranh theo lời"},
    "learn_part_2": {"en": "Make it quick, make it yours", "vi": "Nhanh hơn, theo ý mình"},
    "learn_part_3": {"en": "In earnest", "vi": "Làm thật"},
    "learn_exercises": {"en": "{count} exercises", "vi": "{count} bài tập"},
    "learn_done": {
        "en": "{done} of {count} exercises solved, {points} of {most} points",
        "vi": "Đã giải {done} trên {count} bài tập, {points} trên {most} điểm",
    },
    "learn_reading": {"en": "to read and run", "vi": "để đọc và chạy"},
    "learn_cfg": {"en": "Guidance", "vi": "Dẫn hướng"},
    "learn_interval": {"en": "Guided times", "vi": "Khoảng dẫn hướng"},
    "learn_uses": {"en": "Here:", "vi": "Ở đây:"},
    "learn_controls": {"en": "What each control does, and where it is explained", "vi": "Mỗi nút làm gì, và bài nào giảng"},
    "learn_folder": {"en": "Folder with your scores", "vi": "Thư mục điểm của bạn"},
    "learn_folder_info": {
        "en": "Where minidiff grade NOTEBOOK --json FILE has written; folders inside it are looked into, too.",
        "vi": "Nơi lệnh minidiff grade NOTEBOOK --json TỆP đã ghi; các thư mục con cũng được xem.",
    },
    "learn_look": {"en": "Read my scores", "vi": "Đọc điểm của tôi"},
    "learn_found": {
        "en": "{done} exercises solved so far, {points} points.",
        "vi": "Đến nay đã giải {done} bài tập, được {points} điểm.",
    },
    "learn_none": {
        "en": "There are no scores in this folder yet: grade a notebook, and press Read my scores.",
        "vi": "Thư mục này chưa có điểm: hãy chấm một notebook rồi bấm Đọc điểm của tôi.",
    },
    "learn_no_folder": {
        "en": "There is no folder {folder}: give one that is on this machine.",
        "vi": "Không có thư mục {folder}: hãy ghi một thư mục có trên máy này.",
    },
    "learn_formulas": {"en": "Formulas", "vi": "Công thức"},
    "learn_formulas_info": {
        "en": "Each lesson ends with its formulas in one table: open a lesson above and go to its summary.",
        "vi": "Mỗi bài kết thúc bằng bảng công thức: mở một bài ở trên và xem phần tóm tắt.",
    },
    "negative_info": {
        "en": "Guidance pushes the picture away from these words.",
        "vi": "Dẫn hướng đẩy bức tranh ra xa những lời này.",
    },
    "prompt_info": {"en": "The words that the network listens to.", "vi": "Những lời mà mạng lắng nghe."},
    # Compare
    "compare": {"en": "Compare", "vi": "So sánh"},
    "compare_draw": {"en": "Draw the grid", "vi": "Vẽ bảng"},
    "compare_load": {"en": "Load a grid", "vi": "Nạp một bảng"},
    "kind": {"en": "What to compare", "vi": "So sánh điều gì"},
    "kind_info": {
        "en": "One thing changes, all else stays. Each row keeps its seed.",
        "vi": "Chỉ một điều thay đổi, còn lại giữ nguyên. Mỗi hàng giữ một seed.",
    },
    "kind_samplers": {"en": "Samplers and steps", "vi": "Bộ lấy mẫu và số bước"},
    "kind_guidance": {"en": "Guidance", "vi": "Mức dẫn hướng"},
    "kind_prompts": {"en": "One word", "vi": "Một từ"},
    "kind_models": {"en": "Models", "vi": "Mô hình"},
    "kind_seeds": {"en": "Seeds", "vi": "Seed"},
    "compare_samplers_info": {
        "en": "A sampler is the way from noise to picture; here each makes a row. Can fewer steps do?",
        "vi": "Bộ lấy mẫu là cách đi từ nhiễu đến tranh; mỗi cách là một hàng. Liệu ít bước hơn có đủ?",
    },
    "compare_guidance_info": {
        "en": "From not listening to the words to shouting them. Where does the picture follow, and where does it glare?",
        "vi": "Từ chỗ ít nghe lời đến chỗ bám lời quá mức. Ở đâu tranh theo lời, ở đâu màu bị gắt?",
    },
    "compare_prompts_info": {
        "en": "The same noise under sentences that differ in a word: what differs between the pictures comes from the word.",
        "vi": "Cùng một lớp nhiễu với những câu khác nhau một từ: chỗ khác nhau giữa các tranh là do từ đó.",
    },
    "compare_models_info": {
        "en": "The same sentence and seed, each model drawing in its own manner.",
        "vi": "Cùng một câu và một seed, mỗi mô hình vẽ theo cách riêng của nó.",
    },
    "compare_seeds_info": {
        "en": "One sentence, many beginnings. The seed decides all that the words left open.",
        "vi": "Một câu, nhiều điểm bắt đầu. Seed quyết định mọi điều mà lời chưa nói.",
    },
    "samplers": {"en": "Samplers", "vi": "Các bộ lấy mẫu"},
    "samplers_info": {"en": "One row each.", "vi": "Mỗi bộ một hàng."},
    "step_counts": {"en": "Numbers of steps", "vi": "Các số bước"},
    "scales": {"en": "Guidance scales", "vi": "Các mức dẫn hướng"},
    "numbers_info": {"en": "With commas between them; one column each.", "vi": "Cách nhau bằng dấu phẩy; mỗi số một cột."},
    "models": {"en": "Models", "vi": "Các mô hình"},
    "models_info": {"en": "One column each.", "vi": "Mỗi mô hình một cột."},
    "rows": {"en": "Number of seeds", "vi": "Số lượng seed"},
    "rows_info": {"en": "The seed given here and those after it.", "vi": "Seed đã chọn và các seed tiếp theo."},
    "compare_prompt_hint": {
        "en": "For One word, give the alternatives in braces: a {{red|blue|green}} star",
        "vi": "Với Một từ, ghi các lựa chọn trong ngoặc nhọn: một ngôi sao {{đỏ|vàng|tím}}",
    },
    "compare_idle": {
        "en": "Choose what to compare and press Draw the grid. The pictures appear here as they are finished; under each "
        "stands what it took, and whether a separate network, the judge, finds in it what the sentence says.",
        "vi": "Hãy chọn điều muốn so sánh rồi bấm Vẽ bảng. Các tranh hiện ra ở đây ngay khi vẽ xong; dưới mỗi tranh ghi nó tốn "
        "bao nhiêu, và một mạng riêng, giám khảo, có thấy trong tranh đúng điều câu nói hay không.",
    },
    "compare_working": {
        "en": "Picture {cell} of {cells}, step {index} of {n}", "vi": "Tranh {cell} trên {cells}, bước {index} trên {n}"
    },
    "compare_done": {"en": "{count} pictures in {seconds} s.", "vi": "{count} tranh trong {seconds} giây."},
    "compare_stopped": {"en": "Stopped after {count} pictures.", "vi": "Đã dừng sau {count} tranh."},
    "compare_too_long": {
        "en": "Stopped after {seconds} seconds, the most that a grid may take: ask for fewer pictures or steps.",
        "vi": "Đã dừng sau {seconds} giây, lâu nhất cho một bảng: hãy giảm số tranh hoặc số bước.",
    },
    "grid_text": {"en": "{value}", "vi": "{value}"},
    "grid_steps": {"en": "{value} steps", "vi": "{value} bước"},
    "grid_scale": {"en": "Guidance {value}", "vi": "Dẫn hướng {value}"},
    "grid_seed": {"en": "Seed {value}", "vi": "Seed {value}"},
    "grid_one_sentence": {"en": "One sentence, {value} seeds", "vi": "Một câu, {value} seed"},
    "cell_cost": {"en": "{evaluations} evaluations · {ms} ms", "vi": "{evaluations} lần tính · {ms} ms"},
    "right": {"en": "right", "vi": "đúng"},
    "wrong": {"en": "wrong", "vi": "sai"},
    "judge_saw": {"en": "The judge sees: {saw}.", "vi": "Giám khảo thấy: {saw}."},
    "saw_nothing": {"en": "nothing", "vi": "không có gì"},
    "judge_note": {
        "en": "✓ and ✗ are the verdicts of a judge, a network that errs at times itself; point at one to read what it saw. "
        "With guidance each step is two evaluations of the network.",
        "vi": "✓ và ✗ là ý kiến của giám khảo, một mạng đôi khi cũng nhầm; trỏ vào để đọc nó thấy gì. Khi có dẫn hướng, mỗi "
        "bước là hai lần tính mạng.",
    },
    "grid_png": {"en": "Save the grid as PNG", "vi": "Lưu bảng thành PNG"},
    "grid_json": {"en": "Save as JSON", "vi": "Lưu thành JSON"},
    "grid_loaded": {
        "en": "The grid's settings are back: press Draw the grid, and the same pictures come.",
        "vi": "Đã lấy lại thiết lập của bảng: bấm Vẽ bảng để có lại đúng các tranh ấy.",
    },
    "grid_not_ours": {
        "en": "This file holds no grid that can be drawn here: choose a PNG or JSON that was saved from this tab.",
        "vi": "Tệp này không chứa bảng nào vẽ được ở đây: hãy chọn tệp PNG hoặc JSON đã lưu từ thẻ này.",
    },
    "grid_kind": {
        "en": "There is no such thing to compare: choose one of {allowed}.",
        "vi": "Không có kiểu so sánh đó: hãy chọn một trong {allowed}.",
    },
    "grid_rows": {
        "en": "The number of seeds must be a whole number from 1 to {most}.",
        "vi": "Số lượng seed phải là số nguyên từ 1 đến {most}.",
    },
    "grid_large": {
        "en": "That would be {given} pictures, and a grid has at most {most}: leave some out.",
        "vi": "Như vậy là {given} tranh, mà một bảng chỉ có tối đa {most}: hãy bớt đi.",
    },
    "grid_none": {
        "en": "There is nothing to compare yet: choose at least one of each.",
        "vi": "Chưa có gì để so sánh: hãy chọn mỗi loại ít nhất một.",
    },
    "grid_numbers": {
        "en": "{given} is no list of numbers: write them with commas between, such as {such}.",
        "vi": "{given} không phải danh sách số: hãy viết các số cách nhau bằng dấu phẩy, như {such}.",
    },
    "grid_names": {
        "en": "The list of names can't be read: choose them anew.",
        "vi": "Không đọc được danh sách tên: hãy chọn lại.",
    },
    "grid_braces": {
        "en": "Put the alternatives of one word in braces, with bars between them: a {{red|blue|green}} star.",
        "vi": "Hãy đặt các lựa chọn của một từ trong ngoặc nhọn, cách nhau bằng dấu gạch đứng: một ngôi sao {{đỏ|vàng|tím}}.",
    },
    # Edit
    "edit": {"en": "Edit", "vi": "Chỉnh sửa"},
    "edit_first": {"en": "The picture to start from", "vi": "Tranh ban đầu"},
    "edit_first_info": {
        "en": "Write what it shows, and have it drawn; or bring your own.",
        "vi": "Viết xem tranh có gì rồi bấm vẽ; hoặc đưa ảnh của bạn vào.",
    },
    "edit_draw_first": {"en": "Draw it", "vi": "Vẽ tranh này"},
    "edit_upload": {"en": "Choose a picture", "vi": "Chọn ảnh"},
    "edit_from_create": {"en": "The last of Create", "vi": "Lấy từ thẻ Vẽ tranh"},
    "edit_no_start": {
        "en": "No picture yet. Press Draw it, choose a PNG or JPEG of your own, or take the last one of Create. What you "
        "choose is made small in your browser; nothing is kept here.",
        "vi": "Chưa có tranh. Hãy bấm Vẽ tranh này, chọn ảnh PNG hoặc JPEG của bạn, hoặc lấy tranh vừa vẽ ở thẻ Vẽ tranh. Ảnh "
        "bạn chọn được thu nhỏ ngay trong trình duyệt; ở đây không giữ lại gì.",
    },
    "edit_start": {"en": "Start: {width} × {height} pixels", "vi": "Tranh ban đầu: {width} × {height} pixel"},
    "edit_fitted": {
        "en": "Your picture was cropped to a square and resized to {width} × {height} pixels, the size this model works on.",
        "vi": "Ảnh của bạn đã được cắt thành hình vuông và đổi cỡ thành {width} × {height} pixel, kích thước mô hình này dùng.",
    },
    "edit_shrunk": {
        "en": "The result was resized to {width} × {height} pixels, so that it can be edited on.",
        "vi": "Kết quả đã được thu nhỏ còn {width} × {height} pixel để chỉnh sửa tiếp.",
    },
    "edit_taken": {"en": "This is the picture to start from now.", "vi": "Từ giờ đây là tranh ban đầu."},
    "edit_way": {"en": "What to do with it", "vi": "Làm gì với nó"},
    "edit_way_info": {"en": "Six ways to make a picture of a picture.", "vi": "Sáu cách làm ra tranh từ một bức tranh."},
    "edit_way_anew": {"en": "Draw anew", "vi": "Vẽ lại"},
    "edit_way_part": {"en": "A part", "vi": "Một phần"},
    "edit_way_beyond": {"en": "Beyond the edges", "vi": "Ra ngoài khung"},
    "edit_way_words": {"en": "Other words", "vi": "Đổi lời"},
    "edit_way_larger": {"en": "Larger", "vi": "Phóng to"},
    "edit_way_style": {"en": "Another style", "vi": "Đổi phong cách"},
    "edit_anew_info": {
        "en": "The picture is covered with noise, part of the way, and drawn anew from there: layout stays, the rest follows "
        "your words (img2img).",
        "vi": "Tranh được phủ nhiễu một phần rồi vẽ lại từ đó: bố cục ở lại, phần còn lại theo lời bạn (img2img).",
    },
    "edit_part_info": {
        "en": "Paint over what should change; it is drawn anew to fit what is round it. Outside no pixel changes "
        "(inpainting).",
        "vi": "Tô lên chỗ cần thay đổi; chỗ đó được vẽ lại cho hợp với xung quanh. Bên ngoài, không pixel nào thay đổi (tô bù "
        "vùng ảnh).",
    },
    "edit_beyond_info": {
        "en": "The picture goes on where it ended; what was there stays as it is (outpainting).",
        "vi": "Bức tranh được vẽ tiếp từ chỗ nó kết thúc; phần đã có giữ nguyên (vẽ mở rộng).",
    },
    "edit_words_info": {
        "en": "A word changes, and the picture only where that word matters: the new one looks where the old one looked "
        "(prompt-to-prompt).",
        "vi": "Đổi một từ, và tranh chỉ đổi ở nơi từ đó có ý nghĩa: tranh mới nhìn vào nơi tranh cũ đã nhìn "
        "(prompt-to-prompt).",
    },
    "edit_larger_info": {
        "en": "A network trained on small and large versions of drawings adds the sharpness that enlarging alone can't "
        "(super-resolution).",
        "vi": "Một mạng đã học từ các cặp tranh nhỏ và lớn thêm vào độ nét mà chỉ phóng to thì không có (siêu phân giải).",
    },
    "edit_style_info": {
        "en": "A small file changes the decoder, the part that turns the model's numbers into colours. Nothing is drawn anew, "
        "so nothing moves (style transfer by LoRA).",
        "vi": "Một tệp nhỏ thay đổi bộ giải mã, phần biến các con số của mô hình thành màu. Không có gì được vẽ lại nên không "
        "gì xê dịch (chuyển phong cách bằng LoRA).",
    },
    "edit_prompt": {"en": "What it should show then", "vi": "Tranh mới cần có gì"},
    "edit_prompt_info": {
        "en": "All of it, not only what changes.", "vi": "Viết đầy đủ, không chỉ phần thay đổi."
    },
    "edit_strength": {"en": "Strength", "vi": "Độ mạnh"},
    "edit_strength_info": {
        "en": "How much of the old picture is forgotten: 0 nothing, 1 all.",
        "vi": "Quên bao nhiêu của tranh cũ: 0 là không quên, 1 là quên hết.",
    },
    "edit_feather": {"en": "Soft edge (pixels)", "vi": "Viền mềm (pixel)"},
    "edit_feather_info": {
        "en": "How far new fades into old, inside the new part.", "vi": "Phần mới hòa dần vào phần cũ trong khoảng bao rộng."
    },
    "edit_sides": {"en": "Sides", "vi": "Các cạnh"},
    "edit_sides_info": {"en": "Where it goes on.", "vi": "Vẽ tiếp ở phía nào."},
    "edit_left": {"en": "left", "vi": "trái"},
    "edit_top": {"en": "top", "vi": "trên"},
    "edit_right": {"en": "right", "vi": "phải"},
    "edit_bottom": {"en": "bottom", "vi": "dưới"},
    "edit_pixels": {"en": "Pixels on each side", "vi": "Số pixel mỗi cạnh"},
    "edit_pixels_info": {
        "en": "The model sees the whole at its own size: more is coarser.",
        "vi": "Mô hình nhìn toàn bộ ở kích thước của nó: thêm càng nhiều thì càng thô.",
    },
    "edit_weights": {"en": "Words to strengthen", "vi": "Từ cần nhấn mạnh"},
    "edit_weights_info": {
        "en": "Such as red=2, house=0.5; 1 changes nothing. May stay empty.",
        "vi": "Chẳng hạn đỏ=2, nhà=0.5; 1 là giữ nguyên. Có thể để trống.",
    },
    "edit_factor": {"en": "Times as large", "vi": "To gấp"},
    "edit_factor_info": {"en": "Each side, by this much.", "vi": "Mỗi cạnh dài gấp bấy nhiêu lần."},
    "edit_style": {"en": "Style", "vi": "Phong cách"},
    "edit_style_choice_info": {"en": "Each is a LoRA of 0.3 MB.", "vi": "Mỗi phong cách là một LoRA 0,3 MB."},
    "edit_style_watercolour": {"en": "Watercolour", "vi": "Màu nước"},
    "edit_style_pixel-art": {"en": "Pixel art", "vi": "Tranh điểm ảnh"},
    "edit_style_woodcut": {"en": "Woodcut", "vi": "Tranh khắc gỗ"},
    "edit_style_outline": {"en": "Outline", "vi": "Nét viền"},
    "edit_style_neon": {"en": "Neon", "vi": "Đèn neon"},
    "edit_style_weight": {"en": "Weight of the style", "vi": "Trọng số của phong cách"},
    "edit_style_weight_info": {
        "en": "0 is none, 1 as it was trained; below 0 is the opposite.",
        "vi": "0 là không có, 1 là như khi huấn luyện; dưới 0 là ngược lại.",
    },
    "edit_go": {"en": "Edit", "vi": "Chỉnh sửa"},
    "edit_again": {"en": "Go on from the result", "vi": "Sửa tiếp từ kết quả"},
    "edit_seed_info": {"en": "Another seed, another attempt.", "vi": "Seed khác là một lần thử khác."},
    "edit_idle": {
        "en": "The result appears here: beside the picture it came from, with what changed.",
        "vi": "Kết quả hiện ra ở đây, bên cạnh tranh ban đầu, cùng với những chỗ đã thay đổi.",
    },
    "edit_done": {"en": "Done in {seconds} s.", "vi": "Xong sau {seconds} giây."},
    "edit_working": {"en": "Step {index} of {n}", "vi": "Bước {index} trên {n}"},
    "edit_before": {"en": "Before", "vi": "Trước"},
    "edit_mask": {"en": "Mask: white is drawn anew", "vi": "Mặt nạ: chỗ trắng được vẽ lại"},
    "edit_after": {"en": "After", "vi": "Sau"},
    "edit_difference": {
        "en": "Difference, times {gain}: black is unchanged", "vi": "Chỗ khác nhau, nhân {gain}: màu đen là không đổi"
    },
    "edit_slide": {"en": "Share that shows the picture before", "vi": "Phần cho thấy tranh trước"},
    "edit_sizes": {
        "en": "Left of the line: before, {width} × {height} pixels. Right: after, {wide} × {high}.",
        "vi": "Bên trái vạch: trước, {width} × {height} pixel. Bên phải: sau, {wide} × {high}.",
    },
    "edit_kept": {
        "en": "Of the {count} pixels outside of the mask, {changed} have changed.",
        "vi": "Trong {count} pixel ngoài mặt nạ, có {changed} pixel thay đổi.",
    },
    "edit_changed": {
        "en": "On average a colour differs by {mean} of 255.", "vi": "Trung bình mỗi màu khác đi {mean} trên 255."
    },
    # painting
    "edit_paint_hint": {
        "en": "Paint with a finger, a pen or the mouse; without one, give a rectangle.",
        "vi": "Tô bằng ngón tay, bút hoặc chuột; nếu không có, hãy cho một hình chữ nhật.",
    },
    "edit_brush": {"en": "Brush (pixels)", "vi": "Cỡ cọ (pixel)"},
    "edit_paint": {"en": "Paint", "vi": "Tô"},
    "edit_erase": {"en": "Erase", "vi": "Tẩy"},
    "edit_clear": {"en": "Clear", "vi": "Xóa hết"},
    "edit_invert": {"en": "Invert", "vi": "Đảo ngược"},
    "edit_box": {"en": "Rectangle, in pixels", "vi": "Hình chữ nhật, tính bằng pixel"},
    "edit_box_x": {"en": "from left", "vi": "từ trái"},
    "edit_box_y": {"en": "from top", "vi": "từ trên"},
    "edit_box_width": {"en": "width", "vi": "rộng"},
    "edit_box_height": {"en": "height", "vi": "cao"},
    "edit_box_add": {"en": "Add it", "vi": "Thêm vào"},
    "edit_painted": {"en": "{share} % of the picture is marked.", "vi": "Đã đánh dấu {share} % bức tranh."},
    # what is refused
    "edit_no_picture": {
        "en": "There is no picture yet: draw one, or choose one, to start from.",
        "vi": "Chưa có tranh ban đầu: hãy vẽ hoặc chọn một bức.",
    },
    "edit_nothing_drawn": {
        "en": "There is no picture in Create yet: draw one there first.",
        "vi": "Ở thẻ Vẽ tranh chưa có bức nào: hãy vẽ một bức ở đó trước.",
    },
    "edit_no_result": {
        "en": "There is no result yet to go on from: edit the picture first.",
        "vi": "Chưa có kết quả nào để sửa tiếp: hãy chỉnh sửa tranh trước.",
    },
    "edit_not_picture": {
        "en": "This is not a picture that can be read: choose a PNG or JPEG.",
        "vi": "Đây không phải ảnh đọc được: hãy chọn tệp PNG hoặc JPEG.",
    },
    "edit_picture_large": {
        "en": "This picture is too large: choose one of at most {megabytes} MB and {megapixels} million pixels.",
        "vi": "Ảnh này quá lớn: hãy chọn ảnh không quá {megabytes} MB và {megapixels} triệu pixel.",
    },
    "edit_picture_small": {
        "en": "This picture is too small: each side must have at least {least} pixels.",
        "vi": "Ảnh này quá nhỏ: mỗi cạnh phải có ít nhất {least} pixel.",
    },
    "edit_mask_empty": {
        "en": "Nothing is marked yet: paint over what should change, or add a rectangle.",
        "vi": "Chưa đánh dấu chỗ nào: hãy tô lên chỗ cần thay đổi, hoặc thêm một hình chữ nhật.",
    },
    "edit_mask_full": {
        "en": "Everything is marked, so nothing would be left: erase a part, or choose Draw anew with strength 1.",
        "vi": "Toàn bộ tranh đã được đánh dấu nên sẽ không còn gì: hãy tẩy bớt, hoặc chọn Vẽ lại với độ mạnh 1.",
    },
    "edit_unknown_way": {
        "en": "There is no such way to edit: choose one of {allowed}.",
        "vi": "Không có cách chỉnh sửa đó: hãy chọn một trong {allowed}.",
    },
    "edit_no_sides": {
        "en": "No side is chosen: choose at least one where the picture should go on.",
        "vi": "Chưa chọn cạnh nào: hãy chọn ít nhất một phía để vẽ tiếp.",
    },
    "edit_words_wrong": {
        "en": "{given} can't be read: write words and numbers, such as {such}.",
        "vi": "Không đọc được {given}: hãy viết từ kèm số, như {such}.",
    },
    "edit_style_unknown": {
        "en": "There is no style {given} for {model}: choose one of {allowed}.",
        "vi": "Không có phong cách {given} cho {model}: hãy chọn một trong {allowed}.",
    },
    "edit_style_none": {
        "en": "There are no styles for {model}: choose another model.",
        "vi": "Không có phong cách nào cho {model}: hãy chọn mô hình khác.",
    },
    "edit_style_range": {
        "en": "The weight of the style must be a number from {least} to {most}, not {given}.",
        "vi": "Trọng số của phong cách phải là số từ {least} đến {most}, không phải {given}.",
    },
}

IN_SCRIPTS = (  # labels that the page's scripts fill themselves
    "history_item", "inside_now", "inside_begin", "inside_end", "inside_chosen", "inside_difference", "inside_channel",
    "inside_mean", "edit_painted",
)  # fmt: skip

SHORT = {"guidance": "learn_cfg", "start": "learn_interval"}  # what a control is called where there is little room

SAMPLER_LABELS = {
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "euler": "Euler",
    "euler_a": "Euler A",
    "heun": "Heun",
}

STYLE_NAMES = {  # of the zoo's LoRAs, under a picture; elsewhere they are called by their files' names
    "outline": {"en": "outline", "vi": "nét viền"},
    "watercolour": {"en": "watercolour", "vi": "màu nước"},
    "pixel-art": {"en": "pixel art", "vi": "điểm ảnh"},
    "woodcut": {"en": "woodcut", "vi": "khắc gỗ"},
    "neon": {"en": "neon", "vi": "đèn neon"},
    "outline-dit": {"en": "outline, by the network", "vi": "nét viền, do mạng vẽ"},
    "neon-dit": {"en": "neon, by the network", "vi": "đèn neon, do mạng vẽ"},
    "garments-unet": {"en": "garments", "vi": "quần áo"},
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

VARIANTS = {  # a prompt whose one word changes, for Compare
    "en": "a big {red|green|purple} star left of a small blue house",
    "vi": "một {ngôi sao|trái tim|con cá} đỏ phía trên một ngôi nhà xanh dương",
}

EDITS = {  # for Edit: what the first picture shows, and then what an edited one could show, by the way of editing
    "first": {"en": "a big red house left of a small green tree", "vi": "một ngôi nhà đỏ lớn bên trái một cái cây xanh lá nhỏ"},
    "anew": {
        "en": "a big red house left of a small green tree at night",
        "vi": "một ngôi nhà đỏ lớn bên trái một cái cây xanh lá nhỏ vào ban đêm",
    },
    "part": {
        "en": "a big red house left of a big yellow star",
        "vi": "một ngôi nhà đỏ lớn bên trái một ngôi sao vàng lớn",
    },
    "beyond": {"en": "a big red house and two green trees", "vi": "một ngôi nhà đỏ lớn và hai cái cây xanh lá"},
    "words": {
        "en": "a big blue house left of a small green tree",
        "vi": "một ngôi nhà xanh dương lớn bên trái một cái cây xanh lá nhỏ",
    },
}


def examples(model: str) -> list[str]:
    """Prompts to try with a model."""
    return EXAMPLES_OF.get(model, EXAMPLES)


def example_in(prompt: str | None, lang: str) -> str | None:
    """The prompt; in place of an example, the one beside it in `lang`."""
    pairs = [texts[k : k + 2] for texts in (EXAMPLES, *EXAMPLES_OF.values()) for k in range(0, len(texts), 2)]
    pairs += [list(texts.values()) for texts in (VARIANTS, *EDITS.values())]
    found = next((pair for pair in pairs if prompt in pair), None)
    return found[lang == "vi"] if found else prompt


def label(key: str, lang: str, **values: object) -> str:
    """The words `key` in `lang` ("en" or "vi"), with their blanks filled."""
    return LABELS[key][lang].format(**values)
