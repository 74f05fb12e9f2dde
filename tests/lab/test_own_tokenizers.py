"""Arms that read the same bytes through tokenizers of their own, at equal FLOPs a span."""

from dataclasses import replace

import pytest

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.data.text_source import Text
from paribus.evaluation.bits_per_byte import BitsPerByte
from paribus.lab.cell import Environment
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.plan import make_plan
from paribus.lab.predictions import NotWorse
from paribus.lab.work import do
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.rotary import Rotary
from paribus.text.corpora import Folder, PythonStdlib
from paribus.tokenizer.bytepiece import BytePiece
from paribus.training.price import flops
from paribus.training.recipe import Recipe

LINE = "import os\n\n\ndef f(self):\n    return os.path.join(self.name, 12)\n"
SPAN = 64
PIECES = 19  # of a span of these texts


@pytest.fixture
def claim(tmp_path):
    (tmp_path / "texts").mkdir()
    for i in range(60):
        (tmp_path / "texts" / f"{i}.py").write_text(LINE.replace("12", str(i)) * 9)
    data = Text(corpus=Folder(path=str(tmp_path / "texts")))
    bytes_model = DecoderLM.Config(
        n_layers=1,
        d_model=16,
        mixer=GroupedQuery.Config(n_heads=2, position=Rotary()),
        feed_forward=FeedForward.Config(d_ff=800, activation=SquaredReLU()),
    )
    pieces = replace(data, tokenizer=BytePiece())
    return Claim(
        statement="Pieces are as good as bytes.",
        source="a test",
        arms=[
            Arm("bytes", bytes_model, length=SPAN),
            Arm("pieces", replace(bytes_model, vocab_size=pieces.vocab_size), data=pieces, length=PIECES),
        ],
        task=Trained(
            data=data,
            train_length=SPAN,
            span=SPAN,
            metric=BitsPerByte(span=SPAN, last=32, windows=9),
            recipe=Recipe(batch=3),
            match="flops per span",
        ),
        profiles={"smoke": Profile(budget=Budget(tokens=4 * 3 * SPAN), seeds=range(2), learning_rates=(1e-2,))},
        primary="as-good",
        predicts=[
            NotWorse(
                "as-good", "pieces", than="bytes", metric="bits per byte", margin=1.0, provenance="blind",
                dated="2026-11-22",
            )
        ],
    )  # fmt: skip


def plan_of(claim):
    return make_plan(claim, "own", "smoke", Environment.here("cpu", 1), {})


def test_a_span_costs_the_same(claim):
    plan = plan_of(claim)
    costs = [flops(plan.sized[arm.name].config, arm.length) for arm in claim.arms]
    assert costs[1] == pytest.approx(costs[0], rel=0.005)
    assert plan.sized["pieces"].config.feed_forward.d_ff != 800
    assert (plan.steps, plan.tokens_per_step, plan.counted) == (4, 3 * SPAN, "bytes")
    cells = {cell.arm: cell for cell in plan.verdict_cells({"bytes": 1e-2, "pieces": 1e-2})}
    assert cells["pieces"].weights.cost == pytest.approx(cells["bytes"].weights.cost, rel=0.005)
    assert cells["pieces"].task["data"]["tokenizer"]["part"] == "BytePiece"
    assert cells["pieces"].weights.task["span"] == SPAN
    assert plan.described()["arms"][1]["length"] == PIECES


def test_cells_read_the_same_bytes(claim, tmp_path):
    plan = plan_of(claim)
    path = claim.task.data.prepare(tmp_path / "cache").path
    results = {}
    for cell in plan.verdict_cells({"bytes": 1e-2, "pieces": 1e-2}):
        data = claim.data_of(claim.arm(cell.arm))
        task, stream = replace(claim.task, data=data), data.open(path)
        trained = do(cell.weights, task, stream, tmp_path, lambda *_: None)
        read = do(cell, task, stream, tmp_path, lambda *_: None)
        results[cell.arm, cell.replicate] = trained["order"], read["windows"], read["metrics"]["bits per byte"]
    for seed in range(2):
        assert results["bytes", seed][:2] == results["pieces", seed][:2]
    assert all(2 < bits < 9 for _, _, bits in results.values())


def test_a_wrong_length_is_found(claim, tmp_path):
    from paribus.cli.conduct import check_data

    stream = claim.task.data.prepare(tmp_path / "cache")
    check_data(claim, stream)
    wrong = replace(claim, arms=[claim.arms[0], replace(claim.arms[1], length=30)])
    with pytest.raises(ConfigError, match=r"arm 'pieces' says that a span is 30 .*: write length=19"):
        check_data(wrong, stream)


def test_what_does_not_fit(claim):
    with pytest.raises(ConfigError, match="belong to a task with a span"):
        replace(claim, arms=[claim.arms[0], replace(claim.arms[1], length=None)])
    other = Text(corpus=PythonStdlib(), tokenizer=BytePiece())
    with pytest.raises(ConfigError, match="all arms read the same text"):
        replace(claim, arms=[claim.arms[0], replace(claim.arms[1], data=other)])
    with pytest.raises(ConfigError, match="matched in 'flops per span'"):
        replace(claim.task, match="parameters")
    with pytest.raises(ConfigError, match="matched in 'flops per span'"):
        replace(claim.task, span=None)
    with pytest.raises(ConfigError, match="at least 2 bytes"):
        replace(claim.task, span=1)
    with pytest.raises(ConfigError, match="has vocab_size = 256, the data has 1022"):
        plan_of(replace(claim, arms=[claim.arms[0], replace(claim.arms[1], config=claim.arms[0].config)]))
