// Plays the tables of a reference gait on 2-D canvases; self-contained. Metres and radians; the trunk's frame.
(() => {
  const section = document.currentScript.parentElement;
  const scene = JSON.parse(section.querySelector(".scene").textContent);
  const find = (selector) => section.querySelector(selector);
  const [button, choice, slider, shown, speed, back] = [
    "button", ".table", "input[type=range]", "output", ".speed", ".back",
  ].map(find);
  const [side, above, falls, angles] = [".side", ".top", ".falls", ".angles"].map(find);
  const perLeg = scene.joints.length;
  let table = scene.tables[0], phase = 0, playing = true, before = null;

  // --- The gait at a phase ------------------------------------------------------------------------------------------
  /** The two rows around a phase, and the share of the second. */
  function rows(values, at) {
    const place = at * values.length, first = Math.floor(place) % values.length;
    return [values[first], values[(first + 1) % values.length], place - Math.floor(place)];
  }
  const between = (a, b, share) => a + share * (b - a);
  /** Points of a leg, from the hip to the foot. */
  function legAt(leg, at) {
    const [a, b, share] = rows(table.points, at);
    return a[leg].map((point, i) => point.map((value, axis) => between(value, b[leg][i][axis], share)));
  }

  // --- Canvases -----------------------------------------------------------------------------------------------------
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  /** A cleared canvas of its size on the page: [context, width, height]. */
  function sheet(canvas) {
    const scale = window.devicePixelRatio || 1, [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "13px system-ui, sans-serif";
    context.lineJoin = context.lineCap = "round";
    return [context, width, height];
  }
  function line(context, points, stroke, width, alpha = 1) {
    context.globalAlpha = alpha;
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    context.globalAlpha = 1;
  }
  function dot(context, [x, y], radius, fill) {
    context.fillStyle = fill;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }
  /** Smallest and largest of each axis over all tables, so that they are drawn alike. */
  const box = [0, 1, 2].map((axis) => {
    let [low, high] = [Infinity, -Infinity];
    for (const one of scene.tables)
      for (const row of one.points)
        for (const leg of row)
          for (const point of leg) [low, high] = [Math.min(low, point[axis]), Math.max(high, point[axis])];
    return [low - 0.03, high + 0.03];
  });

  // --- Legs ---------------------------------------------------------------------------------------------------------
  /** Legs projected on two axes of the trunk. */
  function legs(canvas, across, up) {
    const [context, width, height] = sheet(canvas);
    const scale = Math.min(width / (box[across][1] - box[across][0]), height / (box[up][1] - box[up][0]));
    const [middle, centre] = [across, up].map((axis) => (box[axis][0] + box[axis][1]) / 2);
    const place = (point) => [
      width / 2 + scale * (point[across] - middle), height / 2 - scale * (point[up] - centre),
    ];
    if (up === 2) {
      const ground = place([0, 0, box[2][0] + 0.03])[1];
      line(context, [[0, ground], [width, ground]], colour("--line"), 1);
    }
    const hips = scene.legs.map((_, leg) => legAt(leg, phase)[0]);
    const mean = [0, 1].map((axis) => hips.reduce((sum, hip) => sum + hip[axis], 0) / hips.length);
    const around = [...hips].sort((a, b) =>
      Math.atan2(a[1] - mean[1], a[0] - mean[0]) - Math.atan2(b[1] - mean[1], b[0] - mean[0]));
    line(context, [...around, around[0]].map(place), colour("--quiet"), 2);
    const down = rows(table.ground, phase)[0];
    scene.legs.forEach((_, leg) => {
      const tint = scene.colours[leg], points = legAt(leg, phase);
      const path = table.points.map((row) => place(row[leg][perLeg]));
      line(context, [...path, path[0]], tint, 1, 0.5);
      line(context, points.map(place), tint, 4);
      points.slice(0, perLeg).forEach((point) => dot(context, place(point), 3, colour("--text")));
      dot(context, place(points[perLeg]), down[leg] ? 7 : 4, tint);
    });
  }

  // --- Diagrams over the cycle --------------------------------------------------------------------------------------
  const LEFT = 90;
  const across = (at, width) => LEFT + at * (width - LEFT - 10);
  function cursor(context, width, height) {
    line(context, [[across(phase, width), 0], [across(phase, width), height]], colour("--text"), 1);
  }
  function footfalls() {
    const [context, width, height] = sheet(falls), count = table.ground.length, row = height / scene.legs.length;
    scene.legs.forEach((name, leg) => {
      context.fillStyle = colour("--text");
      context.fillText(name, 0, (leg + 0.6) * row);
      context.fillStyle = scene.colours[leg];
      table.ground.forEach((down, i) => {
        const [from, to] = [across(i / count, width), across((i + 1) / count, width)];
        if (down[leg]) context.fillRect(from, (leg + 0.2) * row, to - from + 0.5, 0.6 * row);
      });
    });
    cursor(context, width, height);
  }
  function curves() {
    const [context, width, height] = sheet(angles), row = height / perLeg, count = table.angles.length;
    scene.joints.forEach((name, joint) => {
      const of = scene.legs.map((_, leg) => table.angles.map((angle) => angle[leg * perLeg + joint]));
      const [low, high] = [Math.min(...of.flat()), Math.max(...of.flat())], span = Math.max(high - low, 0.1);
      const place = (i, value) => [
        across(i / count, width), (joint + 0.92) * row - (0.84 * row * (value - low)) / span,
      ];
      context.fillStyle = colour("--text");
      context.fillText(name, 0, (joint + 0.55) * row);
      context.fillStyle = colour("--quiet");
      context.fillText(high.toFixed(2), LEFT - 36, (joint + 0.12) * row + 6);
      context.fillText(low.toFixed(2), LEFT - 36, (joint + 0.95) * row);
      of.forEach((values, leg) =>
        line(context, [...values, values[0]].map((value, i) => place(i, value)), scene.colours[leg], 2, 0.85));
    });
    cursor(context, width, height);
  }

  // --- Time ---------------------------------------------------------------------------------------------------------
  function draw() {
    legs(side, 0, 2);
    legs(above, 0, 1);
    footfalls();
    curves();
    shown.textContent = `phase ${phase.toFixed(2)}`;
    slider.value = String(Math.floor(phase * 1000));
  }
  function tick(now) {
    if (playing && before !== null) {
      const turn = (scene.frequency * Number(speed.value) * (now - before)) / 1000;
      phase = (((phase + (back.checked ? -turn : turn)) % 1) + 1) % 1;
      draw();
    }
    before = now;
    requestAnimationFrame(tick);
  }
  function pause(still) {
    playing = !still;
    button.textContent = playing ? "❚❚" : "▶";
    draw();
  }
  button.addEventListener("click", () => pause(playing));
  slider.addEventListener("input", () => {
    phase = Number(slider.value) / 1000;
    pause(true);
  });
  choice.addEventListener("change", () => {
    table = scene.tables[Number(choice.value)];
    draw();
  });
  window.addEventListener("resize", draw);
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) pause(true);
  draw();
  requestAnimationFrame(tick);
})();
