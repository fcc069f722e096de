"""What engineers rehearse: worlds, scenarios, scores."""
