"""What a wrapped Fortran file does in a process of its own: it is described there, and its routines are called there.

Run as a script, so that it loads NumPy and nothing of the package. ``describe`` prints what f2py's parser makes of a
file, as JSON (the parser keeps its state in globals, which is why it does not run beside the caller). ``serve`` loads
the compiled file and answers calls until its caller is gone. Messages are a length, a JSON header and the bytes of the
arrays it lists, on two pipes of their own: units 5 and 6 of the Fortran code are descriptors 0 and 1.
"""

import contextlib
import copy
import importlib.machinery
import importlib.util
import io
import json
import os
import re
import resource
import shutil
import signal
import struct
import sys
import threading
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODULE = "ecgkern_wrapped"
FLUSH = "eckflu"  # the Fortran routine that writes the buffers of all open units

# Sizes in bytes of what is declared without one; complex counts both parts.
_DEFAULT = {"integer": 4, "real": 4, "double precision": 8, "complex": 8, "double complex": 16, "logical": 4, "byte": 1}
_PLAIN = {"double precision": "real", "double complex": "complex", "byte": "integer"}
_SIZES = {"integer": (1, 2, 4, 8), "real": (4, 8), "complex": (8, 16), "logical": (1, 2, 4, 8), "character": (1,)}
_KINDS = {
    **{"int8": 1, "int16": 2, "int32": 4, "int64": 8, "real32": 4, "real64": 8, "real128": 16},
    **{"c_int8_t": 1, "c_int16_t": 2, "c_int32_t": 4, "c_int64_t": 8, "c_signed_char": 1, "c_short": 2, "c_int": 4},
    **{"c_long": 8, "c_long_long": 8, "c_size_t": 8, "c_float": 4, "c_double": 8, "c_float_complex": 4},
    **{"c_double_complex": 8, "c_bool": 1, "c_char": 1},
}


def send(descriptor: int, header: dict[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> None:
    """Write a message. The arrays are contiguous; their order in memory is what is sent."""
    header = {**header, "arrays": [(array.dtype.str, array.size) for array in arrays]}
    text = json.dumps(header).encode()
    _write(descriptor, struct.pack("<q", len(text)) + text)
    for array in arrays:
        if array.size:
            _write(descriptor, array.reshape(-1).view(np.uint8))


def _write(descriptor: int, data: Any) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view[: 2**24]) :]


# Bytes before and behind each array that a routine must leave as they are: A(1) and A(*) say nothing of a length.
_FENCE = 4096
_UNTOUCHED = 0xA5


def receive(read: Any) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Read a message; `read` fills the buffer that it is given."""
    length = bytearray(8)
    read(length)
    text = bytearray(struct.unpack("<q", length)[0])
    read(text)
    header = json.loads(text)
    arrays = []
    for dtype, size in header["arrays"]:
        fenced = np.full(size * np.dtype(dtype).itemsize + 2 * _FENCE, _UNTOUCHED, np.uint8)
        array = fenced[_FENCE:-_FENCE].view(dtype)
        if size:
            read(array.view(np.uint8))
        arrays.append(array)
    return header, arrays


def describe(paths: Iterable[str], include: str) -> dict[str, Any]:
    """What f2py's parser finds: the routines with their arguments, and the COMMON blocks."""
    from numpy.f2py import crackfortran

    parser: Any = crackfortran

    # An IMPLICIT statement holds in its own unit alone, but the parser writes it into the defaults of all that follow.
    defaults = copy.deepcopy(parser.defaultimplicitrules)
    rules = parser.buildimplicitrules

    def of_this_unit(block: dict[str, Any]) -> Any:
        parser.defaultimplicitrules = copy.deepcopy(defaults)
        return rules(block)

    parser.buildimplicitrules = of_this_unit
    parser.badnames.clear()  # names that C reserves are no matter here: the wrapper gives names of its own
    parser.include_paths.append(include)
    parser.quiet, parser.verbose = 1, 0
    with contextlib.redirect_stdout(io.StringIO()):
        blocks = parser.crackfortran(list(paths))
    kinds = _KINDS | {
        name: kind
        for block in _all(blocks)
        for name, variable in block.get("vars", {}).items()
        if "parameter" in variable.get("attrspec", ()) and (kind := _kind_value(variable.get("=", ""))) is not None
    }
    routines: list[dict[str, Any]] = []
    for block in blocks:
        if block["block"] == "module":
            for inner in block["body"]:
                attributes = block["vars"].get(inner["name"], {}).get("attrspec", ())
                if inner["block"] in ("subroutine", "function") and "private" not in attributes:
                    routines += _routines(inner, kinds, block["name"])
        elif block["block"] in ("subroutine", "function"):
            routines += _routines(block, kinds, None)
    return {
        "routines": routines,
        "common": _commons(blocks, kinds),
        "program": next((block["name"] for block in blocks if block["block"] == "program"), None),
    }


def _all(blocks: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for block in blocks:
        yield block
        yield from _all(block.get("body", []))


def _routines(block: dict[str, Any], kinds: dict[str, int], module: str | None) -> Iterable[dict[str, Any]]:
    """The routine and its ENTRYs."""
    for name, names in {block["name"]: block["args"], **block.get("entry", {})}.items():
        routine: dict[str, Any] = {"name": name, "module": module, "kind": block["block"], "result": None}
        try:
            routine["arguments"] = [_variable(argument, block, kinds) for argument in names]
            if block["block"] == "function":
                result = block.get("result", name) if name == block["name"] else name
                routine["result"] = {**_variable(result, block, kinds), "name": name}
                if routine["result"]["dims"]:
                    raise ValueError("its result is an array")
                if routine["result"]["length"] == "*":
                    raise ValueError("its result is a CHARACTER of any length, CHARACTER*(*)")
        except ValueError as error:
            routine["reason"] = str(error)
        yield routine


def _variable(name: str, block: dict[str, Any], kinds: dict[str, int]) -> dict[str, Any]:
    """Type, size in bytes, dimensions and intent of a variable; ValueError says why it cannot be passed."""
    if name.startswith("e__") or name == "*":
        raise ValueError("it has alternate returns (an argument *)")
    variable = block["vars"].get(name, {})
    attributes = variable.get("attrspec", [])
    upper = name.upper()
    if "external" in attributes or name in block.get("externals", []):
        raise ValueError(f"its argument {upper} is a procedure (EXTERNAL)")
    for attribute in ("allocatable", "pointer"):
        if attribute in attributes:
            raise ValueError(f"its argument {upper} is {attribute}")
    if "typespec" not in variable and block.get("implicit", {}) is not None:  # the name of an ENTRY, say
        first = {"typespec": "integer" if name[0] in "ijklmn" else "real"}
        variable = {**variable, **block.get("implicit", {}).get(name[0], first)}
    declared = variable.get("typespec")
    if declared not in _DEFAULT and declared != "character":
        raise ValueError(f"the type of {upper} is not known" if declared is None else f"{upper} is of type {declared}")
    plain = _PLAIN.get(declared, declared)
    size = 1 if plain == "character" else _DEFAULT[declared]
    selector = variable.get("kindselector") or {}
    if "*" in selector:
        size = int(selector["*"]) if selector["*"].isdigit() else 0
    elif "kind" in selector:
        kind = _kind_of(selector["kind"], kinds)
        if kind is None:
            raise ValueError(f"the kind of {upper}, {selector['kind']}, is not known from this file")
        size = kind * (2 if plain == "complex" else 1)
    if size not in _SIZES[plain]:
        raise ValueError(f"{upper} is {plain.upper()}*{size}, for which NumPy has no type")
    length = None
    if plain == "character":
        characters = variable.get("charselector") or {}
        length = str(characters.get("*", characters.get("len", "1"))).strip("() ") or "1"
    dims = [dim if isinstance(dim, str) else ":".join(dim) for dim in variable.get("dimension", [])]
    assumed = [dim for dim in dims if dim.replace(" ", "").endswith(":")]
    if assumed and "from" in block and ":" not in block["from"]:
        raise ValueError(f"{upper} has the dimension (:), which needs a MODULE around the routine")
    return {
        "name": name,
        "type": plain,
        "size": size,
        "length": length,
        "dims": dims,
        "intent": variable.get("intent", []),
    }


def _commons(blocks: list[dict[str, Any]], kinds: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
    """The COMMON blocks, laid out as the first unit that declares each of them does; none of unknown layout."""
    found: dict[str, list[dict[str, Any]]] = {}
    unknown = set()
    for block in _all(blocks):
        for name, members in block.get("common", {}).items():
            if name in found or name in unknown:
                continue
            try:
                variables = [_variable(member, block, kinds) for member in members]
                for variable in variables:
                    [int(dim) for dim in variable["dims"]]
                    int(variable["length"] or 0)
                found[name] = variables
            except ValueError:
                unknown.add(name)
    return found


def _kind_of(text: str, kinds: dict[str, int]) -> int | None:
    text = text.replace(" ", "").lower().removeprefix("kind=")
    return int(text) if text.isdigit() else kinds.get(text, _kind_value(text))


def _kind_value(text: str) -> int | None:
    """The value of an expression such as kind(1d0) or selected_real_kind(15, 307)."""
    text = text.replace(" ", "").lower()
    if text.isdigit():
        return int(text)
    if text in _KINDS:
        return _KINDS[text]
    if found := re.fullmatch(r"kind\([\d.]+([ed]?)[+-]?\d*\)", text):
        return 8 if found[1] == "d" else 4
    if found := re.fullmatch(r"selected_(real|int)_kind\((?:[pr]=)?(\d+)(?:,(?:r=)?(\d+))?\)", text):
        digits, power = int(found[2]), int(found[3] or 0)
        if found[1] == "int":
            return next((size for size, most in ((1, 2), (2, 4), (4, 9), (8, 18)) if digits <= most), None)
        return next((size for size, most, top in ((4, 6, 37), (8, 15, 307)) if digits <= most and power <= top), None)
    return None


def serve(library: str, requests: int, replies: int, lifeline: int, output_limit: int, temporary: str) -> None:
    """Answer calls until the caller closes its end. No file may become larger than the limit, in bytes.

    If the caller is gone without having closed, the temporary folder goes as well.
    """
    for descriptor in (requests, replies, lifeline):  # CALL SYSTEM must not hand them on
        os.set_inheritable(descriptor, False)
    threading.Thread(target=_end_with_the_caller, args=(lifeline, temporary), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Python ignores the signal, and libgfortran would go on writing to a file that does not grow.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (output_limit, output_limit))
    loader = importlib.machinery.ExtensionFileLoader(MODULE, library)
    spec = importlib.util.spec_from_file_location(MODULE, library, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    send(replies, {"ready": True})

    def read(buffer: Any) -> None:
        view = memoryview(buffer)
        while view:
            count = os.readv(requests, [view])
            if not count:  # the caller has closed: end as a program does, so that every open unit is written
                getattr(module, FLUSH)()
                raise SystemExit(0)
            view = view[count:]

    while True:
        header, arrays = receive(read)
        try:
            answer = _answer(module, header, arrays)
        except IndexError as error:  # other memory may be spoilt as well
            send(replies, {"spoilt": str(error)})
            return
        except Exception as error:  # of f2py's own checks: the caller raises it
            send(replies, {"error": f"{type(error).__name__}: {error}"})
        else:
            send(replies, {}, answer)


def _answer(module: ModuleType, header: dict[str, Any], arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    if "routine" in header:
        # f2py takes a scalar that may change as an array without dimensions.
        shaped = [
            array.reshape(()) if scalar else array for array, scalar in zip(arrays, header["scalar"], strict=True)
        ]
        getattr(module, header["routine"])(*shaped)
        getattr(module, FLUSH)()
        for array, name in zip(arrays, header["names"], strict=True):
            fenced: Any = array.base
            if (fenced[:_FENCE] != _UNTOUCHED).any() or (fenced[-_FENCE:] != _UNTOUCHED).any():
                raise IndexError(f"it wrote outside its argument {name}")
        return [array.reshape(-1) for array in shaped]
    block = getattr(module, header["common"])
    if not arrays:
        return [np.asarray(getattr(block, header["member"]), order="F").ravel(order="K")]
    if header["scalar"]:
        setattr(block, header["member"], arrays[0][0])
    else:  # in place: f2py's own assignment mixes up the characters of CHARACTER arrays
        target = getattr(block, header["member"])
        target[...] = arrays[0].reshape(target.shape, order="F")
    return []


def _end_with_the_caller(lifeline: int, temporary: str) -> None:
    """End this process when the caller's process is gone, even in the middle of an endless loop."""
    os.read(lifeline, 1)
    if temporary:
        shutil.rmtree(temporary, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1] == "describe":
        print(json.dumps(describe(sys.argv[3:], sys.argv[2])))
    else:
        requests, replies, lifeline, limit = map(int, sys.argv[3:7])
        serve(sys.argv[2], requests, replies, lifeline, limit, sys.argv[7])
