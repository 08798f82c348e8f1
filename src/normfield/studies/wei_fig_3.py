"""Wei et al., Fig. 3: test loss of networks without batch norm over σ_w and the learning rate, and theory's limit."""

from __future__ import annotations

from collections.abc import Sequence

from normfield.network import Network
from normfield.report import Figure, Table
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.phase_diagrams.axis import Axis, Theory
from normfield.studies.phase_diagrams.boundaries import maps
from normfield.studies.phase_diagrams.checks import (
    CLOSE,
    best_check,
    distance_check,
    offset_words,
    partition_check,
)
from normfield.studies.phase_diagrams.figures import columns_table, distance_figure, map_figure
from normfield.studies.phase_diagrams.panels import Images, Panel, steps
from normfield.studies.phase_diagrams.training import MOMENTUM, Settings, cells, trained
from normfield.studies.verdicts import Verdict
from normfield.theory import mean_field


def _network(panel: Panel, deviation: float) -> Network:
    return panel.network(batch_norm=False, weight_variance=deviation**2)


def _of_the_plain_network(network: Network) -> float:
    return mean_field(network, "published", parameters="weights").max_learning_rate(MOMENTUM)


THEORY = Theory("theory_eta", "of the plain network", _of_the_plain_network)
AXIS = Axis("sigma_w", "σ_w", "scale σ_w of the initial weights", _network, (THEORY,))


def _points(settings: Settings, seed: int) -> Rows:
    return cells(settings, AXIS, seed)


def _measure(settings: Settings, group: Rows) -> Sequence[Row]:
    return trained(settings, AXIS, group)


def _draw(rows: Rows) -> tuple[Figure, ...]:
    """The paper's map, and how far its boundary is from theory."""
    found = maps(rows, AXIS)
    return (*(map_figure(one, rows, AXIS) for one in found), distance_figure(found, THEORY, AXIS))


def _tabulate(rows: Rows) -> Table:
    return columns_table(maps(rows, AXIS), AXIS)


def _verdict(rows: Rows) -> Verdict:
    found = maps(rows, AXIS)
    checks = (
        *(distance_check(one, THEORY, "paper") for one in found),
        partition_check(found),
        best_check(found, THEORY, "normfield"),
    )
    (one,) = found
    rates = [line.theory[THEORY.column] for line in one.lines]
    sentence = (
        f"Without batch norm runs explode {offset_words(one, THEORY)} η*, mean and scatter over σ_w, while η* "
        f"itself spans {max(rates) - min(rates):.1f} decades."
    )
    return Verdict(sentence, checks)


def _settings(
    images: Images, width: int, across: tuple[float, ...], rates: tuple[float, ...], repeats: int
) -> Settings:
    """One map; as many runs in each cell as epochs."""
    panel = Panel(images=images, across=across, rates=rates, restarts=repeats, epochs=repeats, width=width)
    return Settings((panel,))


_DEVIATIONS = steps(0.4, 3.0, 0.2)

STUDY = Study(
    name="wei-fig-3",
    title="Does theory's learning rate limit hold without batch norm, at every initial variance?",
    citation="Wei, Stokes, Schwab 2019, Fig. 3",
    link="https://arxiv.org/abs/1903.02606",
    claim=(
        "For fully connected networks without batch norm, too, the plane of σ_w and log₁₀η partitions into training "
        "that converges and training that explodes, with the theory's largest learning rate η* as the boundary."
    ),
    background=(
        "Initial weights have standard deviation σ_w/√N at N inputs. The larger σ_w is, the larger are activations and "
        "gradients, the largest eigenvalue λ_max of the Fisher matrix with them, and the smaller is the largest stable "
        "learning rate η* = 2(1 + μ)/λ_max at momentum μ. The paper shows this as a baseline for its maps with batch "
        "norm (the study wei-fig-2)."
    ),
    setting=(
        "Four affine layers with ReLU and without batch norm, σ_b² = 0.5. Squared loss ½‖f − y‖² with one-hot y, "
        f"stochastic gradient descent with momentum {MOMENTUM:g}, batches of 128. A run explodes when its loss is not "
        "finite or a thousand times the first. Restart k has the same initial weights, σ_w apart, and the same order "
        "of images in every cell."
    ),
    differences=(
        "The paper names neither loss nor batch size nor the range of σ_w; its theory is of the squared loss, which is "
        "taken here.",
        f"“As the boundary” is read as in wei-fig-2: within {CLOSE:g} decades, root mean square over σ_w.",
        "Stability at initialisation is not all that limits training: a network can jump above η* and settle where the "
        "loss is flatter.",
    ),
    sizes={
        "smoke": Size(
            "digits, 64–32–32–32–10: 4 × 8 cells, 2 runs each, 2 epochs",
            "5 s on one core",
            _settings(Images("digits"), 32, (0.6, 1.4, 2.2, 3.0), steps(-3.5, 0.0, 0.5), 2),
        ),
        "small": Size(
            "MNIST, 784–300–300–300–10: 14 × 20 cells, 3 runs each, 3 epochs of 5,000 images; tested on 2,000 images",
            "3.5 minutes on one core",
            _settings(Images("mnist", 5_000, 2_000), 300, _DEVIATIONS, steps(-4.4, -0.6, 0.2), 3),
        ),
        "paper": Size(
            "MNIST, three hidden layers of 1000 units: 14 × 22 cells, 5 runs each, 5 epochs of all images",
            "hours on a GPU; not yet run by us",
            _settings(Images("mnist"), 1000, _DEVIATIONS, steps(-5.2, -1.0, 0.2), 5),
        ),
    },
    points=_points,
    groups=sharing("panel", AXIS.column),
    measure=_measure,
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
