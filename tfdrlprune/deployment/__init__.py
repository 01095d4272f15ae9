"""From a policy to files that run without TensorFlow: convert, verify, write."""
