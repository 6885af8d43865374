"""What is to be trained: a Run is one training, and says all of it."""

import json
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from losslab import augment
from losslab.choice import Choice, Frozen, as_choice, is_factory
from losslab.data.catalog import is_dataset, is_own_path, unknown_dataset
from losslab.errors import InvalidInput
from losslab.models import is_model, unknown_model
from losslab.optimizers import Optimizer, check_has_momentum
from losslab.policies import (
    BATCH_POLICIES,
    LR_POLICIES,
    check_average,
    check_cycled_against,
    check_momentum,
    check_plateau,
    number_or_policy,
)
from losslab.spec.faults import faults
from losslab.tasks import LOSSES, METRICS, check_name

# strict=True: do not coerce True to 1 or "3" to 3.
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
NonNegativeInt = Annotated[int, Field(strict=True, ge=0)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0)]
NonNegativeFloat = Annotated[float, Field(strict=True, ge=0)]
Precision = Literal["fp32", "bf16", "fp16"]
"""Of the arithmetic of a step, by autocast."""
Layout = Literal["contiguous", "channels_last"]
"""How images and weights lie in memory while a network trains, torch's memory formats: channel by channel, or the
channels of a pixel side by side, which convolutions may gain by.

Either computes the same sums in another order, so that results differ by rounding: a run gives the same bits again in
the same layout.
"""


RECORDED = "recorded"
"""Validation context for a run read back from its records: its data need not be on this machine."""


def as_data(value: object) -> object:
    """Parse a text to the table that it stands for; a path of data may have any signs."""
    if isinstance(value, str) and value and is_own_path(Path(value)):
        return {"name": value}
    return as_choice(value)


class Data(Frozen):
    """The data set of a run, and the parts of it to train on and to hold out."""

    name: str
    train_images: PositiveInt | None = None
    """Use only so many training images, stratified; None is all that are not held out."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Part of the training set held out for validation, stratified, the same for every run."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        # What was trained is read back wherever its data are.
        if info.context != RECORDED and not is_dataset(name):
            raise ValueError(unknown_dataset(name))
        return name


def _known_model(choice: Choice) -> Choice:
    if not is_model(choice.name):
        raise ValueError(unknown_model(choice.name))
    return choice


def _known_function(path: str) -> str:
    if not is_factory(path):
        raise ValueError("must be of the form package.module:function")
    return path


def _known_augmentation(choice: Choice) -> Choice:
    augment.choose(choice)
    return choice


def _in_order(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    augment.compose(*map(augment.choose, choices))
    return choices


CROSS_ENTROPY = Choice(name="cross_entropy")
Model = Annotated[Choice, BeforeValidator(as_choice), AfterValidator(_known_model)]
Loss = Annotated[
    Choice,
    BeforeValidator(as_choice),
    AfterValidator(partial(check_name, "loss", known=LOSSES)),
]
Metric = Annotated[
    Choice,
    BeforeValidator(as_choice),
    AfterValidator(partial(check_name, "metric", known=METRICS)),
]
Augmentation = Annotated[
    Choice, BeforeValidator(as_choice), AfterValidator(_known_augmentation)
]


class Run(Frozen):
    """One training, complete: the same Run gives the same bits on the same machine and number of threads."""

    data: Annotated[Data, BeforeValidator(as_data)]
    model: Model
    optimizer: Optimizer
    lr: Annotated[float | Choice, BeforeValidator(partial(number_or_policy, "lr", LR_POLICIES))]
    """A number, or a policy: `exp_range(base_lr=1e-4, max_lr=1e-2)`; losslab.policies lists them."""
    batch: Annotated[
        int | Choice, BeforeValidator(partial(number_or_policy, "batch", BATCH_POLICIES))
    ]
    """A number of images, or a policy: `exp_range(b_min=64, b_max=1024)`."""
    augment: Annotated[tuple[Augmentation, ...], AfterValidator(_in_order)] = ()
    """Augmentations of training images: `["pad_crop", "flip", "cutout(size=16)"]`; losslab.augment lists them."""
    repeats: PositiveInt = 1
    """M of batch augmentation: how many copies of each image, each augmented on its own, a step trains on."""
    max_micro_batch: PositiveInt | None = None
    """Steps of more images, copies counted, are accumulated from parts of at most so many."""
    weight_decay: NonNegativeFloat = 0.0
    """Strength of L2 on weights of two or more dimensions (not on biases and normalisation scales)."""
    parameter_groups: Annotated[str, AfterValidator(_known_function)] | None = None
    """The function that gives groups like torch's for the model, as ``module:function``. `lr_scale` in a group is a
    factor on the run's lr, `lr` a number or policy in its place; a group without `weight_decay` has the run's."""
    epochs: PositiveFloat | None = None
    steps: PositiveInt | None = None
    evaluate: Literal["epoch", "end"] = "epoch"
    """When to evaluate: after every epoch and at the end, or at the end alone."""
    test: bool = True
    """Whether the final record reads the test set; a search never does."""
    seed: NonNegativeInt = 0
    loss: Loss = CROSS_ENTROPY
    """The loss: `cross_entropy(label_smoothing=0.1)`, another of losslab.tasks.LOSSES, or `module:function`."""
    metrics: tuple[Metric, ...] | None = None
    """Metrics beside the loss: `["accuracy", "top_k(k=5)"]`; the usual ones of the loss when None."""
    precision: Precision = "fp32"
    """Of the arithmetic of a step, by autocast; weights and optimizer stay float32."""
    clip_norm: PositiveFloat | None = None
    """A gradient of a larger norm, over all weights, is scaled down to this one."""
    average: Annotated[Choice | None, BeforeValidator(check_average)] = None
    """Evaluated beside the weights: `ema(decay=0.999)`, or `equal(start=0.75)`, the mean over what comes after."""
    momentum: Annotated[Choice | None, BeforeValidator(check_momentum)] = None
    """Cycled against `lr`, in place of the optimizer's momentum: `cycled(base_momentum=0.85, max_momentum=0.95)`."""
    plateau: Annotated[Choice | None, BeforeValidator(check_plateau)] = None
    """A factor on `lr` that falls where the loss stops falling: `reduce(factor=0.5, patience=3)`; told the validation
    loss of each evaluation, or the training loss where nothing is held out."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of `epochs` and `steps`")
        return self

    @model_validator(mode="after")
    def _cycled(self) -> Self:
        if self.momentum is not None:
            check_cycled_against(self.lr)
            check_has_momentum(self.optimizer)
        return self

    @model_validator(mode="after")
    def _evaluated_for_plateau(self) -> Self:
        if self.plateau is not None and self.evaluate == "end":
            raise ValueError(
                "`plateau` needs evaluations along the way; set `evaluate` to 'epoch'"
            )
        return self

    @property
    def id(self) -> str:
        """The identity of the run: 12 hexadecimal digits of the hash of what its spec says beyond the defaults.

        Leaving defaults out keeps the identity of old runs when a later version adds a field.
        """
        fields = self.model_dump(mode="json", exclude_defaults=True)
        # The name of a method is a default of its class, but not of the run.
        fields["optimizer"] = {**fields["optimizer"], "name": self.optimizer.name}
        return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def make_run(fields: dict[str, Any], *, of_record: bool = False) -> Run:
    """Make the Run of plain fields, as the command line and stages give them.

    Args:
        fields: of the run.
        of_record: whether they are those of a run that was trained: its data need not be here.
    Raises:
        InvalidInput: every fault of the fields in one message, each with its path.
    """
    try:
        return Run.model_validate(fields, context=RECORDED if of_record else None)
    except ValidationError as error:
        raise InvalidInput(faults(error)) from error
