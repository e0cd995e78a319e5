# shellcheck shell=bash
# What examples/fair-edge/up and tests/setup share: Docker, the base image and the images built on it.
# To be sourced by a script that has `set -euo pipefail`.
#
# Each function first looks and then acts, so that calling it again costs next to nothing.

# The one image that everything here is built from.
readonly BASE_IMAGE=debian:bookworm-slim

# A built image remembers what it was built from in this label; see build_image.
readonly FINGERPRINT_LABEL=source.fingerprint

step() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }

# die MESSAGE [WAY OUT]...: every error says what can be done about it.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    if (($# > 0)); then printf '       %s\n' "$@" >&2; fi
    exit 1
}

# quietly WHAT COMMAND...: shows the command's output only when it fails.
quietly() {
    local what=$1 log failed=0
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || failed=1
    if ((failed)); then
        tail -n 40 "$log" >&2
        printf 'error: %s failed; its last lines are above\n' "$what" >&2
    fi
    rm -f "$log"
    return "$failed"
}

# One at a time: two of these scripts at once would build the same images twice.
# The lock is on this very directory: no file stays behind, and it goes with the process, also when that is killed.
lock_or_wait() {
    exec 9<"$(dirname "${BASH_SOURCE[0]}")"
    if ! flock --nonblock 9; then
        note "another run is under way: waiting for it"
        flock 9
    fi
}

# apt_install PACKAGE...: installs what is missing, and asks the mirror only then.
apt_install() {
    local package missing=()
    for package in "$@"; do
        if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            missing+=("$package")
        fi
    done
    if ((${#missing[@]} == 0)); then return; fi

    command -v apt-get >/dev/null ||
        die "these are missing: ${missing[*]}" "This script installs them on Debian and Ubuntu only: install them by hand, then run it again."
    ((EUID == 0)) ||
        die "these packages are missing: ${missing[*]}" "Run this script as root, or: sudo apt-get install ${missing[*]}"

    step "Installing ${missing[*]}"
    # An old package list names files that the mirror no longer has.
    if [[ -z ${APT_UPDATED:-} ]]; then
        quietly "apt-get update" apt-get update -q
        APT_UPDATED=yes
    fi
    quietly "apt-get install ${missing[*]}" \
        env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

docker_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# ensure_docker: afterwards `docker` works, or the script has ended with the reason.
ensure_docker() {
    if docker_answers; then return; fi

    if [[ -n ${DOCKER_HOST:-} ]]; then
        die "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST" "Start it, or unset DOCKER_HOST to use the engine of this machine."
    fi
    ((EUID == 0)) ||
        die "no Docker Engine answers, or this user may not talk to it" "Run this script as root, or join the group: sudo usermod -aG docker $(id -un) (then log in again)"

    if ! command -v dockerd >/dev/null; then apt_install docker.io ca-certificates; fi
    # Newer Debian keeps the client in a package of its own.
    if ! command -v docker >/dev/null; then apt_install docker-cli; fi

    if [[ -d /run/systemd/system ]]; then
        step "Starting Docker (systemd)"
        quietly "systemctl start docker" systemctl start docker
        wait_for_docker "See: journalctl -u docker"
    else
        local log=/var/log/dockerd.log
        step "Starting Docker in the background; its log is $log"
        # Without an init system nobody else mounts the control groups.
        if ! mountpoint -q /sys/fs/cgroup; then
            apt_install cgroupfs-mount
            quietly "cgroupfs-mount" cgroupfs-mount
        fi
        # A pid file from before a crash or a reboot would keep the new one from starting.
        if [[ $(cat "/proc/$(cat /var/run/docker.pid 2>/dev/null)/comm" 2>/dev/null) != dockerd ]]; then
            rm -f /var/run/docker.pid
        fi
        # Its own session, so that it outlives this script; and without the script's lock.
        setsid nohup dockerd >>"$log" 2>&1 </dev/null 9<&- &
        wait_for_docker "See: tail $log"
    fi
}

wait_for_docker() {
    local deadline=$((SECONDS + 60))
    until docker_answers; do
        ((SECONDS < deadline)) || die "Docker did not answer within 60 s" "$1"
        sleep 0.3
    done
    note "Docker $(docker version --format '{{.Server.Version}}') answers"
}

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

# ensure_base_image: from the registry, or made here where none can be reached.
ensure_base_image() {
    if image_exists "$BASE_IMAGE"; then return; fi

    step "Pulling $BASE_IMAGE"
    if timeout 60 docker pull --quiet "$BASE_IMAGE" >/dev/null 2>&1; then return; fi
    note "no registry can be reached: making it with debootstrap (about a minute)"
    make_base_image
}

# The same Debian, from the mirror that this machine's apt uses.
make_base_image() (
    ((EUID == 0)) || die "making $BASE_IMAGE needs root" "Run this script as root, or load the image: docker load < image.tar"
    # On Ubuntu, debootstrap comes without Debian's keys.
    apt_install debootstrap debian-archive-keyring
    local work mirror
    work=$(mktemp -d)
    # debootstrap mounts /proc there; never follow a mount that an interrupted run left behind.
    trap 'umount "$work/tree/proc" "$work/tree/sys" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT

    mirror=$(debian_mirror)
    quietly "debootstrap" debootstrap --variant=minbase \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        bookworm "$work/tree" ${mirror:+"$mirror"}

    # What makes it slim: package lists are fetched anew by every build, and nobody reads manuals in a container.
    rm -rf "$work"/tree/var/cache/apt/* "$work"/tree/var/lib/apt/lists/* \
        "$work"/tree/var/log/* "$work"/tree/usr/share/{doc,info,man,locale}/*
    printf 'path-exclude /usr/share/%s/*\n' doc info man locale >"$work/tree/etc/dpkg/dpkg.cfg.d/slim"
    # A package file is of no use once it is installed, nor are apt's two caches of the package lists.
    cat >"$work/tree/etc/apt/apt.conf.d/slim" <<'APT'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT
    # Installing a package in a build must not start its service.
    printf '#!/bin/sh\nexit 101\n' >"$work/tree/usr/sbin/policy-rc.d"
    chmod +x "$work/tree/usr/sbin/policy-rc.d"

    tar --numeric-owner -C "$work/tree" -c . |
        docker import --change 'CMD ["bash"]' - "$BASE_IMAGE" >/dev/null
)

# Prints the mirror of this machine's apt if that is Debian's; nothing otherwise (then debootstrap knows one).
debian_mirror() {
    # shellcheck disable=SC2016 # apt expands these, not the shell
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" && $3 == "main" && !seen++ { print $4 }'
}

# build_image TAG DIRECTORY: an ordinary `docker build`, skipped when neither the directory nor the base image changed.
#
# Docker's layer cache would come to the same result, but takes a second for each image to find out.
build_image() {
    local tag=$1 directory=$2 fingerprint
    fingerprint=$(directory_fingerprint "$directory")
    if has_fingerprint "$tag" "$fingerprint"; then return; fi

    step "Building $tag"
    # The classic builder works on every engine and takes the base image as it is on this machine, registry or not.
    quietly "docker build of $tag" \
        env DOCKER_BUILDKIT=0 docker build --tag "$tag" --label "$FINGERPRINT_LABEL=$fingerprint" "$directory"
}

directory_fingerprint() {
    {
        docker image inspect --format '{{.Id}}' "$BASE_IMAGE"
        tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -c .
    } | sha256sum | cut -c 1-16
}

has_fingerprint() {
    [[ $(docker image inspect --format "{{index .Config.Labels \"$FINGERPRINT_LABEL\"}}" "$1" 2>/dev/null) == "$2" ]]
}

# The platform's images: name and directory under examples/fair-edge.
readonly FAIR_EDGE_IMAGES=(app redis caddy frontend stand-ins)

build_fair_edge_images() {
    local name directory
    directory=$(dirname "${BASH_SOURCE[0]}")/..
    for name in "${FAIR_EDGE_IMAGES[@]}"; do
        build_image "fair-edge/$name:local" "$directory/$name"
    done
}
