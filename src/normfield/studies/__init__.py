"""Claims and figures of the papers, each one file: compute a table, draw it, give a verdict."""

from normfield.studies.catalogue import study, study_names
from normfield.studies.frame import Size, Study
from normfield.studies.result import StudyResult
from normfield.studies.running import read_study, run_study
from normfield.studies.verdicts import Check, Verdict

__all__ = [
    "Check",
    "Size",
    "Study",
    "StudyResult",
    "Verdict",
    "read_study",
    "run_study",
    "study",
    "study_names",
]
