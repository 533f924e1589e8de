# Latchkey as a container: docker build -t latchkey . && docker compose up
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json ./
COPY scripts scripts
COPY src src
COPY plugins plugins
COPY routes routes
RUN npm run build && npm prune --omit=dev

FROM node:24-bookworm-slim
# Nothing in here is kept: accounts are in PostgreSQL, sessions in Redis.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8000 NODE_COMPILE_CACHE=/tmp/compile-cache
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER node
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8000/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/src/cli.js", "serve"]
