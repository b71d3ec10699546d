"""Draw the pictures of the guide page "Attention patterns", in English and Japanese.

    python examples/figures_of_patterns.py

Each picture is written twice, as NAME.svg and NAME.ja.svg; `overview` holds all patterns side by side.
"""

import argparse
from pathlib import Path

from shisen.attention.patterns import (
    Pattern,
    bigbird,
    block_local,
    causal,
    global_tokens,
    longformer,
    random_blocks,
    strided,
    window,
)
from shisen.plotting import plot_patterns, save_figure

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images" / "patterns"
LENGTH = 32
PATTERNS: dict[str, tuple[str, str, Pattern]] = {
    "window": ("window", "窓", window(3)),
    "strided": ("strided", "ストライド", strided(5)),
    "global": ("global tokens", "グローバルトークン", global_tokens([0, 16])),
    "random": ("random blocks", "ランダムブロック", random_blocks(2, 4, seed=6)),
    "block-local": ("block-local", "ブロック内", block_local(8)),
    "causal": ("causal", "因果的", causal()),
    "longformer": ("Longformer", "Longformer", longformer(2, [0])),
    "bigbird": ("BigBird", "BigBird", bigbird(2, 2, [0], seed=4)),
    "combined": ("combined", "組み合わせ", (window(3) | strided(8)) & causal()),
}


def main() -> None:
    """Draw every picture in both languages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=PICTURES, help="the folder of the pictures")
    folder = parser.parse_args().out
    for language, suffix in (("en", ".svg"), ("ja", ".ja.svg")):
        titles = {name: entry[language == "ja"] for name, entry in PATTERNS.items()}
        patterns = {titles[name]: entry[2] for name, entry in PATTERNS.items()}
        save_figure(
            plot_patterns(patterns, LENGTH, columns=3, language=language), folder / f"overview{suffix}"
        )
        for name, (*_, pattern) in PATTERNS.items():
            save_figure(
                plot_patterns({titles[name]: pattern}, LENGTH, language=language), folder / f"{name}{suffix}"
            )


if __name__ == "__main__":
    main()
