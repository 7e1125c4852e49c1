import subprocess
import sys
from pathlib import Path

from PIL import Image

import doc_detect


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


def test_every_name_that_it_offers_is_there() -> None:
    names = [name for name in dir(doc_detect) if not name.startswith("_") and name != "lazy_exports"]
    assert "Detector" in names and all(getattr(doc_detect, name) is not None for name in names)
