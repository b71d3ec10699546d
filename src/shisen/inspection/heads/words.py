"""What the page on heads says, in English and Japanese."""

from __future__ import annotations

from shisen.errors import UserError

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Heads",
        "contents": "Contents",
        "cross": "Cross-attention: the target looks at the source",
        "encoder": "Encoder self-attention: the source looks at itself",
        "decoder": "Decoder self-attention: the target looks at itself",
        "gallery": "Gallery",
        "gallery_note": (
            "All heads on sentence {number}: rows are tokens that were produced, columns tokens that were "
            "looked at. Above each: the pattern with the largest score over all sentences, and its "
            "confidence, by how much that exceeds the second. Colours are scaled to the largest weight of "
            "each head."
        ),
        "gallery_none": "No sentence has {fewest} to {most} tokens on both sides, so there is no gallery.",
        "table": "All heads",
        "layer": "layer",
        "head": "head",
        "pattern": "pattern",
        "confidence": "confidence",
        "runner_up": "runner-up",
        "agreement": "agreement",
        "entropy": "entropy (nats)",
        "nearest": "nearest head",
        "nearest_distance": "distance",
        "importance_gradient": "importance (gradient)",
        "importance_ablation": "importance (ablation, nats/token)",
        "table_note": (
            "Agreement is the share of the sentences that by themselves show the pattern. The nearest head "
            "is that with the smallest Jensen–Shannon distance over all rows, 0 (the same) to 1."
        ),
        "examples": "Each head where its pattern is clearest",
        "example": "layer {layer}, head {head}: {pattern}",
        "example_note": "Sentence {number}; score {score} in it.",
        "similarity": "Which heads are alike",
        "similarity_note": (
            "Jensen–Shannon distance between heads, over {sentences} sentences, and the tree of average "
            "linkage. Near-duplicates (any two within {within}): {redundant} of {count} heads could go if "
            "one were kept of each group."
        ),
        "importance": "Which heads are needed",
        "importance_note": (
            "Gradient: the mean over sentences of |∂L/∂ξ|, ξ being what a head's output is multiplied by. "
            "Ablation: by how much the loss per token grows without the head. Both are in the table above. "
            "The curve shows what is left of the model as heads are cut, the least important first, beside "
            "random orders."
        ),
        "score": "BLEU",
        "made": "How this was made",
        "model": "model",
        "data": "data",
        "command": "command",
        "date": "date",
        "seconds": "seconds",
        "fingerprint": "fingerprint",
        "measure": "measured",
        "versions": "versions",
        "sentences": "sentences",
        "picture_of": "Heatmap of layer {layer}, head {head}",
    },
    "ja": {
        "title": "ヘッドの一覧",
        "contents": "目次",
        "cross": "交差注意：訳文が原文を見る",
        "encoder": "エンコーダーの自己注意：原文が自分自身を見る",
        "decoder": "デコーダーの自己注意：訳文が自分自身を見る",
        "gallery": "ギャラリー",
        "gallery_note": (
            "第 {number} 文での全ヘッド。行は出力されたトークン、列は見られたトークンです。各図の上は、"
            "全文を通してスコアが最大のパターンと、その確信度（2 番目との差）です。色は各ヘッドの最大の重みに"
            "合わせています。"
        ),
        "gallery_none": "両側とも {fewest}〜{most} トークンの文がないため、ギャラリーはありません。",
        "table": "全ヘッドの表",
        "layer": "層",
        "head": "ヘッド",
        "pattern": "パターン",
        "confidence": "確信度",
        "runner_up": "次点",
        "agreement": "一致率",
        "entropy": "エントロピー (nat)",
        "nearest": "最も近いヘッド",
        "nearest_distance": "距離",
        "importance_gradient": "重要度（勾配）",
        "importance_ablation": "重要度（除去、nat/トークン）",
        "table_note": (
            "一致率は、単独でもそのパターンを示す文の割合です。最も近いヘッドは、全行を通した "
            "Jensen–Shannon 距離（0 は同一、最大 1）が最小のものです。"
        ),
        "examples": "各ヘッドのパターンが最もはっきり現れた文",
        "example": "第 {layer} 層 ヘッド {head}：{pattern}",
        "example_note": "第 {number} 文。この文でのスコアは {score}。",
        "similarity": "似ているヘッド",
        "similarity_note": (
            "{sentences} 文でのヘッド間の Jensen–Shannon 距離と、群平均法による樹形図です。"
            "ほぼ同じヘッド（どの 2 つも {within} 以内）を 1 つずつ残すなら、"
            "{count} 個のうち {redundant} 個を省けます。"
        ),
        "importance": "必要なヘッド",
        "importance_note": (
            "勾配：ヘッドの出力に掛かる係数 ξ についての |∂L/∂ξ| の文平均。除去：ヘッドを除いたときの"
            "トークンあたりの損失の増加。どちらも上の表にあります。曲線は、重要度の低い順にヘッドを除いたときに"
            "モデルに残る性能を、ランダムな順と比べたものです。"
        ),
        "score": "BLEU",
        "made": "この頁の作成条件",
        "model": "モデル",
        "data": "データ",
        "command": "コマンド",
        "date": "日時",
        "seconds": "秒",
        "fingerprint": "指紋",
        "measure": "測ったもの",
        "versions": "バージョン",
        "sentences": "文の数",
        "picture_of": "第 {layer} 層 ヘッド {head} のヒートマップ",
    },
}


def check_language(language: str) -> None:
    """Refuse a language that the page cannot be written in."""
    if language not in WORDS:
        raise UserError(f"the language of a page is one of {', '.join(WORDS)}, not {language!r}")
