"""Scans in, the pages to label first out, and back into the adaptation."""

import pytest

pytest.importorskip("torch")

import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from doc_detect.adapt import FACTS, adapt
from doc_detect.adaptation.labelled import open_labelled
from doc_detect.classes import CLASSES
from doc_detect.coco import read_coco
from doc_detect.detectors.scoring import Scoring, write_scoring
from doc_detect.formats.forms import read_any
from doc_detect.select import COCO_FILE, COLUMNS, GALLERY, TABLE, TASKS, main, select
from doc_detect.settings.adaptation import SelfTrainingConfig, smoke
from doc_detect.settings.selection import SelectSettings
from doc_detect.settings.training import OptimizationConfig
from seminar_common import failures
from seminar_common.errors import UserError
from seminar_common.runs import Run
from seminar_common.work import WorkConfig

LABELS = ("graphic", "drop_capital")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=16, val=6, height=192)


@pytest.fixture(scope="module")
def source(toy_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(shutil.copytree(toy_source, tmp_path_factory.mktemp("runs") / "source"))
    write_scoring(Scoring(margin={"graphic": 0.01}), run.folder)
    return run


def settings(source: Run, data: Path, out: Path, **changes) -> SelectSettings:
    chosen = SelectSettings(
        target=(data / "images",),
        out=out,
        budget=6,
        run=source.folder,
        min_score=0.1,
        page_timeout=0.0,
        work=WorkConfig(workers=1),
    )
    return dataclasses.replace(chosen, **changes)


def table(out: Path) -> list[dict[str, str]]:
    with (out / TABLE).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_choice_leaves_exactly_these_files(
    source: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chosen"
    main(settings(source, data, out))
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {"config.json", TABLE, COCO_FILE, TASKS, "tasks.config.xml", GALLERY}
    rows = table(out)
    assert tuple(rows[0]) == COLUMNS and [row["rank"] for row in rows] == [str(i) for i in range(1, 7)]
    assert len({row["file"] for row in rows}) == 6
    assert all((out / row["file"]).is_file() and row["why"] for row in rows)
    pages = read_coco(out / COCO_FILE).pages
    assert [page.file_name for page in pages] == [row["file"] for row in rows]
    assert all(page.facts["book"] == row["book"] for page, row in zip(pages, rows, strict=True))
    scores = np.concatenate([page.scores for page in pages if page.scores is not None])
    assert len(scores) and scores.min() >= 0.1
    assert {(page.width, page.height) for page in pages} == {(134, 192)}
    tasks = json.loads((out / TASKS).read_text())
    assert len(tasks) == 6 and not any("annotations" in task for task in tasks)  # nothing is labelled yet
    assert "adapt --target" in capsys.readouterr().err


def test_the_same_pages_give_the_same_choice_and_a_killed_one_goes_on(
    source: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    select(settings(source, data, one))
    left = [9]

    def killed(*args):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(*args)

    from doc_detect.selection.looks import pooled as real

    with monkeypatch.context() as patch:
        patch.setattr("doc_detect.selection.looks.pooled", killed)
        with pytest.raises(KeyboardInterrupt):
            select(settings(source, data, other))
    assert not (other / TABLE).exists()
    with monkeypatch.context() as patch:
        patch.setattr("doc_detect.select.write_gallery", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            select(settings(source, data, other))
    looked = []
    monkeypatch.setattr("doc_detect.selection.looks.pooled", lambda *args: looked.append(1) or real(*args))
    select(settings(source, data, other))
    assert not looked
    for name in (TABLE, COCO_FILE, TASKS):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    with pytest.raises(UserError, match="have been chosen; choose another --out"):
        select(settings(source, data, other))


def name_of(name: str) -> str:
    """Return what a page was called before it was chosen; copies begin with their rank."""
    return re.sub(r"^\d{3}-", "", name.rpartition("/")[2])


def corrected(data: Path, out: Path, form: str) -> Path:
    """Return the file that a person made of the pre-annotations: the true boxes in place of the detector's."""
    truth = {}
    for split in ("train", "val"):
        truth |= {page.file_name: page for page in read_coco(data / f"{split}.json").pages}
    made = out / f"corrected-{form}.json"
    if form == "coco":
        document = json.loads((out / COCO_FILE).read_text())
        numbers = {category["name"]: category["id"] for category in document["categories"]}
        document["annotations"] = []
        for image in document["images"]:
            page = truth[name_of(image["file_name"])]
            for box, label in zip(page.boxes.tolist(), page.labels, strict=True):
                x1, y1, x2, y2 = box
                entry = {"image_id": image["id"], "category_id": numbers[CLASSES[label]]}
                document["annotations"].append(
                    {"id": len(document["annotations"]), **entry, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                )
        made.write_text(json.dumps(document))
        return made
    tasks = json.loads((out / TASKS).read_text())
    for task in tasks:
        page = truth[name_of(task["data"]["image"])]
        results = []
        for box, label in zip(page.boxes.tolist(), page.labels, strict=True):
            x1, y1, x2, y2 = (100 * value / side for value, side in zip(box, (134, 192) * 2, strict=True))
            value = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": 0}
            value["rectanglelabels"] = [CLASSES[label]]
            results.append(
                {"type": "rectanglelabels", "original_width": 134, "original_height": 192, "value": value}
            )
        task["annotations"] = [{"result": results}]
    made.write_text(json.dumps(tasks))
    return made


@pytest.mark.parametrize(("form", "copy"), [("coco", False), ("label-studio", False), ("label-studio", True)])
def test_what_people_made_of_the_choice_goes_into_the_adaptation(
    source: Run, data: Path, tmp_path: Path, without_files, form: str, copy: bool
) -> None:
    select(settings(source, data, tmp_path / "chosen", copy=copy))
    file = corrected(data, tmp_path / "chosen", form)
    pages = open_labelled(file, (), LABELS)
    assert len(pages.pages) == 6 and pages.labelled == set(LABELS)
    assert all(pages.image_path(page).is_file() for page in pages.pages)
    chosen = dataclasses.replace(
        smoke(),
        run=source.folder,
        target=(data / "images",),
        out=tmp_path / "run",
        labelled=file,
        optimization=OptimizationConfig(steps=1, batch_size=1, sizes=(96,), ema_decay=0.5),
        self_training=SelfTrainingConfig(sure=0.2, doubt=0.1, fewest=1),
        page_timeout=0.0,
        work=WorkConfig(workers=1),
    )
    run = adapt(chosen)
    facts = json.loads((run.folder / FACTS).read_text())
    assert facts["labelled_pages"] == 6
    assert facts["judged"]["pages"] == 3  # a fifth of the 16 that nobody labelled


def test_pages_of_pdfs_and_tiffs_become_pictures(source: Run, data: Path, tmp_path: Path) -> None:
    scans = [Image.open(path) for path in sorted((data / "images").iterdir())[:9]]
    folder = tmp_path / "scans" / "a book"
    folder.mkdir(parents=True)
    scans[0].save(folder / "book.pdf", save_all=True, append_images=scans[1:4])
    scans[4].save(folder / "book.tif", save_all=True, append_images=scans[5:8])
    scans[8].save(folder / "single.jpg")
    (folder / "broken.jpg").write_bytes((folder / "single.jpg").read_bytes()[:200])
    out = tmp_path / "chosen"
    select(settings(source, data, out, target=(tmp_path / "scans",), budget=9, pdf_pixels=400))
    rows = table(out)
    assert {row["book"] for row in rows} == {"book.pdf", "book.tif", "a book"}
    assert sorted(row["page"] for row in rows) == ["", *"11223344"]
    coco = read_coco(out / COCO_FILE)
    for page, row in zip(coco.pages, rows, strict=True):
        with Image.open(coco.image_path(page)) as picture:
            assert picture.size == (page.width, page.height)
        assert page.file_name.startswith("images/") == bool(row["page"])
        assert max(page.width, page.height) == (400 if row["file"].endswith("pdf") else 192)
    (failed,) = failures.read(out / "failures.csv")
    assert failed.file.endswith("broken.jpg")


def test_copies_are_a_folder_to_hand_on(source: Run, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "images", tmp_path / "scans")
    out = tmp_path / "chosen"
    select(settings(source, data, out, target=(tmp_path / "scans",), copy=True, image_url=""))
    rows = table(out)
    for page, row in zip(read_any(out / TASKS).pages, rows, strict=True):
        assert (out / page.name).read_bytes() == (out / row["file"]).read_bytes()
    shutil.rmtree(tmp_path / "scans")
    shutil.move(out, tmp_path / "elsewhere")
    coco = read_coco(tmp_path / "elsewhere" / COCO_FILE)
    assert all(coco.image_path(page).is_file() for page in coco.pages)


def test_a_coco_file_says_which_book_a_page_is_of(source: Run, data: Path, tmp_path: Path) -> None:
    select(settings(source, data, tmp_path / "chosen", target=(data / "train.json",), budget=4))
    assert {row["book"] for row in table(tmp_path / "chosen")} == {"book0", "book1", "book2", "book3"}


@pytest.mark.parametrize("copy", [False, True])
def test_a_second_choice_goes_on_after_what_was_labelled(
    source: Run, data: Path, tmp_path: Path, copy: bool
) -> None:
    select(settings(source, data, tmp_path / "all", budget=10))
    select(settings(source, data, tmp_path / "first", copy=copy))
    file = corrected(data, tmp_path / "first", "coco")
    select(settings(source, data, tmp_path / "second", budget=4, labelled=file))
    of = {name: [Path(row["file"]).name for row in table(tmp_path / name)] for name in ("all", "second")}
    assert of["second"] == of["all"][6:]
    rows = table(tmp_path / "second")
    assert rows[0]["rank"] == "1" and "from the nearest page before it" in rows[0]["why"]


def test_a_random_choice_depends_on_the_seed_alone(source: Run, data: Path, tmp_path: Path) -> None:
    names = []
    for number, seed in enumerate((3, 3, 4)):
        out = tmp_path / str(number)
        select(settings(source, data, out, by="random", seed=seed))
        names.append([row["file"] for row in table(out)])
        assert len(set(names[-1])) == 6
    assert names[0] == names[1] and names[0] != names[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 23}, "--budget 23: --target .* has 22 pages that can be read; give a smaller one"),
        ({"labelled": Path("nowhere.json")}, "nowhere.json: no such file"),
        ({"map": ("x",)}, "--map"),
        ({"budget": 0}, "--budget 0: must be 1 or more"),
        ({"pages": 3}, r"--pages 3: must be --budget \(6\) or more"),
        ({"target": ()}, "--target: give the scans"),
        ({"model": Path("default")}, "--run and --model: give one of them"),
        ({"run": Path("nowhere")}, "nowhere: not a run folder"),
    ],
)
def test_unusable_settings_are_refused_in_one_line(
    source: Run, data: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        select(settings(source, data, tmp_path / "chosen", **changes))
    assert "\n" not in str(caught.value) and not (tmp_path / "chosen").exists()


def test_a_stopped_choice_is_not_gone_on_with_on_other_pages(
    source: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("doc_detect.select.ranked", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            select(settings(source, data, tmp_path / "chosen"))
    with pytest.raises(UserError, match="another pages .* choose another --out"):
        select(settings(source, data, tmp_path / "chosen", target=(data / "train.json",)))
    select(settings(source, data, tmp_path / "chosen", budget=3))  # what was seen holds for any budget
    assert len(table(tmp_path / "chosen")) == 3
