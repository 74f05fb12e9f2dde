"""FSDP2 over two gloo processes: the losses, weights and codes of one process, and a run that goes from two to one."""

import json
import os
import socket
import subprocess
import sys

import pytest

# Trains a small decoder on every process, one layer of it with codes that follow their keys; each writes the losses and
# the weights' sums.
SCRIPT = """
import json, os, sys
from pathlib import Path
import torch, torch.distributed as dist
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.vq import VQAttention
from paribus.data.synthetic.copy_task import Copy
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.quantizers.ema import EMA
from paribus.training.loop import Journal, train
from paribus.training.recipe import Recipe
from paribus.training.sharded import train_sharded, whole_weights

folder, until, alone = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "alone"
torch.set_num_threads(1)
quantised = VQAttention.Config(n_heads=2, quantizer=EMA.Config(n_codes=5), block=4)
config = DecoderLM.Config(
    n_layers=2,
    d_model=16,
    mixer=(GroupedQuery.Config(n_heads=2), quantised),
    feed_forward=FeedForward.Config(d_ff=24),
    vocab_size=8,
)
model = config.build()
draw(model, 3)
batches = Copy(vocab_size=8).prepare().batches(seed=3, batch=5, length=13)
recipe = Recipe(batch=5)

class Stop(Exception):
    pass

class Until(Journal):
    def __init__(self):
        self.losses = {}

    def event(self, event):
        self.losses[event["step"]] = event["loss"], event["norm"], event["batch"]
        if event["step"] + 1 == until:
            raise Stop

journal = Until()
dist.init_process_group("gloo")
try:
    if alone:
        train(model, batches, recipe, learning_rate=1e-2, steps=8, journal=journal)
    else:
        train_sharded(
            model, batches, recipe, learning_rate=1e-2, steps=8, journal=journal, progress=folder / "progress",
            every_steps=2,
        )
except Stop:
    pass
weights = {name: weight.double().square().sum().item() for name, weight in whole_weights(model).items()}
told = json.dumps({"losses": journal.losses, "weights": weights})
(folder / f"told{dist.get_rank()}.json").write_text(told)
dist.destroy_process_group()
os._exit(0)  # as the ranks of a cell do: a thread of gloo's may abort the process while the interpreter shuts down
"""


def run(tmp_path, world, until=99, how="sharded"):
    """What `world` processes tell, one like the other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path), str(until), how],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * world, errors
    told = [json.loads((tmp_path / f"told{rank}.json").read_text()) for rank in range(world)]
    assert all(other == told[0] for other in told)
    return told[0]


def close(one, other):
    assert one["losses"].keys() == other["losses"].keys()
    for step, (loss, norm, batch) in one["losses"].items():
        assert other["losses"][step][:2] == pytest.approx([loss, norm], abs=1e-5)
        assert other["losses"][step][2] == batch
    assert other["weights"] == pytest.approx(one["weights"], rel=1e-5)


@pytest.mark.slow
def test_two_processes_are_one_and_a_run_goes_on_on_one(tmp_path):
    plain = run(tmp_path, 1, how="alone")
    assert len(plain["losses"]) == 8
    begun = run(tmp_path, 2, until=5)
    assert list(begun["losses"]) == ["0", "1", "2", "3", "4"]
    # As if the process that renames had died in between; and the rows of a batch are no multiple of two.
    (tmp_path / "progress").rename(tmp_path / "progress.old")
    resumed = run(tmp_path, 1)
    assert list(resumed["losses"]) == ["4", "5", "6", "7"], "it goes on from the checkpoint after four steps"
    close(plain, {"losses": {**begun["losses"], **resumed["losses"]}, "weights": resumed["weights"]})
