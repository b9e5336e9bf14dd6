# One web process of the chat. What it is told comes from the environment: see .env.example and compose.yaml.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
# Which of .lock/*.txt: "scale entra" for tokens of Microsoft Entra ID as well.
ARG EXTRAS=scale
WORKDIR /srv/chat
COPY .lock .lock
RUN python -m venv /srv/venv \
    && for extra in ${EXTRAS}; do \
        /srv/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r .lock/${extra}.txt || exit 1; \
    done

FROM python:${PYTHON}
RUN useradd --uid 10001 --home-dir /srv/data --create-home --shell /usr/sbin/nologin chat
COPY --from=build /srv/venv /srv/venv
WORKDIR /srv/chat
COPY manage.py ./
COPY chat chat
COPY chatsite chatsite
COPY static static
COPY templates templates
COPY .deploy/healthy.py .deploy/healthy.py
ENV PATH=/srv/venv/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/srv/data HOST=0.0.0.0 PORT=8000
RUN python -m compileall -q chat chatsite
USER chat
# With settings of its own, so that the image holds no secret.
RUN HOST=127.0.0.1 SECRET_KEY=of-the-build python manage.py shell -v0 -c \
    "from chatsite.static import collect_if_changed; collect_if_changed()"
ENV ENVIRONMENT=production BEHIND_PROXY=1
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=12s --start-period=60s CMD ["python", ".deploy/healthy.py"]
CMD ["python", "manage.py", "serve"]
