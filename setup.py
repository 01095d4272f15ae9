"""Everything that is set up stands in setup.cfg."""

from setuptools import setup

setup()
