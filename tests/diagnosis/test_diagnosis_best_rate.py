"""The finding on which rate to take."""

from __future__ import annotations

from normfield.diagnosis.about_best_rate import rate_to_take
from normfield.diagnosis.answer import Answer
from normfield.train.suggestion.from_search import SearchSuggestion


def trained(suggestion):
    return {"trained": Answer("trained", "answered", 0.1, suggestion=suggestion)}


def test_the_finding_says_what_longer_training_takes():
    entropy = rate_to_take(trained(SearchSuggestion(0.02, 30, 0.4)))
    assert entropy.sentence.startswith("For runs of 30 steps these runs suggest a learning rate of 0.02:")
    assert "steps^−0.4" in entropy.sentence
    assert entropy.value == 0.02
    assert "Longer training" not in rate_to_take(trained(SearchSuggestion(0.02, 30, 0.0))).sentence
    assert rate_to_take(trained(None)) is None
    assert trained(SearchSuggestion(0.02, 30, 0.4))["trained"].as_dict()["suggested_learning_rate"] == 0.02
    assert "suggested_learning_rate" not in trained(None)["trained"].as_dict()
