"""Sets our ``Example:`` as code in the reference: griffe knows the section as ``Examples:``."""

from __future__ import annotations

import re
from typing import Any

import griffe

_OURS = re.compile(r"^Example:$", re.M)


class Examples(griffe.Extension):
    """Renames the section in every docstring that is collected."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames it in one object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _OURS.sub("Examples:", obj.docstring.value)
