"""What the study found about convolutional architectures: every number in it comes from a ledger."""

from dataclasses import dataclass
from itertools import chain

from losslab.studies.architectures.alexnet import AlexNet, alexnet_of
from losslab.studies.architectures.inception import Inception, inception_of
from losslab.studies.architectures.stacks import SIDE_OF_N, Stacks, stacks_of
from losslab.studies.architectures.vgg19 import Vgg19, vgg19_of
from losslab.study.results import StudyResults


@dataclass(frozen=True)
class Findings:
    """The answers of the study; None where a part has not been counted.

    Attributes:
        summary: (subject, what was found).
        conventions: by what rules it is counted.
        side_of_n: the side of the field of N layers.
        alexnet: question 1.
        vgg19: question 2.
        stacks: question 3.
        inception: question 4.
    """

    summary: tuple[tuple[str, str], ...]
    conventions: str
    side_of_n: str
    alexnet: AlexNet | None
    vgg19: Vgg19 | None
    stacks: Stacks | None
    inception: Inception


def findings(results: StudyResults) -> Findings:
    """Find all that the page of the study says of its ledgers."""
    alexnet = alexnet_of(results.ledgers("alexnet"))
    vgg19 = vgg19_of(results.ledgers("vgg19").get("vgg19"))
    networks = {}
    if alexnet:
        networks["AlexNet"] = results.ledgers("alexnet")["alexnet"]
    if vgg19:
        networks["VGG19"] = vgg19.ledger
    stacks = stacks_of(results.counts.get("stacks", ()), networks)
    inception = inception_of(results.ledgers("inception"))
    summary = (
        ("AlexNet.", alexnet.answer if alexnet else ""),
        ("VGG19.", vgg19.answer if vgg19 else ""),
        ("Receptive fields.", stacks.answer if stacks else ""),
        ("Inception.", f"{inception.sizes} {inception.cost}".strip()),
    )
    return Findings(
        summary=tuple((subject, sentences) for subject, sentences in summary if sentences),
        conventions=_conventions(results),
        side_of_n=SIDE_OF_N,
        alexnet=alexnet,
        vgg19=vgg19,
        stacks=stacks,
        inception=inception,
    )


def _conventions(results: StudyResults) -> str:
    """List the conventions that ledgers state, each once."""
    networks = chain.from_iterable(results.counts.values())
    return " ".join(dict.fromkeys(result.ledger["convention"] for result in networks))
