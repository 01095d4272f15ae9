import sys

import pytest


@pytest.fixture(autouse=True)
def _seeded():
    """Seeds TensorFlow where it is loaded: op determinism, once on, wants a seed everywhere."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)
