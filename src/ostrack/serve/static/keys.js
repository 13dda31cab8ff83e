// What each key does on the page of a job.

export function jobKey(page, event) {
  const { player, state, chosen } = page;
  if (!player || !state.job?.video) return false;
  const jump = event.shiftKey ? 10 : 1;
  const keys = {
    " ": () => player.toggle(),
    ArrowLeft: () => player.step(-jump),
    ArrowRight: () => player.step(jump),
    Home: () => page.seek(0),
    End: () => page.seek(state.frames - 1),
    "[": () => toKeyframe(page, -1),
    "]": () => toKeyframe(page, 1),
    t: () => page.track(),
    n: () => page.newBox(),
    Delete: () => chosen !== null && page.drop(chosen),
    Backspace: () => chosen !== null && page.drop(chosen),
    Escape: () => page.select(null),
  };
  const act = keys[event.key];
  if (!act) return false;
  page.overlay.finish(); // a box that was moved by keys, before another frame is shown
  act();
  return true;
}

function toKeyframe(page, direction) {
  const frames = page.state.targets.flatMap((target) => target.keyframes.map((keyframe) => keyframe.frame));
  const beyond = frames.filter((frame) => (frame - page.player.frame) * direction > 0);
  if (beyond.length) page.seek(direction > 0 ? Math.min(...beyond) : Math.max(...beyond));
}
