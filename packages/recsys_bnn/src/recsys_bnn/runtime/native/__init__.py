"""Kernels of ours in C, compiled where they run: one call for a batch, from ids and integers to logits."""
