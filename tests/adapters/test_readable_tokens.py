"""Tokens as people read them: bytes become text, words begin with a mark, and words can be joined again."""

import pytest
from small_models import transformers

from shisen.adapters.readable_tokens import readable_tokens
from shisen.inspection import AttentionMap, word_numbers

tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "Hello world",
    "日本語を学ぶ",
    "I love 日本語 !",
    "a\n\tb  c",
    "",
    " ",
    "naïve café",
    "👩‍🔬 ok",
    "é",
    "trans former",
]


def byte_level(merges=()):
    """A byte-level tokenizer, of single bytes and what is merged."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merged = [left + right for left, right in merges]
    vocabulary = {piece: number for number, piece in enumerate(["<|endoftext|>", *alphabet, *merged])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, list(merges)))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def trained_byte_level():
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS * 5, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def sentencepiece_like():
    """Whole words with ▁, all else as bytes such as <0xE6>."""
    pieces = ["<unk>", "</s>", "▁the", "▁cat", "s", "▁", "語"] + [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = [(piece, 0.0 if len(piece) > 1 else -10.0) for piece in pieces]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")


def read(tokenizer, text):
    return readable_tokens(tokenizer, tokenizer(text)["input_ids"])


def spelled(tokens):
    """The text that readable tokens spell, with one blank for whatever stands between words."""
    text = "".join(token.removeprefix("##") for token in tokens)
    return " ".join(text.replace("▁", " ").replace("⏎", " ").replace("⇥", " ").split())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("make", [byte_level, trained_byte_level])
def test_byte_level_tokens_spell_the_text(make, text):
    assert spelled(read(make(), text)) == " ".join(text.split())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("make", [byte_level, trained_byte_level])
def test_byte_level_tokens_join_to_the_words_between_blanks(make, text):
    tokens = read(make(), text)
    words = [word for word in text.split() if word.isascii()]
    weights = [[1.0] * len(tokens)] * len(tokens)
    if tokens:
        joined = AttentionMap.from_arrays(weights, tokens, tokens).merge_words().key_tokens
        assert [word for word in joined if word in words] == words


def test_a_character_of_several_pieces_stands_in_the_first():
    tokenizer = byte_level()
    assert read(tokenizer, "日é") == ("▁日", "##", "##", "é", "##")
    assert word_numbers(read(tokenizer, "日")) == [0, 0, 0]


def test_a_piece_may_end_within_a_character():
    # In UTF-8 日 is E6 97 A5 and 本 E6 9C AC; here a piece has 97 A5 E6.
    tokenizer = byte_level(merges=[("ĹĽ"[0], "¥"), ("Ĺ¥", "æ")])
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("日本")["input_ids"])
    assert tokens[:2] == ["æ", "Ĺ¥æ"]
    assert read(tokenizer, "日本") == ("▁日", "本", "##", "##")


def test_bytes_that_are_no_text_show_as_such():
    tokenizer = byte_level()
    ids = tokenizer.convert_tokens_to_ids(["æ", "a", "æ"])
    assert readable_tokens(tokenizer, ids) == ("▁\ufffd", "a", "\ufffd")


def test_the_first_word_and_those_after_a_break_have_a_mark():
    assert read(byte_level(), "a b\nc") == ("▁a", "▁", "b", "▁⏎", "▁c")
    assert word_numbers(read(trained_byte_level(), "Hello world")).count(1) > 0


def test_special_tokens_stay_as_they_are():
    tokenizer = byte_level()
    ids = tokenizer.convert_tokens_to_ids(["a", "<|endoftext|>", "Ġ", "b"])
    assert readable_tokens(tokenizer, ids) == ("▁a", "<|endoftext|>", "▁", "b")


def test_sentencepiece_tokens_stay_and_its_bytes_become_text():
    tokenizer = sentencepiece_like()
    assert read(tokenizer, "the cats") == ("▁the", "▁cat", "s")
    assert read(tokenizer, "the 日") == ("▁the", "▁", "日", "##", "##")
    assert read(tokenizer, "日語") == ("▁", "日", "##", "##", "語")


def test_wordpiece_tokens_stay_with_fast_and_slow_tokenizers(tmp_path):
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "trans", "##former"])
    )
    slow = BertTokenizerLegacy(str(tmp_path / "vocab.txt"))
    fast = transformers.BertTokenizer(vocab=str(tmp_path / "vocab.txt"))
    assert not slow.is_fast
    assert read(slow, "transformer") == ("[CLS]", "trans", "##former", "[SEP]")
    assert read(fast, "transformer") == read(slow, "transformer")


def test_no_ids_are_no_tokens():
    assert readable_tokens(byte_level(), []) == ()


def test_a_tokenizer_with_two_vocabularies_names_each_side_by_its_own():
    """Marian's, whose ids mean other words on the side of the target."""
    from shisen.adapters.reading import source_tokens

    class Marian:
        separate_vocabs = True
        all_special_tokens = ("</s>",)

        def __init__(self):
            self.encoder = {"▁the": 0, "▁cat": 1}

        def get_added_vocab(self):
            return {}

        def convert_ids_to_tokens(self, ids):
            return [["▁das", "▁Haus"][number] for number in ids]

    assert source_tokens(Marian(), [0, 1]) == ("▁the", "▁cat")
    assert readable_tokens(Marian(), [0, 1]) == ("▁das", "▁Haus")
