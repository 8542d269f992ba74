"""Exercise 02.1, alpha_bars: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="5"
# ## alpha_bar from betas
#
# **Complete a line.** The betas say how much noise each step adds. Write the table of what is left of the data:
# $\bar\alpha_t = (1 - \beta_1) \cdots (1 - \beta_t)$, with $\bar\alpha_0 = 1$ in front. On paper: the betas 0.1, 0.2, 0.4, 0.5
# give 1, 0.9, 0.72, 0.432, 0.216.
#
# Below it, a star and a house are drawn at the times that your table gives.
# %% [markdown] lang="vi" of="d7bd4968"
# ## alpha_bar từ các beta
#
# **Viết nốt một dòng.** Các beta cho biết mỗi bước thêm bao nhiêu nhiễu. Hãy viết bảng phần dữ liệu còn lại:
# $\bar\alpha_t = (1 - \beta_1) \cdots (1 - \beta_t)$, với $\bar\alpha_0 = 1$ đứng đầu. Trên giấy: các beta 0.1, 0.2, 0.4, 0.5
# cho 1, 0.9, 0.72, 0.432, 0.216.
#
# Bên dưới, ngôi sao và ngôi nhà được vẽ theo các thời điểm mà bảng của bạn cho ra.

# %% [markdown] lang="en" role="hints"
# Do it with a loop on paper for the four betas. What do you multiply by at each step?
# ---
# PyTorch has a function that multiplies along an axis and keeps every product on the way: a cumulative product.
# ---
# `torch.cat` joins `clean` and the cumulative product of `alphas` along axis 0.
# %% [markdown] lang="vi" of="d8c1a827"
# Hãy tự tính bằng vòng lặp trên giấy với bốn beta. Mỗi bước bạn nhân với gì?
# ---
# PyTorch có hàm nhân dồn dọc theo một trục và giữ lại mọi tích trung gian: tích tích lũy (cumulative product).
# ---
# `torch.cat` nối `clean` với tích tích lũy của `alphas` theo trục 0.

# %% [markdown] lang="en" role="stub" given="2"
# The share of the data's variance that is left after steps 0 to T: betas (T,),
# from 0 to 1, to alpha_bar (T + 1,), of the same dtype.
# ---
# 1. multiply the alphas along the steps                    # (T,)
# 2. put clean in front                                     # (T + 1,)
# return ..., the missing line
# %% [markdown] lang="vi" of="0d3a23f4"
# Phần phương sai của dữ liệu còn lại sau các bước 0 đến T: betas (T,), từ 0
# đến 1, thành alpha_bar (T + 1,), cùng kiểu số.
# ---
# 1. nhân dồn các alpha dọc theo các bước                   # (T,)
# 2. đặt clean lên đầu                                      # (T + 1,)
# return ..., dòng còn thiếu

# %% role="solution"
def alpha_bars(betas: Tensor) -> Tensor:
    alphas = 1 - betas                                          # (T,)
    clean = betas.new_ones(1)                                   # (1,)
    return torch.cat([clean, alphas.cumprod(0)])                # (T + 1,)

# %% [markdown] lang="en" role="checks"
# - one entry more than there are betas
# - dtype kept
# - four betas that can be checked on paper
# - the 1000 betas of DDPM
# - a last beta of 1, which leaves nothing of the data
# %% [markdown] lang="vi" of="e998288a"
# - nhiều hơn số beta một phần tử
# - giữ nguyên kiểu số
# - bốn beta có thể tính tay
# - 1000 beta của DDPM
# - beta cuối bằng 1, không để lại gì của dữ liệu

# %% role="probes"
import torch

from minidiff.diffusion.schedules import linear_betas

FEW_BETAS = torch.tensor([0.1, 0.2, 0.4, 0.5], dtype=torch.float64)
LAST_IS_1 = torch.tensor([0.1, 0.2, 1.0], dtype=torch.float64)  # as in the payoff


def dtypes(f, betas):
    return [str(f(betas.float()).dtype), str(f(betas).dtype)]


probe(lambda f, betas: list(f(betas).shape), betas=FEW_BETAS)
probe(dtypes, betas=FEW_BETAS)
probe(lambda f, betas: f(betas), points=2, betas=FEW_BETAS)
probe(lambda f, betas: f(betas)[[0, 1, 500, -1]], betas=linear_betas())
probe(lambda f, betas: f(betas), betas=LAST_IS_1)

# %% [markdown] lang="en" role="mistake" name="added"
# The betas were added up. What survives two steps is a share of a share, (1 - beta_1)(1 - beta_2): multiply along the steps,
# don't add. With 1000 betas, 1 minus their sum is far below 0.
# %% [markdown] lang="vi" of="0959811b"
# Bạn đã cộng dồn các beta. Phần còn lại sau hai bước là một tỉ lệ của một tỉ lệ, (1 - beta_1)(1 - beta_2): phải nhân dồn chứ
# không cộng. Với 1000 beta, hiệu 1 trừ tổng sẽ xuống dưới 0 rất xa.
# %% role="wrong" name="added"
patch("alphas.cumprod(0)", "1 - betas.cumsum(0)")

# %% [markdown] lang="en" role="mistake" name="not_cumulated"
# These are the alphas of single steps, 1 - beta_t. alpha_bar_t is what is left after all steps up to t, so it falls at every
# step; look for the function that multiplies along a tensor.
# %% [markdown] lang="vi" of="8d2d6a8e"
# Đây mới là alpha của từng bước riêng lẻ, 1 - beta_t. alpha_bar_t là phần còn lại sau mọi bước cho đến t, nên phải giảm dần;
# hãy tìm hàm nhân dồn dọc theo một tensor.
# %% role="wrong" name="not_cumulated"
patch("alphas.cumprod(0)", "alphas")

# %% [markdown] lang="en" role="mistake" name="product_of_betas"
# The betas themselves were multiplied. beta is the share of noise that comes in; what stays of the data is 1 - beta.
# %% [markdown] lang="vi" of="1e9b5c0a"
# Bạn đã nhân chính các beta. beta là phần nhiễu đi vào; phần dữ liệu còn lại là 1 - beta.
# %% role="wrong" name="product_of_betas"
patch("alphas.cumprod(0)", "betas.cumprod(0)")

# %% [markdown] lang="en" role="mistake" name="no_clean_entry"
# The products are right, but entry 0, clean data with alpha_bar = 1, is missing: every t would be off by one.
# %% [markdown] lang="vi" of="43b12289"
# Các tích đều đúng, nhưng thiếu phần tử 0 ứng với dữ liệu sạch, alpha_bar = 1: mọi t sẽ lệch một bước.
# %% role="wrong" name="no_clean_entry"
patch("torch.cat([clean, alphas.cumprod(0)])", "alphas.cumprod(0)")

# %% [markdown] lang="en" role="mistake" name="clean_at_the_end"
# The 1 stands at the end. Step 0 is clean data and step T is noise, so the 1 comes first.
# %% [markdown] lang="vi" of="221f7ac1"
# Số 1 đang đứng ở cuối. Bước 0 là dữ liệu sạch, bước T là nhiễu, nên số 1 phải đứng đầu.
# %% role="wrong" name="clean_at_the_end"
patch("[clean, alphas.cumprod(0)]", "[alphas.cumprod(0), clean]")

# %% [markdown] lang="en" role="mistake" name="last_step_missing"
# The table ends one step early: the 1 for clean data is there, but the last product, after all T steps, was cut off. Steps 0 to
# T are T + 1 entries.
# %% [markdown] lang="vi" of="bc26e9fa"
# Bảng kết thúc sớm một bước: đã có số 1 cho dữ liệu sạch, nhưng tích cuối cùng, sau cả T bước, bị cắt mất. Các bước 0 đến T cần
# T + 1 phần tử.
# %% role="wrong" name="last_step_missing"
patch("alphas.cumprod(0)", "alphas.cumprod(0)[:-1]")

# %% [markdown] lang="en" role="mistake" name="zero_in_front"
# The first entry is 0, which would mean that nothing of the data is left at step 0. There nothing has been lost yet: the share
# that is left is 1.
# %% [markdown] lang="vi" of="cdf18273"
# Phần tử đầu tiên là 0, tức ở bước 0 không còn gì của dữ liệu. Ở đó chưa mất gì cả: phần còn lại là 1.
# %% role="wrong" name="zero_in_front"
patch("betas.new_ones(1)", "betas.new_zeros(1)")

# %% [markdown] lang="en" role="mistake" name="roots"
# These are the roots of alpha_bar: what x0 is multiplied by. The table holds variances, the products themselves; the root is
# taken where it is used.
# %% [markdown] lang="vi" of="4b5be944"
# Đây là căn của alpha_bar, tức số nhân với x0. Bảng chứa phương sai, tức chính các tích; căn được lấy ở nơi dùng đến.
# %% role="wrong" name="roots"
patch("alphas.cumprod(0)", "alphas.cumprod(0).sqrt()")

# %% [markdown] lang="en" role="mistake" name="share_of_noise"
# This is the share of noise, which grows: 1 minus the product. The table holds the share of the data, which falls from 1
# towards 0.
# %% [markdown] lang="vi" of="7f46ff81"
# Đây là phần nhiễu, càng lúc càng lớn: 1 trừ đi tích. Bảng chứa phần dữ liệu, giảm từ 1 về gần 0.
# %% role="wrong" name="share_of_noise"
patch("alphas.cumprod(0)", "1 - alphas.cumprod(0)")

# %% [markdown] lang="en" role="mistake" name="always_float32"
# The table is float32 even when the betas are float64. A new tensor is float32 unless it is told otherwise: make it like betas
# (`betas.new_ones`, or `dtype=betas.dtype`).
# %% [markdown] lang="vi" of="be62520f"
# Bảng là float32 ngay cả khi betas là float64. Một tensor mới là float32 nếu không nói gì thêm: hãy tạo nó giống betas
# (`betas.new_ones`, hoặc `dtype=betas.dtype`).
# %% role="wrong" name="always_float32"
patch("alphas.cumprod(0)])", "alphas.cumprod(0)]).float()")

# %% role="library"
import torch

from minidiff.diffusion.schedules import TABLE_LENGTH, TableSchedule


def alpha_bars(betas):
    """Alpha squared of a `TableSchedule`, whose table is longer and holds no 0 or 1."""
    table = torch.full((TABLE_LENGTH,), 1e-9, dtype=torch.float64)
    table[: len(betas)] = betas.double().clamp(max=1 - 1e-9)
    steps = torch.arange(len(betas) + 1, dtype=torch.float64)
    alpha = TableSchedule("betas", table).alpha(steps / TABLE_LENGTH)
    return alpha.square().to(betas.dtype)

# %% role="payoff"
def draw(alpha_bars: Callable) -> Tensor:
    table = alpha_bars(1 - alpha_bar[1:] / alpha_bar[:-1])      # (31,) from 30 betas
    timesteps = schedule.time((table / (1 - table)).log() / 2).double().flip(0)
    denoiser = pipe.denoiser(["star", "house"], ["", ""], 2.0)
    *_, last = samplers.sample(
        denoiser, noises[0], schedule, timesteps, eta=1.0, noise=lambda k: noises[k + 1]
    )
    return last.x


payoff(draw, alpha_bars, tolerance=0.01)
