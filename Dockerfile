# walkies in a container: Debian 12 slim with its Python 3.11, and a user who is not root.
#
#   docker build --build-arg UID=$(id -u) -t walkies .
#   mkdir -p runs
#   docker run --rm -v "$PWD/runs:/home/walker/walkies/runs" walkies                # make walk
#   docker run --rm -v "$PWD/runs:/home/walker/walkies/runs" walkies .venv/bin/walkies exam runs/pupper-0
#
# The steps were tried in a bare Debian 12 as this user, up to `make walk ARGS="--minutes 1.5 --exam-episodes 10"` and
# `make docs`; the image itself has not been built yet.
#
# UID is that of whoever owns runs/ outside. Running needs no GPU, no display and no network.
FROM debian:bookworm-slim

# g++ builds the engine (without it Clang would come as a Python package); EGL draws the video without a screen.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates g++ libegl1 libgl1-mesa-dri libopengl0 make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

ARG UID=1000
RUN useradd --create-home --uid "$UID" walker && install -d -o walker -g walker /home/walker/walkies
USER walker
WORKDIR /home/walker/walkies
COPY --chown=walker:walker . .
RUN make setup

CMD ["make", "walk"]
