"""What the report says, in English and Japanese."""

from __future__ import annotations

from shisen.errors import UserError

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Attention report",
        "contents": "Contents",
        "summary": "Summary",
        "guide": "How to read a map",
        "examples": "Sentences at the extremes",
        "statistics": "Statistics",
        "patterns": "What the heads do",
        "alignment": "Alignment with the gold standard",
        "faithfulness": "Is it an explanation?",
        "made": "How this report was made",
        "cross": "Cross-attention: the target looks at the source",
        "encoder": "Encoder self-attention: the source looks at itself",
        "decoder": "Decoder self-attention: the target looks at itself",
        "counted": "{sentences} sentences; layers: {layers}, heads in each: {heads}.",
        "excluded": "Rows excluded (padding, or weights all zero): {count}.",
        "unnormalized": (
            "Rows whose weights do not sum to 1 (off by more than 0.01): {count}; the largest difference "
            "is {largest}. They were measured as they are."
        ),
        "summary_note": (
            "Over all rows of all heads. The interval is the 95 % confidence interval of the mean, with "
            "sentences as what is independent."
        ),
        "guide_note": (
            "A row is a token that was produced, a column a token that was looked at; dark is much weight. "
            "Each picture below is the head and sentence of your data in which the shape is clearest."
        ),
        "examples_note": (
            "By the mean over all rows of entropy divided by that of equal weights: 0 is one key, 1 is all "
            "keys alike. Only sentences of {shortest} to {longest} tokens on both sides are shown. The map "
            "is the mean over layers and heads, the panels are of each head or of their mean."
        ),
        "focused": "Most focused",
        "diffuse": "Most diffuse",
        "sentence": "Sentence {number}",
        "spread_is": "mean relative entropy {value}",
        "none_short_enough": "No sentence of the data has so many tokens.",
        "map_of": "Heatmap of sentence {number}",
        "panels_of": "Statistics of sentence {number} along the target",
        "found_in": "Sentence {number}, layer {layer}, head {head}",
        "found_row": ", row “{token}”",
        "found_score": ": score {score}.",
        "not_found": "Nothing like this was found in your data: no score reaches {least}.",
        "rule": "Rule: ",
        "by_layer": "By layer",
        "by_head": "By head",
        "by_length": "By sentence length",
        "by_part": "By part of the sentence",
        "means_note": (
            "Means, and below each its 95 % interval; the bar is its share of the largest in the column. All "
            "other numbers are in report.json."
        ),
        "length_note": "Length is the number of keys, end of sentence included.",
        "part_note": "Rows by the third of the sentence in which their word stands.",
        "layer": "layer",
        "head": "head",
        "group": "keys",
        "part": "part",
        "first": "first third",
        "middle": "middle third",
        "last": "last third",
        "end": "end of sentence",
        "measure": "measure",
        "rows": "rows",
        "mean": "mean",
        "interval": "95 % interval",
        "deviation": "deviation",
        "pattern": "pattern",
        "confidence": "confidence",
        "agreement": "sentences that agree",
        "patterns_note": (
            "The pattern with the largest score. Confidence is how far it exceeds the second; a small one "
            "means that the head does several things."
        ),
        "no_patterns": "No map has two keys or more, so there is no pattern to recognise.",
        "alignment_note": (
            "Each target word with the source word that it looks at most (mean over layers and heads), while "
            "the model reads the given translation, against the gold alignment (Och & Ney 2003)."
        ),
        "aer": "alignment error rate",
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
        "predicted_links": "links of the attention",
        "sure_links": "sure links of the gold standard",
        "faults": "Possible translation faults",
        "faults_note": (
            "A source word to which the translation gave little attention may have been forgotten; one that "
            "got much, or a span of the translation that comes twice and looks at the same words, may be "
            "said twice. What a word got (mean over layers and heads, times the probability of what was "
            "written where it is known) is divided by what it usually gets in these data, and the extremes "
            "of both sides are marked: some words always are. Look at these sentences first; the marks are "
            "no proof."
        ),
        "faults_counted": (
            "{sentences} sentences; words below {low} of the usual are in {under}, words above {high} or "
            "repeated spans in {over}. Learnt on the first {learnt_on}."
        ),
        "under": "Perhaps forgotten",
        "over": "Perhaps said twice",
        "received": "{ratio} of the usual attention",
        "received_by": "Attention by the usual: ",
        "said_twice": "said twice",
        "no_faults": "None.",
        "run_time": "{sentences} sentences, {decisions} decisions; it took {seconds} s.",
        "not_tested": (
            "Not tested. Whether the weights explain the output cannot be seen from the weights: run "
            "shisen analyze with --faithfulness."
        ),
        "faithfulness_figure": "The effect of every test, and what erasing tokens does",
        "model": "model",
        "fingerprint": "fingerprint of the model",
        "data": "data",
        "reads": "translations",
        "command": "command",
        "date": "date",
        "seconds": "seconds",
        "versions": "versions",
        "settings": "settings",
        "own": "the model's own",
        "given": "given with the data (forced decoding)",
        "saved": "saved maps",
        "gold": "gold alignments",
    },
    "ja": {
        "title": "注意のレポート",
        "contents": "目次",
        "summary": "まとめ",
        "guide": "注意マップの読み方",
        "examples": "両極端の文",
        "statistics": "統計",
        "patterns": "各ヘッドの働き",
        "alignment": "正解の単語対応との比較",
        "faithfulness": "注意は説明になっているか",
        "made": "このレポートの作り方",
        "cross": "交差注意：訳文が原文を見る",
        "encoder": "エンコーダの自己注意：原文が原文を見る",
        "decoder": "デコーダの自己注意：訳文が訳文を見る",
        "counted": "{sentences} 文、{layers} 層 × {heads} ヘッド。",
        "excluded": "除いた行（パディング、または重みがすべて 0）：{count}。",
        "unnormalized": (
            "重みの合計が 1 にならない行（差が 0.01 を超えるもの）：{count}。最大の差は {largest}。"
            "補正せず、そのまま測った。"
        ),
        "summary_note": "全ヘッドの全行について。区間は、文を独立とみなした平均の 95 % 信頼区間。",
        "guide_note": (
            "行は出力されたトークン、列は見られたトークンで、濃いほど重みが大きい。下の図はそれぞれ、"
            "お使いのデータの中でその形が最もはっきり現れた文とヘッドである。"
        ),
        "examples_note": (
            "エントロピーを一様な重みのエントロピーで割り、全行で平均した値による。0 は 1 か所だけ、1 は"
            "すべて同じ重み。両側とも {shortest}〜{longest} トークンの文だけを示す。"
            "マップは層とヘッドの平均、グラフは各ヘッドまたはその平均である。"
        ),
        "focused": "最も集中した文",
        "diffuse": "最も散らばった文",
        "sentence": "文 {number}",
        "spread_is": "相対エントロピーの平均 {value}",
        "none_short_enough": "この長さの文がデータにない。",
        "map_of": "文 {number} のヒートマップ",
        "panels_of": "文 {number} の訳文に沿った統計",
        "found_in": "文 {number}、層 {layer}、ヘッド {head}",
        "found_row": "、行「{token}」",
        "found_score": "：得点 {score}。",
        "not_found": "お使いのデータには見つからなかった（得点が {least} に達するものがない）。",
        "rule": "基準：",
        "by_layer": "層ごと",
        "by_head": "ヘッドごと",
        "by_length": "文の長さごと",
        "by_part": "文中の位置ごと",
        "means_note": (
            "平均と、その下に 95 % 信頼区間。棒は列の最大に対する割合。ほかの数値は report.json にある。"
        ),
        "length_note": "長さはキーの数で、文末記号を含む。",
        "part_note": "語が文のどの三分の一にあるかで行を分けた。",
        "layer": "層",
        "head": "ヘッド",
        "group": "キーの数",
        "part": "位置",
        "first": "前の三分の一",
        "middle": "中の三分の一",
        "last": "後の三分の一",
        "end": "文末記号",
        "measure": "指標",
        "rows": "行数",
        "mean": "平均",
        "interval": "95 % 信頼区間",
        "deviation": "標準偏差",
        "pattern": "パターン",
        "confidence": "確信度",
        "agreement": "一致する文の割合",
        "patterns_note": (
            "得点が最も高いパターン。確信度は 2 位との差で、小さければそのヘッドはいくつかの働きをしている。"
        ),
        "no_patterns": "キーが 2 つ以上あるマップがなく、見分けるパターンがない。",
        "alignment_note": (
            "与えられた訳文をモデルに読ませ、各訳語を最もよく見た原語に対応させ（層とヘッドの平均）、正解の"
            "単語対応と比べた（Och & Ney 2003）。"
        ),
        "aer": "単語対応の誤り率（AER）",
        "precision": "適合率",
        "recall": "再現率",
        "f1": "F1",
        "predicted_links": "注意による対応の数",
        "sure_links": "正解の確実な対応の数",
        "faults": "訳の誤りの候補",
        "faults_note": (
            "訳文からほとんど注意を受けなかった原語は、訳し忘れかもしれない。受けすぎた原語や、訳文に"
            "2 度現れて同じ原語を見ている部分は、二重に訳されたのかもしれない。"
            "語が受けた注意を、その語がこのデータでふつう受ける注意で割り（層とヘッドの平均。わかる場合は"
            "書かれた語の確率を掛ける）、"
            "両端に印を付けた。印の付く語は必ずある。まず見るべき文を示すもので、誤りの証拠ではない。"
        ),
        "faults_counted": (
            "{sentences} 文。ふつうの {low} 倍を下回る語があるのは {under} 文、{high} 倍を上回る語か"
            "繰り返しがあるのは {over} 文。基準は最初の {learnt_on} 文から求めた。"
        ),
        "under": "訳し忘れの候補",
        "over": "二重訳の候補",
        "received": "ふつうの注意の {ratio} 倍",
        "received_by": "ふつうに対する注意：",
        "said_twice": "2 度現れる",
        "no_faults": "なし。",
        "run_time": "{sentences} 文、{decisions} 個の判断。所要時間 {seconds} 秒。",
        "not_tested": (
            "検証していない。重みが出力を説明しているかどうかは、重みを見るだけではわからない。"
            "shisen analyze に --faithfulness を付けて実行する。"
        ),
        "faithfulness_figure": "各検定の効果と、単語を消したときの変化",
        "model": "モデル",
        "fingerprint": "モデルの指紋",
        "data": "データ",
        "reads": "訳文",
        "command": "コマンド",
        "date": "日時",
        "seconds": "秒",
        "versions": "バージョン",
        "settings": "設定",
        "own": "モデル自身の訳",
        "given": "データにある訳（強制デコード）",
        "saved": "保存されたマップ",
        "gold": "正解の単語対応",
    },
}

#: Of every shape of the reading guide: its name, what it means, and the rule by which it is found.
SHAPE_WORDS: dict[str, dict[str, tuple[str, str, str]]] = {
    "en": {
        "diagonal": (
            "A diagonal",
            "Word follows word in the order of what is looked at: the two sides have the same order, or the "
            "head goes by position. It need not mean that the words translate each other.",
            "the mean weight within one key of the diagonal, over the rows of words",
        ),
        "crossing": (
            "A crossing",
            "Later words look at earlier places: the order differs between the two sides, as between English "
            "(verb before object) and Japanese (object before verb).",
            "the share of pairs of sharp rows (weight 0.5 or more on a word, at least four rows) that look "
            "in the reverse order",
        ),
        "spread": (
            "A spread row",
            "The row looks at everything a little. Either no single word decides (a particle, an article), "
            "or the head does nothing here. Nothing can be read off the darkest cell of such a row.",
            "the entropy of a row of a word, divided by that of equal weights",
        ),
        "end": (
            "Mass on the end of the sentence",
            "The end mark carries no word. Weight there often means “nothing to look at”: a resting place, "
            "not a meaning. It may also summarise the sentence.",
            "the weight of a row of a word on the end mark",
        ),
        "punctuation": (
            "Mass on punctuation",
            "Like the end mark, a comma or full stop is in every sentence and means little, so that heads "
            "which have nothing to do rest there.",
            "the weight of a row of a word on punctuation",
        ),
        "first": (
            "Mass on the first token",
            "A head that looks at the first token whatever stands there uses it as a resting place (a sink).",
            "the weight on the first token of a row of a word, from the third on",
        ),
    },
    "ja": {
        "diagonal": (
            "対角線",
            "語が、見る先と同じ順に並んでいる。両側の語順が同じか、そのヘッドが位置で動いているかである。"
            "語どうしが訳の関係にあるとは限らない。",
            "語の行について、対角線から 1 キー以内の重みの平均",
        ),
        "crossing": (
            "交差",
            "後の語が前の場所を見ている。英語（動詞が目的語の前）と日本語（目的語が動詞の前）のように、"
            "両側の語順が違う。",
            "鋭い行（語への重みが 0.5 以上。4 行以上）の組のうち、見る順が逆になっているものの割合",
        ),
        "spread": (
            "散らばった行",
            "すべてを少しずつ見ている。決め手になる語がない（助詞や冠詞など）か、そのヘッドがここでは"
            "働いていない。このような行の最も濃いマスからは何も読み取れない。",
            "語の行のエントロピーを、一様な重みのエントロピーで割った値",
        ),
        "end": (
            "文末記号への重み",
            "文末記号は語ではない。そこへの重みは「見るものがない」ことを示す場合が多く、意味ではなく休み場所で"
            "ある。文全体のまとめとして使われることもある。",
            "語の行が文末記号に置く重み",
        ),
        "punctuation": (
            "句読点への重み",
            "文末記号と同じく、読点や句点はどの文にもあり、意味が少ない。することのないヘッドはそこで休む。",
            "語の行が句読点に置く重み",
        ),
        "first": (
            "先頭のトークンへの重み",
            "何があっても先頭を見るヘッドは、そこを休み場所（シンク）として使っている。",
            "3 行目以降の語の行が先頭のトークンに置く重み",
        ),
    },
}


def check_language(language: str) -> None:
    """Refuse a language that the report cannot be written in."""
    if language not in WORDS:
        raise UserError(f"the language of a report is one of {', '.join(WORDS)}, not {language!r}")
