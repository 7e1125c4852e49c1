"""Dense self-supervision: a detector's backbone and pyramid learn from scans that nobody labelled; one method a file."""
