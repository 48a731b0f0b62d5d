"""The frame of Pupper's controller of 2025, for tests that write one by hand."""

from walkies.robots import get_robot
from walkies.tasks.contract import Contract

CONTRACT = Contract(get_robot("pupper"))
FRAME_SIZE = CONTRACT.frame_size
SLICES = CONTRACT.slices
