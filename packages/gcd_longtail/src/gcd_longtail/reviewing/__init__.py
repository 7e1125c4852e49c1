"""What people decide about a discovery: read, replayed, learned from, and served to a page."""
