"""``normfield kernel`` as a user meets it: the numbers of the call, and one line for every mistake."""

import json
import sys

import pytest

import normfield as nf
from normfield.cli.program import main

SMALL = ["kernel", "--data", "digits", "--samples", "64", "--width", "50", "--depth", "4"]


def printed(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["normfield", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


def kernel_by_hand(**flags):
    x, y = nf.load("digits", samples=64).flattened().batches(64, 0)[0]
    net = nf.mlp(64, 50, 4, 10, **flags)
    return nf.batch_kernel(net, x.double().numpy()), nf.depth_profile(net, x.double().numpy(), y.numpy())


def test_json_has_the_numbers_of_the_call(capsys, monkeypatch):
    code, out, _ = printed(capsys, monkeypatch, *SMALL, "--gamma", 0.5, "--profile", "--top", 2, "--json")
    found, (kernel, profile) = json.loads(out), kernel_by_hand(gamma=0.5)
    assert code == 0
    assert found["largest_eigenvalue"] == pytest.approx(kernel.largest_eigenvalue, rel=1e-9)
    assert found["max_learning_rate"] == pytest.approx(kernel.max_learning_rate(0.9), rel=1e-9)
    assert found["eigenvalues"] == pytest.approx(kernel.top(2), rel=1e-9)
    assert (found["method"], found["samples"], found["loss"]) == ("exact", 64, "squared")
    gradients = [row["gradient"] for row in found["profile"]["layers"]]
    assert gradients == pytest.approx([layer.gradient for layer in profile.layers], rel=1e-9)


def test_words_have_the_answer_and_the_verdict(capsys, monkeypatch):
    code, out, _ = printed(capsys, monkeypatch, *SMALL, "--profile")
    kernel, profile = kernel_by_hand()
    assert code == 0
    assert f"λ_max = {kernel.largest_eigenvalue:.4g}" in out
    assert f"η*    = {kernel.max_learning_rate(0.9):.4g}" in out
    assert profile.verdict in out
    assert "one batch of 64" in out


def test_cross_entropy_is_an_interval(capsys, monkeypatch):
    _, out, _ = printed(capsys, monkeypatch, *SMALL, "--loss", "cross_entropy", "--json")
    found, (kernel, _) = json.loads(out), kernel_by_hand()
    spread = kernel.cross_entropy(0)
    assert found["largest_eigenvalue"] == pytest.approx(spread.mean, rel=1e-6)
    low, high = found["max_learning_rate_interval"]
    assert low < found["max_learning_rate"] < high
    _, words, _ = printed(capsys, monkeypatch, *SMALL, "--loss", "cross_entropy")
    assert "90 % of networks between" in words


def test_a_description_and_another_method(capsys, monkeypatch, tmp_path):
    net = nf.mlp(64, 30, 3, 10, activation="gelu")
    (tmp_path / "net.toml").write_text(net.to_toml(), encoding="utf-8")
    given = [
        "kernel",
        tmp_path / "net.toml",
        "--samples",
        64,
        "--method",
        "monte_carlo",
        "--draws",
        500,
        "--json",
    ]
    code, out, _ = printed(capsys, monkeypatch, *given)
    found = json.loads(out)
    assert code == 0
    assert found["method"] == "monte_carlo"
    assert found["error"] > 1e-3


BAD = {
    "method": (["--activation", "gelu", "--method", "exact"], "β = 0 for method"),
    "flag": (["--method", "guess"], "'guess' is not one of"),
    "batch": (["--batch-size", "5000"], "at most the 64"),
    "draws": (["--draws", "3"], "3 is not in the range"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line_and_exit_code_two(name, capsys, monkeypatch):
    flags, words = BAD[name]
    code, _, err = printed(capsys, monkeypatch, *SMALL, *flags)
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1


def test_what_has_no_kernel_is_one_line(capsys, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.PReLU(), nn.Linear(8, 10))\n",
        encoding="utf-8",
    )
    code, _, err = printed(capsys, monkeypatch, "kernel", f"{tmp_path / 'mine.py'}:make", "--samples", 64)
    assert code == 2
    assert "PReLU" in err
    images = ["kernel", "--conv", "--channels", "4", "--samples", 64, "--memory", 0.001]
    code, _, err = printed(capsys, monkeypatch, *images)
    assert code == 2
    assert "bytes of memory" in err
