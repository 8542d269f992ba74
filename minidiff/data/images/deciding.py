"""What is decided with all pictures in sight, in one place and in the order of their keys: duplicates, and the steps after.

What it is not: the measurements (looking.py, scoring.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from minidiff.data.images.buckets import Size, covers, nearest
from minidiff.data.images.duplicates import repeated
from minidiff.data.images.looking import BUCKET, Limits, Seen


def left(seen: Sequence[Seen]) -> list[Seen]:
    """Those that no step has refused."""
    return [one for one in seen if not one.step]


def refuse_repeated(seen: Sequence[Seen], limits: Limits, buckets: list[Size]) -> None:
    """Of pictures with the same pixels, or nearly the same, the first by key is kept; but one that a later step refuses anyway
    comes last, so that a sharp picture isn't lost to a blurred or smaller copy of it."""
    order = sorted(left(seen), key=lambda one: (bool(flaw(one, limits)) or not fits(one, buckets), one.key))
    first: dict[str, Seen] = {}
    for one in order if "exact" not in limits.skip else ():
        other = first.setdefault(one.digest, one)
        if other is not one:
            one.refuse("exact", "duplicate", f"of {other.key}")
    if "near" not in limits.skip:
        order = left(order)
        for number, original in repeated([one.fingerprint() for one in order], limits.near).items():
            order[number].refuse("near", "near duplicate", f"of {order[original].key}")


def flaw(one: Seen, limits: Limits) -> tuple[str, str, str] | None:
    """(step, reason, detail) of what is already known to refuse a picture after the search for duplicates."""
    if one.sharpness < limits.min_sharpness and "sharpness" not in limits.skip:
        return "sharpness", "blurred", f"sharpness {one.sharpness:.1f}"
    if one.unsafe and "words" not in limits.skip:
        return "words", "unsafe word", one.unsafe
    return None


def fits(one: Seen, buckets: list[Size]) -> bool:
    """Whether a picture needn't be blown up for its bucket."""
    return covers((one.width, one.height), nearest((one.width, one.height), buckets))


def refuse_flawed(seen: Sequence[Seen], limits: Limits) -> None:
    """Refuses what is blurred, or has an unsafe word in its captions."""
    for one in left(seen):
        if found := flaw(one, limits):
            one.refuse(*found)


def refuse_by_score(seen: Sequence[Seen], name: str, threshold: float, above: bool) -> None:
    """Refuses pictures whose score is below a threshold, or above it where a high score is bad. They keep their scores."""
    for one in left(seen):
        score = one.scores[name]
        if (score > threshold) if above else (score < threshold):
            one.refuse(name, "score", f"{score:.3f}")


def assigned(seen: Sequence[Seen], buckets: list[Size]) -> Mapping[Size, list[Seen]]:
    """The pictures of each bucket that has any, in the order of the buckets and of the keys. Those that would have to be blown
    up are refused."""
    found: dict[Size, list[Seen]] = {bucket: [] for bucket in buckets}
    for one in left(seen):
        bucket = nearest((one.width, one.height), buckets)
        if fits(one, buckets):
            found[bucket].append(one)
        else:
            one.refuse(BUCKET, "too small for its bucket", f"{one.width} x {one.height} for {bucket[0]}x{bucket[1]}")
    return {bucket: members for bucket, members in found.items() if members}
