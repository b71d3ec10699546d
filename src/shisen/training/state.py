"""Where a run stands: all that `--resume` needs beyond parameters, optimiser and random numbers."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from shisen.errors import UserError
from shisen.training.config import TrainingConfig
from shisen.training.machine import Precision

LIMITS = ("max_epochs", "max_steps", "max_minutes", "patience")
"""The settings of training that end a run."""


@dataclass
class Window:
    """The sums since the last line of the log."""

    steps: int = 0
    tokens: int = 0
    loss: float = 0.0
    gradient_norm: float = 0.0
    seconds: float = 0.0


@dataclass
class RunState:
    """Where a run stands after an update; it is saved with every checkpoint.

    Attributes:
        precision: What ``auto`` was resolved to when the run began.
        device: The same.
        threads: The same; the sums of a product depend on it in the last bit.
        data_fingerprint: Of the tokenised pairs; a run goes on only with the same ones.
        step: Updates done.
        epoch: Passes over the data done.
        batch: Batches done of the next pass.
        seconds: Time that training and its validations have taken, resumed runs included.
        validation_seconds: Of that, the last validation's.
        window: What the next line of the log will tell.
        best_step: The update whose parameters had the best validation; 0: none yet.
        best_loss: Its validation loss.
        best_bleu: Its BLEU, if that is measured.
        validations_without_improvement: Since then.
        plateau_validations: The same, since the schedule ``plateau`` last lowered the learning rate.
        reductions: How often it has.
        snapshot_steps: The updates whose parameters may be averaged, oldest first.
        last_validated_step: The update after which the last validation was made.
        finished_by: Why the run ended, once it has.
        limits: The settings by which that was decided.
    """

    precision: Precision
    device: str
    threads: int
    data_fingerprint: str
    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    window: Window = field(default_factory=Window)
    best_step: int = 0
    best_loss: float | None = None
    best_bleu: float | None = None
    validations_without_improvement: int = 0
    plateau_validations: int = 0
    reductions: int = 0
    snapshot_steps: list[int] = field(default_factory=list)
    last_validated_step: int = 0
    finished_by: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str) -> "RunState":
        """Make a state of plain data.

        Raises:
            UserError: The data is of another version.
        """
        if set(values) != {known.name for known in fields(cls)}:
            raise UserError(f"{origin}: written by another version of shisen; finish the run with that one")
        return cls(**{**values, "window": Window(**values["window"])})

    def is_better(self, loss: float, bleu: float | None, config: TrainingConfig) -> bool:
        """Return whether these measures beat the best so far, by the metric that decides."""
        if self.best_loss is None:
            return True
        if config.metric == "bleu":
            assert bleu is not None
            assert self.best_bleu is not None
            return bleu > self.best_bleu
        return loss < self.best_loss

    def note_validation(self, loss: float, bleu: float | None, config: TrainingConfig) -> bool:
        """Count a validation and return whether it was the best so far.

        Args:
            loss: The validation loss.
            bleu: BLEU, if it is measured.
            config: Which of them decides, and how long to wait for a better one.
        """
        self.last_validated_step = self.step
        if self.is_better(loss, bleu, config):
            self.best_loss, self.best_bleu, self.best_step = loss, bleu, self.step
            self.validations_without_improvement = self.plateau_validations = 0
            return True
        self.validations_without_improvement += 1
        self.plateau_validations += 1
        if config.schedule == "plateau" and self.plateau_validations >= config.plateau_patience:
            self.reductions += 1
            self.plateau_validations = 0
        return False

    def judge(self, config: TrainingConfig, has_validations: bool) -> None:
        """Decide anew whether the run is over, if other limits decided it.

        By the same ones it stays over: it may have ended a little before `max_minutes`, and would go on.
        """
        limits = config.model_dump(include=set(LIMITS))
        if self.limits != limits:
            self.finished_by = self.stop_reason(config, has_validations)
            self.limits = limits

    def stop_reason(self, config: TrainingConfig, has_validations: bool) -> str | None:
        """Return in words why the run is over, or None if it goes on."""
        if config.max_steps is not None and self.step >= config.max_steps:
            return f"{self.step:,} updates (max_steps)"
        if config.max_epochs is not None and self.epoch >= config.max_epochs:
            return f"{self.epoch:,} epochs (max_epochs)"
        if config.max_minutes is not None:
            # The last parameters are still to be measured within the time.
            left = 60.0 * config.max_minutes - self.seconds
            if left <= (self.validation_seconds if self.step > self.last_validated_step else 0.0):
                return f"{config.max_minutes:g} minutes (max_minutes)"
        waited = self.validations_without_improvement
        if has_validations and config.patience is not None and waited >= config.patience:
            return f"{waited} validations without a better {config.metric.replace('_', ' ')} (patience)"
        return None
