"""Lesson 00, the tour: pixels from numbers, the timesteps of a drawing, noise from seeds, and the loop that draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from minidiff.course.exercise import Exercise, Mistake, Probe, Say
from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.samplers import sample, step
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import uniform
from minidiff.utils.images import to_images

COSINE = get_schedule("cosine")
Step = Callable[..., Tensor]     # (x0, eps, t, s) -> x at time s


def _noise(*shape: int, seed: int = 0) -> Tensor:
    """Float64 normal numbers that are the same in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- 00.1 to_pixels ---------------------------------------------------------------------------------------------------


def _to_pixels(pictures: Tensor) -> Tensor:
    return torch.from_numpy(to_images(pictures))


def _inside() -> Tensor:
    """(2, 3, 4, 5) in -1..1, with both ends and the middle."""
    pictures = 2 * torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)) - 1
    pictures[0, 0, 0, :3] = torch.tensor([-1.0, 0.0, 1.0])
    return pictures


def _overstepping() -> Tensor:
    """The same, a fifth larger: some numbers are below -1, some above 1."""
    return 1.2 * _inside()


TO_PIXELS = Exercise(
    "00.1",
    "to_pixels",
    _to_pixels,
    (
        Probe(Say("the shape", "kích thước"), lambda f: str(tuple(f(_inside()).shape))),
        Probe(Say("the dtype", "kiểu số"), lambda f: str(f(_inside()).dtype)),
        Probe(Say("numbers from -1 to 1", "các số từ -1 đến 1"), lambda f: f(_inside()), points=2),
        Probe(Say("numbers a little outside", "các số hơi vượt ra ngoài"), lambda f: f(_overstepping())),
    ),
    (
        Mistake("stays_0_to_1",
            lambda x: ((x.clamp(-1, 1) + 1) / 2).to(torch.uint8).permute(0, 2, 3, 1),
            Say("Almost every pixel is 0: you brought the numbers to 0..1, and uint8 has nothing between 0 and 1. Where "
                "does 255 come in?",
                "Gần như pixel nào cũng bằng 0: bạn đưa các số về 0..1, mà uint8 không có gì nằm giữa 0 và 1. Số 255 phải"
                " xuất hiện ở đâu?")),
        Mistake("no_shift",
            lambda x: (x.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1),
            Say("Everything below 0 became black: you treated the numbers as 0..1. Ours are -1..1, so 0 is a middle grey;"
                " which number must be added before they are stretched?",
                "Mọi số dưới 0 đều thành màu đen: bạn coi các số là 0..1. Ở đây chúng là -1..1, nên 0 là xám trung bình; "
                "cần cộng thêm số nào trước khi kéo giãn?")),
        Mistake("truncated",
            lambda x: ((x.clamp(-1, 1) + 1) * 127.5).to(torch.uint8).permute(0, 2, 3, 1),
            Say("Many pixels are one too dark: turning a float into uint8 drops what stands behind the point, so 200.9 "
                "becomes 200. What has to be done to the numbers first?",
                "Nhiều pixel tối hơn đúng một mức: đổi số thực sang uint8 sẽ bỏ phần sau dấu chấm, nên 200.9 thành 200. "
                "Trước đó phải làm gì với các số?")),
        Mistake("no_clamp",
            lambda x: ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1),
            Say("Numbers outside -1..1 come out wrong: 257 does not fit into uint8, and what happens to it is not up to "
                "you (it may wrap round to 1: a black dot in the brightest place). Keep the numbers inside before "
                "anything else.",
                "Các số nằm ngoài -1..1 bị sai: 257 không vừa uint8, và nó thành gì thì bạn không quyết định được (có thể"
                " quay vòng về 1: một chấm đen ngay chỗ sáng nhất). Hãy giữ các số trong khoảng trước mọi việc khác.")),
        Mistake("channels_first",
            lambda x: ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8),
            Say("The colours are still in front, (B, 3, H, W). Networks like them there; pictures on a screen have them "
                "last, (B, H, W, 3). Which method puts axes into another order?",
                "Kênh màu vẫn đứng trước, (B, 3, H, W). Mạng thích như vậy; còn ảnh trên màn hình để kênh màu cuối cùng, "
                "(B, H, W, 3). Phương thức nào đổi thứ tự các trục?")),
        Mistake("lying_on_its_side",
            lambda x: ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 3, 2, 1),
            Say("The colours are last, but the picture lies on its side: rows became columns. The order should be batch, "
                "height, width, colour; look at the numbers you gave to permute (or transpose) once more.",
                "Kênh màu đã ở cuối, nhưng bức tranh bị nằm nghiêng: hàng thành cột. Thứ tự đúng là lô, chiều cao, chiều "
                "rộng, màu; hãy xem lại các số bạn đưa cho permute (hoặc transpose).")),
    ),
    Say("Numbers into pixels", "Từ con số đến pixel"),
    difficulty=1,
    minutes=8,
)  # fmt: skip


# --- 00.2 uniform_timesteps -------------------------------------------------------------------------------------------


UNIFORM_TIMESTEPS = Exercise(
    "00.2",
    "uniform_timesteps",
    partial(uniform, COSINE),
    (
        Probe(Say("the dtype", "kiểu số"), lambda f: str(f(4).dtype)),
        Probe(Say("4 and 7 steps", "4 và 7 bước"), lambda f: {"n = 4": f(4).double(), "n = 7": f(7).double()}, points=2),
        Probe(Say("2 steps and 1", "2 bước và 1 bước"), lambda f: {"n = 2": f(2).double(), "n = 1": f(1).double()}),
    ),
    (
        Mistake("n_times",
            lambda n: torch.linspace(1, 0, n, dtype=torch.float64),
            Say("One time is missing: n steps are n gaps, and n gaps lie between n + 1 posts. Count the posts of a fence "
                "with one gap.",
                "Thiếu một thời điểm: n bước là n khoảng, và n khoảng nằm giữa n + 1 cột. Hãy đếm số cột của hàng rào có "
                "một khoảng.")),
        Mistake("never_arrives",
            lambda n: torch.arange(n, 0, -1, dtype=torch.float64) / n,
            Say("The last time is 1/n and not 0, so the drawing stops while there is still noise in it. Where does your "
                "counting end, and is that end included?",
                "Thời điểm cuối là 1/n chứ không phải 0, nên bức tranh dừng khi vẫn còn nhiễu. Bạn đếm đến đâu, và điểm "
                "cuối có được tính không?")),
        Mistake("starts_late",
            lambda n: torch.arange(n, -1, -1, dtype=torch.float64) / (n + 1),
            Say("The number of times is right, but they begin below 1, where the network expects a trace of a picture and"
                " gets pure noise. You divided by the number of times; divide by the number of steps.",
                "Số thời điểm đã đúng, nhưng chúng bắt đầu dưới 1, nơi mạng chờ sẵn một chút hình mà chỉ nhận được toàn "
                "nhiễu. Bạn đã chia cho số thời điểm; hãy chia cho số bước.")),
        Mistake("rising",
            lambda n: torch.arange(0, n + 1, dtype=torch.float64) / n,
            Say("These times rise from 0 to 1: from picture to noise. Drawing goes the other way.",
                "Các thời điểm này tăng từ 0 đến 1: từ ảnh đến nhiễu. Vẽ thì đi chiều ngược lại.")),
        Mistake("single_precision",
            lambda n: torch.arange(n, -1, -1) / n,
            Say("The times themselves are right, but in float32. They are few and everything is computed from them, so "
                "the library keeps them in float64: say so with dtype=.",
                "Các thời điểm đã đúng, nhưng ở float32. Chúng chỉ có vài số mà mọi thứ đều tính từ đó, nên thư viện giữ "
                "chúng ở float64: hãy nói rõ bằng dtype=.")),
    ),
    Say("The timesteps of a drawing", "Các bước thời gian của một lần vẽ"),
    difficulty=1,
    minutes=6,
)  # fmt: skip


# --- 00.3 start_noise -------------------------------------------------------------------------------------------------


def _start_noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """As TextToImage draws it: a generator for each picture."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(*shape, generator=generator) for generator in generators])


def _drawn_together(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    return torch.randn(len(seeds), *shape, generator=torch.Generator().manual_seed(seeds[0]))


def _global(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    return torch.stack([torch.randn(*shape, generator=torch.manual_seed(seed)) for seed in seeds])


def _counted_on(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    return _start_noise([seeds[0] + i for i in range(len(seeds))], shape)


def _one_for_all(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    return _start_noise([seeds[0]] * len(seeds), shape)


def _not_normal(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    return torch.stack([torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def _dice_afterwards(f: Any) -> Tensor:
    """What everybody else draws after `f` was called: numbers of the global generator, which is no business of f's."""
    torch.manual_seed(123)
    f([5, 6], (2, 4, 4))
    return torch.rand(3)


START_NOISE = Exercise(
    "00.3",
    "start_noise",
    _start_noise,
    (
        Probe(Say("the shape", "kích thước"), lambda f: str(tuple(f([7, 8, 9], (4, 6, 5)).shape))),
        Probe(Say("one picture", "một bức tranh"), lambda f: f([42], (4, 16, 16))),
        Probe(Say("three pictures, their seeds in any order", "ba bức tranh, seed theo thứ tự bất kỳ"),
              lambda f: f([3, 1000, 7], (4, 16, 16)), points=2),
        Probe(Say("a picture alone and in a batch", "một bức tranh khi vẽ riêng và khi vẽ cùng các bức khác"),
              lambda f: {"alone": f([43], (4, 16, 16))[0], "in a batch": f([42, 43], (4, 16, 16))[1]}),
        Probe(Say("everybody else's dice", "xúc xắc của mọi người khác"), _dice_afterwards),
    ),
    (
        Mistake("drawn_together", _drawn_together,
            Say("Only the first picture follows its seed: all noise comes from one generator, so that of picture i "
                "depends on what was drawn before it. How many generators does a batch need?",
                "Chỉ bức đầu tiên theo đúng seed của nó: mọi nhiễu đều lấy từ một bộ sinh, nên nhiễu của bức thứ i phụ "
                "thuộc vào những gì đã rút trước nó. Một lô cần bao nhiêu bộ sinh?")),
        Mistake("counted_on", _counted_on,
            Say("You counted on from the first seed. The seeds are given, one for each picture, and need not follow one "
                "another: use each of them.",
                "Bạn đếm tiếp từ seed đầu tiên. Các seed đã cho sẵn, mỗi bức một seed, và không nhất thiết liền nhau: hãy"
                " dùng từng seed.")),
        Mistake("one_for_all", _one_for_all,
            Say("All pictures start from the same noise, so all of them would be the same picture. Which seed does the "
                "second one get?",
                "Mọi bức đều bắt đầu từ cùng một nhiễu, nên sẽ ra cùng một bức tranh. Bức thứ hai được nhận seed nào?")),
        Mistake("not_normal", _not_normal,
            Say("These numbers lie between 0 and 1: that is torch.rand. The noise of a diffusion model is normal, with "
                "mean 0 and standard deviation 1.",
                "Các số này nằm giữa 0 và 1: đó là torch.rand. Nhiễu của mô hình khuếch tán có phân phối chuẩn, trung "
                "bình 0 và độ lệch chuẩn 1.")),
        Mistake("global_generator", _global,
            Say("The noise is right, but torch.manual_seed turned everybody's dice: after your function, all random "
                "numbers of the program begin anew. Give each picture a generator of its own, torch.Generator().",
                "Nhiễu đã đúng, nhưng torch.manual_seed đã đặt lại xúc xắc của tất cả: sau hàm của bạn, mọi số ngẫu nhiên"
                " của chương trình bắt đầu lại. Hãy cho mỗi bức một bộ sinh riêng, torch.Generator().")),
    ),
    Say("Mend it: a picture that changes with its batch", "Sửa lỗi: bức tranh đổi theo những bức vẽ cùng"),
    difficulty=2,
    minutes=10,
)  # fmt: skip


# --- 00.4 sample_along ------------------------------------------------------------------------------------------------


def _sample_along(denoiser: Any, step: Step, x: Tensor, timesteps: Tensor) -> Tensor:
    (last,) = deque(sample(denoiser, x, COSINE, timesteps), maxlen=1)
    return last.x


def _to_x0(denoiser: Any, step: Step, x: Tensor, timesteps: Tensor) -> Tensor:
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)
        x = step(x0, eps, t, s)
    return x0


def _short(denoiser: Any, step: Step, x: Tensor, timesteps: Tensor) -> Tensor:
    return _sample_along(denoiser, step, x, timesteps[:-1])


def _old_x(denoiser: Any, step: Step, x: Tensor, timesteps: Tensor) -> Tensor:
    for t, s in pairwise(timesteps):
        state = step(*denoiser(x, t), t, s)
    return state


def _asks_late(denoiser: Any, step: Step, x: Tensor, timesteps: Tensor) -> Tensor:
    for t, s in pairwise(timesteps):
        x = step(*denoiser(x, s), t, s)
    return x


def _changed_over(denoiser: Any, step: Step, x: Tensor, timesteps: Tensor) -> Tensor:
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)
        x = step(eps, x0, t, s)
    return x


def _walk(f: Any, timesteps: Sequence[float]) -> Tensor:
    """From noise (2, 3, 4, 4) with the exact denoiser of a mixture of two Gaussians."""
    denoiser = mixture(COSINE, (-0.6, 0.7), 0.2)
    return f(denoiser, partial(step, COSINE), _noise(2, 3, 4, 4), torch.tensor(timesteps, dtype=torch.float64))


def _calls(f: Any) -> dict[str, list[float]]:
    """At which times the denoiser was called, and what the mean of x was then."""
    exact = mixture(COSINE, (0.4,), 0.3)
    calls: dict[str, list[float]] = {"t": [], "x": []}

    def denoiser(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        calls["t"].append(float(t))
        calls["x"].append(float(x.mean()))
        return exact(x, t)

    f(denoiser, partial(step, COSINE), _noise(1, 2, 3, 3), uniform(COSINE, 4))
    return calls


SAMPLE_ALONG = Exercise(
    "00.4",
    "sample_along",
    _sample_along,
    (
        Probe(Say("the shape", "kích thước"), lambda f: str(tuple(_walk(f, (1, 0.5, 0)).shape))),
        Probe(Say("what the denoiser is given, and at which times", "đưa cho bộ khử nhiễu điều gì, ở thời điểm nào"),
              _calls, points=2),
        Probe(Say("four steps to a picture", "bốn bước đến bức tranh"), lambda f: _walk(f, (1, 0.75, 0.5, 0.25, 0)), points=2),
        Probe(Say("a walk that stops half-way", "đi nửa đường rồi dừng"), lambda f: _walk(f, (1, 0.7, 0.4)), points=2),
    ),
    (
        Mistake("one_step_short", _short,
            Say("The last step is missing: n + 1 times make n pairs (t, s), and you made fewer. What is the last pair?",
                "Thiếu bước cuối: n + 1 thời điểm tạo ra n cặp (t, s), nhưng bạn đi ít hơn. Cặp cuối cùng là gì?")),
        Mistake("asks_about_the_old_x", _old_x,
            Say("The denoiser gets the first noise again and again: what the step returns must be the x of the next call.",
                "Bộ khử nhiễu cứ nhận mãi nhiễu ban đầu: kết quả của mỗi bước phải là x của lần gọi kế tiếp.")),
        Mistake("asks_at_s", _asks_late,
            Say("The denoiser gets the time at which the step ends. But x is still at time t, and has as much noise in it "
                "as belongs to t: which of the two times should it get?",
                "Bạn đưa cho bộ khử nhiễu thời điểm mà bước kết thúc. Nhưng x vẫn đang ở thời điểm t, với lượng nhiễu của"
                " t: phải đưa thời điểm nào?")),
        Mistake("changed_over", _changed_over,
            Say("x0 and eps have changed places: noise is kept where the picture should be. The denoiser returns (x0, "
                "eps), and the step wants them in this order.",
                "x0 và eps bị đổi chỗ: nhiễu được giữ lại ở chỗ đáng lẽ là hình. Bộ khử nhiễu trả về (x0, eps), và bước "
                "đi cũng nhận theo thứ tự này.")),
        Mistake("returns_x0", _to_x0,
            Say("You return x0, the last guess, and not x, the place where the walk stands. At time 0 both are the same, "
                "so pictures come out right; stop earlier and x still has noise in it.",
                "Bạn trả về x0, lần đoán cuối, chứ không phải x, nơi đang đứng. Ở thời điểm 0 hai thứ trùng nhau nên "
                "tranh vẫn đúng; nhưng dừng sớm hơn thì x vẫn còn nhiễu.")),
    ),
    Say("Wire it: the loop that draws", "Lắp ráp: vòng lặp vẽ tranh"),
    difficulty=3,
    minutes=12,
)  # fmt: skip


EXERCISES = (TO_PIXELS, UNIFORM_TIMESTEPS, START_NOISE, SAMPLE_ALONG)
