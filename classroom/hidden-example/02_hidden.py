"""Further checks of exercise 02.2, as a teacher would keep them from the students.

    minidiff grade exercises/02_ddpm.ipynb --hidden hidden

Any .py file in the folder may define PROBES: {number of an exercise: its further probes}. A probe is given the answer, runs
it on inputs of its own and returns what came out; never say in a probe what is right. The same probe is run on the
reference, and the two outputs are compared. So it has to do the same in every call: no random numbers without a seed.

Copy this file into a folder outside the students' repository, change it, and try it on the solution notebook before anyone
is graded with it: the solution has to keep 100 %.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minidiff.course.exercise import Probe, Say

Answer = Callable[..., Tensor]  # q_sample(x0, eps, t, alpha_bar) -> x_t, shaped like x0

X0 = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(2, 3, 2, 2)  # two pictures of 2 x 2 pixels
EPS = X0.flip(0).sin()
T = torch.tensor([7, 2])
ALPHA_BAR = torch.linspace(1, 0.1, 10, dtype=torch.float64)  # (10,): a schedule that no lesson shows


def on_another_schedule(answer: Answer) -> Tensor:
    """Finds answers with numbers of the lesson's schedule written into them."""
    return answer(X0.clone(), EPS.clone(), T, ALPHA_BAR)


def inputs_afterwards(answer: Answer) -> list[Tensor]:
    """Finds answers that write into the tensors they were given (x0.mul_(...)), which breaks whoever calls them twice."""
    x0, eps = X0.clone(), EPS.clone()
    answer(x0, eps, T, ALPHA_BAR)
    return [x0, eps]


PROBES = {
    "02.2": (
        Probe(Say("another schedule", "một lịch nhiễu khác"), on_another_schedule, points=2),
        Probe(Say("x0 and eps are left as they were", "x0 và eps được giữ nguyên"), inputs_afterwards),
    )
}
