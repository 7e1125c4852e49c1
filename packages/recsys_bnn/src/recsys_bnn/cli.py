"""The `recsys-bnn` command line: a table from command to settings and function."""

from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import (
    PRESETS,
    STUDY_PRESETS,
    BenchSettings,
    EvaluateSettings,
    StudySettings,
    TrainSettings,
)
from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings

EXPERT = (
    "log_every",
    "checkpoint_every",
    "missing_flags",
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

COMMANDS = {
    "prepare": Command(
        PrepareConfig,
        "recsys_bnn.prepare:prepare",
        examples=(
            "criteo-kaggle --input train.txt --out data/criteo",
            "table --input clicks.csv --schema columns.toml --out data/clicks",
        ),
        inputs=("input", "schema", "vocabulary"),
    ),
    "train": Command(
        TrainSettings,
        "recsys_bnn.train:train",
        PRESETS,
        examples=(
            "--data data/criteo --out runs/float",
            "--data data/criteo --out runs/binary --embedding-bits 1 --mlp-bits 1",
        ),
        extra="train",
        inputs=("data", "resume", "init", "teacher"),
        required=("data",),
        advanced=EXPERT,
    ),
    "evaluate": Command(
        EvaluateSettings,
        "recsys_bnn.evaluate:evaluate",
        examples=("--run runs/float", "--run runs/binary --baseline runs/float"),
        extra="train",
        inputs=("run", "data", "baseline"),
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
        advanced=EXPERT,
    ),
    "bench": Command(
        BenchSettings,
        "recsys_bnn.bench:bench",
        examples=("--out runs/bench --parts prepare", "--out runs/bench --peer dlrm --rows 1000000"),
        extra="train",
        inputs=("peer",),
    ),
    "demo": Command(
        DemoSettings,
        "recsys_bnn.demo:main",
        examples=("", "--out runs/first-look --threads 1"),
        extra="train",
        inputs=("data",),
    ),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("recsys-bnn", "Quantized and binary neural networks for recommenders.", COMMANDS)


if __name__ == "__main__":
    main()
