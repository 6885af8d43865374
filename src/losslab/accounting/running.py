"""Which modules of a twin are running, and how its run is called and its errors are told in one line."""

import inspect
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from losslab.accounting.autocast import autocast_of_models
from losslab.accounting.dtypes import EMBEDDINGS
from losslab.accounting.flex import flex_attention_as_attention
from losslab.accounting.misfit import Frame, misfit, shapes_in
from losslab.accounting.sparse import as_of_sparse
from losslab.accounting.values import DependsOnData, as_meta, without_values
from losslab.errors import InvalidInput

_OF_TENSORS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What torch raises where shapes or dtypes do not fit."""
_OF_MACHINES = ("cuda", "distributed")
"""Parts of torch that raise the same where a machine lacks something."""
_WHERE = "losslab_where"
"""Attribute of an error: the module that raised it."""


class NeedsIntegers(Exception):  # noqa: N818
    """An embedding was given the inputs of these names as floats."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__("an embedding needs integers")
        self.names = names


def check_integers(name: str, arguments: dict[str, Any], fed: dict[int, str]) -> None:
    """Raise NeedsIntegers where an input of floats, known by its id, goes straight into an embedding."""
    if name in EMBEDDINGS:
        indices = arguments["indices"]
        if indices.is_floating_point() and id(indices) in fed:
            raise NeedsIntegers(frozenset({fed[id(indices)]}))


@dataclass
class Running:
    """Which modules are running.

    Attributes:
        device: whose autocast the run imitates.
        running: outermost first.
        visits: how many calls of modules have begun.
    """

    device: str = "cpu"
    running: list[Frame] = field(default_factory=list)
    visits: int = 0

    @property
    def module(self) -> str:
        """Path of the innermost running module; empty for the model itself."""
        return self._innermost.path

    @property
    def visit(self) -> int:
        """Number of that module's call, counted over all calls of modules."""
        return self._innermost.visit

    @property
    def _innermost(self) -> Frame:
        return self.running[-1] if self.running else Frame()

    def follow(self, model: nn.Module) -> None:
        """Keep up with the modules of a twin as they run."""
        for path, module in model.named_modules():
            module.register_forward_pre_hook(
                self._entered(path), prepend=True, with_kwargs=True
            )
            # A model may catch what a module raises.
            module.register_forward_hook(self._left, always_call=True)

    def _entered(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.visits += 1
            kind, shapes = type(module).__name__, shapes_in(args, kwargs)
            self.running.append(Frame(path, kind, shapes, self.visits))

        return enter

    def _left(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        error = sys.exception()
        if output is None and error is not None:
            # Of the modules that an error leaves, the innermost comes first.
            vars(error).setdefault(_WHERE, self._innermost)
        self.running.pop()

    def failed(self, error: Exception) -> Frame:
        """The module that raised an error, or the one that is running."""
        return vars(error).get(_WHERE) or self._innermost


def run(
    model: nn.Module, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The model's output.

    Raises:
        InvalidInput: one line that says which layer got what, when its forward raises or depends on data.
    """
    try:
        with _as_if_real(running.device):
            return model(*args, **kwargs)
    except NeedsIntegers:
        raise
    except Exception as error:
        if isinstance(error, DependsOnData) or "meta tensor" in str(error):
            raise InvalidInput(
                f"{running.failed(error)}; {_line_of(error)}{_reads(error)}"
            ) from error
        says = f"{first_line(error)}{_as_one(model, args)}"
        frame = running.failed(error)
        if not _is_of_tensors(error):
            raise InvalidInput(f"{frame}: {says}") from error
        raise InvalidInput(misfit(model, shapes_in(args, kwargs), frame, says)) from error


def _is_of_tensors(error: Exception) -> bool:
    """Whether torch, or a check of this package, refused shapes or dtypes; what else a forward raises is its own."""
    if isinstance(error, NotImplementedError) or not isinstance(error, _OF_TENSORS):
        return False
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    package, _, rest = str(innermost.f_globals.get("__name__", "")).partition(".")
    return package in ("torch", "losslab") and rest.partition(".")[0] not in _OF_MACHINES


def _as_one(model: nn.Module, args: tuple[Any, ...]) -> str:
    """That a dictionary was given as one argument, which may not be what its names were meant for."""
    if len(args) != 1 or not isinstance(args[0], dict):
        return ""
    names = ", ".join(inspect.signature(model.forward).parameters)
    return f"; the input was one dictionary ({', '.join(map(str, args[0]))}): forward({names}) has no such names"


def _reads(error: Exception) -> str:
    return (
        f"reads the values of a tensor ({first_line(error)}), so what runs depends on the data; count follows one "
        "path: leave out the input that is read (a mask, say), or use a model without that branch"
    )


def _line_of(error: Exception) -> str:
    """The line of the model's own code that an error comes from: the innermost outside of torch and of this package."""
    traceback, line = error.__traceback__, "it "
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in ("torch", "losslab"):
            line = (
                f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno} ({code.co_name}) "
            )
        traceback = traceback.tb_next
    return line


@contextmanager
def _as_if_real(device: str) -> Iterator[None]:
    """What keeps a model from seeing that its tensors have no data, or from running what only data can run."""
    with (
        # First, since it lets one run in at a time, and what follows is the process's, too.
        autocast_of_models(device),
        # about speed and deprecation, none of which is counted
        warnings.catch_warnings(action="ignore"),
        _uncompiled(),
        flex_attention_as_attention(),
        _unvalidated_distributions(),
        _without_fast_path(),
        _OneDevice(),
    ):
        yield


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """torch's packs tensors by the values of their mask; the work is the same."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Compiled functions run as they were written; torch's compiler is imported only where something was compiled."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _unvalidated_distributions() -> Iterator[None]:
    """Distributions do not look whether the values of their parameters are allowed."""
    distribution = torch.distributions.Distribution
    validate = distribution._validate_args
    distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        distribution.set_default_validate_args(validate)


class _OneDevice(TorchFunctionMode):
    """Accelerators that a forward names are taken for the CPU, which a run without data stands for."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        sparse = as_of_sparse(func, args)
        if sparse is not None:
            return sparse
        if func is torch.Tensor.cuda:
            return args[0]
        if func is torch.Tensor.to and len(args) > 1 and _is_accelerator(args[1]):
            args = (args[0], "cpu", *args[2:])
        if _is_accelerator(kwargs.get("device")):
            kwargs["device"] = "cpu"
        # Some functions want one device of all: the floats on the meta device, or everything.
        for change in (without_values, as_meta):
            try:
                return func(*args, **kwargs)
            except RuntimeError as error:
                if "device" not in str(error).lower():
                    raise
            args, kwargs = change(args), change(kwargs)
        return func(*args, **kwargs)


def _is_accelerator(device: Any) -> bool:
    name = device if isinstance(device, str) else getattr(device, "type", None)
    return isinstance(name, str) and name.partition(":")[0] in (
        "cuda",
        "mps",
        "xpu",
        "hpu",
        "npu",
        "xla",
    )


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
