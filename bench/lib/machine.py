"""Facts of the machine that a reader of the figures must know."""
import os
import pathlib
import platform
import re
import subprocess

from . import namespace, process


def read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def first_line(*command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "not installed"
    lines = (result.stdout + result.stderr).strip().splitlines()
    return lines[0] if lines else ""


def facts(binary):
    cpuinfo = read("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cpus": os.cpu_count(),
        "virtual": "hypervisor" in cpuinfo,
        "memory_mib": int(memory[1]) // 1024 if memory else 0,
        "kernel": f"{platform.release()} {platform.version()}",
        "transparent_hugepages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "mitigations": {path.name: read(path)
            for path in sorted(pathlib.Path("/sys/devices/system/cpu/vulnerabilities").glob("*"))
            if "Mitigation" in read(path)},
        "congestion_control": namespace.CONGESTION_CONTROL,
        "network": namespace.SETTINGS,
        "real_time": process.may_have_real_time(),
        "load_average_at_start": read("/proc/loadavg"),
        "versions": {
            "loble": first_line(binary, "--version"),
            "commit": first_line("git", "describe", "--always", "--dirty", "--abbrev=12"),
            "haproxy": first_line("haproxy", "-v"),
            "nginx": first_line("nginx", "-v"),
            "pen": first_line("dpkg-query", "-W", "-f", "${Version}", "pen"),
        },
    }
