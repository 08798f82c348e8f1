"""A record as TensorBoard's files, and a monitor as a callback of Lightning."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

import normfield as nf

X = torch.randn(48, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(48) % 3


def watched():
    model = nn.Linear(4, 3)
    watching = nf.Monitor(
        model,
        "cross_entropy",
        every={"own": 2},
        instruments={"own": lambda m: {"whole": m.step, "parts": {"a/b": 1.0, "c": 2.0}}},
        overhead=None,
    )
    for step in range(5):
        watching.step((X, Y), loss_value=1.0 / (1 + step), learning_rate=0.1)
    return watching.record


def test_tensorboard_reads_back_every_number(tmp_path):
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
    )
    record = watched()
    folder = record.to_tensorboard(tmp_path / "deep" / "logs")
    read = accumulators.EventAccumulator(str(folder))
    read.Reload()
    assert set(read.Tags()["scalars"]) == {
        "training/loss",
        "training/learning_rate",
        "own/whole",
        "own/parts/a/b",
        "own/parts/c",
    }
    assert [(event.step, event.value) for event in read.Scalars("own/whole")] == [(0, 0), (2, 2), (4, 4)]
    losses = [event.value for event in read.Scalars("training/loss")]
    assert losses == pytest.approx(list(record.losses), rel=1e-6)


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    (tmp_path / "file").write_text("")
    with pytest.raises(nf.InvalidInput, match="a folder that can be made"):
        watched().to_tensorboard(tmp_path / "file" / "logs")


def _without(monkeypatch, missing):
    found = importlib.util.find_spec
    for place in ("tensorboard_files", "lightning_adapter"):
        monkeypatch.setattr(
            f"normfield.train.monitoring.{place}.find_spec",
            lambda name: None if name == missing else found(name),
        )


def test_without_tensorboard_it_says_what_to_install(monkeypatch, tmp_path):
    _without(monkeypatch, "tensorboard")
    with pytest.raises(nf.InvalidInput, match=r"pip install 'normfield\[tensorboard\]'"):
        watched().to_tensorboard(tmp_path / "logs")
    assert not list(tmp_path.iterdir())


def test_without_lightning_it_says_what_to_install(monkeypatch):
    _without(monkeypatch, "lightning")
    with pytest.raises(nf.InvalidInput, match=r"pip install 'normfield\[lightning\]'"):
        nf.lightning_callback()


@pytest.fixture(scope="module")
def operators():
    """The operators without which a torchvision made for another build of torch cannot be imported.

    Lightning imports torchmetrics, and that torchvision where it is installed.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


@pytest.fixture
def lightning(operators):
    return pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")


def fitted(lightning, callbacks, schedule=None, **asked):
    """A Lightning training of three epochs of three batches, and its weights."""
    losses, rates = [], []

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3)
            )

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, _):
            inputs, labels = batch
            loss = nn.functional.cross_entropy(self(inputs), labels)
            losses.append(loss.item())
            rates.append(self.optimizers().param_groups[0]["lr"])
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            if schedule is None:
                return optimizer
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    torch.manual_seed(4)
    module = Module()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=16, shuffle=True)
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **asked,
    )
    trainer.fit(module, loader)
    module.told = losses, rates
    return module


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's advice on workers of loaders
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_lightnings_trainer_is_watched_and_trains_on_alike(lightning):
    callback = nf.lightning_callback(
        "cross_entropy", every={"edge": 3, "own": 2}, instruments={"own": lambda m: m.step}, overhead=None
    )
    with pytest.raises(nf.InvalidInput, match="a record of a training that has started"):
        callback.record  # noqa: B018
    monitored, bare = fitted(lightning, [callback]), fitted(lightning, [])
    for one, other in zip(monitored.state_dict().values(), bare.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    record = callback.record
    assert record.steps == 9
    assert None not in record.losses
    assert set(record.learning_rates) == {0.1}
    assert record.curve("own", "own")[0].tolist() == [0, 2, 4, 6, 8]
    assert (record.curve("edge", "sharpness_times_rate")[1] > 0).all()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("accumulated", [1, 4])
def test_lightnings_losses_and_rates_are_those_of_each_step(lightning, accumulated):
    callback = nf.lightning_callback(
        "cross_entropy",
        every={"edge": 1, "own": 1},
        instruments={"own": lambda m: m.learning_rate},
        overhead=None,
    )
    module = fitted(
        lightning, [callback], schedule=lambda step: 0.5**step, accumulate_grad_batches=accumulated
    )
    losses, rates = module.told
    assert len(set(rates)) == (9 if accumulated == 1 else 3)
    record = callback.record
    assert record.losses == pytest.approx(losses)
    assert record.learning_rates == pytest.approx(rates)
    assert record.curve("own", "own")[1] == pytest.approx(rates)
    for prefix, gain in (("", 1), ("preconditioned_", 1 / (1 + 0.9))):  # of momentum 0.9
        ratio = record.curve("edge", f"{prefix}sharpness_times_rate")[1]
        largest = record.curve("edge", f"{prefix}largest_eigenvalue")[1]
        assert (ratio > 0).all()
        assert ratio == pytest.approx(rates * largest * gain / 2)
