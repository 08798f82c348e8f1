"""Names that users give, made safe for the place where they are shown."""

from __future__ import annotations

import html
import re

from normfield.errors import InvalidInput
from normfield.report.plain_json import json_text

# Control characters but tab and line ends, marks that turn the reading order, letters of no width (but the joiners that
# emoji and Persian need), and lone surrogates.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_GREEK = re.compile(r"(?<!\w)([α-ωΑ-Ω])_([A-Za-z0-9]+)")
_SMALL = re.compile(r"(\d(?:\.\d+)?e-\d+)")


def one_line(text: object) -> str:
    """Write on one line, with what a terminal would obey (escape and its kin) replaced by ``�``."""
    return _harmless(" ".join(str(text).split()))


def shortened(text: object, longest: int = 22) -> str:
    """Write on one line of so many letters at most, the last an ellipsis where there were more."""
    line = one_line(text)
    return line if len(line) <= longest else line[: max(longest - 1, 0)] + "…"


def escaped(text: object) -> str:
    """Escape for HTML text and for quoted attributes."""
    return html.escape(_harmless(str(text)), quote=True)


def typeset(text: object) -> str:
    """Escape for HTML text; λ_max gets its subscript and 4e-4 is not broken over two lines."""
    return _SMALL.sub(r'<span class="number">\1</span>', _subscripts(escaped(text)))


def plot_text(text: object) -> str:
    """Escape for a plotly label, which reads a small HTML of its own (and knows no ``&quot;``)."""
    return _subscripts(html.escape(one_line(text), quote=False))


def script_json(data: object) -> str:
    """Write JSON that cannot leave a ``<script>`` element; infinities and NaN become null with a reason."""
    try:
        text = json_text(data)
    except TypeError as cause:
        raise InvalidInput(
            expected="data that JSON can hold",
            got=str(cause),
            instead="give mappings, lists, strings and numbers",
        ) from cause
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode("utf-8", "replace").decode("utf-8")


def _subscripts(escaped_text: str) -> str:
    return _GREEK.sub(r"\1<sub>\2</sub>", escaped_text)


def _harmless(text: str) -> str:
    return _CONTROLS.sub("�", text)
