// Small plots on canvases: rolling lines, a gait diagram, bars, and learning curves.

/** A canvas made sharp for this screen and cleared; [context, width, height] in CSS pixels. */
function sheet(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  return [context, width, height];
}

const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--quiet");
const rule = () => getComputedStyle(document.documentElement).getPropertyValue("--line");
const LEFT = 70; // room for words

function words(context, text, x, y, align = "right") {
  context.fillStyle = ink();
  context.textAlign = align;
  context.fillText(text, x, y);
}

/** A strip's name, and below it how far its zero line is from its edge. */
function scale(context, name, reach, middle) {
  words(context, name, LEFT - 6, middle - 6);
  words(context, `±${Number(reach.toPrecision(2))}`, LEFT - 6, middle + 7);
}

function line(context, points, colour, dash = []) {
  context.strokeStyle = colour;
  context.setLineDash(dash);
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  context.setLineDash([]);
}

/** Three strips: forward, left, turn; measured as a line, commanded dotted. ranges: full scale of each. */
export function velocity(canvas, rows, span, ranges, colours) {
  const [context, width, height] = sheet(canvas);
  const strip = height / 3;
  const end = rows.length ? rows.at(-1).t : 0;
  const across = (t) => LEFT + (width - LEFT) * (1 - (end - t) / span);
  ["forward", "left", "turn"].forEach((name, i) => {
    const middle = (i + 0.5) * strip, reach = 1.3 * ranges[i];
    const down = (v) => middle - (Math.min(1, Math.max(-1, v / reach)) * strip) / 2;
    line(context, [[LEFT, middle], [width, middle]], rule());
    scale(context, name, reach, middle);
    context.lineWidth = 1.2;
    line(context, rows.map((row) => [across(row.t), down(row.command[i])]), colours[i], [2, 3]);
    context.lineWidth = 1.8;
    line(context, rows.map((row) => [across(row.t), down(row.velocity[i])]), colours[i]);
    context.lineWidth = 1;
  });
}

/** The rows of the last `span` seconds. */
const latest = (rows, span) => rows.filter((row) => row.t >= rows.at(-1).t - span);

/** A sheet with one strip per leg for the last `span` seconds: its rows, and where a time lies on it. */
function strips(canvas, all, span, legs) {
  const rows = latest(all, span);
  const [context, width, height] = sheet(canvas);
  const end = rows.length ? rows.at(-1).t : 0;
  const across = (t) => LEFT + (width - LEFT) * (1 - (end - t) / span);
  return { rows, context, width, strip: height / legs.length, across };
}

/** A bar per foot while it is on the ground, and below it a line while the reference has it there. */
export function gait(canvas, all, span, legs, colours) {
  const { rows, context, strip, across } = strips(canvas, all, span, legs);
  // One bar per stance: between bars drawn side by side there would be seams.
  function bars(down, top, height) {
    for (let k = 1, first = null; k <= rows.length; k++) {
      if (k < rows.length && down(rows[k])) first ??= k - 1;
      else if (first !== null) {
        const x = across(rows[first].t);
        context.fillRect(x, top, across(rows[k - 1].t) - x, height);
        first = null;
      }
    }
  }
  legs.forEach((leg, i) => {
    words(context, leg, LEFT - 6, (i + 0.5) * strip);
    context.fillStyle = colours[leg.endsWith("r") ? 0 : 1];
    bars((row) => row.contact[i], (i + 0.12) * strip, 0.7 * strip);
    context.fillStyle = ink();
    bars((row) => row.stance?.[i], (i + 0.87) * strip, 0.07 * strip);
  });
}

/** A line per joint, the legs one below the other, the same colours for the joints of each. limit: N m, the edge of a strip. */
export function torque(canvas, all, span, legs, limit, colours) {
  const { rows, context, width, strip, across } = strips(canvas, all, span, legs);
  legs.forEach((leg, i) => {
    const middle = (i + 0.5) * strip;
    line(context, [[LEFT, middle], [width, middle]], rule());
    scale(context, leg, limit, middle);
    const joints = rows.length ? rows[0].torque.length / legs.length : 0;
    for (let joint = 0; joint < joints; joint++) {
      const height = (row) => middle - (row.torque[joints * i + joint] / limit) * 0.5 * strip;
      line(context, rows.map((row) => [across(row.t), height(row)]), colours[joint % colours.length]);
    }
  });
}

/** One bar per reward term: what it gave per second over the last second of rows. */
export function reward(canvas, rows, terms, colours) {
  const [context, width, height] = sheet(canvas);
  const recent = rows.slice(-50);
  const mean = terms.map((_, i) => recent.reduce((total, row) => total + row.reward[i], 0) / Math.max(recent.length, 1));
  const order = terms.map((_, i) => i).sort((a, b) => Math.abs(mean[b]) - Math.abs(mean[a])).slice(0, 10).sort((a, b) => a - b);
  const strip = height / Math.max(order.length, 1), name = Math.min(150, width / 2), room = width - name - 46;
  const scale = Math.max(1, ...mean.map(Math.abs));
  order.forEach((i, place) => {
    const middle = (place + 0.5) * strip, length = (room * Math.abs(mean[i])) / scale;
    words(context, terms[i].replaceAll("_", " "), name - 6, middle);
    context.fillStyle = colours[mean[i] < 0 ? 1 : 2];
    context.fillRect(name, middle - 0.32 * strip, Math.max(length, 1), 0.64 * strip);
    words(context, mean[i].toFixed(2).replace("-0.00", "0.00"), name + length + 4, middle, "left");
  });
}

/** A learning curve over training steps. */
export function curve(canvas, rows, name, colour) {
  const [context, width, height] = sheet(canvas);
  const values = rows.map((row) => row[name]).filter(Number.isFinite);
  if (!values.length) return;
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const end = rows.at(-1).steps || 1, reach = high - low || 1;
  const down = (v) => height - 16 - ((v - low) / reach) * (height - 26);
  line(context, [[LEFT, down(0)], [width, down(0)]], rule());
  words(context, high.toPrecision(3), LEFT - 6, down(high) + 2);
  words(context, low.toPrecision(3), LEFT - 6, down(low) - 2);
  words(context, `${(end / 1e6).toFixed(2)} M steps`, width, height - 6);
  context.lineWidth = 1.8;
  line(context, rows.filter((row) => Number.isFinite(row[name])).map((row) => [LEFT + ((width - LEFT) * row.steps) / end, down(row[name])]), colour);
  context.lineWidth = 1;
}
