r"""The regular expressions that a JSON schema's `pattern` may hold: parsed and written anew, so that what reaches the
engine is what was checked.

    expression  = sequence *( "|" sequence )
    sequence    = *( atom [ "?" / "*" / "+" / "{" m [ "," [ n ] ] "}" ] )
    atom        = character / "." / "\" escaped / class / "(" [ "?:" ] expression ")"
    class       = "[" [ "^" ] 1*( character / character "-" character / "\" escaped ) "]"
    escaped     = "d" (a digit) / punctuation

- Anchored on both sides, `^…$`, as one whole: `^a|b$` would mean something else to who reads ECMA-262 closely.
- Its cost is bounded: each character counts as often as it is repeated. LLGuidance gives up on costly patterns in the
  middle of an answer, and llama.cpp then goes on without any.
- No look-around, no back-references, no classes by name but `\d`, no flags: refused, never passed over.

Pure. Raises UnfollowableSchema, which does not quote the pattern.
"""

from __future__ import annotations

import re
from typing import Final

from tenzij.engines.faults import UnfollowableSchema

MAX_COST: Final = 300
MAX_PATTERN_CHARS: Final = 512
MAX_NESTING: Final = 16

_SPECIAL: Final = frozenset("\\^$.[]|()?*+{}/")
_ESCAPABLE: Final = _SPECIAL | frozenset("-&~#%@!,:;=<>\"'` ")
_REPEATING: Final = ("?", "*", "+", "{")
_REPETITION: Final = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}")


def pattern_anew(pattern: str) -> tuple[str, int]:
    """`pattern`, written anew, and its cost. Raises UnfollowableSchema."""
    if len(pattern) > MAX_PATTERN_CHARS:
        raise UnfollowableSchema(f"a pattern has more than {MAX_PATTERN_CHARS} characters")
    if len(pattern) < 2 or not pattern.startswith("^") or not pattern.endswith("$"):
        raise UnfollowableSchema("a pattern must begin with ^ and end with $")
    reader = _Reader(pattern[1:-1])
    body, alternatives = reader.expression(0)
    if not reader.is_at_end:
        raise UnfollowableSchema("a pattern has a ) without a (")
    return f"^(?:{body})$" if alternatives > 1 else f"^{body}$", reader.cost


class _Reader:
    """Recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.cost = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._text)

    def expression(self, depth: int) -> tuple[str, int]:
        """The expression from here on and its number of alternatives."""
        if depth > MAX_NESTING:
            raise UnfollowableSchema(f"a pattern is nested deeper than {MAX_NESTING}")
        sequences = [self._sequence(depth)]
        while self._take("|"):
            sequences.append(self._sequence(depth))
        return "|".join(sequences), len(sequences)

    def _sequence(self, depth: int) -> str:
        written = ""
        while not self.is_at_end and self._peek() not in "|)":
            cost_before = self.cost
            atom = self._atom(depth)
            repetition, times = self._repetition()
            self.cost = cost_before + (self.cost - cost_before) * times
            if self.cost > MAX_COST:
                raise UnfollowableSchema(f"a pattern has, repetitions written out, more than {MAX_COST} characters")
            written += atom + repetition
        return written

    def _atom(self, depth: int) -> str:
        character = self._next()
        if character == "(":
            return self._group(depth)
        self.cost += 1
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escaped("[0-9]")
        if character in "^$":
            raise UnfollowableSchema("a pattern may have ^ only at its beginning and $ only at its end")
        if character in _REPEATING:
            raise UnfollowableSchema("a pattern repeats what cannot be repeated")
        return character if character == "." else _literal(character)

    def _group(self, depth: int) -> str:
        if self._take("?") and not self._take(":"):
            raise UnfollowableSchema("a pattern may have no look-around, names or flags in a group")
        body, _ = self.expression(depth + 1)
        if not self._take(")"):
            raise UnfollowableSchema("a pattern has a ( without a )")
        return f"(?:{body})"

    def _class(self) -> str:
        negation = "^" if self._take("^") else ""
        members = ""
        while not self._take("]"):
            first = self._member()
            if len(first) > 2 or self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("", "]"):
                members += first
                continue
            self._next()
            last = self._member()
            if len(last) > 2 or last[-1] < first[-1]:
                raise UnfollowableSchema("a pattern has a range of characters that is none")
            members += f"{first}-{last}"
        if not members:
            raise UnfollowableSchema("a pattern has an empty class of characters")
        return f"[{negation}{members}]"

    def _member(self) -> str:
        """One character of a class, escaped where needed, or a range by name (longer than two)."""
        character = self._next()
        if character == "\\":
            return self._escaped("0-9")
        if character == "[":
            raise UnfollowableSchema("a pattern has a [ inside a class of characters; write \\[")
        return f"\\{character}" if character in "-^&~" else _literal(character)

    def _escaped(self, digit: str) -> str:
        character = self._next()
        if character == "d":
            return digit
        if character not in _ESCAPABLE:
            raise UnfollowableSchema("a pattern escapes something other than punctuation or d")
        return _literal(character) if character not in "-&~" else f"\\{character}"

    def _repetition(self) -> tuple[str, int]:
        """The repetition that stands here, if any, and how often it repeats at most (1 for none or without a bound)."""
        if self._peek() not in _REPEATING:
            return "", 1
        if self._peek() != "{":
            written, most = self._next(), 1
        else:
            found = _REPETITION.match(self._text, self._at)
            if not found:
                raise UnfollowableSchema("a pattern has a repetition that is none; write {2}, {2,} or {2,5}")
            least, comma, end = int(found[1]), found[2], found[3]
            most = int(end) if end else least
            if most < least:
                raise UnfollowableSchema("a pattern has a repetition whose bounds are the wrong way round")
            self._at = found.end()
            written = f"{{{least}}}" if not comma else f"{{{least},{end or ''}}}"
        if self._peek() in _REPEATING:
            raise UnfollowableSchema("a pattern has two repetitions in a row")
        return written, max(1, most)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        if self.is_at_end:
            raise UnfollowableSchema("a pattern ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True


def _literal(character: str) -> str:
    if character < " " or character == "\x7f":
        raise UnfollowableSchema("a pattern has a control character")
    return f"\\{character}" if character in _SPECIAL else character
