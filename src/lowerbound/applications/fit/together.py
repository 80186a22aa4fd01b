"""A fit by several processes: on the cards or cores of one machine, or of several."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound import processes
from lowerbound.config import option
from lowerbound.errors import OptionError


@dataclass(frozen=True)
class ProcessOptions:
    """The processes that train one model together.

    Raises:
        OptionError: there would be none, or the machines could not find each other.
    """

    devices: int = option(
        1, "processes on this machine that train together, one for each GPU or group of cores"
    )
    nodes: int = option(1, "machines that train together; start the same command on each")
    rendezvous: str | None = option(
        None,
        "where the machines meet: name and free port of one of them, the same in all commands",
        metavar="HOST:PORT",
    )

    def __post_init__(self) -> None:
        if self.devices < 1 or self.nodes < 1:
            raise OptionError(
                f"devices and nodes are at least 1, not {self.devices} and {self.nodes}"
            )
        if self.nodes > 1 and not self.rendezvous:
            raise OptionError(
                f"nodes={self.nodes} needs rendezvous=HOST:PORT, one of the machines and a free "
                "port of it, the same in the command of each machine"
            )

    @property
    def several(self) -> bool:
        """Whether there is more than one process."""
        return self.devices * self.nodes > 1


def check_processes(options: ProcessOptions) -> None:
    """Check that a fit which asks for several processes is one of several.

    Raises:
        OptionError: it is not.
    """
    if options.several and not processes.launched():
        raise OptionError(
            "only the command line starts several processes: run lowerbound fit with --devices, "
            "or start your program by torchrun and leave devices and nodes out"
        )
