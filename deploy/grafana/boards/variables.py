"""Variables, annotations and links of all dashboards. Alerts link with `var-service` and `var-rollout`."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from boards.looks import ORANGE, SKY, VERMILLION
from boards.panels import SOURCE
from boards.promql import EVERYWHERE, ROLLOUT, SERVICE, at, named

DASHBOARDS = {
    "slo-fleet": "Fleet",
    "slo-rollout": "Rollout",
    "slo-flags": "Flags",
    "slo-noise": "Alert noise",
    "slo-watchdog": "Watchdog",
}
ALL = VariableOption(selected=True, text="All", value="$__all")
Variable = DatasourceVariable | QueryVariable


def datasource() -> DatasourceVariable:
    """Which Prometheus."""
    variable = DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    return variable.description("The Prometheus that holds the rules of slo-watchdog and scrapes it.")


def _query(name: str, label: str, tells: str, query: str) -> QueryVariable:
    variable = QueryVariable(name).label(label).description(tells).query(query).datasource(SOURCE)
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)


def _many(variable: QueryVariable) -> QueryVariable:
    """Any number of values, at first all."""
    return variable.multi(multi=True).include_all(include_all=True).current(ALL)


def _any(variable: QueryVariable) -> QueryVariable:
    """Likewise; all includes series that do not have the label."""
    return _many(variable).all_value(".*")


def environment() -> QueryVariable:
    """The label `environment` of the targets; installations without it leave it at All."""
    query = "label_values(up, environment)"
    return _any(_query("environment", "Environment", "Label environment of the scraped targets.", query))


def service() -> QueryVariable:
    """Services: jobs with objectives, what is probed from outside, and what rollouts change."""
    burning = named(at("slo:current_burn_rate:ratio", EVERYWHERE))
    changed = at("slo_watchdog_rollout_info", EVERYWHERE)
    query = f"query_result(group by (service) ({burning} or {changed}))"
    tells = "Jobs that have objectives, targets that are probed from outside, and services of rollouts."
    return _any(_query("service", "Service", tells, query).regex('/service="([^"]+)"/'))


def rollouts() -> QueryVariable:
    """Any number of rollouts, of the chosen services."""
    query = f"label_values({at('slo_watchdog_rollout_info', EVERYWHERE, SERVICE)}, rollout)"
    return _many(_query("rollout", "Rollout", "Rollouts of the chosen services.", query))


def one_rollout() -> QueryVariable:
    """Exactly one."""
    query = f"label_values({at('slo_watchdog_rollout_info', EVERYWHERE, SERVICE)}, rollout)"
    return _query("rollout", "Rollout", "The rollout that all panels are about.", query)


def flags() -> QueryVariable:
    """Flags of any service."""
    query = f"label_values({at('slo_watchdog_flag_percent', EVERYWHERE)}, flag)"
    return _any(_query("flag", "Flag", "Flags that the watchdog looks after.", query))


def annotation(name: str, colour: str, expr: str) -> AnnotationQuery:
    """Marks on every graph where a query has a value."""
    return AnnotationQuery().name(name).datasource(SOURCE).icon_color(colour).enable(enable=True).expr(expr)


def marks(where: str = ROLLOUT) -> dict[str, AnnotationQuery]:
    """Steps of ramps, up and down, and rollbacks, by what their marks say."""

    def risen(metric: str, *matchers: str) -> str:
        what = at(metric, where, *matchers)
        return f"sum by (rollout) ({what}) > sum by (rollout) ({what} offset $__interval)"

    def moved(sign: str) -> str:
        what = at("slo_watchdog_flag_percent_desired", where)
        return f"max by (rollout) ({what}) {sign} max by (rollout) ({what} offset $__interval)"

    return {
        "{{rollout}}: exposure raised": annotation("Ramp steps", SKY, moved(">")),
        "{{rollout}}: exposure lowered": annotation("Exposure lowered", ORANGE, moved("<")),
        "{{rollout}}: rollback confirmed": annotation(
            "Rollbacks", VERMILLION, risen("slo_watchdog_rollbacks_total", 'result="confirmed"')
        ),
    }


def _to(uid: str, title: str) -> DashboardLink:
    link = DashboardLink(title).type(DashboardLinkType.LINK).icon("dashboard").keep_time(keep_time=True)
    link.tooltip(f"{title}, with the same time and variables")
    if uid == "slo-rollout":  # it shows one rollout: `All` would be none
        return link.url(f"/d/{uid}?${{datasource:queryparam}}&${{environment:queryparam}}&${{service:queryparam}}")
    return link.url(f"/d/{uid}").include_vars(include_vars=True)


def links(own: str) -> list[DashboardLink]:
    """The other dashboards, with what is chosen here, and the runbooks."""
    others = [_to(uid, title) for uid, title in DASHBOARDS.items() if uid != own]
    runbooks = DashboardLink("Runbooks").type(DashboardLinkType.LINK).icon("doc").tooltip("A page an alert")
    return [*others, runbooks.url("/runbooks/")]
