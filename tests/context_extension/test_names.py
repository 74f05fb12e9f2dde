"""The names under which the two functions are found, whatever was imported before."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "first",
    [
        "",
        "import paribus.context_extension.extend",
        "from paribus.context_extension.extend import restore",
        "from paribus.context_extension.words import method",
    ],
)
def test_the_package_gives_the_functions(first):
    code = (
        f"{first}\nfrom paribus.context_extension import extend, restore\nassert callable(extend) and callable(restore)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_top_package_stays_light():
    code = "import sys, paribus, paribus.cli.extend\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
