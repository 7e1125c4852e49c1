import csv
from pathlib import Path
from unicodedata import normalize

import pytest

from gcd_longtail.images.labels_file import KnownLabels, read_labels
from seminar_common.errors import UserError

COMPOSED, APART = (normalize(form, "käse/gelb.png") for form in ("NFC", "NFD"))
KEYS = ("a/1.png", "a/2.png", "b/1.png", APART)


def read(tmp_path: Path, text: str | bytes, keys: tuple[str, ...] = KEYS) -> KnownLabels:
    file = tmp_path / "labels.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(file, tmp_path / "photos", keys, ())


def named(known: KnownLabels) -> list[str]:
    return [known.classes[number] if number >= 0 else "" for number in known.labels.tolist()]


@pytest.mark.parametrize(
    "text",
    [
        f"path,label\na/1.png,x\n{APART},y\n",
        f"\ufeffFile;Class\r\na\\1.png;x\r\n{COMPOSED};y\r\n;\r\n",
        f"label\timage\nx\t./a/1.png\ny\t{COMPOSED}\n".encode("utf-16"),
        f"filename,category,by\na//1.png,x,me\n{COMPOSED},y,you\n",
        f"image,class,name\na/1.png,0,x\n{APART},1,y\n",
    ],
    ids=["plain", "semicolons, BOM and backslashes", "tabs in UTF-16", "synonyms", "numbers beside names"],
)
def test_labels_are_read_as_people_write_them(tmp_path: Path, text: str | bytes) -> None:
    assert named(read(tmp_path, text)) == ["x", "", "", "y"]


def test_paths_are_found_from_wherever_they_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk" / "photos").mkdir(parents=True)
    (tmp_path / "photos").symlink_to(tmp_path / "disk" / "photos")
    Path("labels.csv").write_text(
        f"path,label\nphotos/a/1.png,x\n{tmp_path}/photos/a/2.png,y\n{tmp_path}/disk/photos/b/1.png,z\n"
    )
    known = read_labels(Path("labels.csv"), Path("photos"), KEYS, ())
    assert named(known) == ["x", "y", "z", ""] and not known.failures


def test_a_name_with_a_backslash_of_its_own_is_found(tmp_path: Path) -> None:
    assert named(read(tmp_path, "path,label\nk\\xe4se.png,x\n", (r"k\xe4se.png", "k/xe4se.png"))) == ["x", ""]


def test_labels_in_two_spellings_are_one_class(tmp_path: Path) -> None:
    text = f"path,label\na/1.png,{normalize('NFC', 'Käse')}\na/2.png,{normalize('NFD', 'Käse')}\n"
    assert read(tmp_path, text).classes == (normalize("NFC", "Käse"),)


def test_our_own_assignments_give_back_the_labels_that_a_person_gave(tmp_path: Path) -> None:
    rows = [
        ("a/1.png", 0, "x", "yes", "yes"),
        ("a/2.png", 1, "novel-1", "no", "no"),
        ("b/1.png", 1, "y", "no", "yes"),
    ]
    with (tmp_path / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("image", "class", "name", "known", "labelled"), *rows])
    assert named(read(tmp_path, (tmp_path / "table.csv").read_bytes())) == ["x", "", "y", ""]
    with pytest.raises(UserError, match="no row has a class and yes in the column labelled"):
        read(tmp_path, "image,class,name,labelled\na/1.png,0,x,no\n")


def test_guesses_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"labels\.csv: its classes are guesses of `predict`; add a column labelled"
    ):
        read(tmp_path, "image,class,name,known,margin\na/1.png,0,x,yes,0.3\n")


def test_an_image_under_two_names_has_one_label(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 3: a/1\.png is labelled 'x' above and 'y' here"):
        read(tmp_path, "path,label\na/1.png,x\na\\1.png,y\n")


def test_a_label_of_an_image_that_is_not_there_is_recorded(tmp_path: Path) -> None:
    (lost,) = read(tmp_path, "path,label\na/1.png,x\ngone\\1.png,y\n").failures
    assert (lost.file, lost.reason) == ("gone/1.png", "has a label, but is not in the folder")
