"""The Keras callback that trains a network as int8 will see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.pruning.experience import Experience, visit_of
from tfdrlprune.pruning.models import Found, find, step_of
from tfdrlprune.quantization.layers import QuantizedLayer, measure, quantizable
from tfdrlprune.recipe.checks import check_number

_OBSERVATIONS = 1_000


class QuantizationCallback(tf.keras.callbacks.Callback):
    """Quantization-aware training, from a step on: the forward pass rounds as int8 inference does.

    What goes into every dense and convolutional layer is rounded to 256 steps, and its kernel to
    int8 with a scale for each output (see `quantization.rounding`), in the network and in those
    that follow it; gradients go through. The weights themselves stay float32, so optimizers, masks
    and checkpoints are as they were, and zeros stay zeros. After ``fit`` the network is plain
    again; export it in int8.

    Ranges are those of recent observations, from replay or the last roll-out, measured unrounded
    when rounding begins and at every epoch. tfmot's quantizers start at +-6 instead and follow by
    averages, at which Q-values near 100 saturate and learning dies.

    Args:
        start_step: optimizer step from which on it rounds; late in a run, so that there is
            something worth rounding.
        outputs: whether the outputs of the network's last layers are rounded, too. Q-values of
            actions often differ by less than such a step.
        networks: roles, as for `PruningCallback`; only those that take observations alone.
        data: (x, y) arrays or batches, whose x give the ranges where the model is a plain one.

    Raises:
        ValueError: an argument is out of range, or there are no observations to take ranges from.

    Example:
        >>> import tensorflow as tf
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(4,))])
        >>> model.compile("adam", "mse")
        >>> x, y = tf.random.normal((64, 4)), tf.zeros((64, 2))
        >>> history = model.fit(
        ...     x, y, verbose=0, callbacks=[QuantizationCallback(data=(x, y))]
        ... )
        >>> history.history["quantized"]
        [1.0]
    """

    def __init__(
        self,
        start_step: int = 0,
        *,
        outputs: bool = False,
        networks: str | Sequence[str] = "actor",
        data: Any = None,
    ):
        super().__init__()
        check_number("start_step", start_step, whole=True)
        if start_step < 0:
            raise ValueError(f"start_step is 0 or more. Received: start_step={start_step!r}.")
        self._start, self._outputs, self._data = start_step, outputs, data
        self._roles = [networks] if isinstance(networks, str) else list(networks)
        self._layers: list[tuple[int, QuantizedLayer]] = []
        self._found: Found | None = None
        self._batches = 0

    @property
    def quantized(self) -> bool:
        """Whether the network rounds now."""
        return bool(self._layers)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the layers, and begins if it is time."""
        self._batches = 0
        (self._found,) = find(self.model, [self._roles], self._data)
        self._check()
        self._begin_if_due()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures the ranges anew; begins if a resumed run is that far."""
        if self.quantized:
            self._off()
            self._measure()
            self._on()
        self._begin_if_due()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Begins if it is time."""
        self._batches += 1
        self._begin_if_due()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs whether the network rounds."""
        if logs is not None:
            logs["quantized"] = float(self.quantized)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leaves the network plain, to be exported or trained on."""
        self._off()
        if self.quantized:
            self._layers = []
            self.model.train_function = None

    def _check(self) -> None:
        assert self._found is not None
        around = self._found.surroundings
        experience = around.experience
        if experience is None or not experience.has_data():
            raise ValueError(
                "Ranges are taken from observations: give QuantizationCallback(data=(x, y))."
            )
        for network in around.networks:
            if not experience.takes_observations(network):
                raise ValueError(
                    f"{getattr(network, 'name', 'A network')} is not called on observations alone, "
                    "so its ranges are not known. Write networks='actor'."
                )

    def _begin_if_due(self) -> None:
        if self.quantized or self._step() < self._start:
            return
        assert self._found is not None
        chosen = quantizable(self._found.kernels)
        followers = self._found.followers_of(chosen)
        self._layers = [
            (kernel.network, QuantizedLayer(kernel, own, self._outputs and kernel.is_output))
            for kernel, own in zip(chosen, followers, strict=True)
        ]
        if not self._layers:
            raise ValueError("There is nothing to quantize: the model has no Dense or convolution.")
        self._measure()
        self._on()
        self.model.make_train_function(force=True)

    def _measure(self) -> None:
        assert self._found is not None
        experience: Experience | None = self._found.surroundings.experience
        assert experience is not None
        for number, network in enumerate(self._found.surroundings.networks):
            own = [layer for index, layer in self._layers if index == number]
            measure(own, visit_of(experience, network, _OBSERVATIONS))

    def _on(self) -> None:
        for _, layer in self._layers:
            layer.on()

    def _off(self) -> None:
        for _, layer in self._layers:
            layer.off()

    def _step(self) -> int:
        return step_of(self.model, self._batches)
