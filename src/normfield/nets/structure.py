"""From values to a path of layers: where two paths are added, their last common value is the fork."""

from __future__ import annotations

from dataclasses import dataclass, replace

from normfield.nets.plain_layers import AverageToOne
from normfield.nets.refusals import named, refuse
from normfield.nets.steps import Step, Value
from normfield.network import AveragePool, Conv, Dense, Flatten, GlobalAveragePool


@dataclass(frozen=True)
class Fork:
    """Two paths from one value, added at the end; an empty shortcut is the identity."""

    branch: Path
    shortcut: Path


Path = tuple[Step | Fork, ...]


def path_to(output: Value) -> tuple[Value, Path]:
    """(input, path from it to the output).

    Raises
    ------
    NotCovered
        A value with parameters behind it goes several ways that are no residual blocks.
    """
    order = _in_order(output)
    start, *others = (value for value in order if not value.before)
    if others:
        refuse("the input", "it is taken both flat and as an image")
    found = _path(output, start, _forks(order))
    _refuse_copies(found)
    return start, found


def _in_order(output: Value) -> list[Value]:
    """Every value behind the output, each after those that it comes from."""
    order: list[Value] = []
    done: set[Value] = set()
    waiting = [output]
    while waiting:
        value = waiting[-1]
        missing = [earlier for earlier in value.before if earlier not in done]
        if missing and value not in done:
            waiting += missing
            continue
        waiting.pop()
        if value not in done:
            done.add(value)
            order.append(value)
    return order


def _forks(order: list[Value]) -> dict[Value, Value]:
    """For each value the last one that all ways to it pass through (its immediate dominator)."""
    number = {value: k for k, value in enumerate(order)}
    last: dict[Value, Value] = {}
    for value in order:
        ways = list(value.before)
        while len(set(ways)) > 1:
            ways.sort(key=number.__getitem__)
            ways[-1] = last[ways[-1]]
        last[value] = ways[0] if ways else value
    return last


def _path(value: Value, start: Value, forks: dict[Value, Value]) -> Path:
    """The layers from ``start`` to ``value``."""
    found: list[Step | Fork] = []
    while value is not start:
        if value.step is not None:
            found.append(value.step)
        else:
            found.append(_fork(value, forks))
        value = forks[value]
    return _pooled(tuple(reversed(found)))


def _fork(value: Value, forks: dict[Value, Value]) -> Fork:
    first, second = (_path(way, forks[value], forks) for way in value.before)
    if not first and not second:
        refuse(value.where, "it adds a tensor to itself; scaling is not among the layers of a description")
    is_shortcut = _weight(first) < _weight(second) if value.shortcut_first is None else value.shortcut_first
    return Fork(second, first) if is_shortcut else Fork(first, second)


def _weight(path: Path) -> tuple[bool, int, int]:
    """What makes a path the branch rather than the shortcut: affine layers, then layers."""
    steps = steps_of(path)
    return bool(path), sum(isinstance(step.layer, Dense | Conv) for step in steps), len(steps)


def steps_of(path: Path) -> list[Step]:
    """The steps of a path and of the forks on it, branch before shortcut."""
    found: list[Step] = []
    for part in path:
        found += [part] if isinstance(part, Step) else steps_of(part.branch) + steps_of(part.shortcut)
    return found


def _pooled(path: Path) -> Path:
    """An average to one position is the global average with Flatten behind it, else one over a window."""
    found: list[Step | Fork] = []
    for part in path:
        before = found[-1] if found else None
        if _is(before, AverageToOne) and _is(part, Flatten):
            assert isinstance(before, Step)
            found[-1] = replace(before, layer=GlobalAveragePool())
        else:
            found.append(part)
    return tuple(_in_a_window(part) for part in found)


def _is(part: Step | Fork | None, kind: type) -> bool:
    return isinstance(part, Step) and isinstance(part.layer, kind)


def _in_a_window(part: Step | Fork) -> Step | Fork:
    if isinstance(part, Step) and isinstance(part.layer, AverageToOne):
        return replace(part, layer=AveragePool(part.layer.window))
    return part


def _refuse_copies(path: Path) -> None:
    """Layers of a description have weights of their own: the same weights twice are refused."""
    owners: dict[int, str] = {}
    for step in steps_of(path):
        if step.module is None:
            continue
        for parameter in step.module.parameters():
            if id(parameter) in owners:
                reason = f"it uses weights that {owners[id(parameter)]} used before it"
                refuse(
                    named(step.path, step.module),
                    f"{reason}; theory takes each layer's weights as independent",
                )
            owners[id(parameter)] = step.path or "the model"
