"""Numbers and arrays as C writes them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from tfdrlprune.specs import Array

_TYPES = {
    "float32": "float",
    "float64": "double",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "bool": "uint8_t",
}


# Longer arrays are written in columns: nobody reads them, and it is much faster.
_PRETTY = 2048


def c_type(dtype: str) -> str:
    """Returns C's name for a NumPy dtype.

    Raises:
        ValueError: C99 has none for it.
    """
    if dtype not in _TYPES:
        raise ValueError(f"C has no type for the dtype {dtype}. Give it as one of {list(_TYPES)}.")
    return _TYPES[dtype]


def number(value: float) -> str:
    """Returns the shortest C literal that is read back as the same float32.

    Example:
        >>> number(1.0), number(-0.1), number(1e-30)
        ('1.0f', '-0.1f', '1e-30f')
    """
    if np.isinf(np.float32(value)):
        return "HUGE_VALF" if value > 0 else "-HUGE_VALF"
    text = str(np.float32(value))
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def array(name: str, values: Array) -> str:
    """Returns the definition of a constant array.

    Arrays start on cache lines, so that a compiler may load whole vectors of them.
    """
    flat = values.ravel()
    kind = c_type(flat.dtype.name)
    head = f"static const {kind} {name}[{flat.size}] ALIGNED = {{\n"
    if flat.size <= _PRETTY or not np.isfinite(flat).all():
        texts = [number(x) for x in flat] if flat.dtype.kind == "f" else map(str, flat.tolist())
        rows = textwrap.wrap(", ".join(texts), 96, break_long_words=False, break_on_hyphens=False)
        return head + "".join(f"    {row}\n" for row in rows) + "};\n"
    # Nine digits are enough for every float32, and writing them is fast.
    form, count = ("%.8ef", 6) if flat.dtype.kind == "f" else ("%d", 20)
    whole, rest = divmod(flat.size, count)
    rows = [", ".join([form] * count)] * whole + ([", ".join([form] * rest)] if rest else [])
    return head + "    " + ",\n    ".join(rows) % tuple(flat.tolist()) + "\n};\n"


def smallest_unsigned(largest: int) -> str:
    """Returns the smallest unsigned dtype that holds a number."""
    return next(d for d in ("uint8", "uint16", "uint32") if largest <= np.iinfo(d).max)


def indented(lines: Sequence[str], depth: int = 1) -> list[str]:
    """Returns lines moved to the right."""
    return [f"{'    ' * depth}{line}" if line else "" for line in lines]
