"""Exercise 05.5, sample_from_labels: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## From labels to pictures
#
# **Wire it.** A network, labels and noise go in, pictures come out. Use the library's parts: `denoiser(predict, schedule,
# prediction_type)` makes a denoiser of a function `(x, timestep) -> prediction`, `cfg(pair, scale)` guides one, and
# `run("dpmpp_2m", model, noise, schedule, steps)` yields states, whose `.x` is what you want. Mind that `cfg` calls the
# denoiser with 2B rows, and at scale 1 with B. The network is called as `network(x, timestep, labels=...)`, with a label for
# each row.
# %% [markdown] lang="vi" of="8f7cee71"
# ## Từ nhãn đến ảnh
#
# **Lắp ráp.** Một mạng, các nhãn và nhiễu đi vào, tranh đi ra. Hãy dùng các bộ phận của thư viện: `denoiser(predict, schedule,
# prediction_type)` biến hàm `(x, timestep) -> prediction` thành bộ khử nhiễu, `cfg(pair, scale)` dẫn hướng nó, và
# `run("dpmpp_2m", model, noise, schedule, steps)` sinh ra các trạng thái mà `.x` là thứ bạn cần. Lưu ý: `cfg` gọi bộ khử nhiễu
# với 2B hàng, còn ở hệ số 1 thì B hàng. Mạng được gọi bằng `network(x, timestep, labels=...)`, mỗi hàng một nhãn.

# %% [markdown] lang="en" role="hints"
# Draw the chain: labels → function of `(x, timestep)` → denoiser → guided denoiser → states → x.
# ---
# Make the 2B labels once. Inside the function, use as many of them as x has rows: the conditions come first.
# ---
# `labels=both[: len(x)]` serves both cases. Then `denoiser`, `cfg`, `run`; go through all states and return the last one's x.
# %% [markdown] lang="vi" of="65261789"
# Hãy vẽ dây chuyền: nhãn → hàm của `(x, timestep)` → bộ khử nhiễu → bộ khử nhiễu có dẫn hướng → các trạng thái → x.
# ---
# Tạo 2B nhãn một lần. Bên trong hàm, dùng đúng bằng số hàng của x: các điều kiện đứng trước.
# ---
# `labels=both[: len(x)]` dùng được cho cả hai trường hợp. Rồi `denoiser`, `cfg`, `run`; đi qua mọi trạng thái và trả về x của
# trạng thái cuối.

# %% [markdown] lang="en" role="stub"
# labels (B,) int64, noise (B, C, H, W), float32 or float64: pictures like the
# noise, sampled with DPM++ 2M, guided with `scale`, not clamped.
# ---
# 1. the labels, and after them as many nulls               # (2B,)
# 2. a denoiser that calls the network with as many labels as x has rows
# 3. guide it
# 4. sample, and return the last x                          # (B, C, H, W)
# %% [markdown] lang="vi" of="bf32725a"
# labels (B,) int64, noise (B, C, H, W), float32 hoặc float64: ảnh cùng kích thước
# và kiểu số với nhiễu, lấy mẫu bằng DPM++ 2M, dẫn hướng với hệ số `scale`, không
# cắt giá trị.
# ---
# 1. các nhãn, rồi chừng ấy nhãn rỗng                       # (2B,)
# 2. một bộ khử nhiễu gọi mạng với số nhãn bằng số hàng của x
# 3. dẫn hướng nó
# 4. lấy mẫu, rồi trả về x cuối cùng                        # (B, C, H, W)

# %% role="solution"
def sample_from_labels(
    network: Any, labels: Tensor, null: int, noise: Tensor,
    schedule: NoiseSchedule, prediction_type: str, steps: int, scale: float,
) -> Tensor:
    both = torch.cat([labels, torch.full_like(labels, null)])   # (2B,)

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        return network(x, timestep, labels=both[: len(x)])      # (B or 2B, ...)

    pair = denoiser(predict, schedule, prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)
    return last.x                                               # (B, C, H, W)

# %% [markdown] lang="en" role="checks"
# - shape of the noise
# - dtype of the noise
# - scale 3: in every step one call, with the labels and as many nulls
# - scale 1: in every step one call, with the labels alone
# - labels 1 and 3 at scale 3
# - a network that predicts x0
# - a picture depends on its own label alone
# %% [markdown] lang="vi" of="1f980f10"
# - cùng kích thước với nhiễu
# - cùng kiểu số với nhiễu
# - hệ số 3: mỗi bước gọi mạng một lần, với các nhãn và chừng ấy nhãn rỗng
# - hệ số 1: mỗi bước gọi mạng một lần, chỉ với các nhãn
# - nhãn 1 và 3 với hệ số 3
# - mạng dự đoán x0
# - mỗi ảnh chỉ phụ thuộc vào nhãn của mình

# %% role="probes"
import torch

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NOISE, LABELS, NULL, SCHEDULE = normal(2, 3, 2, 2, seed=5), torch.tensor([1, 3]), 4, get_schedule("cosine")


class Network:
    """A network of 20 labels that notes those of each call, in rising order. It takes a label for each row."""

    def __init__(self):
        self.labels = []
        self.gains = normal(20, 3, 1, 1, seed=4)                            # (classes, C, 1, 1)

    def __call__(self, x, timestep, *, labels):
        if labels.shape != x.shape[:1]:
            raise ValueError(f"There are labels of shape {tuple(labels.shape)} for {len(x)} pictures; give one each.")
        self.labels.append(sorted(labels.tolist()))
        return torch.tanh(x) * self.gains[labels] + timestep.reshape(-1, 1, 1, 1).to(x) / 1000


def drawn(f, labels, null, noise, prediction_type="v", scale=3.0):
    return f(Network(), labels, null, noise, SCHEDULE, prediction_type, 4, scale)


def labels_of_calls(f, labels, null, noise, scale):
    network = Network()
    f(network, labels, null, noise, SCHEDULE, "v", 2, scale)
    return network.labels


def next_to_others(f, labels, null, noise):
    """The first picture, whose neighbour has one label, then another."""
    return [drawn(f, torch.stack([labels[0], other]), null, noise)[0] for other in (labels[1], labels[1] - 1)]


probe(lambda f, **inputs: list(drawn(f, **inputs).shape), labels=LABELS, null=NULL, noise=NOISE)
probe(lambda f, **inputs: str(drawn(f, **inputs).dtype), labels=LABELS, null=NULL, noise=NOISE)
probe(labels_of_calls, labels=LABELS, null=NULL, noise=NOISE, scale=3.0)
probe(labels_of_calls, labels=LABELS, null=NULL, noise=NOISE, scale=1.0)
probe(drawn, points=2, labels=LABELS, null=NULL, noise=NOISE)
probe(drawn, points=2, labels=LABELS, null=NULL, noise=NOISE, prediction_type="x0", scale=2.0)
probe(next_to_others, labels=LABELS, null=NULL, noise=NOISE)

# %% [markdown] lang="en" role="mistake" name="scale_forgotten"
# The pictures are those of scale 1, whatever the scale: it never reached `cfg`, or the denoiser was sampled without it. Follow
# `scale` from the arguments to where it is used.
# %% [markdown] lang="vi" of="9df93360"
# Ảnh luôn là ảnh của hệ số 1, bất kể hệ số: nó chưa đến được `cfg`, hoặc bạn lấy mẫu từ bộ khử nhiễu chưa dẫn hướng. Hãy lần
# theo `scale` từ tham số đến chỗ dùng.
# %% role="wrong" name="scale_forgotten"
patch("cfg(pair, scale)", "pair")

# %% [markdown] lang="en" role="mistake" name="null_first"
# The null labels come first in the batch. `cfg` expects the B conditions first and the B empty ones after them; the other way
# round, guidance flees from the label, and at scale 1 the label is never seen.
# %% [markdown] lang="vi" of="93285032"
# Nhãn rỗng đang đứng trước trong lô. `cfg` cần B điều kiện trước, rồi mới đến B điều kiện rỗng; ngược lại thì dẫn hướng chạy
# trốn khỏi nhãn, và với hệ số 1 nhãn không hề được đọc.
# %% role="wrong" name="null_first"
patch("[labels, torch.full_like(labels, null)]", "[torch.full_like(labels, null), labels]")

# %% [markdown] lang="en" role="mistake" name="zero_for_null"
# The empty half was filled with label 0, a kind of its own: that is a negative prompt, away from circles. Fill it with `null`.
# %% [markdown] lang="vi" of="24b97b83"
# Nửa rỗng được điền nhãn 0, vốn là một loại thật: như thế là prompt phủ định, tránh xa hình tròn. Hãy điền `null`.
# %% role="wrong" name="zero_for_null"
patch("torch.full_like(labels, null)", "torch.zeros_like(labels)")

# %% [markdown] lang="en" role="mistake" name="eighteen"
# The empty half was filled with 18. That is the null label of world-pixels alone; the function works for other networks too and
# is told their `null`: use the argument.
# %% [markdown] lang="vi" of="d693e329"
# Nửa rỗng được điền số 18. Đó chỉ là nhãn rỗng của world-pixels; hàm phải dùng được cho cả mạng khác và đã được cho biết `null`
# của mạng ấy: hãy dùng tham số này.
# %% role="wrong" name="eighteen"
patch("torch.full_like(labels, null)", "torch.full_like(labels, 18)")

# %% [markdown] lang="en" role="mistake" name="labels_in_both"
# Both halves of the batch hold the labels, so the two predictions are the same and there is nothing to enlarge: the pictures
# are those of scale 1, at twice the price. The second half says nothing: fill it with `null`.
# %% [markdown] lang="vi" of="3105f14f"
# Cả hai nửa của lô đều chứa nhãn, nên hai dự đoán giống hệt nhau và chẳng có gì để phóng đại: ảnh là ảnh của hệ số 1, mà tốn
# gấp đôi. Nửa sau không nói gì cả: hãy điền `null`.
# %% role="wrong" name="labels_in_both"
patch("[labels, torch.full_like(labels, null)]", "[labels, labels]")

# %% [markdown] lang="en" role="mistake" name="never_cut"
# It works where `cfg` asks about 2B rows. At scale 1 it asks about B, and there were still 2B labels. Hand the network as many
# labels as x has rows.
# %% [markdown] lang="vi" of="c8693abd"
# Hàm chạy được khi `cfg` hỏi về 2B hàng. Ở hệ số 1 nó chỉ hỏi B hàng, mà nhãn thì vẫn có 2B. Hãy đưa cho mạng số nhãn đúng bằng
# số hàng của x.
# %% role="wrong" name="never_cut"
patch("both[: len(x)]", "both")

# %% [markdown] lang="en" role="mistake" name="labels_alone"
# It works at scale 1 alone. At every other scale `cfg` asks about 2B rows, and the network got B labels for them: the second
# half needs a `null` for each row.
# %% [markdown] lang="vi" of="5d52b569"
# Hàm chỉ chạy được ở hệ số 1. Ở mọi hệ số khác, `cfg` hỏi về 2B hàng mà mạng chỉ nhận được B nhãn: nửa sau cần một `null` cho
# mỗi hàng.
# %% role="wrong" name="labels_alone"
patch("both[: len(x)]", "labels")

# %% [markdown] lang="en" role="mistake" name="always_both"
# The pictures are right, but at scale 1 the network was still called with 2B rows, half of them for nothing. `cfg` knows that
# case: let it do the guiding, and give the network as many labels as x has rows.
# %% [markdown] lang="vi" of="3f49cbb8"
# Ảnh đúng, nhưng ở hệ số 1 mạng vẫn bị gọi với 2B hàng, một nửa là vô ích. `cfg` biết trường hợp đó: hãy để nó dẫn hướng, và
# đưa cho mạng số nhãn bằng số hàng của x.
# %% role="wrong" name="always_both"
patch("pair = denoiser(predict, schedule, prediction_type)",
      "model = denoiser(guided_network(network, labels, null, scale), schedule, prediction_type)")
patch("cfg(pair, scale)", "model")

# %% [markdown] lang="en" role="mistake" name="always_v"
# It works only for a network that predicts v: the prediction type is fixed somewhere. Pass `prediction_type` on to what makes a
# denoiser of the network.
# %% [markdown] lang="vi" of="b60bfaec"
# Hàm chỉ đúng với mạng dự đoán v: kiểu dự đoán bị cố định ở đâu đó. Hãy truyền `prediction_type` cho chỗ biến mạng thành bộ khử
# nhiễu.
# %% role="wrong" name="always_v"
patch("denoiser(predict, schedule, prediction_type)", 'denoiser(predict, schedule, "v")')

# %% [markdown] lang="en" role="mistake" name="first_order"
# The steps are of first order (DDIM, Euler). DPM++ 2M also uses the prediction of the step before, which makes few steps go
# further: ask `run` for "dpmpp_2m".
# %% [markdown] lang="vi" of="59449879"
# Các bước này là bậc nhất (DDIM, Euler). DPM++ 2M còn dùng cả dự đoán của bước trước, nhờ vậy ít bước mà đi được xa hơn: hãy
# gọi `run` với "dpmpp_2m".
# %% role="wrong" name="first_order"
patch('"dpmpp_2m"', '"ddim"')

# %% [markdown] lang="en" role="mistake" name="own_noise"
# Noise was drawn anew and the given one ignored. The noise decides much of the picture: only from the same noise can scales and
# labels be compared. Start from `noise`.
# %% [markdown] lang="vi" of="16d376fa"
# Hàm tự sinh nhiễu mới và bỏ qua nhiễu đã cho. Nhiễu quyết định nhiều điều trong bức tranh: chỉ khi cùng nhiễu mới so sánh được
# các hệ số và các nhãn. Hãy xuất phát từ `noise`.
# %% role="wrong" name="own_noise"
patch("cfg(pair, scale), noise, schedule", "cfg(pair, scale), torch.randn_like(noise), schedule")

# %% [markdown] lang="en" role="mistake" name="first_state"
# This is x after the first step, still nearly all noise. The sampler yields one state for each step: go through all of them and
# take the last.
# %% [markdown] lang="vi" of="144e39e0"
# Đây là x sau bước đầu tiên, gần như toàn nhiễu. Bộ lấy mẫu sinh ra một trạng thái cho mỗi bước: hãy đi hết và lấy trạng thái
# cuối.
# %% role="wrong" name="first_state"
patch('*_, last = run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)',
      'last = next(run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps))')

# %% [markdown] lang="en" role="mistake" name="whole_state"
# A state came back, not a picture. It holds the step's number, its times, x and x0; return its `.x`.
# %% [markdown] lang="vi" of="b0065228"
# Hàm trả về cả một trạng thái, không phải ảnh. Trạng thái gồm số thứ tự của bước, các thời điểm, x và x0; hãy trả về `.x` của
# nó.
# %% role="wrong" name="whole_state"
patch("return last.x ", "return last   ")

# %% [markdown] lang="en" role="mistake" name="clamped"
# The pictures were clamped to [-1, 1]. Whoever shows them does that; here it hides how far strong guidance goes beyond the
# limits, and for latents it would be wrong. Return x as the last step leaves it.
# %% [markdown] lang="vi" of="652b08ef"
# Ảnh đã bị cắt về [-1, 1]. Đó là việc của nơi hiển thị; ở đây nó che mất dẫn hướng mạnh đã vượt giới hạn bao xa, và với latent
# thì sai hẳn. Hãy trả về x như bước cuối để lại.
# %% role="wrong" name="clamped"
patch("return last.x ", "return last.x.clamp(-1, 1) ")

# %% role="library"
import torch

from minidiff.diffusion.guidance import combine
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import sample
from minidiff.diffusion.timesteps import get_spacing


def sample_from_labels(network, labels, null, noise, schedule, prediction_type, steps, scale):
    """Guides the prediction in place of x0 and eps: whatever its type, that comes to the same."""
    nulls = torch.tensor([null] * len(labels))

    def model(x, t):
        timestep = schedule.timestep(t).float().repeat(len(x))
        if scale == 1:
            return to_x0_eps(schedule, prediction_type, network(x, timestep, labels=labels), x, t)
        out = network(torch.cat([x, x]), timestep.repeat(2), labels=torch.cat([labels, nulls]))
        return to_x0_eps(schedule, prediction_type, combine(*out.chunk(2), scale), x, t)

    *_, last = sample(model, noise, schedule, get_spacing("uniform")(schedule, steps), order=2)
    return last.x

# %% role="payoff"
@torch.inference_mode()
def draw(sample_from_labels: Callable) -> Tensor:
    return sample_from_labels(
        unet, labels, null, noise, schedule, prediction_type, 8, 2.0
    )


payoff(draw, sample_from_labels)
