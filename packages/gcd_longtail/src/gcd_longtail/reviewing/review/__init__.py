"""What people decide about the categories of a run: their decisions, what a method learns from them, and exports."""
