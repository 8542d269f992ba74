"""Answers to lesson 15 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 15.1 right if and elif with continue
from collections import Counter

GREY = {"1", "L", "LA", "I", "I;16", "F"}


def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, digests = [], Counter(), set()
    for r in records:
        w, h = r["width"], r["height"]
        if min(w, h) < min_side:
            counts["too small"] += 1
        elif r["mode"] in GREY:
            counts["not colour"] += 1
        elif max(w, h) / min(w, h) > max_aspect:
            counts["too long or wide"] += 1
        elif len(r["caption"].strip()) < min_characters:
            counts["short caption"] += 1
        elif r["digest"] in digests:
            counts["duplicate"] += 1
        else:
            digests.add(r["digest"])
            kept.append(r["name"])
    return kept, counts

# %% 15.1 right a function for the reason, list of digests
def why(r, min_side, min_characters, max_aspect, digests):
    short, long = min(r["width"], r["height"]), max(r["width"], r["height"])
    if short < min_side:
        return "too small"
    if r["mode"] in ["1", "L", "LA", "I", "I;16", "F"]:
        return "not colour"
    if long > max_aspect * short:
        return "too long or wide"
    if len(r["caption"].strip()) < min_characters:
        return "short caption"
    return "duplicate" if r["digest"] in digests else ""


def filter_images(records, min_side, min_characters, max_aspect):
    good, table = [], {}
    for r in records:
        reason = why(r, min_side, min_characters, max_aspect, [one["digest"] for one in good])
        if reason:
            table[reason] = table.setdefault(reason, 0) + 1
        else:
            good.append(r)
    print(table)
    return [one["name"] for one in good], table

# %% 15.1 right a table of rules as lambdas, defaultdict, tuple returned
from collections import defaultdict


def filter_images(records, min_side, min_characters, max_aspect):
    seen = set()
    rules = [
        ("too small", lambda r: r["width"] < min_side or r["height"] < min_side),
        ("not colour", lambda r: r["mode"] in ("1", "L", "LA", "I", "I;16", "F")),
        ("too long or wide", lambda r: max(r["width"] / r["height"], r["height"] / r["width"]) > max_aspect),
        ("short caption", lambda r: len(r["caption"].strip()) < min_characters),
        ("duplicate", lambda r: r["digest"] in seen),
    ]
    names, counts = (), defaultdict(int)
    for r in records:
        for reason, rule in rules:
            if rule(r):
                counts[reason] += 1
                break
        else:
            names += (r["name"],)
            seen.add(r["digest"])
    return names, dict(counts)

# %% 15.1 right pandas-like passes, one reason after the other
def filter_images(records, min_side, min_characters, max_aspect):
    left, counts = list(records), {}

    def drop(reason, bad):
        nonlocal left
        n = sum(map(bad, left))
        if n:
            counts[reason] = n
        left = [r for r in left if not bad(r)]

    drop("too small", lambda r: min(r["width"], r["height"]) < min_side)
    drop("not colour", lambda r: r["mode"] in ("1", "L", "LA", "I", "I;16", "F"))
    drop("too long or wide", lambda r: max(r["width"], r["height"]) > max_aspect * min(r["width"], r["height"]))
    drop("short caption", lambda r: len(r["caption"].strip()) < min_characters)
    first = {}
    for r in left:
        first.setdefault(r["digest"], r["name"])
    if len(first) < len(left):
        counts["duplicate"] = len(left) - len(first)
    return list(first.values()), counts

# %% 15.1 wrong width_alone forgets the height
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        w, h = r["width"], r["height"]
        if w < min_side: reason = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): reason = "not colour"
        elif max(w, h) / min(w, h) > max_aspect: reason = "too long or wide"
        elif len(r["caption"].strip()) < min_characters: reason = "short caption"
        elif r["digest"] in seen: reason = "duplicate"
        else:
            kept.append(r["name"]); seen.add(r["digest"])
            continue
        counts[reason] = counts.get(reason, 0) + 1
    return kept, counts

# %% 15.1 wrong rgb_alone anything but RGB is grey
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted([r["width"], r["height"]])
        reason = ("too small" if short < min_side else "not colour" if r["mode"] != "RGB"
                  else "too long or wide" if long / short > max_aspect
                  else "short caption" if len(r["caption"].strip()) < min_characters
                  else "duplicate" if r["digest"] in seen else None)
        if reason:
            counts[reason] = counts.get(reason, 0) + 1
        else:
            kept.append(r["name"])
            seen |= {r["digest"]}
    return kept, counts

# %% 15.1 wrong digest_of_refused remembers everything it has seen
from collections import Counter


def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], Counter(), set()
    for r in records:
        short, long = sorted([r["width"], r["height"]])
        if short < min_side: counts["too small"] += 1
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): counts["not colour"] += 1
        elif long / short > max_aspect: counts["too long or wide"] += 1
        elif len(r["caption"].strip()) < min_characters: counts["short caption"] += 1
        elif r["digest"] in seen: counts["duplicate"] += 1
        else: kept.append(r["name"])
        seen.add(r["digest"])
    return kept, counts

# %% 15.1 wrong last_reason ifs that overwrite
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted([r["width"], r["height"]])
        reason = None
        if short < min_side: reason = "too small"
        if r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): reason = "not colour"
        if long / short > max_aspect: reason = "too long or wide"
        if len(r["caption"].strip()) < min_characters: reason = "short caption"
        if r["digest"] in seen: reason = "duplicate"
        if reason is None:
            kept.append(r["name"])
            seen.add(r["digest"])
        else:
            counts[reason] = counts.get(reason, 0) + 1
    return kept, counts

# %% 15.1 wrong every_reason ifs that all count
from collections import Counter


def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], Counter(), set()
    for r in records:
        before = sum(counts.values())
        short, long = sorted([r["width"], r["height"]])
        if short < min_side: counts["too small"] += 1
        if r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): counts["not colour"] += 1
        if long / short > max_aspect: counts["too long or wide"] += 1
        if len(r["caption"].strip()) < min_characters: counts["short caption"] += 1
        if r["digest"] in seen: counts["duplicate"] += 1
        if sum(counts.values()) == before:
            kept.append(r["name"])
            seen.add(r["digest"])
    return kept, dict(counts)

# %% 15.1 wrong zeros_counted a table made in advance
def filter_images(records, min_side, min_characters, max_aspect):
    counts = {"too small": 0, "not colour": 0, "too long or wide": 0, "short caption": 0, "duplicate": 0}
    kept, seen = [], set()
    for r in records:
        short, long = sorted([r["width"], r["height"]])
        tests = [short < min_side, r["mode"] in ("1", "L", "LA", "I", "I;16", "F"), long / short > max_aspect,
                 len(r["caption"].strip()) < min_characters, r["digest"] in seen]
        if True in tests:
            counts[list(counts)[tests.index(True)]] += 1
        else:
            kept.append(r["name"])
            seen.add(r["digest"])
    return kept, counts

# %% 15.1 wrong not_stripped len of the caption
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted([r["width"], r["height"]])
        if short < min_side: reason = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): reason = "not colour"
        elif long / short > max_aspect: reason = "too long or wide"
        elif len(r["caption"]) < min_characters: reason = "short caption"
        elif r["digest"] in seen: reason = "duplicate"
        else: reason = ""
        if reason: counts[reason] = counts.get(reason, 0) + 1
        else: kept.append(r["name"]), seen.add(r["digest"])
    return kept, counts

# %% 15.1 wrong wide_alone aspect as width over height
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        aspect = r["width"] / r["height"]
        if min(r["width"], r["height"]) < min_side: reason = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): reason = "not colour"
        elif aspect > max_aspect: reason = "too long or wide"
        elif len(r["caption"].strip()) < min_characters: reason = "short caption"
        elif r["digest"] in seen: reason = "duplicate"
        else: reason = ""
        if reason: counts[reason] = counts.get(reason, 0) + 1
        else: kept.append(r["name"]), seen.add(r["digest"])
    return kept, counts

# %% 15.1 wrong - looks at the size alone, names in a set
def filter_images(records, min_side, min_characters, max_aspect):
    names, counts = set(), {}
    for r in records:
        if min(r["width"], r["height"]) < min_side:
            counts["too small"] = counts.get("too small", 0) + 1
        else:
            names.add(r["name"])
    return sorted(names), counts

# %% 15.1 wrong @input strips the captions in the records
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        r["caption"] = r["caption"].strip()
        short, long = sorted([r["width"], r["height"]])
        if short < min_side: reason = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): reason = "not colour"
        elif long / short > max_aspect: reason = "too long or wide"
        elif len(r["caption"]) < min_characters: reason = "short caption"
        elif r["digest"] in seen: reason = "duplicate"
        else: reason = ""
        if reason: counts[reason] = counts.get(reason, 0) + 1
        else: kept.append(r["name"]), seen.add(r["digest"])
    return kept, counts

# %% 15.1 right Counter returned as it is, match statement
from collections import Counter


def filter_images(records, min_side, min_characters, max_aspect):
    kept, refused, known = [], Counter(), []
    for r in records:
        w, h = r["width"], r["height"]
        match (min(w, h) < min_side, r["mode"] in ("1", "L", "LA", "I", "I;16", "F"),
               max(w / h, h / w) > max_aspect, len(r["caption"].strip()) < min_characters, r["digest"] in known):
            case (True, *_):
                refused["too small"] += 1
            case (_, True, *_):
                refused["not colour"] += 1
            case (_, _, True, *_):
                refused["too long or wide"] += 1
            case (_, _, _, True, _):
                refused["short caption"] += 1
            case (*_, True):
                refused["duplicate"] += 1
            case _:
                kept.append(r["name"])
                known.append(r["digest"])
    return kept, refused

# %% 15.1 right defaultdict, tuple of names, a class that remembers
from collections import defaultdict


class Filter:
    def __init__(self, side, chars, aspect):
        self.side, self.chars, self.aspect, self.seen = side, chars, aspect, set()

    def reason(self, width, height, mode, caption, digest, **_):
        if min(width, height) < self.side: return "too small"
        if mode in "1 L LA I I;16 F".split(): return "not colour"
        if max(width, height) / min(width, height) > self.aspect: return "too long or wide"
        if len(caption.strip()) < self.chars: return "short caption"
        if digest in self.seen: return "duplicate"
        self.seen.add(digest)


def filter_images(records, min_side, min_characters, max_aspect):
    f, counts, kept = Filter(min_side, min_characters, max_aspect), defaultdict(int), ()
    for r in records:
        if (why := f.reason(**r)):
            counts[why] += 1
        else:
            kept += (r["name"],)
    return kept, counts

# %% 15.1 wrong mode_begins modes by their first letter
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted((r["width"], r["height"]))
        if short < min_side: why = "too small"
        elif r["mode"].startswith(("1", "L", "I", "F")): why = "not colour"
        elif long / short > max_aspect: why = "too long or wide"
        elif len(r["caption"].strip()) < min_characters: why = "short caption"
        elif r["digest"] in seen: why = "duplicate"
        else:
            kept.append(r["name"]); seen.add(r["digest"]); continue
        counts[why] = counts.get(why, 0) + 1
    return kept, counts

# %% 15.1 wrong bytes_counted length of the encoded caption
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted((r["width"], r["height"]))
        if short < min_side: why = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): why = "not colour"
        elif long / short > max_aspect: why = "too long or wide"
        elif len(r["caption"].strip().encode()) < min_characters: why = "short caption"
        elif r["digest"] in seen: why = "duplicate"
        else:
            kept.append(r["name"]); seen.add(r["digest"]); continue
        counts[why] = counts.get(why, 0) + 1
    return kept, counts

# %% 15.1 wrong spaces_merged white space inside collapsed
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted((r["width"], r["height"]))
        if short < min_side: why = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): why = "not colour"
        elif long / short > max_aspect: why = "too long or wide"
        elif len(" ".join(r["caption"].split())) < min_characters: why = "short caption"
        elif r["digest"] in seen: why = "duplicate"
        else:
            kept.append(r["name"]); seen.add(r["digest"]); continue
        counts[why] = counts.get(why, 0) + 1
    return kept, counts

# %% 15.1 wrong - strip of spaces only
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted((r["width"], r["height"]))
        if short < min_side: why = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): why = "not colour"
        elif long / short > max_aspect: why = "too long or wide"
        elif len(r["caption"].strip(" ")) < min_characters: why = "short caption"
        elif r["digest"] in seen: why = "duplicate"
        else:
            kept.append(r["name"]); seen.add(r["digest"]); continue
        counts[why] = counts.get(why, 0) + 1
    return kept, counts

# %% 15.1 wrong - round to 1 digit of the ratio
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted((r["width"], r["height"]))
        if short < min_side: why = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): why = "not colour"
        elif round(long / short, 1) > max_aspect: why = "too long or wide"
        elif len(r["caption"].strip()) < min_characters: why = "short caption"
        elif r["digest"] in seen: why = "duplicate"
        else:
            kept.append(r["name"]); seen.add(r["digest"]); continue
        counts[why] = counts.get(why, 0) + 1
    return kept, counts

# %% 15.1 wrong - duplicates by digest and caption
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts, seen = [], {}, set()
    for r in records:
        short, long = sorted((r["width"], r["height"]))
        if short < min_side: why = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): why = "not colour"
        elif long / short > max_aspect: why = "too long or wide"
        elif len(r["caption"].strip()) < min_characters: why = "short caption"
        elif (r["digest"], r["caption"]) in seen: why = "duplicate"
        else:
            kept.append(r["name"]); seen.add((r["digest"], r["caption"])); continue
        counts[why] = counts.get(why, 0) + 1
    return kept, counts

# %% 15.1 wrong - two kept under one name: kept is a dict
def filter_images(records, min_side, min_characters, max_aspect):
    kept, counts = {}, {}
    for r in records:
        short, long = sorted((r["width"], r["height"]))
        if short < min_side: why = "too small"
        elif r["mode"] in ("1", "L", "LA", "I", "I;16", "F"): why = "not colour"
        elif long / short > max_aspect: why = "too long or wide"
        elif len(r["caption"].strip()) < min_characters: why = "short caption"
        elif r["digest"] in kept.values(): why = "duplicate"
        else:
            kept[r["name"]] = r["digest"]; continue
        counts[why] = counts.get(why, 0) + 1
    return list(kept), counts

# %% 15.2 right a growing text
def build_caption(parts, count, limit):
    if not parts:
        return ""
    text = parts[0]
    for p in parts[1:]:
        if count(f"{text}, {p}") <= limit:
            text = f"{text}, {p}"
    return text

# %% 15.2 right a generator of indices, append and pop
def build_caption(phrases, tokens, most):
    chosen = list(phrases[:1])
    for k in range(1, len(phrases)):
        chosen.append(phrases[k])
        if tokens(", ".join(chosen)) > most:
            chosen.pop()          # too long, try the next one
    return ", ".join(chosen)

# %% 15.2 right recursion with a helper
def take(kept, rest, count, limit):
    if not rest:
        return kept
    head, *tail = rest
    fits = count(", ".join(kept + [head])) <= limit
    return take(kept + [head] if fits or not kept else kept, tail, count, limit)


def build_caption(parts, count, limit):
    return ", ".join(take([], parts, count, limit))

# %% 15.2 right functools.reduce in a lambda
from functools import reduce

build_caption = lambda parts, count, limit: ", ".join(reduce(
    lambda kept, p: kept + [p] if count(", ".join(kept + [p])) <= limit else kept, parts[1:], parts[:1]))

# %% 15.2 wrong stops breaks at the first
def build_caption(parts, count, limit):
    out = parts[0] if parts else ""
    for p in parts[1:]:
        if count(out + ", " + p) > limit:
            break
        out += ", " + p
    return out

# %% 15.2 wrong stops drops parts from the end until it fits
def build_caption(parts, count, limit):
    n = len(parts)
    while n > 1 and count(", ".join(parts[:n])) > limit:
        n -= 1
    return ", ".join(parts[:n])

# %% 15.2 wrong below_limit strictly below
def build_caption(parts, count, limit):
    caption = parts[:1]
    for p in parts[1:]:
        candidate = caption + [p]
        if limit > count(", ".join(candidate)):
            caption = candidate
    return ", ".join(caption)

# %% 15.2 wrong begin_and_end_again leaves room for the special tokens
def build_caption(parts, count, limit):
    room = limit - 2  # begin and end of text
    kept = parts[:1]
    for p in parts[1:]:
        if count(", ".join([*kept, p])) <= room:
            kept = [*kept, p]
    return ", ".join(kept)

# %% 15.2 wrong sum_of_parts a running total
def build_caption(parts, count, limit):
    kept, used = parts[:1], sum(count(p) for p in parts[:1])
    for p in parts[1:]:
        n = count(p)
        if used + n <= limit:
            kept, used = kept + [p], used + n
    return ", ".join(kept)

# %% 15.2 wrong characters no tokenizer at all
def build_caption(parts, count, limit):
    text = "".join(parts[:1])
    for p in parts[1:]:
        longer = text + ", " + p
        if len(longer) <= limit:
            text = longer
    return text

# %% 15.2 wrong always_77 CLIP's number
MAX_TOKENS = 77


def build_caption(parts, count, limit):
    kept = parts[:1]
    for p in parts[1:]:
        if count(", ".join([*kept, p])) <= MAX_TOKENS:
            kept += [p]
    return ", ".join(kept)

# %% 15.2 wrong first_tested all parts alike
def build_caption(parts, count, limit):
    kept = []
    for p in parts:
        if count(", ".join(kept + [p])) <= limit:
            kept.append(p)
    return ", ".join(kept)

# %% 15.2 wrong shortest_first greedy by length
def build_caption(parts, count, limit):
    kept = parts[:1]
    for p in sorted(parts[1:], key=lambda p: len(p)):
        if count(", ".join(kept + [p])) <= limit:
            kept = kept + [p]
    return ", ".join(kept)

# %% 15.2 wrong - shortest by length, but put back in order
def build_caption(parts, count, limit):
    numbers = [0][: len(parts)]
    for k in sorted(range(1, len(parts)), key=lambda k: len(parts[k])):
        tried = sorted([*numbers, k])
        if count(", ".join(parts[j] for j in tried)) <= limit:
            numbers = tried
    return ", ".join(parts[j] for j in numbers)

# %% 15.2 wrong list_returned forgets to join
def build_caption(parts, count, limit):
    result = parts[:1]
    for p in parts[1:]:
        if count(", ".join(result + [p])) <= limit:
            result = result + [p]
    return result

# %% 15.2 wrong @input pops from the caller's list
def build_caption(parts, count, limit):
    text = parts.pop(0) if parts else ""
    while parts:
        p = parts.pop(0)
        if count(text + ", " + p) <= limit:
            text += ", " + p
    return text

# %% 15.2 wrong @kind a generator
def build_caption(parts, count, limit):
    text = parts[0]
    for p in parts[1:]:
        if count(text + ", " + p) <= limit:
            text += ", " + p
    yield text

# %% 15.2 right recursion
def build_caption(parts, count, limit):
    if len(parts) < 2:
        return ", ".join(parts)
    first, second, *rest = parts
    both = first + ", " + second
    return build_caption([both if count(both) <= limit else first, *rest], count, limit)

# %% 15.2 wrong @crash the first by its place, where there is none
def build_caption(parts, count, limit):
    caption = parts[0]
    for part in parts[1:]:
        if count(caption + ", " + part) <= limit:
            caption = caption + ", " + part
    return caption

# %% 15.2 wrong added_up a running sum without ends, commas measured
def build_caption(parts, count, limit):
    if not parts: return ""
    ends = count("")
    kept, total = parts[:1], count(parts[0])
    for part in parts[1:]:
        more = count(", " + part) - ends
        if total + more <= limit:
            kept.append(part)
            total += more
    return ", ".join(kept)

# %% 15.2 wrong no_part_twice a part that is already there is skipped
def build_caption(parts, count, limit):
    kept = parts[:1]
    for part in parts[1:]:
        if part not in kept and count(", ".join([*kept, part])) <= limit:
            kept.append(part)
    return ", ".join(kept)

# %% 15.2 wrong - only two misses are allowed
def build_caption(parts, count, limit):
    kept, missed = parts[:1], 0
    for part in parts[1:]:
        if count(", ".join([*kept, part])) <= limit:
            kept.append(part)
        else:
            missed += 1
        if missed == 2:
            break
    return ", ".join(kept)

# %% 15.3 right two loops of batches, stacked at the end
import torch


def cache_latents(encode, images, scale, batch):
    def run(x):
        out = []
        with torch.no_grad():
            for i in range(0, len(x), batch):
                out.append(encode(x[i:i + batch]).cpu() * scale)
        return torch.cat(out)

    return torch.stack((run(images), run(torch.flip(images, dims=[3]))), dim=1)

# %% 15.3 right writes into zeros, images one after the other with their mirror images
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    flat = torch.stack([v for im in images for v in (im, im.flip(2))])      # (2N, 3, H, W)
    result = None
    for start in range(0, len(flat), batch):
        z = encode(flat[start:start + batch]).to("cpu")
        if result is None:
            result = torch.zeros(len(flat), *z.shape[1:], dtype=z.dtype)
        result[start:start + len(z)] = z
    return (result * scale).reshape(len(images), 2, *result.shape[1:])

# %% 15.3 right inference mode, then a clone outside
import torch


def cache_latents(encode, images, scale, batch):
    n = len(images)
    with torch.inference_mode():
        both = torch.cat([images, torch.fliplr(images.movedim(3, 1)).movedim(1, 3)])
        z = torch.cat([encode(chunk).detach().cpu() for chunk in torch.split(both, batch)])
    z = z.clone() * scale
    return torch.stack([z[:n], z[n:]], 1)

# %% 15.3 right einops, numpy mirror
import numpy as np
import torch
from einops import rearrange


def cache_latents(encode, images, scale, batch):
    flipped = torch.from_numpy(np.ascontiguousarray(images.numpy()[..., ::-1]))
    views = rearrange([images, flipped], "v n c h w -> (n v) c h w")
    with torch.no_grad():
        latents = [scale * encode(v) for v in views.split(batch)]
    return rearrange(torch.cat(latents), "(n v) c h w -> n v c h w", v=2).cpu()

# %% 15.3 wrong scale_missing the factor is never used
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    views = torch.stack([images, images.flip(3)], 1).flatten(0, 1)
    z = torch.cat([encode(v).cpu() for v in views.split(batch)])
    return z.view(len(images), 2, *z.shape[1:])

# %% 15.3 wrong divided the wrong way round
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    out = [torch.cat([encode(v) / scale for v in view.split(batch)]) for view in (images, images.flip(-1))]
    return torch.stack(out, dim=1).cpu()

# %% 15.3 wrong always_0_18215 a constant
import torch

SCALING_FACTOR = 0.18215


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    views = torch.stack([images, images.flip(3)], 1).flatten(0, 1)
    z = torch.cat([encode(v).mul(SCALING_FACTOR) for v in views.split(batch)])
    return z.unflatten(0, (len(images), 2))

# %% 15.3 wrong upside_down flips dimension 2
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    pieces = []
    for view in (images, torch.flip(images, [2])):
        pieces.append(torch.cat([encode(v) for v in view.split(batch)]))
    return torch.stack(pieces, 1) * scale

# %% 15.3 wrong latents_mirrored saves half of the work
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    z = scale * torch.cat([encode(images[i:i + batch]) for i in range(0, len(images), batch)])
    return torch.stack([z, torch.flip(z, [-1])], dim=1)

# %% 15.3 wrong pairs_mixed cat, then reshape
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    views = torch.cat([images, images.flip(-1)])
    z = torch.cat([encode(v) for v in views.split(batch)]) * scale
    return z.reshape(len(images), 2, *z.shape[1:])

# %% 15.3 wrong two_first stacks along dimension 0
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    return torch.stack([torch.cat([scale * encode(v) for v in view.split(batch)]) for view in (images, images.flip(-1))])

# %% 15.3 wrong all_at_once ignores the batch
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    z = encode(torch.stack([images, images.flip(-1)], 1).flatten(0, 1))
    return ((z * scale).unflatten(0, (-1, 2))).cpu()

# %% 15.3 wrong twice_as_many images and mirror images together
import torch


def cache_latents(encode, images, scale, batch):
    out = []
    for i in range(0, len(images), batch):
        x = images[i:i + batch]
        with torch.no_grad():
            z = encode(torch.cat([x, x.flip(-1)]))
        out.append(torch.stack(z.chunk(2), dim=1))
    return (scale * torch.cat(out)).cpu()

# %% 15.3 wrong graph_kept no no_grad
import torch


def cache_latents(encode, images, scale, batch):
    views = torch.stack([images, images.flip(3)], 1).flatten(0, 1)
    z = torch.cat([encode(v) for v in views.split(batch)])
    return ((scale * z).unflatten(0, (len(images), 2))).cpu()

# %% 15.3 wrong detached detach at the end
import torch


def cache_latents(encode, images, scale, batch):
    views = torch.stack([images, images.flip(3)], 1).flatten(0, 1)
    z = torch.cat([encode(v) for v in views.split(batch)])
    return ((scale * z).detach().unflatten(0, (len(images), 2))).cpu()

# %% 15.3 wrong inference_tensors inference mode as decorator
import torch


@torch.inference_mode()
def cache_latents(encode, images, scale, batch):
    first = torch.cat([encode(v) for v in images.split(batch)])
    second = torch.cat([encode(v) for v in images.flip(-1).split(batch)])
    return (scale * torch.stack([first, second], dim=1)).cpu()

# %% 15.3 wrong @state switches gradients off and leaves them off
import torch


def cache_latents(encode, images, scale, batch):
    torch.set_grad_enabled(False)
    views = torch.stack([images, images.flip(3)], 1).flatten(0, 1)
    z = torch.cat([encode(v) for v in views.split(batch)])
    return (scale * z).unflatten(0, (len(images), 2))

# %% 15.3 right a growing list of rows by an index generator
import torch


def cache_latents(encode, images, scale, batch):
    n = images.shape[0]
    rows = [images[i // 2] if i % 2 == 0 else images[i // 2].flip(-1) for i in range(2 * n)]
    out = []
    with torch.no_grad():
        while rows:
            out.extend(scale * encode(torch.stack(rows[:batch])).cpu())
            rows = rows[batch:]
    return torch.stack(out).unflatten(0, (n, 2))

# %% 15.3 right equal pieces by tensor_split
import math

import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    pairs = torch.stack((images, images[..., torch.arange(images.shape[-1] - 1, -1, -1)]), 1)
    flat = pairs.reshape(-1, *images.shape[1:])
    pieces = flat.tensor_split(math.ceil(len(flat) / batch))
    latents = torch.cat([encode(p) for p in pieces]).cpu().mul(scale)
    return latents.view(len(images), 2, *latents.shape[1:])

# %% 15.3 right preallocated, dtype from the first piece
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    flat = torch.stack([images, images.flip(-1)], 1).flatten(0, 1)
    result = None
    for i in range(0, len(flat), batch):
        z = encode(flat[i : i + batch])
        if result is None:
            result = torch.empty(len(flat), *z.shape[1:], dtype=z.dtype)
        result[i : i + batch] = scale * z
    return result.unflatten(0, (-1, 2))

# %% 15.3 right pairs of batch // 2 images, one at a time when batch is 1
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    if batch == 1:
        return scale * torch.stack([torch.cat([encode(i[None]), encode(i[None].flip(-1))]) for i in images]).cpu()
    out = []
    for some in images.split(batch // 2):
        z = encode(torch.cat([some, some.flip(-1)])).cpu()
        out.append(torch.stack(z.chunk(2), dim=1))
    return torch.cat(out) * scale

# %% 15.3 wrong - pairs one by one
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    if batch == 1:
        return torch.stack([torch.stack([encode(i[None])[0], encode(i.flip(-1)[None])[0]]) for i in images]).cpu() * scale
    return torch.stack([encode(torch.stack([i, i.flip(-1)])) for i in images]).cpu() * scale

# %% 15.3 wrong learning_latents requires_grad at the end
import torch


def cache_latents(encode, images, scale, batch):
    with torch.no_grad():
        flat = torch.stack([images, images.flip(-1)], 1).flatten(0, 1)
        z = torch.cat([encode(p).cpu() for p in flat.split(batch)]).unflatten(0, (-1, 2)) * scale
    return z.requires_grad_()

# %% 15.3 wrong left_there the latents stay on the GPU
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    flat = torch.stack([images, images.flip(-1)], 1).flatten(0, 1)
    return torch.cat([encode(p) for p in flat.split(batch)]).unflatten(0, (-1, 2)) * scale

# %% 15.3 wrong - float32 always
import torch


@torch.no_grad()
def cache_latents(encode, images, scale, batch):
    flat = torch.stack([images, images.flip(-1)], 1).flatten(0, 1)
    return torch.cat([encode(p).cpu().float() for p in flat.split(batch)]).unflatten(0, (-1, 2)) * scale

# %% 15.4 right losses in a list, gradient clipped by its parameters
import torch


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad(set_to_none=True)
    n, losses = len(batches), []
    for b in batches:
        l = loss(model, b)
        (l / n).backward()
        losses.append(l.item())
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], max_norm)
    optimizer.step()
    model.zero_grad()
    return sum(losses) / n

# %% 15.4 right divides the gradients afterwards, zeros for None
import torch.nn as nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad(set_to_none=False)
    mean = 0
    for k, batch in enumerate(batches):
        value = loss(model, batch)
        value.backward()
        mean += (float(value.detach()) - mean) / (k + 1)      # running mean
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= len(batches)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm=max_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return mean

# %% 15.4 right backward with a weight
import torch
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    for p in model.parameters():
        p.grad = None
    share = 1 / len(batches)
    total = torch.zeros(())
    for batch in batches:
        value = loss(model, batch)
        value.backward(torch.tensor(share, dtype=value.dtype))
        with torch.no_grad():
            total = total + share * value
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    for p in model.parameters():
        p.grad = None
    return float(total)

# %% 15.4 wrong not_divided as in many tutorials
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    losses = []
    for batch in batches:
        l = loss(model, batch)
        l.backward()
        losses.append(l.item())
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return sum(losses) / len(losses)

# %% 15.4 wrong divided_by_size len of a batch
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    mean = 0.0
    for b in batches:
        l = loss(model, b) / len(b)
        l.backward()
        mean = mean + l.item()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return mean

# %% 15.4 wrong step_each an ordinary loop
import statistics

from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    losses = []
    for b in batches:
        l = loss(model, b)
        (l / len(batches)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(l.item())
    return statistics.mean(losses)

# %% 15.4 wrong cleared_each zero_grad where it usually stands
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    total = 0.0
    for b in batches:
        optimizer.zero_grad()
        part = loss(model, b) / len(batches)
        part.backward()
        total += float(part.detach())
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return total

# %% 15.4 wrong not_cleared_before trusts that nothing is there
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    total = 0.0
    for b in batches:
        part = loss(model, b) / len(batches)
        part.backward()
        total += part.item()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return total

# %% 15.4 wrong not_cleared_after leaves them
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    model.zero_grad()
    total = 0.0
    for b in batches:
        part = loss(model, b) / len(batches)
        part.backward()
        total += part.item()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return total

# %% 15.4 wrong clipped_each clips as it goes
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    n, total = len(batches), 0.0
    for b in batches:
        l = loss(model, b)
        (l / n).backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        total += l.item()
    optimizer.step()
    optimizer.zero_grad()
    return total / n

# %% 15.4 wrong no_clipping clips behind the step
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    total = 0.0
    for b in batches:
        part = loss(model, b) / len(batches)
        part.backward()
        total += part.item()
    optimizer.step()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.zero_grad()
    return total

# %% 15.4 wrong one_backward the mean of a stack
import torch
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    mean = torch.stack([loss(model, b) for b in batches]).mean()
    mean.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return mean.item()

# %% 15.4 wrong tensor_returned sum of detached tensors
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    losses = []
    for b in batches:
        l = loss(model, b)
        (l / len(batches)).backward()
        losses.append(l.detach())
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return sum(losses) / len(losses)

# %% 15.4 wrong last_loss the name of the loop
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    for b in batches:
        value = loss(model, b)
        (value / len(batches)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return value.item()

# %% 15.4 wrong - one large batch
import torch
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    value = loss(model, torch.cat(batches))
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return value.item()

# %% 15.4 right zeros for cleared gradients
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad(set_to_none=False)
    mean = 0.0
    for batch in batches:
        part = loss(model, batch) / len(batches)
        part.backward()
        mean += part.item()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return mean

# %% 15.4 wrong - clipped, then divided
from torch import nn


def accumulated_step(model, loss, batches, optimizer, max_norm):
    optimizer.zero_grad()
    mean = 0.0
    for batch in batches:
        value = loss(model, batch)
        value.backward()
        mean += value.item() / len(batches)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= len(batches)
    optimizer.step()
    optimizer.zero_grad()
    return mean

# %% 15.5 right mended, names kept
from itertools import pairwise

import torch
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


@torch.no_grad()
def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise.float()
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.float().chunk(2)
        guided = away + scale * (towards - away)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    print(x.dtype)
    return model.decode(x.float())

# %% 15.5 right the library's cfg and run, negative prompts behind
import torch
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def guided_sample(model, noise, prompts, negative, scale, steps):
    c, m = model.encode(list(prompts) + [negative] * len(prompts))

    def net(x, timestep):
        n = len(x)      # B at scale 1
        return model.network(x.to(torch.float16), timestep, c[:n], m[:n]).to(torch.float32)

    guided = cfg(denoiser(net, model.schedule, model.prediction_type), scale)
    for state in run("ddim", guided, noise, model.schedule, steps):
        x = state.x
    return model.decode(x)

# %% 15.5 right DDIM by hand, negatives first, two halves named so
import torch
from minidiff.diffusion.prediction import to_x0_eps


def guided_sample(model, noise, prompts, negative, scale, steps):
    b = len(prompts)
    ctx, mask = model.encode([negative] * b + prompts)
    x, sch = noise.clone(), model.schedule
    for i in range(steps):
        t, s = (torch.tensor(1 - k / steps, dtype=torch.float64) for k in (i, i + 1))
        when = torch.full((2 * b,), float(sch.timestep(t)))
        out = model.network(x.half().repeat(2, 1, 1, 1), when, ctx, mask).float()
        guided = torch.lerp(out[:b], out[b:], float(scale))
        x0, eps = to_x0_eps(sch, model.prediction_type, guided, x, t)
        x = float(sch.alpha(s)) * x0 + float(sch.sigma(s)) * eps
    return model.decode(x)

# %% 15.5 right two calls of the network
from itertools import pairwise

import torch
from minidiff.diffusion.guidance import combine
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import get_spacing


def guided_sample(model, noise, prompts, negative, scale, steps):
    wanted, unwanted = model.encode(prompts), model.encode([negative] * len(prompts))
    x = noise
    for t, s in pairwise(get_spacing("uniform")(model.schedule, steps)):
        when = torch.full((len(x),), float(model.schedule.timestep(t)))
        yes, no = (model.network(x.half(), when, *words).float() for words in (wanted, unwanted))
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, combine(yes, no, scale), x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x)

# %% 15.5 wrong latents_and_roles only the last line mended
from itertools import pairwise

import torch
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise.half()
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.float().chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, torch.lerp(towards, away, scale), x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x.to(torch.float32))

# %% 15.5 wrong vae_in_half the last line forgotten
from itertools import pairwise

import torch
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.float().chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, torch.lerp(away, towards, scale), x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x.half())

# %% 15.5 wrong roles_swapped negatives first, names as they were
from itertools import pairwise

import torch
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([negative] * len(prompts) + prompts)
    x = noise
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        out = model.network(torch.cat([x, x]).half(), timestep, context, mask).float()
        towards, away = out.chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, torch.lerp(away, towards, scale), x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x)

# %% 15.5 wrong latents_in_half float for the VAE alone
from itertools import pairwise

import torch
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise.half()
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        towards, away = model.network(torch.cat([x, x]), timestep, context, mask).float().chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, torch.lerp(away, towards, scale), x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x.float())

# %% 15.5 wrong guidance_in_half combines before the cast
from itertools import pairwise

import torch
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        towards, away = model.network(torch.cat([x, x]).half(), timestep, context, mask).chunk(2)
        guided = torch.lerp(away, towards, scale).float()
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x)

# %% 15.5 wrong negative_ignored empty texts
import torch
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def guided_sample(model, noise, prompts, negative, scale, steps):
    c, m = model.encode(prompts + [""] * len(prompts))
    net = lambda x, when: model.network(x.half(), when, c[:len(x)], m[:len(x)]).float()
    *_, last = run("ddim", cfg(denoiser(net, model.schedule, model.prediction_type), scale), noise, model.schedule, steps)
    return model.decode(last.x)

# %% 15.5 wrong scale_plus_one the difference added to the prompt's prediction
from itertools import pairwise

import torch
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.float().chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, towards + scale * (towards - away), x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x)

# %% 15.5 wrong network_in_float32 everything in float32
import torch
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def guided_sample(model, noise, prompts, negative, scale, steps):
    c, m = model.encode(prompts + [negative] * len(prompts))
    net = lambda x, when: model.network(x.float(), when, c[:len(x)], m[:len(x)])
    *_, last = run("ddim", cfg(denoiser(net, model.schedule, model.prediction_type), scale), noise, model.schedule, steps)
    return model.decode(last.x)

# %% 15.5 wrong divided_by_0_18215 as in diffusers
from itertools import pairwise

import torch
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        towards, away = model.network(torch.cat([x, x]).half(), timestep, context, mask).float().chunk(2)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, torch.lerp(away, towards, scale), x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(1 / 0.18215 * x)

# %% 15.5 wrong - DPM++ 2M, more exact and not asked for
import torch
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def guided_sample(model, noise, prompts, negative, scale, steps):
    c, m = model.encode(prompts + [negative] * len(prompts))
    net = lambda x, when: model.network(x.half(), when, c[:len(x)], m[:len(x)]).float()
    pair = denoiser(net, model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    return model.decode(last.x)

# %% 15.5 wrong @crash the negative prompt as it is, not in a list
def guided_sample(model, noise, prompts, negative, scale, steps):
    wanted, unwanted = model.encode(prompts), model.encode(negative)
    return model.decode(model.network(noise.half(), wanted[0], unwanted[0]))

# %% 15.5 right a context for each text, interleaved
import torch


def guided_sample(model, noise, prompts, negative, scale, steps):
    texts = [t for p in prompts for t in (p, negative)]
    context, mask = model.encode(texts)
    x = noise
    for t, s in pairwise(uniform(model.schedule, steps)):
        both = model.network(x.repeat_interleave(2, 0).half(), model.schedule.timestep(t).float().repeat(len(texts)), context, mask)
        both = both.float()
        guided = both[1::2].lerp(both[::2], scale)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x)

# %% 15.5 right float64 for latents between, float32 for the VAE
def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise.double()
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.double().chunk(2)
        guided = torch.lerp(away, towards, scale)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x.float())

# %% 15.5 wrong - half at the start, float from then on
def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise.half().float()
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.float().chunk(2)
        guided = torch.lerp(away, towards, scale)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x)

# %% 15.5 wrong network_in_float32 bfloat16 for float16
def guided_sample(model, noise, prompts, negative, scale, steps):
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).bfloat16(), timestep, context.bfloat16(), mask)
        towards, away = both.float().chunk(2)
        guided = torch.lerp(away, towards, scale)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x)
