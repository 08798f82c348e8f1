"""JSON that any reader accepts: infinite and missing numbers are null with a reason beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(value: Any, *, indent: int | None = None) -> str:
    """``value`` as JSON text, after `plain`."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


def finite(value: Any) -> Any:
    """``value`` with infinite and NaN numbers as None and tuples and arrays as lists, all the way down."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(value: Any) -> Any:
    """Mappings, sequences, arrays and numbers as what JSON holds.

    An infinite or NaN number under key ``k`` becomes null, and the reason stands under ``k_reason`` beside it
    (``reason`` where it is the only one).
    """
    if isinstance(value, Mapping):
        return _with_reasons({str(key): item for key, item in value.items()})
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return finite(value)


def _with_reasons(items: dict[str, Any]) -> dict[str, Any]:
    reasons = {key: _reason(item) for key, item in items.items()}
    missing = {key: reason for key, reason in reasons.items() if reason}
    found = {key: plain(item) for key, item in items.items()}
    for key, reason in missing.items():
        found.setdefault("reason" if len(missing) == 1 else f"{key}_reason", reason)
    return found


def _reason(item: Any) -> str:
    number = item.item() if hasattr(item, "item") and getattr(item, "ndim", 0) == 0 else item
    if not isinstance(number, float) or math.isfinite(number):
        return ""
    return "not a number" if math.isnan(number) else "infinite" if number > 0 else "minus infinity"
