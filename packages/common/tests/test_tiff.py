"""The chain of a TIFF's frames is walked once, whatever it is like, and any frame opens by itself."""

from pathlib import Path

import numpy as np
import pytest

from seminar_common import tiff
from seminar_common.images import BadImage, read_image, tiff_pages

pytest.importorskip("PIL")


@pytest.fixture(autouse=True)
def odd(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import odd_images

    return odd_images


def shade(number: int) -> np.ndarray:
    return np.full((6, 5), 10 * number, np.uint8)


@pytest.mark.parametrize(
    ("order", "big"), [("<", False), (">", False), ("<", True)]
)  # Pillow reads no fourth
@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_every_frame_comes_by_its_number(order: str, big: bool, as_file: bool, odd, tmp_path: Path) -> None:
    data = odd.tiff(*(odd.Frame(shade(number)) for number in range(4)), order=order, big=big)
    (tmp_path / "book.tif").write_bytes(data)
    source = tmp_path / "book.tif" if as_file else data
    assert tiff_pages(source) == [0, 1, 2, 3]
    assert [int(read_image(source, frame=n).pixels[0, 0, 0]) for n in (3, 0, 2, 1)] == [30, 0, 20, 10]


def test_frames_that_libtiff_decodes_come_by_their_number(tmp_path: Path) -> None:
    from PIL import Image

    pages = [Image.fromarray(shade(number)) for number in range(4)]
    pages[0].save(tmp_path / "book.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    for source in (tmp_path / "book.tif", (tmp_path / "book.tif").read_bytes()):
        assert [int(read_image(source, frame=n).pixels[0, 0, 0]) for n in (3, 0, 2, 1)] == [30, 0, 20, 10]


def test_previews_and_masks_are_no_pages(odd) -> None:
    kinds = [0, 1, 4, 2, 0]
    data = odd.tiff(*(odd.Frame(shade(number), subfile=kind) for number, kind in enumerate(kinds)))
    assert tiff_pages(data) == [0, 3, 4]


def test_a_chain_that_comes_back_to_itself_ends(odd) -> None:
    plain = odd.tiff(odd.Frame(shade(1)), odd.Frame(shade(2)))
    first, second = tiff.frames(plain)
    for back in (first.offset, second.offset):
        assert tiff_pages(odd.tiff(odd.Frame(shade(1)), odd.Frame(shade(2)), last_next=back)) == [0, 1]


def test_of_a_chain_that_leads_out_of_the_file_the_last_page_fails_alone(odd) -> None:
    data = odd.tiff(odd.Frame(shade(1)), odd.Frame(shade(2)), last_next=10**6)
    assert tiff_pages(data) == [0, 1, 2]
    assert int(read_image(data, frame=1).pixels[0, 0, 0]) == 20
    with pytest.raises(BadImage):
        read_image(data, frame=2)


def test_a_page_that_is_not_there_is_one_line(odd) -> None:
    with pytest.raises(BadImage, match="there is no page 9 in it; it has 1"):
        read_image(odd.tiff(odd.Frame(shade(1))), frame=8)


def test_each_directory_is_read_once_for_all_pages(
    odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, pages = tmp_path / "book.tif", 50
    path.write_bytes(odd.tiff(*(odd.Frame(shade(number % 20)) for number in range(pages))))
    read, walked = tiff._read_directory, []
    monkeypatch.setattr(tiff, "_read_directory", lambda *at: walked.append(at[1]) or read(*at))
    for frame in tiff_pages(path):
        assert int(read_image(path, frame=frame).pixels[0, 0, 0]) == 10 * (frame % 20)
    assert len(walked) == pages
    path.write_bytes(odd.tiff(odd.Frame(shade(3)), odd.Frame(shade(7))))
    assert [int(read_image(path, frame=n).pixels[0, 0, 0]) for n in tiff_pages(path)] == [30, 70]
