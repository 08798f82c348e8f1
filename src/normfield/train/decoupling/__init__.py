"""Training by the length and the direction of one unit after another, without a learning rate [Kohler]."""

from normfield.train.decoupling.asking import train_decoupled
from normfield.train.decoupling.result import DecoupledRun

__all__ = ["DecoupledRun", "train_decoupled"]
