"""Reading sentences: the two of the handbook, and some that show how the languages differ."""

import pytest

from shisen.data.embedded.grammar import embedded_grammar
from shisen.data.embedded.parser import parse


def test_the_first_example_with_its_links():
    (pair,) = parse(embedded_grammar(), "I love deep learning")
    assert pair.target == "私 は 深層 学習 が 好き です"
    assert str(pair.alignment) == "0-0 0p1 1p1 1p4 1-5 1-6 2-2 2p4 3-3 3p4"


def test_the_second_example_with_its_links():
    (pair,) = parse(embedded_grammar(), "The cat sat on the mat")
    assert pair.target == "その 猫 が マット の 上 に 座っ た"
    assert pair.alignment.sure == {(0, 0), (1, 1), (2, 7), (2, 8), (3, 5), (3, 6), (5, 3)}
    assert pair.alignment.possible - pair.alignment.sure == {(1, 2), (2, 2), (3, 4), (5, 4), (2, 6)}


@pytest.mark.parametrize(
    ("english", "japanese"),
    [
        ("The cat sat on the mat .", "その 猫 が マット の 上 に 座っ た 。"),
        ("She bought a red car yesterday", "彼女 は 昨日 赤い 車 を 買っ た"),
        ("The man who ate the fish is sleeping", "魚 を 食べ た 男性 が 寝 て いる"),
        ("The book that Ken wrote was very interesting", "ケン が 書い た 本 は とても 面白かっ た です"),
        ("I did not meet the teacher", "私 は 先生 に 会わ なかっ た"),
        ("Two students are waiting for the bus", "二 人 の 学生 が バス を 待っ て いる"),
        ("They went to the library to read a book", "彼ら は 図書館 へ 本 を 読み に 行っ た"),
        ("Because it rained , he slept", None),  # the grammar puts the reason last
        ("He slept because it was raining", "雨 が 降っ て い た から 、 彼 は 寝 た"),
        ("When it rained , the dog ran", "雨 が 降っ た とき 、 その 犬 が 走っ た"),
        ("If it rains , I will not go to Kyoto", "雨 が 降っ たら 、 私 は 京都 へ 行か ない"),
        ("Did Emma open the window ?", "エマ は 窓 を 開け まし た か 。"),
        ("I want to drink cold water", "私 は 冷たい 水 を 飲み たい です"),
        ("Tom can play the piano", "トム は ピアノ を 弾く こと が できる"),
        ("We must study mathematics", "私たち は 数学 を 勉強 し なけれ ば なら ない"),
        ("This horse is stronger than the dog", "この 馬 は 犬 より 強い です"),
        ("He lent the student a dictionary", "彼 は 学生 に 辞書 を 貸し た"),
        ("I like reading novels", None),  # a bare plural is not the object of reading here
        ("I like reading the newspaper", "私 は 新聞 を 読む の が 好き です"),
        ("He ate bread and drank tea", "彼 は パン を 食べ て 、 お茶 を 飲ん だ"),
        ("The singer danced , but the actor slept", "その 歌手 は 踊っ た が 、 その 俳優 は 寝 た"),
        ("the cat sit on the mat", None),
        ("I loves deep learning", None),
        ("A old man slept", None),
        ("", None),
    ],
)
def test_a_sentence_has_its_translation_or_is_refused(english, japanese):
    translations = [pair.target for pair in parse(embedded_grammar(), english)]
    assert translations == ([] if japanese is None else [japanese])


def test_the_case_of_letters_makes_no_difference():
    (pair,) = parse(embedded_grammar(), "i LOVE deep learning")
    assert pair.source == "I love deep learning"
