"""Builds the engine for browsers with the Clang of the ziglang wheel: python native/wasm/build.py engine.wasm

It takes a minute or two. Nothing else compiles to WebAssembly here, and no compiler of the system is used.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("engine.cpp")
STACK = 2 << 20
"""Bytes: twice what a block of robots takes on the stack (kMaxStack of native/engine/block.h)."""
MEMORY = 16 << 20
"""Bytes. It never grows, so that JavaScript's views of it stay what they are."""
FLAGS = [
    *("-target", "wasm32-wasi", "-mexec-model=reactor", "-std=c++20", "-O3", "-msimd128"),
    # As CMakeLists.txt has them for every instruction set; no -ffast-math.
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden"),
    *("-fno-exceptions", "-fno-rtti", "-DWALKIES_NS=simd128", "-DWALKIES_LANES=4"),
    *(f"-Wl,-z,stack-size={STACK}", f"-Wl,--initial-memory={MEMORY}", f"-Wl,--max-memory={MEMORY}"),
    "-Wl,--strip-all",
]


def main(out: Path) -> None:
    """Compile into `out`, which appears whole or not at all."""
    if importlib.util.find_spec("ziglang") is None:
        sys.exit("ziglang is missing; expected its Clang in this Python: pip install -c constraints.txt ziglang")
    part = out.with_name(f".{out.name}.{secrets.token_hex(8)}.part")
    try:
        subprocess.run([sys.executable, "-m", "ziglang", "c++", *FLAGS, str(SOURCE), "-o", str(part)], check=True)
        part.chmod(0o644)  # data, which nobody runs as a program
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
