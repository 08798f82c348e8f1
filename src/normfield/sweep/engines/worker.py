"""What a worker process does: take the task once, then run jobs until the driver closes the line."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from normfield.sweep.engines.attempt import attempt, in_a_line
from normfield.sweep.engines.engine import Finished
from normfield.sweep.task import Task

READY, UNREADABLE, ENDED = "ready", "unreadable", "ended"


def serve(line: Connection) -> None:
    """Take the task, say that it is there, and answer each job; end with the driver, also when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    # A driver that is gone closed the line: there is nobody to tell.
    with suppress(EOFError, OSError):
        task = _take(line)
        while task is not None:
            line.send_bytes(_answer(attempt(task, pickle.loads(line.recv_bytes()))))


def _take(line: Connection) -> Task | None:
    """The task; None, and the driver told, where it cannot be read."""
    packet = line.recv_bytes()
    try:
        task = pickle.loads(packet)
    except Exception as error:
        line.send_bytes(pickle.dumps((UNREADABLE, in_a_line(error))))
        return None
    line.send_bytes(pickle.dumps((READY, None)))
    return task


def _answer(finished: Finished) -> bytes:
    """The answer as bytes; outcomes that pickle refuses are the job's error."""
    try:
        return pickle.dumps((ENDED, finished))
    except Exception as error:
        told = f"the outcomes cannot be sent back: {in_a_line(error)}"
        return pickle.dumps((ENDED, Finished(finished.job, error=told, again=False)))


def _end_with_the_driver() -> None:
    """A driver that was killed cannot end its workers, which would train on for hours."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
