# The server, built from this checkout: docker build -t fixity .
# It runs as user 1000 and writes only to /data, so that its root file system can be read-only.
# docs/deployment.md shows how to run it.
FROM node:24-slim AS build
WORKDIR /src
COPY . .
# `npm pack` builds the package. The credential chain of AWS is the one optional dependency of the server.
RUN npm ci \
 && npm pack --pack-destination /tmp \
 && npm install --prefix /app /tmp/fixity-*.tgz \
    "@aws-sdk/credential-provider-node@$(node -p 'require("./package.json").peerDependencies["@aws-sdk/credential-provider-node"]')"

FROM node:24-slim
COPY --from=build /app/node_modules /app/node_modules
RUN mkdir --mode=0700 /data && chown 1000:1000 /data
USER 1000:1000
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 UPLOAD_DIR=/data
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# The flags are those of `npm start`.
ENTRYPOINT ["node", "--max-semi-space-size=4", "--no-incremental-marking", "/app/node_modules/fixity/dist/cli/main.js"]
CMD ["serve"]
