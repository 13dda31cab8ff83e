// Boxes over a picture: shown, drawn, moved and sized by mouse, finger, pen or keys. All numbers are pixels of the video.

const SPACE = "http://www.w3.org/2000/svg";
const EDGES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const LEAST = 3;

function make(name, attributes, parent) {
  const node = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

function place(node, x, y, w, h) {
  node.setAttribute("x", x);
  node.setAttribute("y", y);
  node.setAttribute("width", Math.max(0, w));
  node.setAttribute("height", Math.max(0, h));
}

export class Overlay {
  // commit(id or null for a new one, box), select(id or null), begin() when somebody starts to draw or drag.
  constructor(svg, { commit, select, begin }) {
    Object.assign(this, { svg, commit, select, begin });
    this.groups = new Map();
    this.boxes = [];
    this.chosen = null;
    this.drag = null;
    this.enabled = true;
    this.setSize(16, 9);
    this.draft = make("rect", { class: "draft", visibility: "hidden" }, svg);
    svg.addEventListener("pointerdown", (event) => this.press(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerup", (event) => this.release(event));
    svg.addEventListener("pointercancel", () => this.forget());
    svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.show(this.boxes)).observe(svg);
  }

  setSize(width, height) {
    this.width = width;
    this.height = height;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }

  // Pixels of the video in one pixel of the screen.
  get unit() {
    return this.width / Math.max(1, this.svg.clientWidth);
  }

  // Show these and no others: {id, name, colour, box, note, state, given, lone}.
  show(boxes) {
    this.boxes = boxes;
    const here = new Set(boxes.map((shown) => shown.id));
    for (const [id, group] of this.groups) {
      if (!here.has(id)) {
        group.root.remove();
        this.groups.delete(id);
      }
    }
    for (const shown of boxes) this.draw(shown);
  }

  draw(shown) {
    const group = this.groups.get(shown.id) ?? this.build(shown.id);
    const box = this.drag?.id === shown.id && this.drag.box ? this.drag.box : (group.nudged ?? shown.box);
    const [x, y, w, h] = box;
    const unit = this.unit;
    const chosen = shown.id === this.chosen;
    group.root.setAttribute("class", `box ${shown.state}${shown.given ? " given" : ""}${chosen ? " chosen" : ""}`);
    const numbers = `left ${Math.round(x)}, top ${Math.round(y)}, width ${Math.round(w)}, height ${Math.round(h)}`;
    group.root.setAttribute("aria-label", `${shown.name}: ${numbers}${shown.note ? `, ${shown.note}` : ""}`);
    for (const part of [group.halo, group.edge, group.hit]) place(part, x, y, w, h);
    group.edge.style.stroke = shown.colour;
    group.hit.setAttribute("stroke-width", 14 * unit);
    this.label(group, shown, box, unit);
    const small = Math.min(w, h) < 56 * unit;
    for (const [edge, handle] of Object.entries(group.handles)) {
      const cx = edge.includes("w") ? x : edge.includes("e") ? x + w : x + w / 2;
      const cy = edge.includes("n") ? y : edge.includes("s") ? y + h : y + h / 2;
      const visible = chosen && this.enabled && (edge.length === 2 || !small);
      handle.root.setAttribute("visibility", visible ? "visible" : "hidden");
      place(handle.dot, cx - 4.5 * unit, cy - 4.5 * unit, 9 * unit, 9 * unit);
      handle.dot.style.fill = shown.colour;
      const reach = (matchMedia("(pointer: coarse)").matches ? 20 : 10) * unit;
      place(handle.grip, cx - reach, cy - reach, 2 * reach, 2 * reach);
    }
  }

  label(group, shown, [x, y, w, h], unit) {
    const text = shown.note ? `${shown.name}  ${shown.note}` : shown.name;
    if (group.text.textContent !== text) {
      group.text.textContent = text;
      group.length = text.length;
    }
    const size = 12 * unit;
    const wide = (group.length * 6.6 + 12) * unit;
    const tall = 19 * unit;
    const left = Math.max(0, Math.min(x - unit, this.width - wide));
    const gap = (shown.id === this.chosen ? 7 : 1) * unit; // room for the handles
    const below = y + h + tall + gap <= this.height ? y + h + gap : Math.max(0, y);
    const top = y >= tall + gap ? y - tall - gap : below;
    place(group.plate, left, top, wide, tall);
    group.plate.style.fill = shown.colour;
    group.plate.setAttribute("rx", 2 * unit);
    group.text.setAttribute("x", left + 6 * unit);
    group.text.setAttribute("y", top + 13.4 * unit);
    group.text.setAttribute("font-size", size);
  }

  build(id) {
    const root = make("g", { tabindex: "0", role: "button", "aria-roledescription": "box", "data-id": id });
    const group = { root, handles: {}, length: 0, nudged: null };
    group.halo = make("rect", { class: "halo" }, root);
    group.edge = make("rect", { class: "edge" }, root);
    group.hit = make("rect", { class: "hit" }, root);
    group.plate = make("rect", { class: "plate" }, root);
    group.text = make("text", { class: "text" }, root);
    for (const edge of EDGES) {
      const handle = make("g", { class: `handle ${edge}` }, root);
      group.handles[edge] = { root: handle, dot: make("rect", { class: "dot" }, handle) };
      group.handles[edge].grip = make("rect", { class: "grip", "data-edge": edge }, handle);
    }
    root.addEventListener("focus", () => this.select(id));
    root.addEventListener("blur", () => this.settle(id));
    this.svg.insertBefore(root, this.draft);
    this.groups.set(id, group);
    return group;
  }

  choose(id) {
    this.chosen = id;
    const group = this.groups.get(id);
    // The chosen box lies on top; one that has the focus must not be moved, or it would lose it.
    if (group && group.root !== document.activeElement) this.svg.insertBefore(group.root, this.draft);
    this.show(this.boxes);
  }

  focus(id) {
    this.groups.get(id)?.root.focus();
  }

  point(event) {
    const frame = this.svg.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * this.width;
    const y = ((event.clientY - frame.top) / frame.height) * this.height;
    return [Math.max(0, Math.min(this.width, x)), Math.max(0, Math.min(this.height, y))];
  }

  press(event) {
    if (!this.enabled || this.drag || (event.pointerType === "mouse" && event.button !== 0)) return;
    event.preventDefault(); // no text is marked, and the focus stays where it is
    const id = Number(event.target.closest("[data-id]")?.dataset.id ?? NaN);
    const known = this.boxes.find((shown) => shown.id === id);
    const start = this.point(event);
    this.drag = {
      pointer: event.pointerId, start, at: [event.clientX, event.clientY], id: known ? id : null,
      edge: event.target.dataset.edge ?? null, from: known ? [...known.box] : null, box: null, moved: false,
    };
    this.svg.setPointerCapture(event.pointerId);
    this.svg.ownerDocument.activeElement?.blur?.();
    this.begin();
    if (known) this.select(id);
  }

  move(event) {
    const drag = this.drag;
    if (!drag || event.pointerId !== drag.pointer) return;
    if (!drag.moved && Math.hypot(event.clientX - drag.at[0], event.clientY - drag.at[1]) < 4) return;
    drag.moved = true;
    const [x, y] = this.point(event);
    const dx = x - drag.start[0];
    const dy = y - drag.start[1];
    if (drag.id === null) {
      drag.box = [Math.min(x, drag.start[0]), Math.min(y, drag.start[1]), Math.abs(dx), Math.abs(dy)];
      place(this.draft, ...drag.box);
      this.draft.setAttribute("visibility", "visible");
      return;
    }
    drag.box = drag.edge ? this.sized(drag.from, drag.edge, dx, dy) : this.moved(drag.from, dx, dy);
    this.show(this.boxes);
  }

  release(event) {
    const drag = this.drag;
    if (!drag || event.pointerId !== drag.pointer) return;
    const { id, box, moved } = drag;
    this.forget();
    if (moved && box && box[2] >= LEAST && box[3] >= LEAST) this.commit(id, box.map(round));
    else if (!moved && id === null) this.select(null);
  }

  forget() {
    this.drag = null;
    this.draft.setAttribute("visibility", "hidden");
    this.show(this.boxes);
  }

  moved([x, y, w, h], dx, dy) {
    // The box may leave the picture by a part, never wholly.
    const left = Math.max(LEAST - w, Math.min(this.width - LEAST, x + dx));
    const top = Math.max(LEAST - h, Math.min(this.height - LEAST, y + dy));
    return [left, top, w, h];
  }

  sized([x, y, w, h], edge, dx, dy) {
    let [left, top, right, bottom] = [x, y, x + w, y + h];
    if (edge.includes("w")) left = Math.min(left + dx, right - LEAST);
    if (edge.includes("e")) right = Math.max(right + dx, left + LEAST);
    if (edge.includes("n")) top = Math.min(top + dy, bottom - LEAST);
    if (edge.includes("s")) bottom = Math.max(bottom + dy, top + LEAST);
    return [left, top, right - left, bottom - top];
  }

  key(event) {
    const id = Number(event.target.closest?.("[data-id]")?.dataset.id ?? NaN);
    const shown = this.boxes.find((box) => box.id === id);
    if (event.key === "Escape") {
      // Leaves the box; the target stays chosen until the key is pressed again.
      event.stopPropagation();
      this.forget();
      event.target.blur?.();
      return;
    }
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    if (!shown || !direction || !this.enabled) return;
    event.preventDefault();
    event.stopPropagation();
    this.begin();
    const group = this.groups.get(id);
    const by = direction.map((value) => value * (event.shiftKey ? 10 : 1));
    const from = group.nudged ?? shown.box;
    group.nudged = event.altKey ? this.sized(from, "se", ...by) : this.moved(from, ...by);
    this.show(this.boxes);
    clearTimeout(group.timer);
    group.timer = setTimeout(() => this.settle(id), 600); // one change for a run of keys
  }

  // Whoever leaves the page has done with moving boxes by keys.
  finish() {
    for (const id of this.groups.keys()) this.settle(id);
  }

  settle(id) {
    const group = this.groups.get(id);
    if (!group?.nudged) return;
    clearTimeout(group.timer);
    const box = group.nudged.map(round);
    group.nudged = null;
    this.commit(id, box);
  }
}

function round(value) {
  return Math.round(value * 100) / 100;
}
