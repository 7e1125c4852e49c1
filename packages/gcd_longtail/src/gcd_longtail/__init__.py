"""Generalized category discovery on long-tailed data."""
