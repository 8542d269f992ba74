"""Answers to the exercises of lesson 12, as different learners write them."""

# %% 12.1 right the key of min
def rarest_word(counts, words):
    return min(range(len(words)), key=lambda k: (max(counts[i].item() for i in words[k]), len(words[k])))

# %% 12.1 right a loop with two questions
def rarest_word(counts, words):
    best, best_count = 0, None
    for k, word in enumerate(words):
        c = max(int(counts[token]) for token in word)
        if best_count is None or c < best_count:
            best, best_count = k, c
        elif c == best_count and len(word) < len(words[best]):
            best = k
    return best

# %% 12.1 right sorts places
def rarest_word(counts, words):
    """Sorting keeps the order of equals."""
    table = counts.tolist()
    places = sorted(range(len(words)), key=lambda k: len(words[k]))
    places.sort(key=lambda k: max(table[i] for i in words[k]))
    print("ranking:", places)
    return places[0]

# %% 12.1 right numpy, one number to compare by
import numpy as np
import torch

MANY = 1000  # no word has as many tokens


def rarest_word(counts, words):
    table = counts.numpy()
    keys = [table[np.array(word)].max() * MANY + len(word) for word in words]
    return np.argmin(keys)

# %% 12.1 right adds the place to the tuple
def rarest_word(counts, words):
    ranked = []
    for place, ids in enumerate(words):
        frequency = counts[torch.tensor(ids)].amax().item()
        ranked.append((frequency, len(ids), place))
    frequency, length, place = sorted(ranked)[0]
    return place

# %% 12.1 wrong most_common max for min
def rarest_word(counts, words):
    common = [int(counts[list(ids)].max()) for ids in words]
    ranks = [(number, len(ids)) for number, ids in zip(common, words)]
    return ranks.index(max(ranks))

# %% 12.1 wrong fewest_first swaps the tuple
def rarest_word(counts, words):
    common = [int(counts[list(ids)].max()) for ids in words]
    ranks = [(len(w), c) for w, c in zip(words, common)]
    best = min(ranks)
    return ranks.index(best)

# %% 12.1 wrong length_ignored argmin alone
import torch


def rarest_word(counts, words):
    common = [int(counts[list(ids)].max()) for ids in words]
    return common.index(min(common))

# %% 12.1 wrong most_tokens reversed length
def rarest_word(counts, words):
    common = [int(counts[list(ids)].max()) for ids in words]
    return min(range(len(words)), key=lambda k: (common[k], -len(words[k])))

# %% 12.1 wrong last_of_equals <= in a loop
def rarest_word(counts, words):
    best = 0
    score = lambda w: (max(counts[i].item() for i in w), len(w))
    for k in range(1, len(words)):
        if score(words[k]) <= score(words[best]):
            best = k
    return best

# %% 12.1 wrong rarest_token any rare token will do
def rarest_word(counts, words):
    return min(range(len(words)), key=lambda k: (min(counts[i].item() for i in words[k]), len(words[k])))

# %% 12.1 wrong summed counts of all tokens
def rarest_word(counts, words):
    totals = [(sum(counts[i].item() for i in word), len(word)) for word in words]
    return totals.index(min(totals))

# %% 12.1 wrong averaged numpy mean
import numpy as np


def rarest_word(counts, words):
    common = [float(np.mean(counts.numpy()[word])) for word in words]
    ranks = list(zip(common, map(len, words)))
    return ranks.index(min(ranks))

# %% 12.1 wrong repeats_dropped a set of ids
def rarest_word(counts, words):
    ranks = []
    for ids in words:
        different = set(ids)
        ranks.append((max(int(counts[i]) for i in different), len(different)))
    return ranks.index(min(ranks))

# %% 12.1 wrong the_word min of the words
def rarest_word(counts, words):
    return min(words, key=lambda ids: (int(counts[list(ids)].max()), len(ids)))

# %% 12.1 wrong the_count forgets the place
def rarest_word(counts, words):
    common = [int(counts[list(ids)].max()) for ids in words]
    return min(common)

# %% 12.1 wrong a_tensor torch.argmin of one key
import torch


def rarest_word(counts, words):
    keys = torch.tensor([int(counts[list(w)].max()) * 100 + len(w) for w in words])
    first = (keys == keys.min()).nonzero()[0, 0]
    return first

# %% 12.1 wrong @input sorts the list that it got
def rarest_word(counts, words):
    before = list(words)
    words.sort(key=lambda ids: (int(counts[list(ids)].max()), len(ids)))
    return before.index(words[0])

# %% 12.1 wrong - ties by the sum of all counts
def rarest_word(counts, words):
    return min(range(len(words)), key=lambda k: (int(counts[words[k]].max()), int(counts[words[k]].sum())))

# %% 12.2 right mse_loss of slices
import torch.nn.functional as F


def prior_preservation_loss(prediction, target, weight):
    B = len(prediction) // 2
    instance = F.mse_loss(prediction[:B].float(), target[:B].float())
    prior = F.mse_loss(prediction[B:].float(), target[B:].float())
    return instance + weight * prior

# %% 12.2 right split, pow and a helper
import torch


def mse(a, b):
    return torch.mean(torch.pow(a - b, 2))


def prior_preservation_loss(prediction, target, weight):
    half = prediction.shape[0] // 2
    p1, p2 = prediction.to(torch.float32).split(half)
    t1, t2 = target.to(torch.float32).split(half)
    return mse(p1, t1) + weight * mse(p2, t2)

# %% 12.2 right einsum and a weight for each row
import torch


def prior_preservation_loss(prediction, target, weight):
    d = (prediction.float() - target.float()).flatten(1)
    per_row = torch.einsum("bn,bn->b", d, d) / d.shape[1]
    w = torch.ones(len(d))
    w[len(d) // 2:] = weight
    return 2 * (w * per_row).mean()

# %% 12.2 right in double, float32 at the end
def prior_preservation_loss(prediction, target, weight):
    errors = prediction.double().sub(target.double()).square()
    subject, others = errors.tensor_split(2)
    loss = subject.mean() + weight * others.mean()
    return loss.float()

# %% 12.2 right unflatten to (2, B, ...)
import torch


def prior_preservation_loss(prediction, target, weight):
    e = (prediction.float() - target.float()) ** 2
    first, second = e.reshape(2, -1).mean(dim=1)        # subject, class
    return torch.lerp(first, first + second, float(weight))

# %% 12.2 wrong no_prior only the instance loss
import torch.nn.functional as F


def prior_preservation_loss(prediction, target, weight):
    half = len(prediction) // 2
    return F.mse_loss(prediction[:half].float(), target[:half].float())

# %% 12.2 wrong weight_forgotten plain sum
def prior_preservation_loss(prediction, target, weight):
    e = (prediction.float() - target.float()) ** 2
    n = len(e) // 2
    return e[:n].mean() + e[n:].mean()

# %% 12.2 wrong wrong_half names in the wrong order
def prior_preservation_loss(prediction, target, weight):
    errors = (prediction.float() - target.float()).square()
    prior, instance = errors.chunk(2)
    return instance.mean() + weight * prior.mean()

# %% 12.2 wrong weight_on_both brackets
def prior_preservation_loss(prediction, target, weight):
    a, b = (prediction.float() - target.float()).pow(2).chunk(2)
    return (a.mean() + b.mean()) * weight

# %% 12.2 wrong share lerp between the two
import torch


def prior_preservation_loss(prediction, target, weight):
    a, b = (prediction.float() - target.float()).pow(2).chunk(2)
    return torch.lerp(a.mean(), b.mean(), float(weight))

# %% 12.2 wrong weighted_average divides by the weights' sum
def prior_preservation_loss(prediction, target, weight):
    a, b = (prediction.float() - target.float()).pow(2).chunk(2)
    return (a.mean() + weight * b.mean()) / (1 + weight)

# %% 12.2 wrong one_mean a weight for each row, and mean
import torch


def prior_preservation_loss(prediction, target, weight):
    errors = (prediction.float() - target.float()).pow(2).flatten(1).mean(1)
    w = torch.cat([torch.ones(len(errors) // 2), torch.full((len(errors) // 2,), float(weight))])
    return (w * errors).mean()

# %% 12.2 wrong every_other_row even and odd
def prior_preservation_loss(prediction, target, weight):
    e = (prediction.float() - target.float()).square()
    return e[0::2].mean() + weight * e[1::2].mean()

# %% 12.2 wrong summed sums
def prior_preservation_loss(prediction, target, weight):
    e = (prediction.float() - target.float()).square()
    h = len(e) // 2
    return e[:h].sum() + weight * e[h:].sum()

# %% 12.2 wrong in_the_inputs_type forgets float
import torch.nn.functional as F


def prior_preservation_loss(prediction, target, weight):
    (p, q), (s, t) = prediction.chunk(2), target.chunk(2)
    return F.mse_loss(p, s) + weight * F.mse_loss(q, t)

# %% 12.2 wrong float_too_late turns the means
def prior_preservation_loss(prediction, target, weight):
    a, b = (prediction - target).square().float().chunk(2)
    return a.mean() + weight * b.mean()

# %% 12.2 wrong no_gradient item
import torch


def prior_preservation_loss(prediction, target, weight):
    with torch.no_grad():
        a, b = (prediction.float() - target.float()).square().chunk(2)
        return a.mean() + weight * b.mean()

# %% 12.2 wrong @state turns gradients off for good
import torch


def prior_preservation_loss(prediction, target, weight):
    torch.set_grad_enabled(False)
    a, b = (prediction.float() - target.float()).square().chunk(2)
    return a.mean() + weight * b.mean()

# %% 12.2 wrong @input subtracts in place
def prior_preservation_loss(prediction, target, weight):
    prediction -= target
    a, b = prediction.float().square().chunk(2)
    return a.mean() + weight * b.mean()

# %% 12.2 wrong - the Huber loss
import torch.nn.functional as F


def prior_preservation_loss(prediction, target, weight):
    (p, q), (s, t) = prediction.float().chunk(2), target.float().chunk(2)
    return F.smooth_l1_loss(p, s) + weight * F.smooth_l1_loss(q, t)

# %% 12.3 right zeros filled
import torch


def paired_batch(subject, subject_context, others, others_context):
    B, L1, D = subject_context.shape
    L2 = others_context.shape[1]
    L = max(L1, L2)
    context = torch.zeros(2 * B, L, D, dtype=subject_context.dtype)
    mask = torch.zeros(2 * B, L, dtype=torch.bool)
    context[:B, :L1], mask[:B, :L1] = subject_context, True
    context[B:, :L2], mask[B:, :L2] = others_context, True
    return torch.cat((subject, others), dim=0), context, mask

# %% 12.3 right the shorter one grows, a list comes back
import torch


def grown(x, n):
    return torch.cat([x, x.new_zeros(x.size(0), n - x.size(1), x.size(2))], dim=1)


def paired_batch(subject, subject_context, others, others_context):
    n = max(subject_context.size(1), others_context.size(1))
    context = torch.vstack([grown(subject_context, n), grown(others_context, n)])
    places = torch.arange(n).unsqueeze(0)
    m1 = (places < subject_context.size(1)).expand(len(subject), n)
    m2 = (places < others_context.size(1)).expand(len(others), n)
    return [torch.concat([subject, others]), context, torch.cat([m1, m2])]

# %% 12.3 right marks padded like the contexts
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    contexts, masks = [], []
    for c in (subject_context, others_context):
        more = L - c.shape[1]
        contexts.append(F.pad(c, (0, 0, 0, more)))
        masks.append(F.pad(torch.ones(c.shape[:2], dtype=torch.bool), (0, more), value=False))
    print(L, "places")
    return torch.cat([subject, others]), torch.cat(contexts), torch.cat(masks)

# %% 12.3 right row by row
import torch
from torch.nn.utils.rnn import pad_sequence


def paired_batch(subject, subject_context, others, others_context):
    rows = list(subject_context.unbind()) + list(others_context.unbind())
    context = pad_sequence(rows, batch_first=True, padding_value=0.0)
    mask = torch.stack([torch.arange(context.shape[1]) < r.shape[0] for r in rows])
    return torch.stack([*subject, *others]), context, mask

# %% 12.3 wrong padded_in_front both in front
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    cs, ms = [], []
    for c in (subject_context, others_context):
        n = L - c.shape[1]
        cs.append(F.pad(c, (0, 0, n, 0)))
        ms.append(F.pad(torch.ones(c.shape[:2], dtype=torch.bool), (n, 0)))
    return torch.cat([subject, others]), torch.cat(cs), torch.cat(ms)

# %% 12.3 wrong mask_inverted as in PyTorch's own attention
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in (subject_context, others_context)])
    padding = torch.zeros(context.shape[:2], dtype=torch.bool)
    padding[:len(subject), subject_context.shape[1]:] = True
    padding[len(subject):, others_context.shape[1]:] = True
    return torch.cat([subject, others]), context, padding

# %% 12.3 wrong all_read ones
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in (subject_context, others_context)])
    return torch.cat([subject, others]), context, torch.ones(len(context), L, dtype=torch.bool)

# %% 12.3 wrong mask_of_zeros asks the vectors
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in (subject_context, others_context)])
    return torch.cat([subject, others]), context, context.abs().sum(-1) > 0

# %% 12.3 wrong class_first prior before instance
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    both = [others_context, subject_context]
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in both])
    mask = torch.cat([(torch.arange(L) < c.shape[1]).repeat(len(c), 1) for c in both])
    return torch.cat([others, subject]), context, mask

# %% 12.3 wrong captions_swapped contexts the other way round
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    both = [others_context, subject_context]
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in both])
    mask = torch.cat([(torch.arange(L) < c.shape[1]).repeat(len(c), 1) for c in both])
    return torch.cat([subject, others]), context, mask

# %% 12.3 wrong not_padded cat alone
import torch


def paired_batch(subject, subject_context, others, others_context):
    context = torch.cat([subject_context, others_context])
    return torch.cat([subject, others]), context, torch.ones(context.shape[:2]).bool()

# %% 12.3 wrong subject_is_longer pads only the class
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L1, L2 = subject_context.shape[1], others_context.shape[1]
    context = torch.cat([subject_context, F.pad(others_context, (0, 0, 0, L1 - L2))])
    lengths = torch.tensor([L1] * len(subject) + [L2] * len(others))
    return torch.cat([subject, others]), context, torch.arange(L1) < lengths[:, None]

# %% 12.3 wrong cut to the shorter
import torch


def paired_batch(subject, subject_context, others, others_context):
    L = min(subject_context.shape[1], others_context.shape[1])
    context = torch.cat([subject_context[:, :L], others_context[:, :L]])
    return torch.cat([subject, others]), context, torch.ones(len(context), L, dtype=torch.bool)

# %% 12.3 wrong padding_in_float32 zeros without dtype
import torch


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    rows = []
    for c in (subject_context, others_context):
        rows.append(torch.cat([c, torch.zeros(c.shape[0], L - c.shape[1], c.shape[2])], dim=1))
    lengths = torch.tensor([c.shape[1] for c in (subject_context, others_context) for _ in c])
    return torch.cat([subject, others]), torch.cat(rows), torch.arange(L) < lengths[:, None]

# %% 12.3 wrong mask_of_whole_numbers ones and zeros, as tokenizers give
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    both = (subject_context, others_context)
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in both])
    mask = torch.cat([F.pad(torch.ones(c.shape[:2], dtype=torch.long), (0, L - c.shape[1])) for c in both])
    return torch.cat([subject, others]), context, mask

# %% 12.3 wrong - adds latents in place of putting them together
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    both = (subject_context, others_context)
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in both])
    mask = torch.cat([(torch.arange(L) < c.shape[1]).repeat(len(c), 1) for c in both])
    return subject + others, context, mask

# %% 12.4 right cosine_similarity of all pairs
import torch
import torch.nn.functional as F


def nearest_is_subject(x, subject, others):
    s = F.cosine_similarity(x[:, None], subject[None], dim=-1).max(dim=1).values
    o = F.cosine_similarity(x[:, None], others[None], dim=-1).max(dim=1).values
    return (s > o).float().mean().item()


def identity_and_drift(drawn, drawn_class, subject, others):
    return nearest_is_subject(drawn, subject, others), nearest_is_subject(drawn_class, subject, others)

# %% 12.4 right numpy, loops and counting
import numpy as np


def identity_and_drift(drawn, drawn_class, subject, others):
    true = np.concatenate([subject.numpy(), others.numpy()])
    true = true / np.linalg.norm(true, axis=1, keepdims=True)
    results = []
    for some in (drawn.numpy(), drawn_class.numpy()):
        hits = 0
        for vector in some:
            if np.argmax(true @ vector) < len(subject):     # the length of vector changes nothing
                hits += 1
        results.append(hits / len(some))
    return tuple(results)

# %% 12.4 right distances between vectors of length 1
import torch


def identity_and_drift(drawn, drawn_class, subject, others):
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)
    reference = unit(torch.vstack([subject, others]))
    is_subject = torch.tensor([True] * len(subject) + [False] * len(others))
    found = []
    for x in (drawn, drawn_class):
        k = torch.cdist(unit(x), reference).argmin(1)
        found.append(float(is_subject[k].float().mean()))
    return found

# %% 12.4 right topk and einsum
import torch
from torch.nn import functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    def share(x):
        cos = torch.einsum("np,tp->nt", F.normalize(x, dim=-1), F.normalize(torch.cat((subject, others)), dim=-1))
        top = cos.topk(1, dim=1).indices.squeeze(1)
        return float(sum(int(i) < subject.shape[0] for i in top)) / x.shape[0]

    identity = share(drawn)
    drift = share(drawn_class)
    return identity, drift

# %% 12.4 wrong scalar_product only the drawn ones at length 1
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = torch.cat([subject, others])
    found = [(F.normalize(x, dim=1) @ true.T).argmax(1) < len(subject) for x in (drawn, drawn_class)]
    return tuple(f.double().mean().item() for f in found)

# %% 12.4 wrong distance cdist
import torch


def identity_and_drift(drawn, drawn_class, subject, others):
    true = torch.cat([subject, others])
    share = lambda x: (torch.cdist(x, true).argmin(1) < len(subject)).double().mean().item()
    return share(drawn), share(drawn_class)

# %% 12.4 wrong other_dimension argmax over rows
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]))

    def share(x):
        return (torch.argmax(F.normalize(x) @ true.T, 0) < len(subject)).double().mean().item()

    return share(drawn), share(drawn_class)

# %% 12.4 wrong averages_compared mean cosines
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    def share(x):
        a = F.cosine_similarity(x[:, None], subject[None], dim=2).mean(1)
        b = F.cosine_similarity(x[:, None], others[None], dim=2).mean(1)
        return (a > b).double().mean().item()

    return share(drawn), share(drawn_class)

# %% 12.4 wrong mean_cosine as the paper's DINO score
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    s = F.normalize(subject, dim=1)
    return (F.normalize(drawn, dim=1) @ s.T).mean().item(), (F.normalize(drawn_class, dim=1) @ s.T).mean().item()

# %% 12.4 wrong others_counted the wrong sign
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]), dim=1)
    share = lambda x: ((F.normalize(x, dim=1) @ true.T).argmax(1) >= len(subject)).double().mean().item()
    return share(drawn), share(drawn_class)

# %% 12.4 wrong drift_inverted share of true others
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]), dim=1)
    first = (F.normalize(drawn, dim=1) @ true.T).argmax(1) < len(subject)
    second = (F.normalize(drawn_class, dim=1) @ true.T).argmax(1) >= len(subject)
    return first.double().mean().item(), second.double().mean().item()

# %% 12.4 wrong drift_of_the_drawn one minus identity
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]), dim=1)
    hits = (F.normalize(drawn, dim=1) @ true.T).argmax(1) < len(subject)
    identity = hits.double().mean().item()
    return identity, 1 - identity

# %% 12.4 wrong swapped drift first
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]), dim=1)
    drift, identity = ((F.normalize(x, dim=1) @ true.T).argmax(1) < len(subject) for x in (drawn_class, drawn))
    return drift.double().mean().item(), identity.double().mean().item()

# %% 12.4 wrong counts sum of hits
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]), dim=1)
    count = lambda x: float(((F.normalize(x, dim=1) @ true.T).argmax(1) < len(subject)).sum())
    return count(drawn), count(drawn_class)

# %% 12.4 wrong tensors no item
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]), dim=1)
    share = lambda x: ((F.normalize(x, dim=1) @ true.T).argmax(1) < len(subject)).float().mean()
    return share(drawn), share(drawn_class)

# %% 12.4 wrong - the three nearest vote
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]), dim=1)

    def share(x):
        k = (F.normalize(x, dim=1) @ true.T).topk(3, dim=1).indices
        return ((k < len(subject)).sum(1) >= 2).double().mean().item()

    return share(drawn), share(drawn_class)

# %% 12.4 wrong - features centred first
import torch
import torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = torch.cat([subject, others])
    centre = true.mean(0)
    true = F.normalize(true - centre, dim=1)
    share = lambda x: ((F.normalize(x - centre, dim=1) @ true.T).argmax(1) < len(subject)).double().mean().item()
    return share(drawn), share(drawn_class)

# %% 12.5 right mends the three lines
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    x = schedule.mix(x0, eps, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 right by hand, with v written out
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    alpha, sigma = (f(t).view(-1, 1, 1, 1) for f in (schedule.alpha, schedule.sigma))
    v_hat = model(alpha * x0 + sigma * eps, schedule.timestep(t), context, mask=mask)
    errors = (v_hat - (alpha * eps - sigma * x0)) ** 2
    subject, others = errors.chunk(2)
    return subject.mean() + weight * others.mean()

# %% 12.5 right the halves one after the other
import torch.nn.functional as F

from minidiff.diffusion.prediction import target as wanted


def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    losses = []
    for x, c, m, e, when in zip(*(part.chunk(2) for part in (x0, context, mask, eps, t))):
        out = model(schedule.mix(x, e, when), schedule.timestep(when), c, m)
        losses.append(F.mse_loss(out, wanted(schedule, "v", x, e, when)))
    return losses[0] + weight * losses[1]

# %% 12.5 right the library's losses of each example
from minidiff.diffusion.losses import example_losses


def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    B = len(x0) // 2
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    per_image = example_losses(prediction, x0, eps, t, schedule, "v")
    print("subject", per_image[:B].mean().item(), "class", per_image[B:].mean().item())
    return per_image[:B].mean() + weight * per_image[B:].mean()

# %% 12.5 wrong as_given only the raise deleted
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    first, _ = t.chunk(2)                                   # (B,)
    x = schedule.mix(x0, eps, torch.cat([first, first]))    # (2B, C, h, w)
    prediction = model(x, schedule.timestep(t), context, mask)
    subject, others = (prediction - eps).square().chunk(2)  # (B, C, h, w) each
    return weight * subject.mean() + others.mean()

# %% 12.5 wrong times_and_half v first
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    first, _ = t.chunk(2)
    x = schedule.mix(x0, eps, torch.cat([first, first]))
    prediction = model(x, schedule.timestep(t), context, mask)
    v = target(schedule, "v", x0, eps, t)
    subject, others = (prediction - v).square().chunk(2)
    return weight * subject.mean() + others.mean()

# %% 12.5 wrong times_and_target the loss exchanged
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    first, _ = t.chunk(2)
    x = schedule.mix(x0, eps, torch.cat([first, first]))
    prediction = model(x, schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, eps, weight)

# %% 12.5 wrong half_and_target the times mended
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    x = schedule.mix(x0, eps, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    subject, others = (prediction - eps).square().chunk(2)
    return weight * subject.mean() + others.mean()

# %% 12.5 wrong times_of_the_subject the rest mended
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    B = len(t) // 2
    noised = [schedule.mix(x0[:B], eps[:B], t[:B]), schedule.mix(x0[B:], eps[B:], t[:B])]
    prediction = model(torch.cat(noised), schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong told_the_subjects_time the other way round
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    timestep = schedule.timestep(t[: len(t) // 2])
    prediction = model(schedule.mix(x0, eps, t), torch.cat([timestep, timestep]), context, mask)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong one_time_for_both consistently
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    first, _ = t.chunk(2)
    t = torch.cat([first, first])
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong wrong_half weight still in front
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    subject, others = (prediction - target(schedule, "v", x0, eps, t)).square().chunk(2)
    return weight * subject.mean() + others.mean()

# %% 12.5 wrong noise_for_v eps left
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, eps, weight)

# %% 12.5 wrong flow_for_v eps minus x0
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, eps - x0, weight)

# %% 12.5 wrong shares_swapped alpha and sigma
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    a, s = schedule.alpha(t).view(-1, 1, 1, 1), schedule.sigma(t).view(-1, 1, 1, 1)
    prediction = model(a * x0 + s * eps, schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, s * eps - a * x0, weight)

# %% 12.5 wrong one_mean mse_loss of all
import torch.nn.functional as F


def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, eps, t))

# %% 12.5 wrong times_1000 writes the timestep out
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), t * 1000.0, context, mask)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong mask_dropped three arguments
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong backward_inside does it all
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    loss = prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)
    loss.backward()
    return loss

# %% 12.5 wrong two_losses one of each
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    errors = (prediction - target(schedule, "v", x0, eps, t)).square()
    return errors.unflatten(0, (2, -1)).flatten(1).mean(1)

# %% 12.5 wrong @input noise added to x0 itself
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    v = target(schedule, "v", x0, eps, t)
    x0.copy_(schedule.mix(x0, eps, t))
    return prior_preservation_loss(model(x0, schedule.timestep(t), context, mask), v, weight)

# %% 12.5 wrong - weights by the noise, as min-SNR
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    prediction = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    errors = (prediction - target(schedule, "v", x0, eps, t)).square() * schedule.sigma(t).view(-1, 1, 1, 1)
    subject, others = errors.chunk(2)
    return subject.mean() + weight * others.mean()

# %% 12.1 right one whole number for both, in Python
def rarest_word(counts, words):
    longest = max(map(len, words)) + 1
    scores = [int(counts[list(ids)].max()) * longest + len(ids) for ids in words]
    return scores.index(min(scores))

# %% 12.1 right two filters
def rarest_word(counts, words):
    common = [int(counts[list(ids)].max()) for ids in words]
    rare = [k for k, c in enumerate(common) if c == min(common)]
    sizes = [len(words[k]) for k in rare]
    return rare[sizes.index(min(sizes))]

# %% 12.1 wrong in_one_number plus the number of tokens
def rarest_word(counts, words):
    scores = [int(counts[list(ids)].max()) + len(ids) for ids in words]
    return scores.index(min(scores))

# %% 12.1 wrong - tens for the common, ones for the tokens
def rarest_word(counts, words):
    scores = [10 * int(counts[list(ids)].max()) + len(ids) for ids in words]
    return scores.index(min(scores))

# %% 12.1 wrong start_too_low start value too low
def rarest_word(counts, words):
    best, low = 0, (1000, 100)
    for k, ids in enumerate(words):
        rank = (int(counts[list(ids)].max()), len(ids))
        if rank < low:
            best, low = k, rank
    return best

# %% 12.1 wrong counts_in_float32 float32 counts
import torch


def rarest_word(counts, words):
    common = torch.stack([counts[list(ids)].float().max() for ids in words]).tolist()
    ranks = list(zip(common, map(len, words)))
    return ranks.index(min(ranks))

# %% 12.1 wrong - int32
import numpy as np


def rarest_word(counts, words):
    c = counts.numpy().astype(np.int32)
    ranks = [(int(c[list(w)].max()), len(w)) for w in words]
    return ranks.index(min(ranks))

# %% 12.1 wrong a_float float
def rarest_word(counts, words):
    ranks = [(int(counts[list(ids)].max()), len(ids)) for ids in words]
    return float(ranks.index(min(ranks)))

# %% 12.1 wrong repeats_weigh_more tokens that occur twice weigh twice
from collections import Counter


def rarest_word(counts, words):
    ranks = [(max(n * int(counts[i]) for i, n in Counter(ids).items()), len(ids)) for ids in words]
    return ranks.index(min(ranks))

# %% 12.1 wrong compared_further ties in both by the sum of counts
def rarest_word(counts, words):
    ranks = [(int(counts[list(ids)].max()), len(ids), int(counts[list(ids)].sum())) for ids in words]
    return ranks.index(min(ranks))

# %% 12.2 right target detached
def prior_preservation_loss(prediction, target, weight):
    error = (prediction.float() - target.detach().float()) ** 2
    s, c = error.chunk(2, dim=0)
    return torch.add(s.mean(), c.mean(), alpha=weight)

# %% 12.2 right einops and einsum
import torch
from einops import rearrange


def prior_preservation_loss(prediction, target, weight):
    d = rearrange((prediction.float() - target.float()), "(two b) ... -> two (b ...)", two=2)
    sums = torch.einsum("hn,hn->h", d, d) / d.shape[1]
    return sums[0] + sums[1] * weight

# %% 12.2 wrong float_after_the_subtraction float after the subtraction
def prior_preservation_loss(prediction, target, weight):
    a, b = (prediction - target).float().square().chunk(2)
    return a.mean() + weight * b.mean()

# %% 12.2 wrong @input square in place
def prior_preservation_loss(prediction, target, weight):
    p, t = prediction.to(torch.float32), target.to(torch.float32)
    a, b = p.sub_(t).square().chunk(2)
    return a.mean() + weight * b.mean()

# %% 12.2 wrong - view
def prior_preservation_loss(prediction, target, weight):
    e = (prediction.float().view(2, -1) - target.float().view(2, -1)).square().mean(1)
    return e[0] + weight * e[1]

# %% 12.2 wrong a_plain_number item
def prior_preservation_loss(prediction, target, weight):
    a, b = (prediction.float() - target.float()).square().chunk(2)
    return (a.mean() + weight * b.mean()).item()

# %% 12.2 wrong whole_batch_first plain MSE plus weighted class
import torch.nn.functional as F


def prior_preservation_loss(prediction, target, weight):
    p, t = prediction.float(), target.float()
    n = len(p) // 2
    return F.mse_loss(p, t) + weight * F.mse_loss(p[n:], t[n:])

# %% 12.2 wrong halved_along_the_last last dim chunked
def prior_preservation_loss(prediction, target, weight):
    a, b = (prediction.float() - target.float()).square().chunk(2, dim=-1)
    return a.mean() + weight * b.mean()

# %% 12.3 right nested tensor
import torch


def paired_batch(subject, subject_context, others, others_context):
    parts = torch.nested.nested_tensor([*subject_context, *others_context])
    marks = torch.nested.nested_tensor([torch.ones(len(c)) for c in (*subject_context, *others_context)])
    return torch.cat([subject, others]), parts.to_padded_tensor(0.0), marks.to_padded_tensor(0.0).bool()

# %% 12.3 wrong squeezed squeezes
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = max(subject_context.shape[1], others_context.shape[1])
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in (subject_context, others_context)])
    lengths = torch.tensor([c.shape[1] for c in (subject_context, others_context) for _ in subject])
    return torch.cat([subject, others]).squeeze(), context, torch.arange(L) < lengths[:, None]

# %% 12.3 wrong minus_zero -gap slice empties where equal
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    B, a, b = len(subject), subject_context.shape[1], others_context.shape[1]
    L = max(a, b)
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in (subject_context, others_context)])
    mask = torch.ones(2 * B, L, dtype=torch.bool)
    mask[:B, -(L - a):] = False
    mask[B:, -(L - b):] = False
    return torch.cat([subject, others]), context, mask

# %% 12.3 wrong context_in_float32 zeros of the default dtype
import torch


def paired_batch(subject, subject_context, others, others_context):
    B, L1, D = subject_context.shape
    L2 = others_context.size(1)
    context = torch.zeros(2 * B, max(L1, L2), D)
    mask = torch.zeros(context.shape[:2], dtype=torch.bool)
    context[:B, :L1] = subject_context; mask[:B, :L1] = True
    context[B:, :L2] = others_context; mask[B:, :L2] = True
    return torch.cat([subject, others]), context, mask

# %% 12.3 wrong seventy_seven L fixed at 77
import torch
import torch.nn.functional as F


def paired_batch(subject, subject_context, others, others_context):
    L = 77
    context = torch.cat([F.pad(c, (0, 0, 0, L - c.shape[1])) for c in (subject_context, others_context)])
    lengths = torch.tensor([c.shape[1] for c in (subject_context, others_context) for _ in subject])
    return torch.cat([subject, others]), context, torch.arange(L) < lengths[:, None]

# %% 12.4 right angles
import torch, torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    n = F.normalize
    def nearest(x, y):
        return torch.arccos((n(x.double()) @ n(y.double()).T).clamp(-1, 1)).min(dim=1)[0]
    return [(nearest(x, subject) < nearest(x, others)).double().mean().item() for x in (drawn, drawn_class)]

# %% 12.4 wrong others_first others first
import torch, torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([others, subject]))
    share = lambda x: float(((F.normalize(x) @ true.T).argmax(1) < len(subject)).float().mean())
    return share(drawn), share(drawn_class)

# %% 12.4 wrong cut_in_the_middle split in the middle
import torch, torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]))
    share = lambda x: float(((F.normalize(x) @ true.T).argmax(1) < len(true) // 2).float().mean())
    return share(drawn), share(drawn_class)

# %% 12.4 wrong sign_lost absolute cosine
import torch, torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    true = F.normalize(torch.cat([subject, others]))
    share = lambda x: float(((F.normalize(x) @ true.T).abs().argmax(1) < len(subject)).float().mean())
    return share(drawn), share(drawn_class)

# %% 12.4 wrong largest_cosines mean of the largest cosine
import torch, torch.nn.functional as F


def identity_and_drift(drawn, drawn_class, subject, others):
    c = lambda x: float((F.normalize(x) @ F.normalize(subject).T).amax(1).mean())
    return c(drawn), c(drawn_class)

# %% 12.5 right two calls of the model
import torch, torch.nn.functional as F
from minidiff.diffusion.prediction import target as goal


def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    losses = []
    for a, c, m, e, s in zip(*(y.chunk(2) for y in (x0, context, mask, eps, t))):
        p = model(schedule.mix(a, e, s), schedule.timestep(s), c, m)
        losses.append(F.mse_loss(p, goal(schedule, "v", a, e, s)))
    return losses[0] + weight * losses[1]

# %% 12.5 wrong whole_timesteps timestep long
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    x = schedule.mix(x0, eps, t)
    prediction = model(x, schedule.timestep(t).long(), context, mask)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong - timestep as a whole number
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    x = schedule.mix(x0, eps, t)
    prediction = model(x, schedule.timestep(t).round(), context, mask)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong mode_changed eval mode set
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    model.eval()
    x = schedule.mix(x0, eps, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong sign_of_v v with the other sign
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    x = schedule.mix(x0, eps, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    return prior_preservation_loss(prediction, -target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong class_detached class half without gradient
import torch


def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    x = schedule.mix(x0, eps, t)
    prediction = model(x, schedule.timestep(t), context, mask)
    p, q = prediction.chunk(2)
    return prior_preservation_loss(torch.cat([p, q.detach()]), target(schedule, "v", x0, eps, t), weight)

# %% 12.5 wrong times_1000 1000 t by hand
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    noisy = schedule.mix(x0=x0, eps=eps, t=t)
    guess = model(noisy, 1000 * t, context, mask)
    return prior_preservation_loss(prediction=guess, target=target(schedule, "v", x0, eps, t), weight=weight)
