"""From raw text to results: `Translator` loads a model directory and translates, with the attention of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, overload

import numpy as np

from shisen.data.arriving_lines import chunked
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END, UNKNOWN
from shisen.decoding import (
    BeamOptions,
    Constraints,
    DecodableModel,
    Hypothesis,
    LengthLimits,
    SamplingOptions,
    check_length_penalty,
)
from shisen.engines import Decoding, open_engine
from shisen.engines.opening import Opened, with_torch
from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.intervention_places import names_target, resolved
from shisen.inspection.interventions import Intervention
from shisen.model_directory import LoadedModel, generation_setting
from shisen.translation import Translation

__all__ = ["DEFAULT_BATCH_SIZE", "DEFAULT_MAX_SOURCE_LENGTH", "LongSourceError", "Translation", "Translator"]

DEFAULT_BATCH_SIZE = 100
"""Sentences decoded together: on a processor larger batches are slower, their logits leave the cache."""

DEFAULT_MAX_SOURCE_LENGTH = 1024
"""Tokens in the longest sentence that is translated or forced."""

_MOST_SOURCE_TOKENS = 16_384  # in a batch, with its padding: bounds the memory that long sentences take
_CHECKED_TOGETHER = 1024  # sentences whose lengths are checked ahead: bounds the memory that their ids take

Side = Literal["source", "target"]
Interventions = Intervention | Sequence[Intervention | None] | None


class LongSourceError(UserError):
    """A sentence, of the source or of a given translation, that is longer than is allowed.

    Attributes:
        index: Where it is in the list that was given, from 0.
        number: Where it is in the whole input, from 1.
        detail: How long it is, how long it may be, and what can be done.
    """

    def __init__(self, index: int, number: int, tokens: int, limit: int, side: Side = "source") -> None:
        """Say which sentence is how long, and how long it may be."""
        self.index = index
        self.number = number
        use = "translated" if side == "source" else "read"
        self.detail = (
            f"{tokens:,} tokens; the longest sentence that is {use} has {limit:,} "
            "(split it, or raise max_source_length)"
        )
        super().__init__(f"{side} sentence {number:,}: {self.detail}")


class Translator:
    """A trained model that translates text.

    >>> translator = Translator.load("runs/demo/model")  # doctest: +SKIP
    >>> translation = translator.translate("I love deep learning")  # doctest: +SKIP
    >>> translation.text, translation.attention["cross"]  # doctest: +SKIP

    Args:
        loaded: A model directory in memory, or an engine that has opened one.
        device: Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; an engine knows already.
        max_source_length: Tokens in the longest sentence that is translated, or forced; a longer one is a
            `LongSourceError`.
    """

    def __init__(
        self,
        loaded: LoadedModel | Opened,
        device: str = "cpu",
        max_source_length: int = DEFAULT_MAX_SOURCE_LENGTH,
    ) -> None:
        """Put the model on its device."""
        if max_source_length < 1:
            raise UserError(f"max_source_length is {max_source_length}; it must be at least 1")
        opened = loaded if isinstance(loaded, Opened) else with_torch(loaded, device)
        self.engine = opened.engine
        if self.engine.longest is not None and max_source_length >= self.engine.longest:
            raise UserError(
                f"max_source_length is {max_source_length:,}; the exported model reads "
                f"{self.engine.longest - 1:,} tokens at most"
            )
        self.source_tokenizer: Tokenizer = opened.source_tokenizer
        self.target_tokenizer: Tokenizer = opened.target_tokenizer
        self.config = opened.config
        self.generation_config = opened.generation_config
        self.fingerprint = opened.fingerprint
        self.max_source_length = max_source_length

    @classmethod
    def load(
        cls,
        directory: str | Path,
        device: str = "cpu",
        max_source_length: int = DEFAULT_MAX_SOURCE_LENGTH,
        engine: str | None = None,
    ) -> "Translator":
        """Load a model directory, what `shisen train --out` wrote, or what `shisen export` made of it.

        Args:
            directory: Which.
            device: Where to compute.
            max_source_length: As of the class.
            engine: ``"torch"``, or ``"ctranslate2"`` for an export to CTranslate2; None: the one that runs
                what the directory holds.

        Raises:
            UserError: The directory or a file in it is missing or damaged, the engine cannot run it, or there
                is no such device.
        """
        return cls(open_engine(directory, engine, device), max_source_length=max_source_length)

    @property
    def model(self) -> DecodableModel:
        """The network, where the engine is PyTorch.

        Raises:
            UserError: The engine is another one.
        """
        model = getattr(self.engine, "model", None)
        if model is None:
            raise UserError(f"the engine {self.engine.name} has no PyTorch network")
        return model

    @overload
    def translate(self, text: str, **options: Any) -> Translation: ...
    @overload
    def translate(self, text: Sequence[str], **options: Any) -> list[Translation]: ...

    def translate(  # type: ignore[misc]  # the options of the overloads are these
        self,
        text: str | Sequence[str],
        *,
        beam_size: int | None = None,
        length_penalty: float | None = None,
        n_best: int = 1,
        max_length: int | None = None,
        min_length: int = 0,
        no_repeat_ngram: int = 0,
        forbid_unknown: bool = False,
        replace_unknown: bool = False,
        sampling: bool = False,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        attention: bool = True,
        intervention: Interventions = None,
        first_number: int = 0,
    ) -> Translation | list[Translation]:
        """Translate a sentence, or a list of them (decoded in batches of similar lengths, returned in order).

        What is None is the model's own setting (``generation_config.json``).

        Args:
            text: A sentence, or several.
            beam_size: Hypotheses kept by beam search; 1 is greedy decoding.
            length_penalty: α in the score Σ log p / ((5 + |y|) / 6)^α; more favours longer translations.
            n_best: Alternatives per sentence, in `Translation.hypotheses`; no more than `beam_size`, if that
                is not `sampling`.
            max_length: Most target tokens, ``</s>`` not counted; the model's own setting is relative to the
                source: `max_length_ratio` (2) × its tokens + 10.
            min_length: Fewest target tokens, ``</s>`` not counted.
            no_repeat_ngram: No n-gram of this size comes twice; 0: any may.
            forbid_unknown: Never produce ``<unk>``.
            replace_unknown: Write the source word that was looked at most in place of each ``<unk>``.
            sampling: Draw tokens by their probabilities, instead of beam search; the next four shape it.
            temperature: Below 1 sharpens the probabilities, above 1 flattens them.
            top_k: Draw from the k likeliest tokens; 0: all.
            top_p: Draw from the fewest likeliest tokens that make up p; 1: all.
            seed: With the number of the sentence it fixes the draws.
            batch_size: Sentences decoded together (fewer where they are long).
            attention: Return the attention. Without, a little less work.
            intervention: What is done to the model's attention meanwhile (`shisen.inspection.cut_heads` and
                the like): one for all texts, or one for each. Tokens of the translation that it names are
                those of the translation without it, which is made first. The maps show the weights that
                were used. Of a model on PyTorch alone.
            first_number: The number of the first text in a longer input, for the draws and for errors.

        Raises:
            LongSourceError: A sentence has more tokens than `max_source_length`; nothing was translated.
            UserError: A setting is out of range, or the intervention names what there is not.
        """
        lengths = LengthLimits(
            max_length
            if max_length is not None
            else generation_setting(self.generation_config, "max_length", None, int),
            min_length,
            generation_setting(self.generation_config, "max_length_ratio", 2.0, float),
        )
        constraints = Constraints(no_repeat_ngram, forbid_unknown)
        length_penalty = self._length_penalty(length_penalty)
        beam_size = (
            beam_size
            if beam_size is not None
            else generation_setting(self.generation_config, "beam_size", 5, int)
        )
        search: BeamOptions | SamplingOptions
        if sampling:
            search = SamplingOptions(temperature, top_k, top_p, n_best, seed, length_penalty)
        else:
            search = BeamOptions(beam_size, length_penalty, n_best)
        decoding = Decoding(search, lengths, constraints, attention or replace_unknown)
        texts = _texts(text)
        sources = self._encode(texts, first_number)
        results = [self._empty(one) for one in texts]
        interventions = _of_each(intervention, len(texts))
        named = [row for row, one in enumerate(interventions) if one is not None and names_target(one)]
        own: dict[int, list[str]] = {}  # what the model writes without the intervention
        for rows in _batches([ids if row in named else [] for row, ids in enumerate(sources)], batch_size):
            numbers = [first_number + row for row in rows]
            found = self.engine.decode([sources[row] for row in rows], numbers, decoding)
            for row, hypotheses in zip(rows, found, strict=True):
                own[row] = self.target_tokenizer.tokens(hypotheses[0].ids)
        for rows in _batches(sources, batch_size):
            numbers = [first_number + row for row in rows]
            edit = self._edit(rows, interventions, sources, own)
            how = decoding if edit is None else replace(decoding, with_attention=True, edit=edit)
            found = self.engine.decode([sources[row] for row in rows], numbers, how)
            for row, hypotheses in zip(rows, found, strict=True):
                results[row] = self._translation(
                    texts[row], sources[row], hypotheses, replace_unknown, attention
                )
        return results[0] if isinstance(text, str) else results

    def translate_stream(
        self, lines: Iterable[str], *, chunk_size: int = 8 * DEFAULT_BATCH_SIZE, **options: Any
    ) -> Iterator[Translation]:
        """Translate any number of lines, in order, with the memory that `chunk_size` of them take.

        Args:
            lines: Sentences, of which `chunk_size` are read before they are translated.
            chunk_size: More of them make batches of more similar lengths.
            options: Those of `translate`.

        Raises:
            UserError: At the sentence that is too long, or where reading fails; the translations of all lines
                before it have been given then.
        """
        return self.translate_chunks(chunked(lines, chunk_size), **options)

    def translate_chunks(self, chunks: Iterable[Sequence[str]], **options: Any) -> Iterator[Translation]:
        """Translate lines that come in chunks, one chunk after the other; see `translate_stream`."""
        number = 0
        for chunk in chunks:
            try:
                yield from self.translate(chunk, **options, first_number=number)
            except LongSourceError as error:
                yield from self.translate(chunk[: error.index], **options, first_number=number)
                raise
            number += len(chunk)

    @overload
    def force(self, source: str, translation: str, **options: Any) -> Translation: ...
    @overload
    def force(
        self, source: Sequence[str], translation: Sequence[str], **options: Any
    ) -> list[Translation]: ...

    def force(  # type: ignore[misc]  # as above
        self,
        source: str | Sequence[str],
        translation: str | Sequence[str],
        *,
        length_penalty: float | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        attention: bool = True,
        intervention: Interventions = None,
        first_number: int = 0,
    ) -> Translation | list[Translation]:
        """Take the model through given translations: their scores, log-probabilities and attention.

        Args:
            source: A sentence, or several.
            translation: The translation of it, or of each.
            length_penalty: α of the score; None: the model's own setting.
            batch_size: Sentences decoded together.
            attention: Return the attention.
            intervention: What is done to the model's attention meanwhile, as of `translate`; tokens that it
                names are those of the given translation.
            first_number: The number of the first source in a longer input, for errors.

        Raises:
            LongSourceError: A source or a translation has more tokens than `max_source_length`.
            UserError: There are not as many translations as sources, or the intervention names what there is
                not.
        """
        if isinstance(source, str) is not isinstance(translation, str):
            raise UserError("source and translation are two strings, or two lists of strings")
        sources, translations = _texts(source), _texts(translation)
        if len(sources) != len(translations):
            raise UserError(f"{len(sources):,} sources, but {len(translations):,} translations")
        length_penalty = self._length_penalty(length_penalty)
        source_ids = self._encode(sources, first_number)
        target_ids = self.target_tokenizer.encode_batch(translations)
        self._check_lengths(map(len, target_ids), "target", first_number)
        results = self._forced(
            sources,
            source_ids,
            translations,
            [[*ids, END] for ids in target_ids],
            length_penalty,
            batch_size,
            attention,
            intervention,
        )
        return results[0] if isinstance(source, str) else results

    def force_tokens(
        self,
        translations: Sequence[Translation],
        *,
        length_penalty: float | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        attention: bool = True,
        intervention: Interventions = None,
    ) -> list[Translation]:
        """Take the model through translations that it has made, token by token as it made them.

        `force` cuts a text into tokens anew, which need not be those that the model chose.

        Args:
            translations: What `translate` returned, of this model or one with its vocabularies.
            length_penalty: As of `force`; so are the others.
            batch_size: Sentences decoded together.
            attention: Return the attention.
            intervention: What is done to the model's attention meanwhile.

        Raises:
            UserError: The intervention names what there is not.
        """
        penalty = self._length_penalty(length_penalty)
        sources = [one.source for one in translations]
        read = [row for row, one in enumerate(translations) if one.tokens]
        interventions = _of_each(intervention, len(translations))
        results = [self._empty(source) for source in sources]
        forced = self._forced(
            [sources[row] for row in read],
            [self.source_tokenizer.ids(translations[row].source_tokens) for row in read],
            [translations[row].text for row in read],
            [self.target_tokenizer.ids(translations[row].tokens) for row in read],
            penalty,
            batch_size,
            attention,
            [interventions[row] for row in read],
        )
        for row, one in zip(read, forced, strict=True):
            results[row] = one
        return results

    def _forced(
        self,
        sources: Sequence[str],
        source_ids: Sequence[list[int]],
        translations: Sequence[str],
        target_ids: list[list[int]],
        length_penalty: float,
        batch_size: int,
        attention: bool,
        intervention: Interventions,
    ) -> list[Translation]:
        """Forced decoding of ids, which end with ``</s>``."""
        results = [self._empty(one) for one in sources]
        interventions = _of_each(intervention, len(sources))
        own = {row: self.target_tokenizer.tokens(ids) for row, ids in enumerate(target_ids)}
        for rows in _batches(list(source_ids), batch_size, target_ids):
            edit = self._edit(rows, interventions, source_ids, own)
            found = self.engine.force(
                [source_ids[row] or [END] for row in rows],
                [target_ids[row] for row in rows],
                length_penalty,
                attention or edit is not None,
                edit,
            )
            for row, hypothesis in zip(rows, found, strict=True):
                forced = self._translation(
                    sources[row], source_ids[row] or [END], [hypothesis], False, attention
                )
                results[row] = replace(forced, text=translations[row])
        return results

    def score(self, source: str, translation: str, length_penalty: float | None = None) -> float:
        """Return the score of a given translation, comparable with `Translation.score`."""
        return self.force(source, translation, length_penalty=length_penalty, attention=False).score

    def check_lengths(self, sources: Sequence[str], translations: Sequence[str] = ()) -> None:
        """Look for sentences that `translate` or `force` would refuse, before either has worked for nothing.

        Raises:
            LongSourceError: A source or a translation has more tokens than `max_source_length`.
        """
        sides: tuple[tuple[Side, Tokenizer, Sequence[str]], ...] = (
            ("source", self.source_tokenizer, sources),
            ("target", self.target_tokenizer, translations),
        )
        for side, tokenizer, texts in sides:
            chunks = chunked(texts, _CHECKED_TOGETHER)
            self._check_lengths((len(ids) for chunk in chunks for ids in tokenizer.encode_batch(chunk)), side)

    def _encode(self, texts: list[str], first_number: int) -> list[list[int]]:
        """The source ids of each text with ``</s>``; none at all of an empty text."""
        sentences = self.source_tokenizer.encode_batch(texts)
        self._check_lengths(map(len, sentences), "source", first_number)
        return [[*ids, END] if ids else [] for ids in sentences]

    def _check_lengths(self, lengths: Iterable[int], side: Side, first_number: int = 0) -> None:
        limit = self.max_source_length
        for index, length in enumerate(lengths):
            if length > limit:
                raise LongSourceError(index, first_number + index + 1, length, limit, side)

    def _edit(
        self,
        rows: Sequence[int],
        interventions: Sequence[Intervention | None],
        sources: Sequence[Sequence[int]],
        targets: Mapping[int, Sequence[str]],
    ) -> Any:
        """What changes the attention in the sentences of a batch; None where nothing does.

        Args:
            rows: Which sentences these are.
            interventions: Of all sentences.
            sources: The ids of all.
            targets: The tokens of the translations that are known.
        """
        if all(interventions[row] is None for row in rows):
            return None
        from shisen.inspection.intervention_edit import edit_of

        heads = getattr(self.model, "attention_heads", {})
        done = []
        for row in rows:
            intervention = interventions[row]
            if intervention is not None:
                tokens = self.source_tokenizer.tokens(sources[row] or [END])
                intervention = resolved(intervention, tokens, targets.get(row, ()))
            done.append(intervention)
        return edit_of(done, heads)

    def _empty(self, source: str) -> Translation:
        return Translation("", (), source, (), 0.0, (), {}, self.fingerprint)

    def _translation(
        self,
        source: str,
        source_ids: list[int],
        hypotheses: list[Hypothesis],
        replace_unknown: bool,
        with_attention: bool,
    ) -> Translation:
        """Build the result of one sentence from what decoding found."""
        source_tokens = tuple(self.source_tokenizer.tokens(source_ids))
        alternatives = []
        for found in hypotheses:
            tokens = self.target_tokenizer.tokens(found.ids)
            if replace_unknown and UNKNOWN in found.ids:
                tokens = self._without_unknown(source, found, tokens)
            metadata = {"model": self.fingerprint, "score": found.score, **self.engine.map_metadata}
            produced = tuple(tokens)
            read = (*self.target_tokenizer.tokens([BEGIN]), *produced[:-1])
            axes = {
                "cross": (produced, source_tokens),
                "encoder": (source_tokens, source_tokens),
                "decoder": (produced, read),
            }
            maps = {
                kind: AttentionMap(weights, *axes[kind], cast(Any, kind), metadata)
                for kind, weights in (found.attention if with_attention else {}).items()
            }
            words = [token for token, id in zip(tokens, found.ids, strict=True) if id != END]
            text = self.target_tokenizer.detokenize(words)
            alternatives.append(
                Translation(
                    text,
                    tuple(tokens),
                    source,
                    source_tokens,
                    found.score,
                    found.log_probabilities,
                    maps,
                    self.fingerprint,
                )
            )
        return replace(alternatives[0], hypotheses=tuple(alternatives))

    def _without_unknown(self, source: str, found: Hypothesis, tokens: list[str]) -> list[str]:
        """The tokens, with the source word that was looked at most in place of each ``<unk>``.

        What was looked at is the mean over layers and heads; ``</s>`` is no word. A model without attention
        looks at nothing, and ``<unk>`` stays.
        """
        weights = found.attention["cross"].mean(axis=(0, 1))[:, :-1]  # [queries, source words]
        surfaces = self.source_tokenizer.surfaces(source)
        return [
            self.target_tokenizer.as_word(surfaces[int(np.argmax(row))])
            if id == UNKNOWN and row.any()
            else token
            for id, token, row in zip(found.ids, tokens, weights, strict=True)
        ]

    def _length_penalty(self, asked: float | None) -> float:
        penalty = (
            float(asked)
            if asked is not None
            else generation_setting(self.generation_config, "length_penalty", 1.0, float)
        )
        check_length_penalty(penalty)
        return penalty


def _of_each(given: Interventions, texts: int) -> list[Intervention | None]:
    """The intervention of every text."""
    if given is None or isinstance(given, Intervention):
        return [given] * texts
    if len(given) != texts:
        raise UserError(f"{len(given):,} interventions, but {texts:,} texts")
    return list(given)


def _texts(text: str | Sequence[str]) -> list[str]:
    """A list of texts from one or several."""
    return [text] if isinstance(text, str) else list(text)


def _batches(
    sources: list[list[int]], batch_size: int, targets: list[list[int]] | None = None
) -> Iterator[list[int]]:
    """The rows of each batch, of similar lengths, the longest first; what has no source is left out.

    With `targets` (forced decoding) an empty source has its place too.
    """
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1")
    lengths = [len(ids) for ids in sources]
    if targets is not None:
        lengths = [max(1, length, len(ids)) for length, ids in zip(lengths, targets, strict=True)]
    rows = sorted((row for row, length in enumerate(lengths) if length), key=lambda row: (-lengths[row], row))
    start = 0
    while start < len(rows):
        size = max(1, min(batch_size, _MOST_SOURCE_TOKENS // lengths[rows[start]]))
        yield rows[start : start + size]
        start += size
