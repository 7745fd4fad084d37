"""Metrics of stability and recovery: pure functions on NumPy arrays, one idea a file.

Core dimensions come last, leading dimensions broadcast. *Features* are planted, *latents* are
learned. Cosines are signed unless `absolute=True` is passed. Shapes use S (seeds), B (samples), D
(dimension of an activation), M and N (latents), F (features), R (rank). README.md has the published
name and the source of each metric.
"""
