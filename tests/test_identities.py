"""Numbers of units: tied, fixed, and laid out so that a unit can be cut out."""

from __future__ import annotations

import types

import numpy as np

from tfdrlprune.structure.identities import Identities

READER = types.SimpleNamespace(name="reader")


def test_ties_are_transitive_and_the_least_number_stands_for_all():
    book = Identities()
    units = book.new(6)
    book.tie(units[[4, 2]], units[[2, 1]])
    np.testing.assert_array_equal(book.roots(), [0, 1, 1, 3, 1, 5])
    np.testing.assert_array_equal(book.rooted(np.array([[4, 5], [2, 0]])), [[1, 5], [1, 0]])


def test_what_is_tied_to_a_fixed_unit_is_fixed_and_the_first_reason_counts():
    book = Identities()
    units = book.new(3)
    book.fix(units[2:], "first")
    book.fix(units[2:], "second")
    book.consume(units[1:2], "third")
    book.tie(units[:1], units[2:])
    assert book.reasons() == {0: "first", 1: "third"}
    assert book.consumed() == {1}


def test_a_reader_of_the_last_axis_fixes_units_that_lie_along_another():
    book = Identities()
    along_last = np.broadcast_to(book.new(2), (3, 2))
    np.testing.assert_array_equal(book.along_last(along_last, READER), [0, 1])
    assert book.reasons() == {}
    along_first = book.new(3)[:, None]
    book.along_last(along_first, READER)
    assert set(book.reasons()) == {2}
    np.testing.assert_array_equal(book.roots(), [0, 1, 2, 2, 2])


def test_units_along_two_axes_are_tied_along_the_last():
    book = Identities()
    for shape in ((1, 4), (4, 1)):
        book.square(book.new(4).reshape(shape))
    np.testing.assert_array_equal(book.roots(), np.arange(8))
    book.square(book.new(4).reshape(2, 2))
    np.testing.assert_array_equal(book.roots()[8:], [8, 9, 8, 9])
