#!/bin/sh
# What a GPU makes of walkies, in less than ten minutes: bash benchmarks/gpu.sh [FOLDER]
#
# In an environment with `pip install -e '.[mjx]' 'jax[cuda12]'`. Leaves simulators.csv (agreement with MuJoCo, steps/s,
# memory), a run and its examination in FOLDER, runs/gpu by default. Stopped, it goes on where it was. It has not been
# run on a GPU yet, only on a processor, to its end:
# WALKIES_DEVICE=cpu ROBOTS="16 64" STEPS=4000 ENVS=64 bash benchmarks/gpu.sh /tmp/try
set -eu
OUT=${1:-runs/gpu}
export WALKIES_DEVICE="${WALKIES_DEVICE:-cuda}"
mkdir -p "$OUT"

# Does MJX compute there what MuJoCo does, and how fast is it with how many robots?
walkies lab bench simulators --simulators mjx --robots ${ROBOTS:-1024 4096 16384 65536} --out "$OUT/simulators.csv"

# One training to an examination, which is MuJoCo's, on the processor.
WHAT="pupper --simulator mjx --recipe.num-envs ${ENVS:-4096}"
[ -d "$OUT/run/checkpoints" ] && WHAT=--resume
[ -e "$OUT/run/policy.json" ] || walkies train $WHAT --steps "${STEPS:-30000000}" --minutes 6 --exam-episodes 0 --no-film \
    --out "$OUT/run"
WALKIES_DEVICE=cpu walkies exam "$OUT/run" --episodes 1000 || [ $? = 1 ]  # 1: examined, and not passed
