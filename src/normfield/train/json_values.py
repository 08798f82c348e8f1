"""Values that strict JSON can hold."""

from __future__ import annotations

import math
from typing import Any


def as_json_values(value: Any) -> Any:
    """Numbers that are not finite as None, tuples as lists, all the way down."""
    if isinstance(value, dict):
        return {key: as_json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
