"""Gates in quantization-aware training: tfmot is told to leave them as they are."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf, tfmot

from tfdrlprune.structure.calls import from_config
from tfdrlprune.structure.gates import is_gate


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class GateQuantizeConfig(tfmot().quantization.keras.QuantizeConfig):  # type: ignore[misc]
    """Quantizes nothing: a gate is 0 or 1, or is folded into weights before export."""

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """Returns none."""
        return []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """Returns none."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Does nothing."""

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Does nothing."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """Returns none: what a gate takes is quantized already, and zero is one of its levels."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Returns nothing."""
        return {}


def annotated(model: Any) -> Any:
    """Returns a gated model as ``tfmot.quantization.keras.quantize_apply`` takes it.

    ``quantize_model`` refuses layers that are not Keras's own. What is to be exported is shrunk
    first: int8 has no need of gates.

    Args:
        model: functional; it is left alone.
    """
    annotate = tfmot().quantization.keras.quantize_annotate_layer

    def marked(layer: Any) -> Any:
        copy = from_config(layer, {})
        return annotate(copy, GateQuantizeConfig()) if is_gate(layer) else annotate(copy)

    copy = tf.keras.models.clone_model(model, clone_function=marked)
    copy.set_weights(model.get_weights())
    return copy
