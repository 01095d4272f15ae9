"""The C of policies on other compilers and processors. `.ci/run` says which packages are needed."""

import re
import shutil
import subprocess

import pytest
from builders import mlp
from test_c_export import BOTH, SANITIZED, STRICT, image_policy, lstm_policy, self_tested

from tfdrlprune.deployment.exporter import export

pytestmark = pytest.mark.slow

CORTEX = {
    "m4": ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-Os"),
    "m0": ("-mcpu=cortex-m0", "-mthumb", "-Os"),
}
MAKERS = {"mlp": mlp, "image": image_policy, "lstm": lstm_policy}


def needed(tool):
    path = shutil.which(tool)
    assert path, f"{tool} is not installed; .ci/run names its Debian package"
    return path


@pytest.fixture(
    scope="module", params=[(n, p) for n in MAKERS for p in ("float32", "int8")], ids=str
)
def exported(request, tmp_path_factory):
    name, precision = request.param
    folder = tmp_path_factory.mktemp("targets") / "artifact"
    export(MAKERS[name](), folder, precision=precision, formats=BOTH)
    return folder


def test_clang_finds_nothing_to_warn_of(exported):
    needed("clang")
    assert "64 of 64" in self_tested(exported, "-O3", compiler="clang")
    assert "64 of 64" in self_tested(exported, "-O1", "-DPOLICY_PLAIN_C", compiler="clang")


def test_gcc_vectorises_for_older_processors_and_for_this_one(exported):
    for flags in (("-O3", "-march=native"), ("-O3", "-march=x86-64-v3"), ("-O0",), SANITIZED):
        assert "64 of 64" in self_tested(exported, *flags, compiler="gcc")


def test_a_64_bit_arm_acts_the_same(exported, tmp_path):
    program = tmp_path / "policy_test"
    sources = [exported / "policy.c", exported / "policy_test.c"]
    # The second one has products of bytes.
    for processor in ("armv8-a", "armv8.2-a+dotprod"):
        flags = [*STRICT, "-O3", f"-march={processor}", "-static"]
        build = [needed("aarch64-linux-gnu-gcc"), *flags, *sources]
        subprocess.run([*build, "-o", program, "-lm"], check=True)
        done = subprocess.run(
            [needed("qemu-aarch64"), program], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "64 of 64 test vectors agree\n")


@pytest.mark.parametrize("processor", CORTEX)
def test_a_cortex_m_has_room_for_it_as_the_header_says(exported, tmp_path, processor):
    target = tmp_path / "policy.o"
    build = [needed("arm-none-eabi-gcc"), *STRICT, *CORTEX[processor], "-fstack-usage", "-c"]
    subprocess.run([*build, exported / "policy.c", "-o", target], check=True)
    sizes = subprocess.run(
        [needed("arm-none-eabi-size"), target], capture_output=True, text=True, check=True
    )
    flash, data, bss = map(int, sizes.stdout.splitlines()[1].split()[:3])
    assert data == bss == 0  # nothing is kept between calls
    header = (exported / "policy.h").read_text()
    constants, stack = (
        int(re.search(rf"POLICY_{name}_BYTES (\d+)", header)[1]) for name in ("FLASH", "STACK")
    )
    code = flash - constants
    assert 0 < code < 12_000
    usage = (tmp_path / "policy.su").read_text()
    frames = [int(line.split("\t")[1]) for line in usage.splitlines()]
    # The numbers of one call, and sixteen sums at a time, for which there are no registers here.
    assert stack <= max(frames) <= stack + 1_024
    print(f"flash {flash} bytes, of which code {code}; stack {max(frames)} bytes")
