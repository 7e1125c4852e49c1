"""Packed models and what runs them: NumPy and kernels of ours, no PyTorch."""
