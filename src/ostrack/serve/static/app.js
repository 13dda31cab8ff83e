// Which page is shown, by the address: nothing, #camera, or the id of a job.

import { get } from "./api.js";
import { CameraPage } from "./camera.js";
import { HomePage } from "./home.js";
import { JobPage } from "./job.js";
import { notice } from "./notice.js";

const byId = (id) => document.getElementById(id);

function linked(up) {
  const line = byId("link-state");
  line.hidden = up;
  line.textContent = up ? "" : "Connection lost, trying again";
}

function typing(target) {
  if (target.matches("textarea, select")) return true;
  return target.matches("input") && !target.matches("[type=range]");
}

async function begin() {
  const [limits, formats] = await Promise.all([get("/limits"), get("/formats")]);
  const pages = { home: new HomePage(limits, linked), job: new JobPage(formats, linked), camera: new CameraPage() };
  let shown = null;

  function route() {
    const wanted = decodeURIComponent(location.hash.slice(1));
    if (wanted === "main") return;
    const name = wanted === "" ? "home" : wanted === "camera" ? "camera" : "job";
    if (shown) pages[shown].close();
    linked(true);
    for (const page of Object.keys(pages)) byId(page).hidden = page !== name;
    document.body.dataset.page = name;
    shown = name;
    pages[name].open(wanted);
    window.scrollTo(0, 0);
  }

  window.addEventListener("hashchange", route);
  window.addEventListener("pagehide", () => pages.camera.close());
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return; // its keys are its own
    // For a moment after a dialog is closed the focus is still on its button.
    const at = event.target.closest("dialog") ? document.body : event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(at)) return;
    if (event.key === " " && at.closest("button, a, label")) return;
    if (event.key === "?") {
      byId("help").showModal();
      return;
    }
    if (pages[shown].key?.(event)) event.preventDefault();
  });
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  route();
}

begin().catch((error) => notice(error.message));
