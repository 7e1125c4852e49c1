"""The problem, its spaces, the methods and the number of classes."""
