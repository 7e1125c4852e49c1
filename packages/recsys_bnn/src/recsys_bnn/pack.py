"""Turn a trained run into one file that scores raw rows without PyTorch, once its scores are known to agree."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch

from recsys_bnn.data.dataset import Batch, Dataset, open_dataset
from recsys_bnn.data.stored_runs import stored_settings
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.trained import load_model
from recsys_bnn.packing.card import model_card
from recsys_bnn.packing.encoding import encoding_section
from recsys_bnn.packing.model import to_spec
from recsys_bnn.packing.parity import TOLERANCE, Parity, Traced, parity
from recsys_bnn.runtime.engines import ENGINES, EngineUnavailable
from recsys_bnn.runtime.packed_file import PackedFile, model_bytes, read_packed, write_packed
from recsys_bnn.runtime.spec import ModelSpec
from recsys_bnn.settings.pack import PackSettings
from seminar_common import cost, files, runs
from seminar_common.errors import UserError
from seminar_common.identity import digest
from seminar_common.progress import progress, say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row, as_document, read_results
from seminar_common.runs import Run

UNEXPLAINED = 0.001
"""Share of the compared rows that may differ without a cause that is known."""
SHOWN = ("size_mb", "packed_mb", "packed_ratio", "encoding_mb", "file_mb", "parity_share", "parity_max")
_BATCH = 4096


def pack(settings: PackSettings) -> Results:
    """Write the packed model and its card, and the measured bytes into ``RUN/packed``.

    Raises:
        UserError: the run is unfinished or its data are gone, ``settings.out`` exists, or the packed scores are not
            those of the run; nothing is written then.
    """
    files.refuse_existing(settings.out)
    run = runs.open_run(settings.run)
    dataset = _dataset(run, settings)
    model = load_model(run, dataset)
    spec = to_spec(model)
    engines, absent = _engines(spec)
    compared = _compare(model, engines, dataset, settings.check_rows)
    _require_agreement(run, compared)
    encoding, arrays = encoding_section(dataset, _ids_read(spec, dataset))
    lines = _lines(spec, sum(array.nbytes for array in arrays.values()))
    lines += [_agreement(name, found) for name, found in compared.items()]
    lines += [f"{name} engine: not compared with PyTorch, {reason}" for name, reason in absent.items()]
    manifest = _manifest(run, dataset, encoding, compared)
    manifest["card"] = model_card(stored_settings(run), dataset, _measured(run), lines, settings.out.name)
    with files.atomic_path(settings.out) as temporary:
        write_packed(temporary, spec, arrays, manifest)
        file = read_packed(temporary)  # so that nothing gets its name that can't be read
    files.write_text(settings.out.with_suffix(".md"), manifest["card"])
    say(f"packed {manifest['name']} into {settings.out}, {file.file_bytes:,} bytes: {'; '.join(lines)}")
    return _publish(run, dataset, model, file, compared)


def _dataset(run: Run, settings: PackSettings) -> Dataset:
    folder = settings.data or stored_settings(run).data
    if folder is None or not folder.is_dir():
        raise UserError(
            f"{run.folder}: the data that it was trained on are no longer at {folder}; give their folder as --data"
        )
    return open_dataset(folder)


def _engines(spec: ModelSpec) -> tuple[list[Traced], dict[str, str]]:
    """Return the engines that run here, and why the others don't."""
    found, absent = [], {}
    for name in sorted(
        ENGINES, key=lambda name: name != "numpy"
    ):  # first the one that defines what the file means
        try:
            found.append(cast(Traced, ENGINES[name](spec, 1)))
        except EngineUnavailable as error:
            absent[name] = str(error)
    return found, absent


def _compare(model: DLRM, engines: Sequence[Traced], dataset: Dataset, count: int) -> dict[str, Parity]:
    with progress(
        "comparing scores", min(count, len(dataset.rows("test", "val", "train"))), unit="rows"
    ) as advance:
        return parity(model, engines, _counted(_batches(dataset, count), advance))


def _batches(dataset: Dataset, count: int) -> Iterator[Batch]:
    """Yield ``count`` rows, test rows first."""
    splits = [name for name in ("test", "val", "train") if len(dataset.rows(name))]
    for batch in itertools.chain.from_iterable(dataset.rows(name).batches(_BATCH) for name in splits):
        taken = min(count, len(batch.labels))
        if not taken:
            return
        yield Batch(batch.labels[:taken], batch.integers[:taken], batch.categoricals[:taken])
        count -= taken


def _counted(batches: Iterator[Batch], advance: Any) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        advance(len(batch.labels))


def _require_agreement(run: Run, compared: Mapping[str, Parity]) -> None:
    for name, found in compared.items():
        if found.unexplained > UNEXPLAINED * found.rows:
            raise UserError(
                f"{run.folder}: by the {name} engine {found.unexplained:,} of {found.rows:,} packed scores differ from "
                f"PyTorch's by more than {TOLERANCE:g}, up to {found.greatest:.2g}, and no rounding explains it; nothing "
                "was written. This is a fault of packing: please report it with the run's config.json"
            )


def _ids_read(spec: ModelSpec, dataset: Dataset) -> Sequence[int]:
    """Return the number of ids of each field that the model tells apart.

    Table rows are enough for the interactions: a value beyond them reads as unknown. The first-order term adds something
    for an unknown value and nothing for a known one without a weight, so it needs them all.
    """
    return spec.table.cardinalities.tolist() if spec.first_order is None else dataset.cardinalities


def _manifest(
    run: Run, dataset: Dataset, encoding: dict[str, Any], compared: Mapping[str, Parity]
) -> dict[str, Any]:
    measured, settings = _measured(run), run.config()["settings"]
    return {
        "name": stored_settings(run).model.name,
        "dataset": dataset.name,
        "vocabulary": dataset.vocabulary,
        "run": digest({"settings": settings}),
        "settings": settings,
        "encoding": encoding,
        "figures": [] if measured is None else as_document(measured)["rows"],
        "parity": {name: dataclasses.asdict(found) for name, found in compared.items()},
    }


def _measured(run: Run) -> Results | None:
    return read_results(run.folder) if (run.folder / "results.json").is_file() else None


def _lines(spec: ModelSpec, encoding_bytes: int) -> list[str]:
    """Return what there is to say of bytes."""
    packed, plain = model_bytes(spec), float_bytes(spec)
    model = f"model {packed:,} bytes, in 32 bits {plain:,} ({plain / packed:.1f} times as many)"
    return [model, f"vocabulary and normalisation {encoding_bytes:,} bytes"]


def _agreement(engine: str, found: Parity) -> str:
    """Return what there is to say of an engine's scores."""
    if not found.rows:
        return f"{engine} engine: not compared with PyTorch, as no rows were asked for"
    agreement = (
        f"{engine} engine: {100 * found.share_within:.3f}% of {found.rows:,} scores within {TOLERANCE:g} of PyTorch's, "
        f"greatest difference {found.greatest:.1e}"
    )
    if found.beyond:
        at_edge = found.beyond - found.unexplained
        agreement += (
            f"; {at_edge} of the {found.beyond} other rows have an input at the edge between two codes"
        )
    return agreement


def float_bytes(spec: ModelSpec) -> int:
    """Return the bytes of the same layers, tables and first-order weights in 32 bits, one sign an input."""
    layers = sum(layer.outputs * (layer.values + 2) for layer in spec.layers())  # with gain and bias
    table = int(spec.table.rows.sum()) * spec.table.dim
    wide = (
        0 if spec.first_order is None else len(spec.first_order.codes) + len(spec.first_order.integer_weights)
    )
    return 4 * (layers + table + wide)


def _publish(
    run: Run, dataset: Dataset, model: DLRM, file: PackedFile, compared: Mapping[str, Parity]
) -> Results:
    name = stored_settings(run).model.name
    megabytes = {
        "size_mb": cost.size_mb(model.tensor_sizes()),
        "packed_mb": file.model_bytes / 1e6,
        "encoding_mb": file.encoding_bytes / 1e6,
        "file_mb": file.file_bytes / 1e6,
    }
    rows = [Row(name, dataset.name, "", metric, value, unit="MB") for metric, value in megabytes.items()]
    rows.append(Row(name, dataset.name, "", "packed_ratio", float_bytes(file.spec) / file.model_bytes))
    for engine, found in compared.items():
        if found.rows:
            agreement = {"parity_share": found.share_within, "parity_max": found.greatest}
            rows += [
                Row(name, dataset.name, "", m, value, n=found.rows, engine=engine)
                for m, value in agreement.items()
            ]
    results = Results(runs.command_line(), tuple(rows))
    environment = runs.environment(torch.get_num_threads(), data={dataset.name: dataset.fingerprint})
    section = Section(f"{name}, packed", results, run.config(), environment)
    return publish(run.folder / "packed", f"{name}, packed", section, shown=SHOWN)
