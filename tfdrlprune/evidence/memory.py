"""Episodes that were played before, by the bytes of the model, the environment and the seeds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.folders import replace_file


class Memory:
    """A folder of episodes, one file for each block that was played.

    The same file in the same environment on the same seeds plays the same episodes, so that what
    goes on after it was killed needs not play them again.

    Args:
        folder: made when it is first needed.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._folder = Path(folder)

    def episodes(
        self, model_sha256: str, env: str, seeds: Sequence[int], play: Callable[[], Episodes]
    ) -> Episodes:
        """Returns the episodes, from the folder or played now and kept there.

        Args:
            model_sha256: of the model file.
            env: registered id.
            seeds: in the order in which they are played.
            play: plays them.
        """
        made_of = [model_sha256, env, [int(each) for each in seeds], metadata.version("gymnasium")]
        name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:24]
        path = self._folder / f"{name}.json"
        if path.is_file():
            return Episodes.from_json(json.loads(path.read_text(encoding="utf-8")))
        played = play()
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(played.to_json()).encode())
        return played
