"""The section ``training`` of a configuration, and the whole configuration: what is learned, by what, how."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shisen.data.config import DataConfig
from shisen.models.config import LanguageModelConfig, ModelConfig, RecurrentConfig, TransformerConfig


class TrainingConfig(BaseModel):
    """How a model is trained: batches, optimiser, schedules, when to measure, when to stop, on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(
        100, ge=1, description="Sentence pairs (or tokens of the longer side) in a batch."
    )
    batch_by: Literal["sentences", "tokens"] = Field("sentences", description="What `batch_size` counts.")
    optimizer: Literal["adam", "adamw"] = Field(
        "adam", description="Adam (Kingma and Ba 2015), or AdamW with decoupled weight decay."
    )
    learning_rate: float = Field(
        1e-3, gt=0.0, le=10.0, description="The learning rate, at its highest point if there is a schedule."
    )
    weight_decay: float = Field(0.0, ge=0.0, le=1.0, description="Weight decay of the optimiser.")
    schedule: Literal["constant", "inverse-sqrt", "plateau", "linear", "cosine"] = Field(
        "constant",
        description="How the learning rate changes after the warm-up. `inverse-sqrt`: falls with the square "
        "root of the step; `plateau`: is multiplied by `plateau_factor` when validations stop improving; "
        "`linear`, `cosine`: falls to zero at `max_steps` or `max_epochs`, whichever comes first.",
    )
    warmup_steps: int = Field(0, ge=0, description="Steps over which the learning rate rises from zero.")
    plateau_factor: float = Field(
        0.5, gt=0.0, lt=1.0, description="What the schedule `plateau` multiplies the learning rate by."
    )
    plateau_patience: int = Field(
        2,
        ge=1,
        description="Validations without improvement before `plateau` lowers the learning rate.",
    )
    label_smoothing: float = Field(
        0.1, ge=0.0, lt=1.0, description="Probability that the training target spreads over all tokens."
    )
    clip_gradient_norm: float | None = Field(
        1.0, gt=0.0, description="Longer gradients are scaled to this norm. Empty: never."
    )
    teacher_forcing_ratio: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        description="How often the decoder reads the reference rather than its own prediction; the start of "
        "`teacher_forcing_schedule`. Below 1 is scheduled sampling, and slower.",
    )
    teacher_forcing_unit: Literal["step", "sentence"] = Field(
        "step", description="Whether the choice is made for each token or for each sentence."
    )
    teacher_forcing_schedule: Literal["constant", "linear", "exponential", "inverse-sigmoid"] = Field(
        "constant",
        description="How the ratio decays (Bengio et al. 2015), with k for `teacher_forcing_decay_steps` and "
        "i for the step. `linear`: 1 - i/k; `exponential`: exp(-i/k); `inverse-sigmoid`: k / (k + exp(i/k)).",
    )
    teacher_forcing_decay_steps: int = Field(
        10_000, ge=1, description="The constant k of `teacher_forcing_schedule`, in steps."
    )
    teacher_forcing_minimum: float = Field(
        0.0, ge=0.0, le=1.0, description="The ratio never decays below this."
    )
    max_epochs: int | None = Field(
        100, ge=1, description="Stop after this many passes over the data. Empty: no limit."
    )
    max_steps: int | None = Field(None, ge=1, description="Stop after this many updates. Empty: no limit.")
    max_minutes: float | None = Field(
        None,
        gt=0.0,
        description="Stop when training, its validations and earlier parts of a resumed run have taken this "
        "long. Empty: no limit.",
    )
    metric: Literal["validation_loss", "bleu"] = Field(
        "validation_loss",
        description="What decides which parameters are the best, when to stop early, and when `plateau` "
        "lowers the learning rate.",
    )
    patience: int | None = Field(
        10,
        ge=1,
        description="Stop after this many validations in a row without a better `metric`. Empty: never.",
    )
    validation_interval: int | None = Field(
        None,
        ge=1,
        description="Steps between validations. Empty: one at the end of each epoch.",
    )
    bleu_sentences: int = Field(
        200,
        ge=0,
        description="Validation pairs translated (greedily) for BLEU at each validation. 0: no BLEU. A "
        "language model has none; above 0, one validation line is continued, to be looked at.",
    )
    average_last: int = Field(
        5,
        ge=0,
        le=100,
        description="At the end, average the parameters of this many last validations, and keep the average "
        "if it is better than the best of them. 0 or 1: no averaging.",
    )
    checkpoint_minutes: float = Field(
        5.0, gt=0.0, description="Minutes between checkpoints from which `--resume` goes on."
    )
    checkpoint_steps: int | None = Field(
        None,
        ge=1,
        description="Steps between checkpoints, in addition. Empty: by time alone.",
    )
    log_interval: int = Field(50, ge=1, description="Steps between lines of training_log.jsonl.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="`bfloat16`: the large products take bfloat16 operands; parameters, recurrences, softmax "
        "and sums stay float32. `auto`: bfloat16 where the machine multiplies it faster, else float32.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to compute. `auto`: on a CUDA GPU if there is one."
    )
    threads: int | None = Field(
        None, ge=1, le=4096, description="CPU threads. Empty: as many as there are physical cores."
    )
    seed: int = Field(
        1, ge=0, le=2**32 - 1, description="Initial parameters, order of the data and dropout follow from it."
    )
    tensorboard: bool = Field(
        False,
        description="Also write the log for TensorBoard, to tensorboard/ (needs the extra `tensorboard`).",
    )

    @model_validator(mode="after")
    def _ends(self) -> "TrainingConfig":
        limits = (self.max_epochs, self.max_steps, self.max_minutes, self.patience)
        if all(limit is None for limit in limits):
            raise ValueError("nothing ends this training; set max_epochs, max_steps, max_minutes or patience")
        if self.schedule == "inverse-sqrt" and self.warmup_steps == 0:
            raise ValueError(
                "schedule inverse-sqrt needs warmup_steps of at least 1, the point it falls from"
            )
        if self.schedule in ("linear", "cosine") and self.max_steps is None and self.max_epochs is None:
            raise ValueError(
                f"schedule {self.schedule} falls to zero at the end; set max_steps or max_epochs"
            )
        if self.metric == "bleu" and self.bleu_sentences == 0:
            raise ValueError("metric bleu needs bleu_sentences of at least 1")
        return self


class Config(BaseModel):
    """Everything that a run is made from; the same file and seed give the same model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataConfig = Field(description="What is learned from.")
    model: ModelConfig = Field(default_factory=RecurrentConfig, description="What learns.")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="How it learns.")

    @model_validator(mode="after")
    def _can_tie(self) -> "Config":
        is_three_way = isinstance(self.model, TransformerConfig) and self.model.tie_embeddings == "three-way"
        if is_three_way and not self.data.tokenizer.joint:
            raise ValueError("model.tie_embeddings three-way needs one vocabulary: set data.tokenizer.joint")
        return self

    @property
    def is_one_text(self) -> bool:
        """Whether the model learns from one text and not from sentence pairs."""
        return isinstance(self.model, LanguageModelConfig)

    @model_validator(mode="after")
    def _asks_one_text_for_no_more(self) -> "Config":
        if not self.is_one_text:
            return self
        data, tokenizer = self.data, self.data.tokenizer
        validation = data.validation or data.train
        given = {
            "data.train.target": data.train.target is not None,
            "data.train.target_column": data.train.target_column is not None,
            "data.validation.target": validation.target is not None,
            "data.validation.target_column": validation.target_column is not None,
            "data.tokenizer.target_language": tokenizer.target_language is not None,
            "data.tokenizer.joint": tokenizer.joint,
            "data.max_length_ratio": data.max_length_ratio is not None,
            "training.metric bleu": self.training.metric == "bleu",
        }
        for key, is_given in given.items():
            if is_given:
                raise ValueError(
                    f"{key} is for translation; the family {self.model.family} learns one text, "
                    "that of source, and is measured by its validation_loss"
                )
        return self

    @model_validator(mode="after")
    def _has_what_it_measures(self) -> "Config":
        training = self.training
        if self.data.validation is not None:
            return self
        if training.schedule == "plateau" or training.metric == "bleu":
            key = "schedule plateau" if training.schedule == "plateau" else "metric bleu"
            raise ValueError(f"training.{key} needs validations; set data.validation")
        if training.max_epochs is training.max_steps is training.max_minutes is None:
            raise ValueError(
                "nothing ends this training, since training.patience needs data.validation; "
                "set training.max_epochs, max_steps or max_minutes"
            )
        return self
