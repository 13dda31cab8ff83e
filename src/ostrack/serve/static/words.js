// Numbers and times for people.

export function clock(seconds) {
  const hundredths = Math.round(seconds * 100);
  const minutes = Math.floor(hundredths / 6000);
  const rest = ((hundredths % 6000) / 100).toFixed(2).padStart(5, "0");
  return `${minutes}:${rest}`;
}

export function bytes(count) {
  for (const [unit, name] of [[2 ** 30, "GB"], [2 ** 20, "MB"], [2 ** 10, "kB"]]) {
    if (count >= unit) return `${Number((count / unit).toPrecision(3))} ${name}`;
  }
  return `${count} bytes`;
}

export function left(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1.5) return "a moment left";
  if (seconds < 90) return `${Math.round(seconds)} s left`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min left`;
  return `${(seconds / 3600).toFixed(1)} h left`;
}

// With spaces at which no line ends.
export function ago(epoch) {
  return since(epoch).replaceAll(" ", "\u00a0");
}

function since(epoch) {
  const seconds = Math.max(0, Date.now() / 1000 - epoch);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  const days = Math.round(seconds / 86400);
  return days === 1 ? "yesterday" : `${days} days ago`;
}

// The colour of a target: the same rule as in exported videos, far apart on the circle for neighbours.
export function colour(index) {
  const hue = ((0.36 + index * ((Math.sqrt(5) - 1) / 2)) % 1) * 360;
  const saturation = index % 2 === 0 ? 0.85 : 0.6;
  const light = 1 - saturation / 2;
  return `hsl(${hue.toFixed(1)} 100% ${(light * 100).toFixed(1)}%)`;
}
