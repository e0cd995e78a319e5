#!/usr/bin/env bash
# Writes what the commits from BASE to HEAD would change into FILE, as Markdown: `preview.sh BASE HEAD FILE`.
# MANIFESTS says where the manifests are, ENV_FILE (if anything) a file with variables for them.
set -uo pipefail

base=$1 head=$2 file=$3
arguments=(diff --rev "$base..$head" -o markdown -f "${MANIFESTS:-manifests}")
if [[ -n ${ENV_FILE:-} ]]; then arguments+=(--env-file "$ENV_FILE"); fi

# The first line is how the next run knows its comment.
printf '<!-- operator diff -->\n' >"$file"
said=$("${OPERATOR:-operator}" "${arguments[@]}" 2>&1)
case $? in
0 | 1)
    printf '%s\n' "$said" >>"$file"
    ;;
*)
    # Three more than the longest run of backticks, so that no file can end the block.
    fence=$(printf '%s\n```' "$said" | grep -o '`*' | sort | tail -n 1)
    printf '### These files do not load\n\n%s`\n%s\n%s`\n' "$fence" "$said" "$fence" >>"$file"
    exit 2
    ;;
esac
