"""Exercise 12.1, rarest_word: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="8"
# ## A word that means nothing yet
#
# The subject needs a name that the model has no idea of. A tokenizer cuts any word into tokens, and the model has learnt
# something about every token that its captions contained. `counts` (V,) says how often each of the V tokens occurred in them;
# `words` holds the candidates, each as the list of its token ids. One token that means something already is enough to spoil a
# word, so
#
# - a word is as common as its **most frequent** token, and the least common word wins;
# - among equals the one with **fewer tokens** wins: less to learn, and less room in the prompt (a token that stands in a
#   word twice is two tokens);
# - among equals in that, too, the **first** one.
#
# The first line is given. **Write the rest:** return the winner's index in `words`, an `int`. The cell at the end asks your
# function again and again, takes the winner out each time, and draws "a … fish in a meadow" with each, all from one noise. The
# words to the right mean something to the model, and it shows.
# %% [markdown] lang="vi" of="b5e28586"
# ## Một từ chưa có nghĩa gì
#
# Chủ thể cần một cái tên mà mô hình chưa biết gì về nó. Tokenizer cắt mọi từ thành các token, và mô hình đã học được điều gì đó
# về mỗi token có trong các câu mô tả. `counts` (V,) cho biết mỗi token trong V token xuất hiện bao nhiêu lần trong các chú
# thích ấy; `words` chứa các ứng viên, mỗi ứng viên là danh sách id token của nó. Chỉ cần một token đã có nghĩa là cả từ không
# còn dùng được, vì vậy
#
# - một từ phổ biến bằng token **thường gặp nhất** của nó, và từ ít phổ biến nhất thắng;
# - nếu bằng nhau, từ có **ít token hơn** thắng: ít thứ phải học hơn, và tốn ít chỗ trong prompt hơn (một token có mặt hai lần
#   trong từ là hai token);
# - nếu vẫn bằng nhau, từ **đứng trước** thắng.
#
# Dòng đầu đã có sẵn. **Hãy viết phần còn lại:** trả về chỉ số của từ thắng trong `words`, kiểu `int`. Ô ở cuối hỏi hàm của bạn
# nhiều lần, mỗi lần lấy từ thắng ra, rồi vẽ "a … fish in a meadow" với từng từ, tất cả từ cùng một nhiễu. Những từ ở bên phải
# có nghĩa với mô hình, và nhìn tranh là thấy.

# %% [markdown] lang="en" role="hints"
# Two things are compared, one after the other. How does Python compare the tuples (3, 2) and (3, 1)?
# ---
# Make a list of tuples, (how common, how many tokens), one for each word. `min` finds the smallest of them. Where does it
# stand in the list?
# ---
# `ranks = [(number, len(ids)) for number, ids in zip(common, words)]`, and then `ranks.index(...)`, which finds the first.
# %% [markdown] lang="vi" of="7c565bf9"
# Có hai thứ được so sánh, thứ này rồi đến thứ kia. Python so sánh hai tuple (3, 2) và (3, 1) như thế nào?
# ---
# Hãy tạo danh sách các tuple (độ phổ biến, số token), mỗi từ một tuple. `min` tìm tuple nhỏ nhất. Nó đứng ở đâu trong danh
# sách?
# ---
# `ranks = [(number, len(ids)) for number, ids in zip(common, words)]`, rồi `ranks.index(...)`, hàm này tìm phần tử đầu tiên.

# %% [markdown] lang="en" role="stub" given="1"
# counts (V,) int64, how often each token occurs in captions; words: each a list of
# token ids. Returns the index of the word whose most frequent token is rarest; among
# equals the one with fewer tokens, then the first.
# ---
# 1. what each word is compared by: how common, then how many tokens
# 2. the index of the smallest of these
# %% [markdown] lang="vi" of="be0566f4"
# counts (V,) int64, số lần mỗi token xuất hiện trong các câu mô tả; words: mỗi từ
# là một danh sách id token. Trả về chỉ số của từ có token thường gặp nhất là hiếm
# nhất; nếu bằng nhau thì từ có ít token hơn, rồi từ đứng trước.
# ---
# 1. các từ được so sánh theo gì: độ phổ biến, rồi đến số token
# 2. chỉ số của cái nhỏ nhất

# %% role="solution"
def rarest_word(counts: Tensor, words: Sequence[Sequence[int]]) -> int:
    common = [int(counts[list(ids)].max()) for ids in words]    # a number for each word
    ranks = [(number, len(ids)) for number, ids in zip(common, words)]
    return ranks.index(min(ranks))

# %% [markdown] lang="en" role="checks"
# - one token each: the rarest, as an int
# - words of several tokens: the most frequent one counts
# - the same words in another order
# - equally common: fewer tokens win
# - fewer tokens do not win against a rarer word, even one of twelve
# - a token that stands in a word twice is two tokens
# - equal in everything: the first
# - tokens that never occur
# - counts of billions
# - a single word
# %% [markdown] lang="vi" of="39f196df"
# - mỗi từ một token: từ hiếm nhất, kiểu int
# - từ có nhiều token: token thường gặp nhất quyết định
# - vẫn những từ ấy, theo thứ tự khác
# - phổ biến như nhau: ít token hơn thì thắng
# - ít token hơn cũng không thắng từ hiếm hơn, dù từ ấy có mười hai token
# - một token có mặt hai lần trong từ là hai token
# - bằng nhau mọi mặt: từ đứng trước
# - các token chưa từng xuất hiện
# - số lần xuất hiện hàng tỉ
# - chỉ có một từ

# %% role="probes"
from numbers import Integral

import torch


def index(f, counts, words):
    got = f(counts, words)
    return [isinstance(got, Integral), got]


def place(f, counts, words):
    return int(f(counts, words))


def turned(f, counts, words):
    """The words in three other orders."""
    return [int(f(counts, words[k:] + words[:k])) for k in (1, 2, 4)]


#                      0   1   2  3  4    5  6  7  8   9  10
COUNTS = torch.tensor([50, 4, 19, 0, 7, 300, 4, 0, 7, 19, 5])
BILLIONS = torch.tensor([9_000_000_000, 7_000_000_000, 4_000_000_001, 4_000_000_000, 0])
SEVERAL = [[3, 5], [8, 8, 8, 1], [2], [1, 9], [7, 3, 0]]

probe(index, counts=COUNTS, words=[[5], [2], [1], [4], [0]])
probe(place, counts=COUNTS, words=SEVERAL)
probe(turned, counts=COUNTS, words=SEVERAL)
probe(place, counts=COUNTS, words=[[0], [1, 6, 3], [2, 3], [6, 3], [3, 7, 6, 7]])
probe(place, counts=COUNTS, words=[[4], [10], [1, 6] * 6, [8, 1]])
probe(place, counts=COUNTS, words=[[2, 3, 3, 3], [4, 4, 4], [8, 1]])
probe(place, counts=COUNTS, words=[[9], [4, 1], [8, 1], [3, 8], [8, 6], [2]])
probe(place, counts=COUNTS, words=[[1, 6], [4, 7], [7, 3], [8]])
probe(place, counts=BILLIONS, words=[[0], [1], [2], [3, 3], [1, 4]])
probe(place, counts=COUNTS, words=[[5, 0]])

# %% [markdown] lang="en" role="mistake" name="most_common"
# This is the most common word: the model connects it with pictures already, and would have to unlearn them. Take the smallest.
# %% [markdown] lang="vi" of="577990cd"
# Đây là từ phổ biến nhất: mô hình đã gắn nó với những bức ảnh khác và sẽ phải quên chúng đi. Hãy lấy cái nhỏ nhất.
# %% role="wrong" name="most_common"
patch("min(ranks)", "max(ranks)")

# %% [markdown] lang="en" role="mistake" name="fewest_first"
# The number of tokens was compared first, so a short and common word beats a rare one. How common a word is comes first; the
# number of tokens only decides among equals.
# %% [markdown] lang="vi" of="d9b899ac"
# Số token bị so sánh trước, nên một từ ngắn mà phổ biến thắng một từ hiếm. Độ phổ biến phải đứng trước; số token chỉ quyết định
# khi bằng nhau.
# %% role="wrong" name="fewest_first"
patch("(number, len(ids)) for", "(len(ids), number) for")

# %% [markdown] lang="en" role="mistake" name="length_ignored"
# Equally common words were not compared any further. The one with fewer tokens wins.
# %% [markdown] lang="vi" of="e502b5ec"
# Các từ phổ biến như nhau không được so sánh tiếp. Từ có ít token hơn phải thắng.
# %% role="wrong" name="length_ignored"
patch("ranks.index(min(ranks))", "common.index(min(common))")

# %% [markdown] lang="en" role="mistake" name="most_tokens"
# Among equally common words the one with the *most* tokens won. Fewer tokens are better: there is less to learn.
# %% [markdown] lang="vi" of="921cef51"
# Trong các từ phổ biến như nhau, từ có *nhiều* token nhất lại thắng. Ít token hơn thì tốt hơn: ít thứ phải học hơn.
# %% role="wrong" name="most_tokens"
patch("(number, len(ids)) for", "(number, -len(ids)) for")

# %% [markdown] lang="en" role="mistake" name="last_of_equals"
# Among words that are equal in everything the last one won. Take the first, as `list.index` does, or `<` in a loop in place
# of `<=`.
# %% [markdown] lang="vi" of="f9922966"
# Trong các từ bằng nhau mọi mặt, từ cuối cùng lại thắng. Hãy lấy từ đầu tiên, như `list.index`, hoặc trong vòng lặp dùng `<`
# thay cho `<=`.
# %% role="wrong" name="last_of_equals"
patch("ranks.index(min(ranks))", "max(k for k, rank in enumerate(ranks) if rank == min(ranks))")

# %% [markdown] lang="en" role="mistake" name="rarest_token"
# Each word was judged by its rarest token. One frequent token is enough to bring other pictures with it: its most frequent one
# counts.
# %% [markdown] lang="vi" of="1ed59138"
# Mỗi từ bị đánh giá theo token hiếm nhất của nó. Chỉ một token thường gặp là đủ kéo theo những bức ảnh khác: token thường gặp
# nhất mới quyết định.
# %% role="wrong" name="rarest_token"
patch(".max()", ".min()")

# %% [markdown] lang="en" role="mistake" name="summed"
# The counts of a word's tokens were added up. A word is as common as its most frequent token, whatever the others are.
# %% [markdown] lang="vi" of="87380c00"
# Số lần xuất hiện của các token trong từ bị cộng lại. Một từ phổ biến bằng token thường gặp nhất của nó, bất kể các token kia.
# %% role="wrong" name="summed"
patch(".max()", ".sum()")

# %% [markdown] lang="en" role="mistake" name="averaged"
# The counts of a word's tokens were averaged, so a frequent token hides behind rare ones. The most frequent one counts.
# %% [markdown] lang="vi" of="621a129b"
# Số lần xuất hiện của các token trong từ bị lấy trung bình, nên một token thường gặp ẩn sau các token hiếm. Token thường gặp
# nhất mới quyết định.
# %% role="wrong" name="averaged"
patch("int(counts[list(ids)].max())", "float(counts[list(ids)].float().mean())")

# %% [markdown] lang="en" role="mistake" name="multiplied"
# The counts of a word's tokens were multiplied, as if they were chances. A single token that never occurs then makes any word
# look rare. The most frequent one counts.
# %% [markdown] lang="vi" of="a8804416"
# Số lần xuất hiện của các token trong từ bị nhân với nhau, như thể chúng là xác suất. Khi đó chỉ cần một token chưa từng xuất
# hiện là từ nào cũng có vẻ hiếm. Token thường gặp nhất mới quyết định.
# %% role="wrong" name="multiplied"
patch(".max()", ".prod()")

# %% [markdown] lang="en" role="mistake" name="first_token"
# Only the first token of each word was looked at. The others also carry meaning: take the most frequent of all.
# %% [markdown] lang="vi" of="fb95fc7d"
# Chỉ token đầu của mỗi từ được xem xét. Các token khác cũng mang nghĩa: hãy lấy token thường gặp nhất trong tất cả.
# %% role="wrong" name="first_token"
patch("int(counts[list(ids)].max())", "int(counts[ids[0]])")

# %% [markdown] lang="en" role="mistake" name="ids_compared"
# The ids themselves were compared, not how often they occur. An id is only a place in the table: look it up in `counts`.
# %% [markdown] lang="vi" of="a6a0d7da"
# Chính các id bị so sánh, chứ không phải số lần chúng xuất hiện. Id chỉ là vị trí trong bảng: hãy tra nó trong `counts`.
# %% role="wrong" name="ids_compared"
patch("int(counts[list(ids)].max())", "max(ids)")

# %% [markdown] lang="en" role="mistake" name="repeats_dropped"
# A token that stands in a word twice was counted as one. The text encoder reads both: count with `len(ids)`, without `set`.
# %% [markdown] lang="vi" of="351d4451"
# Một token có mặt hai lần trong từ chỉ được đếm là một. Bộ mã hóa văn bản đọc cả hai: hãy đếm bằng `len(ids)`, không qua
# `set`.
# %% role="wrong" name="repeats_dropped"
patch("len(ids)) for", "len(set(ids))) for")

# %% [markdown] lang="en" role="mistake" name="unseen_left_out"
# Words whose tokens never occur were left out. They are the best: nothing was ever connected with them.
# %% [markdown] lang="vi" of="d3f2e647"
# Những từ có token chưa từng xuất hiện bị loại ra. Chúng chính là những từ tốt nhất: chưa có gì gắn với chúng.
# %% role="wrong" name="unseen_left_out"
patch("ranks.index(min(ranks))", "ranks.index(min([rank for rank in ranks if rank[0]] or ranks))")

# %% [markdown] lang="en" role="mistake" name="the_word"
# The word's ids came back. Return its index in `words`.
# %% [markdown] lang="vi" of="7573b05b"
# Kết quả là các id của từ. Hãy trả về chỉ số của nó trong `words`.
# %% role="wrong" name="the_word"
patch("ranks.index(min(ranks))", "words[ranks.index(min(ranks))]")

# %% [markdown] lang="en" role="mistake" name="the_count"
# How often the winner occurs came back. Return its index in `words`.
# %% [markdown] lang="vi" of="36f49a36"
# Kết quả là số lần xuất hiện của từ thắng. Hãy trả về chỉ số của nó trong `words`.
# %% role="wrong" name="the_count"
patch("ranks.index(min(ranks))", "min(ranks)[0]")

# %% [markdown] lang="en" role="mistake" name="counted_from_one"
# The index is one too large: Python counts from 0.
# %% [markdown] lang="vi" of="3ada4265"
# Chỉ số lớn hơn một đơn vị: Python đếm từ 0.
# %% role="wrong" name="counted_from_one"
patch("ranks.index(min(ranks))", "ranks.index(min(ranks)) + 1")

# %% [markdown] lang="en" role="mistake" name="a_tensor"
# The index is right, but it is a tensor. Return an `int`: `.item()` makes one.
# %% [markdown] lang="vi" of="93a99677"
# Chỉ số đúng, nhưng nó là một tensor. Hãy trả về `int`: `.item()` tạo ra nó.
# %% role="wrong" name="a_tensor"
patch("ranks.index(min(ranks))", "torch.tensor(ranks.index(min(ranks)))")

# %% [markdown] lang="en" role="mistake" name="in_one_number"
# How common a word is and how many tokens it has were added up, so a short word can beat a rarer one. The number of tokens
# only decides among words that are equally common.
# %% [markdown] lang="vi" of="86ca9fd2"
# Độ phổ biến và số token bị cộng lại, nên một từ ngắn có thể thắng một từ hiếm hơn. Số token chỉ quyết định giữa các từ phổ
# biến như nhau.
# %% role="wrong" name="in_one_number"
patch("(number, len(ids)) for", "number + len(ids) for")

# %% [markdown] lang="en" role="mistake" name="repeats_weigh_more"
# A token that stands in a word twice was taken for twice as common. It makes the word longer, not more common.
# %% [markdown] lang="vi" of="5b481f6f"
# Một token có mặt hai lần trong từ bị coi là phổ biến gấp đôi. Nó làm từ dài hơn, chứ không phổ biến hơn.
# %% role="wrong" name="repeats_weigh_more"
patch("int(counts[list(ids)].max())", "max(list(ids).count(one) * int(counts[one]) for one in ids)")

# %% [markdown] lang="en" role="mistake" name="compared_further"
# Words that are equal in both were compared by a third thing, such as their ids or the rest of their counts. Among them the
# first one wins.
# %% [markdown] lang="vi" of="aaef30c9"
# Các từ bằng nhau ở cả hai mặt lại được so sánh thêm theo thứ khác, như id hay số lần xuất hiện của các token còn lại. Trong
# số đó, từ đứng trước phải thắng.
# %% role="wrong" name="compared_further"
patch("(number, len(ids)) for", "(number, len(ids), list(ids)) for")

# %% [markdown] lang="en" role="mistake" name="counts_in_float32"
# The counts were turned to float32, which keeps whole numbers apart only up to about 17 million: large counts that differ look
# equal. Compare them as whole numbers.
# %% [markdown] lang="vi" of="87c00236"
# Số lần xuất hiện bị đổi sang float32, kiểu chỉ phân biệt được các số nguyên đến khoảng 17 triệu: những số lớn khác nhau trông
# như bằng nhau. Hãy so sánh chúng dưới dạng số nguyên.
# %% role="wrong" name="counts_in_float32"
patch("int(counts[list(ids)].max())", "float(counts[list(ids)].float().max())")

# %% [markdown] lang="en" role="mistake" name="start_too_low"
# The search begins with a number that is meant to be larger than any count, and here all counts are larger. Begin with the
# first word or with `float("inf")`.
# %% [markdown] lang="vi" of="ebd552d2"
# Phép tìm bắt đầu từ một số lẽ ra lớn hơn mọi số lần xuất hiện, nhưng ở đây số nào cũng lớn hơn nó. Hãy bắt đầu từ từ đầu tiên
# hoặc `float("inf")`.
# %% role="wrong" name="start_too_low"
patch("ranks.index(min(ranks))", "([(10**6, 0), *ranks].index(min([(10**6, 0), *ranks])) or 1) - 1")

# %% [markdown] lang="en" role="mistake" name="a_float"
# The index is right, but it is a float, and no list can be asked for its item 2.0. Return an `int`.
# %% [markdown] lang="vi" of="0a38d428"
# Chỉ số đúng, nhưng nó có kiểu float, mà không danh sách nào có phần tử thứ 2.0. Hãy trả về `int`.
# %% role="wrong" name="a_float"
patch("ranks.index(min(ranks))", "float(ranks.index(min(ranks)))")

# %% role="library"
import numpy as np


def rarest_word(counts, words):
    """NumPy sorts by the last key first, and keeps the order of equals."""
    numbers = [max(counts.tolist()[number] for number in ids) for ids in words]
    return int(np.lexsort(([len(ids) for ids in words], numbers))[0])

# %% role="payoff"
def draw(rarest_word: Callable) -> Tensor:
    left, ranked = list(candidates), []
    while left:
        ids = [token_ids(pipe.tokenizer, word) for word in left]
        ranked.append(left.pop(rarest_word(counts, ids)))
    texts = [f"a {word} fish in a meadow" for word in ranked]
    return torch.cat([pictures(pipe.network, text) for text in texts])      # one noise


payoff(draw, rarest_word)
