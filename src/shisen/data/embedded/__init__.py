"""The embedded corpus: a synchronous grammar that writes English–Japanese pairs with gold word alignments.

``grammar.yaml`` is the grammar and its lexicon, to be read (and changed) by people; ``grammar`` reads it,
``generator`` draws sentences of a given length from it, ``corpus`` fills splits that share no sentence.
"""
