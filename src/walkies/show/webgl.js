// Draws bodies of primitive shapes in WebGL, seen from a camera that a person turns and brings nearer.
// Conventions are MuJoCo's: metres, z up, quaternions w x y z. Matrices are column-major, as WebGL takes them.

// --- Linear algebra -------------------------------------------------------------------------------------------------
export function rotate([w, x, y, z], [a, b, c]) {
  const [tx, ty, tz] = [2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)];
  return [a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx];
}
const add = (a, b) => a.map((value, i) => value + b[i]);
const subtract = (a, b) => a.map((value, i) => value - b[i]);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = (a) => a.map((value) => value / (Math.hypot(...a) || 1));
/** The pose of a body, [position, quaternion], as a matrix. */
export function matrix([position, quaternion]) {
  const [x, y, z] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((axis) => rotate(quaternion, axis));
  return [...x, 0, ...y, 0, ...z, 0, ...position, 1];
}
export function multiply(a, b) {
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
/** fieldOfView: rad, from below upwards; more where the picture is so narrow that it would show too little. */
function perspective(fieldOfView, aspect, near, far) {
  const f = Math.min(1, 1.5 * aspect) / Math.tan(fieldOfView / 2);
  return [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, (2 * far * near) / (near - far), 0];
}

// --- Shapes: lists of triangles, each corner [position, normal] -----------------------------------------------------
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

// --- Shaders --------------------------------------------------------------------------------------------------------
const VERTEX = `
  attribute vec3 position, normal, colour;
  uniform mat4 model, camera;
  varying vec3 world, facing, paint;
  void main() {
    vec4 at = model * vec4(position, 1.0);
    world = at.xyz; facing = mat3(model) * normal; paint = colour;
    gl_Position = camera * at;
  }`;
const FRAGMENT = `
  precision highp float;
  uniform vec3 eye, centre, background;
  uniform float size;
  uniform int mode;  // 0 robot, 1 floor, 2 shadow
  varying vec3 world, facing, paint;
  void main() {
    if (mode == 2) { gl_FragColor = vec4(0.0, 0.0, 0.0, 0.35); return; }
    if (mode == 1) {
      vec2 square = floor(world.xy / (0.1 * size));
      float shade = mod(square.x + square.y, 2.0) < 0.5 ? 0.74 : 0.66;
      float fade = smoothstep(0.6 * size, 2.6 * size, length(world.xy - centre.xy));
      gl_FragColor = vec4(mix(vec3(shade), background, fade), 1.0);
      return;
    }
    vec3 n = normalize(facing), view = normalize(eye - world), sun = normalize(vec3(0.4, -0.5, 1.0));
    if (dot(n, view) < 0.0) n = -n;
    float light = 0.38 + 0.5 * max(dot(n, sun), 0.0) + 0.22 * max(dot(n, view), 0.0);
    float gloss = 0.25 * pow(max(dot(reflect(-sun, n), view), 0.0), 24.0);
    gl_FragColor = vec4(paint * light + gloss, 1.0);
  }`;

function compile(gl) {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  return program;
}

function upload(gl, data) {
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(data), gl.STATIC_DRAW);
  return { buffer, count: data.length / 9 };
}

/** One buffer per body that has shapes: position, normal, colour of every corner in the body's frame. */
function uploadBodies(gl, shapes) {
  const meshes = [];
  for (const body of new Set(shapes.map((shape) => shape.body))) {
    const data = [];
    for (const shape of shapes.filter((one) => one.body === body))
      for (const [position, normal] of SHAPES[shape.shape](shape.size))
        data.push(...add(rotate(shape.quat, position), shape.pos), ...rotate(shape.quat, normal), ...shape.colour);
    meshes.push({ body, ...upload(gl, data) });
  }
  return meshes;
}

// --- The picture ----------------------------------------------------------------------------------------------------
const SUN = [0.4, -0.5, 1.0], LIFT = 0.001;
const SHADOW = [1, 0, 0, 0, 0, 1, 0, 0, -SUN[0], -SUN[1], 0, 0, 0, 0, LIFT, 1];
const DEGREE = Math.PI / 180;

/**
 * A picture on a canvas; null where the browser has no WebGL.
 * shapes: [{ body, shape, size, pos, quat, colour }], as `walkies.show.page` writes them.
 * size: m, the distance from which the robot is seen. azimuth: degrees, where the camera stands at first.
 */
export function makePicture(canvas, shapes, size, azimuth = -40) {
  const gl = canvas.getContext("webgl", { alpha: false, antialias: true, stencil: true });
  if (!gl) return null;
  const program = compile(gl);
  const uniforms = Object.fromEntries(["model", "camera", "eye", "centre", "background", "size", "mode"].map((name) =>
    [name, gl.getUniformLocation(program, name)]));
  const attributes = ["position", "normal", "colour"].map((name) => gl.getAttribLocation(program, name));
  attributes.forEach((place) => gl.enableVertexAttribArray(place));
  const meshes = uploadBodies(gl, shapes);
  const floor = upload(gl, [[-1, -1], [1, -1], [1, 1], [-1, -1], [1, 1], [-1, 1]].flatMap(([x, y]) =>
    [x, y, 0, 0, 0, 1, 1, 1, 1]));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const camera = { azimuth: azimuth * DEGREE, elevation: 18 * DEGREE, distance: size };
  let centre = null;
  steer(canvas, camera, size);

  function draw({ buffer, count }, model, mode) {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    attributes.forEach((place, i) => gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 36, 12 * i));
    gl.uniformMatrix4fv(uniforms.model, false, model);
    gl.uniform1i(uniforms.mode, mode);
    gl.drawArrays(gl.TRIANGLES, 0, count);
  }

  /** Bring `point` softly towards the middle, and jump with it where it jumps. passed: s since the last picture. */
  function follow(point, passed) {
    const share = centre === null || Math.hypot(...subtract(point, centre)) > size ? 1 : 1 - Math.exp(-passed / 0.25);
    centre = centre === null ? [...point] : centre.map((value, i) => value + share * (point[i] - value));
  }

  /** Draw the bodies; models: the matrix of a body by its number. */
  function render(models) {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * ratio));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    const background = dark.matches ? [0.1, 0.12, 0.15] : [0.87, 0.91, 0.95];
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT | gl.STENCIL_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    const target = [centre[0], centre[1], 0.1 * size];
    const { azimuth: turn, elevation: tilt } = camera;
    const eye = add(target, [Math.cos(tilt) * Math.cos(turn), Math.cos(tilt) * Math.sin(turn), Math.sin(tilt)].map(
      (value) => camera.distance * value));
    const lens = perspective(0.7, width / Math.max(height, 1), 0.02 * size, 20 * size);
    gl.uniformMatrix4fv(uniforms.camera, false, multiply(lens, lookAt(eye, target)));
    gl.uniform3fv(uniforms.eye, eye);
    gl.uniform3fv(uniforms.centre, target);
    gl.uniform3fv(uniforms.background, background);
    gl.uniform1f(uniforms.size, size);
    draw(floor, [4 * size, 0, 0, 0, 0, 4 * size, 0, 0, 0, 0, 1, 0, target[0], target[1], 0, 1], 1);
    const placed = meshes.map((mesh) => models(mesh.body));
    // Shadows darken each spot of the floor once, however many shapes lie above it.
    gl.enable(gl.BLEND);
    gl.enable(gl.STENCIL_TEST);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.stencilFunc(gl.EQUAL, 0, 255);
    gl.stencilOp(gl.KEEP, gl.KEEP, gl.INCR);
    meshes.forEach((mesh, i) => draw(mesh, multiply(SHADOW, placed[i]), 2));
    gl.disable(gl.BLEND);
    gl.disable(gl.STENCIL_TEST);
    meshes.forEach((mesh, i) => draw(mesh, placed[i], 0));
  }
  return { follow, render };
}

/** Drag to turn the camera, wheel or pinch to zoom. */
function steer(canvas, camera, size) {
  const fingers = new Map();
  const zoom = (factor) => { camera.distance = Math.min(4 * size, Math.max(0.3 * size, camera.distance * factor)); };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = [...fingers.values()];
    const [x, y] = fingers.get(event.pointerId), now = [event.clientX, event.clientY];
    fingers.set(event.pointerId, now);
    if (before.length === 2) {
      const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
      zoom(apart(before) / apart([...fingers.values()]));
      return;
    }
    camera.azimuth -= (now[0] - x) * 0.008;
    camera.elevation = Math.min(1.5, Math.max(0.02, camera.elevation + (now[1] - y) * 0.008));
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
    canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(event.deltaY * 0.001));
  }, { passive: false });
}
