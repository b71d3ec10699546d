"""Files, folders, Hub data sets and the embedded corpus: from text to tokenised, length-bucketed batches.

In the order in which a sentence meets them: ``parallel_text`` reads pairs, ``tokenizer`` cuts them into pieces
(``detokenization`` puts words together again), ``corpus`` keeps their ids on disk, ``batches`` makes padded
batches of them; ``preparation`` does all of that from one configuration. ``vocabulary`` names the special ids.
"""
