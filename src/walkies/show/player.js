// Plays a recorded motion of primitive shapes in WebGL; self-contained, one canvas per <section>.
// Conventions are MuJoCo's: metres, z up, quaternions w x y z. Matrices are column-major, as WebGL takes them.
(() => {
  const section = document.currentScript.parentElement;
  const scene = JSON.parse(section.querySelector(".scene").textContent);
  const canvas = section.querySelector("canvas");
  const [button, slider, clock, speed] = ["button", "input", "output", "select"].map((tag) => section.querySelector(tag));
  const caption = section.querySelector(".command");
  const gl = canvas.getContext("webgl", { alpha: false, antialias: true, stencil: true });
  if (!gl) {
    caption.textContent = "This browser has no WebGL, so there is no replay.";
    return;
  }

  // --- Motion -----------------------------------------------------------------------------------------------------
  const packed = Uint8Array.from(atob(scene.poses), (c) => c.charCodeAt(0));
  const numbers = new DataView(packed.buffer);
  const STRIDE = scene.bodies * 7;
  const frames = packed.length / 2 / STRIDE;
  const duration = (frames - 1) / scene.fps;

  /** Position and quaternion of a body at a time, between two recorded poses. */
  function pose(body, time) {
    const exact = Math.min(Math.max(time * scene.fps, 0), frames - 1);
    const first = Math.floor(exact), second = Math.min(first + 1, frames - 1), share = exact - first;
    const at = (frame, i) => numbers.getInt16(2 * (frame * STRIDE + body * 7 + i), true);
    let dot = 0;
    for (let i = 3; i < 7; i++) dot += at(first, i) * at(second, i);
    const position = [0, 1, 2].map((i) => scene.metres * (at(first, i) * (1 - share) + at(second, i) * share));
    // q and −q are the same rotation: blend with the nearer of the two.
    const sign = dot < 0 ? -1 : 1;
    const quaternion = [3, 4, 5, 6].map((i) => at(first, i) * (1 - share) + sign * at(second, i) * share);
    const norm = Math.hypot(...quaternion);
    return [position, quaternion.map((q) => q / norm)];
  }

  // --- Linear algebra ---------------------------------------------------------------------------------------------
  function rotate([w, x, y, z], [a, b, c]) {
    const [tx, ty, tz] = [2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)];
    return [a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx];
  }
  const add = (a, b) => a.map((value, i) => value + b[i]);
  const subtract = (a, b) => a.map((value, i) => value - b[i]);
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => a.map((value) => value / (Math.hypot(...a) || 1));
  function matrix([position, quaternion]) {
    const [x, y, z] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((axis) => rotate(quaternion, axis));
    return [...x, 0, ...y, 0, ...z, 0, ...position, 1];
  }
  function multiply(a, b) {
    const product = new Array(16).fill(0);
    for (let column = 0; column < 4; column++)
      for (let row = 0; row < 4; row++)
        for (let k = 0; k < 4; k++) product[4 * column + row] += a[4 * k + row] * b[4 * column + k];
    return product;
  }
  function lookAt(eye, target) {
    const back = unit(subtract(eye, target));
    const right = unit(cross([0, 0, 1], back));
    const up = cross(back, right);
    const dot = (a) => -(a[0] * eye[0] + a[1] * eye[1] + a[2] * eye[2]);
    return [right[0], up[0], back[0], 0, right[1], up[1], back[1], 0, right[2], up[2], back[2], 0,
      dot(right), dot(up), dot(back), 1];
  }
  function perspective(fieldOfView, aspect, near, far) {
    const f = 1 / Math.tan(fieldOfView / 2);
    return [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, (2 * far * near) / (near - far), 0];
  }

  // --- Shapes: lists of triangles, each corner [position, normal] ------------------------------------------------------
  const SLICES = 20, STACKS = 8;

  /** A surface over a grid of (turn, height) parameters. */
  function surface(stacks, corner) {
    const corners = [];
    for (let stack = 0; stack < stacks; stack++)
      for (let slice = 0; slice < SLICES; slice++) {
        const [a, b, c, d] = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([s, t]) =>
          corner((2 * Math.PI * (slice + s)) / SLICES, (stack + t) / stacks));
        corners.push(a, b, c, a, c, d);
      }
    return corners;
  }
  /** The part of an ellipsoid between two latitudes, lifted by `lift`. */
  const dome = ([rx, ry, rz], south, north, lift = 0) => surface(STACKS, (turn, height) => {
    const tilt = south + (north - south) * height;
    const n = [Math.cos(tilt) * Math.cos(turn), Math.cos(tilt) * Math.sin(turn), Math.sin(tilt)];
    return [[rx * n[0], ry * n[1], rz * n[2] + lift], unit([n[0] / rx, n[1] / ry, n[2] / rz])];
  });
  const SHAPES = {
    sphere: (size) => dome(size, -Math.PI / 2, Math.PI / 2),
    capsule: ([r, half]) => [...dome([r, r, r], 0, Math.PI / 2, half), ...belt(r, half),
      ...dome([r, r, r], -Math.PI / 2, 0, -half)],
    cylinder: ([r, half]) => [...belt(r, half), ...lid(r, half, 1), ...lid(r, half, -1)],
    box: ([x, y, z]) => [[1, 0, 0], [0, 1, 0], [0, 0, 1]].flatMap((axis, i) => [1, -1].flatMap((sign) => {
      const normal = axis.map((a) => sign * a);
      const [u, v] = [[1, 2], [2, 0], [0, 1]][i].map((k) => [0, 1, 2].map((j) => (j === k ? 1 : 0)));
      const at = (s, t) => [[x, y, z].map((h, j) => h * (normal[j] + s * u[j] + t * v[j])), normal];
      return [at(-1, -1), at(1, -1), at(1, 1), at(-1, -1), at(1, 1), at(-1, 1)];
    })),
  };
  function belt(r, half) {
    return surface(1, (turn, height) => {
      const n = [Math.cos(turn), Math.sin(turn), 0];
      return [[r * n[0], r * n[1], half * (2 * height - 1)], n];
    });
  }
  function lid(r, half, sign) {
    return surface(1, (turn, height) =>
      [[r * height * Math.cos(turn), r * height * Math.sin(turn), sign * half], [0, 0, sign]]);
  }

  // One buffer per body: position, normal, colour of every corner in the body's frame.
  const meshes = [];
  for (let body = 0; body < scene.bodies; body++) {
    const data = [];
    for (const shape of scene.shapes.filter((one) => one.body === body))
      for (const [position, normal] of SHAPES[shape.shape](shape.size))
        data.push(...add(rotate(shape.quat, position), shape.pos), ...rotate(shape.quat, normal), ...shape.colour);
    if (!data.length) continue;
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(data), gl.STATIC_DRAW);
    meshes.push({ body, buffer, count: data.length / 9 });
  }
  const floor = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, floor);
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, 1, 1, -1, -1, 1, 1, -1, 1].flatMap((v, i, all) =>
    i % 2 ? [] : [v, all[i + 1], 0, 0, 0, 1, 1, 1, 1])), gl.STATIC_DRAW);

  // --- Shaders ----------------------------------------------------------------------------------------------------
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, `
    attribute vec3 position, normal, colour;
    uniform mat4 model, camera;
    varying vec3 world, facing, paint;
    void main() {
      vec4 at = model * vec4(position, 1.0);
      world = at.xyz; facing = mat3(model) * normal; paint = colour;
      gl_Position = camera * at;
    }`], [gl.FRAGMENT_SHADER, `
    precision highp float;
    uniform vec3 eye, centre, background;
    uniform int mode;  // 0 robot, 1 floor, 2 shadow
    varying vec3 world, facing, paint;
    void main() {
      if (mode == 2) { gl_FragColor = vec4(0.0, 0.0, 0.0, 0.35); return; }
      if (mode == 1) {
        vec2 square = floor(world.xy / 0.1);
        float shade = mod(square.x + square.y, 2.0) < 0.5 ? 0.74 : 0.66;
        float fade = smoothstep(0.6, 2.6, length(world.xy - centre.xy));
        gl_FragColor = vec4(mix(vec3(shade), background, fade), 1.0);
        return;
      }
      vec3 n = normalize(facing), view = normalize(eye - world), sun = normalize(vec3(0.4, -0.5, 1.0));
      if (dot(n, view) < 0.0) n = -n;
      float light = 0.38 + 0.5 * max(dot(n, sun), 0.0) + 0.22 * max(dot(n, view), 0.0);
      float gloss = 0.25 * pow(max(dot(reflect(-sun, n), view), 0.0), 24.0);
      gl_FragColor = vec4(paint * light + gloss, 1.0);
    }`]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  const uniforms = Object.fromEntries(["model", "camera", "eye", "centre", "background", "mode"].map((name) =>
    [name, gl.getUniformLocation(program, name)]));
  const attributes = ["position", "normal", "colour"].map((name) => gl.getAttribLocation(program, name));
  attributes.forEach((place) => gl.enableVertexAttribArray(place));

  function draw(buffer, count, model, mode) {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    attributes.forEach((place, i) => gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 36, 12 * i));
    gl.uniformMatrix4fv(uniforms.model, false, model);
    gl.uniform1i(uniforms.mode, mode);
    gl.drawArrays(gl.TRIANGLES, 0, count);
  }

  // --- Camera and drawing -----------------------------------------------------------------------------------------
  const SUN = [0.4, -0.5, 1.0], LIFT = 0.001;
  const SHADOW = [1, 0, 0, 0, 0, 1, 0, 0, -SUN[0], -SUN[1], 0, 0, 0, 0, LIFT, 1];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let azimuth = (-40 * Math.PI) / 180, elevation = (18 * Math.PI) / 180, distance = 1.0;
  let time = 0, playing = true, last = null;
  let follow = pose(1, 0)[0];

  function render() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * ratio));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    const background = dark.matches ? [0.1, 0.12, 0.15] : [0.87, 0.91, 0.95];
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT | gl.STENCIL_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    const centre = [follow[0], follow[1], 0.1];
    const eye = add(centre, [Math.cos(elevation) * Math.cos(azimuth), Math.cos(elevation) * Math.sin(azimuth),
      Math.sin(elevation)].map((value) => distance * value));
    const camera = multiply(perspective(0.7, width / Math.max(height, 1), 0.02, 20), lookAt(eye, centre));
    gl.uniformMatrix4fv(uniforms.camera, false, camera);
    gl.uniform3fv(uniforms.eye, eye);
    gl.uniform3fv(uniforms.centre, centre);
    gl.uniform3fv(uniforms.background, background);
    draw(floor, 6, [4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, centre[0], centre[1], 0, 1], 1);
    const models = meshes.map((mesh) => matrix(pose(mesh.body, time)));
    // Shadows darken each spot of the floor once, however many shapes lie above it.
    gl.enable(gl.BLEND);
    gl.enable(gl.STENCIL_TEST);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.stencilFunc(gl.EQUAL, 0, 255);
    gl.stencilOp(gl.KEEP, gl.KEEP, gl.INCR);
    meshes.forEach((mesh, i) => draw(mesh.buffer, mesh.count, multiply(SHADOW, models[i]), 2));
    gl.disable(gl.BLEND);
    gl.disable(gl.STENCIL_TEST);
    meshes.forEach((mesh, i) => draw(mesh.buffer, mesh.count, models[i], 0));
    caption.textContent = scene.commands[Math.min(Math.round(time * scene.fps), frames - 1)];
    clock.textContent = `${time.toFixed(1)} s`;
    slider.value = String(Math.round((1000 * time) / (duration || 1)));
    canvas.dataset.time = time.toFixed(3);
  }

  function tick(now) {
    if (last !== null) {
      const passed = Math.min((now - last) / 1000, 0.1);
      if (playing) time = (time + passed * Number(speed.value)) % (duration || 1);
      // The camera follows the trunk softly, and jumps with it when the record starts over.
      const trunk = pose(1, time)[0];
      const share = Math.hypot(...subtract(trunk, follow)) > 1 ? 1 : 1 - Math.exp(-passed / 0.25);
      follow = follow.map((value, i) => value + share * (trunk[i] - value));
    }
    last = now;
    render();
    requestAnimationFrame(tick);
  }

  button.addEventListener("click", () => {
    playing = !playing;
    button.textContent = playing ? "❚❚" : "▶";
  });
  slider.addEventListener("input", () => { time = (Number(slider.value) / 1000) * duration; });
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    azimuth -= event.movementX * 0.008;
    elevation = Math.min(1.5, Math.max(0.02, elevation + event.movementY * 0.008));
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    distance = Math.min(4, Math.max(0.3, distance * Math.exp(event.deltaY * 0.001)));
  }, { passive: false });
  requestAnimationFrame(tick);
})();
