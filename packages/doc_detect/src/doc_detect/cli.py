"""The `doc-detect` command line: a table from command to settings and function."""

from doc_detect.settings.adapt_study import ADAPT_STUDY_PRESETS, AdaptStudySettings
from doc_detect.settings.adaptation import ADAPT_PRESETS, AdaptSettings
from doc_detect.settings.job import (
    BenchSettings,
    ConvertSettings,
    CropSettings,
    FilterSettings,
    GallerySettings,
    PredictSettings,
)
from doc_detect.settings.pretraining import PRETRAIN_PRESETS, PretrainSettings
from doc_detect.settings.selection import SelectSettings
from doc_detect.settings.synth import SYNTH_PRESETS, SynthSettings
from doc_detect.settings.training import (
    PRESETS,
    EvaluateSettings,
    ExportSettings,
    StudySettings,
    TrainSettings,
)
from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings

EXPERT = (
    "degradation",
    "weights",
    "channels",
    "head_convs",
    "trim",
    "folded",
    "kept_levels",
    "score_threshold",
    "nms_iou",
    "max_detections",
    "size_jitter",
    "backbone_learning_rate",
    "weight_decay",
    "warmup",
    "ema_decay",
    "balance",
    "log_every",
    "validation_pages",
)
"""Options of `train` that the presets set well; `--help-all` shows them."""

ADAPT_EXPERT = (
    "frozen_stages",
    "checkpoint_every",
    "log_every",
    "max_megapixels",
    "labelled_share",
    "agree",
    "rounds",
    "measured",
    "paper_share",
    "fourier_share",
    "fourier_beta",
    "pasted",
    "reversal",
    "painted",
    "fewest",
    "views",
    "sizes",
    "size_jitter",
    "backbone_learning_rate",
    "weight_decay",
    "warmup",
    "ema_decay",
    "balance",
)
"""The same of `adapt`."""

ADAPT_STUDY_EXPERT = (
    "oracle_kept",
    "factor_seeds",
    "frozen_stages",
    "agree",
    "rounds",
    "painted",
    "fewest",
    "views",
    "sizes",
    "size_jitter",
    "backbone_learning_rate",
    "weight_decay",
    "warmup",
    "ema_decay",
    "balance",
)
"""The same of `adapt-study`."""

PRETRAIN_EXPERT = (
    "weights",
    "channels",
    "head_convs",
    "trim",
    "folded",
    "kept_levels",
    "score_threshold",
    "nms_iou",
    "max_detections",
    "architecture",
    "engine",
    "temperature",
    "log_every",
    "checkpoint_every",
    "max_megapixels",
    "backbone_learning_rate",
    "weight_decay",
    "warmup",
    "ema_decay",
)
"""The same of `pretrain`."""

RUN = {"config.json": ("doc-detect train", "doc-detect adapt", "doc-detect pretrain")}
PREDICTIONS = {"config.json": ("doc-detect predict",)}

COMMANDS = {
    "synth": Command(
        SynthSettings,
        "doc_detect.synth:synth",
        SYNTH_PRESETS,
        examples=(
            "--out data/pages --pages 4000 --ink",
            "--out data/catalogues --world catalogue --pages 500 --workers 4",
        ),
        inputs=("pictures", "fonts"),
        new=("out",),
        marks={"out": {"synth.json": ("doc-detect synth",)}},
    ),
    "pretrain": Command(
        PretrainSettings,
        "doc_detect.pretrain:pretrain",
        PRETRAIN_PRESETS,
        examples=(
            "--images scans/ --out runs/seen",
            "--images scans/ --init imagenet --method dense-contrast --out runs/seen",
            "--resume runs/seen",
        ),
        extra="train",
        inputs=("images", "init", "resume"),
        words={"init": ("default", "imagenet", "none")},
        new=("out",),
        marks={"resume": {"config.json": ("doc-detect pretrain",)}},
        advanced=PRETRAIN_EXPERT,
    ),
    "train": Command(
        TrainSettings,
        "doc_detect.train:train",
        PRESETS,
        examples=(
            "--data data/pages --out runs/source-only",
            "--data data/catalogues --init default --steps 400 --out runs/second-stage",
            "--resume runs/source-only",
        ),
        extra="train",
        inputs=("data", "resume", "init"),
        words={"init": ("default",)},
        new=("out",),
        marks={"resume": {"config.json": ("doc-detect train",)}},
        required=("data",),
        advanced=EXPERT,
    ),
    "adapt": Command(
        AdaptSettings,
        "doc_detect.adapt:adapt",
        ADAPT_PRESETS,
        examples=(
            "--target scans/ --out runs/adapted",
            "--run runs/source-only --target scans/ book.pdf --out runs/adapted",
            "--target scans/ --labelled boxed.json --out runs/adapted",
            "--resume runs/adapted",
        ),
        extra="train",
        inputs=("target", "run", "model", "resume", "source", "labelled"),
        words={"model": ("default",)},
        new=("out",),
        marks={"run": RUN, "resume": {"config.json": ("doc-detect adapt",)}},
        advanced=ADAPT_EXPERT,
    ),
    "select": Command(
        SelectSettings,
        "doc_detect.select:main",
        examples=(
            "--target scans/ --budget 50 --out chosen",
            "--target scans/ book.pdf --run runs/adapted --copy --out chosen",
        ),
        extra="train",
        inputs=("target", "run", "model"),
        words={"model": ("default",)},
        new=("out",),
        marks={"run": RUN, "out": {"config.json": ("doc-detect select",)}},
        advanced=("max_megapixels",),
    ),
    "evaluate": Command(
        EvaluateSettings,
        "doc_detect.evaluate:evaluate",
        examples=(
            "--run runs/source-only --data historical/test.json",
            "--model detector.onnx --data labels.json --out runs/onnx",
        ),
        extra="train",
        inputs=("run", "data", "model"),
        marks={"run": RUN},
        advanced=("precision", "resamples"),
    ),
    "predict": Command(
        PredictSettings,
        "doc_detect.predict:main",
        examples=(
            "scans/ book.pdf --out found",
            "'scans/**/*.tif' --out found --model detector.onnx --workers 8",
            "/archive/scans --out /archive/found --cluster tcp://host:8786",
            "https://example.org/book/manifest.json --download --out found",
        ),
        inputs=("inputs", "model", "run", "images"),
        new=("out",),
        marks={"run": RUN, "out": PREDICTIONS},
        required=("inputs",),
    ),
    "filter": Command(
        FilterSettings,
        "doc_detect.filter:main",
        examples=(
            "--predictions found --has graphic --not table",
            "--predictions found --has drop_capital --min-score 0.7 --copy initials",
        ),
        inputs=("predictions", "images"),
        outputs=("copy", "link"),
        new=("copy", "link"),
        marks={"predictions": PREDICTIONS},
    ),
    "crop": Command(
        CropSettings,
        "doc_detect.crop:main",
        examples=(
            "--predictions found --out cut",
            "--predictions found --out stamps --label stamp --caption none",
        ),
        inputs=("predictions", "images"),
        new=("out",),
        marks={"predictions": PREDICTIONS},
    ),
    "gallery": Command(
        GallerySettings,
        "doc_detect.gallery:main",
        examples=("--predictions found", "--predictions found --order finds --has graphic --pages 300"),
        inputs=("predictions", "images"),
    ),
    "convert": Command(
        ConvertSettings,
        "doc_detect.convert:main",
        examples=("found --to page-xml --out xml", "labels.json --to coco --out truth.json"),
        inputs=("input", "manifest"),
        new=("out",),
    ),
    "export": Command(
        ExportSettings,
        "doc_detect.export:export",
        examples=(
            "--run runs/source-only --out detector.onnx",
            "--out mine.onnx --margin-data labels.json --margin-pages 20",
        ),
        extra="train",
        inputs=("run", "model", "data", "calibration_data", "margin_data"),
        new=("out",),
        marks={"run": RUN},
    ),
    "study": Command(
        StudySettings,
        "doc_detect.study:study",
        examples=(
            "--test historical/test.json --out runs/study",
            "--test historical/test.json --out runs/study --run runs/source-only --peer rapid-layout",
        ),
        extra="train",
        inputs=("test", "target", "run", "model"),
        new=("out",),
        marks={"run": RUN, "out": {"study.json": ("doc-detect study",)}},
        advanced=("precision", "resamples"),
    ),
    "adapt-study": Command(
        AdaptStudySettings,
        "doc_detect.adapt_study:adapt_study",
        ADAPT_STUDY_PRESETS,
        examples=(
            "--target historical/train.json --test historical/test.json --out runs/near",
            "--target scans/ --test boxed.json --labelled a-few.json --budgets 5 10 25 --out runs/few",
            "--target scans/ --test boxed.json --labelled a-few.json --budgets 25 --pretrained runs/seen "
            "--no-oracle --out runs/starts",
        ),
        extra="train",
        inputs=("target", "test", "run", "model", "source", "labelled", "pretrained"),
        words={"model": ("default",)},
        new=("out",),
        marks={"run": RUN, "out": {"adapt-study.json": ("doc-detect adapt-study",)}},
        required=("out",),
        advanced=ADAPT_STUDY_EXPERT,
    ),
    "bench": Command(
        BenchSettings,
        "doc_detect.bench:bench",
        examples=("--out runs/bench", "--out runs/bench --data historical/test.json --threads 1 2 4"),
        extra="train",
        inputs=("data", "model", "run"),
        new=("out",),
        marks={"run": RUN},
    ),
    "demo": Command(
        DemoSettings,
        "doc_detect.demo:main",
        examples=("", "--out runs/first-look --threads 1"),
        extra="train",
        inputs=("data",),
        new=("out",),
        marks={"out": {"demo.json": ("doc-detect demo",)}},
    ),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("doc-detect", "Find illustrations, initials, tables and stamps in scanned pages.", COMMANDS)


if __name__ == "__main__":
    main()
