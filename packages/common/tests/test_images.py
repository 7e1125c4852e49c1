"""Images of every kind come as upright RGB of 8 bits, from a file and from its bytes."""

import pytest

pytest.importorskip("PIL")

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from seminar_common.images import BadImage, open_image, read_image, tiff_pages

WIDTH, HEIGHT = 300, 420
MARK = (30, 60, 120, 200)  # x1, y1, x2, y2 of the dark rectangle on every test page


def picture() -> Image.Image:
    """Light paper with a dark rectangle off the centre, so that a turn or a mirror shows."""
    pixels = np.full((HEIGHT, WIDTH, 3), (240, 230, 200), np.uint8)
    x1, y1, x2, y2 = MARK
    pixels[y1:y2, x1:x2] = (60, 20, 20)
    return Image.fromarray(pixels)


def mark_of(pixels: np.ndarray) -> np.ndarray:
    """Return the extent of what is dark, as fractions of the page."""
    dark = Image.fromarray(pixels.mean(axis=2) < 120)
    return np.divide(dark.getbbox(), dark.size * 2)


EXPECTED = tuple(np.divide(MARK, (WIDTH, HEIGHT, WIDTH, HEIGHT)))


def grey() -> np.ndarray:
    return np.asarray(picture().convert("L"))


def transparent() -> Image.Image:
    """The test page with see-through paper."""
    image = picture().convert("RGBA")
    image.putalpha(Image.fromarray(np.where(grey() > 128, 0, 255).astype(np.uint8)))
    return image


BLACK = Image.new("RGB", (WIDTH, HEIGHT))
WRITE = {
    "plain.png": lambda path: picture().save(path),
    "plain.jpg": lambda path: picture().save(path),
    "plain.jp2": lambda path: picture().save(path),
    "plain.tif": lambda path: picture().save(path),
    "plain.bmp": lambda path: picture().save(path),
    "plain.webp": lambda path: picture().save(path),
    "cmyk.jpg": lambda path: picture().convert("CMYK").save(path, quality=95),
    "grey.jpg": lambda path: picture().convert("L").save(path, quality=95),
    "palette.png": lambda path: picture().convert("P").save(path),
    "transparent.png": lambda path: transparent().save(path),
    "16-bit.png": lambda path: Image.fromarray(grey().astype(np.uint16) * 257).save(path),
    "12-bit.tif": lambda path: Image.fromarray(grey().astype(np.uint16) * 16).save(path),
    "float.tif": lambda path: Image.fromarray(grey().astype(np.float32) / 255).save(path),
    "bilevel.tif": lambda path: Image.fromarray(grey() > 128).save(path, compression="group4"),
    "animated.gif": lambda path: picture().save(path, save_all=True, append_images=[BLACK, BLACK]),
    "animated.webp": lambda path: picture().save(path, save_all=True, append_images=[BLACK, BLACK]),
}
"""The forms that scans come in."""


@pytest.mark.parametrize("kind", WRITE)
@pytest.mark.parametrize("longest", [None, 140])
def test_every_kind_of_image_comes_as_rgb_of_8_bits(kind: str, longest: int | None, tmp_path: Path) -> None:
    path = tmp_path / kind
    WRITE[kind](path)
    image = read_image(path, longest=longest)
    assert (image.width, image.height) == (WIDTH, HEIGHT)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == ((HEIGHT, WIDTH, 3) if longest is None else (140, 100, 3))
    np.testing.assert_allclose(mark_of(image.pixels), EXPECTED, atol=0.012)
    paper, ink = np.median(image.pixels[:10], axis=(0, 1)).mean(), image.pixels.min(axis=2).min()
    assert paper > 200 and ink < 70
    assert np.array_equal(read_image(path.read_bytes(), longest=longest).pixels, image.pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_rotated_photo_comes_upright_as_viewers_show_it(
    orientation: int, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    picture().save(path, exif=exif)
    image = read_image(path, longest=140)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert (image.height, image.width) == expected.shape[:2]
    assert max(image.pixels.shape) == 140
    np.testing.assert_allclose(mark_of(image.pixels), mark_of(expected), atol=0.012)


def test_see_through_grey_of_a_png_becomes_white(tmp_path: Path) -> None:
    # PNG's chunk tRNS: one grey value is transparent, with no alpha channel.
    path = tmp_path / "trns.png"
    Image.fromarray(np.array([[0, 90], [90, 255]], np.uint8)).save(path, transparency=90)
    assert read_image(path).pixels[..., 0].tolist() == [[0, 255], [255, 255]]


def test_see_through_grey_of_16_bits_becomes_white_and_the_rest_keeps_its_shades(tmp_path: Path) -> None:
    path = tmp_path / "trns.png"
    Image.fromarray(np.array([[0, 8000], [16000, 65535]], np.uint16)).save(path, transparency=8000)
    assert read_image(path).pixels[..., 0].tolist() == [[0, 255], [62, 255]]


def test_16_bits_keep_their_shades(tmp_path: Path) -> None:
    shades = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    path = tmp_path / "16.png"
    Image.fromarray(shades).save(path)
    assert np.unique(read_image(path).pixels).size == 256


@pytest.mark.parametrize("kind", ["empty", "truncated", "head", "noise"])
def test_a_broken_image_is_reported_in_one_line(kind: str) -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "jpeg")
    whole = buffer.getvalue()
    data = {
        "empty": b"",
        "truncated": whole[: len(whole) * 2 // 3],
        "head": whole[:30],
        "noise": np.random.default_rng(0).bytes(5000),
    }[kind]
    with pytest.raises(BadImage) as error:
        read_image(data)
    assert "\n" not in str(error.value) and len(str(error.value)) > 10


def test_a_large_jpeg_is_decoded_smaller_and_a_large_png_refused(tmp_path: Path) -> None:
    big = Image.new("L", (3000, 2000), 200)
    big.save(tmp_path / "big.jpg")
    big.save(tmp_path / "big.png")
    image = read_image(tmp_path / "big.jpg", max_megapixels=2)
    assert (image.width, image.height, image.pixels.shape) == (3000, 2000, (1000, 1500, 3))
    with pytest.raises(BadImage, match="3000 x 2000 pixels, over the limit of 2 megapixels"):
        read_image(tmp_path / "big.png", max_megapixels=2)


def test_pillow_keeps_its_own_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    picture().save(tmp_path / "x.png")
    with open_image(tmp_path / "x.png") as image:
        assert image.size == (WIDTH, HEIGHT)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_every_frame_may_have_more_pixels_than_pillow_allows(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    picture().save(tmp_path / "book.tif", save_all=True, append_images=[picture()])
    assert tiff_pages(tmp_path / "book.tif") == [0, 1]
    assert read_image(tmp_path / "book.tif", frame=1).width == WIDTH
    assert Image.MAX_IMAGE_PIXELS == 10
