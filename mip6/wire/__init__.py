"""Bytes to values and back: Mobility Header messages, their options, and the headers that carry them."""
