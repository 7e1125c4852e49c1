"""The `recsys-bnn` command line: a table from command to settings and function."""

from recsys_bnn.settings.bench import BenchSettings
from recsys_bnn.settings.pack import PackSettings
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.recommend import RecommendSettings
from recsys_bnn.settings.score import ScoreSettings
from recsys_bnn.settings.serve import ServeSettings
from recsys_bnn.settings.training import (
    PRESETS,
    STUDY_PRESETS,
    EvaluateSettings,
    StudySettings,
    TrainSettings,
)
from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings

EXPERT = (
    "missing_flags",
    "first_order",
    "first_order_rate",
    "first_order_l2",
    "bottom_mlp_bits",
    "layer_bits",
    "engine",
    "quantizer",
    "embedding_scale",
    "embedding_init",
    "embedding_optimizer",
    "embedding_schedule",
    "fresh_tables",
    "order",
    "distillation",
    "hot_bits",
    "hot_share",
    "hashed_share",
    "kept_share",
    "thresholds",
    "weight_decay",
    "warmup",
)
"""Options of the ablations, and those that the presets set well; `--help-all` shows them."""

DATA = {"dataset.json": ("recsys-bnn prepare",)}
RUN = {"config.json": ("recsys-bnn train",)}

COMMANDS = {
    "prepare": Command(
        PrepareConfig,
        "recsys_bnn.prepare:prepare",
        examples=(
            "criteo-kaggle --input train.txt --out data/criteo",
            "table --input clicks.csv --schema columns.toml --out data/clicks",
        ),
        inputs=("input", "schema", "vocabulary"),
        new=("out",),
        marks={"vocabulary": DATA | RUN},
    ),
    "train": Command(
        TrainSettings,
        "recsys_bnn.train:train",
        PRESETS,
        examples=(
            "--data data/criteo --out runs/float",
            "--data data/criteo --out runs/binary --embedding-bits 1 --mlp-bits 1",
            "--data data/criteo --out runs/small --preset medium --target-size 30x",
        ),
        extra="train",
        inputs=("data", "resume", "init", "teacher"),
        new=("out",),
        marks={"data": DATA, "resume": RUN, "init": RUN, "teacher": RUN},
        required=("data",),
        advanced=("log_every", "checkpoint_every", *EXPERT),
    ),
    "evaluate": Command(
        EvaluateSettings,
        "recsys_bnn.evaluate:evaluate",
        examples=("--run runs/float", "--run runs/binary --baseline runs/float"),
        extra="train",
        inputs=("run", "data", "baseline"),
        new=("out",),
        marks={"run": RUN, "data": DATA, "baseline": RUN},
    ),
    "study": Command(
        StudySettings,
        "recsys_bnn.study:study",
        STUDY_PRESETS,
        examples=(
            "--data data/criteo --out runs/study",
            "--data data/criteo --out runs/two --models float binary --seeds 0 1 2 3 4",
        ),
        extra="train",
        inputs=("data",),
        required=("data", "out"),
        new=("out",),
        marks={"data": DATA, "out": {"study.json": ("recsys-bnn study",)}},
        advanced=EXPERT,
    ),
    "pack": Command(
        PackSettings,
        "recsys_bnn.pack:pack",
        examples=(
            "--run runs/binary --out model.safetensors",
            "--run runs/binary --out model.safetensors --data data/criteo --check-rows 10000",
        ),
        extra="train",
        inputs=("run", "data"),
        new=("out",),
        marks={"run": RUN, "data": DATA},
    ),
    "score": Command(
        ScoreSettings,
        "recsys_bnn.score:score",
        examples=(
            "--model model.safetensors --input test.txt --out scores.csv",
            "table --model model.safetensors --input new.csv --schema columns.toml --out scores.parquet",
        ),
        inputs=("model", "input", "schema"),
    ),
    "recommend": Command(
        RecommendSettings,
        "recsys_bnn.recommend:recommend",
        examples=(
            "--model films.safetensors --movielens ml-100k --user 42",
            '--model films.safetensors --movielens ml-100k --rated "Toy Story=5" "Heat=2"',
        ),
        inputs=("model", "movielens"),
    ),
    "serve": Command(
        ServeSettings,
        "recsys_bnn.serve:serve",
        examples=(
            "--model model.safetensors",
            "--model model.safetensors --host 0.0.0.0 --port 80 --workers 8",
        ),
        extra="serve",
        waits=True,
        inputs=("model",),
    ),
    "bench": Command(
        BenchSettings,
        "recsys_bnn.bench:bench",
        examples=(
            "--out runs/bench --parts prepare",
            "--out runs/bench --peer dlrm --rows 1000000",
            "--out runs/speed --parts inference --study runs/study",
        ),
        extra="train",
        inputs=("peer", "inference.study"),
        new=("out",),
    ),
    "demo": Command(
        DemoSettings,
        "recsys_bnn.demo:main",
        examples=("", "--out runs/first-look --threads 1"),
        extra="train",
        inputs=("data",),
        new=("out",),
        marks={"out": {"demo.json": ("recsys-bnn demo",)}},
    ),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("recsys-bnn", "Quantized and binary neural networks for recommenders.", COMMANDS)


if __name__ == "__main__":
    main()
