"""Many networks of one shape trained together in one program."""

from normfield.train.ensemble.member import Member
from normfield.train.ensemble.result import Ensemble
from normfield.train.ensemble.training import train_ensemble

__all__ = ["Ensemble", "Member", "train_ensemble"]
