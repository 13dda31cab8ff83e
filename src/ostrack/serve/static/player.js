// Shows one frame of a strip at a time; whoever listens draws on it in the same moment.

export class Player {
  // painted(frame) after each picture; changed() when playing starts or ends.
  constructor(canvas, strip, painted, changed) {
    this.context = canvas.getContext("2d", { alpha: false });
    this.canvas = canvas;
    this.strip = strip;
    this.painted = painted;
    this.changed = changed;
    this.frame = -1;
    this.wanted = 0;
    this.playing = false;
    this.speed = 1;
    this.limit = () => this.strip.frames - 1; // the last frame that may be played now
    this.waits = () => false; // whether playing goes on when the limit moves
  }

  show(frame) {
    this.wanted = Math.max(0, Math.min(frame, this.strip.frames - 1));
    const wanted = this.wanted;
    const ready = this.strip.ready(wanted);
    if (ready) {
      this.paint(wanted, ready);
      return Promise.resolve();
    }
    return this.strip.get(wanted).then(
      (bitmap) => {
        if (this.wanted === wanted) this.paint(wanted, bitmap);
      },
      (error) => {
        if (error.name !== "AbortError") throw error;
      },
    );
  }

  paint(frame, bitmap) {
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    this.context.drawImage(bitmap, 0, 0);
    this.frame = frame;
    this.painted(frame);
  }

  step(by) {
    this.pause();
    return this.show(this.wanted + by);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play(from) {
    if (from !== undefined) this.wanted = from;
    else if (this.wanted >= this.strip.frames - 1 && !this.waits()) this.wanted = 0;
    if (!this.playing) {
      this.playing = true;
      this.changed();
    }
    this.anchor = null;
    cancelAnimationFrame(this.tick);
    this.tick = requestAnimationFrame((now) => this.run(now));
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    cancelAnimationFrame(this.tick);
    this.wanted = Math.max(0, this.frame);
    this.changed();
  }

  // The clock stands while a picture or the tracker is waited for, so that nothing is skipped over.
  run(now) {
    if (!this.playing) return;
    const last = this.limit();
    if (!this.anchor) this.anchor = { now, time: this.strip.timeOf(this.wanted) };
    const time = this.anchor.time + ((now - this.anchor.now) / 1000) * this.speed;
    const due = Math.min(this.strip.frameAt(time), last);
    const bitmap = due >= this.wanted ? this.strip.ready(due) : undefined;
    if (bitmap && due !== this.frame) {
      this.wanted = due;
      this.paint(due, bitmap);
    } else if (!bitmap) {
      const missing = Math.max(this.wanted, due);
      if (missing <= this.strip.frames - 1) this.strip.get(missing).catch(() => {});
      this.anchor = null;
    }
    this.strip.ahead(this.wanted);
    if (this.frame >= last) {
      this.anchor = null;
      if (last >= this.strip.frames - 1 || !this.waits()) {
        this.pause();
        return;
      }
    }
    this.tick = requestAnimationFrame((next) => this.run(next));
  }
}
