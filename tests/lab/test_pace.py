"""The time that remains: by what cells of a kind took, and never nothing while one remains."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.lab.cell import Cell, Environment
from paribus.lab.pace import Pace, Standing

HERE = Environment(torch="2.13", device="cpu", threads=1)


def cell(kind, arm, replicate=0, cost=10.0, weights=None):
    return Cell(
        kind=kind,
        arm=arm,
        phase="verdict",
        config={"arm": arm},
        task={},
        revisions={},
        replicate=replicate,
        environment=HERE,
        weights=weights,
        cost=cost,
    )


def left(pace, remaining, done=()):
    return pace.standing(done, [(one, 0.0) for one in remaining]).left


def test_before_anything_is_heard_the_price_counts():
    pace = Pace(price=lambda one: one.cost / 5)
    trainings = [cell("train", "plain", seed) for seed in range(3)]
    assert pace.standing([], [(one, 0.0) for one in trainings]) == Standing(0.0, 6.0)
    assert left(Pace(price=lambda one: one.cost / 5, jobs=2), trainings) == 3.0
    assert pace.standing(trainings[:1], [(one, 0.0) for one in trainings[1:]]).share == pytest.approx(1 / 3)
    assert Pace().standing([], [(one, 0.0) for one in trainings]).left is None


def test_slow_readers_are_a_kind_of_their_own():
    """A FLOP of a dense map takes a hundred times as long as one of a training: only its own readings say so."""
    pace = Pace(price=lambda one: one.cost / 10)
    pace.finished(cell("train", "plain"), 1.0)
    pace.finished(cell("read", "plain"), 1.0)
    pace.finished(cell("read", "dense"), 100.0)
    assert left(pace, [cell("train", "plain", 1)]) == pytest.approx(1.0)
    assert left(pace, [cell("read", "plain", 1)]) == pytest.approx(1.0)
    assert left(pace, [cell("read", "dense", 1)]) == pytest.approx(100.0)
    unheard = left(pace, [cell("read", "another", 1)])
    assert unheard == pytest.approx(50.5), "as the readings that were heard, all together"


def test_a_slow_machine_is_slow_for_what_was_not_heard_yet():
    pace = Pace(price=lambda one: one.cost / (1 if one.kind == "read" else 10))
    pace.finished(cell("train", "plain"), 3.0)  # where the plan said 1
    assert left(pace, [cell("read", "plain")]) == pytest.approx(30.0)


def test_without_a_price_the_first_cell_is_the_measure():
    pace = Pace()
    pace.finished(cell("measure", "a", cost=1.0), 7.0)
    assert left(pace, [cell("measure", "a", 1, cost=1.0), cell("measure", "b", cost=1.0)]) == pytest.approx(14.0)


def test_a_training_at_work_counts_by_its_steps():
    pace = Pace(price=lambda one: one.cost)
    running = cell("train", "plain")
    pace.at_work(running, 0.1, now=100.0)
    assert pace.standing([], [(running, 0.1)]).left == pytest.approx(9.0), "one sign says nothing of a speed"
    pace.at_work(running, 0.3, now=104.0)  # 0.2 of it in 4 seconds: 20 in all, twice the price
    assert pace.standing([], [(running, 0.3)]).left == pytest.approx(14.0)
    assert left(pace, [cell("train", "plain", 1)]) == pytest.approx(20.0)


def test_a_cell_that_goes_on_from_a_checkpoint_did_not_take_so_little():
    pace = Pace(price=lambda one: one.cost)
    resumed = cell("train", "plain")
    pace.at_work(resumed, 0.5, now=0.0)
    pace.finished(resumed, 5.0)  # seconds of its second half
    assert left(pace, [cell("train", "plain", 1)]) == pytest.approx(10.0)


def test_a_lost_worker_s_successor_begins_elsewhere():
    pace = Pace(price=lambda one: one.cost)
    lost = cell("train", "plain")
    pace.at_work(lost, 0.0, now=0.0)
    pace.at_work(lost, 0.8, now=8.0)
    pace.again(lost)
    pace.at_work(lost, 0.6, now=100.0)
    pace.finished(lost, 4.0)
    assert left(pace, [cell("train", "plain", 1)]) == pytest.approx(10.0)


def test_what_waits_for_another_cell_ends_after_it():
    pace = Pace(price=lambda one: one.cost, jobs=4)
    training = cell("train", "plain", cost=10.0)
    readings = [cell("read", arm, cost=3.0, weights=training) for arm in ("plain", "other")]
    assert left(pace, [training, *readings]) == pytest.approx(13.0)


@given(
    st.lists(st.tuples(st.sampled_from(["train", "read"]), st.floats(0, 1e12), st.floats(0, 1)), min_size=1),
    st.lists(st.floats(0, 1e5)),
    st.integers(1, 9),
)
def test_never_nothing_while_a_cell_remains(cells, heard, jobs):
    pace = Pace(price=lambda one: one.cost / 1e9, jobs=jobs)
    for seed, seconds in enumerate(heard):
        pace.finished(cell("train", "heard", seed, cost=1e9 * (seed % 3)), seconds)
    made = [(cell(kind, "arm", seed, cost=cost), share) for seed, (kind, cost, share) in enumerate(cells)]
    standing = pace.standing([replace(made[0][0], replicate=-1)], made)
    assert standing.left > 0
    assert 0 <= standing.share < 1
    assert pace.standing([one for one, _ in made], []) == Standing(1.0, 0.0)
