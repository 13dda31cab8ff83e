// One lane a target under the scrubber: how sure the tracker was, what is still to be tracked, which boxes were given.

const LANE = 26;
const GAP = 4;

export class Timeline {
  constructor(canvas, seek) {
    this.canvas = canvas;
    this.lanes = [];
    this.frames = 1;
    this.frame = 0;
    this.waiting = false;
    canvas.addEventListener("pointerdown", (event) => {
      const at = (event.offsetX / Math.max(1, canvas.clientWidth)) * this.frames;
      seek(Math.min(this.frames - 1, Math.floor(at)));
    });
    new ResizeObserver(() => this.redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  // lanes: {colour, rows (by frame), segments, keyframes, chosen}
  set(lanes, frames) {
    this.lanes = lanes;
    this.frames = Math.max(1, frames);
    this.canvas.style.height = `${Math.max(1, lanes.length) * (LANE + GAP) + GAP}px`;
    this.redraw();
  }

  at(frame) {
    this.frame = frame;
    this.redraw();
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const style = getComputedStyle(canvas);
    this.ink = style.getPropertyValue("--ink").trim();
    this.faint = style.getPropertyValue("--lane").trim();
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.lanes.forEach((lane, index) => this.drawLane(pen, lane, GAP + index * (LANE + GAP), width));
    if (!this.lanes.length) return; // a needle over nothing says nothing
    const x = ((this.frame + 0.5) / this.frames) * width;
    pen.fillStyle = this.ink;
    pen.fillRect(Math.round(x) - 0.75, 0, 1.5, height);
  }

  drawLane(pen, lane, top, width) {
    const scale = width / this.frames;
    for (const segment of lane.segments) {
      pen.fillStyle = this.faint;
      pen.fillRect(segment.first * scale, top, (segment.stop - segment.first) * scale, LANE);
    }
    pen.fillStyle = lane.colour;
    const columns = Math.max(1, this.canvas.width); // one a pixel of the screen, or they would overlap
    for (let column = 0; column < columns; column += 1) {
      const first = Math.floor((column / columns) * this.frames);
      const last = Math.max(first, Math.ceil(((column + 1) / columns) * this.frames) - 1);
      let least = Infinity;
      let worst = "tracking";
      for (let frame = first; frame <= last; frame += 1) {
        const row = lane.rows[frame];
        if (!row) continue;
        least = Math.min(least, row.sure ?? 1);
        if (row.state !== "tracking") worst = worst === "lost" ? worst : row.state;
      }
      if (least === Infinity) continue;
      const tall = 3 + (LANE - 3) * Math.max(0, Math.min(1, least));
      if (worst === "lost" && Math.floor((column / columns) * width) % 4 < 2) continue; // hatched: not by colour alone
      const left = (column / columns) * width;
      pen.globalAlpha = worst === "tracking" ? 0.34 : 0.16;
      pen.fillRect(left, top + LANE - tall, width / columns, tall);
      pen.globalAlpha = 1;
      pen.fillRect(left, top + LANE - tall, width / columns, 2.5);
    }
    pen.globalAlpha = 1;
    for (const keyframe of lane.keyframes) {
      this.drawMark(pen, (keyframe.frame + 0.5) * scale, top, keyframe.box !== null, width);
    }
    if (lane.chosen) {
      pen.strokeStyle = this.ink;
      pen.lineWidth = 1;
      pen.strokeRect(0.5, top - 0.5, width - 1, LANE + 1);
    }
  }

  drawMark(pen, x, top, given, width) {
    const at = Math.max(5, Math.min(width - 5, x));
    const middle = top + LANE / 2;
    pen.fillStyle = this.ink;
    pen.beginPath();
    if (given) {
      pen.moveTo(at, middle - 5);
      pen.lineTo(at + 5, middle);
      pen.lineTo(at, middle + 5);
      pen.lineTo(at - 5, middle);
    } else {
      pen.rect(at - 1.25, top + 3, 2.5, LANE - 6);
    }
    pen.fill();
  }
}
