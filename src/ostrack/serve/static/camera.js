// A browser's camera: each picture goes to the server and comes back with its boxes, so both are of one moment.

import { socketAddress } from "./api.js";
import { notice } from "./notice.js";
import { Overlay } from "./overlay.js";
import { score, showTargets } from "./panel.js";
import { JobState } from "./state.js";
import { colour } from "./words.js";

const byId = (id) => document.getElementById(id);
const SIDE = 640;

export class CameraPage {
  constructor() {
    this.overlay = new Overlay(byId("camera-boxes"), {
      commit: (id, box) => this.give(id, box),
      select: (id) => this.select(id),
      begin: () => {},
    });
    this.overlay.enabled = false;
    byId("camera-start").addEventListener("click", () => this.start());
    byId("camera-stop").addEventListener("click", () => this.stop("The camera is off."));
    byId("camera-list").addEventListener("change", () => this.start());
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.playsInline = true;
    this.shot = document.createElement("canvas");
  }

  open() {
    document.title = "Camera · ostrack";
    byId("crumb").textContent = "Camera";
  }

  close() {
    this.stop("The camera is off.");
  }

  async start() {
    this.stop("Starting");
    const mine = (this.starting = {});
    if (!navigator.mediaDevices) {
      this.stop("Browsers give the camera only to pages of this machine or over HTTPS.");
      return;
    }
    const wanted = byId("camera-list").value;
    const choice = wanted ? { deviceId: { exact: wanted } } : { facingMode: "environment" };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { ...choice, width: { ideal: 1280 } } });
      if (this.starting !== mine) {
        stream.getTracks().forEach((track) => track.stop()); // the page was left while its visitor was asked
        return;
      }
      this.stream = stream;
    } catch (error) {
      if (this.starting !== mine) return;
      const reasons = { NotAllowedError: "The browser was not allowed to use the camera.", NotFoundError: "There is no camera." };
      this.stop(reasons[error.name] ?? "The camera could not be started; another program may be using it.");
      return;
    }
    this.video.srcObject = this.stream;
    await this.video.play().catch(() => {}); // interrupted
    if (this.starting !== mine) return;
    this.targets = new Map();
    this.state = new JobState();
    this.chosen = null;
    this.pending = [];
    this.beats = [];
    const scale = Math.min(1, SIDE / Math.max(this.video.videoWidth, this.video.videoHeight));
    this.shot.width = Math.round(this.video.videoWidth * scale);
    this.shot.height = Math.round(this.video.videoHeight * scale);
    this.overlay.setSize(this.shot.width, this.shot.height);
    byId("camera-stage").style.setProperty("--shape", `${this.shot.width} / ${this.shot.height}`);
    byId("camera-stage").style.setProperty("--ratio", this.shot.width / this.shot.height);
    this.listCameras();
    this.connect();
  }

  async listCameras() {
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
    const list = byId("camera-list");
    const used = this.stream?.getVideoTracks()[0]?.getSettings().deviceId;
    list.replaceChildren(...cameras.map((camera, i) => new Option(camera.label || `Camera ${i + 1}`, camera.deviceId, false, camera.deviceId === used)));
    byId("camera-choice").hidden = cameras.length < 2;
  }

  connect() {
    const socket = new WebSocket(socketAddress("/camera"));
    this.socket = socket;
    socket.addEventListener("message", (event) => this.socket === socket && this.hear(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      if (this.socket === socket) this.stop(this.trouble ?? "The server ended the connection.");
    });
    this.trouble = null;
  }

  hear(message) {
    if (message.error) {
      this.trouble = message.error;
      notice(message.error);
    }
    if (message.ready) {
      byId("camera-busy").hidden = true;
      byId("camera-start").hidden = true;
      byId("camera-stop").hidden = false;
      this.overlay.enabled = true;
      this.hint();
    } else if (message.rows) {
      this.answered(message.rows);
    }
    this.next();
  }

  // Commands go between two pictures; then the next picture follows at once.
  next() {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return;
    const command = this.pending.shift();
    if (command) {
      this.sentPicture = false;
      this.socket.send(JSON.stringify(command));
      return;
    }
    if (this.overlay.drag) {
      this.wait = setTimeout(() => this.next(), 50); // the picture stands while somebody draws on it
      return;
    }
    const pen = this.shot.getContext("2d", { alpha: false });
    pen.drawImage(this.video, 0, 0, this.shot.width, this.shot.height);
    this.shot.toBlob((blob) => {
      if (!blob || !this.socket || this.socket.readyState !== WebSocket.OPEN) return;
      this.sentPicture = true;
      this.socket.send(blob);
    }, "image/jpeg", 0.85);
  }

  answered(rows) {
    if (this.sentPicture) {
      const canvas = byId("camera-picture");
      canvas.width = this.shot.width;
      canvas.height = this.shot.height;
      canvas.getContext("2d", { alpha: false }).drawImage(this.shot, 0, 0);
      this.targets.forEach((target) => (target.here = null));
      this.beat();
    }
    for (const [id, , x, y, w, h, value, confidence, state] of rows) {
      const target = this.targets.get(id);
      if (target) target.here = { box: [x, y, w, h], sure: confidence ?? value, state, given: !this.sentPicture };
    }
    this.show();
  }

  beat() {
    const now = performance.now();
    // Two seconds; more where a picture takes longer than that.
    this.beats = [...this.beats.filter((time, i, all) => now - time < 2000 || i >= all.length - 2), now];
    if (now - (this.told ?? 0) < 1000 || this.beats.length < 3) return;
    this.told = now;
    const rate = (this.beats.length - 1) / ((now - this.beats[0]) / 1000);
    byId("camera-rate").textContent = `${rate.toFixed(rate < 3 ? 1 : 0)} pictures a second`;
  }

  show() {
    const boxes = [];
    [...this.targets.values()].forEach((target, index) => {
      const { here } = target;
      if (!here) return;
      const doubt = here.state === "tracking" ? "" : ` ${here.state}`;
      boxes.push({ id: target.id, name: target.name, colour: colour(index), note: `${score(here)}${doubt}`, ...here });
    });
    this.overlay.show(boxes);
    const list = byId("camera-targets");
    const view = {
      targets: [...this.targets.values()],
      at: (target) => target.here,
      keyframe: () => null,
      gone: () => true,
    };
    showTargets(list, view, 0, this.chosen, this.acts);
    this.hint();
  }

  hint() {
    const hint = byId("camera-hint");
    hint.hidden = this.targets.size > 0;
    hint.textContent = "Drag a box round what you want to follow";
  }

  get acts() {
    return {
      select: (id) => this.select(id),
      rename: (id, name) => {
        if (name) this.targets.get(id).name = name;
        this.show();
      },
      forget: () => {},
      ends: () => {},
      drop: (id) => this.drop(id),
    };
  }

  give(id, box) {
    const target = id ?? Math.max(0, ...this.targets.keys()) + 1;
    if (!this.targets.has(target)) this.targets.set(target, { id: target, name: `Target ${target}`, keyframes: [{ frame: 0 }], segments: [] });
    this.targets.get(target).here = { box, sure: null, state: "tracking", given: true };
    this.pending.push({ target, box });
    this.show();
    this.select(target);
  }

  drop(id) {
    if (!this.targets.delete(id)) return;
    this.pending.push({ target: id, box: null });
    this.show();
  }

  select(id) {
    if (this.chosen === id) return;
    this.chosen = id;
    this.overlay.choose(id);
    this.show();
  }

  stop(text) {
    clearTimeout(this.wait);
    const { socket, stream } = this;
    this.socket = this.stream = this.starting = null;
    socket?.close();
    stream?.getTracks().forEach((track) => track.stop());
    this.overlay.enabled = false;
    this.targets?.clear();
    this.overlay.show([]);
    byId("camera-targets").replaceChildren();
    byId("camera-hint").hidden = true;
    byId("camera-busy").textContent = text;
    byId("camera-busy").hidden = false;
    byId("camera-start").hidden = false;
    byId("camera-stop").hidden = true;
    byId("camera-rate").textContent = "";
  }

  key(event) {
    if ((event.key === "Delete" || event.key === "Backspace") && this.chosen !== null && this.targets) {
      this.drop(this.chosen);
      return true;
    }
    return false;
  }
}
