"""Every mistake of the registry ends in one line that says what was expected, and changes nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from bad_inputs import DATA, MODEL, REGISTRY

from normfield import InvalidInput, NormfieldError


def _state() -> list[object]:
    """All that a refused call must leave as it was."""
    return [
        [tensor.clone() for tensor in (*MODEL.parameters(), *MODEL.buffers(), *DATA)],
        [module.training for module in MODEL.modules()],
        [parameter.grad is None for parameter in MODEL.parameters()],
        torch.get_rng_state(),
        random.getstate(),
        [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],  # noqa: NPY002
    ]


def _same(before: object, after: object) -> bool:
    if isinstance(before, torch.Tensor):
        return torch.equal(before, after)
    if isinstance(before, list):
        return all(_same(one, other) for one, other in zip(before, after, strict=True))
    return before == after


def test_the_registry_holds_at_least_sixty_mistakes():
    assert len(REGISTRY) >= 60


@pytest.mark.parametrize("name", REGISTRY)
def test_a_mistake_is_one_line_and_changes_nothing(name, tmp_path):
    call, words = REGISTRY[name]
    before = _state()
    with pytest.raises(NormfieldError) as caught:
        call(tmp_path)
    line = str(caught.value)
    assert words in line
    assert len(line.splitlines()) == 1
    assert line.startswith("expected ") or not isinstance(caught.value, InvalidInput)
    assert _same(before, _state())
    assert not list(tmp_path.iterdir())
