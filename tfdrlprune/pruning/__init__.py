"""Decides which weights become zero, and when: criteria, distributions, masks, callbacks."""
