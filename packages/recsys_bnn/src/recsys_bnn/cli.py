"""The `recsys-bnn` command line: a table from command to settings and function."""

from recsys_bnn.config import (
    PRESETS,
    STUDY_PRESETS,
    BenchSettings,
    EvaluateSettings,
    StudySettings,
    TrainSettings,
)
from recsys_bnn.prepare_config import PrepareConfig
from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings

COMMANDS = {
    "prepare": Command(PrepareConfig, "recsys_bnn.prepare:prepare"),
    "train": Command(TrainSettings, "recsys_bnn.train:train", PRESETS),
    "evaluate": Command(EvaluateSettings, "recsys_bnn.evaluate:evaluate"),
    "study": Command(StudySettings, "recsys_bnn.study:study", STUDY_PRESETS),
    "bench": Command(BenchSettings, "recsys_bnn.bench:bench"),
    "demo": Command(DemoSettings, "recsys_bnn.demo:main"),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("recsys-bnn", "Quantized and binary neural networks for recommenders.", COMMANDS)


if __name__ == "__main__":
    main()
