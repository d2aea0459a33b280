"""Panels, each with what every panel has: a title, what it tells, a unit, and a word for when there is nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import barchart, gauge, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    ScaleDistributionConfig,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions, YAxisConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    FieldColorModeId,
    ValueMapping,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from boards.looks import LIMIT, LIMIT_PROPERTIES, PLAIN, colour_property

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
LETTERS = "ABCDEFGHIJKLMN"
STEP = "30s"
"""The least step of a query over time: recordings are made every 30 s."""


Placeable = (
    barchart.Panel | gauge.Panel | heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
)
"""The panels that the dashboards are made of."""


@dataclass(frozen=True)
class About:
    """What a panel is: its title, what it tells, its unit, what it says when it is empty, where to read on."""

    title: str
    tells: str
    unit: str = "short"
    empty: str = ""
    """Said in place of data; without it `no data`."""
    runbooks: Sequence[str] = ()
    """Names of the alerts that look at the same thing."""
    decimals: int | None = None


def titled(panel: Any, about: About) -> Any:
    """What every panel has."""
    panel.title(about.title).description(about.tells).unit(about.unit).no_value(about.empty or "no data").datasource(
        SOURCE
    )
    if about.decimals is not None:
        panel.decimals(about.decimals)
    if about.runbooks:
        panel.links([runbook(name) for name in about.runbooks])
    return panel


def runbook(alert: str) -> DashboardLink:
    """The page of an alert; `build.py --runbooks` says below which address they are."""
    return DashboardLink(f"Runbook {alert}").url(f"/runbooks/{alert}")


def over_time(expr: str, legend: str, letter: str) -> Dataquery:
    """A query over the range that is looked at."""
    query = Dataquery().expr(expr).range().legend_format(legend).ref_id(letter).editor_mode(QueryEditorMode.CODE)
    return query.format(PromQueryFormat.TIME_SERIES).datasource(SOURCE)


def at_once(expr: str, legend: str, letter: str, *, as_table: bool = False) -> Dataquery:
    """A query of the end of the range."""
    query = Dataquery().expr(expr).instant().legend_format(legend).ref_id(letter).editor_mode(QueryEditorMode.CODE)
    return query.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES).datasource(SOURCE)


def legend(*calcs: str) -> VizLegendOptions:
    """The names below the graph; a table when there are figures beside them."""
    mode = common.LegendDisplayMode.TABLE if calcs else common.LegendDisplayMode.LIST
    return (
        VizLegendOptions()
        .display_mode(mode)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs(list(calcs))
    )


def tooltip(mode: common.TooltipDisplayMode = common.TooltipDisplayMode.MULTI) -> VizTooltipOptions:
    """All series at the pointer, the largest first."""
    return VizTooltipOptions().mode(mode).sort(common.SortOrder.DESCENDING)


def lines(
    about: About,
    *queries: tuple[str, str],
    colours: Mapping[str, str] | None = None,
    least: float | None = 0,
    most: float | None = None,
    calcs: Sequence[str] = (),
    style: str = "lines",
) -> timeseries.Panel:
    """Values over time from (expression, legend). `style` is `lines`, `steps`, `bars` or `log`.

    A legend that begins with `limit` is dashed, one that begins with a word of `colours` has its colour.
    """
    panel: timeseries.Panel = titled(timeseries.Panel(), about)
    panel.targets([over_time(expr, name, LETTERS[at]) for at, (expr, name) in enumerate(queries)])
    panel.interval(STEP).legend(legend(*calcs)).tooltip(tooltip()).thresholds(PLAIN)
    panel.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME)).line_width(2).fill_opacity(8)
    panel.show_points(common.VisibilityMode.AUTO)
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    if style == "steps":
        panel.line_interpolation(common.LineInterpolation.STEP_AFTER)
    if style == "log":
        panel.scale_distribution(ScaleDistributionConfig().type(common.ScaleDistribution.SYMLOG).log(10))
    if style == "bars":
        panel.draw_style(common.GraphDrawStyle.BARS).line_width(1).fill_opacity(70)
        panel.stacking(StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    for word, colour in (colours or {}).items():
        panel.override_by_regexp(f"/^{word}/", [colour_property(colour)])
    return panel.override_by_regexp(f"/^{LIMIT}/", LIMIT_PROPERTIES)


def number(
    about: About,
    expr: str,
    *,
    name: str = "",
    thresholds: ThresholdsConfig = PLAIN,
    mappings: Sequence[ValueMapping] = (),
    text: common.BigValueTextMode = common.BigValueTextMode.AUTO,
) -> stat.Panel:
    """One figure as it is now, or the name of a series."""
    panel: stat.Panel = titled(stat.Panel(), about)
    panel.with_target(at_once(expr, name, "A")).mappings(list(mappings)).thresholds(thresholds)
    panel.reduce_options(_last()).text_mode(text).graph_mode(common.BigValueGraphMode.NONE)
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS)).orientation(common.VizOrientation.AUTO)
    return panel.color_mode(common.BigValueColorMode.VALUE).justify_mode(common.BigValueJustifyMode.AUTO)


def dial(about: About, expr: str, *, name: str, thresholds: ThresholdsConfig = PLAIN) -> gauge.Panel:
    """A share between nothing and all."""
    panel: gauge.Panel = titled(gauge.Panel(), about)
    panel.with_target(at_once(expr, name, "A")).min(0).max(1).thresholds(thresholds).reduce_options(_last())
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS)).orientation(common.VizOrientation.AUTO)
    return panel.show_threshold_labels(show_threshold_labels=False).show_threshold_markers(show_threshold_markers=True)


def _last() -> ReduceDataOptions:
    return ReduceDataOptions().values(values=False).calcs(["lastNotNull"]).fields("")


def states(about: About, expr: str, name: str, mappings: Sequence[ValueMapping]) -> statetimeline.Panel:
    """A bar a series, in the colour and with the word of the state that it was in."""
    panel: statetimeline.Panel = titled(statetimeline.Panel(), about)
    panel.with_target(over_time(expr, name, "A")).interval(STEP).mappings(list(mappings)).thresholds(PLAIN)
    panel.merge_values(merge_values=True).show_value(common.VisibilityMode.AUTO).row_height(0.85).fill_opacity(80)
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    return panel.legend(legend()).tooltip(tooltip(common.TooltipDisplayMode.SINGLE))


def bars(
    about: About, along: str, *queries: tuple[str, str], colours: Mapping[str, str], stacked: bool = False
) -> barchart.Panel:
    """Bars over the values of the label `along`, one a query (expression, name)."""
    panel: barchart.Panel = titled(barchart.Panel(), about)
    values = [f"Value #{letter}" for letter in LETTERS[: len(queries)]] if len(queries) > 1 else ["Value"]
    for letter, (expr, name) in zip(LETTERS, queries, strict=False):
        panel.with_target(at_once(expr, name, letter, as_table=True))
    renamed = dict(zip(values, (name for _, name in queries), strict=True))
    panel.transformations(merged(renamed, excluded=("Time",), order=(along, *values)))
    panel.x_field(along).orientation(common.VizOrientation.HORIZONTAL).thresholds(PLAIN).min(0)
    panel.stacking(common.StackingMode.NORMAL if stacked else common.StackingMode.NONE)
    panel.show_value(common.VisibilityMode.AUTO).bar_width(0.8).group_width(0.8).fill_opacity(80)
    panel.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    for word, colour in colours.items():
        panel.override_by_name(word, [colour_property(colour)])
    return panel.legend(legend()).tooltip(tooltip())


def merged(renamed: Mapping[str, str], *, excluded: Sequence[str], order: Sequence[str]) -> list[DataTransformerConfig]:
    """One table out of the answers of several queries: rows with the same labels become one."""
    options = {
        "excludeByName": dict.fromkeys(excluded, True),
        "indexByName": {name: index for index, name in enumerate(order)},
        "renameByName": dict(renamed),
    }
    return [
        DataTransformerConfig(id_val="merge", options={}),
        DataTransformerConfig(id_val="organize", options=options),
    ]


def heat(about: About, expr: str) -> heatmap.Panel:
    """The buckets of a histogram over time, on a scale from dark to light that needs no colours."""
    panel: heatmap.Panel = titled(heatmap.Panel(), about)
    query = over_time(expr, "{{le}}", "A").format(PromQueryFormat.HEATMAP)
    scheme = HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Cividis").steps(64).exponent(0.5)
    panel.with_target(query).interval(STEP).calculate(calculate=False).color(scheme.fill(""))
    panel.show_y_histogram().thresholds(PLAIN)
    return panel.y_axis(YAxisConfig().unit(about.unit).axis_placement(common.AxisPlacement.LEFT)).show_legend()


__all__ = [
    "LETTERS",
    "SOURCE",
    "About",
    "Placeable",
    "at_once",
    "bars",
    "dial",
    "heat",
    "lines",
    "merged",
    "number",
    "over_time",
    "runbook",
    "states",
    "titled",
]
