"""Odd samples come as they were meant, or as one line; each of these was black, inverted or mixed up in some reader."""

import base64
import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("PIL")

import numpy as np
from PIL import Image

from seminar_common.images import BadImage, read_image

DARK = np.zeros((40, 30), bool)
DARK[10:30, 5:20] = True
PAPER, INK = 240, 40
GREY = np.where(DARK, INK, PAPER).astype(np.int64)
RGB = np.where(DARK[..., None], (60, 20, 20), (240, 230, 200)).astype(np.int64)


@pytest.fixture(autouse=True)
def odd(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import odd_images

    return odd_images


def _alpha(*colours: np.ndarray) -> np.ndarray:
    return np.stack([*colours, np.where(DARK, 255, 0)], -1).astype(np.uint8)


SAMPLES = {
    "signed, all of the range": (GREY * 257 - 32768).astype(np.int16),
    "signed, the upper half": (GREY * 128).astype(np.int16),
    "signed bytes": (GREY - 128).astype(np.int8),
    "32 bits unsigned": (GREY * 16843009).astype(np.uint32),
    "32 bits signed": (GREY * 8421504).astype(np.int32),
    "16 bits in 32": (GREY * 257).astype(np.int32),
    "20 bits in 32": (GREY << 12).astype(np.int32),
    "8 bits in 32": GREY.astype(np.int32),
    "float": (GREY / 255).astype(np.float32),
    "float to 255": GREY.astype(np.float32),
    "12 bits of colour in 16": (RGB * 16).astype(np.uint16),
    "10 bits of colour in 16": (RGB * 4).astype(np.uint16),
    "16 bits of colour": (RGB * 257).astype(np.uint16),
}


@pytest.mark.parametrize(
    ("kind", "order"),
    # Pillow reads no unsigned 32 bits with the highest byte first: that is one of the rare kinds below.
    [(kind, order) for kind in SAMPLES for order in "<>" if (kind, order) != ("32 bits unsigned", ">")],
)
def test_samples_of_a_tiff_keep_their_shades(kind: str, order: str, odd) -> None:
    pixels = SAMPLES[kind]
    photometric = 2 if pixels.ndim == 3 else 1
    image = read_image(odd.tiff(odd.Frame(pixels, photometric), order=order))
    # A scale that nobody names, as of 20 bits, is the next power of two.
    expected = GREY[..., None] if pixels.ndim == 2 else RGB
    np.testing.assert_allclose(image.pixels, np.broadcast_to(expected, (40, 30, 3)), atol=1.5)


@pytest.mark.parametrize(
    "values",
    [
        (255 - GREY).astype(np.uint8),
        (65535 - GREY * 257).astype(np.uint16),
        (1 - GREY / 255).astype(np.float32),
    ],
)
def test_where_zero_is_white_it_comes_so(values: np.ndarray, odd) -> None:
    image = read_image(odd.tiff(odd.Frame(values, photometric=0)))
    np.testing.assert_allclose(image.pixels[..., 0], GREY, atol=1)


def test_what_is_no_number_leaves_the_others_their_shades(odd) -> None:
    values = (GREY / 255).astype(np.float32)
    values[0, :3] = np.inf, -np.inf, np.nan
    image = read_image(odd.tiff(odd.Frame(values)))
    np.testing.assert_allclose(image.pixels[1:, :, 0], GREY[1:], atol=1)
    assert image.pixels[0, :3, 0].tolist() == [PAPER, 0, 0]


@pytest.mark.parametrize("extra", [1, 2], ids=["premultiplied", "plain"])
@pytest.mark.parametrize("colours", [1, 3])
def test_transparency_of_a_tiff_becomes_white(colours: int, extra: int, odd) -> None:
    frame = odd.Frame(_alpha(*[np.where(DARK, INK, 0)] * colours), 1 if colours == 1 else 2, extra=extra)
    image = read_image(odd.tiff(frame))
    assert np.array_equal(image.pixels[..., 0], np.where(DARK, INK, 255))


@pytest.mark.parametrize(
    ("bits", "ink", "paper"), [(1, 0, 1), (2, 0, 1), (4, 3, 1), (4, 3, 9), (8, 40, 0), (16, 10280, 300)]
)
def test_the_transparent_grey_of_a_png_becomes_white(bits: int, ink: int, paper: int, odd) -> None:
    image = read_image(odd.png(np.where(DARK, ink, paper), bits, [paper]))
    assert np.array_equal(image.pixels[..., 0], np.where(DARK, ink * 255 // (2**bits - 1), 255))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("paper", [0, 300])
def test_the_transparent_colour_of_a_png_becomes_white(bits: int, paper: int, odd) -> None:
    scale, paper = (257, paper) if bits == 16 else (1, paper % 256)
    colours = np.where(DARK[..., None], np.array((60, 20, 20)) * scale, paper)
    image = read_image(odd.png(colours, bits, [paper] * 3))
    assert np.array_equal(image.pixels, np.where(DARK[..., None], (60, 20, 20), 255))


def test_12_bits_of_colour_in_a_png_keep_their_shades(odd) -> None:
    image = read_image(odd.png(RGB * 16, 16))
    np.testing.assert_allclose(image.pixels, RGB, atol=1)


def test_what_would_be_mixed_up_is_one_line(odd) -> None:
    apart = np.moveaxis((RGB * 257).astype(np.uint16), -1, 0)  # planes one after the other
    frame = odd.Frame(np.ascontiguousarray(apart).reshape(40, 30, 3), 2, planar=2)
    with pytest.raises(BadImage, match="planes of their own; save it"):
        read_image(odd.tiff(frame))


@pytest.mark.parametrize("dtype", [np.float64, np.uint64])
def test_a_rare_kind_is_one_line_that_names_it(dtype, odd) -> None:
    with pytest.raises(BadImage, match="a broken TIFF, or one of a rare kind; save it again with 8 bits"):
        read_image(odd.tiff(odd.Frame(GREY.astype(dtype))))


def test_libtiff_says_nothing_on_the_terminal(odd, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadImage, match="of a compression that is not known here"):
        read_image(
            odd.tiff(odd.Frame(RGB.astype(np.uint8), 2, compression=50001))
        )  # WebP, which Pillow's lacks
    assert capfd.readouterr().err == ""


def test_pillow_says_nothing_on_the_terminal_either(odd, tmp_path: Path) -> None:
    (tmp_path / "page.tif").write_bytes(odd.tiff(odd.Frame(np.zeros((4, 4, 9), np.uint8), 2)))
    code = (
        "import pathlib, sys\n"
        "from seminar_common.images import BadImage, read_image\n"
        "try: read_image(pathlib.Path(sys.argv[1]))\n"
        "except BadImage as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "page.tif")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "a broken TIFF, or one of a rare kind" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_colours_of_print_come_as_on_a_screen(mode: str) -> None:
    picture, buffer = Image.fromarray(RGB.astype(np.uint8)), io.BytesIO()
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.applyTransform(picture, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    else:
        converted = picture.convert("CMYK")
    assert converted is not None
    converted.save(buffer, "TIFF")
    np.testing.assert_allclose(read_image(buffer.getvalue()).pixels, RGB, atol=3)


def test_avif_is_read_with_its_transparency() -> None:
    buffer = io.BytesIO()
    Image.fromarray(_alpha(*[np.where(DARK, INK, 0)] * 3)).save(buffer, "AVIF", quality=100)
    np.testing.assert_allclose(read_image(buffer.getvalue()).pixels[..., 0], np.where(DARK, INK, 255), atol=6)


HEIC = base64.b85decode(
    "0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<00042ZDn*}000000000XXk=`10000000000aA{+700000000000000000000B57=IV*mgE07O6l"
    "0RRC200001dH?|c00000005@|001LtX>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t000010002iX>f9I0002DX>en20001Z"
    "Xm(>m0RwOV0058x000009`FGC{rLC*01pFT0096PKmiN^|NjGU00093kN^M!000939=ZZRVE_RDD?$MQ18@KU0|1Z!00RI30{|YNAb|yz>PacC"
    "ZUPz%2mk;B0LTCU0{{p>VgLaE2SfqEa<C#m0000JV{dG7ZewhC0096E00w{n000zeb8uw<00000002M$002M$000nhX?SS>000032nYxO000+h"
    "aBX1#00000000310R({p0|Wp70IzLiVRQfh0HY`YuL<De1>JhBf9u!({xckeND`3RegElj`=imlI{PAT=3#~{71)Oy|C*!g0|3=;)E8)%kSgC&"
    "d;WHb<CCP~<n+Hi{~gK+7;5$})S(}gPZ|Gf@zV{!@ZsqDll-#y#R3z^82+7ezjMWi1%L3l5A7#eN6yM*Bs|pWzoeR~u7`|=0^mE&9tIv4->V5^"
    "X?q?i*LpE8WOH7$no%eOQ~"
)
"""64 x 64 pixels of (240, 230, 200) with (60, 20, 20) at x 8 to 32, y 16 to 40."""


@pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("pi_heif", "pillow_heif")),
    reason="needs pi-heif, the extra `heic` of doc-detect",
)
def test_heic_is_read_where_its_decoder_is_installed() -> None:
    pixels = read_image(HEIC).pixels
    np.testing.assert_allclose(pixels[28, 20], (60, 20, 20), atol=8)
    np.testing.assert_allclose(pixels[50, 50], (240, 230, 200), atol=8)


def test_heic_without_its_decoder_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadImage, match="pip install pi-heif"):
        read_image(HEIC)
