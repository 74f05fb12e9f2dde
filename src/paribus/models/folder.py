"""A trained model as a folder: model.json (config, data, where it comes from) and weights.safetensors.

A finished training cell of a run folder opens the same way.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from paribus.core.config import canonical_json, from_dict, to_dict
from paribus.core.errors import ConfigError, InputError
from paribus.data.source import Source
from paribus.models.decoder import DecoderLM
from paribus.models.weights import load_weights, save_weights

SCHEMA = "paribus.model/1"
DESCRIPTION, WEIGHTS = "model.json", "weights.safetensors"


class Trained(NamedTuple):
    model: DecoderLM
    data: Source
    origin: dict[str, Any]


def save_model(model: nn.Module, config: Any, data: Source, origin: dict[str, Any], folder: Path) -> None:
    """Write the model's folder; model.json comes last, so a folder that has one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    save_weights(model, folder / WEIGHTS)
    described = {"schema": SCHEMA, "model": to_dict(config), "data": to_dict(data), "origin": origin}
    text = json.dumps(json.loads(canonical_json(described)), indent=1, ensure_ascii=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def load_model(folder: Path) -> Trained:
    """A model with its weights, ready to read; InputError says what is missing."""
    for name in (DESCRIPTION, "cell.json"):
        if (folder / name).is_file():
            break
    else:
        raise InputError(
            f"{folder} holds no model (no model.json, no cell.json): give a folder made by `paribus train`, or a "
            "training cell of a run folder, RUN/cells/DIGEST"
        )
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder} has no {WEIGHTS}: it is not a finished training")
    try:
        described = json.loads((folder / name).read_text(encoding="utf-8"))
        config, data = (
            (described["model"], described["data"])
            if name == DESCRIPTION
            else (described["config"], described["task"]["data"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / name} is damaged ({error}): train the model again") from error
    if isinstance(config, dict) and config.get("part") == "AnyModule":
        raise InputError(
            f"{folder} holds a module of your own ({str(config.get('make')).lstrip(':')}), which only your code can "
            f"make: model = AnyModule.Config(make=..., options={config.get('options')}).build(), then "
            f"load_weights(model, Path({str(folder / WEIGHTS)!r})) from paribus.models.weights"
        )
    try:
        model = from_dict(DecoderLM.Config, config).build()
        source = from_dict(Source, data)
    except ConfigError as error:
        raise InputError(
            f"{folder / name}: {error}. If the part is your own, import its file first (--code FILE.py)"
        ) from error
    load_weights(model, folder / WEIGHTS)
    model.eval()
    return Trained(model, source, described.get("origin", {}))
