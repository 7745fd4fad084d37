"""Activation sources other than planted worlds: language models and arrays on disk.

`synthsae.config.Config` names the source, `Config.open` harvests them once into a
cache on disk and returns the reader, `realdata.activations.Activations`. Nothing heavy is imported
before it is needed.
"""
