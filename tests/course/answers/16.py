"""Answers to lesson 16 as learners write them: `right` ones get every point, `wrong` ones don't; behind `wrong` the mistake
whose hint they get, or - for none of their own."""

# %% 16.1 right factored
def micro_batch(step, micro, accumulate, ranks, rank):
    turn = step * accumulate + micro  # turns since the beginning
    return turn * ranks + rank

# %% 16.1 right numpy counts the place in a table
import numpy as np


def micro_batch(step, micro, accumulate, ranks, rank):
    table = (step + 1, accumulate, ranks)
    return np.ravel_multi_index((step, micro, rank), table)

# %% 16.1 right counts one after another
from itertools import count, product


def micro_batch(step, micro, accumulate, ranks, rank):
    numbers = count(step * accumulate * ranks)
    for place in product(range(accumulate), range(ranks)):
        number = next(numbers)
        if place == (micro, rank):
            return number

# %% 16.1 wrong rank_left_out the rank is forgotten
def micro_batch(step, micro, accumulate, ranks, rank):
    per_step = accumulate * ranks
    return step * per_step + ranks * micro

# %% 16.1 wrong as_if_alone as in one process
micro_batch = lambda step, micro, accumulate, ranks, rank: accumulate * step + micro

# %% 16.1 wrong blocks a range of numbers for each rank
def micro_batch(step, micro, accumulate, ranks, rank):
    first = step * accumulate * ranks + rank * accumulate
    return range(first, first + accumulate)[micro]

# %% 16.1 wrong steps_overlap steps of accumulate numbers
def micro_batch(step, micro, accumulate, ranks, rank):
    return step * accumulate + micro * ranks + rank

# %% 16.1 wrong one_turn_a_step steps of ranks numbers
def micro_batch(step, micro, accumulate, ranks, rank):
    n = (step + micro) * ranks
    n += rank
    return n

# %% 16.1 wrong turns_overlap brackets in the wrong place
def micro_batch(step, micro, accumulate, ranks, rank):
    return step * accumulate * ranks + (micro + rank)

# %% 16.1 wrong turns_and_ranks_swapped the other factor
def micro_batch(step, micro, accumulate, ranks, rank):
    per_step = ranks * accumulate
    return sum([per_step * step, accumulate * micro, rank])

# %% 16.1 wrong from_one counts from one
def micro_batch(step, micro, accumulate, ranks, rank):
    return 1 + rank + ranks * (micro + accumulate * step)

# %% 16.1 wrong - a float
def micro_batch(step, micro, accumulate, ranks, rank):
    return (step + micro / accumulate) * accumulate * ranks + rank

# %% 16.1 wrong - steps from one
def micro_batch(step, micro, accumulate, ranks, rank):
    return (step - 1) * accumulate * ranks + micro * ranks + rank

# %% 16.1 wrong a_tensor a tensor
import torch


def micro_batch(step, micro, accumulate, ranks, rank):
    return torch.tensor(step * accumulate * ranks + micro * ranks + rank)

# %% 16.1 wrong step_left_out begins anew each step
def micro_batch(step, micro, accumulate, ranks, rank):
    per_step = accumulate * ranks
    return micro * ranks + rank

# %% 16.1 right ravel_multi_index, a NumPy integer
import numpy as np


def micro_batch(step, micro, accumulate, ranks, rank):
    return np.ravel_multi_index((step, micro, rank), (step + 1, accumulate, ranks))

# %% 16.2 right divides the sums at the end, then clips
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    model.zero_grad(set_to_none=True)
    seen = 0
    for b in batches:
        (b.shape[0] * loss(model, b)).backward()
        seen += b.shape[0]
    learning = [p for p in model.parameters() if p.requires_grad]
    for p in learning:
        p.grad.div_(seen)
    nn.utils.clip_grad_norm_(learning, max_norm)
    out = [p.grad.clone() for p in learning]
    for p in learning:
        p.grad = None
    return out

# %% 16.2 right autograd.grad and a clip by hand
import torch


def clipped(gradients, most):
    norm = sum(g.pow(2).sum() for g in gradients).sqrt()
    return gradients if norm <= most else [g * most / norm for g in gradients]


def accumulated_gradient(model, loss, batches, max_norm):
    weights = [w for w in model.parameters() if w.requires_grad]
    sizes = torch.tensor([len(batch) for batch in batches])
    shares = [len(b) / sizes.sum().item() for b in batches]
    sums = [torch.zeros_like(w) for w in weights]
    for share, batch in zip(shares, batches):
        for s, g in zip(sums, torch.autograd.grad(loss(model, batch), weights)):
            s.add_(g, alpha=share)
    return clipped(sums, max_norm)

# %% 16.2 right works on a copy of the model
from copy import deepcopy

import torch


def accumulated_gradient(model, loss, batches, max_norm):
    twin = deepcopy(model)
    twin.zero_grad()
    n = sum(map(len, batches))
    for k, batch in enumerate(batches):
        value = loss(twin, batch)
        value.backward(torch.full_like(value, len(batch) / n))
        print("part", k)
    params = list(filter(lambda p: p.requires_grad, twin.parameters()))
    torch.nn.utils.clip_grad_norm_(params, max_norm)
    return [p.grad for p in params]

# %% 16.2 wrong not_divided only backward
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    model.zero_grad()
    for part in batches:
        loss(model, part).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    answer = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return answer

# %% 16.2 wrong mean_of_means divides by the number of parts
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    weights = [w for w in model.parameters() if w.requires_grad]
    each = [torch.autograd.grad(loss(model, b), weights) for b in batches]
    mean = [torch.stack(column).mean(0) for column in zip(*each)]
    norm = torch.cat([g.reshape(-1) for g in mean]).norm()
    return [g * min(1, max_norm / norm.item()) for g in mean]

# %% 16.2 wrong sum_over_pictures multiplies and doesn't divide
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    model.zero_grad()
    for batch in batches:
        summed = loss(model, batch) * batch.size(0)
        summed.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    out = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return out

# %% 16.2 wrong clipped_in_the_loop clips each part
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    total = sum(len(batch) for batch in batches)
    learning = [w for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    for batch in batches:
        (len(batch) * loss(model, batch) / total).backward()
        nn.utils.clip_grad_norm_(learning, max_norm)
    gradients = [w.grad.detach().clone() for w in learning]
    model.zero_grad()
    return gradients

# %% 16.2 wrong stale_gradients forgets to clear before
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    count = sum(len(batch) for batch in batches)
    for batch in batches:
        weight = len(batch) / count
        (weight * loss(model, batch)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    found = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return found

# %% 16.2 wrong zeros_returned an optimizer's habit
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    model.zero_grad()
    n = sum(len(batch) for batch in batches)
    for batch in batches:
        (loss(model, batch) * (len(batch) / n)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    found = [w.grad for w in model.parameters() if w.requires_grad]
    for w in model.parameters():
        if w.grad is not None:
            w.grad.zero_()
    return found

# %% 16.2 wrong graphs_kept one backward at the end
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    model.zero_grad()
    value, n = 0, 0
    for batch in batches:
        value = value + len(batch) * loss(model, batch)
        n += len(batch)
    (value / n).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    found = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return found

# %% 16.2 wrong one_large_batch puts all together
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    weights = [w for w in model.parameters() if w.requires_grad]
    gradients = torch.autograd.grad(loss(model, torch.cat(batches)), weights)
    norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))
    return [g * torch.clamp(max_norm / norm, max=1.0) for g in gradients]

# %% 16.2 wrong each_weight_clipped a norm for each
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    weights = [w for w in model.parameters() if w.requires_grad]
    n = sum(len(b) for b in batches)
    sums = [torch.zeros_like(w) for w in weights]
    for b in batches:
        for s, g in zip(sums, torch.autograd.grad(loss(model, b), weights)):
            s += g * len(b) / n
    return [s * min(1.0, max_norm / s.norm().item()) for s in sums]

# %% 16.2 wrong - also moves the weights
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], 0.1)
    optimizer.zero_grad()
    for batch in batches:
        (loss(model, batch) * len(batch) / sum(map(len, batches))).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    gradients = [w.grad for w in model.parameters() if w.requires_grad]
    optimizer.step()
    optimizer.zero_grad()
    return gradients

# %% 16.2 right running mean
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    model.zero_grad()
    params = list(filter(lambda w: w.requires_grad, model.parameters()))
    mean, seen = None, 0
    for batch in batches:
        g = torch.autograd.grad(loss(model, batch), params)
        seen += len(batch)
        mean = list(g) if mean is None else [m + (x - m) * (len(batch) / seen) for m, x in zip(mean, g)]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(m) for m in mean]))
    factor = torch.clamp(max_norm / norm, max=1.0)
    return [m * factor for m in mean]

# %% 16.2 right keeps the losses in a list, to print their mean
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    n, losses = sum(len(b) for b in batches), []
    model.zero_grad()
    for b in batches:
        losses.append(loss(model, b) * (len(b) / n))
        losses[-1].backward()
    print(sum(losses).item())
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    out = [p.grad for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    return out

# %% 16.2 wrong by_numbers share by number of elements
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    n = sum(b.numel() for b in batches)
    model.zero_grad()
    for b in batches:
        (loss(model, b) * (b.numel() / n)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    out = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    return out

# %% 16.2 wrong graph_retained keeps the last graph alive for the next batch
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    n = sum(map(len, batches))
    model.zero_grad()
    seen = 0
    for b in batches:
        part = loss(model, b) * len(b) / n
        seen = seen + part
        part.backward(retain_graph=True)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    out = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    return out

# %% 16.2 wrong graph_retained retain_graph
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    n = sum(map(len, batches))
    model.zero_grad()
    for b in batches:
        (loss(model, b) * len(b) / n).backward(retain_graph=True)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    out = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    return out

# %% 16.2 wrong - keeps the graph of the gradients
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    n = sum(map(len, batches))
    ws = [w for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    parts = [torch.autograd.grad(loss(model, b) * len(b) / n, ws, create_graph=True) for b in batches]
    out = [sum(p) for p in zip(*parts)]
    norm = torch.cat([o.flatten() for o in out]).norm()
    return [o * torch.clamp(max_norm / norm, max=1) for o in out]

# %% 16.2 wrong - leaves the model in eval
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    n = sum(map(len, batches))
    model.eval()
    model.zero_grad()
    for b in batches:
        (loss(model, b) * (len(b) / n)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    out = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    return out

# %% 16.2 wrong - float32 and back
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    n = sum(map(len, batches))
    ws = [w for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    out = [torch.zeros(w.shape) for w in ws]
    for b in batches:
        for o, g in zip(out, torch.autograd.grad(loss(model, b), ws)):
            o += g * len(b) / n
    norm = torch.cat([o.flatten() for o in out]).norm()
    return [(o * min(1.0, max_norm / norm.item())).to(w.dtype) for o, w in zip(out, ws)]

# %% 16.2 wrong frozen_in_the_norm stale gradients of frozen weights count in the norm
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    ws = [w for w in model.parameters() if w.requires_grad]
    n = sum(map(len, batches))
    for w in ws:
        w.grad = None
    for b in batches:
        (loss(model, b) * (len(b) / n)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    out = [p.grad for p in ws]
    for w in ws:
        w.grad = None
    return out

# %% 16.2 wrong clipped_before_dividing clips the sum, then divides
from torch import nn


def accumulated_gradient(model, loss, batches, max_norm):
    n = sum(map(len, batches))
    model.zero_grad()
    for b in batches:
        (loss(model, b) * len(b)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    out = [p.grad / n for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    return out

# %% 16.3 right reshaped into rounds
import torch


def my_samples(count, ranks, rank, epoch, seed):
    g = torch.Generator()
    g.manual_seed(mix_seed(seed, epoch))
    rounds = count // ranks
    return torch.randperm(count, generator=g)[: rounds * ranks].view(rounds, ranks)[:, rank]

# %% 16.3 right a list and a comprehension
import torch


def my_samples(count, ranks, rank, epoch, seed):
    dice = torch.Generator().manual_seed(mix_seed(seed, epoch))
    order = torch.randperm(count, generator=dice).tolist()
    mine = [order[k] for k in range(count - count % ranks) if k % ranks == rank]
    return torch.tensor(mine, dtype=torch.long)

# %% 16.3 right its own hash, cut after dealing
import torch


def my_samples(count, ranks, rank, epoch, seed):
    special = hash((seed, epoch)) & 0x7FFF_FFFF_FFFF_FFFF
    order = torch.randperm(count, generator=torch.Generator().manual_seed(special))
    own = order[rank::ranks]
    return own[: count // ranks].contiguous()

# %% 16.3 wrong rank_in_the_seed each its own seed
import torch


def my_samples(count, ranks, rank, epoch, seed):
    g = torch.Generator().manual_seed(mix_seed(seed, epoch, rank))
    order = torch.randperm(count, generator=g)
    return order[: len(order) // ranks * ranks][rank::ranks]

# %% 16.3 wrong seed_plus_rank seed and rank
import torch


def my_samples(count, ranks, rank, epoch, seed):
    own_seed = seed + rank
    order = torch.randperm(count, generator=torch.Generator().manual_seed(mix_seed(own_seed, epoch)))
    return order[rank::ranks][: count // ranks]

# %% 16.3 wrong unequal a slice alone
import torch


def my_samples(count, ranks, rank, epoch, seed):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(mix_seed(seed, epoch)))
    return order[rank::ranks]

# %% 16.3 wrong filled_up PyTorch's sampler as it is
from torch.utils.data import DistributedSampler

import torch


def my_samples(count, ranks, rank, epoch, seed):
    sampler = DistributedSampler(range(count), num_replicas=ranks, rank=rank, seed=mix_seed(seed, epoch))
    return torch.tensor(list(sampler))

# %% 16.3 wrong seed_plus_epoch PyTorch's sampler, set_epoch
from torch.utils.data import DistributedSampler

import torch


def my_samples(count, ranks, rank, epoch, seed):
    sampler = DistributedSampler(range(count), ranks, rank, seed=seed, drop_last=True)
    sampler.set_epoch(epoch)
    return torch.tensor([*sampler])

# %% 16.3 wrong blocks a chunk for each
import torch


def my_samples(count, ranks, rank, epoch, seed):
    g = torch.Generator().manual_seed(mix_seed(seed, epoch))
    kept = torch.randperm(count, generator=g)[: count - count % ranks]
    return kept.chunk(ranks)[rank]

# %% 16.3 wrong shuffled_after_dealing own share shuffled
import torch


def my_samples(count, ranks, rank, epoch, seed):
    each = count // ranks
    mine = rank + ranks * torch.arange(each)
    g = torch.Generator().manual_seed(mix_seed(seed, epoch))
    return mine[torch.randperm(each, generator=g)]

# %% 16.3 wrong epoch_left_out the same every epoch
import torch


def my_samples(count, ranks, rank, epoch, seed):
    g = torch.Generator().manual_seed(mix_seed(seed))
    return torch.randperm(count, generator=g)[: count // ranks * ranks][rank::ranks]

# %% 16.3 wrong common_dice_seeded sets the common seed
import torch


def my_samples(count, ranks, rank, epoch, seed):
    torch.manual_seed(mix_seed(seed, epoch))
    order = torch.randperm(count)
    return order[: ranks * (count // ranks)][rank::ranks]

# %% 16.3 wrong - Python's shuffle
import random

import torch


def my_samples(count, ranks, rank, epoch, seed):
    order = list(range(count))
    random.Random(mix_seed(seed, epoch)).shuffle(order)
    return torch.tensor(order[: count // ranks * ranks][rank::ranks])

# %% 16.3 right slice first, cut afterwards
import torch


def my_samples(count, ranks, rank, epoch, seed):
    g = torch.Generator()
    g.manual_seed(mix_seed(seed, epoch))
    return torch.randperm(count, generator=g)[rank::ranks][: count // ranks].clone()

# %% 16.3 wrong sorted sorted
import torch


def my_samples(count, ranks, rank, epoch, seed):
    g = torch.Generator().manual_seed(mix_seed(seed, epoch))
    return torch.randperm(count, generator=g)[: count // ranks * ranks][rank::ranks].sort().values

# %% 16.3 wrong - a list
import torch


def my_samples(count, ranks, rank, epoch, seed):
    g = torch.Generator().manual_seed(mix_seed(seed, epoch))
    return torch.randperm(count, generator=g)[: count // ranks * ranks][rank::ranks].tolist()

# %% 16.4 right two halves, one after the other
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    parts = [list(torch.chunk(t.reshape(-1), n)) for t in tensors]
    for s in range(n - 1):  # reduce-scatter
        for r in range(n):
            k = (r - s) % n
            parts[(r + 1) % n][k] = parts[(r + 1) % n][k] + send(parts[r][k], r, (r + 1) % n)
    for s in range(n - 1):  # all-gather
        for r in range(n):
            k = (r + 1 - s) % n
            parts[(r + 1) % n][k] = send(parts[r][k], r, (r + 1) % n)
    return [torch.cat(p).view(tensors[0].shape) / n for p in parts]

# %% 16.4 right all at once in each round, divided beforehand
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    rows = [(t / n).flatten().view(n, -1).clone() for t in tensors]
    for turn in range(2 * n - 2):
        came = {(r + 1) % n: send(rows[r][(r - turn) % n].clone(), r, (r + 1) % n) for r in range(n)}
        for to, chunk in came.items():
            place = (to - 1 - turn) % n
            if turn < n - 1:
                rows[to][place] += chunk
            else:
                rows[to][place] = chunk
    return [row.reshape(t.shape) for row, t in zip(rows, tensors)]

# %% 16.4 right a class for a rank
import torch


class Rank:
    def __init__(self, number, tensor, n):
        self.number, self.n, self.shape = number, n, tensor.shape
        self.chunks = dict(enumerate(tensor.flatten().split(tensor.numel() // n)))

    def send(self, turn, other, send):
        place = (self.number - turn) % self.n
        came = send(self.chunks[place], self.number, other.number)
        other.chunks[place] = came + other.chunks[place] if turn < self.n - 1 else came


def ring_mean(tensors, send):
    n = len(tensors)
    ranks = [Rank(k, t, n) for k, t in enumerate(tensors)]
    for turn in range(2 * (n - 1)):
        for one, other in zip(ranks, ranks[1:] + ranks[:1]):
            one.send(turn, other, send)
    return [torch.cat([r.chunks[k] for k in range(n)]).div(n).reshape(r.shape) for r in ranks]

# %% 16.4 wrong sum_for_mean never divides
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    parts = [list(torch.chunk(t.reshape(-1), n)) for t in tensors]
    for s in range(2 * n - 2):
        for r in range(n):
            to, k = (r + 1) % n, (r - s) % n
            got = send(parts[r][k], r, to)
            parts[to][k] = got if s >= n - 1 else got + parts[to][k]
    return [torch.cat(p).reshape(t.shape) for p, t in zip(parts, tensors)]

# %% 16.4 wrong never_gathered reduce-scatter alone
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    parts = [list(torch.chunk(t.reshape(-1), n)) for t in tensors]
    for s in range(n - 1):
        for r in range(n):
            to, k = (r + 1) % n, (r - s) % n
            parts[to][k] = parts[to][k] + send(parts[r][k], r, to)
    return [(torch.cat(p) / n).reshape(t.shape) for p, t in zip(parts, tensors)]

# %% 16.4 wrong always_adds adds in the second half too
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    parts = [list(torch.chunk(t.reshape(-1), n)) for t in tensors]
    for s in range(2 * (n - 1)):
        for r in range(n):
            to, k = (r + 1) % n, (r - s) % n
            parts[to][k] = parts[to][k] + send(parts[r][k], r, to)
    return [torch.cat(p).div(n).reshape(t.shape) for p, t in zip(parts, tensors)]

# %% 16.4 wrong @input adds in place, in the ranks' own tensors
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    parts = [list(torch.chunk(t.view(-1) if t.is_contiguous() else t.flatten(), n)) for t in tensors]
    for s in range(2 * (n - 1)):
        for r in range(n):
            to, k = (r + 1) % n, (r - s) % n
            got = send(parts[r][k], r, to)
            if s < n - 1:
                parts[to][k] += got
            else:
                parts[to][k] = got
    return [torch.cat(p).div(n).reshape(t.shape) for p, t in zip(parts, tensors)]

# %% 16.4 wrong whole_tensors the whole goes round
def ring_mean(tensors, send):
    n = len(tensors)
    totals, bag = [t.clone() for t in tensors], [t.clone() for t in tensors]
    for _ in range(n - 1):
        arrived = [None] * n
        for r in range(n):
            arrived[(r + 1) % n] = send(bag[r], r, (r + 1) % n)
        bag = arrived
        totals = [a + b for a, b in zip(totals, bag)]
    return [t / n for t in totals]

# %% 16.4 wrong over_rank_zero a server
import torch


def ring_mean(tensors, send):
    server = [tensors[0]] + [send(t, k, 0) for k, t in enumerate(tensors) if k > 0]
    mean = torch.stack(server).mean(dim=0)
    return [mean] + [send(mean, 0, k) for k in range(1, len(tensors))]

# %% 16.4 wrong nothing_sent the mean at once
def ring_mean(tensors, send):
    mean = sum(tensors) / len(tensors)
    return [mean] * len(tensors)

# %% 16.4 wrong same_place_again the own place each round
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    c = [list(t.flatten().chunk(n)) for t in tensors]
    for s in range(2 * (n - 1)):
        for r in range(n):
            to = (r + 1) % n
            got = send(c[r][r], r, to)
            c[to][r] = c[to][r] + got if s < n - 1 else got
    return [(torch.cat(p) / n).reshape(t.shape) for p, t in zip(c, tensors)]

# %% 16.4 wrong other_way_round to the left
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    c = [list(t.flatten().chunk(n)) for t in tensors]
    for s in range(2 * (n - 1)):
        for r in range(n):
            to, k = (r - 1) % n, (r + s) % n
            got = send(c[r][k], r, to)
            c[to][k] = got + c[to][k] if s < n - 1 else got
    return [(torch.cat(p) / n).reshape(t.shape) for p, t in zip(c, tensors)]

# %% 16.4 wrong shape_lost flat
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    c = [list(t.flatten().chunk(n)) for t in tensors]
    for s in range(2 * (n - 1)):
        for r in range(n):
            to, k = (r + 1) % n, (r - s) % n
            got = send(c[r][k], r, to)
            c[to][k] = got + c[to][k] if s < n - 1 else got
    return [torch.cat(p) / n for p in c]

# %% 16.4 wrong - a half too short
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    c = [list(t.flatten().chunk(n)) for t in tensors]
    for s in range(2 * n - 3):
        for r in range(n):
            to, k = (r + 1) % n, (r - s) % n
            got = send(c[r][k], r, to)
            c[to][k] = got + c[to][k] if s < n - 1 else got
    return [(torch.cat(p) / n).reshape(t.shape) for p, t in zip(c, tensors)]

# %% 16.4 right place by place
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    chunks = [list(t.flatten().chunk(n)) for t in tensors]
    for place in range(n):
        at = place
        for hop in range(n - 1):
            to = (at + 1) % n
            chunks[to][place] = chunks[to][place] + send(chunks[at][place], at, to)
            at = to
        for hop in range(n - 1):
            to = (at + 1) % n
            chunks[to][place] = send(chunks[at][place], at, to)
            at = to
    return [(torch.cat(c) / n).reshape(tensors[0].shape) for c in chunks]

# %% 16.4 right in place on what arrived
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    chunks = [list(t.reshape(-1).chunk(n)) for t in tensors]
    for s in range(2 * (n - 1)):
        for rank in range(n):
            place, to = (rank - s) % n, (rank + 1) % n
            came = send(chunks[rank][place], rank, to)
            chunks[to][place] = came.add_(chunks[to][place]) if s < n - 1 else came
    return [torch.cat(c).div(n).view(t.shape) for c, t in zip(chunks, tensors)]

# %% 16.4 wrong sent_in_float64 float64 on the way, twice the bytes
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    chunks = [list(t.double().flatten().chunk(n)) for t in tensors]
    for s in range(2 * (n - 1)):
        for rank in range(n):
            place, to = (rank - s) % n, (rank + 1) % n
            came = send(chunks[rank][place], rank, to)
            chunks[to][place] = chunks[to][place] + came if s < n - 1 else came
    return [torch.cat(c).div(n).view(t.shape).to(t.dtype) for c, t in zip(chunks, tensors)]

# %% 16.4 wrong straight_to_the_owner directly to the owner
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    chunks = [list(t.flatten().chunk(n)) for t in tensors]
    for p in range(n):
        for r in range(n):
            if r != p:
                chunks[p][p] = chunks[p][p] + send(chunks[r][p], r, p)
    for p in range(n):
        for r in range(n):
            if r != p:
                chunks[r][p] = send(chunks[p][p], p, r)
    return [(torch.cat(c) / n).reshape(tensors[0].shape) for c in chunks]

# %% 16.4 wrong second_half_from_its_own second half begins at its own place
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    chunks = [list(t.flatten().chunk(n)) for t in tensors]
    for half in range(2):
        for s in range(n - 1):
            for rank in range(n):
                place, to = (rank - s) % n, (rank + 1) % n
                came = send(chunks[rank][place], rank, to)
                chunks[to][place] = came if half else chunks[to][place] + came
    return [torch.cat(c).div(n).view(t.shape) for c, t in zip(chunks, tensors)]

# %% 16.4 wrong ends_swapped source and to swapped
import torch


def ring_mean(tensors, send):
    n = len(tensors)
    chunks = [list(t.flatten().chunk(n)) for t in tensors]
    for s in range(2 * (n - 1)):
        for rank in range(n):
            place, to = (rank - s) % n, (rank + 1) % n
            came = send(chunks[rank][place], to, rank)
            chunks[to][place] = chunks[to][place] + came if s < n - 1 else came
    return [torch.cat(c).div(n).view(t.shape) for c, t in zip(chunks, tensors)]

# %% 16.5 right line by line, whole numbers
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    P = parameters
    size = 4
    if bf16:
        size = 2
    between = images * tokens * width * size
    if checkpointing:
        act = blocks * between + 16 * between
    else:
        act = blocks * 16 * between
    d = dict(weights=4 * P, gradients=4 * P, copy=0, activations=act)
    if bf16:
        d["copy"] = 2 * P
    d["adam"], d["ema"] = 8 * P // sharded, 4 * P // sharded
    d["total"] = d["weights"] + d["gradients"] + d["copy"] + d["adam"] + d["ema"] + d["activations"]
    return d

# %% 16.5 right constants and a helper
BYTES = {"weights": 4, "gradients": 4, "adam": 8, "ema": 4}
INSIDE = 16


def of_blocks(blocks, checkpointing):
    return blocks + INSIDE if checkpointing else INSIDE * blocks


def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    found = {name: b * parameters for name, b in BYTES.items()}
    for name in ("adam", "ema"):
        found[name] /= sharded
    found |= {"copy": 2 * parameters * bf16}
    found["activations"] = of_blocks(blocks, checkpointing) * images * tokens * width * (4 - 2 * bf16)
    return found | {"total": sum(found.values())}

# %% 16.5 right numpy and zip
import numpy as np


def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    number = 2 if bf16 else 4
    kept = np.full(blocks, 1.0 if checkpointing else 16.0).sum() + (16.0 if checkpointing else 0.0)
    states = np.array([4, 2 if bf16 else 0, 4, 8 / sharded, 4 / sharded]) * float(parameters)
    values = [*states, kept * number * np.prod([images, tokens, width])]
    names = ["weights", "copy", "gradients", "adam", "ema", "activations", "total"]
    return dict(zip(names, map(float, [*values, sum(values)])))

# %% 16.5 wrong one_average Adam once
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    b = images * tokens * width * (2 if bf16 else 4)
    out = {"weights": 4 * parameters, "copy": 2 * parameters if bf16 else 0, "gradients": 4 * parameters}
    out["adam"] = out["ema"] = 4 * parameters / sharded
    out["activations"] = b * (blocks + 16) if checkpointing else b * 16 * blocks
    out["total"] = sum(out.values())
    return out

# %% 16.5 wrong everything_sharded all of it divided
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    own = parameters / sharded
    b = images * tokens * width * (2 if bf16 else 4)
    out = {"weights": 4 * own, "copy": 2 * parameters if bf16 else 0, "gradients": 4 * own, "adam": 8 * own, "ema": 4 * own}
    out["activations"] = b * (blocks + 16) if checkpointing else b * 16 * blocks
    out["total"] = sum(out.values())
    return out

# %% 16.5 wrong inputs_alone checkpoints without the block at work
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    b = images * tokens * width * (2 if bf16 else 4)
    per_block = b if checkpointing else 16 * b
    out = {"weights": 4 * parameters, "copy": 2 * parameters * bool(bf16), "gradients": 4 * parameters,
           "adam": 8 * parameters / sharded, "ema": 4 * parameters / sharded, "activations": per_block * blocks}
    return {**out, "total": sum(out.values())}

# %% 16.5 wrong inputs_of_the_others the others' inputs
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    b = images * tokens * width * (2 if bf16 else 4)
    act = 16 * b + (blocks - 1) * b if checkpointing else 16 * b * blocks
    out = {"weights": 4 * parameters, "copy": 2 * parameters * bool(bf16), "gradients": 4 * parameters,
           "adam": 8 * parameters / sharded, "ema": 4 * parameters / sharded, "activations": act}
    return {**out, "total": sum(out.values())}

# %% 16.5 wrong no_float32_weights bf16 weights alone
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    s = 2 if bf16 else 4
    act = s * images * tokens * width * (blocks + 16 if checkpointing else 16 * blocks)
    out = {"weights": s * parameters, "copy": 0, "gradients": 4 * parameters, "adam": 8 * parameters / sharded,
           "ema": 4 * parameters / sharded, "activations": act}
    out["total"] = sum(out.values())
    return out

# %% 16.5 wrong gigabytes in GB
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    GB = 10**9
    act = (2 if bf16 else 4) * images * tokens * width * (blocks + 16 if checkpointing else 16 * blocks) / GB
    p = parameters / GB
    out = {"weights": 4 * p, "copy": 2 * p if bf16 else 0, "gradients": 4 * p, "adam": 8 * p / sharded, "ema": 4 * p / sharded,
           "activations": act}
    out["total"] = sum(out.values())
    return out

# %% 16.5 wrong ema_whole EMA on every GPU
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    act = (2 if bf16 else 4) * images * tokens * width * (blocks + 16 if checkpointing else 16 * blocks)
    out = {"weights": 4 * parameters, "copy": 2 * parameters if bf16 else 0, "gradients": 4 * parameters,
           "adam": 8 * parameters / sharded, "ema": 4 * parameters, "activations": act}
    out["total"] = sum(out.values())
    return out

# %% 16.5 wrong numbers_for_bytes numbers counted
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    act = images * tokens * width * (blocks + 16 if checkpointing else 16 * blocks)
    out = {"weights": 4 * parameters, "copy": 2 * parameters if bf16 else 0, "gradients": 4 * parameters,
           "adam": 8 * parameters / sharded, "ema": 4 * parameters / sharded, "activations": act}
    out["total"] = sum(out.values())
    return out

# %% 16.5 wrong - no total
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    act = (2 if bf16 else 4) * images * tokens * width * (blocks + 16 if checkpointing else 16 * blocks)
    return {"weights": 4 * parameters, "copy": 2 * parameters if bf16 else 0, "gradients": 4 * parameters,
            "adam": 8 * parameters / sharded, "ema": 4 * parameters / sharded, "activations": act}

# %% 16.5 right total first, dict()
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    number = 4 - 2 * bf16
    between = number * images * tokens * width
    kept = 0
    for _ in range(blocks):
        kept += between if checkpointing else 16 * between
    kept += 16 * between * checkpointing
    lines = dict(activations=kept, ema=parameters * 4 / sharded, adam=parameters * 8 / sharded,
                 gradients=parameters * 4, copy=parameters * 2 * bf16, weights=parameters * 4)
    return dict(total=sum(lines.values()), **lines)

# %% 16.5 right whole numbers
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    P = parameters
    between = images * tokens * width * (2 if bf16 else 4)
    acts = (blocks + 16) * between if checkpointing else 16 * blocks * between
    found = {"weights": 4 * P, "copy": 2 * P if bf16 else 0, "gradients": 4 * P, "adam": 8 * P // sharded,
             "ema": 4 * P // sharded, "activations": acts}
    return {**found, "total": sum(found.values())}

# %% 16.5 wrong - tensors
import torch


def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    P = torch.tensor(float(parameters), dtype=torch.float64)
    between = images * tokens * width * (2 if bf16 else 4)
    acts = (blocks + 16) * between if checkpointing else 16 * blocks * between
    found = {"weights": 4 * P, "copy": 2 * P if bf16 else 0, "gradients": 4 * P, "adam": 8 * P / sharded,
             "ema": 4 * P / sharded, "activations": acts}
    return {**found, "total": sum(found.values())}

# %% 16.5 wrong checkpointing_reversed checkpointing the other way round
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    P = parameters
    between = images * tokens * width * (2 if bf16 else 4)
    acts = (blocks + 16) * between if not checkpointing else 16 * blocks * between
    found = {"weights": 4 * P, "copy": 2 * P if bf16 else 0, "gradients": 4 * P, "adam": 8 * P / sharded,
             "ema": 4 * P / sharded, "activations": acts}
    return {**found, "total": sum(found.values())}

# %% 16.5 wrong weights_in_bf16 weights in bf16
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    P = parameters
    between = images * tokens * width * (2 if bf16 else 4)
    acts = (blocks + 16) * between if checkpointing else 16 * blocks * between
    found = {"weights": 2 * P if bf16 else 4 * P, "copy": 2 * P if bf16 else 0, "gradients": 4 * P, "adam": 8 * P / sharded,
             "ema": 4 * P / sharded, "activations": acts}
    return {**found, "total": sum(found.values())}

# %% 16.5 wrong - 16 only once more per pair: 17 blocks
def memory(parameters, blocks, tokens, width, images, bf16, checkpointing, sharded):
    P = parameters
    between = images * tokens * width * (2 if bf16 else 4)
    acts = 17 * blocks * between if checkpointing else 16 * blocks * between
    found = {"weights": 4 * P, "copy": 2 * P if bf16 else 0, "gradients": 4 * P, "adam": 8 * P / sharded,
             "ema": 4 * P / sharded, "activations": acts}
    return {**found, "total": sum(found.values())}

# %% 16.6 right one generator, seeded again and again; clones
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    opt = torch.optim.AdamW(model.parameters(), lr=5e-4)
    ema, first = {k: w.detach().clone() for k, w in model.named_parameters()}, 0
    if saved:
        model.load_state_dict(saved["model"])
        opt.load_state_dict(deepcopy(saved["optimizer"]))
        ema = {k: v.clone() for k, v in saved["average"].items()}
        first = saved["step"]
    dice = torch.Generator()
    for step in range(first, until):
        model.zero_grad()
        for micro in range(accumulate):
            k = micro_batch(step, micro, accumulate, ranks, rank)
            dice.manual_seed(mix_seed(seed, k))
            loss(model, k, dice).div(accumulate).backward()
        for p in model.parameters():
            p.grad = mean_over_ranks(p.grad)
        opt.step()
        ema = {k: 0.7 * ema[k] + 0.3 * w.detach() for k, w in model.named_parameters()}
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    return {"model": weights, "optimizer": deepcopy(opt.state_dict()), "average": ema, "step": until}

# %% 16.6 right helpers for begin, step and state
import copy

import torch


def begun(model, saved):
    opt = torch.optim.AdamW(model.parameters(), 5e-4)
    if saved is None:
        return opt, {n: w.detach().clone() for n, w in model.named_parameters()}, 0
    saved = copy.deepcopy(saved)
    model.load_state_dict(saved["model"])
    opt.load_state_dict(saved["optimizer"])
    return opt, saved["average"], saved["step"]


def numbers_of(step, accumulate, ranks, rank):
    return [micro_batch(step, m, accumulate, ranks, rank) for m in range(accumulate)]


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    opt, average, step = begun(model, saved)
    while step < until:
        opt.zero_grad()
        for k in numbers_of(step, accumulate, ranks, rank):
            (loss(model, k, torch.Generator().manual_seed(mix_seed(seed, k))) / accumulate).backward()
        for w in model.parameters():
            w.grad.copy_(mean_over_ranks(w.grad))
        opt.step()
        for n, w in model.named_parameters():
            average[n] += 0.3 * (w.detach() - average[n])
        step += 1
    return copy.deepcopy(dict(model=model.state_dict(), optimizer=opt.state_dict(), average=average, step=step))

# %% 16.6 right the mean loss, and grads from autograd
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    weights = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(weights.values(), lr=5e-4)
    state = deepcopy(saved) or {"step": 0, "average": {n: w.detach().clone() for n, w in weights.items()}}
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
        model.load_state_dict(state["model"])
    for step in range(state["step"], until):
        total = 0
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            total = total + loss(model, number, torch.Generator().manual_seed(mix_seed(seed, number)))
        for w, g in zip(weights.values(), torch.autograd.grad(total / accumulate, list(weights.values()))):
            w.grad = mean_over_ranks(g)
        optimizer.step()
        with torch.no_grad():
            for n, w in weights.items():
                state["average"][n].mul_(0.7).add_(w, alpha=0.3)
    return deepcopy({**state, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": until})

# %% 16.6 wrong momenta_lost the optimizer starts again
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    start = 0
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        average, start = saved["average"], saved["step"]
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            dice = torch.Generator().manual_seed(mix_seed(seed, number))
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "average": average, "step": until})

# %% 16.6 wrong average_begins_anew the averages from the weights
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    start = 0
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            dice = torch.Generator().manual_seed(mix_seed(seed, number))
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until})

# %% 16.6 wrong dice_of_the_rank the dice are left as given
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    start = 0
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average = saved["average"]
        start = saved["step"]
    dice = torch.Generator().manual_seed(mix_seed(seed, rank))
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until})

# %% 16.6 wrong dice_in_the_state saves the generator instead
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    dice = torch.Generator().manual_seed(mix_seed(seed, rank))
    start = 0
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        dice.set_state(saved["generator"])
        average, start = saved["average"], saved["step"]
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until,
                     "generator": dice.get_state()})

# %% 16.6 wrong dice_of_place step, turn and rank in the seed
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    start = 0
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average, start = saved["average"], saved["step"]
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            own = torch.Generator().manual_seed(mix_seed(seed, step, micro, rank))
            (loss(model, micro_batch(step, micro, accumulate, ranks, rank), own) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until})

# %% 16.6 wrong state_is_alive returns what training goes on changing
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    start = 0
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average, start = saved["average"], saved["step"]
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            dice = torch.Generator().manual_seed(mix_seed(seed, number))
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return dict(model=model.state_dict(), optimizer=optimizer.state_dict(), average=average, step=until)

# %% 16.6 wrong - momenta and averages both forgotten
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    start = 0
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        start = saved["step"]
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            dice = torch.Generator().manual_seed(mix_seed(seed, number))
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "average": average, "step": until})

# %% 16.6 right one exchange for all gradients
from copy import deepcopy
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    start = 0
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average = saved["average"]
        start = saved["step"]
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            dice = torch.Generator().manual_seed(mix_seed(seed, number))
            (loss(model, number, dice) / accumulate).backward()
        flat = torch.nn.utils.parameters_to_vector(w.grad for w in model.parameters())
        flat, at = mean_over_ranks(flat), 0
        for w in model.parameters():
            w.grad = flat[at : at + w.numel()].view_as(w).clone()
            at += w.numel()
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until})

# %% 16.6 wrong common_dice global seed
from copy import deepcopy
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    start = 0
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average = saved["average"]
        start = saved["step"]
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            dice = torch.manual_seed(mix_seed(seed, number))
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until})

# %% 16.6 wrong optimizer_itself optimizer saved as the object
from copy import deepcopy
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    start = 0
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"].state_dict())
        average = saved["average"]
        start = saved["step"]
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            dice = torch.Generator().manual_seed(mix_seed(seed, number))
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer, "average": average, "step": until})

# %% 16.6 wrong dice_mended only the dice mended
from copy import deepcopy
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    start = 0
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        average = {name: w.detach().clone() for name, w in model.named_parameters()}
        start = saved["step"]
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            dice = torch.Generator().manual_seed(mix_seed(seed, number))
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until})

# %% 16.6 wrong average_mended only the averages mended
from copy import deepcopy
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    start = 0
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        average = saved["average"]
        start = saved["step"]
    dice = torch.Generator().manual_seed(mix_seed(seed, rank))
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until})

# %% 16.6 wrong momenta_mended only the optimizer mended
from copy import deepcopy
import torch


def train_until(model, loss, until, seed, accumulate, ranks, rank, mean_over_ranks, saved=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    start = 0
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    if saved is not None:
        saved = deepcopy(saved)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average = {name: w.detach().clone() for name, w in model.named_parameters()}
        start = saved["step"]
    dice = torch.Generator().manual_seed(mix_seed(seed, rank))
    for step in range(start, until):
        optimizer.zero_grad()
        for micro in range(accumulate):
            number = micro_batch(step, micro, accumulate, ranks, rank)
            (loss(model, number, dice) / accumulate).backward()
        for w in model.parameters():
            w.grad = mean_over_ranks(w.grad)
        optimizer.step()
        for name, w in model.named_parameters():
            average[name].lerp_(w.detach(), 0.3)
    return deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": until})
