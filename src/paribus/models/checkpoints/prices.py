"""What a config.json of Hugging Face costs: also of models that cannot be read here, such as DeepSeek-V3.

Prices depend on sizes alone, so how positions are coded and how experts are chosen is left out of the account.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus.models.checkpoints.architecture import Architecture
from paribus.models.checkpoints.open import KINDS, config_of
from paribus.models.decoder import DecoderLM

ALSO: dict[str, Architecture] = {"deepseek_v3": KINDS["deepseek_v2"]}  # the same layers, of other sizes
UNTURNED = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "partial_rotary_factor": 1.0}
GREEDY = {"topk_method": "greedy", "scoring_func": "softmax", "norm_topk_prob": False, "routed_scaling_factor": 1.0}


def priced(told: Mapping[str, Any], path: Path) -> DecoderLM.Config:
    """A decoder of the same price. told: the content of config.json. Raises InputError for another architecture."""
    return config_of({**told, **UNTURNED, **GREEDY}, path, {**KINDS, **ALSO}, "can be priced")
