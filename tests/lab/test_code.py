"""The hash of a user's code: it follows what the file imports, and nothing else."""

import pytest

from paribus.core.config import USER_MODULE, to_dict
from paribus.core.errors import ConfigError
from paribus.lab.code import code_hash, foreign_code
from paribus.lab.load import import_file

FILES = {
    "claim_of_mine.py": "import math\nimport numpy\nimport torch\nfrom code_layers_a import Layer\n\n\n"
    "class Net(Layer):\n    def late(self):\n        from code_package_a.inner import thing\n        return thing\n",
    "code_layers_a.py": "import code_deep_a\n\n\nclass Layer:\n    x = 1\n",
    "code_deep_a.py": "import code_layers_a\ny = 1\n",
    "code_package_a/__init__.py": "",
    "code_package_a/inner.py": "from . import other\nfrom .other import z\nthing = 1\n",
    "code_package_a/other.py": "z = 1\n",
    "code_unused_a.py": "w = 1\n",
}


@pytest.fixture
def told(tmp_path):
    """Writes the files, some of them changed, under new names, and tells the code of Net."""
    count = 0

    def told(**changed):
        nonlocal count
        count += 1
        own = "abcdefgh"[count]
        for name, text in {
            **FILES,
            **{f"{name}.py": text for name, text in changed.items()},
        }.items():
            path = tmp_path / own / name.replace("_a", f"_{own}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("_a", f"_{own}"))
        module = import_file(tmp_path / own / "claim_of_mine.py")
        return {name.replace(f"_{own}", "_a"): value for name, value in foreign_code(module.Net).items()}

    return told


def test_what_a_file_imports_is_part_of_its_code(told):
    usual = told()
    assert usual.keys() == {
        "code of Net",
        "file code_layers_a",
        "file code_deep_a",
        "file code_package_a",
        "file code_package_a.inner",
        "file .other",
        "package numpy",
    }
    assert usual["package numpy"][0].isdigit()


@pytest.mark.parametrize("name", ["code_layers_a", "code_deep_a"])
def test_a_change_anywhere_is_seen(told, name):
    usual, changed = told(), told(**{name: FILES[f"{name}.py"] + "more = 2\n"})
    differing = {key for key in usual if usual[key] != changed[key]}
    assert f"file {name}" in differing


def test_what_is_not_imported_is_not_seen(told):
    usual = told()
    assert told(code_unused_a="w = 2\n").keys() == usual.keys()


def test_the_claim_itself_and_words_do_not_count(tmp_path):
    hashes = set()
    for i, text in enumerate(['"""A."""\nclaim = 1\n', "claim = 2\n", "# why\n"]):
        path = tmp_path / f"said_{i}.py"
        path.write_text(text + "class Net:\n    pass\n")
        hashes.add(code_hash(import_file(path).Net))
    assert len(hashes) == 1


MADE = """
from paribus.core.config import Part
from collections.abc import Callable


def relu(x):
    return x


def leaky(slope):
    def inner(x):
        return slope * x

    return inner


def of_width(d):
    class Net(Part):
        pass

    return Net()


class Mine(Part):
    act: Callable


good = Mine(act=relu)
claim = [Mine(act=lambda x: 5 * x), Mine(act=leaky(5)), of_width(5), {"act": leaky}, [leaky(5)]]
"""


def test_what_is_made_where_it_is_used_is_refused(tmp_path):
    path = tmp_path / "made.py"
    path.write_text(MADE)
    module = import_file(path)
    assert foreign_code(module.good).keys() == {"code of Mine", "code of relu"}
    inner, outer, made, fine, listed = module.claim
    for value in (inner, outer, made, listed):
        with pytest.raises(ConfigError, match=r"is not what its file knows by that name.*may enclose numbers"):
            foreign_code(value)
    assert foreign_code(fine).keys() == {"code of leaky"}


def test_a_file_may_move(tmp_path):
    forms = set()
    for place in ("here", "there"):
        path = tmp_path / place / "moving.py"
        path.parent.mkdir()
        path.write_text("def make():\n    return 1\n")
        make = import_file(path).make
        assert make.__module__.startswith(USER_MODULE)
        forms.add((to_dict(make), str(foreign_code(make))))
    assert len(forms) == 1
    assert forms.pop()[0] == ":make"
