"""Byte pair encoding, learned from a corpus by its configuration: the engine is Hugging Face's `tokenizers`."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from paribus.text.corpora.python_docs import PythonDocs
from paribus.tokenizer.learned import LONGEST, Engine, Learned
from paribus.tokenizer.letters import Letters, learn


class BytePairs(Learned):
    """From the bytes on, the commonest pair of neighbours becomes a token, until there are `size` of them."""

    source: ClassVar[str] = "Sennrich, Haddow, Birch, Neural Machine Translation of Rare Words, arXiv:1508.07909"

    def learn(self, documents: Sequence[bytes]) -> bytes:
        return learn(documents, self.borders, "BPE", "BpeTrainer", vocab_size=self.size, max_token_length=LONGEST)

    def open(self, path: Path) -> Engine:
        return Letters(path, self.borders)


BytePairs.examples = (BytePairs(corpus=PythonDocs(), size=300, borders=True),)
