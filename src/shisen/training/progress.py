"""What the user sees of a run, on standard error: a bar on a terminal, plain lines elsewhere, or nothing."""

import time
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from shisen.training.loop import TrainingLoop
    from shisen.training.validation import Validation

_REFRESH_SECONDS = 0.5
_LINE_SECONDS = 30.0


@runtime_checkable
class Display(Protocol):
    """What a run tells, whoever listens.

    Attributes:
        total_steps: Updates of the whole run, once they are known.
    """

    total_steps: int | None

    def note(self, text: str) -> None:
        """Say one line."""

    def busy(self, text: str) -> None:
        """Say what is being done instead of the next update."""

    def step(self, loop: "TrainingLoop") -> None:
        """Hear of an update."""

    def validation(self, loop: "TrainingLoop", validation: "Validation", is_best: bool) -> None:
        """Hear of a validation."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def open_display(quiet: bool) -> Display:
    """Return the display that suits where standard error goes."""
    if quiet:
        return QuietDisplay()
    console = Console(stderr=True, highlight=False)
    return BarDisplay(console) if console.is_terminal else LineDisplay(console)


class QuietDisplay:
    """Shows nothing."""

    total_steps: int | None = None

    def note(self, text: str) -> None:
        """Say nothing."""

    def busy(self, text: str) -> None:
        """Say nothing."""

    def step(self, loop: "TrainingLoop") -> None:
        """Say nothing."""

    def validation(self, loop: "TrainingLoop", validation: "Validation", is_best: bool) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Do nothing."""


class LineDisplay:
    """One plain line every half minute, and at every validation."""

    total_steps: int | None = None

    def __init__(self, console: Console):
        self.console = console
        self._shown = time.perf_counter()

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(escape(text), soft_wrap=True)

    def busy(self, text: str) -> None:
        """Say nothing: a line follows soon."""

    def step(self, loop: "TrainingLoop") -> None:
        """Print a line if the last is long ago."""
        now = time.perf_counter()
        if now - self._shown >= _LINE_SECONDS:
            self._shown = now
            self.note(f"{_place(loop)}: {_measures(loop)}{_remaining(loop, self.total_steps)}")

    def validation(self, loop: "TrainingLoop", validation: "Validation", is_best: bool) -> None:
        """Print what a validation found."""
        for line in _validation_lines(loop, validation, is_best):
            self.note(line)

    def close(self) -> None:
        """Do nothing."""


class BarDisplay:
    """A bar that moves, and under it what is measured; the lines of validations stay above."""

    total_steps: int | None = None

    def __init__(self, console: Console):
        self.console = console
        # Refreshed from `step`: a thread that redraws would take its time from the training.
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[measures]}"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task: TaskID | None = None
        self._shown = 0.0

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(escape(text), soft_wrap=True)

    def busy(self, text: str) -> None:
        """Write it beside the bar."""
        self._update(measures=text)

    def step(self, loop: "TrainingLoop") -> None:
        """Move the bar, at most twice a second."""
        now = time.perf_counter()
        if now - self._shown < _REFRESH_SECONDS:
            return
        self._shown = now
        share = _share_done(loop, self.total_steps)
        self._update(
            total=None if share is None else 1.0,
            completed=share or 0.0,
            description=_place(loop),
            measures=_measures(loop) + _remaining(loop, self.total_steps),
        )

    def _update(self, **changes: Any) -> None:
        if self._task is None:
            self.progress.start()
            self._task = self.progress.add_task("", total=None, measures="")
        self.progress.update(self._task, **changes)
        self.progress.refresh()

    def validation(self, loop: "TrainingLoop", validation: "Validation", is_best: bool) -> None:
        """Print what a validation found above the bar."""
        for line in _validation_lines(loop, validation, is_best):
            self.note(line)

    def close(self) -> None:
        """Take the bar away."""
        self.progress.stop()


def _place(loop: "TrainingLoop") -> str:
    # After the last batch of an epoch the state already names the next one.
    return f"epoch {loop.state.epoch + (loop.state.batch > 0)}, step {loop.state.step:,}"


def _measures(loop: "TrainingLoop") -> str:
    window = loop.state.window
    speed = window.tokens / window.seconds if window.seconds else 0.0
    return (
        f"loss {loop.mean_loss():.3f}, {speed:,.0f} tokens/s, gradient norm {loop.mean_gradient_norm():.2f}, "
        f"{_duration(loop.state.seconds)} gone"
    )


def _remaining(loop: "TrainingLoop", total_steps: int | None) -> str:
    share = _share_done(loop, total_steps)
    if not share:
        return ""
    return f", at most {_duration(loop.state.seconds * (1.0 - share) / share)} left"


def _share_done(loop: "TrainingLoop", total_steps: int | None) -> float | None:
    """How much of the run is done by the limit that comes first; None if no limit is set."""
    shares = []
    if total_steps is not None:
        shares.append(loop.state.step / total_steps)
    if loop.config.max_minutes is not None:
        shares.append(loop.state.seconds / (60.0 * loop.config.max_minutes))
    return min(max(shares), 1.0) if shares else None


def _validation_lines(loop: "TrainingLoop", validation: "Validation", is_best: bool) -> list[str]:
    bleu = "" if validation.bleu is None else f", BLEU {validation.bleu:.2f}"
    best = " (best so far)" if is_best else ""
    measured = f"{_place(loop)}: validation perplexity {validation.perplexity:.2f}{bleu}{best}"
    if validation.example is None:
        return [measured]
    example = validation.example
    return [f"{measured}; {_cut(example.source)} → {_cut(example.hypothesis)}"]


def _cut(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
