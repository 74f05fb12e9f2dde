"""The language reference that ships with the interpreter: 0.5 MB of English technical prose."""

from collections.abc import Iterator
from typing import ClassVar

from paribus.core.errors import CorpusError
from paribus.text.corpora.base import Corpus
from paribus.text.document import Document


class PythonDocs(Corpus):
    """`pydoc_data.topics`, what `help("assignment")` prints; a document is a topic."""

    source: ClassVar[str] = "Python Software Foundation, The Python Language Reference (PSF License)"
    depends_on_python: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "python-docs"

    def documents(self) -> Iterator[Document]:
        try:
            from pydoc_data.topics import topics
        except ImportError as error:
            raise CorpusError(
                "this interpreter came without pydoc_data.topics; name another corpus, such as python-stdlib"
            ) from error
        for topic in sorted(topics):
            yield Document(topic, topics[topic].encode())


PythonDocs.examples = (PythonDocs(),)
