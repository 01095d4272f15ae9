"""What a measurement ran on: packages and machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from tfdrlprune._version import __version__

_PACKAGES = ("ai-edge-litert", "gymnasium", "numpy", "tensorflow", "tf-agents")


def versions() -> dict[str, str]:
    """Returns the versions of Python, this package, and what measurements rest on."""
    found = {"tfdrlprune": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def description() -> dict[str, Any]:
    """Returns processor, cores that this process may use, and operating system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": _processor(), "cores": cores, "system": platform.system()}


def in_words(machine: Mapping[str, Any]) -> str:
    """Returns a description in words.

    Example:
        >>> in_words({"processor": "AMD EPYC", "cores": 1, "system": "Linux"})
        'AMD EPYC, 1 core, Linux'
    """
    cores = machine["cores"]
    return f"{machine['processor']}, {cores} core{'' if cores == 1 else 's'}, {machine['system']}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
