"""Exercise 16.4, ring_mean: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## The mean by a ring
#
# Each of n ranks has a tensor, and in the end each needs the mean of all. If everything went to rank 0 and back, its cable
# would be the bottleneck. In a ring every rank only sends to its neighbour, rank + 1, and the last one to rank 0 (Patarasuk &
# Yuan 2009). The tensor is cut into n equal chunks:
#
# - for n - 1 rounds, each rank sends one chunk on, and its neighbour **adds** what comes to its own chunk of that place. In
#   round 0 rank r sends place r, and in each later round the place that has just come in, which is one less. A chunk thus grows
#   from rank to rank, until one rank has the whole sum of it (*reduce-scatter*);
# - for n - 1 more rounds the finished chunks go round: the neighbour **replaces** its own chunk of that place by what comes
#   (*all-gather*).
#
# `tensors` holds the ranks' tensors, all of one shape, whose number of elements is divisible by n. You play all ranks; but what
# goes from one to another must go through `send(chunk, source, to)`, which returns what arrives at `to`. Return the list of the
# means, one for each rank. The bytes are counted: each rank sends 2 (n - 1) / n times those of its tensor, so chunks travel in
# the tensors' own dtype.
#
# In the last cell 16 ranks have the same drawing, each under noise of its own, as gradients have: the mean is much cleaner.
# %% [markdown] lang="vi" of="9852185b"
# ## Tính trung bình bằng một vòng tròn
#
# Mỗi rank trong n rank có một tensor, và cuối cùng rank nào cũng cần trung bình của tất cả. Nếu mọi thứ đều gửi về rank 0 rồi
# gửi trả lại, dây nối của nó sẽ là chỗ nghẽn. Trong một vòng tròn, mỗi rank chỉ gửi cho hàng xóm của mình, rank + 1, và rank
# cuối cùng gửi cho rank 0 (Patarasuk & Yuan 2009). Tensor được cắt thành n mảnh bằng nhau:
#
# - trong n - 1 vòng, mỗi rank gửi đi một mảnh, và hàng xóm **cộng** mảnh nhận được vào mảnh của mình ở cùng vị trí. Ở vòng 0,
#   rank r gửi vị trí r, còn ở các vòng sau thì gửi vị trí vừa nhận được, tức là giảm đi một. Mỗi mảnh cứ thế lớn dần từ rank
#   này sang rank khác, cho đến khi có một rank giữ trọn tổng của nó (*reduce-scatter*);
# - trong n - 1 vòng nữa, các mảnh đã xong được chuyển quanh vòng: hàng xóm **đặt** mảnh nhận được vào chỗ mảnh của mình
#   (*all-gather*).
#
# `tensors` gồm các tensor của từng rank, cùng kích thước, có số phần tử chia hết cho n. Bạn đóng vai mọi rank; nhưng mọi thứ đi
# từ rank này sang rank khác phải qua `send(chunk, source, to)`, hàm này trả về cái mà `to` nhận được. Hãy trả về danh sách các
# trung bình, mỗi rank một tensor. Số byte được đếm: mỗi rank gửi đi 2 (n - 1) / n lần số byte của tensor của nó, nên các mảnh
# được gửi đi với chính kiểu số của tensor.
#
# Trong ô cuối cùng, 16 rank có cùng một hình vẽ, mỗi rank bị phủ nhiễu riêng, giống như gradient: trung bình sạch hơn hẳn.

# %% [markdown] lang="en" role="hints"
# Take n = 3 and write down who has what after each round. Which place does rank r send in round s?
# ---
# `chunks[rank][place]`, from `flatten().chunk(n)`. In round s rank r sends place `(r - s) % n` to rank `(r + 1) % n`: that also
# holds for the rounds of the second half.
# ---
# For each of the 2 (n - 1) rounds and each rank: `came = send(chunks[rank][place], rank, to)`. In the first n - 1 rounds put
# `chunks[to][place] + came` there, later just `came`. Then `torch.cat`, divide by n, and give it its shape back.
# %% [markdown] lang="vi" of="166d8c48"
# Hãy lấy n = 3 và ghi ra ai có gì sau mỗi vòng. Ở vòng s, rank r gửi vị trí nào?
# ---
# `chunks[rank][place]`, lấy từ `flatten().chunk(n)`. Ở vòng s, rank r gửi vị trí `(r - s) % n` cho rank `(r + 1) % n`: các vòng
# của nửa sau cũng vậy.
# ---
# Với mỗi vòng trong 2 (n - 1) vòng và mỗi rank: `came = send(chunks[rank][place], rank, to)`. Trong n - 1 vòng đầu, đặt vào đó
# `chunks[to][place] + came`, về sau chỉ đặt `came`. Rồi `torch.cat`, chia cho n, và trả lại kích thước ban đầu.

# %% [markdown] lang="en" role="stub"
# tensors: one for each of n ranks, of one shape, divisible into n equal chunks.
# send(chunk, source, to): what arrives at rank `to`. Returns the mean of all
# tensors for each rank; each rank sends to its neighbour alone, chunk by chunk.
# ---
# 1. each rank's chunks                                        # [rank][place]
# 2. n - 1 rounds in which the neighbour adds, n - 1 in which it replaces
# 3. put together, divide, and give each its shape back
# %% [markdown] lang="vi" of="ac8676b3"
# tensors: mỗi rank trong n rank một tensor, cùng kích thước, chia được thành n
# mảnh bằng nhau. send(chunk, source, to): cái mà rank `to` nhận được. Trả về trung
# bình của mọi tensor cho từng rank; mỗi rank chỉ gửi cho hàng xóm, từng mảnh một.
# ---
# 1. các mảnh của từng rank                                    # [rank][place]
# 2. n - 1 vòng hàng xóm cộng vào, n - 1 vòng hàng xóm thay thế
# 3. ghép lại, chia, và trả lại kích thước cho từng tensor

# %% role="solution"
def ring_mean(
    tensors: list[Tensor], send: Callable[[Tensor, int, int], Tensor]
) -> list[Tensor]:
    n = len(tensors)
    chunks = [list(t.flatten().chunk(n)) for t in tensors]      # [rank][place]
    for turn in range(2 * (n - 1)):
        for rank in range(n):
            place, to = (rank - turn) % n, (rank + 1) % n
            came = send(chunks[rank][place], rank, to)
            own = chunks[to][place]
            chunks[to][place] = own + came if turn < n - 1 else came
    sums = [torch.cat(pieces) for pieces in chunks]             # n x (size,)
    return [(s / n).reshape(t.shape) for s, t in zip(sums, tensors, strict=True)]

# %% [markdown] lang="en" role="checks"
# - one tensor for each rank, of its shape
# - dtype, float32
# - the means of 3 ranks
# - 4 ranks with matrices, which do not lie in memory row by row
# - bytes that each rank sends in float32, for 2, 3, 4 and 5 ranks
# - everybody sends to the next rank alone
# - all messages are of one size, and each rank sends equally many
# - what arrives counts, not what was sent: a cable that halves everything
# - all ranks have the same bits
# - two ranks, and a single one that sends nothing
# %% [markdown] lang="vi" of="472f01cd"
# - mỗi rank một tensor, đúng kích thước
# - kiểu số, float32
# - trung bình của 3 rank
# - 4 rank với các ma trận không nằm theo từng hàng trong bộ nhớ
# - số byte mỗi rank gửi đi ở float32, với 2, 3, 4 và 5 rank
# - ai cũng chỉ gửi cho rank kế tiếp
# - mọi lần gửi cùng một kích thước, và rank nào cũng gửi số lần như nhau
# - tính theo cái nhận được chứ không phải cái đã gửi: một dây nối làm mọi thứ giảm một nửa
# - mọi rank có từng bit giống nhau
# - hai rank, và một rank duy nhất không gửi gì

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Cable:
    """Notes what goes from whom to whom, and hands over a copy."""

    def __init__(self):
        self.messages = []

    def __call__(self, chunk, source, to):
        self.messages.append((source, to, chunk.numel() * chunk.element_size()))
        return chunk.clone()


def means(f, tensors):
    return f(tensors, Cable())


def shapes(f, tensors):
    return [list(mean.shape) for mean in means(f, tensors)]


def dtypes(f, tensors):
    return [str(mean.dtype) for mean in means(f, tensors)]


def sent(f, ranks):
    """Bytes that each rank sent, for several numbers of ranks with 120 numbers of 4 bytes each."""
    found = []
    for n in ranks:
        cable = Cable()
        f([normal(120, seed=rank).float() for rank in range(n)], cable)
        of_rank = [sum(size for source, _, size in cable.messages if source == rank) for rank in range(n)]
        found.append(torch.tensor(of_rank, dtype=torch.float64))
    return found


def neighbours(f, tensors):
    """For each rank those to whom it sends."""
    cable = Cable()
    f(tensors, cable)
    return [sorted({to for source, to, _ in cable.messages if source == rank}) for rank in range(len(tensors))]


def messages(f, tensors):
    """How many messages each rank sends, and of which sizes."""
    cable = Cable()
    f(tensors, cable)
    counts = [sum(source == rank for source, _, _ in cable.messages) for rank in range(len(tensors))]
    return [counts, sorted({size for _, _, size in cable.messages})]


def halved(f, tensors):
    """The results of a cable that hands over half of what is sent."""
    return f(tensors, lambda chunk, source, to: chunk / 2)


def same_bits(f, tensors):
    first, *others = means(f, tensors)
    return [torch.equal(first, other) for other in others]


def few(f, two, one):
    cable = Cable()
    return [*means(f, two), *f(one, cable), len(cable.messages)]


THREE = [normal(12, seed=90 + rank) for rank in range(3)]
FOUR = [normal(5, 8, seed=90 + rank).T for rank in range(4)]                # (8, 5) each, by columns

probe(shapes, tensors=[normal(2, 3, 4, seed=rank) for rank in range(4)])
probe(dtypes, tensors=[tensor.float() for tensor in THREE])
probe(means, tensors=THREE)
probe(means, tensors=FOUR)
probe(sent, ranks=[2, 3, 4, 5])
probe(neighbours, tensors=FOUR)
probe(messages, tensors=THREE)
probe(halved, tensors=THREE)
probe(same_bits, tensors=[tensor.float() for tensor in FOUR])
probe(few, two=THREE[:2], one=THREE[:1])

# %% [markdown] lang="en" role="mistake" name="sum_for_mean"
# This is the sum, not the mean. The gradient then grows with the number of ranks, as if the learning rate did. Divide by n,
# once.
# %% [markdown] lang="vi" of="e41e99a9"
# Đây là tổng, không phải trung bình. Gradient khi đó lớn theo số rank, như thể tốc độ học tăng lên. Hãy chia cho n, một lần.
# %% role="wrong" name="sum_for_mean"
patch("(s / n)", "s")

# %% [markdown] lang="en" role="mistake" name="halved_in_every_round"
# In each round the mean of own and arriving chunk was taken. Then the last rank to add counts one half and the first hardly at
# all: the mean of a mean and a number is not the mean of all. Add, and divide once at the end.
# %% [markdown] lang="vi" of="2cad30bb"
# Mỗi vòng lại lấy trung bình của mảnh mình và mảnh nhận được. Khi đó rank cộng sau cùng nặng một nửa, còn rank đầu tiên hầu như
# không đáng kể: trung bình của một trung bình với một số không phải là trung bình của tất cả. Hãy cộng, và cuối cùng chia một
# lần.
# %% role="wrong" name="halved_in_every_round"
patch("own + came if", "(own + came) / 2 if")
patch("(s / n)", "s")

# %% [markdown] lang="en" role="mistake" name="divided_twice"
# It was divided by n twice: before the chunks went round, and again at the end.
# %% [markdown] lang="vi" of="080379bb"
# Đã chia cho n hai lần: trước khi các mảnh đi quanh vòng, và một lần nữa ở cuối.
# %% role="wrong" name="divided_twice"
patch("t.flatten().chunk(n)", "(t / n).flatten().chunk(n)")

# %% [markdown] lang="en" role="mistake" name="always_adds"
# In the second half the neighbour still adds. There the chunks that come are complete, and added to a partial sum they count
# some ranks twice: the neighbour must put them in the place of its own.
# %% [markdown] lang="vi" of="54b2f700"
# Ở nửa sau, hàng xóm vẫn cộng. Lúc đó các mảnh nhận được đã đủ, cộng vào một tổng dở dang thì có rank bị tính hai lần: hàng xóm
# phải đặt chúng vào chỗ mảnh của mình.
# %% role="wrong" name="always_adds"
patch("own + came if turn < n - 1 else came", "own + came")

# %% [markdown] lang="en" role="mistake" name="never_gathered"
# After n - 1 rounds each rank has the whole sum of one chunk, and only partial sums in the others. The second half is missing,
# in which the finished chunks go round.
# %% [markdown] lang="vi" of="cd526c25"
# Sau n - 1 vòng, mỗi rank có trọn tổng của một mảnh, còn ở các mảnh khác mới chỉ là tổng dở dang. Còn thiếu nửa sau, trong đó
# các mảnh đã xong được chuyển quanh vòng.
# %% role="wrong" name="never_gathered"
patch("range(2 * (n - 1))", "range(n - 1)")

# %% [markdown] lang="en" role="mistake" name="a_round_too_many"
# The first half has n rounds, one too many: in the last of them a chunk comes back to the rank where it began and is added to
# itself. With n - 1 rounds it has met everybody.
# %% [markdown] lang="vi" of="03971adc"
# Nửa đầu có n vòng, thừa một vòng: ở vòng cuối, mảnh quay về rank nơi nó xuất phát và bị cộng với chính nó. Sau n - 1 vòng nó
# đã gặp đủ mọi rank.
# %% role="wrong" name="a_round_too_many"
patch("range(2 * (n - 1))", "range(2 * n)")
patch("turn < n - 1", "turn < n")

# %% [markdown] lang="en" role="mistake" name="adds_once_more"
# The neighbour adds in n rounds and replaces in n - 2. Only n - 1 additions are needed until everybody's part is in a chunk;
# the next one counts someone twice.
# %% [markdown] lang="vi" of="ed380d4d"
# Hàng xóm cộng trong n vòng và thay trong n - 2 vòng. Chỉ cần n - 1 phép cộng là mảnh đã có phần của mọi rank; phép cộng tiếp
# theo tính ai đó hai lần.
# %% role="wrong" name="adds_once_more"
patch("turn < n - 1", "turn < n")

# %% [markdown] lang="en" role="mistake" name="same_place_again"
# Each rank sends the same place in every round, so no chunk gets further than to the neighbour. Send on what has just come in:
# the place goes down by one each round.
# %% [markdown] lang="vi" of="c2273d3f"
# Vòng nào rank cũng gửi cùng một vị trí, nên không mảnh nào đi xa hơn hàng xóm. Hãy gửi tiếp cái vừa nhận được: vị trí giảm đi
# một sau mỗi vòng.
# %% role="wrong" name="same_place_again"
patch("(rank - turn) % n", "rank")

# %% [markdown] lang="en" role="mistake" name="place_up"
# The place goes up by one each round, away from the chunk that has just come in, so partial sums are never sent on. What came
# from the left-hand neighbour is the place below: subtract the round.
# %% [markdown] lang="vi" of="1c6f4bdf"
# Vị trí tăng thêm một sau mỗi vòng, rời xa mảnh vừa nhận được, nên các tổng dở dang không được gửi tiếp. Cái đến từ hàng xóm
# bên trái là vị trí thấp hơn: hãy trừ đi số vòng.
# %% role="wrong" name="place_up"
patch("(rank - turn) % n", "(rank + turn) % n")

# %% [markdown] lang="en" role="mistake" name="other_way_round"
# The mean is right, but the ring runs backwards: each rank sends to rank - 1. In the task it is rank + 1; on real machines all
# of them must agree on it, or they wait for each other.
# %% [markdown] lang="vi" of="21e5a0bc"
# Trung bình đúng, nhưng vòng tròn chạy ngược: mỗi rank gửi cho rank - 1. Trong đề bài là rank + 1; trên các máy thật, tất cả
# phải thống nhất một chiều, nếu không chúng sẽ đợi lẫn nhau.
# %% role="wrong" name="other_way_round"
patch("(rank - turn) % n, (rank + 1) % n", "(rank + turn) % n, (rank - 1) % n")

# %% [markdown] lang="en" role="mistake" name="whole_tensors"
# The mean is right, but whole tensors go round: each rank sends n - 1 times its size, which grows with the number of ranks. In
# chunks it is less than twice the size, however many there are.
# %% [markdown] lang="vi" of="cd6be0da"
# Trung bình đúng, nhưng cả tensor đi quanh vòng: mỗi rank gửi n - 1 lần kích thước của nó, tăng theo số rank. Chia thành mảnh
# thì chỉ chưa đến hai lần kích thước, dù có bao nhiêu rank.
# %% role="wrong" name="whole_tensors"
def ring_mean(tensors, send):
    n = len(tensors)
    moving, sums = list(tensors), list(tensors)
    for _ in range(n - 1):
        moving = [send(moving[(rank - 1) % n], (rank - 1) % n, rank) for rank in range(n)]
        sums = [own + came for own, came in zip(sums, moving)]
    return [s / n for s in sums]

# %% [markdown] lang="en" role="mistake" name="over_rank_zero"
# The mean is right, but everything goes to rank 0 and back from there: it sends n - 1 times as much as any other, and its cable
# decides how long all wait.
# %% [markdown] lang="vi" of="568a3673"
# Trung bình đúng, nhưng mọi thứ đi về rank 0 rồi từ đó gửi lại: nó gửi nhiều gấp n - 1 lần các rank khác, và dây nối của nó
# quyết định tất cả phải đợi bao lâu.
# %% role="wrong" name="over_rank_zero"
def ring_mean(tensors, send):
    n = len(tensors)
    total = tensors[0]
    for rank in range(1, n):
        total = total + send(tensors[rank], rank, 0)
    return [total / n, *(send(total / n, 0, rank) for rank in range(1, n))]

# %% [markdown] lang="en" role="mistake" name="each_to_everybody"
# The mean is right, but each rank sends its whole tensor to every other one: n - 1 times its size, and over cables that a ring
# doesn't have.
# %% [markdown] lang="vi" of="edd9de87"
# Trung bình đúng, nhưng mỗi rank gửi cả tensor của mình cho tất cả các rank khác: n - 1 lần kích thước, và qua những dây nối mà
# vòng tròn không có.
# %% role="wrong" name="each_to_everybody"
def ring_mean(tensors, send):
    n = len(tensors)
    sums = []
    for to in range(n):
        others = [send(tensors[source], source, to) for source in range(n) if source != to]
        sums.append(sum(others, tensors[to]))
    return [s / n for s in sums]

# %% [markdown] lang="en" role="mistake" name="nothing_sent"
# The mean is right, but nothing went through `send`. Ranks are different machines: none of them can look into another's memory.
# %% [markdown] lang="vi" of="dc2973ac"
# Trung bình đúng, nhưng không có gì đi qua `send`. Các rank là những máy khác nhau: không máy nào nhìn được vào bộ nhớ của máy
# khác.
# %% role="wrong" name="nothing_sent"
def ring_mean(tensors, send):
    mean = torch.stack(tensors).mean(0)
    return [mean.clone() for _ in tensors]

# %% [markdown] lang="en" role="mistake" name="arrival_ignored"
# `send` was called, but what it returned was not used, so nothing is added or replaced at the rank that receives. Use what
# arrives.
# %% [markdown] lang="vi" of="c50f0503"
# `send` có được gọi nhưng cái nó trả về lại không dùng đến, nên không có gì được cộng hay thay thế ở rank nhận. Hãy dùng cái
# nhận được.
# %% role="wrong" name="arrival_ignored"
patch("own + came if turn < n - 1 else came", "own")

# %% [markdown] lang="en" role="mistake" name="taken_from_the_sender"
# The chunk was sent, but the neighbour then took it out of the sender's own list. Another machine can't do that: all it has is
# what `send` returns.
# %% [markdown] lang="vi" of="b690966a"
# Mảnh có được gửi, nhưng sau đó hàng xóm lại lấy nó từ chính danh sách của rank gửi. Một máy khác không làm thế được: nó chỉ có
# cái mà `send` trả về.
# %% role="wrong" name="taken_from_the_sender"
patch("came = send(chunks[rank][place], rank, to)", "came = (send(chunks[rank][place], rank, to), chunks[rank][place])[1]")

# %% [markdown] lang="en" role="mistake" name="shape_lost"
# The numbers are right, but they come back as one long row. Give each tensor the shape it came with.
# %% [markdown] lang="vi" of="e32cf943"
# Các số đều đúng nhưng trả về thành một hàng dài. Hãy trả lại cho mỗi tensor kích thước ban đầu của nó.
# %% role="wrong" name="shape_lost"
patch("(s / n).reshape(t.shape)", "(s / n)")

# %% [markdown] lang="en" role="mistake" name="chunks_of_n"
# `split(n)` makes chunks of n numbers each, but n chunks are needed, one for each rank: that is `chunk(n)`.
# %% [markdown] lang="vi" of="9299a48e"
# `split(n)` cắt thành các mảnh gồm n số, nhưng cần n mảnh, mỗi rank một mảnh: đó là `chunk(n)`.
# %% role="wrong" name="chunks_of_n"
patch("flatten().chunk(n)", "flatten().split(n)")

# %% [markdown] lang="en" role="mistake" name="not_flattened"
# Matrices were cut along their first dimension, which need not be divisible by n. Only the number of all elements is: flatten
# first.
# %% [markdown] lang="vi" of="5d28648e"
# Ma trận bị cắt theo chiều đầu tiên, mà chiều này không nhất thiết chia hết cho n. Chỉ tổng số phần tử là chia hết: hãy duỗi
# thẳng (flatten) trước.
# %% role="wrong" name="not_flattened"
patch("t.flatten().chunk(n)", "t.chunk(n)")

# %% [markdown] lang="en" role="mistake" name="second_half_from_its_own"
# In the second half each rank begins with place r again. The whole sum that it has by then is that of place r + 1, where the
# first half ended for it: go on counting the rounds.
# %% [markdown] lang="vi" of="237339e2"
# Ở nửa sau, mỗi rank lại bắt đầu từ vị trí r. Tổng trọn vẹn mà nó đang giữ lúc đó là ở vị trí r + 1, nơi nửa đầu kết thúc đối
# với nó: hãy đếm tiếp các vòng.
# %% role="wrong" name="second_half_from_its_own"
patch("(rank - turn) % n", "(rank - turn % (n - 1)) % n")

# %% [markdown] lang="en" role="mistake" name="straight_to_the_owner"
# The mean is right, and so are the bytes, but each chunk goes straight to the rank that adds it up, over cables that a ring
# doesn't have. Here a rank sends to its neighbour alone.
# %% [markdown] lang="vi" of="d6c7c9e6"
# Trung bình đúng, số byte cũng đúng, nhưng mỗi mảnh đi thẳng đến rank cộng nó, qua những dây nối mà vòng tròn không có. Ở đây
# mỗi rank chỉ gửi cho hàng xóm của mình.
# %% role="wrong" name="straight_to_the_owner"
def ring_mean(tensors, send):
    n = len(tensors)
    chunks = [list(t.flatten().chunk(n)) for t in tensors]
    for place in range(n):
        for rank in range(n):
            if rank != place:
                came = send(chunks[rank][place], rank, place)
                chunks[place][place] = chunks[place][place] + came
    for place in range(n):
        for rank in range(n):
            if rank != place:
                chunks[rank][place] = send(chunks[place][place], place, rank)
    sums = [torch.cat(pieces) for pieces in chunks]
    return [(s / n).reshape(t.shape) for s, t in zip(sums, tensors, strict=True)]

# %% [markdown] lang="en" role="mistake" name="ends_swapped"
# The chunks are right, but `send` is told the wrong ends: its order is chunk, source, to, so this sends to rank - 1 what rank +
# 1 then uses.
# %% [markdown] lang="vi" of="258c919c"
# Các mảnh đúng, nhưng hai đầu báo cho `send` bị đảo: thứ tự của nó là chunk, source, to, nên thế này là gửi cho rank - 1 thứ mà
# sau đó rank + 1 lại dùng.
# %% role="wrong" name="ends_swapped"
patch("send(chunks[rank][place], rank, to)", "send(chunks[rank][place], to, rank)")

# %% [markdown] lang="en" role="mistake" name="sent_in_float64"
# The chunks travel in float64, whatever the tensors are: for float32 that is twice the bytes on every cable. Send them in the
# tensors' own dtype.
# %% [markdown] lang="vi" of="5c8154b4"
# Các mảnh được gửi ở float64 dù tensor thuộc kiểu nào: với float32 thì dây nào cũng phải chuyển số byte gấp đôi. Hãy gửi với
# chính kiểu số của tensor.
# %% role="wrong" name="sent_in_float64"
patch("t.flatten().chunk(n)", "t.double().flatten().chunk(n)")
patch("reshape(t.shape) for", "reshape(t.shape).to(t.dtype) for")

# %% role="library"
import torch


def ring_mean(tensors, send):
    """One chunk after another all the way round: first its sum, then the sum to everybody, divided where it is complete."""
    n = len(tensors)
    rows = torch.stack([t.reshape(n, -1) for t in tensors])     # (rank, place, size / n)
    made = torch.empty_like(rows)
    for place in range(n):
        total = rows[place, place]
        for hop in range(1, n):
            total = rows[(place + hop) % n, place] + send(total, (place + hop - 1) % n, (place + hop) % n)
        mean = total / n
        made[(place + n - 1) % n, place] = mean
        for hop in range(n - 1):
            mean = send(mean, (place + n - 1 + hop) % n, (place + n + hop) % n)
            made[(place + hop) % n, place] = mean
    return [row.reshape(t.shape) for row, t in zip(made, tensors, strict=True)]

# %% role="payoff"
def draw(ring_mean: Callable) -> Tensor:
    picture = pictures_of(0, 1)[0]                              # (3, 32, 32)
    dice = torch.Generator().manual_seed(4)
    noisy = [picture + 0.8 * torch.randn(3, 32, 32, generator=dice) for _ in range(16)]
    means = ring_mean(noisy, lambda chunk, source, to: chunk.clone())
    return torch.stack([noisy[0], means[0], means[5], means[10]]).clamp(-1, 1)


payoff(draw, ring_mean)
