"""Quantization-aware training: networks that train as int8 will see them."""
