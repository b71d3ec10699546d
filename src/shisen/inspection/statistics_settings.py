"""What can be measured of a row of attention, and the settings that shape the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shisen.errors import UserError

UNITS = ("nats", "bits")

#: The measures of a row, in the order of tables. `gini` sorts every row and is found when it is asked for.
MEASURES = (
    "entropy",
    "perplexity",
    "max_weight",
    "effective_positions",
    "gini",
    "distance",
    "diagonal_mass",
    "punctuation_mass",
    "end_mass",
    "first_mass",
)
#: What ends a sentence, in the vocabularies of common models.
END_TOKENS = ("</s>", "<eos>", "[SEP]")


@dataclass(frozen=True)
class StatisticsSettings:
    """What shaped the numbers, kept with them.

    Attributes:
        threshold: What a weight must exceed to count as an effective position.
        unit: Of entropy, ``nats`` or ``bits``.
        normalized: Whether entropy is divided by that of n equal weights; NaN then where n is 1.
        band: How many keys to either side of the diagonal belong to it.
        end_tokens: What ends a sentence.
        punctuation: The tokens that are punctuation. None: those of punctuation characters alone.
    """

    threshold: float = 0.1
    unit: str = "nats"
    normalized: bool = False
    band: int = 1
    end_tokens: tuple[str, ...] = END_TOKENS
    punctuation: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not 0 <= self.threshold < 1:
            raise UserError(
                f"the threshold of effective positions is at least 0 and below 1; this is {self.threshold}"
            )
        if self.unit not in UNITS:
            raise UserError(f"the unit of entropy is one of {', '.join(UNITS)}, not {self.unit!r}")
        if self.band < 0:
            raise UserError(f"the band of the diagonal is 0 keys wide or more, not {self.band}")

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        entries = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in entries.items()}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> StatisticsSettings:
        """The settings that `as_dict` wrote.

        Raises:
            UserError: They are not those of statistics.
        """
        settings: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entries.items()
        }
        try:
            return cls(**settings)
        except TypeError as error:
            raise UserError(f"these are no settings of attention statistics: {error}") from None


def check_measures(measures: Sequence[str]) -> None:
    """Refuse a measure that there is not.

    Raises:
        UserError: It names the measures there are.
    """
    for name in measures:
        if name not in MEASURES:
            raise UserError(f"there is no measure {name!r}; there are {', '.join(MEASURES)}")
