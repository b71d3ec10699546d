"""What every part of the house knows of vocabularies: the special ids, and the mark for a space."""

PADDING, UNKNOWN, BEGIN, END = 0, 1, 2, 3

SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
"""The token of each special id, in the order of the ids. They open every vocabulary."""

SPACE = "▁"
"""Stands for the space before a piece; so pieces joined, and SPACE turned to spaces, are the text."""
