"""``shisen corpus``: text to train on without any data of one's own."""

import sys
from pathlib import Path

import typer

app = typer.Typer(help="Generate parallel text with gold word alignments.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Generate parallel text with gold word alignments."""


@app.command()
def generate(
    pairs: int = typer.Option(..., "--pairs", metavar="N", help="Sentence pairs in all splits together."),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="A new folder for the files."),
    seed: int = typer.Option(1, "--seed", help="The same seed gives the same corpus."),
    min_words: int = typer.Option(4, "--min-words", help="Shortest English sentence, punctuation counted."),
    max_words: int = typer.Option(100, "--max-words", help="Longest English sentence, punctuation counted."),
    validation_pairs: int | None = typer.Option(
        None, "--validation-pairs", help="Pairs for validation; default: one in 20, at most 1,000."
    ),
    test_pairs: int | None = typer.Option(
        None, "--test-pairs", help="Pairs for testing; default: one in 20, at most 1,000."
    ),
) -> None:
    """Write English–Japanese sentence pairs with gold word alignments, from a grammar.

    DIR receives train, validation and test, each as .en and .ja (one sentence a line, words parted by
    spaces) and .align (Pharaoh format). No sentence of either language is in two splits.
    """
    from shisen.data.embedded.corpus import CorpusRequest, write_corpus

    request = CorpusRequest(pairs, seed, min_words, max_words, validation_pairs, test_pairs)
    is_terminal = sys.stderr.isatty()

    def report(found: int) -> None:
        if is_terminal:
            print(f"\r{found:,} of {pairs:,} pairs", end="", file=sys.stderr, flush=True)

    try:
        splits = write_corpus(request, out, report)
    finally:
        if is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr)
    for split, members in splits.items():
        print(f"{out / split}.{{en,ja,align}}: {len(members):,} pairs")
