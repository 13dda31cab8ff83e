// Requests to the server; a refusal becomes an Error whose message is for people.

const PATIENCE_MS = 60000; // for a change; those after it wait

async function answer(response) {
  if (response.ok) return response;
  let message = `The server answered with an error (${response.status}).`;
  try {
    message = (await response.json()).error || message;
  } catch {
    // not JSON; the number has to do
  }
  if (response.status === 401) location.reload(); // the page that asks for the token
  throw Object.assign(new Error(message), { status: response.status });
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(`/api${path}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached.");
  }
  return answer(response);
}

export async function get(path, options) {
  return (await request(path, options)).json();
}

export async function getBytes(path, options) {
  return (await request(path, options)).arrayBuffer();
}

export async function send(method, path, body) {
  const options = { method, signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) {
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

// Uploads a file and tells how far it is; fetch cannot do the latter.
export function upload(file, progress, signal) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", `/api/jobs?name=${encodeURIComponent(file.name.slice(-200))}`);
    call.setRequestHeader("content-type", "application/octet-stream");
    call.upload.addEventListener("progress", (event) => progress(event.loaded, event.total));
    call.addEventListener("load", () => {
      let body = {};
      try {
        body = JSON.parse(call.responseText);
      } catch {
        // told below
      }
      if (call.status === 201) resolve(body);
      else reject(new Error(body.error || `The server refused the file (${call.status}).`));
    });
    call.addEventListener("error", () => reject(new Error("The upload broke off. The server may have refused the file or gone away.")));
    call.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => call.abort());
    call.send(file);
  });
}

export function socketAddress(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api${path}`;
}
