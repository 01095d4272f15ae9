"""Watching: what goes into a layer of any network, and what comes out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def watched(
    layer: Any,
    before: Callable[[Any], None] | None = None,
    after: Callable[[Any], None] | None = None,
    change: Callable[[Any], Any] | None = None,
) -> Iterator[None]:
    """Watches, and may change, what goes into a layer's ``call`` and what comes out of it."""
    own, before_that = layer.call, layer.__dict__.get("call")

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(inputs)
        result = own(inputs, *args, **kwargs)
        # A cell gives its output and its states.
        output = result[0] if isinstance(result, tuple | list) else result
        if after is not None:
            after(output)
        if change is None:
            return result
        output = change(output)
        return (output, *result[1:]) if isinstance(result, tuple | list) else output

    # Past Keras's own __setattr__, which tracks what it is given.
    layer.__dict__["call"] = call
    try:
        yield
    finally:
        if before_that is None:
            del layer.__dict__["call"]
        else:
            layer.__dict__["call"] = before_that
