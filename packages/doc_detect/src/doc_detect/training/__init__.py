"""Pages as a training sees them."""
