"""What changes with the step: the learning rate and the teacher forcing ratio, as functions of it alone."""

import math

from shisen.training.config import TrainingConfig


def learning_rate(step: int, config: TrainingConfig, total_steps: int | None, reductions: int = 0) -> float:
    """Return the learning rate of an update.

    During the warm-up (i ≤ w) it is η·i/w. After it, with N for all steps and t = (i - w)/(N - w):
    ``constant`` η; ``inverse-sqrt`` η·√(w/i); ``linear`` η·(1 - t); ``cosine`` η·(1 + cos πt)/2;
    ``plateau`` η·factor^reductions.

    Args:
        step: The update's number i, from 1.
        config: Holds η (`learning_rate`), w (`warmup_steps`) and the schedule.
        total_steps: N; needed by ``linear`` and ``cosine``.
        reductions: How often a plateau has lowered the rate.
    """
    warmup = config.warmup_steps
    if step <= warmup:
        return config.learning_rate * step / warmup
    if config.schedule == "inverse-sqrt":
        return config.learning_rate * math.sqrt(warmup / step)
    if config.schedule == "plateau":
        return config.learning_rate * config.plateau_factor**reductions
    if config.schedule == "constant":
        return config.learning_rate
    if total_steps is None:
        raise ValueError(f"the schedule {config.schedule} needs the number of all steps")
    # The update after the last would have rate zero, so that the last one still learns.
    t = min((step - warmup) / max(total_steps + 1 - warmup, 1), 1.0)
    shape = 1.0 - t if config.schedule == "linear" else (1.0 + math.cos(math.pi * t)) / 2.0
    return config.learning_rate * shape


def teacher_forcing_ratio(step: int, config: TrainingConfig) -> float:
    """Return the share of reference tokens that the decoder reads, from Bengio et al. (2015), section 2.4.

    With i for the updates before this one and k for `teacher_forcing_decay_steps`: ``constant`` r; ``linear``
    r·(1 - i/k); ``exponential`` r·exp(-i/k); ``inverse-sigmoid`` r·k/(k + exp(i/k)); never below
    `teacher_forcing_minimum`, unless the ratio r itself is.

    Args:
        step: The update's number, from 1.
        config: Holds r (`teacher_forcing_ratio`), the schedule, k and the minimum.
    """
    x = (step - 1) / config.teacher_forcing_decay_steps  # i/k
    k = config.teacher_forcing_decay_steps
    ratio = config.teacher_forcing_ratio
    lowest = min(config.teacher_forcing_minimum, ratio)
    if config.teacher_forcing_schedule == "linear":
        return max(ratio * (1.0 - x), lowest)
    if config.teacher_forcing_schedule == "exponential":
        return max(ratio * math.exp(-x), lowest)
    if config.teacher_forcing_schedule == "inverse-sigmoid":
        # k / (k + exp(x)) = 1 / (1 + exp(x - log k)), which cannot overflow once x is bounded.
        return max(ratio / (1.0 + math.exp(min(x - math.log(k), 700.0))), lowest)
    return ratio
