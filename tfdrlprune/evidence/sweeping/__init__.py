"""Sweeps: policies beside each other under growing disturbances."""
