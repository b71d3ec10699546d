"""Training: one configuration, one task on Lightning, checkpoints from which a run goes on bit for bit.

In the order in which a run meets them: ``config`` says what can be set, ``config_file`` reads it and
``config_text`` explains it; ``run`` puts the parts together; ``stream`` brings the batches, ``task`` is one
step, ``loop`` decides what happens between steps, ``validation`` measures; ``schedules`` holds what changes
with the step, ``machine`` what depends on the hardware, ``state`` where a run stands; ``checkpoints`` and
``snapshots`` keep it on disk, in a ``run_directory`` that ``lock`` keeps for one process alone; ``log``,
``progress`` and ``model_card`` tell what came out.
"""
