"""Image files are read as a viewer shows them, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ffreport.data import images
from tests.data.test_own import loaded, nothing_known, refused, rule_of  # noqa: F401

SHAPES = np.random.default_rng(0).random((12, 6, 7)) < 0.5  # what is drawn, of each image
OVER_WHITE, OVER_BLACK = ("transparent pixels are shown over white",
                          "transparent pixels are shown over black")  # fmt: skip


def classes(folder: Path, save) -> Path:
    """Twelve images of two classes; ``save`` writes one, of a drawn shape, to a place."""
    for number, shape in enumerate(SHAPES):
        place = folder / "ab"[number % 2] / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        save(shape, place)
    return folder


def drawn(folder: Path) -> np.ndarray:
    """What came out, bool [12, 6, 7]: where an image is darker than its mean, in SHAPES' order."""
    found = loaded(folder)
    planes = found.train_images.numpy().reshape(len(found.train_images), -1, 6, 7)[:, 0]
    order = [i for of in (range(0, 12, 2), range(1, 12, 2)) for n, i in enumerate(of) if n != 4]
    assert (np.ptp(planes, axis=(1, 2)) > images.CONTRAST).all()
    assert len(planes) == len(order)
    return planes < 128, SHAPES[order]


def rgba(shape: np.ndarray, ink: int, mode: str = "RGBA") -> Image.Image:
    """A shape of one ink in the alpha channel."""
    alpha = np.where(shape, 255, 0)
    channels = [np.full(shape.shape, ink)] * (3 if mode == "RGBA" else 1)
    return Image.fromarray(np.dstack([*channels, alpha]).astype(np.uint8), mode)


def palette(shape: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(shape.astype(np.uint8), "P")
    image.putpalette(colours)
    return image


INKS = {
    "black in RGBA": (lambda s, p: rgba(s, 0).save(p), True, OVER_WHITE),
    "white in RGBA": (lambda s, p: rgba(s, 255).save(p), False, OVER_BLACK),
    "black in LA": (lambda s, p: rgba(s, 0, "LA").save(p), True, OVER_WHITE),
    "white in LA": (lambda s, p: rgba(s, 255, "LA").save(p), False, OVER_BLACK),
    "palette, first entry clear": (
        lambda s, p: palette(s, [0, 0, 0, 0, 0, 0]).save(p, transparency=0), True, OVER_WHITE),
    "palette, entries half clear": (
        lambda s, p: palette(s, [9, 9, 9, 9, 9, 9]).save(p, transparency=b"\x10\xff"), True,
        OVER_WHITE),
    "grey, one value clear": (
        lambda s, p: Image.fromarray(np.where(s, 5, 7).astype(np.uint8)).save(p, transparency=7),
        True, OVER_WHITE),
    "RGB, one colour clear": (
        lambda s, p: Image.fromarray(np.dstack([np.where(s, 250, 255)] * 3).astype(np.uint8)).save(
            p, transparency=(255, 255, 255)), False, OVER_BLACK),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", INKS)
def test_a_shape_in_what_is_transparent_is_seen(tmp_path, kind):
    save, dark, said = INKS[kind]
    folder = classes(tmp_path / "set", save)
    found, shapes = drawn(folder)
    assert (found == (shapes if dark else ~shapes)).all()
    assert said in rule_of(folder)


def test_half_transparent_pixels_are_mixed_with_the_ground():
    pixels, alpha = np.full((1, 1, 3), 100, np.uint8), np.array([[0, 128, 255]], np.uint8)
    assert images._over(255, pixels, alpha).tolist() == [[[255, 177, 100]]]
    assert images._over(0, pixels, alpha).tolist() == [[[0, 50, 100]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("end", ["jpg", "png"])
def test_images_are_turned_as_exif_says(tmp_path, orientation, end):
    upright = np.zeros((16, 24), np.uint8)
    upright[:8, :12], upright[8:, 12:] = 255, 128
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # transpose that undoes what a viewer does
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    plain, turned = tmp_path / f"0.{end}", tmp_path / f"1.{end}"
    Image.fromarray(upright).save(plain)
    stored.save(turned, exif=exif)
    (found,), notes = images.decode([[plain, turned]])
    assert np.abs(found[0].astype(int) - found[1]).max() < 9  # JPEG's blocks turn with it
    assert notes == (("1 image turned as EXIF says",) if orientation > 1 else ())


def test_an_image_that_is_of_another_size_when_turned_is_refused(tmp_path):
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(5):
            image = Image.fromarray(SHAPES[number].astype(np.uint8) * 255)
            more = {"exif": exif} if (label, number) == ("b", 3) else {}
            image.save(tmp_path / "set" / label / f"{number}.png", **more)
    assert "b/3.png is 6 x 7 pixels" in refused(tmp_path / "set")


def png16(shape: np.ndarray, place: Path, channels: int) -> None:
    """A PNG of 16 bits a channel, whose upper bytes are zero."""
    import struct
    import zlib

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = (np.where(shape, 0, 200)[..., None].repeat(channels, 2)).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", shape.shape[1], shape.shape[0], 16, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    place.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(
            name + content)) for name, content in parts
    ))  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_a_channel_are_refused(tmp_path, channels):
    folder = classes(tmp_path / "set", lambda s, p: png16(s, p, channels))
    assert "a/00.png has 16 bits a channel; save it with 8 bits" in refused(folder)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_a_png_of_few_bits_has_its_white(tmp_path, levels):
    """Grey of 1, 2 and 4 bits is no other scale: the format says what is white."""
    place = tmp_path / "x.png"
    most = 2**levels - 1
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", 8, 1, levels, 0, 0, 0, 0)
    body = b"\0" + np.packbits([1] * 8).tobytes() * levels
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    place.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts
    ))  # fmt: skip
    assert most and images.decode([[place]])[0][0].tolist() == [[[255] * 8]]
