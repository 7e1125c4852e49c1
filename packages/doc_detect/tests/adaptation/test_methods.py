"""What a method of adaptation is given, and what self-training makes of it."""

import pytest

pytest.importorskip("torch")

import copy
import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from doc_detect.adapt import adapt
from doc_detect.adaptation.base import METHODS, Lessons, Method, Problem, SampleMethod, make_method
from doc_detect.adaptation.criterion import Judgement
from doc_detect.adaptation.mean_teacher import MeanTeacher
from doc_detect.adaptation.pseudo_labels import PSEUDO_LABELS, finds, found_again
from doc_detect.adaptation.self_training import SelfTraining
from doc_detect.adaptation.source_pages import SourcePages
from doc_detect.adaptation.target import TargetPage
from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, write_coco
from doc_detect.detectors.base import Detector, Target, build_detector
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.scoring import Scoring
from doc_detect.detectors.trained import load_detector
from doc_detect.pages import Page
from doc_detect.settings.adaptation import AdaptSettings, SelfTrainingConfig, ViewConfig, smoke
from doc_detect.settings.training import ModelConfig, OptimizationConfig
from doc_detect.training.pages import Sample, open_training
from seminar_common.errors import UserError

LABELS = ("graphic", "drop_capital", "stamp")
FINDS = [
    ("graphic", 0.9, (20, 20, 80, 60)),  # sure
    ("graphic", 0.3, (20, 100, 50, 130)),  # doubtful, and alone: painted over
    ("drop_capital", 0.4, (30, 30, 45, 45)),  # doubtful, on a sure one: unknown
    ("drop_capital", 0.8, (60, 150, 75, 165)),
    ("stamp", 0.3, (80, 100, 100, 120)),  # doubtful, of a class that is not painted over: unknown
    ("stamp", 0.9, (80, 140, 100, 160)),
]


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    pixels = np.full((192, 128, 3), 230, np.uint8)
    for _, _, (x1, y1, x2, y2) in FINDS:
        pixels[y1:y2, x1:x2] = 20
    cv2.imwrite(str(tmp_path / "page.png"), pixels)
    # What is seen of a page that is twice as large, beside a margin of 40 and 60 pixels.
    page = TargetPage("scan.jpg", tmp_path / "page.png", 400, 600, (40.0, 60.0, 296.0, 444.0))
    boxes = np.array([box for _, _, box in FINDS]) * 2.0 + np.array([40, 60] * 2)
    labels = np.array([class_index(label) for label, _, _ in FINDS])
    scores = np.array([score for _, score, _ in FINDS])
    write_coco(tmp_path / PSEUDO_LABELS, [CocoPage("scan.jpg", 400, 600, boxes, labels, scores)])
    source = build_detector(ModelConfig(labels=LABELS, size=192, head_convs=1, folded=True)).eval()
    settings = dataclasses.replace(
        smoke(),
        views=ViewConfig(1, 1, 0, 0),
        optimization=OptimizationConfig(steps=3, batch_size=2, sizes=(192,), size_jitter=0),
        self_training=SelfTrainingConfig(fewest=1),
    )
    return Problem(source, Scoring(), [page], None, (), settings, tmp_path)


def test_sure_finds_are_labels_and_doubtful_ones_neither_that_nor_background(problem: Problem) -> None:
    method = make_method(problem)
    assert isinstance(method, SelfTraining)
    lessons = method.prepare()
    assert lessons.learned == LABELS
    assert lessons.counts["graphic"] == {"sure": 1, "doubtful": 1, "pages": 1}
    assert "1 of 1 pages: 1 graphic on 1, 1 drop_capital on 1, 1 stamp on 1" in lessons.line
    (sample, other) = method.samples(0)
    order = sample.target.boxes[:, 1].argsort()
    expected = torch.tensor([FINDS[0][2], FINDS[5][2], FINDS[3][2]], dtype=torch.float32)
    torch.testing.assert_close(sample.target.boxes[order], expected, atol=0.1, rtol=0)
    assert sample.target.labels[order].tolist() == [0, 2, 1] and sample.target.unlabelled == ()
    assert sample.target.unknown is not None
    known = {tuple(np.round(row)) for row in sample.target.unknown.tolist()}
    assert known == {tuple(map(float, FINDS[2][2])), tuple(map(float, FINDS[4][2]))}
    light = [
        float(sample.image[:, y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].mean()) for _, _, (x1, y1, x2, y2) in FINDS
    ]
    paper = float(sample.image[:, 180:190].mean())
    assert light[1] > 0.8 * paper > 2 * max(light[0], light[2], light[3], light[4], light[5])
    assert not torch.equal(sample.image, other.image)
    assert torch.equal(method.samples(0)[0].image, sample.image)  # a resumed run sees the same


def test_of_unboxed_classes_finds_teach_no_size(problem: Problem) -> None:
    recipe = dataclasses.replace(problem.settings.self_training, unboxed=("drop_capital", "table"))
    settings = dataclasses.replace(problem.settings, self_training=recipe)
    method = make_method(dataclasses.replace(problem, settings=settings))
    method.prepare()
    assert isinstance(method, SelfTraining) and method.samples(0)[0].target.unboxed == (1,)
    with pytest.raises(UserError, match="initials"):
        SelfTrainingConfig(unboxed=("initials",))


def test_a_class_with_few_sure_finds_is_left_as_it_is(problem: Problem) -> None:
    found = CocoPage("scan.jpg", 400, 600, np.array([[60.0, 80, 180, 180]]), np.array([0]), np.array([0.9]))
    write_coco(problem.folder / PSEUDO_LABELS, [found])
    method = make_method(problem)
    lessons = method.prepare()
    assert (
        lessons.learned == ("graphic",)
        and "too few to learn, and perhaps forgotten: drop_capital, stamp" in lessons.line
    )
    assert isinstance(method, SelfTraining)
    assert method.samples(0)[0].target.unlabelled == (1, 2)
    write_coco(problem.folder / PSEUDO_LABELS, [dataclasses.replace(found, scores=np.array([0.1]))])
    lessons = make_method(problem).prepare()
    assert lessons.learned == () and "no class has 1 sure finds" in lessons.line


class Seeing:
    """A detector that finds what it is told, less of it on a smaller page."""

    labels = LABELS

    def detect(self, page: Page) -> Detections:
        whole = max(page.pixels.shape[:2]) == 192
        seen = FINDS if whole else [FINDS[0], *FINDS[2:5]]
        boxes = np.array([box for _, _, box in seen]) * 2.0 + np.array([40, 60] * 2)
        labels = np.array([LABELS.index(label) for label, _, _ in seen])
        scores = np.array([score for _, score, _ in seen], np.float32)
        return Detections(boxes if whole else boxes + [0, 0, 10, 0], scores, labels)


def test_a_sure_find_that_is_not_there_on_a_smaller_page_is_doubtful(problem: Problem) -> None:
    (page,), config = problem.pages, problem.settings.self_training
    found, agreed = (finds(Seeing(), page, dataclasses.replace(config, agree=each)) for each in (False, True))
    assert found.scores is not None and agreed.scores is not None
    np.testing.assert_allclose(found.scores, [0.9, 0.3, 0.4, 0.8, 0.3, 0.9])
    np.testing.assert_allclose(agreed.scores, [0.9, 0.3, 0.4, 0.8, 0.3, config.doubt])  # the last one is gone
    np.testing.assert_array_equal(found.boxes, agreed.boxes)


def test_another_class_place_or_a_lower_score_is_no_second_find() -> None:
    box = np.array([[10.0, 10, 50, 50]])
    first = Detections(box, np.array([0.9]), np.array([0]))
    for second, expected in (
        (Detections(box + [0, 0, 10, 0], np.array([0.3]), np.array([0])), True),
        (Detections(box, np.array([0.9]), np.array([1])), False),
        (Detections(box + 30, np.array([0.9]), np.array([0])), False),
        (Detections(box, np.array([0.2]), np.array([0])), False),
        (Detections(box[:0], np.zeros(0), np.zeros(0, int)), False),
    ):
        assert found_again(first, second, 0.25).tolist() == [expected]


def test_the_teacher_labels_what_the_student_is_shown(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = dataclasses.replace(
        problem, settings=dataclasses.replace(problem.settings, method="mean-teacher")
    )
    method = make_method(problem)
    assert isinstance(method, MeanTeacher) and method.prepare().learned == LABELS
    average, asked, shown = copy.deepcopy(problem.source), [], []

    def seen_by(detector: Detector, given: Problem) -> Seeing:
        asked.append(detector)
        return Seeing()

    def student(images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        shown.extend(zip(images, targets, strict=True))
        return {}

    monkeypatch.setattr("doc_detect.adaptation.mean_teacher.seen_by", seen_by)
    method.losses(student, average, 0)  # ty: ignore[invalid-argument-type]
    assert asked == [average] and len(shown) == 2
    for image, target in shown:
        sure = torch.tensor([FINDS[0][2], FINDS[5][2], FINDS[3][2]], dtype=torch.float32)
        torch.testing.assert_close(target.boxes[target.boxes[:, 1].argsort()], sure, atol=0.1, rtol=0)
        doubtful = {tuple(map(float, FINDS[i][2])) for i in (1, 2, 4)}  # nothing is painted over
        assert {tuple(row) for row in target.unknown.round().tolist()} == doubtful
        x1, y1, x2, y2 = FINDS[1][2]
        assert image[:, y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].mean() < 0.5 * image[:, 180:190].mean()


def test_a_share_of_what_is_shown_are_source_pages(problem: Problem, toy_data: Path) -> None:
    pages = open_training(toy_data)
    optimization = dataclasses.replace(problem.settings.optimization, steps=60)
    settings = dataclasses.replace(
        problem.settings, source=toy_data, mixed_share=0.25, optimization=optimization
    )
    problem = dataclasses.replace(problem, settings=settings, synthetic=pages)
    method = make_method(problem)
    assert isinstance(method, SelfTraining)
    assert "25% of what is shown are pages of the source's world" in method.prepare().line
    shown = [sample for step in range(60) for sample in method.samples(step)]
    source = [sample for sample in shown if 2 in sample.target.unlabelled or sample.target.unknown is None]
    assert 0.15 < len(source) / len(shown) < 0.35
    other = make_method(dataclasses.replace(problem, settings=dataclasses.replace(settings, mixed_share=0.0)))
    assert isinstance(other, SelfTraining)
    other.prepare()
    assert all(sample.target.unknown is not None for sample in other.samples(3))


class WithCritic(Method):
    """A method that trains a critic beside the student and changes the result at the end."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._critic = nn.Linear(3, 1)

    @property
    def own(self) -> nn.Module:
        return self._critic

    def prepare(self) -> Lessons:
        return Lessons(("graphic",), (), {"graphic": {"sure": 1}}, "learning from everything")

    def losses(self, student: nn.Module, average: Detector, step: int) -> dict[str, Tensor]:
        page = self.problem.pages[step % len(self.problem.pages)].read()
        image = torch.from_numpy(page.pixels).permute(2, 0, 1).float() / 255
        none = torch.zeros(0, 4)
        parts = student([image], [Target(none, torch.zeros(0, dtype=torch.int64), none)])
        return {**parts, "critic": self._critic(image.mean(dim=(1, 2))).square().sum()}

    def finish(self, average: Detector) -> None:
        with torch.no_grad():
            average.get_parameter("head.classification_head.cls_logits.bias").fill_(-2.5)


class Measuring(WithCritic):
    """A method without any step."""

    @property
    def steps(self) -> int:
        return 0

    @property
    def own(self) -> None:  # ty: ignore[invalid-method-override]
        return None


class Grey(SampleMethod):
    """Source pages without colour, for a collection on microfilm."""

    needs_source = True

    def prepare(self) -> Lessons:
        """Say what is learned from."""
        self.pages = SourcePages(self.problem)
        return self.pages.lessons()

    def samples(self, step: int) -> list[Sample]:
        """Return the pages of a step."""
        shown = self.pages.samples(step)
        greys = [sample.image.mean(dim=0, keepdim=True).expand(3, -1, -1) for sample in shown]
        return [dataclasses.replace(sample, image=grey) for sample, grey in zip(shown, greys, strict=True)]


def test_the_method_of_the_documentation_works(
    write_toy_pages: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doc_detect.adapt.make_method", Grey)
    data = write_toy_pages(tmp_path / "data", train=6, val=1, height=96)
    optimization = OptimizationConfig(steps=2, batch_size=1, sizes=(96,))
    chosen = dataclasses.replace(smoke(), target=(data / "images",), optimization=optimization)
    run = adapt(dataclasses.replace(chosen, source=data, out=tmp_path / "run"))
    assert {record["step"] for record in run.logged()} == {0, 2}


def test_it_stands_there_word_for_word() -> None:
    page = Path(__file__).parents[4] / "docs" / "how-to" / "add_an_adaptation_method.md"
    if not page.is_file():
        pytest.skip("the documentation comes with the repository alone")
    assert inspect.getsource(Grey) in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [WithCritic, Measuring])
def test_a_method_may_train_more_end_with_more_or_take_no_step(
    kind: type[Method],
    write_toy_pages: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("doc_detect.adapt.make_method", kind)
    monkeypatch.setattr("doc_detect.adapt.judge", _always)
    data = write_toy_pages(tmp_path / "data", train=6, val=1, height=96)
    optimization = OptimizationConfig(steps=2, batch_size=1, sizes=(96,))
    chosen = dataclasses.replace(
        smoke(), target=(data / "images",), out=tmp_path / "run", optimization=optimization
    )
    run = adapt(chosen)
    bias = load_detector(run).get_parameter("head.classification_head.cls_logits.bias")
    assert (bias == -2.5).all()
    losses = [record for record in run.logged() if "loss" in record]
    assert ("loss_critic" in losses[0]) if kind is WithCritic else not losses


def _always(*args):
    return Judgement("adapted", "always", 1)


def test_every_method_that_can_be_named_is_there(problem: Problem) -> None:
    named = get_args(get_type_hints(AdaptSettings)["method"])
    assert set(named) == set(METHODS)
    for name in named:
        settings = dataclasses.replace(problem.settings, method=name)
        assert isinstance(make_method(dataclasses.replace(problem, settings=settings)), Method)


def test_samples_are_of_the_kind_that_detectors_learn_from(problem: Problem) -> None:
    method = make_method(problem)
    method.prepare()
    assert isinstance(method, SelfTraining)
    sample = method.samples(1)[0]
    assert isinstance(sample, Sample)
    losses = method.losses(problem.source.train(), problem.source, 1)
    assert set(losses) == {"classification", "box", "quality"} and all(
        x.requires_grad for x in losses.values()
    )
