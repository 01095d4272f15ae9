"""Takes units out of a trained model: what goes together, what may go, and the proof afterwards."""
