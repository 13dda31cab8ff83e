"""Weight files of torch.save are read without running what they say."""

from __future__ import annotations

import argparse
import collections
import io
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostrack.errors import CheckpointError
from ostrack.model.unpickling import StoredTensor, open_pickled
from ostrack.model.weight_files import read_weights


class Touch:
    """Creates a file when unpickled by an obedient reader."""

    def __init__(self, path: Path, call: Any) -> None:
        self.path, self.call = path, call

    def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
        text = f"open({str(self.path)!r}, 'w').close()"
        return (self.call, (f"touch {self.path}",) if self.call is os.system else (text,))


@pytest.fixture(params=["zip", "legacy"])
def zipped(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "zip")


def save(content: object, path: Path, zipped: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def foreign(module: str, name: str, base: type = object) -> Any:
    """A class that pickles as module.name and lives nowhere when read."""
    made = type(name, (base,), {"__module__": module})
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    setattr(sys.modules[module], name, made)
    return made


@pytest.mark.parametrize("call", [os.system, exec, eval, __import__], ids=["system", "exec", "eval", "import"])
def test_code_is_refused_and_not_run(tmp_path: Path, zipped: bool, call: Any) -> None:
    marker = tmp_path / "touched"
    path = save({"net": {"w": torch.ones(2)}, "stats": Touch(marker, call)}, tmp_path / "evil.pth.tar", zipped)
    with pytest.raises(CheckpointError, match=rf"names \w+\.{call.__name__}"):
        read_weights(path)
    assert not marker.exists()
    # The file is as dangerous as it claims: an obedient reader runs it.
    if call is exec:
        torch.load(path, weights_only=False)
        assert marker.exists()


@pytest.mark.parametrize(
    "name", ["torch.load", "torch._utils._rebuild_wrapper_subclass", "builtins.getattr", "operator.attrgetter",
             "functools.partial", "torch.hub.load", "pathlib.Path", "numpy.load", "lib.trainer.x"],
)  # fmt: skip
def test_names_beyond_the_list_are_refused(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    protocol_2 = b"\x80\x02c" + f"{module}\n{attribute}\n".encode() + b")R."
    path = tmp_path / "x.pth"
    path.write_bytes(protocol_2)
    with pytest.raises(CheckpointError, match=name):
        open_pickled(path)


def test_leftovers_of_training_are_passed_over(tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*sys.modules]
    settings = foreign("lib.train.admin.settings", "Settings")()
    settings.env = foreign("lib.train.admin.local", "EnvironmentSettings")()
    settings.env.workspace_dir = "/data"
    settings.device = torch.device("cuda:0")
    meter = foreign("lib.train.admin.stats", "AverageMeter")()
    meter.history, meter.avg = [1.0, 2.0], np.float64(0.5)
    edict = foreign("easydict", "EasyDict", dict)(batch=32)
    edict.batch = 32
    content = {
        "epoch": 300,
        "net": collections.OrderedDict(
            a=torch.arange(6.0).reshape(2, 3).t(), b=torch.nn.Parameter(torch.ones(2).half())
        ),
        "stats": collections.OrderedDict(train=collections.defaultdict(list, loss=[meter])),
        "settings": settings,
        "cfg": edict,
        "args": argparse.Namespace(lr=1e-4, shape=torch.Size([1, 2])),
        "rng": np.random.RandomState(0).get_state()[1],
        "optimizer": {
            "state": {0: {"step": torch.tensor(5.0), "exp_avg": torch.zeros(3)}},
            "param_groups": [{"lr": 1e-4}],
        },
        "dtype": torch.float32,
        "kinds": {1, 2},
    }
    path = save(content, tmp_path / "OSTrack_ep0300.pth.tar", zipped)
    for module in set(sys.modules) - set(names):
        monkeypatch.delitem(sys.modules, module)
    weights = read_weights(path)
    assert list(weights) == ["a", "b"]
    assert torch.equal(weights["a"], torch.arange(6.0).reshape(2, 3).t())
    assert weights["a"].is_contiguous()
    assert weights["b"].dtype == torch.float16


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
          torch.int8, torch.uint8, torch.bool]  # fmt: skip


def test_every_element_type_view_and_shared_storage(tmp_path: Path, zipped: bool) -> None:
    state = {str(dtype): (torch.arange(24).reshape(4, 6) % 2).to(dtype) for dtype in DTYPES}
    base = torch.randn(5, 7)
    state |= {"base": base, "slice": base[1:4, ::2], "scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4)}
    weights = read_weights(save(state, tmp_path / "w.pth", zipped))
    for key, tensor in state.items():
        assert weights[key].dtype == tensor.dtype
        assert torch.equal(weights[key], tensor), key


def test_a_cut_file_is_damaged_wherever_it_is_cut(tmp_path: Path, zipped: bool) -> None:
    whole = save({"net": {"w": torch.randn(300), "v": torch.randn(40)}}, tmp_path / "w.pth", zipped).read_bytes()
    cut = tmp_path / "cut.pth"
    for length in range(0, len(whole) - 1, 61):
        cut.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as caught:
            read_weights(cut)
        assert "\n" not in str(caught.value)


def test_a_description_beyond_its_values_is_refused(tmp_path: Path) -> None:
    stored = open_pickled(save({"w": torch.ones(4)}, tmp_path / "w.pth", True))
    assert isinstance(stored, dict)
    tensor = stored["w"]
    assert isinstance(tensor, StoredTensor)
    forged = StoredTensor((5,), tensor.dtype, tensor.stride, 0, tensor.storage, tensor.fetch)
    with pytest.raises(pickle.UnpicklingError, match="beyond its stored values"):
        forged.read()


def test_any_changed_byte_is_read_or_named(tmp_path: Path, zipped: bool) -> None:
    whole = save({"net": {"w": torch.randn(30), "v": torch.randn(4, 4)}, "epoch": 3}, tmp_path / "w.pth", zipped)
    content, changed = whole.read_bytes(), tmp_path / "changed.pth"
    random = np.random.default_rng(0)
    messages = []
    for _ in range(250):
        spoiled = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            spoiled[place] = random.integers(0, 256)
        changed.write_bytes(spoiled)
        try:
            read_weights(changed)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 40
    assert all(str(changed) in message and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.pth", b"", "empty"),
        ("w.pth", b"<!DOCTYPE html><title>Sign in</title>", "web page"),
        ("w.pth.tar", b"epoch: 300\n", "text file"),
        ("w.onnx", b"\x08\x07\x12\x07pytorch", "exported network"),
        ("w.safetensors", b"\xff" * 40, "safetensors"),
        ("w.pth", pickle.dumps([1, 2], 2), "not a PyTorch file"),
        ("w.pth", bytes(range(256)), "damaged or not a PyTorch file"),
    ],
)
def test_files_of_other_kinds(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_state_dict(tmp_path: Path, zipped: bool) -> None:
    with pytest.raises(CheckpointError, match="no state dict"):
        read_weights(save({"epoch": 3, "net": {"nothing": 1}}, tmp_path / "w.pth", zipped))
    buffer = io.BytesIO()
    torch.save(torch.ones(3), buffer)
    (tmp_path / "t.pth").write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="no state dict"):
        read_weights(tmp_path / "t.pth")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        read_weights(tmp_path / "none.pth")
