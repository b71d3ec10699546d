"""The rules by which text is normalised and split before a vocabulary comes into play."""

from pydantic import BaseModel, ConfigDict
from tokenizers import Regex, normalizers, pre_tokenizers

from shisen.data.config import Language
from shisen.data.vocabulary import SPACE
from shisen.errors import UserError

# A word with the space before it (apostrophes inside belong to it), or a run of one other character.
_PIECES = r"▁?[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)*|▁?([^\p{L}\p{M}\p{N}▁])\1*|▁"

_FINAL_MARKS = r"(?<=[^.,;:!?…。、！？])[.,;:!?…。、！？]+$"


class TokenizerSettings(BaseModel):
    """What a tokenizer has to know beside its vocabulary."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    pre_tokenizer: str
    normalization: str
    lowercase: bool
    language: Language | None

    @property
    def is_analysed(self) -> bool:
        """Whether a morphological analyser finds the words."""
        return self.pre_tokenizer == "words" and self.language == "ja"

    @property
    def marks_spaces(self) -> bool:
        """Whether pieces carry the spaces of the text, so that joining them is exact."""
        return not (self.kind == "word" and self.pre_tokenizer != "words")

    @property
    def marks_the_first_word(self) -> bool:
        """Whether a sentence's first word carries SPACE too, and so is the same word as elsewhere."""
        return self.marks_spaces and self.kind != "character" and self.language != "ja"


def normalizer_of(settings: TokenizerSettings) -> normalizers.Normalizer:
    """Unicode normalisation and lower case where asked for; always tidy white space, no SPACE."""
    steps: list[normalizers.Normalizer] = []
    if settings.normalization != "none":
        steps.append({"nfc": normalizers.NFC, "nfkc": normalizers.NFKC}[settings.normalization]())
    if settings.lowercase:
        steps.append(normalizers.Lowercase())
    if settings.marks_spaces:
        steps.append(normalizers.Replace(SPACE, "_"))
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence(steps)


def pre_tokenizer_of(settings: TokenizerSettings) -> pre_tokenizers.PreTokenizer:
    """Cut at spaces, around characters, or into words and punctuation that carry their spaces."""
    if not settings.marks_spaces:
        spaces = pre_tokenizers.WhitespaceSplit()
        if settings.pre_tokenizer == "whitespace":
            return spaces
        return pre_tokenizers.Sequence(
            [spaces, pre_tokenizers.Split(Regex(_FINAL_MARKS), behavior="isolated")]
        )
    scheme = "always" if settings.marks_the_first_word else "never"
    marked = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
    if settings.kind == "character":
        cut = pre_tokenizers.Split(Regex("(?m:.)"), behavior="isolated")
    else:
        cut = pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True)
    return pre_tokenizers.Sequence([marked, cut])


class JapaneseAnalyser:
    """The words of Japanese by MeCab (fugashi) with the dictionary UniDic: the extra ``ja``.

    Raises:
        UserError: if the extra is not installed.
    """

    def __init__(self, settings: TokenizerSettings) -> None:
        try:
            import fugashi
            import unidic_lite
        except ImportError:
            raise UserError(
                'words of Japanese (pre_tokenizer words, language ja) need an extra: pip install "shisen[ja]"'
            ) from None
        self._tagger = fugashi.Tagger(f'-d "{unidic_lite.DICDIR}"')
        self._lowercase = settings.lowercase
        self._normalize = normalizer_of(settings.model_copy(update={"lowercase": False})).normalize_str

    def words(self, text: str) -> list[str]:
        """The words as the text spells them, each with SPACE in front where the text has a space."""
        nodes = self._tagger(self._normalize(text))
        return [(SPACE if node.white_space else "") + node.surface for node in nodes]

    def entries(self, text: str) -> list[str]:
        """The words as the vocabulary has them: in lower case where asked for."""
        words = self.words(text)
        return [word.lower() for word in words] if self._lowercase else words
