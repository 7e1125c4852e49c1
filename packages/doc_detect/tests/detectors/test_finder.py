import builtins
import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from doc_detect import BadPage, Detector, Failure, Found, PageRef, read_for
from doc_detect.detectors.detections import Detections
from doc_detect.pages import ReadOptions
from doc_detect.pages.iiif import Canvas
from doc_detect.predict import predict
from doc_detect.predictions import RESULTS, open_predictions
from doc_detect.settings.job import PredictSettings
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

GRAPHIC, INITIAL = (60, 90, 420, 450), (450, 500, 520, 580)


@pytest.fixture
def scans(tmp_path: Path, paint) -> Path:
    """A PNG, a JPEG, a turned JPEG, one with wide margins, a TIFF of two pages, a PDF of two, and a broken file."""
    folder = tmp_path / "scans"
    folder.mkdir()
    page = Image.fromarray(paint(600, 900, graphic=GRAPHIC, drop_capital=INITIAL))
    page.save(folder / "a.png")
    page.save(folder / "b.jpg", quality=90)
    turned = Image.Exif()
    turned[274] = 6
    page.save(folder / "c.jpg", exif=turned)
    wide = np.full((1500, 1500, 3), 40, np.uint8)
    wide[300:1200, 500:1100] = np.asarray(page)
    Image.fromarray(wide).save(folder / "d-wide.png")
    other = Image.fromarray(paint(500, 700, graphic=(50, 50, 300, 300)))
    page.save(folder / "e.tif", save_all=True, append_images=[other])
    page.save(folder / "f.pdf", save_all=True, append_images=[other])
    (folder / "z-broken.png").write_bytes((folder / "a.png").read_bytes()[:500])
    return folder


def with_facts(model: Path, out: Path, **facts: object) -> Path:
    """Write a copy of an ONNX detector that also says ``facts`` of itself."""
    import onnx

    copy = onnx.load(model)
    (known,) = (prop.value for prop in copy.metadata_props)
    onnx.helper.set_model_props(copy, {"doc_detect": json.dumps({**json.loads(known), **facts})})
    onnx.save(copy, out)
    return out


@pytest.fixture
def detector(tiny_model: Path, tmp_path: Path) -> Detector:
    return Detector(with_facts(tiny_model, tmp_path / "tiny.onnx", trim=True))


def predicted(scans: Path, out: Path, model: Path | None, **options) -> Path:
    predict(
        PredictSettings(inputs=(scans,), out=out, model=model, work=WorkConfig(1), page_timeout=0, **options)
    )
    return out


@pytest.mark.parametrize("ships", [False, True])
def test_a_folder_gives_what_predict_writes_to_the_bit(
    scans: Path, tmp_path: Path, tiny_model: Path, ships: bool
) -> None:
    model = None if ships else tiny_model
    out = predicted(scans, tmp_path / "out", model)
    pages = list(open_predictions(out))
    results = json.loads((out / RESULTS).read_text())
    answers = list(Detector(model).each(scans, errors="return"))
    found = [answer for answer in answers if isinstance(answer, Found)]
    assert [Path(one.name) for one in found] == [scans / page.name for page in pages]
    for one, page in zip(found, pages, strict=True):
        assert (one.width, one.height, one.objects) == (page.width, page.height, page.boxes)
        assert one.to_coco(page.image_id) == [row for row in results if row["image_id"] == page.image_id]
    assert sum(map(len, found)) == len(results) > 0
    (failure,) = [answer for answer in answers if isinstance(answer, Failure)]
    assert Path(failure.file) == scans / "z-broken.png" and failure.reason and failure.number is None


def test_a_score_is_cut_as_predict_cuts_it(scans: Path, tmp_path: Path) -> None:
    least = sorted(one.score for one in Detector()(scans / "a.png"))[-2]
    out = predicted(scans / "a.png", tmp_path / "out", None, min_score=least)
    (page,) = open_predictions(out)
    assert Detector()(scans / "a.png", min_score=least).objects == page.boxes
    assert 2 <= len(page.boxes) < len(Detector()(scans / "a.png"))


def test_boxes_as_drawn_are_those_of_predict(scans: Path, tmp_path: Path, tiny_model: Path) -> None:
    model = with_facts(tiny_model, tmp_path / "model.onnx", margin={"graphic": 0.0123, "drop_capital": 0.2})
    out = predicted(scans, tmp_path / "out", model)
    found = (one for one in Detector(model).each(scans, errors="return") if isinstance(one, Found))
    for one, page in zip(found, open_predictions(out, boxes="drawn"), strict=True):
        assert one.as_drawn().objects == page.boxes and one.as_drawn().objects != one.objects
    with pytest.raises(UserError, match="--margin-data"):
        Detector(tiny_model)(scans / "a.png").as_drawn()


@pytest.mark.parametrize("name", ["a.png", "d-wide.png"])
def test_a_picture_in_memory_gives_what_its_file_gives(scans: Path, detector: Detector, name: str) -> None:
    of_file = detector(scans / name)
    with Image.open(scans / name) as image:
        array = np.asarray(image)
    copy = Image.fromarray(array)
    for picture in (
        array,
        copy,
        np.asfortranarray(array),
        copy.convert("RGBA"),
        np.dstack([array, array[..., 0] | 255]),
    ):
        found = detector(picture)
        assert found.objects == of_file.objects and (found.width, found.height) == (
            of_file.width,
            of_file.height,
        )
        assert found.name == ""
    assert {"graphic", "drop_capital"} <= set(of_file.labels)


@pytest.mark.parametrize("name", ["b.jpg", "c.jpg", "e.tif"])
def test_an_image_that_is_open_but_not_decoded_is_read_as_its_file(
    scans: Path, detector: Detector, name: str
) -> None:
    with Image.open(scans / name) as image:
        frames = getattr(image, "n_frames", 1)
        for frame in range(frames):
            image.seek(frame)
            found = detector(image)
            ref = PageRef(scans / name, frame + 1 if frames > 1 else None)
            assert found.objects == detector(ref).objects and found.name == detector(ref).name


def test_a_turned_image_that_was_decoded_counts_the_upright_page(scans: Path, detector: Detector) -> None:
    with Image.open(scans / "c.jpg") as image:
        image.load()
        found = detector(image)
    assert (found.width, found.height) == (900, 600)
    np.testing.assert_allclose(found[0].xyxy, (450, 60, 810, 420), atol=8)  # turned with the clock
    assert found.crop()[0].size[0] == pytest.approx(360 + 2 * 9, abs=16)


def test_an_image_told_to_decode_smaller_counts_its_own_pixels(scans: Path, detector: Detector) -> None:
    with Image.open(scans / "b.jpg") as image:
        image.draft("RGB", (300, 450))
        assert (detector(image).width, detector(image).height) == (300, 450)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.uint8, 1), (np.uint16, 257), (">u2", 257), (np.uint16, 4095 / 255), (np.bool_, 1 / 255)],
)
def test_grey_of_every_depth_is_the_same_page(detector: Detector, dtype: str, scale: float) -> None:
    ink = np.full((900, 600), 255, np.uint8)
    ink[90:450, 60:420] = 0
    seen: list[np.ndarray] = []
    detector.detect = lambda page: (
        seen.append(page.pixels) or Detections(*(np.zeros((0, *s)) for s in ((4,), (), ())))
    )
    deep = np.round(ink * float(scale)).astype(dtype)
    for array in (ink, deep, deep[..., None]):
        detector(array)
    assert all(np.array_equal(pixels, seen[0]) for pixels in seen) and set(np.unique(seen[0])) >= {0, 255}


def test_colours_of_16_bits(detector: Detector, paint) -> None:
    page = paint(600, 900, graphic=GRAPHIC)
    assert detector(page.astype(np.uint16) * 257).objects == detector(page).objects


def test_an_image_of_16_bits_is_what_its_file_is(tmp_path: Path, paint) -> None:
    grey = np.random.default_rng(0).integers(0, 4000, (700, 500)).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    detector = Detector()
    assert (
        detector(grey).objects
        == detector(Image.fromarray(grey)).objects
        == detector(tmp_path / "grey.png").objects
    )


def test_the_answer_has_names_and_is_a_list_of_objects(scans: Path, detector: Detector) -> None:
    found = detector(str(scans / "a.png"))
    assert len(found) == 2 == len(list(found)) and found[0].label in ("graphic", "drop_capital")
    assert found.boxes.shape == (2, 4) and found.scores.shape == found.labels.shape == (2,)
    (graphic,) = found.boxes[found.labels == "graphic"]
    np.testing.assert_allclose(graphic, GRAPHIC, atol=4)
    assert [(box.label, box.score, box.xyxy) for box in found] == [
        (str(label), score, tuple(xyxy))
        for label, score, xyxy in zip(found.labels, found.scores, found.boxes, strict=True)
    ]
    assert "1 graphic" in repr(found) and "a.png" in repr(found) and "tiny.onnx" in repr(detector)


def test_a_page_with_nothing_has_empty_arrays(detector: Detector) -> None:
    found = detector(np.full((300, 200), 255, np.uint8))
    assert len(found) == 0 and found.boxes.shape == (0, 4) and found.labels.shape == (0,)
    assert found.to_coco() == [] == found.crop()


def test_crops_show_the_page_in_its_own_pixels(scans: Path, detector: Detector) -> None:
    for scan in (scans / "d-wide.png", np.asarray(Image.open(scans / "d-wide.png"))):
        found = detector(scan)
        for box, picture in zip(found, found.crop(padding=0), strict=True):
            x1, y1, x2, y2 = box.xyxy
            assert picture.size == (np.ceil(x2) - int(x1), np.ceil(y2) - int(y1))
            inner = np.asarray(picture)[8:-8, 8:-8].reshape(-1, 3)
            assert (inner.max(axis=0) > 150).sum() == 1 and len(np.unique(inner, axis=0)) == 1
        assert found.crop()[0].size[0] == pytest.approx(found.crop(0)[0].size[0] + 30, abs=1)


def test_crops_of_a_pdf_count_the_pixels_that_boxes_count(scans: Path, tiny_model: Path) -> None:
    found = Detector(tiny_model, options=ReadOptions(pdf_pixels=1000))(PageRef(scans / "f.pdf", 2))
    assert max(found.width, found.height) == 1000
    (graphic,) = found.crop(padding=0)
    assert graphic.size[0] == pytest.approx(250 * 1000 / 700, abs=6)


def test_a_canvas_counts_its_own_pixels_and_is_cut_from_those_of_its_image(
    scans: Path, detector: Detector
) -> None:
    canvas = Canvas("https://example.org/canvas/1", "1r", 1, (1200, 1800), "https://example.org/manifest")
    found, image = detector(PageRef(scans / "a.png", canvas=canvas)), detector(scans / "a.png")
    assert (found.width, found.height) == (1200, 1800)
    np.testing.assert_allclose(found.boxes, image.boxes * 2, atol=0.11)
    of_canvas, of_image = found.crop(padding=0)[0].size, image.crop(padding=0)[0].size
    np.testing.assert_allclose(of_canvas, of_image, atol=1)


def test_files_that_a_folder_passes_over_are_said(scans: Path, detector: Detector) -> None:
    (scans / "old.djvu").write_bytes(b"AT&TFORM\0\0\0\0DJVM")
    with pytest.warns(UserWarning, match=r"1 files? passed over: 1 \.djvu"):
        next(detector.each(scans))


@pytest.fixture
def without_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    real = builtins.__import__

    def absent(name: str, *rest, **named):
        if name == "supervision":
            raise ModuleNotFoundError("No module named 'supervision'", name="supervision")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)


def test_without_supervision_it_says_how_to_get_it(
    scans: Path, detector: Detector, without_supervision
) -> None:
    found = detector(scans / "a.png")
    with pytest.raises(UserError, match="pip install supervision"):
        found.to_supervision()


def test_supervision_gets_boxes_scores_numbers_and_names(
    scans: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = types.ModuleType("supervision")
    stub.Detections = lambda **arrays: arrays
    monkeypatch.setitem(sys.modules, "supervision", stub)
    found = detector(scans / "a.png")
    given = found.to_supervision()
    np.testing.assert_array_equal(given["xyxy"], found.boxes)
    np.testing.assert_array_equal(given["confidence"], found.scores)
    assert [detector.labels[number] for number in given["class_id"]] == list(found.labels)
    assert list(given["data"]["class_name"]) == list(found.labels)
    assert detector(np.zeros((9, 9), np.uint8)).to_supervision()["class_id"].shape == (0,)


def test_many_scans_of_every_kind_one_at_a_time(scans: Path, detector: Detector, paint) -> None:
    several = [
        scans / "a.png",
        str(scans / "*.pdf"),
        PageRef(scans / "e.tif", 2),
        paint(300, 400),
        scans / "none.png",
    ]
    answers = list(detector.each(several, errors="return"))
    assert [answer.name for answer in answers[:-1]] == [
        str(scans / "a.png"),
        str(scans / "f.pdf#page=1"),
        str(scans / "f.pdf#page=2"),
        str(scans / "e.tif#page=2"),
        "scans[3]",
    ]
    assert answers[-1] == Failure(str(scans / "none.png"), "No such file or directory")
    lazily = detector.each(iter(several))
    assert next(lazily).objects == answers[0].objects
    assert [found.name for found in detector.each(scans / "e.tif")] == [
        f"{scans}/e.tif#page={n}" for n in (1, 2)
    ]


def test_a_bad_page_is_raised_by_its_name_or_returned(scans: Path, detector: Detector, paint) -> None:
    broken = scans / "z-broken.png"
    for ask in (lambda: detector(broken), lambda: list(detector.each([broken]))):
        with pytest.raises(BadPage, match=r"z-broken\.png: .*truncated"):
            ask()
    with pytest.raises(BadPage, match=r"scans\[1\]: a picture without pixels"):
        list(detector.each([paint(9, 9), np.zeros((0, 5), np.uint8)]))
    (failure,) = detector.each([np.zeros((3, 20, 20), np.uint8)], errors="return")
    assert failure.file == "scans[0]" and "[height, width, 3]" in failure.reason
    shutil.copy(broken, scans / "g.tif")
    (failure,) = detector.each(PageRef(scans / "g.tif", 3), errors="return")
    assert failure.number == 3


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_an_array_of_another_kind_is_a_bad_page(detector: Detector, kind: type) -> None:
    with pytest.raises(BadPage, match="of uint8, uint16 or bool"):
        detector(np.zeros((20, 20), kind))


def test_what_is_no_single_page_is_refused_with_the_way_out(scans: Path, detector: Detector) -> None:
    for scan, message in (
        (scans, r"a folder; use detector\.each"),
        (scans / "f.pdf", r"a file of 2 pages; use detector\.each.*PageRef"),
        ([scans], r"a list is no scan.*detector\.each"),
        (None, "a NoneType is no scan"),
    ):
        with pytest.raises(UserError, match=message):
            detector(scan)
    for scans_, message in (
        (7, "an? int is no scan"),
        ([scans / "a.png", 7], r"scans\[1\], an? int, is no scan"),
    ):
        with pytest.raises(UserError, match=message):
            list(detector.each(scans_))
    with pytest.raises(UserError, match="'raise' or 'return'"):
        detector.each(scans, errors="skip")
    with pytest.raises(UserError, match="give one of them"):
        Detector("a.onnx", run="runs/a")


def test_it_stands_wherever_a_detector_of_pages_does(scans: Path, detector: Detector) -> None:
    page = read_for(detector, PageRef(scans / "a.png"))
    found = detector.detect(page)
    np.testing.assert_allclose(found.boxes, detector(scans / "a.png").boxes, atol=0.05001)
    assert detector.identity().keys() >= {"weights_file", "code"}


def test_a_run_is_opened_in_pytorch_with_its_threads(
    scans: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    from doc_detect.detectors import torch as engine

    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(engine, "open_torch", {Path("runs/a"): detector}.__getitem__)
    of_run = Detector(run="runs/a", threads=3)
    assert threads == [3] and of_run.name == detector.name
    assert of_run(scans / "a.png").objects == detector(scans / "a.png").objects
