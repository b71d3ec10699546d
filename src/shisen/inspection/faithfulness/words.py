"""What the tests are called, in plain words: for the verdict and its figure, in English and Japanese."""

from shisen.errors import UserError

TEST_NAMES: dict[str, dict[str, str]] = {
    "en": {
        "permutation": "permuted weights",
        "uniform": "uniform weights",
        "adversary": "adversarial weights, less is better",
        "weight-erasure": "erasing the largest weight",
        "comprehensiveness": "erasing tokens: comprehensiveness",
        "sufficiency": "keeping tokens: sufficiency, less is better",
        "agreement-leave-one-out": "agreement with leave-one-out",
        "agreement-gradient": "agreement with gradients",
        "agreement-gradient-input": "agreement with gradient × input",
        "agreement-integrated-gradients": "agreement with integrated gradients",
    },
    "ja": {
        "permutation": "重みの並べ替え",
        "uniform": "一様な重み",
        "adversary": "敵対的な重み、小さいほどよい",
        "weight-erasure": "最大の重みの消去",
        "comprehensiveness": "単語の削除：網羅性",
        "sufficiency": "単語の保持：十分性、小さいほどよい",
        "agreement-leave-one-out": "1 語抜きとの一致",
        "agreement-gradient": "勾配との一致",
        "agreement-gradient-input": "勾配 × 入力との一致",
        "agreement-integrated-gradients": "積分勾配との一致",
    },
}

RIVAL_NAMES: dict[str, dict[str, str]] = {
    "en": {
        "chance": "compared with chance",
        "gradients": "compared with gradient × input",
        "integrated-gradients": "compared with integrated gradients",
        "threshold": "compared with the threshold",
        "seed": "compared with another seed",
    },
    "ja": {
        "chance": "偶然との比較",
        "gradients": "勾配 × 入力との比較",
        "integrated-gradients": "積分勾配との比較",
        "threshold": "しきい値との比較",
        "seed": "別のシードとの比較",
    },
}

ORDER_NAMES: dict[str, dict[str, str]] = {
    "en": {
        "attention": "attention",
        "gradient": "gradient",
        "gradient-input": "gradient × input",
        "integrated-gradients": "integrated gradients",
        "leave-one-out": "leave-one-out",
        "chance": "random order",
    },
    "ja": {
        "attention": "注意",
        "gradient": "勾配",
        "gradient-input": "勾配 × 入力",
        "integrated-gradients": "積分勾配",
        "leave-one-out": "1 語抜き",
        "chance": "無作為の順",
    },
}


def check_language(language: str) -> None:
    """Refuse a language that there are no words in."""
    if language not in TEST_NAMES:
        raise UserError(f"there are no words in {language!r}; the languages are {', '.join(TEST_NAMES)}")


def two_places(number: float) -> str:
    """A number as it stands in a sentence: ``0.41``, never ``-0.00``."""
    return f"{round(number, 2) + 0.0:.2f}"
