"""The main job on real digits: four answers, findings that the numbers bear, and what is given left untouched."""

import copy
import json
import math

import pytest
import torch

import normfield as nf

NET = nf.mlp(64, 100, 3, 10, gamma=0.5)
#: One batch whose matrix is built whole, so that what is measured does not depend on how fast the machine is.
FEW = nf.load("digits", samples=32)


@pytest.fixture(scope="module")
def squared():
    return nf.diagnose(NET, "digits", budget=40, seed=1)


@pytest.fixture(scope="module")
def cross_entropy():
    return nf.diagnose(NET, "digits", loss="cross_entropy", budget=40, seed=1)


def test_the_four_answers_stand_side_by_side(squared):
    answers = squared.answers
    assert list(answers) == ["theory", "kernel", "measured", "trained"]
    assert answers["theory"].max_learning_rate == pytest.approx(nf.mean_field(NET).max_learning_rate(0.9))
    kernel = answers["kernel"]
    assert kernel.max_learning_rate == pytest.approx(2 * 1.9 / kernel.detail.largest_eigenvalue)
    low, high = answers["trained"].interval
    assert low < answers["trained"].max_learning_rate < high
    rates = [answer.max_learning_rate for answer in answers.values()]
    assert max(rates) / min(rates) < 10**0.6
    assert all(answer.seconds >= 0 for answer in answers.values())


def test_the_measured_answer_is_the_curvature_of_the_built_network(squared):
    answer, data = squared.answers["measured"], nf.load("digits").flattened()
    batches = data.batches(squared.asked.batch_size, seed=1)
    direct = nf.curvature(nf.build(NET, seed=1), [batches[i] for i in range(answer.detail.batches)], seed=1)
    apart = 0.1 if answer.cut else 1e-3  # a slow machine measures to 10 % at worst, and says so
    assert answer.largest_eigenvalue == pytest.approx(direct.largest_eigenvalue, rel=apart)


def test_training_brackets_the_edge_from_both_sides(squared):
    detail = squared.answers["trained"].detail
    assert {run.status for run in detail.runs} >= {"finished", "diverged"}
    below = [run.learning_rate for run in detail.runs if run.status == "finished"]
    beyond = [run.learning_rate for run in detail.runs if run.status == "diverged"]
    assert min(below) < detail.value < max(beyond)


def test_findings_carry_the_number_behind_them(squared):
    sentences = {finding.sentence: finding for finding in squared.findings}
    limit = next(f for s, f in sentences.items() if s.startswith("The first steps are stable"))
    assert limit.value == squared.answers["measured"].max_learning_rate
    smaller = next(f for s, f in sentences.items() if "starting at γ" in s)
    quarter = nf.mean_field(nf.mlp(64, 100, 3, 10, gamma=0.125))
    assert smaller.value == pytest.approx(quarter.max_learning_rate(0.9))
    published = next(f for s, f in sentences.items() if s.startswith("The published theory"))
    mean = squared.answers["measured"].detail.cluster_mean
    assert published.value == pytest.approx(nf.mean_field(NET, "published").largest_eigenvalue / mean)


def test_cross_entropy_is_reported_as_not_limited(cross_entropy):
    trained = cross_entropy.answers["trained"]
    assert trained.detail.limited is False
    assert any("not limited by η*" in finding.sentence for finding in cross_entropy.findings)
    low, high = cross_entropy.answers["theory"].interval
    assert low < cross_entropy.answers["theory"].max_learning_rate < high


def test_json_and_table_hold_the_same_numbers(squared):
    found = json.loads(squared.to_json())
    assert set(found) >= {"answers", "findings"}
    for row in squared.table().rows:
        answer = found["answers"][row[0]]
        assert (row[1], row[2]) == (answer["max_learning_rate"], answer["largest_eigenvalue"])
    kernel = squared.answers["kernel"]
    assert found["answers"]["kernel"]["largest_eigenvalue"] == kernel.largest_eigenvalue
    assert found["answers"]["kernel"]["method"] == "exact"
    assert found["answers"]["kernel"]["samples"] == kernel.detail.samples
    assert ("profile" in found) == (squared.profile is not None)  # left out where the machine is busy
    frame = squared.to_frame()
    assert frame.loc["theory", "largest_eigenvalue"] == found["answers"]["theory"]["largest_eigenvalue"]
    assert "measured" in str(squared)


def test_shares_of_the_eigenvalue_add_up(squared):
    from normfield.diagnosis.shares import measured_shares, theory_shares

    theory = squared.answers["theory"].detail
    total = sum(value for layers in theory_shares(theory).values() for value in layers.values())
    assert total == pytest.approx(theory.largest_eigenvalue)
    detail = squared.answers["measured"].detail
    shares = measured_shares(detail, squared.subject.module)
    assert set(shares) == {"weight", "bias", "gamma", "beta"}
    assert {layer for values in shares.values() for layer in values} == {1, 2, 3}
    total = sum(value for layers in shares.values() for value in layers.values())
    assert total == pytest.approx(detail.eigenvalues.mean(), rel=1e-4)
    by_theory = theory_shares(theory)
    for kind, layer in (("weight", 3), ("bias", 3), ("gamma", 2), ("beta", 2)):
        assert shares[kind][layer] == pytest.approx(by_theory[kind][layer], rel=0.15), kind


def test_loss_units_are_the_users():
    half = nf.diagnose(NET, FEW, loss="squared", budget=5)
    mean = nf.diagnose(NET, FEW, loss=torch.nn.MSELoss(), budget=5)
    for name in ("theory", "measured"):
        ratio = mean.answers[name].largest_eigenvalue / half.answers[name].largest_eigenvalue
        assert ratio == pytest.approx(2 / 10, rel=1e-3)


def test_a_tiny_budget_cuts_measurement_and_training_and_says_so():
    found = nf.diagnose(NET, "digits", budget=1e-3)
    assert found.answers["theory"].status == "answered"
    assert found.answers["measured"].status == "cut"
    assert "budget" in found.answers["measured"].reason
    assert found.answers["trained"].status == "cut"
    assert "budget" in found.answers["trained"].reason


def test_a_callable_loss_gets_curvature_and_training_but_no_theory():
    def huber(outputs, targets):
        return torch.nn.functional.huber_loss(outputs, torch.nn.functional.one_hot(targets, 10).float())

    found = nf.diagnose(NET, "digits", loss=huber, budget=16)
    assert found.answers["theory"].status == "not covered"
    assert "huber" in found.answers["theory"].reason
    assert found.answers["measured"].detail.kind == "ggn"
    assert found.answers["trained"].max_learning_rate > 0


def test_networks_outside_the_theory_keep_their_other_answers(tmp_path):
    net = nf.convnet((1, 8, 8), (4,), 10, pooling="global", stride=1)
    found = nf.diagnose(net, "digits", budget=12)
    assert "GlobalAveragePool" in found.answers["theory"].reason
    assert math.isfinite(found.answers["measured"].max_learning_rate)
    assert found.to_html(tmp_path / "report.html").exists()


def test_a_module_is_left_as_it_was():
    module = nf.build(NET, seed=3)
    before = copy.deepcopy(module.state_dict())
    state = torch.get_rng_state()
    found = nf.diagnose(torch.nn.Sequential(torch.nn.Flatten(), module), "digits", budget=3)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert found.answers["theory"].status == "answered"


def test_theory_reads_the_module_and_says_where_it_extrapolates():
    module = nf.build(NET, seed=3)
    fresh = nf.diagnose(module, FEW.flattened(), budget=0.5).answers["theory"]
    assert fresh.max_learning_rate == pytest.approx(nf.mean_field(NET).max_learning_rate(0.9))
    assert "extrapolation" not in fresh.assumes
    with torch.no_grad():
        module[0].weight[:50] = module[0].weight[50:]
    copied = nf.diagnose(module, FEW.flattened(), budget=0.5)
    assert "Theory is an extrapolation: " in copied.answers["theory"].assumes
    assert isinstance(copied.subject.given, torch.nn.Module)


def test_a_module_that_theory_does_not_cover_is_named():
    module = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.PReLU(), torch.nn.Linear(8, 10)
    )
    theory = nf.diagnose(module, FEW, budget=0.5).answers["theory"]
    assert theory.status == "not covered"
    assert "PReLU" in theory.reason


def test_a_measurement_in_another_mode_is_never_the_limit_of_training():
    found = nf.diagnose(NET, "digits", budget=30, statistics="running")
    assert found.answers["measured"].largest_eigenvalue > 0
    trained = found.answers["trained"].detail
    assert trained.reference != pytest.approx(found.answers["measured"].max_learning_rate)
    assert trained.limited is True
    assert not any("good first try" in finding.sentence for finding in found.findings)


def test_half_the_limit_is_recommended_for_squared_loss_only(squared, cross_entropy):
    assert any("good first try" in finding.sentence for finding in squared.findings)
    assert not any("good first try" in finding.sentence for finding in cross_entropy.findings)


def test_a_bound_that_is_not_the_top_eigenvalue_is_never_recommended():
    deep = nf.mlp(64, 100, 24, 10)
    assert not nf.mean_field(deep).is_top
    found = nf.diagnose(deep, "digits", budget=0.5)
    sentences = [finding.sentence for finding in found.findings]
    assert any("only an upper bound" in sentence for sentence in sentences)
    assert not any("(theory)" in sentence for sentence in sentences)
    assert not any("Theory gives" in sentence for sentence in sentences)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_no_common_direction_at_all_leaves_the_other_answers(loss, tmp_path):
    layers = [nf.Dense(30, bias=False), nf.Activation("tanh"), nf.Dense(10, bias=False)]
    found = nf.diagnose(nf.Network((64,), layers), FEW, loss=loss, budget=0.5)
    assert "λ_max = 0" in found.answers["theory"].reason
    assert found.answers["measured"].max_learning_rate > 0
    assert found.to_html(tmp_path / "report.html").exists()


def test_inputs_of_another_scale_are_pointed_out():
    inputs, targets = (
        torch.rand(300, 64, generator=torch.Generator().manual_seed(0)) * 255,
        torch.arange(300) % 10,
    )
    found = nf.diagnose(NET, (inputs, targets), budget=0.5)
    assert any("theory assumes 1" in finding.sentence for finding in found.findings)


def test_a_loss_without_fisher_matrix_gets_the_gauss_newton_one():
    found = nf.diagnose(NET, FEW, loss=torch.nn.CrossEntropyLoss(ignore_index=3), budget=8)
    assert found.answers["measured"].detail.kind == "ggn"


def test_the_budget_bounds_the_measurement_too():
    wide = nf.mlp(64, 1500, 5, 10)
    found = nf.diagnose(wide, "digits", budget=1.0)
    assert found.answers["measured"].status in ("cut", "answered")
    if found.answers["measured"].status == "answered":
        assert found.answers["measured"].detail.batches == 1
    assert "-" not in found.answers["trained"].reason


def test_json_has_a_reason_beside_every_null(squared, cross_entropy):
    def check(part, above):
        if isinstance(part, dict):
            if any(value is None for value in part.values()):
                assert any("reason" in key for key in part), (above, part)
            for key, value in part.items():
                check(value, key)
        elif isinstance(part, list):
            for item in part:
                check(item, above)

    for found in (squared, cross_entropy):
        check(json.loads(found.to_json()), "")


def test_other_statistics_and_matrices_are_measured_as_asked():
    frozen = nf.diagnose(NET, FEW, budget=0.5, statistics="frozen", kind="ggn")
    assert frozen.answers["measured"].detail.statistics == "frozen"
    assert frozen.answers["theory"].detail.statistics == "frozen"
    assert any("training uses each batch's own" in finding.sentence for finding in frozen.findings)
    running = nf.diagnose(NET, FEW, budget=8, statistics="running", kind="hessian")
    assert running.answers["theory"].status == "not covered"
    assert (running.answers["measured"].detail.kind, running.answers["measured"].detail.statistics) == (
        "hessian",
        "running",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "kfac"}, 'kind "fisher", "ggn" or "hessian"'),
        ({"statistics": "published"}, 'statistics "batch", "frozen" or "running"'),
        ({"loss": "hinge"}, 'loss "squared", "cross_entropy" or a callable'),
        ({"momentum": 1.0}, "momentum in [0, 1)"),
        ({"budget": -1}, "a budget above 0 seconds"),
        ({"batch_size": 0}, "batch_size as a whole number of at least 1"),
        ({"batch_size": 10_000}, "a batch size of at most the 1437 samples"),
        ({"seed": 0.5}, "seed"),
    ],
)
def test_bad_settings_get_one_line(arguments, words):
    with pytest.raises(nf.InvalidInput) as refused:
        nf.diagnose(NET, "digits", **arguments)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_neither_network_nor_module():
    with pytest.raises(nf.InvalidInput, match=r"callable seed -> torch.nn.Module, a Network or a module"):
        nf.diagnose("resnet", "digits")
    image = nf.Network((1, 8, 8), [nf.Conv(3)])
    with pytest.raises(nf.InvalidInput, match=r"a network that ends in \(outputs,\)"):
        nf.diagnose(image, "digits")
