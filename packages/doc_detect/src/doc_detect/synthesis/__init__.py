"""Synthetic pages with exact boxes: a layout grammar draws ink, degradation turns it into a scan."""
