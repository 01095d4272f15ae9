"""The artifact: a folder with the policy's files and ``policy.json``, which says what they are.

NumPy only. The format is documented in docs/artifact.md; whoever changes it raises
`FORMAT_VERSION` and writes there what changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import keyword
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdrlprune.folders import atomic_folder
from tfdrlprune.nearest import instead_of_artifact
from tfdrlprune.specs import ArraySpec, Head, Nest, flatten, nest_from_json, nest_to_json

FORMAT_VERSION = 1
MANIFEST_FILE = "policy.json"
MODEL_FILE = "policy.tflite"
VECTORS_FILE = "test_vectors.npz"
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


@dataclass(frozen=True)
class FileEntry:
    """What a file must be: its size and its SHA-256 in lower-case hexadecimal."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Sparsity:
    """Fraction of weights removed, in [0, 1); None where nothing was requested."""

    requested: float | None
    achieved: float


@dataclass(frozen=True)
class Parameters:
    """How many numbers the policy has: before compression, in the file, and not zero there."""

    dense: int
    total: int
    nonzero: int


@dataclass(frozen=True)
class Manifest:
    """The content of ``policy.json``, key by key; see docs/artifact.md.

    Attributes:
        observation: nest of specs.
        action: the action's spec, in the environment's own units.
        head: how the output ``outputs`` becomes the output ``action``.
        precision: one of `PRECISIONS`.
        sparsity: over the kernels that the recipe may prune.
        parameters: counts.
        source: where the policy came from, for people.
        recipe: the choices that made it, or None.
        versions: of the packages that made it.
        verdict: what the gate said, or None where it was not asked.
        state: nest of the recurrent state's specs; None without one.
        float_layers: names of the layers that keep float32 in an int8 file.
        micro: of an artifact for microcontrollers, ``arena_bytes`` and ``operations``; else None.
        files: name to size and hash; filled in by `write`.
        format_version: of this format.
    """

    observation: Nest
    action: ArraySpec
    head: Head
    precision: str
    sparsity: Sparsity
    parameters: Parameters
    source: str
    recipe: Mapping[str, Any] | None
    versions: Mapping[str, str]
    verdict: Any = None
    state: Nest | None = None
    float_layers: tuple[str, ...] = ()
    micro: Mapping[str, Any] | None = None
    files: Mapping[str, FileEntry] = dataclasses.field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> dict[str, Any]:
        """Returns the manifest as JSON values, in the order of the documentation."""
        kind = "continuous"
        if self.head.kind == "argmax":
            several = len(self.action.choices().counts) > 1
            kind = "multi_discrete" if several else "discrete"
        return {
            "format_version": self.format_version,
            "observation": nest_to_json(self.observation),
            "action": {"kind": kind, **self.action.to_json()},
            "state": None if self.state is None else nest_to_json(self.state),
            "head": self.head.to_json(),
            "precision": self.precision,
            "float_layers": list(self.float_layers),
            "micro": None if self.micro is None else dict(self.micro),
            "sparsity": dataclasses.asdict(self.sparsity),
            "parameters": dataclasses.asdict(self.parameters),
            "files": {name: dataclasses.asdict(entry) for name, entry in self.files.items()},
            "source": self.source,
            "recipe": None if self.recipe is None else dict(self.recipe),
            "versions": dict(self.versions),
            "verdict": self.verdict,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Manifest:
        """Returns the manifest that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: something is missing, of another kind, or impossible.
        """
        sparsity, parameters = value["sparsity"], value["parameters"]
        requested = sparsity["requested"]
        precision = str(value["precision"])
        if precision not in PRECISIONS:
            raise ValueError(f"precision is one of {PRECISIONS}; it is {precision!r}")
        return Manifest(
            observation=nest_from_json(value["observation"]),
            action=ArraySpec.from_json(value["action"]),
            head=Head.from_json(value["head"]),
            precision=precision,
            sparsity=Sparsity(
                None if requested is None else float(requested), float(sparsity["achieved"])
            ),
            parameters=Parameters(
                int(parameters["dense"]), int(parameters["total"]), int(parameters["nonzero"])
            ),
            source=str(value["source"]),
            recipe=value["recipe"],
            versions=dict(value["versions"]),
            verdict=value["verdict"],
            state=None if value["state"] is None else nest_from_json(value["state"]),
            float_layers=tuple(str(name) for name in value.get("float_layers", ())),
            micro=value.get("micro"),
            files={
                _plain_name(name): FileEntry(int(entry["size_bytes"]), str(entry["sha256"]))
                for name, entry in value["files"].items()
            },
            format_version=int(value["format_version"]),
        )


def signature_names(nest: Nest) -> list[str]:
    """Returns what the model file calls its inputs, in the order of ``flatten(nest)``.

    A leaf's name with every character outside [A-Za-z0-9_] replaced by ``_``; with ``x_`` in front
    if it begins with a digit or is empty; with ``_`` behind if it is a Python keyword; and with
    ``_2``, ``_3``, ... behind if an earlier leaf has that name already, in whatever case:
    TensorFlow and file systems tell no more apart.
    """
    names: list[str] = []
    for leaf in flatten(nest):
        base = re.sub(r"[^A-Za-z0-9_]", "_", leaf.name)
        base = f"x_{base}" if not base or base[0].isdigit() else base
        base = f"{base}_" if keyword.iskeyword(base) else base
        name, count = base, 1
        while name.lower() in map(str.lower, names):
            count += 1
            name = f"{base}_{count}"
        names.append(name)
    return names


def read(folder: str | os.PathLike[str]) -> Manifest:
    """Returns the manifest of an artifact; its files are checked by `read_file` and `verify`.

    Raises:
        FileNotFoundError: there is no artifact.
        ValueError: ``policy.json`` is damaged, not ours, or of a newer format.
    """
    path = Path(folder, MANIFEST_FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{folder} is not an artifact: expected a folder with {MANIFEST_FILE}, as "
            f"`tfdrlprune export` writes it.{instead_of_artifact(Path(folder), is_artifact)}"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is damaged: it is no text. Export the policy again.") from None
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}. Export the policy again.") from None
    if not isinstance(value, dict) or not isinstance(value.get("format_version"), int):
        raise ValueError(
            f"{path} is not of tfdrlprune: expected an object with an integer format_version. "
            "Name the folder that `tfdrlprune export` wrote."
        )
    if value["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format_version {value['format_version']}, and this tfdrlprune reads "
            f"{FORMAT_VERSION}. Install a tfdrlprune that knows it, or export the policy again."
        )
    try:
        return Manifest.from_json(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is damaged: {reason}. Export the policy again.") from None


def read_file(folder: str | os.PathLike[str], manifest: Manifest, name: str) -> bytes:
    """Returns the bytes of one of the artifact's files after checking their size and hash.

    Raises:
        FileNotFoundError: the manifest or the folder does not hold it.
        ValueError: it was changed or cut short after it was exported.
    """
    entry = manifest.files.get(name)
    path = Path(folder, name)
    if entry is None or not path.is_file():
        where = MANIFEST_FILE if entry is None else "the folder"
        raise FileNotFoundError(f"{path} is missing from {where}. Export the policy again.")
    content = path.read_bytes()
    if len(content) != entry.size_bytes:
        raise ValueError(
            f"{path} has {len(content)} bytes, and {MANIFEST_FILE} says {entry.size_bytes}. The "
            "file was cut or changed; copy or export the artifact again."
        )
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ValueError(
            f"{path} is not the file that was exported: its SHA-256 differs from {MANIFEST_FILE}. "
            "Copy or export the artifact again."
        )
    return content


def verify(folder: str | os.PathLike[str]) -> Manifest:
    """Returns the manifest after checking every file that it lists; raises as `read_file`."""
    manifest = read(folder)
    for name in manifest.files:
        read_file(folder, manifest, name)
    return manifest


def write(
    folder: str | os.PathLike[str],
    files: Mapping[str, bytes],
    manifest: Manifest,
    *,
    force: bool = False,
    beside: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Writes an artifact, whole or not at all, and returns its manifest with the files' hashes.

    Args:
        folder: to be created.
        files: of the artifact, by name.
        manifest: without them.
        force: whether an artifact that is there already is replaced.
        beside: further files that the manifest does not list, as they may be made anew.

    Raises:
        FileExistsError: the folder exists and ``force`` is off, or is not an artifact.
        ValueError: a file name is a path, or the manifest cannot be written as JSON.
    """
    entries = {
        _plain_name(name): FileEntry(len(content), hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    }
    complete = dataclasses.replace(manifest, files=entries)
    try:
        text = json.dumps(complete.to_json(), indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The manifest holds something that JSON does not: {error}.") from error
    with atomic_folder(folder, force=force, replaces=is_artifact) as partial:
        for name, content in {**files, **(beside or {})}.items():
            (partial / _plain_name(name)).write_bytes(content)
        (partial / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
    return complete


def is_artifact(folder: str | os.PathLike[str]) -> bool:
    """Tells whether a folder is an artifact of ours, of any version and in any state of repair."""
    try:
        value = json.loads(Path(folder, MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and {"format_version", "files", "head"} <= set(value)


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*", name) or name == MANIFEST_FILE:
        raise ValueError(f"a file of an artifact has a plain name; received: {name!r}")
    return name
