"""Make docs/gallery.md, its figures and the README's from the studies' kept tables; needs Chromium with chromedriver.

``python docs/make_gallery.py`` draws again what docs/studies holds, of whatever size; a study whose folder is missing
or unfinished there is computed first, at size ``small`` (minutes). To compute one anew, remove its folder.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import normfield as nf

DOCS = Path(__file__).parent
KEPT = DOCS / "studies"
IMAGES = DOCS / "images"
LEADING = "theory-against-measurement"
SIZE = "small"
SCHEMES = ("light", "dark")

# What a picture cannot offer is left out: buttons, folds, and the page around the figures.
_BARE = (
    ".save, details, header, footer, .skip { display: none !important } body { padding: 0; max-width: none } "
    "section { margin: 0; display: none } section.shown { display: block; padding: 20px } "
)
_COLUMNS = (
    "section.shown { display: grid; grid-template-columns: 1fr 1fr; gap: 28px 40px; align-items: end } "
    "section.shown > h2 { display: none } section.shown > * { margin: 0 !important }"
)
_ONE = "section.shown > *:not(:nth-child(2)) { display: none } section.shown > * { margin: 0 !important }"

_SHOW_FIGURES = """
const style = document.createElement('style'); style.textContent = arguments[0]; document.head.append(style);
const section = [...document.querySelectorAll('main section')].find(s => s.querySelector('figure.plate'));
section.classList.add('shown'); window.dispatchEvent(new Event('resize'));
"""
_RECTANGLE = (
    "const r = document.querySelector('section.shown').getBoundingClientRect(); return [r.width, r.height];"
)


def kept_result(name: str) -> nf.StudyResult:
    """The study as docs/studies holds it, computed where it is missing; the page is not kept there."""
    folder = KEPT / name
    try:
        result = nf.read_study(folder, name)
    except nf.errors.InvalidInput:
        result = nf.run_study(name, SIZE, folder=folder, progress=print)
    (folder / "page.html").unlink(missing_ok=True)
    return result


def gallery_text(results: list[nf.StudyResult]) -> str:
    """The gallery's page."""
    head = (
        "# Gallery\n\n"
        "Claims and figures of papers, computed anew and judged by criteria that were fixed before anything was\n"
        "computed. Every number and picture here comes from a study that you can run: `normfield study list` names\n"
        "them all.\n"
    )
    return "\n".join([head, *map(_study_text, results), _FOOT])


_FOOT = "Made by `python docs/make_gallery.py` from the tables in `docs/studies`.\n"


def _study_text(result: nf.StudyResult) -> str:
    study, verdict = result.study, result.verdict
    others = ", ".join(
        f"`{name}` ({size.words})" for name, size in study.sizes.items() if name != result.size
    )
    return "\n".join(
        [
            f"## {study.title}\n",
            f"**The paper's claim** ([{study.citation}]({study.link})). {study.claim}\n",
            f"**The verdict: {verdict.outcome}.** {verdict.sentence}\n",
            *_image_lines(study),
            *map(_check_line, verdict.of("paper")),
            "\nBeside it, outside the verdict on the paper:\n",
            *map(_check_line, verdict.of("normfield")),
            f"\n{study.setting}\n",
            *(f"{text}\n" for text in study.differences),
            f"Computed: size `{result.size}`, {study.sizes[result.size].words}; seed {result.seed}, torch "
            f"{result.versions['torch']}; [the table](studies/{study.name}/table.csv). Not run here: {others}.\n",
            f"```sh\nnormfield study run {study.name} --size {result.size}\n```\n",
        ]
    )


def _image_lines(study: nf.Study[Any]) -> list[str]:
    words = f"Figures of the study {study.name}: {study.title}"
    return [f"![{words}](images/{study.name}-{scheme}.png#only-{scheme})" for scheme in SCHEMES] + [""]


def _check_line(check: Any) -> str:
    return f"- {'✓' if check.held else '✗'} {check.sentence} *Criterion: {check.criterion}.*"


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from selenium import webdriver

    binary = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    options = webdriver.ChromeOptions()
    options.binary_location = binary or ""
    with tempfile.TemporaryDirectory() as profile:
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver") or "chromedriver")
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield driver
        finally:
            driver.quit()


def picture(
    driver: Any, page: Path, target: Path, *, width: int, scale: float, scheme: str, style: str
) -> None:
    """The figures of a page as a PNG, ``scale`` times its size in CSS pixels."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": scale, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get(page.as_uri())
    driver.execute_script(_SHOW_FIGURES, style)
    driver.execute_async_script("setTimeout(arguments[0], 1500)")  # plotly redraws after a resize
    wide, high = driver.execute_script(_RECTANGLE)
    clip = {"x": 0, "y": 0, "width": wide, "height": high, "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    target.write_bytes(base64.b64decode(shot["data"]))


def draw(results: list[nf.StudyResult]) -> None:
    """Every study's figures, and the leading one for the README, in light and dark."""
    with tempfile.TemporaryDirectory() as folder, chromium() as driver:
        for result in results:
            name = result.study.name
            page = result.to_html(Path(folder) / f"{name}.html")
            scale = 1.25 if len(result.figures) <= 5 else 1.0  # more of them make a large file
            for scheme in SCHEMES:
                target = IMAGES / f"{name}-{scheme}.png"
                picture(driver, page, target, width=1400, scale=scale, scheme=scheme, style=_BARE + _COLUMNS)
                if name == LEADING:
                    target = IMAGES / f"leading-{scheme}.png"
                    picture(driver, page, target, width=880, scale=2, scheme=scheme, style=_BARE + _ONE)


def main() -> None:
    """Compute what is missing, draw everything, write the page."""
    results = [kept_result(name) for name in nf.study_names()]
    draw(results)
    (DOCS / "gallery.md").write_text(gallery_text(results), encoding="utf-8")


if __name__ == "__main__":
    main()
