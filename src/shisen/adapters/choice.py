"""Which kinds, layers and heads of a model are wanted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shisen.errors import UserError
from shisen.inspection.attention_map import KINDS


def chosen_numbers(numbers: Sequence[int] | None, size: int, name: str) -> list[int]:
    """The numbers counted from 0, in the order given; None stands for all.

    Args:
        numbers: Counted from 0, or from the end with negative numbers.
        size: How many there are.
        name: What is counted: ``layer`` or ``head``.

    Raises:
        UserError: There is no such number, it is named twice, or none is.
    """
    if numbers is None:
        return list(range(size))
    wrong = next((number for number in numbers if not -size <= number < size), None)
    if wrong is not None:
        raise UserError(f"there is no {name} {wrong}: there are {size}, counted from 0 to {size - 1}")
    found = [int(number) % size for number in numbers]
    if not found or len(set(found)) < len(found):
        raise UserError(f"{name}s are numbers of which each is named once, not {list(numbers)}")
    return found


@dataclass(frozen=True)
class Choice:
    """What is kept of a model's attention; None stands for all.

    Attributes:
        kinds: ``encoder``, ``decoder``, ``cross``.
        layers: Of each kind, counted from 0, or from the end with negative numbers.
        heads: Of each layer, counted likewise.
    """

    kinds: Collection[str] | None = None
    layers: Sequence[int] | None = None
    heads: Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Refuse a kind that there is not."""
        for kind in self.kinds or ():
            if kind not in KINDS:
                raise UserError(f"the kinds of attention are {', '.join(KINDS)}; there is no {kind!r}")

    def has(self, kind: str) -> bool:
        """Whether a kind is wanted."""
        return self.kinds is None or kind in self.kinds

    @property
    def metadata(self) -> dict[str, str]:
        """Which layers and heads of the model a map shows, where it does not show all."""
        parts = {"layers": self.layers, "heads": self.heads}
        return {name: " ".join(map(str, numbers)) for name, numbers in parts.items() if numbers is not None}
