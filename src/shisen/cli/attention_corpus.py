"""What verbs that look at attention share: the corpus a model reads, its translations, where results go."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shisen.adapters.loading import is_huggingface
from shisen.cli import common
from shisen.errors import UserError

if TYPE_CHECKING:
    from shisen.pipelines import Translator

CHUNK = 256  # sentences whose maps are in memory at once


@dataclass(frozen=True)
class Corpus:
    """What a model reads: sources, and the translations it is taken through, or None for its own."""

    sources: list[str]
    targets: list[str] | None
    total: int  # of the data, of which these are the first

    @classmethod
    def read(
        cls,
        model: Path,
        data: str | None,
        reference: Path | None,
        split: str | None,
        source_column: str | None,
        target_column: str | None,
        sentences: int | None,
    ) -> "Corpus":
        """What the options name, the first sentences of it."""
        if data is None:
            raise UserError("--data is missing: name the sentences that the model reads")
        if not is_huggingface(model):
            common.check_translates(model)
        if reference is None and _is_one_text(data):
            lines = common.read_test_text(data, split, source_column)
            return cls(lines[:sentences], None, len(lines))
        pairs = common.read_test_set(data, reference, split, source_column, target_column)
        first = pairs[:sentences]
        return cls([source for source, _ in first], [target for _, target in first], len(pairs))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The sources with their given translations."""
        return list(zip(self.sources, self.targets or [], strict=True))


def _is_one_text(data: str) -> bool:
    """Whether a file holds plain lines, and not two sides."""
    name = data.removesuffix(".gz")
    return Path(data).is_file() and not name.endswith((".tsv", ".jsonl", ".ndjson"))


def check_folder(out: Path, files: tuple[str, ...]) -> None:
    """Refuse a folder that cannot be one, or in which a file cannot be written, before the work is done."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; --out names a folder")
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out} cannot be written: there is no directory {out.absolute().parent}")
    if out.is_dir():
        for name in files:
            common.check_can_write(out / name)


def translations_of(translator: "Translator", corpus: Corpus, batch_size: int) -> Iterator[Any]:
    """What the model makes of every sentence, or how it reads a given translation, with attention."""
    for start in range(0, len(corpus.sources), CHUNK):
        sources = corpus.sources[start : start + CHUNK]
        options = {"batch_size": batch_size, "first_number": start}
        if corpus.targets is None:
            yield from translator.translate(sources, **options)
        else:
            yield from translator.force(sources, corpus.targets[start : start + CHUNK], **options)


def versions() -> dict[str, str]:
    """Of what computes."""
    from importlib.metadata import version

    import numpy

    from shisen import __version__

    return {"shisen": __version__, "numpy": numpy.__version__, "torch": version("torch")}
