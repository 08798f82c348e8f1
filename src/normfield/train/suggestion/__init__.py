"""Which learning rate to take: short runs at many rates, and what they say of the full run."""

from normfield.train.suggestion.asking import suggest_learning_rate
from normfield.train.suggestion.result import LearningRateSuggestion

__all__ = ["LearningRateSuggestion", "suggest_learning_rate"]
