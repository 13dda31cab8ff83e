"""The same ONNX files in OpenVINO, which has bf16 and fast int8 on processors of Intel and AMD."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import openvino as ov

from ostrack.errors import NetworkError
from ostrack.machine import usable_cores
from ostrack.runtimes import FloatArray, Maps
from ostrack.runtimes.exported import EMBEDDING, Exported, Port, failure, maps, output_names, pack, search_feed
from ostrack.runtimes.lanes import Feed, Found, Lanes

__all__ = ["OpenVinoRuntime"]

_PRECISIONS = {"float32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16")}

# One for the process, and never given up: each core's CPU plugin puts up a signal stack of its own and, where it goes,
# puts back the one it found. Of two cores that go in the order they came the second puts back a stack that is gone, and
# the next signal (a child that ends, Ctrl-C) kills the process.
_CORE = ov.Core()


class OpenVinoRuntime:
    """An exported network in OpenVINO.

    Attributes:
        config: Architecture of the network.
        name: The file.
        description: The runtime, its device and precision.
        metadata: Everything the file says about itself, ``config`` included.
        token_width: Width of a template token.
    """

    def __init__(self, path: Path, device: str = "cpu", threads: int | None = None, precision: str = "float32") -> None:
        """Read, check and compile a file.

        Args:
            path: The ``.onnx`` file.
            device: ``"cpu"``, or another that OpenVINO finds, such as ``"gpu"``.
            threads: Threads; OpenVINO's own choice where None.
            precision: ``"float32"``, or ``"bf16"`` and ``"fp16"`` where the device has it. What a file holds in int8
                is computed in int8 with any of them.

        Raises:
            FileNotFoundError: There is no such file.
            NetworkError: It is no network of ours, or the device or the precision is not to be had.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        self.name = str(path)
        options = _options(_CORE, device, threads, precision)
        try:
            model = _CORE.read_model(path)
        except RuntimeError as error:
            raise failure(self.name, "not an ONNX file that OpenVINO reads", error, _line(error)) from error
        exported = Exported.read(self.name, _properties(model))
        exported.check(self.name, {port.any_name: _port(port) for port in model.inputs}, _names(model.outputs))
        self.config, self.metadata, self.token_width = exported.config, exported.metadata, exported.token_width
        self._format, self._outputs = exported.format, output_names(exported.config)
        self._threads = threads or usable_cores()
        # Lanes are for processors; another device deals out a batch itself.
        self._deals = device == "cpu"
        self._options = options
        paths = [_part(model, self._outputs)]
        if self._format > 1:
            paths.append(_part(model, [EMBEDDING]))
        try:
            self._requests = [_Request(self.name, _CORE.compile_model(part, device.upper(), options)) for part in paths]
        except RuntimeError as error:
            raise failure(self.name, f"OpenVINO cannot compile it for {device}", error, _line(error)) from error
        self._searching = paths[0]
        both = exported.arithmetic not in ("float32", precision)
        kind = f"{exported.arithmetic} and {precision}" if both else precision
        self.description = f"openvino on {device} in {kind}"

    def embed(self, templates: FloatArray, template_boxes: FloatArray | None) -> FloatArray:
        """Template tokens; see :meth:`ostrack.network.Network.embed`."""
        if self._format == 1:
            return pack(self.config, templates, template_boxes)
        feed = {"template": templates} | ({} if template_boxes is None else {"template_box": template_boxes})
        tokens: FloatArray = self._requests[1].run([EMBEDDING], feed)[EMBEDDING]
        return tokens

    def search(self, tokens: FloatArray, searches: FloatArray) -> Maps:
        """Look for the targets; see :meth:`ostrack.network.Network.search`."""
        feed = search_feed(self.config, self._format, tokens, searches)
        if self._deals and 1 < len(tokens) >= self._threads:
            return maps(self._lanes.run(feed))
        return maps(self._together(feed))

    @cached_property
    def _lanes(self) -> Lanes:
        """For as many targets as threads; made when there are such: several hold the weights once more."""
        if self._threads == 1:
            return Lanes(1, None, self._together)
        streams = {"NUM_STREAMS": self._threads, "INFERENCE_NUM_THREADS": self._threads}
        compiled = _CORE.compile_model(self._searching, "CPU", self._options | streams)
        requests = [_Request(self.name, compiled) for _ in range(self._threads)]

        def alone(lane: int, feed: Feed) -> Found:
            return requests[lane].run(self._outputs, feed)

        return Lanes(self._threads, alone, self._together)

    def _together(self, feed: Feed) -> Found:
        return self._requests[0].run(self._outputs, feed)


class _Request:
    """A compiled path with one set of tensors, used by one thread at a time."""

    def __init__(self, name: str, compiled: ov.CompiledModel) -> None:
        self._name, self._request, self._turn = name, compiled.create_infer_request(), threading.Lock()

    def run(self, outputs: Sequence[str], feed: Feed) -> dict[str, Any]:
        # A second thread would read what the first asked for.
        with self._turn:
            try:
                self._request.infer(dict(feed), share_inputs=True)
            except RuntimeError as error:
                rows = len(next(iter(feed.values())))
                raise failure(self._name, f"OpenVINO failed on {rows} rows", error, _line(error), rows) from error
            # Copies: the request writes to the same memory in the next call.
            return {name: self._request.get_tensor(name).data.copy() for name in outputs}


def _options(core: ov.Core, device: str, threads: int | None, precision: str) -> dict[str, Any]:
    """How to compile for a device, or why not."""
    found = core.available_devices
    if device.upper().partition(".")[0] not in {name.partition(".")[0] for name in found}:
        raise NetworkError(f"device {device!r}: OpenVINO finds {', '.join(found).lower() or 'none'} on this machine")
    if precision not in _PRECISIONS:
        raise NetworkError(f"precision {precision!r}: expected {', '.join(_PRECISIONS)}")
    hint, capability = _PRECISIONS[precision]
    if capability not in core.get_property(device.upper(), "OPTIMIZATION_CAPABILITIES"):
        raise NetworkError(f"precision {precision!r}: OpenVINO does not have it on this {device}; use 'float32'")
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    if device.upper().startswith("CPU") and threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return options


def _part(model: ov.Model, outputs: Sequence[str]) -> ov.Model:
    """The path of a graph that leads to some outputs, with the inputs on it."""
    results = [port.get_node() for port in model.outputs if port.any_name in outputs]
    reached, open_ = set(), list(results)
    while open_:
        node = open_.pop()
        if node.get_name() not in reached:
            reached.add(node.get_name())
            open_ += [value.get_source_output().get_node() for value in node.inputs()]
    return ov.Model(results, [node for node in model.get_parameters() if node.get_name() in reached], "path")


def _properties(model: ov.Model) -> dict[str, str]:
    """Metadata of the ONNX file."""
    if not model.has_rt_info(["framework"]):
        return {}
    entries = model.get_rt_info(["framework"]).value
    return {key: str(entry.value if isinstance(entry, ov.OVAny) else entry) for key, entry in entries.items()}


def _port(port: Any) -> Port:
    shape = tuple(size.get_length() if size.is_static else None for size in port.partial_shape)
    return Port({"f32": "float32"}.get(port.element_type.get_type_name(), port.element_type.get_type_name()), shape)


def _names(ports: Sequence[Any]) -> list[str]:
    return [port.any_name for port in ports]


def _line(error: Exception) -> str:
    """The last line that says something; those before it are OpenVINO's own places in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
