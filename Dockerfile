# The service in a container: docker build -t worldpatch .            for the CPU
#                         docker build -t worldpatch:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
FROM python:3.11-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

RUN useradd --create-home --uid 10001 worldpatch \
    && mkdir /data \
    && chown worldpatch /data
WORKDIR /srv/worldpatch

# torch first and alone: it is the big layer, and seldom changes
COPY constraints.txt ./
RUN pip install -c constraints.txt --index-url "$TORCH_INDEX" torch==2.13.0

COPY pyproject.toml README.md LICENSE ./
COPY worldpatch worldpatch
COPY checkpoints checkpoints
RUN pip install -c constraints.txt -e ".[serve]"

USER 10001
ENV WORLDPATCH_HOME=/data WORLDPATCH_HOST=0.0.0.0 WORLDPATCH_LOG_FORMAT=json
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["worldpatch"]
CMD ["serve"]
