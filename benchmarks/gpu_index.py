"""The index on a GPU: how long a search takes beside reading the vectors once, and whether its answers are those of
exact search.

    python benchmarks/gpu_index.py                                                  # 10,000,000 x 128 on a GPU: 6 GB of
    its memory, 8 GB of the machine's
    python benchmarks/gpu_index.py --device cpu --count 20000 --repeat 3            # the same, tiny, anywhere

Needs numpy, Pillow and PyTorch only. Vectors are random unit vectors made on the device from a fixed seed; queries too,
and are not held. A search is timed as its caller sees it, from numpy to numpy, and its parts on the device by CUDA
events. Reading is the best of several kernels that read every byte and write next to none.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from lapel.indexes import RowFilter
from lapel.indexes import device as parts
from lapel.indexes.growing import GrowingIndex

AIM = 2.0  # times as long as reading
PIECE = 500_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--device", default="", help="cuda, cuda:1 or cpu; the first GPU by default")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 16, 256])
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=50, help="searches timed; a tenth for more than 16 queries")
    parser.add_argument("--checked", type=int, default=64, help="queries whose answers are compared")
    parser.add_argument("--block", type=int, default=parts.BLOCK_ROWS, help="rows judged by their best score")
    wanted = parser.parse_args()
    parts.BLOCK_ROWS = wanted.block
    index = parts.open_torch(wanted.device, dim=wanted.dim)
    device = rows_of(index).device
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(
        f"{wanted.count:,} x {wanted.dim} in float16; {where}; PyTorch {torch.__version__}, block {parts.BLOCK_ROWS}",
        flush=True,
    )
    began = time.perf_counter()
    for at in range(0, wanted.count, PIECE):
        rows = unit_rows(min(PIECE, wanted.count - at), wanted.dim, 1000 + at, device)
        if not at:
            rows_of(index)._reserve(wanted.count)
        index.add(np.arange(at, at + len(rows)), rows)
    print(f"added in {time.perf_counter() - began:.1f} s", flush=True)
    queries = unit_rows(max(*wanted.batches, wanted.checked), wanted.dim, 7, device)
    read = reading(index)
    for batch in wanted.batches:
        repeat = wanted.repeat if batch <= 16 else max(3, wanted.repeat // 10)
        times = timed(lambda size=batch: index.search(queries[:size], wanted.k), repeat, device)
        took = statistics.median(times)
        note = f", aim {AIM:g}" if batch == 1 else ""
        print(
            f"{batch:4} queries: {took * 1e3:8.3f} ms (best {min(times) * 1e3:.3f}), {batch / took:10,.0f} queries a"
            f" second,"
            f" {took / read:6.2f} times one reading{note}",
            flush=True,
        )
    stages(index, queries, wanted.k, wanted.repeat)
    filtered(index, queries, wanted.k, wanted.repeat)
    changes(index, wanted.repeat)
    check(index, queries[: wanted.checked], wanted.k)


def rows_of(index: GrowingIndex) -> parts.DeviceRows:
    """The rows on the device."""
    assert isinstance(index._structure, parts.DeviceRows)
    return index._structure


def unit_rows(count: int, dim: int, seed: int, device: torch.device) -> np.ndarray:
    """(count, dim) float32 random unit rows."""
    generator = torch.Generator(device).manual_seed(seed)
    rows = torch.randn(count, dim, generator=generator, device=device)
    made: np.ndarray = (rows / rows.norm(dim=1, keepdim=True)).cpu().numpy()
    return made


def timed(do: Callable[[], object], repeat: int, device: torch.device) -> list[float]:
    """Seconds of each of several runs, after three that are not counted."""
    times = []
    for run in range(repeat + 3):
        _wait(device)
        began = time.perf_counter()
        do()
        _wait(device)
        if run >= 3:
            times.append(time.perf_counter() - began)
    return times


def on_device(do: Callable[[], object], repeat: int, device: torch.device) -> float:
    """The median of seconds on the device alone, without what Python takes to ask for it."""
    if device.type != "cuda":
        return statistics.median(timed(do, repeat, device))
    times = []
    for run in range(repeat + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        do()
        end.record()
        end.synchronize()
        if run >= 3:
            times.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(times)


def reading(index: GrowingIndex) -> float:
    """Seconds to read the half-precision vectors once: the best of several ways."""
    near = rows_of(index)._near[: len(index)]
    flat = near.view(-1)
    ways: dict[str, Callable[[], object]] = {
        "sum as int32": lambda: flat.view(torch.int32).sum(),
        "amax": lambda: flat.amax(),
        "amax as int64": lambda: flat.view(torch.int64).amax(),
    }
    took = {name: min(timed(do, 12, rows_of(index).device)) for name, do in ways.items()}
    size = near.numel() * near.element_size()
    copied = torch.empty_like(near)
    took["half of a copy"] = min(timed(lambda: copied.copy_(near), 12, rows_of(index).device)) / 2
    for name, seconds in took.items():
        print(f"reading {size / 1e9:.2f} GB by {name}: {seconds * 1e3:.3f} ms, {size / seconds / 1e9:,.0f} GB/s")
    return min(took.values())


def stages(index: GrowingIndex, queries: np.ndarray, k: int, repeat: int) -> None:
    """What the parts of a search take on the device, and other ways of multiplying."""
    rows = rows_of(index)
    near = rows._near[: 2**22]
    share = len(rows) / min(len(near), len(rows))
    for batch in (1, 4, 8, 16, 64):
        asked = torch.from_numpy(queries[:batch].astype(np.float16)).to(rows_of(index).device)
        ways: dict[str, Callable[[], object]] = {
            "product in float32": lambda a=asked: parts._products(a, near.T),
            "product in float16": lambda a=asked: a @ near.T,
            "product, rows first": lambda a=asked: parts._products(near, a.T),
        }
        if batch == 1:
            ways["matrix by vector in float16"] = lambda a=asked: near @ a[0]
        for name, do in ways.items():
            print(f"  {batch:3} queries, {name}: {share * 1e3 * on_device(do, repeat, rows_of(index).device):.3f} ms")
        best = rows._best_of_blocks(asked)
        print(
            f"  {batch:3} queries: best of blocks"
            f" {1e3 * on_device(lambda a=asked: rows._best_of_blocks(a), repeat, rows_of(index).device):.3f} ms,"
            f" best blocks {1e3 * on_device(lambda b=best: b.topk(min(k + parts.EXTRA_CANDIDATES, b.shape[1]), dim=1), repeat, rows_of(index).device):.3f} ms,"
            f" with their rows"
            f" {1e3 * on_device(lambda a=asked: rows._candidates(a, k + parts.EXTRA_CANDIDATES, None), repeat, rows_of(index).device):.3f} ms",
            flush=True,
        )


def filtered(index: GrowingIndex, queries: np.ndarray, k: int, repeat: int) -> None:
    """One query among a share of the vectors, the filter remembered and not."""
    for share in (0.5, 0.01, 0.0001):
        allowed = np.sort(np.random.default_rng(3).permutation(len(index))[: max(k, int(share * len(index)))])
        first = statistics.median(
            timed(lambda a=allowed: index.search(queries[:1], k, a), repeat // 3 + 1, rows_of(index).device)
        )
        kept = RowFilter(allowed)
        again = statistics.median(timed(lambda f=kept: index.search(queries[:1], k, f), repeat, rows_of(index).device))
        print(f"filter {100 * share:g} %: {again * 1e3:.3f} ms; {first * 1e3:.3f} ms when it is new", flush=True)


def changes(index: GrowingIndex, repeat: int) -> None:
    """One addition, one replacement, one removal."""
    one = unit_rows(1, index.dim, 9, rows_of(index).device)
    top = len(index) + 1
    index.add(np.array([top]), one)  # makes room
    fresh = iter(range(top + 1, top + 10 * repeat + 100))
    added = statistics.median(timed(lambda: index.add(np.array([next(fresh)]), one), repeat, rows_of(index).device))
    replaced = statistics.median(timed(lambda: index.add(np.array([5]), one), repeat, rows_of(index).device))
    gone = iter(range(top + 1, top + 10 * repeat + 100))
    removed = statistics.median(timed(lambda: index.remove(np.array([next(gone)])), repeat, rows_of(index).device))
    print(
        f"one addition {added * 1e6:.0f} us, one replacement {replaced * 1e6:.0f} us, one removal {removed * 1e6:.0f}"
        f" us"
    )


def check(index: GrowingIndex, queries: np.ndarray, k: int) -> None:
    """Compare with float32 products of all vectors, on the device, a piece at a time."""
    asked = torch.from_numpy(queries).to(rows_of(index).device)
    full = torch.from_numpy(rows_of(index)._full.all)
    table = index._table
    living = torch.from_numpy(table.living_rows())
    keys = torch.from_numpy(table.keys.all)[living].to(rows_of(index).device)
    best = torch.full((len(queries), k), -torch.inf, device=rows_of(index).device)
    named = torch.full((len(queries), k), -1, device=rows_of(index).device)
    for at in range(0, len(living), PIECE):
        scores = asked @ full[living[at : at + PIECE]].to(rows_of(index).device).T  # float32, without TF32
        top = scores.topk(min(k, scores.shape[1]), dim=1)
        every, names = torch.cat([best, top.values], 1), torch.cat([named, keys[at + top.indices]], 1)
        best, order = every.topk(k, dim=1)
        named = names.gather(1, order)
    found = index.search(queries, k)
    off = float(np.abs(found.scores - best.cpu().numpy()).max())
    same = int((np.sort(found.keys, axis=1) == np.sort(named.cpu().numpy(), axis=1)).all(axis=1).sum())
    print(
        f"{len(queries)} queries compared with float32: {same} have the same {k} keys; scores differ by at most"
        f" {off:.1e}"
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
