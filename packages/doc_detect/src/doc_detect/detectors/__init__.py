"""Detector engines behind one protocol."""
