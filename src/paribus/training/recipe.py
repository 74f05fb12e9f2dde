"""Everything about a run but the model, the data and the rate: the same for every arm, printed in every report."""

from typing import ClassVar, Literal

from paribus.core.config import Part, require
from paribus.training.optimizers.adamw import AdamW
from paribus.training.optimizers.base import OptimizerRecipe
from paribus.training.schedules.base import Schedule
from paribus.training.schedules.warmup_cosine import WarmupCosine


class Recipe(Part):
    source: ClassVar[str] = ""
    optimizer: OptimizerRecipe = AdamW()
    schedule: Schedule = WarmupCosine()
    clip: float = 1.0  # largest norm of the whole gradient
    batch: int = 32  # sequences a step
    dtype: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast, weights stay float32

    def check(self) -> None:
        require(self.clip > 0, f"clip = {self.clip}: expected a positive gradient norm")
        require(self.batch >= 1, f"batch = {self.batch}: expected at least one sequence a step")

    def describe(self) -> str:
        return f"{self.optimizer}, {self.schedule}, clip {self.clip:g}, batch {self.batch} sequences, {self.dtype}"


Recipe.examples = (Recipe(), Recipe(batch=7, dtype="bfloat16"))
