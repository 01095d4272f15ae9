"""The one form of a policy: observation to head, as a functional Keras model with specs."""
