"""Make the embedded sample of Fashion-MNIST from the whole: stratified, seeded, the same bytes every time.

Run: python tools/make_sample.py
"""

from losslab.data import load, split
from losslab.data.catalog import CATALOG
from losslab.data.loading import stored_path
from losslab.data.store import write_arrays

SAMPLE = CATALOG["fashion-mnist-sample"]


def main() -> None:
    """Write the sample to its place in the package."""
    whole = load("fashion-mnist")
    train, _ = split(whole.train_labels, validation_fraction=0, train_images=SAMPLE.counts[0])
    test, _ = split(whole.test_labels, validation_fraction=0, train_images=SAMPLE.counts[1])
    arrays = {
        "train_images": whole.train_images[train],
        "train_labels": whole.train_labels[train],
        "test_images": whole.test_images[test],
        "test_labels": whole.test_labels[test],
    }
    facts = {
        "name": SAMPLE.name,
        "source": "embedded in losslab",
        "licence": "MIT, copyright 2017 Zalando SE",
    }
    write_arrays(stored_path(SAMPLE), arrays, facts)
    print(stored_path(SAMPLE), f"{stored_path(SAMPLE).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
