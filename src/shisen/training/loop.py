"""What happens between updates, in this order: count, validate, write the log, save, stop."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from shisen.training.config import TrainingConfig
from shisen.training.log import TrainingLog
from shisen.training.progress import Display
from shisen.training.snapshots import Snapshots
from shisen.training.state import RunState, Window
from shisen.training.stream import PlacedBatch
from shisen.training.task import NumericError, TranslationTask
from shisen.training.validation import Validation, Validator


class TrainingLoop(Callback):
    """The housekeeping of a run.

    All of it happens at one point, after an update, and a checkpoint is written last: so a run that goes on
    from one has nothing to catch up with.

    Args:
        config: When to do what.
        state: Where the run stands; advanced here.
        validator: Measures the model; None without validation pairs.
        snapshots: Where parameters of single steps are kept.
        curves: The file of the log.
        display: What the user sees.
        checkpoint: The file to go on from.
    """

    def __init__(
        self,
        config: TrainingConfig,
        state: RunState,
        validator: Validator | None,
        snapshots: Snapshots,
        curves: TrainingLog,
        display: Display,
        checkpoint: Path,
    ):
        self.config = config
        self.state = state
        self.validator = validator
        self.snapshots = snapshots
        self.curves = curves  # `log` is a name that Lightning sets
        self.display = display
        self.checkpoint = checkpoint
        self.is_interrupted = False
        self._loss = torch.tensor(state.window.loss, dtype=torch.float64)
        self._gradient_norm = torch.tensor(state.window.gradient_norm, dtype=torch.float64)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks, and turn Ctrl-C and SIGTERM into a request to stop after the update at hand.

        Only now, since Lightning puts up handlers of its own before. `signals_restored` takes them all down.
        """
        self._loss = self._loss.to(pl_module.device)
        self._gradient_norm = self._gradient_norm.to(pl_module.device)
        self._lap = self._checkpoint_time = time.perf_counter()
        if threading.current_thread() is threading.main_thread():  # no other may
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._interrupt)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: PlacedBatch, batch_idx: int
    ) -> None:
        """Do everything that is due after an update."""
        assert isinstance(pl_module, TranslationTask)
        state = self.state
        self._count(outputs, batch, pl_module.gradient_norm)
        self.display.step(self)
        reason = self._reason()
        validation = self._validate(pl_module) if self._is_validation_due(reason) else None
        reason = state.finished_by = reason or self._reason()
        if validation or reason or state.step % self.config.log_interval == 0:
            self._write_log(pl_module, batch.epoch, validation)
        if self.is_interrupted or reason or self._is_checkpoint_due():
            self._save(trainer)
        state.seconds += self._take_lap()
        trainer.should_stop = self.is_interrupted or reason is not None

    def mean_loss(self) -> float:
        """Return the loss per target token since the last line of the log."""
        return float(self._loss) / max(self.state.window.tokens, 1)

    def mean_gradient_norm(self) -> float:
        """Return the gradient's mean norm since the last line of the log."""
        return float(self._gradient_norm) / max(self.state.window.steps, 1)

    def _count(self, outputs: Any, batch: PlacedBatch, gradient_norm: torch.Tensor) -> None:
        seconds = self._take_lap()
        state, window = self.state, self.state.window
        state.step += 1
        state.epoch, state.batch = batch.next_epoch, batch.next_batch
        state.seconds += seconds
        window.steps += 1
        window.tokens += outputs["tokens"]
        window.seconds += seconds
        self._loss += outputs["loss_sum"]  # stays on the device: reading it would make the device wait
        self._gradient_norm += gradient_norm

    def _reason(self) -> str | None:
        return self.state.stop_reason(self.config, has_validations=self.validator is not None)

    def _is_validation_due(self, reason: str | None) -> bool:
        if self.validator is None:
            return False
        if self.config.validation_interval is None:
            return self.state.batch == 0 or reason is not None
        return self.state.step % self.config.validation_interval == 0 or reason is not None

    def _validate(self, task: TranslationTask) -> Validation:
        assert self.validator is not None
        self.display.busy("validating")
        state = self.state
        validation = self.validator(task.model)
        state.validation_seconds = validation.seconds
        if not math.isfinite(validation.loss):
            raise NumericError(state.step)
        is_best = state.note_validation(validation.loss, validation.bleu, self.config)
        if self.config.average_last > 1:
            state.snapshot_steps = [*state.snapshot_steps, state.step][-self.config.average_last :]
        if is_best or self.config.average_last > 1:
            self.snapshots.save(state.step, task.model)
        self.display.validation(self, validation, is_best)
        return validation

    def _write_log(self, task: TranslationTask, epoch: int, validation: Validation | None) -> None:
        state, window = self.state, self.state.window
        loss, gradient_norm = self.mean_loss(), self.mean_gradient_norm()
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            raise NumericError(state.step)
        entry: dict[str, Any] = {
            "step": state.step,
            "epoch": epoch + 1,
            "seconds": round(state.seconds, 3),
            "loss": loss,
            "target_tokens_per_second": round(window.tokens / max(window.seconds, 1e-9), 1),
            "gradient_norm": gradient_norm,
            "learning_rate": task.trainer.optimizers[0].param_groups[0]["lr"],
        }
        if validation is not None:
            entry |= {"validation_loss": validation.loss, "bleu": validation.bleu}
        self.curves.write(entry)
        state.window = Window()
        self._loss.zero_()
        self._gradient_norm.zero_()

    def _is_checkpoint_due(self) -> bool:
        steps = self.config.checkpoint_steps
        if steps is not None and self.state.step % steps == 0:
            return True
        return time.perf_counter() - self._checkpoint_time >= 60.0 * self.config.checkpoint_minutes

    def _save(self, trainer: Trainer) -> None:
        window = self.state.window
        window.loss, window.gradient_norm = float(self._loss), float(self._gradient_norm)
        if not (math.isfinite(window.loss) and math.isfinite(window.gradient_norm)):
            raise NumericError(self.state.step)
        trainer.save_checkpoint(self.checkpoint)
        self.snapshots.keep_only({self.state.best_step, *self.state.snapshot_steps})
        self._checkpoint_time = time.perf_counter()

    def _take_lap(self) -> float:
        """Return the seconds since the last call."""
        now = time.perf_counter()
        seconds, self._lap = now - self._lap, now
        return seconds

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ask for a stop; asked again by Ctrl-C, stop at once."""
        if self.is_interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.is_interrupted = True
        self.display.note("stopping after this step (press Ctrl-C again to stop without saving)")


@contextmanager
def signals_restored() -> Iterator[None]:
    """Leave the handling of Ctrl-C and SIGTERM as it was, whatever was put up in between."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
