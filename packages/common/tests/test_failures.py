import csv
from pathlib import Path

import pytest

from seminar_common import failures
from seminar_common.errors import UserError
from seminar_common.failures import Failure

BAD_PAGE = Failure("a/book.pdf", 'cut off, "half" a page', 3)
BAD_FILE = Failure("b.jpg", "empty")


def test_a_table_has_file_number_and_reason(tmp_path: Path) -> None:
    with failures.writing(tmp_path / failures.FILE) as write:
        write(BAD_PAGE)
        write(BAD_FILE)
    assert (tmp_path / failures.FILE).read_text().splitlines() == [
        "file,page,reason",
        'a/book.pdf,3,"cut off, ""half"" a page"',
        "b.jpg,,empty",
    ]
    assert failures.read(tmp_path / failures.FILE) == [BAD_PAGE, BAD_FILE]


def test_a_stopped_run_leaves_the_table_of_before(tmp_path: Path) -> None:
    path = tmp_path / failures.FILE
    failures.add(path, [BAD_FILE])
    with pytest.raises(KeyboardInterrupt), failures.writing(path) as write:
        write(BAD_PAGE)
        raise KeyboardInterrupt
    assert failures.read(path) == [BAD_FILE]
    assert list(tmp_path.iterdir()) == [path]


def test_a_thing_stands_in_the_table_once(tmp_path: Path) -> None:
    path = tmp_path / failures.FILE
    assert failures.read(path) == []
    with failures.writing(path, "line") as write:
        write(BAD_PAGE)
    failures.add(path, [BAD_FILE, Failure("a/book.pdf", "another reason", 3)])
    assert failures.read(path) == [Failure("a/book.pdf", "another reason", 3), BAD_FILE]
    assert path.read_text().startswith("file,line,reason\n")


def test_names_that_are_no_utf8_and_reasons_with_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / failures.FILE
    failures.add(path, [Failure("caf\udce9.jpg", "two\nlines")])
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file))[1] == ["caf\\udce9.jpg", "", "two\nlines"]
    assert failures.read(path)[0].reason == "two\nlines"


@pytest.mark.parametrize(
    "text", ["image,reason\na,b\n", "a,b,c\n1,2,3\n", "file,page,reason\na,x,b\n", "x\n"]
)
def test_another_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(UserError, match=r"f.csv: not a table of file, page or line, and reason"):
        failures.read(tmp_path / "f.csv")
