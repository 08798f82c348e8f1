"""Training runs, and where in the learning rate they stop working."""

from normfield.train.epochs import Epoch
from normfield.train.run import Run, train_once
from normfield.train.stability import critical_learning_rate
from normfield.train.stability_result import CriticalLearningRate

__all__ = ["CriticalLearningRate", "Epoch", "Run", "critical_learning_rate", "train_once"]
