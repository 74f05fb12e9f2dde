"""A module from elsewhere: how it is named, resized and read, and what is refused."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from paribus.core.config import digest, to_dict
from paribus.core.errors import ConfigError
from paribus.layers.parameters import draw, parameter
from paribus.models.any_module import AnyModule, sees_ahead


class Net(nn.Module):
    """An embedding and a causal convolution; `ahead` makes it see one token of the future."""

    def __init__(self, width: int = 5, vocab: int = 7, ahead: bool = False, form: str = "tensor"):
        super().__init__()
        self.embedding, self.out = nn.Embedding(vocab, width), nn.Linear(width, vocab)
        self.mix = nn.Conv1d(width, width, 3)
        self.ahead, self.form = ahead, form

    def forward(self, tokens):
        x = self.embedding(tokens).transpose(1, 2)
        x = self.mix(nn.functional.pad(x, (1, 1) if self.ahead else (2, 0)))
        logits = self.out(x.transpose(1, 2))
        forms = {
            "logits": SimpleNamespace(logits=logits),
            "tuple": (logits, None),
            "last": logits[:, -1:],
            "none": None,
        }
        return forms.get(self.form, logits)


def no_module(width=3):
    return width


def frozen():
    return nn.Identity()


@pytest.mark.parametrize("form", ["tensor", "logits", "tuple"])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_logits_are_found_in_every_form(form, length):
    torch.manual_seed(0)
    model = AnyModule.Config(make=Net, options={"form": form}).build()
    tokens = torch.randint(7, (3, length))
    model.module.form = "tensor"
    expected = model.module(tokens)
    model.module.form = form
    assert torch.equal(model(tokens), expected)
    assert torch.equal(model(tokens, last=1), expected[:, -1:])


@pytest.mark.parametrize(("form", "got"), [("last", r"\(2, 1, 7\)"), ("none", "NoneType")])
def test_what_is_no_logits(form, got):
    model = AnyModule.Config(make=Net, options={"form": form}).build()
    with pytest.raises(ConfigError, match=rf"the module of Net gave {got} for tokens \(2, 4\): expected logits"):
        model(torch.zeros((2, 4), dtype=torch.int64))


def test_the_width_that_may_be_changed():
    config = AnyModule.Config(make=Net, resize="width")
    assert config.d_ff == 5
    wider = config.with_d_ff(8)
    assert (wider.d_ff, wider.options, config.options) == (8, {"width": 8}, {})
    assert wider.build().module.out.in_features == 8
    fixed = AnyModule.Config(make=Net, options={"width": 6})
    assert fixed.d_ff is None
    with pytest.raises(ConfigError, match="has no width that may be changed: name the option"):
        fixed.with_d_ff(8)


def test_makes_that_have_no_name_of_their_own():
    def inner():
        return Net()

    for make in (lambda: Net(), inner, Net(), Net().forward, 3):
        with pytest.raises(ConfigError, match="expected a class or function with a name at the top of a file"):
            AnyModule.Config(make=make)


@pytest.mark.parametrize("resize", ["form", "ahead", "nothing"])
def test_a_resize_that_is_no_integer(resize):
    with pytest.raises(ConfigError, match=f"resize = {resize!r}: expected the name of an integer option of Net"):
        AnyModule.Config(make=Net, resize=resize)


def test_what_a_make_gives():
    with pytest.raises(ConfigError, match=r"no_module gave int: expected an nn\.Module"):
        AnyModule.Config(make=no_module).build()
    with pytest.raises(ConfigError, match="without parameters"):
        AnyModule.Config(make=frozen).build()


def test_options_are_part_of_the_name():
    configs = [AnyModule.Config(make=Net, options={"width": w}) for w in (3, 4)]
    assert to_dict(configs[0])["make"].endswith(":Net")
    assert len({digest(config) for config in configs}) == 2


def test_looking_ahead_is_seen():
    for length in (2, 3, 8, 31):
        torch.manual_seed(1)
        assert sees_ahead(Net(), length, 7) is None
        assert sees_ahead(Net(ahead=True), length, 7) == (length + 1) // 2 - 1
    assert sees_ahead(Net(), 1, 7) is None


class Tagged(nn.Module):
    """Its own start for one parameter, the package's for the other."""

    def __init__(self):
        super().__init__()
        self.own = nn.Parameter(torch.randn(3))
        self.ours = parameter((3,), std=1.0)


def test_tagged_parameters_are_drawn_by_name():
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        models.append(AnyModule.Config(make=Tagged).build())
        draw(models[-1], 5)
    first, second = models
    assert torch.equal(first.module.ours, second.module.ours)
    assert not torch.equal(first.module.own, second.module.own)
