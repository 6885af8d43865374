"""`flex_attention` on the meta device: as attention without a mask, whose products it has."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional as F


@contextmanager
def flex_attention_as_attention() -> Iterator[None]:
    """Within, torch's function has another body: its own knows four devices, and compiles itself.

    A forward holds the function under a name of its own, so that the body is replaced and not the name. Nothing is
    done where no one has imported it, for its import takes seconds.
    """
    home: Any = sys.modules.get("torch.nn.attention.flex_attention")
    if home is None:
        yield
        return
    function = home.flex_attention
    original = function.__code__
    function.__code__ = _body.__code__
    try:
        yield
    finally:
        function.__code__ = original


def _body(  # type: ignore[no-untyped-def]
    query,
    key,
    value,
    score_mod=None,  # noqa: ARG001
    block_mask=None,  # noqa: ARG001
    scale=None,  # noqa: ARG001
    enable_gqa=False,
    return_lse=False,
    kernel_options=None,  # noqa: ARG001
    *,
    return_aux=None,
):
    # This body runs among the names of torch's module.
    from losslab.accounting.flex import (
        attention,
    )

    return attention(query, key, value, enable_gqa, return_lse or return_aux is not None)


def attention(
    query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool, with_sums: bool
) -> Any:
    """Every query meets every key: what a mask or a change of scores would save or cost is left out."""
    output = F.scaled_dot_product_attention(query, key, value, enable_gqa=enable_gqa)
    return (output, query.new_empty(query.shape[:-1])) if with_sums else output
