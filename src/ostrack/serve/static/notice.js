// Short messages, and questions before something is lost.

const region = document.getElementById("notices");

export function notice(text) {
  const line = document.createElement("p");
  line.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "plain";
  close.textContent = "Close";
  close.addEventListener("click", () => line.remove());
  line.append(close);
  region.replaceChildren(line);
  setTimeout(() => line.remove(), 12000);
}

export function ask(text, yes) {
  const dialog = document.getElementById("ask");
  document.getElementById("ask-text").textContent = text;
  document.getElementById("ask-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
