"""What compilers of today no longer read, put into words that they do, in a copy that stands in for the source.

The source itself stays as it is. Only what every modern compiler refuses, or reads otherwise than its author's did, is
rewritten, statement by statement, and each change is reported with its line:

- a PROGRAM card that names files (CDC), READ INPUT TAPE and WRITE OUTPUT TAPE (FORTRAN II), PUNCH, ACCEPT, TYPE, and
  labels of alternate returns with & or $, hexadecimal DATA, REAL FUNCTION F*8, text between stars (IBM, CDC), PRINT
  and READ without a format (WATFOR);
- PAUSE, which would wait for an operator, or read the next card as his answer;
- a procedure of the program with the name of an intrinsic that came later: without EXTERNAL the intrinsic is called;
- on request, FORTRAN 66: loops run at least once, and blanks in the numbers on cards are zeros.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ecgkern.legacy._source import Finding, Source, expanded, is_comment, masked, without_comment

__all__ = ["modernised", "procedures"]

# Intrinsics of Fortran 90 to 2018 and of gfortran, and those of FORTRAN 77 that FORTRAN 66 did not have.
_INTRINSICS = frozenset(
    re.findall(
        r"\w+",
        """
        abort access achar acos acosd acosh adjustl adjustr alarm all allocated and anint any asin asind asinh
        associated atan2d atand atanh backtrace besj0 besj1 besjn bessel_j0 bessel_j1 bessel_jn bessel_y0 bessel_y1
        bessel_yn besy0 besy1 besyn bge bgt bit_size ble blt btest ceiling char chdir chmod cosd cosh cotan cotand
        count cpu_time cshift ctime date_and_time dbesj0 dbesj1 dbesjn dbesy0 dbesy1 dbesyn dcmplx ddim derf derfc
        dfloat dgamma digits dim dint dlgama dnint dot_product dprod dreal dshiftl dshiftr dtime eoshift epsilon erf
        erfc erfc_scaled etime execute_command_line exit exponent fdate fget fgetc findloc float floor flush fnum
        fput fputc fraction free fseek fstat ftell gamma gerror getarg getcwd getenv getgid getlog getpid getuid
        gmtime hostnm huge hypot iachar iall iand iany iargc ibclr ibits ibset ichar idate idnint ieor ierrno
        image_index index ior iparity irand is_contiguous is_iostat_end is_iostat_eor isatty isha ishft ishftc isnan
        itime kill kind lbound leadz len len_trim lgamma lge lgt link lle llt lnblnk loc log log10 log_gamma logical
        long lshift lstat ltime malloc matmul max maxexponent maxloc maxval mclock mclock8 merge min minexponent
        minloc minval modulo move_alloc mvbits nearest new_line nint norm2 not null num_images or pack parity perror
        popcnt poppar precision present product radix ran rand random random_number random_seed range rank real
        rename repeat reshape rrspacing rshift same_type_as scale scan secnds second selected_char_kind
        selected_int_kind selected_real_kind set_exponent shape shifta shiftl shiftr short signal sind sinh size
        sizeof sleep spacing spread srand stat storage_size sum symlnk system system_clock tan tand tanh this_image
        time time8 tiny trailz transfer transpose trim ttynam ubound umask unlink unpack verify xor zabs zcos zexp
        zlog zsin zsqrt
        """,
    )
)
_UNIT_CARD = re.compile(
    r"(?:recursive|pure|elemental)*(?:(?:real|integer|logical|complex|doubleprecision|character|byte)(?:\*\d+)?)?function([a-z]\w*)(?:\*\d+)?\("
    r"|(?:recursive|pure|elemental)*subroutine([a-z]\w*)|(program)|(blockdata|module)"
)
_SPECIFICATION = re.compile(
    r"(implicit|parameter|dimension|common|equivalence|external|intrinsic|save|data|namelist|format|entry|real|integer"
    r"|logical|complex|doubleprecision|doublecomplex|character|byte|pointer|structure|record|virtual|include|program)"
)


@dataclass
class _Statement:
    """A statement of fixed form: its first line and the one after its last, from 0; label; text, case kept."""

    first: int
    end: int
    label: str
    text: str

    @property
    def squeezed(self) -> str:
        """In lower case and without blanks, as compilers read it; a full stop for each character of a constant."""
        return re.sub(r"\s", "", masked(self.text)).lower()


def procedures(source: Source) -> frozenset[str]:
    """The procedures of a source that have the name of an intrinsic, in lower case."""
    if source.form == "free":
        return frozenset()
    lines = _clean(source.text)[0].split("\n")
    return frozenset(_defines(statement) for statement in _statements(lines, source.columns)) & _INTRINSICS


def modernised(
    source: Source, *, f66: bool = False, own: frozenset[str] = frozenset()
) -> tuple[str, tuple[Finding, ...]]:
    """The text to compile, and what was changed in it.

    Parameters
    ----------
    source : Source
        The source.
    own : frozenset of str, optional
        What `procedures` finds in the other files of the program.
    f66 : bool, optional
        Loops run at least once and blanks in numbers on cards are zeros, as in FORTRAN 66.

    Returns
    -------
    text : str
        The same number of lines, or line markers that keep the compiler's line numbers those of the source.
    findings : tuple of Finding
        A note for each change.
    """
    text, findings = _clean(source.text)
    if source.form == "free":
        return text, tuple(findings)
    lines = text.split("\n")
    replaced: dict[int, tuple[int, list[str]]] = {}  # first line -> line after the last, new lines

    def replace(statement: _Statement, new: str, said: str) -> None:
        replaced[statement.first] = (statement.end, _cards(statement.label, new, source.columns))
        findings.append(Finding(statement.first + 1, "note", said))

    units = list(_units(_statements(lines, source.columns)))
    tapes = _tapes(units)
    for statement in (statement for unit in units for statement in unit):
        condition, action = _action(statement.text)
        for pattern, form, said in _REWRITES:
            match = pattern.fullmatch(action.strip())
            if match:
                replace(statement, condition + match.expand(form).rstrip(" ,"), said)
                break
        else:
            new, said = _in_place(action, statement.squeezed, tapes)
            if new != action:
                replace(statement, condition + new.strip(), said)
            loop = _loop(statement.text)
            if loop and f66:
                replace(statement, loop, "runs at least once, as in FORTRAN 66")
            elif loop and re.search(r"MAX0\(\d+,\d+\)", loop):
                said = "this loop never runs; in FORTRAN 66 it ran once: --f66"
                findings.append(Finding(statement.first + 1, "warning", said))
    text_of = dict(enumerate(lines))
    # The last first: each goes before those that it follows.
    for before, line, said in reversed(list(_inserted(units, own | procedures(source), f66))):
        text_of[before] = f'{line}\n# {before + 1} "{source.name}"\n{text_of[before]}'
        findings.append(Finding(before + 1, "note", said))
    for first, (end, cards) in replaced.items():
        marker = [f'# {end + 1} "{source.name}"'] if len(cards) != end - first else []
        inserted = text_of[first].split("\n")[:-1]  # what was put before it stays
        text_of[first] = "\n".join([*inserted, *cards, *marker])
        for gone in range(first + 1, end):
            del text_of[gone]
    return "\n".join(text_of[line] for line in sorted(text_of)), tuple(sorted(findings, key=lambda f: f.line or 0))


def _clean(text: str) -> tuple[str, list[Finding]]:
    """Without the control characters that editors and tapes left, each of which stops a compiler."""
    findings = []
    end = text.find("\x1a")
    if end >= 0:
        if text[end:].strip("\x1a \n"):
            findings.append(Finding(text.count("\n", 0, end) + 1, "warning", "text behind Ctrl-Z, the DOS end of file"))
        text = text[:end] if not text[end:].strip("\x1a \n") else text.replace("\x1a", " ")
    return text.replace("\f", " ").replace("\x7f", " "), findings


def _statements(lines: list[str], columns: int) -> Iterator[_Statement]:
    current: _Statement | None = None
    for number, line in enumerate(lines):
        if is_comment(line):
            continue
        line = without_comment(expanded(line)[:columns])
        label, mark, text = line[:5], line[5:6], line[6:]
        if mark.strip() and mark != "0" and current is not None:
            # A card is as wide as its columns: blanks at its end may belong to a Hollerith constant.
            current.text = current.text.ljust((columns - 6) * (current.end - current.first)) + text
            current.end = number + 1
        else:
            if current is not None:
                yield current
            current = _Statement(number, number + 1, label.strip(), text)
    if current is not None:
        yield current


def _units(statements: Iterator[_Statement]) -> Iterator[list[_Statement]]:
    """The program units, each up to its END."""
    unit = []
    for statement in statements:
        unit.append(statement)
        if re.fullmatch(r"end((program|subroutine|function|blockdata)\w*)?", statement.squeezed):
            yield unit
            unit = []
    if unit:
        yield unit


def _cards(label: str, text: str, columns: int) -> list[str]:
    width = columns - 6
    pieces = [text[start : start + width] for start in range(0, max(len(text), 1), width)]
    return [f"{label:>5} {pieces[0]}", *(f"     +{piece}" for piece in pieces[1:])]


def _spaced(word: str) -> str:
    """A pattern for a keyword: blanks mean nothing in fixed form."""
    return r"\s*".join(word)


def _rewrite(pattern: str, form: str, said: str) -> tuple[re.Pattern[str], str, str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL), form, said


_FORMAT_AND_LIST = r"\s*(\d[\d ]*|\*|[a-z]\w*)\s*(?:,(.*))?"
_REWRITES = [
    _rewrite(rf"{_spaced('program')}\s*([a-z]\w*)\s*\(.*\)\s*", r"PROGRAM \1", "files on the PROGRAM card left out"),
    _rewrite(
        rf"{_spaced('writeoutputtape')}\s*(\w+)\s*,{_FORMAT_AND_LIST}", r"WRITE(\1,\2) \3", "read as WRITE (FORTRAN II)"
    ),
    _rewrite(
        rf"{_spaced('readinputtape')}\s*(\w+)\s*,{_FORMAT_AND_LIST}", r"READ(\1,\2) \3", "read as READ (FORTRAN II)"
    ),
    _rewrite(rf"{_spaced('writetape')}\s*(\w+)\s*,(.*)", r"WRITE(\1) \2", "read as WRITE (FORTRAN II)"),
    _rewrite(rf"{_spaced('readtape')}\s*(\w+)\s*,(.*)", r"READ(\1) \2", "read as READ (FORTRAN II)"),
    _rewrite(rf"{_spaced('print')}\s*,(.*)", r"PRINT *,\1", "PRINT without a format (WATFOR)"),
    _rewrite(rf"{_spaced('read')}\s*,(.*)", r"READ *,\1", "READ without a format (WATFOR)"),
    _rewrite(rf"{_spaced('punch')}{_FORMAT_AND_LIST}", r"WRITE(7,\1) \2", "PUNCH writes unit 7"),
    _rewrite(rf"{_spaced('accept')}{_FORMAT_AND_LIST}", r"READ(5,\1) \2", "ACCEPT reads unit 5"),
    _rewrite(rf"{_spaced('type')}\s*(\d[\d ]*|\*)\s*(?:,(.*))?", r"WRITE(6,\1) \2", "TYPE writes unit 6"),
    _rewrite(
        rf"({'|'.join(map(_spaced, ('real', 'integer', 'logical', 'complex')))})\s*{_spaced('function')}"
        r"\s*([a-z]\w*)\s*\*\s*(\d+)\s*(\(.*)",
        r"\1*\3 FUNCTION \2\4",
        "the length stands behind the type",
    ),
    _rewrite(rf"{_spaced('pause')}\s*(\d*)", r"WRITE(0,*) 'PAUSE \1'", "PAUSE does not wait"),
    _rewrite(rf"{_spaced('pause')}\s*'([^']*)'", r"WRITE(0,*) 'PAUSE \1'", "PAUSE does not wait"),
]
_LABEL = re.compile(r"[(,]\s*([&$])(?=\s*\d[\d\s]*[,)])")
_HEXADECIMAL = re.compile(r"(?<=[/,*])(\s*)(?:Z([0-9A-F]+)|[O\"]([0-7]+))(?=\s*[/,])", re.IGNORECASE)
_STARRED = re.compile(r"(?<=[(,/])(\s*)\*([^*']*)\*(?=\s*[,/)])")


def _tapes(units: list[list[_Statement]]) -> dict[str, str]:
    """The units that a PROGRAM card makes the card reader, the printer or the punch, and their numbers today."""
    today = {"input": "5", "output": "6", "punch": "7"}
    cards = [unit[0].squeezed for unit in units if unit[0].squeezed.startswith("program")]
    pairs = re.findall(r"tape(\d+)=(input|output|punch)\b", cards[0]) if cards else []
    return {tape: today[name] for tape, name in pairs if tape != today[name]}


def _in_place(action: str, squeezed: str, tapes: dict[str, str]) -> tuple[str, str]:
    """A statement with some of its words replaced, and what was done."""
    mask = masked(action)
    if re.match(r"\s*c\s*a\s*l\s*l", mask, re.IGNORECASE):
        characters = list(action)
        for label in _LABEL.finditer(mask):
            characters[label.start(1)] = "*"
        return "".join(characters), "labels of alternate returns begin with *"
    if tapes and (unit := re.match(r"(\s*(?:read|write)\s*\(\s*)(\d+)(?=\s*[,)])", action, re.IGNORECASE)):
        if unit[2] in tapes:
            number = tapes[unit[2]]
            return unit[1] + number + action[unit.end() :], f"unit {unit[2]} is unit {number}, as the PROGRAM card says"
    elif squeezed.startswith("data") and not squeezed.startswith("data="):

        def constant(match: re.Match[str]) -> str:
            return f"{match[1]}Z'{match[2]}'" if match[2] else f"{match[1]}O'{match[3]}'"

        return _HEXADECIMAL.sub(constant, action), "a hexadecimal or octal constant, written as Z'...' or O'...'"
    elif squeezed.startswith("format(") and "*" in mask:
        return _STARRED.sub(r"\1'\2'", action), "text between stars (CDC), written between apostrophes"
    return action, ""


_DO = re.compile(r"\s*d\s*o\s*(\d[\d ]*?)\s*,?\s*([a-z]\w*)\s*=(.*)", re.IGNORECASE | re.DOTALL)


def _loop(text: str) -> str | None:
    """A DO statement whose loop runs at least once, from one that may not run; None for any other statement."""
    match = _DO.fullmatch(text.rstrip())
    if match is None:
        return None
    parts = [part.strip() for part in _top_level(match[3])]
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2].startswith("-")):
        return None
    if "." in match[3] or match[2][0].lower() not in "ijklmn":  # a loop over REAL numbers, which FORTRAN 66 had not
        return None
    if parts[0].isdigit() and parts[1].isdigit() and int(parts[0]) <= int(parts[1]):
        return None
    limits = [parts[0], f"MAX0({parts[0]},{parts[1]})", *parts[2:]]
    return f"DO {match[1].strip()} {match[2]}={','.join(limits)}"


def _action(text: str) -> tuple[str, str]:
    """A logical IF up to its closing parenthesis, and the statement that it guards; any other statement whole."""
    if re.match(r"\s*i\s*f\s*\(", text, re.IGNORECASE):
        depth = 0
        for place, character in enumerate(masked(text)):
            depth += (character == "(") - (character == ")")
            if character == ")" and not depth:
                return text[: place + 1] + " ", text[place + 1 :]
    return "", text


def _top_level(text: str) -> list[str]:
    """Split at the commas outside parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _inserted(units: list[list[_Statement]], own: frozenset[str], f66: bool) -> Iterator[tuple[int, str, str]]:
    """Lines to put in: before which line, from 0; the line; why."""
    for unit in units:
        card = _UNIT_CARD.match(unit[0].squeezed)
        defined = {_defines(statement) for statement in unit}
        for name in sorted(own - defined):
            if _calls(unit, name):
                yield _after_implicit(unit), f"      EXTERNAL {name.upper()}", f"{name.upper()} is the program's own"
        if f66 and (card is None or card[3]):
            first = _first_executable(unit)
            if first is not None:
                said = "blanks in the numbers on cards are zeros, as in FORTRAN 66"
                yield first, "      OPEN(UNIT=5,BLANK='ZERO')", said


def _defines(statement: _Statement) -> str:
    """The procedure that a statement begins, or nothing."""
    match = re.match(r"entry([a-z]\w*)", statement.squeezed) or _UNIT_CARD.match(statement.squeezed)
    return next((name for name in match.groups()[:2] if name), "") if match else ""


def _calls(unit: list[_Statement], name: str) -> bool:
    """Whether a unit refers to a procedure of that name that it does not declare as something else."""
    used = False
    for statement in unit:
        text = statement.squeezed
        word = rf"(?<![a-z0-9_]){name}"
        if re.match(r"(external|intrinsic)", text) and re.search(rf"(?:external|intrinsic|,){name}(,|$)", text):
            return False
        if re.match(rf"{name}\(.*?\)=", text):  # an array's element, or a statement function
            return False
        assigns = re.match(r"[a-z]\w*(\(.*\))?=", text)
        declares = not assigns and re.match(
            r"(dimension|common|real|integer|logical|complex|double|character|equivalence|data)", text
        )
        if declares and _UNIT_CARD.match(text) is None:
            if text.startswith(("common", "equivalence")):
                if re.search(rf"{name}(?![a-z0-9_])", text):
                    return False
            elif re.search(rf"(?:{word}|^[a-z]+(?:\*\d+)?{name})\(", text):
                return False
            continue
        if _UNIT_CARD.match(text) and re.search(rf"[(,]{name}[,)]", text):  # a dummy argument
            return False
        used = used or bool(re.search(rf"{word}\(|(?:^|\))call{name}(?![a-z0-9_])", text))
    return used


def _after_implicit(unit: list[_Statement]) -> int:
    """The line before which an EXTERNAL statement may stand."""
    for statement in unit:
        if not (_UNIT_CARD.match(statement.squeezed) or statement.squeezed.startswith("implicit")):
            return statement.first
    return unit[-1].first


def _first_executable(unit: list[_Statement]) -> int | None:
    arrays = set()
    for statement in unit:
        text = statement.squeezed
        if _UNIT_CARD.match(text):
            continue
        if _SPECIFICATION.match(text) and not re.match(r"[a-z]\w*=|[a-z]\w*\(.*\)=", text):
            arrays.update(re.findall(r"([a-z]\w*)\(", _SPECIFICATION.sub("", text, count=1)))
            continue
        function = re.match(r"([a-z]\w*)\([a-z]\w*(,[a-z]\w*)*\)=", text)
        if function and function[1] not in arrays:
            continue
        return statement.first
    return None
