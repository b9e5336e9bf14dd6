"""Running: a turn from queued to its one terminal state, and the live page that watches it."""
