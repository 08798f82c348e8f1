"""How far each answer is trusted, whether answers agree, which rates worked, and the sentence on top."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from normfield.diagnosis.about_limits import best_seen, usable_rates
from normfield.diagnosis.about_theory import theory_beside_measurement
from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.headline import first_try, statement
from normfield.diagnosis.opening import answers_figure, cards
from normfield.diagnosis.trust import agreement, trust
from normfield.diagnosis.usable import usable_range
from normfield.train import Run

ASKED = Asked("squared", 128, 0.9, 20.0, 0)
SOFTMAX = Asked("cross_entropy", 128, 0.9, 20.0, 0)


def run(rate, loss=None, seed=0, test=None):
    status = "diverged" if loss is None else "finished"
    return Run(rate, 0.9, seed, status, None, (1.0, 0.9), 1.0, loss, test, None, 0, 0.1)


def trained(value=0.1, best=None, runs=(), spread=0.05, worse=None, interval=None):
    detail = SimpleNamespace(
        value=value,
        best=best,
        best_learning_rate=None if best is None else best.learning_rate,
        runs=tuple(runs),
        spread=spread,
        worse_value=worse,
        limited=True,
        decades_from_reference=0.1,
        status="bracketed",
        verdict="limited",
    )
    return Answer("trained", "answered", value, interval or (value / 1.2, value * 1.2), detail=detail)


def answers(theory=0.08, measured=0.07, **edge):
    kernel = Answer("kernel", "cut", reason="the budget is short")
    field = SimpleNamespace(is_top=True)
    curvature = SimpleNamespace(error=0.01)
    return {
        "theory": Answer("theory", "answered", theory, None, 40.0, detail=field),
        "kernel": kernel,
        "measured": Answer("measured", "answered", measured, None, 50.0, detail=curvature),
        "trained": trained(**edge),
    }


def test_each_answer_has_its_kind_and_error_bar():
    found = {name: trust(answer) for name, answer in answers().items()}
    assert found["kernel"] is None
    assert [found[name].kind for name in ("theory", "measured", "trained")] == [
        "estimate",
        "estimate",
        "observed",
    ]
    assert found["theory"].low is None
    assert (found["measured"].low, found["measured"].high) == (
        pytest.approx(0.07 / 1.01),
        pytest.approx(0.07 / 0.99),
    )
    assert found["trained"].decades == pytest.approx(math.log10(1.2))


def test_what_is_not_the_top_eigenvalue_is_a_bound():
    bound = Answer("theory", "answered", 0.5, detail=SimpleNamespace(is_top=False))
    assert trust(bound).kind == "bound"
    assert trust(Answer("measured", "answered", math.inf)) is None


def test_bounds_do_not_count_as_agreement():
    both = answers()
    assert agreement(both.values()).factor == pytest.approx(0.1 / 0.07)
    both["theory"] = Answer("theory", "answered", 50.0, detail=SimpleNamespace(is_top=False))
    assert agreement(both.values()).factor == pytest.approx(0.1 / 0.07)
    assert agreement([both["theory"], both["trained"]]) is None


@pytest.mark.parametrize(
    ("theory", "words"),
    [
        (0.08, "agree within a factor of 1.4 (0.15 decades): trust it."),
        (0.2, "agree within a factor of 2.9 (0.46 decades): trust the order of magnitude"),
        (2.0, "differ by a factor of 29 (1.5 decades): see below which to trust."),
    ],
)
def test_the_sentence_on_top_says_how_far_the_answers_agree(theory, words):
    found = statement(answers(theory), ASKED)
    assert found.sentence == "Up to about 0.07; start with 0.035."
    assert words in found.note


def test_half_the_limit_is_no_advice_where_the_best_run_was_far_from_it():
    far = run(0.001, 0.1)
    assert first_try(answers(best=far, runs=[far]), ASKED) is None
    near = run(0.02, 0.1)
    assert first_try(answers(best=near, runs=[near]), ASKED) == pytest.approx(0.035)
    assert first_try(answers(), SOFTMAX) is None


def test_usable_rates_are_those_within_a_tenth_of_the_best_beside_it():
    runs = [
        run(0.01, 0.5),
        run(0.02, 0.105),
        run(0.04, 0.1),
        run(0.08, 0.109),
        run(0.16, 0.2),
        run(0.32, 0.1),
    ]
    found = usable_range([*runs, run(0.02, 0.01, seed=1)], runs[2])
    assert (found.low, found.high, found.runs, found.by) == (0.02, 0.08, 3, "training loss")
    assert usable_range(runs, None) is None
    gap = [run(0.01, 0.1), run(0.02), run(0.04, 0.1)]
    assert usable_range(gap, gap[2]).low == 0.04
    tested = [run(0.01, 0.1, test=0.3), run(0.02, 0.5, test=0.31), run(0.04, 0.1, test=0.4)]
    assert usable_range(tested, tested[0]).high == 0.02


def test_cross_entropy_gets_a_range_of_rates_instead_of_a_limit():
    runs = [run(0.01, 0.105), run(0.04, 0.1), run(0.2, 0.3)]
    found = answers(best=runs[1], runs=runs, value=5.0)
    top = statement(found, SOFTMAX)
    assert top.sentence == (
        "Try learning rates between 0.01 and 0.04: the 2 runs there ended within 10 % of the best training loss, "
        "after only 2 steps; no smaller one was tried."
    )
    longer = [replace(one, losses=(1.0,) * 50) for one in runs]
    assert statement(answers(best=longer[1], runs=longer), SOFTMAX).sentence == (
        "Use a learning rate between 0.01 and 0.04: the 2 runs there ended within 10 % of the best training loss; "
        "no smaller one was tried."
    )
    assert "stable up to 0.08 (theory) or 0.07 (measured), which agree within a factor of 1.1" in top.note
    assert "runs diverge only above 5" in top.note
    finding = usable_rates(SOFTMAX, found)
    assert "from 0.01 to 0.04" in finding.sentence
    assert finding.value == pytest.approx(4)


def test_where_the_slowest_run_was_best_smaller_rates_are_advised():
    only = run(0.3, 0.1)
    found = answers(best=only, runs=[only, run(0.9, 0.5)], value=5.0)
    assert statement(found, SOFTMAX).sentence == (
        "Try learning rates from 0.3 down: the slowest of the runs ended best."
    )
    assert "no smaller one was tried" in best_seen(SOFTMAX, found).sentence
    unfinished = Run(0.1, 0.9, 0, "cut short", None, (1.0,), 1.0, None, None, None, 0, 0.1)
    assert usable_range([unfinished, only], only).open_below
    bracketed = answers(best=only, runs=[run(0.1, 0.5), only, run(0.9, 0.5)], value=5.0)
    assert statement(bracketed, SOFTMAX).sentence == "Use a learning rate near 0.3: the run there ended best."
    assert "no smaller one" not in best_seen(SOFTMAX, bracketed).sentence


@pytest.mark.parametrize(
    ("theory", "cluster", "severity", "words"),
    [
        (49.0, 10, "good", "the mean of the top 10 eigenvalues within 2.0 %"),
        (30.0, 10, "warning", "-40 % off the measurement"),
        (40.0, 1, "good", "-20 % off the largest one measured, which is what a mean would be"),
        (90.0, 1, "warning", "+80 % off the largest one measured: the inputs"),
    ],
)
def test_theory_is_compared_with_what_was_measured(theory, cluster, severity, words):
    both = answers()
    both["theory"] = Answer("theory", "answered", 0.08, None, theory, detail=SimpleNamespace(is_top=True))
    curvature = SimpleNamespace(error=0.01, cluster_mean=50.0, cluster_size=cluster)
    both["measured"] = Answer("measured", "answered", 0.07, None, 50.0, detail=curvature)
    found = theory_beside_measurement(both, ASKED)
    assert found.severity == severity
    assert words in found.sentence
    assert found.value == pytest.approx(theory / 50 - 1)


def test_a_best_run_above_the_edge_is_pointed_out():
    best = run(0.12, 0.1)
    above = best_seen(ASKED, answers(best=best, runs=[best], value=0.1))
    assert above.severity == "warning"
    assert "above 0.1, the edge averaged over restarts" in above.sentence
    below = best_seen(ASKED, answers(best=run(0.09, 0.1), runs=[run(0.09, 0.1)], value=0.1))
    assert below.severity == "note"
    assert "averaged" not in below.sentence


def test_no_answer_at_all_says_so():
    none = {name: Answer(name, "cut", reason="no time") for name in ("theory", "measured", "trained")}
    none["kernel"] = Answer("kernel", "cut", reason="no time")
    assert statement(none, ASKED).sentence == "No answer: see below why."
    assert answers_figure(none, ASKED) is None
    assert [card.unit for card in cards(none).cards] == ["cut"] * 4


def test_a_card_gives_the_error_bar_or_its_size():
    both = answers()
    theory, kernel, measured, edge = cards(both).cards
    assert (kernel.tone, kernel.value) == ("absent", None)
    assert theory.heading == "Theory: estimate"
    assert measured.note.startswith("0.0693 to 0.0707: numerical error alone.")
    assert edge.note.startswith("0.0833 to 0.12: spread over restarts and width of the brackets.")
    both["measured"] = Answer("measured", "answered", 0.07, None, 50.0, detail=SimpleNamespace(error=1e-4))
    assert cards(both).cards[2].note.startswith("Numerical error alone, below 0.5 %.")


def test_all_answers_stand_on_one_axis():
    best = run(0.05, 0.1)
    figure = answers_figure(answers(best=best, runs=[best]), ASKED)
    assert [trace["x"] for trace in figure.data] == [[0.08], [0.07], [0.1]]
    assert figure.layout["xaxis"]["type"] == "log"
    assert "first try, 0.035" in figure.alt
    assert "best run, 0.05" in figure.alt
    assert "Training, observed: 0.1 (0.0833 to 0.12)" in figure.alt
