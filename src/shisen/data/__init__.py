"""Files, folders, Hub data sets and the embedded corpus: from text to tokenised, length-bucketed batches.

In the order in which a sentence meets them: ``parallel_text`` reads pairs, or the lines of
one text (in what form they are kept, ``text_forms`` knows; ``lines`` checks their lines),
``tokenizer`` cuts them into pieces (by the rules of ``pieces``, with a vocabulary from ``learning``;
``detokenization`` puts words together again), ``corpus`` keeps their ids on disk, ``batches`` makes padded
batches of them. ``preparation`` does it all from one ``config``; ``vocabulary`` names the special ids.
"""
