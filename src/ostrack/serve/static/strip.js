// The pictures of a video, by frame number: fetched in runs, kept as JPEG, decoded a little ahead.

import { getBytes } from "./api.js";

const RUN = 16;
const MOST_RUNS = 80;
const MOST_DECODED = 48;

export class Strip {
  constructor(job) {
    this.job = job;
    this.frames = 0;
    this.times = new Float64Array(0);
    this.runs = new Map(); // number of a run -> promise of its pictures
    this.decoded = new Map(); // frame -> bitmap
    this.decoding = new Map(); // frame -> promise of a bitmap
    this.asked = 0;
    this.closed = false;
  }

  // The video has so many frames by now.
  async grow(frames) {
    if (frames === this.frames) return;
    const before = this.frames;
    this.frames = frames;
    this.asked += 1;
    const { asked } = this;
    try {
      const times = new Float64Array(await getBytes(`/jobs/${this.job}/times`));
      if (asked === this.asked) this.times = times; // an answer may overtake an older one
    } catch (error) {
      if (asked === this.asked) this.frames = before; // to be asked for again
      throw error;
    }
  }

  timeOf(frame) {
    return this.times[Math.min(frame, this.times.length - 1)] ?? 0;
  }

  // How long the last frame is shown: as long as the one before it.
  get duration() {
    const last = this.times.length - 1;
    if (last < 1) return 0;
    return this.times[last] + (this.times[last] - this.times[last - 1]);
  }

  // The last frame that is shown at a time or before it.
  frameAt(time) {
    let low = 0;
    let high = this.times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.times[middle] <= time + 1e-6) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  ready(frame) {
    return this.decoded.get(frame);
  }

  // Promise of a frame's bitmap.
  get(frame) {
    const bitmap = this.decoded.get(frame);
    if (bitmap) {
      this.decoded.delete(frame);
      this.decoded.set(frame, bitmap); // the latest used is the last to go
      return Promise.resolve(bitmap);
    }
    let coming = this.decoding.get(frame);
    if (!coming) {
      coming = this.decode(frame).finally(() => this.decoding.delete(frame));
      this.decoding.set(frame, coming);
    }
    return coming;
  }

  async decode(frame) {
    const number = Math.floor(frame / RUN);
    let picture = (await this.run(number))[frame % RUN];
    picture ??= (await this.run(number))[frame % RUN]; // the run was on its way before the strip had grown so far
    if (!picture) throw new Error(`Frame ${frame} is not there yet.`);
    const bitmap = await createImageBitmap(picture);
    if (this.closed) {
      bitmap.close();
      throw new DOMException("closed", "AbortError");
    }
    this.decoded.set(frame, bitmap);
    for (const [old, unused] of this.decoded) {
      if (this.decoded.size <= MOST_DECODED) break;
      this.decoded.delete(old);
      unused.close();
    }
    return bitmap;
  }

  run(number) {
    let coming = this.runs.get(number);
    if (!coming) {
      coming = this.fetchRun(number);
      coming.then(
        (pictures) => pictures.length < RUN && this.runs.delete(number), // it may still grow
        () => this.runs.delete(number),
      );
    } else {
      this.runs.delete(number);
    }
    this.runs.set(number, coming);
    for (const old of this.runs.keys()) {
      if (this.runs.size <= MOST_RUNS) break;
      this.runs.delete(old);
    }
    return coming;
  }

  async fetchRun(number) {
    const data = await getBytes(`/jobs/${this.job}/frames?first=${number * RUN}&count=${RUN}`);
    const head = new DataView(data);
    const count = head.getUint32(0, true);
    const pictures = [];
    let at = 4 + 4 * count;
    for (let i = 0; i < count; i += 1) {
      const size = head.getUint32(4 + 4 * i, true);
      pictures.push(new Blob([new Uint8Array(data, at, size)], { type: "image/jpeg" }));
      at += size;
    }
    return pictures;
  }

  // Get what will be shown soon, while playing.
  ahead(frame) {
    for (let next = frame + 1; next <= Math.min(frame + 10, this.frames - 1); next += 1) {
      this.get(next).catch(() => {});
    }
    const run = Math.floor(frame / RUN) + 1;
    for (const number of [run, run + 1]) {
      if (number * RUN < this.frames) this.run(number).catch(() => {});
    }
  }

  close() {
    this.closed = true;
    for (const bitmap of this.decoded.values()) bitmap.close();
    this.decoded.clear();
    this.runs.clear();
  }
}
