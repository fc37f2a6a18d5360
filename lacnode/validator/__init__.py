"""The driver of consensus: it carries out the effects of `lacnode.consensus`, and holds no protocol rule.

Timers, the write-ahead log, signatures, messages, building, checking and importing blocks: each effect is carried out
here, in order, and answered with an event.
"""
