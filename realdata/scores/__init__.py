"""Scores that need text: functions of a `Run` whose activations are those of a language model.

They require "tokens": a cell of any other source (a world, an array) leaves them out.
"""

from realdata.scores.pairs import matched_contexts
from realdata.scores.spliced import spliced_loss
from realdata.scores.surface import surface_form

__all__ = ["matched_contexts", "spliced_loss", "surface_form"]
