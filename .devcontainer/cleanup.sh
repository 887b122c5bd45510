#!/bin/sh
# Removes what development in containers has left behind: stopped containers, dangling images and unused networks that
# have our label, and no others. Volumes hold data, so they go only with --volumes, after a question (--yes skips it).
# CONTAINER_TOOL names the program; without it that is podman, or docker.
set -eu

label=label=featherstar.dev=1
volumes=no
yes=no
for argument; do
  case $argument in
    --volumes) volumes=yes ;;
    --yes) yes=yes ;;
    *)
      echo "usage: cleanup.sh [--volumes] [--yes]" >&2
      exit 2
      ;;
  esac
done

tool=${CONTAINER_TOOL:-$(command -v podman || command -v docker || true)}
if [ -z "$tool" ]; then
  echo "cleanup.sh: neither podman nor docker is installed" >&2
  exit 1
fi

"$tool" system df
"$tool" container prune --force --filter "$label"
"$tool" image prune --force --filter "$label"
if [ $volumes = yes ]; then
  answer=y
  if [ $yes = no ]; then
    printf 'Remove the unused volumes of featherstar? [y/N] '
    read -r answer || answer=n
  fi
  case $answer in
    y | Y | yes) "$tool" volume prune --force --filter "$label" ;;
    *) echo 'The volumes stay.' ;;
  esac
fi
"$tool" network prune --force --filter "$label"
"$tool" system df
