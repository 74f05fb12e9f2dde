"""One query over runs of keys: the kernel is what the products give, and takes no more than it can."""

import warnings

import pytest
import torch

from paribus.attention import one_query
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.visible import Visible
from paribus.attention.one_query import Run
from paribus.core.discovery import members
from paribus.layers.parameters import draw
from paribus.normalizers.softmax import Softmax
from paribus.normalizers.sparsemax import Sparsemax
from paribus.ops import kernels
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.rotary import Rotary

SOFTMAX = Softmax()
MAPS = [one for cls in members(PositionMap) for one in cls.examples]


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def runs_of(sizes, batch=2, heads=6, groups=2, d=13, e=70, dtype=torch.float32):
    """Each of a query, keys and values of its own, keys and values being strided views."""
    return [
        Run(
            torch.randn(batch, heads, 1, d).to(dtype),
            torch.randn(batch, groups, n + 3, d).to(dtype)[:, :, 1 : n + 1],
            torch.randn(batch, n, groups, e).to(dtype).transpose(1, 2),
        )
        for n in sizes
    ]


def products(runs, mask=None, normalizer=SOFTMAX, dtype=torch.float64):
    return one_query.one_query(
        [Run(*(x.to(dtype) for x in run)) for run in runs], scale=0.3, normalizer=normalizer, mask=mask
    )


# Two roundings of a sum of 24 bits; one rounding of 8.
CLOSE = {torch.float32: {"rtol": 2e-5, "atol": 2e-6}, torch.bfloat16: {"rtol": 2**-8, "atol": 1e-5}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((1,), {}),
        ((127, 1, 130), {"d": 64, "e": 64}),
        ((1024,), {"groups": 6}),
        ((1, 2050), {"groups": 1, "d": 32, "e": 5}),
        ((700, 1025), {"batch": 1, "heads": 3, "groups": 3, "d": 1, "e": 1}),
        ((5, 0, 3), {"d": 33, "e": 129}),
    ],
)
def test_the_kernel_is_the_products(dtype, sizes, shape, threads):
    runs = runs_of(sizes, dtype=dtype, **shape)
    found = kernels.one_query(runs, 0.3)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), products(runs), **CLOSE[dtype])


def test_it_does_not_depend_on_the_threads():
    runs, before = runs_of((3000, 1500)), torch.get_num_threads()
    found = []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        found.append(kernels.one_query(runs, 0.3))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("rows", [1, 2])
def test_what_is_not_seen(rows, threads):
    runs = runs_of((1500, 700))
    mask = torch.rand(rows, 1, 1, 2200) < 0.3
    mask[:, ..., :1300] = False  # nothing of the first stretch, nor of some blocks of the second
    torch.testing.assert_close(
        kernels.one_query(runs, 0.3, mask[:, 0, 0]).double(), products(runs, mask), **CLOSE[torch.float32]
    )
    mask[-1] = False
    nothing = kernels.one_query(runs, 0.3, mask[:, 0, 0])
    assert bool((nothing[-1] == 0).all())


def test_large_scores_and_scores_that_are_no_numbers():
    [run] = runs_of((300,), batch=1, heads=2, groups=2)
    big = Run(run.query * 1e4, run.keys, run.values)
    torch.testing.assert_close(kernels.one_query([big], 0.3).double(), products([big]), rtol=1e-3, atol=1e-4)
    run.keys[0, 1, 200] = torch.nan
    found = kernels.one_query([run], 0.3)
    assert bool(found[0, 1].isnan().all())
    assert not found[0, 0].isnan().any()


def test_when_the_kernel_is_asked():
    runs = runs_of((2000,))
    mask = torch.ones(2, 1, 1, 2000, dtype=torch.bool)
    assert one_query.streamed(runs, Softmax(), mask, one_query.LARGE)
    assert not one_query.streamed(runs_of((20,)), Softmax(), None, one_query.LARGE)
    assert not one_query.streamed(runs, Sparsemax(), None, 0)
    assert one_query.streamed(runs, Softmax(), mask[:1], one_query.LARGE)
    assert not one_query.streamed(runs, Softmax(), mask.expand(2, 6, 1, 2000), 0)
    assert not one_query.streamed(runs, Softmax(), mask.to("meta"), 0)
    assert not one_query.streamed([Run(*(x.double() for x in runs[0]))], Softmax(), None, 0)
    asking = [Run(runs[0].query.requires_grad_(), *runs[0][1:])]
    assert not one_query.streamed(asking, Softmax(), None, 0)
    with torch.no_grad():
        assert one_query.streamed(asking, Softmax(), None, 0)


def test_other_normalizers_have_products():
    runs = runs_of((20, 31))
    whole = products([Run(runs[0].query, *(torch.cat([run[i] for run in runs], dim=2) for i in (1, 2)))])
    same = [Run(runs[0].query, run.keys, run.values) for run in runs]
    torch.testing.assert_close(products(same), whole)
    weights = products(same, normalizer=Sparsemax())
    assert not torch.allclose(weights, whole)


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("map", MAPS, ids=repr)
@torch.no_grad()
def test_a_decoded_token_is_that_of_the_products(map, dtype, padding, monkeypatch):
    """Through a layer and its cache, past the end of a window."""
    config = GroupedQuery.Config(d_model=24, n_heads=4, n_kv_heads=2, position=Rotary(base=100.0, map=map))
    layer = config.build()
    draw(layer, 0)
    layer.to(dtype)
    x = torch.randn(2, 23, 24).to(dtype)
    at = (torch.arange(23) - torch.tensor([[0], [padding]])).clamp(min=0)
    seen = Visible(valid=torch.arange(23) >= torch.tensor([[0], [padding]]))

    def decoded():
        state, found = layer.start(2, 23, dtype, x.device), []
        for n in range(23):
            here = slice(n, n + 1)
            y, state = layer.prefill(x[:, here], at[:, here], state, seen if padding > 0 else None)
            found.append(y)
        return torch.cat(found, dim=1)[:, padding:]

    slow = decoded()
    taken = []
    kernel = kernels.one_query
    monkeypatch.setattr(kernels, "one_query", lambda *given: (taken.append(1), kernel(*given))[1])
    monkeypatch.setattr(one_query, "LARGE", 0)
    monkeypatch.setattr(one_query, "SHARED", 0)
    fast = decoded()
    assert taken or (map.is_identity and dtype == torch.bfloat16) or not map.relative
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2**-5, "atol": 2**-6}
    torch.testing.assert_close(fast, slow, **close)


@pytest.mark.parametrize("map", [ReRoPE(window=5), StreamingLLM(window=5, sinks=2)], ids=repr)
@torch.no_grad()
def test_a_map_can_be_compiled(map):
    """And Dynamo, which warns of caches, is silent."""
    layer = GroupedQuery.Config(d_model=24, n_heads=4, n_kv_heads=2, position=Rotary(base=100.0, map=map)).build()
    draw(layer, 0)
    x, at = torch.randn(2, 13, 24), torch.arange(13)[None]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*cache")
        compiled = torch.compile(layer, backend="eager")(x, at)
    torch.testing.assert_close(compiled, layer(x, at))
