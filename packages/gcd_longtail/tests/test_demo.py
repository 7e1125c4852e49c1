import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcd_longtail import demo as module
from gcd_longtail.demo import Naming, Pile, main
from gcd_longtail.figures.demo_pictures import (
    MOST_GROUPS,
    group_strips,
    members,
    naming_picture,
    spread,
    strip,
)
from gcd_longtail.reviewing.decisions import read_decisions
from seminar_common.demos import DemoSettings
from seminar_common.results import read_results


def test_the_demo_finds_digits_that_nobody_named_and_naming_them_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "METHODS", ("ward",))
    main(DemoSettings(out=tmp_path / "demo"))
    folder = tmp_path / "demo" / "gcd_longtail"
    results = read_results(folder)
    assert abs(results.one(metric="k_estimated").value - 10) <= 1
    assert results.one(split="transductive", metric="macro_novel").value > 0.6
    assert any("There are 10." in note for note in results.notes)
    assert "novel-1" in (folder / "found" / "gallery.html").read_text()
    decisions = read_decisions(folder / "found" / "decisions.jsonl")
    before, after = (results.one(metric="named_macro_all", decisions=count) for count in (0, len(decisions)))
    assert after.value > before.value + 0.3
    assert before.ci_low < before.value < before.ci_high < after.ci_low
    index = (tmp_path / "demo" / "index.html").read_text()
    assert f"{100 * after.value:.1f}%" in index and f"after {len(decisions)} answers" in index
    links = re.findall(r'href="(gcd_longtail/[^"]+)"', index)
    assert len(links) == 3 and all((tmp_path / "demo" / link).is_file() for link in links)


def naming() -> Naming:
    """Four images of a common class and one of a rare one."""
    truth = np.array(["a", "a", "a", "a", "b"])
    before = np.array(["a", "a", "novel-1", "a", "novel-1"])
    after = np.array(["a", "a", "b", "a", "b"])
    return Naming(truth, before, after, np.zeros(5, bool), 3, {"novel-1": "b"})


def test_a_rare_class_counts_as_much_as_a_common_one_and_a_nameless_one_counts_as_wrong() -> None:
    before, after = naming().rows("digits", "ward")
    assert before.value == pytest.approx((3 / 4 + 0) / 2) and before.get("decisions") == 0
    assert after.value == pytest.approx((3 / 4 + 1) / 2) and after.get("decisions") == 3
    assert after.ci_low < after.value <= after.ci_high


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    """Three pictures, a wide one, a tall one and a tiny one."""
    for name, size in (("wide", (90, 30)), ("tall", (10, 80)), ("tiny", (8, 8))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    return tmp_path


def test_a_strip_holds_pictures_of_any_shape(pile: Path) -> None:
    picture = pile / "strip"
    picture.write_bytes(strip(pile, ["wide.png", "tall.png", "tiny.png"], columns=2))
    with Image.open(picture) as opened:
        assert opened.size == (83, 83)
        corners = [opened.getpixel(place) for place in ((39, 12), (39, 14), (44, 39), (49, 39), (39, 82))]
    assert [corner[3] > 0 for corner in corners] == [True, False, True, False, True]


def rows() -> list[dict[str, str]]:
    shown = [("5", "wide.png", "yes"), ("5", "tall.png", "no"), ("novel-1", "tiny.png", "no")]
    return [{"name": name, "image": image, "labelled": labelled} for name, image, labelled in shown]


def test_captions_count_what_had_no_label(pile: Path) -> None:
    truth = {"wide.png": "5", "tall.png": "3", "tiny.png": "<7>"}
    assert members(rows()) == {"5": ["tall.png"], "novel-1": ["tiny.png"]}
    captions = [shot.caption for shot in group_strips(rows(), pile, truth)]
    assert captions == ["5: 1 images, 1 of them 3", "novel-1: 1 images, 1 of them <7>"]
    drawn = naming_picture(rows(), pile, {"novel-1": "<7>"})
    assert b"&lt;7&gt;" in drawn.image and b"novel-1" in drawn.image and b">5<" not in drawn.image
    assert drawn.caption == "Groups of images and their names: novel-1 is <7>"


def test_of_many_groups_the_largest_are_shown(pile: Path) -> None:
    many = [
        {"name": f"novel-{i:02d}", "image": "tiny.png", "labelled": "no"} for i in range(30) for _ in range(i)
    ]
    shots = group_strips(many, pile, {"tiny.png": "7"})
    assert len(shots) == MOST_GROUPS and shots[0].caption == "novel-29: 29 images, 29 of them 7"
    assert (
        b"a_long_nam\xe2\x80\xa6" in naming_picture(many, pile, {"novel-29": "a_long_name_of_a_class"}).image
    )


def test_images_are_spread_from_the_first_to_the_last() -> None:
    assert spread(list("abcdefghij"), 4) == ["a", "d", "g", "j"]
    assert spread(["a"], 4) == ["a"]


def test_the_pile_is_what_discover_takes(tmp_path: Path) -> None:
    from gcd_longtail.features import features
    from gcd_longtail.images.labels_file import read_labels
    from gcd_longtail.protocol.data import load
    from gcd_longtail.settings.commands import FeaturesSettings
    from gcd_longtail.split import split

    split(module._split_settings(tmp_path, None))
    features(FeaturesSettings(tmp_path / "data", module.PIXELS, cache=tmp_path / "features"))
    data = load(tmp_path / "data")
    written = Pile.write(data, tmp_path)
    keys = sorted(path.name for path in written.images.iterdir())
    assert keys == sorted(written.truth) and len(keys) == len(data.where("L")) + len(data.where("U"))
    known = read_labels(written.labels, written.images, keys, ())
    named = {key: known.classes[label] for key, label in zip(keys, known.labels, strict=True) if label >= 0}
    assert named == {key: written.truth[key] for key in written.labelled}
