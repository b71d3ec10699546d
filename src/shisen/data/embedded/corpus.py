"""Splits of embedded sentence pairs that share no sentence, as files.

A pair belongs to a split by its own text (a hash of the Japanese sentence), whatever the seed and the lengths
asked for. So no source and no target sentence is ever in two splits, not even of two different corpora.
"""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shisen import __version__
from shisen.data.alignments import write_alignments
from shisen.data.embedded.derivation import SentencePair
from shisen.data.embedded.generator import Generator
from shisen.data.embedded.grammar import Grammar, embedded_grammar
from shisen.data.embedded.parser import parse
from shisen.errors import RunError, UserError
from shisen.files import check_free

SPLITS = ("train", "validation", "test")
SHORTEST, LONGEST = 2, 300
"""The range of sentence lengths that may be asked for, in English words."""

_DRAWS, _FEWEST_NEW = 2_000, 20
"""So many draws with fewer new sentences than that mean that there are (nearly) no others."""

_README = """\
# A generated English–Japanese corpus

{pairs} sentence pairs of {min_words} to {max_words} English words (punctuation counts), written by
shisen {version} from its embedded grammar:

    {command}

| split | pairs | files |
|---|---|---|
{rows}

`.en` and `.ja` hold one sentence a line, words parted by spaces; `.align` holds the gold word alignment of
the same line in Pharaoh format (`0-0` sure, `1p2` possible; source word, target word, counted from 0). No
sentence of either language is in two splits. `corpus.json` says the same for programs.
"""


@dataclass(frozen=True)
class CorpusRequest:
    """What corpus to generate.

    Args:
        pairs: in all splits together.
        seed: the same request gives the same corpus.
        min_words: of the English side, punctuation counted.
        max_words: likewise.
        validation_pairs: how many of the pairs are for validation; None: one in 20, at most 1,000.
        test_pairs: how many are for testing; None: likewise.
    """

    pairs: int
    seed: int = 1
    min_words: int = 4
    max_words: int = 100
    validation_pairs: int | None = None
    test_pairs: int | None = None

    def __post_init__(self) -> None:
        """Check that the request makes sense.

        Raises:
            UserError: with the option, its value and what is allowed.
        """
        if self.pairs < 3:
            raise UserError(f"--pairs {self.pairs}: at least 3 are needed, one for each split")
        if not SHORTEST <= self.min_words <= LONGEST:
            raise UserError(f"--min-words {self.min_words}: must be from {SHORTEST} to {LONGEST}")
        if not SHORTEST <= self.max_words <= LONGEST:
            raise UserError(f"--max-words {self.max_words}: must be from {SHORTEST} to {LONGEST}")
        if self.min_words > self.max_words:
            raise UserError(f"--min-words {self.min_words} is more than --max-words {self.max_words}")
        for option, count in (
            ("--validation-pairs", self.validation_pairs),
            ("--test-pairs", self.test_pairs),
        ):
            if count is not None and count < 1:
                raise UserError(f"{option} {count}: must be 1 or more")
        if self.sizes["train"] < 1:
            held_out = self.pairs - self.sizes["train"]
            raise UserError(
                f"--pairs {self.pairs} leaves none to train on: {held_out} are for validation and testing"
            )

    @property
    def sizes(self) -> dict[str, int]:
        """The number of pairs of each split."""
        default = min(1000, max(1, self.pairs // 20))
        validation = default if self.validation_pairs is None else self.validation_pairs
        test = default if self.test_pairs is None else self.test_pairs
        return {"train": self.pairs - validation - test, "validation": validation, "test": test}

    @property
    def command(self) -> str:
        """The command line that makes this corpus."""
        return (
            f"shisen corpus generate --pairs {self.pairs} --seed {self.seed} --min-words {self.min_words} "
            f"--max-words {self.max_words} --validation-pairs {self.sizes['validation']} "
            f"--test-pairs {self.sizes['test']} --out DIR"
        )


def split_of(pair: SentencePair, grammar: Grammar) -> str:
    """Return the split a pair belongs to, whatever corpus it is drawn for: 8 in 10 train.

    The target decides, without its full stop, so that a pair and its twin with a full stop stay together, and
    so do two English sentences that say the same in Japanese. The grammar's examples are for training.
    """
    text = pair.target.removesuffix(" 。")
    if any(text == target for _, target in grammar.examples):
        return "train"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return {0: "validation", 1: "test"}.get(int.from_bytes(digest, "big") % 10, "train")


def generate_pairs(
    request: CorpusRequest,
    grammar: Grammar | None = None,
    report: Callable[[int], None] | None = None,
) -> dict[str, list[SentencePair]]:
    """Draw the pairs of every split.

    The lengths are drawn evenly from those asked for. The training split begins with the grammar's examples,
    as far as their lengths are asked for.

    Args:
        request: what to generate.
        grammar: default: the one that comes with the package.
        report: called now and then with the number of pairs found so far.

    Raises:
        UserError: there are not so many different sentences of these lengths.
    """
    grammar = grammar or embedded_grammar()
    generator = Generator(grammar, request.max_words, request.seed)
    chooser = random.Random(request.seed)
    lengths = generator.lengths(request.min_words)
    splits: dict[str, list[SentencePair]] = {split: [] for split in SPLITS}
    sizes = request.sizes
    for source, target in grammar.examples:
        if len(source.split()) in lengths and len(splits["train"]) < sizes["train"]:
            splits["train"].append(_draw_example(grammar, source, target))
    seen = {pair.source for pair in splits["train"]}
    found, found_before, draws = len(seen), 0, 0
    while found < request.pairs:
        draws += 1
        if draws % _DRAWS == 0:
            if found - found_before < _FEWEST_NEW:
                raise UserError(
                    f"only {found} of {request.pairs} different sentences of {request.min_words} to "
                    f"{request.max_words} words found; ask for fewer pairs or a wider range of lengths"
                )
            found_before = found
        pair = generator.draw(lengths[int(chooser.random() * len(lengths))])
        split = split_of(pair, grammar)
        if pair.source in seen or len(splits[split]) == sizes[split]:
            continue
        seen.add(pair.source)
        splits[split].append(pair)
        found += 1
        if report is not None and found % 500 == 0:
            report(found)
    return splits


def _draw_example(grammar: Grammar, source: str, target: str) -> SentencePair:
    """Find the derivation of an example by parsing it with the grammar."""
    for pair in parse(grammar, source):
        if pair.target == target:
            return pair
    raise ValueError(f"the grammar does not write its example {source!r} => {target!r}")


def write_corpus(
    request: CorpusRequest, folder: Path, report: Callable[[int], None] | None = None
) -> dict[str, list[SentencePair]]:
    """Generate a corpus and write it to a new folder; return its pairs.

    Raises:
        UserError: the folder holds something already.
        RunError: it cannot be written.
    """
    check_free(folder)
    grammar = embedded_grammar()
    splits = generate_pairs(request, grammar, report)
    # An empty folder that exists stays the folder that it is: somebody may be in it.
    is_there = folder.is_dir()
    name = f".corpus.partial-{os.getpid()}"
    aside = folder / name if is_there else folder.absolute().with_name(name)
    try:
        aside.mkdir(parents=True)
        for split, pairs in splits.items():
            (aside / f"{split}.en").write_text(
                "".join(f"{pair.source}\n" for pair in pairs), encoding="utf-8"
            )
            (aside / f"{split}.ja").write_text(
                "".join(f"{pair.target}\n" for pair in pairs), encoding="utf-8"
            )
            write_alignments(aside / f"{split}.align", (pair.alignment for pair in pairs))
        provenance = {
            "shisen_version": __version__,
            "command": request.command,
            "grammar_fingerprint": grammar.fingerprint,
            "seed": request.seed,
            "min_words": request.min_words,
            "max_words": request.max_words,
            "pairs": request.sizes,
            "source_language": "en",
            "target_language": "ja",
        }
        (aside / "corpus.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
        rows = "\n".join(
            f"| {split} | {size:,} | `{split}.en` `{split}.ja` `{split}.align` |"
            for split, size in request.sizes.items()
        )
        (aside / "README.md").write_text(
            _README.format(
                pairs=f"{request.pairs:,}",
                min_words=request.min_words,
                max_words=request.max_words,
                version=__version__,
                command=request.command,
                rows=rows,
            ),
            encoding="utf-8",
        )
        if is_there:
            for file in sorted(aside.iterdir()):
                os.replace(file, folder / file.name)
        else:
            os.replace(aside, folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot write the corpus: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return splits
