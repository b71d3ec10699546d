"""The section ``data`` of a configuration: which text, how it is cut into pieces, what is left out."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Language = Literal["en", "de", "ja"]


class _Section(BaseModel):
    """A section that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class ParallelTextConfig(_Section):
    """Where sentence pairs come from. Every file may also be gzipped (``.gz``)."""

    source: str = Field(
        min_length=1,
        description="file of source sentences, one a line; or, without `target`, what holds both sides: "
        "a .tsv or .jsonl file, a directory of splits (train.en and train.ja, train.tsv, train.jsonl, or "
        "Parquet), or the id of a data set on the Hugging Face Hub (owner/name, owner/name:configuration). "
        "Of a language model: the text, in any of these forms",
    )
    target: str | None = Field(
        None, min_length=1, description="file of target sentences, line by line the translations of `source`"
    )
    source_column: str | int | None = Field(
        None,
        description="where both sides are in one place: the column (TSV: number from 1, or name in the "
        "header line), the key (JSONL, Hub) or the file suffix (directory: en for train.en) of the source; "
        "default: TSV column 1, key `source` (of a language model `text`)",
    )
    target_column: str | int | None = Field(
        None, description="the same for the target; default: TSV column 2, key `target`"
    )
    split: str | None = Field(
        None,
        description="which split of a directory or Hub data set; default: train for `data.train`, "
        "validation (or valid, val, dev) for `data.validation`",
    )

    @model_validator(mode="after")
    def _columns_need_one_place(self) -> "ParallelTextConfig":
        if self.target is not None:
            for key in ("source_column", "target_column", "split"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key} has no meaning where source and target are two files")
        return self

    def describe(self) -> str:
        """The place in a few words, for messages and model cards."""
        place = self.source if self.target is None else f"{self.source} and {self.target}"
        return place if self.split is None else f"{place} (split {self.split})"


class TokenizerConfig(_Section):
    """How a sentence is cut into pieces, and how pieces become a sentence again."""

    kind: Literal["word", "bpe", "unigram", "character"] = Field(
        "unigram",
        description="word: one entry a word; bpe: byte-pair merges of characters; unigram: a unigram "
        "language model over pieces (needs no word boundaries, so it suits Japanese); character",
    )
    vocabulary_size: int | None = Field(
        None,
        ge=5,
        description="entries of a vocabulary, the 4 special ones included; it is an error if the data cannot "
        "give that many. Default: 8000, or fewer where the data gives fewer (bpe, unigram); all there are "
        "(word, character)",
    )
    minimum_frequency: int = Field(
        1,
        ge=1,
        description="words or characters (bpe: pairs to be merged) seen less often than this are left out; "
        "not for unigram",
    )
    joint: bool = Field(False, description="one vocabulary for both sides")
    pre_tokenizer: Literal["whitespace", "punctuation", "words"] = Field(
        "whitespace",
        description="for kind word. whitespace: the text is tokenised already, its tokens split by spaces; "
        "punctuation: the same, but marks such as . , ? that end a token are split off, so that a model of "
        "tokenised text reads what people type; words: raw text, punctuation is split off reversibly, and "
        "Japanese (language ja) is cut by the morphological analyser of the extra `ja`",
    )
    normalization: Literal["none", "nfc", "nfkc"] = Field(
        "none",
        description="Unicode normalisation before anything else. Always, runs of white space become one "
        "space and spaces at the ends are dropped",
    )
    lowercase: bool = Field(False, description="lower-case the text")
    source_language: Language | None = Field(None, description="language of the source: en, de, ja or none")
    target_language: Language | None = Field(
        None,
        description="language of the target: en, de, ja or none. It says how output becomes plain text: "
        "punctuation joined to its word (en, de), no spaces between Japanese (ja). With none, words of kind "
        "word (but not with pre_tokenizer words) are joined by spaces, as BLEU on given tokens needs them",
    )
    character_coverage: float = Field(
        1.0,
        gt=0.5,
        le=1.0,
        description="for bpe and unigram: the share of the text's characters that the vocabulary covers; the "
        "rarest characters beyond it become <unk>. 0.9995 suits large Japanese corpora",
    )
    training_sentences: int = Field(
        1_000_000,
        ge=1,
        description="for bpe and unigram: learn the pieces from at most this many sentences a side, drawn "
        "evenly from the whole text",
    )

    @model_validator(mode="after")
    def _settings_fit_the_kind(self) -> "TokenizerConfig":
        if self.kind == "unigram" and self.minimum_frequency > 1:
            raise ValueError(
                "minimum_frequency has no effect on kind unigram; leave it out or choose another kind"
            )
        if self.pre_tokenizer != "whitespace" and self.kind != "word":
            raise ValueError(f"pre_tokenizer {self.pre_tokenizer} is for kind word, not {self.kind}")
        if (
            self.pre_tokenizer == "words"
            and self.joint
            and self.source_language != self.target_language
            and "ja" in (self.source_language, self.target_language)
        ):
            raise ValueError(
                "a joint vocabulary of words cannot mix Japanese with a language that has spaces"
            )
        return self


class DataConfig(_Section):
    """Everything between the user's text and the batches of training."""

    train: ParallelTextConfig = Field(description="the sentence pairs to learn from")
    validation: ParallelTextConfig | None = Field(
        None, description="the pairs on which progress is measured and the best checkpoint chosen"
    )
    tokenizer: TokenizerConfig = Field(
        default_factory=TokenizerConfig, description="how sentences are cut into pieces"
    )
    max_length: int = Field(
        100,
        ge=1,
        description="training pairs with more pieces than this on either side are dropped and counted",
    )
    max_length_ratio: float | None = Field(
        None,
        ge=1.0,
        description="training pairs whose longer side has more than this times the pieces of the shorter are "
        "dropped and counted; 9 is usual for text from the web. Default: no limit",
    )
    skip_bad_lines: bool = Field(
        False,
        description="leave out lines that cannot be used, and say how many, instead of stopping at the first",
    )
