// The first page: bring a video, come back to a job.

import { get, send, upload } from "./api.js";
import { ask, notice } from "./notice.js";
import { ago, bytes, clock, left } from "./words.js";

const byId = (id) => document.getElementById(id);

export class HomePage {
  constructor(limits, linked) {
    this.limits = limits;
    this.linked = linked;
    byId("limits").textContent = `Up to ${bytes(limits.upload_bytes)} and ${limits.frames.toLocaleString("en")} frames.`;
    byId("folder-open").hidden = !limits.folder;
    byId("pick").addEventListener("change", () => {
      const [file] = byId("pick").files;
      byId("pick").value = "";
      if (file) this.bring(file);
    });
    byId("folder-open").addEventListener("click", () => this.openFolder());
    byId("folder-search").addEventListener("input", () => this.showFolder());
    byId("sending-stop").addEventListener("click", () => this.sending?.abort());
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
      window.addEventListener(name, (event) => this.dragged(event));
    }
  }

  open() {
    document.title = "ostrack";
    byId("crumb").textContent = "";
    this.visible = true;
    this.load();
  }

  close() {
    this.visible = false;
    clearTimeout(this.again);
  }

  dragged(event) {
    event.preventDefault();
    if (!this.visible) return;
    byId("drop").classList.toggle("over", event.type === "dragenter" || event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files.length) this.bring(event.dataTransfer.files[0]);
  }

  async bring(file) {
    if (this.sending) return;
    if (file.size > this.limits.upload_bytes) {
      notice(`${file.name} has ${bytes(file.size)}; up to ${bytes(this.limits.upload_bytes)} are taken here.`);
      return;
    }
    this.sending = new AbortController();
    byId("sending").hidden = false;
    const show = (done, total) => {
      byId("sending-bar").value = total ? done / total : 0;
      byId("sending-text").textContent = `Sending ${file.name}: ${bytes(done)} of ${bytes(total)}`;
    };
    show(0, file.size);
    try {
      const job = await upload(file, show, this.sending.signal);
      location.hash = job.id;
    } catch (error) {
      if (error.name !== "AbortError") notice(error.message);
    } finally {
      this.sending = null;
      byId("sending").hidden = true;
    }
  }

  async openFolder() {
    try {
      this.files = await get("/folder");
    } catch (error) {
      notice(error.message);
      return;
    }
    byId("folder-search").value = "";
    this.showFolder();
    byId("folder").showModal();
  }

  showFolder() {
    const wanted = byId("folder-search").value.toLowerCase();
    const found = this.files.filter((file) => file.name.toLowerCase().includes(wanted));
    const rows = found.map((file) => {
      const row = document.createElement("li");
      const choose = document.createElement("button");
      choose.type = "button";
      choose.className = "row";
      const name = document.createElement("span");
      name.textContent = file.name;
      const size = document.createElement("span");
      size.className = "soft";
      size.textContent = bytes(file.bytes);
      choose.append(name, size);
      choose.addEventListener("click", () => this.take(file));
      row.append(choose);
      return row;
    });
    if (!rows.length) rows.push(Object.assign(document.createElement("li"), { className: "fine", textContent: "No video here." }));
    byId("folder-list").replaceChildren(...rows);
  }

  async take(file) {
    byId("folder").close();
    try {
      location.hash = (await send("POST", "/jobs/from-folder", { file: file.file })).id;
    } catch (error) {
      notice(error.message);
    }
  }

  async load() {
    clearTimeout(this.again);
    const mine = (this.asked = {});
    const jobs = await get("/jobs").catch(() => null);
    if (!this.visible || this.asked !== mine) return; // asked again since then
    if (jobs) this.showJobs(jobs);
    this.linked(jobs !== null);
    this.again = setTimeout(() => this.load(), document.hidden ? 10000 : 2500);
  }

  showJobs(jobs) {
    const list = byId("job-list");
    byId("no-jobs").hidden = jobs.length > 0;
    const known = new Map([...list.children].map((row) => [row.dataset.id, row]));
    const rows = jobs.map((job) => known.get(job.id) ?? this.buildJob(job));
    if (rows.length !== list.children.length || rows.some((row, i) => row !== list.children[i])) list.replaceChildren(...rows);
    jobs.forEach((job, index) => this.fillJob(rows[index], job));
  }

  buildJob(job) {
    const row = document.createElement("li");
    row.dataset.id = job.id;
    const link = document.createElement("a");
    link.href = `#${job.id}`;
    const thumb = document.createElement("span");
    thumb.className = "thumb";
    const text = document.createElement("span");
    text.className = "job-text";
    const name = document.createElement("span");
    name.className = "job-name";
    name.textContent = job.name;
    const detail = document.createElement("span");
    detail.className = "fine";
    text.append(name, detail);
    link.append(thumb, text);
    const drop = document.createElement("button");
    drop.type = "button";
    drop.className = "plain danger";
    drop.textContent = "Delete";
    drop.setAttribute("aria-label", `Delete ${job.name}`);
    drop.addEventListener("click", async () => {
      if (!(await ask(`Delete ${job.name} with its video and tracks?`, "Delete"))) return;
      try {
        await send("DELETE", `/jobs/${job.id}`);
      } catch (error) {
        notice(error.message);
      }
      this.load();
    });
    row.append(link, drop);
    return row;
  }

  fillJob(row, job) {
    const thumb = row.querySelector(".thumb");
    if (job.video && !thumb.firstChild) {
      const image = document.createElement("img");
      image.src = `/api/jobs/${job.id}/frames/0.jpg`;
      image.alt = "";
      image.loading = "lazy";
      thumb.append(image);
    }
    row.querySelector(".fine").textContent = `${describe(job)} · ${ago(job.created)}`;
  }
}

function describe(job) {
  const task = ["track", "prepare"].map((name) => job.tasks[name]).find((found) => found && ["queued", "running"].includes(found.state));
  if (task) {
    const what = task.kind === "track" ? "tracking" : "reading";
    if (task.state === "queued") return `waiting, ${task.before} before it`;
    const share = task.total ? ` ${Math.floor((100 * task.done) / task.total)} %` : "";
    const rest = left(task.eta_s);
    return `${what}${share}${rest ? `, ${rest}` : ""}`;
  }
  if (job.state === "failed") return job.tasks.prepare?.error ?? "could not be read";
  const length = job.video ? clock(job.video.frames / job.video.fps) : "";
  const done = job.tasks.track?.state;
  const word = { done: "tracked", failed: "tracking failed", cancelled: "stopped" }[done] ?? "not tracked yet";
  return `${length} · ${word}`;
}
