"""How a rehearsal is shown: on the terminal, as JSON, as JUnit XML, and as pages."""
