"""How images and weights lie in memory while a network trains: torch's memory formats, known here without torch.

Either computes the same sums in another order, so that results differ by rounding: a run gives the same bits again in
the same layout.
"""

from typing import Literal

Layout = Literal["contiguous", "channels_last"]
"""Channel by channel, or the channels of a pixel side by side, which convolutions may gain by."""


def other_layout(layout: Layout) -> Layout:
    """The one of the two that this is not."""
    return "contiguous" if layout == "channels_last" else "channels_last"
