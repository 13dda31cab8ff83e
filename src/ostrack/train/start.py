"""The network that a run starts from."""

from __future__ import annotations

from pathlib import Path

from ostrack import zoo
from ostrack.errors import CheckpointError
from ostrack.model import OSTrack
from ostrack.model.backbone import initialise_backbone, resize_grid
from ostrack.model.checkpoint import load
from ostrack.model.kinds import kind_of, new_network
from ostrack.train.lora import add_lora
from ostrack.train.optim import freeze_first_blocks
from ostrack.train.recipe import ModelRecipe

__all__ = ["adopt", "build_network", "file_of"]


def build_network(recipe: ModelRecipe) -> tuple[OSTrack, str]:
    """Build the network of a recipe with its starting weights; freeze what is not to learn.

    Returns:
        The network and a report of what was loaded.

    Raises:
        RecipeError: The architecture is wrong.
        CheckpointError: The starting weights do not fit.
        FileNotFoundError: They are not there.
        NetworkError: A packaged network is asked for and there is none.
    """
    report = "started from random weights"
    if recipe.network is not None:
        other = load(file_of(recipe.network))
        net = new_network(recipe.resolve(other.config), recipe.tracker or kind_of(other), recipe.drop_path)
        try:
            left = adopt(net, other)
        except CheckpointError as error:
            raise CheckpointError(f"model.network={recipe.network}: {error}") from None
        report = f"started from {recipe.network.name}"
        if left:
            report += f", {len(left)} of its tensors left out ({left[0]}, ...)"
    else:
        net = new_network(recipe.resolve(), recipe.tracker or "one_stream", recipe.drop_path)
        if recipe.backbone is not None:
            report = initialise_backbone(net, recipe.backbone).text()
    freeze_first_blocks(net, recipe.freeze_blocks)
    if recipe.lora_rank:
        add_lora(net, recipe.lora_rank)
    return net, report


def file_of(network: Path) -> Path:
    """The file of a network given by path, by packaged name, or as ``default``."""
    name = str(network)
    if not network.exists() and (name == "default" or name in zoo.names()):
        return zoo.path(zoo.default() if name == "default" else name, "safetensors")
    return network


def adopt(net: OSTrack, other: OSTrack) -> list[str]:
    """Copy all weights of another network, position embeddings resized to this one's grids.

    Returns:
        Names of its tensors that this one has no place for.

    Raises:
        CheckpointError: Another tensor has another shape, or one is missing.
    """
    state = other.state_dict()
    for key, value in net.state_dict().items():
        if key not in state:
            raise CheckpointError(f"{key}: missing in the network to start from")
        if key.endswith(("pos_embed_z", "pos_embed_x")) and state[key].shape != value.shape:
            state[key], _ = resize_grid(state[key], round(value.shape[1] ** 0.5), key)
        if state[key].shape != value.shape:
            raise CheckpointError(f"{key}: expected {tuple(value.shape)}, found {tuple(state[key].shape)}")
    net.load_state_dict({key: state[key] for key in net.state_dict()})
    return sorted(state.keys() - net.state_dict().keys())
