"""One alignment out of two: of a model that translates there, and of one that translates back.

Each model aligns every word of its own target at most once. What both say (the intersection) is precise, what
either says (the union) misses little; growing from the one towards the other (Koehn et al. 2005, "Edinburgh
System Description for the 2005 IWSLT Speech Translation Evaluation") lies between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from shisen.errors import UserError
from shisen.inspection.alignment import Links

Symmetrization = Literal["intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and"]
SYMMETRIZATIONS: tuple[str, ...] = get_args(Symmetrization)

_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrize(
    forward: Iterable[tuple[int, int]],
    backward: Iterable[tuple[int, int]],
    method: str = "grow-diag-final-and",
) -> Links:
    """Join two alignments of one sentence pair.

    Args:
        forward: (source word, target word) of the first.
        backward: The same of the second, (source word, target word) as well (see
            `shisen.inspection.alignment.flipped`).
        method: ``intersection``; ``union``; ``grow-diag``: from the intersection on, links of the union that
            touch one that is there, if one of their two words has none yet; ``grow-diag-final``: then the
            other links of ``forward`` and of ``backward``, if one of their two words has none yet;
            ``grow-diag-final-and``: then only those of which neither word has any.

    Raises:
        UserError: There is no such method.
    """
    if method not in SYMMETRIZATIONS:
        raise UserError(f"alignments are symmetrised by {', '.join(SYMMETRIZATIONS)}, not by {method!r}")
    first, second = frozenset(forward), frozenset(backward)
    if method == "intersection":
        return first & second
    if method == "union":
        return first | second
    links = _Links(first & second)
    _grow(links, first | second)
    if method != "grow-diag":
        needs_both = method == "grow-diag-final-and"
        for alignment in (first, second):
            for link in sorted(alignment, key=_by_target):
                if links.is_free(link, needs_both):
                    links.add(link)
    return frozenset(links.found)


class _Links:
    """The links found so far, and the words that have one."""

    def __init__(self, links: Links) -> None:
        self.found = set(links)
        self._sources, self._targets = {source for source, _ in links}, {target for _, target in links}

    def add(self, link: tuple[int, int]) -> None:
        self.found.add(link)
        self._sources.add(link[0])
        self._targets.add(link[1])

    def is_free(self, link: tuple[int, int], needs_both: bool = False) -> bool:
        """Whether one of the link's words, or each of them, has no link yet."""
        free = (link[0] not in self._sources, link[1] not in self._targets)
        return all(free) if needs_both else any(free)


def _grow(links: _Links, union: Links) -> None:
    """Add neighbours until there are none; what is added is looked at in the same pass, as published."""
    ordered = sorted(union, key=_by_target)
    has_grown = True
    while has_grown:
        has_grown = False
        for link in ordered:
            if link not in links.found:
                continue
            for target_step, source_step in _NEIGHBOURS:
                neighbour = (link[0] + source_step, link[1] + target_step)
                if neighbour in union and neighbour not in links.found and links.is_free(neighbour):
                    links.add(neighbour)
                    has_grown = True


def _by_target(link: tuple[int, int]) -> tuple[int, int]:
    """The published order: for every target word, for every source word."""
    return link[1], link[0]
