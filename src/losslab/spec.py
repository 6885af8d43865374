"""The specs: a Run is one training, a Study is stages of runs. TOML in, every fault reported at once.

Nothing here imports torch, so that a wrong spec is refused in a moment.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
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
from losslab.errors import InvalidInput, unknown_name
from losslab.models import is_model, unknown_model
from losslab.optimizers import OPTIMIZERS, Optimizer, check_has_momentum, choose
from losslab.policies import (
    BATCH_POLICIES,
    LR_POLICIES,
    check_cycled_against,
    check_momentum,
    check_plateau,
    number_or_policy,
)
from losslab.tasks import LOSSES, METRICS, check_name

ALSO_COUNTED = ("sgd-momentum", "rmsprop-momentum")
"""Optimizers that a count knows beside the methods."""
# A data file that is given by mistake would be parsed for minutes before its first fault.
MAX_SPEC_BYTES = 1_000_000
# strict=True: do not coerce True to 1 or "3" to 3.
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
NonNegativeInt = Annotated[int, Field(strict=True, ge=0)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0)]
NonNegativeFloat = Annotated[float, Field(strict=True, ge=0)]
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


AVERAGES = {"ema": {"decay": 0.999}, "equal": {"start": 0.75}}
"""Average -> its option and default, a number in [0, 1)."""


def _average(value: object) -> object:
    """A known average of weights, its option filled in."""
    if value is None:
        return None
    choice = Choice.model_validate(as_choice(value))
    if choice.name not in AVERAGES:
        raise ValueError(unknown_name("average", choice.name, AVERAGES))
    options = AVERAGES[choice.name] | choice.options
    for key, number in options.items():
        if key not in AVERAGES[choice.name]:
            raise ValueError(
                unknown_name(f"option of {choice.name}", key, AVERAGES[choice.name])
            )
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not 0 <= number < 1
        ):
            raise ValueError(f"`{key}` (={number}) must be a number from 0 to below 1")
    # With its default filled in, so that `ema` and `ema(decay=0.999)` are the same run.
    return Choice(name=choice.name, **options)


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
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the arithmetic of a step, by autocast; weights and optimizer stay float32."""
    clip_norm: PositiveFloat | None = None
    """A gradient of a larger norm, over all weights, is scaled down to this one."""
    average: Annotated[Choice | None, BeforeValidator(_average)] = None
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


class Count(Frozen):
    """One network to count and not to train, and what to measure of it beside its ledger."""

    model: Model
    input_shape: str | None = None
    """Of one sample, such as ``3x224x224``; None for the model's own default."""
    batch_size: PositiveInt = 1
    include_bias: bool = True
    compare: Model | None = None
    """Another model whose cost is put beside this one's."""
    optimizer: str | None = None
    """Add the memory of a training step with this optimizer."""
    gradient_support: bool = False
    """Add the region of the input that one output unit's gradient reaches: a receptive field by measurement."""

    @field_validator("optimizer")
    @classmethod
    def _known_optimizer(cls, text: str | None) -> str | None:
        if text is None or text in ALSO_COUNTED:
            return text
        try:
            choose(text)
        except ValidationError as error:
            raise ValueError(faults(error)) from None
        return text

    @property
    def id(self) -> str:
        """The count's file name: the model's name and a hash of what its spec says beyond the defaults."""
        fields = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        digest = sha256(fields.encode()).hexdigest()[:8]
        # The name is there for readers, and may be a path such as `timm/resnet50`, which is no name of a file.
        name = re.sub(r"[^a-z0-9]+", "-", self.model.name.lower())
        return f"{name}-{digest}"


class Floor(Frozen):
    """How far a budget may shrink a stage."""

    epochs: PositiveFloat = 1.0
    steps: PositiveInt = 50
    train_images: PositiveInt = 2000
    seeds: PositiveInt = 1
    grid: Mapping[str, PositiveInt | tuple[Any, ...]] = Field(default_factory=dict)
    """Field -> how many of its grid values must stay, spread evenly; or a list of those that must, of which the others
    leave in the order of the grid."""


class Rung(Frozen):
    """A smaller question that a stage asks where a budget is too small for the one above it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    base: dict[str, Any] = Field(default_factory=dict)
    """Field -> value in the place of the stage's own; `data.train_images` reaches into a table."""
    grid: tuple[dict[str, Any], ...] | None = None
    """Grids in the place of the stage's."""
    floor: Floor = Floor()


RANGES = ("lr_range", "batch_range")
"""Findings of range tests, which are read step by step, and in which to diverge is a result."""
Shrinkable = Literal["epochs", "images", "grid"]
"""What a budget shrinks: epochs or steps; training images; seeds and values of the grid."""


class Stage(Frozen):
    """A base run, a grid over its fields and a number of seeds; what it finds can be used by later stages.

    Or, in place of all these, networks to count; such a stage trains nothing.

    A value of the form ``"@STAGE.FIELD~ASSUMED"`` stands for what an earlier stage found; ASSUMED stands in for it
    where the cost is predicted before that stage has run.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    question: str = ""
    count: tuple[Count, ...] = ()
    """Networks to count."""
    base: dict[str, Any] = Field(default_factory=dict)
    grid: tuple[dict[str, Any], ...] = ({},)
    """Grids, each a field -> value or list of values that are crossed; the stage is the union of its grids."""
    seeds: PositiveInt = 1
    finding: Literal["best", "lr_range", "batch_range"] | None = None
    """What the stage finds in each group: `best`, the run of lowest final validation loss; `lr_range`, from ramps or a
    grid of learning rates, with lr_min, lr_max, suggestion; `batch_range`, from runs of equal steps, with b_min, b_max.
    """
    group: tuple[str, ...] = ()
    """Fields that are equal within a group, for each of which the stage finds something."""
    floor: Floor = Floor()
    ladder: tuple[Rung, ...] = ()
    """Smaller questions, the largest first, for budgets that are below the stage's floor."""
    full_only: bool = False
    """Left out at any scale but the full one, where a short version would show nothing; no later stage may use it."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.base) == bool(self.count):
            raise ValueError(
                "give exactly one of `base` (runs to train) and `count` (networks to count)"
            )
        fields = ("grid", "seeds", "finding", "group", "floor", "ladder")
        defaults = {name: type(self).model_fields[name].default for name in fields}
        changed = [name for name in fields if getattr(self, name) != defaults[name]]
        if self.count and changed:
            raise ValueError(
                f"a stage with `count` trains nothing; leave out {', '.join(changed)}"
            )
        return self


class Study(Frozen):
    """Stages that answer a question together.

    Attributes:
        part: its number among studies that belong together.
        shrink: what a budget shrinks, in order, each to the floors before the next begins.
        rung: the rung of the stages' ladders that this study was taken to; None as it is written.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    title: str
    part: PositiveInt | None = None
    shrink: tuple[Shrinkable, ...] = ("epochs", "images", "grid")
    rung: str | None = None
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @field_validator("shrink")
    @classmethod
    def _each_once(cls, shrink: tuple[Shrinkable, ...]) -> tuple[Shrinkable, ...]:
        if sorted(shrink) != ["epochs", "grid", "images"]:
            raise ValueError("must list `epochs`, `images` and `grid`, each once")
        return shrink


def read_study(path: Path) -> Study:
    """Read the study of a TOML file.

    Raises:
        InvalidInput: unreadable, no TOML, or faults in the spec; all of them in one message, each with its path.
    """
    try:
        if path.stat().st_size > MAX_SPEC_BYTES:
            raise InvalidInput(f"{path}: larger than {MAX_SPEC_BYTES:,} bytes; is it a study?")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not valid TOML: {error}") from error
    try:
        return Study.model_validate(table)
    except ValidationError as error:
        raise InvalidInput(f"{path}: {faults(error)}") from error


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


def faults(error: ValidationError) -> str:
    """List all faults of a spec in one line, each with its value's path."""
    found = []
    for item in error.errors():
        location = item["loc"]
        if item["type"] == "extra_forbidden":
            message = unknown_name("key", str(location[-1]), _keys(error.title, location))
            found.append(_fault(message, location, None))
        else:
            found.append(_fault(item["msg"], location, item.get("input")))
    # Each once: pydantic reports a fault for every alternative of a union that has it.
    return "; ".join(dict.fromkeys(found))


def _keys(title: str, location: tuple[int | str, ...]) -> Iterable[str]:
    """The keys of the table that a fault lies in."""
    tables: dict[str, type[Frozen]] = {
        "stages": Stage,
        "floor": Floor,
        "ladder": Rung,
        "count": Count,
        "data": Data,
        **OPTIMIZERS,
    }
    within = [part for part in location[:-1] if isinstance(part, str)]
    if within:
        return tables[within[-1]].model_fields
    return Study.model_fields if title == "Study" else Run.model_fields


def _fault(message: str, location: Iterable[int | str], value: Any) -> str:
    parts = list(location)
    if parts[:1] == ["optimizer"]:
        del parts[1:2]  # pydantic names the method of the union here
    keys = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts]
    path = "".join(keys).lstrip(".")
    text = message.removeprefix("Value error, ")
    if not path:
        return text
    # Tables and long texts would hide the rule; their path says where they are.
    is_short = isinstance(value, bool | int | float | str) and len(repr(value)) < 60
    shown = f" (={value!r})" if is_short else ""
    return f"`{path}`{shown}: {text[:1].lower()}{text[1:]}"
