"""The running interpreter's own sources: 12 MB of text on every machine, with nothing to download."""

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from paribus.core.errors import CorpusError
from paribus.text.corpora.base import Corpus
from paribus.text.document import Document
from paribus.text.streams import chunks

TESTS = ("test", "tests", "idle_test")
INSTALLED = ("site-packages", "dist-packages", "__pycache__")
# Written when the interpreter was built: they hold the build machine's paths.
BUILT = ("config-", "_sysconfigdata")


class PythonStdlib(Corpus):
    """The standard library's .py files without tests; exact duplicates and empty files are left out.

    A document is a file, its name the path inside the library. The content depends on the interpreter's version and
    on who packaged it, so results are comparable only where the manifests' digests agree.
    """

    source: ClassVar[str] = "Python Software Foundation, The Python Standard Library (PSF License)"
    depends_on_python: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "python-stdlib"

    def documents(self) -> Iterator[Document]:
        root = Path(sysconfig.get_path("stdlib"))
        seen: set[bytes] = set()
        for path in _sources(root):
            data = b"".join(chunks(path))
            content = hashlib.sha256(data).digest()
            if data and content not in seen:
                seen.add(content)
                yield Document(path.relative_to(root).as_posix(), data)
        if not seen:
            raise CorpusError(
                f"{root} holds no .py files: this interpreter came without its sources; "
                "name a folder of text of your own as the corpus"
            )


def _sources(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name for name in folders if name not in TESTS + INSTALLED and not name.startswith((".", *BUILT))
        )
        for name in sorted(files):
            if name.endswith(".py") and not name.startswith((".", *BUILT)):
                yield Path(folder, name)


PythonStdlib.examples = (PythonStdlib(),)
