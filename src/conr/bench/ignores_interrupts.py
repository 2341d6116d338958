"""Imported first by the process that workers are forked from: Ctrl-C is its parent's, which ends it."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
