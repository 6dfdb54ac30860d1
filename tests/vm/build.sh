#!/usr/bin/env bash
# Builds what run.sh needs, once: a kernel of Debian's with its resctrl code, and a small root with busybox.
#
#   build.sh [PACKAGE]    PACKAGE: linux-image-cloud-amd64 (the default), or another of Debian's cloud kernels
#
# The pieces lie in target/vm/PACKAGE. The package is followed, never pinned: when Debian has a newer one, that is fetched.
# As root, programs that are missing are installed. Ends with 3 where the pieces cannot be had on this system.
set -euo pipefail
cd "$(dirname "$0")/../.."

package=${1:-linux-image-cloud-amd64}
here=target/vm/$package
unavailable() {
    echo "vm: $1" >&2
    exit 3
}

[ "$(uname -m)" = x86_64 ] || unavailable "the kernel's RDT code runs on x86-64 only"
command -v apt-get >/dev/null || unavailable "kernels are taken from Debian's archive: there is no apt-get"

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need qemu-system-x86_64 qemu-system-x86
need cpio cpio
need lz4 lz4
need zstd zstd
need xz xz-utils
need python3 python3
need strip binutils
[ "$(dpkg-query -W -f '${Status}' busybox-static 2>/dev/null)" = "install ok installed" ] || missing+=(busybox-static)
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || unavailable "run as root: apt-get install -y --no-install-recommends ${missing[*]}"
    echo "vm: installing ${missing[*]}"
    apt-get update -qq || echo "vm: the package lists could not be renewed" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        unavailable "cannot install ${missing[*]}"
fi

# What the package stands for today.
kernel=$(apt-cache depends "$package" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
if [ -z "$kernel" ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq || echo "vm: the package lists could not be renewed" >&2
    kernel=$(apt-cache depends "$package" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
fi
[ -n "$kernel" ] || unavailable "apt knows no package $package"
made_of="$kernel $(cksum <tests/vm/build.sh) $(cksum <tests/vm/init)"
if [ "$(cat "$here/made-of" 2>/dev/null)" = "$made_of" ]; then
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "vm: fetching $kernel"
mkdir "$work/package" "$work/boot"
(cd "$work/package" && apt-get download -qq "$kernel" 2>"$work/said") || unavailable "$(cat "$work/said")"
dpkg --fsys-tarfile "$work"/package/*.deb | tar -x -C "$work/boot" --strip-components 2 --wildcards './boot/*'
for option in X86_CPU_RESCTRL PVH PARAVIRT_XXL; do
    grep -q "^CONFIG_$option=y" "$work"/boot/config-* || unavailable "$kernel is built without $option"
done

root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,job,etc,var/lock,run/lock}
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
printf 'root:x:0:0:root:/job:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
install -m 755 tests/vm/init "$root/init"

rm -rf "$here"
mkdir -p "$here"
cp "$work"/boot/vmlinuz-* "$here/vmlinuz"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$here/root.cpio"
echo "$made_of" >"$here/made-of"
echo "vm: $here is ready"
