"""Measures of identifiability: pure functions on arrays, one idea a file.

Core dimensions come last and leading ones broadcast. *Features* are planted, *latents* are learned;
cosines are signed unless `absolute=True` says otherwise. No labels, no torch, no I/O.
"""
