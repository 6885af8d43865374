"""Image files as arrays: upright, grey or RGB, of one size, read by a pool with a bar of progress."""

import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, ImageFile, ImageOps
from rich.console import Console

from losslab.data import image_files
from losslab.data.image_files import read_images

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 6, 9, 3), dtype=np.uint8)
ORIENTATION = 0x0112


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


def write(folder: Path, count: int = 20, mode: str = "RGB") -> list[Path]:
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for path, pixels in zip(paths, PIXELS, strict=False):
        Image.fromarray(pixels).convert(mode).save(path)
    return paths


def test_images_are_in_the_order_of_their_paths(tmp_path: Path) -> None:
    paths = write(tmp_path)
    assert np.array_equal(read_images(paths), PIXELS.transpose(0, 3, 1, 2))
    assert np.array_equal(read_images(paths[::-1]), PIXELS[::-1].transpose(0, 3, 1, 2))


def test_grey_images_have_one_channel_and_one_coloured_image_makes_all_coloured(
    tmp_path: Path,
) -> None:
    paths = write(tmp_path, mode="L")
    grey = np.stack([np.asarray(Image.fromarray(pixels).convert("L")) for pixels in PIXELS])
    assert np.array_equal(read_images(paths), grey[:, np.newaxis])
    Image.fromarray(PIXELS[7]).save(paths[7])
    images = read_images(paths)
    assert np.array_equal(images[7], PIXELS[7].transpose(2, 0, 1))
    assert np.array_equal(images[8], np.stack([grey[8]] * 3))


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_of_eight_bits_is_read(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.tif"
    Image.fromarray(PIXELS[0]).convert(mode).save(path)
    with Image.open(path) as image:
        grey = mode in ("1", "LA")
        expected = np.atleast_3d(np.asarray(image.convert("L" if grey else "RGB"))).transpose(
            2, 0, 1
        )
    assert np.array_equal(read_images([path])[0], expected)


# What a camera means by each number: how its pixels are to be turned (EXIF 2.3, tag 274).
TURNS = {
    1: lambda image: image,
    2: ImageOps.mirror,
    3: lambda image: image.rotate(180),
    4: ImageOps.flip,
    5: lambda image: ImageOps.mirror(image.rotate(-90, expand=True)),
    6: lambda image: image.rotate(-90, expand=True),
    7: lambda image: ImageOps.mirror(image.rotate(90, expand=True)),
    8: lambda image: image.rotate(90, expand=True),
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", TURNS)
def test_images_are_upright_as_their_exif_data_says(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    stored = Image.fromarray(PIXELS[0])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if suffix == ".webp" else {}
    stored.save(tmp_path / f"photo{suffix}", exif=exif, **options)
    upright = np.asarray(TURNS[orientation](stored)).transpose(2, 0, 1)
    assert np.array_equal(read_images([tmp_path / f"photo{suffix}"])[0], upright)


def test_a_photo_on_its_side_has_another_size(tmp_path: Path) -> None:
    paths = write(tmp_path, 2)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(PIXELS[1]).save(paths[1], exif=exif)
    with pytest.raises(
        ValueError, match=r"001.png .6x9 pixels. must be 9 pixels wide and 6 high"
    ):
        read_images(paths)


def test_the_first_image_of_another_size_is_named_with_the_remedy(tmp_path: Path) -> None:
    paths = write(tmp_path)
    for number in (5, 11):
        Image.new("RGB", (7, 6)).save(paths[number])
    message = r"005.png .7x6 pixels. must be 9 pixels wide and 6 high as \S+000.png; resize.*resize\(\(9, 6\)\)"
    with pytest.raises(ValueError, match=message):
        read_images(paths)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (
            ".png",
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", b"\0\0\0\x01\0\0\0\x01\x10\x02\0\0\0")
            + chunk(b"IDAT", zlib.compress(b"\0" + bytes(range(6))))
            + chunk(b"IEND", b""),
        ),
        (".ppm", b"P6 1 1 65535\n" + bytes(range(6))),
    ],
)
def test_colours_of_sixteen_bits_are_refused(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"deep{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="has more than 8 bits a channel"):
        read_images([path])


def test_a_palette_of_greys_is_grey(tmp_path: Path) -> None:
    grey = Image.fromarray(PIXELS[0]).convert("L")
    grey.convert("P").save(tmp_path / "image.gif")
    assert np.array_equal(read_images([tmp_path / "image.gif"])[0, 0], np.asarray(grey))


def test_images_of_sixteen_bits_are_refused(tmp_path: Path) -> None:
    paths = write(tmp_path, 3)
    Image.new("I;16", (9, 6)).save(paths[1])
    with pytest.raises(
        ValueError, match=r"001.png has mode I;16; images must have 8 bits a channel"
    ):
        read_images(paths)


def test_a_file_that_is_no_image_is_refused_before_any_pixels_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path)
    paths[19].write_bytes(b"<html>")
    monkeypatch.setattr(image_files, "_read", lambda *_, **__: pytest.fail("pixels were read"))
    with pytest.raises(ValueError, match=r"019.png cannot be read .*; repair or remove it"):
        read_images(paths)


def test_an_image_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    paths = write(tmp_path)
    paths[3].write_bytes(paths[3].read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"003.png cannot be read"):
        read_images(paths)


def test_images_larger_than_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = psutil.virtual_memory()._replace(total=20 * 6 * 9 * 3 - 1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: small)
    with pytest.raises(
        ValueError,
        match=r"20 images of 9x6 pixels take 0 GB, more than the memory of 0 GB; resize",
    ):
        read_images(write(tmp_path))


def test_no_thread_is_left_after_a_fault(tmp_path: Path) -> None:
    before = threading.active_count()
    paths = write(tmp_path)
    paths[0].write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        read_images(paths)
    assert threading.active_count() == before


def test_progress_is_shown_on_a_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write(tmp_path)
    read_images(paths)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(
        "rich.console.Console", lambda **options: Console(force_terminal=True, **options)
    )
    read_images(paths)
    assert "reading images" in capsys.readouterr().err


def test_jpeg_is_read_as_pillow_decodes_it_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path, pixels in zip(paths, PIXELS, strict=False):
        Image.fromarray(pixels).save(path, quality=90)
    decoded = np.stack([np.asarray(Image.open(path)) for path in paths])
    loads: list[str] = []
    real = ImageFile.ImageFile.load

    def load(image: ImageFile.ImageFile) -> object:
        loads.append(image.filename)
        return real(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    for path in paths:
        image_files._is_coloured(path)
    assert loads == []
    assert np.array_equal(read_images(paths), decoded.transpose(0, 3, 1, 2))


def test_a_bitmap_of_16_bits_a_pixel_has_fewer_a_channel(tmp_path: Path) -> None:
    pixels = b"".join(value.to_bytes(2, "little") for value in (0xF800, 0x07E0, 0x001F, 0xFFFF))
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xF800, 0x07E0, 0x001F))
    sizes = struct.pack("<IiiHHIIiiII", 40, 2, -2, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    start = 14 + len(sizes) + len(masks)
    head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    (tmp_path / "small.bmp").write_bytes(head + sizes + masks + pixels)
    (image,) = read_images([tmp_path / "small.bmp"])
    expected = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
    assert image.transpose(1, 2, 0).reshape(4, 3).tolist() == expected
