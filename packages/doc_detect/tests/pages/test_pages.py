import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from doc_detect.pages import BadPage, PageRef, ReadOptions, common_root, find_files, page_refs, read_page
from seminar_common.errors import UserError

WIDTH, HEIGHT = 300, 420
MARK = (30, 60, 120, 200)  # x1, y1, x2, y2 of the dark rectangle on every test page


@pytest.fixture
def picture(paint) -> Image.Image:
    """A page with a dark rectangle off the centre, so that a turn or a mirror shows."""
    return Image.fromarray(paint(WIDTH, HEIGHT, graphic=MARK))


def mark_of(pixels: np.ndarray) -> np.ndarray:
    """Return the extent of what is dark, as fractions of the page."""
    dark = Image.fromarray(pixels.mean(axis=2) < 120)
    return np.divide(dark.getbbox(), dark.size * 2)


EXPECTED = tuple(np.divide(MARK, (WIDTH, HEIGHT, WIDTH, HEIGHT)))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_page_is_upright_and_counts_its_own_pixels(
    orientation: int, picture: Image.Image, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    picture.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    (ref,) = page_refs(tmp_path / "photo.jpg")
    page = read_page(ref, 140)
    x1, y1, x2, y2 = EXPECTED
    turned = orientation == 6  # by a quarter clockwise
    assert (page.width, page.height) == ((HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT))
    assert page.pixels.shape == ((100, 140, 3) if turned else (140, 100, 3))
    np.testing.assert_allclose(
        mark_of(page.pixels), (1 - y2, x1, 1 - y1, x2) if turned else EXPECTED, atol=0.02
    )


def broken(path: Path, kind: str, picture: Image.Image) -> None:
    buffer = io.BytesIO()
    picture.save(
        buffer, {"jpg": "jpeg", "tif": "tiff", "jp2": "jpeg2000"}.get(path.suffix[1:], path.suffix[1:])
    )
    data = buffer.getvalue()
    match kind:
        case "empty":
            path.touch()
        case "truncated":
            path.write_bytes(data[: len(data) * 2 // 3])
        case "head":
            path.write_bytes(data[:30])
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(5000))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "jp2", "pdf"])
@pytest.mark.parametrize("kind", ["empty", "truncated", "head", "noise"])
def test_a_broken_file_is_reported_in_one_line(
    suffix: str, kind: str, picture: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / f"page.{suffix}"
    broken(path, kind, picture)
    if (suffix, kind) == ("pdf", "truncated"):
        pytest.skip("PDFium mends a PDF that lacks its end")
    with pytest.raises(BadPage) as error:
        for ref in page_refs(path):
            read_page(ref, 140)
    assert "\n" not in str(error.value) and len(str(error.value)) > 10


def test_a_file_that_has_gone_is_reported(tmp_path: Path) -> None:
    for name in ("gone.jpg", "gone.pdf", "gone.tif"):
        with pytest.raises(BadPage, match="No such file"):
            for ref in page_refs(tmp_path / name):
                read_page(ref)


def encrypted_pdf() -> bytes:
    """Return a PDF whose standard security handler asks for a user password (PDF 1.4, 7.6.3)."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>",
        b"<< /Filter /Standard /V 1 /R 2 /Length 40 /P -4 /O <"
        + b"31" * 32
        + b"> /U <"
        + b"42" * 32
        + b"> >>",
    ]
    return assemble(objects, b"/Encrypt 4 0 R /ID [<00><00>]")


def assemble(objects: list[bytes], trailer: bytes = b"") -> bytes:
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        body
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n"
        % (
            len(objects) + 1,
            table,
            len(objects) + 1,
            trailer,
            len(body),
        )
    )


def test_an_encrypted_or_empty_pdf_is_reported(tmp_path: Path) -> None:
    (tmp_path / "locked.pdf").write_bytes(encrypted_pdf())
    none = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>"]
    (tmp_path / "none.pdf").write_bytes(assemble(none))
    for _ in range(2):  # what is wrong with one document says nothing of the next
        with pytest.raises(BadPage, match="encrypted PDF; save it without its password"):
            page_refs(tmp_path / "locked.pdf")
        with pytest.raises(BadPage, match="without a page"):
            page_refs(tmp_path / "none.pdf")


@pytest.fixture
def pdf(picture: Image.Image, tmp_path: Path) -> Path:
    """A PDF of three pages with the test picture: plain, turned by 90 degrees, and cropped to its left half."""
    path: Path = tmp_path / "three.pdf"
    picture.save(path, save_all=True, append_images=[picture.copy(), picture.copy()], resolution=72)
    document = pypdfium2.PdfDocument(path)
    document[1].set_rotation(90)
    document[2].set_cropbox(0, 0, WIDTH / 2, HEIGHT)
    changed = tmp_path / "changed.pdf"
    document.save(changed)
    return changed


def test_a_pdf_is_rendered_at_fixed_pixels_as_its_viewer_shows_it(pdf: Path) -> None:
    refs = page_refs(pdf)
    assert [ref.number for ref in refs] == [1, 2, 3]
    options = ReadOptions(pdf_pixels=840)
    plain, turned, cropped = (read_page(ref, 140, options) for ref in refs)
    assert (plain.width, plain.height) == (600, 840) and plain.pixels.shape == (140, 100, 3)
    np.testing.assert_allclose(mark_of(plain.pixels), EXPECTED, atol=0.02)
    # A quarter turn clockwise: what was at the left is at the top, what was at the bottom is at the left.
    assert (turned.width, turned.height) == (840, 600)
    x1, y1, x2, y2 = EXPECTED
    np.testing.assert_allclose(mark_of(turned.pixels), (1 - y2, x1, 1 - y1, x2), atol=0.02)
    assert (cropped.width, cropped.height) == (300, 840)
    np.testing.assert_allclose(mark_of(cropped.pixels), (2 * x1, y1, 2 * x2, y2), atol=0.02)
    assert read_page(refs[0], None, options).pixels.shape == (840, 600, 3)


def test_a_tiff_of_several_pages_leaves_out_previews(picture: Image.Image, tmp_path: Path) -> None:
    small = picture.resize((60, 84))
    small.encoderinfo = {"tiffinfo": {254: 1}}  # NewSubfileType: a reduced copy of another frame
    picture.save(tmp_path / "book.tif", save_all=True, append_images=[small, picture.resize((420, 300))])
    refs = page_refs(tmp_path / "book.tif")
    assert [ref.number for ref in refs] == [1, 3]
    assert (read_page(refs[1]).width, read_page(refs[1]).height) == (420, 300)


def test_a_scan_of_30000_pixels_is_refused_before_its_memory_is_asked_for(tmp_path: Path) -> None:
    # A PNG that says it has 30,000 x 30,000 pixels and holds none of them.
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(BadPage, match="30000 x 30000 pixels, over the limit of 256 megapixels"):
        read_page(PageRef(tmp_path / "bomb.png"), 448)


def test_a_scan_of_72_megapixels_is_read_like_any_other(tmp_path: Path) -> None:
    Image.new("1", (8000, 9000), 1).save(tmp_path / "large.png")
    page = read_page(PageRef(tmp_path / "large.png"), 448)
    assert (page.width, page.height) == (8000, 9000) and max(page.pixels.shape) < 8000


def test_folders_are_searched_and_files_listed_once(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.JPG", "a.tif", "c/Ü.pdf", "c/.hidden.jpg", ".cache/x.jpg", "c/read.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    every = [str(tmp_path / name) for name in ("a.tif", "b/10.JPG", "b/2.jpg", "c/Ü.pdf")]
    assert find_files([tmp_path]) == every
    assert find_files([tmp_path / "b", tmp_path, tmp_path / "b" / "2.jpg"]) == [
        *every[1:3],
        every[0],
        every[3],
    ]
    assert find_files([tmp_path / "**" / "*.[jp]*"]) == [every[2], every[3]]  # .JPG is in capitals
    assert find_files([tmp_path / "*.tif"]) == [every[0]]
    assert find_files([tmp_path / "c" / "read.txt"]) == [str(tmp_path / "c" / "read.txt")]  # named by itself
    with pytest.raises(UserError, match="no such file"):
        find_files([tmp_path / "d.jpg"])
    with pytest.raises(UserError, match="nothing to read"):
        find_files([])


def test_a_name_with_wildcards_in_it_is_a_name_first(tmp_path: Path) -> None:
    (tmp_path / "page[1].jpg").touch()
    (tmp_path / "page1.jpg").touch()
    assert find_files([tmp_path / "page[1].jpg"]) == [str(tmp_path / "page[1].jpg")]


def test_names_are_relative_to_the_folder_that_holds_all_inputs(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "1.jpg").touch()
    assert common_root([tmp_path / "a"]) == tmp_path / "a"
    assert common_root([tmp_path / "a" / "1.jpg"]) == tmp_path / "a"
    assert common_root([tmp_path / "a" / "b", tmp_path / "a" / "*.jpg"]) == tmp_path / "a"


def test_reading_is_safe_from_several_threads(pdf: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    refs = page_refs(pdf) * 8
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda ref: read_page(ref, 140), refs))
    for ref, page in zip(refs, pages, strict=True):
        np.testing.assert_array_equal(page.pixels, read_page(ref, 140).pixels)
