"""Further checks of exercise 02.2, as a teacher would keep them from the students.

    minidiff grade exercises/02_ddpm.ipynb --hidden hidden

A file in the folder whose name begins with an exercise's number adds to its checks: `probe(what, call, points=1, **inputs)`,
as in the exercise's own file. `what` is a text, or two, in English and Vietnamese. `call` is given the answer and fresh
copies of the inputs, and returns what came out; never say in it what is right. The same call is run on the solution, and the
two outputs are compared. So it has to do the same every time: no random numbers without a seed. An answer that changes its
inputs is found without a check of yours.

Copy this file into a folder outside the students' repository, change it, and try it on the solution notebook before anyone
is graded with it: the solution has to keep 100 %.
"""

import torch

X0 = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(2, 3, 2, 2)  # two pictures of 2 x 2 pixels
EPS = X0.flip(0).sin()
T = torch.tensor([7, 2])
ALPHA_BAR = torch.linspace(1, 0.1, 10, dtype=torch.float64)  # (10,): a schedule that no lesson shows

# Finds answers with numbers of the lesson's schedule written into them.
probe(
    ("another schedule", "một lịch nhiễu khác"),
    lambda f, x0, eps, t, alpha_bar: f(x0, eps, t, alpha_bar),
    points=2, x0=X0, eps=EPS, t=T, alpha_bar=ALPHA_BAR,
)  # fmt: skip

# Finds answers that take pictures for granted: here are sequences, (B, L, D).
probe(
    ("three axes", "ba trục"),
    lambda f, x0, eps, t, alpha_bar: f(x0, eps, t, alpha_bar),
    x0=X0.reshape(2, 4, 3), eps=EPS.reshape(2, 4, 3), t=T, alpha_bar=ALPHA_BAR,
)  # fmt: skip
