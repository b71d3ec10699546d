"""Attribution in the place of attention: which source tokens decided each target token, as a map.

    w_ti = ‖∂ log p(y_t | y_<t, x) / ∂x_i‖₂ / Σ_j ‖∂ log p(y_t | y_<t, x) / ∂x_j‖₂

with the embedding x_i of source token i (Simonyan et al. 2014; for alignment Ding, Xu and Koehn,
"Saliency-driven word alignment interpretation for neural machine translation", WMT 2019,
https://arxiv.org/abs/1906.10282). With "gradient_input" it is |x_i · ∂ log p / ∂x_i|, which is Ding's word
saliency but for its sign and its smoothing by noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from shisen.data.vocabulary import BEGIN, END
from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.faithfulness.attributions import gradients

ATTRIBUTIONS = ("gradient", "gradient_input")


def attribution_maps(
    translator: Any, sources: Sequence[str], targets: Sequence[str], attribution: str = "gradient"
) -> Iterator[AttentionMap]:
    """Maps of given translations with attributions as weights: one layer, one head, rows that sum to 1.

    Args:
        translator: A `shisen.Translator` with a network of PyTorch.
        sources: Sentences.
        targets: The translation of each, which the model is taken through.
        attribution: "gradient" or "gradient_input"; see the head of this module.

    Raises:
        UserError: There is no such attribution, or it is not known where the model embeds its source.
    """
    if attribution not in ATTRIBUTIONS:
        raise UserError(f"an attribution is one of {', '.join(ATTRIBUTIONS)}, not {attribution!r}")
    model = translator.model
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    device = next((parameter.device for parameter in parameters), torch.device("cpu"))
    metadata = {"model": translator.fingerprint, "attribution": attribution}
    for source, target in zip(sources, targets, strict=True):
        source_ids = [*translator.source_tokenizer.encode(source), END]
        target_ids = [*translator.target_tokenizer.encode(target), END]
        found = gradients(
            model,
            torch.tensor(source_ids, device=device),
            torch.tensor([BEGIN, *target_ids], device=device),
            torch.tensor(target_ids, device=device),
        )
        weights = getattr(found, attribution).abs().double().cpu().numpy()  # [steps, keys]
        totals = weights.sum(axis=1, keepdims=True)
        yield AttentionMap.from_arrays(
            np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0),
            translator.target_tokenizer.tokens(target_ids),
            translator.source_tokenizer.tokens(source_ids),
            metadata=metadata,
        )
