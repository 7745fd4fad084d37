"""Scores that need the text: functions of a `results.Run` whose source read a language model.

On any other source (a world, an array) they return an empty Dataset.
"""

from realdata.scores.pairs import matched_contexts
from realdata.scores.spliced import spliced_loss
from realdata.scores.surface import surface_form

__all__ = ["matched_contexts", "spliced_loss", "surface_form"]
