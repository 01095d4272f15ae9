"""Where buffers lie in one array: those that are never needed at a time share their place."""

from __future__ import annotations

from collections.abc import Sequence


def packed_buffers(
    sizes: Sequence[int], spans: dict[int, tuple[int, int]]
) -> tuple[dict[int, int], int]:
    """Returns each buffer's offset, such that no two that live at a time overlap, and the end.

    The largest first, each in the lowest gap that is free all its life.
    """
    offsets: dict[int, int] = {}
    for buffer in sorted(spans, key=lambda n: (-sizes[n], n)):
        first, last = spans[buffer]
        taken = sorted(
            (offset, offset + sizes[other])
            for other, offset in offsets.items()
            if spans[other][0] <= last and first <= spans[other][1]
        )
        offset = 0
        for begin, end in taken:
            if offset + sizes[buffer] <= begin:
                break
            offset = max(offset, end)
        offsets[buffer] = offset
    total = max((offset + sizes[buffer] for buffer, offset in offsets.items()), default=0)
    return dict(sorted(offsets.items())), total
