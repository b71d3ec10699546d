"""What pages and pictures call the patterns of heads, in English and Japanese."""

PATTERN_NAMES: dict[str, dict[str, str]] = {
    "en": {
        "self": "itself",
        "previous": "previous token",
        "next": "next token",
        "diagonal": "diagonal",
        "local": "local window",
        "first": "first token",
        "separator": "separators",
        "global": "the same columns",
        "block": "halves",
        "uniform": "uniform",
        "content": "content",
    },
    "ja": {
        "self": "自分自身",
        "previous": "直前のトークン",
        "next": "直後のトークン",
        "diagonal": "対角線",
        "local": "近くの窓",
        "first": "先頭のトークン",
        "separator": "区切り",
        "global": "同じ列",
        "block": "前半・後半",
        "uniform": "一様",
        "content": "内容による",
    },
}

HEAD_WORDS = {
    "en": {"head": "layer {layer}, head {head}", "distance": "distance", "layer.head": "layer.head"},
    "ja": {"head": "第 {layer} 層 ヘッド {head}", "distance": "距離", "layer.head": "層.ヘッド"},
}
