"""Colours and what they mean, the same on every dashboard.

The colours are those of Okabe and Ito, which people with any kind of colour blindness can tell apart. A state always
has its word beside its colour.
"""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

GREEN = "#009E73"
BLUE = "#0072B2"
SKY = "#56B4E9"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#8E8E8E"

PHASES = ("pending", "stopped", "signed_off", "soaking", "ramping", "rolled_back", "rolling_back")
"""In the order of their numbers, from 1, for people's attention: a state timeline shows numbers only."""
PHASE_COLOURS = dict(zip(PHASES, (GREY, PURPLE, GREEN, BLUE, SKY, VERMILLION, ORANGE), strict=True))
VERDICTS = ("pass", "unknown", "fail")
"""Likewise; a later one hides an earlier one where an interval holds both."""
VERDICT_COLOURS = {"pass": GREEN, "unknown": GREY, "fail": VERMILLION}
SEVERITY_COLOURS = {"critical": VERMILLION, "warning": ORANGE, "info": SKY}
RESULT_COLOURS = {
    "sent": GREEN,
    "applied": GREEN,
    "recovered": GREEN,
    "confirmed": BLUE,
    "unchanged": GREY,
    "found": PURPLE,
    "failed": ORANGE,
    "refused": VERMILLION,
}
CLASS_COLOURS = {"true": GREEN, "false": VERMILLION, "unclassified": GREY}
ACTOR_COLOURS = {"watchdog": BLUE, "operator": GREEN, "external": VERMILLION}
LIMIT = "limit"
"""First word of the legend of every line that is a limit: those are dashed."""


def mapping(words: Mapping[str, tuple[str, str]]) -> list[ValueMapping]:
    """Values with the word and the colour that they are shown as."""
    return [
        ValueMap(
            {
                value: ValueMappingResult(text=text, color=colour, index=index)
                for index, (value, (text, colour)) in enumerate(words.items())
            }
        )
    ]


def numbered(colours: Mapping[str, str]) -> list[ValueMapping]:
    """States that are numbers from 1 in the order given."""
    return mapping({str(number): (word, colour) for number, (word, colour) in enumerate(colours.items(), 1)})


def yes_no(yes: str, no: str, *, good: bool) -> list[ValueMapping]:
    """A gauge that is 1 or 0; `good` says whether 1 is."""
    return mapping({"1": (yes, GREEN if good else VERMILLION), "0": (no, VERMILLION if good else GREEN)})


HELD = mapping({"1": ("on hold", ORANGE), "0": ("not held", GREEN)})


def steps(*colours: tuple[float | None, str]) -> ThresholdsConfig:
    """Colours from a value on; the first value is None. Only 0 and 1: every other limit is a recording."""
    absolute = [Threshold(value=value, color=colour) for value, colour in colours]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(absolute)


PLAIN = steps((None, BLUE))
ZERO_IS_GOOD = steps((None, GREEN), (1, VERMILLION))
ZERO_IS_CALM = steps((None, GREEN), (1, ORANGE))
ONE_IS_GOOD = steps((None, VERMILLION), (1, GREEN))
BELOW_ONE_IS_GOOD = steps((None, GREEN), (1, VERMILLION))
ABOVE_ZERO_IS_GOOD = steps((None, VERMILLION), (0, GREEN))


def fixed(colour: str) -> FieldColor:
    """One colour whatever the value."""
    return FieldColor().mode(FieldColorModeId.FIXED).fixed_color(colour)


def colour_property(colour: str) -> DynamicConfigValue:
    """The same, for one series."""
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


LIMIT_PROPERTIES = [
    DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
    DynamicConfigValue("custom.lineWidth", 2),
    DynamicConfigValue("custom.fillOpacity", 0),
    DynamicConfigValue("custom.stacking", {"mode": "none", "group": "A"}),
    colour_property(VERMILLION),
]
