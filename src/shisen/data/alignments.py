"""Word alignments in Pharaoh format, a line a sentence: ``0-0 1-2`` for sure links, ``1p2`` for possible.

A link joins a source word to a target word, counted from 0 (or from 1 in some published gold standards).
As in Och and Ney (2003), every sure link is also a possible one.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shisen.data.lines import read_lines
from shisen.errors import UserError
from shisen.files import written_aside

Link = tuple[int, int]

_LINK = re.compile(r"(\d{1,9})([-p?])(\d{1,9})")


@dataclass(frozen=True)
class Alignment:
    """The links of one sentence pair: (source word, target word), counted from 0.

    Args:
        sure: links that every annotator would make.
        possible: links that are acceptable; holds the sure ones too, which are added where they are missing.
    """

    sure: frozenset[Link]
    possible: frozenset[Link] = frozenset()

    def __post_init__(self) -> None:
        """Make every sure link a possible one."""
        object.__setattr__(self, "possible", self.possible | self.sure)

    def __str__(self) -> str:
        """Return the line of a Pharaoh file, ordered by source word, then by target word."""
        return " ".join(
            f"{source}{'-' if (source, target) in self.sure else 'p'}{target}"
            for source, target in sorted(self.possible)
        )


def parse_alignment(line: str, one_based: bool = False, where: str = "alignment") -> Alignment:
    """Read one line of a Pharaoh file; an empty line is a pair without links.

    Args:
        line: links parted by white space: ``0-0`` sure, ``1p2`` (or ``1?2``) possible.
        one_based: words are counted from 1 in the line.
        where: named in the error (a file and a line number).

    Raises:
        UserError: a link that is not of that form, or a word 0 where words are counted from 1.
    """
    sure: set[Link] = set()
    possible: set[Link] = set()
    for written in line.split():
        match = _LINK.fullmatch(written)
        if match is None:
            raise UserError(
                f"{where}: {written[:40]!r} is not a link; expected source-target "
                "such as 0-0 (sure) or 1p2 (possible)"
            )
        link = (int(match[1]) - one_based, int(match[3]) - one_based)
        if min(link) < 0:
            raise UserError(f"{where}: link {written!r} names word 0, but words are counted from 1 here")
        (sure if match[2] == "-" else possible).add(link)
    return Alignment(frozenset(sure), frozenset(possible))


def read_alignments(path: str | Path, one_based: bool = False) -> list[Alignment]:
    """Read a Pharaoh file: one alignment a line, in order.

    Args:
        path: the file, UTF-8, gzipped or not.
        one_based: words are counted from 1 in the file; the alignments returned count from 0.

    Raises:
        UserError: the file cannot be read, is not text, or a line holds something that is not a link.
    """
    return [
        parse_alignment(line, one_based, where=f"{path}, line {number}")
        for number, line in enumerate(read_lines(path), start=1)
    ]


def write_alignments(path: str | os.PathLike[str], alignments: Iterable[Alignment]) -> None:
    """Write a Pharaoh file, counted from 0, one alignment a line.

    Raises:
        RunError: it could not be written (a full disk); what was there before is untouched.
    """
    with written_aside(path) as file:
        file.writelines(f"{alignment}\n".encode() for alignment in alignments)
