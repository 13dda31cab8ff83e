// Changes of a job, one after the other: of two requests at once the server may hear the later one first.

import { send } from "./api.js";

export class Turns {
  // answered(job) or failed(error) after each request.
  constructor(job, answered, failed) {
    Object.assign(this, { job, answered, failed });
    this.last = Promise.resolve();
  }

  // Promise of what an act gives. It begins when all before it have ended, and is handed what sends a request.
  take(act) {
    const done = this.last.then(() => act((...request) => this.deliver(...request)));
    this.last = done.catch(() => {}); // whoever asked hears of it
    return done;
  }

  // Promise of the job as it is then; null where that was refused.
  send(...request) {
    return this.take((deliver) => deliver(...request));
  }

  async deliver(method, path, body) {
    try {
      const job = await send(method, `/jobs/${this.job}${path}`, body);
      this.answered(job);
      return job;
    } catch (error) {
      this.failed(error);
      return null;
    }
  }
}
