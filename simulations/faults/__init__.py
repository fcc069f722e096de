"""What goes wrong in a world: the hook at every port call, and the kinds that documents name."""

from simulations.faults.hook import Fault, exposed, no_fault

__all__ = ["Fault", "exposed", "no_fault"]
