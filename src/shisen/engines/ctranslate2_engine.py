"""CTranslate2 as the engine: a Transformer that `shisen export --to ctranslate2` wrote.

It searches in its own way, and what it finds is then read by the same model in one pass, as forced decoding
does, for the log-probability of each token. So scores are those of `shisen.decoding`, Σ log p / ((5 + |y|) /
6)^α, and n-best lists are sorted by them. What differs is which hypotheses its beam search comes upon:

* here a finished hypothesis keeps its place in the beam, there another takes it;
* here the search ends when nothing better can follow, there when twice as many hypotheses are finished as the
  beam has places (`_PATIENCE`); α does not steer it but where it is 0;
* samples are drawn from the same distributions, but by another generator, a batch at a time.

Greedy decoding is the same but for the last bits of the numbers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END, PADDING, SPECIAL_TOKENS
from shisen.decoding import BeamOptions, Hypothesis, LengthLimits, SamplingOptions, length_normaliser
from shisen.engines.interface import Decoding
from shisen.errors import UserError
from shisen.export.manifest import Manifest, check_details

_PATIENCE = 2
"""How many times the beam's places have to be finished. Of 500 sentences of the Tanaka corpus with a beam of
5, CTranslate2's default of 1 leaves 22 with a translation that scores lower than ours, 2 leaves 1; it takes a
ninth more time."""

_NEVER = [[SPECIAL_TOKENS[PADDING]], [SPECIAL_TOKENS[BEGIN]]]

Ids = Sequence[int]


class CTranslate2Engine:
    """A model of CTranslate2, and what decodes with it.

    Its attention is the mean over the heads of the last decoder layer, to the source alone.

    Args:
        directory: What `shisen export --to ctranslate2` wrote.
        manifest: What the directory says of itself.
        source_tokenizer: The vocabulary of the source.
        target_tokenizer: That of the target.
        device: Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Raises:
        UserError: CTranslate2 is not installed, the directory is damaged, or there is no such device.
    """

    name = "ctranslate2"

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        device: str = "cpu",
    ) -> None:
        check_details(directory, manifest, {"positions": (int, type(None)), "attention": dict})
        self.device = device
        self.longest: int | None = manifest.details["positions"]
        attention = manifest.details["attention"]
        self.map_metadata: Mapping[str, str | int | float] = {
            "engine": self.name,
            "layer": attention.get("layer", "last"),
            "heads": f"mean of {attention.get('heads', 'all')}",
        }
        self._source_tokenizer, self._target_tokenizer = source_tokenizer, target_tokenizer
        self._target_ids = {
            token: id for id, token in enumerate(target_tokenizer.tokens(range(len(target_tokenizer))))
        }
        self._directory = directory
        self._translator = self._load()

    def decode(
        self, sources: Sequence[Ids], numbers: Sequence[int], decoding: Decoding
    ) -> list[list[Hypothesis]]:
        """Search for translations of a batch; see `Engine`."""
        _refuse(decoding.edit)
        limits = [self._limit(len(ids), decoding.lengths) for ids in sources]
        if isinstance(decoding.search, SamplingOptions):
            wanted = decoding.search.samples
            found = self._sample(sources, numbers, limits, decoding, decoding.search)
        elif decoding.search.beam_size == 1:
            wanted = 1
            found = self._greedy(sources, limits, decoding)
        else:
            wanted = decoding.search.n_best
            found = self._beam_search(sources, limits, decoding, decoding.search)
        rows = [row for row, ids in enumerate(found) for _ in ids]
        read = self.force(
            [sources[row] for row in rows],
            [ids for hypotheses in found for ids in hypotheses],
            decoding.search.length_penalty,
            with_attention=False,
        )
        results: list[list[Hypothesis]] = [[] for _ in sources]
        for row, hypothesis in zip(rows, read, strict=True):
            results[row].append(hypothesis)
        results = [sorted(one, key=lambda found: -found.score)[:wanted] for one in results]
        return self._with_attention(sources, results) if decoding.with_attention else results

    def force(
        self,
        sources: Sequence[Ids],
        targets: Sequence[Ids],
        length_penalty: float,
        with_attention: bool,
        edit: Any = None,
    ) -> list[Hypothesis]:
        """Read given translations of a batch; see `Engine`."""
        _refuse(edit)
        scored = self._translator.score_batch(
            self._source_tokens(sources),
            [self._target_tokens(ids[:-1]) for ids in targets],
            max_input_length=0,
        )
        hypotheses = []
        for ids, one in zip(targets, scored, strict=True):
            log_probabilities = tuple(map(float, one.log_probs))
            score = sum(log_probabilities) / length_normaliser(float(len(ids)), length_penalty)
            hypotheses.append(Hypothesis(tuple(ids), score, log_probabilities))
        if not with_attention:
            return hypotheses
        return [one for [one] in self._with_attention(sources, [[one] for one in hypotheses])]

    # ---------------------------------------------------------------- the three ways of decoding

    def _greedy(self, sources: Sequence[Ids], limits: list[int], decoding: Decoding) -> list[list[Ids]]:
        results = self._search(sources, max(limits), decoding, beam_size=1)
        return [[_ended(one[0][0], limit)] for one, limit in zip(results, limits, strict=True)]

    def _sample(
        self,
        sources: Sequence[Ids],
        numbers: Sequence[int],
        limits: list[int],
        decoding: Decoding,
        options: SamplingOptions,
    ) -> list[list[Ids]]:
        """Draw. The engine's generator is seeded when it is made, so each batch has an engine of its own."""
        if options.top_k == 1:
            return [one * options.samples for one in self._greedy(sources, limits, decoding)]
        import ctranslate2

        drawn_from = np.random.default_rng([options.seed, *numbers])
        ctranslate2.set_random_seed(int(drawn_from.integers(2**31)))
        results = self._search(
            sources,
            max(limits),
            decoding,
            translator=self._load(),
            beam_size=1,
            num_hypotheses=options.samples,
            sampling_topk=min(options.top_k, len(self._target_tokenizer)),
            sampling_topp=options.top_p,
            sampling_temperature=options.temperature,
        )
        return [[_ended(ids, limit) for ids, _ in one] for one, limit in zip(results, limits, strict=True)]

    def _beam_search(
        self, sources: Sequence[Ids], limits: list[int], decoding: Decoding, options: BeamOptions
    ) -> list[list[Ids]]:
        """The likeliest hypotheses of each sentence, one at least for each that is wanted.

        A batch has one limit there. A sentence whose hypotheses outgrow its own is searched for once more.
        """
        beams: dict[str, Any] = {
            "beam_size": options.beam_size,
            "num_hypotheses": _PATIENCE * options.beam_size,
            "patience": _PATIENCE,
            "length_penalty": options.length_penalty,
        }
        results = self._search(sources, max(limits), decoding, **beams)
        too_long: dict[int, list[int]] = {}
        for row, (found, limit) in enumerate(zip(results, limits, strict=True)):
            if limit < max(limits) and any(len(ids) - (ids[-1:] == (END,)) > limit for ids, _ in found):
                too_long.setdefault(limit, []).append(row)
        for limit, rows in too_long.items():
            again = self._search([sources[row] for row in rows], limit, decoding, **beams)
            for row, found in zip(rows, again, strict=True):
                results[row] = found
        return [self._best(found, options) for found in results]

    def _best(self, found: list[tuple[tuple[int, ...], float]], options: BeamOptions) -> list[Ids]:
        """As many as are wanted, by our score; all, where the score of one that has not ended is unknown."""
        if any(ids[-1:] != (END,) for ids, _ in found):
            return [_ended(ids, len(ids)) for ids, _ in found]
        ranked = sorted(
            found,
            key=lambda one: (
                -one[1]
                * len(one[0]) ** options.length_penalty
                / length_normaliser(float(len(one[0])), options.length_penalty)
            ),
        )
        return [ids for ids, _ in ranked[: options.n_best]]

    def _search(
        self, sources: Sequence[Ids], limit: int, decoding: Decoding, translator: Any = None, **options: Any
    ) -> list[list[tuple[tuple[int, ...], float]]]:
        """(ids, CTranslate2's score) of what it finds for each sentence."""
        results = (translator or self._translator).translate_batch(
            self._source_tokens(sources),
            max_input_length=0,
            max_decoding_length=limit,
            min_decoding_length=decoding.lengths.min_length,
            no_repeat_ngram_size=decoding.constraints.no_repeat_ngram,
            disable_unk=decoding.constraints.forbid_unknown,
            suppress_sequences=_NEVER,
            return_end_token=True,
            return_scores=True,
            **options,
        )
        return [
            [
                (tuple(self._target_ids[token] for token in tokens), score)
                for tokens, score in zip(one.hypotheses, one.scores, strict=True)
            ]
            for one in results
        ]

    # ---------------------------------------------------------------- attention

    def _with_attention(
        self, sources: Sequence[Ids], found: list[list[Hypothesis]]
    ) -> list[list[Hypothesis]]:
        """The hypotheses with their attention: what the engine looks at when it is made to write them."""
        rows = [row for row, hypotheses in enumerate(found) for _ in hypotheses]
        flat = [hypothesis for hypotheses in found for hypothesis in hypotheses]
        prefixes = [self._target_tokens(hypothesis.ids[:-1]) for hypothesis in flat]
        results = self._translator.translate_batch(
            self._source_tokens([sources[row] for row in rows]),
            target_prefix=prefixes,
            beam_size=1,
            max_input_length=0,
            max_decoding_length=max(map(len, prefixes)) + 1,
            min_decoding_length=0,
            return_attention=True,
            return_end_token=True,
        )
        finished: list[list[Hypothesis]] = [[] for _ in found]
        for row, hypothesis, result in zip(rows, flat, results, strict=True):
            queries, keys = len(hypothesis.ids), len(sources[row])
            if keys == 1:  # it passes over an empty source, whose </s> is all there is to look at
                weights = np.ones((queries, 1), np.float32)
            else:
                weights = np.asarray(result.attention[0][:queries], np.float32)[:, :keys]
            attention = {"cross": weights[None, None]}  # [layers, heads, queries, keys]
            finished[row].append(
                Hypothesis(hypothesis.ids, hypothesis.score, hypothesis.log_probabilities, attention)
            )
        return finished

    # ---------------------------------------------------------------- tokens, limits, loading

    def _source_tokens(self, sentences: Sequence[Ids]) -> list[list[str]]:
        return [self._source_tokenizer.tokens(ids) for ids in sentences]

    def _target_tokens(self, ids: Ids) -> list[str]:
        return self._target_tokenizer.tokens(ids)

    def _limit(self, source_length: int, lengths: LengthLimits) -> int:
        """The most tokens of a translation, </s> not counted."""
        limit = lengths.of_length(source_length)
        if self.longest is None or limit < self.longest:
            return limit
        if lengths.max_length is not None or lengths.min_length >= self.longest:
            asked = lengths.min_length if lengths.max_length is None else lengths.max_length
            raise UserError(
                f"a translation of {asked:,} tokens is longer than the exported model can make: "
                f"{self.longest - 1:,}"
            )
        return self.longest - 1

    def _load(self) -> Any:
        try:
            import ctranslate2
        except ImportError:
            raise UserError(
                'the engine ctranslate2 needs an extra: pip install "shisen[ctranslate2]"'
            ) from None
        kind, _, index = str(self.device).partition(":")
        if index and not index.isdecimal():
            raise UserError(f"there is no device {str(self.device)!r} here (the GPU's number is {index!r})")
        try:
            return ctranslate2.Translator(str(self._directory), kind, device_index=int(index or 0))
        except (ValueError, RuntimeError) as error:
            if "device" in str(error) or "CUDA" in str(error):
                raise UserError(f"there is no device {str(self.device)!r} here ({error})") from None
            raise UserError(
                f"{self._directory} cannot be loaded by CTranslate2 ({error}): export the model again"
            ) from error


def _ended(ids: Ids, limit: int) -> tuple[int, ...]:
    """At most `limit` of the ids, and </s> behind them."""
    words = tuple(ids[:-1] if ids and ids[-1] == END else ids)
    return (*words[:limit], END)


def _refuse(edit: Any) -> None:
    """CTranslate2 computes attention in kernels of its own, which nothing can be put into."""
    if edit is not None:
        raise UserError("CTranslate2 takes no intervention; use the model directory that was exported")
