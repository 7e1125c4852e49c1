import pytest

from seminar_common.progress import is_first_process, progress, say


def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say("hello")
    monkeypatch.setenv("RANK", "1")
    say("hello again")
    assert not is_first_process()
    assert capsys.readouterr().err == "hello\n"


def test_nothing_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    # A log file full of bar frames is unreadable.
    with progress("reading", 10, unit="B") as advance:
        advance(5)
        advance(5, "done")
    assert capsys.readouterr() == ("", "")
