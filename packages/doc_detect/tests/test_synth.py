"""The page generator: exact boxes, reproducible, resumable, with fonts and pictures held out."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from doc_detect import synth as command
from doc_detect.classes import CLASSES
from doc_detect.settings.synth import SynthSettings
from doc_detect.synth import find_sources, make_page, split_of, synth
from doc_detect.synthesis import fonts
from doc_detect.synthesis.art import figures, initials, manuscript, ornament, render, shapes, stamps
from doc_detect.synthesis.canvas import Canvas, ink_box, side_by_side
from doc_detect.synthesis.layouts import article, catalogue, early_print, manuscripts
from doc_detect.synthesis.layouts.materials import Materials
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig


@pytest.fixture(scope="module")
def materials() -> Materials:
    """Return what every installation has: the fonts that come with matplotlib."""
    return Materials(fonts.FontBook(fonts.find_faces(None, False), "train"))


def settings(folder: Path, **changes: object) -> SynthSettings:
    """Return settings of a small job that needs no installed fonts."""
    base = SynthSettings(
        out=folder, pages=6, work=WorkConfig(1), long_side=320, val_share=0.34, system_fonts=False
    )
    return dataclasses.replace(base, **changes)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every picture and annotation of a folder."""
    kept = [*folder.glob("images/*"), folder / "train.json", folder / "val.json"]
    return {path.name: path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "pages"
    synth(settings(folder))
    return folder


def test_it_writes_coco_and_what_to_look_at(made: Path) -> None:
    names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    pictures = [f"images/{i:06d}.jpg" for i in range(6)]
    assert names == ["contact-sheet.jpg", "gallery.html", *pictures, "synth.json", "train.json", "val.json"]
    seen = set()
    for split in ("train", "val"):
        coco = json.loads((made / f"{split}.json").read_text())
        assert [category["name"] for category in coco["categories"]] == list(CLASSES)
        sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
        for image in coco["images"]:
            assert image["split"] == split and image["world"] == "early-print"
            pixels = cv2.imread(str(made / "images" / image["file_name"]))
            assert pixels.shape[:2] == (image["height"], image["width"])
        for annotation in coco["annotations"]:
            x, y, w, h = annotation["bbox"]
            width, height = sizes[annotation["image_id"]]
            assert 0 <= x and 0 <= y and w > 0 and h > 0 and x + w <= width + 0.02 and y + h <= height + 0.02
        seen |= set(sizes)
    assert len(seen) == 6


def test_two_workers_make_the_same_pages(made: Path, tmp_path: Path) -> None:
    synth(settings(tmp_path / "again", work=WorkConfig(2)))
    assert contents(tmp_path / "again") == contents(made)


def test_more_pages_begin_with_the_same_ones(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "grown"
    synth(settings(folder, pages=3))
    synth(settings(folder))  # three more
    assert contents(folder) == contents(made)


def test_a_killed_run_goes_on(made: Path, tmp_path: Path) -> None:
    """What is left after a kill: some pages with records, and one picture whose record was not written yet."""
    folder = tmp_path / "killed"
    synth(settings(folder, pages=4))
    for name in ("train.json", "val.json", "gallery.html", "images/000001.jpg"):
        (folder / name).unlink()
    (folder / "images" / "000005.jpg").write_bytes(b"half")
    synth(settings(folder))
    assert contents(folder) == contents(made)


def test_another_seed_makes_other_pages(made: Path, tmp_path: Path) -> None:
    synth(settings(tmp_path / "other", seed=1))
    assert contents(tmp_path / "other")["000000.jpg"] != contents(made)["000000.jpg"]


@pytest.mark.parametrize(
    ("change", "message"), [({"seed": 5}, "another seed"), ({"world": "article"}, "another world")]
)
def test_pages_of_other_settings_are_not_mixed(made: Path, change: dict, message: str) -> None:
    before = contents(made)
    with pytest.raises(UserError, match=message):
        synth(settings(made, **change))
    assert contents(made) == before


def test_pages_of_another_version_of_the_code_are_not_mixed(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(made)
    monkeypatch.setattr(command, "code_digest", lambda *modules: "of another version")
    with pytest.raises(UserError, match="was computed from another code .*choose another --out"):
        synth(settings(made))
    assert contents(made) == before


def test_another_picture_of_the_same_name_is_another_material(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    prints = []
    for content in (b"a", b"longer"):
        (pictures / "1.png").write_bytes(content)
        prints.append(find_sources(settings(tmp_path / "out", pictures=pictures)).fingerprint())
    assert prints[0] != prints[1]


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        synth(settings(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"pages": 0}, "--pages"), ({"long_side": 20}, "--long-side"), ({"val_share": 1.0}, "--val-share"),
     ({"pictures": Path("nowhere")}, "--pictures nowhere"), ({"fonts": Path("nowhere")}, "--fonts nowhere")],
)  # fmt: skip
def test_settings_that_make_no_pages_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(tmp_path, **change)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UserError, match="no pictures"):
        find_sources(settings(tmp_path / "out", pictures=tmp_path))


# --- pages


@pytest.mark.parametrize("world", ["early-print", "catalogue", "newspaper", "article", "all"])
def test_every_world_draws_boxes_that_fit_their_ink(world: str, materials: Materials, tmp_path: Path) -> None:
    """Each of a drawn object's four sides must touch ink, on the clean page."""
    names = set()
    for page in range(10):
        image, record = make_page(page, settings(tmp_path, world=world, ink=True, long_side=500), materials)
        for name, box in record["objects"]:
            names.add(name)
            x0, y0, x1, y1 = (round(value) for value in box)
            crop = image[y0:y1, x0:x1].min(axis=2)
            if name in ("graphic", "drop_capital", "stamp") and record["gutter"] is None:
                sides = (crop[0], crop[-1], crop[:, 0], crop[:, -1])
                assert all(side.min() < 216 for side in sides), (page, name, box)
    assert "graphic" in names and "main_text" in names
    assert names <= set(CLASSES)


def test_early_print_has_what_the_period_has(materials: Materials, tmp_path: Path) -> None:
    counts: dict[str, int] = {}
    kinds = set()
    for page in range(60):
        _, record = make_page(page, settings(tmp_path, ink=True, long_side=240), materials)
        kinds.add((record["kind"], record["gutter"] is not None))
        for name, _ in record["objects"]:
            counts[name] = counts.get(name, 0) + 1
    assert kinds == {("print", False), ("print", True), ("manuscript", False), ("manuscript", True)}
    expected = {
        "graphic",
        "drop_capital",
        "stamp",
        "main_text",
        "margin_text",
        "running_title",
        "page_number",
    }
    assert expected | {"title", "quire_mark"} <= set(counts)


PRINTED = (early_print.prose, early_print.opening, early_print.title_page, early_print.plate)
PRINTED += (early_print.ending, early_print.listing, early_print.blank)


@pytest.mark.parametrize("layout", PRINTED, ids=lambda f: f.__name__)
def test_every_printed_layout(layout, materials: Materials) -> None:
    for seed in range(4):
        generator = np.random.default_rng(seed)
        book = early_print.book(500, materials, generator)
        canvas = Canvas.blank(book.height, book.width)
        layout(canvas, book, materials, materials.writer(generator, "french"), generator)
        if layout is not early_print.blank:
            assert canvas.ink.min() < 100 and canvas.objects
        for _, (x0, y0, x1, y1) in canvas.objects:
            assert 0 <= x0 < x1 <= canvas.width and 0 <= y0 < y1 <= canvas.height


@pytest.mark.parametrize("module", [manuscripts, article, catalogue], ids=lambda m: m.__name__.split(".")[-1])
def test_other_layouts(module, materials: Materials) -> None:
    for seed in range(6):
        canvas = module.page(400, materials, np.random.default_rng(seed))
        assert canvas.height == 400 and canvas.ink.dtype == np.uint8


def test_pictures_of_the_user_are_set_and_held_out(materials: Materials, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(40):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((40, 60, 3), (255, 0, 255), np.uint8))
    sources = find_sources(settings(tmp_path / "out", pictures=folder))
    train, val = sources.materials("train").pictures, sources.materials("val").pictures
    assert train and val and not set(train) & set(val) and len(train) + len(val) == 40
    mine = Materials(materials.fonts, train)
    drawn = [mine.picture(30, 30, np.random.default_rng(s), "woodcut") for s in range(20)]
    magenta = [art for art in drawn if (art == (255, 0, 255)).all()]
    assert 3 < len(magenta) < 17  # about half


def test_a_broken_picture_is_replaced_by_a_drawn_one(materials: Materials, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    mine = Materials(materials.fonts, (tmp_path / "broken.png", tmp_path / "empty.png"))
    for seed in range(6):
        assert mine.picture(30, 40, np.random.default_rng(seed), "woodcut").shape == (30, 40, 3)


# --- fonts


def face(family: str, style: str = "roman", bold: bool = False) -> fonts.Face:
    return fonts.Face(f"/{family}-{style}.ttf", family, style, bold)


def test_fonts_are_held_out_by_family() -> None:
    faces = [face(f"Family{k} {cut}") for k in range(10) for cut in ("Text", "Display")]
    train = {f.family.split()[0] for f in fonts.FontBook(faces, "train").faces("roman")}
    val = {f.family.split()[0] for f in fonts.FontBook(faces, "val").faces("roman")}
    assert not train & val and len(train) == 8 and len(val) == 2


def test_a_style_that_is_not_installed_has_a_stand_in() -> None:
    book = fonts.FontBook([face("Plain")], "train")
    assert book.choose(np.random.default_rng(0), "blackletter").family == "Plain"
    assert not book.faces("initials")  # there is none: layouts then draw no such initial


def test_matplotlibs_fonts_are_enough() -> None:
    found = fonts.find_faces(None, False)
    assert {"roman", "italic", "sans"} <= {f.style for f in found}
    text = [f for f in found if f.style != "typewriter"]
    assert not [f for f in text if "mono" in f.family.lower() or "siz" in f.path.lower()]


def test_splits_are_spread_evenly() -> None:
    assert [split_of(page, 0.25) for page in range(8)].count("val") == 2
    assert split_of(0, 0.0) == "train"


# --- art


@pytest.mark.parametrize("style", render.STYLES)
def test_every_style_renders_every_scene(style: str) -> None:
    for make in (shapes.landscape, shapes.crowd, shapes.portrait, shapes.seascape, shapes.beast):
        generator = np.random.default_rng(1)
        art = render.STYLES[style](make(0.7, generator), 90, 63, generator)
        assert art.shape == (90, 63, 3) and art.dtype == np.uint8 and art.min() < 200


@pytest.mark.parametrize("size", [(6, 6), (14, 200), (120, 90)])
def test_ornament_has_the_wanted_size_down_to_the_smallest(size: tuple[int, int]) -> None:
    for make in (ornament.headpiece, ornament.band, ornament.tailpiece, ornament.any_motif):
        for seed in range(3):
            assert make(*size, np.random.default_rng(seed)).shape == size, make.__name__


def test_figures_stand_whole_in_foliage() -> None:
    beast = np.zeros((60, 40), np.uint8)
    for seed in range(8):
        art = ornament.peopled(100, 300, np.random.default_rng(seed), [beast])
        solid = cv2.erode((art < 128).astype(np.uint8), np.ones((30, 20), np.uint8))
        inverted = cv2.erode((art > 128).astype(np.uint8), np.ones((30, 20), np.uint8))
        assert art.shape == (100, 300) and (solid.any() or inverted.any())


def test_hatching_is_darker_where_the_tone_is() -> None:
    tone = np.tile(np.linspace(0.1, 0.9, 200, dtype=np.float32), (80, 1))
    ink = render.hatch(tone, 5, np.random.default_rng(0))
    assert ink[:, :50].mean() + 40 < ink[:, 75:125].mean() < ink[:, 150:].mean() - 20


@pytest.mark.parametrize("kind", ["plain", "block", "flourished", "painted"])
def test_initials_are_as_tall_as_asked(kind: str, materials: Materials) -> None:
    generator = np.random.default_rng(0)
    path = materials.face(generator, "roman")
    make = {
        "plain": lambda: initials.plain("A", 40, path, (0, 0, 0)),
        "block": lambda: initials.block("B", 40, path, generator, (0, 0, 0), materials),
        "flourished": lambda: initials.flourished("C", 40, path, generator),
        "painted": lambda: initials.painted("D", 40, path, generator),
    }[kind]
    art = make()
    assert 40 <= art.shape[0] <= 57 and art.shape[2] == 3 and art.min() < 120


def test_the_rest_of_the_art_draws(materials: Materials) -> None:
    generator = np.random.default_rng(4)
    path = materials.face(generator, "roman")
    arts = [stamps.stamp(60, path, generator) for _ in range(8)]
    arts += [make(80, 100, generator, path) for make in figures.FIGURES]
    scene = materials.scene(0.75, generator)
    arts += [make(scene, 60, 80, generator) for make in (manuscript.miniature, manuscript.drawing)]
    arts.append(manuscript.foliate_border(60, 80, generator))
    assert all(art.ndim == 3 and art.min() < 200 for art in arts)


# --- canvas


def test_the_box_of_ink() -> None:
    page = np.full((20, 30), 255, np.uint8)
    page[4:9, 10:25] = 0
    assert ink_box(page) == (10, 4, 25, 9)
    assert ink_box(np.full((5, 5), 255, np.uint8)) is None


def test_what_reaches_over_the_edge_is_cut_with_its_box() -> None:
    canvas = Canvas.blank(50, 40)
    art = np.zeros((20, 20), np.uint8)
    assert canvas.place(art, -8, 40, "graphic") == (0, 40, 12, 50)
    assert canvas.place(art, 200, 10, "graphic") is None
    assert canvas.objects == [("graphic", (0, 40, 12, 50))]


def test_an_opening_moves_the_right_page() -> None:
    left, right = Canvas.blank(30, 40), Canvas.blank(20, 60)
    right.place(np.zeros((5, 5), np.uint8), 1, 2, "stamp")
    opening = side_by_side(left, right)
    assert opening.ink.shape == (30, 100, 3) and opening.gutter == 0.4
    assert opening.objects == [("stamp", (41, 2, 46, 7))]
