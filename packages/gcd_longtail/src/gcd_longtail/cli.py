"""The `gcd-longtail` command line: a table from command to settings and function."""

from gcd_longtail.config import (
    DiscoverSettings,
    EvaluateSettings,
    FeaturesSettings,
    PredictSettings,
    SplitSettings,
    TrainSettings,
)
from gcd_longtail.methods_config import BenchSettings, EstimateKSettings, StudySettings
from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings

COMMANDS = {
    "split": Command(SplitSettings, "gcd_longtail.split:split"),
    "features": Command(FeaturesSettings, "gcd_longtail.features:features"),
    "estimate-k": Command(EstimateKSettings, "gcd_longtail.estimate_command:estimate_k"),
    "train": Command(TrainSettings, "gcd_longtail.train:train"),
    "evaluate": Command(EvaluateSettings, "gcd_longtail.evaluate:evaluate"),
    "predict": Command(PredictSettings, "gcd_longtail.predict:predict"),
    "discover": Command(DiscoverSettings, "gcd_longtail.discover:discover"),
    "study": Command(StudySettings, "gcd_longtail.study:study"),
    "bench": Command(BenchSettings, "gcd_longtail.bench:bench"),
    "demo": Command(DemoSettings, "gcd_longtail.demo:main"),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("gcd-longtail", "Generalized category discovery on long-tailed data.", COMMANDS)


if __name__ == "__main__":
    main()
