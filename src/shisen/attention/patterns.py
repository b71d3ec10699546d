"""Patterns: which positions may attend to which, as data that can be combined, drawn and computed with.

    pattern = window(64) | global_tokens([0])
    pattern = (window(64) | strided(128)) & causal()
    pattern.mask(queries=512)                          # the dense boolean mask
    parse_pattern("(window(64) | strided(128)) & causal()") == pattern     # str(pattern) is the way back

A pattern answers two questions. ``allows`` is asked of single positions. ``blocks`` is asked of square blocks
of positions: may any query of this block attend to any key of that? It may say yes too often, never too
rarely, and takes time by the number of blocks, so that what is sparse never becomes a dense mask on the way.

With fewer queries than keys the queries are the last positions, as a decoder with a cache has them.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_type_hints

import torch
from jaxtyping import Bool, Int
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Pattern(ABC):
    """Which query positions may attend to which key positions."""

    @abstractmethod
    def allows(
        self, queries: Int[Tensor, "*#shape"], keys: Int[Tensor, "*#shape"], length: int
    ) -> Bool[Tensor, "*shape"]:
        """Say for each pair of positions whether the query may attend to the key.

        Args:
            queries: positions, counted from 0; both broadcast against each other.
            keys: positions.
            length: how many positions the keys have.
        """

    @abstractmethod
    def blocks(self, count: int, size: int, length: int) -> Bool[Tensor, "count count"]:
        """Say for each pair of blocks whether any pair of their positions may be allowed.

        Args:
            count: blocks of queries, and of keys.
            size: positions in a block; the last may reach past the end.
            length: how many positions there are.
        """

    def mask(
        self, queries: int, keys: int | None = None, device: torch.device | None = None
    ) -> Bool[Tensor, "queries keys"]:
        """Return the dense mask, True = may be attended to; ``keys`` None: as many as queries.

        Raises:
            ValueError: there are more queries than keys.
        """
        keys = queries if keys is None else keys
        if not 0 <= queries <= keys:
            raise ValueError(f"expected from 0 to as many queries as the {keys} keys, got {queries}")
        query_positions = torch.arange(keys - queries, keys, device=device)
        return self.allows(query_positions[:, None], torch.arange(keys, device=device), keys)

    def density(self, length: int) -> float:
        """Return the share of pairs of positions that are allowed, 0 to 1; made in slices, never at once."""
        positions = torch.arange(length)
        parts = (self.allows(rows[:, None], positions, length) for rows in positions.split(256))
        return sum(int(part.sum()) for part in parts) / max(1, length**2)

    def plot(self, length: int = 64) -> Figure:
        """Draw the mask: queries down, keys across, what may be attended to dark."""
        from shisen.plotting.patterns import plot_pattern  # a picture is wanted: the one step upwards

        return plot_pattern(self, length)

    def __or__(self, other: Pattern) -> Pattern:
        """What either allows."""
        return _Either(self, other)

    def __and__(self, other: Pattern) -> Pattern:
        """What both allow."""
        return _Both(self, other)


@dataclass(frozen=True)
class _Either(Pattern):
    one: Pattern
    other: Pattern

    def allows(self, queries: Tensor, keys: Tensor, length: int) -> Tensor:
        return self.one.allows(queries, keys, length) | self.other.allows(queries, keys, length)

    def blocks(self, count: int, size: int, length: int) -> Tensor:
        return self.one.blocks(count, size, length) | self.other.blocks(count, size, length)

    def __repr__(self) -> str:
        return _joined(self, "|")


@dataclass(frozen=True)
class _Both(Pattern):
    one: Pattern
    other: Pattern

    def allows(self, queries: Tensor, keys: Tensor, length: int) -> Tensor:
        return self.one.allows(queries, keys, length) & self.other.allows(queries, keys, length)

    def blocks(self, count: int, size: int, length: int) -> Tensor:
        return self.one.blocks(count, size, length) & self.other.blocks(count, size, length)

    def __repr__(self) -> str:
        return _joined(self, "&")


def _joined(pattern: _Either | _Both, operator: str) -> str:
    """Both parts as text; parentheses keep what Python would otherwise join in another order."""
    one, other = repr(pattern.one), repr(pattern.other)
    if isinstance(pattern.one, (_Either, _Both)) and type(pattern.one) is not type(pattern):
        one = f"({one})"
    if isinstance(pattern.other, (_Either, _Both)):
        other = f"({other})"
    return f"{one} {operator} {other}"


@dataclass(frozen=True, repr=False)
class _Distance(Pattern):
    """Allowed by j - i alone: from ``least`` to ``most``, every ``step``-th; None: without end."""

    name: str
    least: int | None
    most: int | None
    step: int = 1

    def allows(self, queries: Tensor, keys: Tensor, length: int) -> Tensor:
        distance = keys - queries
        allowed = torch.ones_like(distance, dtype=torch.bool)
        if self.least is not None:
            allowed &= distance >= self.least
        if self.most is not None:
            allowed &= distance <= self.most
        return allowed & (distance % self.step == 0) if self.step > 1 else allowed

    def blocks(self, count: int, size: int, length: int) -> Tensor:
        number = torch.arange(count)
        nearest = (number - number[:, None]) * size - (size - 1)  # the least j - i of the two blocks
        first = nearest if self.least is None else nearest.clamp(min=self.least)
        first = first + -first % self.step  # the first that the step allows
        furthest = nearest + 2 * (size - 1)
        return first <= (furthest if self.most is None else furthest.clamp(max=self.most))

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False)
class _Global(Pattern):
    positions: tuple[int, ...]

    def _real(self, length: int) -> Tensor:
        """The positions that exist, counted from 0."""
        counted = [place + length if place < 0 else place for place in self.positions]
        return torch.tensor(sorted(place for place in counted if 0 <= place < length), dtype=torch.long)

    def allows(self, queries: Tensor, keys: Tensor, length: int) -> Tensor:
        real = self._real(length).to(keys.device)
        return torch.isin(queries, real) | torch.isin(keys, real)

    def blocks(self, count: int, size: int, length: int) -> Tensor:
        is_global = torch.isin(torch.arange(count), self._real(length) // size)
        return is_global[:, None] | is_global

    def __repr__(self) -> str:
        return f"global_tokens({list(self.positions)})"


@dataclass(frozen=True, repr=False)
class _BlockLocal(Pattern):
    size: int

    def allows(self, queries: Tensor, keys: Tensor, length: int) -> Tensor:
        return queries // self.size == keys // self.size

    def blocks(self, count: int, size: int, length: int) -> Tensor:
        begins = torch.arange(count) * size
        first, last = begins // self.size, (begins + size - 1) // self.size
        return (first[:, None] <= last) & (first <= last[:, None])

    def __repr__(self) -> str:
        return f"block_local({self.size})"


@dataclass(frozen=True, repr=False)
class _RandomBlocks(Pattern):
    count: int
    block: int
    seed: int

    def _drawn(self, length: int) -> Tensor:
        """Which blocks of keys each block of queries attends to, [blocks, blocks]."""
        number = -(-length // self.block)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.zeros(number, number, dtype=torch.bool)
        for row in drawn:
            row[torch.randperm(number, generator=generator)[: self.count]] = True
        return drawn

    def allows(self, queries: Tensor, keys: Tensor, length: int) -> Tensor:
        return self._drawn(length).to(keys.device)[queries // self.block, keys // self.block]

    def blocks(self, count: int, size: int, length: int) -> Tensor:
        drawn = self._drawn(length)
        begins = torch.arange(count) * size
        first = begins // self.block
        last = ((begins + size).clamp(max=length) - 1) // self.block
        # Any of a rectangle of drawn: by sums over everything above and left of its corners.
        sums = torch.nn.functional.pad(drawn.long().cumsum(0).cumsum(1), (1, 0, 1, 0))
        top, bottom, left, right = first[:, None], last[:, None] + 1, first, last + 1
        return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left] > 0

    def __repr__(self) -> str:
        return f"random_blocks({self.count}, {self.block}, {self.seed})"


def window(radius: int) -> Pattern:
    """Allow |i - j| ≤ radius: every position sees its neighbours (Beltagy et al. 2020, "Longformer").

    Raises:
        ValueError: the radius is below 0.
    """
    _at_least("radius", radius, 0)
    return _Distance(f"window({radius})", -radius, radius)


def strided(stride: int) -> Pattern:
    """Allow (i - j) mod stride = 0: every stride-th position (Child et al. 2019, "Sparse Transformers").

    Raises:
        ValueError: the stride is below 1.
    """
    _at_least("stride", stride, 1)
    return _Distance(f"strided({stride})", None, None, stride)


def causal() -> Pattern:
    """Allow j ≤ i: no position sees a later one."""
    return _Distance("causal()", None, 0)


def global_tokens(positions: Sequence[int]) -> Pattern:
    """Allow i or j in ``positions``: these attend to all and are attended to by all (Beltagy et al. 2020).

    Args:
        positions: counted from 0, or from the end if negative; those that a sentence does not have are left
            out.
    """
    return _Global(tuple(sorted({int(position) for position in positions})))


def block_local(size: int) -> Pattern:
    """Allow ⌊i / size⌋ = ⌊j / size⌋: the sequence falls into blocks that see themselves alone.

    Raises:
        ValueError: the size is below 1.
    """
    _at_least("size", size, 1)
    return _BlockLocal(size)


def random_blocks(count: int, block: int, seed: int = 0) -> Pattern:
    """Allow for each block of queries ``count`` random blocks of keys (Zaheer et al. 2020, "Big Bird").

    Args:
        count: blocks of keys for each block of queries; all, where there are fewer.
        block: positions in a block.
        seed: of the draw, which is the same for all sequences with equally many blocks.

    Raises:
        ValueError: the count or the block is below 1.
    """
    _at_least("count", count, 1)
    _at_least("block", block, 1)
    return _RandomBlocks(count, block, seed)


def longformer(radius: int = 256, positions: Sequence[int] = (0,)) -> Pattern:
    """Combine a window and global positions: Beltagy, Peters and Cohan 2020 (https://arxiv.org/abs/2004.05150)."""
    return window(radius) | global_tokens(positions)


def bigbird(block: int = 64, count: int = 3, positions: Sequence[int] = (0,), seed: int = 0) -> Pattern:
    """Combine a window, random blocks and global positions: Zaheer et al. 2020 (https://arxiv.org/abs/2007.14062).

    Args:
        block: positions in a block; the window reaches as far to each side.
        count: random blocks of keys for each block of queries.
        positions: the global ones.
        seed: of the draw.
    """
    return window(block) | random_blocks(count, block, seed) | global_tokens(positions)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"expected {name} of {least} or more, got {value}")


PATTERNS: dict[str, Callable[..., Pattern]] = {
    make.__name__: make
    for make in (window, strided, causal, global_tokens, block_local, random_blocks, longformer, bigbird)
}
LONGEST_TEXT = 1000  # characters
LARGEST_NUMBER = 2**63 - 1


def parse_pattern(text: str) -> Pattern:
    """Read a pattern from text, such as ``(window(64) | global_tokens([0])) & causal()``.

    The text is calls of the functions of this module with integers and lists of integers, by place or by
    name, joined with ``|``, ``&`` and parentheses as in Python (``&`` binds before ``|``). Nothing is run but
    these functions. ``str(pattern)`` is such text, and is read as an equal pattern.

    Raises:
        ValueError: the text is not that, a function does not exist or takes other arguments, or the text has
            more than 1,000 characters. The message says what was found and what can be written.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"expected a pattern of at most {LONGEST_TEXT:,} characters, got {len(text):,}")
    stranger = re.search(r"[^A-Za-z0-9_\s()\[\],=|&-]", text)
    if stranger:
        raise _unreadable(text, f"{stranger.group()!r} has no meaning here")
    try:
        return _read(ast.parse(" ".join(text.split()), mode="eval").body, text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "too many parentheses"
        raise _unreadable(text, reason) from None


def _read(node: ast.expr, text: str) -> Pattern:
    """The pattern that a part of the text stands for."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _read(node.left, text) | _read(node.right, text)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        return _read(node.left, text) & _read(node.right, text)
    if isinstance(node, ast.Name) and node.id in PATTERNS:
        raise _unreadable(text, f"{node.id} lacks its parentheses: {_signature(node.id)}")
    if isinstance(node, ast.Name):
        raise _unknown(node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise _unreadable(text, f"{ast.unparse(node)!r} is not a pattern")
    return _call(node.func.id, node)


def _call(name: str, node: ast.Call) -> Pattern:
    """The pattern that a call makes."""
    if name not in PATTERNS:
        raise _unknown(name)
    make = PATTERNS[name]
    try:
        places = [ast.literal_eval(argument) for argument in node.args]
        names = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        bound = inspect.signature(make).bind(*places, **names)
    except (TypeError, ValueError):
        raise _wrong_arguments(name, node) from None
    types = get_type_hints(make)
    for argument, value in bound.arguments.items():
        numbers = [value] if types[argument] is int else value
        if not isinstance(numbers, (list, tuple)) or not all(_is_number(number) for number in numbers):
            raise _wrong_arguments(name, node)
    try:
        return make(*bound.args, **bound.kwargs)
    except ValueError as error:
        raise ValueError(f"{ast.unparse(node)}: {error}") from None


def _is_number(value: object) -> bool:
    return type(value) is int and abs(value) <= LARGEST_NUMBER  # True and False are none


def _signature(name: str) -> str:
    """How a pattern is written: ``random_blocks(count, block, seed=0)``."""
    parameters = inspect.signature(PATTERNS[name]).parameters.values()
    return f"{name}({', '.join(str(one.replace(annotation=one.empty)) for one in parameters)})"


def _unreadable(text: str, reason: str) -> ValueError:
    return ValueError(
        f"cannot read the pattern {text!r}: {reason}; write calls such as window(64) or global_tokens([0]), "
        f"joined with | (either) and & (both)"
    )


def _unknown(name: str) -> ValueError:
    near = difflib.get_close_matches(name, PATTERNS, n=1)
    suggestion = f" (did you mean {near[0]}?)" if near else ""
    return ValueError(f"there is no pattern {name!r}{suggestion}; there are {', '.join(PATTERNS)}")


def _wrong_arguments(name: str, node: ast.Call) -> ValueError:
    return ValueError(
        f"wrong arguments in {ast.unparse(node)}: expected {_signature(name)} with integers; "
        f"positions are a list of them"
    )
