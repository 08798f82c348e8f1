"""The pair law that an activation's row asks for."""

from __future__ import annotations

from array_api_compat import array_namespace

from normfield.network import ActivationFunction
from normfield.theory.kernels.pair_laws.arc_pairs import ArcLaw
from normfield.theory.kernels.pair_laws.erf_pairs import ErfLaw
from normfield.theory.kernels.pair_laws.hermite_pairs import hermite_law
from normfield.theory.kernels.pair_laws.laws import Arguments, PairLaw, slope_at
from normfield.theory.kernels.pair_laws.shifted_arc_pairs import ShiftedArcLaw


def pair_law(phi: ActivationFunction, arguments: Arguments) -> PairLaw:
    """Closed forms where the activation has them, else Mehler's series."""
    moves = bool(array_namespace(arguments.scale).any(arguments.scale != 0))
    if phi.homogeneous is not None and moves:
        if arguments.shift == 0:
            return ArcLaw(arguments, *phi.homogeneous, resting=slope_at(phi, 0.0))
        return ShiftedArcLaw(arguments, *phi.homogeneous)
    if phi.name == "erf" and arguments.shift == 0:
        return ErfLaw(arguments)
    return hermite_law(phi, arguments)
