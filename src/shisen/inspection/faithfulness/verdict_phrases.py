"""The sentences that a verdict is made of, in English and Japanese: by topic, then by outcome."""

PHRASES: dict[str, dict[str, dict[str, str]]] = {
    "en": {
        "reads": {"own": "its own translations", "given": "given translations"},
        "end": {"ranked": "", "not ranked": "; </s> is neither ranked nor erased"},
        "opening": {
            "all": "Tested is the cross-attention ({explanation}{end}) as an explanation of {decisions} "
            "decisions, the likeliest next token in {reads}, in {sentences}, by {comparisons} "
            "comparisons corrected for their number (Holm, {level}); r is the effect size, +1 where every "
            "sentence speaks for attention and -1 where every sentence speaks against it."
        },
        "summary": {
            "all": "In short: the output depends on the weights in {dependence_won} comparisons; attention "
            "did better than chance in {chance_won}, better than gradient × input in {gradients_won}, and "
            "better than integrated gradients in {integrated_won}."
        },
        "dependence": {
            "better": "The output depends on the weights, by more than a total variation of {threshold}, "
            "by the test of {tests}.",
            "worse": "The output moves by less than a total variation of {threshold} by the test of {tests}.",
            "no difference": "Whether the output moves by more than a total variation of {threshold} is not "
            "decided by the test of {tests}.",
        },
        "adversary": {
            "better": "An adversary who may move the output by {bound} moved the explanation less far than "
            "random permutations do: {tests}.",
            "worse": "An adversary who may move the output by {bound} moved the explanation farther than "
            "random permutations do: {tests}; so very different weights would have given the same output.",
            "no difference": "An adversary who may move the output by {bound} moved the explanation about as "
            "far as random permutations do: {tests}; so very different weights would have given the same "
            "output.",
        },
        "seed": {
            "better": "That is less far than the attention of another seed is: {tests}.",
            "worse": "That is farther than the attention of another seed is: {tests}.",
            "no difference": "That is about as far as the attention of another seed is: {tests}.",
        },
        "chance": {
            "better": "Attention did better than chance on: {tests}.",
            "worse": "Attention did worse than chance on: {tests}.",
            "no difference": "No difference from chance was found on: {tests}.",
        },
        "gradients": {
            "better": "Attention did better than gradient × input on: {tests}.",
            "worse": "Attention did worse than gradient × input on: {tests}.",
            "no difference": "No difference from gradient × input was found on: {tests}.",
        },
        "integrated": {
            "better": "Attention did better than integrated gradients on: {tests}.",
            "worse": "Attention did worse than integrated gradients on: {tests}.",
            "no difference": "No difference from integrated gradients was found on: {tests}.",
        },
        "lacking": {"all": "Too little data to tell ({sentences}): {tests}."},
        "closing": {
            "all": "Each statement is about its test, this model and this text, and about nothing else."
        },
    },
    "ja": {
        "reads": {"own": "モデル自身の訳文", "given": "与えられた訳文"},
        "end": {"ranked": "", "not ranked": "。</s> は順位づけにも削除にも含めない"},
        "opening": {
            "all": "{sentences}に含まれる {decisions} 個の判断（{reads}の各位置で最も確からしい"
            "次のトークン）について、交差注意（{explanation}{end}）が説明になっているかを "
            "{comparisons} 件の比較で検定しました（Holm の補正、有意水準 {level}）。r は効果量で、"
            "すべての文が注意に有利なら +1、すべての文が不利なら -1 です。"
        },
        "summary": {
            "all": "要約：出力が重みに依存すると言えたのは {dependence_won} 件、注意が偶然より優れていたのは "
            "{chance_won} 件、勾配 × 入力より優れていたのは {gradients_won} 件、積分勾配より優れていたのは "
            "{integrated_won} 件です。"
        },
        "dependence": {
            "better": "次の検定では、出力は重みに依存しています（変化が全変動距離で {threshold} を"
            "超えます）：{tests}。",
            "worse": "次の検定では、出力の変化は全変動距離で {threshold} に達しません：{tests}。",
            "no difference": "次の検定では、出力の変化が全変動距離で {threshold} を超えるかどうか"
            "判定できません：{tests}。",
        },
        "adversary": {
            "better": "出力の変化を {bound} 以内に抑えて敵対的に選んだ重みでは、説明のずれが"
            "無作為な並べ替えより小さくなりました：{tests}。",
            "worse": "出力の変化を {bound} 以内に抑えて敵対的に選んだ重みでは、説明のずれが"
            "無作為な並べ替えより大きくなりました：{tests}。大きく異なる重みでも、同じ出力が"
            "得られたことになります。",
            "no difference": "出力の変化を {bound} 以内に抑えて敵対的に選んだ重みでは、説明のずれが"
            "無作為な並べ替えと同程度でした：{tests}。大きく異なる重みでも、同じ出力が"
            "得られたことになります。",
        },
        "seed": {
            "better": "これは、別のシードで学習したモデルとの違いより小さい値です：{tests}。",
            "worse": "これは、別のシードで学習したモデルとの違いより大きい値です：{tests}。",
            "no difference": "これは、別のシードで学習したモデルとの違いと同程度です：{tests}。",
        },
        "chance": {
            "better": "注意が偶然より優れていた検定：{tests}。",
            "worse": "注意が偶然より劣っていた検定：{tests}。",
            "no difference": "偶然との差が見つからなかった検定：{tests}。",
        },
        "gradients": {
            "better": "注意が勾配 × 入力より優れていた検定：{tests}。",
            "worse": "注意が勾配 × 入力より劣っていた検定：{tests}。",
            "no difference": "勾配 × 入力との差が見つからなかった検定：{tests}。",
        },
        "integrated": {
            "better": "注意が積分勾配より優れていた検定：{tests}。",
            "worse": "注意が積分勾配より劣っていた検定：{tests}。",
            "no difference": "積分勾配との差が見つからなかった検定：{tests}。",
        },
        "lacking": {"all": "{sentences}ではデータが少なく、判定できない検定：{tests}。"},
        "closing": {"all": "いずれも、その検定、このモデル、この文章についてだけ言えることです。"},
    },
}
"""A phrase names its settings in braces; ``{tests}`` stands for the tests with their numbers."""
