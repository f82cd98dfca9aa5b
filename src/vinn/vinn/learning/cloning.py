"""Behaviour cloning and implicit behaviour cloning, on frames or on frozen embeddings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule
from torch.nn.functional import cross_entropy, linear, mse_loss

from vinn.demos.types import GripperState
from vinn.learning.config import CloningConfig
from vinn.learning.frames import Batch
from vinn.learning.run import LEFT_OUT_LOSS
from vinn.learning.self_supervision import build_optimizer

ACTION_SIZE = 3


def mlp(sizes: Sequence[int]) -> torch.nn.Sequential:
    """Linear layers of the given sizes with a ReLU between any two."""
    layers: list[torch.nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


class Cloning(LightningModule):
    """What the cloning methods share: features, a gripper head, the optimiser.

    A method adds `head`, the part that knows translations, and its loss.

    Args:
        features: images to embeddings, trained as well; None where batches hold embeddings.
        dimension: D of an embedding.
        config: settings.
    """

    def __init__(
        self, features: torch.nn.Module | None, dimension: int, config: CloningConfig
    ) -> None:
        super().__init__()
        self.head: torch.nn.Sequential
        self.features = features if features is not None else torch.nn.Identity()
        # One linear layer on the embedding to the four states, as in the paper's published code.
        self.gripper = torch.nn.Linear(dimension, len(GripperState))
        self.config = config

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """One step on (images or embeddings, scaled translations, gripper states)."""
        losses = self._losses(batch)
        self.log_dict(losses)
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """The same loss, of what nothing is learned from."""
        self.log(LEFT_OUT_LOSS, self._losses(batch)["loss"], sync_dist=True)

    def _losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        inputs, camera_delta, gripper = batch
        embeddings = self.features(inputs)
        action_loss = self.action_loss(embeddings, camera_delta)
        gripper_loss = cross_entropy(self.gripper(embeddings), gripper)
        loss = action_loss + self.config.gripper_weight * gripper_loss
        return {"loss": loss, "action_loss": action_loss, "gripper_loss": gripper_loss}

    def action_loss(self, embeddings: torch.Tensor, camera_delta: torch.Tensor) -> torch.Tensor:
        """Loss of the translation head on (N, D) embeddings and (N, 3) scaled translations."""
        raise NotImplementedError

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """As the settings say, over everything that learns by gradient."""
        return build_optimizer(
            [p for p in self.parameters() if p.requires_grad], self.config.optimizer
        )


class BehaviourCloning(Cloning):
    """Regression of the translation by mean squared error (paper, section IV-B and IV-C)."""

    def __init__(
        self, features: torch.nn.Module | None, dimension: int, config: CloningConfig
    ) -> None:
        super().__init__(features, dimension, config)
        self.head = mlp((dimension, *config.hidden, ACTION_SIZE))

    def action_loss(self, embeddings: torch.Tensor, camera_delta: torch.Tensor) -> torch.Tensor:
        """Mean squared error over batch and components."""
        return mse_loss(self.head(embeddings), camera_delta)


class ImplicitCloning(Cloning):
    """An energy of (embedding, action), lowest at the expert's action (Florence et al. 2021).

    Actions live in [-1, 1]^3, as in the implementation the paper used (section IV-G).
    """

    def __init__(
        self, features: torch.nn.Module | None, dimension: int, config: CloningConfig
    ) -> None:
        super().__init__(features, dimension, config)
        self.head = mlp((dimension + ACTION_SIZE, *config.hidden, 1))
        # Three numbers beside a thousand would hardly be heard with the usual 1/sqrt(inputs).
        first: torch.Tensor = self.head[0].weight  # type: ignore[assignment]
        torch.nn.init.uniform_(first[:, dimension:], -(ACTION_SIZE**-0.5), ACTION_SIZE**-0.5)

    def action_loss(self, embeddings: torch.Tensor, camera_delta: torch.Tensor) -> torch.Tensor:
        """InfoNCE: tell the expert's action from uniform counter-examples by the energy."""
        count = self.config.counter_examples
        negatives = 2 * torch.rand(len(embeddings), count, ACTION_SIZE).to(embeddings) - 1
        actions = torch.cat([camera_delta.to(embeddings)[:, None], negatives], dim=1)
        energy = self.energy(embeddings, actions)
        first = torch.zeros(len(embeddings), dtype=torch.long, device=energy.device)
        return cross_entropy(-energy, first)

    def energy(self, embeddings: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """E of embeddings (N, D) with each of their actions (N, M, 3), as (N, M).

        Equal to the head on (embedding, action), but the embedding's share of the first layer is
        computed once for its M actions.
        """
        first, rest = self.head[0], self.head[1:]
        dimension = embeddings.shape[1]
        weight: torch.Tensor = first.weight  # type: ignore[assignment]
        shared = linear(embeddings, weight[:, :dimension], first.bias)  # type: ignore[arg-type]
        hidden = shared[:, None] + linear(actions, weight[:, dimension:])
        energy: torch.Tensor = rest(hidden).squeeze(-1)
        return energy
