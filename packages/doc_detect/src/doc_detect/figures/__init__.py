"""Metrics of detections, and their report."""
