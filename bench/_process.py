"""What a process costs."""

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Used by the process so far. The 14th and 15th field are its ticks in user mode and in the kernel; its name, which
    may contain anything, ends with the last bracket.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
