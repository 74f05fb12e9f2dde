"""What a plan trains and reads, and what its cells are named by."""

import json
from dataclasses import replace

import pytest

import paribus.lab.cell
from paribus.core.errors import ConfigError
from paribus.data.text_source import Text
from paribus.lab.claim import Arm
from paribus.lab.load import load
from paribus.lab.plan import plan_json, with_dependencies
from paribus.losses.output.cross_entropy import CrossEntropy
from paribus.losses.output.earth_mover import EarthMover
from paribus.normalizers.softmax import Softmax
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from paribus.text.corpora.folder import Folder

RATES = {"rotary": 1e-2, "none": 1e-2, "reader": 1e-2, "further": 1e-2}


def readers(claim):
    """The claim with arms that share the weights of one, so that no two trainings are compared."""
    rotary = claim.arms[0]
    reader = Arm("reader", rotary.config.with_mixer(position=Rotary(map=ReRoPE(window=4))), reads="rotary")
    return replace(claim, arms=[rotary, reader], predicts=[replace(claim.predicts[0], than="reader")])


def further(claim):
    """The claim with an arm that is trained on from the weights of another."""
    return replace(claim, arms=[*claim.arms, Arm("further", claim.arms[0].config, starts_from="rotary")])


def mover(claim, **changes):
    """The claim with an arm that is trained on from another by a loss of its own."""
    arm = Arm("further", claim.arms[0].config, starts_from="rotary", loss=EarthMover.Config(**changes))
    return replace(claim, arms=[*claim.arms, arm])


def digests(plan):
    return [cell.digest for cell in with_dependencies(plan.verdict_cells(RATES))]


def test_what_names_a_cell(laboratory, monkeypatch):
    """Everything that the numbers depend on, and nothing else."""
    claim, plan = laboratory.claim, laboratory.plan()
    names = digests(plan)
    assert len(set(names)) == len(names)
    assert digests(laboratory.plan(replace(claim, statement="Other words.", version=2))) == names
    assert digests(laboratory.plan(seeds=3))[:2] == names[:2]

    task, here = claim.task, plan.environment
    others = [  # one thing changed in each
        laboratory.plan(environment=replace(here, threads=2)),
        laboratory.plan(environment=replace(here, torch="2.13.1")),
        laboratory.plan(environment=replace(here, device="NVIDIA H100")),
        laboratory.plan(replace(claim, task=replace(task, recipe=replace(task.recipe, dtype="bfloat16")))),
        laboratory.plan(replace(claim, task=replace(task, recipe=replace(task.recipe, clip=2.0)))),
        laboratory.plan(replace(claim, task=replace(task, train_length=10))),
        replace(plan, manifest={"digest": "0" * 64}),
        laboratory.plan(profile="smoke"),
    ]
    for other in others:
        assert not set(digests(other)) & set(names)
    assert set(digests(laboratory.plan(replace(claim, arms=claim.arms[::-1])))) == set(names)
    monkeypatch.setattr(Softmax, "revision", Softmax.revision + 1)
    assert not set(digests(laboratory.plan())) & set(names)
    monkeypatch.undo()
    assert digests(laboratory.plan()) == names
    monkeypatch.setattr(paribus.lab.cell, "ENGINE_REVISION", -1)
    assert not set(digests(laboratory.plan())) & set(names)


def test_a_loss_names_the_cells_that_are_trained_by_it_and_no_others(laboratory):
    claim = laboratory.claim
    assert "loss" not in json.loads(plan_json(laboratory.plan(further(claim))))["arms"][2]
    plain, by_loss, other = (
        {cell.arm: cell.digest for cell in laboratory.plan(one).verdict_cells(RATES) if cell.replicate == 0}
        for one in (further(claim), mover(claim), mover(claim, share=0.4))
    )
    assert plain["rotary"] == by_loss["rotary"]
    assert len({plain["further"], by_loss["further"], other["further"]}) == 3
    plan = laboratory.plan(mover(claim))
    assert json.loads(plan_json(plan))["arms"][2]["loss"]["part"] == "EarthMover"
    training = next(cell.weights for cell in plan.verdict_cells(RATES) if cell.arm == "further")
    assert training.loss == EarthMover.Config()
    assert training.revisions["EarthMover"] == EarthMover.Config.revision
    assert training.weights.loss is None


def test_what_a_loss_costs_is_told_and_counted(laboratory):
    claim = laboratory.claim
    plan = laboratory.plan(mover(claim))
    plain, moved = claim.arms[0], plan.claim.arm("further")
    assert plan.training_flops(moved) - plan.training_flops(plain) == 2 * 8 * 16  # vocabulary x d_model
    assert plan.training_flops(plain) == 3 * plan.sized["rotary"].flops_per_token
    cost = {cell.arm: cell.weights.cost for cell in plan.verdict_cells(RATES)}
    assert cost["further"] - cost["rotary"] == 2 * 8 * 16 * plan.steps * plan.tokens_per_step
    matched = replace(mover(claim), task=replace(claim.task, match="flops"))
    with pytest.raises(ConfigError, match="the losses of further cost more than cross entropy"):
        laboratory.plan(matched)
    laboratory.plan(replace(mover(claim, ground="identity"), task=matched.task))


def test_a_metric_renames_readings_only(laboratory):
    claim = laboratory.claim
    windows = replace(claim.task, metric=replace(claim.task.metric, windows=8))
    one, two = (
        with_dependencies(laboratory.plan(c).verdict_cells(RATES)) for c in (claim, replace(claim, task=windows))
    )
    same = {cell.digest for cell in one} & {cell.digest for cell in two}
    assert same == {cell.digest for cell in one if cell.kind == "train"}


def test_neither_phase_nor_price_names_a_cell(laboratory):
    cell = laboratory.plan().verdict_cells(RATES)[0]
    assert replace(cell, phase="tune", cost=1e9, arm="other").digest == cell.digest
    assert replace(cell, perturbed=True).digest != cell.digest


def test_the_twin_is_there_exactly_where_two_trainings_are_compared(laboratory):
    plan = laboratory.plan()
    twins = [cell for cell in plan.verdict_cells(RATES) if cell.phase == "aa"]
    assert plan.control.name == "none"  # the one that is predicted to be worse
    assert [(cell.arm, cell.replicate, cell.weights.perturbed) for cell in twins] == [
        ("none", 0, True),
        ("none", 1, True),
    ]
    plain = {cell.weights.digest for cell in plan.verdict_cells(RATES) if cell.phase != "aa"}
    assert not plain & {cell.weights.digest for cell in twins}

    plan = laboratory.plan(readers(laboratory.claim))
    assert plan.control is None
    assert all(cell.phase == "verdict" for cell in plan.verdict_cells(RATES))


def test_the_twin_of_a_further_training_starts_where_the_arm_starts(laboratory):
    claim = further(laboratory.claim)
    prediction = replace(claim.predicts[0], arm="rotary", than="further")
    plan = laboratory.plan(replace(claim, predicts=[prediction]))
    cells = {(cell.arm, cell.replicate, cell.phase): cell for cell in plan.verdict_cells(RATES)}
    twin, own = cells["further", 0, "aa"].weights, cells["further", 0, "verdict"].weights
    assert twin.perturbed
    assert not own.perturbed
    assert twin.weights.digest == own.weights.digest == cells["rotary", 0, "verdict"].weights.digest
    assert not twin.weights.perturbed


def test_readers_take_the_weights_and_the_width_of_the_trained_arm(laboratory):
    claim = readers(laboratory.claim)
    wide = claim.arms[1].config.with_d_ff(64)
    plan = laboratory.plan(replace(claim, arms=[claim.arms[0], replace(claim.arms[1], config=wide)]))
    assert plan.sized["reader"].config == claim.arms[1].config
    rotary, reader = plan.verdict_cells(RATES)[:2]
    assert rotary.weights.digest == reader.weights.digest
    assert rotary.digest != reader.digest
    assert len(with_dependencies(plan.verdict_cells(RATES))) == 2 * 3


def test_needed_cells_come_first_and_once(laboratory):
    cells = with_dependencies(laboratory.plan(further(laboratory.claim)).verdict_cells(RATES))
    seen = set()
    for cell in cells:
        assert cell.weights is None or cell.weights.digest in seen
        assert cell.digest not in seen
        seen.add(cell.digest)


def test_widths_are_matched_to_the_first_arm(laboratory):
    claim = laboratory.claim
    narrow = Arm("none", claim.arms[1].config.with_d_ff(4))
    plan = laboratory.plan(replace(claim, arms=[claim.arms[0], narrow]))
    assert plan.sized["none"].config.feed_forward.d_ff == 32
    assert plan.sized["none"].residual == 0
    deep = Arm("none", replace(claim.arms[1].config, n_layers=40))
    with pytest.raises(ConfigError, match="arm 'none' against 'rotary': parameters cannot be matched"):
        laboratory.plan(replace(claim, arms=[claim.arms[0], deep]))
    free = replace(claim, arms=[claim.arms[0], deep], task=replace(claim.task, match="none"))
    assert laboratory.plan(free).sized["none"].config.n_layers == 40


def test_seeds_are_prolonged_with_fresh_ones(laboratory):
    claim = laboratory.claim
    tuned = replace(claim.profiles["tuned"], seeds=(4, 9), tuning_seeds=(10, 12))
    claim = replace(claim, profiles={"laptop": tuned})
    assert tuple(laboratory.plan(claim, seeds=1).profile.seeds) == (4,)
    assert tuple(laboratory.plan(claim, seeds=2).profile.seeds) == (4, 9)
    assert tuple(laboratory.plan(claim, seeds=5).profile.seeds) == (4, 9, 11, 13, 14)
    for none in (0, -1):
        with pytest.raises(ConfigError, match=f"--seeds {none}: expected at least 1; a verdict needs at least 6"):
            laboratory.plan(claim, seeds=none)


def test_a_vocabulary_of_its_own_is_refused(laboratory):
    claim = laboratory.claim
    other = Arm("none", replace(claim.arms[1].config, vocab_size=9))
    with pytest.raises(ConfigError, match="arm 'none' has vocab_size = 9, the data has 8: make them equal"):
        laboratory.plan(replace(claim, arms=[claim.arms[0], other]))


def test_the_plan_says_everything_and_is_one_digest(laboratory):
    plan = laboratory.plan(profile="tuned")
    described = json.loads(plan_json(plan))
    assert described["schema"] == "paribus.plan/1"
    assert [arm["name"] for arm in described["arms"]] == ["rotary", "none"]
    assert described["predicts"][0]["dated"] == "2026-11-22"
    assert described["settings"]["learning_rates"] == [0.01, 0.02]
    assert described["manifest"] == plan.manifest["digest"]
    assert laboratory.plan(profile="tuned").digest == plan.digest
    assert laboratory.plan(profile="tuned", seeds=3).digest != plan.digest
    assert plan.searched
    assert (plan.steps, plan.tuning_steps) == (10, 5)


def test_margins_are_those_of_the_profile(laboratory):
    claim = laboratory.claim
    strict = replace(claim.profiles["laptop"], margins={"helps": 0.5})
    assert laboratory.plan(replace(claim, profiles={"laptop": strict})).predictions[0].margin == 0.5
    assert laboratory.plan().predictions[0].margin == 0.1


def test_a_changed_text_is_another_cell(laboratory, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = tmp_path / "text"
    text.mkdir()
    for i in range(60):
        (text / f"{i}.txt").write_text(f"text {i} " * 40)
    claim = laboratory.claim
    arms = [Arm(arm.name, replace(arm.config, vocab_size=256)) for arm in claim.arms]
    claim = replace(claim, arms=arms, task=replace(claim.task, data=Text(corpus=Folder(path=str(text)))))
    names = digests(laboratory.plan(claim))
    assert digests(laboratory.plan(claim)) == names
    (text / "7.txt").write_text("another text")
    assert not set(digests(laboratory.plan(claim))) & set(names)


MINE = '''"""Prose."""
from dataclasses import replace
from paribus.lab.load import load
from paribus.lab.claim import Arm, Measured, Profile
from paribus.normalizers.softmax import Softmax
from paribus.normalizers.base import Normalizer

class Mine(Normalizer):
    source = "a test"
    def __call__(self, scores, mask=None):
        return Softmax()(scores, mask) * {factor}

def measure(config, replicate):
    return {{"loss@12": float(replicate) * {factor}}}

tiny = load({tiny!r})[1]
claim = replace(tiny, statement={statement!r}, {change})
'''


def test_a_compiler_is_part_of_a_training_s_name(laboratory):
    """And of nothing else: without one, plans and cells have the names that they had before there were any."""
    plain = laboratory.plan()
    profile = replace(laboratory.claim.profiles["laptop"], compiler="aot_eager")
    compiled = laboratory.plan(replace(laboratory.claim, profiles={"laptop": profile}))
    assert "compiler" not in plain.described()["settings"]
    assert compiled.described()["settings"]["compiler"] == "aot_eager"
    ours, theirs = (plan.verdict_cells({"rotary": 1e-2, "none": 1e-2})[0] for plan in (plain, compiled))
    assert "compiler" not in ours.weights.described()["task"]
    assert theirs.weights.described()["task"]["compiler"] == theirs.weights.compiler == "aot_eager"
    assert "compiler" not in theirs.described()["task"]


def test_what_cannot_be_compiled(laboratory):
    def planned(arms=laboratory.claim.arms, **settings):
        profile = replace(laboratory.claim.profiles["laptop"], **settings)
        return laboratory.plan(replace(laboratory.claim, arms=arms, profiles={"laptop": profile}))

    with pytest.raises(ConfigError, match=r"no backend of torch.compile; did you mean .*inductor"):
        planned(compiler="induktor")
    with pytest.raises(ConfigError, match="a sharded model is not compiled"):
        planned(compiler="inductor", processes=2)
    own = [replace(laboratory.claim.arms[0], loss=CrossEntropy()), laboratory.claim.arms[1]]
    with pytest.raises(ConfigError, match="rotary has a loss of its own"):
        planned(arms=own, compiler="inductor")


@pytest.mark.parametrize(
    "change",
    [
        "arms=[tiny.arms[0], Arm('none', tiny.arms[1].config.with_mixer(normalizer=Mine()))]",
        "task=Measured(measure=measure, unit='draw', units={'loss@12': 's'}), profiles={'laptop': Profile(seeds=(0,))}",
    ],
)
def test_edited_code_of_the_user_is_another_cell(laboratory, tmp_path, change):
    """A model or a measure outside of the package has no revision: its code counts, a reworded claim does not."""

    def cells(name, **fields):
        path = tmp_path / f"{name}.py"
        path.write_text(MINE.format(tiny=str(laboratory.tiny), change=change, **fields))
        plan = laboratory.plan(load(str(path))[1])
        return {cell.digest for cell in plan.verdict_cells(RATES) if cell.arm == "none"}

    first = cells("a", factor=1, statement="This.")
    assert cells("b", factor=1, statement="That.") == first
    assert not cells("c", factor=2, statement="This.") & first
