import torch

from paribus.generation.samplers.greedy import Greedy


def test_the_highest_and_of_equal_ones_the_first():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 3.0], [0.0, 1.0, 1.0]])
    assert Greedy().choose(logits, torch.zeros(3)).tolist() == [1, 0, 1]
