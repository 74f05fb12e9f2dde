"""The other tokenizers of the benchmark tokenizer.py, trained on the same text."""

from pathlib import Path
from typing import Any


def sentencepiece_model(texts: list[str], pieces: int, folder: Path, borders: bool) -> Any:
    import sentencepiece

    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8", errors="replace")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"), model_prefix=str(folder / "sp"), vocab_size=pieces, model_type="unigram",
        normalization_rule_name="identity", byte_fallback=True, add_dummy_prefix=False, num_threads=1,
        remove_extra_whitespaces=False, character_coverage=0.9995, max_sentence_length=100_000,
        allow_whitespace_only_pieces=True, split_by_whitespace=borders, split_by_unicode_script=borders,
        split_by_number=borders, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))


def byte_level_bpe(texts: list[str], pieces: int) -> Any:
    from tokenizers import Tokenizer as Engine
    from tokenizers import decoders, models, pre_tokenizers, trainers

    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    engine.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    engine.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=pieces, initial_alphabet=alphabet, show_progress=False)
    )
    return engine


def tiktoken_of(engine: Any) -> Any:
    """The same merges in tiktoken's engine."""
    import tiktoken

    from paribus.tokenizer.convert import byte_letters

    byte_of = {letter: byte for byte, letter in enumerate(byte_letters())}
    ranks = {bytes(byte_of[letter] for letter in word): rank for word, rank in engine.get_vocab().items()}
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    return tiktoken.Encoding("own", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
