# An image for training on NVIDIA GPUs. It has not been built where this file was written, which has no Docker: tell us
# what goes wrong. The versions are those of constraints.txt; torch's wheels bring CUDA's libraries with them, so the
# base needs only Python, and the host its driver and the NVIDIA Container Toolkit. Debian is named because the packages
# below are called so in its release 12; libglib2.0-0 has another name in later ones.
#
#   docker build -t cface .
#   docker run --gpus all --shm-size 8g -v "$PWD/datasets:/data/datasets" -v "$PWD/experiments:/data/experiments" \
#     cface train options/cface_x8.yml
FROM python:3.12-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends build-essential libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/cface
COPY . .
RUN scripts/install.sh python3 /opt/venv && rm -rf /root/.cache
ENV PATH=/opt/venv/bin:$PATH
# Fails here, and not in the middle of a training, where something is missing.
RUN cface --version && cface doctor
WORKDIR /data
ENTRYPOINT ["cface"]
CMD ["--help"]
