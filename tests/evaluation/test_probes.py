"""Distance probe, growing context and retrieval, on models whose answers are known."""

import math

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import InputError
from paribus.evaluation.distance_probe import distance_probe
from paribus.evaluation.growing_context import growing_context
from paribus.evaluation.reader import losses
from paribus.evaluation.retrieval import needle, pass_key, retrieve
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.tokenizer.bytes import Bytes


def decoder(position, seed=0):
    config = DecoderLM.Config(
        n_layers=2,
        d_model=16,
        mixer=GroupedQuery.Config(n_heads=2, position=position),
        feed_forward=FeedForward.Config(d_ff=16),
    )
    model = config.build().eval()
    draw(model, seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
    return model


def text(n, seed=0):
    return torch.randint(256, (n,), generator=torch.Generator().manual_seed(seed))


def test_losses_are_those_of_each_token():
    model, tokens = decoder(Rotary()), text(12)[None]
    with torch.no_grad():
        expected = -model(tokens).log_softmax(dim=-1)[0, 6:11].gather(1, tokens[0, 7:, None])[:, 0]
    assert torch.allclose(losses(model, tokens, 5)[0], expected, atol=1e-5)


class TestDistanceProbe:
    def test_the_text_as_it_was(self):
        model, tokens = decoder(Rotary()), text(20)
        probe = distance_probe(model, tokens, [10, 50], half=10)
        assert probe.at[10] == pytest.approx(float(losses(model, tokens[None], 9).mean()), abs=1e-5)
        assert probe.alone == pytest.approx(float(losses(model, tokens[None, 10:], 9).mean()), abs=1e-5)
        assert probe.at[50] != pytest.approx(probe.at[10], abs=1e-3)

    def test_tokens_before_every_text_stand_before_both_halves(self):
        model, tokens = decoder(Rotary()), text(20)
        begun = torch.cat([torch.tensor([7, 9]), tokens])
        probe = distance_probe(model, tokens, [10], half=10, begin=(7, 9))
        assert probe.at[10] == pytest.approx(float(losses(model, begun[None, :20], 9).mean()), abs=1e-5)
        second = torch.cat([torch.tensor([7, 9]), begun[10:20]])
        assert probe.alone == pytest.approx(float(losses(model, second[None], 9).mean()), abs=1e-5)

    def test_without_positions_distance_is_nothing(self):
        probe = distance_probe(decoder(NoPosition()), text(20), [10, 1000], half=10)
        assert probe.at[10] == pytest.approx(probe.at[1000], abs=1e-6)

    def test_beyond_its_window_rerope_knows_no_distance(self):
        probe = distance_probe(decoder(Rotary(map=ReRoPE(window=8))), text(20), [100, 10_000], half=10)
        assert probe.at[100] == pytest.approx(probe.at[10_000], abs=1e-5)

    def test_texts_and_distances_that_do_not_fit(self):
        with pytest.raises(InputError, match="19 tokens, the distance probe reads 20"):
            distance_probe(decoder(Rotary()), text(19), [10], half=10)
        with pytest.raises(InputError, match="distance of 9 would overlap"):
            distance_probe(decoder(Rotary()), text(20), [9], half=10)


class TestGrowingContext:
    def test_the_same_last_tokens_with_more_before_them(self):
        model, tokens, told = decoder(Rotary()), text(40), []
        found = growing_context(model, tokens, [32, 8], last=5, tell=lambda n, loss: told.append(n))
        assert found[8] == pytest.approx(float(losses(model, tokens[None, -9:], 5).mean()), abs=1e-5)
        assert told == [8, 32]

    def test_tokens_before_every_text_are_counted_in(self):
        model, tokens = decoder(Rotary()), text(40)
        window = torch.cat([torch.tensor([7, 9]), tokens[-7:]])
        found = growing_context(model, tokens, [8], last=5, begin=(7, 9))
        assert found[8] == pytest.approx(float(losses(model, window[None], 5).mean()), abs=1e-5)
        with pytest.raises(InputError, match=r"context of 8 tokens, 4 of them before the text, is shorter than the 5"):
            growing_context(model, tokens, [8], last=5, begin=(7,) * 4)

    def test_texts_that_are_too_short(self):
        with pytest.raises(InputError, match="40 tokens, contexts up to 40 need 41"):
            growing_context(decoder(Rotary()), text(40), [40], last=5)
        with pytest.raises(InputError, match="context of 4 tokens is shorter than the 5"):
            growing_context(decoder(Rotary()), text(40), [4], last=5)


class Copier:
    """Knows the answer when the fact lies within its last `reach` tokens: it says what followed the same 7 bytes."""

    def __init__(self, reach):
        self.reach = reach

    def __call__(self, tokens, positions=None, *, last=None):
        logits = torch.zeros(1, last, 256)
        row = tokens[0].tolist()
        for i in range(last):
            end = len(row) - last + i + 1
            seen = row[max(0, end - self.reach) : end]
            cue = seen[-7:]
            for at in range(len(seen) - 8, -1, -1):
                if seen[at : at + 7] == cue:
                    logits[0, i, seen[at + 7]] = 9.0
                    break
        return logits


class TestRetrieval:
    @pytest.mark.parametrize("fact", [pass_key(1), needle(2)], ids=["pass key", "needle"])
    @pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
    def test_what_can_be_reached_is_found(self, fact, depth):
        hay = list(b"xyzzy " * 200)
        assert retrieve(Copier(600), Bytes(), fact, 600, depth, text=hay).found
        near = retrieve(Copier(200), Bytes(), fact, 600, depth, text=hay)
        assert near.found == (depth == 1.0)

    def test_tokens_before_every_text_are_counted_in(self):
        read = []

        def spy(tokens, positions=None, *, last=None):
            read.append(tokens[0].tolist())
            return torch.zeros(1, last, 256)

        for begin in ((), (7, 9)):
            retrieve(spy, Bytes(), pass_key(0), 300, 0.0, begin=begin)
        without, after = read
        assert after[:2] == [7, 9]
        assert len(after) == len(without) == 299
        assert after[2:100] == without[:98]

    def test_the_loss_of_a_blind_model_is_that_of_a_guess(self):
        found = retrieve(Copier(0), Bytes(), pass_key(0), 300, 0.5)
        assert not found.found
        assert found.loss == pytest.approx(math.log(256))

    def test_facts_differ_by_seed_and_repeat(self):
        assert pass_key(3) == pass_key(3) != pass_key(4)
        assert len({needle(seed) for seed in range(20)}) > 5
        assert pass_key(3).answer.strip() in pass_key(3).statement

    def test_lengths_that_do_not_fit(self):
        with pytest.raises(InputError, match="20 tokens have no room for the fact"):
            retrieve(Copier(9), Bytes(), pass_key(0), 20, 0.5)
        with pytest.raises(InputError, match="give a longer one"):
            retrieve(Copier(9), Bytes(), pass_key(0), 400, 0.5, text=[1, 2, 3])
        with pytest.raises(InputError, match=r"depth = 1\.5"):
            retrieve(Copier(9), Bytes(), pass_key(0), 400, 1.5)
