"""The whole system in network namespaces, with traffic and faults."""
