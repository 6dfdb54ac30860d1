//! What the machine says of its memory.

use crate::cache::Bytes;
use crate::worker::MachineStatus;

/// Memory and swap as the kernel tells them now; zeros where it does not.
pub(super) fn status() -> MachineStatus {
    std::fs::read_to_string("/proc/meminfo").map_or_else(|_| MachineStatus::default(), |text| parse(&text))
}

fn parse(meminfo: &str) -> MachineStatus {
    let mut status = MachineStatus::default();
    for line in meminfo.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let field = match name {
            "MemTotal" => &mut status.total_ram,
            "MemAvailable" => &mut status.free_ram,
            "SwapTotal" => &mut status.total_swap,
            "SwapFree" => &mut status.free_swap,
            _ => continue,
        };
        let kib = value.trim().strip_suffix("kB").and_then(|n| n.trim().parse::<u64>().ok());
        *field = Bytes(kib.unwrap_or(0).saturating_mul(1024));
    }
    status
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn free_memory_is_what_could_be_had() {
        let status = parse(
            "MemTotal:        8000 kB\nMemFree:         10 kB\nMemAvailable:    4000 kB\n\
             SwapTotal:       2000 kB\nSwapFree:        1000 kB\nHugePages_Total:       0\n",
        );
        let expected = MachineStatus {
            total_ram: Bytes::kib(8000),
            free_ram: Bytes::kib(4000),
            total_swap: Bytes::kib(2000),
            free_swap: Bytes::kib(1000),
        };
        assert_eq!(status, expected);
    }

    proptest! {
        #[test]
        fn nothing_in_that_file_makes_the_parser_panic(text in "(MemTotal:|SwapFree:|[0-9 kB:\n]){0,20}|.*") {
            let _ = parse(&text);
        }
    }
}
