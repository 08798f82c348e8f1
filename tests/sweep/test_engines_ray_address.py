"""A sweep on a Ray cluster of two machines, reached by its address; one of them goes away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_tasks import Hashing, Signing

import normfield as nf
from normfield.errors import InvalidInput

pytestmark = pytest.mark.long
AXES = {"x": range(40)}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two machines of one core each, as Ray sees them: one that stays, one that can be taken away."""
    utilities = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
    started = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    started.leaving = started.add_node(num_cpus=1)
    yield started
    started.shutdown()


def test_trials_of_a_lost_machine_run_again_on_the_other(cluster: Any, tmp_path: Path) -> None:
    removed: list[int] = []

    def take_away(progress: nf.Progress) -> None:
        if progress.finished >= 8 and not removed:
            removed.append(progress.finished)
            cluster.remove_node(cluster.leaving, allow_graceful=False)

    task = Signing(together=4, seconds=1.5, folder=str(tmp_path))  # long enough to be lost in the middle
    sweep = nf.run_sweep(task, AXES, engine="ray", address=cluster.address, progress=take_away)
    whole = nf.run_sweep(Signing(together=4, folder=str(tmp_path)), AXES)
    assert removed
    assert len(list(tmp_path.glob("pid-*"))) == 3  # two workers, and this process
    assert [(t.key, t.outcome) for t in sweep.results()] == [(t.key, t.outcome) for t in whole.results()]
    assert sweep.status.attempts == sweep.status.groups + 1


def test_an_address_without_a_cluster_is_refused() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(
        InvalidInput,
        match=r"expected a Ray cluster at 127\.0\.0\.1:9, got .*Connection refused; start it, or leave out",
    ):
        nf.run_sweep(Hashing(), {"x": [1]}, engine="ray", workers=1, address="127.0.0.1:9")
