"""The line between the two rivers: crops in, maps out, whichever runtime is behind it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ostrack import zoo
from ostrack.calibration import Calibration, read_calibration
from ostrack.config import OSTrackConfig
from ostrack.errors import NetworkError
from ostrack.machine import fewer_cores
from ostrack.runtimes import FloatArray, Maps, Runtime
from ostrack.runtimes.exported import METADATA_KEY, properties

if TYPE_CHECKING:
    from ostrack.model import OSTrack
    from ostrack.runtimes.onnx import OnnxRuntime
    from ostrack.runtimes.openvino import OpenVinoRuntime
    from ostrack.runtimes.pytorch import TorchRuntime

__all__ = ["Maps", "Network"]

_ONNX = (".onnx",)
_TORCH = (".safetensors", ".pth", ".tar", ".pt")
_READS = {"onnx": _ONNX, "openvino": _ONNX, "torch": _TORCH}
_PRECISIONS = ("float32", "bf16", "fp16")


class Network:
    """A network that can be run, with the config that says how to feed it.

    Attributes:
        config: Architecture, crop sizes and crop factors.
        name: The file or class it came from, for messages.
        calibration: What turns its score maps into probabilities; None where nobody has learnt it.
    """

    def __init__(self, runtime: Runtime, calibration: Calibration | None = None) -> None:
        """Wrap a runtime; use :meth:`load` or :meth:`from_module`."""
        self._runtime = runtime
        self.calibration = calibration
        self.config: OSTrackConfig = runtime.config
        self.name = runtime.name

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        runtime: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
        *,
        precision: str = "float32",
        compile: bool = False,
        strict: bool = False,
    ) -> Network:
        """Load a packaged network by name, or one of your own by path.

        Args:
            source: Name in the zoo, path to an ``.onnx`` file, or path to ``.safetensors`` or ``.pth.tar`` weights;
                None is the zoo's default.
            runtime: ``"onnx"`` and ``"openvino"`` run ``.onnx`` files, ``"torch"`` runs weights. ``"auto"``: torch for
                weight files; for the others OpenVINO where it is installed and was measured to be faster, on
                processors, with bf16 or int8; onnxruntime for all else.
            device: ``"cpu"``, ``"cuda"`` (or ``"cuda:1"``) and what else the runtime knows: onnxruntime
                ``"tensorrt"``, ``"coreml"``, ``"directml"``; OpenVINO ``"gpu"``, ``"npu"``; torch ``"mps"``.
            threads: CPU threads; where None the runtime's own choice, and the cores that this process may use where
                those are fewer than the machine's.
            precision: ``"float32"``; ``"bf16"`` and ``"fp16"`` where runtime and device have them.
            compile: Let torch compile the network at its first calls; of no meaning to other runtimes.
            strict: Raise when a device of onnxruntime fails, instead of going on with the processor and a warning.

        Returns:
            The network; :attr:`runtime` says what was picked.

        Raises:
            FileNotFoundError: Neither a file nor a name in the zoo.
            NetworkError: The file, runtime, device or precision cannot be used.
        """
        if runtime not in ("auto", *_READS):
            raise NetworkError(f"runtime {runtime!r}: expected 'auto', {', '.join(map(repr, _READS))}")
        if precision not in _PRECISIONS:
            raise NetworkError(f"precision {precision!r}: expected {', '.join(map(repr, _PRECISIONS))}")
        if threads is not None and threads < 1:
            raise NetworkError(f"threads={threads}: expected 1 or more")
        threads = threads or fewer_cores()
        path = _resolve(source, "safetensors" if runtime == "torch" else "onnx")
        readers = [name for name, endings in _READS.items() if path.suffix in endings]
        if not readers:
            raise NetworkError(f"{path}: expected a file that ends in {', '.join(_ONNX + _TORCH)}")
        if runtime not in ("auto", *readers):
            can = " and ".join(f"runtime={name!r}" for name in readers)
            raise NetworkError(f"{path}: runtime {runtime!r} cannot read this file, {can} can")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        if runtime == "auto":
            runtime = (
                "openvino" if "openvino" in readers and _openvino_is_faster(path, device, precision) else readers[0]
            )
        found = _start(runtime, path, device, threads, precision, compile, strict)
        return cls(found, read_calibration(found.metadata, found.name))

    @classmethod
    def from_module(
        cls, module: OSTrack, device: str = "cpu", threads: int | None = None, precision: str = "float32"
    ) -> Network:
        """Run a torch module as it is; it is put into eval mode on ``device``, in place (in 16 bits: a copy)."""
        from ostrack.runtimes.pytorch import TorchRuntime

        return cls(TorchRuntime(module, device, threads, precision=precision))

    def __call__(self, templates: FloatArray, searches: FloatArray, template_boxes: FloatArray | None = None) -> Maps:
        """Look for each template in the search crop of the same row: :meth:`embed`, then :meth:`search`."""
        _check("searches", searches, (len(templates), 3, self.config.search_size, self.config.search_size))
        return self.search(self.embed(templates, template_boxes), searches)

    def embed(self, templates: FloatArray, template_boxes: FloatArray | None = None) -> FloatArray:
        """What :meth:`search` needs of a template: computed once for each target, kept for all frames.

        Args:
            templates: ``(B, 3, Hz, Wz)`` float32, normalised RGB (:func:`ostrack.crop.normalise`).
            template_boxes: ``(B, 4)`` float32 cxcywh, the target relative to its template crop; needed where
                ``config.needs_template_box``, ignored elsewhere.

        Returns:
            ``(B, Nz, D)`` float32 tokens, a row for each template. They are of use to this network in this runtime
            only; rows of several targets may be stacked.

        Raises:
            ValueError: A shape or dtype is not what the config asks for.
        """
        config, batch = self.config, len(templates)
        _check("templates", templates, (batch, 3, config.template_size, config.template_size))
        if not config.needs_template_box:
            return self._runtime.embed(templates, None)
        if template_boxes is None:
            raise ValueError(f"{self.name}: this network needs template_boxes, (B, 4) cxcywh in the template crop")
        _check("template_boxes", template_boxes, (batch, 4))
        return self._runtime.embed(templates, template_boxes)

    def search(self, tokens: FloatArray, searches: FloatArray) -> Maps:
        """Look for each target in the search crop of the same row.

        Args:
            tokens: ``(B, Nz, D)`` float32 from :meth:`embed`.
            searches: ``(B, 3, Hx, Wx)`` float32, normalised RGB.

        Returns:
            What the network says about each row.

        Raises:
            ValueError: A shape or dtype is not what the config asks for.
        """
        config, batch = self.config, len(tokens)
        _check("tokens", tokens, (batch, config.template_grid**2, self._runtime.token_width))
        _check("searches", searches, (batch, 3, config.search_size, config.search_size))
        return self._runtime.search(tokens, searches)

    @property
    def runtime(self) -> str:
        """What runs it, for people: the runtime, its device and precision."""
        return self._runtime.description

    @property
    def token_width(self) -> int:
        """``D`` of the tokens."""
        return self._runtime.token_width

    def __repr__(self) -> str:
        return f"Network({self.name!r}, {self.runtime})"


def _start(
    runtime: str, path: Path, device: str, threads: int | None, precision: str, compile: bool, strict: bool
) -> OnnxRuntime | OpenVinoRuntime | TorchRuntime:
    if runtime == "onnx":
        from ostrack.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(path, device, threads, precision, strict)
    try:
        if runtime == "openvino":
            from ostrack.runtimes.openvino import OpenVinoRuntime

            return OpenVinoRuntime(path, device, threads, precision)
        from ostrack.runtimes.pytorch import TorchRuntime
    except ModuleNotFoundError as error:
        extra = "openvino" if runtime == "openvino" else "train"
        other = "use runtime='onnx'" if runtime == "openvino" else "use an .onnx file"
        raise NetworkError(f'{path}: needs {error.name}; run: pip install "ostrack[{extra}]", or {other}') from error
    return TorchRuntime.load(path, device, threads, precision, compile)


def _openvino_is_faster(path: Path, device: str, precision: str) -> bool:
    """Whether to take OpenVINO for an exported file, going by what ``benchmarks/runtimes.py`` measures.

    In float32 the two are within a tenth of each other and onnxruntime starts sooner; bf16 it does not have, and int8
    is a sixth faster in OpenVINO.
    """
    if device != "cpu" or importlib.util.find_spec("openvino") is None:
        return False
    return precision != "float32" or '"arithmetic": "int8"' in properties(path).get(METADATA_KEY, "")


def _resolve(source: str | Path | None, kind: str) -> Path:
    """The file meant by a path, a zoo name or nothing."""
    if source is None:
        return zoo.path(zoo.default(), kind)
    path = Path(source)
    if path.suffix in _ONNX + _TORCH or path.is_file():
        return path
    if str(source) in zoo.names():
        return zoo.path(str(source), kind)
    raise FileNotFoundError(f"{source}: neither a file nor a packaged network ({', '.join(zoo.names()) or 'none'})")


def _check(name: str, array: FloatArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32:
        raise ValueError(f"{name}: got {array.dtype} {array.shape}, expected float32 {shape}")
