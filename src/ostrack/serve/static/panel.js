// The side of the page: what to do next, how far it is, the targets and the files.

import { colour, left } from "./words.js";

const byId = (id) => document.getElementById(id);

function button(label, act, className = "plain") {
  const node = document.createElement("button");
  node.type = "button";
  node.className = className;
  node.textContent = label;
  node.addEventListener("click", act);
  return node;
}

export function showAction(state) {
  const { job } = state;
  const track = byId("track");
  const { running } = state;
  const preparing = job.state === "preparing";
  const start = state.start;
  byId("stop").hidden = !running;
  byId("refine").hidden = running || !state.blendable;
  track.hidden = running || state.blendable;
  track.disabled = job.state === "failed" || start === null;
  track.textContent = state.tracked && start !== null && start > 0 ? `Continue from frame ${start}` : "Track";
  const task = running ? state.task(state.active("track") ? "track" : "refine") : preparing ? state.task("prepare") : null;
  byId("progress-text").textContent = task ? doing(task) : outcome(state, start);
  const bar = byId("progress-bar");
  bar.classList.toggle("idle", !task);
  if (task && task.total && task.done) bar.value = Math.min(1, task.done / task.total);
  else if (task) bar.removeAttribute("value");
  else bar.value = 0;
}

function doing(task) {
  if (task.state === "queued") {
    return task.before ? `Waiting: ${task.before} before this one` : "Starting";
  }
  const what = { prepare: "Reading the video", track: "Tracking", refine: "Blending", export: "Writing" }[task.kind];
  if (!task.done) return what;
  const total = task.total ? ` of ${task.total}` : "";
  const rest = left(task.eta_s);
  return `${what}: ${task.done}${total} frames${rest ? `, ${rest}` : ""}`;
}

function outcome(state, start) {
  const { job } = state;
  if (job.state === "failed") return state.task("prepare")?.error ?? "The video could not be read.";
  const task = state.task("track");
  if (task?.state === "failed") return task.error;
  if (!job.targets.length) return "Draw a box on the picture first.";
  if (state.task("refine")?.state === "failed") return state.task("refine").error;
  if (start === null) return "Everything is tracked.";
  return task?.state === "cancelled" ? "Stopped. What was tracked is kept." : "Ready to track.";
}

export function showTargets(list, state, frame, chosen, acts) {
  const rows = state.targets.map((target, index) => {
    const known = list.querySelector(`li[data-id="${target.id}"]`);
    return known ?? buildTarget(target.id, index, acts);
  });
  if (rows.length !== list.children.length || rows.some((row, index) => list.children[index] !== row)) {
    list.replaceChildren(...rows);
  }
  state.targets.forEach((target, index) => {
    const row = rows[index];
    const here = state.at(target, frame);
    row.classList.toggle("chosen", target.id === chosen);
    row.querySelector(".swatch").style.background = colour(index);
    const name = row.querySelector("input");
    if (name !== document.activeElement) name.value = target.name;
    for (const press of row.querySelectorAll("button")) {
      press.setAttribute("aria-label", `${press.textContent}: ${target.name}`); // which one, for those who do not see the row
    }
    row.querySelector(".target-state").textContent = describe(state, target, frame, here);
    const said = state.keyframe(target, frame);
    row.querySelector(".forget").hidden = !said;
    row.querySelector(".ends").hidden = Boolean(said) || state.gone(target, frame) || frame <= target.keyframes[0].frame;
  });
}

function describe(state, target, frame, here) {
  if (here?.given) return "given here";
  if (here) return `${here.state === "tracking" ? "" : `${here.state} `}${score(here)}`;
  if (state.gone(target, frame)) return "gone";
  return frame < target.keyframes[0].frame ? `from frame ${target.keyframes[0].frame}` : "not tracked yet";
}

export function score(here) {
  return here.sure === null || here.sure === undefined ? "" : here.sure.toFixed(2);
}

function buildTarget(id, index, acts) {
  const row = document.createElement("li");
  row.dataset.id = id;
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.setAttribute("aria-hidden", "true");
  const name = document.createElement("input");
  name.maxLength = 60;
  name.setAttribute("aria-label", `Name of target ${index + 1}`);
  name.addEventListener("focus", () => acts.select(id));
  name.addEventListener("change", () => acts.rename(id, name.value.trim()));
  name.addEventListener("keydown", (event) => event.key === "Enter" && name.blur());
  const text = document.createElement("span");
  text.className = "target-state";
  const tools = document.createElement("span");
  tools.className = "tools";
  const forget = button("Undo this box", () => acts.forget(id), "plain forget");
  const ends = button("Ends here", () => acts.ends(id), "plain ends");
  tools.append(forget, ends, button("Delete", () => acts.drop(id), "plain danger"));
  row.append(swatch, name, text, tools);
  row.addEventListener("pointerdown", (event) => event.target === row && acts.select(id));
  return row;
}

// One press makes a file and hands it over when it is there.
export class Exports {
  constructor(list, formats, make) {
    this.wanted = null;
    this.status = byId("export-state");
    this.buttons = new Map();
    for (const { format, label } of formats) {
      const press = button(label, () => this.press(format), "button small");
      this.buttons.set(format, press);
      const row = document.createElement("li");
      row.append(press);
      list.append(row);
    }
    this.labels = new Map(formats.map(({ format, label }) => [format, label]));
    this.make = make;
  }

  press(format) {
    this.wanted = format;
    if (this.state.task(format)?.state === "done") this.hand(format);
    else this.make(format);
  }

  hand(format) {
    this.wanted = null;
    const link = document.createElement("a");
    link.href = `/api/jobs/${this.state.job.id}/exports/${format}`;
    link.download = "";
    link.click();
    this.status.textContent = `${this.labels.get(format)} is in your downloads.`;
  }

  show(state) {
    if (this.state?.job?.id !== state.job.id) this.wanted = null;
    this.state = state;
    let text = state.tracked ? "" : "Track something first.";
    for (const [format, press] of this.buttons) {
      press.disabled = !state.tracked || state.running || state.active(format);
      const task = state.task(format);
      if (state.active(format)) text = `${this.labels.get(format)}: ${progress(task)}`;
      else if (format === this.wanted && task?.state === "failed") text = task.error;
      else if (format === this.wanted && task?.state === "done") {
        this.hand(format);
        text = this.status.textContent;
      } else if (!text && task?.state === "done" && this.status.textContent.startsWith(this.labels.get(format))) {
        text = this.status.textContent;
      }
    }
    if (this.status.textContent !== text) this.status.textContent = text;
  }
}

function progress(task) {
  if (task.state === "queued") return "waiting";
  const share = task.total && task.done ? `${Math.floor((100 * task.done) / task.total)} %` : "";
  return [share || "writing", left(task.eta_s)].filter(Boolean).join(", ");
}
