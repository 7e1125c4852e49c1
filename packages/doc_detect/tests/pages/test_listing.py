"""Nothing in a folder is passed over without a word: links, names that lie, kinds that can't be read."""

import errno
import os
import sys
from pathlib import Path
from unicodedata import normalize

import pytest
from PIL import Image

from doc_detect.pages import PageRef, common_root, find_files, page_refs, read_page, search
from doc_detect.pages.names import on_disk
from seminar_common.errors import UserError

DJVU = b"AT&TFORM\0\0\0\0DJVM"


def page(path: Path, form: str = "jpeg") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 90), "white").save(path, form)
    return path


def names(folder: Path) -> list[str]:
    return [os.path.relpath(file, folder) for file in find_files([folder])]


def test_folders_that_are_linked_to_are_searched_each_once(tmp_path: Path) -> None:
    page(tmp_path / "scans" / "a" / "1.jpg")
    page(tmp_path / "elsewhere" / "deep" / "2.jpg")
    page(tmp_path / "scans" / "3.jpg")
    for link, target in (("l1", "elsewhere"), ("l2", "elsewhere/deep"), ("a/up", "scans"), ("b", "scans/a")):
        (tmp_path / "scans" / link).symlink_to(tmp_path / target)
    (tmp_path / "scans" / "l1" / "round").symlink_to(tmp_path)
    assert names(tmp_path / "scans") == ["3.jpg", "a/1.jpg", "l1/deep/2.jpg"]
    assert search([tmp_path / "scans"]).remarks() == []


def test_a_real_folder_goes_before_a_link_to_it_and_may_be_named_twice(tmp_path: Path) -> None:
    page(tmp_path / "z" / "1.jpg")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    assert names(tmp_path) == ["z/1.jpg"]
    assert len(find_files([tmp_path / "z", tmp_path / "a", tmp_path])) == 1


def test_a_file_without_an_ending_or_with_an_unknown_one_is_looked_at(tmp_path: Path) -> None:
    page(tmp_path / "0001")
    page(tmp_path / "0002.bak", "tiff")
    page(tmp_path / "0003", "pdf")
    page(tmp_path / "0004.heic")  # a JPEG, whatever it says
    page(tmp_path / "0005.avif", "avif")
    (tmp_path / "README").write_text("no page")
    os.mkfifo(tmp_path / "pipe")  # which would wait for ever
    assert names(tmp_path) == ["0001", "0002.bak", "0003", "0004.heic", "0005.avif"]
    for file in find_files([tmp_path]):
        (ref,) = page_refs(Path(file))
        assert read_page(ref).pixels.min() > 250


def test_what_stands_beside_pages_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seminar_common import file_search

    page(tmp_path / "1.jpg")
    for name in ("1.xml", "mets.json", "notes.txt", "checksum.md5"):
        (tmp_path / name).touch()
    monkeypatch.setattr(file_search, "kind_of", lambda path: pytest.fail(f"{path} was opened"))
    assert names(tmp_path) == ["1.jpg"]


def test_what_looks_like_a_page_and_cannot_be_read_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, name, None)
    page(tmp_path / "1.jpg")
    contents = {
        "2.djvu": DJVU,
        "3": DJVU,
        "4.heic": b"\0\0\0\x18ftypheic\0\0\0\0heicmif1",
        "5.jxl": b"\xff\x0a\xfa",
        "6.svg": b"<svg/>",
        "7.cbz": b"PK\3\4",
        "8.cr2": b"II*\0",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (line,) = search([tmp_path]).remarks()
    assert line == (
        "7 files passed over: 1 .cbz (unzip it), 1 .cr2 (develop it to TIFF), "
        "2 .djvu (convert it with ddjvu -format=tiff), 1 .heic (pip install 'doc-detect[heic]'), "
        "1 .jxl (convert it with djxl), 1 .svg (render it with rsvg-convert)"
    )
    assert search([tmp_path / "*"]).remarks() == [line]
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(UserError, match=r"no image and no PDF in it; 7 files passed over: 1 \.cbz"):
        find_files([tmp_path])


def test_a_folder_that_a_glob_matches_is_searched(tmp_path: Path) -> None:
    page(tmp_path / "vol 1" / "1.jpg")
    page(tmp_path / "vol 2" / "deep" / "2.jpg")
    assert len(find_files([tmp_path / "vol *"])) == 2


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page(tmp_path / "1.jpg")
    page(tmp_path / "shut" / "2.jpg")
    real = os.scandir

    def scandir(path: str):
        if str(path).endswith("shut"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (line,) = search([tmp_path]).remarks()
    assert line == f"1 that can't be opened, passed over: {tmp_path / 'shut'} (Permission denied)"


def test_one_page_under_two_spellings_of_its_name_is_one(tmp_path: Path) -> None:
    composed, apart = (normalize(form, "Bücher") for form in ("NFC", "NFD"))
    page(tmp_path / composed / "é.jpg")
    page(tmp_path / apart / "é.jpg")
    listing = search([tmp_path])
    assert len(listing.files) == 1
    assert listing.remarks() == ["1 file passed over: the same under another spelling (NFC, NFD)"]
    Image.new("RGB", (60, 90), "black").save(tmp_path / apart / "é.jpg")  # another page now
    assert len(find_files([tmp_path])) == 2


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_either_spelling_finds_a_page(stored: str, typed: str, tmp_path: Path) -> None:
    file = page(tmp_path / normalize(stored, "Bücher") / normalize("NFC", "é.jpg"))
    asked = tmp_path / normalize(typed, "Bücher") / normalize("NFD", "é.jpg")
    assert on_disk(asked) == file
    assert find_files([asked]) == [str(file)]
    assert find_files([asked.parent]) == [str(file)]
    assert find_files([asked.parent / "*.jpg"]) == [str(file)]
    assert common_root([asked.parent]) == file.parent
    gone = tmp_path / "Bücher" / "ü.jpg"
    assert on_disk(gone) == gone


@pytest.mark.parametrize("name", ["book.jpg", "book", "book.png"])
def test_a_tiff_keeps_its_second_page_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    first, second = Image.new("L", (60, 90), 10), Image.new("L", (60, 90), 200)
    first.save(tmp_path / name, "tiff", save_all=True, append_images=[second])
    refs = page_refs(tmp_path / name)
    assert [ref.number for ref in refs] == [1, 2]
    assert [int(read_page(ref).pixels[0, 0, 0]) for ref in refs] == [10, 200]


@pytest.mark.parametrize("name", ["book.jpg", "book", "book.tif"])
def test_a_pdf_is_one_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    pages = [Image.new("L", (60, 90), 255), Image.new("L", (90, 60), 255)]
    pages[0].save(tmp_path / name, "pdf", save_all=True, append_images=pages[1:])
    refs = page_refs(tmp_path / name)
    assert refs == [PageRef(tmp_path / name, 1), PageRef(tmp_path / name, 2)]
    assert read_page(refs[1], 100).pixels.shape == (67, 100, 3)
