"""Exercise 16.3, my_samples: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="12"
# ## Dealing out a data set
#
# There are `count` pictures, number 0 to `count` - 1, and `ranks` processes. In each epoch the pictures are put into a new
# order and dealt out, as cards are: the first to rank 0, the next to rank 1, and so on, round and round. No process asks
# another, and yet every one must know its own share.
#
# So all of them make **the same order**: `torch.randperm` with a generator of its own, seeded with `mix_seed(seed, epoch)`,
# which makes one seed of two numbers. Return the numbers of `rank`'s pictures in the order in which they are dealt, a tensor
# (count // ranks,) int64. All ranks get equally many, since those with one more would wait for the others for ever: the
# `count % ranks` at the end of the order are left out this time. In the next epoch they are others.
#
# The last cell shows three epochs: what rank 0 gets in orange, what rank 1 gets in blue, and what is left out in grey.
# %% [markdown] lang="vi" of="19b5c26b"
# ## Chia tập dữ liệu
#
# Có `count` bức ảnh, đánh số từ 0 đến `count` - 1, và `ranks` tiến trình. Mỗi epoch, các bức ảnh được xếp theo một thứ tự mới
# rồi chia ra như chia bài: bức đầu cho rank 0, bức tiếp theo cho rank 1, cứ thế hết vòng này đến vòng khác. Không tiến trình
# nào hỏi tiến trình nào, vậy mà mỗi tiến trình phải biết phần của mình.
#
# Vì thế tất cả đều tự tạo ra **cùng một thứ tự**: `torch.randperm` với một bộ sinh số ngẫu nhiên riêng, có seed là
# `mix_seed(seed, epoch)`, hàm này trộn hai số thành một seed. Hãy trả về số thứ tự các bức ảnh của `rank`, theo đúng thứ tự
# được chia, là một tensor (count // ranks,) int64. Mọi rank nhận số ảnh bằng nhau, nếu không thì rank có thêm một bức sẽ đợi
# các rank kia mãi mãi: `count % ranks` bức ở cuối thứ tự bị bỏ ra lần này. Ở epoch sau sẽ là những bức khác.
#
# Ô cuối cùng cho thấy ba epoch: phần của rank 0 màu cam, phần của rank 1 màu xanh dương, phần bị bỏ ra màu xám.

# %% [markdown] lang="en" role="hints"
# What does the order depend on, and what must it not depend on? Where does `rank` come in, and where not?
# ---
# A slice with a step deals cards: `order[first::step]`. Cut the order to a length that can be dealt out evenly before that.
# ---
# `dice = torch.Generator().manual_seed(mix_seed(seed, epoch))`, `order = torch.randperm(count, generator=dice)`, keep the first
# `count // ranks * ranks`, and of these every one that is `ranks` apart, from `rank` on.
# %% [markdown] lang="vi" of="89338a3f"
# Thứ tự phụ thuộc vào gì, và không được phụ thuộc vào gì? `rank` xuất hiện ở đâu, và không xuất hiện ở đâu?
# ---
# Một lát cắt có bước nhảy chính là chia bài: `order[first::step]`. Trước đó hãy cắt thứ tự về một độ dài chia hết được.
# ---
# `dice = torch.Generator().manual_seed(mix_seed(seed, epoch))`, `order = torch.randperm(count, generator=dice)`, giữ
# `count // ranks * ranks` số đầu, rồi lấy những số cách nhau `ranks`, bắt đầu từ `rank`.

# %% [markdown] lang="en" role="stub"
# The numbers of the pictures that `rank` gets in this epoch, (count // ranks,)
# int64: all of them are put in an order that depends on (seed, epoch) alone, and
# dealt out one by one; what cannot be dealt evenly is left out.
# ---
# 1. the order of this epoch, the same on every rank        # (count,)
# 2. leave out the end that cannot be dealt evenly
# 3. this rank's cards                                      # (count // ranks,)
# %% [markdown] lang="vi" of="1d65bc61"
# Số thứ tự các bức ảnh mà `rank` nhận trong epoch này, (count // ranks,) int64:
# mọi bức được xếp theo một thứ tự chỉ phụ thuộc vào (seed, epoch), rồi chia lần
# lượt từng bức; phần cuối không chia đều được thì bỏ ra.
# ---
# 1. thứ tự của epoch này, giống nhau ở mọi rank            # (count,)
# 2. bỏ ra phần cuối không chia đều được
# 3. những lá bài của rank này                              # (count // ranks,)

# %% role="solution"
def my_samples(count: int, ranks: int, rank: int, epoch: int, seed: int) -> Tensor:
    dice = torch.Generator().manual_seed(mix_seed(seed, epoch))
    order = torch.randperm(count, generator=dice)               # (count,)
    dealt = order[: count // ranks * ranks]
    return dealt[rank::ranks]                                   # (count // ranks,)

# %% [markdown] lang="en" role="checks"
# - equally many for each rank, also when they cannot be dealt evenly
# - a tensor of int64
# - 10 pictures for 3 ranks: who gets which
# - no picture twice in one epoch, in several sizes
# - a new order every epoch, and another one for another seed
# - seed 4 in epoch 1 is not seed 5 in epoch 0
# - within 12 epochs every picture is seen
# - 4 ranks see in their first 3 turns what 2 ranks see in 6
# - PyTorch's own dice are left alone
# %% [markdown] lang="vi" of="a0c57664"
# - mỗi rank số ảnh bằng nhau, kể cả khi không chia hết
# - một tensor int64
# - 10 bức ảnh cho 3 rank: ai nhận bức nào
# - không bức nào xuất hiện hai lần trong một epoch, với nhiều kích thước
# - mỗi epoch một thứ tự mới, và seed khác thì thứ tự khác
# - seed 4 ở epoch 1 không phải là seed 5 ở epoch 0
# - trong 12 epoch bức nào cũng được thấy
# - 4 rank trong 3 lượt đầu thấy đúng những gì 2 rank thấy trong 6 lượt
# - không động đến bộ sinh số ngẫu nhiên chung của PyTorch

# %% role="probes"
import torch


def every(f, count, ranks, epoch=2, seed=5):
    """What each rank gets, by rank."""
    return [f(count, ranks, rank, epoch, seed) for rank in range(ranks)]


def twice(f, sizes):
    """How many pictures come more than once in an epoch, and how many different ones come, for (count, ranks)."""
    found = []
    for count, ranks in sizes:
        dealt = torch.cat(every(f, count, ranks))
        found.append([float(len(dealt) - len(dealt.unique())), float(len(dealt.unique()))])
    return torch.tensor(found)


def shares(f, count, ranks, cases):
    """Rank 1's share for several pairs (epoch, seed)."""
    return [f(count, ranks, 1, *case) for case in cases]


def seen(f, count, ranks, epochs):
    """How often each picture is seen over the epochs, (count,)."""
    dealt = torch.cat([share for epoch in range(epochs) for share in every(f, count, ranks, epoch)])
    return torch.bincount(dealt, minlength=count)


def together(f, count, turns, ranks):
    """The pictures that all ranks see in their first turns, in rising order; the same for half as many ranks."""
    return [torch.cat([share[: turns * more] for share in every(f, count, ranks // more)]).sort().values for more in (1, 2)]


def next_roll(f, count):
    torch.manual_seed(8)
    f(count, 2, 0, 1, 3)
    return torch.rand(2)


probe(lambda f: [[len(share) for share in every(f, count, ranks)] for count, ranks in ((12, 3), (11, 3), (7, 4), (5, 1))])
probe(lambda f, count: 0 * f(count, 2, 1, 0, 0), count=9)
probe(every, points=2, count=10, ranks=3)
probe(twice, sizes=[[12, 4], [13, 5], [6, 6], [101, 8]])
probe(shares, count=12, ranks=2, cases=[[0, 0], [1, 0], [2, 0], [0, 1]])
probe(shares, count=12, ranks=2, cases=[[1, 4], [0, 5]])
probe(seen, count=7, ranks=3, epochs=12)
probe(together, count=17, turns=3, ranks=4)
probe(next_roll, count=9)

# %% [markdown] lang="en" role="mistake" name="rank_in_the_seed"
# Each rank makes an order of its own, for `rank` is in the seed. Cards from different packs: some pictures come to two ranks,
# others to none. All ranks need the same order; the rank only says which cards of it are its own.
# %% [markdown] lang="vi" of="0000f143"
# Mỗi rank tự tạo một thứ tự riêng, vì `rank` nằm trong seed. Như chia bài từ những bộ khác nhau: có ảnh đến hai rank, có ảnh
# chẳng đến rank nào. Mọi rank cần cùng một thứ tự; rank chỉ quyết định lá nào trong đó là của mình.
# %% role="wrong" name="rank_in_the_seed"
patch("mix_seed(seed, epoch)", "mix_seed(seed, epoch, rank)")

# %% [markdown] lang="en" role="mistake" name="seed_plus_rank"
# The rank was added to the seed, so each rank deals from an order of its own: some pictures come to several ranks, others to
# none.
# %% [markdown] lang="vi" of="340cb209"
# Rank đã được cộng vào seed, nên mỗi rank chia từ một thứ tự riêng: có ảnh đến nhiều rank, có ảnh chẳng đến rank nào.
# %% role="wrong" name="seed_plus_rank"
patch("mix_seed(seed, epoch)", "mix_seed(seed + rank, epoch)")

# %% [markdown] lang="en" role="mistake" name="all_for_all"
# Every rank gets all pictures, in the same order: n processes do the work of one, n times. Give each rank its share.
# %% [markdown] lang="vi" of="837aac3c"
# Rank nào cũng nhận tất cả các bức ảnh, theo cùng một thứ tự: n tiến trình làm n lần công việc của một tiến trình. Hãy đưa cho
# mỗi rank phần của nó.
# %% role="wrong" name="all_for_all"
patch("return dealt[rank::ranks]  ", "return dealt")

# %% [markdown] lang="en" role="mistake" name="epoch_left_out"
# Every epoch has the same order, and the same pictures are left out every time. `epoch` belongs into the seed.
# %% [markdown] lang="vi" of="3516bcc7"
# Epoch nào cũng có cùng một thứ tự, và lần nào cũng bỏ ra đúng những bức ấy. `epoch` phải nằm trong seed.
# %% role="wrong" name="epoch_left_out"
patch("mix_seed(seed, epoch)", "mix_seed(seed)")

# %% [markdown] lang="en" role="mistake" name="seed_itself"
# The order depends on `seed` alone, as it was given: every epoch is the same. Mix `seed` and `epoch` into one seed.
# %% [markdown] lang="vi" of="011b9340"
# Thứ tự chỉ phụ thuộc vào chính `seed`: mọi epoch như nhau. Hãy trộn `seed` và `epoch` thành một seed.
# %% role="wrong" name="seed_itself"
patch("mix_seed(seed, epoch)", "seed")

# %% [markdown] lang="en" role="mistake" name="seed_left_out"
# The order depends on the epoch alone. Then no second run can see the data in another order, whatever seed it is given.
# %% [markdown] lang="vi" of="412096ea"
# Thứ tự chỉ phụ thuộc vào epoch. Như vậy không lần chạy nào có thể thấy dữ liệu theo thứ tự khác, dù được cho seed nào.
# %% role="wrong" name="seed_left_out"
patch("mix_seed(seed, epoch)", "epoch")

# %% [markdown] lang="en" role="mistake" name="seed_plus_epoch"
# Seed and epoch were added: seed 4 in epoch 1 has the order of seed 5 in epoch 0, so that runs with neighbouring seeds see
# nearly the same orders, one epoch apart. `mix_seed` keeps the two apart.
# %% [markdown] lang="vi" of="ea4d5f98"
# Seed và epoch được cộng lại: seed 4 ở epoch 1 có đúng thứ tự của seed 5 ở epoch 0, nên các lần chạy có seed kề nhau thấy gần
# như cùng những thứ tự, lệch nhau một epoch. `mix_seed` giữ cho hai số này tách biệt.
# %% role="wrong" name="seed_plus_epoch"
patch("mix_seed(seed, epoch)", "seed + epoch")

# %% [markdown] lang="en" role="mistake" name="epoch_first"
# This is a good order, but another than the one that was asked for: `mix_seed(epoch, seed)` is another number than
# `mix_seed(seed, epoch)`. Two machines that mix in different orders would not fit together.
# %% [markdown] lang="vi" of="ce69bb2e"
# Đây là một thứ tự tốt, nhưng không phải thứ tự được yêu cầu: `mix_seed(epoch, seed)` là một số khác với `mix_seed(seed,
# epoch)`. Hai máy trộn theo hai thứ tự khác nhau sẽ không khớp nhau.
# %% role="wrong" name="epoch_first"
patch("mix_seed(seed, epoch)", "mix_seed(epoch, seed)")

# %% [markdown] lang="en" role="mistake" name="common_dice"
# The order comes from PyTorch's common dice, which every other random number moves on. Each process has its own, in a state of
# its own: the orders differ and nobody knows the others'. Hand a seeded generator to `randperm`.
# %% [markdown] lang="vi" of="cd6c6f59"
# Thứ tự lấy từ bộ sinh số ngẫu nhiên chung của PyTorch, mà mỗi lần rút số khác đều làm nó thay đổi. Mỗi tiến trình có một bộ ở
# trạng thái riêng: các thứ tự khác nhau và chẳng ai biết của ai. Hãy đưa cho `randperm` một bộ sinh đã đặt seed.
# %% role="wrong" name="common_dice"
patch("torch.randperm(count, generator=dice)", "torch.randperm(count)")

# %% [markdown] lang="en" role="mistake" name="common_dice_seeded"
# The order is right, but `torch.manual_seed` also sets PyTorch's common dice back: whoever draws noise afterwards gets the same
# noise in every epoch, and on every rank. Use a generator of its own.
# %% [markdown] lang="vi" of="35ff6355"
# Thứ tự đúng, nhưng `torch.manual_seed` còn đặt lại bộ sinh số ngẫu nhiên chung của PyTorch: sau đó ai rút nhiễu cũng nhận cùng
# một nhiễu ở mọi epoch, và ở mọi rank. Hãy dùng một bộ sinh riêng.
# %% role="wrong" name="common_dice_seeded"
patch("torch.Generator().manual_seed", "torch.manual_seed")

# %% [markdown] lang="en" role="mistake" name="not_shuffled"
# The pictures are dealt out well, but always in the order of their numbers. Data sets are often sorted, and then a batch holds
# a single kind of picture. Shuffle before you deal.
# %% [markdown] lang="vi" of="4ff6d0e7"
# Ảnh được chia đúng, nhưng luôn theo thứ tự số của chúng. Tập dữ liệu thường được sắp sẵn, khi đó một lô chỉ gồm một loại ảnh.
# Hãy xáo trước khi chia.
# %% role="wrong" name="not_shuffled"
patch("torch.randperm(count, generator=dice)", "torch.arange(count)")

# %% [markdown] lang="en" role="mistake" name="shuffled_after_dealing"
# Each rank only shuffles a share that is the same in every epoch: it never sees the other ranks' pictures, and the ones at the
# end of the data set are never seen at all. Shuffle everything first, then deal.
# %% [markdown] lang="vi" of="8982cf82"
# Mỗi rank chỉ xáo một phần cố định, giống nhau ở mọi epoch: nó không bao giờ thấy ảnh của các rank khác, còn những bức ở cuối
# tập dữ liệu thì không ai thấy. Hãy xáo tất cả trước rồi mới chia.
# %% role="wrong" name="shuffled_after_dealing"
def my_samples(count, ranks, rank, epoch, seed):
    dice = torch.Generator().manual_seed(mix_seed(seed, epoch))
    own = torch.arange(count // ranks * ranks)[rank::ranks]
    return own[torch.randperm(len(own), generator=dice)]

# %% [markdown] lang="en" role="mistake" name="cut_before_shuffling"
# The pictures at the end of the data set are cut off before the shuffle, so they are the same in every epoch and never seen.
# Shuffle all of them, then leave out the end of the *order*.
# %% [markdown] lang="vi" of="d628a023"
# Những bức ở cuối tập dữ liệu bị cắt trước khi xáo, nên epoch nào cũng là chúng và chúng không bao giờ được thấy. Hãy xáo tất
# cả, rồi mới bỏ phần cuối của *thứ tự*.
# %% role="wrong" name="cut_before_shuffling"
patch("torch.randperm(count, generator=dice)", "torch.randperm(count // ranks * ranks, generator=dice)")

# %% [markdown] lang="en" role="mistake" name="blocks"
# Each rank gets a block of the order. No picture comes twice, but cards are dealt one by one: only then do 4 ranks see in their
# first turns what 2 ranks see in twice as many, and the result depends less on the number of machines.
# %% [markdown] lang="vi" of="d4b34d39"
# Mỗi rank nhận một khối liền nhau của thứ tự. Không bức nào lặp lại, nhưng bài được chia từng lá: chỉ như thế thì 4 rank trong
# những lượt đầu mới thấy đúng những gì 2 rank thấy trong số lượt gấp đôi, và kết quả ít phụ thuộc vào số máy.
# %% role="wrong" name="blocks"
patch("dealt[rank::ranks] ", "dealt.reshape(ranks, -1)[rank]")

# %% [markdown] lang="en" role="mistake" name="unequal"
# Some ranks have one picture more than others. In its last step such a rank waits for gradients that the others never send, and
# the run hangs. Leave out what cannot be dealt evenly.
# %% [markdown] lang="vi" of="5525d7af"
# Có rank nhiều hơn rank khác một bức. Ở bước cuối, rank đó đợi những gradient mà các rank kia không bao giờ gửi, và lần chạy bị
# treo. Hãy bỏ ra phần không chia đều được.
# %% role="wrong" name="unequal"
patch("order[: count // ranks * ranks]", "order")

# %% [markdown] lang="en" role="mistake" name="filled_up"
# The ranks have equally many because the order was filled up from its beginning, so some pictures come twice in an epoch.
# PyTorch's `DistributedSampler` does that, too, unless `drop_last` is set; here the end is left out.
# %% [markdown] lang="vi" of="44c26812"
# Các rank có số ảnh bằng nhau vì thứ tự được bù thêm từ đầu của chính nó, nên một số bức xuất hiện hai lần trong một epoch.
# `DistributedSampler` của PyTorch cũng làm thế nếu không đặt `drop_last`; ở đây thì phần cuối bị bỏ ra.
# %% role="wrong" name="filled_up"
def my_samples(count, ranks, rank, epoch, seed):
    dice = torch.Generator().manual_seed(mix_seed(seed, epoch))
    order = torch.randperm(count, generator=dice)
    missing = -count % ranks
    return torch.cat([order, order[:missing]])[rank::ranks]

# %% [markdown] lang="en" role="mistake" name="from_the_end"
# The pictures at the *beginning* of the order are left out. That is as fair, but everybody has to leave out the same ones: the
# task says the end.
# %% [markdown] lang="vi" of="12a5f85e"
# Những bức ở *đầu* thứ tự bị bỏ ra. Như thế cũng công bằng, nhưng ai cũng phải bỏ ra đúng những bức ấy: đề bài nói là phần
# cuối.
# %% role="wrong" name="from_the_end"
patch("order[: count // ranks * ranks]", "order[count % ranks :]")

# %% [markdown] lang="en" role="mistake" name="sorted"
# These are the right pictures, but sorted: the order in which they were dealt is lost, and a rank goes through its share of the
# data set from front to back. Keep them as they come.
# %% [markdown] lang="vi" of="4cbab514"
# Đúng là những bức ảnh ấy, nhưng đã bị sắp xếp lại: thứ tự chia bài bị mất, và mỗi rank lại đi từ đầu đến cuối tập dữ liệu
# trong phần của mình. Hãy giữ nguyên thứ tự khi chia.
# %% role="wrong" name="sorted"
patch("return dealt[rank::ranks]  ", "return dealt[rank::ranks].sort().values  ")

# %% role="library"
import torch
from torch.utils.data import DistributedSampler

from minidiff.train.loop import mix_seed


def my_samples(count, ranks, rank, epoch, seed):
    sampler = DistributedSampler(range(count), ranks, rank, seed=mix_seed(seed, epoch), drop_last=count >= ranks)
    return torch.tensor(list(sampler), dtype=torch.int64)

# %% role="payoff"
ORANGE, BLUE, GREY = (torch.tensor(rgb).view(3, 1, 1) for rgb in
                      ((1.0, 0.62, 0.25), (0.4, 0.65, 1.0), (0.35, 0.35, 0.35)))
album = to_tensor(portraits(27)[2:])                            # (25, 3, 32, 32)


def draw(my_samples: Callable) -> Tensor:
    sheets = []
    for epoch in range(3):
        colours = torch.ones(25, 3, 1, 1)
        for rank, colour in enumerate((ORANGE, BLUE)):
            colours[my_samples(25, 2, rank, epoch, 0)] *= colour
        colours[(colours == 1).all(1).flatten()] = GREY         # nobody's
        tinted = ((album + 1) * colours - 1).unflatten(0, (5, 5))       # (5, 5, 3, ...)
        sheets.append(tinted.permute(2, 0, 3, 1, 4).reshape(3, 160, 160))
    return torch.stack(sheets)


payoff(draw, my_samples)
