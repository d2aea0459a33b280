"""Numbers in an address, such as that of a command."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request

NUMBER = "number"
"""What a route calls it: `{command:number}`."""
LARGEST = 2**31 - 1
"""Larger than any number that is given; more digits than this has are read as this."""


class Number(Convertor[int]):
    """Digits, however many. Starlette's `int` fails at thousands of them, for Python does not read so many."""

    regex = "[0-9]+"

    def convert(self, value: str) -> int:
        """What the digits say, as far as there can be such a number."""
        return min(int(value), LARGEST) if len(value) <= len(str(LARGEST)) else LARGEST

    def to_string(self, value: int) -> str:
        """The number in an address."""
        return str(value)


def written(request: Request) -> str:
    """The number at the end of the address as it was asked for, fit for a sentence."""
    return request.url.path.rpartition("/")[2][:20]


register_url_convertor(NUMBER, Number())
