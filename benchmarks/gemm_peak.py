"""The fastest this machine multiplies matrices, at the very sizes that a network multiplies.

    python benchmarks/gemm_peak.py [NETWORK] [--threads 1] [--json]

Every matrix product of the network (convolutions as products of their patches, as they are computed without tricks)
runs alone, float32, in each library that can be had: torch, onnxruntime with a constant right side, numpy. For each
size the fastest library's fastest run counts, so that the sum is a bound that no single library may reach: whatever
the network loses to norms, softmax, memory and overhead shows in its distance from it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

Size = tuple[int, int, int, int]  # rows, inner, columns, count


def sizes_of(network: str | None) -> Counter[Size]:
    """How often each size of product occurs in one search of a network (the template's patches are kept)."""
    from ostrack.config import PRESETS
    from ostrack.network import Network
    from ostrack.profile import profile

    config = PRESETS[network] if network in PRESETS else Network.load(network).config
    found: Counter[Size] = Counter()
    for layer in profile(config).layers:
        for product in layer.products:
            rows = layer.search_tokens if layer.name == "patch embed" else product.rows
            found[rows, product.inner, product.columns, product.count] += 1
    return found


def libraries(threads: int) -> dict[str, Callable[[Size], Callable[[], object]]]:
    """For each library what prepares a product and returns a function that runs it."""
    import numpy as np

    def noise(*shape: int) -> np.ndarray:
        return np.random.default_rng(0).standard_normal(shape, np.float32)

    def sides(size: Size) -> tuple[np.ndarray, np.ndarray]:
        rows, inner, columns, count = size
        lead = (count,) if count > 1 else ()
        return noise(*lead, rows, inner), noise(*lead, inner, columns)

    def numpy_product(size: Size) -> Callable[[], object]:
        left, right = sides(size)
        out = left @ right
        return lambda: np.matmul(left, right, out=out)

    makers: dict[str, Callable[[Size], Callable[[], object]]] = {"numpy": numpy_product}
    try:
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ModuleNotFoundError as error:
        print(f"left out onnxruntime: {error.name} is not installed", file=sys.stderr)
    else:

        def onnx_product(size: Size) -> Callable[[], object]:
            left, right = sides(size)
            graph = helper.make_graph(
                [helper.make_node("MatMul", ["a", "b"], ["c"])],
                "product",
                [helper.make_tensor_value_info("a", TensorProto.FLOAT, left.shape)],
                [helper.make_tensor_value_info("c", TensorProto.FLOAT, (left @ right).shape)],
                [numpy_helper.from_array(right, "b")],
            )
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            assert isinstance(model, onnx.ModelProto)
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            return lambda: session.run(None, {"a": left})

        makers["onnxruntime"] = onnx_product
    try:
        import torch
    except ModuleNotFoundError:
        print("left out torch: not installed", file=sys.stderr)
    else:
        torch.set_num_threads(threads)

        def torch_product(size: Size) -> Callable[[], object]:
            left, right = map(torch.from_numpy, sides(size))
            out = left @ right
            return lambda: torch.matmul(left, right, out=out)

        makers["torch"] = torch_product
    return makers


def measure(sizes: Counter[Size], threads: int, runs: int) -> dict[str, object]:
    """Fastest time of each size in each library, and what follows for the whole network.

    Returns:
        ``gmacs`` of one search; ``ms``, the sum of the fastest; ``gmacs_per_s``; ``large_gmacs_per_s`` of one square
        product of side 1536, the size that suits the machine best; a row for each size.
    """
    large = (1536, 1536, 1536, 1)
    makers, rows = libraries(threads), []
    total, macs, fastest_large = 0.0, 0, 0.0
    for size in [*sizes, large]:
        products = {name: make(size) for name, make in makers.items()}
        best = dict.fromkeys(products, float("inf"))
        for name, run in products.items():
            # One library after the other: each one's idle threads go on spinning for a while.
            time.sleep(0.01)
            for _ in range(runs if size != large else 5):
                began = time.perf_counter()
                run()
                best[name] = min(best[name], 1e3 * (time.perf_counter() - began))
        name = min(best, key=lambda key: best[key])
        size_macs = size[0] * size[1] * size[2] * size[3]
        if size == large:
            fastest_large = size_macs / best[name] / 1e6
            continue
        macs, total = macs + sizes[size] * size_macs, total + sizes[size] * best[name]
        rows.append({"size": list(size), "times": sizes[size], "ms": best, "gmacs_per_s": size_macs / best[name] / 1e6})
    return {
        "threads": threads,
        "gmacs": macs / 1e9,
        "ms": total,
        "gmacs_per_s": macs / total / 1e6,
        "large_gmacs_per_s": fastest_large,
        "rows": rows,
    }


def table(found: dict[str, Any]) -> str:
    """A line for each size, then the sum."""
    names = list(found["rows"][0]["ms"])
    lines = [f"{'rows x inner x columns (count)':<34} {'times':>5} " + " ".join(f"{name:>12}" for name in names)]
    for row in found["rows"]:
        rows, inner, columns, count = row["size"]
        cells = " ".join(f"{row['ms'][name]:>9.3f} ms" for name in names)
        lines.append(f"{f'{rows} x {inner} x {columns} ({count})':<34} {row['times']:>5} {cells}")
    lines.append(
        f"{found['gmacs']:.2f} G MACs in {found['ms']:.1f} ms at best: {found['gmacs_per_s']:.1f} G MACs a second, "
        f"{found['threads']} threads (large square product: {found['large_gmacs_per_s']:.1f})"
    )
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", nargs="?", help="packaged name, file or architecture; the default if not given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    # Read by numpy's BLAS when it is first imported.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    found = measure(sizes_of(arguments.network), arguments.threads, arguments.runs)
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    main()
