// One job on the page: its pictures, boxes, tracks, and what can be done with them.

import { get, send } from "./api.js";
import { jobKey } from "./keys.js";
import { Live } from "./live.js";
import { ask, notice } from "./notice.js";
import { Overlay } from "./overlay.js";
import { Exports, score, showAction, showTargets } from "./panel.js";
import { Player } from "./player.js";
import { JobState } from "./state.js";
import { Strip } from "./strip.js";
import { Timeline } from "./timeline.js";
import { Turns } from "./turns.js";
import { clock, colour } from "./words.js";

const byId = (id) => document.getElementById(id);

export class JobPage {
  constructor(formats, linked) {
    this.exports = new Exports(byId("exports"), formats, (format) => this.turns.send("POST", "/exports", { format }));
    this.linked = linked;
    this.state = new JobState();
    this.overlay = new Overlay(byId("boxes"), {
      commit: (id, box) => this.give(id, box),
      select: (id) => this.select(id),
      begin: () => this.player?.pause(),
    });
    this.timeline = new Timeline(byId("lanes"), (frame) => this.seek(frame));
    const on = (id, event, act) => byId(id).addEventListener(event, act);
    on("play", "click", () => this.player?.toggle());
    on("back", "click", () => this.player?.step(-1));
    on("forth", "click", () => this.player?.step(1));
    on("scrub", "input", () => this.seek(Number(byId("scrub").value)));
    on("speed", "change", () => this.player && (this.player.speed = Number(byId("speed").value)));
    on("track", "click", () => this.track());
    on("refine", "click", () => this.turns.send("POST", "/refine"));
    on("stop", "click", () => this.turns.send("POST", "/cancel"));
    on("new-box", "click", () => this.newBox());
    on("job-delete", "click", () => this.remove());
  }

  open(id) {
    this.close();
    this.id = id;
    this.state = new JobState();
    const answered = (job) => this.id === id && this.update(job);
    this.turns = new Turns(id, answered, (error) => {
      notice(error.message);
      this.refresh();
    });
    this.chosen = null;
    this.strip = new Strip(id);
    this.player = new Player(byId("picture"), this.strip, (frame) => this.painted(frame), () => this.playing());
    this.player.speed = Number(byId("speed").value);
    this.player.limit = () => this.frontier();
    this.player.waits = () => this.state.active("track");
    byId("targets").replaceChildren();
    this.busy("Opening");
    this.live = new Live(id, (message) => this.hear(message), (up) => this.lineChanged(up));
  }

  close() {
    this.overlay.finish();
    this.player?.pause();
    this.live?.close();
    this.strip?.close();
    this.live = this.player = this.strip = this.id = null;
  }

  async lineChanged(up) {
    this.linked(up);
    if (!up) return;
    const { id, state } = this;
    try {
      await state.load(() => get(`/jobs/${id}/tracks`));
      if (this.id === id) this.refresh();
    } catch (error) {
      if (error.status !== 404) notice(error.message);
    }
  }

  hear(message) {
    if (message.type === "gone") {
      notice("That job is not here; it may have been deleted.");
      location.hash = "";
    } else if (message.type === "tracks") {
      this.state.put(message.rows);
    } else if (message.type === "cleared") {
      this.state.clear(message.target, message.first, message.stop);
      this.refresh();
    } else if (message.type === "job") {
      this.update(message.job);
    }
  }

  update(job) {
    const first = this.state.job === null;
    if (!first && job.order < this.state.job.order) return; // an answer may overtake older news
    this.state.job = job;
    document.getElementById("crumb").textContent = job.name;
    if (job.video) {
      const { width, height, frames } = job.video;
      if (this.overlay.width !== width || this.overlay.height !== height) this.overlay.setSize(width, height);
      byId("stage").style.setProperty("--shape", `${width} / ${height}`);
      byId("stage").style.setProperty("--ratio", width / height);
      byId("scrub").max = Math.max(0, frames - 1);
      const strip = this.strip;
      strip.grow(frames).then(() => {
        if (this.strip !== strip) return;
        if (this.player.frame < 0) this.player.show(this.begin()).catch((error) => notice(error.message));
        this.clock();
      }, (error) => notice(error.message));
    } else {
      this.busy(job.state === "failed" ? this.state.task("prepare")?.error : "Reading the video");
    }
    if (first && !job.video) byId("hint").hidden = true;
    this.refresh();
  }

  // Where one was before a reload, or else where the first target comes in.
  begin() {
    const kept = sessionStorage.getItem(`frame ${this.id}`);
    if (kept !== null) return Number(kept);
    const first = this.state.targets.map((target) => target.keyframes[0].frame);
    return first.length ? Math.min(...first) : 0;
  }

  busy(text) {
    byId("busy").textContent = text ?? "";
    byId("busy").hidden = !text;
  }

  // Everything but the picture.
  refresh() {
    const { state } = this;
    if (!state.job || !this.player) return;
    byId("job").classList.toggle("shapeless", !state.job.video);
    showAction(state);
    this.exports.show(state);
    byId("advice").textContent = !state.targets.length
      ? state.job.state === "failed" ? "" : "Drag on the picture to draw a box."
      : state.tracked ? "Wrong somewhere? Stop at that frame and drag the box; tracking goes on from there." : "";
    byId("new-box").disabled = byId("play").disabled = !state.job.video;
    byId("problems").replaceChildren(...state.job.problems.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    const hint = state.job.video && !state.targets.length;
    byId("hint").textContent = hint ? "Drag a box round what you want to follow" : "";
    byId("hint").hidden = !hint;
    const lanes = state.targets.map((target, index) => ({
      colour: colour(index), rows: state.rowsOf(target.id), segments: target.segments, keyframes: target.keyframes,
      chosen: target.id === this.chosen,
    }));
    this.timeline.set(lanes, state.frames);
    this.showBoxes(Math.max(0, this.player.frame));
    this.title();
  }

  title() {
    const task = ["track", "prepare"].map((name) => this.state.task(name)).find((found) => found?.state === "running");
    const share = task?.total ? `${Math.floor((100 * task.done) / task.total)} % · ` : "";
    document.title = `${share}${this.state.job.name} · ostrack`;
  }

  painted(frame) {
    this.busy("");
    byId("scrub").value = frame;
    sessionStorage.setItem(`frame ${this.id}`, frame);
    this.clock();
    this.timeline.at(frame);
    this.showBoxes(frame);
  }

  clock() {
    const frame = Math.max(0, this.player.frame);
    const time = clock(this.strip.timeOf(frame));
    byId("time").textContent = time;
    byId("duration").textContent = ` / ${clock(this.strip.duration)}`;
    byId("frame").textContent = frame;
    byId("frames").textContent = ` / ${Math.max(0, this.state.frames - 1)}`;
    byId("scrub").setAttribute("aria-valuetext", `frame ${frame}, ${time}`);
  }

  showBoxes(frame) {
    const { state } = this;
    const boxes = [];
    state.targets.forEach((target, index) => {
      const here = state.at(target, frame);
      if (!here) return;
      const doubt = here.state === "tracking" ? "" : ` ${here.state}`;
      const note = here.given ? "" : `${score(here)}${doubt}`;
      boxes.push({ id: target.id, name: target.name, colour: colour(index), note, ...here });
    });
    this.overlay.show(boxes);
    showTargets(byId("targets"), state, frame, this.chosen, this.acts);
  }

  playing() {
    const { playing } = this.player;
    byId("play").classList.toggle("playing", playing);
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  // The last frame worth showing: while tracking runs, playing waits for it.
  frontier() {
    const last = this.state.frames - 1;
    if (!this.state.active("track")) return last;
    const start = this.state.start;
    return start === null ? last : Math.max(start, 0);
  }

  seek(frame) {
    this.overlay.finish(); // at the frame that it was for
    this.player?.pause();
    this.player?.show(frame).catch((error) => notice(error.message));
  }

  select(id) {
    if (this.chosen === id) return;
    this.chosen = id;
    this.overlay.choose(id);
    this.refresh();
  }

  get acts() {
    return {
      select: (id) => this.select(id),
      rename: (id, name) => name && this.turns.send("PUT", `/targets/${id}`, { name }).then(() => this.refresh()),
      forget: (id) => this.turns.send("DELETE", `/targets/${id}/keyframes/${this.player.frame}`),
      ends: (id) => this.edit("PUT", `/targets/${id}/keyframes/${this.player.frame}`, { box: null }),
      drop: (id) => this.drop(id),
    };
  }

  edit(...request) {
    return this.change((deliver) => deliver(...request));
  }

  // A change of boxes stops tracking that runs; it goes on with the new ones.
  change(act) {
    const { state } = this;
    return this.turns.take(async (deliver) => {
      const running = state.active("track");
      if ((await act(deliver)) && running) await this.follow(deliver, state);
    });
  }

  async give(id, box) {
    const { state } = this;
    const frame = this.player?.frame ?? -1;
    if (frame < 0) return;
    const arrived = state.expect(id, frame, box);
    this.showBoxes(frame);
    let target = id;
    await this.change(async (deliver) => {
      target ??= state.freeId(); // now that all targets before it are known
      const job = await deliver("PUT", `/targets/${target}/keyframes/${frame}`, { box });
      arrived();
      return job;
    });
    if (this.state !== state) return;
    this.refresh();
    this.select(target);
  }

  async newBox() {
    if (!this.state.job?.video || this.player.frame < 0) return;
    this.player.pause();
    const { width, height } = this.state.job.video;
    const side = Math.round(Math.min(width, height) / 4);
    await this.give(null, [Math.round((width - side) / 2), Math.round((height - side) / 2), side, side]);
    this.overlay.focus(this.chosen);
  }

  track() {
    const { state } = this;
    return this.turns.take((deliver) => this.follow(deliver, state));
  }

  async follow(deliver, state) {
    const { start } = state;
    if (start === null) return;
    if ((await deliver("POST", "/track")) && this.state === state) this.player?.play(start);
  }

  async drop(id) {
    const target = this.state.targets.find((found) => found.id === id);
    if (!target) return;
    const tracked = this.state.rowsOf(id).some((row) => row);
    if (tracked && !(await ask(`Delete ${target.name} with everything tracked of it?`, "Delete"))) return;
    await this.edit("DELETE", `/targets/${id}`);
    if (this.chosen === id) this.select(null);
  }

  async remove() {
    if (!(await ask(`Delete ${this.state.job?.name ?? "this job"} with its video and tracks?`, "Delete"))) return;
    const id = this.id;
    location.hash = "";
    try {
      await send("DELETE", `/jobs/${id}`);
    } catch (error) {
      notice(error.message);
    }
  }

  key(event) {
    return jobKey(this, event);
  }
}
