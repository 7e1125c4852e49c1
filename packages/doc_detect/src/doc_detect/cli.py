"""The `doc-detect` command line: a table from command to settings and function."""

from doc_detect.config import PRESETS, EvaluateSettings, TrainSettings
from doc_detect.job_config import CropSettings, FilterSettings, GallerySettings, PredictSettings
from doc_detect.synth_config import SYNTH_PRESETS, SynthSettings
from seminar_common.cli import Command
from seminar_common.cli import main as run

COMMANDS = {
    "synth": Command(SynthSettings, "doc_detect.synth.generate:synth", SYNTH_PRESETS),
    "train": Command(TrainSettings, "doc_detect.train:train", PRESETS),
    "evaluate": Command(EvaluateSettings, "doc_detect.evaluate:evaluate"),
    "predict": Command(PredictSettings, "doc_detect.predict:main"),
    "filter": Command(FilterSettings, "doc_detect.filter:main"),
    "crop": Command(CropSettings, "doc_detect.crop:main"),
    "gallery": Command(GallerySettings, "doc_detect.gallery:main"),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("doc-detect", "Find illustrations, initials, tables and stamps in scanned pages.", COMMANDS)


if __name__ == "__main__":
    main()
