"""Scores of SAEs that were trained on a language model with a text.

They are functions of a `Run` and require "tokens": for other sources (a world, an array) they are
left out.
"""

from realdata.scores.pairs import matched_contexts
from realdata.scores.spliced import spliced_loss
from realdata.scores.surface import surface_form

__all__ = ["matched_contexts", "spliced_loss", "surface_form"]
