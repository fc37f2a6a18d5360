"""The driver of consensus: it carries out what `lacnode.consensus` asks for, and holds no protocol rule.

Timers, the write-ahead log, signatures, messages, building, checking and importing blocks: each effect is done here, in
order, and answered with an event.
"""
