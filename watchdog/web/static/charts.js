// Draws the charts of a page from the addresses in their `data-chart`, and keeps what a reader opened as it was when
// the live part is replaced. Every page can be read without it: each chart has its numbers in a table beside it.
(() => {
  "use strict";

  const HEIGHT = 240;
  const AGAIN = 60000;
  const drawn = new Map();

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  const LINES = {
    "planned": { stroke: "--soft", dash: [6, 5], width: 1.5 },
    "asked for": { stroke: "--warn-fill", width: 1.5 },
    "read back": { stroke: "--link", width: 2.2, fill: true },
    "mean": { stroke: "--link", width: 2 },
    "greatest": { stroke: "--soft", width: 1, dash: [2, 3] },
    "least": { stroke: "--soft", width: 1, dash: [2, 3] },
    "p99": { stroke: "--warn-fill", width: 1.5 },
    "p50": { stroke: "--link", width: 2 },
    "longest": { stroke: "--soft", width: 1, dash: [2, 3] },
  };
  const BANDS = {
    "hold": ["--warn-fill", 0.28],
    "waiting": ["--warn-fill", 0.14],
    "fail": ["--bad-fill", 0.35],
    "unknown": ["--warn-fill", 0.3],
    "idle": ["--idle-fill", 0.18],
  };

  function shown(unit) {
    return (value) => {
      if (value === null || value === undefined) return "–";
      if (unit === "share") return +(value * 100).toPrecision(4) + " %";
      return +value.toPrecision(5) + (unit === "number" ? "" : " " + unit);
    };
  }

  // What lies behind the lines (waits, failing slots), and the limit above them.
  function underlay(plot, told) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const band of told.bands || []) {
      const [name, share] = BANDS[band.kind] || BANDS.unknown;
      const from = plot.valToPos(band.from, "x", true);
      const to = plot.valToPos(band.to, "x", true);
      ctx.globalAlpha = share;
      ctx.fillStyle = colour(name);
      ctx.fillRect(from, bbox.top, Math.max(2, to - from), bbox.height);
    }
    ctx.restore();
  }

  function limit(plot, told) {
    if (told.limit === undefined || told.limit === null) return;
    const { ctx, bbox } = plot;
    const y = plot.valToPos(told.limit, "y", true);
    ctx.save();
    ctx.strokeStyle = colour("--bad");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }

  // As uPlot wants it: from which distance of ticks on, the text of each, and what the first of a year or day adds.
  const DAY = ["\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1];
  const CLOCK = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", ...DAY],
    [0.001, "{HH}:{mm}:{ss}", ...DAY],
  ];

  function options(place, told) {
    const ink = colour("--ink");
    const grid = { stroke: colour("--rule"), width: 1 };
    const format = shown(told.unit);
    const stepped = told.kind === "exposure" ? { paths: window.uPlot.paths.stepped({ align: 1 }) } : {};
    const lines = told.lines.map((line) => {
      const look = LINES[line.name] || LINES.mean;
      return {
        ...stepped,
        label: line.name,
        stroke: colour(look.stroke),
        width: look.width,
        dash: look.dash,
        spanGaps: told.kind === "exposure",
        points: { show: told.kind === "drills" },
        value: (_, value) => format(value),
      };
    });
    const range = (_, low, high) => {
      if (told.kind === "exposure") return [0, 105];
      const least = Math.min(low ?? 0, told.limit ?? low ?? 0);
      const most = Math.max(high ?? 1, told.limit ?? high ?? 1);
      const pad = (most - least || Math.abs(most) || 1) * 0.1;
      return [least >= 0 && least < 0.7 * most ? 0 : least - pad, most + pad];
    };
    return {
      width: place.clientWidth,
      height: HEIGHT,
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: true }, y: { range } },
      axes: [
        { stroke: ink, grid, ticks: grid, values: CLOCK },
        { stroke: ink, grid, ticks: grid, size: 70, values: (_, found) => found.map(format) },
      ],
      series: [{ label: "at", value: "{D} {MMM} {YYYY}, {HH}:{mm}:{ss}" }, ...lines],
      hooks: {
        drawClear: [(plot) => underlay(plot, told)],
        draw: [(plot) => limit(plot, told)],
      },
    };
  }

  function draw(place, told) {
    const old = drawn.get(place);
    if (old) old.destroy();
    drawn.delete(place);
    place.hidden = told.at.length < 2;
    if (place.hidden) return;
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", place.dataset.label + "; its numbers are in the table below");
    drawn.set(place, new window.uPlot(options(place, told), [told.at, ...told.lines.map((line) => line.values)], place));
  }

  const known = new Map();

  async function load(place) {
    try {
      const answer = await fetch(place.dataset.chart, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      const told = await answer.json();
      known.set(place, told);
      draw(place, told);
    } catch {
      return; // the tables have the numbers; it is tried again with the next change
    }
  }

  function all(work) {
    for (const place of document.querySelectorAll("[data-chart]")) work(place);
  }

  function redraw() {
    for (const [place, told] of known) draw(place, told);
  }

  // The live part is replaced whole: what was opened in it stays open, and what changed is said once.
  let open = [];

  function before() {
    open = [...document.querySelectorAll("#live details[open]")].map((one) => one.id);
  }

  function after() {
    for (const id of open) {
      const found = document.getElementById(id);
      if (found) found.open = true;
    }
    announce();
  }

  function announce() {
    const said = document.querySelector("#live [data-said]");
    const place = document.getElementById("announced");
    if (!said || !place) return;
    if (place.dataset.last !== undefined && place.dataset.last !== said.dataset.said) place.textContent = said.dataset.said;
    place.dataset.last = said.dataset.said;
  }

  let due = 0;

  document.addEventListener("DOMContentLoaded", () => {
    if (window.uPlot) all(load);
    announce();
    document.addEventListener("htmx:beforeSwap", before);
    document.addEventListener("htmx:sseBeforeMessage", before);
    document.addEventListener("htmx:afterSettle", () => {
      after();
      if (Date.now() - due > AGAIN && window.uPlot) {
        due = Date.now();
        all(load);
      }
    });
    due = Date.now();
    let waiting = 0;
    window.addEventListener("resize", () => {
      window.clearTimeout(waiting);
      waiting = window.setTimeout(redraw, 150);
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  });
})();
