"""A network from the command line: the flags that describe one."""

from __future__ import annotations

from dataclasses import dataclass

from normfield.cli.flags import flag, typed_flags
from normfield.errors import InvalidInput
from normfield.network import Network, convnet, mlp, read_network

_CONV_ONLY = ("--input-shape", "--channels", "--kernel", "--stride", "--padding")
_DENSE_ONLY = ("--inputs", "--width", "--depth")


@dataclass(frozen=True)
class NetworkFlags:
    """The flags of ``nf.mlp`` and ``nf.convnet``."""

    inputs: int | None = flag(None, "Input features (default: the data's).", kind=int)
    width: int = flag(300, "Units of each hidden layer.")
    depth: int = flag(4, "Number of affine layers.")
    outputs: int | None = flag(None, "Output units (default: the data's classes, or 10).", kind=int)
    gamma: float = flag(1.0, "Batch norm's initial scale γ.")
    beta: float = flag(0.0, "Batch norm's initial shift β.")
    eps: float | None = flag(
        None, "ε added to the batch variance (default: 1e-5 as in torch; theory: 0).", kind=float
    )
    activation: str = flag("relu", "relu, tanh, gelu, …")
    weight_variance: float = flag(2.0, "σ_w²: weights are N(0, σ_w²/fan-in).")
    bias_variance: float = flag(0.5, "σ_b²: biases are N(0, σ_b²).")
    no_batch_norm: bool = flag(False, "Leave batch norm out.")
    conv: bool = flag(False, "Convolutions and a dense head.")
    input_shape: str | None = flag(None, "With --conv: channels,height,width.", kind=str)
    channels: str = flag("30,60,90", "With --conv: output channels of each.")
    kernel: int = flag(3, "With --conv: kernel size.")
    stride: int = flag(2, "With --conv: stride.")
    padding: int = flag(0, "With --conv: zero padding.")

    def network(
        self,
        input_shape: tuple[int, ...] | None = None,
        outputs: int | None = None,
        eps: float = 1e-5,
    ) -> Network:
        """The description; the data's shape and outputs, and ``eps``, stand in for flags not given.

        Raises
        ------
        InvalidInput
            A flag that is needed is missing, or a value is out of range.
        """
        outputs = self.outputs if self.outputs is not None else outputs
        idle = [
            name for name in typed_flags(NetworkFlags) if name in (_DENSE_ONLY if self.conv else _CONV_ONLY)
        ]
        if idle:
            raise InvalidInput(
                expected="flags of one kind of network",
                got=f"{', '.join(idle)} with{'' if self.conv else 'out'} --conv",
                instead="leave one or the other out",
            )
        if self.conv:
            shape = (
                input_shape if self.input_shape is None else _whole_numbers(self.input_shape, "--input-shape")
            )
            return convnet(
                shape or (3, 32, 32),
                _whole_numbers(self.channels, "--channels"),
                10 if outputs is None else outputs,
                kernel=self.kernel,
                stride=self.stride,
                padding=self.padding,
                **self._shared(eps),
            )
        return mlp(
            self._inputs(input_shape),
            self.width,
            self.depth,
            10 if outputs is None else outputs,
            **self._shared(eps),
        )

    def _inputs(self, input_shape: tuple[int, ...] | None) -> int:
        if self.inputs is not None:
            return self.inputs
        if input_shape is None:
            raise InvalidInput(
                expected="--inputs, the number of input features", got="none", instead="e.g. --inputs 784"
            )
        features = 1
        for size in input_shape:
            features *= size
        return features

    def _shared(self, eps: float) -> dict:
        return {
            "batch_norm": not self.no_batch_norm,
            "gamma": self.gamma,
            "beta": self.beta,
            "eps": eps if self.eps is None else self.eps,
            "activation": self.activation,
            "weight_variance": self.weight_variance,
            "bias_variance": self.bias_variance,
        }


def described_in(file: str) -> Network | None:
    """The network that a .toml or .json file describes; None where the name is not that of such a file.

    Raises
    ------
    InvalidInput
        The file is missing, or describes no network.
    """
    return read_network(file) if file.endswith((".toml", ".json")) else None


def _whole_numbers(text: str, flag: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput(
            expected=f"{flag} as whole numbers with commas", got=repr(text), instead="e.g. 30,60,90"
        ) from None
