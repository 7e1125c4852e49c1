"""Scores of prepared rows by PyTorch: what somebody without a packed model runs. A process of its own, for `bench`."""

import sys
from pathlib import Path

import numpy as np
import torch

from recsys_bnn.data.dataset import SPLITS, open_dataset
from recsys_bnn.model.trained import load_model, predict
from seminar_common import runs


def main(run: Path, data: Path, out: Path, threads: int) -> None:
    """Write the probabilities of all rows of a prepared folder by a trained run."""
    torch.set_num_threads(threads)
    dataset = open_dataset(data)
    np.save(out, predict(load_model(runs.open_run(run), dataset), dataset.rows(*SPLITS), torch.device("cpu")))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), int(sys.argv[4]))
