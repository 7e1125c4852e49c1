"""Which pages of a collection to label first: what the detector doubts, what differs, and from which books."""
