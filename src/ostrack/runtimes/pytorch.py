"""Networks in PyTorch: for research, for devices that ONNX does not reach, and as the measure of the exports."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ostrack.errors import NetworkError
from ostrack.model import OSTrack, load
from ostrack.model.checkpoint import read_metadata
from ostrack.model.weight_files import is_safetensors
from ostrack.runtimes import FloatArray, Maps, token_width

__all__ = ["TorchRuntime"]

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRuntime:
    """A torch module behind the same call as an exported network.

    Attributes:
        config: Architecture of the network.
        name: The file, or the module's class.
        description: The runtime and its device.
        token_width: Width of a template token.
        module: The module, in eval mode on its device.
        metadata: What its file says besides the weights; empty for a module from elsewhere.
    """

    def __init__(
        self,
        module: OSTrack,
        device: str = "cpu",
        threads: int | None = None,
        name: str | None = None,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        """Take over a module.

        Args:
            module: Put into eval mode and moved to ``device``, in place; in 16 bits a copy of it is.
            device: Any device of torch: ``"cpu"``, ``"cuda"``, ``"mps"``.
            threads: Threads of the whole process, since torch knows no others; left alone where None.
            name: What to call it in messages.
            precision: ``"float32"``, ``"bf16"`` or ``"fp16"``: of weights and tokens; scores are compared and maps are
                decoded in float32 all the same.
            compile: Compile the search with :func:`torch.compile`, at its first call and for each new batch size.

        Raises:
            NetworkError: The device or the precision is not to be had.
        """
        if precision not in _DTYPES:
            raise NetworkError(f"precision {precision!r}: expected {', '.join(_DTYPES)}")
        self._dtype = _DTYPES[precision]
        if precision != "float32":
            module = copy.deepcopy(module)
        try:
            self._device = torch.device(device)
            self.module = module.eval().to(self._device, self._dtype)
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            raise NetworkError(f"device {device!r}: {str(error).splitlines()[0]}") from error
        if threads:
            torch.set_num_threads(threads)
        self._search = torch.compile(self.module.search) if compile else self.module.search
        self.config = module.config
        self.name = name or type(module).__name__
        self.description = f"torch on {device} in {precision}{', compiled' if compile else ''}"
        self.token_width = token_width(self.config)
        self.metadata: dict[str, Any] = {}

    @classmethod
    def load(
        cls,
        path: Path,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "float32",
        compile: bool = False,
    ) -> TorchRuntime:
        """Read a ``.safetensors`` file of ours or an official ``.pth.tar``; see :func:`ostrack.model.load`."""
        runtime = cls(load(path), device, threads, str(path), precision, compile)
        runtime.metadata = read_metadata(path) if is_safetensors(path) else {}
        return runtime

    @torch.inference_mode()
    def embed(self, templates: FloatArray, template_boxes: FloatArray | None) -> FloatArray:
        """Template tokens; see :meth:`ostrack.network.Network.embed`."""
        boxes = None if template_boxes is None else self._tensor(template_boxes)
        return _array(self.module.embed(self._tensor(templates), boxes))

    @torch.inference_mode()
    def search(self, tokens: FloatArray, searches: FloatArray) -> Maps:
        """Look for the targets; see :meth:`ostrack.network.Network.search`."""
        try:
            out = self._search(self._tensor(tokens), self._tensor(searches))
        except torch.OutOfMemoryError as error:
            raise NetworkError(f"{self.name}: {len(tokens)} targets do not fit the device's memory") from error
        return Maps(
            boxes=_array(out.boxes),
            score=None if out.score_map is None else _array(out.score_map[:, 0]),
            size=None if out.size_map is None else _array(out.size_map),
            offset=None if out.offset_map is None else _array(out.offset_map),
            confidence=_array(out.score),
            eliminated=tuple(indices.cpu().numpy() for indices in out.eliminated),
        )

    def _tensor(self, array: FloatArray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device, self._dtype)


def _array(tensor: torch.Tensor) -> FloatArray:
    array: NDArray[Any] = tensor.float().cpu().numpy()
    return array
