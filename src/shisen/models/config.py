"""The `model` part of a configuration: every size and switch of a network, with its range and its meaning.

A network is of a family, and each family has keys of its own; ``family`` decides which are allowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    TypeAdapter,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from shisen.attention import MECHANISMS, AttentionFunction, names_with_coverage
from shisen.attention.patterns import parse_pattern


@dataclass(frozen=True)
class OneOf:
    """Allows the names of a list as it is when a value is checked, so that the list may grow."""

    names: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, name: str) -> str:
        if name not in self.names:
            allowed = ", ".join(self.names)
            raise PydanticCustomError("unknown_name", "expected one of {allowed}", {"allowed": allowed})
        return name


_ATTENTION_FUNCTION = (
    "What makes weights of scores. `sparsemax` (Martins and Astudillo 2016) and `entmax15` (Peters et al. "
    "2019) give unlikely tokens a weight of exactly 0; they need the extra shisen[entmax]."
)


class RecurrentConfig(BaseModel):
    """The recurrent encoder-decoder: Bahdanau (2015), Luong (2015), or no attention at all (Cho 2014)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __str__(self) -> str:
        return f"{self.family}, {self.cell}, attention {self.attention}"

    family: Literal["recurrent"] = Field("recurrent", description="The kind of network.")
    attention: Annotated[str, OneOf(MECHANISMS)] = Field(
        "bahdanau",
        description="How the decoder looks at the source. `bahdanau` scores with the previous state and "
        "feeds the context to the cell; `luong-*` score with the current state and predict from the "
        "attentional state (`luong-dot` adds the encoder's two directions, since both sides of the product "
        "must be of one size); `local-*` are Luong's too and look at a window: `local-m` about the token "
        "with the step's number, `local-p` about a predicted one; `none` keeps one fixed context vector.",
    )
    attention_function: AttentionFunction = Field("softmax", description=_ATTENTION_FUNCTION)
    attention_window: int = Field(
        10, ge=1, le=65536, description="How many tokens a `local-*` window reaches to either side."
    )
    coverage: bool = Field(
        False,
        description="Whether the scores know what the steps before have attended to (Tu et al. 2016; See et "
        "al. 2017), for additive scores: `bahdanau` and `luong-concat`.",
    )
    coverage_loss: float = Field(
        1.0,
        ge=0.0,
        le=1000.0,
        description="With `coverage`: the weight in training of the loss for attending to the same token "
        "again (See et al. 2017). Validation does not count it.",
    )
    cell: Literal["gru", "lstm"] = Field("gru", description="The recurrent cell of encoder and decoder.")
    embedding_size: int = Field(256, ge=1, le=65536, description="Features of a word embedding.")
    hidden_size: int = Field(
        256, ge=1, le=65536, description="Features of a hidden state, in each direction of the encoder."
    )
    attention_size: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="Features inside an additive score, and inside the prediction of `local-p`. Empty: as "
        "`hidden_size`.",
    )
    encoder_layers: int = Field(1, ge=1, le=64, description="Recurrent layers of the encoder.")
    decoder_layers: int = Field(1, ge=1, le=64, description="Recurrent layers of the decoder.")
    bidirectional: bool = Field(True, description="Whether the encoder also reads from right to left.")
    dropout: float = Field(
        0.2, ge=0.0, lt=1.0, description="Dropout of embeddings, between layers and before the output layer."
    )
    attention_dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout of the attention weights.")
    input_feeding: bool = Field(
        True,
        description="Whether a Luong decoder reads its last attentional state (Luong 2015, section 3.3).",
    )
    initial_state: Literal["last", "mean", "zero"] = Field(
        "last",
        description="What the decoder starts from: the encoder's last or mean state, or zeros.",
    )
    tie_embeddings: bool = Field(
        False, description="Whether the output layer and the target embedding are one matrix."
    )
    readout: Literal["maxout", "tanh"] = Field(
        "maxout",
        description="What stands between a Bahdanau decoder's state and its output layer: a maxout layer as "
        "published, or tanh. Luong decoders predict from the attentional state.",
    )

    @model_validator(mode="after")
    def _fits(self) -> "RecurrentConfig":
        if self.coverage and not MECHANISMS[self.attention].takes_coverage:
            able = " or ".join(names_with_coverage())
            raise ValueError(f"coverage needs the attention {able}, and it is {self.attention}")
        return self


class LayerConfig(BaseModel):
    """What the layers of a Transformer are made of, whatever they are put together to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def attention(self) -> str:
        """The name of its mechanism."""
        return "multi-head"

    family: str = Field(description="The kind of network.")  # each family says which: it comes first
    model_size: int = Field(
        256, ge=1, le=65536, description="Features of a token between layers; a multiple of `heads`."
    )
    heads: int = Field(4, ge=1, le=1024, description="Attention heads in each layer.")
    feed_forward_size: int = Field(1024, ge=1, le=262144, description="Features inside a feed-forward part.")
    positions: Literal["sinusoidal", "learned", "rotary", "alibi"] = Field(
        "sinusoidal",
        description="What tells a token where it stands. `sinusoidal`, `learned`: a vector added to its "
        "embedding; `rotary`: queries and keys are turned; `alibi`: scores fall with the distance. The last "
        "two act in self-attention.",
    )
    max_positions: int = Field(
        1024,
        ge=2,
        le=1_000_000,
        description="Positions that `learned` has vectors for: the longest sentence.",
    )
    norm: Literal["pre", "post"] = Field(
        "pre",
        description="Whether a layer normalises what its parts read, which trains more easily, or what they "
        "give, as published.",
    )
    activation: Literal["relu", "gelu", "swiglu"] = Field(
        "relu", description="What a feed-forward part computes with. `swiglu` has a third matrix, a gate."
    )
    dropout: float = Field(
        0.1, ge=0.0, lt=1.0, description="Dropout of embeddings and of what every part of a layer gives."
    )
    attention_dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout of the attention weights.")
    attention_function: AttentionFunction = Field("softmax", description=_ATTENTION_FUNCTION)
    activation_dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout inside feed-forward parts.")
    drop_head: float = Field(
        0.0, ge=0.0, lt=1.0, description="How often a whole head is left out in training (Zhou et al. 2020)."
    )
    key_value_heads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Heads of keys and values, each shared by several heads of queries. Empty: `heads`.",
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> "LayerConfig":
        size, heads = self.model_size, self.heads
        if size % heads:
            raise ValueError(f"model_size ({size}) is no multiple of heads ({heads})")
        if self.key_value_heads is not None and heads % self.key_value_heads:
            raise ValueError(f"heads ({heads}) is no multiple of key_value_heads ({self.key_value_heads})")
        if self.positions == "rotary" and size // heads % 2:
            raise ValueError(
                f"positions rotary needs heads of an even size, and model_size / heads is {size // heads}"
            )
        if self.positions == "sinusoidal" and size % 2:
            raise ValueError(f"positions sinusoidal needs an even model_size, and it is {size}")
        return self


class TransformerConfig(LayerConfig):
    """The Transformer encoder-decoder: Vaswani et al. (2017), and what became of it."""

    def __str__(self) -> str:
        return f"{self.family}, {self.encoder_layers} + {self.decoder_layers} layers, {self.heads} heads"

    family: Literal["transformer"] = Field("transformer", description="The kind of network.")
    encoder_layers: int = Field(3, ge=1, le=96, description="Layers of the encoder.")
    decoder_layers: int = Field(3, ge=1, le=96, description="Layers of the decoder.")
    tie_embeddings: Literal["none", "two-way", "three-way"] = Field(
        "two-way",
        description="Which matrices are one. `two-way`: the output layer and the target embedding; "
        "`three-way`: the source embedding too, which needs data.tokenizer.joint.",
    )
    encoder_pattern: str | None = Field(
        None,
        max_length=1000,
        description="Which source tokens may attend to which, as in `window(64) | global_tokens([0])`. "
        "Empty: all to all.",
    )

    @field_validator("encoder_pattern")
    @classmethod
    def _pattern_can_be_read(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            parse_pattern(pattern)
        return pattern

    @model_validator(mode="after")
    def _pattern_fits(self) -> "TransformerConfig":
        if self.encoder_pattern is not None:
            if self.positions in ("rotary", "alibi"):
                raise ValueError(
                    f"encoder_pattern works with positions sinusoidal or learned, not {self.positions}"
                )
            if self.key_value_heads not in (None, self.heads) or self.drop_head:
                raise ValueError("encoder_pattern works without key_value_heads and drop_head")
        return self


class LanguageModelConfig(LayerConfig):
    """The decoder-only Transformer, a language model of one text: Radford et al. (2018, 2019)."""

    def __str__(self) -> str:
        return f"{self.family}, {self.layers} layers, {self.heads} heads"

    family: Literal["language-model"] = Field("language-model", description="The kind of network.")
    layers: int = Field(4, ge=1, le=96, description="Layers.")
    tie_embeddings: bool = Field(
        True, description="Whether the output layer and the embedding are one matrix."
    )


def _family_of(values: Any) -> str | None:
    """The family that values name, by default the recurrent one."""
    if isinstance(values, BaseModel):
        return str(getattr(values, "family", None))
    return str(values.get("family", "recurrent")) if isinstance(values, Mapping) else None


UNKNOWN_FAMILY = "unknown_family"
"""The type of pydantic's error for a family that does not exist."""

# A new family is one line here and one in `shisen.models.FAMILIES`.
ModelConfig = Annotated[
    Annotated[RecurrentConfig, Tag("recurrent")]
    | Annotated[TransformerConfig, Tag("transformer")]
    | Annotated[LanguageModelConfig, Tag("language-model")],
    Discriminator(
        _family_of,
        custom_error_type=UNKNOWN_FAMILY,
        custom_error_message="family: unknown, or no section of keys",
    ),
]
"""The keys of one family, chosen by ``family``."""


def parse_model_config(values: Any) -> ModelConfig:
    """Check plain values as the keys of the family that they name.

    Raises:
        pydantic.ValidationError: A value is not allowed.
    """
    return TypeAdapter(ModelConfig).validate_python(values)
