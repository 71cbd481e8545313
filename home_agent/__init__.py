"""monami6-ha: a home agent for several care-of addresses."""
