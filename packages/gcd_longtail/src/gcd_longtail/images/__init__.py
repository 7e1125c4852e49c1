"""Images: where they come from, their hashes, labels and augmented views."""
