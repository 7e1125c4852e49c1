import csv
import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from doc_detect import crop as crop_module
from doc_detect.crop import MANIFEST, UNFINISHED, attach_captions, crop, distance
from doc_detect.filter import main, matching
from doc_detect.pages import Page, PageRef, read_page
from doc_detect.pages.cutting import cut, pad
from doc_detect.pages.names import inside
from doc_detect.pages.tiff import extract_page
from doc_detect.predict import predict
from doc_detect.predictions import PAGES, Box, PredictedPage, open_predictions
from doc_detect.settings.job import CropSettings, FilterSettings, PredictSettings
from seminar_common import failures
from seminar_common.errors import UserError
from seminar_common.images import open_image
from seminar_common.work import WorkConfig

GRAPHIC = (100, 200, 500, 700)
CAPTION = (120, 710, 480, 760)


@pytest.fixture
def predicted(tmp_path: Path, tiny_model: Path, paint) -> Path:
    """Predictions for a page with picture and caption, one with an initial, an empty one, and a PDF of the first two."""
    scans: Path = tmp_path / "scans"
    pictures = [
        Image.fromarray(paint(800, 1200, graphic=GRAPHIC, caption=CAPTION)),
        Image.fromarray(paint(800, 1200, drop_capital=(50, 60, 250, 260))),
    ]
    (scans / "vol 1").mkdir(parents=True)
    pictures[0].save(scans / "vol 1" / "plate.png")
    pictures[1].save(scans / "initial.png")
    Image.fromarray(paint(800, 1200)).save(scans / "empty.png")
    pictures[0].save(
        scans / "book.pdf", save_all=True, append_images=pictures[1:], resolution=100, quality=95
    )
    return found(scans, tiny_model, pdf_pixels=1200)


def found(scans: Path, model: Path, **options) -> Path:
    """Return the folder of predictions for ``scans``; it is made beside them, in this process."""
    given = PredictSettings(inputs=(scans,), out=scans.parent / "found", model=model, **options)
    predict(dataclasses.replace(given, page_timeout=0.0, work=WorkConfig(1)))
    return scans.parent / "found"


def names(folder: Path, **options) -> list[str]:
    refs = matching(open_predictions(folder), FilterSettings(predictions=folder, **options))
    return [ref.path.name + (f"#{ref.number}" if ref.number else "") for ref in refs]


def test_pages_must_hold_every_class_and_none_of_the_others(predicted: Path) -> None:
    assert names(predicted, has=("graphic",)) == ["book.pdf#1", "plate.png"]
    assert names(predicted, has=("graphic", "drop_capital")) == []
    assert names(predicted, lacks=("graphic",)) == ["book.pdf#2", "empty.png", "initial.png"]
    assert names(predicted, lacks=("graphic", "drop_capital")) == ["empty.png"]
    assert names(predicted, has=("graphic",), min_score=0.95) == []
    with pytest.raises(UserError, match="--has grafic: the detector knows graphic, drop_capital, caption"):
        names(predicted, has=("grafic",))


def test_prints_one_page_a_line(predicted: Path, capsys: pytest.CaptureFixture) -> None:
    main(FilterSettings(predictions=predicted, has=("graphic",)))
    scans = predicted.parent / "scans"
    assert capsys.readouterr().out.splitlines() == [
        f"{scans / 'book.pdf'}#page=1",
        str(scans / "vol 1/plate.png"),
    ]


def test_names_in_another_encoding_are_those_of_the_files(tmp_path: Path, tiny_model: Path, paint) -> None:
    name = os.fsdecode(b"pl\xe4te.png")
    (tmp_path / "scans").mkdir()
    Image.fromarray(paint(300, 500, graphic=(20, 20, 200, 200))).save(tmp_path / "scans" / name)
    chosen = FilterSettings(predictions=found(tmp_path / "scans", tiny_model), has=("graphic",))
    main(dataclasses.replace(chosen, copy=tmp_path / "kept"))
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [name]
    code = "from doc_detect.cli import main; main()"
    command = [sys.executable, "-c", code, "filter", "--predictions", tmp_path / "found", "--has", "graphic"]
    printed = subprocess.run(command, check=True, capture_output=True).stdout
    assert printed == os.fsencode(tmp_path / "scans" / name) + b"\n"


@pytest.mark.parametrize("damaged", ["xx", ""])
def test_a_damaged_table_is_refused_in_one_line(predicted: Path, damaged: str) -> None:
    (predicted / PAGES).write_text(damaged)
    with pytest.raises(UserError, match="pages.parquet: damaged; the same `predict` makes it again"):
        names(predicted, has=("graphic",))


def test_copies_pages_with_their_folders_and_a_page_of_a_pdf_alone(predicted: Path, tmp_path: Path) -> None:
    main(FilterSettings(predictions=predicted, has=("graphic",), copy=tmp_path / "kept"))
    files = sorted(str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*.*"))
    assert files == ["book-p0001.pdf", "vol 1/plate.png"]
    assert len(pypdfium2.PdfDocument(tmp_path / "kept" / "book-p0001.pdf")) == 1
    original = tmp_path / "scans" / "vol 1" / "plate.png"
    assert (tmp_path / "kept" / "vol 1" / "plate.png").read_bytes() == original.read_bytes()


def test_links_pages(predicted: Path, tmp_path: Path) -> None:
    main(FilterSettings(predictions=predicted, has=("drop_capital",), link=tmp_path / "links"))
    links = sorted((tmp_path / "links").iterdir())
    assert [link.name for link in links] == ["book.pdf", "initial.png"]
    assert links[1].is_symlink() and links[1].resolve() == (tmp_path / "scans" / "initial.png").resolve()


def test_refuses_to_write_over_files_and_says_when_pages_have_moved(predicted: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        main(FilterSettings(predictions=predicted, has=("graphic",), copy=predicted))
    with pytest.raises(UserError, match="no page fits"):
        main(FilterSettings(predictions=predicted, has=("graphic",), min_score=0.95, copy=tmp_path / "none"))
    (tmp_path / "scans").rename(tmp_path / "moved")
    with pytest.raises(UserError, match="--images"):
        main(FilterSettings(predictions=predicted, has=("graphic",)))
    main(
        FilterSettings(
            predictions=predicted, has=("graphic",), images=tmp_path / "moved", copy=tmp_path / "kept"
        )
    )
    assert (tmp_path / "kept" / "vol 1" / "plate.png").exists()


def test_names_never_lead_out_of_a_folder() -> None:
    assert str(inside("../../etc/page.png")) == "__/__/etc/page.png"
    assert str(inside("/abs/page.png")) == "abs/page.png"


def crops(predicted: Path, out: Path, **options) -> list[dict]:
    crop(CropSettings(predictions=predicted, out=out, padding=0, work=WorkConfig(1), **options))
    return list(csv.DictReader((out / MANIFEST).open(encoding="utf-8")))


def test_a_crop_is_cut_from_the_original_with_its_caption(predicted: Path, tmp_path: Path) -> None:
    rows = crops(predicted, tmp_path / "crops")
    assert [row["file"] for row in rows] == [
        "book.pdf--p0001--graphic-01.png",
        "vol 1/plate.png--graphic-01.png",
    ]
    row = rows[1]
    box = [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
    np.testing.assert_allclose(box, GRAPHIC, atol=5)
    np.testing.assert_allclose(
        [float(row[f"caption_{key}"]) for key in ("x1", "y1", "x2", "y2")], CAPTION, atol=5
    )
    shown = [int(row[f"crop_{key}"]) for key in ("x1", "y1", "x2", "y2")]
    np.testing.assert_allclose(shown, (100, 200, 500, 760), atol=5)
    picture = np.asarray(Image.open(tmp_path / "crops" / row["file"]))
    original = read_page(PageRef(Path(row["source"]))).pixels
    np.testing.assert_array_equal(picture, original[shown[1] : shown[3], shown[0] : shown[2]])


def test_a_pdf_is_cropped_sharper_than_its_boxes_count(predicted: Path, tmp_path: Path) -> None:
    (row, _) = crops(predicted, tmp_path / "crops", pdf_pixels=2400)
    shown = [int(row[f"crop_{key}"]) for key in ("x1", "y1", "x2", "y2")]
    width, height = Image.open(tmp_path / "crops" / row["file"]).size
    assert (width, height) == (2 * (shown[2] - shown[0]), 2 * (shown[3] - shown[1]))


def test_captions_apart_or_none(predicted: Path, tmp_path: Path) -> None:
    apart = crops(predicted, tmp_path / "apart", caption="separate", format="jpg")
    assert apart[1]["caption_file"] == "vol 1/plate.png--graphic-01-caption.jpg"
    width, height = Image.open(tmp_path / "apart" / apart[1]["caption_file"]).size
    np.testing.assert_allclose((width, height), (360, 50), atol=10)
    none = crops(predicted, tmp_path / "none", caption="none")
    assert {row["caption_file"] for row in none} == {""} and {row["caption_x1"] for row in none} == {""}


def test_padding_stays_on_the_page(predicted: Path, tmp_path: Path) -> None:
    crop(
        CropSettings(
            predictions=predicted,
            out=tmp_path / "crops",
            label=("drop_capital",),
            padding=0.1,
            work=WorkConfig(1),
        )
    )
    row = next(iter(csv.DictReader((tmp_path / "crops" / MANIFEST).open(encoding="utf-8"))))
    assert (row["crop_x1"], row["crop_y1"]) == ("0", "0")
    np.testing.assert_allclose((int(row["crop_x2"]), int(row["crop_y2"])), (370, 380), atol=6)


def test_crop_leaves_no_half_written_folder_and_goes_on_without_pages_that_are_gone(
    predicted: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="lower --min-score"):
        crop(CropSettings(predictions=predicted, out=tmp_path / "crops", min_score=0.99))
    assert not (tmp_path / "crops").exists()
    (tmp_path / "scans" / "book.pdf").unlink()
    assert len(crops(predicted, tmp_path / "crops")) == 1
    (failure,) = failures.read(tmp_path / "crops" / failures.FILE)
    assert (failure.file, failure.number, failure.reason) == ("book.pdf", 1, "No such file or directory")


def test_copies_a_page_of_a_tiff_that_is_larger_than_pillow_allows(
    predicted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = Image.new("1", (14_000, 14_000), 1)
    sheet.save(tmp_path / "big.tif", save_all=True, append_images=[sheet], compression="group4")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    extract_page(tmp_path / "big.tif", 2, tmp_path / "page.tif")
    with open_image(tmp_path / "page.tif") as page:
        assert (page.size, page.n_frames, page.info["compression"]) == ((14_000, 14_000), 1, "group4")


def test_copies_pages_of_files_whose_names_lie_beside_those_of_others(
    tmp_path: Path, tiny_model: Path, paint
) -> None:
    pages = [Image.fromarray(paint(400, 600, graphic=(40, 60, 200, 300))) for _ in range(2)]
    (tmp_path / "scans").mkdir()
    for name, kind in (("book.jpg", "tiff"), ("book", "tiff"), ("book.tif", "tiff"), ("book.png", "pdf")):
        pages[0].save(tmp_path / "scans" / name, kind, save_all=True, append_images=pages[1:])
    predictions = found(tmp_path / "scans", tiny_model)
    main(FilterSettings(predictions=predictions, has=("graphic",), copy=tmp_path / "kept"))
    expected = {"book.jpg-p000{}.tif", "book-p000{}.tif", "book-p000{}-2.tif", "book.png-p000{}.pdf"}
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert kept == {name.format(number) for name in expected for number in (1, 2)}
    assert len(pypdfium2.PdfDocument(tmp_path / "kept" / "book.png-p0002.pdf")) == 1


def test_a_page_that_cannot_be_copied_is_one_line_and_leaves_nothing(
    predicted: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    whole = (tmp_path / "scans" / "book.pdf").read_bytes()
    (tmp_path / "scans" / "book.pdf").write_bytes(b"%PDF-" + whole[5:300])
    main(FilterSettings(predictions=predicted, has=("graphic",), copy=tmp_path / "kept"))
    said = capsys.readouterr().err
    assert "book.pdf#page=1: a corrupt PDF, or one without a page; left out" in said
    assert "1 pages copied" in said
    files = [path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert files == ["plate.png"]


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_images_that_moved_are_found_in_either_spelling(
    stored: str, tmp_path: Path, tiny_model: Path, paint
) -> None:
    other = "NFD" if stored == "NFC" else "NFC"
    file = tmp_path / "scans" / normalize(other, "Bücher") / normalize(other, "é.png")
    file.parent.mkdir(parents=True)
    Image.fromarray(paint(400, 600, graphic=(40, 60, 200, 300))).save(file)
    found(tmp_path / "scans", tiny_model)
    moved = tmp_path / "moved" / normalize(stored, "Bücher") / normalize(stored, "é.png")
    moved.parent.mkdir(parents=True)
    file.rename(moved)
    chosen = FilterSettings(predictions=tmp_path / "found", has=("graphic",), images=tmp_path / "moved")
    main(dataclasses.replace(chosen, copy=tmp_path / "kept"))
    assert [path.name for path in (tmp_path / "kept").rglob("*.png")] == [moved.name]
    assert len(crops(tmp_path / "found", tmp_path / "crops", images=tmp_path / "moved")) == 1


@pytest.mark.parametrize("scale", [1, 0.5])
def test_a_region_at_the_edge_is_a_pixel_at_least(scale: float) -> None:
    page = PredictedPage(1, "a", None, 1000, 800, (), 1000)
    decoded = Page(np.zeros((round(800 * scale), round(1000 * scale), 3), np.uint8), 1000, 800)
    for region in ((1000.0, 10.0, 1000.0, 50.0), (999.9, 799.9, 1000.0, 800.0)):
        assert min(cut(decoded.pixels, page, pad(region, 0.0, page)).shape[:2]) >= 1


def interrupted(predicted: Path, out: Path, patch: pytest.MonkeyPatch) -> None:
    """Leave an unfinished crop with one of two pages done."""
    real, seen = crop_module.read_page, []

    def dies_at_the_second(ref: PageRef, *rest):
        seen.append(ref)
        if len(seen) == 2:
            time.sleep(0.5)  # the first page is written meanwhile
            raise KeyboardInterrupt
        return real(ref, *rest)

    patch.setattr(crop_module, "read_page", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        crops(predicted, out)
    patch.setattr(crop_module, "read_page", real)


def test_an_unfinished_crop_of_another_version_does_not_go_on(
    predicted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(predicted, tmp_path / "crops", monkeypatch)
    monkeypatch.setattr(crop_module, "code_digest", lambda *modules: "of another version")
    with pytest.raises(
        UserError, match="was computed from another code .*remove what that unfinished run left"
    ):
        crops(predicted, tmp_path / "crops")


def test_a_page_whose_file_changed_meanwhile_is_cut_again(
    predicted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(predicted, tmp_path / "crops", monkeypatch)
    for changed in ("vol 1/plate.png", "book.pdf"):
        os.utime(tmp_path / "scans" / changed, ns=(1, 1))
    whole, again = crops(predicted, tmp_path / "whole"), []
    real = crop_module.read_page
    monkeypatch.setattr(crop_module, "read_page", lambda ref, *rest: again.append(ref) or real(ref, *rest))
    assert crops(predicted, tmp_path / "crops") == whole and len(again) == 2


def test_a_killed_crop_goes_on_where_it_was(
    predicted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = crops(predicted, tmp_path / "whole"), tmp_path / "crops"
    interrupted(predicted, out, monkeypatch)
    assert not out.exists()
    with pytest.raises(UserError, match="was computed from another min score"):
        crops(predicted, out, min_score=0.6)
    with (tmp_path / f"crops{UNFINISHED}" / "crops.jsonl").open("a") as journal:
        journal.write('[7, [1, 2], [{"file": "half a li')
    real, cut_pages = crop_module.read_page, []
    monkeypatch.setattr(
        crop_module, "read_page", lambda ref, *rest: cut_pages.append(ref) or real(ref, *rest)
    )
    assert crops(predicted, out) == whole
    assert len(cut_pages) == 1, "the page that was finished is not cut again"
    assert sorted(p.name for p in out.rglob("*.*")) == sorted(
        p.name for p in (tmp_path / "whole").rglob("*.*")
    ), "nothing of the journal stays"
    assert not (tmp_path / f"crops{UNFINISHED}").exists()


def test_two_crops_do_not_write_to_one_folder(
    predicted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl")
    out, real, refused = tmp_path / "crops", crop_module.read_page, []

    def meanwhile(ref: PageRef, *rest):
        with pytest.raises(UserError, match="another run is writing to it"):
            crops(predicted, out)
        refused.append(ref)
        return real(ref, *rest)

    monkeypatch.setattr(crop_module, "read_page", meanwhile)
    assert crops(predicted, out) and refused


def box(*xyxy: float) -> Box:
    return Box("graphic", 0.9, xyxy)


@pytest.mark.parametrize(
    ("a", "b", "gap"),
    [
        ((0, 0, 100, 100), (10, 110, 90, 120), 10),  # below
        ((0, 50, 100, 100), (20, 20, 80, 30), 20),  # above
        ((0, 0, 100, 100), (105, 40, 160, 60), 5),  # beside
        ((0, 0, 100, 100), (10, 90, 90, 120), 0),  # overlapping
        ((0, 0, 100, 100), (80, 110, 180, 120), None),  # below, but a fifth of it only
    ],
)
def test_distance_of_boxes_that_face_each_other(a, b, gap) -> None:
    assert distance(a, b) == distance(b, a) == gap


def test_each_caption_goes_to_the_nearest_object_once() -> None:
    upper, lower = box(0, 0, 100, 100), box(0, 130, 100, 230)
    near_upper, near_lower, far = box(0, 102, 100, 110), box(0, 235, 100, 245), box(0, 900, 100, 910)
    assert attach_captions([upper, lower], [far, near_lower, near_upper], 1000) == [near_upper, near_lower]
    assert attach_captions([upper, lower], [near_upper], 1000) == [near_upper, None]
