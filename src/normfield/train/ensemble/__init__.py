"""Many networks of one shape trained together in one program."""

from normfield.train.ensemble.member import Member
from normfield.train.ensemble.together import Ensemble, train_ensemble

__all__ = ["Ensemble", "Member", "train_ensemble"]
