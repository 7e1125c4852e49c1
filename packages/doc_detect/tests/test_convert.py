import dataclasses
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from doc_detect.classes import CLASSES, IGNORE
from doc_detect.coco import read_coco
from doc_detect.convert import main
from doc_detect.formats.forms import read_any, write_any
from doc_detect.formats.regions import Layout, LayoutSet, Region, Writing, file_names
from doc_detect.predict import predict
from doc_detect.settings.job import ConvertSettings, PredictSettings
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

FORMS = ("coco", "label-studio", "page-xml", "alto")


def layouts(scored: bool) -> LayoutSet:
    """A page with one region of every label, one with a single region, and one of another name in a folder."""
    generator = np.random.default_rng(0)
    regions = []
    for label in (*CLASSES, IGNORE):
        x, y = generator.uniform(0, 400, 2).round(1)
        width, height = generator.uniform(10, 200, 2).round(1)
        score = round(float(generator.uniform(0.3, 1)), 4) if scored else None
        regions.append(Region(label, (x, y, x + width, y + height), score))
    single = (Region("graphic", (0.0, 0.0, 800.0, 600.0), 0.5 if scored else None),)
    pages = (Layout("vol 1/ä#1.jpg", 700, 900, tuple(regions)), Layout("b.jpg", 800, 600, single))
    return LayoutSet(pages, frozenset(CLASSES))


def path_of(form: str, folder: Path) -> Path:
    return folder / (f"{form}.json" if form in ("coco", "label-studio") else form)


def assert_same(one: LayoutSet, other: LayoutSet, tolerance: float, scores: bool) -> None:
    found = sorted(one.pages, key=lambda layout: layout.name)
    expected = sorted(other.pages, key=lambda layout: layout.name)
    assert [(x.name, x.width, x.height) for x in found] == [(x.name, x.width, x.height) for x in expected]
    for a, b in zip(found, expected, strict=True):
        assert [region.label for region in a.regions] == [region.label for region in b.regions]
        for one, other in zip(a.regions, b.regions, strict=True):
            np.testing.assert_allclose(one.xyxy, other.xyxy, atol=tolerance)
            assert (one.score == pytest.approx(other.score, abs=1e-4)) if scores else one.score is None


@pytest.mark.parametrize("scored", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_back_what_was_written(form: str, scored: bool, tmp_path: Path) -> None:
    out = path_of(form, tmp_path)
    write_any(layouts(scored), form, out, Writing("/data/local-files/?d="))
    tolerance = 0.5 if form == "page-xml" else 0.01  # PAGE-XML knows whole pixels
    assert_same(read_any(out), layouts(scored), tolerance, scored)


@pytest.mark.parametrize("form", FORMS)
def test_a_name_in_another_encoding_is_kept_or_shown_by_its_bytes(form: str, tmp_path: Path) -> None:
    name = os.fsdecode(b"vol 1/\xe4.jpg")
    given = LayoutSet((Layout(name, 700, 900, layouts(scored=True).pages[1].regions),))
    write_any(given, form, path_of(form, tmp_path), Writing("/data/local-files/?d="))
    (found,) = read_any(path_of(form, tmp_path)).pages
    assert found.name == (name if form in ("coco", "label-studio") else "vol 1/\\xe4.jpg")


@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", FORMS)
def test_any_form_becomes_any_other(first: str, second: str, tmp_path: Path) -> None:
    write_any(layouts(False), first, path_of(first, tmp_path))
    (tmp_path / "again").mkdir()
    out = path_of(second, tmp_path / "again")
    main(ConvertSettings(input=path_of(first, tmp_path), to=second, out=out))
    assert_same(read_any(out), layouts(False), 1.0, False)


def test_predictions_become_labelled_data(tiny_model: Path, tmp_path: Path, paint) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    Image.fromarray(paint(300, 500, graphic=(40, 60, 200, 300), drop_capital=(20, 400, 60, 450))).save(
        scans / "1.png"
    )
    given = PredictSettings((scans,), tmp_path / "found", tiny_model)
    predict(dataclasses.replace(given, page_timeout=0.0, work=WorkConfig(1)))
    main(ConvertSettings(input=tmp_path / "found", to="coco", out=tmp_path / "coco.json"))
    (page,) = read_coco(tmp_path / "coco.json").pages
    assert [CLASSES[label] for label in page.labels] == ["graphic", "drop_capital"]
    np.testing.assert_allclose(page.boxes, [(40, 60, 200, 300), (20, 400, 60, 450)], atol=3)
    np.testing.assert_allclose(page.scores, 0.9)
    main(ConvertSettings(input=tmp_path / "found", to="alto", out=tmp_path / "none", min_score=0.95))
    assert read_any(tmp_path / "none").pages[0].regions == ()


def test_page_xml_is_as_its_schema_asks(tmp_path: Path) -> None:
    write_any(layouts(True), "page-xml", tmp_path / "page")
    root = ElementTree.parse(tmp_path / "page" / "b.xml").getroot()
    names = {"p": root.tag[1:].split("}")[0]}
    assert [child.tag.split("}")[1] for child in root] == ["Metadata", "Page"]
    region = root.find("p:Page/p:ImageRegion", names)
    assert region.attrib == {"id": "r1", "custom": "structure {type:graphic;}"}
    assert region.find("p:Coords", names).attrib == {"points": "0,0 800,0 800,600 0,600", "conf": "0.5000"}
    kinds = ElementTree.parse(tmp_path / "page" / "vol 1" / "ä#1.xml").getroot()
    assert kinds.find(".//p:TextRegion[@type='drop-capital']", names) is not None


def test_reads_page_xml_of_other_programs(tmp_path: Path) -> None:
    (tmp_path / "page.xml").write_text(
        """<?xml version="1.0"?><PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2013-07-15">
        <Page imageFilename="f1.jpg" imageWidth="1000" imageHeight="2000">
        <TextRegion id="a" type="marginalia"><Coords points="10,20 110,25 105,220"/>
          <TextLine id="l"><Coords points="1,1 2,2"/></TextLine></TextRegion>
        <TableRegion id="t"><Coords points="0,0 500,0 500,600"/>
          <TextRegion id="cell"><Coords points="0,0 10,0 10,10"/></TextRegion></TableRegion>
        <ChartRegion id="c"><Coords><Point x="1" y="2"/><Point x="30" y="40"/></Coords></ChartRegion>
        <SeparatorRegion id="s"><Coords points="0,0 1,0 1,900"/></SeparatorRegion></Page></PcGts>"""
    )
    (layout,) = read_any(tmp_path / "page.xml").pages
    assert (layout.name, layout.width, layout.height) == ("f1.jpg", 1000, 2000)
    assert [(region.label, region.xyxy) for region in layout.regions] == [
        ("margin_text", (10, 20, 110, 220)),
        ("table", (0, 0, 500, 600)),
        ("main_text", (0, 0, 10, 10)),
        ("graphic", (1, 2, 30, 40)),
        (IGNORE, (0, 0, 1, 900)),
    ]


def test_reads_alto_of_other_programs(tmp_path: Path) -> None:
    (tmp_path / "page.xml").write_text(
        """<alto xmlns="http://www.loc.gov/standards/alto/ns-v3#"><Description><MeasurementUnit>pixel</MeasurementUnit>
        <sourceImageInformation><fileName>f2.jpg</fileName></sourceImageInformation></Description>
        <Tags><OtherTag ID="BT1" LABEL="GraphicZone:illustration"/><OtherTag ID="BT2" LABEL="MainZone:column#1"/></Tags>
        <Layout><Page WIDTH="1000" HEIGHT="2000"><PrintSpace>
        <TextBlock ID="b1" TAGREFS="BT1" HPOS="10" VPOS="20" WIDTH="30" HEIGHT="40"/>
        <TextBlock ID="b2" TAGREFS="BT2 LT7" HPOS="0" VPOS="0" WIDTH="5" HEIGHT="6"/>
        <Illustration ID="b3" HPOS="1" VPOS="2" WIDTH="3" HEIGHT="4"/>
        <ComposedBlock ID="g"><TextBlock ID="b4" HPOS="1" VPOS="1" WIDTH="1" HEIGHT="1"/></ComposedBlock>
        </PrintSpace></Page></Layout></alto>"""
    )
    (layout,) = read_any(tmp_path / "page.xml").pages
    assert [region.label for region in layout.regions] == ["graphic", "main_text", "graphic", "main_text"]
    assert layout.regions[0].xyxy == (10, 20, 40, 60)


def test_label_studio_gives_back_what_a_person_corrected(tmp_path: Path) -> None:
    write_any(layouts(True), "label-studio", tmp_path / "tasks.json", Writing("/data/local-files/?d="))
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=vol%201/%C3%A4%231.jpg"
    corrected = tasks[1]
    corrected["annotations"] = [{"result": [dict(corrected["predictions"][0]["result"][0])]}]
    value = {"x": 10, "y": 20, "width": 50, "height": 10, "rotation": 90, "rectanglelabels": ["stamp"]}
    corrected["annotations"][0]["result"][0]["value"] = value
    del corrected["annotations"][0]["result"][0]["score"]
    (tmp_path / "corrected.json").write_text(json.dumps([corrected]))
    (layout,) = read_any(tmp_path / "corrected.json").pages
    # Turned round its upper left corner (80, 120): 400 wide becomes 400 high, to the left of it.
    assert layout.regions[0].label == "stamp" and layout.regions[0].score is None
    np.testing.assert_allclose(layout.regions[0].xyxy, (20, 120, 80, 520), atol=1e-6)
    config = ElementTree.parse(tmp_path / "tasks.config.xml").getroot()
    assert [label.get("value") for label in config.iter("Label")] == list(CLASSES)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xml", "<PcGts><Page imageWidth='1'/></PcGts>", "imageHeight=None"),
        ("a.xml", "<PcGts>", "not XML"),
        ("a.xml", "<html/>", "of no known form; give .*ALTO.*COCO"),
        ("a.xml", "<alto><MeasurementUnit>mm10</MeasurementUnit></alto>", "there is no Page in it"),
        ("a.xml", "<alto><MeasurementUnit>ell</MeasurementUnit></alto>", "measured in ell"),
        ("a.json", "[1, 2]", "not a Label Studio export"),
        ("a.json", '{"images": []}', "annotations"),
        ("a.csv", "x", "of no known form"),
        ("a.json", "", "empty"),
    ],
)
def test_broken_files_are_refused_in_one_line(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        main(ConvertSettings(input=tmp_path / name, to="coco", out=tmp_path / "out.json"))
    assert not (tmp_path / "out.json").exists()


def test_what_scores_too_little_is_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regions = (
        Region("table", (1, 1, 5, 5), 0.2),
        Region("table", (1, 1, 5, 5), 0.3),
        Region("table", (1, 1, 5, 5)),
    )
    write_any(LayoutSet((Layout("a.jpg", 9, 9, regions),)), "coco", tmp_path / "a.json")
    main(ConvertSettings(input=tmp_path / "a.json", to="coco", out=tmp_path / "b.json"))
    assert [found.score for found in read_any(tmp_path / "b.json").pages[0].regions] == [0.3, None]
    assert "detections below --min-score 0.3 that are left out: 1" in capsys.readouterr().err


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        write_any(layouts(True), "coco", tmp_path / "out.json")
    with pytest.raises(UserError, match="holds nothing of a known form"):
        read_any(tmp_path)


def test_xml_files_are_named_after_their_images_and_never_twice() -> None:
    assert file_names(["a/1.jpg", "a/1.png", "b/1.jpg", "book.pdf#page=2"], ".xml") == [
        "a/1.jpg.xml",
        "a/1.png.xml",
        "b/1.xml",
        "book.pdf--p2.xml",
    ]
