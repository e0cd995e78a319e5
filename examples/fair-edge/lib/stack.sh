# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts that source this use what it names
# What examples/fair-edge/up and down share about the stack itself. To be sourced in the repository's root, after docker.sh.

readonly EXAMPLE=examples/fair-edge
readonly MANIFEST=manifests/fair-edge.yaml

# Caddy's own authority, for `curl --cacert`; up writes it, down removes it.
readonly ROOT_CERTIFICATE=$EXAMPLE/root.crt

# show COMMAND...: prints the command as one could type it, then runs it.
show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

# The binary that `cargo build --release` makes, also where cargo was told to build elsewhere. OPERATOR names another.
operator_path() {
    if [[ -n ${OPERATOR:-} ]]; then
        echo "$OPERATOR"
    else
        local target
        target=$(cargo metadata --format-version 1 --no-deps --offline 2>/dev/null |
            sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
        target=${target:-target}
        # Shorter to read, and to type.
        echo "${target#"$PWD"/}/release/operator"
    fi
}

# A root shell often has no cargo in its PATH although rustup has installed one.
find_cargo() {
    if ! command -v cargo >/dev/null && [[ -x $HOME/.cargo/bin/cargo ]]; then PATH=$HOME/.cargo/bin:$PATH; fi
    command -v cargo >/dev/null
}

ensure_env_file() {
    if [[ ! -e $EXAMPLE/.env ]]; then
        note "no $EXAMPLE/.env yet: taking the development values of .env.example"
        cp "$EXAMPLE/.env.example" "$EXAMPLE/.env"
    fi
}

# setting NAME DEFAULT: as Compose finds it, in the environment first, then in .env.
setting() {
    local value=${!1:-}
    if [[ -z $value && -e $EXAMPLE/.env ]]; then value=$(sed -n "s/^$1=//p" "$EXAMPLE/.env" | tail -n 1 | tr -d "\"'\r"); fi
    echo "${value:-$2}"
}

# containers SERVICE: the ids of its running containers.
containers() {
    docker ps --quiet \
        --filter label=com.docker.compose.project=fair-edge --filter "label=com.docker.compose.service=$1"
}
