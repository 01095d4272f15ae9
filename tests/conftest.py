import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# Machines that run tests are shared: how long one example takes says nothing about the code.
settings.register_profile(
    "shared", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("shared")

# Runs under another TF-Agents than ours.
collect_ignore_glob = ["data/*"]


@pytest.fixture(scope="session", autouse=True)
def _interruptible():
    """Undoes that shells start background jobs deaf to Ctrl-C; processes of tests inherit it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded():
    """Seeds TensorFlow where it is loaded: op determinism, once on, wants a seed everywhere."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)
