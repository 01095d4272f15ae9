"""Plotly's script, as it is embedded in a page: compressed, so that a page has 2 MB and not 5."""

from __future__ import annotations

import base64
import gzip
from functools import lru_cache


@lru_cache(maxsize=1)
def compressed() -> str:
    """Returns the source of plotly.js, gzipped and in base64; its licence stands at its head.

    A browser unpacks it by itself (``DecompressionStream``), when a plot is first to be drawn.
    """
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
