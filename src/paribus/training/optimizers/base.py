"""Contract of the family: a frozen recipe that makes a torch optimizer for a model."""

from abc import ABC, abstractmethod

import torch
from torch import nn

from paribus.core.config import Part


class OptimizerRecipe(Part, ABC):
    @abstractmethod
    def make(self, model: nn.Module) -> torch.optim.Optimizer:
        """An optimizer over the model's parameters, in the order of named_parameters, at learning rate 1.

        The loop sets the rate before every step.
        """
