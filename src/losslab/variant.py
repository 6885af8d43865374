"""The ways to carry out a network's steps: how images and weights lie in memory, and whether the network is compiled.

All compute the same, but sums are taken in another order, so that results differ by rounding: a run gives the same bits
again by the same variant. This module knows no torch.
"""

from typing import Literal

Variant = Literal["contiguous", "channels_last", "contiguous+compile", "channels_last+compile"]
MOST_COMPILED = 8
"""Sizes of batch that a run may have to be compiled, each on its own; torch itself gives up beyond."""


def is_compiled(variant: Variant) -> bool:
    """Whether `torch.compile` makes the steps."""
    return variant.endswith("+compile")


def is_channels_last(variant: Variant) -> bool:
    """Whether the channels of a pixel lie side by side, which convolutions may gain by."""
    return variant.startswith("channels_last")


def other_layout(variant: Variant) -> Variant:
    """The other one of the two that are not compiled."""
    return "contiguous" if is_channels_last(variant) else "channels_last"


def compiled(variant: Variant) -> Variant:
    """The variant of the same layout that is compiled."""
    return "channels_last+compile" if is_channels_last(variant) else "contiguous+compile"
