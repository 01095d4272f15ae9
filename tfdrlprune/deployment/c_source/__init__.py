"""A policy as C99: ``policy.c`` and ``policy.h``, which need nothing but a compiler and math.h.

The C is made of the graph in ``policy.tflite``, not of the Keras model. That graph is what was
compared with the policy; its operations are few and its shapes fixed, batch normalisation is folded
and constants are worked out, whatever layers the policy consisted of; and each kernel has the
precision that the file gives it. So C can be made of any artifact, without TensorFlow.
"""

from tfdrlprune.deployment.c_source.program import LayerForm
from tfdrlprune.deployment.c_source.source import CSource, generate

__all__ = ["CSource", "LayerForm", "generate"]
