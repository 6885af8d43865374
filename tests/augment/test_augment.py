"""Augmentations on the same random numbers as a loop over images, to the bit; their draws; misuse."""

import pickle
import subprocess
import sys
from typing import Any

import augment_references as reference
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from losslab.augment import (
    Augmentation,
    choose,
    compose,
    cutout,
    flip,
    normalize,
    pad_crop,
    repeat,
)
from losslab.choice import Choice, parse_choice
from losslab.randomness import generator

DRAWS = 10_000
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
EVERY = [
    pad_crop(2),
    pad_crop(2, padding_mode="reflect"),
    flip(),
    cutout(3),
    cutout(4, mode="inside"),
    repeat(3),
]
NORMALIZE = normalize(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))


def images(
    count: int = 7, channels: int = 3, height: int = 8, width: int = 6, dtype: Any = torch.uint8
) -> Tensor:
    """No pixel is 0, so that what was erased or padded can be told."""
    return torch.randint(
        1, 256, (count, channels, height, width), generator=generator(0, "pixels")
    ).to(dtype)


def by_reference(augment: Augmentation, batch: Tensor, drawn: Tensor) -> Tensor:
    options = vars(augment)
    one = getattr(reference, type(augment).__name__)
    return torch.stack(
        [one(image, row, **options) for image, row in zip(batch, drawn.tolist(), strict=True)]
    )


def chi_square(counts: Tensor) -> float:
    """Standard deviations by which the statistic of equally likely classes exceeds its mean."""
    expected = counts.sum() / counts.numel()
    freedom = counts.numel() - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5)


@settings(max_examples=150, deadline=None)
@given(
    augment=st.one_of(
        st.builds(pad_crop, st.integers(1, 9)),
        st.builds(pad_crop, st.integers(1, 4), st.just("reflect")),
        st.just(flip()),
        st.builds(
            cutout,
            st.integers(1, 5),
            st.sampled_from(["clipped", "inside"]),
            st.sampled_from([0, 7]),
        ),
    ),
    count=st.integers(1, 9),
    channels=st.sampled_from([1, 3, 4]),
    height=st.integers(5, 12),
    width=st.integers(5, 12),
    dtype=st.sampled_from(
        [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64]
    ),
    layout=st.sampled_from(sorted(LAYOUTS)),
    seed=st.integers(0, 2**31),
)
def test_each_equals_a_loop_over_images_to_the_bit(
    augment: Augmentation,
    count: int,
    channels: int,
    height: int,
    width: int,
    dtype: Any,
    layout: str,
    seed: int,
) -> None:
    batch = images(count, channels, height, width, dtype).contiguous(
        memory_format=LAYOUTS[layout]
    )
    if dtype.is_floating_point:
        batch[0, 0, 0, :2] = torch.tensor([-0.0, float("inf")])
    kept = batch.clone()
    drawn = augment.draw(count, batch, generator(seed, "draw"))
    result = augment.apply(batch, drawn)
    assert torch.equal(result, by_reference(augment, batch, drawn))
    assert torch.equal(result.signbit(), by_reference(augment, batch, drawn).signbit())
    assert torch.equal(batch, kept)
    assert result.dtype == dtype


@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
def test_the_ends_of_the_draws_are_within_bounds(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch, "rand", lambda *shape, **_: torch.full(shape, number, dtype=torch.float64)
    )
    for side in range(1, 400):
        drawn = cutout(1).draw(1, torch.empty(1, 1, side, side))
        assert drawn.tolist() == [[0, 0] if number == 0 else [side - 1, side - 1]]


@pytest.mark.parametrize("augment", EVERY, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 4])
def test_dtype_and_memory_format_are_kept_and_the_input_is_not_modified(
    augment: Augmentation, layout: str, channels: int, count: int
) -> None:
    for dtype in (torch.uint8, torch.float32):
        batch = images(count, channels, dtype=dtype).contiguous(memory_format=LAYOUTS[layout])
        before = batch.clone()
        result = augment(batch, generator(0, "augment"))
        assert result.dtype == dtype
        assert result.is_contiguous(memory_format=LAYOUTS[layout])
        assert torch.equal(batch, before)


@pytest.mark.parametrize("augment", EVERY, ids=str)
def test_images_that_are_a_view_are_augmented_like_their_copy(augment: Augmentation) -> None:
    view = images(14, 3, 8, 12)[::2, :, :, 3:9]
    drawn = augment.draw(7, view, generator(0, "augment"))
    assert torch.equal(augment.apply(view, drawn), augment.apply(view.contiguous(), drawn))


def erased(
    augment: cutout, height: int, width: int, channels: int = 2
) -> tuple[Tensor, Tensor]:
    """Over many draws: which pixels were erased, and the numbers that said so."""
    ones = torch.ones(DRAWS, channels, height, width)
    drawn = augment.draw(DRAWS, ones, generator(3, "augment"))
    result = augment.apply(ones, drawn)
    assert (result[:, :1] == result).all()  # the same in every channel
    return result[:, 0] == 0, drawn


def test_cutout_erases_exactly_the_clipped_square() -> None:
    height, width, size = 32, 24, 16
    gone, drawn = erased(cutout(size), height, width)
    row, column = drawn.numpy().T
    rows = np.minimum(row + size // 2, height) - np.maximum(row - size // 2, 0)
    columns = np.minimum(column + size // 2, width) - np.maximum(column - size // 2, 0)
    np.testing.assert_array_equal(gone.sum(dim=(1, 2)).numpy(), rows * columns)
    solid = gone.any(2).sum(1) * gone.any(1).sum(1)
    assert torch.equal(solid, gone.sum(dim=(1, 2)))  # one rectangle without holes


def test_cutout_inside_erases_a_whole_square_at_places_equally_likely() -> None:
    gone, _ = erased(cutout(16, mode="inside"), 32, 24)
    assert set(gone.sum(dim=(1, 2)).tolist()) == {256}
    first = gone.flatten(1).to(torch.uint8).argmax(1)
    top, left = first // 24, first % 24
    counts = torch.bincount(top * 9 + left, minlength=17 * 9)
    assert len(counts) == 17 * 9
    assert abs(chi_square(counts)) < 4


def test_the_centre_is_any_pixel_equally_likely() -> None:
    gone, _ = erased(cutout(1), 32, 24)  # a square of one pixel is its centre
    assert set(gone.sum(dim=(1, 2)).tolist()) == {1}
    assert abs(chi_square(gone.sum(0))) < 4


def test_the_erased_area_is_distributed_as_the_theory_says() -> None:
    """A side of the clipped square is 16 for 17 of the 32 centres, 9 to 15 for two each and 8 for one."""
    gone, _ = erased(cutout(16), 32, 32)
    likely = np.zeros(17)
    for centre in range(32):
        likely[min(centre + 8, 32) - max(centre - 8, 0)] += 1 / 32
    area = np.outer(np.arange(17), np.arange(17))
    expected = (
        np.bincount(area.ravel(), weights=np.outer(likely, likely).ravel(), minlength=257)
        * DRAWS
    )
    seen = np.bincount(gone.sum(dim=(1, 2)).numpy(), minlength=257)
    possible = expected > 0
    assert (seen[~possible] == 0).all()
    freedom = possible.sum() - 1
    statistic = ((seen - expected)[possible] ** 2 / expected[possible]).sum()
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5


def test_each_image_of_a_batch_is_augmented_on_its_own() -> None:
    batch = images(1, 3, 32, 32).expand(64, -1, -1, -1)
    different = [
        len(augment(batch, generator(0, "augment")).unique(dim=0))
        for augment in (pad_crop(), flip(), cutout())
    ]
    assert different[0] > 40
    assert different[1] == 2
    assert different[2] > 50


def test_crops_and_flips_are_equally_likely() -> None:
    pixel = torch.zeros(DRAWS, 1, 9, 9)
    pixel[:, :, 4, 4] = 1
    moved = pad_crop(4)(pixel, generator(1, "augment")).sum(dim=(0, 1))
    assert moved.sum() == DRAWS
    assert abs(chi_square(moved)) < 4
    pixel = torch.zeros(DRAWS, 1, 1, 2)
    pixel[..., 0] = 1
    mirrored = int(flip()(pixel, generator(1, "augment"))[..., 1].sum())
    assert abs(mirrored - DRAWS / 2) < 4 * (DRAWS / 4) ** 0.5


FULL = compose(repeat(4), pad_crop(4), flip(), NORMALIZE, cutout(16))


def test_the_same_seed_gives_the_same_copies_and_no_two_are_equal() -> None:
    batch = images(16, 3, 32, 32)
    copies, again, other = (FULL(batch, generator(0, "augment", step)) for step in (5, 5, 6))
    assert torch.equal(copies, again)
    assert not torch.equal(copies, other)
    assert len(copies.unique(dim=0)) == 64


def test_copies_follow_each_other_as_their_labels_do() -> None:
    batch = images(5)
    assert torch.equal(repeat(3)(batch), batch.repeat(3, 1, 1, 1))
    assert torch.equal(repeat(3)(batch)[5:10], batch)


def test_a_composition_is_its_steps_on_its_numbers() -> None:
    batch = images(6, 3, 32, 32)
    drawn = FULL.draw(24, batch, generator(0, "augment"))
    expected = pad_crop(4).apply(batch.repeat(4, 1, 1, 1), drawn[:, :2])
    expected = flip().apply(expected, drawn[:, 2:3])
    expected = cutout(16).apply(NORMALIZE(expected), drawn[:, 3:])
    assert torch.equal(FULL.apply(batch, drawn), expected)
    assert torch.equal(
        compose(compose(repeat(4), pad_crop(4), flip()), NORMALIZE, cutout(16)).apply(
            batch, drawn
        ),
        expected,
    )


def test_normalize_is_its_formula() -> None:
    batch = images()
    mean, std = (
        np.array(values).reshape(1, 3, 1, 1) for values in (NORMALIZE.mean, NORMALIZE.std)
    )
    np.testing.assert_allclose(
        NORMALIZE(batch).numpy(), (batch.numpy() / 255 - mean) / std, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("pad_crop(padding=2)", pad_crop(2)),
        ("pad_crop(padding=2, padding_mode='reflect')", pad_crop(2, padding_mode="reflect")),
        ("flip", flip()),
        ("flip(alternate=True)", flip(alternate=True)),
        ("cutout(size=3, mode='inside')", cutout(3, mode="inside")),
    ],
)
def test_a_choice_is_the_augmentation_that_prints_like_it(text: str, meant: Any) -> None:
    augment = choose(Choice.model_validate(parse_choice(text)))
    assert augment == meant
    assert choose(Choice.model_validate(parse_choice(str(augment)))) == augment
    assert pickle.loads(pickle.dumps(augment)) == augment


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: repeat(0),
            r"`copies` \(=0\) must be a whole number of at least 1; 1 trains on every image once",
        ),
        (lambda: repeat(2.0), r"`copies` \(=2\.0\) must be a whole number"),  # type: ignore[arg-type]
        (lambda: pad_crop(0), r"`padding` \(=0\) must be a whole number of at least 1"),
        (lambda: pad_crop(True), r"`padding` \(=True\) must be a whole number"),
        (lambda: cutout(-1), r"`size` \(=-1\) must be a whole number of at least 1"),
        (
            lambda: cutout(mode="outside"),
            r"`mode` \(='outside'\) must be 'clipped' or 'inside'",
        ),  # type: ignore[arg-type]
        (lambda: cutout(fill="mean"), r"`fill` \(='mean'\) must be a number"),  # type: ignore[arg-type]
        (
            lambda: cutout(9)(images()),
            r"`size` \(=9\) must not exceed the images' 8x6 pixels; half a side, 3",
        ),
        (
            lambda: cutout(3, fill=0.5)(images()),
            r"`fill` \(=0\.5\) must be one of 0 \.\.\. 255 for uint8",
        ),
        (
            lambda: normalize((0.5,), (0.0,)),
            r"`std` \(=\(0\.0,\)\) must be positive, one for each of `mean`",
        ),
        (
            lambda: normalize((0.5, 0.5), (0.2,)),
            r"`std` \(=\(0\.2,\)\) must be positive, one for each of `mean`",
        ),
        (
            lambda: NORMALIZE(images(dtype=torch.float32)),
            r"`images` \(=torch\.float32 of 3 channels\) must be uint8",
        ),
        (lambda: NORMALIZE(images(channels=1)), r"of 1 channels\) must be uint8 of 3 channels"),
        (
            lambda: compose(cutout(), flip()),
            r"`flip\(alternate=False\)` must come before `cutout.*the order is repeat, then pad_crop",
        ),
        (
            lambda: compose(flip(), repeat(2)),
            r"`repeat\(copies=2\)` must come before `flip\(alternate=False\)`",
        ),
        (lambda: compose(cutout(), NORMALIZE), r"`normalize.* must come before `cutout"),
        (
            lambda: flip()(images()[0]),
            r"of shape \(3, 8, 6\)\) must be \(batch, channel, height, width\).*images\[None\]",
        ),
        (
            lambda: pad_crop(6, padding_mode="reflect")(images()),
            r"`padding` \(=6\) must be less than the side of an image \(=6\)",
        ),
        (
            lambda: pad_crop(2, padding_mode="wrap"),  # type: ignore[arg-type]
            r"`padding_mode` \(='wrap'\) must be 'constant' or 'reflect'",
        ),
        (lambda: flip(alternate=2), r"`alternate` \(=2\) must be"),  # type: ignore[arg-type]
        (lambda: flip()(images()[:0]), r"of shape \(0, 3, 8, 6\)\) must be .* with no size 0"),
        (
            lambda: flip()(images(dtype=torch.int64)),
            r"=torch\.int64 of .* must be uint8 or floating",
        ),
        (lambda: FULL(images().numpy()), r"`images` \(a ndarray\) must be a tensor"),  # type: ignore[arg-type]
        (lambda: choose(Choice(name="cutot")), "did you mean 'cutout'"),
        (lambda: choose(Choice(name="cutout", sise=3)), "did you mean 'size'"),  # type: ignore[call-arg]
    ],
)
def test_misuse_is_refused_with_argument_value_rule_and_next_step(
    make: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_importing_augmentations_does_not_import_torch() -> None:
    code = "import sys, losslab.augment, losslab.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
