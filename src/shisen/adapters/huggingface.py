"""The attention of any Hugging Face transformers model for a text or an image, as `AttentionMap`s."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from shisen.adapters.attention_capture import (
    Captured,
    capture_attention,
    eager_attention,
    evaluating,
    no_map,
)
from shisen.adapters.attention_places import has_two_sides, is_pretrained_model
from shisen.adapters.choice import Choice
from shisen.adapters.readable_tokens import readable_tokens
from shisen.adapters.reading import (
    Reading,
    Sides,
    batch_of,
    patch_names,
    read_image,
    read_text,
)
from shisen.adapters.writing import Writing, decoder_inputs, forced, generated
from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap, Kind

DEFAULT_BATCH_SIZE = 8
"""Texts that are read together."""

ROWS = ("produced", "read")
"""What a row of a decoder can be."""

Maps = dict[str, AttentionMap]


def from_huggingface(
    model: Any,
    tokenizer: Any,
    text: Any,
    target: Any = None,
    generation: Mapping[str, Any] | None = None,
    kinds: Collection[str] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    rows: str = "produced",
    batch_size: int = DEFAULT_BATCH_SIZE,
    first_number: int = 0,
) -> Maps | list[Maps]:
    """What a model of transformers looks at when it reads a text or an image.

    The model forms its attention weights for this call alone (``eager``, without dropout and gradients), and
    is left as it was. Of a model that generates, the text is first written as the model always does, and the
    model is then taken through the best hypothesis, which gives the weights of every step of that beam.

    Args:
        model: A ``PreTrainedModel``: an encoder (BERT, ViT), a decoder (GPT-2, Llama), or both (T5, BART,
            Marian, a vision encoder–decoder).
        tokenizer: Its tokenizer; for images its image processor; for both a processor, or a pair of what
            reads and what writes, as of models with two vocabularies.
        text: A text, or an image (of Pillow, an array, the path of a file). A list of them: their maps are a
            list too.
        target: For a model with two sides the text that it is taken through, for a list one each. None:
            its own.
        generation: Options of ``model.generate``, such as ``{"num_beams": 4}``. A decoder goes on with the
            text only where they are given (``{}``: as its own settings say).
        kinds: Only these: ``encoder``, ``decoder``, ``cross``. None: all that the model has.
        layers: Only these of each kind, counted from 0, or from the end with negative numbers. None: all.
        heads: Only these of each layer, counted likewise. None: all. With ``layers``, this bounds the memory
            that long texts take.
        rows: What a row of a decoder is: the token ``produced``, as everywhere in shisen, or the token
            ``read`` before it, as other viewers have it. Of a model without an encoder nothing is produced
            after the last token, so that ``produced`` has one row and one column less.
        batch_size: Texts that are read together. Filling up is not in the maps.
        first_number: How many texts came before these, for the numbers that errors name, which count from 1.

    Returns:
        By kind, a map: ``encoder`` (the text looks at itself), ``cross`` (the target looks at the text), and
        ``decoder`` (the target, or the text of a model with a decoder alone, looks at what came before). The
        columns of ``decoder`` are what the decoder reads. Nothing where the text has no tokens. The metadata
        are the name of the ``model``, the ``output`` that it wrote, the chosen ``layers`` and ``heads``, and
        of images ``patch_rows``, ``patch_columns`` and ``first_patch``.

    Raises:
        UserError: The model has no attention weights that fit its input, a text is too long, or an option
            does not belong to this kind of model.
    """
    if not is_pretrained_model(model):
        raise UserError(f"a model of transformers is expected, not a {type(model).__name__}")
    if rows not in ROWS:
        raise UserError(f"rows are {' or '.join(ROWS)}, not {rows!r}")
    is_list = isinstance(text, (list, tuple))
    texts = list(text) if is_list else [text]
    targets = _targets(target, len(texts), is_list)
    sides = Sides.of(tokenizer)
    _check_fits(model, targets, generation)
    reader = _Reader(model, sides, Choice(kinds, layers, heads), rows, generation)
    found: list[Maps] = []
    with evaluating(model):
        for start in range(0, len(texts), max(1, batch_size)):
            part = slice(start, start + max(1, batch_size))
            found += reader.maps_of(
                texts[part], None if targets is None else targets[part], first_number + start + 1
            )
    return found if is_list else found[0]


def _targets(target: Any, count: int, is_list: bool) -> list[Any] | None:
    """A target for each text, or None."""
    if target is None:
        return None
    targets = list(target) if is_list and not isinstance(target, str) else [target]
    if len(targets) != count:
        raise UserError(f"each text has a target: there are {count} texts and {len(targets)} targets")
    return targets


def _check_fits(model: Any, targets: Sequence[Any] | None, generation: Mapping[str, Any] | None) -> None:
    """Refuse what the model has no use for."""
    if targets is not None and generation is not None:
        raise UserError("a target and generation exclude each other: one is given, the other written")
    if has_two_sides(model):
        return
    name = type(model).__name__
    if targets is not None:
        raise UserError(f"{name} has one side, which reads the text; leave the target out")
    if generation is not None and not model.can_generate():
        raise UserError(f"{name} generates no text; leave generation out")


class _Reader:
    """Takes a model through texts, a batch at a time."""

    def __init__(
        self, model: Any, sides: Sides, choice: Choice, rows: str, generation: Mapping[str, Any] | None
    ) -> None:
        self.model = model
        self.sides = sides
        self.choice = choice
        self.rows = rows
        self.generation = generation
        pad = getattr(sides.reader, "pad_token_id", None)
        self.padding = {"input_ids": 0 if pad is None else pad}

    def maps_of(self, texts: Sequence[Any], targets: Sequence[Any] | None, first: int) -> list[Maps]:
        """The maps of each text; the first has this number in the errors."""
        if self.sides.reads_images:
            readings = [read_image(self.sides.reader, text, first + i) for i, text in enumerate(texts)]
        else:
            readings = [
                read_text(self.model, self.sides.reader, text, first + i) for i, text in enumerate(texts)
            ]
        filled = [i for i, reading in enumerate(readings) if reading.tokens != ()]
        found: list[Maps] = [{} for _ in texts]
        if filled:
            some = [readings[i] for i in filled]
            some_targets = None if targets is None else [targets[i] for i in filled]
            numbers = [first + i for i in filled]
            for i, maps in zip(filled, self._maps_of_filled(some, some_targets, numbers), strict=True):
                found[i] = maps
        return found

    def _maps_of_filled(
        self, readings: Sequence[Reading], targets: Sequence[Any] | None, numbers: Sequence[int]
    ) -> Iterator[Maps]:
        batch = self._on_device(batch_of([reading.inputs for reading in readings], self.padding))
        writings: Sequence[Writing | None]
        if has_two_sides(self.model):
            written = self._written(batch, targets, numbers)
            batch |= self._on_device(decoder_inputs(self.model, written))
            writings = written
        elif self.generation is not None:
            written = [writing for reading in readings for writing in self._continued(reading)]
            readings = [_longer(writing, self.sides.writer) for writing in written]
            batch = self._on_device(batch_of([reading.inputs for reading in readings], self.padding))
            writings = written
        else:
            writings = [None] * len(readings)
        if "use_cache" in inspect.signature(self.model.forward).parameters:
            batch["use_cache"] = False
        with eager_attention(self.model):
            captured = capture_attention(self.model, batch, self.choice)
        self._check(captured, batch)
        for i, (reading, writing) in enumerate(zip(readings, writings, strict=True)):
            yield self._maps({kind: weights[i] for kind, weights in captured.items()}, reading, writing)

    def _on_device(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs where the model is, pictures in its precision."""
        dtype = self.model.dtype
        return {
            name: tensor.to(self.model.device, dtype if tensor.is_floating_point() else None)
            for name, tensor in inputs.items()
        }

    def _written(
        self, batch: Mapping[str, Tensor], targets: Sequence[Any] | None, numbers: Sequence[int]
    ) -> list[Writing]:
        """What the decoder of a model with two sides is taken through."""
        if targets is None:
            return generated(self.model, self.sides.writer, batch, self.generation or {}, None)
        writer = self.sides.writer
        pairs = zip(targets, numbers, strict=True)
        return [forced(self.model, writer, target, number) for target, number in pairs]

    def _continued(self, reading: Reading) -> list[Writing]:
        """What a decoder makes of one text, which is not filled up."""
        batch = self._on_device(batch_of([reading.inputs], self.padding))
        length = len(reading.inputs["input_ids"])
        return generated(self.model, self.sides.writer, batch, self.generation or {}, length)

    def _check(self, captured: Captured, batch: Mapping[str, Any]) -> None:
        """Refuse attention that is not of each position over all others."""
        read = batch.get("decoder_input_ids")
        for kind, weights in captured.items():
            source = batch["input_ids"].shape[1] if "input_ids" in batch else weights.shape[-1]
            target = source if read is None else read.shape[1]
            rows, columns = {
                "encoder": (source, source),
                "decoder": (target, target),
                "cross": (target, source),
            }[kind]
            if (weights.shape[0], *weights.shape[3:]) != (len(next(iter(batch.values()))), rows, columns):
                shape = list(weights[:, 0].shape)
                raise no_map(f"{type(self.model).__name__}: its {kind} layers have the shape {shape}")

    def _maps(self, weights: Mapping[Kind, Tensor], reading: Reading, writing: Writing | None) -> Maps:
        """The maps of one text, without what it was filled up with."""
        metadata: dict[str, str | int | float] = {
            "model": str(self.model.config.name_or_path or type(self.model).__name__),
            **self.choice.metadata,
            **(writing.metadata if writing is not None else {}),
        }
        source = reading.tokens
        found: Maps = {}
        for kind, own in weights.items():
            if source is None and kind != "decoder":
                source, places = patch_names(self.model, reading.inputs["pixel_values"], own.shape[-1])
                metadata |= places
            queries, keys = self._axes(kind, source, writing)
            inner = own[:, :, : len(queries), : len(keys)]  # [layers, heads, queries, keys]
            found[kind] = AttentionMap(inner.numpy(), queries, keys, kind, metadata)
        return found

    def _axes(
        self, kind: Kind, source: tuple[str, ...] | None, writing: Writing | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tokens of the rows and of the columns."""
        if has_two_sides(self.model) and kind != "encoder":
            assert writing is not None
            read, produced = writing.names(self.sides.writer)
            queries = produced if self.rows == "produced" else read
            return queries, (source or ()) if kind == "cross" else read
        tokens = source or ()
        if kind == "decoder" and self.rows == "produced":
            return tokens[1:], tokens[:-1]
        return tokens, tokens


def _longer(writing: Writing, writer: Any) -> Reading:
    """What a decoder is taken through once it has gone on with its text."""
    ids = torch.tensor(writing.read)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return Reading(inputs, readable_tokens(writer, writing.read))
