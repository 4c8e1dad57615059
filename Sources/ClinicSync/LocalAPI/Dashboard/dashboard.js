"use strict";
// Shows a node to people. Everything that comes from the node is put in as text, never as markup.

const EVENTS_SHOWN = 100;
const view = id => document.getElementById(id);
const state = {
  status: null, nodes: [], marks: new Map(), names: new Map(), position: null,
  isAway: false, isOver: false, isSyncing: false, shown: new Map(),
};

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

function fill(id, text, className) {
  const place = view(id);
  if (place.textContent !== text) place.textContent = text;
  if (className !== undefined) place.className = className;
}

// Replaces children only when what they show differs, so that focus and scrolling stay where they are.
function replace(id, data, children) {
  const text = JSON.stringify(data);
  if (state.shown.get(id) === text) return;
  state.shown.set(id, text);
  view(id).replaceChildren(...children());
}

const clock = text => new Date(text).toLocaleTimeString([], {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const moment = text => {
  if (!text) return "–";
  const date = new Date(text);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock(text) : date.toLocaleString();
};
const milliseconds = value => value === null || value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;
const words = name => name.replaceAll("_", " ").replace(/([a-z0-9])([A-Z])/g, (_, a, b) => `${a} ${b.toLowerCase()}`);

// MARK: Talking with the node

class Refusal extends Error {
  constructor(status, body) {
    super(body?.message ?? `The node answered with ${status}.`);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const request = { cache: "no-store", headers: {}, ...options };
  if (request.method && request.method !== "GET") {
    request.headers["X-ClinicSync"] = "1";
    if (request.body !== undefined) {
      request.headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(request.body);
    }
  }
  const response = await fetch(path, request);
  if (response.status === 401) end();
  if (!response.ok) {
    let body = null;
    try { body = await response.json(); } catch { body = null; }
    throw new Refusal(response.status, body);
  }
  if (response.status === 204) return null;
  return response.json();
}

function end() {
  state.isOver = true;
  banner("This page was open for too long: run clinic-node dashboard on this PC to open it again.");
}

function banner(text) {
  const place = view("banner");
  place.hidden = text === null;
  if (text !== null && place.textContent !== text) place.textContent = text;
}

function away(isAway) {
  if (state.isOver) return;
  state.isAway = isAway;
  banner(isAway ? "The node on this PC does not answer. Work goes on; this page tries again by itself." : null);
}

const isGone = error => !(error instanceof Refusal) || error.status === 503;

// MARK: Status, PCs, tables

async function refreshStatus() {
  const [status, nodes] = await Promise.all([ask("/v1/status"), ask("/v1/nodes")]);
  state.status = status;
  state.nodes = nodes.nodes;
  for (const node of nodes.nodes) state.names.set(node.id, node.name);
  showSummary();
  showNodes();
  showTables();
}

function showSummary() {
  const { status } = state;
  fill("clinic", status.clinic.name);
  fill("node-name", status.node.name);
  document.title = `${status.node.name} – ${status.clinic.name}`;
  const host = status.host === null ? "No host at the moment: every PC goes on alone."
    : status.role === "host" ? "This PC is host." : `Host is ${status.host.name}.`;
  const pending = status.pendingChanges === 0 ? "" : ` ${plural(status.pendingChanges, "change", "changes")} not yet passed on.`;
  const waiting = status.waiting.reduce((sum, entry) => sum + entry.rows, 0);
  const transfer = status.progress?.state ?? null;
  const failure = transfer?.failure ?? null;
  const catching = transfer === null ? ""
    : failure !== null ? ` This PC has received all rows and cannot show them: ${failure.message}.`
      + ` It tries again in ${failure.retrySeconds} s.`
    : transfer.complete ? " This PC has received all rows and shows them next."
    : ` This PC receives all rows: ${transfer.rows} of about ${transfer.rowsTotal}, `
      + `${(transfer.bytes / 1e6).toFixed(1)} MB at ${(transfer.bytesPerSecond / 1e6).toFixed(1)} MB/s`
      + (transfer.secondsLeft === null ? "." : `, ${transfer.secondsLeft} s left.`);
  fill("summary", `${host} ${plural(status.activeConnections, "connection", "connections")}.${pending}`
    + (waiting === 0 ? "" : ` ${plural(waiting, "row", "rows")} set aside.`) + catching);
  showVerdict();
  showFindings();
  fill("about", `ClinicSync ${status.node.version}, schema ${status.node.schemaVersion}, node ${status.node.id}`);
}

// The verdict about the clinic in words and colour, and the PCs that are missing.
function showVerdict() {
  const { verdict } = state.status;
  if (verdict === null) return;
  const isWhole = verdict.state === "equal" && verdict.equalWith === verdict.members;
  const className = isWhole ? "good" : verdict.state === "equal" || verdict.state === "behind" ? "warn" : "bad";
  const sentence = verdict.sentence.charAt(0).toUpperCase() + verdict.sentence.slice(1);
  fill("verdict", `${sentence}. Since ${moment(verdict.since)}.`, className);
  view("missing").hidden = verdict.missing.length === 0;
  replace("missing", verdict.missing, () => verdict.missing.map(pc => element("li", { "data-node": pc.id },
    element("strong", {}, pc.name), pc.since === null ? " was never seen: " : ` was last seen at ${moment(pc.since)}: `, `${pc.reason}.`,
  )));
}

// What is not well on this PC: the cause, and what to do.
function showFindings() {
  const { findings } = state.status;
  view("findings").hidden = findings.length === 0;
  replace("findings", findings, () => findings.map(finding => element("li", {
    "data-check": finding.check, class: finding.state === "failed" ? "bad" : "warn",
  },
    element("strong", {}, finding.finding), finding.remedy === "" ? null : ` ${finding.remedy}`,
    finding.since === null ? null : element("span", { class: "dim" }, ` Since ${moment(finding.since)}.`),
  )));
}

function showNodes() {
  const peers = new Map(state.status.peers.map(peer => [peer.id, peer]));
  const rows = state.nodes.filter(node => node.role !== "revoked").map(node => ({
    ...node, roundTrip: peers.get(node.id)?.roundTripMilliseconds ?? null,
  }));
  const data = rows.map(node => [
    node.name, node.isSelf, node.role, node.connected, node.lagBatches, milliseconds(node.roundTrip), moment(node.lastSeen),
  ]);
  replace("nodes", data, () => rows.map(node => element("tr", { "data-node": node.id },
    element("th", { scope: "row" }, node.name, node.isSelf ? " (this PC)" : ""),
    element("td", {}, node.role),
    node.connected ? element("td", { class: "good" }, "connected")
      : element("td", { class: "dim" }, "away"),
    element("td", { class: "number" }, node.lagBatches === null || node.lagBatches === undefined ? "–" : String(node.lagBatches)),
    element("td", { class: "number" }, node.isSelf ? "–" : milliseconds(node.roundTrip)),
    element("td", {}, node.isSelf ? "now" : moment(node.lastSeen)),
  )));
}

// A mark of the sync button names one table; the periodic comparison proves all or none.
function markOf(table) {
  const last = state.status.lastReconciliation;
  const own = state.marks.get(table);
  const general = last && { result: last.result, at: last.at };
  if (own && general) return own.at > general.at ? own : general;
  return own ?? general ?? null;
}

function markText(mark) {
  if (mark === null) return ["not compared yet", "dim"];
  const at = clock(mark.at);
  if (mark.result === "equal") return [`equal at ${at}`, "good"];
  if (mark.result === "repaired") return [`equal after repair at ${at}`, "good"];
  if (mark.result === "differs") return [`differs, at ${at}`, "bad"];
  return [`nobody to compare with at ${at}`, "warn"];
}

function showTables() {
  const rows = state.status.tables.map(table => [table.name, table.rows, ...markText(markOf(table.name))]);
  replace("tables", rows, () => rows.map(([name, count, text, className]) => element("tr", { "data-table": name },
    element("th", { scope: "row" }, words(name)),
    element("td", { class: "number" }, Number(count).toLocaleString()),
    element("td", { class: className }, text),
  )));
}

async function sync() {
  if (state.isSyncing || state.status === null) return;
  state.isSyncing = true;
  view("sync").disabled = true;
  const names = state.status.tables.map(table => table.name);
  const progress = view("sync-progress");
  progress.hidden = false;
  progress.max = names.length;
  let differing = 0;
  let repaired = 0;
  const missing = new Map();
  let isAlone = false;
  try {
    for (const [index, name] of names.entries()) {
      progress.value = index;
      fill("sync-message", `Comparing ${words(name)}, ${index + 1} of ${names.length}`, "");
      const summary = await ask(`/v1/sync?table=${encodeURIComponent(name)}&timeout=60s`, { method: "POST" });
      const result = summary.verdict === "alone" ? "unreachable" : summary.result;
      isAlone ||= summary.verdict === "alone";
      for (const node of summary.nodes) if (node.reason !== null) missing.set(node.id, node.name);
      state.marks.set(name, { result, at: new Date().toISOString() });
      repaired += summary.repairedRows;
      if (summary.result !== "equal" && summary.result !== "repaired") differing += 1;
      showTables();
    }
    if (differing > 0) fill("sync-message", `${plural(differing, "table is", "tables are")} not proven equal.`, "bad");
    else if (isAlone) fill("sync-message", "No other PC answers, so nothing is proven.", "bad");
    else if (missing.size > 0) fill("sync-message", `The PCs that answer are equal. Missing: ${[...missing.values()].join(", ")}.`, "warn");
    else fill("sync-message", repaired > 0 ? `Equal, after repair of ${plural(repaired, "row", "rows")}.` : "Everything is equal.", "good");
  } catch (error) {
    fill("sync-message", error instanceof Refusal ? error.message : "The node did not answer.", "bad");
  } finally {
    progress.hidden = true;
    view("sync").disabled = false;
    state.isSyncing = false;
  }
}

// MARK: Conflicts

async function refreshConflicts() {
  const { conflicts, open } = await ask("/v1/conflicts");
  fill("conflicts-count", open === 0 ? "" : `${open} open`);
  view("conflicts-none").hidden = open > 0;
  replace("conflicts", conflicts, () => conflicts.map(conflictArticle));
}

const shownValue = side => side.value === null ? "(nothing)" : side.value === "" ? "(empty)"
  : String(side.value) + (side.truncated ? "…" : "");

function conflictSide(conflict, name, title, action) {
  const side = conflict[name];
  const by = side === null ? "the entry was deleted" : `${side.originName || "unknown PC"}, ${moment(side.timestamp)}`;
  return element("div", { class: "side" },
    element("h3", {}, `${title}: ${by}`),
    element("pre", {}, side === null ? "–" : shownValue(side)),
    name === "other" && !conflict.canKeepOther ? null : conflictButton(conflict, name, action, side),
  );
}

function conflictButton(conflict, name, action, side) {
  return element("button", {
    type: "button", class: name === "current" ? null : "second", "data-keep": name,
    "aria-label": `${action}: ${side === null ? conflict.sentence : shownValue(side).slice(0, 60)}`,
    onclick: event => resolve(conflict, name, event.currentTarget),
  }, action);
}

// Conflicts about a whole entry, or that only an edit ends, have no two values to choose from.
const hasSides = conflict => conflict.column !== null && (conflict.current !== null || conflict.kind === "value");

function conflictArticle(conflict) {
  return element("article", { "data-conflict": conflict.id },
    element("p", {}, conflict.sentence),
    element("p", { class: "rule" }, conflict.rule),
    conflict.canKeepOther && hasSides(conflict) ? null : element("p", { class: "advice" }, conflict.takeBack),
    hasSides(conflict)
      ? element("div", { class: "sides" },
        conflictSide(conflict, "current", "Shown now", "Keep this"),
        conflictSide(conflict, "other", "The other value", "Use this instead"))
      : element("div", { class: "sides" },
        conflictButton(conflict, "current", "Leave it so", null),
        conflict.canKeepOther ? conflictButton(conflict, "other", "Take it back", null) : null),
  );
}

async function resolve(conflict, keep, button) {
  for (const each of button.closest("article").querySelectorAll("button")) each.disabled = true;
  const body = { keep };
  if (conflict.current !== null && !conflict.current.truncated) body.expected = conflict.current.value;
  try {
    await ask(`/v1/conflicts/${encodeURIComponent(conflict.id)}/resolve`, { method: "POST", body });
    fill("conflicts-message", keep === "current" ? "Kept what is shown, on every PC." : "The other is used now, on every PC.", "good");
  } catch (error) {
    fill("conflicts-message", error instanceof Refusal ? error.message : "The node did not answer: try again.", "bad");
  }
  state.shown.delete("conflicts");
  await quietly(refreshConflicts);
  view("conflicts-title").closest("section").querySelector("button")?.focus();
}

// MARK: Sessions

async function refreshSessions() {
  let list;
  try {
    list = (await ask("/v1/sessions")).sessions;
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 404) throw error;
    view("sessions-section").hidden = true;
    return;
  }
  view("sessions-section").hidden = false;
  view("sessions-none").hidden = list.length > 0;
  view("sessions-region").hidden = list.length === 0;
  replace("sessions", list, () => list.map(session => element("tr", { "data-session": session.id },
    element("th", { scope: "row" }, session.username ?? session.userId, session.provisional ? " (provisional)" : ""),
    element("td", {}, session.deviceName || session.deviceId),
    element("td", {}, moment(session.loginTime)),
    element("td", {}, moment(session.lastActivity)),
    element("td", {}, element("button", {
      type: "button", class: "second", "aria-label": `End the session of ${session.username ?? session.userId}`,
      onclick: event => endSession(session, event.currentTarget),
    }, "End")),
  )));
}

async function endSession(session, button) {
  button.disabled = true;
  try {
    await ask(`/v1/sessions/${encodeURIComponent(session.id)}`, { method: "DELETE" });
    fill("sessions-message", `The session of ${session.username ?? "the user"} is ended.`, "good");
  } catch (error) {
    fill("sessions-message", error instanceof Refusal ? error.message : "The node did not answer: try again.", "bad");
  }
  state.shown.delete("sessions");
  await quietly(refreshSessions);
}

// MARK: Latency

function svg(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

async function refreshLatency() {
  const { samples } = await ask("/v1/latency");
  const values = samples.filter(sample => sample.milliseconds !== null).map(sample => sample.milliseconds);
  if (values.length === 0) {
    fill("latency-text", samples.length === 0 ? "No measurement yet." : "There was nobody to measure with.");
    view("latency").replaceChildren();
    return;
  }
  const sorted = [...values].sort((a, b) => a - b);
  const top = Math.max(1, sorted.at(-1));
  fill("latency-text", `Median ${milliseconds(sorted[sorted.length >> 1])}, largest ${milliseconds(sorted.at(-1))}.`);
  replace("latency", samples, () => {
    const end = Date.now();
    const x = at => 60 + 650 * Math.max(0, 1 - (end - Date.parse(at)) / 3_600_000);
    const y = value => 130 - 115 * value / top;
    const parts = [
      svg("line", { x1: 60, y1: 130, x2: 710, y2: 130, class: "axis" }),
      svg("line", { x1: 60, y1: 15, x2: 710, y2: 15, class: "axis" }),
      svg("text", { x: 52, y: 135, "text-anchor": "end" }, "0"),
      svg("text", { x: 52, y: 20, "text-anchor": "end" }, milliseconds(top)),
      svg("text", { x: 60, y: 152 }, "one hour ago"),
      svg("text", { x: 710, y: 152, "text-anchor": "end" }, "now"),
    ];
    let points = [];
    const draw = () => {
      if (points.length === 1) points.push(points[0].replace(/^[\d.]+/, left => String(Number(left) + 2)));
      if (points.length > 0) parts.push(svg("polyline", { points: points.join(" "), class: "curve" }));
      points = [];
    };
    // A gap where there was nobody, not a line across it.
    for (const sample of samples) {
      if (sample.milliseconds === null) draw();
      else points.push(`${x(sample.at).toFixed(1)},${y(sample.milliseconds).toFixed(1)}`);
    }
    draw();
    return parts;
  });
}

// MARK: Live events

function eventText(event) {
  if (!event.table) {
    const details = Object.entries(event.details ?? {}).map(([name, value]) => `${name} ${value}`).join(", ");
    return words(event.type) + (event.text ? `: ${event.text}` : "") + (details ? ` (${details})` : "");
  }
  const what = event.rows > 1 ? plural(event.rows, "row", "rows") : event.recordId ?? "a row";
  const by = event.source === "local" ? "on this PC" : `from ${state.names.get((event.origin ?? "").split("/")[0]) ?? "another PC"}`;
  const columns = event.operation === "update" && event.columns?.length ? `: ${event.columns.map(words).join(", ")}` : "";
  return `${words(event.table)} ${event.operation} ${by}${columns} – ${what}`;
}

let refreshTimer = null;
const wanted = new Set();
// One request of each kind, however many events ask for it.
function refreshSoon(work) {
  wanted.add(work);
  if (refreshTimer !== null) return;
  refreshTimer = setTimeout(async () => {
    refreshTimer = null;
    const works = [...wanted];
    wanted.clear();
    for (const one of works) await quietly(one);
  }, 400);
}

function received(event) {
  if (event.position !== undefined) state.position = event.position;
  const list = view("events");
  list.prepend(element("li", { class: "new", "data-type": event.type },
    element("time", { datetime: event.timestamp }, clock(event.timestamp)), eventText(event)));
  while (list.childElementCount > EVENTS_SHOWN) list.lastElementChild.remove();
  view("events-none").hidden = true;
  refreshSoon(refreshStatus);
  if (event.type === "conflict_recorded" || event.type === "resync_required") refreshSoon(refreshConflicts);
  if (event.category === "user" || event.type === "resync_required") refreshSoon(refreshSessions);
}

function live(text, className) { fill("live", text, `count ${className}`); }

// Resolves when the socket is closed: to whether it had ever worked.
function followSocket() {
  return new Promise(done => {
    let hasWorked = false;
    const socket = new WebSocket(`ws://${location.host}/ws`);
    socket.addEventListener("open", () => {
      const request = { type: "subscribe", categories: [], tables: [] };
      if (state.position !== null) request.since = state.position;
      socket.send(JSON.stringify(request));
    });
    socket.addEventListener("message", message => {
      const event = JSON.parse(message.data);
      if (event.type === "subscribed") {
        hasWorked = true;
        if (state.position === null) state.position = event.position;
        live("connected", "good");
        away(false);
      } else if (event.type === "error") socket.close();
      else if (event.category) received(event);
    });
    socket.addEventListener("close", () => done(hasWorked));
  });
}

// One JSON document a line, for as long as the node runs: the way when there is no WebSocket.
async function followStream() {
  const since = state.position === null ? "" : `?since=${state.position}`;
  const response = await fetch(`/v1/events${since}`, { cache: "no-store" });
  if (response.status === 401) end();
  if (!response.ok) throw new Refusal(response.status, null);
  live("connected", "good");
  away(false);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (pending + value).split("\n");
    pending = lines.pop();
    for (const line of lines) if (line !== "") received(JSON.parse(line));
  }
}

const pause = time => new Promise(done => setTimeout(done, time));

async function follow() {
  let hasSocket = true;
  for (let delay = 250; !state.isOver; delay = Math.min(delay * 2, 5_000)) {
    try {
      if (hasSocket) {
        if (await followSocket()) delay = 250;
        else {
          // Either there is no WebSocket, or there is no node: only the latter fails here as well.
          await ask("/v1/status");
          hasSocket = false;
        }
      } else {
        await followStream();
        delay = 250;
        hasSocket = true;
      }
    } catch (error) {
      if (isGone(error)) away(true);
      hasSocket = true;
    }
    if (hasSocket) {
      live("not connected", "bad");
      await pause(delay);
      await quietly(refreshAll);
    }
  }
  live("not connected", "bad");
}

// MARK: Going on

async function quietly(work) {
  if (state.isOver) return;
  try {
    await work();
    if (state.isAway) away(false);
  } catch (error) {
    if (isGone(error)) away(true);
  }
}

const refreshAll = () => Promise.all([refreshStatus(), refreshConflicts(), refreshSessions(), refreshLatency()]);

function every(time, work) {
  setInterval(() => { if (!document.hidden) quietly(work); }, time);
}

view("sync").addEventListener("click", sync);
document.addEventListener("visibilitychange", () => { if (!document.hidden) quietly(refreshAll); });
every(2_000, refreshStatus);
every(10_000, refreshLatency);
every(10_000, refreshSessions);
every(15_000, refreshConflicts);
quietly(refreshAll);
follow();
