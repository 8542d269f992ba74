"""Exercise 01.1, timestep_embedding: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="8"
# ## Times as waves
#
# Write the sinusoids of section 7: $\omega_k = \texttt{max\_period}^{-k/\text{half}}$, the angles $t \cdot \omega_k$, all
# cosines, then all sines, in float32. One line each is enough.
# %% [markdown] lang="vi" of="cf0d2063"
# ## Thời gian thành sóng
#
# Viết các sóng sin ở mục 7: $\omega_k = \texttt{max\_period}^{-k/\text{half}}$, các góc $t \cdot \omega_k$, toàn bộ cos
# trước, rồi toàn bộ sin, ở kiểu float32. Mỗi việc một dòng là đủ.

# %% [markdown] lang="en" role="hints"
# For step 2, a column times a row gives a table.
# ---
# `timestep[:, None]` has shape (B, 1), `omega` (half,): their product has shape (B, half).
# ---
# `torch.cat([..., ...], dim=1)`, with `angle.cos()` first. `.float()` turns whole-number times into float32.
# %% [markdown] lang="vi" of="e51006a4"
# Ở bước 2, một cột nhân với một hàng cho ra một bảng.
# ---
# `timestep[:, None]` có kích thước (B, 1), `omega` là (half,): tích của chúng có kích thước (B, half).
# ---
# `torch.cat([..., ...], dim=1)`, với `angle.cos()` đứng trước. `.float()` đổi bước thời gian là số nguyên sang float32.

# %% [markdown] lang="en" role="stub" given="2"
# Sinusoids of the time: timestep (B,), int64 or float32, to (B, dim) float32,
# dim / 2 cosines, then dim / 2 sines. dim is even.
# ---
# 1. omega (half,): max_period to the power of -k / half
# 2. angle (B, half): every timestep times every omega
# 3. cosines and sines side by side, (B, dim)
# %% [markdown] lang="vi" of="1993dcbe"
# Các sóng sin của thời gian: timestep (B,), bước thời gian int64 hoặc float32,
# thành (B, dim) float32, gồm dim / 2 cos, rồi dim / 2 sin. dim là số chẵn.
# ---
# 1. omega (half,): max_period lũy thừa -k / half
# 2. angle (B, half): mỗi bước thời gian nhân với mỗi omega
# 3. đặt cos và sin cạnh nhau, (B, dim)

# %% role="solution"
def timestep_embedding(
    timestep: Tensor, dim: int, max_period: float = 10000.0
) -> Tensor:
    half = dim // 2
    k = torch.arange(half, device=timestep.device)              # (half,)
    omega = max_period ** (-k / half)                           # (half,)
    angle = timestep[:, None].float() * omega                   # (B, half)
    return torch.cat([angle.cos(), angle.sin()], dim=1)         # (B, dim)

# %% [markdown] lang="en" role="checks"
# - 4 times, dim = 6: shape (4, 6)
# - float32, also when the times are whole numbers
# - values for dim = 6
# - values for another max_period
# - cos² + sin² is 1 for each frequency
# %% [markdown] lang="vi" of="6183f033"
# - 4 bước thời gian, dim = 6: kích thước (4, 6)
# - float32, kể cả khi bước thời gian là số nguyên
# - giá trị khi dim = 6
# - giá trị khi đổi max_period
# - cos² + sin² bằng 1 với mỗi tần số

# %% role="probes"
import torch

TIMES = torch.tensor([0.0, 1.0, 2.5, 10.0])


def dtypes(f, timestep):
    return [str(f(times, 6).dtype) for times in (timestep, timestep.long())]


def values(f, timestep):
    return f(timestep, 6)


def another_period(f, timestep):
    return f(timestep, 8, max_period=50.0).float()


def lengths(f, timestep):
    """The squared length of each (cos, sin), (B, half)."""
    cos, sin = f(timestep, 6).float().chunk(2, dim=1)
    return cos**2 + sin**2


probe(lambda f, timestep: list(f(timestep, 6).shape), timestep=TIMES)
probe(dtypes, timestep=TIMES)
probe(values, points=2, rtol=1e-4, atol=1e-3, timestep=TIMES)
probe(another_period, rtol=1e-4, atol=1e-3, timestep=TIMES)
probe(lengths, rtol=1e-4, atol=1e-4, timestep=TIMES)

# %% [markdown] lang="en" role="mistake" name="sines_first"
# The two halves have changed places: the sines stand first. The network's weights were learnt with the cosines first.
# %% [markdown] lang="vi" of="1f59bbce"
# Hai nửa bị đổi chỗ: sin đứng trước. Trọng số của mạng được học với cos đứng trước.
# %% role="wrong" name="sines_first"
patch("angle.cos(), angle.sin()", "angle.sin(), angle.cos()")

# %% [markdown] lang="en" role="mistake" name="full_width"
# The embedding is twice as wide as asked: there are dim frequencies, each with a sine and a cosine. How many frequencies
# leave room for both?
# %% [markdown] lang="vi" of="392ee050"
# Vector nhúng rộng gấp đôi yêu cầu: có tới dim tần số, mỗi tần số lại có cả sin và cos. Cần bao nhiêu tần số để đủ chỗ
# cho cả hai?
# %% role="wrong" name="full_width"
patch("half = dim // 2", "half = dim")

# %% [markdown] lang="en" role="mistake" name="half_minus_1"
# Only the first frequency is right: your last one is exactly 1 / max_period, so you divide by half - 1. The formula here
# divides by half.
# %% [markdown] lang="vi" of="23426b33"
# Chỉ tần số đầu tiên đúng: tần số cuối của bạn bằng đúng 1 / max_period, tức là bạn chia cho half - 1. Công thức ở đây
# chia cho half.
# %% role="wrong" name="half_minus_1"
patch("(-k / half)", "(-k / (half - 1))")

# %% [markdown] lang="en" role="mistake" name="exponent_over_dim"
# The frequencies fall half as fast as they should: the exponent is divided by dim. The paper writes 2i / d, and with k
# counting pairs that is k / half.
# %% [markdown] lang="vi" of="de16fe4b"
# Tần số giảm chậm bằng một nửa: số mũ bị chia cho dim. Bài báo viết 2i / d, và khi k đếm theo cặp thì đó là k / half.
# %% role="wrong" name="exponent_over_dim"
patch("(-k / half)", "(-k / dim)")

# %% [markdown] lang="en" role="mistake" name="rising_frequencies"
# The frequencies rise from 1 instead of falling: look at the sign of the exponent.
# %% [markdown] lang="vi" of="7f8f1475"
# Tần số tăng dần từ 1 thay vì giảm: xem lại dấu của số mũ.
# %% role="wrong" name="rising_frequencies"
patch("(-k / half)", "(k / half)")

# %% [markdown] lang="en" role="mistake" name="power_before_division"
# Without brackets the power comes first: max_period ** -k / half is (max_period ** -k) / half, so that even the first
# frequency isn't 1. The whole fraction belongs in the exponent.
# %% [markdown] lang="vi" of="8b90b717"
# Thiếu dấu ngoặc thì lũy thừa được tính trước: max_period ** -k / half là (max_period ** -k) / half, nên ngay tần số đầu
# tiên cũng không bằng 1. Cả phân số phải nằm trong số mũ.
# %% role="wrong" name="power_before_division"
patch("(-k / half)", "-k / half")

# %% [markdown] lang="en" role="mistake" name="pairs_side_by_side"
# The numbers are right but lie cos, sin, cos, sin, ...: the library puts all cosines first, then all sines.
# %% [markdown] lang="vi" of="3c720e6c"
# Các số đều đúng nhưng xếp theo kiểu cos, sin, cos, sin, ...: thư viện đặt toàn bộ cos trước, rồi mới đến sin.
# %% role="wrong" name="pairs_side_by_side"
patch("torch.cat([", "torch.stack([")
patch("dim=1)", "dim=2).flatten(1)")

# %% [markdown] lang="en" role="mistake" name="sine_then_cosine_in_pairs"
# This is the order of the paper on transformers: sin, cos, sin, cos, ... The numbers are right, but this network learnt its
# weights with all cosines first, then all sines.
# %% [markdown] lang="vi" of="838e4625"
# Đây là thứ tự trong bài báo về transformer: sin, cos, sin, cos, ... Các số đều đúng, nhưng mạng này học trọng số với
# toàn bộ cos trước, rồi mới đến sin.
# %% role="wrong" name="sine_then_cosine_in_pairs"
patch("torch.cat([angle.cos(), angle.sin()]", "torch.stack([angle.sin(), angle.cos()]")
patch("dim=1)", "dim=2).flatten(1)")

# %% [markdown] lang="en" role="mistake" name="below_one_another"
# The sines stand below the cosines, so there are twice as many rows as times: join along axis 1, and each time keeps a row
# of its own.
# %% [markdown] lang="vi" of="a9fc1d1f"
# Các sin nằm bên dưới các cos, nên số hàng gấp đôi số bước thời gian: hãy ghép theo trục 1, mỗi bước thời gian vẫn một
# hàng.
# %% role="wrong" name="below_one_another"
patch("dim=1", "dim=0")

# %% [markdown] lang="en" role="mistake" name="fixed_period"
# max_period makes no difference to your answer: 10000 is written out somewhere.
# %% [markdown] lang="vi" of="985c8841"
# Kết quả không thay đổi theo max_period: có chỗ nào đó viết cứng số 10000.
# %% role="wrong" name="fixed_period"
patch("omega = max_period", "omega = 10000.0")

# %% [markdown] lang="en" role="mistake" name="time_in_0_to_1"
# The times were divided by 1000: the angle is the timestep, 0 to 1000, times omega, as it stands.
# %% [markdown] lang="vi" of="f471b74a"
# Các bước thời gian đã bị chia cho 1000: góc chính là bước thời gian, từ 0 đến 1000, nhân với omega, để nguyên như vậy.
# %% role="wrong" name="time_in_0_to_1"
patch(".float() * omega", ".float() / 1000 * omega")

# %% [markdown] lang="en" role="mistake" name="whole_times"
# The times were cut to whole numbers: 2.5 should lie between 2 and 3. Times may be fractions; `.float()` keeps them.
# %% [markdown] lang="vi" of="9b83504d"
# Các bước thời gian bị cắt thành số nguyên: 2.5 phải nằm giữa 2 và 3. Bước thời gian có thể là số lẻ; `.float()` giữ nguyên
# chúng.
# %% role="wrong" name="whole_times"
patch("[:, None].float()", "[:, None].long()")

# %% [markdown] lang="en" role="mistake" name="two_pi"
# There is a factor 2 pi too much: omega is already the speed of the angle, in radians per timestep.
# %% [markdown] lang="vi" of="4ead5880"
# Dư một thừa số 2 pi: omega đã là tốc độ của góc, tính bằng radian trên mỗi bước thời gian.
# %% role="wrong" name="two_pi"
patch(".float() * omega", ".float() * omega * 2 * torch.pi")

# %% [markdown] lang="en" role="mistake" name="float64"
# The numbers are right, but in float64: the network's layers want float32. Work in float32, or end with `.float()`.
# %% [markdown] lang="vi" of="d5bdad5d"
# Các số đều đúng, nhưng ở kiểu float64: các lớp của mạng cần float32. Hãy tính bằng float32, hoặc kết thúc bằng `.float()`.
# %% role="wrong" name="float64"
patch(".float() * omega", ".double() * omega")

# %% role="library"
from minidiff.nn.embeddings import timestep_embedding

# %% role="payoff"
def draw(function):
    with patch.object(unet_file, "timestep_embedding", function):
        return pictures()


payoff(draw, timestep_embedding)
