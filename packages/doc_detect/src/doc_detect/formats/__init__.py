"""Regions of pages between COCO, Label Studio, PAGE-XML and ALTO: the command ``convert``."""

from doc_detect.formats.forms import main, read_any, write_any

__all__ = ["main", "read_any", "write_any"]
