"""Activation sources other than planted worlds: language models and arrays on disk (to come)."""
