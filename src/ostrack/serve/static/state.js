// What is known of a job on this page: the server's last word on it, and its tracks by target and frame.

export class JobState {
  constructor() {
    this.job = null;
    this.rows = new Map(); // target -> array by frame
    this.coming = new Map(); // target and frame -> box that the server has not answered for yet
    this.clears = 0;
    this.heard = 0; // counts the news of rows
  }

  get frames() {
    return this.job?.video?.frames ?? 0;
  }

  get targets() {
    return this.job?.targets ?? [];
  }

  task(name) {
    return this.job?.tasks[name];
  }

  active(name) {
    const task = this.task(name);
    return task?.state === "queued" || task?.state === "running";
  }

  // Whether the tracks are being changed.
  get running() {
    return this.active("track") || this.active("refine");
  }

  // Whether there is a target with two boxes in a row, and they have not been blended yet.
  get blendable() {
    const pair = (target) => target.keyframes.some((one, i) => one.box && target.keyframes[i + 1]?.box);
    return this.start === null && this.task("refine")?.state !== "done" && this.targets.some(pair);
  }

  put(rows) {
    this.heard += 1;
    const { heard } = this;
    for (const [target, frame, x, y, w, h, score, confidence, state] of rows) {
      if (!this.rows.has(target)) this.rows.set(target, []);
      this.rows.get(target)[frame] = { box: [x, y, w, h], score, confidence, sure: confidence ?? score, state, heard };
    }
  }

  clear(target, first, stop) {
    this.clears += 1;
    const rows = this.rows.get(target);
    if (!rows) return;
    for (let frame = first; frame < Math.min(stop, rows.length); frame += 1) delete rows[frame];
  }

  // All rows, by what asks the server. What is cleared meanwhile must not come back, what is found meanwhile must stay.
  async load(ask) {
    for (let clears = -1; clears !== this.clears; ) {
      clears = this.clears;
      const { heard } = this;
      const { rows } = await ask();
      if (clears === this.clears) this.replace(rows, heard);
    }
  }

  replace(rows, asked) {
    const older = rows.filter(([target, frame]) => !(this.rowsOf(target)[frame]?.heard > asked));
    for (const known of this.rows.values()) known.forEach((row, frame) => row.heard > asked || delete known[frame]);
    this.put(older);
  }

  // A box as a person left it stands until the server has answered; returns what is to be called then.
  expect(target, frame, box) {
    const key = `${target} ${frame}`;
    this.coming.set(key, box);
    return () => this.coming.get(key) === box && this.coming.delete(key);
  }

  rowsOf(target) {
    return this.rows.get(target) ?? [];
  }

  keyframe(target, frame) {
    return target.keyframes.find((keyframe) => keyframe.frame === frame);
  }

  // Where a target is at a frame: {box, given, score, state}, or null where nothing is known.
  at(target, frame) {
    const coming = this.coming.get(`${target.id} ${frame}`);
    const said = coming ? { box: coming } : this.keyframe(target, frame);
    if (said) return said.box ? { box: said.box, given: true, sure: null, state: "tracking" } : null;
    const row = this.rowsOf(target.id)[frame];
    return row ? { ...row, given: false } : null;
  }

  // Whether a target was said to be gone by a frame.
  gone(target, frame) {
    const before = target.keyframes.filter((keyframe) => keyframe.frame <= frame);
    return before.length > 0 && before[before.length - 1].box === null;
  }

  unfinished() {
    return this.targets.flatMap((target) => target.segments.filter((segment) => segment.done < segment.stop));
  }

  // The frame from which on there is something to track; null where all is done.
  get start() {
    const open = this.unfinished();
    return open.length ? Math.min(...open.map((segment) => Math.max(segment.first, segment.done - 1))) : null;
  }

  get tracked() {
    return this.targets.some((target) => target.segments.some((segment) => segment.done > segment.first + 1));
  }

  freeId() {
    return Math.max(0, ...this.targets.map((target) => target.id)) + 1;
  }
}
