"""Devices by name for onnxruntime, and what each needs to be there."""

from __future__ import annotations

from dataclasses import dataclass

import onnxruntime as ort

from ostrack.errors import NetworkError

__all__ = ["DEVICES", "Provider", "find_provider"]


@dataclass(frozen=True)
class Provider:
    """An execution provider of onnxruntime.

    Attributes:
        name: Its name there.
        install: What brings it.
        numbered: Whether there may be several, as in ``cuda:1``.
        options: Options that it always gets.
        precision: Options for each precision but float32 that it has.
    """

    name: str
    install: str
    numbered: bool = False
    options: tuple[tuple[str, str], ...] = ()
    precision: tuple[tuple[str, str], ...] = ()


DEVICES = {
    "cpu": Provider("CPUExecutionProvider", "reinstall onnxruntime"),
    "cuda": Provider("CUDAExecutionProvider", "install onnxruntime-gpu in place of onnxruntime", True),
    "tensorrt": Provider(
        "TensorrtExecutionProvider",
        "install onnxruntime-gpu in place of onnxruntime, and TensorRT",
        True,
        precision=(("fp16", "trt_fp16_enable"), ("bf16", "trt_bf16_enable")),
    ),
    "coreml": Provider(
        "CoreMLExecutionProvider", "it comes with onnxruntime on macOS", options=(("ModelFormat", "MLProgram"),)
    ),
    "directml": Provider("DmlExecutionProvider", "install onnxruntime-directml in place of onnxruntime", True),
}


def find_provider(device: str, precision: str) -> tuple[str, dict[str, str]]:
    """Name and options of the execution provider of a device.

    Args:
        device: A key of :data:`DEVICES`, where it is numbered also ``NAME:N``.
        precision: ``"float32"``, ``"bf16"`` or ``"fp16"``.

    Raises:
        NetworkError: No such device, this onnxruntime lacks it, or it lacks the precision.
    """
    kind, _, index = device.partition(":")
    provider = DEVICES.get(kind)
    if provider is None or (index and not (provider.numbered and index.isdigit())):
        raise NetworkError(f"device {device!r}: runtime 'onnx' knows {', '.join(DEVICES)} (cuda:N and the like too)")
    if provider.name not in ort.get_available_providers():
        raise NetworkError(f"device {device!r}: this onnxruntime lacks {provider.name}; {provider.install}")
    options = dict(provider.options)
    if index:
        options["device_id"] = index
    if precision != "float32":
        having = dict(provider.precision)
        if precision not in having:
            raise NetworkError(
                f"precision {precision!r}: onnxruntime on {kind} computes in float32; runtime='openvino' has bf16 "
                "where the processor does, runtime='torch' has both"
            )
        options[having[precision]] = "1"
    return provider.name, options
