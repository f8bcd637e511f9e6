"""Where training runs: the CPU's cores, one CUDA GPU, or several processes that ``torchrun`` started."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from lapel.core.errors import InputError


@dataclass(frozen=True)
class Machine:
    """This process's share of the work.

    Attributes:
        device: Where the network is.
        rank: Number of this process, from 0; only 0 writes files and reports.
        world: How many processes there are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def gather(self, values: Tensor) -> Tensor:
        """The rows of all processes, in order: (n, ...) -> (world n, ...); every process brings equally many."""
        if self.world == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.world)]
        distributed.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.world > 1:
            distributed.barrier()


def this_machine(device: str = "auto") -> Machine:
    """The machine as it is, joined with the processes that ``torchrun`` started beside this one.

    Args:
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    has_gpu = torch.cuda.is_available()
    if device.startswith("cuda") and not has_gpu:
        raise InputError(
            f"Training on '{device}' was asked for, but PyTorch finds no CUDA GPU. Use --device cpu or auto."
        )
    chosen = ("cuda" if has_gpu else "cpu") if device == "auto" else device
    if chosen == "cuda":
        chosen = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if world > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if chosen.startswith("cuda") else "gloo")
    if chosen.startswith("cuda"):
        torch.cuda.set_device(torch.device(chosen))
        torch.backends.cudnn.benchmark = True  # batches have few shapes: try which convolution is fastest for each
    return Machine(torch.device(chosen), rank, world)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where the device does, and in float32 on a CPU that would only imitate it: that takes ten
    times as long.

    The latter are x86 CPUs without AVX-512 BF16 or AMX, AMD's before Zen 4 for example.
    """
    enabled = device.type != "cpu" or any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
