"""Where trained weights go: into the run's folder, which is then a zoo of its own, and from there into the zoo on request.

A run's folder holds the weights, a manifest, and copies of what the model works with (VAE, tokenizer). So it can be used at
once: `MINIDIFF_ZOO=runs/world-dit minidiff sample ...`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidiff.pretrained import zoo
from minidiff.pretrained.pieces import join
from minidiff.train.options import TrainingError


def keep(
    folder: Path,
    name: str,
    state: dict[str, Tensor],
    config: dict[str, Any],
    *,
    dependencies: Sequence[str] = (),
    to_zoo: bool = False,
    dtype: torch.dtype = torch.float16,
    **meta: Any,
) -> None:
    """Puts weights into a run's folder under `name`, with copies of the zoo's `dependencies`, whose hashes become `made_with`,
    and of what these work with.

    to_zoo: publish them, too. meta: recipe, images_seen, world_version, figures, as for `zoo.add`.
    """
    for other in [name for one in dependencies for name in (one, *_made_with(one))]:
        if other in zoo.manifest() or other not in zoo.manifest(folder):  # a new tokenizer is in the folder only
            zoo.copy(other, None, folder)
    made_with = {other: zoo.entry(other, folder)["sha256"] for other in dependencies}
    zoo.add(name, state, {**config, **({"made_with": made_with} if made_with else {})}, dtype=dtype, root=folder, **meta)
    if to_zoo:
        print(publish(folder))
    else:
        print(f"The weights {name!r} are in {folder}; `minidiff zoo add {folder}` puts them into the zoo.")


def _made_with(name: str) -> list[str]:
    """What weights of the zoo work with."""
    return list(zoo.manifest().get(name, {"config": {}})["config"].get("made_with", {}))


def publish(run: Path, name: str | None = None, root: Path | str | None = None) -> str:
    """Puts the result of the run in folder `run` into the zoo, where it replaces the weights of that name; returns a sentence
    that says so. What it works with (VAE, tokenizer) comes along where the zoo has none of that name.

    name: in the zoo; the run's own by default. root: another zoo directory.

    Raises:
        TrainingError: the folder holds no finished run, or several results.
        ZooError: its files are damaged, or the zoo's VAE or tokenizer is not the one that it was trained with.
    """
    rows = zoo.manifest(run)
    for row in rows.values():
        join(run / row["file"])
    dependencies = {other for row in rows.values() for other in row["config"].get("made_with", {})}
    results = [key for key in rows if key not in dependencies]
    if len(results) != 1:
        found = f"it holds {', '.join(results) or 'no trained weights (a run writes them when it is done)'}"
        raise TrainingError(f"{run} cannot be published: {found}; name the folder of one finished run, such as runs/world-dit.")
    zoo.load(results[0], run)  # damaged or useless weights must not reach the zoo
    made_with = rows[results[0]]["config"].get("made_with", {})
    known = zoo.manifest(root)
    for other, sha in made_with.items():
        if other in known and known[other]["sha256"] != sha:
            raise zoo.ZooError(
                f"{results[0]!r} in {run} was trained with another {other!r} than the one in {zoo.zoo_root(root)}, and would "
                "not work with it: train it anew, or publish into another zoo."
            )
    for other in made_with:
        if other not in known:
            zoo.copy(other, run, root)
    zoo.copy(results[0], run, root, name)
    return f"Published {name or results[0]!r} in {zoo.zoo_root(root)}."
