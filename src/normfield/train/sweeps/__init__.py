"""Training as the task of a sweep, and maps of training over the learning rate."""

from normfield.train.sweeps.training_task import TrainingTask

__all__ = ["TrainingTask"]
