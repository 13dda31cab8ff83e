"""Networks in ONNX files, run by onnxruntime: the default, and the only runtime the base install needs.

What a file must hold is in :mod:`ostrack.runtimes.exported`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from ostrack.errors import NetworkError
from ostrack.machine import has_vnni, usable_cores
from ostrack.runtimes import FloatArray, Maps
from ostrack.runtimes.exported import EMBEDDING, Exported, Port, failure, maps, output_names, pack, search_feed
from ostrack.runtimes.lanes import Feed, Found, Lanes
from ostrack.runtimes.providers import find_provider

__all__ = ["OnnxRuntime"]

# onnxruntime's exceptions share no base of their own.
_FAILURES = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class OnnxRuntime:
    """An exported network in onnxruntime.

    Attributes:
        config: Architecture of the network.
        name: The file.
        description: The runtime, its device and precision.
        metadata: Everything the file says about itself, ``config`` included.
        token_width: Width of a template token.
    """

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "float32",
        strict: bool = False,
        spinning: bool = True,
    ) -> None:
        """Read and check a file.

        Args:
            path: The ``.onnx`` file.
            device: ``"cpu"``, ``"cuda"``, ``"tensorrt"``, ``"coreml"`` or ``"directml"``; with a number for one of
                several, as in ``"cuda:1"``.
            threads: Threads within an operator; all cores where None.
            precision: ``"float32"``; TensorRT also has ``"bf16"`` and ``"fp16"``.
            strict: Raise when the device fails, instead of going on with the processor and a warning.
            spinning: Let idle threads wait actively. It saves their waking up in every operator.

        Raises:
            FileNotFoundError: There is no such file.
            NetworkError: It is no network of ours, or the device is not to be had.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        self.name = str(path)
        self._path, self._device, self._strict = path, device, strict
        self._threads = threads or usable_cores()
        self._options = _options(threads or 0, spinning)
        if device != "cpu":
            self._options.log_severity_level = 3  # why a device does not start is in onnxruntime's own lines only
        self._one_path = ort.RunOptions()
        self._one_path.only_execute_path_to_fetches = True
        self._one_path.log_severity_level = 4
        provider = find_provider(device, precision)
        self._session = self._start(provider)
        exported = Exported.read(self.name, self._session.get_modelmeta().custom_metadata_map)
        ports = {value.name: _port(value) for value in self._session.get_inputs()}
        exported.check(self.name, ports, [value.name for value in self._session.get_outputs()])
        self.config, self.metadata, self.token_width = exported.config, exported.metadata, exported.token_width
        self._format, self._outputs = exported.format, output_names(exported.config)
        kind = exported.arithmetic if precision == "float32" else precision
        self.description = f"onnxruntime on {device} in {kind}"
        # Each path runs alone; zeros stand in for the inputs of the other, which is not computed.
        self._idle = {key: np.zeros((1, *shape), np.float32) for key, shape in exported.inputs().items()}
        if self._session.get_providers()[0] != provider[0]:
            self._fall_back("it did not start; its driver or libraries are missing")

    def embed(self, templates: FloatArray, template_boxes: FloatArray | None) -> FloatArray:
        """Template tokens; see :meth:`ostrack.network.Network.embed`."""
        if self._format == 1:
            return pack(self.config, templates, template_boxes)
        feed = {"template": templates}
        if template_boxes is not None:
            feed["template_box"] = template_boxes
        tokens: FloatArray = self._run([EMBEDDING], feed)[0]
        return tokens

    def search(self, tokens: FloatArray, searches: FloatArray) -> Maps:
        """Look for the targets; see :meth:`ostrack.network.Network.search`."""
        feed = search_feed(self.config, self._format, tokens, searches)
        if self._device == "cpu" and 1 < len(tokens) >= self._threads:
            return maps(self._lanes.run(feed))
        return maps(self._together(feed))

    @cached_property
    def _lanes(self) -> Lanes:
        """For as many targets as threads; made when there are such: several hold the weights once more."""
        if self._threads == 1:
            return Lanes(1, None, self._together)
        session = self._start(find_provider("cpu", "float32"), _options(1, False))

        def alone(_: int, feed: Feed) -> Found:
            return dict(zip(self._outputs, self._run(self._outputs, feed, session), strict=True))

        return Lanes(self._threads, alone, self._together)

    def _together(self, feed: Feed) -> Found:
        return dict(zip(self._outputs, self._run(self._outputs, feed), strict=True))

    def _run(
        self, outputs: Sequence[str], feed: Feed, session: ort.InferenceSession | None = None
    ) -> list[NDArray[Any]]:
        try:
            found: list[NDArray[Any]] = (session or self._session).run(
                list(outputs), {**self._idle, **feed}, self._one_path
            )
        except _FAILURES as error:
            if self._device == "cpu":
                rows = len(next(iter(feed.values())))
                raise failure(self.name, f"failed on {rows} rows", error, _line(error), rows) from error
            self._fall_back(_line(error))
            return self._run(outputs, feed)
        return found

    def _fall_back(self, reason: str) -> None:
        """Go on with the processor, and say so."""
        message = f"device {self._device!r}: {reason}"
        if self._strict:
            raise NetworkError(message)
        warnings.warn(f"{message}; going on with the processor, which is slower", RuntimeWarning, stacklevel=2)
        self._session = self._start(find_provider("cpu", "float32"))
        self._device, self.description = "cpu", f"onnxruntime on cpu, after {self._device} failed"

    def _start(
        self, provider: tuple[str, dict[str, str]], options: ort.SessionOptions | None = None
    ) -> ort.InferenceSession:
        try:
            return ort.InferenceSession(str(self._path), options or self._options, providers=[provider])
        except _FAILURES as error:
            raise failure(self.name, "not a readable ONNX file", error, _line(error)) from error


def _options(threads: int, spinning: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    # Without VNNI the fast kernels for int8 overflow and find other boxes; with it, the careful ones only cost time.
    options.add_session_config_entry("session.x64quantprecision", str(int(not has_vnni())))
    return options


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _port(value: Any) -> Port:
    kind = str(value.type).removeprefix("tensor(").removesuffix(")")
    return Port("float32" if kind == "float" else kind, tuple(value.shape))
