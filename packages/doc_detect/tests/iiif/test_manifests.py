import dataclasses
import json
import subprocess
import sys
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

from doc_detect.cli import COMMANDS
from doc_detect.crop import crop
from doc_detect.gallery import main as gallery
from doc_detect.pages import download
from doc_detect.pages.canvases import FOLDER, Library, fetch_image, manifests_in
from doc_detect.pages.download import Downloader, NotFetched
from doc_detect.pages.iiif import Canvas, image_request, read_manifest
from doc_detect.predict import predict
from doc_detect.predictions import IMAGES, open_predictions
from doc_detect.settings.job import CropSettings, GallerySettings, PredictSettings
from seminar_common import failures
from seminar_common.cli import check_paths
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

GRAPHIC = (60, 90, 420, 450)
"""Where the picture is on a page of 600 x 900 pixels."""
ON_CANVAS = (120, 180, 840, 900)
"""The same on a canvas of 1200 x 1800."""
OUTSIDE = "https://library.example/iiif"


@pytest.fixture
def found(tiny_model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that runs `predict` on inputs, which gives the folder of predictions."""

    def run(*inputs: Path | str, **options: Any) -> Path:
        out = tmp_path / "found"
        predict(
            PredictSettings(
                inputs=tuple(Path(item) for item in inputs),
                out=out,
                model=tiny_model,
                work=WorkConfig(1),
                page_timeout=0.0,
                download_pause=0,
                **options,
            )
        )
        return out

    return run


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def page(paint: Callable[..., np.ndarray]) -> np.ndarray:
    return paint(600, 900, graphic=GRAPHIC)


def reasons(out: Path) -> list[str]:
    return [failure.reason for failure in failures.read(out / failures.FILE)]


@pytest.mark.parametrize("version", [2, 3])
def test_images_on_disk_count_the_pixels_of_their_canvases(
    version: int, found, manifest, paint, tmp_path: Path
) -> None:
    path = write(tmp_path / "book" / "m.json", manifest(version, [f"{OUTSIDE}/b%2F{n}.jp2" for n in "12"]))
    Image.fromarray(page(paint)).save(tmp_path / "book" / "1.png")
    out = found(path)
    (only,) = open_predictions(out)
    assert (only.file, only.width, only.height) == ("1.png", 1200, 1800)
    np.testing.assert_allclose(only.boxes[0].xyxy, ON_CANVAS, atol=8)
    (entry,) = json.loads((out / IMAGES).read_text())["images"]
    assert entry["canvas"] == "https://library.example/book1/canvas/p1"
    assert entry["canvas_label"] == "p. 1"
    (failure,) = failures.read(out / failures.FILE)
    assert (failure.file, failure.number) == ("m.json", 2)
    assert failure.reason == f"{OUTSIDE}/b%2F2.jp2: not on disk; --download fetches it"


@pytest.mark.parametrize("version", [2, 3])
def test_images_are_fetched_once_and_no_larger_than_asked_for(
    version: int, found, manifest, server, paint, tmp_path: Path
) -> None:
    server.images = {"a": page(paint), "b": page(paint)}
    context = f"http://iiif.io/api/image/{version}/context.json"
    server.info = {name: {"@context": context, "profile": "level2"} for name in "ab"}
    path = write(tmp_path / "m.json", manifest(version, [server.service("a"), server.service("b")]))
    out = found(path, download=True, iiif_pixels=450)
    size = "300,450" if version == 3 else "300,"
    expected = [
        f"/iiif/{name}/{what}" for name in "ab" for what in ("info.json", f"full/{size}/0/default.jpg")
    ]
    assert server.asked == expected
    assert all(agent.startswith("doc-detect/") for agent in server.agents)
    pages = list(open_predictions(out))
    for one in pages:
        np.testing.assert_allclose(one.boxes[0].xyxy, ON_CANVAS, atol=8)
    assert reasons(out) == []
    found(path, download=True, iiif_pixels=450)
    found(path, iiif_pixels=450)  # and without the network
    assert server.asked == expected and list(open_predictions(out)) == pages


def test_fetched_pages_are_cropped_and_shown(found, manifest, server, paint, tmp_path: Path) -> None:
    server.images = {"a": page(paint)}
    out = found(write(tmp_path / "m.json", manifest(3, [server.service("a")])), download=True)
    (row,) = crop(CropSettings(predictions=out, out=tmp_path / "cut", padding=0, work=WorkConfig(1)))
    with Image.open(tmp_path / "cut" / row["file"]) as image:
        np.testing.assert_allclose(image.size, (360, 360), atol=8)  # the pixels that were fetched
        assert np.asarray(image).mean(axis=(0, 1))[0] > 150
    base, _, rest = row["address"].partition("/pct:")
    assert base == server.service("a") and rest.endswith("/max/0/default.jpg")
    np.testing.assert_allclose([float(x) for x in rest.split("/")[0].split(",")], (10, 10, 60, 40), atol=1)
    gallery(GallerySettings(predictions=out))
    assert '"s":[1200,1800]' in (out / "gallery.html").read_text()


def test_a_server_of_finished_sizes_gives_the_smallest_that_is_enough(
    found, manifest, server, paint, tmp_path: Path
) -> None:
    server.images = {"a": page(paint)}
    sizes = [{"width": width, "height": width * 3 // 2} for width in (100, 200, 400)]
    server.info = {"a": {"profile": ["http://iiif.io/api/image/2/level0.json"], "sizes": sizes}}
    out = found(
        write(tmp_path / "m.json", manifest(2, [server.service("a")])), download=True, iiif_pixels=256
    )
    assert server.asked[1:] == ["/iiif/a/full/200,300/0/default.jpg"]
    (only,) = open_predictions(out)
    np.testing.assert_allclose(only.boxes[0].xyxy, ON_CANVAS, atol=10)


def test_an_image_without_its_service_comes_from_its_own_address(
    found, manifest, server, paint, tmp_path: Path
) -> None:
    server.images = {"a": page(paint)}
    document = manifest(3, [server.service("a")])
    server.faults = {"/iiif/a/info.json": [(404, {}, b"")]}
    found(write(tmp_path / "m.json", document), download=True)
    assert server.asked[-1] == "/iiif/a/full/max/0/default.jpg"


def test_a_busy_server_is_waited_for_as_long_as_it_asks(server, monkeypatch, tmp_path: Path, paint) -> None:
    server.images = {"a": page(paint)}
    path = "/iiif/a/full/max/0/default.jpg"
    server.faults = {path: [(503, {"Retry-After": "7"}, b""), (429, {}, b""), (500, {}, b"")]}
    waits: list[float] = []
    Downloader(sleep=waits.append).image(server.address + path, tmp_path / "a.jpg")
    assert waits == [7, 2, 4] and len(server.asked) == 4
    server.faults = {path: [(503, {"Retry-After": "86400"}, b"")]}
    with pytest.raises(NotFetched, match="503 .*asks to wait 86400 s; run it again later"):
        Downloader(sleep=waits.append).image(server.address + path, tmp_path / "b.jpg")


def test_a_date_to_come_back_is_understood(server, tmp_path: Path, paint) -> None:
    server.images = {"a": page(paint)}
    path = "/iiif/a/full/max/0/default.jpg"
    server.faults = {path: [(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"")]}
    waits: list[float] = []
    Downloader(sleep=waits.append).image(server.address + path, tmp_path / "a.jpg")
    assert waits == [0]


def test_half_a_file_is_none(server, tmp_path: Path, paint) -> None:
    server.images = {"a": page(paint)}
    path = "/iiif/a/full/max/0/default.jpg"
    server.faults = {path: [(200, {"Content-Length": "5000"}, b"half")] * download.ATTEMPTS}
    with pytest.raises(NotFetched, match="broke after 4 of 5,000 bytes"):
        Downloader(sleep=lambda _: None).image(server.address + path, tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"<html>please log in</html>", "sent no image"), (b"x" * 2_000_000, "larger than 1 MiB")],
)
def test_what_is_no_image_or_too_large_is_not_kept(
    body: bytes, reason: str, server, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(download, "MOST_BYTES", 1 << 20)
    server.faults = {"/a": [(200, {}, body)]}
    with pytest.raises(NotFetched, match=reason):
        Downloader().image(f"{server.address}/a", tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:image/png;base64,AA"])
def test_no_address_leads_off_http(target: str, server, tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match="only http and https"):
        Downloader().image(target, tmp_path / "a.jpg")
    server.faults = {"/a": [(302, {"Location": target}, b"")]}
    with pytest.raises(NotFetched, match="is not HTTP|is not allowed"):
        Downloader().image(f"{server.address}/a", tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_hostile_ids_and_labels_stay_in_the_folder(found, manifest, server, paint, tmp_path: Path) -> None:
    services = ["../../x", "file:///etc/passwd", f"{server.address}/iiif/../../x", server.service("a")]
    server.images = {"a": page(paint)}
    document = manifest(3, services, base=f"{server.address}/../../../book")
    for number, canvas in enumerate(document["items"]):
        canvas["label"] = {"none": [f"../../{number}\u0000/\\..\n{'x' * 500}"]}
    before = {path for path in tmp_path.rglob("*")}
    out = found(write(tmp_path / "in" / "m.json", document), download=True)
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before - {tmp_path / "in" / "m.json"}
    assert new and all(path.is_relative_to(out) for path in new)
    assert len(list(open_predictions(out))) == 1 and len(reasons(out)) == 3


def test_a_stopped_run_goes_on_with_what_is_there(
    found, manifest, server, monkeypatch, paint, tmp_path: Path
) -> None:
    server.images = {name: page(paint) for name in "abcd"}
    path = write(tmp_path / "m.json", manifest(2, [server.service(name) for name in "abcd"]))
    fetch = Downloader.image

    def until_c(self: Downloader, url: str, target: Path) -> None:
        if "/c/" in url:
            raise KeyboardInterrupt
        fetch(self, url, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Downloader, "image", until_c)
        found(path, download=True)
    before = len(server.asked)
    out = found(path, download=True)
    assert not [ask for ask in server.asked[before:] if "/a/" in ask or "/b/" in ask]
    assert len(list(open_predictions(out))) == 4


def test_a_killed_download_leaves_no_image(server, paint, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from doc_detect.pages import download\n"
        "def die(*_):\n"
        "    yield b'half'\n"
        "    os.kill(os.getpid(), 9)\n"
        "download.Downloader._blocks = die\n"
        "download.Downloader().image('http://127.0.0.1/a', Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.jpg")])
    assert done.returncode == -9 and not (tmp_path / "a.jpg").exists()
    assert len(list(tmp_path.iterdir())) == 1  # half of it, under another name
    server.images = {"a": page(paint)}
    canvas = Canvas("c", "", 1, None, "m", image=f"{server.address}/iiif/a/full/max/0/default.jpg")
    fetch_image(Downloader(), canvas, 0, tmp_path / "a.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_a_page_that_was_missing_is_no_failure_any_more(
    found, manifest, server, paint, tmp_path: Path
) -> None:
    server.images = {"a": page(paint)}
    path = write(tmp_path / "m.json", manifest(3, [server.service("a"), server.service("gone")]))
    assert len(reasons(found(path))) == 2 and not server.asked
    out = found(path, download=True)
    assert [one.facts["canvas_label"] for one in open_predictions(out)] == ["p. 1"]
    (reason,) = reasons(out)
    assert "404" in reason
    server.images["gone"] = page(paint)
    found(path, download=True)
    assert reasons(out) == [] and len(list(open_predictions(out))) == 2


def test_a_collection_on_the_network_is_followed(found, manifest, server, paint, tmp_path: Path) -> None:
    server.images = {"a": page(paint), "b": page(paint)}
    member = {"type": "Manifest", "label": {"none": ["?"]}}
    server.documents = {
        "/2.json": manifest(2, [server.service("a")], base="https://library.example/two"),
        "/3.json": manifest(3, [server.service("b")], base="https://library.example/three"),
        "/old.json": {
            "@id": f"{server.address}/old.json",
            "@type": "sc:Collection",
            "manifests": [{"@id": f"{server.address}/2.json", "@type": "sc:Manifest"}],
            "collections": [{"@id": f"{server.address}/top.json", "@type": "sc:Collection"}],
        },
        "/top.json": {
            "id": f"{server.address}/top.json",
            "type": "Collection",
            "items": [
                {**member, "id": f"{server.address}/3.json"},
                {**member, "id": f"{server.address}/none.json"},
                {"type": "Collection", "id": f"{server.address}/old.json"},
            ],
        },
    }
    with pytest.raises(UserError, match=f"{server.address}/top.json: on the network; --download fetches it"):
        found(f"{server.address}/top.json")
    assert server.asked == [] and not (tmp_path / "found").exists()
    out = found(f"{server.address}/top.json", download=True)
    assert {one.facts["canvas"] for one in open_predictions(out)} == {
        "https://library.example/two/canvas/p1",
        "https://library.example/three/canvas/p1",
    }
    (reason,) = reasons(out)
    assert reason.startswith(f"{server.address}/none.json: the server answers 404")
    assert len(manifests_in(out / FOLDER)) == 2  # those with pages, once each


def test_images_of_several_books_are_told_apart_by_their_folders(
    found, manifest, paint, tmp_path: Path
) -> None:
    for name in ("book1/f1.png", "book2/f1.png", "book3_f1.png", "other/f2.png", "another/f2.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(page(paint)).save(tmp_path / "images" / name)
    services = [f"{OUTSIDE}/{name}" for name in ("book1/f1", "book3/f1", "book9/f2")]
    out = found(write(tmp_path / "m.json", manifest(2, services)), images=tmp_path / "images")
    assert {one.file for one in open_predictions(out)} == {"book1/f1.png", "book3_f1.png"}
    (reason,) = reasons(out)
    assert "several files may be its image" in reason and "--images" in reason


def test_a_broken_image_of_a_canvas_is_read_again_when_it_is_mended(
    found, manifest, paint, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.json", manifest(3, [f"{OUTSIDE}/f1"]))
    Image.fromarray(page(paint)).save(tmp_path / "f1.png")
    whole = (tmp_path / "f1.png").read_bytes()
    (tmp_path / "f1.png").write_bytes(whole[: len(whole) // 2])
    out = found(path)
    (failure,) = failures.read(out / failures.FILE)
    assert failure.file == "f1.png" and not list(open_predictions(out))
    (tmp_path / "f1.png").write_bytes(whole)
    found(path)
    assert reasons(out) == [] and len(list(open_predictions(out))) == 1
    (tmp_path / "f1.png").rename(tmp_path / "moved.png")
    found(path)  # what was found stays when the image goes
    assert reasons(out) == [] and len(list(open_predictions(out))) == 1


def test_two_canvases_do_not_share_an_image(found, manifest, paint, tmp_path: Path) -> None:
    Image.fromarray(page(paint)).save(tmp_path / "f1.png")
    out = found(write(tmp_path / "m.json", manifest(3, [f"{OUTSIDE}/f1", f"{OUTSIDE}/f1"])))
    assert len(list(open_predictions(out))) == 1
    (reason,) = reasons(out)
    assert "its image f1.png is that of" in reason


def test_what_two_manifests_share_is_one_page_and_the_other_is_said(
    found, manifest, paint, tmp_path: Path
) -> None:
    Image.fromarray(page(paint)).save(tmp_path / "f1.png")
    document = manifest(3, [f"{OUTSIDE}/f1"])
    paths = [write(tmp_path / name, document) for name in ("a.json", "b.json")]
    paths.append(write(tmp_path / "c.json", {**document, "id": "https://library.example/again"}))
    out = found(*paths)
    assert len(list(open_predictions(out))) == 1
    same_id, same_canvas = reasons(out)
    assert "is that of" in same_id and str(tmp_path / "a.json") in same_id
    assert "in https://library.example/book1/manifest.json, too" in same_canvas


def test_manifests_and_scans_go_together(found, manifest, paint, tmp_path: Path) -> None:
    for name in ("scans/1.png", "book/f1.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(page(paint)).save(tmp_path / name)
    write(tmp_path / "book" / "m.json", manifest(3, [f"{OUTSIDE}/f1"]))
    pages = {
        one.file: one for one in open_predictions(found(tmp_path / "scans", tmp_path / "book" / "*.json"))
    }
    assert {name: one.width for name, one in pages.items()} == {"scans/1.png": 600, "book/f1.png": 1200}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not a IIIF manifest or collection"),
        ('{"type": "AnnotationPage"}', "not a IIIF manifest or collection"),
        ("{", "not JSON"),
        ("", "empty"),
    ],
)
def test_other_json_is_refused(content: str, message: str, found, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        found(tmp_path / "x.json")
    assert not (tmp_path / "found").exists()


def test_a_canvas_without_one_whole_image_says_so(manifest) -> None:
    document = manifest(3, [f"{OUTSIDE}/{name}" for name in "abcdefg"])
    canvases = document["items"]
    (painting,) = canvases[0]["items"][0]["items"]
    parts = [{**painting, "target": f"{painting['target']}#xywh={x},0,600,1800"} for x in (0, 600)]
    canvases[0]["items"][0]["items"] = parts
    painting = canvases[1]["items"][0]["items"][0]
    painting["target"] += "#xywh=0,0,1200,1800"  # all of it
    canvases[2]["items"] = []
    canvases[3]["id"] = canvases[1]["id"]
    del canvases[4]["id"]
    body = canvases[5]["items"][0]["items"][0]["body"]
    canvases[5]["items"][0]["items"][0]["body"] = {
        "type": "Choice",
        "items": [body, {"type": "Image", "id": "b"}],
    }
    canvases[6]["items"][0]["items"][0]["body"] = {"type": "SpecificResource", "source": body, "selector": {}}
    canvases[6]["items"][0]["items"][0]["body"]["selector"] = {
        "type": "ImageApiSelector",
        "region": "0,0,5,5",
    }
    assert [canvas.problem for canvas in read_manifest(document).canvases] == [
        "it is painted by 2 images; only a whole one is read",
        "",
        "it shows no image",
        "another one has its id",
        "it has no id",
        "",
        "it shows a part of an image",
    ]
    assert read_manifest(document).canvases[5].service == f"{OUTSIDE}/f"


def test_limits_of_servers_are_kept() -> None:
    info = {
        "@context": "http://iiif.io/api/image/3/context.json",
        "profile": "level2",
        "width": 4000,
        "height": 6000,
    }

    def size(longest: int, **facts: Any) -> str:
        return image_request("s", {**info, **facts}, longest)[0].split("/")[2]

    assert size(3000) == "2000,3000" and size(0) == "max" and size(9000) == "max"
    assert size(3000, maxWidth=1000) == "666,1000"  # maxHeight is maxWidth where it is not stated
    assert size(3000, maxWidth=1000, maxHeight=9000) == "1000,1500"
    assert size(3000, maxArea=600) == "20,30"
    old = {"@context": "http://library.stanford.edu/iiif/image-api/1.1/context.json"}
    assert image_request("s", {**info, **old}, 3000) == ["s/full/2000,/0/native.jpg"]
    second = {
        "@context": "http://iiif.io/api/image/2/context.json",
        "profile": ["level2.json", {"maxWidth": 500}],
    }
    assert image_request("s", {**info, **second}, 3000) == ["s/full/333,/0/default.jpg"]
    with pytest.raises(ValueError, match="no width and height"):
        image_request("s", {}, 3000)


def test_fetching_other_sizes_needs_another_folder(found, manifest, server, paint, tmp_path: Path) -> None:
    server.images = {"a": page(paint)}
    path = write(tmp_path / "m.json", manifest(3, [server.service("a")]))
    found(path, download=True)
    with pytest.raises(UserError, match="another iiif pixels"):
        found(path, download=True, iiif_pixels=450)


def test_the_command_lets_an_address_through(tmp_path: Path) -> None:
    good = PredictSettings(inputs=(Path("https://library.example/m.json"),), out=tmp_path / "out")
    check_paths(COMMANDS["predict"], good)
    with pytest.raises(UserError, match="no such file"):
        check_paths(COMMANDS["predict"], dataclasses.replace(good, inputs=(Path("m.json"),)))


def test_options_have_limits() -> None:
    good = PredictSettings(inputs=(Path("m.json"),), out=Path("out"))
    for option, value in (("iiif_pixels", 3), ("download_pause", -1)):
        with pytest.raises(UserError, match=option.replace("_", "-")):
            dataclasses.replace(good, **{option: value})


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(
        ["", "x", "http://[", "file:///etc/passwd", "../..", "\ud800", "a\0b", "Canvas", "sc:Manifest"]
    ),
    st.just([]),
    st.just({}),
    st.just([[{"id": ["x"], "type": [3]}]]),
    st.just({"@id": 5, "@type": {"a": 1}, "@value": [None]}),
)


@st.composite
def broken(draw: st.DrawFn, document: Any) -> Any:
    """Return a copy of a document in which a few values are others."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        node, way = document, []
        while isinstance(node, dict | list) and node and (not way or draw(st.integers(0, 5))):
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            way.append((node, key))
            node = node[key]
        if way:
            way[-1][0][way[-1][1]] = deepcopy(draw(JUNK))
    return document


@settings(max_examples=300, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("version", [2, 3])
def test_no_broken_manifest_is_a_traceback(version: int, data: st.DataObject, manifest) -> None:
    whole = manifest(version, [f"{OUTSIDE}/{name}" for name in "ab"])
    member = {"@type": "sc:Collection", "@id": "c", "members": [whole, {"@id": "d", "@type": "sc:Manifest"}]}
    document = data.draw(broken(data.draw(st.sampled_from([whole, member]))))
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name, "m.json"), document)
        try:
            pages = list(Library([path], Path(name, "out")).pages())
        except UserError:
            return
        assert all(page.problem for page in pages)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_broken_description_of_an_image_is_a_traceback(data: st.DataObject) -> None:
    info = {
        "@context": ["http://iiif.io/api/image/2/context.json"],
        "profile": ["http://iiif.io/api/image/2/level0.json", {"maxWidth": 500, "maxArea": 10}],
        "width": 4000,
        "height": 6000,
        "sizes": [{"width": 40, "height": 60}],
    }
    try:
        assert all(ask.startswith("s/full/") for ask in image_request("s", data.draw(broken(info)), 1000))
    except ValueError as error:
        assert "width and height" in str(error)
