"""The C compiler of this machine, and what it makes of ``policy.c``, which is kept."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE_FILE = "policy.c"
_NAMES = ("cc", "gcc", "clang")
# Contraction makes one operation of a product and a sum, which is as exact and twice as fast.
# Without traps, which nobody catches, GCC can choose in a vector and so do many tanh at a time.
_FLAGS = ("-std=c99", "-O3", "-ffp-contract=fast", "-fno-trapping-math")
_NATIVE = "-march=native"
_SECONDS = 900


@dataclass(frozen=True)
class Compiler:
    """A C compiler.

    Attributes:
        command: that runs it.
        version: the first line of what it says of itself.
    """

    command: tuple[str, ...]
    version: str


def find_compiler() -> Compiler:
    """Returns the compiler that $CC names, else the first of cc, gcc and clang.

    Raises:
        FileNotFoundError: there is none.
    """
    named = os.environ.get("CC", "").strip()
    candidates = [tuple(shlex.split(named))] if named else [(name,) for name in _NAMES]
    for command in candidates:
        if shutil.which(command[0]) is not None:
            return Compiler(command, _version(command))
    looked = f"$CC={named}" if named else ", ".join(_NAMES)
    raise FileNotFoundError(
        f"No C compiler was found (looked for {looked}). Install gcc or clang (Debian: apt install "
        "gcc), or name one in $CC."
    )


@functools.lru_cache
def _version(command: tuple[str, ...]) -> str:
    done = _run([*command, "--version"])
    lines = done.stdout.strip().splitlines()
    return lines[0] if lines else command[0]


def build(
    files: Mapping[str, bytes],
    folder: Path,
    *,
    sources: Sequence[str] = (SOURCE_FILE,),
    shared: bool = True,
    compiler: Compiler | None = None,
    flags: Sequence[str] | None = None,
) -> Path:
    """Returns a shared library, or a program, compiled of C files.

    Args:
        files: name to content; written into ``folder`` first.
        folder: that exists.
        sources: of the files, those that are compiled.
        shared: whether a library is made.
        compiler: None finds one.
        flags: of the compiler; None are those for speed on this very machine.

    Raises:
        FileNotFoundError: there is no compiler.
        ValueError: it refuses the file; says with which words.
    """
    compiler = compiler or find_compiler()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    target = folder / ("policy.so" if shared else "policy_test")
    kind = ("-shared", "-fPIC") if shared else ()
    for chosen in ((*_FLAGS, _NATIVE), _FLAGS) if flags is None else (tuple(flags),):
        command = [*compiler.command, *chosen, *kind, *sources, "-o", target.name, "-lm"]
        done = _run(command, folder)
        if done.returncode == 0 and target.is_file():
            return target
        # A compiler that does not know this machine's name compiles for any of its kind.
        if _NATIVE not in done.stderr:
            break
    raise ValueError(
        f"{' '.join(compiler.command)} ({compiler.version}) cannot compile {', '.join(sources)}: "
        f"{_complaint(done)}. Try another compiler by $CC, or let LiteRT run the artifact "
        "(backend='tflite')."
    )


def library(files: Mapping[str, bytes]) -> Path:
    """Returns the shared library of these files: made now, or when they were first asked for.

    It is kept under $XDG_CACHE_HOME (or ~/.cache) by the hash of the files, the compiler and the
    processor.

    Raises:
        FileNotFoundError: there is no compiler.
        ValueError: it refuses the file.
    """
    compiler = find_compiler()
    folder = cache_folder() / _key(files, compiler)
    kept = folder / "policy.so"
    if kept.is_file():
        return kept
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:  # a home that is read-only: then it is made for this process alone
        return build(files, Path(tempfile.mkdtemp(prefix="tfdrlprune-c-")), compiler=compiler)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as making:
        made = build(files, Path(making), compiler=compiler)
        folder.mkdir(mode=0o700, exist_ok=True)
        os.replace(made, kept)
    return kept


def cache_folder() -> Path:
    """Returns where compiled libraries are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return home / "tfdrlprune" / "c"


def _key(files: Mapping[str, bytes], compiler: Compiler) -> str:
    found = hashlib.sha256()
    for part in (*compiler.command, compiler.version, *_FLAGS, platform.machine(), _processor()):
        found.update(part.encode() + b"\0")
    for name in sorted(files):
        found.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return found.hexdigest()[:32]


@functools.lru_cache
def _processor() -> str:
    """Returns what the processor can do, since what is compiled for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("flags", "Features", "model name", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _run(command: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
            env=os.environ | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(list(command), 1, "", f"error: {error}")


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the first line of what a compiler said that names an error."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    said = (errors or lines or [f"it ended with {done.returncode} and said nothing"])[0]
    return said[:300].rstrip(".")
