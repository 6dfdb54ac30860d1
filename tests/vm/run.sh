#!/usr/bin/env bash
# Runs a program in a machine that is emulated in software, under a real kernel that believes it has Intel RDT or AMD QoS.
#
#   run.sh PROGRAM [ARGUMENT...]    after build.sh. What it prints comes out here; its exit status is ours.
#                                   124: it ran longer than VM_TIMEOUT. 125: the machine ended without a status.
#
# The program is stripped on the way in; the shared libraries that it needs come along. In the environment:
#   VM_KERNEL    whose pieces to use, as given to build.sh               linux-image-cloud-amd64
#   VM_RDT       what CPUID says of RDT, see rdt-patch.py                L3:ways=20,closids=16,cdp=1
#   VM_CPU       the processor; AMD rules: EPYC,level=0x14,l3-cache=on   Haswell,level=0x14,l3-cache=on
#   VM_SMP       its shape; one L3 per socket                            2,sockets=2,cores=1,threads=1
#   VM_MEM       memory in MiB                                           768
#   VM_MOUNT     whether resctrl is mounted: 1 or 0                      1
#   VM_OPTIONS   mount options of resctrl, as cdp
#   VM_CGROUP    whether cgroup2 is mounted: 1 or 0                      0
#   VM_FILES     files that come along, separated by blanks: HOST or HOST:GUEST; a HOST alone keeps its path
#   VM_ENV       names of variables that are passed on, beside RUST_BACKTRACE, RUST_LOG and RUST_TEST_THREADS
#   VM_TIMEOUT   seconds that the program may take                       120
#   VM_LOG       where to leave the kernel's console
#
# It can be cargo's runner: CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=tests/vm/run.sh
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
pieces=$top/target/vm/${VM_KERNEL:-linux-image-cloud-amd64}
[ -s "$pieces/made-of" ] || { echo "vm: run tests/vm/build.sh ${VM_KERNEL:-} first" >&2; exit 125; }

work=$(mktemp -d)
machine=
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || :; rm -rf "$work"' EXIT

# The kernel, told what to believe; made once for each answer.
rdt=${VM_RDT-L3:ways=20,closids=16,cdp=1}
kernel=$pieces/vmlinux-$( (cat "$pieces/made-of" "$top/tests/vm/rdt-patch.py"; echo "$rdt") | cksum | tr ' ' -)
if ! [ -s "$kernel" ]; then
    # shellcheck disable=SC2086 # one word for each resource
    python3 "$top/tests/vm/rdt-patch.py" "$pieces/vmlinuz" "$kernel.$$" $rdt
    mv "$kernel.$$" "$kernel"
fi

# The job: the program, what it needs, and how it is called.
put() { # FILE GUEST-PATH
    [ -e "$work/root$2" ] && return
    mkdir -p "$work/root$(dirname "$2")"
    strip -o "$work/root$2" "$1" 2>/dev/null || cp -L "$1" "$work/root$2"
    chmod --reference="$1" "$work/root$2"
    local library
    for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*' || :); do
        [ -e "$work/root$library" ] || install -D "$library" "$work/root$library"
    done
}
quoted() { printf "'%s' " "${1//\'/\'\\\'\'}"; }

program=$(readlink -f "$1")
shift
mkdir -p "$work/root/job"
put "$program" "/job/$(basename "$program")"
for file in ${VM_FILES:-}; do put "${file%%:*}" "${file##*:}"; done
{
    for name in RUST_BACKTRACE RUST_LOG RUST_TEST_THREADS ${VM_ENV:-}; do
        [ -z "${!name+x}" ] || printf 'export %s=%s\n' "$name" "$(quoted "${!name}")"
    done
    printf 'exec '
    for word in "/job/$(basename "$program")" "$@"; do quoted "$word"; done
    echo
} >"$work/root/job/.command"
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/job.cpio"
cat "$pieces/root.cpio" "$work/job.cpio" >"$work/initrd"
rm -rf "$work/root" "$work/job.cpio"

append="console=ttyS0 panic=-1 mitigations=off tsc=unstable no_timer_check loglevel=5"
[ "${VM_MOUNT:-1}" = 0 ] || append+=" vm_resctrl=1${VM_OPTIONS:+ vm_resctrl_options=$VM_OPTIONS}"
[ "${VM_CGROUP:-0}" = 0 ] || append+=" vm_cgroup=1"
seconds() { local up; read -r up _ </proc/uptime; echo "${up%.*}"; }

# A machine that does not come up is started again; a program that has been started never is.
for _ in 1 2 3; do
    : >"$work/status"
    qemu-system-x86_64 -accel tcg,thread=multi -cpu "${VM_CPU:-Haswell,level=0x14,l3-cache=on}" \
        -smp "${VM_SMP:-2,sockets=2,cores=1,threads=1}" -m "${VM_MEM:-768}" \
        -kernel "$kernel" -initrd "$work/initrd" -append "$append" \
        -display none -no-reboot -nodefaults -monitor none \
        -serial "file:$work/console" -serial stdio -serial "file:$work/status" </dev/null 2>"$work/said" &
    machine=$!
    since=$(seconds)
    started=0
    late=0
    while kill -0 "$machine" 2>/dev/null; do
        if [ $started = 0 ] && grep -q START "$work/status"; then
            started=1
            since=$(seconds)
        fi
        limit=60
        [ $started = 0 ] || limit=${VM_TIMEOUT:-120}
        if [ $(($(seconds) - since)) -ge "$limit" ]; then
            kill "$machine" 2>/dev/null || :
            late=1
        fi
        sleep 0.1
    done
    wait "$machine" || :
    machine=
    [ -z "${VM_LOG:-}" ] || cp "$work/console" "$VM_LOG"
    status=$(sed -n 's/^EXIT \([0-9]*\).*/\1/p' "$work/status")
    [ -z "$status" ] || exit "$status"
    if [ $started = 1 ]; then
        [ $late = 0 ] || { echo "vm: not done after ${VM_TIMEOUT:-120} s" >&2; exit 124; }
        break
    fi
    echo "vm: the machine did not come up" >&2
done
echo "vm: the machine ended without a status" >&2
grep -v "TCG doesn't support" "$work/said" >&2 || :
tail -n 20 "$work/console" >&2 || :
exit 125
