"""Batches in order: which pairs each process loads at each step, and what a loader process that fails looks like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from ostrack.data.pairs import PairBatch, PairDataset, collate
from ostrack.errors import DataError, TrainingError

__all__ = ["Part", "held_loader", "training_loader"]


@dataclass(frozen=True)
class Part:
    """Numbers of the pairs that one process takes, part after part.

    Pairs are numbered over the whole run, and a step takes the next ``batch`` of them however many processes and
    parts share it: runs on other machines see the same batches, and so does a run that is continued.

    Attributes:
        first: First step.
        end: Step after the last one.
        batch: Pairs of a step over all processes and parts.
        parts: Parts that each process computes its share in.
        rank: This process.
        world: Number of processes.
    """

    first: int
    end: int
    batch: int
    parts: int = 1
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return (self.end - self.first) * self.parts

    def __iter__(self) -> Iterator[list[int]]:
        size = self.batch // (self.parts * self.world)
        for step in range(self.first, self.end):
            for part in range(self.parts):
                start = step * self.batch + (part * self.world + self.rank) * size
                yield list(range(start, start + size))


def _single_thread_worker(_: int) -> None:
    """Keep loader processes off the cores that compute."""
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _loader(data: PairDataset, batches: Part | list[list[int]], workers: int, pin: bool) -> DataLoader[PairBatch]:
    return DataLoader(
        data,  # type: ignore[arg-type]  # torch types the collated batch as the item
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_single_thread_worker,
        prefetch_factor=4 if workers else None,
        pin_memory=pin,
        # A generator of its own: the global one belongs to the drop path, whose draws a resumed run must repeat.
        generator=torch.Generator().manual_seed(data.seed),
    )


def training_loader(data: PairDataset, part: Part, workers: int, pin: bool = False) -> Iterator[PairBatch]:
    """Batches of one process, in order.

    Raises:
        DataError: A source yields nothing.
        TrainingError: A loader process died.
    """
    return _plain_errors(_loader(data, part, workers, pin), workers)


def held_loader(data: PairDataset, size: int, rank: int, world: int, workers: int) -> Iterator[PairBatch]:
    """This process's part of a fixed set of pairs; every process gets equally many batches of equal size."""
    share = len(data) // world
    numbers = list(range(rank * share, (rank + 1) * share))
    batches = [numbers[i : i + size] for i in range(0, share, size)]
    return _plain_errors(_loader(data, batches, workers, pin=False), workers)


def _plain_errors(loader: DataLoader[PairBatch], workers: int) -> Iterator[PairBatch]:
    try:
        yield from loader
    except DataError as error:
        # A worker's error arrives with its traceback as text; the line itself is the last one.
        line = str(error).strip().splitlines()[-1]
        raise DataError(line.partition("Error: ")[2] if workers else line) from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        line = str(error).strip().splitlines()[0]
        raise TrainingError(f"a loader process died ({line}); with too little memory, lower run.workers") from error
