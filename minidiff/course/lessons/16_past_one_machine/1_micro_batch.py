"""Exercise 16.1, micro_batch: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="8"
# ## Which micro-batch is mine?
#
# Several processes train one model. Each has a number, its `rank`, from 0 to `ranks` - 1. A step has `accumulate` turns; in
# each turn every rank works on one micro-batch, and no two ranks may work on the same one. Micro-batch number k is always the
# same pictures, so the number says all.
#
# Micro-batches are numbered from 0: step after step, within a step turn after turn, within a turn rank after rank. Complete the
# function: it says which number `rank` works on in turn `micro` of step `step`. Then 2 ranks with one turn see in every step
# the very micro-batches that 1 rank sees in two turns.
#
# The last cell draws what two ranks work on, a sheet for each.
# %% [markdown] lang="vi" of="ad852ec8"
# ## Lô nhỏ nào là của tôi?
#
# Nhiều tiến trình cùng huấn luyện một mô hình. Mỗi tiến trình có một số thứ tự, gọi là `rank`, từ 0 đến `ranks` - 1. Một bước
# gồm `accumulate` lượt; trong mỗi lượt, mỗi rank xử lý một lô nhỏ (micro-batch), và không được có hai rank nào xử lý
# cùng một lô nhỏ. Lô nhỏ số k luôn là những bức ảnh ấy, nên chỉ cần biết con số.
#
# Các lô nhỏ được đánh số từ 0: hết bước này đến bước khác, trong một bước thì hết lượt này đến lượt khác, trong một lượt
# thì lần lượt từng rank. Hãy hoàn thành hàm: nó cho biết `rank` xử lý số nào trong lượt `micro` của bước `step`. Khi đó, ở mỗi
# bước, 2 rank với một lượt sẽ thấy đúng những lô nhỏ mà 1 rank thấy trong hai lượt.
#
# Ô cuối cùng vẽ những gì hai rank xử lý, mỗi rank một tấm.

# %% [markdown] lang="en" role="hints"
# Write the numbers of one step into a table with a row for each turn and a column for each rank. What is in the first row?
# ---
# By how much does a number grow from one rank to the next, from one turn to the next, from one step to the next?
# ---
# One step has `accumulate * ranks` numbers and one turn has `ranks`: add up those of the steps and the turns before, and
# `rank`.
# %% [markdown] lang="vi" of="f7aa779b"
# Hãy ghi các số của một bước vào một bảng, mỗi lượt một hàng, mỗi rank một cột. Hàng đầu tiên gồm những số nào?
# ---
# Con số tăng bao nhiêu khi sang rank kế tiếp, sang lượt kế tiếp, sang bước kế tiếp?
# ---
# Một bước có `accumulate * ranks` số và một lượt có `ranks` số: hãy cộng các số của những bước và lượt trước đó, rồi cộng
# `rank`.

# %% [markdown] lang="en" role="stub" given="1"
# The number of the micro-batch that `rank` (0 to ranks - 1) works on in turn
# `micro` (0 to accumulate - 1) of step `step` (from 0).
# ---
# 1. the numbers of the steps before, of the turns before, and of the ranks before
# %% [markdown] lang="vi" of="784f7745"
# Số của lô nhỏ mà `rank` (0 đến ranks - 1) xử lý trong lượt `micro`
# (0 đến accumulate - 1) của bước `step` (từ 0).
# ---
# 1. cộng các số của những bước trước, những lượt trước và những rank trước

# %% role="solution"
def micro_batch(step: int, micro: int, accumulate: int, ranks: int, rank: int) -> int:
    per_step = accumulate * ranks                               # numbers in one step
    return step * per_step + micro * ranks + rank

# %% [markdown] lang="en" role="checks"
# - a whole number, an int
# - the first step of 3 ranks with 2 turns
# - a later step, far into the run
# - five steps: each number once, none left out
# - 6 ranks, 3 ranks with 2 turns and 1 rank with 6 turns see the same numbers in the same step
# - one rank alone, without accumulation
# %% [markdown] lang="vi" of="5420a17b"
# - một số nguyên, kiểu int
# - bước đầu tiên của 3 rank với 2 lượt
# - một bước về sau, khi đã chạy khá lâu
# - năm bước: mỗi số đúng một lần, không sót số nào
# - 6 rank, 3 rank với 2 lượt và 1 rank với 6 lượt thấy cùng những số ấy trong cùng một bước
# - một rank, không tích lũy

# %% role="probes"
import operator

import torch


def whole(f, step, micro, accumulate, ranks, rank):
    """The number, if it can be an index, and whether dice that it seeds are those of an int."""
    number = f(step, micro, accumulate, ranks, rank)
    return {"number": operator.index(number), "the same hash as an int": hash(number) == operator.index(number)}


def numbers(f, step, accumulate, ranks):
    """Those of one step, turn by turn, and rank by rank within a turn: (accumulate, ranks) float64."""
    rows = [[f(step, micro, accumulate, ranks, rank) for rank in range(ranks)] for micro in range(accumulate)]
    return torch.tensor(rows, dtype=torch.float64)


def counted(f, steps, accumulate, ranks):
    """All numbers of several steps in rising order, (steps * accumulate * ranks,)."""
    return torch.cat([numbers(f, step, accumulate, ranks).flatten() for step in range(steps)]).sort().values


def shared_out(f, step, kinds):
    """The numbers of a step in rising order, for several pairs (turns, ranks)."""
    return [numbers(f, step, *kind).flatten().sort().values for kind in kinds]


probe(whole, step=7, micro=1, accumulate=2, ranks=3, rank=2)
probe(numbers, step=0, accumulate=2, ranks=3)
probe(numbers, points=2, step=1234, accumulate=4, ranks=3)
probe(counted, steps=5, accumulate=2, ranks=3)
probe(shared_out, step=3, kinds=[[1, 6], [2, 3], [6, 1]])
probe(numbers, step=9, accumulate=1, ranks=1)

# %% [markdown] lang="en" role="mistake" name="rank_left_out"
# All ranks work on the same micro-batches: `rank` has no effect. It looks like a batch `ranks` times as large, but it holds
# every picture `ranks` times, and the gradient is that of one rank.
# %% [markdown] lang="vi" of="3df34de5"
# Mọi rank đều xử lý cùng những lô nhỏ: `rank` không có tác dụng gì. Trông như một lô lớn gấp `ranks` lần, nhưng mỗi bức
# ảnh xuất hiện `ranks` lần, và gradient vẫn chỉ là của một rank.
# %% role="wrong" name="rank_left_out"
patch("micro * ranks + rank", "micro * ranks")

# %% [markdown] lang="en" role="mistake" name="as_if_alone"
# Each rank counts as if it were alone: steps of `accumulate` numbers, and all ranks have the same ones. Every picture is then
# computed `ranks` times. A step of all ranks has `accumulate * ranks` numbers.
# %% [markdown] lang="vi" of="2cf32c77"
# Mỗi rank đếm như thể chỉ có một mình nó: mỗi bước `accumulate` số, và rank nào cũng có những số ấy. Như vậy mỗi bức ảnh được
# tính `ranks` lần. Một bước của tất cả các rank có `accumulate * ranks` số.
# %% role="wrong" name="as_if_alone"
patch("step * per_step + micro * ranks + rank", "step * accumulate + micro")

# %% [markdown] lang="en" role="mistake" name="blocks"
# Each number comes once, but each rank has a block of numbers of its own in a step. The order asked for is turn after turn: in
# one turn the ranks work on neighbouring numbers, as the columns of a table with a row for each turn.
# %% [markdown] lang="vi" of="2da12783"
# Mỗi số đúng là chỉ xuất hiện một lần, nhưng trong một bước mỗi rank lại nhận một khối số liền nhau. Thứ tự cần có là hết lượt
# này đến lượt khác: trong một lượt, các rank xử lý những số kề nhau, như các cột của một bảng mà mỗi lượt là một hàng.
# %% role="wrong" name="blocks"
patch("micro * ranks + rank", "rank * accumulate + micro")

# %% [markdown] lang="en" role="mistake" name="steps_overlap"
# A step begins `accumulate` numbers after the one before it, but all ranks together use `accumulate * ranks`: the steps overlap
# and pictures come again at once. `per_step` is there for that.
# %% [markdown] lang="vi" of="b8e5978c"
# Mỗi bước bắt đầu sau bước trước `accumulate` số, trong khi tất cả các rank dùng hết `accumulate * ranks` số: các bước chồng
# lên nhau và ảnh lặp lại ngay. `per_step` có sẵn để dùng vào việc đó.
# %% role="wrong" name="steps_overlap"
patch("step * per_step", "step * accumulate")

# %% [markdown] lang="en" role="mistake" name="one_turn_a_step"
# This is right without accumulation alone: a step begins only `ranks` numbers after the one before it, as if it had a single
# turn. Its later turns then reach into the steps that follow.
# %% [markdown] lang="vi" of="ce7eaa19"
# Cách này chỉ đúng khi không tích lũy: mỗi bước chỉ bắt đầu sau bước trước `ranks` số, như thể một bước chỉ có một lượt. Các
# lượt sau của nó lấn sang những bước kế tiếp.
# %% role="wrong" name="one_turn_a_step"
patch("step * per_step", "step * ranks")

# %% [markdown] lang="en" role="mistake" name="turns_overlap"
# A turn uses `ranks` numbers, one for each rank, but the next turn begins only one number later: rank 1 does now what rank 0
# does in the next turn. `micro` must be multiplied.
# %% [markdown] lang="vi" of="d72871d9"
# Một lượt dùng `ranks` số, mỗi rank một số, nhưng lượt kế tiếp lại bắt đầu chỉ sau một số: việc rank 1 làm bây giờ thì lượt sau
# rank 0 làm lại. `micro` phải được nhân lên.
# %% role="wrong" name="turns_overlap"
patch("micro * ranks + rank", "micro + rank")

# %% [markdown] lang="en" role="mistake" name="turn_left_out"
# All turns of a step have the same number: the same pictures are accumulated over and over, and the rest of the data set is
# never seen. `micro` has to count.
# %% [markdown] lang="vi" of="24c6a5ea"
# Mọi lượt trong một bước có cùng một số: cùng những bức ảnh ấy được tích lũy hết lần này đến lần khác, còn phần kia của tập dữ
# liệu không bao giờ được thấy. `micro` phải có tác dụng.
# %% role="wrong" name="turn_left_out"
patch("micro * ranks + rank", "rank")

# %% [markdown] lang="en" role="mistake" name="gaps"
# No number comes twice, but most never come at all: from one turn to the next there are `per_step` numbers, and a turn uses
# only `ranks`. Those left out are pictures that no rank ever sees in this epoch.
# %% [markdown] lang="vi" of="3bf29f6a"
# Không số nào lặp lại, nhưng phần lớn các số không bao giờ xuất hiện: từ lượt này sang lượt sau cách nhau `per_step` số, trong
# khi một lượt chỉ dùng `ranks` số. Những số bị bỏ là các bức ảnh mà không rank nào thấy.
# %% role="wrong" name="gaps"
patch("micro * ranks + rank", "micro * per_step + rank")

# %% [markdown] lang="en" role="mistake" name="turns_and_ranks_swapped"
# `micro` is multiplied by `accumulate` here. From one turn to the next it is `ranks` numbers; the two are only the same where
# there are as many turns as ranks.
# %% [markdown] lang="vi" of="8ce4e657"
# Ở đây `micro` được nhân với `accumulate`. Từ lượt này sang lượt sau phải là `ranks` số; hai thứ chỉ bằng nhau khi số lượt bằng
# số rank.
# %% role="wrong" name="turns_and_ranks_swapped"
patch("micro * ranks + rank", "micro * accumulate + rank")

# %% [markdown] lang="en" role="mistake" name="from_one"
# Every number is one too high: the first micro-batch of a run has number 0, and number 0 is never seen now.
# %% [markdown] lang="vi" of="0a8f1abf"
# Mọi số đều lớn hơn một đơn vị: lô nhỏ đầu tiên của lần chạy có số 0, mà bây giờ số 0 không bao giờ được dùng.
# %% role="wrong" name="from_one"
patch("micro * ranks + rank", "micro * ranks + rank + 1")

# %% [markdown] lang="en" role="mistake" name="far_apart"
# Each rank counts in a range of its own, far from the others'. No number comes twice, but 2 ranks with one turn now see other
# pictures than 1 rank with two: the result depends on how many machines there were. Share one count among all ranks.
# %% [markdown] lang="vi" of="44918b8f"
# Mỗi rank đếm trong một khoảng riêng, cách xa các rank khác. Không số nào lặp lại, nhưng 2 rank với một lượt lại thấy những ảnh
# khác với 1 rank trong hai lượt: kết quả phụ thuộc vào số máy. Hãy dùng chung một dãy số cho mọi rank.
# %% role="wrong" name="far_apart"
patch("step * per_step + micro * ranks + rank", "step * accumulate + micro + rank * 1_000_000")

# %% [markdown] lang="en" role="mistake" name="step_left_out"
# Every step works on the same numbers: `step` has no effect, and the run never gets beyond its first pictures. Add the numbers
# of the steps before.
# %% [markdown] lang="vi" of="7899276f"
# Bước nào cũng xử lý cùng những số ấy: `step` không có tác dụng, và lần chạy không bao giờ đi quá những bức ảnh đầu tiên. Hãy
# cộng thêm các số của những bước trước.
# %% role="wrong" name="step_left_out"
patch("step * per_step + ", "")

# %% [markdown] lang="en" role="mistake" name="a_tensor"
# The number is right, but it is a tensor. Seeds are made of it, and `hash` of a tensor is that of the object, not of the number
# in it: other pictures in every run. Return an int.
# %% [markdown] lang="vi" of="cca5b70e"
# Con số đúng nhưng lại là một tensor. Seed được tạo từ nó, mà `hash` của một tensor là của đối tượng chứ không phải của con số
# bên trong: mỗi lần chạy sẽ ra những bức ảnh khác. Hãy trả về một int.
# %% role="wrong" name="a_tensor"
patch("step * per_step + micro * ranks + rank", "torch.tensor(step * per_step + micro * ranks + rank)")

# %% role="library"
from minidiff.train.loop import micro_batch_number
from minidiff.train.options import LoopConfig


def micro_batch(step, micro, accumulate, ranks, rank):
    return micro_batch_number(step, micro, LoopConfig(accumulate=accumulate, batch=accumulate), ranks, rank)

# %% role="payoff"
def draw(micro_batch: Callable) -> Tensor:
    sheets = []
    for rank in range(2):
        turns = [(step, micro) for step in (0, 1) for micro in (0, 1)]
        numbers = [micro_batch(*turn, 2, 2, rank) for turn in turns]
        rows = [torch.cat(list(pictures_of(number)), dim=2) for number in numbers]
        sheets.append(torch.cat(rows, dim=1))                   # (3, 4 * 32, 4 * 32)
    return torch.stack(sheets)


payoff(draw, micro_batch)
