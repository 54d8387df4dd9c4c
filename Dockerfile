# docker build --build-arg REVISION=$(git rev-parse HEAD) -t tencent-chat-exporter .
# docker run --read-only --cap-drop ALL -e SDK_APP_IDS=1400000001 -v journal:/data -p 8080:8080 -p 127.0.0.1:9464:9464 tencent-chat-exporter

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The Node of this image is used: the one in devDependencies is left out, and no package needs its install script.
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="tencent-chat-exporter" \
      org.opencontainers.image.description="Prometheus and OpenTelemetry exporter for exceptions of Tencent Cloud Chat group messages" \
      org.opencontainers.image.licenses="MIT"
# The journal is all that is written: everything else may be read-only.
RUN install -d -m 700 -o 1000 -g 1000 /data
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY src src
ENV JOURNAL=sqlite:/data/journal.db
VOLUME /data
EXPOSE 8080 9464
# By number, so that Kubernetes can tell that it is not root; the base image calls it `node`.
USER 1000:1000
# Healthy, not ready: a container that is draining must not be killed. Another OPERATIONS_LISTEN needs another check.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/-/healthy').then(answer => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Last, so that a new revision changes no layer.
ARG REVISION=""
LABEL org.opencontainers.image.revision=$REVISION
ENV REVISION=$REVISION
# Without a shell in between: SIGTERM reaches the exporter, which answers what is in flight within 9 s. As `npm start`
# does, with half of Node's usual heap for young objects: 75 MB less, at the same CPU.
ENTRYPOINT ["node", "--max-semi-space-size=16", "src/start.js"]
