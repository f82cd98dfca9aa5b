"""BYOL, SimCLR and VICReg (paper, section III-A and table III) on lightly's heads and losses."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self

import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss, VICRegLoss
from lightly.models.modules.heads import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    SimCLRProjectionHead,
    VICRegProjectionHead,
)
from lightly.models.utils import deactivate_requires_grad
from lightning.pytorch import LightningModule
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vinn.learning.backbones import Backbone
from vinn.learning.collapse import relative_spread
from vinn.learning.config import OptimizerConfig, SelfSupervisionConfig
from vinn.learning.depthwise import FastDepthwise

Views = tuple[torch.Tensor, torch.Tensor]

SPREAD_EVERY_STEPS = 10


class SelfSupervised(LightningModule):
    """What the three methods share: two views in, a loss out, the spread of embeddings watched.

    Each view passes the network on its own: BatchNorm's statistics are those of one view, as in the
    methods' papers. A mixed precision is for convolutions and linear layers; BatchNorm sums up its
    statistics in single precision, and losses are computed in it.
    """

    def __init__(self, backbone: Backbone, config: SelfSupervisionConfig) -> None:
        super().__init__()
        self.features = backbone.features
        self.config = config

    def training_step(self, views: Views, batch_index: int) -> torch.Tensor:
        """One step on two batches (N, 3, H, W) of views of the same frames."""
        with FastDepthwise():
            embeddings = self.features(views[0]), self.features(views[1])
        loss = self.loss(views, embeddings)
        self.log("loss", loss)
        if batch_index % SPREAD_EVERY_STEPS == 0:
            self.log("relative_spread", relative_spread(embeddings[0]))
        return loss

    def compared(self, criterion: torch.nn.Module, *vectors: torch.Tensor) -> torch.Tensor:
        """A loss of batches (N, D), in single precision whatever they come in."""
        with torch.autocast(vectors[0].device.type, enabled=False):
            loss: torch.Tensor = criterion(*(vector.float() for vector in vectors))
        return loss

    def loss(self, views: Views, embeddings: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The method's loss of two views and their embeddings (N, D)."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:
        """See `torch.nn.Module.train`; frozen statistics stay as they are in evaluation."""
        super().train(mode)
        if self.config.frozen_statistics:
            for module in self.modules_with_statistics():
                module.eval()
        return self

    def modules_with_statistics(self) -> Iterator[torch.nn.Module]:
        """The backbone's BatchNorms, of its copies too; those of the heads start from nothing."""
        for name, module in self.named_modules():
            if "features." in name and isinstance(module, torch.nn.BatchNorm2d):
                yield module

    def configure_optimizers(self) -> Any:
        """As the settings say, over everything that learns by gradient."""
        settings = self.config.optimizer
        optimizer = build_optimizer([p for p in self.parameters() if p.requires_grad], settings)
        if not settings.warmup_steps:
            return optimizer
        schedule = torch.optim.lr_scheduler.LinearLR(
            optimizer, 1 / (settings.warmup_steps + 1), total_iters=settings.warmup_steps
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class Byol(SelfSupervised):
    """Grill et al. 2020: predict a slowly moving copy's projection of the other view."""

    def __init__(self, backbone: Backbone, config: SelfSupervisionConfig) -> None:
        super().__init__(backbone, config)
        hidden, out = config.projector_hidden, config.projector_out
        self.projection = BYOLProjectionHead(backbone.dimension, hidden, out)
        self.prediction = BYOLPredictionHead(out, hidden, out)
        self.target_features = copy.deepcopy(self.features)
        self.target_projection = copy.deepcopy(self.projection)
        deactivate_requires_grad(self.target_features)
        deactivate_requires_grad(self.target_projection)
        self._criterion = NegativeCosineSimilarity()
        self._average = get_ema_multi_avg_fn(config.moving_average)

    def loss(self, views: Views, embeddings: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Mean negative cosine between predictions and the target's projections, both ways."""
        predicted = [self.prediction(self.projection(embedding)) for embedding in embeddings]
        with torch.no_grad():
            target = [self.target_projection(self.target_features(view)) for view in views]
        return 0.5 * (
            self.compared(self._criterion, predicted[0], target[1])
            + self.compared(self._criterion, predicted[1], target[0])
        )

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        """Let the target follow: the paper's moving average."""
        self._average(
            [*self.target_features.parameters(), *self.target_projection.parameters()],
            [*self.features.parameters(), *self.projection.parameters()],
            None,
        )


class SimClr(SelfSupervised):
    """Chen et al. 2020: tell the other view of a frame from all other frames in the batch."""

    def __init__(self, backbone: Backbone, config: SelfSupervisionConfig) -> None:
        super().__init__(backbone, config)
        self.projection = SimCLRProjectionHead(
            backbone.dimension, config.projector_hidden, config.projector_out
        )
        self._criterion = NTXentLoss(config.temperature, gather_distributed=_distributed(config))

    def loss(self, views: Views, embeddings: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """NT-Xent."""
        return self.compared(
            self._criterion, self.projection(embeddings[0]), self.projection(embeddings[1])
        )


class VicReg(SelfSupervised):
    """Bardes et al. 2022: views agree, every component varies, components do not co-vary."""

    def __init__(self, backbone: Backbone, config: SelfSupervisionConfig) -> None:
        super().__init__(backbone, config)
        # Two layers as in the paper's published code: 2048-8192-8192.
        self.projection = VICRegProjectionHead(
            backbone.dimension, config.projector_hidden, config.projector_out, num_layers=2
        )
        self._criterion = VICRegLoss(
            config.invariance_weight,
            config.variance_weight,
            config.covariance_weight,
            gather_distributed=_distributed(config),
        )

    def loss(self, views: Views, embeddings: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Weighted sum of invariance, variance and covariance."""
        return self.compared(
            self._criterion, self.projection(embeddings[0]), self.projection(embeddings[1])
        )


METHODS: dict[str, type[SelfSupervised]] = {"byol": Byol, "simclr": SimClr, "vicreg": VicReg}


def build_optimizer(
    parameters: list[torch.nn.Parameter], config: OptimizerConfig
) -> torch.optim.Optimizer:
    """Adam, or SGD with momentum."""
    if config.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=True,
        )
    return torch.optim.Adam(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def _distributed(config: SelfSupervisionConfig) -> bool:
    return config.run.devices * config.run.nodes > 1
