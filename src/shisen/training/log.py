"""``training_log.jsonl``: one line every few updates and at every validation, each written at once."""

import json
from pathlib import Path
from typing import Any

from shisen.errors import RunError
from shisen.files import write_atomically


class TrainingLog:
    """The file of a run's curves, and the same for TensorBoard if that is asked for.

    Args:
        path: The file; it is appended to.
        tensorboard: A folder for TensorBoard's event files, or None.
    """

    def __init__(self, path: Path, tensorboard: Path | None = None):
        self.path = path
        self._writer = _tensorboard_writer(tensorboard) if tensorboard else None

    def truncate(self, step: int) -> None:
        """Forget what came after an update, and a line that was cut off: the run goes on from there."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text("utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue
        write_atomically(self.path, "".join(kept))

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line.

        Raises:
            RunError: It could not be written (a full disk).
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise RunError(f"{self.path} could not be written: {error.strerror}") from error
        if self._writer is not None:
            for name, value in entry.items():
                if name not in ("step", "epoch", "seconds") and value is not None:
                    self._writer.add_scalar(name, value, entry["step"])

    def close(self) -> None:
        """Finish TensorBoard's files."""
        if self._writer is not None:
            self._writer.close()


def _tensorboard_writer(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
