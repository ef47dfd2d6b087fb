"""Another processor, emulated: older instructions, which round differently."""

import os
import subprocess
import sys

OLDER = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_CBWR": "COMPATIBLE",
}


def printed_here_and_there(code: str) -> tuple[list[str], list[str]]:
    """The lines that a program prints with the instructions of this processor, and older ones."""
    return tuple(
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | more,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for more in ({}, OLDER)
    )
