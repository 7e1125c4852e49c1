"""The `doc-detect` command line: a table from command to settings and function."""

from doc_detect.config import PRESETS, EvaluateSettings, ExportSettings, StudySettings, TrainSettings
from doc_detect.job_config import (
    BenchSettings,
    ConvertSettings,
    CropSettings,
    FilterSettings,
    GallerySettings,
    PredictSettings,
)
from doc_detect.synth_config import SYNTH_PRESETS, SynthSettings
from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings

COMMANDS = {
    "synth": Command(SynthSettings, "doc_detect.synth.generate:synth", SYNTH_PRESETS),
    "train": Command(TrainSettings, "doc_detect.train:train", PRESETS),
    "evaluate": Command(EvaluateSettings, "doc_detect.evaluate:evaluate"),
    "predict": Command(PredictSettings, "doc_detect.predict:main"),
    "filter": Command(FilterSettings, "doc_detect.filter:main"),
    "crop": Command(CropSettings, "doc_detect.crop:main"),
    "gallery": Command(GallerySettings, "doc_detect.gallery:main"),
    "convert": Command(ConvertSettings, "doc_detect.convert.forms:main"),
    "export": Command(ExportSettings, "doc_detect.export:export"),
    "study": Command(StudySettings, "doc_detect.study:study"),
    "bench": Command(BenchSettings, "doc_detect.bench:main"),
    "demo": Command(DemoSettings, "doc_detect.demo:main"),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("doc-detect", "Find illustrations, initials, tables and stamps in scanned pages.", COMMANDS)


if __name__ == "__main__":
    main()
