"""The `gcd-longtail` command line: a table from command to settings and function."""

from gcd_longtail.settings.commands import (
    DiscoverSettings,
    EvaluateSettings,
    ExportSettings,
    FeaturesSettings,
    PredictSettings,
    ReviewSettings,
    SplitSettings,
    TrainSettings,
)
from gcd_longtail.settings.methods import BenchSettings, EstimateKSettings, LoopSettings, StudySettings
from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings

SPLIT = {"split.json": ("gcd-longtail split",)}
FEATURES = {"features.json": ("gcd-longtail features",)}
TRAINED = {"config.json": ("gcd-longtail train",)}
DISCOVERED = {"config.json": ("gcd-longtail discover",)}
FOUND = {"config.json": ("gcd-longtail train", "gcd-longtail discover")}
WHERE = ("cache", "batch_size", "cluster")
EXPERT = (*WHERE, "precision", "download")
"""Knobs of the extraction of features."""

COMMANDS = {
    "split": Command(
        SplitSettings,
        "gcd_longtail.split:split",
        examples=(
            "--images caltech101.parquet --name caltech101 --out data/caltech101/seed0",
            "--images photos/ --imbalance-ratio 100 --out data/long-tail",
        ),
        inputs=("reuse", "bacon", "source.index", "source.test_index"),
        new=("out",),
    ),
    "features": Command(
        FeaturesSettings,
        "gcd_longtail.features:features",
        examples=(
            "--data data/caltech101/seed0",
            "--data data/caltech101/seed0 --backbone dino-vits16 --weights dino.safetensors --size 224",
        ),
        inputs=("data", "features.weights"),
        marks={"data": SPLIT},
        outputs=("cache",),
        advanced=EXPERT,
    ),
    "estimate-k": Command(
        EstimateKSettings,
        "gcd_longtail.estimate_k:estimate_k",
        examples=("--data data/caltech101/seed0", "--data data --out runs/k"),
        inputs=("data",),
        advanced=("estimate",),
    ),
    "train": Command(
        TrainSettings,
        "gcd_longtail.train:train",
        examples=(
            "--data data/caltech101/seed0 --method ward --out runs/ward",
            "--data data/caltech101/seed0 --method simgcd --k estimated",
        ),
        inputs=("data", "resume"),
        new=("out",),
        marks={"data": FEATURES, "resume": TRAINED},
        required=("data",),
    ),
    "evaluate": Command(
        EvaluateSettings,
        "gcd_longtail.evaluate:evaluate",
        examples=("--run runs/ward", "--run runs/ward --resamples 5000"),
        inputs=("run", "data"),
        marks={"run": TRAINED, "data": FEATURES},
    ),
    "predict": Command(
        PredictSettings,
        "gcd_longtail.predict:predict",
        examples=(
            "--run found --images more-photos/ --out sorted",
            "--run runs/ward --images photos/ --out sorted --threads 2",
        ),
        inputs=("run", "images", "weights"),
        new=("out",),
        marks={"run": FOUND},
        outputs=("out", "cache"),
        advanced=WHERE,
    ),
    "discover": Command(
        DiscoverSettings,
        "gcd_longtail.discover:discover",
        examples=(
            "--images photos/ --labels labels.csv --out found",
            "--images photos/ --labels labels.csv --k 40 --method ss-kmeans --out found",
            "--continue found/decisions.jsonl --out found-2",
        ),
        inputs=("images", "labels", "features.weights", "decisions", "run"),
        marks={"run": DISCOVERED},
        new=("out",),
        outputs=("out", "cache"),
        advanced=EXPERT,
    ),
    "review": Command(
        ReviewSettings,
        "gcd_longtail.review:review",
        examples=("--found found", "--found found --port 8000 --no-browser"),
        inputs=("run", "images"),
        outputs=("run",),
        marks={"run": DISCOVERED},
        waits=True,
    ),
    "export": Command(
        ExportSettings,
        "gcd_longtail.export:export",
        examples=(
            "--found found --out sorted",
            "--found found --to csv --decisions Downloads/decisions.jsonl --out table",
        ),
        inputs=("run", "decisions", "names", "images"),
        new=("out",),
        marks={"run": DISCOVERED},
    ),
    "study": Command(
        StudySettings,
        "gcd_longtail.study:study",
        examples=(
            "--data data/caltech101 --out runs/study",
            "--data data/caltech101 --methods ss-kmeans ward --k estimated --out runs/two",
        ),
        inputs=("data",),
    ),
    "loop": Command(
        LoopSettings,
        "gcd_longtail.loop:loop",
        examples=(
            "--data data/caltech101 --out runs/loop",
            "--data data/caltech101 --method ss-kmeans --budgets 10 20 40 --every 10 --out runs/loop",
        ),
        inputs=("data",),
    ),
    "bench": Command(
        BenchSettings,
        "gcd_longtail.bench:bench",
        examples=("--out runs/bench", "--rows 50000 --k 200 --pictures 0 --out runs/bench"),
        inputs=("peer",),
        new=("out",),
    ),
    "demo": Command(
        DemoSettings,
        "gcd_longtail.demo:main",
        examples=("", "--out runs/first-look --threads 1"),
        inputs=("data",),
        new=("out",),
        marks={"out": {"demo.json": ("gcd-longtail demo",)}},
    ),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("gcd-longtail", "Generalized category discovery on long-tailed data.", COMMANDS)


if __name__ == "__main__":
    main()
