# One image for the API and every worker; compose.yaml says which command each container runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md ./
COPY domain domain
COPY commands commands
COPY projections projections
COPY api api
COPY workers workers
RUN pip install --no-deps --no-build-isolation -e . \
    && useradd --system --uid 10001 ledger \
    && install -d -o ledger -g ledger /data

USER ledger
EXPOSE 8000
ENTRYPOINT ["ledger"]
CMD ["api"]
