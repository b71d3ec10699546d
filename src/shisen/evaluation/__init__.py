"""How good a translation is: corpus scores with intervals, alignment error rate, significance, one report.

`scores` holds BLEU, chrF and TER by sacrebleu, `alignment` the hard alignments that attention implies and
their error rate, `significance` the paired tests between systems, `system` a whole model on a whole test set.
"""
