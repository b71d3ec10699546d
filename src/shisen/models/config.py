"""The `model` part of a configuration: every size and switch of a network, with its range and its meaning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AttentionName = Literal["none", "bahdanau", "luong-dot", "luong-general", "luong-concat"]


class ModelConfig(BaseModel):
    """The recurrent encoder-decoder: Bahdanau (2015), Luong (2015), or no attention at all (Cho 2014)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Literal["recurrent"] = Field("recurrent", description="The kind of network.")
    attention: AttentionName = Field(
        "bahdanau",
        description="How the decoder looks at the source. `bahdanau` scores with the previous state and "
        "feeds the context to the cell; `luong-*` score with the current state and predict from the "
        "attentional state (`luong-dot` adds the encoder's two directions, since both sides of the product "
        "must be of one size); `none` keeps one fixed context vector.",
    )
    cell: Literal["gru", "lstm"] = Field("gru", description="The recurrent cell of encoder and decoder.")
    embedding_size: int = Field(256, ge=1, le=65536, description="Features of a word embedding.")
    hidden_size: int = Field(
        256, ge=1, le=65536, description="Features of a hidden state, in each direction of the encoder."
    )
    attention_size: int | None = Field(
        None, ge=1, le=65536, description="Features inside an additive score. Empty: as `hidden_size`."
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
