"""Many waits at once: a server for them, the ways to wait, and the process that holds them."""
