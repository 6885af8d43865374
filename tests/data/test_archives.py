"""Archives that nobody vouches for: what is read of them, and what has no effect."""

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_samples import ARRAYS, FILES, GZIPPED, tar, tiny_entry
from hypothesis import given
from hypothesis import strategies as st

from losslab.data import archives
from losslab.data.archives import read_members
from losslab.data.readers import read_official
from losslab.errors import DataCorrupt, DataUnavailable

pytestmark = pytest.mark.row(17)
WANTED = {"good": 100, "other": 100}


def listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["../good", "/tmp/good", "a/../../good", "..\\good", "./good"])
@pytest.mark.parametrize("form", ["tar", "zip"])
def test_paths_within_an_archive_write_nothing(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / "in" / "archive"
    path.parent.mkdir()
    if form == "tar":
        path.write_bytes(tar({name: b"content"}))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"content")
    before = listing(tmp_path)
    assert read_members(path, WANTED) in ({"good": b"content"}, {})
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE],
)
def test_links_and_devices_are_passed_over(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "archive.tar"
    member = tarfile.TarInfo("good")
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(path, "w") as archive:
        archive.addfile(member)
    assert read_members(path, WANTED) == {}


def test_a_member_larger_than_expected_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(tar({"good": b"0" * 101}))
    with pytest.raises(DataCorrupt, match="good holds more than the 100 bytes"):
        read_members(path, WANTED)


def test_a_gzip_bomb_stops_at_the_expected_size(tmp_path: Path) -> None:
    (tmp_path / "good.gz").write_bytes(gzip.compress(b"0" * 50_000_000))
    with pytest.raises(DataCorrupt, match=r"good.gz holds more than the 100 bytes"):
        read_members(tmp_path, WANTED)


def test_a_zip_bomb_stops_at_the_expected_size(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good", b"0" * 50_000_000)
    with pytest.raises(DataCorrupt, match="good holds more than the 100 bytes"):
        read_members(tmp_path / "bomb", WANTED)


def test_an_archive_of_endless_junk_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_ALLOWANCE_BYTES", 1_000_000)
    (tmp_path / "junk").write_bytes(tar({"junk": b"0" * 2_000_000, "good": b"content"}))
    with pytest.raises(DataCorrupt, match="far more than the expected files"):
        read_members(tmp_path / "junk", WANTED)


def test_a_header_that_claims_to_be_huge_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_ALLOWANCE_BYTES", 1_000_000)
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 1 << 40
    (tmp_path / "pax").write_bytes(gzip.compress(member.tobuf() + b"0" * 3_000_000))
    with pytest.raises(DataCorrupt):
        read_members(tmp_path / "pax", WANTED)


def test_the_first_of_two_members_of_one_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "archive.tar"
    path.write_bytes(tar({"a/good": b"first", "b/good": b"second"}, "w"))
    assert read_members(path, WANTED) == {"good": b"first"}


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>" * 100, b"\x1f\x8b\x08 no gzip", b"PK\x03\x04"]
)
def test_what_is_no_archive_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page").write_bytes(content)
    with pytest.raises(
        DataCorrupt, match=r"page cannot be read as a folder, .tar, .tar.gz or .zip"
    ):
        read_members(tmp_path / "page", WANTED)


def test_an_encrypted_member_is_passed_over(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good", b"content")
    content = bytearray(buffer.getvalue())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked").write_bytes(content)
    assert read_members(tmp_path / "locked", WANTED) == {}


ARCHIVES = {"tar": tar(GZIPPED, "w"), "tar.gz": tar(FILES)}
with zipfile.ZipFile(_zip := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as _archive:
    for _name, _content in FILES.items():
        _archive.writestr(_name, _content)
ARCHIVES["zip"] = _zip.getvalue()


@given(st.sampled_from(sorted(ARCHIVES)), st.data())
def test_a_damaged_archive_gives_the_official_bytes_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: st.DataObject
) -> None:
    content = bytearray(ARCHIVES[form])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged-{os.getpid()}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(DataCorrupt, DataUnavailable):
        for name, values in read_official(tiny_entry(), path).items():
            np.testing.assert_array_equal(np.asarray(values).ravel(), ARRAYS[name].ravel())


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


def test_a_pickle_in_place_of_a_file_is_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataCorrupt):
        read_official(tiny_entry(), tmp_path)
    assert not (tmp_path / "executed").exists()


def test_what_is_not_wanted_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, packed = tmp_path / "folder", tmp_path / "packed.zip"
    folder.mkdir()
    (folder / "good").write_bytes(b"content")
    (folder / "secret").write_bytes(b"not ours")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("secret", b"not ours")
        archive.writestr("good", b"content")
    real_open, real_member = Path.open, zipfile.ZipFile.open

    def opened(path: Path, *arguments: Any) -> Any:
        if path.name == "secret":
            raise PermissionError("not yours")
        return real_open(path, *arguments)

    def opened_member(archive: zipfile.ZipFile, member: Any, *arguments: Any) -> Any:
        if member.filename == "secret":
            raise NotImplementedError("that compression method is not supported")
        return real_member(archive, member, *arguments)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(zipfile.ZipFile, "open", opened_member)
    assert read_members(folder, WANTED) == read_members(packed, WANTED) == {"good": b"content"}
