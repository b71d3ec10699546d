"""What every step chose, kept as backpointers and followed once, at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shisen.decoding.hypothesis import Hypothesis, length_normaliser
from shisen.errors import RunError


@dataclass(frozen=True)
class Step:
    """One step of every sentence still in the batch.

    Attributes:
        sentences: ``[rows]``: which sentence each row belongs to.
        tokens: ``[rows, slots]``: the token chosen for each slot.
        log_probabilities: ``[rows, slots]``: the model's log-probability of that token.
        parents: ``[rows, slots]``: the slot of the step before that it continues; None: the same slot.
        attention: By kind ``[rows, beams, layers, heads, keys]``, indexed by the parents' slots. The keys are
            the source tokens, or of ``"decoder"`` the tokens read so far: those that the first step found
            read, its own, and one more at each step.
    """

    sentences: Int[Tensor, " rows"]
    tokens: Int[Tensor, "rows slots"]
    log_probabilities: Float[Tensor, "rows slots"]
    parents: Int[Tensor, "rows slots"] | None
    attention: Mapping[str, Float[Tensor, "rows beams layers heads _"]]


@dataclass
class History:
    """All steps of a search, and where in them each finished hypothesis ended.

    Nothing is moved while the search runs: a hypothesis is a chain of slots, read backwards by `hypotheses`.

    Attributes:
        source_attention: The weights within the source, by kind ``[batch, layers, heads, keys, keys]``.
    """

    source_attention: Mapping[str, Float[Tensor, "batch layers heads keys keys"]] = field(
        default_factory=dict
    )
    steps: list[Step] = field(default_factory=list)
    ends: list[Int[Tensor, "3 ended"]] = field(default_factory=list)

    def append(self, step: Step, has_ended: Bool[Tensor, "rows slots"]) -> None:
        """Add a step, and note which of its slots hold a hypothesis that is complete with it."""
        self.steps.append(step)
        row, slot = has_ended.nonzero(as_tuple=True)
        number = torch.full_like(row, len(self.steps) - 1)
        self.ends.append(torch.stack([step.sentences[row], number, slot]))

    def hypotheses(
        self, mask: Bool[Tensor, "batch length"], length_penalty: float, n_best: int
    ) -> list[list[Hypothesis]]:
        """Return each sentence's `n_best` finished hypotheses, best first; of equals, the first to finish.

        Args:
            mask: The source's mask, for the number of sentences and of each one's keys.
            length_penalty: α of `length_normaliser`.
            n_best: How many to keep of each sentence.

        Raises:
            RunError: A sentence has none: the model gives numbers that are not numbers.
        """
        source_lengths = mask.sum(1).tolist()
        sentence, last, slot = torch.cat(self.ends, dim=1).cpu().numpy()  # [ended] each
        chains = self._follow(len(source_lengths), sentence, last, slot)
        scores = chains.log_probabilities.sum(1) / length_normaliser(last + 1.0, length_penalty)

        best: list[list[int]] = [[] for _ in source_lengths]
        for ended in np.lexsort((slot, last, -scores)):
            if len(best[sentence[ended]]) < n_best and np.isfinite(scores[ended]):
                best[sentence[ended]].append(int(ended))
        if not all(best):
            raise RunError(
                "the model's scores are not finite numbers, so it cannot translate; its training has failed"
            )

        chosen = np.array([ended for row in best for ended in row])
        attention = self._attention(chains.rows[chosen], chains.beams[chosen], last[chosen])
        place = {ended: number for number, ended in enumerate(chosen.tolist())}
        return [
            [
                Hypothesis(
                    ids=tuple(chains.ids[ended, : last[ended] + 1].tolist()),
                    score=float(scores[ended]),
                    log_probabilities=tuple(chains.log_probabilities[ended, : last[ended] + 1].tolist()),
                    attention={
                        kind: _of_one(
                            weights[place[ended]],
                            int(last[ended]) + 1,
                            weights.shape[-1]
                            - (weights.shape[1] - 1 - int(last[ended]))  # as many steps less
                            if kind == "decoder"
                            else source_length,
                        )
                        for kind, weights in attention.items()
                    }
                    | {
                        kind: weights[number][..., :source_length, :source_length]
                        .float()
                        .cpu()
                        .numpy()
                        .copy()
                        for kind, weights in self.source_attention.items()
                    },
                )
                for ended in row
            ]
            for number, (row, source_length) in enumerate(zip(best, source_lengths, strict=True))
        ]

    def _follow(self, batch: int, sentence: np.ndarray, last: np.ndarray, slot: np.ndarray) -> "_Chains":
        """Read the chains that end at these (sentence, step, slot), all at once, from the last step back."""
        shape = (len(sentence), len(self.steps))
        chains = _Chains(*(np.zeros(shape, dtype=dtype) for dtype in (int, float, int, int)))
        slot = slot.copy()
        for number in reversed(range(len(self.steps))):
            step = self.steps[number]
            row_of_sentence = np.zeros(batch, dtype=int)
            row_of_sentence[step.sentences.cpu().numpy()] = np.arange(len(step.sentences))
            live = np.flatnonzero(last >= number)  # the chains that reach this far
            row, here = row_of_sentence[sentence[live]], slot[live]
            chains.ids[live, number] = step.tokens.cpu().numpy()[row, here]
            chains.log_probabilities[live, number] = step.log_probabilities.cpu().numpy()[row, here]
            if step.parents is not None:
                here = slot[live] = step.parents.cpu().numpy()[row, here]
            chains.rows[live, number] = row
            chains.beams[live, number] = here
        return chains

    def _attention(self, rows: np.ndarray, beams: np.ndarray, last: np.ndarray) -> dict[str, np.ndarray]:
        """Gather the weights of these chains: by kind ``[chains, steps, layers, heads, keys]``."""
        attention: dict[str, np.ndarray] = {}
        steps = int(last.max()) + 1
        for number, step in enumerate(self.steps[:steps]):
            live = np.flatnonzero(last >= number)
            for kind, tensor in step.attention.items():
                weights = tensor.float().cpu().numpy()[rows[live, number], beams[live, number]]
                keys = weights.shape[-1]  # [live, layers, heads, keys]
                if kind not in attention:
                    most = keys + steps - 1 if kind == "decoder" else keys
                    shape = (len(last), steps, *weights.shape[1:-1], most)
                    attention[kind] = np.zeros(shape, np.float32)
                attention[kind][live, number, ..., :keys] = weights
        return attention


@dataclass
class _Chains:
    """Finished hypotheses, each ``[ended, steps]``; zero beyond a hypothesis's last step."""

    ids: np.ndarray
    log_probabilities: np.ndarray
    rows: np.ndarray  # where in the batch its sentence was at each step
    beams: np.ndarray  # which beam it continued at each step


def _of_one(weights: np.ndarray, queries: int, keys: int) -> np.ndarray:
    """[steps, layers, heads, padded keys] -> [layers, heads, queries, keys], in memory of its own."""
    return np.ascontiguousarray(weights[:queries, ..., :keys].transpose(1, 2, 0, 3))
