"""Multiply-accumulates of a training step, forward and backward, by what autograd runs."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.accounting.axes import plain
from losslab.accounting.call import Call, bind, schema_of, tensors_in
from losslab.accounting.dtypes import check_call
from losslab.accounting.rules import work_of
from losslab.accounting.running import check_integers


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the MACs of all operations; a fused kernel's are those of the operations that it fuses.

    Args:
        names: id of an input's tensor -> its name, for an input without a dtype, which may have to be of integers.
        checked: whether dtypes must fit; under autocast they are made to.
    """

    def __init__(self, names: dict[int, str], *, checked: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self._names, self._checked = names, checked

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        arguments, name = bind(func, args, kwargs), schema_of(func).name
        check_integers(name, arguments, self._names)
        sources = tensors_in(args, kwargs)
        call = Call(name, func, arguments, sources, [], lambda tensor: plain(tensor.shape))
        # A backward pass has the dtypes of the forward pass, which autocast may have made fit.
        if self._checked and torch._C._current_graph_task_id() < 0:
            check_call(call)
        result = func(*args, **kwargs)
        outputs = tensors_in(result)
        if func is torch.ops.aten.convolution_backward.default:
            self.macs += _convolution_backward(arguments)
        elif outputs:
            self.macs += int(work_of(replace(call, outputs=outputs)).macs)
        return result


def _convolution_backward(arguments: dict[str, Any]) -> int:
    """The gradients of input and weight each take as many MACs as the forward pass; those not asked for, none."""
    weight: Tensor = arguments["weight"]
    positions: Tensor = (
        arguments["input"] if arguments["transposed"] else arguments["grad_output"]
    )
    forward = positions.numel() * weight[0].numel()
    wanted = [part for part in arguments["output_mask"][:2] if part]
    return forward * len(wanted)
