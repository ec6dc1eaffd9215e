# A static binary and nothing else. Build it with
#
#   docker build -t muster .
#   docker run --read-only -v muster-data:/data -v ./muster.yaml:/etc/muster.yaml:ro -p 127.0.0.1:8080:8080 muster

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/muster ./cmd/muster \
 && mkdir /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /zoneinfo.zip
COPY --from=build /out/muster /muster
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /src/LICENSE /LICENSE
ENV ZONEINFO=/zoneinfo.zip
USER 65532:65532
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=6s --start-period=20s --retries=3 \
  CMD ["/muster", "health", "--url", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["/muster"]
CMD ["serve", "--config", "/etc/muster.yaml", "--data", "/data", "--listen", "0.0.0.0:8080"]
