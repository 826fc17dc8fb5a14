#!/usr/bin/env bash
# Builds the images and brings both compose files up for real: posts batches, kills a worker, takes
# everything down. For a Debian machine where no image can be pulled, as root: `cargo xtask
# compose`; CI runs it too. Exit code 75: this machine can't run containers. It has a Docker daemon
# of its own, with a data folder of its own, and base images made on the spot. What stands in for
# the official image of Faktory is the embedded broker on Faktory's port, with Faktory's command
# line and password file.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
cannot() { echo "SKIPPED: this machine can't run containers: $*" >&2; exit 75; }
[ "$(id -u)" = 0 ] || cannot "not root"

missing=()
for package in docker.io:dockerd docker-compose:docker-compose debootstrap:debootstrap \
  busybox-static:busybox curl:curl iptables:iptables; do
  command -v "${package#*:}" >/dev/null || missing+=("${package%%:*}")
done
install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
if [ "${#missing[@]}" -gt 0 ]; then
  say "installing ${missing[*]}"
  apt-get update -qq
  install "${missing[@]}"
fi

# Debian's own client: bookworm's knows BuildKit without a plugin, later ones have it in packages of
# their own.
docker() { /usr/bin/docker "$@"; }
[ -x /usr/bin/docker ] || install docker-cli docker-buildx
work=$(mktemp -d /tmp/work-factory-compose.XXXXXX)
export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=1
export COMPOSE_PROJECT_NAME=wf SECRETS=$work/secrets
# Ports that nobody has; the gateway's address is where the other project reaches Faktory.
export PUBLISH_PORT=13000 FAKTORY_PUBLISH=172.31.250.1 FAKTORY_PUBLISH_PORT=17419
export FAKTORY_UI_PORT=17420 FAKTORY_IMAGE=faktory-stand-in
bridge=wfbr$$ made=
compose() { docker-compose --env-file .env.local "$@"; }
remote() {
  FAKTORY_URL=tcp://$FAKTORY_PUBLISH:$FAKTORY_PUBLISH_PORT TLS_FOLDER=$work/secrets \
    docker-compose -p wf-remote -f docker-compose.worker.yml --env-file .env.wan "$@"
}
finish() {
  code=$?
  if [ $code != 0 ] && [ $code != 75 ]; then
    tail -20 "$work/compose.log" || true
    compose logs --tail 20 2>/dev/null | tail -60 || true
  fi
  remote down -v --remove-orphans >/dev/null 2>&1 || true
  compose down -v --remove-orphans >/dev/null 2>&1 || true
  if [ -f "$work/pid" ]; then
    daemon=$(cat "$work/pid")
    kill "$daemon" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.2; done
  fi
  [ -z "$made" ] || ip link delete "$bridge" 2>/dev/null || true
  umount "$work"/exec/netns/* 2>/dev/null || true
  rm -rf "$work"
  exit $code
}
trap finish EXIT

say "starting a Docker daemon in $work"
ip link add "$bridge" type bridge || cannot "no bridge can be made"
made=yes
ip address add 172.31.250.1/24 dev "$bridge" && ip link set "$bridge" up
dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
  --host "$DOCKER_HOST" --bridge "$bridge" --fixed-cidr 172.31.250.0/24 \
  >"$work/dockerd.log" 2>&1 &
for _ in $(seq 150); do docker version >/dev/null 2>&1 && break; sleep 0.2; done
docker version >/dev/null || { tail -5 "$work/dockerd.log"; cannot "dockerd does not start"; }

say "making base images"
# To build: Debian with a C compiler, and this machine's Rust. To run: a C library and the
# authorities.
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates "$release" "$work/debian" \
  >"$work/debootstrap.log" 2>&1 || { tail -5 "$work/debootstrap.log"; fail "debootstrap"; }
toolchain=$(rustc --print sysroot)
mkdir -p "$work/debian/opt/rust"
cp -rL "$toolchain/bin" "$toolchain/lib" "$work/debian/opt/rust/"
# With the authorities of this machine, whatever stands between it and the registry.
cp --remove-destination -L /etc/ssl/certs/ca-certificates.crt "$work/debian/etc/ssl/certs/"
path=/opt/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin
tar -C "$work/debian" -c . | docker import --change "ENV PATH=$path" - wf-rust >/dev/null
mkdir -p "$work/run/tmp" && chmod 1777 "$work/run/tmp"
libraries=(/lib64/ld-linux-x86-64.so.2)
libraries+=(/lib/x86_64-linux-gnu/{libc.so.6,libm.so.6,libgcc_s.so.1,libpthread.so.0,libdl.so.2})
tar -C "$work/debian" -ch etc/ssl/certs/ca-certificates.crt "${libraries[@]#/}" \
  | tar -C "$work/run" -x
tar -C "$work/run" -c . | docker import - wf-base >/dev/null
rm -rf "$work/debian" "$work/run"

for target in work-factory api-service worker-service; do
  case $target in
    work-factory) image=work-factory ;;
    *) image=work-factory-${target%-service} ;;
  esac
  say "building $image"
  docker build --quiet --network host --target "$target" -t "$image" \
    --build-arg RUST_IMAGE=wf-rust --build-arg BASE_IMAGE=wf-base . >/dev/null
done
docker images --format '{{.Repository}} {{.Size}}' | grep work-factory

say "Faktory's image can't be pulled here: the broker stands in for it"
mkdir "$work/stand-in" && cp "$(command -v busybox)" "$work/stand-in/busybox"
cat >"$work/stand-in/faktory" <<'EOF'
#!/bin/busybox sh
export BROKER_BIND_ADDR=0.0.0.0:7419 BROKER_DATA_DIR=/var/lib/faktory/db
export BROKER_PASSWORD_FILE=$FAKTORY_PASSWORD
exec /usr/local/bin/work-factory broker
EOF
# Debian's busybox has no `nc -z`, Alpine's has.
cat >"$work/stand-in/nc" <<'EOF'
#!/bin/busybox sh
BROKER_BIND_ADDR=$2:$3 exec /usr/local/bin/work-factory broker --healthcheck
EOF
chmod +x "$work/stand-in/faktory" "$work/stand-in/nc"
cat >"$work/stand-in/Dockerfile" <<'EOF'
FROM work-factory
USER 0
COPY busybox /bin/busybox
COPY nc /bin/nc
COPY faktory /faktory
ENTRYPOINT []
EOF
docker build --quiet -t faktory-stand-in "$work/stand-in" >/dev/null

say "secrets"
mkdir "$SECRETS"
echo "planted-secret-5150" >"$SECRETS/faktory_password"
docker run --rm -v "$SECRETS:/secrets" --user "$(id -u):$(id -g)" work-factory \
  key new ci --scope post,read --file /secrets/api_keys >"$work/key" 2>/dev/null
key=$(cat "$work/key")
chmod 644 "$SECRETS/faktory_password" "$SECRETS/api_keys"

post() { # port, number of jobs
  printf '{"operation":"add","a":%d,"b":1}\n' $(seq "$2") | paste -sd, | sed 's/.*/{"jobs":[&]}/' \
    | curl -sS --fail-with-body --max-time 20 -H "authorization: Bearer $key" --json @- \
      "http://127.0.0.1:$1/jobs/batch" >/dev/null
}
until_ready() { # port
  for _ in $(seq 300); do
    curl -s -o /dev/null --fail --max-time 2 "http://127.0.0.1:$1/ready" && return
    sleep 0.2
  done
  fail "the API at port $1 is not ready"
}
done_by() { "$@" logs --no-color 2>/dev/null | grep -c '"job done"' || true; }
until_done() { # number, and how logs are read
  wanted=$1; shift
  for _ in $(seq 150); do [ "$(done_by "$@")" -ge "$wanted" ] && return; sleep 0.4; done
  fail "$(done_by "$@") of $wanted jobs are done: $*"
}

say "docker-compose.yml with two workers"
compose up -d --no-build --scale worker=2 >>"$work/compose.log" 2>&1
until_ready "$PUBLISH_PORT"
status=$(curl -s -o /dev/null -w '%{http_code}' --json '{"a":1,"b":2}' \
  "http://127.0.0.1:$PUBLISH_PORT/jobs/add")
[ "$status" = 401 ] || fail "a job was taken without a key"
post "$PUBLISH_PORT" 100
until_done 100 compose

say "a worker is killed, and replaced"
victim=$(compose ps -q worker | head -1)
before=$(docker inspect -f '{{.State.Pid}}' "$victim")
kill -9 "$before"
for _ in $(seq 150); do
  now=$(docker inspect -f '{{.State.Pid}} {{.State.Health.Status}}' "$victim")
  [ "${now% *}" != "$before" ] && [ "${now#* }" = healthy ] && break
  sleep 0.4
done
[ "${now% *}" != "$before" ] && [ "${now#* }" = healthy ] \
  || fail "the worker was not replaced: $now"
post "$PUBLISH_PORT" 100
until_done 200 compose

say "docker-compose.worker.yml, as on another machine"
compose up -d --no-build --scale worker=0 >>"$work/compose.log" 2>&1
remote up -d --no-build >>"$work/compose.log" 2>&1
post "$PUBLISH_PORT" 100
until_done 100 remote
remote config -q || fail "docker-compose.worker.yml is not valid"
! FAKTORY_URL='' docker-compose -f docker-compose.worker.yml config -q 2>/dev/null \
  || fail "FAKTORY_URL is not required"

say "what each container may do"
rights='{{.Name}} read_only={{.HostConfig.ReadonlyRootfs}} user={{.Config.User}}'
for container in $(docker ps -q); do
  docker inspect -f "$rights health={{.State.Health.Status}}" "$container"
done

say "secrets appear in no output"
{
  compose logs --no-color
  remote logs --no-color
  docker inspect $(docker ps -aq)
} >"$work/output" 2>/dev/null
for secret in planted-secret-5150 "$key"; do
  ! grep -qF -- "$secret" "$work/output" || fail "a secret is in the output"
done

say "everything is taken down"
remote down -v >>"$work/compose.log" 2>&1
begun=$SECONDS
compose down -v >>"$work/compose.log" 2>&1
[ -z "$(docker ps -aq)" ] || fail "containers are left"
echo "down after $((SECONDS - begun)) s"

say "the embedded broker instead of Faktory"
compose up -d --no-build embedded >>"$work/compose.log" 2>&1
[ "$(docker ps -q | wc -l)" = 1 ] || fail "more than one container runs"
until_ready "$PUBLISH_PORT"
post "$PUBLISH_PORT" 100
until_done 100 compose --profile embedded
compose --profile embedded down -v >>"$work/compose.log" 2>&1
say "all is well"
