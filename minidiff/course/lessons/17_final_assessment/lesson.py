"""Lesson 17: Final assessment."""

# %% [markdown] lang="en" slide="slide"
# # 17 Final assessment
#
# The whole system, written by you.
# %% [markdown] lang="vi" of="60797556"
# # 17 Bài thi cuối
#
# Cả hệ thống, do chính bạn viết.

# %% only="exercise"
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = -10000.0                       # added to a logit: this token is not seen
