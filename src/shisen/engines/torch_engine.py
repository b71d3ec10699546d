"""The engine of this package: its own networks and its own decoding, on PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from shisen.data.vocabulary import BEGIN, PADDING
from shisen.decoding import DecodableModel, Hypothesis, SamplingOptions, beam_search, force, greedy, sample
from shisen.devices import find_device
from shisen.engines.interface import Decoding


class TorchEngine:
    """A network of this package, and what decodes with it.

    Args:
        model: The network.
        device: Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Raises:
        UserError: There is no such device.
    """

    name = "torch"
    longest: int | None = None
    map_metadata: Mapping[str, str | int | float] = {}

    def __init__(self, model: nn.Module, device: str | torch.device = "cpu") -> None:
        self.device = find_device(device)
        self.model = cast(DecodableModel, model.to(self.device).eval())

    def decode(
        self, sources: Sequence[Sequence[int]], numbers: Sequence[int], decoding: Decoding
    ) -> list[list[Hypothesis]]:
        """Search for translations of a batch; see `Engine`."""
        source, mask = self._padded(sources)
        lengths, constraints = decoding.lengths, decoding.constraints
        search, with_attention = decoding.search, decoding.with_attention
        if isinstance(search, SamplingOptions):
            return sample(
                self.model,
                source,
                mask,
                search,
                numbers=numbers,
                lengths=lengths,
                constraints=constraints,
                with_attention=with_attention,
                edit=decoding.edit,
            )
        if search.beam_size > 1:
            return beam_search(
                self.model,
                source,
                mask,
                search,
                lengths=lengths,
                constraints=constraints,
                with_attention=with_attention,
                edit=decoding.edit,
            )
        found = greedy(
            self.model,
            source,
            mask,
            lengths=lengths,
            constraints=constraints,
            length_penalty=search.length_penalty,
            with_attention=with_attention,
            edit=decoding.edit,
        )
        return [[hypothesis] for hypothesis in found]

    def force(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        length_penalty: float,
        with_attention: bool,
        edit: Any = None,
    ) -> list[Hypothesis]:
        """Read given translations of a batch; see `Engine`."""
        source, mask = self._padded(sources)
        target, _ = self._padded([[BEGIN, *ids] for ids in targets])
        return force(
            self.model,
            source,
            mask,
            target,
            length_penalty=length_penalty,
            with_attention=with_attention,
            edit=edit,
        )

    def _padded(self, sentences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """([batch, length] ids, [batch, length] mask) on the model's device."""
        longest = max(map(len, sentences))
        rows = [[*ids] + [PADDING] * (longest - len(ids)) for ids in sentences]
        padded = torch.tensor(rows, device=self.device)
        return padded, padded != PADDING
