"""Splits: which images play which role."""
