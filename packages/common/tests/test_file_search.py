from pathlib import Path
from unicodedata import normalize

import pytest

from seminar_common import file_search
from seminar_common.file_search import ImageSearch

Image = pytest.importorskip("PIL.Image")


def found(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the images below a folder, and what was passed over."""
    search = ImageSearch()
    search.add_folder(folder)
    return [Path(name).relative_to(folder).as_posix() for name in search.files], search.remarks()


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    (folder := tmp_path / "pile").mkdir()
    Image.new("RGB", (4, 4), "red").save(folder / "b.PNG")
    return folder


def test_what_is_no_image_is_passed_over_and_what_can_not_be_read_is_named(
    pile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (4, 4), "red").save(pile / "without ending", "PNG")
    (pile / "scan.djvu").write_bytes(b"AT&TFORM")
    (pile / "book.pdf").write_bytes(b"%PDF-1.7")
    (pile / "notes.txt").write_text("x")
    (pile / ".hidden.png").write_bytes((pile / "b.PNG").read_bytes())
    for i in range(2):
        (pile / f"phone{i}.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setattr(file_search, "heic_is_readable", lambda: False)
    names, (remark,) = found(pile)
    assert names == ["b.PNG", "without ending"]
    assert remark == (
        "4 files passed over: 1 .djvu (convert it with ddjvu -format=tiff), 2 .heic (pip install pi-heif), "
        "1 .pdf (save its pages as images, with pdftoppm -png)"
    )
    monkeypatch.setattr(file_search, "heic_is_readable", lambda: True)
    assert {"phone0.heic", "phone1.heic"} <= set(found(pile)[0])


def test_linked_folders_are_searched_once_and_circles_end(pile: Path, tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (4, 4), "blue").save(elsewhere / "a.png")
    (pile / "there").symlink_to(elsewhere)
    (pile / "again").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(pile)
    assert found(pile) == (["b.PNG", "again/a.png"], [])


def test_a_name_in_two_spellings_is_one_image(pile: Path) -> None:
    for form in ("NFC", "NFD"):
        Image.new("RGB", (4, 4), "green").save(pile / f"{normalize(form, 'käfer')}.png")
    names, remarks = found(pile)
    assert len(names) == 2 and remarks == ["1 file passed over: the same under another spelling (NFC, NFD)"]
    Image.new("RGB", (4, 4), "black").save(pile / f"{normalize('NFC', 'käfer')}.png")
    assert len(found(pile)[0]) == 3
