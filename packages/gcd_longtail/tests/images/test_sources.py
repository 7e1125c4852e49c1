import dataclasses
import io
import json
import os
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gcd_longtail.images.hashing import hash_images
from gcd_longtail.images.sources import open_source, resolve
from gcd_longtail.images.sources.base import decode_file
from gcd_longtail.images.sources.folder import file_of, open_unlabelled
from gcd_longtail.settings.commands import SourceConfig
from seminar_common.errors import UserError
from seminar_common.images import BadImage


def encoded(colour: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (colour, colour, colour)).save(buffer, form)
    return buffer.getvalue()


def rows_of(source) -> list[tuple[str, str, str, str]]:
    listing = source.listing
    return list(zip(listing.keys, listing.labels, listing.splits, listing.groups, strict=True))


# -------------------------------------------------------------------------------------------------- folders


def test_a_folder_has_a_subfolder_for_each_class(images: Path) -> None:
    source = open_source(SourceConfig(images))
    assert len(source.listing) == 66
    assert rows_of(source)[0] == ("a/000.png", "a", "train", "")
    assert source.decode(source.read(0)).size == (16, 16)


def test_hidden_files_and_other_files_are_no_images(images: Path) -> None:
    (images / "a" / ".hidden.png").write_bytes(encoded(1))
    (images / "a" / "notes.txt").write_text("x")
    assert len(open_source(SourceConfig(images)).listing) == 66


def test_an_image_outside_a_class_folder_is_refused(images: Path) -> None:
    (images / "loose.png").write_bytes(encoded(1))
    with pytest.raises(UserError, match=r"loose\.png: lies in no class folder"):
        open_source(SourceConfig(images))


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image file"):
        open_source(SourceConfig(tmp_path))
    with pytest.raises(UserError, match="no such folder"):
        open_source(SourceConfig(tmp_path / "nothing"))


def test_images_without_classes_are_listed_with_their_subfolders(images: Path) -> None:
    (images / "loose.png").write_bytes(encoded(1))
    source = open_unlabelled(images)
    assert len(source.listing) == 67
    assert set(source.listing.labels) == {""}


def test_transparency_is_laid_on_white_and_damage_is_found() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(buffer, "PNG")
    assert decode_file(buffer.getvalue()).getpixel((0, 0)) == (255, 255, 255)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG")
    with pytest.raises(BadImage, match="truncated"):
        decode_file(buffer.getvalue()[:-600])
    with pytest.raises(BadImage, match="not an image"):
        decode_file(b"no image at all")


def test_a_photo_held_upright_is_upright_and_16_bits_are_grey_levels() -> None:
    photo, scan, turned = io.BytesIO(), io.BytesIO(), Image.Exif()
    turned[274] = 6  # the camera's top is at the right
    Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8)[None, :, None], 2, 0).repeat(3, 2)).save(
        photo, "PNG", exif=turned
    )
    upright = np.asarray(decode_file(photo.getvalue()))
    assert upright.shape == (4, 2, 3) and upright[:, 0, 0].tolist() == [0, 1, 2, 3]
    Image.fromarray(np.arange(0, 65536, 257, dtype=np.uint16)[None]).save(scan, "PNG")
    assert np.asarray(decode_file(scan.getvalue()))[0, :, 1].tolist() == list(range(256))


# -------------------------------------------------------------------------------------------------- Parquet


def parquet(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_parquet_rows_hold_bytes_label_split_and_group(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('["cat", "dog"]')
    file = parquet(
        tmp_path / "set.parquet",
        image=[encoded(i) for i in range(5)],
        label=[0, 1, 0, 1, 1],
        split=["train", "train", "train", "validation", "test"],
        group=["t1", "t1", None, "t2", "t3"],
    )
    source = open_source(SourceConfig(file))
    assert rows_of(source)[:2] == [
        ("set.parquet:0", "cat", "train", "t1"),
        ("set.parquet:1", "dog", "train", "t1"),
    ]
    assert rows_of(source)[2:4] == [
        ("set.parquet:2", "cat", "train", ""),
        ("set.parquet:3", "dog", "test", "t2"),
    ]
    assert [source.decode(source.read(i)).getpixel((0, 0))[0] for i in (4, 0, 3)] == [4, 0, 3]


def test_parquet_of_the_hub_holds_structs_and_names(tmp_path: Path) -> None:
    images = [{"bytes": encoded(i), "path": None} for i in range(3)]
    file = parquet(tmp_path / "part-0.parquet", image=images, label=["x", "y", None])
    parquet(tmp_path / "part-1.parquet", image=images, label=["x", "x", "x"])
    source = open_source(SourceConfig(tmp_path))
    assert source.listing.labels == ["x", "y", "", "x", "x", "x"]
    assert source.read(4) == encoded(1)
    assert resolve(SourceConfig(file)) == resolve(SourceConfig(tmp_path)) == "parquet"


def test_a_condition_thins_out_training_rows_only(tmp_path: Path) -> None:
    file = parquet(
        tmp_path / "set.parquet",
        image=[encoded(i) for i in range(4)],
        label=[0, 1, 0, 1],
        split=["train", "train", "train", "test"],
        rho_max=[100, 50, 100, 0],
    )
    source = open_source(SourceConfig(file, where="rho_max >= 100"))
    assert source.listing.keys == ["set.parquet:0", "set.parquet:2", "set.parquet:3"]
    assert source.read(1) == encoded(2)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("rho_max", "expected COLUMN>=NUMBER"),
        ("rho_max>=many", "expected COLUMN>=NUMBER"),
        ("other>=1", "has no column 'other'"),
        ("split>=1", "holds string, not numbers"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(tmp_path: Path, where: str, message: str) -> None:
    file = parquet(tmp_path / "s.parquet", image=[encoded(1)], label=[0], split=["train"], rho_max=[1])
    with pytest.raises(UserError, match=message):
        open_source(SourceConfig(file, where=where))


def test_parquet_files_that_do_not_fit_name_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no column 'label'"):
        open_source(SourceConfig(parquet(tmp_path / "a.parquet", image=[b"x"])))
    (tmp_path / "b.parquet").write_text("no parquet")
    with pytest.raises(UserError, match=r"b\.parquet: not a readable Parquet file"):
        open_source(SourceConfig(tmp_path / "b.parquet"))
    with pytest.raises(UserError, match="no Parquet file there"):
        open_source(SourceConfig(tmp_path / "c.parquet"))
    with pytest.raises(UserError, match="column split holds 'dev'"):
        open_source(SourceConfig(parquet(tmp_path / "d.parquet", image=[b"x"], label=[0], split=["dev"])))
    (tmp_path / "classes.json").write_text('["one"]')
    with pytest.raises(UserError, match=r"label 3, but classes\.json beside it names only 1"):
        open_source(SourceConfig(parquet(tmp_path / "e.parquet", image=[b"x"], label=[3])))


# ------------------------------------------------------------------------------------------ tables and indices


def test_a_table_names_paths_beside_it(images: Path) -> None:
    file = images / "table.csv"
    file.write_text("\ufeffpath,label,split,group\na/000.png,red,train,t\nb/000.png,,test,\n")
    source = open_source(SourceConfig(file))
    assert rows_of(source) == [("a/000.png", "red", "train", "t"), ("b/000.png", "", "test", "")]
    assert source.read(0) == (images / "a" / "000.png").read_bytes()


def test_a_table_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("sub/one.png", f"sub/{normalize('NFD', 'käse')}.png"):
        (tmp_path / name).write_bytes(encoded(1))
    text = f"File;Class\r\nsub\\one.png;a\r\nsub\\{normalize('NFC', 'käse')}.png;b\r\n;\r\n"
    for bytes_ in (text.encode("utf-8-sig"), text.encode("utf-16"), text.replace(";", "\t").encode()):
        (tmp_path / "t.csv").write_bytes(bytes_)
        source = open_source(SourceConfig(tmp_path / "t.csv"))
        assert source.listing.labels == ["a", "b"]
        assert [source.read(i) for i in range(2)] == [encoded(1)] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,label\na,b\n", "has no column 'path', or image, file, .* .it has picture, label."),
        (
            'path,label\na.png,"' + "x" * 200_000,
            r"t\.csv, line 2: not a table .field larger than field limit",
        ),
        ("path,label\n", "no rows"),
        ("path,label\na.png\n", "line 2: has 1 cells, expected 2"),
        ("path,label\na.png,x\n\na.png,y\n", r"line 4: a\.png stands in line 2 already"),
        ("path,label,split\na.png,x,dev\n", "line 2: split 'dev'"),
    ],
)
def test_a_broken_table_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        open_source(SourceConfig(tmp_path / "t.csv"))


def test_index_files_list_paths_and_class_numbers(images: Path, tmp_path: Path) -> None:
    train, test = tmp_path / "ImageNet_LT_train.txt", tmp_path / "ImageNet_LT_test.txt"
    train.write_text("a/000.png 0\nb/000.png 1\n\nb/001.png 1\n")
    test.write_text("/c/000.png 0\n")  # Places-LT begins its paths with a slash
    source = open_source(SourceConfig(images, index=train, test_index=test))
    assert rows_of(source) == [
        ("a/000.png", "0", "train", ""),
        ("b/000.png", "1", "train", ""),
        ("b/001.png", "1", "train", ""),
        ("c/000.png", "0", "test", ""),
    ]


def test_a_broken_index_names_the_line(images: Path, tmp_path: Path) -> None:
    index = tmp_path / "train.txt"
    index.write_text("a/000.png 0\na/001.png zero\n")
    with pytest.raises(UserError, match=r"train\.txt, line 2: expected PATH NUMBER"):
        open_source(SourceConfig(images, index=index))
    index.write_text("a/000.png 0\na/000.png 0\n")
    with pytest.raises(UserError, match="1 images are listed twice"):
        open_source(SourceConfig(images, index=index))
    with pytest.raises(UserError, match="--index FILE"):
        open_source(SourceConfig(images, "index"))


def test_options_of_another_format_are_refused(images: Path) -> None:
    with pytest.raises(UserError, match="--where goes with Parquet files only"):
        open_source(SourceConfig(images, where="x>=1"))
    with pytest.raises(UserError, match="--index goes with --format index only"):
        open_source(SourceConfig(images, "folder", index=images / "x"))


# ------------------------------------------------------------------------------------------- sets by their name


def test_digits_come_with_the_installation() -> None:
    source = open_source(SourceConfig(Path("digits")))
    assert len(source.listing) == 1797
    assert set(source.listing.labels) == set("0123456789")
    pixels = np.asarray(source.decode(source.read(0)))
    assert pixels.shape == (8, 8, 3) and pixels.max() == 239  # 15 of 16


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-10 of six training and two test images, as torchvision unpacks it; its MD5 sums are not compared."""
    import pickle

    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    names = ["train"], ["test"]
    for (name,), n in zip(names, (6, 2), strict=True):
        data = np.repeat(np.arange(n, dtype=np.uint8)[:, None], 3072, axis=1)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [i % 2 for i in range(n)]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class{i}" for i in range(10)]}))
    monkeypatch.setattr(CIFAR10, "train_list", [["train", None]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test", None]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": None})
    return tmp_path / "cifar"


def test_cifar_is_read_as_torchvision_unpacks_it(cifar: Path) -> None:
    source = open_source(SourceConfig(cifar))
    assert source.listing.splits == ["train"] * 6 + ["test"] * 2
    assert source.listing.labels[:2] == ["class0", "class1"]
    assert np.asarray(source.decode(source.read(5))).shape == (32, 32, 3)
    assert source.decode(source.read(5)).getpixel((3, 3)) == (5, 5, 5)


def test_a_long_tailed_cifar_is_a_list_of_numbers(cifar: Path, tmp_path: Path) -> None:
    (tmp_path / "lt.txt").write_text("4\n1 1\n2,0\n")
    source = open_source(SourceConfig(cifar, index=tmp_path / "lt.txt"))
    assert source.listing.keys == ["train-00004", "train-00001", "train-00002", "test-00000", "test-00001"]
    assert source.decode(source.read(0)).getpixel((0, 0)) == (4, 4, 4)
    (tmp_path / "lt.txt").write_text("6\n")
    with pytest.raises(UserError, match="image 6 does not exist; the training images are 0 to 5"):
        open_source(SourceConfig(cifar, index=tmp_path / "lt.txt"))
    (tmp_path / "lt.txt").write_text("3\n3\n")
    with pytest.raises(UserError, match="lists an image twice"):
        open_source(SourceConfig(cifar, index=tmp_path / "lt.txt"))


def test_a_cifar_that_is_not_the_original_is_never_unpickled(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UserError, match="holds no intact cifar-10-batches-py; unpack cifar-10-python"):
        open_source(SourceConfig(tmp_path))


def test_caltech101_leaves_out_background_pictures(tmp_path: Path, make_images) -> None:
    make_images(tmp_path / "caltech101" / "101_ObjectCategories", {"ant": 2, "BACKGROUND_Google": 3})
    for folder in (tmp_path, tmp_path / "caltech101", tmp_path / "caltech101" / "101_ObjectCategories"):
        assert set(open_source(SourceConfig(folder)).listing.labels) == {"ant"}
    with pytest.raises(UserError, match="holds no Caltech-101"):
        open_source(SourceConfig(tmp_path / "other", "caltech101"))


def test_gtsrb_groups_the_frames_of_a_track(tmp_path: Path) -> None:
    training = tmp_path / "GTSRB" / "Training" / "00007"
    test = tmp_path / "GTSRB" / "Final_Test" / "Images"
    for folder, names in (
        (training, ("00000_00000.ppm", "00000_00001.ppm", "00001_00000.ppm")),
        (test, ("00000.ppm",)),
    ):
        folder.mkdir(parents=True)
        for name in names:
            Image.new("RGB", (8, 8)).save(folder / name)
    with pytest.raises(UserError, match=r"unpack GT-final_test\.csv"):
        open_source(SourceConfig(tmp_path))
    (tmp_path / "GT-final_test.csv").write_text("Filename;Width;ClassId\n00000.ppm;8;7\n")
    assert rows_of(open_source(SourceConfig(tmp_path))) == [
        ("Training/00007/00000_00000.ppm", "00007", "train", "00000"),
        ("Training/00007/00000_00001.ppm", "00007", "train", "00000"),
        ("Training/00007/00001_00000.ppm", "00007", "train", "00001"),
        ("Final_Test/Images/00000.ppm", "00007", "test", ""),
    ]


def test_class_names_must_be_a_list(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(json.dumps({"0": "cat"}))
    with pytest.raises(UserError, match="expected a list of class names"):
        open_source(SourceConfig(parquet(tmp_path / "s.parquet", image=[b"x"], label=[0])))


def test_the_format_that_was_found_can_be_given_again(images: Path) -> None:
    config = SourceConfig(images)
    same = dataclasses.replace(config, format=resolve(config))
    assert open_source(same).listing == open_source(config).listing


# ------------------------------------------------------------------------------------------------- odd names


def test_a_name_that_is_no_utf8_is_listed_and_read(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"gr\xfcn")
    folder.mkdir()
    for i, name in enumerate((b"k\xe4se.png", b"plain.png")):
        (folder / os.fsdecode(name)).write_bytes(encoded(i))
    source = open_source(SourceConfig(tmp_path))
    assert source.listing.keys == [r"gr\xfcn/k\xe4se.png", r"gr\xfcn/plain.png"]
    assert set(source.listing.labels) == {r"gr\xfcn"}
    assert source.read(0) == encoded(0)
    assert file_of(tmp_path, source.listing.keys[0]) == source.file(0)
    assert file_of(tmp_path, source.listing.keys[1]).exists()
    assert file_of(tmp_path, r"gone\xe4.png") == tmp_path / r"gone\xe4.png"
    (folder / r"k\xe4se.png").write_bytes(encoded(2))
    with pytest.raises(
        UserError, match=r"2 files have the name gr\\xfcn/k\\xe4se\.png, as far as UTF-8 can tell"
    ):
        open_source(SourceConfig(tmp_path))


def test_linked_folders_are_classes_too_and_what_is_passed_over_is_said_once(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "x.png").write_bytes(encoded(1))
    (images / "linked").symlink_to(elsewhere)
    (images / "a" / "scan.djvu").write_bytes(b"AT&TFORM")
    source = open_source(SourceConfig(images))
    assert len(source.listing) == 67 and source.listing.labels[-1] == "linked"
    assert capsys.readouterr().err == ""
    hash_images(source)
    assert "1 file passed over: 1 .djvu (convert it with ddjvu -format=tiff)" in capsys.readouterr().err


def test_a_folder_of_files_that_can_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "scan.djvu").write_bytes(b"AT&TFORM")
    with pytest.raises(UserError, match="holds no image file .*; 1 file passed over: 1 .djvu"):
        open_unlabelled(tmp_path)


def test_avif_is_read(tmp_path: Path) -> None:
    (tmp_path / "photo.avif").write_bytes(encoded(200, "AVIF"))
    source = open_unlabelled(tmp_path)
    assert abs(source.decode(source.read(0)).getpixel((1, 1))[0] - 200) <= 4
