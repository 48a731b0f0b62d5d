"""What the fact sheet says of the controller of 2026, once more: one robot, plain floats, no line shared with walkies.

`fault` plants the mistakes that people make.
"""

import math

TABLES = ("trot_table", "lift_table", "gallop_table", "gallop_back_table")


def clamp(value, low, high):
    return min(max(value, low), high)


def gait(block, t, command, pose, fault=""):
    """The reference minus the default pose, as the policy is shown it."""
    vx, vy, wz = command
    gallops, moves = abs(vx) >= block["gallop_speed"], abs(vx) >= block["dir_threshold"]
    cycles = t * block["frequency"] * (block["gallop_freq_mult"] if gallops else 1.0)
    phase = cycles - math.floor(cycles)
    direction = vx if moves else wz
    signed = phase if direction >= 0 else -phase
    rows = block["n_samples"]
    i = math.floor(signed * rows)
    alpha = signed * rows - math.floor(signed * rows)
    if fault == "truncating modulo":
        i, alpha = int(signed * rows), signed * rows - int(signed * rows)
        first, second = int(math.fmod(i, rows)), int(math.fmod(i + 1, rows))
        first, second = max(first, 0), max(second, 0)
    else:
        first, second = i % rows, (i + 1) % rows
    if gallops:
        back = block.get("gallop_back_table", block["gallop_table"])
        table = block["gallop_table"] if direction >= 0 else back
    else:
        table = block["trot_table"] if moves else block.get("lift_table", block["trot_table"])
    size = clamp(math.sqrt(vx * vx + vy * vy + wz * wz) / block["blend_speed"], 0.0, 1.0)
    return [size * ((1 - alpha) * a + alpha * b - p) for a, b, p in zip(table[first], table[second], pose, strict=True)]


class Hold:
    """The heading hold of one robot."""

    def __init__(self, block, fault=""):
        self.block, self.fault = block, fault
        self.held, self.target, self.last = False, 0.0, None

    def __call__(self, command, quaternion):
        w, x, y, z = quaternion
        yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        vx, vy, wz = command
        active = abs(wz) < self.block["yaw_threshold"] and math.hypot(vx, vy) > self.block["walk_threshold"]
        anew = active and not self.held
        if self.fault == "resets at every command":
            anew = active and command != self.last
        if anew:
            self.target = yaw
        self.held, self.last = active, command
        if not active:
            return command
        error = self.target - yaw
        wrapped = error - 2 * math.pi * math.floor((error + math.pi) / (2 * math.pi))
        return vx, vy, clamp(self.block["kp"] * wrapped, -self.block["clip"], self.block["clip"])


class Jump:
    """The jump slot of one robot."""

    def __init__(self, block):
        self.block, self.starts = block, []

    def trigger(self, t):
        grid, busy = self.block["grid_s"], self.block["busy_s"]
        self.starts = [s for s in self.starts if t < s + busy]
        start = math.ceil((t + 1e-6) / grid) * grid
        for s in sorted(self.starts):
            if s <= start < s + busy:
                start = math.ceil((s + busy - 1e-6) / grid) * grid
        if len(self.starts) < 2:
            self.starts.append(start)

    def __call__(self, offset, t, pose):
        for start in self.starts:
            u, active = t - start, self.block["active_s"]
            if not 0 <= u < active:
                continue
            rows = self.block["n_samples"]
            place = clamp(u / self.block["playback_s"], 0.0, 1.0) * rows
            i = math.floor(place)
            first, second = self.block["jump_table"][i % rows], self.block["jump_table"][(i + 1) % rows]
            w = clamp(min(u, active - u) / self.block["cross_fade_s"], 0.0, 1.0)
            angles = [(1 - (place - i)) * a + (place - i) * b for a, b in zip(first, second, strict=True)]
            offset = [w * (a - p) + (1 - w) * o for a, p, o in zip(angles, pose, offset, strict=True)]
        return offset


def clip(command, block, cap=math.inf):
    """The command after command_clip and a cap on vx and vy."""
    clipped = [
        clamp(v, *block.get(axis, (-math.inf, math.inf))) for axis, v in zip(("vx", "vy", "wz"), command, strict=True)
    ]
    return clamp(clipped[0], -cap, cap), clamp(clipped[1], -cap, cap), clipped[2]


def matrix(quaternion):
    w, x, y, z = quaternion
    return [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]


def anchor(quaternion, turn, recorded):
    """First two columns of Rᵀ(robot) · Rz(turn) · R(recorded), row by row, by plain matrix products."""
    c, s = math.cos(turn), math.sin(turn)
    turned = multiply([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], matrix(recorded))
    robot = matrix(quaternion)
    seen = multiply([[robot[j][i] for j in range(3)] for i in range(3)], turned)
    return [seen[i][j] for i in range(3) for j in range(2)]


def multiply(a, b):
    return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(3)] for i in range(3)]
