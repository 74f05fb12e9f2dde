"""A unigram vocabulary by expectation maximisation, learned by its configuration: Hugging Face's `tokenizers`."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from paribus.text.corpora.python_docs import PythonDocs
from paribus.tokenizer.learned import LONGEST, Engine, Learned
from paribus.tokenizer.letters import Letters, learn


class Unigram(Learned):
    """Common substrings are pruned to `size` pieces, each step those whose loss costs the likelihood least.

    Trainer and engine are SentencePiece's algorithm over bytes, without its marks for spaces and its normalisation.
    The trainer adds doubles in an order of its own, so that learning anew may give other last digits.
    """

    source: ClassVar[str] = "Kudo, Subword Regularization, arXiv:1804.10959"

    def learn(self, documents: Sequence[bytes]) -> bytes:
        return learn(
            documents, self.borders, "Unigram", "UnigramTrainer", vocab_size=self.size, max_piece_length=LONGEST
        )  # fmt: skip

    def open(self, path: Path) -> Engine:
        return Letters(path, self.borders)


Unigram.examples = (Unigram(corpus=PythonDocs(), size=300, borders=True),)
