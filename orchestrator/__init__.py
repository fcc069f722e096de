"""Decides: state, goals, planner, graph, controller, journal, command line."""
