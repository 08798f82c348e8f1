"""The page of a training run that was watched."""

from normfield.diagnosis.watched_training.page import training_page

__all__ = ["training_page"]
