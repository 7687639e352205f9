"""Program that reads pickled weights and writes them as safetensors, in a process without network or credentials.

It imports nothing of this package, and disables the network first. The last line of its output is a report in JSON.
"""

import ctypes
import json
import os
import re
import socket
import sys
from typing import Any, NoReturn

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

REFUSED = re.compile(r"GLOBAL ([\w.]+)")
"""Pattern of the name of a class or function in torch's message for a pickle that holds more than tensors."""


def leave_network() -> bool:
    """Disable sockets in this process; return whether the kernel also disconnected it from the network."""

    def refuse(*arguments: object, **options: object) -> NoReturn:
        raise OSError("this process has no network")

    # A class, because other modules define subclasses of it.
    socket.socket = type("socket", (socket.socket,), {"__init__": refuse})  # type: ignore[assignment, misc]
    socket.create_connection = refuse
    socket.getaddrinfo = refuse
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except (OSError, AttributeError, TypeError):  # not Linux
        return False
    return int(unshare(CLONE_NEWUSER | CLONE_NEWNET)) == 0


def convert(files: list[str], output: str) -> dict[str, Any]:
    """Write the tensors of some pickles to one safetensors file, and return a report.

    The report has the keys "tensors" (their number) and "dtype" (their most frequent type). If nothing was written, it
    has the keys "file" and either "code" (the class or function that the pickle would call) or "damage".
    """
    import pickle

    import torch
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            found = REFUSED.search(str(error))
            return {"file": file, "code": found.group(1)} if found else {"file": file, "damage": _line(error)}
        except Exception as error:  # damaged files raise errors of many types
            return {"file": file, "damage": _line(error)}
        if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
            return {"file": file, "damage": f"holds a {type(loaded).__name__}, not tensors by name"}
        # Safetensors refuses tensors that share memory or are views with gaps.
        tensors |= {name: tensor.detach().clone().contiguous() for name, tensor in loaded.items()}
    sizes: dict[str, int] = {}
    for tensor in tensors.values():
        if tensor.is_floating_point():
            name = str(tensor.dtype).removeprefix("torch.")
            sizes[name] = sizes.get(name, 0) + tensor.numel()
    save_file(tensors, output, metadata={"format": "pt"})
    return {"tensors": len(tensors), "dtype": max(sizes, key=lambda name: sizes[name], default="float32")}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


if __name__ == "__main__":
    os.umask(0o077)
    has_no_network = leave_network()
    *pickles, target = sys.argv[1:]
    print(json.dumps(convert(pickles, target) | {"isolated": has_no_network}))
