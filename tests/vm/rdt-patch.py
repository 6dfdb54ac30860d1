#!/usr/bin/env python3
"""Makes a kernel believe that it runs on a processor with Intel RDT or AMD QoS.

    rdt-patch.py VMLINUZ OUT RESOURCE...

VMLINUZ is a bzImage of Debian's for amd64 with CONFIG_PARAVIRT_XXL. OUT becomes an ELF image that boots by PVH, in which
native_cpuid() ORs values of a table over what the processor answers. That is all that changes: the kernel's own resctrl code
then finds resources which an emulated processor lacks. Each RESOURCE is one of (with its defaults)

    L3:ways=20,closids=16,shareable=0,cdp=0,sparse=0    L2:ways=8,closids=8
    MBA:closids=8,maxdelay=90                           CMT:rmids=32,mbm=0,scale=65536
    AMDMBA:closids=16,bits=11 (on AMD, in eighths of GB/s)
"""

import struct
import subprocess
import sys

PT_LOAD = 1

# mov (%r8),%eax; mov (%rdx),%ecx; cpuid; mov %eax,(%r8); mov %ebx,(%rsi); pop %rbx; mov %ecx,(%rdi); mov %edx,(%rcx); jmp
NATIVE_CPUID = bytes.fromhex("418b008b0a0fa241890089 1e5b890f418911e9")
# ud2; "xen"; cpuid; mov %eax,(%r8): in xen_cpuid(), which nothing calls outside of Xen.
XEN_CPUID = bytes.fromhex("0f0b78656e0fa2418900")


def decompressed(path):
    """The ELF image within a bzImage (see the kernel's Documentation/arch/x86/boot.rst)."""
    data = open(path, "rb").read()
    start = ((data[0x1F1] or 4) + 1) * 512 + struct.unpack_from("<I", data, 0x248)[0]
    payload = data[start : start + struct.unpack_from("<I", data, 0x24C)[0]]
    programs = {
        b"\x02\x21\x4c\x18": ["lz4", "-dc"],
        b"\x28\xb5\x2f\xfd": ["zstd", "-dc"],
        b"\xfd7zX": ["xz", "-dc"],
    }
    program = programs.get(payload[:4]) or sys.exit(f"a payload of an unknown kind: {payload[:4]!r}")
    # The last four bytes are the length, at which the programs stumble, but only after they have written everything.
    image = subprocess.run(program, input=payload[:-4], capture_output=True, check=False).stdout
    if image[:4] != b"\x7fELF":
        sys.exit("the payload is no ELF image")
    return bytearray(image)


def answers(resources):
    """What to add to the registers (eax, ebx, ecx, edx), by leaf and subleaf (Intel SDM 18.18.4 and 18.19.3; AMD APM 3, E.4.19)."""
    table = {}

    def add(leaf, subleaf, *registers):
        registers = [*registers, 0, 0, 0][:4]
        known = table.get((leaf, subleaf), (0, 0, 0, 0))
        table[leaf, subleaf] = tuple(a | b for a, b in zip(known, registers))

    def allocation(subleaf, ways, classes, options):
        add(0x7, 0, 0, 1 << 15)
        add(0x10, 0, 0, 1 << subleaf)
        flags = (4 if options.get("cdp") else 0) | (8 if options.get("sparse") else 0)
        add(0x10, subleaf, ways - 1, options.get("shareable", 0), flags, classes - 1)

    for resource in resources:
        name, _, words = resource.partition(":")
        options = {key: int(value, 0) for key, value in (word.split("=") for word in words.split(",") if word)}
        if name == "L3":
            allocation(1, options.get("ways", 20), options.get("closids", 16), options)
        elif name == "L2":
            allocation(2, options.get("ways", 8), options.get("closids", 8), options)
        elif name == "MBA":
            add(0x7, 0, 0, 1 << 15)
            add(0x10, 0, 0, 1 << 3)
            add(0x10, 3, options.get("maxdelay", 90) - 1, 0, 4, options.get("closids", 8) - 1)
        elif name == "AMDMBA":
            add(0x80000008, 0, 0, 1 << 6)
            add(0x80000020, 0, 0, 1 << 1)
            add(0x80000020, 1, options.get("bits", 11), 0, 0, options.get("closids", 16) - 1)
        elif name == "CMT":
            last = options.get("rmids", 32) - 1
            add(0x7, 0, 0, 1 << 12)
            add(0xF, 0, 0, last, 0, 2)
            add(0xF, 1, 0, options.get("scale", 65536), last, 1 | (6 if options.get("mbm") else 0))
        else:
            sys.exit(f"no resource that is known: {resource}")
    return table


class Image:
    """A kernel, and where its first segment (code and constants) lies."""

    def __init__(self, data):
        self.data = data
        first, = struct.unpack_from("<Q", data, 32)
        count, = struct.unpack_from("<H", data, 56)
        for header in range(first, first + 56 * count, 56):
            kind, _, self.offset, self.address, _, self.size = struct.unpack_from("<IIQQQQ", data, header)
            if kind == PT_LOAD:
                self.header = header
                return
        sys.exit("an image without a segment to load")

    def end(self):
        return self.offset + self.size

    def to_address(self, offset):
        return offset - self.offset + self.address

    def find(self, code, what):
        at = self.data.find(code, self.offset, self.end())
        if at < 0 or self.data.find(code, at + 1, self.end()) >= 0:
            sys.exit(f"{what} is not where it is looked for, or there are several")
        return at

    def put(self, at, code):
        self.data[at : at + len(code)] = code


def jump(source, target):
    return b"\xe9" + struct.pack("<i", target - (source + 5))


def patch(image, table):
    """Diverts native_cpuid(), after its cpuid instruction, through code that lies in xen_cpuid()."""
    to_address = image.to_address
    site = image.find(NATIVE_CPUID, "native_cpuid") + 7  # behind cpuid

    # The table: in what is left of the last page of the segment.
    rows = b"".join(struct.pack("<6I", *key, *values) for key, values in table.items()) + b"\xff" * 4
    rows_at = (image.end() + 15) & ~15
    if rows_at + len(rows) > (image.end() + 4095) & ~4095 or any(image.data[image.end() : rows_at + len(rows)]):
        sys.exit("no room for the table")

    # The code: from the start of xen_cpuid(), behind its call of __fentry__, to its first return.
    inside = image.find(XEN_CPUID, "xen_cpuid")
    cave_end = image.data.find(b"\xe9", inside + 10)
    start = inside
    while not (image.data[start] == 0xE8 and start % 16 in (0, 4)):
        start -= 1
    cave = start + 5
    code = bytes.fromhex("458b10 448b1f 56")  # mov (%r8),%r10d; mov (%rdi),%r11d; push %rsi
    code += b"\x48\x8d\x35" + struct.pack("<i", to_address(rows_at) - (to_address(cave) + len(code) + 7))  # lea rows,%rsi
    loop = len(code)
    code += bytes.fromhex("443916 7512 44395e04 750c")  # not this leaf, or not this subleaf: next
    code += bytes.fromhex("0b4608 0b5e0c 0b4e10 0b5614")  # or 8(%rsi),%eax; ... %ebx; ... %ecx; ... %edx
    code += bytes.fromhex("4883c618 833eff")  # next: add $24,%rsi; cmpl $-1,(%rsi)
    code += b"\x75" + struct.pack("<b", loop - (len(code) + 2))

    # The end: in the padding behind native_cpuid's return. pop %rsi; mov %eax,(%r8); mov %ebx,(%rsi); jmp back
    tail = image.data.find(b"\xe9", site + 5) + 5
    if 16 - tail % 16 < 8 or tail % 16 == 0 or image.data[tail] not in (0x66, 0x0F, 0x90, 0xCC):
        sys.exit("no padding behind native_cpuid")
    code += jump(cave + len(code), tail)
    if cave + len(code) > cave_end:
        sys.exit("xen_cpuid is too short")

    image.put(cave, code)
    image.put(tail, bytes.fromhex("5e418900891eeb") + struct.pack("<b", site + 5 - (tail + 8)))
    image.put(site, jump(site, cave))
    image.put(rows_at, rows)
    size = rows_at + len(rows) - image.offset
    struct.pack_into("<QQ", image.data, image.header + 32, size, size)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    _, source, target, *resources = sys.argv
    image = Image(decompressed(source))
    table = answers(resources)
    if table:
        patch(image, table)
    with open(target, "wb") as out:
        out.write(image.data)


main()
