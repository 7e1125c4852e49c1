import numpy as np

from gcd_longtail.reviewing.learning import Before
from gcd_longtail.reviewing.simulated import View, decide, doubtful_images, margin_doubt, random_images

TRUTH = {
    **{f"c{i}": "fox" for i in range(5)},
    "c5": "owl",
    **{f"d{i}": name for i, name in enumerate(("fox", "elk", "cat", "elk"))},
    **{f"e{i}": name for i, name in enumerate(("elk", "elk", "bat"))},
    "f0": "ant",
    **{f"a{i}": name for i, name in enumerate(("cat", "cat", "dog"))},
    **{f"b{i}": "dog" for i in range(3)},
}
RUN = {"a": "cat", "b": "dog", "c": "novel-1", "d": "novel-2", "e": "novel-3", "f": "novel-4"}


def view(settled: frozenset[str] = frozenset()) -> View:
    """Return classes in which a smaller number is more central, and a larger one more doubtful."""
    classes = {key: RUN[key[0]] for key in TRUTH}
    central = {key: -float(key[1]) for key in TRUTH}
    before = Before(tuple(RUN.values()), ("cat", "dog"), classes, frozenset({"a0"}), central, settled)
    return View(before, {key: float(key[1]) + (key[0] == "b") for key in TRUTH if key != "a0"})


def said(lines: list[dict]) -> list[tuple]:
    return [
        (one["action"], one.get("name", one.get("cluster")), *one.get("shown", one.get("images")))
        for one in lines
    ]


def test_the_person_names_by_three_images_and_then_looks_at_doubtful_ones() -> None:
    assert said(decide(view(), TRUTH, 100)) == [
        ("name", "fox", "c0", "c1", "c2"),  # the largest; nobody sees that c5 is an owl
        ("is", "elk", "d1"),  # three categories: fox and cat have names already
        ("name", "elk", "e0", "e1", "e2"),
        ("is", "bat", "e2"),
        ("name", "ant", "f0"),
        ("keep", "dog", "b2", "b1", "b0"),  # has more doubt than the cat
        ("is", "dog", "a2"),
    ]


def test_the_person_stops_after_so_many_decisions_and_skips_what_is_settled() -> None:
    assert [one["id"] for one in decide(view(), TRUTH, 2, start=7)] == ["7", "8"]
    assert ("keep", "dog", "b2", "b1", "b0") not in said(decide(view(frozenset({"dog"})), TRUTH, 100))


def test_where_all_differ_and_have_names_the_most_central_one_is_told() -> None:
    truth = TRUTH | {"d0": "cat", "d1": "dog", "d2": "fox"}
    assert said(decide(view(), truth, 2))[1] == ("is", "cat", "d0")


def test_only_images_that_are_shown_are_looked_at() -> None:
    class Looked(dict):
        def __getitem__(self, key: str) -> str:
            seen.add(key)
            return super().__getitem__(key)

    seen: set[str] = set()
    decide(view(), Looked(TRUTH), 1)
    assert seen == {"c0", "c1", "c2"}


def test_more_random_labels_begin_with_the_fewer() -> None:
    keys = list(TRUTH)
    assert random_images(keys, 9, 0, 1)[:4] == random_images(keys, 4, 0, 1)
    assert random_images(keys, 9, 0, 1) != random_images(keys, 9, 0, 2)
    assert len(random_images(keys, 999, 0, 0)) == len(keys)


def test_doubtful_images_have_the_smallest_margins() -> None:
    doubt = margin_doubt(np.array([[0.0, 1.0, 5.0], [3.0, 3.0, 0.0], [0.0, 2.0, 1.0]]))
    assert doubt.argmax() == 1 and doubt.argmin() == 0 and doubt[1] == 1
    assert doubtful_images(view(), 2) == ["c5", "c4"]
