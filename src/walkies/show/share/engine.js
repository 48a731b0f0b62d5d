// The native engine (native/wasm/engine.cpp): one robot, stepped and placed. Names and units: walkies.sim.base.

/** The numbers in a base64 text, of a kind such as Float32Array; little-endian, as every machine with a browser is. */
export function numbers(text, Kind) {
  return new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

/**
 * A robot in the engine. robot: what `walkies.show.share.content.engine` writes; wasm: its code, base64.
 * Arrays are views of the engine's own: write `target` and `push`, call `step`, read `qpos`, `qvel`, `distance`.
 */
export async function makeEngine(robot, wasm) {
  const { instance } = await WebAssembly.instantiate(numbers(wasm, Uint8Array), {});
  const exported = instance.exports;
  exported._initialize();
  const view = (name, length, Kind = Float32Array) => new Kind(exported.memory.buffer, exported[name](), length);
  const constants = numbers(robot.constants, Float64Array), nominal = numbers(robot.params, Float32Array);
  view("constants", constants.length, Float64Array).set(constants);
  const { iterations, line_search, line_tolerance, tolerance } = robot.solver;
  const count = exported.load(constants.length, iterations, line_search, line_tolerance, tolerance);
  if (count !== nominal.length) throw new Error(`The engine takes ${count} parameters, and got ${nominal.length}.`);
  const nu = robot.joints, params = view("params", count);
  params.set(nominal);
  const engine = {
    params,
    qpos: view("qpos", 7 + nu), qvel: view("qvel", 6 + nu), warmstart: view("warmstart", 6 + nu),
    target: view("target", nu), push: view("push", 3),
    distance: view("distance", robot.colliders), torque: view("torque", nu),
    matrices: view("matrices", 16 * (nu + 1)),
    dt: robot.substeps * robot.timestep, // s of a control step

    /** One control step; false where the robot blew up. */
    step: () => exported.step(robot.substeps) === 1,

    /** Put the robot there, at rest. */
    rest(qpos) {
      engine.qpos.set(qpos);
      for (const array of [engine.qvel, engine.warmstart, engine.push]) array.fill(0);
    },

    /** Place the links of the robot in these coordinates; `matrices` then has theirs, the base's first. */
    place(qpos) {
      view("shown", 7 + nu).set(qpos);
      exported.place();
    },

    /** Change the world: a slider's row of parameters, where `world` has its columns and rows (base64). */
    change({ columns, rows }, row) {
      const values = numbers(rows, Float32Array);
      columns.forEach((column, i) => { params[column] = values[row * columns.length + i]; });
    },
  };
  return engine;
}
