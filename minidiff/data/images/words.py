"""A caption made tidy, and judged by small rules that can be read here: junk or not, English or Vietnamese, fit for all eyes.

The rules look at letters and at short lists of words; they understand nothing. Whether a caption belongs to its picture is
another question (CLIP, evaluate/prepare_images.py).
"""

from __future__ import annotations

import html
import re
import unicodedata

LANGUAGES = ("en", "vi", "other")
LETTERS = re.compile(r"[^\W\d_]+")
TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")

# --- junk ---------------------------------------------------------------------------------------------------------------

FILE_NAME = re.compile(r"[\w\-. ()%+]+\.(jpe?g|png|gif|webp|bmp|tiff?|heic|avif|svg|pdf|psd|mp4)", re.I)
CAMERA = re.compile(r"(img|dsc[nf]?|dscn|pxl|dcim|mvc|screen ?shot|scan|photo|image|picture|untitled|figure|hình|ảnh)"
                    r"[\s_\-.#]*\d[\d\s_\-.:()]*", re.I)  # fmt: skip
CODE = re.compile(r"(?=\S*\d)[\w\-]{8,}")
URL = re.compile(r"https?:|www\.|\b[\w-]+\.(com|net|org|vn|io)\b", re.I)
REPEATED = re.compile(r"(\S)\1{4,}|\b(\w+)(?:\W+\2\b){3,}", re.I)
PLACEHOLDERS = frozenset(
    "image|images|picture|pictures|photo|photos|photograph|pic|img|untitled|unknown|none|null|nan|n/a|na|no caption|caption|"
    "caption here|alt|alt text|alt tag|alternative text|description|no description|text|title|thumbnail|logo|icon|banner|"
    "placeholder|undefined|todo|tbd|test|default|blank|empty|image may contain|no image available|image not available|"
    "ảnh|hình|hình ảnh|bức ảnh|không có tiêu đề|không có chú thích|chú thích|chưa có mô tả|ảnh minh họa|ảnh minh hoạ".split("|")
)
STOCK = re.compile(
    r"\b(stock (photo|image|photography|illustration|vector)s?|shutterstock|getty ?images|istock(photo)?|alamy|dreamstime|"
    r"depositphotos|123rf|royalty[- ]free|all rights reserved|lorem ipsum|click (here|to (enlarge|view|zoom))|"
    r"(image|photo) (credit|courtesy)|copyright (by|[\d©])|©|free (shipping|download)|buy now|add to cart|"
    r"bấm (vào đây|để (xem|phóng))|nhấp (vào đây|để)|bản quyền (thuộc|của)|mua ngay|miễn phí vận chuyển|liên hệ ngay)\b",
    re.I,
)


def tidy(caption: str) -> str:
    """The caption with HTML's entities and tags resolved, in NFC, white space squeezed."""
    text = TAG.sub(" ", html.unescape(caption))
    visible = "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp", "Cf") else letter for letter in text)
    return " ".join(unicodedata.normalize("NFC", visible).split())


def junk(caption: str, least: int = 5, most: int = 2000) -> str:
    """Why a tidy caption says nothing; empty when it may. least, most: characters."""
    plain = caption.strip(" .,:;!?-_*#\"'()[]").lower()
    if plain in PLACEHOLDERS:
        return "placeholder" if plain else "empty"
    checks = (
        ("empty", not plain), ("URL", URL.search(caption)), ("file name", FILE_NAME.fullmatch(caption)),
        ("file name", CAMERA.fullmatch(plain) or CODE.fullmatch(plain)), ("no letters", not LETTERS.search(caption)),
        ("broken letters", "\ufffd" in caption or re.search("Ã[©¡³ª]|áº[¡-¿]|á»[¡-¿]", caption)),
        ("repeated", REPEATED.search(caption)), ("stock phrase", STOCK.search(caption)),
        ("too short", len(caption) < least), ("too long", len(caption) > most),
    )  # fmt: skip
    return next((reason for reason, found in checks if found), "")


# --- language -----------------------------------------------------------------------------------------------------------

ENGLISH = frozenset(
    "a an the of in on at with and or to for from by is are was this that his her its over under near behind beside between "
    "without above below inside two three some".split()
)
VIETNAMESE = frozenset(
    "một và của trên dưới trong ngoài với cái con chiếc người màu bên cạnh đang không những các là ở cho hai ba bức này kiểu "
    "nền mot cua tren duoi voi chiec nguoi mau ben canh dang khong nhung cac".split()
)
ELSEWHERE = frozenset(  # French, Spanish, German, Italian, Portuguese
    "le la les des du une dans avec pour et est el los las una por para y del der die das und ein eine mit auf il gli di della "
    "um uma os com não de en sur con per".split()
)
ONLY_VIETNAMESE = frozenset("\u0309\u0323\u031b")  # hook above, dot below, horn, as marks of their own
# A Vietnamese word is one syllable: a beginning, up to three vowels, an end (here without its marks).
SYLLABLE = re.compile(r"(ngh|ng|nh|gh|gi|kh|ph|qu|th|tr|ch|[bcdghklmnprstvx])?[aeiouy]{1,3}(ch|ng|nh|[cmnpt])?")


def language(caption: str) -> str:
    """ "en", "vi" or "other", by letters that one of them alone has, and by counting short frequent words.

    Vietnamese is known by its letters (ơ, ạ, ế ...), or, where they happen to be missing, by its words and syllables; English
    by plain letters and no more words of another language than of its own. A caption without a letter is "other"."""
    words = LETTERS.findall(unicodedata.normalize("NFC", caption).lower())
    letters = "".join(words)
    if not letters or sum("LATIN" not in unicodedata.name(letter, "") for letter in letters) > 0.3 * len(letters):
        return "other"
    plain = letters.isascii()
    vi = sum(word in VIETNAMESE or unmistakable(word) for word in words)
    en, elsewhere = (sum(word in listed for word in words) for listed in (ENGLISH, ELSEWHERE))
    if any(map(unmistakable, words)) and vi >= max(en, elsewhere):
        return "vi"
    if vi > max(en, elsewhere) and (vi > 1 or not plain):
        return "vi"
    if not plain and not en and all(SYLLABLE.fullmatch(bare(word)) for word in words):
        return "vi"
    return "other" if elsewhere > en or not (plain or en) else "en"


def unmistakable(word: str) -> bool:
    """Whether a word has a letter that only Vietnamese has: with a hook, a dot below or a horn, two marks, or ă, đ."""
    for letter in word:
        marks = unicodedata.normalize("NFD", letter)[1:]
        if letter in "ăđẽĩũỹ" or len(marks) > 1 or ONLY_VIETNAMESE.intersection(marks):
            return True
    return False


def bare(word: str) -> str:
    """A word without the marks on its letters."""
    letters = unicodedata.normalize("NFD", word.replace("đ", "d"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


# --- not for all eyes ---------------------------------------------------------------------------------------------------

UNSAFE = re.compile(
    r"(?<!\w)(porn|porno|pornographic|pornography|nsfw|xxx|nude|nudes|nudity|naked|topless|erotic|erotica|hentai|blowjob|"
    r"masturbat(e|es|ing|ion)|orgasm|fetish|bdsm|onlyfans|genitals?|penis|vagina|sex|"
    r"khiêu dâm|khỏa thân|khoả thân|trần truồng|lõa thể|loã thể|phim sex|ảnh nóng|đồi trụy|đồi truỵ|đồ trụy|kích dục|thủ dâm|"
    r"làm tình|dâm dục|dương vật|âm đạo)(?!\w)",
    re.I,
)


def unsafe_word(caption: str) -> str:
    """The first word or phrase in English or Vietnamese that isn't fit for all eyes, as a whole word; empty when there is none.
    A short list: it misses what is put politely, and pictures are for NudeNet (--nsfw)."""
    found = UNSAFE.search(unicodedata.normalize("NFC", caption))
    return found.group(0).lower() if found else ""
