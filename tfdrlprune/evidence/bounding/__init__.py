"""Interval bounds: what holds for every observation in a box, through an artifact's operations."""
