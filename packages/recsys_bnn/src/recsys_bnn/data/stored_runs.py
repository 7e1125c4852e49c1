"""What a run folder says of its training: its settings and the vocabulary that its model reads."""

from recsys_bnn.data.dataset import Dataset
from recsys_bnn.settings.training import TrainSettings
from seminar_common import runs
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.runs import Run


def stored_settings(run: Run) -> TrainSettings:
    """Return the settings that a run was trained with.

    Raises:
        UserError: it is a run of another command, or of a version that did not store the vocabulary.
    """
    settings = runs.stored_settings(run, TrainSettings, "recsys-bnn", "train")
    if "vocabulary" not in run.config():
        raise UserError(
            f"{run.folder / runs.MARKER}: an earlier version wrote it, without the vocabulary that the model reads; train it again"
        )
    return settings


def require_vocabulary(run: Run, dataset: Dataset) -> None:
    """Raise a UserError unless an id and a number of ``dataset`` mean what they meant in training."""
    way_out = f"encode the log for this run by `recsys-bnn prepare --vocabulary {run.folder}`"
    require_same(run.config(), {"vocabulary": dataset.vocabulary}, run.folder, way_out)
