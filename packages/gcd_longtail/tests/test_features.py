import dataclasses
import hashlib
import io
import itertools
import json
import shutil
import uuid
from functools import partial
from pathlib import Path

import killing_source
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from threadpoolctl import threadpool_info, threadpool_limits

from gcd_longtail import features
from gcd_longtail.backbones import cache, extract
from gcd_longtail.backbones.cache import PIXELS_VERSION, FeatureStore, feature_facts, store_name
from gcd_longtail.images.augment import view
from gcd_longtail.images.hashing import image_hash
from gcd_longtail.images.shapes import fitted
from gcd_longtail.images.sources import open_source
from gcd_longtail.images.sources.base import decode_file
from gcd_longtail.protocol.data import features_command, load
from gcd_longtail.settings.commands import (
    ExtractionConfig,
    FeatureConfig,
    FeaturesSettings,
    Fit,
    SourceConfig,
    SplitSettings,
)
from gcd_longtail.split import split
from seminar_common import failures
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.lite0 import LITE0, lite_weights
from seminar_common.work import WorkConfig

PIXELS = FeatureConfig("pixels", 8)


@pytest.fixture
def data(images: Path, tmp_path: Path) -> Path:
    """A split of the coloured images."""
    split(SplitSettings(tmp_path / "sets" / "seed0", SourceConfig(images)))
    return tmp_path / "sets" / "seed0"


def run(data: Path, config: FeatureConfig = PIXELS, views: int = 0) -> None:
    features.features(FeaturesSettings(data, config, views, extraction=ExtractionConfig(8)))


@pytest.fixture
def no_backbone(monkeypatch: pytest.MonkeyPatch):
    """Make loading a backbone fail: what passes under it came from the cache."""

    def forbidden(*_: object) -> None:
        raise AssertionError("the backbone was loaded")

    return lambda: monkeypatch.setattr(extract, "load_backbone", forbidden)


def test_what_can_not_be_written_is_refused_before_the_backbone_is_loaded(
    data: Path, tmp_path: Path, no_backbone
) -> None:
    (tmp_path / "file").touch()
    no_backbone()
    with pytest.raises(UserError, match="--cache .*file/cache: can't be written .Not a directory"):
        features.features(FeaturesSettings(data, PIXELS, cache=tmp_path / "file" / "cache"))


# ---------------------------------------------------------------------------------------------------- cache


def test_a_store_returns_features_by_hash_in_any_order(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    hashes = [image_hash(bytes([i])) for i in range(5)]
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert store.missing(hashes) == hashes
    store.add(hashes[:2], values[:2])
    store.add(hashes[2:4], values[2:4])
    again = FeatureStore(tmp_path / "store")  # as another process sees it
    assert len(again) == 4 and again.missing(hashes) == hashes[4:]
    np.testing.assert_array_equal(again.get([hashes[3], hashes[0], hashes[3]]), values[[3, 0, 3]])
    with pytest.raises(KeyError):
        again.get(hashes)


def test_a_store_is_memory_mapped(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.add([image_hash(b"x")], np.ones((1, 3), np.float32))
    assert isinstance(FeatureStore(tmp_path)._parts[0], np.memmap)


def test_hashes_that_end_in_zero_bytes_are_kept_apart(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    hashes = ["ab" + "00" * 15, "ab" + "00" * 14 + "01"]
    store.add(hashes, np.array([[1.0], [2.0]], np.float32))
    assert FeatureStore(tmp_path).get(hashes).ravel().tolist() == [1, 2]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    FeatureStore(tmp_path).add([image_hash(b"x")], np.ones((1, 3), np.float32))
    part = next(tmp_path.glob("*.npy"))
    part.write_bytes(part.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"\.npy: damaged"):
        FeatureStore(tmp_path)


def test_a_store_is_named_by_all_that_features_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"1")
    configs = [
        PIXELS,
        dataclasses.replace(PIXELS, size=9),
        dataclasses.replace(PIXELS, backbone="other"),
        dataclasses.replace(PIXELS, precision="bf16-mixed"),
        dataclasses.replace(PIXELS, weights=weights),
    ]
    names = {store_name(feature_facts(config), 0) for config in configs}
    names |= {store_name(feature_facts(PIXELS), 1)}
    assert len(names) == 6
    weights.write_bytes(b"2")
    assert store_name(feature_facts(configs[-1]), 0) not in names
    monkeypatch.setattr(cache, "PIXELS_VERSION", PIXELS_VERSION + 1)
    assert store_name(feature_facts(PIXELS), 0) not in names


def test_other_pixels_of_an_image_have_another_version() -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, (24, 32))
    photo, scan = io.BytesIO(), io.BytesIO()
    turned = Image.Exif()
    turned[274] = 6  # the orientation of a phone held upright
    Image.fromarray((noise[..., None] >> np.array([8, 4, 0]) & 255).astype(np.uint8)).save(
        photo, "PNG", exif=turned
    )
    Image.fromarray(noise.astype(np.uint16)).save(scan, "PNG")
    total = hashlib.blake2b(digest_size=8)
    for file in (photo, scan):
        image = decode_file(file.getvalue())
        for number in range(3):
            total.update(view(image, 16, number, "00ff").tobytes())
    other = hashlib.blake2b(digest_size=8)
    for fit, number in itertools.product(("squash", "pad"), range(3)):
        other.update(view(decode_file(photo.getvalue()), 16, number, "00ff", fit).tobytes())
    assert {PIXELS_VERSION: other.hexdigest()} == {2: "81401ed8348968a4"}, (
        "raise PIXELS_VERSION: features changed"
    )
    assert {PIXELS_VERSION: total.hexdigest()} == {2: "e1b8c53bc78a5226"}, (
        "raise PIXELS_VERSION: features changed"
    )


# ------------------------------------------------------------------------------------------------- extraction


def test_features_are_those_of_each_image(data: Path, images: Path) -> None:
    run(data)
    loaded = load(data)
    made = loaded.split
    for role, got in (("L", loaded.problem.labelled), ("U", loaded.problem.unlabelled), ("T", loaded.test)):
        for row, number in zip(got, loaded.where(role), strict=True):
            picture = Image.open(images / made.keys[number]).resize((8, 8), Image.Resampling.BICUBIC)
            expected = np.asarray(picture, np.float32).transpose(2, 0, 1).ravel() / 255
            np.testing.assert_allclose(row, expected, atol=1e-6)
    assert loaded.problem.labels.tolist() == [made.labels[i] for i in made.where("L")]
    assert len(loaded.problem.unlabelled) == len(loaded.unlabelled_labels)
    assert loaded.problem.known == made.known


def test_a_second_run_and_another_split_need_no_backbone(data: Path, images: Path, no_backbone) -> None:
    run(data)
    no_backbone()
    run(data)
    other = data.parent / "seed1"
    split(SplitSettings(other, SourceConfig(images), seed=1))
    run(other)
    assert len(load(other).problem.unlabelled)


def test_a_killed_extraction_goes_on_where_it_stopped(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "PART", 16)
    original, calls = FeatureStore.add, []

    def killed(self: FeatureStore, hashes: list[str], values: np.ndarray) -> None:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(hashes))
        original(self, hashes, values)

    monkeypatch.setattr(FeatureStore, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        run(data)
    with pytest.raises(UserError, match="has no features yet"):
        load(data)
    monkeypatch.setattr(FeatureStore, "add", lambda *args: (calls.append(len(args[1])), original(*args)))
    run(data)
    assert calls[:2] == [16, 16] and sum(calls) == len(load(data).split.keys)


def test_an_image_that_changed_under_its_feature_is_found(data: Path, images: Path) -> None:
    run(data)
    Image.new("RGB", (16, 16), "white").save(images / "a" / "003.png")
    with pytest.raises(UserError, match=r"image a/003\.png changed since the split was made"):
        run(data)


def test_an_image_that_changed_before_its_feature_is_found(data: Path, images: Path) -> None:
    Image.new("RGB", (16, 16), "white").save(images / "a" / "003.png")
    with pytest.raises(UserError, match=r"image a/003\.png changed since the split was made"):
        run(data)


def test_an_image_that_is_gone_is_named(data: Path, images: Path) -> None:
    (images / "a" / "003.png").unlink()
    with pytest.raises(UserError, match=r"image a/003\.png is in the split but not there"):
        run(data)


def truncate_images(images: Path, names: list[str]) -> None:
    """Cut files so that their headers can be read and their pixels can't."""
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed).integers(0, 255, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(noise).save(images / name)
        (images / name).write_bytes((images / name).read_bytes()[:4000])


def test_truncated_images_are_recorded_and_left_out(images: Path, tmp_path: Path) -> None:
    truncate_images(images, ["a/001.png", "b/001.png"])
    data = tmp_path / "data"
    split(SplitSettings(data, SourceConfig(images)))
    run(data)
    assert {one.file for one in failures.read(data / failures.FILE)} == {"a/001.png", "b/001.png"}
    loaded = load(data)
    used = sum(len(loaded.where(role)) for role in "LUT")
    assert used == len(loaded.split.keys) - 2 == loaded.usable.sum()
    run(data)  # they are tried again and fail again
    assert len(failures.read(data / failures.FILE)) == 2


def test_a_known_class_without_a_readable_labelled_image_is_refused(images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    truncate_images(images, [f"e/{i:03d}.png" for i in range(6)])
    split(SplitSettings(data, SourceConfig(images), known_classes=("a", "e")))
    run(data)
    with pytest.raises(UserError, match="no labelled image of the known class e can be decoded"):
        load(data)


def test_features_that_are_not_finite_name_an_image(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = extract.BatchExtractor._run
    monkeypatch.setattr(extract.BatchExtractor, "_run", lambda *given: original(*given) * np.inf)
    with pytest.raises(UserError, match=r"pixels gives NaN or infinite features for \d+ images \(first: "):
        run(data)
    assert not list(data.parent.rglob("*.npy"))


def test_loading_before_extracting_says_what_to_run(data: Path) -> None:
    with pytest.raises(UserError, match="make them with `gcd-longtail features --data"):
        load(data)


def test_features_of_a_cache_that_is_gone_say_what_to_run(data: Path) -> None:
    run(data)
    document = json.loads((data / "features.json").read_text())
    document["cache"] = str(data / "nowhere")
    (data / "features.json").write_text(json.dumps(document))
    with pytest.raises(
        UserError, match="66 images have no features in .*--backbone pixels --size 8 --fit crop`"
    ):
        load(data)


def test_features_move_with_the_folder_of_their_splits(data: Path, tmp_path: Path) -> None:
    run(data)
    before = load(data)
    values = before.problem.features
    shutil.move(data.parent, tmp_path / "elsewhere")
    after = load(tmp_path / "elsewhere" / "seed0")
    np.testing.assert_array_equal(after.problem.features, values)
    assert after.identity == before.identity


def test_features_that_do_not_say_what_they_depend_on_are_refused(data: Path) -> None:
    run(data)
    document = json.loads((data / "features.json").read_text())
    del document["facts"]
    (data / "features.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"features\.json: does not say what the features depend on; run"):
        load(data)


# ---------------------------------------------------------------------------------------------------- workers

SMALL = FeatureConfig("efficientnet-lite0", 32)


def extractor(
    images: Path, work: WorkConfig, victim: str = "", times: int = 1, config: FeatureConfig = SMALL
) -> extract.Extractor:
    """Return an extractor with an empty cache and batches of 4; the image ``victim`` kills ``times`` workers."""
    home = images.parent / uuid.uuid4().hex
    open_images = partial(killing_source.open_killing, images, victim, home / "tries", times)
    home.mkdir()
    return extract.Extractor(open_images, config, home / "cache", ExtractionConfig(4, work))


def test_mixed_precision_gives_other_features_which_are_kept_apart(images: Path) -> None:
    exact = extractor(images, WorkConfig(1))
    mixed = extractor(images, WorkConfig(1), config=dataclasses.replace(SMALL, precision="bf16-mixed"))
    assert exact.store(0).folder.name != mixed.store(0).folder.name
    batch = extract.Batch(0, tuple(wanted(images)[:4]))
    first, second = (made._extract(batch).features for made in (exact, mixed))
    assert not np.array_equal(first, second)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9  # bf16 keeps 8 bits in each of 50 layers


def stored(made: extract.Extractor) -> dict[str, bytes]:
    """Return name and content of each file of the plain view's store."""
    return {file.name: file.read_bytes() for file in made.store(0).folder.iterdir()}


def wanted(images: Path) -> list[extract.Wanted]:
    return [
        extract.Wanted(f"{file.parent.name}/{file.name}", image_hash(file.read_bytes()))
        for file in sorted(images.rglob("*.png"))
    ]


def test_a_feature_has_the_same_bits_whoever_its_neighbours_are(images: Path) -> None:
    together = extractor(images, WorkConfig(1))
    apart = extractor(images, WorkConfig(1))
    some = wanted(images)[:7]
    together.extract(some)
    for one in some:
        apart.extract([one])
    hashes = [one.hash for one in some]
    np.testing.assert_array_equal(together.store(0).get(hashes), apart.store(0).get(hashes))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, colours: dict[str, int], make_images) -> Path:
    """Three images of each class."""
    images = tmp_path_factory.mktemp("workers") / "images"
    make_images(images, {name: 3 for name in colours})
    return images


@pytest.fixture
def parts_of_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "PART", 8)


def store_as_one_process(images: Path, work: WorkConfig, config: FeatureConfig, victim: str = "") -> int:
    """Check that workers store what one process does; return how many of them died."""
    alone, together = (
        extractor(images, WorkConfig(1), config=config),
        extractor(images, work, victim, 1, config),
    )
    assert alone.extract(wanted(images)) == together.extract(wanted(images)) == []
    assert stored(alone) == stored(together) and len(stored(alone)) == 3
    return len(list((together.cache.parent / "tries").iterdir()))


@pytest.mark.slow
@pytest.mark.usefixtures("parts_of_8")
def test_two_processes_store_the_bytes_of_one_though_one_is_killed(few: Path) -> None:
    assert store_as_one_process(few, WorkConfig(2), SMALL, "c/001.png") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("parts_of_8")
def test_a_cluster_stores_the_bytes_of_one_process_though_a_worker_is_killed(few: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        work = WorkConfig(cluster=cluster.scheduler_address)
        assert store_as_one_process(few, work, PIXELS, "c/001.png") == 1


@pytest.mark.slow
def test_an_image_that_no_process_survives_is_left_out_alone(few: Path, monkeypatch) -> None:
    # Each further one starts a process that imports PyTorch.
    monkeypatch.setattr("seminar_common.work.ATTEMPTS", 1)
    made = extractor(few, WorkConfig(2), "c/001.png", times=99, config=PIXELS)
    (failure,) = made.extract(wanted(few))
    assert failure.file == "c/001.png" and "died" in failure.reason
    assert len(made.store(0)) == len(wanted(few)) - 1


def test_few_images_are_not_worth_a_process_and_asked_for_ones_are(images: Path, monkeypatch) -> None:
    opened: list[WorkConfig] = []
    original = extract.executor
    monkeypatch.setattr(
        extract, "executor", lambda work, kind: opened.append(work) or original(WorkConfig(1))
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    for workers, start in ((0, 128), (0, 20), (3, 128)):
        monkeypatch.setattr(extract, "START", start)
        made = extractor(images, WorkConfig(workers), config=PIXELS)
        made.extract(wanted(images))
    assert [work.workers for work in opened] == [1, 2, 3]


def test_features_are_the_mean_of_timms_over_an_image_and_its_mirror_image(images: Path) -> None:
    place = DeviceConfig("cpu", threads=1, precision="32-true")
    made = extract.BatchExtractor(partial(open_source, SourceConfig(images)), FeatureConfig(), 4, place)
    some = tuple(wanted(images)[:6:2])
    found = made(extract.Batch(0, some)).features
    network = timm.create_model(LITE0, num_classes=0).eval()
    network.load_state_dict({n: t for n, t in lite_weights(LITE0).items() if not n.startswith("classifier.")})
    pixels = np.stack([view(decode_file(images / one.key), 160, 0, one.hash) for one in some])
    both = torch.from_numpy(np.stack([pixels, pixels[:, :, ::-1]])).permute(0, 1, 4, 2, 3)
    with torch.inference_mode():
        expected = torch.stack([network((each / 255 - 0.5) / 0.5) for each in both]).mean(0)
    assert torch.cosine_similarity(torch.from_numpy(found), expected).min() > 0.999999
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_features_hardly_depend_on_how_many_images_go_at_once(images: Path) -> None:
    config, place = FeatureConfig(size=64), DeviceConfig("cpu", threads=1, precision="32-true")
    some = tuple(wanted(images)[:6])
    found = []
    for size in (8, 3):
        extractor = extract.BatchExtractor(partial(open_source, SourceConfig(images)), config, size, place)
        batches = [extract.Batch(0, some[start : start + size]) for start in range(0, len(some), size)]
        found.append(np.concatenate([extractor(batch).features for batch in batches]))
    cosines = (found[0] * found[1]).sum(1) / np.prod(np.linalg.norm(found, axis=2), axis=0)
    assert cosines.min() > 0.9999


def test_one_thread_a_batch_is_not_left_to_what_comes_after(images: Path) -> None:
    with threadpool_limits(2):
        before = [pool["num_threads"] for pool in threadpool_info()], torch.get_num_threads()
        made = extractor(images, WorkConfig(1), config=PIXELS)
        made.extract(wanted(images))
        assert ([pool["num_threads"] for pool in threadpool_info()], torch.get_num_threads()) == before


# ------------------------------------------------------------------------------------------------------ views


def test_views_are_extracted_for_training_images(data: Path) -> None:
    run(data)
    plain = load(data)
    run(data, views=2)
    problem = load(data).problem
    np.testing.assert_array_equal(problem.unlabelled, plain.problem.unlabelled)
    assert load(data).identity != plain.identity  # a method finds other classes with views
    assert problem.labelled_views is not None and problem.unlabelled_views is not None
    assert problem.labelled_views.shape == (2, *problem.labelled.shape)
    assert problem.unlabelled_views.shape == (2, *problem.unlabelled.shape)
    first, second = problem.unlabelled_views
    assert not np.allclose(first, second) and not np.allclose(first, problem.unlabelled)
    # A view is still of its image: nearer to it than to most others.
    distances = np.linalg.norm(first[:, None] - problem.unlabelled[None], axis=2)
    assert np.mean(distances.argsort(1).argsort(1)[np.diag_indices(len(first))]) < len(first) / 3


def test_a_view_depends_on_image_and_number_alone() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8))
    same = [view(image, 16, 3, "00ff") for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(same[0], view(image, 16, 4, "00ff"))
    assert not np.array_equal(same[0], view(image, 16, 3, "00fe"))


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (200, 3), (3, 200)])
def test_any_shape_of_image_has_every_view(size: tuple[int, int], fit: Fit) -> None:
    image = Image.new("RGB", size, "red")
    for number in range(6):
        assert view(image, 12, number, "aa", fit).shape == (12, 12, 3)
    assert (view(image, 12, 0, "aa", fit) == (255, 0, 0)).all()


@pytest.mark.parametrize("turned", [False, True])
def test_a_wide_picture_is_cropped_squashed_or_padded(turned: bool) -> None:
    """A page ornament: green, with ends of blue and black, and a red middle."""
    pixels = np.zeros((20, 80, 3), np.uint8)
    pixels[..., 1] = 200
    pixels[4:-4, 2:10] = (0, 0, 255)
    pixels[4:-4, -10:-2] = 0
    pixels[4:-4, 35:45] = (255, 0, 0)
    image = Image.fromarray(pixels.swapaxes(0, 1) if turned else pixels)

    def seen(fit: Fit, number: int = 0) -> tuple[np.ndarray, set[str]]:
        square = view(image, 40, number, "aa", fit).astype(int)
        square = square.swapaxes(0, 1) if turned else square
        ends = {
            "blue": (square - (0, 0, 255) > -60).all(2) & (square - (0, 0, 255) < 60).all(2),
            "red": (square - (255, 0, 0) > -60).all(2) & (square - (255, 0, 0) < 60).all(2),
            "black": (square < 60).all(2),
        }
        return square, {name for name, there in ends.items() if there.any()}

    assert seen("crop")[1] == {"red"}
    assert seen("squash")[1] == seen("pad")[1] == {"red", "blue", "black"}
    padded = seen("pad")[0]
    assert (padded[:15] == (0, 200, 0)).all() and (padded[-15:] == (0, 200, 0)).all()
    assert (seen("squash")[0][0] == (0, 200, 0)).all() and (seen("squash")[0][12:28, 20] != (0, 200, 0)).any(
        1
    ).all()
    parts = {fit: [seen(fit, number)[0] for number in range(1, 4)] for fit in ("squash", "pad")}
    assert all(not np.array_equal(some[0], some[1]) for some in parts.values())


def long_pictures(folder: Path, long: int, square: int) -> Path:
    """Write pictures of two classes, some of them four times as long as wide."""
    for i in range(long + square):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        size = ((32, 8), (8, 32))[i % 2] if i < long else (10, 8)
        Image.new("RGB", size, (i, 10 * (i % 2), 0)).save(folder / "ab"[i % 2] / f"{i:02d}.png")
    return folder


@pytest.mark.parametrize(("long", "fit"), [(0, "crop"), (5, "crop"), (6, "squash")])
def test_a_pile_of_long_pictures_is_squashed(
    tmp_path: Path, capsys: pytest.CaptureFixture, long: int, fit: Fit
) -> None:
    source = SourceConfig(long_pictures(tmp_path / "images", long, 20 - long))
    (source.images / "a" / "broken.png").write_text("no image")
    assert fitted(FeatureConfig(), open_source(source)).fit == fit
    assert fitted(FeatureConfig(fit="pad"), open_source(source)).fit == "pad"
    split(SplitSettings(tmp_path / "data", source))
    run(tmp_path / "data")
    assert load(tmp_path / "data").config.fit == fit
    said = "pictures are squashed to squares, since 30% of them are more than 3 times as long as wide"
    assert (said in capsys.readouterr().err) == (fit == "squash")


def test_digits_are_squares() -> None:
    assert fitted(FeatureConfig(), open_source(SourceConfig(Path("digits")))).fit == "crop"


@pytest.mark.parametrize(("side", "size"), [(5, 8), (20, 20), (90, 32)])
def test_pixels_are_no_more_than_the_pictures_have(tmp_path: Path, side: int, size: int) -> None:
    for i in range(4):
        (tmp_path / "images/a").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (side + 7, side), (i, 0, 0)).save(tmp_path / f"images/a/{i}.png")
    source = open_source(SourceConfig(tmp_path / "images"))
    assert fitted(FeatureConfig("pixels"), source).size == size
    assert fitted(FeatureConfig("pixels", 12), source).size == 12


def test_half_of_the_pictures_decide_how_large_they_are_seen(tmp_path: Path) -> None:
    (tmp_path / "images/a").mkdir(parents=True)
    for i in range(6):
        side = 64 if i < 3 else 63
        Image.new("RGB", (side, 90) if i % 2 else (90, side), (i, 0, 0)).save(tmp_path / f"images/a/{i}.png")
    images = SourceConfig(tmp_path / "images")
    (tmp_path / "images/a/6.png").write_text("no image")

    def seen(config: FeatureConfig) -> tuple[int, bool]:
        chosen = fitted(config, open_source(images))
        return chosen.side, chosen.mirrored

    assert seen(FeatureConfig()) == (160, True)
    Image.new("RGB", (400, 64), (7, 0, 0)).save(tmp_path / "images/a/7.png")
    assert seen(FeatureConfig()) == seen(FeatureConfig("test_efficientnet")) == (224, False)
    assert seen(FeatureConfig(size=160)) == seen(FeatureConfig(size=160, fit="crop")) == (160, True)
    assert seen(FeatureConfig(size=224)) == (224, True)
    assert seen(FeatureConfig("pixels")) == (32, False)


def test_a_split_keeps_the_precision_that_the_processor_decided(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(SplitSettings(tmp_path / "data", SourceConfig(images), known_fraction=0.5))
    monkeypatch.setattr("gcd_longtail.backbones.cpu_network.is_quicker_in_bfloat16", lambda: True)
    run(tmp_path / "data", FeatureConfig(size=224, mirror=False))
    monkeypatch.setattr("gcd_longtail.backbones.cpu_network.is_quicker_in_bfloat16", lambda: False)
    loaded = load(tmp_path / "data")  # on another machine
    assert loaded.config.precision == loaded.facts["precision"] == "bf16-mixed"
    assert "--precision bf16-mixed" in features_command(tmp_path / "data", loaded.config, 0)


def test_digits_need_no_size_to_be_learned_from(tmp_path: Path) -> None:
    split(SplitSettings(tmp_path / "data", SourceConfig(Path("digits")), imbalance_ratio=20))
    run(tmp_path / "data", FeatureConfig("pixels"))
    loaded = load(tmp_path / "data")
    assert loaded.config.size == 8 and loaded.problem.labelled.shape[1] == 3 * 8 * 8
    assert "--size 8 " in features_command(tmp_path / "data", loaded.config, 0)


def test_features_of_another_fit_are_kept_apart_and_named(data: Path) -> None:
    run(data)
    plain = load(data)
    squashed = dataclasses.replace(PIXELS, fit="squash")
    assert store_name(feature_facts(squashed), 0) != store_name(feature_facts(PIXELS), 0)
    run(data, squashed)
    assert load(data).identity != plain.identity and load(data).config.fit == "squash"
    assert "--fit squash" in features_command(data, squashed, 0)
    assert plain.config.fit == "crop" and "--fit crop" in features_command(data, plain.config, 0)
    document = json.loads((data / "features.json").read_text())
    del document["features"]["fit"]  # as before there was a choice
    (data / "features.json").write_text(json.dumps(document))
    assert load(data).config.fit == "crop"


def test_the_plain_view_is_the_centre() -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255
    assert view(Image.fromarray(pixels), 10, 0, "aa").min() == 255
