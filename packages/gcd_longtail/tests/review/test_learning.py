import dataclasses
import time
from typing import Any

import numpy as np
import pytest

from gcd_longtail.discovery.methods import make_method
from gcd_longtail.discovery.predictors import nearest_centroid
from gcd_longtail.discovery.problem import Discovered, Problem
from gcd_longtail.reviewing.decisions import decision
from gcd_longtail.reviewing.learning import Before, Lesson, learn, obey

CLASSES = {
    "a1": "cat", "a2": "cat", "b1": "dog", "b2": "dog",
    "c1": "novel-1", "c2": "novel-1", "c3": "novel-1", "c4": "novel-1",
    "d1": "novel-2", "d2": "novel-2", "e1": "novel-3", "e2": "novel-3",
}  # fmt: skip
BEFORE = Before(
    ("cat", "dog", "novel-1", "novel-2", "novel-3", "novel-4"),  # the last has no image
    ("cat", "dog"),
    CLASSES,
    frozenset({"a1", "b1"}),
    {key: -float(key[1]) for key in CLASSES},
)


def lesson(*lines: dict[str, Any], before: Before = BEFORE) -> Lesson:
    return learn(before, [decision({"id": str(number), **line}) for number, line in enumerate(lines)])


def by_name(one: Lesson) -> dict[str, set[str]]:
    """Return the labelled images of each class by its name."""
    found: dict[str, set[str]] = {name: set() for name in one.classes}
    for key, number in one.labels.items():
        found[one.classes[number]].add(key)
    return found


NAME = {"action": "name", "cluster": "novel-2", "name": "fox", "shown": ["d1"]}


def test_without_decisions_the_labels_are_those_of_before() -> None:
    one = lesson()
    assert by_name(one) == {"cat": {"a1"}, "dog": {"b1"}}
    assert (one.k, one.settled, one.left_out, one.forbidden) == (6, frozenset(), frozenset(), ())


def test_a_named_class_is_a_known_one_after_those_of_before() -> None:
    one = lesson(NAME, {"action": "keep", "cluster": "dog", "shown": ["b2"]})
    assert by_name(one) == {"cat": {"a1"}, "dog": {"b1", "b2"}, "fox": {"d1"}}
    assert one.classes == ("cat", "dog", "fox") and one.k == 6
    assert one.settled == {"fox", "dog"} and one.renamed == {"novel-2": "fox"}


def test_a_class_that_gets_a_known_name_lends_it_its_exemplars_and_counts_no_more() -> None:
    one = lesson({**NAME, "name": "cat"})
    assert by_name(one) == {"cat": {"a1", "d1"}, "dog": {"b1"}} and one.k == 5


def test_merged_classes_are_one_class_without_a_name() -> None:
    one = lesson(
        {"action": "merge", "clusters": ["novel-1", "novel-3"], "into": "novel-1", "shown": ["c1", "e1"]}
    )
    assert by_name(one)["novel-1"] == {"c1", "e1"} and one.k == 5 and one.settled == {"novel-1"}


def test_after_a_split_the_most_central_rest_stands_for_the_old_class() -> None:
    one = lesson({"action": "split", "cluster": "novel-1", "images": ["c2"], "new": "novel-1b"})
    assert by_name(one) == {"cat": {"a1"}, "dog": {"b1"}, "novel-1": {"c1", "c3", "c4"}, "novel-1b": {"c2"}}
    assert one.k == 7


def test_a_class_that_was_split_up_altogether_is_gone() -> None:
    one = lesson({"action": "split", "cluster": "novel-2", "images": ["d1", "d2"], "new": "moved"})
    assert by_name(one)["moved"] == {"d1", "d2"} and "novel-2" not in one.classes and one.k == 6
    assert one.settled == {"moved"}  # a new class may have the name of the one that is gone


def test_a_rejected_class_is_left_out_with_its_labels() -> None:
    one = lesson({"action": "reject", "cluster": "cat"}, {"action": "reject", "cluster": "novel-3"})
    assert by_name(one) == {"dog": {"b1"}} and one.k == 4
    assert one.left_out == {"a1", "a2", "e1", "e2"} and one.settled == frozenset()


def test_single_images_are_labels_and_may_make_a_class() -> None:
    one = lesson(
        {"action": "is", "images": ["c4"], "name": "owl"}, {"action": "is", "images": ["a1"], "name": "dog"}
    )
    assert by_name(one) == {"dog": {"a1", "b1"}, "owl": {"c4"}}
    assert one.k == 7  # the cat is without labels now, but still a class


def test_what_an_image_is_not_holds_for_classes_with_and_without_labels() -> None:
    one = lesson(
        {"action": "not", "cluster": "cat", "images": ["a1", "a2"]},
        {"action": "not", "cluster": "novel-1", "images": ["c4"]},
        {"action": "keep", "cluster": "cat", "shown": []},
        {"action": "not", "cluster": "dog", "images": ["b2"]},
    )
    assert by_name(one) == {"dog": {"b1"}}  # no image of a cat is left
    assert one.forbidden == (("b2", "dog"),)
    assert one.apart == (("c4", ("c1", "c2", "c3")),)


def test_what_was_decided_before_still_holds() -> None:
    before = dataclasses.replace(
        BEFORE,
        settled=frozenset({"dog", "novel-2"}),
        rejected=frozenset({"z1"}),
        forbidden=(("c1", "dog"), ("c2", "gone")),
    )
    one = lesson(NAME, before=before)
    assert one.settled == {"dog", "fox"} and one.left_out == {"z1"} and one.forbidden == (("c1", "dog"),)


def test_many_images_and_decisions_are_learned_from_in_seconds() -> None:
    keys = [f"{i}" for i in range(100_000)]
    names = ("cat", *(f"novel-{i}" for i in range(2000)))
    classes = {key: names[i % len(names)] for i, key in enumerate(keys)}
    before = Before(names, ("cat",), classes, frozenset({"0"}), dict.fromkeys(keys, 0.0))
    lines = [{"action": "name", "cluster": name, "name": f"name of {name}"} for name in names[1:1001]]
    lines += [{"action": "not", "cluster": classes[key], "images": [key]} for key in keys[50_000:52_000]]
    started = time.process_time()
    one = lesson(*lines, before=before)
    assert time.process_time() - started < 5
    assert len(one.classes) == 1001 and len(one.forbidden) + len(one.apart) == 2000


def blobs(counts: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return well separated rows, float32 [N, 16], and their classes."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = generator.normal(0, 4, (len(counts), 16))
    return (centres[labels] + generator.normal(0, 0.5, (len(labels), 16))).astype(np.float32), labels


def test_a_forbidden_class_gives_way_to_the_next_best() -> None:
    centres = np.array([[0.0], [1.0], [5.0]])
    found = Discovered(np.array([0, 0, 2, 2]), nearest_centroid(centres))
    features = np.array([[0.1], [0.2], [4.9], [5.1]], np.float32)
    one = Lesson(
        ("cat",),
        {},
        frozenset(),
        3,
        frozenset(),
        (("u1", "cat"), ("gone", "cat"), ("u0", "lost")),
        (("u3", ("u2", "u3")),),
    )
    got, pairs = obey(found, features, ["u0", "u1", "u2", "u3"], one, ["cat", "novel-1", "novel-2"])
    assert got.assignments.tolist() == [0, 1, 2, 1]
    assert pairs == (("u1", "cat"), ("u3", "novel-2"))


def test_an_image_to_which_every_class_is_forbidden_stays() -> None:
    found = Discovered(np.array([0]), nearest_centroid(np.array([[0.0]])))
    one = Lesson(("cat",), {}, frozenset(), 1, frozenset(), (("u", "cat"),))
    assert obey(found, np.zeros((1, 1), np.float32), ["u"], one, ["cat"])[0].assignments.tolist() == [0]


@pytest.mark.parametrize("method", ["kmeans", "ss-kmeans", "supervised", "ward"])
def test_methods_learn_from_decisions(method: str) -> None:
    features, labels = blobs([20, 20, 20, 20, 12])
    keys = [f"{label}-{i}" for i, label in enumerate(labels)]
    known = dict(zip(keys, labels.tolist(), strict=True))
    classes = {key: ("cat", "dog", "novel-1", "novel-1", "novel-2")[label] for key, label in known.items()}
    before = Before(
        ("cat", "dog", "novel-1", "novel-2"),
        ("cat", "dog"),
        classes,
        frozenset(key for i, key in enumerate(keys) if labels[i] < 2 and i % 2),
        dict.fromkeys(keys, 0.0),
    )
    split_off = [key for key in keys if known[key] == 3][:3]
    one = lesson(
        {"action": "split", "cluster": "novel-1", "images": split_off, "new": "owl"},
        {"action": "is", "images": [key for key in keys if known[key] == 2][:3], "name": "novel-1"},
        before=before,
    )
    given = np.array([one.labels.get(key, -1) for key in keys])
    problem = Problem(features[given >= 0], given[given >= 0], features[given < 0], len(one.classes))
    found = make_method(method).fit(problem, one.k, 0)
    assert one.classes == ("cat", "dog", "novel-1", "owl") and one.k == 5
    expected = np.array([0, 1, 2, 3, 4])[labels[given < 0]]
    right = found.assignments == expected
    # k-means alone gives known classes their numbers by a vote of their labels, three here.
    assert right.mean() > (0.95 if method in ("ss-kmeans", "ward") else 0.6)
