"""What is started here is ended when the tests are asked to end, as after Ctrl-C."""

from __future__ import annotations

import signal

# SIGTERM would otherwise end pytest on the spot, and leave whatever a test has started to itself.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# Under nohup it is ignored, and children inherit that; here they are to be ended by it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
