"""Start the processes of a command that several run together, by torch's elastic launcher.

The launcher starts all again when one ends unexpectedly, and they go on from the last checkpoint.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lowerbound import processes
from lowerbound.errors import OptionError, TrainingError
from lowerbound.processes import signals

MOST_RESTARTS = 3
SECONDS_BETWEEN_LOOKS = 0.5
RUN = "lowerbound"
INTERRUPT = signal.SIGINT

Command = Callable[[Sequence[str]], int]  # its words; its exit code


def several(request: Any, run_one: Command) -> Command | None:
    """What starts the processes that a request asks for; None: this process runs the command.

    Raises:
        OptionError: it asks for more processes than there are cards.
    """
    options = getattr(request, "together", None)
    if options is None or not options.several or processes.launched():
        return None
    devices = options.devices
    device = request.fitting.training.device
    import torch

    from lowerbound.training.device import chosen_device

    place = chosen_device(device)
    if place.index is not None or place.type == "mps":
        raise OptionError(
            f"--device {device} is one device, and --devices {devices} processes need one each: "
            "use --device cuda or --device cpu"
        )
    cards = torch.cuda.device_count()
    if place.type == "cuda" and devices > cards:
        raise OptionError(
            f"--devices {devices} processes need a GPU each, and this machine has {cards}: give "
            "fewer, or --device cpu"
        )
    return partial(launch, options.devices, options.nodes, options.rendezvous, run_one)


def launch(
    devices: int, nodes: int, rendezvous: str | None, run_one: Command, words: Sequence[str]
) -> int:
    """Run a command in ``devices`` processes on this machine, together with those of others.

    Args:
        devices: processes on this machine.
        nodes: machines.
        rendezvous: where the machines meet, HOST:PORT; None: there is one machine.
        run_one: runs the command in one of the processes, and returns its exit code.
        words: of the command.

    Returns:
        The exit code.

    Raises:
        TrainingError: processes ended unexpectedly, more often than they are started again; or the
            machines did not meet.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # share the cores among the processes, tell them the time, and leave messages to them
    os.environ[processes.LAUNCHED] = str(time.time())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // devices)))
    for name in list(logging.root.manager.loggerDict):  # each has a level of its own
        if name.startswith(("torch.distributed.elastic", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=devices,
        run_id=RUN,
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous or "localhost:0",
        max_restarts=MOST_RESTARTS,
        monitor_interval=SECONDS_BETWEEN_LOOKS,
        start_method="spawn",
        signals_to_handle=",".join(each.name for each in signals.heeded() if each != INTERRUPT),
    )
    before = signal.signal(INTERRUPT, _leave_to_processes)
    try:
        codes: dict[int, int] = elastic_launch(config, run_one)(list(words))
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        raise TrainingError(
            f"a process of the fit ended unexpectedly (exit code {code}), and again after "
            f"{MOST_RESTARTS} restarts; what is saved goes on with --resume"
        ) from None
    except SignalException as end:  # the processes have saved, and said so
        signals.note(end.sigval)
        return signals.exit_code()
    except RendezvousError as error:
        raise TrainingError(
            f"the {nodes} machines did not meet at {rendezvous} ({error}): start the same command "
            "on each within ten minutes, and check that each reaches that name and port"
        ) from None
    finally:
        signal.signal(INTERRUPT, before)
    return max(codes.values())


def _leave_to_processes(number: int, frame: object) -> None:
    """Ctrl-C reaches every process of the terminal: each saves and ends, then this one."""
