"""Activation sources other than planted worlds: language models and arrays on disk.

`realdata.config.Config` says where activations come from, `Config.open` harvests them once into a
cache on disk and returns the reader, `realdata.activations.Activations`. Nothing heavy is imported
before it is needed.
"""
