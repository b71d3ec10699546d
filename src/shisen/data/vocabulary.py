"""The ids that mean something to every part of the house: padding, unknown, begin and end of a sentence."""

PADDING, UNKNOWN, BEGIN, END = 0, 1, 2, 3

SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
"""The token of each special id, in the order of the ids. They open every vocabulary."""
