// The engine for a browser: one robot on level ground, in WebAssembly without imports.
//
// JavaScript (src/walkies/show/share/engine.js) writes into arrays and reads from them; their addresses are what the
// functions below return. Numbers are those of ../engine/layout.h, arrays those of ../engine/call.h.
#include "../engine/block.h"

namespace walkies::WALKIES_NS {

constexpr int kMaxSubsteps = 256;
constexpr int kMatrix = 16;  // numbers of a 4 × 4 matrix
constexpr int kMaxConstants = count_constants(kMaxJoints, kMaxColliders, kMaxPairs, 0, 0);

static double constants[kMaxConstants];
static Model<float> model;
static SolverSettings solver;
static float params[count_params(kMaxJoints, kMaxColliders, kMaxSurfaces)];
// The state, which a step replaces.
static float qpos[7 + kMaxJoints], qvel[6 + kMaxJoints], warmstart[6 + kMaxJoints];
// What a step is given: the targets of one control step, and a force on the base (world axes).
static float target[kMaxJoints], push[3];
static float targets[kMaxSubsteps * kMaxJoints];
// What it says besides.
static float distance[kMaxColliders], force[3 * kMaxColliders], position[3 * kMaxColliders];
static float velocity[3 * kMaxColliders], torque[kMaxJoints], acceleration[3], imu[6 * kMaxSubsteps];
// Coordinates that are looked at, and where they place the links.
static float shown[7 + kMaxJoints], matrices[kMatrix * (kMaxJoints + 1)];

// Whether `count` constants are those of a robot without static geoms but the plane. Python has checked the rest
// (walkies.sim.engine.check) before it wrote the page; what is wrong all the same stays in the page's own sandbox.
bool fits(int count) {
  const auto& all = *reinterpret_cast<const ModelNumbers*>(constants);
  const int n = int(all.joints), c = int(all.colliders), p = int(all.pairs);
  return count >= kModelNumbers && n >= 1 && n <= kMaxJoints && c >= 1 && c <= kMaxColliders && p >= 0 &&
         p <= kMaxPairs && all.surfaces >= 1 && all.surfaces <= kMaxSurfaces && all.kinds == 0 && all.fields == 0 &&
         count == count_constants(n, c, p, 0, 0);
}

// A link's pose as a column-major matrix, as WebGL takes it. All lanes hold the same robot.
void write_matrix(const Link<Lanes>& link, Vec3<Lanes> base, float* to) {
  const Vec3<Lanes> origin = base + link.origin;
  const Vec3<Lanes> column[4] = {link.rotation.x, link.rotation.y, link.rotation.z, origin};
  for (int i = 0; i < 4; i++, to += 4) {
    to[0] = column[i].x[0], to[1] = column[i].y[0], to[2] = column[i].z[0], to[3] = i == 3;
  }
}

}  // namespace walkies::WALKIES_NS

#define WALKIES_EXPORT_AS(name) extern "C" __attribute__((export_name(#name)))
#define WALKIES_ARRAY(type, name)                                    \
  WALKIES_EXPORT_AS(name) type* walkies_##name() {                   \
    return walkies::WALKIES_NS::name;                                \
  }

WALKIES_ARRAY(double, constants)
WALKIES_ARRAY(float, params)
WALKIES_ARRAY(float, qpos)
WALKIES_ARRAY(float, qvel)
WALKIES_ARRAY(float, warmstart)
WALKIES_ARRAY(float, target)
WALKIES_ARRAY(float, push)
WALKIES_ARRAY(float, distance)
WALKIES_ARRAY(float, torque)
WALKIES_ARRAY(float, imu)
WALKIES_ARRAY(float, shown)
WALKIES_ARRAY(float, matrices)

// Makes the robot of which `count` constants were written; how many parameters it has, 0 where it does not fit.
WALKIES_EXPORT_AS(load)
int walkies_load(int count, int iterations, int line_search, double line_tolerance, double tolerance) {
  using namespace walkies;
  using namespace walkies::WALKIES_NS;
  if (!fits(count)) return 0;
  solver = {iterations, line_search, line_tolerance, tolerance};
  load_model<float>(constants, nullptr, nullptr, &model);
  return count_params(model.tree.joints, model.colliders, model.surfaces);
}

// One control step of so many physics steps; 0 where the robot blew up, or was given numbers that are none.
WALKIES_EXPORT_AS(step)
int walkies_step(int substeps) {
  using namespace walkies;
  using namespace walkies::WALKIES_NS;
  const int joints = model.tree.joints;
  if (joints < 1 || substeps < 0 || substeps > kMaxSubsteps) return 0;
  for (int i = 0; i < substeps * joints; i++) targets[i] = target[i % joints];
  uint8_t ok = 0;
  const Call<float> call{1,       1,    substeps, solver, params,    qpos,     qvel,  warmstart, targets,  push,
                         qpos,    qvel, warmstart, distance, force,  position, velocity, torque, acceleration, imu,
                         &ok};
  run_block<Lanes>(&model, call, 0);
  return ok;
}

// Places the links of the robot in the coordinates `shown`.
WALKIES_EXPORT_AS(place)
void walkies_place() {
  using namespace walkies;
  using namespace walkies::WALKIES_NS;
  const Tree& t = model.tree;
  const Lanes zero = {};
  RobotState<Lanes> state{};
  for (int i = 0; i < 4; i++) state.quaternion[i] = shown[3 + i] + zero;
  const Vec3<Lanes> base{shown[0] + zero, shown[1] + zero, shown[2] + zero};
  Link<Lanes> link[kMaxJoints + 1];
  place_base(state, link[0]);
  write_matrix(link[0], base, matrices);
  for (int j = 0; j < t.joints; j++) {
    const int up = t.depth[j] ? t.path[j][t.depth[j] - 1] + 1 : 0;
    link[j + 1] = next_link(link[up], model.joint[j], shown[7 + j] + zero);
    write_matrix(link[j + 1], base, matrices + kMatrix * (j + 1));
  }
}
