"""Attention maps in one file, ``.attn.safetensors``: weights as tensors, tokens as JSON in the header.

The file is an ordinary safetensors file. Its header's ``__metadata__`` has one entry, ``shisen_attention``:
a JSON object with ``version`` and ``maps``, a list with ``query_tokens``, ``key_tokens``, ``kind`` and
``metadata`` of each map. The weights of map *n* are the float32 tensor ``weights.n``,
``[layers, heads, queries, keys]``.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from shisen.errors import RunError, UserError
from shisen.files import written_aside
from shisen.inspection.attention_map import AttentionMap

HEADER_KEY = "shisen_attention"
VERSION = 1
#: What the safetensors library reads at most; a header that is larger makes a file that nobody opens.
MAXIMUM_HEADER_BYTES = 100_000_000
#: The largest weights that are read for one map: a sentence of 10,000 words in ten layers and heads.
MAXIMUM_MAP_BYTES = 4_000_000_000


class AttentionMapWriter:
    """Writes any number of maps into one file, one after the other, without keeping them in memory.

    Used with ``with``. The file appears, whole, when the block ends; if it ends with an error there is none,
    and a file that was there before stays as it was.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Prepare to write ``path``; its folder is made where it is missing."""
        self.path = Path(path)
        self._count = 0
        self._data_bytes = 0
        self._header_bytes = 0

    def __enter__(self) -> AttentionMapWriter:
        """Open the files that collect weights and header, beside the file to be."""
        folder = self.path.parent
        with self._named():
            folder.mkdir(parents=True, exist_ok=True)
            self._data = tempfile.TemporaryFile(dir=folder)
            self._tensors = tempfile.TemporaryFile("w+", dir=folder, encoding="utf-8")
            self._maps = tempfile.TemporaryFile("w+", dir=folder, encoding="utf-8")
        return self

    def add(self, attention_map: AttentionMap) -> None:
        """Append one map.

        Raises:
            RunError: It could not be written (a full disk), or the file would be one that nobody opens.
        """
        weights = np.ascontiguousarray(attention_map.weights, dtype="<f4")
        end = self._data_bytes + weights.nbytes
        tensor = {"dtype": "F32", "shape": list(weights.shape), "data_offsets": [self._data_bytes, end]}
        # The maps are JSON inside a JSON string: quoted once more, without the quotes around.
        described = _quote_inside(json.dumps(_describe(attention_map), ensure_ascii=False, allow_nan=False))
        tensor_entry = f',"weights.{self._count}":{json.dumps(tensor)}'
        self._header_bytes += len(tensor_entry) + len(described.encode()) + 2
        if self._header_bytes > MAXIMUM_HEADER_BYTES - 1000:
            raise RunError(
                f"{self.path}: the names of the tokens of more than {self._count} maps do not fit into one "
                "file; split the input and write several"
            )
        with self._named():
            self._data.write(weights.tobytes())
            self._tensors.write(tensor_entry)
            self._maps.write(("," if self._count else "") + described)
        self._count += 1
        self._data_bytes = end

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put header and weights together and move the file into place, unless the block failed."""
        try:
            if kind is None:
                with self._named():
                    self._assemble()
        finally:
            for file in (self._data, self._tensors, self._maps):
                with suppress(OSError):  # what it still holds is not wanted any more
                    file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Report a failed write by the name of the file to be: those that collect have none."""
        try:
            yield
        except OSError as error:
            raise RunError(f"{self.path} could not be written: {error.strerror or error}") from error

    def _assemble(self) -> None:
        for file in (self._data, self._tensors, self._maps):
            file.seek(0)
        opening = f'{{\\"version\\":{VERSION},\\"maps\\":['
        header = (
            f'{{"__metadata__":{{"{HEADER_KEY}":"{opening}{self._maps.read()}]}}"}}{self._tensors.read()}}}'
        )
        encoded = header.encode()
        encoded += b" " * (-len(encoded) % 8)  # the format aligns the weights to 8 bytes
        with written_aside(self.path) as out:
            out.write(struct.pack("<Q", len(encoded)) + encoded)
            shutil.copyfileobj(self._data, out, 1 << 20)


class SavedMaps:
    """The maps of a file, as `load_maps` opens it; the weights of each are read when it is asked for."""

    def __init__(self, path: Path, descriptions: list[dict[str, Any]]) -> None:
        """Hold the place of the file and what its header says of each map."""
        self._path = path
        self._descriptions = descriptions

    def __len__(self) -> int:
        """How many maps the file holds."""
        return len(self._descriptions)

    @overload
    def __getitem__(self, number: int) -> AttentionMap: ...
    @overload
    def __getitem__(self, number: slice) -> list[AttentionMap]: ...
    def __getitem__(self, number: int | slice) -> AttentionMap | list[AttentionMap]:
        """One map, or a list of some."""
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        index = range(len(self))[number]
        return next(self._read(range(index, index + 1)))

    def __iter__(self) -> Iterator[AttentionMap]:
        """The maps, one after the other."""
        return self._read(range(len(self)))

    def _read(self, numbers: range) -> Iterator[AttentionMap]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path, framework="numpy") as file:
                for number in numbers:
                    described = self._descriptions[number]
                    yield _rebuild(self._path, number, described, file.get_slice(f"weights.{number}"))
        except SafetensorError as error:
            raise UserError(f"{self._path}: {_NOT_A_MAP} ({error})") from None


_NOT_A_MAP = "not a whole file of attention maps as AttentionMap.save writes it"


def save_maps(path: str | os.PathLike[str], maps: Iterable[AttentionMap]) -> None:
    """Write maps, as they come, into one file; a generator of any length needs the memory of one map."""
    with AttentionMapWriter(path) as writer:
        for attention_map in maps:
            writer.add(attention_map)


def load_maps(path: str | os.PathLike[str]) -> SavedMaps:
    """The maps of a file that `save_maps` (or `AttentionMap.save`) wrote, in their order.

    What comes back is a sequence that reads the weights of a map when that map is asked for, so a large file
    can be gone through in little memory. The header is checked at once.

    Raises:
        UserError: The file is missing, truncated, or something else.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a directory, not a file of attention maps (.attn.safetensors)")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = set(file.keys())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file of attention maps") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise UserError(f"{path}: {_NOT_A_MAP} ({error})") from None
    if HEADER_KEY not in metadata:
        raise UserError(f"{path}: a safetensors file, but {_NOT_A_MAP}")
    try:
        header = json.loads(metadata[HEADER_KEY])
        version, descriptions = header["version"], header["maps"]
        are_complete = all(isinstance(described, dict) for described in descriptions)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: {_NOT_A_MAP} (its header is damaged)") from None
    if version != VERSION:
        raise UserError(f"{path}: version {version} of the format; this version of shisen reads {VERSION}")
    if not are_complete or names != {f"weights.{i}" for i in range(len(descriptions))}:
        raise UserError(f"{path}: {_NOT_A_MAP} (its header and its weights do not agree)")
    return SavedMaps(path, descriptions)


def _describe(attention_map: AttentionMap) -> dict[str, Any]:
    """Everything but the weights, as JSON holds it."""
    return {
        "query_tokens": attention_map.query_tokens,
        "key_tokens": attention_map.key_tokens,
        "kind": attention_map.kind,
        "metadata": dict(attention_map.metadata),
    }


def _quote_inside(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _rebuild(path: Path, number: int, described: dict[str, Any], weights: Any) -> AttentionMap:
    """The map of its description and its (not yet read) weights."""
    shape, dtype = weights.get_shape(), weights.get_dtype()
    if dtype != "F32" or len(shape) != 4:
        raise UserError(f"{path}: the weights of map {number} are {dtype} {shape}, not F32 with 4 dimensions")
    size = 4 * int(np.prod(shape, dtype=object))
    if size > MAXIMUM_MAP_BYTES:
        raise UserError(
            f"{path}: map {number} has {size:,} bytes; the most that is read is {MAXIMUM_MAP_BYTES:,}"
        )
    try:
        return AttentionMap(
            weights[:],
            tuple(described["query_tokens"]),
            tuple(described["key_tokens"]),
            described["kind"],
            described["metadata"],
        )
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: {_NOT_A_MAP} (the header of map {number} is damaged)") from None
    except UserError as error:
        raise UserError(f"{path}: map {number}: {error}") from None
