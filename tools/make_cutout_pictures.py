"""Make the pictures of the study batch-augmentation: what cutout and M = 8 copies do to two images of CIFAR-10.

Made beforehand, because a report is written from records alone, where torch and the data set may be missing.

Run: python tools/make_cutout_pictures.py
"""

import io
import json
from base64 import b64encode

import torch
from PIL import Image

from losslab.augment import compose, cutout, flip, normalize, pad_crop, repeat
from losslab.data import load
from losslab.study.load import study_home

IMAGES = {7: "a horse", 8: "a ship"}
"""Place in the training set -> what is seen there."""
COPIES = 8
SEED = 7
PICTURES = study_home("batch-augmentation") / "pictures.json"


def main() -> None:
    """Write the pictures to their place in the package."""
    data = load("cifar10")
    images = torch.from_numpy(data.train_images[list(IMAGES)])
    normal = normalize(data.mean, data.std)
    generator = torch.Generator().manual_seed(SEED)
    erased = compose(normal, cutout(16))(images, generator)
    copies = compose(repeat(COPIES), pad_crop(4), flip(), normal, cutout(16))(
        images[:1], generator
    )
    names = list(IMAGES.values())
    columns = {
        "before": _pictures(normal(images), names),
        "after": _pictures(
            erased,
            [f"{name}, {_erased(image)}" for name, image in zip(names, erased, strict=True)],
        ),
        "copies": _pictures(
            copies, [f"{names[0]}, shifted, {_erased(image)}" for image in copies]
        ),
    }
    PICTURES.write_text(json.dumps(columns, indent=1) + "\n")
    print(PICTURES, f"{PICTURES.stat().st_size:,} bytes")


def _pictures(images: torch.Tensor, words: list[str]) -> list[dict[str, str]]:
    return [
        {"words": text, "png": _png(image)} for text, image in zip(words, images, strict=True)
    ]


def _png(image: torch.Tensor) -> str:
    """A normalised image in its colours; what cutout set to 0 has the mean colour."""
    data = load("cifar10")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    pixels = ((image * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "PNG", optimize=True)
    return b64encode(file.getvalue()).decode()


def _erased(image: torch.Tensor) -> str:
    rows, columns = (torch.nonzero((image == 0).all(0).any(side)).flatten() for side in (1, 0))
    return f"{len(rows)} by {len(columns)} pixels erased"


if __name__ == "__main__":
    main()
