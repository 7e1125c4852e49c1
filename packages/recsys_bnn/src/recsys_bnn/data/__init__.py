"""Raw rows to prepared rows."""
