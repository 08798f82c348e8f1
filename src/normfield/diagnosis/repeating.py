"""How to repeat the report and how to cite it: settings, calls, versions."""

from __future__ import annotations

import platform
from dataclasses import MISSING, Field, fields, is_dataclass

import numpy
import torch

from normfield import __version__
from normfield import network as descriptions
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import Subject
from normfield.network import Network
from normfield.report import Code, Facts, Section, format_number

_NAMED = ("digits", "mnist", "fashion_mnist", "cifar10")
_STATISTICS = {
    "batch": "batch: each batch's own, with gradient through them, as in training",
    "frozen": "frozen: each batch's own, as constants",
    "running": "running: the module's buffers",
}
_PAPERS = (
    "Wei, Stokes and Schwab 2019, Mean-field Analysis of Batch Normalization, arXiv:1903.02606; "
    "Yang, Pennington, Rao, Sohl-Dickstein and Schoenholz 2019, A Mean Field Theory of Batch Normalization, "
    "arXiv:1902.08129."
)


def repeat_section(asked: Asked, subject: Subject, seconds: float, command: str) -> Section:
    """Settings, the command or call that makes this page again, and what to cite."""
    typed = ["On the command line:", Code(command)] if command else []
    call = ["In Python:", Code(call_of(asked, subject))]
    cite = f"To cite: Normfield {__version__} (software), and for the theory {_PAPERS}"
    again = (
        "The seed fixes weights and the order of data. Training takes what is left of the budget in seconds, so that "
        "another machine may make more or fewer runs; theory and measurement come out alike."
    )
    return Section(
        "How to repeat and cite this", [_facts(asked, subject, seconds), *typed, *call, again, cite]
    )


def _facts(asked: Asked, subject: Subject, seconds: float) -> Facts:
    facts: list[tuple[str, float | str | None]] = [
        _network(subject),
        ("data", str(subject.data)),
        ("loss", asked.loss_name),
        ("batch size", asked.batch_size),
        ("momentum", asked.momentum),
        ("matrix", asked.matrix),
        ("statistics", _STATISTICS[asked.statistics]),
        ("budget", f"{asked.budget:g} s, {format_number(seconds, 2)} s taken"),
        ("seed", asked.seed),
        ("versions", versions()),
    ]
    return Facts(facts)


def versions() -> str:
    """Of all that the numbers may depend on."""
    return (
        f"Normfield {__version__}, torch {torch.__version__}, NumPy {numpy.__version__}, "
        f"Python {platform.python_version()}"
    )


def _network(subject: Subject) -> tuple[str, str]:
    net = subject.network
    if net is None:
        return "module", type(subject.module).__name__
    return "network", f"{net.path}; σ_w² = {net.weight_variance:g}, σ_b² = {net.bias_variance:g}"


def call_of(asked: Asked, subject: Subject) -> str:
    """Lines of Python that ask the same; what cannot be written down is named in a comment."""
    given = subject.given
    model = spelled(given) if isinstance(given, Network) else f"...  # your {_one_line(type(given).__name__)}"
    data = subject.data
    if data.name in _NAMED:
        given_flat = ".flattened()" if len(data.input_shape) == 1 and not isinstance(given, Network) else ""
        load = f'nf.load("{data.name}", standardise="{data.standardise}", samples={data.samples_used})'
        source = f"{load}{given_flat}  # {_one_line(str(data))}"
    else:
        source = f"...  # {_one_line(str(data))}"
    return "\n".join(
        [
            "import normfield as nf",
            "",
            f"model = {model}",
            f"data = {source}",
            *([] if isinstance(asked.loss, str) else [f"loss = ...  # your {_one_line(asked.loss_name)}"]),
            f"found = nf.diagnose(model, data, {', '.join(_settings(asked))})",
            'found.to_html("report.html")',
        ]
    )


def _settings(asked: Asked) -> list[str]:
    given = {
        "batch_size": asked.batch_size,
        "momentum": asked.momentum,
        "budget": asked.budget,
        "seed": asked.seed,
        **({} if asked.kind is None else {"kind": asked.kind}),
        **({} if asked.statistics == "batch" else {"statistics": asked.statistics}),
        **({} if asked.learning_rate is None else {"learning_rate": asked.learning_rate}),
        **({} if asked.weight_decay == 0 else {"weight_decay": asked.weight_decay}),
    }
    loss = repr(asked.loss) if isinstance(asked.loss, str) else "loss"
    return [f"loss={loss}", *(f"{name}={value!r}" for name, value in given.items())]


def spelled(network: Network) -> str:
    """A description as the call that makes it, with the names as at the door; defaults are left out."""
    return _spelled(network, "")


def _spelled(value: object, indent: str) -> str:
    if isinstance(value, tuple | list) and any(is_dataclass(part) for part in value):
        inner = "".join(f"{indent}    {_spelled(part, indent + '    ')},\n" for part in value)
        return f"[\n{inner}{indent}]"
    if not is_dataclass(value) or isinstance(value, type) or type(value).__name__ not in descriptions.__all__:
        return repr(value)
    given = [
        f"{field.name}={_spelled(getattr(value, field.name), indent)}"
        for field in fields(value)
        if field.init and not _is_default(field, getattr(value, field.name))
    ]
    return f"nf.{type(value).__name__}({', '.join(given)})"


def _is_default(field: Field, value: object) -> bool:
    if field.default is not MISSING:
        return field.default == value
    return field.default_factory is not MISSING and field.default_factory() == value


def _one_line(text: str) -> str:
    return " ".join(text.split())
