"""Make docs/images/kernel-cost-*.png of a page of measured costs; needs Chromium with chromedriver.

``benchmarks/kernels.py --plot cost.html`` writes the page, ``python docs/make_cost_figure.py cost.html`` the pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from make_gallery import _BARE, _COLUMNS, IMAGES, SCHEMES, chromium, picture

_ROOM_BELOW = (
    " section.shown { padding-bottom: 90px !important }"  # the axes' titles, below the page's own margin
)


def main() -> None:
    """In light and dark."""
    page, style = Path(sys.argv[1]).resolve(), _BARE + _COLUMNS + _ROOM_BELOW
    with chromium() as driver:
        for scheme in SCHEMES:
            target = IMAGES / f"kernel-cost-{scheme}.png"
            picture(driver, page, target, width=1400, scale=1.25, scheme=scheme, style=style)


if __name__ == "__main__":
    main()
