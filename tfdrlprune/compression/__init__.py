"""From a trained policy to a small one: prune, repair, quantize, judge."""
