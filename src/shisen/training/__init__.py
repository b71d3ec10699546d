"""Training: one configuration, one task on Lightning, checkpoints from which a run goes on bit for bit.

In the order in which a run meets them: ``config`` says what can be set, ``config_file`` reads it, ``run`` puts
the parts together, ``task`` is one step, ``loop`` decides what happens between steps, ``validation`` measures,
``schedules`` holds what changes with the step, ``checkpoints`` and ``averaging`` keep parameters on disk,
``log`` and ``progress`` tell, ``model_card`` writes down what came out.
"""
