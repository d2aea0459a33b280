// Makes pages live and local. Every page can be read without it.
(() => {
  "use strict";

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

  const inUtc = (text) => text.slice(0, 10) + " " + text.slice(11, 19) + " UTC";

  // Times come as UTC. They are shown as this browser's, the day left out for today, with UTC for the pointer.
  function show(time) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    const date = day.format(at);
    time.title = inUtc(time.dateTime) + ", shown as " + zone;
    time.textContent = date === day.format(new Date()) ? clock.format(at) : date + ", " + clock.format(at);
    time.dataset.local = "";
  }

  function localise() {
    for (const time of document.querySelectorAll("time[datetime]:not([data-local])")) show(time);
  }

  // While nothing is heard, parts with hx-trigger="again from:body" are asked for every half minute.
  const PATIENCE = 30000;
  const CONNECTION = { live: "· live", lost: "· connection lost, trying again" };
  const known = new WeakSet();
  let heard = 0;

  function say(state) {
    const place = document.getElementById("connection");
    if (place && place.dataset.state !== state) {
      place.dataset.state = state;
      place.textContent = CONNECTION[state];
    }
  }

  // The server says every quarter of a minute as of when it has looked.
  function beat(event) {
    heard = Date.now();
    say("live");
    const time = document.querySelector("#as-of time");
    if (time) {
      time.dateTime = event.data;
      show(time);
    }
  }

  function opened(event) {
    const source = event.detail.source;
    if (!known.has(source)) {
      known.add(source);
      source.addEventListener("now", beat);
    }
    heard = Date.now();
    say("live");
  }

  function settled() {
    localise();
    const part = document.querySelector("[data-title]");
    if (part) document.title = part.dataset.title + " · slo-watchdog";
  }

  document.addEventListener("htmx:sseOpen", opened);
  // A browser does not tell why it gave a stream up. Who may not read any more is shown what any page shows then; a page
  // that was just let in waits a while, for two replicas may know different tokens.
  const YOUNG = 10000;
  let leaving = false;

  async function lost(event) {
    say("lost");
    const source = event.detail.source;
    if (leaving || source.readyState !== EventSource.CLOSED) return;
    const asking = new AbortController();
    const answer = await fetch(source.url, { signal: asking.signal }).catch(() => null);
    asking.abort();
    if (leaving || !answer || answer.status !== 401) return;
    leaving = true;
    window.setTimeout(() => window.location.reload(), Math.max(0, YOUNG - performance.now()));
  }

  document.addEventListener("htmx:sseError", lost);
  document.addEventListener("htmx:sseMessage", () => { heard = Date.now(); settled(); });
  document.addEventListener("htmx:afterSettle", settled);
  document.addEventListener("DOMContentLoaded", () => {
    for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
    localise();
    if (!document.querySelector("[sse-connect]")) return;
    heard = Date.now();
    window.setInterval(() => {
      if (Date.now() - heard < PATIENCE) return;
      heard = Date.now();
      say("lost");
      document.body.dispatchEvent(new CustomEvent("again"));
    }, 1000);
  });
})();
