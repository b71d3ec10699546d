"""Tokenizers: every kind there and back, the same from the same text, and clear words where it cannot be."""

import builtins
import gzip
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END, PADDING, SPECIAL_TOKENS, UNKNOWN
from shisen.errors import UserError

ENGLISH = [
    "Hello, world! Don't go; she said (twice): “stay”.",
    "The cat sat on the mat. The cat's mat is 3.14 m long...",
    "A well-known cat, and a dog, and another cat.",
]
GERMAN = ["Die Größe der Bären überrascht Äpfel.", "Straße, Fuß und „Grüße“ – so ist's."]
JAPANESE = ["その猫がマットの上に座った。", "私は深層学習が好きです。", "猫はマットが好きですか？「はい」。"]
EMOJI = ["I ❤️ cats 😀😀 and 👩‍👩‍👧!"]
TEXTS = (ENGLISH + GERMAN + JAPANESE + EMOJI) * 3
ALPHABET = sorted(set("".join(TEXTS)) | {" "})

KINDS = ["word", "bpe", "unigram", "character"]
_made: dict[tuple, Tokenizer] = {}


def _trained(kind: str, language=None, texts=tuple(TEXTS), **config) -> Tokenizer:
    """A small tokenizer; training the same one twice would only cost time."""
    if kind == "word":
        config.setdefault("pre_tokenizer", "words")
    key = (kind, language, texts, tuple(sorted(config.items())))
    if key not in _made:
        _made[key] = Tokenizer.train(texts, TokenizerConfig(kind=kind, **config), language)
    return _made[key]


# ---- there and back


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS[: len(TEXTS) // 3])
def test_decoding_gives_the_text_back(kind, text):
    tokenizer = _trained(kind)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", ["bpe", "unigram", "character"])
@given(text=st.text(st.sampled_from([*ALPHABET, "\t", "\u3000", "▁", "\u00a0"]), max_size=60))
@settings(deadline=None, max_examples=150)
def test_any_text_of_known_characters_comes_back_as_its_normalised_form(kind, text):
    tokenizer = _trained(kind, texts=(*TEXTS, "_"))
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == tokenizer.normalize(text)
    assert tokenizer.normalize(text) == " ".join(text.replace("▁", "_").split())
    assert UNKNOWN not in ids


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(max_size=60))
@settings(deadline=None, max_examples=100)
def test_any_text_at_all_is_cut_into_as_many_surfaces_as_ids_without_special_ones(kind, text):
    tokenizer = _trained(kind)
    ids = tokenizer.encode(text)
    assert len(tokenizer.surfaces(text)) == len(ids)
    assert not {PADDING, BEGIN, END} & set(ids)


@given(text=st.text(st.sampled_from(ALPHABET), max_size=60))
@settings(deadline=None, max_examples=100)
def test_surfaces_joined_are_the_text(text):
    tokenizer = _trained("unigram")
    assert "".join(tokenizer.surfaces(text)).replace("▁", " ").removeprefix(" ") == tokenizer.normalize(text)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_text_has_no_pieces(kind):
    tokenizer = _trained(kind)
    for empty in ("", "  \u3000 "):
        assert tokenizer.encode(empty) == []
        assert tokenizer.surfaces(empty) == []
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_sentences_one_by_one(kind):
    tokenizer = _trained(kind)
    assert tokenizer.encode_batch(TEXTS) == [tokenizer.encode(text) for text in TEXTS]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "character"])
def test_japanese_is_written_without_spaces(kind):
    tokenizer = _trained(kind, "ja", texts=tuple(JAPANESE * 3))
    ids = tokenizer.encode("私は猫が好きです。")
    assert "▁" not in tokenizer.tokens(ids)[0]
    assert tokenizer.decode(ids) == "私は猫が好きです。"


# ---- words


def test_words_of_raw_text_keep_punctuation_apart_and_their_spaces():
    tokenizer = _trained("word")
    ids = tokenizer.encode("Hello, world! Don't go (twice).")
    assert tokenizer.tokens(ids) == [
        *("▁Hello", ",", "▁world", "!", "▁Don't", "▁go", "▁(", "twice", ")", "."),
    ]


def test_white_space_words_are_joined_by_spaces_unless_the_language_is_known():
    texts = ("i do n't know , he said .", "<unk> <s> </s> <pad>")
    plain = _trained("word", texts=texts, pre_tokenizer="whitespace")
    english = _trained("word", "en", texts=texts, pre_tokenizer="whitespace")
    ids = plain.encode("i do n't know , he said .")
    assert plain.decode(ids) == "i do n't know , he said ."
    assert english.decode(ids) == "i don't know, he said."


def test_text_that_spells_a_special_token_is_unknown_text():
    tokenizer = _trained("word", texts=("a b <s> </s> <unk> <pad>",), pre_tokenizer="whitespace")
    assert len(tokenizer) == 4 + 2
    assert tokenizer.encode("a <s> </s> <pad> <unk>")[1:] == [UNKNOWN] * 4
    assert tokenizer.surfaces("a <s>") == ["a", "<s>"]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "character"])
def test_pieces_never_spell_a_special_token(kind):
    texts = ("<s>a</s> <pad> <unk>",) * 20
    tokenizer = _trained(kind, texts=texts)
    ids = tokenizer.encode("<s>a</s> <pad> <unk>")
    assert not {PADDING, UNKNOWN, BEGIN, END} & set(ids)
    assert tokenizer.decode(ids) == "<s>a</s> <pad> <unk>"


def test_words_are_ordered_by_frequency_then_by_code_point():
    tokenizer = _trained("word", texts=("b a c c", "d"), pre_tokenizer="whitespace")
    assert tokenizer.tokens(range(len(tokenizer))) == [*SPECIAL_TOKENS, "c", "a", "b", "d"]


def test_rare_words_are_left_out():
    tokenizer = _trained("word", texts=("a a b b b c",), minimum_frequency=2, pre_tokenizer="whitespace")
    assert tokenizer.tokens(tokenizer.encode("a b c")) == ["a", "b", "<unk>"]


def test_words_of_japanese_are_found_by_the_analyser():
    pytest.importorskip("fugashi")
    tokenizer = _trained("word", "ja", texts=("猫が座った。", "私は Tom です"), lowercase=True)
    ids = tokenizer.encode("猫が座った。")
    assert tokenizer.tokens(ids) == ["猫", "が", "座っ", "た", "。"]
    assert tokenizer.decode(ids) == "猫が座った。"
    assert tokenizer.surfaces("私は Tom です") == ["私", "は", "▁Tom", "▁です"]
    assert UNKNOWN not in tokenizer.encode("私は TOM です")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def without_fugashi(name, *args, **kwargs):
        if name == "fugashi":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_fugashi)
    with pytest.raises(UserError, match=r'pip install "shisen\[ja\]"'):
        Tokenizer.train(["猫"], TokenizerConfig(kind="word", pre_tokenizer="words"), "ja")


# ---- unknown words, normalisation


def test_unknown_words_keep_their_spelling_in_surfaces():
    tokenizer = _trained("word", lowercase=True)
    text = "The Zyxgrad, cat"
    assert tokenizer.tokens(tokenizer.encode(text)) == ["▁the", "<unk>", ",", "▁cat"]
    assert tokenizer.surfaces(text) == ["▁The", "▁Zyxgrad", ",", "▁cat"]
    assert tokenizer.surfaces("Zyxgrad")[0] == "▁Zyxgrad"


def test_an_unknown_word_shows_in_the_output_and_can_be_replaced():
    tokenizer = _trained("word")
    assert tokenizer.decode([*tokenizer.encode("The"), UNKNOWN, END]) == "The <unk>"
    assert tokenizer.detokenize(["▁The", tokenizer.as_word("Zyxgrad"), "."]) == "The Zyxgrad."


def test_a_word_from_the_other_side_comes_without_space_in_japanese():
    tokenizer = _trained("unigram", "ja", texts=tuple(JAPANESE * 3))
    assert tokenizer.as_word("▁Tom") == "Tom"
    assert tokenizer.detokenize(["▁Tom", "は", "▁", "猫", "です"]) == "Tomは猫です"


@pytest.mark.parametrize("kind", KINDS)
def test_special_ids_leave_no_trace_in_the_text(kind):
    tokenizer = _trained(kind)
    ids = tokenizer.encode("The cat sat.")
    assert tokenizer.decode([BEGIN, *ids, END, PADDING]) == "The cat sat."
    assert tokenizer.tokens([BEGIN, ids[0], END]) == ["<s>", tokenizer.tokens(ids)[0], "</s>"]


def test_normalisation_and_case_are_options():
    texts = ("Ｔｈｅ ｶﾞ Cafe\u0301",)
    plain = _trained("character", texts=texts)
    nfc = _trained("character", texts=texts, normalization="nfc")
    nfkc = _trained("character", texts=texts, normalization="nfkc", lowercase=True)
    assert plain.normalize(texts[0]) == texts[0]
    assert nfc.normalize(texts[0]) == "Ｔｈｅ ｶﾞ Café"
    assert nfkc.normalize(texts[0]) == "the ガ café"
    assert nfkc.decode(nfkc.encode("ＴＨＥ  CAFÉ")) == "the café"


# ---- sizes


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_has_the_size_asked_for(kind):
    assert len(_trained(kind, vocabulary_size=100 if kind in ("bpe", "unigram") else 40)) in (40, 100)
    assert _trained(kind).tokens(range(4)) == list(SPECIAL_TOKENS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_larger_than_the_data_gives_says_how_many_it_gives(kind):
    with pytest.raises(UserError, match=r"asked for 5,000 entries, but the text gives only (\d+)") as raised:
        _trained(kind, vocabulary_size=5000)
    given_size = int(str(raised.value).split("only ")[1].split()[0])
    assert len(_trained(kind, vocabulary_size=given_size)) == given_size


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_vocabulary_too_small_for_the_characters_says_so(kind):
    with pytest.raises(UserError, match=r"20 entries cannot hold the .* different characters"):
        _trained(kind, vocabulary_size=20)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_coverage_leaves_the_rarest_characters_out(kind):
    texts = ("aaaa bbbb " * 50 + "鷹",)
    tokenizer = _trained(kind, texts=texts, character_coverage=0.99)
    assert UNKNOWN in tokenizer.encode("鷹")
    assert UNKNOWN not in _trained(kind, texts=texts).encode("鷹")


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_an_error(kind):
    for texts in ([], ["", "  "]):
        with pytest.raises(UserError, match=r"no text|no vocabulary"):
            Tokenizer.train(texts, TokenizerConfig(kind=kind))


@pytest.mark.parametrize("kind", KINDS)
def test_trouble_in_the_text_comes_through_training_as_it_is(kind):
    def texts():
        yield "good"
        raise UserError("a.en, line 2: empty")

    with pytest.raises(UserError, match=r"^a\.en, line 2: empty$"):
        Tokenizer.train(texts(), TokenizerConfig(kind=kind))


def test_pieces_are_learned_from_an_even_sample_of_long_texts():
    texts = ["aa"] * 500 + ["bb"] * 500
    tokenizer = Tokenizer.train(texts, TokenizerConfig(kind="bpe", training_sentences=50))
    assert UNKNOWN not in tokenizer.encode("ab")


# ---- the same from the same text


_TRAIN = """
import sys
from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer
texts = [line.rstrip("\\n") for line in open(sys.argv[1], encoding="utf-8")]
for kind in ("word", "bpe", "unigram", "character"):
    config = TokenizerConfig(kind=kind, vocabulary_size=110 if kind in ("bpe", "unigram") else None)
    print(Tokenizer.train(texts, config).fingerprint)
"""


def test_training_gives_the_same_vocabulary_in_every_process(tmp_path):
    path = tmp_path / "text"
    words = [f"{ENGLISH[i % 3]} {JAPANESE[i % 3]} number{i * 37 % 101} 猫{i % 7}匹" for i in range(300)]
    path.write_text("\n".join(words), encoding="utf-8")
    seen = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", _TRAIN, path], env=environment, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1
    assert len(set(seen.pop().split())) == 4


# ---- files


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_is_the_same_when_loaded(tmp_path, kind):
    tokenizer = _trained(kind, "de", lowercase=True)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.settings == tokenizer.settings
    assert loaded.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def _document(tmp_path) -> dict:
    _trained("word").save(tmp_path / "tokenizer.json")
    return json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))


def _damaged(document: dict, change) -> str:
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda d: json.dumps(d)[:200], "not a whole JSON file; was it truncated"),
        (lambda d: "[" * 100_000, "not a whole JSON file; was it truncated"),
        (lambda d: "", "not a whole JSON file"),
        (lambda d: "[1, 2]", "not a tokenizer of shisen"),
        (lambda d: json.dumps(d["tokenizer"]), "not a tokenizer of shisen"),
        (lambda d: _damaged(d, lambda d: d.update(shisen_tokenizer=99)), "format 99, this version reads 1"),
        (lambda d: _damaged(d, lambda d: d.pop("settings")), "settings are damaged"),
        (lambda d: _damaged(d, lambda d: d["settings"].update(kind=3)), "settings are damaged"),
        (lambda d: _damaged(d, lambda d: d["settings"].update(extra=3)), "settings are damaged"),
        (lambda d: _damaged(d, lambda d: d.pop("tokenizer")), "damaged"),
        (lambda d: _damaged(d, lambda d: d["tokenizer"].update(model={"type": "Else"})), "is damaged"),
        (
            lambda d: _damaged(d, lambda d: d["tokenizer"]["model"]["vocab"].pop("<s>")),
            "ids are not 0 to",
        ),
        (
            lambda d: json.dumps(d).replace('"<pad>"', '"<blank>"'),
            "does not open with <pad>, <unk>, <s>, </s>",
        ),
        (
            lambda d: _damaged(d, lambda d: d["tokenizer"]["model"]["vocab"].update({"▁cat": 10**6})),
            "ids are not 0 to",
        ),
    ],
)
def test_a_foreign_or_damaged_file_is_one_clear_error(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    path.write_text(content(_document(tmp_path)), encoding="utf-8")
    with pytest.raises(UserError, match=message) as raised:
        Tokenizer.load(path)
    assert str(path) in str(raised.value)


def test_a_missing_or_binary_file_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match="cannot read the tokenizer"):
        Tokenizer.load(tmp_path / "no.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a whole JSON file"):
        Tokenizer.load(tmp_path / "binary.json")


@pytest.mark.real_data
def test_words_of_the_tanaka_corpus_are_as_many_as_its_other_users_count(real_data):
    """4,109 and 4,906 entries at minimum frequency 2, the four special ones included (JoeyNMT 2.3.0)."""
    with gzip.open(real_data / "tanaka-en-ja" / "train.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        pairs = [line.rstrip("\n").split("\t") for line in file]
    config = TokenizerConfig(kind="word", minimum_frequency=2)
    assert len(Tokenizer.train((source for source, _ in pairs), config)) == 4_109
    assert len(Tokenizer.train((target for _, target in pairs), config)) == 4_906
