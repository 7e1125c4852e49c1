"""The model card of a packed file: what it is, how good it was found to be, and how it is used."""

from collections.abc import Sequence
from typing import Any

from recsys_bnn.data.dataset import Dataset
from recsys_bnn.settings.training import TrainSettings
from seminar_common.results import Results, Row

_SHOWN = ("roc_auc", "log_loss", "normalized_entropy", "accuracy", "calibration_error")


def model_card(
    settings: TrainSettings, dataset: Dataset, results: Results | None, sizes: Sequence[str], name: str
) -> str:
    """Return the card as Markdown.

    Args:
        settings: What the model was trained with.
        dataset: What it was trained on.
        results: What `evaluate` measured, if it did.
        sizes: Lines about bytes and parity.
        name: Name of the packed file.
    """
    bits = settings.model
    parts = [
        f"# {bits.name}",
        f"A DLRM that gives click probabilities, trained by `recsys-bnn train` with the preset `{settings.preset}` and "
        f"seed {settings.seed} on {dataset.name}.",
        _bullets(
            [
                f"Tables: {_bits(bits.embedding_bits)}, {bits.embedding_dim} values a row"
                + (f"; frequent rows {_bits(bits.hot_bits)}" if bits.hot_bits else ""),
                f"Bottom MLP: {', '.join(map(str, bits.bottom_mlp))}; {_layers(bits.bottom_bits.layers)}",
                f"Top MLP: {', '.join(map(str, bits.top_mlp))}; {_layers(bits.top_bits.layers)}",
                *sizes,
            ]
        ),
        "## Figures",
        _figures(results),
        "## What it reads",
        _features(dataset),
        "A value that training never saw counts as unknown. None, NaN and an empty text count as missing.",
        "## Use",
        f'```python\nimport recsys_bnn\n\nmodel = recsys_bnn.load("{name}")\nmodel.predict(rows)  # a mapping, a list of '
        "mappings, a data frame or an Arrow table\n```",
        "It was fitted to one log. Its probabilities hold for rows that come as those did; measure it on rows of your own.",
    ]
    return "\n\n".join(parts) + "\n"


def _bits(bits: int) -> str:
    return "float" if bits == 32 else f"{bits} bit{'s' if bits > 1 else ''}"


def _layers(layers: Sequence[Any]) -> str:
    kinds = list(dict.fromkeys((layer.weights, layer.activations) for layer in layers))
    return " and ".join(f"weights {_bits(weights)}, inputs {_bits(inputs)}" for weights, inputs in kinds)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _figures(results: Results | None) -> str:
    rows = (
        []
        if results is None
        else [row for row in results.rows if row.metric in _SHOWN and row.baseline is None]
    )
    if not rows:
        return "None were measured: `recsys-bnn evaluate` had not been run when the model was packed."
    head = "| data | metric | value | 95% interval | rows |\n| --- | --- | ---: | --- | ---: |"
    return "\n".join([head, *map(_figure, rows)])


def _figure(row: Row) -> str:
    interval = "" if row.ci_low is None or row.ci_high is None else f"[{row.ci_low:.4f}, {row.ci_high:.4f}]"
    return f"| {row.dataset}, {row.split} | {row.metric} | {row.value:.4f} | {interval} | {row.n or ''} |"


def _features(dataset: Dataset) -> str:
    kinds = dataset.description["kinds"]
    signed = dataset.description["normalisation"].get("signed", 0)
    whole = len(dataset.integer_names) - signed
    lines = [
        _listed("Whole numbers", dataset.integer_names[:whole]),
        _listed("Decimal numbers", dataset.integer_names[whole:]),
        *(
            _listed(
                f"Categories ({kind})",
                [n for n, k in zip(dataset.categorical_names, kinds, strict=True) if k == kind],
            )
            for kind in dict.fromkeys(kinds)
        ),
    ]
    return _bullets([line for line in lines if line])


def _listed(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - 40} more" if len(names) > 40 else ""
    return f"{what}: {', '.join(names[:40])}{more}" if names else ""
