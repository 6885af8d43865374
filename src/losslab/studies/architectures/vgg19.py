"""Activation units and parameters of every layer of VGG19, without biases."""

from dataclasses import dataclass

from losslab.studies.architectures.layers import layer_table
from losslab.studies.architectures.ledgers import Ledger, exact, largest, memory
from losslab.tables import Table
from losslab.text import measured


@dataclass(frozen=True)
class Vgg19:
    """Question 2.

    Attributes:
        answer: the totals, and the layers that hold most.
        layers: layer by layer.
        totals: in full, with their bytes.
        memory: of a training step; may be empty.
        ledger: as counted.
    """

    answer: str
    layers: Table
    totals: str
    memory: str
    ledger: Ledger


def vgg19_of(ledger: Ledger | None) -> Vgg19 | None:
    """Answer question 2; None before the network is counted."""
    if ledger is None:
        return None
    return Vgg19(_answer(ledger), layer_table(ledger), _totals(ledger), memory(ledger), ledger)


def _answer(ledger: Ledger) -> str:
    totals = ledger["totals"]
    return (
        f"VGG19 without biases has {exact(totals['parameters'])} parameters and, for one image, "
        f"{exact(totals['activations'])} activation units, the input included. Most parameters are in "
        f"{largest(ledger, 'parameters')}, most activations in {largest(ledger, 'activations')}."
    )


def _totals(ledger: Ledger) -> str:
    totals = ledger["totals"]
    activations, parameters = (
        measured(totals["activation_bytes"] / 1e6),
        measured(totals["parameter_bytes"] / 1e6),
    )
    return (
        f"In full the total is {exact(totals['activations'])} activations, {activations} MB in float32, and "
        f"{exact(totals['parameters'])} parameters, {parameters} MB. A forward pass takes {exact(totals['macs'])} "
        "multiply-accumulates."
    )
