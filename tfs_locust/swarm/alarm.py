"""Wakes the event loop at a moment, to the microsecond where the system can.

gevent's own timers go through ``epoll_wait``, which counts milliseconds: they ring up to one late. A timerfd (Linux,
timerfd_create(2)) is a file that becomes readable at a moment, and rings when it comes.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Any

_SECOND_NS = 1_000_000_000
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_READABLE = 1  # of gevent's loop


class Alarm:
    """Calls ``ring`` in gevent's hub at the moment that was last set, once."""

    def __init__(self, loop: Any, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._file = _TimerFile() if sys.platform.startswith("linux") else None
        self._watcher: Any = None
        if self._file is not None:
            self._watcher = loop.io(self._file.descriptor, _READABLE)
            self._watcher.start(self._read)

    def set(self, at_ns: int) -> None:
        """Ring at this time of ``time.perf_counter_ns``, rather than when it was set to; at once if that is past."""
        if self._file is not None:
            self._file.set(at_ns)
            return
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = self._loop.timer(max(0, at_ns - time.perf_counter_ns()) / _SECOND_NS)
        self._watcher.start(self._ring, update=True)

    def close(self) -> None:
        """Ring no more."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        if self._file is not None:
            os.close(self._file.descriptor)

    def _read(self) -> None:
        if self._file is not None and self._file.rang():
            self._ring()


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("ns", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("every", _Timespec), ("at", _Timespec))


class _TimerFile:
    """A timerfd on the clock of ``time.perf_counter_ns``."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)  # Python knows timerfd from 3.13 on
        self._settime = library.timerfd_settime
        self._setting = _Setting()
        self._given = ctypes.byref(self._setting)
        self.descriptor: int = library.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def set(self, at_ns: int) -> None:
        """To become readable at this time."""
        # zero would put it off
        self._setting.at.seconds, self._setting.at.ns = divmod(max(at_ns, 1), _SECOND_NS)
        if self._settime(self.descriptor, _ABSOLUTE, self._given, None):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def rang(self) -> bool:
        """Whether the time has come; not twice."""
        try:
            return bool(os.read(self.descriptor, 8))
        except BlockingIOError:  # it was set anew in the same turn of the loop
            return False
