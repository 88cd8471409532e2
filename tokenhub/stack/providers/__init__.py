"""Simulated providers: one process, many providers, real sockets, the real wire formats.

``python -m tokenhub.stack.providers --port 0`` prints ``ready http://127.0.0.1:PORT``. Each provider
of the catalogue is at ``/<slug>/<region>/…`` and expects the credential ``sim-<slug>``,
or one that begins so: ``sim-<slug>-second``.

Answers are deterministic, their ``usage`` exact. A text's tokens are a quarter of its characters,
rounded up; a message costs three more. What a call may ask for, anywhere in its body:

``[[tokens=N]]``  exactly N tokens of answer (``max_tokens`` still cuts it short)
``[[tool]]``      a call of the first tool given; ``[[tool=2]]`` two at once
``[[reason]]``    reasoning before the answer
``[[images=N]]``  exactly N pictures, whatever ``n`` says; ``[[url=X]]`` at that address
``[[fail]]``      a video that fails; ``[[hang]]``, ``[[flip]]``, ``[[late]]``: see ``dashscope.Task``
``[[seconds=N]]`` a video of another length than was asked for
``[[id=X]]``      a marker that ``GET /_control/calls?marker=X`` finds

Faults are set by ``PUT /_control/faults``; see ``faults.py``. ``GET /_control/calls`` lists what
arrived, ``DELETE`` forgets it; ``GET /_control/`` lists the providers.
"""
