import time
from collections.abc import Callable

import pytest

from seminar_common import progress as module
from seminar_common.progress import Beat, duration, heartbeat, is_first_process, progress, say, silent


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the module's time stand still, with nothing said yet."""
    fake = Clock()
    monkeypatch.setattr(module.time, "monotonic", fake)
    monkeypatch.setattr(module, "_said_at", None)
    return fake


def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say("hello")
    monkeypatch.setenv("RANK", "1")
    say("hello again")
    assert not is_first_process()
    assert capsys.readouterr().err == "hello\n"


def test_a_silent_block_says_nothing_and_is_over_after_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "FIRST_LINE", 0.0)
    with pytest.raises(KeyError), silent():
        say("not heard")
        with silent(), progress("unseen", 2) as advance:
            advance()
            time.sleep(0.1)
        say("not heard either")
        raise KeyError
    assert capsys.readouterr().err == ""
    say("heard again")
    assert capsys.readouterr().err == "heard again\n"


def test_quick_work_leaves_no_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", 10, unit="B") as advance:
        advance(5)
        advance(5, "done")
    assert capsys.readouterr() == ("", "")


def test_a_line_comes_early_then_regularly_and_any_other_line_puts_it_off(clock: Clock, capsys) -> None:
    beat, spoken = Beat(lambda: "still here", silence=20, first=1.5, clock=clock), []
    for second in range(70):
        clock.now = 1000 + second
        if second == 50:
            say("epoch 1")
        beat.speak_if_due()
        spoken += [second] if "still here" in capsys.readouterr().err else []
    assert spoken == [2, 22, 42]
    clock.now += 1
    beat.speak_if_due()
    assert capsys.readouterr().err == "still here\n", "20 s after the other line"


def test_a_line_says_step_note_rate_and_time_left(clock: Clock) -> None:
    count = module._Count("training", 400, "", clock)
    count.done, count.note = 100, "loss 0.7"  # a resumed run starts at step 100
    assert count.line() == "training: 100 of 400, loss 0.7"
    clock.now, count.done = clock.now + 20, 200
    assert count.line() == "training: 200 of 400, loss 0.7, 5.0/s, 40 s left"
    clock.now, count.done = clock.now + 180, 201
    assert count.line() == "training: 201 of 400, loss 0.7, 2.0 s each, 7 min left".replace(
        "7 min", duration(199 * 200 / 101)
    )


def test_bytes_are_readable_and_an_unknown_total_promises_nothing(clock: Clock) -> None:
    count = module._Count("reading", 3e9, "B", clock)
    count.line()
    clock.now, count.done = clock.now + 10, 1e9
    assert count.line() == "reading: 1,000.0 MB of 3,000.0 MB, 100.0 MB/s, 20 s left"
    count.total = None
    assert count.line() == "reading: 1,000.0 MB, 100.0 MB/s"


def test_a_small_file_is_not_zero_megabytes() -> None:
    assert module._Count("reading", 12_300, "B", lambda: 0.0).amount() == "reading: 0.0 kB of 12.3 kB"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (99, "99 s"), (720, "12 min"), (11_100, "3 h 05 min")]
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, 10 s at most."""
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_step_that_takes_long_does_not_hold_the_lines_back(monkeypatch, capsys) -> None:
    lines: list[str] = []
    monkeypatch.setattr(module, "say", lines.append)
    monkeypatch.setattr(module, "_said_at", None)
    with heartbeat(lambda: f"line {len(lines)}", silence=0.05, first=0.02):
        wait_until(lambda: len(lines) >= 3)
    assert lines[:3] == ["line 0", "line 1", "line 2"]


def test_work_that_had_lines_says_when_it_is_done(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    text: list[str] = []
    monkeypatch.setattr(module, "say", text.append)
    monkeypatch.setattr(module, "_said_at", None)
    monkeypatch.setattr(module, "FIRST_LINE", 0.01)
    with progress("drawing", 2000) as advance:
        wait_until(lambda: bool(text))
        advance(2000, "loss 1.5")
    assert text[0] == "drawing: 0 of 2,000"
    assert text[-1].startswith("drawing: 2,000 of 2,000 in ")
