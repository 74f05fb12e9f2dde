"""What is wrong with a claim's name or file, said with the line and the nearest words."""

import sys

import pytest

from paribus.core.errors import InputError
from paribus.lab.load import load


@pytest.fixture
def told(tmp_path):
    def told(text, name="my_claim.py"):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            load(str(path))
        return str(caught.value).replace(f"{tmp_path}/", "")

    return told


def test_claims_of_the_library():
    name, claim = load("rerope")
    assert name == "rerope"
    assert claim.primary == "longer"
    with pytest.raises(
        InputError, match=r"unknown claim 'rerop': did you mean rerope.*\(`paribus claims` lists them\)"
    ):
        load("rerop")
    for word in ("nowhere.py", "no/where", "."):
        with pytest.raises(InputError, match=r"there is no file|unknown claim"):
            load(word)


def test_a_file_of_the_user(laboratory, tmp_path):
    (tmp_path / "my_model.py").write_text("WORD = 'beside'\n")
    path = tmp_path / "my_idea.py"
    tiny = str(laboratory.tiny)
    path.write_text(
        "from dataclasses import replace\nfrom my_model import WORD\nfrom paribus.lab.load import load\n"
        f"claim = replace(load({tiny!r})[1], statement=WORD)\n"
    )
    name, claim = load(str(path))
    assert (name, claim.statement) == ("my-idea", "beside")
    assert load(str(path))[1] is claim


def test_files_that_fail(told):
    assert told("x = 1\nx ==== 2\n").startswith("my_claim.py:2: SyntaxError")
    assert told("x = 1\ny = x / 0\n") == "my_claim.py:2: ZeroDivisionError: division by zero"
    assert told("import sys\nsys.exit(3)\n") == "my_claim.py:2: SystemExit: 3"
    assert told("import paribus.nowhere\n").startswith("my_claim.py:1: ModuleNotFoundError")
    assert "has no `claim`: write `claim = Claim(...)`" in told("x = 1\n")
    assert "rename one to `claim`" in told("from paribus.lab.load import load\nmine = load('rerope')[1]\n", "other.py")
    assert not [name for name in sys.modules if name.endswith("my_claim_py")][1:]


def test_an_unknown_field_names_the_known_ones(told):
    text = "from paribus.data.synthetic.copy_task import Copy\n\nCopy(vocab_sise=8)\n"
    assert told(text) == "my_claim.py:3: Copy has no field 'vocab_sise'; did you mean vocab_size?"
    text = "from paribus.attention.grouped_query import GroupedQuery\nGroupedQuery.Config(n_head=8)\n"
    assert told(text, "b.py").startswith("b.py:2: GroupedQuery has no field 'n_head'; did you mean n_heads")


def test_impossible_sizes_are_told_with_the_line(told):
    text = "from paribus.attention.grouped_query import GroupedQuery\n\nGroupedQuery.Config(n_heads=4, n_kv_heads=3)\n"
    assert told(text).startswith("my_claim.py:3: ")
    assert "n_kv_heads" in told(text)
