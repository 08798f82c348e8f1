"""Every study at its smallest size, computed once for all tests."""

from __future__ import annotations

import pytest

import normfield as nf


@pytest.fixture(scope="session")
def smoke_results(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Name → (result, folder that it was run into)."""
    home = tmp_path_factory.mktemp("studies")
    return {name: (nf.run_study(name, "smoke", folder=home / name), home / name) for name in nf.study_names()}
