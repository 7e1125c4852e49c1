"""What a file is shows by its first bytes; what can't be read is named with a way out."""

from pathlib import Path

import pytest

from seminar_common import images
from seminar_common.file_kinds import KINDS, kind_of, kind_of_bytes

BEGINNINGS = {
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "TIFF": b"II*\0\x08\0\0\0",
    "PDF": b"junk before it %PDF-1.7\n",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0",
    "WebP": b"RIFF\0\0\0\0WEBPVP8 ",
    "AVIF": b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf",
    "HEIC": b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf",
    "PNM": b"P6\n3 4\n255\n",
    "DjVu": b"AT&TFORM\0\0\0\0DJVM",
    "JPEG XL": b"\xff\x0a\xfa\x7f",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">',
    "ZIP archive": b"PK\3\4\x14\0",
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_kind_shows_by_its_beginning(name: str) -> None:
    kind = kind_of_bytes(BEGINNINGS[name])
    assert kind is not None and kind.name == name
    assert kind.readable or kind.way_out


@pytest.mark.parametrize("head", [b"", b"notes", b"P7 of the manuscript", b"\0" * 1024, b"GIF"])
def test_what_is_none_of_them_is_none(head: bytes) -> None:
    assert kind_of_bytes(head) is None


def test_content_decides_save_for_the_raw_file_of_a_camera(tmp_path: Path) -> None:
    for name, expected in (("page.jpg", "TIFF"), ("page", "TIFF"), ("photo.dng", "raw photograph")):
        (tmp_path / name).write_bytes(BEGINNINGS["TIFF"])
        kind = kind_of(tmp_path / name)
        assert kind is not None and kind.name == expected


def test_an_ending_belongs_to_one_kind() -> None:
    endings = [suffix for kind in KINDS for suffix in kind.suffixes]
    assert len(endings) == len(set(endings))
    assert {".jpg", ".tif", ".avif", ".jp2"} <= images.SUFFIXES and not {".pdf", ".djvu"} & images.SUFFIXES
