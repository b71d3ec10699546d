"""What a `Translator` asks of an engine: to search for translations, and to read given ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from shisen.decoding import BeamOptions, Constraints, Hypothesis, LengthLimits, SamplingOptions


@dataclass(frozen=True)
class Decoding:
    """How translations are searched for.

    Attributes:
        search: Beam search (greedy with a beam of 1) or sampling, and its settings.
        lengths: How long a translation may become.
        constraints: Tokens that may not come.
        with_attention: Whether hypotheses bring their attention.
        edit: What changes the attention of a network of this package, for the sentences of one batch (a
            `shisen.models.AttentionEdit`); None: nothing does.
    """

    search: BeamOptions | SamplingOptions
    lengths: LengthLimits
    constraints: Constraints
    with_attention: bool
    edit: Any = None


@runtime_checkable
class Engine(Protocol):
    """A loaded model that turns source ids into hypotheses. Sentences end with ``</s>`` on both sides."""

    @property
    def name(self) -> str:
        """What it is called: "torch", "ctranslate2"."""

    @property
    def longest(self) -> int | None:
        """The most tokens of a sentence, ``</s>`` counted; None: any number."""

    @property
    def map_metadata(self) -> Mapping[str, str | int | float]:
        """What an attention map of this engine has to say of its layers and heads."""

    def decode(
        self, sources: Sequence[Sequence[int]], numbers: Sequence[int], decoding: Decoding
    ) -> list[list[Hypothesis]]:
        """Search for translations of a batch.

        Args:
            sources: The ids of each sentence.
            numbers: The sentences' numbers in the whole input, for draws.
            decoding: How.

        Returns:
            For each sentence its hypotheses, the best score first.
        """

    def force(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        length_penalty: float,
        with_attention: bool,
        edit: Any = None,
    ) -> list[Hypothesis]:
        """Read given translations of a batch.

        Args:
            sources: The ids of each sentence.
            targets: The ids of its translation.
            length_penalty: α of the score.
            with_attention: Whether hypotheses bring their attention.
            edit: What changes the attention, as of `Decoding`.

        Raises:
            UserError: There is an edit, and the engine takes none.
        """
