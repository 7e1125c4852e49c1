"""`review`: the gallery of a run served to a browser on this machine."""

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcd_longtail import review as command
from gcd_longtail.figures.gallery import served_page
from gcd_longtail.review import review
from gcd_longtail.reviewing.decisions import read_decisions, run_identity
from gcd_longtail.reviewing.ledger import open_ledger
from gcd_longtail.reviewing.server import Kept, Pictures, ReviewServer
from gcd_longtail.settings.commands import ReviewSettings
from seminar_common.errors import UserError

SIZES = {"ant": 6, "bee": 5, "novel-1": 16, "novel-2": 9}
CONFIG = {
    "topic": "gcd-longtail",
    "command": "discover",
    "identity": {"images": "i"},
    "found": "f",
    "features": {},
}
RUN = run_identity(CONFIG)
NAME = {"id": "1", "time": "2026-01-02T03:04:05Z", "action": "name", "cluster": "novel-1", "name": "fox"}


@pytest.fixture
def run(tmp_path: Path, make_discovery) -> Path:
    """The folder of a run with a gallery, and its images beside it."""
    folder = tmp_path / "found"
    folder.mkdir()
    make_discovery(folder / "gallery.html", SIZES, 2, run=RUN)
    (folder / "images").rename(tmp_path / "images")
    config = CONFIG | {"settings": {"images": str(tmp_path / "images")}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def facts_of(run: Path) -> dict:
    return json.loads((run / "gallery.json").read_text())


@contextmanager
def serving(run: Path, port: int = 0) -> Iterator[ReviewServer]:
    """Serve a run from a thread."""
    facts = facts_of(run)
    pictures = Pictures(run.parent / "images", facts["keys"])
    with open_ledger(run / "decisions.jsonl", facts["run"], facts["names"], facts["keys"]) as ledger:
        with ReviewServer(port, served_page(facts | {"served": "./"}), pictures, ledger) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


@pytest.fixture
def server(run: Path) -> Iterator[ReviewServer]:
    with serving(run) as started:
        yield started


def ask(server: ReviewServer, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    """Send a request below the token unless ``path`` begins with a slash."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    where = path if path.startswith("/") else f"/{server.token}/{path}"
    connection.putrequest("GET" if body is None else "POST", where, skip_host=True)
    data = b"" if body is None else json.dumps(body).encode()
    given = {"Host": f"127.0.0.1:{server.server_port}"}
    if body is not None:
        given |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        connection.putheader(name, value)
    connection.endheaders(data)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------------ who may ask what


def test_only_who_knows_the_token_is_answered(server: ReviewServer) -> None:
    assert ask(server, "")[0] == 200
    for path in ("/", "/x/", f"/{server.token}", f"/{server.token}x/", f"/{server.token[:-1]}/"):
        status, text = ask(server, path)
        assert status == 404 and b"open the address" in text
    with serving_twice(server) as other:
        assert other != server.token


@contextmanager
def serving_twice(server: ReviewServer) -> Iterator[str]:
    with ReviewServer(0, "", server.pictures, server.ledger) as other:
        yield other.token


def test_other_hosts_and_other_sites_are_refused(server: ReviewServer) -> None:
    port = server.server_port
    assert ask(server, "", Host=f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}"):
        assert ask(server, "", Host=host)[0] == 403
    sent = {"after": 0, "lines": [NAME]}
    for origin in ("http://evil.example", f"http://evil.example:{port}", "null"):
        assert ask(server, "decisions", sent, Origin=origin)[0] == 403
    assert ask(server, "decisions", sent, Content_Type="text/plain")[0] == 404
    assert len(server.ledger) == 0
    assert ask(server, "decisions", sent, Origin=f"http://127.0.0.1:{port}")[0] == 200


def test_it_listens_on_this_machine_alone(server: ReviewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(
        UserError, match=f"--port {server.server_port}: can't listen there .*choose another, or 0"
    ):
        ReviewServer(server.server_port, "", server.pictures, server.ledger)


def test_only_images_of_the_run_are_sent(server: ReviewServer, run: Path) -> None:
    status, data = ask(server, "thumbnail/0")
    with Image.open(io.BytesIO(data)) as image:
        assert (status, image.format, image.size) == (200, "WEBP", (12, 12))
    assert ask(server, "image/35")[0] == 200
    for path in (
        "36",
        "-1",
        "1e3",
        "x",
        "",
        "../../config.json",
        "..%2f..%2fconfig.json",
        "%D9%A3",
        "9" * 40,
    ):
        assert ask(server, f"thumbnail/{path}")[0] in (400, 404), path
    for path in ("config.json", "../config.json", "images/ant/000.png", "decisions"):
        assert ask(server, path)[0] == 404, path
    outside = Pictures(
        run.parent / "images", ["../found/config.json", "/etc/hostname", "ant/../../found/x.png"]
    )
    for number in range(3):
        with pytest.raises(Exception, match="leads out of the folder"):
            outside.path(number)


def test_an_image_that_is_gone_is_told(server: ReviewServer, run: Path) -> None:
    (run.parent / "images" / facts_of(run)["keys"][3]).unlink()
    status, text = ask(server, "thumbnail/3")
    assert status == 404 and b"No such file" in text


def test_what_is_no_decision_is_refused_and_nothing_is_stored(server: ReviewServer, run: Path) -> None:
    bad = [
        [1],
        [NAME | {"action": "nam"}],
        [NAME | {"cluster": "novel-9"}],
        [NAME | {"shown": ["ant/999.png"]}],
        [NAME, NAME],
        [NAME, {"id": "2", "time": "t", "action": "undo", "of": "9"}],
    ]
    for lines in bad:
        assert ask(server, "decisions", {"after": 0, "lines": lines})[0] == 400
    for body in ({"lines": []}, {"after": "x", "lines": []}, [], {"after": 0, "lines": 3}):
        assert ask(server, "decisions", body)[0] == 400
    assert ask(server, "decisions", {}, Content_Length="99999999999")[0] == 413
    assert len((run / "decisions.jsonl").read_text().splitlines()) == 1  # the first line names the run


# ------------------------------------------------------------------------------------------------ decisions are kept


def test_decisions_are_in_the_file_when_they_are_answered(server: ReviewServer, run: Path) -> None:
    status, answer = ask(server, "decisions", {"after": 0, "lines": [NAME]})
    assert status == 200 and json.loads(answer) == {"lines": [NAME]}
    assert [one.id for one in read_decisions(run / "decisions.jsonl", RUN)] == ["1"]
    other = {"id": "2", "time": "t", "action": "undo", "of": "1"}
    # sent twice, as after an answer that was lost; who knows nothing yet gets all
    for _ in range(2):
        assert json.loads(ask(server, "decisions", {"after": 1, "lines": [other]})[1]) == {"lines": [other]}
    assert json.loads(ask(server, "decisions", {"after": 0, "lines": []})[1]) == {"lines": [NAME, other]}
    assert len(read_decisions(run / "decisions.jsonl", RUN)) == 2


def test_a_restart_goes_on_and_a_line_that_a_kill_cut_short_is_dropped(run: Path) -> None:
    file = run / "decisions.jsonl"
    with serving(run) as server:
        ask(server, "decisions", {"after": 0, "lines": [NAME]})
    file.write_text(file.read_text() + '{"id": "2", "acti')
    with serving(run) as server:
        assert len(server.ledger) == 1
        ask(server, "decisions", {"after": 1, "lines": [NAME | {"id": "3"}]})
    file.write_text(file.read_text().rstrip("\n"))  # an editor took the line feed
    with serving(run) as server:
        assert len(server.ledger) == 2


def test_two_servers_of_one_run_and_decisions_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    facts, file = facts_of(run), run / "decisions.jsonl"
    with open_ledger(file, RUN, facts["names"], facts["keys"]):
        with pytest.raises(UserError, match="decisions.jsonl: another"):
            with open_ledger(file, RUN, facts["names"], facts["keys"]):
                pass
    with pytest.raises(UserError, match="decisions about another run"):
        with open_ledger(file, "x" * 32, facts["names"], facts["keys"]):
            pass


def test_a_full_disk_is_told_and_the_page_keeps_the_decision(
    server: ReviewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(server.ledger._journal, "append", full)
        status, text = ask(server, "decisions", {"after": 0, "lines": [NAME]})
    assert status == 507 and b"No space left" in text and len(server.ledger) == 0
    assert ask(server, "decisions", {"after": 0, "lines": [NAME]})[0] == 200


# ------------------------------------------------------------------------------------------------ in a browser


def test_what_one_tab_decides_another_sees_and_a_killed_server_loses_nothing(
    browser, run: Path, open_page: Callable
) -> None:
    file = run / "decisions.jsonl"
    with serving(run) as server, open_page(browser, server.address) as tab:
        port, address = server.server_port, server.address
        tab.wait_for_selector(".card .tile img")
        assert (
            tab.locator(".card .tile img").first.evaluate("one => one.decode().then(() => one.naturalWidth)")
            == 12
        )
        tab.keyboard.press("y")
        tab.locator("#save", has_text="Saved in the run (1)").wait_for()
        deadline = time.monotonic() + 5
        while len(read_decisions(file, RUN)) < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        other = tab.context.new_page()
        other.goto(address)
        other.locator("#progress", has_text="1 of 2").wait_for()
        tab.keyboard.press("u")
        other.locator("#progress", has_text="0 of 2").wait_for()  # asks every three seconds
        tab.reload()
        tab.locator("#redo:not(:disabled)").wait_for()
    assert [one.action for one in read_decisions(file, RUN)] == ["keep", "undo"]
    assert port


def test_what_can_not_be_sent_is_said_and_sent_later(browser, run: Path) -> None:
    page = browser.new_page()  # a request that fails is an error in the browser's console
    with serving(run) as server:
        page.goto(server.address)
        page.wait_for_selector(".card .tile")
        port, token = server.server_port, server.token
    page.keyboard.press("y")
    page.locator("#banner", has_text="The server has stopped. 1 decision waits here").wait_for()
    with serving(run, port) as server:
        server.token = token
        page.evaluate("served.exchange()")
        page.locator("#banner").wait_for(state="hidden")
        assert len(server.ledger) == 1
    page.close()


def test_a_hundred_thousand_images_are_there_in_two_seconds(
    browser, run: Path, open_page: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, k, images = 100_000, 400, facts_of(run)["keys"]
    generator = np.random.default_rng(0)
    sizes = np.sort(generator.multinomial(count, generator.dirichlet(np.full(k, 0.4))))[::-1].tolist()
    keys = [*images, *(f"2024/{i // 1000:03d}/IMG_{i:06d}.jpg" for i in range(count - len(images)))]
    order = generator.permutation(k).tolist()
    many = facts_of(run) | {
        "keys": keys,
        "sizes": sizes,
        "known": 100,
        "names": [*(f"class {i}" for i in range(100)), *(f"novel-{i:03d}" for i in range(1, 301))],
        "labelled": list(range(0, 20_000, 3)),
        "doubt": generator.integers(0, 1000, count).tolist(),
        "second": generator.integers(0, k, count).tolist(),
        "alike": [[(i + 1) % k, (i + 2) % k] for i in range(k)],
        "byLikeness": order,
        "suspicious": [],
        "map": {"classes": generator.random((k, 2)).round(4).tolist(), "images": [0], "points": [[0.5, 0.5]]},
    }
    (run / "gallery.json").write_text(json.dumps(many, separators=(",", ":")))
    monkeypatch.setattr(Pictures, "path", lambda self, _: self.folder / images[0])  # one image for all
    with serving(run) as server, open_page(browser, "about:blank") as tab:
        before = time.process_time()
        page = ask(server, "")[1]
        assert time.process_time() - before < 0.5 and len(page) < 8_000_000
        processor = tab.context.new_cdp_session(
            tab
        )  # seconds of the page's thread: those of a clock count other programs
        processor.send("Performance.enable", {"timeDomain": "threadTicks"})

        def seconds() -> float:
            metrics = processor.send("Performance.getMetrics")["metrics"]
            return next(one["value"] for one in metrics if one["name"] == "TaskDuration")

        tab.goto(server.address)
        tab.wait_for_selector(".card .tile")
        shown = seconds()
        assert tab.locator(".card").count() == sum(size > 0 for size in sizes[100:])
        assert tab.locator("#view img").count() < 400  # pictures are asked for as they come into view
        before = seconds()
        tab.evaluate("keepGroup(now.groups.get(state.here))")
        decided = seconds() - before
    assert shown < 2 and decided < 1, (shown, decided)


def test_pictures_are_kept_up_to_a_number_of_bytes() -> None:
    kept, made = Kept(25), []
    make = lambda number: made.append(number) or bytes(10)  # noqa: E731
    for number in (1, 2, 1, 3, 1, 2):
        kept.get("thumbnail", number, make)
    assert made == [1, 2, 3, 2]


# ------------------------------------------------------------------------------------------------ the command


def test_the_command_serves_until_it_is_told_to_stop(run: Path) -> None:
    arguments = ["review", "--found", str(run), "--no-browser"]
    code = "import sys; from gcd_longtail.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"open http://127\.0\.0\.1:(\d+)/(\S+)/ on this machine", line)
        assert found, line
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
        connection.request("GET", f"/{found[2]}/")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert "0 decisions in" in process.stderr.read()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda run: (run / "gallery.json").unlink(),
            "gallery.json: no such file; an older version made the run",
        ),
        (lambda run: (run / "gallery.json").write_text("{}"), "of a form that is not known here"),
        (
            lambda run: (run / "gallery.json").write_text(json.dumps(facts_of(run) | {"run": "x"})),
            "gallery.json: of another run",
        ),
        (
            lambda run: (run.parent / "images").rename(run.parent / "moved"),
            "images: holds none of the run's images",
        ),
    ],
)
def test_a_run_that_can_not_be_reviewed_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable, message: str
) -> None:
    monkeypatch.setattr(command, "ReviewServer", lambda *_: pytest.fail("it was served"))
    spoil(run)
    with pytest.raises(UserError, match=message):
        review(ReviewSettings(run, browser=False))
    assert not (run / "decisions.jsonl").exists()


def test_images_that_have_moved_are_found(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.parent / "images").rename(run.parent / "moved")
    opened: list[str] = []
    monkeypatch.setattr(command.webbrowser, "open", opened.append)
    monkeypatch.setattr(ReviewServer, "serve_forever", lambda *_, **__: None)
    review(ReviewSettings(run, run.parent / "moved"))
    assert opened[0].startswith("http://127.0.0.1:")
