import dataclasses
import json
import re
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from doc_detect.classes import CLASSES, IGNORE
from doc_detect.coco import Reading
from doc_detect.convert import main as convert
from doc_detect.formats.forms import read_any, write_any
from doc_detect.formats.regions import Layout, LayoutSet, Region, Writing
from doc_detect.formats.selectors import extent_of_svg, places
from doc_detect.predict import predict
from doc_detect.settings.job import ConvertSettings, PredictSettings
from seminar_common import failures
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

CANVAS = "https://library.example/book1/canvas/p1"
BASE = "https://me.example/found"


def pages(**facts: Any) -> LayoutSet:
    """A page with a region of every class, one with a single region that covers it, and one without."""
    generator = np.random.default_rng(0)
    regions = []
    for number, label in enumerate((*CLASSES, IGNORE)):
        x, y = generator.integers(0, 400, 2).tolist()
        width, height = generator.integers(1, 200, 2).tolist()
        regions.append(Region(label, (x, y, x + width, y + height), None if number % 2 else 0.1234))
    return LayoutSet(
        (
            Layout("vol 1/ä#1.jpg", 700, 900, tuple(regions), {"century": 17, **facts}),
            Layout("vol 1/b.jpg", 800, 600, (Region("graphic", (0, 0, 800, 600), 0.5),), facts),
            Layout("vol 2/b.jpg", 10, 20, (), facts),
        ),
        frozenset(CLASSES),
        {"name": "mine"},
    )


def on_canvases() -> LayoutSet:
    """Return two pages that `predict` found on the canvases of a manifest."""
    facts = [{"canvas": f"https://library.example/book1/canvas/p{n}"} for n in (1, 2)]
    return LayoutSet(
        (
            Layout("iiif/1.jpg", 1200, 1800, (Region("graphic", (120, 180, 840, 900), 0.9),), facts[0]),
            Layout("iiif/2.jpg", 1200, 1800, (), facts[1]),
        ),
        frozenset(["graphic"]),
    )


def content(found: LayoutSet) -> list[Any]:
    return sorted(
        (
            page.name,
            page.width,
            page.height,
            dict(page.facts),
            [(r.label, r.xyxy, r.score) for r in page.regions],
        )
        for page in found.pages
    )


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("form", ["iiif", "web-annotation"])
def test_what_is_written_is_read_again(form: str, tmp_path: Path) -> None:
    write_any(pages(), form, tmp_path / "out.json", Writing(base_url=BASE))
    found = read_any(tmp_path / "out.json")
    assert content(found) == content(pages())
    assert (found.labelled, found.facts) == (frozenset(CLASSES), {"name": "mine"})


def test_thin_regions_keep_a_pixel_on_their_page(tmp_path: Path) -> None:
    regions = tuple(
        Region("graphic", box) for box in ((0, 0, 0.2, 5), (99.8, 49.7, 100, 50), (3.4, 3.6, 7.7, 8.2))
    )
    write_any(LayoutSet((Layout("a.jpg", 100, 50, regions),)), "web-annotation", tmp_path / "a.json")
    (page,) = read_any(tmp_path / "a.json").pages
    assert [region.xyxy for region in page.regions] == [(0, 0, 1, 5), (99, 49, 100, 50), (3, 4, 8, 8)]


def test_web_annotations_are_as_the_model_asks(tmp_path: Path) -> None:
    layouts = LayoutSet((Layout("vol 1/a.jpg", 700, 900, (Region("table", (10, 20, 110, 220), 0.75),)),))
    write_any(layouts, "web-annotation", tmp_path / "a.json", Writing("https://images.example/"))
    page = read_json(tmp_path / "a.json")
    assert page["@context"][0] == "http://www.w3.org/ns/anno.jsonld"
    assert page["type"] == "AnnotationPage" and re.fullmatch("urn:uuid:[0-9a-f-]{36}", page["id"])
    (annotation,) = page["items"]
    assert re.fullmatch("urn:uuid:[0-9a-f-]{36}", annotation.pop("id"))
    assert annotation == {
        "type": "Annotation",
        "motivation": "tagging",
        "body": {
            "type": "TextualBody",
            "value": "table",
            "format": "text/plain",
            "purpose": "tagging",
            "confidence": 0.75,
        },
        "target": {
            "type": "SpecificResource",
            "source": "https://images.example/vol%201/a.jpg",
            "selector": {
                "type": "FragmentSelector",
                "conformsTo": "http://www.w3.org/TR/media-frags/",
                "value": "xywh=pixel:10,20,100,200",
            },
        },
    }


@pytest.mark.parametrize("base", ["", BASE])
@pytest.mark.parametrize("version", [2, 3])
def test_a_copy_of_the_manifest_shows_the_annotations(
    version: int, base: str, manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = manifest(version, ["https://library.example/iiif/1", "https://library.example/iiif/2"])
    path = write(tmp_path / "m.json", original)
    layouts = on_canvases()
    write_any(layouts, "iiif", tmp_path / "out", Writing(base_url=base, manifests=[path]))
    assert ("--base-url" in capsys.readouterr().err) == (version == 2 and not base)
    copy = read_json(tmp_path / "out" / "manifest.json")
    canvases = copy["items"] if version == 3 else copy["sequences"][0]["canvases"]
    (linked,) = canvases[0]["annotations" if version == 3 else "otherContent"]
    key = "items" if version == 3 else "resources"
    assert (key in linked) == (not base)
    alone = read_json(tmp_path / "out" / "annotations" / "iiif" / "1.json")
    (annotation,) = alone[key]
    there = annotation["target" if version == 3 else "on"]
    assert there == f"{CANVAS}#xywh=120,180,720,720"
    for name in ("id", "type"):
        name = name if version == 3 else f"@{name}"
        assert linked[name] == alone[name]
    if base:
        assert linked["id" if version == 3 else "@id"] == f"{BASE}/annotations/iiif/1.json"
        assert copy["id" if version == 3 else "@id"] == f"{BASE}/manifest.json"
    marks = json.dumps(copy["metadata"])
    assert "doc-detect" in marks and (("https://library.example/book1/manifest.json" in marks) == bool(base))
    assert content(read_any(tmp_path / "out")) == content(layouts)
    assert read_json(path) == original


def test_annotations_of_version_2_are_open_annotations(manifest, tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", manifest(2, ["https://library.example/iiif/1"] * 2))
    write_any(on_canvases(), "iiif", tmp_path / "out", Writing(manifests=[path]))
    alone = read_json(tmp_path / "out" / "annotations" / "iiif" / "1.json")
    assert alone["@context"] == "http://iiif.io/api/presentation/2/context.json"
    assert alone["@type"] == "sc:AnnotationList"
    (annotation,) = alone["resources"]
    assert (annotation["@type"], annotation["motivation"]) == ("oa:Annotation", "oa:tagging")
    assert annotation["resource"] == [
        {"@type": "oa:Tag", "chars": "graphic", "format": "text/plain", "confidence": 0.9}
    ]


def test_scans_get_a_manifest_for_each_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--manifest, or say by --base-url"):
        write_any(pages(), "iiif", tmp_path / "out", Writing())
    assert not (tmp_path / "out").exists()
    write_any(pages(), "iiif", tmp_path / "out", Writing(base_url=f"{BASE}/"))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == ["vol 1.json", "vol 2.json"]
    document = read_json(tmp_path / "out" / "vol 1.json")
    assert document["@context"] == "http://iiif.io/api/presentation/3/context.json"
    assert (document["id"], document["type"]) == (f"{BASE}/vol%201.json", "Manifest")
    assert document["label"] == {"none": ["vol 1"]}
    canvas = document["items"][0]
    assert (canvas["type"], canvas["width"], canvas["height"]) == ("Canvas", 700, 900)
    (painting,) = canvas["items"][0]["items"]
    assert (painting["motivation"], painting["target"]) == ("painting", canvas["id"])
    assert painting["body"] == {
        "id": f"{BASE}/vol%201/%C3%A4%231.jpg",
        "type": "Image",
        "format": "image/jpeg",
        "width": 700,
        "height": 900,
    }
    assert canvas["annotations"][0]["type"] == "AnnotationPage"
    assert all(ident.startswith(BASE) for ident in every_id(document))


def every_id(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in every_id(item)]
    if not isinstance(value, dict):
        return []
    own = [value["id"]] if "id" in value else []
    return own + [found for item in value.values() for found in every_id(item)]


def test_pages_that_were_scanned_are_matched_with_a_manifest_by_name(manifest, tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", manifest(3, ["https://library.example/iiif/1.jp2"]))
    found = LayoutSet(
        (
            Layout("scans/1.png", 600, 900, (Region("graphic", (60, 90, 420, 450)),)),
            Layout("scans/9.png", 600, 900, ()),
            Layout("book.pdf#page=1", 600, 900, ()),
        )
    )
    writing = Writing(manifests=[path])
    write_any(found, "iiif", tmp_path / "out", writing)
    assert [(one.file, "no canvas" in one.reason) for one in writing.failures] == [
        ("scans/9.png", True),
        ("book.pdf#page=1", True),
    ]
    (page,) = read_any(tmp_path / "out").pages
    assert (page.width, page.height, page.regions[0].xyxy) == (1200, 1800, (120, 180, 840, 900))


def test_a_page_of_a_pdf_has_no_image_to_show(tmp_path: Path) -> None:
    writing = Writing(base_url=BASE)
    found = LayoutSet((Layout("b.pdf#page=1", 60, 90, ()), Layout("a.jpg", 60, 90, ())))
    write_any(found, "iiif", tmp_path / "out", writing)
    assert [(one.file, one.reason) for one in writing.failures] == [
        ("b.pdf#page=1", "a page of a PDF or TIFF; IIIF shows images of one page")
    ]


@pytest.mark.parametrize(
    ("target", "box"),
    [
        (f"{CANVAS}#xywh=10,20,30,40", (10, 20, 40, 60)),
        (f"{CANVAS}#xywh=pixel:10.5,20,30,40", (10.5, 20, 40.5, 60)),
        (f"{CANVAS}#xywh=pct:10,20,30,40", (120, 360, 480, 1080)),
        ({"id": f"{CANVAS}#xywh=10,20,30,40", "type": "Canvas"}, (10, 20, 40, 60)),
        ([f"{CANVAS}#xywh=10,20,30,40"], (10, 20, 40, 60)),
        (
            {
                "source": {"id": CANVAS},
                "selector": {"type": "FragmentSelector", "value": "xywh=percent:50,50,25,25"},
            },
            (600, 900, 900, 1350),
        ),
        (
            {
                "source": CANVAS,
                "selector": [
                    {"type": "PointSelector", "x": 1, "y": 2},
                    {"type": "SvgSelector", "value": '<svg><polygon points="10,20 40,30 20,60"/></svg>'},
                ],
            },
            (10, 20, 40, 60),
        ),
    ],
)
def test_places_of_other_programs_are_read(target: Any, box: Any, manifest, tmp_path: Path) -> None:
    write(tmp_path / "m.json", manifest(3, ["https://library.example/iiif/1.jp2"]))
    body = {"type": "TextualBody", "value": "Illustration", "purpose": "tagging"}
    annotation = {"type": "Annotation", "motivation": "tagging", "body": body, "target": target}
    document = {"id": "https://a.example/1", "type": "AnnotationPage", "items": [annotation]}
    (page,) = read_any(write(tmp_path / "a" / "page.json", document)).pages
    assert (page.name, page.width, page.height) == ("1.jp2", 1200, 1800)
    assert page.facts == {
        "canvas": CANVAS,
        "canvas_label": "p. 1",
        "manifest": "https://library.example/book1/manifest.json",
        "region_address": "https://library.example/iiif/1.jp2/{region}/max/0/default.jpg",
    }
    (region,) = page.regions
    assert region.label == "graphic"
    np.testing.assert_allclose(region.xyxy, box)


def test_places_of_version_2_are_read(manifest, tmp_path: Path) -> None:
    """A target with a choice of a rectangle and an outline, as Mirador 2 writes it."""
    write(tmp_path / "m.json", manifest(2, ["https://library.example/iiif/1.jp2"]))
    selector = {
        "@type": "oa:Choice",
        "default": {"@type": "oa:FragmentSelector", "value": "xywh=10,20,30,40"},
        "item": {"@type": "oa:SvgSelector", "value": "<svg/>"},
    }
    annotation = {
        "@type": "oa:Annotation",
        "motivation": ["oa:commenting", "oa:tagging"],
        "resource": [
            {"@type": "dctypes:Text", "format": "text/html", "chars": "<p>fine</p>"},
            {"@type": "oa:Tag", "chars": "initial"},
        ],
        "on": [{"@type": "oa:SpecificResource", "full": CANVAS, "selector": selector}],
    }
    document = {"@id": "l", "@type": "sc:AnnotationList", "resources": [annotation]}
    (page,) = read_any(write(tmp_path / "l.json", document)).pages
    assert page.regions == (Region("drop_capital", (10, 20, 40, 60)),)


def test_a_list_of_annotations_of_an_image_beside_it_is_read(tmp_path: Path) -> None:
    """As Annotorious and Recogito export them."""
    Image.new("RGB", (200, 100)).save(tmp_path / "scan 1.jpg")
    selector = {"type": "FragmentSelector", "value": "xywh=percent:10,20,30,40"}
    annotation = {
        "@context": "http://www.w3.org/ns/anno.jsonld",
        "type": "Annotation",
        "body": [{"type": "TextualBody", "purpose": "tagging", "value": "table"}],
        "target": {"source": "scan%201.jpg", "selector": selector},
    }
    (page,) = read_any(write(tmp_path / "a.json", [annotation])).pages
    assert (page.name, page.width, page.height) == ("scan 1.jpg", 200, 100)
    np.testing.assert_allclose(page.regions[0].xyxy, (20, 20, 80, 60))


@pytest.mark.parametrize(
    "body",
    [
        {"type": "TextualBody", "value": "Tafel"},
        {"type": "Choice", "items": [{"type": "TextualBody", "value": "Tafel"}, {"value": "plate"}]},
        {
            "type": "SpecificResource",
            "source": {"id": "https://vocabulary.example/x", "label": {"de": ["Tafel"]}},
        },
        {"type": "SpecificResource", "source": "https://vocabulary.example/terms#Tafel"},
        "Tafel",
        [{"purpose": "commenting", "value": "fine"}, {"purpose": "classifying", "value": "Tafel"}],
    ],
)
def test_classes_of_other_programs_are_read(body: Any, manifest, tmp_path: Path) -> None:
    write(tmp_path / "m.json", manifest(3, ["https://library.example/iiif/1.jp2"]))
    target = f"{CANVAS}#xywh=10,20,30,40"
    annotation = {"type": "Annotation", "motivation": "tagging", "body": body, "target": target}
    convert(
        ConvertSettings(
            input=write(tmp_path / "a.json", [annotation]),
            to="coco",
            out=tmp_path / "coco.json",
            map=("Tafel=graphic",),
        )
    )
    (page,) = read_any(tmp_path / "coco.json").pages
    assert [region.label for region in page.regions] == ["graphic"]


def test_what_is_no_region_is_passed_over_or_said(manifest, tmp_path: Path) -> None:
    def annotation(motivation: str, value: str, target: Any = f"{CANVAS}#xywh=1,2,30,40") -> dict[str, Any]:
        body = {"type": "TextualBody", "value": value}
        return {
            "id": f"a:{value}",
            "type": "Annotation",
            "motivation": motivation,
            "body": body,
            "target": target,
        }

    document = manifest(3, ["https://library.example/iiif/1.jp2"])
    items = [
        annotation("supplementing", "a line of text"),
        annotation("tagging", "table"),
        annotation("commenting", "How fine!"),
        annotation("tagging", "whole", CANVAS),
        annotation(
            "tagging", "point", {"source": CANVAS, "selector": {"type": "PointSelector", "x": 1, "y": 2}}
        ),
        annotation("tagging", "broken", f"{CANVAS}#xywh=1,2,3"),
        {"type": "Dataset"},
    ]
    document["items"][0]["annotations"] = [
        {"id": "https://a.example/1", "type": "AnnotationPage", "items": items},
        {"id": "https://a.example/elsewhere", "type": "AnnotationPage"},
    ]
    reading = Reading()
    (page,) = read_any(write(tmp_path / "m.json", document), reading).pages
    assert [region.label for region in page.regions] == ["table", IGNORE]
    assert dict(reading.names.ignored) == {"How fine!": 1}
    reasons = " | ".join(one.reason for one in reading.failures)
    for part in (
        "on the whole of",
        "no outline, but PointSelector",
        "'xywh=1,2,3' is not",
        "not an annotation",
    ):
        assert part in reasons
    assert "1 lists of annotations are not in a file here: https://a.example/elsewhere" in reasons


def test_a_page_whose_size_nobody_says_is_left_out(tmp_path: Path) -> None:
    annotation = {"type": "Annotation", "body": "table", "target": "https://x.example/c#xywh=1,2,3,4"}
    with pytest.raises(UserError, match="its size is not known: put its manifest or its image beside"):
        read_any(write(tmp_path / "a.json", annotation))


@pytest.mark.parametrize(
    ("shapes", "box"),
    [
        ('<path d="M10,20 h30 v40 h-30 z"/>', (10, 20, 40, 60)),
        ('<path d="m10-5l.5.5 5e1 20"/>', (10, -5, 60.5, 15.5)),
        ('<path d="M10 50a20 30 0 1 0 40 0a20 30 0 1 0-40 0"/>', (10, 20, 50, 80)),
        ('<path d="M0 0C0 40 100 40 100 0s100-40 100 0"/>', (0, -30, 200, 30)),
        ('<path d="M0 0Q50 50 100 0T200 0"/>', (0, -25, 200, 25)),
        ('<rect x="1" y="2" width="3" height="4"/><circle cx="9" cy="9" r="1"/>', (1, 2, 10, 10)),
        ('<g><ellipse cx="5px" cy="6" rx="2" ry="3"/></g>', (3, 3, 7, 9)),
    ],
)
def test_outlines_have_the_box_round_them(shapes: str, box: tuple[float, ...]) -> None:
    found = extent_of_svg(f'<svg xmlns="http://www.w3.org/2000/svg">{shapes}</svg>')
    np.testing.assert_allclose(found, box, atol=1e-6)


@pytest.mark.parametrize(
    ("svg", "reason"),
    [
        ("<svg", "can't be read"),
        ("<svg/>", "no shape"),
        ('<svg><g transform="scale(2)"><rect width="1" height="1"/></g></svg>', "a transform"),
    ],
)
def test_an_outline_that_is_not_understood_says_so(svg: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        list(places({"source": CANVAS, "selector": {"type": "SvgSelector", "value": svg}}))


def test_from_a_manifest_to_a_manifest_by_the_commands(
    manifest, server, paint: Callable[..., np.ndarray], tiny_model: Path, tmp_path: Path
) -> None:
    server.images = {"a": paint(600, 900, graphic=(60, 90, 420, 450))}
    path = write(tmp_path / "m.json", manifest(3, [server.service("a"), server.service("gone")]))
    chosen = PredictSettings((path,), tmp_path / "found", tiny_model, page_timeout=0.0, work=WorkConfig(1))
    predict(dataclasses.replace(chosen, download=True))
    convert(ConvertSettings(input=tmp_path / "found", to="iiif", out=tmp_path / "out"))
    copy = read_json(tmp_path / "out" / "manifest.json")
    (annotations,) = copy["items"][0]["annotations"]
    (annotation,) = annotations["items"]
    box = [int(number) for number in annotation["target"].partition("#xywh=")[2].split(",")]
    np.testing.assert_allclose(box, (120, 180, 720, 720), atol=16)
    assert "annotations" not in copy["items"][1]
    convert(ConvertSettings(input=tmp_path / "out", to="coco", out=tmp_path / "coco.json"))
    (entry,) = read_json(tmp_path / "coco.json")["images"]
    assert entry["canvas"] == CANVAS and (entry["width"], entry["height"]) == (1200, 1800)
    convert(
        ConvertSettings(input=tmp_path / "coco.json", to="iiif", out=tmp_path / "again", manifest=(path,))
    )
    assert read_json(tmp_path / "again" / "manifest.json")["items"] == copy["items"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "iiif", "base_url": "me.org"}, "must begin with http"),
        ({"to": "coco", "manifest": (Path("m.json"),)}, "--manifest: goes with --to iiif"),
        ({"to": "alto", "base_url": BASE}, "--base-url: goes with --to iiif or web-annotation"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConvertSettings(input=Path("c.json"), out=Path("out"), **options)


def test_convert_says_which_pages_have_no_place_in_iiif(tmp_path: Path) -> None:
    write_any(
        LayoutSet((Layout("b.pdf#page=1", 60, 90, ()), Layout("a.jpg", 60, 90, ()))),
        "coco",
        tmp_path / "c.json",
    )
    convert(ConvertSettings(input=tmp_path / "c.json", to="iiif", out=tmp_path / "out", base_url=BASE))
    (failure,) = failures.read(tmp_path / "out" / failures.FILE)
    assert failure.file == "b.pdf#page=1"


JUNK = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.sampled_from(
        ["", "x", "http://[", "\ud800", "a\0b", "Canvas#xywh=1,2", "c#xywh=pct:1,2,3,4", "Annotation"]
    ),
    st.sampled_from(["<svg><path d='MAZA1 1 1'/></svg>", "<svg><rect width='x'/></svg>"]),
    st.just([]),
    st.just({}),
    st.just([[{"id": ["x"], "type": [3]}]]),
    st.just({"@id": 5, "type": "SvgSelector", "value": [None]}),
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("version", [2, 3])
def test_no_broken_annotation_is_a_traceback(version: int, data: st.DataObject, manifest) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name, "m.json"), manifest(version, ["https://library.example/iiif/1"] * 2))
        write_any(on_canvases(), "iiif", Path(name, "out"), Writing(manifests=[path]))
        document = read_json(Path(name, "out", "manifest.json"))
        for _ in range(data.draw(st.integers(1, 3))):
            node, way = document, []
            while isinstance(node, dict | list) and node and (not way or data.draw(st.integers(0, 5))):
                key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
                way.append((node, key))
                node = node[key]
            way[-1][0][way[-1][1]] = deepcopy(data.draw(JUNK))
        try:
            read_any(write(Path(name, "broken.json"), document), Reading())
        except UserError:
            return
