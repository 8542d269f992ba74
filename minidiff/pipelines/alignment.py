"""Which token of one prompt is which of another: prompt-to-prompt carries attention from the one to the other along this.

Not here: the attention itself (prompt_to_prompt.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import torch
from torch import Tensor

from minidiff.pipelines.request import RequestError
from minidiff.text.encoders import AnyTokenizer
from minidiff.text.tokenizer import WORD, normalise, words_of
from minidiff.utils.validation import shown


def rows_of(tokenizer: AnyTokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, without padding that the network doesn't see."""
    ids, mask = tokenizer.encode(list(texts))
    rows = ids.tolist()
    return rows if mask is None else [row[: int(seen.sum())] for row, seen in zip(rows, mask, strict=True)]


def alignment(source: Sequence[int], target: Sequence[int], length: int) -> tuple[Tensor, Tensor]:
    """How attention to the source's tokens becomes attention to the target's.

    source, target: ids of both prompts; length: L of the context, which may be padded. Returns

        mapping (L, L): row i says to which target tokens source token i belongs. A token that is in both belongs to itself;
            the tokens of words that were replaced share the attention of those that replace them equally.
        added (L,): 1 for target tokens that the source has nothing for, else 0.
    """
    mapping, added = torch.zeros(length, length), torch.zeros(length)
    for what, i, i_end, j, j_end in SequenceMatcher(None, source, target, autojunk=False).get_opcodes():
        if what == "equal":
            mapping[range(i, i_end), range(j, j_end)] = 1.0
        elif what == "replace":
            mapping[i:i_end, j:j_end] = 1 / (j_end - j)
        elif what == "insert":
            added[j:j_end] = 1.0
    return mapping, added


def token_marks(tokenizer: AnyTokenizer, prompts: Sequence[str], words: str, length: int) -> Tensor:
    """(P, L): 1 at the tokens of a word, or of several in a row, wherever P prompts have them. Raises RequestError when none
    has, naming the words that there are."""
    marks = torch.zeros(len(prompts), length)
    for row, prompt in enumerate(prompts):
        marks[row, token_places(tokenizer, prompt, words)] = 1.0
    if not marks.any():
        said = dict.fromkeys(word for prompt in prompts for word in words_of(prompt))
        raise RequestError("word_missing", given=shown(words), allowed=", ".join(said))
    return marks


def token_places(tokenizer: AnyTokenizer, prompt: str, words: str) -> list[int]:
    """Where the tokens of a word, or of several in a row, stand in a prompt's ids; of all their occurrences."""
    text, wanted = normalise(prompt), words_of(words)
    spans = [word.span() for word in WORD.finditer(text) if words_of(word[0])]
    said = words_of(text)
    one, empty = rows_of(tokenizer, [text, ""])
    specials = next((k for k, (a, b) in enumerate(zip(one, empty, strict=False)) if a != b), 0)  # before the text's own
    places: list[int] = []
    for k in range(len(said)):
        if wanted and said[k : k + len(wanted)] == wanted:
            before, through = text[: spans[k][0]], text[: spans[k + len(wanted) - 1][1]]
            first, last = (len(tokenizer.tokens(part)) if part else 0 for part in (before, through))
            places += range(specials + first, specials + last)
    return places
