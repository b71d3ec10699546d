"""Draw the pictures of the guide page "From Bahdanau to the Transformer", in English and Japanese.

    python examples/figures_from_bahdanau_to_the_transformer.py

The network behind them is the page's own: its second program is run as it stands (half a minute), and what it
leaves is drawn. Each picture is written twice, as NAME.svg and NAME.ja.svg.
"""

import argparse
import math
import re
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import FancyBboxPatch

from shisen.attention import alibi_bias, alibi_slopes, sinusoidal_positions
from shisen.plotting import Figure, plot_comparison, save_figure
from shisen.plotting.style import CATEGORICAL, FAINT, INK, SEQUENTIAL, style

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "guide" / "from-bahdanau-to-the-transformer.md"
PICTURES = ROOT / "docs" / "images" / "transformer"
BLUE, ORANGE = CATEGORICAL[:2]
# From one sign to the other through white; the two are told apart under every colour blindness.
DIVERGING = LinearSegmentedColormap.from_list("signs", [ORANGE, "#FFFFFF", BLUE])

JAPANESE = {
    "size of the vectors, d": "ベクトルの大きさ d",
    "variance of the scores": "スコアの分散",
    "entropy of the weights (bits)": "重みのエントロピー（ビット）",
    "without a scale": "スケールなし",
    "scaled by 1/√d": "1/√d を掛ける",
    "an even spread: 4 bits": "一様なら 4 ビット",
    "feature": "特徴",
    "position": "位置",
    "value": "値",
    "distance between two positions": "2 つの位置の距離",
    "dot product of the two rows": "2 つの行の内積",
    "from position": "始点の位置",
    "head": "ヘッド",
    "slope": "傾き",
    "key": "キー",
    "query": "クエリ",
    "added to the score": "スコアに加わる値",
    "source words": "原文の単語",
    "target words so far": "ここまでの訳文",
    "embedding + positions": "埋め込み + 位置",
    "self-attention": "自己注意",
    "self-attention, causal": "自己注意（因果マスク）",
    "cross-attention": "交差注意",
    "feed-forward": "順伝播層",
    "scores of the next word": "次の単語のスコア",
    "keys and values": "キーと値",
    "encoder": "エンコーダ",
    "decoder": "デコーダ",
    "encoder, 2 layers": "エンコーダ（2 層）",
    "decoder, 2 layers": "デコーダ（2 層）",
}


class Words:
    """A text in one of the two languages."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, english: str) -> str:
        return JAPANESE[english] if self.language == "ja" else english


def run_page() -> dict:
    """Run the page's last program; return the names that it defines."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    first = max(number for number, block in enumerate(blocks) if block.startswith("import "))
    names: dict = {}
    for block in blocks[first:]:
        exec(block, names)
    return names


def draw_scale(words: Words) -> Figure:
    """What the size of the vectors does to scores and weights."""
    sizes = [2**power for power in range(1, 11)]
    torch.manual_seed(1)
    variances, entropies = {1: [], 0: []}, {1: [], 0: []}
    for size in sizes:
        q, k = torch.randn(2000, 1, size), torch.randn(2000, 16, size)
        for is_scaled in (0, 1):
            scores = (q @ k.mT).squeeze(1) * (size**-0.5 if is_scaled else 1.0)  # [2000, 16]
            weights = scores.softmax(-1)
            variances[is_scaled].append(scores.var().item())
            entropies[is_scaled].append(torch.special.entr(weights).sum(-1).mean().item() / math.log(2))
    with style():
        figure = Figure(figsize=(6.6, 2.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        looks = (
            (0, words("without a scale"), {"color": ORANGE, "marker": "s"}),
            (1, words("scaled by 1/√d"), {"color": BLUE, "marker": "o"}),
        )
        for is_scaled, name, look in looks:
            left.plot(sizes, variances[is_scaled], label=name, markersize=3.5, **look)
            right.plot(sizes, entropies[is_scaled], markersize=3.5, **look)
        left.set_yscale("log")
        left.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
        left.minorticks_off()
        right.axhline(4, color="#777777", linewidth=0.8, linestyle="--")
        right.text(1024, 3.93, words("an even spread: 4 bits"), ha="right", va="top", fontsize=8.5)
        right.set_ylim(0, 4.25)
        right.set_yticks(range(5))
        for axes, name in ((left, "variance of the scores"), (right, "entropy of the weights (bits)")):
            _finish(axes, words(name))
            axes.set_xscale("log", base=2)
            axes.set_xticks([2, 8, 32, 128, 512], ["2", "8", "32", "128", "512"])
            axes.minorticks_off()
            axes.set_xlabel(words("size of the vectors, d"))
        left.legend(loc="upper left")
    return figure


def draw_positions(words: Words) -> Figure:
    """The table of sinusoids, and what two of its rows have in common."""
    table = sinusoidal_positions(64, 32)
    with style():
        figure = Figure(figsize=(7.0, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
        image = left.imshow(table, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        left.set_xlabel(words("feature"))
        left.set_ylabel(words("position"))
        left.set_xticks(range(0, 32, 8))
        left.set_yticks(range(0, 64, 8))
        left.tick_params(length=2)
        bar = figure.colorbar(image, ax=left, ticks=[-1, 0, 1], fraction=0.06, pad=0.03)
        bar.outline.set_linewidth(0.5)
        products = table @ table.T
        looks = {8: (BLUE, "-", 3.6), 20: (ORANGE, "--", 2.0), 32: (INK, ":", 1.2)}
        for start, (color, dashes, width) in looks.items():
            row = products[start, start : start + 32]
            name = f"{words('from position')} {start}"
            right.plot(range(len(row)), row, color=color, linestyle=dashes, linewidth=width, label=name)
        _finish(right, words("dot product of the two rows"))
        right.set_xlabel(words("distance between two positions"))
        right.set_xticks(range(0, 33, 8))
        right.set_ylim(0)
        right.legend(loc="upper right")
    return figure


def draw_alibi(words: Words) -> Figure:
    """What four of eight heads add to the scores of 20 positions."""
    heads = (0, 1, 3, 7)
    bias = alibi_bias(8, 20, 20)
    with style():
        figure = Figure(figsize=(7.4, 2.35), layout="constrained")
        panels = figure.subplots(1, len(heads), sharey=True)
        scale = Normalize(-6, 0)
        for axes, head in zip(panels, heads, strict=True):
            image = axes.imshow(bias[head], cmap=SEQUENTIAL.reversed(), norm=scale, interpolation="nearest")
            slope = f"1/{round(1 / alibi_slopes(8)[head].item())}"
            axes.set_title(f"{words('head')} {head}, {words('slope')} {slope}", fontsize=9)
            axes.set_xlabel(words("key"))
            axes.set_xticks(range(0, 20, 5))
            axes.set_yticks(range(0, 20, 5))
            axes.tick_params(length=2)
        panels[0].set_ylabel(words("query"))
        bar = figure.colorbar(
            image, ax=panels, ticks=[-6, -4, -2, 0], extend="min", fraction=0.03, pad=0.02, shrink=0.8
        )
        bar.outline.set_linewidth(0.5)
        bar.ax.set_ylabel(words("added to the score"))
    return figure


def draw_network(words: Words) -> Figure:
    """The encoder and the decoder as boxes; data flows upwards."""
    with style():
        figure = Figure(figsize=(6.6, 4.4))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 660), ylim=(0, 440))
        axes.axis("off")
        left, right, between = 150, 500, 325
        for x, top, name in ((left, 264, "encoder, 2 layers"), (right, 336, "decoder, 2 layers")):
            axes.add_patch(_frame(x - 122, 108, 244, top - 108, "#F4F6F9", "#9AA5B1"))
            axes.text(x - 120, top + 5, words(name), va="bottom", fontsize=9)
        boxes = {
            (left, 72): ("embedding + positions", "#EFEFEF"),
            (left, 152): ("self-attention", "#CFE3F3"),
            (left, 224): ("feed-forward", "#FBE9C6"),
            (right, 72): ("embedding + positions", "#EFEFEF"),
            (right, 152): ("self-attention, causal", "#CFE3F3"),
            (right, 224): ("cross-attention", "#F7D6BF"),
            (right, 296): ("feed-forward", "#FBE9C6"),
        }
        for (x, y), (name, color) in boxes.items():
            axes.add_patch(_frame(x - 88, y - 16, 176, 32, color, "#555555"))
            axes.text(x, y, words(name), ha="center", va="center_baseline", fontsize=10)
        for x, y, name in (
            (left, 22, "source words"),
            (right, 22, "target words so far"),
            (right, 418, "scores of the next word"),
        ):
            axes.text(x, y, words(name), ha="center", va="center", fontsize=10)
        for x, parts in ((left, (152, 224)), (right, (152, 224, 296))):
            _arrow(axes, (x, 34), (x, 56))
            for below, above in zip((72, *parts), parts, strict=False):
                _arrow(axes, (x, below + 16), (x, above - 16))
            for part in parts:
                _residual(axes, x, part)
        _arrow(axes, (right, 312), (right, 406))
        # The encoder's output goes to every layer of the decoder.
        axes.plot([left, left, between, between], [240, 308, 308, 224], color=INK, linewidth=1.1, zorder=1)
        _arrow(axes, (between, 224), (right - 88, 224))
        axes.text(left + 12, 313, words("keys and values"), fontsize=9, va="bottom")
        _sum(axes, 36, 418)
        axes.text(52, 418, "x + part(LayerNorm(x))", fontsize=9, va="center_baseline")
    return figure


def _frame(x: float, y: float, width: float, height: float, face: str, edge: str) -> FancyBboxPatch:
    return FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=7", facecolor=face, edgecolor=edge, lw=0.8
    )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    axes.annotate("", end, start, arrowprops=arrow, zorder=1)


def _residual(axes: Axes, x: float, part: float) -> None:
    """The line around a part, and the sum above it."""
    axes.plot(
        [x, x + 106, x + 106, x], [part - 28, part - 28, part + 29, part + 29], color=BLUE, linewidth=1.1
    )
    _sum(axes, x, part + 29)


def _sum(axes: Axes, x: float, y: float) -> None:
    axes.plot([x], [y], marker="o", markersize=10, markerfacecolor="white", markeredgecolor=BLUE, zorder=3)
    axes.plot([x], [y], marker="+", markersize=6, markeredgecolor=BLUE, zorder=4)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=PICTURES, help="the folder of the pictures")
    parser.add_argument("--without-network", action="store_true", help="leave out those that need training")
    arguments = parser.parse_args()
    names = {} if arguments.without_network else run_page()
    for language in ("en", "ja"):
        words = Words(language)
        pictures = {
            "scale": draw_scale(words),
            "positions": draw_positions(words),
            "alibi": draw_alibi(words),
            "network": draw_network(words),
        }
        if names:
            attention = names["attention"]
            pictures["alignment"] = attention.layer(1).mean_heads().plot(language=language)
            heads = {f"{words('head')} {head}": attention.layer(1).head(head) for head in (0, 1)}
            pictures["heads"] = plot_comparison(heads, language=language)
            maps = {words(title): part for title, part in names["maps"].items()}
            pictures["self-attention"] = plot_comparison(maps, language=language)
        ending = ".ja.svg" if language == "ja" else ".svg"
        for name, figure in pictures.items():
            save_figure(figure, arguments.out / f"{name}{ending}")


if __name__ == "__main__":
    main()
