"""Plots of a report: an SVG for every reader, and the same for Plotly where a script may run."""
