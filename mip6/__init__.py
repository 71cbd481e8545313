"""What the mobile node's agent and the home agent share."""
