"""A published model's folder: on this disk, or fetched from the Hugging Face hub by its "owner/name"; its JSON files and
its weights.

Weights are safetensors; a pickle, which can run code when it is opened, is read only where `allow_pickle` is given. Not
here: what the files mean (text/encoders.py, pipelines/diffusers_folder.py). Taught in the lesson on real weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minidiff.pretrained.weight_file import INDEX, PICKLES, State, outline, read_weights
from minidiff.utils import strict_json
from minidiff.utils.validation import one_line

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
EXTRAS = ("*.fp16.*", "*non_ema*", "*.onnx*", "*.msgpack", "*.h5", "*flax*", "*openvino*")  # the same weights once more


def is_hub_id(name: str) -> bool:
    """Whether this looks like "owner/name"."""
    return HUB_ID.fullmatch(name) is not None


def require(package: str, what: str, extra: str = "interop") -> None:
    """Raises ValueError where a package that `what` cannot do without is not installed. Call it before anything large is
    fetched. extra: of pyproject.toml, which brings it."""
    if find_spec(package) is None:
        raise ValueError(f"{what} needs {package}, which is not here: pip install 'minidiff[{extra}]'.")


def locate(name: str | Path, patterns: Sequence[str] = ("*",), allow_pickle: bool = False) -> Path:
    """The folder `name` if there is one here; else the hub's repository of that name, fetched and kept by huggingface_hub.

    patterns: which of the repository's files are fetched ("vae/*"); copies in other formats never are, and pickles only with
    allow_pickle. Raises ValueError for a folder that is not here, and when the hub gives nothing, as without a network.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if not is_hub_id(str(name)):
        raise ValueError(f"There is no folder {name}: give the path of one, or the \"owner/name\" of a repository on the hub.")
    try:
        from huggingface_hub import snapshot_download

        unwanted = [*EXTRAS, *(() if allow_pickle else (f"*{suffix}" for suffix in PICKLES))]
        return Path(snapshot_download(str(name), allow_patterns=list(patterns), ignore_patterns=unwanted))
    except Exception as error:  # the hub's errors, the network's and the system's have nothing in common
        raise ValueError(
            f"{name!r} is no folder here, and the Hugging Face hub did not give it ({type(error).__name__}): check the "
            "name and the network, or fetch it elsewhere and give the path of its folder."
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds a table. Raises ValueError when it is missing or something else."""
    try:
        content = strict_json.read(path)
    except FileNotFoundError:
        raise ValueError(f"{path.parent} has no {path.name}: it is not the folder of such a model, or not all of it.") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({one_line(error)}): fetch it again.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is JSON, but not a table of settings: fetch it again.")
    return content


def weights_in(folder: Path, allow_pickle: bool = False) -> Path:
    """The file of weights in a folder: safetensors, or their index when there are several, or a pickle if that is allowed.
    Raises ValueError when there is none."""
    for ending in (INDEX, ".safetensors", *PICKLES):
        files = (file for file in folder.glob(f"*{ending}") if file.is_file())
        found = sorted(file for file in files if ".fp16." not in file.name and "non_ema" not in file.name)
        if not found:
            continue
        if ending in PICKLES and not allow_pickle:
            raise ValueError(
                f"{folder} holds its weights only as a pickle, {found[0].name}, which can run code when it is opened: "
                "fetch a version with safetensors, or allow it with allow_pickle=True (--allow-pickle)."
            )
        return found[0]
    raise ValueError(f"There are no weights in {folder}: it has no .safetensors file; fetch the whole of it.")


def outline_of(folder: Path, allow_pickle: bool = False) -> State:
    """What all weights in a folder are called, with their shapes and dtypes, see `weight_file.outline`. Raises ValueError as
    `weights_in`, and for damaged files."""
    return outline(weights_in(folder, allow_pickle), allow_pickle)


def read_state(folder: Path, allow_pickle: bool = False) -> State:
    """All weights in a folder, on the CPU, as they were stored. Raises ValueError as `outline_of`, and for numbers that aren't
    finite."""
    return read_weights(weights_in(folder, allow_pickle), allow_pickle)
