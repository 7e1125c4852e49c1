"""Quantized and binary neural networks for recommenders."""

from importlib.metadata import version

__version__ = version("recsys-bnn")
