"""From a detector and the scans of a collection to a detector for that collection; one method a file."""
