import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools.coco import COCO

from doc_detect.convert import main as convert
from doc_detect.crop import crop
from doc_detect.detectors import onnx
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.onnx import to_page
from doc_detect.formats.forms import read_any
from doc_detect.pages import Page, PageRef
from doc_detect.predict import main, predict
from doc_detect.predictions import (
    FAILURES,
    IMAGES,
    JOURNAL,
    PAGES,
    RESULTS,
    open_predictions,
    write_tables,
    writing,
)
from doc_detect.settings.job import ConvertSettings, CropSettings, PredictSettings
from seminar_common import failures
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig


@pytest.fixture
def scans(tmp_path: Path, paint) -> Path:
    """Five pages, two of them of the same name, one in a folder that is not ASCII, and a truncated one."""
    folder = tmp_path / "scans"
    for name in ("a/1.png", "b/1.png", "b/2.png", "Bücher №3/Δ.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(paint(600, 900, graphic=(60, 90, 420, 450))).save(folder / name)
    Image.fromarray(paint(300, 500, drop_capital=(20, 20, 60, 60))).save(folder / "initial.png")
    whole = (folder / "a/1.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no page")
    return folder


def settings(scans: Path, out: Path, model: Path, **options) -> PredictSettings:
    """Return settings with which the pages are looked at in this process, unless there is a limit of time."""
    options = {"page_timeout": 0.0, "work": WorkConfig(1), **options}
    return PredictSettings(inputs=(scans,), out=out, model=model, **options)


def test_finds_boxes_in_the_pixels_of_the_originals(scans: Path, tiny_model: Path, tmp_path: Path) -> None:
    predict(settings(scans, tmp_path / "out", tiny_model, page_timeout=120.0))
    pages = {page.name: page for page in open_predictions(tmp_path / "out")}
    assert set(pages) == {"a/1.png", "b/1.png", "b/2.png", "Bücher №3/Δ.png", "initial.png"}
    (box,) = pages["b/1.png"].boxes
    assert (box.label, box.score) == ("graphic", 0.9)
    # The detector sees the page at 256 of 900 pixels, so an edge is known to 3.5 of them.
    np.testing.assert_allclose(box.xyxy, (60, 90, 420, 450), atol=4)


def test_writes_coco_a_table_and_the_failures(scans: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = predict(settings(scans, out, tiny_model))
    assert (summary.pages, summary.failures) == (5, 1)
    assert summary.found == {"graphic": 4, "drop_capital": 1, "caption": 0}
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["config.json", JOURNAL, IMAGES, RESULTS, PAGES, FAILURES]
    )
    coco = COCO(str(out / IMAGES))
    found = coco.loadRes(str(out / RESULTS))
    assert len(found.anns) == 5
    names = {image["file_name"]: image["id"] for image in coco.dataset["images"]}
    (annotation,) = found.imgToAnns[names["initial.png"]]
    assert coco.cats[annotation["category_id"]]["name"] == "drop_capital"
    np.testing.assert_allclose(annotation["bbox"], (20, 20, 40, 40), atol=3)
    table = {row["name"]: row for row in pq.read_table(out / PAGES).to_pylist()}
    assert table["initial.png"]["score_graphic"] is None and table["initial.png"]["count_drop_capital"] == 1
    assert (table["initial.png"]["width"], table["initial.png"]["height"]) == (300, 500)
    (row,) = list(csv.DictReader((out / FAILURES).open(encoding="utf-8")))
    assert (row["file"], row["page"]) == ("broken.png", "") and "truncated" in row["reason"]


def test_goes_on_without_doing_finished_pages_again(
    scans: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture, paint
) -> None:
    out = tmp_path / "out"
    predict(settings(scans, out, tiny_model))
    before = {name: (out / name).read_bytes() for name in (IMAGES, RESULTS)}
    lines = (out / JOURNAL).read_text().splitlines()
    # As if killed while the third page was being written, in the middle of its line.
    (out / JOURNAL).write_text("\n".join(lines[:2]) + "\n" + lines[2][:20])
    (out / PAGES).unlink()
    with pytest.raises(UserError, match="same --out again"):
        open_predictions(out)
    main(settings(scans, out, tiny_model))
    assert "pages were done before" in capsys.readouterr().err
    again = (out / JOURNAL).read_text().splitlines()
    assert again[:2] == lines[:2] and set(again) == set(lines)
    assert {name: (out / name).read_bytes() for name in (IMAGES, RESULTS)} == before
    # A file that changed is looked at again, and one that was mended is no failure any more.
    Image.fromarray(paint(600, 900)).save(scans / "b/1.png")
    Image.fromarray(paint(600, 900, caption=(60, 90, 420, 450))).save(scans / "broken.png")
    summary = predict(settings(scans, out, tiny_model))
    assert summary.found == {"graphic": 3, "drop_capital": 1, "caption": 1} and summary.failures == 0


def test_a_killed_run_loses_nothing_that_was_finished(tiny_model: Path, tmp_path: Path, paint) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    page = Image.fromarray(paint(1500, 2000, graphic=(60, 90, 420, 450)))
    page.save(scans / "0.png")
    for number in range(1, 40):
        os.link(scans / "0.png", scans / f"{number}.png")
    command = [sys.executable, "-c", "from doc_detect.cli import main; main()", "predict", str(scans)]
    command += ["--out", str(out), "--model", str(tiny_model), "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    journal = out / JOURNAL
    while process.poll() is None and (not journal.exists() or journal.stat().st_size < 500):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = journal.read_bytes().count(b"\n")
    assert 0 < finished < 40
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{finished:,} pages were done before" in done.stderr
    assert pq.read_metadata(out / PAGES).num_rows == 40


def test_other_predictions_are_never_mixed_in(scans: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(settings(scans, out, tiny_model))
    with pytest.raises(
        UserError, match="was computed from another min score .0.0 there, 0.3 here.; choose another --out"
    ):
        predict(settings(scans, out, tiny_model, min_score=0.3))
    with pytest.raises(UserError, match="exists already"):
        predict(settings(scans, scans, tiny_model))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"command": "predict", "labels": ["graphic"], "root": "/"}'),
        ("config.json", '{"command": "predict", "labels": ["graphic"], "root": "/", "settings": {}}'),
        ("config.json", '{"command": "predict", "labels": ["graphic"], "root": "/", "settings": 1}'),
        (JOURNAL, '{"file": "a"}\n'),
        (JOURNAL, "[1]\n"),
    ],
)
def test_what_another_version_wrote_is_refused_in_one_line(
    file: str, content: str, scans: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(settings(scans, out, tiny_model))
    (out / file).write_text(content)
    with pytest.raises(UserError, match=rf"{file}.*: damaged, or of another version"):
        list(open_predictions(out))
    with pytest.raises(UserError, match=rf"{file}.*: damaged, or of another version"):
        predict(settings(scans, out, tiny_model))


def test_another_version_of_the_code_does_not_go_on(
    scans: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    predict(settings(scans, out, tiny_model))
    lines = (out / JOURNAL).read_text().splitlines(keepends=True)
    (out / JOURNAL).write_text("".join(lines[:2]))
    monkeypatch.setattr(onnx, "code_digest", lambda *modules: "of another post-processing")
    with pytest.raises(UserError, match="was computed from another code .*choose another --out"):
        predict(settings(scans, out, tiny_model))
    assert (out / JOURNAL).read_text() == "".join(lines[:2])


def test_a_sliver_at_the_edge_that_rounding_flattens_is_nothing(scans: Path, tmp_path: Path) -> None:
    """Boxes are written in tenths of a pixel; crop and convert must take all that predict writes."""
    boxes = [((299.98, 9.7, 300.0, 78.1), 0.9, 0), ((10.0, 10.0, 90.0, 90.0), 0.8, 0)]
    config = {"model": "m", "min_score": 0.0, "pdf_pixels": 2000}
    with writing(tmp_path / "found", config, ("graphic",), scans) as journal:
        journal.add_page(PageRef(scans / "initial.png"), (300, 500), boxes)
    write_tables(tmp_path / "found")
    rows = crop(CropSettings(predictions=tmp_path / "found", out=tmp_path / "crops", padding=0.0))
    assert [row["score"] for row in rows] == [0.8]
    convert(ConvertSettings(tmp_path / "found", "coco", tmp_path / "coco.json"))
    (layout,) = read_any(tmp_path / "coco.json").pages
    assert [region.xyxy for region in layout.regions] == [(10.0, 10.0, 90.0, 90.0)]


def test_a_sliver_is_not_even_written(scans: Path, tmp_path: Path) -> None:
    """What other tools read holds no box without area; a thinnest one is a tenth of a pixel."""
    slivers = [(299.98, 9.7, 300.0, 78.1), (10.0, 10.0, 10.04, 90.0), (10.0, 10.0, 90.0, 10.0)]
    boxes = [(xyxy, 0.9, 0) for xyxy in (*slivers, (10.0, 10.0, 10.1, 90.0), (299.9, 10.0, 300.0, 90.0))]
    config = {"model": "m", "min_score": 0.0, "pdf_pixels": 2000}
    with writing(tmp_path / "found", config, ("graphic",), scans) as journal:
        journal.add_page(PageRef(scans / "initial.png"), (300, 500), boxes)
    write_tables(tmp_path / "found")
    (line,) = (tmp_path / "found" / JOURNAL).read_text().splitlines()
    assert len(json.loads(line)["boxes"]) == 2
    written = json.loads((tmp_path / "found" / RESULTS).read_text())
    assert [min(one["bbox"][2:]) for one in written] == [0.1, 0.1]
    rows = crop(CropSettings(predictions=tmp_path / "found", out=tmp_path / "crops", padding=0.0))
    assert len(rows) == 2
    assert all(Image.open(tmp_path / "crops" / row["file"]).size == (1, 80) for row in rows)


def test_the_detector_drops_what_is_thinner_than_what_can_be_written() -> None:
    found = Detections(
        np.array([[511.96, 5, 530, 40], [500.0, 5, 530, 40]], np.float32),
        np.array([0.9, 0.8]),
        np.array([0, 0]),
    )
    page = Page(np.zeros((400, 512, 3), np.uint8), 1000, 781)
    assert to_page(found, (512, 400), page).scores.tolist() == [0.8]


def test_boxes_end_where_the_margins_that_were_cut_off_begin() -> None:
    """The network saw nothing beyond; so every engine says, and so the figures were measured."""
    page = Page(np.zeros((100, 100, 3), np.uint8), 400, 400, (100.0, 100.0, 300.0, 300.0))
    found = Detections(np.array([[-20, 10, 130, 90]], np.float32), np.array([0.9]), np.array([0]))
    np.testing.assert_allclose(to_page(found, (100, 100), page).boxes, [[100, 120, 300, 280]])


DEADLY = """
import os, signal
from seminar_common import images
opened = images.open_image
def open_image(source, frame=0):
    if getattr(source, "name", "") == "2.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return opened(source, frame)
images.open_image = open_image
"""


def test_a_page_that_kills_its_worker_is_a_failure_and_the_others_are_done(
    scans: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEADLY)  # which each worker process imports as it starts
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    given = settings(scans, tmp_path / "out", tiny_model, page_timeout=120.0, work=WorkConfig(2))
    summary = predict(given)
    assert (summary.pages, summary.failures) == (4, 2)
    found = {failure.file: failure.reason for failure in failures.read(tmp_path / "out" / FAILURES)}
    assert set(found) == {"broken.png", "b/2.png"} and "worker process died 3 times" in found["b/2.png"]


def endless_pdf() -> bytes:
    """Return a PDF whose page draws a form that draws a form ten times, and so on: a square, a trillion times."""
    resources = b"/Resources << /XObject << /F %d 0 R >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R %s >>" % (resources % 5),
        b"<< /Length 5 >>\nstream\n/F Do\nendstream",
    ]
    for number in range(5, 17):
        content, inner = (b"/F Do " * 10, resources % (number + 1)) if number < 16 else (b"0 0 9 9 re f", b"")
        form = b"<< /Type /XObject /Subtype /Form /BBox [0 0 100 100] %s /Length %d >>" % (
            inner,
            len(content),
        )
        objects.append(form + b"\nstream\n" + content + b"\nendstream")
    body = b"%PDF-1.4\n"
    for number, content in enumerate(objects, start=1):
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    return body + b"trailer << /Size %d /Root 1 0 R >>\n%%%%EOF\n" % (len(objects) + 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_page_that_never_ends_rendering_is_a_failure_and_the_others_are_done(
    workers: int, scans: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (scans / "b" / "endless.pdf").write_bytes(endless_pdf())
    given = settings(scans, tmp_path / "out", tiny_model, page_timeout=3.0)
    summary = predict(dataclasses.replace(given, work=WorkConfig(workers)))
    assert (summary.pages, summary.failures) == (5, 2)
    found = {(one.file, one.number): one.reason for one in failures.read(tmp_path / "out" / FAILURES)}
    assert found["b/endless.pdf", 1] == "took longer than 3 s"


def test_a_negative_time_is_refused(scans: Path, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--page-timeout -1"):
        settings(scans, tmp_path / "out", tiny_model, page_timeout=-1)


def test_without_a_limit_one_worker_is_the_command_itself(
    scans: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", lambda process: pytest.fail("a process"))
    assert predict(settings(scans, tmp_path / "out", tiny_model, page_timeout=0)).pages == 5


def test_what_a_folder_has_beside_pages_is_said_and_names_that_lie_do_no_harm(
    scans: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture, paint
) -> None:
    (scans / "old.djvu").write_bytes(b"AT&TFORM\0\0\0\0DJVM")
    (scans / "older.jpg").write_bytes(b"AT&TFORM\0\0\0\0DJVM")
    pages = [Image.fromarray(paint(600, 900, graphic=(60, 90, 420, 450))) for _ in range(2)]
    pages[0].save(scans / "b" / "3.jpg", "tiff", save_all=True, append_images=pages[1:])
    for _ in range(2):  # a second time nothing is new
        main(settings(scans, tmp_path / "out", tiny_model, page_timeout=0))
        said = capsys.readouterr().err
        assert "1 file passed over: 1 .djvu (convert it with ddjvu -format=tiff)" in said
        names = {page.name for page in open_predictions(tmp_path / "out")}
        assert {"b/3.jpg#page=1", "b/3.jpg#page=2"} < names and len(names) == 7
        found = {failure.file: failure.reason for failure in failures.read(tmp_path / "out" / FAILURES)}
        assert found["older.jpg"] == "DjVu: convert it with ddjvu -format=tiff"
    assert "7 pages were done before" in said


def test_finished_pages_are_not_opened_again(
    scans: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scans / "broken.png").unlink()
    given = settings(scans, tmp_path / "out", tiny_model, page_timeout=0)
    predict(given)
    monkeypatch.setattr("doc_detect.predict.page_refs", lambda path: pytest.fail(f"{path} was opened"))
    assert predict(given).pages == 5


def test_works_without_pytorch(scans: Path, tiny_model: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['doc-detect', 'predict', {str(scans)!r}, '--out', {str(tmp_path / 'out')!r},"
        f" '--model', {str(tiny_model)!r}]\n"
        "from doc_detect.cli import main\n"
        "main()\n"
        "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5 pages" in done.stderr and "1 could not be read" in done.stderr


def test_the_whole_job_runs_without_pytorch_with_the_detector_that_ships(scans: Path, tmp_path: Path) -> None:
    found = str(tmp_path / "found")
    commands = [
        ["predict", str(scans), "--out", found],
        ["filter", "--predictions", found, "--not", "table", "--copy", str(tmp_path / "kept")],
        ["crop", "--predictions", found, "--out", str(tmp_path / "crops"), "--min-score", "0.05"],
        ["gallery", "--predictions", found],
        ["convert", found, "--to", "coco", "--out", str(tmp_path / "coco.json"), "--min-score", "0"],
    ]
    code = (
        "import sys\n"
        "from doc_detect.cli import main\n"
        f"for command in {commands!r}:\n"
        "    sys.argv = ['doc-detect', *command]\n"
        "    main()\n"
        "heavy = {'torch', 'torchvision', 'timm', 'lightning_fabric', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "crops" / "manifest.csv").is_file() and (tmp_path / "found" / "gallery.html").is_file()
    assert (tmp_path / "coco.json").is_file() and list((tmp_path / "kept").rglob("*.png"))


def test_pages_of_a_pdf_and_a_tiff_have_numbers(tiny_model: Path, tmp_path: Path, paint) -> None:
    first = Image.fromarray(paint(400, 600, graphic=(40, 60, 200, 300)))
    second = Image.fromarray(paint(600, 400))
    first.copy().save(tmp_path / "book.pdf", save_all=True, append_images=[second.copy()], resolution=200)
    first.save(tmp_path / "book.tif", save_all=True, append_images=[second])
    inputs = (tmp_path / "book.pdf", tmp_path / "*.tif")
    given = settings(tmp_path, tmp_path / "out", tiny_model, pdf_pixels=1200)
    predict(dataclasses.replace(given, inputs=inputs))
    pages = {page.name: page for page in open_predictions(tmp_path / "out")}
    assert list(pages) == [f"book.{kind}#page={n}" for kind in ("pdf", "tif") for n in (1, 2)]
    assert (pages["book.tif#page=2"].width, pages["book.tif#page=2"].height) == (600, 400)
    pdf = pages["book.pdf#page=1"]
    assert (pdf.width, pdf.height) == (800, 1200)
    np.testing.assert_allclose(pdf.boxes[0].xyxy, (80, 120, 400, 600), atol=8)
    rows = json.loads((tmp_path / "out" / IMAGES).read_text())["images"]
    assert [row.get("page") for row in rows] == [1, 2, 1, 2]


def test_wrong_models_are_refused_in_one_line(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        predict(settings(scans, tmp_path / "out", tmp_path / "none.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"nothing like a model")
    with pytest.raises(UserError, match="not an ONNX model"):
        predict(settings(scans, tmp_path / "out", tmp_path / "bad.onnx"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [("missing",), ("empty",), ("*.tiff",)])
def test_inputs_without_a_page_are_refused(names, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    inputs = tuple(tmp_path / name for name in names)
    with pytest.raises(UserError, match=names[0].replace("*", r"\*")):
        predict(PredictSettings(inputs=inputs, out=tmp_path / "out", model=tiny_model))
