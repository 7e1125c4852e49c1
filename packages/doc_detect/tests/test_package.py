import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import doc_detect
from doc_detect.cli import COMMANDS
from seminar_common.cli import check_paths, parse
from seminar_common.errors import UserError


def test_the_package_offers_its_main_names_and_loads_them_when_they_are_used(tmp_path: Path, paint) -> None:
    Image.fromarray(paint(400, 600)).save(tmp_path / "page.png")
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # as if it were not installed
        "import doc_detect\n"
        "assert not {'numpy', 'onnxruntime', 'PIL'} & set(sys.modules)\n"
        "from pathlib import Path\n"
        "from doc_detect import CLASSES, Detector, PageRef, read_for\n"
        "detector = Detector()\n"
        f"page = read_for(detector, PageRef(Path({str(tmp_path / 'page.png')!r})))\n"
        "found = detector.detect(page)\n"
        "assert (page.width, page.height) == (400, 600) and len(found.boxes) == len(found.labels)\n"
        "assert set(detector.labels) < set(CLASSES)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_lines_of_the_readme_run(
    tmp_path: Path, paint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", readme, flags=re.S) if "Detector()" in block
    ]
    (tmp_path / "scans").mkdir()
    page = Image.fromarray(paint(400, 600, graphic=(60, 90, 300, 350)))
    page.save(tmp_path / "scan.tif")
    page.save(tmp_path / "scans" / "1.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=dict))
    exec(compile(code, "README.md", "exec"), {})
    assert "scans/1.png" in capsys.readouterr().out


def test_every_name_that_it_offers_is_there() -> None:
    names = [name for name in dir(doc_detect) if not name.startswith("_") and name != "lazy_exports"]
    assert "Detector" in names and all(getattr(doc_detect, name) is not None for name in names)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --data . --out full", "full: exists already"),
        ("demo --out full", "full: exists already"),
        ("bench --out full", "full: exists already"),
        ("study --test . --out full", "full: exists already"),
        ("export --run run --out full/model.onnx", "model.onnx: exists already"),
        ("predict . --out found --run full", "--run full: holds no config.json"),
        ("evaluate --run full --data .", "--run full: holds no config.json"),
    ],
)
def test_a_folder_of_another_kind_is_refused_before_pytorch_is_imported(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("full/model.onnx", "run/config.json"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text("{}")
    name, *options = line.split()
    settings = parse("doc-detect", "", COMMANDS, [name, *options])
    with pytest.raises(UserError, match=message):
        check_paths(COMMANDS[name], settings)


def test_the_detector_that_ships_says_what_its_scores_mean_and_what_people_draw() -> None:
    from doc_detect.detectors.onnx import OnnxDetector, default_model

    detector = OnnxDetector()
    scoring = detector.scoring
    assert set(scoring.calibration) == set(scoring.margin) == set(detector.labels)
    assert 0 < scoring.floor < 0.05 and all(0.001 < share < 0.01 for share in scoring.margin.values())
    assert default_model().stat().st_size < 8e6
