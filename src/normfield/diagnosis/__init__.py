"""The main job: one question, four answers, what they say together, and the page to keep."""

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asking import diagnose
from normfield.diagnosis.result import Diagnosis

__all__ = ["Answer", "Diagnosis", "diagnose"]
