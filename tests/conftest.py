"""No test downloads or reads a user's cache; a browser for tests of pages; where CI runs, a skip is a failure."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# A peer with an environment of its own (benchmarks/jax.sh), where its tests are run by name.
collect_ignore = [] if find_spec("neural_tangents") else ["theory/kernels/test_against_neural_tangents.py"]

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_configure(config: pytest.Config) -> None:
    """Keep tests, and what they start, from the network and a user's data sets; let Ctrl-C be Ctrl-C."""
    os.environ["NORMFIELD_OFFLINE"] = "1"
    os.environ["XDG_CACHE_HOME"] = os.path.join(tempfile.gettempdir(), "normfield-tests-without-a-cache")
    # A shell starts what it sends to the background with Ctrl-C ignored, and tests of Ctrl-C would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run under CI in which a test was skipped: CI installs all that tests need."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("tests were skipped, which counts as a failure where CI is set", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@dataclass(frozen=True)
class Browser:
    """A driver, and what a test of a page asks of it."""

    driver: Any

    def open(self, path: Path, width: int = 1200, height: int = 900, scheme: str = "light") -> Any:
        """Open a file at a width in CSS pixels and in a colour scheme; logs then begin anew."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.set_scheme(scheme)
        for log in ("performance", "browser"):
            self.driver.get_log(log)
        self.driver.get(path.as_uri())
        return self.driver

    def set_scheme(self, scheme: str) -> None:
        """Change the reader's colour scheme, as when evening comes."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def requests(self) -> list[str]:
        """Give every address that was asked for since ``open``, the page's own first."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]

    def errors(self) -> list[str]:
        """Give every severe line of the console since ``open``."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def screenshot(self, path: Path) -> Path:
        """Save the whole page, also what lies below the window."""
        options = {"format": "png", "captureBeyondViewport": True, "fromSurface": True}
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", options | {"clip": clip})
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def pdf(self, path: Path) -> Path:
        """Print the page on A4."""
        shot = self.driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
        path.write_bytes(base64.b64decode(shot["data"]))
        return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium without a window; skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    chromedriver = shutil.which("chromedriver")
    if binary is None or chromedriver is None:
        pytest.skip("no Chromium with chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=chromedriver))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
