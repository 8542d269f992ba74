"""Exercise 15.1, filter_images: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="12"
# ## What may stay in the data set
#
# A record says what is known of one collected image: its `name`, `width` and `height` in pixels, the `mode` that PIL opened it
# in, its `caption`, and the `digest` of the file's bytes. Go through the records in order. Each is either kept, or refused for
# the **first** of these reasons that holds:
#
# 1. `"too small"`: its shorter side is below `min_side`;
# 2. `"not colour"`: its mode is `"1"`, `"L"`, `"LA"`, `"I"`, `"I;16"` or `"F"`;
# 3. `"too long or wide"`: its longer side over its shorter side is above `max_aspect`;
# 4. `"short caption"`: without white space at both ends, its caption has fewer than `min_characters` characters;
# 5. `"duplicate"`: a record that was **kept** before has the same digest.
#
# The first two lines are given. Return the names of what was kept, and how many were refused for each reason; a reason that
# nothing fell to is not in the table. The cell below collects 36 drawn garments with planted faults. The last cell shows them
# again, those that your filter refuses faded.
# %% [markdown] lang="vi" of="a91ce074"
# ## Ảnh nào được ở lại trong tập dữ liệu
#
# Một bản ghi cho biết những gì đã rõ về một ảnh thu thập được: tên `name`, `width` và `height` tính bằng điểm ảnh, `mode` (kiểu
# màu) mà PIL mở ra, câu mô tả `caption`, và `digest`, mã băm của các byte trong tệp. Hãy đi qua các bản ghi theo thứ tự. Mỗi
# bản ghi hoặc được giữ, hoặc bị loại vì lý do **đầu tiên** đúng trong các lý do sau:
#
# 1. `"too small"`: cạnh ngắn nhỏ hơn `min_side`;
# 2. `"not colour"`: mode là `"1"`, `"L"`, `"LA"`, `"I"`, `"I;16"` hoặc `"F"`;
# 3. `"too long or wide"`: cạnh dài chia cho cạnh ngắn lớn hơn `max_aspect`;
# 4. `"short caption"`: bỏ khoảng trắng ở hai đầu, câu mô tả có ít hơn `min_characters` ký tự;
# 5. `"duplicate"`: một bản ghi đã được **giữ** trước đó có cùng digest.
#
# Hai dòng đầu đã có sẵn. Hãy trả về tên của những ảnh được giữ, và số ảnh bị loại vì mỗi lý do; lý do nào không loại ảnh nào
# thì không có trong bảng. Ô dưới đây thu thập 36 bức vẽ quần áo có cài sẵn lỗi. Ô cuối cùng cho xem lại chúng, những bức bị bộ
# lọc của bạn loại thì mờ đi.

# %% role="shown"
def collected(count: int) -> tuple[list[dict[str, Any]], list[Image.Image]]:
    """Drawn garments with planted faults: a record and an image for each file that
    can be opened."""
    records, images = [], []
    for plan in plans(count, size=256, faults=0.6, seed=8):
        entry = make(plan)
        try:
            image = Image.open(io.BytesIO(entry.content or b""))
            mode, colour = image.mode, image.convert("RGB")
        except OSError:                             # damaged, or no image at all
            continue
        records.append({
            "name": f"{plan.number:05d}{entry.suffix}", "mode": mode,
            "width": image.width, "height": image.height,
            "caption": entry.captions["caption"] if entry.told else "",
            "digest": sha256(entry.content or b"").hexdigest(),
        })
        images.append(colour)
    return records, images


records, images = collected(36)
print(len(records), "files can be opened. The first:", *records[0].items(), sep="\n")

# %% [markdown] lang="en" role="hints"
# Which is the shorter side of a picture that is 300 wide and 200 high, and of one that is 200 wide and 300 high? `sorted` puts
# two numbers in order.
# ---
# Find the reason first, then count it. A chain of `if` and `elif` in the order of the list gives each record one reason at
# most.
# ---
# `short, long = sorted((record["width"], record["height"]))`. Only what is kept goes into `seen`; a refused record is counted
# by `counts[reason] = counts.get(reason, 0) + 1`.
# %% [markdown] lang="vi" of="6044c588"
# Cạnh ngắn của bức ảnh rộng 300 cao 200 là cạnh nào, còn của bức rộng 200 cao 300? `sorted` xếp hai số theo thứ tự.
# ---
# Tìm lý do trước, rồi mới đếm. Một chuỗi `if` và `elif` theo thứ tự của danh sách cho mỗi bản ghi nhiều nhất một lý do.
# ---
# `short, long = sorted((record["width"], record["height"]))`. Chỉ những gì được giữ mới đưa vào `seen`; bản ghi bị loại được
# đếm bằng `counts[reason] = counts.get(reason, 0) + 1`.

# %% [markdown] lang="en" role="stub" given="2"
# records: dicts with name, width, height, mode, caption and digest. Returns the
# names of those that are kept, in order, and a dict: reason -> number refused.
# ---
# 1. for each record: its shorter and its longer side
# 2. the first reason that holds, if any
# 3. keep its name and note its digest, or count the reason
# 4. return the names and the counts
# %% [markdown] lang="vi" of="040ab1ff"
# records: các dict có name, width, height, mode, caption và digest. Trả về tên của
# những bản ghi được giữ, đúng thứ tự, và một dict: lý do -> số bản ghi bị loại.
# ---
# 1. với mỗi bản ghi: cạnh ngắn và cạnh dài
# 2. lý do đầu tiên đúng, nếu có
# 3. giữ tên và nhớ digest, hoặc đếm lý do
# 4. trả về các tên và bảng đếm

# %% role="solution"
def filter_images(
    records: list[dict[str, Any]], min_side: int, min_characters: int, max_aspect: float
) -> tuple[list[str], dict[str, int]]:
    grey = ("1", "L", "LA", "I", "I;16", "F")
    kept, counts, seen = [], {}, set()
    for record in records:
        short, long = sorted((record["width"], record["height"]))
        holds = {
            "too small": short < min_side,
            "not colour": record["mode"] in grey,
            "too long or wide": long / short > max_aspect,
            "short caption": len(record["caption"].strip()) < min_characters,
            "duplicate": record["digest"] in seen,
        }
        reason = next((name for name in holds if holds[name]), None)
        if reason is None:
            kept.append(record["name"])
            seen.add(record["digest"])
        else:
            counts[reason] = counts.get(reason, 0) + 1
    return kept, counts

# %% [markdown] lang="en" role="checks"
# - good images alone: all are kept, and the table is empty
# - the shorter side, of wide and of high images, just at the limit and below it
# - six modes without colour, and others that have it
# - long and wide images, just at the limit and above it
# - captions: white space around and inside them, just at the limit and below it
# - the same bytes three times, once with another caption; the same name with other bytes
# - a copy of something that was refused is no duplicate
# - several reasons hold at once: the first counts
# - a whole data set, with other limits
# - no records at all
# %% [markdown] lang="vi" of="77774cb3"
# - chỉ có ảnh tốt: giữ tất cả, và bảng trống
# - cạnh ngắn, của ảnh ngang và ảnh dọc, đúng bằng giới hạn và dưới giới hạn
# - sáu mode không có màu, và các mode khác có màu
# - ảnh dài và ảnh rộng, đúng bằng giới hạn và vượt giới hạn
# - câu mô tả: có khoảng trắng ở hai đầu và bên trong, đúng bằng giới hạn và dưới giới hạn
# - cùng các byte ba lần, một lần với câu mô tả khác; cùng tên nhưng khác byte
# - bản sao của ảnh đã bị loại thì không phải bản trùng
# - nhiều lý do cùng đúng: lý do đầu tiên được tính
# - cả một tập dữ liệu, với các giới hạn khác
# - không có bản ghi nào

# %% role="probes"
import random


def record(name, width=300, height=300, mode="RGB", caption="a long red dress", digest=None):
    return {"name": name, "width": width, "height": height, "mode": mode, "caption": caption, "digest": digest or f"of {name}"}


def answer(f, records, min_side=256, min_characters=10, max_aspect=2.0):
    kept, counts = f(records, min_side, min_characters, max_aspect)
    return {"kept": kept, "counts": counts}


def whole(count):
    """Records at random, some of them with one fault, some with several."""
    rng = random.Random(7)
    made = []
    for k in range(count):
        side = rng.choice((120, 199, 200, 240, 300))
        other = rng.choice((side, side, side + 30, int(1.5 * side), 2 * side))
        width, height = rng.sample((side, other), 2)
        mode = rng.choice(("RGB", "RGB", "RGB", "RGBA", "P", "CMYK", "L", "I;16"))
        caption = rng.choice(("a hat", "  a hat\n   ", "blue coat", "a long blue coat", "áo sơ mi màu trắng"))
        made.append(record(f"{k:03d}.jpg", width, height, mode, caption, f"{rng.randrange(3 * count // 4)}"))
    return made


GOOD = [record("b.png", 512, 512), record("a.jpg", 300, 450), record("c.webp", 400, 260)]
SIZES = [(256, 256), (255, 256), (256, 255), (300, 256), (400, 250), (250, 400), (256, 500), (64, 64)]
MODES = ["1", "RGB", "L", "RGBA", "LA", "P", "I", "CMYK", "LAB", "I;16", "YCbCr", "F", "HSV"]
SHAPES = [(600, 300), (300, 600), (601, 300), (300, 601), (880, 300), (300, 900), (580, 300)]
CAPTIONS = ["red shirts", "red skirt", "  red shirts  ", "  red skirt  ", "\n\tred coat\n\n", "", " " * 20, "áo sơ mi đỏ"]
CAPTIONS += ["a b c d e f", "áo đỏ dài", "red  skirt"]
COPIES = [record(name, digest=digest) for name, digest in zip("fbdcbae", "xyxzwxy", strict=True)]
COPIES[5]["caption"] = "red, long, with sleeves"
AGAIN = [record("small.jpg", 100, 100, digest="x"), record("large.jpg", digest="x"), record("copy.jpg", digest="x")]
MANY = [
    record("k.jpg", digest="x"), record("g.jpg", 90, 300, "L", "hat", "x"), record("h.jpg", 300, 900, "L", "hat"),
    record("i.jpg", 900, 300, caption="hat", digest="x"), record("j.jpg", caption=" hat", digest="x"),
    record("l.jpg", 900, 300, "L"),
]  # fmt: skip

probe(answer, records=GOOD)
probe(answer, records=[record(f"{k}", w, h) for k, (w, h) in enumerate(SIZES)])
probe(answer, records=[record(f"{k}", mode=mode) for k, mode in enumerate(MODES)])
probe(answer, records=[record(f"{k}", w, h) for k, (w, h) in enumerate(SHAPES)])
probe(answer, records=[record(f"{k}", caption=caption) for k, caption in enumerate(CAPTIONS)])
probe(answer, records=COPIES)
probe(answer, records=AGAIN)
probe(answer, records=MANY)
probe(answer, points=2, records=whole(80), min_side=200, min_characters=9, max_aspect=1.5)
probe(answer, records=[])

# %% [markdown] lang="en" role="mistake" name="width_alone"
# Only the width is compared with `min_side`. A picture that is 300 wide and 100 high is too small as well: take the shorter of
# both sides.
# %% [markdown] lang="vi" of="3a8e67f0"
# Chỉ chiều rộng được so với `min_side`. Ảnh rộng 300 cao 100 cũng quá nhỏ: hãy lấy cạnh ngắn hơn trong hai cạnh.
# %% role="wrong" name="width_alone"
patch("short < min_side", 'record["width"] < min_side')

# %% [markdown] lang="en" role="mistake" name="longer_side"
# The longer side is compared with `min_side`. What is cut out of the middle later is a square of the shorter side, so that side
# must be large enough.
# %% [markdown] lang="vi" of="e02c4d63"
# Cạnh dài bị so với `min_side`. Phần giữa được cắt ra sau này là hình vuông theo cạnh ngắn, nên chính cạnh ngắn phải đủ lớn.
# %% role="wrong" name="longer_side"
patch("short < min_side", "long < min_side")

# %% [markdown] lang="en" role="mistake" name="small_at_limit"
# An image whose shorter side is exactly `min_side` is refused. It is large enough: only what is *below* the limit is too small.
# %% [markdown] lang="vi" of="78c40c1f"
# Ảnh có cạnh ngắn đúng bằng `min_side` bị loại. Nó đủ lớn: chỉ ảnh *dưới* giới hạn mới là quá nhỏ.
# %% role="wrong" name="small_at_limit"
patch("short < min_side", "short <= min_side")

# %% [markdown] lang="en" role="mistake" name="l_alone"
# Only the mode `"L"` counts as grey. Images without colour also come with an alpha channel (`"LA"`), with one bit, with 16 or
# 32 bits: use the whole list.
# %% [markdown] lang="vi" of="5895e21a"
# Chỉ mode `"L"` bị coi là không màu. Ảnh không màu còn có thể kèm kênh alpha (`"LA"`), chỉ một bit, hay 16 hoặc 32 bit: hãy
# dùng cả danh sách.
# %% role="wrong" name="l_alone"
patch('record["mode"] in grey', 'record["mode"] == "L"')

# %% [markdown] lang="en" role="mistake" name="rgb_alone"
# Everything that isn't `"RGB"` is refused. Images with transparency, with a palette or with the four colours of print are in
# colour, too; they only have to be converted. Much good data would be lost.
# %% [markdown] lang="vi" of="aad8a060"
# Mọi thứ không phải `"RGB"` đều bị loại. Ảnh có độ trong suốt, có bảng màu hay có bốn màu in cũng là ảnh màu; chỉ cần chuyển
# đổi chúng. Làm như vậy mất nhiều dữ liệu tốt.
# %% role="wrong" name="rgb_alone"
patch('record["mode"] in grey', 'record["mode"] != "RGB"')

# %% [markdown] lang="en" role="mistake" name="palette_refused"
# Images with a palette are refused. `"P"` has a single channel, but its numbers stand for colours of a table: such an image can
# be as colourful as any.
# %% [markdown] lang="vi" of="f93a8172"
# Ảnh dùng bảng màu bị loại. `"P"` chỉ có một kênh, nhưng các số trong đó là chỉ số của màu trong một bảng: ảnh như thế có thể
# nhiều màu không kém ảnh nào.
# %% role="wrong" name="palette_refused"
patch('"I;16", "F")', '"I;16", "F", "P")')

# %% [markdown] lang="en" role="mistake" name="mode_begins"
# A mode counts as grey when it only *begins* like one of the list: `"LAB"` begins with an L, but it has colours. Compare whole
# names.
# %% [markdown] lang="vi" of="9d02cde1"
# Một mode bị coi là không màu chỉ vì *mở đầu* giống một mode trong danh sách: `"LAB"` bắt đầu bằng chữ L nhưng có màu. Hãy so
# cả tên.
# %% role="wrong" name="mode_begins"
patch('record["mode"] in grey', 'record["mode"].startswith(grey)')

# %% [markdown] lang="en" role="mistake" name="wide_alone"
# It is width over height that is compared with `max_aspect`, so a tall, narrow image passes. Divide the longer side by the
# shorter one.
# %% [markdown] lang="vi" of="226674c4"
# Bạn so chiều rộng chia chiều cao với `max_aspect`, nên ảnh cao và hẹp vẫn lọt qua. Hãy chia cạnh dài cho cạnh ngắn.
# %% role="wrong" name="wide_alone"
patch("long / short", 'record["width"] / record["height"]')

# %% [markdown] lang="en" role="mistake" name="aspect_at_limit"
# An image that is exactly `max_aspect` times as long as it is wide is refused. Only what is *above* the limit is too long.
# %% [markdown] lang="vi" of="0d35f8fb"
# Ảnh có tỉ lệ đúng bằng `max_aspect` bị loại. Chỉ ảnh *vượt* giới hạn mới là quá dài.
# %% role="wrong" name="aspect_at_limit"
patch("long / short > max_aspect", "long / short >= max_aspect")

# %% [markdown] lang="en" role="mistake" name="whole_aspect"
# `//` cuts the fraction: an image 1.9 or 2.9 times as long as wide counts as 1 or 2 times. Divide with `/`.
# %% [markdown] lang="vi" of="78d293ff"
# `//` cắt mất phần lẻ: ảnh dài gấp 1.9 hay 2.9 lần bị tính là 1 hay 2 lần. Hãy chia bằng `/`.
# %% role="wrong" name="whole_aspect"
patch("long / short", "long // short")

# %% [markdown] lang="en" role="mistake" name="not_stripped"
# White space at the ends of a caption counts as characters. A caption of twenty spaces says nothing: strip it before you
# measure.
# %% [markdown] lang="vi" of="0a36bbf7"
# Khoảng trắng ở hai đầu câu mô tả đang được tính là ký tự. Một câu mô tả gồm hai mươi dấu cách chẳng nói lên gì: hãy bỏ khoảng
# trắng hai đầu (`strip`) rồi mới đo.
# %% role="wrong" name="not_stripped"
patch('record["caption"].strip()', 'record["caption"]')

# %% [markdown] lang="en" role="mistake" name="words_counted"
# Words are counted where characters should be. "red shirts" has two words and ten characters.
# %% [markdown] lang="vi" of="17669d47"
# Bạn đang đếm từ chứ không phải ký tự. "red shirts" có hai từ và mười ký tự.
# %% role="wrong" name="words_counted"
patch('record["caption"].strip()', 'record["caption"].split()')

# %% [markdown] lang="en" role="mistake" name="caption_at_limit"
# A caption of exactly `min_characters` characters is refused. It is long enough: only *fewer* are too few.
# %% [markdown] lang="vi" of="2e9791a3"
# Câu mô tả có đúng `min_characters` ký tự bị loại. Nó đủ dài: chỉ khi *ít hơn* mới là quá ngắn.
# %% role="wrong" name="caption_at_limit"
patch(") < min_characters", ") <= min_characters")

# %% [markdown] lang="en" role="mistake" name="spaces_inside"
# All spaces were taken out of the caption, those between the words as well. `strip` takes them from both ends alone.
# %% [markdown] lang="vi" of="748bb3cc"
# Mọi dấu cách trong câu mô tả đều bị bỏ, cả những dấu giữa các từ. `strip` chỉ bỏ ở hai đầu.
# %% role="wrong" name="spaces_inside"
patch('record["caption"].strip()', '"".join(record["caption"].split())')

# %% [markdown] lang="en" role="mistake" name="spaces_merged"
# Several spaces between two words were counted as one. Only white space at both ends is left out: `strip` alone does that.
# %% [markdown] lang="vi" of="c9d0b919"
# Nhiều dấu cách liền nhau giữa hai từ bị tính là một. Chỉ bỏ khoảng trắng ở hai đầu: riêng `strip` đã làm việc đó.
# %% role="wrong" name="spaces_merged"
patch('record["caption"].strip()', '" ".join(record["caption"].split())')

# %% [markdown] lang="en" role="mistake" name="bytes_counted"
# Bytes are counted, not characters. A letter with an accent takes two or three bytes, so Vietnamese captions pass that are too
# short. Take the length of the text itself.
# %% [markdown] lang="vi" of="fc663e98"
# Bạn đang đếm byte chứ không phải ký tự. Một chữ cái có dấu chiếm hai hoặc ba byte, nên câu mô tả tiếng Việt quá ngắn vẫn lọt
# qua. Hãy lấy độ dài của chính văn bản.
# %% role="wrong" name="bytes_counted"
patch('record["caption"].strip()', 'record["caption"].strip().encode()')

# %% [markdown] lang="en" role="mistake" name="digest_of_refused"
# The digest of a *refused* record is remembered, too. If its copy is good, say with a longer caption, it is thrown away as a
# duplicate and nothing is left of the image. Note the digest only of what is kept.
# %% [markdown] lang="vi" of="3a51d767"
# Digest của bản ghi *bị loại* cũng được nhớ. Nếu bản sao của nó tốt, chẳng hạn có câu mô tả dài hơn, thì nó bị bỏ như bản trùng
# và ảnh ấy không còn gì. Chỉ nhớ digest của những gì được giữ.
# %% role="wrong" name="digest_of_refused"
patch("            seen.add(record[\"digest\"])\n        else:", "        else:")
patch("    return kept, counts", "        seen.add(record[\"digest\"])\n    return kept, counts")

# %% [markdown] lang="en" role="mistake" name="no_duplicates"
# No duplicate is found: the digests of what is kept are never noted, or never looked up.
# %% [markdown] lang="vi" of="e133c7bf"
# Không tìm ra bản trùng nào: digest của những ảnh được giữ chưa bao giờ được ghi lại, hoặc chưa bao giờ được tra.
# %% role="wrong" name="no_duplicates"
patch('            seen.add(record["digest"])\n', "")

# %% [markdown] lang="en" role="mistake" name="same_name"
# Duplicates are looked for by their names. A copy usually has another name, and two folders may hold two images of one name:
# what tells is the digest of the bytes.
# %% [markdown] lang="vi" of="00a05efd"
# Bản trùng bị tìm theo tên. Bản sao thường mang tên khác, còn hai thư mục có thể chứa hai ảnh khác nhau cùng tên: thứ cho biết
# là digest của các byte.
# %% role="wrong" name="same_name"
patch('record["digest"] in seen', 'record["name"] in seen')
patch('seen.add(record["digest"])', 'seen.add(record["name"])')

# %% [markdown] lang="en" role="mistake" name="all_copies"
# Every record whose digest comes more than once is refused, the first one as well, so nothing is left of that image. The first
# good one stays.
# %% [markdown] lang="vi" of="918ea45c"
# Mọi bản ghi có digest xuất hiện hơn một lần đều bị loại, cả bản đầu tiên, nên ảnh ấy không còn gì. Bản tốt đầu tiên phải ở
# lại.
# %% role="wrong" name="all_copies"
patch('record["digest"] in seen', '[one["digest"] for one in records].count(record["digest"]) > 1')

# %% [markdown] lang="en" role="mistake" name="every_reason"
# A record with two faults is counted twice, once for each, so the numbers add up to more images than there are. Only the first
# reason that holds counts.
# %% [markdown] lang="vi" of="4e8c5180"
# Bản ghi có hai lỗi bị đếm hai lần, mỗi lỗi một lần, nên tổng các con số lớn hơn số ảnh. Chỉ lý do đầu tiên đúng được tính.
# %% role="wrong" name="every_reason"
patch("            counts[reason] = counts.get(reason, 0) + 1",
      "            for name in holds:\n                if holds[name]:\n"
      "                    counts[name] = counts.get(name, 0) + 1")

# %% [markdown] lang="en" role="mistake" name="last_reason"
# Of several reasons the last one is counted: each `if` overwrites what the one before it found. Use `elif`, or stop at the
# first.
# %% [markdown] lang="vi" of="158070b3"
# Trong nhiều lý do, lý do cuối được tính: mỗi `if` ghi đè lên điều `if` trước đã tìm ra. Hãy dùng `elif`, hoặc dừng ở lý do đầu
# tiên.
# %% role="wrong" name="last_reason"
patch("for name in holds if", "for name in reversed(holds) if")

# %% [markdown] lang="en" role="mistake" name="zeros_counted"
# Reasons that nothing fell to stand in the table with 0. Leave them out: the table shows what the data suffers from.
# %% [markdown] lang="vi" of="d142ed19"
# Những lý do không loại ảnh nào vẫn có trong bảng với số 0. Hãy bỏ chúng: bảng cho thấy dữ liệu mắc những lỗi gì.
# %% role="wrong" name="zeros_counted"
patch("    for record in records:\n",
      '    reasons = ("too small", "not colour", "too long or wide", "short caption", "duplicate")\n'
      "    counts = dict.fromkeys(reasons, 0)\n    for record in records:\n")

# %% [markdown] lang="en" role="mistake" name="whole_records"
# The records came back, not their names: `record["name"]`.
# %% [markdown] lang="vi" of="adb28c33"
# Hàm trả về các bản ghi chứ không phải tên của chúng: `record["name"]`.
# %% role="wrong" name="whole_records"
patch('kept.append(record["name"])', "kept.append(record)")

# %% [markdown] lang="en" role="mistake" name="sorted_names"
# The names are in the order of the alphabet. Keep them in the order of the records.
# %% [markdown] lang="vi" of="8f143df4"
# Các tên bị xếp theo bảng chữ cái. Hãy giữ thứ tự của các bản ghi.
# %% role="wrong" name="sorted_names"
patch("return kept, counts", "return sorted(kept), counts")

# %% [markdown] lang="en" role="mistake" name="stops"
# It stops at the first record that is refused. Go on with the next one: `continue`, not `break` or `return`.
# %% [markdown] lang="vi" of="2b798f41"
# Hàm dừng ở bản ghi đầu tiên bị loại. Hãy đi tiếp với bản ghi sau: `continue`, không phải `break` hay `return`.
# %% role="wrong" name="stops"
patch("counts[reason] = counts.get(reason, 0) + 1", "counts[reason] = 1\n            break")

# %% role="library"
from collections import Counter

from minidiff.data.fashion.filters import ASPECT, CAPTION, DUPLICATE, GREY, SMALL

NAMES = {SMALL: "too small", GREY: "not colour", ASPECT: "too long or wide", CAPTION: "short caption", DUPLICATE: "duplicate"}


def filter_images(records, min_side, min_characters, max_aspect):
    """Reasons by the library's names, with early returns."""

    def reason(one, before):
        if min(one["width"], one["height"]) < min_side:
            return SMALL
        if one["mode"][0] in "1LIF" and one["mode"] != "LAB":
            return GREY
        if max(one["width"], one["height"]) > max_aspect * min(one["width"], one["height"]):
            return ASPECT
        if len(one["caption"].strip()) < min_characters:
            return CAPTION
        return DUPLICATE if one["digest"] in before else ""

    kept, found = {}, Counter()
    for number, one in enumerate(records):
        why = reason(one, {before["digest"] for before in kept.values()})
        if why:
            found[NAMES[why]] += 1
        else:
            kept[number] = one
    return [one["name"] for one in kept.values()], dict(found)

# %% role="payoff"
def draw(filter_images: Callable) -> Tensor:
    """Four sheets of nine files each; those that are refused are faded."""
    kept, counts = filter_images(records, 180, 10, 2.0)
    print(len(kept), "kept,", counts)
    tiles = np.full((36, 64, 64, 3), 255, np.uint8)
    for k, (record, image) in enumerate(zip(records, images, strict=True)):
        tiles[k] = np.asarray(image.resize((64, 64)))
        if record["name"] not in kept:
            tiles[k] = 210 + tiles[k] // 7
    sheets = tiles.reshape(4, 3, 3, 64, 64, 3).transpose(0, 1, 3, 2, 4, 5)
    return to_tensor(sheets.reshape(4, 192, 192, 3))                # (4, 3, 192, 192)


payoff(draw, filter_images)
