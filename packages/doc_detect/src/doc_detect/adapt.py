"""Adapt a detector to a collection: the command ``adapt``."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from lightning_fabric import Fabric

from doc_detect.adaptation.base import Lessons, Method, Problem, make_method, method_class
from doc_detect.adaptation.changes_page import CHANGES, write_changes
from doc_detect.adaptation.criterion import KEPT, Judgement, Look, judge, judged_rows, labelled_loss
from doc_detect.adaptation.labelled import (
    MARGIN_FROM,
    WEIGHTS_FROM,
    LabelledPage,
    on_ink,
    open_labelled,
    refs_of,
)
from doc_detect.adaptation.steps import Steps
from doc_detect.adaptation.target import Listed, Reader, TargetPage, decode_pages, list_pages
from doc_detect.adaptation.watch import WATCHED, Watch
from doc_detect.coco import CocoSet
from doc_detect.detectors.base import Detector, build_detector
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.from_onnx import load_onnx
from doc_detect.detectors.onnx import default_model, named_model
from doc_detect.detectors.scoring import Scoring, read_scoring, write_scoring
from doc_detect.detectors.torch import TorchDetector
from doc_detect.detectors.trained import DETECTOR, load_detector, refuse_kept
from doc_detect.export import card_of
from doc_detect.figures.calibration import fit_margin
from doc_detect.figures.detection_report import learning_curves, sure_find_curves
from doc_detect.pages import PageRef, ReadOptions
from doc_detect.predictions import FAILURES
from doc_detect.settings.adaptation import ADAPT_PRESETS, FEWEST_PAGES, AdaptSettings
from doc_detect.settings.training import ModelConfig
from doc_detect.train import Start
from doc_detect.training.optimization import blend
from doc_detect.training.pages import open_training, open_validation
from seminar_common import failures, runs, seeds
from seminar_common.checkpoints import load_tensors, load_weights, save_tensors
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.files import remove, write_json
from seminar_common.folding import fold_norms
from seminar_common.identity import require_same
from seminar_common.progress import say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results
from seminar_common.runs import Run
from seminar_common.settings import from_dict, to_dict
from seminar_common.training import (
    has_ended,
    open_or_resume,
    start_run,
)

WORK = "work"
"""In a run folder until it has ended: the source's weights and the decoded pages."""
ONNX = "adapted.onnx"
REJECTED = "rejected.onnx"
"""In the folder of a run that kept the source: the adapted detector that was refused, to look at or to measure."""
FACTS = "adaptation.json"
"""In a run folder: the verdict, its figures, and what was learned from."""
HELD_OUT = 0.2
"""Share of the pages that are not learned from, but judged on."""
MOST_HELD_OUT = 60
JUDGED_PAGES = 40
"""Pages of the source's world that the loss is measured on."""


def adapt(settings: AdaptSettings) -> Run:
    """Adapt a detector to the pages of ``settings.target``, or go on with a killed run; return its run folder.

    The folder then holds what a run of `train` holds, ``adapted.onnx``, ``adaptation.json`` with the verdict and what
    was learned from, and ``failures.csv`` where pages could not be read. A run that is judged worse than its source
    holds the source's weights.

    Raises:
        UserError: unusable settings, detector, pages or run folder, or a loss that is no longer finite.
    """
    run, settings = open_or_resume(settings, ADAPT_PRESETS, stored_adaptation)
    if run is not None and has_ended(run):
        remove(run.folder / WORK)
        return run
    if not settings.target:
        raise UserError("--target is missing: give the scans to adapt to")
    if method_class(settings.method).needs_source and settings.source is None:
        raise UserError(
            f"--source is missing: --method {settings.method} learns from labelled pages of the source's world"
        )
    if run is None:
        settings = dataclasses.replace(settings, out=_new_folder(settings), model=_model(settings))
    fabric = launch(settings.device)
    if fabric.world_size > 1:
        raise UserError("adapt works in one process: start it without torchrun")
    source = open_source(settings) if run is None else None
    if source is not None:
        refuse_kept(source.detector, settings.run or _model(settings))
    labels = source.detector.labels if source else _stored_model(cast(Run, run)).labels
    labelled = None if settings.labelled is None else open_labelled(settings.labelled, settings.map, labels)
    boxed = () if labelled is None else tuple(ref.path for ref in refs_of(labelled))
    listed = list_pages(settings.target, settings.pages, settings.seed, boxed)
    if not _teaches(labelled, settings):
        _refuse_few(len(listed.refs), settings)
    world = settings.source
    known = None if world is None else (open_training(world), open_validation(world))
    if run is None:
        assert source is not None
        run = _start(fabric, settings, source, _data(listed, labelled))
    else:
        way_out = "bring back the pages as they were, or start a new run"
        require_same(run.config(), _data(listed, labelled), run.folder, way_out)
    _Adaptation(fabric, run, settings, listed, labelled, known).finish()
    return run


def stored_adaptation(run: Run) -> AdaptSettings:
    """Return the settings that a run of `adapt` was made with.

    Raises:
        UserError: the run is of another command, topic or version.
    """
    return runs.stored_settings(run, AdaptSettings, "doc-detect", "adapt")


def _new_folder(settings: AdaptSettings) -> Path:
    folder = settings.out or runs.default_folder("doc_detect", "adapt", settings.preset, settings.seed)
    runs.refuse_existing(folder)
    return folder


def _model(settings: AdaptSettings) -> Path | None:
    """Return the ONNX file to adapt, None where a run is adapted."""
    if settings.run is not None:
        return None
    return default_model() if settings.model is None else named_model(settings.model)


def _teaches(labelled: CocoSet | None, settings: AdaptSettings) -> bool:
    """Say whether labelled pages are trained on, so that no others are needed."""
    enough = labelled is not None and len(labelled.pages) >= WEIGHTS_FROM
    return enough and method_class(settings.method).learns_labelled


def _refuse_few(count: int, settings: AdaptSettings) -> None:
    if count < FEWEST_PAGES:
        target = " ".join(map(str, settings.target))
        beside = "" if settings.labelled is None else " and are not among the labelled ones"
        raise UserError(
            f"--target {target}: {count} pages that can be read{beside}; {FEWEST_PAGES} or more are needed"
        )


def _stored_model(run: Run) -> ModelConfig:
    return from_dict(ModelConfig, run.config()[DETECTOR], run.folder / runs.MARKER)


def _data(listed: Listed, labelled: CocoSet | None) -> dict[str, Any]:
    """Return what tells the pages of a run from others."""
    return {
        "labelled_pages": "" if labelled is None else labelled.fingerprint,
        "data_fingerprint": listed.fingerprint,
        "pages": len(listed.refs),
    }


def _start(fabric: Fabric, settings: AdaptSettings, source: Start, data: dict[str, Any]) -> Run:
    name = _target_name(settings)
    more = {"model": settings.name, "dataset": name, DETECTOR: to_dict(source.detector.config)}
    config = runs.envelope("doc-detect", "adapt", settings, **data, **more)
    assert settings.out is not None
    run = start_run(fabric, settings.out, config, data={name: data["data_fingerprint"]})
    _keep_source(run, source)
    return run


def open_source(settings: AdaptSettings) -> Start:
    """Return the detector to adapt, its batch norms folded, and what its scores mean.

    Raises:
        UserError: there is none, or its architecture can't be adapted.
    """
    if settings.run is None:
        loaded = load_onnx(_model(settings) or default_model())
        return Start(loaded.detector, loaded.scoring)
    detector = load_detector(runs.open_run(settings.run))
    if not isinstance(detector, FCOSDetector):
        raise UserError(
            f"--run {settings.run}: is a {detector.config.architecture}; adapt works with fcos alone"
        )
    fold_norms(detector.backbone.network)
    detector.config = dataclasses.replace(detector.config, folded=True, weights="none")
    return Start(detector, read_scoring(settings.run))


def _target_name(settings: AdaptSettings) -> str:
    first = settings.target[0].absolute()
    return first.stem if first.is_file() else first.name


def _keep_source(run: Run, source: Start) -> None:
    save_tensors(run.folder / WORK / "source.safetensors", source.detector.state_dict())
    write_scoring(source.scoring, run.folder)


class _Adaptation:
    """One adaptation: pages, lessons, steps, verdict."""

    def __init__(
        self,
        fabric: Fabric,
        run: Run,
        settings: AdaptSettings,
        listed: Listed,
        labelled: CocoSet | None,
        known: tuple[CocoSet, CocoSet] | None,
    ):
        self.known = known
        self.fabric, self.run, self.settings = fabric, run, settings
        self.work = run.folder / WORK
        self.clock = time.process_time()
        source = self._source()
        self.scoring = source.scoring
        self.looks: list[Look] = []
        """What source and adapted detector find on the held-out pages, once it was judged."""
        self.source = source.detector.to(fabric.device).eval().requires_grad_(False)
        pages = self._decode(listed)
        self.labelled, boxed = None, []
        if labelled is not None:
            self.labelled, boxed = self._decode_labelled(labelled)
        self.lessons = self._lessons(boxed)
        if not self.lessons:
            _refuse_few(len(pages), settings)
        count = min(MOST_HELD_OUT, max(1, round(HELD_OUT * len(pages))))
        order = seeds.numpy_generator(settings.seed, "held-out").permutation(len(pages))
        self.held_out = [pages[i] for i in sorted(order[:count])]
        self.pages = [pages[i] for i in sorted(order[count:])]

    def _source(self) -> Start:
        stored = self.work / "source.safetensors"
        if not stored.exists():  # killed before it was written
            _keep_source(self.run, open_source(self.settings))
        detector = build_detector(_stored_model(self.run))
        load_weights(detector, load_tensors(stored)[0], stored)
        return Start(detector, read_scoring(self.run.folder))

    def _decode(self, listed: Listed) -> list[TargetPage]:
        table = self.run.folder / FAILURES
        if listed.failures:
            failures.add(table, listed.failures)
        pages = self._decoded(listed.refs, "pages")
        if table.exists():
            say(f"{len(failures.read(table)):,} could not be read: see {table}")
        return pages

    def _decoded(self, refs: Sequence[PageRef], folder: str) -> list[TargetPage]:
        settings, config = self.settings, self.source.config
        reader = Reader(config.size, config.trim, ReadOptions(settings.pdf_pixels, settings.max_megapixels))
        table, limit = self.run.folder / FAILURES, settings.page_timeout
        return decode_pages(refs, self.work / folder, reader, settings.work, limit, table)

    def _decode_labelled(self, labelled: CocoSet) -> tuple[CocoSet, list[TargetPage]]:
        """Return the labelled pages that can be read, and how the detector sees them."""
        refs = refs_of(labelled)
        boxed = self._decoded(refs, "labelled")
        names = {page.name for page in boxed}
        kept = [p for p, ref in zip(labelled.pages, refs, strict=True) if str(ref.path) in names]
        if len(kept) < MARGIN_FROM:
            raise UserError(
                f"--labelled {labelled.path}: {len(kept)} of its pages can be read; {MARGIN_FROM} or more are needed"
            )
        return dataclasses.replace(labelled, pages=tuple(kept)), boxed

    def _lessons(self, boxed: Sequence[TargetPage]) -> list[LabelledPage]:
        """Return the labelled pages to train on, their boxes taken back to the ink; none where they are too few."""
        if self.labelled is None or len(boxed) < WEIGHTS_FROM:
            return []
        if not method_class(self.settings.method).learns_labelled:
            return []
        return on_ink(self.labelled, boxed, self.source.labels, self._margin(self.source, self.labelled))

    def _margin(self, detector: Detector, labelled: CocoSet) -> dict[str, float]:
        try:
            return fit_margin(self._in_use(detector), labelled, len(labelled.pages), self.settings.seed)
        except UserError as error:  # nothing of it was found, which is no reason to end here
            say(f"no margin could be fitted: {error}")
            return dict(self.scoring.margin)

    def _scoring(self, detector: Detector) -> Scoring:
        """Return what the scores of an adapted detector mean, and its margin: fitted anew where pages are labelled."""
        if self.labelled is None:
            return self.scoring
        return dataclasses.replace(self.scoring, margin=self._margin(detector, self.labelled))

    def _in_use(self, detector: Detector) -> TorchDetector:
        return TorchDetector(detector, self.fabric.device, scoring=self.scoring)

    def finish(self) -> None:
        """Do what remains, and write what the run is for."""
        synthetic = None if self.known is None else self.known[0]
        problem = Problem(
            self.source, self.scoring, self.pages, synthetic, self.lessons, self.settings, self.run.folder
        )
        method = make_method(problem)
        lessons = method.prepare()
        say(lessons.line)
        adapted, judgement = self._train(method, lessons)
        title = _target_name(self.settings)
        write_changes(self.run.folder / CHANGES, self.looks, self.source.labels, judgement, lessons, title)
        if judgement.verdict in KEPT:
            if lessons.learned:
                card = card_of(self.run, self.trainer.shell.steps) | {"verdict": judgement.verdict}
                adapted.export(self.run.folder / REJECTED, card | self._scoring(adapted).facts())
            adapted.load_state_dict(self.source.state_dict())
        say(f"{judgement.verdict}: {judgement.reason}")
        self._write(adapted, lessons, judgement)

    def _train(self, method: Method, lessons: Lessons) -> tuple[Detector, Judgement]:
        """Return the adapted detector and what is to be said of it."""
        watch = Watch(self.held_out, lessons.learned, self._in_use)
        self.trainer = Steps(self.fabric, self.run, self.settings, self.source, method, watch)
        if not lessons.learned:
            nothing = Judgement("nothing to learn, kept the source", lessons.line, len(self.held_out))
            return self.trainer.average, nothing
        if not self.run.logged():
            counts = {f"{kind}_{label}": n for label, of in lessons.counts.items() for kind, n in of.items()}
            self.run.log({"step": 0, **counts, **watch.look(self.source)})
        adapted = self.trainer.fit(self.clock)
        blend(adapted, self.source, self.settings.kept)  # steadier than either end (WiSE-FT)
        method.finish(adapted)
        return adapted, self._judge(adapted, lessons)

    def _judge(self, adapted: Detector, lessons: Lessons) -> Judgement:
        losses = None
        if self.known is not None:
            say("measuring the loss on pages of the source's world")
            loss = labelled_loss(self.source, self.known[1], JUDGED_PAGES)
            losses = (loss, labelled_loss(adapted, self.known[1], JUDGED_PAGES))
        before, after = self._in_use(self.source), self._in_use(adapted)
        # What labelled pages teach may well be found more or less often than before.
        counted = [label for label in lessons.learned if label not in lessons.taught]
        boxed = bool(self.lessons)
        return judge(before, after, self.held_out, counted, losses, self.settings.seed, self.looks, boxed)

    def _write(self, adapted: Detector, lessons: Lessons, judgement: Judgement) -> None:
        """Write the file to use, the figures and at last the weights, after which the run has ended."""
        trained = 0 if not lessons.learned else self.trainer.shell.steps
        self.scoring = self._scoring(adapted)
        write_scoring(self.scoring, self.run.folder)
        card = card_of(self.run, trained) | {"verdict": judgement.verdict, **self.scoring.facts()}
        adapted.export(self.run.folder / ONNX, card)
        seconds = round(self.trainer.shell.earlier_cpu_s + time.process_time() - self.clock, 1)
        facts: dict[str, Any] = {
            "verdict": judgement.verdict,
            "reason": judgement.reason,
            "learned": lessons.counts,
        }
        facts |= {"labelled_pages": 0 if self.labelled is None else len(self.labelled.pages)}
        facts |= {"trained_on_labelled": bool(self.lessons), "margin": dict(self.scoring.margin)}
        facts |= {"judged": dataclasses.asdict(judgement), "steps": trained, "cpu_s": seconds}
        write_json(self.run.folder / FACTS, facts)
        rows = judged_rows(judgement, self.settings.name, self.settings.seed, _target_name(self.settings))
        results = Results(
            runs.command_line(),
            rows,
            (*learning_curves(self.run), *sure_find_curves(self.run, WATCHED)),
            (f"{judgement.verdict}: {judgement.reason}",),
        )
        links = [("Pages that changed", CHANGES)]
        section = Section(self.settings.name, results, self.run.config(), links=links)
        publish(self.run.folder, "Adaptation", section)
        self.trainer.shell.finish("average")
        remove(self.work)
        say(f"adapted in {seconds:.0f} CPU seconds: {self.run.folder / ONNX}")
