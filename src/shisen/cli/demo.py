"""``shisen demo``: everything once, in a few minutes."""

import sys
from pathlib import Path

import typer


def demo(
    out: Path = typer.Option(
        Path("runs/demo"), metavar="DIR", help="Where to write; the result of an earlier demo is replaced."
    ),
    set_: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Change the training: model.attention=luong-general"
    ),
    quiet: bool = typer.Option(False, "--quiet", help="Show no progress of the training."),
) -> None:
    """Train on the embedded corpus, translate held-out sentences, and draw what the model looked at.

    Takes a few minutes on two processor cores and needs no data.
    """
    print("Loading", file=sys.stderr)
    from shisen.demo import run_demo

    report = run_demo(
        out, overrides=set_, quiet=quiet, say=lambda line: print(f"\n{line}", file=sys.stderr, flush=True)
    )
    print(
        f"\nTrained in {report.train_seconds:.0f} s. On held-out sentences: BLEU {report.bleu:.1f} (of 100), "
        f"{report.exact:.1%} exactly right;\n"
        f"alignment error rate of the attention {report.aer:.3f} (0 is best).\n"
    )
    for source, translation, reference in report.samples:
        verdict = "" if translation == reference else f"   (right: {reference})"
        print(f"  {source}\n    {translation}{verdict}")
    print(
        "\n  The first two are part of the training text; the others are not.\n"
        f"\nWhere it is\n"
        f"  {out}/heatmaps/          which source words each target word looked at, as PNG and SVG\n"
        f"  {out}/translations.tsv   all held-out sentences with translation and reference\n"
        f"  {out}/scores.json        the scores and how they were made\n"
        f"  {out}/model/             the model, its card and its log; {out}/config.yaml: how it was trained\n"
        f"  {out}/corpus/            the text and its gold word alignments\n"
        "\nWhat to try next\n"
        f'  echo "The dog ran in the park" | shisen translate {out}/model\n'
        f'  shisen plot attention {out}/model "She bought a red car yesterday" --out attention.svg\n'
        f"  shisen plot curves {out}/model --out curves.png\n"
        f"  shisen demo --out {out}-none --set model.attention=none      the same without attention\n"
        f"  shisen train {out}/config.yaml --out runs/longer --set training.max_epochs=20\n"
    )
