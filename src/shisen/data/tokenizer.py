"""Tokenizers: sentences to ids and back, for words, byte-pair encoding, unigram models and characters.

The work is done by the library ``tokenizers``. What is kept in a file is one JSON document: that library's
own tokenizer together with our settings.

What text becomes before it is cut ("normalised"): Unicode normalisation and lower case where asked for, runs
of white space to one space, no space at the ends, and ``▁`` (the mark for a space) to ``_``. Except for words
split by white space, decoding gives exactly the normalised text back, as long as the vocabulary knows its
characters.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
from pydantic import ValidationError

from shisen.data.config import Language, TokenizerConfig
from shisen.data.detokenization import detokenize, drop_spaces_in_japanese
from shisen.data.learning import backend_of, learn_model
from shisen.data.pieces import JapaneseAnalyser, TokenizerSettings
from shisen.data.vocabulary import BEGIN, END, PADDING, SPACE, SPECIAL_TOKENS, UNKNOWN
from shisen.errors import UserError
from shisen.files import write_atomically

FORMAT_VERSION = 1
_SKIPPED = frozenset((PADDING, BEGIN, END))


class Tokenizer:
    """Cuts sentences into pieces of a vocabulary and joins pieces to sentences.

    Made by :meth:`train` or :meth:`load`. Ids of special tokens are never the result of text.
    """

    def __init__(self, backend: tokenizers.Tokenizer, settings: TokenizerSettings):
        self.settings = settings
        self._backend = backend
        self._ids = backend.get_vocab()
        self._tokens = sorted(self._ids, key=self._ids.__getitem__)
        self._analyser = JapaneseAnalyser(settings) if settings.is_analysed else None

    # ---- making one

    @classmethod
    def train(
        cls, texts: Iterable[str], config: TokenizerConfig, language: Language | None = None
    ) -> "Tokenizer":
        """Learn a vocabulary from text. The same text and settings give the same vocabulary, byte by byte.

        Args:
            texts: the sentences, read once.
            config: kind, size and normalisation.
            language: language of these texts, for detokenisation and Japanese word boundaries.

        Raises:
            UserError: if there is no text, or it does not give ``config.vocabulary_size`` entries.
        """
        settings = TokenizerSettings(
            kind=config.kind,
            pre_tokenizer=config.pre_tokenizer,
            normalization=config.normalization,
            lowercase=config.lowercase,
            language=language,
        )
        return cls(backend_of(learn_model(texts, config, settings), settings), settings)

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a tokenizer from its JSON file.

        Raises:
            UserError: if the file is missing, truncated or not one of ours.
        """
        path = Path(path)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: cannot read the tokenizer ({error.strerror})") from None
        except (ValueError, RecursionError):
            raise UserError(f"{path}: not a whole JSON file; was it truncated?") from None
        if not isinstance(document, dict) or "shisen_tokenizer" not in document:
            raise UserError(f"{path}: not a tokenizer of shisen (it has no entry shisen_tokenizer)")
        if document["shisen_tokenizer"] != FORMAT_VERSION:
            raise UserError(
                f"{path}: tokenizer format {document['shisen_tokenizer']!r}, "
                f"this version reads {FORMAT_VERSION}"
            )
        try:
            settings = TokenizerSettings.model_validate(document["settings"])
            backend = tokenizers.Tokenizer.from_str(json.dumps(document["tokenizer"]))
        except (KeyError, ValidationError) as error:
            raise UserError(f"{path}: the tokenizer's settings are damaged ({error})") from None
        except Exception as error:  # the library raises plain Exception
            raise UserError(f"{path}: the tokenizer is damaged ({error})") from None
        ids = sorted(backend.get_vocab().values())
        if ids != list(range(len(ids))):
            raise UserError(
                f"{path}: the vocabulary is damaged (its ids are not 0 to {len(ids) - 1} without gaps)"
            )
        tokenizer = cls(backend, settings)
        if tuple(tokenizer._tokens[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise UserError(f"{path}: the vocabulary does not open with {', '.join(SPECIAL_TOKENS)}")
        return tokenizer

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to a JSON file.

        Raises:
            RunError: it could not be written (a full disk); what was there before is untouched.
        """
        write_atomically(path, self._to_json())

    def _to_json(self) -> str:
        document = {
            "shisen_tokenizer": FORMAT_VERSION,
            "settings": self.settings.model_dump(),
            "tokenizer": json.loads(self._backend.to_str()),
        }
        return json.dumps(document, ensure_ascii=False, indent=1) + "\n"

    def backend_json(self) -> str:
        """The tokenizer as the library ``tokenizers`` writes it, for other programs."""
        return self._backend.to_str()

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of vocabulary and settings."""
        return hashlib.sha256(self._to_json().encode()).hexdigest()[:16]

    def __len__(self) -> int:
        """Entries of the vocabulary, special ones included."""
        return len(self._tokens)

    # ---- text to pieces

    def normalize(self, text: str) -> str:
        """The text as the vocabulary sees it: see the head of this module."""
        return self._backend.normalizer.normalize_str(text)

    def encode(self, text: str) -> list[int]:
        """The ids of a sentence's pieces, without BEGIN and END."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many sentences, faster than one by one."""
        if self._analyser is not None:
            return [[self._ids.get(word, UNKNOWN) for word in self._analyser.entries(text)] for text in texts]
        encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        if self.settings.marks_spaces:  # pieces cannot spell "<s>": its brackets are pieces of their own
            return [encoding.ids for encoding in encodings]
        return [[UNKNOWN if id in _SKIPPED else id for id in encoding.ids] for encoding in encodings]

    def surfaces(self, text: str) -> list[str]:
        """The pieces of a sentence as the text spells them, one for each id of :meth:`encode`.

        Case and unknown words are kept: ``["▁Zyxgrad", "▁is", "▁far"]`` where the vocabulary knows only
        ``▁is`` and ``▁far``. The mark for a space is there where the piece has it.
        """
        if self._analyser is not None:
            return self._analyser.words(text)
        encoding = self._backend.encode(text, add_special_tokens=False)
        spellings = [text[begin:end] for begin, end in encoding.offsets]
        if not self.settings.marks_spaces:
            return spellings
        surfaces = [SPACE * spelling[:1].isspace() + spelling.strip() for spelling in spellings]
        if surfaces and self.settings.marks_the_first_word:
            # The mark put before the first word has the place of its first letter.
            surfaces[0] = SPACE + ("" if encoding.tokens[0] == SPACE else surfaces[0].removeprefix(SPACE))
        return surfaces

    # ---- pieces to text

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The pieces of ids, special ones included."""
        return [self._tokens[id] for id in ids]

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token, special ones included; that of ``<unk>`` where there is no such token."""
        found = map(self._backend.token_to_id, tokens)
        return [UNKNOWN if number is None else number for number in found]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. PADDING, BEGIN and END are skipped; an unknown piece shows as ``<unk>``."""
        return self.detokenize(self.tokens(id for id in ids if id not in _SKIPPED))

    def detokenize(self, tokens: Sequence[str]) -> str:
        """The text of pieces given as strings, as after unknown words were replaced."""
        if not self.settings.marks_spaces:
            return detokenize(tokens, self.settings.language)
        if self.settings.kind == "word":
            tokens = [self.as_word(token) if token == SPECIAL_TOKENS[UNKNOWN] else token for token in tokens]
        text = "".join(tokens).replace(SPACE, " ").removeprefix(" ")
        return drop_spaces_in_japanese(text) if self.settings.language == "ja" else text

    def as_word(self, surface: str) -> str:
        """A surface of another tokenizer as a word of this one: for unknown words copied from the source."""
        word = surface.removeprefix(SPACE)
        spaced = self.settings.marks_spaces and self.settings.language != "ja"
        return SPACE + word if spaced else word
