"""The recipe: printed in full, checked, and bfloat16 only where it says so."""

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.training.precision import autocast
from paribus.training.recipe import Recipe


def test_the_default_recipe_is_the_one_that_is_promised():
    recipe = Recipe()
    assert recipe.optimizer.betas == (0.9, 0.95)
    assert recipe.optimizer.weight_decay == 0.1
    assert recipe.clip == 1
    assert (recipe.schedule.warmup, recipe.schedule.final) == (0.05, 0.1)
    assert recipe.dtype == "float32"


def test_the_description_names_everything():
    said = Recipe(batch=7, dtype="bfloat16").describe()
    for word in ("AdamW", "0.95", "weight_decay=0.1", "WarmupCosine", "clip 1", "batch 7 sequences", "bfloat16"):
        assert word in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clip": 0}, "clip = 0.0: expected a positive gradient norm"),
        ({"batch": 0}, "batch = 0: expected at least one sequence"),
        ({"dtype": "float16"}, "expected one of 'float32', 'bfloat16'"),
    ],
)
def test_impossible_recipes(change, said):
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        Recipe(**change)


@pytest.mark.parametrize(("dtype", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_matmuls_run_in_the_precision_asked_for(dtype, expected):
    with autocast(dtype, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
