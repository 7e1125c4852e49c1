"""The models that `study` compares."""
