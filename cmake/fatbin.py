"""Compiles the CUDA kernels ahead of time: python fatbin.py NVCC TARGET

Writes, for each cuda/FAMILY.cu, TARGET/FAMILY.fatbin with code for every major architecture, and TARGET/FAMILY.json
with the digest of the sources and the name of each kernel in the fatbin. Needs the Python sources on the path.
"""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

from ecgkern import _cuda


def compile_family(nvcc: str, family: str, out: Path, architecture: str = "all-major") -> None:
    """Compile cuda/<family>.cu."""
    kernels = importlib.import_module(_cuda.MODULES[family]).KERNELS
    folder = _cuda.folder()
    every = ", ".join(f"reinterpret_cast<void *>(&ecgkern::{kernel})" for kernel in kernels)
    source = out / f"{family}.all.cu"
    # A kernel whose address the host takes is compiled.
    source.write_text(f'#include "{family}.cu"\nvoid *kernels[] = {{{every}}};\n')
    command = [nvcc, "-std=c++17", "-ftz=true", f"-I{folder}", str(source)]
    subprocess.run([*command, "-fatbin", f"-arch={architecture}", "-o", str(out / f"{family}.fatbin")], check=True)
    ptx = out / f"{family}.ptx"
    subprocess.run([*command, "-ptx", "-arch=compute_90", "-o", str(ptx)], check=True)
    entries = re.findall(r"\.entry (\w+)", ptx.read_text())
    plain = subprocess.run(["c++filt", *entries], check=True, capture_output=True, text=True).stdout.splitlines()
    found = {
        re.match(r"(?:void )?ecgkern::(.*?)\(", signature)[1]: entry
        for entry, signature in zip(entries, plain, strict=True)
    }
    missing = set(kernels) - set(found)
    if missing:
        raise SystemExit(f"{family}.fatbin lacks {', '.join(sorted(missing))}")
    names = {kernel: found[kernel] for kernel in kernels}
    (out / f"{family}.json").write_text(json.dumps({"sources": _cuda.digest(folder), "names": names}, indent=1))
    source.unlink()
    ptx.unlink()


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    for family in _cuda.MODULES:
        compile_family(sys.argv[1], family, target)
