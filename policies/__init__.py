"""May we? Guardrails as data, judged by pure code."""
