"""Clustering algorithms that know some labels: fast k-means and constrained Ward agglomeration."""
