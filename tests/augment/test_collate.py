"""Collating for a DataLoader: labels stay with their images, and what would have to move with pixels is refused."""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from losslab.augment import compose, flip, repeat

IMAGE = torch.zeros(3, 8, 8, dtype=torch.uint8)
AUGMENT = compose(repeat(3), flip())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_collates_with_it_and_labels_stay_with_their_images(workers: int) -> None:
    samples = [(torch.full((3, 8, 8), label, dtype=torch.uint8), label) for label in range(20)]
    loader = DataLoader(
        samples, batch_size=8, shuffle=True, num_workers=workers, collate_fn=AUGMENT.collate
    )  # type: ignore[arg-type]
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [24, 24, 12]
    for pixels, labels in batches:
        assert torch.equal(pixels[:, 0, 0, 0].to(torch.int64), labels)
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == sorted(
        [*range(20)] * 3
    )


@pytest.mark.parametrize(
    "label",
    [3, 0.5, torch.tensor(3), torch.tensor([0.2, 0.5, 0.3]), torch.tensor([1, 0, 1, 1])],
    ids=["number", "value", "tensor", "probabilities", "several classes"],
)
def test_numbers_probabilities_and_flags_are_labels(label: Any) -> None:
    _, labels = AUGMENT.collate([(IMAGE, label), (IMAGE, label)])
    assert torch.equal(labels, torch.stack([torch.as_tensor(label)] * 6).to(labels.dtype))


@pytest.mark.parametrize(
    ("label", "described"),
    [
        (torch.zeros(8, 8, dtype=torch.int64), r"a tensor of shape \(2, 8, 8\)"),
        (torch.tensor([4.0, 4.0, 7.0, 7.0]), r"a tensor of shape \(2, 4\)"),
        (torch.tensor([[4.0, 4.0, 7.0, 7.0]]), r"a tensor of shape \(2, 1, 4\)"),
        ({"boxes": torch.zeros(1, 4), "labels": torch.zeros(1)}, "a dict"),
        ([1, 2], "a list"),
        ("cat", "a tuple"),
    ],
    ids=["mask", "box", "boxes", "target of a detector", "list", "text"],
)
def test_what_would_have_to_move_with_the_pixels_is_refused(label: Any, described: str) -> None:
    with pytest.raises(
        ValueError, match=rf"labels are {described}: masks, boxes and points would"
    ) as caught:
        AUGMENT.collate([(IMAGE, label), (IMAGE, label)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "samples",
    [
        [(IMAGE, 1, 2)],
        [IMAGE],
        [{"image": IMAGE, "label": 1}],
        [(IMAGE, torch.zeros(1, 4)), (IMAGE, torch.zeros(2, 4))],
        [(IMAGE, 1), (IMAGE[:, :4], 1)],
        [(object(), 1)],
    ],
    ids=["three values", "image alone", "dict", "several boxes", "sizes", "no tensors"],
)
def test_samples_of_another_form_are_one_line(samples: list[Any]) -> None:
    with pytest.raises(ValueError, match="`samples` must be") as caught:
        AUGMENT.collate(samples)
    assert "\n" not in str(caught.value)
