"""Many points: their grid, the task that is run at each, and the bracket of a boundary."""

from normfield.sweep.boundary import Bracket
from normfield.sweep.points import Grid
from normfield.sweep.store import Group, Store, SweepStatus, Trial
from normfield.sweep.task import Cell, Outcome, Point, Resources, Task

__all__ = ["Bracket", "Cell", "Grid", "Group", "Outcome", "Point", "Resources", "Store", "SweepStatus", "Task", "Trial"]
