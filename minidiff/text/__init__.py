"""From a sentence to token ids. What the ids mean is learnt by models/clip.py."""

from minidiff.text.tokenizer import Tokenizer, normalise

__all__ = ["Tokenizer", "normalise"]
