"""Training as the task of a sweep, and maps of training over the learning rate."""

from normfield.train.sweeps.boundary_columns import (
    BoundaryColumn,
    Ended,
    Offset,
    boundary_columns,
    offset_from,
)
from normfield.train.sweeps.diagram import PhaseDiagram
from normfield.train.sweeps.diagramming import phase_diagram
from normfield.train.sweeps.training_task import TrainingTask

__all__ = [
    "BoundaryColumn",
    "Ended",
    "Offset",
    "PhaseDiagram",
    "TrainingTask",
    "boundary_columns",
    "offset_from",
    "phase_diagram",
]
