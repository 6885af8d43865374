"""Nested tensors: a tensor, or a tuple, list or mapping of such, all with the samples along their first axis."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch


def leaves(tree: Any) -> Iterator[torch.Tensor]:
    """The tensors of a tree, in order."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for branch in tree.values():
            yield from leaves(branch)
    elif isinstance(tree, tuple | list):
        for branch in tree:
            yield from leaves(branch)


def mapped(change: Callable[[torch.Tensor], Any], tree: Any) -> Any:
    """Change every tensor of a tree; other leaves stay as they are.

    Example:
        >>> mapped(len, {"ids": torch.zeros(3, 2), "rest": (torch.ones(3),)})
        {'ids': 3, 'rest': (3,)}
    """
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {key: mapped(change, branch) for key, branch in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(mapped(change, branch) for branch in tree)
    return tree


def as_tensors(tree: Any) -> Any:
    """Turn every numpy array of a tree into a tensor.

    Raises:
        TypeError: when a leaf is neither a tensor nor a numeric array.
    """
    if isinstance(tree, torch.Tensor):
        return tree
    if isinstance(tree, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(tree))
    if isinstance(tree, Mapping):
        return {key: as_tensors(branch) for key, branch in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(as_tensors(branch) for branch in tree)
    raise TypeError(f"a {type(tree).__name__} is neither a tensor nor a numpy array")


def sample_count(tree: Any) -> int:
    """Count the samples of a tree.

    Raises:
        ValueError: when it holds no tensor, or its tensors hold different numbers of samples.
    """
    shapes = [tuple(leaf.shape) for leaf in leaves(tree)]
    if not shapes or not all(shapes):
        raise ValueError("it holds no tensor whose first axis is the sample")
    counts = {shape[0] for shape in shapes}
    if len(counts) > 1:
        raise ValueError(
            f"its tensors hold different numbers of samples: {', '.join(map(str, shapes))}"
        )
    return counts.pop()
