"""The training loop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from ostrack.data.pairs import PairBatch, PairDataset
from ostrack.errors import RecipeError, TrainingError
from ostrack.model import OSTrack, Prediction
from ostrack.model.kinds import kind_of
from ostrack.train import checkpoint
from ostrack.train.copies import distribute
from ostrack.train.distill import Teacher
from ostrack.train.distributed import Ranks, join, leave, share_batch_norm
from ostrack.train.folder import claim, lock, save_network, saved_step
from ostrack.train.loading import Part, held_loader, training_loader
from ostrack.train.lora import merged_state, ordinary
from ostrack.train.losses import Losses, LossWeights, tracking_loss
from ostrack.train.monitor import Monitor
from ostrack.train.optim import WeightAverage, build_optimiser
from ostrack.train.recipe import Recipe
from ostrack.train.schedule import Schedule
from ostrack.train.sources import build_crops, open_sources, require_folders
from ostrack.train.start import build_network
from ostrack.train.validate import trackable, validate_clips, validate_pairs

__all__ = ["Trainer", "train"]

_NAMES = ("loss", "focal", "giou", "l1", "iou", "hit")


class Trainer:
    """One run in one folder.

    The folder holds ``recipe.json``, ``metrics.jsonl`` and ``metrics.csv``, ``state.pt`` (for an exact continuation)
    and ``model.safetensors`` (the network to use; the averaged weights where there is an average).

    Args:
        recipe: What to do.
        folder: Where to write; a run that lies there is continued if its recipe is the same.
        say: Receives one line of text now and then, in the first process only.
        ranks: This process among others.

    Raises:
        RecipeError: The folder holds a run of another recipe, or the batch cannot be shared by the processes.
        DataError: The data yield nothing.
        CheckpointError: Starting weights or the state to continue from do not fit.
    """

    def __init__(self, recipe: Recipe, folder: Path, say: Callable[[str], None], ranks: Ranks) -> None:
        self.recipe, self.folder, self.ranks = recipe, folder, ranks
        self.main = ranks.rank == 0
        self.say = say if self.main else lambda _: None
        run, optim = recipe.run, recipe.optim
        if run.batch % (run.accumulate * ranks.world):
            raise RecipeError(
                f"run.batch={run.batch} cannot be shared by {ranks.world} processes x {run.accumulate} parts"
            )
        if run.threads:
            torch.set_num_threads(run.threads)
        require_folders(recipe.data)
        torch.manual_seed(run.seed)
        net, report = build_network(recipe.model)
        self.say(report)
        net.to(ranks.device).train()
        if run.sync_batch_norm and ranks.world > 1:
            share_batch_norm(net)
        self.config, self.kind = net.config, kind_of(net)
        if recipe.loss.box_cells == "target" and net.config.head != "center":
            raise RecipeError(
                f"loss.box_cells=target: needs a centre head, found {net.config.head}; give loss.box_cells=peak"
            )
        sources = open_sources(recipe.data, self.config.search_factor)
        for line in sources.report:
            self.say(line)
        crops = build_crops(self.config, recipe.augment)
        self.data = PairDataset(sources.training, crops, run.steps * run.batch, run.seed)
        self.held = None
        if sources.validation is not None and run.validation_pairs:
            self.held = PairDataset(sources.validation, crops.undisturbed(), run.validation_pairs, seed=1)
        step = max(len(sources.held_clips) // max(run.validation_clips, 1), 1)
        chosen = range(0, len(sources.held_clips), step)[: run.validation_clips]
        self.clips = trackable(sources.held_clips, chosen, self.say)
        self.teacher = Teacher(recipe.distill, self.config, ranks.device) if recipe.distill.asked else None
        self.copies = distribute(net, ranks, run.sharding)
        self.model = torch.compile(self.copies.model) if run.compile else self.copies.model
        self.optimiser = build_optimiser(net, optim.lr_head, optim.lr_backbone, optim.weight_decay)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.average = WeightAverage(net, optim.ema) if optim.ema else None
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=run.precision == "fp16")
        self.schedule = Schedule(recipe, self.config.keep_ratios)
        self.weights = LossWeights(recipe.loss.focal, recipe.loss.giou, recipe.loss.l1)
        self.step = 0
        # Every process drops other paths.
        torch.manual_seed(run.seed + 7919 * ranks.rank)
        if self._state_path.exists():
            self._restore()
        steps = ranks.gather(self.step)
        if len(set(steps)) > 1:
            raise TrainingError(f"{folder}: processes would go on from steps {steps}; all of them must see one folder")
        self.monitor = Monitor(folder, self.say, self.step) if self.main else None

    @property
    def _state_path(self) -> Path:
        return self.folder / "state.pt"

    def _restore(self) -> None:
        state = checkpoint.load_state(self._state_path)
        checkpoint.check_fit(self._state_path, state.network, dict(self.copies.net.state_dict()))
        self.copies.load(state.network, self.optimiser, state.optimiser)
        if self.average is not None and state.average is not None:
            self.average.steps = state.average["steps"]
            self.average.state = self.copies.spread(state.average["state"])
        self.scaler.load_state_dict(state.scaler)
        if self.ranks.rank < len(state.rng):
            checkpoint.set_generator_states(state.rng[self.ranks.rank], self.ranks.device)
        if len(state.rng) != self.ranks.world:
            self.say(
                f"the state is of {len(state.rng)} processes, these are {self.ranks.world}: dropped paths will differ"
            )
        self.step = state.step
        if self.main:
            # A run that ended between the state and the networks, as over a full disk, has the one and not the others.
            self._save_networks(state.network if state.average is None else state.average["state"], missing=True)
        self.say(f"continuing at step {self.step} of {self.recipe.run.steps}")

    def _save(self) -> None:
        network = self.copies.network_state()
        # The loss is looked at with every line of the log only; a checkpoint between two must not keep what it broke.
        checkpoint.check_finite(self.step, network)
        optimiser = self.copies.optimiser_state(self.optimiser)
        average, network_to_use = None, network
        if self.average is not None:
            network_to_use = self.copies.gather(self.average.state)
            average = {"steps": self.average.steps, "state": network_to_use}
        rng = self.ranks.gather(checkpoint.generator_states(self.ranks.device))
        if self.main:
            document, scaler = self.recipe.plain(), self.scaler.state_dict()
            state = checkpoint.RunState(self.step, network, optimiser, average, scaler, rng, document)
            checkpoint.save_state(self._state_path, state)
            self._save_networks(network_to_use)

    def _save_networks(self, network: dict[str, torch.Tensor], missing: bool = False) -> None:
        final = merged_state(network)
        names = ["model.safetensors"]
        if self._snapshot_due():
            names.append(f"model_ep{self.step // self.schedule.steps_per_epoch:04d}.safetensors")
        for name in names:
            if not missing or saved_step(self.folder / name) != self.step:
                save_network(self.folder / name, final, self.config, self.kind, self.recipe, self.step)

    def _snapshot_due(self) -> bool:
        every = self.recipe.run.snapshot_every * self.schedule.steps_per_epoch
        return bool(every) and self.step % every == 0

    def _autocast(self) -> AbstractContextManager[object]:
        precision = self.recipe.run.precision
        if precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.ranks.device.type, torch.bfloat16 if precision == "bf16" else torch.float16)

    def _losses(
        self, model: Callable[..., Prediction], batch: PairBatch, ratios: list[float], count: torch.Tensor,
        teacher: Teacher | None = None,
    ) -> Losses:  # fmt: skip
        with self._autocast():
            prediction = model(batch.template, batch.search, batch.template_box, ratios)
        cells = self.recipe.loss.box_cells
        losses = tracking_loss(prediction, batch.search_box, batch.present, self.weights, cells, count)
        if teacher is None:
            return losses
        return replace(losses, total=losses.total + teacher.loss(prediction, teacher.look(batch, self._autocast())))

    def train_step(self, parts: list[PairBatch]) -> torch.Tensor:
        """One optimiser step.

        Args:
            parts: This process's batches, on the CPU.

        Returns:
            ``(6,)`` losses of this process, still on the device.
        """
        factor = self.schedule.learning_rate(self.step)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        # Counted before they leave the CPU: nothing waits for the device.
        present = sum(int(part.present.sum()) for part in parts) / len(parts)
        count = self.ranks.mean(torch.tensor(present).to(self.ranks.device, non_blocking=True))
        count = count.clamp(min=1 / (len(parts) * self.ranks.world))
        total = torch.zeros(len(_NAMES), device=self.ranks.device)
        ratios = self.schedule.keep_ratios(self.step)
        for number, part in enumerate(parts, 1):
            with self.copies.last_part(number == len(parts)):
                losses = self._losses(self.model, part.to(self.ranks.device), ratios, count, self.teacher)
                torch.autograd.backward(self.scaler.scale(losses.total / len(parts)))
            total += losses.stacked() / len(parts)
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self.copies.net.parameters(), self.recipe.optim.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.copies.net)
        self.step += 1
        return total

    def validate(self) -> dict[str, float]:
        """Losses on pairs of the held clips, the same pairs every time, and success of tracking held clips."""
        found: dict[str, float] = {}
        run, ranks = self.recipe.run, self.ranks
        net = self.copies.net
        with self.average.applied(net) if self.average is not None else contextlib.nullcontext():
            net.eval()
            if self.held is not None:
                size = max(run.batch // (run.accumulate * ranks.world), 1)
                batches = held_loader(self.held, size, ranks.rank, ranks.world, run.workers)
                one = torch.ones((), device=ranks.device)
                # Those of the steps just done, as officially; the count of steps is one ahead.
                ratios = self.schedule.keep_ratios(max(self.step - 1, 0))
                found |= validate_pairs(
                    batches, lambda batch: self._losses(net, batch, ratios, one), ranks, _NAMES, self.say
                )
            if self.clips:
                share = run.sharding == "ddp"
                found |= validate_clips(net, self.clips, run.validation_frames, ranks, share, self.say)
            net.train()
        return found

    def _log(self, values: dict[str, float], left: float | None = None) -> None:
        if self.monitor is not None and values:
            self.monitor.write(self.step, {"epoch": self.schedule.epoch(max(self.step - 1, 0)), **values}, left)

    def fit(self, until: int | None = None) -> OSTrack:
        """Train to the end, or until a step.

        Args:
            until: Stop (and save) after this many steps in all.

        Returns:
            The network, in training mode, with its current (not averaged) weights.

        Raises:
            DataError: A source yields nothing.
            TrainingError: A loader process died, or the loss is no number any more.
            OutputError: The disk is full; the last checkpoint is whole.
        """
        run, ranks = self.recipe.run, self.ranks
        end = run.steps if until is None else min(until, run.steps)
        losses = torch.zeros(len(_NAMES), device=ranks.device)
        skipped, since, waited, begin = 0, 0, 0.0, time.monotonic()
        part = Part(self.step, end, run.batch, run.accumulate, ranks.rank, ranks.world)
        batches = training_loader(self.data, part, run.workers, pin=ranks.device.type == "cuda")
        while self.step < end:
            asked = time.monotonic()
            parts = list(islice(batches, run.accumulate))
            waited += time.monotonic() - asked
            losses += self.train_step(parts)
            since += 1
            for batch in parts:
                if batch.skipped and not skipped:
                    self.say(f"skipped a draw: {batch.reason}")
                skipped += batch.skipped
            if self.step % run.log_every == 0 or self.step == end:
                means = ranks.mean(losses / since).tolist()
                if not all(math.isfinite(value) for value in means):
                    raise TrainingError(f"step {self.step}: the loss is {means[0]}; state.pt is of an earlier step")
                seconds = time.monotonic() - begin
                skipped = int(ranks.total(torch.tensor(skipped, device=ranks.device)))
                self._log({
                    "pairs": self.step * run.batch, **dict(zip(_NAMES, means, strict=True)),
                    "lr": self.optimiser.param_groups[0]["lr"],
                    "keep": min(self.schedule.keep_ratios(self.step - 1), default=1.0), "skipped": skipped,
                    "pairs_per_second": since * run.batch / seconds, "waiting": waited / seconds,
                }, left=(end - self.step) * seconds / since)  # fmt: skip
                losses.zero_()
                skipped, since, waited, begin = 0, 0, 0.0, time.monotonic()
            if self.step % (run.validate_every * run.steps_per_epoch) == 0 or self.step == run.steps:
                paused = time.monotonic()
                self._log(self.validate())
                begin += time.monotonic() - paused
            if self.step % run.checkpoint_every == 0 or self.step == end or self._snapshot_due():
                self._save()
        if self.monitor is not None:
            self.monitor.close()
        if not self.recipe.model.lora_rank:
            return self.copies.net
        return ordinary(self.copies.network_state(), self.config, self.kind).to(ranks.device)


def train(recipe: Recipe, folder: Path, say: Callable[[str], None] = print, until: int | None = None) -> OSTrack:
    """Train a network as a recipe says; continue the run if the folder holds it.

    Under ``torchrun`` each process calls this with the same arguments.

    Args:
        recipe: What to do.
        folder: Where to write.
        say: Receives one line of text now and then.
        until: Stop after this many steps in all, to be continued.

    Returns:
        The trained network.

    Raises:
        RecipeError: The folder holds a run of another recipe, or something in the recipe cannot be done.
        TrainingError: Another run is writing to the folder, a loader process died, or the loss is no number.
        OSTrackError: See :class:`Trainer` and :meth:`Trainer.fit`.
    """
    ranks = join(recipe.run.device)
    try:
        with contextlib.ExitStack() as stack:
            if ranks.rank == 0:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock(folder))
                claim(recipe, folder)
            net = Trainer(recipe, folder, say, ranks).fit(until)
            ranks.settle()
            return net
    finally:
        leave()
