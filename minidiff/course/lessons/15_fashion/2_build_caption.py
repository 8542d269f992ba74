"""Exercise 15.2, build_caption: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## A caption that the model reads to its end
#
# CLIP's text tower in Stable Diffusion has room for 77 tokens, the begin and the end of the text included. What is longer is
# cut off without a word: nothing fails, and the model never learns from the end of the caption. So the caption is built from
# `parts`, short phrases with the most important first, joined by `", "`:
#
# - the first part always stays, however long it is (without any parts, the caption is empty);
# - each later part, in order, is added if the caption with it has at most `limit` tokens; otherwise it is left out, and the
#   parts after it, which may be shorter, still get their chance.
#
# `count(text)` says how many tokens a text has, begin and end included. Count the whole caption each time: commas are tokens,
# too, and a word may be cut otherwise behind another.
#
# The cell below shows what is lost when a long caption is simply handed over; the tokenizer here has room for 64. The last cell
# draws one garment from captions of three lengths.
# %% [markdown] lang="vi" of="70af7751"
# ## Một câu mô tả mà mô hình đọc đến hết
#
# Tháp văn bản của CLIP trong Stable Diffusion có chỗ cho 77 token, kể cả ký hiệu mở đầu và kết thúc. Phần dài hơn bị cắt mà
# không có lời báo nào: không có gì lỗi cả, và mô hình không bao giờ học từ phần cuối của câu mô tả. Vì vậy câu mô tả được ghép
# từ `parts`, những cụm từ ngắn, quan trọng nhất đứng trước, nối bằng `", "`:
#
# - cụm đầu tiên luôn ở lại, dù dài đến đâu (không có cụm nào thì câu mô tả rỗng);
# - mỗi cụm sau, theo thứ tự, được thêm vào nếu câu mô tả có nó chứa nhiều nhất `limit` token; nếu không thì bỏ cụm ấy, và các
#   cụm sau nữa, có thể ngắn hơn, vẫn được xét.
#
# `count(text)` cho biết một văn bản có bao nhiêu token, kể cả mở đầu và kết thúc. Mỗi lần hãy đếm cả câu mô tả: dấu phẩy cũng
# là token, và một từ đứng sau từ khác có thể bị cắt theo cách khác.
#
# Ô dưới đây cho thấy những gì mất đi khi đưa thẳng một câu mô tả dài; tokenizer ở đây có chỗ cho 64 token. Ô cuối cùng vẽ một
# món đồ từ các câu mô tả có ba độ dài.

# %% role="shown"
def token_count(text: str) -> int:
    """Tokens of a text as the model reads it, begin and end included."""
    ids, _ = pipe.tokenizer.encode([text], max_length=1000)
    return ids.shape[1]


phrases = [
    "a yellow jacket", "long sleeves", "stand-up collar",
    "photographed in a bright studio from the front, the light soft and even",
    "white background", "clean composition", "sharp focus", "fashion catalogue",
    "the fabric thick and warm, with a soft lining that reaches up to the collar",
    "high quality", "no logo",
]
everything = ", ".join(phrases)
print(token_count(everything), "tokens. Never read:", pipe.tokenizer.unread(everything))

# %% [markdown] lang="en" role="hints"
# Keep a list of the parts that are in. What do you have to count to know whether one more fits?
# ---
# Try: join the parts that are in and the new one, and count that text. What happens to the list if it is too long?
# ---
# Start with `parts[:1]`, go through `parts[1:]`, and replace the list by `[*kept, part]` only when
# `count(", ".join([*kept, part])) <= limit`. There is no `break`.
# %% [markdown] lang="vi" of="e14259f8"
# Hãy giữ một danh sách các cụm đã được chọn. Cần đếm cái gì để biết thêm một cụm nữa có vừa không?
# ---
# Thử nối các cụm đã chọn với cụm mới rồi đếm văn bản ấy. Nếu nó quá dài thì danh sách thế nào?
# ---
# Bắt đầu với `parts[:1]`, đi qua `parts[1:]`, và chỉ thay danh sách bằng `[*kept, part]` khi
# `count(", ".join([*kept, part])) <= limit`. Không có `break`.

# %% [markdown] lang="en" role="stub" given="1"
# parts: phrases, most important first; count(text): its number of tokens, begin
# and end included; limit: the most that the caption may have. Returns the caption.
# ---
# 1. go through the other parts, and keep each that still fits
# 2. return the caption
# %% [markdown] lang="vi" of="922e5540"
# parts: các cụm từ, quan trọng nhất đứng trước; count(text): số token của văn bản,
# kể cả mở đầu và kết thúc; limit: số token nhiều nhất. Trả về câu mô tả.
# ---
# 1. đi qua các cụm còn lại, giữ mỗi cụm còn vừa
# 2. trả về câu mô tả

# %% role="solution"
def build_caption(parts: list[str], count: Callable[[str], int], limit: int) -> str:
    kept = parts[:1]
    for part in parts[1:]:
        longer = [*kept, part]
        if count(", ".join(longer)) <= limit:
            kept = longer
    return ", ".join(kept)

# %% [markdown] lang="en" role="checks"
# - everything fits
# - exactly `limit` tokens, and one less
# - a long part is left out, shorter ones after it are not, even where one comes twice
# - a first part that is too long by itself
# - a single part, and none
# - a tokenizer that counts the whole otherwise than the pieces
# - CLIP's limit of 77 tokens, in Vietnamese
# - thirty parts, with many limits
# %% [markdown] lang="vi" of="7c11c11b"
# - mọi cụm đều vừa
# - đúng bằng `limit` token, và ít hơn một
# - một cụm dài bị bỏ, các cụm ngắn hơn sau nó thì không, kể cả cụm lặp lại
# - cụm đầu tiên tự nó đã quá dài
# - chỉ có một cụm, và không có cụm nào
# - một tokenizer đếm cả văn bản khác với đếm từng mảnh
# - giới hạn 77 token của CLIP, bằng tiếng Việt
# - ba mươi cụm, với nhiều giới hạn

# %% role="probes"
import random
import re


def words(text):
    """Words and commas, with a begin and an end."""
    return 2 + len(re.findall(r"\w+|[^\w\s]", text))


def pieces(text):
    """Pieces of at most three letters; a space belongs to the word behind it, as in byte-pair encoding."""
    return 2 + sum(-(-len(word) // 3) for word in re.findall(r" ?\w+|[^\w\s]", text))


def runs(text):
    """Five characters at a time, over the borders of words: no part has a number of its own."""
    return 2 + -(-len(text) // 5)


def caption(f, parts, limit):
    return f(parts, words, limit)


def several(f, parts, limits):
    return [f(list(parts), words, limit) for limit in limits]


def by_pieces(f, parts, limits):
    return [f(list(parts), count, limit) for count in (pieces, runs) for limit in limits]


def one_or_none(f, one):
    return [f(list(one), words, 10), f([], words, 10)]


def phrases(count):
    rng = random.Random(3)
    told = "long red dress sleeveless neck white dots soft light studio photo catalogue fabric detailed sharp".split()
    return [" ".join(rng.sample(told, rng.choice((1, 1, 2, 3, 4, 7)))) for _ in range(count)]


PARTS = ["a long red dress", "sleeveless", "round neck", "soft studio light", "high quality"]
UNEVEN = ["a blue coat", "worn by a man who walks through the rain in the evening", "knee-length"]
UNEVEN += ["a photo of the whole of it", "wool", "wool"]
VIETNAMESE = ["váy liền thân dài màu đỏ chấm bi trắng", "không tay", "cổ chữ V"]
VIETNAMESE += ["ảnh chụp studio với ánh sáng dịu từ hai phía", "chất vải rõ nét"]
VIETNAMESE += ["phông nền trắng", "bố cục gọn gàng", "chất lượng cao", "ảnh thời trang", "nhìn từ phía trước"]

probe(caption, parts=PARTS, limit=77)
probe(several, parts=PARTS, limits=[10, 9, 8, 7])
probe(caption, points=2, parts=UNEVEN, limit=13)
probe(several, parts=["a coat of heavy grey wool", "long", "new"], limits=[5, 9, 2])
probe(one_or_none, one=["a red hat"])
probe(by_pieces, parts=PARTS, limits=[15, 18, 21, 24, 27])
probe(by_pieces, parts=VIETNAMESE, limits=[77])
probe(several, points=2, parts=phrases(30), limits=[6, 12, 20, 33, 77])

# %% [markdown] lang="en" role="mistake" name="stops"
# It ends at the first part that doesn't fit. Shorter ones after it may still fit and say something: leave out that one part and
# go on.
# %% [markdown] lang="vi" of="c2b8b574"
# Hàm dừng ở cụm đầu tiên không vừa. Các cụm ngắn hơn phía sau có thể vẫn vừa và nói thêm được điều gì đó: chỉ bỏ cụm ấy rồi đi
# tiếp.
# %% role="wrong" name="stops"
patch("            kept = longer\n", "            kept = longer\n        else:\n            break\n")

# %% [markdown] lang="en" role="mistake" name="below_limit"
# A caption of exactly `limit` tokens is taken for too long. The model has room for that many: `<=`.
# %% [markdown] lang="vi" of="4b403173"
# Câu mô tả có đúng `limit` token bị coi là quá dài. Mô hình có chỗ cho chừng ấy: `<=`.
# %% role="wrong" name="below_limit"
patch("<= limit", "< limit")

# %% [markdown] lang="en" role="mistake" name="begin_and_end_again"
# Two tokens are set aside for the begin and the end of the text, but `count` has counted them already: two tokens of room are
# lost.
# %% [markdown] lang="vi" of="2ef86cf5"
# Hai token được chừa ra cho ký hiệu mở đầu và kết thúc, nhưng `count` đã đếm chúng rồi: mất đi hai token.
# %% role="wrong" name="begin_and_end_again"
patch("<= limit", "<= limit - 2")

# %% [markdown] lang="en" role="mistake" name="sum_of_parts"
# The numbers of the single parts are added up. Each of them counts a begin and an end of its own, and none counts the commas:
# join the parts first and count the whole.
# %% [markdown] lang="vi" of="bb742224"
# Số token của từng cụm bị cộng lại. Mỗi lần đếm như vậy tính cả mở đầu và kết thúc riêng, còn dấu phẩy thì không được tính: hãy
# nối các cụm trước rồi đếm cả văn bản.
# %% role="wrong" name="sum_of_parts"
patch('count(", ".join(longer))', "sum(map(count, longer))")

# %% [markdown] lang="en" role="mistake" name="added_up"
# The parts are counted one by one, each with its comma, and added up. A tokenizer may cut the whole text otherwise than its
# pieces, so the sum is only nearly right: count the whole caption each time.
# %% [markdown] lang="vi" of="391fb13b"
# Từng cụm được đếm riêng cùng dấu phẩy của nó rồi cộng lại. Tokenizer có thể cắt cả văn bản khác với cắt từng mảnh, nên tổng chỉ
# gần đúng: mỗi lần hãy đếm cả câu mô tả.
# %% role="wrong" name="added_up"
patch('count(", ".join(longer))', 'count(longer[0]) + sum(count(", " + one) - count("") for one in longer[1:])')

# %% [markdown] lang="en" role="mistake" name="no_part_twice"
# A part that is in the caption already is left out. Only the number of tokens decides; clean the list before, if repetitions
# bother you.
# %% [markdown] lang="vi" of="41c74fd4"
# Cụm đã có trong câu mô tả bị bỏ qua. Chỉ số token quyết định; nếu không muốn lặp thì hãy dọn danh sách từ trước.
# %% role="wrong" name="no_part_twice"
patch("in parts[1:]", "in dict.fromkeys(parts[1:])")

# %% [markdown] lang="en" role="mistake" name="commas_forgotten"
# The text that is counted has no commas, but the one that is returned does. Each comma is a token, so the end may be cut off
# after all: count what you return.
# %% [markdown] lang="vi" of="34df86a6"
# Văn bản được đếm không có dấu phẩy, còn văn bản được trả về thì có. Mỗi dấu phẩy là một token, nên phần cuối vẫn có thể bị
# cắt: hãy đếm đúng thứ bạn trả về.
# %% role="wrong" name="commas_forgotten"
patch('count(", ".join(longer))', 'count(" ".join(longer))')

# %% [markdown] lang="en" role="mistake" name="part_alone"
# Only the new part is counted, so every part that is short by itself gets in, and the caption grows without end. Count the
# caption with the part in it.
# %% [markdown] lang="vi" of="147d6d03"
# Chỉ cụm mới được đếm, nên cụm nào tự nó ngắn cũng được vào, và câu mô tả cứ dài mãi. Hãy đếm câu mô tả đã có cụm ấy.
# %% role="wrong" name="part_alone"
patch('count(", ".join(longer))', "count(part)")

# %% [markdown] lang="en" role="mistake" name="before_it_is_added"
# What is counted is the caption without the new part, so the last one always leads beyond the limit. Count with it.
# %% [markdown] lang="vi" of="2d353e91"
# Câu mô tả được đếm khi chưa có cụm mới, nên cụm cuối luôn làm nó vượt giới hạn. Hãy đếm khi đã có cụm ấy.
# %% role="wrong" name="before_it_is_added"
patch('count(", ".join(longer))', 'count(", ".join(kept))')

# %% [markdown] lang="en" role="mistake" name="characters"
# Characters are counted, not tokens. Use `count`.
# %% [markdown] lang="vi" of="74d41c77"
# Bạn đang đếm ký tự chứ không phải token. Hãy dùng `count`.
# %% role="wrong" name="characters"
patch('count(", ".join(longer))', 'len(", ".join(longer))')

# %% [markdown] lang="en" role="mistake" name="words"
# Words are counted, not tokens. A tokenizer cuts rare words and Vietnamese ones into several tokens, and it counts commas,
# begin and end. Use `count`.
# %% [markdown] lang="vi" of="58f3f7d6"
# Bạn đang đếm từ chứ không phải token. Tokenizer cắt những từ hiếm và từ tiếng Việt thành nhiều token, và tính cả dấu phẩy, mở
# đầu, kết thúc. Hãy dùng `count`.
# %% role="wrong" name="words"
patch('count(", ".join(longer))', 'len(", ".join(longer).split())')

# %% [markdown] lang="en" role="mistake" name="always_77"
# The limit is fixed at 77. That is CLIP's; other models have room for more or for less, and the caller says how much: `limit`.
# %% [markdown] lang="vi" of="a3bb45fb"
# Giới hạn bị cố định là 77. Đó là của CLIP; mô hình khác có chỗ nhiều hơn hoặc ít hơn, và nơi gọi hàm cho biết là bao nhiêu:
# `limit`.
# %% role="wrong" name="always_77"
patch("<= limit", "<= 77")

# %% [markdown] lang="en" role="mistake" name="first_tested"
# The first part is left out when it is too long. It says what the garment is, so it always stays; a caption that begins with
# "sleeveless" teaches nothing.
# %% [markdown] lang="vi" of="812f374b"
# Cụm đầu tiên bị bỏ khi nó quá dài. Nó cho biết đó là món đồ gì, nên luôn phải ở lại; một câu mô tả mở đầu bằng "sleeveless"
# chẳng dạy được gì.
# %% role="wrong" name="first_tested"
patch("kept = parts[:1]", "kept = []")
patch("parts[1:]", "parts")

# %% [markdown] lang="en" role="mistake" name="first_twice"
# The first part stands in the caption twice: it is there from the start, so go through the *other* parts.
# %% [markdown] lang="vi" of="67f39ea0"
# Cụm đầu tiên có mặt hai lần trong câu mô tả: nó đã ở đó từ đầu, nên chỉ đi qua các cụm *còn lại*.
# %% role="wrong" name="first_twice"
patch("parts[1:]", "parts")

# %% [markdown] lang="en" role="mistake" name="shortest_first"
# The parts are sorted by their length, so that many fit. But their order says what is important: the long second part must get
# its chance before the short last one.
# %% [markdown] lang="vi" of="a68f0c60"
# Các cụm bị xếp theo độ dài để vừa được nhiều cụm. Nhưng thứ tự của chúng cho biết điều gì quan trọng: cụm thứ hai dài phải
# được xét trước cụm cuối ngắn.
# %% role="wrong" name="shortest_first"
patch("in parts[1:]", "in sorted(parts[1:], key=len)")

# %% [markdown] lang="en" role="mistake" name="last_first"
# The parts are tried from the end, so the least important ones get in first. Go through them in their order.
# %% [markdown] lang="vi" of="f1f0f50f"
# Các cụm được xét từ cuối lên, nên cụm kém quan trọng nhất lại được vào trước. Hãy đi theo thứ tự của chúng.
# %% role="wrong" name="last_first"
patch("in parts[1:]", "in parts[:0:-1]")

# %% [markdown] lang="en" role="mistake" name="cut_inside"
# A part is cut in the middle. Half a phrase can say something else than the whole ("round" without "neck"): put in whole parts
# or none.
# %% [markdown] lang="vi" of="270e603e"
# Một cụm bị cắt ở giữa. Nửa cụm có thể nói điều khác với cả cụm ("round" mà thiếu "neck"): hãy đưa vào cả cụm hoặc bỏ hẳn.
# %% role="wrong" name="cut_inside"
def build_caption(parts: list[str], count: Callable[[str], int], limit: int) -> str:
    text = ", ".join(parts)
    while " " in text and count(text) > limit:
        text = text.rpartition(" ")[0]
    return text.rstrip(",")

# %% [markdown] lang="en" role="mistake" name="most_parts"
# The parts that get in are as many as possible, or fill the limit best. The rule is simpler: in order, each that fits. An
# important part must not give way to two unimportant ones.
# %% [markdown] lang="vi" of="6320c923"
# Các cụm được chọn sao cho nhiều nhất, hoặc lấp đầy giới hạn nhất. Quy tắc đơn giản hơn: theo thứ tự, cụm nào vừa thì lấy. Một
# cụm quan trọng không được nhường chỗ cho hai cụm không quan trọng.
# %% role="wrong" name="most_parts"
def build_caption(parts: list[str], count: Callable[[str], int], limit: int) -> str:
    kept = parts[:]
    while len(kept) > 1 and count(", ".join(kept)) > limit:
        longest = max(range(1, len(kept)), key=lambda k: count(kept[k]))
        kept = kept[:longest] + kept[longest + 1 :]
    return ", ".join(kept)

# %% [markdown] lang="en" role="mistake" name="no_space"
# The parts are joined without a space behind the comma. Join them by `", "`, as captions are written: some tokenizers cut
# ",round" otherwise than ", round".
# %% [markdown] lang="vi" of="ad43a224"
# Các cụm được nối mà không có dấu cách sau dấu phẩy. Hãy nối bằng `", "`, như câu mô tả vẫn được viết: có tokenizer cắt
# ",round" khác với ", round".
# %% role="wrong" name="no_space"
patch('count(", ".join(longer))', 'count(",".join(longer))')
patch('return ", ".join', 'return ",".join')

# %% [markdown] lang="en" role="mistake" name="spaces_alone"
# The parts are joined by spaces. Without commas "sleeveless round neck" runs into one phrase: join by `", "`.
# %% [markdown] lang="vi" of="05e35caa"
# Các cụm được nối bằng dấu cách. Không có dấu phẩy, "sleeveless round neck" dính thành một cụm: hãy nối bằng `", "`.
# %% role="wrong" name="spaces_alone"
patch('count(", ".join(longer))', 'count(" ".join(longer))')
patch('return ", ".join', 'return " ".join')

# %% [markdown] lang="en" role="mistake" name="list_returned"
# A list came back. A caption is one text: join the parts.
# %% [markdown] lang="vi" of="fc3f37f1"
# Hàm trả về một danh sách. Câu mô tả là một văn bản: hãy nối các cụm lại.
# %% role="wrong" name="list_returned"
patch('return ", ".join(kept)', "return kept")

# %% [markdown] lang="en" role="mistake" name="comma_at_the_end"
# There is a comma behind the last part (or before the first). `", ".join(...)` puts commas between the parts alone.
# %% [markdown] lang="vi" of="c0b356d4"
# Có dấu phẩy sau cụm cuối (hoặc trước cụm đầu). `", ".join(...)` chỉ đặt dấu phẩy giữa các cụm.
# %% role="wrong" name="comma_at_the_end"
patch('return ", ".join(kept)', 'return "".join(part + ", " for part in kept)')

# %% role="library"
from functools import reduce


def build_caption(parts, count, limit):
    """The text grows from part to part; nothing is kept but the text."""

    def grown(text, part):
        longer = text + ", " + part
        return text if count(longer) > limit else longer

    return reduce(grown, parts[1:], parts[0]) if parts else ""

# %% role="payoff"
def draw(build_caption: Callable) -> Tensor:
    captions = [build_caption(phrases, token_count, limit) for limit in (8, 32, 64)]
    print(*(f"{token_count(text):3d} tokens: {text}" for text in captions), sep="\n")
    return pictures(captions, seed=3)                           # (3, 3, 128, 128)


payoff(draw, build_caption)
