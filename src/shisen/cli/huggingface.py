"""Models of Hugging Face where a model directory could stand: ``hf:PATH_OR_ID``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shisen.cli.attention_corpus import Corpus
from shisen.errors import UserError

if TYPE_CHECKING:
    from shisen.inspection.attention_map import AttentionMap


def maps_of(what: Path, corpus: Corpus, batch_size: int, device: str) -> Iterator[Mapping[str, AttentionMap]]:
    """The attention of every sentence of a corpus, its given target read with it."""
    from shisen.adapters import from_huggingface, load_huggingface
    from shisen.adapters.huggingface import DEFAULT_BATCH_SIZE

    model, tokenizer = load_huggingface(what, device)
    size = min(batch_size, DEFAULT_BATCH_SIZE)  # every layer and head of long sentences fills the memory
    for start in range(0, len(corpus.sources), size):
        part = slice(start, start + size)
        targets = None if corpus.targets is None else corpus.targets[part]
        options: dict[str, Any] = {"batch_size": size, "first_number": start}
        found: Any = from_huggingface(model, tokenizer, corpus.sources[part], targets, **options)
        yield from found


def map_of_sentence(what: Path, sentence: str, translation: str | None, kind: str | None) -> AttentionMap:
    """The attention of one sentence, or image, of a kind; without one, across where there are two sides."""
    from shisen.adapters import from_huggingface, load_huggingface

    model, tokenizer = load_huggingface(what)
    maps: Any = from_huggingface(model, tokenizer, sentence, translation)
    if not maps:
        raise UserError(f"{what}: its tokenizer finds no token in the sentence: nothing to attend to")
    kind = kind or ("cross" if "cross" in maps else next(iter(maps)))
    if kind not in maps:
        raise UserError(f"{what}: has no attention of the kind {kind}; it has {', '.join(maps)}")
    return maps[kind]


def check_options(**options: object) -> None:
    """Refuse what only our own models can do; names as on the command line, with underscores."""
    for name, value in options.items():
        if value:
            raise UserError(f"--{name.replace('_', '-')} is for models of shisen's own; leave it out")
