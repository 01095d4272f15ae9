"""Compilers are found, refuse with their own words, and compile each policy once."""

import os
import stat

import pytest

from tfdrlprune.deployment import c_compiler

FILES = {
    "policy.c": b'#include "policy.h"\nint answer(void) { return 42; }\n',
    "policy.h": b"int answer(void);\n",
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Puts a compiler in $CC that writes a line down each time it compiles."""
    log, script = tmp_path / "log", tmp_path / "counting-cc"
    log.touch()
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *--version*) ;; *) echo x >> {log};; esac\nexec cc "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    return lambda: len(log.read_text().split())


def test_the_environment_names_the_compiler(monkeypatch, counted):
    assert c_compiler.find_compiler().command == (os.environ["CC"],)
    monkeypatch.setenv("CC", "gcc -m64")
    assert c_compiler.find_compiler().command == ("gcc", "-m64")
    monkeypatch.delenv("CC")
    assert c_compiler.find_compiler().command in [("cc",), ("gcc",), ("clang",)]


def test_a_missing_compiler_says_what_was_looked_for(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(FileNotFoundError, match=r"looked for cc, gcc, clang.*Install gcc or clang"):
        c_compiler.library(FILES)


def test_a_refusal_is_told_in_the_compilers_words_and_nothing_is_kept(tmp_path):
    broken = {**FILES, "policy.c": b"int answer(void) { return forty_two; }\n"}
    with pytest.raises(ValueError, match=r"cannot compile policy\.c: .*forty_two") as caught:
        c_compiler.library(broken)
    assert "\n" not in str(caught.value)
    assert list(c_compiler.cache_folder().iterdir()) == []


def test_a_compiler_that_writes_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "true")
    with pytest.raises(ValueError, match="it ended with 0 and said nothing"):
        c_compiler.library(FILES)


def test_the_same_files_are_compiled_once(counted):
    first = c_compiler.library(FILES)
    assert c_compiler.library(dict(FILES)) == first
    assert counted() == 1
    assert stat.S_IMODE(first.parent.stat().st_mode) & 0o077 == 0
    other = c_compiler.library({**FILES, "policy.c": FILES["policy.c"] + b"/* other */\n"})
    assert other != first
    assert counted() == 2


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert c_compiler.library(FILES).is_file()


def test_another_compiler_compiles_anew(monkeypatch, counted):
    first = c_compiler.library(FILES)
    monkeypatch.setenv("CC", "cc")
    assert c_compiler.library(FILES) != first


def test_a_machine_without_a_name_of_its_own_gets_plain_code(tmp_path, monkeypatch):
    script = tmp_path / "old-cc"
    script.write_text(
        '#!/bin/sh\ncase "$*" in *-march=native*) echo "error: bad value for -march=native" >&2;'
        ' exit 1;; esac\nexec cc "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    assert c_compiler.library(FILES).is_file()
