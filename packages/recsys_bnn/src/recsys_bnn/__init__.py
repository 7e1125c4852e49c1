"""Quantized and binary neural networks for recommenders.

What a command does is the function of its name in the module of its name: ``from recsys_bnn.prepare import prepare``.
"""

from importlib.metadata import version

from seminar_common.lazy import lazy_exports

__version__ = version("recsys-bnn")

_EXPORTS = {
    "DLRM": "recsys_bnn.model.dlrm",
    "Dataset": "recsys_bnn.data.dataset",
    "PrepareConfig": "recsys_bnn.settings.prepare",
    "PackedModel": "recsys_bnn.runtime.packed",
    "TrainSettings": "recsys_bnn.settings.training",
    "load": "recsys_bnn.runtime.packed",
    "load_model": "recsys_bnn.model.trained",
    "open_dataset": "recsys_bnn.data.dataset",
    "predict": "recsys_bnn.model.trained",
}
# The functions of commands are not here: importing the module of a command would put it in the place of the function.
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
