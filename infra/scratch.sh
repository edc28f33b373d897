#!/usr/bin/env bash
# A folder for what lives as long as one test run: in memory where there is plenty, else on disk.
#
# Every test has a database of its own, and a database on disk waits for that disk several times. What
# the tests show is what becomes of a killed process; none of them cuts the power.
set -euo pipefail

needed_kib=$((10 * 1024 * 1024))
folder=${TMPDIR:-/tmp}

free_kib() { df --output=avail --block-size=1K "$1" 2>/dev/null | tail -n 1; }
memory_kib() { awk '/^MemAvailable:/ { print $2 }' /proc/meminfo; }

if [[ -z ${TMPDIR:-} && -d /dev/shm && -w /dev/shm ]] \
    && (($(free_kib /dev/shm) > needed_kib && $(memory_kib) > needed_kib)); then
    folder=/dev/shm
fi

made=$(mktemp --directory "$folder/v2g-test-XXXXXX")
# A database server that root starts runs as somebody else, who must be able to walk through.
chmod 711 "$made"
echo "$made"
