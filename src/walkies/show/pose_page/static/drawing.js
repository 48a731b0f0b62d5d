// A robot by parallel projection: every shape is convex, so that its picture is the hull of its points' pictures.

const RING = Array.from({ length: 16 }, (_, i) => [Math.cos((i * Math.PI) / 8), Math.sin((i * Math.PI) / 8)]);
const BALL = Array.from({ length: 13 }, (_, i) => ((i - 6) * Math.PI) / 12).flatMap((latitude) =>
  RING.map(([x, y]) => [x * Math.cos(latitude), y * Math.cos(latitude), Math.sin(latitude)]));
/** Points in a shape's own frame, by its kind; sizes as MuJoCo's. */
const POINTS = {
  sphere: ([x, y, z]) => BALL.map((p) => [x * p[0], y * p[1], z * p[2]]),
  capsule: ([r, half]) => [half, -half].flatMap((end) => BALL.map((p) => [r * p[0], r * p[1], r * p[2] + end])),
  cylinder: ([r, half]) => RING.flatMap(([x, y]) => [[r * x, r * y, half], [r * x, r * y, -half]]),
  box: ([x, y, z]) => [1, -1].flatMap((a) => [1, -1].flatMap((b) => [[a * x, b * y, z], [a * x, b * y, -z]])),
};

/** Turn the view by so many pixels of a drag. */
export function turned(view, across, down) {
  view.azimuth -= 0.008 * across;
  view.elevation = Math.min(Math.PI / 2, Math.max(-0.2, view.elevation + 0.008 * down));
}

/** From the world to [across, down, towards the eye], pixels: the ground below the robot's origin lies in the middle. */
export function projection({ azimuth, elevation }, scale, [middle, horizon]) {
  const [s, c, sin, cos] = [Math.sin(azimuth), Math.cos(azimuth), Math.sin(elevation), Math.cos(elevation)];
  return ([x, y, z]) => {
    const ahead = c * x + s * y;
    return [middle + scale * (c * y - s * x), horizon + scale * (sin * ahead - cos * z), cos * ahead + sin * z];
  };
}

/** Corners of the convex hull of points in the plane (monotone chain: Andrew 1979). */
export function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (order) => {
    const found = [];
    for (const p of order) {
      while (found.length > 1) {
        const [[ax, ay], [bx, by]] = found.slice(-2);
        if ((bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) > 0) break;
        found.pop();
      }
      found.push(p);
    }
    return found.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

export function draw(canvas, hello, shown, view) {
  const ratio = window.devicePixelRatio || 1, [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.lineJoin = context.lineCap = "round";
  const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
  const [size, centre] = hello.size, scale = (view.zoom * Math.min(width, height)) / size;
  const middle = [width / 2, height / 2 + scale * centre * Math.cos(view.elevation)];
  const place = projection(view, scale, middle);
  Object.assign(canvas.dataset, { ...view, scale, across: middle[0], down: middle[1] });

  const path = (points, close) => {
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (close) context.closePath();
  };
  const line = (points, stroke, thick) => {
    path(points.map(place), false);
    [context.strokeStyle, context.lineWidth] = [stroke, thick];
    context.stroke();
  };
  const dot = (point, radius, fill) => {
    const [x, y] = place(point);
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = fill;
    context.fill();
  };

  // The ground, a grid of tenths of the robot's size, and the support on it.
  const reach = size / 2, step = size / 10;
  for (let at = -reach; at <= reach + 1e-9; at += step) {
    line([[at, -reach, 0], [at, reach, 0]], colour("--line"), 1);
    line([[-reach, at, 0], [reach, at, 0]], colour("--line"), 1);
  }
  path(shown.support.map(([x, y]) => place([x, y, 0])), true);
  context.fillStyle = "#1f4fd830";
  context.fill();
  [context.strokeStyle, context.lineWidth] = ["#1f4fd8", 1.5];
  context.stroke();

  // Shapes from far to near; those that touch nothing only as a shade.
  const shapes = hello.shapes.map((shape, i) => {
    const m = shown.turns[i], at = shown.places[i];
    const world = (p) => [0, 1, 2].map((k) => m[3 * k] * p[0] + m[3 * k + 1] * p[1] + m[3 * k + 2] * p[2] + at[k]);
    const points = POINTS[shape.kind](shape.size).map((p) => place(world(p.map((v, k) => v + shape.middle[k]))));
    return { role: shape.role, corners: hull(points), depth: place(world(shape.middle))[2] };
  });
  for (const { role, corners } of shapes.sort((a, b) => a.depth - b.depth)) {
    if (role === "shape" && !view.solid) continue;
    path(corners, true);
    context.globalAlpha = role === "shape" ? 0.25 : 0.85;
    context.fillStyle = role === "shape" ? colour("--quiet") : hello.colours[role];
    context.fill();
    context.globalAlpha = role === "shape" ? 0.5 : 1;
    [context.strokeStyle, context.lineWidth] = [colour("--page"), 1];
    context.stroke();
    context.globalAlpha = 1;
  }

  for (const limb of shown.lines) line(limb, colour("--text"), 1.5);
  for (const joint of shown.joints) dot(joint, 3, colour("--text"));
  const [x, y, z] = shown.centre, arm = 8 / scale;
  line([[x, y, z], [x, y, 0]], "#1f4fd8", 1);
  for (const axis of [0, 1, 2]) {
    const ends = [-arm, arm].map((off) => shown.centre.map((v, k) => (k === axis ? v + off : v)));
    line(ends, "#1f4fd8", 3);
  }
  dot([x, y, 0], 4, "#1f4fd8");
}
