// Draws the lecture's interactive pictures (FIGURES of docs/lecture/figures.js) where a page has a place for one.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 560, HEIGHT = 300, LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 40;

function element(name, attributes, ...inner) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inner);
  return made;
}

// Round numbers in a range, about five of them.
function ticks([from, to]) {
  const rough = (to - from) / 5, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((times) => times * unit >= rough) * unit;
  const found = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + 1e-9 * step; i++) found.push(Number((i * step).toPrecision(6)));
  return found;
}

function show(place) {
  const figure = FIGURES[place.dataset.figure];
  const values = {};
  const scaleX = (x) => LEFT + ((x - figure.x.range[0]) / (figure.x.range[1] - figure.x.range[0])) * (WIDTH - LEFT - RIGHT);
  const scaleY = (y) => HEIGHT - BOTTOM - ((y - figure.y.range[0]) / (figure.y.range[1] - figure.y.range[0])) * (HEIGHT - TOP - BOTTOM);
  const picture = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": figure.title });
  const legend = document.createElement("p"), said = document.createElement("output");
  legend.className = "legend";

  function draw() {
    const found = figure.curves(values);
    const clip = `clip-${place.dataset.figure}`;
    const parts = [element("clipPath", { id: clip }, element("rect", {
      x: LEFT, y: TOP, width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM }))];
    for (const x of ticks(figure.x.range)) {
      parts.push(element("line", { x1: scaleX(x), x2: scaleX(x), y1: TOP, y2: HEIGHT - BOTTOM, class: "grid" }));
      parts.push(element("text", { x: scaleX(x), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, `${x}`));
    }
    for (const y of ticks(figure.y.range)) {
      parts.push(element("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: scaleY(y), y2: scaleY(y), class: "grid" }));
      parts.push(element("text", { x: LEFT - 6, y: scaleY(y) + 4, "text-anchor": "end" }, `${y}`));
    }
    parts.push(element("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, figure.x.label));
    parts.push(element("text", { x: 12, y: (TOP + HEIGHT - BOTTOM) / 2, "text-anchor": "middle",
      transform: `rotate(-90 12 ${(TOP + HEIGHT - BOTTOM) / 2})` }, figure.y.label));
    const inside = element("g", { "clip-path": `url(#${clip})` });
    Object.values(found.curves).forEach((points, i) => {
      const path = points.map(([x, y], k) => `${k ? "L" : "M"}${scaleX(x).toFixed(2)} ${scaleY(y).toFixed(2)}`).join("");
      inside.append(element("path", { d: path, class: `curve curve-${i}` }));
    });
    for (const [x, y] of found.points || []) inside.append(element("circle", { cx: scaleX(x), cy: scaleY(y), r: 4 }));
    picture.replaceChildren(...parts, inside);
    legend.replaceChildren(...Object.keys(found.curves).map((name, i) => {
      const key = document.createElement("span");
      key.className = `key key-${i}`;
      key.textContent = name;
      return key;
    }));
    said.textContent = found.says;
  }

  const sliders = Object.entries(figure.sliders).map(([name, slider]) => {
    values[name] = slider.value;
    const label = document.createElement("label"), input = document.createElement("input"), shown = document.createElement("span");
    Object.assign(input, { type: "range", min: slider.from, max: slider.to, step: slider.step, value: slider.value, name });
    const read = () => {
      values[name] = Number(input.value);
      shown.textContent = `${slider.label} ${input.value}`;
    };
    input.addEventListener("input", () => { read(); draw(); });
    read();
    label.append(shown, input);
    return label;
  });
  place.append(...sliders, picture, legend, said);
  draw();
}

document.querySelectorAll("[data-figure]").forEach(show);
