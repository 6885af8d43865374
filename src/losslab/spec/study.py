"""A study: stages of runs to train and of networks to count, read from a TOML file."""

import json
import re
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from losslab.choice import Frozen
from losslab.errors import InvalidInput
from losslab.optimizers import choose
from losslab.spec.faults import faults
from losslab.spec.run import Model, PositiveFloat, PositiveInt

ALSO_COUNTED = ("sgd-momentum", "rmsprop-momentum")
"""Optimizers that a count knows beside the methods."""
# A data file that is given by mistake would be parsed for minutes before its first fault.
MAX_SPEC_BYTES = 1_000_000


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


RANGES = {"lr_range": ("lr_min", "lr_max", "suggestion"), "batch_range": ("b_min", "b_max")}
"""Findings of range tests, which are read step by step, and in which to diverge is a result -> what they find."""
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
