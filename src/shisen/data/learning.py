"""Learning a vocabulary from text, so that the same text always gives the same vocabulary."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from itertools import chain, islice

import tokenizers
from tokenizers import models, trainers

from shisen.data.config import TokenizerConfig
from shisen.data.pieces import JapaneseAnalyser, TokenizerSettings, normalizer_of, pre_tokenizer_of
from shisen.data.vocabulary import SPECIAL_TOKENS, UNKNOWN
from shisen.errors import UserError

DEFAULT_VOCABULARY_SIZE = 8000
_LONGEST_PIECE = 16  # characters, as in SentencePiece
_UNBOUNDED = 2**31
_LEFT_OVER_STEP = (
    1e-4  # the library scores characters no piece was left for: the lowest score, and so much more each
)


def backend_of(model: models.Model, settings: TokenizerSettings) -> tokenizers.Tokenizer:
    """The library's tokenizer of a model, normalising and splitting as the settings say."""
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizer_of(settings)
    backend.pre_tokenizer = pre_tokenizer_of(settings)
    return backend


def learn_model(texts: Iterable[str], config: TokenizerConfig, settings: TokenizerSettings) -> models.Model:
    """The library's model of a vocabulary learned from text, read once.

    Raises:
        UserError: if there is no text, or it does not give ``config.vocabulary_size`` entries.
    """
    if config.kind in ("word", "character"):
        return _learn_words(texts, config, settings)
    sample = _sample(texts, config.training_sentences)
    normalize = normalizer_of(settings).normalize_str
    for place, text in enumerate(sample):
        sample[place] = normalize(text)
    sample, alphabet = _cover(sample, config.character_coverage)
    size = config.vocabulary_size or DEFAULT_VOCABULARY_SIZE
    if alphabet + len(SPECIAL_TOKENS) > size:
        raise UserError(
            f"data.tokenizer.vocabulary_size: {size:,} entries cannot hold the {alphabet:,} different "
            f"characters of the text and {len(SPECIAL_TOKENS)} special tokens; raise it, or lower "
            "data.tokenizer.character_coverage (0.9995, say)"
        )
    learn = _learn_bpe if config.kind == "bpe" else _learn_unigram
    return learn(sample, size, config, settings)


def _demand(size: int | None, available: int, settings: TokenizerSettings) -> None:
    """Raise where a vocabulary of an explicitly given size is more than the data gives."""
    if size is not None and available < size:
        raise UserError(
            f"data.tokenizer.vocabulary_size: asked for {size:,} entries, but the text gives only "
            f"{available:,} (kind {settings.kind}, {len(SPECIAL_TOKENS)} special tokens included); lower it "
            "or leave it out"
        )


def _learn_words(
    texts: Iterable[str], config: TokenizerConfig, settings: TokenizerSettings
) -> models.WordLevel:
    """All words (characters) that are frequent enough, by frequency, equals in order of code points."""
    if settings.is_analysed:
        analyser = JapaneseAnalyser(settings)
        counts = Counter(chain.from_iterable(map(analyser.entries, texts)))
        frequent = [word for word, count in counts.items() if count >= config.minimum_frequency]
        words = sorted(frequent, key=lambda word: (-counts[word], word))
    else:
        backend = backend_of(models.WordLevel(unk_token=SPECIAL_TOKENS[UNKNOWN]), settings)
        trainer = trainers.WordLevelTrainer(
            vocab_size=_UNBOUNDED, min_frequency=config.minimum_frequency, show_progress=False
        )
        backend.train_from_iterator(texts, trainer)
        vocabulary = backend.get_vocab()
        words = sorted(vocabulary, key=vocabulary.__getitem__)
    words = [word for word in words if word not in SPECIAL_TOKENS]
    if not words:
        raise UserError("the text gives no vocabulary: it is empty, or no word reaches minimum_frequency")
    _demand(config.vocabulary_size, len(words) + len(SPECIAL_TOKENS), settings)
    if config.vocabulary_size is not None:
        words = words[: config.vocabulary_size - len(SPECIAL_TOKENS)]
    vocabulary = {token: id for id, token in enumerate(chain(SPECIAL_TOKENS, words))}
    return models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[UNKNOWN])


def _learn_bpe(
    sample: list[str], size: int, config: TokenizerConfig, settings: TokenizerSettings
) -> models.BPE:
    """Merges of the most frequent pair, again and again."""
    backend = backend_of(models.BPE(unk_token=SPECIAL_TOKENS[UNKNOWN], fuse_unk=True), settings)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=config.minimum_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        max_token_length=_LONGEST_PIECE,
        show_progress=False,
    )
    backend.train_from_iterator(sample, trainer)
    _demand(config.vocabulary_size, backend.get_vocab_size(), settings)
    return backend.model


def _learn_unigram(
    sample: list[str], size: int, config: TokenizerConfig, settings: TokenizerSettings
) -> models.Unigram:
    """The pieces of highest probability, every character among them.

    The library works through its words in an order that differs from run to run. So do the last digits of
    its log-probabilities, what hangs on them at the edge of the vocabulary, and the scores of characters that
    no piece was left for. Hence a vocabulary larger than asked for is learned, its scores are rounded, those
    of the left-over characters made equal, and the best pieces taken, equals in order of code points.
    """
    pieces = _unigram_pieces(sample, size + size // 5, settings)
    if len(pieces) + len(SPECIAL_TOKENS) < size:
        pieces = _unigram_pieces(sample, 10 * size, settings)  # prunes nothing: all that the text gives
        _demand(config.vocabulary_size, len(pieces) + len(SPECIAL_TOKENS), settings)
    ranked = sorted(pieces.items(), key=lambda item: (len(item[0]) > 1, -item[1], item[0]))
    kept = sorted(ranked[: size - len(SPECIAL_TOKENS)], key=lambda item: (-item[1], item[0]))
    # The special tokens cannot be taken for pieces of text: "<" is always cut from "s".
    return models.Unigram([*((token, 0.0) for token in SPECIAL_TOKENS), *kept], unk_id=UNKNOWN)


def _unigram_pieces(sample: list[str], size: int, settings: TokenizerSettings) -> dict[str, float]:
    """About ``size`` pieces and their rounded log-probabilities."""
    backend = backend_of(models.Unigram(), settings)
    trainer = trainers.UnigramTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        unk_token=SPECIAL_TOKENS[UNKNOWN],
        max_piece_length=_LONGEST_PIECE,
        show_progress=False,
    )
    backend.train_from_iterator(sample, trainer)
    learned = json.loads(backend.to_str())["model"]["vocab"]
    scores = {piece: score for piece, score in learned if piece not in SPECIAL_TOKENS}
    lowest = min(scores.values())
    for piece, score in scores.items():
        steps = (score - lowest) / _LEFT_OVER_STEP
        is_left_over = len(piece) == 1 and steps < len(scores) and abs(steps - round(steps)) < 1e-6
        scores[piece] = round(lowest if is_left_over else score, 6)
    return scores


def _sample(texts: Iterable[str], size: int) -> list[str]:
    """At most ``size`` of the texts, drawn evenly (reservoir sampling), always the same ones."""
    stream = iter(texts)
    kept = list(islice(stream, size))
    if not kept:
        raise UserError("there is no text to learn a vocabulary from")
    draw = random.Random(0)
    for seen, text in enumerate(stream, start=size + 1):
        place = draw.randrange(seen)
        if place < size:
            kept[place] = text
    return kept


def _cover(sample: list[str], coverage: float) -> tuple[list[str], int]:
    """Drop the rarest characters that are beyond the coverage; also say how many are left."""
    counts: Counter[str] = Counter()
    for text in sample:
        counts.update(text)
    del counts[" "]
    if not counts:
        raise UserError("there is no text to learn a vocabulary from")
    if coverage == 1.0:
        return sample, len(counts) + 1  # and the mark for a space
    wanted = coverage * counts.total()
    covered, rare = 0, {}
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if covered >= wanted:
            rare[ord(character)] = " "
        covered += count
    return [text.translate(rare) for text in sample], len(counts) - len(rare) + 1
