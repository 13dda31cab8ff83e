// News of a job: a WebSocket that comes back by itself.

import { socketAddress } from "./api.js";

const SILENCE_MS = 45000;

export class Live {
  // handle(message) for each message; linked(bool) when the line comes and goes.
  constructor(job, handle, linked) {
    this.job = job;
    this.handle = handle;
    this.linked = linked;
    this.pause = 400;
    this.closed = false;
    this.open();
  }

  open() {
    this.socket = new WebSocket(socketAddress(`/jobs/${this.job}/live`));
    this.socket.addEventListener("open", () => {
      this.pause = 400;
      this.linked(true);
    });
    this.socket.addEventListener("message", (event) => {
      this.listen();
      if (!this.closed) this.handle(JSON.parse(event.data));
    });
    this.socket.addEventListener("close", () => {
      clearTimeout(this.silence);
      if (this.closed) return;
      this.linked(false);
      this.again = setTimeout(() => this.open(), this.pause);
      this.pause = Math.min(this.pause * 1.7, 8000);
    });
    this.listen();
  }

  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket.close(), SILENCE_MS);
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
    clearTimeout(this.silence);
    this.socket.close();
  }
}
