"""What cutout has over dropout, after DeVries & Taylor 2017, arXiv:1708.04552."""

from losslab.tables import Table

AGAINST_DROPOUT = Table(
    label="Cutout against dropout",
    title="",
    headings=("what", "dropout", "cutout"),
    rows=(
        ("What is removed", "single units, each on its own", "a connected part of the input"),
        (
            "What the network can still see",
            "nearly everything: neighbouring pixels and activations carry the same information, so that a missing one "
            "is filled in from around it, and dropout acts as noise",
            "what is around the square: nothing inside can be guessed from the next pixel, so that other parts of the "
            "object, and its surroundings, must be used",
        ),
        (
            "In later layers",
            "each feature map loses other units: what is missing in one is there in the next, and the picture becomes "
            "inconsistent",
            "the part is gone from the input, hence from every feature map that follows, as if something stood before "
            "the object",
        ),
        (
            "What it amounts to",
            "noise on the activations; convolutional layers have few parameters and need less of that kind of "
            "regularisation to begin with",
            "new, partly hidden examples: augmentation, close to what occlusion does in real scenes",
        ),
        (
            "Cost and company",
            "random numbers in every layer; training and test differ in scale",
            "a few pixels set before the network, which stays as it is; goes together with other augmentation, with "
            "batch norm and with dropout",
        ),
    ),
)
