"""monami6d: the mobile node's agent."""
