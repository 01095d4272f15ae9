"""Pictures of kernels as small PNG files for a page, legible on light and on dark paper."""

from __future__ import annotations

import base64
import io

import numpy as np

from tfdrlprune.specs import Array

# Below and above zero: far apart in hue and, on either paper, alike in weight.
_NEGATIVE, _POSITIVE, _KEPT = (217, 119, 38), (54, 118, 222), (112, 124, 148)
# Of the smallest weight that is not zero: less would look removed.
_FAINTEST = 0.16


def of_weights(weights: Array) -> str:
    """Returns a data URI of weights: blue above zero, orange below, paper where all are gone.

    Args:
        weights: int8 [rows, columns]; see `Kernel`.
    """
    levels = np.arange(-127, 128)
    strength = np.sqrt(np.abs(levels) / 127)  # small weights are many, and would all look white
    opacity = np.where(levels == 0, 0.0, _FAINTEST + (1 - _FAINTEST) * strength)
    colours = np.where(levels[:, None] < 0, _NEGATIVE, _POSITIVE)
    return _png((weights.astype(int) + 127).astype(np.uint8), colours, opacity)


def of_mask(kept: Array) -> str:
    """Returns a data URI of what is left: grey where weights are, paper where they are gone.

    Args:
        kept: uint8 [rows, columns]; see `Kernel`.
    """
    share = np.arange(256) / 255
    opacity = np.where(share == 0, 0.0, _FAINTEST + (1 - _FAINTEST) * share)
    return _png(kept, np.tile(_KEPT, (256, 1)), opacity)


def _png(cells: Array, colours: Array, opacity: Array) -> str:
    """Returns a picture of a palette, a byte a pixel before it is compressed."""
    from PIL import Image  # matplotlib brings it

    image = Image.fromarray(cells, "P")
    image.putpalette(colours.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    transparency = np.rint(255 * opacity).astype(np.uint8).tobytes()
    image.save(buffer, "PNG", transparency=transparency, optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
