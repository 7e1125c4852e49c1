"""Files of other programs, each with the fault or freedom that they have in the wild."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from doc_detect.classes import IGNORE, Names
from doc_detect.coco import Reading, read_coco
from doc_detect.convert import main
from doc_detect.formats.forms import read_any, read_pages
from doc_detect.formats.regions import Layout
from doc_detect.settings.job import ConvertSettings
from seminar_common.errors import UserError

PAGE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"


def page_xml(regions: str, image: str = "f1.jpg", size: str = 'imageWidth="1000" imageHeight="2000"') -> str:
    return f'<PcGts xmlns="{PAGE}"><Page imageFilename="{image}" {size}>{regions}</Page></PcGts>'


def alto(blocks: str, unit: str = "pixel", size: str = 'WIDTH="1000" HEIGHT="2000"', more: str = "") -> str:
    return (
        f'<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description><MeasurementUnit>{unit}</MeasurementUnit>'
        f"<sourceImageInformation><fileName>f1.jpg</fileName></sourceImageInformation>{more}</Description>"
        f"<Layout><Page {size}><PrintSpace>{blocks}</PrintSpace></Page></Layout></alto>"
    )


def region(kind: str, points: str = "10,20 110,25 105,220", **attributes: str) -> str:
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<{kind} id="r"{given}><Coords points="{points}"/></{kind}>'


def coco(boxes: Sequence[dict[str, Any]], *names: str, **image: Any) -> dict[str, Any]:
    page = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 200, **image}
    objects = [{"id": i, "image_id": 1, "category_id": 1, **box} for i, box in enumerate(boxes, 1)]
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    return {"images": [page], "annotations": objects, "categories": categories}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def picture(path: Path, width: int = 100, height: int = 200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, height)).save(path)
    return path


def convert(given: Path, out: Path, *names: str) -> None:
    main(ConvertSettings(input=given, to="coco", out=out, map=names))


def failures(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [(Path(row["file"]).name, row["reason"]) for row in csv.DictReader(file)]


def only(path: Path) -> Layout:
    (page,) = read_any(path).pages
    return page


# ------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (region("TextRegion", custom="structure {type:GraphicZone;}"), "graphic"),
        (
            region("TextRegion", custom="readingOrder {index:0;} structure {type:MarginTextZone:note#1;}"),
            "margin_text",
        ),
        (region("TextRegion", custom="structure {type:Advert block;}"), IGNORE),
        (region("TextRegion", custom="structure {type:my own;}", type="heading"), "title"),
        (region("TextRegion", custom="structure {type:page-number;}"), "page_number"),
        (region("TextRegion", custom="structure {type:heading; subtype:illustration;}"), "title"),
        (region("TextRegion", type="other"), IGNORE),
        (region("TextRegion", type="TOC-entry"), "list"),
        (region("TextRegion"), "main_text"),
        (region("GraphicRegion", type="other"), "graphic"),
        (region("GraphicRegion", type="stamp"), "stamp"),
        (region("ChartRegion", type="bar"), "graphic"),
        (region("SeparatorRegion"), IGNORE),
    ],
)
def test_a_page_region_is_what_its_structure_type_or_element_says(
    given: str, label: str, tmp_path: Path
) -> None:
    page = only(write(tmp_path / "a.xml", page_xml(given + region("TableRegion"))))
    assert [found.label for found in page.regions] == [label, "table"]


@pytest.mark.parametrize(
    ("block", "label"),
    [
        ('<Illustration TYPE="Photograph" {}/>', "graphic"),
        ('<Illustration TYPE="never heard" {}/>', "graphic"),
        ('<TextBlock TYPE="Headline" {}/>', "title"),
        ('<TextBlock TAGREFS="t1" {}/>', "graphic"),
        ('<TextBlock TAGREFS="t2 t1" {}/>', "graphic"),
        ('<TextBlock TAGREFS="t2" {}/>', IGNORE),
        ('<TextBlock TAGREFS="t3" {}/>', "main_text"),
        ('<TextBlock TAGREFS="t3 t4" {}/>', "title"),
        ('<ComposedBlock TYPE="Table" {}/>', "table"),
        ("<GraphicalElement {}/>", IGNORE),
    ],
)
def test_an_alto_block_is_what_its_tags_type_or_element_says(block: str, label: str, tmp_path: Path) -> None:
    place = 'HPOS="1" VPOS="2" WIDTH="3" HEIGHT="4"'
    tags = '<Tags><LayoutTag ID="t1" LABEL="GraphicZone-figure"/><OtherTag ID="t2" LABEL="Something"/>'
    tags += '<StructureTag ID="t3" LABEL="article"/><StructureTag ID="t4" LABEL="titre 1"/></Tags>'
    text = alto(block.format(place) + f"<Illustration {place}/>").replace("<Layout>", f"{tags}<Layout>")
    assert [found.label for found in only(write(tmp_path / "a.xml", text)).regions] == [label, "graphic"]


def test_a_group_of_alto_blocks_is_no_region(tmp_path: Path) -> None:
    block = '<TextBlock HPOS="1" VPOS="1" WIDTH="1" HEIGHT="1"/>'
    text = alto(f'<ComposedBlock HPOS="0" VPOS="0" WIDTH="900" HEIGHT="900">{block}</ComposedBlock>')
    assert [found.label for found in only(write(tmp_path / "a.xml", text)).regions] == ["main_text"]


@pytest.mark.parametrize(
    "names",
    [("illustration", "table"), ("Image", "Text"), ("GraphicZone", "table"), ("GraphicZone#1", "MainZone-P")],
)
def test_a_coco_file_may_mix_the_names_of_several_lists(names: tuple[str, str], tmp_path: Path) -> None:
    boxes = [{"bbox": [1, 1, 5, 5], "category_id": i} for i in (1, 2)]
    found = read_coco(write(tmp_path / "a.json", coco(boxes, *names)))
    assert "graphic" in found.labelled and len(found.labelled) == 2 and min(found.pages[0].labels) >= 0


def test_what_becomes_ignore_is_said_and_can_be_mapped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = [{"bbox": [1, 1, 5, 5], "category_id": i} for i in (1, 2, 2)]
    given = write(tmp_path / "a.json", coco(boxes, "table", "Inserat"))
    convert(given, tmp_path / "one.json")
    assert (
        "1 name, 2 of 3 regions become `ignore`: Inserat (2): map them with --map" in capsys.readouterr().err
    )
    convert(given, tmp_path / "two.json", "Inserat=graphic")
    assert "`ignore`" not in capsys.readouterr().err
    assert [r.label for r in only(tmp_path / "two.json").regions] == ["table", "graphic", "graphic"]


def test_crowds_stay_ignored_and_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = {"size": [200, 100], "counts": [205, 10, 190, 10, 19585]}  # columns 1 and 2, rows 5 to 14
    boxes: list[dict[str, Any]] = [{"iscrowd": 1, "segmentation": mask}, {"bbox": [1, 1, 5, 5]}]
    given = write(tmp_path / "a.json", coco(boxes, "figure"))
    (crowd, figure) = only(given).regions
    assert (crowd.label, crowd.xyxy) == (IGNORE, (1, 5, 3, 15)) and figure.label == "graphic"
    assert "1 of 2 regions become `ignore`: iscrowd (1)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "segmentation",
    [
        [[10, 20, 30, 20, 30, 45], [12, 44, 20, 60, 30, 60]],
        {"size": [200, 100], "counts": [2020, *[40, 160] * 19, 40, 14140]},
    ],
)
def test_an_object_without_a_box_has_that_of_its_mask(segmentation: Any, tmp_path: Path) -> None:
    given = write(tmp_path / "a.json", coco([{"segmentation": segmentation}], "figure"))
    assert only(given).regions[0].xyxy == (10, 20, 30, 60)


def test_a_mask_packed_as_text_is_read_as_pycocotools_does(tmp_path: Path) -> None:
    mask_tools = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((200, 100), np.uint8, order="F")
    mask[20:60, 10:30] = mask[100:170, 40:90] = 1
    packed = mask_tools.encode(mask)
    given = coco([{"segmentation": {"size": packed["size"], "counts": packed["counts"].decode()}}], "figure")
    assert only(write(tmp_path / "a.json", given)).regions[0].xyxy == (10, 20, 90, 170)


# ----------------------------------------------------------------------------------------------- what is carried


@pytest.mark.parametrize("form", ["coco", "label-studio", "page-xml", "alto", "voc", "yolo"])
def test_what_was_not_looked_for_is_no_negative_after_a_conversion(form: str, tmp_path: Path) -> None:
    given = coco([{"bbox": [1, 1, 5, 5], "score": 0.75}], "figure", "table", book="b7", century=16)
    given["info"] = {"name": "prints"}
    between = tmp_path / ("between.json" if form in ("coco", "label-studio") else "between")
    main(ConvertSettings(input=write(tmp_path / "a.json", given), to=form, out=between))
    convert(between, tmp_path / "back.json")
    found = read_coco(tmp_path / "back.json")
    assert found.labelled == {"graphic", "table"} and found.name == "prints"
    assert found.pages[0].facts == {"book": "b7", "century": 16}
    np.testing.assert_allclose(found.pages[0].scores, [0.75])


@pytest.mark.parametrize("form", ["coco", "label-studio", "page-xml", "alto", "voc", "yolo"])
def test_what_was_ignored_before_is_no_loss(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = coco([{"bbox": [1, 1, 5, 5]}, {"bbox": [9, 9, 5, 5], "category_id": 2}], "ignore", "figure")
    between = tmp_path / ("between.json" if form in ("coco", "label-studio") else "between")
    main(ConvertSettings(input=write(tmp_path / "a.json", given), to=form, out=between))
    convert(between, tmp_path / "back.json")
    assert [found.label for found in only(tmp_path / "back.json").regions] == [IGNORE, "graphic"]
    assert "become `ignore`" not in capsys.readouterr().err


def test_where_a_form_does_not_say_what_was_looked_for_its_pages_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(write(tmp_path / "a.xml", page_xml(region("TableRegion"))), tmp_path / "out.json")
    assert (
        "does not say which classes were looked for; those on its pages are taken: table"
        in capsys.readouterr().err
    )
    assert read_coco(tmp_path / "out.json").labelled == {"table"}


def test_pages_where_other_classes_were_looked_for_are_not_mixed(tmp_path: Path) -> None:
    for name, category in (("a", "figure"), ("b", "table")):
        given = write(tmp_path / f"{name}.json", coco([], category, file_name=f"{name}.jpg"))
        main(ConvertSettings(input=given, to="alto", out=tmp_path / "xml" / name))
    with pytest.raises(
        UserError, match="in some files graphic were looked for, in others table; convert them apart"
    ):
        convert(tmp_path / "xml", tmp_path / "out.json")


# ------------------------------------------------------------------------------------------------------ breadth


POLYGON = '<Illustration ID="i"><Shape><Polygon POINTS="{}"/></Shape></Illustration>'


@pytest.mark.parametrize(
    ("block", "box"),
    [
        (POLYGON.format("10,20 110,25 105,220"), (10, 20, 110, 220)),
        (POLYGON.format("10 20 110 25 105 220"), (10, 20, 110, 220)),
        (
            '<Illustration><Shape><Circle HPOS="50" VPOS="60" RADIUS="10"/></Shape></Illustration>',
            (40, 50, 60, 70),
        ),
        (
            '<Illustration><Shape><Ellipse HPOS="50" VPOS="60" HLENGTH="10" VLENGTH="20"/></Shape></Illustration>',
            (40, 40, 60, 80),
        ),
        (
            '<TextBlock><TextLine HPOS="5" VPOS="6" WIDTH="10" HEIGHT="3"/>'
            '<TextLine HPOS="4" VPOS="9" WIDTH="10" HEIGHT="3"/></TextBlock>',
            (4, 6, 15, 12),
        ),
    ],
)
def test_an_alto_block_may_have_its_place_in_its_shape_or_lines(
    block: str, box: tuple[float, ...], tmp_path: Path
) -> None:
    assert only(write(tmp_path / "a.xml", alto(block))).regions[0].xyxy == box


@pytest.mark.parametrize(("unit", "per_pixel"), [("mm10", 254 / 300), ("inch1200", 4.0), ("pt", 72 / 300)])
@pytest.mark.parametrize("how", ["image", "dpi", "size"])
def test_alto_in_other_units_counts_pixels_of_its_image_or_resolution(
    unit: str, per_pixel: float, how: str, tmp_path: Path
) -> None:
    block = "<Illustration " + " ".join(
        f'{key}="{value * per_pixel}"'
        for key, value in (("HPOS", 50), ("VPOS", 60), ("WIDTH", 10), ("HEIGHT", 30))
    )
    size = f'WIDTH="{100 * per_pixel}" HEIGHT="{200 * per_pixel}"'
    said = {"dpi": "image 300 dpi", "size": "width:100\nheight:200\nxdpi:72\nydpi:72", "image": "xdpi:72"}[
        how
    ]
    more = f"<Processing><processingStepSettings>{said}</processingStepSettings></Processing>"
    path = write(tmp_path / "a.xml", alto(f"{block}/>", unit, size, more))
    if how == "image":
        picture(tmp_path / "f1.jpg")
    page = only(path)
    assert (page.width, page.height) == (100, 200)
    np.testing.assert_allclose(page.regions[0].xyxy, (50, 60, 60, 90))


def test_alto_without_image_and_resolution_counts_its_own_unit_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = '<Illustration HPOS="105" VPOS="0" WIDTH="105" HEIGHT="1485"/>'
    page = only(write(tmp_path / "a.xml", alto(block, "mm10", 'WIDTH="2100" HEIGHT="2970"')))
    assert (page.width, page.height, page.regions[0].xyxy) == (2100, 2970, (105, 0, 210, 1485))
    assert (
        "in mm10, without image and resolution: pages count the unit as a pixel (files: 1)"
        in capsys.readouterr().err
    )


def test_alto_without_a_size_takes_that_of_the_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", alto('<Illustration HPOS="1" VPOS="2" WIDTH="3" HEIGHT="4"/>', size=""))
    with pytest.raises(UserError, match="no WIDTH and HEIGHT, and its image is not beside it"):
        read_any(path)
    picture(tmp_path / "f1.jpg")
    page = only(path)
    assert (page.width, page.height, page.regions[0].xyxy) == (100, 200, (1, 2, 4, 6))


def test_one_region_without_coords_does_not_lose_the_folder(tmp_path: Path) -> None:
    for name in "ab":
        broken = (
            '<TextRegion id="r1"/><TextRegion id="r2"><Coords points=""/></TextRegion>' if name == "a" else ""
        )
        write(tmp_path / "xml" / f"{name}.xml", page_xml(broken + region("TableRegion"), f"{name}.jpg"))
    convert(tmp_path / "xml", tmp_path / "out.json")
    assert [page.file_name for page in read_coco(tmp_path / "out.json").pages] == ["a.jpg", "b.jpg"]
    assert failures(tmp_path / "out.failures.csv") == [
        ("a.xml", "region r1: it has no Coords"),
        ("a.xml", "region r2: its Coords are no outline of x,y points"),
    ]


def test_a_page_of_size_0_has_that_of_its_image_or_is_left_out(tmp_path: Path) -> None:
    size = 'imageWidth="0" imageHeight="0"'
    for name in "ab":
        write(
            tmp_path / "xml" / f"{name}.xml", page_xml(region("TableRegion", "0,0 9,9"), f"{name}.png", size)
        )
    write(tmp_path / "xml" / "c.xml", page_xml(region("TableRegion"), "c.png"))
    picture(tmp_path / "xml" / "b.png")
    convert(tmp_path / "xml", tmp_path / "out.json")
    found = {page.file_name: page.width for page in read_coco(tmp_path / "out.json").pages}
    assert found == {"b.png": 100, "c.png": 1000}
    ((file, reason),) = failures(tmp_path / "out.failures.csv")
    assert file == "a.xml" and "no size, and a.png is not beside it" in reason


def test_a_workspace_of_ocr_d_is_read_past_its_mets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "ws" / "mets.xml", "<mets/>")
    write(tmp_path / "ws" / "SEG" / "a.xml", page_xml(region("TableRegion"), "IMG/a.tif"))
    write(tmp_path / "ws" / "SEG" / "broken.XML", "<PcGts>")
    convert(tmp_path / "ws", tmp_path / "out.json")
    assert "1 XML files that hold no page were passed over (mets.xml)" in capsys.readouterr().err
    assert [file for file, _ in failures(tmp_path / "out.failures.csv")] == ["broken.XML"]


def test_an_image_that_is_there_twice_is_written_once_with_what_it_has_most_of(tmp_path: Path) -> None:
    for name, found in (("1-BIN/a", ""), ("2-SEG/a", region("TableRegion")), ("3-DESKEW/a", "")):
        write(tmp_path / "ws" / f"{name}.xml", page_xml(found, "IMG/a.tif"))
    convert(tmp_path / "ws", tmp_path / "out.json")
    (page,) = read_coco(tmp_path / "out.json").pages
    assert page.file_name == "IMG/a.tif" and len(page.labels) == 1
    with (tmp_path / "out.failures.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]).parent.name for row in rows] == ["1-BIN", "3-DESKEW"]
    assert all(
        "its image IMG/a.tif is there again" in row["reason"] and "2-SEG" in row["reason"] for row in rows
    )


def test_what_is_in_a_file_that_is_not_used_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = region("TableRegion") + region("SeparatorRegion")
    for name in ("1-SEG/a", "2-SEG/a", "3-SEG/b"):
        write(tmp_path / "ws" / f"{name}.xml", page_xml(found, f"IMG/{name[-1]}.tif"))
    convert(tmp_path / "ws", tmp_path / "out.json")
    assert "1 name, 2 of 4 regions become `ignore`: SeparatorRegion (2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("annotations", "images"),
    [("page", "."), ("annotations", "images"), ("Annotations", "JPEGImages"), (".", "images")],
)
@pytest.mark.parametrize("given", ["whole", "annotations"])
def test_images_are_found_beside_and_above_annotations(
    annotations: str, images: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "set" / images / "a.jpg")
    write(tmp_path / "set" / annotations / "a.xml", page_xml(region("TableRegion"), "a.jpg"))
    write(tmp_path / "set" / annotations / "b.json", coco([], "figure"))
    monkeypatch.chdir(tmp_path)
    pages = read_pages(Path("set") if given == "whole" else Path("set") / annotations, Reading())
    assert pages.image_path(pages.pages[0]).resolve() == (tmp_path / "set" / images / "a.jpg").resolve()
    found = read_coco(Path("set") / annotations / "b.json")
    assert found.image_path(found.pages[0]).resolve() == (tmp_path / "set" / images / "a.jpg").resolve()


def test_linked_folders_are_read_once_and_links_to_above_end(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.xml", page_xml(region("TableRegion"), "a.jpg"))
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "xml" / "again").symlink_to(tmp_path / "xml")
    reading = Reading()
    assert len(read_any(tmp_path / "xml", reading).pages) == 1 and not reading.failures


def test_images_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    for volume in ("1", "2"):
        write(tmp_path / "xml" / volume / "a.xml", page_xml(region("TableRegion"), "a.jpg"))
    convert(tmp_path / "xml", tmp_path / "out.json")
    assert [page.file_name for page in read_coco(tmp_path / "out.json").pages] == ["1/a.jpg", "2/a.jpg"]


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("images\\a.jpg", "images/a.jpg"),
        ("vol%201/a%C3%A4.jpg", "vol 1/aä.jpg"),
        ("a\u0308.jpg", "ä.jpg"),
        ("ä.jpg", "a\u0308.jpg"),
        ("50%.jpg", "50%.jpg"),
        ("a%20b.jpg", "a%20b.jpg"),
        ("C:\\scans\\a.jpg", "images/a.jpg"),
        ("/home/somebody/a.jpg", "a.jpg"),
        ("https://example.org/iiif/a%20b.jpg", "a b.jpg"),
    ],
)
def test_an_image_is_found_however_its_name_is_written(written: str, there: str, tmp_path: Path) -> None:
    picture(tmp_path / "set" / there)
    found = read_coco(write(tmp_path / "set" / "a.json", coco([], "figure", file_name=written)))
    assert found.image_path(found.pages[0]) == tmp_path / "set" / there
    write(tmp_path / "set" / "a.xml", page_xml("", written))
    pages = read_pages(tmp_path / "set", Reading())
    assert [page.file_name for page in pages.pages] == [there]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(
        b"\xef\xbb\xbf" + json.dumps(coco([{"bbox": [1, 1, 5, 5]}], "figure")).encode()
    )
    (tmp_path / "a.xml").write_bytes(b"\xef\xbb\xbf" + page_xml(region("TableRegion")).encode())
    (tmp_path / "b.xml").write_text(
        '<?xml version="1.0" encoding="utf-16"?>' + page_xml(region("TableRegion")), "utf-16"
    )
    assert [only(tmp_path / name).regions[0].label for name in ("a.json", "a.xml", "b.xml")] == [
        "graphic",
        "table",
        "table",
    ]


def test_one_box_without_area_is_left_out(tmp_path: Path) -> None:
    given = coco([{"bbox": [1, 1, 0, 5]}, {"bbox": [1, 1, 5, 5]}], "figure")
    convert(write(tmp_path / "a.json", given), tmp_path / "out.json")
    assert len(only(tmp_path / "out.json").regions) == 1
    ((_, reason),) = failures(tmp_path / "out.failures.csv")
    assert "annotation 1: bbox [1.0, 1.0, 0.0, 5.0] has no area" in reason
    write(
        tmp_path / "a.xml",
        page_xml(region("TableRegion", "5,5 5,9") + region("TableRegion", "2000,0 2100,9")),
    )
    reading = Reading()
    assert read_any(tmp_path / "a.xml", reading).pages[0].regions == ()
    assert ["no area" in f.reason or "outside" in f.reason for f in reading.failures] == [True, True]


def test_a_folder_out_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "xml" / "a.xml", "<PcGts>")
    with pytest.raises(UserError, match=r"holds nothing of a known form.*a.xml.*not XML"):
        convert(tmp_path / "xml", tmp_path / "out.json")
    assert not list(tmp_path.glob("out*"))


def test_a_folder_has_its_failures_in_it(tmp_path: Path) -> None:
    write(tmp_path / "a.xml", page_xml('<TextRegion id="r1"/>' + region("TableRegion")))
    main(ConvertSettings(input=tmp_path / "a.xml", to="voc", out=tmp_path / "out"))
    assert failures(tmp_path / "out" / "failures.csv") == [("a.xml", "region r1: it has no Coords")]
    assert only(tmp_path / "out").regions[0].label == "table"


# ------------------------------------------------------------------------------------------------- Label Studio


def task(*values: dict[str, Any], **more: Any) -> dict[str, Any]:
    results = [
        {"id": str(i), "type": "x", "original_width": 100, "original_height": 200, "value": value}
        for i, value in enumerate(values)
    ]
    return {"id": 5, "data": {"image": "/data/upload/a.jpg"}, "annotations": [{"result": results}], **more}


def bits(*numbers: tuple[int, int]) -> list[int]:
    text = "".join(f"{value:0{count}b}" for value, count in numbers)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def brush(mask: np.ndarray) -> list[int]:
    """Pack opacities as Label Studio's brush does, with every kind of block: repeated values and single ones."""
    values = np.repeat(mask.astype(int).ravel(), 4)
    packed = [(len(values), 32), (7, 5), (2, 4), (3, 4), (7, 4), (15, 4)]
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and values[end] == values[start]:
            end += 1
        if end - start > 1 or end == len(values):
            packed += [(1, 1), (3, 2), (end - start - 1, 16), (values[start], 8)]
        else:
            packed += [(0, 1), (0, 2), (0, 3), (values[start], 8)]
        start = end
    return bits(*packed)


@pytest.mark.parametrize(
    ("value", "box"),
    [
        ({"points": [[10, 10], [30, 20], [20, 40]], "polygonlabels": ["figure"]}, (10, 20, 30, 80)),
        ({"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["figure"]}, (40, 60, 60, 140)),
        (
            {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 90, "ellipselabels": ["figure"]},
            (10, 90, 90, 110),
        ),
        (
            {"x": 20, "y": 10, "width": 10, "height": 20, "rotation": 90, "rectanglelabels": ["figure"]},
            (-20, 20, 20, 30),
        ),
    ],
)
def test_label_studio_polygons_ellipses_and_turned_boxes(
    value: dict[str, Any], box: tuple[float, ...], tmp_path: Path
) -> None:
    page = only(write(tmp_path / "a.json", [task(value)]))
    assert page.name == "data/upload/a.jpg" and page.regions[0].label == "graphic"
    np.testing.assert_allclose(page.regions[0].xyxy, np.clip(box, 0, None), atol=1e-9)


def test_label_studio_brushes(tmp_path: Path) -> None:
    mask = np.zeros((200, 100), np.uint8)
    mask[20:61, 10:30] = 255
    mask[100, 50] = 9
    page = only(
        write(tmp_path / "a.json", [task({"format": "rle", "rle": brush(mask), "brushlabels": ["table"]})])
    )
    assert (page.regions[0].label, page.regions[0].xyxy) == ("table", (10, 20, 51, 101))


def test_label_studio_keeps_what_it_can_and_says_what_it_can_not(tmp_path: Path) -> None:
    good = {"x": 10, "y": 10, "width": 10, "height": 10, "rectanglelabels": ["figure"]}
    bad = {"x": 10, "y": 10, "keypointlabels": ["figure"]}
    cut = {"format": "rle", "rle": [0, 0, 0, 9], "brushlabels": ["figure"]}
    blank = {"data": {"image": "b.jpg"}, "annotations": [{"result": []}]}
    convert(write(tmp_path / "a.json", [task(good, bad, cut), blank]), tmp_path / "out.json")
    assert len(only(tmp_path / "out.json").regions) == 1
    reasons = [reason for _, reason in failures(tmp_path / "out.failures.csv")]
    assert "region 1 can't be read" in reasons[0] and "region 2 can't be read" in reasons[1]
    assert "no region says the size of b.jpg" in reasons[2]
    picture(tmp_path / "b.jpg")
    assert [len(page.regions) for page in read_any(tmp_path / "a.json").pages] == [1, 0]


def test_label_studio_labels_beside_a_plain_rectangle_count_once(tmp_path: Path) -> None:
    place = {"x": 10, "y": 10, "width": 10, "height": 10}
    given = task(place, {**place, "labels": ["figure"]})
    given["annotations"][0]["result"][1]["id"] = "0"
    assert [found.label for found in only(write(tmp_path / "a.json", [given])).regions] == ["graphic"]


def test_label_studio_columns_are_facts(tmp_path: Path) -> None:
    given = task({"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["figure"]})
    given["data"]["book"] = "b7"
    assert only(write(tmp_path / "a.json", [given])).facts == {"book": "b7"}


# --------------------------------------------------------------------------------------------------- Pascal VOC


def test_pascal_voc_of_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """<annotation><folder>x</folder><filename>a.jpg</filename><size><width>100</width><height>200</height></size>
      <object><name>Picture</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>
      <object><name>table</name><difficult>1</difficult>
        <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>
      <object><name>table</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"""
    reading = Reading(Names())
    (page,) = read_any(write(tmp_path / "a.xml", text), reading).pages
    assert [(found.label, found.xyxy) for found in page.regions] == [
        ("graphic", (10, 20, 30, 40)),
        (IGNORE, (0, 0, 3, 4)),
    ]
    reading.report("it")
    said = capsys.readouterr().err
    assert "difficult (1)" in said and "object 3 (table): its bndbox has not four numbers" in said
