"""The log of a training run: one row of a CSV file per step, and a progress bar with images per second and the time left."""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from minidiff.train.options import TrainingError
from minidiff.utils.files import write_whole


class CSVLog:
    """A CSV file that stays open; each row is on disk before the next step begins. On resuming, rows after the checkpoint's
    step are dropped, so no step is there twice. A new column rewrites the file."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self.rows: list[dict[str, str]] = []
        self.fields: list[str] = []
        if path.exists() and start > 0:
            self._read_back(start)
        self.file = self._rewrite()

    def _read_back(self, start: int) -> None:
        with open(self.path, newline="", encoding="utf-8", errors="replace") as file:
            reader = csv.DictReader(line.replace("\0", "") for line in file)
            self.fields = [name for name in reader.fieldnames or () if name]
            for row in reader:
                step = row.get("step") or ""
                if step.isdecimal() and int(step) <= start:
                    self.rows.append({name: row.get(name) or "" for name in self.fields})

    def _rewrite(self) -> IO[str]:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.fields, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        write_whole(self.path, text.getvalue())  # a kill must not cost the run's history
        return open(self.path, "a", newline="", encoding="utf-8")

    def add(self, row: dict[str, Any]) -> None:
        """Appends a row. Raises OSError that names the file."""
        text = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in row.items()}
        self.rows.append(text)
        new = [k for k in text if k not in self.fields]
        if new:
            self.fields += new
            self.close()
            self.file = self._rewrite()
            return
        try:
            csv.DictWriter(self.file, self.fields, restval="").writerow(text)
            self.file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def close(self) -> None:
        """Closes the file; what a full disk did not take is dropped."""
        try:
            self.file.close()
        except OSError:
            pass


class Progress:
    """The bar of the main process, and its CSV file; the other processes show and write nothing."""

    def __init__(self, folder: Path, steps: int, start: int, main: bool) -> None:
        self.log = CSVLog(folder / "log.csv", start) if main else None
        self.bar = tqdm(total=steps, initial=start, unit="step", disable=not main, dynamic_ncols=True, smoothing=0.05)

    def add(self, row: dict[str, Any]) -> None:
        if self.log is None:
            return
        self.log.add(row)
        figures = {k: v for k, v in row.items() if k not in ("step", "minutes")}
        self.bar.set_postfix_str(" ".join(f"{k} {v:.3g}" for k, v in figures.items()), refresh=False)
        self.bar.update()

    def close(self) -> None:
        self.bar.close()
        if self.log is not None:
            self.log.close()


class TensorBoard:
    """Figures as TensorBoard shows them, in the folder `tensorboard` of a run. first: the step of the first row; what an
    earlier call wrote of it and later ones is hidden. Raises TrainingError where TensorBoard isn't installed."""

    def __init__(self, folder: Path, first: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise TrainingError("--tensorboard needs TensorBoard, which is not here: pip install tensorboard.") from None
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first)  # type: ignore[no-untyped-call]

    def add(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step":
                self.writer.add_scalar(name, value, row["step"])  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self.writer.close()  # type: ignore[no-untyped-call]


class WeightsAndBiases:
    """Figures as Weights & Biases shows them. A run that is resumed goes on under the id that is kept in its folder; without a
    network, `WANDB_MODE=offline` keeps them there. Raises TrainingError where wandb isn't installed."""

    def __init__(self, folder: Path, project: str, settings: dict[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise TrainingError("--wandb needs the package wandb, which is not here: pip install wandb.") from None
        note = folder / "wandb-id.txt"
        known = note.read_text(encoding="utf-8").strip() if note.exists() else None
        self.run = wandb.init(project=project, dir=str(folder), name=folder.name, id=known, resume="allow", config=settings)
        write_whole(note, str(self.run.id))

    def add(self, row: dict[str, Any]) -> None:
        self.run.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])

    def close(self) -> None:
        self.run.finish()


def check_installed(package: str, option: str) -> None:
    """Raises TrainingError, before a run begins, when a package that an option needs isn't there."""
    if importlib.util.find_spec(package) is None:
        raise TrainingError(f"{option} needs the package {package}, which is not here: pip install {package}.")
