"""One tree of errors, each with its exit code, each message with a way out."""

import json

import pytest

from paribus.core import errors


def test_exit_codes():
    codes = {
        name: cls.exit_code
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.ParibusError)
    }
    assert codes == {
        "ParibusError": 1,
        "InputError": 2,
        "ConfigError": 2,
        "CorpusError": 2,
        "MissingExtra": 2,
        "RunFolderError": 2,
        "CellFailed": 1,
        "Interrupted": 130,
    }


def test_the_tree_in_the_docstring_is_the_tree():
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, errors.ParibusError):
            assert name in errors.__doc__


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("rotry", ["Rotary", "NoPosition"], "did you mean Rotary?"),
        ("ROTARY", ["Rotary"], "did you mean Rotary?"),
        ("sofmax", ["softmax", "softmix"], "did you mean softmax or softmix?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], "known: (none)"),
    ],
)
def test_nearest_names(word, known, said):
    assert errors.nearest(word, known) == said


def test_a_missing_package_names_its_extra():
    assert errors.optional("json", "data") is json
    with pytest.raises(errors.MissingExtra, match=r"'no_such_package'.*pip install 'paribus\[data\]'"):
        errors.optional("no_such_package", "data")
