"""Metrics, plots and the gallery."""
