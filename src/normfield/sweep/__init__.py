"""Many points: their grid, the task that is run at each and where, what came of it, and the bracket of a boundary."""

from normfield.sweep.boundary import Bracket
from normfield.sweep.driving import read_sweep, resume_sweep, run_sweep
from normfield.sweep.points import Grid
from normfield.sweep.progress import Progress
from normfield.sweep.store import Group, Store, SweepStatus, Trial
from normfield.sweep.sweep_result import Sweep
from normfield.sweep.task import Cell, Outcome, Point, Resources, Task

__all__ = [
    "Bracket",
    "Cell",
    "Grid",
    "Group",
    "Outcome",
    "Point",
    "Progress",
    "Resources",
    "Store",
    "Sweep",
    "SweepStatus",
    "Task",
    "Trial",
    "read_sweep",
    "resume_sweep",
    "run_sweep",
]
