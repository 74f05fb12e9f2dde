"""`paribus models`, and generation with a checkpoint."""

import shutil
from pathlib import Path

from paribus.models.checkpoints import get

TINY = Path(__file__).parents[1] / "models" / "checkpoints" / "fixtures" / "tiny-llama"


def test_the_known_ones_are_listed(paribus_command):
    said = paribus_command("models", "list")
    assert "smollm2" in said.out
    assert get.KNOWN["smollm2"].about in said.out


def test_an_unknown_name(paribus_command):
    said = paribus_command("models", "get", "smolm2")
    assert said.code == 2
    assert "no known model 'smolm2'; did you mean smollm2?" in said.err


def test_a_checkpoint_without_a_tokenizer_cannot_write_text(paribus_command, tmp_path):
    folder = shutil.copytree(TINY, tmp_path / "tiny")
    said = paribus_command("generate", str(folder), "--prompt", "a")
    assert said.code == 2
    assert "brings no tokenizer that can be read here" in said.err
