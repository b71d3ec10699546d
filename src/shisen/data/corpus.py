"""A corpus as numbers on disk: token ids one after the other and where each sentence begins.

Both files are memory-mapped, so a corpus of any size opens at once; only the sentences' lengths (2 bytes
each) are held in memory.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END
from shisen.errors import UserError

FORMAT_VERSION = 1
_DESCRIPTION = "corpus.json"
_CHUNK = 8192  # pairs that are tokenised at a time while a corpus is built


@dataclass(frozen=True)
class TokenizedSide:
    """The sentences of one language.

    Args:
        ids: [tokens], uint16 or int32, memory-mapped.
        offsets: [sentences + 1], int64, memory-mapped: sentence i is ``ids[offsets[i]:offsets[i + 1]]``.
        lengths: [sentences], uint16 or int32, in memory.
    """

    ids: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        """The ids of one sentence, special ones included."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    @classmethod
    def open(cls, folder: Path, name: str, dtype: str, sentences: int) -> "TokenizedSide":
        """Map the two files of one side.

        Raises:
            UserError: if a file is missing or shorter than it should be.
        """
        offsets = _mapped(folder / f"{name}.offsets", np.dtype(np.int64), sentences + 1)
        ids = _mapped(folder / f"{name}.ids", np.dtype(dtype), int(offsets[-1]))
        lengths = np.diff(offsets)
        return cls(ids, offsets, lengths.astype(np.uint16 if lengths.max(initial=0) < 2**16 else np.int32))


def _mapped(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: a file of the tokenised corpus is missing ({error.strerror})") from None
    if size != count * dtype.itemsize:
        raise UserError(
            f"{path}: expected {count * dtype.itemsize} bytes, found {size}; prepare the data again"
        )
    return np.memmap(path, dtype=dtype, mode="r", shape=(count,)) if count else np.empty(0, dtype)


class TokenizedCorpus:
    """Sentence pairs as token ids, in a folder of five files. See :meth:`build` and :meth:`open`.

    One text is pairs whose source is nothing: all its lengths are 0.
    """

    def __init__(
        self, source: TokenizedSide, target: TokenizedSide, dropped: dict[str, int], fingerprint: str
    ):
        self.source = source
        self.target = target
        self.dropped = dropped
        """How many pairs were left out when the corpus was built, by reason."""
        self.fingerprint = fingerprint
        """Hexadecimal digest of all ids: two corpora with the same one are the same."""

    def __len__(self) -> int:
        return len(self.source)

    @property
    def source_lengths(self) -> np.ndarray:
        """[pairs]: tokens of each source sentence, END included."""
        return self.source.lengths

    @property
    def target_lengths(self) -> np.ndarray:
        """[pairs]: tokens of each target sentence, BEGIN and END included."""
        return self.target.lengths

    @classmethod
    def open(cls, folder: str | Path) -> "TokenizedCorpus":
        """Open a corpus that :meth:`build` wrote.

        Raises:
            UserError: if the folder does not hold a whole one.
        """
        folder = Path(folder)
        path = folder / _DESCRIPTION
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            if description["format"] != FORMAT_VERSION:
                raise UserError(
                    f"{path}: format {description['format']}, this version reads {FORMAT_VERSION}"
                )
            sides = [
                TokenizedSide.open(folder, side, description[side]["dtype"], description["pairs"])
                for side in ("source", "target")
            ]
            return cls(sides[0], sides[1], description["dropped"], description["fingerprint"])
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; is this a tokenised corpus?") from None
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}: damaged or not ours; prepare the data again") from None

    @classmethod
    def build(
        cls,
        pairs: Iterable[tuple[str, str]],
        source_tokenizer: Tokenizer | None,
        target_tokenizer: Tokenizer,
        folder: str | Path,
        max_length: int | None = None,
        max_length_ratio: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> "TokenizedCorpus":
        """Tokenise a stream of pairs into ``folder`` and open the result. Memory stays bounded.

        Args:
            pairs: source and target sentences.
            source_tokenizer: cuts the sources; None: the pairs have none (an empty string), as of one text.
            target_tokenizer: cuts the targets.
            folder: made anew; a tokenised corpus that is there already is replaced.
            max_length: drop pairs with more pieces than this on either side.
            max_length_ratio: drop pairs whose longer side has more than this times the shorter one's pieces.
            progress: called with the number of pairs read so far, every few thousand pairs.

        Raises:
            UserError: if ``folder`` holds something else, or no pair is left.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / _DESCRIPTION).is_file() and any(folder.iterdir()):
            raise UserError(
                f"{folder}: holds something other than a tokenised corpus; nothing was overwritten"
            )
        aside = folder.with_name(folder.name + ".partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            with ExitStack() as files:
                writer = _Writer(
                    aside, source_tokenizer, target_tokenizer, max_length, max_length_ratio, files
                )
                stream = iter(pairs)
                read = 0
                while chunk := list(islice(stream, _CHUNK)):
                    writer.add(chunk)
                    read += len(chunk)
                    if progress is not None:
                        progress(read)
            writer.describe(read)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(aside, folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return cls.open(folder)


class _Writer:
    """Tokenises chunks of pairs, drops what is too long and appends the rest to the files of a corpus."""

    def __init__(
        self,
        folder: Path,
        source_tokenizer: Tokenizer | None,
        target_tokenizer: Tokenizer,
        max_length: int | None,
        max_length_ratio: float | None,
        files: ExitStack,
    ):
        self.folder = folder
        self.tokenizers = {"source": source_tokenizer, "target": target_tokenizer}
        self.is_one_text = source_tokenizer is None
        self.max_length = max_length
        self.max_length_ratio = max_length_ratio
        self.dropped: dict[str, int] = {}
        self.pairs = 0
        self.digest = hashlib.sha256()
        self.dtypes = {
            name: np.uint16 if tokenizer is None or len(tokenizer) <= 2**16 else np.int32
            for name, tokenizer in self.tokenizers.items()
        }
        self.totals = {"source": 0, "target": 0}
        self.ids: dict[str, BinaryIO] = {}
        self.offsets: dict[str, BinaryIO] = {}
        for name in self.tokenizers:
            self.ids[name] = files.enter_context((folder / f"{name}.ids").open("wb"))
            self.offsets[name] = files.enter_context((folder / f"{name}.offsets").open("wb"))
            self.offsets[name].write(np.zeros(1, dtype=np.int64).tobytes())

    def add(self, chunk: list[tuple[str, str]]) -> None:
        sources = self._encode("source", [source for source, _ in chunk])
        targets = self._encode("target", [target for _, target in chunk])
        kept = list(self._kept(sources, targets))
        self._append("source", [[] if self.is_one_text else [*source, END] for source, _ in kept])
        self._append("target", [[BEGIN, *target, END] for _, target in kept])
        self.pairs += len(kept)

    def _encode(self, name: str, texts: list[str]) -> list[list[int]]:
        tokenizer = self.tokenizers[name]
        return [[] for _ in texts] if tokenizer is None else tokenizer.encode_batch(texts)

    def _kept(
        self, sources: list[list[int]], targets: list[list[int]]
    ) -> Iterator[tuple[list[int], list[int]]]:
        for source, target in zip(sources, targets, strict=True):
            shorter, longer = sorted((len(target) if self.is_one_text else len(source), len(target)))
            if shorter == 0:
                self._drop("without any piece" + " on a side" * (not self.is_one_text))
            elif self.max_length is not None and longer > self.max_length:
                self._drop(f"longer than {self.max_length} pieces")
            elif self.max_length_ratio is not None and longer > self.max_length_ratio * shorter:
                self._drop(f"length ratio above {self.max_length_ratio:g}")
            else:
                yield source, target

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _append(self, name: str, sentences: list[list[int]]) -> None:
        ids = np.fromiter(chain.from_iterable(sentences), dtype=self.dtypes[name])
        ends = self.totals[name] + np.cumsum([len(sentence) for sentence in sentences], dtype=np.int64)
        self.digest.update(ids.astype(np.int32).tobytes())
        self.ids[name].write(ids.tobytes())
        self.offsets[name].write(ends.tobytes())
        self.totals[name] += len(ids)

    def describe(self, read: int) -> None:
        """Write the description, last of all: a folder without it is no corpus."""
        if self.pairs == 0:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
            what = "line" if self.is_one_text else "sentence pair"
            raise UserError(
                f"no {what} is left of {read:,} read" + (f" (dropped: {reasons})" if reasons else "")
            )
        description = {
            "format": FORMAT_VERSION,
            "pairs": self.pairs,
            "dropped": self.dropped,
            "fingerprint": self.digest.hexdigest()[:16],
            **{
                name: {
                    "dtype": np.dtype(self.dtypes[name]).name,
                    "tokens": self.totals[name],
                    "tokenizer": None if tokenizer is None else tokenizer.fingerprint,
                }
                for name, tokenizer in self.tokenizers.items()
            },
        }
        (self.folder / _DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
