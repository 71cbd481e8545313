"""The operating system's side of the agent: turns the world into events."""
