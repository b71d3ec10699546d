"""Draw the picture of the guide page "Statistics of attention", in English and Japanese.

    python examples/figures_of_statistics.py

The picture is written twice, as panels.svg and panels.ja.svg.
"""

import argparse
from pathlib import Path

import numpy as np

from shisen import AttentionMap
from shisen.inspection import attention_statistics
from shisen.plotting import plot_statistics, save_figure

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images" / "statistics"
SOURCE = ["the", "cat", "sat", "on", "the", "mat", "</s>"]
TARGET = ["その", "猫が", "マットの", "上に", "座った", "</s>"]
FOCUSED = [
    [0.65, 0.10, 0.05, 0.05, 0.10, 0.03, 0.02],
    [0.10, 0.70, 0.05, 0.05, 0.05, 0.03, 0.02],
    [0.05, 0.05, 0.05, 0.05, 0.10, 0.68, 0.02],
    [0.05, 0.05, 0.10, 0.75, 0.02, 0.02, 0.01],
    [0.05, 0.10, 0.70, 0.05, 0.05, 0.03, 0.02],
    [0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.88],
]


def main() -> None:
    """Draw the picture in both languages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=PICTURES, help="the folder of the pictures")
    folder = parser.parse_args().out
    focused = np.array(FOCUSED)
    spread = 0.25 * focused + 0.75 / 7
    attention = AttentionMap.from_arrays(np.stack([focused, spread]), TARGET, SOURCE)
    measured = attention_statistics(attention)
    for language, suffix in (("en", ".svg"), ("ja", ".ja.svg")):
        save_figure(plot_statistics(measured, language=language), folder / f"panels{suffix}")


if __name__ == "__main__":
    main()
