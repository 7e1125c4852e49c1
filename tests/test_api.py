"""The interface does not change unseen."""

import difflib

import api


def test_the_interface_is_the_one_that_is_written_down() -> None:
    written, there = api.SNAPSHOT.read_text(encoding="utf-8").splitlines(), api.text().splitlines()
    changes = [
        line for line in difflib.unified_diff(written, there, "tests/api.txt", "the code", lineterm="", n=0)
    ]
    assert not changes, "\n".join(
        ["run `python tools/api.py`, and say in CHANGELOG.md what users have to know:", *changes]
    )


def test_it_holds_options_with_defaults_and_names_with_parameters() -> None:
    lines = api.text().splitlines()
    assert "recsys-bnn score --model = (required)" in lines
    assert "gcd-longtail split --imbalance-ratio = 0" in lines
    assert "doc_detect.Detector.each(scans, *, min_score=0.0, errors='raise')" in lines
    assert "doc-detect adapt --steps = 100" in lines  # of the first preset
    assert not [line for line in lines if " at 0x" in line or "/home" in line]
