"""SIGTERM and Ctrl-C: a run stops at once where nothing would be lost, else as soon as what it trained is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """A signal came at a time when nothing would be lost.

    Like KeyboardInterrupt it is no `Exception`: nobody on its way takes it for a failure of his own.

    Args:
        number: the signal's.
        doing: what the run was doing, such as "exporting".
    """

    def __init__(self, number: int, doing: str) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} while {doing}")
        self.exit_status = 128 + number


class Signals:
    """What the run does about its first signal; the second does as usual, which is to end the process at once.

    Attributes:
        received: the number of the signal that came, or 0.
        patient: only remember a signal, because somebody looks at `received` when a step is over; else a signal raises
            `Interrupted` wherever the program is.
        doing: what the run is doing, for the message.
    """

    def __init__(self) -> None:
        self.received, self.patient, self.doing = 0, False, "starting"
        self._handled = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[Signals]:
        """Handles the signals in the block, and gives them back to whoever handled them before."""
        if threading.current_thread() is not threading.main_thread():
            yield self  # where Python lets nobody handle them
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self._handled = True
        self.listen()
        try:
            yield self
        finally:
            self._handled = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Handles the signals from here on."""
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def listen_again(self) -> None:
        """Within `handled`: takes the signals back from TensorFlow, which takes SIGTERM where several workers meet."""
        if self._handled and not self.received:
            self.listen()

    def be_impatient(self, doing: str) -> None:
        """From here on a signal stops at once, as nothing is left to save.

        Args:
            doing: what the run does from here on.

        Raises:
            Interrupted: there was a signal already.
        """
        self.patient, self.doing = False, doing
        if self.received:
            raise Interrupted(self.received, doing)

    def _receive(self, number: int, frame: Any) -> None:
        self.received = number
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        if not self.patient:
            raise Interrupted(number, self.doing)
